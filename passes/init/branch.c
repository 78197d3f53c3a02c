/* Residual branches as chains of units (see passes/init/branch.h).
 *
 * A branch that begins with a norm or activation (pre-activation) is cut after each weighted layer, one that begins
 * with a weighted layer (post-activation) before the activation in front of the next, so that a norm stays with the
 * weight before it. What stands behind the last weighted layer belongs to the last unit. */
#include "passes/init/branch.h"

#include <string.h>

#include "support/ice.h"

bool zn_init_is_activation(const zn_value *v) {
    return zn_op_table[v->op].traits & ZN_T_ACTIVATION;
}
bool zn_init_is_norm(const zn_value *v) {
    return v->op == ZN_OP_BN || v->op == ZN_OP_LAYERNORM;
}
/* One trained number added or multiplied. */
static bool is_scalar(const zn_value *v) {
    return v->op == ZN_OP_SHIFT || v->op == ZN_OP_SCALE;
}

int64_t zn_init_width_in(const zn_value *layer) {
    return zn_type_channels(&layer->operand[0]->type);
}
int64_t zn_init_width_out(const zn_value *layer) {
    return zn_type_channels(&layer->type);
}

zn_value *zn_init_head(const zn_init *c) {
    zn_value *head = NULL;
    for (zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_weighted(v))
            head = v;
    return head;
}

zn_value *zn_init_with_bias(zn_value *layer) {
    for (const zn_use *u = layer->first_use; u; u = u->next)
        if (u->user->op == ZN_OP_BIAS && u->index == 0)
            return u->user;
    return layer;
}

/* ---- chains */

static bool chain_of(const zn_init *c, zn_branch *b) {
    const zn_value *x = b->res->operand[0];
    for (zn_value *v = b->res->operand[2]; v != x; v = v->operand[0]) {
        if (v->op == ZN_OP_RESIDUAL || (zn_op_table[v->op].traits & ZN_T_LEAF) || v->nuses != 1)
            return false;
        for (int i = 1; i < v->noperands; i++)
            if (v->operand[i]->op != ZN_OP_PARAM)
                return false;
        zn_vec_push(&c->m->arena, &b->chain, v);
    }
    for (size_t i = 0; i < b->chain.n / 2; i++) {
        zn_value *t = b->chain.at[i];
        b->chain.at[i] = b->chain.at[b->chain.n - 1 - i];
        b->chain.at[b->chain.n - 1 - i] = t;
    }
    return true;
}

/* Behind the unit with the weighted layer chain[i]. */
static size_t end_of_unit(const zn_branch *b, size_t i, bool post) {
    size_t n = b->chain.n, end = i + 1, next;
    if (end < n && b->chain.at[end]->op == ZN_OP_BIAS)
        end++;
    while (end < n && is_scalar(b->chain.at[end]))
        end++;
    for (next = end; next < n && !zn_init_weighted(b->chain.at[next]);)
        next++;
    if (!post || next == n)
        return next == n && post ? n : end;
    size_t activation = next;
    while (activation > end && !zn_init_is_activation(b->chain.at[activation]))
        activation--;
    return zn_init_is_activation(b->chain.at[activation]) ? activation : next;
}

bool zn_branch_of(const zn_init *c, zn_value *res, zn_branch *b) {
    *b = (zn_branch){.res = res};
    if (!chain_of(c, b)) {
        b->chain.n = 0;
        return false;
    }
    size_t first = 0; /* numbers added in front, as zn_branch_add_scalars does, change no branch's form */
    while (first < b->chain.n && b->chain.at[first]->op == ZN_OP_SHIFT)
        first++;
    bool post = first < b->chain.n && zn_init_weighted(b->chain.at[first]);
    for (size_t i = 0; i < b->chain.n; i++) {
        if (!zn_init_weighted(b->chain.at[i]))
            continue;
        zn_unit u = {b->units.n ? b->units.at[b->units.n - 1].end : 0, end_of_unit(b, i, post), b->chain.at[i]};
        zn_vec_push(&c->m->arena, &b->units, u);
    }
    if (b->units.n)
        b->units.at[b->units.n - 1].end = b->chain.n;
    else
        b->chain.n = 0;
    return b->units.n;
}

