/* Eigenvectors and singular values: matrices whose answer is known, products that give the matrix back, and the same
 * bits from every address and beside other threads. */
#include "runtime/lapack.h"

#include <CUnit/Basic.h>
#include <math.h>
#include <string.h>

enum { N = 24, ROWS = 7, COLS = 19 };

static double sample(int i, int j) {
    return (i * 37 + j * 17) % 29 / 29.0 - 0.4;
}

static void known(void) {
    zn_rt_error e = {""};
    double a[4] = {2, 1, 1, 2}, values[2];
    CU_ASSERT_EQUAL_FATAL(zn_rt_symmetric_eigen(2, a, values, &e), 0);
    CU_ASSERT_DOUBLE_EQUAL(values[0], 1, 1e-14);
    CU_ASSERT_DOUBLE_EQUAL(values[1], 3, 1e-14);
    CU_ASSERT_DOUBLE_EQUAL(a[0] * a[1], -0.5, 1e-14); /* row 0: (1, -1) / sqrt(2) */
    CU_ASSERT_DOUBLE_EQUAL(a[2] * a[3], 0.5, 1e-14);
    const double b[6] = {3, 0, 0, 0, -4, 0};
    CU_ASSERT_EQUAL_FATAL(zn_rt_singular_values(2, 3, b, values, &e), 0);
    CU_ASSERT_DOUBLE_EQUAL(values[0], 4, 1e-14);
    CU_ASSERT_DOUBLE_EQUAL(values[1], 3, 1e-14);
    CU_ASSERT_EQUAL(zn_rt_symmetric_eigen(0, a, values, &e), ZN_RT_INPUT);
    CU_ASSERT_EQUAL(zn_rt_singular_values(1, 1 << 20, b, values, &e), ZN_RT_INPUT);
}

static void vectors_give_the_matrix_back(void) {
    static double a[N * N], v[N * N];
    double values[N], worst = 0;
    zn_rt_error e = {""};
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i * N + j] = sample(i < j ? i : j, i < j ? j : i);
    memcpy(v, a, sizeof a);
    CU_ASSERT_EQUAL_FATAL(zn_rt_symmetric_eigen(N, v, values, &e), 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0, dot = 0;
            for (int k = 0; k < N; k++) {
                sum += values[k] * v[k * N + i] * v[k * N + j];
                dot += v[i * N + k] * v[j * N + k];
            }
            worst = fmax(worst, fmax(fabs(sum - a[i * N + j]), fabs(dot - (i == j))));
        }
    CU_ASSERT(worst < 1e-13);
    for (int i = 1; i < N; i++)
        CU_ASSERT(values[i] >= values[i - 1]);
}

/* The squares of the singular values of A are the eigenvalues of A A^T. */
static void singular_values(void) {
    double a[ROWS * COLS], gram[ROWS * ROWS], values[ROWS], squares[ROWS];
    zn_rt_error e = {""};
    for (int i = 0; i < ROWS * COLS; i++)
        a[i] = sample(i / COLS, i % COLS);
    for (int i = 0; i < ROWS * ROWS; i++) {
        gram[i] = 0;
        for (int k = 0; k < COLS; k++)
            gram[i] += a[i / ROWS * COLS + k] * a[i % ROWS * COLS + k];
    }
    CU_ASSERT_EQUAL_FATAL(zn_rt_singular_values(ROWS, COLS, a, values, &e), 0);
    CU_ASSERT_EQUAL_FATAL(zn_rt_symmetric_eigen(ROWS, gram, squares, &e), 0);
    for (int i = 0; i < ROWS; i++)
        CU_ASSERT_DOUBLE_EQUAL(values[i] * values[i], squares[ROWS - 1 - i], 1e-12);
}

static void bits_do_not_depend_on_the_address(void) {
    static double room[2 * (N * N + 8)];
    double values[2][N];
    zn_rt_error e = {""};
    double *a = room, *b = room + N * N + 8 + 1;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i * N + j] = b[i * N + j] = sample(i < j ? i : j, i < j ? j : i);
    CU_ASSERT_EQUAL_FATAL(zn_rt_symmetric_eigen(N, a, values[0], &e), 0);
    CU_ASSERT_EQUAL_FATAL(zn_rt_symmetric_eigen(N, b, values[1], &e), 0);
    CU_ASSERT_EQUAL(memcmp(a, b, N * N * sizeof *a), 0);
    CU_ASSERT_EQUAL(memcmp(values[0], values[1], sizeof values[0]), 0);
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: LAPACK", NULL, NULL);
    CU_add_test(s, "known", known);
    CU_add_test(s, "vectors give the matrix back", vectors_give_the_matrix_back);
    CU_add_test(s, "singular values", singular_values);
    CU_add_test(s, "bits do not depend on the address", bits_do_not_depend_on_the_address);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
