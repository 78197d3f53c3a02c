/* What matrix products, convolutions and their gradients prove.
 *
 * A chain of fused multiply-adds is, in bits, the sequence of its products other than 0, channel by channel and in each
 * tap by tap: equal sequences are equal chains in the direct order (tap by tap) and in Winograd's (channel by channel)
 * alike. In exact arithmetic it is a sum, and a tap that is not the centre is an operator of its own: shifts over a
 * border do not commute. */
#include <stdlib.h>
#include <string.h>

#include "passes/prove/grid.h"
#include "passes/prove/prover.h"
#include "support/ice.h"

enum { KEY_TAP = 64, KEY_TURNED };

/* y[o] over taps and `in` channels of o's group; a matrix product has one tap. */
typedef struct product {
    const zn_cells *w;
    int64_t kh, kw, taps, in, out, groups; /* in and out: of a group */
    const int64_t *stride, *pad;
    const zn_type *x; /* whose size stays if the stride is 1 and `same` */
    bool same;        /* the result is as large as x */
    bool by_chain;    /* bits: the order of the direct algorithm or its like; else Winograd's or a library's */
    bool by_library;  /* bits: columns of a product may be summed in different orders */
} product;

static const int64_t no_stride[2] = {1, 1}, no_pad[4] = {0};

static product convolution(const zn_type *x, const zn_type *y, const zn_type *w, const int64_t *stride,
                           const int64_t *pad, int64_t groups, const char *algo) {
    return (product){.kh = w->dim[0],
                     .kw = w->dim[1],
                     .taps = w->dim[0] * w->dim[1],
                     .in = w->dim[2],
                     .out = w->dim[3] / groups,
                     .groups = groups,
                     .stride = stride,
                     .pad = pad,
                     .x = x,
                     .same = x->dim[1] == y->dim[1] && x->dim[2] == y->dim[2],
                     .by_chain = strcmp(algo, "winograd") != 0};
}

static product matrix(const zn_value *v, int64_t in, int64_t out) {
    return (product){.kh = 1,
                     .kw = 1,
                     .taps = 1,
                     .in = in,
                     .out = out,
                     .groups = 1,
                     .stride = no_stride,
                     .pad = no_pad,
                     .same = true,
                     .by_chain = true,
                     .by_library = !strcmp(zn_attr_of(v, MATMUL, algo)->s, "openblas")};
}

/* Does this tap read what lies at the place of the result? */
static bool is_centre(const product *q, int64_t tap) {
    return q->same && q->stride[0] == 1 && q->stride[1] == 1 && tap / q->kw == q->pad[0] && tap % q->kw == q->pad[1];
}

/* The operator of a tap: where it reads, in what steps, from a map of which size. */
static zn_cell tap_operator(const zn_prover *p, const zn_value *v, const product *q, int64_t tap, uint64_t turned) {
    if (is_centre(q, tap))
        return 1;
    uint64_t h = zn_cell_mix(KEY_TAP + turned, (uint64_t)(tap / q->kw - q->pad[0]));
    h = zn_cell_mix(h, (uint64_t)(tap % q->kw - q->pad[1]));
    h = zn_cell_mix(zn_cell_mix(h, (uint64_t)q->stride[0]), (uint64_t)q->stride[1]);
    return zn_operator(p, v, zn_cell_mix(zn_cell_mix(h, (uint64_t)q->x->dim[1]), (uint64_t)q->x->dim[2]));
}

static int64_t weight_at(const product *q, int64_t tap, int64_t i, int64_t o) {
    return (tap * q->in + i) * (q->out * q->groups) + o;
}

/* What a chain has come to: of bits a hash of its products, of exact arithmetic a sum. */
typedef struct chain {
    uint64_t h;
    int64_t n;    /* products other than 0 */
    zn_cell only; /* bits: of the only one, if that is 1 times this; else 0 */
} chain;

static zn_cell chain_end(const zn_prover *p, uint64_t key, const chain *c) {
    if (p->exact)
        return c->h;
    if (c->n == 0)
        return 0;
    return c->n == 1 && c->only ? zn_plus_zero(p, c->only) : zn_unknown_of(p, key, c->h, 0);
}

