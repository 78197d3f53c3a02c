/* The scheme zero: zeros and ones.
 *
 * zero(variant = weights) is ZerO as printed in arXiv 2110.12661 v3, algorithms 1 and 2, with the last weight of every
 * residual branch 0. zero(variant = augment) is the first version's change of architecture, stated for any network by
 * the rules numbered below: residuals split at their units, skips inserted around them, trainable partial identities
 * P and fixed Hadamard transforms H where the width or the size changes.
 *
 *   1 units      a branch that is a chain is cut into units with one weighted layer each
 *   2 split      no bottleneck: one residual a unit, y = unit(x) + skip(x), the unit's weight 0
 *   3 bottleneck the residual keeps its add at the last unit; inner units by their change of width
 *   4 other      not a chain: last weighted layer 0
 *   5 outside    a layer that widens is 0 beside H(pad(x)); others (partial) identity; the head 0
 */
#include <math.h>
#include <string.h>

#include "ir/plan.h"
#include "passes/init/init.h"
#include "passes/util.h"
#include "support/ice.h"

typedef enum { HEAD_ZERO, HEAD_IDENTITY } head_kind;
typedef struct options {
    bool augment, spanning, paper;
    head_kind head;
    int relu_at_zero;
} options;

typedef struct init_ctx {
    zn_init *init;
    zn_module *m;
    zn_func *f;
    zn_pass_ctx *pass;
    options o;
} init_ctx;

zn_scheme zn_scheme_zero;

static bool is_activation(const zn_value *v) {
    return zn_op_table[v->op].traits & ZN_T_ACTIVATION;
}
static bool is_norm_or_activation(const zn_value *v) {
    return v->op == ZN_OP_BN || v->op == ZN_OP_LAYERNORM || is_activation(v);
}

static int64_t width_in(const zn_value *v) {
    return zn_type_channels(&v->operand[0]->type);
}
static int64_t width_out(const zn_value *v) {
    return zn_type_channels(&v->type);
}

/* An identity in every group of a convolution: the inputs of a group go to the first of its outputs. */
static zn_formula in_groups(init_ctx *c, const zn_value *layer, const zn_param *w) {
    int64_t groups = zn_conv_groups(layer), in = w->type.dim[2], out = w->type.dim[3] / groups;
    if (out > in) {
        zn_diag_add(c->pass->diags, ZN_DIAG_INIT_GROUPS, layer->span,
                    "`zero` has no rule for groups that widen, here from %lld channels to %lld", (long long)in,
                    (long long)out);
        c->init->failed = true;
    }
    return (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = (float)groups};
}

static void set_weight(init_ctx *c, const zn_value *layer, zn_formula f) {
    zn_param *w = zn_init_param(c->init, layer);
    if (!zn_init_selected(c->init, w))
        return;
    if (zn_conv_groups(layer) > 1 && f.kind != ZN_FORMULA_CONST)
        f = in_groups(c, layer, w);
    if (w->type.rank == 4 && f.kind != ZN_FORMULA_CONST && (w->type.dim[0] % 2 == 0 || w->type.dim[1] % 2 == 0)) {
        zn_diag_add(c->pass->diags, ZN_DIAG_INIT_EVEN_KERNEL, layer->span,
                    "`zero` puts an identity into the centre of a kernel, and a %lldx%lld kernel has none",
                    (long long)w->type.dim[0], (long long)w->type.dim[1]);
        c->init->failed = true;
    }
    w->init = f;
}

/* Algorithms 1 and 2: I, I* or c I* H I*. */
static zn_formula algorithm12(const init_ctx *c, int64_t in, int64_t out) {
    zn_formula f = {.kind = ZN_FORMULA_IDENTITY, .a = 1, .spanning = c->o.spanning && out > in};
    if (out <= in)
        return f;
    int m = 0;
    while ((int64_t)1 << m < out)
        m++;
    f.kind = ZN_FORMULA_HADAMARD;
    f.a = (float)pow(2, -(double)(c->o.paper ? m - 1 : m) / 2);
    return f;
}

