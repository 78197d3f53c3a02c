/* Result types of operations from operands and attributes: one function per name in column `infer` of ops.def.
 *
 * Reports through the sink at the span of the value, so a misfit points at the user's line. Operand counts are
 * checked before any function here runs. */
#include "ir/module.h"
#include "support/ice.h"

#include <stdarg.h>
#include <stdio.h>

typedef bool infer_fn(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d);

__attribute__((format(printf, 3, 4))) static bool fail(zn_diags *d, const zn_value *v, const char *fmt, ...) {
    if (!d)
        return false;
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    zn_diag *g = zn_diag_add(d, ZN_DIAG_IR_SHAPE, v->span, "`%s`: %s", zn_op_table[v->op].text, text);
    zn_buf b = {0};
    for (int i = 0; i < v->noperands; i++) {
        zn_buf_puts(&b, i ? ", " : "");
        zn_type_print(&v->operand[i]->type, &b);
    }
    if (v->noperands)
        zn_diag_note(d, g, ZN_NOTE_NOTE, v->span, "operands: %s", zn_buf_str(&b));
    zn_buf_free(&b);
    return false;
}

static const zn_type *in(const zn_value *v, int i) {
    return &v->operand[i]->type;
}
static bool is_f32(const zn_type *t, int rank) {
    return t->dtype == ZN_F32 && t->rank == rank;
}
static bool is_vector(const zn_type *t, int64_t n) {
    return is_f32(t, 1) && t->dim[0] == n;
}
static bool is_rows(const zn_type *t, int64_t k, int64_t n) {
    return is_f32(t, 2) && t->dim[0] == k && t->dim[1] == n;
}

static bool infer_declared(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m, (void)d;
    *out = v->type;
    return true;
}

static bool infer_param(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    const zn_param *p = zn_param_find(m, zn_attr_of(v, PARAM, name)->s);
    if (!p)
        return fail(d, v, "no parameter `%s`", zn_attr_of(v, PARAM, name)->s);
    *out = p->type;
    return true;
}

/* v's operand has the shape of the parameter called name. */
static bool of_param(zn_module *m, const zn_value *v, const char *name, zn_type *out, zn_diags *d) {
    const zn_param *p = zn_param_find(m, name);
    if (!p)
        return fail(d, v, "no parameter `%s`", name);
    if (!zn_type_equal(&p->type, in(v, 0)))
        return fail(d, v, "`%s` has another shape", p->name);
    *out = p->type;
    return true;
}

static bool infer_store(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    return of_param(m, v, zn_attr_of(v, STORE, name)->s, out, d);
}

static bool infer_gradient(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    return of_param(m, v, zn_attr_of(v, GRADIENT, name)->s, out, d);
}

static bool infer_hyper(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (zn_hyper_find(zn_attr_of(v, HYPER, name)->s) == ZN_HYPER_COUNT)
        return fail(d, v, "the training loop sets no number `%s`", zn_attr_of(v, HYPER, name)->s);
    *out = zn_type_make(ZN_F32, 0, NULL);
    return true;
}

static bool infer_same(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (in(v, 0)->dtype != ZN_F32)
        return fail(d, v, "needs f32");
    for (int i = 1; i < v->noperands; i++)
        if (!zn_type_equal(in(v, 0), in(v, i)))
            return fail(d, v, "operands have different shapes");
    *out = *in(v, 0);
    return true;
}

static bool infer_scale(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (in(v, 0)->dtype != ZN_F32 || !(is_f32(in(v, 1), 0) || is_vector(in(v, 1), 1)))
        return fail(d, v, "needs a tensor and a scalar");
    *out = *in(v, 0);
    return true;
}

/* x and one number per channel in every further operand. */
static bool infer_channelwise(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (in(v, 0)->dtype != ZN_F32 || in(v, 0)->rank < 2)
        return fail(d, v, "needs f32 with channels");
    for (int i = 1; i < v->noperands; i++)
        if (!is_vector(in(v, i), zn_type_channels(in(v, 0))))
            return fail(d, v, "operand %d is not one number per channel", i);
    *out = *in(v, 0);
    return true;
}

