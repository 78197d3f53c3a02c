/* Pooling and the Hadamard transform: kernels that go over an image position by position, lanes over channels.
 */
#include <math.h>

#include "backend/emit.h"
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

enum {
    VECS = 4,        /* vectors of channels that a window is met for at once */
    UNROLL = 9,      /* elements of a window that are written out, where it is inside the image */
    GLOBAL_VECS = 8, /* vectors of channels whose means over an image are held at once */
};

/* Every window of an image, a few vectors of channels at a time. */
typedef struct pool_ctx {
    window w;
    int64_t h, wd, oh, ow, c;
    int x, y, dx, dy; /* bindings */
    bool fresh;       /* dx is written once: windows do not overlap, and every element of theirs is stored */
    zn_ll n;
    zn_ll i, j, h0, h1, w0, w1;
    bool inside;        /* h1 - h0 and w1 - w0 are those of k */
    zn_ll from[UNROLL]; /* where `inside`: elements of x or dx, row by row, at channel 0 */
    zn_ll c0;
    int lanes;
} pool_ctx;

typedef void body_fn(zn_emit *e, pool_ctx *p);

static int64_t window_size(const pool_ctx *p) {
    return p->w.k[0] * p->w.k[1];
}

/* Windows of one size that is small enough; pads apart, which no such window meets. */
static bool unrolled(const pool_ctx *p) {
    return window_size(p) <= UNROLL;
}

/* Output positions [lo, hi) along an axis whose windows are inside the image. */
static void inside_range(int64_t out, int64_t k, int64_t stride, int64_t pad, int64_t size, int64_t *lo, int64_t *hi) {
    *lo = (pad + stride - 1) / stride;
    *hi = size + pad >= k ? (size + pad - k) / stride + 1 : 0;
    if (*hi > out)
        *hi = out;
    if (*lo > *hi)
        *lo = *hi;
}

/* All channels of the window that p is at: one piece of code for all full chunks. */
static void window_channels(zn_emit *e, pool_ctx *p, body_fn *body) {
    int64_t chunk = VECS * (int64_t)e->lanes, whole = p->c > chunk ? p->c / chunk * chunk : 0;
    p->lanes = e->lanes;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), chunk, 0, NULL);
        for (int v = 0; v < VECS; v++) {
            p->c0 = zn_addk(e, l.i, v * (int64_t)e->lanes);
            body(e, p);
        }
        zn_loop_end(e, &l, NULL);
    }
    for (int64_t c0 = whole; c0 < p->c; c0 += e->lanes) {
        p->c0 = zn_i64(e, c0);
        p->lanes = lanes_at(e, p->c, c0);
        body(e, p);
    }
}

/* Windows [from, to) of row i, all inside the image or in the general way. */
static void window_row(zn_emit *e, pool_ctx *p, int64_t from, int64_t to, bool inside, body_fn *body) {
    if (from >= to)
        return;
    zn_loop l;
    int binding = p->dx >= 0 ? p->dx : p->x;
    zn_loop_begin(e, &l, zn_i64(e, from), zn_i64(e, to), 1, 0, NULL);
    p->j = l.i;
    p->inside = inside;
    clip(e, p->j, p->w.stride[1], p->w.pad[1], p->w.k[1], p->wd, &p->w0, &p->w1);
    if (inside) {
        zn_ll left = zn_addk(e, zn_mul(e, p->j, p->w.stride[1]), -p->w.pad[1]),
              top = zn_addk(e, zn_mul(e, p->i, p->w.stride[0]), -p->w.pad[0]);
        for (int64_t q = 0; q < window_size(p); q++)
            p->from[q] = zn_at(e, zn_row_ptr(e, binding, p->n, zn_addk(e, top, q / p->w.k[1])),
                               zn_mul(e, zn_addk(e, left, q % p->w.k[1]), p->c));
    }
    window_channels(e, p, body);
    zn_loop_end(e, &l, NULL);
}

