/* The sections data, init and train: checked, evaluated, written into the module's configuration with every default.
 *
 * Also here: --set, which puts entries into the sections before they are read, as if they stood in the file. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/parse.h"
#include "frontend/sema.h"
#include "support/number.h"

enum { MAX_INT = INT32_MAX, MAX_KEYS = 8 };

static const char *const data_keys[] = {"source", "normalize", "augment"};
static const char *const init_keys[] = {"init"};
static const char *const train_keys[] = {"loss", "optimizer", "lr", "decay", "batch", "epochs", "seed"};
/* Required keys have their bit set in `required`. */
static const struct {
    const char *const *key;
    size_t n;
    unsigned required;
} section_keys[ZN_SECTION_COUNT] = {{data_keys, 3, 1}, {init_keys, 1, 0}, {train_keys, 7, 1 | 2 | 4 | 16 | 32}};

/* ---- --set ---- */

static void set_error(zn_sema *s, const char *text) {
    zn_sema_error(s, ZN_DIAG_SET, (zn_span){0}, "%s", text);
}

/* What an option takes the place of still counts as used. */
static void mark_used(zn_sema *s, const zn_expr *e) {
    if (e->kind == ZN_E_NAME) {
        zn_decl *d = zn_decl_find(s, e->s);
        if (d && d->kind != ZN_DECL_BLOCK)
            d->used = true;
    }
    for (const zn_arg *a = e->args.first; a; a = a->next)
        mark_used(s, a->value);
    if (e->a)
        mark_used(s, e->a);
    if (e->b)
        mark_used(s, e->b);
    if (e->c)
        mark_used(s, e->c);
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
        bool known = false;
        for (size_t i = 0; i < section_keys[k].n; i++)
            known = known || !strcmp(section_keys[k].key[i], key);
        if (!known) {
            zn_diag *x = zn_sema_error(s, ZN_DIAG_SET, (zn_span){0}, "`%s` has no key `%s`", zn_section_names[k], key);
            zn_sema_nearest(s, x, key, section_keys[k].key, section_keys[k].n);
            return;
        }
    }
    zn_section *sec = s->file->section[k];
    if (!sec) {
        if (k != ZN_SECTION_INIT) {
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
            mark_used(s, e->value);
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

static void check_missing(zn_sema *s, zn_section_kind k, unsigned given) {
    unsigned missing = section_keys[k].required & ~given;
    if (!missing)
        return;
    zn_buf list = {0};
    bool several = missing & (missing - 1);
    for (size_t i = 0; i < section_keys[k].n; i++) {
        if (!(missing >> i & 1))
            continue;
        missing &= ~(1u << i);
        zn_buf_printf(&list, "%s`%s`", !list.n ? "" : missing ? ", " : " and ", section_keys[k].key[i]);
    }
    zn_sema_error(s, ZN_DIAG_KEY_MISSING, s->file->section[k]->at, "`%s` needs the key%s %s", zn_section_names[k],
                  several ? "s" : "", zn_buf_str(&list));
    zn_buf_free(&list);
}

/* The number of keys if it is none. */
static size_t key_index(zn_section_kind k, const char *key) {
    size_t i = 0;
    while (i < section_keys[k].n && strcmp(section_keys[k].key[i], key))
        i++;
    return i;
}

static void check_entries(zn_sema *s, zn_section_kind k) {
    zn_section *sec = s->file->section[k];
    unsigned given = 0;
    const zn_entry *first[MAX_KEYS] = {0};
    for (zn_entry *e = sec->first; e; e = e->next) {
        s->option = e->option;
        const char *near = NULL;
        size_t key = key_index(k, e->key);
        bool known = key < section_keys[k].n;
        if (!known) {
            zn_diag *x =
                zn_sema_error(s, ZN_DIAG_KEY_UNKNOWN, e->at, "`%s` has no key `%s`", zn_section_names[k], e->key);
            near = zn_sema_nearest(s, x, e->key, section_keys[k].key, section_keys[k].n);
        }
        if (near)
            key = key_index(k, near);
        if (key < section_keys[k].n)
            given |= 1u << key;
        if (!known) {
            if (e->value)
                mark_used(s, e->value);
            continue;
        }
        if (!e->value) {
            if (!strcmp(e->key, "decay"))
                zn_sema_error(s, ZN_DIAG_NOT_YET, e->at,
                              "`decay { ... }`, a decay for each path, is not supported yet; `decay = x` is");
            else
                zn_sema_error(s, ZN_DIAG_SYNTAX, e->at, "`%s` takes a value: `%s = ...`", e->key, e->key);
        }
        if (first[key]) {
            zn_diag *x = zn_sema_error(s, ZN_DIAG_KEY_TWICE, e->at, "`%s` is given twice", e->key);
            zn_sema_note(s, x, ZN_NOTE_LABEL, first[key]->at, "first here");
            if (e->value)
                mark_used(s, e->value);
        } else {
            first[key] = e;
        }
    }
    s->option = NULL;
    check_missing(s, k, given);
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

/* A call by name from a group, with or without parentheses. NULL after reporting. */
static const zn_sig *head(zn_sema *s, zn_sig_group g, zn_expr *e, const char *what, zn_expr ***slot) {
    const zn_sig *sig = e->kind == ZN_E_NAME || e->kind == ZN_E_CALL ? zn_sig_find(s, g, e->s) : NULL;
    if (e->kind == ZN_E_BAD)
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
            mark_used(s, e);
        } else {
            zn_sema_error(s, ZN_DIAG_CHOICE, e->at, "`%s` cannot be a value; it is %s", what, zn_buf_str(&list));
            zn_resolve_expr(s, e, NULL, false);
        }
        zn_buf_free(&list);
        return NULL;
    }
    if (sig->not_yet) {
        zn_sema_error(s, ZN_DIAG_NOT_YET, e->name_at, "`%s = %s` is not supported yet", what, e->s);
        mark_used(s, e);
        return NULL;
    }
    *slot = zn_new_n(s->arena, zn_expr *, sig->n);
    if (!zn_sig_bind(s, sig, &e->args, e->name_at, *slot)) {
        mark_used(s, e);
        return NULL;
    }
    zn_resolve_slots(s, sig, *slot, NULL, false);
    return sig;
}

static bool get_int(zn_sema *s, zn_expr *e, const char *what, int64_t min, int64_t max, int64_t otherwise,
                    int64_t *out) {
    *out = otherwise;
    return !e || zn_eval_int(s, NULL, e, what, min, max, out);
}

static bool get_float(zn_sema *s, zn_expr *e, const char *what, double max, double otherwise, double *out) {
    *out = otherwise;
    return !e || zn_eval_float(s, NULL, e, what, 0, max, !isinf(max), out);
}

static const char *number(zn_sema *s, double x) {
    char num[ZN_NUMBER_MAX];
    zn_f64_json(x, num);
    return zn_arena_strdup(s->arena, num);
}

/* ---- train ---- */

static void config_lr(zn_sema *s, zn_expr *e, int64_t epochs, int64_t steps) {
    zn_module *m = s->module;
    double lr = 0, warmup = 0, x = 0;
    zn_expr *warmup_at = NULL;
    bool ok = true;
    bool call = e->kind == ZN_E_CALL || (e->kind == ZN_E_NAME && !zn_decl_find(s, e->s));
    if (!call || zn_sig_find(s, ZN_GROUP_FUNC, e->s)) {
        zn_resolve_expr(s, e, NULL, false);
        ok = get_float(s, e, "lr", HUGE_VAL, 0, &lr);
        if (!ok)
            return;
        zn_conf_set_str(m, "train.lr.kind", "constant", e->at);
    } else {
        zn_expr **slot;
        const zn_sig *sig = head(s, ZN_GROUP_SCHEDULE, e, "lr", &slot);
        if (!sig)
            return;
        zn_conf_set_str(m, "train.lr.kind", sig->name, e->at);
        ok &= get_float(s, slot[0], "lr", HUGE_VAL, 0, &lr);
        if (sig->id == ZN_SIG_SCHEDULE_STEP) {
            ok &= get_float(s, slot[2], "factor", HUGE_VAL, 0.1, &x);
            zn_conf_set_float(m, "train.lr.factor", x, e->at);
            warmup_at = slot[3];
            double reached = lr;
            zn_val at = zn_eval(s, NULL, slot[1]);
            if (at.kind != ZN_V_LIST && at.kind != ZN_V_BAD)
                zn_sema_error(s, ZN_DIAG_TYPE, slot[1]->at, "`at` needs a list of epochs; this is %s",
                              zn_val_kind_text(&at));
            double *v = zn_new_n(s->arena, double, at.n);
            for (size_t i = 0; i < at.n; i++) {
                const zn_val *a = &at.list[i];
                if (a->kind != ZN_V_INT && a->kind != ZN_V_FLOAT) {
                    zn_sema_error(s, ZN_DIAG_TYPE, slot[1]->at, "`at` needs a list of epochs; this holds %s",
                                  zn_val_kind_text(a));
                    break;
                }
                v[i] = a->kind == ZN_V_INT ? (double)a->i : a->f;
                if (v[i] <= (i ? v[i - 1] : 0)) {
                    zn_sema_error(s, ZN_DIAG_RANGE, slot[1]->at, "the epochs of `at` must be above 0 and ascend");
                    break;
                }
                reached *= x;
            }
            if (ok && isinf((float)reached))
                zn_sema_error(s, ZN_DIAG_RANGE, slot[2]->at,
                              "`factor` makes the learning rate larger than a 32-bit float can be");
            zn_conf_set_floats(m, "train.lr.at", at.n, v, e->at);
        } else {
            warmup_at = slot[1];
            if (sig->id == ZN_SIG_SCHEDULE_COSINE) {
                ok &= get_float(s, slot[2], "end", HUGE_VAL, 0, &x);
                zn_conf_set_float(m, "train.lr.end", x, e->at);
            }
        }
        ok &= get_float(s, warmup_at, "warmup", HUGE_VAL, 0, &warmup);
    }
    zn_conf_set_float(m, "train.lr.value", lr, e->at);
    zn_conf_set_float(m, "train.lr.warmup", warmup, e->at);
    if (!ok || !warmup_at || !epochs)
        return;
    bool too_long = warmup >= (double)epochs;
    if (steps && llround(warmup * (double)steps) >= epochs * steps)
        too_long = true;
    if (too_long)
        zn_sema_error(s, ZN_DIAG_WARMUP, warmup_at->at, "the warm-up takes %s epochs; the run has only %" PRId64,
                      number(s, warmup), epochs);
}

/* beta1, beta2 and eps of adam and adamw. */
static void config_moments(zn_sema *s, zn_expr *const *slot, zn_span at) {
    static const char *const names[] = {"beta1", "beta2"};
    static const double otherwise[] = {0.9, 0.999};
    double x;
    for (int i = 0; i < 2; i++) {
        get_float(s, slot[i], names[i], 1, otherwise[i], &x);
        zn_conf_set_float(s->module, i ? "train.beta2" : "train.beta1", x, at);
    }
    if (get_float(s, slot[2], "eps", HUGE_VAL, 1e-8, &x) && x == 0)
        zn_sema_error(s, ZN_DIAG_RANGE, slot[2]->at, "`eps` must be above 0");
    zn_conf_set_float(s->module, "train.eps", x, at);
}

static void config_train(zn_sema *s) {
    zn_module *m = s->module;
    zn_section_kind k = ZN_SECTION_TRAIN;
    zn_expr *e, **slot;
    int64_t i = 0, epochs = 0;
    double x = 0;
    bool b = false;
    if ((e = value_of(s, k, "loss")) && head(s, ZN_GROUP_LOSS, e, "loss", &slot)) {
        zn_conf_set_str(m, "train.loss", "cross_entropy", e->at);
        if (get_float(s, slot[0], "smoothing", 1, 0, &x))
            zn_conf_set_float(m, "train.smoothing", x, e->at);
    }
    const zn_sig *optimizer = NULL;
    if ((e = value_of(s, k, "optimizer")) && (optimizer = head(s, ZN_GROUP_OPTIMIZER, e, "optimizer", &slot)))
        zn_conf_set_str(m, "train.optimizer", optimizer->name, e->at);
    if (optimizer && optimizer->id != ZN_SIG_OPTIMIZER_SGD)
        config_moments(s, slot, e->at);
    if (optimizer && optimizer->id == ZN_SIG_OPTIMIZER_SGD) {
        bool ok = get_float(s, slot[0], "momentum", 1, 0, &x);
        if (ok)
            zn_conf_set_float(m, "train.momentum", x, e->at);
        if (!slot[1] || zn_eval_bool(s, NULL, slot[1], "nesterov", &b))
            zn_conf_set_bool(m, "train.nesterov", b, e->at);
        if (ok && b && x == 0)
            zn_sema_error(s, ZN_DIAG_RANGE, slot[1]->at, "`nesterov` needs a momentum above 0");
    }
    if ((e = value_of(s, k, "batch"))) {
        zn_resolve_expr(s, e, NULL, false);
        if (zn_eval_int(s, NULL, e, "batch", 1, MAX_INT, &i)) {
            s->batch = i;
            zn_conf_set_int(m, "train.batch", i, e->at);
            if (s->samples && i > s->samples)
                zn_sema_error(s, ZN_DIAG_BATCH, e->at,
                              "a batch of %" PRId64 " is larger than the data set, which has %" PRId64
                              " training samples",
                              i, s->samples);
        }
    }
    if ((e = value_of(s, k, "epochs"))) {
        zn_resolve_expr(s, e, NULL, false);
        if (zn_eval_int(s, NULL, e, "epochs", 1, MAX_INT, &epochs))
            zn_conf_set_int(m, "train.epochs", epochs, e->at);
    }
    if ((e = value_of(s, k, "lr")))
        config_lr(s, e, epochs, s->samples && s->batch ? s->samples / s->batch : 0);
    if ((e = value_of(s, k, "decay")))
        zn_resolve_expr(s, e, NULL, false);
    if (get_float(s, e, "decay", HUGE_VAL, 0, &x)) {
        s->decay = x;
        zn_conf_set_float(m, "train.decay", x, e ? e->at : (zn_span){0});
    }
    if ((e = value_of(s, k, "seed")))
        zn_resolve_expr(s, e, NULL, false);
    if (get_int(s, e, "seed", 0, INT64_MAX, 1, &i))
        zn_conf_set_int(m, "train.seed", i, e ? e->at : (zn_span){0});
    s->option = NULL;
}

/* ---- data ---- */

static const char *resolve_path(zn_sema *s, const char *path) {
    const char *dir = s->options ? s->options->dir : NULL;
    if (path[0] == '/' || !dir || !*dir)
        return path;
    return zn_arena_printf(s->arena, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

static void set_sample(zn_sema *s, int64_t h, int64_t w, int64_t c, int64_t classes, int64_t n) {
    s->sample = (zn_shape){.rank = 3, .dim = {h, w, c}};
    s->classes = classes;
    s->samples = n;
}

static void config_noise(zn_sema *s, const zn_sig *sig, zn_expr **slot, zn_span at) {
    static const int64_t min[] = {1, 1, 1, 1, 10}, max[] = {MAX_INT, MAX_INT, MAX_INT, 256, MAX_INT};
    int64_t v[5] = {0};
    double f[5];
    bool ok = true;
    for (size_t i = 0; i < 5; i++) {
        ok &= zn_eval_int(s, NULL, slot[i], sig->arg[i].name, min[i], max[i], &v[i]);
        f[i] = (double)v[i];
    }
    if (!ok)
        return;
    int64_t elements;
    if (__builtin_mul_overflow(v[0] * v[1], v[2], &elements) || elements > MAX_INT) {
        zn_sema_error(s, ZN_DIAG_TOO_LARGE, at, "a sample of %" PRId64 " x %" PRId64 " x %" PRId64 " is too large",
                      v[0], v[1], v[2]);
        return;
    }
    zn_conf_set_floats(s->module, "data.noise", 5, f, at);
    set_sample(s, v[0], v[1], v[2], v[3], v[4]);
}

static void config_source(zn_sema *s, zn_expr *e) {
    static const char *const path_keys[] = {"data.path0", "data.path1", "data.path2", "data.path3"};
    zn_module *m = s->module;
    zn_expr **slot;
    const zn_sig *sig = head(s, ZN_GROUP_SOURCE, e, "source", &slot);
    if (!sig)
        return;
    s->source = sig->name;
    s->source_at = e->at;
    zn_conf_set_str(m, "data.source", sig->name, e->at);
    zn_expr *seed = NULL;
    switch (sig->id) {
    case ZN_SIG_SOURCE_DIGITS:
        set_sample(s, 28, 28, 1, 10, 10000);
        seed = slot[0];
        break;
    case ZN_SIG_SOURCE_NOISE:
        config_noise(s, sig, slot, e->at);
        seed = slot[5];
        break;
    case ZN_SIG_SOURCE_MNIST:
        set_sample(s, 28, 28, 1, 10, 60000);
        break;
    case ZN_SIG_SOURCE_CIFAR10:
        set_sample(s, 32, 32, 3, 10, 50000);
        break;
    default:
        break; /* idx: known when the files are read */
    }
    if (sig->id == ZN_SIG_SOURCE_DIGITS || sig->id == ZN_SIG_SOURCE_NOISE) {
        int64_t x;
        if (get_int(s, seed, "seed", 0, INT64_MAX, 1, &x))
            zn_conf_set_int(m, "data.seed", x, e->at);
        return;
    }
    for (size_t i = 0; i < sig->n; i++) {
        const char *path;
        if (!zn_eval_str(s, NULL, slot[i], sig->arg[i].name, &path))
            continue;
        if (!*path)
            zn_sema_error(s, ZN_DIAG_RANGE, slot[i]->at, "`%s` is an empty path", sig->arg[i].name);
        else
            zn_conf_set_str(m, path_keys[i], resolve_path(s, path), e->at);
    }
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

static void config_normalize(zn_sema *s, zn_expr *e) {
    static const char *const words[] = {"none", "per_channel"};
    zn_module *m = s->module;
    if (!e) {
        zn_conf_set_str(m, "data.normalize", "none", (zn_span){0});
        return;
    }
    if (!zn_bare_word(s, NULL, e))
        zn_resolve_expr(s, e, NULL, false);
    zn_val v =
        e->kind == ZN_E_LIST || (e->kind == ZN_E_NAME && !zn_bare_word(s, NULL, e)) ? zn_eval(s, NULL, e) : (zn_val){0};
    if (v.kind != ZN_V_LIST) {
        size_t k;
        if (zn_eval_word(s, NULL, e, "normalize", words, 2, 2, &k))
            zn_conf_set_str(m, "data.normalize", words[k], e->at);
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

static void config_augment(zn_sema *s, zn_expr *e) {
    zn_conf_set_int(s->module, "data.crop", 0, (zn_span){0});
    zn_conf_set_bool(s->module, "data.flip", false, (zn_span){0});
    if (!e)
        return;
    if (e->kind != ZN_E_LIST) {
        if (e->kind != ZN_E_BAD)
            zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`augment` needs a list, such as [crop(pad = 4), flip]");
        return;
    }
    bool crop = false, flip = false;
    for (zn_arg *a = e->args.first; a; a = a->next) {
        zn_expr **slot;
        const zn_sig *sig = head(s, ZN_GROUP_AUGMENT, a->value, "augment", &slot);
        if (!sig)
            continue;
        bool *seen = sig->id == ZN_SIG_AUGMENT_CROP ? &crop : &flip;
        if (*seen)
            zn_sema_error(s, ZN_DIAG_ARG_TWICE, a->value->at, "`%s` stands twice in `augment`", sig->name);
        *seen = true;
        int64_t pad;
        if (sig->id == ZN_SIG_AUGMENT_FLIP)
            zn_conf_set_bool(s->module, "data.flip", true, a->value->at);
        else if (zn_eval_int(s, NULL, slot[0], "pad", 1, 1024, &pad))
            zn_conf_set_int(s->module, "data.crop", pad, a->value->at);
    }
}

static void config_data(zn_sema *s) {
    zn_expr *e = value_of(s, ZN_SECTION_DATA, "source");
    if (e)
        config_source(s, e);
    e = value_of(s, ZN_SECTION_DATA, "normalize");
    if (e || value_of(s, ZN_SECTION_DATA, "source"))
        config_normalize(s, e);
    config_augment(s, value_of(s, ZN_SECTION_DATA, "augment"));
    s->option = NULL;
}

/* ---- init ---- */

static void config_zero(zn_sema *s, zn_expr **slot, zn_span at) {
    static const char *const variants[] = {"augment", "weights"}, *const heads[] = {"zero", "identity"},
                             *const scales[] = {"orthonormal", "paper"}, *const columns[] = {"sylvester", "spanning"};
    zn_module *m = s->module;
    size_t variant = 0, head_kind, scale = 0, column = 0;
    int64_t at_zero;
    bool scalars = false;
    if (slot[0] && !zn_eval_word(s, NULL, slot[0], "variant", variants, 2, 2, &variant))
        return;
    head_kind = variant;
    if (slot[1] && !zn_eval_word(s, NULL, slot[1], "head", heads, 2, 2, &head_kind))
        return;
    if (!get_int(s, slot[2], "relu_at_zero", 0, 1, variant == 0, &at_zero))
        return;
    if (slot[3] && !zn_eval_word(s, NULL, slot[3], "scale", scales, 2, 2, &scale))
        return;
    if (slot[4] && !zn_eval_word(s, NULL, slot[4], "columns", columns, 2, 2, &column))
        return;
    if (slot[5] && !zn_eval_bool(s, NULL, slot[5], "scalars", &scalars))
        return;
    if (scalars) {
        zn_sema_error(s, ZN_DIAG_NOT_YET, slot[5]->at, "`scalars = true` is not supported yet");
        return;
    }
    zn_conf_set_str(m, "init.variant", variants[variant], at);
    zn_conf_set_str(m, "init.head", heads[head_kind], at);
    zn_conf_set_int(m, "init.relu_at_zero", at_zero, at);
    zn_conf_set_str(m, "init.scale", scales[scale], at);
    zn_conf_set_str(m, "init.columns", columns[column], at);
    zn_conf_set_bool(m, "init.scalars", scalars, at);
    zn_buf b = {0};
    zn_buf_printf(&b, "zero(variant = %s", variants[variant]);
    if (slot[1])
        zn_buf_printf(&b, ", head = %s", heads[head_kind]);
    if (slot[2])
        zn_buf_printf(&b, ", relu_at_zero = %" PRId64, at_zero);
    if (slot[3])
        zn_buf_printf(&b, ", scale = %s", scales[scale]);
    if (slot[4])
        zn_buf_printf(&b, ", columns = %s", columns[column]);
    if (slot[5])
        zn_buf_puts(&b, ", scalars = false");
    zn_buf_puts(&b, ")");
    zn_conf_set_str(m, "init.text", zn_buf_str(&b), at);
    zn_buf_free(&b);
}

static void config_init(zn_sema *s) {
    static zn_expr *const none[6] = {0};
    zn_expr *e = s->file->section[ZN_SECTION_INIT] ? value_of(s, ZN_SECTION_INIT, "init") : NULL, **slot;
    const zn_sig *sig = NULL;
    zn_span at = e ? e->at : (zn_span){0};
    if (e && !(sig = head(s, ZN_GROUP_SCHEME, e, "init", &slot)))
        return;
    zn_conf_set_str(s->module, "init.scheme", sig ? sig->name : "zero", at);
    if (sig && sig->id == ZN_SIG_SCHEME_KAIMING) {
        zn_conf_set_int(s->module, "init.relu_at_zero", 0, at);
        zn_conf_set_str(s->module, "init.text", "kaiming", at);
    } else {
        zn_expr *copy[6];
        memcpy(copy, sig ? slot : none, sizeof copy);
        config_zero(s, copy, at);
    }
    s->option = NULL;
}

void zn_config(zn_sema *s) {
    const zn_section *data = s->file->section[ZN_SECTION_DATA], *train = s->file->section[ZN_SECTION_TRAIN];
    for (zn_section_kind k = 0; k < ZN_SECTION_COUNT; k++)
        if (s->file->section[k])
            check_entries(s, k);
    if (train && !data)
        zn_sema_error(s, ZN_DIAG_SECTION_MISSING, train->at, "there is `train` but no `data`: nothing to learn from");
    if (data && !train)
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
