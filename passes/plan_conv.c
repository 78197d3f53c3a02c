/* Kernels of convolutions, their gradients and matrix products. */
#include <string.h>

#include "passes/planner.h"

/* Rows of the kernel matrix (kw, c) in one unit of a gradient by weights; positions that all its tiles meet before the
 * next ones: fewer where copies of them, or narrow groups of channels far apart, have to stay in the first cache. */
enum { GRAD_W_ROWS = 96, GRAD_W_CHUNK = 256, PACKED_CHUNK = 96, GROUPS_CHUNK = 32, NARROW_GROUP = 16 };

/* Kernels of gradients by weights that leave one partial result per shard. */
typedef struct sharded_job {
    zn_kernel_family family;
    int64_t outer, unit, block, flops;
} sharded_job;

/* Partial results per shard, then their join with what is fused behind. */
static void plan_sharded(zn_planner *p, const zn_group *g, const sharded_job *job) {
    const zn_value *v = g->anchor;
    int64_t shards = zn_value_shards(v), n = zn_pl_count(v);
    zn_kernel_plan *k = zn_pl_kernel(p, g, job->family, job->unit);
    zn_phase_plan ph = {.outer = job->outer, .flops = job->flops};
    ph.grain = zn_pl_grain(job->flops / job->outer, ZN_PL_MIN_FLOPS);
    zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[0]);
    zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    k->block = job->block;
    if (job->family == ZN_KERNEL_CONV_GRAD_W && zn_grad_w_packs(v))
        ph.scratch = 4 * zn_grad_w_packed(zn_grad_w_chunk(v, k->block), k->unit);
    int partial = zn_pl_temp(p, zn_pl_partial_type(shards, 1, n), "partial weights");
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "partial", partial);
    zn_pl_add_phase(p, k, &ph);
    k = zn_pl_kernel(p, g, ZN_KERNEL_JOIN, 1024);
    ph = (zn_phase_plan){.outer = zn_pl_ceil_div(n, 1024), .flops = n * shards, .grain = 2};
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "partial", partial);
    zn_pl_bind_group(p, k, &ph, g, true);
    zn_pl_add_phase(p, k, &ph);
}

static int plan_turn(zn_planner *p, const zn_group *g, zn_type turned) {
    const zn_value *w = g->anchor->operand[1];
    int64_t outer = w->type.rank == 4 ? w->type.dim[0] * w->type.dim[1] : zn_pl_ceil_div(turned.dim[0], 16);
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_TURN, w->type.rank == 4 ? 1 : 16);
    zn_phase_plan ph = {.outer = outer, .grain = zn_pl_grain(zn_pl_count(w) * 4 / outer, ZN_PL_MIN_BYTES)};
    int temp = zn_pl_temp(p, turned, "transposed weights");
    zn_pl_bind(p, k, &ph, ZN_BIND_IN, w);
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "turned", temp);
    zn_pl_add_phase(p, k, &ph);
    return temp;
}

static bool is_winograd(const zn_value *v) {
    return !strcmp(zn_conv_algorithm(v), "winograd");
}

static void bind_loads(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, const zn_group *g) {
    zn_pl_bind(p, k, ph, ZN_BIND_IN, zn_group_loaded(g));
    for (size_t i = 0; i < g->values.n; i++)
        for (int j = 1; zn_group_loads_through(g, g->values.at[i]) && j < g->values.at[i]->noperands; j++)
            zn_pl_bind(p, k, ph, ZN_BIND_IN, g->values.at[i]->operand[j]);
}

/* Tiles in a unit of the kernels that only transform; what tiles are rounded up to in panels. */
enum { TRANSFORM_TILES = 8, PANEL_TILES = 16, PANEL_CHANNELS = 64 };

