/* IR as text. Grammar in docs/ir.md; ir/parse.c reads it back. Nothing printed depends on addresses, time or paths. */
#include "ir/module.h"

#include <math.h>
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

static void print_param_name(const char *name, zn_buf *out) {
    zn_buf_putc(out, '@');
    if (zn_text_word(name))
        zn_buf_puts(out, name);
    else
        zn_text_quote(name, out);
}

void zn_formula_print(const zn_formula *f, zn_buf *out) {
    char num[ZN_NUMBER_MAX];
    zn_f32_text(f->a, num);
    if (f->dirac == 1)
        zn_buf_puts(out, "dirac + ");
    else if (f->dirac)
        zn_buf_printf(out, "dirac(%u groups) + ", f->dirac);
    switch (f->kind) {
    case ZN_FORMULA_CONST:
        if (!strcmp(num, "0.0") || !strcmp(num, "1.0"))
            zn_buf_puts(out, num[0] == '0' ? "zeros" : "ones");
        else
            zn_buf_printf(out, "const(%s)", num);
        break;
    case ZN_FORMULA_IDENTITY:
        if (f->a != 1)
            zn_buf_printf(out, "identity(%lld groups)", (long long)f->a);
        else
            zn_buf_puts(out, f->spanning ? "identity(spanning)" : "identity");
        break;
    case ZN_FORMULA_HADAMARD:
        zn_buf_printf(out, "hadamard(%s%s)", num, f->spanning ? ", spanning" : "");
        break;
    case ZN_FORMULA_DENSE_HADAMARD:
        zn_buf_printf(out, "dense_hadamard(%s, %lld%s)", num, (long long)f->q, f->spanning ? ", spanning" : "");
        break;
    case ZN_FORMULA_LOOKS_LINEAR_LESS_PRODUCT:
        zn_buf_printf(out, "%s(%s, ", zn_formula_names[f->kind], num);
        print_param_name(f->of[0], out);
        zn_buf_puts(out, ", ");
        print_param_name(f->of[1], out);
        zn_buf_printf(out, ", %lld)", (long long)f->inner);
        break;
    case ZN_FORMULA_MIRRORED:
    case ZN_FORMULA_LOOKS_LINEAR:
        zn_buf_puts(out, zn_formula_names[f->kind]);
        break;
    default:
        zn_buf_printf(out, "%s(%s)", zn_formula_names[f->kind], num);
        break;
    }
}

void zn_start_print(const zn_param *p, zn_buf *out) {
    char num[ZN_NUMBER_MAX];
    zn_formula_print(&p->init, out);
    if (p->calibration.kind == ZN_CALIBRATION_NONE)
        return;
    zn_f64_text(p->calibration.a, num);
    zn_buf_printf(out, " then %s(%s, %lld)", zn_calibration_names[p->calibration.kind], num,
                  (long long)p->calibration.n);
}

/* Where the parts of a line begin: fixed, so that no line depends on another. */
enum { NAME_COLUMNS = 10, TYPE_COLUMN = 76 };

typedef struct printer {
    zn_module *m;
    zn_buf *out;
    bool loc;
    zn_print_note *note; /* NULL: none */
    void *ctx;
} printer;

static void print_loc(const printer *p, zn_span s) {
    if (s.line && p->loc)
        zn_buf_printf(p->out, " loc(%u:%u+%u)", s.line, s.col, s.len);
}

/* After the section's name, within its block. */
static void print_conf(const printer *p, const zn_conf *c, size_t section) {
    zn_buf *out = p->out;
    char num[ZN_NUMBER_MAX];
    zn_buf_printf(out, "  %s = ", c->key + section);
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
    print_loc(p, c->span);
    zn_buf_putc(out, '\n');
}

/* Keys are sorted, so that those of a section stand together. */
static void print_confs(const printer *p) {
    for (const zn_conf *c = p->m->conf; c;) {
        const char *first = c->key, *dot = strchr(first, '.');
        size_t n = dot ? (size_t)(dot + 1 - first) : 0;
        zn_buf_printf(p->out, "\nconf %.*s%s{\n", dot ? (int)(dot - first) : 0, first, dot ? " " : "");
        for (; c && (dot ? !strncmp(c->key, first, n) : !strchr(c->key, '.')); c = c->next)
            print_conf(p, c, n);
        zn_buf_puts(p->out, "}\n");
    }
}

static void end_line(const printer *p, const zn_param *x, const zn_value *v) {
    if (p->note)
        p->note(p->ctx, x, v, p->out);
    zn_buf_putc(p->out, '\n');
}

static void print_param(const printer *p, const zn_param *x) {
    zn_buf *out = p->out;
    zn_buf_puts(out, "param ");
    print_param_name(x->name, out);
    zn_buf_puts(out, " : ");
    zn_type_print(&x->type, out);
    zn_buf_printf(out, " %s init ", zn_role_names[x->role]);
    zn_start_print(x, out);
    if (x->decay != 0) {
        char num[ZN_NUMBER_MAX];
        zn_f32_text(x->decay, num);
        zn_buf_printf(out, " decay %s", num);
    }
    if (x->rate != 1) {
        char num[ZN_NUMBER_MAX];
        zn_f32_text(x->rate, num);
        zn_buf_printf(out, " rate %s", num);
    }
    if (!isinf(x->freeze)) {
        char num[ZN_NUMBER_MAX];
        zn_f64_text(x->freeze, num);
        zn_buf_printf(out, " freeze %s", num);
    }
    print_loc(p, x->span);
    end_line(p, x, NULL);
}

