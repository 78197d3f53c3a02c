/* `znetc plot`: loss and accuracy of runs, from their logs, as SVG. */
#ifndef ZN_DRIVER_PLOT_H
#define ZN_DRIVER_PLOT_H

#include <stdbool.h>

#include "driver/options.h"
#include "support/buf.h"

typedef struct zn_plot_style {
    bool log_scale; /* of the loss */
    bool minutes;   /* of the run, on the horizontal axis; otherwise steps */
} zn_plot_style;

/* Appends the picture of these logs. False with *error (to be freed): a log cannot be read, or there is nothing in it
 * to show. */
bool zn_plot(const zn_words *logs, const zn_plot_style *style, zn_buf *out, char **error);

#endif
