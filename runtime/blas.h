/* OpenBLAS in a program that does not link it. What modules name of it is in runtime/abi.h. */
#ifndef ZN_RUNTIME_BLAS_H
#define ZN_RUNTIME_BLAS_H

#include <stdbool.h>

/* Before any kernel of OpenBLAS runs; only where blas.c was compiled with ZN_BLAS_LATE. False with what the loader
 * says. */
bool zn_rt_blas_load(const char **error);

#endif
