/* Layer normalisation: over the channels of each position, and its gradient by data.
 *
 * Sums over channels are in 16 virtual lanes, as in reduce.c. A few positions of a row are taken at once, so that their
 * chains do not wait for each other; what they need of memory a second and a third time is in the first cache. */
#include "backend/emit.h"

enum { POSITIONS = 4, SUMS = 2 }; /* at once, at most; of a position */

typedef struct norm {
    const zn_value *v; /* ln_norm, ln_grad_x, or ln_grad_sums alone */
    int x, dy;         /* bindings; dy: -1 if there is none */
    zn_ll scale, bias; /* addresses, of ln_norm both, of ln_grad_x scale; else NULL */
    int64_t c, width, height;
    float eps;
    int sums;    /* binding of the partial sums of ln_grad_sums; -1: none */
    zn_ll first; /* image of the unit */
} norm;

/* Positions of a row under work. */
typedef struct spot {
    int n;
    zn_ll w;                               /* the first */
    zn_ll x[POSITIONS], dy[POSITIONS];     /* channel 0 */
    zn_ll mean[POSITIONS], inv[POSITIONS]; /* in all lanes */
    zn_point p;
} spot;

/* acc[0 ... SUMS) of position i += terms of the vector at channel `at`; n valid lanes. */
typedef void term_fn(zn_emit *e, const norm *m, const spot *s, int i, zn_ll at, int n, zn_ll *acc);

/* Sums over channels: out[position * sums + k], in all lanes. */
static void over_channels(zn_emit *e, const norm *m, const spot *s, int sums, term_fn *term, zn_ll *out) {
    int parts = zn_row_parts(e), width = ZN_ROW_LANES / parts, n = s->n * sums * parts;
    int64_t whole = m->c / ZN_ROW_LANES * ZN_ROW_LANES;
    zn_ll acc[POSITIONS * SUMS * ZN_ROW_LANES], one[SUMS];
    for (int i = 0; i < n; i++)
        acc[i] = zn_vconst(e, 0);
    zn_loop l;
    if (whole) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), ZN_ROW_LANES, n, acc);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
        for (int q = 0; q < parts; q++)
            for (int i = 0; i < s->n; i++) {
                for (int k = 0; k < sums; k++)
                    one[k] = acc[(i * sums + k) * parts + q];
                term(e, m, s, i, zn_addk(e, l.i, (int64_t)q * width), width, one);
                for (int k = 0; k < sums; k++)
                    acc[(i * sums + k) * parts + q] = one[k];
            }
        zn_loop_end(e, &l, acc);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
    }
    for (int q = 0; q < parts; q++) {
        int64_t left = m->c - whole - (int64_t)q * width;
        int valid = (int)(left < width ? left : width);
        for (int i = 0; valid > 0 && i < s->n; i++) {
            for (int k = 0; k < sums; k++)
                one[k] = acc[(i * sums + k) * parts + q];
            term(e, m, s, i, zn_i64(e, whole + (int64_t)q * width), valid, one);
            for (int k = 0; k < sums; k++) {
                zn_ll *a = &acc[(i * sums + k) * parts + q];
                *a = valid == e->lanes ? one[k] : zn_select(e, zn_valid_lanes(e, valid), one[k], *a);
            }
        }
    }
    for (int i = 0; i < s->n * sums; i++)
        out[i] = zn_sum_lanes(e, acc + i * parts);
}

static void plain_term(zn_emit *e, const norm *m, const spot *s, int i, zn_ll at, int n, zn_ll *acc) {
    (void)m;
    acc[0] = zn_fadd(e, acc[0], zn_load(e, zn_at(e, s->x[i], at), n));
}
static void square_term(zn_emit *e, const norm *m, const spot *s, int i, zn_ll at, int n, zn_ll *acc) {
    (void)m;
    zn_ll d = zn_fsub(e, zn_load(e, zn_at(e, s->x[i], at), n), s->mean[i]);
    acc[0] = zn_fma(e, d, d, acc[0]);
}

