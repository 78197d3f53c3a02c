/* Names: what each stands for, over the whole text, whether or not the model reaches it.
 *
 * Here are found: unknown and repeated names, wrong arguments, cycles, blocks that use themselves, declarations that
 * are never used, and parts of the language that are planned. Nothing is evaluated. What was reported is marked bad. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "frontend/sema.h"

/* ---- reporting ---- */

zn_diag *zn_sema_error(zn_sema *s, zn_diag_id id, zn_span at, const char *fmt, ...) {
    if (at.line) {
        const char *key = zn_arena_printf(s->arena, "%d:%" PRIu32 ":%" PRIu32, (int)id, at.line, at.col);
        void **seen = zn_table_at(s->arena, &s->reported, key);
        if (*seen)
            return NULL;
        *seen = s;
    }
    zn_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    zn_diag *x = s->option && !at.line ? zn_diag_add(s->d, id, at, "in `%s`: %s", s->option, zn_buf_str(&b))
                                       : zn_diag_add(s->d, id, at, "%s", zn_buf_str(&b));
    zn_buf_free(&b);
    return x;
}

void zn_sema_note(zn_sema *s, zn_diag *x, zn_note_kind kind, zn_span at, const char *fmt, ...) {
    if (!x)
        return;
    zn_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    zn_diag_note(s->d, x, kind, at, "%s", zn_buf_str(&b));
    zn_buf_free(&b);
}

/* Names compared in all: a file of wrong names is refused in time that grows with its size. */
enum { MAX_COMPARED = 4000000 };

/* Whether n more names may be compared. */
static bool may_compare(const zn_sema *s, size_t n) {
    return n <= MAX_COMPARED - s->compared;
}

const char *zn_sema_nearest(zn_sema *s, zn_diag *x, const char *name, const char *const *names, size_t n) {
    if (!may_compare(s, n))
        return NULL;
    s->compared += n;
    const char *near = zn_foreign_name(name, names, n);
    near = near ? near : zn_nearest_name(name, names, n);
    if (near)
        zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "did you mean `%s`?", near);
    return near;
}

/* ---- the table of things that are called ---- */

const zn_sig *zn_sig_of(zn_sema *s, zn_sig_id id) {
    if (!s->sigs[id]) {
        zn_sig *sig = zn_new(s->arena, zn_sig);
        *sig = zn_sig_row(id);
        s->sigs[id] = sig;
    }
    return s->sigs[id];
}

const zn_sig *zn_sig_find(zn_sema *s, zn_sig_group g, const char *name) {
    zn_sig_id id = zn_sig_from_name(g, name);
    return id == ZN_SIG_COUNT ? NULL : zn_sig_of(s, id);
}

size_t zn_sig_names(zn_sig_group g, bool with_planned, const char **out, size_t max) {
    size_t n = 0;
    for (zn_sig_id id = 0; id < ZN_SIG_COUNT && n < max; id++) {
        zn_sig sig = zn_sig_row(id);
        if (sig.group == g && (with_planned || !(sig.flags & ZN_C_PLANNED)))
            out[n++] = sig.name;
    }
    return n;
}

bool zn_is_word(const char *name) {
    bool planned;
    for (zn_sig_id id = 0; id < ZN_SIG_COUNT; id++) {
        zn_sig sig = zn_sig_row(id);
        for (size_t i = 0; (sig.group == ZN_GROUP_LAYER || sig.group == ZN_GROUP_RESIDUAL) && i < sig.n; i++)
            if (((sig.arg[i].kind == ZN_A_WORD || sig.arg[i].kind == ZN_A_PAD) &&
                 zn_word_index(sig.arg[i].words, name, &planned) >= 0 && !planned) ||
                (sig.arg[i].kind == ZN_A_AUTO_BOOL && !strcmp(name, "auto")))
                return true;
    }
    return false;
}

static void suggest_arg(zn_sema *s, zn_diag *x, const zn_sig *sig, const char *name) {
    if (!may_compare(s, sig->n))
        return;
    const char **names = zn_new_n(s->arena, const char *, sig->n);
    for (size_t i = 0; i < sig->n; i++)
        names[i] = sig->arg[i].name;
    zn_explain_arg(s, x, sig, name);
    zn_sema_nearest(s, x, name, names, sig->n);
}

