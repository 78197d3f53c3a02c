/* Learning rate schedules in double precision, rounded to float at the end (docs: language, train). With W steps of
 * warm-up and T in all, step t uses lr (t + 1) / W while t < W; then constant lr; or lr times `factor` once for every
 * entry of `at` (in epochs) that was reached; or end + (lr - end)(1 + cos(pi (t - W) / (T - W))) / 2. The linear one
 * uses lr (start + (1 - start) t / W) while t < W, then lr (1 + (end - 1)(t - W) / (T - W)). */
#include "runtime/schedule.h"

#include <math.h>

#include "support/math.h"

int64_t zn_rt_warmup_steps(const zn_train_desc *t, int64_t steps_per_epoch) {
    double steps = t->warmup * (double)steps_per_epoch;
    return steps >= 0x1p62 ? INT64_MAX : (int64_t)(steps + 0.5);
}

float zn_rt_learning_rate(const zn_train_desc *d, int64_t steps_per_epoch, int64_t total, int64_t t) {
    int64_t warm = zn_rt_warmup_steps(d, steps_per_epoch);
    double lr = d->lr;
    if (d->lr_kind == ZN_LR_LINEAR)
        return (float)(t < warm ? lr * (d->start + (1 - d->start) * ((double)t / (double)warm))
                                : lr * (1 + (d->end - 1) * ((double)(t - warm) / (double)(total - warm))));
    if (t < warm)
        return (float)(lr * (double)(t + 1) / (double)warm);
    switch (d->lr_kind) {
    case ZN_LR_STEP:
        for (uint64_t i = 0; i < d->nat; i++)
            if ((double)t >= d->at[i] * (double)steps_per_epoch)
                lr = lr * d->factor;
        break;
    case ZN_LR_COSINE: {
        double progress = (double)(t - warm) / (double)(total - warm);
        lr = d->end + (lr - d->end) * (1.0 + zn_cospi(progress)) / 2.0;
        break;
    }
    default:
        break;
    }
    return (float)lr;
}

/* By squaring: no libm for a number that reaches a weight. */
static double power(double x, int64_t n) {
    double y = 1;
    for (; n > 0; n /= 2, x *= x)
        if (n % 2)
            y *= x;
    return y;
}

void zn_rt_freeze(const zn_train_desc *d, int64_t steps_per_epoch, int64_t t, zn_args *args) {
    for (uint64_t i = 0; i < ZN_FREEZE_EPOCHS; i++)
        args->lr_until[i] = i < d->nfreeze && (double)t < d->freeze[i] * (double)steps_per_epoch ? args->lr : 0;
}

int64_t zn_rt_total_steps(double epochs, int64_t steps_per_epoch) {
    double steps = ceil(epochs * (double)steps_per_epoch);
    return steps >= 1 && steps < 0x1p62 ? (int64_t)steps : -1;
}

double zn_rt_lookahead(const zn_train_desc *d, int64_t total, int64_t t) {
    return d->average_decay * power((double)t / (double)total, d->average_ramp);
}

void zn_rt_corrections(const zn_train_desc *d, int64_t t, zn_args *args) {
    args->correction1 = (float)(1.0 / (1.0 - power(d->beta1, t + 1)));
    args->correction2 = (float)(1.0 / sqrt(1.0 - power(d->beta2, t + 1)));
}
