/* Numbers as text: round trips over many bit patterns, the written forms, and what parsing refuses. */
#include "support/number.h"

#include "support/philox.h"

#include <CUnit/Basic.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool parse(const char *s, double *x) {
    return zn_f64_parse(s, strlen(s), x);
}

static uint32_t random_word(uint32_t i) {
    uint32_t w[4];
    zn_philox((zn_philox_key){{1, 2}}, i / 4, 0, 0, 0, w);
    return w[i % 4];
}

static void check_f32(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    if (!isfinite(x))
        return;
    char text[ZN_NUMBER_MAX], json[ZN_NUMBER_MAX];
    double a = 0, b = 0;
    zn_f32_text(x, text);
    zn_f32_json(x, json);
    bool ok = parse(text, &a) && parse(json, &b);
    float fa = (float)a, fb = (float)b;
    if (!ok || memcmp(&fa, &x, sizeof x) != 0 || memcmp(&fb, &x, sizeof x) != 0 || !strpbrk(text, ".e")) {
        fprintf(stderr, "%08x: %s, %s\n", u, text, json);
        CU_FAIL("float does not read back");
    }
}

static void check_f64(uint64_t u) {
    double x, a = 0, b = 0;
    memcpy(&x, &u, sizeof x);
    if (!isfinite(x))
        return;
    char text[ZN_NUMBER_MAX], json[ZN_NUMBER_MAX];
    zn_f64_text(x, text);
    zn_f64_json(x, json);
    bool ok = parse(text, &a) && parse(json, &b);
    if (!ok || memcmp(&a, &x, sizeof x) != 0 || memcmp(&b, &x, sizeof x) != 0 || !strpbrk(text, ".e")) {
        fprintf(stderr, "%016llx: %s, %s\n", (unsigned long long)u, text, json);
        CU_FAIL("double does not read back");
    }
}

static void round_trips(void) {
    for (uint32_t i = 0; i < 20000; i++) {
        check_f32(random_word(i));
        check_f64((uint64_t)random_word(2 * i) << 32 | random_word(2 * i + 1));
    }
    for (uint32_t e = 0; e < 255; e++)
        for (uint32_t m = 0; m < 3; m++)
            check_f32((e << 23) + m - 1u);
    for (uint64_t e = 0; e < 2047; e++)
        for (uint64_t m = 0; m < 3; m++)
            check_f64((e << 52) + m - 1u);
    for (int i = -20; i < 300; i++) {
        float f = (float)i * 0.1f;
        double d = i * 0.1;
        uint32_t fu;
        uint64_t du;
        memcpy(&fu, &f, sizeof f);
        memcpy(&du, &d, sizeof d);
        check_f32(fu);
        check_f64(du);
    }
}

static void check_text(const char *got, const char *expected) {
    if (strcmp(got, expected) != 0)
        fprintf(stderr, "got %s, expected %s\n", got, expected);
    CU_ASSERT_STRING_EQUAL(got, expected);
}

static void forms(void) {
    char s[ZN_NUMBER_MAX];
#define F32(x, text, json) (zn_f32_text(x, s), check_text(s, text), zn_f32_json(x, s), check_text(s, json))
#define F64(x, text, json) (zn_f64_text(x, s), check_text(s, text), zn_f64_json(x, s), check_text(s, json))
    F32(0.0f, "0.0", "0");
    F32(-0.0f, "-0.0", "-0.0");
    F32(0.1f, "0.1", "0.1");
    F32(7.6f, "7.6", "7.6");
    F32(1e-4f, "0.0001", "0.0001");
    F32(1e-7f, "1e-7", "1e-7");
    F32(1.5e-9f, "1.5e-9", "1.5e-9");
    F32(3.0f, "3.0", "3");
    F32(-120.0f, "-120.0", "-120");
    F32(16777216.0f, "16777216.0", "16777216");
    F32(1e10f, "1e10", "1e10");
    F32(3.4028235e38f, "3.4028235e38", "3.4028235e38");
    F32(1.1754944e-38f, "1.1754944e-38", "1.1754944e-38");
    F32(1e-45f, "1e-45", "1e-45");
    F32(INFINITY, "inf", "null");
    F32(-INFINITY, "-inf", "null");
    F32(NAN, "nan", "null");
    F64(0.1, "0.1", "0.1");
    F64(7.6, "7.6", "7.6");
    F64(1.0 / 3, "0.3333333333333333", "0.3333333333333333");
    F64(100.0, "100.0", "100");
    F64(1e15, "1000000000000000.0", "1000000000000000");
    F64(1e16, "1e16", "1e16");
    F64(5e-324, "5e-324", "5e-324");
    F64(1.7976931348623157e308, "1.7976931348623157e308", "1.7976931348623157e308");
    F64(-(double)INFINITY, "-inf", "null");
    F64((double)NAN, "nan", "null");
    zn_i64_grouped(1234567, s);
    check_text(s, "1 234 567");
    zn_i64_grouped(-123456, s);
    check_text(s, "-123 456");
    zn_i64_grouped(999, s);
    check_text(s, "999");
    zn_i64_grouped(INT64_MIN, s);
    check_text(s, "-9 223 372 036 854 775 808");
}

