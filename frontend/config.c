/* The sections data, init and train: checked, evaluated, written into the module's configuration with every default.
 *
 * Also here: --set, which puts entries into the sections before they are read, as if they stood in the file. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/config.h"
#include "frontend/parse.h"
#include "support/ice.h"
#include "support/number.h"

enum { MAX_KEYS = 16 };

/* The keys of a section are the arguments of a call of its name. */
static const zn_sig *keys_of(zn_sema *s, zn_section_kind k) {
    static const zn_sig_id id[ZN_SECTION_COUNT] = {ZN_SIG_SECTION_DATA, ZN_SIG_SECTION_INIT, ZN_SIG_SECTION_TRAIN};
    return zn_sig_of(s, id[k]);
}

/* "did you mean `...`?" among the keys. */
static const char *suggest_key(zn_sema *s, zn_diag *x, const zn_sig *keys, const char *key) {
    const char *names[MAX_KEYS];
    ZN_ASSERT(keys->n <= MAX_KEYS);
    for (size_t i = 0; i < keys->n; i++)
        names[i] = keys->arg[i].name;
    return zn_sema_nearest(s, x, key, names, keys->n);
}

/* ---- --set ---- */

static void set_error(zn_sema *s, const char *text) {
    zn_sema_error(s, ZN_DIAG_SET, (zn_span){0}, "%s", text);
}

/* What an option takes the place of still counts as used. */
void zn_config_mark_used(zn_sema *s, const zn_expr *e) {
    if (e->kind == ZN_E_NAME) {
        zn_decl *d = zn_decl_find(s, e->s);
        if (d && d->kind != ZN_DECL_BLOCK)
            d->used = true;
    }
    for (const zn_arg *a = e->args.first; a; a = a->next)
        zn_config_mark_used(s, a->value);
    if (e->a)
        zn_config_mark_used(s, e->a);
    if (e->b)
        zn_config_mark_used(s, e->b);
    if (e->c)
        zn_config_mark_used(s, e->c);
}

static void set_option(zn_sema *s, const char *text) {
    s->option = zn_arena_printf(s->arena, "--set %s", text);
    const char *eq = strchr(text, '=');
    if (!eq) {
        set_error(s, "expected key=value");
        return;
    }
    const char *path = zn_arena_strndup(s->arena, text, (size_t)(eq - text)), *key = path;
    zn_section_kind k = ZN_SECTION_INIT;
    if (strcmp(path, "init")) {
        if (!strncmp(path, "train.", 6))
            k = ZN_SECTION_TRAIN;
        else if (!strncmp(path, "data.", 5))
            k = ZN_SECTION_DATA;
        else {
            set_error(s, "the key is `init`, `train.` and a key of train, or `data.` and a key of data");
            return;
        }
        key = strchr(path, '.') + 1;
        const zn_sig *keys = keys_of(s, k);
        if (zn_sig_arg_index(keys, key) == keys->n) {
            zn_diag *x = zn_sema_error(s, ZN_DIAG_SET, (zn_span){0}, "`%s` has no key `%s`", zn_section_names[k], key);
            suggest_key(s, x, keys, key);
            return;
        }
    }
    zn_section *sec = s->file->section[k];
    if (!sec) {
        if (k != ZN_SECTION_INIT) {
            if (!zn_is_lost(s->file, zn_section_names[k]))
                set_error(s, zn_arena_printf(s->arena, "the file has no `%s`", zn_section_names[k]));
            return;
        }
        sec = s->file->section[k] = zn_new(s->arena, zn_section);
    }
    zn_expr *value = zn_parse_option(s->arena, eq + 1, s->option, s->d);
    if (!value)
        return;
    zn_entry *e = sec->first;
    while (e && strcmp(e->key, key))
        e = e->next;
    if (e) {
        if (e->value)
            zn_config_mark_used(s, e->value);
        for (const zn_rule *r = e->rules.first; r; r = r->next)
            zn_config_mark_used(s, r->value);
        e->rules = (zn_rules){0};
        e->braces = false;
    } else {
        e = zn_new(s->arena, zn_entry);
        e->key = key;
        if (sec->last)
            sec->last->next = e;
        else
            sec->first = e;
        sec->last = e;
    }
    e->value = value;
    e->option = s->option;
    e->at = (zn_span){0};
}

void zn_config_options(zn_sema *s) {
    for (size_t i = 0; s->options && i < s->options->nset; i++)
        set_option(s, s->options->set[i]);
    s->option = NULL;
}

/* ---- entries ---- */

