/* Winograd gradient by weights, summed over tiles in the transformed domain (wino.h has the layout of what is
 * transformed). */
#include "backend/tile.h"
#include "backend/wino.h"

/* dU[u][c ... rows][o ... vecs] of one block of channels, summed over the tiles at hand. */
typedef struct sum_job {
    const zn_wino *x;
    zn_ll u;            /* transformed weight */
    zn_ll first, count; /* its positions */
    zn_ll row, rows;    /* the tile's first channel in V; how many tiles */
    zn_ll base, c;      /* dU, and the tile's first channel there */
    int64_t channels;   /* in dU */
    zn_ll adds;         /* a mask of lanes: whether to what is there; NULL: no */
    const zn_ahead *soon;
    zn_ll call; /* of `soon`: the first of weight u */
} sum_job;

/* dU [u][block of outputs][channels][width]: of channel c and output o, the first of a block of `vecs` vectors. */
static zn_ll sums_at(zn_emit *e, const zn_wino *x, zn_ll base, zn_ll u, zn_ll c, zn_ll o, int64_t channels, int vecs) {
    zn_ll in_block = zn_mul(e, c, (int64_t)vecs * e->lanes);
    return zn_at(e, base, zn_add(e, zn_mul(e, u, x->ku), zn_add(e, zn_mul(e, o, channels), in_block)));
}

/* acc += V^T Z over tiles [lo, hi), at a and b, so many of them in a round. */
static void over_tiles_by(zn_emit *e, const zn_wino *x, zn_ll lo, zn_ll hi, int unroll, zn_ll a, zn_ll b, int vecs,
                          zn_ll *acc) {
    int n = x->rows * vecs;
    zn_loop lt;
    zn_loop_begin(e, &lt, lo, hi, unroll, n, acc);
    zn_ll at = zn_at(e, a, zn_mul(e, lt.i, e->lanes)), bt = zn_at(e, b, zn_mul(e, lt.i, e->lanes));
    for (int i = 0; i < n; i++)
        acc[i] = lt.v[i];
    for (int q = 0; q < unroll; q++) {
        zn_ll z[3];
        for (int r = 0; r < vecs; r++)
            z[r] = zn_load(e, zn_atk(e, bt, (r * x->block + q) * e->lanes), e->lanes);
        for (int i = 0; i < x->rows; i++) {
            int64_t group = i / e->lanes; /* of lanes: rows may be more than one has */
            zn_ll s = zn_load_splat(e, zn_atk(e, at, (group * x->block + q - group) * e->lanes + i));
            for (int r = 0; r < vecs; r++)
                acc[i * vecs + r] = zn_fma(e, z[r], s, acc[i * vecs + r]);
        }
    }
    zn_loop_end(e, &lt, acc);
    for (int i = 0; i < n; i++)
        acc[i] = lt.v[i];
}

/* acc += V^T Z over those tiles at hand that have position k, at a and b; V is [channels / lanes][tiles][lanes] here.
 */
static void over_tiles(zn_emit *e, const zn_wino *x, zn_ll k, zn_ll a, zn_ll b, int vecs, zn_ll *acc) {
    enum { ROUND = 4 };
    int64_t known;
    zn_ll lo, hi;
    zn_wino_range(e, x, k, &lo, &hi);
    if (zn_is_const(hi, &known)) {
        over_tiles_by(e, x, lo, hi, zn_unroll_of(known), a, b, vecs, acc);
        return;
    }
    zn_ll rest = zn_wino_rem(e, LLVMBuildNSWSub(e->b, hi, lo, ""), ROUND), whole = LLVMBuildNSWSub(e->b, hi, rest, "");
    over_tiles_by(e, x, lo, whole, ROUND, a, b, vecs, acc);
    over_tiles_by(e, x, whole, hi, 1, a, b, vecs, acc);
}

