/* Options: what bound arguments mean, by the rows of ir/schema.def. The one place where ranges are checked and defaults
 * filled in, for layers, sections and everything that stands in them. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/sema.h"
#include "support/ice.h"
#include "support/number.h"

enum { MAX_SIZE = 1 << 20 }; /* of a window, its stride and its padding */

size_t zn_sig_arg_index(const zn_sig *sig, const char *name) {
    size_t i = 0;
    while (i < sig->n && strcmp(sig->arg[i].name, name))
        i++;
    return i;
}

static zn_val square(zn_sema *s, int64_t n) {
    zn_val *two = zn_new_n(s->arena, zn_val, 2);
    two[0] = two[1] = (zn_val){.kind = ZN_V_INT, .i = n};
    return (zn_val){.kind = ZN_V_LIST, .list = two, .n = 2};
}

static zn_val default_of(zn_sema *s, const zn_sig_arg *a) {
    zn_val v = {.kind = ZN_V_BAD};
    const char *text = a->value;
    bool planned, ok = true;
    if (!text)
        return v;
    switch (a->kind) {
    case ZN_A_INT:
    case ZN_A_COLUMN:
        v.kind = ZN_V_INT;
        ok = zn_i64_parse(text, strlen(text), &v.i);
        break;
    case ZN_A_FLOAT:
        v.kind = ZN_V_FLOAT;
        ok = zn_f64_parse(text, strlen(text), &v.f);
        break;
    case ZN_A_BOOL:
        v.kind = ZN_V_BOOL;
        v.i = !strcmp(text, "true");
        break;
    case ZN_A_WORD:
    case ZN_A_AUTO_BOOL:
        v.kind = ZN_V_STR;
        v.s = text;
        v.i = a->words ? zn_word_index(a->words, text, &planned) : 0;
        ok = v.i >= 0;
        break;
    case ZN_A_CALL: /* by its name alone */
        v.kind = ZN_V_STR;
        v.s = text;
        break;
    case ZN_A_SIZE:
        ok = zn_i64_parse(text, strlen(text), &v.i);
        v = square(s, v.i);
        break;
    case ZN_A_PAD:
        v.kind = ZN_V_STR;
        v.s = text;
        v.i = zn_word_index(a->words, text, &planned);
        ok = v.i >= 0;
        break;
    default:
        break;
    }
    if (!ok)
        ZN_ICE("schema: `%s` is no default for `%s`", text, a->name);
    return v;
}

static bool eval_bias(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    if (!(e = zn_cond_taken(s, env, e)))
        return false;
    const char *word = zn_bare_word(s, env, e);
    *out = word ? (zn_val){.kind = ZN_V_STR, .s = word} : zn_eval(s, env, e);
    if (out->kind == ZN_V_BOOL || (out->kind == ZN_V_STR && !strcmp(out->s, "auto")))
        return true;
    if (out->kind == ZN_V_STR)
        zn_sema_error(s, ZN_DIAG_CHOICE, e->at, "`%s` cannot be `%s`; it is auto, true or false", what, out->s);
    else if (out->kind != ZN_V_BAD)
        zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs auto, true or false; this is %s", what,
                      zn_val_kind_text(out));
    return false;
}

/* A path of a file or directory; relative ones are those of the .znet file. */
static bool eval_path(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    const char *path, *dir = s->options ? s->options->dir : NULL;
    if (!zn_eval_str(s, env, e, what, &path))
        return false;
    if (!*path) {
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is an empty path", what);
        return false;
    }
    if (path[0] != '/' && dir && *dir)
        path = zn_arena_printf(s->arena, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
    *out = (zn_val){.kind = ZN_V_STR, .s = path};
    return true;
}

/* A column of a table: by its name or its place. */
static bool eval_column(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    *out = zn_eval(s, env, e);
    if (out->kind == ZN_V_STR && !*out->s) {
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is an empty name", what);
        return false;
    }
    if (out->kind == ZN_V_STR || out->kind == ZN_V_INT)
        return true;
    if (out->kind != ZN_V_BAD)
        zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs the name of a column in quotes, or its index; this is %s",
                      what, zn_val_kind_text(out));
    return false;
}

