/* The tables of operations, attributes and passes, and what they demand: a golden and a numeric case for each
 * operation, a gradient case for each that has a gradient, documentation. */
#include "tests/unit/unit.h"

#include <glob.h>
#include <stdlib.h>

#include "ir/module.h"
#include "passes/pass.h"

#define GOLDEN ZN_TEST_SOURCE_DIR "/tests/golden/ir/"

static char *contents(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (f && text && fread(text, 1, (1 << 20) - 1, f) == 0)
        text[0] = 0;
    if (f)
        fclose(f);
    return text;
}

/* Some file GOLDEN<prefix><text>.zir or GOLDEN<prefix><text>_*.zir holds `needle`. */
static bool some_file(const char *prefix, const char *text, const char *needle) {
    bool found = false;
    for (int k = 0; k < 2 && !found; k++) {
        char pattern[1024];
        glob_t g;
        snprintf(pattern, sizeof pattern, GOLDEN "%s%s%s.zir", prefix, text, k ? "_*" : "");
        if (glob(pattern, 0, NULL, &g))
            continue;
        for (size_t i = 0; i < g.gl_pathc && !found; i++) {
            char *all = contents(g.gl_pathv[i]);
            found = all && strstr(all, needle);
            free(all);
        }
        globfree(&g);
    }
    return found;
}

static void every_operation_has_its_files(void) {
    for (int i = 0; i < ZN_OP_COUNT; i++) {
        const zn_op_info *o = &zn_op_table[i];
        char used[64];
        snprintf(used, sizeof used,
                 o->traits & ZN_T_EFFECT ? "  %s "
                 : i == ZN_OP_ARG        ? "(%%"
                 : i == ZN_OP_PARAM      ? " @"
                                         : "= %s ",
                 o->text);
        bool golden = some_file("op_", o->text, used);
        bool numeric = o->kernel == ZN_KERNEL_NONE || some_file("op_", o->text, "func @train_step(");
        /* bn_norm and dropout_mask come from bn and dropout: test_gradients looks into @vjp */
        bool gradient = !strcmp(o->grad_name, "none") || some_file("grad_", o->text, "func @forward(");
        if (!golden || !numeric || !gradient)
            printf("%s: golden %d, numeric %d, gradient %d\n", o->text, golden, numeric, gradient);
        CU_ASSERT_TRUE(golden);
        CU_ASSERT_TRUE(numeric);
        CU_ASSERT_TRUE(gradient);
    }
}

static void every_file_is_of_an_operation(void) {
    static const char *const prefixes[] = {"op_", "grad_"};
    for (int k = 0; k < 2; k++) {
        char pattern[1024];
        glob_t g;
        snprintf(pattern, sizeof pattern, GOLDEN "%s*.zir", prefixes[k]);
        CU_ASSERT_EQUAL_FATAL(glob(pattern, 0, NULL, &g), 0);
        for (size_t i = 0; i < g.gl_pathc; i++) {
            const char *name = strrchr(g.gl_pathv[i], '/') + 1 + strlen(prefixes[k]);
            bool known = k == 1 && !strncmp(name, "net", 3);
            for (int op = 0; op < ZN_OP_COUNT && !known; op++) {
                size_t n = strlen(zn_op_table[op].text);
                known = !strncmp(name, zn_op_table[op].text, n) && (name[n] == '.' || name[n] == '_');
            }
            if (!known)
                printf("%s is of no operation\n", name);
            CU_ASSERT_TRUE(known);
        }
        globfree(&g);
    }
}

static void rows(void) {
    for (int i = 0; i < ZN_OP_COUNT; i++) {
        const zn_op_info *o = &zn_op_table[i];
        size_t n = strlen(o->doc);
        CU_ASSERT_EQUAL_FATAL(o->text != NULL, true);
        ZN_EQUAL_INT(zn_op_from_text(o->text), i); /* no two have the same text */
        CU_ASSERT_TRUE(n > 1 && o->doc[n - 1] == '.');
        CU_ASSERT_PTR_NULL(strpbrk(o->doc, "\t\n|"));
        CU_ASSERT_TRUE(o->operands >= 0 && o->operands <= 8);
        if (o->traits & ZN_T_MAP)
            ZN_EQUAL_INT(o->kernel, ZN_KERNEL_MAP);
        if (o->traits & (ZN_T_LEAF | ZN_T_EFFECT))
            ZN_EQUAL_INT(o->kernel, ZN_KERNEL_NONE);
        if (o->traits & ZN_T_COMMUTES)
            ZN_EQUAL_INT(o->operands, 2);
    }
    ZN_EQUAL_INT(zn_op_from_text("nosuch"), ZN_OP_COUNT);
    ZN_EQUAL_INT(zn_op_from_text(""), ZN_OP_COUNT);
}

/* The attributes of an operation stand together, names differ, and defaults can be read. */
static void attributes(void) {
    zn_module *m = zn_module_new("m");
    zn_func *f = zn_func_new(m, "f");
    int total = 0;
    for (int i = 0; i < ZN_OP_COUNT; i++) {
        int first = zn_op_attr_first((zn_op)i), n = zn_op_attr_count((zn_op)i);
        for (int j = first; j < first + n; j++) {
            ZN_EQUAL_INT(zn_attr_table[j].op, i);
            for (int k = first; k < j; k++)
                CU_ASSERT_STRING_NOT_EQUAL(zn_attr_table[j].name, zn_attr_table[k].name);
        }
        total += n;
        zn_value_new(m, f, NULL, (zn_op)i, 0, NULL, (zn_span){0}, ""); /* ends the program if a default is no value */
    }
    ZN_EQUAL_INT(total, ZN_ATTR_ALL_COUNT);
    zn_module_free(m);
}

static void passes(void) {
    for (int i = 0; i < ZN_PASS_COUNT; i++) {
        const zn_pass_info *p = &zn_pass_table[i];
        size_t n = strlen(p->doc);
        ZN_EQUAL_INT(zn_pass_from_name(p->name, strlen(p->name)), i);
        CU_ASSERT_TRUE(p->level >= 0 && p->level <= 2);
        CU_ASSERT_TRUE(n > 1 && p->doc[n - 1] == '.');
        char pattern[1024];
        glob_t g;
        snprintf(pattern, sizeof pattern, ZN_TEST_SOURCE_DIR "/tests/golden/pass/%s/*.zir", p->name);
        int missing = glob(pattern, 0, NULL, &g);
        if (missing)
            printf("pass %s has no golden\n", p->name);
        else
            globfree(&g);
        CU_ASSERT_EQUAL(missing, 0);
    }
    ZN_EQUAL_INT(zn_pass_from_name("fus", 3), ZN_PASS_COUNT);
    ZN_EQUAL_INT(zn_pass_from_name("fused", 5), ZN_PASS_COUNT);
    ZN_EQUAL_INT(zn_pass_from_name("", 0), ZN_PASS_COUNT);
}

#define TESTS(X) X(every_operation_has_its_files) X(every_file_is_of_an_operation) X(rows) X(attributes) X(passes)
ZN_UNIT_MAIN("ops table", TESTS)