/* The last two operands of bn are read as running statistics, and name where the new ones are stored. */
static bool infer_bn(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    static const zn_role role[2] = {ZN_ROLE_RUNNING_MEAN, ZN_ROLE_RUNNING_VAR};
    for (int i = 0; v->op == ZN_OP_BN && i < 2; i++) {
        const zn_value *u = v->operand[3 + i];
        const zn_param *p = u->op == ZN_OP_PARAM ? zn_param_find(m, zn_attr_of(u, PARAM, name)->s) : NULL;
        if (!p || p->role != role[i])
            return fail(d, v, "operand %d is not a parameter of role %s", 3 + i, zn_role_names[role[i]]);
    }
    return infer_channelwise(m, v, out, d);
}

/* out = (in + before + after - k) / stride + 1; false if the window does not fit. */
static bool windows(int64_t size, int64_t before, int64_t after, int64_t k, int64_t stride, int64_t *out) {
    if (k < 1 || stride < 1 || before < 0 || after < 0 || k > 1 << 20 || before > 1 << 20 || after > 1 << 20 ||
        size + before + after < k)
        return false;
    *out = (size + before + after - k) / stride + 1;
    return true;
}

/* [h, w, c] and [h', w', o] in groups: channels of x that an output of each meets; 0 if they cannot be cut so. */
static int64_t group_channels(int64_t c, int64_t o, int64_t groups) {
    return groups >= 1 && c % groups == 0 && o % groups == 0 ? c / groups : 0;
}

static bool infer_conv(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0), *w = in(v, 1);
    const zn_attr *stride = zn_attr_of(v, CONV, stride), *pad = zn_attr_of(v, CONV, pad);
    if (!is_f32(x, 4) || !is_f32(w, 4) || stride->n != 2 || pad->n != 4)
        return fail(d, v, "needs x [n,h,w,c], weights [kh,kw,c/groups,o], stride of 2 and pad of 4 numbers");
    int64_t groups = zn_attr_of(v, CONV, groups)->i, each = group_channels(x->dim[3], w->dim[3], groups);
    if (!each)
        return fail(d, v, "%lld channels to %lld are not %lld groups", (long long)x->dim[3], (long long)w->dim[3],
                    (long long)groups);
    if (each != w->dim[2])
        return fail(d, v, "x has %lld channels in a group, the weights take %lld", (long long)each,
                    (long long)w->dim[2]);
    *out = (zn_type){.dtype = ZN_F32, .rank = 4, .dim = {x->dim[0], 0, 0, w->dim[3]}};
    if (!windows(x->dim[1], pad->v[0], pad->v[2], w->dim[0], stride->v[0], &out->dim[1]) ||
        !windows(x->dim[2], pad->v[1], pad->v[3], w->dim[1], stride->v[1], &out->dim[2]))
        return fail(d, v, "the window does not fit");
    return true;
}

static bool infer_conv_grad_x(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0), *w = in(v, 1);
    const zn_attr *stride = zn_attr_of(v, CONV_GRAD_X, stride), *pad = zn_attr_of(v, CONV_GRAD_X, pad),
                  *size = zn_attr_of(v, CONV_GRAD_X, size);
    int64_t oh, ow, groups = zn_attr_of(v, CONV_GRAD_X, groups)->i, c;
    if (!is_f32(dy, 4) || !is_f32(w, 4) || stride->n != 2 || pad->n != 4 || size->n != 2 || dy->dim[3] != w->dim[3] ||
        groups < 1 || dy->dim[3] % groups || __builtin_mul_overflow(w->dim[2], groups, &c) ||
        !windows(size->v[0], pad->v[0], pad->v[2], w->dim[0], stride->v[0], &oh) ||
        !windows(size->v[1], pad->v[1], pad->v[3], w->dim[1], stride->v[1], &ow) || oh != dy->dim[1] ||
        ow != dy->dim[2])
        return fail(d, v, "dy, weights and attributes do not fit");
    *out = (zn_type){.dtype = ZN_F32, .rank = 4, .dim = {dy->dim[0], size->v[0], size->v[1], c}};
    return true;
}