static bool eval_epochs(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    zn_val list = zn_eval(s, env, e);
    double before = 0;
    if (list.kind != ZN_V_LIST) {
        if (list.kind != ZN_V_BAD)
            zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs a list of epochs; this is %s", what,
                          zn_val_kind_text(&list));
        return false;
    }
    for (size_t i = 0; i < list.n; i++) {
        const zn_val *v = &list.list[i];
        double x = v->kind == ZN_V_INT ? (double)v->i : v->f;
        if (v->kind != ZN_V_INT && v->kind != ZN_V_FLOAT)
            zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs a list of epochs; this holds %s", what,
                          zn_val_kind_text(v));
        else if (x <= before)
            zn_sema_error(s, ZN_DIAG_RANGE, e->at, "the epochs of `%s` must be above 0 and ascend", what);
        else {
            before = x;
            continue;
        }
        return false;
    }
    *out = list;
    return true;
}

/* An integer, or two: rows and columns. */
static bool eval_size(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    zn_val v = zn_eval(s, env, e);
    bool ok = v.kind != ZN_V_BAD;
    if (v.kind == ZN_V_INT)
        v = square(s, v.i);
    if (ok && (v.kind != ZN_V_LIST || v.n != 2 || v.list[0].kind != ZN_V_INT || v.list[1].kind != ZN_V_INT)) {
        zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs an integer or [rows, columns]; this is %s", what,
                      zn_val_kind_text(&v));
        return false;
    }
    for (size_t i = 0; ok && i < 2; i++)
        if (v.list[i].i < 1 || v.list[i].i > MAX_SIZE) {
            zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %" PRId64 "; it must be at %s %d", what, v.list[i].i,
                          v.list[i].i < 1 ? "least" : "most", v.list[i].i < 1 ? 1 : (int)MAX_SIZE);
            ok = false;
        }
    *out = v;
    return ok;
}

static bool eval_pad(zn_sema *s, const zn_env *env, const zn_expr *e, const zn_sig_arg *a, zn_val *out) {
    if (!(e = zn_cond_taken(s, env, e)))
        return false;
    if (!zn_bare_word(s, env, e)) {
        *out = zn_eval(s, env, e);
        if (out->kind == ZN_V_INT && out->i >= 0 && out->i <= MAX_SIZE)
            return true;
        if (out->kind == ZN_V_INT)
            zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %" PRId64 "; it must be between 0 and %d", a->name, out->i,
                          (int)MAX_SIZE);
        else if (out->kind != ZN_V_STR && out->kind != ZN_V_BAD)
            zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs same, valid or an integer; this is %s", a->name,
                          zn_val_kind_text(out));
        if (out->kind != ZN_V_STR)
            return false;
    }
    return zn_eval_word(s, env, e, a->name, a->words, out);
}

static bool eval_number(zn_sema *s, const zn_env *env, const zn_expr *e, const zn_sig_arg *a, zn_val *out) {
    out->kind = ZN_V_FLOAT;
    if (!zn_eval_float(s, env, e, a->name, a->low, a->high, a->below, &out->f))
        return false;
    if (!a->above || out->f > a->low)
        return true;
    char low[ZN_NUMBER_MAX];
    zn_f64_json(a->low, low);
    zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s; it must be above %s", a->name, low, low);
    return false;
}

/* A number of epochs: whole ones stay integers. */
static bool eval_length(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    *out = zn_eval(s, env, e);
    if (out->kind == ZN_V_INT)
        return zn_eval_int(s, env, e, what, 1, INT32_MAX, &out->i);
    if (out->kind == ZN_V_FLOAT && out->f <= 0) {
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s; it must be above 0", what, zn_val_text(s, out));
        return false;
    }
    double x = 0;
    if (!zn_eval_float(s, env, e, what, 0, INT32_MAX, false, &x))
        return false;
    if (x == floor(x) && x >= 1)
        *out = (zn_val){.kind = ZN_V_INT, .i = (int64_t)x};
    return true;
}

