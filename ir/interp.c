/* Reference evaluation, one function per name in column `eval` of ops.def. See interp.h.
 *
 * These loops define the order of every reduction; docs/ir.md says it in words. fmaf rounds once. Sums over shards
 * are joined by join(): neighbours first, an odd one out moves up unchanged. */
#include "ir/interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/ice.h"
#include "support/math.h"
#include "support/philox.h"

typedef struct eval_ctx {
    const zn_interp *in;
    const zn_value *v;
    const void *const *operand;
    float *out;
} eval_ctx;
typedef void eval_fn(const eval_ctx *e);

static const float *src(const eval_ctx *e, int i) {
    return e->operand[i];
}
static const zn_type *type_of(const eval_ctx *e, int i) {
    return &e->v->operand[i]->type;
}

static void join(float *a, int64_t n) {
    while (n > 1) {
        for (int64_t i = 0; i < n / 2; i++)
            a[i] = a[2 * i] + a[2 * i + 1];
        if (n % 2)
            a[n / 2] = a[n - 1];
        n = (n + 1) / 2;
    }
}

static float *temp(size_t n) {
    float *p = calloc(n ? n : 1, sizeof *p);
    if (!p)
        ZN_ICE("out of memory");
    return p;
}

/* ---- leaves and elementwise operations */

static void eval_none(const eval_ctx *e) {
    ZN_ICE("`%s` is not evaluated", zn_op_table[e->v->op].text);
}

static void eval_copy(const eval_ctx *e) {
    memcpy(e->out, src(e, 0), (size_t)zn_type_count(&e->v->type) * sizeof(float));
}
static void eval_identity(const eval_ctx *e) {
    eval_copy(e);
}

#define EACH(i)                                                                                                        \
    for (int64_t i = 0, n_ = zn_type_count(&e->v->type), c_ = zn_type_channels(&e->v->type); (void)c_, i < n_; i++)

static void eval_bias(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] + src(e, 1)[i % c_];
}
static void eval_relu(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] < 0 ? 0 : src(e, 0)[i];
}
static void eval_add(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] + src(e, 1)[i];
}
static void eval_residual(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 1)[i] + src(e, 2)[i];
}
static void eval_sub(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] - src(e, 1)[i];
}
static void eval_mul(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] * src(e, 1)[i];
}
static void eval_scale(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] * src(e, 1)[0];
}
static void eval_mul_const(const eval_ctx *e) {
    float k = (float)zn_attr_of(e->v, MUL_CONST, value)->f;
    EACH(i) e->out[i] = src(e, 0)[i] * k;
}
static void eval_add_const(const eval_ctx *e) {
    float k = (float)zn_attr_of(e->v, ADD_CONST, value)->f;
    EACH(i) e->out[i] = src(e, 0)[i] + k;
}
static void eval_div(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] / src(e, 1)[i];
}
static void eval_max(const eval_ctx *e) {
    EACH(i) {
        float a = src(e, 0)[i], b = src(e, 1)[i];
        e->out[i] = a > b || isnan(a) ? a : b;
    }
}
static void eval_neg(const eval_ctx *e) {
    EACH(i) e->out[i] = -src(e, 0)[i];
}
static void eval_sqrt(const eval_ctx *e) {
    EACH(i) e->out[i] = sqrtf(src(e, 0)[i]);
}
static void eval_exp(const eval_ctx *e) {
    EACH(i) e->out[i] = zn_expf(src(e, 0)[i]);
}
static void eval_log(const eval_ctx *e) {
    EACH(i) {
        float x = src(e, 0)[i];
        e->out[i] = x > 0 ? zn_logf(x) : x == 0 ? -INFINITY : NAN;
    }
}
static void eval_tanh(const eval_ctx *e) {
    EACH(i) e->out[i] = zn_tanhf(src(e, 0)[i]);
}
static void eval_erf(const eval_ctx *e) {
    EACH(i) e->out[i] = zn_erff(src(e, 0)[i]);
}
static void eval_select(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] < src(e, 1)[i] ? src(e, 2)[i] : src(e, 3)[i];
}
static void eval_mask(const eval_ctx *e) {
    bool inverted = zn_attr_of(e->v, MASK, inverted)->i;
    EACH(i) e->out[i] = (src(e, 0)[i] < src(e, 1)[i]) != inverted ? src(e, 2)[i] : 0;
}
static void eval_relu_grad(const eval_ctx *e) {
    bool one = zn_attr_of(e->v, RELU_GRAD, at_zero)->i;
    EACH(i) {
        float x = src(e, 1)[i];
        e->out[i] = (one ? x < 0 : x <= 0) ? 0 : src(e, 0)[i];
    }
}
static void eval_row(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[zn_attr_of(e->v, ROW, index)->i * c_ + i];
}

