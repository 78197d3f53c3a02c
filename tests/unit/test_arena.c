/* The arena: alignment on every path, zeroed memory, objects that do not overlap, growing arrays, strings. */
#include "tests/unit/unit.h"

#include <stdint.h>
#include <stdlib.h>

#include "support/arena.h"

static void alignment(void) {
    zn_arena a = {0};
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t size = 0; size < 200; size += 7) {
            char *p = zn_arena_alloc(&a, size, align);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            CU_ASSERT_EQUAL((uintptr_t)p % align, 0);
        }
    for (size_t align = 1; align <= 4096; align *= 2) { /* larger than any block */
        char *p = zn_arena_alloc(&a, (3 << 20) + 1, align);
        CU_ASSERT_EQUAL((uintptr_t)p % align, 0);
        p[3 << 20] = 1;
    }
    zn_arena_free(&a);
    CU_ASSERT_PTR_NULL(a.blocks);
}

static void objects_are_zero_and_apart(void) {
    enum { N = 20000 };
    zn_arena a = {0};
    unsigned char **p = malloc(N * sizeof *p);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    bool zero = true, kept = true;
    for (size_t i = 0; i < N; i++) {
        size_t size = i * 37 % 301;
        p[i] = zn_arena_alloc(&a, size, 8);
        for (size_t k = 0; k < size; k++)
            zero = zero && p[i][k] == 0;
        memset(p[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i * 37 % 301; k++)
            kept = kept && p[i][k] == i % 251;
    CU_ASSERT_TRUE(zero);
    CU_ASSERT_TRUE(kept);
    free(p);
    zn_arena_free(&a);
}

static void vectors(void) {
    zn_arena a = {0};
    ZN_VEC(int64_t) v = {0};
    for (int64_t i = 0; i < 10000; i++)
        zn_vec_push(&a, &v, i * i);
    ZN_EQUAL_INT(v.n, 10000);
    bool same = true;
    for (int64_t i = 0; i < 10000; i++)
        same = same && v.at[i] == i * i;
    CU_ASSERT_TRUE(same);
    zn_arena_free(&a);
}

static void strings(void) {
    zn_arena a = {0};
    char text[] = "stage2.0.conv1";
    char *copy = zn_arena_strdup(&a, text);
    text[0] = 'X';
    ZN_EQUAL_STR(copy, "stage2.0.conv1");
    ZN_EQUAL_STR(zn_arena_strndup(&a, copy, 6), "stage2");
    ZN_EQUAL_STR(zn_arena_strndup(&a, copy, 0), "");
    ZN_EQUAL_STR(zn_arena_printf(&a, "%s[%d]", "x", 42), "x[42]");
    char *large = zn_arena_printf(&a, "%100000d", 7);
    ZN_EQUAL_INT(strlen(large), 100000);
    zn_arena_free(&a);
}

static void sizes(void) {
    ZN_EQUAL_INT(zn_size_mul(3, 5), 15);
    ZN_EQUAL_INT(zn_size_mul(0, SIZE_MAX), 0);
    CU_ASSERT_EQUAL(zn_size_mul(SIZE_MAX / 2, 2), SIZE_MAX - 1);
}

#define TESTS(X) X(alignment) X(objects_are_zero_and_apart) X(vectors) X(strings) X(sizes)
ZN_UNIT_MAIN("arena", TESTS)
