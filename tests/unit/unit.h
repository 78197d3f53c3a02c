/* A unit test's main from a list of its tests: #define TESTS(X) X(alignment) X(growth), then ZN_UNIT_MAIN("arena",
 * TESTS). ZN_EQUAL_INT and ZN_EQUAL_STR show both values where they differ. */
#ifndef ZN_TESTS_UNIT_UNIT_H
#define ZN_TESTS_UNIT_UNIT_H

#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ZN_UNIT_ADD(name) CU_add_test(suite_, #name, name);
#define ZN_UNIT_MAIN(suite_name, TESTS)                                                                                \
    int main(void) {                                                                                                   \
        CU_initialize_registry();                                                                                      \
        CU_pSuite suite_ = CU_add_suite(suite_name, NULL, NULL);                                                       \
        TESTS(ZN_UNIT_ADD)                                                                                             \
        CU_basic_run_tests();                                                                                          \
        unsigned failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() == 0);                         \
        CU_cleanup_registry();                                                                                         \
        return failures != 0;                                                                                          \
    }

#define ZN_EQUAL_INT(a, b)                                                                                             \
    do {                                                                                                               \
        long long a_ = (long long)(a), b_ = (long long)(b);                                                            \
        if (a_ != b_)                                                                                                  \
            printf("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, a_, b_);                                   \
        CU_ASSERT_EQUAL(a_, b_);                                                                                       \
    } while (0)
#define ZN_EQUAL_STR(a, b)                                                                                             \
    do {                                                                                                               \
        const char *a_ = (a), *b_ = (b);                                                                               \
        if (strcmp(a_, b_))                                                                                            \
            printf("%s:%d: %s is\n%s\nnot\n%s\n", __FILE__, __LINE__, #a, a_, b_);                                     \
        CU_ASSERT_STRING_EQUAL(a_, b_);                                                                                \
    } while (0)

#endif
