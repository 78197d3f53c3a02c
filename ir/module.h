/* The IR: a module of parameters, configuration and functions in SSA form.
 *
 * Everything in a module lives in module->arena. Values form a doubly linked list per function, in order of execution.
 * Every value knows where it came from: span (the user's file) and path (structure: "stage2.0"). */
#ifndef ZN_IR_MODULE_H
#define ZN_IR_MODULE_H

#include "ir/op.h"
#include "support/arena.h"
#include "support/buf.h"
#include "support/diag.h"
#include "support/formula.h"

#define ZN_MAX_RANK 4
typedef enum zn_dtype { ZN_F32, ZN_I32 } zn_dtype;
typedef struct zn_type {
    zn_dtype dtype;
    int rank; /* 0 is a scalar */
    int64_t dim[ZN_MAX_RANK];
} zn_type;

zn_type zn_type_make(zn_dtype dtype, int rank, const int64_t *dim);
bool zn_type_equal(const zn_type *a, const zn_type *b);
/* Elements; the verifier has made sure that it fits. */
int64_t zn_type_count(const zn_type *t);
/* Last dimension; 1 for scalars. */
int64_t zn_type_channels(const zn_type *t);
/* "f32[128, 32, 32, 16]" */
void zn_type_print(const zn_type *t, zn_buf *out);
/* False if the number of bytes does not fit in 2^46 or a dimension is < 1. */
bool zn_type_valid(const zn_type *t);

enum { ZN_MAX_FREEZE = 4 }; /* different epochs after which parameters are frozen */

/* What a parameter is. Values are part of the ABI (runtime/abi.h). */
#define ZN_ROLES(X)                                                                                                    \
    X(WEIGHT, "weight")                                                                                                \
    X(BIAS, "bias")                                                                                                    \
    X(NORM_SCALE, "norm_scale")                                                                                        \
    X(NORM_BIAS, "norm_bias")                                                                                          \
    X(RUNNING_MEAN, "running_mean")                                                                                    \
    X(RUNNING_VAR, "running_var")                                                                                      \
    X(SCALAR, "scalar")                                                                                                \
    X(MOMENTUM, "momentum") /* from here on optimizer state: not in the weights file */                                \
    X(MOMENT1, "moment1")                                                                                              \
    X(MOMENT2, "moment2")                                                                                              \
    X(AVERAGE, "average")
typedef enum zn_role {
#define X(ID, text) ZN_ROLE_##ID,
    ZN_ROLES(X)
#undef X
        ZN_ROLE_COUNT
} zn_role;
extern const char *const zn_role_names[ZN_ROLE_COUNT];
bool zn_role_trained(zn_role r); /* gets a gradient */
bool zn_role_saved(zn_role r);   /* stands in the weights file */

/* What the runtime does to a weight once it sees data, after its formula: a start that is calibrated. Values are part
 * of the ABI. whitening(eps, samples)         filters from the patches of so many images (runtime/whitening.c)
 *   lsuv(tolerance, tries)          divided until the layer's output has variance 1
 *   variance_aware(gain, batches)   times gain / sqrt(V) / a of its formula normal(a), V the mean squared norm of what
 * the layer multiplies its weights with */
#define ZN_CALIBRATIONS(X)                                                                                             \
    X(NONE, "")                                                                                                        \
    X(WHITENING, "whitening")                                                                                          \
    X(LSUV, "lsuv")                                                                                                    \
    X(VARIANCE_AWARE, "variance_aware")
typedef enum zn_calibration_kind {
#define X(ID, text) ZN_CALIBRATION_##ID,
    ZN_CALIBRATIONS(X)
#undef X
        ZN_CALIBRATION_COUNT
} zn_calibration_kind;
extern const char *const zn_calibration_names[ZN_CALIBRATION_COUNT];
typedef struct zn_calibration {
    zn_calibration_kind kind;
    double a;  /* eps, tolerance, gain: above 0 */
    int64_t n; /* samples, tries, batches: at least 1 */
} zn_calibration;

typedef struct zn_value zn_value;
typedef struct zn_param {
    const char *name; /* structural path with its leaf: "stage2.0.conv1.weight" */
    zn_type type;     /* convolution weights are [kh, kw, in, out], linear weights [in, out] */
    zn_role role;
    zn_formula init;
    zn_calibration calibration; /* after init */
    float decay;                /* weight decay */
    float rate;                 /* factor of the learning rate */
    double freeze;              /* epochs that it is trained for: 0 not at all, infinite to the end */
    zn_span span;
    size_t index; /* in order of the list */
    struct zn_param *next;
} zn_param;

