/* Products by OpenBLAS: all four transpositions against plain loops, cut into columns, alone and in the pool. */
#include "runtime/abi.h"
#include "runtime/pool.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

enum { M = 37, N = 50, K = 29, COLUMNS = 16, LDC = N + 3 };

static float a[M * K], b[K * N], c[M * LDC], again[M * LDC];

typedef struct job {
    zn_step step;
} job;

static void work(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const job *j = ctx;
    j->step.phase->kernel(&j->step, NULL, begin, end, scratch);
}

static void products(void) {
    zn_rt_pool *pool;
    zn_rt_error e;
    CU_ASSERT_EQUAL_FATAL(zn_rt_pool_open(&pool, 3, 0, zn_rt_blas_start, &e), 0);
    for (int i = 0; i < M * K; i++)
        a[i] = (float)(i * 7 % 23) - 11;
    for (int i = 0; i < K * N; i++)
        b[i] = (float)(i * 5 % 19) - 9;
    for (int trans = 0; trans < 4; trans++) {
        int ta = trans & 1, tb = trans >> 1;
        const int64_t extra[9] = {M, N, K, ta ? M : K, tb ? K : N, LDC, ta, tb, COLUMNS};
        const zn_phase phase = {.kernel = zn_rt_gemm, .outer = (N + COLUMNS - 1) / COLUMNS, .grain = 1, .extra = extra};
        void *buf[3] = {c, a, b};
        job j = {{buf, &phase}};
        for (int i = 0; i < M * LDC; i++)
            c[i] = again[i] = -1;
        work(&j, 0, phase.outer, NULL);
        int bad = 0;
        for (int m = 0; m < M; m++)
            for (int n = 0; n < LDC; n++) {
                float want = n < N ? 0.0f : -1.0f; /* whole numbers: exact in any order; beyond N nothing is touched */
                for (int k = 0; k < K && n < N; k++)
                    want += a[ta ? k * M + m : m * K + k] * b[tb ? n * K + k : k * N + n];
                bad += c[m * LDC + n] != want;
            }
        CU_ASSERT_EQUAL(bad, 0);
        buf[0] = again;
        zn_rt_parfor(pool, work, &j, phase.outer, phase.grain);
        CU_ASSERT_EQUAL(memcmp(c, again, sizeof c), 0);
    }
    zn_rt_pool_close(pool);
    printf(" %s ", zn_rt_blas_version());
    CU_ASSERT_PTR_NOT_NULL(strstr(zn_rt_blas_version(), "OpenBLAS"));
    CU_ASSERT_PTR_EQUAL(zn_rt_blas_version(), zn_rt_blas_version());
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: OpenBLAS", NULL, NULL);
    CU_add_test(s, "products", products);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