static void find_stats(zn_emit *e, const norm *m, spot *s) {
    zn_ll sum[POSITIONS], count = zn_vconst(e, (float)m->c);
    over_channels(e, m, s, 1, plain_term, sum);
    for (int i = 0; i < s->n; i++)
        s->mean[i] = zn_fdiv(e, sum[i], count);
    over_channels(e, m, s, 1, square_term, sum);
    for (int i = 0; i < s->n; i++) {
        zn_ll var = zn_fadd(e, zn_fdiv(e, sum[i], count), zn_vconst(e, m->eps));
        s->inv[i] = zn_fdiv(e, zn_vconst(e, 1), zn_sqrt(e, var));
        if (m->sums < 0)
            continue;
        zn_ll at = zn_at(e, e->scratch, zn_mul(e, zn_addk(e, s->w, i), 2));
        zn_store1(e, at, zn_lane(e, s->mean[i], 0));
        zn_store1(e, zn_atk(e, at, 1), zn_lane(e, s->inv[i], 0));
    }
}

static zn_ll xhat(zn_emit *e, const spot *s, int i, zn_ll at, int n) {
    return zn_fmul(e, zn_fsub(e, zn_load(e, zn_at(e, s->x[i], at), n), s->mean[i]), s->inv[i]);
}

/* dy scale, and its product with xhat. */
static void grad_term(zn_emit *e, const norm *m, const spot *s, int i, zn_ll at, int n, zn_ll *acc) {
    zn_ll g = zn_fmul(e, zn_load(e, zn_at(e, s->dy[i], at), n), zn_load(e, zn_at(e, m->scale, at), n));
    acc[0] = zn_fadd(e, acc[0], g);
    acc[1] = zn_fma(e, g, xhat(e, s, i, at, n), acc[1]);
}

/* The results of all positions at channels at ... at + n. means: of dy scale and of its product with xhat. */
static void results(zn_emit *e, const norm *m, spot *s, const zn_ll *means, zn_ll at, int n) {
    zn_invariants inv = {0};
    zn_hoist(e, &inv, at, n);
    zn_ll scale = zn_load(e, zn_at(e, m->scale, at), n), bias = m->bias ? zn_load(e, zn_at(e, m->bias, at), n) : NULL;
    for (int i = 0; i < s->n; i++) {
        zn_ll x = xhat(e, s, i, at, n), y;
        if (bias) {
            y = zn_fma(e, x, scale, bias);
        } else {
            zn_ll g = zn_fmul(e, zn_load(e, zn_at(e, s->dy[i], at), n), scale);
            y = zn_fma(e, zn_fneg(e, x), means[2 * i + 1], zn_fsub(e, g, means[2 * i]));
            y = zn_fmul(e, s->inv[i], y);
        }
        s->p.offset = zn_add(e, zn_mul(e, zn_addk(e, s->w, i), m->c), at);
        s->p.lanes = n;
        zn_emit_values(e, &s->p, &inv, y);
    }
}

static void positions(zn_emit *e, const norm *m, spot *s, zn_ll n, zn_ll h) {
    zn_ll x = zn_row_ptr(e, m->x, n, h), dy = m->dy >= 0 ? zn_row_ptr(e, m->dy, n, h) : NULL;
    zn_ll means[2 * POSITIONS], count = zn_vconst(e, (float)m->c);
    for (int i = 0; i < s->n; i++) {
        zn_ll at = zn_mul(e, zn_addk(e, s->w, i), m->c);
        s->x[i] = zn_at(e, x, at);
        s->dy[i] = dy ? zn_at(e, dy, at) : NULL;
    }
    find_stats(e, m, s);
    if (!m->scale)
        return;
    if (!m->bias) {
        over_channels(e, m, s, 2, grad_term, means);
        for (int i = 0; i < 2 * s->n; i++)
            means[i] = zn_fdiv(e, means[i], count);
    }
    int64_t whole = m->c / e->lanes * e->lanes;
    zn_point_row(e, &s->p, n, h);
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        results(e, m, s, means, l.i, e->lanes);
        zn_loop_end(e, &l, NULL);
    }
    if (m->c > whole)
        results(e, m, s, means, zn_i64(e, whole), (int)(m->c - whole));
}

/* ---- sums of dy and dy xhat over positions: four chains each, position p of the shard in chain p mod 4, in scratch
 * memory; row by row, while the row is near */

enum { CHAINS = 4 };

/* body(first channel, valid lanes) for all channels. */
typedef void vector_fn(zn_emit *e, const norm *m, zn_ll at, int n, void *ctx);
static void over_vectors(zn_emit *e, const norm *m, vector_fn *body, void *ctx) {
    int64_t whole = m->c / e->lanes * e->lanes;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        body(e, m, l.i, e->lanes, ctx);
        zn_loop_end(e, &l, NULL);
    }
    if (m->c > whole)
        body(e, m, zn_i64(e, whole), (int)(m->c - whole), ctx);
}

