/* The training loop (see runtime/train.h).
 *
 * A step waits for its batch, asks for the next one, runs the forward phases, checks that every loss is finite, and
 * runs the rest. Nothing but the seed, the data and the module decides the weights: time and threads only decide when.
 * A checkpoint holds all that the steps behind it depend on, and where the log stood. One that cannot be written costs
 * a warning, not the run. Weights are written before the last evaluation when a run is interrupted, so that little
 * patience is needed. */
#include "runtime/train.h"

#include "runtime/average.h"
#include "runtime/calibrate.h"
#include "runtime/checkpoint.h"
#include "runtime/dataset.h"
#include "runtime/directory.h"
#include "runtime/evaluate.h"
#include "runtime/interrupt.h"
#include "runtime/known.h"
#include "runtime/loader.h"
#include "runtime/preprocess.h"
#include "runtime/log.h"
#include "runtime/memory.h"
#include "runtime/pool.h"
#include "runtime/rank.h"
#include "runtime/schedule.h"
#include "runtime/step.h"
#include "runtime/weights.h"

#include "support/clock.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char best_name[] = "best.safetensors";

typedef struct run {
    const zn_module_desc *m;
    const zn_rt_late *late; /* NULL when there is nothing left to make */
    const zn_rt_options *o;
    zn_rt_report *report;
    zn_rt_memory mem;
    zn_rt_dataset data;
    zn_rt_loader *loader;
    zn_rt_pool *pool;
    zn_rt_log log;
    zn_rt_engine engine;
    zn_rt_evaluator evaluator;
    zn_rt_average average;
    zn_rt_ranks ranks;
    int64_t ranked; /* the step after which they were measured; -1: never */
    double epochs;
    int64_t seed, steps_per_epoch, total, stop; /* total: of the schedule; stop: of this run */
    int copy;                                   /* of the batch memory that is next */
    double start;                               /* of this process */
    double before;                              /* seconds that earlier processes of this run took */

    zn_rt_progress progress;
    double loss_sum;                         /* of this epoch */
    int64_t timed;                           /* steps of this process */
    double step_seconds, first_step_seconds; /* without the first step; since the start */
    bool evaluated;                          /* test is of the weights as they are */
    bool saved;                              /* the weights are in their file */
    zn_rt_evaluation test, validation;
    int64_t best_step; /* of best.safetensors; 0: there is none */
    double best;       /* its accuracy on what is held out, or its loss where there are no classes */

    zn_rt_directory directory; /* of --out */
    zn_rt_identity id;         /* what a checkpoint of this run must agree in */
    int64_t first;             /* steps that an earlier process did */
    int64_t kept;              /* the step of the last checkpoint; -1: none */
    bool unevaluated;          /* the last step ended an epoch, and its evaluation is still to come */
    bool receipt;              /* digests are wanted */
    char data_sha256[ZN_RT_SHA256_HEX], start_sha256[ZN_RT_SHA256_HEX];
    char order_sha256[ZN_RT_SHA256_HEX]; /* of the epochs that are over */
} run;

static zn_args make_args(const run *r, float lr, int64_t epoch, int64_t position, int64_t count) {
    return (zn_args){.lr = lr,
                     .epoch = (uint32_t)epoch,
                     .position = (uint32_t)position,
                     .count = (uint32_t)count,
                     .seed_lo = (uint32_t)(uint64_t)r->seed,
                     .seed_hi = (uint32_t)((uint64_t)r->seed >> 32)};
}

static void request(run *r, int copy, int split, bool shuffled, int64_t epoch, int64_t position) {
    zn_rt_loader_request(
        r->loader, copy,
        (zn_rt_load){.split = split, .shuffled = shuffled, .epoch = (uint32_t)epoch, .position = position});
}