static bool infer_conv_grad_w(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0), *dy = in(v, 1);
    const zn_attr *stride = zn_attr_of(v, CONV_GRAD_W, stride), *pad = zn_attr_of(v, CONV_GRAD_W, pad),
                  *k = zn_attr_of(v, CONV_GRAD_W, k);
    int64_t oh, ow, shards = zn_attr_of(v, CONV_GRAD_W, shards)->i, each;
    if (!is_f32(x, 4) || !is_f32(dy, 4) || stride->n != 2 || pad->n != 4 || k->n != 2 || dy->dim[0] != x->dim[0] ||
        !windows(x->dim[1], pad->v[0], pad->v[2], k->v[0], stride->v[0], &oh) ||
        !windows(x->dim[2], pad->v[1], pad->v[3], k->v[1], stride->v[1], &ow) || oh != dy->dim[1] || ow != dy->dim[2])
        return fail(d, v, "x, dy and attributes do not fit");
    each = group_channels(x->dim[3], dy->dim[3], zn_attr_of(v, CONV_GRAD_W, groups)->i);
    if (!each)
        return fail(d, v, "channels are no such number of groups");
    if (shards < 1 || shards > x->dim[0] || shards > ZN_MAX_SHARDS)
        return fail(d, v, "shards must be between 1 and the batch, at most %d", ZN_MAX_SHARDS);
    *out = (zn_type){.dtype = ZN_F32, .rank = 4, .dim = {k->v[0], k->v[1], each, dy->dim[3]}};
    return true;
}

static bool infer_matmul(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *a = in(v, 0), *b = in(v, 1);
    if (!is_f32(a, 2) || !is_f32(b, 2))
        return fail(d, v, "needs two matrices");
    bool ta = zn_attr_of(v, MATMUL, trans_a)->i, tb = zn_attr_of(v, MATMUL, trans_b)->i;
    int64_t k = a->dim[ta ? 0 : 1], shards = zn_attr_of(v, MATMUL, shards)->i;
    if (k != b->dim[tb ? 1 : 0])
        return fail(d, v, "inner dimensions differ");
    if (ta && tb)
        return fail(d, v, "at most one operand may be transposed");
    if (shards < 1 || shards > k || shards > ZN_MAX_SHARDS || (shards > 1 && !ta))
        return fail(d, v, "shards must be between 1 and k, at most %d, and more than one needs trans_a", ZN_MAX_SHARDS);
    *out = (zn_type){.dtype = ZN_F32, .rank = 2, .dim = {a->dim[ta ? 1 : 0], b->dim[tb ? 0 : 1]}};
    return true;
}

static bool infer_pool(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    bool max = v->op == ZN_OP_MAXPOOL;
    const zn_type *x = in(v, 0);
    const zn_attr *k = max ? zn_attr_of(v, MAXPOOL, k) : zn_attr_of(v, AVGPOOL, k),
                  *stride = max ? zn_attr_of(v, MAXPOOL, stride) : zn_attr_of(v, AVGPOOL, stride),
                  *pad = max ? zn_attr_of(v, MAXPOOL, pad) : zn_attr_of(v, AVGPOOL, pad);
    if (!is_f32(x, 4) || k->n != 2 || stride->n != 2 || pad->n != 4)
        return fail(d, v, "needs x [n,h,w,c], k and stride of 2 and pad of 4 numbers");
    if (pad->v[0] >= k->v[0] || pad->v[2] >= k->v[0] || pad->v[1] >= k->v[1] || pad->v[3] >= k->v[1])
        return fail(d, v, "padding must be smaller than the window");
    *out = *x;
    if (!windows(x->dim[1], pad->v[0], pad->v[2], k->v[0], stride->v[0], &out->dim[1]) ||
        !windows(x->dim[2], pad->v[1], pad->v[3], k->v[1], stride->v[1], &out->dim[2]))
        return fail(d, v, "the window does not fit");
    return true;
}

