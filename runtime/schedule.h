/* The learning rate and other numbers of a step: pure functions of the step. */
#ifndef ZN_RUNTIME_SCHEDULE_H
#define ZN_RUNTIME_SCHEDULE_H

#include "runtime/abi.h"

/* Steps of warm-up: round(warmup * steps per epoch). */
int64_t zn_rt_warmup_steps(const zn_train_desc *t, int64_t steps_per_epoch);
/* Step t (from 0) of a run of `total` steps, total > warm-up. */
float zn_rt_learning_rate(const zn_train_desc *d, int64_t steps_per_epoch, int64_t total, int64_t t);

/* Sets what optimizers with moments need in step t (from 0). */
void zn_rt_corrections(const zn_train_desc *d, int64_t t, zn_args *args);

#endif
