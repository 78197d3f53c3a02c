/* Numbers as text (see support/number.h), without locale and without allocation.
 *
 * Writing: the fewest significant digits (1, 2, ...) that read back to the same bits, found by trying. Printing and
 * reading go through snprintf and strtod, but only digits cross: the decimal separator, which belongs to the locale, is
 * dropped on the way out and never written on the way in (strtod sees "12345e-3"). All decisions are made on bits, so
 * that a thread which treats denormals as zero writes and reads them all the same. */
#include "support/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More digits than this cannot matter: the exact decimal between two doubles has at most 768; a 1 stands for the rest.
 */
#define MAX_DIGITS 780

static uint64_t f64_bits(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint32_t f32_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* d digits (no point) and the exponent of the first one. */
typedef struct decimal {
    char digit[20];
    int n, exponent;
} decimal;

/* x > 0 in n significant digits. */
static void decimal_round(double x, int n, decimal *d) {
    char text[64];
    int len = snprintf(text, sizeof text, "%.*e", n - 1, x);
    int at = 0;
    d->n = 0;
    for (; at < len && text[at] != 'e'; at++)
        if (text[at] >= '0' && text[at] <= '9')
            d->digit[d->n++] = text[at];
    d->digit[d->n] = '\0';
    d->exponent = (int)strtol(text + at + 1, NULL, 10);
}

static void decimal_text(const decimal *d, char out[64]) {
    snprintf(out, 64, "%se%d", d->digit, d->exponent - (d->n - 1));
}

static void decimal_shortest_f64(double x, decimal *d) {
    char text[64];
    for (int n = 1; n <= 17; n++) {
        decimal_round(x, n, d);
        decimal_text(d, text);
        if (f64_bits(strtod(text, NULL)) == f64_bits(x))
            return;
    }
}

/* bits of a finite positive float. */
static void decimal_shortest_f32(uint32_t bits, decimal *d) {
    char text[64];
    double x;
    if (bits < 0x00800000u) { /* widening would flush it */
        x = (double)bits * 0x1p-149;
    } else {
        float f;
        memcpy(&f, &bits, sizeof f);
        x = (double)f;
    }
    for (int n = 1; n <= 9; n++) {
        decimal_round(x, n, d);
        decimal_text(d, text);
        if (f32_bits(strtof(text, NULL)) == bits)
            return;
    }
}

/* Positional where the point falls near the digits, else scientific; `whole` follows a whole number written without
 * an exponent. */
static void decimal_format(const decimal *d, bool negative, int max_exponent, const char *whole,
                           char out[ZN_NUMBER_MAX]) {
    int n = d->n;
    while (n > 1 && d->digit[n - 1] == '0')
        n--;
    char *p = out;
    if (negative)
        *p++ = '-';
    if (d->exponent >= -5 && d->exponent < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = -1; i > d->exponent; i--)
            *p++ = '0';
        memcpy(p, d->digit, (size_t)n);
        p += n;
        *p = '\0';
    } else if (d->exponent >= 0 && d->exponent < max_exponent) {
        for (int i = 0; i <= d->exponent; i++)
            *p++ = i < n ? d->digit[i] : '0';
        if (n > d->exponent + 1) {
            *p++ = '.';
            memcpy(p, d->digit + d->exponent + 1, (size_t)(n - d->exponent - 1));
            p += n - d->exponent - 1;
            *p = '\0';
        } else {
            snprintf(p, 4, "%s", whole);
        }
    } else {
        *p++ = d->digit[0];
        if (n > 1) {
            *p++ = '.';
            memcpy(p, d->digit + 1, (size_t)n - 1);
            p += n - 1;
        }
        snprintf(p, 8, "e%d", d->exponent);
    }
}

static void f32_write(float x, const char *whole, char out[ZN_NUMBER_MAX]) {
    uint32_t bits = f32_bits(x), magnitude = bits & 0x7fffffffu;
    bool negative = bits >> 31;
    decimal d = {"0", 1, 0};
    if (magnitude == 0) {
        snprintf(out, ZN_NUMBER_MAX, "%s%s", negative ? "-0.0" : "0", negative ? "" : whole);
        return;
    }
    decimal_shortest_f32(magnitude, &d);
    decimal_format(&d, negative, 9, whole, out);
}

static void f64_write(double x, const char *whole, char out[ZN_NUMBER_MAX]) {
    uint64_t bits = f64_bits(x), magnitude = bits & (UINT64_MAX >> 1);
    bool negative = bits >> 63;
    decimal d = {"0", 1, 0};
    if (magnitude == 0) {
        snprintf(out, ZN_NUMBER_MAX, "%s%s", negative ? "-0.0" : "0", negative ? "" : whole);
        return;
    }
    memcpy(&x, &magnitude, sizeof x);
    decimal_shortest_f64(x, &d);
    decimal_format(&d, negative, 16, whole, out);
}

/* "inf", "-inf", "nan", or NULL for a finite number. */
static const char *special_name(bool negative, bool finite, bool nan) {
    if (finite)
        return NULL;
    return nan ? "nan" : negative ? "-inf" : "inf";
}

