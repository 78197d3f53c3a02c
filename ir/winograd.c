/* Which algorithm serves a convolution, and whether Winograd's pays: functions of shapes only, for the choice fixes
 * bits.
 *
 * F(m, r) computes m outputs of r taps by m + r - 1 products in one direction (Lavin and Gray, arXiv 1509.09308), in
 * two directions by the square of that. For 3x3 kernels F(4x4) has 36 products for 144, F(3x3) 25 for 81, F(2x2) 16 for
 * 36: that is taken which has the fewest in all of the map. For 5x5 kernels F(2x2) has 36 for 100; for 3x3 of stride 2
 * the polyphase form of F(4x4, 2x2) has 81 for 144. Maps need not be whole tiles: one of 7x7 is four tiles of 4x4, 4x3,
 * 3x4 and 3x3, 121 products, see zn_winograd. */
#include <string.h>

#include "ir/plan.h"

enum { LANES = 16 }; /* of the widest processor */

int64_t zn_winograd_channels(int64_t c) {
    return (c + LANES - 1) / LANES * LANES;
}

int64_t zn_winograd_pitch(int64_t floats) {
    return floats + 16;
}

/* What the algorithms need to know of v. */
typedef struct shape {
    const zn_type *w, *x, *y;
    const int64_t *stride, *pad;
} shape;

