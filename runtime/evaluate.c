/* Evaluation (see runtime/evaluate.h).
 *
 * A batch is loaded while the one before is computed. It comes in all its views, one after the other, the plain images
 * first: those are what loss, accuracy and table are of, so that nothing is computed twice. Sums are in double
 * precision and in the order of samples. */
#include "runtime/evaluate.h"

#include "runtime/sha256.h"
#include "runtime/views.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFUSION = 256 }; /* classes of a table that somebody reads */

/* A pass over the batches. */
typedef struct pass {
    const zn_rt_evaluate_what *what;
    bool views;
    zn_rt_view view[ZN_RT_VIEWS];
    int64_t nview, batches;
    double loss;
    int64_t correct, by_views;
    zn_rt_sha256 digest; /* its state is NULL where there is none */
} pass;

int zn_rt_evaluator_open(zn_rt_evaluator *v, const zn_rt_options *o, zn_rt_error *e) {
    const zn_module_desc *m = v->engine->m;
    zn_rt_view view[ZN_RT_VIEWS];
    int64_t classes = m->input.classes, outputs = zn_rt_output_count(m);
    if (o->confusion && (classes < 1 || classes > MOST_CONFUSION))
        return zn_rt_fail(e, ZN_RT_USAGE, "--confusion takes a network of 1 to %d classes; this one has %" PRId64,
                          MOST_CONFUSION, classes);
    if (classes > 0 && zn_rt_views(&m->data, view) > 0 &&
        !(v->mean = calloc((size_t)(m->input.batch * classes), sizeof *v->mean)))
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the logits of views");
    if (o->confusion && !(v->confusion = calloc((size_t)(classes * classes), sizeof *v->confusion)))
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the table of classes");
    if (o->outputs && outputs < 1)
        return zn_rt_fail(e, ZN_RT_USAGE, "--outputs takes a network that gives numbers; this one gives images");
    if (o->views && !v->mean)
        return zn_rt_fail(e, ZN_RT_USAGE, "--views takes a file that asks for views of test images; this one does not");
    v->mean_out = o->views;
    return o->outputs ? zn_rt_outputs_open(&v->outputs, o->outputs, v->data->split[ZN_RT_TEST].n, outputs, e) : 0;
}

size_t zn_rt_evaluator_bytes(const zn_rt_evaluator *v) {
    const zn_input_desc *input = &v->engine->m->input;
    return v->mean ? (size_t)(input->batch * input->classes) * sizeof *v->mean : 0;
}

void zn_rt_evaluator_close(zn_rt_evaluator *v) {
    free(v->mean);
    free(v->confusion);
    zn_rt_outputs_close(&v->outputs);
    v->mean = NULL;
    v->confusion = NULL;
}

static const int32_t *labels_of(const zn_rt_evaluator *v, int copy) {
    return (const int32_t *)(const void *)(v->engine->mem->batch[copy] + v->engine->m->input.labels);
}

/* Which classes the `count` images of a batch are and are taken for. */
static void count_confusion(const zn_rt_evaluator *v, int copy, int64_t count) {
    const float *logits = zn_rt_output_rows(v->engine, copy);
    const int32_t *labels = labels_of(v, copy);
    int64_t classes = v->engine->m->input.classes;
    for (int64_t i = 0; i < count; i++) {
        const float *x = logits + i * classes;
        int64_t first_largest = 0;
        for (int64_t j = 1; j < classes; j++)
            if (x[j] > x[first_largest])
                first_largest = j;
        v->confusion[labels[i] * classes + first_largest]++;
    }
}

/* What is done with the logits of plain test samples. */
static int use_logits(zn_rt_evaluator *v, int copy, int64_t count, pass *p, zn_rt_error *e) {
    int64_t n = count * zn_rt_output_count(v->engine->m);
    const float *logits = n > 0 ? zn_rt_output_rows(v->engine, copy) : NULL;
    if (!logits)
        return 0;
    if (v->confusion)
        count_confusion(v, copy, count);
    int code = v->outputs.open && !v->mean_out ? zn_rt_outputs_add(&v->outputs, logits, n, e) : 0;
    return !code && p->digest.state ? zn_rt_sha256_add(&p->digest, logits, (size_t)n * sizeof *logits, e) : code;
}

/* What the plain images of a batch gave. */
static int use_plain(zn_rt_evaluator *v, int copy, const zn_args *args, pass *p, zn_rt_error *e) {
    const zn_rt_evaluate_what *what = p->what;
    double sum = zn_rt_loss_sum(v->engine, ZN_RT_EVAL, copy, args->count);
    if (!isfinite(sum)) {
        zn_rt_loader_wait(v->loader);
        zn_rt_fail(e, ZN_RT_NONFINITE,
                   "the loss is not finite in the evaluation of the %s images, from image %" PRIu32
                   " on, after %" PRId64 " steps%s",
                   zn_rt_split_names[what->split], args->position, what->step,
                   what->saved ? "" : "; no weights are written");
        return zn_rt_explain_nonfinite(v->engine, ZN_RT_EVAL, copy, args, e);
    }
    p->loss += sum;
    if (v->engine->m->input.classes > 0)
        p->correct += zn_rt_correct_count(v->engine, ZN_RT_EVAL, copy, args->count);
    return what->split == ZN_RT_TEST ? use_logits(v, copy, args->count, p, e) : 0;
}

