/* Reference evaluation of what goes over images, and of products: convolutions, pooling, resampling, the Hadamard
 * transform. See interp.c. */
#include <math.h>
#include <stdlib.h>

#include "ir/eval.h"
#include "support/formula.h"

/* ---- products and convolutions */

void zn_eval_matmul(const zn_eval_ctx *e) {
    bool ta = zn_attr_of(e->v, MATMUL, trans_a)->i, tb = zn_attr_of(e->v, MATMUL, trans_b)->i;
    int64_t m = e->v->type.dim[0], n = e->v->type.dim[1], k = type_of(e, 0)->dim[ta ? 0 : 1],
            shards = zn_attr_of(e->v, MATMUL, shards)->i;
    const float *a = src(e, 0), *b = src(e, 1);
    float *part = zn_eval_temp((size_t)shards);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t s = 0; s < shards; s++) {
                float acc = 0;
                for (int64_t q = s * k / shards; q < (s + 1) * k / shards; q++)
                    acc = fmaf(ta ? a[q * m + i] : a[i * k + q], tb ? b[j * k + q] : b[q * n + j], acc);
                part[s] = acc;
            }
            zn_eval_join(part, shards);
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

void zn_eval_conv(const zn_eval_ctx *e) {
    const zn_type *xt = type_of(e, 0), *wt = type_of(e, 1), *yt = &e->v->type;
    const int64_t *s = zn_attr_of(e->v, CONV, stride)->v, *p = zn_attr_of(e->v, CONV, pad)->v;
    int64_t i = 0, outputs = yt->dim[3] / zn_attr_of(e->v, CONV, groups)->i; /* of a group */
    for (int64_t n = 0; n < yt->dim[0]; n++)
        for (int64_t oh = 0; oh < yt->dim[1]; oh++)
            for (int64_t ow = 0; ow < yt->dim[2]; ow++)
                for (int64_t o = 0; o < yt->dim[3]; o++) {
                    float acc = 0;
                    const float *w = src(e, 1) + o;
                    int64_t first = o / outputs * wt->dim[2];
                    for (int64_t kh = 0; kh < wt->dim[0]; kh++)
                        for (int64_t kw = 0; kw < wt->dim[1]; kw++)
                            for (int64_t c = 0; c < wt->dim[2]; c++, w += wt->dim[3])
                                acc =
                                    fmaf(at(src(e, 0), xt, n, oh * s[0] + kh - p[0], ow * s[1] + kw - p[1], first + c),
                                         *w, acc);
                    e->out[i++] = acc;
                }
}

/* One element of the gradient by data: of position (h, w) and channel c. */
static float grad_x_at(const zn_eval_ctx *e, int64_t n, int64_t h, int64_t w, int64_t c) {
    const zn_type *yt = type_of(e, 0), *wt = type_of(e, 1);
    const int64_t *s = zn_attr_of(e->v, CONV_GRAD_X, stride)->v, *p = zn_attr_of(e->v, CONV_GRAD_X, pad)->v;
    int64_t outputs = yt->dim[3] / zn_attr_of(e->v, CONV_GRAD_X, groups)->i, first = c / wt->dim[2] * outputs;
    float acc = 0;
    for (int64_t kh = wt->dim[0] - 1; kh >= 0; kh--)
        for (int64_t kw = wt->dim[1] - 1; kw >= 0; kw--) {
            int64_t a = h + p[0] - kh, b = w + p[1] - kw;
            if (a % s[0] || b % s[1]) /* this tap never meets this position */
                continue;
            const float *row = src(e, 1) + ((kh * wt->dim[1] + kw) * wt->dim[2] + c % wt->dim[2]) * wt->dim[3];
            for (int64_t o = first; o < first + outputs; o++)
                acc = fmaf(at(src(e, 0), yt, n, a / s[0], b / s[1], o), row[o], acc);
        }
    return acc;
}

void zn_eval_conv_grad_x(const zn_eval_ctx *e) {
    const zn_type *xt = &e->v->type;
    int64_t i = 0;
    for (int64_t n = 0; n < xt->dim[0]; n++)
        for (int64_t h = 0; h < xt->dim[1]; h++)
            for (int64_t w = 0; w < xt->dim[2]; w++)
                for (int64_t c = 0; c < xt->dim[3]; c++)
                    e->out[i++] = grad_x_at(e, n, h, w, c);
}

