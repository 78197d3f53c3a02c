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

/* `always`, or after(e): the epochs, or NULL. False after reporting. */
static bool freeze_epochs(zn_sema *s, zn_expr *e, zn_expr **epochs) {
    *epochs = NULL;
    if (e->kind == ZN_E_BAD || (e->kind == ZN_E_NAME && !strcmp(e->s, "always") && !zn_decl_find(s, e->s)))
        return e->kind != ZN_E_BAD;
    if (e->kind == ZN_E_CALL && !strcmp(e->s, "after") && e->args.n == 1 && !e->args.first->name) {
        *epochs = e->args.first->value;
        zn_resolve_expr(s, *epochs, NULL, false);
        return true;
    }
    zn_config_mark_used(s, e);
    zn_sema_error(s, ZN_DIAG_CHOICE, e->at, "a rule of `freeze` is `always` or `after(e)`, e the epochs before");
    return false;
}

static void check_freeze(zn_sema *s, zn_expr *e, const void *ctx) {
    zn_expr *unused;
    (void)ctx;
    freeze_epochs(s, e, &unused);
}

static bool freeze_value(zn_sema *s, zn_expr *e, double *epochs) {
    zn_expr *after;
    *epochs = 0;
    e = zn_config_taken(s, e, check_freeze, NULL);
    if (!e || !freeze_epochs(s, e, &after))
        return false;
    return !after || zn_eval_float(s, NULL, after, "after", 0, HUGE_VAL, true, epochs);
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

/* The row with its keys under `scope` in place of `init`. */
static zn_sig scoped(zn_sema *s, const zn_sig *sig, const char *scope) {
    static const char init[] = "init.";
    zn_sig own = *sig;
    zn_sig_arg *arg = zn_new_n(s->arena, zn_sig_arg, sig->n);
    for (size_t k = 0; k < sig->n; k++) {
        arg[k] = sig->arg[k];
        ZN_ASSERT(!strncmp(arg[k].key, init, sizeof init - 1));
        arg[k].key = zn_arena_printf(s->arena, "%s.%s", scope, arg[k].key + sizeof init - 1);
    }
    own.arg = arg;
    return own;
}

enum { MAX_NESTED = 4 }; /* starts within starts */

static bool take_start(zn_sema *s, zn_expr *e, const char *scope, int depth, zn_config_start *out);

/* Starts among the options, and expressions of fans; their texts take the place of values. */
static bool take_nested(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, zn_val *v, const char *scope, int depth) {
    bool ok = true;
    for (size_t k = 0; k < sig->n; k++) {
        zn_config_start inner;
        if (sig->arg[k].kind == ZN_A_FANS && slot[k])
            v[k].s = zn_fans_text(s, NULL, slot[k]);
        if (sig->arg[k].kind != ZN_A_CALL || !slot[k])
            continue;
        if (depth == MAX_NESTED) {
            zn_sema_error(s, ZN_DIAG_RANGE, slot[k]->at, "starts are nested more than %d levels deep", (int)MAX_NESTED);
            zn_config_mark_used(s, slot[k]);
            return false;
        }
        bool good =
            take_start(s, slot[k], zn_arena_printf(s->arena, "%s.%s", scope, sig->arg[k].name), depth + 1, &inner);
        ok &= good;
        if (good)
            v[k] = (zn_val){.kind = ZN_V_STR, .s = inner.text};
    }
    return ok;
}

static bool take_start(zn_sema *s, zn_expr *e, const char *scope, int depth, zn_config_start *out) {
    out->sig = zn_config_head(s, ZN_GROUP_SCHEME, &e, "init", &out->slot);
    if (!out->sig)
        return false;
    out->v = zn_new_n(s->arena, zn_val, out->sig->n);
    if (!zn_eval_options(s, NULL, out->sig, out->slot, out->v) ||
        !zn_config_check_scheme(s, out->sig, out->slot, out->v))
        return false;
    zn_sig own = scoped(s, out->sig, scope);
    zn_conf_set_str(s->module, zn_arena_printf(s->arena, "%s.scheme", scope), out->sig->name, e->at);
    zn_conf_options(s, &own, out->v, e->at);
    if (!take_nested(s, out->sig, out->slot, out->v, scope, depth))
        return false;
    out->text = zn_options_text(s, out->sig, out->slot, out->v);
    return true;
}

bool zn_config_take_start(zn_sema *s, zn_expr *e, const char *scope, zn_config_start *out) {
    return take_start(s, e, scope, 0, out);
}

void zn_config_init_rules(zn_sema *s, const zn_entry *e) {
    zn_buf text = {0};
    int i = 0;
    zn_buf_puts(&text, "{");
    for (const zn_rule *r = e->rules.first; r; r = r->next, i++) {
        zn_config_start start;
        if (!zn_config_take_start(s, r->value, zn_arena_printf(s->arena, "init.rule%d", i), &start))
            continue;
        zn_conf_set_str(s->module, key_of(s, "init", i, "path"), r->selector, r->at);
        zn_buf_printf(&text, " %s = %s", r->selector, start.text);
    }
    zn_buf_puts(&text, " }");
    zn_conf_set_str(s->module, "init.text", zn_buf_str(&text), e->at);
    zn_buf_free(&text);
}
