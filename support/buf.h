/* A growing byte string on the heap; always ends in a NUL that is not counted. Zero-initialise to start. */
#ifndef ZN_SUPPORT_BUF_H
#define ZN_SUPPORT_BUF_H

#include <stdarg.h>
#include <stddef.h>

typedef struct zn_buf {
    char *at;
    size_t n, cap;
} zn_buf;

void zn_buf_free(zn_buf *b);
void zn_buf_add(zn_buf *b, const void *s, size_t n);
void zn_buf_puts(zn_buf *b, const char *s);
void zn_buf_putc(zn_buf *b, char c);
void zn_buf_printf(zn_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void zn_buf_vprintf(zn_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* A quoted string of JSON, valid whatever s holds. */
void zn_buf_json(zn_buf *b, const char *s);
/* *error becomes this text, to be freed; gives `code`. */
int zn_error_text(char **error, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The contents as a C string; "" while empty. */
const char *zn_buf_str(const zn_buf *b);

#endif
