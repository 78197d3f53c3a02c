/* Shared emission: numbers, memory, vectors, loops, the frame of a kernel. See emit.h. */
#include "backend/emit.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "runtime/abi.h"
#include "support/ice.h"
#include "support/math.h"

static unsigned intrinsic(const char *name) {
    return LLVMLookupIntrinsicID(name, strlen(name));
}

static void set_lanes(zn_emit *e, int lanes) {
    e->lanes = lanes;
    e->vec = LLVMVectorType(e->f32, (unsigned)lanes);
    e->ivec = LLVMVectorType(e->i32, (unsigned)lanes);
}

void zn_emit_open(zn_emit *e, LLVMContextRef ctx, LLVMModuleRef mod, const zn_target *t) {
    *e = (zn_emit){.ctx = ctx, .mod = mod, .t = t, .lanes = t->lanes};
    e->b = LLVMCreateBuilderInContext(ctx);
    e->f32 = LLVMFloatTypeInContext(ctx);
    e->i1 = LLVMInt1TypeInContext(ctx);
    e->i8 = LLVMInt8TypeInContext(ctx);
    e->i32 = LLVMInt32TypeInContext(ctx);
    e->i64 = LLVMInt64TypeInContext(ctx);
    e->ptr = LLVMPointerTypeInContext(ctx, 0);
    e->voidt = LLVMVoidTypeInContext(ctx);
    set_lanes(e, t->lanes);
    e->fma_id = intrinsic("llvm.fma");
    e->sqrt_id = intrinsic("llvm.sqrt");
    e->masked_load_id = intrinsic("llvm.masked.load");
    e->masked_store_id = intrinsic("llvm.masked.store");
    e->prefetch_id = intrinsic("llvm.prefetch");
}

void zn_emit_close(zn_emit *e) {
    LLVMDisposeBuilder(e->b);
}

/* ---- numbers */

zn_ll zn_i64(const zn_emit *e, int64_t x) {
    return LLVMConstInt(e->i64, (unsigned long long)x, 1);
}
zn_ll zn_i32(const zn_emit *e, uint32_t x) {
    return LLVMConstInt(e->i32, x, 0);
}

static zn_ll splat_const(const zn_emit *e, zn_ll x) {
    zn_ll v[64];
    for (int i = 0; i < e->lanes; i++)
        v[i] = x;
    return LLVMConstVector(v, (unsigned)e->lanes);
}
zn_ll zn_vconst(const zn_emit *e, float x) {
    return splat_const(e, LLVMConstReal(e->f32, (double)x));
}
zn_ll zn_iconst(const zn_emit *e, uint32_t x) {
    return splat_const(e, zn_i32(e, x));
}

bool zn_is_const(zn_ll a, int64_t *k) {
    if (!LLVMIsAConstantInt(a))
        return false;
    *k = LLVMConstIntGetSExtValue(a);
    return true;
}

zn_ll zn_add(zn_emit *e, zn_ll a, zn_ll b) {
    int64_t x, y;
    if (zn_is_const(a, &x) && zn_is_const(b, &y))
        return zn_i64(e, x + y);
    if ((zn_is_const(a, &x) && !x) || (zn_is_const(b, &y) && !y))
        return zn_is_const(a, &x) ? b : a;
    return LLVMBuildNSWAdd(e->b, a, b, "");
}
zn_ll zn_addk(zn_emit *e, zn_ll a, int64_t k) {
    return zn_add(e, a, zn_i64(e, k));
}
zn_ll zn_sub(zn_emit *e, zn_ll a, zn_ll b) {
    int64_t k;
    if (zn_is_const(b, &k))
        return zn_addk(e, a, -k);
    return LLVMBuildNSWSub(e->b, a, b, "");
}
zn_ll zn_mul(zn_emit *e, zn_ll a, int64_t k) {
    int64_t x;
    if (zn_is_const(a, &x))
        return zn_i64(e, x * k);
    return k == 1 ? a : k == 0 ? zn_i64(e, 0) : LLVMBuildNSWMul(e->b, a, zn_i64(e, k), "");
}
static zn_ll pick(zn_emit *e, LLVMIntPredicate p, zn_ll a, zn_ll b) {
    int64_t x, y;
    if (zn_is_const(a, &x) && zn_is_const(b, &y))
        return (p == LLVMIntSLT) == (x < y) ? a : b;
    return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, p, a, b, ""), a, b, "");
}
zn_ll zn_min(zn_emit *e, zn_ll a, zn_ll b) {
    return pick(e, LLVMIntSLT, a, b);
}
zn_ll zn_max(zn_emit *e, zn_ll a, zn_ll b) {
    return pick(e, LLVMIntSGT, a, b);
}

