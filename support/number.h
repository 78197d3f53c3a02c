/* Numbers as text that reads back exactly, without locale. */
#ifndef ZN_SUPPORT_NUMBER_H
#define ZN_SUPPORT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZN_NUMBER_MAX 40 /* bytes that hold any number written here, with the NUL */

/* Shortest decimal that reads back to the same float; inf, -inf, nan by name. Always has a '.', an 'e' or a letter. */
void zn_f32_text(float x, char out[ZN_NUMBER_MAX]);
void zn_f64_text(double x, char out[ZN_NUMBER_MAX]);
/* The same as JSON: null for what JSON has no number for; whole numbers without a point. */
void zn_f32_json(float x, char out[ZN_NUMBER_MAX]);
void zn_f64_json(double x, char out[ZN_NUMBER_MAX]);
/* Reads all n bytes, independent of the locale; false if they are not one number or it is out of range. */
bool zn_f64_parse(const char *s, size_t n, double *out);
bool zn_i64_parse(const char *s, size_t n, int64_t *out);

/* Products of sizes from input; false on overflow. */
bool zn_mul_ok(int64_t a, int64_t b, int64_t *out);

/* How many of n a part of them is: the nearest number, upwards from the middle. 0 <= part < 1, n at most 2^53. */
int64_t zn_part_of(double part, int64_t n);

/* "1 234 567": thousands separated by spaces. */
void zn_i64_grouped(int64_t x, char out[ZN_NUMBER_MAX]);

#endif