static void set_algorithm12(init_ctx *c, const zn_value *layer) {
    set_weight(c, layer, algorithm12(c, width_in(layer), width_out(layer)));
}

/* ---- building what the scheme inserts, in front of `before` */

typedef struct place {
    zn_value *before;
    zn_span span;
    const char *path;
} place;

static zn_value *build(init_ctx *c, place at, zn_op op, int n, zn_value *const *operand) {
    return zn_value_new(c->m, c->f, at.before, op, n, operand, at.span, at.path);
}
static zn_value *typed(init_ctx *c, zn_value *v) {
    if (!zn_value_infer(c->m, v, c->pass->diags))
        ZN_ICE("what init inserted has no type: %s",
               c->pass->diags->last ? c->pass->diags->last->msg : zn_op_table[v->op].text);
    return v;
}

static zn_value *hadamard(init_ctx *c, place at, zn_value *x) {
    return typed(c, build(c, at, ZN_OP_HADAMARD, 1, &x));
}

static zn_value *subsample(init_ctx *c, place at, zn_value *x, const int64_t stride[2]) {
    if (stride[0] == 1 && stride[1] == 1)
        return x;
    zn_value *v = build(c, at, ZN_OP_SUBSAMPLE, 1, &x);
    *zn_attr_of(v, SUBSAMPLE, stride) = (zn_attr){.n = 2, .v = {stride[0], stride[1]}};
    return typed(c, v);
}

/* The stride that turns size a into size b as `same` padding does; false if none. */
static bool explain_size(int64_t a, int64_t b, int64_t *stride) {
    *stride = b ? (a + b - 1) / b : 0;
    return *stride >= 1 && (a + *stride - 1) / *stride == b;
}

static bool explain(const zn_value *x, const zn_value *y, int64_t stride[2]) {
    stride[0] = stride[1] = 1;
    if (x->type.rank != y->type.rank)
        return false;
    return x->type.rank != 4 || (explain_size(x->type.dim[1], y->type.dim[1], &stride[0]) &&
                                 explain_size(x->type.dim[2], y->type.dim[2], &stride[1]));
}

/* hadamard(P(u)) with P a trainable 1x1 convolution or matrix that starts as the partial identity. Its name is skip<k>
 * in the scope of the residual, k the number of the unit; where that is taken (several residuals without labels in one
 * scope) the next free number. */
static zn_value *project(init_ctx *c, place at, zn_value *u, int64_t out, const int64_t stride[2], size_t k) {
    bool image = u->type.rank == 4;
    const char *path, *weight;
    do {
        path = zn_arena_printf(&c->m->arena, "%s%sskip%zu", at.path, at.path[0] ? "." : "", ++k);
        weight = zn_arena_printf(&c->m->arena, "%s.weight", path);
    } while (zn_param_find(c->m, weight));
    int64_t in = zn_type_channels(&u->type), dim4[4] = {1, 1, in, out}, dim2[2] = {in, out};
    zn_param *p = zn_param_new(c->m, weight, zn_type_make(ZN_F32, image ? 4 : 2, image ? dim4 : dim2), ZN_ROLE_WEIGHT,
                               (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = 1, .spanning = c->o.spanning && out > in}, at.span);
    p->decay = (float)zn_option_float(c->m, ZN_ARG_SECTION_TRAIN_decay);
    zn_value *operand[2] = {u, zn_param_read(c->m, c->f, at.before, p, path)};
    zn_value *v = build(c, at, image ? ZN_OP_CONV : ZN_OP_MATMUL, 2, operand);
    v->path = path;
    if (image)
        *zn_attr_of(v, CONV, stride) = (zn_attr){.n = 2, .v = {stride[0], stride[1]}};
    zn_pass_log(c->pass, "init: line %u: skip `%s`: partial identity %lld to %lld, then a Hadamard transform",
                at.span.line, weight, (long long)in, (long long)out);
    return hadamard(c, at, typed(c, v));
}

