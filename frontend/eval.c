/* Values of expressions: compile-time arithmetic that is total and exact, or says why not.
 *
 * Integers have 64 bits and never wrap; floats are doubles and never become infinite or NaN. A bad value has been
 * reported and spreads silently. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/parse.h"
#include "frontend/sema.h"
#include "support/number.h"

static const zn_val bad_val = {.kind = ZN_V_BAD};
static zn_val int_val(int64_t i) {
    return (zn_val){.kind = ZN_V_INT, .i = i};
}
static zn_val float_val(double f) {
    return (zn_val){.kind = ZN_V_FLOAT, .f = f};
}
static zn_val bool_val(bool b) {
    return (zn_val){.kind = ZN_V_BOOL, .i = b};
}

const char *zn_val_kind_text(const zn_val *v) {
    static const char *const text[] = {"nothing", "an integer", "a float", "a bool", "a string", "a list"};
    return text[v->kind];
}

const char *zn_val_text(zn_sema *s, const zn_val *v) {
    char num[ZN_NUMBER_MAX];
    switch (v->kind) {
    case ZN_V_INT:
        return zn_arena_printf(s->arena, "%" PRId64, v->i);
    case ZN_V_FLOAT:
        zn_f64_text(v->f, num);
        return zn_arena_strdup(s->arena, num);
    case ZN_V_BOOL:
        return v->i ? "true" : "false";
    case ZN_V_STR:
        return zn_arena_printf(s->arena, "\"%s\"", v->s);
    default:
        return zn_val_kind_text(v);
    }
}

static bool is_number(const zn_val *v) {
    return v->kind == ZN_V_INT || v->kind == ZN_V_FLOAT;
}
static double as_float(const zn_val *v) {
    return v->kind == ZN_V_INT ? (double)v->i : v->f;
}

static zn_val overflow(zn_sema *s, const zn_expr *e) {
    zn_sema_error(s, ZN_DIAG_OVERFLOW, e->at, "the result does not fit in 64 bits");
    return bad_val;
}

static zn_val finite_val(zn_sema *s, const zn_expr *e, double x) {
    if (isfinite(x))
        return float_val(x);
    zn_sema_error(s, ZN_DIAG_OVERFLOW, e->at, "the result is not a finite number");
    return bad_val;
}

/* Rounds down; b is not 0. False on overflow. */
static bool floor_div(int64_t a, int64_t b, int64_t *quotient, int64_t *rest) {
    if (a == INT64_MIN && b == -1) {
        *rest = 0;
        return false;
    }
    *quotient = a / b;
    *rest = a % b;
    if (*rest && (*rest < 0) != (b < 0)) {
        *quotient -= 1;
        *rest += b;
    }
    return true;
}

static zn_val type_error(zn_sema *s, const zn_expr *e, const char *what, const zn_val *got) {
    zn_sema_error(s, ZN_DIAG_TYPE, e->at, "%s; this is %s", what, zn_val_kind_text(got));
    return bad_val;
}

static zn_val divide(zn_sema *s, const zn_expr *e, const zn_val *a, const zn_val *b) {
    if (as_float(b) == 0) {
        zn_sema_error(s, ZN_DIAG_DIV_ZERO, e->at, "this divides %s by zero", zn_val_text(s, a));
        return bad_val;
    }
    if (a->kind == ZN_V_FLOAT || b->kind == ZN_V_FLOAT)
        return finite_val(s, e, as_float(a) / as_float(b));
    int64_t q = 0, r = 0;
    if (!floor_div(a->i, b->i, &q, &r))
        return overflow(s, e);
    if (r) {
        zn_sema_error(s, ZN_DIAG_INEXACT, e->at,
                      "%" PRId64 " / %" PRId64 " is not a whole number; write div(%" PRId64 ", %" PRId64 ") or %" PRId64
                      ".0 / %" PRId64,
                      a->i, b->i, a->i, b->i, a->i, b->i);
        return bad_val;
    }
    return int_val(q);
}

