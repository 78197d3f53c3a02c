/* Sums and maxima over the last axis, their gradients, and the broadcast back. One unit is one image or sample.
 *
 * What is summed or compared is kept in 16 virtual lanes, element j of a row in lane j mod 16, whatever the vector
 * width, and joined in a fixed tree (lane i with lane i + 8, then 4, 2, 1). The loss sums over classes in the same way.
 */
#include <math.h>

#include "backend/emit.h"

/* ---- one row in virtual lanes */

int zn_row_parts(const zn_emit *e) {
    return e->lanes >= ZN_ROW_LANES ? 1 : ZN_ROW_LANES / e->lanes;
}

void zn_fill_lanes(zn_emit *e, zn_ll *part, float x) {
    for (int q = 0; q < zn_row_parts(e); q++)
        part[q] = zn_vconst(e, x);
}

zn_ll zn_lane(zn_emit *e, zn_ll v, int i) {
    return LLVMBuildExtractElement(e->b, v, zn_i32(e, (uint32_t)i), "");
}

zn_ll zn_join_lanes(zn_emit *e, const zn_ll *part, zn_join_fn *f) {
    zn_ll t[ZN_ROW_LANES];
    int width = ZN_ROW_LANES / zn_row_parts(e);
    for (int i = 0; i < ZN_ROW_LANES; i++)
        t[i] = zn_lane(e, part[i / width], i % width);
    for (int h = ZN_ROW_LANES / 2; h >= 1; h /= 2)
        for (int i = 0; i < h; i++)
            t[i] = f(e, t[i], t[i + h]);
    return t[0];
}

/* In vectors: between them, then within the first. */
zn_ll zn_sum_lanes(zn_emit *e, const zn_ll *part) {
    zn_ll v[ZN_ROW_LANES], at[64];
    int parts = zn_row_parts(e);
    for (int i = 0; i < parts; i++)
        v[i] = part[i];
    for (; parts > 1; parts /= 2)
        for (int i = 0; i < parts / 2; i++)
            v[i] = zn_fadd(e, v[i], v[i + parts / 2]);
    for (int h = (e->lanes < ZN_ROW_LANES ? e->lanes : ZN_ROW_LANES) / 2; h >= 1; h /= 2) {
        for (int i = 0; i < e->lanes; i++) /* lanes behind the first h are not looked at any more */
            at[i] = zn_i32(e, (uint32_t)(i ^ h));
        zn_ll other =
            LLVMBuildShuffleVector(e->b, v[0], LLVMGetPoison(e->vec), LLVMConstVector(at, (unsigned)e->lanes), "");
        v[0] = zn_fadd(e, v[0], other);
    }
    return zn_splat(e, zn_lane(e, v[0], 0));
}

void zn_over_row(zn_emit *e, zn_ll x, int64_t count, zn_ll *part, zn_row_fn *f, void *ctx) {
    int parts = zn_row_parts(e), width = ZN_ROW_LANES / parts;
    int64_t whole = count / ZN_ROW_LANES * ZN_ROW_LANES;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), ZN_ROW_LANES, parts, part);
        for (int q = 0; q < parts; q++)
            part[q] = f(e, zn_load(e, zn_at(e, x, zn_addk(e, l.i, q * width)), width), l.v[q], width, ctx);
        zn_loop_end(e, &l, part);
        for (int q = 0; q < parts; q++)
            part[q] = l.v[q];
    }
    for (int q = 0; q < parts; q++) {
        int64_t left = count - whole - (int64_t)q * width;
        int n = (int)(left < width ? left : width);
        if (n > 0)
            part[q] = f(e, zn_load(e, zn_atk(e, x, whole + q * width), n), part[q], n, ctx);
    }
}

zn_ll zn_valid_lanes(const zn_emit *e, int n) {
    zn_ll m[64];
    for (int i = 0; i < e->lanes; i++)
        m[i] = LLVMConstInt(e->i1, i < n, 0);
    return LLVMConstVector(m, (unsigned)e->lanes);
}

/* ---- kernels */

/* b where it is larger or NaN, else a. Chosen as integers: of a comparison with a constant and a selection of floats
 * LLVM makes an instruction for the maximum, which flushes denormals. */
static zn_ll larger(zn_emit *e, zn_ll a, zn_ll b) {
    LLVMTypeRef floats = LLVMTypeOf(a), bits = floats == e->vec ? e->ivec : e->i32;
    zn_ll more = zn_fcmp(e, LLVMRealOGT, b, a), nan = zn_fcmp(e, LLVMRealUNO, b, b);
    zn_ll ab = LLVMBuildBitCast(e->b, a, bits, ""), bb = LLVMBuildBitCast(e->b, b, bits, "");
    return LLVMBuildBitCast(e->b, zn_select(e, LLVMBuildOr(e->b, more, nan, ""), bb, ab), floats, "");
}

