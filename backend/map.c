/* Elementwise kernels, and what other families use of them: halos, flat loops. */
#include "backend/emit.h"
#include "support/ice.h"

static int64_t chunk_lanes(const zn_emit *e, int64_t left) {
    return left < e->lanes ? left : e->lanes;
}

/* Zeros [from, from + count) floats at p. */
static void fill_zeros(zn_emit *e, zn_ll p, int64_t count) {
    int64_t whole = count / e->lanes * e->lanes;
    if (whole > 8 * e->lanes) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        zn_store(e, zn_at(e, p, l.i), zn_vconst(e, 0), e->lanes);
        zn_loop_end(e, &l, NULL);
    } else {
        for (int64_t i = 0; i < whole; i += e->lanes)
            zn_store(e, zn_atk(e, p, i), zn_vconst(e, 0), e->lanes);
    }
    if (count > whole)
        zn_store(e, zn_atk(e, p, whole), zn_vconst(e, 0), (int)(count - whole));
}

void zn_emit_halo(zn_emit *e, zn_ll n) {
    for (size_t i = 0; i < e->k->bindings.n; i++) {
        const zn_binding *b = &e->k->bindings.at[i];
        if (b->kind != ZN_BIND_OUT || b->type.rank != 4 || zn_layout_plain(&b->layout))
            continue;
        int64_t row = zn_layout_row(&b->type, &b->layout), image = zn_layout_image(&b->type, &b->layout),
                c = b->type.dim[3];
        zn_ll p = zn_at(e, e->base[i], zn_mul(e, n, image));
        if (b->layout.top)
            fill_zeros(e, p, b->layout.top * row);
        if (b->layout.bottom)
            fill_zeros(e, zn_atk(e, p, image - b->layout.bottom * row), b->layout.bottom * row);
        if (!b->layout.left && !b->layout.right)
            continue;
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, b->layout.top), zn_i64(e, b->layout.top + b->type.dim[1]), 1, 0, NULL);
        zn_ll r = zn_at(e, p, zn_mul(e, l.i, row));
        if (b->layout.left)
            fill_zeros(e, r, b->layout.left * c);
        if (b->layout.right)
            fill_zeros(e, zn_atk(e, r, row - b->layout.right * c), b->layout.right * c);
        zn_loop_end(e, &l, NULL);
    }
}

/* One dimension of `unit` elements a unit of work, n in all. */
static void flat_loop(zn_emit *e, int64_t n, void (*body)(zn_emit *, zn_ll, int, void *), void *ctx) {
    int64_t unit = e->k->unit, whole = n / e->lanes * e->lanes;
    zn_ll lo = zn_mul(e, e->begin, unit), hi = zn_min(e, zn_mul(e, e->end, unit), zn_i64(e, whole));
    zn_loop l;
    zn_loop_begin(e, &l, lo, hi, e->lanes, 0, NULL);
    body(e, l.i, e->lanes, ctx);
    zn_loop_end(e, &l, NULL);
    if (n == whole)
        return;
    /* the last, partial vector belongs to the last unit */
    zn_if s;
    zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSGE, zn_mul(e, e->end, unit), zn_i64(e, n), ""));
    body(e, zn_i64(e, whole), (int)(n - whole), ctx);
    zn_if_end(e, &s);
}

typedef struct map_ctx {
    zn_point p;
    zn_invariants inv;
} map_ctx;

static void flat_map_body(zn_emit *e, zn_ll i, int lanes, void *ctx) {
    map_ctx *m = ctx;
    m->p.offset = i;
    m->p.lanes = lanes;
    zn_emit_values(e, &m->p, &m->inv, NULL);
}

/* What the group's values need of a channel, in memory: a row for each invariant, channels 0, 1, ... c - 1 and again
 * from 0 on, so that a vector that starts anywhere in a line of pixels finds its channels side by side. */
typedef struct channel_table {
    zn_ll at; /* NULL: there is none */
    int64_t pitch;
    zn_invariants same; /* of all channels; NULL where a row of the table stands for it */
    int8_t row[64][ZN_MAX_INVARIANTS];
} channel_table;

