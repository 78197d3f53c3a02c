/* Growable byte string; see buf.h. */
#include "support/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/ice.h"
#include "support/utf8.h"

void zn_buf_free(zn_buf *b) {
    free(b->at);
    *b = (zn_buf){0};
}

static void reserve(zn_buf *b, size_t more) {
    if (b->cap - b->n > more)
        return;
    size_t cap = b->cap ? b->cap : 256;
    while (cap - b->n <= more) {
        if (cap > (size_t)-1 / 2)
            ZN_ICE("text of more than %zu bytes", cap);
        cap *= 2;
    }
    char *p = realloc(b->at, cap);
    if (!p)
        ZN_ICE("out of memory (%zu bytes)", cap);
    b->at = p;
    b->cap = cap;
}

void zn_buf_add(zn_buf *b, const void *s, size_t n) {
    reserve(b, n);
    if (n)
        memcpy(b->at + b->n, s, n);
    b->n += n;
    b->at[b->n] = 0;
}

void zn_buf_puts(zn_buf *b, const char *s) {
    zn_buf_add(b, s, strlen(s));
}
void zn_buf_putc(zn_buf *b, char c) {
    zn_buf_add(b, &c, 1);
}

void zn_buf_vprintf(zn_buf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    ZN_ASSERT(n >= 0);
    reserve(b, (size_t)n);
    vsnprintf(b->at + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void zn_buf_printf(zn_buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void zn_buf_json(zn_buf *b, const char *s) {
    zn_buf_putc(b, '"');
    for (size_t n = strlen(s), i = 0; i < n;) {
        char c[ZN_JSON_CHAR_MAX];
        size_t len;
        i += zn_json_char(s + i, n - i, c, &len);
        zn_buf_add(b, c, len);
    }
    zn_buf_putc(b, '"');
}

int zn_error_text(char **error, int code, const char *fmt, ...) {
    zn_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    *error = b.at;
    return code;
}

const char *zn_buf_str(const zn_buf *b) {
    return b->at ? b->at : "";
}
