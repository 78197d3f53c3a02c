/* Whether this processor has what the program was compiled for. */
#ifndef ZN_RUNTIME_CPU_H
#define ZN_RUNTIME_CPU_H

#include "runtime/error.h"

/* features: names as LLVM spells them, comma-separated, each with or without a '+'. Fails with ZN_RT_USAGE, naming all
 * that are missing. */
int zn_rt_cpu_check(const char *features, const char *compiled_for, zn_rt_error *e);

#endif
