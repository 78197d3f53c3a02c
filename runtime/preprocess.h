/* preprocess.json, beside the weights of a run: the statistics of the training data that images are normalised with, so
 * that a prediction needs no training data. One JSON object: "mean" and "deviation", a number for each channel, as
 * exact as a double is. */
#ifndef ZN_RUNTIME_PREPROCESS_H
#define ZN_RUNTIME_PREPROCESS_H

#include "runtime/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Writes directory/preprocess.json, whole or not at all. */
int zn_rt_preprocess_save(const char *directory, int64_t channels, const double *mean, const double *deviation,
                          zn_rt_error *e);
/* That of the directory in which the file `weights` lies. *found: whether it is there; what is damaged is an error. */
int zn_rt_preprocess_load(const char *weights, int64_t channels, double *mean, double *deviation, bool *found,
                          zn_rt_error *e);

#endif
