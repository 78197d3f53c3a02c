/* LAPACK through OpenBLAS's own symbols (see runtime/lapack.h): dsyevd, and dgesdd without vectors.
 *
 * Results are to depend on the numbers alone. So OpenBLAS has one thread (its sums depend on how many there are), and
 * LAPACK works on a copy that begins at a page (kernels may begin a sum at an aligned element). Matrices of Fortran are
 * column-major: a symmetric one is the same in both, and the transpose of a matrix has its singular values. */
#include "runtime/lapack.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fortran's interface: everything by address, and behind it the lengths of what are characters. */
typedef void dsyevd_fn(const char *job, const char *uplo, const int *n, double *a, const int *lda, double *w,
                       double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
typedef void dgesdd_fn(const char *job, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
                       const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork,
                       int *info, size_t);

static struct {
    dsyevd_fn *dsyevd;
    dgesdd_fn *dgesdd;
    void (*set_num_threads)(int);
    bool ok;
    char why[512];
} lapack;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static bool find(void *library, const char *name, void *out) {
    void *at = dlsym(library, name);
    memcpy(out, &at, sizeof at); /* ISO C has no cast from an object's address to a function's */
    return at != NULL;
}

static void load(void) {
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* from the start: it makes its threads while it is loaded */
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    lapack.ok = library && find(library, "dsyevd_", &lapack.dsyevd) && find(library, "dgesdd_", &lapack.dgesdd) &&
                find(library, "openblas_set_num_threads", &lapack.set_num_threads);
    const char *why = lapack.ok ? "" : dlerror();
    snprintf(lapack.why, sizeof lapack.why, "%s", why ? why : "no reason given");
}

static int start(const char *what, zn_rt_error *e) {
    pthread_once(&load_once, load);
    if (!lapack.ok)
        return zn_rt_fail(e, ZN_RT_INPUT,
                          "%s are computed by OpenBLAS, which cannot be loaded: %s (package libopenblas0 of Debian and "
                          "Ubuntu)",
                          what, lapack.why);
    lapack.set_num_threads(1); /* every time: a build with OpenMP keeps the number by thread */
    return 0;
}

/* What a call works in: a copy of the matrix, results, and LAPACK's work space. */
typedef struct space {
    double *a, *values, *work;
    int *iwork;
} space;

static void *paged(int64_t n, size_t size) {
    enum { PAGE = 4096 };
    return n < 0 || n > INT64_C(1) << 36 ? NULL : aligned_alloc(PAGE, ((size_t)n * size / PAGE + 1) * PAGE);
}

static void space_close(space *s) {
    free(s->a);
    free(s->values);
    free(s->work);
    free(s->iwork);
}

static int space_open(space *s, int64_t elements, int64_t values, int64_t work, int64_t iwork, zn_rt_error *e) {
    *s = (space){paged(elements, sizeof(double)), paged(values, sizeof(double)), paged(work, sizeof(double)),
                 paged(iwork, sizeof(int))};
    if (s->a && s->values && s->work && s->iwork)
        return 0;
    space_close(s);
    return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for a matrix of %" PRId64 " numbers", elements);
}

/* Of the matrix, and so of each of LAPACK's 32-bit numbers. */
enum { MOST = 1 << 14 };

static int check(int64_t rows, int64_t cols, zn_rt_error *e) {
    if (rows >= 1 && cols >= 1 && rows <= MOST && cols <= MOST)
        return 0;
    return zn_rt_fail(e, ZN_RT_INPUT, "a matrix of %" PRId64 " x %" PRId64 " is too large: at most %d of each", rows,
                      cols, MOST);
}

static int outcome(const char *name, int info, zn_rt_error *e) {
    return info ? zn_rt_fail(e, ZN_RT_INPUT, "LAPACK's %s does not converge (%d): are all numbers finite?", name, info)
                : 0;
}

int zn_rt_symmetric_eigen(int64_t n, double *a, double *values, zn_rt_error *e) {
    space s;
    int code = check(n, n, e);
    if (!code)
        code = start("eigenvectors", e);
    if (code)
        return code;
    int size = (int)n, lwork = -1, liwork = -1, best_iwork = 0, info = 0;
    double best_work = 0;
    lapack.dsyevd("V", "L", &size, NULL, &size, NULL, &best_work, &lwork, &best_iwork, &liwork, &info, 1, 1);
    lwork = (int)best_work;
    liwork = best_iwork;
    code = info ? outcome("dsyevd", info, e) : space_open(&s, n * n, n, lwork, liwork, e);
    if (code)
        return code;
    memcpy(s.a, a, (size_t)(n * n) * sizeof *a);
    lapack.dsyevd("V", "L", &size, s.a, &size, s.values, s.work, &lwork, s.iwork, &liwork, &info, 1, 1);
    code = outcome("dsyevd", info, e);
    if (!code) {
        memcpy(a, s.a, (size_t)(n * n) * sizeof *a); /* column i there is row i here */
        memcpy(values, s.values, (size_t)n * sizeof *values);
    }
    space_close(&s);
    return code;
}

int zn_rt_singular_values(int64_t rows, int64_t cols, const double *a, double *values, zn_rt_error *e) {
    space s;
    int code = check(rows, cols, e);
    if (!code)
        code = start("singular values", e);
    if (code)
        return code;
    int m = (int)cols, n = (int)rows, least = m < n ? m : n, one = 1, lwork = -1, info = 0;
    double best_work = 0, none = 0;
    lapack.dgesdd("N", &m, &n, NULL, &m, NULL, &none, &one, &none, &one, &best_work, &lwork, NULL, &info, 1);
    lwork = (int)best_work;
    code = info ? outcome("dgesdd", info, e) : space_open(&s, rows * cols, least, lwork, 8 * (int64_t)least, e);
    if (code)
        return code;
    memcpy(s.a, a, (size_t)(rows * cols) * sizeof *a);
    lapack.dgesdd("N", &m, &n, s.a, &m, s.values, &none, &one, &none, &one, s.work, &lwork, s.iwork, &info, 1);
    code = outcome("dgesdd", info, e);
    if (!code)
        memcpy(values, s.values, (size_t)least * sizeof *values);
    space_close(&s);
    return code;
}
