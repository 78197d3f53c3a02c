/* Winograd convolution: forward, and the gradient by data, which is the same of transposed weights (wino.h has the
 * layout of what is transformed). */
#include "backend/tile.h"
#include "backend/wino.h"
#include "support/ice.h"

/* ---- weights: w [taps][taps][C][O] -> U */

typedef struct taps {
    const zn_wino *x;
    zn_ll w;            /* the input channel's first tap of output 0 */
    zn_ll c;            /* input channel */
    zn_ll first, block; /* of the block of outputs: the first, and where it lies at position 0 */
    zn_ll from;         /* address of tap (0, 0) */
    int lanes;
    int64_t each;
    zn_ll to; /* of position 0 */
    zn_ll loaded[ZN_WINO_TAPS * ZN_WINO_TAPS];
} taps;

static zn_ll read_tap(void *ctx, zn_emit *e, int i, int j) {
    taps *t = ctx;
    int64_t at = t->x->w.taps * i + j;
    if (!t->loaded[at])
        t->loaded[at] = zn_load(e, zn_atk(e, t->from, at * t->each), t->lanes);
    return t->loaded[at];
}
static void write_weight(void *ctx, zn_emit *e, int k, int unused, zn_ll v) {
    const taps *t = ctx;
    (void)unused;
    zn_store(e, zn_atk(e, t->to, k * t->x->ku), v, e->lanes);
}

static void weight_vector(zn_emit *e, zn_ll o, int lanes, void *ctx) {
    taps *t = ctx;
    for (int i = 0; i < ZN_WINO_TAPS * ZN_WINO_TAPS; i++)
        t->loaded[i] = NULL;
    t->from = zn_at(e, zn_at(e, t->w, t->first), o);
    t->to = zn_at(e, t->block, o);
    t->lanes = lanes;
    zn_wino_weights(e, t->x->f, read_tap, write_weight, t);
}

static void weight_block(zn_emit *e, zn_ll first, int vecs, int last_lanes, void *ctx) {
    taps *t = ctx;
    int64_t outputs = (int64_t)(vecs - 1) * e->lanes + last_lanes;
    t->first = first;
    t->block = zn_at(e, t->x->u, zn_add(e, zn_mul(e, first, t->x->c), zn_mul(e, t->c, (int64_t)vecs * e->lanes)));
    zn_wino_vectors(e, zn_i64(e, 0), zn_i64(e, outputs), outputs, weight_vector, t);
}

/* U of input channel c and outputs [first, first + n), which fill U. */
static void transform_weights(zn_emit *e, const zn_wino *x, zn_ll w, int64_t outputs, zn_ll c, zn_ll first, int64_t n) {
    taps t = {.x = x, .each = x->c * outputs, .c = c};
    t.w = zn_at(e, w, zn_add(e, zn_mul(e, c, outputs), first));
    zn_wino_blocks(e, n, weight_block, &t);
}

/* A unit is one input channel. */
void zn_emit_wino_weights(zn_emit *e) {
    const zn_type *t = &e->k->bindings.at[0].type; /* [taps, taps, C, O], turned or not */
    zn_wino x = zn_wino_of(e);
    ZN_ASSERT(x.c == t->dim[2] && x.o == t->dim[3]);
    x.u = e->base[1];
    x.ku = e->k->bindings.at[1].type.dim[2];
    zn_loop lc;
    zn_loop_begin(e, &lc, e->begin, e->end, 1, 0, NULL);
    transform_weights(e, &x, e->base[0], x.o, lc.i, zn_i64(e, 0), x.o);
    zn_loop_end(e, &lc, NULL);
}

/* ---- products */

/* Lines that the product fetches in its own loop, a few for each vector of channels: the next matrices of U and V. */
typedef struct stream {
    zn_ll from;
    int lines;
} stream;

/* One block of outputs in all positions of one weight. */
typedef struct product_job {
    const zn_wino *x;
    zn_ll weight, first, count; /* its positions */
    int64_t outs;               /* outputs in M */
    int64_t part;               /* input channels in a part of the sum, which is kept in M between parts */
    const zn_ahead *soon;
    int vecs;
    stream next[2];
    int nnext;
} product_job;

