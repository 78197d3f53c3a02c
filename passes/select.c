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

/* Winograd F(4x4, 3x3) does a quarter of the multiplications of direct convolution, F(2x2, 3x3) four ninths, and the
 * polyphase F(4x4, 2x2) for stride 2 nine sixteenths; transforms cost about as much as 10 channels of products, for
 * tiles of 2x2 twice that. They need 3x3 kernels with padding 1, maps that are whole tiles, and channels that fill
 * vectors: input in sixteens, output sixteen or in thirty-twos (on either side, for the gradients). NULL where they do
 * not fit, or where `flag` leaves the choice open and they do not pay. */
static const char *winograd_for(const zn_type *w, const zn_type *x, const zn_type *y, const int64_t stride[2],
                                const int64_t pad[4], const char *flag) {
    int64_t c = w->dim[2], o = w->dim[3], h = y->dim[1], v = y->dim[2];
    if (!strcmp(flag, "direct") || w->dim[0] != 3 || w->dim[1] != 3 || pad[0] != 1 || pad[1] != 1 ||
        stride[0] != stride[1] || (c != 16 && c % 32) || (o != 16 && o % 32) || x->dim[1] != h * stride[0] ||
        x->dim[2] != v * stride[0])
        return NULL;
    if (stride[0] == 2)
        return h % 4 || v % 4 ? NULL : "winograd, polyphase F(4x4, 2x2)";
    if (stride[0] != 1)
        return NULL;
    if (h % 4 == 0 && v % 4 == 0)
        return "winograd F(4x4, 3x3)";
    bool pays = c >= 32 && o >= 32;
    return h % 2 || v % 2 || (!pays && strcmp(flag, "winograd")) ? NULL : "winograd F(2x2, 3x3)";
}

static const char *choose_conv(zn_module *m, const zn_value *v, const zn_type *w, const int64_t *stride,
                               const int64_t *pad, zn_pass_ctx *ctx) {
    const zn_type *y = v->op == ZN_OP_CONV ? &v->type : &v->operand[v->op == ZN_OP_CONV_GRAD_W]->type;
    const zn_type *x = v->op == ZN_OP_CONV_GRAD_X ? &v->type : &v->operand[0]->type;
    const char *flag = zn_conf_str(m, "select.conv", "auto");
    const char *form = winograd_for(w, x, y, stride, pad, flag);
    zn_pass_log(ctx, "select: line %u: %s %lldx%lld, %lld to %lld: %s", v->span.line, zn_op_table[v->op].text,
                (long long)w->dim[0], (long long)w->dim[1], (long long)w->dim[2], (long long)w->dim[3],
                form                      ? form
                : !strcmp(flag, "direct") ? "direct, asked for"
                                          : "direct, shape");
    return form ? "winograd" : "direct";
}

/* One chain for 256 tiles, at most 16: short chains are where the accuracy of a gradient by weights comes from, and
 * more partial sums in the transformed domain (36 / 9 times the weights) cost memory. */
static int64_t winograd_shards(const zn_value *v) {
    zn_winograd w = zn_winograd_of(v);
    int64_t tiles = w.images * w.tiles, s = 1;
    while (s < zn_shard_count(w.images) && s * 256 < tiles)
        s *= 2;
    return s;
}

static void select_conv(zn_module *m, zn_value *v, zn_pass_ctx *ctx) {
    if (v->op == ZN_OP_CONV)
        zn_attr_of(v, CONV, algo)->s =
            choose_conv(m, v, &v->operand[1]->type, zn_attr_of(v, CONV, stride)->v, zn_attr_of(v, CONV, pad)->v, ctx);
    if (v->op == ZN_OP_CONV_GRAD_X)
        zn_attr_of(v, CONV_GRAD_X, algo)->s = choose_conv(
            m, v, &v->operand[1]->type, zn_attr_of(v, CONV_GRAD_X, stride)->v, zn_attr_of(v, CONV_GRAD_X, pad)->v, ctx);
    if (v->op == ZN_OP_CONV_GRAD_W) {
        const char *algo =
            choose_conv(m, v, &v->type, zn_attr_of(v, CONV_GRAD_W, stride)->v, zn_attr_of(v, CONV_GRAD_W, pad)->v, ctx);
        zn_attr_of(v, CONV_GRAD_W, algo)->s = algo;
        if (!strcmp(algo, "winograd"))
            zn_attr_of(v, CONV_GRAD_W, shards)->i = winograd_shards(v);
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
