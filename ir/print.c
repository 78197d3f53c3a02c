/* IR as text. Grammar in docs/ir.md; ir/parse.c reads it back. Nothing printed depends on addresses, time or paths. */
#include "ir/module.h"

#include <string.h>

#include "ir/text.h"
#include "support/ice.h"
#include "support/number.h"

void zn_text_quote(const char *s, zn_buf *out) {
    zn_buf_putc(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            zn_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            zn_buf_puts(out, "\\n");
        else if (c == '\t')
            zn_buf_puts(out, "\\t");
        else if (c < 32 || c == 127)
            zn_buf_printf(out, "\\x%02x", c);
        else
            zn_buf_putc(out, (char)c);
    }
    zn_buf_putc(out, '"');
}

void zn_attr_print(zn_attr_kind kind, const zn_attr *a, zn_buf *out) {
    char num[ZN_NUMBER_MAX];
    switch (kind) {
    case ZN_ATTR_INT:
        zn_buf_printf(out, "%lld", (long long)a->i);
        break;
    case ZN_ATTR_BOOL:
        zn_buf_puts(out, a->i ? "true" : "false");
        break;
    case ZN_ATTR_STR:
        zn_text_quote(a->s ? a->s : "", out);
        break;
    case ZN_ATTR_FLOAT:
        zn_f64_text(a->f, num);
        zn_buf_puts(out, num);
        break;
    case ZN_ATTR_INTS:
        zn_buf_putc(out, '[');
        for (int i = 0; i < a->n; i++)
            zn_buf_printf(out, "%s%lld", i ? ", " : "", (long long)a->v[i]);
        zn_buf_putc(out, ']');
        break;
    }
}

bool zn_attr_equal(zn_attr_kind kind, const zn_attr *a, const zn_attr *b) {
    switch (kind) {
    case ZN_ATTR_INT:
    case ZN_ATTR_BOOL:
        return a->i == b->i;
    case ZN_ATTR_FLOAT:
        return !memcmp(&a->f, &b->f, sizeof a->f);
    case ZN_ATTR_STR:
        return !strcmp(a->s ? a->s : "", b->s ? b->s : "");
    case ZN_ATTR_INTS:
        break;
    }
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (a->v[i] != b->v[i])
            return false;
    return true;
}

void zn_formula_print(const zn_formula *f, zn_buf *out) {
    char num[ZN_NUMBER_MAX];
    zn_f32_text(f->a, num);
    switch (f->kind) {
    case ZN_FORMULA_CONST:
        if (!strcmp(num, "0.0") || !strcmp(num, "1.0"))
            zn_buf_puts(out, num[0] == '0' ? "zeros" : "ones");
        else
            zn_buf_printf(out, "const(%s)", num);
        break;
    case ZN_FORMULA_IDENTITY:
        zn_buf_puts(out, f->spanning ? "identity(spanning)" : "identity");
        break;
    case ZN_FORMULA_HADAMARD:
        zn_buf_printf(out, "hadamard(%s%s)", num, f->spanning ? ", spanning" : "");
        break;
    case ZN_FORMULA_NORMAL:
    case ZN_FORMULA_UNIFORM:
        zn_buf_printf(out, "%s(%s)", zn_formula_names[f->kind], num);
        break;
    case ZN_FORMULA_COUNT:
        break;
    }
}

static void print_loc(zn_span s, zn_buf *out) {
    if (s.line)
        zn_buf_printf(out, " loc(%u:%u+%u)", s.line, s.col, s.len);
}

static void print_conf(const zn_conf *c, zn_buf *out) {
    char num[ZN_NUMBER_MAX];
    zn_buf_printf(out, "conf %s = ", c->key);
    switch (c->kind) {
    case ZN_CONF_INT:
        zn_buf_printf(out, "%lld", (long long)c->i);
        break;
    case ZN_CONF_BOOL:
        zn_buf_puts(out, c->i ? "true" : "false");
        break;
    case ZN_CONF_STR:
        zn_text_quote(c->s, out);
        break;
    case ZN_CONF_FLOAT:
        zn_f64_text(c->f, num);
        zn_buf_puts(out, num);
        break;
    case ZN_CONF_FLOATS:
        zn_buf_putc(out, '[');
        for (size_t i = 0; i < c->n; i++) {
            zn_f64_text(c->v[i], num);
            zn_buf_printf(out, "%s%s", i ? ", " : "", num);
        }
        zn_buf_putc(out, ']');
        break;
    }
    print_loc(c->span, out);
    zn_buf_putc(out, '\n');
}

