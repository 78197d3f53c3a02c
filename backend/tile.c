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

/* Lanes of the vector type that holds `lanes` valid ones. */
static int width_of(const zn_emit *e, int lanes) {
    int w = e->lanes;
    while (w > 4 && lanes <= w / 2)
        w /= 2;
    return w;
}

static LLVMTypeRef type_of(const zn_emit *e, int lanes) {
    return LLVMVectorType(e->f32, (unsigned)width_of(e, lanes));
}

static zn_ll first_lanes(const zn_emit *e, int n, int of) {
    zn_ll v[64];
    for (int i = 0; i < of; i++)
        v[i] = LLVMConstInt(e->i1, i < n, 0);
    return LLVMConstVector(v, (unsigned)of);
}

/* A masked load (v is NULL) or store of a narrow vector. */
static zn_ll masked(zn_emit *e, zn_ll p, zn_ll v, int lanes) {
    LLVMTypeRef types[2] = {type_of(e, lanes), e->ptr};
    zn_ll mask = first_lanes(e, lanes, width_of(e, lanes)), four = zn_i32(e, 4);
    zn_ll load[4] = {p, four, mask, LLVMConstNull(types[0])}, store[4] = {v, p, four, mask};
    unsigned id = v ? e->masked_store_id : e->masked_load_id;
    return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->ctx, id, types, 2),
                          LLVMGetIntrinsicDeclaration(e->mod, id, types, 2), v ? store : load, 4, "");
}

zn_ll zn_tile_zero(const zn_emit *e, int lanes) {
    return LLVMConstNull(type_of(e, lanes));
}

zn_ll zn_tile_load(zn_emit *e, zn_ll p, int lanes) {
    if (lanes != width_of(e, lanes))
        return masked(e, p, NULL, lanes);
    zn_ll v = LLVMBuildLoad2(e->b, type_of(e, lanes), p, "");
    LLVMSetAlignment(v, 4);
    return v;
}

void zn_tile_store(zn_emit *e, zn_ll p, zn_ll v, int lanes) {
    if (lanes == width_of(e, lanes))
        LLVMSetAlignment(LLVMBuildStore(e->b, v, p), 4);
    else
        masked(e, p, v, lanes);
}

/* The first n lanes of v, which are all, and lanes of nothing behind them. */
static zn_ll resized(zn_emit *e, zn_ll v, int n) {
    int from = (int)LLVMGetVectorSize(LLVMTypeOf(v));
    zn_ll at[64];
    if (from == n)
        return v;
    for (int i = 0; i < n; i++)
        at[i] = zn_i32(e, (uint32_t)(i < from ? i : from));
    return LLVMBuildShuffleVector(e->b, v, LLVMConstNull(LLVMTypeOf(v)), LLVMConstVector(at, (unsigned)n), "");
}

/* By way of another type: else instruction selection takes the first element apart and splats it again. */
zn_ll zn_tile_splat(zn_emit *e, zn_ll splat, int lanes) {
    int w = width_of(e, lanes);
    if (w == e->lanes)
        return splat;
    LLVMTypeRef pairs = LLVMVectorType(LLVMDoubleTypeInContext(e->ctx), (unsigned)e->lanes / 2);
    zn_ll first = resized(e, LLVMBuildBitCast(e->b, splat, pairs, ""), w / 2);
    return LLVMBuildBitCast(e->b, first, type_of(e, lanes), "");
}
zn_ll zn_tile_widen(zn_emit *e, zn_ll v) {
    return resized(e, v, e->lanes);
}

/* Outputs of the last vector if that is a block of its own: half a vector of AVX-512 beside wide ones needs broadcasts
 * of its own, and beside a single one a quarter is no gain either. */
static int64_t narrow_of(const zn_emit *e, int64_t outputs) {
    int64_t rest = outputs % e->lanes;
    return e->lanes == 16 && rest <= 8 && (rest > 4 || outputs < 2 * e->lanes) ? rest : 0;
}

/* Blocks of two vectors before the last block of the others; the vectors of that. */
static int64_t pairs_of(const zn_emit *e, int64_t outputs, int *last) {
    int64_t vecs = (outputs - narrow_of(e, outputs) + e->lanes - 1) / e->lanes;
    bool whole = outputs % e->lanes == 0 || narrow_of(e, outputs);
    *last = (int)(vecs % 2 ? vecs < 3 ? vecs : 3 : whole ? 0 : 2);
    return (vecs - *last) / 2;
}

void zn_for_output_blocks(zn_emit *e, int64_t outputs, zn_block_fn *body, void *ctx) {
    int last;
    int64_t pair = 2 * e->lanes, pairs = pairs_of(e, outputs, &last), narrow = narrow_of(e, outputs);
    if (pairs > 1) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, pairs * pair), pair, 0, NULL);
        body(e, l.i, 0, 2, ctx); /* all lanes of a full pair are valid, wherever it is */
        zn_loop_end(e, &l, NULL);
    } else if (pairs) {
        body(e, zn_i64(e, 0), 0, 2, ctx);
    }
    if (last)
        body(e, zn_i64(e, pairs * pair), pairs * pair, last, ctx);
    if (narrow)
        body(e, zn_i64(e, outputs - narrow), outputs - narrow, 1, ctx);
}

int zn_most_vecs(const zn_emit *e, int64_t outputs) {
    int last;
    int64_t pairs = pairs_of(e, outputs, &last);
    return pairs && last < 2 ? 2 : last ? last : 1;
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

int64_t zn_tile_cost(const zn_emit *e, int rows, int vecs) {
    /* At least the multiply-adds on the way at once; and the loads, of which there are two for each wide multiply-add,
     * or one. */
    int64_t products = (int64_t)rows * vecs, least = e->lanes == 8 ? 10 : 8;
    int64_t loads = e->lanes == 8 ? rows + vecs : (rows + 2 * vecs) / 2;
    products = products > loads ? products : loads;
    return products > least ? products : least;
}

int zn_rows_of_tile(const zn_emit *e, int vecs, int64_t n) {
    int most = zn_tile_rows(e, vecs), best = 1;
    int64_t least = INT64_MAX;
    for (int rows = most; rows >= 1; rows--) {
        int rest = (int)(n % rows);
        int64_t cost = n / rows * zn_tile_cost(e, rows, vecs) + (rest ? zn_tile_cost(e, rest, vecs) : 0);
        cost = rest ? cost * 103 : cost * 100; /* a rest is code of its own */
        if (cost < least) {
            least = cost;
            best = rows;
        }
    }
    return best;
}
