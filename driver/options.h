/* The command line of znetc. */
#ifndef ZN_DRIVER_OPTIONS_H
#define ZN_DRIVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "support/arena.h"
#include "support/diag.h"

typedef enum zn_verb {
    ZN_VERB_BUILD,
    ZN_VERB_RUN,
    ZN_VERB_PREDICT,
    ZN_VERB_CHECK,
    ZN_VERB_DATA,
    ZN_VERB_BENCH,
    ZN_VERB_EXPLAIN,
    ZN_VERB_REPRO,
    ZN_VERB_PLOT
} zn_verb;

typedef enum zn_emit_kind {
    ZN_EMIT_EXE,
    ZN_EMIT_AST,
    ZN_EMIT_IR,
    ZN_EMIT_INIT,
    ZN_EMIT_GRAD,
    ZN_EMIT_OPT,
    ZN_EMIT_PROOF,
    ZN_EMIT_PLAN,
    ZN_EMIT_LLVM,
    ZN_EMIT_ASM,
    ZN_EMIT_OBJ,
    ZN_EMIT_COUNT
} zn_emit_kind;

typedef ZN_VEC(const char *) zn_words;

typedef struct zn_options {
    zn_arena arena;
    zn_verb verb;
    const char *file, *out, *emit_path;
    zn_emit_kind emit;
    bool emit_given, level_given;
    int level;
    const char *target, *march, *conv, *gemm, *color, *diagnostics, *cc;
    const char *passes, *print_after;
    const char *cache_dir; /* NULL = the user's */
    bool no_cache;
    const char *threads, *seconds; /* of bench; NULL = not given */
    bool kernels, json, deterministic_start, with_data;
    const char *weights, *input, *top; /* of predict; NULL = not given */
    const char *data_dir;              /* of data and --with-data; NULL: that of the file */
    const char *seeds;                 /* of run; NULL = not given */
    zn_words logs;                     /* of plot */
    bool log_scale;
    const char *over; /* of plot; NULL: steps */
    bool no_loc;
    bool verify_each, time_passes, verbose, dry, save_temps;
    bool list_passes, list_language, list_ops, list_ops_markdown, help, version;
    zn_words define, set;
    zn_diag_id explain;              /* ZN_DIAG_COUNT: all */
    bool werror, off[ZN_DIAG_COUNT]; /* of warnings */
    int argc;                        /* what stands after -- */
    char **argv;
} zn_options;

/* False with *error (in the arena) for a usage error. */
bool zn_options_parse(zn_options *o, int argc, char **argv, const char **error);
const char *zn_options_help(void);

#endif
