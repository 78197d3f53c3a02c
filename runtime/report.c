/* Printing (see runtime/report.h). Quiet by default: on a terminal one line that is rewritten at most ten times a
 * second and a line that stays for every epoch; elsewhere the lines of epochs only. */
#include "runtime/report.h"

#include "support/clock.h"
#include "support/number.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void zn_rt_report_open(zn_rt_report *r, zn_rt_progress_mode mode, int64_t log_every) {
    *r = (zn_rt_report){.every = log_every};
    r->epochs = mode != ZN_RT_PROGRESS_NONE;
    r->steps = mode == ZN_RT_PROGRESS_PLAIN && log_every > 0;
    const char *terminal = getenv("TERM");
    r->live = mode == ZN_RT_PROGRESS_AUTO && isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

static void close_line(zn_rt_report *r) {
    if (r->line_open)
        fputs("\r\033[K", stderr);
    r->line_open = false;
}

static int digits_of(int64_t n) {
    int d = 1;
    for (; n >= 10; n /= 10)
        d++;
    return d;
}

/* Columns of the terminal; many where it does not say. */
static size_t terminal_width(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

enum { FIELDS = 8, FIELD = 64 };
typedef struct line {
    char field[FIELDS][FIELD];
} line;

/* The last to go where there is no room comes first. */
static const int by_worth[FIELDS] = {0, 2, 1, 3, 4, 7, 6, 5};

/* epoch  3/30   step  1170/11730   loss 0.4321   accuracy 87.65 %   lr 0.0987   9 812 images/s   1:01:23 left */
static void make_line(const zn_rt_progress *p, double loss, line *l) {
    char rate[ZN_NUMBER_MAX] = "-";
    *l = (line){0};
    if (isfinite(p->images_per_second) && p->images_per_second < 1e15)
        zn_i64_grouped((int64_t)(p->images_per_second + 0.5), rate);
    snprintf(l->field[0], FIELD, "epoch %*" PRId64 "/%" PRId64, digits_of(p->epochs), p->epoch, p->epochs);
    snprintf(l->field[1], FIELD, "   step %*" PRId64 "/%" PRId64, digits_of(p->steps), p->step, p->steps);
    snprintf(l->field[2], FIELD, "   loss %8.4f", loss);
    if (isfinite(p->accuracy))
        snprintf(l->field[3], FIELD, "   accuracy %6.2f %%", p->accuracy);
    else if (!isfinite(p->validation_loss))
        snprintf(l->field[3], FIELD, "   accuracy      - %%");
    if (isfinite(p->validation))
        snprintf(l->field[4], FIELD, "   validation %6.2f %%", p->validation);
    else if (isfinite(p->validation_loss))
        snprintf(l->field[4], FIELD, "   validation loss %8.4f", p->validation_loss);
    snprintf(l->field[5], FIELD, "   lr %-9.4g", (double)p->lr);
    snprintf(l->field[6], FIELD, "   %9s images/s", rate);
    if (isfinite(p->seconds_left) && p->seconds_left < 1e9) {
        int64_t s = (int64_t)(p->seconds_left + 0.5);
        snprintf(l->field[7], FIELD, "   %" PRId64 ":%02d:%02d left", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
    }
}

/* Fields that find room, in their order. */
static void print_progress(const zn_rt_progress *p, double loss, size_t room) {
    line l;
    bool shown[FIELDS] = {false};
    make_line(p, loss, &l);
    for (int i = 0; i < FIELDS; i++) {
        size_t n = strlen(l.field[by_worth[i]]);
        shown[by_worth[i]] = n <= room;
        room -= n <= room ? n : 0;
    }
    for (int i = 0; i < FIELDS; i++)
        if (shown[i])
            fputs(l.field[i], stderr);
}

void zn_rt_report_start(zn_rt_report *r, const zn_module_desc *m, const int64_t images[3], int threads, const char *out,
                        int64_t resumed) {
    if (!r->epochs)
        return;
    char count[ZN_NUMBER_MAX], how_many[3][ZN_NUMBER_MAX];
    int64_t parameters = 0;
    for (uint64_t i = 0; i < m->ntensor; i++) {
        int64_t n = 1;
        for (uint64_t k = 0; k < m->tensor[i].rank; k++)
            n *= m->tensor[i].dim[k];
        if (m->tensor[i].trained)
            parameters += n;
    }
    zn_i64_grouped(parameters, count);
    for (int i = 0; i < 3; i++)
        zn_i64_grouped(images[i], how_many[i]);
    fprintf(stderr, "%s: %s parameters; %s training", m->name, count, how_many[0]);
    if (images[2])
        fprintf(stderr, images[1] ? ", %s validation" : " and %s validation", how_many[2]);
    if (images[1])
        fprintf(stderr, " and %s test", how_many[1]);
    fprintf(stderr, " images; %d thread%s\n", threads, threads == 1 ? "" : "s");
    if (!out)
        fprintf(stderr,
                "note: the weights will not be kept; --out DIR writes them there, with a log and checkpoints\n");
    if (resumed >= 0) {
        zn_i64_grouped(resumed, count);
        fprintf(stderr, "goes on behind step %s, from the checkpoint in %s\n", count, out);
    }
}

void zn_rt_report_warning(zn_rt_report *r, const char *fmt, ...) {
    va_list ap;
    close_line(r);
    fputs("warning: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void zn_rt_report_notes(const zn_rt_error *notes) {
    if (*notes->text)
        fprintf(stderr, "%s\n", notes->text);
}

void zn_rt_report_initial(zn_rt_report *r, const zn_rt_evaluation *train, const zn_rt_evaluation *test,
                          const zn_rt_evaluation *validation) {
    if (!r->epochs)
        return;
    fprintf(stderr, "before the first step: training loss %.4f", train->loss);
    if (isfinite(test->loss))
        fprintf(stderr, ", test loss %.4f", test->loss);
    if (isfinite(test->accuracy))
        fprintf(stderr, ", test accuracy %.2f %%", test->accuracy);
    if (isfinite(validation->loss))
        fprintf(stderr, ", validation loss %.4f", validation->loss);
    if (isfinite(validation->accuracy))
        fprintf(stderr, ", validation accuracy %.2f %%", validation->accuracy);
    fputc('\n', stderr);
}

void zn_rt_report_step(zn_rt_report *r, const zn_rt_progress *p) {
    if (r->steps && p->step % r->every == 0) {
        print_progress(p, p->loss, SIZE_MAX);
        fputc('\n', stderr);
    }
    if (!r->live)
        return;
    double t = zn_seconds();
    if (t - r->last < 0.1)
        return;
    r->last = t;
    close_line(r);
    print_progress(p, p->mean_loss, terminal_width() - 1);
    fflush(stderr);
    r->line_open = true;
}

void zn_rt_report_epoch(zn_rt_report *r, const zn_rt_progress *p) {
    if (!r->epochs)
        return;
    close_line(r);
    print_progress(p, p->mean_loss, SIZE_MAX);
    fputc('\n', stderr);
}

void zn_rt_report_rank(zn_rt_report *r, const zn_rt_rank *k) {
    if (!r->epochs)
        return;
    close_line(r);
    fprintf(stderr,
            "    %s, %" PRId64 " x %" PRId64 ": rank %" PRId64 ", less the identity %" PRId64 " (in %" PRId64
            " rows and %" PRId64 " columns); %" PRId64 " distinct rows\n",
            k->layer, k->rows, k->columns, k->rank, k->rank_minus_identity, k->nonzero_rows, k->nonzero_columns,
            k->distinct_rows);
}

static void print_bytes(const char *name, size_t bytes) {
    printf("%s %.1f MB", name, (double)bytes / 1e6);
}

/* stdout may be a full disk or a closed pipe. */
static int flushed(zn_rt_error *e) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return zn_rt_fail(e, ZN_RT_INPUT, "cannot write to standard output: %s", strerror(errno));
}

/* Rows are true classes; the last column says how much of a row is right. */
static void print_confusion(int64_t classes, const int64_t *counts) {
    int width = 3;
    for (int64_t i = 0; i < classes * classes; i++)
        width = digits_of(counts[i]) > width ? digits_of(counts[i]) : width;
    printf("rows: what an image is; columns: what it is taken for\n     ");
    for (int64_t j = 0; j < classes; j++)
        printf(" %*" PRId64, width, j);
    printf("    right\n");
    for (int64_t i = 0; i < classes; i++) {
        int64_t all = 0;
        printf("%5" PRId64, i);
        for (int64_t j = 0; j < classes; j++) {
            all += counts[i * classes + j];
            printf(" %*" PRId64, width, counts[i * classes + j]);
        }
        if (all)
            printf("  %5.1f %%\n", 100.0 * (double)counts[i * classes + i] / (double)all);
        else
            printf("        -\n");
    }
}

int zn_rt_report_end(zn_rt_report *r, const zn_rt_summary *s, zn_rt_error *e) {
    close_line(r);
    if (s->confusion)
        print_confusion(s->classes, s->confusion);
    if (s->interrupted)
        printf("interrupted\n");
    if (!isnan(s->test.accuracy))
        printf("test accuracy  %.2f %%\n", s->test.accuracy);
    if (!isnan(s->test.views))
        printf("  with views   %.2f %%\n", s->test.views);
    if (!isnan(s->test.loss))
        printf("test loss      %.4f\n", s->test.loss);
    if (!isnan(s->validation.accuracy))
        printf("validation accuracy  %.2f %%\n", s->validation.accuracy);
    if (!isnan(s->validation.loss))
        printf("validation loss      %.4f\n", s->validation.loss);
    if (s->best_epoch && !isnan(s->validation.accuracy))
        printf("best validation accuracy  %.2f %% after epoch %" PRId64 ": best.safetensors\n", s->best, s->best_epoch);
    else if (s->best_epoch)
        printf("best validation loss      %.4f after epoch %" PRId64 ": best.safetensors\n", s->best, s->best_epoch);
    printf("time           %.1f s", s->seconds);
    if (isfinite(s->images_per_second))
        printf(", %.0f images/s", s->images_per_second);
    if (isfinite(s->first_step_seconds))
        printf(", first step after %.2f s", s->first_step_seconds);
    printf("\nmemory         ");
    if (s->peak_bytes)
        print_bytes("peak", s->peak_bytes);
    print_bytes(s->peak_bytes ? ", planned" : "planned", s->planned_bytes);
    print_bytes(" + data", s->data_bytes);
    if (s->mapped_bytes)
        print_bytes(", mapped from files", s->mapped_bytes);
    printf("\nstart   sha256:%s\nweights sha256:%s\n", s->start_sha256, s->sha256);
    return flushed(e);
}

int zn_rt_report_flush(zn_rt_error *e) {
    return flushed(e);
}

int zn_rt_report_guesses(const char *name, int64_t sample, const zn_rt_guess *guess, int n, zn_rt_error *e) {
    if (name)
        fputs(name, stdout);
    else
        printf("%" PRId64, sample);
    for (int i = 0; i < n; i++)
        printf("\t%" PRId64 "\t%.2f %%", guess[i].index, 100 * guess[i].probability);
    putchar('\n');
    return ferror(stdout) ? flushed(e) : 0;
}

int zn_rt_report_source(const zn_module_desc *m, zn_rt_error *e) {
    fwrite(m->source, 1, m->source_len, stdout);
    return flushed(e);
}

int zn_rt_report_version(const zn_module_desc *m, zn_rt_error *e) {
    printf("%s, compiled from %s (sha256 %s) for %s\n%s\n", m->name, m->source_path, m->source_sha256, m->cpu,
           m->versions);
    if (m->blas_version)
        printf("OpenBLAS %s\n", m->blas_version());
    return flushed(e);
}

int zn_rt_report_help(const char *program, zn_rt_error *e) {
    printf("usage: %s [OPTIONS]\n%s", program, zn_rt_options_help);
    return flushed(e);
}

void zn_rt_report_error(zn_rt_report *r, const char *program, const zn_rt_error *e) {
    close_line(r);
    fflush(stdout);
    fprintf(stderr, "%s: error: %s\n", program, e->text);
}
