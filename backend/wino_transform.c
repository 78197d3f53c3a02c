/* The transforms of Winograd convolution (see backend/wino_transform.h).
 *
 * Lavin and Gray, arXiv 1509.09308: F(m, r) computes m outputs of r taps by m + r - 1 products. F(4, 3) and
 * F(2, 5) have the points 0, +-5/8, +-3/2 and infinity, whose products are exact in f32 and which halve the error of 0,
 * +-1, +-2; F(3, 3) has 0, +-5/8, 3/2 and infinity, F(2, 3) 0, +-1 and infinity, F(4, 2) 0, +-1, 2 and infinity. F(4,
 * 1) is four products. In two directions one is nested in the other: first down, then across.
 *
 * With points p_k, M the product of all (x - p_k) and N_k the derivative of M at p_k: row k of B^T has the coefficients
 * of M / (x - p_k), the last row those of M; row k of G is p_k^j / N_k, of A^T p_k^i. F(3, 3) has the rows of G that
 * F(4, 3) has, and what they differ by in B^T. */
#include "backend/wino_transform.h"

#include "support/ice.h"

static zn_ll kmul(zn_emit *e, float c, zn_ll x) {
    return zn_fmul(e, zn_vconst(e, c), x);
}
static zn_ll kfma(zn_emit *e, float c, zn_ll x, zn_ll y) {
    return zn_fma(e, zn_vconst(e, c), x, y);
}

/* From vectors x, xs apart, to vectors o, os apart. */
typedef void transform_1d(zn_emit *e, const zn_ll *x, int xs, zn_ll *o, int os);

/* ---- F(4, 3): points 0, +-P, +-Q, infinity */

static const float P1 = 0.625f, Q1 = 1.5f, P2 = 0.390625f, Q2 = 2.25f, P3 = 0.244140625f, Q3 = 3.375f;

static float norm_p(void) {
    return 1 / (2 * P2 * (P2 - Q2));
}
static float norm_q(void) {
    return 1 / (2 * Q2 * (Q2 - P2));
}
static float norm_0(void) {
    return 1 / (P2 * Q2);
}

static void f43_input(zn_emit *e, const zn_ll *d, int ds, zn_ll *o, int os) {
    zn_ll t = kfma(e, -Q2, d[2 * ds], d[4 * ds]), u = kmul(e, P1, kfma(e, -Q2, d[ds], d[3 * ds]));
    zn_ll w = kfma(e, -P2, d[2 * ds], d[4 * ds]), z = kmul(e, Q1, kfma(e, -P2, d[ds], d[3 * ds]));
    o[0] = kfma(e, P2 * Q2, d[0], kfma(e, -(P2 + Q2), d[2 * ds], d[4 * ds]));
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = kfma(e, P2 * Q2, d[ds], kfma(e, -(P2 + Q2), d[3 * ds], d[5 * ds]));
}

/* Sums and differences over +-P and +-Q. */
static void fold(zn_emit *e, const zn_ll *m, int ms, zn_ll *a, zn_ll *b, zn_ll *c, zn_ll *d) {
    *a = zn_fadd(e, m[ms], m[2 * ms]);
    *b = zn_fsub(e, m[ms], m[2 * ms]);
    *c = zn_fadd(e, m[3 * ms], m[4 * ms]);
    *d = zn_fsub(e, m[3 * ms], m[4 * ms]);
}

static void f43_output(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    zn_ll a, b, c, d;
    fold(e, m, ms, &a, &b, &c, &d);
    o[0] = zn_fadd(e, zn_fadd(e, m[0], a), c);
    o[os] = kfma(e, Q1, d, kmul(e, P1, b));
    o[2 * os] = kfma(e, Q2, c, kmul(e, P2, a));
    o[3 * os] = kfma(e, Q3, d, kfma(e, P3, b, m[5 * ms]));
}

