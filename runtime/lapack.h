/* Eigenvalues and singular values by LAPACK, as OpenBLAS brings it.
 *
 * Few networks need them, so nothing is linked: the library is loaded at the first call, in znetc and in training
 * programs alike, and a program that makes no such call needs libc alone. One thread at a time may call these. */
#ifndef ZN_RUNTIME_LAPACK_H
#define ZN_RUNTIME_LAPACK_H

#include "runtime/error.h"

#include <stdint.h>

/* a: n x n, symmetric, row-major, n >= 1; becomes the eigenvectors, row i of length 1 that of values[i]. values[0 .. n)
 * are ascending. Which sign a vector has, and which basis vectors of equal values are, is LAPACK's choice. */
int zn_rt_symmetric_eigen(int64_t n, double *a, double *values, zn_rt_error *e);

/* a: rows x cols, row-major, both >= 1; it stays as it is. values[0 .. min(rows, cols)) are descending. */
int zn_rt_singular_values(int64_t rows, int64_t cols, const double *a, double *values, zn_rt_error *e);

#endif
