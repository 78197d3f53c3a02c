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

/* Reports the rules of decay, rate and freeze that match nothing. */
void zn_recipe_check(zn_module *m, zn_pass_ctx *ctx);

/* What a layer computes, at the end of f, of operands that are in f; NULL where the operation stands for itself. */
zn_value *zn_expand(zn_module *m, zn_func *f, const zn_value *layer, zn_value *const *operand);

#endif