/* Positions of a row: `width` pixels of `c` channels, of which the `left` ones from c0 on, in `vecs` vectors. */
typedef struct row_shape {
    int64_t width, c, left;
    zn_ll c0;
    int vecs;
    bool line;                  /* the row is one line of width * c floats: no channel operands, or a table of them */
    const channel_table *table; /* NULL or that */
} row_shape;

/* Positions of images [first, last): rows [top, bottom), of each of them columns [from, to). */
typedef struct range {
    zn_ll first, last, top, bottom, from, to;
} range;

enum { TABLE_FLOATS = 4096 };

/* Loads or stores the rows of a table at `place`; the channels are those of inv. */
static void fill_rows(zn_emit *e, const channel_table *t, zn_invariants *inv, zn_ll place, bool store) {
    for (size_t i = 0; i < e->k->group->values.n; i++)
        for (int j = 0; j < ZN_MAX_INVARIANTS; j++) {
            if (t->row[i][j] < 0)
                continue;
            zn_ll at = zn_at(e, t->at, zn_addk(e, place, t->row[i][j] * t->pitch));
            if (store)
                zn_store(e, at, inv->v[i][j], e->lanes);
            else
                inv->v[i][j] = zn_load(e, at, e->lanes);
        }
}

/* The rows that a table needs; their number. */
static int table_rows(zn_emit *e, channel_table *t, int64_t c) {
    const zn_group *g = e->k->group;
    int rows = 0;
    zn_hoist(e, &t->same, zn_i64(e, 0), (int)chunk_lanes(e, c));
    for (size_t i = 0; i < g->values.n; i++)
        for (int j = 0; j < ZN_MAX_INVARIANTS; j++) {
            bool row = t->same.v[i][j] && zn_map_access(g->values.at[i]->op, 1) != ZN_ACCESS_SCALAR;
            t->row[i][j] = (int8_t)(row ? rows++ : -1);
            if (row)
                t->same.v[i][j] = NULL;
        }
    return rows;
}

/* Of channels whose vectors leave a fifth or more of their lanes empty, which takes more time than memory does. With
 * fewer, what a pixel's vectors hold in registers is faster: bn_norm of 40 or 100 channels in the cache by a third. */
static void make_table(zn_emit *e, channel_table *t, int64_t c) {
    int64_t empty = (e->lanes - c % e->lanes) % e->lanes;
    if (!zn_group_has_channels(e->k->group) || 4 * empty <= c || c > TABLE_FLOATS)
        return;
    int rows = table_rows(e, t, c);
    t->pitch = (c + e->lanes + 15) / 16 * 16;
    if (!rows || rows * t->pitch > TABLE_FLOATS)
        return;
    t->at = LLVMBuildArrayAlloca(e->b, e->f32, zn_i64(e, rows * t->pitch), "");
    LLVMSetAlignment(t->at, 64);
    int64_t whole = c / e->lanes * e->lanes;
    zn_invariants inv = {0};
    zn_loop l;
    if (whole) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        zn_hoist(e, &inv, l.i, e->lanes);
        fill_rows(e, t, &inv, l.i, true);
        zn_loop_end(e, &l, NULL);
    }
    zn_hoist(e, &inv, zn_i64(e, whole), (int)(c - whole));
    fill_rows(e, t, &inv, zn_i64(e, whole), true);
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, e->lanes), 1, 0, NULL);
    for (int i = 0; i < rows; i++) {
        zn_ll from = zn_at(e, t->at, zn_addk(e, l.i, i * t->pitch));
        zn_store1(e, zn_atk(e, from, c), zn_load1(e, from));
    }
    zn_loop_end(e, &l, NULL);
}

/* `lanes` floats of a line, the first of them of channel `phase`. */
static void line_values(zn_emit *e, zn_point *p, const zn_invariants *inv, const row_shape *s, zn_ll phase) {
    if (!s->table) {
        zn_emit_values(e, p, inv, NULL);
        return;
    }
    zn_invariants here = s->table->same;
    fill_rows(e, s->table, &here, phase, false);
    zn_emit_values(e, p, &here, NULL);
}

