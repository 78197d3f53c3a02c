/* Learning rate schedules in double precision, rounded to float at the end (docs: language, train). With W steps of
 * warm-up and T in all, step t uses lr (t + 1) / W while t < W; then constant lr; or lr times `factor` once for every
 * entry of `at` (in epochs) that was reached; or end + (lr - end)(1 + cos(pi (t - W) / (T - W))) / 2. */
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

void zn_rt_corrections(const zn_train_desc *d, int64_t t, zn_args *args) {
    args->correction1 = (float)(1.0 / (1.0 - power(d->beta1, t + 1)));
    args->correction2 = (float)(1.0 / sqrt(1.0 - power(d->beta2, t + 1)));
}
