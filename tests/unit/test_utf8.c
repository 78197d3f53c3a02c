/* UTF-8 against a decoder written another way, and strings of JSON. */
#include "tests/unit/unit.h"

#include <stdint.h>

#include "support/buf.h"
#include "support/utf8.h"

/* Every code point by arithmetic; 0 for surrogates. */
static size_t encode(uint32_t c, char out[4]) {
    if (c >= 0xd800 && c < 0xe000)
        return 0;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

static void every_code_point(void) {
    size_t wrong = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        char s[4];
        size_t n = encode(c, s);
        if (!n)
            continue;
        wrong += zn_utf8_length(s, n) != n || zn_utf8_length(s, 4) != n;
        wrong += n > 1 && zn_utf8_length(s, n - 1) != 0;
    }
    ZN_EQUAL_INT(wrong, 0);
}

/* Whatever three bytes are taken for a sequence decode to a code point that is written in just these bytes. */
static void nothing_else(void) {
    size_t wrong = 0, taken = 0;
    for (uint32_t x = 0; x < 0x1000000; x++) {
        char s[3] = {(char)(x >> 16), (char)(x >> 8), (char)x}, again[4];
        size_t n = zn_utf8_length(s, 3);
        if (n < 2)
            continue;
        uint32_t c = (unsigned char)s[0] & (n == 2 ? 0x1f : 0x0f);
        for (size_t i = 1; i < n; i++)
            c = c << 6 | ((unsigned char)s[i] & 0x3f);
        taken += n == 3;
        wrong += encode(c, again) != n || memcmp(s, again, n) != 0;
    }
    ZN_EQUAL_INT(wrong, 0);
    ZN_EQUAL_INT(taken, 0x10000 - 0x800 - 0x800);
    static const char *const bad[] = {"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                      "\xff\xbf\xbf\xbf"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ZN_EQUAL_INT(zn_utf8_length(bad[i], 4), 0);
}

static void check_json(const char *s, const char *expected) {
    zn_buf b = {0};
    zn_buf_json(&b, s);
    ZN_EQUAL_STR(zn_buf_str(&b), expected);
    zn_buf_free(&b);
}

static void json(void) {
    check_json("", "\"\"");
    check_json("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    check_json("\n\t\r\x01\x1f\x7f", "\"\\n\\t\\r\\u0001\\u001f\x7f\"");
    check_json("\xc3\xa4\xf0\x9f\x98\x80", "\"\xc3\xa4\xf0\x9f\x98\x80\"");
    check_json("a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void byte_order_mark(void) {
    ZN_EQUAL_INT(zn_utf8_bom("\xef\xbb\xbfmodel", 8), 3);
    ZN_EQUAL_INT(zn_utf8_bom("\xef\xbb\xbf", 3), 3);
    ZN_EQUAL_INT(zn_utf8_bom("\xef\xbb", 2), 0);
    ZN_EQUAL_INT(zn_utf8_bom("model", 5), 0);
}

#define TESTS(X) X(every_code_point) X(nothing_else) X(json) X(byte_order_mark)
ZN_UNIT_MAIN("utf8", TESTS)