static void map_line(zn_emit *e, zn_point *p, const zn_invariants *inv, const row_shape *s) {
    int64_t n = s->width * s->c, whole = n / e->lanes * e->lanes;
    if (whole) {
        zn_loop l;
        zn_ll phase = zn_i64(e, 0), c = zn_i64(e, s->c);
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, s->table ? 1 : 0, &phase);
        p->offset = l.i;
        p->lanes = e->lanes;
        line_values(e, p, inv, s, s->table ? l.v[0] : NULL);
        if (s->table) {
            zn_ll next = zn_addk(e, l.v[0], e->lanes % s->c);
            phase = zn_select(e, LLVMBuildICmp(e->b, LLVMIntSGE, next, c, ""), zn_sub(e, next, c), next);
        }
        zn_loop_end(e, &l, s->table ? &phase : NULL);
    }
    if (n > whole) {
        p->offset = zn_i64(e, whole);
        p->lanes = (int)(n - whole);
        line_values(e, p, inv, s, zn_i64(e, whole % s->c));
    }
}

static void map_row(zn_emit *e, zn_point *p, const zn_invariants *inv, const range *r, const row_shape *s) {
    if (s->line) {
        map_line(e, p, inv, s);
        return;
    }
    zn_loop l;
    zn_loop_begin(e, &l, r->from, r->to, 1, 0, NULL);
    zn_ll at = zn_add(e, zn_mul(e, l.i, s->c), s->c0);
    for (int v = 0; v < s->vecs; v++) {
        p->offset = zn_addk(e, at, (int64_t)v * e->lanes);
        p->lanes = (int)chunk_lanes(e, s->left - (int64_t)v * e->lanes);
        zn_emit_values(e, p, &inv[v], NULL);
    }
    zn_loop_end(e, &l, NULL);
}

enum { CHUNK = 4 }; /* vectors of channels whose invariants are held at once */

/* One chunk of channels. */
static void map_chunk(zn_emit *e, const range *r, const row_shape *s) {
    zn_invariants inv[CHUNK] = {0};
    zn_point p = {0};
    zn_loop ln, lh;
    for (int v = 0; v < s->vecs && !s->table; v++)
        zn_hoist(e, &inv[v], zn_addk(e, s->c0, v * e->lanes), (int)chunk_lanes(e, s->left - v * e->lanes));
    zn_loop_begin(e, &ln, r->first, r->last, 1, 0, NULL);
    zn_loop_begin(e, &lh, r->top, r->bottom, 1, 0, NULL);
    zn_point_row(e, &p, ln.i, lh.i);
    map_row(e, &p, inv, r, s);
    zn_loop_end(e, &lh, NULL);
    zn_loop_end(e, &ln, NULL);
}

/* All channels: one piece of code for all full chunks. */
static void map_chunks(zn_emit *e, const range *r, row_shape *s) {
    int64_t chunk = CHUNK * (int64_t)e->lanes, whole = s->line ? 0 : s->c / chunk * chunk;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), chunk, 0, NULL);
        s->c0 = l.i;
        s->left = chunk;
        s->vecs = CHUNK;
        map_chunk(e, r, s);
        zn_loop_end(e, &l, NULL);
    }
    if (s->c > whole) {
        s->c0 = zn_i64(e, whole);
        s->left = s->c - whole;
        s->vecs = s->line ? 1 : (int)((s->left + e->lanes - 1) / e->lanes);
        map_chunk(e, r, s);
    }
}

/* Do the group's invariants take no more than a few loads and products? Not so the root of bn_infer. */
static bool cheap_invariants(const zn_group *g) {
    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.at[i]->op == ZN_OP_BN_INFER)
            return false;
    return true;
}

static bool no_halos(const zn_emit *e) {
    for (size_t i = 0; i < e->k->bindings.n; i++)
        if (!zn_layout_plain(&e->k->bindings.at[i].layout))
            return false;
    return true;
}

