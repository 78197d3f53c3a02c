/* SHA-256 as hexadecimal text, through libcrypto. */
#ifndef ZN_RUNTIME_SHA256_H
#define ZN_RUNTIME_SHA256_H

#include "runtime/error.h"

#include <stddef.h>

#define ZN_RT_SHA256_HEX 65 /* with the NUL */

typedef struct zn_rt_sha256 {
    struct SHA256state_st *state; /* SHA256_CTX */
} zn_rt_sha256;

int zn_rt_sha256_start(zn_rt_sha256 *h, zn_rt_error *e);
int zn_rt_sha256_add(zn_rt_sha256 *h, const void *data, size_t n, zn_rt_error *e);
int zn_rt_sha256_end(zn_rt_sha256 *h, char hex[ZN_RT_SHA256_HEX], zn_rt_error *e);
/* After a start, on every path; end has done it already. */
void zn_rt_sha256_free(zn_rt_sha256 *h);

#endif
