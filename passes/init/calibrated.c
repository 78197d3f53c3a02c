/* Starts that look at the data: whitening, lsuv, variance_aware. Here are their formulas and what the runtime is to do
 * behind them (zn_calibration); runtime/calibrate.c and runtime/whitening.c do it.
 *
 * whitening      K. Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv 2404.00498
 * lsuv           D. Mishkin, J. Matas, All you need is a good init, arXiv 1511.06422, algorithm 1
 * variance_aware P. Hermosilla et al., Variance-Aware Weight Initialization for Point Convolutional Neural Networks,
 * arXiv 2112.03777, section 3, of ordinary layers: the weights of an output are independent and have mean 0, so its
 * variance is theirs times the mean squared norm of what it is made of, zeros of padding included */
#include <math.h>

#include "ir/plan.h"
#include "passes/init/init.h"

zn_scheme zn_scheme_whitening, zn_scheme_lsuv, zn_scheme_variance_aware;

enum { MOST_TAPS = 1024 }; /* of a filter: the covariance is a matrix of so many rows */

/* What stands in the way of filters from patches; NULL if nothing does. */
static const char *obstacle(const zn_value *v) {
    if (v->op != ZN_OP_CONV)
        return "is a product with a matrix, not a convolution";
    const zn_type *x = &v->operand[0]->type, *w = &v->operand[1]->type;
    if (v->operand[0]->op != ZN_OP_ARG)
        return "reads what other layers compute";
    if (zn_conv_groups(v) > 1)
        return "is a convolution in groups";
    if (w->dim[0] > x->dim[1] || w->dim[1] > x->dim[2])
        return "has a kernel that is larger than the image";
    if (w->dim[0] * w->dim[1] * w->dim[2] > MOST_TAPS)
        return "has filters of more than 1024 numbers";
    return NULL;
}

static double fan_in(const zn_param *w) {
    return (double)(zn_type_count(&w->type) / zn_type_channels(&w->type));
}

/* What stands before the calibration. For variance_aware what the weights would be if every input had a mean square of
 * 1: a start in itself, where no data is seen. */
static zn_formula formula_of(const zn_param *w, const zn_calibration *k) {
    switch (k->kind) {
    case ZN_CALIBRATION_LSUV:
        return (zn_formula){.kind = ZN_FORMULA_ORTHOGONAL, .a = 1};
    case ZN_CALIBRATION_VARIANCE_AWARE:
        return (zn_formula){.kind = ZN_FORMULA_NORMAL, .a = (float)(k->a / sqrt(fan_in(w)))};
    default:
        return zn_formula_const(0);
    }
}

static void set(zn_param *w, zn_calibration k) {
    w->init = formula_of(w, &k);
    w->calibration = k;
}

void zn_init_drop_calibrations(zn_init *c) {
    for (zn_param *p = c->m->params; p; p = p->next) {
        zn_formula f = formula_of(p, &p->calibration);
        if (p->init.kind != f.kind || p->init.a != f.a || p->init.dirac)
            p->calibration = (zn_calibration){0};
    }
}

void zn_scheme_whitening(zn_init *c) {
    double eps = zn_option_float(c->m, ZN_ARG_SCHEME_WHITENING_eps);
    int64_t samples = zn_option_int(c->m, ZN_ARG_SCHEME_WHITENING_samples);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        const char *wrong = w ? obstacle(v) : NULL;
        if (wrong)
            zn_init_refuse(c, v, ZN_DIAG_INIT_DATA,
                           "`whitening` makes filters of patches of the images, and this layer %s", wrong);
        if (!w || wrong)
            continue;
        int64_t taps = (int64_t)fan_in(w), out = zn_type_channels(&w->type),
                made = out >= 2 * taps ? 2 * taps
                       : out < taps    ? out
                                       : taps;
        set(w, (zn_calibration){ZN_CALIBRATION_WHITENING, eps, samples});
        zn_pass_log(c->pass, "init: %s: whitening makes %lld of %lld filters, the others stay 0", w->name,
                    (long long)made, (long long)out);
    }
}

static void set_all(zn_init *c, zn_calibration k) {
    for (zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_own(c, v))
            set(zn_init_own(c, v), k);
}

void zn_scheme_lsuv(zn_init *c) {
    set_all(c, (zn_calibration){ZN_CALIBRATION_LSUV, zn_option_float(c->m, ZN_ARG_SCHEME_LSUV_tolerance),
                                zn_option_int(c->m, ZN_ARG_SCHEME_LSUV_tries)});
}

void zn_scheme_variance_aware(zn_init *c) {
    set_all(c, (zn_calibration){ZN_CALIBRATION_VARIANCE_AWARE, zn_option_float(c->m, ZN_ARG_SCHEME_VARIANCE_AWARE_gain),
                                zn_option_int(c->m, ZN_ARG_SCHEME_VARIANCE_AWARE_batches)});
}
