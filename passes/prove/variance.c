/* Lint: residual blocks in which the variance grows, because nothing normalises it and no branch starts near 0.
 *
 * With a branch whose weights multiply the mean square by G at the start, a block multiplies it by 1 + G: by 2^L over L
 * blocks where weights keep the variance (Zhang, Dauphin, Ma, Fixup initialization, arXiv 1901.09321, section 2). */
#include <math.h>
#include <string.h>

#include "passes/prove/lints.h"

enum { LEAST_BLOCKS = 4 };
static const double least_growth = 16;

static const zn_param *param_of(const zn_module *m, const zn_value *v) {
    return v->op == ZN_OP_PARAM ? zn_param_find(m, zn_attr_of(v, PARAM, name)->s) : NULL;
}

/* The sum of squares of a start, over the outputs; below 0 if it is not known. */
static double squares(const zn_param *w) {
    const zn_formula *f = &w->init;
    double a = (double)f->a, n = (double)zn_type_count(&w->type), out = (double)w->type.dim[w->type.rank - 1];
    double in = (double)w->type.dim[w->type.rank - 2], least = in < out ? in : out;
    if (w->calibration.kind != ZN_CALIBRATION_NONE || f->dirac)
        return -1;
    switch (f->kind) {
    case ZN_FORMULA_CONST:
    case ZN_FORMULA_NORMAL:
    case ZN_FORMULA_DENSE_HADAMARD:
    case ZN_FORMULA_GOLD:
    case ZN_FORMULA_PALEY:
        return a * a * n / out;
    case ZN_FORMULA_UNIFORM:
        return a * a / 3 * n / out;
    case ZN_FORMULA_HADAMARD:
        return a * a * in;
    case ZN_FORMULA_IDENTITY:
        return least / out;
    case ZN_FORMULA_ORTHOGONAL:
        return a * a * (n / out < out ? n / out : out) / out;
    case ZN_FORMULA_DELTA_ORTHOGONAL:
        return a * a * least / out;
    default:
        return -1;
    }
}

/* Is v what an activation gave, perhaps pooled or padded? */
static bool is_rectified(const zn_value *v) {
    while (v->op == ZN_OP_MAXPOOL || v->op == ZN_OP_AVGPOOL || v->op == ZN_OP_PAD_CHANNELS || v->op == ZN_OP_DROPOUT)
        v = v->operand[0];
    return v->op == ZN_OP_RELU || v->op == ZN_OP_LEAKY_RELU || v->op == ZN_OP_GELU || v->op == ZN_OP_SILU;
}

/* By what a branch multiplies the mean square; below 0 if that is not known, or it has a norm. */
static double gain_of(const zn_module *m, const zn_value *residual) {
    double gain = 1;
    const zn_value *v = residual->operand[2];
    for (; v != residual->operand[0]; v = v->operand[0]) {
        const zn_param *p = v->noperands > 1 ? param_of(m, v->operand[1]) : NULL;
        switch (v->op) {
        case ZN_OP_CONV:
        case ZN_OP_MATMUL:
            if (!p || p->type.rank < 2 || squares(p) < 0)
                return -1;
            gain *= squares(p);
            break;
        case ZN_OP_RELU:
        case ZN_OP_LEAKY_RELU:
        case ZN_OP_GELU:
        case ZN_OP_SILU:
            if (!is_rectified(v->operand[0])) /* then half of it is left, else all */
                gain /= 2;
            break;
        case ZN_OP_SCALE:
        case ZN_OP_CHANNEL_SCALE:
            if (!p || p->init.kind != ZN_FORMULA_CONST)
                return -1;
            gain *= (double)p->init.a * (double)p->init.a;
            break;
        case ZN_OP_MUL_CONST:
            gain *= pow(zn_attr_of(v, MUL_CONST, value)->f, 2);
            break;
        case ZN_OP_BIAS:
        case ZN_OP_SHIFT:
        case ZN_OP_DROPOUT:
            break;
        default:
            return -1;
        }
    }
    return gain;
}

/* The residual that v comes from, through activations, pooling and factors, whose squares multiply *growth; NULL if
 * there is another thing before. */
static const zn_value *block_before(const zn_value *v, double *growth) {
    for (; v->noperands == 1 && v->op != ZN_OP_RESIDUAL; v = v->operand[0])
        if (v->op == ZN_OP_MUL_CONST)
            *growth *= pow(zn_attr_of(v, MUL_CONST, value)->f, 2);
    return v->op == ZN_OP_RESIDUAL ? v : NULL;
}

typedef struct run {
    const zn_value *first, *last;
    int blocks;
    double growth;
} run;

static void report(const run *r, zn_diags *d) {
    if (r->blocks < LEAST_BLOCKS || r->growth < least_growth)
        return;
    zn_diag *x = zn_diag_add(d, ZN_DIAG_VARIANCE_GROWS, r->first->span,
                             "the variance grows about %.0f times at the start, over %d residual blocks that nothing "
                             "normalises",
                             r->growth, r->blocks);
    if (r->last->span.line != r->first->span.line)
        zn_diag_note(d, x, ZN_NOTE_LABEL, r->last->span, "the last of them");
    zn_diag_note(d, x, ZN_NOTE_NOTE, r->first->span,
                 "each adds to its input a branch of about the same variance, or more");
    zn_diag_note(
        d, x, ZN_NOTE_HELP, r->first->span,
        "end branches with a weight or factor that starts at 0 (init fixup, skipinit, rezero, zero), put a norm "
        "into them, or divide by multiply(...)");
}

void zn_lint_variance(const zn_module *m, zn_diags *d) {
    const zn_func *f = zn_func_find(m, "forward");
    run r = {0};
    for (const zn_value *v = f ? f->first : NULL; v; v = v->next) {
        if (v->op != ZN_OP_RESIDUAL)
            continue;
        double gain = gain_of(m, v), factors = 1;
        if (gain < 0 || (r.last && block_before(v->operand[0], &factors) != r.last)) {
            report(&r, d);
            r = (run){0};
        }
        if (gain < 0)
            continue;
        r = (run){r.first ? r.first : v, v, r.blocks + 1, (r.blocks ? r.growth * factors : 1) * (1 + gain)};
    }
    report(&r, d);
}
