/* Register-blocked gradients by weights, of convolutions and matrix products: partial sums of one shard, or all shards
 * one after the other and joined on the spot. Tiles as in conv.c: rows of (kw, c) by vectors of outputs; each is one
 * chain of fused multiply-adds over the positions of its shard.
 *
 * A chain over many positions goes by chunks of them, and all tiles of a unit meet a chunk before the next, so that it
 * comes from far away once; between chunks the sums wait in memory. */
#include "backend/tile.h"

typedef struct grad_w_ctx {
    const zn_value *v;
    int x, dy; /* bindings */
    int64_t batch, inputs, outputs, shards, kwc;
    int64_t groups, each; /* of channels; inputs in one */
    zn_ll group, tap;     /* under work; tap: NULL where a tile's rows are whole taps or there is one group */
    bool line;            /* positions of a shard lie in one line: products, and 1x1 convolutions without halos */
    int64_t positions;    /* of one sample or image, in that line */
    const int64_t *stride, *pad;
    int64_t oh, ow;
    zn_ll kh, row0;   /* of the unit */
    zn_ll h_lo, h_hi; /* rows of dy that the kernel row meets inside of the map; NULL: all count */
    int64_t rows;
    int tile;                /* rows of a register tile; 0: as many as suit each block of outputs */
    zn_ll packed;            /* the unit's rows of x, tile by tile: [position][rows of the tile]; NULL */
    int64_t room;            /* positions that a tile has there */
    zn_ll packed_dy;         /* the block of outputs under work: [position][its vectors]; NULL */
    zn_ll pack_at;           /* scratch memory for both; NULL */
    zn_ll sums;              /* of the unit, between chunks: [row][outputs] */
    int64_t x_next, dy_next; /* floats from a position to that of the next chunk; 0 */
    zn_out_block o;
    zn_invariants inv;
    zn_point p;
} grad_w_ctx;

/* Positions of a chunk: in a line, of samples or images n0 to n1; else rows h0 to h1 of those images. */
typedef struct span {
    zn_ll n0, n1, h0, h1;
    zn_ll p0, p1; /* in a line */
} span;

/* A tile's operands along a line of positions. */
typedef struct line_job {
    zn_ll x, dy;
    int64_t x_pitch, dy_pitch;
    zn_ll x_next, dy_next; /* what the next chunk will need, asked for meanwhile; NULL */
    int64_t x_next_pitch, dy_next_pitch;
    int rows, vecs;
    int64_t at[ZN_TILE_ROWS]; /* floats from a position's x to each row */
    const int *lanes;
} line_job;

/* acc += x[position][row .. row + rows) dy[position][first ...] over `count` positions. */
static void positions(zn_emit *e, const line_job *j, zn_ll count, zn_ll *acc) {
    int rows = j->rows, vecs = j->vecs, n = rows * vecs;
    const int *lanes = j->lanes;
    int64_t x_pitch = j->x_pitch, dy_pitch = j->dy_pitch, known;
    int unroll = zn_is_const(count, &known) ? zn_unroll_of(known) : 1;
    unroll = unroll == 4 ? 2 : unroll;
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), count, unroll, n, acc);
    for (int i = 0; i < n; i++)
        acc[i] = l.v[i];
    zn_ll xp = zn_at(e, j->x, zn_mul(e, l.i, x_pitch)), dp = zn_at(e, j->dy, zn_mul(e, l.i, dy_pitch));
    for (int u = 0; u < unroll; u++) {
        if (j->dy_next)
            zn_prefetch(e, j->dy_next, zn_mul(e, zn_addk(e, l.i, u), j->dy_next_pitch), ZN_FAR, false);
        if (j->x_next)
            zn_prefetch(e, j->x_next, zn_mul(e, zn_addk(e, l.i, u), j->x_next_pitch), ZN_FAR, false);
        zn_ll d[ZN_TILE_VECS];
        for (int v = 0; v < vecs; v++)
            d[v] = zn_tile_load(e, zn_atk(e, dp, u * dy_pitch + v * e->lanes), lanes[v]);
        for (int r = 0; r < rows; r++) {
            zn_ll s = zn_load_splat(e, zn_atk(e, xp, u * x_pitch + j->at[r]));
            for (int v = 0; v < vecs; v++)
                acc[r * vecs + v] = zn_fma(e, d[v], zn_tile_splat(e, s, lanes[v]), acc[r * vecs + v]);
        }
    }
    zn_loop_end(e, &l, acc);
    for (int i = 0; i < n; i++)
        acc[i] = l.v[i];
}

