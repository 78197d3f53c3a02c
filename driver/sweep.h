/* `znetc run` of several seeds and values: a run for each combination, one after another, and a table. */
#ifndef ZN_DRIVER_SWEEP_H
#define ZN_DRIVER_SWEEP_H

#include <stdbool.h>

#include "driver/options.h"

/* Whether o asks for more than one run: --seeds, or several values of a -D or --set, parted by commas outside of
 * brackets and quotes. */
bool zn_sweep_wanted(const zn_options *o);

/* Every run has a process of its own: in each of them this returns with *child set and o changed to that of one run,
 * whose results go into a directory of its own below that of --out. In the process that called it returns when all are
 * done, with their table on standard output, and gives an exit code: 0, that of the first run that failed, or 75 where
 * they were stopped. */
int zn_sweep(zn_options *o, bool *child);

#endif