static zn_value *residual(init_ctx *c, place at, zn_value *x, zn_value *skip, zn_value *branch) {
    zn_value *operand[3] = {x, skip, branch}, *v = build(c, at, ZN_OP_RESIDUAL, 3, operand);
    zn_attr_of(v, RESIDUAL, policy)->s = "zero";
    return typed(c, v);
}

/* ---- rules 1 to 4: residuals */

typedef ZN_VEC(zn_value *) value_list;
typedef struct unit {
    size_t begin, end; /* in the chain */
    zn_value *layer;
} unit;
typedef ZN_VEC(unit) unit_list;

/* The branch as values from x (not included) to its end; false if it is not a chain. */
static bool chain_of(init_ctx *c, const zn_value *res, value_list *chain) {
    zn_value *x = res->operand[0], *end = res->operand[2];
    for (zn_value *v = end; v != x; v = v->operand[0]) {
        if (v->op == ZN_OP_RESIDUAL || (zn_op_table[v->op].traits & ZN_T_LEAF) || v->nuses != 1)
            return false;
        for (int i = 1; i < v->noperands; i++)
            if (v->operand[i]->op != ZN_OP_PARAM)
                return false;
        zn_vec_push(&c->m->arena, chain, v);
    }
    for (size_t i = 0; i < chain->n / 2; i++) {
        zn_value *t = chain->at[i];
        chain->at[i] = chain->at[chain->n - 1 - i];
        chain->at[chain->n - 1 - i] = t;
    }
    return true;
}

/* Rule 1. Pre-activation: cut after each weighted layer (and its bias). Post-activation: cut before the activation
 * that precedes the next weighted layer, or before that layer if there is none. */
static unit_list cut(init_ctx *c, const value_list *chain) {
    unit_list units = {0};
    bool post = chain->n && zn_init_weighted(chain->at[0]);
    for (size_t i = 0; i < chain->n; i++) {
        if (!zn_init_weighted(chain->at[i]))
            continue;
        size_t begin = units.n ? units.at[units.n - 1].end : 0, end = i + 1;
        if (end < chain->n && chain->at[end]->op == ZN_OP_BIAS)
            end++;
        if (post) {
            size_t next = end;
            while (next < chain->n && !zn_init_weighted(chain->at[next]))
                next++;
            size_t activation = next;
            while (activation > end && next < chain->n && !is_activation(chain->at[activation]))
                activation--;
            end = next == chain->n ? next : is_activation(chain->at[activation]) ? activation : next;
        }
        unit u = {begin, end, chain->at[i]};
        zn_vec_push(&c->m->arena, &units, u);
    }
    if (units.n)
        units.at[units.n - 1].end = chain->n;
    return units;
}

static bool is_bottleneck(const unit_list *u) {
    for (size_t i = 0; i < u->n; i++)
        if (width_out(u->at[i].layer) < width_in(u->at[i].layer))
            return true;
    const zn_value *last = u->at[u->n - 1].layer;
    return u->n >= 3 && width_out(last) > width_in(last);
}

/* The value after the leading norms and activations of the unit that starts with x. */
static zn_value *after_leading(const value_list *chain, const unit *u, zn_value *x) {
    for (size_t i = u->begin; i < u->end && is_norm_or_activation(chain->at[i]); i++)
        x = chain->at[i];
    return x;
}

static void zero_layer(init_ctx *c, const zn_value *layer) {
    set_weight(c, layer, zn_formula_const(0));
}

/* The skip from x (and u) to y: identity, or hadamard(P(u)). NULL where no stride explains the size. */
static zn_value *skip_of(init_ctx *c, place at, zn_value *x, zn_value *u, const zn_value *y, size_t k) {
    int64_t stride[2];
    if (zn_type_equal(&x->type, &y->type))
        return x;
    if (!explain(x, y, stride))
        return NULL;
    return project(c, at, u, zn_type_channels(&y->type), stride, k);
}

