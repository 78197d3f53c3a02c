/* Pass recipe: what rules of the file say of parameters: decay, rate and freeze by selector.
 *
 * It stands behind init, which may add parameters. The last rule that matches wins; where none does, decay is 0, the
 * rate what the start gave the parameter, else 1, and it is trained to the end. A rule that matches no trained
 * parameter is an error at its line. */
#include "ir/selector.h"
#include "passes/pass.h"
#include "passes/util.h"

#include <math.h>

/* One kind of rule: where it is written and where it goes. */
typedef struct kind {
    const char *base;
    double otherwise; /* NaN: what it is */
    void (*set)(zn_param *p, double x);
} kind;

static void set_decay(zn_param *p, double x) {
    p->decay = (float)x;
}
static void set_rate(zn_param *p, double x) {
    p->rate = (float)x;
}
static void set_freeze(zn_param *p, double x) {
    p->freeze = x < p->freeze ? x : p->freeze; /* what the layer keeps fixed stays so */
}

static const kind kinds[] = {
    {"train.decay", 0, set_decay},
    {"train.rate", (double)NAN, set_rate},
    {"train.freeze", HUGE_VAL, set_freeze},
};

/* Whether every rule matches something; reports those that do not. */
static bool all_match(const zn_module *m, const kind *k, zn_pass_ctx *ctx) {
    const char *selector;
    bool ok = true;
    for (int i = 0; (selector = zn_rule_selector(m, k->base, i)); i++) {
        const zn_param *p = m->params;
        while (p && !(zn_role_trained(p->role) && zn_selector_matches(selector, p->name)))
            p = p->next;
        if (p)
            continue;
        ok = false;
        zn_diag *x = zn_diag_add(ctx->diags, ZN_DIAG_RULE_UNMATCHED, zn_rule_get(m, k->base, i, "path")->span,
                                 "the selector `%s` matches no trained parameter", selector);
        zn_selector_suggest(m, selector, ctx->diags, x);
    }
    return ok;
}

void zn_recipe_check(zn_module *m, zn_pass_ctx *ctx) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        (void)all_match(m, &kinds[i], ctx);
}

bool zn_pass_recipe(zn_module *m, zn_pass_ctx *ctx) {
    bool ok = true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        if (!zn_rule_selector(m, k->base, 0))
            continue;
        ok &= all_match(m, k, ctx);
        for (zn_param *p = m->params; p && ok; p = p->next) {
            int rule = zn_role_trained(p->role) ? zn_rule_of(m, k->base, p->name) : -1;
            const zn_conf *value = rule >= 0 ? zn_rule_get(m, k->base, rule, "value") : NULL;
            double x = !value ? k->otherwise : value->kind == ZN_CONF_INT ? (double)value->i : value->f;
            if (zn_role_trained(p->role) && !isnan(x))
                k->set(p, x);
        }
    }
    return ok;
}
