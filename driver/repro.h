/* `znetc repro LOG`: the experiment of a log once more, and what became different. */
#ifndef ZN_DRIVER_REPRO_H
#define ZN_DRIVER_REPRO_H

#include "driver/logfile.h"
#include "driver/options.h"
#include "driver/sources.h"

typedef struct zn_repro {
    zn_logfile log;
    zn_arena arena;
    const char *directory; /* that the source's paths lead from */
    char copy[64];         /* the log of this run, a temporary file; "": there is none */
} zn_repro;

/* Reads the log o->file names, and sets options and source to those of its run: arguments that were given behind `--`
 * follow the log's. Gives 0, or an exit code with *error (to be freed). */
int zn_repro_open(zn_repro *r, zn_options *o, zn_sources *s, zn_diags *d, char **error);
/* After the run: writes which digests are the same to out, and which is the first that differs and why. Gives 0, 1
 * (they differ), or 3 with *error. */
int zn_repro_compare(const zn_repro *r, zn_buf *out, char **error);
void zn_repro_close(zn_repro *r);

#endif
