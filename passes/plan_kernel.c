/* Kernels and phases: what a kernel binds, the key of its code, units and grain; the families that go over elements,
 * rows and images. */
#include <string.h>

#include "passes/planner.h"
#include "support/ice.h"
#include "support/philox.h"

int64_t zn_pl_count(const zn_value *v) {
    return zn_type_count(&v->type);
}

static size_t index_in(const zn_group *g, const zn_value *v) {
    size_t i = 0;
    while (i < g->values.n && g->values.at[i] != v)
        i++;
    return i;
}
static bool in_group(const zn_group *g, const zn_value *v) {
    return index_in(g, v) < g->values.n;
}

size_t zn_pl_bind(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, zn_binding_kind kind, const zn_value *v) {
    for (size_t i = 0; i < k->bindings.n; i++)
        if (k->bindings.at[i].value == v && k->bindings.at[i].kind == kind)
            return i;
    int buf = zn_pl_buffer(p, v);
    zn_binding b = {kind, v, NULL, v->type, p->prog->buffers.at[buf].layout};
    zn_vec_push(ZN_PL_ARENA(p), &k->bindings, b);
    zn_vec_push(ZN_PL_ARENA(p), &ph->buffers, buf);
    return k->bindings.n - 1;
}

void zn_pl_bind_temp(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, zn_binding_kind kind, const char *name,
                     int buf) {
    zn_binding b = {kind, NULL, name, p->prog->buffers.at[buf].type, (zn_layout){0}};
    zn_vec_push(ZN_PL_ARENA(p), &k->bindings, b);
    zn_vec_push(ZN_PL_ARENA(p), &ph->buffers, buf);
}

void zn_pl_bind_group(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, const zn_group *g, bool skip_anchor) {
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *v = g->values.at[i];
        if (skip_anchor && (v == g->anchor || zn_group_loads_through(g, v)))
            continue;
        for (int j = 0; j < v->noperands; j++)
            if (!in_group(g, v->operand[j]) && v->operand[j]->op != ZN_OP_HYPER)
                zn_pl_bind(p, k, ph, ZN_BIND_IN, v->operand[j]);
    }
    for (size_t i = 0; i < g->values.n; i++)
        if (p->leaves[g->values.at[i]->id] && !zn_is_channel_sum(g->values.at[i]))
            zn_pl_bind(p, k, ph, ZN_BIND_OUT, g->values.at[i]);
}

static void key_type(zn_buf *b, const zn_type *t, const zn_layout *l) {
    zn_type_print(t, b);
    if (!zn_layout_plain(l))
        zn_buf_printf(b, "+%lld.%lld.%lld.%lld", (long long)l->top, (long long)l->left, (long long)l->bottom,
                      (long long)l->right);
}

/* Does the code of kernel k depend on value v of its group? The first kernels of a group and the joins of channel sums
 * do one thing only, and are shared by groups that go on differently. */
static bool relevant(const zn_kernel_plan *k, const zn_value *v) {
    switch (k->family) {
    case ZN_KERNEL_WINO_WEIGHTS:
        return false;
    case ZN_KERNEL_PANELS:
    case ZN_KERNEL_TURN:
        return v == k->group->anchor;
    case ZN_KERNEL_WINO_DY:
        return v == k->group->anchor;
    case ZN_KERNEL_CONV_GRAD_W:
    case ZN_KERNEL_DEPTHWISE_GRAD_W:
    case ZN_KERNEL_WINO_GRAD_W:
    case ZN_KERNEL_WINO_INPUT:
        return v == k->group->anchor || zn_group_loads_through(k->group, v);
    case ZN_KERNEL_BN_JOIN:
        return v == k->reduce;
    case ZN_KERNEL_JOIN:
        return !k->reduce || v == k->reduce;
    default:
        return true;
    }
}

