/* Products by OpenBLAS (see runtime/abi.h), in an object of its own: a program that names none of these does not link
 * the library.
 *
 * Compiled with ZN_BLAS_LATE (into znetc) it is not linked but loaded when it is first asked for: OpenBLAS starts
 * threads and takes memory when it is loaded, and most plans have no product of it.
 *
 * OpenBLAS's result depends on its number of threads and on how a product is cut, so each call has one thread and the
 * cut is the module's. openblas_set_num_threads(1) once serves the serial and pthread builds; the OpenMP build keeps
 * the number by thread, so there it is set in every one. */
#include "runtime/abi.h"

#include "runtime/blas.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>

#ifdef ZN_BLAS_LATE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static struct {
    __typeof__(&cblas_sgemm) cblas_sgemm;
    __typeof__(&openblas_set_num_threads) openblas_set_num_threads;
    __typeof__(&openblas_get_parallel) openblas_get_parallel;
    __typeof__(&openblas_get_config) openblas_get_config;
    __typeof__(&openblas_get_corename) openblas_get_corename;
} late;

static bool find(void *library, const char *name, void *out) {
    void *at = dlsym(library, name);
    memcpy(out, &at, sizeof at); /* ISO C has no cast from an object's address to a function's */
    return at != NULL;
}

bool zn_rt_blas_load(const char **error) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* from the start: it makes its threads while it is loaded */
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    bool ok = library && find(library, "cblas_sgemm", &late.cblas_sgemm) &&
              find(library, "openblas_set_num_threads", &late.openblas_set_num_threads) &&
              find(library, "openblas_get_parallel", &late.openblas_get_parallel) &&
              find(library, "openblas_get_config", &late.openblas_get_config) &&
              find(library, "openblas_get_corename", &late.openblas_get_corename);
    *error = ok ? NULL : dlerror();
    return ok;
}

#define cblas_sgemm late.cblas_sgemm
#define openblas_set_num_threads late.openblas_set_num_threads
#define openblas_get_parallel late.openblas_get_parallel
#define openblas_get_config late.openblas_get_config
#define openblas_get_corename late.openblas_get_corename
#endif

enum { PARALLEL_OPENMP = 2 };

static pthread_once_t start_once = PTHREAD_ONCE_INIT, version_once = PTHREAD_ONCE_INIT;
static char version[256];

static void single_threaded(void) {
    openblas_set_num_threads(1);
}

void zn_rt_blas_start(void) {
    pthread_once(&start_once, single_threaded);
    if (openblas_get_parallel() == PARALLEL_OPENMP)
        single_threaded();
}

static void make_version(void) {
    snprintf(version, sizeof version, "%s, %s", openblas_get_config(), openblas_get_corename());
}

const char *zn_rt_blas_version(void) {
    pthread_once(&version_once, make_version);
    return version;
}

void zn_rt_gemm(const zn_step *step, const zn_args *args, int64_t begin, int64_t end, void *scratch) {
    enum { M, N, K, LDA, LDB, LDC, TRANS_A, TRANS_B, COLUMNS };
    const int64_t *x = step->phase->extra;
    float *c = step->buf[0];
    const float *a = step->buf[1], *b = step->buf[2];
    CBLAS_TRANSPOSE ta = x[TRANS_A] ? CblasTrans : CblasNoTrans, tb = x[TRANS_B] ? CblasTrans : CblasNoTrans;
    (void)args, (void)scratch;
    for (int64_t u = begin; u < end; u++) {
        int64_t first = u * x[COLUMNS], columns = x[N] - first < x[COLUMNS] ? x[N] - first : x[COLUMNS];
        cblas_sgemm(CblasRowMajor, ta, tb, (blasint)x[M], (blasint)columns, (blasint)x[K], 1.0f, a, (blasint)x[LDA],
                    b + (x[TRANS_B] ? first * x[LDB] : first), (blasint)x[LDB], 0.0f, c + first, (blasint)x[LDC]);
    }
}
