/* Register-blocked kernels whose output elements are one chain of fused multiply-adds each: convolution, its gradient
 * by data, the matrix product. Gradients by weights: grad_w.c.
 *
 * A tile is `rows` positions by `vecs` vectors of outputs, held in registers; a step of k broadcasts one input element
 * per position and multiplies it with the vectors of weights. Lanes run over outputs, so neither the vector width nor
 * the tile changes the order of any sum. Weights are read as rows [k][outputs] where they lie (HWIO); (kw, c) is one
 * contiguous dimension of both input and weights, since the input has its halo in memory.
 *
 * The gradient by data is a convolution of dy with transposed weights (taps reversed, channels exchanged); a stride s
 * makes it s * s convolutions, one for each phase of the position, each with the taps that meet it. */
#include <string.h>

#include "backend/conv.h"
#include "backend/tile.h"
#include "support/ice.h"

/* Columns of a panel: two vectors of the widest processor, so that its layout is the same on all. */
enum { PANEL = 32 };
/* Weights that stay in the second cache while a tile after the other meets all of them. */
enum { OUTPUTS_LAST_WEIGHTS = 128 * 1024 };

typedef struct tile_job {
    int rows, vecs;
    int64_t at[ZN_TILE_ROWS];         /* floats from the tile's first input element to that of each position */
    int lanes[ZN_TILE_VECS];          /* valid lanes of each vector of outputs */
    int64_t kh, kw, kwc;              /* k is kh blocks of kw blocks of kwc */
    zn_ll kh_lo, kh_hi, kw_lo, kw_hi; /* of which these; NULL: all */
    zn_ll kwc_lo, kwc_hi;             /* where kw is 1: in steps of `step` */
    int64_t step;
    int64_t in_pitch, kw_pitch; /* floats between blocks in the input */
    int64_t outputs;            /* floats between steps of k in the weights */
    zn_ll ahead;                /* weights that later tiles read, row by row of k like this tile's; NULL */
    int64_t ahead_share;        /* one such row is asked for in as many steps of k */
    zn_ll next;                 /* as much input as the tile's, one line of memory, that a later tile reads; NULL */
} tile_job;

/* acc[row * vecs + vec] of a tile: x addresses the first position's first element, w the first vector of weights. */
static void tile_product(zn_emit *e, const tile_job *t, zn_ll x, zn_ll w, zn_ll *acc) {
    int n = t->rows * t->vecs, unroll = zn_unroll_of(t->kwc_lo ? t->step : t->kwc);
    for (int i = 0; i < n; i++)
        acc[i] = t->kh && t->kwc ? zn_tile_zero(e, t->lanes[i % t->vecs]) : zn_vconst(e, 0);
    if (!t->kh || !t->kwc)
        return;
    zn_loop lh, lw, lk;
    int64_t tap = t->kwc * t->outputs; /* of weights */
    zn_loop_begin(e, &lh, t->kh_lo ? t->kh_lo : zn_i64(e, 0), t->kh_lo ? t->kh_hi : zn_i64(e, t->kh), 1, n, acc);
    zn_ll xh = zn_at(e, x, zn_mul(e, lh.i, t->in_pitch)), wh = zn_at(e, w, zn_mul(e, lh.i, t->kw * tap));
    if (t->kw > 1) {
        zn_loop_begin(e, &lw, t->kw_lo ? t->kw_lo : zn_i64(e, 0), t->kw_lo ? t->kw_hi : zn_i64(e, t->kw), 1, n, lh.v);
        xh = zn_at(e, xh, zn_mul(e, lw.i, t->kw_pitch));
        wh = zn_at(e, wh, zn_mul(e, lw.i, tap));
    }
    zn_loop_begin(e, &lk, t->kwc_lo ? t->kwc_lo : zn_i64(e, 0), t->kwc_lo ? t->kwc_hi : zn_i64(e, t->kwc), unroll, n,
                  t->kw > 1 ? lw.v : lh.v);
    zn_ll xk = zn_at(e, xh, lk.i), wk = zn_at(e, wh, zn_mul(e, lk.i, t->outputs));
    for (int i = 0; i < n; i++)
        acc[i] = lk.v[i];
    for (int64_t i = 0; t->next && i < t->rows * unroll; i += 16)
        zn_prefetch(e, t->next, zn_addk(e, zn_mul(e, lk.i, t->rows), i), ZN_NEAR, false);
    for (int u = 0; u < unroll; u++) {
        zn_ll wv[ZN_TILE_VECS];
        if (t->ahead && u % t->ahead_share == 0) {
            zn_ll row = LLVMBuildUDiv(e->b, zn_addk(e, lk.i, u), zn_i64(e, t->ahead_share), "");
            for (int v = 0; v < t->vecs; v++)
                zn_prefetch(e, t->ahead, zn_addk(e, zn_mul(e, row, t->outputs), (int64_t)v * e->lanes), ZN_NEAR, false);
        }
        for (int v = 0; v < t->vecs; v++)
            wv[v] = zn_tile_load(e, zn_atk(e, wk, u * t->outputs + v * e->lanes), t->lanes[v]);
        for (int r = 0; r < t->rows; r++) {
            zn_ll b = zn_load_splat(e, zn_atk(e, xk, t->at[r] + u));
            for (int v = 0; v < t->vecs; v++)
                acc[r * t->vecs + v] = zn_fma(e, wv[v], zn_tile_splat(e, b, t->lanes[v]), acc[r * t->vecs + v]);
        }
    }
    zn_loop_end(e, &lk, acc);
    if (t->kw > 1)
        zn_loop_end(e, &lw, lk.v);
    zn_loop_end(e, &lh, t->kw > 1 ? lw.v : lk.v);
    for (int i = 0; i < n; i++)
        acc[i] = zn_tile_widen(e, lh.v[i]);
}

