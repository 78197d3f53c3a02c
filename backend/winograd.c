/* Winograd convolution for kernels of 3x3: forward, gradient by data (the same of transposed weights) and gradient by
 * weights in the transformed domain. backend/wino_transform.c has the algorithms; here is where their numbers lie.
 *
 * For each position k of a tile: M[k] = V[k] U[k] of transformed inputs and weights, summed over channels; or
 * dU[k] += V[k]^T Z[k], summed over tiles. Two schedules:
 *   by blocks of tiles: V and M of one block are in scratch memory of the thread, U of all weights in memory;
 *   weight-major, where the weights are the larger part: V (and Z) of all tiles in memory, U, M or dU of a panel in
 * scratch. V is [k][tiles / rows][channels / lanes][rows][lanes], one contiguous panel for each product; M and Z are
 * [k][outputs / lanes][tiles][lanes]; U is [k][outputs / block][channels][block].
 *
 * Every sum runs over channels or tiles in order: the same for any thread count, vector width and tile shape. The input
 * has a halo, so no tile meets a border; maps are whole tiles (pass select). */
#include "backend/emit.h"
#include "backend/wino_transform.h"
#include "support/ice.h"

/* ---- shapes */

/* Vectors of outputs in a block, and tiles (or channels) in a register tile. */
static int block_vecs(const zn_emit *e, int64_t outputs) {
    return outputs >= 2 * e->lanes ? 2 : 1;
}
static int tile_rows(const zn_emit *e, int vecs) {
    return e->t->registers < 32 ? 8 / vecs : vecs == 2 ? 8 : 16;
}

typedef struct wino {
    zn_winograd w;
    const zn_wino_form *f;
    int in, in2;        /* bindings of x and, for weights, dy */
    int64_t c, o;       /* channels of x and of y in the work at hand */
    int64_t block;      /* tiles in V, M and Z */
    int64_t kv, km, ku; /* floats between positions in V and M (or Z), between matrices in U (or dU) */
    int vecs, rows;
    zn_ll v, m, u;      /* addresses */
    zn_ll first, count; /* tiles at hand */
    zn_ll at;           /* place of the first of them in V and Z */
} wino;

/* What every kernel knows of its anchor. */
static wino wino_of(const zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    wino x = {.w = zn_winograd_of(v), .in = -1, .in2 = -1};
    bool grad = v->op == ZN_OP_CONV_GRAD_W;
    x.f = zn_wino_form_of(&x.w);
    x.c = zn_type_channels(&v->operand[0]->type);
    x.o = zn_type_channels(grad ? &v->operand[1]->type : &v->type);
    x.block = e->k->block;
    x.vecs = block_vecs(e, x.o);
    x.rows = tile_rows(e, x.vecs);
    x.at = zn_i64(e, 0);
    return x;
}

static zn_ll rem(zn_emit *e, zn_ll a, int64_t k) {
    return LLVMBuildURem(e->b, a, zn_i64(e, k), "");
}
static zn_ll quotient(zn_emit *e, zn_ll a, int64_t k) {
    return LLVMBuildUDiv(e->b, a, zn_i64(e, k), "");
}

/* The tile's image, and its place in rows and columns that lie `step` apart. */
static void locate(zn_emit *e, const wino *x, zn_ll tile, int64_t step, zn_ll *n, zn_ll *h, zn_ll *w) {
    zn_ll in_image = rem(e, tile, x->w.tiles);
    *n = quotient(e, tile, x->w.tiles);
    *h = zn_mul(e, quotient(e, in_image, x->w.across), step);
    *w = zn_mul(e, rem(e, in_image, x->w.across), step);
}

/* Tiles of the block that starts at `first`: all, where blocks are known to divide the work. */
static zn_ll block_count(zn_emit *e, int64_t block, zn_ll first, zn_ll end, bool divides) {
    return divides ? zn_i64(e, block) : zn_min(e, zn_i64(e, block), LLVMBuildNSWSub(e->b, end, first, ""));
}

/* Panels of `rows` in n tiles. */
static zn_ll panels_of(zn_emit *e, zn_ll n, int rows) {
    int64_t k;
    return zn_is_const(n, &k) ? zn_i64(e, (k + rows - 1) / rows) : quotient(e, zn_addk(e, n, rows - 1), rows);
}

/* ---- memory that is needed soon, fetched line by line in the calls of the product: what the next block reads, and
 * what the transform after the products reads and writes */

typedef struct ahead {
    zn_ll from[ZN_MAX_BINDINGS];
    int lines[ZN_MAX_BINDINGS]; /* a call */
    bool write[ZN_MAX_BINDINGS];
    int n;
} ahead;

/* Lines from the row of tile `tile` in binding b, for `block` tiles of step x step positions; rows of neighbouring
 * tiles lie together but for halos. */
