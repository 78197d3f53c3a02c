/* Elementary functions as fixed sequences of IEEE operations (see support/math.h).
 *
 * Invariant: every statement below is one rounding, in this order; generated kernels emit the same sequence, so a
 * change here changes bits everywhere. This file is built with -ffp-contract=off, and fmaf is the only fused operation.
 * Sources: expf and logf are Cephes (S. Moshier, single/expf.c and single/logf.c) with Horner steps as fmaf; sinpi and
 * cospi are an exact reduction to a quarter turn and the Taylor series, whose first term left out is below 2^-60. */
#include "support/math.h"

#include <math.h>
#include <string.h>
#if defined __SSE__
#include <xmmintrin.h>
#endif

static inline uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* 2^n is a factor made from its bits rather than n added to y's exponent: the same number (y 2^n is always normal), but
 * a NaN stays a NaN whatever n its bits gave. */
float zn_expf(float x) {
    const float magic = 12582912.0f;     /* 1.5 * 2^23: the sum's low bits are round-half-even of the addend */
    x = x < ZN_EXP_MIN ? ZN_EXP_MIN : x; /* comparisons with NaN are false: it passes */
    x = x > ZN_EXP_MAX ? ZN_EXP_MAX : x;
    float t = x * ZN_EXP_LOG2E;
    t = t + magic;
    float n = t - magic;
    float r = fmaf(-n, ZN_EXP_LN2_HI, x);
    r = fmaf(-n, ZN_EXP_LN2_LO, r);
    float p = ZN_EXP_P5;
    p = fmaf(p, r, ZN_EXP_P4);
    p = fmaf(p, r, ZN_EXP_P3);
    p = fmaf(p, r, ZN_EXP_P2);
    p = fmaf(p, r, ZN_EXP_P1);
    p = fmaf(p, r, ZN_EXP_P0);
    p = p * r;
    float y = fmaf(p, r, r);
    y = y + 1.0f;
    return y * float_of((bits_of(t) - bits_of(magic) + 127u) << 23);
}

/* What is not below infinity (infinity, NaN) is its own logarithm; zero and negative numbers give a finite number
 * without meaning. */
static inline float log_of(float x) {
    const uint32_t half_root = 0x3f3504f3u; /* sqrt(1/2) */
    uint32_t u = bits_of(x);
    int32_t n = (int32_t)(u - half_root) >> 23; /* arithmetic shift: floor */
    float m = float_of(u - ((uint32_t)n << 23));
    float e = (float)n;
    m = m - 1.0f;
    float z = m * m;
    float p = ZN_LOG_L0;
    p = fmaf(p, m, ZN_LOG_L1);
    p = fmaf(p, m, ZN_LOG_L2);
    p = fmaf(p, m, ZN_LOG_L3);
    p = fmaf(p, m, ZN_LOG_L4);
    p = fmaf(p, m, ZN_LOG_L5);
    p = fmaf(p, m, ZN_LOG_L6);
    p = fmaf(p, m, ZN_LOG_L7);
    p = fmaf(p, m, ZN_LOG_L8);
    float y = m * z;
    y = y * p;
    y = fmaf(e, ZN_EXP_LN2_LO, y);
    y = fmaf(-0.5f, z, y);
    y = m + y;
    y = fmaf(e, ZN_EXP_LN2_HI, y);
    return x < INFINITY ? y : x;
}

float zn_logf(float x) {
    return log_of(x);
}

static inline float with_sign_of(float magnitude, float x) {
    return float_of(bits_of(magnitude) | (bits_of(x) & 0x80000000u));
}

float zn_tanhf(float x) {
    float t = float_of(bits_of(x) & 0x7fffffffu);
    float z = x * x;
    float p = ZN_TANH_T0;
    p = fmaf(p, z, ZN_TANH_T1);
    p = fmaf(p, z, ZN_TANH_T2);
    p = fmaf(p, z, ZN_TANH_T3);
    p = fmaf(p, z, ZN_TANH_T4);
    p = p * z;
    float near = fmaf(p, x, x);
    float e = zn_expf(t + t);
    e = e + 1.0f;
    e = 2.0f / e;
    float far = 1.0f - e;
    return with_sign_of(t < ZN_TANH_BOUND ? near : far, x); /* near of -0 is +0 */
}

float zn_erff(float x) {
    float t = float_of(bits_of(x) & 0x7fffffffu);
    float s = x * x;
    float p = ZN_ERF_A0;
    p = fmaf(p, s, ZN_ERF_A1);
    p = fmaf(p, s, ZN_ERF_A2);
    p = fmaf(p, s, ZN_ERF_A3);
    p = fmaf(p, s, ZN_ERF_A4);
    p = fmaf(p, s, ZN_ERF_A5);
    float near = fmaf(p, x, x);
    float r = fmaf(ZN_ERF_B0, t, ZN_ERF_B1);
    float u = fmaf(ZN_ERF_B2, t, ZN_ERF_B3);
    r = fmaf(r, s, u);
    r = fmaf(r, t, ZN_ERF_B4);
    r = fmaf(r, t, ZN_ERF_B5);
    r = fmaf(r, t, ZN_ERF_B6);
    r = fmaf(r, t, -t);
    float far = 1.0f - zn_expf(r);
    return t > ZN_ERF_BOUND ? with_sign_of(far, x) : near;
}