static void eval_dropout_mask(const eval_ctx *e) {
    float p = (float)zn_attr_of(e->v, DROPOUT_MASK, p)->f, k = (float)(1 / (1 - zn_attr_of(e->v, DROPOUT_MASK, p)->f));
    zn_philox_key key = zn_philox_key_make(e->in->seed, ZN_PURPOSE_DROPOUT, zn_attr_of(e->v, DROPOUT_MASK, layer)->s);
    int64_t each = zn_type_count(&e->v->type) / e->v->type.dim[0];
    EACH(i) {
        uint32_t w[4];
        zn_philox(key, (uint32_t)(i % each), e->in->position + (uint32_t)(i / each), e->in->epoch, 0, w);
        e->out[i] = zn_philox_unit(w[0]) < p ? 0 : src(e, 0)[i] * k;
    }
}

/* ---- products and convolutions */

static void eval_matmul(const eval_ctx *e) {
    bool ta = zn_attr_of(e->v, MATMUL, trans_a)->i, tb = zn_attr_of(e->v, MATMUL, trans_b)->i;
    int64_t m = e->v->type.dim[0], n = e->v->type.dim[1], k = type_of(e, 0)->dim[ta ? 0 : 1],
            shards = zn_attr_of(e->v, MATMUL, shards)->i;
    const float *a = src(e, 0), *b = src(e, 1);
    float *part = temp((size_t)shards);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t s = 0; s < shards; s++) {
                float acc = 0;
                for (int64_t q = s * k / shards; q < (s + 1) * k / shards; q++)
                    acc = fmaf(ta ? a[q * m + i] : a[i * k + q], tb ? b[j * k + q] : b[q * n + j], acc);
                part[s] = acc;
            }
            join(part, shards);
            e->out[i * n + j] = part[0];
        }
    free(part);
}

/* x[n, y, x, c], 0 outside. */
static float at(const float *x, const zn_type *t, int64_t n, int64_t h, int64_t w, int64_t c) {
    if (h < 0 || w < 0 || h >= t->dim[1] || w >= t->dim[2])
        return 0;
    return x[((n * t->dim[1] + h) * t->dim[2] + w) * t->dim[3] + c];
}

static void eval_conv(const eval_ctx *e) {
    const zn_type *xt = type_of(e, 0), *wt = type_of(e, 1), *yt = &e->v->type;
    const int64_t *s = zn_attr_of(e->v, CONV, stride)->v, *p = zn_attr_of(e->v, CONV, pad)->v;
    int64_t i = 0;
    for (int64_t n = 0; n < yt->dim[0]; n++)
        for (int64_t oh = 0; oh < yt->dim[1]; oh++)
            for (int64_t ow = 0; ow < yt->dim[2]; ow++)
                for (int64_t o = 0; o < yt->dim[3]; o++) {
                    float acc = 0;
                    const float *w = src(e, 1) + o;
                    for (int64_t kh = 0; kh < wt->dim[0]; kh++)
                        for (int64_t kw = 0; kw < wt->dim[1]; kw++)
                            for (int64_t c = 0; c < wt->dim[2]; c++, w += wt->dim[3])
                                acc = fmaf(at(src(e, 0), xt, n, oh * s[0] + kh - p[0], ow * s[1] + kw - p[1], c), *w,
                                           acc);
                    e->out[i++] = acc;
                }
}

static void eval_conv_grad_x(const eval_ctx *e) {
    const zn_type *yt = type_of(e, 0), *wt = type_of(e, 1), *xt = &e->v->type;
    const int64_t *s = zn_attr_of(e->v, CONV_GRAD_X, stride)->v, *p = zn_attr_of(e->v, CONV_GRAD_X, pad)->v;
    int64_t i = 0;
    for (int64_t n = 0; n < xt->dim[0]; n++)
        for (int64_t h = 0; h < xt->dim[1]; h++)
            for (int64_t w = 0; w < xt->dim[2]; w++)
                for (int64_t c = 0; c < xt->dim[3]; c++) {
                    float acc = 0;
                    for (int64_t kh = wt->dim[0] - 1; kh >= 0; kh--)
                        for (int64_t kw = wt->dim[1] - 1; kw >= 0; kw--) {
                            int64_t a = h + p[0] - kh, b = w + p[1] - kw;
                            if (a % s[0] || b % s[1]) /* this tap never meets this position */
                                continue;
                            for (int64_t o = 0; o < yt->dim[3]; o++)
                                acc = fmaf(at(src(e, 0), yt, n, a / s[0], b / s[1], o),
                                           src(e, 1)[((kh * wt->dim[1] + kw) * wt->dim[2] + c) * wt->dim[3] + o], acc);
                        }
                    e->out[i++] = acc;
                }
}

