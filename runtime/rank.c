/* Ranks of weights (see runtime/rank.h).
 *
 * The tolerances are those that the ranks of the literature were counted with: 1e-4 for W - I* (the notebook of the
 * authors of ZerO, by numpy's matrix_rank), 1e-4 of the largest singular value for W. Rows and columns of zeros do not
 * change a rank and are left out: in a wide layer that starts as the identity they are most of it. */
#include "runtime/rank.h"

#include "runtime/lapack.h"
#include "runtime/permute.h"
#include "runtime/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const double tolerance = 1e-4;

static bool is_matrix(const zn_tensor_desc *t) {
    return t->in_file && (t->rank == 2 || t->rank == 4);
}

/* Is `name` of n characters the tensor's path, or that without ".weight"? */
static bool names(const char *name, size_t n, const char *path) {
    return !strncmp(path, name, n) && (!path[n] || !strcmp(path + n, ".weight"));
}

/* Paths of matrices that resemble what was asked for, or else all of them, as far as they fit. */
static int unknown(const zn_module_desc *m, const char *name, size_t n, zn_rt_error *e) {
    enum { MANY = 12, LEAST = 2 };
    int near = 0, shown = 0;
    char word[256];
    memcpy(word, name, n < sizeof word ? n : sizeof word - 1);
    word[n < sizeof word ? n : sizeof word - 1] = '\0';
    zn_rt_fail(e, ZN_RT_USAGE, "--log-rank: there is no weight matrix `%s`", word);
    for (int close = 1; close >= 0 && !near; close--)
        for (uint64_t i = 0; i < m->ntensor && shown < MANY; i++) {
            const zn_tensor_desc *t = &m->tensor[i];
            char path[256];
            size_t length = strlen(t->name);
            if (!is_matrix(t) || length >= sizeof path)
                continue;
            memcpy(path, t->name, length + 1);
            if (length > 7 && !strcmp(path + length - 7, ".weight"))
                path[length - 7] = '\0';
            if (close && zn_rt_text_distance(word, path) > LEAST)
                continue;
            near += close;
            zn_rt_explain(e, "%s`%s`", shown++ ? ", " : close ? "; did you mean " : "; there are ", path);
        }
    if (near)
        zn_rt_explain(e, "?");
    return ZN_RT_USAGE;
}

static int find(const zn_module_desc *m, const char *name, size_t n, const zn_tensor_desc **out, zn_rt_error *e) {
    for (uint64_t i = 0; i < m->ntensor; i++)
        if (is_matrix(&m->tensor[i]) && names(name, n, m->tensor[i].name)) {
            *out = &m->tensor[i];
            return 0;
        }
    return unknown(m, name, n, e);
}

int zn_rt_ranks_open(zn_rt_ranks *r, const zn_module_desc *m, const char *layers, zn_rt_error *e) {
    int64_t elements = 1, least = 1;
    const double one = 1;
    double value;
    int most = 1, code = 0;
    *r = (zn_rt_ranks){0};
    if (!layers)
        return 0;
    for (const char *p = layers; *p; p++)
        most += *p == ',';
    r->at = calloc((size_t)most, sizeof *r->at);
    r->tensor = calloc((size_t)most, sizeof(const zn_tensor_desc *));
    if (!r->at || !r->tensor)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %d layers of --log-rank", most);
    for (const char *p = layers; r->n < most && !code; r->n += !code) {
        size_t n = strcspn(p, ",");
        code = find(m, p, n, &r->tensor[r->n], e);
        if (code)
            break;
        zn_rt_permute order = zn_rt_permute_make(r->tensor[r->n]);
        int64_t rows = (int64_t)order.out, columns = (int64_t)(order.taps * order.in);
        r->at[r->n] = (zn_rt_rank){.layer = r->tensor[r->n]->name, .rows = rows, .columns = columns};
        elements = rows * columns > elements ? rows * columns : elements;
        least = rows < columns ? (rows > least ? rows : least) : columns > least ? columns : least;
        p += n + 1;
    }
    if (!code)
        code = zn_rt_singular_values(1, 1, &one, &value, e);
    if (code)
        return code;
    r->matrix = malloc((size_t)elements * sizeof *r->matrix);
    r->values = malloc((size_t)least * sizeof *r->values);
    if (!r->matrix || !r->values)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for a matrix of --log-rank");
    return 0;
}