static zn_val modulo(zn_sema *s, const zn_expr *e, const zn_val *a, const zn_val *b) {
    if (as_float(b) == 0) {
        zn_sema_error(s, ZN_DIAG_DIV_ZERO, e->at, "there is no remainder of %s by zero", zn_val_text(s, a));
        return bad_val;
    }
    if (a->kind == ZN_V_FLOAT || b->kind == ZN_V_FLOAT) {
        double x = as_float(a), y = as_float(b), r = fmod(x, y);
        if (r != 0 && (r < 0) != (y < 0))
            r += y;
        return finite_val(s, e, r);
    }
    int64_t q = 0, r = 0;
    (void)floor_div(a->i, b->i, &q, &r);
    return int_val(r);
}

static zn_val arithmetic(zn_sema *s, const zn_expr *e, const zn_val *a, const zn_val *b) {
    if (e->op == ZN_B_DIV)
        return divide(s, e, a, b);
    if (e->op == ZN_B_MOD)
        return modulo(s, e, a, b);
    if (a->kind == ZN_V_INT && b->kind == ZN_V_INT) {
        int64_t x = 0;
        bool wraps = e->op == ZN_B_ADD   ? __builtin_add_overflow(a->i, b->i, &x)
                     : e->op == ZN_B_SUB ? __builtin_sub_overflow(a->i, b->i, &x)
                                         : __builtin_mul_overflow(a->i, b->i, &x);
        return wraps ? overflow(s, e) : int_val(x);
    }
    double x = as_float(a), y = as_float(b);
    return finite_val(s, e, e->op == ZN_B_ADD ? x + y : e->op == ZN_B_SUB ? x - y : x * y);
}

/* -1, 0, 1. Integers are compared as such: a double cannot hold them all. */
static int compare(const zn_val *a, const zn_val *b) {
    if (a->kind == ZN_V_INT && b->kind == ZN_V_INT)
        return (a->i > b->i) - (a->i < b->i);
    double x = as_float(a), y = as_float(b);
    return (x > y) - (x < y);
}

static zn_val equality(zn_sema *s, const zn_expr *e, const zn_val *a, const zn_val *b) {
    bool same;
    if (is_number(a) && is_number(b))
        same = compare(a, b) == 0;
    else if (a->kind == ZN_V_BOOL && b->kind == ZN_V_BOOL)
        same = a->i == b->i;
    else if (a->kind == ZN_V_STR && b->kind == ZN_V_STR)
        same = !strcmp(a->s, b->s);
    else {
        zn_sema_error(s, ZN_DIAG_TYPE, e->name_at, "%s and %s cannot be compared", zn_val_kind_text(a),
                      zn_val_kind_text(b));
        return bad_val;
    }
    return bool_val(same == (e->op == ZN_B_EQ));
}

static zn_val binary(zn_sema *s, const zn_env *env, const zn_expr *e) {
    zn_val a = zn_eval(s, env, e->a);
    if (e->op == ZN_B_OR || e->op == ZN_B_AND) {
        if (a.kind == ZN_V_BAD)
            return a;
        if (a.kind != ZN_V_BOOL)
            return type_error(s, e->a, "`&&` and `||` need a bool", &a);
        if ((a.i != 0) == (e->op == ZN_B_OR))
            return a;
        zn_val b = zn_eval(s, env, e->b);
        if (b.kind != ZN_V_BOOL && b.kind != ZN_V_BAD)
            return type_error(s, e->b, "`&&` and `||` need a bool", &b);
        return b;
    }
    zn_val b = zn_eval(s, env, e->b);
    if (a.kind == ZN_V_BAD || b.kind == ZN_V_BAD)
        return bad_val;
    if (e->op == ZN_B_EQ || e->op == ZN_B_NE)
        return equality(s, e, &a, &b);
    const char *what = zn_arena_printf(s->arena, "`%s` needs numbers", zn_bop_text[e->op]);
    if (!is_number(&a))
        return type_error(s, e->a, what, &a);
    if (!is_number(&b))
        return type_error(s, e->b, what, &b);
    switch (e->op) {
    case ZN_B_LT:
        return bool_val(compare(&a, &b) < 0);
    case ZN_B_LE:
        return bool_val(compare(&a, &b) <= 0);
    case ZN_B_GT:
        return bool_val(compare(&a, &b) > 0);
    case ZN_B_GE:
        return bool_val(compare(&a, &b) >= 0);
    default:
        return arithmetic(s, e, &a, &b);
    }
}

