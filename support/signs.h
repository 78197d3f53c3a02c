/* Matrices of signs over a whole patch: O outputs (rows) of K = taps C entries, all +1 or -1. Rows are distinct in all
 * but a few shapes with many more outputs than entries (a 3x3 kernel of one channel to 64 outputs: 59 by gold).
 *
 *   dense_hadamard  (-1)^popcount(r_i AND J_j): rows r_i = (i q) mod N, i = 1 ... O, of Sylvester's matrix of order N =
 * 2^n, n = ceil(log2 max(O, K)), q odd; J_j = j, or the spanning order over n bits gold            (-1)^(<o, J_c xor
 * L_t> + Tr(a_t o^3)) over GF(2^m), m = ceil(log2 O), o from 0: Sylvester's matrix over channels, and a Gold function
 * for each tap t. a = 0 at the centre tap, g^0, g^1, ... at the others, where channels exceed 2^m the next powers for
 * each further 2^m of them; J the spanning order where C < 2^m; L_t = (t mod 2^(m - C)) 2^C where C < m, else 0. Rows
 * are orthogonal where C = O paley           rows r_i of the Hadamard matrix of the smallest order N >= max(O, K) of
 * the form 2^a (p + 1), p a prime = 3 mod 4, 2^a 2 (p + 1), p = 1 mod 4, or 2^a (Paley 1933, constructions I and II,
 * doubled by Sylvester), with a = 0 unless K > N / 2, for
 *                   rows that differ; q the first number from 0.618 N on
 * that is prime to N. Rows are orthogonal where N = K, and nearly so else
 */
#ifndef ZN_SUPPORT_SIGNS_H
#define ZN_SUPPORT_SIGNS_H

#include <stdbool.h>
#include <stdint.h>

enum { ZN_GOLD_BITS = 24 }; /* outputs: at most 2^24 */

/* The step through the rows of dense_hadamard that the golden ratio gives. */
int64_t zn_dense_step(int64_t outputs, int64_t entries);
/* Whether all rows differ in the natural order of entries. */
bool zn_dense_distinct(int64_t outputs, int64_t entries);

/* A row of the weight: entry (channel c, tap t) of outputs 0 ... O - 1, a where the sign is +1, else -a. */
void zn_dense_signs(int64_t outputs, int64_t entries, int64_t j, int64_t q, bool spanning, float a, float *out);
void zn_gold_signs(int64_t outputs, int64_t channels, int64_t taps, int64_t c, int64_t t, float a, float *out);

typedef struct zn_paley {
    int64_t order, core, prime, step; /* order = 2^a core */
    int kind;                         /* 1, 2: Paley's construction; 0: core 1 */
} zn_paley;
zn_paley zn_paley_make(int64_t outputs, int64_t entries);
/* Element (row, column) of the matrix is -1. */
bool zn_paley_negative(const zn_paley *h, int64_t row, int64_t column);
void zn_paley_signs(const zn_paley *h, int64_t outputs, int64_t j, float a, float *out);

#endif
