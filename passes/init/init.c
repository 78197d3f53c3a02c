/* Pass init: initial values of parameters, by the scheme of the file.
 *
 * Here is the choice of the scheme; each family of schemes has a file beside this one.
 *
 * Requires @forward. Keeps: the function's argument and the type of its result. */
#include "passes/init/init.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir/plan.h"
#include "ir/selector.h"
#include "passes/util.h"
#include "support/ice.h"
#include "support/number.h"

zn_param *zn_init_param(const zn_init *c, const zn_value *v) {
    ZN_ASSERT(v->operand[1]->op == ZN_OP_PARAM);
    return zn_param_find(c->m, zn_attr_of(v->operand[1], PARAM, name)->s);
}

static double fan(const zn_init *c, const zn_value *v, int which) {
    const zn_type *t = &zn_init_param(c, v)->type;
    return (double)(t->rank == 4 ? t->dim[0] * t->dim[1] : 1) * (double)t->dim[t->rank - which];
}
double zn_init_fan_in(const zn_init *c, const zn_value *v) {
    return fan(c, v, 2);
}
double zn_init_fan_out(const zn_init *c, const zn_value *v) {
    return fan(c, v, 1);
}

bool zn_init_selected(const zn_init *c, const zn_param *p) {
    return zn_rule_of(c->m, "init", p->name) == c->rule;
}

zn_param *zn_init_own(const zn_init *c, const zn_value *v) {
    zn_param *w = zn_init_weighted(v) ? zn_init_param(c, v) : NULL;
    return w && zn_init_selected(c, w) ? w : NULL;
}

bool zn_init_wins(const zn_init *c) {
    for (const zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_own(c, v))
            return true;
    return false;
}

bool zn_init_named(const zn_init *c, const zn_param *p) {
    const char *selector = c->rule < 0 ? NULL : zn_rule_selector(c->m, "init", c->rule), *leaf = strrchr(p->name, '.');
    const char *last = selector ? strrchr(selector, '.') : NULL;
    return last && leaf && !strcmp(last, leaf) && zn_selector_names(selector, p->name);
}

/* ---- the schemes of the schema */
#define DECLARE_SCHEME(ID, op) zn_scheme zn_scheme_##op;
#define ROW_SCHEME(ID, op) {ZN_SIG_SCHEME_##ID, zn_scheme_##op},
#define DECLARE_LAYER(ID, op)
#define DECLARE_RESIDUAL(ID, op)
#define DECLARE_FUNC(ID, op)
#define DECLARE_SECTION(ID, op)
#define DECLARE_SOURCE(ID, op)
#define DECLARE_AUGMENT(ID, op)
#define DECLARE_LOSS(ID, op)
#define DECLARE_OPTIMIZER(ID, op)
#define DECLARE_SCHEDULE(ID, op)
#define DECLARE_CLIP(ID, op)
#define DECLARE_AVERAGE(ID, op)
#define DECLARE_VIEW(ID, op)
#define ROW_CLIP(ID, op)
#define ROW_AVERAGE(ID, op)
#define ROW_VIEW(ID, op)
#define ROW_LAYER(ID, op)
#define ROW_RESIDUAL(ID, op)
#define ROW_FUNC(ID, op)
#define ROW_SECTION(ID, op)
#define ROW_SOURCE(ID, op)
#define ROW_AUGMENT(ID, op)
#define ROW_LOSS(ID, op)
#define ROW_OPTIMIZER(ID, op)
#define ROW_SCHEDULE(ID, op)

#define ZN_CALL(GROUP, ID, name, flags, op, ...) DECLARE_##GROUP(ID, op)
#define ZN_ARG(...)
#include "ir/schema.def"

static const struct {
    zn_sig_id id;
    zn_scheme *run;
} schemes[] = {
#define ZN_CALL(GROUP, ID, name, flags, op, ...) ROW_##GROUP(ID, op)
#define ZN_ARG(...)
#include "ir/schema.def"
};

static void run(zn_init *c, const char *name) {
    zn_sig_id id = zn_sig_from_name(ZN_GROUP_SCHEME, name);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (schemes[i].id == id) {
            schemes[i].run(c);
            return;
        }
    zn_diag_add(c->pass->diags, ZN_DIAG_INIT_OPTION, (zn_span){0}, "unknown initialisation scheme `%s`", name);
    c->failed = true;
}

void zn_init_nested(zn_init *c, int arg) {
    const char *outer = c->m->option_scope, *name = zn_option_str(c->m, arg);
    c->m->option_scope = zn_arena_printf(&c->m->arena, "%s.%s", outer ? outer : "init", zn_arg_table[arg].name);
    run(c, name);
    c->m->option_scope = outer;
}

/* ---- expressions of fans, in reverse Polish notation as the front end writes them */

/* Two numbers to one; false if `op` is no operator. */
static bool operate(const char *op, size_t n, double a, double b, double *x) {
    if (n != 1)
        return false;
    *x = *op == '+' ? a + b : *op == '-' ? a - b : *op == '*' ? a * b : a / b;
    return strchr("+-*/", *op) != NULL;
}

