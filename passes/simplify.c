/* Pass simplify: equal values become one, multiplications by 1 and unused values go.
 *
 * Only what holds bit for bit: not x + 0 (it changes -0), not x * 0, not hadamard(hadamard(x)) (it rounds).
 * Terminates: every step removes a value. Preserves order. */
#include <string.h>

#include "ir/text.h"
#include "passes/pass.h"
#include "passes/util.h"

static bool equal_values(const zn_value *a, const zn_value *b) {
    if (a->op != b->op || a->noperands != b->noperands)
        return false;
    for (int i = 0; i < a->noperands; i++)
        if (a->operand[i] != b->operand[i])
            return false;
    for (int i = 0, first = zn_op_attr_first(a->op), n = zn_op_attr_count(a->op); i < n; i++)
        if (!zn_attr_equal(zn_attr_table[first + i].kind, &a->attr[i], &b->attr[i]))
            return false;
    return true;
}

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

/* Of what equal_values compares. */
static size_t hash_of(const zn_value *v) {
    uint64_t h = mix(0, v->op);
    for (int i = 0; i < v->noperands; i++)
        h = mix(h, (uint64_t)v->operand[i]->id);
    for (int i = 0, first = zn_op_attr_first(v->op), n = zn_op_attr_count(v->op); i < n; i++) {
        const zn_attr *a = &v->attr[i];
        uint64_t bits;
        memcpy(&bits, &a->f, sizeof bits);
        switch (zn_attr_table[first + i].kind) {
        case ZN_ATTR_INT:
        case ZN_ATTR_BOOL:
            h = mix(h, (uint64_t)a->i);
            break;
        case ZN_ATTR_FLOAT:
            h = mix(h, bits);
            break;
        case ZN_ATTR_INTS:
            for (int j = 0; j < a->n; j++)
                h = mix(h, (uint64_t)a->v[j]);
            break;
        case ZN_ATTR_STR:
            for (const char *s = a->s ? a->s : ""; *s; s++)
                h = mix(h, (unsigned char)*s);
            break;
        }
    }
    return (size_t)h;
}

static zn_value *simpler(zn_value *v) {
    return v->op == ZN_OP_MUL_CONST && zn_attr_of(v, MUL_CONST, value)->f == 1 ? v->operand[0] : NULL;
}

static size_t simplify_func(zn_func *f) {
    size_t removed = 0, n = 0, cap = 64;
    zn_func_number(f);
    for (zn_value *v = f->first; v; v = v->next)
        n++;
    while (cap < 2 * n)
        cap *= 2;
    zn_arena scratch = {0};
    zn_value **table = zn_new_n(&scratch, zn_value *, cap);
    for (zn_value *v = f->first, *next; v; v = next) {
        next = v->next;
        if (v->op == ZN_OP_ARG || (zn_op_table[v->op].traits & ZN_T_EFFECT))
            continue;
        zn_value *by = simpler(v);
        size_t i = hash_of(v) & (cap - 1);
        while (!by && table[i]) {
            if (equal_values(table[i], v))
                by = table[i];
            i = (i + 1) & (cap - 1);
        }
        if (!by)
            table[i] = v;
        if (!by || v->keep)
            continue;
        zn_value_replace(f, v, by, NULL);
        zn_value_remove(f, v);
        removed++;
    }
    zn_arena_free(&scratch);
    return removed + (size_t)zn_remove_unused(f);
}

bool zn_pass_simplify(zn_module *m, zn_pass_ctx *ctx) {
    for (zn_func *f = m->funcs; f; f = f->next) {
        size_t n = simplify_func(f);
        if (n)
            zn_pass_log(ctx, "simplify: @%s: removed %zu values", f->name, n);
    }
    return true;
}