/* All tiles of the input of g's anchor, transformed. block: tiles in a panel, 0: as many as a product takes. */
static int plan_wino_input(zn_planner *p, const zn_group *g, const zn_winograd *w, int64_t block) {
    int64_t c = zn_type_channels(&g->anchor->operand[0]->type), tiles = w->images * w->tiles;
    int64_t padded = zn_pl_ceil_div(tiles, PANEL_TILES) * PANEL_TILES;
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_INPUT, TRANSFORM_TILES);
    zn_phase_plan ph = {.outer = zn_pl_ceil_div(tiles, TRANSFORM_TILES)};
    ph.grain = zn_pl_grain(TRANSFORM_TILES * w->positions * c * 4, ZN_PL_MIN_BYTES);
    k->block = block;
    bind_loads(p, k, &ph, g);
    int64_t dim[2] = {w->positions, zn_winograd_pitch(padded * zn_winograd_channels(c))};
    int temp = zn_pl_temp(p, zn_type_make(ZN_F32, 2, dim), "tiles, transformed");
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "tiles", temp);
    zn_pl_add_phase(p, k, &ph);
    return temp;
}

/* Winograd where the weights are the larger part: V of all tiles; then outputs go panel by panel through scratch. */
static void plan_wino_panels(zn_planner *p, const zn_group *g, const zn_winograd *w, int turned, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t c = zn_type_channels(&v->operand[0]->type), o = zn_type_channels(&v->type);
    int tiles = plan_wino_input(p, g, w, 0);
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_CONV_PANEL, ZN_WINOGRAD_PANEL);
    zn_phase_plan ph = {.outer = o / ZN_WINOGRAD_PANEL, .flops = flops * w->images, .grain = 1};
    k->block = zn_pl_ceil_div(w->images * w->tiles, PANEL_TILES) * PANEL_TILES;
    ph.scratch = 4 * (w->weights * zn_winograd_pitch(c * ZN_WINOGRAD_PANEL) +
                      w->positions * zn_winograd_pitch(k->block * ZN_WINOGRAD_PANEL));
    zn_pl_bind_group(p, k, &ph, g, true);
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "tiles", tiles);
    if (turned >= 0)
        zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "turned", turned);
    else
        zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    zn_pl_add_phase(p, k, &ph);
    for (size_t i = 0; i < g->reduces.n; i++)
        zn_pl_sum_alone(p, g->reduces.at[i]);
}

/* Winograd: U from the weights (a value, or a turned temporary); then blocks of tiles go through scratch. */
static void plan_winograd(zn_planner *p, const zn_group *g, int turned, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t c = zn_type_channels(&v->operand[0]->type), o = zn_type_channels(&v->type);
    zn_winograd w = zn_winograd_of(v);
    if (zn_winograd_weight_major(&w, c, o)) {
        plan_wino_panels(p, g, &w, turned, flops);
        return;
    }
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_WEIGHTS, 1);
    zn_phase_plan ph = {.outer = c, .grain = zn_pl_grain(o * 9 * 4, ZN_PL_MIN_BYTES / 8)};
    int64_t each = zn_winograd_pitch(c * zn_winograd_channels(o));
    int u = zn_pl_temp(p, zn_pl_partial_type(1, w.weights, each), "transformed weights");
    if (turned < 0)
        zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    else
        zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "turned", turned);
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "transformed", u);
    zn_pl_add_phase(p, k, &ph);
    zn_pl_images(p, g,
                 &(zn_pl_image_job){.family = ZN_KERNEL_WINO_CONV,
                                    .weights = "transformed",
                                    .weights_buffer = u,
                                    .flops = flops,
                                    .rows = o > 16 ? 8 : 16,
                                    .block = w.stride == 2        ? 16
                                             : c * o >= 256 * 256 ? 64
                                                                  : 32});
}

/* Weights in panels; a unit is a panel. */
static int plan_panels(zn_planner *p, const zn_group *g) {
    const zn_value *w = g->anchor->operand[1];
    int64_t outer = w->type.dim[3] / ZN_CONV_PANEL;
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_PANELS, 1);
    zn_phase_plan ph = {.outer = outer, .grain = zn_pl_grain(zn_pl_count(w) * 4 / outer, ZN_PL_MIN_BYTES)};
    int temp = zn_pl_temp(p, w->type, "weights in panels");
    zn_pl_bind(p, k, &ph, ZN_BIND_IN, w);
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "panels", temp);
    zn_pl_add_phase(p, k, &ph);
    return temp;
}

