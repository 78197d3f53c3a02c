/* The table: layer | kernel | output | parameters | FLOPs of an image | MB of a batch | different units at the start
 * and ever | bound on the rank of the change | init, a sum for every labelled stage, totals, and memory by term up to
 * the peak that a run will measure. The same as JSON. */
#include "driver/check.h"

#include <string.h>

#include "driver/samples.h"
#include "ir/schema.h"
#include "ir/text.h"
#include "support/number.h"

typedef struct row {
    const char *layer, *init;
    const zn_value *value;
    const zn_param *weight;       /* of a layer of which something is proven; else NULL */
    int64_t params, flops, bytes; /* flops of one image, bytes of a batch */
} row;

typedef struct table {
    ZN_VEC(row) rows;
    row total;
    size_t name_width;
    const zn_proof *proof; /* NULL: nothing is said of it */
} table;

/* What a training program takes beside its plan and its data: code, libc, stacks (measured: 2.3 to 2.9 MB), and what
 * the compiler takes on top where it runs the program itself (LLVM; measured: 60 to 65 MB). */
static const int64_t program_bytes = 2500000, compiler_bytes = 62000000;

/* FLOPs of the forward pass for one image: a fused multiply-add counts as two. */
static int64_t flops_of(const zn_value *v) {
    int64_t each = zn_type_count(&v->type) / v->type.dim[0];
    switch (v->op) {
    case ZN_OP_CONV: {
        const zn_type *w = &v->operand[1]->type;
        return 2 * each * w->dim[0] * w->dim[1] * w->dim[2];
    }
    case ZN_OP_MATMUL:
        return 2 * each * v->operand[1]->type.dim[0];
    case ZN_OP_BN:
        return 2 * each;
    case ZN_OP_HADAMARD: {
        int64_t bits = 0;
        while (((int64_t)1 << bits) < zn_type_channels(&v->type))
            bits++;
        return each * (bits + 1);
    }
    case ZN_OP_MAXPOOL:
        return each * zn_attr_of(v, MAXPOOL, k)->v[0] * zn_attr_of(v, MAXPOOL, k)->v[1];
    case ZN_OP_AVGPOOL:
        return each * zn_attr_of(v, AVGPOOL, k)->v[0] * zn_attr_of(v, AVGPOOL, k)->v[1];
    case ZN_OP_GLOBAL_AVGPOOL:
        return zn_type_count(&v->operand[0]->type) / v->type.dim[0];
    case ZN_OP_FLATTEN:
    case ZN_OP_UNFLATTEN:
    case ZN_OP_SUBSAMPLE:
    case ZN_OP_PAD_CHANNELS:
    case ZN_OP_SLICE_CHANNELS:
    case ZN_OP_CONCAT:
    case ZN_OP_UPSAMPLE:
    case ZN_OP_DROPOUT:
        return 0;
    default:
        return each;
    }
}

static const char *start_text(zn_module *m, const zn_param *p) {
    zn_buf b = {0};
    zn_start_print(p, &b);
    const char *s = zn_arena_strdup(&m->arena, zn_buf_str(&b));
    zn_buf_free(&b);
    return s;
}

static const char *layer_name(zn_module *m, const zn_value *v) {
    const char *text = zn_op_table[v->op].text;
    return v->path[0] && v->op != ZN_OP_RESIDUAL ? zn_arena_printf(&m->arena, "%s (%s)", v->path, text)
           : v->path[0]                          ? zn_arena_printf(&m->arena, "%s %s", v->path, text)
                                                 : text;
}

/* kh, kw, stride h, stride w of a window; false where v has none. */
static bool window_of(const zn_value *v, int64_t out[4]) {
    const zn_attr *k = NULL, *stride;
    switch (v->op) {
    case ZN_OP_CONV:
        out[0] = v->operand[1]->type.dim[0];
        out[1] = v->operand[1]->type.dim[1];
        stride = zn_attr_of(v, CONV, stride);
        break;
    case ZN_OP_MAXPOOL:
        k = zn_attr_of(v, MAXPOOL, k);
        stride = zn_attr_of(v, MAXPOOL, stride);
        break;
    case ZN_OP_AVGPOOL:
        k = zn_attr_of(v, AVGPOOL, k);
        stride = zn_attr_of(v, AVGPOOL, stride);
        break;
    default:
        return false;
    }
    if (k) {
        out[0] = k->v[0];
        out[1] = k->v[1];
    }
    out[2] = stride->v[0];
    out[3] = stride->v[1];
    return true;
}