/* Everything the code depends on, with values and buffers by number. */
static const char *key_of(zn_planner *p, const zn_kernel_plan *k, const char *tag) {
    zn_buf b = {0};
    zn_buf_printf(&b, "%s %lld %lld;", tag, (long long)k->unit, (long long)k->block);
    for (size_t i = 0; i < k->bindings.n; i++) {
        const zn_binding *x = &k->bindings.at[i];
        zn_buf_printf(&b, "%s", x->kind == ZN_BIND_IN ? "i" : x->kind == ZN_BIND_OUT ? "o" : "t");
        key_type(&b, &x->type, &x->layout);
        zn_buf_putc(&b, ' ');
    }
    for (size_t i = 0; i < k->group->values.n; i++) {
        const zn_value *v = k->group->values.at[i];
        if (!relevant(k, v))
            continue;
        zn_buf_printf(&b, "|%s", zn_op_table[v->op].text);
        for (int j = 0, first = zn_op_attr_first(v->op), n = zn_op_attr_count(v->op); j < n; j++) {
            const zn_attr *a = &v->attr[j];
            if (first + j == ZN_ATTR_ALL_DROPOUT_MASK_layer)
                zn_buf_printf(&b, " %u", zn_philox_salt(ZN_PURPOSE_DROPOUT, a->s));
            else
                zn_buf_printf(&b, " %lld/%a/%s/%lld.%lld.%lld.%lld", (long long)a->i, a->f, a->s ? a->s : "",
                              (long long)a->v[0], (long long)a->v[1], (long long)a->v[2], (long long)a->v[3]);
        }
        for (int j = 0; j < v->noperands && v != k->reduce; j++) {
            size_t in = index_in(k->group, v->operand[j]), at = 0;
            while (at < k->bindings.n && k->bindings.at[at].value != v->operand[j])
                at++;
            if (in < k->group->values.n)
                zn_buf_printf(&b, " g%zu", in);
            else if (v->operand[j]->op == ZN_OP_HYPER)
                zn_buf_printf(&b, " h%d", (int)zn_hyper_find(zn_attr_of(v->operand[j], HYPER, name)->s));
            else
                zn_buf_printf(&b, " b%zu", at);
            key_type(&b, &v->operand[j]->type, &(zn_layout){0});
        }
        for (size_t at = 0; at < k->bindings.n; at++)
            if (k->bindings.at[at].value == v)
                zn_buf_printf(&b, " >%zu", at);
    }
    if (k->family == ZN_KERNEL_WINO_WEIGHTS) {
        zn_winograd w = zn_winograd_of(k->group->anchor);
        zn_buf_printf(&b, "|stride %lld, tiles of %lld, %lld taps", (long long)w.stride, (long long)w.tile,
                      (long long)w.taps);
    }
    if (k->reduce) {
        const zn_type *t = &k->reduce->operand[0]->type;
        zn_buf_printf(&b, "|of %lld values", (long long)(zn_type_count(t) / zn_type_channels(&k->reduce->type)));
        if (t->dim[0] % zn_value_shards(k->reduce))
            zn_buf_printf(&b, " of %lld images", (long long)t->dim[0]);
    }
    char *key = zn_arena_strdup(ZN_PL_ARENA(p), zn_buf_str(&b));
    zn_buf_free(&b);
    return key;
}

int64_t zn_pl_grain(int64_t per_unit, int64_t least) {
    return per_unit >= least ? 1 : (least + per_unit - 1) / (per_unit > 0 ? per_unit : 1);
}

zn_kernel_plan *zn_pl_kernel(zn_planner *p, const zn_group *g, zn_kernel_family family, int64_t unit) {
    zn_kernel_plan *k = zn_new(ZN_PL_ARENA(p), zn_kernel_plan);
    k->family = family;
    k->group = g;
    k->unit = unit;
    return k;
}

static const char *const family_names[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = name,
#include "ir/kernels.def"
};