bool zn_sig_bind(zn_sema *s, const zn_sig *sig, const zn_args *args, zn_span at, zn_expr **slot) {
    bool ok = true, named = false;
    size_t next = 0;
    zn_span *given = zn_new_n(s->arena, zn_span, sig->n);
    for (size_t i = 0; i < sig->n; i++)
        slot[i] = NULL;
    for (const zn_arg *a = args->first; a; a = a->next) {
        size_t k = next;
        zn_span where = a->name ? a->name_at : a->value->at;
        if (a->name) {
            named = true;
            for (k = 0; k < sig->n && strcmp(sig->arg[k].name, a->name); k++) {
            }
            if (k == sig->n) {
                ok = false;
                zn_diag *x =
                    zn_sema_error(s, ZN_DIAG_ARG_UNKNOWN, where, "`%s` has no argument `%s`", sig->name, a->name);
                suggest_arg(s, x, sig, a->name);
                continue;
            }
        } else if (named) {
            ok = false;
            zn_sema_error(s, ZN_DIAG_ARG_MANY, where, "an argument without a name cannot follow one with a name");
            continue;
        } else if (k >= sig->n) {
            ok = false;
            if (sig->n == 0)
                zn_sema_error(s, ZN_DIAG_ARG_MANY, where, "`%s` takes no arguments", sig->name);
            else
                zn_sema_error(s, ZN_DIAG_ARG_MANY, where, "`%s` takes at most %zu argument%s", sig->name, sig->n,
                              sig->n == 1 ? "" : "s");
            break;
        } else {
            next++;
        }
        if (slot[k]) {
            ok = false;
            zn_diag *x = zn_sema_error(s, ZN_DIAG_ARG_TWICE, where, "the argument `%s` of `%s` is given twice",
                                       sig->arg[k].name, sig->name);
            zn_sema_note(s, x, ZN_NOTE_LABEL, given[k], "first here");
            continue;
        }
        slot[k] = a->value;
        given[k] = where;
        if (sig->arg[k].planned) {
            ok = false;
            zn_sema_error(s, ZN_DIAG_NOT_YET, where, "the argument `%s` of `%s` is not supported yet", sig->arg[k].name,
                          sig->name);
        }
    }
    if (!ok)
        return false; /* what is missing may be what was misspelt */
    for (size_t i = 0; i < sig->n; i++) {
        if (slot[i] || !sig->arg[i].required)
            continue;
        zn_sema_error(s, ZN_DIAG_ARG_MISSING, at, "`%s` needs its argument `%s`", sig->name, sig->arg[i].name);
        return false;
    }
    return true;
}

/* ---- expressions ---- */

zn_decl *zn_decl_find(const zn_sema *s, const char *name) {
    return zn_table_get(&s->decls, name);
}

static const zn_local *local_find(const char *name, const zn_local *locals) {
    while (locals && strcmp(locals->name, name))
        locals = locals->up;
    return locals;
}

/* The flag of the number that `name` stands for, or NULL. */
static bool *used_flag(const zn_sema *s, const char *name, const zn_local *locals) {
    const zn_local *l = local_find(name, locals);
    if (l && !l->value)
        return l->used;
    zn_decl *d = zn_decl_find(s, name);
    return d && d->kind != ZN_DECL_BLOCK ? &d->used : NULL;
}

/* Once for a name: it is the declaration that is missing, or misspelt. */
static bool said_unknown(zn_sema *s, const char *name) {
    void **seen = zn_table_at(s->arena, &s->unknown, name);
    bool said = *seen != NULL;
    *seen = s;
    return said;
}

