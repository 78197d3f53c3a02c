/* Plan: order of kernels, buffers, offsets, the exact peak.
 *
 * Order: groups sorted topologically, the one whose first value is earliest first; a group that overwrites a parameter
 * comes after every group that reads its old value. Memory: buffers of work space by decreasing size, each at the
 * lowest offset that is free during its life (first fit decreasing, as in the "greedy by size" planner of Pisarchyk and
 * Lee, arXiv 2001.03288). Everything here is a function of the module: nothing depends on the processor.
 *
 * Requires step functions (pass grad). Changes nothing in them but notes and numbers. */
#include "passes/plan.h"

#include <string.h>

#include "support/ice.h"
#include "support/philox.h"

typedef struct planner {
    zn_plan *plan;
    zn_program_plan *prog;
    zn_module *m;
    zn_func *f;
    zn_plan_options o;
    int nvalues;
    int *group;                    /* by id: index into prog->groups, -1 */
    zn_layout *layout;             /* by id */
    int *buffer;                   /* by id: where it lies, -1 */
    bool *leaves;                  /* by id: used outside its group */
    const zn_value **stored;       /* by id: the store that takes the value into its parameter in place, NULL */
    ZN_VEC(const zn_value *) late; /* stores that need a copy at the end */
} planner;

#define A(p) (&(p)->plan->arena)

/* ---- groups */

static zn_kernel_family family_of(const zn_value *v) {
    if (v->op == ZN_OP_MATMUL && !strcmp(zn_attr_of(v, MATMUL, algo)->s, "openblas"))
        return ZN_KERNEL_OPENBLAS;
    return zn_op_table[v->op].kernel;
}

static bool is_reduce(const zn_value *v) {
    return v->op == ZN_OP_BN_STATS || v->op == ZN_OP_BN_GRAD_SUMS || v->op == ZN_OP_SUM_ROWS;
}

static int64_t shards_of(const zn_value *v) {
    switch (v->op) {
    case ZN_OP_BN_STATS:
        return zn_attr_of(v, BN_STATS, shards)->i;
    case ZN_OP_BN_GRAD_SUMS:
        return zn_attr_of(v, BN_GRAD_SUMS, shards)->i;
    case ZN_OP_SUM_ROWS:
        return zn_attr_of(v, SUM_ROWS, shards)->i;
    case ZN_OP_CONV_GRAD_W:
        return zn_attr_of(v, CONV_GRAD_W, shards)->i;
    case ZN_OP_MATMUL:
        return zn_attr_of(v, MATMUL, shards)->i;
    default:
        return 1;
    }
}

/* Flatten and unflatten are views where no halo is in the way. */
static bool is_view(const planner *p, const zn_value *v) {
    return zn_op_table[v->op].kernel == ZN_KERNEL_ALIAS ||
           (zn_op_table[v->op].kernel == ZN_KERNEL_COPY && zn_layout_plain(&p->layout[v->id]) &&
            zn_layout_plain(&p->layout[v->operand[0]->id]));
}

static void make_groups(planner *p) {
    int *by_number = zn_new_n(A(p), int, (size_t)p->nvalues + 1); /* group number of fuse -> index + 1 */
    for (zn_value *v = p->f->first; v; v = v->next) {
        zn_kernel_family k = family_of(v);
        p->group[v->id] = -1;
        if (k == ZN_KERNEL_NONE || is_view(p, v))
            continue;
        int i = v->group >= 0 && v->group < p->nvalues ? by_number[v->group] - 1 : -1;
        if (i < 0) {
            zn_group *g = zn_new(A(p), zn_group);
            g->anchor = v;
            g->family = k;
            g->first_id = v->id;
            i = (int)p->prog->groups.n;
            zn_vec_push(A(p), &p->prog->groups, g);
            if (v->group >= 0 && v->group < p->nvalues)
                by_number[v->group] = i + 1;
        }
        zn_group *g = p->prog->groups.at[i];
        if (k != ZN_KERNEL_MAP && !is_reduce(v)) { /* the one value that is more than a map names the kernel */
            g->anchor = v;
            g->family = k;
        } else if (is_reduce(v) && g->values.n) {
            zn_vec_push(A(p), &g->reduces, v);
        }
        p->group[v->id] = i;
        g->last_id = v->id;
        zn_vec_push(A(p), &g->values, v);
    }
}

/* The group that makes v's memory: v's own, or through views that of what it views. */
static int source_group(const planner *p, const zn_value *v) {
    while (is_view(p, v))
        v = v->operand[0];
    return p->group[v->id];
}

static bool reads_param(const planner *p, const zn_group *g, const char *name) {
    (void)p;
    for (size_t i = 0; i < g->values.n; i++)
        for (int j = 0; j < g->values.at[i]->noperands; j++) {
            const zn_value *u = g->values.at[i]->operand[j];
            if (u->op == ZN_OP_PARAM && !strcmp(zn_attr_of(u, PARAM, name)->s, name))
                return true;
        }
    return false;
}

typedef ZN_VEC(int) int_list;

/* Depth-first over dependences: does group a come after group b? */
static bool comes_after(const int_list *deps, int a, int b, char *seen) {
    if (a == b)
        return true;
    if (seen[a])
        return false;
    seen[a] = 1;
    for (size_t i = 0; i < deps[a].n; i++)
        if (comes_after(deps, deps[a].at[i], b, seen))
            return true;
    return false;
}

