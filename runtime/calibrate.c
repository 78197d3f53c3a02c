/* Calibration (see runtime/calibrate.h): lsuv and variance_aware, layer by layer.
 *
 * The program "calibrate" runs up to a layer, the layer is measured, its weights are set, and the program goes on from
 * the layer's phases; with one batch all of it is little more than one forward pass. What is measured is summed in
 * double precision, image by image, the images in order: threads only decide who sums which image.
 *
 * lsuv            arXiv 1511.06422, algorithm 1: while the variance of the output is further from 1 than the tolerance,
 *                 and tries are left, the weights are divided by its root. The variance is that of all elements of the
 *                 first batch around their mean, before the bias (which is 0).
 * variance_aware  arXiv 2112.03777: weights drawn from normal(a) become those of variance gain^2 / V. V is the mean
 * over images, positions and groups of the squared norm of what one output is made of; instead of patches, every
 * element of the input is counted as often as windows hold it. */
#include "runtime/calibrate.h"

#include "runtime/whitening.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { NOTES = 4 }; /* of weights that are not calibrated; of others only the number is told */

typedef struct state {
    const zn_rt_calibration *c;
    const zn_module_desc *m;
    zn_rt_error *notes;
    double *partial; /* of each image of a batch */
    int64_t batches; /* that the training images fill */
    int64_t loaded;  /* batch in memory; -1: none */
    int left;        /* weights that could not be calibrated */
    uint64_t done;   /* phases that have run on it, with weights as they are */
} state;

/* ---- measuring */

typedef struct measure {
    const zn_calibration_desc *c;
    const zn_kept *at;
    const float *base;
    double mean;
    double *partial;
    const int64_t *kernel; /* of a convolution: its height and width */
} measure;

static int64_t row_of(const zn_kept *x) {
    return x->rank == 4 ? x->dim[2] * x->dim[3] : x->dim[1];
}
static int64_t rows_of(const zn_kept *x) {
    return x->rank == 4 ? x->dim[1] : 1;
}
static const float *row_at(const measure *m, int64_t image, int64_t row) {
    const zn_kept *x = m->at;
    return x->rank == 4 ? m->base + x->first + (uint64_t)image * x->image_pitch + (uint64_t)row * x->pitch
                        : m->base + x->first + image * x->dim[1];
}

/* Elements, or squares of their distance from `mean`. */
static void sum_of(const measure *m, int64_t begin, int64_t end, bool squares) {
    for (int64_t n = begin; n < end; n++) {
        double sum = 0;
        for (int64_t y = 0; y < rows_of(m->at); y++) {
            const float *x = row_at(m, n, y);
            for (int64_t i = 0; i < row_of(m->at); i++) {
                double d = (double)x[i] - m->mean;
                sum += squares ? d * d : (double)x[i];
            }
        }
        m->partial[n] = sum;
    }
}

static void sum_images(void *ctx, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    sum_of(ctx, begin, end, false);
}

static void spread_images(void *ctx, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    sum_of(ctx, begin, end, true);
}

/* Windows of k, from -before on, `stride` apart, `n` of them, that hold place i. */
static int64_t windows(int64_t i, int64_t k, int64_t before, int64_t stride, int64_t n) {
    int64_t at = i + before, first = at < k ? 0 : (at - k) / stride + 1, last = at / stride;
    last = last < n - 1 ? last : n - 1;
    return last < first ? 0 : last - first + 1;
}

/* Squares of what the layer reads, each as often as it is read. */
static void norm_images(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const measure *m = ctx;
    const zn_calibration_desc *c = m->c;
    const zn_kept *in = m->at, *out = &c->output;
    const int64_t *k = m->kernel;
    bool image = in->rank == 4;
    int64_t width = image ? in->dim[2] : 1, channels = image ? in->dim[3] : in->dim[1];
    (void)scratch;
    for (int64_t n = begin; n < end; n++) {
        double sum = 0;
        for (int64_t y = 0; y < rows_of(in); y++) {
            const float *at = row_at(m, n, y);
            double down = image ? (double)windows(y, k[0], c->before[0], c->stride[0], out->dim[1]) : 1, row = 0;
            for (int64_t x = 0; x < width; x++, at += channels) {
                double across = image ? (double)windows(x, k[1], c->before[1], c->stride[1], out->dim[2]) : 1,
                       square = 0;
                for (int64_t i = 0; i < channels; i++)
                    square += (double)at[i] * (double)at[i];
                row += across * square;
            }
            sum += down * row;
        }
        m->partial[n] = sum;
    }
}

/* A sum over the images of `at`, which the program has just computed. */
static double sum_over(state *s, const zn_calibration_desc *c, const zn_kept *at, double mean, zn_rt_work *work) {
    measure m = {c, at, zn_rt_memory_at(s->c->engine->mem, at->at, 0), mean, s->partial, s->m->tensor[c->tensor].dim};
    zn_rt_parfor(s->c->engine->pool, work, &m, at->dim[0], 1);
    double sum = 0;
    for (int64_t n = 0; n < at->dim[0]; n++)
        sum += s->partial[n];
    return sum;
}