static void zero_rows(zn_emit *e, const pool_ctx *p, zn_ll from, zn_ll to, int64_t first_column);

/* Rows [from, to) of windows. Gradients prepare the rows of dx that these are the first to meet, so that they are still
 * near when they are added to. */
static void window_rows(zn_emit *e, pool_ctx *p, int64_t from, int64_t to, bool inside, body_fn *body) {
    if (from >= to)
        return;
    zn_loop l;
    int64_t lo = 0, hi = 0;
    if (inside)
        inside_range(p->ow, p->w.k[1], p->w.stride[1], p->w.pad[1], p->wd, &lo, &hi);
    zn_loop_begin(e, &l, zn_i64(e, from), zn_i64(e, to), 1, 0, NULL);
    p->i = l.i;
    clip(e, p->i, p->w.stride[0], p->w.pad[0], p->w.k[0], p->h, &p->h0, &p->h1);
    if (p->dx >= 0 && p->fresh) {
        zero_rows(e, p, p->h0, p->h1, p->ow * p->w.k[1]);
    } else if (p->dx >= 0) {
        zn_ll before = zn_addk(e, zn_mul(e, zn_addk(e, p->i, -1), p->w.stride[0]), p->w.k[0] - p->w.pad[0]);
        before = zn_select(e, LLVMBuildICmp(e->b, LLVMIntEQ, p->i, zn_i64(e, 0), ""), zn_i64(e, 0),
                           zn_max(e, before, zn_i64(e, 0)));
        zero_rows(e, p, before, p->h1, 0);
    }
    window_row(e, p, 0, lo, false, body);
    window_row(e, p, lo, hi, true, body);
    window_row(e, p, hi, p->ow, false, body);
    zn_loop_end(e, &l, NULL);
}

static void for_windows(zn_emit *e, pool_ctx *p, body_fn *body) {
    int64_t lo = 0, hi = 0;
    if (unrolled(p))
        inside_range(p->oh, p->w.k[0], p->w.stride[0], p->w.pad[0], p->h, &lo, &hi);
    window_rows(e, p, 0, lo, false, body);
    window_rows(e, p, lo, hi, true, body);
    window_rows(e, p, hi, p->oh, false, body);
    if (p->dx < 0)
        return;
    int64_t done = (p->oh - 1) * p->w.stride[0] - p->w.pad[0] + p->w.k[0];
    if (done < p->h)
        zero_rows(e, p, zn_i64(e, done > 0 ? done : 0), zn_i64(e, p->h), 0);
}

static zn_ll pixel(zn_emit *e, const pool_ctx *p, int binding, zn_ll h, zn_ll w) {
    return zn_at(e, zn_row_ptr(e, binding, p->n, h), zn_add(e, zn_mul(e, w, p->c), p->c0));
}

/* Over the real elements of the window; carried values are updated by step(). q: the element's number where the window
 * is inside, and h and w are NULL; else -1. */
typedef void step_fn(zn_emit *e, pool_ctx *p, int64_t q, zn_ll h, zn_ll w, zn_ll *v);
static void in_window(zn_emit *e, pool_ctx *p, int n, zn_ll *v, step_fn *step) {
    for (int64_t q = 0; p->inside && q < window_size(p); q++)
        step(e, p, q, NULL, NULL, v);
    if (p->inside)
        return;
    zn_loop lh, lw;
    zn_loop_begin(e, &lh, p->h0, p->h1, 1, n, v);
    zn_loop_begin(e, &lw, p->w0, p->w1, 1, n, lh.v);
    zn_ll next[4];
    for (int i = 0; i < n; i++)
        next[i] = lw.v[i];
    step(e, p, -1, lh.i, lw.i, next);
    zn_loop_end(e, &lw, next);
    zn_loop_end(e, &lh, lw.v);
    for (int i = 0; i < n; i++)
        v[i] = lh.v[i];
}

