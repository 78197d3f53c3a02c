/* Pass grad: @train_step and @eval_step from @forward.
 *
 * The step is plain IR: forward with batch statistics and dropout, loss, running statistics, and the gradient by
 * reverse accumulation. Gradients of a value with several uses are added in reverse order of the uses, and so are those
 * of all reads of one parameter. As soon as a parameter's gradient is whole and nothing reads the old value any more,
 * the operation `gradient` names it: one for each parameter. What works on gradients stands behind this pass; pass
 * update makes the optimizer's steps of them.
 *
 * Requires @forward without step functions. Keeps @forward. */
#include <string.h>

#include "ir/schema.h"
#include "passes/pass.h"
#include "passes/util.h"
#include "support/ice.h"

typedef struct grad_ctx {
    zn_module *m;
    zn_pass_ctx *pass;
    zn_func *f;          /* @train_step */
    bool *needs;         /* by id of the forward part: depends on a trained parameter */
    zn_value **adj;      /* by id: gradient so far; of a parameter: at its first read */
    int *first_read;     /* by id: the first read of the same parameter; of other values their own */
    zn_value *out, *far; /* of mse: the output and its distance from the target */
    zn_value **again;    /* by id: the value computed a second time, for the gradient */
} grad_ctx;

static const zn_span nowhere = {0};

/* A value at the end of the step, with the span and path of v. */
static zn_value *add_op(grad_ctx *c, const zn_value *v, zn_op op, int n, zn_value *const *operand) {
    return zn_value_new(c->m, c->f, NULL, op, n, operand, v ? v->span : nowhere, v ? v->path : "");
}
static zn_value *typed(grad_ctx *c, zn_value *v) {
    if (!zn_value_infer(c->m, v, c->pass->diags))
        ZN_ICE("the gradient of an operation has no type: %s", zn_op_table[v->op].text);
    return v;
}
#define OPERANDS(...) ((zn_value *[]){__VA_ARGS__})
static zn_value *make(grad_ctx *c, const zn_value *v, zn_op op, int n, zn_value *const *operand) {
    return typed(c, add_op(c, v, op, n, operand));
}

static bool needs(const grad_ctx *c, const zn_value *v) {
    return c->needs[v->id];
}

static void accumulate(grad_ctx *c, const zn_value *of, zn_value *g) {
    zn_value **slot = &c->adj[c->first_read[of->id]];
    if (c->needs[of->id])
        *slot = *slot ? make(c, of, ZN_OP_ADD, 2, OPERANDS(*slot, g)) : g;
}

static zn_attr hw(const zn_value *x) {
    return (zn_attr){.n = 2, .v = {x->type.dim[1], x->type.dim[2]}};
}
static int64_t area_of(const zn_type *t) {
    return zn_type_count(t) / t->dim[0] / zn_type_channels(t);
}

/* v again, of this operand, behind the forward part. */
static zn_value *rectified_again(grad_ctx *c, const zn_value *v, zn_value *x) {
    zn_value *r = add_op(c, v, ZN_OP_RELU, 1, &x);
    *zn_attr_of(r, RELU, at_zero) = *zn_attr_of(v, RELU, at_zero);
    zn_attr_of(r, RELU, again)->i = 1;
    return typed(c, r);
}

/* What the gradient reads in place of v. A rectified value is computed again from what is kept anyway, so that only one
 * of the two lives from forward to backward: a normalised one from what its norm read, another one from its operand
 * where that is what its mask reads. */
static zn_value *saved(grad_ctx *c, zn_value *v) {
    if (v->op != ZN_OP_RELU)
        return v;
    zn_value **slot = &c->again[v->id], *x = v->operand[0];
    if (!*slot && x->op == ZN_OP_BN_NORM) {
        zn_value *n = add_op(c, x, ZN_OP_BN_NORM, 4, x->operand);
        zn_attr_of(n, BN_NORM, again)->i = 1;
        *slot = rectified_again(c, v, typed(c, n));
    } else if (!*slot && needs(c, x) && zn_attr_of(v, RELU, at_zero)->i) {
        *slot = rectified_again(c, v, x);
    }
    return *slot ? *slot : v;
}

/* ---- gradients, one function per name in column `grad` of ops.def: v's operands from dy */

