/* Statistics of channels (see runtime/statistics.h). Threads change when parts are summed, never what comes out.
 *
 * Sums of bytes and of their squares are whole numbers, exact in any order. Floats are summed in double precision:
 * each sample's mean and sum of squares around it, joined to those of the samples before it in a part (Chan, Golub and
 * LeVeque), then parts in order; which samples a part has is a function of how many there are. */
#include "runtime/statistics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

enum { PARTS = 16 };

typedef struct moments {
    uint64_t sum, squares; /* of bytes */
    double n, mean, m2;    /* of floats; m2: the sum of (x - mean)^2 */
} moments;

typedef struct summing {
    const zn_rt_dataset *d;
    moments *part; /* [PARTS][channels] */
} summing;

static void join(moments *a, double n, double mean, double m2) {
    double delta = mean - a->mean, all = a->n + n;
    a->mean += delta * (n / all);
    a->m2 += m2 + delta * delta * (a->n * n / all);
    a->n = all;
}

static void add_bytes(const uint8_t *p, int64_t pixels, int64_t channels, moments *to) {
    for (int64_t x = 0; x < pixels; x++)
        for (int64_t c = 0; c < channels; c++, p++) {
            to[c].sum += *p;
            to[c].squares += (uint64_t)*p * *p;
        }
}

static void add_floats(const float *p, int64_t pixels, int64_t channels, moments *to) {
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0, m2 = 0, n = (double)pixels;
        for (int64_t x = 0; x < pixels; x++)
            sum += (double)p[x * channels + c];
        for (int64_t x = 0; x < pixels; x++) {
            double far = (double)p[x * channels + c] - sum / n;
            m2 += far * far;
        }
        join(&to[c], n, sum / n, m2);
    }
}

static void add_parts(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const summing *k = ctx;
    const zn_rt_dataset *d = k->d;
    const zn_rt_split *s = &d->split[ZN_RT_TRAINING];
    int64_t pixels = d->height * d->width, image = pixels * d->channels;
    (void)scratch;
    for (int64_t part = begin; part < end; part++)
        for (int64_t i = s->n * part / PARTS; i < s->n * (part + 1) / PARTS; i++) {
            int64_t at = zn_rt_item(s, i) * image;
            if (s->floats)
                add_floats(s->floats + at, pixels, d->channels, k->part + part * d->channels);
            else
                add_bytes(s->pixels + at, pixels, d->channels, k->part + part * d->channels);
        }
}

static void result(const summing *k, int64_t channel, double *mean, double *deviation) {
    const zn_rt_split *s = &k->d->split[ZN_RT_TRAINING];
    moments all = {0};
    uint64_t n = (uint64_t)(s->n * k->d->height * k->d->width);
    for (int64_t i = 0; i < PARTS; i++) {
        const moments *part = &k->part[i * k->d->channels + channel];
        all.sum += part->sum;
        all.squares += part->squares;
        if (part->n > 0)
            join(&all, part->n, part->mean, part->m2);
    }
    if (s->floats) {
        *mean = all.mean;
        *deviation = sqrt(all.m2 / all.n);
        return;
    }
    wide spread = (wide)all.squares * n - (wide)all.sum * all.sum; /* n^2 times the variance: exact */
    *mean = (double)all.sum / (double)n / 255.0;
    *deviation = sqrt((double)spread) / (double)n / 255.0;
}

int zn_rt_channel_statistics(const zn_rt_dataset *d, zn_rt_pool *pool, double *mean, double *deviation,
                             zn_rt_error *e) {
    summing k = {d, calloc(PARTS * (size_t)d->channels, sizeof *k.part)};
    if (!k.part)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the statistics of %" PRId64 " channels", d->channels);
    if (pool)
        zn_rt_parfor(pool, add_parts, &k, PARTS, 1);
    else
        add_parts(&k, 0, PARTS, NULL);
    for (int64_t c = 0; c < d->channels; c++)
        result(&k, c, &mean[c], &deviation[c]);
    free(k.part);
    return 0;
}