/* Stores: in place where every reader of the old value can come first, else a copy at the end. */
static void place_stores(planner *p, int_list *deps) {
    size_t n = p->prog->groups.n;
    zn_arena scratch = {0};
    char *seen = zn_new_n(&scratch, char, n + 1);
    for (zn_value *s = p->f->first; s; s = s->next) {
        if (s->op != ZN_OP_STORE)
            continue;
        zn_value *v = s->operand[0];
        int w = p->group[v->id];
        const char *name = zn_attr_of(s, STORE, name)->s;
        bool ok = w >= 0 && !is_view(p, v) && !p->stored[v->id] && zn_layout_plain(&p->layout[v->id]);
        int_list readers = {0};
        for (size_t g = 0; ok && g < n; g++) {
            if ((int)g == w || !reads_param(p, p->prog->groups.at[g], name))
                continue;
            memset(seen, 0, n);
            ok = !comes_after(deps, (int)g, w, seen);
            zn_vec_push(&scratch, &readers, (int)g);
        }
        /* inside its own group the old value may only be read element for element, in a kernel that writes it so */
        if (ok && reads_param(p, p->prog->groups.at[w], name)) {
            const zn_group *g = p->prog->groups.at[w];
            ok = g->family == ZN_KERNEL_MAP || g->family == ZN_KERNEL_CONV_GRAD_W ||
                 g->family == ZN_KERNEL_BN_RUNNING ||
                 (g->family == ZN_KERNEL_MATMUL && zn_attr_of(g->anchor, MATMUL, trans_a)->i);
            for (size_t i = 0; ok && i < g->values.n; i++)
                for (int j = 0; j < g->values.at[i]->noperands; j++) {
                    const zn_value *u = g->values.at[i]->operand[j];
                    if (u->op == ZN_OP_PARAM && !strcmp(zn_attr_of(u, PARAM, name)->s, name) &&
                        !zn_type_equal(&u->type, &v->type))
                        ok = false;
                }
        }
        if (!ok) {
            zn_vec_push(A(p), &p->late, (const zn_value *)s);
            continue;
        }
        p->stored[v->id] = s;
        for (size_t i = 0; i < readers.n; i++)
            zn_vec_push(A(p), &deps[w], readers.at[i]);
    }
    zn_arena_free(&scratch);
}

static void order_groups(planner *p) {
    size_t n = p->prog->groups.n;
    int_list *deps = zn_new_n(A(p), int_list, n + 1);
    for (size_t g = 0; g < n; g++)
        for (size_t i = 0; i < p->prog->groups.at[g]->values.n; i++) {
            const zn_value *v = p->prog->groups.at[g]->values.at[i];
            for (int j = 0; j < v->noperands; j++) {
                int d = source_group(p, v->operand[j]);
                if (d >= 0 && d != (int)g)
                    zn_vec_push(A(p), &deps[g], d);
            }
        }
    place_stores(p, deps);
    /* Kahn: the ready group with the earliest first value. A heap would pay only beyond many thousand groups. */
    int *waits = zn_new_n(A(p), int, n + 1);
    int_list *users = zn_new_n(A(p), int_list, n + 1);
    for (size_t g = 0; g < n; g++)
        for (size_t i = 0; i < deps[g].n; i++) {
            waits[g]++;
            zn_vec_push(A(p), &users[deps[g].at[i]], (int)g);
        }
    zn_group **order = zn_new_n(A(p), zn_group *, n + 1);
    int *new_index = zn_new_n(A(p), int, n + 1);
    char *done = zn_new_n(A(p), char, n + 1);
    size_t low = 0; /* groups are numbered by first value: all before are done */
    for (size_t k = 0; k < n; k++) {
        while (low < n && done[low])
            low++;
        size_t best = low;
        while (best < n && (done[best] || waits[best]))
            best++;
        if (best == n)
            ZN_ICE("kernels of @%s depend on each other in a circle", p->f->name);
        done[best] = 1;
        order[k] = p->prog->groups.at[best];
        new_index[best] = (int)k;
        for (size_t i = 0; i < users[best].n; i++)
            waits[users[best].at[i]]--;
    }
    for (size_t k = 0; k < n; k++)
        p->prog->groups.at[k] = order[k];
    for (int i = 0; i < p->nvalues; i++)
        if (p->group[i] >= 0)
            p->group[i] = new_index[p->group[i]];
}

/* ---- layouts */

static void need(zn_layout *l, int64_t top, int64_t left, int64_t bottom, int64_t right) {
    l->top = top > l->top ? top : l->top;
    l->left = left > l->left ? left : l->left;
    l->bottom = bottom > l->bottom ? bottom : l->bottom;
    l->right = right > l->right ? right : l->right;
}

/* What a convolution reads of x beyond its edges. */
static void need_of_x(zn_layout *l, const zn_type *x, const zn_type *y, const int64_t k[2], const int64_t s[2],
                      const int64_t pad[4]) {
    need(l, pad[0], pad[1], (y->dim[1] - 1) * s[0] + k[0] - pad[0] - x->dim[1],
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
static bool masks_borders(planner *p, const zn_value *v) {
    if ((v->op != ZN_OP_CONV && v->op != ZN_OP_CONV_GRAD_W) || loaded(v) == v->operand[0])
        return false;
    const zn_type *t = &v->operand[0]->type;
    int64_t reach = ((t->dim[2] + 1) * t->dim[3] * 4 + 4095) / 4096 * 4096;
    if (p->prog)
        p->prog->guard = reach > p->prog->guard ? reach : p->prog->guard;
    return true;
}

static void make_layouts(planner *p) {
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
            need(&p->layout[v->operand[0]->id], -lo[0], -lo[1], hi[0] - (dy->dim[1] - 1), hi[1] - (dy->dim[2] - 1));
        }
    }
}

/* ---- buffers */

static int new_buffer(planner *p, zn_type type, zn_layout layout, zn_place place, const char *what) {
    zn_buffer b = {
        .type = type, .layout = layout, .place = place, .same_as = -1, .what = what, .first = -1, .last = -1};
    b.size = zn_layout_bytes(&type, &layout);
    zn_vec_push(A(p), &p->prog->buffers, b);
    return (int)p->prog->buffers.n - 1;
}

static int64_t param_offset(const planner *p, const char *name) {
    int i = 0;
    for (const zn_param *q = p->m->params; q; q = q->next, i++)
        if (!strcmp(q->name, name))
            return p->plan->param_offset[i];
    ZN_ICE("no parameter `%s`", name);
}

static int param_buffer(planner *p, zn_type type, const char *name) {
    int b = new_buffer(p, type, (zn_layout){0}, ZN_PLACE_PARAM, name);
    p->prog->buffers.at[b].offset = param_offset(p, name);
    return b;
}

static const char *what_of(planner *p, const zn_value *v) {
    return v->path[0] ? zn_arena_printf(A(p), "%s %s", zn_op_table[v->op].text, v->path) : zn_op_table[v->op].text;
}