static void fetch(zn_emit *e, const wino *x, ahead *a, int b, zn_ll tile, int64_t step, int64_t calls, bool write) {
    zn_ll n, h, w;
    locate(e, x, tile, step, &n, &h, &w);
    int64_t lines = x->block * step * step * zn_type_channels(&e->k->bindings.at[b].type) / 16;
    a->from[a->n] = zn_row_ptr(e, b, n, h);
    a->lines[a->n] = (int)((lines + calls - 1) / calls);
    a->write[a->n++] = write;
}

static void issue(zn_emit *e, const ahead *a, zn_ll call) {
    for (int i = 0; i < a->n; i++) {
        zn_ll p = zn_at(e, a->from[i], zn_mul(e, call, a->lines[i] * 16));
        for (int j = 0; j < a->lines[i]; j++)
            zn_prefetch(e, p, zn_i64(e, j * 16), ZN_FAR, a->write[i]);
    }
}

/* ---- weights: w [3][3][C][O] -> U */

typedef struct taps {
    zn_ll from; /* address of tap (0, 0) */
    int64_t each;
    zn_ll to; /* of position 0 */
    int64_t pitch;
    zn_ll w[9];
} taps;

static zn_ll read_tap(void *ctx, zn_emit *e, int i, int j) {
    taps *t = ctx;
    if (!t->w[3 * i + j])
        t->w[3 * i + j] = zn_load(e, zn_atk(e, t->from, (3 * i + j) * t->each), e->lanes);
    return t->w[3 * i + j];
}
static void write_weight(void *ctx, zn_emit *e, int k, int unused, zn_ll v) {
    const taps *t = ctx;
    (void)unused;
    zn_store(e, zn_atk(e, t->to, k * t->pitch), v, e->lanes);
}

/* U of input channel c and outputs [first, first + n); lo counts from `first`. */
static void transform_weights(zn_emit *e, const wino *x, zn_ll w, int64_t outputs, zn_ll c, zn_ll first, int64_t n) {
    int64_t block = (int64_t)x->vecs * e->lanes;
    zn_loop lo;
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, n), e->lanes, 0, NULL);
    taps t = {.each = x->c * outputs, .pitch = x->ku};
    t.from = zn_at(e, w, zn_add(e, zn_mul(e, c, outputs), zn_add(e, first, lo.i)));
    zn_ll panel = zn_mul(e, quotient(e, lo.i, block), x->c * block);
    t.to = zn_at(e, x->u, zn_add(e, panel, zn_add(e, zn_mul(e, c, block), rem(e, lo.i, block))));
    zn_wino_weights(e, x->f, read_tap, write_weight, &t);
    zn_loop_end(e, &lo, NULL);
}

/* A unit is one input channel. */
void zn_emit_wino_weights(zn_emit *e) {
    const zn_type *t = &e->k->bindings.at[0].type; /* [3, 3, C, O], turned or not */
    wino x = wino_of(e);
    ZN_ASSERT(x.c == t->dim[2] && x.o == t->dim[3]);
    x.u = e->base[1];
    x.ku = zn_winograd_pitch(x.c * x.o);
    zn_loop lc;
    zn_loop_begin(e, &lc, e->begin, e->end, 1, 0, NULL);
    transform_weights(e, &x, e->base[0], x.o, lc.i, zn_i64(e, 0), x.o);
    zn_loop_end(e, &lc, NULL);
}

/* ---- tiles of the input and of the gradient of the output */

enum { MAX_ROWS = 9 };

/* A mask of lanes, all alike: what is loaded through a norm is no longer zero in the halo, and has to be made so again.
 */
static zn_ll border_mask(zn_emit *e, zn_ll cond) {
    zn_ll none = LLVMGetPoison(LLVMVectorType(e->i1, (unsigned)e->lanes));
    zn_ll one = LLVMBuildInsertElement(e->b, none, cond, zn_i32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, none, LLVMConstNull(e->ivec), "");
}

typedef struct tile_io {
    zn_ll row[MAX_ROWS]; /* addresses of the tile's rows */
    zn_ll c;             /* first channel */
    int64_t column;      /* floats */
    zn_ll to;            /* V or Z of position 0 */
    int64_t pitch;
    bool through;
    zn_ll edge[MAX_ROWS], side[MAX_ROWS]; /* masks of rows and columns that may lie outside */
    zn_invariants inv;
} tile_io;

static zn_ll read_tile(void *ctx, zn_emit *e, int i, int j) {
    const tile_io *t = ctx;
    zn_ll v = zn_load(e, zn_atk(e, zn_at(e, t->row[i], t->c), j * t->column), e->lanes);
    if (t->through) {
        v = zn_emit_load_through(e, &t->inv, v);
        if (t->edge[i])
            v = zn_select(e, t->edge[i], v, zn_vconst(e, 0));
        if (t->side[j])
            v = zn_select(e, t->side[j], v, zn_vconst(e, 0));
    }
    return v;
}
static void write_position(void *ctx, zn_emit *e, int k, int unused, zn_ll v) {
    const tile_io *t = ctx;
    (void)unused;
    zn_store(e, zn_atk(e, t->to, k * t->pitch), v, e->lanes);
}