/* Means over a split, with the evaluation program. */
static int evaluate(run *r, int split, zn_rt_evaluation *out, zn_rt_error *e) {
    int code = r->late ? r->late->make(r->late->ctx, e) : 0;
    if (code)
        return code;
    r->late = NULL;
    bool last = r->progress.step >= r->stop || r->o->action == ZN_RT_DO_EVAL || zn_rt_interrupted();
    return zn_rt_evaluate(&r->evaluator,
                          &(zn_rt_evaluate_what){.split = split,
                                                 .views = last && (r->o->views || !zn_rt_interrupted()),
                                                 .digest = last && r->receipt,
                                                 .step = r->progress.step,
                                                 .saved = r->saved},
                          out, e);
}

/* On what is not trained on: the test, and what is held out. */
static int evaluate_test(run *r, zn_rt_error *e) {
    if (r->evaluated)
        return 0;
    zn_rt_average_swap(&r->average);
    int code = evaluate(r, ZN_RT_TEST, &r->test, e);
    if (!code)
        code = evaluate(r, ZN_RT_VALIDATION, &r->validation, e);
    zn_rt_average_swap(&r->average);
    if (code)
        return code;
    r->evaluated = true;
    r->progress.accuracy = r->test.accuracy;
    r->progress.validation = r->validation.accuracy;
    r->progress.validation_loss = r->validation.loss;
    return 0;
}

/* Seconds of the run so far; what stood between a checkpoint and the next process is not of it. */
static double elapsed(const run *r) {
    return r->before + zn_seconds() - r->start;
}

/* Step t of the run; its batch has been asked for. Asks for the next one of the epoch if `more`. */
static int train_step(run *r, int64_t t, bool more, zn_rt_error *e) {
    int64_t batch = r->m->input.batch, epoch = t / r->steps_per_epoch, position = t % r->steps_per_epoch * batch;
    double begin = zn_seconds();
    int copy = r->copy;
    zn_args args =
        make_args(r, zn_rt_learning_rate(&r->m->train, r->steps_per_epoch, r->total, t), epoch, position, batch);
    zn_rt_corrections(&r->m->train, t, &args);
    zn_rt_freeze(&r->m->train, r->steps_per_epoch, t, &args);
    zn_rt_loader_wait(r->loader);
    r->copy = 1 - copy;
    if (more)
        request(r, r->copy, 0, true, epoch, position + batch);
    zn_rt_run_phases(&r->engine, ZN_RT_TRAIN, copy, &args, 0, zn_rt_program(&r->engine, ZN_RT_TRAIN)->nforward);
    double loss = zn_rt_loss_sum(&r->engine, ZN_RT_TRAIN, copy, batch) / (double)batch;
    if (!isfinite(loss)) {
        zn_rt_fail(e, ZN_RT_NONFINITE,
                   "the loss is not finite at step %" PRId64 " (epoch %" PRId64 ", lr %g); no weights are written",
                   t + 1, epoch + 1, (double)args.lr);
        return zn_rt_explain_nonfinite(&r->engine, ZN_RT_TRAIN, copy, &args, e);
    }
    if (loss > r->o->stop_above)
        return zn_rt_fail(e, ZN_RT_NONFINITE,
                          "the loss is %g at step %" PRId64 " (epoch %" PRId64
                          ", lr %g), above --stop-if-loss-above %g; no weights are written",
                          loss, t + 1, epoch + 1, (double)args.lr, r->o->stop_above);
    zn_rt_run_phases(&r->engine, ZN_RT_TRAIN, copy, &args, zn_rt_program(&r->engine, ZN_RT_TRAIN)->nforward,
                     zn_rt_program(&r->engine, ZN_RT_TRAIN)->nphase);
    zn_rt_average_step(&r->average, t + 1, r->total);
    r->evaluated = false;
    int code = zn_rt_statistics_finite(r->m, r->mem.param, t + 1, epoch + 1, args.lr, e);
    if (code)
        return code;

    zn_rt_progress *p = &r->progress;
    double end = zn_seconds();
    if (r->timed++ == 0)
        r->first_step_seconds = end - r->start;
    else
        r->step_seconds += end - begin;
    r->loss_sum += loss;
    p->step = t + 1;
    p->epoch = epoch + 1;
    p->loss = loss;
    p->mean_loss = r->loss_sum / (double)(t % r->steps_per_epoch + 1);
    p->lr = args.lr;
    p->seconds = elapsed(r);
    if (r->timed > 1) {
        p->images_per_second = (double)((r->timed - 1) * batch) / r->step_seconds;
        p->seconds_left = (double)(r->stop - p->step) * r->step_seconds / (double)(r->timed - 1);
    }
    zn_rt_report_step(r->report, p);
    if (r->o->log_every > 0 && p->step % r->o->log_every == 0)
        return zn_rt_log_step(&r->log, p, e);
    return 0;
}

