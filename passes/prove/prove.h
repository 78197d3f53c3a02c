/* What a program proves of a training run before a step is run: which parameters never move, which units stay equal,
 * what rank training can reach.
 *
 * An invariant is a partition of all parameters' elements into classes of equal ones, some of them numbers: it holds at
 * the start, and a step from elements that it holds of leads to such. The coarsest one below the start is found from
 * above: evaluate @train_step on classes, split those whose members become different, until nothing splits (partition
 * refinement; the greatest fixed point). Everything that the last evaluation says of values then holds in every step.
 *
 * Holds as long as all numbers are finite, and for training only: evaluation reads running statistics. */
#ifndef ZN_PASSES_PROVE_PROVE_H
#define ZN_PASSES_PROVE_PROVE_H

#include "ir/module.h"
#include "passes/prove/cells.h"

/* Of the channels of a value, or the elements of a gradient. */
typedef struct zn_fact {
    int64_t n, zeros;
    int64_t classes; /* of channels, those that are 0 counted as one; 0 for elements */
} zn_fact;

/* What is known by one kind of arithmetic (cells.h). By id of the value in @train_step, and index of the parameter. */
typedef struct zn_reading {
    zn_fact *now, *ever;     /* in the first step; in every step */
    zn_cells *cell;          /* of values whose positions are not told apart, in every step; n = 0 for others */
    zn_cells *start, *state; /* of parameters: before the first step, and before any */
    bool *still;             /* the parameter never changes */
    int64_t *still_elements; /* how many of its elements never do */
    int rounds;              /* evaluations until nothing split */
    bool found;              /* false: nothing is known but of the first step */
} zn_reading;

typedef struct zn_proof {
    zn_arena arena;
    zn_module *m;
    zn_func *f;
    const zn_value **value; /* by id */
    int nvalues;
    const zn_value **layer,
        **store; /* by index of the parameter: see zn_proof_layer; where it is given its new value */
    zn_reading exact, bits;
} zn_proof;

/* What is known of the data: floats as the network sees them, NAN for "anything". */
typedef struct zn_known_data {
    const float *channel; /* of the last dimension of the input */
    const float *pixel;   /* of each of its elements; NULL for vectors */
} zn_known_data;

/* Of @train_step, with its updates; NULL if there is none, or a value of it has millions of channels. data may be NULL.
 * Free with zn_proof_free. */
zn_proof *zn_prove(zn_module *m, const zn_known_data *data);
void zn_proof_free(zn_proof *p);

/* The module as text, with what is proven behind parameters and values of @train_step, as comments. */
void zn_proof_print(zn_proof *p, bool loc, zn_buf *out);

/* The gradient of a parameter is made of these values of its type: up to n of them at out; how many there are. */
int zn_proof_gradients(const zn_proof *p, const zn_param *of, const zn_value **out, int n);
/* Is the gradient of the parameter 0 in every step? */
bool zn_proof_no_gradient(const zn_proof *p, const zn_param *of);
/* The most that the rank of a weight less its start can become, as a matrix [kh kw in, out]; r is p->exact or p->bits.
 */
int64_t zn_proof_rank(const zn_proof *p, const zn_reading *r, const zn_param *weight);
/* The most that any matrix of the weight's shape has. */
int64_t zn_proof_full_rank(const zn_param *weight);
/* The value of @train_step that multiplies by this weight; NULL if there is none. */
const zn_value *zn_proof_layer(const zn_proof *p, const zn_param *weight);

#endif
