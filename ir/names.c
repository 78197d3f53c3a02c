/* Names of values: what IR text calls them.
 *
 * A value is called by its path where it has one ("stage1.0.conv1"), else by its operation ("hadamard"). Where that is
 * taken, by path and operation ("stage1.0.conv1.bias"), then with a number behind ("hadamard_2"). A name is given once,
 * by order in the function, and stays: what passes insert gets other names, so that a diff of two stages shows what the
 * pass did and nothing else. Reads of parameters are called by the parameter ("@stage1.0.conv1.weight") and have none.
 */
#include <ctype.h>
#include <string.h>

#include "ir/module.h"
#include "ir/text.h"
#include "support/table.h"

typedef struct namer {
    zn_module *m;
    zn_arena scratch;
    zn_table taken; /* name -> itself */
    zn_table last;  /* base of numbered names -> size_t, the last number given */
} namer;

bool zn_text_word(const char *s) {
    if (!*s)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_' && *s != '.')
            return false;
    return true;
}

static bool has_name(const zn_value *v) {
    return v->op != ZN_OP_PARAM && !(zn_op_table[v->op].traits & ZN_T_EFFECT);
}

static bool try_name(namer *n, zn_value *v, const char *name) {
    void **at = zn_table_at(&n->scratch, &n->taken, name);
    if (*at)
        return false;
    *at = n;
    v->name = name;
    return true;
}

/* s with what a name may not hold made an underscore. */
static const char *as_word(namer *n, const char *s) {
    if (zn_text_word(s))
        return s;
    char *copy = zn_arena_strdup(&n->m->arena, s);
    for (char *p = copy; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '.')
            *p = '_';
    return copy;
}

static void give_name(namer *n, zn_value *v) {
    const char *op = zn_op_table[v->op].text, *path = as_word(n, v->path);
    if (path[0] && try_name(n, v, path))
        return;
    const char *base = path[0] ? zn_arena_printf(&n->m->arena, "%s.%s", path, op) : op;
    if (try_name(n, v, base))
        return;
    size_t **last = (size_t **)zn_table_at(&n->scratch, &n->last, base);
    if (!*last)
        *(*last = zn_new(&n->scratch, size_t)) = 1;
    while (!try_name(n, v, zn_arena_printf(&n->m->arena, "%s_%zu", base, ++**last)))
        ;
}

void zn_func_name_values(zn_module *m, zn_func *f) {
    namer n = {.m = m};
    for (zn_value *v = f->first; v; v = v->next)
        if (has_name(v) && v->name && !try_name(&n, v, v->name))
            v->name = NULL; /* a copy of another value of this function */
    for (zn_value *v = f->first; v; v = v->next)
        if (has_name(v) && !v->name)
            give_name(&n, v);
    zn_arena_free(&n.scratch);
}

void zn_module_name_values(zn_module *m) {
    for (zn_func *f = m->funcs; f; f = f->next)
        zn_func_name_values(m, f);
}

/* Bytes of s without "_2" or another number behind. */
static size_t without_number(const char *s, size_t n) {
    size_t k = n;
    while (k && isdigit((unsigned char)s[k - 1]))
        k--;
    return k && k < n && s[k - 1] == '_' ? k - 1 : n;
}

size_t zn_name_path(const char *name, zn_op op) {
    const char *text = zn_op_table[op].text;
    size_t n = strlen(name), m = strlen(text);
    for (size_t end = n;; end = without_number(name, n)) {
        if (end == m && !memcmp(name, text, m))
            return 0;
        if (end > m + 1 && name[end - m - 1] == '.' && !memcmp(name + end - m, text, m))
            return end - m - 1;
        if (end < n || without_number(name, n) == n)
            return n;
    }
}
