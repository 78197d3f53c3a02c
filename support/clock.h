/* Time that only goes forward, for measuring: no result depends on it. */
#ifndef ZN_SUPPORT_CLOCK_H
#define ZN_SUPPORT_CLOCK_H

#include <time.h>

/* Seconds since some moment. */
static inline double zn_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
