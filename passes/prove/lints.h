/* Warnings about a start, from what is proven of it (prove.h) and from its formulas: codes ZN0405 to ZN0413. */
#ifndef ZN_PASSES_PROVE_LINTS_H
#define ZN_PASSES_PROVE_LINTS_H

#include "passes/prove/prove.h"

/* Reports to d. */
void zn_lint_proof(const zn_proof *p, zn_diags *d);
/* Errors for parameters whose start is random. */
void zn_lint_random(const zn_module *m, zn_diags *d);

/* Under a diagnostic: why v, a value of @train_step, is 0 in every step, a note for each layer that has to do with it.
 */
void zn_explain_zero(const zn_proof *p, const zn_value *v, zn_diags *d, zn_diag *to);
/* Residual blocks without norms in which the variance grows: of @forward alone. */
void zn_lint_variance(const zn_module *m, zn_diags *d);

#endif