/* Images [first, last) of the group's map values. Chunks of channels are the inner loop, which loads invariants again
 * for every position: memory in its order is twice as fast as in steps of all channels. */
static void map_images(zn_emit *e, const channel_table *table, zn_ll first, zn_ll last) {
    const zn_type *t = &e->k->group->anchor->type;
    row_shape s = {.width = t->rank == 4 ? t->dim[2] : 1,
                   .c = zn_type_channels(t),
                   .line = table->at || !zn_group_has_channels(e->k->group),
                   .table = table->at ? table : NULL};
    int64_t height = t->rank >= 3 ? t->dim[1] : 1;
    if (s.line && no_halos(e)) { /* an image is one line */
        s.width *= height;
        height = 1;
    }
    range r = {first, last, zn_i64(e, 0), zn_i64(e, height), zn_i64(e, 0), zn_i64(e, s.width)};
    if (s.line || s.c <= CHUNK * (int64_t)e->lanes || !cheap_invariants(e->k->group)) {
        map_chunks(e, &r, &s);
    } else {
        zn_loop ln, lh, lw;
        zn_loop_begin(e, &ln, first, last, 1, 0, NULL);
        zn_loop_begin(e, &lh, r.top, r.bottom, 1, 0, NULL);
        zn_loop_begin(e, &lw, r.from, r.to, 1, 0, NULL);
        r = (range){ln.i, zn_addk(e, ln.i, 1), lh.i, zn_addk(e, lh.i, 1), lw.i, zn_addk(e, lw.i, 1)};
        map_chunks(e, &r, &s);
        zn_loop_end(e, &lw, NULL);
        zn_loop_end(e, &lh, NULL);
        zn_loop_end(e, &ln, NULL);
    }
    zn_loop lz;
    bool halo = false;
    for (size_t i = 0; i < e->k->bindings.n; i++)
        halo |= e->k->bindings.at[i].kind == ZN_BIND_OUT && !zn_layout_plain(&e->k->bindings.at[i].layout);
    if (!halo)
        return;
    zn_loop_begin(e, &lz, first, last, 1, 0, NULL);
    zn_emit_halo(e, lz.i);
    zn_loop_end(e, &lz, NULL);
}

void zn_emit_map(zn_emit *e) {
    const zn_type *t = &e->k->group->anchor->type;
    if (e->k->flat) {
        map_ctx m = {0};
        zn_point_flat(e, &m.p);
        zn_hoist(e, &m.inv, zn_i64(e, 0), e->lanes);
        flat_loop(e, zn_type_count(t), flat_map_body, &m);
        return;
    }
    zn_loop u;
    channel_table table = {0};
    make_table(e, &table, zn_type_channels(t));
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, e->k->unit), last = zn_min(e, zn_addk(e, first, e->k->unit), zn_i64(e, t->dim[0]));
    int64_t shards = e->k->group->reduces.n ? zn_value_shards(e->k->group->reduces.at[0]) : 1;
    if (t->dim[0] % shards) { /* a unit is a shard, and shards differ by an image */
        first = zn_shard_first(e, t->dim[0], shards, u.i);
        last = zn_shard_first(e, t->dim[0], shards, zn_addk(e, u.i, 1));
    }
    map_images(e, &table, first, last);
    zn_emit_reduces(e, first, e->k->unit, u.i);
    zn_loop_end(e, &u, NULL);
}

/* ---- joins: partial sums of shards, neighbours first, an odd one out moves up unchanged */

enum { INLINE_SHARDS = 16 };

typedef struct join_ctx {
    map_ctx m;
    int64_t shards, n;
    zn_ll partial;
    int out; /* binding of a channel sum, or -1: the group's values follow */
} join_ctx;

