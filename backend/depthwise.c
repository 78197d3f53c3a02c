/* Convolutions in groups of 1, 2 or 4 channels, as many in x as in y, and their gradients: lanes run over the channels
 * of all groups, which lie side by side in x, y and the weights. In a group of d channels, input channel i of every
 * group is shuffled to all d lanes of its group, for i = 0 ... d - 1; with d = 1 nothing is shuffled.
 *
 * What limits is memory: positions go in its order, and all channels of a few positions come before the next ones. */
#include "backend/conv.h"

enum { MAX_TILE = 8, MAX_UNROLLED = 16, MAX_GROUP = 4, MAX_AHEAD = 2 };

/* Lanes of input channel i of each group in all lanes of the group. */
static zn_ll spread(zn_emit *e, zn_ll x, int64_t group, int64_t i) {
    zn_ll at[64];
    if (group == 1)
        return x;
    for (int l = 0; l < e->lanes; l++)
        at[l] = zn_i32(e, (uint32_t)(l / group * group + i));
    return LLVMBuildShuffleVector(e->b, x, LLVMGetPoison(e->vec), LLVMConstVector(at, (unsigned)e->lanes), "");
}

/* body(first channel, valid lanes) for `channels` channels from c0 on: a loop over whole vectors, then the rest. */
typedef void vector_fn(zn_emit *e, zn_ll c, int lanes, void *ctx);
static void over_vectors(zn_emit *e, zn_ll c0, int64_t channels, vector_fn *body, void *ctx) {
    int64_t whole = channels / e->lanes * e->lanes;
    if (whole) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        body(e, zn_add(e, c0, l.i), e->lanes, ctx);
        zn_loop_end(e, &l, NULL);
    }
    if (channels > whole)
        body(e, zn_addk(e, c0, whole), (int)(channels - whole), ctx);
}

/* ---- convolution, and gradient by data */

typedef struct depthwise {
    const zn_value *v;
    int in; /* binding of the input */
    int64_t channels, group;
    zn_ll weights;
    zn_conv_class c;
    zn_ll n, i, j; /* image, row and column of the class that the tile begins at */
    int tw;        /* its columns */
    zn_point p;
} depthwise;

/* Row kh of the kernel onto the tile's sums; taps in order for each. x, w: at the first position and tap. */
static void kernel_row(zn_emit *e, const depthwise *d, zn_ll x, zn_ll w, int lanes, zn_ll *acc) {
    const zn_conv_class *c = &d->c;
    zn_ll weight[MAX_UNROLLED][MAX_GROUP];
    for (int64_t k = 0; k < c->kw; k++)
        for (int64_t i = 0; i < d->group; i++)
            weight[k][i] = zn_load(e, zn_atk(e, w, (k * d->group + i) * d->channels), lanes);
    for (int64_t q = 0; q < (d->tw - 1) * c->in_sw + c->kw; q++) { /* each input once */
        zn_ll in = NULL, part[MAX_GROUP];
        for (int t = 0; t < d->tw; t++) {
            int64_t k = q - t * c->in_sw;
            if (k < 0 || k >= c->kw)
                continue;
            if (!in) {
                in = zn_load(e, zn_atk(e, x, q * d->channels), lanes);
                for (int64_t i = 0; i < d->group; i++)
                    part[i] = spread(e, in, d->group, i);
            }
            for (int64_t i = 0; i < d->group; i++)
                acc[t] = zn_fma(e, part[i], weight[k][i], acc[t]);
        }
    }
}

/* The same for long rows, tap by tap. */
static void long_kernel_row(zn_emit *e, const depthwise *d, zn_ll x, zn_ll w, int lanes, zn_ll *acc) {
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, d->c.kw), 1, d->tw, acc);
    for (int t = 0; t < d->tw; t++)
        acc[t] = l.v[t];
    zn_ll xk = zn_at(e, x, zn_mul(e, l.i, d->channels)), wk = zn_at(e, w, zn_mul(e, l.i, d->group * d->channels));
    zn_ll weight[MAX_GROUP];
    for (int64_t i = 0; i < d->group; i++)
        weight[i] = zn_load(e, zn_atk(e, wk, i * d->channels), lanes);
    for (int t = 0; t < d->tw; t++) {
        zn_ll in = zn_load(e, zn_atk(e, xk, t * d->c.in_sw * d->channels), lanes);
        for (int64_t i = 0; i < d->group; i++)
            acc[t] = zn_fma(e, spread(e, in, d->group, i), weight[i], acc[t]);
    }
    zn_loop_end(e, &l, acc);
    for (int t = 0; t < d->tw; t++)
        acc[t] = l.v[t];
}