typedef void grad_fn(grad_ctx *c, zn_value *v, zn_value *dy);

/* Shards of a gradient by weights of n images: fewer where the partial sums would need more than 16 MB. */
static int64_t weight_shards(int64_t n, int64_t elements) {
    int64_t s = zn_shard_count(n);
    while (s > 1 && s * elements > (int64_t)4 << 20)
        s /= 2;
    return s;
}

static void grad_conv(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0], *w = v->operand[1], *g;
    if (needs(c, w)) {
        g = add_op(c, v, ZN_OP_CONV_GRAD_W, 2, OPERANDS(saved(c, x), dy));
        *zn_attr_of(g, CONV_GRAD_W, stride) = *zn_attr_of(v, CONV, stride);
        *zn_attr_of(g, CONV_GRAD_W, pad) = *zn_attr_of(v, CONV, pad);
        *zn_attr_of(g, CONV_GRAD_W, k) = (zn_attr){.n = 2, .v = {w->type.dim[0], w->type.dim[1]}};
        *zn_attr_of(g, CONV_GRAD_W, groups) = *zn_attr_of(v, CONV, groups);
        zn_attr_of(g, CONV_GRAD_W, shards)->i = weight_shards(x->type.dim[0], zn_type_count(&w->type));
        accumulate(c, w, typed(c, g));
    }
    if (needs(c, x)) {
        g = add_op(c, v, ZN_OP_CONV_GRAD_X, 2, OPERANDS(dy, w));
        *zn_attr_of(g, CONV_GRAD_X, stride) = *zn_attr_of(v, CONV, stride);
        *zn_attr_of(g, CONV_GRAD_X, pad) = *zn_attr_of(v, CONV, pad);
        *zn_attr_of(g, CONV_GRAD_X, size) = hw(x);
        *zn_attr_of(g, CONV_GRAD_X, groups) = *zn_attr_of(v, CONV, groups);
        accumulate(c, x, typed(c, g));
    }
}

static void grad_matmul(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0], *w = v->operand[1], *g;
    if (needs(c, w)) {
        g = add_op(c, v, ZN_OP_MATMUL, 2, OPERANDS(x, dy));
        zn_attr_of(g, MATMUL, trans_a)->i = 1;
        /* A few long chains: k is only the batch, and each shard costs a partial result. */
        zn_attr_of(g, MATMUL, shards)->i = x->type.dim[0] >= 4 ? 4 : 1;
        accumulate(c, w, typed(c, g));
    }
    if (needs(c, x)) {
        g = add_op(c, v, ZN_OP_MATMUL, 2, OPERANDS(dy, w));
        zn_attr_of(g, MATMUL, trans_b)->i = 1;
        accumulate(c, x, typed(c, g));
    }
}

/* Sum over all but channels. */
static zn_value *sum_rows(grad_ctx *c, const zn_value *v, zn_value *x) {
    zn_value *s = add_op(c, v, ZN_OP_SUM_ROWS, 1, &x);
    zn_attr_of(s, SUM_ROWS, shards)->i = zn_stats_shards(x->type.dim[0], area_of(&x->type));
    return typed(c, s);
}

static void grad_bias(grad_ctx *c, zn_value *v, zn_value *dy) {
    if (needs(c, v->operand[1]))
        accumulate(c, v->operand[1], sum_rows(c, v, dy));
    accumulate(c, v->operand[0], dy);
}

