/* See schema.h. Defaults are texts as they would stand in a file, so that there is one notation of them. */
#include "ir/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/ice.h"
#include "support/number.h"

#define REQUIRED .required = true
#define PLANNED .planned = true
#define DEFAULT(text) .value = (text)
#define AS(text) .shown = (text)
#define INT(from, to) .kind = ZN_A_INT, .least = (from), .most = (to)
#define FLOAT(from, to) .kind = ZN_A_FLOAT, .low = (from), .high = (to)
#define BELOW(from, to) .kind = ZN_A_FLOAT, .low = (from), .high = (to), .below = true
#define POSITIVE .kind = ZN_A_FLOAT, .low = 0, .high = HUGE_VAL, .above = true
#define BOOL .kind = ZN_A_BOOL
#define WORD(list) .kind = ZN_A_WORD, .words = (list)
#define AUTO_BOOL .kind = ZN_A_AUTO_BOOL
#define LENGTH .kind = ZN_A_LENGTH
#define SIZE .kind = ZN_A_SIZE
#define PAD .kind = ZN_A_PAD, .words = "same|valid"
#define PATH .kind = ZN_A_PATH
#define EPOCHS .kind = ZN_A_EPOCHS
#define ANY .kind = ZN_A_ANY
#define SPECIAL .kind = ZN_A_SPECIAL
#define FANS .kind = ZN_A_FANS
#define COLUMN .kind = ZN_A_COLUMN
#define CALL(of) .kind = ZN_A_CALL, .group = ZN_GROUP_##of

enum { KEY = 96 };

const zn_sig_arg zn_arg_table[ZN_ARG_COUNT] = {
#define ZN_CALL(...)
#define ZN_ARG(GROUP, ID, text, kind, given, to, line) {.name = #text, kind, given, .key = (to), .doc = (line)},
#include "ir/schema.def"
};

static const int first_arg[ZN_SIG_COUNT + 1] = {
#define ZN_CALL(GROUP, ID, ...) ZN_FIRST_##GROUP##_##ID,
#define ZN_ARG(...)
#include "ir/schema.def"
    ZN_ARG_COUNT};

#define ZN_OP_NONE ZN_OP_COUNT
#define OP_LAYER(op) ZN_OP_##op
#define OP_RESIDUAL(op) ZN_OP_COUNT
#define OP_FUNC(op) ZN_OP_COUNT
#define OP_SECTION(op) ZN_OP_COUNT
#define OP_SOURCE(op) ZN_OP_COUNT
#define OP_AUGMENT(op) ZN_OP_COUNT
#define OP_LOSS(op) ZN_OP_COUNT
#define OP_OPTIMIZER(op) ZN_OP_COUNT
#define OP_SCHEDULE(op) ZN_OP_COUNT
#define OP_CLIP(op) ZN_OP_COUNT
#define OP_AVERAGE(op) ZN_OP_COUNT
#define OP_VIEW(op) ZN_OP_COUNT
#define OP_SCHEME(op) ZN_OP_COUNT
static const zn_sig calls[ZN_SIG_COUNT] = {
#define ZN_CALL(GROUP, ID, text, bits, operation, result, line)                                                        \
    {.group = ZN_GROUP_##GROUP,                                                                                        \
     .id = ZN_SIG_##GROUP##_##ID,                                                                                      \
     .name = (text),                                                                                                   \
     .flags = (bits),                                                                                                  \
     .op = OP_##GROUP(operation),                                                                                      \
     .gives = (result),                                                                                                \
     .doc = (line)},
#define ZN_ARG(...)
#include "ir/schema.def"
};

zn_sig zn_sig_row(zn_sig_id id) {
    zn_sig sig = calls[id];
    sig.n = (size_t)(first_arg[id + 1] - first_arg[id]);
    sig.arg = zn_arg_table + first_arg[id];
    return sig;
}

zn_sig_id zn_sig_from_name(zn_sig_group g, const char *name) {
    zn_sig_id id = 0;
    while (id < ZN_SIG_COUNT && (calls[id].group != g || strcmp(calls[id].name, name)))
        id++;
    return id;
}

int zn_word_index(const char *words, const char *w, bool *planned) {
    size_t len = strlen(w);
    int k = 0;
    for (const char *p = words; *p; k++) {
        size_t n = strcspn(p, "|");
        *planned = *p == '~';
        if (n - *planned == len && !strncmp(p + *planned, w, len))
            return k;
        p += n + (p[n] == '|');
    }
    return -1;
}

/* ---- options */

/* The part of an entry of a start, "init.scale" or in a rule's scope "init.rule0.scale", behind "init"; else NULL. */
static const char *of_start(const char *key) {
    static const char init[] = "init.";
    return strncmp(key, init, sizeof init - 1) ? NULL : key + sizeof init - 2;
}