/* x and dy of one line of positions: image n, row h of dy; in a line: position n. */
static zn_ll x_of(zn_emit *e, const grad_w_ctx *c, zn_ll row, zn_ll n, zn_ll h) {
    if (c->line)
        return zn_at(e, e->base[c->x], zn_add(e, zn_mul(e, n, c->inputs), row));
    zn_ll in_row = zn_add(e, zn_addk(e, zn_mul(e, h, c->stride[0]), -c->pad[0]), c->kh);
    return zn_at(e, zn_row_ptr(e, c->x, n, in_row), zn_addk(e, row, -c->pad[1] * c->inputs));
}
static zn_ll dy_of(zn_emit *e, const grad_w_ctx *c, zn_ll first, zn_ll n, zn_ll h) {
    if (c->line)
        return zn_at(e, e->base[c->dy], zn_add(e, zn_mul(e, n, c->outputs), first));
    return zn_at(e, zn_row_ptr(e, c->dy, n, h), first);
}

/* The part of the span before row h of image n, in positions. */
static zn_ll place_of(zn_emit *e, const grad_w_ctx *c, const span *at, zn_ll n, zn_ll h) {
    zn_ll images = zn_sub(e, n, at->n0), rows = zn_sub(e, h, at->h0);
    return zn_mul(e, zn_add(e, zn_mul(e, images, c->oh), rows), c->ow);
}

/* Row `row` of the unit, in x and in the sums. In groups rows are (tap, channel of the group). */
static zn_ll row_of_x(zn_emit *e, const grad_w_ctx *c, zn_ll row) {
    if (c->groups == 1)
        return zn_add(e, c->row0, row);
    zn_ll first = zn_mul(e, c->group, c->each);
    if (c->tap)
        return zn_add(e, zn_add(e, first, row), zn_mul(e, c->tap, c->inputs));
    return zn_add(e, first, zn_mul(e, LLVMBuildUDiv(e->b, row, zn_i64(e, c->each), ""), c->inputs));
}
static zn_ll row_of_sums(zn_emit *e, const grad_w_ctx *c, zn_ll row) {
    return c->tap ? zn_add(e, row, zn_mul(e, c->tap, c->each)) : row;
}