static void grad_relu(grad_ctx *c, zn_value *v, zn_value *dy) {
    int64_t at_zero = zn_attr_of(v, RELU, at_zero)->i;
    /* With derivative 0 at 0 the result tells as much as the operand, and one of the two is there for the next layer.
     */
    zn_value *kept = c->again[v->id] ? c->again[v->id] : v;
    zn_value *g = add_op(c, v, ZN_OP_RELU_GRAD, 2, OPERANDS(dy, at_zero ? kept->operand[0] : kept));
    zn_attr_of(g, RELU_GRAD, at_zero)->i = at_zero;
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_maxpool(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_MAXPOOL_GRAD, 2, OPERANDS(dy, v->operand[0]));
    *zn_attr_of(g, MAXPOOL_GRAD, k) = *zn_attr_of(v, MAXPOOL, k);
    *zn_attr_of(g, MAXPOOL_GRAD, stride) = *zn_attr_of(v, MAXPOOL, stride);
    *zn_attr_of(g, MAXPOOL_GRAD, pad) = *zn_attr_of(v, MAXPOOL, pad);
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_avgpool(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_AVGPOOL_GRAD, 1, &dy);
    *zn_attr_of(g, AVGPOOL_GRAD, size) = hw(v->operand[0]);
    *zn_attr_of(g, AVGPOOL_GRAD, k) = *zn_attr_of(v, AVGPOOL, k);
    *zn_attr_of(g, AVGPOOL_GRAD, stride) = *zn_attr_of(v, AVGPOOL, stride);
    *zn_attr_of(g, AVGPOOL_GRAD, pad) = *zn_attr_of(v, AVGPOOL, pad);
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_global_avgpool(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_GLOBAL_AVGPOOL_GRAD, 1, &dy);
    *zn_attr_of(g, GLOBAL_AVGPOOL_GRAD, size) = hw(v->operand[0]);
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_flatten(grad_ctx *c, zn_value *v, zn_value *dy) {
    const zn_type *t = &v->operand[0]->type;
    zn_value *g = add_op(c, v, ZN_OP_UNFLATTEN, 1, &dy);
    *zn_attr_of(g, UNFLATTEN, shape) = (zn_attr){.n = 3, .v = {t->dim[1], t->dim[2], t->dim[3]}};
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_unflatten(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_FLATTEN, 1, &dy));
}

static void grad_hadamard(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_HADAMARD, 1, &dy)); /* H is symmetric */
}

/* `channels` channels of x, from `first` on. */
static zn_value *slice_of(grad_ctx *c, const zn_value *v, zn_value *x, int64_t channels, int64_t first, bool spanning) {
    zn_value *g = add_op(c, v, ZN_OP_SLICE_CHANNELS, 1, &x);
    zn_attr_of(g, SLICE_CHANNELS, channels)->i = channels;
    zn_attr_of(g, SLICE_CHANNELS, first)->i = first;
    zn_attr_of(g, SLICE_CHANNELS, spanning)->i = spanning;
    return typed(c, g);
}

static void grad_pad_channels(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0],
               slice_of(c, v, dy, zn_type_channels(&v->operand[0]->type), zn_attr_of(v, PAD_CHANNELS, first)->i,
                        zn_attr_of(v, PAD_CHANNELS, spanning)->i));
}

static void grad_slice_channels(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_PAD_CHANNELS, 1, &dy);
    zn_attr_of(g, PAD_CHANNELS, channels)->i = zn_type_channels(&v->operand[0]->type);
    zn_attr_of(g, PAD_CHANNELS, first)->i = zn_attr_of(v, SLICE_CHANNELS, first)->i;
    zn_attr_of(g, PAD_CHANNELS, spanning)->i = zn_attr_of(v, SLICE_CHANNELS, spanning)->i;
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_concat(grad_ctx *c, zn_value *v, zn_value *dy) {
    for (int64_t i = 0, first = 0; i < 2; i++) {
        int64_t channels = zn_type_channels(&v->operand[i]->type);
        if (needs(c, v->operand[i]))
            accumulate(c, v->operand[i], slice_of(c, v, dy, channels, first, false));
        first += channels;
    }
}

static void grad_upsample(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_UPSAMPLE_GRAD, 1, &dy);
    zn_attr_of(g, UPSAMPLE_GRAD, factor)->i = zn_attr_of(v, UPSAMPLE, factor)->i;
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_subsample(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_SUBSAMPLE_GRAD, 1, &dy);
    *zn_attr_of(g, SUBSAMPLE_GRAD, size) = hw(v->operand[0]);
    *zn_attr_of(g, SUBSAMPLE_GRAD, stride) = *zn_attr_of(v, SUBSAMPLE, stride);
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_add(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], dy);
    accumulate(c, v->operand[1], dy);
}

static void grad_sub(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], dy);
    if (needs(c, v->operand[1])) {
        zn_value *g = add_op(c, v, ZN_OP_MUL_CONST, 1, &dy);
        zn_attr_of(g, MUL_CONST, value)->f = -1;
        accumulate(c, v->operand[1], typed(c, g));
    }
}