static void f43_gradient(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    zn_ll t = kfma(e, P2, y[2 * ys], y[0]), u = kmul(e, P1, kfma(e, P2, y[3 * ys], y[ys]));
    zn_ll w = kfma(e, Q2, y[2 * ys], y[0]), z = kmul(e, Q1, kfma(e, Q2, y[3 * ys], y[ys]));
    o[0] = y[0];
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = y[3 * ys];
}

static void f43_weights(zn_emit *e, const zn_ll *g, int gs, zn_ll *o, int os) {
    zn_ll t = kmul(e, norm_p(), kfma(e, P2, g[2 * gs], g[0])), u = kmul(e, P1 * norm_p(), g[gs]);
    zn_ll w = kmul(e, norm_q(), kfma(e, Q2, g[2 * gs], g[0])), z = kmul(e, Q1 * norm_q(), g[gs]);
    o[0] = kmul(e, norm_0(), g[0]);
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = g[2 * gs];
}

/* The same with the factors of G. */
static void fold_weights(zn_emit *e, const zn_ll *u, int us, zn_ll *a, zn_ll *b, zn_ll *c, zn_ll *d) {
    fold(e, u, us, a, b, c, d);
    *a = kmul(e, norm_p(), *a);
    *b = kmul(e, P1 * norm_p(), *b);
    *c = kmul(e, norm_q(), *c);
    *d = kmul(e, Q1 * norm_q(), *d);
}

static void f43_weights_gradient(zn_emit *e, const zn_ll *u, int us, zn_ll *o, int os) {
    zn_ll a, b, c, d;
    fold_weights(e, u, us, &a, &b, &c, &d);
    o[0] = kfma(e, norm_0(), u[0], zn_fadd(e, a, c));
    o[os] = zn_fadd(e, b, d);
    o[2 * os] = zn_fadd(e, kfma(e, P2, a, u[5 * us]), kmul(e, Q2, c));
}

/* ---- F(2, 5): the same points, hence the same transform of the input */

static void f25_output(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    zn_ll a, b, c, d;
    fold(e, m, ms, &a, &b, &c, &d);
    o[0] = zn_fadd(e, zn_fadd(e, m[0], a), c);
    o[os] = kfma(e, Q1, d, kfma(e, P1, b, m[5 * ms]));
}

static void f25_gradient(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    o[0] = y[0];
    o[os] = kfma(e, P1, y[ys], y[0]);
    o[2 * os] = kfma(e, -P1, y[ys], y[0]);
    o[3 * os] = kfma(e, Q1, y[ys], y[0]);
    o[4 * os] = kfma(e, -Q1, y[ys], y[0]);
    o[5 * os] = y[ys];
}

static void f25_weights(zn_emit *e, const zn_ll *g, int gs, zn_ll *o, int os) {
    zn_ll t = kmul(e, norm_p(), kfma(e, P2, kfma(e, P2, g[4 * gs], g[2 * gs]), g[0]));
    zn_ll u = kmul(e, P1 * norm_p(), kfma(e, P2, g[3 * gs], g[gs]));
    zn_ll w = kmul(e, norm_q(), kfma(e, Q2, kfma(e, Q2, g[4 * gs], g[2 * gs]), g[0]));
    zn_ll z = kmul(e, Q1 * norm_q(), kfma(e, Q2, g[3 * gs], g[gs]));
    o[0] = kmul(e, norm_0(), g[0]);
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = g[4 * gs];
}

static void f25_weights_gradient(zn_emit *e, const zn_ll *u, int us, zn_ll *o, int os) {
    zn_ll a, b, c, d;
    fold_weights(e, u, us, &a, &b, &c, &d);
    o[0] = kfma(e, norm_0(), u[0], zn_fadd(e, a, c));
    o[os] = zn_fadd(e, b, d);
    o[2 * os] = kfma(e, P2, a, kmul(e, Q2, c));
    o[3 * os] = kfma(e, P2, b, kmul(e, Q2, d));
    o[4 * os] = kfma(e, P2 * P2, a, kfma(e, Q2 * Q2, c, u[5 * us]));
}