static bool infer_maxpool_grad(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0), *x = in(v, 1);
    const zn_attr *k = zn_attr_of(v, MAXPOOL_GRAD, k), *stride = zn_attr_of(v, MAXPOOL_GRAD, stride),
                  *pad = zn_attr_of(v, MAXPOOL_GRAD, pad);
    int64_t oh, ow;
    if (!is_f32(x, 4) || !is_f32(dy, 4) || k->n != 2 || stride->n != 2 || pad->n != 4 || dy->dim[0] != x->dim[0] ||
        dy->dim[3] != x->dim[3] || !windows(x->dim[1], pad->v[0], pad->v[2], k->v[0], stride->v[0], &oh) ||
        !windows(x->dim[2], pad->v[1], pad->v[3], k->v[1], stride->v[1], &ow) || oh != dy->dim[1] || ow != dy->dim[2])
        return fail(d, v, "dy, x and attributes do not fit");
    *out = *x;
    return true;
}

/* avgpool_grad, global_avgpool_grad, subsample_grad: the size of x is an attribute. */
static bool infer_avgpool_grad(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0);
    if (v->op == ZN_OP_GLOBAL_AVGPOOL_GRAD) {
        const zn_attr *size = zn_attr_of(v, GLOBAL_AVGPOOL_GRAD, size);
        if (!is_f32(dy, 2) || size->n != 2 || size->v[0] < 1 || size->v[1] < 1)
            return fail(d, v, "needs dy [n,c] and the size of x");
        *out = (zn_type){.dtype = ZN_F32, .rank = 4, .dim = {dy->dim[0], size->v[0], size->v[1], dy->dim[1]}};
        return true;
    }
    bool sub = v->op == ZN_OP_SUBSAMPLE_GRAD;
    const zn_attr *size = sub ? zn_attr_of(v, SUBSAMPLE_GRAD, size) : zn_attr_of(v, AVGPOOL_GRAD, size),
                  *stride = sub ? zn_attr_of(v, SUBSAMPLE_GRAD, stride) : zn_attr_of(v, AVGPOOL_GRAD, stride);
    static const zn_attr one = {.n = 2, .v = {1, 1}}, none = {.n = 4};
    const zn_attr *k = sub ? &one : zn_attr_of(v, AVGPOOL_GRAD, k),
                  *pad = sub ? &none : zn_attr_of(v, AVGPOOL_GRAD, pad);
    int64_t oh, ow;
    if (!is_f32(dy, 4) || size->n != 2 || stride->n != 2 || k->n != 2 || pad->n != 4 ||
        !windows(size->v[0], pad->v[0], pad->v[2], k->v[0], stride->v[0], &oh) ||
        !windows(size->v[1], pad->v[1], pad->v[3], k->v[1], stride->v[1], &ow) || oh != dy->dim[1] || ow != dy->dim[2])
        return fail(d, v, "dy and attributes do not fit");
    *out = (zn_type){.dtype = ZN_F32, .rank = 4, .dim = {dy->dim[0], size->v[0], size->v[1], dy->dim[3]}};
    return true;
}

static bool infer_global_pool(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (!is_f32(in(v, 0), 4))
        return fail(d, v, "needs an image");
    *out = (zn_type){.dtype = ZN_F32, .rank = 2, .dim = {in(v, 0)->dim[0], in(v, 0)->dim[3]}};
    return true;
}

static bool infer_flatten(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0);
    if (!is_f32(x, 4))
        return fail(d, v, "needs an image");
    *out = (zn_type){.dtype = ZN_F32, .rank = 2, .dim = {x->dim[0], x->dim[1] * x->dim[2] * x->dim[3]}};
    return true;
}

