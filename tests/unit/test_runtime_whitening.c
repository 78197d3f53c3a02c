/* Whitening filters: what comes out of them has the identity as second moments, and bits do not depend on threads. */
#include "runtime/whitening.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 37, H = 9, W = 11, C = 3, KH = 3, KW = 2, TAPS = KH * KW * C };

static uint8_t pixels[N * H * W * C];

/* Neighbours and channels alike, so that eigenvalues are far apart. */
static zn_rt_dataset make_data(void) {
    uint32_t state = 1;
    double at[W * C] = {0};
    for (int i = 0; i < N * H; i++)
        for (int x = 0; x < W * C; x++) {
            state = state * 1664525u + 1013904223u;
            double noise = (double)(state >> 8) * 0x1p-24 - 0.5, left = x >= C ? at[x - C] : 0;
            at[x] = 0.5 * at[x] + 0.3 * left + noise;
            double p = 128 + 60 * at[x];
            pixels[i * W * C + x] = (uint8_t)(p < 0 ? 0 : p > 255 ? 255 : p);
        }
    return (zn_rt_dataset){.height = H, .width = W, .channels = C, .split = {{.n = N, .pixels = pixels}}};
}

static const zn_rt_pixel pixel[C] = {{1 / 50.0, -2.1}, {1 / 60.0, -2}, {1 / 70.0, -1.9}};

static void make(const zn_rt_dataset *d, int threads, int64_t out, int64_t samples, double eps, float *w) {
    zn_rt_pool *pool;
    zn_rt_error e = {""};
    CU_ASSERT_EQUAL_FATAL(zn_rt_pool_open(&pool, threads, 0, NULL, &e), 0);
    CU_ASSERT_EQUAL_FATAL(zn_rt_whitening(d, pixel, (const int64_t[4]){KH, KW, C, out}, samples, eps, pool, w, &e), 0);
    zn_rt_pool_close(pool);
}

/* Outputs of all filters for the patch of image n at (y, x). */
static void apply(const float *w, int64_t out, int n, int y, int x, double *to) {
    for (int64_t o = 0; o < out; o++)
        to[o] = 0;
    for (int tap = 0; tap < TAPS; tap++) {
        int dy = tap / (KW * C), dx = tap / C % KW, c = tap % C;
        double p = pixels[((n * H + y + dy) * W + x + dx) * C + c] * pixel[c].factor + pixel[c].shift;
        for (int64_t o = 0; o < out; o++)
            to[o] += p * (double)w[tap * out + o];
    }
}

static void second_moments(int samples) {
    static float w[TAPS * TAPS];
    static double moment[TAPS * TAPS], out[TAPS];
    zn_rt_dataset d = make_data();
    make(&d, 2, TAPS, samples, 1e-9, w);
    double count = 0, worst = 0;
    memset(moment, 0, sizeof moment);
    for (int n = 0; n < (samples < N ? samples : N); n++)
        for (int y = 0; y + KH <= H; y++)
            for (int x = 0; x + KW <= W; x++, count++) {
                apply(w, TAPS, n, y, x, out);
                for (int i = 0; i < TAPS * TAPS; i++)
                    moment[i] += out[i / TAPS] * out[i % TAPS];
            }
    for (int i = 0; i < TAPS * TAPS; i++)
        worst = fmax(worst, fabs(moment[i] / count - (i / TAPS == i % TAPS)));
    CU_ASSERT(worst < 1e-4);
}

static void outputs_have_the_identity(void) {
    second_moments(5000); /* all there are */
    second_moments(20);
}

/* With a large eps the later filters, of smaller eigenvalues, become small: their order is that. */
static void filters_stand_by_eigenvalue(void) {
    static float w[TAPS * TAPS];
    zn_rt_dataset d = make_data();
    make(&d, 1, TAPS, N, 1, w);
    double before = HUGE_VAL;
    for (int o = 0; o < TAPS; o++) {
        double moment = 0, out[TAPS];
        for (int n = 0; n < N; n++)
            for (int y = 0; y + KH <= H; y++)
                for (int x = 0; x + KW <= W; x++) {
                    apply(w, TAPS, n, y, x, out);
                    moment += out[o] * out[o];
                }
        CU_ASSERT(moment < before);
        before = moment;
    }
}