/* ---- memory */

zn_ll zn_at(zn_emit *e, zn_ll base, zn_ll floats) {
    int64_t k;
    if (zn_is_const(floats, &k) && !k)
        return base;
    return LLVMBuildInBoundsGEP2(e->b, e->f32, base, &floats, 1, "");
}
zn_ll zn_atk(zn_emit *e, zn_ll base, int64_t floats) {
    return zn_at(e, base, zn_i64(e, floats));
}

static zn_ll mask(const zn_emit *e, int n) {
    zn_ll v[64];
    for (int i = 0; i < e->lanes; i++)
        v[i] = LLVMConstInt(e->i1, i < n, 0);
    return LLVMConstVector(v, (unsigned)e->lanes);
}

static zn_ll call_intrinsic(zn_emit *e, unsigned id, LLVMTypeRef *types, size_t ntypes, zn_ll *args, unsigned n) {
    zn_ll f = LLVMGetIntrinsicDeclaration(e->mod, id, types, ntypes);
    return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->ctx, id, types, ntypes), f, args, n, "");
}

zn_ll zn_load(zn_emit *e, zn_ll p, int n) {
    if (n == e->lanes) {
        zn_ll v = LLVMBuildLoad2(e->b, e->vec, p, "");
        LLVMSetAlignment(v, 4);
        return v;
    }
    zn_ll args[4] = {p, zn_i32(e, 4), mask(e, n), LLVMConstNull(e->vec)};
    return call_intrinsic(e, e->masked_load_id, (LLVMTypeRef[]){e->vec, e->ptr}, 2, args, 4);
}

void zn_store(zn_emit *e, zn_ll p, zn_ll v, int n) {
    if (n == e->lanes) {
        LLVMSetAlignment(LLVMBuildStore(e->b, v, p), 4);
        return;
    }
    zn_ll args[4] = {v, p, zn_i32(e, 4), mask(e, n)};
    call_intrinsic(e, e->masked_store_id, (LLVMTypeRef[]){e->vec, e->ptr}, 2, args, 4);
}

zn_ll zn_load1(zn_emit *e, zn_ll p) {
    zn_ll v = LLVMBuildLoad2(e->b, e->f32, p, "");
    LLVMSetAlignment(v, 4);
    return v;
}
void zn_store1(zn_emit *e, zn_ll p, zn_ll v) {
    LLVMSetAlignment(LLVMBuildStore(e->b, v, p), 4);
}

/* The canonical form, which instruction selection folds into a broadcast. */
zn_ll zn_splat(zn_emit *e, zn_ll x) {
    bool is_int = LLVMTypeOf(x) == e->i32;
    LLVMTypeRef type = is_int ? e->ivec : e->vec;
    zn_ll undef = LLVMGetPoison(type), one = LLVMBuildInsertElement(e->b, undef, x, zn_i32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, undef, LLVMConstNull(e->ivec), "");
}
zn_ll zn_load_splat(zn_emit *e, zn_ll p) {
    return zn_splat(e, zn_load1(e, p));
}

void zn_prefetch(zn_emit *e, zn_ll base, zn_ll floats, zn_distance distance, bool to_write) {
    zn_ll p = LLVMBuildGEP2(e->b, e->f32, base, &floats, 1, "");
    zn_ll args[4] = {p, zn_i32(e, to_write), zn_i32(e, distance), zn_i32(e, 1)};
    call_intrinsic(e, e->prefetch_id, &e->ptr, 1, args, 4);
}

