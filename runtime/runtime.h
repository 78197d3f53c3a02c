/* The training program around a compiled module: all that `train` and `znetc run` do. */
#ifndef ZN_RUNTIME_RUNTIME_H
#define ZN_RUNTIME_RUNTIME_H

#include "runtime/abi.h"
#include "runtime/error.h"

/* Runs the command line and returns the exit code. argv is that of main: argv[0] is the name messages start with, the
 * options follow. argv's order may change. The floating-point environment and signal actions of the caller are
 * restored.
 */
int zn_rt_main(const zn_module_desc *m, int argc, char **argv);

/* Kernels of the evaluation that are made only when it first runs: `make` is called before, once, and after it no
 * kernel of the evaluation is NULL. It returns 0, or an exit code with a message. */
typedef struct zn_rt_late {
    int (*make)(void *ctx, zn_rt_error *e);
    void *ctx;
} zn_rt_late;
/* The same for such a module. */
int zn_rt_main_late(const zn_module_desc *m, const zn_rt_late *late, int argc, char **argv);

#endif
