/* Initial values of parameters as formulas: the one evaluator used by compiler, runtime and interpreter.
 *
 * Weights of a convolution are [kh, kw, in, out], of a linear layer [in, out] (as kh = kw = 1).
 * identity and hadamard fill the centre tap only: ZerO, algorithms 1 and 2 (arXiv 2110.12661 v3);
 *   identity  W[c][i, o] = 1 where i == o                                   (partial identity I*); of a convolution in
 *             a groups of outputs where i is o's number in its group
 *   hadamard  W[c][i, o] = a (-1)^popcount(o & J_i), J_i = i, or the spanning order if spanning is set
 *             (1, 2, 4, ..., 2^(m-1), then the other numbers ascending; m = ceil(log2 out))
 *   spanning identity: input i goes to output J_i
 * Random formulas use Philox4x32-10 keyed by (seed, name): element e of a tensor is word e % 4 of counter e / 4.
 *   normal    mean 0, deviation a       (Box-Muller with support/math.h)
 *   uniform   [-a, a)
 *   orthogonal  normal deviates as a matrix of out vectors [kh * kw * in], made orthonormal in order by Gram and
 *             Schmidt's method, twice, in double precision, times a; where there are more outputs than that, its
 *             columns are: what torch.nn.init.orthogonal_ makes of its own deviates. No library: the same bits on every
 *             processor */
#ifndef ZN_SUPPORT_FORMULA_H
#define ZN_SUPPORT_FORMULA_H

#include <stdbool.h>
#include <stdint.h>

#define ZN_FORMULAS(X)                                                                                                 \
    X(CONST, "const") /* every element a; printed as zeros and ones where it is 0 and 1 */                             \
    X(IDENTITY, "identity")                                                                                            \
    X(HADAMARD, "hadamard")                                                                                            \
    X(NORMAL, "normal")                                                                                                \
    X(UNIFORM, "uniform")                                                                                              \
    X(ORTHOGONAL, "orthogonal")
typedef enum zn_formula_kind {
#define X(ID, text) ZN_FORMULA_##ID,
    ZN_FORMULAS(X)
#undef X
        ZN_FORMULA_COUNT
} zn_formula_kind;
extern const char *const zn_formula_names[ZN_FORMULA_COUNT];

typedef struct zn_formula {
    zn_formula_kind kind;
    float a;
    bool spanning;
} zn_formula;

static inline zn_formula zn_formula_const(float a) {
    return (zn_formula){ZN_FORMULA_CONST, a, false};
}

/* Fills out[] (the product of dim[0..rank)). name keys random formulas. */
void zn_formula_eval(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, float *out);
/* The same in parts, which threads may fill at once: elements of parts 0 ... zn_formula_parts - 1 are all of out[]. */
int64_t zn_formula_parts(const zn_formula *f, int rank, const int64_t *dim);
void zn_formula_part(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, int64_t part,
                     float *out);

/* J_i of the spanning order over m = ceil(log2 out) bits. */
int64_t zn_spanning_index(int64_t i, int m);

#endif
