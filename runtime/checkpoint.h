/* Checkpoints: all that a run needs to go on to the same bits.
 *
 * A file checkpoint-N.znc in the directory of --out is the state after N steps (docs/runtime-abi.md has its layout). It
 * is written under a temporary name, flushed to the disk and renamed, and ends with a digest of all that stands before.
 * The last two are kept. */
#ifndef ZN_RUNTIME_CHECKPOINT_H
#define ZN_RUNTIME_CHECKPOINT_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

#include <stdbool.h>

/* What a run and a checkpoint must agree in. */
typedef struct zn_rt_identity {
    const zn_module_desc *m;
    const char *data_sha256;
    const char *init_from; /* the file the run started from; NULL: none */
    int64_t seed;
    double epochs;
    int64_t total; /* steps of the schedule */
} zn_rt_identity;

/* Where a run stands, beside its parameters. */
typedef struct zn_rt_reached {
    int64_t step;      /* done; -1: there is no checkpoint */
    bool ended;        /* the run went as far as it was asked to */
    bool unevaluated;  /* the step ended an epoch, whose evaluation has not been logged */
    double loss_sum;   /* of the epoch's steps so far */
    double seconds;    /* that the run has taken so far */
    int64_t best_step; /* whose weights were the best on what is held out; 0: none */
    double best;       /* their accuracy there, or their loss where there are no classes */
    char start_sha256[ZN_RT_SHA256_HEX], order_sha256[ZN_RT_SHA256_HEX];
    int64_t log_bytes[2]; /* of the logs (runtime/log.h) at that time; -1: there was none */
} zn_rt_reached;

/* Writes directory/checkpoint-STEP.znc and removes all but it and the one before. A full disk costs the one before
 * that, and nothing else. On failure the others stay. */
int zn_rt_checkpoint_write(const char *directory, const zn_rt_identity *id, const zn_rt_reached *at, const char *param,
                           zn_rt_error *e);

/* Reads one file. ZN_RT_INPUT: it is damaged; ZN_RT_MISFIT: it is of another run, and the message says what differs.
 * param changes only where it is sound and fits. */
int zn_rt_checkpoint_read(const char *path, const zn_rt_identity *id, zn_rt_reached *at, char *param, zn_rt_error *e);

/* Reads the last one that is sound; notes names those that are not. at->step is -1 where there is none at all; that all
 * are damaged is an error. */
int zn_rt_checkpoint_resume(const char *directory, const zn_rt_identity *id, zn_rt_reached *at, char *param,
                            zn_rt_error *notes, zn_rt_error *e);

/* Whether a sound checkpoint lies there of a run that did not come to its end; which one goes to *step, and the steps
 * of that run to *total. */
bool zn_rt_checkpoint_unfinished(const char *directory, int64_t *step, int64_t *total);

/* Removes all. */
void zn_rt_checkpoint_clear(const char *directory);

#endif