/* An element of the window in x or dx. */
static zn_ll element(zn_emit *e, const pool_ctx *p, int binding, int64_t q, zn_ll h, zn_ll w) {
    if (q < 0)
        return pixel(e, p, binding, h, w);
    if (binding == (p->dx >= 0 ? p->dx : p->x))
        return zn_at(e, p->from[q], p->c0);
    zn_ll row = zn_addk(e, p->h0, q / p->w.k[1]), column = zn_addk(e, p->w0, q % p->w.k[1]);
    return pixel(e, p, binding, row, column);
}

/* Its number as i32: in the window where that is inside, else in the image. */
static zn_ll number(zn_emit *e, const pool_ctx *p, int64_t q, zn_ll h, zn_ll w) {
    if (q >= 0)
        return zn_iconst(e, (uint32_t)q);
    return zn_splat(e, LLVMBuildTrunc(e->b, zn_add(e, zn_mul(e, h, p->wd), w), e->i32, ""));
}

/* Is x larger than the largest so far, or no number? No instruction for maxima: it would flush subnormals. */
static zn_ll larger(zn_emit *e, zn_ll x, zn_ll best) {
    return LLVMBuildOr(e->b, zn_fcmp(e, LLVMRealOGT, x, best), zn_fcmp(e, LLVMRealUNO, x, x), "");
}

/* v: largest so far */
static void max_step(zn_emit *e, pool_ctx *p, int64_t q, zn_ll h, zn_ll w, zn_ll *v) {
    zn_ll x = zn_load(e, element(e, p, p->x, q, h, w), p->lanes);
    v[0] = zn_select(e, larger(e, x, v[0]), x, v[0]);
}
/* v: and where it is, -1 before any */
static void where_step(zn_emit *e, pool_ctx *p, int64_t q, zn_ll h, zn_ll w, zn_ll *v) {
    zn_ll x = zn_load(e, element(e, p, p->x, q, h, w), p->lanes), more = larger(e, x, v[0]);
    v[0] = zn_select(e, more, x, v[0]);
    v[1] = zn_select(e, more, number(e, p, q, h, w), v[1]);
}

/* Elements [lo, hi) of a window inside the image, the same by a tree: the first of the largest, or the last that is no
 * number, does not depend on how they are joined, and a chain waits for each comparison. */
static void best_of(zn_emit *e, pool_ctx *p, int64_t lo, int64_t hi, bool where, zn_ll *v) {
    if (hi - lo == 1) {
        v[0] = zn_load(e, element(e, p, p->x, lo, NULL, NULL), p->lanes);
        v[1] = where ? number(e, p, lo, NULL, NULL) : NULL;
        if (where && lo == 0) /* -inf is never larger than what there is before any */
            v[1] = zn_select(e, larger(e, v[0], zn_vconst(e, -INFINITY)), v[1], zn_iconst(e, (uint32_t)-1));
        return;
    }
    zn_ll r[2];
    best_of(e, p, lo, lo + (hi - lo + 1) / 2, where, v);
    best_of(e, p, lo + (hi - lo + 1) / 2, hi, where, r);
    zn_ll more = larger(e, r[0], v[0]);
    v[0] = zn_select(e, more, r[0], v[0]);
    if (where)
        v[1] = zn_select(e, more, r[1], v[1]);
}

static void maxpool_body(zn_emit *e, pool_ctx *p) {
    zn_ll v[2] = {zn_vconst(e, -INFINITY), NULL};
    if (p->inside)
        best_of(e, p, 0, window_size(p), false, v);
    else
        in_window(e, p, 1, v, max_step);
    zn_store(e, pixel(e, p, p->y, p->i, p->j), v[0], p->lanes);
}

/* dx += v. A fresh one is 0 + v: it may be a zero with a sign. */
static void add_to(zn_emit *e, const pool_ctx *p, zn_ll to, zn_ll v) {
    zn_ll old = p->fresh ? zn_vconst(e, 0) : zn_load(e, to, p->lanes);
    zn_store(e, to, zn_fadd(e, old, v), p->lanes);
}