/* ---- functions ---- */

static zn_val extreme(zn_sema *s, const zn_env *env, const zn_expr *e, bool largest) {
    zn_val best = bad_val;
    bool floats = false, bad = false;
    for (const zn_arg *a = e->args.first; a; a = a->next) {
        zn_val v = zn_eval(s, env, a->value);
        if (v.kind != ZN_V_BAD && !is_number(&v))
            v = type_error(s, a->value, largest ? "`max` needs numbers" : "`min` needs numbers", &v);
        if (v.kind == ZN_V_BAD) {
            bad = true;
            continue;
        }
        floats = floats || v.kind == ZN_V_FLOAT;
        if (best.kind == ZN_V_BAD || (compare(&v, &best) > 0) == largest)
            best = v;
    }
    if (bad)
        return bad_val;
    return floats ? float_val(as_float(&best)) : best;
}

static zn_val log2_of(zn_sema *s, const zn_expr *e, const zn_val *v, bool round_up) {
    if (v->kind != ZN_V_INT)
        return type_error(s, e->a, "an integer is needed", v);
    if (v->i < 1) {
        zn_sema_error(s, ZN_DIAG_DOMAIN, e->a->at, "%s is not defined for %" PRId64, e->s, v->i);
        return bad_val;
    }
    int64_t m = 0;
    while (m < 62 && ((int64_t)1 << m) < v->i)
        m++;
    if (((int64_t)1 << m) < v->i)
        m++; /* beyond 2^62 */
    if (!round_up && (m > 62 || ((int64_t)1 << m) != v->i)) {
        zn_sema_error(s, ZN_DIAG_DOMAIN, e->a->at, "%" PRId64 " is not a power of two; ceil_log2 rounds up", v->i);
        return bad_val;
    }
    return int_val(m);
}

static zn_val function(zn_sema *s, const zn_env *env, const zn_expr *e) {
    const zn_sig *sig = zn_sig_find(s, ZN_GROUP_FUNC, e->s);
    if (sig->id == ZN_SIG_FUNC_MIN || sig->id == ZN_SIG_FUNC_MAX)
        return extreme(s, env, e, sig->id == ZN_SIG_FUNC_MAX);
    zn_val a = zn_eval(s, env, e->a), b = e->b ? zn_eval(s, env, e->b) : int_val(0);
    if (a.kind == ZN_V_BAD || b.kind == ZN_V_BAD)
        return bad_val;
    if (sig->id == ZN_SIG_FUNC_LEN)
        return a.kind == ZN_V_LIST ? int_val((int64_t)a.n) : type_error(s, e->a, "`len` needs a list", &a);
    if (!is_number(&a))
        return type_error(s, e->a, "a number is needed", &a);
    switch (sig->id) {
    case ZN_SIG_FUNC_DIV:
    case ZN_SIG_FUNC_MOD: {
        if (a.kind != ZN_V_INT)
            return type_error(s, e->a, "an integer is needed", &a);
        if (b.kind != ZN_V_INT)
            return type_error(s, e->b, "an integer is needed", &b);
        if (sig->id == ZN_SIG_FUNC_MOD || b.i == 0)
            return modulo(s, e, &a, &b);
        int64_t q = 0, r = 0;
        return floor_div(a.i, b.i, &q, &r) ? int_val(q) : overflow(s, e);
    }
    case ZN_SIG_FUNC_ABS:
        if (a.kind == ZN_V_FLOAT)
            return float_val(fabs(a.f));
        return a.i == INT64_MIN ? overflow(s, e) : int_val(a.i < 0 ? -a.i : a.i);
    case ZN_SIG_FUNC_LOG2:
        return log2_of(s, e, &a, false);
    case ZN_SIG_FUNC_CEIL_LOG2:
        return log2_of(s, e, &a, true);
    case ZN_SIG_FUNC_SQRT:
        if (as_float(&a) < 0) {
            zn_sema_error(s, ZN_DIAG_DOMAIN, e->a->at, "sqrt is not defined for %s", zn_val_text(s, &a));
            return bad_val;
        }
        return float_val(sqrt(as_float(&a)));
    default:
        return bad_val;
    }
}