/* dU[u][c ... rows][o ... vecs] (+)= the sum of V[k]^T Z[k] over the positions k of weight u and the tiles at hand. */
static void accumulate(zn_emit *e, zn_ll o, int vecs, const sum_job *j) {
    const zn_wino *x = j->x;
    int n = x->rows * vecs;
    int64_t once;
    zn_ll acc[ZN_MAX_CARRIED], to = sums_at(e, x, j->base, j->u, j->c, o, j->channels, vecs);
    zn_ll in_block = zn_wino_rem(e, j->row, e->lanes), whole = LLVMBuildNSWSub(e->b, j->row, in_block, "");
    zn_ll a = zn_at(e, x->v, zn_add(e, zn_mul(e, j->first, x->kv), zn_add(e, zn_mul(e, whole, x->block), in_block)));
    zn_ll b = zn_at(e, x->m, zn_add(e, zn_mul(e, j->first, x->km), zn_mul(e, o, x->block)));
    for (int i = 0; i < n; i++)
        acc[i] = zn_vconst(e, 0);
    for (int i = 0; j->adds && i < n; i++)
        acc[i] = zn_select(e, j->adds, zn_load(e, zn_atk(e, to, (int64_t)i * e->lanes), e->lanes), acc[i]);
    for (int i = 0; j->adds && i < n * e->lanes / 16; i++) /* the next channels' sums, which follow in memory */
        zn_prefetch(e, to, zn_i64(e, (int64_t)n * e->lanes + i * 16), ZN_NEAR, true);
    zn_loop lr;
    bool many = !zn_is_const(j->count, &once);
    if (many) {
        zn_loop_begin(e, &lr, zn_i64(e, 0), j->count, 1, n, acc);
        a = zn_at(e, a, zn_mul(e, lr.i, x->kv));
        b = zn_at(e, b, zn_mul(e, lr.i, x->km));
        for (int i = 0; i < n; i++)
            acc[i] = lr.v[i];
    }
    over_tiles(e, x, many ? zn_add(e, j->first, lr.i) : j->first, a, b, vecs, acc);
    if (many)
        zn_loop_end(e, &lr, acc);
    for (int i = 0; i < n; i++)
        zn_store(e, zn_atk(e, to, (int64_t)i * e->lanes), many ? lr.v[i] : acc[i], e->lanes);
}

/* One block of outputs and all channels: Z's part of the block stays in the first cache. */
static void sum_outputs(zn_emit *e, zn_ll o, int vecs, int last_lanes, void *ctx) {
    const sum_job *all = ctx;
    sum_job j = *all;
    zn_loop lc;
    (void)last_lanes;
    if (all->soon)
        j.call = zn_add(e, all->call, LLVMBuildNSWMul(e->b, zn_wino_block_index(e, o), all->rows, ""));
    zn_loop_begin(e, &lc, zn_i64(e, 0), all->rows, 1, 0, NULL);
    zn_ll channel = zn_mul(e, lc.i, all->x->rows);
    j.row = zn_add(e, all->row, channel);
    j.c = zn_add(e, all->c, channel);
    if (all->soon)
        zn_wino_issue(e, all->soon, zn_add(e, j.call, lc.i));
    accumulate(e, o, vecs, &j);
    zn_loop_end(e, &lc, NULL);
}

/* ---- shards joined and transformed back */

typedef struct joined {
    const zn_wino *x;
    zn_ll sums;           /* dU of shard 0 */
    zn_ll row;            /* channel of dU */
    int64_t channels;     /* of dU */
    zn_ll block, in_sums; /* of the block of outputs: its row of weight 0 in shard 0, and its first output in dU */
    zn_ll from;           /* dU of weight 0 in shard 0 */
    int64_t shard, shards;
    zn_point p;
    zn_ll c, first, o; /* channel; first output of dU; output */
    zn_invariants inv;
} joined;

static zn_ll read_joined(void *ctx, zn_emit *e, int k, int unused) {
    const joined *t = ctx;
    zn_ll s[ZN_MAX_SHARDS];
    (void)unused;
    for (int64_t q = 0; q < t->shards; q++)
        s[q] = zn_load(e, zn_atk(e, t->from, q * t->shard + k * t->x->ku), e->lanes);
    return zn_tree_sum(e, s, t->shards);
}
static void write_joined(void *ctx, zn_emit *e, int i, int j, zn_ll v) {
    joined *t = ctx;
    const zn_wino *x = t->x;
    t->p.offset = zn_add(e, zn_mul(e, zn_addk(e, t->c, (x->w.taps * i + j) * x->c), x->o), t->o);
    zn_emit_values(e, &t->p, &t->inv, v);
}

static void join_vector(zn_emit *e, zn_ll o, int lanes, void *ctx) {
    joined *t = ctx;
    t->from = zn_at(e, t->block, o);
    t->o = zn_add(e, t->first, zn_add(e, t->in_sums, o));
    t->p.lanes = lanes;
    zn_wino_weights_gradient(e, t->x->f, read_joined, write_joined, t);
}

