/* See grid.h. */
#include "passes/prove/grid.h"

#include <stdlib.h>
#include <string.h>

#include "support/ice.h"

static void *get(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p)
        ZN_ICE("out of memory");
    return p;
}

zn_grid *zn_grid_new(int64_t rows, int64_t cols, int64_t nrow, int64_t ncol, int64_t nspot) {
    zn_grid *g = get(1, sizeof *g);
    *g = (zn_grid){rows, cols, nrow, ncol, nspot, NULL, NULL, NULL, NULL};
    g->row = get((size_t)rows, sizeof *g->row);
    g->col = get((size_t)cols, sizeof *g->col);
    g->at = get((size_t)(nrow * ncol), sizeof *g->at);
    g->spot = get((size_t)nspot, sizeof *g->spot);
    return g;
}

void zn_grid_free(zn_grid *g) {
    if (!g)
        return;
    free(g->row);
    free(g->col);
    free(g->at);
    free(g->spot);
    free(g);
}

zn_grid *zn_grid_copy(const zn_grid *g) {
    zn_grid *r = zn_grid_new(g->rows, g->cols, g->nrow, g->ncol, g->nspot);
    memcpy(r->row, g->row, (size_t)g->rows * sizeof *g->row);
    memcpy(r->col, g->col, (size_t)g->cols * sizeof *g->col);
    memcpy(r->at, g->at, (size_t)(g->nrow * g->ncol) * sizeof *g->at);
    memcpy(r->spot, g->spot, (size_t)g->nspot * sizeof *g->spot);
    return r;
}

/* The number of spots before element i. */
static int64_t spots_before(const zn_grid *g, int64_t i) {
    int64_t lo = 0, hi = g->nspot;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (g->spot[mid].i < i)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

zn_cell zn_grid_get(const zn_grid *g, int64_t i) {
    int64_t k = spots_before(g, i);
    if (k < g->nspot && g->spot[k].i == i)
        return g->spot[k].x;
    return g->at[g->row[i / g->cols] * g->ncol + g->col[i % g->cols]];
}

int64_t *zn_grid_examples(const int32_t *kind, int64_t n, int64_t kinds) {
    int64_t *r = get((size_t)kinds, sizeof *r);
    for (int64_t i = n - 1; i >= 0; i--)
        r[kind[i]] = i;
    return r;
}

int64_t *zn_grid_counts(const int32_t *kind, int64_t n, int64_t kinds) {
    int64_t *r = get((size_t)kinds, sizeof *r);
    for (int64_t i = 0; i < n; i++)
        r[kind[i]]++;
    return r;
}

int64_t zn_grid_zeros(bool exact, const zn_grid *g) {
    int64_t *rows = zn_grid_counts(g->row, g->rows, g->nrow), *cols = zn_grid_counts(g->col, g->cols, g->ncol), n = 0;
    for (int64_t i = 0; i < g->nrow * g->ncol; i++)
        if (zn_cell_zero(exact, g->at[i]))
            n += rows[i / g->ncol] * cols[i % g->ncol];
    for (int64_t k = 0; k < g->nspot; k++) {
        int64_t i = g->spot[k].i;
        n -= zn_cell_zero(exact, g->at[g->row[i / g->cols] * g->ncol + g->col[i % g->cols]]);
        n += zn_cell_zero(exact, g->spot[k].x);
    }
    free(rows);
    free(cols);
    return n;
}

uint64_t zn_grid_hash(const zn_grid *g) {
    uint64_t h = zn_cell_mix((uint64_t)g->nrow, (uint64_t)g->ncol);
    for (int64_t i = 0; i < g->rows; i++)
        h = zn_cell_mix(h, (uint64_t)g->row[i]);
    for (int64_t i = 0; i < g->cols; i++)
        h = zn_cell_mix(h, (uint64_t)g->col[i]);
    for (int64_t i = 0; i < g->nrow * g->ncol; i++)
        h = zn_cell_mix(h, g->at[i]);
    for (int64_t i = 0; i < g->nspot; i++)
        h = zn_cell_mix(zn_cell_mix(h, (uint64_t)g->spot[i].i), g->spot[i].x);
    return h;
}

bool zn_grid_pays(int64_t nrow, int64_t ncol, int64_t n) {
    return n >= 256 && nrow * ncol <= n - n / 4;
}

/* An open hash table: keys are never walked but in the order of the list. */
int64_t zn_kinds(const uint64_t *key, int64_t n, int32_t *kind) {
    size_t cap = 16;
    while (cap < 2 * (size_t)n)
        cap *= 2;
    int64_t *slot = get(cap, sizeof *slot), kinds = 0; /* index + 1 of the first with that key */
    for (int64_t i = 0; i < n; i++) {
        size_t h = zn_cell_mix(key[i], 3) & (cap - 1);
        while (slot[h] && key[slot[h] - 1] != key[i])
            h = (h + 1) & (cap - 1);
        kind[i] = slot[h] ? kind[slot[h] - 1] : (int32_t)kinds++;
        if (!slot[h])
            slot[h] = i + 1;
    }
    free(slot);
    return kinds;
}

/* One number nearly everywhere: a grid of one cell, and spots. */
static bool gather_spots(zn_cells *c, int64_t cols) {
    zn_cell most = c->at[0];
    int64_t votes = 0, spots = 0;
    for (int64_t i = 0; i < c->n; i++) { /* Boyer and Moore's vote */
        if (!votes)
            most = c->at[i];
        votes += c->at[i] == most ? 1 : -1;
    }
    for (int64_t i = 0; i < c->n; i++)
        spots += c->at[i] != most;
    if (spots > c->n / 64 && spots > 2 * cols)
        return false;
    zn_grid *g = zn_grid_new(c->n / cols, cols, 1, 1, spots);
    g->at[0] = most;
    for (int64_t i = 0, k = 0; i < c->n; i++)
        if (c->at[i] != most)
            g->spot[k++] = (zn_spot){i, c->at[i]};
    zn_cells_free(c);
    *c = (zn_cells){.form = ZN_CELLS_GRID, .elements = true, .n = c->n, .grid = g};
    return true;
}

void zn_cells_gather(zn_cells *c, int64_t cols) {
    if (c->form != ZN_CELLS_ARRAY || c->n % cols || c->n < 256 || gather_spots(c, cols))
        return;
    int64_t rows = c->n / cols;
    uint64_t *row = get((size_t)rows, sizeof *row), *col = get((size_t)cols, sizeof *col);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k++) {
            row[r] = zn_cell_mix(row[r], c->at[r * cols + k]);
            col[k] = zn_cell_mix(col[k], c->at[r * cols + k]);
        }
    zn_grid *g = zn_grid_new(rows, cols, 0, 0, 0);
    g->nrow = zn_kinds(row, rows, g->row);
    g->ncol = zn_kinds(col, cols, g->col);
    free(row);
    free(col);
    if (!zn_grid_pays(g->nrow, g->ncol, c->n)) {
        zn_grid_free(g);
        return;
    }
    free(g->at);
    g->at = get((size_t)(g->nrow * g->ncol), sizeof *g->at);
    int64_t *row_of = zn_grid_examples(g->row, rows, g->nrow), *col_of = zn_grid_examples(g->col, cols, g->ncol);
    for (int64_t i = 0; i < g->nrow * g->ncol; i++)
        g->at[i] = c->at[row_of[i / g->ncol] * cols + col_of[i % g->ncol]];
    free(row_of);
    free(col_of);
    zn_cells_free(c);
    *c = (zn_cells){.form = ZN_CELLS_GRID, .elements = true, .n = c->n, .grid = g};
}