void zn_plan_conv(zn_planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    const zn_type *w = &v->operand[1]->type;
    int64_t flops = 2 * w->dim[0] * w->dim[1] * w->dim[2] * zn_pl_count(v) / v->type.dim[0];
    if (is_winograd(v))
        plan_winograd(p, g, -1, flops);
    else if (zn_conv_has_panels(v))
        zn_pl_images(
            p, g,
            &(zn_pl_image_job){
                .family = ZN_KERNEL_CONV, .weights = "panels", .weights_buffer = plan_panels(p, g), .flops = flops});
    else
        zn_pl_images(p, g,
                     &(zn_pl_image_job){.family = zn_conv_narrow_groups(v) ? ZN_KERNEL_DEPTHWISE : ZN_KERNEL_CONV,
                                        .flops = flops});
}

void zn_plan_conv_grad_x(zn_planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    const zn_type *w = &v->operand[1]->type;
    int64_t groups = zn_conv_groups(v), dim[4] = {w->dim[0], w->dim[1], w->dim[3] / groups, w->dim[2] * groups};
    int turned = plan_turn(p, g, zn_type_make(ZN_F32, 4, dim));
    int64_t flops = 2 * w->dim[0] * w->dim[1] * w->dim[2] * zn_pl_count(v->operand[0]) / v->type.dim[0];
    if (is_winograd(v))
        plan_winograd(p, g, turned, flops);
    else
        zn_pl_images(
            p, g,
            &(zn_pl_image_job){.family = zn_conv_narrow_groups(v) ? ZN_KERNEL_DEPTHWISE : ZN_KERNEL_CONV_GRAD_X,
                               .weights = "turned",
                               .weights_buffer = turned,
                               .flops = flops});
}

/* Positions of an image, and weights, from which partial sums are kept in memory, a shard a task. */
enum { SMALL_MAP = 64, SMALL_WEIGHTS = 16384 };

/* Input channels in a block: about 128, in even parts of whole vectors; fewer, down to 32, where one or two shards
 * would leave processors without work. Each block transforms all of dy. */
enum { GRAD_W_UNITS = 4 };
static int64_t wino_channels(int64_t c, int64_t shards) {
    int64_t vectors = zn_winograd_channels(c) / 16, blocks = zn_pl_ceil_div(vectors, 9);
    while (blocks * shards < GRAD_W_UNITS && vectors >= 4 * blocks)
        blocks *= 2;
    return zn_pl_ceil_div(vectors, blocks) * 16;
}

/* V and Z of all tiles; then dU and dw of one block of weights after the other. */
static void plan_wino_grad_w_panels(zn_planner *p, const zn_group *g, const zn_winograd *w, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t c = v->type.dim[2], o = v->type.dim[3], tiles = w->images * w->tiles;
    int in = plan_wino_input(p, g, w, tiles);
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_DY, TRANSFORM_TILES);
    zn_phase_plan ph = {.outer = zn_pl_ceil_div(tiles, TRANSFORM_TILES)};
    ph.grain = zn_pl_grain(TRANSFORM_TILES * w->positions * o * 4, ZN_PL_MIN_BYTES);
    k->block = tiles;
    zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    int64_t dim[2] = {w->positions, zn_winograd_pitch(tiles * o)};
    int gradients = zn_pl_temp(p, zn_type_make(ZN_F32, 2, dim), "gradients, transformed");
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "gradients", gradients);
    zn_pl_add_phase(p, k, &ph);
    k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_GRAD_W_PANEL, PANEL_CHANNELS);
    ph = (zn_phase_plan){.outer = c / PANEL_CHANNELS * (o / ZN_WINOGRAD_PANEL), .flops = flops, .grain = 1};
    k->block = tiles;
    ph.scratch = 4 * w->weights * zn_winograd_pitch(PANEL_CHANNELS * ZN_WINOGRAD_PANEL);
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "tiles", in);
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "gradients", gradients);
    zn_pl_bind_group(p, k, &ph, g, true);
    zn_pl_add_phase(p, k, &ph);
}

