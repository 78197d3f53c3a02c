/* Unrolled model to IR: the function "forward", its parameters, the only maker of IR in the front end.
 *
 * Shapes were worked out before (net.c); inference of the IR works them out again and must agree. */
#include <inttypes.h>
#include <string.h>

#include "frontend/sema.h"
#include "support/ice.h"

typedef struct lowering {
    zn_sema *s;
    zn_module *m;
    zn_func *f;
    bool ok;
} lowering;

static zn_value *lower_nodes(lowering *l, const zn_nodes *list, zn_value *x);

static zn_type type_of(const lowering *l, const zn_shape *x) {
    zn_type t = {.dtype = ZN_F32, .rank = x->rank + 1, .dim = {l->s->batch}};
    for (int i = 0; i < x->rank; i++)
        t.dim[i + 1] = x->dim[i];
    return t;
}

static zn_value *make(lowering *l, zn_op op, int n, zn_value *const *operand, const zn_node *at) {
    return zn_value_new(l->m, l->f, NULL, op, n, operand, at->at, at->path);
}

static zn_value *infer(lowering *l, zn_value *v) {
    if (!zn_value_infer(l->m, v, l->s->d))
        l->ok = false;
    return v;
}

static zn_value *param(lowering *l, const zn_node *n, const char *leaf, zn_role role, float init, int rank,
                       const int64_t *dim) {
    const char *name = zn_arena_printf(l->s->arena, "%s.%s", n->path, leaf);
    zn_param *p = zn_param_new(l->m, name, zn_type_make(ZN_F32, rank, dim), role, zn_formula_const(init), n->at);
    p->decay = role == ZN_ROLE_WEIGHT ? (float)l->s->decay : 0.0f;
    zn_value *v = zn_param_read(l->m, l->f, NULL, p, n->path);
    v->span = n->at;
    return v;
}

static void set_ints(zn_attr *a, int n, const int64_t *v) {
    a->n = n;
    for (int i = 0; i < n; i++)
        a->v[i] = v[i];
}

static zn_value *weighted(lowering *l, const zn_node *n, zn_value *x) {
    bool conv = n->kind == ZN_NODE_CONV;
    int64_t in = n->in.dim[n->in.rank - 1], out = n->out.dim[n->out.rank - 1];
    int64_t conv_dim[4] = {n->k[0], n->k[1], in / n->groups, out}, linear_dim[2] = {in, out};
    zn_value *operand[2] = {x, param(l, n, "weight", ZN_ROLE_WEIGHT, 0, conv ? 4 : 2, conv ? conv_dim : linear_dim)};
    zn_value *v = make(l, conv ? ZN_OP_CONV : ZN_OP_MATMUL, 2, operand, n);
    if (conv) {
        set_ints(zn_attr_of(v, CONV, stride), 2, n->stride);
        set_ints(zn_attr_of(v, CONV, pad), 4, n->pad);
        zn_attr_of(v, CONV, groups)->i = n->groups;
    }
    infer(l, v);
    if (!n->bias)
        return v;
    zn_value *sum[2] = {v, param(l, n, "bias", ZN_ROLE_BIAS, 0, 1, &out)};
    return infer(l, make(l, ZN_OP_BIAS, 2, sum, n));
}

/* A parameter that a layer asks for as it is. */
static void fix(const zn_value *read, bool fixed, zn_module *m) {
    if (fixed)
        zn_param_find(m, zn_attr_of(read, PARAM, name)->s)->freeze = 0;
}

static zn_value *norm(lowering *l, const zn_node *n, zn_value *x) {
    int64_t c = n->in.dim[n->in.rank - 1];
    zn_value *operand[5] = {x, param(l, n, "weight", ZN_ROLE_NORM_SCALE, 1, 1, &c),
                            param(l, n, "bias", ZN_ROLE_NORM_BIAS, 0, 1, &c)};
    fix(operand[1], n->fixed_scale, l->m);
    fix(operand[2], n->fixed_bias, l->m);
    if (n->op == ZN_OP_LAYERNORM) {
        zn_value *v = make(l, ZN_OP_LAYERNORM, 3, operand, n);
        zn_attr_of(v, LAYERNORM, eps)->f = n->eps;
        return infer(l, v);
    }
    operand[3] = param(l, n, "running_mean", ZN_ROLE_RUNNING_MEAN, 0, 1, &c);
    operand[4] = param(l, n, "running_var", ZN_ROLE_RUNNING_VAR, 1, 1, &c);
    zn_value *v = make(l, ZN_OP_BN, 5, operand, n);
    zn_attr_of(v, BN, eps)->f = n->eps;
    zn_attr_of(v, BN, momentum)->f = n->momentum;
    return infer(l, v);
}

/* An attribute by the option of its name; windows and the path are known from the node. */
static void set_attr(lowering *l, const zn_node *n, const zn_attr_info *info, zn_attr *a) {
    size_t i = zn_sig_arg_index(n->sig, info->name);
    const zn_val *v = i < n->sig->n ? &n->option[i] : NULL;
    if (info->kind == ZN_ATTR_INTS) {
        if (!strcmp(info->name, "k"))
            set_ints(a, 2, n->k);
        else if (!strcmp(info->name, "stride"))
            set_ints(a, 2, n->stride);
        else if (!strcmp(info->name, "pad"))
            set_ints(a, 4, n->pad);
    } else if (!strcmp(info->name, "layer")) {
        a->s = n->path;
    } else if (v && v->kind == ZN_V_FLOAT) {
        a->f = v->f;
    } else if (v && v->kind == ZN_V_STR) {
        a->s = zn_arena_strdup(&l->m->arena, v->s);
    } else if (v && v->kind != ZN_V_BAD) {
        a->i = v->i;
    }
}