bool zn_branch_selected(const zn_init *c, const zn_branch *b) {
    for (size_t k = 0; k < b->units.n; k++)
        if (!zn_init_selected(c, zn_init_param(c, b->units.at[k].layer)))
            return false;
    return true;
}

zn_value *zn_branch_lead(const zn_branch *b, size_t k, zn_value *x, bool norms_only) {
    const zn_unit *u = &b->units.at[k];
    for (size_t i = u->begin; i < u->end; i++) {
        const zn_value *v = b->chain.at[i];
        if (!zn_init_is_norm(v) && (norms_only || !(zn_init_is_activation(v) || v->op == ZN_OP_SHIFT)))
            break;
        x = b->chain.at[i];
    }
    return x;
}

zn_value *zn_branch_start(const zn_branch *b, size_t k) {
    return b->chain.at[b->units.at[k].begin]->operand[0];
}

/* A branch may begin with a value named elsewhere: a way that gets in front of what the residual starts from has left
 * the branch. */
bool zn_branch_before(const zn_value *v, const zn_value *stop) {
    return v->id && v->id < stop->id;
}

/* The nearest value before the end of the branch that `is` says yes to, on the way of first operands. */
static zn_value *last_that(zn_value *res, bool (*is)(const zn_value *v)) {
    zn_value *v = res->operand[2], *stop = res->operand[0];
    while (v && v != stop && !zn_branch_before(v, stop) && !is(v))
        v = v->noperands ? v->operand[v->op == ZN_OP_RESIDUAL ? 2 : 0] : NULL;
    return !v || v == stop || zn_branch_before(v, stop) ? NULL : v;
}

static bool is_weighted(const zn_value *v) {
    return zn_init_weighted(v);
}
zn_value *zn_branch_last(zn_value *res) {
    return last_that(res, is_weighted);
}
zn_value *zn_branch_last_norm(zn_value *res) {
    return last_that(res, zn_init_is_norm);
}

/* ---- building */

zn_value *zn_init_build(zn_init *c, zn_init_place at, zn_op op, int n, zn_value *const *operand) {
    return zn_value_new(c->m, c->f, at.before, op, n, operand, at.span, at.path);
}

zn_value *zn_init_typed(zn_init *c, zn_value *v) {
    if (!zn_value_infer(c->m, v, c->pass->diags))
        ZN_ICE("what init inserted has no type: %s",
               c->pass->diags->last ? c->pass->diags->last->msg : zn_op_table[v->op].text);
    return v;
}

const char *zn_init_free_name(const zn_init *c, const char *path, const char *name, const char *end, const char *leaf,
                              size_t *k) {
    for (;; ++*k) {
        const char *own = zn_arena_printf(&c->m->arena, "%s%s%s%zu%s", path, path[0] ? "." : "", name, *k, end);
        if (!zn_param_find(c->m, zn_arena_printf(&c->m->arena, "%s.%s", own, leaf)))
            return own;
    }
}

zn_value *zn_init_project(zn_init *c, zn_init_place at, zn_value *u, int64_t out, const int64_t stride[2],
                          const char *name, size_t k, zn_formula f) {
    bool image = u->type.rank == 4;
    const char *path = zn_init_free_name(c, at.path, name, "", "weight", &k);
    int64_t in = zn_type_channels(&u->type), dim4[4] = {1, 1, in, out}, dim2[2] = {in, out};
    zn_param *p = zn_param_new(c->m, zn_arena_printf(&c->m->arena, "%s.weight", path),
                               zn_type_make(ZN_F32, image ? 4 : 2, image ? dim4 : dim2), ZN_ROLE_WEIGHT, f, at.span);
    p->decay = (float)zn_option_float(c->m, ZN_ARG_SECTION_TRAIN_decay);
    zn_value *operand[2] = {u, zn_param_read(c->m, c->f, at.before, p, path)};
    zn_value *v = zn_init_build(c, at, image ? ZN_OP_CONV : ZN_OP_MATMUL, 2, operand);
    v->path = path;
    if (image)
        *zn_attr_of(v, CONV, stride) = (zn_attr){.n = 2, .v = {stride[0], stride[1]}};
    return zn_init_typed(c, v);
}