static void grad_mul(grad_ctx *c, zn_value *v, zn_value *dy) {
    for (int i = 0; i < 2; i++)
        if (needs(c, v->operand[i]))
            accumulate(c, v->operand[i], make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, v->operand[1 - i])));
}

static void grad_div(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *b = v->operand[1];
    accumulate(c, v->operand[0], make(c, v, ZN_OP_DIV, 2, OPERANDS(dy, b)));
    if (needs(c, b)) {
        zn_value *g = make(c, v, ZN_OP_DIV, 2, OPERANDS(make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, v)), b));
        accumulate(c, b, make(c, v, ZN_OP_NEG, 1, &g));
    }
}

/* dy where a < b (inverted: elsewhere), else 0. */
static zn_value *masked(grad_ctx *c, const zn_value *v, zn_value *a, zn_value *b, zn_value *dy, bool inverted) {
    zn_value *g = add_op(c, v, ZN_OP_MASK, 3, OPERANDS(a, b, dy));
    zn_attr_of(g, MASK, inverted)->i = inverted;
    return typed(c, g);
}

static void grad_max(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *a = v->operand[0], *b = v->operand[1];
    if (needs(c, a))
        accumulate(c, a, masked(c, v, b, a, dy, false));
    if (needs(c, b))
        accumulate(c, b, masked(c, v, b, a, dy, true));
}

static void grad_select(grad_ctx *c, zn_value *v, zn_value *dy) {
    for (int i = 0; i < 2; i++)
        if (needs(c, v->operand[2 + i]))
            accumulate(c, v->operand[2 + i], masked(c, v, v->operand[0], v->operand[1], dy, i));
}

static void grad_mask(grad_ctx *c, zn_value *v, zn_value *dy) {
    bool inverted = zn_attr_of(v, MASK, inverted)->i;
    if (needs(c, v->operand[2]))
        accumulate(c, v->operand[2], masked(c, v, v->operand[0], v->operand[1], dy, inverted));
}

static zn_value *times(grad_ctx *c, const zn_value *v, zn_value *x, double k) {
    zn_value *g = add_op(c, v, ZN_OP_MUL_CONST, 1, &x);
    zn_attr_of(g, MUL_CONST, value)->f = k;
    return typed(c, g);
}

static void grad_neg(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_NEG, 1, &dy));
}

static void grad_sqrt(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], times(c, v, make(c, v, ZN_OP_DIV, 2, OPERANDS(dy, v)), 0.5));
}

static void grad_exp(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, v)));
}

static void grad_log(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_DIV, 2, OPERANDS(dy, v->operand[0])));
}

static void grad_tanh(grad_ctx *c, zn_value *v, zn_value *dy) { /* 1 - y y */
    zn_value *g = make(c, v, ZN_OP_MUL, 2, OPERANDS(v, v));
    g = make(c, v, ZN_OP_NEG, 1, &g);
    g = add_op(c, v, ZN_OP_ADD_CONST, 1, &g);
    zn_attr_of(g, ADD_CONST, value)->f = 1;
    accumulate(c, v->operand[0], make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, typed(c, g))));
}

static void grad_erf(grad_ctx *c, zn_value *v, zn_value *dy) { /* 2 / sqrt(pi) exp(-x x) */
    zn_value *x = v->operand[0], *g = make(c, v, ZN_OP_MUL, 2, OPERANDS(x, x));
    g = make(c, v, ZN_OP_NEG, 1, &g);
    g = times(c, v, make(c, v, ZN_OP_EXP, 1, &g), 1.1283791670955126);
    accumulate(c, x, make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, g)));
}

static void grad_gelu(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_GELU_GRAD, 2, OPERANDS(dy, v->operand[0])));
}

static void grad_add_const(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], dy);
}

static void grad_mul_const(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], times(c, v, dy, zn_attr_of(v, MUL_CONST, value)->f));
}

static zn_value *broadcast_of(grad_ctx *c, const zn_value *v, zn_value *x, int64_t channels) {
    zn_value *g = add_op(c, v, ZN_OP_BROADCAST, 1, &x);
    zn_attr_of(g, BROADCAST, channels)->i = channels;
    return typed(c, g);
}

static void grad_reduce_sum(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0];
    accumulate(c, x, broadcast_of(c, v, dy, zn_type_channels(&x->type)));
}

static void grad_reduce_max(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_REDUCE_MAX_GRAD, 2, OPERANDS(dy, v->operand[0])));
}