/* unknown: the report of a key that is none, which may be one of those, misspelt; or NULL. */
static void check_missing(zn_sema *s, zn_section_kind k, const bool *given, zn_diag *unknown) {
    const zn_sig *keys = keys_of(s, k);
    size_t missing = 0, said = 0;
    for (size_t i = 0; i < keys->n; i++)
        missing += keys->arg[i].required && !given[i];
    if (!missing)
        return;
    zn_buf list = {0};
    for (size_t i = 0; i < keys->n; i++)
        if (keys->arg[i].required && !given[i]) {
            said++;
            zn_buf_printf(&list, "%s`%s`", said == 1 ? "" : said < missing ? ", " : " and ", keys->arg[i].name);
        }
    if (unknown)
        zn_sema_note(s, unknown, ZN_NOTE_NOTE, (zn_span){0}, "`%s` needs the key%s %s, which %s not given",
                     zn_section_names[k], missing > 1 ? "s" : "", zn_buf_str(&list), missing > 1 ? "are" : "is");
    else
        zn_sema_error(s, ZN_DIAG_KEY_MISSING, s->file->section[k]->at, "`%s` needs the key%s %s", zn_section_names[k],
                      missing > 1 ? "s" : "", zn_buf_str(&list));
    zn_buf_free(&list);
}

static void check_entries(zn_sema *s, zn_section_kind k) {
    zn_section *sec = s->file->section[k];
    const zn_sig *keys = keys_of(s, k);
    const zn_entry *first[MAX_KEYS] = {0};
    bool given[MAX_KEYS] = {0};
    zn_diag *unknown = NULL;
    for (zn_entry *e = sec->first; e; e = e->next) {
        s->option = e->option;
        size_t key = zn_sig_arg_index(keys, e->key);
        if (key == keys->n) {
            zn_diag *x =
                zn_sema_error(s, ZN_DIAG_KEY_UNKNOWN, e->at, "`%s` has no key `%s`", zn_section_names[k], e->key);
            const char *near = suggest_key(s, x, keys, e->key);
            if (near)
                given[zn_sig_arg_index(keys, near)] = true;
            else
                unknown = x ? x : unknown;
            if (e->value)
                zn_config_mark_used(s, e->value);
            continue;
        }
        given[key] = true;
        bool rules_only = !strcmp(e->key, "rate") || !strcmp(e->key, "freeze");
        if (e->braces && !rules_only && k != ZN_SECTION_INIT && strcmp(e->key, "decay"))
            zn_sema_error(s, ZN_DIAG_SYNTAX, e->at, "`%s` takes a value: `%s = ...`", e->key, e->key);
        if (!e->braces && rules_only && e->value) {
            zn_sema_error(s, ZN_DIAG_SYNTAX, e->at, "`%s` takes rules: `%s { stage1.** = %s }`", e->key, e->key,
                          strcmp(e->key, "rate") ? "always" : "0.1");
            zn_config_mark_used(s, e->value);
        }
        if (first[key]) {
            zn_diag *x = zn_sema_error(s, ZN_DIAG_KEY_TWICE, e->at, "`%s` is given twice", e->key);
            zn_sema_note(s, x, ZN_NOTE_LABEL, first[key]->at, "first here");
            if (e->value)
                zn_config_mark_used(s, e->value);
        } else {
            first[key] = e;
        }
    }
    s->option = NULL;
    if (!sec->damaged)
        check_missing(s, k, given, unknown);
}

/* The rules of a key; NULL if it has none. */
static const zn_entry *rules_of(zn_sema *s, zn_section_kind k, const char *key) {
    for (const zn_entry *e = s->file->section[k]->first; e; e = e->next)
        if (!strcmp(e->key, key) && e->braces)
            return e;
    return NULL;
}

/* The value of a key, with s->option set to where it came from. NULL: not given, or reported. */
static zn_expr *value_of(zn_sema *s, zn_section_kind k, const char *key) {
    zn_section *sec = s->file->section[k];
    s->option = NULL;
    for (zn_entry *e = sec->first; e; e = e->next) {
        if (strcmp(e->key, key))
            continue;
        s->option = e->option;
        return e->value;
    }
    return NULL;
}

static void check_arms(zn_sema *s, zn_expr *e, zn_config_arm_fn *check, const void *ctx) {
    if (e->kind != ZN_E_COND) {
        check(s, e, ctx);
        return;
    }
    zn_resolve_expr(s, e->a, s->locals, false);
    check_arms(s, e->b, check, ctx);
    check_arms(s, e->c, check, ctx);
}

