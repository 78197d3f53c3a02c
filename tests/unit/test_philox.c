/* Philox4x32-10 against the known answers of Random123 (kat_vectors), and the keys built on it. */
#include "support/philox.h"

#include <CUnit/Basic.h>
#include <string.h>

static void check(const uint32_t counter[4], const uint32_t key[2], const uint32_t expected[4]) {
    uint32_t out[4];
    zn_philox((zn_philox_key){{key[0], key[1]}}, counter[0], counter[1], counter[2], counter[3], out);
    CU_ASSERT_EQUAL(memcmp(out, expected, sizeof out), 0);
}

static void known_answers(void) {
    check((uint32_t[4]){0, 0, 0, 0}, (uint32_t[2]){0, 0},
          (uint32_t[4]){0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
    check((uint32_t[4]){~0u, ~0u, ~0u, ~0u}, (uint32_t[2]){~0u, ~0u},
          (uint32_t[4]){0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
    check((uint32_t[4]){0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, (uint32_t[2]){0xa4093822u, 0x299f31d0u},
          (uint32_t[4]){0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

static void rows(void) {
    const uint64_t first[] = {0, 7, UINT64_C(0xfffffff0), UINT64_C(0x123456789abcdef0)};
    zn_philox_key key = zn_philox_key_make(3, ZN_PURPOSE_INIT, "w");
    for (size_t f = 0; f < sizeof first / sizeof *first; f++)
        for (int n = 0; n <= 150; n++) {
            uint32_t row[4 * 151], one[4];
            memset(row, 0, sizeof row);
            zn_philox_row(key, first[f], n, row);
            for (int i = 0; i < n; i++) {
                zn_philox(key, (uint32_t)(first[f] + (uint64_t)i), (uint32_t)((first[f] + (uint64_t)i) >> 32), 0, 0,
                          one);
                CU_ASSERT_EQUAL(memcmp(row + 4 * i, one, sizeof one), 0);
            }
            CU_ASSERT_TRUE(row[4 * n] == 0 && row[4 * n + 3] == 0);
        }
}

static void keys(void) {
    CU_ASSERT_EQUAL(zn_philox_salt(ZN_PURPOSE_INIT, ""), 0x9E3779B9u);
    CU_ASSERT_EQUAL(zn_philox_salt(ZN_PURPOSE_SHUFFLE, ""), 0x3C6EF372u);
    CU_ASSERT_EQUAL(zn_philox_salt(ZN_PURPOSE_INIT, "a"), 0x9E3779B9u ^ 0xE40C292Cu); /* FNV-1a 32 of "a" */
    zn_philox_key k = zn_philox_key_make(UINT64_C(0x123456789abcdef0), ZN_PURPOSE_SHUFFLE, "");
    CU_ASSERT_EQUAL(k.k[0], 0x9abcdef0u);
    CU_ASSERT_EQUAL(k.k[1], 0x12345678u ^ 0x3C6EF372u);
}

static void ranges(void) {
    CU_ASSERT_EQUAL(zn_philox_unit(0), 0.0f);
    CU_ASSERT_TRUE(zn_philox_unit(~0u) < 1.0f);
    CU_ASSERT_EQUAL(zn_philox_below(~0u, 10), 9);
    CU_ASSERT_EQUAL(zn_philox_below(0, 10), 0);
    CU_ASSERT_EQUAL(zn_philox_below(0x80000000u, 10), 5);
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("philox", NULL, NULL);
    CU_add_test(s, "known answers", known_answers);
    CU_add_test(s, "rows", rows);
    CU_add_test(s, "keys", keys);
    CU_add_test(s, "ranges", ranges);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
