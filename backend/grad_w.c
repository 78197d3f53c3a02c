/* Register-blocked gradients by weights, of convolutions and matrix products: partial sums of one shard, or all shards
 * one after the other and joined on the spot. Tiles as in conv.c: rows of (kw, c) by vectors of outputs; each is one
 * chain of fused multiply-adds over the positions of its shard. */
#include "backend/tile.h"

/* ---- gradients by weights: partial sums of one shard */

typedef struct grad_w_ctx {
    const zn_value *v;
    int x, dy;     /* bindings */
    zn_ll partial; /* of this shard and kernel row: [kwc][outputs] */
    int64_t outputs, channels;
    zn_ll row0; /* first row of (kw, c) in this unit */
    int64_t rows;
    zn_ll first, last; /* images of the shard */
    zn_ll image, kh;
    const int64_t *stride, *pad;
    int64_t oh, ow;
    zn_out_block o;
} grad_w_ctx;

/* acc += x[position][row .. row + rows) dy[position][first ...] over positions [lo, hi) with the given pitches. */
static void positions(zn_emit *e, zn_ll x, zn_ll dy, zn_ll lo, zn_ll hi, int64_t x_pitch, int64_t dy_pitch, int rows,
                      int vecs, const int *lanes, zn_ll *acc) {
    int n = rows * vecs;
    int64_t a, b;
    int unroll = zn_is_const(lo, &a) && zn_is_const(hi, &b) ? zn_unroll_of(b - a) : 1;
    unroll = unroll == 4 ? 2 : unroll;
    zn_loop l;
    zn_loop_begin(e, &l, lo, hi, unroll, n, acc);
    for (int i = 0; i < n; i++)
        acc[i] = l.v[i];
    zn_ll xp = zn_at(e, x, zn_mul(e, l.i, x_pitch)), dp = zn_at(e, dy, zn_mul(e, l.i, dy_pitch));
    for (int u = 0; u < unroll; u++) {
        zn_ll d[ZN_TILE_VECS];
        for (int v = 0; v < vecs; v++)
            d[v] = zn_load(e, zn_atk(e, dp, u * dy_pitch + v * e->lanes), lanes[v]);
        for (int r = 0; r < rows; r++) {
            zn_ll s = zn_load_splat(e, zn_atk(e, xp, u * x_pitch + r));
            for (int v = 0; v < vecs; v++)
                acc[r * vecs + v] = zn_fma(e, d[v], s, acc[r * vecs + v]);
        }
    }
    zn_loop_end(e, &l, acc);
    for (int i = 0; i < n; i++)
        acc[i] = l.v[i];
}

static void grad_w_tile(zn_emit *e, zn_ll row, int rows, void *ctx) {
    grad_w_ctx *c = ctx;
    int vecs = c->o.vecs, n = rows * vecs;
    const int *lanes = c->o.lanes;
    row = zn_add(e, c->row0, row);
    zn_ll acc[ZN_TILE_ROWS * ZN_TILE_VECS],
        at = zn_at(e, c->partial, zn_add(e, zn_mul(e, row, c->outputs), c->o.first));
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++)
            acc[r * vecs + v] = zn_load(e, zn_atk(e, at, r * c->outputs + v * e->lanes), lanes[v]);
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, c->oh), 1, n, acc);
    for (int i = 0; i < n; i++)
        acc[i] = l.v[i];
    zn_ll in_row = zn_add(e, zn_addk(e, zn_mul(e, l.i, c->stride[0]), -c->pad[0]), c->kh);
    zn_ll x = zn_at(e, zn_row_ptr(e, c->x, c->image, in_row), zn_addk(e, row, -c->pad[1] * c->channels));
    zn_ll dy = zn_at(e, zn_row_ptr(e, c->dy, c->image, l.i), c->o.first);
    positions(e, x, dy, zn_i64(e, 0), zn_i64(e, c->ow), c->stride[1] * c->channels, c->outputs, rows, vecs, lanes, acc);
    zn_loop_end(e, &l, acc);
    for (int i = 0; i < n; i++)
        acc[i] = l.v[i];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++)
            zn_store(e, zn_atk(e, at, r * c->outputs + v * e->lanes), acc[r * vecs + v], lanes[v]);
}

static void grad_w_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    grad_w_ctx *c = ctx;
    c->o = (zn_out_block){first, vecs, {0}};
    zn_set_lanes(e, c->outputs, known, vecs, c->o.lanes);
    zn_for_row_tiles(e, c->rows, zn_rows_of_tile(e, vecs, c->rows), grad_w_tile, c);
}

