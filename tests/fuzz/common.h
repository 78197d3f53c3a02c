/* What the targets of text do with a module. */
#ifndef ZN_TESTS_FUZZ_COMMON_H
#define ZN_TESTS_FUZZ_COMMON_H

#include "ir/module.h"
#include "tests/fuzz/law.h"

/* All passes, with the verifier and the law of IR text after each; then the plan. Every report is rendered. */
void fz_compile(zn_module *m, zn_diags *d);
void fz_render(zn_diags *d);

#endif
