/* `znetc plot`: loss and accuracy of runs, from their logs, as SVG. */
#ifndef ZN_DRIVER_PLOT_H
#define ZN_DRIVER_PLOT_H

#include <stdbool.h>

#include "driver/options.h"
#include "support/buf.h"

/* Appends the picture of these logs. log_scale: of the loss. False with *error (to be freed): a log cannot be read, or
 * there is nothing in it to show. */
bool zn_plot(const zn_words *logs, bool log_scale, zn_buf *out, char **error);

#endif