/* ---- convolution-like kernels over images */

/* th x tw positions of ti images, the first at (i, j) of image n. */
typedef struct conv_place {
    zn_ll n, i, j;
    int64_t ti, th, tw;
} conv_place;

typedef struct conv_ctx {
    const zn_value *v;
    int in; /* binding of the input */
    zn_ll weights;
    bool panels;               /* they lie in panels */
    int64_t weight_rows;       /* of all weights: kh kw c */
    int64_t channels, outputs; /* of input and output */
    int64_t groups;
    zn_ll group; /* under work */
    zn_conv_class c;
    zn_ll image, last; /* images of the unit */
    int64_t images;    /* in a unit */
    bool outputs_last; /* a tile's positions meet all outputs before the next positions */
    bool by_images;    /* a tile is one position of several images, and leaves out taps beyond the map */
    conv_place at;     /* of the tile under work */
    zn_out_block o;
    zn_invariants *inv; /* one per vector */
} conv_ctx;

static void tile_shape(const zn_emit *e, const zn_conv_class *c, int vecs, int64_t *th, int64_t *tw) {
    int64_t most = zn_tile_rows(e, vecs), best = 1;
    for (int64_t w = 1; w <= most && w <= c->cols; w++)
        if (c->cols % w == 0)
            best = w;
    *tw = best;
    if (best * 2 < most && c->cols > most) { /* no good divisor: full tiles and a rest */
        int64_t tiles = (c->cols + most - 1) / most;
        *tw = (c->cols + tiles - 1) / tiles;
    }
    *th = 1;
    while (*tw == c->cols && (*th + 1) * *tw <= most && *th + 1 <= c->rows)
        ++*th;
    while (c->rows % *th && *th > 1)
        --*th;
}

/* The results of a tile; before they are there (acc is NULL), asks for the lines they will need. */
static void conv_values(zn_emit *e, conv_ctx *x, const zn_ll *acc) {
    const zn_conv_class *c = &x->c;
    const conv_place *t = &x->at;
    int vecs = x->o.vecs;
    zn_point p = {0};
    for (int64_t r = 0; r < t->ti * t->th; r++) {
        zn_ll row = zn_addk(e, zn_mul(e, zn_addk(e, t->i, r % t->th), c->step_h), c->out_h);
        zn_point_row(e, &p, zn_addk(e, t->n, r / t->th), row);
        for (int64_t b = 0; b < t->tw; b++) {
            zn_ll out_col = zn_addk(e, zn_mul(e, zn_addk(e, t->j, b), c->step_w), c->out_w);
            zn_ll at = zn_add(e, zn_mul(e, out_col, x->outputs), x->o.first);
            for (int v = 0; v < vecs; v++) {
                p.offset = zn_addk(e, at, (int64_t)v * e->lanes);
                p.lanes = x->o.lanes[v];
                if (acc)
                    zn_emit_values(e, &p, &x->inv[v], acc[(r * t->tw + b) * vecs + v]);
                else
                    zn_prefetch_values(e, &p);
            }
        }
    }
}

/* The class's first row of weights at the block of outputs under work. */
static zn_ll weights_of_block(zn_emit *e, const conv_ctx *x) {
    if (!x->panels)
        return zn_at(e, x->weights, zn_addk(e, x->o.first, x->c.weights));
    int64_t known, row = x->c.weights / x->outputs * ZN_CONV_PANEL;
    zn_ll in = zn_is_const(x->o.first, &known) ? zn_i64(e, known % ZN_CONV_PANEL)
                                               : LLVMBuildAnd(e->b, x->o.first, zn_i64(e, ZN_CONV_PANEL - 1), "");
    zn_ll panel = zn_mul(e, zn_sub(e, x->o.first, in), x->weight_rows);
    return zn_at(e, x->weights, zn_addk(e, zn_add(e, panel, in), row));
}

