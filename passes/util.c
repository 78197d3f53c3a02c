/* See util.h. */
#include "passes/util.h"

#include <string.h>

bool zn_remove_unused(zn_module *m, zn_func *f) {
    static char used;
    bool any = false;
    (void)m;
    for (zn_value *v = f->first; v; v = v->next)
        v->note = NULL;
    for (size_t i = 0; i < f->results.n; i++)
        f->results.at[i]->note = &used;
    for (zn_value *v = f->last, *prev; v; v = prev) {
        prev = v->prev;
        if (v->note || v->op == ZN_OP_ARG || (zn_op_table[v->op].traits & ZN_T_EFFECT)) {
            for (int i = 0; i < v->noperands; i++)
                v->operand[i]->note = &used;
        } else {
            zn_value_remove(f, v);
            any = true;
        }
    }
    for (zn_value *v = f->first; v; v = v->next)
        v->note = NULL;
    return any;
}

static bool is_read(const zn_module *m, const char *name) {
    for (const zn_func *f = m->funcs; f; f = f->next)
        for (const zn_value *v = f->first; v; v = v->next)
            if ((v->op == ZN_OP_PARAM && !strcmp(zn_attr_of(v, PARAM, name)->s, name)) ||
                (v->op == ZN_OP_STORE && !strcmp(zn_attr_of(v, STORE, name)->s, name)))
                return true;
    return false;
}

void zn_remove_unread_params(zn_module *m) {
    m->last_param = NULL;
    for (zn_param **at = &m->params; *at;) {
        if (is_read(m, (*at)->name)) {
            m->last_param = *at;
            at = &(*at)->next;
        } else {
            *at = (*at)->next;
        }
    }
}

zn_value *zn_value_copy(zn_module *m, zn_func *f, zn_value *before, const zn_value *v, zn_value *const *operand) {
    zn_value *c = zn_value_new(m, f, before, v->op, v->noperands, operand, v->span, v->path);
    for (int i = 0, n = zn_op_attr_count(v->op); i < n; i++)
        c->attr[i] = v->attr[i];
    c->type = v->type;
    c->name = v->name;
    c->group = v->group;
    return c;
}