static void eval_conv_grad_w(const eval_ctx *e) {
    const zn_type *xt = type_of(e, 0), *yt = type_of(e, 1), *wt = &e->v->type;
    const int64_t *s = zn_attr_of(e->v, CONV_GRAD_W, stride)->v, *p = zn_attr_of(e->v, CONV_GRAD_W, pad)->v;
    int64_t shards = zn_attr_of(e->v, CONV_GRAD_W, shards)->i, n = xt->dim[0], i = 0;
    float *part = temp((size_t)shards);
    for (int64_t kh = 0; kh < wt->dim[0]; kh++)
        for (int64_t kw = 0; kw < wt->dim[1]; kw++)
            for (int64_t c = 0; c < wt->dim[2]; c++)
                for (int64_t o = 0; o < wt->dim[3]; o++) {
                    for (int64_t q = 0; q < shards; q++) {
                        float acc = 0;
                        for (int64_t b = q * n / shards; b < (q + 1) * n / shards; b++)
                            for (int64_t oh = 0; oh < yt->dim[1]; oh++)
                                for (int64_t ow = 0; ow < yt->dim[2]; ow++)
                                    acc = fmaf(at(src(e, 0), xt, b, oh * s[0] + kh - p[0], ow * s[1] + kw - p[1], c),
                                               at(src(e, 1), yt, b, oh, ow, o), acc);
                        part[q] = acc;
                    }
                    join(part, shards);
                    e->out[i++] = part[0];
                }
    free(part);
}

/* ---- pooling and resampling */

typedef struct pool {
    const int64_t *k, *stride, *pad;
} pool;

static void eval_maxpool_or_grad(const zn_type *xt, const zn_type *yt, pool q, const float *x, const float *dy,
                                 float *y, float *dx) {
    for (int64_t n = 0; n < yt->dim[0]; n++)
        for (int64_t oh = 0; oh < yt->dim[1]; oh++)
            for (int64_t ow = 0; ow < yt->dim[2]; ow++)
                for (int64_t c = 0; c < yt->dim[3]; c++) {
                    float best = -INFINITY;
                    int64_t where = -1, o = ((n * yt->dim[1] + oh) * yt->dim[2] + ow) * yt->dim[3] + c;
                    for (int64_t kh = 0; kh < q.k[0]; kh++)
                        for (int64_t kw = 0; kw < q.k[1]; kw++) {
                            int64_t h = oh * q.stride[0] + kh - q.pad[0], w = ow * q.stride[1] + kw - q.pad[1];
                            if (h < 0 || w < 0 || h >= xt->dim[1] || w >= xt->dim[2])
                                continue;
                            int64_t i = ((n * xt->dim[1] + h) * xt->dim[2] + w) * xt->dim[3] + c;
                            if (x[i] > best || x[i] != x[i]) {
                                best = x[i];
                                where = i;
                            }
                        }
                    if (y)
                        y[o] = best;
                    /* every element of the window is added to, so that kernels may add a masked vector */
                    for (int64_t kh = 0; dx && kh < q.k[0]; kh++)
                        for (int64_t kw = 0; kw < q.k[1]; kw++) {
                            int64_t h = oh * q.stride[0] + kh - q.pad[0], w = ow * q.stride[1] + kw - q.pad[1];
                            if (h < 0 || w < 0 || h >= xt->dim[1] || w >= xt->dim[2])
                                continue;
                            int64_t i = ((n * xt->dim[1] + h) * xt->dim[2] + w) * xt->dim[3] + c;
                            dx[i] += i == where ? dy[o] : 0;
                        }
                }
}