static void unknown_name(zn_sema *s, const zn_expr *e, const zn_local *locals) {
    if (zn_may_be_declared(s->file, e->s) || s->file->nameless_value)
        return;
    const zn_local *value = local_find(e->s, locals);
    if (value) {
        *value->used = true;
        zn_diag *x =
            zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, e->at, "`%s` is a value of the network, not a number", e->s);
        zn_sema_note(s, x, ZN_NOTE_LABEL, value->at, "it is named here");
        return;
    }
    const zn_decl *block = zn_decl_find(s, e->s);
    if (block) {
        zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, e->at, "`%s` is a block, not a value", e->s);
        return;
    }
    if (said_unknown(s, e->s))
        return;
    size_t n = s->decls.n, k = 0;
    for (const zn_local *l = locals; l; l = l->up)
        n++;
    const char **names = may_compare(s, n) ? zn_new_n(s->arena, const char *, n) : NULL;
    for (const zn_local *l = locals; l && names; l = l->up)
        if (!l->value)
            names[k++] = l->name;
    for (const zn_decl *d = s->file->decls; d && names; d = d->next)
        if (d->kind != ZN_DECL_BLOCK && k < n)
            names[k++] = d->name;
    zn_diag *x = zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, e->at, "there is no `%s` here", e->s);
    const char *near = zn_sema_nearest(s, x, e->s, names, k);
    if (zn_is_word(e->s))
        zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "to pass a word on, write it as a string: \"%s\"", e->s);
    if (!near && x)
        s->no_value = x;
    bool *used = near ? used_flag(s, near, locals) : NULL;
    if (used)
        *used = true; /* that it is not used is the same mistake */
}

static void resolve_call(zn_sema *s, zn_expr *e, const zn_local *locals, bool in_model) {
    const zn_sig *sig = zn_sig_find(s, ZN_GROUP_FUNC, e->s);
    for (zn_arg *a = e->args.first; a; a = a->next)
        zn_resolve_expr(s, a->value, locals, in_model);
    if (!sig) {
        const char *names[ZN_SIG_COUNT];
        size_t n = zn_sig_names(ZN_GROUP_FUNC, true, names, ZN_SIG_COUNT);
        zn_diag *x = zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, e->name_at, "there is no function `%s`", e->s);
        zn_sema_nearest(s, x, e->s, names, n);
        e->kind = ZN_E_BAD;
    } else if (sig->flags & ZN_C_VARIADIC) {
        if (!e->args.n) {
            zn_sema_error(s, ZN_DIAG_ARG_MISSING, e->name_at, "`%s` needs at least one argument", e->s);
            e->kind = ZN_E_BAD;
        }
        for (const zn_arg *a = e->args.first; a; a = a->next) {
            if (!a->name)
                continue;
            zn_sema_error(s, ZN_DIAG_ARG_UNKNOWN, a->name_at, "`%s` has no argument `%s`", e->s, a->name);
            e->kind = ZN_E_BAD;
        }
    } else {
        zn_expr **slot = zn_new_n(s->arena, zn_expr *, sig->n);
        if (!zn_sig_bind(s, sig, &e->args, e->name_at, slot)) {
            e->kind = ZN_E_BAD;
            return;
        }
        e->a = slot[0];
        e->b = sig->n > 1 ? slot[1] : NULL;
    }
}

void zn_resolve_expr(zn_sema *s, zn_expr *e, const zn_local *locals, bool in_model) {
    static const char *const fields[] = {"height", "width", "channels", "features"};
    switch (e->kind) {
    case ZN_E_NAME: {
        bool *used = used_flag(s, e->s, locals);
        if (used) {
            *used = true;
        } else {
            unknown_name(s, e, locals);
            e->kind = ZN_E_BAD;
        }
        return;
    }
    case ZN_E_IN: {
        bool known = false;
        for (size_t i = 0; i < 4; i++)
            known = known || !strcmp(e->s, fields[i]);
        if (!known) {
            zn_diag *x =
                zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, e->at,
                              "there is no `in.%s`; there are in.height, in.width, in.channels and in.features", e->s);
            const char *near = zn_nearest_name(e->s, fields, 4);
            if (near)
                zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "did you mean `in.%s`?", near);
            e->kind = ZN_E_BAD;
        } else if (!in_model) {
            zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, e->at,
                          "`in.%s` is the current value of a model's body; there is none here", e->s);
            e->kind = ZN_E_BAD;
        }
        return;
    }
    case ZN_E_CALL:
        resolve_call(s, e, locals, in_model);
        return;
    case ZN_E_LIST:
        for (zn_arg *a = e->args.first; a; a = a->next)
            zn_resolve_expr(s, a->value, locals, in_model);
        return;
    default:
        if (e->a)
            zn_resolve_expr(s, e->a, locals, in_model);
        if (e->b)
            zn_resolve_expr(s, e->b, locals, in_model);
        if (e->c)
            zn_resolve_expr(s, e->c, locals, in_model);
        return;
    }
}

