/* Whitening filters, as K. Jordan's first layer for CIFAR-10 has them (arXiv 2404.00498).
 *
 * A patch is kh x kw x c numbers p, in the order of the weights; K of them. The matrix is the mean of p p^T (no mean is
 * taken off: it is what the filters see) over every place of a window inside every image. Its eigenvectors v, by
 * falling eigenvalue l, become filters v / sqrt(l + eps), so that their outputs are uncorrelated and have a mean square
 * of l / (l + eps). Filters [0, K) are these, or the first of them where there are fewer outputs; where there are at
 * least 2 K outputs the next K are their negatives, so that with a rectifier behind nothing is lost. What is left over
 * is 0.
 *
 * The matrix is a function of the data alone: sums of products of bytes are whole numbers, exact in any order; of
 * pixels that are floats they are made in double precision, in order of images and of 16 parts of them. They become
 * what the network sees (factor p + shift in each channel) afterwards. An eigenvector's sign is the one that makes its
 * largest element positive: the first of those that are as large but for rounding. Which basis equal eigenvalues have
 * is LAPACK's choice, a function of the matrix. */
#include "runtime/whitening.h"

#include "runtime/lapack.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 16, CHUNK = 1024 }; /* of the images; patches at a time: their products fit in 32 bits */

typedef struct sums {
    const zn_rt_dataset *d;
    int64_t dim[3]; /* kh, kw, c */
    int64_t taps, images;
    int16_t *patch;    /* [PARTS][taps][CHUNK] */
    uint64_t *product; /* [PARTS][taps][taps], j >= i */
    uint64_t *sum;     /* [PARTS][taps] */
    float *real_patch; /* the same where pixels are floats; else NULL */
    double *real_product, *real_sum;
} sums;

static void sums_close(sums *s) {
    free(s->patch);
    free(s->product);
    free(s->sum);
    free(s->real_patch);
    free(s->real_product);
    free(s->real_sum);
}

static int sums_open(sums *s, zn_rt_error *e) {
    size_t taps = (size_t)s->taps;
    if (s->d->split[0].floats) {
        s->real_patch = malloc(PARTS * taps * CHUNK * sizeof *s->real_patch);
        s->real_product = calloc(PARTS * taps * taps, sizeof *s->real_product);
        s->real_sum = calloc(PARTS * taps, sizeof *s->real_sum);
        if (s->real_patch && s->real_product && s->real_sum)
            return 0;
        sums_close(s);
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the covariance of patches of %zu numbers", taps);
    }
    s->patch = malloc(PARTS * taps * CHUNK * sizeof *s->patch);
    s->product = calloc(PARTS * taps * taps, sizeof *s->product);
    s->sum = calloc(PARTS * taps, sizeof *s->sum);
    if (s->patch && s->product && s->sum)
        return 0;
    sums_close(s);
    return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the covariance of patches of %zu numbers", taps);
}

/* Sums over n patches that lie in `patch`. */
static void add_chunk(const int16_t *patch, int64_t taps, int64_t n, uint64_t *product, uint64_t *sum) {
    for (int64_t i = 0; i < taps; i++) {
        const int16_t *a = patch + i * CHUNK;
        for (int64_t j = i; j < taps; j++) {
            const int16_t *b = patch + j * CHUNK;
            int32_t dot = 0;
            for (int64_t k = 0; k < n; k++)
                dot += a[k] * b[k];
            product[i * taps + j] += (uint64_t)dot;
        }
        int32_t all = 0;
        for (int64_t k = 0; k < n; k++)
            all += a[k];
        sum[i] += (uint64_t)all;
    }
}

/* The same of floats. */
static void add_real_chunk(const float *patch, int64_t taps, int64_t n, double *product, double *sum) {
    for (int64_t i = 0; i < taps; i++) {
        const float *a = patch + i * CHUNK;
        for (int64_t j = i; j < taps; j++) {
            const float *b = patch + j * CHUNK;
            double dot = 0;
            for (int64_t k = 0; k < n; k++)
                dot += (double)a[k] * (double)b[k];
            product[i * taps + j] += dot;
        }
        double all = 0;
        for (int64_t k = 0; k < n; k++)
            all += (double)a[k];
        sum[i] += all;
    }
}

/* Places [first, first + n) of the window in an image that begins at element `at` of the pixels, in order of rows, into
 * the patches of a part. */
static void take_patches(const sums *s, int64_t image, int64_t first, int64_t n, int64_t part) {
    const zn_rt_split *split = &s->d->split[0];
    int64_t kw = s->dim[1], c = s->dim[2], width = s->d->width, across = width - kw + 1;
    for (int64_t tap = 0; tap < s->taps; tap++) {
        int64_t to = (part * s->taps + tap) * CHUNK;
        int64_t dy = tap / (kw * c), dx = tap / c % kw, y = first / across, x = first % across;
        for (int64_t k = 0; k < n; y++, x = 0) {
            int64_t run = across - x < n - k ? across - x : n - k;
            int64_t from = image + ((y + dy) * width + x + dx) * c + tap % c;
            if (split->floats)
                for (int64_t i = 0; i < run; i++)
                    s->real_patch[to + k + i] = split->floats[from + i * c];
            else
                for (int64_t i = 0; i < run; i++)
                    s->patch[to + k + i] = split->pixels[from + i * c];
            k += run;
        }
    }
}