static shape shape_of(const zn_value *v) {
    switch (v->op) {
    case ZN_OP_CONV:
        return (shape){&v->operand[1]->type, &v->operand[0]->type, &v->type, zn_attr_of(v, CONV, stride)->v,
                       zn_attr_of(v, CONV, pad)->v};
    case ZN_OP_CONV_GRAD_X:
        return (shape){&v->operand[1]->type, &v->type, &v->operand[0]->type, zn_attr_of(v, CONV_GRAD_X, stride)->v,
                       zn_attr_of(v, CONV_GRAD_X, pad)->v};
    default:
        return (shape){&v->type, &v->operand[0]->type, &v->operand[1]->type, zn_attr_of(v, CONV_GRAD_W, stride)->v,
                       zn_attr_of(v, CONV_GRAD_W, pad)->v};
    }
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Of the products of a position and a tap, in one direction, the share that lies in the map. */
static double share_inside(int64_t size, int64_t out, int64_t taps, int64_t stride, int64_t pad) {
    int64_t inside = 0;
    for (int64_t t = 0; t < taps; t++) { /* positions y with 0 <= y stride - pad + t < size */
        int64_t first = t >= pad ? 0 : ceil_div(pad - t, stride), last = (size - 1 + pad - t) / stride;
        last = size - 1 + pad - t < 0 ? -1 : last < out - 1 ? last : out - 1;
        inside += last >= first ? last - first + 1 : 0;
    }
    return (double)inside / ((double)out * (double)taps);
}

static double inside_map(const shape *s) {
    return share_inside(s->x->dim[1], s->y->dim[1], s->w->dim[0], s->stride[0], s->pad[0]) *
           share_inside(s->x->dim[2], s->y->dim[2], s->w->dim[1], s->stride[1], s->pad[1]);
}

/* Positions of y up to which it pays; products left out of all; images for a register tile. */
enum { SMALL_MAP = 36, BY_IMAGES = 8 };
static const double MOST_INSIDE = 0.8;

bool zn_conv_by_images(const zn_value *v) {
    if (v->op != ZN_OP_CONV && v->op != ZN_OP_CONV_GRAD_X)
        return false;
    shape s = shape_of(v);
    return s.y->dim[1] * s.y->dim[2] <= SMALL_MAP && s.y->dim[0] >= BY_IMAGES && inside_map(&s) <= MOST_INSIDE;
}

enum { LOW_MAP = 6 };

bool zn_conv_skips_rows(const zn_value *v) {
    return v->op == ZN_OP_CONV_GRAD_W && v->operand[1]->type.dim[1] <= LOW_MAP && v->type.dim[0] > 1;
}

/* n rows in tiles of m and, at the end, m - 1; or, if `small` is NULL or they do not fit, in tiles of m, the last of
 * which overlaps. Number of tiles, 0 if n is less than one. */
static int64_t split(int64_t n, int64_t m, int64_t *small) {
    if (small)
        *small = 0;
    if (n < m - (small != NULL))
        return 0;
    for (int64_t s = 0; small && s < m && s * (m - 1) <= n; s++)
        if ((n - s * (m - 1)) % m == 0) {
            *small = s;
            return s + (n - s * (m - 1)) / m;
        }
    return n < m ? 0 : ceil_div(n, m);
}

int64_t zn_winograd_products(const zn_winograd *w) {
    if (!w->small_down && !w->small_across)
        return w->tiles * w->positions;
    int64_t p = w->tile + w->taps - 1;
    return (w->down * p - w->small_down) * (w->across * p - w->small_across);
}

static void set_tiles(zn_winograd *w, int64_t m, bool mixed) {
    w->tile = m;
    w->small_down = w->small_across = 0;
    w->down = split(w->rows, m, mixed ? &w->small_down : NULL);
    w->across = split(w->cols, m, mixed ? &w->small_across : NULL);
    w->tiles = w->down * w->across;
    w->positions = w->weights = (m + w->taps - 1) * (m + w->taps - 1);
}

/* The F(m x m, 3x3) with the fewest products, on a tie the largest; with tiles of two sizes where that saves one in
 * MIXED, for they take four times the code of transforms. */
enum { MIXED = 20 };
static void choose_tiles(zn_winograd *w) {
    zn_winograd best = *w, t = *w;
    best.tile = 0;
    for (int64_t m = 4; m >= 2; m--) {
        set_tiles(&t, m, false);
        if (t.tiles && (!best.tile || zn_winograd_products(&t) < zn_winograd_products(&best)))
            best = t;
    }
    zn_winograd pure = best;
    for (int64_t m = 4; m >= 3 && pure.tile; m--) {
        set_tiles(&t, m, true);
        if (t.tiles && (t.small_down || t.small_across) && t.small_down < t.down && t.small_across < t.across &&
            zn_winograd_products(&t) < zn_winograd_products(&best) &&
            zn_winograd_products(&t) * MIXED < zn_winograd_products(&pure) * (MIXED - 1))
            best = t;
    }
    *w = best;
}

zn_winograd zn_winograd_of(const zn_value *v) {
    shape s = shape_of(v);
    int64_t rows = s.y->dim[1], cols = s.y->dim[2], taps = s.w->dim[0], stride = s.stride[0];
    zn_winograd w = {.stride = stride, .taps = taps, .by_data = v->op == ZN_OP_CONV_GRAD_X};
    if (zn_conv_groups(v) > 1 || s.w->dim[1] != taps || s.stride[1] != stride || s.pad[0] != taps / 2 ||
        s.pad[1] != taps / 2 || ceil_div(s.x->dim[1], stride) != rows || ceil_div(s.x->dim[2], stride) != cols)
        return w;
    w.images = s.y->dim[0];
    w.rows = rows;
    w.cols = cols;
    if (stride == 1 && taps == 3) {
        choose_tiles(&w);
    } else if (stride == 1 && taps == 5 && rows >= 2 && cols >= 2) {
        set_tiles(&w, 2, false);
    } else if (stride == 2 && taps == 3 && rows >= 4 && cols >= 4) {
        set_tiles(&w, 4, false);
        w.positions = 81;
    }
    return w;
}

/* At each position of a tile, to transform a vector of channels costs as much as so many products with it: of inputs,
 * and of outputs, which go on to memory; a transformed weight costs as much as WEIGHT products. Measured in 32x32 maps:
 * 16 to 16 channels 2.2 times direct, 64 to 64 3.2, 8 to 8 2.1, 3 to 64 0.82 (by weights 0.8), 64 to 3 by data 2.4;
 * 5x5 kernels, 5x5 maps of 64 1.5; stride 2, 16 to 32 1.3, 32 to 64 1.4, 64 to 128 1.6. */
static const double INPUT = 4, OUTPUT = 9, OUTPUT_STRIDED = 5, WEIGHT = 2;

double zn_winograd_gain(const zn_value *v) {
    zn_winograd w = zn_winograd_of(v);
    if (!w.tile)
        return 0;
    shape s = shape_of(v);
    /* Lanes run over what is made: outputs, or inputs by data; by weights, rows of a register tile over inputs. */
    int64_t in = w.by_data ? s.w->dim[3] : s.w->dim[2], out = w.by_data ? s.w->dim[2] : s.w->dim[3];
    double o = (double)zn_winograd_channels(out), i = (double)in, output = w.stride == 2 ? OUTPUT_STRIDED : OUTPUT;
    double rows = v->op == ZN_OP_CONV_GRAD_W ? (double)ceil_div(in, 8) * 8 : i;
    double winograd = (double)(w.images * zn_winograd_products(&w)) *
                          (rows * o + INPUT * (double)zn_winograd_channels(in) + output * o) +
                      WEIGHT * (double)w.weights * i * o;
    double direct = (double)(w.images * w.rows * w.cols * w.taps * w.taps) * i * o;
    if (zn_conv_by_images(v))
        direct *= inside_map(&s);
    if (zn_conv_skips_rows(v))
        direct *= share_inside(s.x->dim[1], s.y->dim[1], s.w->dim[0], s.stride[0], s.pad[0]);
    return direct / winograd;
}

static void print_form(const zn_winograd *w, zn_buf *out) {
    long long m = w->tile, r = w->taps;
    if (w->stride == 2)
        zn_buf_puts(out, "polyphase F(4x4, 2x2)");
    else
        zn_buf_printf(out, "F(%lldx%lld, %lldx%lld)", m, m, r, r);
    if (w->small_down || w->small_across)
        zn_buf_printf(out, " and tiles of %lld", m - 1);
}

void zn_conv_explain(const zn_value *v, zn_buf *out) {
    zn_winograd w = zn_winograd_of(v);
    double gain = zn_winograd_gain(v);
    bool winograd = !strcmp(zn_conv_algorithm(v), "winograd");
    zn_buf_puts(out, winograd ? "winograd " : "direct: ");
    if (!w.tile && zn_conv_groups(v) > 1) {
        zn_buf_printf(out, "%lld groups", (long long)zn_conv_groups(v));
        return;
    }
    if (!w.tile) {
        shape s = shape_of(v);
        zn_buf_printf(out, "no Winograd form for %lldx%lld kernels, stride %lld, on maps of %lldx%lld",
                      (long long)s.w->dim[0], (long long)s.w->dim[1], (long long)s.stride[0], (long long)s.y->dim[1],
                      (long long)s.y->dim[2]);
        return;
    }
    if (!winograd && gain >= ZN_WINOGRAD_LEAST_GAIN)
        zn_buf_puts(out, "asked for; ");
    print_form(&w, out);
    zn_buf_printf(out, winograd ? ", gain %.2f" : " has gain %.2f", gain);
}

/* The transformed weights are then the larger part, and would not stay in a cache. */
bool zn_winograd_weight_major(const zn_winograd *w, int64_t c, int64_t o) {
    return c % 64 == 0 && o % 64 == 0 && 2 * w->images * w->tiles <= (c > o ? c : o);
}
