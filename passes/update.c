/* Pass update: the optimizer's steps, from the gradients that pass grad has marked.
 *
 * Each `gradient` of @train_step becomes the step of its parameter, where it stands: the gradient is whole there, and
 * nothing before it reads what the step makes. Formulas are those of PyTorch. Bits: each is a chain of elementwise
 * operations, so that pass fuse may put it behind the kernel that makes the gradient.
 *
 * Requires nothing: does nothing without gradients. State that a step keeps are parameters NAME.ROLE, zero at first. */
#include <math.h>
#include <string.h>

#include "ir/schema.h"
#include "passes/pass.h"
#include "passes/util.h"
#include "support/ice.h"

typedef struct optimizer optimizer;

/* The step of one parameter. */
typedef struct step {
    zn_module *m;
    zn_pass_ctx *pass;
    zn_func *f;
    const optimizer *by;
    zn_value **hyper;  /* by zn_hyper, made on first asking */
    zn_value *marker;  /* the gradient that this step replaces */
    const zn_param *p; /* and its parameter */
    zn_value *w, *g;   /* old value, gradient */
    int nfreeze;       /* epochs after which parameters are frozen */
    double freeze[ZN_MAX_FREEZE];
} step;

struct optimizer {
    const char *name;
    void (*run)(step *s);
    bool keeps[ZN_ROLE_COUNT];
};

static zn_value *make(step *s, zn_op op, int n, zn_value *const *operand) {
    zn_value *v = zn_value_new(s->m, s->f, s->marker, op, n, operand, s->w->span, s->w->path);
    return v;
}
static zn_value *typed(step *s, zn_value *v) {
    if (!zn_value_infer(s->m, v, s->pass->diags))
        ZN_ICE("the step of `%s` has no type", s->p->name);
    return v;
}
static zn_value *binary(step *s, zn_op op, zn_value *a, zn_value *b) {
    return typed(s, make(s, op, 2, (zn_value *[]){a, b}));
}
static zn_value *add(step *s, zn_value *a, zn_value *b) {
    return binary(s, ZN_OP_ADD, a, b);
}
static zn_value *sub(step *s, zn_value *a, zn_value *b) {
    return binary(s, ZN_OP_SUB, a, b);
}
static zn_value *times(step *s, zn_value *x, double k) {
    zn_value *v = make(s, ZN_OP_MUL_CONST, 1, &x);
    zn_attr_of(v, MUL_CONST, value)->f = k;
    return typed(s, v);
}

/* x times a number that changes from step to step. */
static zn_value *scaled(step *s, zn_value *x, zn_hyper h) {
    if (!s->hyper[h]) {
        s->hyper[h] = zn_value_new(s->m, s->f, s->marker, ZN_OP_HYPER, 0, NULL, (zn_span){0}, "");
        zn_attr_of(s->hyper[h], HYPER, name)->s = zn_hyper_names[h];
        typed(s, s->hyper[h]);
    }
    return binary(s, ZN_OP_SCALE, x, s->hyper[h]);
}

/* What was stored under that role in the last step. */
static zn_value *state(step *s, zn_role role) {
    ZN_ASSERT(s->by->keeps[role]);
    const char *name = zn_arena_printf(&s->m->arena, "%s.%s", s->p->name, zn_role_names[role]);
    const zn_param *p = zn_param_new(s->m, name, s->p->type, role, zn_formula_const(0), s->p->span);
    return zn_param_read(s->m, s->f, s->marker, p, s->w->path);
}

/* x becomes the new value of what `old` reads. */
static void store(step *s, const zn_value *old, zn_value *x) {
    zn_value *v = make(s, ZN_OP_STORE, 1, &x);
    zn_attr_of(v, STORE, name)->s = zn_attr_of(old, PARAM, name)->s;
    typed(s, v);
}

/* x times the learning rate of this parameter. */
static zn_value *times_lr(step *s, zn_value *x) {
    zn_hyper h = ZN_HYPER_LR;
    for (int k = 0; !isinf(s->p->freeze) && k < s->nfreeze; k++)
        if (s->freeze[k] == s->p->freeze)
            h = (zn_hyper)(ZN_HYPER_LR_UNTIL1 + k);
    x = scaled(s, x, h);
    return s->p->rate != 1 ? times(s, x, (double)s->p->rate) : x;
}

static void update_sgd(step *s) {
    double momentum = zn_option_float(s->m, ZN_ARG_OPTIMIZER_SGD_momentum);
    zn_value *g = s->g;
    if (s->p->decay != 0)
        g = add(s, g, times(s, s->w, (double)s->p->decay));
    if (momentum != 0) {
        zn_value *old = state(s, ZN_ROLE_MOMENTUM), *v = add(s, times(s, old, momentum), g);
        store(s, old, v);
        g = zn_option_bool(s->m, ZN_ARG_OPTIMIZER_SGD_nesterov) ? add(s, g, times(s, v, momentum)) : v;
    }
    store(s, s->w, sub(s, s->w, times_lr(s, g)));
}

