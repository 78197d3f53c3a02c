/* Initial values from formulas (see support/formula.h).
 *
 * Element e of a random tensor depends on e alone: word e % 4 of counter (low e / 4, high e / 4, 0, 0). Normal deviates
 * are Box-Muller pairs (w0, w1) and (w2, w3): radius from the first word, angle from the second; the even element is
 * the cosine, the odd one the sine. The radius uses a number in (0, 1], so its logarithm is finite (at most 5.8
 * deviations). */
#include "support/formula.h"

#include "support/math.h"
#include "support/philox.h"
#include "support/signs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const zn_formula_names[ZN_FORMULA_COUNT] = {
#define X(ID, text) text,
    ZN_FORMULAS(X)
#undef X
};

/* J_i of the spanning order: 1, 2, 4, ..., 2^(m-1), then the numbers that are no such power, ascending. */
int64_t zn_spanning_index(int64_t i, int m) {
    if (i < m)
        return INT64_C(1) << i;
    /* i - m numbers that are no power come before the answer; add the powers at or below it. */
    int64_t j = i - m;
    for (int k = 0; k < m; k++)
        if (INT64_C(1) << k <= j)
            j++;
    return j;
}

static int ceil_log2(int64_t n) {
    int m = 0;
    while (m < 62 && INT64_C(1) << m < n)
        m++;
    return m;
}

/* A weight as taps [taps][in][out]; tensors of lower rank have one tap, and vectors one input. */
typedef struct shape {
    int64_t taps, centre, in, out;
} shape;

int64_t zn_formula_centre(const int64_t *dim) {
    return (dim[0] - 1) / 2 * dim[1] + (dim[1] - 1) / 2;
}

static shape shape_of(int rank, const int64_t *dim) {
    shape s = {1, 0, rank >= 2 ? dim[rank - 2] : 1, rank >= 1 ? dim[rank - 1] : 1};
    if (rank == 4) {
        s.taps = dim[0] * dim[1];
        s.centre = zn_formula_centre(dim);
    }
    return s;
}

/* w[in][out] of the centre tap. */
static void fill_tap(const zn_formula *f, int64_t in, int64_t out, float *w) {
    int m = ceil_log2(out);
    for (int64_t i = 0; i < in; i++) {
        int64_t j = f->spanning ? zn_spanning_index(i, m) : i;
        if (f->kind == ZN_FORMULA_IDENTITY) {
            for (int64_t each = out / (int64_t)f->a, first = 0; j < each && first < out; first += each)
                w[i * out + first + j] = 1.0f;
            continue;
        }
        for (int64_t o = 0; o < out; o++)
            w[i * out + o] = __builtin_parityll((unsigned long long)(o & j)) ? -f->a : f->a;
    }
}

/* Elements [first, first + n) of a random tensor, at out; first is a multiple of 4. */
static void fill_random(const zn_formula *f, zn_philox_key key, int64_t first, int64_t n, float *out) {
    enum { BLOCK = 256 };
    for (int64_t at = 0; at < n; at += BLOCK) {
        uint32_t w[BLOCK];
        float x[BLOCK];
        int64_t left = n - at < BLOCK ? n - at : BLOCK;
        zn_philox_row(key, (uint64_t)(first + at) / 4, (int)(left + 3) / 4, w);
        if (f->kind == ZN_FORMULA_NORMAL) {
            zn_normal_deviates(w, (int)(left + 3) / 4 * 4, f->a, x);
        } else {
            for (int64_t i = 0; i < left; i++)
                x[i] = f->a * (2.0f * zn_philox_unit(w[i]) - 1.0f);
        }
        memcpy(out + at, x, (size_t)left * sizeof *x);
    }
}

/* v of n numbers, `step` apart, to length 1. */
static void normalise(float *v, int64_t n, int64_t step) {
    double square = 0;
    for (int64_t k = 0; k < n; k++)
        square += (double)v[k * step] * (double)v[k * step];
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (int64_t k = 0; k < n; k++)
        v[k * step] = (float)((double)v[k * step] * scale);
}