/* ---- F(3, 3): points 0, +-P, Q, infinity */

static void f33_input(zn_emit *e, const zn_ll *d, int ds, zn_ll *o, int os) {
    zn_ll t = kfma(e, -Q1, d[2 * ds], d[3 * ds]), u = kmul(e, P1, kfma(e, -Q1, d[ds], d[2 * ds]));
    zn_ll w = kfma(e, -P2, d[ds], d[3 * ds]);
    o[0] = kmul(e, Q1, kfma(e, -P2, kfma(e, -Q1, d[0], d[ds]), t));
    o[os] = kmul(e, P1 + Q1, zn_fadd(e, t, u));
    o[2 * os] = kmul(e, Q1 - P1, zn_fsub(e, t, u));
    o[3 * os] = kmul(e, 2 * Q1, w);
    o[4 * os] = kfma(e, -Q1, w, kfma(e, -P2, d[2 * ds], d[4 * ds]));
}

static void f33_output(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    zn_ll a = zn_fadd(e, m[ms], m[2 * ms]), b = zn_fsub(e, m[ms], m[2 * ms]);
    o[0] = zn_fadd(e, zn_fadd(e, m[0], a), m[3 * ms]);
    o[os] = kfma(e, Q1, m[3 * ms], kmul(e, P1, b));
    o[2 * os] = kfma(e, Q2, m[3 * ms], kfma(e, P2, a, m[4 * ms]));
}

static void f33_gradient(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    zn_ll t = kfma(e, P2, y[2 * ys], y[0]), u = kmul(e, P1, y[ys]);
    o[0] = y[0];
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = kfma(e, Q1, y[ys], kfma(e, Q2, y[2 * ys], y[0]));
    o[4 * os] = y[2 * ys];
}

static void f33_weights(zn_emit *e, const zn_ll *g, int gs, zn_ll *o, int os) {
    zn_ll t = kmul(e, norm_p(), kfma(e, P2, g[2 * gs], g[0])), u = kmul(e, P1 * norm_p(), g[gs]);
    o[0] = kmul(e, norm_0(), g[0]);
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = kmul(e, norm_q(), kfma(e, Q1, g[gs], kfma(e, Q2, g[2 * gs], g[0])));
    o[4 * os] = g[2 * gs];
}

static void f33_weights_gradient(zn_emit *e, const zn_ll *u, int us, zn_ll *o, int os) {
    zn_ll a = kmul(e, norm_p(), zn_fadd(e, u[us], u[2 * us]));
    zn_ll b = kmul(e, P1 * norm_p(), zn_fsub(e, u[us], u[2 * us])), c = kmul(e, norm_q(), u[3 * us]);
    o[0] = kfma(e, norm_0(), u[0], zn_fadd(e, a, c));
    o[os] = kfma(e, Q1, c, b);
    o[2 * os] = zn_fadd(e, kfma(e, P2, a, u[4 * us]), kmul(e, Q2, c));
}

/* ---- F(2, 3) beside F(3, 3): points 0, +-P, infinity, and the rows of G that F(3, 3) has */

static void f23p_input(zn_emit *e, const zn_ll *d, int ds, zn_ll *o, int os) {
    zn_ll t = kmul(e, P2 - Q2, d[2 * ds]), u = kmul(e, P1 * (P2 - Q2), d[ds]);
    o[0] = kmul(e, Q2, kfma(e, P2, d[0], zn_fneg(e, d[2 * ds])));
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = kfma(e, -P2, d[ds], d[3 * ds]);
}

static void f23p_output(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    zn_ll a = zn_fadd(e, m[ms], m[2 * ms]), b = zn_fsub(e, m[ms], m[2 * ms]);
    o[0] = zn_fadd(e, m[0], a);
    o[os] = kfma(e, P1, b, m[3 * ms]);
}

