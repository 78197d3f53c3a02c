/* Headers of .npy files (see runtime/npy.h), after numpy/lib/format.py: the magic 93 "NUMPY", a version of two bytes,
 * the length of the header (2 bytes in version 1, 4 in 2 and 3, little-endian), and a dictionary as Python writes it:
 * {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), } with spaces and a line feed behind.
 *
 * A header is not trusted: each key stands once, there is nothing else, and the sizes, checked as they are multiplied,
 * must come out at exactly the bytes that follow. */
#include "runtime/npy.h"

#include "support/number.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct scan {
    const char *path;
    const uint8_t *at;
    size_t i, end; /* of the header in the file */
    zn_rt_error *e;
} scan;

static void skip_spaces(scan *s) {
    while (s->i < s->end && (s->at[s->i] == ' ' || s->at[s->i] == '\n' || s->at[s->i] == '\t'))
        s->i++;
}

static int wrong(scan *s, const char *what) {
    return zn_rt_fail(s->e, ZN_RT_INPUT, "%s: %s at byte %zu of its header", s->path, what, s->i);
}

static bool take(scan *s, char c) {
    skip_spaces(s);
    if (s->i >= s->end || s->at[s->i] != (uint8_t)c)
        return false;
    s->i++;
    return true;
}

/* A string in single or double quotes without escapes. */
static int take_string(scan *s, char out[32]) {
    skip_spaces(s);
    size_t n = 0;
    uint8_t quote = s->i < s->end ? s->at[s->i] : 0;
    if (quote != '\'' && quote != '"')
        return wrong(s, quote == '[' ? "a structured array, which is not supported," : "a string is missing");
    for (s->i++; s->i < s->end && s->at[s->i] != quote; s->i++) {
        if (n + 1 >= 32 || s->at[s->i] < ' ' || s->at[s->i] > '~' || s->at[s->i] == '\\')
            return wrong(s, "a string that means nothing");
        out[n++] = (char)s->at[s->i];
    }
    out[n] = '\0';
    return s->i++ < s->end ? 0 : wrong(s, "a string without an end");
}

static int take_shape(scan *s, zn_rt_npy *a) {
    bool comma = true;
    a->rank = 0;
    if (!take(s, '('))
        return wrong(s, "the shape is missing");
    while (!take(s, ')')) {
        size_t first = s->i;
        if (a->rank == ZN_RT_NPY_RANK)
            return wrong(s, "a shape of more than 8 dimensions");
        while (s->i < s->end && s->at[s->i] >= '0' && s->at[s->i] <= '9')
            s->i++;
        if (!comma || !zn_i64_parse((const char *)s->at + first, s->i - first, &a->dim[a->rank]))
            return wrong(s, "a dimension that is not a number, or is too large,");
        a->rank++;
        if (s->i < s->end && s->at[s->i] == 'L') /* of Python 2 */
            s->i++;
        comma = take(s, ',');
    }
    return 0;
}

/* "<f4" and its like. */
static int set_type(scan *s, zn_rt_npy *a, const char *descr) {
    static const char known[] = "uif";
    const char *kind = descr[0] ? strchr(known, descr[1]) : NULL;
    bool order = descr[0] == '<' || descr[0] == '|' || descr[0] == '=' || descr[0] == '>';
    int size = order && kind && *kind && descr[2] && !descr[3] ? descr[2] - '0' : 0;
    if ((size != 1 && size != 2 && size != 4 && size != 8) || (*kind == 'f' && size < 4))
        return zn_rt_fail(s->e, ZN_RT_INPUT,
                          "%s: has elements of dtype `%s`, which is not supported: save integers or floats", s->path,
                          descr);
    if (descr[0] == '>' && size > 1)
        return zn_rt_fail(s->e, ZN_RT_INPUT, "%s: is big-endian (dtype `%s`): save x.astype(x.dtype.newbyteorder('<'))",
                          s->path, descr);
    a->type = (zn_rt_npy_type)(kind - known);
    a->size = size;
    return 0;
}

static int take_dictionary(scan *s, zn_rt_npy *a) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    char key[32], descr[32] = "";
    int seen = 0, code = take(s, '{') ? 0 : wrong(s, "the dictionary is missing");
    bool fortran = false, comma = true;
    while (!code && !take(s, '}')) {
        code = comma ? take_string(s, key) : wrong(s, "a comma is missing");
        if (code)
            return code;
        int which = !strcmp(key, "descr")           ? DESCR
                    : !strcmp(key, "fortran_order") ? ORDER
                    : !strcmp(key, "shape")         ? SHAPE
                                                    : 0;
        if (!which || (seen & which) || !take(s, ':'))
            return wrong(s, "a key that is unknown, twice, or without a value");
        seen |= which;
        skip_spaces(s);
        if (which == DESCR) {
            code = take_string(s, descr);
        } else if (which == SHAPE) {
            code = take_shape(s, a);
        } else {
            fortran = s->end - s->i >= 4 && !memcmp(s->at + s->i, "True", 4);
            if (!fortran && (s->end - s->i < 5 || memcmp(s->at + s->i, "False", 5) != 0))
                return wrong(s, "neither True nor False");
            s->i += fortran ? 4 : 5;
        }
        comma = take(s, ',');
    }
    skip_spaces(s);
    if (!code && s->i != s->end)
        code = wrong(s, "something behind the dictionary");
    if (!code && seen != (DESCR | ORDER | SHAPE))
        code = zn_rt_fail(s->e, ZN_RT_INPUT, "%s: its header lacks descr, fortran_order or shape", s->path);
    if (!code)
        code = set_type(s, a, descr);
    if (!code && fortran && a->rank > 1)
        code = zn_rt_fail(s->e, ZN_RT_INPUT, "%s: is in Fortran order: save numpy.ascontiguousarray(x)", s->path);
    return code;
}