/* v: where the maximum is, dy there */
static void scatter_step(zn_emit *e, pool_ctx *p, int64_t q, zn_ll h, zn_ll w, zn_ll *v) {
    zn_ll here = LLVMBuildICmp(e->b, LLVMIntEQ, v[0], number(e, p, q, h, w), "");
    add_to(e, p, element(e, p, p->dx, q, h, w), zn_select(e, here, v[1], zn_vconst(e, 0)));
}

static void maxpool_grad_body(zn_emit *e, pool_ctx *p) {
    zn_ll v[2] = {zn_vconst(e, -INFINITY), zn_iconst(e, (uint32_t)-1)};
    if (p->inside)
        best_of(e, p, 0, window_size(p), true, v);
    else
        in_window(e, p, 2, v, where_step);
    zn_ll s[2] = {v[1], zn_load(e, pixel(e, p, p->dy, p->i, p->j), p->lanes)};
    in_window(e, p, 2, s, scatter_step);
}

static void sum_step(zn_emit *e, pool_ctx *p, int64_t q, zn_ll h, zn_ll w, zn_ll *v) {
    v[0] = zn_fadd(e, v[0], zn_load(e, element(e, p, p->x, q, h, w), p->lanes));
}

static zn_ll window_count(zn_emit *e, const pool_ctx *p) {
    if (p->inside)
        return zn_vconst(e, (float)window_size(p));
    zn_ll area = LLVMBuildMul(e->b, LLVMBuildSub(e->b, p->h1, p->h0, ""), LLVMBuildSub(e->b, p->w1, p->w0, ""), "");
    return zn_splat(e, LLVMBuildSIToFP(e->b, area, e->f32, ""));
}

static void avgpool_body(zn_emit *e, pool_ctx *p) {
    zn_ll v[1] = {zn_vconst(e, 0)};
    in_window(e, p, 1, v, sum_step);
    zn_store(e, pixel(e, p, p->y, p->i, p->j), zn_fdiv(e, v[0], window_count(e, p)), p->lanes);
}

static void spread_step(zn_emit *e, pool_ctx *p, int64_t q, zn_ll h, zn_ll w, zn_ll *v) {
    add_to(e, p, element(e, p, p->dx, q, h, w), v[0]);
}

static void avgpool_grad_body(zn_emit *e, pool_ctx *p) {
    zn_ll dy = zn_load(e, pixel(e, p, p->dy, p->i, p->j), p->lanes);
    zn_ll v[1] = {zn_fdiv(e, dy, window_count(e, p))};
    in_window(e, p, 1, v, spread_step);
}

/* Zeros into rows [from, to) of dx, from a column on. */
static void zero_rows(zn_emit *e, const pool_ctx *p, zn_ll from, zn_ll to, int64_t first_column) {
    zn_loop l;
    int64_t n = (p->wd - first_column) * p->c, whole = n / e->lanes * e->lanes;
    if (n <= 0)
        return;
    zn_loop_begin(e, &l, from, to, 1, 0, NULL);
    zn_ll row = zn_atk(e, zn_row_ptr(e, p->dx, p->n, l.i), first_column * p->c);
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

static void pooling(zn_emit *e, window w, bool grad, int x, int dy, body_fn *body) {
    const zn_value *v = e->k->group->anchor;
    pool_ctx p = {.w = w, .x = x, .dy = dy, .y = -1, .dx = -1};
    int out = zn_binding_of(e, ZN_BIND_OUT, v);
    const zn_type *xt = grad ? &v->type : &v->operand[0]->type, *yt = grad ? &v->operand[0]->type : &v->type;
    p.h = xt->dim[1], p.wd = xt->dim[2], p.c = xt->dim[3], p.oh = yt->dim[1], p.ow = yt->dim[2];
    *(grad ? &p.dx : &p.y) = out;
    /* Windows side by side leave a strip at the right and one at the bottom at most, and no element to add to. */
    p.fresh = w.k[0] == w.stride[0] && w.k[1] == w.stride[1] && unrolled(&p) && !w.pad[0] && !w.pad[1] &&
              p.oh * w.k[0] <= p.h && p.ow * w.k[1] <= p.wd;
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    p.n = l.i;
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

/* body(image, first channel, channels) for all channels of an image: a loop over whole chunks, which go over memory
 * nearly in its order, then the rest. */
typedef void image_fn(zn_emit *e, zn_ll n, zn_ll c0, int64_t count);
static void over_channels(zn_emit *e, zn_ll n, int64_t c, image_fn *body) {
    int64_t chunk = GLOBAL_VECS * (int64_t)e->lanes, whole = c / chunk * chunk;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), chunk, 0, NULL);
        body(e, n, l.i, chunk);
        zn_loop_end(e, &l, NULL);
    }
    if (c > whole)
        body(e, n, zn_i64(e, whole), c - whole);
}

