/* How much memory the samples of an experiment take. */
#ifndef ZN_DRIVER_SAMPLES_H
#define ZN_DRIVER_SAMPLES_H

#include "ir/plan.h"

typedef struct zn_samples {
    int64_t data;   /* bytes in memory, for training and test */
    int64_t mapped; /* bytes of files that are mapped: in memory while there is some to spare */
    int64_t order;  /* bytes of the order of what is trained on */
} zn_samples;

/* From what the source says of itself, or of npy and images from the files, which are opened. False: not known. */
bool zn_samples_measure(const zn_module *m, const zn_plan *plan, zn_samples *s);

#endif