zn_expr *zn_config_taken(zn_sema *s, zn_expr *e, zn_config_arm_fn *check, const void *ctx) {
    while (e->kind == ZN_E_COND) {
        zn_expr *other = e->c;
        zn_resolve_expr(s, e->a, s->locals, false);
        zn_expr *arm = zn_cond_arm(s, s->env, e, &other);
        if (!arm)
            check_arms(s, e->b, check, ctx);
        check_arms(s, other, check, ctx);
        if (!arm)
            return NULL;
        e = arm;
    }
    return e;
}

/* A call that is not taken: its names and words are known, and its arguments exist. Nothing in it is evaluated: it may
 * hold only where it is taken. */
typedef struct call_kind {
    zn_sig_group group;
    const char *what;
} call_kind;
static void check_call(zn_sema *s, zn_expr *e, const void *ctx) {
    const call_kind *k = ctx;
    zn_expr **slot;
    zn_val unused;
    const zn_sig *sig = zn_config_head(s, k->group, &e, k->what, &slot);
    for (size_t i = 0; sig && i < sig->n; i++) {
        const zn_sig_arg *a = &sig->arg[i];
        if (slot[i] && a->kind == ZN_A_CALL)
            check_arms(s, slot[i], check_call, k);
        else if (slot[i] && a->words && zn_bare_word(s, s->env, slot[i]))
            zn_eval_word(s, s->env, slot[i], a->name, a->words, &unused);
    }
}

const zn_sig *zn_config_head(zn_sema *s, zn_sig_group g, zn_expr **choice, const char *what, zn_expr ***slot) {
    const call_kind k = {g, what};
    zn_expr *e = zn_config_taken(s, *choice, check_call, &k);
    if (!e)
        return NULL;
    *choice = e;
    const zn_sig *sig = e->kind == ZN_E_NAME || e->kind == ZN_E_CALL ? zn_sig_find(s, g, e->s) : NULL;
    if (e->kind == ZN_E_BAD || (!sig && e->s && zn_may_be_declared(s->file, e->s)))
        return NULL;
    if (!sig) {
        const char *names[ZN_SIG_COUNT];
        size_t n = zn_sig_names(g, false, names, ZN_SIG_COUNT);
        zn_buf list = {0};
        for (size_t i = 0; i < n; i++)
            zn_buf_printf(&list, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", names[i]);
        zn_diag *x;
        if (e->kind == ZN_E_NAME || e->kind == ZN_E_CALL) {
            x = zn_sema_error(s, ZN_DIAG_CHOICE, e->name_at, "`%s` cannot be `%s`; it is %s", what, e->s,
                              zn_buf_str(&list));
            zn_sema_nearest(s, x, e->s, names, n);
            zn_config_mark_used(s, e);
        } else {
            x = zn_sema_error(s, ZN_DIAG_CHOICE, e->at, "`%s` cannot be a value; it is %s", what, zn_buf_str(&list));
            if (e->kind == ZN_E_STR && zn_sig_find(s, g, e->s))
                zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "write `%s` without quotes", e->s);
            zn_resolve_expr(s, e, NULL, false);
        }
        zn_buf_free(&list);
        return NULL;
    }
    if (sig->flags & ZN_C_PLANNED) {
        zn_sema_error(s, ZN_DIAG_NOT_YET, e->name_at, "`%s = %s` is not supported yet", what, e->s);
        zn_config_mark_used(s, e);
        return NULL;
    }
    *slot = zn_new_n(s->arena, zn_expr *, sig->n);
    if (!zn_sig_bind(s, sig, &e->args, e->name_at, *slot)) {
        zn_config_mark_used(s, e);
        return NULL;
    }
    zn_resolve_slots(s, sig, *slot, s->locals, false);
    return sig;
}

/* A call with the values of its options, written into the configuration; the module keeps its name under `key`. */
typedef struct call {
    const zn_sig *sig; /* NULL: reported */
    zn_expr **slot;
    zn_val *v;
} call;

static bool take_options(zn_sema *s, call *c, const zn_sig_arg *key, zn_span at) {
    c->v = zn_new_n(s->arena, zn_val, c->sig->n);
    if (!zn_eval_options(s, s->env, c->sig, c->slot, c->v))
        return false;
    if (*key->key)
        zn_conf_set_str(s->module, key->key, c->sig->name, at);
    zn_conf_options(s, c->sig, c->v, at);
    return true;
}

static call take_call(zn_sema *s, const zn_sig_arg *key, zn_expr *e) {
    call c = {0};
    c.sig = zn_config_head(s, key->group, &e, key->name, &c.slot);
    if (c.sig && !take_options(s, &c, key, e->at))
        c.sig = NULL;
    return c;
}