static row row_of(zn_module *m, const zn_proof *proof, const zn_value *v) {
    row r = {.layer = layer_name(m, v), .init = "", .value = v, .flops = flops_of(v)};
    for (int i = 0; i < v->noperands; i++)
        if (v->operand[i]->op == ZN_OP_PARAM) {
            const zn_param *p = zn_param_find(m, zn_attr_of(v->operand[i], PARAM, name)->s);
            if (zn_role_trained(p->role))
                r.params += zn_type_count(&p->type);
            if (p->role == ZN_ROLE_WEIGHT)
                r.init = start_text(m, p);
            if (p->role == ZN_ROLE_WEIGHT && p->type.rank >= 2 && proof && zn_proof_layer(proof, p))
                r.weight = p;
        }
    r.bytes = 4 * zn_type_count(&v->type);
    return r;
}

static void add(row *sum, const row *r) {
    sum->params += r->params;
    sum->flops += r->flops;
    sum->bytes += r->bytes;
}

static table make_table(zn_module *m, const zn_proof *proof) {
    const zn_func *f = zn_func_find(m, "forward");
    table t = {.name_width = 5, .proof = proof};
    for (const zn_value *v = f->first; v; v = v->next) {
        if (zn_op_table[v->op].traits & ZN_T_LEAF)
            continue;
        row r = row_of(m, proof, v), *last = t.rows.n ? &t.rows.at[t.rows.n - 1] : NULL;
        if (v->op == ZN_OP_BIAS && last && zn_type_equal(&last->value->type, &v->type)) {
            r.bytes = 0; /* the layer's own */
            add(last, &r);
        } else {
            zn_vec_push(&m->arena, &t.rows, r);
            t.name_width = strlen(r.layer) > t.name_width ? strlen(r.layer) : t.name_width;
        }
        add(&t.total, &r);
    }
    return t;
}

/* The label that a path starts with, where more follows: its length, or 0. */
static size_t stage_of(const char *path) {
    const char *dot = strchr(path, '.');
    return dot ? (size_t)(dot - path) : 0;
}

/* Sums rows from `from` on that belong to one stage; gives the first row after it. */
static size_t sum_stage(const table *t, size_t from, row *sum) {
    const char *path = t->rows.at[from].value->path;
    size_t n = stage_of(path), i = from;
    *sum = (row){0};
    for (; i < t->rows.n; i++) {
        const char *other = t->rows.at[i].value->path;
        if (stage_of(other) != n || strncmp(other, path, n) != 0)
            break;
        add(sum, &t->rows.at[i]);
    }
    return i;
}

/* "[32, 32, 16]": without the batch */
static void shape_text(const zn_type *t, zn_buf *out) {
    zn_buf_putc(out, '[');
    for (int i = 1; i < t->rank; i++)
        zn_buf_printf(out, "%s%lld", i > 1 ? ", " : "", (long long)t->dim[i]);
    zn_buf_putc(out, ']');
}

/* "3x3 s2"; nothing of a value without a window */
static void window_text(const zn_value *v, zn_buf *out) {
    int64_t w[4];
    if (!window_of(v, w))
        return;
    zn_buf_printf(out, "%lldx%lld", (long long)w[0], (long long)w[1]);
    if (w[2] != w[3])
        zn_buf_printf(out, " s%lldx%lld", (long long)w[2], (long long)w[3]);
    else if (w[2] != 1)
        zn_buf_printf(out, " s%lld", (long long)w[2]);
}

/* What is proven of a layer's units and of the change of its weight; exact and by bits. */
typedef struct proven {
    int64_t units, now, ever, ever_bits, rank, rank_bits, most;
} proven;
static proven proven_of(const zn_proof *p, const zn_param *w) {
    int id = zn_proof_layer(p, w)->id;
    return (proven){.units = p->exact.ever[id].n,
                    .now = p->exact.now[id].classes,
                    .ever = p->exact.ever[id].classes,
                    .ever_bits = p->bits.ever[id].classes,
                    .rank = zn_proof_rank(p, &p->exact, w),
                    .rank_bits = zn_proof_rank(p, &p->bits, w),
                    .most = zn_proof_full_rank(w)};
}

/* "4" or "4-16": as exact arithmetic and bits have it */
static void print_pair(int64_t exact, int64_t bits, zn_buf *out) {
    if (exact == bits)
        zn_buf_printf(out, "%lld", (long long)exact);
    else
        zn_buf_printf(out, "%lld-%lld", (long long)exact, (long long)bits);
}

static void print_proven(const table *t, const row *r, zn_buf *out) {
    zn_buf units = {0}, rank = {0};
    if (r->weight) {
        proven x = proven_of(t->proof, r->weight);
        zn_buf_printf(&units, "%lld, ", (long long)x.now);
        print_pair(x.ever, x.ever_bits, &units);
        print_pair(x.rank, x.rank_bits, &rank);
    }
    zn_buf_printf(out, " %13s %9s ", zn_buf_str(&units), zn_buf_str(&rank));
    zn_buf_free(&units);
    zn_buf_free(&rank);
}

