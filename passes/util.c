/* See util.h. */
#include "passes/util.h"

bool zn_remove_unused(zn_func *f) {
    bool any = false;
    for (zn_value *v = f->last, *prev; v; v = prev) {
        prev = v->prev;
        if (!v->nuses && !v->keep && v->op != ZN_OP_ARG && !(zn_op_table[v->op].traits & ZN_T_EFFECT)) {
            zn_value_remove(f, v);
            any = true;
        }
    }
    return any;
}

void zn_remove_unread_params(zn_module *m) {
    zn_arena scratch = {0};
    bool *keep = zn_new_n(&scratch, bool, m->nparams + 1);
    for (const zn_func *f = m->funcs; f; f = f->next)
        for (const zn_value *v = f->first; v; v = v->next) {
            bool param = v->op == ZN_OP_PARAM;
            if (param || v->op == ZN_OP_STORE)
                keep[zn_param_find(m, param ? zn_attr_of(v, PARAM, name)->s : zn_attr_of(v, STORE, name)->s)->index] =
                    true;
        }
    zn_params_filter(m, keep);
    zn_arena_free(&scratch);
}

zn_value *zn_value_copy(zn_module *m, zn_func *f, zn_value *before, const zn_value *v, zn_value *const *operand) {
    zn_value *c = zn_value_new(m, f, before, v->op, v->noperands, operand, v->span, v->path);
    for (int i = 0, n = zn_op_attr_count(v->op); i < n; i++)
        c->attr[i] = v->attr[i];
    c->type = v->type;
    c->name = v->name;
    c->group = v->group;
    c->keep = v->keep;
    return c;
}