static void conv_tile(zn_emit *e, conv_ctx *x) {
    const zn_conv_class *c = &x->c;
    const conv_place *at = &x->at;
    const zn_binding *in = &e->k->bindings.at[x->in];
    int64_t pitch = zn_layout_row(&in->type, &in->layout), image = zn_layout_image(&in->type, &in->layout);
    tile_job t = {.rows = (int)(at->ti * at->th * at->tw),
                  .vecs = x->o.vecs,
                  .kh = c->kh,
                  .kw = x->groups > 1 ? c->kw : 1,
                  .kwc = (x->groups > 1 ? 1 : c->kw) * x->channels / x->groups,
                  .in_pitch = pitch,
                  .kw_pitch = x->channels,
                  .outputs = x->panels ? ZN_CONV_PANEL : x->outputs};
    for (int64_t m = 0; m < at->ti; m++)
        for (int64_t a = 0; a < at->th; a++)
            for (int64_t b = 0; b < at->tw; b++)
                t.at[(m * at->th + a) * at->tw + b] = m * image + a * c->in_sh * pitch + b * c->in_sw * x->channels;
    memcpy(t.lanes, x->o.lanes, sizeof t.lanes);
    zn_ll row = zn_addk(e, zn_mul(e, at->i, c->in_sh), c->in_h), col = zn_addk(e, zn_mul(e, at->j, c->in_sw), c->in_w);
    zn_ll from = zn_at(e, zn_row_ptr(e, x->in, at->n, row), zn_mul(e, col, x->channels));
    from = zn_at(e, from, zn_mul(e, x->group, x->channels / x->groups));
    zn_ll acc[ZN_TILE_ROWS * ZN_TILE_VECS];
    if (x->by_images) {
        t.kh_lo = zn_max(e, zn_i64(e, 0), zn_sub(e, zn_i64(e, 0), row));
        t.kh_hi = zn_min(e, zn_i64(e, c->kh), zn_sub(e, zn_i64(e, in->type.dim[1]), row));
        t.kw_lo = zn_max(e, zn_i64(e, 0), zn_sub(e, zn_i64(e, 0), col));
        t.kw_hi = zn_min(e, zn_i64(e, c->kw), zn_sub(e, zn_i64(e, in->type.dim[2]), col));
    }
    if (x->by_images && t.kw == 1 && x->groups == 1) {
        t.step = x->channels;
        t.kwc_lo = zn_mul(e, t.kw_lo, x->channels);
        t.kwc_hi = zn_mul(e, t.kw_hi, x->channels);
    }
    if (x->groups == 1 && c->kh * c->kw == 1 &&
        c->in_sh * c->in_sw == 1) /* too few products for a processor to look so far ahead */
        t.next = zn_atk(e, from, t.rows * x->channels);
    conv_values(e, x, NULL);
    tile_product(e, &t, from, weights_of_block(e, x), acc);
    conv_values(e, x, acc);
}

static void start_outputs(zn_emit *e, conv_ctx *x, zn_ll first, int64_t known, int vecs) {
    x->o = (zn_out_block){zn_add(e, zn_mul(e, x->group, x->outputs / x->groups), first), vecs, {0}};
    zn_set_lanes(e, x->outputs / x->groups, known, vecs, x->o.lanes);
    for (int v = 0; v < vecs; v++)
        zn_hoist(e, &x->inv[v], zn_addk(e, x->o.first, (int64_t)v * e->lanes), x->o.lanes[v]);
}

/* Blocks of outputs, group by group. */
static void conv_outputs(zn_emit *e, conv_ctx *x, zn_block_fn *body) {
    zn_loop l;
    if (x->groups > 1) {
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, x->groups), 1, 0, NULL);
        x->group = l.i;
    }
    zn_for_output_blocks(e, x->outputs / x->groups, body, x);
    if (x->groups > 1)
        zn_loop_end(e, &l, NULL);
}

static void conv_tile_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    start_outputs(e, ctx, first, known, vecs);
    conv_tile(e, ctx);
}

static void conv_tiles(zn_emit *e, conv_ctx *x, conv_place at) {
    x->at = at;
    if (x->outputs_last)
        conv_outputs(e, x, conv_tile_block);
    else
        conv_tile(e, x);
}

/* All tiles of ti images from image n. */
static void conv_images(zn_emit *e, conv_ctx *x, zn_ll n, int64_t ti, int64_t th, int64_t tw) {
    int64_t whole_rows = x->c.rows / th * th, whole_cols = x->c.cols / tw * tw;
    for (int64_t part = 0; part < 2; part++) { /* whole rows of tiles, then the rest */
        int64_t lo = part ? whole_rows : 0, hi = part ? x->c.rows : whole_rows, h = part ? x->c.rows - whole_rows : th;
        if (lo >= hi)
            continue;
        zn_loop li, lj;
        zn_loop_begin(e, &li, zn_i64(e, lo), zn_i64(e, hi), h, 0, NULL);
        if (whole_cols) {
            zn_loop_begin(e, &lj, zn_i64(e, 0), zn_i64(e, whole_cols), tw, 0, NULL);
            conv_tiles(e, x, (conv_place){n, li.i, lj.i, ti, h, tw});
            zn_loop_end(e, &lj, NULL);
        }
        if (whole_cols < x->c.cols)
            conv_tiles(e, x, (conv_place){n, li.i, zn_i64(e, whole_cols), ti, h, x->c.cols - whole_cols});
        zn_loop_end(e, &li, NULL);
    }
}

