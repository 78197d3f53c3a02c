/* See wino.h. */
#include "backend/wino.h"

#include "support/ice.h"

/* ---- shapes */

/* Tiles (or channels) in a register tile of vectors of outputs: two at a time, or all if there is but one. */
static int tile_rows(const zn_emit *e, int64_t outputs) {
    bool pairs = outputs > e->lanes;
    return e->t->registers < 32 ? pairs ? 4 : 8 : pairs ? 8 : 16;
}

zn_wino zn_wino_of(const zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    zn_wino x = {.w = zn_winograd_of(v), .in = -1, .in2 = -1};
    bool grad = v->op == ZN_OP_CONV_GRAD_W;
    x.f = zn_wino_form_of(&x.w);
    x.c = zn_type_channels(&v->operand[0]->type);
    x.o = zn_type_channels(grad ? &v->operand[1]->type : &v->type);
    x.block = e->k->block;
    x.rows = tile_rows(e, x.o);
    x.at = zn_i64(e, 0);
    return x;
}

int64_t zn_wino_lanes(const zn_emit *e, int64_t n) {
    return (n + e->lanes - 1) / e->lanes * e->lanes;
}

zn_ll zn_wino_rem(zn_emit *e, zn_ll a, int64_t k) {
    return LLVMBuildURem(e->b, a, zn_i64(e, k), "");
}
zn_ll zn_wino_quotient(zn_emit *e, zn_ll a, int64_t k) {
    return LLVMBuildUDiv(e->b, a, zn_i64(e, k), "");
}

zn_ll zn_wino_block_count(zn_emit *e, int64_t block, zn_ll first, zn_ll end, bool divides) {
    return divides ? zn_i64(e, block) : zn_min(e, zn_i64(e, block), LLVMBuildNSWSub(e->b, end, first, ""));
}

/* Vectors of the last block, which is written out by itself: none if all are full pairs. */
static int last_vecs(const zn_emit *e, int64_t outputs) {
    int64_t vecs = zn_wino_lanes(e, outputs) / e->lanes;
    return vecs % 2 ? vecs >= 3 ? 3 : 1 : outputs % e->lanes ? 2 : 0;
}

int64_t zn_wino_block_total(const zn_emit *e, int64_t outputs) {
    int64_t vecs = zn_wino_lanes(e, outputs) / e->lanes;
    int last = last_vecs(e, outputs);
    return (vecs - last) / 2 + (last != 0);
}

zn_ll zn_wino_block_index(zn_emit *e, zn_ll first) {
    return zn_wino_quotient(e, first, (int64_t)2 * e->lanes);
}

void zn_wino_blocks(zn_emit *e, int64_t outputs, zn_wino_block_fn *body, void *ctx) {
    int last = last_vecs(e, outputs), tail = (int)(outputs % e->lanes);
    int64_t pairs = zn_wino_lanes(e, outputs) - (int64_t)last * e->lanes, pair = (int64_t)2 * e->lanes;
    if (pairs > 0) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, pairs), pair, 0, NULL);
        body(e, l.i, 2, e->lanes, ctx);
        zn_loop_end(e, &l, NULL);
    }
    if (last)
        body(e, zn_i64(e, pairs), last, tail ? tail : e->lanes, ctx);
}

void zn_wino_vectors(zn_emit *e, zn_ll lo, zn_ll hi, int64_t channels, zn_wino_vector_fn *body, void *ctx) {
    int64_t whole = channels / e->lanes * e->lanes;
    zn_loop l;
    if (whole) {
        zn_loop_begin(e, &l, lo, zn_min(e, hi, zn_i64(e, whole)), e->lanes, 0, NULL);
        body(e, l.i, e->lanes, ctx);
        zn_loop_end(e, &l, NULL);
    }
    if (whole == channels)
        return;
    int64_t known;
    zn_if s;
    bool always = zn_is_const(hi, &known);
    if (!always)
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, hi, zn_i64(e, channels), ""));
    body(e, zn_i64(e, whole), (int)(channels - whole), ctx);
    if (!always)
        zn_if_end(e, &s);
}

/* ---- tiles */

/* Where tile `index` of n in one direction starts. */
static zn_ll start_of(zn_emit *e, const zn_wino *x, zn_ll index, int64_t size) {
    zn_ll at = zn_mul(e, index, x->w.tile);
    return size % x->w.tile ? zn_min(e, at, zn_i64(e, size - x->w.tile)) : at;
}