/* acc += V[...][c .. c + n) U[c ...] for n channels at a (lanes in a vector) and b. */
static void multiply(zn_emit *e, const product_job *j, zn_ll a, zn_ll b, int64_t n, zn_ll *acc) {
    int rows = j->x->rows, vecs = j->vecs, count = rows * vecs, unroll = zn_unroll_of(n);
    int64_t width = (int64_t)vecs * e->lanes;
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, n), unroll, count, acc);
    zn_ll ac = zn_at(e, a, l.i), bc = zn_at(e, b, zn_mul(e, l.i, width));
    for (int i = 0; i < count; i++)
        acc[i] = l.v[i];
    for (int q = 0; q < unroll; q++) {
        zn_ll w[3];
        for (int r = 0; r < vecs; r++)
            w[r] = zn_load(e, zn_atk(e, bc, q * width + r * e->lanes), e->lanes);
        for (int i = 0; i < rows; i++) {
            zn_ll s = zn_load_splat(e, zn_atk(e, ac, i * e->lanes + q));
            for (int r = 0; r < vecs; r++)
                acc[i * vecs + r] = zn_fma(e, w[r], s, acc[i * vecs + r]);
        }
    }
    zn_loop_end(e, &l, acc);
    for (int i = 0; i < count; i++)
        acc[i] = l.v[i];
}

/* M[k][o ...][panel of tiles] = V[k][panel] U[weight][block of outputs], over the part of input channels from c on. */
static void product(zn_emit *e, const product_job *j, zn_ll k, zn_ll o, zn_ll p, zn_ll c) {
    const zn_wino *x = j->x;
    int n = x->rows * j->vecs;
    int64_t width = (int64_t)j->vecs * e->lanes, whole = j->part / e->lanes * e->lanes;
    zn_ll acc[ZN_MAX_CARRIED];
    zn_ll a = zn_at(e, x->v, zn_add(e, zn_mul(e, k, x->kv), zn_mul(e, p, zn_wino_lanes(e, x->c) * x->rows)));
    zn_ll b = zn_at(e, x->u, zn_add(e, zn_mul(e, j->weight, x->ku), zn_mul(e, o, x->c)));
    zn_ll to = zn_at(
        e, x->m, zn_add(e, zn_mul(e, k, x->km), zn_add(e, zn_mul(e, o, x->block), zn_mul(e, p, x->rows * e->lanes))));
    zn_ll adds = NULL;
    if (j->part < x->c)
        adds = zn_wino_mask(e, LLVMBuildICmp(e->b, LLVMIntNE, c, zn_i64(e, 0), ""));
    for (int r = 0; r < j->vecs; r++)
        for (int i = 0; i < x->rows; i++) {
            zn_ll zero = zn_vconst(e, 0), from = zn_atk(e, to, (r * x->block + i) * e->lanes);
            acc[i * j->vecs + r] = adds ? zn_select(e, adds, zn_load(e, from, e->lanes), zero) : zero;
        }
    if (whole) {
        zn_loop lb;
        zn_loop_begin(e, &lb, c, zn_addk(e, c, whole), e->lanes, n, acc);
        for (int i = 0; i < n; i++)
            acc[i] = lb.v[i];
        for (int i = 0; i < j->nnext; i++)
            for (int q = 0; q < j->next[i].lines; q++)
                zn_prefetch(e, j->next[i].from, zn_addk(e, zn_mul(e, lb.i, j->next[i].lines * 16 / e->lanes), q * 16),
                            ZN_FAR, false);
        multiply(e, j, zn_at(e, a, zn_mul(e, lb.i, x->rows)), zn_at(e, b, zn_mul(e, lb.i, width)), e->lanes, acc);
        zn_loop_end(e, &lb, acc);
        for (int i = 0; i < n; i++)
            acc[i] = lb.v[i];
    }
    if (whole < j->part)
        multiply(e, j, zn_atk(e, a, whole * x->rows), zn_atk(e, b, whole * width), j->part - whole, acc);
    for (int r = 0; r < j->vecs; r++)
        for (int i = 0; i < x->rows; i++)
            zn_store(e, zn_atk(e, to, (r * x->block + i) * e->lanes), acc[i * j->vecs + r], e->lanes);
}