/* Masks for one direction: `at` is the tile's place, `tiles` their number, `size` of the map. */
static void find_borders(zn_emit *e, const wino *x, zn_ll at, int64_t tiles, int64_t size, zn_ll *mask) {
    int64_t step = zn_wino_input_step(x->f), origin = zn_wino_input_origin(x->f);
    int last = zn_wino_input_extent(x->f) - 1;
    if (origin < 0)
        mask[0] = border_mask(e, LLVMBuildICmp(e->b, LLVMIntSGT, at, zn_i64(e, 0), ""));
    if ((tiles - 1) * step + origin + last >= size)
        mask[last] = border_mask(e, LLVMBuildICmp(e->b, LLVMIntSLT, at, zn_i64(e, (tiles - 1) * step), ""));
}

/* Tiles of binding `in` into V: channels [c0, c1) of `channels` in V. rows: of a panel. */
static void transform_inputs(zn_emit *e, const wino *x, int64_t rows, zn_ll c0, zn_ll c1, int64_t channels) {
    const zn_type *map = &e->k->bindings.at[x->in].type;
    int64_t step = zn_wino_input_step(x->f), origin = zn_wino_input_origin(x->f);
    tile_io t = {.column = x->c, .pitch = x->kv, .through = zn_loads_through(e)};
    zn_loop lt, lc;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll n, h, w;
    locate(e, x, zn_add(e, x->first, lt.i), step, &n, &h, &w);
    for (int i = 0; i < zn_wino_input_extent(x->f); i++)
        t.row[i] = zn_at(e, zn_row_ptr(e, x->in, n, zn_addk(e, h, i + origin)), zn_mul(e, zn_addk(e, w, origin), x->c));
    if (t.through) {
        find_borders(e, x, h, x->w.tiles / x->w.across, map->dim[1], t.edge);
        find_borders(e, x, w, x->w.across, map->dim[2], t.side);
    }
    zn_ll at = zn_add(e, x->at, lt.i), panel = quotient(e, at, rows);
    zn_ll to = zn_at(e, x->v, zn_add(e, zn_mul(e, panel, channels * rows), zn_mul(e, rem(e, at, rows), e->lanes)));
    zn_loop_begin(e, &lc, c0, c1, e->lanes, 0, NULL);
    if (t.through)
        zn_hoist_loads(e, &t.inv, lc.i, e->lanes);
    t.c = lc.i;
    t.to = zn_at(e, to, zn_mul(e, LLVMBuildNSWSub(e->b, lc.i, c0, ""), rows));
    zn_wino_input(e, x->f, read_tile, write_position, &t);
    zn_loop_end(e, &lc, NULL);
    zn_loop_end(e, &lt, NULL);
}

/* Tiles of dy into Z. */
static void transform_gradients(zn_emit *e, const wino *x) {
    tile_io t = {.column = x->o, .pitch = x->km};
    zn_loop lt, lo;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll n, h, w;
    locate(e, x, zn_add(e, x->first, lt.i), x->w.tile, &n, &h, &w);
    for (int i = 0; i < x->w.tile; i++)
        t.row[i] = zn_at(e, zn_row_ptr(e, x->in2, n, zn_addk(e, h, i)), zn_mul(e, w, x->o));
    zn_ll at = zn_add(e, x->at, lt.i);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, x->o), e->lanes, 0, NULL);
    t.c = lo.i;
    t.to = zn_at(e, x->m, zn_add(e, zn_mul(e, lo.i, x->block), zn_mul(e, at, e->lanes)));
    zn_wino_gradient(e, x->f, read_tile, write_position, &t);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lt, NULL);
}

/* ---- convolution */

/* Lines that the product fetches in its own loop, a few for each vector of channels: the next matrices of U and V. */
typedef struct stream {
    zn_ll from;
    int lines;
} stream;