/* learned(x), where `scale` of a residual takes it. */
static void resolve_learned(zn_sema *s, zn_expr *e, const zn_local *locals, bool in_model) {
    for (const zn_arg *a = e->args.first; a; a = a->next)
        zn_resolve_expr(s, a->value, locals, in_model);
    if (e->args.n == 1 && !e->args.first->name)
        return;
    zn_sema_error(s, ZN_DIAG_ARG_MANY, e->name_at, "`learned` takes one number, what the factor starts as: learned(0)");
    e->kind = ZN_E_BAD;
}

/* A word, or a choice between words: those that stand there bare are no names. */
static void resolve_word(zn_sema *s, const zn_sig_arg *a, zn_expr *e, const zn_local *locals, bool in_model) {
    zn_val unused;
    if (e->kind == ZN_E_COND) {
        zn_resolve_expr(s, e->a, locals, in_model);
        for (int i = 0; i < 2; i++) {
            zn_expr *arm = i ? e->c : e->b;
            bool bare = arm->kind == ZN_E_NAME && !used_flag(s, arm->s, locals);
            resolve_word(s, a, arm, locals, in_model);
            if (bare && !zn_eval_word(s, NULL, arm, a->name, a->words ? a->words : "auto|true|false", &unused))
                arm->kind = ZN_E_BAD; /* also of the arm that is not taken */
        }
    } else if (e->kind != ZN_E_NAME || used_flag(s, e->s, locals)) {
        zn_resolve_expr(s, e, locals, in_model);
    }
}

void zn_resolve_slots(zn_sema *s, const zn_sig *sig, zn_expr **slot, const zn_local *locals, bool in_model) {
    for (size_t i = 0; i < sig->n; i++) {
        if (!slot[i])
            continue;
        zn_arg_kind kind = sig->arg[i].kind;
        if (kind == ZN_A_CALL)
            continue;
        if (kind == ZN_A_WORD || kind == ZN_A_AUTO_BOOL || kind == ZN_A_PAD) {
            resolve_word(s, &sig->arg[i], slot[i], locals, in_model);
            continue;
        }
        if (kind == ZN_A_FANS) {
            bool used;
            const zn_local out = {"fan_out", {0}, &used, false, locals}, in = {"fan_in", {0}, &used, false, &out};
            zn_resolve_expr(s, slot[i], &in, in_model);
            continue;
        }
        if (sig->id == ZN_SIG_RESIDUAL_RESIDUAL && i == ZN_ARG_AT(RESIDUAL, RESIDUAL, scale) &&
            slot[i]->kind == ZN_E_CALL && !strcmp(slot[i]->s, "learned")) {
            resolve_learned(s, slot[i], locals, in_model);
            continue;
        }
        zn_resolve_expr(s, slot[i], locals, in_model);
    }
}

/* ---- bodies ---- */

static void resolve_body(zn_sema *s, const zn_body *b, const zn_local *locals);

static void unknown_value(zn_sema *s, const char *name, zn_span at, const zn_local *locals) {
    ZN_VEC(const char *) names = {0};
    for (const zn_local *l = locals; l; l = l->up)
        if (l->value)
            zn_vec_push(s->arena, &names, l->name);
    const zn_local *number = local_find(name, locals);
    const zn_decl *d = zn_decl_find(s, name);
    if (number || d) {
        bool *used = used_flag(s, name, locals);
        if (used)
            *used = true;
        zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, at, "`%s` is not a value of the network", name);
        return;
    }
    if (said_unknown(s, name))
        return;
    zn_diag *x = zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, at, "there is no value `%s` here", name);
    const char *near = may_compare(s, names.n) ? zn_sema_nearest(s, x, name, names.at, names.n) : NULL;
    if (near)
        *local_find(near, locals)->used = true;
    else
        zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0},
                     "`term as %s` names one; it is visible to the end of the body where it stands", name);
}

