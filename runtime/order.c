/* Permutations (see runtime/order.h): Fisher and Yates's shuffle, from the end. Place i takes word i % 4 of the counter
 * (i / 4, epoch, 0, 0): of the stream (seed, shuffle) for an epoch, of (0, split) for what is held out, which are the
 * first places of that one. */
#include "runtime/order.h"

#include "support/philox.h"

#include <stdlib.h>

static void shuffle(zn_philox_key key, uint32_t epoch, int64_t n, uint32_t *order) {
    uint32_t w[4] = {0};
    for (int64_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    int64_t block = -1;
    for (int64_t i = n - 1; i > 0; i--) {
        if (i / 4 != block) {
            block = i / 4;
            zn_philox(key, (uint32_t)block, epoch, 0, 0, w);
        }
        uint32_t j = zn_philox_below(w[i % 4], (uint32_t)i + 1), old = order[i];
        order[i] = order[j];
        order[j] = old;
    }
}

void zn_rt_order(uint64_t seed, uint32_t epoch, int64_t n, uint32_t *order) {
    shuffle(zn_philox_key_make(seed, ZN_PURPOSE_SHUFFLE, ""), epoch, n, order);
}

int zn_rt_hold_out(int64_t n, int64_t out, uint32_t *pick) {
    uint8_t *held = calloc((size_t)n + 1, 1);
    int64_t kept = 0, taken = n - out;
    if (!held)
        return -1;
    shuffle(zn_philox_key_make(0, ZN_PURPOSE_SPLIT, ""), 0, n, pick);
    for (int64_t i = 0; i < out; i++)
        held[pick[i]] = 1;
    for (int64_t i = 0; i < n; i++)
        pick[held[i] ? taken++ : kept++] = (uint32_t)i;
    free(held);
    return 0;
}