/* M[k][o ...][panel of tiles] = V[k][panel] U[u][block of outputs] */
static void product(zn_emit *e, const wino *x, zn_ll k, zn_ll u, zn_ll o, zn_ll p, const stream *next, int nnext) {
    int n = x->rows * x->vecs, unroll = 4;
    int64_t width = (int64_t)x->vecs * e->lanes;
    zn_ll acc[ZN_MAX_CARRIED], a = zn_at(e, x->v, zn_add(e, zn_mul(e, k, x->kv), zn_mul(e, p, x->c * x->rows)));
    zn_ll b = zn_at(e, x->u, zn_add(e, zn_mul(e, u, x->ku), zn_mul(e, o, x->c)));
    for (int i = 0; i < n; i++)
        acc[i] = zn_vconst(e, 0);
    zn_loop lb, lc;
    zn_loop_begin(e, &lb, zn_i64(e, 0), zn_i64(e, x->c), e->lanes, n, acc);
    zn_ll ab = zn_at(e, a, zn_mul(e, lb.i, x->rows)), bb = zn_at(e, b, zn_mul(e, lb.i, width));
    for (int i = 0; i < nnext; i++)
        for (int j = 0; j < next[i].lines; j++)
            zn_prefetch(e, next[i].from, zn_addk(e, zn_mul(e, lb.i, next[i].lines * 16 / e->lanes), j * 16), ZN_FAR,
                        false);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, e->lanes), unroll, n, lb.v);
    zn_ll ac = zn_at(e, ab, lc.i), bc = zn_at(e, bb, zn_mul(e, lc.i, width));
    for (int i = 0; i < n; i++)
        acc[i] = lc.v[i];
    for (int q = 0; q < unroll; q++) {
        zn_ll w[2];
        for (int r = 0; r < x->vecs; r++)
            w[r] = zn_load(e, zn_atk(e, bc, q * width + r * e->lanes), e->lanes);
        for (int i = 0; i < x->rows; i++) {
            zn_ll s = zn_load_splat(e, zn_atk(e, ac, i * e->lanes + q));
            for (int r = 0; r < x->vecs; r++)
                acc[i * x->vecs + r] = zn_fma(e, w[r], s, acc[i * x->vecs + r]);
        }
    }
    zn_loop_end(e, &lc, acc);
    zn_loop_end(e, &lb, lc.v);
    zn_ll to = zn_at(
        e, x->m, zn_add(e, zn_mul(e, k, x->km), zn_add(e, zn_mul(e, o, x->block), zn_mul(e, p, x->rows * e->lanes))));
    for (int r = 0; r < x->vecs; r++)
        for (int i = 0; i < x->rows; i++)
            zn_store(e, zn_atk(e, to, (r * x->block + i) * e->lanes), lb.v[i * x->vecs + r], e->lanes);
}

/* All positions of the tiles at hand, `outs` outputs. With `soon`, each call fetches its share of it; without, the next
 * matrices of U and V. */
static void products(zn_emit *e, const wino *x, int64_t outs, const ahead *soon) {
    zn_loop lu, lo, lr, lp;
    int64_t width = (int64_t)x->vecs * e->lanes, blocks = outs / width, panels = x->block / x->rows, once;
    zn_ll first, count;
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x->w.weights), 1, 0, NULL);
    zn_wino_positions(e, x->f, lu.i, &first, &count);
    bool many = !zn_is_const(count, &once);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, blocks), 1, 0, NULL);
    if (many)
        zn_loop_begin(e, &lr, zn_i64(e, 0), count, 1, 0, NULL);
    zn_ll k = many ? zn_add(e, first, lr.i) : first;
    zn_loop_begin(e, &lp, zn_i64(e, 0), panels_of(e, x->count, x->rows), 1, 0, NULL);
    stream next[2];
    int nnext = 0;
    if (soon) {
        issue(e, soon, zn_add(e, zn_mul(e, zn_add(e, zn_mul(e, k, blocks), lo.i), panels), lp.i));
    } else {
        int64_t u_lines = (width + panels - 1) / panels;
        zn_ll u = zn_add(e, zn_mul(e, zn_addk(e, lu.i, 1), x->ku), zn_mul(e, lo.i, x->c * width));
        next[0] =
            (stream){zn_at(e, x->u, zn_add(e, u, zn_mul(e, lp.i, u_lines * x->c))), (int)(u_lines * e->lanes / 16)};
        zn_ll v = zn_add(e, zn_mul(e, zn_addk(e, k, 1), x->kv), zn_mul(e, lp.i, x->c * x->rows));
        next[1] = (stream){zn_at(e, x->v, v), x->rows * e->lanes / 16};
        nnext = 2;
    }
    product(e, x, k, lu.i, zn_mul(e, lo.i, width), lp.i, next, nnext);
    zn_loop_end(e, &lp, NULL);
    if (many)
        zn_loop_end(e, &lr, NULL);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lu, NULL);
}

typedef struct outputs_io {
    zn_ll from; /* M of position 0 */
    int64_t pitch;
    zn_point row[8];
    zn_ll w, o; /* first column, first output */
    int64_t channels;
    const zn_invariants *inv;
} outputs_io;

static zn_ll read_product(void *ctx, zn_emit *e, int k, int unused) {
    const outputs_io *t = ctx;
    (void)unused;
    return zn_load(e, zn_atk(e, t->from, k * t->pitch), e->lanes);
}
static void write_output(void *ctx, zn_emit *e, int i, int j, zn_ll v) {
    outputs_io *t = ctx;
    t->row[i].offset = zn_add(e, zn_mul(e, zn_addk(e, t->w, j), t->channels), t->o);
    zn_emit_values(e, &t->row[i], t->inv, v);
}

