/* Inside of the Winograd kernels: where the numbers of backend/wino_transform.c lie, shared by convolution (winograd.c)
 * and gradient by weights (wino_grad_w.c).
 *
 * For each position k of a tile: M[k] = V[k] U[k] of transformed inputs and weights, summed over channels; or
 * dU[k] += V[k]^T Z[k], summed over tiles. Two schedules:
 *   by blocks of tiles: V and M of one block are in scratch memory of the thread, U of all weights in memory;
 *   weight-major, where the weights are the larger part: V (and Z) of all tiles in memory, U, M or dU of a panel in
 * scratch. V is [k][tiles / rows][channels / lanes][rows][lanes], one contiguous panel for each product; M and Z are
 * [k][outputs / lanes][tiles][lanes]; U and dU are [k][block of outputs][channels][width of the block]. Channels that
 * fill no vector leave lanes of V, M, Z, U and dU that nothing reads.
 *
 * Every sum runs over channels or tiles in order: the same for any thread count, vector width and tile shape. The input
 * has a halo, or what is read beyond the map is masked; the last tile of a row or column ends with the map and may
 * overlap the one before, which then computes some outputs twice, the last result staying. In the gradient by weights
 * dy counts once.
 *
 * Where tiles have two sizes, those of the images at hand are numbered class by class: small down and large across,
 * large both ways, large down and small across, small both ways. A position that small tiles leave out is then one of
 * a run of tiles. */
#ifndef ZN_BACKEND_WINO_H
#define ZN_BACKEND_WINO_H

#include "backend/emit.h"
#include "backend/wino_transform.h"

typedef struct zn_wino {
    zn_winograd w;
    const zn_wino_form *f; /* of the largest tiles */
    int in, in2;           /* bindings of x and, for weights, dy */
    int64_t c, o;          /* channels of x and of y in the work at hand */
    int64_t block;         /* tiles in V, M and Z */
    int64_t kv, km, ku;    /* floats between positions in V and M (or Z), between matrices in U (or dU) */
    int rows;              /* tiles (or channels) in a register tile */
    zn_ll v, m, u;         /* addresses */
    zn_ll image, images;   /* images whose tiles are numbered: the first, and how many */
    zn_ll first, count;    /* tiles of them at hand */
    zn_ll kept;            /* memory for a tile of outputs in front of values that are long; else NULL */
    zn_ll at;              /* place of the first of them in V and Z */
} zn_wino;

/* What every kernel knows of its anchor. */
zn_wino zn_wino_of(const zn_emit *e);

/* n rounded up to whole vectors. */
int64_t zn_wino_lanes(const zn_emit *e, int64_t n);

zn_ll zn_wino_rem(zn_emit *e, zn_ll a, int64_t k);
zn_ll zn_wino_quotient(zn_emit *e, zn_ll a, int64_t k);

/* A mask of lanes, all alike. */
zn_ll zn_wino_mask(zn_emit *e, zn_ll cond);

/* Tiles of the block that starts at `first`: all, where blocks are known to divide the work. */
zn_ll zn_wino_block_count(zn_emit *e, int64_t block, zn_ll first, zn_ll end, bool divides);

/* Blocks of outputs of which a register tile holds `vecs` vectors: body(first output, vecs, valid lanes of the last
 * vector). One loop over pairs of vectors, then the rest: a pair, three or one. */
typedef void zn_wino_block_fn(zn_emit *e, zn_ll first, int vecs, int last_lanes, void *ctx);
void zn_wino_blocks(zn_emit *e, int64_t outputs, zn_wino_block_fn *body, void *ctx);
int64_t zn_wino_block_total(const zn_emit *e, int64_t outputs);
/* Number of the block that starts at output `first`. */
zn_ll zn_wino_block_index(zn_emit *e, zn_ll first);
/* Vectors of channels [lo, hi), the last with fewer valid lanes: body(first channel, lanes). hi is a multiple of
 * vectors but where it is all `channels`. */
typedef void zn_wino_vector_fn(zn_emit *e, zn_ll c, int lanes, void *ctx);
void zn_wino_vectors(zn_emit *e, zn_ll lo, zn_ll hi, int64_t channels, zn_wino_vector_fn *body, void *ctx);

/* ---- memory that is needed soon, fetched line by line in the calls of the product: what the next block reads, and
 * what the transform after the products reads and writes */

typedef struct zn_ahead {
    zn_ll from[ZN_MAX_BINDINGS];
    int lines[ZN_MAX_BINDINGS]; /* a call */
    bool write[ZN_MAX_BINDINGS];
    int n;
} zn_ahead;

/* Whether a block's matrices drive what comes in and what values read out of the second cache, so that it is asked for
 * again shortly before: 64 * 64 pairs of channels and more. */
bool zn_wino_crowds(const zn_wino *x);
/* Lines from the row of tile `tile` in binding b, whose rows are `ratio` for each of y's, for a block; rows of
 * neighbouring tiles lie together but for halos (those of two sizes: about there). */
void zn_wino_fetch(zn_emit *e, const zn_wino *x, zn_ahead *a, int b, zn_ll tile, int64_t ratio, int64_t calls,
                   bool write);
void zn_wino_issue(zn_emit *e, const zn_ahead *a, zn_ll call);

/* ---- transforms of the tiles at hand */

/* Calls body for the tiles at hand: form, number among them, image, and where it starts in rows and columns of y. */
typedef struct zn_wino_place {
    const zn_wino_form *f;
    zn_ll tile, n, h, w;
} zn_wino_place;
typedef void zn_wino_tile_fn(zn_emit *e, const zn_wino_place *p, void *ctx);
void zn_wino_tiles(zn_emit *e, const zn_wino *x, zn_wino_tile_fn *body, void *ctx);
/* Of the tiles at hand those that have position k: [lo, hi). */
void zn_wino_range(zn_emit *e, const zn_wino *x, zn_ll k, zn_ll *lo, zn_ll *hi);

/* Tiles of binding `in` into V: channels [c0, c1) of `channels` in V. rows: of a panel. */
void zn_wino_transform_inputs(zn_emit *e, const zn_wino *x, int64_t rows, zn_ll c0, zn_ll c1, int64_t channels);
/* Tiles of dy into Z. */
void zn_wino_transform_gradients(zn_emit *e, const zn_wino *x);

#endif
