/* Pass fuse: which values are computed by one kernel.
 *
 * Values are visited in order. An elementwise value joins the kernel of one of its operands, kernels that compute more
 * than elements before others and the latest first, and takes along elementwise values that only it needs; a channel
 * sum joins the kernel that makes its operand. A kernel may take a value only if nothing the value needs depends on
 * that kernel from outside (no cycle between kernels). Bits do not change: a fused value is computed by the same
 * operations, rounded to f32 at the same places, and reductions keep their order.
 *
 * A norm and its activation in front of Winograd convolutions only are computed by those while they load their input,
 * so that the value never lies in memory: each user gets a copy.
 *
 * Sets value->group; values without one stand alone. */
#include <string.h>

#include "ir/plan.h"
#include "passes/pass.h"
#include "passes/util.h"
#include "support/ice.h"

enum { MAX_INPUTS = 8, MAX_VALUES = 16, MAX_SUMS = 4, MAX_CHAIN = 3 };

typedef struct fusion {
    zn_value *anchor;
    bool map;       /* takes elementwise values of the anchor's type */
    bool sums;      /* takes channel sums */
    int64_t shards; /* of the sums it has; 0 = none yet */
    int nsums;
    int first_id, last_id;
    ZN_VEC(zn_value *) values;
    unsigned mark;
} fusion;

typedef struct fuse_ctx {
    zn_arena arena;
    zn_pass_ctx *pass;
    ZN_VEC(fusion) groups;
    ZN_VEC(int) todo;        /* groups that `depends` has to look at */
    const zn_value **source; /* by id: what a view shows, through other views; other values themselves */
    unsigned mark;
} fuse_ctx;

static void new_group(fuse_ctx *c, zn_value *v) {
    fusion g = {.anchor = v, .first_id = v->id, .last_id = v->id};
    zn_kernel_family k = zn_op_table[v->op].kernel;
    bool openblas = v->op == ZN_OP_MATMUL && !strcmp(zn_attr_of(v, MATMUL, algo)->s, "openblas");
    g.map = (k == ZN_KERNEL_MAP || k == ZN_KERNEL_CONV || k == ZN_KERNEL_CONV_GRAD_X || k == ZN_KERNEL_CONV_GRAD_W ||
             k == ZN_KERNEL_MATMUL || k == ZN_KERNEL_LN_NORM || k == ZN_KERNEL_LN_GRAD_X) &&
            !openblas;
    g.sums = (k == ZN_KERNEL_MAP && v->type.rank >= 2 && v->type.dim[0] > 1) || k == ZN_KERNEL_CONV ||
             k == ZN_KERNEL_CONV_GRAD_X || k == ZN_KERNEL_LN_NORM || k == ZN_KERNEL_LN_GRAD_X;
    zn_vec_push(&c->arena, &g.values, v);
    v->group = (int)c->groups.n;
    zn_vec_push(&c->arena, &c->groups, g);
}

/* A view may be made in place of a copy: it depends as its operand does. */
static bool may_be_view(const zn_value *v) {
    return zn_op_table[v->op].kernel == ZN_KERNEL_ALIAS || v->op == ZN_OP_FLATTEN || v->op == ZN_OP_UNFLATTEN;
}
static int group_of(const fuse_ctx *c, const zn_value *v) {
    return c->source[v->id]->group;
}

/* Does group `from` need, directly or not, what group `on` computes? Looks only at groups that reach into the part of
 * the function behind the first value of `on`. */
static bool depends(fuse_ctx *c, int from, int on) {
    c->mark++;
    c->todo.n = 0;
    for (;;) {
        if (from == on)
            return true;
        fusion *g = from < 0 ? NULL : &c->groups.at[from];
        if (g && g->mark != c->mark && g->last_id >= c->groups.at[on].first_id) {
            g->mark = c->mark;
            for (size_t i = 0; i < g->values.n; i++)
                for (int j = 0; j < g->values.at[i]->noperands; j++)
                    zn_vec_push(&c->arena, &c->todo, group_of(c, g->values.at[i]->operand[j]));
        }
        if (!c->todo.n)
            return false;
        from = c->todo.at[--c->todo.n];
    }
}

static int inputs_of(const fusion *g) {
    int n = 0;
    for (size_t i = 0; i < g->values.n; i++)
        n += g->values.at[i]->noperands - 1;
    return n;
}