void zn_cells_spread(zn_cells *c) {
    if (c->form != ZN_CELLS_GRID)
        return;
    const zn_grid *g = c->grid;
    zn_cells r = zn_cells_array(true, c->n);
    for (int64_t i = 0, e = 0; i < g->rows; i++)
        for (int64_t k = 0; k < g->cols; k++)
            r.at[e++] = g->at[g->row[i] * g->ncol + g->col[k]];
    for (int64_t k = 0; k < g->nspot; k++)
        r.at[g->spot[k].i] = g->spot[k].x;
    zn_cells_free(c);
    *c = r;
}

/* Kinds that tell apart what `of` and the kinds so far do. */
static int64_t refine(int32_t *kind, const int32_t *of, int64_t n, uint64_t *key) {
    for (int64_t i = 0; i < n; i++)
        key[i] = (uint64_t)(uint32_t)kind[i] << 32 | (uint32_t)of[i];
    return zn_kinds(key, n, kind);
}

static void add_spots(zn_grid *g, const zn_grid *x) {
    zn_spot *all = get((size_t)(g->nspot + x->nspot), sizeof *all);
    int64_t n = 0;
    for (int64_t a = 0, b = 0; a < g->nspot || b < x->nspot;) {
        int64_t i = a < g->nspot ? g->spot[a].i : INT64_MAX, k = b < x->nspot ? x->spot[b].i : INT64_MAX;
        all[n++] = (zn_spot){i < k ? i : k, 0};
        a += i <= k;
        b += k <= i;
    }
    free(g->spot);
    g->spot = all;
    g->nspot = n;
}