/* Puts y = unit + skip behind unit k; the units after it start from y. */
static void add_skip(init_ctx *c, const value_list *chain, const unit *u, size_t k, zn_value *x, zn_value *res,
                     bool slice) {
    zn_value *end = chain->at[u->end - 1], *next = end->next, *lead = after_leading(chain, u, x);
    place at = {next, res->span, res->path};
    int64_t stride[2];
    zn_value *skip = slice && explain(x, end, stride) ? subsample(c, at, x, stride) : skip_of(c, at, x, lead, end, k);
    if (!skip) {
        set_algorithm12(c, u->layer);
        return;
    }
    zero_layer(c, u->layer);
    zn_value *y = residual(c, at, x, skip, end);
    zn_value_replace(c->f, end, y, y);
}

static void split(init_ctx *c, zn_value *res, const value_list *chain, const unit_list *units) {
    zn_value *x = res->operand[0];
    for (size_t k = 0; k + 1 < units->n; k++) {
        add_skip(c, chain, &units->at[k], k, x, res, false);
        zn_value *first = chain->at[units->at[k + 1].begin];
        x = first->operand[0];
    }
    const unit *last = &units->at[units->n - 1];
    zn_value *end = res->operand[2];
    place at = {res, res->span, res->path};
    zn_value *skip = skip_of(c, at, x, after_leading(chain, last, x), end, units->n - 1);
    if (!skip) { /* keep the file's shortcut and add */
        set_algorithm12(c, last->layer);
        return;
    }
    zero_layer(c, last->layer);
    zn_value_set_operand(res, 0, x);
    zn_value_set_operand(res, 1, skip);
    zn_attr_of(res, RESIDUAL, policy)->s = "zero";
    zn_pass_log(c->pass, "init: line %u: residual of %zu units: a skip around each, in place of the file's shortcut",
                res->span.line, units->n);
}

static void bottleneck(init_ctx *c, zn_value *res, const value_list *chain, const unit_list *units) {
    zn_value *x0 = res->operand[0], *x = x0, *u0 = after_leading(chain, &units->at[0], x0);
    for (size_t k = 0; k + 1 < units->n; k++) {
        const unit *u = &units->at[k];
        int64_t in = width_in(u->layer), out = width_out(u->layer);
        if (out < in || (out == in && k == 0))
            set_weight(c, u->layer, (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = 1});
        else
            add_skip(c, chain, u, k, x, res, out == in);
        x = chain->at[units->at[k + 1].begin]->operand[0];
    }
    zero_layer(c, units->at[units->n - 1].layer);
    place at = {res, res->span, res->path};
    zn_value *skip = skip_of(c, at, x0, u0, res->operand[2], units->n - 1);
    if (!skip)
        return;
    zn_value_set_operand(res, 1, skip);
    zn_attr_of(res, RESIDUAL, policy)->s = "zero";
    zn_pass_log(c->pass, "init: line %u: bottleneck of %zu units: the add stays at the last, its shortcut is replaced",
                res->span.line, units->n);
}

/* Does v stand before `stop`, so that a way from a residual's branch has left the branch (it may begin with a value
 * named elsewhere)? Numbers are those from before the scheme inserted anything; what it inserted has none. */
static bool is_before(const zn_value *v, const zn_value *stop) {
    return v->id && v->id < stop->id;
}

/* The weighted layer nearest before v on the way of first operands; NULL if none behind `stop`. */
static zn_value *last_weighted(zn_value *v, const zn_value *stop) {
    while (v && v != stop && !is_before(v, stop) && !zn_init_weighted(v))
        v = v->noperands ? v->operand[v->op == ZN_OP_RESIDUAL ? 2 : 0] : NULL;
    return !v || v == stop || is_before(v, stop) ? NULL : v;
}

/* ---- rule 5: outside residuals */