static void add_parts(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const sums *s = ctx;
    const zn_rt_dataset *d = s->d;
    int64_t places = (d->height - s->dim[0] + 1) * (d->width - s->dim[1] + 1);
    (void)scratch;
    for (int64_t part = begin; part < end; part++)
        for (int64_t i = s->images * part / PARTS; i < s->images * (part + 1) / PARTS; i++)
            for (int64_t at = 0; at < places; at += CHUNK) {
                int64_t n = places - at < CHUNK ? places - at : CHUNK;
                take_patches(s, zn_rt_item(&d->split[0], i) * d->height * d->width * d->channels, at, n, part);
                if (s->real_patch)
                    add_real_chunk(s->real_patch + part * s->taps * CHUNK, s->taps, n,
                                   s->real_product + part * s->taps * s->taps, s->real_sum + part * s->taps);
                else
                    add_chunk(s->patch + part * s->taps * CHUNK, s->taps, n, s->product + part * s->taps * s->taps,
                              s->sum + part * s->taps);
            }
}

/* All of it in the sums of part 0. */
static void join(sums *s) {
    for (int64_t part = 1; part < PARTS; part++) {
        for (int64_t i = 0; i < s->taps * s->taps; i++)
            if (s->real_product)
                s->real_product[i] += s->real_product[part * s->taps * s->taps + i];
            else
                s->product[i] += s->product[part * s->taps * s->taps + i];
        for (int64_t i = 0; i < s->taps; i++)
            if (s->real_sum)
                s->real_sum[i] += s->real_sum[part * s->taps + i];
            else
                s->sum[i] += s->sum[part * s->taps + i];
    }
}

/* The mean of p p^T, p in the numbers of the network. */
static void matrix_of(const sums *s, const zn_rt_pixel *pixel, double *matrix) {
    int64_t places = (s->d->height - s->dim[0] + 1) * (s->d->width - s->dim[1] + 1);
    double n = (double)(s->images * places);
    for (int64_t i = 0; i < s->taps; i++)
        for (int64_t j = i; j < s->taps; j++) {
            zn_rt_pixel a = pixel[i % s->dim[2]], b = pixel[j % s->dim[2]];
            int64_t at = i * s->taps + j;
            double product = (s->real_product ? s->real_product[at] : (double)s->product[at]) / n,
                   x = (s->real_sum ? s->real_sum[i] : (double)s->sum[i]) / n,
                   y = (s->real_sum ? s->real_sum[j] : (double)s->sum[j]) / n;
            matrix[i * s->taps + j] = matrix[j * s->taps + i] =
                a.factor * b.factor * product + a.factor * b.shift * x + a.shift * b.factor * y + a.shift * b.shift;
        }
}

static double sign_of(const double *v, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabs(v[i]) > most ? fabs(v[i]) : most;
    for (int64_t i = 0; i < n; i++)
        if (fabs(v[i]) >= most * (1 - 1e-6))
            return v[i] < 0 ? -1 : 1;
    return 1;
}

/* Rows of `vector` are eigenvectors, values ascending. */
static void fill(const double *vector, const double *value, int64_t taps, int64_t out, double eps, float *w) {
    memset(w, 0, (size_t)(taps * out) * sizeof *w);
    for (int64_t k = 0; k < taps && k < out; k++) {
        const double *v = vector + (taps - 1 - k) * taps;
        double l = value[taps - 1 - k], scale = sign_of(v, taps) / sqrt((l > 0 ? l : 0) + eps);
        for (int64_t tap = 0; tap < taps; tap++) {
            float x = (float)(v[tap] * scale);
            w[tap * out + k] = x;
            if (out >= 2 * taps)
                w[tap * out + taps + k] = -x;
        }
    }
}

int zn_rt_whitening(const zn_rt_dataset *d, const zn_rt_pixel *pixel, const int64_t dim[4], int64_t samples, double eps,
                    zn_rt_pool *pool, float *w, zn_rt_error *e) {
    sums s = {.d = d, .dim = {dim[0], dim[1], dim[2]}, .taps = dim[0] * dim[1] * dim[2]};
    s.images = samples < d->split[0].n ? samples : d->split[0].n;
    if (dim[2] != d->channels || dim[0] > d->height || dim[1] > d->width)
        return zn_rt_fail(e, ZN_RT_INTERNAL, "patches of %" PRId64 " x %" PRId64 " do not fit the images", dim[0],
                          dim[1]);
    int code = sums_open(&s, e);
    if (code)
        return code;
    zn_rt_parfor(pool, add_parts, &s, PARTS, 1);
    join(&s);
    double *matrix = malloc((size_t)(s.taps * s.taps + s.taps) * sizeof *matrix);
    if (!matrix)
        code = zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %" PRId64 " filters", s.taps);
    if (!code) {
        double *value = matrix + s.taps * s.taps;
        matrix_of(&s, pixel, matrix);
        code = zn_rt_symmetric_eigen(s.taps, matrix, value, e);
        if (!code)
            fill(matrix, value, s.taps, dim[3], eps, w);
    }
    free(matrix);
    sums_close(&s);
    return code;
}
