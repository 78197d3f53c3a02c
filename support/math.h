/* Elementary functions with bits of our own: never libm for a number that reaches a weight.
 * Each is a fixed sequence of IEEE operations and fmaf; generated kernels emit the same sequence (backend/expr.c). */
#ifndef ZN_SUPPORT_MATH_H
#define ZN_SUPPORT_MATH_H

#include <stdint.h>

/* Constants of the f32 exponential, shared with the code that emits it in kernels:
 *   x clamped to [MIN, MAX]; n = round-half-even(x * LOG2E) by adding and subtracting 1.5 * 2^23;
 *   r = fma(-n, LN2_HI, x); r = fma(-n, LN2_LO, r); p = P5; p = fma(p, r, P4) ... fma(p, r, P0);
 *   y = fma(p * r, r, r) + 1; result y * 2^n by adding n to the exponent bits. */
#define ZN_EXP_MIN (-87.3f)
#define ZN_EXP_MAX 88.3f
#define ZN_EXP_LOG2E 1.44269504088896341f
#define ZN_EXP_LN2_HI 0.693359375f
#define ZN_EXP_LN2_LO (-2.12194440e-4f)
#define ZN_EXP_P0 5.0000001201e-1f
#define ZN_EXP_P1 1.6666665459e-1f
#define ZN_EXP_P2 4.1665795894e-2f
#define ZN_EXP_P3 8.3334519073e-3f
#define ZN_EXP_P4 1.3981999507e-3f
#define ZN_EXP_P5 1.9875691500e-4f
/* Error below 2 ulp; exp of what is under MIN is exp(MIN), of NaN is NaN. */
float zn_expf(float x);

/* Natural logarithm of a normal positive number (Cephes' logf): x = m 2^e with m in [sqrt(1/2), sqrt(2));
 *   m -= 1; z = m m; p = polynomial L0 .. L8 in m by fma; y = m z p + e LN2_LO - z / 2; m + y + e LN2_HI. */
#define ZN_LOG_L0 7.0376836292e-2f
#define ZN_LOG_L1 (-1.1514610310e-1f)
#define ZN_LOG_L2 1.1676998740e-1f
#define ZN_LOG_L3 (-1.2420140846e-1f)
#define ZN_LOG_L4 1.4249322787e-1f
#define ZN_LOG_L5 (-1.6668057665e-1f)
#define ZN_LOG_L6 2.0000714765e-1f
#define ZN_LOG_L7 (-2.4999993993e-1f)
#define ZN_LOG_L8 3.3333331174e-1f
float zn_logf(float x);

/* Hyperbolic tangent (Cephes' tanhf): t = |x|; below BOUND z = x x, p = polynomial T0 .. T4 in z by fma,
 * y = fma(p z, x, x); from there on 1 - 2 / (exp(t + t) + 1); with the sign of x. */
#define ZN_TANH_BOUND 0.625f
#define ZN_TANH_T0 (-5.70498872745e-3f)
#define ZN_TANH_T1 2.06390887954e-2f
#define ZN_TANH_T2 (-5.37397155531e-2f)
#define ZN_TANH_T3 1.33314422036e-1f
#define ZN_TANH_T4 (-3.33332819422e-1f)
float zn_tanhf(float x);

/* Of gelu: sqrt(1 / 2), 1 / sqrt(2 pi). */
#define ZN_SQRT_HALF 0.70710678f
#define ZN_NORMAL_DENSITY 0.39894228f

/* Error function, minimax polynomials (N. Juffa): t = |x|, s = x x; above BOUND r = B0 .. B6 in t, the first four taken
 * as (B0 t + B1) s + (B2 t + B3), then 1 - exp(fma(r, t, -t)) with the sign of x; else y = fma(A0 .. A5 in s, x, x). */
#define ZN_ERF_BOUND 0.927734375f
#define ZN_ERF_A0 (-5.96761703e-4f)
#define ZN_ERF_A1 4.99119423e-3f
#define ZN_ERF_A2 (-2.67681349e-2f)
#define ZN_ERF_A3 1.12819925e-1f
#define ZN_ERF_A4 (-3.76125336e-1f)
#define ZN_ERF_A5 1.28379166e-1f
#define ZN_ERF_B0 (-1.72853470e-5f)
#define ZN_ERF_B1 3.83197126e-4f
#define ZN_ERF_B2 (-3.88396438e-3f)
#define ZN_ERF_B3 2.42546219e-2f
#define ZN_ERF_B4 (-1.06777877e-1f)
#define ZN_ERF_B5 (-6.34846687e-1f)
#define ZN_ERF_B6 (-1.28717512e-1f)
float zn_erff(float x);

/* Double precision, for the host's schedule and normal deviates; arguments of cospi in turns/2 (cos(pi x)). */
double zn_cospi(double x);
double zn_sinpi(double x);

/* n (a multiple of 4) random words to as many normal deviates times a, by Box and Muller: words 2k and 2k + 1 give
 * radius sqrt(-2 log u) and angle, and these deviates 2k (cosine) and 2k + 1 (sine). */
void zn_normal_deviates(const uint32_t *word, int n, float a, float *out);

/* Flush results and inputs that are denormal to zero, in this thread, as every kernel has it. */
void zn_math_flush_denormals(void);

#endif
