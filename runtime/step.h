/* Running a program's phases, and finding where a value stopped being finite. */
#ifndef ZN_RUNTIME_STEP_H
#define ZN_RUNTIME_STEP_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/memory.h"
#include "runtime/pool.h"

typedef struct zn_rt_engine {
    const zn_module_desc *m;
    const zn_rt_memory *mem;
    zn_rt_pool *pool;
} zn_rt_engine;

const zn_program *zn_rt_program(const zn_rt_engine *g, zn_rt_which which);
/* Phases [first, last), in order. */
void zn_rt_run_phases(const zn_rt_engine *g, zn_rt_which which, int batch, const zn_args *args, uint64_t first,
                      uint64_t last);
/* Sum of the first n losses in double precision, in order of samples. */
double zn_rt_loss_sum(const zn_rt_engine *g, zn_rt_which which, int batch, int64_t n);
int64_t zn_rt_correct_count(const zn_rt_engine *g, zn_rt_which which, int batch, int64_t n);

/* Numbers that the network gives for a sample; below 1 where it gives images. */
int64_t zn_rt_output_count(const zn_module_desc *m);
/* Those of the samples of batch copy `batch`, in rows, after the evaluation has run. NULL: it does not keep them. */
const float *zn_rt_output_rows(const zn_rt_engine *g, int batch);

/* After a message that a loss is not finite: runs the phases that led to it again (those of a training step that write
 * no parameter), one at a time, and adds the first value that is not finite, with its op and line. Gives
 * ZN_RT_NONFINITE. */
int zn_rt_explain_nonfinite(const zn_rt_engine *g, zn_rt_which which, int batch, const zn_args *args, zn_rt_error *e);
/* Adds "--> file:line" and the text of the line; nothing where line is 0. */
void zn_rt_explain_place(const zn_module_desc *m, uint64_t line, zn_rt_error *e);

#endif
