/* A split through the evaluation program: its mean loss and accuracy, and what the options ask for beside: accuracy by
 * views, a table of true and predicted classes, the outputs in a file, a digest of them. */
#ifndef ZN_RUNTIME_EVALUATE_H
#define ZN_RUNTIME_EVALUATE_H

#include "runtime/dataset.h"
#include "runtime/error.h"
#include "runtime/loader.h"
#include "runtime/options.h"
#include "runtime/outputs.h"
#include "runtime/run.h"
#include "runtime/step.h"

/* The first five are given, the others belong to the evaluator. */
typedef struct zn_rt_evaluator {
    const zn_rt_engine *engine;
    zn_rt_loader *loader;
    const zn_rt_dataset *data;
    int *copy;    /* of the batch memory that is next: that of the steps */
    zn_args args; /* what all batches have: the seed */

    double *mean;          /* logits of a batch, over its views: [batch, classes]; NULL: there are none */
    bool mean_out;         /* the outputs are means over views */
    int64_t *confusion;    /* [classes, classes] of the test images: true, then predicted; NULL: nobody asked */
    zn_rt_outputs outputs; /* of the test samples */
    char logits_sha256[ZN_RT_SHA256_HEX]; /* of the test samples, of the last evaluation; "": nobody asked */
} zn_rt_evaluator;

typedef struct zn_rt_evaluate_what {
    int split;
    bool views;   /* of test images, where there are any: their accuracy, and their means in the file of outputs */
    bool digest;  /* of the outputs for test samples */
    int64_t step; /* after which this is: for the message that a loss is not finite */
    bool saved;   /* the weights are in their file: likewise */
} zn_rt_evaluate_what;

/* ZN_RT_USAGE: an option asks for what the network does not give. To be closed also then. */
int zn_rt_evaluator_open(zn_rt_evaluator *v, const zn_rt_options *o, zn_rt_error *e);
/* NaN where the split is empty, or has no classes or no views. ZN_RT_NONFINITE: a loss is not finite. */
int zn_rt_evaluate(zn_rt_evaluator *v, const zn_rt_evaluate_what *what, zn_rt_evaluation *out, zn_rt_error *e);
/* Memory of a training run, in bytes. */
size_t zn_rt_evaluator_bytes(const zn_rt_evaluator *v);
/* Removes a file of outputs that is not finished. */
void zn_rt_evaluator_close(zn_rt_evaluator *v);

#endif