static void eval_maxpool(const eval_ctx *e) {
    pool q = {zn_attr_of(e->v, MAXPOOL, k)->v, zn_attr_of(e->v, MAXPOOL, stride)->v, zn_attr_of(e->v, MAXPOOL, pad)->v};
    eval_maxpool_or_grad(type_of(e, 0), &e->v->type, q, src(e, 0), NULL, e->out, NULL);
}

static void eval_maxpool_grad(const eval_ctx *e) {
    pool q = {zn_attr_of(e->v, MAXPOOL_GRAD, k)->v, zn_attr_of(e->v, MAXPOOL_GRAD, stride)->v,
              zn_attr_of(e->v, MAXPOOL_GRAD, pad)->v};
    EACH(i) e->out[i] = 0;
    eval_maxpool_or_grad(&e->v->type, type_of(e, 0), q, src(e, 1), src(e, 0), NULL, e->out);
}

static int64_t clipped(int64_t lo, int64_t k, int64_t size) {
    int64_t hi = lo + k < size ? lo + k : size;
    return hi - (lo > 0 ? lo : 0);
}

static void eval_avgpool_or_grad(const zn_type *xt, const zn_type *yt, pool q, const float *in, float *y, float *dx) {
    for (int64_t n = 0; n < yt->dim[0]; n++)
        for (int64_t oh = 0; oh < yt->dim[1]; oh++)
            for (int64_t ow = 0; ow < yt->dim[2]; ow++)
                for (int64_t c = 0; c < yt->dim[3]; c++) {
                    int64_t h0 = oh * q.stride[0] - q.pad[0], w0 = ow * q.stride[1] - q.pad[1],
                            o = ((n * yt->dim[1] + oh) * yt->dim[2] + ow) * yt->dim[3] + c;
                    float count = (float)(clipped(h0, q.k[0], xt->dim[1]) * clipped(w0, q.k[1], xt->dim[2])), sum = 0;
                    for (int64_t h = h0; h < h0 + q.k[0]; h++)
                        for (int64_t w = w0; w < w0 + q.k[1]; w++) {
                            if (h < 0 || w < 0 || h >= xt->dim[1] || w >= xt->dim[2])
                                continue;
                            int64_t i = ((n * xt->dim[1] + h) * xt->dim[2] + w) * xt->dim[3] + c;
                            if (dx)
                                dx[i] += in[o] / count;
                            else
                                sum += in[i];
                        }
                    if (y)
                        y[o] = sum / count;
                }
}

static void eval_avgpool(const eval_ctx *e) {
    pool q = {zn_attr_of(e->v, AVGPOOL, k)->v, zn_attr_of(e->v, AVGPOOL, stride)->v, zn_attr_of(e->v, AVGPOOL, pad)->v};
    eval_avgpool_or_grad(type_of(e, 0), &e->v->type, q, src(e, 0), e->out, NULL);
}

static void eval_avgpool_grad(const eval_ctx *e) {
    pool q = {zn_attr_of(e->v, AVGPOOL_GRAD, k)->v, zn_attr_of(e->v, AVGPOOL_GRAD, stride)->v,
              zn_attr_of(e->v, AVGPOOL_GRAD, pad)->v};
    EACH(i) e->out[i] = 0;
    eval_avgpool_or_grad(&e->v->type, type_of(e, 0), q, src(e, 0), NULL, e->out);
}

static void eval_global_avgpool(const eval_ctx *e) {
    const zn_type *xt = type_of(e, 0);
    int64_t area = xt->dim[1] * xt->dim[2];
    EACH(i) {
        float sum = 0;
        for (int64_t p = 0; p < area; p++)
            sum += src(e, 0)[(i / c_ * area + p) * c_ + i % c_];
        e->out[i] = sum / (float)area;
    }
}

static void eval_global_avgpool_grad(const eval_ctx *e) {
    int64_t area = e->v->type.dim[1] * e->v->type.dim[2];
    EACH(i) e->out[i] = src(e, 0)[i / (area * c_) * c_ + i % c_] / (float)area;
}

static void eval_hadamard(const eval_ctx *e) {
    int64_t c = zn_type_channels(&e->v->type), rows = zn_type_count(&e->v->type) / c, p = 1, bits = 0;
    while (p < c)
        p *= 2, bits++;
    float scale = (float)(bits % 2 ? 0.70710678118654752440 / (double)((int64_t)1 << bits / 2)
                                   : 1.0 / (double)((int64_t)1 << bits / 2));
    float *t = temp((size_t)p);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < p; i++)
            t[i] = i < c ? src(e, 0)[r * c + i] : 0;
        for (int64_t h = 1; h < p; h *= 2)
            for (int64_t i = 0; i < p; i++)
                if (!(i & h)) {
                    float a = t[i], b = t[i + h];
                    t[i] = a + b;
                    t[i + h] = a - b;
                }
        for (int64_t i = 0; i < c; i++)
            e->out[r * c + i] = t[i] * scale;
    }
    free(t);
}

