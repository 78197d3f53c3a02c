/* The log: one JSON object a line, to --log FILE and to log.jsonl in the --out directory (docs/runtime-abi.md). */
#ifndef ZN_RUNTIME_LOG_H
#define ZN_RUNTIME_LOG_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/options.h"
#include "runtime/rank.h"
#include "runtime/run.h"
#include "runtime/text.h"

#include <stdbool.h>
#include <stdio.h>

/* The two logs there may be, --log FILE and that of --out. */
enum { ZN_RT_LOG_FILE, ZN_RT_LOG_OUT, ZN_RT_LOGS };

/* Zero-initialise to start. */
typedef struct zn_rt_log {
    struct {
        FILE *f;        /* NULL: there is none */
        bool continued; /* the start of the run stands in it already */
        char path[4096];
    } to[ZN_RT_LOGS];
    int n;     /* how many there are */
    bool same; /* both names are of one file, which is the first */
    zn_rt_text line;
} zn_rt_log;

/* Either may be NULL. keep: NULL empties them; otherwise so many bytes of each are kept and what follows is cut off, or
 * all is where there are fewer (-1: all). */
int zn_rt_log_open(zn_rt_log *log, const char *path, const char *directory, const int64_t keep[ZN_RT_LOGS],
                   zn_rt_error *e);
/* How long the logs are, for zn_rt_log_open; flushed to the disk. -1: there is none, or it is not a file. */
void zn_rt_log_sizes(zn_rt_log *log, int64_t bytes[ZN_RT_LOGS]);
/* Reports what could not be written until then. */
int zn_rt_log_close(zn_rt_log *log, zn_rt_error *e);

int zn_rt_log_start(zn_rt_log *log, const zn_module_desc *m, const zn_rt_options *o, const char *data_sha256,
                    const char *start_sha256, int64_t seed, int threads, zn_rt_error *e);
/* In place of the start where the log of an earlier process is continued: after how many steps. Either event goes to
 * the logs that it is for. */
int zn_rt_log_resume(zn_rt_log *log, const zn_module_desc *m, int64_t step, int threads, zn_rt_error *e);
int zn_rt_log_initial(zn_rt_log *log, const zn_rt_evaluation *train, const zn_rt_evaluation *test,
                      const zn_rt_evaluation *validation, zn_rt_error *e);
int zn_rt_log_step(zn_rt_log *log, const zn_rt_progress *p, zn_rt_error *e);
int zn_rt_log_epoch(zn_rt_log *log, const zn_rt_progress *p, const zn_rt_evaluation *test,
                    const zn_rt_evaluation *validation, zn_rt_error *e);
/* epoch: 0 before the first step. */
int zn_rt_log_rank(zn_rt_log *log, const zn_rt_progress *p, const zn_rt_rank *rank, zn_rt_error *e);
/* counts: [classes, classes] test images: true, then predicted. */
int zn_rt_log_confusion(zn_rt_log *log, int64_t classes, const int64_t *counts, zn_rt_error *e);
int zn_rt_log_end(zn_rt_log *log, const zn_rt_summary *s, zn_rt_error *e);

#endif