/* Larger numbers of shards are joined in the memory of the partial sums themselves. */
static zn_ll joined(zn_emit *e, const join_ctx *j, zn_ll i, int lanes) {
    zn_ll v[INLINE_SHARDS], at = zn_at(e, j->partial, i);
    int64_t n = j->shards;
    for (; n > INLINE_SHARDS; n = (n + 1) / 2) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, n / 2), 1, 0, NULL);
        zn_ll from = zn_at(e, at, zn_mul(e, l.i, 2 * j->n));
        zn_ll sum = zn_fadd(e, zn_load(e, from, lanes), zn_load(e, zn_atk(e, from, j->n), lanes));
        zn_store(e, zn_at(e, at, zn_mul(e, l.i, j->n)), sum, lanes);
        zn_loop_end(e, &l, NULL);
        if (n % 2)
            zn_store(e, zn_atk(e, at, n / 2 * j->n), zn_load(e, zn_atk(e, at, (n - 1) * j->n), lanes), lanes);
    }
    for (int64_t s = 0; s < n; s++)
        v[s] = zn_load(e, zn_atk(e, at, s * j->n), lanes);
    return zn_tree_sum(e, v, n);
}

static void join_body(zn_emit *e, zn_ll i, int lanes, void *ctx) {
    join_ctx *j = ctx;
    zn_ll sum = joined(e, j, i, lanes);
    if (j->out >= 0) {
        zn_store(e, zn_at(e, e->base[j->out], i), sum, lanes);
        return;
    }
    j->m.p.offset = i;
    j->m.p.lanes = lanes;
    zn_emit_values(e, &j->m.p, &j->m.inv, sum);
}

void zn_emit_join(zn_emit *e) {
    join_ctx j = {0};
    int partial = zn_binding_temp(e, "partial", 0);
    const zn_type *t = &e->k->bindings.at[partial].type;
    j.shards = t->dim[0];
    j.n = t->dim[1] * t->dim[2];
    j.partial = e->base[partial];
    j.out = e->k->reduce ? zn_binding_of(e, ZN_BIND_OUT, e->k->reduce) : -1;
    if (!e->k->reduce) {
        zn_point_flat(e, &j.m.p);
        zn_hoist(e, &j.m.inv, zn_i64(e, 0), e->lanes);
    }
    flat_loop(e, j.n, join_body, &j);
}

typedef struct stats {
    zn_ll mean, m2;
} stats;

/* Joins a and b, which has `part` of the values of both; weight: those of a times part. */
static stats join_stats(zn_emit *e, stats a, stats b, zn_ll part, zn_ll weight) {
    zn_ll delta = zn_fsub(e, b.mean, a.mean);
    zn_ll square = zn_fmul(e, delta, delta);
    return (stats){zn_fma(e, delta, part, a.mean), zn_fma(e, square, weight, zn_fadd(e, a.m2, b.m2))};
}
/* The same, of na and nb values. */
static stats join_counted(zn_emit *e, stats a, stats b, float na, float nb) {
    float both = na + nb, part = nb / both;
    return join_stats(e, a, b, zn_vconst(e, part), zn_vconst(e, na * part));
}

typedef struct bn_join_ctx {
    int64_t shards, c, images, count; /* count: values of a channel, in all */
    zn_ll partial, out;
    float eps;
} bn_join_ctx;

static stats load_stats(zn_emit *e, const bn_join_ctx *j, zn_ll at, int lanes) {
    return (stats){zn_load(e, at, lanes), zn_load(e, zn_atk(e, at, j->c), lanes)};
}
static void store_stats(zn_emit *e, const bn_join_ctx *j, zn_ll at, stats s, int lanes) {
    zn_store(e, at, s.mean, lanes);
    zn_store(e, zn_atk(e, at, j->c), s.m2, lanes);
}