zn_grid *zn_grid_join(const zn_cells *const *x, int n) {
    zn_grid *g = NULL;
    int64_t all = 0;
    uint64_t *key = NULL;
    for (int k = 0; k < n; k++) {
        if (x[k]->form != ZN_CELLS_GRID)
            continue;
        const zn_grid *of = x[k]->grid;
        if (!g) {
            g = zn_grid_new(of->rows, of->cols, 0, 0, 0);
            key = get((size_t)(of->rows > of->cols ? of->rows : of->cols), sizeof *key);
            all = of->rows * of->cols;
        }
        if (of->rows != g->rows || of->cols != g->cols) {
            zn_grid_free(g);
            free(key);
            return NULL;
        }
        g->nrow = refine(g->row, of->row, g->rows, key);
        g->ncol = refine(g->col, of->col, g->cols, key);
        add_spots(g, of);
    }
    free(key);
    if (g && !zn_grid_pays(g->nrow, g->ncol, all)) {
        zn_grid_free(g);
        return NULL;
    }
    if (g) {
        free(g->at);
        g->at = get((size_t)(g->nrow * g->ncol), sizeof *g->at);
    }
    return g;
}

/* A grid all of whose cells are equal is uniform; spots that are like their row and column are none. */
static void settle_grid(zn_cells *c) {
    zn_grid *g = c->grid;
    int64_t n = 0, i = 1;
    for (int64_t k = 0; k < g->nspot; k++) {
        int64_t e = g->spot[k].i;
        if (g->spot[k].x != g->at[g->row[e / g->cols] * g->ncol + g->col[e % g->cols]])
            g->spot[n++] = g->spot[k];
    }
    g->nspot = n;
    while (i < g->nrow * g->ncol && g->at[i] == g->at[0])
        i++;
    if (n || i < g->nrow * g->ncol)
        return;
    zn_cell x = g->at[0];
    zn_cells_free(c);
    *c = zn_cells_uniform(true, c->n, x);
}

enum { MAX_ZIP = 4 };

/* Where the cells of a joined grid stand in one of the tensors: row[r] + col[c]; all 0 of a uniform one. */
typedef struct places {
    int64_t *row, *col;
    const zn_cell *at;
} places;

static places places_of(bool exact, const zn_cells *x, const zn_grid *joined, const int64_t *row, const int64_t *col,
                        zn_cell *uniform) {
    const zn_grid *g = x->grid;
    places p = {get((size_t)joined->nrow, sizeof *p.row), get((size_t)joined->ncol, sizeof *p.col), uniform};
    if (x->form != ZN_CELLS_GRID) {
        *uniform = zn_cells_get(exact, x, 0);
        return p;
    }
    for (int64_t r = 0; r < joined->nrow; r++)
        p.row[r] = g->row[row[r]] * g->ncol;
    for (int64_t c = 0; c < joined->ncol; c++)
        p.col[c] = g->col[col[c]];
    p.at = g->at;
    return p;
}

/* f of every cell; what it gives for the operands before is kept, for they often repeat. */
static void zip_cells(zn_grid *g, const places *p, int n, zn_zip_fn *f, const void *ctx) {
    zn_cell at[MAX_ZIP] = {0}, last[MAX_ZIP] = {0}, y = 0;
    for (int64_t r = 0, i = 0; r < g->nrow; r++)
        for (int64_t c = 0; c < g->ncol; c++, i++) {
            for (int k = 0; k < n; k++)
                at[k] = p[k].at[p[k].row[r] + p[k].col[c]];
            if (i == 0 || memcmp(at, last, sizeof at)) {
                y = f(ctx, at);
                memcpy(last, at, sizeof at);
            }
            g->at[i] = y;
        }
}

bool zn_grid_zip(bool exact, const zn_cells *const *x, int n, zn_zip_fn *f, const void *ctx, zn_cells *out) {
    zn_cell at[MAX_ZIP] = {0}, uniform[MAX_ZIP] = {0};
    places p[MAX_ZIP];
    for (int k = 0; k < n; k++)
        if (n > MAX_ZIP || x[k]->form == ZN_CELLS_ARRAY || (x[k]->form == ZN_CELLS_DISTINCT && x[k]->n > 1))
            return false;
    zn_grid *g = zn_grid_join(x, n);
    if (!g)
        return false;
    int64_t *row = zn_grid_examples(g->row, g->rows, g->nrow), *col = zn_grid_examples(g->col, g->cols, g->ncol);
    for (int k = 0; k < n; k++)
        p[k] = places_of(exact, x[k], g, row, col, &uniform[k]);
    zip_cells(g, p, n, f, ctx);
    for (int64_t s = 0; s < g->nspot; s++) {
        for (int k = 0; k < n; k++)
            at[k] = zn_cells_get(exact, x[k], x[k]->n == 1 ? 0 : g->spot[s].i);
        g->spot[s].x = f(ctx, at);
    }
    for (int k = 0; k < n; k++) {
        free(p[k].row);
        free(p[k].col);
    }
    free(row);
    free(col);
    *out = (zn_cells){.form = ZN_CELLS_GRID, .elements = true, .n = g->rows * g->cols, .grid = g};
    settle_grid(out);
    return true;
}