static void f23p_gradient(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    o[0] = y[0];
    o[os] = kfma(e, P1, y[ys], y[0]);
    o[2 * os] = kfma(e, -P1, y[ys], y[0]);
    o[3 * os] = y[ys];
}

/* ---- F(2, 3): points 0, +-1, infinity */

static void f23_input(zn_emit *e, const zn_ll *d, int ds, zn_ll *o, int os) {
    o[0] = zn_fsub(e, d[0], d[2 * ds]);
    o[os] = zn_fadd(e, d[ds], d[2 * ds]);
    o[2 * os] = zn_fsub(e, d[2 * ds], d[ds]);
    o[3 * os] = zn_fsub(e, d[ds], d[3 * ds]);
}

static void f23_output(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    o[0] = zn_fadd(e, m[0], zn_fadd(e, m[ms], m[2 * ms]));
    o[os] = zn_fsub(e, zn_fsub(e, m[ms], m[2 * ms]), m[3 * ms]);
}

static void f23_gradient(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    o[0] = y[0];
    o[os] = zn_fadd(e, y[0], y[ys]);
    o[2 * os] = zn_fsub(e, y[0], y[ys]);
    o[3 * os] = zn_fneg(e, y[ys]);
}

static void f23_weights(zn_emit *e, const zn_ll *g, int gs, zn_ll *o, int os) {
    zn_ll s = kmul(e, 0.5f, zn_fadd(e, g[0], g[2 * gs])), t = kmul(e, 0.5f, g[gs]);
    o[0] = g[0];
    o[os] = zn_fadd(e, s, t);
    o[2 * os] = zn_fsub(e, s, t);
    o[3 * os] = g[2 * gs];
}

static void f23_weights_gradient(zn_emit *e, const zn_ll *u, int us, zn_ll *o, int os) {
    zn_ll s = kmul(e, 0.5f, zn_fadd(e, u[us], u[2 * us]));
    o[0] = zn_fadd(e, u[0], s);
    o[os] = kmul(e, 0.5f, zn_fsub(e, u[us], u[2 * us]));
    o[2 * os] = zn_fadd(e, u[3 * us], s);
}

/* ---- F(4, 2): points 0, +-1, 2, infinity */

static const float sixth = 1.0f / 6;

static void f42_input(zn_emit *e, const zn_ll *d, int ds, zn_ll *o, int os) {
    zn_ll t = zn_fsub(e, d[3 * ds], d[ds]);
    o[0] = kfma(e, 2, zn_fsub(e, d[0], d[2 * ds]), t);
    o[os] = kfma(e, -2, d[ds], zn_fsub(e, d[3 * ds], d[2 * ds]));
    o[2 * os] = kfma(e, 2, d[ds], kfma(e, -3, d[2 * ds], d[3 * ds]));
    o[3 * os] = t;
    o[4 * os] = kfma(e, -2, t, zn_fsub(e, d[4 * ds], d[2 * ds]));
}

static void f42_output(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    zn_ll a = zn_fadd(e, m[ms], m[2 * ms]), b = zn_fsub(e, m[ms], m[2 * ms]);
    o[0] = zn_fadd(e, zn_fadd(e, m[0], a), m[3 * ms]);
    o[os] = kfma(e, 2, m[3 * ms], b);
    o[2 * os] = kfma(e, 4, m[3 * ms], a);
    o[3 * os] = kfma(e, 8, m[3 * ms], zn_fadd(e, b, m[4 * ms]));
}

static void f42_gradient(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    zn_ll t = zn_fadd(e, y[0], y[2 * ys]), u = zn_fadd(e, y[ys], y[3 * ys]);
    o[0] = y[0];
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = kfma(e, 8, y[3 * ys], kfma(e, 4, y[2 * ys], kfma(e, 2, y[ys], y[0])));
    o[4 * os] = y[3 * ys];
}