/* M to y and the values behind it, outputs [first, first + n) */
static void transform_outputs(zn_emit *e, const wino *x, zn_ll first, int64_t n) {
    int64_t step = zn_wino_output_step(x->f);
    outputs_io t = {.pitch = x->km, .channels = zn_type_channels(&e->k->group->anchor->type)};
    zn_loop lo, lt;
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, n), e->lanes, 0, NULL);
    zn_invariants inv = {0};
    t.inv = &inv;
    t.o = zn_add(e, first, lo.i);
    zn_hoist(e, &inv, t.o, e->lanes);
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    t.from = zn_at(e, x->m, zn_add(e, zn_mul(e, lo.i, x->block), zn_mul(e, lt.i, e->lanes)));
    zn_ll image, h;
    locate(e, x, zn_add(e, x->first, lt.i), step, &image, &h, &t.w);
    for (int i = 0; i < step; i++) {
        t.row[i].lanes = e->lanes;
        zn_point_row(e, &t.row[i], image, zn_addk(e, h, i));
    }
    zn_wino_output(e, x->f, read_product, write_output, &t);
    zn_loop_end(e, &lt, NULL);
    zn_loop_end(e, &lo, NULL);
}

static void halos(zn_emit *e, zn_ll first, zn_ll last) {
    zn_loop l;
    zn_loop_begin(e, &l, first, last, 1, 0, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

/* A unit is so many images. */
void zn_emit_wino_conv(zn_emit *e) {
    wino x = wino_of(e);
    int64_t unit = e->k->unit, unit_tiles = unit * x.w.tiles, images = x.w.images;
    int64_t calls = x.w.positions * (x.o / (x.vecs * e->lanes)) * (x.block / x.rows);
    x.in = zn_binding_of(e, ZN_BIND_IN, zn_group_loaded(e->k->group));
    x.kv = zn_winograd_pitch(x.block * x.c);
    x.km = zn_winograd_pitch(x.block * x.o);
    x.ku = zn_winograd_pitch(x.c * x.o);
    x.v = e->scratch;
    x.m = zn_atk(e, e->scratch, x.w.positions * x.kv);
    x.u = e->base[zn_binding_temp(e, "transformed", 0)];
    zn_loop u, lb;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll image = zn_mul(e, u.i, unit), last = zn_min(e, zn_addk(e, image, unit), zn_i64(e, images));
    zn_ll from = zn_mul(e, u.i, unit_tiles), end = zn_mul(e, last, x.w.tiles);
    zn_loop_begin(e, &lb, from, end, x.block, 0, NULL);
    x.first = lb.i;
    x.count = block_count(e, x.block, lb.i, end, unit_tiles % x.block == 0 && images % unit == 0);
    transform_inputs(e, &x, x.rows, zn_i64(e, 0), zn_i64(e, x.c), x.c);
    ahead soon = {0};
    fetch(e, &x, &soon, x.in, zn_addk(e, x.first, x.block), zn_wino_input_step(x.f), calls, false);
    for (size_t i = 0; i < e->k->bindings.n; i++) {
        const zn_binding *b = &e->k->bindings.at[i];
        if (b->value && b->type.rank == 4 && (int)i != x.in && zn_type_equal(&b->type, &e->k->group->anchor->type))
            fetch(e, &x, &soon, (int)i, x.first, zn_wino_output_step(x.f), calls, b->kind == ZN_BIND_OUT);
    }
    products(e, &x, x.o, &soon);
    transform_outputs(e, &x, zn_i64(e, 0), x.o);
    zn_loop_end(e, &lb, NULL);
    halos(e, image, last);
    if (e->k->group->reduces.n) { /* a unit is whole shards */
        int64_t shards = e->k->bindings.at[zn_binding_temp(e, "partial", 0)].type.dim[0], each = images / shards;
        zn_loop ls;
        zn_loop_begin(e, &ls, image, last, each, 0, NULL);
        zn_emit_reduces(e, ls.i, each, quotient(e, ls.i, each));
        zn_loop_end(e, &ls, NULL);
    }
    zn_loop_end(e, &u, NULL);
}

/* ---- convolution, weight-major */

/* A unit is so many tiles. In front of a gradient by weights a panel is all tiles of a shard (block), else what a
 * product takes. */
void zn_emit_wino_input(zn_emit *e) {
    wino x = wino_of(e);
    int64_t tiles = x.w.images * x.w.tiles, rows = x.block ? x.block : x.rows;
    x.in = zn_binding_of(e, ZN_BIND_IN, zn_group_loaded(e->k->group));
    x.v = e->base[zn_binding_temp(e, "tiles", 0)];
    x.kv = e->k->bindings.at[zn_binding_temp(e, "tiles", 0)].type.dim[1];
    x.at = x.first = zn_mul(e, e->begin, e->k->unit);
    x.count = LLVMBuildNSWSub(e->b, zn_min(e, zn_mul(e, e->end, e->k->unit), zn_i64(e, tiles)), x.first, "");
    transform_inputs(e, &x, rows, zn_i64(e, 0), zn_i64(e, x.c), x.c);
}

/* A unit is a panel of outputs. */
void zn_emit_wino_conv_panel(zn_emit *e) {
    wino x = wino_of(e);
    int64_t unit = e->k->unit, units = x.o / unit, images = x.w.images;
    int weights = zn_binding_temp(e, "turned", 0);
    if (weights < 0)
        weights = zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[1]);
    x.v = e->base[zn_binding_temp(e, "tiles", 0)];
    x.kv = e->k->bindings.at[zn_binding_temp(e, "tiles", 0)].type.dim[1];
    x.ku = zn_winograd_pitch(x.c * unit);
    x.km = zn_winograd_pitch(x.block * unit);
    x.u = e->scratch;
    x.m = zn_atk(e, e->scratch, x.w.weights * x.ku);
    x.first = zn_i64(e, 0);
    x.count = zn_i64(e, images * x.w.tiles);
    zn_loop u, lc;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, unit);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, x.c), 1, 0, NULL);
    transform_weights(e, &x, e->base[weights], x.o, lc.i, first, unit);
    zn_loop_end(e, &lc, NULL);
    products(e, &x, unit, NULL);
    transform_outputs(e, &x, first, unit);
    halos(e, quotient(e, zn_mul(e, u.i, images), units), quotient(e, zn_mul(e, zn_addk(e, u.i, 1), images), units));
    zn_loop_end(e, &u, NULL);
}