/* Asks for what the tile below this one will be the first to read, and for what the results will meet. */
static void ask_ahead(zn_emit *e, depthwise *d, zn_ll x, zn_ll ch, int lanes) {
    const zn_conv_class *c = &d->c;
    const zn_binding *in = &e->k->bindings.at[d->in];
    int64_t row = zn_layout_row(&in->type, &in->layout);
    for (int64_t r = 0; r < c->in_sh && r < MAX_AHEAD; r++)
        for (int64_t t = 0; t < d->tw * c->in_sw; t++)
            zn_prefetch(e, x, zn_i64(e, (c->kh + r) * row + t * d->channels), ZN_NEAR, false);
    for (int t = 0; t < d->tw; t++) {
        zn_ll col = zn_addk(e, zn_mul(e, zn_addk(e, d->j, t), c->step_w), c->out_w);
        d->p.offset = zn_add(e, zn_mul(e, col, d->channels), ch);
        d->p.lanes = lanes;
        zn_prefetch_values(e, &d->p);
    }
}

/* A tile's results at a vector of channels. */
static void tile_vector(zn_emit *e, zn_ll ch, int lanes, void *ctx) {
    depthwise *d = ctx;
    const zn_conv_class *c = &d->c;
    const zn_binding *in = &e->k->bindings.at[d->in];
    zn_ll acc[MAX_TILE];
    for (int t = 0; t < d->tw; t++)
        acc[t] = zn_vconst(e, 0);
    if (c->kh && c->kw) {
        zn_ll row = zn_addk(e, zn_mul(e, d->i, c->in_sh), c->in_h),
              col = zn_addk(e, zn_mul(e, d->j, c->in_sw), c->in_w);
        zn_ll x = zn_at(e, zn_row_ptr(e, d->in, d->n, row), zn_add(e, zn_mul(e, col, d->channels), ch));
        zn_ll w = zn_at(e, d->weights, zn_addk(e, ch, c->weights));
        zn_loop l;
        ask_ahead(e, d, x, ch, lanes);
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, c->kh), 1, d->tw, acc);
        for (int t = 0; t < d->tw; t++)
            acc[t] = l.v[t];
        x = zn_at(e, x, zn_mul(e, l.i, zn_layout_row(&in->type, &in->layout)));
        w = zn_at(e, w, zn_mul(e, l.i, c->kw * d->group * d->channels));
        (c->kw > MAX_UNROLLED ? long_kernel_row : kernel_row)(e, d, x, w, lanes, acc);
        zn_loop_end(e, &l, acc);
        for (int t = 0; t < d->tw; t++)
            acc[t] = l.v[t];
    }
    zn_invariants inv = {0};
    zn_hoist(e, &inv, ch, lanes);
    for (int t = 0; t < d->tw; t++) {
        zn_ll col = zn_addk(e, zn_mul(e, zn_addk(e, d->j, t), c->step_w), c->out_w);
        d->p.offset = zn_add(e, zn_mul(e, col, d->channels), ch);
        d->p.lanes = lanes;
        zn_emit_values(e, &d->p, &inv, acc[t]);
    }
}

/* Columns of a tile: a divisor of all of them where there is a good one. */
static int tile_columns(const zn_emit *e, const depthwise *d) {
    int64_t most = e->t->registers - 3 - d->c.kw * d->group, cols = d->c.cols;
    most = most > MAX_TILE ? MAX_TILE : most < 4 ? 4 : most;
    for (int64_t w = most; w > most / 2; w--)
        if (cols % w == 0)
            return (int)w;
    return (int)(cols < most ? cols : most);
}

