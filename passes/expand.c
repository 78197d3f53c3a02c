/* Layers as compositions of primitives, each written once.
 *
 * What a user calls a layer is one operation of @forward, so that passes before the gradient see what it is; the
 * functions of a step have its expansion. The last value keeps the layer's name, all keep its place and path. */
#include <math.h>

#include "passes/util.h"
#include "support/ice.h"

typedef struct expansion {
    zn_module *m;
    zn_func *f;
    const zn_value *layer;
} expansion;

static zn_value *make(const expansion *e, zn_op op, zn_value *a, zn_value *b) {
    zn_value *operand[2] = {a, b};
    return zn_value_new(e->m, e->f, NULL, op, b ? 2 : 1, operand, e->layer->span, e->layer->path);
}
static zn_value *typed(const expansion *e, zn_value *v) {
    if (!zn_value_infer(e->m, v, NULL))
        ZN_ICE("the expansion of `%s` has no type", zn_op_table[e->layer->op].text);
    return v;
}
static zn_value *times(const expansion *e, zn_value *x, double k) {
    zn_value *v = make(e, ZN_OP_MUL_CONST, x, NULL);
    zn_attr_of(v, MUL_CONST, value)->f = k;
    return typed(e, v);
}
static zn_value *plus(const expansion *e, zn_value *x, double k) {
    zn_value *v = make(e, ZN_OP_ADD_CONST, x, NULL);
    zn_attr_of(v, ADD_CONST, value)->f = k;
    return typed(e, v);
}
static zn_value *unary(const expansion *e, zn_op op, zn_value *x) {
    return typed(e, make(e, op, x, NULL));
}
static zn_value *binary(const expansion *e, zn_op op, zn_value *a, zn_value *b) {
    return typed(e, make(e, op, a, b));
}

typedef zn_value *expand_fn(const expansion *e, zn_value *x);

/* (1 + tanh(x / 2)) / 2 */
static zn_value *sigmoid(const expansion *e, zn_value *x) {
    return plus(e, times(e, unary(e, ZN_OP_TANH, times(e, x, 0.5)), 0.5), 0.5);
}

static zn_value *silu(const expansion *e, zn_value *x) {
    return binary(e, ZN_OP_MUL, x, sigmoid(e, x));
}

static zn_value *broadcast(const expansion *e, zn_value *x, int64_t channels) {
    zn_value *v = make(e, ZN_OP_BROADCAST, x, NULL);
    zn_attr_of(v, BROADCAST, channels)->i = channels;
    return typed(e, v);
}

/* exp(x - max) / sum */
static zn_value *softmax(const expansion *e, zn_value *x) {
    int64_t c = zn_type_channels(&x->type);
    zn_value *most = broadcast(e, unary(e, ZN_OP_REDUCE_MAX, x), c);
    zn_value *power = unary(e, ZN_OP_EXP, binary(e, ZN_OP_SUB, x, most));
    return binary(e, ZN_OP_DIV, power, broadcast(e, unary(e, ZN_OP_REDUCE_SUM, power), c));
}

/* x > 0 ? x : slope x, of a slope below 1 */
static zn_value *leaky_relu(const expansion *e, zn_value *x) {
    return binary(e, ZN_OP_MAX, x, times(e, x, zn_attr_of(e->layer, LEAKY_RELU, slope)->f));
}

static expand_fn *const expansions[ZN_OP_COUNT] = {
    [ZN_OP_LEAKY_RELU] = leaky_relu,
    [ZN_OP_SIGMOID] = sigmoid,
    [ZN_OP_SILU] = silu,
    [ZN_OP_SOFTMAX] = softmax,
};

zn_value *zn_expand(zn_module *m, zn_func *f, const zn_value *layer, zn_value *const *operand) {
    return expansions[layer->op] ? expansions[layer->op](&(expansion){m, f, layer}, operand[0]) : NULL;
}
