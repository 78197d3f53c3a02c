/* See tile.h. */
#include "backend/tile.h"

int zn_unroll_of(int64_t n) {
    return n % 4 == 0 ? 4 : n % 3 == 0 ? 3 : n % 2 == 0 ? 2 : 1;
}

void zn_set_lanes(const zn_emit *e, int64_t outputs, int64_t first, int vecs, int *lanes) {
    for (int v = 0; v < vecs; v++) {
        int64_t left = outputs - first - (int64_t)v * e->lanes;
        lanes[v] = (int)(left < e->lanes ? left : e->lanes);
    }
}

void zn_for_output_blocks(zn_emit *e, int64_t outputs, zn_block_fn *body, void *ctx) {
    int64_t pair = 2 * e->lanes, pairs = outputs / pair;
    if (pairs > 1) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, pairs * pair), pair, 0, NULL);
        body(e, l.i, 0, 2, ctx); /* all lanes of a full pair are valid, wherever it is */
        zn_loop_end(e, &l, NULL);
    } else if (pairs) {
        body(e, zn_i64(e, 0), 0, 2, ctx);
    }
    int64_t at = pairs * pair;
    if (at < outputs)
        body(e, zn_i64(e, at), at, outputs - at > e->lanes ? 2 : 1, ctx);
}

void zn_for_row_tiles(zn_emit *e, int64_t n, int rows, zn_tile_fn *body, void *ctx) {
    int64_t whole = n / rows * rows;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), rows, 0, NULL);
        body(e, l.i, rows, ctx);
        zn_loop_end(e, &l, NULL);
    }
    if (whole < n)
        body(e, zn_i64(e, whole), (int)(n - whole), ctx);
}

int zn_rows_of_tile(const zn_emit *e, int vecs, int64_t n) {
    int most = zn_tile_rows(e, vecs), rows = most;
    while (rows > most / 2 && n % rows)
        rows--;
    return n % rows ? most : rows;
}
