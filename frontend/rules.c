/* Rules by selector: `init { ** = kaiming }`, `decay { }`, `rate { }`, `freeze { }`.
 *
 * A rule becomes entries of the configuration under BASE.rule<number>: its selector as `path` and what it says. Which
 * parameters it matches is worked out by passes, when all parameters are there (passes/recipe.c, passes/init/). */
#include <math.h>
#include <string.h>

#include "frontend/config.h"
#include "support/ice.h"

static const char *key_of(zn_sema *s, const char *base, int i, const char *name) {
    return zn_arena_printf(s->arena, "%s.rule%d.%s", base, i, name);
}

/* `always`, or after(e). False after reporting. */
static bool freeze_value(zn_sema *s, zn_expr *e, double *epochs) {
    *epochs = 0;
    if (e->kind == ZN_E_BAD || (e->kind == ZN_E_NAME && !strcmp(e->s, "always") && !zn_decl_find(s, e->s)))
        return e->kind != ZN_E_BAD;
    if (e->kind == ZN_E_CALL && !strcmp(e->s, "after") && e->args.n == 1 && !e->args.first->name) {
        zn_resolve_expr(s, e->args.first->value, NULL, false);
        return zn_eval_float(s, NULL, e->args.first->value, "after", 0, HUGE_VAL, true, epochs);
    }
    zn_config_mark_used(s, e);
    zn_sema_error(s, ZN_DIAG_CHOICE, e->at, "a rule of `freeze` is `always` or `after(e)`, e the epochs before");
    return false;
}

/* Epochs after which something is frozen: the step has a number of them only. */
static void check_epochs(zn_sema *s, const zn_rules *rules, const double *epochs) {
    double seen[ZN_MAX_FREEZE];
    size_t n = 0, i = 0;
    for (const zn_rule *r = rules->first; r; r = r->next, i++) {
        size_t k = 0;
        while (k < n && seen[k] != epochs[i])
            k++;
        if (epochs[i] <= 0 || k < n)
            continue;
        if (n == ZN_MAX_FREEZE) {
            zn_sema_error(s, ZN_DIAG_RANGE, r->at, "`freeze` names more than %d different epochs", ZN_MAX_FREEZE);
            return;
        }
        seen[n++] = epochs[i];
    }
}

void zn_config_number_rules(zn_sema *s, const zn_entry *e, const char *base) {
    bool freeze = !strcmp(e->key, "freeze");
    int i = 0;
    size_t n = 0;
    for (const zn_rule *r = e->rules.first; r; r = r->next)
        n++;
    double *all = zn_new_n(s->arena, double, n);
    for (const zn_rule *r = e->rules.first; r; r = r->next, i++) {
        double x = 0;
        bool ok;
        if (freeze) {
            ok = freeze_value(s, r->value, &x);
        } else {
            zn_resolve_expr(s, r->value, NULL, false);
            ok = zn_eval_float(s, NULL, r->value, e->key, 0, HUGE_VAL, false, &x);
        }
        if (!ok)
            continue;
        all[i] = x;
        if (freeze && x > 0)
            zn_lint_freeze(s, r->value->at, x, s->epochs);
        zn_conf_set_str(s->module, key_of(s, base, i, "path"), r->selector, r->at);
        zn_conf_set_float(s->module, key_of(s, base, i, "value"), x, r->value->at);
    }
    if (freeze)
        check_epochs(s, &e->rules, all);
}

/* The row with its keys under init.rule<i>. */
static zn_sig scoped(zn_sema *s, const zn_sig *sig, int i) {
    static const char init[] = "init.";
    zn_sig own = *sig;
    zn_sig_arg *arg = zn_new_n(s->arena, zn_sig_arg, sig->n);
    for (size_t k = 0; k < sig->n; k++) {
        arg[k] = sig->arg[k];
        ZN_ASSERT(!strncmp(arg[k].key, init, sizeof init - 1));
        arg[k].key = key_of(s, "init", i, arg[k].key + sizeof init - 1);
    }
    own.arg = arg;
    return own;
}

void zn_config_init_rules(zn_sema *s, const zn_entry *e) {
    zn_buf text = {0};
    int i = 0;
    zn_buf_puts(&text, "{");
    for (const zn_rule *r = e->rules.first; r; r = r->next, i++) {
        zn_expr **slot;
        const zn_sig *sig = zn_config_head(s, ZN_GROUP_SCHEME, r->value, "init", &slot);
        if (!sig)
            continue;
        zn_val *v = zn_new_n(s->arena, zn_val, sig->n);
        if (!zn_eval_options(s, NULL, sig, slot, v) || !zn_config_check_scheme(s, sig, slot, v))
            continue;
        zn_sig own = scoped(s, sig, i);
        zn_conf_set_str(s->module, key_of(s, "init", i, "path"), r->selector, r->at);
        zn_conf_set_str(s->module, key_of(s, "init", i, "scheme"), sig->name, r->value->at);
        zn_conf_options(s, &own, v, r->value->at);
        zn_buf_printf(&text, " %s = %s", r->selector, zn_options_text(s, sig, slot, v));
    }
    zn_buf_puts(&text, " }");
    zn_conf_set_str(s->module, "init.text", zn_buf_str(&text), e->at);
    zn_buf_free(&text);
}
