/* Tables of operations and attributes, expanded from their lists. */
#include "ir/op.h"

#include <stddef.h>
#include <string.h>

const zn_op_info zn_op_table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc)                                              \
    [ZN_OP_##ID] = {text, n, traits, ZN_KERNEL_##kernel, #infer, #grad, doc},
#include "ir/ops.def"
};

const zn_attr_info zn_attr_table[ZN_ATTR_ALL_COUNT] = {
#define ZN_ATTR(OP, name, kind, def) [ZN_ATTR_ALL_##OP##_##name] = {ZN_OP_##OP, #name, ZN_ATTR_##kind, def},
#include "ir/attrs.def"
};

const char *const zn_hyper_names[ZN_HYPER_COUNT] = {
#define ZN_HYPER(ID, text, field, doc) [ZN_HYPER_##ID] = text,
#include "ir/hypers.def"
};

zn_hyper zn_hyper_find(const char *name) {
    int i = 0;
    while (i < ZN_HYPER_COUNT && strcmp(zn_hyper_names[i], name))
        i++;
    return (zn_hyper)i;
}

/* The attributes of an op stand together, so the last row wins here: one behind the op's last attribute; 0 = none. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const int attr_end[ZN_OP_COUNT] = {
#define ZN_ATTR(OP, name, kind, def) [ZN_OP_##OP] = ZN_ATTR_ALL_##OP##_##name + 1,
#include "ir/attrs.def"
};
#pragma GCC diagnostic pop

int zn_op_attr_count(zn_op op) {
    int n = 0;
    while (n < attr_end[op] && zn_attr_table[attr_end[op] - n - 1].op == op)
        n++;
    return n;
}

int zn_op_attr_first(zn_op op) {
    return attr_end[op] - zn_op_attr_count(op);
}

zn_op zn_op_from_text(const char *text) {
    for (int i = 0; i < ZN_OP_COUNT; i++)
        if (!strcmp(zn_op_table[i].text, text))
            return (zn_op)i;
    return ZN_OP_COUNT;
}
