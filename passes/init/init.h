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
/* The weight of v if v is a weighted layer and the weight the scheme's to set; else NULL. */
zn_param *zn_init_own(const zn_init *c, const zn_value *v);
/* Is the weight of any layer the scheme's own? */
bool zn_init_wins(const zn_init *c);
/* Does the rule's selector end in the parameter's own leaf, so that it is set whatever it is? */
bool zn_init_named(const zn_init *c, const zn_param *p);
/* Numbers that one output of a weighted layer is made of, and outputs that one input goes into: kh kw in, kh kw out. */
double zn_init_fan_in(const zn_init *c, const zn_value *v);
double zn_init_fan_out(const zn_init *c, const zn_value *v);
/* The value of an option that is an expression of fans, for layer v; reports what is not finite. */
double zn_init_of_fans(zn_init *c, const zn_value *v, int arg);

/* Runs the scheme that an option names (a row of kind CALL), on what is this scheme's own. */
void zn_init_nested(zn_init *c, int arg);

/* Forgets the calibration of weights whose formula another scheme has replaced. */
void zn_init_drop_calibrations(zn_init *c);

/* A report at the layer's line: the scheme has no rule for such a layer. */
void zn_init_refuse(zn_init *c, const zn_value *layer, zn_diag_id code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* False after reporting a kernel without a centre; a convolution in groups. */
bool zn_init_has_centre(zn_init *c, const zn_value *layer, const char *scheme);
bool zn_init_ungrouped(zn_init *c, const zn_value *layer, const char *scheme);

#endif