static void join_block(zn_emit *e, zn_ll first, int vecs, int last_lanes, void *ctx) {
    joined *t = ctx;
    int64_t outputs = (int64_t)(vecs - 1) * e->lanes + last_lanes;
    t->block = sums_at(e, t->x, t->sums, zn_i64(e, 0), t->row, first, t->channels, vecs);
    t->in_sums = first;
    zn_wino_vectors(e, zn_i64(e, 0), zn_i64(e, outputs), outputs, join_vector, t);
}

/* Shards of dU at `sums` joined, transformed back and passed on: channels [first, last) of dU, which has those from c0
 * and `outs` outputs from o0. */
static void join_weights(zn_emit *e, const zn_wino *x, zn_ll sums, int64_t channels, zn_ll c0, zn_ll first, zn_ll last,
                         zn_ll o0, int64_t outs, int64_t shards) {
    joined t = {.x = x, .sums = sums, .channels = channels, .shards = shards, .first = o0};
    t.shard = x->w.weights * x->ku;
    zn_point_flat(e, &t.p);
    zn_hoist(e, &t.inv, zn_i64(e, 0), e->lanes);
    zn_loop lc;
    zn_loop_begin(e, &lc, first, last, 1, 0, NULL);
    t.row = lc.i;
    t.c = zn_add(e, c0, lc.i);
    zn_wino_blocks(e, outs, join_block, &t);
    zn_loop_end(e, &lc, NULL);
}

/* ---- by blocks of tiles */

/* Adds the tiles at hand to dU, which the first of them fill. */
static void sum_block(zn_emit *e, const zn_wino *x, zn_ll base, zn_ll c0, zn_ll rows, const zn_ahead *soon) {
    zn_loop lu;
    sum_job j = {.x = x, .base = base, .c = c0, .row = zn_i64(e, 0), .rows = rows, .soon = soon};
    j.channels = zn_winograd_channels(x->c);
    j.adds = zn_wino_mask(e, LLVMBuildICmp(e->b, LLVMIntNE, x->first, zn_i64(e, 0), ""));
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x->w.weights), 1, 0, NULL);
    j.u = lu.i;
    zn_wino_positions(e, x->f, lu.i, &j.first, &j.count);
    j.call = LLVMBuildNSWMul(e->b, zn_mul(e, lu.i, zn_wino_block_total(e, x->o)), rows, "");
    zn_wino_blocks(e, x->o, sum_outputs, &j);
    zn_loop_end(e, &lu, NULL);
}

/* A unit is one shard and one block of input channels. */
void zn_emit_wino_grad_w(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
    int temp = zn_binding_temp(e, "partial", 0);
    int64_t shards = e->k->bindings.at[temp].type.dim[0], channels = e->k->unit, images = x.w.images;
    int64_t blocks = (x.c + channels - 1) / channels;
    x.in = 0;
    x.in2 = zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[1]);
    x.kv = zn_winograd_pitch(x.block * channels);
    x.km = zn_winograd_pitch(x.block * zn_winograd_channels(x.o));
    x.ku = e->k->bindings.at[temp].type.dim[2];
    x.v = e->scratch;
    x.m = zn_atk(e, e->scratch, x.w.positions * x.kv);
    zn_loop u, lb;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll shard = zn_wino_quotient(e, u.i, blocks);
    zn_ll c0 = blocks == 1 ? zn_i64(e, 0) : zn_mul(e, zn_wino_rem(e, u.i, blocks), channels);
    zn_ll c1 = x.c % channels ? zn_min(e, zn_addk(e, c0, channels), zn_i64(e, x.c)) : zn_addk(e, c0, channels);
    zn_ll rows = zn_i64(e, channels / x.rows);
    if (x.c % channels)
        rows = zn_wino_quotient(e, zn_addk(e, LLVMBuildNSWSub(e->b, c1, c0, ""), x.rows - 1), x.rows);
    zn_ll base = zn_at(e, e->base[temp], zn_mul(e, shard, x.w.weights * x.ku));
    zn_ll from = zn_shard_first(e, images, shards, shard);
    zn_ll to = zn_shard_first(e, images, shards, zn_addk(e, shard, 1));
    x.image = from;
    x.images = images % shards ? LLVMBuildNSWSub(e->b, to, from, "") : zn_i64(e, images / shards);
    zn_ll end = zn_mul(e, x.images, x.w.tiles);
    zn_loop_begin(e, &lb, zn_i64(e, 0), end, x.block, 0, NULL);
    x.first = lb.i;
    x.count =
        zn_wino_block_count(e, x.block, lb.i, end, images % shards == 0 && images / shards * x.w.tiles % x.block == 0);
    /* one panel of all tiles, so that (channels / lanes, tiles, lanes) is contiguous */
    zn_wino_transform_inputs(e, &x, x.block, c0, c1, channels);
    zn_wino_transform_gradients(e, &x);
    zn_ahead soon = {0};
    int64_t calls = x.w.weights * (channels / x.rows) * zn_wino_block_total(e, x.o);
    zn_wino_fetch(e, &x, &soon, x.in, zn_addk(e, lb.i, x.block), zn_wino_input_ratio(x.f), calls, false);
    zn_wino_fetch(e, &x, &soon, x.in2, zn_addk(e, lb.i, x.block), 1, calls, false);
    sum_block(e, &x, base, c0, rows, &soon);
    zn_loop_end(e, &lb, NULL);
    zn_loop_end(e, &u, NULL);
}

