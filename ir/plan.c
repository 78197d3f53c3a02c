/* Layout arithmetic and the text of plans. */
#include "ir/plan.h"

#include <string.h>

#include "support/number.h"

void zn_plan_free(zn_plan *p) {
    if (!p)
        return;
    zn_arena arena = p->arena;
    zn_arena_free(&arena);
}

const zn_program_plan *zn_plan_program(const zn_plan *p, const char *name) {
    for (size_t i = 0; i < p->programs.n; i++)
        if (!strcmp(p->programs.at[i]->func->name, name))
            return p->programs.at[i];
    return NULL;
}

int64_t zn_plan_arena(const zn_plan *p) {
    int64_t most = 0;
    for (size_t i = 0; i < p->programs.n; i++)
        most = p->programs.at[i]->arena_size > most ? p->programs.at[i]->arena_size : most;
    return most;
}

int64_t zn_plan_targets(const zn_plan *p) {
    for (size_t i = 0; i < p->programs.n; i++) {
        const zn_func *f = p->programs.at[i]->func;
        if (f->args.n == 2 && f->args.at[1]->type.dtype == ZN_F32)
            return f->args.at[1]->type.dim[1];
    }
    return 0;
}

int64_t zn_plan_scratch(const zn_plan *p) {
    int64_t most = 0;
    for (size_t i = 0; i < p->programs.n; i++)
        most = p->programs.at[i]->scratch_size > most ? p->programs.at[i]->scratch_size : most;
    return most;
}

bool zn_is_channel_sum(const zn_value *v) {
    return v->op == ZN_OP_BN_STATS || v->op == ZN_OP_BN_GRAD_SUMS || v->op == ZN_OP_LN_GRAD_SUMS ||
           v->op == ZN_OP_SUM_ROWS;
}

int64_t zn_value_shards(const zn_value *v) {
    switch (v->op) {
    case ZN_OP_BN_STATS:
        return zn_attr_of(v, BN_STATS, shards)->i;
    case ZN_OP_BN_GRAD_SUMS:
        return zn_attr_of(v, BN_GRAD_SUMS, shards)->i;
    case ZN_OP_LN_GRAD_SUMS:
        return zn_attr_of(v, LN_GRAD_SUMS, shards)->i;
    case ZN_OP_SUM_ROWS:
        return zn_attr_of(v, SUM_ROWS, shards)->i;
    case ZN_OP_CONV_GRAD_W:
        return zn_attr_of(v, CONV_GRAD_W, shards)->i;
    case ZN_OP_MATMUL:
        return zn_attr_of(v, MATMUL, shards)->i;
    default:
        return 0;
    }
}

zn_access zn_map_access(zn_op op, int i) {
    switch (op) {
    case ZN_OP_BIAS:
    case ZN_OP_CHANNEL_SCALE:
    case ZN_OP_BN_NORM:
    case ZN_OP_BN_INFER:
        return i ? ZN_ACCESS_CHANNEL : ZN_ACCESS_FULL;
    case ZN_OP_BN_GRAD_X:
        return i > 1 ? ZN_ACCESS_CHANNEL : ZN_ACCESS_FULL;
    case ZN_OP_SCALE:
    case ZN_OP_SHIFT:
        return i ? ZN_ACCESS_SCALAR : ZN_ACCESS_FULL;
    default:
        return ZN_ACCESS_FULL;
    }
}

static bool in_group(const zn_group *g, const zn_value *v) {
    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.at[i] == v)
            return true;
    return false;
}

bool zn_group_loads_through(const zn_group *g, const zn_value *v) {
    if (!g->anchor->noperands || (zn_op_table[g->anchor->op].traits & ZN_T_MAP))
        return false;
    for (const zn_value *u = g->anchor->operand[0]; in_group(g, u); u = u->operand[0])
        if (u == v)
            return true;
    return false;
}

const zn_value *zn_group_loaded(const zn_group *g) {
    const zn_value *u = g->anchor->operand[0];
    while (in_group(g, u))
        u = u->operand[0];
    return u;
}

