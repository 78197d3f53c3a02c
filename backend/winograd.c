/* Winograd convolution F(4x4, 3x3) for 3x3 kernels of stride 1: forward, gradient by data (the same with turned
 * weights) and gradient by weights in the transformed domain, F(3x3, 4x4).
 *
 * Lavin and Gray, arXiv 1509.09308, with the points 0, +-5/8, +-3/2 and infinity, whose products are exact in f32 and
 * which halve the error of 0, +-1, +-2. Per block of tiles, in scratch memory of the thread:
 *   V = B^T x B of each 6x6 input tile, M[k] = V[k] U[k] for the 36 positions k, y = A^T M A of each tile;
 *   gradient by weights: Z = A dy A^T of each 4x4 tile, dU[k] += V[k]^T Z[k], and at the end dw = G^T dU G.
 * V is [36][tiles / rows][channels / lanes][rows][lanes], one contiguous panel for each product; M is
 * [36][outputs / lanes][tiles][lanes]; U is [36][outputs / block][channels][block].
 *
 * Every sum runs over channels or tiles in order: the same for any thread count, vector width and tile shape. The input
 * has a halo of one, so no tile meets a border; maps are multiples of four (pass select). */
#include "backend/emit.h"
#include "support/ice.h"

enum { POINTS = 36 };

static const float P1 = 0.625f, Q1 = 1.5f, P2 = 0.390625f, Q2 = 2.25f, P3 = 0.244140625f, Q3 = 3.375f;

static zn_ll kmul(zn_emit *e, float c, zn_ll x) {
    return zn_fmul(e, zn_vconst(e, c), x);
}
static zn_ll kfma(zn_emit *e, float c, zn_ll x, zn_ll y) {
    return zn_fma(e, zn_vconst(e, c), x, y);
}

/* B^T d */
static void input_1d(zn_emit *e, const zn_ll *d, int ds, zn_ll *o, int os) {
    zn_ll t = kfma(e, -Q2, d[2 * ds], d[4 * ds]), u = kmul(e, P1, kfma(e, -Q2, d[ds], d[3 * ds]));
    zn_ll w = kfma(e, -P2, d[2 * ds], d[4 * ds]), z = kmul(e, Q1, kfma(e, -P2, d[ds], d[3 * ds]));
    o[0] = kfma(e, P2 * Q2, d[0], kfma(e, -(P2 + Q2), d[2 * ds], d[4 * ds]));
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = kfma(e, P2 * Q2, d[ds], kfma(e, -(P2 + Q2), d[3 * ds], d[5 * ds]));
}

/* A^T m */
static void output_1d(zn_emit *e, const zn_ll *m, int ms, zn_ll *o, int os) {
    zn_ll a = zn_fadd(e, m[ms], m[2 * ms]), b = zn_fsub(e, m[ms], m[2 * ms]);
    zn_ll c = zn_fadd(e, m[3 * ms], m[4 * ms]), d = zn_fsub(e, m[3 * ms], m[4 * ms]);
    o[0] = zn_fadd(e, zn_fadd(e, m[0], a), c);
    o[os] = kfma(e, Q1, d, kmul(e, P1, b));
    o[2 * os] = kfma(e, Q2, c, kmul(e, P2, a));
    o[3 * os] = kfma(e, Q3, d, kfma(e, P3, b, m[5 * ms]));
}

/* A y */
static void gradient_1d(zn_emit *e, const zn_ll *y, int ys, zn_ll *o, int os) {
    zn_ll t = kfma(e, P2, y[2 * ys], y[0]), u = kmul(e, P1, kfma(e, P2, y[3 * ys], y[ys]));
    zn_ll w = kfma(e, Q2, y[2 * ys], y[0]), z = kmul(e, Q1, kfma(e, Q2, y[3 * ys], y[ys]));
    o[0] = y[0];
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = y[3 * ys];
}

