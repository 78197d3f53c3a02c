/* Philox4x32-10 (Salmon et al., SC'11): a counter-based generator. All randomness of znet comes from here.
 *
 * A key is (seed, purpose, name): name is a structural path, so that a layer added elsewhere changes no other's draw.
 */
#ifndef ZN_SUPPORT_PHILOX_H
#define ZN_SUPPORT_PHILOX_H

#include <stdint.h>

typedef enum zn_purpose { /* part of what fixes bits: never renumber */
                          ZN_PURPOSE_INIT = 1,
                          ZN_PURPOSE_SHUFFLE = 2,
                          ZN_PURPOSE_AUGMENT = 3,
                          ZN_PURPOSE_DROPOUT = 4,
                          ZN_PURPOSE_DATA = 5,  /* built-in data sources, with a seed of their own */
                          ZN_PURPOSE_SPLIT = 6, /* what is held out of the training samples, with seed 0 */
} zn_purpose;

typedef struct zn_philox_key {
    uint32_t k[2];
} zn_philox_key;

/* k[0] = low word of seed; k[1] = high word of seed ^ (purpose * 0x9E3779B9) ^ FNV-1a 32 of name ("" adds nothing: 0).
 */
zn_philox_key zn_philox_key_make(uint64_t seed, zn_purpose purpose, const char *name);
/* purpose * 0x9E3779B9 ^ hash of name: what is xored into k[1]; a constant known when kernels are made. */
uint32_t zn_philox_salt(zn_purpose purpose, const char *name);
void zn_philox(zn_philox_key key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4]);
/* The words of n counters (low word, high word, 0, 0) from `first` on: 4 n of them. */
void zn_philox_row(zn_philox_key key, uint64_t first, int n, uint32_t *out);

/* [0, 1): the top 24 bits. */
static inline float zn_philox_unit(uint32_t x) {
    return (float)(x >> 8) * 0x1p-24f;
}
/* An integer below n without bias worth speaking of: the high word of x * n. */
static inline uint32_t zn_philox_below(uint32_t x, uint32_t n) {
    return (uint32_t)(((uint64_t)x * n) >> 32);
}

#endif
