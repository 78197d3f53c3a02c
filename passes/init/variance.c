/* Random starts that keep the variance of activations or gradients from layer to layer: kaiming, xavier, lecun,
 * fractional_moment; and normal and uniform numbers of a deviation or bound that the file computes.
 *
 * Weights of convolutions and products are drawn by a formula (support/formula.h), keyed by the seed and the name of
 * the parameter; norms keep 1 and 0, and biases 0 where nothing else is said. Fans are those of PyTorch: fan_in = kh kw
 * in, fan_out = kh kw out. */
#include <math.h>
#include <string.h>

#include "passes/init/init.h"

zn_scheme zn_scheme_kaiming, zn_scheme_xavier, zn_scheme_lecun, zn_scheme_normal, zn_scheme_uniform,
    zn_scheme_fractional_moment;

static zn_formula normal(double deviation) {
    return (zn_formula){.kind = ZN_FORMULA_NORMAL, .a = (float)deviation};
}
static zn_formula uniform(double bound) {
    return (zn_formula){.kind = ZN_FORMULA_UNIFORM, .a = (float)bound};
}

/* Is v the bias that a product has itself: of a parameter beside its weight, and not of a layer behind it? */
static bool is_bias_of_product(const zn_init *c, const zn_value *v) {
    if (v->op != ZN_OP_BIAS || v->operand[0]->op != ZN_OP_MATMUL)
        return false;
    const char *bias = zn_init_param(c, v)->name, *weight = zn_init_param(c, v->operand[0])->name,
               *dot = strrchr(weight, '.');
    size_t n = dot ? (size_t)(dot - weight) : 0;
    return !dot || (!strncmp(bias, weight, n) && bias[n] == '.' && !strchr(bias + n + 1, '.'));
}

/* A normal or uniform distribution of this variance: U(-a, a) has a^2 / 3. */
static zn_formula with_variance(double variance, double gain, bool is_uniform) {
    return is_uniform ? uniform(gain * sqrt(3 * variance)) : normal(gain * sqrt(variance));
}

/* He et al., arXiv 1502.01852, equations 10 and 14; linear layers as PyTorch makes them, unless they are to be the
 * same.
 */
void zn_scheme_kaiming(zn_init *c) {
    bool is_uniform = zn_option_word(c->m, ZN_ARG_SCHEME_KAIMING_distribution) == 1;
    bool in = zn_option_word(c->m, ZN_ARG_SCHEME_KAIMING_fan) == 1;
    bool torch = zn_option_word(c->m, ZN_ARG_SCHEME_KAIMING_linear) == 0;
    double gain = zn_option_float(c->m, ZN_ARG_SCHEME_KAIMING_gain);
    for (zn_value *v = c->f->first; v; v = v->next) {
        bool bias = is_bias_of_product(c, v) && torch;
        if (!(zn_init_weighted(v) || bias) || !zn_init_selected(c, zn_init_param(c, v)))
            continue;
        const zn_value *layer = bias ? v->operand[0] : v;
        double fan = in ? zn_init_fan_in(c, layer) : zn_init_fan_out(c, layer);
        bool as_torch = layer->op == ZN_OP_MATMUL && torch;
        zn_init_param(c, v)->init =
            as_torch ? uniform(1 / sqrt(zn_init_fan_in(c, layer))) : with_variance(1 / fan, gain, is_uniform);
    }
}

/* Glorot and Bengio, AISTATS 2010, equations 12 and 16, with the gain of PyTorch's xavier_normal_ and xavier_uniform_.
 */
void zn_scheme_xavier(zn_init *c) {
    bool is_uniform = zn_option_word(c->m, ZN_ARG_SCHEME_XAVIER_distribution) == 1;
    double gain = zn_option_float(c->m, ZN_ARG_SCHEME_XAVIER_gain);
    for (zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_weighted(v) && zn_init_selected(c, zn_init_param(c, v)))
            zn_init_param(c, v)->init =
                with_variance(2 / (zn_init_fan_in(c, v) + zn_init_fan_out(c, v)), gain, is_uniform);
}

/* LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998, equation 16. */
void zn_scheme_lecun(zn_init *c) {
    bool is_uniform = zn_option_word(c->m, ZN_ARG_SCHEME_LECUN_distribution) == 1;
    double gain = zn_option_float(c->m, ZN_ARG_SCHEME_LECUN_gain);
    for (zn_value *v = c->f->first; v; v = v->next)
        if (zn_init_weighted(v) && zn_init_selected(c, zn_init_param(c, v)))
            zn_init_param(c, v)->init = with_variance(1 / zn_init_fan_in(c, v), gain, is_uniform);
}

/* ---- what the file computes */

static void draw(zn_init *c, int arg, zn_formula (*of)(double)) {
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (w)
            w->init = of(zn_init_of_fans(c, v, arg));
    }
}
void zn_scheme_normal(zn_init *c) {
    draw(c, ZN_ARG_SCHEME_NORMAL_deviation, normal);
}
void zn_scheme_uniform(zn_init *c) {
    draw(c, ZN_ARG_SCHEME_UNIFORM_bound, uniform);
}

/* ---- fractional moments */

/* The activation behind a layer, after biases, trained numbers and norms; NULL if there is none, or several. */
static const zn_value *activation_behind(const zn_value *v) {
    do
        v = v->nuses == 1 && v->first_use ? v->first_use->user : NULL;
    while (v && (v->op == ZN_OP_BIAS || v->op == ZN_OP_SHIFT || v->op == ZN_OP_BN || v->op == ZN_OP_LAYERNORM));
    return v;
}

/* Variances of normal weights for fan-in n that keep E |x_L|^s, to second order in 1 / n: relu, leaky_relu with slope
 * a, and linear layers (AISTATS 2021, arXiv 2005.11878, and the code of its authors). */
static double moment_variance(const zn_value *activation, double n, double s) {
    if (activation && activation->op == ZN_OP_RELU)
        return 2 / n + 5 * (2 - s) / (2 * n * n);
    if (activation && activation->op == ZN_OP_LEAKY_RELU) {
        double a = (double)zn_attr_of(activation, LEAKY_RELU, slope)->f, square = a * a;
        return 2 / ((1 + square) * n) + (2 - s) * ((5 * s - 24) * square + 10) / ((2 * (s + 2) * square + 4) * n * n);
    }
    return 1 / n + (2 - s) / (2 * n * n);
}

void zn_scheme_fractional_moment(zn_init *c) {
    double s = zn_option_float(c->m, ZN_ARG_SCHEME_FRACTIONAL_MOMENT_s);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        double variance = w ? moment_variance(activation_behind(v), zn_init_fan_in(c, v), s) : 1;
        if (!(variance > 0)) /* the series ends after 1 / n^2 */
            zn_init_refuse(c, v, ZN_DIAG_INIT_SHAPE,
                           "`fractional_moment` has no variance for this layer: its formula gives %g for fan_in %g",
                           variance, zn_init_fan_in(c, v));
        else if (w)
            w->init = normal(sqrt(variance));
    }
}