static void f42_weights(zn_emit *e, const zn_ll *g, int gs, zn_ll *o, int os) {
    o[0] = kmul(e, 0.5f, g[0]);
    o[os] = kmul(e, -0.5f, zn_fadd(e, g[0], g[gs]));
    o[2 * os] = kmul(e, -sixth, zn_fsub(e, g[0], g[gs]));
    o[3 * os] = kmul(e, sixth, kfma(e, 2, g[gs], g[0]));
    o[4 * os] = g[gs];
}

static void f42_weights_gradient(zn_emit *e, const zn_ll *u, int us, zn_ll *o, int os) {
    zn_ll a = kmul(e, -0.5f, u[us]), b = kmul(e, -sixth, u[2 * us]), c = kmul(e, sixth, u[3 * us]);
    o[0] = kfma(e, 0.5f, u[0], zn_fadd(e, zn_fadd(e, a, b), c));
    o[os] = zn_fadd(e, kfma(e, 2, c, zn_fsub(e, a, b)), u[4 * us]);
}

/* ---- F(4, 1): each output is one product */

static void four(zn_emit *e, const zn_ll *x, int xs, zn_ll *o, int os) {
    (void)e;
    for (int i = 0; i < 4; i++)
        o[i * os] = x[i * xs];
}
static void one(zn_emit *e, const zn_ll *x, int xs, zn_ll *o, int os) {
    (void)e, (void)xs, (void)os;
    o[0] = x[0];
}

/* ---- algorithms, phases, forms */

typedef struct algorithm {
    int positions, weights, outputs, taps;
    transform_1d *input, *output, *gradient, *taps_in, *taps_out;
} algorithm;

static const algorithm f43 = {6, 6, 4, 3, f43_input, f43_output, f43_gradient, f43_weights, f43_weights_gradient};
static const algorithm f25 = {6, 6, 2, 5, f43_input, f25_output, f25_gradient, f25_weights, f25_weights_gradient};
static const algorithm f33 = {5, 5, 3, 3, f33_input, f33_output, f33_gradient, f33_weights, f33_weights_gradient};
static const algorithm f23 = {4, 4, 2, 3, f23_input, f23_output, f23_gradient, f23_weights, f23_weights_gradient};
/* Beside tiles of three its weights are theirs. */
static const algorithm f23_beside = {4, 4, 2, 3, f23p_input, f23p_output, f23p_gradient, NULL, NULL};
static const algorithm f42 = {5, 5, 4, 2, f42_input, f42_output, f42_gradient, f42_weights, f42_weights_gradient};
static const algorithm f41 = {4, 1, 4, 1, four, four, four, one, one};

typedef struct phase {
    const algorithm *by;
    int tap[ZN_WINO_TAPS];
    int input;  /* first row of the tile that it reads; others follow every input_every rows */
    int output; /* first row of the tile that it computes; others follow every output_every rows */
    int grid;   /* positions, and weights, in the numbering: a smaller tile has all but one of a larger one's */
} phase;

/* What a form does in one direction. */
typedef struct direction {
    int n;
    phase phase[2];
    int tile; /* outputs of a phase */
    int input_every, output_every, extent;
    int64_t input_ratio, input_origin, output_ratio;
} direction;

struct zn_wino_form {
    const direction *down, *across;
};