/* Lanes that are not valid stay as they are: -0 + 0 would be +0. */
static zn_ll term(zn_emit *e, zn_ll x, zn_ll acc, int n, void *ctx) {
    zn_ll y = (*(zn_join_fn **)ctx)(e, acc, x);
    return n == e->lanes ? y : zn_select(e, zn_valid_lanes(e, n), y, acc);
}

/* body(address of a position in the result and in each operand) for all positions of the images of this range. */
enum { MAX_PLACES = 3 };
typedef void position_fn(zn_emit *e, const zn_value *v, const zn_ll *at);
static void over_positions(zn_emit *e, position_fn *body) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *t = &v->type, *type[MAX_PLACES] = {t};
    int n = 1 + v->noperands, binding[MAX_PLACES] = {zn_binding_of(e, ZN_BIND_OUT, v)};
    for (int i = 1; i < n; i++) {
        type[i] = &v->operand[i - 1]->type;
        binding[i] = zn_binding_of(e, ZN_BIND_IN, v->operand[i - 1]);
    }
    zn_loop l, lh, lw;
    zn_ll row[MAX_PLACES], at[MAX_PLACES];
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, t->rank >= 3 ? t->dim[1] : 1), 1, 0, NULL);
    for (int i = 0; i < n; i++)
        row[i] = zn_row_ptr(e, binding[i], l.i, lh.i);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, t->rank == 4 ? t->dim[2] : 1), 1, 0, NULL);
    for (int i = 0; i < n; i++)
        at[i] = zn_at(e, row[i], zn_mul(e, lw.i, zn_type_channels(type[i])));
    body(e, v, at);
    zn_loop_end(e, &lw, NULL);
    zn_loop_end(e, &lh, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

static void reduce_row(zn_emit *e, const zn_value *v, const zn_ll *at) {
    zn_ll part[ZN_ROW_LANES];
    bool sum = v->op == ZN_OP_REDUCE_SUM;
    zn_join_fn *f = sum ? zn_fadd : larger;
    zn_fill_lanes(e, part, sum ? 0 : -INFINITY);
    zn_over_row(e, at[1], zn_type_channels(&v->operand[0]->type), part, term, &f);
    zn_store1(e, at[0], zn_join_lanes(e, part, f));
}

void zn_emit_reduce(zn_emit *e) {
    over_positions(e, reduce_row);
}

/* c floats at p become x. */
static void fill_row(zn_emit *e, zn_ll p, zn_ll x, int64_t c) {
    int64_t whole = c / e->lanes * e->lanes;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        zn_store(e, zn_at(e, p, l.i), x, e->lanes);
        zn_loop_end(e, &l, NULL);
    }
    if (c > whole)
        zn_store(e, zn_atk(e, p, whole), x, (int)(c - whole));
}

static void broadcast_row(zn_emit *e, const zn_value *v, const zn_ll *at) {
    fill_row(e, at[0], zn_load_splat(e, at[1]), zn_type_channels(&v->type));
}

void zn_emit_broadcast(zn_emit *e) {
    over_positions(e, broadcast_row);
}

/* The place of the first NaN of c elements at x, where there is none of the first largest element: in order, because
 * lanes would have to carry places. */
static zn_ll first_largest(zn_emit *e, zn_ll x, int64_t c) {
    zn_loop l;
    zn_ll best[2] = {zn_load1(e, x), zn_i64(e, 0)};
    if (c == 1)
        return best[1];
    zn_loop_begin(e, &l, zn_i64(e, 1), zn_i64(e, c), 1, 2, best);
    zn_ll y = zn_load1(e, zn_at(e, x, l.i)), more = zn_fcmp(e, LLVMRealOGT, y, l.v[0]),
          first_nan = LLVMBuildAnd(e->b, zn_fcmp(e, LLVMRealUNO, y, y), zn_fcmp(e, LLVMRealORD, l.v[0], l.v[0]), "");
    more = LLVMBuildOr(e->b, more, first_nan, "");
    zn_ll next[2] = {zn_select(e, more, y, l.v[0]), zn_select(e, more, l.i, l.v[1])};
    zn_loop_end(e, &l, next);
    return l.v[1];
}

static void max_grad_row(zn_emit *e, const zn_value *v, const zn_ll *at) {
    int64_t c = zn_type_channels(&v->type);
    zn_ll place = first_largest(e, at[2], c);
    fill_row(e, at[0], zn_vconst(e, 0), c);
    zn_store1(e, zn_at(e, at[0], place), zn_load1(e, at[1]));
}

void zn_emit_reduce_max_grad(zn_emit *e) {
    over_positions(e, max_grad_row);
}
