/* Copies of @forward as programs (see util.h): operations that do not say whether they train become those that do. */
#include "passes/util.h"
#include "support/ice.h"

typedef struct copy {
    zn_module *m;
    zn_func *f;
    zn_pass_ctx *pass;
    zn_forward_kind kind;
} copy;

static zn_value *typed(const copy *c, zn_value *v) {
    if (!zn_value_infer(c->m, v, c->pass->diags))
        ZN_ICE("a copied operation has no type: %s", zn_op_table[v->op].text);
    return v;
}

static zn_value *add(const copy *c, const zn_value *v, zn_op op, int n, zn_value *const *operand) {
    return zn_value_new(c->m, c->f, NULL, op, n, operand, v->span, v->path);
}

static zn_value *dropout(const copy *c, const zn_value *v, zn_value **operand) {
    zn_value *r = add(c, v, ZN_OP_DROPOUT_MASK, 1, operand);
    *zn_attr_of(r, DROPOUT_MASK, p) = *zn_attr_of(v, DROPOUT, p);
    *zn_attr_of(r, DROPOUT_MASK, layer) = *zn_attr_of(v, DROPOUT, layer);
    return r;
}

static zn_value *bn(const copy *c, const zn_value *v, zn_value **operand) {
    if (c->kind == ZN_FORWARD_EVAL) {
        zn_value *r = add(c, v, ZN_OP_BN_INFER, 5, operand);
        *zn_attr_of(r, BN_INFER, eps) = *zn_attr_of(v, BN, eps);
        return r;
    }
    zn_value *stats = add(c, v, ZN_OP_BN_STATS, 1, operand);
    int64_t area = zn_type_count(&v->type) / v->type.dim[0] / zn_type_channels(&v->type);
    zn_attr_of(stats, BN_STATS, shards)->i = zn_stats_shards(v->type.dim[0], area);
    *zn_attr_of(stats, BN_STATS, eps) = *zn_attr_of(v, BN, eps);
    zn_value *of[4] = {operand[0], typed(c, stats), operand[1], operand[2]};
    return add(c, v, ZN_OP_BN_NORM, 4, of);
}

/* Operands are already copies. */
static zn_value *lower(const copy *c, const zn_value *v, zn_value **operand) {
    zn_value *r;
    switch (v->op) {
    case ZN_OP_RESIDUAL:
        r = add(c, v, ZN_OP_ADD, 2, operand + 1);
        break;
    case ZN_OP_DROPOUT:
        if (c->kind != ZN_FORWARD_TRAIN)
            return operand[0];
        r = dropout(c, v, operand);
        break;
    case ZN_OP_BN:
        r = bn(c, v, operand);
        break;
    case ZN_OP_LAYERNORM:
        r = add(c, v, ZN_OP_LN_NORM, 3, operand);
        *zn_attr_of(r, LN_NORM, eps) = *zn_attr_of(v, LAYERNORM, eps);
        break;
    default:
        r = zn_expand(c->m, c->f, v, operand);
        r = r ? r : zn_value_copy(c->m, c->f, NULL, v, operand);
        break;
    }
    r->name = v->name;
    r->keep = v->keep;
    return typed(c, r);
}

zn_func *zn_forward_copy(zn_module *m, zn_pass_ctx *ctx, const zn_func *from, const char *name, zn_forward_kind kind,
                         zn_value **out) {
    copy c = {m, zn_func_new(m, name), ctx, kind};
    for (zn_value *v = from->first; v; v = v->next) {
        zn_value *operand[8];
        for (int i = 0; i < v->noperands; i++)
            operand[i] = v->operand[i]->note;
        v->note = v->op == ZN_OP_ARG ? zn_arg_new(m, c.f, v->type, v->name) : lower(&c, v, operand);
    }
    *out = from->results.at[0]->note;
    for (zn_value *v = from->first; v; v = v->next)
        v->note = NULL;
    return c.f;
}