static const direction four_rows = {1, {{&f43, {0, 1, 2}, 0, 0, 6}}, 4, 1, 1, 6, 1, -1, 1};
static const direction three_rows = {1, {{&f33, {0, 1, 2}, 0, 0, 5}}, 3, 1, 1, 5, 1, -1, 1};
static const direction two_rows = {1, {{&f23, {0, 1, 2}, 0, 0, 4}}, 2, 1, 1, 4, 1, -1, 1};
static const direction five_taps = {1, {{&f25, {0, 1, 2, 3, 4}, 0, 0, 6}}, 2, 1, 1, 6, 1, -2, 1};
/* beside tiles of four and of three rows */
static const direction three_beside = {1, {{&f33, {0, 1, 2}, 0, 0, 6}}, 3, 1, 1, 5, 1, -1, 1};
static const direction two_beside = {1, {{&f23_beside, {0, 1, 2}, 0, 0, 5}}, 2, 1, 1, 4, 1, -1, 1};
/* stride 2, y[u] = w[0] x[2u - 1] + w[1] x[2u] + w[2] x[2u + 1] */
static const direction polyphase = {2, {{&f42, {0, 2}, 0, 0, 5}, {&f41, {1}, 1, 0, 4}}, 4, 2, 1, 9, 2, -1, 1};
/* its gradient by data, of transposed weights: dx[2u] = w[1] dy[u], dx[2u + 1] = w[0] dy[u] + w[2] dy[u + 1] */
static const direction polyphase_by_data = {2, {{&f42, {0, 2}, 0, 1, 5}, {&f41, {1}, 0, 0, 4}}, 4, 1, 2, 5, 1, 0, 2};

/* Pairs of directions: alike, and mixed. */
static const zn_wino_form forms[] = {
    {&four_rows, &four_rows},    {&three_rows, &three_rows},  {&two_rows, &two_rows},
    {&five_taps, &five_taps},    {&polyphase, &polyphase},    {&polyphase_by_data, &polyphase_by_data},
    {&four_rows, &three_beside}, {&three_beside, &four_rows}, {&three_beside, &three_beside},
    {&three_rows, &two_beside},  {&two_beside, &three_rows},  {&two_beside, &two_beside}};

static const direction *direction_of(const zn_winograd *w, bool small) {
    if (w->stride == 2)
        return w->by_data ? &polyphase_by_data : &polyphase;
    if (w->taps == 5)
        return &five_taps;
    return w->tile == 4   ? small ? &three_beside : &four_rows
           : w->tile == 3 ? small ? &two_beside : &three_rows
                          : &two_rows;
}

const zn_wino_form *zn_wino_form_of(const zn_winograd *w, bool small_down, bool small_across) {
    const direction *down = direction_of(w, small_down), *across = direction_of(w, small_across);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].down == down && forms[i].across == across)
            return &forms[i];
    ZN_ICE("no Winograd form for tiles of %d and %d", down->tile, across->tile);
}

int64_t zn_wino_input_ratio(const zn_wino_form *f) {
    return f->down->input_ratio;
}
int64_t zn_wino_input_origin(const zn_wino_form *f) {
    return f->down->input_origin;
}
int zn_wino_input_extent(const zn_wino_form *f, bool across) {
    return (across ? f->across : f->down)->extent;
}
int64_t zn_wino_output_ratio(const zn_wino_form *f) {
    return f->down->output_ratio;
}
int zn_wino_tile(const zn_wino_form *f, bool across) {
    return (across ? f->across : f->down)->tile;
}

/* Places of phases (a, b): positions and transformed weights are numbered pair by pair, positions of one weight next to
 * each other. */
typedef struct pair {
    const phase *a, *b;
    int position, weight; /* the first of each */
    int repeat;           /* positions of one weight */
} pair;

static pair pair_of(const zn_wino_form *f, int a, int b) {
    pair p = {0};
    for (int i = 0; i < f->down->n; i++)
        for (int j = 0; j < f->across->n; j++) {
            const phase *x = &f->down->phase[i], *y = &f->across->phase[j];
            int positions = x->grid * y->grid;
            int weights = (x->by->weights == 1 ? 1 : x->grid) * (y->by->weights == 1 ? 1 : y->grid);
            if (i == a && j == b) {
                p.a = x;
                p.b = y;
                p.repeat = positions / weights;
                return p;
            }
            p.position += positions;
            p.weight += weights;
        }
    ZN_ICE("no phase %d, %d", a, b);
}

