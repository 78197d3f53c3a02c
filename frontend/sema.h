/* Private to the front end: meaning of a syntax tree.
 *
 * In this order: names are resolved over the whole text, reached or not (names.c); params and lets get values (eval.c);
 * the data, init and train sections are evaluated (config.c); the model is unrolled into a tree of layers with shapes
 * (net.c); lower.c makes IR of that. One mistake gives one error: what was reported becomes a bad value or a poisoned
 * shape, and whatever meets one of these stays silent. */
#ifndef ZN_FRONTEND_SEMA_H
#define ZN_FRONTEND_SEMA_H

#include "frontend/ast.h"
#include "frontend/frontend.h"
#include "ir/schema.h"
#include "support/table.h"

/* ---- values of expressions ---- */
typedef enum zn_val_kind { ZN_V_BAD, ZN_V_INT, ZN_V_FLOAT, ZN_V_BOOL, ZN_V_STR, ZN_V_LIST } zn_val_kind;
typedef struct zn_val {
    zn_val_kind kind;
    int64_t i; /* INT, BOOL */
    double f;
    const char *s;
    const struct zn_val *list;
    size_t n;
} zn_val;

/* Values of block parameters and loop variables, innermost first. */
typedef struct zn_env {
    const char *name;
    const zn_val *val;
    const struct zn_env *up;
} zn_env;

/* ---- the model, unrolled ---- */
/* A value without the batch: rank 3 is [h, w, c], rank 1 [features]. */
typedef struct zn_shape {
    bool bad; /* poisoned */
    int rank;
    int64_t dim[3];
} zn_shape;

typedef enum zn_node_kind {
    ZN_NODE_CONV,
    ZN_NODE_LINEAR,
    ZN_NODE_NORM,
    ZN_NODE_NUMBERS, /* trained numbers that scale or shift */
    ZN_NODE_SIMPLE,  /* one operation, whose attributes are the options of the same name */
    ZN_NODE_SUBSAMPLE,
    ZN_NODE_PAD_CHANNELS,
    ZN_NODE_SLICE_CHANNELS,
    ZN_NODE_HADAMARD,
    ZN_NODE_MULTIPLY, /* by a constant */
    ZN_NODE_NAME,     /* the value so far gets a name */
    ZN_NODE_FROM,     /* a named value again */
    ZN_NODE_JOIN,     /* with a named value */
    ZN_NODE_RESIDUAL
} zn_node_kind;

/* What a named value stands for. */
typedef struct zn_slot {
    zn_shape shape;
    zn_span at;      /* of the name */
    zn_value *value; /* set by lower.c */
} zn_slot;

typedef struct zn_node zn_node;
typedef struct zn_nodes {
    zn_node *first, *last;
} zn_nodes;
struct zn_node {
    zn_node_kind kind;
    zn_span at;
    const char *path;
    zn_shape in, out;
    int64_t k[2], stride[2], pad[4]; /* windows; pad is top, left, bottom, right */
    int64_t groups;                  /* CONV */
    bool bias, bias_auto;            /* weighted layers */
    double eps, momentum;            /* NORM */
    bool fixed_scale, fixed_bias;    /* NORM: not trained */
    double number;                   /* NUMBERS, MULTIPLY */
    zn_slot *slot;                   /* NAME, FROM, JOIN */
    zn_op op;                        /* SIMPLE, NORM, NUMBERS, JOIN */
    const zn_sig *sig;               /* SIMPLE: and its options */
    const zn_val *option;
    const char *policy;        /* RESIDUAL */
    zn_nodes branch, shortcut; /* RESIDUAL; an empty shortcut is the identity */
    zn_node *next;
};

/* What the loss compares the model's output with. */
typedef enum zn_loss_kind {
    ZN_LOSS_UNKNOWN,
    ZN_LOSS_CLASSES,
    ZN_LOSS_LABEL,
    ZN_LOSS_IMAGE,
    ZN_LOSS_VALUE
} zn_loss_kind;

typedef struct zn_sema {
    zn_arena *arena;
    zn_diags *d;
    zn_file *file;
    const zn_frontend_options *options;
    zn_module *module;             /* configuration goes here */
    const char *option;            /* what is evaluated comes from this option of the command line, or NULL */
    const struct zn_local *locals; /* names besides the declarations where a section is read, and */
    const zn_env *env;             /* their values */
    const zn_shape *cur;           /* the current value in a model's body; NULL elsewhere */
    int let_depth;
    zn_table decls;               /* name to the first declaration of it */
    zn_table reported;            /* code and place of every error */
    size_t compared;              /* names looked at for corrections of others */
    zn_table unknown;             /* names that were reported as unknown: once each */
    zn_diag *no_value, *no_block; /* the last of them that are near to nothing */
    size_t steps;                 /* of evaluation */
    const zn_sig *sigs[ZN_SIG_COUNT];
    /* results of config.c that shapes depend on */
    bool has_train;
    int64_t batch;        /* 0: not known (reported) */
    double decay, epochs; /* epochs: 0 = not known */
    zn_loss_kind loss;
    zn_span views_at;   /* of test views; line 0: none */
    int64_t classes;    /* of the data; 0: not known */
    int64_t samples;    /* for training; 0: not known before the files are read */
    zn_shape sample;    /* of the data; bad: not known */
    const char *source; /* of the data */
    zn_span source_at;
    /* unrolling */
    size_t nops, nterms;
    bool stop;             /* too large: unwinds */
    zn_table paths, twice; /* twice: those that were reported */
    zn_span vector_at;     /* what made the current value a vector last */
    zn_nodes net;
    zn_shape input, output;
    zn_slot *input_slot;
} zn_sema;

