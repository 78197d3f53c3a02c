/* What training has made of weight matrices: ranks, and outputs that are equal (--log-rank).
 *
 * A weight is taken as the matrix W of its outputs: a row each, of kh kw in columns. I* is the partial identity: output
 * i is input i, of a convolution in the centre tap, as far as there are both (the whole weight is looked at: groups of
 * a convolution are not known here). */
#ifndef ZN_RUNTIME_RANK_H
#define ZN_RUNTIME_RANK_H

#include "runtime/abi.h"
#include "runtime/error.h"

typedef struct zn_rt_rank {
    const char *layer; /* the weight's path */
    int64_t rows, columns;
    int64_t rank;                          /* of W: singular values above 1e-4 of the largest */
    int64_t rank_minus_identity;           /* of W - I*: singular values above 1e-4 */
    int64_t distinct_rows;                 /* of W, by their bits */
    int64_t nonzero_rows, nonzero_columns; /* of W - I*: with anything but 0 */
} zn_rt_rank;

/* Zero-initialise to start; n is 0 where no layers are asked for. */
typedef struct zn_rt_ranks {
    zn_rt_rank *at;
    const zn_tensor_desc **tensor;
    int n;
    double *matrix, *values; /* of the largest */
} zn_rt_ranks;

/* layers: paths joined by commas, ".weight" may be left out; NULL: none. Fails where a path is no matrix, or where what
 * computes singular values cannot be loaded. */
int zn_rt_ranks_open(zn_rt_ranks *r, const zn_module_desc *m, const char *layers, zn_rt_error *e);
void zn_rt_ranks_close(zn_rt_ranks *r);
/* Fills all of at[]. */
int zn_rt_ranks_measure(zn_rt_ranks *r, const char *param, zn_rt_error *e);

#endif
