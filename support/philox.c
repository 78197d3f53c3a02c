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