/* Shards of one size, to the first. */
static void join_equal(zn_emit *e, const bn_join_ctx *j, zn_ll at, int lanes) {
    int64_t pitch = 2 * j->c;
    float each = (float)(j->count / j->shards),
          last = each; /* all but the last on a level stand for the same number of values */
    for (int64_t n = j->shards; n > 1; n = (n + 1) / 2) {
        int64_t even = n % 2 || last == each ? n / 2 : n / 2 - 1;
        if (even) {
            zn_loop l;
            zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, even), 1, 0, NULL);
            zn_ll from = zn_at(e, at, zn_mul(e, l.i, 2 * pitch));
            stats a = load_stats(e, j, from, lanes), b = load_stats(e, j, zn_atk(e, from, pitch), lanes);
            store_stats(e, j, zn_at(e, at, zn_mul(e, l.i, pitch)), join_counted(e, a, b, each, each), lanes);
            zn_loop_end(e, &l, NULL);
        }
        if (even < n / 2) {
            zn_ll from = zn_atk(e, at, (n - 2) * pitch);
            stats a = load_stats(e, j, from, lanes), b = load_stats(e, j, zn_atk(e, from, pitch), lanes);
            store_stats(e, j, zn_atk(e, at, even * pitch), join_counted(e, a, b, each, last), lanes);
            last = each + last;
        } else if (n % 2) {
            stats s = load_stats(e, j, zn_atk(e, at, (n - 1) * pitch), lanes);
            store_stats(e, j, zn_atk(e, at, n / 2 * pitch), s, lanes);
        } else {
            last = each + each;
        }
        each = each + each;
    }
}

/* Values of shards [from, to). */
static zn_ll count_of(zn_emit *e, const bn_join_ctx *j, zn_ll from, zn_ll to) {
    zn_ll images = LLVMBuildSub(e->b, zn_shard_first(e, j->images, j->shards, to),
                                zn_shard_first(e, j->images, j->shards, from), "");
    return zn_splat(e, LLVMBuildSIToFP(e->b, zn_mul(e, images, j->count / j->images), e->f32, ""));
}

/* Shards that differ by an image: of how many values a pair is depends on where it stands. */
static void join_unequal(zn_emit *e, const bn_join_ctx *j, zn_ll at, int lanes) {
    int64_t pitch = 2 * j->c, span = 1; /* shards in an element of this level */
    for (int64_t n = j->shards; n > 1; n = (n + 1) / 2, span *= 2) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, n / 2), 1, 0, NULL);
        zn_ll from = zn_at(e, at, zn_mul(e, l.i, 2 * pitch)), shard = zn_mul(e, l.i, 2 * span),
              middle = zn_addk(e, shard, span), end = zn_min(e, zn_addk(e, middle, span), zn_i64(e, j->shards));
        zn_ll na = count_of(e, j, shard, middle), nb = count_of(e, j, middle, end),
              part = zn_fdiv(e, nb, zn_fadd(e, na, nb));
        stats a = load_stats(e, j, from, lanes), b = load_stats(e, j, zn_atk(e, from, pitch), lanes);
        store_stats(e, j, zn_at(e, at, zn_mul(e, l.i, pitch)), join_stats(e, a, b, part, zn_fmul(e, na, part)), lanes);
        zn_loop_end(e, &l, NULL);
        if (n % 2)
            store_stats(e, j, zn_atk(e, at, n / 2 * pitch), load_stats(e, j, zn_atk(e, at, (n - 1) * pitch), lanes),
                        lanes);
    }
}

static void bn_join_body(zn_emit *e, zn_ll i, int lanes, void *ctx) {
    const bn_join_ctx *j = ctx;
    zn_ll at = zn_at(e, j->partial, i);
    if (j->images % j->shards)
        join_unequal(e, j, at, lanes);
    else
        join_equal(e, j, at, lanes);
    stats s = load_stats(e, j, at, lanes);
    zn_ll var = zn_fdiv(e, s.m2, zn_vconst(e, (float)j->count));
    zn_ll inv = zn_fdiv(e, zn_vconst(e, 1), zn_sqrt(e, zn_fadd(e, var, zn_vconst(e, j->eps))));
    zn_ll out = zn_at(e, j->out, i);
    zn_store(e, out, s.mean, lanes);
    zn_store(e, zn_atk(e, out, j->c), var, lanes);
    zn_store(e, zn_atk(e, out, 2 * j->c), inv, lanes);
}