/* The value of an option that the call has, as a float. */
static double option(const call *c, const char *name) {
    size_t i = zn_sig_arg_index(c->sig, name);
    ZN_ASSERT(i < c->sig->n);
    return c->v[i].kind == ZN_V_INT ? (double)c->v[i].i : c->v[i].f;
}

/* A key whose value is a number or word, or its default. False if it was reported. */
static bool take_value(zn_sema *s, zn_section_kind k, const char *name, zn_val *v) {
    const zn_sig *keys = keys_of(s, k);
    size_t i = zn_sig_arg_index(keys, name);
    ZN_ASSERT(i < keys->n);
    zn_expr *e = value_of(s, k, name);
    zn_sig one = *keys;
    one.arg += i;
    one.n = 1;
    if ((!e && one.arg->required) || (!e && rules_of(s, k, name)))
        return false;
    if (e)
        zn_resolve_expr(s, e, NULL, false);
    if (!zn_eval_options(s, NULL, &one, &e, v))
        return false;
    zn_conf_options(s, &one, v, e ? e->at : (zn_span){0});
    return true;
}

static const char *number(zn_sema *s, double x) {
    char num[ZN_NUMBER_MAX];
    zn_f64_json(x, num);
    return zn_arena_strdup(s->arena, num);
}

/* ---- train ---- */

static bool is_schedule(zn_sema *s, const zn_expr *e) {
    const char *names[ZN_SIG_COUNT];
    size_t n = zn_sig_names(ZN_GROUP_SCHEDULE, true, names, ZN_SIG_COUNT);
    bool is_name = e->kind == ZN_E_NAME && !zn_decl_find(s, e->s) && (!s->locals || strcmp(e->s, s->locals->name));
    bool is_call = e->kind == ZN_E_CALL || (is_name && zn_nearest_name(e->s, names, n));
    return is_call && !zn_sig_find(s, ZN_GROUP_FUNC, e->s);
}

/* One that is not taken: that it names `epochs` does not count. */
static void check_schedule(zn_sema *s, zn_expr *e, const void *ctx) {
    static const call_kind kind = {ZN_GROUP_SCHEDULE, "lr"};
    const zn_local *locals = s->locals;
    bool unused = false;
    zn_local epochs = *locals;
    (void)ctx;
    epochs.used = &unused;
    s->locals = &epochs;
    if (is_schedule(s, e))
        check_call(s, e, &kind);
    else
        zn_resolve_expr(s, e, s->locals, false);
    s->locals = locals;
}

/* A number is the schedule `constant`. */
static call take_schedule(zn_sema *s, zn_expr *e) {
    const zn_sig_arg *key = &zn_arg_table[ZN_ARG_SECTION_TRAIN_lr];
    e = zn_config_taken(s, e, check_schedule, NULL);
    if (!e)
        return (call){0};
    if (is_schedule(s, e))
        return take_call(s, key, e);
    call c = {.sig = zn_sig_of(s, ZN_SIG_SCHEDULE_CONSTANT)};
    zn_resolve_expr(s, e, s->locals, false);
    c.slot = zn_new_n(s->arena, zn_expr *, c.sig->n);
    c.slot[ZN_ARG_AT(SCHEDULE, CONSTANT, lr)] = e;
    if (!take_options(s, &c, key, e->at))
        c.sig = NULL;
    return c;
}

/* The schedule; in its arguments the name `epochs` is the length of the run. */
static call schedule_of(zn_sema *s, zn_expr *e, double epochs) {
    bool used = false, whole = epochs == floor(epochs) && epochs < 0x1p53;
    const zn_val length = {.kind = whole ? ZN_V_INT : ZN_V_FLOAT, .i = whole ? (int64_t)epochs : 0, .f = epochs},
                 unknown = {.kind = ZN_V_BAD};
    const zn_local local = {"epochs", {0}, &used, false, NULL};
    const zn_env env = {"epochs", epochs > 0 ? &length : &unknown, NULL};
    s->locals = &local;
    s->env = &env;
    call c = take_schedule(s, e);
    s->locals = NULL;
    s->env = NULL;
    if (used) /* a program that is told another length cannot follow */
        zn_conf_set_bool(s->module, "train.lr.by_epochs", true, e->at);
    return c;
}

