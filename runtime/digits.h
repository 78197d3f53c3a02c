/* The built-in data sources: images made by the program itself, the same bytes on every machine. */
#ifndef ZN_RUNTIME_DIGITS_H
#define ZN_RUNTIME_DIGITS_H

#include <stdint.h>

enum { ZN_DIGITS_SIDE = 28, ZN_DIGITS_TRAIN = 10000, ZN_DIGITS_TEST = 2000 };

/* Sample `index` of split 0 (training) or 1 (test), drawn into side * side bytes; returns its label, 0..9. */
uint8_t zn_rt_digit_draw(uint64_t seed, uint32_t split, uint32_t index, uint8_t *pixels);

/* Uniform bytes and a uniform label below `classes` (at most 65 535). */
uint16_t zn_rt_noise_draw(uint64_t seed, uint32_t split, uint32_t index, uint32_t classes, int64_t n, uint8_t *pixels);

#endif