/* May v join group k, with these operands full (as bits)? */
static bool legal(fuse_ctx *c, const zn_value *v, int k, unsigned full) {
    fusion *g = &c->groups.at[k];
    if (g->values.n >= MAX_VALUES || inputs_of(g) + v->noperands - 1 > MAX_INPUTS)
        return false;
    for (int i = 0; i < v->noperands; i++) {
        const zn_value *u = v->operand[i];
        if (u->group == k && (full >> i & 1) && zn_op_table[u->op].kernel != ZN_KERNEL_ALIAS &&
            zn_type_equal(&u->type, &g->anchor->type))
            continue;
        if (depends(c, group_of(c, u), k))
            return false;
    }
    return true;
}

static void insert(fuse_ctx *c, zn_value *v, int k) {
    fusion *g = &c->groups.at[k];
    size_t i = g->values.n;
    zn_vec_push(&c->arena, &g->values, v);
    for (; i && g->values.at[i - 1]->id > v->id; i--)
        g->values.at[i] = g->values.at[i - 1];
    g->values.at[i] = v;
    v->group = k;
    g->first_id = v->id < g->first_id ? v->id : g->first_id;
    g->last_id = v->id > g->last_id ? v->id : g->last_id;
}

/* Is group h elementwise, small, and needed by v alone? */
static bool only_feeds(const fuse_ctx *c, int h, const zn_value *v) {
    const fusion *g = &c->groups.at[h];
    if (g->nsums || g->values.n > MAX_CHAIN)
        return false;
    for (size_t i = 0; i < g->values.n; i++) {
        const zn_value *w = g->values.at[i];
        int inside = 0;
        for (int j = 0; j < v->noperands; j++)
            inside += v->operand[j] == w;
        for (size_t q = i + 1; q < g->values.n; q++)
            for (int j = 0; j < g->values.at[q]->noperands; j++)
                inside += g->values.at[q]->operand[j] == w;
        if (!(zn_op_table[w->op].traits & ZN_T_MAP) || inside != w->nuses || !zn_type_equal(&w->type, &v->type))
            return false;
    }
    return true;
}

/* v has joined k: elementwise kernels that only feed v are better computed there (momentum v in the update of w; the
 * norm and activation of a mask). */
static void absorb(fuse_ctx *c, zn_value *v, int k) {
    for (int i = 0; i < v->noperands; i++) {
        int h = v->operand[i]->group;
        if (h < 0 || h == k || zn_map_access(v->op, i) != ZN_ACCESS_FULL || !c->groups.at[h].values.n ||
            !only_feeds(c, h, v))
            continue;
        fusion *from = &c->groups.at[h], *to = &c->groups.at[k];
        if (to->values.n + from->values.n > MAX_VALUES || inputs_of(to) + inputs_of(from) > MAX_INPUTS ||
            depends(c, h, k))
            continue;
        size_t n = from->values.n;
        from->values.n = 0;
        for (size_t q = 0; q < n; q++)
            insert(c, from->values.at[q], k);
        for (size_t q = n; q-- > 0;)
            absorb(c, from->values.at[q], k);
    }
}

static void join(fuse_ctx *c, zn_value *v, int k) {
    insert(c, v, k);
    absorb(c, v, k);
}

/* Kernels that compute more than elements come first, then later ones. */
static bool better(const fuse_ctx *c, const zn_value *a, const zn_value *b) {
    bool ma = zn_op_table[c->groups.at[a->group].anchor->op].traits & ZN_T_MAP,
         mb = zn_op_table[c->groups.at[b->group].anchor->op].traits & ZN_T_MAP;
    return ma != mb ? mb : a->id > b->id;
}

/* What is computed again instead of being kept: in the kernel of its operand it would be kept after all. Those that
 * need it take it along. */
static bool is_again(const zn_value *v) {
    return (v->op == ZN_OP_RELU && zn_attr_of(v, RELU, again)->i) ||
           (v->op == ZN_OP_BN_NORM && zn_attr_of(v, BN_NORM, again)->i);
}

static void place_map(fuse_ctx *c, zn_value *v) {
    unsigned full = 0, tried = 0;
    for (int i = 0; i < v->noperands; i++)
        full |= (unsigned)(zn_map_access(v->op, i) == ZN_ACCESS_FULL) << i;
    for (;;) { /* operands from the best to the worst */
        int best = -1;
        for (int i = 0; i < v->noperands; i++)
            if ((full >> i & 1) && !(tried >> i & 1) && v->operand[i]->group >= 0 &&
                (!is_again(v) || is_again(v->operand[i])) && (best < 0 || better(c, v->operand[i], v->operand[best])))
                best = i;
        if (best < 0)
            break;
        tried |= 1u << best;
        int k = v->operand[best]->group;
        const fusion *g = &c->groups.at[k];
        if (g->map && !zn_is_channel_sum(v->operand[best]) && zn_type_equal(&g->anchor->type, &v->type) &&
            legal(c, v, k, full)) {
            join(c, v, k);
            return;
        }
    }
    new_group(c, v);
}