/* ---- names, lists, the current value ---- */

static zn_val current_value(zn_sema *s, const zn_expr *e) {
    const zn_shape *x = s->cur;
    if (!x || x->bad)
        return bad_val;
    bool vector = !strcmp(e->s, "features");
    if (vector != (x->rank == 1)) {
        zn_diag *d = zn_sema_error(s, ZN_DIAG_LAYER_INPUT, e->at, "`in.%s` needs %s; the value here is the %s %s", e->s,
                                   vector ? "a vector" : "an image", vector ? "image" : "vector", zn_shape_text(s, x));
        if (!vector && s->vector_at.line)
            zn_sema_note(s, d, ZN_NOTE_LABEL, s->vector_at, "made a vector here");
        return bad_val;
    }
    return int_val(vector ? x->dim[0] : x->dim[!strcmp(e->s, "height") ? 0 : !strcmp(e->s, "width") ? 1 : 2]);
}

static zn_val list_of(zn_sema *s, const zn_env *env, const zn_expr *e) {
    zn_val *v = zn_new_n(s->arena, zn_val, e->args.n);
    size_t n = 0;
    bool bad = false;
    for (const zn_arg *a = e->args.first; a; a = a->next, n++) {
        v[n] = zn_eval(s, env, a->value);
        bad = bad || v[n].kind == ZN_V_BAD;
    }
    return bad ? bad_val : (zn_val){.kind = ZN_V_LIST, .list = v, .n = n};
}

static zn_val element(zn_sema *s, const zn_env *env, const zn_expr *e) {
    zn_val a = zn_eval(s, env, e->a), i = zn_eval(s, env, e->b);
    if (a.kind == ZN_V_BAD || i.kind == ZN_V_BAD)
        return bad_val;
    if (a.kind != ZN_V_LIST)
        return type_error(s, e->a, "only a list can be indexed", &a);
    if (i.kind != ZN_V_INT)
        return type_error(s, e->b, "an index is an integer", &i);
    if (i.i < 0 || (uint64_t)i.i >= a.n) {
        zn_sema_error(s, ZN_DIAG_INDEX, e->b->at, "the index %" PRId64 " is outside of a list of %zu", i.i, a.n);
        return bad_val;
    }
    return a.list[i.i];
}

/* ---- params and lets ---- */

static void define_error(zn_sema *s, const char *option, const char *text) {
    zn_diag_add(s->d, ZN_DIAG_DEFINE, (zn_span){0}, "in `-D %s`: %s", option, text);
}

/* What -D says of d, the last word if there are several; NULL if nothing. */
static const char *define_of(const zn_sema *s, const zn_decl *d) {
    size_t n = strlen(d->name);
    for (size_t i = s->options ? s->options->ndefine : 0; i > 0; i--) {
        const char *x = s->options->define[i - 1];
        if (!strncmp(x, d->name, n) && x[n] == '=')
            return x;
    }
    return NULL;
}

/* What begins with a quote is a string as files write it; everything else is the string itself. False after reporting.
 */
static bool define_string(zn_sema *s, const zn_decl *d, const char *text, const char *option, zn_val *v) {
    v->s = zn_arena_strdup(s->arena, text);
    if (text[0] != '"')
        return true;
    const zn_expr *e = zn_parse_option(s->arena, text, zn_arena_printf(s->arena, "-D %s", option), s->d);
    if (!e || e->kind == ZN_E_BAD)
        return false;
    if (e->kind != ZN_E_STR) {
        define_error(s, option,
                     zn_arena_printf(s->arena, "`%s` is a string in the file; this begins with a quote, and is not one",
                                     d->name));
        return false;
    }
    v->s = e->s;
    return true;
}