/* pad_channels, slice_channels, subsample: the element at (n, h * s, w * s, c), or 0 past the last channel. */
static void eval_resample(const eval_ctx *e) {
    const zn_type *xt = type_of(e, 0);
    int64_t cx = zn_type_channels(xt);
    bool sub = e->v->op == ZN_OP_SUBSAMPLE;
    bool spread = e->v->op == ZN_OP_PAD_CHANNELS && zn_attr_of(e->v, PAD_CHANNELS, spanning)->i,
         gather = e->v->op == ZN_OP_SLICE_CHANNELS && zn_attr_of(e->v, SLICE_CHANNELS, spanning)->i;
    if (spread || gather) {
        int64_t c = zn_type_channels(&e->v->type), wide = spread ? c : cx, narrow = spread ? cx : c;
        int m = 0;
        while ((int64_t)1 << m < wide)
            m++;
        EACH(i) e->out[i] = 0;
        for (int64_t r = 0, rows = zn_type_count(xt) / cx; r < rows; r++)
            for (int64_t j = 0; j < narrow; j++) {
                int64_t k = zn_spanning_index(j, m);
                if (k < wide && spread)
                    e->out[r * c + k] = src(e, 0)[r * cx + j];
                else
                    e->out[r * c + j] = k < wide ? src(e, 0)[r * cx + k] : 0;
            }
        return;
    }
    const int64_t one[2] = {1, 1}, *s = sub ? zn_attr_of(e->v, SUBSAMPLE, stride)->v : one;
    int64_t w = xt->rank == 4 ? e->v->type.dim[2] : 1, h = xt->rank == 4 ? e->v->type.dim[1] : 1,
            wx = xt->rank == 4 ? xt->dim[2] : 1, hx = xt->rank == 4 ? xt->dim[1] : 1;
    EACH(i) {
        int64_t c = i % c_, p = i / c_, x = p % w * s[1], y = p / w % h * s[0], n = p / w / h;
        e->out[i] = c < cx ? src(e, 0)[((n * hx + y) * wx + x) * cx + c] : 0;
    }
}

static void eval_resample_grad(const eval_ctx *e) {
    const zn_type *yt = type_of(e, 0), *xt = &e->v->type;
    const int64_t *s = zn_attr_of(e->v, SUBSAMPLE_GRAD, stride)->v;
    EACH(i) {
        int64_t c = i % c_, p = i / c_, x = p % xt->dim[2], y = p / xt->dim[2] % xt->dim[1],
                n = p / xt->dim[2] / xt->dim[1];
        e->out[i] =
            x % s[1] || y % s[0] ? 0 : src(e, 0)[((n * yt->dim[1] + y / s[0]) * yt->dim[2] + x / s[1]) * c_ + c];
    }
}

/* ---- batch normalisation and channel sums */

/* Sums of f(position, channel) over a shard: four chains, positions p, p + 4, ... */
typedef float term_fn(const void *ctx, int64_t i, int64_t c, float chain);
static float chains(term_fn *f, const void *ctx, int64_t begin, int64_t end, int64_t channels, int64_t c) {
    float acc[4] = {0};
    for (int64_t p = begin; p < end; p++)
        acc[(p - begin) % 4] = f(ctx, p * channels + c, c, acc[(p - begin) % 4]);
    return (acc[0] + acc[1]) + (acc[2] + acc[3]);
}

typedef struct term_ctx {
    const float *x, *dy, *stats;
    float mean;
    int64_t channels;
} term_ctx;
static float term_sum(const void *ctx, int64_t i, int64_t c, float chain) {
    (void)c;
    return chain + ((const term_ctx *)ctx)->x[i];
}
static float term_square(const void *ctx, int64_t i, int64_t c, float chain) {
    (void)c;
    float d = ((const term_ctx *)ctx)->x[i] - ((const term_ctx *)ctx)->mean;
    return fmaf(d, d, chain);
}
static float term_dy_xhat(const void *ctx, int64_t i, int64_t c, float chain) {
    const term_ctx *t = ctx;
    return fmaf(t->dy[i], (t->x[i] - t->stats[c]) * t->stats[2 * t->channels + c], chain);
}

