/* UTF-8, and text as JSON: the one place that knows how long a sequence is and how a character is written in a string.
 *
 * Allocates nothing; compiler and runtime have buffers of their own and append what is given here. */
#ifndef ZN_SUPPORT_UTF8_H
#define ZN_SUPPORT_UTF8_H

#include <stddef.h>

/* Bytes of the sequence at s, of which n >= 1 may be read; 0 if it is not UTF-8 (overlong forms, surrogates and what
 * lies above U+10FFFF are not). */
size_t zn_utf8_length(const char *s, size_t n);

/* Bytes of the byte order mark that a text may begin with; 0 if there is none. It is no part of line 1. */
size_t zn_utf8_bom(const char *s, size_t n);

enum { ZN_JSON_CHAR_MAX = 8 };
/* Writes the character at s as it stands in a string of JSON, a byte that is not UTF-8 as U+FFFD. `len` receives the
 * bytes written to out, which gets no NUL. Returns how many bytes of s that took, at least 1. */
size_t zn_json_char(const char *s, size_t n, char out[ZN_JSON_CHAR_MAX], size_t *len);

#endif