static float norm_p(void) {
    return 1 / (2 * P2 * (P2 - Q2));
}
static float norm_q(void) {
    return 1 / (2 * Q2 * (Q2 - P2));
}
static float norm_0(void) {
    return 1 / (P2 * Q2);
}

/* G g */
static void weight_1d(zn_emit *e, const zn_ll *g, int gs, zn_ll *o, int os) {
    zn_ll t = kmul(e, norm_p(), kfma(e, P2, g[2 * gs], g[0])), u = kmul(e, P1 * norm_p(), g[gs]);
    zn_ll w = kmul(e, norm_q(), kfma(e, Q2, g[2 * gs], g[0])), z = kmul(e, Q1 * norm_q(), g[gs]);
    o[0] = kmul(e, norm_0(), g[0]);
    o[os] = zn_fadd(e, t, u);
    o[2 * os] = zn_fsub(e, t, u);
    o[3 * os] = zn_fadd(e, w, z);
    o[4 * os] = zn_fsub(e, w, z);
    o[5 * os] = g[2 * gs];
}

/* G^T u */
static void weight_gradient_1d(zn_emit *e, const zn_ll *u, int us, zn_ll *o, int os) {
    zn_ll a = kmul(e, norm_p(), zn_fadd(e, u[us], u[2 * us]));
    zn_ll b = kmul(e, P1 * norm_p(), zn_fsub(e, u[us], u[2 * us]));
    zn_ll c = kmul(e, norm_q(), zn_fadd(e, u[3 * us], u[4 * us]));
    zn_ll d = kmul(e, Q1 * norm_q(), zn_fsub(e, u[3 * us], u[4 * us]));
    o[0] = kfma(e, norm_0(), u[0], zn_fadd(e, a, c));
    o[os] = zn_fadd(e, b, d);
    o[2 * os] = zn_fadd(e, kfma(e, P2, a, u[5 * us]), kmul(e, Q2, c));
}

/* ---- shapes */

/* Vectors of outputs in a block, and tiles (or channels) in a register tile. */
static int block_vecs(const zn_emit *e, int64_t outputs) {
    return outputs >= 2 * e->lanes ? 2 : 1;
}
static int tile_rows(const zn_emit *e, int vecs) {
    return e->t->registers < 32 ? 8 / vecs : vecs == 2 ? 8 : 16;
}

typedef struct tiles {
    int64_t images, across, each; /* of an image: tiles in a row, tiles in all */
} tiles;

static tiles tiles_of(const zn_type *image) {
    return (tiles){image->dim[0], image->dim[2] / 4, image->dim[1] / 4 * (image->dim[2] / 4)};
}

/* The tile's image, first row and first column. */
static void locate(zn_emit *e, const tiles *s, zn_ll tile, zn_ll *n, zn_ll *h, zn_ll *w) {
    zn_ll in_image = LLVMBuildURem(e->b, tile, zn_i64(e, s->each), "");
    *n = LLVMBuildUDiv(e->b, tile, zn_i64(e, s->each), "");
    *h = zn_mul(e, LLVMBuildUDiv(e->b, in_image, zn_i64(e, s->across), ""), 4);
    *w = zn_mul(e, LLVMBuildURem(e->b, in_image, zn_i64(e, s->across), ""), 4);
}

static zn_ll rem(zn_emit *e, zn_ll a, int64_t k) {
    return LLVMBuildURem(e->b, a, zn_i64(e, k), "");
}

/* Tiles of the block that starts at `first`: all, where blocks are known to divide the work. */
static zn_ll block_count(zn_emit *e, int64_t block, zn_ll first, zn_ll end, bool divides) {
    return divides ? zn_i64(e, block) : zn_min(e, zn_i64(e, block), LLVMBuildNSWSub(e->b, end, first, ""));
}

static void prefetch(zn_emit *e, zn_ll p, int write) {
    unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", 13);
    LLVMTypeRef type = e->ptr;
    zn_ll f = LLVMGetIntrinsicDeclaration(e->mod, id, &type, 1);
    zn_ll args[4] = {p, zn_i32(e, (uint32_t)write), zn_i32(e, 2), zn_i32(e, 1)};
    LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->ctx, id, &type, 1), f, args, 4, "");
}