/* acc += the positions of a span, for a tile of rows from `row` of the unit. */
static void chain(zn_emit *e, const grad_w_ctx *c, const span *at, zn_ll row, int rows, zn_ll *acc) {
    int n = rows * c->o.vecs;
    line_job j = {.rows = rows, .vecs = c->o.vecs, .lanes = c->o.lanes};
    j.dy_next_pitch = c->outputs;
    j.dy_pitch = c->packed_dy ? (int64_t)c->o.vecs * e->lanes : c->outputs;
    j.x_next_pitch = c->line ? c->inputs : c->stride[1] * c->inputs;
    j.x_pitch = c->packed ? rows : j.x_next_pitch;
    zn_ll packed = c->packed ? zn_at(e, c->packed, zn_mul(e, row, c->room)) : NULL, in = row_of_x(e, c, row);
    for (int r = 0; r < rows; r++)
        j.at[r] = c->groups > 1 ? r / c->each * c->inputs + r % c->each : r;
    zn_loop ln, lh;
    zn_loop_begin(e, &ln, c->line ? at->p0 : at->n0, c->line ? zn_addk(e, at->p0, 1) : at->n1, 1, n, acc);
    zn_ll h0 = c->line ? zn_i64(e, 0) : c->h_lo ? zn_max(e, at->h0, c->h_lo) : at->h0;
    zn_ll h1 = c->line ? zn_i64(e, 1) : c->h_hi ? zn_min(e, at->h1, c->h_hi) : at->h1;
    zn_loop_begin(e, &lh, h0, h1, 1, n, ln.v);
    for (int i = 0; i < n; i++)
        acc[i] = lh.v[i];
    j.x = x_of(e, c, in, ln.i, lh.i);
    j.dy = dy_of(e, c, c->o.first, ln.i, lh.i);
    if (c->dy_next) { /* one vector of dy each, in turns */
        zn_ll turn = LLVMBuildURem(e->b, LLVMBuildUDiv(e->b, row, zn_i64(e, rows), ""), zn_i64(e, c->o.vecs), "");
        j.dy_next = zn_at(e, zn_atk(e, j.dy, c->dy_next), zn_mul(e, turn, e->lanes));
        j.x_next = zn_atk(e, j.x, c->x_next);
    }
    if (c->packed_dy)
        j.dy = c->line ? c->packed_dy : zn_at(e, c->packed_dy, zn_mul(e, place_of(e, c, at, ln.i, lh.i), j.dy_pitch));
    if (packed)
        j.x = c->line ? packed : zn_at(e, packed, zn_mul(e, place_of(e, c, at, ln.i, lh.i), rows));
    positions(e, &j, c->line ? zn_sub(e, at->p1, at->p0) : zn_i64(e, c->ow), acc);
    zn_loop_end(e, &lh, acc);
    zn_loop_end(e, &ln, lh.v);
    for (int i = 0; i < n; i++)
        acc[i] = ln.v[i];
}

/* One line of the unit's rows of x into the scratch memory, `length` positions from place `to`. Where they lie, a
 * tile's rows are far apart, often by a power of two. Vectors are stored whole: what is too much is overwritten by the
 * next position, or lies in the slack behind the last. */
static void pack_line(zn_emit *e, const grad_w_ctx *c, zn_ll from, zn_ll to, zn_ll length) {
    int64_t pitch = c->line ? c->inputs : c->stride[1] * c->inputs;
    zn_loop lp;
    zn_loop_begin(e, &lp, zn_i64(e, 0), length, 1, 0, NULL);
    for (int64_t row = 0; row < c->rows; row += c->tile) {
        int n = (int)(c->rows - row < c->tile ? c->rows - row : c->tile);
        zn_ll at = zn_addk(e, zn_mul(e, zn_add(e, to, lp.i), n), row * c->room);
        for (int i = 0; i < n; i += e->lanes) {
            int m = n - i < e->lanes ? n - i : e->lanes;
            zn_ll x = zn_load(e, zn_at(e, from, zn_addk(e, zn_mul(e, lp.i, pitch), row + i)), m);
            zn_store(e, zn_at(e, c->packed, zn_addk(e, at, i)), x, e->lanes);
        }
    }
    zn_loop_end(e, &lp, NULL);
}

/* f for each line of positions of a span, with the number of its first and how many they are. */
typedef void line_fn(zn_emit *e, const grad_w_ctx *c, zn_ll n, zn_ll h, zn_ll to, zn_ll length);
static void over_lines(zn_emit *e, const grad_w_ctx *c, const span *at, line_fn *f) {
    if (c->line) {
        f(e, c, at->p0, NULL, zn_i64(e, 0), zn_sub(e, at->p1, at->p0));
        return;
    }
    zn_loop ln, lh;
    zn_loop_begin(e, &ln, at->n0, at->n1, 1, 0, NULL);
    zn_loop_begin(e, &lh, at->h0, at->h1, 1, 0, NULL);
    f(e, c, ln.i, lh.i, place_of(e, c, at, ln.i, lh.i), zn_i64(e, c->ow));
    zn_loop_end(e, &lh, NULL);
    zn_loop_end(e, &ln, NULL);
}

