/* The command line of a training program. */
#ifndef ZN_RUNTIME_OPTIONS_H
#define ZN_RUNTIME_OPTIONS_H

#include "runtime/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum zn_rt_action {
    ZN_RT_DO_TRAIN,
    ZN_RT_DO_EVAL,
    ZN_RT_DO_PREDICT,
    ZN_RT_DO_HELP,
    ZN_RT_DO_VERSION,
    ZN_RT_DO_SOURCE
} zn_rt_action;
typedef enum zn_rt_progress_mode { ZN_RT_PROGRESS_AUTO, ZN_RT_PROGRESS_PLAIN, ZN_RT_PROGRESS_NONE } zn_rt_progress_mode;

enum { ZN_RT_MAPS = 256 };
typedef struct zn_rt_options {
    zn_rt_action action;
    zn_rt_progress_mode progress;
    const char *data, *out, *init_from, *log, *log_rank, *outputs, *predict; /* NULL = not given */
    double epochs;                                                           /* -1 = not given */
    int64_t steps;                                                           /* -1 = not given */
    int64_t log_every;                                                       /* 0 = none */
    int64_t seed;
    int64_t checkpoint_every; /* 0 = at the end of epochs alone */
    int64_t top;              /* classes that --predict prints for each sample; 0 = none */
    double stop_above;        /* a loss; infinite = not given */
    bool has_seed, eval_first, confusion, views, resume, overwrite;
    int threads;                 /* 0 = not given */
    const char *map[ZN_RT_MAPS]; /* old=new */
    int nmap;
} zn_rt_options;

int zn_rt_options_parse(zn_rt_options *o, int argc, char **argv, zn_rt_error *e);
/* Is this the name of an option, with its dashes and perhaps =VALUE? */
bool zn_rt_option_known(const char *argument);
extern const char zn_rt_options_help[];

#endif