/* ---- weights: w [3][3][C][O] -> U; a unit is one input channel */

void zn_emit_wino_weights(zn_emit *e) {
    const zn_type *t = &e->k->bindings.at[0].type; /* [3, 3, C, O], turned or not */
    int64_t c = t->dim[2], o = t->dim[3], block = (int64_t)block_vecs(e, o) * e->lanes;
    zn_ll w = e->base[0], u = e->base[1];
    zn_loop lc, lo;
    zn_loop_begin(e, &lc, e->begin, e->end, 1, 0, NULL);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, o), e->lanes, 0, NULL);
    zn_ll g[9], h[18], v[POINTS], from = zn_at(e, w, zn_add(e, zn_mul(e, lc.i, o), lo.i));
    for (int i = 0; i < 9; i++)
        g[i] = zn_load(e, zn_atk(e, from, i * c * o), e->lanes);
    for (int j = 0; j < 3; j++)
        weight_1d(e, g + j, 3, h + j, 3);
    for (int i = 0; i < 6; i++)
        weight_1d(e, h + 3 * i, 1, v + 6 * i, 1);
    zn_ll panel = LLVMBuildUDiv(e->b, lo.i, zn_i64(e, block), "");
    zn_ll to =
        zn_at(e, u, zn_add(e, zn_mul(e, panel, c * block), zn_add(e, zn_mul(e, lc.i, block), rem(e, lo.i, block))));
    for (int k = 0; k < POINTS; k++)
        zn_store(e, zn_atk(e, to, k * c * o), v[k], e->lanes);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lc, NULL);
}

/* ---- convolution */

typedef struct wino {
    tiles s;
    int in, in2;         /* bindings of x (6x6 tiles) and, for weights, dy (4x4 tiles) */
    int64_t c, o, block; /* block: tiles in scratch */
    int64_t kv, km;      /* floats between positions k in V and M (or Z) */
    int vecs, rows;
    zn_ll v, m, u;      /* addresses */
    zn_ll first, count; /* tiles of this block */
} wino;

/* All bits where cond holds, none where not, in every lane: what is loaded through a norm is no longer zero in the
 * halo, and has to be made so again. */
static zn_ll border_mask(zn_emit *e, zn_ll cond) {
    return zn_splat(e, LLVMBuildSExt(e->b, cond, e->i32, ""));
}

static zn_ll masked(zn_emit *e, zn_ll x, zn_ll mask) {
    return LLVMBuildBitCast(e->b, LLVMBuildAnd(e->b, LLVMBuildBitCast(e->b, x, e->ivec, ""), mask, ""), e->vec, "");
}

