/* The end of the process on a broken invariant: the one place below the drivers that prints and exits. */
#include "support/ice.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "support/file.h"

static const char *current_stage = "start";
static atomic_flag ending = ATOMIC_FLAG_INIT;

void zn_ice_stage(const char *stage) {
    current_stage = stage;
}

void zn_ice(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    if (atomic_flag_test_and_set(&ending))
        for (;;) /* another thread is at it: its message is the one */
            pause();
    zn_files_abandon();
    va_start(ap, fmt);
    fprintf(stderr, "znet: internal error in stage `%s`: ", current_stage);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr,
            "\n  at %s:%d\nThis is a bug in znet, not in your program. Please report it with the input and the "
            "command that led to it.\n",
            file, line);
    va_end(ap);
    _exit(70); /* other threads run on: nothing that they use may be taken down */
}
