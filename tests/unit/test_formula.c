/* Init formulas: the definitions of formula.h, element by element, and the layout of random draws. */
#include "support/formula.h"

#include "support/math.h"
#include "support/philox.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void identity(void) {
    float w[3 * 3 * 2 * 4];
    zn_formula f = {.kind = ZN_FORMULA_IDENTITY, .a = 1, .spanning = false};
    zn_formula_eval(&f, 4, (int64_t[4]){3, 3, 2, 4}, "w", 1, w);
    for (int t = 0; t < 9; t++)
        for (int i = 0; i < 2; i++)
            for (int o = 0; o < 4; o++)
                CU_ASSERT_EQUAL(w[(t * 2 + i) * 4 + o], t == 4 && i == o ? 1.0f : 0.0f);
    zn_formula_eval(&f, 2, (int64_t[2]){4, 2}, "w", 1, w); /* more inputs than outputs */
    for (int i = 0; i < 4; i++)
        for (int o = 0; o < 2; o++)
            CU_ASSERT_EQUAL(w[i * 2 + o], i == o ? 1.0f : 0.0f);
}

/* Columns, or rows where there are fewer, of a kernel as a matrix [kh kw in][out]. */
static void orthogonal(void) {
    static const int64_t shape[][4] = {{3, 3, 5, 20}, {1, 1, 7, 7}, {2, 2, 3, 40}, {5, 5, 3, 1}, {3, 3, 40, 300}};
    static float w[3 * 3 * 40 * 300];
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
        zn_formula f = {.kind = ZN_FORMULA_ORTHOGONAL, .a = 1.5f, .spanning = false};
        int64_t n = shape[s][0] * shape[s][1] * shape[s][2], out = shape[s][3];
        bool columns = out <= n;
        zn_formula_eval(&f, 4, shape[s], "w", 3, w);
        int64_t count = columns ? out : n, length = columns ? n : out;
        double worst = 0;
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j <= i; j++) {
                double dot = 0;
                for (int64_t k = 0; k < length; k++)
                    dot += columns ? (double)w[k * out + i] * (double)w[k * out + j]
                                   : (double)w[i * out + k] * (double)w[j * out + k];
                worst = fmax(worst, fabs(dot - (i == j ? 2.25 : 0)));
            }
        CU_ASSERT_TRUE(worst < 2e-6);
    }
}

static void hadamard(void) {
    float w[8 * 8];
    zn_formula f = {.kind = ZN_FORMULA_HADAMARD, .a = 0.5f, .spanning = false};
    zn_formula_eval(&f, 2, (int64_t[2]){8, 8}, "w", 1, w);
    for (int i = 0; i < 8; i++) /* a^-2 W W^T = 8 I */
        for (int j = 0; j < 8; j++) {
            float sum = 0;
            for (int o = 0; o < 8; o++)
                sum += w[i * 8 + o] * w[j * 8 + o];
            CU_ASSERT_EQUAL(sum, i == j ? 2.0f : 0.0f);
        }
    CU_ASSERT_EQUAL(w[1 * 8 + 1], -0.5f);
    CU_ASSERT_EQUAL(w[3 * 8 + 3], 0.5f);
    CU_ASSERT_EQUAL(w[3 * 8 + 2], -0.5f);
}

static void spanning(void) {
    const int order8[8] = {1, 2, 4, 0, 3, 5, 6, 7}, order6[6] = {1, 2, 4, 0, 3, 5};
    float w[8 * 8];
    zn_formula f = {.kind = ZN_FORMULA_IDENTITY, .a = 1, .spanning = true};
    zn_formula_eval(&f, 2, (int64_t[2]){8, 8}, "w", 1, w);
    for (int i = 0; i < 8; i++)
        for (int o = 0; o < 8; o++)
            CU_ASSERT_EQUAL(w[i * 8 + o], order8[i] == o ? 1.0f : 0.0f);
    zn_formula_eval(&f, 2, (int64_t[2]){6, 6}, "w", 1, w);
    for (int i = 0; i < 6; i++)
        for (int o = 0; o < 6; o++)
            CU_ASSERT_EQUAL(w[i * 6 + o], order6[i] == o ? 1.0f : 0.0f);
    f.kind = ZN_FORMULA_HADAMARD;
    zn_formula_eval(&f, 2, (int64_t[2]){8, 8}, "w", 1, w);
    for (int i = 0; i < 8; i++)
        for (int o = 0; o < 8; o++)
            CU_ASSERT_EQUAL(w[i * 8 + o], __builtin_popcount((unsigned)(order8[i] & o)) % 2 ? -1.0f : 1.0f);
}