/* 6x6 tiles of binding `in` into V: lanes over channels [c0, c1). rows: of a panel. */
static void transform_inputs(zn_emit *e, const wino *x, int rows, zn_ll c0, zn_ll c1, int64_t channels) {
    zn_loop lt, lc;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll n, h, w, p[6];
    locate(e, &x->s, zn_add(e, x->first, lt.i), &n, &h, &w);
    for (int i = 0; i < 6; i++)
        p[i] = zn_at(e, zn_row_ptr(e, x->in, n, zn_addk(e, h, i - 1)), zn_mul(e, zn_addk(e, w, -1), x->c));
    bool through = zn_loads_through(e);
    zn_ll edge[6] = {0}, side[6] = {0}; /* of the first and last row and column of the tile */
    if (through) {
        edge[0] = border_mask(e, LLVMBuildICmp(e->b, LLVMIntSGT, h, zn_i64(e, 0), ""));
        edge[5] = border_mask(e, LLVMBuildICmp(e->b, LLVMIntSLT, h, zn_i64(e, x->s.each / x->s.across * 4 - 4), ""));
        side[0] = border_mask(e, LLVMBuildICmp(e->b, LLVMIntSGT, w, zn_i64(e, 0), ""));
        side[5] = border_mask(e, LLVMBuildICmp(e->b, LLVMIntSLT, w, zn_i64(e, x->s.across * 4 - 4), ""));
    }
    zn_ll panel = LLVMBuildUDiv(e->b, lt.i, zn_i64(e, rows), "");
    zn_ll to = zn_at(e, x->v, zn_add(e, zn_mul(e, panel, channels * rows), zn_mul(e, rem(e, lt.i, rows), e->lanes)));
    zn_loop_begin(e, &lc, c0, c1, e->lanes, 0, NULL);
    zn_ll d[POINTS], t[POINTS], v[6];
    zn_invariants inv = {0};
    if (through)
        zn_hoist_loads(e, &inv, lc.i, e->lanes);
    for (int j = 0; j < 6; j++) {
        for (int i = 0; i < 6; i++) {
            zn_ll q = zn_load(e, zn_atk(e, zn_at(e, p[i], lc.i), j * x->c), e->lanes);
            if (through)
                q = zn_emit_load_through(e, &inv, q);
            if (through && edge[i])
                q = masked(e, q, edge[i]);
            if (through && side[j])
                q = masked(e, q, side[j]);
            d[i * 6 + j] = q;
        }
        input_1d(e, d + j, 6, t + j, 6);
    }
    zn_ll at = zn_at(e, to, zn_mul(e, LLVMBuildNSWSub(e->b, lc.i, c0, ""), rows));
    for (int i = 0; i < 6; i++) {
        input_1d(e, t + 6 * i, 1, v, 1);
        for (int j = 0; j < 6; j++)
            zn_store(e, zn_atk(e, at, (i * 6 + j) * x->kv), v[j], e->lanes);
    }
    zn_loop_end(e, &lc, NULL);
    zn_loop_end(e, &lt, NULL);
}

/* Memory that is needed soon, fetched line by line in the calls of the product: what the next block reads, and what the
 * transform after the products reads and writes. */
typedef struct ahead {
    zn_ll from[ZN_MAX_BINDINGS];
    int lines[ZN_MAX_BINDINGS]; /* a call */
    int write[ZN_MAX_BINDINGS];
    int n;
} ahead;

/* Lines from the row of tile `tile` in binding b, for `block` tiles of `channels`. A tile of one line of channels is 16
 * lines; rows of neighbouring tiles lie together but for halos. */
static void fetch(zn_emit *e, const wino *x, ahead *a, int b, zn_ll tile, int64_t channels, int64_t calls, int write) {
    zn_ll n, h, w;
    locate(e, &x->s, tile, &n, &h, &w);
    a->from[a->n] = zn_row_ptr(e, b, n, h);
    a->lines[a->n] = (int)((x->block * channels + calls - 1) / calls);
    a->write[a->n++] = write;
}

static void issue(zn_emit *e, const ahead *a, zn_ll call) {
    for (int i = 0; i < a->n; i++) {
        zn_ll p = zn_at(e, a->from[i], zn_mul(e, call, a->lines[i] * 16));
        for (int j = 0; j < a->lines[i]; j++)
            prefetch(e, zn_atk(e, p, j * 16), a->write[i]);
    }
}

