/* The learning rate: a pure function of the step. */
#ifndef ZN_RUNTIME_SCHEDULE_H
#define ZN_RUNTIME_SCHEDULE_H

#include "runtime/abi.h"

/* Steps of warm-up: round(warmup * steps per epoch). */
int64_t zn_rt_warmup_steps(const zn_train_desc *t, int64_t steps_per_epoch);
/* Step t (from 0) of a run of `total` steps, total > warm-up. */
float zn_rt_learning_rate(const zn_train_desc *d, int64_t steps_per_epoch, int64_t total, int64_t t);

#endif