/* Ranks of what would be evaluated and written now. */
static int measure_ranks(run *r, zn_rt_error *e) {
    if (r->ranks.n == 0 || r->ranked == r->progress.step)
        return 0;
    zn_rt_average_swap(&r->average);
    int code = zn_rt_ranks_measure(&r->ranks, r->mem.param, e);
    zn_rt_average_swap(&r->average);
    r->ranked = r->progress.step;
    for (int i = 0; i < r->ranks.n && !code; i++) {
        zn_rt_report_rank(r->report, &r->ranks.at[i]);
        code = zn_rt_log_rank(&r->log, &r->progress, &r->ranks.at[i], e);
    }
    return code;
}

/* The digest of an order: that of the epochs before, and of the samples of this one as far as it has come. */
static int add_order(run *r, int64_t epoch, int64_t steps, char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    zn_rt_sha256 h;
    const uint32_t *order = zn_rt_loader_order(r->loader, (uint32_t)epoch);
    int code = zn_rt_sha256_start(&h, e);
    if (!code)
        code = zn_rt_sha256_add(&h, r->order_sha256, ZN_RT_SHA256_HEX - 1, e);
    if (!code)
        code = zn_rt_sha256_add(&h, order, (size_t)(steps * r->m->input.batch) * sizeof *order, e);
    if (!code)
        code = zn_rt_sha256_end(&h, sha256, e);
    else
        zn_rt_sha256_free(&h);
    return code;
}

/* A checkpoint of what is reached, if there is none yet. */
static void keep(run *r, bool ended) {
    zn_rt_error e = {""};
    zn_rt_reached at = {.step = r->progress.step,
                        .ended = ended,
                        .unevaluated = r->unevaluated,
                        .loss_sum = r->loss_sum,
                        .seconds = elapsed(r),
                        .best_step = r->best_step,
                        .best = r->best};
    if (!r->o->out || at.step == 0 || r->kept == at.step)
        return;
    memcpy(at.start_sha256, r->start_sha256, sizeof at.start_sha256);
    memcpy(at.order_sha256, r->order_sha256, sizeof at.order_sha256);
    zn_rt_log_sizes(&r->log, at.log_bytes);
    if (zn_rt_checkpoint_write(r->o->out, &r->id, &at, r->mem.param, &e))
        zn_rt_report_warning(r->report, "there is no checkpoint of step %" PRId64 ": %s", at.step, e.text);
    else
        r->kept = at.step;
}

/* Weights that are better on what is held out than all before are kept beside the last ones; of equals the first. */
static void keep_best(run *r) {
    bool classes = r->m->input.classes > 0;
    double now = classes ? r->validation.accuracy : r->validation.loss;
    char sha256[ZN_RT_SHA256_HEX];
    zn_rt_error e = {""};
    if (!r->o->out || r->data.split[ZN_RT_VALIDATION].n == 0 ||
        (r->best_step && !(classes ? now > r->best : now < r->best)))
        return;
    r->best = now;
    r->best_step = r->progress.step;
    zn_rt_average_swap(&r->average);
    if (zn_rt_weights_save(r->m, r->mem.param, r->o->out, best_name, sha256, &e))
        zn_rt_report_warning(r->report, "the best weights so far are not kept: %s", e.text);
    zn_rt_average_swap(&r->average);
}

/* What stands at the end of an epoch beside its steps. */
static int end_epoch(run *r, zn_rt_error *e) {
    int code = evaluate_test(r, e);
    if (code)
        return code;
    r->progress.seconds = elapsed(r);
    zn_rt_report_epoch(r->report, &r->progress);
    code = zn_rt_log_epoch(&r->log, &r->progress, &r->test, &r->validation, e);
    keep_best(r);
    if (!code)
        code = measure_ranks(r, e);
    r->unevaluated = false;
    return code;
}

