/* How the runtime reports failure: functions return 0 or an exit code and leave the message in a zn_rt_error. Nothing
 * below runtime/report.c prints. */
#ifndef ZN_RUNTIME_ERROR_H
#define ZN_RUNTIME_ERROR_H

/* Exit codes of a training program (docs/runtime-abi.md). */
enum {
    ZN_RT_OK = 0,
    ZN_RT_USAGE = 2,      /* command line, or a processor without what the program needs */
    ZN_RT_INPUT = 3,      /* files, data, logs */
    ZN_RT_NONFINITE = 10, /* loss or weights are NaN or infinite */
    ZN_RT_MEMORY = 11,
    ZN_RT_MISFIT = 12,   /* weights for another network */
    ZN_RT_INTERNAL = 70, /* a module that breaks its own contract */
    ZN_RT_STOPPED = 75   /* interrupted; what was reached is written */
};

typedef struct zn_rt_error {
    char text[2048]; /* one or more lines, without the last newline */
} zn_rt_error;

/* Writes the message (cut if too long) and returns code. */
int zn_rt_fail(zn_rt_error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds to the message. */
void zn_rt_explain(zn_rt_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