static bool infer_unflatten(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0);
    const zn_attr *s = zn_attr_of(v, UNFLATTEN, shape);
    if (!is_f32(x, 2) || s->n != 3)
        return fail(d, v, "needs a vector and three numbers");
    *out = (zn_type){.dtype = ZN_F32, .rank = 4, .dim = {x->dim[0], s->v[0], s->v[1], s->v[2]}};
    if (!zn_type_valid(out) || s->v[0] * s->v[1] * s->v[2] != x->dim[1])
        return fail(d, v, "another number of elements");
    return true;
}

static bool infer_dropout_common(const zn_value *v, double p, zn_type *out, zn_diags *d) {
    if (in(v, 0)->dtype != ZN_F32 || in(v, 0)->rank < 2 || !(p >= 0 && p < 1))
        return fail(d, v, "needs f32 and 0 <= p < 1");
    *out = *in(v, 0);
    return true;
}
static bool infer_dropout_abstract(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    return infer_dropout_common(v, zn_attr_of(v, DROPOUT, p)->f, out, d);
}
static bool infer_dropout(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    return infer_dropout_common(v, zn_attr_of(v, DROPOUT_MASK, p)->f, out, d);
}

static bool infer_pad_channels(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t c = zn_attr_of(v, PAD_CHANNELS, channels)->i, first = zn_attr_of(v, PAD_CHANNELS, first)->i;
    *out = *in(v, 0);
    if (out->dtype != ZN_F32 || out->rank < 2 || first < 0 || first > c || c - first < zn_type_channels(out) ||
        (first && zn_attr_of(v, PAD_CHANNELS, spanning)->i))
        return fail(d, v, "cannot pad to %lld channels, from channel %lld", (long long)c, (long long)first);
    out->dim[out->rank - 1] = c;
    return true;
}

static bool infer_slice_channels(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t c = zn_attr_of(v, SLICE_CHANNELS, channels)->i, first = zn_attr_of(v, SLICE_CHANNELS, first)->i;
    *out = *in(v, 0);
    if (out->dtype != ZN_F32 || out->rank < 2 || c < 1 || first < 0 || first > zn_type_channels(out) ||
        c > zn_type_channels(out) - first || (first && zn_attr_of(v, SLICE_CHANNELS, spanning)->i))
        return fail(d, v, "cannot keep %lld channels, from channel %lld", (long long)c, (long long)first);
    out->dim[out->rank - 1] = c;
    return true;
}

static bool infer_concat(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    *out = *in(v, 0);
    if (out->dtype != ZN_F32 || out->rank < 2)
        return fail(d, v, "needs f32 with channels");
    out->dim[out->rank - 1] = zn_type_channels(in(v, 1));
    if (!zn_type_equal(out, in(v, 1)))
        return fail(d, v, "operands differ in more than their channels");
    if (__builtin_add_overflow(zn_type_channels(in(v, 0)), zn_type_channels(in(v, 1)), &out->dim[out->rank - 1]))
        return fail(d, v, "the result is too large");
    return true;
}

enum { MAX_FACTOR = 1 << 20 };

static bool infer_upsample(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t f = zn_attr_of(v, UPSAMPLE, factor)->i;
    *out = *in(v, 0);
    if (!is_f32(out, 4) || f < 1 || f > MAX_FACTOR)
        return fail(d, v, "needs an image and a factor from 1 to %d", MAX_FACTOR);
    if (__builtin_mul_overflow(out->dim[1], f, &out->dim[1]) || __builtin_mul_overflow(out->dim[2], f, &out->dim[2]))
        return fail(d, v, "the result is too large");
    return true;
}

static bool infer_upsample_grad(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t f = zn_attr_of(v, UPSAMPLE_GRAD, factor)->i;
    *out = *in(v, 0);
    if (!is_f32(out, 4) || f < 1 || out->dim[1] % f || out->dim[2] % f)
        return fail(d, v, "needs an image whose height and width the factor divides");
    out->dim[1] /= f;
    out->dim[2] /= f;
    return true;
}

/* reduce_sum, reduce_max */
static bool infer_reduce(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    *out = *in(v, 0);
    if (out->dtype != ZN_F32 || out->rank < (v->op == ZN_OP_REDUCE_SUM ? 1 : 2))
        return fail(d, v, "needs f32 with channels");
    out->dim[out->rank - 1] = 1;
    return true;
}