/* The default gives the type. */
static zn_val define_value(zn_sema *s, const zn_decl *d, const zn_val *old, const char *option) {
    const char *text = strchr(option, '=') + 1;
    zn_val v = {.kind = old->kind};
    bool ok = false;
    switch (old->kind) {
    case ZN_V_BAD:
        return v;
    case ZN_V_INT:
        ok = zn_i64_parse(text, strlen(text), &v.i);
        break;
    case ZN_V_FLOAT:
        ok = zn_f64_parse(text, strlen(text), &v.f) && isfinite(v.f);
        break;
    case ZN_V_BOOL:
        v.i = !strcmp(text, "true");
        ok = v.i || !strcmp(text, "false");
        break;
    case ZN_V_STR:
        return define_string(s, d, text, option, &v) ? v : bad_val;
    case ZN_V_LIST:
        break;
    }
    if (ok)
        return v;
    define_error(
        s, option,
        zn_arena_printf(s->arena, "`%s` is %s in the file; `%s` is not", d->name, zn_val_kind_text(old), text));
    return bad_val;
}

static zn_val decl_value(zn_sema *s, zn_decl *d) {
    if (d->val)
        return *d->val;
    if (d->bad || d->kind == ZN_DECL_BLOCK)
        return bad_val;
    zn_val *v = zn_new(s->arena, zn_val);
    const zn_shape *cur = s->cur;
    const char *option = s->option;
    s->cur = NULL;
    s->option = NULL;
    *v = zn_eval(s, NULL, d->value);
    if (d->kind == ZN_DECL_PARAM) {
        if (v->kind == ZN_V_LIST)
            *v = type_error(s, d->value, "a param is an integer, float, bool or string", v);
        const char *define = define_of(s, d);
        if (define)
            *v = define_value(s, d, v, define);
    }
    s->cur = cur;
    s->option = option;
    d->val = v;
    return *v;
}

static void check_define(zn_sema *s, const char *option) {
    const char *eq = strchr(option, '=');
    if (!eq || eq == option) {
        define_error(s, option, "expected name=value");
        return;
    }
    const char *name = zn_arena_strndup(s->arena, option, (size_t)(eq - option));
    const zn_decl *d = zn_decl_find(s, name);
    if ((d && d->kind == ZN_DECL_PARAM) || zn_may_be_declared(s->file, name))
        return;
    size_t n = 0;
    for (const zn_decl *x = s->file->decls; x; x = x->next)
        n++;
    const char **names = zn_new_n(s->arena, const char *, n);
    n = 0;
    for (const zn_decl *x = s->file->decls; x; x = x->next)
        if (x->kind == ZN_DECL_PARAM)
            names[n++] = x->name;
    zn_diag *x = zn_diag_add(s->d, ZN_DIAG_DEFINE, (zn_span){0}, "in `-D %s`: %s `%s`", option,
                             d ? "not a param:" : "the file has no param", name);
    zn_sema_nearest(s, x, name, names, n);
}

void zn_eval_decls(zn_sema *s) {
    for (size_t i = 0; s->options && i < s->options->ndefine; i++)
        check_define(s, s->options->define[i]);
    for (zn_decl *d = s->file->decls; d; d = d->next)
        (void)decl_value(s, d);
}

/* Long lists in long loops: a small file must not ask for hours, nor for all memory. */
enum { MAX_STEPS = 20000000 };

