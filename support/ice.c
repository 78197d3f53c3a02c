/* The end of the process on a broken invariant: the one place below the drivers that prints and exits. */
#include "support/ice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *current_stage = "start";

void zn_ice_stage(const char *stage) {
    current_stage = stage;
}

void zn_ice(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "znet: internal error in stage `%s`: ", current_stage);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr,
            "\n  at %s:%d\nThis is a bug in znet, not in your program. Please report it with the input and the "
            "command that led to it.\n",
            file, line);
    va_end(ap);
    exit(70);
}