static bool infer_reduce_max_grad(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    *out = *in(v, 1);
    if (out->dtype != ZN_F32 || out->rank < 2)
        return fail(d, v, "needs f32 with channels");
    zn_type dy = *out;
    dy.dim[dy.rank - 1] = 1;
    if (!zn_type_equal(&dy, in(v, 0)))
        return fail(d, v, "dy and x do not fit");
    return true;
}

static bool infer_broadcast(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t c = zn_attr_of(v, BROADCAST, channels)->i;
    *out = *in(v, 0);
    if (out->dtype != ZN_F32 || out->rank < 2 || zn_type_channels(out) != 1 || c < 1)
        return fail(d, v, "cannot make %lld channels of one", (long long)c);
    out->dim[out->rank - 1] = c;
    return true;
}

static bool infer_subsample(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_attr *s = zn_attr_of(v, SUBSAMPLE, stride);
    *out = *in(v, 0);
    if (!is_f32(out, 4) || s->n != 2 || s->v[0] < 1 || s->v[1] < 1)
        return fail(d, v, "needs an image and two strides");
    out->dim[1] = (out->dim[1] - 1) / s->v[0] + 1;
    out->dim[2] = (out->dim[2] - 1) / s->v[1] + 1;
    return true;
}

static bool infer_residual(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (!zn_type_equal(in(v, 1), in(v, 2)) || in(v, 1)->dtype != ZN_F32)
        return fail(d, v, "the two arms have different shapes");
    *out = *in(v, 1);
    return true;
}

/* Shards of images of x that differ in size are joined by their numbers of values, which must be exact in f32. */
static bool shards_fit(const zn_value *v, const zn_type *x, int64_t shards, zn_diags *d) {
    int64_t n = x->dim[0];
    if (shards < 1 || shards > n)
        return fail(d, v, "shards must be between 1 and the batch");
    if (n % shards && zn_type_count(x) / zn_type_channels(x) > 1 << 24)
        return fail(d, v, "shards of more than 2^24 values must divide the batch");
    return true;
}

static bool infer_bn_stats(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0);
    int64_t shards = zn_attr_of(v, BN_STATS, shards)->i;
    if (x->dtype != ZN_F32 || x->rank < 2)
        return fail(d, v, "needs f32 with channels");
    if (!shards_fit(v, x, shards, d))
        return false;
    *out = (zn_type){.dtype = ZN_F32, .rank = 2, .dim = {3, zn_type_channels(x)}};
    return true;
}

static bool infer_bn_norm(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0);
    int64_t c = zn_type_channels(x);
    if (x->dtype != ZN_F32 || x->rank < 2 || !is_rows(in(v, 1), 3, c) || !is_vector(in(v, 2), c) ||
        !is_vector(in(v, 3), c))
        return fail(d, v, "needs x, statistics [3,c], scale [c], bias [c]");
    *out = *x;
    return true;
}

static bool infer_bn_running(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t row = zn_attr_of(v, BN_RUNNING, row)->i;
    if (!is_f32(in(v, 0), 1) || !is_rows(in(v, 1), 3, in(v, 0)->dim[0]) || row < 0 || row > 1 ||
        zn_attr_of(v, BN_RUNNING, count)->i < 2)
        return fail(d, v, "needs [c], statistics [3,c], row 0 or 1 and at least two values per channel");
    *out = *in(v, 0);
    return true;
}

static bool infer_bn_grad_sums(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0);
    int64_t c = zn_type_channels(dy), shards = zn_attr_of(v, BN_GRAD_SUMS, shards)->i;
    if (dy->dtype != ZN_F32 || dy->rank < 2 || !zn_type_equal(dy, in(v, 1)) || !is_rows(in(v, 2), 3, c))
        return fail(d, v, "needs dy, x and statistics [3,c]");
    if (!shards_fit(v, dy, shards, d))
        return false;
    *out = (zn_type){.dtype = ZN_F32, .rank = 2, .dim = {2, c}};
    return true;
}

