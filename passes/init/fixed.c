/* Starts of one formula for all layers: zeros, ones, constant, identity, orthogonal, delta_orthogonal, dirac,
 * sinusoidal.
 *
 * They set weights of convolutions and products; a rule whose selector names a leaf sets that parameter, whatever it
 * is. */
#include <math.h>

#include "ir/plan.h"
#include "passes/init/init.h"

zn_scheme zn_scheme_zeros, zn_scheme_ones, zn_scheme_constant, zn_scheme_identity, zn_scheme_orthogonal,
    zn_scheme_delta_orthogonal, zn_scheme_dirac, zn_scheme_sinusoidal;

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

void zn_scheme_identity(zn_init *c) {
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (w && zn_init_has_centre(c, v, "identity"))
            w->init = (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = (float)zn_conv_groups(v)};
    }
}

void zn_scheme_orthogonal(zn_init *c) {
    float gain = (float)zn_option_float(c->m, ZN_ARG_SCHEME_ORTHOGONAL_gain);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (w)
            w->init = (zn_formula){.kind = ZN_FORMULA_ORTHOGONAL, .a = gain};
    }
}

void zn_scheme_delta_orthogonal(zn_init *c) {
    float gain = (float)zn_option_float(c->m, ZN_ARG_SCHEME_DELTA_ORTHOGONAL_gain);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (!w)
            continue;
        bool conv = v->op == ZN_OP_CONV;
        if (conv && (!zn_init_has_centre(c, v, "delta_orthogonal") || !zn_init_ungrouped(c, v, "delta_orthogonal")))
            continue;
        if (conv && w->type.dim[2] > w->type.dim[3])
            zn_init_refuse(c, v, ZN_DIAG_INIT_SHAPE,
                           "`delta_orthogonal` is for convolutions with at least as many outputs as inputs; this one "
                           "goes from %lld to %lld channels",
                           (long long)w->type.dim[2], (long long)w->type.dim[3]);
        w->init = (zn_formula){.kind = conv ? ZN_FORMULA_DELTA_ORTHOGONAL : ZN_FORMULA_ORTHOGONAL, .a = gain};
    }
}

/* torch.nn.init.dirac_, and a start for what it leaves at 0. */
void zn_scheme_dirac(zn_init *c) {
    zn_init_nested(c, ZN_ARG_SCHEME_DIRAC_rest);
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = v->op == ZN_OP_CONV ? zn_init_own(c, v) : NULL;
        if (!w || !zn_init_has_centre(c, v, "dirac"))
            continue;
        if (w->calibration.kind) {
            zn_init_refuse(c, v, ZN_DIAG_INIT_OPTION, "`rest` of `dirac` cannot be a start that looks at data");
            continue;
        }
        int64_t groups = zn_conv_groups(v);
        if (w->type.dim[2] >= w->type.dim[3] / groups) /* there is no rest */
            w->init = (zn_formula){.kind = ZN_FORMULA_IDENTITY, .a = (float)groups};
        else
            w->init.dirac = (uint32_t)groups;
    }
}

/* Deterministic sinusoids in place of random numbers. */
void zn_scheme_sinusoidal(zn_init *c) {
    double gain = zn_option_float(c->m, ZN_ARG_SCHEME_SINUSOIDAL_gain);
    bool sum = zn_option_word(c->m, ZN_ARG_SCHEME_SINUSOIDAL_fan) == 1;
    for (zn_value *v = c->f->first; v; v = v->next) {
        zn_param *w = zn_init_own(c, v);
        if (!w)
            continue;
        double in = zn_init_fan_in(c, v), fan = sum ? in + zn_init_fan_out(c, v) : in;
        double square = zn_sinusoidal_mean_square((int64_t)in, zn_type_channels(&w->type));
        if (square < 1e-9) {
            zn_init_refuse(c, v, ZN_DIAG_INIT_SHAPE,
                           "`sinusoidal` is 0 everywhere in a layer from %lld numbers to %lld: all its sines are",
                           (long long)in, (long long)zn_type_channels(&w->type));
            continue;
        }
        w->init = (zn_formula){.kind = ZN_FORMULA_SINUSOIDAL, .a = (float)(gain / sqrt(fan * square))};
    }
}
