/* See utf8.h. The table of well-formed sequences is that of the Unicode standard (section 3.9, table 3-7); strings of
 * JSON are those of RFC 8259, section 7. */
#include "support/utf8.h"

#include <string.h>

size_t zn_utf8_length(const char *text, size_t n) {
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    unsigned char least = s[0] == 0xe0   ? 0xa0
                          : s[0] == 0xf0 ? 0x90
                                         : 0x80, /* below: overlong */
        most = s[0] == 0xed   ? 0x9f
               : s[0] == 0xf4 ? 0x8f
                              : 0xbf; /* above: surrogates, beyond U+10FFFF */
    return s[1] < least || s[1] > most ? 0 : len;
}

size_t zn_utf8_bom(const char *s, size_t n) {
    return n >= 3 && !memcmp(s, "\xef\xbb\xbf", 3) ? 3 : 0;
}

size_t zn_json_char(const char *s, size_t n, char out[ZN_JSON_CHAR_MAX], size_t *len) {
    static const char hex[] = "0123456789abcdef";
    size_t took = zn_utf8_length(s, n);
    unsigned char c = (unsigned char)s[0];
    const char *escaped = c == '"'    ? "\\\""
                          : c == '\\' ? "\\\\"
                          : c == '\n' ? "\\n"
                          : c == '\t' ? "\\t"
                          : c == '\r' ? "\\r"
                          : !took     ? "\xef\xbf\xbd"
                                      : NULL;
    if (escaped) {
        *len = strlen(escaped);
        memcpy(out, escaped, *len);
    } else if (c < 0x20) {
        *len = 6;
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
    } else {
        *len = took;
        memcpy(out, s, took);
    }
    return took ? took : 1;
}
