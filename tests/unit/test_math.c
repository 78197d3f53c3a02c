/* Elementary functions: error against libm in double precision (libm serves tests only), and the special values. */
#include "support/math.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Distance of got from the exact value in units of the last place of the float nearest to it. */
static double ulps(float got, double exact) {
    int e;
    frexp(exact, &e);
    return fabs((double)got - exact) / ldexp(1.0, e - 24);
}

static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static void exponential(void) {
    double worst = 0;
    for (int i = 0; i <= 2000000; i++) {
        float x = -87.3f + (float)i * (175.6f / 2000000.0f);
        x = x > 88.3f ? 88.3f : x;
        double u = ulps(zn_expf(x), exp((double)x));
        worst = u > worst ? u : worst;
    }
    printf(" expf %.3f ulp ", worst);
    CU_ASSERT_TRUE(worst <= 2);
    CU_ASSERT_EQUAL(zn_expf(0.0f), 1.0f);
    CU_ASSERT_EQUAL(zn_expf(-0.0f), 1.0f);
    CU_ASSERT_EQUAL(zn_expf(-1000.0f), zn_expf(ZN_EXP_MIN));
    CU_ASSERT_EQUAL(zn_expf(-INFINITY), zn_expf(ZN_EXP_MIN));
    CU_ASSERT_TRUE(zn_expf(ZN_EXP_MIN) >= 0x1p-126f);
    CU_ASSERT_EQUAL(zn_expf(INFINITY), zn_expf(ZN_EXP_MAX));
    CU_ASSERT_TRUE(isfinite(zn_expf(ZN_EXP_MAX)));
    CU_ASSERT_TRUE(isnan(zn_expf(NAN)));
    CU_ASSERT_TRUE(isnan(zn_expf(float_of(0xffffffffu))));
}

static void logarithm(void) {
    double worst = 0;
    for (uint32_t u = 0x00800000u; u < 0x7f800000u; u += 997) {
        double e = log((double)float_of(u));
        double d = e == 0 ? fabs((double)zn_logf(float_of(u))) : ulps(zn_logf(float_of(u)), e);
        worst = d > worst ? d : worst;
    }
    for (uint32_t u = 0x3f000000u; u < 0x40000000u; u += 7) { /* around 1, where the result is small */
        double e = log((double)float_of(u));
        double d = e == 0 ? fabs((double)zn_logf(float_of(u))) : ulps(zn_logf(float_of(u)), e);
        worst = d > worst ? d : worst;
    }
    printf(" logf %.3f ulp ", worst);
    CU_ASSERT_TRUE(worst <= 2);
    float zero = zn_logf(1.0f);
    CU_ASSERT_TRUE(zero == 0.0f && !signbit(zero));
    CU_ASSERT_TRUE(isnan(zn_logf(NAN)));
    CU_ASSERT_EQUAL(zn_logf(INFINITY), INFINITY);
}

static void tangent_and_error(void) {
    double worst[2] = {0};
    for (int i = -1000000; i <= 1000000; i++) {
        float x = (float)i * 1e-5f;
        double u[2] = {ulps(zn_tanhf(x), tanh((double)x)), ulps(zn_erff(x), erf((double)x))};
        for (int k = 0; k < 2 && i; k++)
            worst[k] = u[k] > worst[k] ? u[k] : worst[k];
    }
    printf(" tanhf %.3f erff %.3f ulp ", worst[0], worst[1]);
    CU_ASSERT_TRUE(worst[0] <= 3);
    CU_ASSERT_TRUE(worst[1] <= 2);
    float (*const f[])(float) = {zn_tanhf, zn_erff};
    for (int k = 0; k < 2; k++) {
        CU_ASSERT_TRUE(f[k](0.0f) == 0 && !signbit(f[k](0.0f)));
        CU_ASSERT_TRUE(f[k](-0.0f) == 0 && signbit(f[k](-0.0f)));
        CU_ASSERT_EQUAL(f[k](1000.0f), 1.0f);
        CU_ASSERT_EQUAL(f[k](INFINITY), 1.0f);
        CU_ASSERT_EQUAL(f[k](-INFINITY), -1.0f);
        CU_ASSERT_TRUE(isnan(f[k](NAN)));
    }
}

static void half_turns(void) {
    double worst = 0;
    for (int i = -400000; i <= 400000; i++) {
        double x = i / 100003.0;
        double c = fabs(zn_cospi(x) - cos(fmod(x, 2.0) * M_PI)), s = fabs(zn_sinpi(x) - sin(fmod(x, 2.0) * M_PI));
        worst = fmax(worst, fmax(c, s));
    }
    printf(" cospi, sinpi %.2g ", worst);
    CU_ASSERT_TRUE(worst < 2e-15); /* of which libm's argument has most */
    CU_ASSERT_EQUAL(zn_cospi(0), 1);
    CU_ASSERT_EQUAL(zn_cospi(1), -1);
    CU_ASSERT_EQUAL(zn_cospi(0.5), 0);
    CU_ASSERT_EQUAL(zn_sinpi(0.5), 1);
    CU_ASSERT_EQUAL(zn_sinpi(-0.5), -1);
    CU_ASSERT_EQUAL(zn_cospi(0x1p60), 1);
    CU_ASSERT_EQUAL(zn_cospi(0x1p52 + 1), -1);
    CU_ASSERT_EQUAL(zn_cospi(1e300), 1);
    CU_ASSERT_TRUE(isnan(zn_cospi((double)INFINITY)));
    for (int i = 0; i <= 1000; i++) /* the cosine schedule never leaves its range */
        CU_ASSERT_TRUE(zn_cospi(i / 1000.0) <= 1 && zn_cospi(i / 1000.0) >= -1);
}

/* The whole sequence is fixed: these bits are part of every digest. */
static void fixed_bits(void) {
    uint32_t h = 2166136261u;
    for (int i = 0; i < 4096; i++) {
        float x[2] = {zn_expf((float)(i - 2048) * 0.0421f), zn_logf(1e-6f + (float)i * 0.37f)};
        double y[2] = {zn_cospi(i * 0.00371), zn_sinpi(i * 0.00371)};
        unsigned char b[sizeof x + sizeof y];
        memcpy(b, x, sizeof x);
        memcpy(b + sizeof x, y, sizeof y);
        for (size_t k = 0; k < sizeof b; k++)
            h = (h ^ b[k]) * 16777619u;
    }
    printf(" bits %08x ", h);
    CU_ASSERT_EQUAL(h, 0x4e77b556u);
}

static void denormals(void) {
    zn_math_flush_denormals();
    volatile float tiny = 0x1p-126f, half = 0.5f;
    CU_ASSERT_TRUE(tiny * half == 0.0f);
    volatile float denormal = float_of(1);
    CU_ASSERT_TRUE(denormal * 0x1p100f == 0.0f);
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("math", NULL, NULL);
    CU_add_test(s, "exponential", exponential);
    CU_add_test(s, "logarithm", logarithm);
    CU_add_test(s, "tangent and error", tangent_and_error);
    CU_add_test(s, "half turns", half_turns);
    CU_add_test(s, "fixed bits", fixed_bits);
    CU_add_test(s, "denormals", denormals); /* last: the mode stays */
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
