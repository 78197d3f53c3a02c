/* The schema of the language: rows agree with themselves, with the attributes of operations and with the readers of
 * data. */
#include "tests/unit/unit.h"

#include <math.h>

#include "ir/schema.h"

static void rows(void) {
    for (zn_sig_id id = 0; id < ZN_SIG_COUNT; id++) {
        zn_sig sig = zn_sig_row(id);
        ZN_EQUAL_INT(zn_sig_from_name(sig.group, sig.name), id);
        bool planned = sig.flags & ZN_C_PLANNED;
        CU_ASSERT_TRUE(planned ? sig.n == 0 : *sig.doc != '\0');
        for (size_t i = 0; i < sig.n; i++) {
            const zn_sig_arg *a = &sig.arg[i];
            for (size_t k = 0; k < i; k++)
                CU_ASSERT_STRING_NOT_EQUAL(sig.arg[k].name, a->name);
            /* how it is given is said in one way */
            ZN_EQUAL_INT(a->required + a->planned + (a->value != NULL) + (a->shown != NULL), 1);
            CU_ASSERT_TRUE(*a->doc);
            bool carried = sig.group != ZN_GROUP_LAYER && sig.group != ZN_GROUP_RESIDUAL && sig.group != ZN_GROUP_FUNC;
            CU_ASSERT_TRUE(carried ? *a->key || a->kind == ZN_A_SPECIAL : !*a->key);
        }
    }
}

/* A default is a value that the row allows. */
static void defaults(void) {
    zn_module *m = zn_module_new("m");
    for (int arg = 0; arg < ZN_ARG_COUNT; arg++) {
        const zn_sig_arg *a = &zn_arg_table[arg];
        bool planned = false;
        if (!a->value)
            continue;
        if (a->kind == ZN_A_INT) {
            int64_t x = zn_option_int(m, arg);
            CU_ASSERT_TRUE(x >= a->least && x <= a->most);
        } else if (a->kind == ZN_A_FLOAT) {
            double x = zn_option_float(m, arg);
            CU_ASSERT_TRUE(x >= a->low && x <= a->high && !(a->above && x == a->low) && !(a->below && x == a->high));
        } else if (a->kind == ZN_A_WORD) {
            CU_ASSERT_TRUE(zn_word_index(a->words, a->value, &planned) >= 0 && !planned);
        } else if (a->kind == ZN_A_BOOL) {
            CU_ASSERT_TRUE(!strcmp(a->value, zn_option_bool(m, arg) ? "true" : "false"));
        } else if (a->kind == ZN_A_CALL) {
            CU_ASSERT_TRUE(zn_sig_from_name(a->group, a->value) < ZN_SIG_COUNT);
        }
    }
    zn_module_free(m);
}

/* What a layer of one operation must give its attributes is among its arguments, a window or its path. */
static void attributes(void) {
    int layers = 0;
    for (zn_sig_id id = 0; id < ZN_SIG_COUNT; id++) {
        zn_sig sig = zn_sig_row(id);
        if (sig.op == ZN_OP_COUNT)
            continue;
        layers++;
        ZN_EQUAL_INT(zn_op_table[sig.op].operands, sig.flags & ZN_C_VALUES ? 2 : 1);
        for (int i = 0; i < zn_op_attr_count(sig.op); i++) {
            const zn_attr_info *info = &zn_attr_table[zn_op_attr_first(sig.op) + i];
            bool known = *info->def || !strcmp(info->name, "layer");
            for (size_t k = 0; k < sig.n; k++)
                known = known || !strcmp(sig.arg[k].name, info->name);
            if (!known)
                printf("layer %s does not say %s of its operation\n", sig.name, info->name);
            CU_ASSERT_TRUE(known);
        }
    }
    CU_ASSERT_TRUE(layers >= 6);
}