static zn_ll arg_field(zn_emit *e, int64_t byte, LLVMTypeRef type) {
    zn_ll at = zn_i64(e, byte), p = LLVMBuildInBoundsGEP2(e->b, e->i8, e->args, &at, 1, "");
    return LLVMBuildLoad2(e->b, type, p, "");
}
zn_ll zn_arg_f32(zn_emit *e, int64_t byte) {
    return arg_field(e, byte, e->f32);
}
zn_ll zn_arg_i32(zn_emit *e, int64_t byte) {
    return arg_field(e, byte, e->i32);
}

/* ---- vectors */

zn_ll zn_fadd(zn_emit *e, zn_ll a, zn_ll b) {
    return LLVMBuildFAdd(e->b, a, b, "");
}
zn_ll zn_fsub(zn_emit *e, zn_ll a, zn_ll b) {
    return LLVMBuildFSub(e->b, a, b, "");
}
zn_ll zn_fmul(zn_emit *e, zn_ll a, zn_ll b) {
    return LLVMBuildFMul(e->b, a, b, "");
}
zn_ll zn_fdiv(zn_emit *e, zn_ll a, zn_ll b) {
    return LLVMBuildFDiv(e->b, a, b, "");
}
zn_ll zn_fneg(zn_emit *e, zn_ll a) {
    return LLVMBuildFNeg(e->b, a, "");
}
zn_ll zn_fma(zn_emit *e, zn_ll a, zn_ll b, zn_ll c) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return call_intrinsic(e, e->fma_id, &type, 1, (zn_ll[]){a, b, c}, 3);
}
zn_ll zn_sqrt(zn_emit *e, zn_ll a) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return call_intrinsic(e, e->sqrt_id, &type, 1, &a, 1);
}
zn_ll zn_tree_sum(zn_emit *e, zn_ll *v, int64_t n) {
    for (; n > 1; n = (n + 1) / 2) {
        for (int64_t i = 0; i < n / 2; i++)
            v[i] = zn_fadd(e, v[2 * i], v[2 * i + 1]);
        if (n % 2)
            v[n / 2] = v[n - 1];
    }
    return v[0];
}
zn_ll zn_select(zn_emit *e, zn_ll c, zn_ll a, zn_ll b) {
    return LLVMBuildSelect(e->b, c, a, b, "");
}
zn_ll zn_fcmp(zn_emit *e, LLVMRealPredicate p, zn_ll a, zn_ll b) {
    return LLVMBuildFCmp(e->b, p, a, b, "");
}

static bool is_vector(const zn_emit *e, zn_ll x) {
    return LLVMTypeOf(x) == e->vec;
}
static zn_ll like(const zn_emit *e, zn_ll x, float k) {
    return is_vector(e, x) ? zn_vconst(e, k) : LLVMConstReal(e->f32, (double)k);
}
static zn_ll ilike(const zn_emit *e, zn_ll x, uint32_t k) {
    return is_vector(e, x) ? zn_iconst(e, k) : zn_i32(e, k);
}
static zn_ll bits(zn_emit *e, zn_ll x) {
    return LLVMBuildBitCast(e->b, x, is_vector(e, x) ? e->ivec : e->i32, "");
}
static zn_ll floats(zn_emit *e, zn_ll like_this, zn_ll x) {
    return LLVMBuildBitCast(e->b, x, is_vector(e, like_this) ? e->vec : e->f32, "");
}