/* NaN: the text is no such expression. */
static double value_of_fans(const char *text, double in, double out) {
    enum { DEPTH = 64 };
    double stack[DEPTH], x;
    int n = 0;
    for (const char *p = text; *p;) {
        size_t k = strcspn(p, " ");
        if (k == 4 && !strncmp(p, "sqrt", k) && n > 0) {
            stack[n - 1] = sqrt(stack[n - 1]);
        } else if (n > 1 && operate(p, k, stack[n - 2], stack[n - 1], &x)) {
            stack[--n - 1] = x;
        } else {
            if (k == 6 && !strncmp(p, "fan_in", k))
                x = in;
            else if (k == 7 && !strncmp(p, "fan_out", k))
                x = out;
            else if (!zn_f64_parse(p, k, &x))
                return (double)NAN;
            if (n == DEPTH)
                return (double)NAN;
            stack[n++] = x;
        }
        p += k + (p[k] == ' ');
    }
    return n == 1 ? stack[0] : (double)NAN;
}

double zn_init_of_fans(zn_init *c, const zn_value *v, int arg) {
    const char *text = zn_option_str(c->m, arg);
    double x = value_of_fans(text ? text : "", zn_init_fan_in(c, v), zn_init_fan_out(c, v));
    if (isfinite((float)x) && x >= 0)
        return x;
    zn_init_refuse(c, v, ZN_DIAG_INIT_OPTION,
                   "`%s` is not a finite number from 0 on for this layer: fan_in is %g, fan_out %g",
                   zn_arg_table[arg].name, zn_init_fan_in(c, v), zn_init_fan_out(c, v));
    return 0;
}

/* ---- what schemes cannot do */

void zn_init_refuse(zn_init *c, const zn_value *layer, zn_diag_id code, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    zn_diag_add(c->pass->diags, code, layer->span, "%s", text);
    c->failed = true;
}

bool zn_init_has_centre(zn_init *c, const zn_value *layer, const char *scheme) {
    const zn_type *t = &zn_init_param(c, layer)->type;
    if (t->rank != 4 || (t->dim[0] % 2 && t->dim[1] % 2))
        return true;
    zn_init_refuse(c, layer, ZN_DIAG_INIT_EVEN_KERNEL,
                   "`%s` puts a matrix into the centre of a kernel, and a %lldx%lld kernel has none", scheme,
                   (long long)t->dim[0], (long long)t->dim[1]);
    return false;
}

bool zn_init_ungrouped(zn_init *c, const zn_value *layer, const char *scheme) {
    if (zn_conv_groups(layer) == 1)
        return true;
    zn_init_refuse(c, layer, ZN_DIAG_INIT_GROUPS, "`%s` has no rule for convolutions in groups", scheme);
    return false;
}

/* Parameters that are no weights start by constants only; a rule that wins nothing else, with another scheme, would do
 * nothing. */
static void check_rule(zn_init *c, int rule, const char *scheme) {
    static const char *const any[] = {"zeros", "ones", "constant", "kaiming"}; /* kaiming: biases of products */
    bool wins = false, weights = false;
    for (size_t i = 0; i < sizeof any / sizeof *any; i++)
        if (!strcmp(scheme, any[i]))
            return;
    for (const zn_param *p = c->m->params; p; p = p->next)
        if (zn_rule_of(c->m, "init", p->name) == rule) {
            wins = true;
            weights = weights || p->role == ZN_ROLE_WEIGHT;
        }
    if (!wins || weights)
        return;
    zn_diag_add(c->pass->diags, ZN_DIAG_INIT_OPTION, zn_rule_get(c->m, "init", rule, "path")->span,
                "`%s` starts weights, and `%s` names none; `zeros`, `ones` and `constant` start any parameter", scheme,
                zn_rule_selector(c->m, "init", rule));
    c->failed = true;
}

/* Every rule's scheme, and `zero` for what no rule matches. Each looks at all of @forward and sets what is its own. */
static void run_rules(zn_init *c) {
    const char *selector;
    for (int i = 0; (selector = zn_rule_selector(c->m, "init", i)); i++) {
        const zn_param *p = c->m->params;
        while (p && !zn_selector_matches(selector, p->name))
            p = p->next;
        if (!p) {
            zn_diag *x = zn_diag_add(c->pass->diags, ZN_DIAG_RULE_UNMATCHED, zn_rule_get(c->m, "init", i, "path")->span,
                                     "the selector `%s` matches no parameter", selector);
            zn_selector_suggest(c->m, selector, c->pass->diags, x);
            c->failed = true;
        }
        const zn_conf *scheme = zn_rule_get(c->m, "init", i, "scheme");
        if (scheme && scheme->kind == ZN_CONF_STR)
            check_rule(c, i, scheme->s);
    }
    if (c->failed) /* the next pass will not come to it */
        zn_recipe_check(c->m, c->pass);
    for (int i = -1; !c->failed && (i < 0 || zn_rule_selector(c->m, "init", i)); i++) {
        char scope[32];
        const zn_conf *scheme = i < 0 ? NULL : zn_rule_get(c->m, "init", i, "scheme");
        snprintf(scope, sizeof scope, "init.rule%d", i);
        c->rule = i;
        c->m->option_scope = scope;
        run(c, scheme && scheme->kind == ZN_CONF_STR ? scheme->s : zn_arg_table[ZN_ARG_SECTION_INIT_init].value);
        c->m->option_scope = NULL;
    }
}

bool zn_pass_init(zn_module *m, zn_pass_ctx *ctx) {
    zn_init c = {.m = m, .f = zn_func_find(m, "forward"), .pass = ctx, .rule = -1};
    if (!c.f)
        return true;
    if (!zn_rule_selector(m, "init", 0)) {
        run(&c, zn_option_str(m, ZN_ARG_SECTION_INIT_init));
    } else {
        run_rules(&c);
    }
    zn_init_drop_calibrations(&c);
    return !c.failed;
}