static void eval_bn_stats(const eval_ctx *e) {
    const zn_type *xt = type_of(e, 0);
    int64_t shards = zn_attr_of(e->v, BN_STATS, shards)->i, c = zn_type_channels(xt), batch = xt->dim[0],
            area = zn_type_count(xt) / batch / c;
    float eps = (float)zn_attr_of(e->v, BN_STATS, eps)->f;
    float *mean = temp((size_t)shards), *m2 = temp((size_t)shards), *count = temp((size_t)shards);
    for (int64_t k = 0; k < c; k++) {
        for (int64_t s = 0; s < shards; s++) {
            int64_t b = s * batch / shards * area, end = (s + 1) * batch / shards * area;
            term_ctx t = {.x = src(e, 0)};
            count[s] = (float)(end - b);
            t.mean = mean[s] = chains(term_sum, &t, b, end, c, k) / count[s];
            m2[s] = chains(term_square, &t, b, end, c, k);
        }
        for (int64_t n = shards; n > 1; n = (n + 1) / 2) {
            for (int64_t i = 0; i < n / 2; i++) {
                float na = count[2 * i], nb = count[2 * i + 1], both = na + nb;
                float delta = mean[2 * i + 1] - mean[2 * i], square = delta * delta;
                mean[i] = fmaf(delta, nb / both, mean[2 * i]);
                m2[i] = fmaf(square, na * (nb / both), m2[2 * i] + m2[2 * i + 1]);
                count[i] = both;
            }
            if (n % 2) {
                mean[n / 2] = mean[n - 1];
                m2[n / 2] = m2[n - 1];
                count[n / 2] = count[n - 1];
            }
        }
        float var = m2[0] / (float)(batch * area);
        e->out[k] = mean[0];
        e->out[c + k] = var;
        e->out[2 * c + k] = 1 / sqrtf(var + eps);
    }
    free(mean);
    free(m2);
    free(count);
}

/* Channel sums of one term, sharded. */
static void sharded(term_fn *f, const term_ctx *t, const zn_type *xt, int64_t shards, float *out) {
    int64_t c = zn_type_channels(xt), batch = xt->dim[0], area = zn_type_count(xt) / batch / c;
    float *part = temp((size_t)shards);
    for (int64_t k = 0; k < c; k++) {
        for (int64_t s = 0; s < shards; s++)
            part[s] = chains(f, t, s * batch / shards * area, (s + 1) * batch / shards * area, c, k);
        join(part, shards);
        out[k] = part[0];
    }
    free(part);
}

static void eval_sum_rows(const eval_ctx *e) {
    term_ctx t = {.x = src(e, 0)};
    sharded(term_sum, &t, type_of(e, 0), zn_attr_of(e->v, SUM_ROWS, shards)->i, e->out);
}

static void eval_bn_grad_sums(const eval_ctx *e) {
    int64_t c = zn_type_channels(type_of(e, 0)), shards = zn_attr_of(e->v, BN_GRAD_SUMS, shards)->i;
    term_ctx sum = {.x = src(e, 0)}, dot = {.dy = src(e, 0), .x = src(e, 1), .stats = src(e, 2), .channels = c};
    sharded(term_sum, &sum, type_of(e, 0), shards, e->out);
    sharded(term_dy_xhat, &dot, type_of(e, 0), shards, e->out + c);
}

static void eval_bn_norm(const eval_ctx *e) {
    const float *stats = src(e, 1);
    EACH(i) {
        int64_t c = i % c_;
        e->out[i] = fmaf(src(e, 0)[i] - stats[c], stats[2 * c_ + c] * src(e, 2)[c], src(e, 3)[c]);
    }
}

static void normalise_running(const eval_ctx *e, float eps) {
    EACH(i) {
        int64_t c = i % c_;
        e->out[i] = fmaf(src(e, 0)[i] - src(e, 3)[c], (1 / sqrtf(src(e, 4)[c] + eps)) * src(e, 1)[c], src(e, 2)[c]);
    }
}
static void eval_bn_infer(const eval_ctx *e) {
    normalise_running(e, (float)zn_attr_of(e->v, BN_INFER, eps)->f);
}
static void eval_bn(const eval_ctx *e) {
    normalise_running(e, (float)zn_attr_of(e->v, BN, eps)->f);
}