/* M[k][o ...][panel of tiles] = V[k][panel] U[k][block of outputs] */
static void product(zn_emit *e, const wino *x, zn_ll k, zn_ll o, zn_ll p) {
    int n = x->rows * x->vecs, unroll = 4;
    int64_t width = (int64_t)x->vecs * e->lanes;
    zn_ll acc[ZN_MAX_CARRIED], a = zn_at(e, x->v, zn_add(e, zn_mul(e, k, x->kv), zn_mul(e, p, x->c * x->rows)));
    zn_ll b = zn_at(e, x->u, zn_add(e, zn_mul(e, k, x->c * x->o), zn_mul(e, o, x->c)));
    for (int i = 0; i < n; i++)
        acc[i] = zn_vconst(e, 0);
    zn_loop lb, lc;
    zn_loop_begin(e, &lb, zn_i64(e, 0), zn_i64(e, x->c), e->lanes, n, acc);
    zn_ll ab = zn_at(e, a, zn_mul(e, lb.i, x->rows)), bb = zn_at(e, b, zn_mul(e, lb.i, width));
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

/* Panels of `rows` in n tiles. */
static zn_ll panels_of(zn_emit *e, zn_ll n, int rows) {
    int64_t k;
    return zn_is_const(n, &k) ? zn_i64(e, (k + rows - 1) / rows)
                              : LLVMBuildUDiv(e->b, zn_addk(e, n, rows - 1), zn_i64(e, rows), "");
}

static void products(zn_emit *e, const wino *x) {
    zn_loop lk, lo, lp;
    int64_t width = (int64_t)x->vecs * e->lanes, panels = x->block / x->rows, calls = POINTS * (x->o / width) * panels;
    ahead soon = {0};
    fetch(e, x, &soon, x->in, zn_addk(e, x->first, x->block), x->c, calls, 0);
    for (size_t i = 0; i < e->k->bindings.n; i++) {
        const zn_binding *b = &e->k->bindings.at[i];
        if (b->value && b->type.rank == 4 && (int)i != x->in && zn_type_equal(&b->type, &e->k->group->anchor->type))
            fetch(e, x, &soon, (int)i, x->first, x->o, calls, b->kind == ZN_BIND_OUT);
    }
    zn_loop_begin(e, &lk, zn_i64(e, 0), zn_i64(e, POINTS), 1, 0, NULL);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, x->o / width), 1, 0, NULL);
    zn_ll at = zn_mul(e, zn_add(e, zn_mul(e, lk.i, x->o / width), lo.i), panels);
    zn_loop_begin(e, &lp, zn_i64(e, 0), panels_of(e, x->count, x->rows), 1, 0, NULL);
    issue(e, &soon, zn_add(e, at, lp.i));
    product(e, x, lk.i, zn_mul(e, lo.i, width), lp.i);
    zn_loop_end(e, &lp, NULL);
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lk, NULL);
}

static void transform_outputs(zn_emit *e, const wino *x) {
    zn_loop lo, lt;
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, x->o), e->lanes, 0, NULL);
    zn_invariants inv = {0};
    zn_hoist(e, &inv, lo.i, e->lanes);
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll from = zn_at(e, x->m, zn_add(e, zn_mul(e, lo.i, x->block), zn_mul(e, lt.i, e->lanes)));
    zn_ll m[POINTS], t[24], y[4], n, h, w;
    for (int j = 0; j < 6; j++) {
        for (int i = 0; i < 6; i++)
            m[i * 6 + j] = zn_load(e, zn_atk(e, from, (i * 6 + j) * x->km), e->lanes);
        output_1d(e, m + j, 6, t + j, 6);
    }
    locate(e, &x->s, zn_add(e, x->first, lt.i), &n, &h, &w);
    for (int i = 0; i < 4; i++) {
        zn_point p = {.lanes = e->lanes};
        zn_point_row(e, &p, n, zn_addk(e, h, i));
        output_1d(e, t + 6 * i, 1, y, 1);
        for (int j = 0; j < 4; j++) {
            p.offset = zn_add(e, zn_mul(e, zn_addk(e, w, j), x->o), lo.i);
            zn_emit_values(e, &p, &inv, y[j]);
        }
    }
    zn_loop_end(e, &lt, NULL);
    zn_loop_end(e, &lo, NULL);
}

