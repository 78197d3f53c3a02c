/* Passes: functions from a module to a module, each one alone on IR text through znopt.
 *
 * A pass returns false after reporting a user's error to ctx->diags; broken invariants end in zn_ice. */
#ifndef ZN_PASSES_PASS_H
#define ZN_PASSES_PASS_H

#include "ir/module.h"

typedef struct zn_pass_ctx {
    zn_diags *diags;
    zn_buf *log; /* what a pass did and why, a line each (-v); NULL = not wanted */
} zn_pass_ctx;

typedef bool zn_pass_fn(zn_module *m, zn_pass_ctx *ctx);

typedef enum zn_pass_id {
#define ZN_PASS(ID, name, fn, level, doc) ZN_PASS_##ID,
#include "passes/passes.def"
    ZN_PASS_COUNT
} zn_pass_id;

typedef struct zn_pass_info {
    const char *name;
    zn_pass_fn *run;
    int level;
    const char *doc;
} zn_pass_info;
extern const zn_pass_info zn_pass_table[ZN_PASS_COUNT];

#define ZN_PASS(ID, name, fn, level, doc) zn_pass_fn zn_pass_##fn;
#include "passes/passes.def"

/* ZN_PASS_COUNT if there is none. */
zn_pass_id zn_pass_from_name(const char *name, size_t n);

/* Adds @vjp(arguments of @forward, dout): its results are @forward's result as in training (batch statistics, dropout)
 * and the gradient of sum(result * dout) by each trained parameter, in the order in which @vjp reads them. For tests of
 * gradients. NULL after a report. */
zn_func *zn_make_vjp(zn_module *m, zn_pass_ctx *ctx);

__attribute__((format(printf, 2, 3))) void zn_pass_log(zn_pass_ctx *ctx, const char *fmt, ...);

#endif
