/* Growing byte strings. */
#include "tests/unit/unit.h"

#include "support/buf.h"

static void empty(void) {
    zn_buf b = {0};
    ZN_EQUAL_STR(zn_buf_str(&b), "");
    zn_buf_free(&b);
    zn_buf_add(&b, "", 0);
    ZN_EQUAL_STR(zn_buf_str(&b), "");
    ZN_EQUAL_INT(b.n, 0);
    zn_buf_free(&b);
}

static void growth(void) {
    zn_buf b = {0};
    for (int i = 0; i < 100000; i++)
        zn_buf_putc(&b, (char)('a' + i % 26));
    ZN_EQUAL_INT(b.n, 100000);
    ZN_EQUAL_INT(strlen(zn_buf_str(&b)), 100000);
    bool same = true;
    for (int i = 0; i < 100000; i++)
        same = same && b.at[i] == 'a' + i % 26;
    CU_ASSERT_TRUE(same);
    zn_buf_free(&b);
    CU_ASSERT_PTR_NULL(b.at);
}

static void bytes(void) {
    zn_buf b = {0};
    zn_buf_add(&b, "a\0b", 3);
    zn_buf_puts(&b, "c");
    ZN_EQUAL_INT(b.n, 4);
    CU_ASSERT_EQUAL(memcmp(b.at, "a\0bc", 5), 0); /* with the NUL that is not counted */
    zn_buf_free(&b);
}

static void formats(void) {
    zn_buf b = {0};
    zn_buf_printf(&b, "%d-%s", 1, "two");
    zn_buf_printf(&b, "%5000d", 3);
    ZN_EQUAL_INT(b.n, 5005);
    CU_ASSERT_EQUAL(strncmp(b.at, "1-two ", 6), 0);
    CU_ASSERT_EQUAL(b.at[5004], '3');
    zn_buf_printf(&b, "%s", "");
    ZN_EQUAL_INT(b.n, 5005);
    zn_buf_free(&b);
}

#define TESTS(X) X(empty) X(growth) X(bytes) X(formats)
ZN_UNIT_MAIN("buf", TESTS)