void zn_rt_ranks_close(zn_rt_ranks *r) {
    free(r->at);
    free(r->tensor);
    free(r->matrix);
    free(r->values);
    *r = (zn_rt_ranks){0};
}

/* out[rows][columns] = W, less I* if minus. */
static void fill(const zn_tensor_desc *t, const char *param, bool minus, double *out) {
    const float *w = (const float *)(const void *)(param + t->offset);
    zn_rt_permute p = zn_rt_permute_make(t);
    size_t width = p.taps * p.in, centre = 0;
    if (t->rank == 4) /* the tap that padding `same` lays on the pixel itself */
        centre = (size_t)((t->dim[0] - 1) / 2 * t->dim[1] + (t->dim[1] - 1) / 2);
    for (size_t o = 0; o < p.out; o++)
        for (size_t k = 0; k < width; k++)
            out[o * width + k] = (double)w[k * p.out + o];
    for (size_t i = 0; minus && i < p.out && i < p.in; i++)
        out[i * width + centre * p.in + i] -= 1;
}

/* Leaves out rows and columns of zeros; *rows and *columns become how many are left. */
static void squeeze(double *a, int64_t *rows, int64_t *columns) {
    int64_t n = 0, width = 0;
    for (int64_t i = 0; i < *rows; i++) {
        bool any = false;
        for (int64_t k = 0; k < *columns; k++)
            any |= a[i * *columns + k] != 0;
        if (any)
            memmove(a + n++ * *columns, a + i * *columns, (size_t)*columns * sizeof *a);
    }
    for (int64_t k = 0; k < *columns; k++) { /* the columns that stay come to the front, in their order */
        bool any = false;
        for (int64_t i = 0; i < n; i++)
            any |= a[i * *columns + k] != 0;
        for (int64_t i = 0; any && i < n; i++)
            a[i * *columns + width] = a[i * *columns + k];
        width += any;
    }
    for (int64_t i = 1; i < n; i++)
        memmove(a + i * width, a + i * *columns, (size_t)width * sizeof *a);
    *rows = n;
    *columns = width;
}

static int count(zn_rt_ranks *r, int64_t rows, int64_t columns, bool relative, int64_t *out, zn_rt_error *e) {
    int64_t least = rows < columns ? rows : columns;
    *out = 0;
    int code = least ? zn_rt_singular_values(rows, columns, r->matrix, r->values, e) : 0;
    for (int64_t i = 0; i < least && !code; i++)
        *out += r->values[i] > tolerance * (relative ? r->values[0] : 1);
    return code;
}

typedef struct row {
    const double *at;
    size_t bytes;
} row;

static int by_bits(const void *a, const void *b) {
    const row *x = a, *y = b;
    return memcmp(x->at, y->at, x->bytes);
}

static int distinct(const double *a, int64_t rows, int64_t columns, int64_t *out, zn_rt_error *e) {
    row *all = calloc((size_t)rows, sizeof *all);
    if (!all)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %" PRId64 " rows", rows);
    for (int64_t i = 0; i < rows; i++)
        all[i] = (row){a + i * columns, (size_t)columns * sizeof *a};
    qsort(all, (size_t)rows, sizeof *all, by_bits);
    *out = 1;
    for (int64_t i = 1; i < rows; i++)
        *out += by_bits(&all[i - 1], &all[i]) != 0;
    free(all);
    return 0;
}

static int measure(zn_rt_ranks *r, int i, const char *param, zn_rt_error *e) {
    zn_rt_rank *k = &r->at[i];
    int64_t rows = k->rows, columns = k->columns;
    fill(r->tensor[i], param, true, r->matrix);
    squeeze(r->matrix, &rows, &columns);
    k->nonzero_rows = rows;
    k->nonzero_columns = columns;
    int code = count(r, rows, columns, false, &k->rank_minus_identity, e);
    if (code)
        return code;
    fill(r->tensor[i], param, false, r->matrix);
    code = distinct(r->matrix, k->rows, k->columns, &k->distinct_rows, e);
    if (code)
        return code;
    rows = k->rows;
    columns = k->columns;
    squeeze(r->matrix, &rows, &columns);
    return count(r, rows, columns, true, &k->rank, e);
}

int zn_rt_ranks_measure(zn_rt_ranks *r, const char *param, zn_rt_error *e) {
    for (int i = 0; i < r->n; i++) {
        int code = measure(r, i, param, e);
        if (code)
            return code;
    }
    return 0;
}