static void config_lr(zn_sema *s, zn_expr *e, double epochs, int64_t steps) {
    call c = schedule_of(s, e, epochs);
    if (!c.sig)
        return;
    if (c.sig->id == ZN_SIG_SCHEDULE_STEP) {
        double reached = option(&c, "lr");
        for (size_t i = 0; i < c.v[ZN_ARG_AT(SCHEDULE, STEP, at)].n; i++)
            reached *= option(&c, "factor");
        if (isinf((float)reached))
            zn_sema_error(s, ZN_DIAG_RANGE, c.slot[ZN_ARG_AT(SCHEDULE, STEP, factor)]->at,
                          "`factor` makes the learning rate larger than a 32-bit float can be");
    }
    zn_lint_schedule(s, c.sig, c.slot, c.v, epochs);
    const zn_expr *at = c.slot[zn_sig_arg_index(c.sig, "warmup")];
    double warmup = option(&c, "warmup");
    if (!at || epochs <= 0)
        return;
    bool too_long = warmup >= epochs;
    if (steps && round(warmup * (double)steps) >= ceil(epochs * (double)steps))
        too_long = true;
    if (too_long)
        zn_sema_error(s, ZN_DIAG_WARMUP, at->at, "the warm-up takes %s epochs; the run has only %s", number(s, warmup),
                      number(s, epochs));
}

static void config_train(zn_sema *s) {
    const zn_section_kind k = ZN_SECTION_TRAIN;
    static const zn_loss_kind of_target[] = {ZN_LOSS_LABEL, ZN_LOSS_IMAGE, ZN_LOSS_VALUE}; /* order of the words */
    zn_expr *e;
    zn_val v;
    if ((e = value_of(s, k, "loss"))) {
        call c = take_call(s, &zn_arg_table[ZN_ARG_SECTION_TRAIN_loss], e);
        s->loss = !c.sig                         ? ZN_LOSS_UNKNOWN
                  : c.sig->id != ZN_SIG_LOSS_MSE ? ZN_LOSS_CLASSES
                                                 : of_target[c.v[ZN_ARG_AT(LOSS, MSE, target)].i];
    }
    if ((e = value_of(s, k, "optimizer"))) {
        call c = take_call(s, &zn_arg_table[ZN_ARG_SECTION_TRAIN_optimizer], e);
        if (c.sig && c.sig->id == ZN_SIG_OPTIMIZER_SGD && c.v[ZN_ARG_AT(OPTIMIZER, SGD, nesterov)].i &&
            option(&c, "momentum") == 0)
            zn_sema_error(s, ZN_DIAG_RANGE, c.slot[ZN_ARG_AT(OPTIMIZER, SGD, nesterov)]->at,
                          "`nesterov` needs a momentum above 0");
    }
    if (take_value(s, k, "batch", &v)) {
        s->batch = v.i;
        if (s->samples && v.i > s->samples)
            zn_sema_error(s, ZN_DIAG_BATCH, value_of(s, k, "batch")->at,
                          "a batch of %" PRId64 " is larger than the data set, which has %" PRId64 " training samples",
                          v.i, s->samples);
    }
    double epochs = take_value(s, k, "epochs", &v) ? (v.kind == ZN_V_INT ? (double)v.i : v.f) : 0;
    s->epochs = epochs;
    if ((e = value_of(s, k, "lr")))
        config_lr(s, e, epochs, s->samples && s->batch ? s->samples / s->batch : 0);
    if (take_value(s, k, "decay", &v))
        s->decay = v.f;
    take_value(s, k, "seed", &v);
    if ((e = value_of(s, k, "grad_clip")))
        take_call(s, &zn_arg_table[ZN_ARG_SECTION_TRAIN_grad_clip], e);
    if ((e = value_of(s, k, "average")))
        take_call(s, &zn_arg_table[ZN_ARG_SECTION_TRAIN_average], e);
    s->option = NULL;
    static const char *const by_rules[] = {"decay", "rate", "freeze"};
    for (size_t i = 0; i < sizeof by_rules / sizeof *by_rules; i++) {
        const zn_entry *rules = rules_of(s, k, by_rules[i]);
        if (rules)
            zn_config_number_rules(s, rules, zn_arena_printf(s->arena, "train.%s", by_rules[i]));
    }
}

/* ---- data ---- */

/* Without samples for a test some must be held out; labels of a test need its images, and the other way round. */
static void check_test(zn_sema *s, const call *c) {
    static const char *const names[] = {"test_images", "test_labels", "test"};
    const zn_sig *sig = c->sig;
    const char *given = NULL, *missing = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t k = zn_sig_arg_index(sig, names[i]);
        if (k < sig->n && !sig->arg[k].required)
            *(c->slot[k] ? &given : &missing) = names[i];
    }
    if (given && missing)
        zn_sema_error(s, ZN_DIAG_ARG_MISSING, s->source_at, "`%s` has `%s` but no `%s`", sig->name, given, missing);
    else if (missing && !value_of(s, ZN_SECTION_DATA, "split"))
        zn_sema_error(s, ZN_DIAG_KEY_MISSING, s->source_at,
                      "`%s` has no `%s`: name files for the test, or hold out samples with `split`", sig->name,
                      missing);
    s->option = NULL;
}