/* The entry of the module for an argument: of a start, where a rule's options are read, that of the rule. */
static const char *key_of(const zn_module *m, const zn_sig_arg *a, char text[KEY]) {
    const char *name = of_start(a->key);
    if (!m->option_scope || !name)
        return a->key;
    snprintf(text, KEY, "%s%s", m->option_scope, name);
    return text;
}

int64_t zn_option_int(const zn_module *m, int arg) {
    const zn_sig_arg *a = &zn_arg_table[arg];
    int64_t x = 0;
    char key[KEY];
    if (a->value && !zn_i64_parse(a->value, strlen(a->value), &x))
        ZN_ICE("schema: the default of %s is not an integer", a->name);
    return zn_conf_int(m, key_of(m, a, key), x);
}

double zn_option_float(const zn_module *m, int arg) {
    const zn_sig_arg *a = &zn_arg_table[arg];
    double x = 0;
    char key[KEY];
    if (a->value && !zn_f64_parse(a->value, strlen(a->value), &x))
        ZN_ICE("schema: the default of %s is not a number", a->name);
    return zn_conf_float(m, key_of(m, a, key), x);
}

bool zn_option_bool(const zn_module *m, int arg) {
    const zn_sig_arg *a = &zn_arg_table[arg];
    char key[KEY];
    return zn_conf_bool(m, key_of(m, a, key), a->value && !strcmp(a->value, "true"));
}

const char *zn_option_str(const zn_module *m, int arg) {
    const zn_sig_arg *a = &zn_arg_table[arg];
    char key[KEY];
    return zn_conf_str(m, key_of(m, a, key), a->value);
}

int zn_option_word(const zn_module *m, int arg) {
    const zn_sig_arg *a = &zn_arg_table[arg];
    const char *w = zn_option_str(m, arg);
    bool planned;
    int k = w ? zn_word_index(a->words, w, &planned) : -1;
    if (k >= 0)
        return k;
    return a->value ? zn_word_index(a->words, a->value, &planned) : 0;
}

/* Whether a row of the table fills this entry of the configuration, in any scope. */
static bool fills(const zn_sig_arg *a, const char *key) {
    const char *name = of_start(a->key), *scoped = of_start(key);
    if (!name || !scoped)
        return !strcmp(a->key, key);
    size_t n = strlen(scoped), tail = strlen(name);
    return n >= tail && !strcmp(scoped + n - tail, name);
}

const char *zn_option_refused(const char *key, const char *value) {
    const char *words = NULL;
    bool planned;
    for (size_t i = 0; i < ZN_ARG_COUNT; i++) {
        const zn_sig_arg *a = &zn_arg_table[i];
        if (!*a->key || !fills(a, key))
            continue;
        if (a->kind != ZN_A_WORD || zn_word_index(a->words, value, &planned) >= 0)
            return NULL;
        words = a->words;
    }
    return words;
}

bool zn_option_given(const zn_module *m, int arg) {
    char key[KEY];
    return zn_conf_get(m, key_of(m, &zn_arg_table[arg], key)) != NULL;
}

/* One word of `gives`: a number, an argument or a part of one. */
static int64_t fact_of(const zn_module *m, const zn_sig *sig, const char *p, size_t n) {
    const char *slash = memchr(p, '/', n);
    size_t name = slash ? (size_t)(slash - p) : n, k = 0;
    int64_t x = 0, part = 1;
    while (k < sig->n && (strlen(sig->arg[k].name) != name || strncmp(sig->arg[k].name, p, name)))
        k++;
    bool ok = k < sig->n || zn_i64_parse(p, name, &x);
    if (slash)
        ok = ok && zn_i64_parse(slash + 1, n - name - 1, &part) && part > 0;
    if (!ok)
        ZN_ICE("schema: `%s` gives neither numbers nor arguments: %s", sig->name, sig->gives);
    return (k < sig->n ? zn_option_int(m, (int)(&sig->arg[k] - zn_arg_table)) : x) / part;
}

bool zn_source_facts(const zn_module *m, int64_t fact[ZN_FACTS]) {
    const char *name = zn_option_str(m, ZN_ARG_SECTION_DATA_source);
    zn_sig_id id = name ? zn_sig_from_name(ZN_GROUP_SOURCE, name) : ZN_SIG_COUNT;
    memset(fact, 0, ZN_FACTS * sizeof *fact);
    if (id == ZN_SIG_COUNT)
        return false;
    zn_sig sig = zn_sig_row(id);
    const char *p = sig.gives;
    for (size_t i = 0; i < ZN_FACTS && *p; i++) {
        size_t n = strcspn(p, " ");
        fact[i] = fact_of(m, &sig, p, n);
        p += n + (p[n] == ' ');
    }
    return *sig.gives;
}
