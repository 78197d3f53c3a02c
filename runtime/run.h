/* What a run measures and tells: shared by the loop, the log and the report. */
#ifndef ZN_RUNTIME_RUN_H
#define ZN_RUNTIME_RUN_H

#include "runtime/sha256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zn_rt_evaluation {
    double loss, accuracy; /* accuracy in percent; NaN where there are no classes */
    double views;          /* accuracy with test views, after the last step; NaN before and where there are none */
} zn_rt_evaluation;

/* After a step. */
typedef struct zn_rt_progress {
    int64_t epoch, epochs; /* epoch counts from 1 */
    int64_t step, steps;   /* done, and at the end */
    double loss;           /* mean over the batch */
    double mean_loss;      /* over this epoch so far */
    float lr;
    double accuracy; /* on the test of the last evaluation; NaN before the first, or where there is none */
    double validation, validation_loss; /* accuracy and loss on what is held out; NaN likewise */
    double images_per_second;           /* NaN before the second step */
    double seconds_left;                /* NaN likewise */
    double seconds;                     /* since the run began, without the time between two parts of it */
} zn_rt_progress;

typedef struct zn_rt_summary {
    zn_rt_evaluation test, validation; /* losses are NaN where there are no such samples */
    int64_t best_epoch; /* the epoch after which the weights of best.safetensors stood; 0: there is no such file */
    double best;        /* their accuracy on what is held out, or their loss where there are no classes */
    double seconds;     /* of the whole run, as in zn_rt_progress */
    double images_per_second, first_step_seconds;   /* NaN = was not measured */
    size_t planned_bytes, data_bytes, mapped_bytes; /* mapped: data that lies in files */
    size_t peak_bytes;                              /* 0 = not known */
    int64_t steps;                                  /* that the weights have seen */
    const char *source_sha256;
    char data_sha256[ZN_RT_SHA256_HEX];   /* "" where nobody asked */
    char start_sha256[ZN_RT_SHA256_HEX];  /* of the weights before the first step, as their file would be */
    char order_sha256[ZN_RT_SHA256_HEX];  /* of the samples in the order in which they were seen */
    char sha256[ZN_RT_SHA256_HEX];        /* of the weights after the last step */
    char logits_sha256[ZN_RT_SHA256_HEX]; /* of what the network says of the test images; "" where nobody asked */
    bool interrupted;
    int64_t classes;
    const int64_t *confusion; /* [classes, classes] test images: true, then predicted; NULL: nobody asked */
} zn_rt_summary;

#endif