/* The moments of g, stored, and the direction they give: (m correction1) / (sqrt(v) correction2 + eps). */
static zn_value *moments(step *s, zn_value *g) {
    double beta1 = zn_option_float(s->m, ZN_ARG_OPTIMIZER_ADAM_beta1),
           beta2 = zn_option_float(s->m, ZN_ARG_OPTIMIZER_ADAM_beta2);
    zn_value *old = state(s, ZN_ROLE_MOMENT1), *m = add(s, times(s, old, beta1), times(s, g, 1 - beta1));
    store(s, old, m);
    old = state(s, ZN_ROLE_MOMENT2);
    zn_value *v = add(s, times(s, old, beta2), times(s, binary(s, ZN_OP_MUL, g, g), 1 - beta2));
    store(s, old, v);
    zn_value *root = scaled(s, typed(s, make(s, ZN_OP_SQRT, 1, &v)), ZN_HYPER_CORRECTION2);
    zn_value *bound = make(s, ZN_OP_ADD_CONST, 1, &root);
    zn_attr_of(bound, ADD_CONST, value)->f = zn_option_float(s->m, ZN_ARG_OPTIMIZER_ADAM_eps);
    return binary(s, ZN_OP_DIV, scaled(s, m, ZN_HYPER_CORRECTION1), typed(s, bound));
}

static void update_adam(step *s) {
    zn_value *g = s->p->decay != 0 ? add(s, s->g, times(s, s->w, (double)s->p->decay)) : s->g;
    store(s, s->w, sub(s, s->w, times_lr(s, moments(s, g))));
}

static void update_adamw(step *s) {
    zn_value *w = s->w;
    if (s->p->decay != 0)
        w = sub(s, w, times_lr(s, times(s, w, (double)s->p->decay)));
    store(s, s->w, sub(s, w, times_lr(s, moments(s, s->g))));
}

static const optimizer optimizers[] = {
#define ROLE(ID) [ZN_ROLE_##ID] = true,
#define ZN_OPTIMIZER(ID, name, fn, state, doc) {name, update_##fn, {state}},
#include "passes/optimizers.def"
};

static const optimizer *chosen(const zn_module *m) {
    const char *name = zn_conf_str(m, "train.optimizer", "sgd");
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++)
        if (!strcmp(optimizers[i].name, name))
            return &optimizers[i];
    return NULL;
}

/* By number of the parameter: the first value of f that reads it; NULL if none. */
static zn_value **first_reads(const zn_module *m, const zn_func *f, zn_arena *scratch) {
    zn_value **read = zn_new_n(scratch, zn_value *, m->nparams + 1);
    for (zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_PARAM) {
            zn_value **slot = &read[zn_param_find(m, zn_attr_of(v, PARAM, name)->s)->index];
            *slot = *slot ? *slot : v;
        }
    return read;
}

static zn_value *next_gradient(zn_value *v) {
    while (v && v->op != ZN_OP_GRADIENT)
        v = v->next;
    return v;
}

/* An average of every parameter and statistic that changes; the training loop keeps them (runtime/average.c). */
static void add_averages(zn_module *m) {
    const zn_param *last = m->last_param;
    for (const zn_param *p = m->params; p; p = p->next) {
        if (zn_param_trained(p) || p->role == ZN_ROLE_RUNNING_MEAN || p->role == ZN_ROLE_RUNNING_VAR)
            zn_param_new(m, zn_arena_printf(&m->arena, "%s.%s", p->name, zn_role_names[ZN_ROLE_AVERAGE]), p->type,
                         ZN_ROLE_AVERAGE, zn_formula_const(0), p->span);
        if (p == last)
            break;
    }
}

bool zn_pass_update(zn_module *m, zn_pass_ctx *ctx) {
    zn_func *f = zn_func_find(m, "train_step");
    zn_value *hyper[ZN_HYPER_COUNT] = {0}, *first = f ? next_gradient(f->first) : NULL;
    if (!first)
        return true;
    const optimizer *by = chosen(m);
    if (!by) {
        zn_diag_add(ctx->diags, ZN_DIAG_OPTIMIZER, first->span, "unknown optimizer `%s`",
                    zn_conf_str(m, "train.optimizer", "sgd"));
        return false;
    }
    zn_arena scratch = {0};
    zn_func_number(f);
    zn_value **read = first_reads(m, f, &scratch);
    step s = {.m = m, .pass = ctx, .f = f, .by = by, .hyper = hyper};
    s.nfreeze = zn_freeze_epochs(m, s.freeze);
    if (s.nfreeze < 0) {
        zn_diag_add(ctx->diags, ZN_DIAG_OPTIMIZER, first->span,
                    "parameters are frozen after more than %d different epochs", ZN_MAX_FREEZE);
        zn_arena_free(&scratch);
        return false;
    }
    for (zn_value *v = first, *next; v; v = next) {
        next = next_gradient(v->next);
        s.marker = v;
        s.p = zn_param_find(m, zn_attr_of(v, GRADIENT, name)->s);
        s.g = v->operand[0];
        s.w = read[s.p->index];
        if (!s.w || s.w->id > v->id) /* in text written by hand; grad marks what was read */
            s.w = zn_param_read(m, f, v, s.p, v->path);
        by->run(&s);
        zn_value_remove(f, v);
    }
    zn_arena_free(&scratch);
    if (zn_conf_get(m, "train.average.kind"))
        add_averages(m);
    return true;
}