/* Max pooling that follows the layer after norms and activations only; NULL if none. */
static const zn_value *pooling_after(const zn_value *v) {
    do
        v = v->nuses == 1 && v->first_use ? v->first_use->user : NULL;
    while (v && is_norm_or_activation(v));
    return v && v->op == ZN_OP_MAXPOOL ? v : NULL;
}

static zn_value *pooled_or_sliced(init_ctx *c, place at, zn_value *x, const zn_value *y, const int64_t stride[2]) {
    const zn_value *pool = stride[0] > 1 || stride[1] > 1 ? pooling_after(y) : NULL;
    if (!pool)
        return subsample(c, at, x, stride);
    zn_value *v = build(c, at, ZN_OP_MAXPOOL, 1, &x);
    zn_attr *k = zn_attr_of(v, MAXPOOL, k), *pad = zn_attr_of(v, MAXPOOL, pad);
    *k = *zn_attr_of(pool, MAXPOOL, k);
    *zn_attr_of(v, MAXPOOL, stride) = (zn_attr){.n = 2, .v = {stride[0], stride[1]}};
    *pad = (zn_attr){.n = 4};
    for (int i = 0; i < 2; i++) {
        int64_t in = x->type.dim[1 + i], out = y->type.dim[1 + i], before = (k->v[i] - 1) / 2,
                after = (out - 1) * stride[i] + k->v[i] - in - before;
        pad->v[i] = before;
        pad->v[2 + i] = after > 0 ? after : 0;
    }
    return typed(c, v);
}

static void outside(init_ctx *c, zn_value *layer) {
    int64_t in = width_in(layer), out = width_out(layer), stride[2];
    zn_value *x = layer->operand[0], *end = layer;
    for (const zn_use *u = layer->first_use; u; u = u->next)
        if (u->user->op == ZN_OP_BIAS && u->index == 0)
            end = u->user;
    if (out <= in || !explain(x, end, stride)) {
        set_algorithm12(c, layer);
        return;
    }
    zero_layer(c, layer);
    const char *dot = strrchr(layer->path, '.');
    place at = {end->next, layer->span,
                dot ? zn_arena_strndup(&c->m->arena, layer->path, (size_t)(dot - layer->path)) : ""};
    zn_value *v = pooled_or_sliced(c, at, x, end, stride);
    v = build(c, at, ZN_OP_PAD_CHANNELS, 1, &v);
    zn_attr_of(v, PAD_CHANNELS, channels)->i = out;
    zn_attr_of(v, PAD_CHANNELS, spanning)->i = c->o.spanning;
    v = hadamard(c, at, typed(c, v));
    zn_value *y = residual(c, at, x, v, end);
    zn_value_replace(c->f, end, y, y);
    zn_pass_log(c->pass, "init: line %u: layer %lld to %lld outside residuals: 0, beside pad and a Hadamard transform",
                layer->span.line, (long long)in, (long long)out);
}

/* ---- the two variants */

/* Marks (note) the weighted layers that lie inside the branch or shortcut of a residual. */
static void mark_inside(const zn_value *res) {
    static char inside;
    for (int arm = 1; arm < 3; arm++)
        for (zn_value *v = res->operand[arm]; v && v != res->operand[0] && !is_before(v, res->operand[0]);
             v = v->noperands ? v->operand[0] : NULL)
            v->note = &inside;
}

static zn_value *head_of(const init_ctx *c) {
    zn_value *head = NULL;
    for (zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_weighted(v))
            head = v;
    return head;
}

static void set_head(init_ctx *c, zn_value *head) {
    if (!head)
        return;
    if (c->o.head == HEAD_ZERO)
        zero_layer(c, head);
    else
        set_algorithm12(c, head);
}

static void zero_weights(init_ctx *c) {
    for (zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_weighted(v))
            set_algorithm12(c, v);
    set_head(c, head_of(c));
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_value *last = v->op == ZN_OP_RESIDUAL ? last_weighted(v->operand[2], v->operand[0]) : NULL;
        if (last)
            zero_layer(c, last);
    }
}

