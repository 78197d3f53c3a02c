/* Which Winograd algorithm serves a convolution, and whether it pays: functions of shapes only, for the choice fixes
 * bits.
 *
 * F(m, r) computes m outputs of r taps by m + r - 1 products in one direction (Lavin and Gray, arXiv 1509.09308), in
 * two directions by the square of that: 3x3: F(4x4) 36 products for 144, F(3x3) 25 for 81, F(2x2) 16 for 36; that which
 * has the least in all of the map 5x5: F(2x2) 36 for 100 3x3, stride 2: the polyphase form of F(4x4, 2x2), 81 for 144
 * Maps need not be whole tiles, see zn_winograd. */
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

/* The tile of F(m x m, 3x3) with the fewest products; on a tie the larger. */
static int64_t tile_of_three(int64_t rows, int64_t cols) {
    int64_t best = 0, least = 0;
    for (int64_t m = 4; m >= 2; m--) {
        int64_t products = (m + 2) * (m + 2) * ceil_div(rows, m) * ceil_div(cols, m);
        if (rows >= m && cols >= m && (!best || products < least)) {
            best = m;
            least = products;
        }
    }
    return best;
}

zn_winograd zn_winograd_of(const zn_value *v) {
    shape s = shape_of(v);
    int64_t rows = s.y->dim[1], cols = s.y->dim[2], taps = s.w->dim[0], stride = s.stride[0];
    zn_winograd w = {.stride = stride, .taps = taps, .by_data = v->op == ZN_OP_CONV_GRAD_X};
    if (s.w->dim[1] != taps || s.stride[1] != stride || s.pad[0] != taps / 2 || s.pad[1] != taps / 2 ||
        ceil_div(s.x->dim[1], stride) != rows || ceil_div(s.x->dim[2], stride) != cols)
        return w;
    if (stride == 1)
        w.tile = taps == 3 ? tile_of_three(rows, cols) : taps == 5 && rows >= 2 && cols >= 2 ? 2 : 0;
    else if (stride == 2)
        w.tile = taps == 3 && rows >= 4 && cols >= 4 ? 4 : 0;
    if (!w.tile)
        return w;
    w.weights = stride == 2 ? 36 : (w.tile + taps - 1) * (w.tile + taps - 1);
    w.positions = stride == 2 ? 81 : w.weights;
    w.images = s.y->dim[0];
    w.rows = rows;
    w.cols = cols;
    w.down = ceil_div(rows, w.tile);
    w.across = ceil_div(cols, w.tile);
    w.tiles = w.down * w.across;
    return w;
}

/* At each position of a tile, to transform a vector of channels costs as much as so many products with it: of inputs,
 * and of outputs, which go on to memory; a transformed weight costs as much as WEIGHT products. Measured in 32x32 maps:
 * 16 to 16 channels 2.2 times direct, 64 to 64 3.2, 8 to 8 2.1, 3 to 64 0.82 (by weights 0.8), 64 to 3 by data 2.4;
 * 5x5 kernels, 5x5 maps of 64 1.5. */
static const double INPUT = 4, OUTPUT = 9, WEIGHT = 2;

double zn_winograd_gain(const zn_value *v) {
    zn_winograd w = zn_winograd_of(v);
    if (!w.tile)
        return 0;
    shape s = shape_of(v);
    /* Lanes run over what is made: outputs, or inputs by data; by weights, rows of a register tile over inputs. */
    int64_t in = w.by_data ? s.w->dim[3] : s.w->dim[2], out = w.by_data ? s.w->dim[2] : s.w->dim[3];
    double o = (double)zn_winograd_channels(out), t = (double)(w.images * w.tiles), i = (double)in;
    double rows = v->op == ZN_OP_CONV_GRAD_W ? (double)ceil_div(in, 8) * 8 : i;
    double winograd = t * (double)w.positions * (rows * o + INPUT * (double)zn_winograd_channels(in) + OUTPUT * o) +
                      WEIGHT * (double)w.weights * i * o;
    double direct = (double)(w.images * w.rows * w.cols * w.taps * w.taps) * i * o;
    return direct / winograd;
}

/* The transformed weights are then the larger part, and would not stay in a cache. */
bool zn_winograd_weight_major(const zn_winograd *w, int64_t c, int64_t o) {
    return c % 64 == 0 && o % 64 == 0 && 2 * w->images * w->tiles <= (c > o ? c : o);
}
