/* What is constant in a training set, as the network sees it. */
#ifndef ZN_RUNTIME_CONSTANTS_H
#define ZN_RUNTIME_CONSTANTS_H

#include "runtime/abi.h"
#include "runtime/error.h"

#include <stdbool.h>

/* pixel[i] (height * width * channels of the input, in memory order) becomes the number that element i of every
 * training image is, NAN where they differ; channel[c] the same of a whole channel. Both are NAN where images are
 * augmented, and *augmented is true then. directory (may be NULL) replaces that of the recipe. */
int zn_rt_constants(const zn_module_desc *m, const char *directory, float *channel, float *pixel, bool *augmented,
                    zn_rt_error *e);

#endif
