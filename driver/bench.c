/* See bench.h. A row is a kernel: the phases of a step that run it, together. FLOPs are those of direct computation, so
 * that the rate of a Winograd convolution is the effective one and may pass the machine's peak. */
#include "driver/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/ice.h"
#include "support/number.h"

typedef struct row {
    const zn_kernel_plan *kernel;
    const char *op, *path; /* of the first phase */
    int64_t calls, flops, bytes;
    double seconds;
} row;

typedef struct table {
    row *rows;
    size_t n;
    row total;
} table;

static const char *const family_names[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = name,
#include "ir/kernels.def"
};

/* Of a phase's buffers, each once: what it would move if every one passed from or to memory exactly once. */
static int64_t bytes_of(const zn_program_plan *prog, const zn_phase_plan *ph) {
    int64_t sum = 0;
    for (size_t i = 0; i < ph->buffers.n; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again = again || ph->buffers.at[j] == ph->buffers.at[i];
        if (!again)
            sum += prog->buffers.at[ph->buffers.at[i]].size;
    }
    return sum;
}

static int slower_first(const void *a, const void *b) {
    const row *x = a, *y = b;
    return x->seconds > y->seconds ? -1 : x->seconds < y->seconds ? 1 : strcmp(x->kernel->name, y->kernel->name);
}

static void add_row(row *sum, const row *r) {
    sum->calls += r->calls;
    sum->flops += r->flops;
    sum->bytes += r->bytes;
    sum->seconds += r->seconds;
}

static table make_table(const zn_plan *plan, const double *seconds) {
    const zn_program_plan *prog = zn_plan_program(plan, "train_step");
    table t = {.rows = calloc(plan->kernels.n + 1, sizeof *t.rows)};
    row *by_kernel = calloc(plan->kernels.n + 1, sizeof *by_kernel);
    if (!t.rows || !by_kernel)
        ZN_ICE("out of memory");
    for (size_t i = 0; i < prog->phases.n; i++) {
        const zn_phase_plan *ph = &prog->phases.at[i];
        row *r = &by_kernel[ph->index];
        if (!r->calls++) {
            r->kernel = ph->kernel;
            r->op = zn_op_table[ph->group->anchor->op].text;
            r->path = ph->group->anchor->path;
        }
        r->flops += ph->flops;
        r->bytes += bytes_of(prog, ph);
        r->seconds += seconds[i];
    }
    for (size_t k = 0; k < plan->kernels.n; k++)
        if (by_kernel[k].calls) {
            add_row(&t.total, &by_kernel[k]);
            t.rows[t.n++] = by_kernel[k];
        }
    free(by_kernel);
    qsort(t.rows, t.n, sizeof *t.rows, slower_first);
    return t;
}

static void print_row(const row *r, const char *kernel, const char *op, int width, double total, double peak,
                      zn_buf *out) {
    double rate = r->seconds > 0 ? (double)r->flops / r->seconds : 0;
    zn_buf_printf(out, "%-20s %-*s %5lld %9.3f %6.1f %%", kernel, width, op, (long long)r->calls, r->seconds * 1e3,
                  100 * r->seconds / total);
    if (r->flops && peak > 0)
        zn_buf_printf(out, " %8.1f %6.1f %%", rate * 1e-9, 100 * rate / peak);
    else
        zn_buf_printf(out, " %8s %8s", "", "");
    zn_buf_printf(out, " %8.1f\n", (double)r->bytes / r->seconds * 1e-9);
}

static void print_head(const char *kernel, const char *op, int width, zn_buf *out) {
    zn_buf_printf(out, "\n%-20s %-*s %5s %9s %8s %8s %8s %8s\n", kernel, width, op, "calls", "ms/step", "share",
                  "GFLOP/s", "of peak", "GB/s");
}

/* Rows of one family that serve the same operation, together. */
static void print_families(const table *t, int width, double peak, zn_buf *out) {
    row *sums = calloc(t->n + 1, sizeof *sums);
    size_t n = 0;
    if (!sums)
        ZN_ICE("out of memory");
    for (size_t i = 0; i < t->n; i++) {
        const row *r = &t->rows[i];
        size_t k = 0;
        while (k < n && (sums[k].kernel->family != r->kernel->family || strcmp(sums[k].op, r->op) != 0))
            k++;
        if (k == n)
            sums[n++] = (row){.kernel = r->kernel, .op = r->op};
        add_row(&sums[k], r);
    }
    qsort(sums, n, sizeof *sums, slower_first);
    print_head("family", "of", width, out);
    for (size_t i = 0; i < n; i++)
        print_row(&sums[i], family_names[sums[i].kernel->family], sums[i].op, width, t->total.seconds, peak, out);
    free(sums);
}