static void pack_x_line(zn_emit *e, const grad_w_ctx *c, zn_ll n, zn_ll h, zn_ll to, zn_ll length) {
    pack_line(e, c, x_of(e, c, c->row0, n, h), to, length);
}

/* Vectors of the block of outputs. */
static void pack_dy_line(zn_emit *e, const grad_w_ctx *c, zn_ll n, zn_ll h, zn_ll to, zn_ll length) {
    int64_t width = (int64_t)c->o.vecs * e->lanes;
    zn_ll from = dy_of(e, c, c->o.first, n, h);
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), length, 1, 0, NULL);
    zn_ll x = zn_at(e, from, zn_mul(e, l.i, c->outputs)),
          y = zn_at(e, c->packed_dy, zn_mul(e, zn_add(e, to, l.i), width));
    for (int v = 0; v < c->o.vecs; v++)
        zn_store(e, zn_atk(e, y, (int64_t)v * e->lanes), zn_load(e, zn_atk(e, x, (int64_t)v * e->lanes), c->o.lanes[v]),
                 e->lanes);
    zn_loop_end(e, &l, NULL);
}

static span all_positions(zn_emit *e, const grad_w_ctx *c) {
    zn_ll none = zn_i64(e, 0);
    return (span){none, zn_i64(e, c->batch), none, zn_i64(e, c->oh), none, zn_i64(e, c->batch * c->positions)};
}

/* The unit's rows of x at the positions of a span, into pack_at, of which so many positions are behind one another. */
static void pack_x(zn_emit *e, grad_w_ctx *c, const span *at, int64_t positions) {
    c->packed = c->pack_at;
    c->room = positions + ZN_JOINED_SLACK;
    c->tile = zn_rows_of_tile(e, zn_most_vecs(e, c->outputs), c->rows); /* of one height only, however wide */
    over_lines(e, c, at, pack_x_line);
}
static void pack_dy(zn_emit *e, grad_w_ctx *c, const span *at, int64_t positions) {
    c->packed_dy = zn_atk(e, c->pack_at, zn_grad_w_packed_x(positions, c->rows));
    over_lines(e, c, at, pack_dy_line);
}

/* ---- chunks */

typedef struct chunk_ctx {
    grad_w_ctx *c;
    span at;
} chunk_ctx;

static void chunk_tile(zn_emit *e, zn_ll row, int rows, void *ctx) {
    const chunk_ctx *k = ctx;
    const grad_w_ctx *c = k->c;
    int vecs = c->o.vecs;
    zn_ll acc[ZN_TILE_ROWS * ZN_TILE_VECS], at = zn_mul(e, row_of_sums(e, c, row), c->outputs);
    at = zn_at(e, c->sums, zn_add(e, at, c->o.first));
    for (int i = 0; i < rows * vecs; i++)
        acc[i] = zn_tile_load(e, zn_atk(e, at, i / vecs * c->outputs + i % vecs * e->lanes), c->o.lanes[i % vecs]);
    chain(e, c, &k->at, row, rows, acc);
    for (int i = 0; i < rows * vecs; i++)
        zn_tile_store(e, zn_atk(e, at, i / vecs * c->outputs + i % vecs * e->lanes), acc[i], c->o.lanes[i % vecs]);
}

static void chunk_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    chunk_ctx *k = ctx;
    grad_w_ctx *c = k->c;
    c->o = (zn_out_block){zn_add(e, zn_mul(e, c->group, c->outputs / c->groups), first), vecs, {0}};
    zn_set_lanes(e, c->outputs / c->groups, known, vecs, c->o.lanes);
    c->tap = NULL;
    if (c->pack_at)
        pack_dy(e, c, &k->at, zn_grad_w_chunk(c->v, e->k->block));
    if (c->groups == 1 || c->each <= zn_tile_rows(e, vecs)) { /* in groups, whole taps */
        int rows = c->pack_at       ? c->tile
                   : c->groups == 1 ? zn_rows_of_tile(e, vecs, c->rows)
                                    : (int)(zn_tile_rows(e, vecs) / c->each * c->each);
        zn_for_row_tiles(e, c->rows, rows, chunk_tile, k);
        return;
    }
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, c->rows / c->each), 1, 0, NULL);
    c->tap = l.i;
    zn_for_row_tiles(e, c->each, zn_rows_of_tile(e, vecs, c->each), chunk_tile, k);
    zn_loop_end(e, &l, NULL);
}

