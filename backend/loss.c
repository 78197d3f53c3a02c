/* The loss and what is counted at the end of the network. One unit is one sample.
 *
 * Sums over classes are in the 16 virtual lanes of backend/reduce.c. */
#include <math.h>

#include "backend/emit.h"

typedef struct classes {
    int64_t k;
    zn_ll x; /* the sample's logits */
} classes;

static zn_ll max_term(zn_emit *e, zn_ll x, zn_ll max, int lanes, void *ctx) {
    (void)ctx;
    zn_ll larger = LLVMBuildAnd(e->b, zn_fcmp(e, LLVMRealOGT, x, max), zn_valid_lanes(e, lanes), "");
    return zn_select(e, larger, x, max);
}

static zn_ll exp_term(zn_emit *e, zn_ll x, zn_ll sum, int lanes, void *ctx) {
    zn_ll y = zn_exp(e, zn_fsub(e, x, *(zn_ll *)ctx));
    return zn_fadd(e, sum, zn_select(e, zn_valid_lanes(e, lanes), y, zn_vconst(e, 0)));
}

static zn_ll distance_term(zn_emit *e, zn_ll x, zn_ll sum, int lanes, void *ctx) {
    zn_ll y = zn_fsub(e, *(zn_ll *)ctx, x);
    return zn_fadd(e, sum, zn_select(e, zn_valid_lanes(e, lanes), y, zn_vconst(e, 0)));
}

typedef struct softmax {
    zn_ll max, sum; /* scalars */
} softmax;

static softmax softmax_of(zn_emit *e, const classes *c) {
    zn_ll part[ZN_ROW_LANES];
    int parts = zn_row_parts(e), width = ZN_ROW_LANES / parts;
    softmax s;
    zn_fill_lanes(e, part, -INFINITY);
    zn_over_row(e, c->x, c->k, part, max_term, NULL);
    s.max = LLVMConstReal(e->f32, (double)-INFINITY);
    for (int q = 0; q < parts; q++)
        for (int i = 0; i < width; i++) {
            zn_ll x = zn_lane(e, part[q], i);
            s.max = zn_select(e, zn_fcmp(e, LLVMRealOGT, x, s.max), x, s.max);
        }
    zn_ll max = zn_splat(e, s.max);
    zn_fill_lanes(e, part, 0);
    zn_over_row(e, c->x, c->k, part, exp_term, &max);
    s.sum = zn_join_lanes(e, part, zn_fadd);
    return s;
}

static int operand_binding(const zn_emit *e, int i) {
    return zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[i]);
}

/* The label of sample n, operand `which`. */
static zn_ll label_of(zn_emit *e, int which, zn_ll n) {
    zn_ll p = LLVMBuildInBoundsGEP2(e->b, e->i32, e->base[operand_binding(e, which)], &n, 1, "");
    return LLVMBuildSExt(e->b, LLVMBuildLoad2(e->b, e->i32, p, ""), e->i64, "");
}

static classes sample(zn_emit *e, zn_ll n) {
    const zn_type *t = &e->k->group->anchor->operand[0]->type;
    return (classes){t->dim[1], zn_at(e, e->base[operand_binding(e, 0)], zn_mul(e, n, t->dim[1]))};
}

void zn_emit_cross_entropy(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    double smoothing = zn_attr_of(v, CROSS_ENTROPY, smoothing)->f;
    int out = zn_binding_of(e, ZN_BIND_OUT, v);
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    classes c = sample(e, l.i);
    softmax s = softmax_of(e, &c);
    zn_ll lse = zn_fadd(e, zn_log(e, s.sum), s.max);
    zn_ll loss = zn_fsub(e, lse, zn_load1(e, zn_at(e, c.x, label_of(e, 1, l.i))));
    if (smoothing != 0) {
        zn_ll part[ZN_ROW_LANES], from = zn_splat(e, lse);
        zn_fill_lanes(e, part, 0);
        zn_over_row(e, c.x, c.k, part, distance_term, &from);
        zn_ll keep = LLVMConstReal(e->f32, (double)(float)(1 - smoothing)),
              share = LLVMConstReal(e->f32, (double)(float)(smoothing / (double)c.k));
        loss = zn_fadd(e, zn_fmul(e, loss, keep), zn_fmul(e, zn_join_lanes(e, part, zn_fadd), share));
    }
    zn_store1(e, zn_at(e, e->base[out], l.i), loss);
    zn_loop_end(e, &l, NULL);
}

