/* Averages of parameters and statistics over a run: exponential ones, and slow weights (Zhang et al., Lookahead
 * Optimizer, arXiv 1907.08610).
 *
 * The averages are tensors of the module, of the name of what they follow and ".average". Every element is computed by
 * itself, so threads change nothing. */
#ifndef ZN_RUNTIME_AVERAGE_H
#define ZN_RUNTIME_AVERAGE_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/pool.h"

typedef struct zn_rt_average {
    const zn_module_desc *m;
    char *param;
    zn_rt_pool *pool;
    uint64_t n;
    struct zn_rt_averaged *pair;
} zn_rt_average;

/* Pairs what the module has. pool may be NULL. Nothing if it has none. */
int zn_rt_average_open(zn_rt_average *a, const zn_module_desc *m, char *param, zn_rt_pool *pool, zn_rt_error *e);
/* Before the first step: the averages become copies. */
void zn_rt_average_start(const zn_rt_average *a);
void zn_rt_average_close(zn_rt_average *a);
/* After step t (done: t + 1 of `total`). */
void zn_rt_average_step(const zn_rt_average *a, int64_t done, int64_t total);
/* Puts what is evaluated and written in the place of the weights, and back: the exponential average. */
void zn_rt_average_swap(const zn_rt_average *a);

#endif