/* Cell of the weight from input i to output o at a tap; of a grid whatever its spots are. */
static zn_cell weight_cell(const zn_prover *p, const product *q, bool spots, int64_t t, int64_t i, int64_t o) {
    const zn_grid *g = q->w->grid;
    if (q->w->form == ZN_CELLS_GRID && !spots)
        return g->at[g->row[t * q->in + i] * g->ncol + g->col[o]];
    return zn_cells_get(p->exact, q->w, weight_at(q, t, i, o));
}

/* Adds the products of x with the weights of input i and output o, from one tap to the other. */
static void chain_add(const zn_prover *p, const product *q, const zn_cell *op, bool spots, chain *c, zn_cell x,
                      int64_t i, int64_t o) {
    uint64_t taps = 0;
    bool one = false;
    for (int64_t t = 0; t < q->taps; t++) {
        zn_cell w = weight_cell(p, q, spots, t, i, o);
        if (zn_is_zero(p, w))
            continue;
        if (p->exact) {
            c->h = zn_field_add(c->h, zn_field_mul(zn_field_mul(w, op[t]), x));
        } else {
            one = !taps && op[t] && w == zn_cell_of(1);
            taps = zn_cell_mix(zn_cell_mix(taps, (uint64_t)t + 1), w);
        }
    }
    if (taps) {
        c->only = one ? x : 0;
        c->h = zn_cell_mix(c->h, zn_cell_mix(x, taps));
        c->n++;
    }
}

/* For every tap: its operator; in bits, whether 1 times it is x itself. */
static zn_cell *tap_operators(const zn_prover *p, const zn_value *v, const product *q, uint64_t turned) {
    zn_cells all = zn_cells_array(true, q->taps);
    for (int64_t t = 0; t < q->taps; t++)
        all.at[t] = p->exact ? tap_operator(p, v, q, t, turned) : q->by_chain && !q->by_library && is_centre(q, t);
    return all.at;
}

static bool group_is_zero(const zn_prover *p, const zn_cells *x, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!zn_is_zero(p, zn_cells_get(p->exact, x, first + i)))
            return false;
    return true;
}

/* Weights that are all the same or all unknown: results of a group are too. */
static bool plain_product(const zn_prover *p, const zn_value *v, const product *q, const zn_cells *x, zn_cells *r) {
    int64_t n = r->n / q->groups, from = x->n / q->groups;
    if (q->w->form == ZN_CELLS_ARRAY || q->w->form == ZN_CELLS_GRID ||
        (q->w->form == ZN_CELLS_UNIFORM && !zn_is_zero(p, q->w->one)))
        return false;
    uint64_t h = zn_cell_mix(zn_cell_mix(zn_key_of(p, v), zn_cells_hash(q->w)), zn_cells_hash(x));
    for (int64_t g = 0; g < q->groups; g++) {
        bool zero = q->w->form == ZN_CELLS_UNIFORM || group_is_zero(p, x, g * from, from);
        for (int64_t i = g * n; i < (g + 1) * n; i++)
            r->at[i] = zero ? 0 : zn_unknown_of(p, h, (uint64_t)i, 1);
    }
    return true;
}

/* A product of x with weights, or turned: the gradient by data, which sums over outputs. */
typedef struct multiplication {
    const zn_prover *p;
    const zn_value *v;
    const product *q;
    const zn_cells *x;
    bool turned;
    const zn_cell *op;    /* by tap */
    int64_t units, terms; /* of a group: results, and what each sums over */
} multiplication;

static zn_cell term_of(const multiplication *k, int64_t group, int64_t term) {
    return zn_cells_get(k->p->exact, k->x, group * k->terms + term);
}

static chain chain_of(const multiplication *k, int64_t group, int64_t unit, bool spots) {
    chain c = {0};
    for (int64_t b = 0; b < k->terms; b++) {
        zn_cell y = term_of(k, group, b);
        if (!zn_is_zero(k->p, y))
            chain_add(k->p, k->q, k->op, spots, &c, y, k->turned ? unit : b,
                      group * k->q->out + (k->turned ? b : unit));
    }
    return c;
}

static zn_cell end_of(const multiplication *k, int64_t unit, const chain *c) {
    uint64_t key = zn_key_of(k->p, k->v);
    return chain_end(k->p, k->q->by_library ? zn_cell_mix(key, (uint64_t)unit) : key, c);
}

/* A spot of a grid of weights, as the chain of a unit meets it. */
typedef struct meeting {
    int64_t unit, term, tap;
    zn_cell x, base; /* the spot's cell, and that of its row and column */
} meeting;

