/* Selectors of parameters: `stage2.**`, `**.bn*.bias`. A `*` matches any characters of one segment, a segment `**` any
 * number of segments. One that matches a path without its last segment, a layer, covers all the layer's parameters. */
#ifndef ZN_IR_SELECTOR_H
#define ZN_IR_SELECTOR_H

#include "ir/module.h"

bool zn_selector_matches(const char *selector, const char *path);
/* The same for the whole path only: the selector names the leaf. */
bool zn_selector_names(const char *selector, const char *path);

/* Helps with a selector that matches nothing: the nearest path, or what paths look like. */
void zn_selector_suggest(const zn_module *m, const char *selector, zn_diags *d, zn_diag *x);

/* Rules are entries of the configuration, in order: BASE.rule0.path with what belongs to it, BASE.rule1.path, ... The
 * selector of rule i, NULL behind the last. */
const char *zn_rule_selector(const zn_module *m, const char *base, int i);
/* The entry of rule i with this name; NULL if there is none. */
const zn_conf *zn_rule_get(const zn_module *m, const char *base, int i, const char *name);
/* The last rule that matches a parameter; -1 if none does. */
int zn_rule_of(const zn_module *m, const char *base, const char *path);

#endif