/* Uses a named value; false if there is none. */
static bool use_value(zn_sema *s, const char *name, zn_span at, const zn_local *locals) {
    const zn_local *l = local_find(name, locals);
    if (l && l->value) {
        *l->used = true;
        return true;
    }
    if (!zn_is_lost(s->file, name))
        unknown_value(s, name, at, locals);
    return false;
}

/* Arguments that are named values. */
static void resolve_values(zn_sema *s, zn_term *t, const zn_local *locals) {
    if (!t->args.n) {
        zn_sema_error(s, ZN_DIAG_ARG_MISSING, t->name_at, "`%s` needs the name of a value: `%s(x)`", t->name, t->name);
        t->bad = true;
        for (const zn_local *l = locals; l; l = l->up)
            *l->used |= l->value; /* which of them is missing is not known */
    }
    for (const zn_arg *a = t->args.first; a; a = a->next) {
        if (a->name)
            zn_sema_error(s, ZN_DIAG_ARG_UNKNOWN, a->name_at, "`%s` has no argument `%s`", t->name, a->name);
        else if (a->value->kind != ZN_E_NAME && a->value->kind != ZN_E_BAD)
            zn_sema_error(s, ZN_DIAG_TYPE, a->value->at, "`%s` needs the name of a value", t->name);
        else if (a->value->kind == ZN_E_NAME && use_value(s, a->value->s, a->value->at, locals))
            continue;
        t->bad = true;
    }
}

static void resolve_args(zn_sema *s, zn_term *t, const zn_sig *sig, const zn_local *locals) {
    t->sig = sig;
    if (sig->flags & ZN_C_VALUES) {
        resolve_values(s, t, locals);
        return;
    }
    t->slot = zn_new_n(s->arena, zn_expr *, sig->n);
    bool bound = zn_sig_bind(s, sig, &t->args, t->name_at, t->slot);
    if (bound) {
        zn_resolve_slots(s, sig, t->slot, locals, true);
        return;
    }
    t->bad = true;
    /* what the arguments use is used all the same; only words are uncertain */
    for (zn_arg *a = t->args.first; a; a = a->next)
        if (a->value->kind != ZN_E_NAME || used_flag(s, a->value->s, locals))
            zn_resolve_expr(s, a->value, locals, true);
}

static void resolve_call_term(zn_sema *s, zn_term *t, const zn_local *locals) {
    zn_decl *d = zn_decl_find(s, t->name);
    if (d && d->kind == ZN_DECL_BLOCK) {
        d->used = true;
        t->block = d;
        resolve_args(s, t, d->sig, locals);
        return;
    }
    const zn_sig *sig = zn_sig_find(s, ZN_GROUP_LAYER, t->name);
    if (sig && !(sig->flags & ZN_C_PLANNED)) {
        resolve_args(s, t, sig, locals);
        return;
    }
    t->bad = true;
    for (zn_arg *a = t->args.first; a; a = a->next)
        if (a->value->kind != ZN_E_NAME || used_flag(s, a->value->s, locals))
            zn_resolve_expr(s, a->value, locals, true);
    if (sig) {
        zn_sema_error(s, ZN_DIAG_NOT_YET, t->name_at, "the layer `%s` is not supported yet", t->name);
        return;
    }
    if (d) {
        zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, t->name_at, "`%s` is a value, not a layer or block", t->name);
        d->used = true;
        return;
    }
    if (zn_may_be_declared(s->file, t->name) || s->file->nameless_block || said_unknown(s, t->name))
        return;
    zn_diag *x = zn_sema_error(s, ZN_DIAG_NAME_UNKNOWN, t->name_at, "there is no layer or block `%s`", t->name);
    size_t max = ZN_SIG_COUNT + s->decls.n, n = 0;
    if (!may_compare(s, max))
        return;
    const char **all = zn_new_n(s->arena, const char *, max);
    n = zn_sig_names(ZN_GROUP_LAYER, false, all, ZN_SIG_COUNT);
    for (const zn_decl *b = s->file->decls; b; b = b->next)
        if (b->kind == ZN_DECL_BLOCK && n < max)
            all[n++] = b->name;
    const char *near = zn_sema_nearest(s, x, t->name, all, n);
    if (near)
        t->sig = zn_sig_find(s, ZN_GROUP_LAYER, near);
    zn_decl *meant = near ? zn_decl_find(s, near) : NULL;
    if (meant)
        meant->used = true; /* that it is not used is the same mistake */
    if (!near && x)
        s->no_block = x;
}

