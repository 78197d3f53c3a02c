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

void zn_scheme_whitening(zn_init *c) {
    double eps = zn_option_float(c->m, ZN_ARG_SCHEME_WHITENING_eps);
    int64_t samples = zn_option_int(c->m, ZN_ARG_SCHEME_WHITENING_samples);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_weighted(v) ? zn_init_param(c, v) : NULL;
        if (!w || !zn_init_selected(c, w))
            continue;
        const char *wrong = obstacle(v);
        if (wrong) {
            zn_diag_add(c->pass->diags, ZN_DIAG_INIT_DATA, v->span,
                        "`whitening` makes filters of patches of the images, and this layer %s", wrong);
            c->failed = true;
            continue;
        }
        const int64_t *d = w->type.dim;
        int64_t taps = d[0] * d[1] * d[2], made = d[3] >= 2 * taps ? 2 * taps : d[3] < taps ? d[3] : taps;
        w->init = zn_formula_const(0);
        w->calibration = (zn_calibration){ZN_CALIBRATION_WHITENING, eps, samples};
        zn_pass_log(c->pass, "%s: whitening makes %lld filters of patches, the other %lld of %lld stay 0", w->name,
                    (long long)made, (long long)(d[3] - made), (long long)d[3]);
    }
}

void zn_scheme_lsuv(zn_init *c) {
    double tolerance = zn_option_float(c->m, ZN_ARG_SCHEME_LSUV_tolerance);
    int64_t tries = zn_option_int(c->m, ZN_ARG_SCHEME_LSUV_tries);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_weighted(v) ? zn_init_param(c, v) : NULL;
        if (w && zn_init_selected(c, w)) {
            w->init = (zn_formula){.kind = ZN_FORMULA_ORTHOGONAL, .a = 1};
            w->calibration = (zn_calibration){ZN_CALIBRATION_LSUV, tolerance, tries};
        }
    }
}

void zn_scheme_variance_aware(zn_init *c) {
    double gain = zn_option_float(c->m, ZN_ARG_SCHEME_VARIANCE_AWARE_gain);
    int64_t batches = zn_option_int(c->m, ZN_ARG_SCHEME_VARIANCE_AWARE_batches);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_weighted(v) ? zn_init_param(c, v) : NULL;
        if (w && zn_init_selected(c, w)) {
            /* What it would be if every input had a mean square of 1: a start in itself, where no data is seen. */
            w->init = (zn_formula){.kind = ZN_FORMULA_NORMAL, .a = (float)(gain / sqrt(zn_init_fan_in(c, v)))};
            w->calibration = (zn_calibration){ZN_CALIBRATION_VARIANCE_AWARE, gain, batches};
        }
    }
}