/* The buffer of a value, made on first asking. */
static int buffer_of(planner *p, const zn_value *v) {
    int *slot = &p->buffer[v->id];
    if (*slot >= 0)
        return *slot;
    if (v->op == ZN_OP_PARAM) {
        *slot = param_buffer(p, v->type, zn_attr_of(v, PARAM, name)->s);
    } else if (v->op == ZN_OP_ARG) {
        bool image = v->type.dtype == ZN_F32;
        *slot = new_buffer(p, v->type, image ? p->plan->image_layout : (zn_layout){0}, ZN_PLACE_BATCH, v->name);
        p->prog->buffers.at[*slot].offset = image ? p->plan->image_offset : p->plan->label_offset;
    } else if (is_view(p, v)) {
        int of = buffer_of(p, v->operand[0]);
        zn_buffer b = p->prog->buffers.at[of];
        int64_t view = v->op == ZN_OP_ROW ? zn_attr_of(v, ROW, index)->i * v->type.dim[0] * 4 : 0;
        b.type = v->type;
        b.size = zn_layout_bytes(&v->type, &b.layout);
        b.view = view;
        b.offset += view; /* final for parameters and batch; the arena's are set by place_arena */
        b.same_as = of;
        b.what = what_of(p, v);
        zn_vec_push(A(p), &p->prog->buffers, b);
        *slot = (int)p->prog->buffers.n - 1;
    } else if (p->stored[v->id]) {
        *slot = param_buffer(p, v->type, zn_attr_of(p->stored[v->id], STORE, name)->s);
    } else {
        *slot = new_buffer(p, v->type, p->layout[v->id], ZN_PLACE_ARENA, what_of(p, v));
    }
    return *slot;
}

/* ---- kernels: binding, key, phase */

static int64_t count(const zn_value *v) {
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

static size_t bind(planner *p, zn_kernel_plan *k, zn_phase_plan *ph, zn_binding_kind kind, const zn_value *v) {
    for (size_t i = 0; i < k->bindings.n; i++)
        if (k->bindings.at[i].value == v && k->bindings.at[i].kind == kind)
            return i;
    int buf = buffer_of(p, v);
    zn_binding b = {kind, v, NULL, v->type, p->prog->buffers.at[buf].layout};
    zn_vec_push(A(p), &k->bindings, b);
    zn_vec_push(A(p), &ph->buffers, buf);
    return k->bindings.n - 1;
}

static void bind_temp(planner *p, zn_kernel_plan *k, zn_phase_plan *ph, zn_binding_kind kind, const char *name,
                      int buf) {
    zn_binding b = {kind, NULL, name, p->prog->buffers.at[buf].type, (zn_layout){0}};
    zn_vec_push(A(p), &k->bindings, b);
    zn_vec_push(A(p), &ph->buffers, buf);
}

static int new_temp(planner *p, zn_type type, const char *what) {
    return new_buffer(p, type, (zn_layout){0}, ZN_PLACE_ARENA, what);
}

/* Operands of the group's values that come from outside, and results that leave it. `skip_anchor`: the operands of the
 * anchor belong to the first kernel of the group. */
static void bind_group(planner *p, zn_kernel_plan *k, zn_phase_plan *ph, const zn_group *g, bool skip_anchor) {
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *v = g->values.at[i];
        if (skip_anchor && (v == g->anchor || zn_group_loads_through(g, v)))
            continue;
        for (int j = 0; j < v->noperands; j++)
            if (!in_group(g, v->operand[j]) && v->operand[j]->op != ZN_OP_HYPER)
                bind(p, k, ph, ZN_BIND_IN, v->operand[j]);
    }
    for (size_t i = 0; i < g->values.n; i++)
        if (p->leaves[g->values.at[i]->id] && !is_reduce(g->values.at[i]))
            bind(p, k, ph, ZN_BIND_OUT, g->values.at[i]);
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
    case ZN_KERNEL_TURN:
        return v == k->group->anchor;
    case ZN_KERNEL_WINO_DY:
        return v == k->group->anchor;
    case ZN_KERNEL_CONV_GRAD_W:
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
static const char *key_of(planner *p, const zn_kernel_plan *k, const char *tag) {
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
        zn_buf_printf(&b, "|stride %lld, tiles of %lld", (long long)w.stride, (long long)w.tile);
    }
    if (k->reduce)
        zn_buf_printf(&b, "|of %lld values",
                      (long long)(count(k->reduce->operand[0]) / zn_type_channels(&k->reduce->type)));
    char *key = zn_arena_strdup(A(p), zn_buf_str(&b));
    zn_buf_free(&b);
    return key;
}

/* Work in one unit below which it does not pay to wake another thread. */
enum { MIN_FLOPS = 400000, MIN_BYTES = 65536 };

static int64_t grain_for(int64_t per_unit, int64_t least) {
    return per_unit >= least ? 1 : (least + per_unit - 1) / (per_unit > 0 ? per_unit : 1);
}

static zn_kernel_plan *new_kernel(planner *p, const zn_group *g, zn_kernel_family family, int64_t unit) {
    zn_kernel_plan *k = zn_new(A(p), zn_kernel_plan);
    k->family = family;
    k->group = g;
    k->unit = unit;
    return k;
}

static const char *const family_names[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, emit, doc) [ZN_KERNEL_##ID] = name,
#include "ir/kernels.def"
};

