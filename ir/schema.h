/* The schema of the language as tables: the expansion of ir/schema.def, and options as passes and the backend read
 * them.
 *
 * An option is a configuration key that one argument of one call fills. Whoever reads it names the argument, never the
 * key, and gets the row's default where the module does not say (IR text written by hand). */
#ifndef ZN_IR_SCHEMA_H
#define ZN_IR_SCHEMA_H

#include "ir/module.h"

#define ZN_GROUPS(X)                                                                                                   \
    X(LAYER, "layer")                                                                                                  \
    X(RESIDUAL, "residual")                                                                                            \
    X(FUNC, "function")                                                                                                \
    X(SECTION, "section")                                                                                              \
    X(SOURCE, "source")                                                                                                \
    X(AUGMENT, "augment")                                                                                              \
    X(LOSS, "loss")                                                                                                    \
    X(OPTIMIZER, "optimizer")                                                                                          \
    X(SCHEDULE, "schedule")                                                                                            \
    X(CLIP, "clip")                                                                                                    \
    X(AVERAGE, "average")                                                                                              \
    X(VIEW, "view")                                                                                                    \
    X(SCHEME, "start")
typedef enum zn_sig_group {
#define X(ID, text) ZN_GROUP_##ID,
    ZN_GROUPS(X)
#undef X
        ZN_GROUP_BLOCK /* of the user; not in the table */
} zn_sig_group;

typedef enum zn_sig_id {
#define ZN_CALL(GROUP, ID, ...) ZN_SIG_##GROUP##_##ID,
#define ZN_ARG(...)
#include "ir/schema.def"
    ZN_SIG_COUNT
} zn_sig_id;

/* ZN_ARG_OPTIMIZER_SGD_momentum: its row; ZN_FIRST_OPTIMIZER_SGD: the first row of a call, if it has any. */
enum {
#define ZN_CALL(GROUP, ID, ...) ZN_FIRST_##GROUP##_##ID, ZN_BACK_##GROUP##_##ID = ZN_FIRST_##GROUP##_##ID - 1,
#define ZN_ARG(GROUP, ID, name, ...) ZN_ARG_##GROUP##_##ID##_##name,
#include "ir/schema.def"
    ZN_ARG_COUNT
};
/* Its place among the arguments of its call. */
#define ZN_ARG_AT(GROUP, ID, name) (ZN_ARG_##GROUP##_##ID##_##name - ZN_FIRST_##GROUP##_##ID)

enum {                        /* flags of a call */
       ZN_C_PLANNED = 1,      /* known by name, refused */
       ZN_C_VARIADIC = 2,     /* any number of values, at least one */
       ZN_C_IMAGE = 4,        /* a layer of images */
       ZN_C_VECTOR = 8,       /* a layer of vectors */
       ZN_C_PARAMS = 16,      /* its path names parameters or keys random numbers: no other may have it */
       ZN_C_NORM = 32,        /* a norm, for the rule of biases */
       ZN_C_TRANSPARENT = 64, /* what that rule looks through */
       ZN_C_WINDOW = 128,     /* slides a window: k, stride, pad */
       ZN_C_FLAT = 256,       /* gives a vector of all elements */
       ZN_C_POWER = 512,      /* takes a width that is a power of two */
       ZN_C_ALIAS = 1024,     /* another name of the call before it */
       ZN_C_VALUES = 2048,    /* takes named values, at least one, and nothing else */
};

typedef enum zn_arg_kind {
    ZN_A_ANY,
    ZN_A_SPECIAL,
    ZN_A_INT,
    ZN_A_FLOAT,
    ZN_A_BOOL,
    ZN_A_WORD,
    ZN_A_AUTO_BOOL,
    ZN_A_LENGTH,
    ZN_A_SIZE,
    ZN_A_PAD,
    ZN_A_PATH,
    ZN_A_EPOCHS,
    ZN_A_CALL,
    ZN_A_FANS,
    ZN_A_COLUMN,
} zn_arg_kind;

typedef struct zn_sig_arg {
    const char *name;
    bool required, planned;
    zn_arg_kind kind;
    int64_t least, most;   /* INT */
    double low, high;      /* FLOAT */
    bool above, below;     /* FLOAT: low, high themselves are outside */
    const char *words;     /* WORD: "a|b"; those after a ~ are planned */
    zn_sig_group group;    /* CALL */
    const char *value;     /* default as in a file; NULL if there is none */
    const char *shown;     /* default for the manual where `value` is NULL; NULL if there is none */
    const char *key, *doc; /* key: "" = none */
} zn_sig_arg;
extern const zn_sig_arg zn_arg_table[ZN_ARG_COUNT];

typedef struct zn_sig {
    zn_sig_group group;
    zn_sig_id id; /* ZN_SIG_COUNT for blocks */
    const char *name;
    unsigned flags;
    zn_op op; /* ZN_OP_COUNT: none */
    const char *gives, *doc;
    size_t n;
    const zn_sig_arg *arg;
} zn_sig;
zn_sig zn_sig_row(zn_sig_id id);
/* ZN_SIG_COUNT if there is none. */
zn_sig_id zn_sig_from_name(zn_sig_group g, const char *name);

/* The number of word w in "a|b|~c"; -1 if it is none. *planned: it stands behind a ~. */
int zn_word_index(const char *words, const char *w, bool *planned);

/* Options of a module: of the argument with this row. */
int64_t zn_option_int(const zn_module *m, int arg);
double zn_option_float(const zn_module *m, int arg);
bool zn_option_bool(const zn_module *m, int arg);
const char *zn_option_str(const zn_module *m, int arg); /* NULL: not given and no default */
int zn_option_word(const zn_module *m, int arg);        /* its number among the words */
/* The words that the option behind this entry of the configuration may be, where `value` is none of them; else NULL. */
const char *zn_option_refused(const char *key, const char *value);
/* Whether the module says it. */
bool zn_option_given(const zn_module *m, int arg);

/* What the row says of the samples of a module's source, 0 where only the files say it. False if it says nothing. */
enum {
    ZN_FACT_HEIGHT,
    ZN_FACT_WIDTH,
    ZN_FACT_CHANNELS,
    ZN_FACT_CLASSES,
    ZN_FACT_TRAINING, /* samples */
    ZN_FACT_TEST,
    ZN_FACTS
};
bool zn_source_facts(const zn_module *m, int64_t fact[ZN_FACTS]);

/* The tables of docs/language.md. */
void zn_list_language(zn_buf *out);

#endif
