/* A kernel that does nothing but fused multiply-adds: what the machine can do, measured by the code generator that
 * makes all other kernels. One unit is ZN_PEAK_STEPS steps of every chain; there are as many chains as registers allow,
 * more than any processor's latency times its units needs. */
#include "backend/backend.h"
#include "backend/emit.h"

static int chains(const zn_target *t) {
    return t->registers - 8;
}

int64_t zn_peak_flops(const zn_target *t) {
    return (int64_t)2 * t->lanes * chains(t) * ZN_PEAK_STEPS;
}

void zn_emit_peak(zn_emit *e) {
    zn_emit_frame(e, ZN_PEAK_SYMBOL);
    zn_ll x = zn_load_splat(e, e->scratch), y = zn_load_splat(e, zn_atk(e, e->scratch, 1)); /* of any value */
    zn_ll init[ZN_MAX_CARRIED], next[ZN_MAX_CARRIED];
    zn_loop unit, step;
    int n = chains(e->t);
    for (int i = 0; i < n; i++)
        init[i] = zn_vconst(e, (float)i);
    zn_loop_begin(e, &unit, e->begin, e->end, 1, n, init);
    zn_loop_begin(e, &step, zn_i64(e, 0), zn_i64(e, ZN_PEAK_STEPS), 1, n, unit.v);
    for (int i = 0; i < n; i++)
        next[i] = zn_fma(e, step.v[i], x, y);
    zn_loop_end(e, &step, next);
    zn_loop_end(e, &unit, step.v);
    zn_ll sum = unit.v[0]; /* a use of every chain, so that none of it is dead */
    for (int i = 1; i < n; i++)
        sum = zn_fadd(e, sum, unit.v[i]);
    zn_store(e, e->scratch, sum, e->lanes);
    LLVMBuildRetVoid(e->b);
}
