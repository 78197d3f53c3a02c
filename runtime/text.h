/* A growing string that remembers having run out of memory, so that only its end is checked. */
#ifndef ZN_RUNTIME_TEXT_H
#define ZN_RUNTIME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise to start. at is NUL-terminated once anything was added. */
typedef struct zn_rt_text {
    char *at;
    size_t n, cap;
    bool failed;
} zn_rt_text;

void zn_rt_text_free(zn_rt_text *t);
void zn_rt_text_add(zn_rt_text *t, const char *s, size_t n);
void zn_rt_text_puts(zn_rt_text *t, const char *s);
void zn_rt_text_printf(zn_rt_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* JSON: a quoted string (NULL gives null; bytes that are not UTF-8 become U+FFFD), and numbers that read back exactly.
 */
void zn_rt_text_json_string(zn_rt_text *t, const char *s);
void zn_rt_text_json_f32(zn_rt_text *t, float x);
void zn_rt_text_json_f64(zn_rt_text *t, double x);
void zn_rt_text_json_i64(zn_rt_text *t, int64_t x);

/* Edit distance of two names (Levenshtein); SIZE_MAX where b has 256 characters or more. */
size_t zn_rt_text_distance(const char *a, const char *b);

#endif