static void halos(zn_emit *e, zn_ll first, zn_ll last) {
    zn_loop l;
    zn_loop_begin(e, &l, first, last, 1, 0, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}

void zn_emit_wino_conv(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    wino x = {.s = tiles_of(&v->type), .in = zn_binding_of(e, ZN_BIND_IN, zn_group_loaded(e->k->group))};
    int64_t unit = e->k->unit, unit_tiles = unit * x.s.each;
    x.c = zn_type_channels(&v->operand[0]->type);
    x.o = zn_type_channels(&v->type);
    x.block = e->k->block;
    x.vecs = block_vecs(e, x.o);
    x.rows = tile_rows(e, x.vecs);
    x.kv = x.block * x.c + 16;
    x.km = x.block * x.o + 16;
    x.v = e->scratch;
    x.m = zn_atk(e, e->scratch, POINTS * x.kv);
    x.u = e->base[zn_binding_temp(e, "transformed", 0)];
    zn_loop u, lb;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll image = zn_mul(e, u.i, unit), last = zn_min(e, zn_addk(e, image, unit), zn_i64(e, x.s.images));
    zn_ll from = zn_mul(e, u.i, unit_tiles), end = zn_mul(e, last, x.s.each);
    zn_loop_begin(e, &lb, from, end, x.block, 0, NULL);
    x.first = lb.i;
    x.count = block_count(e, x.block, lb.i, end, unit_tiles % x.block == 0 && x.s.images % unit == 0);
    transform_inputs(e, &x, x.rows, zn_i64(e, 0), zn_i64(e, x.c), x.c);
    products(e, &x);
    transform_outputs(e, &x);
    zn_loop_end(e, &lb, NULL);
    halos(e, image, last);
    if (e->k->group->reduces.n) { /* a unit is whole shards */
        int64_t shards = e->k->bindings.at[zn_binding_temp(e, "partial", 0)].type.dim[0], images = x.s.images / shards;
        zn_loop ls;
        zn_loop_begin(e, &ls, image, last, images, 0, NULL);
        zn_emit_reduces(e, ls.i, images, LLVMBuildUDiv(e->b, ls.i, zn_i64(e, images), ""));
        zn_loop_end(e, &ls, NULL);
    }
    zn_loop_end(e, &u, NULL);
}

/* ---- gradient by weights: a unit is one shard and one block of input channels */

/* 4x4 tiles of dy into Z [36][outputs / lanes][tiles][lanes] */
static void transform_gradients(zn_emit *e, const wino *x) {
    zn_loop lt, lo;
    zn_loop_begin(e, &lt, zn_i64(e, 0), x->count, 1, 0, NULL);
    zn_ll n, h, w, p[4];
    locate(e, &x->s, zn_add(e, x->first, lt.i), &n, &h, &w);
    for (int i = 0; i < 4; i++)
        p[i] = zn_at(e, zn_row_ptr(e, x->in2, n, zn_addk(e, h, i)), zn_mul(e, w, x->o));
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, x->o), e->lanes, 0, NULL);
    zn_ll d[16], t[24], z[6], to = zn_at(e, x->m, zn_add(e, zn_mul(e, lo.i, x->block), zn_mul(e, lt.i, e->lanes)));
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 4; i++)
            d[i * 4 + j] = zn_load(e, zn_atk(e, zn_at(e, p[i], lo.i), j * x->o), e->lanes);
        gradient_1d(e, d + j, 4, t + j, 4);
    }
    for (int i = 0; i < 6; i++) {
        gradient_1d(e, t + 4 * i, 1, z, 1);
        for (int j = 0; j < 6; j++)
            zn_store(e, zn_atk(e, to, (i * 6 + j) * x->km), z[j], e->lanes);
    }
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lt, NULL);
}

/* dU[k][c ... rows][o ... vecs] += V[k]^T Z[k] over the block's tiles. V is [36][channels / lanes][tiles][lanes] here.
 */