/* Whole groups of ti images of those from `from` on, then, if so many are left, `rest` in one group; the first image
 * that is left. */
static zn_ll conv_groups(zn_emit *e, conv_ctx *x, int64_t ti, int64_t rest, int64_t th, int64_t tw) {
    zn_loop ln;
    zn_ll left = LLVMBuildURem(e->b, zn_sub(e, x->last, x->image), zn_i64(e, ti), "");
    zn_ll together = zn_sub(e, x->last, left);
    zn_loop_begin(e, &ln, x->image, together, ti, 0, NULL);
    conv_images(e, x, ln.i, ti, th, tw);
    zn_loop_end(e, &ln, NULL);
    if (rest < 2)
        return together;
    zn_if s;
    zn_ll all = LLVMBuildICmp(e->b, LLVMIntEQ, left, zn_i64(e, rest), "");
    zn_if_begin(e, &s, all);
    conv_images(e, x, together, rest, th, tw);
    zn_if_end(e, &s);
    return zn_select(e, all, x->last, together);
}

/* All positions of the class in the images of the unit, in tiles for up to `vecs` vectors of outputs. Maps smaller than
 * a register tile are taken several images at a time. */
static void conv_positions(zn_emit *e, conv_ctx *x, int vecs) {
    int64_t th, tw, ti = 1, most = zn_tile_rows(e, vecs), rest = 0;
    tile_shape(e, &x->c, vecs, &th, &tw);
    if (x->by_images) {
        th = tw = 1;
        ti = (x->images + most - 1) / most; /* groups, of even size */
        ti = (x->images + ti - 1) / ti;
        rest = x->images % ti;
    } else if (th == x->c.rows && tw == x->c.cols) {
        while ((ti + 1) * th * tw <= most && ti < x->images)
            ti++;
    }
    zn_loop ln;
    zn_ll from = ti > 1 ? conv_groups(e, x, ti, rest, th, tw) : x->image;
    zn_loop_begin(e, &ln, from, x->last, 1, 0, NULL);
    conv_images(e, x, ln.i, 1, th, tw);
    zn_loop_end(e, &ln, NULL);
}

static void conv_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    start_outputs(e, ctx, first, known, vecs);
    conv_positions(e, ctx, vecs);
}

/* Taps of one phase of the stride, in one dimension: how many, and where the first lies relative to the position. */
static void phase_taps(int64_t phase, int64_t k, int64_t s, int64_t pad, int64_t *taps, int64_t *first, int64_t *in) {
    *taps = 0;
    *first = *in = 0;
    for (int64_t t = k - 1; t >= 0; t--)
        if ((phase + pad - t) % s == 0) {
            if (!*taps) {
                *first = t;
                *in = (phase + pad - t) / s;
            }
            ++*taps;
        }
}

/* The phases below the stride that have taps, ascending, and -1 behind the last. */
static int64_t *tapped_phases(zn_arena *scratch, int64_t k, int64_t s, int64_t pad) {
    int64_t *at = zn_new_n(scratch, int64_t, (size_t)k + 1), n = 0;
    for (int64_t t = 0; t < k; t++) {
        int64_t phase = ((t - pad) % s + s) % s, i = n;
        while (i && at[i - 1] > phase)
            i--;
        if (i && at[i - 1] == phase)
            continue;
        memmove(at + i + 1, at + i, (size_t)(n - i) * sizeof *at);
        at[i] = phase;
        n++;
    }
    at[n] = -1;
    return at;
}

static void emit_images(zn_emit *e, conv_ctx *x, const zn_conv_class *classes, int n) {
    zn_loop u, li;
    int64_t batch = x->v->type.dim[0], unit = e->k->unit;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll first = zn_mul(e, u.i, unit), last = zn_min(e, zn_addk(e, first, unit), zn_i64(e, batch));
    zn_invariants inv[ZN_TILE_VECS] = {0};
    x->image = first;
    x->last = last;
    x->images = unit;
    x->inv = inv;
    x->by_images = zn_conv_by_images(x->v) && unit >= 4; /* fewer rows leave a register tile waiting */
    for (int i = 0; i < n; i++) {
        x->c = classes[i];
        if (x->c.rows <= 0 || x->c.cols <= 0)
            continue;
        /* Few products for each result: what limits is memory, which likes whole positions, one behind the other. The
         * weights must stay near meanwhile. */
        x->outputs_last =
            x->c.kh * x->c.kw <= 1 && x->outputs > 2 * e->lanes && x->channels * x->outputs <= OUTPUTS_LAST_WEIGHTS;
        if (x->groups > 1) /* a group has part of each line of memory */
            x->outputs_last = x->outputs / x->groups < 4 * e->lanes &&
                              x->c.kh * x->c.kw * x->channels / x->groups * x->outputs <= OUTPUTS_LAST_WEIGHTS;
        if (x->outputs_last)
            conv_positions(e, x, zn_most_vecs(e, x->outputs / x->groups));
        else
            conv_outputs(e, x, conv_block);
    }
    zn_loop_begin(e, &li, first, last, 1, 0, NULL);
    zn_emit_halo(e, li.i);
    zn_loop_end(e, &li, NULL);
    zn_emit_reduces(e, first, unit, u.i);
    zn_loop_end(e, &u, NULL);
}