static void chunk(zn_emit *e, chunk_ctx *k) {
    grad_w_ctx *c = k->c;
    zn_loop l;
    if (c->pack_at)
        pack_x(e, c, &k->at, zn_grad_w_chunk(c->v, e->k->block));
    if (c->groups > 1) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, c->groups), 1, 0, NULL);
        c->group = l.i;
    }
    zn_for_output_blocks(e, c->outputs / c->groups, chunk_block, k);
    if (c->groups > 1)
        zn_loop_end(e, &l, NULL);
}

/* Adds images first to last to the sums, by chunks of about `size` positions. Each tile asks for its operands of the
 * next chunk: they lie far apart, where no processor foresees them. */
static void chunks(zn_emit *e, grad_w_ctx *c, zn_ll first, zn_ll last, int64_t size) {
    chunk_ctx k = {.c = c};
    span *at = &k.at;
    zn_loop ln, lh;
    if (c->line) {
        zn_ll end = zn_mul(e, last, c->positions);
        c->x_next = size * c->inputs;
        c->dy_next = size * c->outputs;
        zn_loop_begin(e, &ln, zn_mul(e, first, c->positions), end, size, 0, NULL);
        at->p0 = ln.i;
        at->p1 = zn_min(e, zn_addk(e, ln.i, size), end);
        chunk(e, &k);
        zn_loop_end(e, &ln, NULL);
        return;
    }
    int64_t images = size / c->positions, parts = (c->positions + size - 1) / size, rows = (c->oh + parts - 1) / parts;
    const zn_binding *x = &e->k->bindings.at[c->x], *dy = &e->k->bindings.at[c->dy];
    images = images < c->batch / c->shards ? images : c->batch / c->shards;
    images = images > 1 ? images : 1;
    if (rows < c->oh) {
        c->x_next = rows * c->stride[0] * zn_layout_row(&x->type, &x->layout);
        c->dy_next = rows * zn_layout_row(&dy->type, &dy->layout);
    } else {
        c->x_next = images * zn_layout_image(&x->type, &x->layout);
        c->dy_next = images * zn_layout_image(&dy->type, &dy->layout);
    }
    zn_loop_begin(e, &ln, first, last, images, 0, NULL);
    at->n0 = ln.i;
    at->n1 = images > 1 ? zn_min(e, zn_addk(e, ln.i, images), last) : zn_addk(e, ln.i, 1);
    if (rows < c->oh) {
        zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, c->oh), rows, 0, NULL);
        at->h0 = lh.i;
        at->h1 = c->oh % rows ? zn_min(e, zn_addk(e, lh.i, rows), zn_i64(e, c->oh)) : zn_addk(e, lh.i, rows);
        chunk(e, &k);
        zn_loop_end(e, &lh, NULL);
    } else {
        at->h0 = zn_i64(e, 0);
        at->h1 = zn_i64(e, c->oh);
        chunk(e, &k);
    }
    zn_loop_end(e, &ln, NULL);
}

/* Zeros n floats. */
static void clear(zn_emit *e, zn_ll at, int64_t n) {
    int64_t whole = n / e->lanes * e->lanes;
    zn_loop l;
    if (whole) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        zn_store(e, zn_at(e, at, l.i), zn_vconst(e, 0), e->lanes);
        zn_loop_end(e, &l, NULL);
    }
    if (n > whole)
        zn_store(e, zn_atk(e, at, whole), zn_vconst(e, 0), (int)(n - whole));
}

