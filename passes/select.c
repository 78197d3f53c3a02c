/* Pass select: the algorithm of each convolution and matrix product.
 *
 * A function of shapes and of the recorded flags select.conv and select.gemm only: the choice fixes bits, so it may
 * not depend on -O, the processor, threads or time. The cost model for products: OpenBLAS pays a pass over the result
 * for what cannot be fused into it, and runs well only on large blocks. */
#include <string.h>

#include "ir/plan.h"
#include "passes/pass.h"

enum { OPENBLAS_MIN_DIM = 256 };
#define OPENBLAS_MIN_MACS ((int64_t)1 << 27)

static const char *choose_gemm(zn_module *m, const zn_value *v, zn_pass_ctx *ctx) {
    const char *flag = zn_conf_str(m, "select.gemm", "auto");
    if (strcmp(flag, "auto"))
        return flag;
    bool ta = zn_attr_of(v, MATMUL, trans_a)->i;
    int64_t rows = v->type.dim[0], cols = v->type.dim[1], k = v->operand[0]->type.dim[ta ? 0 : 1];
    double macs = (double)rows * (double)cols * (double)k;
    bool large = rows >= OPENBLAS_MIN_DIM && cols >= OPENBLAS_MIN_DIM && k >= OPENBLAS_MIN_DIM &&
                 macs >= (double)OPENBLAS_MIN_MACS;
    zn_pass_log(ctx, "select: line %u: product %lldx%lldx%lld: %s, %s", v->span.line, (long long)rows, (long long)cols,
                (long long)k, large ? "openblas" : "generated",
                large ? "large in every dimension" : "small or skinny, or worth fusing");
    return large ? "openblas" : "generated";
}

static const char *choose_conv(zn_module *m, const zn_value *v) {
    const char *flag = zn_conf_str(m, "select.conv", "auto");
    bool winograd = strcmp(flag, "direct") && zn_winograd_of(v).tile &&
                    (zn_winograd_gain(v) >= ZN_WINOGRAD_LEAST_GAIN || !strcmp(flag, "winograd"));
    return winograd ? "winograd" : "direct";
}

static void log_conv(const zn_value *v, const zn_type *w, zn_pass_ctx *ctx) {
    zn_buf why = {0};
    zn_conv_explain(v, &why);
    zn_pass_log(ctx, "select: line %u: %s %lldx%lld, %lld to %lld: %s", v->span.line, zn_op_table[v->op].text,
                (long long)w->dim[0], (long long)w->dim[1], (long long)w->dim[2], (long long)w->dim[3],
                zn_buf_str(&why));
    zn_buf_free(&why);
}

/* One chain for 256 tiles, at most 16: short chains are where the accuracy of a gradient by weights comes from, and
 * more partial sums in the transformed domain (36 / 9 times the weights) cost memory, of which they get so much. */
#define PARTIAL_BYTES ((int64_t)128 << 20)
static int64_t winograd_shards(const zn_value *v) {
    zn_winograd w = zn_winograd_of(v);
    int64_t tiles = w.images * w.tiles, s = 1;
    int64_t each = 4 * w.weights * zn_winograd_channels(v->type.dim[2]) * zn_winograd_channels(v->type.dim[3]);
    while (s < zn_shard_count(w.images) && s * 256 < tiles && 2 * s * each <= PARTIAL_BYTES)
        s *= 2;
    return s;
}

static void select_conv(zn_module *m, zn_value *v, zn_pass_ctx *ctx) {
    switch (v->op) {
    case ZN_OP_CONV:
        zn_attr_of(v, CONV, algo)->s = choose_conv(m, v);
        log_conv(v, &v->operand[1]->type, ctx);
        break;
    case ZN_OP_CONV_GRAD_X:
        zn_attr_of(v, CONV_GRAD_X, algo)->s = choose_conv(m, v);
        log_conv(v, &v->operand[1]->type, ctx);
        break;
    case ZN_OP_CONV_GRAD_W:
        zn_attr_of(v, CONV_GRAD_W, algo)->s = choose_conv(m, v);
        if (!strcmp(zn_conv_algorithm(v), "winograd"))
            zn_attr_of(v, CONV_GRAD_W, shards)->i = winograd_shards(v);
        log_conv(v, &v->type, ctx);
        break;
    default:
        break;
    }
}

bool zn_pass_select(zn_module *m, zn_pass_ctx *ctx) {
    if (!zn_conf_get(m, "select.conv"))
        zn_conf_set_str(m, "select.conv", "auto", (zn_span){0});
    if (!zn_conf_get(m, "select.gemm"))
        zn_conf_set_str(m, "select.gemm", "auto", (zn_span){0});
    for (zn_func *f = m->funcs; f; f = f->next) {
        if (!zn_func_is_program(f))
            continue;
        for (zn_value *v = f->first; v; v = v->next) {
            if (v->op == ZN_OP_MATMUL) {
                zn_attr_of(v, MATMUL, algo)->s = choose_gemm(m, v, ctx);
                /* OpenBLAS sums k in an order of its own; the shards would only cost. */
                if (!strcmp(zn_attr_of(v, MATMUL, algo)->s, "openblas"))
                    zn_attr_of(v, MATMUL, shards)->i = 1;
            }
            select_conv(m, v, ctx);
        }
    }
    return true;
}