static zn_conv_classes_list classes_by_data(const zn_value *v, zn_arena *scratch) {
    const zn_type *w = &v->operand[1]->type;
    const int64_t *s = zn_attr_of(v, CONV_GRAD_X, stride)->v, *p = zn_attr_of(v, CONV_GRAD_X, pad)->v;
    int64_t rows = v->type.dim[1] < s[0] ? v->type.dim[1] : s[0], cols = v->type.dim[2] < s[1] ? v->type.dim[2] : s[1];
    int64_t size = w->dim[2] * w->dim[3], above = 0;
    zn_conv_classes_list classes = {0};
    for (int64_t a = 0; a < rows; a++) {
        zn_conv_class c = {.out_h = a, .step_h = s[0], .in_sh = 1, .in_sw = 1};
        int64_t tap, left = 0, kh;
        phase_taps(a, w->dim[0], s[0], p[0], &kh, &tap, &c.in_h);
        c.rows = (v->type.dim[1] - a + s[0] - 1) / s[0];
        if (!kh) { /* whole rows that no tap meets */
            c.step_w = 1;
            c.cols = v->type.dim[2];
            zn_vec_push(scratch, &classes, c);
            continue;
        }
        for (int64_t b = 0; b < cols; b++) {
            c.out_w = b;
            c.step_w = s[1];
            phase_taps(b, w->dim[1], s[1], p[1], &c.kw, &tap, &c.in_w);
            c.kh = c.kw ? kh : 0;
            c.cols = (v->type.dim[2] - b + s[1] - 1) / s[1];
            c.weights = (above * w->dim[1] + kh * left) * size;
            left += c.kw;
            zn_vec_push(scratch, &classes, c);
        }
        above += kh;
    }
    return classes;
}

zn_conv_classes_list zn_conv_classes(const zn_value *v, zn_arena *scratch) {
    if (v->op == ZN_OP_CONV_GRAD_X)
        return classes_by_data(v, scratch);
    const zn_type *w = &v->operand[1]->type;
    const int64_t *s = zn_attr_of(v, CONV, stride)->v, *p = zn_attr_of(v, CONV, pad)->v;
    zn_conv_class all = {0, 0, 1, 1, v->type.dim[1], v->type.dim[2], -p[0], -p[1], s[0], s[1], w->dim[0], w->dim[1], 0};
    zn_conv_classes_list one = {0};
    zn_vec_push(scratch, &one, all);
    return one;
}

zn_ll zn_conv_weights(const zn_emit *e, const zn_value *v) {
    int panels = zn_binding_temp(e, "panels", 0);
    return e->base[panels >= 0           ? panels
                   : v->op == ZN_OP_CONV ? zn_binding_of(e, ZN_BIND_IN, v->operand[1])
                                         : zn_binding_temp(e, "turned", 0)];
}

void zn_emit_conv(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    conv_ctx x = {.v = v, .in = zn_binding_of(e, ZN_BIND_IN, v->operand[0]), .outputs = v->type.dim[3]};
    zn_arena scratch = {0};
    zn_conv_classes_list classes = zn_conv_classes(v, &scratch);
    x.channels = v->operand[0]->type.dim[3];
    x.groups = zn_conv_groups(v);
    x.group = zn_i64(e, 0);
    x.weights = zn_conv_weights(e, v);
    x.panels = zn_conv_has_panels(v);
    x.weight_rows = zn_type_count(&v->operand[1]->type) / x.outputs;
    emit_images(e, &x, classes.at, (int)classes.n);
    zn_arena_free(&scratch);
}

/* ---- transposed weights */

/* v[i][j] <-> v[j][i] for lanes x lanes elements, in log2(lanes) steps of shuffles. */
static void transpose_square(zn_emit *e, zn_ll *v) {
    unsigned n = (unsigned)e->lanes;
    for (int h = 1; h < e->lanes; h *= 2) {
        zn_ll low[64], high[64];
        for (int j = 0; j < e->lanes; j++) {
            low[j] = zn_i32(e, (uint32_t)(j & h ? e->lanes + j - h : j));
            high[j] = zn_i32(e, (uint32_t)(j & h ? e->lanes + j : j + h));
        }
        zn_ll low_mask = LLVMConstVector(low, n), high_mask = LLVMConstVector(high, n);
        for (int i = 0; i < e->lanes; i++)
            if (!(i & h)) {
                zn_ll a = v[i], b = v[i + h];
                v[i] = LLVMBuildShuffleVector(e->b, a, b, low_mask, "");
                v[i + h] = LLVMBuildShuffleVector(e->b, a, b, high_mask, "");
            }
    }
}

