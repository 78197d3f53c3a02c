/* Reference evaluation: running a function, and the operations that do not go over images: elementwise ones, norms and
 * sums over channels, losses; the others stand in eval_images.c. One function per name in column `eval` of ops.def. See
 * interp.h.
 *
 * These loops define the order of every reduction; docs/ir.md says it in words. fmaf rounds once. Sums over shards
 * are joined by zn_eval_join(): neighbours first, an odd one out moves up unchanged. */
#include "ir/interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/eval.h"
#include "support/ice.h"
#include "support/math.h"
#include "support/philox.h"

void zn_eval_join(float *a, int64_t n) {
    while (n > 1) {
        for (int64_t i = 0; i < n / 2; i++)
            a[i] = a[2 * i] + a[2 * i + 1];
        if (n % 2)
            a[n / 2] = a[n - 1];
        n = (n + 1) / 2;
    }
}

float *zn_eval_temp(size_t n) {
    float *p = calloc(n ? n : 1, sizeof *p);
    if (!p)
        ZN_ICE("out of memory");
    return p;
}

/* ---- leaves and elementwise operations */

void zn_eval_none(const zn_eval_ctx *e) {
    ZN_ICE("`%s` is not evaluated", zn_op_table[e->v->op].text);
}

void zn_eval_copy(const zn_eval_ctx *e) {
    memcpy(e->out, src(e, 0), (size_t)zn_type_count(&e->v->type) * sizeof(float));
}
void zn_eval_identity(const zn_eval_ctx *e) {
    zn_eval_copy(e);
}

void zn_eval_bias(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] + src(e, 1)[i % c_];
}
void zn_eval_relu(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] < 0 ? 0 : src(e, 0)[i];
}
void zn_eval_add(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] + src(e, 1)[i];
}
void zn_eval_residual(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 1)[i] + src(e, 2)[i];
}
void zn_eval_sub(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] - src(e, 1)[i];
}
void zn_eval_mul(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] * src(e, 1)[i];
}
void zn_eval_scale(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] * src(e, 1)[0];
}
void zn_eval_shift(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] + src(e, 1)[0];
}
void zn_eval_channel_scale(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] * src(e, 1)[i % c_];
}
void zn_eval_mul_const(const zn_eval_ctx *e) {
    float k = (float)zn_attr_of(e->v, MUL_CONST, value)->f;
    EACH(i) e->out[i] = src(e, 0)[i] * k;
}
void zn_eval_add_const(const zn_eval_ctx *e) {
    float k = (float)zn_attr_of(e->v, ADD_CONST, value)->f;
    EACH(i) e->out[i] = src(e, 0)[i] + k;
}
void zn_eval_div(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] / src(e, 1)[i];
}
void zn_eval_max(const zn_eval_ctx *e) {
    EACH(i) {
        float a = src(e, 0)[i], b = src(e, 1)[i];
        e->out[i] = a > b || isnan(a) ? a : b;
    }
}
void zn_eval_neg(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = -src(e, 0)[i];
}
void zn_eval_sqrt(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = sqrtf(src(e, 0)[i]);
}
void zn_eval_exp(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = zn_expf(src(e, 0)[i]);
}
void zn_eval_log(const zn_eval_ctx *e) {
    EACH(i) {
        float x = src(e, 0)[i];
        e->out[i] = x > 0 ? zn_logf(x) : x == 0 ? -INFINITY : NAN;
    }
}
void zn_eval_tanh(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = zn_tanhf(src(e, 0)[i]);
}
void zn_eval_erf(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = zn_erff(src(e, 0)[i]);
}
/* (1 + erf(x / sqrt(2))) / 2 */
static float gelu_share(float x) {
    return (zn_erff(x * ZN_SQRT_HALF) + 1) * 0.5f;
}
void zn_eval_gelu(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] * gelu_share(src(e, 0)[i]);
}
void zn_eval_gelu_grad(const zn_eval_ctx *e) {
    EACH(i) {
        float x = src(e, 1)[i], t = x * ZN_SQRT_HALF;
        e->out[i] = src(e, 0)[i] * fmaf(x, zn_expf(-(t * t)) * ZN_NORMAL_DENSITY, gelu_share(x));
    }
}
void zn_eval_select(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i] < src(e, 1)[i] ? src(e, 2)[i] : src(e, 3)[i];
}
void zn_eval_mask(const zn_eval_ctx *e) {
    bool inverted = zn_attr_of(e->v, MASK, inverted)->i;
    EACH(i) e->out[i] = (src(e, 0)[i] < src(e, 1)[i]) != inverted ? src(e, 2)[i] : 0;
}
void zn_eval_relu_grad(const zn_eval_ctx *e) {
    bool one = zn_attr_of(e->v, RELU_GRAD, at_zero)->i;
    EACH(i) {
        float x = src(e, 1)[i];
        e->out[i] = (one ? x < 0 : x <= 0) ? 0 : src(e, 0)[i];
    }
}
void zn_eval_row(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[zn_attr_of(e->v, ROW, index)->i * c_ + i];
}

