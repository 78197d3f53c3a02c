/* SHA-256 through libcrypto (see runtime/sha256.h).
 *
 * By its low-level interface, which OpenSSL 3 calls deprecated: the other one would link all of libcrypto's providers,
 * 4 MB, statically into every training executable. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "runtime/sha256.h"

#include <openssl/sha.h>
#include <stdlib.h>

static int refused(zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_INTERNAL, "libcrypto has no SHA-256");
}

int zn_rt_sha256_start(zn_rt_sha256 *h, zn_rt_error *e) {
    h->state = malloc(sizeof *h->state);
    if (!h->state)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for a digest");
    if (SHA256_Init(h->state))
        return 0;
    zn_rt_sha256_free(h);
    return refused(e);
}

int zn_rt_sha256_add(zn_rt_sha256 *h, const void *data, size_t n, zn_rt_error *e) {
    return SHA256_Update(h->state, data, n) ? 0 : refused(e);
}

int zn_rt_sha256_end(zn_rt_sha256 *h, char hex[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    int ok = SHA256_Final(digest, h->state);
    zn_rt_sha256_free(h);
    if (!ok)
        return refused(e);
    for (unsigned i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
    return 0;
}

void zn_rt_sha256_free(zn_rt_sha256 *h) {
    free(h->state);
    h->state = NULL;
}
