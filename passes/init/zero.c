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
#include "passes/init/branch.h"
#include "passes/util.h"
#include "support/ice.h"

typedef enum { HEAD_ZERO, HEAD_IDENTITY } head_kind;
typedef struct options {
    bool augment, spanning, paper, scalars;
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
    set_weight(c, layer, algorithm12(c, zn_init_width_in(layer), zn_init_width_out(layer)));
}

/* ---- building what the scheme inserts, in front of `before` */

static zn_value *hadamard(init_ctx *c, zn_init_place at, zn_value *x) {
    return zn_init_typed(c->init, zn_init_build(c->init, at, ZN_OP_HADAMARD, 1, &x));
}

static zn_value *subsample(init_ctx *c, zn_init_place at, zn_value *x, const int64_t stride[2]) {
    if (stride[0] == 1 && stride[1] == 1)
        return x;
    zn_value *v = zn_init_build(c->init, at, ZN_OP_SUBSAMPLE, 1, &x);
    *zn_attr_of(v, SUBSAMPLE, stride) = (zn_attr){.n = 2, .v = {stride[0], stride[1]}};
    return zn_init_typed(c->init, v);
}

/* hadamard(P(u)) with P a trained 1x1 convolution or matrix that starts as the partial identity, called skip<k> in the
 * scope of the residual, k the number of the unit from 1; where that is taken (several residuals without labels in one
 * scope) the next free number. */
static zn_value *project(init_ctx *c, zn_init_place at, zn_value *u, int64_t out, const int64_t stride[2], size_t k) {
    int64_t in = zn_type_channels(&u->type);
    const zn_formula f = {.kind = ZN_FORMULA_IDENTITY, .a = 1, .spanning = c->o.spanning && out > in};
    zn_value *v = zn_init_project(c->init, at, u, out, stride, "skip", k + 1, f);
    zn_pass_log(c->pass, "init: line %u: skip `%s.weight`: partial identity %lld to %lld, then a Hadamard transform",
                at.span.line, v->path, (long long)in, (long long)out);
    return hadamard(c, at, v);
}

static zn_value *residual(init_ctx *c, zn_init_place at, zn_value *x, zn_value *skip, zn_value *branch) {
    zn_value *operand[3] = {x, skip, branch}, *v = zn_init_build(c->init, at, ZN_OP_RESIDUAL, 3, operand);
    zn_attr_of(v, RESIDUAL, policy)->s = "zero";
    return zn_init_typed(c->init, v);
}

/* ---- rules 1 to 4: residuals */

static bool is_bottleneck(const zn_branch *b) {
    for (size_t i = 0; i < b->units.n; i++)
        if (zn_init_width_out(b->units.at[i].layer) < zn_init_width_in(b->units.at[i].layer))
            return true;
    const zn_value *last = b->units.at[b->units.n - 1].layer;
    return b->units.n >= 3 && zn_init_width_out(last) > zn_init_width_in(last);
}

static void zero_layer(init_ctx *c, const zn_value *layer) {
    set_weight(c, layer, zn_formula_const(0));
}

/* The skip from x (and u) to y: identity, or hadamard(P(u)). NULL where no stride explains the size. */
static zn_value *skip_of(init_ctx *c, zn_init_place at, zn_value *x, zn_value *u, const zn_value *y, size_t k) {
    int64_t stride[2];
    if (zn_type_equal(&x->type, &y->type))
        return x;
    if (!zn_init_strides(x, y, stride))
        return NULL;
    return project(c, at, u, zn_type_channels(&y->type), stride, k);
}

/* Puts y = unit + skip behind unit k, which starts from x; the units after it start from y. */
static void add_skip(init_ctx *c, const zn_branch *b, size_t k, zn_value *x, bool slice) {
    const zn_unit *u = &b->units.at[k];
    zn_value *end = b->chain.at[u->end - 1], *next = end->next, *lead = zn_branch_lead(b, k, x, false);
    zn_init_place at = {next, b->res->span, b->res->path};
    int64_t stride[2];
    zn_value *skip =
        slice && zn_init_strides(x, end, stride) ? subsample(c, at, x, stride) : skip_of(c, at, x, lead, end, k);
    if (!skip) {
        set_algorithm12(c, u->layer);
        return;
    }
    zero_layer(c, u->layer);
    zn_value *y = residual(c, at, x, skip, end);
    zn_value_replace(c->f, end, y, y);
}

