/* Philox4x32-10 (see support/philox.h), after Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3
 * (SC'11). Known answers of Random123 stand in tests/unit/test_philox.c. */
#include "support/philox.h"

uint32_t zn_philox_salt(zn_purpose purpose, const char *name) {
    uint32_t hash = 0;
    if (*name) {
        hash = 2166136261u; /* FNV-1a */
        for (; *name; name++)
            hash = (hash ^ (uint8_t)*name) * 16777619u;
    }
    return (uint32_t)purpose * 0x9E3779B9u ^ hash;
}

zn_philox_key zn_philox_key_make(uint64_t seed, zn_purpose purpose, const char *name) {
    return (zn_philox_key){{(uint32_t)seed, (uint32_t)(seed >> 32) ^ zn_philox_salt(purpose, name)}};
}

void zn_philox(zn_philox_key key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4]) {
    uint32_t k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Counters side by side, for compilers to make vectors of. */
enum { WIDE = 64 };

static inline __attribute__((always_inline)) void row(zn_philox_key key, uint64_t first, int n, uint32_t *out) {
    for (int at = 0; at < n; at += WIDE) {
        uint32_t c0[WIDE], c1[WIDE], c2[WIDE], c3[WIDE], k0 = key.k[0], k1 = key.k[1];
        for (int i = 0; i < WIDE; i++) {
            uint64_t counter = first + (uint64_t)(at + i);
            c0[i] = (uint32_t)counter;
            c1[i] = (uint32_t)(counter >> 32);
            c2[i] = c3[i] = 0;
        }
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < WIDE; i++) {
                uint64_t a = (uint64_t)0xD2511F53u * c0[i], b = (uint64_t)0xCD9E8D57u * c2[i];
                c0[i] = (uint32_t)(b >> 32) ^ c1[i] ^ k0;
                c1[i] = (uint32_t)b;
                c2[i] = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
                c3[i] = (uint32_t)a;
            }
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        for (int i = 0; i < WIDE && at + i < n; i++) {
            uint32_t *to = out + 4 * (at + i);
            to[0] = c0[i];
            to[1] = c1[i];
            to[2] = c2[i];
            to[3] = c3[i];
        }
    }
}

static void row_anywhere(zn_philox_key key, uint64_t first, int n, uint32_t *out) {
    row(key, first, n, out);
}

#if defined __x86_64__
__attribute__((target("avx2"))) static void row_by_avx2(zn_philox_key key, uint64_t first, int n, uint32_t *out) {
    row(key, first, n, out);
}

void zn_philox_row(zn_philox_key key, uint64_t first, int n, uint32_t *out) {
    if (__builtin_cpu_supports("avx2"))
        row_by_avx2(key, first, n, out);
    else
        row_anywhere(key, first, n, out);
}
#else
void zn_philox_row(zn_philox_key key, uint64_t first, int n, uint32_t *out) {
    row_anywhere(key, first, n, out);
}
#endif