static void grad_broadcast(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], make(c, v, ZN_OP_REDUCE_SUM, 1, &dy));
}

static zn_value *row_of(grad_ctx *c, const zn_value *v, zn_value *x, int64_t index) {
    zn_value *r = add_op(c, v, ZN_OP_ROW, 1, &x);
    zn_attr_of(r, ROW, index)->i = index;
    return typed(c, r);
}

static void grad_bn_norm(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0], *stats = v->operand[1], *scale = v->operand[2];
    zn_value *sums = add_op(c, v, ZN_OP_BN_GRAD_SUMS, 3, OPERANDS(dy, x, stats));
    zn_attr_of(sums, BN_GRAD_SUMS, shards)->i = zn_stats_shards(x->type.dim[0], area_of(&x->type));
    sums = typed(c, sums);
    if (needs(c, x))
        accumulate(c, x, make(c, v, ZN_OP_BN_GRAD_X, 5, OPERANDS(dy, x, stats, sums, scale)));
    if (needs(c, scale))
        accumulate(c, scale, row_of(c, v, sums, 1));
    if (needs(c, v->operand[3]))
        accumulate(c, v->operand[3], row_of(c, v, sums, 0));
}

static void grad_ln_norm(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0], *scale = v->operand[1];
    if (needs(c, x)) {
        zn_value *g = add_op(c, v, ZN_OP_LN_GRAD_X, 3, OPERANDS(dy, x, scale));
        *zn_attr_of(g, LN_GRAD_X, eps) = *zn_attr_of(v, LN_NORM, eps);
        accumulate(c, x, typed(c, g));
    }
    if (!needs(c, scale) && !needs(c, v->operand[2]))
        return;
    zn_value *sums = add_op(c, v, ZN_OP_LN_GRAD_SUMS, 2, OPERANDS(dy, x));
    *zn_attr_of(sums, LN_GRAD_SUMS, eps) = *zn_attr_of(v, LN_NORM, eps);
    zn_attr_of(sums, LN_GRAD_SUMS, shards)->i = zn_stats_shards(x->type.dim[0], area_of(&x->type));
    sums = typed(c, sums);
    if (needs(c, scale))
        accumulate(c, scale, row_of(c, v, sums, 1));
    if (needs(c, v->operand[2]))
        accumulate(c, v->operand[2], row_of(c, v, sums, 0));
}

static void grad_dropout_mask(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *g = add_op(c, v, ZN_OP_DROPOUT_MASK, 1, &dy);
    *zn_attr_of(g, DROPOUT_MASK, p) = *zn_attr_of(v, DROPOUT_MASK, p);
    *zn_attr_of(g, DROPOUT_MASK, layer) = *zn_attr_of(v, DROPOUT_MASK, layer);
    accumulate(c, v->operand[0], typed(c, g));
}

static void grad_cross_entropy(grad_ctx *c, zn_value *v, zn_value *dy) {
    (void)dy; /* the loss is where the gradient starts: the mean over the batch */
    zn_value *g = add_op(c, v, ZN_OP_CROSS_ENTROPY_GRAD, 2, OPERANDS(v->operand[0], v->operand[1]));
    *zn_attr_of(g, CROSS_ENTROPY_GRAD, smoothing) = *zn_attr_of(v, CROSS_ENTROPY, smoothing);
    accumulate(c, v->operand[0], typed(c, g));
}

/* Sum over all elements, [1]: over rows by sum_rows, then over channels. */
static zn_value *total(grad_ctx *c, const zn_value *v, zn_value *x) {
    if (x->type.rank > 1)
        x = sum_rows(c, v, x);
    return make(c, v, ZN_OP_REDUCE_SUM, 1, &x);
}

static void grad_scale(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0], *s = v->operand[1];
    if (needs(c, x))
        accumulate(c, x, make(c, v, ZN_OP_SCALE, 2, OPERANDS(dy, s)));
    if (needs(c, s))
        accumulate(c, s, total(c, v, make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, saved(c, x)))));
}

static void grad_shift(grad_ctx *c, zn_value *v, zn_value *dy) {
    accumulate(c, v->operand[0], dy);
    if (needs(c, v->operand[1]))
        accumulate(c, v->operand[1], total(c, v, dy));
}