/* Adds the logits of a view; behind the last one the means say what the images are. */
static int use_view(zn_rt_evaluator *v, int copy, int64_t view, int64_t count, pass *p, zn_rt_error *e) {
    int64_t classes = v->engine->m->input.classes;
    const float *logits = zn_rt_output_rows(v->engine, copy);
    for (int64_t i = 0; i < count * classes; i++)
        v->mean[i] = (view == 0 ? 0 : v->mean[i]) + p->view[view].weight * (double)logits[i];
    if (view < p->nview - 1)
        return 0;
    int code = 0;
    for (int64_t i = 0; i < count; i++) {
        const double *x = v->mean + i * classes;
        int64_t first_largest = 0;
        for (int64_t j = 1; j < classes; j++)
            if (x[j] > x[first_largest])
                first_largest = j;
        p->by_views += first_largest == labels_of(v, copy)[i];
    }
    for (int64_t i = 0; v->outputs.open && v->mean_out && i < count * classes && !code; i++) {
        float rounded = (float)v->mean[i];
        code = zn_rt_outputs_add(&v->outputs, &rounded, 1, e);
    }
    return code;
}

/* Asks for batch i / nview in view i % nview, if there is one. */
static void request(const zn_rt_evaluator *v, const pass *p, int64_t i) {
    if (i == p->batches * p->nview)
        return;
    zn_rt_loader_request(v->loader, *v->copy,
                         (zn_rt_load){.split = p->what->split,
                                      .position = i / p->nview * v->engine->m->input.batch,
                                      .view = i % p->nview ? &p->view[i % p->nview] : NULL});
}

static int run_batches(zn_rt_evaluator *v, pass *p, zn_rt_error *e) {
    int64_t n = v->data->split[p->what->split].n, batch = v->engine->m->input.batch;
    zn_rt_loader_wait(v->loader); /* for a batch asked for by a run that stopped early */
    request(v, p, 0);
    for (int64_t i = 0; i < p->batches * p->nview; i++) {
        int copy = *v->copy;
        int64_t at = i / p->nview * batch, view = i % p->nview;
        zn_args args = v->args;
        args.position = (uint32_t)at;
        args.count = (uint32_t)(n - at < batch ? n - at : batch);
        zn_rt_loader_wait(v->loader);
        *v->copy = 1 - copy;
        request(v, p, i + 1);
        zn_rt_run_phases(v->engine, ZN_RT_EVAL, copy, &args, 0, zn_rt_program(v->engine, ZN_RT_EVAL)->nphase);
        int code = view ? 0 : use_plain(v, copy, &args, p, e);
        if (!code && p->views)
            code = use_view(v, copy, view, args.count, p, e);
        if (code) {
            zn_rt_loader_wait(v->loader); /* it may be reading *p */
            return code;
        }
    }
    return 0;
}

int zn_rt_evaluate(zn_rt_evaluator *v, const zn_rt_evaluate_what *what, zn_rt_evaluation *out, zn_rt_error *e) {
    const zn_module_desc *m = v->engine->m;
    int64_t n = v->data->split[what->split].n, classes = m->input.classes;
    bool test = what->split == ZN_RT_TEST;
    pass p = {.what = what,
              .views = test && what->views && v->mean,
              .nview = 1,
              .batches = (n + m->input.batch - 1) / m->input.batch};
    *out = (zn_rt_evaluation){(double)NAN, (double)NAN, (double)NAN};
    if (test)
        v->logits_sha256[0] = '\0';
    if (test && v->confusion)
        memset(v->confusion, 0, (size_t)(classes * classes) * sizeof *v->confusion);
    if (n == 0)
        return 0;
    if (p.views)
        p.nview = zn_rt_views(&m->data, p.view);
    int code = test && what->digest && zn_rt_output_count(m) > 0 ? zn_rt_sha256_start(&p.digest, e) : 0;
    if (!code)
        code = run_batches(v, &p, e);
    if (!code && p.digest.state)
        code = zn_rt_sha256_end(&p.digest, v->logits_sha256, e);
    zn_rt_sha256_free(&p.digest);
    if (code)
        return code;
    out->loss = p.loss / (double)n;
    if (classes > 0)
        out->accuracy = 100.0 * (double)p.correct / (double)n;
    if (p.views)
        out->views = 100.0 * (double)p.by_views / (double)n;
    return 0;
}
