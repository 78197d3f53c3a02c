/* Inside of the prover: what its files share. See prove.h. */
#ifndef ZN_PASSES_PROVE_PROVER_H
#define ZN_PASSES_PROVE_PROVER_H

#include "ir/module.h"
#include "passes/prove/cells.h"

/* Weights of more elements are not looked into, but where they are a grid; nothing is proven of a network with a value
 * of more channels. */
#define ZN_PROVE_MOST ((int64_t)1 << 24)
#define ZN_PROVE_MOST_CHANNELS ((int64_t)1 << 22)

/* One evaluation of @train_step over cells. Arrays are by id of the value, but for state: by index of the parameter. */
typedef struct zn_prover {
    const zn_module *m;
    const zn_func *f;
    bool exact;
    zn_cells *cell;
    uint64_t *key;                  /* what the operation is, but for its operands and the size of the batch */
    int *level;                     /* how many operations over positions lie before it on the longest way */
    zn_cells *state;                /* what is known of parameters at the beginning of the step */
    const zn_cells *input, *pixels; /* what is known of the data: of channels, of a flattened image; NULL: nothing */
} zn_prover;

/* Cells of v from those of its operands: one function per name in column `proof` of ops.def. */
typedef zn_cells zn_prove_fn(const zn_prover *p, const zn_value *v);
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc) zn_prove_fn zn_prove_##proof;
#include "ir/ops.def"

static inline const zn_cells *zn_cells_of(const zn_prover *p, const zn_value *v, int operand) {
    return &p->cell[v->operand[operand]->id];
}
static inline zn_cell zn_cell_at(const zn_prover *p, const zn_value *v, int operand, int64_t i) {
    return zn_cells_get(p->exact, zn_cells_of(p, v, operand), i);
}
static inline bool zn_is_zero(const zn_prover *p, zn_cell x) {
    return zn_cell_zero(p->exact, x);
}
/* An unknown that is a function of h. */
static inline zn_cell zn_unknown(const zn_prover *p, uint64_t h) {
    return p->exact ? zn_field_hash(h) : zn_cell_hash(h, 0);
}
/* That of (key, a, b). */
static inline zn_cell zn_unknown_of(const zn_prover *p, uint64_t key, zn_cell a, zn_cell b) {
    return zn_unknown(p, zn_cell_mix(zn_cell_mix(key, a), b));
}
static inline uint64_t zn_key_of(const zn_prover *p, const zn_value *v) {
    return p->key[v->id];
}
static inline zn_cells zn_zero_cells(bool elements, int64_t n) {
    return zn_cells_uniform(elements, n, 0);
}
static inline zn_cells zn_cells_settled(zn_cells c) {
    zn_cells_settle(&c);
    return c;
}
/* A number. */
static inline zn_cell zn_known(const zn_prover *p, float x) {
    return p->exact ? zn_field_of(x) : zn_cell_of(x);
}
/* x + 0 */
zn_cell zn_plus_zero(const zn_prover *p, zn_cell x);
zn_cell zn_cell_add(const zn_prover *p, zn_cell a, zn_cell b);
zn_cell zn_cell_sub(const zn_prover *p, zn_cell a, zn_cell b);
/* x times a number */
zn_cell zn_cell_times(const zn_prover *p, zn_cell x, float k);
/* The factor of exact arithmetic that stands for a linear operation over positions; h says which. */
zn_cell zn_operator(const zn_prover *p, const zn_value *v, uint64_t h);
/* Nothing known of any of n cells. */
zn_cells zn_nothing_known(const zn_prover *p, const zn_value *v, bool elements, int64_t n);

#endif