/* Joins the shards' dU and turns them into dw; a unit is so many input channels. */
void zn_emit_wino_join(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
    int temp = zn_binding_temp(e, "partial", 0);
    x.ku = e->k->bindings.at[temp].type.dim[2];
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, e->k->unit), last = zn_addk(e, first, e->k->unit);
    if (x.c % e->k->unit)
        last = zn_min(e, last, zn_i64(e, x.c));
    join_weights(e, &x, e->base[temp], zn_winograd_channels(x.c), zn_i64(e, 0), first, last, zn_i64(e, 0), x.o,
                 e->k->bindings.at[temp].type.dim[0]);
    zn_loop_end(e, &u, NULL);
}

/* ---- weight-major */

/* A unit is so many tiles; block is the tiles of a shard. */
void zn_emit_wino_dy(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
    x.in2 = zn_binding_of(e, ZN_BIND_IN, e->k->group->anchor->operand[1]);
    x.m = e->base[zn_binding_temp(e, "gradients", 0)];
    x.km = e->k->bindings.at[zn_binding_temp(e, "gradients", 0)].type.dim[1];
    x.at = x.first = zn_mul(e, e->begin, e->k->unit);
    zn_ll tiles = zn_i64(e, x.w.images * x.w.tiles);
    x.count = LLVMBuildNSWSub(e->b, zn_min(e, zn_mul(e, e->end, e->k->unit), tiles), x.first, "");
    zn_wino_transform_gradients(e, &x);
}

/* A unit is one block of input channels and outputs: dU of all tiles in scratch memory, then dw. */
void zn_emit_wino_grad_w_panel(zn_emit *e) {
    zn_wino x = zn_wino_of(e);
    int64_t channels = e->k->unit, blocks = x.o / ZN_WINOGRAD_PANEL;
    x.v = e->base[zn_binding_temp(e, "tiles", 0)];
    x.kv = e->k->bindings.at[zn_binding_temp(e, "tiles", 0)].type.dim[1];
    x.m = e->base[zn_binding_temp(e, "gradients", 0)];
    x.km = e->k->bindings.at[zn_binding_temp(e, "gradients", 0)].type.dim[1];
    x.ku = zn_winograd_pitch(channels * ZN_WINOGRAD_PANEL);
    x.count = zn_i64(e, x.block);
    zn_loop u, lu;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll c0 = zn_mul(e, zn_wino_quotient(e, u.i, blocks), channels),
          o0 = zn_mul(e, zn_wino_rem(e, u.i, blocks), ZN_WINOGRAD_PANEL);
    zn_wino panel = x; /* whose outputs start at o0 */
    panel.m = zn_at(e, x.m, zn_mul(e, o0, x.block));
    sum_job j = {.x = &panel, .base = e->scratch, .channels = channels, .c = zn_i64(e, 0), .row = c0};
    j.rows = zn_i64(e, channels / x.rows);
    zn_loop_begin(e, &lu, zn_i64(e, 0), zn_i64(e, x.w.weights), 1, 0, NULL);
    j.u = lu.i;
    zn_wino_positions(e, x.f, lu.i, &j.first, &j.count);
    zn_wino_blocks(e, ZN_WINOGRAD_PANEL, sum_outputs, &j);
    zn_loop_end(e, &lu, NULL);
    join_weights(e, &x, e->scratch, channels, c0, zn_i64(e, 0), zn_i64(e, channels), o0, ZN_WINOGRAD_PANEL, 1);
    zn_loop_end(e, &u, NULL);
}