/* The first panel that begins at tile n or behind it. */
static zn_ll panels_of(zn_emit *e, zn_ll n, int rows) {
    int64_t k;
    return zn_is_const(n, &k) ? zn_i64(e, (k + rows - 1) / rows) : zn_wino_quotient(e, zn_addk(e, n, rows - 1), rows);
}
/* The panel of tile n. */
static zn_ll panel_of(zn_emit *e, zn_ll n, int rows) {
    int64_t k;
    return zn_is_const(n, &k) ? zn_i64(e, k / rows) : zn_wino_quotient(e, n, rows);
}

/* Floats of U that a second cache holds beside V and M: where there are more, each block of tiles has U from further
 * away, and the product fetches the next block of outputs. 256 channels by 256 in 7x7 maps: a tenth faster. */
enum { NEAR_WEIGHTS = 36 * 128 * 128 };
static bool fetches_weights(const zn_wino *x) {
    return x->w.weights * x->c * x->o >= NEAR_WEIGHTS;
}

static void product_block(zn_emit *e, zn_ll o, int vecs, int last_lanes, void *ctx) {
    product_job *j = ctx;
    const zn_wino *x = j->x;
    int64_t blocks = zn_wino_block_total(e, j->outs), panels = x->block / x->rows, once,
            width = (int64_t)vecs * e->lanes;
    bool many = !zn_is_const(j->count, &once);
    zn_loop lr, lc, lp;
    (void)last_lanes;
    j->vecs = vecs;
    j->nnext = 0;
    if (many)
        zn_loop_begin(e, &lr, zn_i64(e, 0), j->count, 1, 0, NULL);
    zn_ll k = many ? zn_add(e, j->first, lr.i) : j->first;
    zn_ll lo, hi;
    zn_wino_range(e, x, k, &lo, &hi);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, x->c), j->part, 0, NULL);
    zn_loop_begin(e, &lp, panel_of(e, lo, x->rows), panels_of(e, hi, x->rows), 1, 0, NULL);
    if (j->soon) {
        zn_ll call = zn_add(e, zn_mul(e, k, blocks), zn_wino_block_index(e, o));
        if (j->part < x->c)
            call = zn_add(e, zn_mul(e, call, x->c / j->part), zn_wino_quotient(e, lc.i, j->part));
        zn_wino_issue(e, j->soon, zn_add(e, zn_mul(e, call, panels), lp.i));
    }
    if (!j->soon || fetches_weights(x)) {
        int64_t u_lines = (width + panels - 1) / panels;
        zn_ll weight = blocks == 1 ? zn_addk(e, j->weight, 1) : j->weight;
        zn_ll block = blocks == 1 ? o : zn_addk(e, o, width); /* behind the last one the next weight's first begins */
        zn_ll u = zn_add(e, zn_mul(e, weight, x->ku), zn_mul(e, block, x->c));
        j->next[j->nnext++] =
            (stream){zn_at(e, x->u, zn_add(e, u, zn_mul(e, lp.i, u_lines * x->c))), (int)(u_lines * e->lanes / 16)};
    }
    if (!j->soon) {
        zn_ll v = zn_add(e, zn_mul(e, zn_addk(e, k, 1), x->kv), zn_mul(e, lp.i, zn_wino_lanes(e, x->c) * x->rows));
        j->next[j->nnext++] = (stream){zn_at(e, x->v, v), x->rows * e->lanes / 16};
    }
    product(e, j, k, o, lp.i, lc.i);
    zn_loop_end(e, &lp, NULL);
    zn_loop_end(e, &lc, NULL);
    if (many)
        zn_loop_end(e, &lr, NULL);
}

/* Input channels in a part of a product by blocks of tiles: a block of weights of that many stays in the first cache
 * for all panels of tiles, and M of them in the first or second. All, where equal parts of whole vectors would be too
 * small.
 */
static int64_t part_of(const zn_emit *e, int64_t channels) {
    enum { MOST = 128, LEAST = 64 };
    for (int64_t parts = (channels + MOST - 1) / MOST; channels / parts >= LEAST; parts++)
        if (channels % (parts * e->lanes) == 0)
            return channels / parts;
    return channels;
}