static void print_line(const table *t, const char *name, const char *window, const char *shape, const row *r,
                       zn_buf *out) {
    char params[ZN_NUMBER_MAX], flops[ZN_NUMBER_MAX];
    zn_buf line = {0};
    zn_i64_grouped(r->params, params);
    zn_i64_grouped(r->flops, flops);
    zn_buf_printf(&line, "%-*s  %-8s %-16s %14s %16s %12.2f ", (int)(t->name_width < 60 ? t->name_width : 60), name,
                  window, shape, params, flops, (double)r->bytes * 1e-6);
    if (t->proof)
        print_proven(t, r, &line);
    zn_buf_printf(&line, " %s", r->init ? r->init : "");
    while (line.n && line.at[line.n - 1] == ' ')
        line.at[--line.n] = 0;
    zn_buf_printf(out, "%s\n", zn_buf_str(&line));
    zn_buf_free(&line);
}

static void print_row(const table *t, const row *r, zn_buf *out) {
    zn_buf shape = {0}, window = {0};
    shape_text(&r->value->type, &shape);
    window_text(r->value, &window);
    print_line(t, r->layer, zn_buf_str(&window), zn_buf_str(&shape), r, out);
    zn_buf_free(&shape);
    zn_buf_free(&window);
}

static void print_rows(const table *t, zn_buf *out) {
    zn_buf_printf(out, "%-*s  %-8s %-16s %14s %16s %12s ", (int)(t->name_width < 60 ? t->name_width : 60), "layer",
                  "kernel", "output", "parameters", "FLOPs/image", "MB/batch");
    if (t->proof)
        zn_buf_printf(out, " %13s %9s ", "distinct", "rank");
    zn_buf_puts(out, " init\n");
    for (size_t i = 0; i < t->rows.n;) {
        row sum;
        const char *path = t->rows.at[i].value->path;
        size_t stage = stage_of(path), end = sum_stage(t, i, &sum);
        for (; i < end; i++)
            print_row(t, &t->rows.at[i], out);
        if (!stage)
            continue;
        zn_buf name = {0};
        zn_buf_printf(&name, "= %.*s", (int)stage, path);
        print_line(t, zn_buf_str(&name), "", "", &sum, out);
        zn_buf_free(&name);
    }
}

/* ---- memory */

enum { TERMS = 9 };
typedef struct memory {
    struct {
        const char *name, *key;
        int64_t bytes;
    } term[TERMS];
    int n, threads;
    bool data_known;
    int64_t peak;
} memory;

static void term(memory *x, const char *name, const char *key, int64_t bytes) {
    x->term[x->n].name = name;
    x->term[x->n].key = key;
    x->term[x->n++].bytes = bytes;
    x->peak += bytes;
}

static memory make_memory(const zn_module *m, const zn_plan *plan, int threads) {
    memory x = {.threads = threads};
    int64_t weights = 0, state = 0, scratch = zn_plan_scratch(plan), arena = zn_plan_arena(plan);
    zn_samples samples;
    for (const zn_param *p = m->params; p; p = p->next)
        *(zn_role_saved(p->role) ? &weights : &state) += (zn_type_count(&p->type) * 4 + 63) / 64 * 64;
    x.data_known = zn_samples_measure(m, plan, &samples);
    term(&x, "parameters and statistics", "parameters", weights);
    term(&x, "optimizer state", "optimizer_state", state);
    term(&x, "arena (activations, gradients)", "arena", arena);
    term(&x, "batches (two)", "batches", 2 * plan->batch_size);
    term(&x, "scratch of the threads", "scratch", threads * scratch);
    if (x.data_known) {
        term(&x, "data set, in memory", "data", samples.data);
        if (samples.mapped)
            term(&x, "data set, mapped from files (at most)", "mapped", samples.mapped);
        term(&x, "order of the data", "order", samples.order);
    }
    term(&x, "program, libraries, stacks (about)", "program", program_bytes);
    return x;
}

static void print_memory(const memory *x, zn_buf *out) {
    zn_buf_printf(out, "memory, %d thread%s\n", x->threads, x->threads == 1 ? "" : "s");
    for (int i = 0; i < x->n; i++)
        zn_buf_printf(out, "  %-38s %10.2f MB\n", x->term[i].name, (double)x->term[i].bytes * 1e-6);
    zn_buf_printf(out, "  %-38s %10.1f MB; by `znetc run`, which holds the compiler too, %.0f MB\n",
                  x->data_known ? "peak of a training program" : "peak, without the data set", (double)x->peak * 1e-6,
                  (double)(x->peak + compiler_bytes) * 1e-6);
}