/* Operand `index` of `user` is the value whose list this stands in. */
typedef struct zn_use {
    zn_value *user;
    int index;
    struct zn_use *prev, *next;
} zn_use;

struct zn_value {
    zn_op op;
    zn_type type;
    int noperands;
    zn_value **operand;           /* changed by zn_value_set_operand only */
    zn_use *use;                  /* one per operand: its place in the operand's list of uses */
    zn_use *first_use, *last_use; /* who reads this value, in order of making */
    int nuses;                    /* operands and results that are this value */
    int nresults;                 /* results of the function among them */
    zn_attr *attr;                /* zn_op_attr_count(op) */
    const char *name;             /* in IR text, unique in the function (ir/names.c); NULL: not yet given */
    const char *path;             /* "" at the top */
    zn_span span;
    int group; /* kernel it was fused into, by pass fuse; -1 before */
    bool keep; /* lies in memory until the end of the function, so that a program can hand it out */
    int id;    /* place in the function, from 0; valid after zn_func_number */
    zn_value *prev, *next;
    void *note; /* scratch of the pass that runs */
};

typedef struct zn_func {
    const char *name; /* "forward", "train_step", "eval_step", "calibrate" */
    zn_value *first, *last;
    ZN_VEC(zn_value *) args;    /* also in the list */
    ZN_VEC(zn_value *) results; /* what the function returns; changed by zn_func_return and zn_value_replace only */
    zn_span text;               /* where its name stands in the IR text that it was read from; line 0: it was not */
    struct zn_func *next;
} zn_func;

/* Configuration: everything of the file that is not the network, as sorted keys ("train.lr", "data.source"). */
typedef enum zn_conf_kind { ZN_CONF_INT, ZN_CONF_FLOAT, ZN_CONF_BOOL, ZN_CONF_STR, ZN_CONF_FLOATS } zn_conf_kind;
typedef struct zn_conf {
    const char *key;
    zn_conf_kind kind;
    int64_t i; /* INT, BOOL */
    double f;
    const char *s;
    size_t n; /* FLOATS */
    const double *v;
    zn_span span;
    struct zn_conf *next;
} zn_conf;

typedef struct zn_module {
    zn_arena arena;
    const char *name;
    zn_param *params, *last_param; /* in order of creation: also the order in memory and files */
    size_t nparams;
    zn_param **by_name; /* hash table of the list; size a power of two, 0 before the first */
    size_t by_name_size;
    zn_conf *conf, *last_conf; /* sorted by key */
    zn_func *funcs;
    const char *option_scope; /* while a rule of init runs: the prefix of its options, "init.rule0"; else NULL */
} zn_module;

zn_module *zn_module_new(const char *name);
void zn_module_free(zn_module *m);

zn_func *zn_func_new(zn_module *m, const char *name);
zn_func *zn_func_find(const zn_module *m, const char *name);
void zn_func_remove(zn_module *m, zn_func *f);
/* Is f a program, that is, to be run as code? All but @forward are. */
bool zn_func_is_program(const zn_func *f);
/* The value in whose memory v lies if it is a part or another shape of it; else v. */
const zn_value *zn_value_viewed(const zn_value *v);
/* Gives values dense numbers in order. */
void zn_func_number(zn_func *f);

/* Is p given a gradient: of a trained role, and not frozen from the start? */
bool zn_param_trained(const zn_param *p);
/* The epochs after which parameters are frozen, ascending, in at most ZN_MAX_FREEZE steps; their number, or -1 if there
 * are more. */
int zn_freeze_epochs(const zn_module *m, double epochs[ZN_MAX_FREEZE]);

/* The weight of a convolution or product that is calibrated by running the network: by lsuv or variance_aware. NULL for
 * other values. */
const zn_param *zn_value_calibrated(const zn_module *m, const zn_value *v);

/* NULL if there is none. Time does not depend on the number of parameters. */
zn_param *zn_param_find(const zn_module *m, const char *name);
zn_param *zn_param_new(zn_module *m, const char *name, zn_type type, zn_role role, zn_formula init, zn_span span);
/* Keeps those with keep[index], in order, and numbers them again. */
void zn_params_filter(zn_module *m, const bool *keep);

