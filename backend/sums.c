/* Channel sums: bn_stats, bn_grad_sums, sum_rows (ln_grad_sums: layer_norm.c), alone or at the end of a unit of the
 * kernel that made their operand.
 *
 * Per shard (a unit of work) the positions of its images are summed in four chains, position p in chain p mod 4, and
 * (c0 + c1) + (c2 + c3) is the shard's partial sum; docs/ir.md. Rows whose width is no multiple of four start in
 * different chains, so rows are taken in groups that start in chain 0 again. Where shards do not divide the batch some
 * have an image more, which comes last. */
#include "backend/emit.h"
#include "support/ice.h"

typedef struct sum_shape {
    int64_t images, height, width, c;
} sum_shape;

typedef struct sums {
    const zn_value *r;
    sum_shape s;
    int x, dy;      /* bindings */
    zn_ll first;    /* image */
    zn_ll images;   /* of this shard: those of s, or one more; NULL where all shards are of one size */
    zn_ll c0;       /* first channel of this chunk */
    int64_t left;   /* channels of this chunk and behind it, as far as lanes go */
    int vecs, nacc; /* vectors of channels; accumulators of each chain and vector */
    zn_ll mean[2], inv[2];
    bool squares; /* second pass of bn_stats */
} sums;

static int lanes_of(const zn_emit *e, const sums *s, int v) {
    int64_t left = s->left - (int64_t)v * e->lanes;
    return (int)(left < e->lanes ? left : e->lanes);
}

/* One position: acc[chain][v][k] += its terms. */
static void position(zn_emit *e, const sums *s, zn_ll x, zn_ll dy, zn_ll offset, zn_ll *acc) {
    for (int v = 0; v < s->vecs; v++) {
        zn_ll at = zn_addk(e, zn_add(e, offset, s->c0), (int64_t)v * e->lanes), *a = acc + v * s->nacc;
        int n = lanes_of(e, s, v);
        zn_ll xv = x ? zn_load(e, zn_at(e, x, at), n) : NULL;
        if (s->r->op == ZN_OP_BN_GRAD_SUMS) {
            zn_ll d = zn_load(e, zn_at(e, dy, at), n);
            zn_ll xhat = zn_fmul(e, zn_fsub(e, xv, s->mean[v]), s->inv[v]);
            a[0] = zn_fadd(e, a[0], d);
            a[1] = zn_fma(e, d, xhat, a[1]);
        } else if (s->squares) {
            zn_ll d = zn_fsub(e, xv, s->mean[v]);
            a[0] = zn_fma(e, d, d, a[0]);
        } else {
            a[0] = zn_fadd(e, a[0], xv);
        }
    }
}

/* The positions of one row, the first of them in chain `phase`. acc holds four chains. */
static void row_sums(zn_emit *e, const sums *s, zn_ll row, int phase, zn_ll *acc) {
    int per = s->vecs * s->nacc, n = 4 * per;
    int64_t whole = s->s.width / 4 * 4;
    zn_ll image = LLVMBuildUDiv(e->b, row, zn_i64(e, s->s.height), ""),
          h = LLVMBuildURem(e->b, row, zn_i64(e, s->s.height), "");
    image = zn_add(e, s->first, image);
    zn_ll x = s->x >= 0 ? zn_row_ptr(e, s->x, image, h) : NULL, dy = s->dy >= 0 ? zn_row_ptr(e, s->dy, image, h) : NULL;
    if (whole) {
        zn_loop l;
        zn_ll next[ZN_MAX_CARRIED];
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), 4, n, acc);
        for (int i = 0; i < n; i++)
            next[i] = l.v[i];
        for (int j = 0; j < 4; j++)
            position(e, s, x, dy, zn_mul(e, zn_addk(e, l.i, j), s->s.c), next + (phase + j) % 4 * per);
        zn_loop_end(e, &l, next);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
    }
    for (int64_t w = whole; w < s->s.width; w++)
        position(e, s, x, dy, zn_i64(e, w * s->s.c), acc + (phase + (int)(w - whole)) % 4 * per);
}

/* `rows` rows from row `from` on, the first of them in chain `phase`, onto acc. */
static void many_rows(zn_emit *e, const sums *s, zn_ll from, int64_t rows, int phase, zn_ll *acc) {
    int n = 4 * s->vecs * s->nacc, group = s->s.width % 4 == 0 ? 1 : s->s.width % 2 == 0 ? 2 : 4;
    int64_t whole = rows / group * group;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), group, n, acc);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
        for (int g = 0; g < group; g++)
            row_sums(e, s, zn_add(e, from, zn_addk(e, l.i, g)), (int)((phase + g * s->s.width) % 4), acc);
        zn_loop_end(e, &l, acc);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
    }
    for (int64_t r = whole; r < rows; r++)
        row_sums(e, s, zn_addk(e, from, r), (int)((phase + (r - whole) * s->s.width) % 4), acc);
}

/* All rows of the shard; result: one sum for each vector and accumulator. */
static void shard_sums(zn_emit *e, const sums *s, zn_ll *out) {
    int per = s->vecs * s->nacc, n = 4 * per;
    int64_t rows = s->s.images * s->s.height;
    zn_ll acc[ZN_MAX_CARRIED];
    for (int i = 0; i < n; i++)
        acc[i] = zn_vconst(e, 0);
    many_rows(e, s, zn_i64(e, 0), rows, 0, acc);
    if (s->images) { /* one image more, or none */
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, s->s.images), s->images, 1, n, acc);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
        many_rows(e, s, zn_i64(e, rows), s->s.height, (int)(rows * s->s.width % 4), acc);
        zn_loop_end(e, &l, acc);
        for (int i = 0; i < n; i++)
            acc[i] = l.v[i];
    }
    for (int i = 0; i < per; i++)
        out[i] = zn_fadd(e, zn_fadd(e, acc[i], acc[per + i]), zn_fadd(e, acc[2 * per + i], acc[3 * per + i]));
}

