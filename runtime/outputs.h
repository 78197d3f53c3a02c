/* What a network gives for the test samples, as a file of numpy: f4[samples, outputs]. */
#ifndef ZN_RUNTIME_OUTPUTS_H
#define ZN_RUNTIME_OUTPUTS_H

#include "runtime/error.h"

#include "support/file.h"

#include <stdint.h>

/* Zero-initialise to start. */
typedef struct zn_rt_outputs {
    bool open;
    zn_file f;
} zn_rt_outputs;

/* Begins a file that will be called path and hold rows * columns floats. */
int zn_rt_outputs_open(zn_rt_outputs *o, const char *path, int64_t rows, int64_t columns, zn_rt_error *e);
int zn_rt_outputs_add(zn_rt_outputs *o, const float *x, int64_t n, zn_rt_error *e);
/* All is there: the file gets its name. */
int zn_rt_outputs_finish(zn_rt_outputs *o, zn_rt_error *e);
/* Removes what is not finished; after any of the above. */
void zn_rt_outputs_close(zn_rt_outputs *o);

#endif