/* Step t, and what comes behind it. */
static int train_one(run *r, int64_t t, zn_rt_error *e) {
    int64_t place = t % r->steps_per_epoch, epoch = t / r->steps_per_epoch;
    bool last = place == r->steps_per_epoch - 1 || t + 1 == r->total;
    if (place == 0)
        r->loss_sum = 0;
    if (place == 0 || t == r->first)
        request(r, r->copy, 0, true, epoch, place * r->m->input.batch);
    int code = train_step(r, t, !last && t + 1 < r->stop, e);
    if (!code && last && r->receipt)
        code = add_order(r, epoch, place + 1, r->order_sha256, e);
    if (!code && last) {
        r->unevaluated = true;
        if (t + 1 == r->stop || !zn_rt_interrupted())
            code = end_epoch(r, e);
    }
    int64_t every = r->o->checkpoint_every;
    if (!code && (last || (every && (t + 1) % every == 0)))
        keep(r, t + 1 == r->stop);
    return code;
}

/* All steps; *interrupted tells why it ended early. */
static int train_steps(run *r, bool *interrupted, zn_rt_error *e) {
    int code = r->unevaluated ? end_epoch(r, e) : 0;
    for (int64_t t = r->first; t < r->stop && !code; t++) {
        if (zn_rt_interrupted()) {
            *interrupted = true;
            break;
        }
        code = train_one(r, t, e);
    }
    if (r->progress.step < r->stop && !code)
        *interrupted = true;
    zn_rt_loader_wait(r->loader);
    return code;
}

static size_t planned_memory(const run *r) {
    return r->mem.param_size + r->mem.arena_size + ZN_RT_BATCHES * r->mem.batch_size + zn_rt_pool_scratch(r->pool) +
           zn_rt_loader_bytes(r->loader) + zn_rt_evaluator_bytes(&r->evaluator);
}

/* Lengths of the run, from the data, the recipe and the options. */
static int plan_steps(run *r, zn_rt_error *e) {
    r->epochs = r->o->epochs >= 0 ? r->o->epochs : r->m->train.epochs;
    r->steps_per_epoch = r->data.split[0].n / r->m->input.batch;
    r->total = zn_rt_total_steps(r->epochs, r->steps_per_epoch);
    if (!(r->epochs > 0) || r->epochs > UINT32_MAX || r->total < 1)
        return zn_rt_fail(e, ZN_RT_USAGE, "%g epochs are out of range", r->epochs);
    if (r->epochs != r->m->train.epochs && r->m->train.by_epochs)
        return zn_rt_fail(e, ZN_RT_USAGE,
                          "the learning rate was computed for %g epochs, by their name in `lr`: compile with --set "
                          "train.epochs=%g",
                          r->m->train.epochs, r->epochs);
    int64_t warm = zn_rt_warmup_steps(&r->m->train, r->steps_per_epoch);
    if (warm >= r->total)
        return zn_rt_fail(e, ZN_RT_USAGE,
                          "the warm-up of %" PRId64 " steps is not shorter than the run of %" PRId64
                          " steps; train longer, or stop early in the schedule of %g"
                          " epochs with --steps N, or compile with another schedule (--set train.lr=...)",
                          warm, r->total, r->m->train.epochs);
    r->stop = r->o->steps >= 0 && r->o->steps < r->total ? r->o->steps : r->total;
    r->progress.epochs = (r->total - 1) / r->steps_per_epoch + 1;
    r->progress.steps = r->stop;
    return 0;
}

/* Weights as the run begins: of a file, or by formulas and what those see of the data. */
static int start_weights(run *r, zn_rt_error *notes, zn_rt_error *e) {
    int code = zn_rt_weights_init(r->m, r->mem.param, (uint64_t)r->seed, r->pool, e);
    if (code)
        return code;
    if (r->o->init_from)
        return zn_rt_weights_read(r->m, r->mem.param, r->o->init_from, r->o->map, r->o->nmap, e);
    zn_rt_calibration c = {&r->engine, make_args(r, 0, 0, 0, r->m->input.batch), &r->data, r->loader};
    zn_rt_error more = {""};
    code = zn_rt_calibrate(&c, &more, e);
    if (*more.text)
        zn_rt_explain(notes, "%s%s", *notes->text ? "\n" : "", more.text);
    return code;
}