static void print_param(const zn_param *p, zn_buf *out) {
    zn_buf_puts(out, "param ");
    zn_text_quote(p->name, out);
    zn_buf_puts(out, " : ");
    zn_type_print(&p->type, out);
    zn_buf_printf(out, " %s init ", zn_role_names[p->role]);
    zn_formula_print(&p->init, out);
    if (p->decay != 0) {
        char num[ZN_NUMBER_MAX];
        zn_f32_text(p->decay, num);
        zn_buf_printf(out, " decay %s", num);
    }
    print_loc(p->span, out);
    zn_buf_putc(out, '\n');
}

static void print_value(zn_module *m, const zn_value *v, zn_buf *out) {
    bool effect = zn_op_table[v->op].traits & ZN_T_EFFECT;
    zn_buf_puts(out, "  ");
    if (!effect)
        zn_buf_printf(out, "%%%d = ", v->id);
    zn_buf_puts(out, zn_op_table[v->op].text);
    for (int i = 0; i < v->noperands; i++)
        zn_buf_printf(out, "%s%%%d", i ? ", " : " ", v->operand[i]->id);
    int first = zn_op_attr_first(v->op), n = zn_op_attr_count(v->op), shown = 0;
    for (int i = 0; i < n; i++) {
        const zn_attr_info *info = &zn_attr_table[first + i];
        zn_attr def;
        if (info->def[0] && zn_attr_read(m, info->kind, info->def, &def) &&
            zn_attr_equal(info->kind, &def, &v->attr[i]))
            continue;
        zn_buf_printf(out, "%s%s = ", shown++ ? ", " : " {", info->name);
        zn_attr_print(info->kind, &v->attr[i], out);
    }
    if (shown)
        zn_buf_putc(out, '}');
    zn_buf_puts(out, " : ");
    zn_type_print(&v->type, out);
    if (v->name) {
        zn_buf_puts(out, " name ");
        zn_text_quote(v->name, out);
    }
    if (v->path[0]) {
        zn_buf_puts(out, " path ");
        zn_text_quote(v->path, out);
    }
    if (v->group >= 0)
        zn_buf_printf(out, " group %d", v->group);
    if (v->keep)
        zn_buf_puts(out, " keep");
    print_loc(v->span, out);
    zn_buf_putc(out, '\n');
}

static void print_func(zn_module *m, zn_func *f, zn_buf *out) {
    zn_func_number(f);
    zn_buf_printf(out, "func @%s(", f->name);
    for (size_t i = 0; i < f->args.n; i++) {
        zn_buf_printf(out, "%s%%%d: ", i ? ", " : "", f->args.at[i]->id);
        zn_type_print(&f->args.at[i]->type, out);
        zn_buf_putc(out, ' ');
        zn_text_quote(f->args.at[i]->name ? f->args.at[i]->name : "", out);
    }
    zn_buf_puts(out, ") {\n");
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op != ZN_OP_ARG)
            print_value(m, v, out);
    zn_buf_puts(out, "  return");
    for (size_t i = 0; i < f->results.n; i++)
        zn_buf_printf(out, "%s%%%d", i ? ", " : " ", f->results.at[i]->id);
    zn_buf_puts(out, "\n}\n");
}

void zn_module_print(zn_module *m, zn_buf *out) {
    zn_buf_puts(out, "zir 1\nmodule ");
    zn_text_quote(m->name, out);
    zn_buf_putc(out, '\n');
    for (const zn_conf *c = m->conf; c; c = c->next)
        print_conf(c, out);
    for (const zn_param *p = m->params; p; p = p->next)
        print_param(p, out);
    for (zn_func *f = m->funcs; f; f = f->next)
        print_func(m, f, out);
}