static void config_source(zn_sema *s, zn_expr *e) {
    call c = take_call(s, &zn_arg_table[ZN_ARG_SECTION_DATA_source], e);
    int64_t fact[ZN_FACTS], elements;
    if (!c.sig)
        return;
    s->source = c.sig->name;
    s->source_at = e->at;
    check_test(s, &c);
    if (!zn_source_facts(s->module, fact))
        return;
    int64_t h = fact[ZN_FACT_HEIGHT], w = fact[ZN_FACT_WIDTH], channels = fact[ZN_FACT_CHANNELS];
    if (__builtin_mul_overflow(h, w, &elements) || __builtin_mul_overflow(elements, channels, &elements) ||
        elements > INT32_MAX) {
        zn_sema_error(s, ZN_DIAG_TOO_LARGE, e->at, "a sample of %" PRId64 " x %" PRId64 " x %" PRId64 " is too large",
                      h, w, channels);
        return;
    }
    s->sample = (zn_shape){.rank = 3, .dim = {h, w, channels}};
    s->classes = fact[ZN_FACT_CLASSES];
    s->samples = fact[ZN_FACT_TRAINING];
}

/* Numbers of a list, or NULL. */
static const double *numbers(zn_sema *s, const zn_val *v) {
    double *x = zn_new_n(s->arena, double, v->n);
    if (v->kind != ZN_V_LIST || v->n == 0)
        return NULL;
    for (size_t i = 0; i < v->n; i++) {
        if (v->list[i].kind != ZN_V_INT && v->list[i].kind != ZN_V_FLOAT)
            return NULL;
        x[i] = v->list[i].kind == ZN_V_INT ? (double)v->list[i].i : v->list[i].f;
    }
    return x;
}

static void check_normalize(zn_sema *s, zn_expr *e, const void *words) {
    zn_val unused;
    if (zn_bare_word(s, NULL, e))
        zn_eval_word(s, NULL, e, "normalize", words, &unused);
    else
        zn_resolve_expr(s, e, NULL, false);
}

static void config_normalize(zn_sema *s, zn_expr *e) {
    static const char words[] = "none|per_channel";
    zn_module *m = s->module;
    if (!e) {
        zn_conf_set_str(m, "data.normalize", "none", (zn_span){0});
        return;
    }
    if (!(e = zn_config_taken(s, e, check_normalize, words)))
        return;
    if (!zn_bare_word(s, NULL, e))
        zn_resolve_expr(s, e, NULL, false);
    zn_val v =
        e->kind == ZN_E_LIST || (e->kind == ZN_E_NAME && !zn_bare_word(s, NULL, e)) ? zn_eval(s, NULL, e) : (zn_val){0};
    if (v.kind != ZN_V_LIST) {
        zn_val word;
        if (zn_eval_word(s, NULL, e, "normalize", words, &word))
            zn_conf_set_str(m, "data.normalize", word.s, e->at);
        return;
    }
    const double *mean = v.n == 2 ? numbers(s, &v.list[0]) : NULL,
                 *deviation = v.n == 2 ? numbers(s, &v.list[1]) : NULL;
    if (!mean || !deviation) {
        zn_sema_error(s, ZN_DIAG_NORMALIZE, e->at,
                      "`normalize` needs a list of means and a list of deviations: [[0.5], [0.25]]");
        return;
    }
    size_t n = v.list[0].n;
    if (n != v.list[1].n || (!s->sample.bad && n != (size_t)s->sample.dim[2])) {
        zn_sema_error(s, ZN_DIAG_NORMALIZE, e->at, "there are %zu means and %zu deviations%s", n, v.list[1].n,
                      s->sample.bad ? "; one of each belongs to a channel"
                                    : zn_arena_printf(s->arena, "; %s has %" PRId64 " channel%s", s->source,
                                                      s->sample.dim[2], s->sample.dim[2] == 1 ? "" : "s"));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *wrong = NULL;
        /* pixels from 0 to 1 become (pixel - mean) / deviation, as 32-bit floats */
        double largest = fmax(fabs(mean[i]), fabs(1 - mean[i])) / deviation[i];
        if (deviation[i] <= 0)
            wrong = deviation[i] < 0 ? "a deviation is negative" : "a deviation is 0: it would divide by zero";
        else if (isinf((float)largest))
            wrong = "pixels would become too large for 32-bit floats";
        if (wrong) {
            zn_sema_error(s, ZN_DIAG_NORMALIZE, e->at, "%s", wrong);
            return;
        }
    }
    zn_conf_set_str(m, "data.normalize", "given", e->at);
    zn_conf_set_floats(m, "data.mean", n, mean, e->at);
    zn_conf_set_floats(m, "data.deviation", n, deviation, e->at);
}

