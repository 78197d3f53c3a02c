/* The training loop. */
#ifndef ZN_RUNTIME_TRAIN_H
#define ZN_RUNTIME_TRAIN_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/options.h"
#include "runtime/report.h"
#include "runtime/runtime.h"

/* Everything from opening files to the summary; returns the exit code. late: may be NULL. */
int zn_rt_train(const zn_module_desc *m, const zn_rt_late *late, const zn_rt_options *o, zn_rt_report *report,
                zn_rt_error *e);

#endif