/* All positions of the tiles at hand, `outs` outputs. With `soon`, each call fetches its share of it; without, the next
 * matrices of U and V. */
static void products(zn_emit *e, const zn_wino *x, int64_t outs, const zn_ahead *soon) {
    zn_loop lu;
    product_job j = {.x = x, .outs = outs, .part = soon ? part_of(e, x->c) : x->c, .soon = soon};
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x->w.weights), 1, 0, NULL);
    j.weight = lu.i;
    zn_wino_positions(e, x->f, lu.i, &j.first, &j.count);
    zn_wino_blocks(e, outs, product_block, &j);
    zn_loop_end(e, &lu, NULL);
}

/* ---- outputs */

typedef struct outputs_io {
    const zn_wino *x;
    zn_ll first; /* output of the first in M */
    zn_ll from;  /* M of position 0 */
    zn_point row[8];
    zn_ll w, o, in_m;         /* first column; output, counted from output 0 and in M */
    int lanes;                /* valid */
    zn_ll inside_h, inside_w; /* whether the last row, the last column of the tile is in the map; NULL: always */
    int rows, cols;           /* of the tile of outputs */
    int64_t channels;
    zn_invariants inv;
} outputs_io;

static zn_ll read_product(void *ctx, zn_emit *e, int k, int unused) {
    const outputs_io *t = ctx;
    (void)unused;
    return zn_load(e, zn_atk(e, t->from, k * t->x->km), e->lanes);
}
static void emit_output(outputs_io *t, zn_emit *e, int i, zn_ll column, zn_ll v) {
    t->row[i].offset = zn_add(e, zn_mul(e, column, t->channels), t->o);
    zn_emit_values(e, &t->row[i], &t->inv, v);
}
static void write_output(void *ctx, zn_emit *e, int i, int j, zn_ll v) {
    outputs_io *t = ctx;
    if (t->x->kept) {
        zn_store(e, zn_atk(e, t->x->kept, (int64_t)(i * t->cols + j) * e->lanes), v, e->lanes);
        return;
    }
    zn_ll in_h = i == t->rows - 1 ? t->inside_h : NULL, in_w = j == t->cols - 1 ? t->inside_w : NULL;
    zn_ll inside = in_h && in_w ? LLVMBuildAnd(e->b, in_h, in_w, "") : in_h ? in_h : in_w;
    zn_if s;
    if (inside)
        zn_if_begin(e, &s, inside);
    emit_output(t, e, i, zn_addk(e, t->w, j), v);
    if (inside)
        zn_if_end(e, &s);
}

/* Passes on row i of the tile that write_output kept. */
static void emit_kept(outputs_io *t, zn_emit *e, int i) {
    zn_ll inside = i == t->rows - 1 ? t->inside_h : NULL, columns = zn_i64(e, t->cols);
    zn_if s;
    zn_loop l;
    if (t->inside_w)
        columns = zn_select(e, t->inside_w, columns, zn_i64(e, t->cols - 1));
    if (inside)
        zn_if_begin(e, &s, inside);
    zn_loop_begin(e, &l, zn_i64(e, 0), columns, 1, 0, NULL);
    zn_ll row = zn_atk(e, t->x->kept, (int64_t)i * t->cols * e->lanes);
    emit_output(t, e, i, zn_add(e, t->w, l.i), zn_load(e, zn_at(e, row, zn_mul(e, l.i, e->lanes)), e->lanes));
    zn_loop_end(e, &l, NULL);
    if (inside)
        zn_if_end(e, &s);
}

/* Whether the last row of a tile that starts at row `start` of dy is in dx: not where stride 2 meets an odd map. NULL:
 * always. */
static zn_ll last_inside(zn_emit *e, const zn_wino *x, zn_ll start, int64_t rows, int64_t size) {
    int64_t ratio = zn_wino_output_ratio(x->f);
    return rows * ratio == size ? NULL : LLVMBuildICmp(e->b, LLVMIntSLT, start, zn_i64(e, rows - x->w.tile), "");
}