/* Setting a key twice replaces it. */
void zn_conf_set_int(zn_module *m, const char *key, int64_t x, zn_span at);
void zn_conf_set_float(zn_module *m, const char *key, double x, zn_span at);
void zn_conf_set_bool(zn_module *m, const char *key, bool x, zn_span at);
void zn_conf_set_str(zn_module *m, const char *key, const char *x, zn_span at);
void zn_conf_set_floats(zn_module *m, const char *key, size_t n, const double *v, zn_span at);
const zn_conf *zn_conf_get(const zn_module *m, const char *key); /* NULL if absent */
int64_t zn_conf_int(const zn_module *m, const char *key, int64_t otherwise);
double zn_conf_float(const zn_module *m, const char *key, double otherwise); /* an INT counts as a float */
bool zn_conf_bool(const zn_module *m, const char *key, bool otherwise);
const char *zn_conf_str(const zn_module *m, const char *key, const char *otherwise);

/* Building. Attributes start at their defaults; set them, then call zn_value_infer, which sets type.
 * The value is put in front of `before`, or at the end of f if that is NULL. operands are copied. */
zn_value *zn_value_new(zn_module *m, zn_func *f, zn_value *before, zn_op op, int n, zn_value *const *operand,
                       zn_span span, const char *path);
/* Computes v->type from operands and attributes; reports to d (may be NULL) and returns false if they do not fit. */
bool zn_value_infer(zn_module *m, zn_value *v, zn_diags *d);
/* An argument of f. */
zn_value *zn_arg_new(zn_module *m, zn_func *f, zn_type type, const char *name);
/* Reads parameter p. */
zn_value *zn_param_read(zn_module *m, zn_func *f, zn_value *before, const zn_param *p, const char *path);
void zn_func_return(zn_module *m, zn_func *f, zn_value *v);

/* Takes v out of f. Nothing that stays may use it. */
void zn_value_remove(zn_func *f, zn_value *v);
/* `to` may be NULL while a value is being built. */
void zn_value_set_operand(zn_value *v, int i, zn_value *to);
/* Every use of `old` in f, results included, becomes a use of `by`, but for the operands of `but` (NULL: of none). Time
 * depends on the number of uses only. */
void zn_value_replace(zn_func *f, zn_value *old, zn_value *by, const zn_value *but);

/* Attribute `name` of a value of op OP: zn_attr_of(v, CONV, stride)->v[0]. The op must be right. */
#define zn_attr_of(v, OP, name) (&(v)->attr[ZN_ATTR_ALL_##OP##_##name - zn_op_attr_first(ZN_OP_##OP)])

/* Names for values that have none (ir/names.c). Names are given after the front end and after every pass. */
void zn_func_name_values(zn_module *m, zn_func *f);
void zn_module_name_values(zn_module *m);

/* Text. Reading what was printed and printing it again gives the same bytes. */
void zn_module_print(zn_module *m, zn_buf *out);
/* Without places in the user's file: for reading and for diffs. */
void zn_module_print_no_loc(zn_module *m, zn_buf *out);
/* The same with what `note` appends to the line of each parameter and value, of which the other is NULL: comments
 * ("# ..."), so that it reads back. */
typedef void zn_print_note(void *ctx, const zn_param *p, const zn_value *v, zn_buf *out);
void zn_module_print_noted(zn_module *m, bool loc, zn_print_note *note, void *ctx, zn_buf *out);
/* NULL after reporting to d. */
zn_module *zn_module_parse(const char *text, size_t n, zn_diags *d);
/* Structure, arity, attributes, types (inferred again), order of definition and use, names of parameters.
 * Reports to d; false if anything is wrong. */
bool zn_module_verify(zn_module *m, zn_diags *d);

/* How many shards a reduction over a batch of n images is cut into: the largest power of two <= min(n, 16).
 * Shard s holds images s * n / shards up to (s + 1) * n / shards. */
int64_t zn_shard_count(int64_t n);
#define ZN_MAX_SHARDS 64 /* of a gradient by weights */
/* Shards of statistics and channel sums of an [n, ..., c] tensor with `spatial` positions an image, each of at least 64
 * positions: as few images as that takes and divide n, if those are at most three times as many as it takes; else n is
 * cut as by zn_shard_count, into shards that differ by one image. */
int64_t zn_stats_shards(int64_t n, int64_t spatial);

#endif
