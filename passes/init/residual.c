/* Starts that make residual branches begin as nothing or little: zero_gamma, fixup, skipinit, rezero, idinit, constnet.
 *
 * Weights outside start by the scheme that the option `rest` names. What these schemes add (trained numbers, averaging
 * convolutions) they add to @forward, for all to see. */
#include <math.h>

#include "passes/init/branch.h"
#include "passes/util.h"

zn_scheme zn_scheme_zero_gamma, zn_scheme_fixup, zn_scheme_skipinit, zn_scheme_rezero, zn_scheme_idinit,
    zn_scheme_constnet;

/* Residuals whose last weight is the scheme's own, in order; numbers of values are those of now. */
typedef ZN_VEC(zn_value *) residuals;
static residuals own_residuals(zn_init *c) {
    residuals list = {0};
    zn_func_number(c->f);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_value *last = v->op == ZN_OP_RESIDUAL ? zn_branch_last(v) : NULL;
        if (last && zn_init_own(c, last))
            zn_vec_push(&c->m->arena, &list, v);
    }
    return list;
}

void zn_scheme_zero_gamma(zn_init *c) {
    zn_init_nested(c, ZN_ARG_SCHEME_ZERO_GAMMA_rest);
    residuals all = own_residuals(c);
    for (size_t i = 0; i < all.n; i++) {
        zn_value *norm = zn_branch_last_norm(all.at[i]);
        zn_param *scale = norm ? zn_init_param(c, norm) : NULL;
        if (scale && scale->freeze <= 0)
            zn_init_refuse(c, norm, ZN_DIAG_INIT_BRANCH,
                           "`zero_gamma` starts the scale of this norm at 0, and `scale = false` keeps it there: the "
                           "branch would stay nothing");
        else if (scale)
            scale->init = zn_formula_const(0);
        else
            zn_init_refuse(c, all.at[i], ZN_DIAG_INIT_BRANCH,
                           "`zero_gamma` starts the last norm of a branch at 0, and this branch has none");
    }
}

/* ---- fixup */

static void zero_head(zn_init *c) {
    zn_value *head = zn_init_head(c), *bias;
    if (!head || !zn_init_own(c, head))
        return;
    zn_init_own(c, head)->init = zn_formula_const(0);
    bias = zn_init_with_bias(head);
    if (bias != head)
        zn_init_param(c, bias)->init = zn_formula_const(0);
}

/* Zhang, Dauphin and Ma, section 3: rules 1 to 3. */
void zn_scheme_fixup(zn_init *c) {
    zn_init_nested(c, ZN_ARG_SCHEME_FIXUP_rest);
    residuals all = own_residuals(c);
    float rate = (float)zn_option_float(c->m, ZN_ARG_SCHEME_FIXUP_rate);
    for (size_t i = 0; i < all.n; i++) {
        zn_branch b;
        if (!zn_branch_of(c, all.at[i], &b)) {
            zn_init_refuse(c, all.at[i], ZN_DIAG_INIT_BRANCH,
                           "`fixup` is for residual branches that are a chain of layers, which this one is not");
            continue;
        }
        size_t m = b.units.n;
        for (size_t k = 0; k < m; k++) {
            zn_param *w = zn_init_own(c, b.units.at[k].layer);
            double deviation = sqrt(2 / zn_init_fan_out(c, b.units.at[k].layer));
            if (w) /* its numbers are fixup's, whatever data `rest` looks at */
                w->calibration = (zn_calibration){0};
            if (w && k + 1 < m)
                w->init = (zn_formula){.kind = ZN_FORMULA_NORMAL,
                                       .a = (float)(deviation * pow((double)all.n, -1 / (2 * (double)m - 2)))};
            else if (w)
                w->init = zn_formula_const(0);
        }
        if (zn_branch_selected(c, &b))
            zn_branch_add_scalars(c, &b, rate);
    }
    zero_head(c);
}

/* ---- skipinit, rezero */

static void scale_branches(zn_init *c, float alpha) {
    residuals all = own_residuals(c);
    for (size_t i = 0; i < all.n; i++)
        zn_branch_scale(c, all.at[i], alpha);
}

void zn_scheme_skipinit(zn_init *c) {
    zn_init_nested(c, ZN_ARG_SCHEME_SKIPINIT_rest);
    scale_branches(c, (float)zn_option_float(c->m, ZN_ARG_SCHEME_SKIPINIT_alpha));
}
void zn_scheme_rezero(zn_init *c) {
    zn_init_nested(c, ZN_ARG_SCHEME_REZERO_rest);
    scale_branches(c, 0);
}

/* ---- idinit */

/* Padded identities on the matrix of out rows that a kernel is, which the paper calls patch-maintain. */
void zn_scheme_idinit(zn_init *c) {
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (w)
            w->init = (zn_formula){.kind = ZN_FORMULA_PADDED_IDENTITY,
                                   .a = (float)zn_option_float(c->m, ZN_ARG_SCHEME_IDINIT_tau)};
    }
    residuals all = own_residuals(c);
    for (size_t i = 0; i < all.n; i++)
        zn_init_own(c, zn_branch_last(all.at[i]))->init.a = (float)zn_option_float(c->m, ZN_ARG_SCHEME_IDINIT_eps);
}

/* ---- constnet */

static zn_formula average(int64_t in) {
    return (zn_formula){.kind = ZN_FORMULA_CENTRE, .a = (float)(1 / (double)in)};
}

/* Weighted layers on the way from `end` back to where the residual starts. */
static void zero_branch(zn_init *c, const zn_value *res) {
    for (zn_value *v = res->operand[2]; v != res->operand[0] && !zn_branch_before(v, res->operand[0]) && v->noperands;
         v = v->operand[v->op == ZN_OP_RESIDUAL ? 2 : 0])
        if (zn_init_own(c, v))
            zn_init_own(c, v)->init = zn_formula_const(0);
}

static bool has_weight(const zn_value *res) {
    for (const zn_value *v = res->operand[1]; v != res->operand[0] && v->noperands; v = v->operand[0])
        if (zn_init_weighted(v))
            return true;
    return false;
}

/* A skip that changes the shape averages all channels, of what the branch's first norms give. */
static void average_skip(zn_init *c, zn_value *res) {
    zn_value *x = res->operand[0], *u = x;
    zn_branch b;
    int64_t stride[2];
    if (zn_type_equal(&x->type, &res->type) || has_weight(res) || !zn_init_strides(x, res, stride))
        return;
    if (zn_branch_of(c, res, &b))
        u = zn_branch_lead(&b, 0, x, true);
    zn_init_place at = {res, res->span, res->path};
    zn_value *skip =
        zn_init_project(c, at, u, zn_type_channels(&res->type), stride, "skip", 1, average(zn_type_channels(&u->type)));
    zn_value_set_operand(res, 1, skip);
    zn_attr_of(res, RESIDUAL, policy)->s = "constnet";
    zn_pass_log(c->pass, "init: line %u: skip `%s.weight` averages %lld channels, in place of the file's shortcut",
                res->span.line, skip->path, (long long)zn_type_channels(&u->type));
}

void zn_scheme_constnet(zn_init *c) {
    if (!zn_init_wins(c))
        return;
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (w && zn_init_has_centre(c, v, "constnet") && zn_init_ungrouped(c, v, "constnet"))
            w->init = average(zn_init_width_in(v));
    }
    residuals all = own_residuals(c);
    for (size_t i = 0; i < all.n; i++) {
        zero_branch(c, all.at[i]);
        average_skip(c, all.at[i]);
    }
    zero_head(c);
    zn_remove_unused(c->f);
}