/* The algorithm of each convolution and its gradients, and why. */
static void print_algorithms(const zn_plan *plan, int width, zn_buf *out) {
    const zn_program_plan *prog = zn_plan_program(plan, "train_step");
    bool head = false;
    for (size_t i = 0; i < prog->groups.n; i++) {
        const zn_value *v = prog->groups.at[i]->anchor;
        if (!zn_conv_algorithm(v))
            continue;
        if (!head)
            zn_buf_printf(out, "\n%-*s %s\n", width, "convolution", "algorithm");
        head = true;
        const char *op = zn_op_table[v->op].text;
        zn_buf_printf(out, "%s %-*s ", op, width - (int)strlen(op) - 1, v->path);
        zn_conv_explain(v, out);
        zn_buf_putc(out, '\n');
    }
}

static void print_table(const zn_plan *plan, const zn_rt_bench *b, zn_buf *out) {
    table t = make_table(plan, b->phase);
    int width = 20;
    char op[64];
    for (size_t i = 0; i < t.n; i++) {
        int n = (int)(strlen(t.rows[i].op) + 1 + strlen(t.rows[i].path));
        width = n > width ? n : width;
    }
    width = width > 40 ? 40 : width;
    print_head("kernel", "of (first call)", width, out);
    for (size_t i = 0; i < t.n; i++) {
        snprintf(op, sizeof op, "%s %s", t.rows[i].op, t.rows[i].path);
        op[width] = 0;
        print_row(&t.rows[i], t.rows[i].kernel->name, op, width, t.total.seconds, b->peak_rate, out);
    }
    print_row(&t.total, "total", "", width, t.total.seconds, b->peak_rate, out);
    print_families(&t, width, b->peak_rate, out);
    print_algorithms(plan, width, out);
    free(t.rows);
}

void zn_bench_print(const zn_plan *plan, const zn_rt_bench *b, zn_buf *out) {
    double batch = (double)plan->programs.at[0]->func->args.at[0]->type.dim[0];
    zn_buf_printf(out, "%s: batch %.0f, %d thread%s, %lld steps measured\n", plan->m->name, batch, b->threads,
                  b->threads == 1 ? "" : "s", (long long)b->steps);
    zn_buf_printf(out, "images/s       median %10.1f   best %10.1f\n", batch / b->median, batch / b->best);
    zn_buf_printf(out, "ms a step      median %10.3f   best %10.3f\n", b->median * 1e3, b->best * 1e3);
    zn_buf_printf(out, "first step     after %.3f s\n", b->first_step);
    zn_buf_printf(out, "memory         planned %.1f MB, peak %.1f MB\n", (double)b->planned_bytes * 1e-6,
                  (double)b->peak_bytes * 1e-6);
    if (b->peak_rate > 0)
        zn_buf_printf(out, "machine        %.1f GFLOP/s of fused multiply-adds, %d thread%s\n", b->peak_rate * 1e-9,
                      b->threads, b->threads == 1 ? "" : "s");
    if (b->phase)
        print_table(plan, b, out);
}

static void json_number(zn_buf *out, const char *key, double x) {
    char text[ZN_NUMBER_MAX];
    zn_f64_json(x, text);
    zn_buf_printf(out, "%s\"%s\": %s", out->at[out->n - 1] == '{' ? "" : ", ", key, text);
}

void zn_bench_json(const zn_plan *plan, const zn_rt_bench *b, zn_buf *out) {
    double batch = (double)plan->programs.at[0]->func->args.at[0]->type.dim[0];
    zn_buf_puts(out, "{");
    json_number(out, "batch", batch);
    json_number(out, "threads", b->threads);
    json_number(out, "steps", (double)b->steps);
    json_number(out, "images_per_second_median", batch / b->median);
    json_number(out, "images_per_second_best", batch / b->best);
    json_number(out, "step_seconds_median", b->median);
    json_number(out, "step_seconds_best", b->best);
    json_number(out, "first_step_seconds", b->first_step);
    json_number(out, "planned_bytes", (double)b->planned_bytes);
    json_number(out, "peak_memory_bytes", (double)b->peak_bytes);
    json_number(out, "machine_flops_per_second", b->peak_rate);
    if (b->phase) {
        table t = make_table(plan, b->phase);
        zn_buf_puts(out, ", \"kernels\": [");
        for (size_t i = 0; i < t.n; i++) {
            zn_buf_printf(out, "%s{\"kernel\": \"%s\", \"op\": \"%s\", \"path\": \"%s\"", i ? ", " : "",
                          t.rows[i].kernel->name, t.rows[i].op, t.rows[i].path);
            json_number(out, "calls", (double)t.rows[i].calls);
            json_number(out, "seconds", t.rows[i].seconds);
            json_number(out, "flops", (double)t.rows[i].flops);
            json_number(out, "bytes", (double)t.rows[i].bytes);
            const zn_value *anchor = t.rows[i].kernel->group->anchor;
            if (zn_conv_algorithm(anchor)) {
                zn_buf_puts(out, ", \"algorithm\": \"");
                zn_conv_explain(anchor, out);
                zn_buf_putc(out, '"');
            }
            zn_buf_putc(out, '}');
        }
        zn_buf_putc(out, ']');
        free(t.rows);
    }
    zn_buf_puts(out, "}\n");
}