static void zero_augment(init_ctx *c) {
    zn_value *head = head_of(c);
    value_list residuals = {0}, free_layers = {0};
    for (zn_value *v = c->f->first; v; v = v->next)
        v->note = NULL;
    for (zn_value *v = c->f->first; v; v = v->next)
        if (v->op == ZN_OP_RESIDUAL) {
            zn_vec_push(&c->m->arena, &residuals, v);
            mark_inside(v);
        }
    for (zn_value *v = c->f->first; v; v = v->next) {
        if (zn_init_weighted(v) && v != head && !v->note)
            zn_vec_push(&c->m->arena, &free_layers, v);
        if (zn_init_weighted(v) && v->note) /* kept shortcuts and what no rule names */
            set_algorithm12(c, v);
    }
    for (size_t i = 0; i < residuals.n; i++) {
        zn_value *res = residuals.at[i];
        value_list chain = {0};
        unit_list units = {0};
        if (chain_of(c, res, &chain))
            units = cut(c, &chain);
        for (size_t k = 0; k < units.n; k++)
            if (!zn_init_selected(c->init, zn_init_param(c->init, units.at[k].layer)))
                units.n = 0; /* another start has a say in this branch: it keeps its structure */
        if (!units.n) {
            zn_value *last = last_weighted(res->operand[2], res->operand[0]);
            if (last)
                zero_layer(c, last);
        } else if (is_bottleneck(&units)) {
            bottleneck(c, res, &chain, &units);
        } else {
            split(c, res, &chain, &units);
        }
    }
    for (size_t i = 0; i < free_layers.n; i++)
        if (zn_init_selected(c->init, zn_init_param(c->init, free_layers.at[i])))
            outside(c, free_layers.at[i]);
    if (head && !head->note)
        set_head(c, head);
    for (zn_value *v = c->f->first; v; v = v->next)
        v->note = NULL;
    zn_remove_unused(c->f);
    zn_remove_unread_params(c->m);
}

/* What is not said depends on the variant. */
static options read_options(const zn_module *m) {
    options o = {.augment = zn_option_word(m, ZN_ARG_SCHEME_ZERO_variant) == 0,
                 .spanning = zn_option_word(m, ZN_ARG_SCHEME_ZERO_columns) == 1,
                 .paper = zn_option_word(m, ZN_ARG_SCHEME_ZERO_scale) == 1};
    o.head = o.augment ? HEAD_ZERO : HEAD_IDENTITY;
    o.relu_at_zero = o.augment;
    if (zn_option_given(m, ZN_ARG_SCHEME_ZERO_head))
        o.head = zn_option_word(m, ZN_ARG_SCHEME_ZERO_head) == 0 ? HEAD_ZERO : HEAD_IDENTITY;
    if (zn_option_given(m, ZN_ARG_SCHEME_ZERO_relu_at_zero))
        o.relu_at_zero = (int)zn_option_int(m, ZN_ARG_SCHEME_ZERO_relu_at_zero);
    return o;
}

/* Does the scheme win for any weighted layer? */
static bool wins(const zn_init *c) {
    for (const zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_weighted(v) && zn_init_selected(c, zn_init_param(c, v)))
            return true;
    return false;
}

void zn_scheme_zero(zn_init *init) {
    if (!wins(init))
        return; /* nor are activations its own */
    zn_func_number(init->f);
    init_ctx c = {init, init->m, init->f, init->pass, read_options(init->m)};
    if (c.o.paper && c.o.augment) {
        zn_diag_add(
            c.pass->diags, ZN_DIAG_INIT_OPTION, (zn_span){0},
            "`scale = paper` is for `zero(variant = weights)`; the inserted Hadamard transforms are orthonormal");
        init->failed = true;
        return;
    }
    if (c.o.augment)
        zero_augment(&c);
    else
        zero_weights(&c);
    for (zn_value *v = c.f->first; v; v = v->next)
        if (v->op == ZN_OP_RELU)
            zn_attr_of(v, RELU, at_zero)->i = c.o.relu_at_zero;
}
