/* Memory of a program: layouts with halos, buffers, their lives, results in place. Offsets: plan_arena.c. */
#include <string.h>

#include "passes/planner.h"
#include "support/ice.h"

/* ---- layouts */

void zn_pl_need(zn_layout *l, int64_t top, int64_t left, int64_t bottom, int64_t right) {
    l->top = top > l->top ? top : l->top;
    l->left = left > l->left ? left : l->left;
    l->bottom = bottom > l->bottom ? bottom : l->bottom;
    l->right = right > l->right ? right : l->right;
}

/* What a convolution reads of x beyond its edges. */
static void need_of_x(zn_layout *l, const zn_type *x, const zn_type *y, const int64_t k[2], const int64_t s[2],
                      const int64_t pad[4]) {
    zn_pl_need(l, pad[0], pad[1], (y->dim[1] - 1) * s[0] + k[0] - pad[0] - x->dim[1],
               (y->dim[2] - 1) * s[1] + k[1] - pad[1] - x->dim[2]);
}

/* Rows of dy that the gradient by data reads: every tap that meets a position of x, also outside dy. */
static void range_of_dy(int64_t size, int64_t k, int64_t s, int64_t pad, int64_t *lo, int64_t *hi) {
    *lo = 0;
    *hi = 0;
    for (int64_t h = 0; h < size; h++)
        for (int64_t t = 0; t < k; t++)
            if ((h + pad - t) % s == 0) {
                int64_t at = (h + pad - t) / s;
                *lo = at < *lo ? at : *lo;
                *hi = at > *hi ? at : *hi;
            }
}

/* What a convolution loads its first operand from: through values of its own kernel. */
static const zn_value *loaded(const zn_value *v) {
    const zn_value *u = v->operand[0];
    while (v->group >= 0 && u->group == v->group)
        u = u->operand[0];
    return u;
}

/* An input that is loaded through values of the kernel needs no halo: what is read beyond the image is masked. */
static bool masks_borders(zn_planner *p, const zn_value *v) {
    if ((v->op != ZN_OP_CONV && v->op != ZN_OP_CONV_GRAD_W) || loaded(v) == v->operand[0])
        return false;
    const zn_type *t = &v->operand[0]->type;
    int64_t pad = zn_winograd_of(v).taps / 2, reach = (pad * (t->dim[2] + 1) * t->dim[3] * 4 + 4095) / 4096 * 4096;
    if (p->prog)
        p->prog->guard = reach > p->prog->guard ? reach : p->prog->guard;
    return true;
}

void zn_pl_make_layouts(zn_planner *p) {
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (masks_borders(p, v))
            continue;
        if (v->op == ZN_OP_CONV) {
            const zn_type *w = &v->operand[1]->type;
            need_of_x(&p->layout[v->operand[0]->id], &v->operand[0]->type, &v->type, (int64_t[]){w->dim[0], w->dim[1]},
                      zn_attr_of(v, CONV, stride)->v, zn_attr_of(v, CONV, pad)->v);
        } else if (v->op == ZN_OP_CONV_GRAD_W) {
            need_of_x(&p->layout[v->operand[0]->id], &v->operand[0]->type, &v->operand[1]->type,
                      zn_attr_of(v, CONV_GRAD_W, k)->v, zn_attr_of(v, CONV_GRAD_W, stride)->v,
                      zn_attr_of(v, CONV_GRAD_W, pad)->v);
        } else if (v->op == ZN_OP_CONV_GRAD_X) {
            const zn_type *dy = &v->operand[0]->type, *w = &v->operand[1]->type;
            const int64_t *s = zn_attr_of(v, CONV_GRAD_X, stride)->v, *pad = zn_attr_of(v, CONV_GRAD_X, pad)->v;
            int64_t lo[2], hi[2];
            for (int i = 0; i < 2; i++)
                range_of_dy(v->type.dim[1 + i], w->dim[i], s[i], pad[i], &lo[i], &hi[i]);
            bool whole = !strcmp(zn_conv_algorithm(v), "winograd"); /* tiles of dx are whole, also beyond an odd map */
            zn_pl_need(&p->layout[v->operand[0]->id], -lo[0], -lo[1], hi[0] - (dy->dim[1] - 1) + (whole && s[0] == 2),
                       hi[1] - (dy->dim[2] - 1) + (whole && s[1] == 2));
        }
    }
}

/* ---- buffers */

static int new_buffer(zn_planner *p, zn_type type, zn_layout layout, zn_place place, const char *what) {
    zn_buffer b = {
        .type = type, .layout = layout, .place = place, .same_as = -1, .what = what, .first = -1, .last = -1};
    b.size = zn_layout_bytes(&type, &layout);
    zn_vec_push(ZN_PL_ARENA(p), &p->prog->buffers, b);
    return (int)p->prog->buffers.n - 1;
}

int zn_pl_param_buffer(zn_planner *p, zn_type type, const char *name) {
    int b = new_buffer(p, type, (zn_layout){0}, ZN_PLACE_PARAM, name);
    p->prog->buffers.at[b].offset = p->plan->param_offset[zn_param_find(p->m, name)->index];
    return b;
}

static const char *what_of(zn_planner *p, const zn_value *v) {
    return v->path[0] ? zn_arena_printf(ZN_PL_ARENA(p), "%s %s", zn_op_table[v->op].text, v->path)
                      : zn_op_table[v->op].text;
}

