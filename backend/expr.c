/* Elementwise values: one function per name in column `eval` of the map operations in ir/ops.def.
 *
 * Each function computes the same sequence of roundings as its twin in ir/interp.c. What depends on the channel only is
 * loaded and prepared once (invariants), outside the loops over positions. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "backend/emit.h"
#include "runtime/abi.h"
#include "support/ice.h"
#include "support/math.h"
#include "support/philox.h"

typedef zn_ll expr_fn(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p);

#define UNUSED (void)e, (void)v, (void)inv, (void)p

static zn_ll expr_bias(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fadd(e, x[0], inv[0]);
}
static zn_ll expr_relu(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll zero = zn_vconst(e, 0);
    return zn_select(e, zn_fcmp(e, LLVMRealOLT, x[0], zero), zero, x[0]);
}
static zn_ll expr_relu_grad(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll zero = zn_vconst(e, 0);
    bool one = zn_attr_of(v, RELU_GRAD, at_zero)->i;
    return zn_select(e, zn_fcmp(e, one ? LLVMRealOLT : LLVMRealOLE, x[1], zero), zero, x[0]);
}
static zn_ll expr_add(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fadd(e, x[0], x[1]);
}
static zn_ll expr_sub(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fsub(e, x[0], x[1]);
}
static zn_ll expr_mul(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fmul(e, x[0], x[1]);
}
static zn_ll expr_mul_const(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fmul(e, x[0], zn_vconst(e, (float)zn_attr_of(v, MUL_CONST, value)->f));
}
static zn_ll expr_add_const(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fadd(e, x[0], zn_vconst(e, (float)zn_attr_of(v, ADD_CONST, value)->f));
}
static zn_ll expr_div(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fdiv(e, x[0], x[1]);
}
static zn_ll expr_max(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll more = zn_fcmp(e, LLVMRealOGT, x[0], x[1]), nan = zn_fcmp(e, LLVMRealUNO, x[0], x[0]);
    return zn_select(e, LLVMBuildOr(e->b, more, nan, ""), x[0], x[1]);
}
static zn_ll expr_neg(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fneg(e, x[0]);
}
static zn_ll expr_sqrt(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_sqrt(e, x[0]);
}
static zn_ll expr_exp(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_exp(e, x[0]);
}
static zn_ll expr_log(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll zero = zn_vconst(e, 0),
          y = zn_select(e, zn_fcmp(e, LLVMRealOEQ, x[0], zero), zn_vconst(e, -INFINITY), zn_vconst(e, NAN));
    return zn_select(e, zn_fcmp(e, LLVMRealOGT, x[0], zero), zn_log(e, x[0]), y);
}
static zn_ll expr_tanh(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_tanh(e, x[0]);
}
static zn_ll expr_erf(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_erf(e, x[0]);
}
static zn_ll gelu_share(zn_emit *e, zn_ll t) {
    return zn_fmul(e, zn_fadd(e, zn_erf(e, t), zn_vconst(e, 1)), zn_vconst(e, 0.5f));
}
static zn_ll expr_gelu(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fmul(e, x[0], gelu_share(e, zn_fmul(e, x[0], zn_vconst(e, ZN_SQRT_HALF))));
}
static zn_ll expr_gelu_grad(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll t = zn_fmul(e, x[1], zn_vconst(e, ZN_SQRT_HALF));
    zn_ll density = zn_fmul(e, zn_exp(e, zn_fneg(e, zn_fmul(e, t, t))), zn_vconst(e, ZN_NORMAL_DENSITY));
    return zn_fmul(e, x[0], zn_fma(e, x[1], density, gelu_share(e, t)));
}
static zn_ll expr_select(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_select(e, zn_fcmp(e, LLVMRealOLT, x[0], x[1]), x[2], x[3]);
}
static zn_ll expr_mask(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll less = zn_fcmp(e, LLVMRealOLT, x[0], x[1]), zero = zn_vconst(e, 0);
    return zn_attr_of(v, MASK, inverted)->i ? zn_select(e, less, zero, x[2]) : zn_select(e, less, x[2], zero);
}
static zn_ll expr_scale(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fmul(e, x[0], inv[0]);
}
static zn_ll expr_channel_scale(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    return expr_scale(e, v, x, inv, p);
}
static zn_ll expr_shift(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    return expr_bias(e, v, x, inv, p);
}
/* inv: mean, inv * scale, bias */
static zn_ll expr_bn_norm(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    return zn_fma(e, zn_fsub(e, x[0], inv[0]), inv[1], inv[2]);
}
static zn_ll expr_bn_infer(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    return expr_bn_norm(e, v, x, inv, p);
}
/* inv: mean, inv, scale * inv, sum dy / count, sum dy xhat / count */
static zn_ll expr_bn_grad_x(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    zn_ll xhat = zn_fmul(e, zn_fsub(e, x[1], inv[0]), inv[1]);
    return zn_fmul(e, inv[2], zn_fma(e, zn_fneg(e, xhat), inv[4], zn_fsub(e, x[0], inv[3])));
}