/* Sum k (0: of dy, 1: of dy xhat) of a chain, at channel `at`. */
static zn_ll chain_at(zn_emit *e, const norm *m, zn_ll chain, int k, zn_ll at) {
    zn_ll row = zn_addk(e, zn_mul(e, chain, 2), k);
    return zn_at(e, e->scratch, zn_add(e, zn_addk(e, zn_mul(e, row, m->c), zn_ln_row(m->width)), at));
}

static void clear_vector(zn_emit *e, const norm *m, zn_ll at, int n, void *ctx) {
    (void)ctx;
    for (int i = 0; i < 2 * CHAINS; i++)
        zn_store(e, chain_at(e, m, zn_i64(e, i / 2), i % 2, at), zn_vconst(e, 0), n);
}

typedef struct row_ctx {
    zn_ll x, dy; /* of the row */
    zn_ll phase; /* chain of its first position */
    zn_ll shard; /* when all is done */
} row_ctx;

static void add_position(zn_emit *e, const norm *m, const row_ctx *r, zn_ll w, zn_ll at, int n, zn_ll *acc) {
    zn_ll stats = zn_at(e, e->scratch, zn_mul(e, w, 2)), offset = zn_add(e, zn_mul(e, w, m->c), at);
    zn_ll x = zn_load(e, zn_at(e, r->x, offset), n), dy = zn_load(e, zn_at(e, r->dy, offset), n);
    zn_ll mean = zn_load_splat(e, stats), inv = zn_load_splat(e, zn_atk(e, stats, 1));
    acc[0] = zn_fadd(e, acc[0], dy);
    acc[1] = zn_fma(e, dy, zn_fmul(e, zn_fsub(e, x, mean), inv), acc[1]);
}

/* The row's positions onto the chains of a vector of channels. */
static void row_vector(zn_emit *e, const norm *m, zn_ll at, int n, void *ctx) {
    const row_ctx *r = ctx;
    int64_t whole = m->width / CHAINS * CHAINS;
    int used = whole ? CHAINS : (int)m->width;
    zn_ll acc[2 * CHAINS], place[2 * CHAINS];
    for (int i = 0; i < 2 * used; i++) {
        zn_ll chain = LLVMBuildAnd(e->b, zn_addk(e, r->phase, i / 2), zn_i64(e, CHAINS - 1), "");
        place[i] = chain_at(e, m, chain, i % 2, at);
        acc[i] = zn_load(e, place[i], n);
    }
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), CHAINS, 2 * used, acc);
        for (int i = 0; i < 2 * used; i++)
            acc[i] = l.v[i];
        for (int i = 0; i < used; i++)
            add_position(e, m, r, zn_addk(e, l.i, i), at, n, acc + 2 * i);
        zn_loop_end(e, &l, acc);
        for (int i = 0; i < 2 * used; i++)
            acc[i] = l.v[i];
    }
    for (int64_t w = whole; w < m->width; w++)
        add_position(e, m, r, zn_i64(e, w), at, n, acc + 2 * (w - whole));
    for (int i = 0; i < 2 * used; i++)
        zn_store(e, place[i], acc[i], n);
}

static void row_sums(zn_emit *e, const norm *m, zn_ll n, zn_ll h) {
    row_ctx r = {.x = zn_row_ptr(e, m->x, n, h), .dy = zn_row_ptr(e, m->dy, n, h), .phase = zn_i64(e, 0)};
    if (m->width % CHAINS)
        r.phase = zn_mul(e, zn_add(e, zn_mul(e, zn_sub(e, n, m->first), m->height), h), m->width % CHAINS);
    over_vectors(e, m, row_vector, &r);
}

static void joined_vector(zn_emit *e, const norm *m, zn_ll at, int n, void *ctx) {
    const row_ctx *r = ctx;
    for (int k = 0; k < 2; k++) {
        zn_ll c[CHAINS];
        for (int i = 0; i < CHAINS; i++)
            c[i] = zn_load(e, chain_at(e, m, zn_i64(e, i), k, at), n);
        zn_ll to = zn_add(e, zn_addk(e, zn_mul(e, r->shard, 2 * m->c), k * m->c), at);
        zn_store(e, zn_at(e, e->base[m->sums], to), zn_fadd(e, zn_fadd(e, c[0], c[1]), zn_fadd(e, c[2], c[3])), n);
    }
}

