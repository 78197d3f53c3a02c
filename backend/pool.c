/* Pooling, resampling, the Hadamard transform: kernels that go over an image position by position, lanes over channels.
 */
#include <math.h>

#include "backend/emit.h"
#include "support/formula.h"
#include "support/ice.h"

static int lanes_at(const zn_emit *e, int64_t c, int64_t c0) {
    return (int)(c - c0 < e->lanes ? c - c0 : e->lanes);
}

typedef struct window {
    const int64_t *k, *stride, *pad;
} window;

/* Rows (or columns) [lo, hi) of the window at output position i that are real. */
static void clip(zn_emit *e, zn_ll i, int64_t stride, int64_t pad, int64_t k, int64_t size, zn_ll *lo, zn_ll *hi) {
    zn_ll at = zn_addk(e, zn_mul(e, i, stride), -pad);
    *lo = zn_max(e, at, zn_i64(e, 0));
    *hi = zn_min(e, zn_addk(e, at, k), zn_i64(e, size));
}

/* Every window of an image, one vector of channels at a time. */
typedef struct pool_ctx {
    window w;
    int64_t h, wd, oh, ow, c;
    int x, y, dx, dy; /* bindings */
    zn_ll n;
    zn_ll i, j, h0, h1, w0, w1;
    int64_t c0;
    int lanes;
} pool_ctx;

static void for_windows(zn_emit *e, pool_ctx *p, void (*body)(zn_emit *, pool_ctx *)) {
    zn_loop li, lj;
    zn_loop_begin(e, &li, zn_i64(e, 0), zn_i64(e, p->oh), 1, 0, NULL);
    zn_loop_begin(e, &lj, zn_i64(e, 0), zn_i64(e, p->ow), 1, 0, NULL);
    p->i = li.i;
    p->j = lj.i;
    clip(e, li.i, p->w.stride[0], p->w.pad[0], p->w.k[0], p->h, &p->h0, &p->h1);
    clip(e, lj.i, p->w.stride[1], p->w.pad[1], p->w.k[1], p->wd, &p->w0, &p->w1);
    for (p->c0 = 0; p->c0 < p->c; p->c0 += e->lanes) {
        p->lanes = lanes_at(e, p->c, p->c0);
        body(e, p);
    }
    zn_loop_end(e, &lj, NULL);
    zn_loop_end(e, &li, NULL);
}

static zn_ll pixel(zn_emit *e, const pool_ctx *p, int binding, zn_ll h, zn_ll w) {
    return zn_at(e, zn_row_ptr(e, binding, p->n, h), zn_addk(e, zn_mul(e, w, p->c), p->c0));
}

/* Over the real elements of the window; carried values are updated by step(). */
typedef void step_fn(zn_emit *e, pool_ctx *p, zn_ll h, zn_ll w, zn_ll *v);
static void in_window(zn_emit *e, pool_ctx *p, int n, zn_ll *v, step_fn *step) {
    zn_loop lh, lw;
    zn_loop_begin(e, &lh, p->h0, p->h1, 1, n, v);
    zn_loop_begin(e, &lw, p->w0, p->w1, 1, n, lh.v);
    zn_ll next[4];
    for (int i = 0; i < n; i++)
        next[i] = lw.v[i];
    step(e, p, lh.i, lw.i, next);
    zn_loop_end(e, &lw, next);
    zn_loop_end(e, &lh, lw.v);
    for (int i = 0; i < n; i++)
        v[i] = lh.v[i];
}

/* v: largest so far, and where (row * width + column), -1 before any */
static void max_step(zn_emit *e, pool_ctx *p, zn_ll h, zn_ll w, zn_ll *v) {
    zn_ll x = zn_load(e, pixel(e, p, p->x, h, w), p->lanes);
    zn_ll larger = LLVMBuildOr(e->b, zn_fcmp(e, LLVMRealOGT, x, v[0]), zn_fcmp(e, LLVMRealUNO, x, x), "");
    zn_ll at = LLVMBuildTrunc(e->b, zn_add(e, zn_mul(e, h, p->wd), w), e->i32, "");
    v[0] = zn_select(e, larger, x, v[0]);
    v[1] = zn_select(e, larger, zn_splat(e, at), v[1]);
}

static void maxpool_body(zn_emit *e, pool_ctx *p) {
    zn_ll v[2] = {zn_vconst(e, -INFINITY), zn_iconst(e, (uint32_t)-1)};
    in_window(e, p, 2, v, max_step);
    zn_store(e, pixel(e, p, p->y, p->i, p->j), v[0], p->lanes);
}

