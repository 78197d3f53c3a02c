/* Elements in rows and columns of few kinds: what weights are that start from one number or an identity, and move by
 * gradients of channels in classes. Rows are all dimensions but the last.
 *
 * Element (r, c) is at[row[r] * ncol + col[c]], but for spots, which stand in order of their element. */
#ifndef ZN_PASSES_PROVE_GRID_H
#define ZN_PASSES_PROVE_GRID_H

#include "passes/prove/cells.h"

typedef struct zn_spot {
    int64_t i; /* element */
    zn_cell x;
} zn_spot;

struct zn_grid {
    int64_t rows, cols, nrow, ncol, nspot;
    int32_t *row, *col; /* kinds of rows and columns */
    zn_cell *at;
    zn_spot *spot;
};

/* Everything but spots, whose number is given. */
zn_grid *zn_grid_new(int64_t rows, int64_t cols, int64_t nrow, int64_t ncol, int64_t nspot);
void zn_grid_free(zn_grid *g);
zn_grid *zn_grid_copy(const zn_grid *g);
int64_t zn_grid_zeros(bool exact, const zn_grid *g);
uint64_t zn_grid_hash(const zn_grid *g);

/* Is a grid of so many kinds worth while for n elements? */
bool zn_grid_pays(int64_t nrow, int64_t ncol, int64_t n);
/* An array of elements in rows of `cols` becomes a grid if that pays. */
void zn_cells_gather(zn_cells *c, int64_t cols);
/* A grid becomes an array. */
void zn_cells_spread(zn_cells *c);

/* Rows, columns and spots that tell n tensors apart, grids or uniform, as a grid without cells; NULL if it would not
 * pay. Scalars and uniform tensors tell nothing apart; at least one is a grid. */
zn_grid *zn_grid_join(const zn_cells *const *x, int n);
/* A function of what n tensors have at each element, as a grid or uniform; false, and no result, where one is an array
 * or distinct or a grid would not pay. Those of one element count as uniform. */
typedef zn_cell zn_zip_fn(const void *ctx, const zn_cell *x);
bool zn_grid_zip(bool exact, const zn_cells *const *x, int n, zn_zip_fn *f, const void *ctx, zn_cells *out);

/* By kind: a row, or a column, of it. Free with free. */
int64_t *zn_grid_examples(const int32_t *kind, int64_t n, int64_t kinds);
/* By kind: how many rows or columns are of it. Free with free. */
int64_t *zn_grid_counts(const int32_t *kind, int64_t n, int64_t kinds);
/* Numbers for n keys, equal ones for equal keys, from 0 in order of appearance; how many. */
int64_t zn_kinds(const uint64_t *key, int64_t n, int32_t *kind);

#endif