static void eval_bn_running(const eval_ctx *e) {
    int64_t row = zn_attr_of(e->v, BN_RUNNING, row)->i, count = zn_attr_of(e->v, BN_RUNNING, count)->i;
    double momentum = zn_attr_of(e->v, BN_RUNNING, momentum)->f;
    float keep = (float)(1 - momentum),
          take = (float)(row ? momentum * ((double)count / (double)(count - 1)) : momentum);
    EACH(i) e->out[i] = fmaf(src(e, 1)[row * c_ + i], take, src(e, 0)[i] * keep);
}

static void eval_bn_grad_x(const eval_ctx *e) {
    const float *stats = src(e, 2), *sums = src(e, 3);
    int64_t count = zn_type_count(&e->v->type) / zn_type_channels(&e->v->type);
    float r = (float)(1 / (double)count);
    EACH(i) {
        int64_t c = i % c_;
        float inv = stats[2 * c_ + c], xhat = (src(e, 1)[i] - stats[c]) * inv;
        e->out[i] = (src(e, 4)[c] * inv) * fmaf(-xhat, sums[c_ + c] * r, src(e, 0)[i] - sums[c] * r);
    }
}

/* ---- sums and maxima over channels: 16 lanes, channel j in lane j mod 16, joined i with i + 8, 4, 2, 1 */

typedef float lane_fn(float a, float b);
static float plus(float a, float b) {
    return a + b;
}
static float larger(float a, float b) {
    return b > a || isnan(b) ? b : a;
}
static float join_lanes(const float lane[16], lane_fn *f) {
    float t[16];
    memcpy(t, lane, sizeof t);
    for (int h = 8; h >= 1; h /= 2)
        for (int i = 0; i < h; i++)
            t[i] = f(t[i], t[i + h]);
    return t[0];
}
static float lanes(const float lane[16]) {
    return join_lanes(lane, plus);
}

static void reduce(const eval_ctx *e, float start, lane_fn *f) {
    int64_t k = zn_type_channels(type_of(e, 0));
    EACH(i) {
        float lane[16];
        for (int j = 0; j < 16; j++)
            lane[j] = start;
        for (int64_t j = 0; j < k; j++)
            lane[j % 16] = f(lane[j % 16], src(e, 0)[i * k + j]);
        e->out[i] = join_lanes(lane, f);
    }
}
static void eval_reduce_sum(const eval_ctx *e) {
    reduce(e, 0, plus);
}
static void eval_reduce_max(const eval_ctx *e) {
    reduce(e, -INFINITY, larger);
}

static void eval_reduce_max_grad(const eval_ctx *e) {
    int64_t k = zn_type_channels(&e->v->type), rows = zn_type_count(&e->v->type) / k;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = src(e, 1) + r * k;
        int64_t best = 0;
        for (int64_t j = 1; j < k; j++)
            if (x[j] > x[best] || (isnan(x[j]) && !isnan(x[best])))
                best = j;
        for (int64_t j = 0; j < k; j++)
            e->out[r * k + j] = j == best ? src(e, 0)[r] : 0;
    }
}

static void eval_broadcast(const eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i / c_];
}

/* ---- loss */

typedef struct softmax {
    float max, sum;
} softmax;

static softmax softmax_of(const float *x, int64_t k) {
    softmax s = {.max = -INFINITY};
    float lane[16] = {0};
    for (int64_t j = 0; j < k; j++)
        s.max = x[j] > s.max ? x[j] : s.max;
    for (int64_t j = 0; j < k; j++)
        lane[j % 16] += zn_expf(x[j] - s.max);
    s.sum = lanes(lane);
    return s;
}

static void eval_cross_entropy(const eval_ctx *e) {
    int64_t k = type_of(e, 0)->dim[1];
    const int32_t *label = e->operand[1];
    double smoothing = zn_attr_of(e->v, CROSS_ENTROPY, smoothing)->f;
    EACH(i) {
        const float *x = src(e, 0) + i * k;
        softmax s = softmax_of(x, k);
        float lse = zn_logf(s.sum) + s.max;
        e->out[i] = lse - x[label[i]];
        if (smoothing != 0) {
            float lane[16] = {0};
            for (int64_t j = 0; j < k; j++)
                lane[j % 16] += lse - x[j];
            e->out[i] = e->out[i] * (float)(1 - smoothing) + lanes(lane) * (float)(smoothing / (double)k);
        }
    }
}

