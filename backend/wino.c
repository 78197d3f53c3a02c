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
    x.f = zn_wino_form_of(&x.w, false, false);
    x.c = zn_type_channels(&v->operand[0]->type);
    x.o = zn_type_channels(grad ? &v->operand[1]->type : &v->type);
    x.block = e->k->block;
    x.rows = tile_rows(e, x.o);
    x.at = x.image = x.first = zn_i64(e, 0);
    x.images = zn_i64(e, x.w.images);
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

/* Image and place of tile `tile` of those that are numbered, where all have one size. */
static void locate(zn_emit *e, const zn_wino *x, zn_ll tile, zn_ll *n, zn_ll *h, zn_ll *w) {
    zn_ll in_image = zn_wino_rem(e, tile, x->w.tiles);
    *n = zn_add(e, x->image, zn_wino_quotient(e, tile, x->w.tiles));
    *h = start_of(e, x, zn_wino_quotient(e, in_image, x->w.across), x->w.rows);
    *w = start_of(e, x, zn_wino_rem(e, in_image, x->w.across), x->w.cols);
}

static bool is_mixed(const zn_wino *x) {
    return x->w.small_down || x->w.small_across;
}

/* The classes of tiles, in the order of their numbers. */
enum { CLASSES = 4 };
static const struct {
    bool small_down, small_across;
} classes[CLASSES] = {{true, false}, {false, false}, {false, true}, {true, true}};

/* Tiles of an image in a row (across) or column of a class. */
static int64_t class_rows(const zn_wino *x, int c, bool across) {
    int64_t all = across ? x->w.across : x->w.down, small = across ? x->w.small_across : x->w.small_down;
    return (across ? classes[c].small_across : classes[c].small_down) ? small : all - small;
}

/* Tiles of an image in the classes before c. */
static int64_t tiles_before(const zn_wino *x, int c) {
    int64_t n = 0;
    for (int i = 0; i < c; i++)
        n += class_rows(x, i, false) * class_rows(x, i, true);
    return n;
}

/* Number of the first tile of class c among the tiles at hand, not below 0 and at most their count. */
static zn_ll class_start(zn_emit *e, const zn_wino *x, int c) {
    int64_t before = tiles_before(x, c);
    if (c == CLASSES)
        return x->count;
    if (!before)
        return zn_i64(e, 0);
    zn_ll at = LLVMBuildNSWSub(e->b, zn_mul(e, x->images, before), x->first, "");
    return zn_max(e, zn_i64(e, 0), zn_min(e, at, x->count));
}

static void class_tiles(zn_emit *e, const zn_wino *x, int c, zn_wino_tile_fn *body, void *ctx) {
    int64_t down = class_rows(x, c, false), across = class_rows(x, c, true), m = x->w.tile, before = tiles_before(x, c);
    if (!down || !across)
        return;
    bool sd = classes[c].small_down, sa = classes[c].small_across;
    zn_wino_place p = {.f = zn_wino_form_of(&x->w, sd, sa)};
    zn_loop l;
    zn_loop_begin(e, &l, class_start(e, x, c), class_start(e, x, c + 1), 1, 0, NULL);
    zn_ll in_class = LLVMBuildNSWSub(e->b, zn_add(e, x->first, l.i), zn_mul(e, x->images, before), "");
    zn_ll in_image = zn_wino_rem(e, in_class, down * across);
    p.tile = l.i;
    p.n = zn_add(e, x->image, zn_wino_quotient(e, in_class, down * across));
    p.h = zn_mul(e, zn_wino_quotient(e, in_image, across), sd ? m - 1 : m);
    p.w = zn_mul(e, zn_wino_rem(e, in_image, across), sa ? m - 1 : m);
    p.h = zn_addk(e, p.h, sd ? (x->w.down - x->w.small_down) * m : 0);
    p.w = zn_addk(e, p.w, sa ? (x->w.across - x->w.small_across) * m : 0);
    body(e, &p, ctx);
    zn_loop_end(e, &l, NULL);
}

void zn_wino_tiles(zn_emit *e, const zn_wino *x, zn_wino_tile_fn *body, void *ctx) {
    for (int c = 0; is_mixed(x) && c < CLASSES; c++)
        class_tiles(e, x, c, body, ctx);
    if (is_mixed(x))
        return;
    zn_wino_place p = {.f = x->f};
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), x->count, 1, 0, NULL);
    p.tile = l.i;
    locate(e, x, zn_add(e, x->first, l.i), &p.n, &p.h, &p.w);
    body(e, &p, ctx);
    zn_loop_end(e, &l, NULL);
}