/* Number of position or weight i of a phase: the last one, infinity, stays the last. */
static int place(const phase *p, int i) {
    return i == p->by->positions - 1 ? p->grid - 1 : i;
}

static int position(const pair *p, int i, int j) {
    bool down = p->a->by->weights == 1 && p->b->by->weights > 1; /* the repeated ones lie down */
    i = place(p->a, i);
    j = place(p->b, j);
    return p->position + (down ? j * p->a->grid + i : i * p->b->grid + j);
}
static int weight(const pair *p, int i, int j) {
    return p->weight + i * p->b->by->weights + j;
}

void zn_wino_positions(zn_emit *e, const zn_wino_form *f, zn_ll u, zn_ll *first, zn_ll *count) {
    *first = u;
    *count = zn_i64(e, 1);
    for (int i = 0; i < f->down->n; i++)
        for (int j = 0; j < f->across->n; j++) {
            pair p = pair_of(f, i, j);
            if (p.repeat == 1)
                continue;
            zn_ll here = LLVMBuildICmp(e->b, LLVMIntSGE, u, zn_i64(e, p.weight), "");
            zn_ll at = zn_addk(e, zn_mul(e, zn_addk(e, u, -p.weight), p.repeat), p.position);
            *first = zn_select(e, here, at, *first);
            *count = zn_select(e, here, zn_i64(e, p.repeat), *count);
        }
}

/* ---- two directions */

enum { EXTENT = ZN_WINO_EXTENT, TILE = ZN_WINO_TILE, TAPS = ZN_WINO_TAPS };

/* t[rows][EXTENT] down, into all positions of the pair. */
static void finish(zn_emit *e, const pair *p, transform_1d *f, const zn_ll *t, zn_wino_write *write, void *ctx) {
    zn_ll v[EXTENT];
    for (int j = 0; j < p->b->by->positions; j++) {
        f(e, t + j, EXTENT, v, 1);
        for (int i = 0; i < p->a->by->positions; i++)
            write(ctx, e, position(p, i, j), 0, v[i]);
    }
}

/* Across first: LLVM moves loads of neighbouring columns together, which is where they are needed then. The other way
 * round it would keep four columns in registers that it does not have. */
void zn_wino_input(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    const direction *down = f->down;
    bool shared = down->n > 1 && down->phase[0].input == down->phase[1].input; /* all phases read the same rows */
    for (int b = 0; b < f->across->n; b++) {
        zn_ll t[EXTENT * EXTENT], d[EXTENT];
        for (int a = 0; a < f->down->n; a++) {
            pair p = pair_of(f, a, b);
            for (int i = 0; i < p.a->by->positions && !(shared && a); i++) {
                for (int j = 0; j < p.b->by->positions; j++)
                    d[j] = read(ctx, e, p.a->input + i * down->input_every, p.b->input + j * down->input_every);
                p.b->by->input(e, d, 1, t + i * EXTENT, 1);
            }
            finish(e, &p, p.a->by->input, t, write, ctx);
        }
    }
}

void zn_wino_gradient(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    for (int b = 0; b < f->across->n; b++) {
        zn_ll t[TILE * EXTENT], d[TILE];
        for (int i = 0; i < f->down->tile; i++) {
            for (int j = 0; j < f->across->tile; j++)
                d[j] = read(ctx, e, i, j);
            f->across->phase[b].by->gradient(e, d, 1, t + i * EXTENT, 1);
        }
        for (int a = 0; a < f->down->n; a++) {
            pair p = pair_of(f, a, b);
            finish(e, &p, p.a->by->gradient, t, write, ctx);
        }
    }
}

/* Column j of the pair's positions, down, into o[outputs]. */
static void down(zn_emit *e, const pair *p, int j, zn_wino_read *read, void *ctx, zn_ll *o, int os) {
    zn_ll m[EXTENT];
    for (int i = 0; i < p->a->by->positions; i++)
        m[i] = read(ctx, e, position(p, i, j), 0);
    p->a->by->output(e, m, 1, o, os);
}