/* Columns of m [n][all] orthonormal, n >= all: column j less its projections on those before it, a block at a time. */
static void orthonormal_columns(float *m, int64_t n, int64_t all) {
    enum { BLOCK = 128 };
    for (int64_t j = 0; j < all; j++) {
        for (int64_t twice = 0; twice < 2; twice++)
            for (int64_t at = 0; at < j; at += BLOCK) {
                double dot[BLOCK] = {0};
                int64_t width = j - at < BLOCK ? j - at : BLOCK;
                for (int64_t k = 0; k < n; k++)
                    for (int64_t i = 0; i < width; i++)
                        dot[i] += (double)m[k * all + j] * (double)m[k * all + at + i];
                for (int64_t k = 0; k < n; k++) {
                    double along = 0;
                    for (int64_t i = 0; i < width; i++)
                        along += dot[i] * (double)m[k * all + at + i];
                    m[k * all + j] = (float)((double)m[k * all + j] - along);
                }
            }
        normalise(m + j, n, all);
    }
}

/* Rows of m [all][n] orthonormal, n >= all. */
static void orthonormal_rows(float *m, int64_t all, int64_t n) {
    for (int64_t j = 0; j < all; j++) {
        float *v = m + j * n;
        for (int64_t i = 0; i < 2 * j; i++) {
            const float *u = m + i % j * n;
            double dot = 0;
            for (int64_t k = 0; k < n; k++)
                dot += (double)v[k] * (double)u[k];
            for (int64_t k = 0; k < n; k++)
                v[k] = (float)((double)v[k] - dot * (double)u[k]);
        }
        normalise(v, n, 1);
    }
}

static void orthogonal(float a, int64_t n, int64_t out, float *w) {
    if (out <= n)
        orthonormal_columns(w, n, out);
    else
        orthonormal_rows(w, n, out);
    for (int64_t i = 0; i < n * out; i++)
        w[i] *= a;
}

static int64_t elements(int rank, const int64_t *dim) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= dim[i];
    return n;
}

/* ---- formulas of single entries */

/* k (j / K + 1 / out) in units of a turn, the whole turns left out: the numerator over K out. */
static double sinusoid(int64_t i, int64_t j, int64_t entries, int64_t out) {
    uint64_t n = (uint64_t)entries * (uint64_t)out, k = (uint64_t)i + 1;
    uint64_t turn = (uint64_t)(((__uint128_t)k * ((uint64_t)j * (uint64_t)out + (uint64_t)entries)) % n);
    return zn_sinpi(2.0 * ((double)turn / (double)n));
}

double zn_sinusoidal_mean_square(int64_t entries, int64_t out) {
    double sum = 0;
    for (int64_t i = 0; i < out; i++) {
        double row = 0;
        for (int64_t j = 0; j < entries; j++) {
            double x = sinusoid(i, j, entries, out);
            row += x * x;
        }
        sum += row;
    }
    return sum / ((double)entries * (double)out);
}

/* Row `row` of [taps in][out], a tap and an input: the outputs. */
static void fill_row(const zn_formula *f, const zn_paley *paley, shape s, int64_t row, float *out) {
    int64_t t = row / s.in, c = row % s.in, j = c * s.taps + t, entries = s.taps * s.in;
    int64_t period = entries < s.out ? entries : s.out;
    switch (f->kind) {
    case ZN_FORMULA_DENSE_HADAMARD:
        zn_dense_signs(s.out, entries, j, f->q, f->spanning, f->a, out);
        break;
    case ZN_FORMULA_GOLD:
        zn_gold_signs(s.out, s.in, s.taps, c, t, f->a, out);
        break;
    case ZN_FORMULA_PALEY:
        zn_paley_signs(paley, s.out, j, f->a, out);
        break;
    case ZN_FORMULA_SINUSOIDAL:
        for (int64_t i = 0; i < s.out; i++)
            out[i] = f->a * (float)sinusoid(i, j, entries, s.out);
        break;
    default: /* padded_identity */
        for (int64_t i = 0; i < s.out; i++)
            out[i] = i % period == j % period ? f->a : 0.0f;
        break;
    }
}

/* ---- RISOTTO */

