/* Orders of samples: permutations that are functions of seeds. */
#ifndef ZN_RUNTIME_ORDER_H
#define ZN_RUNTIME_ORDER_H

#include <stdint.h>

/* order[0..n): the permutation of an epoch. */
void zn_rt_order(uint64_t seed, uint32_t epoch, int64_t n, uint32_t *order);

/* Which of n samples are held out, `out` of them (0 <= out <= n), whatever the seed of the run: pick[0..n - out) are
 * the others and pick[n - out..n) these, each part ascending. 0, or -1 where there is no memory. */
int zn_rt_hold_out(int64_t n, int64_t out, uint32_t *pick);

#endif