/* Takes up a run where its last checkpoint left it; *at says which, or that there is none. */
static int resume(run *r, zn_rt_reached *at, zn_rt_error *notes, zn_rt_error *e) {
    int code = zn_rt_checkpoint_resume(r->o->out, &r->id, at, r->mem.param, notes, e);
    if (code)
        return code;
    if (at->step < 0) {
        zn_rt_explain(notes, "note: there is no checkpoint in %.1000s: the run starts from its beginning", r->o->out);
        return 0;
    }
    if (at->step > r->stop)
        return zn_rt_fail(e, ZN_RT_USAGE,
                          "the last checkpoint in %s is of step %" PRId64 ", behind the end at step %" PRId64,
                          r->o->out, at->step, r->stop);
    zn_rt_progress *p = &r->progress;
    p->step = r->first = r->kept = at->step;
    p->epoch = (at->step - 1) / r->steps_per_epoch + 1;
    p->lr = zn_rt_learning_rate(&r->m->train, r->steps_per_epoch, r->total, at->step - 1);
    p->mean_loss = at->loss_sum / (double)((at->step - 1) % r->steps_per_epoch + 1);
    r->loss_sum = at->loss_sum;
    r->before = at->seconds;
    r->best_step = at->best_step;
    r->best = at->best;
    r->unevaluated = at->unevaluated;
    r->ranked = at->unevaluated ? -1 : at->step;
    memcpy(r->order_sha256, at->order_sha256, sizeof r->order_sha256);
    memcpy(r->start_sha256, at->start_sha256, sizeof r->start_sha256);
    return 0;
}

/* Whether a run may begin in a directory that holds checkpoints. */
static int check_unfinished(const run *r, zn_rt_error *e) {
    int64_t step, total;
    if (r->o->overwrite || !zn_rt_checkpoint_unfinished(r->o->out, &step, &total))
        return 0;
    return zn_rt_fail(e, ZN_RT_INPUT,
                      "%s holds a run that has not ended (a checkpoint of step %" PRId64 " of %" PRId64
                      "): --resume goes on with it, --overwrite starts anew",
                      r->o->out, step, total);
}

/* Weights, averages and digests as the first step of this process finds them. */
static int begin(run *r, zn_rt_reached *at, zn_rt_error *notes, zn_rt_error *e) {
    r->receipt = r->o->log || r->o->out; /* nobody else asks for digests that take a tenth of a second */
    int code = r->receipt ? zn_rt_dataset_digest(&r->data, r->data_sha256, e) : 0;
    const zn_rt_known *known = r->receipt ? zn_rt_known_find(r->m->data.source) : NULL;
    if (!code && known && known->data_sha256 && strcmp(known->data_sha256, r->data_sha256) != 0)
        zn_rt_report_warning(r->report,
                             "the files of the data set are not those of %s as published; `znetc data FILE.znet` says "
                             "which are other ones",
                             known->title);
    r->id = (zn_rt_identity){r->m, r->data_sha256, r->o->init_from, r->seed, r->epochs, r->total};
    if (!code && r->o->resume)
        code = resume(r, at, notes, e);
    else if (!code && r->o->out)
        code = check_unfinished(r, e);
    if (code || at->step >= 0)
        return code;
    zn_rt_sha256 empty;
    code = zn_rt_sha256_start(&empty, e);
    if (!code)
        code = zn_rt_sha256_end(&empty, r->order_sha256, e);
    if (!code)
        code = start_weights(r, notes, e);
    if (code)
        return code;
    zn_rt_average_start(&r->average);
    return zn_rt_weights_write(r->m, r->mem.param, NULL, "", r->start_sha256, e);
}

