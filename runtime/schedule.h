/* The learning rate and other numbers of a step: pure functions of the step. */
#ifndef ZN_RUNTIME_SCHEDULE_H
#define ZN_RUNTIME_SCHEDULE_H

#include "runtime/abi.h"

/* Steps of warm-up: round(warmup * steps per epoch). */
int64_t zn_rt_warmup_steps(const zn_train_desc *t, int64_t steps_per_epoch);
/* Step t (from 0) of a run of `total` steps, total > warm-up. */
float zn_rt_learning_rate(const zn_train_desc *d, int64_t steps_per_epoch, int64_t total, int64_t t);

/* Steps of a run of so many epochs, begun ones included; -1 if they are out of range. */
int64_t zn_rt_total_steps(double epochs, int64_t steps_per_epoch);
/* Sets the learning rates of what is frozen in time, from args->lr. */
void zn_rt_freeze(const zn_train_desc *d, int64_t steps_per_epoch, int64_t t, zn_args *args);
/* What slow weights keep after t of `total` steps: decay (t / total)^ramp. */
double zn_rt_lookahead(const zn_train_desc *d, int64_t total, int64_t t);

/* Sets what optimizers with moments need in step t (from 0). */
void zn_rt_corrections(const zn_train_desc *d, int64_t t, zn_args *args);

#endif