/* The slot of the kernel with this key in the plan's table (open addressing, at most half full), or a free one. */
static int *kernel_slot(zn_plan *plan, const char *key) {
    uint64_t h = 0xCBF29CE484222325u;
    for (const char *c = key; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001B3u;
    size_t mask = plan->by_key_size - 1, i = (size_t)(h ^ h >> 32) & mask;
    while (plan->by_key[i] && strcmp(plan->kernels.at[plan->by_key[i] - 1]->key, key))
        i = (i + 1) & mask;
    return &plan->by_key[i];
}

static void grow_kernel_table(zn_plan *plan) {
    plan->by_key_size = plan->by_key_size ? 2 * plan->by_key_size : 256;
    plan->by_key = zn_new_n(&plan->arena, int, plan->by_key_size);
    for (size_t i = 0; i < plan->kernels.n; i++)
        *kernel_slot(plan, plan->kernels.at[i]->key) = (int)i + 1;
}

void zn_pl_add_phase(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph) {
    zn_plan *plan = p->plan;
    if (2 * (plan->kernels.n + 1) > plan->by_key_size)
        grow_kernel_table(plan);
    k->key = key_of(p, k, family_names[k->family]);
    ph->group = k->group;
    int *slot = kernel_slot(plan, k->key);
    if (!*slot) {
        k->name = zn_arena_printf(ZN_PL_ARENA(p), "k%zu_%s", plan->kernels.n, family_names[k->family]);
        zn_vec_push(ZN_PL_ARENA(p), &plan->kernels, k);
        *slot = (int)plan->kernels.n;
    }
    ph->index = *slot - 1;
    ph->kernel = plan->kernels.at[ph->index];
    zn_vec_push(ZN_PL_ARENA(p), &p->prog->phases, *ph);
}

int64_t zn_pl_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

zn_type zn_pl_partial_type(int64_t shards, int64_t rows, int64_t n) {
    int64_t dim[3] = {shards, rows, n};
    return zn_type_make(ZN_F32, 3, dim);
}

static int64_t rows_of_reduce(const zn_value *r) {
    return r->op == ZN_OP_SUM_ROWS ? 1 : 2;
}

/* The join of a channel sum's partials. */
static void plan_join_of_sum(zn_planner *p, const zn_group *g, const zn_value *r, int partial) {
    bool stats = r->op == ZN_OP_BN_STATS;
    int64_t n = stats ? zn_type_channels(&r->type) : zn_pl_count(r), unit = 64;
    zn_kernel_plan *k = zn_pl_kernel(p, g, stats ? ZN_KERNEL_BN_JOIN : ZN_KERNEL_JOIN, unit);
    zn_phase_plan ph = {.outer = zn_pl_ceil_div(n, unit), .flops = zn_pl_count(r) * zn_value_shards(r)};
    k->reduce = r;
    zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, "partial", partial);
    zn_pl_bind(p, k, &ph, ZN_BIND_OUT, r);
    ph.grain = zn_pl_grain(unit * zn_value_shards(r) * 4, ZN_PL_MIN_BYTES);
    zn_pl_add_phase(p, k, &ph);
}

/* Tiles in a block of Winograd: at most `most`, so that the blocks of a unit are even and full register tiles. */
int64_t zn_pl_even_block(int64_t tiles, int64_t most, int64_t rows) {
    int64_t each = zn_pl_ceil_div(tiles, zn_pl_ceil_div(tiles, most));
    return zn_pl_ceil_div(each, rows) * rows;
}

/* Images of a Winograd convolution in one unit, in steps of `step`: from one block of tiles on, as many as leave
 * register tiles least empty, within an eighth of the batch. */
static int64_t unit_of_tiles(const zn_pl_image_job *job, int64_t tiles, int64_t batch, int64_t step) {
    int64_t least = zn_pl_ceil_div(zn_pl_ceil_div(job->block, tiles), step) * step, best = 0;
    double best_waste = 0;
    for (int64_t unit = least; unit == least || (unit < least + 16 * step && 8 * unit <= batch); unit += step) {
        int64_t n = unit * tiles, block = zn_pl_even_block(n, job->block, job->rows), rest = n % block;
        int64_t done = n - rest + zn_pl_ceil_div(rest, job->rows) * job->rows;
        double waste = (double)done / (double)n;
        if (!best || waste < best_waste - 0.01) {
            best = unit;
            best_waste = waste;
        }
    }
    return best;
}

