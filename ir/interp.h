/* The reference interpreter: what each operation means, in plain loops. Kernels are compared with it bit for bit
 * (but for OpenBLAS products). Slow on purpose; for tests and constant folding. */
#ifndef ZN_IR_INTERP_H
#define ZN_IR_INTERP_H

#include "ir/module.h"

/* Values of parameters and of a step's numbers. */
typedef struct zn_interp {
    zn_module *m;
    float **param;                                               /* one block per parameter, in order of the list */
    float lr, lr_until[ZN_MAX_FREEZE], correction1, correction2; /* ir/hypers.def */
    uint32_t epoch, position;
    uint64_t seed;
} zn_interp;

/* Parameters get their formulas' values with seed. Free with zn_interp_free. */
zn_interp zn_interp_new(zn_module *m, uint64_t seed);
void zn_interp_free(zn_interp *in);

/* Runs f on args (contiguous f32 or i32, as the argument's type says); stores take effect at the end.
 * Afterwards every value's data can be read by zn_interp_value until zn_interp_release(f).
 * False if the function holds an operation that has no meaning yet (none today). Denormals are flushed meanwhile. */
bool zn_interp_run(zn_interp *in, zn_func *f, const void *const *args);
const float *zn_interp_value(const zn_value *v);
void zn_interp_release(zn_func *f);

/* Evaluates one value whose operands' data are given: for constant folding and tests of single operations. */
void zn_interp_eval(const zn_interp *in, const zn_value *v, const void *const *operand, float *out);

#endif