static zn_ll expr_dropout_mask(zn_emit *e, const zn_value *v, const zn_ll *x, const zn_ll *inv, const zn_point *p) {
    UNUSED;
    float drop = (float)zn_attr_of(v, DROPOUT_MASK, p)->f, k = (float)(1 / (1 - zn_attr_of(v, DROPOUT_MASK, p)->f));
    uint32_t salt = zn_philox_salt(ZN_PURPOSE_DROPOUT, zn_attr_of(v, DROPOUT_MASK, layer)->s);
    zn_ll k0 = zn_splat(e, zn_arg_i32(e, offsetof(zn_args, seed_lo)));
    zn_ll k1 = zn_splat(e, LLVMBuildXor(e->b, zn_arg_i32(e, offsetof(zn_args, seed_hi)), zn_i32(e, salt), ""));
    zn_ll lane[64];
    for (int i = 0; i < e->lanes; i++)
        lane[i] = zn_i32(e, (uint32_t)i);
    zn_ll element = LLVMBuildTrunc(e->b, zn_add(e, p->element, p->offset), e->i32, "");
    zn_ll c0 = LLVMBuildAdd(e->b, zn_splat(e, element), LLVMConstVector(lane, (unsigned)e->lanes), "");
    zn_ll sample = LLVMBuildTrunc(e->b, p->image, e->i32, "");
    zn_ll c1 = zn_splat(e, LLVMBuildAdd(e->b, zn_arg_i32(e, offsetof(zn_args, position)), sample, ""));
    zn_ll c2 = zn_splat(e, zn_arg_i32(e, offsetof(zn_args, epoch)));
    zn_ll w = LLVMBuildLShr(e->b, zn_philox_word(e, k0, k1, c0, c1, c2), zn_iconst(e, 8), "");
    zn_ll unit = zn_fmul(e, LLVMBuildSIToFP(e->b, w, e->vec, ""), zn_vconst(e, 0x1p-24f));
    zn_ll gone = zn_fcmp(e, LLVMRealOLT, unit, zn_vconst(e, drop));
    return zn_select(e, gone, zn_vconst(e, 0), zn_fmul(e, x[0], zn_vconst(e, k)));
}

static expr_fn *const expr_table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc)
#define ZN_MAP_OP(ID, text, n, traits, infer, grad, proof, eval, doc) [ZN_OP_##ID] = expr_##eval,
#include "ir/ops.def"
};

static bool is_map(const zn_value *v) {
    return zn_op_table[v->op].traits & ZN_T_MAP;
}

bool zn_group_has_channels(const zn_group *g) {
    for (size_t i = 0; i < g->values.n; i++)
        for (int j = 0; is_map(g->values.at[i]) && j < g->values.at[i]->noperands; j++)
            if (zn_map_access(g->values.at[i]->op, j) == ZN_ACCESS_CHANNEL)
                return true;
    return false;
}