/* The sequence of zn_expf, step by step. */
zn_ll zn_exp(zn_emit *e, zn_ll x) {
    zn_ll lo = like(e, x, ZN_EXP_MIN), hi = like(e, x, ZN_EXP_MAX), magic = like(e, x, 12582912.0f);
    x = zn_select(e, zn_fcmp(e, LLVMRealOLT, x, lo), lo, x);
    x = zn_select(e, zn_fcmp(e, LLVMRealOGT, x, hi), hi, x);
    zn_ll t = zn_fadd(e, zn_fmul(e, x, like(e, x, ZN_EXP_LOG2E)), magic), n = zn_fneg(e, zn_fsub(e, t, magic));
    zn_ll r = zn_fma(e, n, like(e, x, ZN_EXP_LN2_HI), x);
    r = zn_fma(e, n, like(e, x, ZN_EXP_LN2_LO), r);
    static const float c[] = {ZN_EXP_P4, ZN_EXP_P3, ZN_EXP_P2, ZN_EXP_P1, ZN_EXP_P0};
    zn_ll p = like(e, x, ZN_EXP_P5);
    for (int i = 0; i < 5; i++)
        p = zn_fma(e, p, r, like(e, x, c[i]));
    p = zn_fmul(e, p, r);
    zn_ll y = zn_fadd(e, zn_fma(e, p, r, r), like(e, x, 1));
    zn_ll k = LLVMBuildSub(e->b, bits(e, t), bits(e, magic), "");
    k = LLVMBuildShl(e->b, LLVMBuildAdd(e->b, k, ilike(e, x, 127), ""), ilike(e, x, 23), "");
    return zn_fmul(e, y, floats(e, x, k));
}

/* The sequence of zn_logf. */
zn_ll zn_log(zn_emit *e, zn_ll x) {
    zn_ll u = bits(e, x);
    zn_ll n = LLVMBuildAShr(e->b, LLVMBuildSub(e->b, u, ilike(e, x, 0x3f3504f3u), ""), ilike(e, x, 23), "");
    zn_ll m = floats(e, x, LLVMBuildSub(e->b, u, LLVMBuildShl(e->b, n, ilike(e, x, 23), ""), ""));
    zn_ll ef = LLVMBuildSIToFP(e->b, n, is_vector(e, x) ? e->vec : e->f32, "");
    m = zn_fsub(e, m, like(e, x, 1));
    zn_ll z = zn_fmul(e, m, m), p = like(e, x, ZN_LOG_L0);
    static const float c[] = {ZN_LOG_L1, ZN_LOG_L2, ZN_LOG_L3, ZN_LOG_L4, ZN_LOG_L5, ZN_LOG_L6, ZN_LOG_L7, ZN_LOG_L8};
    for (int i = 0; i < 8; i++)
        p = zn_fma(e, p, m, like(e, x, c[i]));
    zn_ll y = zn_fmul(e, zn_fmul(e, m, z), p);
    y = zn_fma(e, ef, like(e, x, ZN_EXP_LN2_LO), y);
    y = zn_fma(e, like(e, x, -0.5f), z, y);
    y = zn_fadd(e, m, y);
    y = zn_fma(e, ef, like(e, x, ZN_EXP_LN2_HI), y);
    return zn_select(e, zn_fcmp(e, LLVMRealOLT, x, like(e, x, INFINITY)), y, x);
}

static zn_ll magnitude(zn_emit *e, zn_ll x) {
    return floats(e, x, LLVMBuildAnd(e->b, bits(e, x), ilike(e, x, 0x7fffffffu), ""));
}
static zn_ll with_sign_of(zn_emit *e, zn_ll size, zn_ll x) {
    zn_ll sign = LLVMBuildAnd(e->b, bits(e, x), ilike(e, x, 0x80000000u), "");
    return floats(e, x, LLVMBuildOr(e->b, bits(e, size), sign, ""));
}
static zn_ll horner(zn_emit *e, zn_ll p, zn_ll x, const float *c, int n) {
    for (int i = 0; i < n; i++)
        p = zn_fma(e, p, x, like(e, x, c[i]));
    return p;
}

