/* Building lines of JSON (see runtime/text.h). Written here and not by a library, so that the bytes do not depend on a
 * library's version: numbers are the shortest that read back (support/number.h). */
#include "runtime/text.h"

#include "support/number.h"
#include "support/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void zn_rt_text_free(zn_rt_text *t) {
    free(t->at);
    *t = (zn_rt_text){0};
}

void zn_rt_text_add(zn_rt_text *t, const char *s, size_t n) {
    if (t->failed)
        return;
    if (n >= t->cap - t->n || !t->at) { /* room for the NUL */
        size_t cap = t->cap ? t->cap : 256;
        while (cap - t->n <= n) {
            if (cap > SIZE_MAX / 2) {
                t->failed = true;
                return;
            }
            cap *= 2;
        }
        char *at = realloc(t->at, cap);
        if (!at) {
            t->failed = true;
            return;
        }
        t->at = at;
        t->cap = cap;
    }
    memcpy(t->at + t->n, s, n);
    t->n += n;
    t->at[t->n] = '\0';
}

void zn_rt_text_puts(zn_rt_text *t, const char *s) {
    zn_rt_text_add(t, s, strlen(s));
}

void zn_rt_text_printf(zn_rt_text *t, const char *fmt, ...) {
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        zn_rt_text_add(t, small, (size_t)n);
        return;
    }
    char *large = n < 0 ? NULL : malloc((size_t)n + 1);
    if (!large) {
        t->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(large, (size_t)n + 1, fmt, ap);
    va_end(ap);
    zn_rt_text_add(t, large, (size_t)n);
    free(large);
}

void zn_rt_text_json_string(zn_rt_text *t, const char *s) {
    if (!s) {
        zn_rt_text_puts(t, "null");
        return;
    }
    zn_rt_text_puts(t, "\"");
    for (size_t n = strlen(s), i = 0; i < n;) {
        char c[ZN_JSON_CHAR_MAX];
        size_t len;
        i += zn_json_char(s + i, n - i, c, &len);
        zn_rt_text_add(t, c, len);
    }
    zn_rt_text_puts(t, "\"");
}

void zn_rt_text_json_f32(zn_rt_text *t, float x) {
    char s[ZN_NUMBER_MAX];
    zn_f32_json(x, s);
    zn_rt_text_puts(t, s);
}

void zn_rt_text_json_f64(zn_rt_text *t, double x) {
    char s[ZN_NUMBER_MAX];
    zn_f64_json(x, s);
    zn_rt_text_puts(t, s);
}

void zn_rt_text_json_i64(zn_rt_text *t, int64_t x) {
    zn_rt_text_printf(t, "%" PRId64, x);
}

size_t zn_rt_text_distance(const char *a, const char *b) {
    enum { MOST = 256 };
    size_t row[MOST], n = strlen(b);
    if (n >= MOST)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t replace = corner + (a[i] != b[j]), step = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            corner = row[j + 1];
            row[j + 1] = replace < step ? replace : step;
        }
    }
    return row[n];
}
