/* What is known of each operation: the expansion of ir/ops.def and ir/attrs.def. */
#ifndef ZN_IR_OP_H
#define ZN_IR_OP_H

#include <stdbool.h>
#include <stdint.h>

typedef enum zn_op {
#define ZN_OP(ID, ...) ZN_OP_##ID,
#define ZN_MAP_OP(ID, ...) ZN_OP_##ID,
#include "ir/ops.def"
    ZN_OP_COUNT
} zn_op;

/* Families of kernels: ir/kernels.def. */
typedef enum zn_kernel_family {
    ZN_KERNEL_NONE,
    ZN_KERNEL_ALIAS, /* no kernel: the result lies inside the operand's buffer */
#define ZN_KERNEL(ID, name, plan, emit, doc) ZN_KERNEL_##ID,
#include "ir/kernels.def"
    ZN_KERNEL_COUNT
} zn_kernel_family;

enum {
    ZN_T_LEAF = 1,   /* no computation */
    ZN_T_EFFECT = 2, /* has no value: lives for what it does */
    ZN_T_MAP = 4, /* elementwise: result i depends on element i of operand 0's shape, on its channel and on scalars */
    ZN_T_OF_PARAM = 16, /* its attribute `name` is that of a parameter, which stands as operand in text: @name */
    ZN_T_COMMUTES = 8,  /* f(a, b) == f(b, a), bit for bit but for NaN payloads */
    ZN_T_ACTIVATION = 32,
    ZN_T_LONG = 64, /* takes tens of instructions an element */
};

/* Numbers of a step: ir/hypers.def. */
typedef enum zn_hyper {
#define ZN_HYPER(ID, text, field, doc) ZN_HYPER_##ID,
#include "ir/hypers.def"
    ZN_HYPER_COUNT
} zn_hyper;
extern const char *const zn_hyper_names[ZN_HYPER_COUNT];
/* ZN_HYPER_COUNT if there is none. */
zn_hyper zn_hyper_find(const char *name);

typedef enum zn_attr_kind { ZN_ATTR_INT, ZN_ATTR_FLOAT, ZN_ATTR_BOOL, ZN_ATTR_INTS, ZN_ATTR_STR } zn_attr_kind;

#define ZN_INTS_MAX 4
typedef struct zn_attr {
    int64_t i; /* INT, BOOL */
    double f;
    const char *s;
    int n; /* INTS */
    int64_t v[ZN_INTS_MAX];
} zn_attr;

/* Number of an attribute in the table of all: ZN_ATTR_ALL_CONV_stride. Those of an op stand together. */
enum {
#define ZN_ATTR(OP, name, kind, def) ZN_ATTR_ALL_##OP##_##name,
#include "ir/attrs.def"
    ZN_ATTR_ALL_COUNT
};

typedef struct zn_attr_info {
    zn_op op;
    const char *name;
    zn_attr_kind kind;
    const char *def; /* "" = required */
} zn_attr_info;
extern const zn_attr_info zn_attr_table[ZN_ATTR_ALL_COUNT];

typedef struct zn_op_info {
    const char *text;
    int operands;
    unsigned traits;
    zn_kernel_family kernel;
    const char *infer_name, *grad_name; /* names of the hooks, for lists and the completeness test */
    const char *doc;
} zn_op_info;
extern const zn_op_info zn_op_table[ZN_OP_COUNT];

/* First attribute of op in zn_attr_table and how many it has. */
int zn_op_attr_first(zn_op op);
int zn_op_attr_count(zn_op op);
/* ZN_OP_COUNT if there is none. */
zn_op zn_op_from_text(const char *text);

#endif