static void grad_channel_scale(grad_ctx *c, zn_value *v, zn_value *dy) {
    zn_value *x = v->operand[0], *s = v->operand[1];
    if (needs(c, x))
        accumulate(c, x, make(c, v, ZN_OP_CHANNEL_SCALE, 2, OPERANDS(dy, s)));
    if (needs(c, s))
        accumulate(c, s, sum_rows(c, v, make(c, v, ZN_OP_MUL, 2, OPERANDS(dy, saved(c, x)))));
}

#define grad_none NULL
static grad_fn *const grad_table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc) [ZN_OP_##ID] = grad_##grad,
#include "ir/ops.def"
};

/* A function called name that computes what @forward does, for gradients to work in; its result's copy is returned. */
static zn_value *copy_forward(grad_ctx *c, const zn_func *from, const char *name, zn_forward_kind kind) {
    zn_value *out;
    c->f = zn_forward_copy(c->m, c->pass, from, name, kind, &out);
    return out;
}

/* ---- the loss */

/* Elements of one sample of x, as rows [n, elements]. */
static zn_value *as_rows(grad_ctx *c, zn_value *x) {
    return x->type.rank == 2 ? x : make(c, x, ZN_OP_FLATTEN, 1, &x);
}

/* Mean squared distance from `target`, of each sample: [n, 1]. */
static zn_value *add_mse(grad_ctx *c, zn_value *out, zn_value *target) {
    zn_value *far = make(c, out, ZN_OP_SUB, 2, OPERANDS(out, target));
    zn_value *square = as_rows(c, make(c, out, ZN_OP_MUL, 2, OPERANDS(far, far)));
    zn_value *sum = make(c, out, ZN_OP_REDUCE_SUM, 1, &square);
    zn_value *loss = times(c, out, sum, 1 / (double)zn_type_channels(&square->type));
    zn_func_return(c->m, c->f, loss);
    c->far = far;
    c->out = out;
    return loss;
}

/* The gradient of the mean loss by the output: 2 (out - target) / (elements of the batch). */
static void seed_mse(grad_ctx *c) {
    accumulate(c, c->out, times(c, c->out, c->far, 2 / (double)zn_type_count(&c->out->type)));
}

static bool is_mse(const zn_module *m) {
    return !strcmp(zn_conf_str(m, "train.loss", "cross_entropy"), "mse");
}
/* What mse compares with, in the order of the words of its option. */
enum { TARGET_LABEL, TARGET_IMAGE, TARGET_VALUE };
static bool by_image(const zn_module *m) {
    return is_mse(m) && zn_option_word(m, ZN_ARG_LOSS_MSE_target) == TARGET_IMAGE;
}

/* Loss and right answers of each sample, as results. */
static zn_value *add_loss(grad_ctx *c, zn_value *logits) {
    bool mse = is_mse(c->m);
    if (by_image(c->m))
        return add_mse(c, logits, c->f->args.at[0]);
    if (mse && zn_option_word(c->m, ZN_ARG_LOSS_MSE_target) == TARGET_VALUE)
        return add_mse(c, logits, zn_arg_new(c->m, c->f, logits->type, "labels"));
    int64_t batch = logits->type.dim[0];
    zn_value *labels = zn_arg_new(c->m, c->f, zn_type_make(ZN_I32, 1, &batch), "labels"), *of[2] = {logits, labels};
    if (mse) {
        zn_value *hot = add_op(c, logits, ZN_OP_ONE_HOT, 1, &labels);
        zn_attr_of(hot, ONE_HOT, classes)->i = zn_type_channels(&logits->type);
        zn_value *loss = add_mse(c, logits, typed(c, hot));
        zn_func_return(c->m, c->f, make(c, logits, ZN_OP_CORRECT, 2, of));
        return loss;
    }
    zn_value *loss = zn_value_new(c->m, c->f, NULL, ZN_OP_CROSS_ENTROPY, 2, of, logits->span, "");
    zn_attr_of(loss, CROSS_ENTROPY, smoothing)->f = zn_option_float(c->m, ZN_ARG_LOSS_CROSS_ENTROPY_smoothing);
    zn_func_return(c->m, c->f, typed(c, loss));
    zn_func_return(c->m, c->f, typed(c, zn_value_new(c->m, c->f, NULL, ZN_OP_CORRECT, 2, of, logits->span, "")));
    return loss;
}