/* Adds the phase; an equal kernel that exists is used instead of k. */
static void add_phase(planner *p, zn_kernel_plan *k, zn_phase_plan *ph) {
    k->key = key_of(p, k, family_names[k->family]);
    ph->group = k->group;
    size_t i = 0;
    while (i < p->plan->kernels.n && strcmp(p->plan->kernels.at[i]->key, k->key))
        i++;
    if (i == p->plan->kernels.n) {
        k->name = zn_arena_printf(A(p), "k%zu_%s", i, family_names[k->family]);
        zn_vec_push(A(p), &p->plan->kernels, k);
    }
    ph->kernel = p->plan->kernels.at[i];
    ph->index = (int)i;
    zn_vec_push(A(p), &p->prog->phases, *ph);
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static zn_type partial_type(int64_t shards, int64_t rows, int64_t n) {
    int64_t dim[3] = {shards, rows, n};
    return zn_type_make(ZN_F32, 3, dim);
}

static int64_t rows_of_reduce(const zn_value *r) {
    return r->op == ZN_OP_SUM_ROWS ? 1 : 2;
}

/* The join of a channel sum's partials. */
static void plan_join_of_sum(planner *p, const zn_group *g, const zn_value *r, int partial) {
    bool stats = r->op == ZN_OP_BN_STATS;
    int64_t n = stats ? zn_type_channels(&r->type) : count(r), unit = 64;
    zn_kernel_plan *k = new_kernel(p, g, stats ? ZN_KERNEL_BN_JOIN : ZN_KERNEL_JOIN, unit);
    zn_phase_plan ph = {.outer = ceil_div(n, unit), .flops = count(r) * shards_of(r)};
    k->reduce = r;
    bind_temp(p, k, &ph, ZN_BIND_IN, "partial", partial);
    bind(p, k, &ph, ZN_BIND_OUT, r);
    ph.grain = grain_for(unit * shards_of(r) * 4, MIN_BYTES);
    add_phase(p, k, &ph);
}

/* What a kernel over images needs beside its group. */
typedef struct image_job {
    zn_kernel_family family;
    const char *weights; /* a temporary that it reads: "turned", "transformed"; NULL */
    int weights_buffer;
    int64_t flops; /* of one image */
    int64_t block; /* Winograd: tiles in scratch at once */
} image_job;

/* Images in one unit: whole shards of the channel sums on the way; enough tiles for a block. */
static int64_t unit_of_images(const image_job *job, const zn_value *anchor, int64_t shards, const zn_type *t) {
    int64_t batch = t->dim[0], unit = 1, each = zn_type_count(t) / batch;
    if (job->block)
        unit = ceil_div(job->block, zn_winograd_of(anchor).tiles);
    else if (job->flops &&
             t->rank == 4) /* enough positions to fill register tiles and to be worth reading the weights */
        unit = ceil_div(64, t->dim[1] * t->dim[2]);
    else if (!shards && t->rank == 2 && each < 4096)
        unit = ceil_div(4096, each);
    if (shards)
        unit = job->block ? ceil_div(unit, batch / shards) * (batch / shards) : batch / shards;
    return unit < batch ? unit : batch;
}

/* Kernels that go over images (or rows): map, conv and its gradient by data, with channel sums on the way. */
static void plan_images(planner *p, const zn_group *g, const image_job *job) {
    const zn_type *t = &g->anchor->type;
    const zn_value *lone = is_reduce(g->anchor) ? g->anchor : NULL; /* a channel sum alone */
    if (lone)
        t = &lone->operand[0]->type;
    size_t nreduce = lone ? 1 : g->reduces.n;
    int64_t batch = t->dim[0], each = zn_type_count(t) / batch;
    int64_t shards = lone ? shards_of(lone) : nreduce ? shards_of(g->reduces.at[0]) : 0;
    int64_t unit = unit_of_images(job, g->anchor, shards, t);
    zn_kernel_plan *k = new_kernel(p, g, job->family, unit);
    zn_phase_plan ph = {.outer = ceil_div(batch, unit), .flops = job->flops * batch};
    k->block = job->block;
    if (job->block) {
        int64_t c = zn_type_channels(&g->anchor->operand[0]->type), o = zn_type_channels(t);
        ph.scratch = 4 * zn_winograd_of(g->anchor).positions *
                     (zn_winograd_pitch(job->block * c) + zn_winograd_pitch(job->block * o));
    }
    bind_group(p, k, &ph, g, false);
    if (job->weights)
        bind_temp(p, k, &ph, ZN_BIND_IN, job->weights, job->weights_buffer);
    int partial[8];
    ZN_ASSERT(nreduce <= 8);
    for (size_t i = 0; i < nreduce; i++) {
        const zn_value *r = lone ? lone : g->reduces.at[i];
        partial[i] = new_temp(p, partial_type(shards_of(r), rows_of_reduce(r), zn_type_channels(t)), "partial sums");
        bind_temp(p, k, &ph, ZN_BIND_TEMP, "partial", partial[i]);
    }
    ph.grain = job->flops > 16 * each ? grain_for(job->flops * unit, MIN_FLOPS) : grain_for(each * unit * 4, MIN_BYTES);
    add_phase(p, k, &ph);
    for (size_t i = 0; i < nreduce; i++)
        plan_join_of_sum(p, g, lone ? lone : g->reduces.at[i], partial[i]);
}

/* Elementwise over memory in one line: no halo, no channels. */
static bool is_flat(const planner *p, const zn_group *g) {
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

static void plan_map(planner *p, const zn_group *g) {
    if (!is_flat(p, g)) {
        plan_images(p, g, &(image_job){.family = ZN_KERNEL_MAP});
        return;
    }
    int64_t n = count(g->anchor), unit = 4096;
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_MAP, unit);
    zn_phase_plan ph = {.outer = ceil_div(n, unit), .grain = 4};
    bind_group(p, k, &ph, g, false);
    add_phase(p, k, &ph);
}

/* Partial results per shard, then their join with what is fused behind. */
static void plan_sharded(planner *p, const zn_group *g, int64_t outer, int64_t unit, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t shards = shards_of(v), n = count(v);
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_CONV_GRAD_W, unit);
    zn_phase_plan ph = {.outer = outer, .flops = flops, .grain = grain_for(flops / outer, MIN_FLOPS)};
    bind(p, k, &ph, ZN_BIND_IN, v->operand[0]);
    bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    int partial = new_temp(p, partial_type(shards, 1, n), "partial weights");
    bind_temp(p, k, &ph, ZN_BIND_TEMP, "partial", partial);
    add_phase(p, k, &ph);
    k = new_kernel(p, g, ZN_KERNEL_JOIN, 1024);
    ph = (zn_phase_plan){.outer = ceil_div(n, 1024), .flops = n * shards, .grain = 2};
    bind_temp(p, k, &ph, ZN_BIND_IN, "partial", partial);
    bind_group(p, k, &ph, g, true);
    add_phase(p, k, &ph);
}