/* v: where the maximum is, dy there */
static void scatter_step(zn_emit *e, pool_ctx *p, zn_ll h, zn_ll w, zn_ll *v) {
    zn_ll at = LLVMBuildTrunc(e->b, zn_add(e, zn_mul(e, h, p->wd), w), e->i32, ""), to = pixel(e, p, p->dx, h, w);
    zn_ll here = LLVMBuildICmp(e->b, LLVMIntEQ, v[0], zn_splat(e, at), "");
    zn_store(e, to, zn_fadd(e, zn_load(e, to, p->lanes), zn_select(e, here, v[1], zn_vconst(e, 0))), p->lanes);
}

static void maxpool_grad_body(zn_emit *e, pool_ctx *p) {
    zn_ll v[2] = {zn_vconst(e, -INFINITY), zn_iconst(e, (uint32_t)-1)};
    in_window(e, p, 2, v, max_step);
    zn_ll s[2] = {v[1], zn_load(e, pixel(e, p, p->dy, p->i, p->j), p->lanes)};
    in_window(e, p, 2, s, scatter_step);
}

static void sum_step(zn_emit *e, pool_ctx *p, zn_ll h, zn_ll w, zn_ll *v) {
    v[0] = zn_fadd(e, v[0], zn_load(e, pixel(e, p, p->x, h, w), p->lanes));
}

static zn_ll window_count(zn_emit *e, const pool_ctx *p) {
    zn_ll area = LLVMBuildMul(e->b, LLVMBuildSub(e->b, p->h1, p->h0, ""), LLVMBuildSub(e->b, p->w1, p->w0, ""), "");
    return zn_splat(e, LLVMBuildSIToFP(e->b, area, e->f32, ""));
}

static void avgpool_body(zn_emit *e, pool_ctx *p) {
    zn_ll v[1] = {zn_vconst(e, 0)};
    in_window(e, p, 1, v, sum_step);
    zn_store(e, pixel(e, p, p->y, p->i, p->j), zn_fdiv(e, v[0], window_count(e, p)), p->lanes);
}

static void spread_step(zn_emit *e, pool_ctx *p, zn_ll h, zn_ll w, zn_ll *v) {
    zn_ll to = pixel(e, p, p->dx, h, w);
    zn_store(e, to, zn_fadd(e, zn_load(e, to, p->lanes), v[0]), p->lanes);
}

static void avgpool_grad_body(zn_emit *e, pool_ctx *p) {
    zn_ll dy = zn_load(e, pixel(e, p, p->dy, p->i, p->j), p->lanes);
    zn_ll v[1] = {zn_fdiv(e, dy, window_count(e, p))};
    in_window(e, p, 1, v, spread_step);
}

static void zero_image(zn_emit *e, const pool_ctx *p) {
    zn_loop l;
    int64_t n = p->wd * p->c, whole = n / e->lanes * e->lanes;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, p->h), 1, 0, NULL);
    zn_ll row = zn_row_ptr(e, p->dx, p->n, l.i);
    if (whole) {
        zn_loop lw;
        zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        zn_store(e, zn_at(e, row, lw.i), zn_vconst(e, 0), e->lanes);
        zn_loop_end(e, &lw, NULL);
    }
    if (n > whole)
        zn_store(e, zn_atk(e, row, whole), zn_vconst(e, 0), (int)(n - whole));
    zn_loop_end(e, &l, NULL);
}

static void pooling(zn_emit *e, window w, bool grad, int x, int dy, void (*body)(zn_emit *, pool_ctx *)) {
    const zn_value *v = e->k->group->anchor;
    pool_ctx p = {.w = w, .x = x, .dy = dy};
    int out = zn_binding_of(e, ZN_BIND_OUT, v);
    const zn_type *xt = grad ? &v->type : &v->operand[0]->type, *yt = grad ? &v->operand[0]->type : &v->type;
    p.h = xt->dim[1], p.wd = xt->dim[2], p.c = xt->dim[3], p.oh = yt->dim[1], p.ow = yt->dim[2];
    *(grad ? &p.dx : &p.y) = out;
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    p.n = l.i;
    if (grad)
        zero_image(e, &p);
    for_windows(e, &p, body);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

static int operand_binding(const zn_emit *e, int i) {
    return zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[i]);
}