/* x of r in memory: a result of this kernel, or an operand. */
static int memory_of(const zn_emit *e, const zn_value *v) {
    int b = zn_binding_of(e, ZN_BIND_OUT, v);
    return b >= 0 ? b : zn_binding_of(e, ZN_BIND_IN, v);
}

static void store_rows(zn_emit *e, const sums *s, zn_ll partial, const zn_ll *v, int nacc, int row) {
    for (int i = 0; i < s->vecs; i++)
        for (int k = 0; k < nacc; k++)
            zn_store(e, zn_at(e, partial, zn_addk(e, s->c0, (row + k) * s->s.c + i * e->lanes)), v[i * nacc + k],
                     lanes_of(e, s, i));
}

/* The chunk of channels that s is at: its partial sums into memory. */
static void chunk_sums(zn_emit *e, sums *s, zn_ll partial) {
    const zn_value *r = s->r;
    bool grad = r->op == ZN_OP_BN_GRAD_SUMS, bn = r->op == ZN_OP_BN_STATS;
    int64_t area = s->s.height * s->s.width;
    zn_ll out[4], count = zn_vconst(e, (float)(s->s.images * area));
    if (s->images)
        count = zn_splat(e, LLVMBuildSIToFP(e->b, zn_mul(e, s->images, area), e->f32, ""));
    for (int i = 0; grad && i < s->vecs; i++) {
        zn_ll stats = e->base[zn_binding_of(e, ZN_BIND_IN, r->operand[2])], c = zn_addk(e, s->c0, i * e->lanes);
        s->mean[i] = zn_load(e, zn_at(e, stats, c), lanes_of(e, s, i));
        s->inv[i] = zn_load(e, zn_at(e, stats, zn_addk(e, c, 2 * s->s.c)), lanes_of(e, s, i));
    }
    s->squares = false;
    shard_sums(e, s, out);
    for (int i = 0; bn && i < s->vecs; i++)
        s->mean[i] = out[i] = zn_fdiv(e, out[i], count);
    store_rows(e, s, partial, out, s->nacc, 0);
    if (bn) {
        s->squares = true;
        shard_sums(e, s, out);
        store_rows(e, s, partial, out, 1, 1);
    }
}

static void emit_sum(zn_emit *e, const zn_value *r, int nth, zn_ll first, int64_t images, zn_ll shard) {
    const zn_type *t = &r->operand[0]->type;
    int temp = zn_binding_temp(e, "partial", nth);
    const zn_type *p = &e->k->bindings.at[temp].type;
    sums s = {.r = r, .first = first, .dy = -1};
    s.s = (sum_shape){images, t->rank >= 3 ? t->dim[1] : 1, t->rank == 4 ? t->dim[2] : 1, zn_type_channels(t)};
    if (t->dim[0] % p->dim[0])
        s.images = LLVMBuildSub(e->b, zn_shard_first(e, t->dim[0], p->dim[0], zn_addk(e, shard, 1)), first, "");
    bool grad = r->op == ZN_OP_BN_GRAD_SUMS;
    s.x = memory_of(e, r->operand[grad ? 1 : 0]);
    s.dy = grad ? memory_of(e, r->operand[0]) : -1;
    s.nacc = grad ? 2 : 1;
    ZN_ASSERT(s.x >= 0 && (!grad || s.dy >= 0));
    zn_ll partial = zn_at(e, e->base[temp], zn_mul(e, shard, p->dim[1] * p->dim[2]));
    int64_t pair = 2 * (int64_t)e->lanes, whole = s.s.c / pair * pair;
    if (whole) { /* code for one pair of vectors, however many channels there are */
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), pair, 0, NULL);
        s.c0 = l.i;
        s.left = pair;
        s.vecs = 2;
        chunk_sums(e, &s, partial);
        zn_loop_end(e, &l, NULL);
    }
    if (s.s.c > whole) {
        s.c0 = zn_i64(e, whole);
        s.left = s.s.c - whole;
        s.vecs = s.left > e->lanes ? 2 : 1;
        chunk_sums(e, &s, partial);
    }
}

zn_ll zn_shard_first(zn_emit *e, int64_t n, int64_t shards, zn_ll s) {
    return n % shards ? LLVMBuildUDiv(e->b, zn_mul(e, s, n), zn_i64(e, shards), "") : zn_mul(e, s, n / shards);
}

void zn_emit_reduces(zn_emit *e, zn_ll first, int64_t images, zn_ll shard) {
    for (size_t i = 0; i < e->k->group->reduces.n; i++) {
        if (e->k->group->reduces.at[i]->op == ZN_OP_LN_GRAD_SUMS) /* layer_norm.c has made them on the way */
            continue;
        emit_sum(e, e->k->group->reduces.at[i], (int)i, first, images, shard);
    }
}

/* A channel sum alone: one unit is one shard. */
static void alone(zn_emit *e) {
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    const zn_value *r = e->k->group->anchor;
    int64_t n = r->operand[0]->type.dim[0], shards = zn_value_shards(r);
    emit_sum(e, r, 0, zn_shard_first(e, n, shards, u.i), n / shards, u.i);
    zn_loop_end(e, &u, NULL);
}

void zn_emit_bn_stats(zn_emit *e) {
    alone(e);
}
void zn_emit_bn_grad_sums(zn_emit *e) {
    alone(e);
}
void zn_emit_sum_rows(zn_emit *e) {
    alone(e);
}