static grad_w_ctx shape_of(zn_emit *e, int x_binding, int dy_binding, int64_t shards) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->operand[0]->type, *dy = &v->operand[1]->type;
    grad_w_ctx c = {.v = v, .x = x_binding, .dy = dy_binding, .shards = shards, .batch = x->dim[0]};
    c.inputs = zn_type_channels(x);
    c.outputs = zn_type_channels(dy);
    c.groups = zn_conv_groups(v);
    c.group = zn_i64(e, 0);
    c.each = c.inputs / c.groups;
    if (v->op == ZN_OP_MATMUL) {
        c.line = true;
        c.positions = c.oh = c.ow = 1;
        c.kwc = c.inputs;
        return c;
    }
    c.stride = zn_attr_of(v, CONV_GRAD_W, stride)->v;
    c.pad = zn_attr_of(v, CONV_GRAD_W, pad)->v;
    c.oh = dy->dim[1];
    c.ow = dy->dim[2];
    c.kwc = v->type.dim[1] * c.each;
    c.positions = c.oh * c.ow;
    c.line = v->type.dim[0] == 1 && v->type.dim[1] == 1 && c.stride[0] == 1 && c.stride[1] == 1 && x->dim[1] == c.oh &&
             x->dim[2] == c.ow && zn_layout_plain(&e->k->bindings.at[c.x].layout) &&
             zn_layout_plain(&e->k->bindings.at[c.dy].layout);
    return c;
}

/* Rows of dy that the kernel row meets inside of the map: in low maps many lie outside. */
static void set_kernel_row(zn_emit *e, grad_w_ctx *c, zn_ll kh) {
    const zn_value *v = c->v;
    c->kh = kh;
    if (c->line || !zn_conv_skips_rows(v))
        return;
    int64_t size = v->operand[0]->type.dim[1], stride = c->stride[0];
    zn_ll above = zn_max(e, zn_i64(e, 0), zn_sub(e, zn_i64(e, c->pad[0]), kh));
    c->h_lo = LLVMBuildUDiv(e->b, zn_addk(e, above, stride - 1), zn_i64(e, stride), "");
    zn_ll below = zn_max(e, zn_i64(e, 0), zn_sub(e, zn_i64(e, size + c->pad[0]), kh));
    c->h_hi = LLVMBuildUDiv(e->b, zn_addk(e, below, stride - 1), zn_i64(e, stride), "");
    c->h_hi = zn_min(e, c->h_hi, zn_i64(e, c->oh));
}

/* Calls body for the unit's block of rows of (kw, c): a whole one, or the rest. */
typedef void rows_fn(zn_emit *e, grad_w_ctx *c, zn_ll shard);
static void for_rows(zn_emit *e, grad_w_ctx *c, zn_ll block, zn_ll shard, rows_fn *body) {
    int64_t unit = e->k->unit, whole = c->kwc / unit;
    zn_if s;
    c->row0 = zn_mul(e, block, unit);
    if (whole) {
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSLT, block, zn_i64(e, whole), ""));
        c->rows = unit;
        body(e, c, shard);
        zn_if_end(e, &s);
    }
    if (c->kwc % unit) {
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, block, zn_i64(e, whole), ""));
        c->rows = c->kwc % unit;
        body(e, c, shard);
        zn_if_end(e, &s);
    }
}

/* ---- partial sums of one shard */

static void partial_rows(zn_emit *e, grad_w_ctx *c, zn_ll shard) {
    zn_ll row = zn_add(e, zn_mul(e, zn_add(e, zn_mul(e, shard, c->v->type.dim[0]), c->kh), c->kwc), c->row0);
    c->sums = zn_at(e, e->base[zn_binding_temp(e, "partial", 0)], zn_mul(e, row, c->outputs));
    clear(e, c->sums, c->rows * c->outputs);
    c->pack_at = zn_grad_w_packs(c->v) ? e->scratch : NULL;
    chunks(e, c, zn_shard_first(e, c->batch, c->shards, shard),
           zn_shard_first(e, c->batch, c->shards, zn_addk(e, shard, 1)), e->k->block);
}

