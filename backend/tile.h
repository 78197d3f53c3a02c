/* Register tiles: what kernels share that hold rows by vectors of outputs in registers. */
#ifndef ZN_BACKEND_TILE_H
#define ZN_BACKEND_TILE_H

#include "backend/emit.h"

enum { ZN_TILE_ROWS = 28, ZN_TILE_VECS = 3 }; /* at most */

/* How often a loop of n steps is unrolled: a divisor of n. */
int zn_unroll_of(int64_t n);

/* A block of outputs that register tiles go down. */
typedef struct zn_out_block {
    zn_ll first;
    int vecs;
    int lanes[ZN_TILE_VECS]; /* valid lanes of each vector */
} zn_out_block;

/* Valid lanes of `vecs` vectors from output `first` on. */
void zn_set_lanes(const zn_emit *e, int64_t outputs, int64_t first, int vecs, int *lanes);

/* Vectors of a tile are no wider than they need be: of half the lanes, or fewer, where no more are valid, since some
 * processors multiply such in half the time. */
zn_ll zn_tile_zero(const zn_emit *e, int lanes);
zn_ll zn_tile_load(zn_emit *e, zn_ll p, int lanes);
void zn_tile_store(zn_emit *e, zn_ll p, zn_ll v, int lanes);
zn_ll zn_tile_splat(zn_emit *e, zn_ll splat, int lanes); /* of a splat to all lanes */
zn_ll zn_tile_widen(zn_emit *e, zn_ll v);                /* to all lanes */

/* Calls body(first output, vecs) for blocks that cover `outputs`: one loop over full pairs of vectors, then the rest,
 * where one vector more makes three of the last pair. known: the first output where it is a constant. */
typedef void zn_block_fn(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx);
void zn_for_output_blocks(zn_emit *e, int64_t outputs, zn_block_fn *body, void *ctx);
/* Vectors of the widest of those blocks. */
int zn_most_vecs(const zn_emit *e, int64_t outputs);

/* Calls body(first row, rows) for tiles of `rows` rows that cover n, and for the rest. */
typedef void zn_tile_fn(zn_emit *e, zn_ll row, int rows, void *ctx);
void zn_for_row_tiles(zn_emit *e, int64_t n, int rows, zn_tile_fn *body, void *ctx);

/* What a tile costs for each step of its sums, in multiply-adds. */
int64_t zn_tile_cost(const zn_emit *e, int rows, int vecs);
/* Rows of the register tiles that n rows cost least in. */
int zn_rows_of_tile(const zn_emit *e, int vecs, int64_t n);

#endif
