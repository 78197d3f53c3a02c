/* From step functions to a plan. */
#ifndef ZN_PASSES_PLAN_H
#define ZN_PASSES_PLAN_H

#include "ir/plan.h"

typedef struct zn_plan_options {
    bool in_place; /* results may take the memory of an operand that ends there */
} zn_plan_options;

/* Plans every program of m. NULL after a report to d (too much memory to address; programs that do not fit together).
 * Free with zn_plan_free. The plan points into m. */
zn_plan *zn_plan_make(zn_module *m, zn_plan_options o, zn_diags *d);

#endif
