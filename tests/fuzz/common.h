/* What both targets do with a module. */
#ifndef ZN_TESTS_FUZZ_COMMON_H
#define ZN_TESTS_FUZZ_COMMON_H

#include "ir/module.h"

/* All passes, with the verifier and the law of IR text after each; then the plan. Every report is rendered. */
void fz_compile(zn_module *m, zn_diags *d);
/* Ends the process loudly where a law is broken. */
#define FZ_LAW(x) ((x) ? (void)0 : fz_broken(#x, __FILE__, __LINE__))
_Noreturn void fz_broken(const char *law, const char *file, int line);
void fz_render(zn_diags *d);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#endif