void zn_emit_panels(zn_emit *e) {
    const zn_type *w = &e->k->group->anchor->operand[1]->type;
    int64_t outputs = w->dim[3], rows = zn_type_count(w) / outputs;
    zn_loop u, l;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll from = zn_at(e, e->base[0], zn_mul(e, u.i, ZN_CONV_PANEL)),
          to = zn_at(e, e->base[1], zn_mul(e, u.i, rows * ZN_CONV_PANEL));
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, rows), 1, 0, NULL);
    for (int i = 0; i < ZN_CONV_PANEL; i += e->lanes) {
        zn_ll x = zn_load(e, zn_atk(e, zn_at(e, from, zn_mul(e, l.i, outputs)), i), e->lanes);
        zn_store(e, zn_atk(e, zn_at(e, to, zn_mul(e, l.i, ZN_CONV_PANEL)), i), x, e->lanes);
    }
    zn_loop_end(e, &l, NULL);
    zn_loop_end(e, &u, NULL);
}

/* A matrix of `rows` rows, of which columns [col0, col1) are taken, and its transpose: floats from row to row. */
typedef struct turned {
    int64_t rows;
    zn_ll col0, col1;
    int64_t from_pitch, to_pitch;
    int64_t panel; /* not 0: rows of the transpose are cut into panels, floats from one to the next */
} turned;

/* Place of column r of row c in the transpose. */
static zn_ll place_in_turned(zn_emit *e, const turned *t, zn_ll c, zn_ll r) {
    zn_ll row = zn_mul(e, c, t->to_pitch);
    if (!t->panel)
        return zn_add(e, row, r);
    zn_ll in = LLVMBuildAnd(e->b, r, zn_i64(e, ZN_CONV_PANEL - 1), ""),
          panel = LLVMBuildUDiv(e->b, r, zn_i64(e, ZN_CONV_PANEL), "");
    return zn_add(e, row, zn_add(e, in, zn_mul(e, panel, t->panel)));
}

/* In squares of vectors. */
static void transpose_vectors(zn_emit *e, zn_ll from, zn_ll to, turned t) {
    zn_loop lc, lr;
    zn_ll v[64];
    zn_loop_begin(e, &lc, t.col0, t.col1, e->lanes, 0, NULL);
    zn_loop_begin(e, &lr, zn_i64(e, 0), zn_i64(e, t.rows), e->lanes, 0, NULL);
    zn_ll a = zn_at(e, from, zn_add(e, zn_mul(e, lr.i, t.from_pitch), lc.i)),
          b = zn_at(e, to, place_in_turned(e, &t, lc.i, lr.i));
    for (int i = 0; i < e->lanes; i++)
        v[i] = zn_load(e, zn_atk(e, a, i * t.from_pitch), e->lanes);
    transpose_square(e, v);
    for (int i = 0; i < e->lanes; i++)
        zn_store(e, zn_atk(e, b, i * t.to_pitch), v[i], e->lanes);
    zn_loop_end(e, &lr, NULL);
    zn_loop_end(e, &lc, NULL);
}

/* One by one: shapes that fill no vectors. */
static void transpose(zn_emit *e, zn_ll from, zn_ll to, turned t) {
    zn_loop lc, lr;
    zn_loop_begin(e, &lc, t.col0, t.col1, 1, 0, NULL);
    zn_loop_begin(e, &lr, zn_i64(e, 0), zn_i64(e, t.rows), 1, 0, NULL);
    zn_ll x = zn_load1(e, zn_at(e, from, zn_add(e, zn_mul(e, lr.i, t.from_pitch), lc.i)));
    zn_store1(e, zn_at(e, to, place_in_turned(e, &t, lc.i, lr.i)), x);
    zn_loop_end(e, &lr, NULL);
    zn_loop_end(e, &lc, NULL);
}