static void random_draws(void) {
    enum { N = 40001 };
    static float a[N], b[N];
    zn_formula f = {.kind = ZN_FORMULA_NORMAL, .a = 2.0f, .spanning = false};
    zn_formula_eval(&f, 1, (int64_t[1]){N}, "conv1.weight", 7, a);
    double mean = 0, var = 0;
    for (int i = 0; i < N; i++)
        mean += (double)a[i] / (double)N;
    for (int i = 0; i < N; i++)
        var += ((double)a[i] - mean) * ((double)a[i] - mean) / (double)N;
    CU_ASSERT_TRUE(fabs(mean) < 0.05 && fabs(var - 4) < 0.15);
    /* An element depends on its index, the name and the seed alone. */
    zn_formula_eval(&f, 2, (int64_t[2]){7, 3}, "conv1.weight", 7, b);
    CU_ASSERT_EQUAL(memcmp(a, b, 21 * sizeof *a), 0);
    uint32_t w[4];
    zn_philox(zn_philox_key_make(7, ZN_PURPOSE_INIT, "conv1.weight"), 2, 0, 0, 0, w);
    float r = sqrtf(-2.0f * zn_logf((float)((w[2] >> 8) + 1) * 0x1p-24f));
    CU_ASSERT_EQUAL(a[10], 2.0f * (r * (float)zn_cospi(2.0 * (double)zn_philox_unit(w[3]))));
    CU_ASSERT_EQUAL(a[11], 2.0f * (r * (float)zn_sinpi(2.0 * (double)zn_philox_unit(w[3]))));
    zn_formula_eval(&f, 1, (int64_t[1]){8}, "conv2.weight", 7, b);
    CU_ASSERT_NOT_EQUAL(a[0], b[0]);
    zn_formula_eval(&f, 1, (int64_t[1]){8}, "conv1.weight", 8, b);
    CU_ASSERT_NOT_EQUAL(a[0], b[0]);
    f.kind = ZN_FORMULA_UNIFORM;
    zn_formula_eval(&f, 1, (int64_t[1]){N}, "conv1.weight", 7, a);
    float low = 0, high = 0;
    for (int i = 0; i < N; i++)
        low = fminf(low, a[i]), high = fmaxf(high, a[i]);
    CU_ASSERT_TRUE(low >= -2.0f && low < -1.99f && high < 2.0f && high > 1.99f);
}

/* Parts in any order are the whole. */
static void parts(void) {
    enum { N = 300 * 700 };
    static float a[N], b[N];
    const int64_t dim[2] = {300, 700};
    for (int kind = 0; kind < ZN_FORMULA_COUNT; kind++) {
        zn_formula f = {.kind = (zn_formula_kind)kind, .a = 2.0f, .q = 3, .of = {"a", "b"}, .inner = 20};
        int64_t n = zn_formula_parts(&f, 2, dim);
        for (int i = 0; i < N; i++)
            b[i] = -9;
        zn_formula_eval(&f, 2, dim, "w", 7, a);
        for (int64_t p = n - 1; p >= 0; p--)
            zn_formula_part(&f, 2, dim, "w", 7, p, b);
        CU_ASSERT_EQUAL(memcmp(a, b, sizeof a), 0);
        CU_ASSERT_TRUE(n > 1 || kind == ZN_FORMULA_IDENTITY || kind == ZN_FORMULA_HADAMARD ||
                       kind == ZN_FORMULA_ORTHOGONAL || kind == ZN_FORMULA_DELTA_ORTHOGONAL ||
                       kind == ZN_FORMULA_CENTRE || kind >= ZN_FORMULA_MIRRORED);
    }
}

static void constants(void) {
    float x[3] = {9, 9, 9};
    zn_formula f = zn_formula_const(0.25f);
    zn_formula_eval(&f, 0, NULL, "s", 1, x);
    CU_ASSERT_TRUE(x[0] == 0.25f && x[1] == 9);
    zn_formula_eval(&f, 1, (int64_t[1]){2}, "s", 1, x);
    CU_ASSERT_TRUE(x[1] == 0.25f && x[2] == 9);
    CU_ASSERT_STRING_EQUAL(zn_formula_names[ZN_FORMULA_HADAMARD], "hadamard");
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("formula", NULL, NULL);
    CU_add_test(s, "identity", identity);
    CU_add_test(s, "hadamard", hadamard);
    CU_add_test(s, "orthogonal", orthogonal);
    CU_add_test(s, "spanning order", spanning);
    CU_add_test(s, "random draws", random_draws);
    CU_add_test(s, "parts", parts);
    CU_add_test(s, "constants", constants);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