/* A new name must be new: nothing that is visible may be hidden. */
static void check_new(zn_sema *s, const char *name, zn_span at, const zn_local *locals) {
    zn_span where = {0};
    for (const zn_local *l = locals; l && !where.line; l = l->up)
        if (!strcmp(l->name, name))
            where = l->at;
    const zn_decl *d = zn_decl_find(s, name);
    if (!where.line && d)
        where = d->at;
    if (!where.line)
        return;
    zn_diag *x =
        zn_sema_error(s, ZN_DIAG_NAME_TWICE, at, "the name `%s` is taken already; nothing may hide another name", name);
    zn_sema_note(s, x, ZN_NOTE_LABEL, where, "it is declared here");
}

static void resolve_term(zn_sema *s, zn_term *t, const zn_local *locals) {
    if (t->bad)
        return; /* lost to a syntax error */
    switch (t->kind) {
    case ZN_TERM_CALL:
        resolve_call_term(s, t, locals);
        return;
    case ZN_TERM_RESIDUAL:
        resolve_args(s, t, zn_sig_of(s, ZN_SIG_RESIDUAL_RESIDUAL), locals);
        resolve_body(s, t->body, locals);
        if (t->other) {
            resolve_body(s, t->other, locals);
            const zn_expr *policy = t->slot[ZN_ARG_AT(RESIDUAL, RESIDUAL, shortcut)];
            if (policy) {
                zn_diag *x = zn_sema_error(s, ZN_DIAG_ARG_TWICE, t->other_at,
                                           "the shortcut is given twice: by a policy and by its layers");
                zn_sema_note(s, x, ZN_NOTE_LABEL, policy->at, "the policy");
                t->bad = true;
            }
        }
        return;
    case ZN_TERM_REPEAT:
    case ZN_TERM_FOR: {
        zn_resolve_expr(s, t->value, locals, true);
        zn_local l = {t->name, t->var_at, &t->used, false, locals};
        if (t->name)
            check_new(s, t->name, t->var_at, locals);
        const zn_diag *before = s->no_value;
        resolve_body(s, t->body, t->name ? &l : locals);
        if (!t->name || t->used || zn_is_lost(s->file, t->name)) {
        } else if (s->no_value != before) /* the same mistake */
            zn_sema_note(s, s->no_value, ZN_NOTE_LABEL, t->var_at, "this variable is never used");
        else
            zn_sema_error(s, ZN_DIAG_UNUSED, t->var_at, "the loop variable `%s` is never used", t->name);
        return;
    }
    case ZN_TERM_IF:
        if (t->value)
            zn_resolve_expr(s, t->value, locals, true);
        resolve_body(s, t->body, locals);
        if (t->other)
            resolve_body(s, t->other, locals);
        return;
    case ZN_TERM_FROM:
        t->bad = !use_value(s, t->name, t->at, locals);
        return;
    }
}

static void resolve_body(zn_sema *s, const zn_body *b, const zn_local *locals) {
    for (zn_term *t = b->first; t; t = t->next) {
        resolve_term(s, t, locals);
        if (!t->as)
            continue;
        const zn_local *hidden = local_find(t->as, locals);
        if (hidden) /* that one of the two is not used is the same mistake */
            *hidden->used = t->as_used = true;
        check_new(s, t->as, t->as_at, locals);
        zn_local *l = zn_new(s->arena, zn_local);
        *l = (zn_local){t->as, t->as_at, &t->as_used, true, locals};
        locals = l;
    }
    for (const zn_term *t = b->first; t; t = t->next)
        if (t->as && !t->as_used && !zn_is_lost(s->file, t->as))
            zn_sema_error(s, ZN_DIAG_UNUSED, t->as_at, "the value `%s` is never used", t->as);
}

/* ---- dependencies ---- */

