/* Mean and deviation of the channels of the training samples. */
#ifndef ZN_RUNTIME_STATISTICS_H
#define ZN_RUNTIME_STATISTICS_H

#include "runtime/dataset.h"
#include "runtime/error.h"
#include "runtime/pool.h"

/* mean[c], deviation[c] for the channels of d, over the samples that are trained on: of bytes as numbers from 0 to 1,
 * of floats as they are. The deviation of a channel that is the same everywhere is 0. pool: may be NULL. */
int zn_rt_channel_statistics(const zn_rt_dataset *d, zn_rt_pool *pool, double *mean, double *deviation, zn_rt_error *e);

#endif