static zn_value *simple(lowering *l, const zn_node *n, zn_value *x) {
    zn_value *v = make(l, n->op, 1, &x, n);
    const zn_attr_info *info = &zn_attr_table[zn_op_attr_first(n->op)];
    for (int i = 0; i < zn_op_attr_count(n->op); i++)
        set_attr(l, n, &info[i], &v->attr[i]);
    return infer(l, v);
}

/* A trained number, or one per channel, that scales or shifts. */
static zn_value *numbers(lowering *l, const zn_node *n, zn_value *x) {
    bool scale = n->op == ZN_OP_SCALE || n->op == ZN_OP_CHANNEL_SCALE,
         one = n->op == ZN_OP_SCALE || n->op == ZN_OP_SHIFT;
    int64_t c = one ? 1 : n->in.dim[n->in.rank - 1];
    zn_value *operand[2] = {
        x, param(l, n, scale ? "weight" : "bias", scale ? ZN_ROLE_SCALAR : ZN_ROLE_BIAS, (float)n->number, 1, &c)};
    return infer(l, make(l, n->op, 2, operand, n));
}

static zn_value *residual(lowering *l, const zn_node *n, zn_value *x) {
    zn_value *branch = lower_nodes(l, &n->branch, x);
    zn_value *operand[3] = {x, lower_nodes(l, &n->shortcut, x), branch};
    if (!l->ok)
        return x;
    zn_value *v = make(l, ZN_OP_RESIDUAL, 3, operand, n);
    zn_attr_of(v, RESIDUAL, policy)->s = zn_arena_strdup(&l->m->arena, n->policy);
    return infer(l, v);
}

static zn_value *lower_node(lowering *l, const zn_node *n, zn_value *x) {
    zn_value *v;
    switch (n->kind) {
    case ZN_NODE_CONV:
    case ZN_NODE_LINEAR:
        return weighted(l, n, x);
    case ZN_NODE_NORM:
        return norm(l, n, x);
    case ZN_NODE_NUMBERS:
        return numbers(l, n, x);
    case ZN_NODE_SIMPLE:
        return simple(l, n, x);
    case ZN_NODE_RESIDUAL:
        return residual(l, n, x);
    case ZN_NODE_SUBSAMPLE:
        v = make(l, ZN_OP_SUBSAMPLE, 1, &x, n);
        set_ints(zn_attr_of(v, SUBSAMPLE, stride), 2, n->stride);
        return infer(l, v);
    case ZN_NODE_PAD_CHANNELS:
        v = make(l, ZN_OP_PAD_CHANNELS, 1, &x, n);
        zn_attr_of(v, PAD_CHANNELS, channels)->i = n->out.dim[n->out.rank - 1];
        return infer(l, v);
    case ZN_NODE_SLICE_CHANNELS:
        v = make(l, ZN_OP_SLICE_CHANNELS, 1, &x, n);
        zn_attr_of(v, SLICE_CHANNELS, channels)->i = n->out.dim[n->out.rank - 1];
        return infer(l, v);
    case ZN_NODE_HADAMARD:
        return infer(l, make(l, ZN_OP_HADAMARD, 1, &x, n));
    case ZN_NODE_MULTIPLY:
        v = make(l, ZN_OP_MUL_CONST, 1, &x, n);
        zn_attr_of(v, MUL_CONST, value)->f = n->number;
        return infer(l, v);
    case ZN_NODE_NAME:
        return n->slot->value = x;
    case ZN_NODE_FROM:
        return n->slot->value;
    case ZN_NODE_JOIN:
        return infer(l, make(l, n->op, 2, (zn_value *[]){x, n->slot->value}, n));
    }
    return x;
}

static zn_value *lower_nodes(lowering *l, const zn_nodes *list, zn_value *x) {
    for (const zn_node *n = list->first; n && l->ok; n = n->next) {
        zn_node here = *n; /* its path moves to the module, which outlives the tree */
        here.path = zn_arena_strdup(&l->m->arena, n->path);
        x = lower_node(l, &here, x);
        zn_type want = type_of(l, &n->out);
        ZN_ASSERT(!l->ok || zn_type_equal(&x->type, &want));
    }
    return x;
}

bool zn_lower(zn_sema *s) {
    lowering l = {s, s->module, zn_func_new(s->module, "forward"), true};
    const zn_shape *out = &s->output;
    zn_shape in = s->input;
    zn_value *x =
        zn_arg_new(s->module, l.f, type_of(&l, &in), zn_arena_strdup(&s->module->arena, s->file->model->input));
    x->span = s->file->model->input_at;
    s->input_slot->value = x;
    zn_value *y = lower_nodes(&l, &s->net, x);
    if (!l.ok)
        return false;
    zn_func_return(s->module, l.f, y);
    zn_conf_set_int(s->module, "model.classes", out->dim[out->rank - 1], s->file->model->at);
    return true;
}
