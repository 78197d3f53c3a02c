/* The syntax tree of a .znet file: what was written, before any name has a meaning.
 *
 * Every node lies in the arena of the parse and is never referenced from the IR. Strings are NUL-terminated and in
 * the same arena. Spans of nodes that came from an option (--set) have line 0. */
#ifndef ZN_FRONTEND_AST_H
#define ZN_FRONTEND_AST_H

#include "support/arena.h"
#include "support/buf.h"
#include "support/diag.h"
#include "support/table.h"

enum { ZN_MAX_NESTING = 256 };

typedef enum zn_expr_kind {
    ZN_E_BAD, /* an error was reported; stays silent */
    ZN_E_INT,
    ZN_E_FLOAT,
    ZN_E_BOOL,
    ZN_E_STR,
    ZN_E_NAME,
    ZN_E_IN, /* in.height: s is "height" */
    ZN_E_LIST,
    ZN_E_CALL,
    ZN_E_INDEX, /* a[b] */
    ZN_E_NOT,
    ZN_E_NEG,
    ZN_E_BINARY,
    ZN_E_COND /* a ? b : c */
} zn_expr_kind;

typedef enum zn_bop {
    ZN_B_OR,
    ZN_B_AND,
    ZN_B_EQ,
    ZN_B_NE,
    ZN_B_LT,
    ZN_B_LE,
    ZN_B_GT,
    ZN_B_GE,
    ZN_B_ADD,
    ZN_B_SUB,
    ZN_B_MUL,
    ZN_B_DIV,
    ZN_B_MOD,
    ZN_B_COUNT
} zn_bop;
extern const char *const zn_bop_text[ZN_B_COUNT];

typedef struct zn_expr zn_expr;
typedef struct zn_arg {
    const char *name; /* NULL: by position */
    zn_span name_at;
    zn_expr *value;
    struct zn_arg *next;
} zn_arg;
typedef struct zn_args {
    zn_arg *first, *last;
    size_t n;
} zn_args;

struct zn_expr {
    zn_expr_kind kind;
    zn_bop op;
    int depth;           /* levels of the tree below and including this node */
    zn_span at, name_at; /* the whole; the name of a call, the operator of BINARY */
    int64_t i;           /* INT, BOOL */
    double f;
    const char *s; /* STR, NAME, IN, CALL */
    zn_expr *a, *b, *c;
    zn_args args; /* CALL; elements of LIST */
};

typedef struct zn_term zn_term;
typedef struct zn_body {
    zn_term *first, *last;
    zn_span at; /* the opening brace */
} zn_body;

typedef enum zn_term_kind {
    ZN_TERM_CALL, /* a layer or block */
    ZN_TERM_RESIDUAL,
    ZN_TERM_REPEAT,
    ZN_TERM_FOR,
    ZN_TERM_IF,
    ZN_TERM_FROM
} zn_term_kind;

struct zn_decl;
struct zn_sig;
struct zn_term {
    zn_term_kind kind;
    zn_span at, name_at; /* the whole; the name or keyword */
    const char *label, *as;
    zn_span label_at, as_at;
    const char *name; /* CALL: of what; REPEAT, FOR: the variable or NULL; FROM: of which value */
    zn_span var_at;
    zn_args args;
    zn_expr *value;        /* REPEAT: how often; FOR: the list; IF: the condition */
    zn_body *body, *other; /* other: of shortcut or else */
    zn_span other_at;
    zn_term *next;
    /* set when names are resolved */
    bool bad; /* reported: gives a poisoned value */
    const struct zn_sig *sig;
    struct zn_decl *block;
    zn_expr **slot; /* bound arguments, as many as sig has */
    bool used;      /* the loop variable */
    bool as_used;
};

typedef struct zn_formal {
    const char *name;
    zn_span at;
    zn_expr *value; /* default, or NULL */
    bool used;
    struct zn_formal *next;
} zn_formal;

typedef enum zn_decl_kind { ZN_DECL_PARAM, ZN_DECL_LET, ZN_DECL_BLOCK } zn_decl_kind;
struct zn_val;
typedef struct zn_decl {
    zn_decl_kind kind;
    const char *name;
    zn_span at;   /* of the name */
    uint32_t off; /* the same, in bytes from the start of the text */
    zn_expr *value;
    zn_formal *formals, *last_formal;
    size_t nformal;
    zn_body *body;
    struct zn_decl *next;
    /* set by semantic analysis */
    bool used, bad, imported;
    int state; /* of a walk over dependencies: 0 new, 1 on the way, 2 done */
    const struct zn_val *val;
    const struct zn_sig *sig; /* BLOCK: its parameters */
} zn_decl;

/* selector = value. The selector is kept as it is written: "stage3.**". */
typedef struct zn_rule {
    const char *selector;
    zn_span at;
    zn_expr *value;
    struct zn_rule *next;
} zn_rule;
typedef struct zn_rules {
    zn_rule *first, *last;
} zn_rules;

/* key = value, or key { rules }. */
typedef struct zn_entry {
    const char *key;
    zn_span at;
    zn_expr *value; /* NULL where rules stand */
    bool braces;
    zn_rules rules;
    const char *option; /* "--set train.lr=1" where it came from, or NULL */
    struct zn_entry *next;
} zn_entry;

typedef enum zn_section_kind { ZN_SECTION_DATA, ZN_SECTION_INIT, ZN_SECTION_TRAIN, ZN_SECTION_COUNT } zn_section_kind;
extern const char *const zn_section_names[ZN_SECTION_COUNT];
typedef struct zn_section {
    zn_span at;             /* of the keyword */
    bool damaged;           /* entries were lost to a syntax error */
    zn_entry *first, *last; /* init: one entry, whose key is "init" */
} zn_section;

typedef struct zn_model {
    const char *name, *input;
    zn_span at, name_at, input_at; /* keyword; name; the input declaration */
    zn_args dims;
    zn_body *body;
    bool damaged; /* the input was lost to a syntax error */
} zn_model;

typedef struct zn_file {
    zn_expr *version; /* NULL: not said */
    zn_decl *decls, *last_decl;
    zn_model *model;
    zn_section *section[ZN_SECTION_COUNT];
    /* after syntax errors: words of the items that hold them, which may be declared or used there */
    zn_table lost;
    bool hole;                           /* whole items may be missing */
    bool nameless_value, nameless_block; /* declared, but the name could not be read */
} zn_file;

/* Whether a syntax error may hide a use of a name, or its declaration. */
bool zn_is_lost(const zn_file *f, const char *name);
bool zn_may_be_declared(const zn_file *f, const char *name);

/* depth is set from the children. */
zn_expr *zn_expr_new(zn_arena *a, zn_expr_kind kind, zn_span at, zn_expr *x, zn_expr *y, zn_expr *z);
zn_arg *zn_arg_make(zn_arena *a, const char *name, zn_span name_at, zn_expr *value);
void zn_args_add(zn_args *list, zn_arg *x);
void zn_rules_add(zn_arena *a, zn_rules *list, const char *selector, zn_span at, zn_expr *value);
zn_term *zn_term_new(zn_arena *a, zn_term_kind kind, zn_span at, zn_span name_at);

/* The tree as text: one node a line, indented, `(kind@line:col ...)`. */
void zn_ast_print(const zn_file *f, zn_buf *out);

#endif
