/* What every target has: laws, and the entry. */
#ifndef ZN_TESTS_FUZZ_LAW_H
#define ZN_TESTS_FUZZ_LAW_H

#include <stddef.h>

/* Ends the process loudly where a law is broken. */
#define FZ_LAW(x) ((x) ? (void)0 : fz_broken(#x, __FILE__, __LINE__))
_Noreturn void fz_broken(const char *law, const char *file, int line);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#endif
