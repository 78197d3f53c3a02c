/* From a plan to machine code: objects, run at once or linked into an executable.
 *
 * Every kernel is an object of its own, made by any thread or taken from the cache; which way does not change it. */
#ifndef ZN_BACKEND_BACKEND_H
#define ZN_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/target.h"
#include "ir/plan.h"
#include "runtime/abi.h"

/* What the module says of itself. Strings are borrowed. */
typedef struct zn_build_info {
    const char *source_path, *source, *source_sha256;
    size_t source_len, nfiles;
    const zn_source_file *files;      /* of the source; none: all of it is source_path */
    const char *overrides, *versions; /* JSON objects */
    zn_target target;
    const char *cache_dir; /* of objects; NULL = no cache */
    bool peak;             /* with the kernel ZN_PEAK_SYMBOL */
} zn_build_info;

enum { ZN_SYMBOL_MAX = 64 };
/* The symbol of a kernel in objects: a function of its key, not of the plan it stands in. */
void zn_kernel_symbol(const zn_kernel_plan *k, char out[ZN_SYMBOL_MAX]);

typedef struct zn_object {
    char *at;
    size_t size;
    char symbol[ZN_SYMBOL_MAX]; /* what it defines; "" = the descriptor */
} zn_object;
typedef struct zn_objects {
    size_t n;
    zn_object *at;
    size_t cached; /* that were not made anew */
} zn_objects;

/* Which kernels: all; those of the training step and of what comes before it; those that only other programs run. */
typedef enum zn_code_part { ZN_CODE_ALL, ZN_CODE_TRAIN, ZN_CODE_EVAL } zn_code_part;

/* Machine code of kernels and, last, of the descriptor, made by so many threads. With ZN_CODE_TRAIN the descriptor has
 * NULL in place of the other kernels; with ZN_CODE_EVAL there is none. False with a message (to be freed with free) if
 * LLVM refuses. */
bool zn_backend_compile(const zn_plan *plan, const zn_build_info *info, zn_code_part part, int threads, zn_objects *out,
                        char **error);
void zn_objects_free(zn_objects *o);

/* All of it as one object, for other tools. */
bool zn_backend_object(const zn_plan *plan, const zn_build_info *info, zn_object *out, char **error);

/* A kernel without buffers that only multiplies and adds: FLOPs of one unit of its outer index. */
#define ZN_PEAK_SYMBOL "zn_peak"
enum { ZN_PEAK_STEPS = 4096 };
int64_t zn_peak_flops(const zn_target *t);

/* The LLVM IR of all kernels and the descriptor as text, or their assembly. Free with free. */
char *zn_backend_text(const zn_plan *plan, const zn_build_info *info, bool assembly, size_t *size, char **error);

/* One kernel: its LLVM IR as text (free with free; NULL if LLVM refuses), and the object made of it. */
char *zn_backend_kernel_ir(const zn_kernel_plan *k, const zn_build_info *info, char **error);
bool zn_backend_kernel(const zn_kernel_plan *k, const zn_build_info *info, zn_object *out, char **error);
/* Does this LLVM make code for that triple? */
bool zn_backend_knows(const char *triple);

/* Runs code in this process. Symbols of the runtime that code may name are given by address. */
typedef struct zn_jit zn_jit;
typedef void (*zn_jit_address)(void); /* of any function */
typedef struct zn_jit_symbol {
    const char *name;
    zn_jit_address address;
} zn_jit_symbol;
zn_jit *zn_jit_load(const zn_objects *o, const zn_jit_symbol *symbols, size_t nsymbols, const zn_module_desc **module,
                    char **error);
/* More kernels, for zn_jit_kernel. */
bool zn_jit_add(zn_jit *j, const zn_objects *o, char **error);
/* The kernel of that symbol, or NULL. */
zn_kernel *zn_jit_kernel(zn_jit *j, const char *symbol);
void zn_jit_free(zn_jit *j);

/* Links objects with the runtime into an executable through a C compiler driver; `out` appears whole or not at all.
 * `log` gets the command (-v, -###), `messages` what the driver printed. */
typedef struct zn_link_options {
    const char *cc, *out, *runtime_dir; /* directory of libzn_runtime.a */
    const char *libs;                   /* what the runtime needs, space-separated */
    bool openblas, dry;                 /* dry: only log the command */
    bool save_temps;                    /* keep the objects as OUT.o and OUT.a */
} zn_link_options;
bool zn_link(const zn_objects *o, const zn_link_options *opt, zn_buf *log, zn_buf *messages, char **error);
/* Ends a driver that runs. Async-signal-safe. */
void zn_link_abandon(void);

/* LLVM's version, "19.1.7". */
const char *zn_backend_llvm_version(void);

#endif