void zn_emit_bn_join(zn_emit *e) {
    const zn_value *r = e->k->reduce;
    int partial = zn_binding_temp(e, "partial", 0);
    const zn_type *t = &e->k->bindings.at[partial].type, *x = &r->operand[0]->type;
    bn_join_ctx j = {.shards = t->dim[0],
                     .c = t->dim[2],
                     .partial = e->base[partial],
                     .out = e->base[zn_binding_of(e, ZN_BIND_OUT, r)],
                     .eps = (float)zn_attr_of(r, BN_STATS, eps)->f};
    j.images = x->dim[0];
    j.count = zn_type_count(x) / j.c;
    flat_loop(e, j.c, bn_join_body, &j);
}

typedef struct bn_running_ctx {
    zn_ll old, batch, out;
    float keep, take;
} bn_running_ctx;

static void bn_running_body(zn_emit *e, zn_ll i, int lanes, void *ctx) {
    const bn_running_ctx *r = ctx;
    zn_ll kept = zn_fmul(e, zn_load(e, zn_at(e, r->old, i), lanes), zn_vconst(e, r->keep));
    zn_ll batch = zn_load(e, zn_at(e, r->batch, i), lanes);
    zn_store(e, zn_at(e, r->out, i), zn_fma(e, batch, zn_vconst(e, r->take), kept), lanes);
}

void zn_emit_bn_running(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int64_t row = zn_attr_of(v, BN_RUNNING, row)->i, count = zn_attr_of(v, BN_RUNNING, count)->i, c = v->type.dim[0];
    double m = zn_attr_of(v, BN_RUNNING, momentum)->f;
    bn_running_ctx r = {.old = e->base[zn_binding_of(e, ZN_BIND_IN, v->operand[0])],
                        .batch = zn_atk(e, e->base[zn_binding_of(e, ZN_BIND_IN, v->operand[1])], row * c),
                        .out = e->base[zn_binding_of(e, ZN_BIND_OUT, v)]};
    r.keep = (float)(1 - m);
    r.take = (float)(row ? m * ((double)count / (double)(count - 1)) : m);
    flat_loop(e, c, bn_running_body, &r);
}

/* ---- copies */

typedef struct copy_ctx {
    zn_ll from, to;
} copy_ctx;
static void copy_body(zn_emit *e, zn_ll i, int lanes, void *ctx) {
    const copy_ctx *c = ctx;
    zn_store(e, zn_at(e, c->to, i), zn_load(e, zn_at(e, c->from, i), lanes), lanes);
}

/* Rows of n floats from one address to another. */
static void copy_row(zn_emit *e, zn_ll from, zn_ll to, int64_t n) {
    int64_t whole = n / e->lanes * e->lanes;
    copy_ctx c = {from, to};
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        copy_body(e, l.i, e->lanes, &c);
        zn_loop_end(e, &l, NULL);
    }
    if (n > whole)
        copy_body(e, zn_i64(e, whole), (int)(n - whole), &c);
}

/* flatten and unflatten where one side has a halo; and late stores (binding "stored"), which are flat. */
void zn_emit_copy(zn_emit *e) {
    const zn_binding *in = &e->k->bindings.at[0], *out = &e->k->bindings.at[1];
    if (out->temp) {
        copy_ctx c = {e->base[0], e->base[1]};
        flat_loop(e, zn_type_count(&in->type), copy_body, &c);
        return;
    }
    const zn_type *image = in->type.rank == 4 ? &in->type : &out->type;
    int64_t row = image->dim[2] * image->dim[3];
    zn_loop ln, lh;
    zn_loop_begin(e, &ln, e->begin, e->end, 1, 0, NULL);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, image->dim[1]), 1, 0, NULL);
    zn_ll from = zn_row_ptr(e, 0, ln.i, lh.i), to = zn_row_ptr(e, 1, ln.i, lh.i);
    if (in->type.rank != 4)
        from = zn_at(e, from, zn_mul(e, lh.i, row));
    if (out->type.rank != 4)
        to = zn_at(e, to, zn_mul(e, lh.i, row));
    copy_row(e, from, to, row);
    zn_loop_end(e, &lh, NULL);
    zn_emit_halo(e, ln.i);
    zn_loop_end(e, &ln, NULL);
}
