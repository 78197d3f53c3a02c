/* The log: one JSON object a line, to --log FILE and to log.jsonl in the --out directory (docs/runtime-abi.md). */
#ifndef ZN_RUNTIME_LOG_H
#define ZN_RUNTIME_LOG_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/options.h"
#include "runtime/rank.h"
#include "runtime/run.h"
#include "runtime/text.h"

#include <stdio.h>

/* Zero-initialise to start. */
typedef struct zn_rt_log {
    struct {
        FILE *f;
        char path[4096];
    } to[2];
    int n;
    zn_rt_text line;
} zn_rt_log;

/* Either may be NULL. */
int zn_rt_log_open(zn_rt_log *log, const char *path, const char *directory, zn_rt_error *e);
/* Reports what could not be written until then. */
int zn_rt_log_close(zn_rt_log *log, zn_rt_error *e);

int zn_rt_log_start(zn_rt_log *log, const zn_module_desc *m, const zn_rt_options *o, const char *data_sha256,
                    const char *start_sha256, int64_t seed, int threads, zn_rt_error *e);
int zn_rt_log_initial(zn_rt_log *log, const zn_rt_evaluation *train, const zn_rt_evaluation *test,
                      const zn_rt_evaluation *validation, zn_rt_error *e);
int zn_rt_log_step(zn_rt_log *log, const zn_rt_progress *p, zn_rt_error *e);
int zn_rt_log_epoch(zn_rt_log *log, const zn_rt_progress *p, const zn_rt_evaluation *test,
                    const zn_rt_evaluation *validation, zn_rt_error *e);
/* epoch: 0 before the first step. */
int zn_rt_log_rank(zn_rt_log *log, const zn_rt_progress *p, const zn_rt_rank *rank, zn_rt_error *e);
int zn_rt_log_end(zn_rt_log *log, const zn_rt_summary *s, zn_rt_error *e);

#endif