static void mean_of_image(zn_emit *e, zn_ll n, zn_ll c0, int64_t count) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->operand[0]->type;
    int in = operand_binding(e, 0), out = zn_binding_of(e, ZN_BIND_OUT, v);
    int vecs = (int)((count + e->lanes - 1) / e->lanes);
    zn_loop lh, lw;
    zn_ll sum[GLOBAL_VECS];
    for (int i = 0; i < vecs; i++)
        sum[i] = zn_vconst(e, 0);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, x->dim[1]), 1, vecs, sum);
    zn_ll row = zn_at(e, zn_row_ptr(e, in, n, lh.i), c0);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, x->dim[2]), 1, vecs, lh.v);
    zn_ll at = zn_at(e, row, zn_mul(e, lw.i, x->dim[3]));
    for (int i = 0; i < vecs; i++)
        sum[i] = zn_fadd(e, lw.v[i], zn_load(e, zn_atk(e, at, i * e->lanes), lanes_at(e, count, i * e->lanes)));
    zn_loop_end(e, &lw, sum);
    zn_loop_end(e, &lh, lw.v);
    zn_ll to = zn_at(e, zn_row_ptr(e, out, n, NULL), c0), area = zn_vconst(e, (float)(x->dim[1] * x->dim[2]));
    for (int i = 0; i < vecs; i++)
        zn_store(e, zn_atk(e, to, i * e->lanes), zn_fdiv(e, lh.v[i], area), lanes_at(e, count, i * e->lanes));
}

void zn_emit_global_avgpool(zn_emit *e) {
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    over_channels(e, l.i, e->k->group->anchor->operand[0]->type.dim[3], mean_of_image);
    zn_loop_end(e, &l, NULL);
}

static void spread_over_image(zn_emit *e, zn_ll n, zn_ll c0, int64_t count) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->type;
    int in = operand_binding(e, 0), out = zn_binding_of(e, ZN_BIND_OUT, v);
    int vecs = (int)((count + e->lanes - 1) / e->lanes);
    zn_loop lh, lw;
    zn_ll from = zn_at(e, zn_row_ptr(e, in, n, NULL), c0), area = zn_vconst(e, (float)(x->dim[1] * x->dim[2])),
          dy[GLOBAL_VECS];
    for (int i = 0; i < vecs; i++)
        dy[i] = zn_fdiv(e, zn_load(e, zn_atk(e, from, i * e->lanes), lanes_at(e, count, i * e->lanes)), area);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, x->dim[1]), 1, 0, NULL);
    zn_ll row = zn_at(e, zn_row_ptr(e, out, n, lh.i), c0);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, x->dim[2]), 1, 0, NULL);
    zn_ll to = zn_at(e, row, zn_mul(e, lw.i, x->dim[3]));
    for (int i = 0; i < vecs; i++)
        zn_store(e, zn_atk(e, to, i * e->lanes), dy[i], lanes_at(e, count, i * e->lanes));
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
