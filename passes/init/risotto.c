/* The scheme risotto: dynamical isometry of residual networks with relu, arXiv 2210.02411.
 *
 * Behind relu the features are [relu(z); relu(-z)], as large as z. With L(M) = [M, -M; -M, M] in the centre of a
 * kernel, M orthogonal, of half as many rows and columns, L(M) of such features is [M z; -M z]. A block is y = a W2
 * relu(W1 x) + S x type B  S the identity, W1 the identity, W2 = (L(M) - I) / a type C  S = L(M - a M2 M1), W1 = L(M1),
 * W2 = L(M2) so that y = [M z; -M z]. The first layer is [M; -M]; other layers outside are L(M), or orthogonal where a
 * width is odd (the head). a is the factor at the end of the file's branch, 1 if there is none. Biases are 0. */
#include <math.h>

#include "ir/plan.h"
#include "passes/init/branch.h"
#include "passes/util.h"

zn_scheme zn_scheme_risotto;

static zn_formula mirrored(zn_formula_kind kind) {
    return (zn_formula){.kind = kind, .a = 1};
}

/* Has the layer even widths, a centre and no groups? Reports else. */
static bool fits(zn_init *c, const zn_value *layer, bool first) {
    int64_t in = zn_init_width_in(layer), out = zn_init_width_out(layer);
    if (!zn_init_has_centre(c, layer, "risotto") || !zn_init_ungrouped(c, layer, "risotto"))
        return false;
    if (out % 2 == 0 && (first || in % 2 == 0))
        return true;
    zn_init_refuse(c, layer, ZN_DIAG_INIT_SHAPE,
                   "`risotto` pairs channels and needs even widths; this layer goes from %lld to %lld", (long long)in,
                   (long long)out);
    return false;
}

/* The branch conv relu conv, maybe with biases, and a factor at its end, which is *alpha. */
static bool is_block(const zn_init *c, const zn_branch *b, double *alpha) {
    size_t activations = 0;
    *alpha = 1;
    for (size_t i = 0; i < b->chain.n; i++) {
        const zn_value *v = b->chain.at[i];
        bool last = v == b->chain.at[b->chain.n - 1];
        if (last && v->op == ZN_OP_MUL_CONST)
            *alpha = (double)zn_attr_of(v, MUL_CONST, value)->f;
        else if (last && v->op == ZN_OP_SCALE)
            *alpha = (double)zn_init_param(c, v)->init.a;
        else if (v->op == ZN_OP_RELU)
            activations++;
        else if (!zn_init_weighted(v) && v->op != ZN_OP_BIAS)
            return false;
    }
    return b->units.n == 2 && activations == 1 && zn_init_weighted(b->chain.at[0]) && *alpha != 0;
}

/* The only weighted layer of the shortcut, if it is a 1x1 convolution or a product; *more: there is something else that
 * is no bias. */
static zn_value *weight_of_skip(const zn_value *res, bool *more) {
    zn_value *found = NULL;
    *more = false;
    for (zn_value *v = res->operand[1]; v != res->operand[0] && v->noperands; v = v->operand[0]) {
        if (zn_init_weighted(v) && !found)
            found = v;
        else if (v->op != ZN_OP_BIAS)
            *more = true;
    }
    return found;
}

/* The weight of the skip: the file's, or that of a new convolution. */
static zn_param *skip_weight(zn_init *c, zn_value *res) {
    bool more;
    zn_value *x = res->operand[0], *layer = weight_of_skip(res, &more);
    int64_t stride[2];
    if (layer && !more)
        return zn_init_param(c, layer);
    if (!zn_init_strides(x, res, stride))
        return NULL;
    zn_init_place at = {res, res->span, res->path};
    zn_value *skip = zn_init_project(c, at, x, zn_type_channels(&res->type), stride, "skip", 1, zn_formula_const(0));
    zn_value_set_operand(res, 1, skip);
    zn_attr_of(res, RESIDUAL, policy)->s = "risotto";
    zn_pass_log(c->pass, "init: line %u: skip `%s.weight`, in place of the file's shortcut", res->span.line,
                skip->path);
    return zn_init_param(c, skip);
}

