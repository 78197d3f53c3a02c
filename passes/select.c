/* Pass select: the algorithm of each convolution and matrix product.
 *
 * A function of shapes and of the recorded flags select.conv and select.gemm only: the choice fixes bits, so it may
 * not depend on -O, the processor, threads or time. The cost model for products: OpenBLAS pays a pass over the result
 * for what cannot be fused into it, and runs well only on large blocks. */
#include <string.h>

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

bool zn_pass_select(zn_module *m, zn_pass_ctx *ctx) {
    if (!zn_conf_get(m, "select.conv"))
        zn_conf_set_str(m, "select.conv", "auto", (zn_span){0});
    if (!zn_conf_get(m, "select.gemm"))
        zn_conf_set_str(m, "select.gemm", "auto", (zn_span){0});
    for (zn_func *f = m->funcs; f; f = f->next) {
        if (!strcmp(f->name, "forward"))
            continue;
        for (zn_value *v = f->first; v; v = v->next) {
            if (v->op == ZN_OP_MATMUL) {
                zn_attr_of(v, MATMUL, algo)->s = choose_gemm(m, v, ctx);
                /* OpenBLAS sums k in an order of its own; the shards would only cost. */
                if (!strcmp(zn_attr_of(v, MATMUL, algo)->s, "openblas"))
                    zn_attr_of(v, MATMUL, shards)->i = 1;
            }
            if (v->op == ZN_OP_CONV)
                zn_attr_of(v, CONV, algo)->s = "direct";
            if (v->op == ZN_OP_CONV_GRAD_X)
                zn_attr_of(v, CONV_GRAD_X, algo)->s = "direct";
            if (v->op == ZN_OP_CONV_GRAD_W)
                zn_attr_of(v, CONV_GRAD_W, algo)->s = "direct";
        }
    }
    return true;
}
