/* The passes, in order, with what a user wants to see on the way. */
#ifndef ZN_DRIVER_PIPELINE_H
#define ZN_DRIVER_PIPELINE_H

#include "passes/pass.h"

typedef struct zn_pipeline {
    int level;               /* -O */
    const char *passes;      /* --passes=a,b: these instead of the level's; NULL */
    const char *stop_after;  /* last pass to run; NULL = all */
    const char *print_after; /* name of a pass, or "all"; NULL */
    bool verify_each, time_passes;
    bool no_loc;   /* print without places in the user's file */
    zn_buf *log;   /* -v */
    zn_buf *dumps; /* gets what print_after and time_passes ask for */
} zn_pipeline;

/* Runs the passes over m. False after a report to d. A module that a pass broke ends in an internal error. */
bool zn_pipeline_run(zn_module *m, const zn_pipeline *p, zn_diags *d);
/* Checks the names in p->passes and p->print_after; false with a message to be freed. */
bool zn_pipeline_check(const zn_pipeline *p, char **error);
/* --list-passes, --list-ops */
void zn_list_passes(zn_buf *out);
void zn_list_ops(bool markdown, zn_buf *out);

#endif
