/* Private to the front end: what the files of the sections share (config.c, rules.c). */
#ifndef ZN_FRONTEND_CONFIG_H
#define ZN_FRONTEND_CONFIG_H

#include "frontend/sema.h"

/* What is not evaluated still counts as used. */
void zn_config_mark_used(zn_sema *s, const zn_expr *e);
/* The arm that choices `c ? a : b` take in the end, e where it is none, NULL after reporting; `check` is called for the
 * others. */
typedef void zn_config_arm_fn(zn_sema *s, zn_expr *arm, const void *ctx);
zn_expr *zn_config_taken(zn_sema *s, zn_expr *e, zn_config_arm_fn *check, const void *ctx);
/* A call by name from a group, with or without parentheses, its arguments bound to *slot. Of a choice between calls the
 * one that is taken, which *e then is; the others are checked but for the values of their arguments. NULL after
 * reporting. */
const zn_sig *zn_config_head(zn_sema *s, zn_sig_group g, zn_expr **e, const char *what, zn_expr ***slot);
/* What a scheme's row cannot say of its options; false after reporting. */
bool zn_config_check_scheme(zn_sema *s, const zn_sig *sig, zn_expr *const *slot, const zn_val *v);

/* Rules of numbers: decay, rate, freeze. */
void zn_config_number_rules(zn_sema *s, const zn_entry *e, const char *base);
/* A start with its options, written under `scope` ("init", "init.rule0"), and starts that stand in it under SCOPE.name.
 * False after reporting. */
typedef struct zn_config_start {
    const zn_sig *sig;
    zn_expr **slot;
    zn_val *v;
    const char *text; /* as in a file */
} zn_config_start;
bool zn_config_take_start(zn_sema *s, zn_expr *e, const char *scope, zn_config_start *out);
/* Rules of starts. */
void zn_config_init_rules(zn_sema *s, const zn_entry *e);

#endif