typedef struct zn_chain {
    const zn_decl *decl;
    const struct zn_chain *up;
} zn_chain;

static void visit(zn_sema *s, zn_decl *d, const zn_chain *up);
static void visit_expr_parts(zn_sema *s, const zn_expr *e, const zn_chain *c);
enum { MAX_WALK = 4096 };

/* Counts the recursion of a walk over dependencies, which evaluation and unrolling repeat. */
static bool enter(zn_sema *s, zn_span at) {
    if (s->stop)
        return false;
    if (++s->let_depth <= MAX_WALK)
        return true;
    zn_sema_error(s, ZN_DIAG_NESTING, at, "declarations need each other too deeply");
    s->stop = true;
    return false;
}

static void visit_expr(zn_sema *s, const zn_expr *e, const zn_chain *c) {
    if (!enter(s, e->at))
        return;
    visit_expr_parts(s, e, c);
    s->let_depth--;
}

static void visit_expr_parts(zn_sema *s, const zn_expr *e, const zn_chain *c) {
    if (e->kind == ZN_E_NAME) {
        zn_decl *d = zn_decl_find(s, e->s);
        if (d && d->kind != ZN_DECL_BLOCK)
            visit(s, d, c);
    }
    for (const zn_arg *a = e->args.first; a; a = a->next)
        visit_expr(s, a->value, c);
    if (e->kind == ZN_E_CALL)
        return; /* its a and b are among the arguments */
    if (e->a)
        visit_expr(s, e->a, c);
    if (e->b)
        visit_expr(s, e->b, c);
    if (e->c)
        visit_expr(s, e->c, c);
}

static void visit_body(zn_sema *s, const zn_body *b, const zn_chain *c) {
    for (const zn_term *t = b->first; t; t = t->next) {
        if (!enter(s, t->name_at))
            return;
        if (t->block)
            visit(s, t->block, c);
        if (t->body)
            visit_body(s, t->body, c);
        if (t->other)
            visit_body(s, t->other, c);
        s->let_depth--;
    }
}

static void report_cycle(zn_sema *s, zn_decl *d, const zn_chain *up) {
    zn_buf b = {0};
    const zn_chain *c = up;
    ZN_VEC(const zn_decl *) path = {0};
    for (; c; c = c->up) {
        zn_vec_push(s->arena, &path, c->decl);
        if (c->decl == d)
            break;
    }
    for (size_t i = path.n; i > 0; i--)
        zn_buf_printf(&b, "%s -> ", path.at[i - 1]->name);
    zn_buf_puts(&b, d->name);
    zn_diag *x = d->kind == ZN_DECL_BLOCK
                     ? zn_sema_error(s, ZN_DIAG_RECURSION, d->at, "the block `%s` uses itself", d->name)
                     : zn_sema_error(s, ZN_DIAG_CYCLE, d->at, "the value of `%s` depends on itself", d->name);
    zn_sema_note(s, x, ZN_NOTE_NOTE, (zn_span){0}, "%s", zn_buf_str(&b));
    zn_buf_free(&b);
    for (size_t i = 0; i < path.n; i++)
        ((zn_decl *)path.at[i])->bad = true;
}

/* Depth first over what a declaration needs. Names of block parameters that hide nothing cannot be mistaken here. */
static void visit(zn_sema *s, zn_decl *d, const zn_chain *up) {
    if (d->state == 2)
        return;
    if (d->state == 1) {
        report_cycle(s, d, up);
        return;
    }
    zn_chain c = {d, up};
    d->state = 1;
    if (d->value)
        visit_expr(s, d->value, &c);
    for (const zn_formal *f = d->formals; f; f = f->next)
        if (f->value)
            visit_expr(s, f->value, &c);
    if (d->body)
        visit_body(s, d->body, &c);
    d->state = 2;
}

/* ---- the file ---- */