static void eval_cross_entropy_grad(const eval_ctx *e) {
    int64_t k = type_of(e, 0)->dim[1], n = type_of(e, 0)->dim[0];
    const int32_t *label = e->operand[1];
    double smoothing = zn_attr_of(e->v, CROSS_ENTROPY_GRAD, smoothing)->f;
    float other = (float)(smoothing / (double)k), own = (float)(1 - smoothing + smoothing / (double)k),
          r = (float)(1 / (double)n);
    for (int64_t i = 0; i < n; i++) {
        const float *x = src(e, 0) + i * k;
        softmax s = softmax_of(x, k);
        for (int64_t j = 0; j < k; j++)
            e->out[i * k + j] = (zn_expf(x[j] - s.max) / s.sum - (j == label[i] ? own : other)) * r;
    }
}

static void eval_correct(const eval_ctx *e) {
    int64_t k = type_of(e, 0)->dim[1];
    EACH(i) {
        const float *x = src(e, 0) + i * k;
        int64_t best = 0;
        for (int64_t j = 1; j < k; j++)
            if (x[j] > x[best])
                best = j;
        e->out[i] = best == ((const int32_t *)e->operand[1])[i];
    }
}

static eval_fn *const eval_table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, kernel, eval, doc) [ZN_OP_##ID] = eval_##eval,
#include "ir/ops.def"
};

/* ---- running a function */

zn_interp zn_interp_new(zn_module *m, uint64_t seed) {
    zn_interp in = {.m = m, .seed = seed};
    size_t n = 0;
    for (zn_param *p = m->params; p; p = p->next)
        n++;
    in.param = malloc((n ? n : 1) * sizeof *in.param);
    if (!in.param)
        ZN_ICE("out of memory");
    n = 0;
    for (zn_param *p = m->params; p; p = p->next) {
        in.param[n] = temp((size_t)zn_type_count(&p->type));
        zn_formula_eval(&p->init, p->type.rank, p->type.dim, p->name, seed, in.param[n]);
        n++;
    }
    return in;
}

void zn_interp_free(zn_interp *in) {
    size_t n = 0;
    for (zn_param *p = in->m->params; p; p = p->next)
        free(in->param[n++]);
    free(in->param);
    in->param = NULL;
}

static float *param_data(const zn_interp *in, const char *name) {
    const zn_param *p = zn_param_find(in->m, name);
    if (!p)
        ZN_ICE("no parameter `%s`", name);
    return in->param[p->index];
}

static float hyper(const zn_interp *in, const char *name) {
    switch (zn_hyper_find(name)) {
#define ZN_HYPER(ID, text, field, doc)                                                                                 \
    case ZN_HYPER_##ID:                                                                                                \
        return in->field;
#include "ir/hypers.def"
    case ZN_HYPER_COUNT:
        break;
    }
    ZN_ICE("no number `%s`", name);
}

const float *zn_interp_value(const zn_value *v) {
    return v->note;
}

void zn_interp_eval(const zn_interp *in, const zn_value *v, const void *const *operand, float *out) {
    eval_table[v->op](&(eval_ctx){in, v, operand, out});
}

bool zn_interp_run(zn_interp *in, zn_func *f, const void *const *args) {
    zn_math_flush_denormals();
    for (zn_value *v = f->first; v; v = v->next) {
        size_t n = (size_t)zn_type_count(&v->type);
        const void *operand[8];
        for (int i = 0; i < v->noperands; i++)
            operand[i] = v->operand[i]->note;
        if (zn_op_table[v->op].traits & ZN_T_EFFECT)
            continue;
        float *out = v->note = temp(n);
        if (v->op == ZN_OP_ARG)
            memcpy(out, args[zn_attr_of(v, ARG, index)->i], n * sizeof *out);
        else if (v->op == ZN_OP_PARAM)
            memcpy(out, param_data(in, zn_attr_of(v, PARAM, name)->s), n * sizeof *out);
        else if (v->op == ZN_OP_HYPER)
            out[0] = hyper(in, zn_attr_of(v, HYPER, name)->s);
        else
            zn_interp_eval(in, v, operand, out);
    }
    for (zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_STORE)
            memcpy(param_data(in, zn_attr_of(v, STORE, name)->s), v->operand[0]->note,
                   (size_t)zn_type_count(&v->type) * sizeof(float));
    return true;
}

void zn_interp_release(zn_func *f) {
    for (zn_value *v = f->first; v; v = v->next) {
        free(v->note);
        v->note = NULL;
    }
}