/* The sequence of zn_tanhf. */
zn_ll zn_tanh(zn_emit *e, zn_ll x) {
    static const float c[] = {ZN_TANH_T1, ZN_TANH_T2, ZN_TANH_T3, ZN_TANH_T4};
    zn_ll t = magnitude(e, x), z = zn_fmul(e, x, x), one = like(e, x, 1);
    zn_ll near = zn_fma(e, zn_fmul(e, horner(e, like(e, x, ZN_TANH_T0), z, c, 4), z), x, x);
    zn_ll far = zn_fsub(e, one, zn_fdiv(e, like(e, x, 2), zn_fadd(e, zn_exp(e, zn_fadd(e, t, t)), one)));
    return with_sign_of(e, zn_select(e, zn_fcmp(e, LLVMRealOLT, t, like(e, x, ZN_TANH_BOUND)), near, far), x);
}

/* The sequence of zn_erff. */
zn_ll zn_erf(zn_emit *e, zn_ll x) {
    static const float a[] = {ZN_ERF_A1, ZN_ERF_A2, ZN_ERF_A3, ZN_ERF_A4, ZN_ERF_A5},
                       b[] = {ZN_ERF_B4, ZN_ERF_B5, ZN_ERF_B6};
    zn_ll t = magnitude(e, x), s = zn_fmul(e, x, x);
    zn_ll near = zn_fma(e, horner(e, like(e, x, ZN_ERF_A0), s, a, 5), x, x);
    zn_ll r = zn_fma(e, like(e, x, ZN_ERF_B0), t, like(e, x, ZN_ERF_B1));
    zn_ll u = zn_fma(e, like(e, x, ZN_ERF_B2), t, like(e, x, ZN_ERF_B3));
    r = zn_fma(e, horner(e, zn_fma(e, r, s, u), t, b, 3), t, zn_fneg(e, t));
    zn_ll far = zn_fsub(e, like(e, x, 1), zn_exp(e, r));
    return zn_select(e, zn_fcmp(e, LLVMRealOGT, t, like(e, x, ZN_ERF_BOUND)), with_sign_of(e, far, x), near);
}

/* Philox4x32-10 with counter (c0, c1, c2, 0): support/philox.c. */
zn_ll zn_philox_word(zn_emit *e, zn_ll k0, zn_ll k1, zn_ll c0, zn_ll c1, zn_ll c2) {
    LLVMTypeRef wide = LLVMVectorType(e->i64, (unsigned)e->lanes);
    zn_ll c[4] = {c0, c1, c2, zn_iconst(e, 0)};
    zn_ll s32[64];
    for (int i = 0; i < e->lanes; i++)
        s32[i] = zn_i64(e, 32);
    zn_ll shift = LLVMConstVector(s32, (unsigned)e->lanes);
    static const uint32_t mul[2] = {0xD2511F53u, 0xCD9E8D57u};
    for (int round = 0; round < 10; round++) {
        zn_ll hi[2], lo[2];
        for (int i = 0; i < 2; i++) {
            zn_ll a = LLVMBuildZExt(e->b, c[2 * i], wide, ""), k = LLVMBuildZExt(e->b, zn_iconst(e, mul[i]), wide, "");
            zn_ll p = LLVMBuildMul(e->b, a, k, "");
            lo[i] = LLVMBuildTrunc(e->b, p, e->ivec, "");
            hi[i] = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, p, shift, ""), e->ivec, "");
        }
        zn_ll n0 = LLVMBuildXor(e->b, LLVMBuildXor(e->b, hi[1], c[1], ""), k0, "");
        zn_ll n2 = LLVMBuildXor(e->b, LLVMBuildXor(e->b, hi[0], c[3], ""), k1, "");
        c[0] = n0;
        c[1] = lo[1];
        c[2] = n2;
        c[3] = lo[0];
        k0 = LLVMBuildAdd(e->b, k0, zn_iconst(e, 0x9E3779B9u), "");
        k1 = LLVMBuildAdd(e->b, k1, zn_iconst(e, 0xBB67AE85u), "");
    }
    return c[0];
}

/* ---- control */

static LLVMBasicBlockRef block(const zn_emit *e, const char *name) {
    return LLVMAppendBasicBlockInContext(e->ctx, e->fn, name);
}

