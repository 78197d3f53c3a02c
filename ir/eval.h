/* Inside of the reference interpreter: what its files share. See interp.h. */
#ifndef ZN_IR_EVAL_H
#define ZN_IR_EVAL_H

#include <stddef.h>

#include "ir/interp.h"

/* A value under evaluation: its operands' elements, and where its own go. */
typedef struct zn_eval_ctx {
    const zn_interp *in;
    const zn_value *v;
    const void *const *operand;
    float *out;
} zn_eval_ctx;
typedef void zn_eval_fn(const zn_eval_ctx *e);

static inline const float *src(const zn_eval_ctx *e, int i) {
    return e->operand[i];
}
static inline const zn_type *type_of(const zn_eval_ctx *e, int i) {
    return &e->v->operand[i]->type;
}

/* Every element of the result; c_ is the number of its channels. */
#define EACH(i)                                                                                                        \
    for (int64_t i = 0, n_ = zn_type_count(&e->v->type), c_ = zn_type_channels(&e->v->type); (void)c_, i < n_; i++)

/* The sum of n numbers in the tree of shards, into a[0]. */
void zn_eval_join(float *a, int64_t n);
/* n zeros; free with free. */
float *zn_eval_temp(size_t n);

/* One function per name in column `eval` of ops.def. */
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc) zn_eval_fn zn_eval_##eval;
#include "ir/ops.def"

#endif