static void block_c(zn_init *c, zn_branch *b, double alpha) {
    const zn_value *first = b->units.at[0].layer, *second = b->units.at[1].layer;
    zn_param *a = zn_init_param(c, first), *d = zn_init_param(c, second), *skip = skip_weight(c, b->res);
    if (!skip) {
        zn_init_refuse(c, b->res, ZN_DIAG_INIT_BRANCH, "`risotto` has no skip of this size: no stride gives it");
        return;
    }
    a->init = d->init = mirrored(ZN_FORMULA_LOOKS_LINEAR);
    skip->init = (zn_formula){.kind = ZN_FORMULA_LOOKS_LINEAR_LESS_PRODUCT,
                              .a = (float)alpha,
                              .of = {a->name, d->name},
                              .inner = zn_init_width_out(first)};
}

/* Are the weights of the block, of its shortcut and the factor at its end this scheme's? */
static bool all_own(const zn_init *c, const zn_branch *b) {
    bool more;
    const zn_value *skip = weight_of_skip(b->res, &more), *end = b->chain.at[b->chain.n - 1];
    return zn_branch_selected(c, b) && (!skip || zn_init_own(c, skip)) &&
           (end->op != ZN_OP_SCALE || zn_init_selected(c, zn_init_param(c, end)));
}

static void block(zn_init *c, zn_value *res, bool identity) {
    zn_branch b;
    double alpha;
    if (zn_branch_of(c, res, &b) && !all_own(c, &b)) {
        zn_init_refuse(
            c, res, ZN_DIAG_INIT_BRANCH,
            "`risotto` fits the weights of a block, its skip and its factor together; another start has a say "
            "in this one");
        return;
    }
    if (!b.units.n || !is_block(c, &b, &alpha)) {
        zn_init_refuse(
            c, res, ZN_DIAG_INIT_BRANCH,
            "`risotto` is for blocks of two layers with a relu between, and no norm; this branch is another");
        return;
    }
    zn_value *first = b.units.at[0].layer, *second = b.units.at[1].layer;
    if (!fits(c, first, false) || !fits(c, second, false))
        return;
    bool same = res->operand[1] == res->operand[0] && zn_init_width_out(first) == zn_init_width_in(first);
    if (identity && same) {
        zn_init_param(c, first)->init = mirrored(ZN_FORMULA_IDENTITY);
        zn_init_param(c, second)->init =
            (zn_formula){.kind = ZN_FORMULA_LOOKS_LINEAR_LESS_IDENTITY, .a = (float)(1 / alpha)};
    } else {
        block_c(c, &b, alpha);
    }
}

void zn_scheme_risotto(zn_init *c) {
    bool identity = zn_option_word(c->m, ZN_ARG_SCHEME_RISOTTO_type) == 1, first = true;
    ZN_VEC(zn_value *) residuals = {0};
    zn_func_number(c->f);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_value *last = v->op == ZN_OP_RESIDUAL ? zn_branch_last(v) : NULL;
        if (last && zn_init_own(c, last))
            zn_vec_push(&c->m->arena, &residuals, v);
        zn_param *w = zn_init_own(c, v);
        if (!w)
            continue;
        bool even = zn_init_width_in(v) % 2 == 0 && zn_init_width_out(v) % 2 == 0, head = v == zn_init_head(c);
        if (first && fits(c, v, true))
            w->init = mirrored(ZN_FORMULA_MIRRORED);
        else if (!first && (head || v->op == ZN_OP_MATMUL || !even))
            w->init = mirrored(even && !head ? ZN_FORMULA_LOOKS_LINEAR : ZN_FORMULA_ORTHOGONAL);
        else if (!first && fits(c, v, false))
            w->init = mirrored(ZN_FORMULA_LOOKS_LINEAR);
        first = false;
    }
    for (size_t i = 0; i < residuals.n; i++)
        block(c, residuals.at[i], identity);
    zn_remove_unused(c->f);
}
