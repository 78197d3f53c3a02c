/* Measuring (see runtime/bench.h). A step is what the training loop does between two batches: forward phases, the sum
 * of the losses, the rest. Medians, because whatever else the machine does only ever adds time. */
#include "runtime/bench.h"

#include "runtime/calibrate.h"
#include "runtime/cpu.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "runtime/schedule.h"
#include "runtime/step.h"
#include "runtime/weights.h"

#include "support/clock.h"
#include "support/philox.h"

#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 2, MIN_STEPS = 5, MAX_STEPS = 20000, MAX_PHASE_STEPS = 1000 };
enum { PEAK_UNITS = 400, PEAK_GRAIN = 25, PEAK_RUNS = 9 }; /* a run is near 10 ms */
static const float learning_rate = 0.001f;                 /* any: time does not depend on values */

typedef struct bench {
    const zn_module_desc *m;
    const zn_rt_bench_options *o;
    zn_rt_bench *out;
    zn_rt_memory mem;
    zn_rt_pool *pool;
    zn_rt_engine engine;
    zn_args args;
    int64_t step;
    double loss; /* of all steps; a use of what they compute */
} bench;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorts v. */
static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* Numbers of mean 0 and variance 1, labels in turn; targets are 0. */
static void fill_batch(const zn_module_desc *m, char *batch, uint32_t copy) {
    const zn_input_desc *in = &m->input;
    float *image = (float *)(void *)(batch + in->image);
    int32_t *label = (int32_t *)(void *)(batch + in->labels);
    zn_philox_key key = zn_philox_key_make(1, ZN_PURPOSE_DATA, "bench");
    uint32_t word[4] = {0}, block = 0;
    for (int64_t n = 0; n < in->batch; n++) {
        if (in->classes > 0)
            label[n] = (int32_t)(n % in->classes);
        for (int64_t y = 0; y < in->height; y++) {
            float *row = image + in->first + (uint64_t)n * in->image_pitch + (uint64_t)y * in->pitch;
            for (int64_t i = 0; i < in->width * in->channels; i++) {
                if (i % 4 == 0)
                    zn_philox(key, block++, copy, 0, 0, word);
                row[i] = (zn_philox_unit(word[i % 4]) - 0.5f) * 3.4641016f;
            }
        }
    }
}

static void one_step(bench *b) {
    const zn_program *p = zn_rt_program(&b->engine, ZN_RT_TRAIN);
    int copy = (int)(b->step++ % ZN_RT_BATCHES);
    zn_rt_run_phases(&b->engine, ZN_RT_TRAIN, copy, &b->args, 0, p->nforward);
    b->loss += zn_rt_loss_sum(&b->engine, ZN_RT_TRAIN, copy, b->m->input.batch);
    zn_rt_run_phases(&b->engine, ZN_RT_TRAIN, copy, &b->args, p->nforward, p->nphase);
}

static int no_memory(zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the times of steps");
}

static int measure_steps(bench *b, zn_rt_error *e) {
    double *time = calloc(MAX_STEPS, sizeof *time), until = zn_seconds() + b->o->seconds;
    int64_t n = 0;
    if (!time)
        return no_memory(e);
    while (n < MAX_STEPS && (n < MIN_STEPS || zn_seconds() < until)) {
        double begin = zn_seconds();
        one_step(b);
        time[n++] = zn_seconds() - begin;
    }
    b->out->steps = n;
    b->out->median = median(time, (size_t)n);
    b->out->best = time[0];
    free(time);
    return 0;
}

