/* What a network says of samples (--predict): its outputs, or the likeliest classes. */
#ifndef ZN_RUNTIME_PREDICT_H
#define ZN_RUNTIME_PREDICT_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/options.h"
#include "runtime/runtime.h"

/* Reads o->predict, computes with the weights of o->init_from, writes o->outputs (may be NULL) and prints the o->top
 * likeliest classes of each sample. The outputs are those of an evaluation of the plain images, to the bit, whatever
 * the threads and however many samples there are. */
int zn_rt_predict(const zn_module_desc *m, const zn_rt_late *late, const zn_rt_options *o, zn_rt_error *e);

#endif