void zn_wino_locate(zn_emit *e, const zn_wino *x, zn_ll tile, zn_ll *n, zn_ll *h, zn_ll *w) {
    zn_ll in_image = zn_wino_rem(e, tile, x->w.tiles);
    *n = zn_wino_quotient(e, tile, x->w.tiles);
    *h = start_of(e, x, zn_wino_quotient(e, in_image, x->w.across), x->w.rows);
    *w = start_of(e, x, zn_wino_rem(e, in_image, x->w.across), x->w.cols);
}

void zn_wino_fetch(zn_emit *e, const zn_wino *x, zn_ahead *a, int b, zn_ll tile, int64_t ratio, int64_t calls,
                   bool write) {
    zn_ll n, h, w;
    zn_wino_locate(e, x, tile, &n, &h, &w);
    const zn_type *t = &e->k->bindings.at[b].type;
    int64_t lines = x->block * t->dim[1] * t->dim[2] / x->w.tiles * zn_type_channels(t) / 16;
    a->from[a->n] = zn_row_ptr(e, b, n, zn_mul(e, h, ratio));
    a->lines[a->n] = (int)((lines + calls - 1) / calls);
    a->write[a->n++] = write;
}

void zn_wino_issue(zn_emit *e, const zn_ahead *a, zn_ll call) {
    for (int i = 0; i < a->n; i++) {
        zn_ll p = zn_at(e, a->from[i], zn_mul(e, call, a->lines[i] * 16));
        for (int j = 0; j < a->lines[i]; j++)
            zn_prefetch(e, p, zn_i64(e, j * 16), ZN_FAR, a->write[i]);
    }
}

/* ---- tiles of the input and of the gradient of the output */

enum { MAX_ROWS = 9 };

/* A mask of lanes, all alike. */
static zn_ll mask_of(zn_emit *e, zn_ll cond) {
    zn_ll none = LLVMGetPoison(LLVMVectorType(e->i1, (unsigned)e->lanes));
    zn_ll one = LLVMBuildInsertElement(e->b, none, cond, zn_i32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, none, LLVMConstNull(e->ivec), "");
}

typedef struct tile_io {
    const zn_wino *x;
    zn_ll row[MAX_ROWS]; /* addresses of the tile's rows */
    zn_ll c;             /* first channel */
    int lanes;           /* valid */
    int64_t column;      /* floats */
    zn_ll to;            /* V or Z of position 0 */
    int64_t pitch;
    zn_ll at, first; /* V or Z of the tile, channel 0; its first channel */
    int64_t rows;    /* tiles in a panel of V or Z */
    bool through;
    zn_ll edge[MAX_ROWS], side[MAX_ROWS]; /* masks of rows and columns that count as zero; NULL: never */
    zn_invariants inv;
} tile_io;

static zn_ll read_tile(void *ctx, zn_emit *e, int i, int j) {
    const tile_io *t = ctx;
    zn_ll v = zn_load(e, zn_atk(e, zn_at(e, t->row[i], t->c), j * t->column), t->lanes);
    if (t->through)
        v = zn_emit_load_through(e, &t->inv, v);
    if (t->edge[i])
        v = zn_select(e, t->edge[i], v, zn_vconst(e, 0));
    if (t->side[j])
        v = zn_select(e, t->side[j], v, zn_vconst(e, 0));
    return v;
}
static void write_position(void *ctx, zn_emit *e, int k, int unused, zn_ll v) {
    const tile_io *t = ctx;
    (void)unused;
    zn_store(e, zn_atk(e, t->to, k * t->pitch), v, e->lanes);
}

/* What is loaded through a norm is no longer zero in the halo, and has to be made so again: masks for one direction, in
 * which the tile starts at row `start` of y, of `last` at most, and the map has `size` rows. */
static void find_borders(zn_emit *e, const zn_wino *x, zn_ll start, int64_t last, int64_t size, zn_ll *mask) {
    int64_t ratio = zn_wino_input_ratio(x->f), origin = zn_wino_input_origin(x->f);
    zn_ll at = zn_mul(e, start, ratio);
    for (int i = 0; i < zn_wino_input_extent(x->f); i++) {
        zn_ll inside = NULL;
        if (origin + i < 0)
            inside = LLVMBuildICmp(e->b, LLVMIntSGE, at, zn_i64(e, -origin - i), "");
        if (last * ratio + origin + i >= size) {
            zn_ll below = LLVMBuildICmp(e->b, LLVMIntSLT, at, zn_i64(e, size - origin - i), "");
            inside = inside ? LLVMBuildAnd(e->b, inside, below, "") : below;
        }
        if (inside)
            mask[i] = mask_of(e, inside);
    }
}

