/* The training program around a compiled module: all that `train` and `znetc run` do. */
#ifndef ZN_RUNTIME_RUNTIME_H
#define ZN_RUNTIME_RUNTIME_H

#include "runtime/abi.h"

/* Runs the command line and returns the exit code. argv is that of main: argv[0] is the name messages start with, the
 * options follow. argv's order may change. The floating-point environment and signal actions of the caller are
 * restored.
 */
int zn_rt_main(const zn_module_desc *m, int argc, char **argv);

#endif