void zn_emit_conv_grad_w(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int64_t shards = e->k->bindings.at[zn_binding_temp(e, "partial", 0)].type.dim[0], kh = v->type.dim[0];
    grad_w_ctx c = shape_of(e, 0, v->operand[0] == v->operand[1] ? 0 : 1, shards);
    int64_t blocks = (c.kwc + e->k->unit - 1) / e->k->unit;
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll block = LLVMBuildURem(e->b, u.i, zn_i64(e, blocks), ""),
          rest = LLVMBuildUDiv(e->b, u.i, zn_i64(e, blocks), "");
    set_kernel_row(e, &c, LLVMBuildURem(e->b, rest, zn_i64(e, kh), ""));
    for_rows(e, &c, block, LLVMBuildUDiv(e->b, rest, zn_i64(e, kh), ""), partial_rows);
    zn_loop_end(e, &u, NULL);
}

/* ---- gradients by weights that join their shards on the spot: a unit is a block of rows of one kernel row */

/* Shards but the last wait in slots of the scratch memory; then all are joined in the tree. */
static void joined_tile(zn_emit *e, zn_ll row, int rows, void *ctx) {
    grad_w_ctx *c = ctx;
    zn_ll acc[ZN_TILE_ROWS * ZN_TILE_VECS], slot[ZN_MAX_SHARDS];
    int vecs = c->o.vecs, n = rows * vecs;
    zn_ll out = zn_add(e, zn_add(e, zn_mul(e, c->kh, c->kwc), c->row0), row), packed = c->packed, dy = c->packed_dy;
    out = zn_add(e, zn_mul(e, out, c->outputs), c->o.first);
    /* Weights and state come from far away: they are asked for row by row, in time. */
    int64_t each = (2 * rows + c->shards - 1) / c->shards;
    for (int64_t s = 0; s < c->shards; s++) {
        for (int64_t r = s * each; r < (s + 1) * each && r < rows; r++)
            for (int v = 0; v < vecs; v++) {
                c->p.offset = zn_addk(e, out, r * c->outputs + (int64_t)v * e->lanes);
                zn_prefetch_values(e, &c->p);
            }
        int64_t from = s * c->batch / c->shards, to = (s + 1) * c->batch / c->shards;
        span at = {.n0 = zn_i64(e, from), .n1 = zn_i64(e, to), .h0 = zn_i64(e, 0), .h1 = zn_i64(e, c->oh)};
        at.p0 = zn_i64(e, from * c->positions);
        at.p1 = zn_i64(e, to * c->positions);
        if (packed)
            c->packed = zn_at(e, packed, zn_i64(e, from * c->positions * rows));
        if (dy)
            c->packed_dy = zn_at(e, dy, zn_i64(e, from * c->positions * vecs * e->lanes));
        for (int i = 0; i < n; i++)
            acc[i] = zn_tile_zero(e, c->o.lanes[i % vecs]);
        chain(e, c, &at, row, rows, acc);
        for (int i = 0; i < n; i++) {
            acc[i] = zn_tile_widen(e, acc[i]);
            if (s + 1 < c->shards)
                zn_store(e, zn_atk(e, e->scratch, (s * n + i) * e->lanes), acc[i], e->lanes);
        }
    }
    c->packed = packed;
    c->packed_dy = dy;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) {
            int i = r * vecs + v;
            for (int64_t s = 0; s + 1 < c->shards; s++)
                slot[s] = zn_load(e, zn_atk(e, e->scratch, (s * n + i) * e->lanes), e->lanes);
            slot[c->shards - 1] = acc[i];
            c->p.offset = zn_addk(e, out, r * c->outputs + (int64_t)v * e->lanes);
            c->p.lanes = c->o.lanes[v];
            zn_emit_values(e, &c->p, &c->inv, zn_tree_sum(e, slot, c->shards));
        }
}

/* Outputs from which it pays to copy dy, too. */
enum { WIDE = 128 };