static void split(init_ctx *c, zn_branch *b) {
    zn_value *res = b->res, *x = res->operand[0], *end = res->operand[2];
    size_t last = b->units.n - 1;
    for (size_t k = 0; k < last; k++) {
        add_skip(c, b, k, x, false);
        x = zn_branch_start(b, k + 1);
    }
    zn_init_place at = {res, res->span, res->path};
    zn_value *skip = skip_of(c, at, x, zn_branch_lead(b, last, x, false), end, last);
    if (!skip) { /* keep the file's shortcut and add */
        set_algorithm12(c, b->units.at[last].layer);
        return;
    }
    zero_layer(c, b->units.at[last].layer);
    zn_value_set_operand(res, 0, x);
    zn_value_set_operand(res, 1, skip);
    zn_attr_of(res, RESIDUAL, policy)->s = "zero";
    zn_pass_log(c->pass, "init: line %u: residual of %zu units: a skip around each, in place of the file's shortcut",
                res->span.line, b->units.n);
}

static void bottleneck(init_ctx *c, zn_branch *b) {
    zn_value *res = b->res, *x0 = res->operand[0], *x = x0, *u0 = zn_branch_lead(b, 0, x0, false);
    size_t last = b->units.n - 1;
    for (size_t k = 0; k < last; k++) {
        const zn_value *layer = b->units.at[k].layer;
        int64_t in = zn_init_width_in(layer), out = zn_init_width_out(layer);
        if (out < in || (out == in && k == 0))
            set_weight(c, layer, (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = 1});
        else
            add_skip(c, b, k, x, out == in);
        x = zn_branch_start(b, k + 1);
    }
    zero_layer(c, b->units.at[last].layer);
    zn_init_place at = {res, res->span, res->path};
    zn_value *skip = skip_of(c, at, x0, u0, res->operand[2], last);
    if (!skip)
        return;
    zn_value_set_operand(res, 1, skip);
    zn_attr_of(res, RESIDUAL, policy)->s = "zero";
    zn_pass_log(c->pass, "init: line %u: bottleneck of %zu units: the add stays at the last, its shortcut is replaced",
                res->span.line, b->units.n);
}

/* ---- rule 5: outside residuals */

/* Max pooling that follows the layer after norms and activations only; NULL if none. */
static const zn_value *pooling_after(const zn_value *v) {
    do
        v = v->nuses == 1 && v->first_use ? v->first_use->user : NULL;
    while (v && (zn_init_is_norm(v) || zn_init_is_activation(v)));
    return v && v->op == ZN_OP_MAXPOOL ? v : NULL;
}

static zn_value *pooled_or_sliced(init_ctx *c, zn_init_place at, zn_value *x, const zn_value *y,
                                  const int64_t stride[2]) {
    const zn_value *pool = stride[0] > 1 || stride[1] > 1 ? pooling_after(y) : NULL;
    if (!pool)
        return subsample(c, at, x, stride);
    zn_value *v = zn_init_build(c->init, at, ZN_OP_MAXPOOL, 1, &x);
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
    return zn_init_typed(c->init, v);
}

/* The layer's own stride; false if a slice by it has another size than the layer's result. */
static bool stride_of(const zn_value *layer, int64_t stride[2]) {
    const zn_type *x = &layer->operand[0]->type, *y = &layer->type;
    stride[0] = stride[1] = 1;
    for (int i = 0; i < 2 && layer->op == ZN_OP_CONV; i++) {
        stride[i] = zn_attr_of(layer, CONV, stride)->v[i];
        if ((x->dim[1 + i] + stride[i] - 1) / stride[i] != y->dim[1 + i])
            return false;
    }
    return true;
}