static int plan_turn(planner *p, const zn_group *g, zn_type turned) {
    const zn_value *w = g->anchor->operand[1];
    int64_t outer = w->type.rank == 4 ? w->type.dim[0] * w->type.dim[1] : ceil_div(turned.dim[0], 16);
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_TURN, w->type.rank == 4 ? 1 : 16);
    zn_phase_plan ph = {.outer = outer, .grain = grain_for(count(w) * 4 / outer, MIN_BYTES)};
    int temp = new_temp(p, turned, "turned weights");
    bind(p, k, &ph, ZN_BIND_IN, w);
    bind_temp(p, k, &ph, ZN_BIND_TEMP, "turned", temp);
    add_phase(p, k, &ph);
    return temp;
}

static bool is_winograd(const zn_value *v) {
    return !strcmp(zn_conv_algorithm(v), "winograd");
}

/* A channel sum of a group as a kernel of its own, behind what computes its operand. */
static void plan_sum_alone(planner *p, zn_value *r) {
    zn_group *g = zn_new(A(p), zn_group);
    g->anchor = r;
    g->family = zn_op_table[r->op].kernel;
    zn_vec_push(A(p), &g->values, r);
    plan_images(p, g, &(image_job){.family = g->family});
}

static void bind_loads(planner *p, zn_kernel_plan *k, zn_phase_plan *ph, const zn_group *g) {
    bind(p, k, ph, ZN_BIND_IN, zn_group_loaded(g));
    for (size_t i = 0; i < g->values.n; i++)
        for (int j = 1; zn_group_loads_through(g, g->values.at[i]) && j < g->values.at[i]->noperands; j++)
            bind(p, k, ph, ZN_BIND_IN, g->values.at[i]->operand[j]);
}

/* Tiles in a unit of the kernels that only transform; what tiles are rounded up to in panels. */
enum { TRANSFORM_TILES = 8, PANEL_TILES = 16, PANEL_CHANNELS = 64 };

/* All tiles of the input of g's anchor, transformed. block: tiles in a panel, 0: as many as a product takes. */
static int plan_wino_input(planner *p, const zn_group *g, const zn_winograd *w, int64_t block) {
    int64_t c = zn_type_channels(&g->anchor->operand[0]->type), tiles = w->images * w->tiles;
    int64_t padded = ceil_div(tiles, PANEL_TILES) * PANEL_TILES;
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_WINO_INPUT, TRANSFORM_TILES);
    zn_phase_plan ph = {.outer = ceil_div(tiles, TRANSFORM_TILES)};
    ph.grain = grain_for(TRANSFORM_TILES * w->positions * c * 4, MIN_BYTES);
    k->block = block;
    bind_loads(p, k, &ph, g);
    int64_t dim[2] = {w->positions, zn_winograd_pitch(padded * c)};
    int temp = new_temp(p, zn_type_make(ZN_F32, 2, dim), "tiles, transformed");
    bind_temp(p, k, &ph, ZN_BIND_TEMP, "tiles", temp);
    add_phase(p, k, &ph);
    return temp;
}

/* Winograd where the weights are the larger part: V of all tiles; then outputs go panel by panel through scratch. */
static void plan_wino_panels(planner *p, const zn_group *g, const zn_winograd *w, int turned, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t c = zn_type_channels(&v->operand[0]->type), o = zn_type_channels(&v->type);
    int tiles = plan_wino_input(p, g, w, 0);
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_WINO_CONV_PANEL, ZN_WINOGRAD_PANEL);
    zn_phase_plan ph = {.outer = o / ZN_WINOGRAD_PANEL, .flops = flops * w->images, .grain = 1};
    k->block = ceil_div(w->images * w->tiles, PANEL_TILES) * PANEL_TILES;
    ph.scratch = 4 * (w->weights * zn_winograd_pitch(c * ZN_WINOGRAD_PANEL) +
                      w->positions * zn_winograd_pitch(k->block * ZN_WINOGRAD_PANEL));
    bind_group(p, k, &ph, g, true);
    bind_temp(p, k, &ph, ZN_BIND_IN, "tiles", tiles);
    if (turned >= 0)
        bind_temp(p, k, &ph, ZN_BIND_IN, "turned", turned);
    else
        bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    add_phase(p, k, &ph);
    for (size_t i = 0; i < g->reduces.n; i++)
        plan_sum_alone(p, g->reduces.at[i]);
}

/* Winograd: U from the weights (a value, or a turned temporary); then blocks of tiles go through scratch. */
static void plan_winograd(planner *p, const zn_group *g, int turned, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t c = zn_type_channels(&v->operand[0]->type), o = zn_type_channels(&v->type);
    zn_winograd w = zn_winograd_of(v);
    if (zn_winograd_weight_major(&w, c, o)) {
        plan_wino_panels(p, g, &w, turned, flops);
        return;
    }
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_WINO_WEIGHTS, 1);
    zn_phase_plan ph = {.outer = c, .grain = grain_for(o * 9 * 4, MIN_BYTES / 8)};
    int u = new_temp(p, partial_type(1, w.weights, zn_winograd_pitch(c * o)), "transformed weights");
    if (turned < 0)
        bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    else
        bind_temp(p, k, &ph, ZN_BIND_IN, "turned", turned);
    bind_temp(p, k, &ph, ZN_BIND_TEMP, "transformed", u);
    add_phase(p, k, &ph);
    plan_images(p, g,
                &(image_job){.family = ZN_KERNEL_WINO_CONV,
                             .weights = "transformed",
                             .weights_buffer = u,
                             .flops = flops,
                             .block = w.stride == 2        ? 16
                                      : c * o >= 256 * 256 ? 64
                                                           : 32});
}

static void plan_conv(planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    const zn_type *w = &v->operand[1]->type;
    int64_t flops = 2 * w->dim[0] * w->dim[1] * w->dim[2] * count(v) / v->type.dim[0];
    if (is_winograd(v))
        plan_winograd(p, g, -1, flops);
    else
        plan_images(p, g, &(image_job){.family = ZN_KERNEL_CONV, .flops = flops});
}