/* The images of the shard, for `rows` rows of (kw, c) from row0. */
static void grad_w_rows(zn_emit *e, grad_w_ctx *c, int64_t rows) {
    c->rows = rows;
    zn_loop lz, li;
    int64_t n = rows * c->outputs, whole = n / e->lanes * e->lanes;
    zn_ll at = zn_at(e, c->partial, zn_mul(e, c->row0, c->outputs));
    if (whole) {
        zn_loop_begin(e, &lz, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        zn_store(e, zn_at(e, at, lz.i), zn_vconst(e, 0), e->lanes);
        zn_loop_end(e, &lz, NULL);
    }
    if (n > whole)
        zn_store(e, zn_atk(e, at, whole), zn_vconst(e, 0), (int)(n - whole));
    zn_loop_begin(e, &li, c->first, c->last, 1, 0, NULL);
    c->image = li.i;
    zn_for_output_blocks(e, c->outputs, grad_w_block, c);
    zn_loop_end(e, &li, NULL);
}

void zn_emit_conv_grad_w(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    grad_w_ctx c = {.v = v, .x = 0, .dy = 1};
    if (v->operand[0] == v->operand[1])
        c.dy = 0;
    const zn_type *x = &v->operand[0]->type, *dy = &v->operand[1]->type;
    int64_t batch = x->dim[0], kh = v->type.dim[0], unit = e->k->unit, kwc;
    int temp = zn_binding_temp(e, "partial", 0);
    int64_t shards = e->k->bindings.at[temp].type.dim[0];
    c.channels = zn_type_channels(x);
    c.outputs = zn_type_channels(dy);
    kwc = v->type.dim[1] * c.channels;
    c.stride = zn_attr_of(v, CONV_GRAD_W, stride)->v;
    c.pad = zn_attr_of(v, CONV_GRAD_W, pad)->v;
    c.oh = dy->dim[1];
    c.ow = dy->dim[2];
    int64_t blocks = (kwc + unit - 1) / unit;
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll block = LLVMBuildURem(e->b, u.i, zn_i64(e, blocks), ""),
          rest = LLVMBuildUDiv(e->b, u.i, zn_i64(e, blocks), "");
    c.kh = LLVMBuildURem(e->b, rest, zn_i64(e, kh), "");
    zn_ll shard = LLVMBuildUDiv(e->b, rest, zn_i64(e, kh), "");
    c.first = LLVMBuildUDiv(e->b, zn_mul(e, shard, batch), zn_i64(e, shards), "");
    c.last = LLVMBuildUDiv(e->b, zn_mul(e, zn_addk(e, shard, 1), batch), zn_i64(e, shards), "");
    c.row0 = zn_mul(e, block, unit);
    zn_ll at = zn_add(e, zn_mul(e, shard, kh * kwc * c.outputs), zn_mul(e, c.kh, kwc * c.outputs));
    c.partial = zn_at(e, e->base[temp], at);
    int64_t rest_rows = kwc % unit;
    if (kwc >= unit) {
        zn_if s;
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSLT, block, zn_i64(e, kwc / unit), ""));
        grad_w_rows(e, &c, unit);
        zn_if_end(e, &s);
    }
    if (rest_rows) {
        zn_if s;
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, block, zn_i64(e, kwc / unit), ""));
        grad_w_rows(e, &c, rest_rows);
        zn_if_end(e, &s);
    }
    zn_loop_end(e, &u, NULL);
}

/* ---- gradients by weights that join their shards on the spot: a unit is a block of rows of one kernel row */

typedef struct joined_ctx {
    const zn_value *v;
    int x, dy; /* bindings */
    int64_t batch, inputs, outputs, shards, kwc;
    bool line;         /* positions of a shard lie in one line: products, and 1x1 convolutions without halos */
    int64_t positions; /* of one sample or image, in that line */
    const int64_t *stride, *pad;
    int64_t oh, ow;
    zn_ll kh, row0; /* of the unit */
    int64_t rows;
    zn_ll packed; /* the unit's rows of x for all positions, tile by tile: [position][rows of the tile]; NULL */
    zn_out_block o;
    zn_invariants inv;
    zn_point p;
} joined_ctx;