/* ---- expressions of fans */

enum { FANS_DEPTH = 32 }; /* levels of such an expression, at most: its reader has a stack */

static bool is_fan(const zn_expr *e) {
    return e->kind == ZN_E_NAME && (!strcmp(e->s, "fan_in") || !strcmp(e->s, "fan_out"));
}

static bool mentions_fans(const zn_expr *e) {
    bool found =
        is_fan(e) || (e->a && mentions_fans(e->a)) || (e->b && mentions_fans(e->b)) || (e->c && mentions_fans(e->c));
    for (const zn_arg *a = e->args.first; a && !found; a = a->next)
        found = mentions_fans(a->value);
    return found;
}

/* Appends e in reverse Polish notation, which passes/init/ reads: what does not depend on fans as its value. */
static bool fans_text(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_buf *out) {
    const char *name = NULL;
    char num[ZN_NUMBER_MAX];
    double x;
    if (!mentions_fans(e)) {
        if (!zn_eval_float(s, env, e, what, -HUGE_VAL, HUGE_VAL, false, &x))
            return false;
        zn_f64_json(x, num);
        name = num;
    } else if (e->kind == ZN_E_NAME) {
        name = e->s;
    } else if (e->kind == ZN_E_CALL && !strcmp(e->s, "sqrt") && e->args.n == 1) {
        if (!fans_text(s, env, e->args.first->value, what, out))
            return false;
        name = "sqrt";
    } else if (e->kind == ZN_E_BINARY &&
               (e->op == ZN_B_ADD || e->op == ZN_B_SUB || e->op == ZN_B_MUL || e->op == ZN_B_DIV)) {
        if (!fans_text(s, env, e->a, what, out) || !fans_text(s, env, e->b, what, out))
            return false;
        name = zn_bop_text[e->op];
    } else {
        zn_sema_error(s, ZN_DIAG_TYPE, e->at, "of fans `%s` can be made by + - * / and sqrt only", what);
        return false;
    }
    zn_buf_printf(out, "%s%s", out->n ? " " : "", name);
    return true;
}

/* The same as it stands in a file. */
static void fans_infix(zn_sema *s, const zn_env *env, const zn_expr *e, zn_buf *out) {
    double x;
    char num[ZN_NUMBER_MAX];
    if (!mentions_fans(e)) {
        (void)zn_eval_float(s, env, e, "", -HUGE_VAL, HUGE_VAL, false, &x);
        zn_f64_json(x, num);
        zn_buf_puts(out, num);
    } else if (e->kind == ZN_E_NAME) {
        zn_buf_puts(out, e->s);
    } else if (e->kind == ZN_E_CALL) {
        zn_buf_puts(out, "sqrt(");
        fans_infix(s, env, e->args.first->value, out);
        zn_buf_putc(out, ')');
    } else {
        zn_buf_putc(out, '(');
        fans_infix(s, env, e->a, out);
        zn_buf_printf(out, " %s ", zn_bop_text[e->op]);
        fans_infix(s, env, e->b, out);
        zn_buf_putc(out, ')');
    }
}

const char *zn_fans_text(zn_sema *s, const zn_env *env, const zn_expr *e) {
    zn_buf b = {0};
    fans_infix(s, env, e, &b);
    const char *text = zn_buf_str(&b);
    size_t n = strlen(text);
    bool outer = n && text[0] == '(' && e->kind == ZN_E_BINARY;
    text = zn_arena_strndup(s->arena, text + outer, n - 2 * (size_t)outer);
    zn_buf_free(&b);
    return text;
}

static bool eval_fans(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, zn_val *out) {
    zn_buf text = {0};
    bool ok = e->kind != ZN_E_BAD;
    if (ok && e->depth > FANS_DEPTH) {
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is nested more than %d levels deep", what, (int)FANS_DEPTH);
        ok = false;
    }
    ok = ok && fans_text(s, env, e, what, &text);
    *out = (zn_val){.kind = ZN_V_STR, .s = zn_arena_strdup(s->arena, zn_buf_str(&text))};
    zn_buf_free(&text);
    return ok;
}