/* ---- gradient by weights */

/* dU[u][c ... rows][o ... vecs] (+)= the sum of V[k]^T Z[k] over the positions k of weight u and the tiles at hand;
 * V is [k][channels / lanes][tiles][lanes] here. `add`: to what is there. */
static void accumulate(zn_emit *e, const wino *x, zn_ll u, zn_ll c, zn_ll o, zn_ll to, bool add) {
    int n = x->rows * x->vecs;
    zn_ll acc[ZN_MAX_CARRIED], in_block = rem(e, c, e->lanes), whole = LLVMBuildNSWSub(e->b, c, in_block, "");
    zn_ll first, count;
    int64_t once, known;
    zn_wino_positions(e, x->f, u, &first, &count);
    zn_ll a = zn_at(e, x->v, zn_add(e, zn_mul(e, first, x->kv), zn_add(e, zn_mul(e, whole, x->block), in_block)));
    zn_ll b = zn_at(e, x->m, zn_add(e, zn_mul(e, first, x->km), zn_mul(e, o, x->block)));
    for (int i = 0; i < n; i++)
        acc[i] = add ? zn_load(e, zn_atk(e, to, (int64_t)i * e->lanes), e->lanes) : zn_vconst(e, 0);
    zn_loop lr, lt;
    bool many = !zn_is_const(count, &once);
    if (many) {
        zn_loop_begin(e, &lr, zn_i64(e, 0), count, 1, n, acc);
        a = zn_at(e, a, zn_mul(e, lr.i, x->kv));
        b = zn_at(e, b, zn_mul(e, lr.i, x->km));
        for (int i = 0; i < n; i++)
            acc[i] = lr.v[i];
    }
    int unroll = zn_is_const(x->count, &known) && known % 4 == 0 ? 4 : 1;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, unroll, n, acc);
    zn_ll at = zn_at(e, a, zn_mul(e, lt.i, e->lanes)), bt = zn_at(e, b, zn_mul(e, lt.i, e->lanes));
    for (int i = 0; i < n; i++)
        acc[i] = lt.v[i];
    for (int q = 0; q < unroll; q++) {
        zn_ll z[2];
        for (int r = 0; r < x->vecs; r++)
            z[r] = zn_load(e, zn_atk(e, bt, (r * x->block + q) * e->lanes), e->lanes);
        for (int i = 0; i < x->rows; i++) {
            int64_t group = i / e->lanes; /* of lanes: rows may be more than one has */
            zn_ll s = zn_load_splat(e, zn_atk(e, at, (group * x->block + q - group) * e->lanes + i));
            for (int r = 0; r < x->vecs; r++)
                acc[i * x->vecs + r] = zn_fma(e, z[r], s, acc[i * x->vecs + r]);
        }
    }
    zn_loop_end(e, &lt, acc);
    if (many)
        zn_loop_end(e, &lr, lt.v);
    for (int i = 0; i < n; i++)
        zn_store(e, zn_atk(e, to, (int64_t)i * e->lanes), many ? lr.v[i] : lt.v[i], e->lanes);
}