/* ---- running statistics */

static void store(grad_ctx *c, const zn_value *at, const char *name, zn_value *x) {
    zn_value *s = add_op(c, at, ZN_OP_STORE, 1, &x);
    zn_attr_of(s, STORE, name)->s = name;
    typed(c, s);
}

static void running_update(grad_ctx *c, const zn_value *bn, zn_value *stats) {
    for (int row = 0; row < 2; row++) {
        const char *name = zn_attr_of(bn->operand[3 + row], PARAM, name)->s;
        zn_value *old = zn_param_read(c->m, c->f, NULL, zn_param_find(c->m, name), bn->path);
        zn_value *v = add_op(c, bn, ZN_OP_BN_RUNNING, 2, OPERANDS(old, stats));
        zn_attr_of(v, BN_RUNNING, row)->i = row;
        *zn_attr_of(v, BN_RUNNING, momentum) = *zn_attr_of(bn, BN, momentum);
        zn_attr_of(v, BN_RUNNING, count)->i = zn_type_count(&bn->type) / zn_type_channels(&bn->type);
        store(c, bn, name, typed(c, v));
    }
}

/* Running statistics of every bn of @forward: its twin in the step is the bn_stats of the same order. */
static void running_updates(grad_ctx *c, const zn_func *from, zn_value *end) {
    zn_value *stats = c->f->first;
    for (const zn_value *v = from->first; v; v = v->next) {
        if (v->op != ZN_OP_BN)
            continue;
        while (stats != end && stats->op != ZN_OP_BN_STATS)
            stats = stats->next;
        running_update(c, v, stats);
        stats = stats->next;
    }
}

/* ---- reverse accumulation */

/* By id: the first value that uses it, or any read of the same parameter. */
static zn_value **prepare(grad_ctx *c) {
    zn_func_number(c->f);
    size_t n = (size_t)c->f->last->id + 1;
    c->needs = zn_new_n(&c->m->arena, bool, n);
    c->adj = zn_new_n(&c->m->arena, zn_value *, n);
    c->again = zn_new_n(&c->m->arena, zn_value *, n);
    c->first_read = zn_new_n(&c->m->arena, int, n);
    zn_value **first_use = zn_new_n(&c->m->arena, zn_value *, n);
    int *read = zn_new_n(&c->m->arena, int, c->m->nparams + 1); /* by parameter: id of its first read + 1 */
    for (zn_value *v = c->f->first; v; v = v->next) {
        c->first_read[v->id] = v->id;
        if (v->op == ZN_OP_PARAM) {
            const zn_param *p = zn_param_find(c->m, zn_attr_of(v, PARAM, name)->s);
            c->needs[v->id] = zn_param_trained(p);
            if (!read[p->index])
                read[p->index] = v->id + 1;
            c->first_read[v->id] = read[p->index] - 1;
        }
        for (int i = 0; i < v->noperands; i++) {
            c->needs[v->id] |= c->needs[v->operand[i]->id] && v->op != ZN_OP_CORRECT;
            zn_value **use = &first_use[c->first_read[v->operand[i]->id]];
            *use = *use ? *use : v;
        }
    }
    return first_use;
}

/* Names the gradients of v's operands that are whole: of parameters that nothing before v reads. */
static void mark_gradients(grad_ctx *c, const zn_value *v, zn_value **first_use) {
    for (int i = 0; i < v->noperands; i++) {
        const zn_value *w = v->operand[i];
        int id = c->first_read[w->id];
        bool again = false;
        for (int j = 0; j < i; j++)
            again |= c->first_read[v->operand[j]->id] == id;
        if (w->op != ZN_OP_PARAM || again || first_use[id] != v || !c->adj[id])
            continue;
        zn_value *g = add_op(c, w, ZN_OP_GRADIENT, 1, &c->adj[id]);
        zn_attr_of(g, GRADIENT, name)->s = zn_attr_of(w, PARAM, name)->s;
        typed(c, g);
    }
}

