/* `znetc bench`: what was measured, as tables or as JSON. */
#ifndef ZN_DRIVER_BENCH_H
#define ZN_DRIVER_BENCH_H

#include "ir/plan.h"
#include "runtime/bench.h"

/* b->phase may be NULL: no table of kernels then. */
void zn_bench_print(const zn_plan *plan, const zn_rt_bench *b, zn_buf *out);
void zn_bench_json(const zn_plan *plan, const zn_rt_bench *b, zn_buf *out);

#endif
