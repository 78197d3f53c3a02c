/* The end of a target whose law is broken (see law.h). */
#include "tests/fuzz/law.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void fz_broken(const char *law, const char *file, int line) {
    fprintf(stderr, "broken: %s at %s:%d\n", law, file, line);
    abort();
}