/* Index of the attribute `name` of an op with ZN_T_OF_PARAM; -1 for others. */
int zn_text_param_attr(zn_op op) {
    int first = zn_op_attr_first(op), n = zn_op_table[op].traits & ZN_T_OF_PARAM ? zn_op_attr_count(op) : 0;
    for (int i = 0; i < n; i++)
        if (!strcmp(zn_attr_table[first + i].name, "name"))
            return i;
    return -1;
}

static void print_use(const zn_value *v, zn_buf *out) {
    if (v->op == ZN_OP_PARAM)
        print_param_name(zn_attr_of(v, PARAM, name)->s, out);
    else
        zn_buf_printf(out, "%%%s", v->name);
}

static void print_attrs(const printer *p, const zn_value *v) {
    int first = zn_op_attr_first(v->op), n = zn_op_attr_count(v->op), shown = 0, param = zn_text_param_attr(v->op);
    for (int i = 0; i < n; i++) {
        const zn_attr_info *info = &zn_attr_table[first + i];
        zn_attr def;
        if (i == param)
            continue;
        if (info->def[0] && zn_attr_read(p->m, info->kind, info->def, &def) &&
            zn_attr_equal(info->kind, &def, &v->attr[i]))
            continue;
        zn_buf_printf(p->out, "%s%s = ", shown++ ? ", " : " {", info->name);
        zn_attr_print(info->kind, &v->attr[i], p->out);
    }
    if (shown)
        zn_buf_putc(p->out, '}');
}

static void print_value(const printer *p, const zn_value *v) {
    zn_buf *out = p->out;
    size_t start = out->n;
    const char *comma = " ";
    int param = zn_text_param_attr(v->op);
    zn_buf_puts(out, "  ");
    if (!(zn_op_table[v->op].traits & ZN_T_EFFECT))
        zn_buf_printf(out, "%%%-*s = ", NAME_COLUMNS, v->name);
    zn_buf_puts(out, zn_op_table[v->op].text);
    if (param >= 0) {
        zn_buf_puts(out, comma);
        print_param_name(v->attr[param].s, out);
        comma = ", ";
    }
    for (int i = 0; i < v->noperands; i++, comma = ", ") {
        zn_buf_puts(out, comma);
        print_use(v->operand[i], out);
    }
    print_attrs(p, v);
    while (out->n - start < TYPE_COLUMN)
        zn_buf_putc(out, ' ');
    zn_buf_puts(out, " : ");
    zn_type_print(&v->type, out);
    size_t path = v->name ? zn_name_path(v->name, v->op) : 0;
    if (strlen(v->path) != path || strncmp(v->name ? v->name : "", v->path, path) != 0) {
        zn_buf_puts(out, " path ");
        zn_text_quote(v->path, out);
    }
    if (v->group >= 0)
        zn_buf_printf(out, " group %d", v->group);
    if (v->keep)
        zn_buf_puts(out, " keep");
    print_loc(p, v->span);
    end_line(p, NULL, v);
}

static void print_func(const printer *p, zn_func *f) {
    zn_buf *out = p->out;
    zn_func_name_values(p->m, f);
    zn_buf_printf(out, "\nfunc @%s(", f->name);
    for (size_t i = 0; i < f->args.n; i++) {
        zn_buf_printf(out, "%s%%%s: ", i ? ", " : "", f->args.at[i]->name);
        zn_type_print(&f->args.at[i]->type, out);
    }
    zn_buf_puts(out, ") {\n");
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op != ZN_OP_ARG && v->op != ZN_OP_PARAM)
            print_value(p, v);
    zn_buf_puts(out, "  return");
    for (size_t i = 0; i < f->results.n; i++) {
        zn_buf_puts(out, i ? ", " : " ");
        print_use(f->results.at[i], out);
    }
    zn_buf_puts(out, "\n}\n");
}

void zn_module_print_noted(zn_module *m, bool loc, zn_print_note *note, void *ctx, zn_buf *out) {
    printer p = {m, out, loc, note, ctx};
    zn_buf_puts(out, "zir 2\nmodule ");
    zn_text_quote(m->name, out);
    zn_buf_putc(out, '\n');
    if (m->params)
        zn_buf_putc(out, '\n');
    for (const zn_param *x = m->params; x; x = x->next)
        print_param(&p, x);
    for (zn_func *f = m->funcs; f; f = f->next)
        print_func(&p, f);
    print_confs(&p);
}

void zn_module_print(zn_module *m, zn_buf *out) {
    zn_module_print_noted(m, true, NULL, NULL, out);
}

void zn_module_print_no_loc(zn_module *m, zn_buf *out) {
    zn_module_print_noted(m, false, NULL, NULL, out);
}