/* x and dy of one line of positions: image n, row h of dy; of a product: sample n. */
static zn_ll joined_x(zn_emit *e, const joined_ctx *c, zn_ll row, zn_ll n, zn_ll h) {
    if (c->line)
        return zn_at(e, e->base[c->x], zn_add(e, zn_mul(e, n, c->positions * c->inputs), row));
    zn_ll in_row = zn_add(e, zn_addk(e, zn_mul(e, h, c->stride[0]), -c->pad[0]), c->kh);
    return zn_at(e, zn_row_ptr(e, c->x, n, in_row), zn_addk(e, row, -c->pad[1] * c->inputs));
}
static zn_ll joined_dy(zn_emit *e, const joined_ctx *c, zn_ll first, zn_ll n, zn_ll h) {
    if (c->line)
        return zn_at(e, e->base[c->dy], zn_add(e, zn_mul(e, n, c->positions * c->outputs), first));
    return zn_at(e, zn_row_ptr(e, c->dy, n, h), first);
}

/* The chain of shard s for one tile: acc from zero. `row` counts from the first of the unit. */
static void joined_chain(zn_emit *e, const joined_ctx *c, int64_t s, zn_ll row, int rows, zn_ll *acc) {
    int n = rows * c->o.vecs;
    int64_t from = s * c->batch / c->shards, to = (s + 1) * c->batch / c->shards;
    int64_t lines = c->line ? 1 : c->oh, length = c->line ? (to - from) * c->positions : c->ow;
    int64_t x_pitch = c->packed ? rows : c->line ? c->inputs : c->stride[1] * c->inputs;
    for (int i = 0; i < n; i++)
        acc[i] = zn_vconst(e, 0);
    zn_loop ln, lh;
    zn_loop_begin(e, &ln, zn_i64(e, from), zn_i64(e, c->line ? from + 1 : to), 1, n, acc);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, lines), 1, n, ln.v);
    for (int i = 0; i < n; i++)
        acc[i] = lh.v[i];
    zn_ll x;
    if (c->packed) {
        zn_ll at = zn_add(e, zn_mul(e, ln.i, c->positions), zn_mul(e, lh.i, c->ow));
        at = zn_add(e, zn_mul(e, row, c->batch * c->positions), zn_mul(e, at, rows));
        x = zn_at(e, c->packed, at);
    } else {
        x = joined_x(e, c, zn_add(e, c->row0, row), ln.i, lh.i);
    }
    positions(e, x, joined_dy(e, c, c->o.first, ln.i, lh.i), zn_i64(e, 0), zn_i64(e, length), x_pitch, c->outputs, rows,
              c->o.vecs, c->o.lanes, acc);
    zn_loop_end(e, &lh, acc);
    zn_loop_end(e, &ln, lh.v);
    for (int i = 0; i < n; i++)
        acc[i] = ln.v[i];
}

/* The unit's rows of x into the scratch memory: where they lie, a tile's are far apart, often by a power of two. */
static void joined_pack(zn_emit *e, const joined_ctx *c, int tile) {
    zn_loop ln, lp;
    int64_t lines = c->line ? 1 : c->oh, length = c->line ? c->positions : c->ow;
    int64_t pitch = c->line ? c->inputs : c->stride[1] * c->inputs;
    zn_loop_begin(e, &ln, zn_i64(e, 0), zn_i64(e, c->batch), 1, 0, NULL);
    for (int64_t h = 0; h < lines; h++) {
        zn_ll from = joined_x(e, c, c->row0, ln.i, zn_i64(e, h));
        zn_ll to = zn_addk(e, zn_mul(e, ln.i, c->positions), h * c->ow);
        zn_loop_begin(e, &lp, zn_i64(e, 0), zn_i64(e, length), 1, 0, NULL);
        for (int64_t row = 0; row < c->rows; row += tile) {
            int n = (int)(c->rows - row < tile ? c->rows - row : tile);
            zn_ll at = zn_addk(e, zn_mul(e, zn_add(e, to, lp.i), n), row * c->batch * c->positions);
            for (int i = 0; i < n; i += e->lanes) {
                int m = n - i < e->lanes ? n - i : e->lanes;
                zn_ll x = zn_load(e, zn_at(e, from, zn_addk(e, zn_mul(e, lp.i, pitch), row + i)), m);
                zn_store(e, zn_at(e, c->packed, zn_addk(e, at, i)), x, m);
            }
        }
        zn_loop_end(e, &lp, NULL);
    }
    zn_loop_end(e, &ln, NULL);
}

