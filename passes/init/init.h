/* Private to passes/init/: what schemes of initialisation share. A scheme is a row of ir/schema.def (its options are
 * read with zn_option_...) and a function zn_scheme_<op> in a file of its family. */
#ifndef ZN_PASSES_INIT_INIT_H
#define ZN_PASSES_INIT_INIT_H

#include "ir/schema.h"
#include "passes/pass.h"

typedef struct zn_init {
    zn_module *m;
    zn_func *f; /* @forward */
    zn_pass_ctx *pass;
    bool failed; /* after a report */
    int rule;    /* of the file that this scheme stands in; -1: it is the one for what no rule matches */
} zn_init;

typedef void zn_scheme(zn_init *c);

static inline bool zn_init_weighted(const zn_value *v) {
    return v->op == ZN_OP_CONV || v->op == ZN_OP_MATMUL;
}
/* The weight of a convolution or product, or the vector of a bias. */
zn_param *zn_init_param(const zn_init *c, const zn_value *v);
/* Is the parameter this scheme's to set? */
bool zn_init_selected(const zn_init *c, const zn_param *p);
/* Does the rule's selector end in the parameter's own leaf, so that it is set whatever it is? */
bool zn_init_named(const zn_init *c, const zn_param *p);
/* Numbers that one output of a weighted layer is made of, and outputs that one input goes into: kh kw in, kh kw out. */
double zn_init_fan_in(const zn_init *c, const zn_value *v);
double zn_init_fan_out(const zn_init *c, const zn_value *v);

#endif
