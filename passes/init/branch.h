/* Private to passes/init/: residual branches as schemes see them, and building what schemes insert. */
#ifndef ZN_PASSES_INIT_BRANCH_H
#define ZN_PASSES_INIT_BRANCH_H

#include "passes/init/init.h"

/* A branch that is a chain of values, cut into units with one weighted layer each (the rules: branch.c). */
typedef struct zn_unit {
    size_t begin, end; /* in the chain */
    zn_value *layer;
} zn_unit;
typedef struct zn_branch {
    zn_value *res;
    ZN_VEC(zn_value *) chain; /* from behind what the residual starts from to its end */
    ZN_VEC(zn_unit) units;
} zn_branch;

/* False if the branch is no chain, or holds no weighted layer; chain and units are empty then. */
bool zn_branch_of(const zn_init *c, zn_value *res, zn_branch *b);
/* Whether all of its weights are the scheme's own. */
bool zn_branch_selected(const zn_init *c, const zn_branch *b);
/* The value after the leading norms (and, unless norms_only, activations and numbers added) of unit k, which starts
 * with x. */
zn_value *zn_branch_lead(const zn_branch *b, size_t k, zn_value *x, bool norms_only);
/* What unit k starts from. */
zn_value *zn_branch_start(const zn_branch *b, size_t k);

/* The weighted layer nearest before the end of a residual's branch; NULL if there is none. */
zn_value *zn_branch_last(zn_value *res);
/* The last norm of a residual's branch; NULL if there is none. */
zn_value *zn_branch_last_norm(zn_value *res);
/* Whether v stands before `stop`, by the numbers of before the scheme inserted anything (what it inserted has none). */
bool zn_branch_before(const zn_value *v, const zn_value *stop);

bool zn_init_is_activation(const zn_value *v);
bool zn_init_is_norm(const zn_value *v);
int64_t zn_init_width_in(const zn_value *layer);
int64_t zn_init_width_out(const zn_value *layer);
/* The last weighted layer of the model; NULL if there is none. */
zn_value *zn_init_head(const zn_init *c);
/* The bias behind a layer, or the layer. */
zn_value *zn_init_with_bias(zn_value *layer);

/* ---- building, in front of `before` */
typedef struct zn_init_place {
    zn_value *before;
    zn_span span;
    const char *path;
} zn_init_place;

/* Without type and attributes. */
zn_value *zn_init_build(zn_init *c, zn_init_place at, zn_op op, int n, zn_value *const *operand);
zn_value *zn_init_typed(zn_init *c, zn_value *v);
/* PATH.NAME<k>.leaf, or the next k for which no parameter is called so. */
const char *zn_init_free_name(const zn_init *c, const char *path, const char *name, const char *end, const char *leaf,
                              size_t *k);
/* A trained 1x1 convolution (vectors: product) of u, called NAME<k> or the next free number. */
zn_value *zn_init_project(zn_init *c, zn_init_place at, zn_value *u, int64_t out, const int64_t stride[2],
                          const char *name, size_t k, zn_formula f);
/* The strides that turn the height and width of x into those of y, as `same` padding does; false if there are none. */
bool zn_init_strides(const zn_value *x, const zn_value *y, int64_t stride[2]);

/* Trained numbers of a branch that is a chain, as Fixup has them (Zhang, Dauphin, Ma, arXiv 1901.09321, section 3):
 * bias<k>a = 0 in front of the layer of unit k (from 1), bias<k>b = 0 behind it, and in the last unit scale<k> = 1 in
 * front of that. They do not decay. b is made anew. */
void zn_branch_add_scalars(zn_init *c, zn_branch *b, float rate);
/* A factor of the branch that starts as x: the one that ends it, or a new one. */
void zn_branch_scale(zn_init *c, zn_value *res, float x);

#endif
