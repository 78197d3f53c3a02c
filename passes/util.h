/* What several passes need. */
#ifndef ZN_PASSES_UTIL_H
#define ZN_PASSES_UTIL_H

#include "passes/pass.h"

/* Removes values without effect that nothing uses; true if any was. */
bool zn_remove_unused(zn_func *f);
/* Removes parameters that no function reads or stores. */
void zn_remove_unread_params(zn_module *m);
/* A copy of v with the given operands, in front of `before` (NULL: at the end of f). Type, group and keep are
 * copied. */
zn_value *zn_value_copy(zn_module *m, zn_func *f, zn_value *before, const zn_value *v, zn_value *const *operand);

/* What is made of @forward, which does not say whether it trains: training has the statistics of the batch and dropout,
 * evaluation running statistics and no dropout, calibration the statistics of the batch and no dropout. */
typedef enum zn_forward_kind { ZN_FORWARD_TRAIN, ZN_FORWARD_EVAL, ZN_FORWARD_CALIBRATE } zn_forward_kind;
/* A new function called name that computes what `from` does; *out is the copy of its result. */
zn_func *zn_forward_copy(zn_module *m, zn_pass_ctx *ctx, const zn_func *from, const char *name, zn_forward_kind kind,
                         zn_value **out);

/* Reports the rules of decay, rate and freeze that match nothing. */
void zn_recipe_check(zn_module *m, zn_pass_ctx *ctx);

/* What a layer computes, at the end of f, of operands that are in f; NULL where the operation stands for itself. */
zn_value *zn_expand(zn_module *m, zn_func *f, const zn_value *layer, zn_value *const *operand);

#endif