void zn_eval_dropout_mask(const zn_eval_ctx *e) {
    float p = (float)zn_attr_of(e->v, DROPOUT_MASK, p)->f, k = (float)(1 / (1 - zn_attr_of(e->v, DROPOUT_MASK, p)->f));
    zn_philox_key key = zn_philox_key_make(e->in->seed, ZN_PURPOSE_DROPOUT, zn_attr_of(e->v, DROPOUT_MASK, layer)->s);
    int64_t each = zn_type_count(&e->v->type) / e->v->type.dim[0];
    EACH(i) {
        uint32_t w[4];
        zn_philox(key, (uint32_t)(i % each), e->in->position + (uint32_t)(i / each), e->in->epoch, 0, w);
        e->out[i] = zn_philox_unit(w[0]) < p ? 0 : src(e, 0)[i] * k;
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
static float term_product(const void *ctx, int64_t i, int64_t c, float chain) {
    (void)c;
    return fmaf(((const term_ctx *)ctx)->dy[i], ((const term_ctx *)ctx)->x[i], chain);
}
static float term_dy_xhat(const void *ctx, int64_t i, int64_t c, float chain) {
    const term_ctx *t = ctx;
    return fmaf(t->dy[i], (t->x[i] - t->stats[c]) * t->stats[2 * t->channels + c], chain);
}

void zn_eval_bn_stats(const zn_eval_ctx *e) {
    const zn_type *xt = type_of(e, 0);
    int64_t shards = zn_attr_of(e->v, BN_STATS, shards)->i, c = zn_type_channels(xt), batch = xt->dim[0],
            area = zn_type_count(xt) / batch / c;
    float eps = (float)zn_attr_of(e->v, BN_STATS, eps)->f;
    float *mean = zn_eval_temp((size_t)shards), *m2 = zn_eval_temp((size_t)shards),
          *count = zn_eval_temp((size_t)shards);
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
    float *part = zn_eval_temp((size_t)shards);
    for (int64_t k = 0; k < c; k++) {
        for (int64_t s = 0; s < shards; s++)
            part[s] = chains(f, t, s * batch / shards * area, (s + 1) * batch / shards * area, c, k);
        zn_eval_join(part, shards);
        out[k] = part[0];
    }
    free(part);
}

void zn_eval_sum_rows(const zn_eval_ctx *e) {
    term_ctx t = {.x = src(e, 0)};
    sharded(term_sum, &t, type_of(e, 0), zn_attr_of(e->v, SUM_ROWS, shards)->i, e->out);
}

void zn_eval_bn_grad_sums(const zn_eval_ctx *e) {
    int64_t c = zn_type_channels(type_of(e, 0)), shards = zn_attr_of(e->v, BN_GRAD_SUMS, shards)->i;
    term_ctx sum = {.x = src(e, 0)}, dot = {.dy = src(e, 0), .x = src(e, 1), .stats = src(e, 2), .channels = c};
    sharded(term_sum, &sum, type_of(e, 0), shards, e->out);
    sharded(term_dy_xhat, &dot, type_of(e, 0), shards, e->out + c);
}

void zn_eval_bn_norm(const zn_eval_ctx *e) {
    const float *stats = src(e, 1);
    EACH(i) {
        int64_t c = i % c_;
        e->out[i] = fmaf(src(e, 0)[i] - stats[c], stats[2 * c_ + c] * src(e, 2)[c], src(e, 3)[c]);
    }
}

static void normalise_running(const zn_eval_ctx *e, float eps) {
    EACH(i) {
        int64_t c = i % c_;
        e->out[i] = fmaf(src(e, 0)[i] - src(e, 3)[c], (1 / sqrtf(src(e, 4)[c] + eps)) * src(e, 1)[c], src(e, 2)[c]);
    }
}
void zn_eval_bn_infer(const zn_eval_ctx *e) {
    normalise_running(e, (float)zn_attr_of(e->v, BN_INFER, eps)->f);
}
void zn_eval_bn(const zn_eval_ctx *e) {
    normalise_running(e, (float)zn_attr_of(e->v, BN, eps)->f);
}

void zn_eval_bn_running(const zn_eval_ctx *e) {
    int64_t row = zn_attr_of(e->v, BN_RUNNING, row)->i, count = zn_attr_of(e->v, BN_RUNNING, count)->i;
    double momentum = zn_attr_of(e->v, BN_RUNNING, momentum)->f;
    float keep = (float)(1 - momentum),
          take = (float)(row ? momentum * ((double)count / (double)(count - 1)) : momentum);
    EACH(i) e->out[i] = fmaf(src(e, 1)[row * c_ + i], take, src(e, 0)[i] * keep);
}

void zn_eval_bn_grad_x(const zn_eval_ctx *e) {
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

static void reduce(const zn_eval_ctx *e, float start, lane_fn *f) {
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
void zn_eval_reduce_sum(const zn_eval_ctx *e) {
    reduce(e, 0, plus);
}
void zn_eval_reduce_max(const zn_eval_ctx *e) {
    reduce(e, -INFINITY, larger);
}

void zn_eval_reduce_max_grad(const zn_eval_ctx *e) {
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

void zn_eval_broadcast(const zn_eval_ctx *e) {
    EACH(i) e->out[i] = src(e, 0)[i / c_];
}

/* ---- layer normalisation: mean and 1 / sqrt(variance + eps) of a position */

typedef struct position_stats {
    float mean, inv;
} position_stats;

static position_stats stats_of(const float *x, int64_t c, double eps) {
    position_stats s;
    float lane[16] = {0}, square[16] = {0};
    for (int64_t j = 0; j < c; j++)
        lane[j % 16] += x[j];
    s.mean = lanes(lane) / (float)c;
    for (int64_t j = 0; j < c; j++)
        square[j % 16] = fmaf(x[j] - s.mean, x[j] - s.mean, square[j % 16]);
    s.inv = 1 / sqrtf(lanes(square) / (float)c + (float)eps);
    return s;
}

static void ln_norm(const zn_eval_ctx *e, double eps) {
    int64_t c = zn_type_channels(&e->v->type), rows = zn_type_count(&e->v->type) / c;
    for (int64_t r = 0; r < rows; r++) {
        position_stats s = stats_of(src(e, 0) + r * c, c, eps);
        for (int64_t j = 0; j < c; j++)
            e->out[r * c + j] = fmaf((src(e, 0)[r * c + j] - s.mean) * s.inv, src(e, 1)[j], src(e, 2)[j]);
    }
}
void zn_eval_layernorm(const zn_eval_ctx *e) {
    ln_norm(e, zn_attr_of(e->v, LAYERNORM, eps)->f);
}
void zn_eval_ln_norm(const zn_eval_ctx *e) {
    ln_norm(e, zn_attr_of(e->v, LN_NORM, eps)->f);
}

void zn_eval_ln_grad_x(const zn_eval_ctx *e) {
    int64_t c = zn_type_channels(&e->v->type), rows = zn_type_count(&e->v->type) / c;
    for (int64_t r = 0; r < rows; r++) {
        const float *dy = src(e, 0) + r * c, *x = src(e, 1) + r * c, *scale = src(e, 2);
        position_stats s = stats_of(x, c, zn_attr_of(e->v, LN_GRAD_X, eps)->f);
        float sum[16] = {0}, dot[16] = {0};
        for (int64_t j = 0; j < c; j++) {
            float g = dy[j] * scale[j];
            sum[j % 16] += g;
            dot[j % 16] = fmaf(g, (x[j] - s.mean) * s.inv, dot[j % 16]);
        }
        float a = lanes(sum) / (float)c, b = lanes(dot) / (float)c;
        for (int64_t j = 0; j < c; j++)
            e->out[r * c + j] = s.inv * fmaf(-((x[j] - s.mean) * s.inv), b, dy[j] * scale[j] - a);
    }
}

void zn_eval_ln_grad_sums(const zn_eval_ctx *e) {
    const zn_type *t = type_of(e, 0);
    int64_t c = zn_type_channels(t), n = zn_type_count(t), shards = zn_attr_of(e->v, LN_GRAD_SUMS, shards)->i;
    float *xhat = zn_eval_temp((size_t)n);
    for (int64_t r = 0; r < n / c; r++) {
        position_stats s = stats_of(src(e, 1) + r * c, c, zn_attr_of(e->v, LN_GRAD_SUMS, eps)->f);
        for (int64_t j = 0; j < c; j++)
            xhat[r * c + j] = (src(e, 1)[r * c + j] - s.mean) * s.inv;
    }
    term_ctx sum = {.x = src(e, 0)}, dot = {.dy = src(e, 0), .x = xhat};
    sharded(term_sum, &sum, t, shards, e->out);
    sharded(term_product, &dot, t, shards, e->out + c);
    free(xhat);
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

void zn_eval_cross_entropy(const zn_eval_ctx *e) {
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

void zn_eval_cross_entropy_grad(const zn_eval_ctx *e) {
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

void zn_eval_one_hot(const zn_eval_ctx *e) {
    int64_t k = zn_attr_of(e->v, ONE_HOT, classes)->i;
    EACH(i) e->out[i] = i % k == ((const int32_t *)e->operand[0])[i / k];
}
void zn_eval_correct(const zn_eval_ctx *e) {
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

static zn_eval_fn *const eval_table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc) [ZN_OP_##ID] = zn_eval_##eval,
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
        in.param[n] = zn_eval_temp((size_t)zn_type_count(&p->type));
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
    eval_table[v->op](&(zn_eval_ctx){in, v, operand, out});
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
        float *out = v->note = zn_eval_temp(n);
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