static void plan_conv_grad_x(planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    const zn_type *w = &v->operand[1]->type;
    int64_t dim[4] = {w->dim[0], w->dim[1], w->dim[3], w->dim[2]};
    int turned = plan_turn(p, g, zn_type_make(ZN_F32, 4, dim));
    int64_t flops = 2 * w->dim[0] * w->dim[1] * w->dim[2] * count(v->operand[0]) / v->type.dim[0];
    if (is_winograd(v))
        plan_winograd(p, g, turned, flops);
    else
        plan_images(
            p, g,
            &(image_job){
                .family = ZN_KERNEL_CONV_GRAD_X, .weights = "turned", .weights_buffer = turned, .flops = flops});
}

/* Rows of the kernel matrix (kw, c) in one unit of a gradient by weights. */
enum { GRAD_W_ROWS = 96 };
/* Positions of an image, and weights, from which partial sums are kept in memory, a shard a task. */
enum { SMALL_MAP = 64, SMALL_WEIGHTS = 16384 };

/* Largest block of input channels that divides them. */
static int64_t wino_channels(int64_t c) {
    return c % 128 == 0 ? 128 : c % 64 == 0 ? 64 : c % 32 == 0 ? 32 : 16;
}

/* V and Z of all tiles; then dU and dw of one block of weights after the other. */
static void plan_wino_grad_w_panels(planner *p, const zn_group *g, const zn_winograd *w, int64_t flops) {
    const zn_value *v = g->anchor;
    int64_t c = v->type.dim[2], o = v->type.dim[3], tiles = w->images * w->tiles;
    int in = plan_wino_input(p, g, w, tiles);
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_WINO_DY, TRANSFORM_TILES);
    zn_phase_plan ph = {.outer = ceil_div(tiles, TRANSFORM_TILES)};
    ph.grain = grain_for(TRANSFORM_TILES * w->positions * o * 4, MIN_BYTES);
    k->block = tiles;
    bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    int64_t dim[2] = {w->positions, zn_winograd_pitch(tiles * o)};
    int gradients = new_temp(p, zn_type_make(ZN_F32, 2, dim), "gradients, transformed");
    bind_temp(p, k, &ph, ZN_BIND_TEMP, "gradients", gradients);
    add_phase(p, k, &ph);
    k = new_kernel(p, g, ZN_KERNEL_WINO_GRAD_W_PANEL, PANEL_CHANNELS);
    ph = (zn_phase_plan){.outer = c / PANEL_CHANNELS * (o / ZN_WINOGRAD_PANEL), .flops = flops, .grain = 1};
    k->block = tiles;
    ph.scratch = 4 * w->weights * zn_winograd_pitch(PANEL_CHANNELS * ZN_WINOGRAD_PANEL);
    bind_temp(p, k, &ph, ZN_BIND_IN, "tiles", in);
    bind_temp(p, k, &ph, ZN_BIND_IN, "gradients", gradients);
    bind_group(p, k, &ph, g, true);
    add_phase(p, k, &ph);
}

static void plan_wino_grad_w(planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    int64_t c = v->type.dim[2], o = v->type.dim[3], shards = shards_of(v), channels = wino_channels(c);
    int64_t flops = 2 * count(v) * count(v->operand[1]) / o;
    zn_winograd w = zn_winograd_of(v);
    if (shards == 1 && zn_winograd_weight_major(&w, c, o)) {
        plan_wino_grad_w_panels(p, g, &w, flops);
        return;
    }
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_WINO_GRAD_W, channels);
    zn_phase_plan ph = {.outer = shards * (c / channels), .flops = flops, .grain = 1};
    k->block = w.stride == 2 || c * o < 32 * 32 ? 16 : 32;
    ph.scratch = 4 * w.positions * (zn_winograd_pitch(k->block * channels) + zn_winograd_pitch(k->block * o));
    bind_loads(p, k, &ph, g);
    bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
    int partial =
        new_temp(p, partial_type(shards, w.weights, zn_winograd_pitch(c * o)), "partial weights, transformed");
    bind_temp(p, k, &ph, ZN_BIND_TEMP, "partial", partial);
    add_phase(p, k, &ph);
    k = new_kernel(p, g, ZN_KERNEL_WINO_JOIN, 16);
    ph = (zn_phase_plan){.outer = c / 16, .grain = grain_for(16 * o * w.weights * shards * 4, MIN_BYTES)};
    bind_temp(p, k, &ph, ZN_BIND_IN, "partial", partial);
    bind_group(p, k, &ph, g, true);
    add_phase(p, k, &ph);
}

/* Each unit joins its shards by itself, in scratch memory: for matrices, and for convolutions over maps so small that
 * partial results would cost more memory traffic than the sums. */
static void plan_grad_w_joined(planner *p, const zn_group *g, int64_t kernel_rows, int64_t kwc, int64_t flops) {
    int64_t unit = 32, positions = count(g->anchor->operand[1]) / zn_type_channels(&g->anchor->operand[1]->type);
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_GRAD_W_JOINED, unit);
    zn_phase_plan ph = {.outer = kernel_rows * ceil_div(kwc, unit), .flops = flops};
    ph.grain = grain_for(flops / ph.outer, MIN_FLOPS);
    ph.scratch = shards_of(g->anchor) * 32 * 64; /* a register tile each */
    if (positions <= 8192 && zn_type_channels(&g->anchor->operand[1]->type) >= 64) {
        k->block = positions;
        ph.scratch += positions * unit * 4;
    }
    bind_group(p, k, &ph, g, false);
    add_phase(p, k, &ph);
}

static void plan_conv_grad_w(planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    int64_t kwc = v->type.dim[1] * v->type.dim[2];
    int64_t outer = shards_of(v) * v->type.dim[0] * ceil_div(kwc, GRAD_W_ROWS);
    if (is_winograd(v)) {
        plan_wino_grad_w(p, g);
        return;
    }
    int64_t flops = 2 * v->type.dim[0] * kwc * count(v->operand[1]),
            area = v->operand[1]->type.dim[1] * v->operand[1]->type.dim[2];
    if (area < SMALL_MAP && count(v) >= SMALL_WEIGHTS)
        plan_grad_w_joined(p, g, v->type.dim[0], kwc, flops);
    else
        plan_sharded(p, g, outer, GRAD_W_ROWS, flops);
}

