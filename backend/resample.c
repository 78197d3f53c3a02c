/* Rows, columns and channels picked, repeated, put side by side or filled with zeros. One unit is one image or sample.
 */
#include "backend/emit.h"
#include "support/formula.h"

/* f(first float, valid lanes) for n floats in vectors: written out where they are few, else as a loop and a rest. */
typedef void floats_fn(zn_emit *e, zn_ll at, int lanes, void *ctx);
enum { WRITTEN_OUT = 8 };
static void over_floats(zn_emit *e, int64_t n, floats_fn *f, void *ctx) {
    int64_t whole = n / e->lanes * e->lanes;
    if (whole > WRITTEN_OUT * e->lanes) {
        zn_loop l;
        zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, whole), e->lanes, 0, NULL);
        f(e, l.i, e->lanes, ctx);
        zn_loop_end(e, &l, NULL);
    } else {
        for (int64_t i = 0; i < whole; i += e->lanes)
            f(e, zn_i64(e, i), e->lanes, ctx);
    }
    if (n > whole)
        f(e, zn_i64(e, whole), (int)(n - whole), ctx);
}

typedef struct copy {
    zn_ll from, to; /* from: NULL for zeros */
} copy;
static void copy_vector(zn_emit *e, zn_ll at, int lanes, void *ctx) {
    const copy *c = ctx;
    zn_store(e, zn_at(e, c->to, at), c->from ? zn_load(e, zn_at(e, c->from, at), lanes) : zn_vconst(e, 0), lanes);
}
static void copy_floats(zn_emit *e, zn_ll from, zn_ll to, int64_t n) {
    over_floats(e, n, copy_vector, &(copy){from, to});
}
static void zero_floats(zn_emit *e, zn_ll to, int64_t n) {
    over_floats(e, n, copy_vector, &(copy){NULL, to});
}

/* Channel j of the narrow side is channel J_j of the wide one. */
static void spread_pixel(zn_emit *e, zn_ll from, zn_ll to, int64_t cx, int64_t c) {
    int64_t narrow = cx < c ? cx : c, wide = cx < c ? c : cx;
    int m = 0;
    while ((int64_t)1 << m < wide)
        m++;
    if (c == wide)
        zero_floats(e, to, c);
    for (int64_t j = 0; j < narrow; j++) {
        int64_t k = zn_spanning_index(j, m);
        if (k < wide)
            zn_store1(e, zn_atk(e, to, c == wide ? k : j), zn_load1(e, zn_atk(e, from, c == wide ? j : k)));
        else if (c != wide)
            zn_store1(e, zn_atk(e, to, j), LLVMConstReal(e->f32, 0));
    }
}

/* ---- one position of the result (of subsample_grad and upsample: of the operand) */

typedef struct resample {
    const zn_value *v;
    int64_t c;           /* channels of the result */
    int64_t stride[2];   /* from position to position of what is larger */
    int64_t factor, row; /* upsample: floats from row to row of what is larger */
} resample;

static int64_t input_channels(const resample *r, int i) {
    return zn_type_channels(&r->v->operand[i]->type);
}

typedef void pixel_fn(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to);

static void subsampled(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to) {
    copy_floats(e, from[0], to, r->c);
}

static void padded(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to) {
    int64_t n = input_channels(r, 0), first = zn_attr_of(r->v, PAD_CHANNELS, first)->i;
    if (zn_attr_of(r->v, PAD_CHANNELS, spanning)->i) {
        spread_pixel(e, from[0], to, n, r->c);
        return;
    }
    zero_floats(e, to, first);
    copy_floats(e, from[0], zn_atk(e, to, first), n);
    zero_floats(e, zn_atk(e, to, first + n), r->c - first - n);
}

static void sliced(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to) {
    if (zn_attr_of(r->v, SLICE_CHANNELS, spanning)->i)
        spread_pixel(e, from[0], to, input_channels(r, 0), r->c);
    else
        copy_floats(e, zn_atk(e, from[0], zn_attr_of(r->v, SLICE_CHANNELS, first)->i), to, r->c);
}

static void side_by_side(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to) {
    copy_floats(e, from[0], to, input_channels(r, 0));
    copy_floats(e, from[1], zn_atk(e, to, input_channels(r, 0)), input_channels(r, 1));
}

/* Over the factor x factor positions of what is larger, in order: f(floats from the first, ctx). */
typedef struct copies {
    const resample *r;
    zn_ll from, to;
} copies;

static void repeat_vector(zn_emit *e, zn_ll at, int lanes, void *ctx) {
    const copies *p = ctx;
    zn_ll x = zn_load(e, zn_at(e, p->from, at), lanes);
    zn_loop lh, lw;
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, p->r->factor), 1, 0, NULL);
    zn_ll row = zn_at(e, zn_at(e, p->to, at), zn_mul(e, lh.i, p->r->row));
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, p->r->factor), 1, 0, NULL);
    zn_store(e, zn_at(e, row, zn_mul(e, lw.i, p->r->c)), x, lanes);
    zn_loop_end(e, &lw, NULL);
    zn_loop_end(e, &lh, NULL);
}
static void upsampled(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to) {
    over_floats(e, r->c, repeat_vector, &(copies){r, from[0], to});
}

