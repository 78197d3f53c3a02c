/* The scheme hadamard: +c and -c over whole kernels, as deterministic as zero and as dense as a random start.
 *
 * Three matrices of signs (support/signs.h). The last layer of each residual branch and the head are 0 unless the
 * options say otherwise, as with zero. */
#include <math.h>

#include "passes/init/branch.h"
#include "support/signs.h"

zn_scheme zn_scheme_hadamard;

enum { FORM_SYLVESTER, FORM_GOLD, FORM_PALEY };
enum { ORDER_AUTO, ORDER_NATURAL, ORDER_SPANNING };

static zn_formula signs(zn_init *c, const zn_value *v, const zn_param *w, int64_t q) {
    static const zn_formula_kind kinds[] = {ZN_FORMULA_DENSE_HADAMARD, ZN_FORMULA_GOLD, ZN_FORMULA_PALEY};
    double gain = zn_option_float(c->m, ZN_ARG_SCHEME_HADAMARD_gain);
    double fan = zn_option_word(c->m, ZN_ARG_SCHEME_HADAMARD_fan) == 1 ? zn_init_fan_in(c, v) : zn_init_fan_out(c, v);
    int order = zn_option_word(c->m, ZN_ARG_SCHEME_HADAMARD_order),
        form = zn_option_word(c->m, ZN_ARG_SCHEME_HADAMARD_form);
    int64_t entries = (int64_t)zn_init_fan_in(c, v), out = zn_type_channels(&w->type);
    zn_formula f = {.kind = kinds[form], .a = (float)(gain / sqrt(fan))};
    if (form == FORM_SYLVESTER) {
        f.q = q ? q : zn_dense_step(out, entries);
        f.spanning = order == ORDER_SPANNING || (order == ORDER_AUTO && !zn_dense_distinct(out, entries));
    }
    if (form == FORM_GOLD && out > 1 << ZN_GOLD_BITS)
        zn_init_refuse(c, v, ZN_DIAG_INIT_SHAPE,
                       "`hadamard(form = gold)` is for at most 2^%d outputs; this layer has %lld", (int)ZN_GOLD_BITS,
                       (long long)out);
    return f;
}

void zn_scheme_hadamard(zn_init *c) {
    int64_t q = zn_option_int(c->m, ZN_ARG_SCHEME_HADAMARD_q);
    bool given = zn_option_given(c->m, ZN_ARG_SCHEME_HADAMARD_relu_at_zero), any = false;
    if (q && q % 2 == 0) {
        zn_init_refuse(c, c->f->first, ZN_DIAG_INIT_OPTION,
                       "`q` of `hadamard` is the step through 2^n rows and must be odd; it is %lld", (long long)q);
        return;
    }
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (w)
            w->init = signs(c, v, w, q);
        any = any || w;
    }
    for (zn_value *v = c->f->first; v && zn_option_word(c->m, ZN_ARG_SCHEME_HADAMARD_branch) == 0; v = v->next) {
        zn_value *last = v->op == ZN_OP_RESIDUAL ? zn_branch_last(v) : NULL;
        zn_param *w = last ? zn_init_own(c, last) : NULL;
        if (w)
            w->init = zn_formula_const(0);
    }
    zn_value *head = zn_init_head(c);
    zn_param *w = head ? zn_init_own(c, head) : NULL;
    if (w && zn_option_word(c->m, ZN_ARG_SCHEME_HADAMARD_head) == 0)
        w->init = zn_formula_const(0);
    for (zn_value *v = c->f->first; v && given && any; v = v->next)
        if (v->op == ZN_OP_RELU)
            zn_attr_of(v, RELU, at_zero)->i = zn_option_int(c->m, ZN_ARG_SCHEME_HADAMARD_relu_at_zero);
}