/* Asks for what the values behind a tile load, while the tile is made. Stores need no such thing. */
static void fetch_values(outputs_io *t, zn_emit *e) {
    for (size_t b = 0; zn_wino_crowds(t->x) && b < e->k->bindings.n; b++)
        for (int i = 0; t->row[0].row[b] && e->k->bindings.at[b].kind == ZN_BIND_IN && i < t->rows; i++)
            for (int j = 0; j < t->cols; j++) {
                zn_ll column = zn_mul(e, zn_addk(e, t->w, j), t->channels);
                zn_prefetch(e, t->row[i].row[b], zn_add(e, column, t->o), ZN_NEAR, false);
            }
}

static void output_tile(zn_emit *e, const zn_wino_place *p, void *ctx) {
    outputs_io *t = ctx;
    const zn_wino *x = t->x;
    const zn_type *map = &e->k->group->anchor->type;
    int64_t ratio = zn_wino_output_ratio(p->f);
    t->from = zn_at(e, x->m, zn_add(e, zn_mul(e, t->in_m, x->block), zn_mul(e, p->tile, e->lanes)));
    t->inside_h = last_inside(e, x, p->h, x->w.rows, map->dim[1]);
    t->inside_w = last_inside(e, x, p->w, x->w.cols, map->dim[2]);
    t->w = zn_mul(e, p->w, ratio);
    t->rows = (int)(zn_wino_tile(p->f, false) * ratio);
    t->cols = (int)(zn_wino_tile(p->f, true) * ratio);
    for (int i = 0; i < t->rows; i++) {
        t->row[i].lanes = t->lanes;
        zn_point_row(e, &t->row[i], p->n, zn_addk(e, zn_mul(e, p->h, ratio), i));
    }
    fetch_values(t, e);
    zn_wino_output(e, p->f, read_product, write_output, t);
    for (int i = 0; x->kept && i < t->rows; i++)
        emit_kept(t, e, i);
}

/* Sixteen copies of a long function, for each form of tile, run at the rate of instruction fetch and decoding: where
 * one follows, a tile of outputs goes through memory. NULL: none does. */
static zn_ll kept_outputs(zn_emit *e, const zn_wino *x) {
    int64_t side = x->w.tile * zn_wino_output_ratio(x->f);
    if (!zn_values_are_long(e))
        return NULL;
    zn_ll at = LLVMBuildArrayAlloca(e->b, e->f32, zn_i64(e, side * side * e->lanes), "");
    LLVMSetAlignment(at, 64);
    return at;
}

static void output_vector(zn_emit *e, zn_ll lo, int lanes, void *ctx) {
    outputs_io *t = ctx;
    t->o = zn_add(e, t->first, lo);
    t->in_m = lo;
    t->lanes = lanes;
    zn_hoist(e, &t->inv, t->o, lanes);
    zn_wino_tiles(e, t->x, output_tile, t);
}

/* M to y and the values behind it, outputs [first, first + n) */
static void transform_outputs(zn_emit *e, const zn_wino *x, zn_ll first, int64_t n) {
    outputs_io t = {.x = x, .first = first, .channels = zn_type_channels(&e->k->group->anchor->type)};
    zn_wino_vectors(e, zn_i64(e, 0), zn_i64(e, n), n, output_vector, &t);
}

