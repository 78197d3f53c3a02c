/* See predict.h. The samples go through the loader and the evaluation program, as those of the test do; images are
 * normalised by the numbers of the file, or by the statistics of the training data: preprocess.json beside the weights
 * has them, or the data itself. */
#include "runtime/predict.h"

#include "runtime/cpu.h"
#include "runtime/inputs.h"
#include "runtime/loader.h"
#include "runtime/outputs.h"
#include "runtime/preprocess.h"
#include "runtime/report.h"
#include "runtime/statistics.h"
#include "runtime/step.h"
#include "runtime/weights.h"

#include "support/math.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct prediction {
    const zn_module_desc *m; /* a copy whose images are normalised by given numbers */
    const zn_rt_options *o;
    zn_rt_memory mem;
    zn_rt_pool *pool;
    zn_rt_inputs inputs;
    zn_rt_loader *loader;
    zn_rt_outputs outputs;
    double *statistics; /* mean, then deviation, of each channel */
    zn_rt_guess *guess; /* of all classes */
} prediction;

/* Statistics of the training data, from beside the weights or from the data. */
static int find_statistics(prediction *p, const zn_module_desc *m, zn_module_desc *given, zn_rt_error *e) {
    int64_t n = p->inputs.data.channels;
    bool found;
    if (m->data.normalize != ZN_NORMALIZE_PER_CHANNEL)
        return 0;
    p->statistics = calloc((size_t)n, 2 * sizeof *p->statistics);
    if (!p->statistics)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the statistics of the data");
    int code = zn_rt_preprocess_load(p->o->init_from, n, p->statistics, p->statistics + n, &found, e);
    if (!code && !found) {
        zn_rt_dataset data;
        code = zn_rt_dataset_open(&data, m, p->o->data, p->pool, e);
        if (code) {
            zn_rt_explain(e, "\nimages are normalised by statistics of the training data; preprocess.json, which a run "
                             "writes beside its weights, has them, and is not there");
            return code;
        }
        code = data.channels == n ? zn_rt_channel_statistics(&data, p->pool, p->statistics, p->statistics + n, e)
                                  : zn_rt_fail(e, ZN_RT_INPUT, "the training data has another number of channels");
        zn_rt_dataset_close(&data);
    }
    for (int64_t i = n; i < 2 * n; i++)
        if (p->statistics[i] == 0)
            p->statistics[i] = 1;
    given->data.normalize = ZN_NORMALIZE_GIVEN;
    given->data.nchannels = (uint64_t)n;
    given->data.mean = p->statistics;
    given->data.deviation = p->statistics + n;
    return code;
}

static int compare_guesses(const void *a, const void *b) {
    const zn_rt_guess *x = a, *y = b;
    if (x->probability != y->probability)
        return x->probability < y->probability ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The classes of a row of logits, the likeliest first, of equal ones the first; probabilities are in double precision.
 */
static void rank_classes(const float *logits, int64_t n, zn_rt_guess *g) {
    float largest = logits[0];
    double sum = 0;
    for (int64_t i = 1; i < n; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    for (int64_t i = 0; i < n; i++) {
        g[i] = (zn_rt_guess){i, (double)zn_expf(logits[i] - largest)};
        sum += g[i].probability;
    }
    for (int64_t i = 0; i < n; i++)
        g[i].probability /= sum;
    qsort(g, (size_t)n, sizeof *g, compare_guesses);
}

static int use_row(prediction *p, int64_t sample, const float *row, int64_t n, zn_rt_error *e) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(row[i]))
            return zn_rt_fail(e, ZN_RT_NONFINITE, "what the network gives for sample %" PRId64 " is not finite",
                              sample);
    if (!p->o->top)
        return 0;
    rank_classes(row, n, p->guess);
    return zn_rt_report_guesses(p->inputs.name ? p->inputs.name[sample] : NULL, sample, p->guess,
                                p->o->top < n ? (int)p->o->top : (int)n, e);
}