/* A list of calls, each at most once, written into the configuration; `flip` has no option that would say it is there.
 */
typedef struct call_list {
    int row; /* of the section's key */
    const char *example, *empty;
    zn_sig_id flip;
    const char *flip_key;
} call_list;

static bool need_list(zn_sema *s, const zn_expr *e, const call_list *l) {
    if (e->kind == ZN_E_LIST)
        return true;
    if (e->kind != ZN_E_BAD)
        zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs a list, such as %s", zn_arg_table[l->row].name, l->example);
    return false;
}

static void check_list(zn_sema *s, zn_expr *e, const void *ctx) {
    const call_list *l = ctx;
    const call_kind kind = {zn_sig_row(l->flip).group, zn_arg_table[l->row].name};
    for (zn_arg *a = need_list(s, e, l) ? e->args.first : NULL; a; a = a->next)
        check_arms(s, a->value, check_call, &kind);
}

/* How many there are. */
static size_t take_list(zn_sema *s, zn_expr *e, const call_list *l) {
    const zn_sig_arg *key = &zn_arg_table[l->row];
    bool seen[ZN_SIG_COUNT] = {false}, chosen = s->option || (e && e->kind == ZN_E_COND);
    if (!e || !(e = zn_config_taken(s, e, check_list, l)) || !need_list(s, e, l))
        return 0;
    if (!e->args.n && !chosen) /* a choice, or an option, has no other way to say: none */
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "an empty list %s; leave `%s` out", l->empty, key->name);
    for (zn_arg *a = e->args.first; a; a = a->next) {
        call c = {0};
        c.sig = zn_config_head(s, zn_sig_row(l->flip).group, &a->value, key->name, &c.slot);
        if (!c.sig)
            continue;
        if (seen[c.sig->id])
            zn_sema_error(s, ZN_DIAG_ARG_TWICE, a->value->at, "`%s` stands twice in `%s`", c.sig->name, key->name);
        seen[c.sig->id] = true;
        take_options(s, &c, key, a->value->at);
        if (c.sig->id == l->flip)
            zn_conf_set_bool(s->module, l->flip_key, true, a->value->at);
    }
    return e->args.n;
}

static void config_augment(zn_sema *s, zn_expr *e) {
    static const call_list list = {ZN_ARG_SECTION_DATA_augment, "[crop(pad = 4), flip]", "augments nothing",
                                   ZN_SIG_AUGMENT_FLIP, "data.flip"};
    zn_conf_set_int(s->module, "data.crop", 0, (zn_span){0});
    zn_conf_set_bool(s->module, "data.flip", false, (zn_span){0});
    take_list(s, e, &list);
}

static void config_views(zn_sema *s, zn_expr *e) {
    static const call_list list = {ZN_ARG_SECTION_DATA_views, "[flip, shift(1)]", "shows nothing", ZN_SIG_VIEW_FLIP,
                                   "data.views.flip"};
    if (take_list(s, e, &list))
        s->views_at = e->at;
}

/* The part that is held out; what is left of the samples is trained on. */
static void config_split(zn_sema *s, zn_expr *e) {
    zn_val v;
    if (!e || !take_value(s, ZN_SECTION_DATA, "split", &v) || !s->samples)
        return;
    int64_t out = zn_part_of(v.f, s->samples);
    if (v.f > 0 && (out < 1 || out >= s->samples)) {
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`split` holds out %" PRId64 " of %" PRId64 " training samples", out,
                      s->samples);
        return;
    }
    s->samples -= out;
}

static void config_data(zn_sema *s) {
    zn_expr *e = value_of(s, ZN_SECTION_DATA, "source");
    if (e)
        config_source(s, e);
    config_split(s, value_of(s, ZN_SECTION_DATA, "split"));
    e = value_of(s, ZN_SECTION_DATA, "normalize");
    if (e || value_of(s, ZN_SECTION_DATA, "source"))
        config_normalize(s, e);
    config_augment(s, value_of(s, ZN_SECTION_DATA, "augment"));
    config_views(s, value_of(s, ZN_SECTION_DATA, "views"));
    s->option = NULL;
}

