/* All that a training program prints: errors and progress to stderr, results to stdout. */
#ifndef ZN_RUNTIME_REPORT_H
#define ZN_RUNTIME_REPORT_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/options.h"
#include "runtime/rank.h"
#include "runtime/run.h"

typedef struct zn_rt_report {
    bool live;  /* one line, rewritten in place */
    bool steps; /* a line at every --log-every */
    bool epochs;
    bool line_open; /* the live line stands on the screen */
    double last;    /* when it was written */
    int64_t every;
} zn_rt_report;

void zn_rt_report_open(zn_rt_report *r, zn_rt_progress_mode mode, int64_t log_every);
/* Before the first step. images: for training, test and validation. out: the directory that keeps the weights, or NULL.
 * resumed: the steps that are done; -1: the run begins. */
void zn_rt_report_start(zn_rt_report *r, const zn_module_desc *m, const int64_t images[3], int threads, const char *out,
                        int64_t resumed);
/* In the middle of a run. */
void zn_rt_report_warning(zn_rt_report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Warnings of the start, if there are any. */
void zn_rt_report_notes(const zn_rt_error *notes);
void zn_rt_report_initial(zn_rt_report *r, const zn_rt_evaluation *train, const zn_rt_evaluation *test,
                          const zn_rt_evaluation *validation);
void zn_rt_report_step(zn_rt_report *r, const zn_rt_progress *p);
void zn_rt_report_epoch(zn_rt_report *r, const zn_rt_progress *p);
void zn_rt_report_rank(zn_rt_report *r, const zn_rt_rank *rank);
/* The result, on stdout; a failure to write is an error. */
int zn_rt_report_end(zn_rt_report *r, const zn_rt_summary *s, zn_rt_error *e);
/* A class and how likely it is. */
typedef struct zn_rt_guess {
    int64_t index;
    double probability;
} zn_rt_guess;
/* A line on stdout: the sample's name, or its number from 0 where it has none, and n guesses, between tabs. */
int zn_rt_report_guesses(const char *name, int64_t sample, const zn_rt_guess *guess, int n, zn_rt_error *e);
/* Whether all of it was written. */
int zn_rt_report_flush(zn_rt_error *e);
int zn_rt_report_source(const zn_module_desc *m, zn_rt_error *e);
int zn_rt_report_version(const zn_module_desc *m, zn_rt_error *e);
int zn_rt_report_help(const char *program, zn_rt_error *e);
/* "program: error: ..." */
void zn_rt_report_error(zn_rt_report *r, const char *program, const zn_rt_error *e);

#endif