static void plan_matmul(planner *p, const zn_group *g) {
    const zn_value *v = g->anchor;
    bool ta = zn_attr_of(v, MATMUL, trans_a)->i, tb = zn_attr_of(v, MATMUL, trans_b)->i;
    int64_t rows = v->type.dim[0], cols = v->type.dim[1], inner = v->operand[0]->type.dim[ta ? 0 : 1];
    int64_t flops = 2 * rows * cols * inner;
    if (g->family == ZN_KERNEL_OPENBLAS) {
        int64_t block = 128;
        zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_OPENBLAS, block);
        zn_phase_plan ph = {.outer = ceil_div(cols, block), .grain = 1, .flops = flops};
        bind(p, k, &ph, ZN_BIND_OUT, v);
        bind(p, k, &ph, ZN_BIND_IN, v->operand[0]);
        bind(p, k, &ph, ZN_BIND_IN, v->operand[1]);
        int64_t extra[9] = {rows, cols, inner, v->operand[0]->type.dim[1], v->operand[1]->type.dim[1], cols,
                            ta,   tb,   block};
        for (int i = 0; i < 9; i++)
            zn_vec_push(A(p), &ph.extra, extra[i]);
        p->plan->uses_openblas = true;
        add_phase(p, k, &ph);
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
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_MATMUL, 64); /* columns, and in block: rows */
    k->block = ceil_div(ceil_div(rows, ceil_div(rows, 128)), 8) * 8;
    zn_phase_plan ph = {.outer = ceil_div(cols, k->unit) * ceil_div(rows, k->block), .flops = flops};
    ph.grain = grain_for(flops / ph.outer, MIN_FLOPS);
    bind_group(p, k, &ph, g, false);
    if (turned >= 0)
        bind_temp(p, k, &ph, ZN_BIND_IN, "turned", turned);
    add_phase(p, k, &ph);
}

static void plan_bn_running(planner *p, const zn_group *g) {
    int64_t unit = 64;
    zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_BN_RUNNING, unit);
    zn_phase_plan ph = {.outer = ceil_div(count(g->anchor), unit), .grain = 256};
    bind_group(p, k, &ph, g, false);
    add_phase(p, k, &ph);
}

static void plan_group(planner *p, const zn_group *g) {
    switch (g->family) {
    case ZN_KERNEL_MAP:
        plan_map(p, g);
        break;
    case ZN_KERNEL_CONV:
        plan_conv(p, g);
        break;
    case ZN_KERNEL_CONV_GRAD_X:
        plan_conv_grad_x(p, g);
        break;
    case ZN_KERNEL_CONV_GRAD_W:
        plan_conv_grad_w(p, g);
        break;
    case ZN_KERNEL_MATMUL:
    case ZN_KERNEL_OPENBLAS:
        plan_matmul(p, g);
        break;
    case ZN_KERNEL_BN_RUNNING:
        plan_bn_running(p, g);
        break;
    default: { /* one kernel over images: by image, or by sample */
        const zn_type *t = &g->anchor->type;
        if (is_reduce(g->anchor)) {
            plan_images(p, g, &(image_job){.family = g->family});
            break;
        }
        int64_t batch = t->dim[0], each = 0;
        for (int i = 0; i < g->anchor->noperands; i++)
            each += count(g->anchor->operand[i]) / batch;
        zn_kernel_plan *k = new_kernel(p, g, g->family, 1);
        zn_phase_plan ph = {.outer = batch, .grain = grain_for((each + zn_type_count(t) / batch) * 4, MIN_BYTES)};
        if (g->family == ZN_KERNEL_HADAMARD)
            ph.scratch = zn_hadamard_scratch(zn_type_channels(t));
        bind_group(p, k, &ph, g, false);
        add_phase(p, k, &ph);
        break;
    }
    }
}

/* ---- lifetimes and offsets */

static int root_of(const zn_program_plan *prog, int b) {
    while (prog->buffers.at[b].same_as >= 0)
        b = prog->buffers.at[b].same_as;
    return b;
}

static void touch(zn_program_plan *prog, int b, int phase) {
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
            if (v->operand[j] == u && (is_reduce(v) || zn_map_access(v->op, j) != ZN_ACCESS_FULL))
                return false;
    }
    return true;
}

/* A map's result may lie where an operand of the same shape and layout ends; each element is read before it is
 * written. Kernels of other families read neighbours or write before they have read. */
static void share_in_place(planner *p) {
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
                    prog->buffers.at[ph->buffers.at[j]].same_as >= 0 || !zn_type_equal(&in->type, &out->type) ||
                    memcmp(&in->layout, &out->layout, sizeof in->layout))
                    continue;
                out->same_as = r;
                in->last = out->last;
                break;
            }
        }
    }
}

static void place_arena(planner *p) {
    zn_program_plan *prog = p->prog;
    int n = (int)prog->buffers.n, placed = 0;
    int *order = zn_new_n(A(p), int, (size_t)n + 1), *done = zn_new_n(A(p), int, (size_t)n + 1), m = 0;
    for (int i = 0; i < n; i++)
        if (prog->buffers.at[i].place == ZN_PLACE_ARENA && prog->buffers.at[i].same_as < 0)
            order[m++] = i;
    for (int i = 1; i < m; i++) { /* by size, larger first; equal ones in order */
        int x = order[i], j = i;
        for (; j && prog->buffers.at[order[j - 1]].size < prog->buffers.at[x].size; j--)
            order[j] = order[j - 1];
        order[j] = x;
    }
    for (int i = 0; i < m; i++) {
        zn_buffer *b = &prog->buffers.at[order[i]];
        int64_t at = prog->guard, size = (b->size + 63) / 64 * 64;
        for (bool moved = true; moved;) {
            moved = false;
            for (int j = 0; j < placed; j++) {
                const zn_buffer *o = &prog->buffers.at[done[j]];
                int64_t end = o->offset + (o->size + 63) / 64 * 64;
                if (o->first <= b->last && b->first <= o->last && o->offset < at + size && at < end) {
                    at = end;
                    moved = true;
                }
            }
        }
        b->offset = at;
        done[placed++] = order[i];
        prog->arena_size = at + size > prog->arena_size ? at + size : prog->arena_size;
    }
    prog->arena_size += prog->guard;
    for (int i = 0; i < n; i++) {
        zn_buffer *b = &prog->buffers.at[i];
        if (b->same_as < 0)
            continue;
        int64_t view = 0;
        for (int j = i; prog->buffers.at[j].same_as >= 0; j = prog->buffers.at[j].same_as)
            view += prog->buffers.at[j].view;
        b->offset = prog->buffers.at[root_of(prog, i)].offset + view;
    }
    for (size_t ph = 0; ph < prog->phases.n; ph++) {
        int64_t live = 0;
        for (int i = 0; i < m; i++)
            if (prog->buffers.at[order[i]].first <= (int)ph && (int)ph <= prog->buffers.at[order[i]].last)
                live += prog->buffers.at[order[i]].size;
        prog->live_peak = live > prog->live_peak ? live : prog->live_peak;
    }
}