static void class_image(zn_emit *e, depthwise *d, zn_ll n) {
    const zn_conv_class *c = &d->c;
    int tw = tile_columns(e, d);
    int64_t whole = c->cols / tw * tw;
    zn_loop li, lj;
    zn_loop_begin(e, &li, zn_i64(e, 0), zn_i64(e, c->rows), 1, 0, NULL);
    d->n = n;
    d->i = li.i;
    zn_point_row(e, &d->p, n, zn_addk(e, zn_mul(e, li.i, c->step_h), c->out_h));
    zn_loop_begin(e, &lj, zn_i64(e, 0), zn_i64(e, whole), tw, 0, NULL);
    d->j = lj.i;
    d->tw = tw;
    over_vectors(e, zn_i64(e, 0), d->channels, tile_vector, d);
    zn_loop_end(e, &lj, NULL);
    if (whole < c->cols) {
        d->j = zn_i64(e, whole);
        d->tw = (int)(c->cols - whole);
        over_vectors(e, zn_i64(e, 0), d->channels, tile_vector, d);
    }
    zn_loop_end(e, &li, NULL);
}

void zn_emit_depthwise(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    depthwise d = {.v = v, .channels = v->type.dim[3], .group = zn_conv_narrow_groups(v)};
    d.in = zn_binding_of(e, ZN_BIND_IN, v->operand[0]);
    d.weights = zn_conv_weights(e, v);
    zn_arena scratch = {0};
    zn_conv_classes_list classes = zn_conv_classes(v, &scratch);
    zn_loop u, ln;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, e->k->unit),
          last = zn_min(e, zn_addk(e, first, e->k->unit), zn_i64(e, v->type.dim[0]));
    zn_loop_begin(e, &ln, first, last, 1, 0, NULL);
    for (size_t i = 0; i < classes.n; i++) {
        d.c = classes.at[i];
        if (d.c.rows > 0 && d.c.cols > 0)
            class_image(e, &d, ln.i);
    }
    zn_emit_halo(e, ln.i);
    zn_loop_end(e, &ln, NULL);
    zn_emit_reduces(e, first, e->k->unit, u.i);
    zn_loop_end(e, &u, NULL);
    zn_arena_free(&scratch);
}

/* ---- gradient by weights */

enum { MAX_TAPS = 32, MAX_POSITIONS = 4 };

typedef struct grad_w {
    const zn_value *v;
    int x, dy; /* bindings */
    int64_t channels, group, kh, kw, oh, ow;
    const int64_t *stride, *pad;
    zn_ll sums;      /* of the shard: [kh][kw][group][channels] */
    int64_t chunk;   /* rows of it */
    zn_ll n, h0, h1; /* image, and rows of dy of the chunk */
    zn_ll ch;        /* under work: a vector of channels */
    int lanes;
    zn_ll tap_h, tap_w; /* the first of a block of taps */
    int64_t rows, cols; /* of taps in it */
    int64_t positions;  /* of a row that are taken at once */
} grad_w;

/* Asks for what the next chunk will need at these positions. */
static void ask_for_chunk(zn_emit *e, const grad_w *g, zn_ll x, zn_ll dy, int64_t count) {
    const zn_binding *in = &e->k->bindings.at[g->x], *out = &e->k->bindings.at[g->dy];
    int64_t row = zn_layout_row(&in->type, &in->layout), ahead = g->chunk * g->stride[0] + g->rows - g->stride[0];
    if (g->stride[0] * g->stride[1] > 4)
        return;
    for (int64_t r = 0; r < g->stride[0]; r++)
        for (int64_t t = 0; t < count * g->stride[1]; t++)
            zn_prefetch(e, x, zn_i64(e, (ahead + r) * row + t * g->channels), ZN_NEAR, false);
    for (int64_t t = 0; t < count; t++)
        zn_prefetch(e, dy, zn_i64(e, g->chunk * zn_layout_row(&out->type, &out->layout) + t * g->channels), ZN_NEAR,
                    false);
}