/* A source has a reader, and says of its samples nothing, or six things that are numbers or arguments. */
static void sources(void) {
    static const char *const readers[] = {
#define ZN_SOURCE(name) #name,
#include "runtime/sources.def"
    };
    size_t n = 0;
    for (zn_sig_id id = 0; id < ZN_SIG_COUNT; id++) {
        zn_sig sig = zn_sig_row(id);
        if (sig.group != ZN_GROUP_SOURCE || (sig.flags & ZN_C_PLANNED))
            continue;
        bool read = false;
        for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
            read = read || !strcmp(readers[i], sig.name);
        CU_ASSERT_TRUE(read);
        n++;
        zn_module *m = zn_module_new("m");
        int64_t fact[ZN_FACTS];
        int said = *sig.gives != '\0';
        for (const char *p = sig.gives; *p; p++)
            said += *p == ' ';
        CU_ASSERT_TRUE(said == 0 || said == ZN_FACTS);
        zn_conf_set_str(m, "data.source", sig.name, (zn_span){0});
        ZN_EQUAL_INT(zn_source_facts(m, fact), said != 0); /* ends the program if a word means nothing */
        zn_module_free(m);
    }
    ZN_EQUAL_INT(n, sizeof readers / sizeof *readers);
}

static void facts(void) {
    zn_module *m = zn_module_new("m");
    int64_t fact[ZN_FACTS];
    CU_ASSERT_FALSE(zn_source_facts(m, fact));
    zn_conf_set_str(m, "data.source", "noise", (zn_span){0});
    zn_conf_set_int(m, "data.h", 5, (zn_span){0});
    zn_conf_set_int(m, "data.n", 47, (zn_span){0});
    CU_ASSERT_TRUE(zn_source_facts(m, fact));
    ZN_EQUAL_INT(fact[ZN_FACT_HEIGHT], 5);
    ZN_EQUAL_INT(fact[ZN_FACT_TRAINING], 47);
    ZN_EQUAL_INT(fact[ZN_FACT_TEST], 4);
    zn_conf_set_str(m, "data.source", "mnist", (zn_span){0});
    CU_ASSERT_TRUE(zn_source_facts(m, fact));
    ZN_EQUAL_INT(fact[ZN_FACT_CLASSES], 10);
    ZN_EQUAL_INT(fact[ZN_FACT_TEST], 10000);
    zn_module_free(m);
}

static void words(void) {
    bool planned;
    ZN_EQUAL_INT(zn_word_index("a|bc|~d", "bc", &planned), 1);
    CU_ASSERT_FALSE(planned);
    ZN_EQUAL_INT(zn_word_index("a|bc|~d", "d", &planned), 2);
    CU_ASSERT_TRUE(planned);
    ZN_EQUAL_INT(zn_word_index("a|bc|~d", "b", &planned), -1);
    ZN_EQUAL_INT(zn_word_index("a|bc|~d", "~d", &planned), -1);
    ZN_EQUAL_INT(zn_word_index("a|bc|~d", "", &planned), -1);
}

/* What the module says comes before what the row says. */
static void options(void) {
    zn_module *m = zn_module_new("m");
    CU_ASSERT_FALSE(zn_option_given(m, ZN_ARG_OPTIMIZER_SGD_momentum));
    CU_ASSERT_EQUAL(zn_option_float(m, ZN_ARG_SCHEDULE_STEP_factor), 0.1);
    ZN_EQUAL_INT(zn_option_word(m, ZN_ARG_SCHEME_ZERO_columns), 0);
    zn_conf_set_float(m, "train.momentum", 0.5, (zn_span){0});
    zn_conf_set_str(m, "init.columns", "spanning", (zn_span){0});
    CU_ASSERT_TRUE(zn_option_given(m, ZN_ARG_OPTIMIZER_SGD_momentum));
    CU_ASSERT_EQUAL(zn_option_float(m, ZN_ARG_OPTIMIZER_SGD_momentum), 0.5);
    ZN_EQUAL_INT(zn_option_word(m, ZN_ARG_SCHEME_ZERO_columns), 1);
    ZN_EQUAL_INT(ZN_ARG_AT(SCHEDULE, COSINE, end), 2);
    zn_module_free(m);
}

#define TESTS(X) X(rows) X(defaults) X(attributes) X(sources) X(facts) X(words) X(options)
ZN_UNIT_MAIN("schema", TESTS)