/* From `end`, the last value so far, to the first; the gradient of the result is there, or it is the loss. */
static bool backward(grad_ctx *c, zn_value *end, zn_value **first_use) {
    for (zn_value *v = end; v; v = v->prev) {
        if (!c->needs[v->id] || (v->op != ZN_OP_CROSS_ENTROPY && !c->adj[v->id]) || v->op == ZN_OP_PARAM)
            continue;
        if (!grad_table[v->op]) {
            zn_diag_add(c->pass->diags, ZN_DIAG_GRAD_NONE, v->span, "`%s` has no gradient", zn_op_table[v->op].text);
            return false;
        }
        grad_table[v->op](c, v, c->adj[v->id]);
        mark_gradients(c, v, first_use);
    }
    return true;
}

/* Where v is from, or f where that is not known. */
static zn_span place_of(const zn_func *f, const zn_value *v) {
    return v && v->span.line ? v->span : f->text;
}

/* Can a loss be put behind @forward? The front end makes no other; text may hold anything. */
static bool check_forward(const zn_module *m, const zn_func *f, zn_diags *d) {
    const zn_value *out = f->results.n == 1 ? f->results.at[0] : NULL;
    const char *wrong = NULL;
    if (zn_func_find(m, "train_step") || zn_func_find(m, "eval_step"))
        wrong = "the module has a @train_step or @eval_step already";
    else if (out && by_image(m) && f->args.n >= 1 && !zn_type_equal(&out->type, &f->args.at[0]->type))
        wrong = "@forward must return what its first argument is, with which mse(target = image) compares it";
    else if (!out || out->type.dtype != ZN_F32 || (out->type.rank != 2 && !by_image(m)))
        wrong = "@forward must return one value to be trained: the logits, f32[batch, classes]";
    for (size_t i = 0; !wrong && i < f->args.n; i++)
        if (!strcmp(f->args.at[i]->name, "labels"))
            wrong = "an argument of @forward is called `labels`, as that of the loss will be";
    if (!wrong)
        return true;
    zn_diag_add(d, ZN_DIAG_ZIR_VERIFY, place_of(f, out), "%s", wrong);
    return false;
}

bool zn_pass_grad(zn_module *m, zn_pass_ctx *ctx) {
    zn_func *from = zn_func_find(m, "forward");
    if (!from || !zn_conf_get(m, "train.batch"))
        return true; /* nothing to train */
    if (!check_forward(m, from, ctx->diags))
        return false;
    grad_ctx c = {.m = m, .pass = ctx};
    zn_value *loss = add_loss(&c, copy_forward(&c, from, "train_step", ZN_FORWARD_TRAIN));
    zn_value **first_use = prepare(&c);
    if (!needs(&c, loss)) {
        const zn_param *p = m->params;
        while (p && zn_role_trained(p->role) == zn_param_trained(p))
            p = p->next;
        zn_diag_add(ctx->diags, ZN_DIAG_GRAD_NONE, place_of(from, loss), "there is nothing to train: %s",
                    p ? "every parameter that has an influence on the loss is frozen"
                      : "no parameter has an influence on the loss");
        return false;
    }
    zn_value *end = c.f->last;
    running_updates(&c, from, end->next);
    if (c.out)
        seed_mse(&c);
    if (!backward(&c, end, first_use))
        return false;
    zn_value *logits = copy_forward(&c, from, "eval_step", ZN_FORWARD_EVAL);
    logits->keep |= logits->type.rank == 2; /* views, predictions and the digest of a run's end are made of them */
    add_loss(&c, logits);
    for (zn_func *f = m->funcs; f; f = f->next)
        if (f != from)
            zn_remove_unused(f);
    return true;
}

zn_func *zn_make_vjp(zn_module *m, zn_pass_ctx *ctx) {
    zn_func *from = zn_func_find(m, "forward");
    grad_ctx c = {.m = m, .pass = ctx};
    zn_value *out = copy_forward(&c, from, "vjp", ZN_FORWARD_TRAIN), *dout = zn_arg_new(m, c.f, out->type, "dout");
    zn_value **first_use = prepare(&c), *end = c.f->last;
    zn_func_return(m, c.f, out);
    accumulate(&c, out, dout);
    if (!backward(&c, end, first_use))
        return NULL;
    for (zn_value *v = c.f->first; v != end->next; v = v->next)
        if (v->op == ZN_OP_PARAM && c.adj[v->id])
            zn_func_return(m, c.f, c.adj[v->id]);
    return c.f;
}