void zn_emit_turn(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    const zn_type *w = &v->operand[1]->type;
    zn_ll from = e->base[0], to = e->base[1];
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    if (v->op == ZN_OP_MATMUL) { /* w [n, k] -> [k, n]: a unit is 16 rows of the result */
        zn_ll lo = zn_mul(e, u.i, e->k->unit), hi = zn_min(e, zn_addk(e, lo, e->k->unit), zn_i64(e, w->dim[1]));
        bool vectors = w->dim[0] % e->lanes == 0 && w->dim[1] % e->k->unit == 0;
        int64_t panel = w->dim[0] % PANEL == 0 ? PANEL : w->dim[0];
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, w->dim[0]), panel, 0, NULL);
        zn_ll at = zn_mul(e, l.i, w->dim[1]);
        (vectors ? transpose_vectors : transpose)(e, zn_at(e, from, at), zn_at(e, to, at),
                                                  (turned){panel, lo, hi, w->dim[1], panel, 0});
        zn_loop_end(e, &l, NULL);
        zn_loop_end(e, &u, NULL);
        return;
    }
    /* A unit is one tap of the result; where it comes from is a table. */
    static const int64_t one_phase[2] = {1, 1}; /* Winograd has phases of its own */
    const int64_t *p = zn_attr_of(v, CONV_GRAD_X, pad)->v;
    const int64_t *s =
        strcmp(zn_attr_of(v, CONV_GRAD_X, algo)->s, "winograd") ? zn_attr_of(v, CONV_GRAD_X, stride)->v : one_phase;
    int64_t n = 0, taps = w->dim[0] * w->dim[1], size = w->dim[2] * w->dim[3];
    zn_arena scratch = {0};
    zn_ll *table = zn_new_n(&scratch, zn_ll, (size_t)taps);
    int64_t *phases[2] = {tapped_phases(&scratch, w->dim[0], s[0], p[0]),
                          tapped_phases(&scratch, w->dim[1], s[1], p[1])};
    for (int64_t *a = phases[0]; *a >= 0; a++)
        for (int64_t *b = phases[1]; *b >= 0; b++) {
            int64_t kh, kw, th, tw, in;
            phase_taps(*a, w->dim[0], s[0], p[0], &kh, &th, &in);
            phase_taps(*b, w->dim[1], s[1], p[1], &kw, &tw, &in);
            for (int64_t i = 0; i < kh; i++)
                for (int64_t j = 0; j < kw; j++)
                    table[n++] = zn_i64(e, ((th - i * s[0]) * w->dim[1] + tw - j * s[1]) * size);
        }
    ZN_ASSERT(n == taps);
    LLVMTypeRef type = LLVMArrayType2(e->i64, (uint64_t)n);
    zn_ll global = LLVMAddGlobal(e->mod, type, "taps");
    LLVMSetInitializer(global, LLVMConstArray2(e->i64, table, (uint64_t)n));
    zn_arena_free(&scratch);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    zn_ll index = u.i,
          at = LLVMBuildLoad2(e->b, e->i64, LLVMBuildInBoundsGEP2(e->b, e->i64, global, &index, 1, ""), "");
    int64_t groups = zn_conv_groups(v), in = w->dim[2], out = w->dim[3] / groups;
    bool vectors = in % e->lanes == 0 && out % e->lanes == 0;
    zn_loop lg; /* [in][groups][out] -> [out][groups][in] */
    zn_loop_begin(e, &lg, zn_i64(e, 0), zn_i64(e, groups), 1, 0, NULL);
    zn_ll of_group = zn_at(e, zn_at(e, from, at), zn_mul(e, lg.i, out));
    turned t = {in, zn_i64(e, 0), zn_i64(e, out), w->dim[3], in * groups, 0};
    zn_ll into = zn_add(e, zn_mul(e, u.i, size), zn_mul(e, lg.i, in));
    if (zn_conv_has_panels(v)) {
        into = zn_mul(e, u.i, out * ZN_CONV_PANEL);
        t.to_pitch = ZN_CONV_PANEL;
        t.panel = taps * out * ZN_CONV_PANEL;
    }
    (vectors ? transpose_vectors : transpose)(e, of_group, zn_at(e, to, into), t);
    zn_loop_end(e, &lg, NULL);
    zn_loop_end(e, &u, NULL);
}

/* ---- matrix product */

typedef struct matmul_ctx {
    const zn_value *v;
    zn_ll a, b;
    int64_t m, n, k;
    bool panels;        /* b lies in panels of PANEL columns, each [k][PANEL] */
    zn_ll row, col;     /* first of the unit */
    int64_t rows, cols; /* in it */
    zn_out_block o;     /* under work, from col */
    int tile;           /* rows of a register tile */
    zn_invariants *inv; /* one per vector */
} matmul_ctx;

/* Column `first` of the unit in b, in row 0; rows of b are b_pitch apart. */
static zn_ll matmul_column(zn_emit *e, const matmul_ctx *x, zn_ll first) {
    zn_ll col = zn_add(e, x->col, first);
    if (!x->panels)
        return zn_at(e, x->b, col);
    zn_ll in = LLVMBuildAnd(e->b, col, zn_i64(e, PANEL - 1), "");
    return zn_at(e, x->b, zn_add(e, zn_mul(e, LLVMBuildNSWSub(e->b, col, in, ""), x->k), in));
}
static int64_t b_pitch(const matmul_ctx *x) {
    return x->panels ? PANEL : x->n;
}

/* One row of a tile's results; before they are there (acc is NULL), asks for the lines they will need. */
static void matmul_row(zn_emit *e, const matmul_ctx *x, zn_point *p, zn_ll row, const zn_ll *acc) {
    zn_point_row(e, p, row, zn_i64(e, 0));
    for (int v = 0; v < x->o.vecs; v++) {
        p->offset = zn_addk(e, zn_add(e, x->col, x->o.first), (int64_t)v * e->lanes);
        p->lanes = x->o.lanes[v];
        if (acc)
            zn_emit_values(e, p, &x->inv[v], acc[v]);
        else
            zn_prefetch_values(e, p);
    }
}