/* For predictions; a run does not fail for them. */
static void keep_statistics(run *r) {
    zn_rt_error e = {""};
    if (zn_rt_preprocess_save(r->o->out, r->data.channels, zn_rt_loader_means(r->loader),
                              zn_rt_loader_deviations(r->loader), &e))
        zn_rt_report_warning(r->report, "predictions will need the training data: %s", e.text);
}

static int open_run(run *r, zn_rt_error *e) {
    const zn_module_desc *m = r->m;
    int threads = r->o->threads ? r->o->threads : zn_rt_processors();
    zn_rt_error notes = {""};
    zn_rt_reached at = {.step = -1};
    int code = zn_rt_ranks_open(&r->ranks, m, r->o->log_rank, e);
    if (!code && r->o->out)
        code = zn_rt_directory_open(&r->directory, r->o->out, &notes, e);
    if (!code)
        code = zn_rt_memory_open(&r->mem, m, e);
    if (!code)
        code = zn_rt_pool_open(&r->pool, threads, r->mem.scratch_size, m->blas_start, e);
    if (!code)
        code = zn_rt_dataset_open(&r->data, m, r->o->data, r->pool, e);
    if (!code)
        code = plan_steps(r, e);
    if (!code)
        code = zn_rt_loader_open(&r->loader, m, &r->data, &r->mem, (uint64_t)r->seed, r->pool, e);
    if (code)
        return code;
    r->engine = (zn_rt_engine){m, &r->mem, r->pool};
    r->evaluator = (zn_rt_evaluator){.engine = &r->engine,
                                     .loader = r->loader,
                                     .data = &r->data,
                                     .copy = &r->copy,
                                     .args = make_args(r, 0, 0, 0, 0)};
    code = zn_rt_evaluator_open(&r->evaluator, r->o, e);
    if (!code)
        code = zn_rt_average_open(&r->average, m, r->mem.param, r->pool, e);
    if (!code)
        code = begin(r, &at, &notes, e);
    if (!code) /* after all that can fail: it empties what is there */
        code = zn_rt_log_open(&r->log, r->o->log, r->o->out, at.step >= 0 ? at.log_bytes : NULL, e);
    if (!code && r->o->out && at.step < 0) {
        zn_rt_checkpoint_clear(r->o->out);
        zn_rt_directory_remove(&r->directory, best_name);
    }
    if (!code && r->o->out && m->data.normalize == ZN_NORMALIZE_PER_CHANNEL)
        keep_statistics(r);
    if (!code)
        code = zn_rt_log_start(&r->log, m, r->o, r->data_sha256, r->start_sha256, r->seed, threads, e);
    if (!code && at.step >= 0)
        code = zn_rt_log_resume(&r->log, m, at.step, threads, e);
    if (!code && r->o->action == ZN_RT_DO_TRAIN)
        zn_rt_report_start(
            r->report, m,
            (const int64_t[ZN_RT_SPLITS]){r->data.split[0].n, r->data.split[1].n, r->data.split[ZN_RT_VALIDATION].n},
            threads, r->o->out, at.step);
    if (*notes.text)
        zn_rt_report_notes(&notes);
    return code;
}

static void close_run(run *r) {
    zn_rt_pool_close(r->pool);
    zn_rt_loader_close(r->loader);
    zn_rt_dataset_close(&r->data);
    zn_rt_average_close(&r->average);
    zn_rt_ranks_close(&r->ranks);
    zn_rt_evaluator_close(&r->evaluator);
    zn_rt_memory_close(&r->mem);
    zn_rt_directory_close(&r->directory);
}

static int initial_evaluation(run *r, zn_rt_error *e) {
    zn_rt_evaluation train;
    int code = evaluate(r, 0, &train, e); /* before the first step an average is the weights */
    if (!code)
        code = evaluate_test(r, e);
    if (code)
        return code;
    zn_rt_report_initial(r->report, &train, &r->test, &r->validation);
    return zn_rt_log_initial(&r->log, &train, &r->test, &r->validation, e);
}