static void find_leaving(planner *p) {
    for (zn_value *v = p->f->first; v; v = v->next)
        for (int i = 0; i < v->noperands; i++) {
            const zn_value *u = v->operand[i];
            if (p->group[u->id] < 0 || p->group[u->id] != p->group[v->id] || is_reduce(v))
                p->leaves[u->id] = true;
        }
    for (size_t i = 0; i < p->f->results.n; i++)
        p->leaves[p->f->results.at[i]->id] = true;
}

static void plan_late_stores(planner *p) {
    for (size_t i = 0; i < p->late.n; i++) {
        const zn_value *s = p->late.at[i];
        zn_group *g = zn_new(A(p), zn_group);
        g->anchor = s->operand[0];
        g->family = ZN_KERNEL_COPY;
        zn_vec_push(A(p), &g->values, s->operand[0]);
        zn_kernel_plan *k = new_kernel(p, g, ZN_KERNEL_COPY, 4096);
        zn_phase_plan ph = {.outer = ceil_div(count(s), 4096), .grain = 4};
        bind(p, k, &ph, ZN_BIND_IN, s->operand[0]);
        int to = param_buffer(p, s->type, zn_attr_of(s, STORE, name)->s);
        bind_temp(p, k, &ph, ZN_BIND_TEMP, "stored", to);
        add_phase(p, k, &ph);
    }
}

static void plan_program(zn_plan *plan, zn_program_plan *prog, const char *name, zn_plan_options o) {
    planner p = {.plan = plan, .prog = prog, .m = plan->m, .f = zn_func_find(plan->m, name), .o = o};
    prog->func = p.f;
    zn_func_number(p.f);
    p.nvalues = p.f->last->id + 1;
    size_t n = (size_t)p.nvalues;
    p.group = zn_new_n(A(&p), int, n);
    p.layout = zn_new_n(A(&p), zn_layout, n);
    p.buffer = zn_new_n(A(&p), int, n);
    p.leaves = zn_new_n(A(&p), bool, n);
    p.stored = zn_new_n(A(&p), const zn_value *, n);
    for (size_t i = 0; i < n; i++)
        p.buffer[i] = -1;
    make_layouts(&p);
    p.layout[p.f->args.at[0]->id] = plan->image_layout;
    make_groups(&p);
    order_groups(&p);
    find_leaving(&p);
    prog->loss = prog->correct = -1;
    for (size_t i = 0; i < prog->groups.n; i++) {
        plan_group(&p, prog->groups.at[i]);
        if (p.group[p.f->results.at[0]->id] == (int)i)
            prog->nforward = (int)prog->phases.n;
    }
    plan_late_stores(&p);
    prog->loss = buffer_of(&p, p.f->results.at[0]);
    prog->correct = buffer_of(&p, p.f->results.at[1]);
    for (size_t i = 0; i < prog->phases.n; i++)
        for (size_t j = 0; j < prog->phases.at[i].buffers.n; j++)
            touch(prog, prog->phases.at[i].buffers.at[j], (int)i);
    touch(prog, prog->loss, (int)prog->phases.n);
    touch(prog, prog->correct, (int)prog->phases.n);
    if (o.in_place)
        share_in_place(&p);
    place_arena(&p);
    for (size_t i = 0; i < prog->phases.n; i++)
        if (prog->phases.at[i].scratch > prog->scratch_size)
            prog->scratch_size = prog->phases.at[i].scratch;
}

/* The image's halo serves both programs. */
static void plan_image(zn_plan *plan, const char *name) {
    planner p = {.plan = plan, .m = plan->m, .f = zn_func_find(plan->m, name)};
    zn_func_number(p.f);
    p.layout = zn_new_n(A(&p), zn_layout, (size_t)p.f->last->id + 1);
    make_layouts(&p);
    const zn_layout *l = &p.layout[p.f->args.at[0]->id];
    need(&plan->image_layout, l->top, l->left, l->bottom, l->right);
}

zn_plan *zn_plan_make(zn_module *m, zn_plan_options o, zn_diags *d) {
    zn_arena arena = {0};
    zn_plan *plan = zn_new(&arena, zn_plan);
    plan->arena = arena;
    plan->m = m;
    size_t n = 0;
    for (const zn_param *q = m->params; q; q = q->next)
        n++;
    plan->param_offset = zn_new_n(&plan->arena, int64_t, n + 1);
    n = 0;
    for (const zn_param *q = m->params; q; q = q->next) {
        plan->param_offset[n++] = plan->param_size;
        plan->param_size += (zn_type_count(&q->type) * 4 + 63) / 64 * 64;
    }
    plan_image(plan, "train_step");
    plan_image(plan, "eval_step");
    const zn_func *f = zn_func_find(m, "train_step");
    const zn_type *image = &f->args.at[0]->type;
    plan->label_offset = (zn_layout_bytes(image, &plan->image_layout) + 63) / 64 * 64;
    plan->batch_size = plan->label_offset + (image->dim[0] * 4 + 63) / 64 * 64;
    plan_program(plan, &plan->train, "train_step", o);
    plan_program(plan, &plan->eval, "eval_step", o);
    if (plan->train.arena_size > (int64_t)1 << 45 || plan->param_size > (int64_t)1 << 45) {
        zn_diag_add(d, ZN_DIAG_MEMORY, (zn_span){0}, "the plan needs %lld bytes", (long long)plan->train.arena_size);
        zn_plan_free(plan);
        return NULL;
    }
    return plan;
}