static void accumulate(zn_emit *e, const wino *x, zn_ll k, zn_ll c, zn_ll o, zn_ll to) {
    int n = x->rows * x->vecs;
    zn_ll acc[ZN_MAX_CARRIED], in_block = rem(e, c, e->lanes), whole = LLVMBuildNSWSub(e->b, c, in_block, "");
    zn_ll a = zn_at(e, x->v, zn_add(e, zn_mul(e, k, x->kv), zn_add(e, zn_mul(e, whole, x->block), in_block)));
    zn_ll b = zn_at(e, x->m, zn_add(e, zn_mul(e, k, x->km), zn_mul(e, o, x->block)));
    for (int i = 0; i < n; i++)
        acc[i] = zn_load(e, zn_atk(e, to, (int64_t)i * e->lanes), e->lanes);
    zn_loop lt;
    int64_t known;
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
            zn_ll s = zn_load_splat(e, zn_atk(e, at, q * e->lanes + i));
            for (int r = 0; r < x->vecs; r++)
                acc[i * x->vecs + r] = zn_fma(e, z[r], s, acc[i * x->vecs + r]);
        }
    }
    zn_loop_end(e, &lt, acc);
    for (int i = 0; i < n; i++)
        zn_store(e, zn_atk(e, to, (int64_t)i * e->lanes), lt.v[i], e->lanes);
}

/* Partial dU of a shard: [36][C / rows][O / block][rows][vecs][lanes] */
static zn_ll partial_at(zn_emit *e, const wino *x, zn_ll base, zn_ll k, zn_ll c, zn_ll o) {
    return zn_at(e, base, zn_add(e, zn_mul(e, k, x->c * x->o), zn_add(e, zn_mul(e, c, x->o), zn_mul(e, o, x->rows))));
}

void zn_emit_wino_grad_w(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    wino x = {.s = tiles_of(&v->operand[1]->type), .in = 0, .in2 = zn_binding_of(e, ZN_BIND_IN, v->operand[1])};
    int temp = zn_binding_temp(e, "partial", 0);
    int64_t shards = e->k->bindings.at[temp].type.dim[0], channels = e->k->unit;
    x.c = zn_type_channels(&v->operand[0]->type);
    x.o = zn_type_channels(&v->operand[1]->type);
    x.block = e->k->block;
    x.vecs = block_vecs(e, x.o);
    x.rows = tile_rows(e, x.vecs);
    x.kv = x.block * channels + 16;
    x.km = x.block * x.o + 16;
    x.v = e->scratch;
    x.m = zn_atk(e, e->scratch, POINTS * x.kv);
    zn_loop u, lb, lz, lk, lc, lo;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    int64_t blocks = x.c / channels;
    zn_ll shard = LLVMBuildUDiv(e->b, u.i, zn_i64(e, blocks), ""), c0 = zn_mul(e, rem(e, u.i, blocks), channels);
    zn_ll base = zn_at(e, e->base[temp], zn_mul(e, shard, POINTS * x.c * x.o));
    zn_ll from = LLVMBuildUDiv(e->b, zn_mul(e, shard, x.s.images), zn_i64(e, shards), "");
    zn_ll to = LLVMBuildUDiv(e->b, zn_mul(e, zn_addk(e, shard, 1), x.s.images), zn_i64(e, shards), "");
    zn_loop_begin(e, &lk, zn_i64(e, 0), zn_i64(e, POINTS), 1, 0, NULL);
    zn_ll start = partial_at(e, &x, base, lk.i, c0, zn_i64(e, 0));
    zn_loop_begin(e, &lz, zn_i64(e, 0), zn_i64(e, channels * x.o), e->lanes, 0, NULL);
    zn_store(e, zn_at(e, start, lz.i), zn_vconst(e, 0), e->lanes);
    zn_loop_end(e, &lz, NULL);
    zn_loop_end(e, &lk, NULL);
    zn_ll end = zn_mul(e, to, x.s.each);
    zn_loop_begin(e, &lb, zn_mul(e, from, x.s.each), end, x.block, 0, NULL);
    x.first = lb.i;
    x.count =
        block_count(e, x.block, lb.i, end, x.s.images % shards == 0 && x.s.images / shards * x.s.each % x.block == 0);
    /* one panel of all tiles, so that (channels / lanes, tiles, lanes) is contiguous */
    transform_inputs(e, &x, (int)x.block, c0, zn_addk(e, c0, channels), channels);
    transform_gradients(e, &x);
    int64_t width = (int64_t)x.vecs * e->lanes, outs = x.o / width, rows = channels / x.rows;
    ahead soon = {0};
    fetch(e, &x, &soon, x.in, zn_addk(e, lb.i, x.block), x.c, POINTS * rows * outs, 0);
    fetch(e, &x, &soon, x.in2, zn_addk(e, lb.i, x.block), x.o, POINTS * rows * outs, 0);
    zn_loop_begin(e, &lk, zn_i64(e, 0), zn_i64(e, POINTS), 1, 0, NULL);
    zn_loop_begin(e, &lc, zn_i64(e, 0), zn_i64(e, rows), 1, 0, NULL);
    zn_ll row = zn_mul(e, lc.i, x.rows), call = zn_mul(e, zn_add(e, zn_mul(e, lk.i, rows), lc.i), outs);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, outs), 1, 0, NULL);
    zn_ll out = zn_mul(e, lo.i, width);
    issue(e, &soon, zn_add(e, call, lo.i));
    accumulate(e, &x, lk.i, row, out, partial_at(e, &x, base, lk.i, zn_add(e, c0, row), out));
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lc, NULL);
    zn_loop_end(e, &lk, NULL);
    zn_loop_end(e, &lb, NULL);
    zn_loop_end(e, &u, NULL);
}