static int compare_meetings(const void *a, const void *b) {
    const meeting *x = a, *y = b;
    int64_t d = x->unit != y->unit ? x->unit - y->unit : x->term != y->term ? x->term - y->term : x->tap - y->tap;
    return d < 0 ? -1 : d > 0;
}

static meeting *meetings_of(const multiplication *k) {
    const zn_grid *g = k->q->w->grid;
    meeting *m = calloc((size_t)g->nspot + 1, sizeof *m);
    if (!m)
        ZN_ICE("out of memory");
    for (int64_t s = 0; s < g->nspot; s++) {
        int64_t row = g->spot[s].i / g->cols, o = g->spot[s].i % g->cols, i = row % k->q->in;
        m[s] = (meeting){k->turned ? i : o, k->turned ? o : i, row / k->q->in, g->spot[s].x,
                         g->at[g->row[row] * g->ncol + g->col[o]]};
    }
    qsort(m, (size_t)g->nspot, sizeof *m, compare_meetings);
    return m;
}

/* The chain of a unit whose weights are 0 but for n spots. */
static chain chain_of_spots(const multiplication *k, const meeting *m, int64_t n) {
    chain c = {0};
    for (int64_t s = 0; s < n;) {
        int64_t term = m[s].term;
        zn_cell x = term_of(k, 0, term);
        uint64_t taps = 0;
        bool one = false;
        for (; s < n && m[s].term == term; s++) {
            if (zn_is_zero(k->p, m[s].x) || zn_is_zero(k->p, x))
                continue;
            one = !taps && k->op[m[s].tap] && m[s].x == zn_cell_of(1);
            taps = zn_cell_mix(zn_cell_mix(taps, (uint64_t)m[s].tap + 1), m[s].x);
        }
        if (!taps)
            continue;
        c.only = one ? x : 0;
        c.h = zn_cell_mix(c.h, zn_cell_mix(x, taps));
        c.n++;
    }
    return c;
}

/* Exact arithmetic: what n spots change. */
static zn_cell spots_change(const multiplication *k, const meeting *m, int64_t n) {
    zn_cell sum = 0;
    for (int64_t s = 0; s < n; s++) {
        zn_cell w = zn_field_add(m[s].x, zn_field_neg(m[s].base));
        sum = zn_field_add(sum, zn_field_mul(zn_field_mul(w, k->op[m[s].tap]), term_of(k, 0, m[s].term)));
    }
    return sum;
}

/* Kinds of units: those whose weights are of the same rows, or columns; how many. */
static int64_t unit_kinds(const multiplication *k, int32_t *kind) {
    const zn_grid *g = k->q->w->grid;
    uint64_t *key = calloc((size_t)k->units, sizeof *key);
    if (!key)
        ZN_ICE("out of memory");
    for (int64_t u = 0; u < k->units; u++) {
        key[u] = k->turned ? 0 : (uint64_t)g->col[u];
        for (int64_t t = 0; k->turned && t < k->q->taps; t++)
            key[u] = zn_cell_mix(key[u], (uint64_t)g->row[t * k->q->in + u]);
    }
    int64_t n = zn_kinds(key, k->units, kind);
    free(key);
    return n;
}

/* By a grid of weights, of one group: a chain for each kind of units, and what spots make of it. */
static void multiply_grid(const multiplication *k, zn_cell *out) {
    int32_t *kind = calloc((size_t)k->units, sizeof *kind);
    chain *of = kind ? calloc((size_t)k->units, sizeof *of) : NULL;
    bool *known = of ? calloc((size_t)k->units, sizeof *known) : NULL;
    if (!known)
        ZN_ICE("out of memory");
    meeting *m = meetings_of(k);
    unit_kinds(k, kind);
    for (int64_t u = 0, s = 0, end; u < k->units; u++, s = end) {
        for (end = s; end < k->q->w->grid->nspot && m[end].unit == u;)
            end++;
        if (!known[kind[u]])
            of[kind[u]] = chain_of(k, 0, u, false);
        known[kind[u]] = true;
        chain c = of[kind[u]];
        if (end > s && k->p->exact)
            c.h = zn_field_add(c.h, spots_change(k, m + s, end - s));
        else if (end > s)
            c = c.n == 0 ? chain_of_spots(k, m + s, end - s) : chain_of(k, 0, u, true);
        out[u] = end_of(k, u, &c);
    }
    free(m);
    free(kind);
    free(of);
    free(known);
}