/* Every pair of phases computes outputs of its own. */
static void output_apart(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    for (int a = 0; a < f->down->n; a++)
        for (int b = 0; b < f->across->n; b++) {
            pair p = pair_of(f, a, b);
            zn_ll t[TILE * EXTENT], y[TILE];
            for (int j = 0; j < p.b->by->positions; j++)
                down(e, &p, j, read, ctx, t + j, EXTENT);
            for (int i = 0; i < f->down->tile; i++) {
                p.b->by->output(e, t + i * EXTENT, 1, y, 1);
                for (int j = 0; j < f->across->tile; j++)
                    write(ctx, e, p.a->output + i * f->down->output_every, p.b->output + j * f->down->output_every,
                          y[j]);
            }
        }
}

/* Every output is the sum of all pairs of phases: those that go across alike are added before they do. */
static void output_summed(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    zn_ll sum[TILE * TILE];
    for (int b = 0; b < f->across->n; b++) {
        zn_ll t[TILE * EXTENT], y[TILE];
        for (int j = 0; j < f->across->phase[b].by->positions; j++)
            for (int a = 0; a < f->down->n; a++) {
                pair p = pair_of(f, a, b);
                down(e, &p, j, read, ctx, y, 1);
                for (int i = 0; i < f->down->tile; i++)
                    t[i * EXTENT + j] = a ? zn_fadd(e, t[i * EXTENT + j], y[i]) : y[i];
            }
        for (int i = 0; i < f->down->tile; i++) {
            f->across->phase[b].by->output(e, t + i * EXTENT, 1, y, 1);
            for (int j = 0; j < f->across->tile; j++) {
                sum[i * TILE + j] = b ? zn_fadd(e, sum[i * TILE + j], y[j]) : y[j];
                if (b == f->across->n - 1)
                    write(ctx, e, i, j, sum[i * TILE + j]);
            }
        }
    }
}

void zn_wino_output(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    if (f->down->output_every > 1)
        output_apart(e, f, read, write, ctx);
    else
        output_summed(e, f, read, write, ctx);
}

void zn_wino_weights(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    for (int a = 0; a < f->down->n; a++)
        for (int b = 0; b < f->across->n; b++) {
            pair p = pair_of(f, a, b);
            zn_ll t[EXTENT * TAPS], g[TAPS], v[EXTENT];
            for (int j = 0; j < p.b->by->taps; j++) {
                for (int i = 0; i < p.a->by->taps; i++)
                    g[i] = read(ctx, e, p.a->tap[i], p.b->tap[j]);
                p.a->by->taps_in(e, g, 1, t + j, TAPS);
            }
            for (int i = 0; i < p.a->by->weights; i++) {
                p.b->by->taps_in(e, t + TAPS * i, 1, v, 1);
                for (int j = 0; j < p.b->by->weights; j++)
                    write(ctx, e, weight(&p, i, j), 0, v[j]);
            }
        }
}

void zn_wino_weights_gradient(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx) {
    for (int a = 0; a < f->down->n; a++)
        for (int b = 0; b < f->across->n; b++) {
            pair p = pair_of(f, a, b);
            zn_ll t[TAPS * EXTENT], u[EXTENT], g[TAPS];
            for (int j = 0; j < p.b->by->weights; j++) {
                for (int i = 0; i < p.a->by->weights; i++)
                    u[i] = read(ctx, e, weight(&p, i, j), 0);
                p.a->by->taps_out(e, u, 1, t + j, EXTENT);
            }
            for (int i = 0; i < p.a->by->taps; i++) {
                p.b->by->taps_out(e, t + i * EXTENT, 1, g, 1);
                for (int j = 0; j < p.b->by->taps; j++)
                    write(ctx, e, p.a->tap[i], p.b->tap[j], g[j]);
            }
        }
}