int zn_pl_temp(zn_planner *p, zn_type type, const char *what) {
    return new_buffer(p, type, (zn_layout){0}, ZN_PLACE_ARENA, what);
}

/* A view into buffer `of`, which is that of v's operand. */
static int view_buffer(zn_planner *p, const zn_value *v, int of) {
    zn_buffer b = p->prog->buffers.at[of];
    int64_t view = v->op == ZN_OP_ROW ? zn_attr_of(v, ROW, index)->i * v->type.dim[0] * 4 : 0;
    b.type = v->type;
    b.size = zn_layout_bytes(&v->type, &b.layout);
    b.view = view;
    b.offset += view; /* final for parameters and batch; the arena's are set by zn_pl_place_arena */
    b.same_as = of;
    b.what = what_of(p, v);
    zn_vec_push(ZN_PL_ARENA(p), &p->prog->buffers, b);
    return (int)p->prog->buffers.n - 1;
}

static int own_buffer(zn_planner *p, const zn_value *v) {
    if (v->op == ZN_OP_PARAM)
        return zn_pl_param_buffer(p, v->type, zn_attr_of(v, PARAM, name)->s);
    if (v->op == ZN_OP_ARG) {
        bool image = v == p->f->args.at[0];
        int b = new_buffer(p, v->type, image ? p->plan->image_layout : (zn_layout){0}, ZN_PLACE_BATCH, v->name);
        p->prog->buffers.at[b].offset = image ? 0 : p->plan->label_offset;
        return b;
    }
    if (p->stored[v->id])
        return zn_pl_param_buffer(p, v->type, zn_attr_of(p->stored[v->id], STORE, name)->s);
    return new_buffer(p, v->type, p->layout[v->id], ZN_PLACE_ARENA, what_of(p, v));
}

int zn_pl_buffer(zn_planner *p, const zn_value *v) {
    ZN_VEC(const zn_value *) views = {0}; /* that have none yet, outermost first */
    const zn_value *u = v;
    for (; p->buffer[u->id] < 0 && zn_pl_is_view(p, u); u = u->operand[0])
        zn_vec_push(ZN_PL_ARENA(p), &views, u);
    if (p->buffer[u->id] < 0)
        p->buffer[u->id] = own_buffer(p, u);
    while (views.n) {
        u = views.at[--views.n];
        p->buffer[u->id] = view_buffer(p, u, p->buffer[u->operand[0]->id]);
    }
    return p->buffer[v->id];
}

/* ---- lifetimes */

static int root_of(const zn_program_plan *prog, int b) {
    while (prog->buffers.at[b].same_as >= 0)
        b = prog->buffers.at[b].same_as;
    return b;
}

void zn_pl_touch(zn_program_plan *prog, int b, int phase) {
    zn_buffer *x = &prog->buffers.at[root_of(prog, b)];
    if (x->first < 0 || phase < x->first)
        x->first = phase;
    if (phase > x->last)
        x->last = phase;
}

/* Only read element for element, before anything of the element is written? */
static bool only_full(const zn_group *g, const zn_value *u) {
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *v = g->values.at[i];
        for (int j = 0; j < v->noperands; j++)
            if (v->operand[j] == u && (zn_is_channel_sum(v) || zn_map_access(v->op, j) != ZN_ACCESS_FULL))
                return false;
    }
    return true;
}

/* Does a result of the phase lie in buffer r? One that is only summed ends where it begins, as the operand does, and
 * would not be told from it by lifetimes. */
static bool is_taken(const zn_program_plan *prog, const zn_phase_plan *ph, int r) {
    for (size_t o = 0; o < ph->buffers.n; o++)
        if (ph->kernel->bindings.at[o].kind == ZN_BIND_OUT && prog->buffers.at[ph->buffers.at[o]].same_as == r)
            return true;
    return false;
}

/* A map's result may lie where an operand of the same shape and layout ends; each element is read before it is
 * written. Kernels of other families read neighbours or write before they have read. */
void zn_pl_share_in_place(zn_planner *p) {
    zn_program_plan *prog = p->prog;
    for (size_t i = 0; i < prog->phases.n; i++) {
        const zn_phase_plan *ph = &prog->phases.at[i];
        if (ph->kernel->family != ZN_KERNEL_MAP)
            continue;
        for (size_t o = 0; o < ph->buffers.n; o++) {
            zn_buffer *out = &prog->buffers.at[ph->buffers.at[o]];
            if (ph->kernel->bindings.at[o].kind != ZN_BIND_OUT || out->place != ZN_PLACE_ARENA || out->same_as >= 0)
                continue;
            for (size_t j = 0; j < ph->buffers.n; j++) {
                int r = root_of(prog, ph->buffers.at[j]);
                zn_buffer *in = &prog->buffers.at[r];
                const zn_binding *b = &ph->kernel->bindings.at[j];
                if (b->kind != ZN_BIND_IN || !b->value || !only_full(ph->kernel->group, b->value) ||
                    in->place != ZN_PLACE_ARENA || in->last != (int)i || in->first == (int)i ||
                    prog->buffers.at[ph->buffers.at[j]].same_as >= 0 || is_taken(prog, ph, r) ||
                    !zn_type_equal(&in->type, &out->type) || memcmp(&in->layout, &out->layout, sizeof in->layout))
                    continue;
                out->same_as = r;
                in->last = out->last;
                break;
            }
        }
    }
}
