/* Initial values from formulas (see support/formula.h); allocation-free.
 *
 * Element e of a random tensor depends on e alone: word e % 4 of counter (low e / 4, high e / 4, 0, 0). Normal deviates
 * are Box-Muller pairs (w0, w1) and (w2, w3): radius from the first word, angle from the second; the even element is
 * the cosine, the odd one the sine. The radius uses a number in (0, 1], so its logarithm is finite (at most 5.8
 * deviations). */
#include "support/formula.h"

#include "support/math.h"
#include "support/philox.h"

#include <math.h>
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

enum { PART = 1 << 16 }; /* elements; a multiple of 4 */

int64_t zn_formula_parts(const zn_formula *f, int rank, const int64_t *dim) {
    bool whole = f->kind == ZN_FORMULA_IDENTITY || f->kind == ZN_FORMULA_HADAMARD || f->kind == ZN_FORMULA_ORTHOGONAL;
    return whole ? 1 : (elements(rank, dim) + PART - 1) / PART;
}

void zn_formula_part(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, int64_t part,
                     float *out) {
    int64_t all = elements(rank, dim), first = part * PART, n = all - first < PART ? all - first : PART;
    switch (f->kind) {
    case ZN_FORMULA_CONST:
        for (int64_t i = first; i < first + n; i++)
            out[i] = f->a;
        break;
    case ZN_FORMULA_IDENTITY:
    case ZN_FORMULA_HADAMARD: {
        /* The centre is the tap that padding `same` lays on the pixel itself. */
        int64_t taps_before = rank == 4 ? (dim[0] - 1) / 2 * dim[1] + (dim[1] - 1) / 2 : 0;
        int64_t in = rank >= 2 ? dim[rank - 2] : 1, outs = rank >= 1 ? dim[rank - 1] : 1;
        memset(out, 0, (size_t)all * sizeof *out);
        fill_tap(f, in, outs, out + taps_before * in * outs);
        break;
    }
    case ZN_FORMULA_NORMAL:
    case ZN_FORMULA_UNIFORM:
        fill_random(f, zn_philox_key_make(seed, ZN_PURPOSE_INIT, name), first, n, out + first);
        break;
    case ZN_FORMULA_ORTHOGONAL: {
        const zn_formula deviates = {ZN_FORMULA_NORMAL, 1, false};
        int64_t outs = rank >= 1 ? dim[rank - 1] : 1;
        fill_random(&deviates, zn_philox_key_make(seed, ZN_PURPOSE_INIT, name), 0, all, out);
        orthogonal(f->a, all / outs, outs, out);
        break;
    }
    case ZN_FORMULA_COUNT:
        break;
    }
}

void zn_formula_eval(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, float *out) {
    for (int64_t i = 0, n = zn_formula_parts(f, rank, dim); i < n; i++)
        zn_formula_part(f, rank, dim, name, seed, i, out);
}