static void sum_vector(zn_emit *e, zn_ll at, int lanes, void *ctx) {
    const copies *p = ctx;
    zn_ll sum = zn_vconst(e, 0);
    zn_loop lh, lw;
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, p->r->factor), 1, 1, &sum);
    zn_ll row = zn_at(e, zn_at(e, p->from, at), zn_mul(e, lh.i, p->r->row));
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, p->r->factor), 1, 1, lh.v);
    sum = zn_fadd(e, lw.v[0], zn_load(e, zn_at(e, row, zn_mul(e, lw.i, p->r->c)), lanes));
    zn_loop_end(e, &lw, &sum);
    zn_loop_end(e, &lh, lw.v);
    zn_store(e, zn_at(e, p->to, at), lh.v[0], lanes);
}
static void summed(zn_emit *e, const resample *r, const zn_ll *from, zn_ll to) {
    over_floats(e, r->c, sum_vector, &(copies){r, from[0], to});
}

/* What to do at a position, and how the two sides lie. Whether the result is the larger one. */
static bool shape_of(zn_emit *e, resample *r, pixel_fn **body) {
    const zn_value *v = r->v;
    r->stride[0] = r->stride[1] = 1;
    switch (v->op) {
    case ZN_OP_SUBSAMPLE:
    case ZN_OP_SUBSAMPLE_GRAD: {
        bool grad = v->op == ZN_OP_SUBSAMPLE_GRAD;
        const int64_t *s = grad ? zn_attr_of(v, SUBSAMPLE_GRAD, stride)->v : zn_attr_of(v, SUBSAMPLE, stride)->v;
        r->stride[0] = s[0];
        r->stride[1] = s[1];
        *body = subsampled;
        return grad;
    }
    case ZN_OP_UPSAMPLE:
    case ZN_OP_UPSAMPLE_GRAD: {
        bool grad = v->op == ZN_OP_UPSAMPLE_GRAD;
        int large = grad ? zn_binding_of(e, ZN_BIND_IN, v->operand[0]) : zn_binding_of(e, ZN_BIND_OUT, v);
        r->factor = grad ? zn_attr_of(v, UPSAMPLE_GRAD, factor)->i : zn_attr_of(v, UPSAMPLE, factor)->i;
        r->stride[0] = r->stride[1] = r->factor;
        r->row = zn_layout_row(&e->k->bindings.at[large].type, &e->k->bindings.at[large].layout);
        *body = grad ? summed : upsampled;
        return !grad;
    }
    case ZN_OP_CONCAT:
        *body = side_by_side;
        return false;
    case ZN_OP_PAD_CHANNELS:
        *body = padded;
        return false;
    default:
        *body = sliced;
        return false;
    }
}

/* Zeros into all of image n of the result, between its halo. */
static void clear_image(zn_emit *e, int out, zn_ll n) {
    const zn_type *t = &e->k->bindings.at[out].type;
    zn_loop l;
    zn_loop_begin(e, &l, zn_i64(e, 0), zn_i64(e, t->dim[1]), 1, 0, NULL);
    zero_floats(e, zn_row_ptr(e, out, n, l.i), t->dim[2] * t->dim[3]);
    zn_loop_end(e, &l, NULL);
}

void zn_emit_resample(zn_emit *e) {
    resample r = {.v = e->k->group->anchor};
    const zn_value *v = r.v;
    pixel_fn *body;
    r.c = zn_type_channels(&v->type);
    bool larger = shape_of(e, &r, &body);
    int out = zn_binding_of(e, ZN_BIND_OUT, v), in[2];
    for (int i = 0; i < v->noperands; i++)
        in[i] = zn_binding_of(e, ZN_BIND_IN, v->operand[i]);
    const zn_type *small = larger ? &v->operand[0]->type : &v->type;
    bool image = small->rank == 4;
    zn_loop l, lh, lw;
    zn_ll row[2], from[2];
    zn_loop_begin(e, &l, e->begin, e->end, 1, 0, NULL);
    if (v->op == ZN_OP_SUBSAMPLE_GRAD)
        clear_image(e, out, l.i);
    zn_loop_begin(e, &lh, zn_i64(e, 0), zn_i64(e, small->rank >= 3 ? small->dim[1] : 1), 1, 0, NULL);
    zn_ll far_row = zn_mul(e, lh.i, r.stride[0]), to_row = zn_row_ptr(e, out, l.i, larger ? far_row : lh.i);
    for (int i = 0; i < v->noperands; i++)
        row[i] = zn_row_ptr(e, in[i], l.i, larger ? lh.i : far_row);
    zn_loop_begin(e, &lw, zn_i64(e, 0), zn_i64(e, image ? small->dim[2] : 1), 1, 0, NULL);
    zn_ll far_col = zn_mul(e, lw.i, r.stride[1]), to = zn_at(e, to_row, zn_mul(e, larger ? far_col : lw.i, r.c));
    for (int i = 0; i < v->noperands; i++)
        from[i] = zn_at(e, row[i], zn_mul(e, larger ? lw.i : far_col, input_channels(&r, i)));
    body(e, &r, from, to);
    zn_loop_end(e, &lw, NULL);
    zn_loop_end(e, &lh, NULL);
    zn_emit_halo(e, l.i);
    zn_loop_end(e, &l, NULL);
}