void zn_check_print(zn_module *m, const zn_plan *plan, const zn_proof *proof, int threads, zn_buf *out) {
    table t = make_table(m, proof);
    char params[ZN_NUMBER_MAX], flops[ZN_NUMBER_MAX];
    print_rows(&t, out);
    zn_i64_grouped(t.total.params, params);
    zn_i64_grouped(t.total.flops, flops);
    zn_buf_printf(out, "total: %s parameters, %s FLOPs forward for one image\n", params, flops);
    zn_buf_printf(out, "init: %s\n", zn_conf_str(m, "init.text", "zero"));
    if (plan) {
        memory x = make_memory(m, plan, threads);
        print_memory(&x, out);
    }
}

/* ---- JSON */

static void json_sums(const row *r, zn_buf *out) {
    zn_buf_printf(out, "\"parameters\": %lld, \"flops\": %lld, \"batch_bytes\": %lld", (long long)r->params,
                  (long long)r->flops, (long long)r->bytes);
}

static void json_row(const zn_proof *proof, const row *r, zn_buf *out) {
    int64_t w[4];
    zn_buf_puts(out, "{\"path\": ");
    zn_buf_json(out, r->value->path);
    zn_buf_printf(out, ", \"op\": \"%s\", ", zn_op_table[r->value->op].text);
    if (window_of(r->value, w))
        zn_buf_printf(out, "\"kernel\": [%lld, %lld], \"stride\": [%lld, %lld], ", (long long)w[0], (long long)w[1],
                      (long long)w[2], (long long)w[3]);
    zn_buf_puts(out, "\"output\": ");
    shape_text(&r->value->type, out);
    zn_buf_puts(out, ", ");
    json_sums(r, out);
    if (r->weight) {
        proven x = proven_of(proof, r->weight);
        zn_buf_printf(
            out,
            ", \"distinct\": {\"units\": %lld, \"now\": %lld, \"ever\": %lld, \"ever_bits\": %lld}, \"rank\": "
            "{\"most\": %lld, \"change\": %lld, \"change_bits\": %lld}",
            (long long)x.units, (long long)x.now, (long long)x.ever, (long long)x.ever_bits, (long long)x.most,
            (long long)x.rank, (long long)x.rank_bits);
    }
    zn_buf_puts(out, ", \"init\": ");
    zn_buf_json(out, r->init);
    zn_buf_putc(out, '}');
}

static void json_stages(zn_module *m, const table *t, zn_buf *out) {
    const char *comma = "";
    for (size_t i = 0; i < t->rows.n;) {
        row sum;
        const char *path = t->rows.at[i].value->path;
        size_t stage = stage_of(path);
        i = sum_stage(t, i, &sum);
        if (!stage)
            continue;
        zn_buf_printf(out, "%s{\"stage\": ", comma);
        zn_buf_json(out, zn_arena_strndup(&m->arena, path, stage));
        zn_buf_puts(out, ", ");
        json_sums(&sum, out);
        zn_buf_putc(out, '}');
        comma = ", ";
    }
}

static void json_memory(const memory *x, zn_buf *out) {
    zn_buf_printf(out, ", \"memory\": {\"threads\": %d", x->threads);
    for (int i = 0; i < x->n; i++)
        zn_buf_printf(out, ", \"%s\": %lld", x->term[i].key, (long long)x->term[i].bytes);
    zn_buf_printf(out, ", \"data_known\": %s, \"peak\": %lld, \"peak_of_run\": %lld}", x->data_known ? "true" : "false",
                  (long long)x->peak, (long long)(x->peak + compiler_bytes));
}

void zn_check_json(zn_module *m, const zn_plan *plan, const zn_proof *proof, int threads, zn_buf *out) {
    table t = make_table(m, proof);
    zn_buf_puts(out, "{\"model\": ");
    zn_buf_json(out, m->name);
    zn_buf_puts(out, ", \"layers\": [");
    for (size_t i = 0; i < t.rows.n; i++) {
        zn_buf_puts(out, i ? ", " : "");
        json_row(proof, &t.rows.at[i], out);
    }
    zn_buf_puts(out, "], \"stages\": [");
    json_stages(m, &t, out);
    zn_buf_puts(out, "], ");
    json_sums(&t.total, out);
    zn_buf_puts(out, ", \"init\": ");
    zn_buf_json(out, zn_conf_str(m, "init.text", "zero"));
    if (plan) {
        memory x = make_memory(m, plan, threads);
        json_memory(&x, out);
    }
    zn_buf_puts(out, "}\n");
}