void zn_loop_begin(zn_emit *e, zn_loop *l, zn_ll lo, zn_ll hi, int64_t step, int n, const zn_ll *init) {
    int64_t a, b;
    ZN_ASSERT(n <= ZN_MAX_CARRIED);
    l->n = n;
    l->hi = hi;
    l->step = step;
    l->guarded = !(zn_is_const(lo, &a) && zn_is_const(hi, &b) && a < b);
    l->pre = LLVMGetInsertBlock(e->b);
    l->body = block(e, "loop");
    l->exit = block(e, "done");
    for (int i = 0; i < n; i++)
        l->init[i] = init[i];
    if (l->guarded)
        LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, lo, hi, ""), l->body, l->exit);
    else
        LLVMBuildBr(e->b, l->body);
    LLVMPositionBuilderAtEnd(e->b, l->body);
    l->phi_i = l->i = LLVMBuildPhi(e->b, e->i64, "i");
    LLVMAddIncoming(l->phi_i, &lo, &l->pre, 1);
    for (int i = 0; i < n; i++) {
        l->phi[i] = l->v[i] = LLVMBuildPhi(e->b, LLVMTypeOf(init[i]), "");
        LLVMAddIncoming(l->phi[i], &l->init[i], &l->pre, 1);
    }
}

void zn_loop_end(zn_emit *e, zn_loop *l, const zn_ll *next) {
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    zn_ll step = LLVMBuildNSWAdd(e->b, l->phi_i, zn_i64(e, l->step), "");
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, step, l->hi, ""), l->body, l->exit);
    LLVMAddIncoming(l->phi_i, &step, &latch, 1);
    for (int i = 0; i < l->n; i++)
        LLVMAddIncoming(l->phi[i], (zn_ll *)&next[i], &latch, 1);
    LLVMPositionBuilderAtEnd(e->b, l->exit);
    for (int i = 0; i < l->n; i++) {
        zn_ll phi = LLVMBuildPhi(e->b, LLVMTypeOf(next[i]), "");
        LLVMAddIncoming(phi, (zn_ll *)&next[i], &latch, 1);
        if (l->guarded)
            LLVMAddIncoming(phi, &l->init[i], &l->pre, 1);
        l->v[i] = phi;
    }
}

void zn_if_begin(zn_emit *e, zn_if *s, zn_ll cond) {
    s->yes = block(e, "then");
    s->out = block(e, "end");
    LLVMBuildCondBr(e->b, cond, s->yes, s->out);
    LLVMPositionBuilderAtEnd(e->b, s->yes);
}

void zn_if_end(zn_emit *e, zn_if *s) {
    LLVMBuildBr(e->b, s->out);
    LLVMPositionBuilderAtEnd(e->b, s->out);
}

/* ---- bindings */

int zn_binding_of(const zn_emit *e, zn_binding_kind kind, const zn_value *v) {
    for (size_t i = 0; i < e->k->bindings.n; i++)
        if (e->k->bindings.at[i].value == v && e->k->bindings.at[i].kind == kind)
            return (int)i;
    return -1;
}

int zn_binding_temp(const zn_emit *e, const char *name, int nth) {
    for (size_t i = 0; i < e->k->bindings.n; i++)
        if (e->k->bindings.at[i].temp && !strcmp(e->k->bindings.at[i].temp, name) && nth-- == 0)
            return (int)i;
    return -1;
}

zn_ll zn_row_ptr(zn_emit *e, int binding, zn_ll n, zn_ll h) {
    const zn_binding *b = &e->k->bindings.at[binding];
    zn_ll at = zn_mul(e, n, zn_layout_image(&b->type, &b->layout));
    if (b->type.rank >= 3)
        at = zn_add(e, at, zn_mul(e, h, zn_layout_row(&b->type, &b->layout)));
    return zn_at(e, e->base[binding], zn_addk(e, at, zn_layout_first(&b->type, &b->layout)));
}

int zn_tile_rows(const zn_emit *e, int vecs) {
    int free = e->t->registers - 1 - vecs; /* one broadcast, the vectors of outputs */
    int rows = free / vecs;
    return rows > 14 ? 14 : rows;
}