/* Cells of the product of x with weights; turned: of the gradient by data. */
static zn_cells multiply(const zn_prover *p, const zn_value *v, const product *q, const zn_cells *x, bool turned) {
    multiplication k = {p, v, q, x, turned, NULL, turned ? q->in : q->out, turned ? q->out : q->in};
    zn_cells r = zn_cells_array(false, k.units * q->groups);
    if (plain_product(p, v, q, x, &r))
        return zn_cells_settled(r);
    zn_cells ops = {.at = tap_operators(p, v, q, turned)};
    k.op = ops.at;
    chain c = {0};
    if (q->w->form == ZN_CELLS_GRID && q->groups == 1)
        multiply_grid(&k, r.at);
    else
        for (int64_t g = 0; g < q->groups; g++)
            for (int64_t u = 0; u < k.units; u++) {
                if (u == 0 || q->w->form != ZN_CELLS_UNIFORM)
                    c = chain_of(&k, g, u, true);
                r.at[g * k.units + u] = end_of(&k, u, &c);
            }
    zn_cells_free(&ops);
    return zn_cells_settled(r);
}

/* x and w must have as many cells as the types say: IR text may hold anything that infers. */
static bool fits(const zn_cells *x, const zn_cells *w, int64_t channels, int64_t weights) {
    return !x->elements && w->elements && x->n == channels && w->n == weights;
}

zn_cells zn_prove_conv(const zn_prover *p, const zn_value *v) {
    const zn_type *xt = &v->operand[0]->type, *wt = &v->operand[1]->type;
    const zn_cells *x = zn_cells_of(p, v, 0);
    product q = convolution(xt, &v->type, wt, zn_attr_of(v, CONV, stride)->v, zn_attr_of(v, CONV, pad)->v,
                            zn_attr_of(v, CONV, groups)->i, zn_attr_of(v, CONV, algo)->s);
    q.w = zn_cells_of(p, v, 1);
    if (!fits(x, q.w, zn_type_channels(xt), zn_type_count(wt)))
        return zn_prove_unknown(p, v);
    return multiply(p, v, &q, x, false);
}

zn_cells zn_prove_conv_grad_x(const zn_prover *p, const zn_value *v) {
    const zn_type *yt = &v->operand[0]->type, *wt = &v->operand[1]->type;
    const zn_cells *dy = zn_cells_of(p, v, 0);
    product q = convolution(&v->type, yt, wt, zn_attr_of(v, CONV_GRAD_X, stride)->v, zn_attr_of(v, CONV_GRAD_X, pad)->v,
                            zn_attr_of(v, CONV_GRAD_X, groups)->i, zn_attr_of(v, CONV_GRAD_X, algo)->s);
    q.w = zn_cells_of(p, v, 1);
    if (!fits(dy, q.w, zn_type_channels(yt), zn_type_count(wt)))
        return zn_prove_unknown(p, v);
    return multiply(p, v, &q, dy, true);
}

static bool all_different(const zn_prover *p, const zn_cells *c) {
    return zn_cells_zeros(p->exact, c) == 0 && zn_cells_classes(p->exact, c) == c->n;
}

static zn_cell outer_cell(const zn_prover *p, const zn_value *v, int64_t tap, zn_cell x, zn_cell dy) {
    uint64_t key = zn_cell_mix(zn_key_of(p, v), (uint64_t)tap);
    return zn_is_zero(p, x) || zn_is_zero(p, dy) ? 0 : zn_unknown_of(p, key, x, dy);
}

/* Numbers for the classes of cells; how many. */
static int64_t kinds_of(const zn_prover *p, const zn_cells *c, int32_t *kind) {
    zn_cells all = zn_cells_array(false, c->n);
    for (int64_t i = 0; i < c->n; i++) {
        zn_cell x = zn_cells_get(p->exact, c, i);
        all.at[i] = zn_is_zero(p, x) ? 0 : x;
    }
    int64_t n = zn_kinds(all.at, c->n, kind);
    zn_cells_free(&all);
    return n;
}