/* sin(pi r) and cos(pi r) for |r| <= 1/4. */
static inline double sinpi_kernel(double r) {
    double y = r * 3.14159265358979323846, z = y * y, p = -1.0 / 121645100408832000.0;
    p = fma(p, z, 1.0 / 355687428096000.0);
    p = fma(p, z, -1.0 / 1307674368000.0);
    p = fma(p, z, 1.0 / 6227020800.0);
    p = fma(p, z, -1.0 / 39916800);
    p = fma(p, z, 1.0 / 362880);
    p = fma(p, z, -1.0 / 5040);
    p = fma(p, z, 1.0 / 120);
    p = fma(p, z, -1.0 / 6);
    p = p * z;
    return fma(p, y, y);
}

static inline double cospi_kernel(double r) {
    double y = r * 3.14159265358979323846, z = y * y, p = 1.0 / 2432902008176640000.0;
    p = fma(p, z, -1.0 / 6402373705728000.0);
    p = fma(p, z, 1.0 / 20922789888000.0);
    p = fma(p, z, -1.0 / 87178291200.0);
    p = fma(p, z, 1.0 / 479001600);
    p = fma(p, z, -1.0 / 3628800);
    p = fma(p, z, 1.0 / 40320);
    p = fma(p, z, -1.0 / 720);
    p = fma(p, z, 1.0 / 24);
    p = p * z;
    p = fma(p, z, -0.5 * z);
    return p + 1.0;
}

/* cos(pi x + quarter * pi / 2): x = n / 2 + r with |r| <= 1/4, both exact. */
static double turn(double x, int quarter) {
    if (!(x < 0x1p62 && x > -0x1p62))
        return x - x == 0 ? turn(0, quarter) : x - x; /* even numbers from 2^53 on */
    x = x - 2.0 * (double)(int64_t)(x * 0.5);
    double twice = x + x;
    int64_t n = (int64_t)(twice < 0 ? twice - 0.5 : twice + 0.5);
    double r = x - 0.5 * (double)n;
    switch ((n + quarter) & 3) {
    case 0:
        return cospi_kernel(r);
    case 1:
        return -sinpi_kernel(r);
    case 2:
        return -cospi_kernel(r);
    default:
        return sinpi_kernel(r);
    }
}

double zn_cospi(double x) {
    return turn(x, 0);
}
double zn_sinpi(double x) {
    return turn(x, 3);
}

/* Without branches, so that compilers make vectors of it: cos(pi x) and sin(pi x), x = n / 2 + r, differ only in which
 * kernel serves and in signs. The bits are those of zn_cospi and zn_sinpi. */
static inline __attribute__((always_inline)) void deviates(const uint32_t *word, int n, float a, float *out) {
    for (int k = 0; k < n / 2; k++) {
        float u = (float)(int32_t)((word[2 * k] >> 8) + 1) * 0x1p-24f;
        float radius = sqrtf(-2.0f * log_of(u));
        double x = 2.0 * (double)((float)(int32_t)(word[2 * k + 1] >> 8) * 0x1p-24f);
        int quarter = (int)(x + x + 0.5);
        double r = x - 0.5 * (double)quarter, c = cospi_kernel(r), s = sinpi_kernel(r);
        double cosine = quarter & 1 ? -s : c, sine = quarter & 1 ? c : s;
        cosine = quarter & 2 ? -cosine : cosine;
        sine = quarter & 2 ? -sine : sine;
        out[2 * k] = a * (radius * (float)cosine);
        out[2 * k + 1] = a * (radius * (float)sine);
    }
}

static void deviates_anywhere(const uint32_t *word, int n, float a, float *out) {
    deviates(word, n, a, out);
}

/* fmaf and fma are exact functions: an instruction gives the bits that the library gives, in a tenth of the time. */
#if defined __x86_64__
__attribute__((target("avx2,fma"))) static void deviates_by_fma(const uint32_t *word, int n, float a, float *out) {
    deviates(word, n, a, out);
}

void zn_normal_deviates(const uint32_t *word, int n, float a, float *out) {
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        deviates_by_fma(word, n, a, out);
    else
        deviates_anywhere(word, n, a, out);
}
#else
void zn_normal_deviates(const uint32_t *word, int n, float a, float *out) {
    deviates_anywhere(word, n, a, out);
}
#endif

void zn_math_flush_denormals(void) {
#if defined __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* FTZ, DAZ */
#elif defined __aarch64__
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fpcr |= UINT64_C(1) << 24; /* FZ: inputs and results */
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#else
#error "how this processor flushes denormals is not known here"
#endif
}