/* dU [u][C / rows][O / block][rows][vecs][lanes], of c input channels */
static zn_ll sums_at(zn_emit *e, const wino *x, zn_ll base, zn_ll u, zn_ll c, zn_ll o, int64_t outs) {
    return zn_at(e, base, zn_add(e, zn_mul(e, u, x->ku), zn_add(e, zn_mul(e, c, outs), zn_mul(e, o, x->rows))));
}

typedef struct joined {
    zn_ll from; /* dU of weight 0 in shard 0 */
    int64_t pitch, shard, shards;
    zn_point p;
    zn_ll c, o;
    int64_t channels, outputs;
    zn_invariants inv;
} joined;

static zn_ll read_joined(void *ctx, zn_emit *e, int k, int unused) {
    const joined *t = ctx;
    zn_ll s[ZN_MAX_SHARDS];
    (void)unused;
    for (int64_t q = 0; q < t->shards; q++)
        s[q] = zn_load(e, zn_atk(e, t->from, q * t->shard + k * t->pitch), e->lanes);
    return zn_tree_sum(e, s, t->shards);
}
static void write_joined(void *ctx, zn_emit *e, int i, int j, zn_ll v) {
    joined *t = ctx;
    t->p.offset = zn_add(e, zn_mul(e, zn_addk(e, t->c, (3 * i + j) * t->channels), t->outputs), t->o);
    zn_emit_values(e, &t->p, &t->inv, v);
}

/* Shards of dU at `sums` joined, transformed back and passed on: input channels [c0, c0 + n), outputs [o0, o0 + outs).
 */
static void join_weights(zn_emit *e, const wino *x, zn_ll sums, zn_ll c0, zn_ll first, int64_t n, zn_ll o0,
                         int64_t outs, int64_t shards) {
    int64_t width = (int64_t)x->vecs * e->lanes;
    joined t = {.pitch = x->ku, .shards = shards, .shard = x->w.weights * x->ku, .channels = x->c, .outputs = x->o};
    t.p.lanes = e->lanes;
    zn_point_flat(e, &t.p);
    zn_hoist(e, &t.inv, zn_i64(e, 0), e->lanes);
    zn_loop lc, lo;
    zn_loop_begin(e, &lc, first, zn_addk(e, first, n), 1, 0, NULL);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, outs), e->lanes, 0, NULL);
    zn_ll row = rem(e, lc.i, x->rows), tile = LLVMBuildNSWSub(e->b, lc.i, row, "");
    zn_ll vec = rem(e, lo.i, width), block = LLVMBuildNSWSub(e->b, lo.i, vec, "");
    t.from = sums_at(e, x, sums, zn_i64(e, 0), tile, block, outs);
    t.from = zn_at(e, t.from, zn_add(e, zn_mul(e, row, width), vec));
    t.c = zn_add(e, c0, lc.i);
    t.o = zn_add(e, o0, lo.i);
    zn_wino_weights_gradient(e, x->f, read_joined, write_joined, &t);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lc, NULL);
}

/* A unit is one shard and one block of input channels. */
void zn_emit_wino_grad_w(zn_emit *e) {
    wino x = wino_of(e);
    int temp = zn_binding_temp(e, "partial", 0);
    int64_t shards = e->k->bindings.at[temp].type.dim[0], channels = e->k->unit, images = x.w.images;
    x.in = 0;
    x.in2 = zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[1]);
    x.kv = zn_winograd_pitch(x.block * channels);
    x.km = zn_winograd_pitch(x.block * x.o);
    x.ku = e->k->bindings.at[temp].type.dim[2];
    x.v = e->scratch;
    x.m = zn_atk(e, e->scratch, x.w.positions * x.kv);
    zn_loop u, lb, lz, lu, lc, lo;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    int64_t blocks = x.c / channels;
    zn_ll shard = quotient(e, u.i, blocks), c0 = zn_mul(e, rem(e, u.i, blocks), channels);
    zn_ll base = zn_at(e, e->base[temp], zn_mul(e, shard, x.w.weights * x.ku));
    zn_ll from = quotient(e, zn_mul(e, shard, images), shards);
    zn_ll to = quotient(e, zn_mul(e, zn_addk(e, shard, 1), images), shards);
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x.w.weights), 1, 0, NULL);
    zn_ll start = sums_at(e, &x, base, lu.i, c0, zn_i64(e, 0), x.o);
    zn_loop_begin(e, &lz, zn_i64(e, 0), zn_i64(e, channels * x.o), e->lanes, 0, NULL);
    zn_store(e, zn_at(e, start, lz.i), zn_vconst(e, 0), e->lanes);
    zn_loop_end(e, &lz, NULL);
    zn_loop_end(e, &lu, NULL);
    zn_ll end = zn_mul(e, to, x.w.tiles);
    zn_loop_begin(e, &lb, zn_mul(e, from, x.w.tiles), end, x.block, 0, NULL);
    x.first = lb.i;
    x.count = block_count(e, x.block, lb.i, end, images % shards == 0 && images / shards * x.w.tiles % x.block == 0);
    /* one panel of all tiles, so that (channels / lanes, tiles, lanes) is contiguous */
    transform_inputs(e, &x, x.block, c0, zn_addk(e, c0, channels), channels);
    transform_gradients(e, &x);
    int64_t width = (int64_t)x.vecs * e->lanes, outs = x.o / width, rows = channels / x.rows;
    ahead soon = {0};
    fetch(e, &x, &soon, x.in, zn_addk(e, lb.i, x.block), zn_wino_input_step(x.f), x.w.weights * rows * outs, false);
    fetch(e, &x, &soon, x.in2, zn_addk(e, lb.i, x.block), x.w.tile, x.w.weights * rows * outs, false);
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x.w.weights), 1, 0, NULL);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, rows), 1, 0, NULL);
    zn_ll row = zn_mul(e, lc.i, x.rows), call = zn_mul(e, zn_add(e, zn_mul(e, lu.i, rows), lc.i), outs);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, outs), 1, 0, NULL);
    zn_ll out = zn_mul(e, lo.i, width);
    issue(e, &soon, zn_add(e, call, lo.i));
    accumulate(e, &x, lu.i, row, out, sums_at(e, &x, base, lu.i, zn_add(e, c0, row), out, x.o), true);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lc, NULL);
    zn_loop_end(e, &lu, NULL);
    zn_loop_end(e, &lb, NULL);
    zn_loop_end(e, &u, NULL);
}