static const char *f32_special(float x) {
    uint32_t u = f32_bits(x), magnitude = u & 0x7fffffffu;
    return special_name(u >> 31, magnitude < 0x7f800000u, magnitude > 0x7f800000u);
}

static const char *f64_special(double x) {
    uint64_t u = f64_bits(x), magnitude = u & (UINT64_MAX >> 1), inf = UINT64_C(0x7ff) << 52;
    return special_name(u >> 63, magnitude<inf, magnitude> inf);
}

void zn_f32_text(float x, char out[ZN_NUMBER_MAX]) {
    const char *name = f32_special(x);
    if (name)
        snprintf(out, ZN_NUMBER_MAX, "%s", name);
    else
        f32_write(x, ".0", out);
}

void zn_f64_text(double x, char out[ZN_NUMBER_MAX]) {
    const char *name = f64_special(x);
    if (name)
        snprintf(out, ZN_NUMBER_MAX, "%s", name);
    else
        f64_write(x, ".0", out);
}

void zn_f32_json(float x, char out[ZN_NUMBER_MAX]) {
    if (f32_special(x))
        snprintf(out, ZN_NUMBER_MAX, "null");
    else
        f32_write(x, "", out);
}

void zn_f64_json(double x, char out[ZN_NUMBER_MAX]) {
    if (f64_special(x))
        snprintf(out, ZN_NUMBER_MAX, "null");
    else
        f64_write(x, "", out);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "-"? digits* ("." digits*)? ([eE] [+-]? digits+)?, with a digit before the exponent. */
bool zn_f64_parse(const char *s, size_t n, double *out) {
    char text[MAX_DIGITS + 40];
    size_t at = 0, len = 0, ndigit = 0;
    int64_t scale = 0, exponent = 0; /* value = kept digits * 10^(scale + exponent) */
    bool any = false, point = false, rest = false;
    if (at < n && s[at] == '-')
        text[len++] = s[at++];
    for (; at < n && (is_digit(s[at]) || (s[at] == '.' && !point)); at++) {
        if (s[at] == '.') {
            point = true;
            continue;
        }
        any = true;
        if (ndigit == 0 && s[at] == '0') {
            scale -= point; /* zeros in front */
        } else if (ndigit < MAX_DIGITS) {
            text[len++] = s[at];
            ndigit++;
            scale -= point;
        } else {
            rest |= s[at] != '0';
            scale += !point;
        }
    }
    if (!any)
        return false;
    if (at < n && (s[at] == 'e' || s[at] == 'E')) {
        bool minus = false, digits = false;
        at++;
        if (at < n && (s[at] == '-' || s[at] == '+'))
            minus = s[at++] == '-';
        for (; at < n && is_digit(s[at]); at++) {
            digits = true;
            if (exponent < INT64_C(1) << 60)
                exponent = exponent * 10 + (s[at] - '0');
            if (exponent > INT64_C(1) << 58)
                exponent = INT64_C(1) << 58; /* far out of range either way */
        }
        if (!digits)
            return false;
        if (minus)
            exponent = -exponent;
    }
    if (at != n)
        return false;
    if (ndigit == 0) { /* zero, whatever its exponent */
        uint64_t bits = (uint64_t)(len == 1) << 63;
        memcpy(out, &bits, sizeof bits);
        return true;
    }
    if (rest) { /* one more digit: above the kept ones, below the next */
        text[len++] = '1';
        scale--;
    }
    int64_t power = scale + exponent;
    if (power > 100000)
        power = 100000;
    if (power < -100000)
        power = -100000;
    snprintf(text + len, sizeof text - len, "e%" PRId64, power);
    double x = strtod(text, NULL);
    uint64_t magnitude = f64_bits(x) & (UINT64_MAX >> 1);
    if (magnitude == 0 || magnitude == UINT64_C(0x7ff) << 52)
        return false; /* out of range */
    *out = x;
    return true;
}

bool zn_i64_parse(const char *s, size_t n, int64_t *out) {
    size_t at = 0;
    bool minus = n > 0 && s[0] == '-';
    int64_t x = 0;
    at += minus;
    if (at == n)
        return false;
    for (; at < n; at++) { /* negative numbers reach one further */
        if (!is_digit(s[at]) || __builtin_mul_overflow(x, 10, &x) || __builtin_sub_overflow(x, s[at] - '0', &x))
            return false;
    }
    if (!minus && x == INT64_MIN)
        return false;
    *out = minus ? x : -x;
    return true;
}

int64_t zn_part_of(double part, int64_t n) {
    return (int64_t)(part * (double)n + 0.5);
}

bool zn_mul_ok(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

void zn_i64_grouped(int64_t x, char out[ZN_NUMBER_MAX]) {
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRId64, x);
    char *p = out;
    for (int i = 0; i < n; i++) {
        *p++ = text[i];
        int left = n - 1 - i;
        if (text[i] != '-' && left > 0 && left % 3 == 0)
            *p++ = ' ';
    }
    *p = '\0';
}