static int check_sizes(const zn_rt_npy *a, const char *path, size_t size, zn_rt_error *e) {
    int64_t bytes = 0, have = (int64_t)(size - a->offset);
    if (a->count < 0 || !zn_mul_ok(a->count, a->size, &bytes))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: its shape is too large", path);
    if (bytes > have)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: ends at byte %zu; its header promises %" PRId64 " bytes more", path,
                          size, bytes - have);
    if (bytes < have)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: goes on after its last element, from byte %zu", path,
                          a->offset + (size_t)bytes);
    return 0;
}

int zn_rt_npy_parse(zn_rt_npy *a, const char *path, const uint8_t *at, size_t size, zn_rt_error *e) {
    static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
    if (size < 10 || memcmp(at, magic, sizeof magic) != 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: is not an .npy file, which starts with the byte 93 and NUMPY%s", path,
                          size >= 2 && at[0] == 0x1f && at[1] == 0x8b ? "; it is compressed: unpack it"
                          : size >= 2 && at[0] == 'P' && at[1] == 'K' ? "; it is an archive (.npz): save each array"
                                                                      : "");
    bool two = at[6] == 1;
    if (at[6] < 1 || at[6] > 3 || at[7] != 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has version %d.%d of the .npy format; known are 1.0, 2.0 and 3.0", path,
                          at[6], at[7]);
    size_t first = two ? 10 : 12, n = (size_t)at[8] | (size_t)at[9] << 8;
    if (!two && size >= first)
        n |= (size_t)at[10] << 16 | (size_t)at[11] << 24;
    if (size < first || n > size - first)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: ends at byte %zu, inside its header", path, size);
    scan s = {path, at, first, first + n, e};
    int code = take_dictionary(&s, a);
    if (code)
        return code;
    a->offset = first + n;
    a->count = 1;
    for (int i = 0; i < a->rank && a->count >= 0; i++)
        if (!zn_mul_ok(a->count, a->dim[i], &a->count))
            a->count = -1;
    return check_sizes(a, path, size, e);
}

int zn_rt_npy_open(zn_rt_npy *a, const char *path, zn_rt_error *e) {
    *a = (zn_rt_npy){0};
    int code = zn_rt_map(&a->file, path, e);
    if (!code)
        code = zn_rt_npy_parse(a, path, a->file.at, a->file.size, e);
    if (code)
        zn_rt_npy_close(a);
    return code;
}

void zn_rt_npy_close(zn_rt_npy *a) {
    zn_rt_unmap(&a->file);
    *a = (zn_rt_npy){0};
}

/* The bits of element i, without its sign. */
static uint64_t bits_of(const zn_rt_npy *a, const uint8_t *at, int64_t i) {
    uint64_t x = 0;
    memcpy(&x, at + a->offset + (size_t)i * (size_t)a->size, (size_t)a->size);
    return x;
}

int64_t zn_rt_npy_int(const zn_rt_npy *a, const uint8_t *at, int64_t i, bool *fits) {
    uint64_t x = bits_of(a, at, i), sign = UINT64_C(1) << (8 * a->size - 1);
    *fits = a->type != ZN_RT_NPY_UINT || x <= INT64_MAX;
    if (a->type == ZN_RT_NPY_INT && a->size < 8 && (x & sign))
        return (int64_t)x - (int64_t)(2 * sign);
    int64_t value;
    memcpy(&value, &x, sizeof value);
    return value;
}

double zn_rt_npy_double(const zn_rt_npy *a, const uint8_t *at, int64_t i) {
    uint64_t x = bits_of(a, at, i);
    bool fits;
    float f;
    double d;
    if (a->type != ZN_RT_NPY_FLOAT) {
        int64_t v = zn_rt_npy_int(a, at, i, &fits);
        return fits ? (double)v : (double)x;
    }
    if (a->size == 8) {
        memcpy(&d, &x, sizeof d);
        return d;
    }
    uint32_t low = (uint32_t)x;
    memcpy(&f, &low, sizeof f);
    return (double)f;
}