/* The matrix M [in][out] that a weight called `name` starts from. */
static void semi_orthogonal(const char *name, uint64_t seed, int64_t in, int64_t out, float *m) {
    const zn_formula deviates = {.kind = ZN_FORMULA_NORMAL, .a = 1};
    fill_random(&deviates, zn_philox_key_make(seed, ZN_PURPOSE_INIT, name), 0, in * out, m);
    orthogonal(1, in, out, m);
}

/* m -= a (A B), A [in][inner], B [inner][out]: false without memory. */
static bool less_product(const zn_formula *f, uint64_t seed, int64_t in, int64_t out, float *m) {
    int64_t inner = f->inner / 2;
    float *a = calloc((size_t)(in * inner + 3), sizeof *a), *b = calloc((size_t)(inner * out + 3), sizeof *b);
    bool ok = a && b;
    if (ok) {
        semi_orthogonal(f->of[0], seed, in, inner, a);
        semi_orthogonal(f->of[1], seed, inner, out, b);
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < out; o++) {
                double sum = 0;
                for (int64_t k = 0; k < inner; k++)
                    sum += (double)a[i * inner + k] * (double)b[k * out + o];
                m[i * out + o] = (float)((double)m[i * out + o] - (double)f->a * sum);
            }
    }
    free(a);
    free(b);
    return ok;
}

/* The centre tap [in][out] of two or four blocks of M, which is made at the end of the tap (a quarter or half of it).
 */
static bool mirror(const zn_formula *f, const char *name, uint64_t seed, int64_t in, int64_t out, float *w) {
    bool four = f->kind != ZN_FORMULA_MIRRORED;
    int64_t rows = four ? in / 2 : in, half = out / 2;
    float *m = calloc((size_t)(rows * half + 3), sizeof *m);
    if (!m)
        return false;
    semi_orthogonal(name, seed, rows, half, m);
    bool ok = f->kind != ZN_FORMULA_LOOKS_LINEAR_LESS_PRODUCT || less_product(f, seed, rows, half, m);
    for (int64_t i = 0; ok && i < (four ? 2 : 1) * rows; i++)
        for (int64_t o = 0; o < 2 * half; o++) {
            float x = m[i % rows * half + o % half];
            w[i * out + o] = (i < rows) == (o < half) ? x : -x;
        }
    free(m);
    for (int64_t i = 0; ok && f->kind == ZN_FORMULA_LOOKS_LINEAR_LESS_IDENTITY && i < in && i < out; i++)
        w[i * out + i] -= 1;
    for (int64_t i = 0; ok && f->kind == ZN_FORMULA_LOOKS_LINEAR_LESS_IDENTITY && i < in * out; i++)
        w[i] *= f->a;
    return ok;
}

/* ---- the whole */

/* In the centre of a weight of zeros. */
static bool fill_centre(const zn_formula *f, shape s, const char *name, uint64_t seed, float *w) {
    switch (f->kind) {
    case ZN_FORMULA_CENTRE:
        for (int64_t i = 0; i < s.in * s.out; i++)
            w[i] = f->a;
        return true;
    case ZN_FORMULA_DELTA_ORTHOGONAL:
        semi_orthogonal(name, seed, s.in, s.out, w);
        for (int64_t i = 0; i < s.in * s.out; i++)
            w[i] *= f->a;
        return true;
    case ZN_FORMULA_IDENTITY:
    case ZN_FORMULA_HADAMARD:
        fill_tap(f, s.in, s.out, w);
        return true;
    default:
        return mirror(f, name, seed, s.in, s.out, w);
    }
}

enum { PART = 1 << 16 }; /* elements; a multiple of 4 */

/* How elements are made: in any parts, in rows of outputs, or all at once. */
typedef enum way { BY_ELEMENT, BY_ROW, WHOLE, IN_CENTRE } way;
static way way_of(zn_formula_kind k) {
    switch (k) {
    case ZN_FORMULA_CONST:
    case ZN_FORMULA_NORMAL:
    case ZN_FORMULA_UNIFORM:
        return BY_ELEMENT;
    case ZN_FORMULA_DENSE_HADAMARD:
    case ZN_FORMULA_GOLD:
    case ZN_FORMULA_PALEY:
    case ZN_FORMULA_SINUSOIDAL:
    case ZN_FORMULA_PADDED_IDENTITY:
        return BY_ROW;
    case ZN_FORMULA_ORTHOGONAL:
        return WHOLE;
    default:
        return IN_CENTRE;
    }
}