static zn_ll channel_load(zn_emit *e, const zn_value *operand, int64_t row, zn_ll c, int lanes) {
    int b = zn_binding_of(e, ZN_BIND_IN, operand);
    ZN_ASSERT(b >= 0);
    return zn_load(e, zn_at(e, e->base[b], zn_addk(e, c, row * zn_type_channels(&operand->type))), lanes);
}

static const int64_t hyper_offset[ZN_HYPER_COUNT] = {
#define ZN_HYPER(ID, text, field, doc) [ZN_HYPER_##ID] = offsetof(zn_args, field),
#include "ir/hypers.def"
};

static void hoist_value(zn_emit *e, const zn_value *v, zn_ll *inv, zn_ll c, int lanes) {
    zn_value **o = v->operand;
    switch (v->op) {
    case ZN_OP_BIAS:
    case ZN_OP_CHANNEL_SCALE:
        inv[0] = channel_load(e, o[1], 0, c, lanes);
        break;
    case ZN_OP_BN_NORM:
        inv[0] = channel_load(e, o[1], 0, c, lanes);
        inv[1] = zn_fmul(e, channel_load(e, o[1], 2, c, lanes), channel_load(e, o[2], 0, c, lanes));
        inv[2] = channel_load(e, o[3], 0, c, lanes);
        break;
    case ZN_OP_BN_INFER: {
        zn_ll var =
            zn_fadd(e, channel_load(e, o[4], 0, c, lanes), zn_vconst(e, (float)zn_attr_of(v, BN_INFER, eps)->f));
        zn_ll root = zn_fdiv(e, zn_vconst(e, 1), zn_sqrt(e, var));
        inv[0] = channel_load(e, o[3], 0, c, lanes);
        inv[1] = zn_fmul(e, root, channel_load(e, o[1], 0, c, lanes));
        inv[2] = channel_load(e, o[2], 0, c, lanes);
        break;
    }
    case ZN_OP_BN_GRAD_X: {
        zn_ll r = zn_vconst(e, (float)(1 / (double)(zn_type_count(&v->type) / zn_type_channels(&v->type))));
        inv[0] = channel_load(e, o[2], 0, c, lanes);
        inv[1] = channel_load(e, o[2], 2, c, lanes);
        inv[2] = zn_fmul(e, channel_load(e, o[4], 0, c, lanes), inv[1]);
        inv[3] = zn_fmul(e, channel_load(e, o[3], 0, c, lanes), r);
        inv[4] = zn_fmul(e, channel_load(e, o[3], 1, c, lanes), r);
        break;
    }
    case ZN_OP_SCALE:
    case ZN_OP_SHIFT:
        if (o[1]->op == ZN_OP_HYPER) {
            inv[0] = zn_splat(e, zn_arg_f32(e, hyper_offset[zn_hyper_find(zn_attr_of(o[1], HYPER, name)->s)]));
        } else {
            int b = zn_binding_of(e, ZN_BIND_IN, o[1]);
            ZN_ASSERT(b >= 0);
            inv[0] = zn_load_splat(e, e->base[b]);
        }
        break;
    default:
        break;
    }
}

void zn_hoist(zn_emit *e, zn_invariants *inv, zn_ll c, int lanes) {
    const zn_group *g = e->k->group;
    ZN_ASSERT(g->values.n <= sizeof inv->v / sizeof *inv->v);
    for (size_t i = 0; i < g->values.n; i++)
        if (is_map(g->values.at[i]) && !zn_group_loads_through(g, g->values.at[i]))
            hoist_value(e, g->values.at[i], inv->v[i], c, lanes);
}

bool zn_loads_through(const zn_emit *e) {
    const zn_group *g = e->k->group;
    return zn_group_loaded(g) != g->anchor->operand[0];
}

void zn_hoist_loads(zn_emit *e, zn_invariants *inv, zn_ll c, int lanes) {
    const zn_group *g = e->k->group;
    for (size_t i = 0; i < g->values.n; i++)
        if (zn_group_loads_through(g, g->values.at[i]))
            hoist_value(e, g->values.at[i], inv->v[i], c, lanes);
}