void zn_emit_maxpool(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    window w = {zn_attr_of(v, MAXPOOL, k)->v, zn_attr_of(v, MAXPOOL, stride)->v, zn_attr_of(v, MAXPOOL, pad)->v};
    pooling(e, w, false, operand_binding(e, 0), -1, maxpool_body);
}
void zn_emit_maxpool_grad(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    window w = {zn_attr_of(v, MAXPOOL_GRAD, k)->v, zn_attr_of(v, MAXPOOL_GRAD, stride)->v,
                zn_attr_of(v, MAXPOOL_GRAD, pad)->v};
    pooling(e, w, true, operand_binding(e, 1), operand_binding(e, 0), maxpool_grad_body);
}
void zn_emit_avgpool(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    window w = {zn_attr_of(v, AVGPOOL, k)->v, zn_attr_of(v, AVGPOOL, stride)->v, zn_attr_of(v, AVGPOOL, pad)->v};
    pooling(e, w, false, operand_binding(e, 0), -1, avgpool_body);
}
void zn_emit_avgpool_grad(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    window w = {zn_attr_of(v, AVGPOOL_GRAD, k)->v, zn_attr_of(v, AVGPOOL_GRAD, stride)->v,
                zn_attr_of(v, AVGPOOL_GRAD, pad)->v};
    pooling(e, w, true, -1, operand_binding(e, 0), avgpool_grad_body);
}

/* body(image, first channel, lanes) for all channels of the images of this range: a loop over whole vectors, then the
 * rest. */
static void over_channels(zn_emit *e, zn_ll n, int64_t c, void (*body)(zn_emit *, zn_ll, zn_ll, int)) {
    int64_t whole = c / e->lanes * e->lanes;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        body(e, n, l.i, e->lanes);
        zn_loop_end(e, &l, NULL);
    }
    if (c > whole)
        body(e, n, zn_i64(e, whole), (int)(c - whole));
}

static void mean_of_image(zn_emit *e, zn_ll n, zn_ll c0, int lanes) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->operand[0]->type;
    int in = operand_binding(e, 0), out = zn_binding_of(e, ZN_BIND_OUT, v);
    zn_loop lh, lw;
    zn_ll zero = zn_vconst(e, 0);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, x->dim[1]), 1, 1, &zero);
    zn_ll row = zn_at(e, zn_row_ptr(e, in, n, lh.i), c0);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, x->dim[2]), 1, 1, lh.v);
    zn_ll sum = zn_fadd(e, lw.v[0], zn_load(e, zn_at(e, row, zn_mul(e, lw.i, x->dim[3])), lanes));
    zn_loop_end(e, &lw, &sum);
    zn_loop_end(e, &lh, lw.v);
    zn_ll mean = zn_fdiv(e, lh.v[0], zn_vconst(e, (float)(x->dim[1] * x->dim[2])));
    zn_store(e, zn_at(e, zn_row_ptr(e, out, n, NULL), c0), mean, lanes);
}

void zn_emit_global_avgpool(zn_emit *e) {
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    over_channels(e, l.i, e->k->group->anchor->operand[0]->type.dim[3], mean_of_image);
    zn_loop_end(e, &l, NULL);
}

static void spread_over_image(zn_emit *e, zn_ll n, zn_ll c0, int lanes) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->type;
    int in = operand_binding(e, 0), out = zn_binding_of(e, ZN_BIND_OUT, v);
    zn_loop lh, lw;
    zn_ll dy = zn_load(e, zn_at(e, zn_row_ptr(e, in, n, NULL), c0), lanes);
    dy = zn_fdiv(e, dy, zn_vconst(e, (float)(x->dim[1] * x->dim[2])));
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, x->dim[1]), 1, 0, NULL);
    zn_ll row = zn_at(e, zn_row_ptr(e, out, n, lh.i), c0);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, x->dim[2]), 1, 0, NULL);
    zn_store(e, zn_at(e, row, zn_mul(e, lw.i, x->dim[3])), dy, lanes);
    zn_loop_end(e, &lw, NULL);
    zn_loop_end(e, &lh, NULL);
}