typedef struct grad_ctx {
    zn_ll max, sum, own, other, r, label, out;
} grad_ctx;

static void grad_vector(zn_emit *e, grad_ctx *g, const classes *c, zn_ll j, int n) {
    zn_ll index[64];
    for (int i = 0; i < e->lanes; i++)
        index[i] = zn_i32(e, (uint32_t)i);
    zn_ll lanes = LLVMBuildAdd(e->b, zn_splat(e, LLVMBuildTrunc(e->b, j, e->i32, "")),
                               LLVMConstVector(index, (unsigned)e->lanes), "");
    zn_ll target = zn_select(e, LLVMBuildICmp(e->b, LLVMIntEQ, lanes, g->label, ""), g->own, g->other);
    zn_ll y = zn_fdiv(e, zn_exp(e, zn_fsub(e, zn_load(e, zn_at(e, c->x, j), n), g->max)), g->sum);
    zn_store(e, zn_at(e, g->out, j), zn_fmul(e, zn_fsub(e, y, target), g->r), n);
}

void zn_emit_cross_entropy_grad(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    double smoothing = zn_attr_of(v, CROSS_ENTROPY_GRAD, smoothing)->f;
    int out = zn_binding_of(e, ZN_BIND_OUT, v);
    int64_t batch = v->type.dim[0];
    zn_loop l;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    classes c = sample(e, l.i);
    softmax s = softmax_of(e, &c);
    grad_ctx g = {.max = zn_splat(e, s.max), .sum = zn_splat(e, s.sum)};
    g.other = zn_vconst(e, (float)(smoothing / (double)c.k));
    g.own = zn_vconst(e, (float)(1 - smoothing + smoothing / (double)c.k));
    g.r = zn_vconst(e, (float)(1 / (double)batch));
    g.label = zn_splat(e, LLVMBuildTrunc(e->b, label_of(e, 1, l.i), e->i32, ""));
    g.out = zn_at(e, e->base[out], zn_mul(e, l.i, c.k));
    int64_t whole = c.k / e->lanes * e->lanes;
    if (whole) {
        zn_loop lj;
        zn_loop_begin(e, &lj, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        grad_vector(e, &g, &c, lj.i, e->lanes);
        zn_loop_end(e, &lj, NULL);
    }
    if (whole < c.k)
        grad_vector(e, &g, &c, zn_i64(e, whole), (int)(c.k - whole));
    zn_loop_end(e, &l, NULL);
}

void zn_emit_one_hot(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int out = zn_binding_of(e, ZN_BIND_OUT, v);
    int64_t k = zn_type_channels(&v->type);
    zn_loop l, lj;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    zn_ll label = label_of(e, 0, l.i);
    zn_loop_begin(e, &lj, zn_i64(e, 0), zn_i64(e, k), 1, 0, NULL);
    zn_ll hit = LLVMBuildICmp(e->b, LLVMIntEQ, lj.i, label, "");
    zn_store1(e, zn_at(e, e->base[out], zn_add(e, zn_mul(e, l.i, k), lj.i)), LLVMBuildUIToFP(e->b, hit, e->f32, ""));
    zn_loop_end(e, &lj, NULL);
    zn_loop_end(e, &l, NULL);
}

void zn_emit_correct(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int out = zn_binding_of(e, ZN_BIND_OUT, v);
    zn_loop l, lj;
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    classes c = sample(e, l.i);
    zn_ll init[2] = {zn_load1(e, c.x), zn_i64(e, 0)};
    if (c.k > 1) {
        zn_loop_begin(e, &lj, zn_i64(e, 1), zn_i64(e, c.k), 1, 2, init);
        zn_ll x = zn_load1(e, zn_at(e, c.x, lj.i)), larger = zn_fcmp(e, LLVMRealOGT, x, lj.v[0]);
        zn_ll next[2] = {zn_select(e, larger, x, lj.v[0]), zn_select(e, larger, lj.i, lj.v[1])};
        zn_loop_end(e, &lj, next);
        init[1] = lj.v[1];
    }
    zn_ll hit = LLVMBuildICmp(e->b, LLVMIntEQ, init[1], label_of(e, 1, l.i), "");
    zn_store1(e, zn_at(e, e->base[out], l.i), LLVMBuildUIToFP(e->b, hit, e->f32, ""));
    zn_loop_end(e, &l, NULL);
}