bool zn_formula_centred(const zn_formula *f) {
    return way_of(f->kind) == IN_CENTRE;
}

bool zn_formula_random(const zn_formula *f) {
    switch (f->kind) {
    case ZN_FORMULA_NORMAL:
    case ZN_FORMULA_UNIFORM:
    case ZN_FORMULA_ORTHOGONAL:
    case ZN_FORMULA_DELTA_ORTHOGONAL:
    case ZN_FORMULA_MIRRORED:
    case ZN_FORMULA_LOOKS_LINEAR:
    case ZN_FORMULA_LOOKS_LINEAR_LESS_IDENTITY:
    case ZN_FORMULA_LOOKS_LINEAR_LESS_PRODUCT:
        return true;
    default:
        return false;
    }
}

static int64_t rows_of_part(shape s) {
    return s.out < PART ? PART / s.out : 1;
}

int64_t zn_formula_parts(const zn_formula *f, int rank, const int64_t *dim) {
    shape s = shape_of(rank, dim);
    switch (way_of(f->kind)) {
    case BY_ELEMENT: /* `dirac` looks for its outputs in whole rows */
        if (!f->dirac)
            return (elements(rank, dim) + PART - 1) / PART;
        return 1;
    case BY_ROW:
        return (s.taps * s.in + rows_of_part(s) - 1) / rows_of_part(s);
    case WHOLE:
    case IN_CENTRE:
        break;
    }
    return 1;
}

static void fill_elements(const zn_formula *f, zn_philox_key key, int64_t first, int64_t n, float *out) {
    if (f->kind != ZN_FORMULA_CONST)
        fill_random(f, key, first, n, out);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = f->a;
}

/* The identity for the first outputs of each group, in rows [first, end). */
static void put_dirac(const zn_formula *f, shape s, int64_t first, int64_t end, float *w) {
    int64_t each = s.out / f->dirac, some = s.in < each ? s.in : each;
    for (int64_t row = first; row < end; row++)
        for (int64_t o = 0; o < s.out; o++)
            if (o % each < some)
                w[row * s.out + o] = row / s.in == s.centre && row % s.in == o % each ? 1.0f : 0.0f;
}

bool zn_formula_part(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, int64_t part,
                     float *out) {
    shape s = shape_of(rank, dim);
    int64_t all = elements(rank, dim), rows = s.taps * s.in, first = 0, end = rows;
    bool ok = true;
    switch (way_of(f->kind)) {
    case BY_ELEMENT: {
        zn_philox_key key = zn_philox_key_make(seed, ZN_PURPOSE_INIT, name);
        int64_t from = part * PART, left = all - from;
        fill_elements(f, key, from, f->dirac || left < PART ? left : PART, out + from);
        break;
    }
    case BY_ROW: {
        zn_paley paley = {0};
        if (f->kind == ZN_FORMULA_PALEY)
            paley = zn_paley_make(s.out, rows);
        first = part * rows_of_part(s);
        end = first + rows_of_part(s) < rows ? first + rows_of_part(s) : rows;
        for (int64_t row = first; row < end; row++)
            fill_row(f, &paley, s, row, out + row * s.out);
        break;
    }
    case WHOLE: {
        const zn_formula deviates = {.kind = ZN_FORMULA_NORMAL, .a = 1};
        fill_random(&deviates, zn_philox_key_make(seed, ZN_PURPOSE_INIT, name), 0, all, out);
        orthogonal(f->a, rows, s.out, out);
        break;
    }
    case IN_CENTRE:
        memset(out, 0, (size_t)all * sizeof *out);
        ok = fill_centre(f, s, name, seed, out + s.centre * s.in * s.out);
        break;
    }
    if (f->dirac)
        put_dirac(f, s, first, end, out);
    return ok;
}

bool zn_formula_eval(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, float *out) {
    bool ok = true;
    for (int64_t i = 0, n = zn_formula_parts(f, rank, dim); i < n; i++)
        ok &= zn_formula_part(f, rank, dim, name, seed, i, out);
    return ok;
}
