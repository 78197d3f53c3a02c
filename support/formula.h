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
 *             processor *   delta_orthogonal  such a matrix of [in] in the centre tap, a times it, zeros around
 *   centre    a in the centre tap, from every input to every output
 * Deterministic formulas over the whole patch; entry j of a patch counts the input channel slowest, then kh, then kw,
 * of K = kh kw in entries; outputs i from 0: dense_hadamard, gold, paley   signs times a: support/signs.h sinusoidal  a
 * sin(2 pi k (j / K + 1 / out)), k = i + 1: sinusoidal initialisation padded_identity  a where i and j are equal modulo
 * min(out, K), else 0: IDInit, arXiv 2503.04626 RISOTTO (arXiv 2210.02411), of half as many channels, in the centre
 * tap; M is delta_orthogonal's matrix: mirrored            [M; -M] looks_linear        [M, -M; -M, M]
 *   looks_linear_less_identity  a ([M, -M; -M, M] - I)
 *   looks_linear_less_product   [N, -N; -N, N], N = M - a B A, A and B the M of two other weights, named in `of`, which
 *                       lead from in / 2 to inner / 2 and from there to out / 2 channels
 * dirac (> 0: the groups of the convolution): the first outputs of each group, as many as it has inputs, are the
 * identity in the centre tap instead. */
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
    X(ORTHOGONAL, "orthogonal")                                                                                        \
    X(DELTA_ORTHOGONAL, "delta_orthogonal")                                                                            \
    X(CENTRE, "centre")                                                                                                \
    X(DENSE_HADAMARD, "dense_hadamard")                                                                                \
    X(GOLD, "gold")                                                                                                    \
    X(PALEY, "paley")                                                                                                  \
    X(SINUSOIDAL, "sinusoidal")                                                                                        \
    X(PADDED_IDENTITY, "padded_identity")                                                                              \
    X(MIRRORED, "mirrored")                                                                                            \
    X(LOOKS_LINEAR, "looks_linear")                                                                                    \
    X(LOOKS_LINEAR_LESS_IDENTITY, "looks_linear_less_identity")                                                        \
    X(LOOKS_LINEAR_LESS_PRODUCT, "looks_linear_less_product")
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
    uint32_t dirac;
    int64_t q;         /* dense_hadamard: its step through the rows */
    const char *of[2]; /* looks_linear_less_product: names of weights A and B */
    int64_t inner;
} zn_formula;

static inline zn_formula zn_formula_const(float a) {
    return (zn_formula){.kind = ZN_FORMULA_CONST, .a = a};
}

/* Fills out[] (the product of dim[0..rank)). name keys random formulas. False: no memory (only
 * looks_linear_less_product takes any). */
bool zn_formula_eval(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, float *out);
/* The same in parts, which threads may fill at once: elements of parts 0 ... zn_formula_parts - 1 are all of out[]. */
int64_t zn_formula_parts(const zn_formula *f, int rank, const int64_t *dim);
bool zn_formula_part(const zn_formula *f, int rank, const int64_t *dim, const char *name, uint64_t seed, int64_t part,
                     float *out);

/* Does the formula draw numbers? */
bool zn_formula_random(const zn_formula *f);

/* Are all taps of a convolution 0 but the centre (leaving `dirac` aside)? */
bool zn_formula_centred(const zn_formula *f);
/* The centre tap of a kernel [kh, kw, ...]: the one that padding `same` lays on the pixel itself. */
int64_t zn_formula_centre(const int64_t *dim);

/* J_i of the spanning order over m = ceil(log2 out) bits. */
int64_t zn_spanning_index(int64_t i, int m);

/* The mean square of sinusoidal's matrix at a = 1. */
double zn_sinusoidal_mean_square(int64_t entries, int64_t out);

#endif