/* A kind of row for each tap and class of x, one of column for each class of dy. NULL if that does not pay. */
static zn_grid *outer_grid(const zn_prover *p, const zn_value *v, const product *q, const zn_cells *x,
                           const zn_cells *dy) {
    if (q->groups > 1)
        return NULL;
    zn_grid *g = zn_grid_new(q->taps * q->in, q->out, 0, 0, 0);
    int64_t nx = kinds_of(p, x, g->row), ny = kinds_of(p, dy, g->col);
    if (!zn_grid_pays(q->taps * nx, ny, q->taps * q->in * q->out)) {
        zn_grid_free(g);
        return NULL;
    }
    int64_t *row = zn_grid_examples(g->row, q->in, nx), *col = zn_grid_examples(g->col, q->out, ny);
    free(g->at);
    zn_cells at = zn_cells_array(true, q->taps * nx * ny);
    g->at = at.at;
    g->nrow = q->taps * nx;
    g->ncol = ny;
    for (int64_t t = q->taps - 1; t >= 0; t--)
        for (int64_t i = 0; i < q->in; i++)
            g->row[t * q->in + i] = (int32_t)(t * nx + g->row[i]);
    for (int64_t i = 0; i < g->nrow * ny; i++)
        g->at[i] = outer_cell(p, v, i / ny / nx, zn_cells_get(p->exact, x, row[i / ny % nx]),
                              zn_cells_get(p->exact, dy, col[i % ny]));
    free(row);
    free(col);
    return g;
}

/* Sums over positions of x, as a tap sees it, times dy: unknowns of the three. */
static zn_cells outer(const zn_prover *p, const zn_value *v, const product *q, const zn_cells *x, const zn_cells *dy) {
    int64_t n = q->taps * q->in * q->out * q->groups;
    if (zn_cells_all_zero(p->exact, x) || zn_cells_all_zero(p->exact, dy))
        return zn_zero_cells(true, n);
    zn_cells r = {.form = ZN_CELLS_GRID, .elements = true, .n = n};
    if (q->by_library || n > ZN_PROVE_MOST || (q->groups == 1 && all_different(p, x) && all_different(p, dy)))
        return zn_cells_distinct(true, n,
                                 zn_cell_mix(zn_cell_mix(zn_key_of(p, v), zn_cells_hash(x)), zn_cells_hash(dy)) &
                                     ~ZN_CELL_NONNEGATIVE);
    r.grid = outer_grid(p, v, q, x, dy);
    if (r.grid)
        return r;
    r = zn_cells_array(true, n);
    for (int64_t t = 0, e = 0; t < q->taps; t++)
        for (int64_t i = 0; i < q->in; i++)
            for (int64_t o = 0; o < q->out * q->groups; o++, e++) {
                r.at[e] = outer_cell(p, v, t, zn_cells_get(p->exact, x, o / q->out * q->in + i),
                                     zn_cells_get(p->exact, dy, o));
            }
    return zn_cells_settled(r);
}

zn_cells zn_prove_conv_grad_w(const zn_prover *p, const zn_value *v) {
    const zn_type *xt = &v->operand[0]->type, *yt = &v->operand[1]->type;
    product q = convolution(xt, yt, &v->type, zn_attr_of(v, CONV_GRAD_W, stride)->v, zn_attr_of(v, CONV_GRAD_W, pad)->v,
                            zn_attr_of(v, CONV_GRAD_W, groups)->i, zn_attr_of(v, CONV_GRAD_W, algo)->s);
    const zn_cells *x = zn_cells_of(p, v, 0), *dy = zn_cells_of(p, v, 1);
    if (x->elements || dy->elements || x->n != zn_type_channels(xt) || dy->n != zn_type_channels(yt))
        return zn_nothing_known(p, v, true, zn_type_count(&v->type));
    return outer(p, v, &q, x, dy);
}

zn_cells zn_prove_matmul(const zn_prover *p, const zn_value *v) {
    bool ta = zn_attr_of(v, MATMUL, trans_a)->i, tb = zn_attr_of(v, MATMUL, trans_b)->i;
    const zn_cells *a = zn_cells_of(p, v, 0), *b = zn_cells_of(p, v, 1);
    const zn_type *at = &v->operand[0]->type, *bt = &v->operand[1]->type;
    if (ta && !tb && !a->elements && !b->elements && a->n == at->dim[1] && b->n == bt->dim[1]) {
        product q = matrix(v, at->dim[1], bt->dim[1]);
        return outer(p, v, &q, a, b);
    }
    product q = matrix(v, bt->dim[0], bt->dim[1]);
    q.w = b;
    if (ta || !fits(a, b, at->dim[1], zn_type_count(bt)))
        return zn_prove_unknown(p, v);
    return multiply(p, v, &q, a, tb);
}