/* ---- running */

static void load(state *s, int64_t batch) {
    s->loaded = batch;
    s->done = 0;
    if (!s->c->data)
        return;
    zn_rt_loader_request(s->c->loader, 0, (zn_rt_load){.position = batch * s->m->input.batch});
    zn_rt_loader_wait(s->c->loader);
}

/* Runs the program up to phase `until`, on this batch. */
static void reach(state *s, int64_t batch, uint64_t until) {
    if (s->loaded != batch)
        load(s, batch);
    if (s->done < until)
        zn_rt_run_phases(s->c->engine, ZN_RT_CALIBRATE, 0, &s->c->args, s->done, until);
    s->done = until;
}

static float *weight(const state *s, const zn_calibration_desc *c, size_t *n) {
    const zn_tensor_desc *t = &s->m->tensor[c->tensor];
    *n = zn_rt_tensor_count(t);
    return (float *)(void *)(s->c->engine->mem->param + t->offset);
}

/* Multiplies the weights, unless one would be no number: false. The layer has to run again. */
static bool scale(state *s, const zn_calibration_desc *c, double factor) {
    size_t n;
    float *w = weight(s, c, &n);
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs((double)w[i]) > most ? fabs((double)w[i]) : most;
    if (!(factor > 0) || !(most * factor <= (double)FLT_MAX))
        return false;
    for (size_t i = 0; i < n; i++)
        w[i] = (float)((double)w[i] * factor);
    s->done = c->first;
    return true;
}

static void note(state *s, const zn_calibration_desc *c, const char *what, double value) {
    const zn_tensor_desc *t = &s->m->tensor[c->tensor];
    if (s->left++ >= NOTES)
        return;
    zn_rt_explain(s->notes, "%swarning: %s is not calibrated: %s %g", s->left > 1 ? "\n" : "", t->name, what, value);
    zn_rt_explain_place(s->m, t->line, s->notes);
}

static void lsuv(state *s, const zn_calibration_desc *c) {
    const zn_kept *out = &c->output;
    double n = (double)(out->dim[0] * rows_of(out) * row_of(out)), variance = 1;
    for (int64_t t = 0; t <= c->n; t++) {
        reach(s, 0, c->end);
        double mean = sum_over(s, c, out, 0, sum_images) / n;
        variance = sum_over(s, c, out, mean, spread_images) / n;
        if (fabs(variance - 1) <= c->a)
            return;
        /* a variance that is the rounding of equal numbers is none */
        if (t == c->n || !(variance > 1e-12 * mean * mean) || !scale(s, c, 1 / sqrt(variance)))
            break;
    }
    note(s, c, "on the first batch its layer's output has the variance", variance);
}

static void variance_aware(state *s, const zn_calibration_desc *c) {
    const zn_kept *in = &c->input, *out = &c->output;
    int64_t batches = c->n < s->batches ? c->n : s->batches,
            places = out->rank == 4 ? out->dim[1] * out->dim[2] * c->groups : 1;
    double sum = 0;
    for (int64_t b = 0; b < batches; b++) {
        reach(s, b, c->first);
        sum += sum_over(s, c, in, 0, norm_images);
    }
    double norm = sum / (double)(batches * in->dim[0] * places), drawn = (double)s->m->tensor[c->tensor].a;
    if (!(norm > 0) || !scale(s, c, c->a / (sqrt(norm) * drawn)))
        note(s, c, "the mean squared norm of what its layer reads is", norm);
}

static int whitening(state *s, const zn_calibration_desc *c, zn_rt_error *e) {
    size_t n;
    float *w = weight(s, c, &n);
    return s->c->data ? zn_rt_whitening(s->c->data, zn_rt_loader_pixels(s->c->loader), s->m->tensor[c->tensor].dim,
                                        c->n, c->a, s->c->engine->pool, w, e)
                      : 0;
}

int zn_rt_calibrate(const zn_rt_calibration *c, zn_rt_error *notes, zn_rt_error *e) {
    const zn_module_desc *m = c->engine->m;
    state s = {.c = c, .m = m, .notes = notes, .loaded = -1};
    int code = 0;
    notes->text[0] = 0;
    if (!m->ncalibration)
        return 0;
    s.batches = c->data ? c->data->split[0].n / m->input.batch : 1;
    s.partial = calloc((size_t)m->input.batch, sizeof *s.partial);
    if (!s.partial)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for sums over %" PRId64 " images", m->input.batch);
    for (uint64_t i = 0; i < m->ncalibration && !code; i++) {
        const zn_calibration_desc *x = &m->calibration[i];
        if (x->kind == ZN_CALIBRATE_WHITENING)
            code = whitening(&s, x, e);
        else if (x->kind == ZN_CALIBRATE_LSUV)
            lsuv(&s, x);
        else if (x->kind == ZN_CALIBRATE_VARIANCE_AWARE)
            variance_aware(&s, x);
    }
    if (s.left > NOTES)
        zn_rt_explain(notes, "\nwarning: %d more weights are not calibrated", s.left - NOTES);
    free(s.partial);
    return code;
}
