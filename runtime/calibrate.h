/* Starts that look at data: what is done to weights behind their formulas, before the first step. */
#ifndef ZN_RUNTIME_CALIBRATE_H
#define ZN_RUNTIME_CALIBRATE_H

#include "runtime/dataset.h"
#include "runtime/error.h"
#include "runtime/loader.h"
#include "runtime/step.h"

typedef struct zn_rt_calibration {
    const zn_rt_engine *engine;
    zn_args args;
    const zn_rt_dataset *data; /* NULL: there is none; what lies in the first batch memory is the only batch, and */
    zn_rt_loader *loader;      /* whitening leaves its weights */
} zn_rt_calibration;

/* notes gets a message for each weight that could not be calibrated and has been left as it was; "" if there is none.
 * The result does not depend on threads. */
int zn_rt_calibrate(const zn_rt_calibration *c, zn_rt_error *notes, zn_rt_error *e);

#endif