static void parsing(void) {
    double x;
    CU_ASSERT_TRUE(parse("1e-4", &x) && x == 1e-4);
    CU_ASSERT_TRUE(parse("2.0e3", &x) && x == 2000);
    CU_ASSERT_TRUE(parse("-0", &x) && x == 0 && signbit(x));
    CU_ASSERT_TRUE(parse("0e99999999999999999999", &x) && x == 0);
    CU_ASSERT_TRUE(parse("0.000000000000000000000000000001e30", &x) && x == 1);
    CU_ASSERT_TRUE(parse("00012", &x) && x == 12);
    CU_ASSERT_TRUE(zn_f64_parse("12345", 3, &x) && x == 123);
    const char *refused[] = {"",
                             "-",
                             ".",
                             "e5",
                             "1e",
                             "1e+",
                             "1.2.3",
                             "0x10",
                             " 1",
                             "1 ",
                             "1,5",
                             "nan",
                             "inf",
                             "1e999",
                             "1e-999",
                             "--1",
                             "1e99999999999999999999",
                             "+-1",
                             "1_000"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (parse(refused[i], &x))
            fprintf(stderr, "taken: %s\n", refused[i]);
        CU_ASSERT_FALSE(parse(refused[i], &x));
    }
    /* Halfway between 1 and the next double, and just above it, in more digits than are kept. */
    char text[1400] = "1.00000000000000011102230246251565404236316680908203125";
    CU_ASSERT_TRUE(parse(text, &x) && x == 1);
    size_t n = strlen(text);
    memset(text + n, '0', 1300);
    text[n + 1299] = '1';
    CU_ASSERT_TRUE(parse(text, &x) && x == 1.0000000000000002);
    int64_t i = 0, p;
    CU_ASSERT_TRUE(zn_i64_parse("9223372036854775807", 19, &i) && i == INT64_MAX);
    CU_ASSERT_TRUE(zn_i64_parse("-9223372036854775808", 20, &i) && i == INT64_MIN);
    CU_ASSERT_FALSE(zn_i64_parse("9223372036854775808", 19, &i));
    CU_ASSERT_FALSE(zn_i64_parse("-9223372036854775809", 20, &i));
    CU_ASSERT_FALSE(zn_i64_parse("", 0, &i));
    CU_ASSERT_FALSE(zn_i64_parse("-", 1, &i));
    CU_ASSERT_FALSE(zn_i64_parse("1.0", 3, &i));
    CU_ASSERT_TRUE(zn_mul_ok(INT64_C(1) << 31, INT64_C(1) << 31, &p) && p == INT64_C(1) << 62);
    CU_ASSERT_FALSE(zn_mul_ok(INT64_C(1) << 32, INT64_C(1) << 31, &p));
}

/* A locale with a decimal comma changes nothing (skipped where none is installed). */
static void locale(void) {
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        printf(" skipped: no locale with a decimal comma ");
        return;
    }
    forms();
    parsing();
    setlocale(LC_ALL, "C");
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("number", NULL, NULL);
    CU_add_test(s, "round trips", round_trips);
    CU_add_test(s, "forms", forms);
    CU_add_test(s, "parsing", parsing);
    CU_add_test(s, "locale", locale);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