/* Reports once for a code and place; prefixes the option that is being evaluated. NULL where it stays silent. */
zn_diag *zn_sema_error(zn_sema *s, zn_diag_id id, zn_span at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A note under x, if there is an x. */
void zn_sema_note(zn_sema *s, zn_diag *x, zn_note_kind kind, zn_span at, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* "did you mean `...`?", where one of the names is near: that one, or NULL. Only for the first names that are wrong
 * where there are many to choose from, see names.c. */
const char *zn_sema_nearest(zn_sema *s, zn_diag *x, const char *name, const char *const *names, size_t n);

/* suggest.c */
/* What is called otherwise elsewhere: one of the names, or NULL. */
const char *zn_foreign_name(const char *name, const char *const *names, size_t n);
/* Notes under the report of an argument that a call does not have: those it has. */
void zn_explain_arg(zn_sema *s, zn_diag *x, const zn_sig *sig, const char *name);

/* names.c */
const zn_sig *zn_sig_of(zn_sema *s, zn_sig_id id);
/* Whether it is a word that some layer takes. */
bool zn_is_word(const char *name);
/* NULL if there is none; reports nothing. */
const zn_sig *zn_sig_find(zn_sema *s, zn_sig_group g, const char *name);
size_t zn_sig_names(zn_sig_group g, bool with_planned, const char **out, size_t max);
/* Puts arguments into their slots (sig->n of them; NULL: not given). False if something was reported. */
bool zn_sig_bind(zn_sema *s, const zn_sig *sig, const zn_args *args, zn_span at, zn_expr **slot);
typedef struct zn_local {
    const char *name;
    zn_span at;
    bool *used;
    bool value; /* of the network: not for expressions */
    const struct zn_local *up;
} zn_local;
/* Resolves the names of an expression: unknown ones are reported and made bad; known ones are used. */
void zn_resolve_expr(zn_sema *s, zn_expr *e, const zn_local *locals, bool in_model);
/* The same for bound arguments, where a word may stand for itself. */
void zn_resolve_slots(zn_sema *s, const zn_sig *sig, zn_expr **slot, const zn_local *locals, bool in_model);
void zn_resolve_file(zn_sema *s);
void zn_report_unused(zn_sema *s);
/* The first declaration of a name, NULL if there is none. */
zn_decl *zn_decl_find(const zn_sema *s, const char *name);

/* eval.c */
zn_val zn_eval(zn_sema *s, const zn_env *env, const zn_expr *e);
/* The arm that `c ? a : b` takes, and the other one; NULL after reporting. */
zn_expr *zn_cond_arm(zn_sema *s, const zn_env *env, const zn_expr *e, zn_expr **other);
/* The arm in the end of choices in choices; e where it is none; NULL after reporting. */
const zn_expr *zn_cond_taken(zn_sema *s, const zn_env *env, const zn_expr *e);
void zn_eval_decls(zn_sema *s);
/* The value of option `what`, checked; false if something was reported. */
bool zn_eval_int(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, int64_t min, int64_t max,
                 int64_t *out);
/* open_max: max itself is too large. The value is right as a 32-bit float too. */
bool zn_eval_float(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, double min, double max,
                   bool open_max, double *out);
bool zn_eval_bool(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, bool *out);
bool zn_eval_str(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, const char **out);
/* One of "a|b|~c": a bare name that is not declared, or a string. What stands behind ~ is reported as planned. The
 * value is a string whose i is the number of the word. */
bool zn_eval_word(zn_sema *s, const zn_env *env, const zn_expr *e, const char *what, const char *words, zn_val *out);
/* The bare word e may be, or NULL if it has to be evaluated. */
const char *zn_bare_word(const zn_sema *s, const zn_env *env, const zn_expr *e);
const char *zn_val_kind_text(const zn_val *v);
const char *zn_val_text(zn_sema *s, const zn_val *v);

/* options.c */
/* The values of bound arguments, checked by their rows, defaults filled in; BAD where nothing is given and there is no
 * default, and for kinds that have code of their own. False if something was reported. */
bool zn_eval_options(zn_sema *s, const zn_env *env, const zn_sig *sig, zn_expr *const *slot, zn_val *out);
/* Writes those that have a key into the configuration. */
void zn_conf_options(zn_sema *s, const zn_sig *sig, const zn_val *v, zn_span at);
/* An expression of fans that was evaluated, in the words of a file. */
const char *zn_fans_text(zn_sema *s, const zn_env *env, const zn_expr *e);
/* As it would stand in a file: "zero(variant = augment)". The first argument is always said, others where they are
 * given. */
const char *zn_options_text(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v);
/* The number of an argument, sig->n if it has none of that name. */
size_t zn_sig_arg_index(const zn_sig *sig, const char *name);

/* config.c */
void zn_config_options(zn_sema *s); /* --set into the sections */
void zn_config(zn_sema *s);

/* lint.c: warnings. epochs: 0 = not known */
void zn_lint_schedule(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v, double epochs);
void zn_lint_freeze(zn_sema *s, zn_span at, double after, double epochs);
void zn_lint_layer(zn_sema *s, const zn_term *t, const zn_val *v);
void zn_lint_repeat(zn_sema *s, const zn_expr *e, int64_t n);

/* net.c */
void zn_net(zn_sema *s);
const char *zn_shape_text(zn_sema *s, const zn_shape *x);

/* lower.c: the only maker of IR. False after reporting. */
bool zn_lower(zn_sema *s);

#endif