static void plan_wino_grad_w(zn_planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    int64_t c = v->type.dim[2], o = v->type.dim[3], shards = zn_value_shards(v), channels = wino_channels(c, shards);
    int64_t flops = 2 * zn_pl_count(v) * zn_pl_count(v->operand[1]) / o;
    zn_winograd w = zn_winograd_of(v);
    if (shards == 1 && zn_winograd_weight_major(&w, c, o)) {
        plan_wino_grad_w_panels(p, g, &w, flops);
        return;
    }
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_GRAD_W, channels);
    zn_phase_plan ph = {.outer = shards * zn_pl_ceil_div(c, channels), .flops = flops, .grain = 1};
    k->block =
        zn_pl_even_block(zn_pl_ceil_div(w.images, shards) * w.tiles, w.stride == 2 || c * o < 32 * 32 ? 16 : 32, 1);
    ph.scratch = 4 * w.positions *
                 (zn_winograd_pitch(k->block * channels) + zn_winograd_pitch(k->block * zn_winograd_channels(o)));
    bind_loads(p, k, &ph, g);
    zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    int64_t each = zn_winograd_pitch(zn_winograd_channels(c) * zn_winograd_channels(o));
    int partial = zn_pl_temp(p, zn_pl_partial_type(shards, w.weights, each), "partial weights, transformed");
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "partial", partial);
    zn_pl_add_phase(p, k, &ph);
    k = zn_pl_kernel(p, g, ZN_KERNEL_WINO_JOIN, 16);
    ph = (zn_phase_plan){.outer = zn_pl_ceil_div(c, 16),
                         .grain = zn_pl_grain(16 * o * w.weights * shards * 4, ZN_PL_MIN_BYTES)};
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "partial", partial);
    zn_pl_bind_group(p, k, &ph, g, true);
    zn_pl_add_phase(p, k, &ph);
}

/* Rows of a unit that goes by chunks: as many as leave enough units, since each unit reads all of dy. */
static int64_t rows_of_unit(int64_t kernel_rows, int64_t kwc) {
    int64_t unit = 32;
    for (int64_t u = 48; u <= GRAD_W_ROWS; u += 16)
        if (kernel_rows * (kwc / u) >= 16 && (u % 48 == 0 || kwc % u == 0))
            unit = u;
    return unit;
}

/* Each unit joins its shards by itself, in scratch memory: for matrices, and for convolutions over maps so small that
 * partial results would cost more memory traffic than the sums. */
static void plan_grad_w_joined(zn_planner *p, const zn_group *g, int64_t kernel_rows, int64_t kwc, int64_t flops) {
    const zn_type *dy = &g->anchor->operand[1]->type;
    int64_t shards = zn_value_shards(g->anchor), outputs = zn_type_channels(dy),
            positions = zn_type_count(dy) / outputs;
    bool chunks = dy->rank == 4 && positions > 8 * GRAD_W_CHUNK;
    int64_t unit = chunks ? rows_of_unit(kernel_rows, kwc) : 32;
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_GRAD_W_JOINED, unit);
    zn_phase_plan ph = {.outer = kernel_rows * zn_pl_ceil_div(kwc, unit), .flops = flops};
    ph.grain = zn_pl_grain(flops / ph.outer, ZN_PL_MIN_FLOPS);
    ph.scratch = 4 * shards * (chunks ? unit * outputs : ZN_JOINED_SLOT);
    if (chunks) {
        k->block = GRAD_W_CHUNK;
        if (zn_grad_w_packs(g->anchor))
            ph.scratch += 4 * zn_grad_w_packed(zn_grad_w_chunk(g->anchor, k->block), unit);
    } else if (positions <= 8192 && outputs >= 64) {
        k->block = positions;
        ph.scratch += 4 * zn_grad_w_packed(positions, unit);
    }
    zn_pl_bind_group(p, k, &ph, g, false);
    zn_pl_add_phase(p, k, &ph);
}

/* Bytes of x and dy that a chunk of rows goes over, so that all its taps find them near; units for all processors. */
enum { CHUNK_BYTES = 16 * 1024, DEPTHWISE_UNITS = 8 };

static void plan_depthwise_grad_w(zn_planner *p, const zn_group *g, int64_t flops) {
    const zn_value *v = g->anchor;
    const zn_type *x = &v->operand[0]->type, *dy = &v->operand[1]->type;
    int64_t c = x->dim[3], shards = zn_value_shards(v), blocks = zn_pl_ceil_div(DEPTHWISE_UNITS, shards);
    int64_t vectors = zn_pl_ceil_div(c, 16),
            row = 4 * c * (x->dim[2] * zn_attr_of(v, CONV_GRAD_W, stride)->v[0] + dy->dim[2]);
    blocks = blocks < vectors ? blocks : vectors;
    sharded_job job = {
        .family = ZN_KERNEL_DEPTHWISE_GRAD_W, .unit = zn_pl_ceil_div(vectors, blocks) * 16, .flops = flops};
    job.outer = shards * zn_pl_ceil_div(c, job.unit);
    job.block = CHUNK_BYTES / row > 1 ? CHUNK_BYTES / row : 1;
    plan_sharded(p, g, &job);
}