void zn_emit_none(zn_emit *e) {
    ZN_ICE("%s is a function of the runtime", e->k->name);
}

/* ---- the frame of a kernel */

static zn_emit_fn *const emitters[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = zn_emit_##emit,
#include "ir/kernels.def"
};

static void set_string_attribute(zn_emit *e, const char *name, const char *value) {
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(e->ctx, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static const char *const family_names[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = name,
#include "ir/kernels.def"
};

/* FNV-1a of the key: equal kernels of different plans have one name, and with it one object. */
void zn_kernel_symbol(const zn_kernel_plan *k, char out[ZN_SYMBOL_MAX]) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *p = k->key; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    snprintf(out, ZN_SYMBOL_MAX, "zn_%s_%016llx", family_names[k->family], (unsigned long long)h);
}

void zn_emit_frame(zn_emit *e, const char *symbol) {
    LLVMTypeRef params[5] = {e->ptr, e->ptr, e->i64, e->i64, e->ptr};
    e->fn = LLVMAddFunction(e->mod, symbol, LLVMFunctionType(e->voidt, params, 5, 0));
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->ctx, nounwind, 0));
    set_string_attribute(e, "target-cpu", e->t->cpu);
    set_string_attribute(e, "target-features", e->t->features);
    if (e->lanes > 4)
        set_string_attribute(e, "prefer-vector-width", e->lanes == 16 ? "512" : "256");
    if (e->lanes == 16)
        set_string_attribute(e, "min-legal-vector-width", "512");
    LLVMPositionBuilderAtEnd(e->b, block(e, "entry"));
    e->args = LLVMGetParam(e->fn, 1);
    e->begin = LLVMGetParam(e->fn, 2);
    e->end = LLVMGetParam(e->fn, 3);
    e->scratch = LLVMGetParam(e->fn, 4);
}

/* Outputs from which half a vector left empty is too small a part to be worth shorter vectors: with 136 they gain 5 %
 * on Zen 4, with 200 they lose 10 %; with 24 they gain 50 %. */
enum { WIDE = 144 };

/* Lanes for kernel k: of a convolution whose outputs would leave half a vector empty, half of what the processor has,
 * if it loses nothing by that. No bit depends on it. Kernels of one convolution that share transformed memory agree. */
static int lanes_of(const zn_emit *e, const zn_kernel_plan *k) {
    static const bool over_outputs[ZN_KERNEL_COUNT] = {[ZN_KERNEL_WINO_WEIGHTS] = true,
                                                       [ZN_KERNEL_WINO_CONV] = true,
                                                       [ZN_KERNEL_WINO_GRAD_W] = true,
                                                       [ZN_KERNEL_WINO_JOIN] = true};
    const zn_value *v = k->group->anchor;
    if (!e->t->halves || !over_outputs[k->family])
        return e->t->lanes;
    int64_t outputs = zn_type_channels(&v->type), half = e->t->lanes / 2, rest = outputs % e->t->lanes;
    return rest && rest <= half && outputs < WIDE ? (int)half : e->t->lanes;
}

void zn_emit_kernel(zn_emit *e, const zn_kernel_plan *k) {
    char symbol[ZN_SYMBOL_MAX];
    ZN_ASSERT(k->bindings.n <= ZN_MAX_BINDINGS);
    zn_kernel_symbol(k, symbol);
    e->k = k;
    set_lanes(e, lanes_of(e, k));
    zn_emit_frame(e, symbol);
    _Static_assert(offsetof(zn_step, buf) == 0, "kernels find the table of addresses at the start of a step");
    zn_ll table = LLVMBuildLoad2(e->b, e->ptr, LLVMGetParam(e->fn, 0), "buffers");
    for (size_t i = 0; i < k->bindings.n; i++) {
        zn_ll at = zn_i64(e, (int64_t)i);
        e->base[i] = LLVMBuildLoad2(e->b, e->ptr, LLVMBuildInBoundsGEP2(e->b, e->ptr, table, &at, 1, ""), "");
    }
    emitters[k->family](e);
    LLVMBuildRetVoid(e->b);
}