static int predict_all(prediction *p, zn_rt_error *e) {
    zn_rt_engine engine = {p->m, &p->mem, p->pool};
    int64_t n = p->inputs.data.split[ZN_RT_TRAINING].n, batch = p->m->input.batch, outputs = zn_rt_output_count(p->m);
    const zn_program *program = zn_rt_program(&engine, ZN_RT_EVAL);
    int code = 0;
    for (int64_t at = 0; at < n && !code; at += batch) {
        int64_t count = n - at < batch ? n - at : batch;
        zn_args args = {.count = (uint32_t)count, .position = (uint32_t)at};
        zn_rt_loader_request(p->loader, 0, (zn_rt_load){.split = ZN_RT_TRAINING, .position = at});
        zn_rt_loader_wait(p->loader);
        zn_rt_run_phases(&engine, ZN_RT_EVAL, 0, &args, 0, program->nphase);
        const float *rows = zn_rt_output_rows(&engine, 0);
        for (int64_t i = 0; i < count && !code; i++)
            code = use_row(p, at + i, rows + i * outputs, outputs, e);
        if (!code && p->outputs.open)
            code = zn_rt_outputs_add(&p->outputs, rows, count * outputs, e);
    }
    return code;
}

/* Weights, and everything that can be wrong before the first sample is looked at. */
static int open_all(prediction *p, const zn_module_desc *m, zn_module_desc *given, zn_rt_error *e) {
    const zn_rt_options *o = p->o;
    int64_t outputs = zn_rt_output_count(m);
    if (outputs < 1)
        return zn_rt_fail(e, ZN_RT_USAGE, "--predict takes a network that gives numbers; this one gives images");
    if (o->top && m->input.classes < 1)
        return zn_rt_fail(e, ZN_RT_USAGE, "--top takes a network of classes; --outputs FILE.npy has its numbers");
    int code = zn_rt_memory_open(&p->mem, m, e);
    if (!code)
        code = zn_rt_pool_open(&p->pool, o->threads ? o->threads : zn_rt_processors(), p->mem.scratch_size,
                               m->blas_start, e);
    if (!code)
        code = zn_rt_weights_read(m, p->mem.param, o->init_from, o->map, o->nmap, e);
    if (!code)
        code = zn_rt_weights_finite(m, p->mem.param, e);
    if (!code)
        code = zn_rt_inputs_open(&p->inputs, m, o->predict, p->pool, e);
    if (!code)
        code = find_statistics(p, m, given, e);
    if (!code)
        code = zn_rt_loader_open(&p->loader, given, &p->inputs.data, &p->mem, 1, p->pool, e);
    if (!code && !(p->guess = calloc((size_t)outputs, sizeof *p->guess)))
        code = zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for a table of classes");
    if (!code && o->outputs)
        code = zn_rt_outputs_open(&p->outputs, o->outputs, p->inputs.data.split[ZN_RT_TRAINING].n, outputs, e);
    return code;
}

int zn_rt_predict(const zn_module_desc *m, const zn_rt_late *late, const zn_rt_options *o, zn_rt_error *e) {
    zn_module_desc given = *m;
    prediction p = {.m = &given, .o = o};
    int code = open_all(&p, m, &given, e);
    if (!code && late)
        code = late->make(late->ctx, e);
    if (!code)
        code = predict_all(&p, e);
    if (!code && p.outputs.open)
        code = zn_rt_outputs_finish(&p.outputs, e);
    if (!code && o->top)
        code = zn_rt_report_flush(e);
    zn_rt_outputs_close(&p.outputs);
    zn_rt_loader_close(p.loader);
    zn_rt_inputs_close(&p.inputs);
    zn_rt_pool_close(p.pool);
    zn_rt_memory_close(&p.mem);
    free(p.statistics);
    free(p.guess);
    return code;
}