/* The stride that turns size a into size b; false if none. */
static bool stride_of(int64_t a, int64_t b, int64_t *stride) {
    *stride = b ? (a + b - 1) / b : 0;
    return *stride >= 1 && (a + *stride - 1) / *stride == b;
}

bool zn_init_strides(const zn_value *x, const zn_value *y, int64_t stride[2]) {
    stride[0] = stride[1] = 1;
    if (x->type.rank != y->type.rank)
        return false;
    return x->type.rank != 4 || (stride_of(x->type.dim[1], y->type.dim[1], &stride[0]) &&
                                 stride_of(x->type.dim[2], y->type.dim[2], &stride[1]));
}

/* ---- scalars */

/* op (SHIFT or SCALE) of x by a new trained number; every other use of x becomes a use of the result. */
static zn_value *number(zn_init *c, zn_init_place at, zn_value *x, zn_op op, const char *path, float start,
                        float rate) {
    const char *leaf = op == ZN_OP_SHIFT ? "bias" : "weight";
    zn_param *p =
        zn_param_new(c->m, zn_arena_printf(&c->m->arena, "%s.%s", path, leaf), zn_type_make(ZN_F32, 1, (int64_t[]){1}),
                     op == ZN_OP_SHIFT ? ZN_ROLE_BIAS : ZN_ROLE_SCALAR, zn_formula_const(start), at.span);
    p->rate = rate;
    zn_value *operand[2] = {x, zn_param_read(c->m, c->f, at.before, p, path)};
    zn_value *v = zn_init_build(c, at, op, 2, operand);
    v->path = path;
    return zn_init_typed(c, v);
}

/* The number stands behind x: everything that used x uses it. */
static zn_value *number_behind(zn_init *c, const zn_branch *b, zn_value *x, zn_op op, const char *path, float start,
                               float rate) {
    zn_init_place at = {x->next, b->res->span, b->res->path};
    zn_value *v = number(c, at, x, op, path, start, rate);
    zn_value_replace(c->f, x, v, v);
    return v;
}

/* The name bias<k>a, k the next for which neither it nor bias<k>b is taken. */
static const char *names_of_pair(zn_init *c, const char *scope, size_t *k) {
    for (;; ++*k) {
        const char *before = zn_init_free_name(c, scope, "bias", "a", "bias", k);
        size_t behind = *k;
        (void)zn_init_free_name(c, scope, "bias", "b", "bias", &behind);
        if (behind == *k)
            return before;
    }
}

void zn_branch_add_scalars(zn_init *c, zn_branch *b, float rate) {
    const char *scope = b->res->path;
    size_t k = 1;
    for (size_t i = 0; i < b->units.n; i++, k++) {
        zn_value *layer = b->units.at[i].layer, *end = zn_init_with_bias(layer);
        const char *before = names_of_pair(c, scope, &k);
        zn_init_place at = {layer, b->res->span, scope};
        zn_value *x = number(c, at, layer->operand[0], ZN_OP_SHIFT, before, 0, rate);
        zn_value_set_operand(layer, 0, x);
        if (i + 1 == b->units.n) {
            size_t number = 1;
            const char *scale = zn_init_free_name(c, scope, "scale", "", "weight", &number);
            end = number_behind(c, b, end, ZN_OP_SCALE, scale, 1, rate);
        }
        number_behind(c, b, end, ZN_OP_SHIFT,
                      zn_arena_printf(&c->m->arena, "%s%sbias%zub", scope, scope[0] ? "." : "", k), 0, rate);
    }
    zn_branch_of(c, b->res, b);
}

void zn_branch_scale(zn_init *c, zn_value *res, float x) {
    zn_value *end = res->operand[2];
    if (end != res->operand[0] && end->op == ZN_OP_SCALE && end->operand[1]->op == ZN_OP_PARAM) {
        zn_init_param(c, end)->init = zn_formula_const(x);
        return;
    }
    size_t k = 1;
    zn_init_place at = {res, res->span, res->path};
    const char *path = zn_init_free_name(c, res->path, "scale", "", "weight", &k);
    zn_value_set_operand(res, 2, number(c, at, end, ZN_OP_SCALE, path, x, 1));
}