/* Rows of dy that the tile before has counted, in one direction: only the last tile overlaps. */
static void find_overlap(zn_emit *e, const zn_wino *x, zn_ll start, int64_t tiles, int64_t size, zn_ll *mask) {
    int64_t overlap = tiles * x->w.tile - size;
    if (!overlap || tiles < 2)
        return;
    zn_ll whole = mask_of(e, LLVMBuildICmp(e->b, LLVMIntSLT, start, zn_i64(e, size - x->w.tile), ""));
    for (int64_t i = 0; i < overlap; i++)
        mask[i] = whole;
}

static void input_vector(zn_emit *e, zn_ll c, int lanes, void *ctx) {
    tile_io *t = ctx;
    if (t->through)
        zn_hoist_loads(e, &t->inv, c, lanes);
    t->c = c;
    t->lanes = lanes;
    t->to = zn_at(e, t->at, zn_mul(e, LLVMBuildNSWSub(e->b, c, t->first, ""), t->rows));
    zn_wino_input(e, t->x->f, read_tile, write_position, t);
}

void zn_wino_transform_inputs(zn_emit *e, const zn_wino *x, int64_t rows, zn_ll c0, zn_ll c1, int64_t channels) {
    const zn_type *map = &e->k->bindings.at[x->in].type;
    int64_t ratio = zn_wino_input_ratio(x->f), origin = zn_wino_input_origin(x->f);
    tile_io t = {.x = x, .column = x->c, .pitch = x->kv, .first = c0, .rows = rows, .through = zn_loads_through(e)};
    zn_loop lt;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll n, h, w;
    zn_wino_locate(e, x, zn_add(e, x->first, lt.i), &n, &h, &w);
    for (int i = 0; i < zn_wino_input_extent(x->f); i++)
        t.row[i] = zn_at(e, zn_row_ptr(e, x->in, n, zn_addk(e, zn_mul(e, h, ratio), i + origin)),
                         zn_mul(e, zn_addk(e, zn_mul(e, w, ratio), origin), x->c));
    if (t.through) {
        find_borders(e, x, h, x->w.rows - x->w.tile, map->dim[1], t.edge);
        find_borders(e, x, w, x->w.cols - x->w.tile, map->dim[2], t.side);
    }
    zn_ll at = zn_add(e, x->at, lt.i), panel = zn_wino_quotient(e, at, rows);
    t.at = zn_at(e, x->v, zn_add(e, zn_mul(e, panel, channels * rows), zn_mul(e, zn_wino_rem(e, at, rows), e->lanes)));
    zn_wino_vectors(e, c0, c1, x->c, input_vector, &t);
    zn_loop_end(e, &lt, NULL);
}

static void gradient_vector(zn_emit *e, zn_ll o, int lanes, void *ctx) {
    tile_io *t = ctx;
    t->c = o;
    t->lanes = lanes;
    t->to = zn_at(e, t->at, zn_mul(e, o, t->rows));
    zn_wino_gradient(e, t->x->f, read_tile, write_position, t);
}

void zn_wino_transform_gradients(zn_emit *e, const zn_wino *x) {
    tile_io t = {.x = x, .column = x->o, .pitch = x->km, .rows = x->block};
    zn_loop lt;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll n, h, w;
    zn_wino_locate(e, x, zn_add(e, x->first, lt.i), &n, &h, &w);
    for (int i = 0; i < x->w.tile; i++)
        t.row[i] = zn_at(e, zn_row_ptr(e, x->in2, n, zn_addk(e, h, i)), zn_mul(e, w, x->o));
    find_overlap(e, x, h, x->w.down, x->w.rows, t.edge);
    find_overlap(e, x, w, x->w.across, x->w.cols, t.side);
    t.at = zn_at(e, x->m, zn_mul(e, zn_add(e, x->at, lt.i), e->lanes));
    zn_wino_vectors(e, zn_i64(e, 0), zn_i64(e, x->o), x->o, gradient_vector, &t);
    zn_loop_end(e, &lt, NULL);
}
