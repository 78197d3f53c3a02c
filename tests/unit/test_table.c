/* Hash tables: what was put in is found, and nothing else. */
#include "tests/unit/unit.h"

#include "support/table.h"

static void grows(void) {
    enum { N = 5000 };
    zn_arena a = {0};
    zn_table t = {0};
    static int values[N];
    CU_ASSERT_PTR_NULL(zn_table_get(&t, "k0"));
    for (int i = 0; i < N; i++) {
        void **at = zn_table_at(&a, &t, zn_arena_printf(&a, "k%d", i));
        CU_ASSERT_PTR_NULL(*at);
        *at = &values[i];
    }
    ZN_EQUAL_INT(t.n, N);
    int wrong = 0;
    for (int i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        wrong += zn_table_get(&t, key) != &values[i];
        wrong += *zn_table_at(&a, &t, key) != &values[i];
    }
    ZN_EQUAL_INT(wrong, 0);
    ZN_EQUAL_INT(t.n, N);
    CU_ASSERT_PTR_NULL(zn_table_get(&t, "k"));
    CU_ASSERT_PTR_NULL(zn_table_get(&t, ""));
    zn_arena_free(&a);
}

static void empty_key(void) {
    zn_arena a = {0};
    zn_table t = {0};
    int x;
    *zn_table_at(&a, &t, "") = &x;
    CU_ASSERT_PTR_EQUAL(zn_table_get(&t, ""), &x);
    CU_ASSERT_PTR_NULL(zn_table_get(&t, "a"));
    zn_arena_free(&a);
}

#define TESTS(X) X(grows) X(empty_key)
ZN_UNIT_MAIN("table", TESTS)