/* ---- kernels */

/* All positions of images [first, last), which are a shard where there are sums. */
static void images(zn_emit *e, norm *m, zn_ll first, zn_ll last, zn_ll shard) {
    int most = POSITIONS / zn_row_parts(e) > 1 ? POSITIONS / zn_row_parts(e) : 1;
    int64_t whole = m->width / most * most;
    spot s = {0};
    zn_loop ln, lh, lw;
    m->first = first;
    if (m->sums >= 0)
        over_vectors(e, m, clear_vector, NULL);
    zn_loop_begin(e, &ln, first, last, 1, 0, NULL);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, m->height), 1, 0, NULL);
    if (whole) {
        zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, whole), most, 0, NULL);
        s.n = most;
        s.w = lw.i;
        positions(e, m, &s, ln.i, lh.i);
        zn_loop_end(e, &lw, NULL);
    }
    if (m->width > whole) {
        s.n = (int)(m->width - whole);
        s.w = zn_i64(e, whole);
        positions(e, m, &s, ln.i, lh.i);
    }
    if (m->sums >= 0)
        row_sums(e, m, ln.i, lh.i);
    zn_loop_end(e, &lh, NULL);
    if (m->scale)
        zn_emit_halo(e, ln.i);
    zn_loop_end(e, &ln, NULL);
    if (m->sums >= 0)
        over_vectors(e, m, joined_vector, &(row_ctx){.shard = shard});
}

static norm shape_of(const zn_value *v, const zn_type *t) {
    return (norm){.v = v,
                  .dy = -1,
                  .sums = -1,
                  .c = zn_type_channels(t),
                  .width = t->rank == 4 ? t->dim[2] : 1,
                  .height = t->rank >= 3 ? t->dim[1] : 1};
}

static void units(zn_emit *e, norm *m) {
    const zn_group *g = e->k->group;
    const zn_type *t = &m->v->operand[0]->type;
    int64_t batch = t->dim[0], shards = g->reduces.n              ? zn_value_shards(g->reduces.at[0])
                                        : zn_is_channel_sum(m->v) ? zn_value_shards(m->v)
                                                                  : 1;
    for (size_t i = 0; i < g->reduces.n; i++)
        if (g->reduces.at[i]->op == ZN_OP_LN_GRAD_SUMS)
            m->sums = zn_binding_temp(e, "partial", (int)i);
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, e->k->unit), last = zn_min(e, zn_addk(e, first, e->k->unit), zn_i64(e, batch));
    if (batch % shards) { /* a unit is a shard, and shards differ by an image */
        first = zn_shard_first(e, batch, shards, u.i);
        last = zn_shard_first(e, batch, shards, zn_addk(e, u.i, 1));
    }
    images(e, m, first, last, u.i);
    zn_emit_reduces(e, first, e->k->unit, u.i);
    zn_loop_end(e, &u, NULL);
}

static zn_ll operand_base(const zn_emit *e, const zn_value *v, int i) {
    return e->base[zn_binding_of(e, ZN_BIND_IN, v->operand[i])];
}

void zn_emit_ln_norm(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    norm m = shape_of(v, &v->type);
    m.x = zn_binding_of(e, ZN_BIND_IN, v->operand[0]);
    m.scale = operand_base(e, v, 1);
    m.bias = operand_base(e, v, 2);
    m.eps = (float)zn_attr_of(v, LN_NORM, eps)->f;
    units(e, &m);
}

void zn_emit_ln_grad_x(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    norm m = shape_of(v, &v->type);
    m.dy = zn_binding_of(e, ZN_BIND_IN, v->operand[0]);
    m.x = zn_binding_of(e, ZN_BIND_IN, v->operand[1]);
    m.scale = operand_base(e, v, 2);
    m.eps = (float)zn_attr_of(v, LN_GRAD_X, eps)->f;
    units(e, &m);
}

void zn_emit_ln_grad_sums(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    norm m = shape_of(v, &v->operand[1]->type);
    m.dy = zn_binding_of(e, ZN_BIND_IN, v->operand[0]);
    m.x = zn_binding_of(e, ZN_BIND_IN, v->operand[1]);
    m.eps = (float)zn_attr_of(v, LN_GRAD_SUMS, eps)->f;
    m.sums = zn_binding_temp(e, "partial", 0);
    units(e, &m);
}