static bool infer_bn_grad_x(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0);
    int64_t c = zn_type_channels(dy);
    if (dy->dtype != ZN_F32 || dy->rank < 2 || !zn_type_equal(dy, in(v, 1)) || !is_rows(in(v, 2), 3, c) ||
        !is_rows(in(v, 3), 2, c) || !is_vector(in(v, 4), c))
        return fail(d, v, "needs dy, x, statistics [3,c], sums [2,c], scale [c]");
    *out = *dy;
    return true;
}

static bool infer_ln_grad_x(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0);
    if (dy->dtype != ZN_F32 || dy->rank < 2 || !zn_type_equal(dy, in(v, 1)) ||
        !is_vector(in(v, 2), zn_type_channels(dy)))
        return fail(d, v, "needs dy, x, scale [c]");
    *out = *dy;
    return true;
}

static bool infer_ln_grad_sums(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *dy = in(v, 0);
    if (dy->dtype != ZN_F32 || dy->rank < 2 || !zn_type_equal(dy, in(v, 1)))
        return fail(d, v, "needs dy and x");
    if (!shards_fit(v, dy, zn_attr_of(v, LN_GRAD_SUMS, shards)->i, d))
        return false;
    *out = (zn_type){.dtype = ZN_F32, .rank = 2, .dim = {2, zn_type_channels(dy)}};
    return true;
}

static bool infer_row(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0);
    int64_t i = zn_attr_of(v, ROW, index)->i;
    if (!is_f32(x, 2) || i < 0 || i >= x->dim[0])
        return fail(d, v, "no such row");
    *out = zn_type_make(ZN_F32, 1, &x->dim[1]);
    return true;
}

static bool infer_sum_rows(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    const zn_type *x = in(v, 0);
    int64_t shards = zn_attr_of(v, SUM_ROWS, shards)->i;
    if (x->dtype != ZN_F32 || x->rank < 2)
        return fail(d, v, "needs f32 with channels");
    if (!shards_fit(v, x, shards, d))
        return false;
    *out = zn_type_make(ZN_F32, 1, &x->dim[x->rank - 1]);
    return true;
}

static bool labels_fit(const zn_value *v) {
    const zn_type *x = in(v, 0), *y = in(v, 1);
    return is_f32(x, 2) && y->dtype == ZN_I32 && y->rank == 1 && y->dim[0] == x->dim[0];
}

static bool infer_one_hot(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    int64_t classes = zn_attr_of(v, ONE_HOT, classes)->i;
    if (in(v, 0)->dtype != ZN_I32 || in(v, 0)->rank != 1 || classes < 1)
        return fail(d, v, "needs labels i32[n] and at least one class");
    *out = zn_type_make(ZN_F32, 2, (int64_t[]){in(v, 0)->dim[0], classes});
    return zn_type_valid(out) || fail(d, v, "is too large");
}

static bool infer_per_sample(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (!labels_fit(v))
        return fail(d, v, "needs logits [n,k] and labels i32[n]");
    *out = zn_type_make(ZN_F32, 1, &in(v, 0)->dim[0]);
    return true;
}

static bool infer_same_first(zn_module *m, const zn_value *v, zn_type *out, zn_diags *d) {
    (void)m;
    if (!labels_fit(v))
        return fail(d, v, "needs logits [n,k] and labels i32[n]");
    *out = *in(v, 0);
    return true;
}

static infer_fn *const infer_table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc) [ZN_OP_##ID] = infer_##infer,
#include "ir/ops.def"
};

bool zn_value_infer(zn_module *m, zn_value *v, zn_diags *d) {
    if (v->noperands != zn_op_table[v->op].operands)
        return fail(d, v, "takes %d operands", zn_op_table[v->op].operands);
    if (!infer_table[v->op](m, v, &v->type, d))
        return false;
    if (!zn_type_valid(&v->type))
        return fail(d, v, "the result is too large or empty");
    return true;
}