static void halos(zn_emit *e, zn_ll first, zn_ll last) {
    zn_loop l;
    zn_loop_begin(e, &l, first, last, 1, 0, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

/* A unit is so many images. */
void zn_emit_wino_conv(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
    int64_t unit = e->k->unit, unit_tiles = unit * x.w.tiles, images = x.w.images;
    int64_t calls = x.w.positions * zn_wino_block_total(e, x.o) * (x.c / part_of(e, x.c)) * (x.block / x.rows);
    x.in = zn_binding_of(e, ZN_BIND_IN, zn_group_loaded(e->k->group));
    x.kv = zn_winograd_pitch(x.block * zn_winograd_channels(x.c));
    x.km = zn_winograd_pitch(x.block * zn_winograd_channels(x.o));
    x.ku = e->k->bindings.at[zn_binding_temp(e, "transformed", 0)].type.dim[2];
    x.v = e->scratch;
    x.m = zn_atk(e, e->scratch, x.w.positions * x.kv);
    x.u = e->base[zn_binding_temp(e, "transformed", 0)];
    x.kept = kept_outputs(e, &x);
    zn_loop u, lb;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll image = zn_mul(e, u.i, unit), last = zn_min(e, zn_addk(e, image, unit), zn_i64(e, images));
    bool whole = images % unit == 0;
    x.image = image;
    x.images = whole ? zn_i64(e, unit) : LLVMBuildNSWSub(e->b, last, image, "");
    zn_ll end = zn_mul(e, x.images, x.w.tiles);
    zn_loop_begin(e, &lb, zn_i64(e, 0), end, x.block, 0, NULL);
    x.first = lb.i;
    x.count = zn_wino_block_count(e, x.block, lb.i, end, unit_tiles % x.block == 0 && whole);
    zn_wino_transform_inputs(e, &x, x.rows, zn_i64(e, 0), zn_i64(e, x.c), zn_wino_lanes(e, x.c));
    zn_ahead soon = {0};
    zn_wino_fetch(e, &x, &soon, x.in, zn_addk(e, x.first, x.block), zn_wino_input_ratio(x.f), calls, false);
    for (size_t i = 0; i < e->k->bindings.n; i++) {
        const zn_binding *b = &e->k->bindings.at[i];
        if (b->value && b->type.rank == 4 && (int)i != x.in && zn_type_equal(&b->type, &e->k->group->anchor->type))
            zn_wino_fetch(e, &x, &soon, (int)i, x.first, zn_wino_output_ratio(x.f), calls, b->kind == ZN_BIND_OUT);
    }
    products(e, &x, x.o, &soon);
    transform_outputs(e, &x, zn_i64(e, 0), x.o);
    zn_loop_end(e, &lb, NULL);
    halos(e, image, last);
    if (e->k->group->reduces.n) { /* a unit is whole shards */
        int64_t shards = e->k->bindings.at[zn_binding_temp(e, "partial", 0)].type.dim[0], each = images / shards;
        zn_loop ls;
        zn_loop_begin(e, &ls, image, last, each, 0, NULL);
        zn_emit_reduces(e, ls.i, each, zn_wino_quotient(e, ls.i, each));
        zn_loop_end(e, &ls, NULL);
    }
    zn_loop_end(e, &u, NULL);
}

/* ---- convolution, weight-major */

/* A unit is so many tiles. In front of a gradient by weights a panel is all tiles of a shard (block), else what a
 * product takes. */
void zn_emit_wino_input(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
    int64_t tiles = x.w.images * x.w.tiles, rows = x.block ? x.block : x.rows;
    x.in = zn_binding_of(e, ZN_BIND_IN, zn_group_loaded(e->k->group));
    x.v = e->base[zn_binding_temp(e, "tiles", 0)];
    x.kv = e->k->bindings.at[zn_binding_temp(e, "tiles", 0)].type.dim[1];
    x.at = x.first = zn_mul(e, e->begin, e->k->unit);
    x.count = LLVMBuildNSWSub(e->b, zn_min(e, zn_mul(e, e->end, e->k->unit), zn_i64(e, tiles)), x.first, "");
    zn_wino_transform_inputs(e, &x, rows, zn_i64(e, 0), zn_i64(e, x.c), zn_wino_lanes(e, x.c));
}

/* A unit is a panel of outputs. */
void zn_emit_wino_conv_panel(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
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
    x.count = zn_i64(e, images * x.w.tiles);
    x.kept = kept_outputs(e, &x);
    zn_loop u, lc;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, unit);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, x.c), 1, 0, NULL);
    transform_weights(e, &x, e->base[weights], x.o, lc.i, first, unit);
    zn_loop_end(e, &lc, NULL);
    products(e, &x, unit, NULL);
    transform_outputs(e, &x, first, unit);
    halos(e, zn_wino_quotient(e, zn_mul(e, u.i, images), units),
          zn_wino_quotient(e, zn_mul(e, zn_addk(e, u.i, 1), images), units));
    zn_loop_end(e, &u, NULL);
}