static void outside(init_ctx *c, zn_value *layer) {
    int64_t in = zn_init_width_in(layer), out = zn_init_width_out(layer), stride[2];
    zn_value *x = layer->operand[0], *end = zn_init_with_bias(layer);
    if (out <= in || !stride_of(layer, stride)) {
        set_algorithm12(c, layer);
        return;
    }
    zero_layer(c, layer);
    const char *dot = strrchr(layer->path, '.');
    zn_init_place at = {end->next, layer->span,
                        dot ? zn_arena_strndup(&c->m->arena, layer->path, (size_t)(dot - layer->path)) : ""};
    zn_value *v = pooled_or_sliced(c, at, x, end, stride);
    v = zn_init_build(c->init, at, ZN_OP_PAD_CHANNELS, 1, &v);
    zn_attr_of(v, PAD_CHANNELS, channels)->i = out;
    zn_attr_of(v, PAD_CHANNELS, spanning)->i = c->o.spanning;
    v = hadamard(c, at, zn_init_typed(c->init, v));
    zn_value *y = residual(c, at, x, v, end);
    zn_value_replace(c->f, end, y, y);
    zn_pass_log(c->pass, "init: line %u: layer %lld to %lld outside residuals: 0, beside pad and a Hadamard transform",
                layer->span.line, (long long)in, (long long)out);
}

/* ---- the two variants */

/* Marks (note) what lies inside the branch or shortcut of a residual: all that its end is made of behind what the
 * residual starts from. */
static void mark_inside(zn_value *v, const zn_value *start) {
    static char inside;
    for (; v != start && !v->note && !zn_branch_before(v, start) && v->noperands; v = v->operand[0]) {
        v->note = &inside;
        for (int i = 1; i < v->noperands; i++)
            mark_inside(v->operand[i], start);
    }
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
    set_head(c, zn_init_head(c->init));
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_value *last = v->op == ZN_OP_RESIDUAL ? zn_branch_last(v) : NULL;
        if (last)
            zero_layer(c, last);
    }
}

static void zero_augment(init_ctx *c) {
    zn_value *head = zn_init_head(c->init);
    ZN_VEC(zn_value *) residuals = {0}, free_layers = {0};
    for (zn_value *v = c->f->first; v; v = v->next)
        v->note = NULL;
    for (zn_value *v = c->f->first; v; v = v->next)
        if (v->op == ZN_OP_RESIDUAL) {
            zn_vec_push(&c->m->arena, &residuals, v);
            mark_inside(v->operand[1], v->operand[0]);
            mark_inside(v->operand[2], v->operand[0]);
        }
    for (zn_value *v = c->f->first; v; v = v->next) {
        if (zn_init_weighted(v) && v != head && !v->note)
            zn_vec_push(&c->m->arena, &free_layers, v);
        if (zn_init_weighted(v) && v->note) /* kept shortcuts and what no rule names */
            set_algorithm12(c, v);
    }
    for (size_t i = 0; i < residuals.n; i++) {
        zn_value *res = residuals.at[i];
        zn_branch b;
        /* where another start has a say in a branch, it keeps its structure */
        if (!zn_branch_of(c->init, res, &b) || !zn_branch_selected(c->init, &b)) {
            zn_value *last = zn_branch_last(res);
            if (last)
                zero_layer(c, last);
            continue;
        }
        if (c->o.scalars)
            zn_branch_add_scalars(c->init, &b, 1);
        if (is_bottleneck(&b))
            bottleneck(c, &b);
        else
            split(c, &b);
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
                 .paper = zn_option_word(m, ZN_ARG_SCHEME_ZERO_scale) == 1,
                 .scalars = zn_option_bool(m, ZN_ARG_SCHEME_ZERO_scalars)};
    o.head = o.augment ? HEAD_ZERO : HEAD_IDENTITY;
    o.relu_at_zero = o.augment;
    if (zn_option_given(m, ZN_ARG_SCHEME_ZERO_head))
        o.head = zn_option_word(m, ZN_ARG_SCHEME_ZERO_head) == 0 ? HEAD_ZERO : HEAD_IDENTITY;
    if (zn_option_given(m, ZN_ARG_SCHEME_ZERO_relu_at_zero))
        o.relu_at_zero = (int)zn_option_int(m, ZN_ARG_SCHEME_ZERO_relu_at_zero);
    return o;
}

void zn_scheme_zero(zn_init *init) {
    if (!zn_init_wins(init))
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