zn_val zn_eval(zn_sema *s, const zn_env *env, const zn_expr *e) {
    if (++s->steps > MAX_STEPS) {
        if (!s->stop)
            zn_sema_error(s, ZN_DIAG_TOO_MANY_OPS, e->at, "this passes the limit of %d steps of evaluation",
                          (int)MAX_STEPS);
        s->stop = true;
        return bad_val;
    }
    switch (e->kind) {
    case ZN_E_BAD:
        return bad_val;
    case ZN_E_INT:
        return int_val(e->i);
    case ZN_E_FLOAT:
        return float_val(e->f);
    case ZN_E_BOOL:
        return bool_val(e->i != 0);
    case ZN_E_STR:
        return (zn_val){.kind = ZN_V_STR, .s = e->s};
    case ZN_E_NAME: {
        for (; env; env = env->up)
            if (!strcmp(env->name, e->s))
                return *env->val;
        zn_decl *d = zn_decl_find(s, e->s);
        return d ? decl_value(s, d) : bad_val;
    }
    case ZN_E_IN:
        return current_value(s, e);
    case ZN_E_LIST:
        return list_of(s, env, e);
    case ZN_E_CALL:
        return function(s, env, e);
    case ZN_E_INDEX:
        return element(s, env, e);
    case ZN_E_NOT: {
        zn_val a = zn_eval(s, env, e->a);
        if (a.kind == ZN_V_BAD)
            return a;
        return a.kind == ZN_V_BOOL ? bool_val(!a.i) : type_error(s, e->a, "`!` needs a bool", &a);
    }
    case ZN_E_NEG: {
        zn_val a = zn_eval(s, env, e->a);
        if (a.kind == ZN_V_BAD)
            return a;
        if (a.kind == ZN_V_FLOAT)
            return float_val(-a.f);
        if (a.kind != ZN_V_INT)
            return type_error(s, e->a, "`-` needs a number", &a);
        return a.i == INT64_MIN ? overflow(s, e) : int_val(-a.i);
    }
    case ZN_E_BINARY:
        return binary(s, env, e);
    case ZN_E_COND: {
        zn_expr *arm = zn_cond_arm(s, env, e, NULL);
        return arm ? zn_eval(s, env, arm) : bad_val;
    }
    }
    return bad_val;
}

zn_expr *zn_cond_arm(zn_sema *s, const zn_env *env, const zn_expr *e, zn_expr **other) {
    zn_val a = zn_eval(s, env, e->a);
    if (a.kind != ZN_V_BOOL) {
        if (a.kind != ZN_V_BAD)
            type_error(s, e->a, "the condition of `?:` is a bool", &a);
        return NULL;
    }
    if (other)
        *other = a.i ? e->c : e->b;
    return a.i ? e->b : e->c;
}

const zn_expr *zn_cond_taken(zn_sema *s, const zn_env *env, const zn_expr *e) {
    while (e && e->kind == ZN_E_COND)
        e = zn_cond_arm(s, env, e, NULL);
    return e;
}

/* ---- options ---- */

const char *zn_bare_word(const zn_sema *s, const zn_env *env, const zn_expr *e) {
    if (e->kind != ZN_E_NAME)
        return NULL;
    for (; env; env = env->up)
        if (!strcmp(env->name, e->s))
            return NULL;
    const zn_decl *d = zn_decl_find(s, e->s);
    return d && d->kind != ZN_DECL_BLOCK ? NULL : e->s;
}

static bool wrong_type(zn_sema *s, const zn_expr *e, const char *what, const char *need, const zn_val *v) {
    if (v->kind == ZN_V_BAD)
        return false;
    if (v->kind == ZN_V_FLOAT || v->kind == ZN_V_INT || v->kind == ZN_V_BOOL)
        zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs %s; this is %s, %s", what, need, zn_val_kind_text(v),
                      zn_val_text(s, v));
    else {
        zn_diag *x =
            zn_sema_error(s, ZN_DIAG_TYPE, e->at, "`%s` needs %s; this is %s", what, need, zn_val_kind_text(v));
        double number;
        if (v->kind == ZN_V_STR && e->kind == ZN_E_STR && strcmp(need, "a string") != 0 &&
            (zn_f64_parse(v->s, strlen(v->s), &number) || !strcmp(v->s, "true") || !strcmp(v->s, "false")))
            zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "write %s without quotes", v->s);
    }
    return false;
}

bool zn_eval_int(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, int64_t min, int64_t max,
                 int64_t *out) {
    zn_val v = zn_eval(s, env, e);
    if (v.kind != ZN_V_INT)
        return wrong_type(s, e, what, "an integer", &v);
    if (v.i < min)
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %" PRId64 "; it must be at least %" PRId64, what, v.i, min);
    else if (v.i > max)
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %" PRId64 "; it must be at most %" PRId64, what, v.i, max);
    else {
        *out = v.i;
        return true;
    }
    return false;
}

/* Training computes in 32-bit floats: a number that is another one there (infinite, 0, the open end of its range) would
 * not mean what the file says. */