/* ---- init ---- */

static bool check_hadamard(zn_sema *s, zn_expr *const *slot, const zn_val *v) {
    int64_t q = v[ZN_ARG_AT(SCHEME, HADAMARD, q)].i;
    if (q == 0 || q % 2)
        return true;
    zn_sema_error(s, ZN_DIAG_INIT_OPTION, slot[ZN_ARG_AT(SCHEME, HADAMARD, q)]->at,
                  "`q` is the step through 2^n rows and must be odd; it is %" PRId64, q);
    return false;
}

bool zn_config_check_scheme(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v) {
    if (sig->id == ZN_SIG_SCHEME_HADAMARD)
        return check_hadamard(s, slot, v);
    if (sig->id != ZN_SIG_SCHEME_ZERO)
        return true;
    if (v[ZN_ARG_AT(SCHEME, ZERO, scalars)].i && v[ZN_ARG_AT(SCHEME, ZERO, variant)].i) {
        zn_sema_error(s, ZN_DIAG_INIT_OPTION, slot[ZN_ARG_AT(SCHEME, ZERO, scalars)]->at,
                      "`scalars = true` is for `zero(variant = augment)`; `weights` changes no structure");
        return false;
    }
    if (v[ZN_ARG_AT(SCHEME, ZERO, scale)].i && !v[ZN_ARG_AT(SCHEME, ZERO, variant)].i) {
        zn_sema_error(
            s, ZN_DIAG_INIT_OPTION, slot[ZN_ARG_AT(SCHEME, ZERO, scale)]->at,
            "`scale = paper` is for `zero(variant = weights)`; the inserted Hadamard transforms are orthonormal");
        return false;
    }
    return true;
}

/* What `zero` takes for granted depends on its variant. */
static void complete_zero(zn_sema *s, const zn_config_start *c, zn_span at) {
    bool weights = c->v[ZN_ARG_AT(SCHEME, ZERO, variant)].i;
    if (!c->slot[ZN_ARG_AT(SCHEME, ZERO, head)])
        zn_conf_set_str(s->module, "init.head", weights ? "identity" : "zero", at);
    if (!c->slot[ZN_ARG_AT(SCHEME, ZERO, relu_at_zero)])
        zn_conf_set_int(s->module, "init.relu_at_zero", !weights, at);
}

static void config_init(zn_sema *s) {
    const zn_sig_arg *key = &zn_arg_table[ZN_ARG_SECTION_INIT_init];
    zn_expr *e = s->file->section[ZN_SECTION_INIT] ? value_of(s, ZN_SECTION_INIT, key->name) : NULL;
    zn_span at = e ? e->at : (zn_span){0};
    const zn_entry *rules = s->file->section[ZN_SECTION_INIT] ? rules_of(s, ZN_SECTION_INIT, key->name) : NULL;
    zn_config_start c;
    if (rules && !e) {
        zn_config_init_rules(s, rules);
        s->option = NULL;
        return;
    }
    if (!e) { /* the default, which nobody wrote */
        e = zn_expr_new(s->arena, ZN_E_NAME, at, NULL, NULL, NULL);
        e->s = key->value;
    }
    if (zn_config_take_start(s, e, "init", &c)) {
        zn_conf_set_str(s->module, "init.text", c.text, at);
        if (c.sig->id == ZN_SIG_SCHEME_ZERO)
            complete_zero(s, &c, at);
    }
    s->option = NULL;
}

void zn_config(zn_sema *s) {
    const zn_section *data = s->file->section[ZN_SECTION_DATA], *train = s->file->section[ZN_SECTION_TRAIN];
    for (zn_section_kind k = 0; k < ZN_SECTION_COUNT; k++)
        if (s->file->section[k])
            check_entries(s, k);
    bool hole = s->file->hole;
    if (train && !data && !hole && !zn_is_lost(s->file, "data"))
        zn_sema_error(s, ZN_DIAG_SECTION_MISSING, train->at, "there is `train` but no `data`: nothing to learn from");
    if (data && !train && !hole && !zn_is_lost(s->file, "train"))
        zn_sema_error(s, ZN_DIAG_SECTION_MISSING, data->at,
                      "there is `data` but no `train`: nothing says how to learn from it");
    s->sample.bad = true;
    s->samples = 0;
    if (data)
        config_data(s);
    s->has_train = train != NULL;
    s->batch = train ? 0 : 1;
    if (train)
        config_train(s);
    config_init(s);
}