zn_ll zn_emit_load_through(zn_emit *e, const zn_invariants *inv, zn_ll x) {
    const zn_group *g = e->k->group;
    zn_point p = {0};
    for (size_t i = 0; i < g->values.n; i++) /* in order: each works on the one before */
        if (zn_group_loads_through(g, g->values.at[i]))
            x = expr_table[g->values.at[i]->op](e, g->values.at[i], &x, inv->v[i], &p);
    return x;
}

/* Is binding b met element for element by a map value of the group (or is it a result of the group's shape)? */
static bool met_full(const zn_emit *e, const zn_binding *b) {
    const zn_group *g = e->k->group;
    if (!b->value)
        return false;
    if (b->kind == ZN_BIND_OUT)
        return true;
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *v = g->values.at[i];
        for (int j = 0; is_map(v) && !zn_group_loads_through(g, v) && j < v->noperands; j++)
            if (v->operand[j] == b->value && zn_map_access(v->op, j) == ZN_ACCESS_FULL)
                return true;
    }
    return false;
}

void zn_point_row(zn_emit *e, zn_point *p, zn_ll n, zn_ll h) {
    int64_t row = 0;
    for (size_t i = 0; i < e->k->bindings.n; i++) {
        const zn_binding *b = &e->k->bindings.at[i];
        p->row[i] = met_full(e, b) ? zn_row_ptr(e, (int)i, n, h) : NULL;
        if (b->kind == ZN_BIND_OUT && b->value && b->type.rank == 4)
            row = b->type.dim[2] * b->type.dim[3];
    }
    p->image = n;
    p->element = zn_mul(e, h, row);
}

void zn_point_flat(zn_emit *e, zn_point *p) {
    for (size_t i = 0; i < e->k->bindings.n; i++)
        p->row[i] = met_full(e, &e->k->bindings.at[i]) ? e->base[i] : NULL;
    p->image = p->element = zn_i64(e, 0);
}

void zn_emit_values(zn_emit *e, const zn_point *p, const zn_invariants *inv, zn_ll anchor) {
    const zn_group *g = e->k->group;
    zn_ll done[64] = {0}, loaded[ZN_MAX_BINDINGS] = {0};
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *v = g->values.at[i];
        if (v == g->anchor && anchor) {
            done[i] = anchor;
            continue;
        }
        if (!is_map(v) || zn_group_loads_through(g, v))
            continue;
        zn_ll x[8] = {0};
        for (int j = 0; j < v->noperands; j++) {
            if (zn_map_access(v->op, j) != ZN_ACCESS_FULL)
                continue;
            for (size_t q = 0; q < i && !x[j]; q++)
                if (g->values.at[q] == v->operand[j])
                    x[j] = done[q];
            if (x[j])
                continue;
            int b = zn_binding_of(e, ZN_BIND_IN, v->operand[j]);
            ZN_ASSERT(b >= 0);
            if (!loaded[b])
                loaded[b] = zn_load(e, zn_at(e, p->row[b], p->offset), p->lanes);
            x[j] = loaded[b];
        }
        done[i] = expr_table[v->op](e, v, x, inv->v[i], p);
    }
    for (size_t i = 0; i < g->values.n; i++) {
        int b = done[i] ? zn_binding_of(e, ZN_BIND_OUT, g->values.at[i]) : -1;
        if (b >= 0)
            zn_store(e, zn_at(e, p->row[b], p->offset), done[i], p->lanes);
    }
}

bool zn_values_are_long(const zn_emit *e) {
    const zn_group *g = e->k->group;
    for (size_t i = 0; i < g->values.n; i++)
        if (is_map(g->values.at[i]) && !zn_group_loads_through(g, g->values.at[i]) &&
            zn_op_table[g->values.at[i]->op].traits & ZN_T_LONG)
            return true;
    return false;
}

void zn_prefetch_values(zn_emit *e, const zn_point *p) {
    for (size_t i = 0; i < e->k->bindings.n; i++)
        if (p->row[i])
            zn_prefetch(e, p->row[i], p->offset, ZN_NEAR, e->k->bindings.at[i].kind == ZN_BIND_OUT);
}
