/* Starts that are the same numbers everywhere, and orthogonal matrices: zeros, ones, constant, identity, orthogonal.
 *
 * They set weights of convolutions and products; a rule whose selector names a leaf sets that parameter, whatever it
 * is. */
#include "ir/plan.h"
#include "passes/init/init.h"

zn_scheme zn_scheme_zeros, zn_scheme_ones, zn_scheme_constant, zn_scheme_identity, zn_scheme_orthogonal;

static void set_all(zn_init *c, zn_formula f) {
    for (zn_param *p = c->m->params; p; p = p->next)
        if (zn_init_selected(c, p) && (p->role == ZN_ROLE_WEIGHT || zn_init_named(c, p)))
            p->init = f;
}

void zn_scheme_zeros(zn_init *c) {
    set_all(c, zn_formula_const(0));
}
void zn_scheme_ones(zn_init *c) {
    set_all(c, zn_formula_const(1));
}
void zn_scheme_constant(zn_init *c) {
    set_all(c, zn_formula_const((float)zn_option_float(c->m, ZN_ARG_SCHEME_CONSTANT_value)));
}

/* A kernel's identity needs a centre. */
static bool has_centre(zn_init *c, const zn_value *v, const zn_param *w) {
    if (w->type.rank != 4 || (w->type.dim[0] % 2 && w->type.dim[1] % 2))
        return true;
    zn_diag_add(c->pass->diags, ZN_DIAG_INIT_EVEN_KERNEL, v->span,
                "`identity` stands in the centre of a kernel, and a %lldx%lld kernel has none",
                (long long)w->type.dim[0], (long long)w->type.dim[1]);
    c->failed = true;
    return false;
}

void zn_scheme_identity(zn_init *c) {
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_weighted(v) ? zn_init_param(c, v) : NULL;
        if (w && zn_init_selected(c, w) && has_centre(c, v, w))
            w->init = (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = (float)zn_conv_groups(v)};
    }
}

void zn_scheme_orthogonal(zn_init *c) {
    float gain = (float)zn_option_float(c->m, ZN_ARG_SCHEME_ORTHOGONAL_gain);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_weighted(v) ? zn_init_param(c, v) : NULL;
        if (w && zn_init_selected(c, w))
            w->init = (zn_formula){.kind = ZN_FORMULA_ORTHOGONAL, .a = gain};
    }
}