/* Whole steps again, one phase at a time, so that every kernel finds the caches as it does in training. */
static int measure_phases(bench *b, zn_rt_error *e) {
    size_t phases = (size_t)zn_rt_program(&b->engine, ZN_RT_TRAIN)->nphase, n = 0;
    double *time = calloc(phases * MAX_PHASE_STEPS + 1, sizeof *time), until = zn_seconds() + b->o->seconds;
    b->out->phase = calloc(phases + 1, sizeof *b->out->phase);
    if (!time || !b->out->phase) {
        free(time);
        return no_memory(e);
    }
    while (n < MAX_PHASE_STEPS && (n < MIN_STEPS || zn_seconds() < until)) {
        int copy = (int)(b->step++ % ZN_RT_BATCHES);
        double begin = zn_seconds();
        for (size_t i = 0; i < phases; i++) {
            zn_rt_run_phases(&b->engine, ZN_RT_TRAIN, copy, &b->args, i, i + 1);
            double end = zn_seconds();
            time[i * MAX_PHASE_STEPS + n] = end - begin;
            begin = end;
        }
        n++;
    }
    for (size_t i = 0; i < phases; i++)
        b->out->phase[i] = median(time + i * MAX_PHASE_STEPS, n);
    free(time);
    return 0;
}

typedef struct peak_call {
    zn_kernel *kernel;
    const zn_step *step;
    const zn_args *args;
} peak_call;

static void run_peak(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const peak_call *c = ctx;
    c->kernel(c->step, c->args, begin, end, scratch);
}

/* The best of a few runs: the first ones also bring the processor up to speed. */
static void measure_peak(bench *b) {
    static const zn_step none;
    peak_call c = {b->o->peak, &none, &b->args};
    int64_t units = PEAK_UNITS * (int64_t)b->out->threads;
    for (int i = 0; i < PEAK_RUNS; i++) {
        double begin = zn_seconds();
        zn_rt_parfor(b->pool, run_peak, &c, units, PEAK_GRAIN);
        double rate = (double)units * (double)b->o->peak_flops / (zn_seconds() - begin);
        b->out->peak_rate = rate > b->out->peak_rate ? rate : b->out->peak_rate;
    }
}

static int open_bench(bench *b, zn_rt_error *e) {
    const zn_module_desc *m = b->m;
    int code = zn_rt_cpu_check(m->features, m->cpu, e);
    if (!code)
        code = zn_rt_memory_open(&b->mem, m, e);
    b->out->threads = b->o->threads ? b->o->threads : zn_rt_processors();
    if (!code)
        code = zn_rt_pool_open(&b->pool, b->out->threads, b->mem.scratch_size, m->blas_start, e);
    if (code)
        return code;
    b->engine = (zn_rt_engine){m, &b->mem, b->pool};
    b->args = (zn_args){.lr = learning_rate, .count = (uint32_t)m->input.batch, .seed_lo = 1};
    zn_rt_corrections(&m->train, 0, &b->args);
    code = zn_rt_weights_init(m, b->mem.param, (uint64_t)m->train.seed, b->pool, e);
    for (int i = 0; i < ZN_RT_BATCHES; i++)
        fill_batch(m, b->mem.batch[i], (uint32_t)i);
    zn_rt_error notes; /* weights do not matter to the time */
    return code ? code : zn_rt_calibrate(&(zn_rt_calibration){.engine = &b->engine, .args = b->args}, &notes, e);
}

int zn_rt_bench_run(const zn_module_desc *m, const zn_rt_bench_options *o, zn_rt_bench *out, zn_rt_error *e) {
    bench b = {.m = m, .o = o, .out = out};
    *out = (zn_rt_bench){0};
    int code = open_bench(&b, e);
    if (!code) {
        one_step(&b);
        out->first_step = zn_seconds() - o->start;
        for (int i = 1; i < WARM_UP; i++)
            one_step(&b);
        if (o->peak)
            measure_peak(&b);
        code = measure_steps(&b, e);
    }
    if (!code && o->phases)
        code = measure_phases(&b, e);
    if (!code) {
        out->planned_bytes =
            b.mem.param_size + b.mem.arena_size + ZN_RT_BATCHES * b.mem.batch_size + zn_rt_pool_scratch(b.pool);
        out->peak_bytes = zn_rt_memory_peak();
    }
    zn_rt_pool_close(b.pool);
    zn_rt_memory_close(&b.mem);
    if (code)
        zn_rt_bench_free(out);
    return code;
}

void zn_rt_bench_free(zn_rt_bench *b) {
    free(b->phase);
    *b = (zn_rt_bench){0};
}