/* Joins the shards' dU and turns them into dw; a unit is one register tile of input channels. */
void zn_emit_wino_join(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    int temp = zn_binding_temp(e, "partial", 0);
    int64_t shards = e->k->bindings.at[temp].type.dim[0], unit = e->k->unit;
    wino x = {.c = v->type.dim[2], .o = v->type.dim[3]};
    x.vecs = block_vecs(e, x.o);
    x.rows = tile_rows(e, x.vecs);
    zn_point p = {.lanes = e->lanes};
    zn_invariants inv = {0};
    zn_point_flat(e, &p);
    zn_hoist(e, &inv, zn_i64(e, 0), e->lanes);
    zn_loop u, lc, lo;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, unit);
    zn_loop_begin(e, &lc, first, zn_addk(e, first, unit), 1, 0, NULL);
    zn_loop_begin(e, &lo, zn_i64(e, 0), zn_i64(e, x.o), e->lanes, 0, NULL);
    zn_ll row = rem(e, lc.i, x.rows), tile = LLVMBuildNSWSub(e->b, lc.i, row, "");
    int64_t width = (int64_t)x.vecs * e->lanes;
    zn_ll vec = rem(e, lo.i, width), block = LLVMBuildNSWSub(e->b, lo.i, vec, "");
    zn_ll from = partial_at(e, &x, e->base[temp], zn_i64(e, 0), tile, block);
    from = zn_at(e, from, zn_add(e, zn_mul(e, row, width), vec));
    zn_ll d[POINTS], t[18], g[9];
    for (int k = 0; k < POINTS; k++) {
        zn_ll s[ZN_MAX_SHARDS];
        for (int64_t q = 0; q < shards; q++)
            s[q] = zn_load(e, zn_atk(e, from, (q * POINTS + k) * x.c * x.o), e->lanes);
        d[k] = zn_tree_sum(e, s, shards);
    }
    for (int j = 0; j < 6; j++)
        weight_gradient_1d(e, d + j, 6, t + j, 6);
    for (int i = 0; i < 3; i++)
        weight_gradient_1d(e, t + 6 * i, 1, g + 3 * i, 1);
    for (int k = 0; k < 9; k++) {
        p.offset = zn_add(e, zn_mul(e, zn_addk(e, lc.i, k * x.c), x.o), lo.i);
        zn_emit_values(e, &p, &inv, g[k]);
    }
    zn_loop_end(e, &lo, NULL);
    zn_loop_end(e, &lc, NULL);
    zn_loop_end(e, &u, NULL);
}