void zn_plan_conv_grad_w(zn_planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    int64_t kwc = v->type.dim[1] * v->type.dim[2];
    int64_t outer = zn_value_shards(v) * v->type.dim[0] * zn_pl_ceil_div(kwc, GRAD_W_ROWS);
    if (is_winograd(v)) {
        plan_wino_grad_w(p, g);
        return;
    }
    int64_t flops = 2 * v->type.dim[0] * kwc * zn_pl_count(v->operand[1]),
            area = v->operand[1]->type.dim[1] * v->operand[1]->type.dim[2];
    sharded_job job = {ZN_KERNEL_CONV_GRAD_W, outer, GRAD_W_ROWS, zn_grad_w_packs(v) ? PACKED_CHUNK : GRAD_W_CHUNK,
                       flops};
    if (zn_conv_groups(v) > 1) { /* a group has part of each line of memory: a unit goes over all */
        job.outer = zn_value_shards(v) * v->type.dim[0];
        job.unit = kwc;
        job.block = v->type.dim[2] <= NARROW_GROUP ? GROUPS_CHUNK : GRAD_W_CHUNK;
    }
    if (zn_conv_narrow_groups(v))
        plan_depthwise_grad_w(p, g, flops);
    else if (zn_conv_groups(v) > 1)
        plan_sharded(p, g, &job);
    else if (area < SMALL_MAP && zn_pl_count(v) >= SMALL_WEIGHTS)
        plan_grad_w_joined(p, g, v->type.dim[0], kwc, flops);
    else
        plan_sharded(p, g, &job);
}

void zn_plan_matmul(zn_planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    bool ta = zn_attr_of(v, MATMUL, trans_a)->i, tb = zn_attr_of(v, MATMUL, trans_b)->i;
    int64_t rows = v->type.dim[0], cols = v->type.dim[1], inner = v->operand[0]->type.dim[ta ? 0 : 1];
    int64_t flops = 2 * rows * cols * inner;
    if (g->family == ZN_KERNEL_OPENBLAS) {
        int64_t block = 128;
        zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_OPENBLAS, block);
        zn_phase_plan ph = {.outer = zn_pl_ceil_div(cols, block), .grain = 1, .flops = flops};
        zn_pl_bind(p, k, &ph, ZN_BIND_OUT, v);
        zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[0]);
        zn_pl_bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
        int64_t extra[9] = {rows, cols, inner, v->operand[0]->type.dim[1], v->operand[1]->type.dim[1], cols,
                            ta,   tb,   block};
        for (int i = 0; i < 9; i++)
            zn_vec_push(ZN_PL_ARENA(p), &ph.extra, extra[i]);
        p->plan->uses_openblas = true;
        zn_pl_add_phase(p, k, &ph);
        return;
    }
    if (ta) {
        plan_grad_w_joined(p, g, 1, rows, flops);
        return;
    }
    int turned = -1;
    if (tb) {
        int64_t dim[2] = {inner, cols};
        turned = plan_turn(p, g, zn_type_make(ZN_F32, 2, dim));
    }
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_MATMUL, 64); /* columns, and in block: rows */
    k->block = zn_pl_ceil_div(zn_pl_ceil_div(rows, zn_pl_ceil_div(rows, 128)), 8) * 8;
    zn_phase_plan ph = {.outer = zn_pl_ceil_div(cols, k->unit) * zn_pl_ceil_div(rows, k->block), .flops = flops};
    ph.grain = zn_pl_grain(flops / ph.outer, ZN_PL_MIN_FLOPS);
    zn_pl_bind_group(p, k, &ph, g, false);
    if (turned >= 0)
        zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "turned", turned);
    zn_pl_add_phase(p, k, &ph);
}