static void matmul_tile(zn_emit *e, zn_ll row, int rows, void *ctx) {
    matmul_ctx *x = ctx;
    int vecs = x->o.vecs;
    tile_job t = {.rows = rows, .vecs = vecs, .kh = 1, .kw = 1, .kwc = x->k, .outputs = b_pitch(x)};
    for (int r = 0; r < rows; r++)
        t.at[r] = r * x->k;
    memcpy(t.lanes, x->o.lanes, sizeof t.lanes);
    /* While a block of columns goes over the rows, the next one comes nearer (also the next unit's), each tile asking
     * for its share. */
    int64_t tiles = x->rows / x->tile;
    if (x->n > 2 * e->lanes && tiles > 1) {
        zn_ll tile = LLVMBuildUDiv(e->b, row, zn_i64(e, x->tile), "");
        t.ahead = zn_at(e, matmul_column(e, x, zn_addk(e, x->o.first, 2 * e->lanes)),
                        zn_mul(e, tile, x->k / tiles * b_pitch(x)));
        t.ahead_share = tiles;
    }
    row = zn_add(e, x->row, row);
    zn_ll acc[ZN_TILE_ROWS * ZN_TILE_VECS];
    zn_point p = {0};
    for (int r = 0; r < rows; r++)
        matmul_row(e, x, &p, zn_addk(e, row, r), NULL);
    tile_product(e, &t, zn_at(e, x->a, zn_mul(e, row, x->k)), matmul_column(e, x, x->o.first), acc);
    for (int r = 0; r < rows; r++)
        matmul_row(e, x, &p, zn_addk(e, row, r), &acc[r * vecs]);
}

static void matmul_block(zn_emit *e, zn_ll first, int64_t known, int vecs, void *ctx) {
    matmul_ctx *x = ctx;
    zn_invariants inv[ZN_TILE_VECS] = {0};
    int most = zn_tile_rows(e, vecs);
    x->tile = (int)(most >= 8 && x->rows % 8 == 0 ? 8 : most);
    x->o = (zn_out_block){first, vecs, {0}};
    x->inv = inv;
    zn_set_lanes(e, x->cols, known, vecs, x->o.lanes);
    for (int v = 0; v < vecs; v++)
        zn_hoist(e, &inv[v], zn_addk(e, zn_add(e, x->col, first), (int64_t)v * e->lanes), x->o.lanes[v]);
    zn_for_row_tiles(e, x->rows, x->tile, matmul_tile, x);
}

/* The unit whose block of rows and block of columns are whole ones, or (rest) the last. */
static void matmul_unit(zn_emit *e, matmul_ctx *x, zn_ll rows, zn_ll cols, bool rest_rows, bool rest_cols) {
    int64_t unit = e->k->unit, block = e->k->block;
    x->rows = rest_rows ? x->m % block : block;
    x->cols = rest_cols ? x->n % unit : unit;
    if (!x->rows || !x->cols || (!rest_rows && x->m < block) || (!rest_cols && x->n < unit))
        return;
    zn_ll right = LLVMBuildICmp(e->b, rest_rows ? LLVMIntEQ : LLVMIntSLT, rows, zn_i64(e, x->m / block), ""),
          below = LLVMBuildICmp(e->b, rest_cols ? LLVMIntEQ : LLVMIntSLT, cols, zn_i64(e, x->n / unit), "");
    zn_if s;
    zn_if_begin(e, &s, LLVMBuildAnd(e->b, right, below, ""));
    x->row = zn_mul(e, rows, block);
    x->col = zn_mul(e, cols, unit);
    zn_for_output_blocks(e, x->cols, matmul_block, x);
    zn_if_end(e, &s);
}

/* A unit is a block of columns, for a block of rows: so that each part of b is read once, and stays near while all
 * rows are multiplied with it. */
void zn_emit_matmul(zn_emit *e) {
    const zn_value *v = e->k->group->anchor;
    bool tb = zn_attr_of(v, MATMUL, trans_b)->i;
    matmul_ctx x = {.v = v, .m = v->type.dim[0], .n = v->type.dim[1], .k = v->operand[0]->type.dim[1]};
    x.a = e->base[zn_binding_of(e, ZN_BIND_IN, v->operand[0])];
    x.b = e->base[tb ? zn_binding_temp(e, "turned", 0) : zn_binding_of(e, ZN_BIND_IN, v->operand[1])];
    x.panels = tb && x.n % PANEL == 0;
    int64_t across = (x.n + e->k->unit - 1) / e->k->unit;
    zn_loop u;
    zn_loop_begin(e, &u, e->begin, e->end, 1, 0, NULL);
    zn_ll rows = LLVMBuildUDiv(e->b, u.i, zn_i64(e, across), ""),
          cols = LLVMBuildURem(e->b, u.i, zn_i64(e, across), "");
    for (int part = 0; part < 4; part++)
        matmul_unit(e, &x, rows, cols, part / 2, part % 2);
    zn_loop_end(e, &u, NULL);
}
