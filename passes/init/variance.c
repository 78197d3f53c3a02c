/* Random starts that keep the variance of activations or gradients from layer to layer: kaiming.
 *
 * Weights of convolutions and products are drawn by a formula (support/formula.h), keyed by the seed and the name of
 * the parameter; norms keep 1 and 0, and biases 0 where nothing else is said. Fans are those of PyTorch: fan_in = kh kw
 * in, fan_out = kh kw out. */
#include <math.h>

#include "passes/init/init.h"

zn_scheme zn_scheme_kaiming;

static zn_formula normal(double deviation) {
    return (zn_formula){ZN_FORMULA_NORMAL, (float)deviation, false};
}
static zn_formula uniform(double bound) {
    return (zn_formula){ZN_FORMULA_UNIFORM, (float)bound, false};
}

/* torchvision's ResNets: He et al., arXiv 1502.01852, with fan_out and the gain of relu; linear layers as PyTorch makes
 * them. */
void zn_scheme_kaiming(zn_init *c) {
    for (zn_value *v = c->f->first; v; v = v->next) {
        if (v->op == ZN_OP_CONV)
            zn_init_param(c, v)->init = normal(sqrt(2 / zn_init_fan_out(c, v)));
        else if (v->op == ZN_OP_MATMUL)
            zn_init_param(c, v)->init = uniform(1 / sqrt(zn_init_fan_in(c, v)));
        else if (v->op == ZN_OP_BIAS && v->operand[0]->op == ZN_OP_MATMUL)
            zn_init_param(c, v)->init = uniform(1 / sqrt(zn_init_fan_in(c, v->operand[0])));
    }
}
