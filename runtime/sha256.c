/* SHA-256 through libcrypto's EVP interface (see runtime/sha256.h). */
#include "runtime/sha256.h"

#include <openssl/evp.h>

static int refused(zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_INTERNAL, "libcrypto has no SHA-256");
}

int zn_rt_sha256_start(zn_rt_sha256 *h, zn_rt_error *e) {
    h->state = EVP_MD_CTX_new();
    if (h->state && EVP_DigestInit_ex(h->state, EVP_sha256(), NULL))
        return 0;
    zn_rt_sha256_free(h);
    return refused(e);
}

int zn_rt_sha256_add(zn_rt_sha256 *h, const void *data, size_t n, zn_rt_error *e) {
    return EVP_DigestUpdate(h->state, data, n) ? 0 : refused(e);
}

int zn_rt_sha256_end(zn_rt_sha256 *h, char hex[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int ok = EVP_DigestFinal_ex(h->state, digest, &n) && n == 32;
    zn_rt_sha256_free(h);
    if (!ok)
        return refused(e);
    for (unsigned i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
    return 0;
}

void zn_rt_sha256_free(zn_rt_sha256 *h) {
    EVP_MD_CTX_free(h->state);
    h->state = NULL;
}