/* Images in one unit: whole shards of the channel sums on the way; enough tiles for a block. */
static int64_t unit_of_images(const zn_pl_image_job *job, const zn_value *anchor, int64_t shards, const zn_type *t) {
    int64_t batch = t->dim[0], unit = 1, each = zn_type_count(t) / batch;
    if (job->block)
        unit = unit_of_tiles(job, zn_winograd_of(anchor).tiles, batch, shards ? batch / shards : 1);
    else if (job->flops &&
             t->rank == 4) /* enough positions to fill register tiles and to be worth reading the weights */
        unit = zn_conv_by_images(anchor) ? 16 : zn_pl_ceil_div(64, t->dim[1] * t->dim[2]);
    else if (!shards && t->rank == 2 && each < 4096)
        unit = zn_pl_ceil_div(4096, each);
    if (shards && batch % shards)
        return batch / shards; /* or one more: a unit is one shard */
    if (shards)
        unit = job->block ? unit : batch / shards;
    return unit < batch ? unit : batch;
}

static int64_t sums_scratch(const zn_value *r) {
    const zn_type *t = &r->operand[0]->type;
    return r->op == ZN_OP_LN_GRAD_SUMS
               ? 4 * (zn_ln_row(t->rank == 4 ? t->dim[2] : 1) + zn_ln_chains(zn_type_channels(t)))
               : 0;
}

void zn_pl_images(zn_planner *p, const zn_group *g, const zn_pl_image_job *job) {
    const zn_type *t = &g->anchor->type;
    const zn_value *lone = zn_is_channel_sum(g->anchor) ? g->anchor : NULL; /* a channel sum alone */
    if (lone)
        t = &lone->operand[0]->type;
    size_t nreduce = lone ? 1 : g->reduces.n;
    int64_t batch = t->dim[0], each = zn_type_count(t) / batch;
    int64_t shards = lone ? zn_value_shards(lone) : nreduce ? zn_value_shards(g->reduces.at[0]) : 0;
    int64_t unit = unit_of_images(job, g->anchor, shards, t);
    zn_kernel_plan *k = zn_pl_kernel(p, g, job->family, unit);
    zn_phase_plan ph = {.outer = shards && batch % shards ? shards : zn_pl_ceil_div(batch, unit),
                        .flops = job->flops * batch};
    if (job->block) {
        k->block = zn_pl_even_block(unit * zn_winograd_of(g->anchor).tiles, job->block, job->rows);
        int64_t c = zn_type_channels(&g->anchor->operand[0]->type), o = zn_type_channels(t);
        ph.scratch = 4 * zn_winograd_of(g->anchor).positions *
                     (zn_winograd_pitch(k->block * zn_winograd_channels(c)) +
                      zn_winograd_pitch(k->block * zn_winograd_channels(o)));
    }
    zn_pl_bind_group(p, k, &ph, g, false);
    if (job->weights)
        zn_pl_bind_temp(p, k, &ph, ZN_BIND_IN, job->weights, job->weights_buffer);
    int partial[8];
    ZN_ASSERT(nreduce <= 8);
    for (size_t i = 0; i < nreduce; i++) {
        const zn_value *r = lone ? lone : g->reduces.at[i];
        partial[i] = zn_pl_temp(p, zn_pl_partial_type(zn_value_shards(r), rows_of_reduce(r), zn_type_channels(t)),
                                "partial sums");
        zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "partial", partial[i]);
    }
    for (size_t i = 0; i < nreduce; i++) {
        int64_t table = sums_scratch(lone ? lone : g->reduces.at[i]);
        ph.scratch = table > ph.scratch ? table : ph.scratch;
    }
    ph.grain = job->flops > 16 * each ? zn_pl_grain(job->flops * unit, ZN_PL_MIN_FLOPS)
                                      : zn_pl_grain(each * unit * 4, ZN_PL_MIN_BYTES);
    zn_pl_add_phase(p, k, &ph);
    for (size_t i = 0; i < nreduce; i++)
        plan_join_of_sum(p, g, lone ? lone : g->reduces.at[i], partial[i]);
}