void zn_emit_global_avgpool_grad(zn_emit *e) {
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    over_channels(e, l.i, e->k->group->anchor->type.dim[3], spread_over_image);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

/* ---- resampling: result pixel (h, w) from operand pixel (h s, w s), channels matched by number */

/* One pixel: channels [0, n) copied, the rest up to c zero. */
static void copy_pixel(zn_emit *e, zn_ll from, zn_ll to, int64_t n, int64_t c) {
    for (int64_t c0 = 0; c0 < c; c0 += e->lanes) {
        int have = n - c0 <= 0 ? 0 : lanes_at(e, n, c0);
        zn_ll x = have ? zn_load(e, zn_atk(e, from, c0), have) : zn_vconst(e, 0);
        zn_store(e, zn_atk(e, to, c0), x, lanes_at(e, c, c0));
    }
}

/* Channel j of the narrow side is channel J_j of the wide one. */
static void spread_pixel(zn_emit *e, zn_ll from, zn_ll to, int64_t cx, int64_t c) {
    int64_t narrow = cx < c ? cx : c, wide = cx < c ? c : cx;
    int m = 0;
    while ((int64_t)1 << m < wide)
        m++;
    if (c == wide)
        copy_pixel(e, from, to, 0, c);
    for (int64_t j = 0; j < narrow; j++) {
        int64_t k = zn_spanning_index(j, m);
        if (k < wide)
            zn_store1(e, zn_atk(e, to, c == wide ? k : j), zn_load1(e, zn_atk(e, from, c == wide ? j : k)));
        else if (c != wide)
            zn_store1(e, zn_atk(e, to, j), LLVMConstReal(e->f32, 0));
    }
}

void zn_emit_resample(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->operand[0]->type, *y = &v->type;
    static const int64_t one[2] = {1, 1};
    bool grad = v->op == ZN_OP_SUBSAMPLE_GRAD, image = y->rank == 4;
    const int64_t *s = v->op == ZN_OP_SUBSAMPLE ? zn_attr_of(v, SUBSAMPLE, stride)->v
                       : grad                   ? zn_attr_of(v, SUBSAMPLE_GRAD, stride)->v
                                                : one;
    bool spanning = (v->op == ZN_OP_PAD_CHANNELS && zn_attr_of(v, PAD_CHANNELS, spanning)->i) ||
                    (v->op == ZN_OP_SLICE_CHANNELS && zn_attr_of(v, SLICE_CHANNELS, spanning)->i);
    int in = operand_binding(e, 0), out = zn_binding_of(e, ZN_BIND_OUT, v);
    int64_t cx = zn_type_channels(x), c = zn_type_channels(y);
    zn_loop l, lh, lw;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    if (grad) {
        pool_ctx p = {.dx = out, .n = l.i, .h = y->dim[1], .wd = y->dim[2], .c = c};
        zero_image(e, &p);
    }
    /* The gradient goes over the smaller image, which is its operand. */
    const zn_type *small = grad ? x : y;
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, image ? small->dim[1] : 1), 1, 0, NULL);
    zn_ll far = zn_mul(e, lh.i, s[0]);
    zn_ll from = zn_row_ptr(e, in, l.i, grad ? lh.i : far), to = zn_row_ptr(e, out, l.i, grad ? far : lh.i);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, image ? small->dim[2] : 1), 1, 0, NULL);
    zn_ll near_at = zn_mul(e, lw.i, grad ? cx : c), far_at = zn_mul(e, lw.i, s[1] * (grad ? c : cx));
    from = zn_at(e, from, grad ? near_at : far_at);
    to = zn_at(e, to, grad ? far_at : near_at);
    if (spanning)
        spread_pixel(e, from, to, cx, c);
    else
        copy_pixel(e, from, to, cx < c ? cx : c, c);
    zn_loop_end(e, &lw, NULL);
    zn_loop_end(e, &lh, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

/* ---- Hadamard: butterflies in registers, between vectors and then within them */

static zn_ll butterfly_within(zn_emit *e, zn_ll v, int h) {
    zn_ll index[64], second[64];
    for (int i = 0; i < e->lanes; i++) {
        index[i] = zn_i32(e, (uint32_t)(i ^ h));
        second[i] = LLVMConstInt(e->i1, (i & h) != 0, 0);
    }
    unsigned n = (unsigned)e->lanes;
    zn_ll other = LLVMBuildShuffleVector(e->b, v, LLVMGetPoison(e->vec), LLVMConstVector(index, n), "");
    return zn_select(e, LLVMConstVector(second, n), zn_fsub(e, other, v), zn_fadd(e, v, other));
}

enum { MAX_HADAMARD = 256 }; /* vectors held at once: 1024 channels at the least width */

/* One pixel, all in registers (and where those end, on the stack): p channels, c of them real. */
static void hadamard_registers(zn_emit *e, zn_ll from, zn_ll to, int64_t c, int64_t p, float scale) {
    zn_ll x[MAX_HADAMARD];
    int64_t vecs = (p + e->lanes - 1) / e->lanes;
    ZN_ASSERT(vecs <= MAX_HADAMARD);
    for (int64_t i = 0; i < vecs; i++)
        x[i] = i * e->lanes < c ? zn_load(e, zn_atk(e, from, i * e->lanes), lanes_at(e, c, i * e->lanes))
                                : zn_vconst(e, 0);
    for (int64_t h = 1; h < p; h *= 2)
        for (int64_t i = 0; i < vecs; i++) {
            if (h < e->lanes) {
                x[i] = butterfly_within(e, x[i], (int)h);
            } else if (!(i * e->lanes & h)) {
                int64_t j = i + h / e->lanes;
                zn_ll a = x[i], b = x[j];
                x[i] = zn_fadd(e, a, b);
                x[j] = zn_fsub(e, a, b);
            }
        }
    for (int64_t i = 0; i * e->lanes < c; i++)
        zn_store(e, zn_atk(e, to, i * e->lanes), zn_fmul(e, x[i], zn_vconst(e, scale)), lanes_at(e, c, i * e->lanes));
}

/* Vectors [0, n) of floats that are whole, then a partial one. */
static void copy_scaled(zn_emit *e, zn_ll from, zn_ll to, int64_t n, zn_ll scale) {
    zn_loop l;
    int64_t whole = n / e->lanes * e->lanes;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
    zn_ll x = zn_load(e, zn_at(e, from, l.i), e->lanes);
    zn_store(e, zn_at(e, to, l.i), scale ? zn_fmul(e, x, scale) : x, e->lanes);
    zn_loop_end(e, &l, NULL);
    if (n > whole) {
        int rest = (int)(n - whole);
        x = zn_load(e, zn_atk(e, from, whole), rest);
        zn_store(e, zn_atk(e, to, whole), scale ? zn_fmul(e, x, scale) : x, rest);
    }
}

/* One pixel of many channels, in scratch memory: the same butterflies, stage by stage. */
static void hadamard_memory(zn_emit *e, zn_ll from, zn_ll to, int64_t c, int64_t p, float scale) {
    zn_ll x = e->scratch;
    zn_loop l, li;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, p), e->lanes, 0, NULL);
    zn_store(e, zn_at(e, x, l.i), zn_vconst(e, 0), e->lanes);
    zn_loop_end(e, &l, NULL);
    copy_scaled(e, from, x, c, NULL);
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, p), e->lanes, 0, NULL);
    zn_ll v = zn_load(e, zn_at(e, x, l.i), e->lanes);
    for (int h = 1; h < e->lanes; h *= 2)
        v = butterfly_within(e, v, h);
    zn_store(e, zn_at(e, x, l.i), v, e->lanes);
    zn_loop_end(e, &l, NULL);
    for (int64_t h = e->lanes; h < p; h *= 2) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, p), 2 * h, 0, NULL);
        zn_loop_begin(e, &li, l.i, zn_addk(e, l.i, h), e->lanes, 0, NULL);
        zn_ll pa = zn_at(e, x, li.i), pb = zn_atk(e, pa, h), a = zn_load(e, pa, e->lanes), b = zn_load(e, pb, e->lanes);
        zn_store(e, pa, zn_fadd(e, a, b), e->lanes);
        zn_store(e, pb, zn_fsub(e, a, b), e->lanes);
        zn_loop_end(e, &li, NULL);
        zn_loop_end(e, &l, NULL);
    }
    copy_scaled(e, x, to, c, zn_vconst(e, scale));
}

void zn_emit_hadamard(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int64_t c = zn_type_channels(&v->type), p = 1, bits = 0;
    int in = operand_binding(e, 0), out = zn_binding_of(e, ZN_BIND_OUT, v);
    bool image = v->type.rank == 4;
    while (p < c)
        p *= 2, bits++;
    float scale = (float)(bits % 2 ? 0.70710678118654752440 / (double)((int64_t)1 << bits / 2)
                                   : 1.0 / (double)((int64_t)1 << bits / 2));
    zn_loop l, lh, lw;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, image ? v->type.dim[1] : 1), 1, 0, NULL);
    zn_ll from = zn_row_ptr(e, in, l.i, lh.i), to = zn_row_ptr(e, out, l.i, lh.i);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, image ? v->type.dim[2] : 1), 1, 0, NULL);
    from = zn_at(e, from, zn_mul(e, lw.i, c));
    to = zn_at(e, to, zn_mul(e, lw.i, c));
    (zn_hadamard_scratch(c) ? hadamard_memory : hadamard_registers)(e, from, to, c, p, scale);
    zn_loop_end(e, &lw, NULL);
    zn_loop_end(e, &lh, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}
