/* Why a value is 0 in every step: from the value back to the weight, scale, relu or pad that makes it so. */
#include "passes/prove/lints.h"

enum { MAX_STEPS = 4096, MAX_NOTES = 6 };

typedef struct reasons {
    const zn_proof *p;
    zn_diags *d;
    zn_diag *to;
    int notes;
} reasons;

static bool is_zero(const zn_proof *p, const zn_value *v) {
    const zn_fact *f = &p->bits.ever[v->id];
    return p->bits.found && f->n > 0 && f->zeros == f->n;
}

static const char *name_of(const zn_value *param) {
    return param->op == ZN_OP_PARAM ? zn_attr_of(param, PARAM, name)->s : "a factor";
}

#define NOTE(r, v, ...)                                                                                                \
    do {                                                                                                               \
        if ((r)->notes++ < MAX_NOTES)                                                                                  \
            zn_diag_note((r)->d, (r)->to, ZN_NOTE_LABEL, (v)->span, __VA_ARGS__);                                      \
    } while (0)

/* A product of x with weights w, either way. */
static const zn_value *through_weights(reasons *r, const zn_value *v, const zn_value *x, const zn_value *w, bool back) {
    if (is_zero(r->p, x))
        return x;
    if (!is_zero(r->p, w))
        return NULL;
    if (back)
        NOTE(r, v, "no gradient passes back through this layer: `%s` is 0 in every step", name_of(w));
    else
        NOTE(r, v, "this layer gives 0 in every step: `%s` starts as 0 and never moves", name_of(w));
    return NULL;
}

/* The next value to look at; NULL where the reason is found, or is not known. */
static const zn_value *step(reasons *r, const zn_value *v) {
    const zn_value *a = v->noperands > 0 ? v->operand[0] : NULL, *b = v->noperands > 1 ? v->operand[1] : NULL;
    switch (v->op) {
    case ZN_OP_CONV:
        return through_weights(r, v, a, b, false);
    case ZN_OP_CONV_GRAD_X:
        return through_weights(r, v, a, b, true);
    case ZN_OP_MATMUL:
        if (!zn_attr_of(v, MATMUL, trans_a)->i)
            return through_weights(r, v, a, b, zn_attr_of(v, MATMUL, trans_b)->i);
        /* fallthrough */
    case ZN_OP_CONV_GRAD_W:
        if (is_zero(r->p, b)) {
            NOTE(r, v, "no gradient comes back to this layer");
            return b;
        }
        NOTE(r, v, "what goes into this layer is 0 in every step");
        return is_zero(r->p, a) ? a : NULL;
    case ZN_OP_RELU_GRAD:
        if (is_zero(r->p, a))
            return a;
        NOTE(r, v, "`relu` meets 0 in every step, where its derivative is 0 (option relu_at_zero of init)");
        return b;
    case ZN_OP_BN_GRAD_X:
        if (!is_zero(r->p, a))
            NOTE(r, v, "the scale of this norm is 0 in every step: `%s`", name_of(v->operand[4]));
        return is_zero(r->p, a) ? a : NULL;
    case ZN_OP_SCALE:
    case ZN_OP_CHANNEL_SCALE:
        if (is_zero(r->p, a))
            return a;
        NOTE(r, v, "a factor is 0 in every step: `%s`", name_of(b));
        return NULL;
    case ZN_OP_MUL_CONST:
        if (!is_zero(r->p, a))
            NOTE(r, v, "a factor of 0");
        return is_zero(r->p, a) ? a : NULL;
    default:
        for (int k = 0; k < v->noperands; k++)
            if (is_zero(r->p, v->operand[k]) && v->operand[k]->op != ZN_OP_PARAM)
                return v->operand[k];
        return NULL;
    }
}

void zn_explain_zero(const zn_proof *p, const zn_value *v, zn_diags *d, zn_diag *to) {
    reasons r = {.p = p, .d = d, .to = to};
    for (int k = 0; v && k < MAX_STEPS; k++)
        v = step(&r, v);
}