/* Shards but the last wait in slots of the scratch memory; then all are joined in the tree. */
static void joined_tile(zn_emit *e, zn_ll row, int rows, void *ctx) {
    joined_ctx *c = ctx;
    zn_ll acc[ZN_TILE_ROWS * ZN_TILE_VECS], slot[ZN_MAX_SHARDS];
    int vecs = c->o.vecs, n = rows * vecs;
    zn_ll out = zn_add(e, zn_add(e, zn_mul(e, c->kh, c->kwc), c->row0), row);
    out = zn_add(e, zn_mul(e, out, c->outputs), c->o.first);
    /* Weights and state come from far away: they are asked for row by row, in time. */
    int64_t each = (2 * rows + c->shards - 1) / c->shards;
    for (int64_t s = 0; s < c->shards; s++) {
        for (int64_t r = s * each; r < (s + 1) * each && r < rows; r++)
            for (int v = 0; v < vecs; v++) {
                c->p.offset = zn_addk(e, out, r * c->outputs + (int64_t)v * e->lanes);
                zn_prefetch_values(e, &c->p);
            }
        joined_chain(e, c, s, row, rows, acc);
        for (int i = 0; i < n && s + 1 < c->shards; i++)
            zn_store(e, zn_atk(e, e->scratch, (s * n + i) * e->lanes), acc[i], e->lanes);
    }
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

static void joined_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    joined_ctx *c = ctx;
    c->o = (zn_out_block){first, vecs, {0}};
    zn_set_lanes(e, c->outputs, known, vecs, c->o.lanes);
    zn_for_row_tiles(e, c->rows, zn_rows_of_tile(e, c->packed ? 2 : vecs, c->rows), joined_tile, c);
}

static joined_ctx joined_shape(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *x = &v->operand[0]->type, *dy = &v->operand[1]->type;
    joined_ctx c = {.v = v, .batch = x->dim[0], .inputs = zn_type_channels(x), .outputs = zn_type_channels(dy)};
    c.x = zn_binding_of(e, ZN_BIND_IN, v->operand[0]);
    c.dy = zn_binding_of(e, ZN_BIND_IN, v->operand[1]);
    if (v->op == ZN_OP_MATMUL) {
        c.shards = zn_attr_of(v, MATMUL, shards)->i;
        c.line = true;
        c.positions = 1;
        c.kwc = c.inputs;
        return c;
    }
    c.shards = zn_attr_of(v, CONV_GRAD_W, shards)->i;
    c.stride = zn_attr_of(v, CONV_GRAD_W, stride)->v;
    c.pad = zn_attr_of(v, CONV_GRAD_W, pad)->v;
    c.oh = dy->dim[1];
    c.ow = dy->dim[2];
    c.kwc = v->type.dim[1] * c.inputs;
    c.positions = c.oh * c.ow;
    c.line = v->type.dim[0] == 1 && v->type.dim[1] == 1 && c.stride[0] == 1 && c.stride[1] == 1 && x->dim[1] == c.oh &&
             x->dim[2] == c.ow && zn_layout_plain(&e->k->bindings.at[c.x].layout) &&
             zn_layout_plain(&e->k->bindings.at[c.dy].layout);
    return c;
}

/* All outputs of the unit's rows. */
static void joined_rows(zn_emit *e, joined_ctx *c) {
    c->packed = NULL;
    if (e->k->block) { /* tiles of one height only, however wide */
        c->packed = zn_atk(e, e->scratch, c->shards * 32 * e->lanes);
        joined_pack(e, c, zn_rows_of_tile(e, 2, c->rows));
    }
    zn_for_output_blocks(e, c->outputs, joined_block, c);
}

void zn_emit_grad_w_joined(zn_emit *e) {
    joined_ctx c = joined_shape(e);
    int64_t unit = e->k->unit, blocks = (c.kwc + unit - 1) / unit, whole = c.kwc / unit;
    zn_point_flat(e, &c.p);
    zn_hoist(e, &c.inv, zn_i64(e, 0), e->lanes);
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll block = LLVMBuildURem(e->b, u.i, zn_i64(e, blocks), "");
    c.kh = LLVMBuildUDiv(e->b, u.i, zn_i64(e, blocks), "");
    c.row0 = zn_mul(e, block, unit);
    zn_if s;
    if (whole) {
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSLT, block, zn_i64(e, whole), ""));
        c.rows = unit;
        joined_rows(e, &c);
        zn_if_end(e, &s);
    }
    if (c.kwc % unit) {
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, block, zn_i64(e, whole), ""));
        c.rows = c.kwc % unit;
        joined_rows(e, &c);
        zn_if_end(e, &s);
    }
    zn_loop_end(e, &u, NULL);
}
