/* Pass clip: gradients scaled so that their common norm is at most a number.
 *
 * The norm is the root of the sum of squares of all gradients of @train_step; each is multiplied by
 * min(1, most / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ does. Bits: the squares of one gradient are summed as
 * sum_rows and reduce_sum do, the sums of all parameters in a binary tree in order of the gradients. Steps must wait
 * for the norm, so the marks of gradients move to the end. */
#include "ir/schema.h"
#include "passes/pass.h"
#include "support/ice.h"

typedef struct clipping {
    zn_module *m;
    zn_func *f;
    zn_span at;
} clipping;

static zn_value *make(const clipping *c, zn_op op, zn_value *a, zn_value *b) {
    zn_value *v = zn_value_new(c->m, c->f, NULL, op, b ? 2 : 1, (zn_value *[]){a, b}, c->at, "");
    if (op == ZN_OP_SUM_ROWS) {
        int64_t area = zn_type_count(&a->type) / a->type.dim[0] / zn_type_channels(&a->type);
        zn_attr_of(v, SUM_ROWS, shards)->i = zn_stats_shards(a->type.dim[0], area);
    }
    if (!zn_value_infer(c->m, v, NULL))
        ZN_ICE("the norm of gradients has no type");
    return v;
}
static zn_value *with_const(const clipping *c, zn_op op, zn_value *x, double k) {
    zn_value *v = zn_value_new(c->m, c->f, NULL, op, 1, &x, c->at, "");
    (op == ZN_OP_MUL_CONST ? zn_attr_of(v, MUL_CONST, value) : zn_attr_of(v, ADD_CONST, value))->f = k;
    if (!zn_value_infer(c->m, v, NULL))
        ZN_ICE("the norm of gradients has no type");
    return v;
}

static zn_value *squares(const clipping *c, zn_value *g) {
    zn_value *s = make(c, ZN_OP_MUL, g, g);
    if (s->type.rank > 1)
        s = make(c, ZN_OP_SUM_ROWS, s, NULL);
    return make(c, ZN_OP_REDUCE_SUM, s, NULL);
}

/* min(1, most / (root of sum + 1e-6)); NaN stays NaN. */
static zn_value *factor(const clipping *c, zn_value *sum, double most) {
    zn_value *norm = make(c, ZN_OP_SQRT, sum, NULL);
    zn_value *one = with_const(c, ZN_OP_ADD_CONST, with_const(c, ZN_OP_MUL_CONST, sum, 0), 1);
    zn_value *part =
        make(c, ZN_OP_DIV, with_const(c, ZN_OP_MUL_CONST, one, most), with_const(c, ZN_OP_ADD_CONST, norm, 1e-6));
    zn_value *less = make(c, ZN_OP_MAX, make(c, ZN_OP_NEG, part, NULL), make(c, ZN_OP_NEG, one, NULL));
    return make(c, ZN_OP_NEG, less, NULL);
}

bool zn_pass_clip(zn_module *m, zn_pass_ctx *ctx) {
    (void)ctx;
    zn_func *f = zn_func_find(m, "train_step");
    const zn_conf *kind = zn_conf_get(m, "train.clip.kind");
    ZN_VEC(zn_value *) marks = {0};
    if (!f || !kind)
        return true;
    for (zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_GRADIENT)
            zn_vec_push(&m->arena, &marks, v);
    if (!marks.n)
        return true;
    clipping c = {m, f, kind->span};
    zn_value **sum = zn_new_n(&m->arena, zn_value *, marks.n);
    for (size_t i = 0; i < marks.n; i++)
        sum[i] = squares(&c, marks.at[i]->operand[0]);
    for (size_t n = marks.n; n > 1; n = (n + 1) / 2)
        for (size_t i = 0; i < (n + 1) / 2; i++)
            sum[i] = 2 * i + 1 < n ? make(&c, ZN_OP_ADD, sum[2 * i], sum[2 * i + 1]) : sum[2 * i];
    zn_value *k = factor(&c, sum[0], zn_option_float(m, ZN_ARG_CLIP_NORM_most));
    for (size_t i = 0; i < marks.n; i++) {
        zn_value *old = marks.at[i], *scaled = make(&c, ZN_OP_SCALE, old->operand[0], k);
        zn_value *mark = zn_value_new(m, f, NULL, ZN_OP_GRADIENT, 1, &scaled, old->span, old->path);
        zn_attr_of(mark, GRADIENT, name)->s = zn_attr_of(old, GRADIENT, name)->s;
        if (!zn_value_infer(m, mark, NULL))
            ZN_ICE("a gradient has no type");
        zn_value_remove(f, old);
    }
    return true;
}