static void joined_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    grad_w_ctx *c = ctx;
    c->o = (zn_out_block){first, vecs, {0}};
    zn_set_lanes(e, c->outputs, known, vecs, c->o.lanes);
    if (c->pack_at && c->outputs >= WIDE) {
        span all = all_positions(e, c);
        pack_dy(e, c, &all, e->k->block);
    }
    zn_for_row_tiles(e, c->rows, c->tile ? c->tile : zn_rows_of_tile(e, vecs, c->rows), joined_tile, c);
}

/* The sums of all shards are whole: joined, n floats at `out` of the result, in vectors. */
static void join_vector(zn_emit *e, grad_w_ctx *c, zn_ll out, zn_ll i, int lanes) {
    zn_ll slot[ZN_MAX_SHARDS];
    for (int64_t s = 0; s < c->shards; s++)
        slot[s] = zn_load(e, zn_at(e, e->scratch, zn_addk(e, i, s * c->rows * c->outputs)), lanes);
    c->p.offset = zn_add(e, out, i);
    c->p.lanes = lanes;
    zn_emit_values(e, &c->p, &c->inv, zn_tree_sum(e, slot, c->shards));
}

/* Chunk by chunk, shards one after the other; then they are joined. */
static void joined_chunks(zn_emit *e, grad_w_ctx *c) {
    int64_t n = c->rows * c->outputs, whole = n / e->lanes * e->lanes;
    zn_loop l;
    clear(e, e->scratch, c->shards * n);
    c->pack_at = zn_grad_w_packs(c->v) ? zn_atk(e, e->scratch, c->shards * e->k->unit * c->outputs) : NULL;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, c->shards), 1, 0, NULL);
    c->sums = zn_at(e, e->scratch, zn_mul(e, l.i, n));
    chunks(e, c, zn_shard_first(e, c->batch, c->shards, l.i),
           zn_shard_first(e, c->batch, c->shards, zn_addk(e, l.i, 1)), e->k->block);
    zn_loop_end(e, &l, NULL);
    zn_ll out = zn_mul(e, zn_add(e, zn_mul(e, c->kh, c->kwc), c->row0), c->outputs);
    if (whole) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        join_vector(e, c, out, l.i, e->lanes);
        zn_loop_end(e, &l, NULL);
    }
    if (whole < n)
        join_vector(e, c, out, zn_i64(e, whole), (int)(n - whole));
}

/* All outputs of the unit's rows. */
static void joined_rows(zn_emit *e, grad_w_ctx *c, zn_ll shard) {
    (void)shard;
    c->packed = c->packed_dy = c->pack_at = NULL;
    c->tile = 0;
    if (e->k->block && e->k->block < c->batch * c->positions) {
        joined_chunks(e, c);
        return;
    }
    if (e->k->block) {
        span all = all_positions(e, c);
        c->pack_at = zn_atk(e, e->scratch, c->shards * ZN_JOINED_SLOT);
        pack_x(e, c, &all, e->k->block);
    }
    zn_for_output_blocks(e, c->outputs, joined_block, c);
}

void zn_emit_grad_w_joined(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int64_t shards = v->op == ZN_OP_MATMUL ? zn_attr_of(v, MATMUL, shards)->i : zn_attr_of(v, CONV_GRAD_W, shards)->i;
    grad_w_ctx c =
        shape_of(e, zn_binding_of(e, ZN_BIND_IN, v->operand[0]), zn_binding_of(e, ZN_BIND_IN, v->operand[1]), shards);
    int64_t blocks = (c.kwc + e->k->unit - 1) / e->k->unit;
    zn_point_flat(e, &c.p);
    zn_hoist(e, &c.inv, zn_i64(e, 0), e->lanes);
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll block = LLVMBuildURem(e->b, u.i, zn_i64(e, blocks), "");
    set_kernel_row(e, &c, LLVMBuildUDiv(e->b, u.i, zn_i64(e, blocks), ""));
    for_rows(e, &c, block, NULL, joined_rows);
    zn_loop_end(e, &u, NULL);
}