void zn_wino_range(zn_emit *e, const zn_wino *x, zn_ll k, zn_ll *lo, zn_ll *hi) {
    *lo = zn_i64(e, 0);
    *hi = x->count;
    if (!is_mixed(x))
        return;
    int64_t grid = x->w.tile + x->w.taps - 1; /* a small tile has all positions of a direction but the last but one */
    zn_ll left_out = zn_i64(e, grid - 2);
    zn_ll down = LLVMBuildICmp(e->b, LLVMIntEQ, zn_wino_quotient(e, k, grid), left_out, "");
    zn_ll across = LLVMBuildICmp(e->b, LLVMIntEQ, zn_wino_rem(e, k, grid), left_out, "");
    zn_ll large = class_start(e, x, 1), small_across = class_start(e, x, 2), small = class_start(e, x, 3);
    *lo = zn_select(e, down, large, *lo);
    *hi = zn_select(e, across, small_across, zn_select(e, down, small, *hi));
}

void zn_wino_fetch(zn_emit *e, const zn_wino *x, zn_ahead *a, int b, zn_ll tile, int64_t ratio, int64_t calls,
                   bool write) {
    zn_ll n, h, w;
    if (is_mixed(x)) {
        n = zn_add(e, x->image, zn_wino_quotient(e, tile, x->w.tiles));
        h = zn_wino_quotient(e, zn_mul(e, zn_wino_rem(e, tile, x->w.tiles), x->w.rows), x->w.tiles);
    } else {
        locate(e, x, tile, &n, &h, &w);
    }
    const zn_type *t = &e->k->bindings.at[b].type;
    int64_t lines = x->block * t->dim[1] * t->dim[2] / x->w.tiles * zn_type_channels(t) / 16;
    a->from[a->n] = zn_row_ptr(e, b, n, zn_mul(e, h, ratio));
    a->lines[a->n] = (int)((lines + calls - 1) / calls);
    a->write[a->n++] = write;
}