static bool fits_f32(zn_sema *s, const zn_expr *e, const char *what, double x, double max, bool open_max) {
    float f = (float)x;
    char text[ZN_NUMBER_MAX], end[ZN_NUMBER_MAX];
    zn_f64_json(x, text);
    zn_f64_json(max, end);
    if (isinf(f))
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s; a 32-bit float is at most 3.4e38", what, text);
    else if (f == 0 && x != 0)
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s, which is 0 as a 32-bit float", what, text);
    else if (x != 0 && fabsf(f) < FLT_MIN)
        zn_sema_error(s, ZN_DIAG_RANGE, e->at,
                      "`%s` is %s, which training takes for 0: 32-bit floats below 1.2e-38 are flushed", what, text);
    else if (open_max && (double)f >= max)
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s, which is %s as a 32-bit float; it must be less", what, text,
                      end);
    else
        return true;
    return false;
}

bool zn_eval_float(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, double min, double max,
                   bool open_max, double *out) {
    zn_val v = zn_eval(s, env, e);
    if (!is_number(&v))
        return wrong_type(s, e, what, "a number", &v);
    double x = as_float(&v);
    char lo[ZN_NUMBER_MAX], hi[ZN_NUMBER_MAX];
    zn_f64_json(min, lo);
    zn_f64_json(max, hi);
    if (x >= min && (open_max ? x < max : x <= max)) {
        *out = x;
        return fits_f32(s, e, what, x, max, open_max);
    }
    if (isinf(max))
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s; it must be at least %s", what, zn_val_text(s, &v), lo);
    else if (open_max)
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s; it must be at least %s and less than %s", what,
                      zn_val_text(s, &v), lo, hi);
    else
        zn_sema_error(s, ZN_DIAG_RANGE, e->at, "`%s` is %s; it must be between %s and %s", what, zn_val_text(s, &v), lo,
                      hi);
    return false;
}

bool zn_eval_bool(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, bool *out) {
    zn_val v = zn_eval(s, env, e);
    if (v.kind != ZN_V_BOOL)
        return wrong_type(s, e, what, "true or false", &v);
    *out = v.i != 0;
    return true;
}

bool zn_eval_str(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, const char **out) {
    zn_val v = zn_eval(s, env, e);
    if (v.kind != ZN_V_STR)
        return wrong_type(s, e, what, "a string", &v);
    *out = v.s;
    return true;
}

/* "a, b or c" of "a|b|c|~d". */
static const char *words_text(zn_sema *s, const char *words) {
    zn_buf list = {0};
    for (const char *p = words; *p && *p != '~';) {
        size_t n = strcspn(p, "|");
        const char *next = p + n + (p[n] == '|');
        zn_buf_printf(&list, "%s%.*s", p == words ? "" : *next && *next != '~' ? ", " : " or ", (int)n, p);
        p = next;
    }
    const char *text = zn_arena_strdup(s->arena, zn_buf_str(&list));
    zn_buf_free(&list);
    return text;
}

static void suggest_word(zn_sema *s, zn_diag *x, const char *w, const char *words) {
    ZN_VEC(const char *) list = {0};
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, "|"), tilde = *p == '~';
        zn_vec_push(s->arena, &list, zn_arena_strndup(s->arena, p + tilde, n - tilde));
        p += n + (p[n] == '|');
    }
    zn_sema_nearest(s, x, w, list.at, list.n);
}

bool zn_eval_word(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, const char *words, zn_val *out) {
    if (!(e = zn_cond_taken(s, env, e)))
        return false;
    const char *w = zn_bare_word(s, env, e), *list = words_text(s, words);
    if (!w) {
        zn_val v = zn_eval(s, env, e);
        if (v.kind != ZN_V_STR)
            return wrong_type(s, e, what, list, &v);
        w = v.s;
    }
    bool planned = false;
    int k = zn_word_index(words, w, &planned);
    if (k >= 0 && !planned) {
        *out = (zn_val){.kind = ZN_V_STR, .s = w, .i = k};
        return true;
    }
    if (k >= 0)
        zn_sema_error(s, ZN_DIAG_NOT_YET, e->at, "`%s = %s` is not supported yet", what, w);
    else
        suggest_word(s, zn_sema_error(s, ZN_DIAG_CHOICE, e->at, "`%s` cannot be `%s`; it is %s", what, w, list), w,
                     words);
    return false;
}