/* Sums += the products of `count` positions, which x and dy are the first of. */
static void some_positions(zn_emit *e, const grad_w *g, zn_ll x, zn_ll dy, int64_t count, zn_ll *acc) {
    const zn_binding *in = &e->k->bindings.at[g->x];
    int64_t row = zn_layout_row(&in->type, &in->layout);
    zn_ll d[MAX_POSITIONS];
    ask_for_chunk(e, g, x, dy, count);
    for (int64_t t = 0; t < count; t++)
        d[t] = zn_load(e, zn_atk(e, dy, t * g->channels), g->lanes);
    for (int64_t a = 0; a < g->rows; a++)
        for (int64_t q = 0; q < (count - 1) * g->stride[1] + g->cols; q++) { /* each input once */
            zn_ll v = NULL;
            for (int64_t t = 0; t < count; t++) {
                int64_t k = q - t * g->stride[1];
                if (k < 0 || k >= g->cols)
                    continue;
                v = v ? v : zn_load(e, zn_atk(e, x, a * row + q * g->channels), g->lanes);
                for (int64_t i = 0; i < g->group; i++) {
                    zn_ll *s = &acc[(a * g->cols + k) * g->group + i];
                    *s = zn_fma(e, spread(e, v, g->group, i), d[t], *s);
                }
            }
        }
}

/* The chunk's positions, for a block of taps of a vector of channels. */
static void tap_block(zn_emit *e, const grad_w *g) {
    int n = (int)(g->rows * g->cols * g->group);
    zn_ll acc[MAX_TAPS], at[MAX_TAPS];
    for (int64_t i = 0; i < n; i++) {
        int64_t a = i / (g->cols * g->group), rest = i % (g->cols * g->group);
        zn_ll tap = zn_add(e, zn_mul(e, zn_addk(e, g->tap_h, a), g->kw), g->tap_w);
        tap = zn_addk(e, zn_mul(e, tap, g->group), rest);
        at[i] = zn_at(e, g->sums, zn_add(e, zn_mul(e, tap, g->channels), g->ch));
        acc[i] = zn_load(e, at[i], g->lanes);
    }
    int64_t whole = g->ow / g->positions * g->positions;
    zn_loop lh, lw;
    zn_loop_begin(e, &lh, g->h0, g->h1, 1, n, acc);
    zn_ll h = zn_add(e, zn_addk(e, zn_mul(e, lh.i, g->stride[0]), -g->pad[0]), g->tap_h);
    zn_ll x = zn_at(e, zn_row_ptr(e, g->x, g->n, h), zn_mul(e, zn_addk(e, g->tap_w, -g->pad[1]), g->channels));
    zn_ll dy = zn_at(e, zn_row_ptr(e, g->dy, g->n, lh.i), g->ch);
    x = zn_at(e, x, g->ch);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, whole), g->positions, n, lh.v);
    for (int i = 0; i < n; i++)
        acc[i] = lw.v[i];
    some_positions(e, g, zn_at(e, x, zn_mul(e, lw.i, g->stride[1] * g->channels)),
                   zn_at(e, dy, zn_mul(e, lw.i, g->channels)), g->positions, acc);
    zn_loop_end(e, &lw, acc);
    for (int i = 0; i < n; i++)
        acc[i] = lw.v[i];
    if (whole < g->ow)
        some_positions(e, g, zn_atk(e, x, whole * g->stride[1] * g->channels), zn_atk(e, dy, whole * g->channels),
                       g->ow - whole, acc);
    zn_loop_end(e, &lh, acc);
    for (int i = 0; i < n; i++)
        zn_store(e, at[i], lh.v[i], g->lanes);
}

/* Blocks of so many taps each that cover `n`, and the rest: f(first, how many). */
typedef void taps_fn(zn_emit *e, grad_w *g, zn_ll first, int64_t count);
static void over_taps(zn_emit *e, grad_w *g, int64_t n, int64_t block, taps_fn *f) {
    int64_t whole = n / block * block;
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), block, 0, NULL);
    f(e, g, l.i, block);
    zn_loop_end(e, &l, NULL);
    if (whole < n)
        f(e, g, zn_i64(e, whole), n - whole);
}

static void tap_columns(zn_emit *e, grad_w *g, zn_ll first, int64_t count) {
    g->tap_w = first;
    g->cols = count;
    tap_block(e, g);
}

/* Taps whose sums are held at once. */
static int64_t most_taps(const zn_emit *e, const grad_w *g) {
    int64_t most = (e->t->registers - 7) / g->group;
    return most < MAX_TAPS / g->group ? most : MAX_TAPS / g->group;
}