static bool eval_option(zn_sema *s, const zn_env *env, const zn_expr *e, const zn_sig_arg *a, zn_val *out) {
    bool b = false;
    switch (a->kind) {
    case ZN_A_INT:
        out->kind = ZN_V_INT;
        return zn_eval_int(s, env, e, a->name, a->least, a->most, &out->i);
    case ZN_A_FLOAT:
        return eval_number(s, env, e, a, out);
    case ZN_A_LENGTH:
        return eval_length(s, env, e, a->name, out);
    case ZN_A_BOOL:
        out->kind = ZN_V_BOOL;
        if (!zn_eval_bool(s, env, e, a->name, &b))
            return false;
        out->i = b;
        return true;
    case ZN_A_WORD:
        return zn_eval_word(s, env, e, a->name, a->words, out);
    case ZN_A_AUTO_BOOL:
        return eval_bias(s, env, e, a->name, out);
    case ZN_A_SIZE:
        return eval_size(s, env, e, a->name, out);
    case ZN_A_PAD:
        return eval_pad(s, env, e, a, out);
    case ZN_A_PATH:
        return eval_path(s, env, e, a->name, out);
    case ZN_A_COLUMN:
        return eval_column(s, env, e, a->name, out);
    case ZN_A_EPOCHS:
        return eval_epochs(s, env, e, a->name, out);
    case ZN_A_FANS:
        return eval_fans(s, env, e, a->name, out);
    case ZN_A_ANY:
    case ZN_A_SPECIAL:
    case ZN_A_CALL: /* by who takes the outer call */
        break;
    }
    return true;
}

bool zn_eval_options(zn_sema *s, const zn_env *env, const zn_sig *sig, zn_expr *const *slot, zn_val *out) {
    bool ok = true;
    for (size_t i = 0; i < sig->n; i++) {
        out[i] = default_of(s, &sig->arg[i]);
        if (slot[i])
            ok &= eval_option(s, env, slot[i], &sig->arg[i], &out[i]);
    }
    return ok;
}

void zn_conf_options(zn_sema *s, const zn_sig *sig, const zn_val *v, zn_span at) {
    zn_module *m = s->module;
    for (size_t i = 0; i < sig->n; i++) {
        const char *key = sig->arg[i].key;
        if (!*key)
            continue;
        switch (v[i].kind) {
        case ZN_V_BAD:
            break;
        case ZN_V_INT:
            zn_conf_set_int(m, key, v[i].i, at);
            break;
        case ZN_V_FLOAT:
            zn_conf_set_float(m, key, v[i].f, at);
            break;
        case ZN_V_BOOL:
            zn_conf_set_bool(m, key, v[i].i != 0, at);
            break;
        case ZN_V_STR:
            zn_conf_set_str(m, key, v[i].s, at);
            break;
        case ZN_V_LIST: {
            double *x = zn_new_n(s->arena, double, v[i].n);
            for (size_t k = 0; k < v[i].n; k++)
                x[k] = v[i].list[k].kind == ZN_V_INT ? (double)v[i].list[k].i : v[i].list[k].f;
            zn_conf_set_floats(m, key, v[i].n, x, at);
            break;
        }
        }
    }
}

const char *zn_options_text(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v) {
    if (sig->n == 0)
        return sig->name;
    zn_buf b = {0};
    zn_buf_printf(&b, "%s(", sig->name);
    for (size_t i = 0; i < sig->n; i++)
        if (i == 0 || slot[i])
            zn_buf_printf(&b, "%s%s = %s", i ? ", " : "", sig->arg[i].name,
                          v[i].kind == ZN_V_STR ? v[i].s : zn_val_text(s, &v[i]));
    zn_buf_putc(&b, ')');
    const char *text = zn_arena_strdup(s->arena, zn_buf_str(&b));
    zn_buf_free(&b);
    return text;
}
