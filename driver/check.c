/* The table: layer | output | parameters | FLOPs | bytes | init, then totals and memory by term. */
#include "driver/check.h"

#include <string.h>

#include "ir/text.h"
#include "support/number.h"

typedef struct row {
    const char *layer, *init;
    zn_type output;
    int64_t params, flops, bytes;
} row;

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
    case ZN_OP_DROPOUT:
        return 0;
    default:
        return each;
    }
}

static const char *formula_text(zn_module *m, const zn_formula *f) {
    zn_buf b = {0};
    zn_formula_print(f, &b);
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

static row row_of(zn_module *m, const zn_value *v) {
    row r = {.layer = layer_name(m, v), .init = "", .output = v->type, .flops = flops_of(v)};
    for (int i = 0; i < v->noperands; i++)
        if (v->operand[i]->op == ZN_OP_PARAM) {
            const zn_param *p = zn_param_find(m, zn_attr_of(v->operand[i], PARAM, name)->s);
            if (zn_role_trained(p->role))
                r.params += zn_type_count(&p->type);
            if (p->role == ZN_ROLE_WEIGHT)
                r.init = formula_text(m, &p->init);
        }
    r.bytes = 4 * zn_type_count(&v->type);
    return r;
}

/* "[32, 32, 16]": without the batch */
static void shape_text(const zn_type *t, zn_buf *out) {
    zn_buf_putc(out, '[');
    for (int i = 1; i < t->rank; i++)
        zn_buf_printf(out, "%s%lld", i > 1 ? ", " : "", (long long)t->dim[i]);
    zn_buf_putc(out, ']');
}

static void print_rows(const row *rows, size_t n, zn_buf *out) {
    size_t width = 5;
    for (size_t i = 0; i < n; i++)
        width = strlen(rows[i].layer) > width ? strlen(rows[i].layer) : width;
    int w = (int)(width < 60 ? width : 60);
    zn_buf_printf(out, "%-*s  %-16s %14s %16s %14s  %s\n", w, "layer", "output", "parameters", "FLOPs", "bytes",
                  "init");
    for (size_t i = 0; i < n; i++) {
        char params[ZN_NUMBER_MAX], flops[ZN_NUMBER_MAX], bytes[ZN_NUMBER_MAX];
        zn_buf shape = {0};
        shape_text(&rows[i].output, &shape);
        zn_i64_grouped(rows[i].params, params);
        zn_i64_grouped(rows[i].flops, flops);
        zn_i64_grouped(rows[i].bytes, bytes);
        zn_buf line = {0};
        zn_buf_printf(&line, "%-*s  %-16s %14s %16s %14s  %s", w, rows[i].layer, zn_buf_str(&shape), params, flops,
                      bytes, rows[i].init);
        while (line.n && line.at[line.n - 1] == ' ')
            line.at[--line.n] = 0;
        zn_buf_printf(out, "%s\n", zn_buf_str(&line));
        zn_buf_free(&line);
        zn_buf_free(&shape);
    }
}

static void print_term(zn_buf *out, const char *name, int64_t x) {
    char text[ZN_NUMBER_MAX];
    zn_i64_grouped(x, text);
    zn_buf_printf(out, "  %-44s %16s bytes\n", name, text);
}

static void print_memory(const zn_module *m, const zn_plan *plan, zn_buf *out) {
    int64_t weights = 0, state = 0, i = 0,
            arena = plan->train.arena_size > plan->eval.arena_size ? plan->train.arena_size : plan->eval.arena_size;
    int64_t scratch =
        plan->train.scratch_size > plan->eval.scratch_size ? plan->train.scratch_size : plan->eval.scratch_size;
    for (const zn_param *p = m->params; p; p = p->next, i++)
        *(zn_role_saved(p->role) ? &weights : &state) += (zn_type_count(&p->type) * 4 + 63) / 64 * 64;
    zn_buf_puts(out, "memory\n");
    print_term(out, "parameters and statistics", weights);
    print_term(out, "optimizer state", state);
    print_term(out, "arena (activations, gradients)", arena);
    print_term(out, "batches (two)", 2 * plan->batch_size);
    print_term(out, "scratch, a thread", scratch);
    print_term(out, "total without scratch and data set", weights + state + arena + 2 * plan->batch_size);
}

void zn_check_print(zn_module *m, const zn_plan *plan, zn_buf *out) {
    const zn_func *f = zn_func_find(m, "forward");
    ZN_VEC(row) rows = {0};
    char params[ZN_NUMBER_MAX], flops[ZN_NUMBER_MAX];
    int64_t all_params = 0, all_flops = 0;
    for (const zn_value *v = f->first; v; v = v->next) {
        if (zn_op_table[v->op].traits & ZN_T_LEAF)
            continue;
        row r = row_of(m, v);
        if (v->op == ZN_OP_BIAS && rows.n && zn_type_equal(&rows.at[rows.n - 1].output, &r.output)) {
            rows.at[rows.n - 1].params += r.params; /* the layer's own */
            rows.at[rows.n - 1].flops += r.flops;
        } else {
            zn_vec_push(&m->arena, &rows, r);
        }
        all_flops += r.flops;
        all_params += r.params;
    }
    print_rows(rows.at, rows.n, out);
    zn_i64_grouped(all_params, params);
    zn_i64_grouped(all_flops, flops);
    zn_buf_printf(out, "total: %s parameters, %s FLOPs forward for one image\n", params, flops);
    zn_buf_printf(out, "init: %s\n", zn_conf_str(m, "init.text", "zero"));
    if (plan)
        print_memory(m, plan, out);
}