/* The kernel that a channel sum may join, -1 for none: that of its operand. Sums of layer normalisation need what its
 * gradient by data computes of each position. */
static int kernel_of_sum(const zn_value *v) {
    if (v->op != ZN_OP_LN_GRAD_SUMS)
        return v->operand[0]->group;
    for (const zn_use *u = v->operand[0]->first_use; u; u = u->next)
        if (u->user->op == ZN_OP_LN_GRAD_X && u->index == 0 && u->user->operand[1] == v->operand[1] &&
            zn_attr_of(u->user, LN_GRAD_X, eps)->f == zn_attr_of(v, LN_GRAD_SUMS, eps)->f && u->user->id < v->id)
            return u->user->group;
    return -1;
}

/* Units of these kernels may be shards that differ by an image. */
static bool takes_unequal(const zn_value *anchor) {
    return (zn_op_table[anchor->op].traits & ZN_T_MAP) || anchor->op == ZN_OP_LN_NORM || anchor->op == ZN_OP_LN_GRAD_X;
}

static void place_sum(fuse_ctx *c, zn_value *v) {
    int k = kernel_of_sum(v);
    if (k >= 0) {
        fusion *g = &c->groups.at[k];
        bool equal = v->operand[0]->type.dim[0] % zn_value_shards(v) == 0;
        /* operand 1 of bn_grad_sums may be of the same kernel too; units of convolutions are shards of one size */
        if (g->sums && (equal || takes_unequal(g->anchor)) && g->nsums < MAX_SUMS &&
            (!g->shards || g->shards == zn_value_shards(v)) && !zn_is_channel_sum(v->operand[0]) &&
            zn_type_equal(&g->anchor->type, &v->operand[0]->type) && legal(c, v, k, 3)) {
            join(c, v, k);
            g->shards = zn_value_shards(v);
            g->nsums++;
            return;
        }
    }
    new_group(c, v);
}

static void explain(fuse_ctx *c, const zn_func *f) {
    for (size_t i = 0; i < c->groups.n; i++) {
        const fusion *g = &c->groups.at[i];
        if (g->values.n < 2 || !c->pass->log)
            continue;
        zn_buf b = {0};
        for (size_t j = 0; j < g->values.n; j++)
            zn_buf_printf(&b, "%s%s", j ? " + " : "", zn_op_table[g->values.at[j]->op].text);
        zn_pass_log(c->pass, "fuse: @%s line %u: %s", f->name, g->anchor->span.line, zn_buf_str(&b));
        zn_buf_free(&b);
    }
}

/* ---- loading through a norm and an activation: a Winograd convolution may compute its input while it loads it */

/* One that reads the input; the gradient by data reads dy. */
static bool reads_winograd(const zn_value *v) {
    return (v->op == ZN_OP_CONV || v->op == ZN_OP_CONV_GRAD_W) && !strcmp(zn_conv_algorithm(v), "winograd");
}

/* In work space: the kernel reads a row beyond the image's edges, and masks it. */
static bool in_work_space(const zn_value *v) {
    return !(zn_op_table[zn_value_viewed(v)->op].traits & ZN_T_LEAF);
}

static bool is_mask(const zn_use *u) {
    return u->user->op == ZN_OP_RELU_GRAD && u->index == 1;
}

/* May r be computed by a norm and an activation that nothing but it and masks need? */
static bool through_norm(const zn_value *r) {
    const zn_value *norm = r->operand[0];
    if ((norm->op != ZN_OP_BN_NORM && norm->op != ZN_OP_BN_INFER) || norm->keep || norm->nresults ||
        !in_work_space(norm->operand[0]))
        return false;
    for (const zn_use *u = norm->first_use; u; u = u->next)
        if (u->user != r && !is_mask(u))
            return false;
    return true;
}

/* Is r the activation of what lies in memory anyway, because others need it? */
static bool through_activation(const zn_value *r) {
    const zn_value *x = r->operand[0];
    return x->nuses > 1 && in_work_space(x);
}