/* The chain of one weight over images [from, to). */
static float grad_w_at(const zn_eval_ctx *e, int64_t from, int64_t to, int64_t kh, int64_t kw, int64_t c, int64_t o) {
    const zn_type *xt = type_of(e, 0), *yt = type_of(e, 1);
    const int64_t *s = zn_attr_of(e->v, CONV_GRAD_W, stride)->v, *p = zn_attr_of(e->v, CONV_GRAD_W, pad)->v;
    float acc = 0;
    for (int64_t b = from; b < to; b++)
        for (int64_t oh = 0; oh < yt->dim[1]; oh++)
            for (int64_t ow = 0; ow < yt->dim[2]; ow++)
                acc = fmaf(at(src(e, 0), xt, b, oh * s[0] + kh - p[0], ow * s[1] + kw - p[1], c),
                           at(src(e, 1), yt, b, oh, ow, o), acc);
    return acc;
}

void zn_eval_conv_grad_w(const zn_eval_ctx *e) {
    const zn_type *wt = &e->v->type;
    int64_t shards = zn_attr_of(e->v, CONV_GRAD_W, shards)->i, n = type_of(e, 0)->dim[0], i = 0,
            outputs = wt->dim[3] / zn_attr_of(e->v, CONV_GRAD_W, groups)->i;
    float *part = zn_eval_temp((size_t)shards);
    for (int64_t kh = 0; kh < wt->dim[0]; kh++)
        for (int64_t kw = 0; kw < wt->dim[1]; kw++)
            for (int64_t c = 0; c < wt->dim[2]; c++)
                for (int64_t o = 0; o < wt->dim[3]; o++) {
                    for (int64_t q = 0; q < shards; q++)
                        part[q] =
                            grad_w_at(e, q * n / shards, (q + 1) * n / shards, kh, kw, o / outputs * wt->dim[2] + c, o);
                    zn_eval_join(part, shards);
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

void zn_eval_maxpool(const zn_eval_ctx *e) {
    pool q = {zn_attr_of(e->v, MAXPOOL, k)->v, zn_attr_of(e->v, MAXPOOL, stride)->v, zn_attr_of(e->v, MAXPOOL, pad)->v};
    eval_maxpool_or_grad(type_of(e, 0), &e->v->type, q, src(e, 0), NULL, e->out, NULL);
}

void zn_eval_maxpool_grad(const zn_eval_ctx *e) {
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

void zn_eval_avgpool(const zn_eval_ctx *e) {
    pool q = {zn_attr_of(e->v, AVGPOOL, k)->v, zn_attr_of(e->v, AVGPOOL, stride)->v, zn_attr_of(e->v, AVGPOOL, pad)->v};
    eval_avgpool_or_grad(type_of(e, 0), &e->v->type, q, src(e, 0), e->out, NULL);
}

void zn_eval_avgpool_grad(const zn_eval_ctx *e) {
    pool q = {zn_attr_of(e->v, AVGPOOL_GRAD, k)->v, zn_attr_of(e->v, AVGPOOL_GRAD, stride)->v,
              zn_attr_of(e->v, AVGPOOL_GRAD, pad)->v};
    EACH(i) e->out[i] = 0;
    eval_avgpool_or_grad(&e->v->type, type_of(e, 0), q, src(e, 0), NULL, e->out);
}

void zn_eval_global_avgpool(const zn_eval_ctx *e) {
    const zn_type *xt = type_of(e, 0);
    int64_t area = xt->dim[1] * xt->dim[2];
    EACH(i) {
        float sum = 0;
        for (int64_t p = 0; p < area; p++)
            sum += src(e, 0)[(i / c_ * area + p) * c_ + i % c_];
        e->out[i] = sum / (float)area;
    }
}

void zn_eval_global_avgpool_grad(const zn_eval_ctx *e) {
    int64_t area = e->v->type.dim[1] * e->v->type.dim[2];
    EACH(i) e->out[i] = src(e, 0)[i / (area * c_) * c_ + i % c_] / (float)area;
}

void zn_eval_hadamard(const zn_eval_ctx *e) {
    int64_t c = zn_type_channels(&e->v->type), rows = zn_type_count(&e->v->type) / c, p = 1, bits = 0;
    while (p < c)
        p *= 2, bits++;
    float scale = (float)(bits % 2 ? 0.70710678118654752440 / (double)((int64_t)1 << bits / 2)
                                   : 1.0 / (double)((int64_t)1 << bits / 2));
    float *t = zn_eval_temp((size_t)p);
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

/* pad_channels, slice_channels, subsample: the element at (n, h * s, w * s, c), or 0 where there is none. */
void zn_eval_resample(const zn_eval_ctx *e) {
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
    int64_t before = e->v->op == ZN_OP_PAD_CHANNELS ? zn_attr_of(e->v, PAD_CHANNELS, first)->i : 0,
            from = e->v->op == ZN_OP_SLICE_CHANNELS ? zn_attr_of(e->v, SLICE_CHANNELS, first)->i : 0;
    const int64_t one[2] = {1, 1}, *s = sub ? zn_attr_of(e->v, SUBSAMPLE, stride)->v : one;
    int64_t w = xt->rank == 4 ? e->v->type.dim[2] : 1, h = xt->rank == 4 ? e->v->type.dim[1] : 1,
            wx = xt->rank == 4 ? xt->dim[2] : 1, hx = xt->rank == 4 ? xt->dim[1] : 1;
    EACH(i) {
        int64_t c = i % c_ + from - before, p = i / c_, x = p % w * s[1], y = p / w % h * s[0], n = p / w / h;
        e->out[i] = c >= 0 && c < cx ? src(e, 0)[((n * hx + y) * wx + x) * cx + c] : 0;
    }
}

void zn_eval_resample_grad(const zn_eval_ctx *e) {
    const zn_type *yt = type_of(e, 0), *xt = &e->v->type;
    const int64_t *s = zn_attr_of(e->v, SUBSAMPLE_GRAD, stride)->v;
    EACH(i) {
        int64_t c = i % c_, p = i / c_, x = p % xt->dim[2], y = p / xt->dim[2] % xt->dim[1],
                n = p / xt->dim[2] / xt->dim[1];
        e->out[i] =
            x % s[1] || y % s[0] ? 0 : src(e, 0)[((n * yt->dim[1] + y / s[0]) * yt->dim[2] + x / s[1]) * c_ + c];
    }
}

void zn_eval_concat(const zn_eval_ctx *e) {
    int64_t a = zn_type_channels(type_of(e, 0)), b = zn_type_channels(type_of(e, 1));
    EACH(i) {
        int64_t c = i % c_, p = i / c_;
        e->out[i] = c < a ? src(e, 0)[p * a + c] : src(e, 1)[p * b + c - a];
    }
}

void zn_eval_upsample(const zn_eval_ctx *e) {
    const zn_type *xt = type_of(e, 0), *yt = &e->v->type;
    int64_t f = zn_attr_of(e->v, UPSAMPLE, factor)->i;
    EACH(i) {
        int64_t c = i % c_, p = i / c_, w = p % yt->dim[2] / f, h = p / yt->dim[2] % yt->dim[1] / f;
        e->out[i] = src(e, 0)[((p / yt->dim[2] / yt->dim[1] * xt->dim[1] + h) * xt->dim[2] + w) * c_ + c];
    }
}

void zn_eval_upsample_grad(const zn_eval_ctx *e) {
    const zn_type *xt = &e->v->type, *yt = type_of(e, 0);
    int64_t f = zn_attr_of(e->v, UPSAMPLE_GRAD, factor)->i;
    EACH(i) {
        int64_t c = i % c_, p = i / c_, w = p % xt->dim[2] * f, h = p / xt->dim[2] * f;
        float sum = 0;
        for (int64_t q = 0; q < f * f; q++)
            sum += src(e, 0)[((h + q / f) * yt->dim[2] + w + q % f) * c_ + c];
        e->out[i] = sum;
    }
}
