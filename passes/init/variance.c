/* Random starts that keep the variance of activations or gradients from layer to layer: kaiming, xavier, lecun.
 *
 * Weights of convolutions and products are drawn by a formula (support/formula.h), keyed by the seed and the name of
 * the parameter; norms keep 1 and 0, and biases 0 where nothing else is said. Fans are those of PyTorch: fan_in = kh kw
 * in, fan_out = kh kw out. */
#include <math.h>
#include <string.h>

#include "passes/init/init.h"

zn_scheme zn_scheme_kaiming, zn_scheme_xavier, zn_scheme_lecun;

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

/* torchvision's ResNets: He et al., arXiv 1502.01852, with fan_out and the gain of relu; linear layers as PyTorch makes
 * them. */
void zn_scheme_kaiming(zn_init *c) {
    for (zn_value *v = c->f->first; v; v = v->next) {
        bool bias = is_bias_of_product(c, v);
        if (!(zn_init_weighted(v) || bias) || !zn_init_selected(c, zn_init_param(c, v)))
            continue;
        if (v->op == ZN_OP_CONV)
            zn_init_param(c, v)->init = normal(sqrt(2 / zn_init_fan_out(c, v)));
        else if (v->op == ZN_OP_MATMUL)
            zn_init_param(c, v)->init = uniform(1 / sqrt(zn_init_fan_in(c, v)));
        else
            zn_init_param(c, v)->init = uniform(1 / sqrt(zn_init_fan_in(c, v->operand[0])));
    }
}

/* A normal or uniform distribution of this variance: U(-a, a) has a^2 / 3. */
static zn_formula with_variance(double variance, double gain, bool is_uniform) {
    return is_uniform ? uniform(gain * sqrt(3 * variance)) : normal(gain * sqrt(variance));
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