bool zn_wino_crowds(const zn_wino *x) {
    enum { CHANNELS = 64 * 64 };
    return x->c * x->o >= CHANNELS;
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

zn_ll zn_wino_mask(zn_emit *e, zn_ll cond) {
    zn_ll none = LLVMGetPoison(LLVMVectorType(e->i1, (unsigned)e->lanes));
    zn_ll one = LLVMBuildInsertElement(e->b, none, cond, zn_i32(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, none, LLVMConstNull(e->ivec), "");
}

typedef struct tile_io {
    const zn_wino *x;
    const zn_wino_form *f; /* of the tile */
    zn_ll row[MAX_ROWS];   /* addresses of the tile's rows */
    zn_ll c;               /* first channel */
    int lanes;             /* valid */
    int64_t column;        /* floats */
    zn_ll to;              /* V or Z of position 0 */
    int64_t pitch;
    zn_ll at;         /* V or Z of the tile */
    zn_ll c0, c1;     /* channels */
    int64_t rows;     /* tiles in a panel of V or Z */
    int64_t channels; /* in V */
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
static void find_borders(zn_emit *e, const zn_wino_place *p, bool across, int64_t last, int64_t size, zn_ll *mask) {
    int64_t ratio = zn_wino_input_ratio(p->f), origin = zn_wino_input_origin(p->f);
    zn_ll at = zn_mul(e, across ? p->w : p->h, ratio);
    for (int i = 0; i < MAX_ROWS; i++)
        mask[i] = NULL;
    for (int i = 0; i < zn_wino_input_extent(p->f, across); i++) {
        zn_ll inside = NULL;
        if (origin + i < 0)
            inside = LLVMBuildICmp(e->b, LLVMIntSGE, at, zn_i64(e, -origin - i), "");
        if (last * ratio + origin + i >= size) {
            zn_ll below = LLVMBuildICmp(e->b, LLVMIntSLT, at, zn_i64(e, size - origin - i), "");
            inside = inside ? LLVMBuildAnd(e->b, inside, below, "") : below;
        }
        if (inside)
            mask[i] = zn_wino_mask(e, inside);
    }
}

/* Rows of dy that the tile before has counted, in one direction: only the last of tiles of one size overlaps. */
static void find_overlap(zn_emit *e, const zn_wino *x, zn_ll start, int64_t tiles, int64_t size, zn_ll *mask) {
    int64_t overlap = tiles * x->w.tile - size;
    if (overlap <= 0 || tiles < 2 || is_mixed(x))
        return;
    zn_ll whole = zn_wino_mask(e, LLVMBuildICmp(e->b, LLVMIntSLT, start, zn_i64(e, size - x->w.tile), ""));
    for (int64_t i = 0; i < overlap; i++)
        mask[i] = whole;
}

/* Asks for the tile's channels behind the vector under work and the next: its rows and columns are more streams than a
 * processor follows. */
static void fetch_tile(const tile_io *t, zn_emit *e) {
    enum { AHEAD = 32 };
    for (int i = 0; t->column > AHEAD && zn_wino_crowds(t->x) && i < zn_wino_input_extent(t->f, false); i++)
        for (int j = 0; j < zn_wino_input_extent(t->f, true); j++)
            zn_prefetch(e, zn_at(e, t->row[i], t->c), zn_i64(e, j * t->column + AHEAD), ZN_NEAR, false);
}

static void input_vector(zn_emit *e, zn_ll c, int lanes, void *ctx) {
    tile_io *t = ctx;
    if (t->through)
        zn_hoist_loads(e, &t->inv, c, lanes);
    t->c = c;
    t->lanes = lanes;
    t->to = zn_at(e, t->at, zn_mul(e, LLVMBuildNSWSub(e->b, c, t->c0, ""), t->rows));
    fetch_tile(t, e);
    zn_wino_input(e, t->f, read_tile, write_position, t);
}

static void input_tile(zn_emit *e, const zn_wino_place *p, void *ctx) {
    tile_io *t = ctx;
    const zn_wino *x = t->x;
    const zn_type *map = &e->k->bindings.at[x->in].type;
    int64_t ratio = zn_wino_input_ratio(p->f), origin = zn_wino_input_origin(p->f);
    t->f = p->f;
    for (int i = 0; i < zn_wino_input_extent(p->f, false); i++)
        t->row[i] = zn_at(e, zn_row_ptr(e, x->in, p->n, zn_addk(e, zn_mul(e, p->h, ratio), i + origin)),
                          zn_mul(e, zn_addk(e, zn_mul(e, p->w, ratio), origin), x->c));
    if (t->through) {
        find_borders(e, p, false, x->w.rows - zn_wino_tile(p->f, false), map->dim[1], t->edge);
        find_borders(e, p, true, x->w.cols - zn_wino_tile(p->f, true), map->dim[2], t->side);
    }
    zn_ll at = zn_add(e, x->at, p->tile), panel = zn_wino_quotient(e, at, t->rows);
    t->at = zn_at(e, x->v,
                  zn_add(e, zn_mul(e, panel, t->channels * t->rows), zn_mul(e, zn_wino_rem(e, at, t->rows), e->lanes)));
    zn_wino_vectors(e, t->c0, t->c1, x->c, input_vector, t);
}

void zn_wino_transform_inputs(zn_emit *e, const zn_wino *x, int64_t rows, zn_ll c0, zn_ll c1, int64_t channels) {
    tile_io t = {.x = x,
                 .column = x->c,
                 .pitch = x->kv,
                 .c0 = c0,
                 .c1 = c1,
                 .rows = rows,
                 .channels = channels,
                 .through = zn_loads_through(e)};
    zn_wino_tiles(e, x, input_tile, &t);
}

static void gradient_vector(zn_emit *e, zn_ll o, int lanes, void *ctx) {
    tile_io *t = ctx;
    t->c = o;
    t->lanes = lanes;
    t->to = zn_at(e, t->at, zn_mul(e, o, t->rows));
    zn_wino_gradient(e, t->f, read_tile, write_position, t);
}

static void gradient_tile(zn_emit *e, const zn_wino_place *p, void *ctx) {
    tile_io *t = ctx;
    const zn_wino *x = t->x;
    t->f = p->f;
    for (int i = 0; i < zn_wino_tile(p->f, false); i++)
        t->row[i] = zn_at(e, zn_row_ptr(e, x->in2, p->n, zn_addk(e, p->h, i)), zn_mul(e, p->w, x->o));
    find_overlap(e, x, p->h, x->w.down, x->w.rows, t->edge);
    find_overlap(e, x, p->w, x->w.across, x->w.cols, t->side);
    t->at = zn_at(e, x->m, zn_mul(e, zn_add(e, x->at, p->tile), e->lanes));
    zn_wino_vectors(e, zn_i64(e, 0), zn_i64(e, x->o), x->o, gradient_vector, t);
}

void zn_wino_transform_gradients(zn_emit *e, const zn_wino *x) {
    tile_io t = {.x = x, .column = x->o, .pitch = x->km, .rows = x->block};
    zn_wino_tiles(e, x, gradient_tile, &t);
}