const char *zn_conv_algorithm(const zn_value *v) {
    return v->op == ZN_OP_CONV          ? zn_attr_of(v, CONV, algo)->s
           : v->op == ZN_OP_CONV_GRAD_X ? zn_attr_of(v, CONV_GRAD_X, algo)->s
           : v->op == ZN_OP_CONV_GRAD_W ? zn_attr_of(v, CONV_GRAD_W, algo)->s
                                        : NULL;
}

int64_t zn_conv_groups(const zn_value *v) {
    return v->op == ZN_OP_CONV          ? zn_attr_of(v, CONV, groups)->i
           : v->op == ZN_OP_CONV_GRAD_X ? zn_attr_of(v, CONV_GRAD_X, groups)->i
           : v->op == ZN_OP_CONV_GRAD_W ? zn_attr_of(v, CONV_GRAD_W, groups)->i
                                        : 1;
}

int64_t zn_conv_narrow_groups(const zn_value *v) {
    int64_t groups = zn_conv_groups(v);
    if (groups == 1)
        return 0;
    const zn_type *w = v->op == ZN_OP_CONV_GRAD_W ? &v->type : &v->operand[1]->type;
    int64_t c = w->dim[2];
    return w->dim[3] / groups == c && (c == 1 || c == 2 || c == 4) ? c : 0;
}

/* From so many outputs and rows of weights, and positions for which they are copied once. */
enum { PANEL_OUTPUTS = 128, PANEL_ROWS = 64, PANEL_POSITIONS = 512 };

bool zn_conv_has_panels(const zn_value *v) {
    if ((v->op != ZN_OP_CONV && v->op != ZN_OP_CONV_GRAD_X) || zn_conv_groups(v) > 1 ||
        !strcmp(zn_conv_algorithm(v), "winograd"))
        return false;
    const zn_type *w = &v->operand[1]->type;
    int64_t outputs = zn_type_channels(&v->type), rows = zn_type_count(w) / outputs;
    return outputs % ZN_CONV_PANEL == 0 && outputs >= PANEL_OUTPUTS && rows >= PANEL_ROWS &&
           zn_type_count(&v->type) / outputs >= PANEL_POSITIONS;
}

enum { PACKED_OUTPUTS = 128, PACKED_ROWS = 32 };

bool zn_grad_w_packs(const zn_value *v) {
    return v->op == ZN_OP_CONV_GRAD_W && zn_conv_groups(v) == 1 && v->type.dim[3] >= PACKED_OUTPUTS &&
           v->type.dim[1] * v->type.dim[2] >= PACKED_ROWS;
}

int64_t zn_grad_w_chunk(const zn_value *v, int64_t chunk) {
    const zn_type *dy = &v->operand[1]->type;
    int64_t area = dy->dim[1] * dy->dim[2], parts = (area + chunk - 1) / chunk,
            rows = (dy->dim[1] + parts - 1) / parts * dy->dim[2];
    return rows > chunk ? rows : chunk;
}

int64_t zn_hadamard_scratch(int64_t c) {
    int64_t p = 1;
    while (p < c)
        p *= 2;
    return p <= 1024 ? 0 : 4 * p;
}

bool zn_layout_plain(const zn_layout *l) {
    return !(l->top | l->left | l->bottom | l->right);
}

int64_t zn_layout_row(const zn_type *t, const zn_layout *l) {
    return t->rank == 4 ? (l->left + t->dim[2] + l->right) * t->dim[3] : zn_type_channels(t);
}

int64_t zn_layout_image(const zn_type *t, const zn_layout *l) {
    return t->rank == 4   ? (l->top + t->dim[1] + l->bottom) * zn_layout_row(t, l)
           : t->rank == 3 ? t->dim[1] * zn_type_channels(t)
                          : zn_type_channels(t);
}

int64_t zn_layout_first(const zn_type *t, const zn_layout *l) {
    return t->rank == 4 ? l->top * zn_layout_row(t, l) + l->left * t->dim[3] : 0;
}