/* Elementwise over memory in one line: no halo, no channels. */
static bool is_flat(const zn_planner *p, const zn_group *g) {
    if (g->reduces.n)
        return false;
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *v = g->values.at[i];
        if (v->op == ZN_OP_DROPOUT_MASK || (p->leaves[v->id] && !zn_layout_plain(&p->layout[v->id])))
            return false;
        for (int j = 0; j < v->noperands; j++) {
            zn_access a = zn_map_access(v->op, j);
            const zn_value *u = v->operand[j];
            const zn_layout *l = u->op == ZN_OP_ARG ? &p->plan->image_layout : &p->layout[u->id];
            if (a == ZN_ACCESS_CHANNEL || (a == ZN_ACCESS_FULL && !in_group(g, u) && !zn_layout_plain(l)))
                return false;
        }
    }
    return true;
}

void zn_plan_map(zn_planner *p, const zn_group *g) {
    if (!is_flat(p, g)) {
        zn_pl_images(p, g, &(zn_pl_image_job){.family = ZN_KERNEL_MAP});
        return;
    }
    int64_t n = zn_pl_count(g->anchor), unit = 4096;
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_MAP, unit);
    zn_phase_plan ph = {.outer = zn_pl_ceil_div(n, unit), .grain = 4};
    k->flat = true;
    zn_pl_bind_group(p, k, &ph, g, false);
    zn_pl_add_phase(p, k, &ph);
}

void zn_plan_sum(zn_planner *p, const zn_group *g) {
    zn_pl_images(p, g, &(zn_pl_image_job){.family = g->family});
}

void zn_plan_layer_norm(zn_planner *p, const zn_group *g) {
    zn_pl_images(p, g, &(zn_pl_image_job){.family = g->family});
}

void zn_pl_sum_alone(zn_planner *p, zn_value *r) {
    zn_group *g = zn_new(ZN_PL_ARENA(p), zn_group);
    g->anchor = r;
    g->family = zn_op_table[r->op].kernel;
    zn_vec_push(ZN_PL_ARENA(p), &g->values, r);
    zn_plan_sum(p, g);
}

void zn_plan_bn_running(zn_planner *p, const zn_group *g) {
    int64_t unit = 64;
    zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_BN_RUNNING, unit);
    zn_phase_plan ph = {.outer = zn_pl_ceil_div(zn_pl_count(g->anchor), unit), .grain = 256};
    zn_pl_bind_group(p, k, &ph, g, false);
    zn_pl_add_phase(p, k, &ph);
}

/* One kernel, image by image or sample by sample. */
void zn_plan_rows(zn_planner *p, const zn_group *g) {
    const zn_type *t = &g->anchor->type;
    int64_t batch = t->dim[0], each = 0;
    for (int i = 0; i < g->anchor->noperands; i++)
        each += zn_pl_count(g->anchor->operand[i]) / batch;
    zn_kernel_plan *k = zn_pl_kernel(p, g, g->family, 1);
    zn_phase_plan ph = {.outer = batch, .grain = zn_pl_grain((each + zn_type_count(t) / batch) * 4, ZN_PL_MIN_BYTES)};
    if (g->family == ZN_KERNEL_HADAMARD)
        ph.scratch = zn_hadamard_scratch(zn_type_channels(t));
    zn_pl_bind_group(p, k, &ph, g, false);
    zn_pl_add_phase(p, k, &ph);
}

void zn_plan_none(zn_planner *p, const zn_group *g) {
    (void)p;
    ZN_ICE("kernels of family %s stand in groups of others", family_names[g->family]);
}