static void check_decl(zn_sema *s, zn_decl *d) {
    void **first = zn_table_at(s->arena, &s->decls, d->name);
    if (*first) {
        const zn_decl *e = *first;
        zn_diag *x = zn_sema_error(s, ZN_DIAG_NAME_TWICE, d->at, "`%s` is declared twice", d->name);
        zn_sema_note(s, x, ZN_NOTE_LABEL, e->at, "first here");
        d->used = true; /* nothing can mean it */
        return;
    }
    *first = d;
    if (d->kind == ZN_DECL_BLOCK && zn_sig_find(s, ZN_GROUP_LAYER, d->name)) {
        zn_sema_error(s, ZN_DIAG_NAME_TWICE, d->at, "`%s` is the name of a layer", d->name);
        d->used = true;
    }
}

static void make_block_sig(zn_sema *s, zn_decl *d) {
    enum { MAX_FORMALS = 256 };
    zn_sig *sig = zn_new(s->arena, zn_sig);
    zn_sig_arg *arg = zn_new_n(s->arena, zn_sig_arg, d->nformal);
    if (d->nformal > MAX_FORMALS) {
        zn_sema_error(s, ZN_DIAG_ARG_MANY, d->at, "`%s` has %zu parameters; a block has at most %d", d->name,
                      d->nformal, (int)MAX_FORMALS);
        s->stop = true;
    }
    for (const zn_formal *f = d->formals; f; f = f->next)
        arg[sig->n++] = (zn_sig_arg){.name = f->name, .required = !f->value};
    sig->group = ZN_GROUP_BLOCK;
    sig->id = ZN_SIG_COUNT;
    sig->name = d->name;
    sig->arg = arg;
    d->sig = sig;
}

static void resolve_block(zn_sema *s, zn_decl *d) {
    const zn_local *locals = NULL;
    for (zn_formal *f = d->formals; f; f = f->next) {
        if (f->value)
            zn_resolve_expr(s, f->value, locals, true);
        check_new(s, f->name, f->at, locals);
        zn_local *l = zn_new(s->arena, zn_local);
        *l = (zn_local){f->name, f->at, &f->used, false, locals};
        locals = l;
    }
    resolve_body(s, d->body, locals);
    for (const zn_formal *f = d->formals; f; f = f->next)
        if (!f->used && !zn_is_lost(s->file, f->name))
            zn_sema_error(s, ZN_DIAG_PARAMETER_UNUSED, f->at, "the parameter `%s` of `%s` is never used", f->name,
                          d->name);
}

void zn_resolve_file(zn_sema *s) {
    for (zn_decl *d = s->file->decls; d; d = d->next) {
        check_decl(s, d);
        if (d->kind == ZN_DECL_BLOCK)
            make_block_sig(s, d);
    }
    if (s->stop)
        return;
    for (zn_decl *d = s->file->decls; d; d = d->next) {
        if (d->value)
            zn_resolve_expr(s, d->value, NULL, false);
        if (d->kind == ZN_DECL_BLOCK)
            resolve_block(s, d);
    }
    if (s->file->model) {
        zn_model *m = s->file->model;
        for (zn_arg *a = m->dims.first; a; a = a->next)
            zn_resolve_expr(s, a->value, NULL, false);
        bool used = true;
        const zn_local input = {m->input, m->input_at, &used, true, NULL};
        resolve_body(s, m->body, &input);
    }
    for (zn_decl *d = s->file->decls; d; d = d->next)
        visit(s, d, NULL);
}

void zn_report_unused(zn_sema *s) {
    static const char *const kinds[] = {"param", "let", "block"};
    if (!s->file->model)
        return; /* it would use them */
    size_t unused[2] = {0, 0};
    for (const zn_decl *d = s->file->decls; d; d = d->next)
        unused[d->kind == ZN_DECL_BLOCK] += !d->used && !d->imported;
    for (const zn_decl *d = s->file->decls; d; d = d->next) {
        bool block = d->kind == ZN_DECL_BLOCK;
        zn_diag *unknown = block ? s->no_block : s->no_value;
        if (d->used || d->imported || zn_is_lost(s->file, d->name))
            continue;
        if (unknown && unused[block] == 1) /* the same mistake: the declaration is misspelt */
            zn_sema_note(s, unknown, ZN_NOTE_LABEL, d->at, "this %s is never used", kinds[d->kind]);
        else
            zn_sema_error(s, ZN_DIAG_UNUSED, d->at, "the %s `%s` is never used", kinds[d->kind], d->name);
    }
}
