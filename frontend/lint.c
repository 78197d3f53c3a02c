/* Warnings: what is allowed, and surely not meant.
 *
 * Only numbers that are written where they are used are looked at: one that comes from a param or a calculation may be
 * without effect in this run and not in another. */
#include <inttypes.h>
#include <math.h>

#include "frontend/sema.h"
#include "support/number.h"

static bool is_literal(const zn_expr *e) {
    return e && (e->kind == ZN_E_INT || e->kind == ZN_E_FLOAT || e->kind == ZN_E_LIST || e->kind == ZN_E_BOOL);
}

static double as_float(const zn_val *v) {
    return v->kind == ZN_V_INT ? (double)v->i : v->f;
}

/* The argument of a call if it is a literal: its value is in *x then. */
static const zn_expr *literal(const zn_sig *sig, zn_expr *const *slot, const zn_val *v, const char *name, double *x) {
    size_t i = zn_sig_arg_index(sig, name);
    if (i == sig->n || !is_literal(slot[i]))
        return NULL;
    *x = as_float(&v[i]);
    return slot[i];
}

static const char *number(zn_sema *s, double x) {
    char num[ZN_NUMBER_MAX];
    zn_f64_json(x, num);
    return zn_arena_strdup(s->arena, num);
}

static void lint_step(zn_sema *s, zn_expr *const *slot, const zn_val *v, double epochs) {
    const zn_expr *e = slot[ZN_ARG_AT(SCHEDULE, STEP, at)];
    const zn_val *at = &v[ZN_ARG_AT(SCHEDULE, STEP, at)];
    double warmup = as_float(&v[ZN_ARG_AT(SCHEDULE, STEP, warmup)]), x;
    const zn_arg *a = e->kind == ZN_E_LIST ? e->args.first : NULL;
    if (at->n == 0)
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "`at` is empty: the learning rate never changes");
    for (size_t i = 0; i < at->n; i++, a = a ? a->next : NULL) {
        double epoch = as_float(&at->list[i]);
        zn_span where = a ? a->value->at : e->at;
        if (epochs > 0 && epoch >= epochs) {
            zn_sema_error(s, ZN_DIAG_SCHEDULE, where,
                          "the learning rate would change after %s epochs; the run ends after %s", number(s, epoch),
                          number(s, epochs));
            return;
        }
        if (epoch < warmup)
            zn_sema_error(s, ZN_DIAG_SCHEDULE, where,
                          "the learning rate changes after %s epochs, before its warm-up of %s ends", number(s, epoch),
                          number(s, warmup));
    }
    const zn_sig *sig = zn_sig_of(s, ZN_SIG_SCHEDULE_STEP);
    const zn_expr *factor = literal(sig, slot, v, "factor", &x);
    if (factor && x == 1)
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, factor->at, "a `factor` of 1 leaves the learning rate as it is");
}

static void lint_linear(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v) {
    double start, end;
    const zn_expr *e = literal(sig, slot, v, "start", &start);
    double warmup = as_float(&v[ZN_ARG_AT(SCHEDULE, LINEAR, warmup)]);
    if (e && warmup == 0)
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "`start` is of the warm-up, and there is none");
    e = literal(sig, slot, v, "end", &end);
    if (e && end > 1)
        zn_sema_error(s, ZN_DIAG_SCHEDULE, e->at,
                      "the learning rate rises to %s times its peak until the end of the run", number(s, end));
}

void zn_lint_freeze(zn_sema *s, zn_span at, double after, double epochs) {
    if (epochs > 0 && after >= epochs)
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, at, "nothing is frozen: the run ends after %s epochs", number(s, epochs));
}

void zn_lint_schedule(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v, double epochs) {
    double lr, end;
    const zn_expr *e = literal(sig, slot, v, "lr", &lr);
    if (e && lr == 0) {
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "a learning rate of 0 changes no parameter");
        return;
    }
    if (sig->id == ZN_SIG_SCHEDULE_STEP)
        lint_step(s, slot, v, epochs);
    if (sig->id == ZN_SIG_SCHEDULE_LINEAR)
        lint_linear(s, sig, slot, v);
    if (sig->id != ZN_SIG_SCHEDULE_COSINE)
        return;
    double from = as_float(&v[ZN_ARG_AT(SCHEDULE, COSINE, lr)]);
    e = literal(sig, slot, v, "end", &end);
    if (e && end == from)
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "`end` is the rate at first: the learning rate never changes");
    else if (e && end > from)
        zn_sema_error(s, ZN_DIAG_SCHEDULE, e->at, "the learning rate rises from %s to %s until the end of the run",
                      number(s, from), number(s, end));
}

/* What stands behind a term, if it is a layer. */
static const zn_sig *follows(const zn_term *t) {
    return t->next && t->next->kind == ZN_TERM_CALL ? t->next->sig : NULL;
}

void zn_lint_layer(zn_sema *s, const zn_term *t, const zn_val *v) {
    double x;
    const zn_sig *sig = t->sig, *next = follows(t);
    const zn_expr *e = literal(sig, t->slot, v, "bias", &x);
    if (e && e->kind == ZN_E_BOOL && e->i && next &&
        (next->id == ZN_SIG_LAYER_BN || next->id == ZN_SIG_LAYER_BATCHNORM))
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "the bias has no effect: the `%s` behind it subtracts the mean",
                      next->name);
    if (sig->id == ZN_SIG_LAYER_DROPOUT && (e = literal(sig, t->slot, v, "p", &x)) && x == 0)
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "dropout with a `p` of 0 does nothing");
}

void zn_lint_repeat(zn_sema *s, const zn_expr *e, int64_t n) {
    if (n == 0 && is_literal(e))
        zn_sema_error(s, ZN_DIAG_NO_EFFECT, e->at, "what is repeated 0 times does not exist");
}