/* First filters where there are few outputs, negatives where there are many, zeros in what is left. */
static void any_number_of_outputs(void) {
    static float all[TAPS * TAPS], w[TAPS * 3 * TAPS];
    zn_rt_dataset d = make_data();
    make(&d, 1, TAPS, N, 5e-4, all);
    for (int64_t out = 1; out <= 3 * TAPS; out++) {
        int bad = 0;
        memset(w, 0xff, sizeof w);
        make(&d, 1, out, N, 5e-4, w);
        for (int tap = 0; tap < TAPS; tap++)
            for (int64_t o = 0; o < out; o++) {
                float want = o < TAPS                          ? all[tap * TAPS + o]
                             : out >= 2 * TAPS && o < 2 * TAPS ? -all[tap * TAPS + o - TAPS]
                                                               : 0;
                bad += w[tap * out + o] != want;
            }
        CU_ASSERT_EQUAL(bad, 0);
    }
    for (int o = 0; o < TAPS; o++) {
        float most = 0, sign = 0;
        for (int tap = 0; tap < TAPS; tap++)
            if (fabsf(all[tap * TAPS + o]) > most) {
                most = fabsf(all[tap * TAPS + o]);
                sign = all[tap * TAPS + o];
            }
        CU_ASSERT(sign > 0);
    }
}

static void bits_do_not_depend_on_threads(void) {
    static float w[4][TAPS * 2 * TAPS];
    zn_rt_dataset d = make_data();
    for (int threads = 1; threads <= 4; threads++) {
        make(&d, threads, 2 * TAPS, 31, 5e-4, w[threads - 1]);
        CU_ASSERT_EQUAL(memcmp(w[0], w[threads - 1], sizeof w[0]), 0);
    }
}

/* Images of one colour: all eigenvalues but one are 0. */
static void nothing_to_see(void) {
    static float w[TAPS * TAPS];
    zn_rt_dataset d = make_data();
    for (int value = 0; value < 256; value += 51) {
        memset(pixels, value, sizeof pixels);
        make(&d, 2, TAPS, N, 5e-4, w);
        for (int i = 0; i < TAPS * TAPS; i++)
            CU_ASSERT(isfinite(w[i]));
    }
}

/* Pixels that are floats: of whole numbers, whose sums are exact in any form, the very filters of bytes; of others the
 * same at any number of threads. */
static void floats_too(void) {
    static float x[N * H * W * C], bytes[TAPS * TAPS], floats[TAPS * TAPS], again[TAPS * TAPS];
    zn_rt_dataset d = make_data();
    make(&d, 1, TAPS, N, 5e-4, bytes);
    for (int i = 0; i < N * H * W * C; i++)
        x[i] = pixels[i];
    d.split[0].pixels = NULL;
    d.split[0].floats = x;
    make(&d, 1, TAPS, N, 5e-4, floats);
    CU_ASSERT_EQUAL(memcmp(bytes, floats, sizeof bytes), 0);
    for (int i = 0; i < N * H * W * C; i++)
        x[i] = x[i] * 0.37f + 0.1f;
    make(&d, 1, TAPS, N, 5e-4, floats);
    make(&d, 3, TAPS, N, 5e-4, again);
    CU_ASSERT_EQUAL(memcmp(again, floats, sizeof again), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(bytes, floats, sizeof bytes), 0);
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: whitening", NULL, NULL);
    CU_add_test(s, "outputs have the identity", outputs_have_the_identity);
    CU_add_test(s, "filters stand by eigenvalue", filters_stand_by_eigenvalue);
    CU_add_test(s, "any number of outputs", any_number_of_outputs);
    CU_add_test(s, "bits do not depend on threads", bits_do_not_depend_on_threads);
    CU_add_test(s, "nothing to see", nothing_to_see);
    CU_add_test(s, "floats too", floats_too);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