int64_t zn_layout_bytes(const zn_type *t, const zn_layout *l) {
    return 4 * (t->rank == 4 ? t->dim[0] * zn_layout_image(t, l) : zn_type_count(t));
}

static const char *const place_names[] = {"param", "arena", "batch"};

static void print_program(const zn_program_plan *p, zn_buf *out) {
    zn_buf_printf(out, "program @%s: arena %lld bytes (live at most %lld), scratch %lld bytes a thread\n",
                  p->func->name, (long long)p->arena_size, (long long)p->live_peak, (long long)p->scratch_size);
    for (size_t i = 0; i < p->buffers.n; i++) {
        const zn_buffer *b = &p->buffers.at[i];
        zn_buf_printf(out, "  buffer %zu %s+%lld size %lld : ", i, place_names[b->place], (long long)b->offset,
                      (long long)b->size);
        zn_type_print(&b->type, out);
        if (!zn_layout_plain(&b->layout))
            zn_buf_printf(out, " halo [%lld, %lld, %lld, %lld] pitch %lld", (long long)b->layout.top,
                          (long long)b->layout.left, (long long)b->layout.bottom, (long long)b->layout.right,
                          (long long)zn_layout_row(&b->type, &b->layout));
        if (b->place == ZN_PLACE_ARENA)
            zn_buf_printf(out, " live %d-%d", b->first, b->last);
        if (b->same_as >= 0)
            zn_buf_printf(out, " in %d", b->same_as);
        zn_buf_printf(out, " %s\n", b->what);
    }
    for (size_t i = 0; i < p->phases.n; i++) {
        const zn_phase_plan *ph = &p->phases.at[i];
        if ((int)i == p->nforward)
            zn_buf_puts(out, "  check losses\n");
        zn_buf_printf(out, "  phase %zu %s outer %lld grain %lld flops %lld:", i, ph->kernel->name,
                      (long long)ph->outer, (long long)ph->grain, (long long)ph->flops);
        for (size_t j = 0; j < ph->buffers.n; j++)
            zn_buf_printf(out, " %s%d", ph->kernel->bindings.at[j].kind == ZN_BIND_IN ? "" : ">", ph->buffers.at[j]);
        zn_buf_puts(out, " # ");
        for (size_t j = 0; j < ph->group->values.n; j++)
            zn_buf_printf(out, "%s%s", j ? ", " : "", zn_op_table[ph->group->values.at[j]->op].text);
        if (ph->group->anchor->path[0])
            zn_buf_printf(out, " (%s)", ph->group->anchor->path);
        zn_buf_putc(out, '\n');
    }
    for (size_t i = 0; i < p->kept.n; i++)
        zn_buf_printf(out, "  keep %d %s\n", p->kept.at[i].buffer, p->buffers.at[p->kept.at[i].buffer].what);
    for (size_t i = 0; i < p->calibrated.n; i++) {
        const zn_calibrated *c = &p->calibrated.at[i];
        zn_buf_printf(out, "  calibrate %s: phases %d to %d, output %d", c->weight->name, c->first, c->end - 1,
                      c->output);
        if (c->input >= 0)
            zn_buf_printf(out, ", input %d", c->input);
        zn_buf_putc(out, '\n');
    }
}

void zn_plan_print(const zn_plan *p, zn_buf *out) {
    zn_buf_printf(out, "plan of \"%s\": parameters and state %lld bytes, batch %lld bytes (two copies), %zu kernels\n",
                  p->m->name, (long long)p->param_size, (long long)p->batch_size, p->kernels.n);
    size_t i = 0;
    for (const zn_param *q = p->m->params; q; q = q->next, i++) {
        zn_buf_printf(out, "  param+%lld ", (long long)p->param_offset[i]);
        zn_type_print(&q->type, out);
        zn_buf_printf(out, " %s\n", q->name);
    }
    for (i = 0; i < p->programs.n; i++)
        print_program(p->programs.at[i], out);
}