/* Is every use of the rectified value r one that can compute it again: an input of a Winograd convolution, the mask of
 * a gradient, or (elements) an elementwise value? Then r need not lie in memory. */
static bool only_loaded(const zn_value *r, bool elements) {
    bool any = false;
    for (const zn_use *u = r->first_use; u; u = u->next) {
        bool input = reads_winograd(u->user) && u->index == 0, map = zn_op_table[u->user->op].traits & ZN_T_MAP;
        if (!input && !is_mask(u) && !(elements && map && zn_map_access(u->user->op, u->index) == ZN_ACCESS_FULL))
            return false;
        any |= input;
    }
    return any && !r->nresults && !r->keep;
}

static char load_mark; /* note of a value that is computed while an input is loaded */

static zn_value *copy_before(zn_module *m, zn_func *f, zn_value *before, const zn_value *v, zn_value *first) {
    zn_value *operand[8];
    for (int i = 0; i < v->noperands; i++)
        operand[i] = i || !first ? v->operand[i] : first;
    zn_value *copy = zn_value_copy(m, f, before, v, operand);
    if (reads_winograd(before))
        copy->note = &load_mark;
    else if (v->op == ZN_OP_RELU)
        zn_attr_of(copy, RELU, again)->i = 1;
    else if (v->op == ZN_OP_BN_NORM)
        zn_attr_of(copy, BN_NORM, again)->i = 1;
    return copy;
}

/* Gives each use of r, and of the norm before it, its own copy in front of it. */
static void load_through(zn_module *m, zn_func *f, zn_value *r, bool with_norm) {
    zn_value *norm = with_norm ? r->operand[0] : NULL;
    for (zn_use *u = r->first_use, *next; u; u = next) {
        next = u->next;
        zn_value *first = norm ? copy_before(m, f, u->user, norm, NULL) : NULL;
        zn_value_set_operand(u->user, u->index, copy_before(m, f, u->user, r, first));
    }
    zn_value_remove(f, r);
    for (zn_use *u = norm ? norm->first_use : NULL, *next; u; u = next) {
        next = u->next;
        zn_value_set_operand(u->user, u->index, copy_before(m, f, u->user, norm, NULL));
    }
    if (norm)
        zn_value_remove(f, norm);
}

static void find_loads(zn_module *m, zn_func *f) {
    for (zn_value *v = f->first; v; v = v->next)
        v->note = NULL;
    for (zn_value *v = f->first, *next; v; v = next) {
        next = v->next;
        if (v->op != ZN_OP_RELU)
            continue;
        if (through_norm(v) && only_loaded(v, false))
            load_through(m, f, v, true);
        else if (through_activation(v) && only_loaded(v, true))
            load_through(m, f, v, false);
    }
}

/* The copies in front of a Winograd convolution belong to its kernel. */
static bool is_load(const zn_value *v) {
    return v->note == &load_mark;
}

bool zn_pass_fuse(zn_module *m, zn_pass_ctx *ctx) {
    for (zn_func *f = m->funcs; f; f = f->next) {
        if (!zn_func_is_program(f))
            continue;
        fuse_ctx c = {.pass = ctx};
        find_loads(m, f);
        zn_func_number(f);
        c.source = zn_new_n(&c.arena, const zn_value *, (size_t)(f->last ? f->last->id + 1 : 1));
        for (zn_value *v = f->first; v; v = v->next) {
            v->group = -1;
            c.source[v->id] = may_be_view(v) ? c.source[v->operand[0]->id] : v;
        }
        for (zn_value *v = f->first; v; v = v->next) {
            const zn_op_info *info = &zn_op_table[v->op];
            if ((info->traits & (ZN_T_LEAF | ZN_T_EFFECT)) || info->kernel == ZN_KERNEL_ALIAS ||
                info->kernel == ZN_KERNEL_NONE)
                continue;
            if (is_load(v))
                continue;
            if (info->traits & ZN_T_MAP)
                place_map(&c, v);
            else if (zn_is_channel_sum(v))
                place_sum(&c, v);
            else
                new_group(&c, v);
            for (zn_value *u = reads_winograd(v) ? v->operand[0] : NULL; u && is_load(u); u = u->operand[0])
                insert(&c, u, v->group);
        }
        for (zn_value *v = f->first; v; v = v->next)
            v->note = NULL;
        explain(&c, f);
        zn_arena_free(&c.arena);
    }
    return true;
}
