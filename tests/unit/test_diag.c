/* Diagnostics: the table, sorting and dropping, nearest names, and how text and JSON look at the edges. */
#include "support/diag.h"

#include <CUnit/Basic.h>
#include <string.h>

#include "driver/render.h"

static zn_span at(uint32_t line, uint32_t col, uint32_t len) {
    return (zn_span){line, col, len};
}

static void codes_are_unique(void) {
    for (int i = 0; i < ZN_DIAG_COUNT; i++) {
        CU_ASSERT_EQUAL(strlen(zn_diag_table[i].code), 6);
        CU_ASSERT_EQUAL(strncmp(zn_diag_table[i].code, "ZN0", 3), 0);
        CU_ASSERT_TRUE(strlen(zn_diag_table[i].doc) > 20);
        for (int j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(zn_diag_table[i].code, zn_diag_table[j].code);
    }
}

static void sorted_by_place_and_code(void) {
    zn_diags d = {0};
    zn_diag_add(&d, ZN_DIAG_TYPE, at(3, 1, 1), "third");
    zn_diag_add(&d, ZN_DIAG_UNUSED, at(1, 5, 1), "second");
    zn_diag_add(&d, ZN_DIAG_TYPE, at(1, 5, 1), "first");
    zn_diag_add(&d, ZN_DIAG_SET, at(0, 0, 0), "nowhere");
    zn_diags_sort(&d);
    CU_ASSERT_STRING_EQUAL(d.first->msg, "nowhere");
    CU_ASSERT_STRING_EQUAL(d.first->next->msg, "first");
    CU_ASSERT_STRING_EQUAL(d.first->next->next->msg, "second");
    CU_ASSERT_STRING_EQUAL(d.last->msg, "third");
    CU_ASSERT_PTR_NULL(d.last->next);
    zn_diags_free(&d);
}

static void equal_ones_are_dropped(void) {
    zn_diags d = {0};
    for (int i = 0; i < 3; i++)
        zn_diag_add(&d, ZN_DIAG_TYPE, at(2, 2, 1), "the same");
    zn_diag_add(&d, ZN_DIAG_TYPE, at(2, 2, 1), "another text");
    CU_ASSERT_EQUAL(d.errors, 4);
    zn_diags_sort(&d);
    CU_ASSERT_EQUAL(d.errors, 2);
    CU_ASSERT_PTR_EQUAL(d.first->next, d.last);
    zn_diags_free(&d);
}

static void nearest_name(void) {
    static const char *const names[] = {"conv", "linear", "relu", "dropout", "stride", "k"};
    CU_ASSERT_STRING_EQUAL(zn_nearest_name("cnov", names, 6), "conv");
    CU_ASSERT_STRING_EQUAL(zn_nearest_name("lineer", names, 6), "linear");
    CU_ASSERT_STRING_EQUAL(zn_nearest_name("strid", names, 6), "stride");
    CU_ASSERT_STRING_EQUAL(zn_nearest_name("droppoutt", names, 6), "dropout");
    CU_ASSERT_PTR_NULL(zn_nearest_name("x", names, 6));
    CU_ASSERT_PTR_NULL(zn_nearest_name("embedding", names, 6));
    CU_ASSERT_PTR_NULL(zn_nearest_name("conv", names, 0));
}

static void check_text(const char *source, zn_span where, const char *expected) {
    zn_diags d = {.path = "f.znet", .source = source, .source_len = strlen(source)};
    zn_buf b = {0};
    zn_diag_add(&d, ZN_DIAG_TYPE, where, "m");
    zn_render_text(&d, false, &b);
    CU_ASSERT_STRING_EQUAL(zn_buf_str(&b), expected);
    zn_buf_free(&b);
    zn_diags_free(&d);
}

static void carets(void) {
    check_text("ab cd", at(1, 4, 2), "error[ZN0209]: m\n --> f.znet:1:4\n  |\n1 | ab cd\n  |    ^^\n");
    /* under code points; tabs copied */
    check_text("\t\xc3\xa4 cd\n", at(1, 5, 2),
               "error[ZN0209]: m\n --> f.znet:1:5\n  |\n1 | \t\xc3\xa4 cd\n  | \t  ^^\n");
    /* clipped to the first line; one caret at the end of a line or the file */
    check_text("ab\ncd", at(1, 2, 99), "error[ZN0209]: m\n --> f.znet:1:2\n  |\n1 | ab\n  |  ^\n");
    check_text("ab\n", at(2, 1, 0), "error[ZN0209]: m\n --> f.znet:2:1\n  |\n2 | \n  | ^\n");
    /* control characters and bytes that are no text */
    check_text("a\x1b[31mb\xff", at(1, 7, 1), "error[ZN0209]: m\n --> f.znet:1:7\n  |\n1 | a?[31mb?\n  |       ^\n");
    /* a byte order mark is no part of line 1 */
    check_text("\xef\xbb\xbf"
               "ab cd",
               at(1, 4, 2), "error[ZN0209]: m\n --> f.znet:1:4\n  |\n1 | ab cd\n  |    ^^\n");
    /* nowhere, and a line that is not there */
    check_text("ab", at(0, 0, 0), "error[ZN0209]: m\n");
    check_text("ab", at(7, 1, 1), "error[ZN0209]: m\n --> f.znet:7:1\n  |\n");
}

static void notes(void) {
    zn_diags d = {.path = "f.znet", .source = "one\ntwo\n", .source_len = 8};
    zn_buf b = {0};
    zn_diag *x = zn_diag_add(&d, ZN_DIAG_TYPE, at(2, 1, 3), "m");
    zn_diag_note(&d, x, ZN_NOTE_LABEL, at(1, 1, 3), "other");
    zn_diag_note(&d, x, ZN_NOTE_LABEL, at(2, 1, 3), "own");
    zn_diag_note(&d, x, ZN_NOTE_NOTE, at(0, 0, 0), "a\nb");
    zn_diag_note(&d, x, ZN_NOTE_HELP, at(0, 0, 0), "c\nd");
    zn_render_text(&d, false, &b);
    CU_ASSERT_STRING_EQUAL(zn_buf_str(&b), "error[ZN0209]: m\n --> f.znet:2:1\n  |\n1 | one\n  | --- other\n2 | "
                                           "two\n  | ^^^ own\n  = a\n    b\nhelp: c\n      d\n");
    zn_buf_free(&b);
    zn_diags_free(&d);
}

static void json(void) {
    zn_diags d = {.path = "a\"b"};
    zn_buf b = {0};
    zn_diag *x = zn_diag_add(&d, ZN_DIAG_UTF8, at(1, 2, 3), "\xff\n\x01\\");
    zn_diag_note(&d, x, ZN_NOTE_HELP, at(0, 0, 0), "\xc3\xa4");
    zn_render_json(&d, &b);
    CU_ASSERT_STRING_EQUAL(
        zn_buf_str(&b),
        "{\"code\":\"ZN0002\",\"severity\":\"error\",\"path\":\"a\\\"b\",\"line\":1,\"column\":2,\"length\":3,"
        "\"message\":\"\xef\xbf\xbd\\n\\u0001\\\\\","
        "\"notes\":[{\"kind\":\"help\",\"line\":0,\"column\":0,\"length\":0,\"text\":\"\xc3\xa4\"}]}\n");
    zn_buf_free(&b);
    zn_diags_free(&d);
}

/* 20 of a code are shown, the others counted, whatever stands between them. */
static void many(void) {
    zn_diags d = {.path = "f.znet"};
    zn_buf text = {0}, line = {0};
    for (int i = 0; i < 57; i++)
        zn_diag_add(&d, ZN_DIAG_NAME_UNKNOWN, at(0, 0, 0), "unknown %d", i);
    for (int i = 0; i < 20; i++)
        zn_diag_add(&d, ZN_DIAG_TYPE, at(0, 0, 0), "type %d", i);
    zn_diag_add(&d, ZN_DIAG_UNUSED, at(0, 0, 0), "unused");
    zn_render_text(&d, false, &text);
    CU_ASSERT_PTR_NOT_NULL(strstr(zn_buf_str(&text), "unknown 19\n\nerror[ZN0209]: type 0\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(zn_buf_str(&text), "type 19\n\nerror[ZN0401]: unused\n\n... and 37 more ZN0201\n"));
    CU_ASSERT_PTR_NULL(strstr(zn_buf_str(&text), "unknown 20"));
    CU_ASSERT_PTR_NULL(strstr(zn_buf_str(&text), "more ZN0209"));
    zn_render_json(&d, &line);
    size_t lines = 0;
    for (size_t i = 0; i < line.n; i++)
        lines += line.at[i] == '\n';
    CU_ASSERT_EQUAL(lines, 42);
    static const char last[] = "\n{\"code\":\"ZN0201\",\"severity\":\"error\",\"not_shown\":37}\n";
    CU_ASSERT_STRING_EQUAL(line.at + line.n - (sizeof last - 1), last);
    CU_ASSERT_EQUAL(d.errors, 78);
    zn_buf_free(&text);
    zn_buf_free(&line);
    zn_diags_free(&d);
}

int main(void) {
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("diag", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(codes_are_unique);
    T(sorted_by_place_and_code);
    T(equal_ones_are_dropped);
    T(nearest_name);
    T(carets);
    T(notes);
    T(json);
    T(many);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
