/* Phases of a step (see runtime/step.h). The batch's memory and the parameters are unchanged between the forward phases
 * of a step and its updates, so running the former again gives the same values: that is how the first value that is not
 * finite is found without watching every step. */
#include "runtime/step.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct call {
    const zn_step *step;
    const zn_args *args;
} call;

static void run_range(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const call *c = ctx;
    c->step->phase->kernel(c->step, c->args, begin, end, scratch);
}

const zn_program *zn_rt_program(const zn_rt_engine *g, zn_rt_which which) {
    return zn_rt_program_of(g->m, which);
}

void zn_rt_run_phases(const zn_rt_engine *g, zn_rt_which which, int batch, const zn_args *args, uint64_t first,
                      uint64_t last) {
    const zn_step *steps = g->mem->step[which][batch];
    for (uint64_t i = first; i < last; i++) {
        call c = {&steps[i], args};
        zn_rt_parfor(g->pool, run_range, &c, steps[i].phase->outer, steps[i].phase->grain);
    }
}

int64_t zn_rt_output_count(const zn_module_desc *m) {
    return m->input.classes > 0 ? m->input.classes : (int64_t)m->input.targets;
}

const float *zn_rt_output_rows(const zn_rt_engine *g, int batch) {
    const zn_program *p = zn_rt_program(g, ZN_RT_EVAL);
    for (uint64_t i = p->nkept; i > 0; i--)
        if (p->kept[i - 1].rank == 2 && p->kept[i - 1].dim[1] == zn_rt_output_count(g->m))
            return (const float *)zn_rt_memory_at(g->mem, p->kept[i - 1].at, batch) + p->kept[i - 1].first;
    return NULL;
}

double zn_rt_loss_sum(const zn_rt_engine *g, zn_rt_which which, int batch, int64_t n) {
    const float *loss = zn_rt_memory_at(g->mem, zn_rt_program(g, which)->loss, batch);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)loss[i];
    return sum;
}

int64_t zn_rt_correct_count(const zn_rt_engine *g, zn_rt_which which, int batch, int64_t n) {
    const float *correct = zn_rt_memory_at(g->mem, zn_rt_program(g, which)->correct, batch);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += correct[i] != 0;
    return count;
}

/* Where in an output the first value that is not finite stands. */
typedef struct found {
    uint64_t image, row, column;
    float value;
} found;

static bool scan(const float *base, const zn_output *o, found *at) {
    for (uint64_t i = 0; i < o->images; i++)
        for (uint64_t r = 0; r < o->rows; r++) {
            const float *x = base + o->first + i * o->image_pitch + r * o->pitch;
            for (uint64_t k = 0; k < o->row; k++)
                if (!isfinite(x[k])) {
                    *at = (found){i, r, k, x[k]};
                    return true;
                }
        }
    return false;
}

/* The file and line that a line of the whole source is. */
static uint64_t own_line(const zn_module_desc *m, uint64_t line, const char **path) {
    uint64_t i = m->nfile;
    while (i > 1 && m->file[i - 1].first_line > line)
        i--;
    *path = i > 1 ? m->file[i - 1].path : m->source_path;
    return i > 1 ? line - m->file[i - 1].first_line + 1 : line;
}

/* "  14 | text of the line" */
static void explain_line(const zn_module_desc *m, uint32_t number, zn_rt_error *e) {
    const char *p = m->source, *stop = m->source + m->source_len;
    for (uint32_t n = 1; p && n < number; n++) {
        p = memchr(p, '\n', (size_t)(stop - p));
        if (p)
            p++;
    }
    if (!p || p >= stop)
        return;
    const char *newline = memchr(p, '\n', (size_t)(stop - p));
    size_t length = (size_t)((newline ? newline : stop) - p);
    const char *path;
    zn_rt_explain(e, "\n%5" PRIu64 " | %.*s", own_line(m, number, &path), (int)(length < 160 ? length : 160), p);
}

void zn_rt_explain_place(const zn_module_desc *m, uint64_t line, zn_rt_error *e) {
    if (line == 0 || !m->source)
        return;
    const char *path;
    uint64_t own = own_line(m, line, &path);
    zn_rt_explain(e, "\n  --> %s:%" PRIu64, path, own);
    explain_line(m, (uint32_t)line, e);
}

static void explain_lines(const zn_module_desc *m, const zn_phase *f, uint32_t line, zn_rt_error *e) {
    enum { MOST = 8 };
    zn_rt_explain_place(m, line ? line : f->nlines ? f->lines[0] : 0, e);
    for (uint64_t i = 1; !line && i < f->nlines && i < MOST; i++)
        explain_line(m, f->lines[i], e);
}

/* The first value of phases [0, n) that is not finite. */
static bool explain_value(const zn_rt_engine *g, zn_rt_which which, int batch, const zn_args *args, uint64_t n,
                          zn_rt_error *e) {
    const zn_program *p = zn_rt_program(g, which);
    const zn_step *steps = g->mem->step[which][batch];
    for (uint64_t i = 0; i < n; i++) {
        const zn_phase *f = &p->phase[i];
        zn_rt_run_phases(g, which, batch, args, i, i + 1);
        for (uint64_t k = 0; k < f->noutput; k++) {
            const zn_output *o = &f->output[k];
            found at;
            if (!scan(steps[i].buf[o->buf], o, &at))
                continue;
            zn_rt_explain(e,
                          "\nthe first value that is not finite is %s, written by %s (phase %" PRIu64
                          ", kernel %s): image %" PRIu64 ", row %" PRIu64 ", element %" PRIu64,
                          isnan(at.value) ? "nan"
                          : at.value > 0  ? "inf"
                                          : "-inf",
                          o->op, i, f->name, at.image, at.row, at.column);
            explain_lines(g->m, f, o->line, e);
            return true;
        }
    }
    return false;
}

int zn_rt_explain_nonfinite(const zn_rt_engine *g, zn_rt_which which, int batch, const zn_args *args, zn_rt_error *e) {
    const zn_program *p = zn_rt_program(g, which);
    uint64_t n = which == ZN_RT_TRAIN ? p->nforward : p->nphase;
    if (!explain_value(g, which, batch, args, n, e) && n > 0) {
        const zn_phase *f = &p->phase[n - 1];
        zn_rt_explain(e, "\nall values before the loss are finite; it is computed by kernel %s", f->name);
        explain_lines(g->m, f, 0, e);
    }
    return ZN_RT_NONFINITE;
}
