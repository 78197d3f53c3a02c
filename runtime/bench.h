/* How fast training steps run: no data set, no loader, no evaluation. */
#ifndef ZN_RUNTIME_BENCH_H
#define ZN_RUNTIME_BENCH_H

#include "runtime/abi.h"
#include "runtime/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct zn_rt_bench_options {
    int threads; /* 0 = as many as the process may use */
    double seconds;
    bool phases;     /* also measures every phase, for as long again */
    zn_kernel *peak; /* a kernel without buffers that only computes, of peak_flops a unit; NULL = none */
    int64_t peak_flops;
    double start; /* CLOCK_MONOTONIC: when the command began */
} zn_rt_bench_options;

typedef struct zn_rt_bench {
    int threads;
    int64_t steps;       /* that were measured */
    double median, best; /* seconds a step */
    double first_step;   /* seconds from `start` to the end of the first step */
    double peak_rate;    /* FLOP/s of the peak kernel; 0 = not measured */
    size_t planned_bytes, peak_bytes;
    double *phase; /* median seconds of every phase of the training step; NULL unless asked for */
} zn_rt_bench;

/* Sets everything up as a training program does, fills both batches with noise and trains. Returns 0 or an exit code.
 */
int zn_rt_bench_run(const zn_module_desc *m, const zn_rt_bench_options *o, zn_rt_bench *out, zn_rt_error *e);
void zn_rt_bench_free(zn_rt_bench *b);

#endif