static int fill_receipt(run *r, zn_rt_summary *s, zn_rt_error *e) {
    int64_t step = r->progress.step, place = step % r->steps_per_epoch;
    s->steps = step;
    s->source_sha256 = r->m->source_sha256;
    memcpy(s->data_sha256, r->data_sha256, sizeof s->data_sha256);
    memcpy(s->start_sha256, r->start_sha256, sizeof s->start_sha256);
    memcpy(s->order_sha256, r->order_sha256, sizeof s->order_sha256);
    memcpy(s->logits_sha256, r->evaluator.logits_sha256, sizeof s->logits_sha256);
    bool inside = r->receipt && place > 0 && step < r->total; /* an epoch that --steps or a signal cut */
    return inside ? add_order(r, step / r->steps_per_epoch, place, s->order_sha256, e) : 0;
}

static int run_all(run *r, zn_rt_summary *s, zn_rt_error *e) {
    bool train = r->o->action == ZN_RT_DO_TRAIN;
    bool resumed = r->first > 0;
    int code = r->o->eval_first && !resumed ? initial_evaluation(r, e) : 0;
    if (!code && !resumed)
        code = measure_ranks(r, e);
    if (!code && train)
        code = train_steps(r, &s->interrupted, e);
    if (!code)
        code = zn_rt_weights_finite(r->m, r->mem.param, e);
    if (code)
        return code;
    if (!s->interrupted) /* of a run that --steps ends inside of an epoch */
        code = measure_ranks(r, e);
    if (!code)
        keep(r, !s->interrupted);
    if (!code && !s->interrupted) /* otherwise the weights come first: whoever interrupts has little patience */
        code = evaluate_test(r, e);
    if (code)
        return code;
    zn_rt_average_swap(&r->average); /* what is written is what is evaluated */
    if (!code)
        code = r->o->out ? zn_rt_weights_save(r->m, r->mem.param, r->o->out, "weights.safetensors", s->sha256, e)
                         : zn_rt_weights_write(r->m, r->mem.param, NULL, "", s->sha256, e);
    r->saved = !code && r->o->out;
    zn_rt_average_swap(&r->average);
    if (!code)
        code = evaluate_test(r, e);
    if (code)
        return code;
    s->test = r->test;
    s->validation = r->validation;
    s->best = r->best;
    s->best_epoch = r->best_step ? (r->best_step - 1) / r->steps_per_epoch + 1 : 0;
    code = fill_receipt(r, s, e);
    if (!code && r->evaluator.outputs.open)
        code = zn_rt_outputs_finish(&r->evaluator.outputs, e);
    if (!code && r->evaluator.confusion)
        code = zn_rt_log_confusion(&r->log, r->m->input.classes, r->evaluator.confusion, e);
    if (code)
        return code;
    s->confusion = r->evaluator.confusion;
    s->classes = r->m->input.classes;
    s->images_per_second = r->progress.images_per_second;
    s->first_step_seconds = r->first_step_seconds;
    s->planned_bytes = planned_memory(r);
    s->data_bytes = r->data.bytes;
    s->mapped_bytes = r->data.mapped;
    s->peak_bytes = zn_rt_memory_peak();
    s->seconds = elapsed(r);
    return zn_rt_log_end(&r->log, s, e);
}

int zn_rt_train(const zn_module_desc *m, const zn_rt_late *late, const zn_rt_options *o, zn_rt_report *report,
                zn_rt_error *e) {
    run r = {.m = m, .late = late, .o = o, .report = report, .start = zn_seconds()};
    zn_rt_summary s = {0};
    zn_rt_error other;
    r.seed = o->has_seed ? o->seed : m->train.seed;
    r.ranked = r.kept = r.directory.fd = -1;
    r.first_step_seconds = r.progress.accuracy = (double)NAN;
    r.progress.validation = r.progress.validation_loss = (double)NAN;
    r.progress.images_per_second = r.progress.seconds_left = (double)NAN;
    int code = open_run(&r, e);
    if (!code)
        code = run_all(&r, &s, e);
    int closed = zn_rt_log_close(&r.log, code ? &other : e);
    if (!code)
        code = closed;
    if (!code)
        code = zn_rt_report_end(report, &s, e);
    close_run(&r);
    return !code && s.interrupted ? ZN_RT_STOPPED : code;
}