/* Joins the shards' dU and turns them into dw; a unit is so many input channels. */
void zn_emit_wino_join(zn_emit *e) {
    wino x = wino_of(e);
    int temp = zn_binding_temp(e, "partial", 0);
    x.ku = e->k->bindings.at[temp].type.dim[2];
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    join_weights(e, &x, e->base[temp], zn_i64(e, 0), zn_mul(e, u.i, e->k->unit), e->k->unit, zn_i64(e, 0), x.o,
                 e->k->bindings.at[temp].type.dim[0]);
    zn_loop_end(e, &u, NULL);
}

/* ---- gradient by weights, weight-major */

/* A unit is so many tiles; block is the tiles of a shard. */
void zn_emit_wino_dy(zn_emit *e) {
    wino x = wino_of(e);
    x.in2 = zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[1]);
    x.m = e->base[zn_binding_temp(e, "gradients", 0)];
    x.km = e->k->bindings.at[zn_binding_temp(e, "gradients", 0)].type.dim[1];
    x.at = x.first = zn_mul(e, e->begin, e->k->unit);
    zn_ll tiles = zn_i64(e, x.w.images * x.w.tiles);
    x.count = LLVMBuildNSWSub(e->b, zn_min(e, zn_mul(e, e->end, e->k->unit), tiles), x.first, "");
    transform_gradients(e, &x);
}

/* A unit is one block of input channels and outputs: dU of all tiles in scratch memory, then dw. */
void zn_emit_wino_grad_w_panel(zn_emit *e) {
    wino x = wino_of(e);
    int64_t channels = e->k->unit, blocks = x.o / ZN_WINOGRAD_PANEL, width = (int64_t)x.vecs * e->lanes;
    x.v = e->base[zn_binding_temp(e, "tiles", 0)];
    x.kv = e->k->bindings.at[zn_binding_temp(e, "tiles", 0)].type.dim[1];
    x.m = e->base[zn_binding_temp(e, "gradients", 0)];
    x.km = e->k->bindings.at[zn_binding_temp(e, "gradients", 0)].type.dim[1];
    x.ku = zn_winograd_pitch(channels * ZN_WINOGRAD_PANEL);
    x.count = zn_i64(e, x.block);
    zn_loop u, lu, lc, lo;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll c0 = zn_mul(e, quotient(e, u.i, blocks), channels), o0 = zn_mul(e, rem(e, u.i, blocks), ZN_WINOGRAD_PANEL);
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x.w.weights), 1, 0, NULL);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, channels), x.rows, 0, NULL);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, ZN_WINOGRAD_PANEL), width, 0, NULL);
    accumulate(e, &x, lu.i, zn_add(e, c0, lc.i), zn_add(e, o0, lo.i),
               sums_at(e, &x, e->scratch, lu.i, lc.i, lo.i, ZN_WINOGRAD_PANEL), false);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lc, NULL);
    zn_loop_end(e, &lu, NULL);
    join_weights(e, &x, e->scratch, c0, zn_i64(e, 0), channels, o0, ZN_WINOGRAD_PANEL, 1);
    zn_loop_end(e, &u, NULL);
}
