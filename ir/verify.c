/* The verifier: what every module keeps true between passes. */
#include <math.h>
#include <math.h>
#include <string.h>

#include "ir/module.h"
#include "support/ice.h"
#include "support/signs.h"

static bool complain(zn_diags *d, const zn_value *v, const zn_func *f, const char *what) {
    if (d)
        zn_diag_add(d, ZN_DIAG_ZIR_VERIFY, v->span, "@%s, %%%s `%s`: %s", f->name, v->name ? v->name : "",
                    zn_op_table[v->op].text, what);
    return false;
}

/* Is v in the list of each of its operands, and does its own list hold as many uses as are counted? */
static bool uses_are_right(const zn_value *v) {
    int n = v->nresults;
    for (const zn_use *u = v->first_use; u; u = u->next, n++)
        if (u->user->operand[u->index] != v || u != &u->user->use[u->index] ||
            (u->next ? u->next->prev != u : v->last_use != u))
            return false;
    return n == v->nuses;
}

/* Is v the second gradient of its parameter in this function? */
static bool twice(const zn_module *m, const zn_value *v, bool *seen) {
    const zn_param *p = v->op == ZN_OP_GRADIENT ? zn_param_find(m, zn_attr_of(v, GRADIENT, name)->s) : NULL;
    if (!p)
        return false;
    bool again = seen[p->index];
    seen[p->index] = true;
    return again;
}

/* note == f marks values seen so far: definition before use, by the order of the list. */
static bool verify_func(zn_module *m, zn_func *f, bool *seen, zn_diags *d) {
    bool ok = true, body = false;
    size_t args = 0;
    zn_func_number(f);
    for (zn_value *v = f->first; v; v = v->next)
        v->note = NULL;
    for (zn_value *v = f->first; v; v = v->next) {
        if (v->op >= ZN_OP_COUNT)
            return complain(d, f->first, f, "a value has no operation");
        if (v->prev ? v->prev->next != v : f->first != v)
            return complain(d, v, f, "the list of values is broken");
        if (!uses_are_right(v))
            ok = complain(d, v, f, "the list of uses is broken");
        if (v->op == ZN_OP_ARG) {
            if (body || args >= f->args.n || f->args.at[args] != v || zn_attr_of(v, ARG, index)->i != (int64_t)args)
                ok = complain(d, v, f, "arguments are not first and in order");
            args++;
        } else {
            body = true;
        }
        for (int i = 0; i < v->noperands; i++) {
            if (v->use[i].user != v || v->use[i].index != i)
                return complain(d, v, f, "the list of uses is broken");
            if (!v->operand[i] || v->operand[i]->note != f)
                return complain(d, v, f, "an operand is not defined before its use");
            if (zn_op_table[v->operand[i]->op].traits & ZN_T_EFFECT)
                ok = complain(d, v, f, "an operand has no value");
        }
        zn_type declared = v->type;
        if (!zn_value_infer(m, v, d))
            ok = false;
        else if (!zn_type_equal(&declared, &v->type))
            ok = complain(d, v, f, "the type is not what the operation gives");
        if (v->keep && (zn_op_table[zn_value_viewed(v)->op].traits & (ZN_T_LEAF | ZN_T_EFFECT)))
            ok = complain(d, v, f, "only values that are computed can be kept");
        if (twice(m, v, seen))
            ok = complain(d, v, f, "the parameter has another gradient");
        v->note = f;
    }
    for (size_t i = 0; i < f->results.n; i++)
        if (f->results.at[i]->note != f)
            ok = complain(d, f->results.at[i], f, "a result is not a value of the function");
    for (zn_value *v = f->first; v; v = v->next)
        v->note = NULL;
    return ok;
}

/* Is there something to calibrate, with numbers that make sense? */
static bool verify_calibration(const zn_param *p, zn_diags *d) {
    const zn_calibration *c = &p->calibration;
    bool layer = p->role == ZN_ROLE_WEIGHT && (p->type.rank == 2 || p->type.rank == 4);
    bool ok = c->kind == ZN_CALIBRATION_NONE || (layer && c->a > 0 && isfinite(c->a) && c->n >= 1 && c->n <= INT32_MAX);
    if (c->kind == ZN_CALIBRATION_WHITENING)
        ok = ok && p->type.rank == 4;
    if (c->kind == ZN_CALIBRATION_VARIANCE_AWARE) /* whose deviation is known */
        ok = ok && p->init.kind == ZN_FORMULA_NORMAL && p->init.a > 0 && !p->init.dirac;
    if (!ok && d)
        zn_diag_add(d, ZN_DIAG_ZIR_VERIFY, p->span, "parameter `%s` cannot be calibrated by `%s`, or not so", p->name,
                    zn_calibration_names[c->kind]);
    return ok;
}

/* Does the formula make sense for a tensor of this shape? NULL if so, else what it lacks. */
static const char *misfit(const zn_module *m, const zn_formula *f, const zn_type *t) {
    int64_t out = zn_type_channels(t), in = t->rank >= 2 ? t->dim[t->rank - 2] : 1;
    if (f->kind != ZN_FORMULA_CONST && !isfinite(f->a))
        return "a finite number";
    if (f->dirac && (t->rank < 2 || out % f->dirac))
        return "groups that divide its outputs";
    if (f->kind == ZN_FORMULA_GOLD && out > 1 << ZN_GOLD_BITS)
        return "at most 2^24 outputs";
    if (f->kind == ZN_FORMULA_DENSE_HADAMARD && f->q % 2 == 0)
        return "an odd step";
    if (f->kind == ZN_FORMULA_MIRRORED && out % 2)
        return "an even number of outputs";
    if (f->kind >= ZN_FORMULA_LOOKS_LINEAR && (out % 2 || in % 2))
        return "even numbers of inputs and outputs";
    if (f->kind == ZN_FORMULA_LOOKS_LINEAR_LESS_PRODUCT && (f->inner < 2 || f->inner % 2 || f->inner > INT32_MAX ||
                                                            !zn_param_find(m, f->of[0]) || !zn_param_find(m, f->of[1])))
        return "two other parameters, and an even width between them";
    return NULL;
}

static bool verify_formula(const zn_module *m, const zn_param *p, zn_diags *d) {
    const char *lacks = misfit(m, &p->init, &p->type);
    if (lacks && d)
        zn_diag_add(d, ZN_DIAG_ZIR_VERIFY, p->span, "parameter `%s`: the formula `%s` needs %s", p->name,
                    zn_formula_names[p->init.kind], lacks);
    return !lacks;
}

bool zn_module_verify(zn_module *m, zn_diags *d) {
    bool ok = true;
    for (zn_param *p = m->params; p; p = p->next)
        if (!zn_type_valid(&p->type) || p->type.dtype != ZN_F32 || zn_param_find(m, p->name) != p) {
            if (d)
                zn_diag_add(d, ZN_DIAG_ZIR_VERIFY, p->span, "parameter `%s` has no valid type or no name of its own",
                            p->name);
            ok = false;
        } else {
            ok = verify_formula(m, p, d) && verify_calibration(p, d) && ok;
        }
    for (zn_func *f = m->funcs; f; f = f->next) {
        zn_arena scratch = {0};
        ok = verify_func(m, f, zn_new_n(&scratch, bool, m->nparams + 1), d) && ok;
        zn_arena_free(&scratch);
    }
    return ok;
}