static int64_t even_part(int64_t n, int64_t most) {
    int64_t parts = (n + most - 1) / most;
    return (n + parts - 1) / parts;
}

static void tap_rows(zn_emit *e, grad_w *g, zn_ll first, int64_t count) {
    g->tap_h = first;
    g->rows = count;
    over_taps(e, g, g->kw, even_part(g->kw, most_taps(e, g)), tap_columns);
}

static void chunk_vector(zn_emit *e, zn_ll ch, int lanes, void *ctx) {
    grad_w *g = ctx;
    int64_t most = most_taps(e, g), rows = most / g->kw > 1 ? most / g->kw : 1;
    g->ch = ch;
    g->lanes = lanes;
    over_taps(e, g, g->kh, even_part(g->kh, rows), tap_rows);
}

static void clear_vector(zn_emit *e, zn_ll ch, int lanes, void *ctx) {
    const grad_w *g = ctx;
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, g->kh * g->kw * g->group), 1, 0, NULL);
    zn_store(e, zn_at(e, g->sums, zn_add(e, zn_mul(e, l.i, g->channels), ch)), zn_vconst(e, 0), lanes);
    zn_loop_end(e, &l, NULL);
}

/* `channels` channels from c0 on, of all images of a shard. */
static void shard_channels(zn_emit *e, grad_w *g, zn_ll shard, int64_t shards, zn_ll c0, int64_t channels) {
    int64_t batch = g->v->operand[0]->type.dim[0], rows = e->k->block < g->oh ? e->k->block : g->oh;
    zn_loop ln, lh;
    g->chunk = rows;
    g->sums =
        zn_at(e, e->base[zn_binding_temp(e, "partial", 0)], zn_mul(e, shard, g->kh * g->kw * g->group * g->channels));
    over_vectors(e, c0, channels, clear_vector, g);
    zn_loop_begin(e, &ln, zn_shard_first(e, batch, shards, shard),
                  zn_shard_first(e, batch, shards, zn_addk(e, shard, 1)), 1, 0, NULL);
    g->n = ln.i;
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, g->oh), rows, 0, NULL);
    g->h0 = lh.i;
    g->h1 = zn_min(e, zn_addk(e, lh.i, rows), zn_i64(e, g->oh));
    over_vectors(e, c0, channels, chunk_vector, g);
    zn_loop_end(e, &lh, NULL);
    zn_loop_end(e, &ln, NULL);
}

void zn_emit_depthwise_grad_w(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *dy = &v->operand[1]->type;
    grad_w g = {.v = v, .x = 0, .dy = v->operand[0] == v->operand[1] ? 0 : 1, .channels = dy->dim[3]};
    g.group = zn_conv_narrow_groups(v);
    g.kh = v->type.dim[0], g.kw = v->type.dim[1], g.oh = dy->dim[1], g.ow = dy->dim[2];
    g.stride = zn_attr_of(v, CONV_GRAD_W, stride)->v;
    g.pad = zn_attr_of(v, CONV_GRAD_W, pad)->v;
    g.positions = g.ow < MAX_POSITIONS ? g.ow : MAX_POSITIONS;
    int64_t shards = e->k->bindings.at[zn_binding_temp(e, "partial", 0)].type.dim[0];
    int64_t unit = e->k->unit, blocks = (g.channels + unit - 1) / unit, rest = g.channels % unit;
    zn_loop u;
    zn_if s;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll block = LLVMBuildURem(e->b, u.i, zn_i64(e, blocks), ""),
          shard = LLVMBuildUDiv(e->b, u.i, zn_i64(e, blocks), ""), last = zn_i64(e, blocks - 1);
    if (blocks > 1 || !rest) {
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, rest ? LLVMIntSLT : LLVMIntSLE, block, last, ""));
        shard_channels(e, &g, shard, shards, zn_mul(e, block, unit), unit);
        zn_if_end(e, &s);
    }
    if (rest) {
        zn_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, block, last, ""));
        shard_channels(e, &g, shard, shards, zn_mul(e, block, unit), rest);
        zn_if_end(e, &s);
    }
    zn_loop_end(e, &u, NULL);
}
