/* Making and printing nodes of the syntax tree.
 *
 * The printed form is for people and golden tests: it shows structure and places, and is not read back. */
#include "frontend/ast.h"

#include <inttypes.h>

#include "support/number.h"

const char *const zn_bop_text[ZN_B_COUNT] = {"||", "&&", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"};
const char *const zn_section_names[ZN_SECTION_COUNT] = {"data", "init", "train"};

zn_expr *zn_expr_new(zn_arena *a, zn_expr_kind kind, zn_span at, zn_expr *x, zn_expr *y, zn_expr *z) {
    zn_expr *e = zn_new(a, zn_expr);
    e->kind = kind;
    e->at = at;
    e->a = x;
    e->b = y;
    e->c = z;
    int depth = 0;
    if (x && x->depth > depth)
        depth = x->depth;
    if (y && y->depth > depth)
        depth = y->depth;
    if (z && z->depth > depth)
        depth = z->depth;
    e->depth = depth + 1;
    return e;
}

zn_arg *zn_arg_make(zn_arena *a, const char *name, zn_span name_at, zn_expr *value) {
    zn_arg *x = zn_new(a, zn_arg);
    x->name = name;
    x->name_at = name_at;
    x->value = value;
    return x;
}

void zn_args_add(zn_args *list, zn_arg *x) {
    if (list->last)
        list->last->next = x;
    else
        list->first = x;
    list->last = x;
    list->n++;
}

void zn_rules_add(zn_arena *a, zn_rules *list, const char *selector, zn_span at, zn_expr *value) {
    zn_rule *r = zn_new(a, zn_rule);
    *r = (zn_rule){selector, at, value, NULL};
    if (list->last)
        list->last->next = r;
    else
        list->first = r;
    list->last = r;
}

zn_term *zn_term_new(zn_arena *a, zn_term_kind kind, zn_span at, zn_span name_at) {
    zn_term *t = zn_new(a, zn_term);
    t->kind = kind;
    t->at = at;
    t->name_at = name_at;
    return t;
}

/* ---- expressions as text ---- */

static int precedence(const zn_expr *e) {
    static const int of_bop[ZN_B_COUNT] = {2, 3, 4, 4, 5, 5, 5, 5, 6, 6, 7, 7, 7};
    switch (e->kind) {
    case ZN_E_COND:
        return 1;
    case ZN_E_BINARY:
        return of_bop[e->op];
    case ZN_E_NOT:
    case ZN_E_NEG:
        return 8;
    default:
        return 9;
    }
}

static void expr_text(const zn_expr *e, int least, zn_buf *out);

static void args_text(const zn_args *args, zn_buf *out) {
    for (const zn_arg *x = args->first; x; x = x->next) {
        if (x != args->first)
            zn_buf_puts(out, ", ");
        if (x->name)
            zn_buf_printf(out, "%s = ", x->name);
        expr_text(x->value, 0, out);
    }
}

static void string_text(const char *s, zn_buf *out) {
    zn_buf_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            zn_buf_printf(out, "\\%c", *s);
        else if (*s == '\n')
            zn_buf_puts(out, "\\n");
        else if (*s == '\t')
            zn_buf_puts(out, "\\t");
        else
            zn_buf_putc(out, *s);
    }
    zn_buf_putc(out, '"');
}

static void expr_text(const zn_expr *e, int least, zn_buf *out) {
    char num[ZN_NUMBER_MAX];
    int own = precedence(e);
    if (own < least)
        zn_buf_putc(out, '(');
    switch (e->kind) {
    case ZN_E_BAD:
        zn_buf_puts(out, "?");
        break;
    case ZN_E_INT:
        zn_buf_printf(out, "%" PRId64, e->i);
        break;
    case ZN_E_FLOAT:
        zn_f64_text(e->f, num);
        zn_buf_puts(out, num);
        break;
    case ZN_E_BOOL:
        zn_buf_puts(out, e->i ? "true" : "false");
        break;
    case ZN_E_STR:
        string_text(e->s, out);
        break;
    case ZN_E_NAME:
        zn_buf_puts(out, e->s);
        break;
    case ZN_E_IN:
        zn_buf_printf(out, "in.%s", e->s);
        break;
    case ZN_E_LIST:
        zn_buf_putc(out, '[');
        args_text(&e->args, out);
        zn_buf_putc(out, ']');
        break;
    case ZN_E_CALL:
        zn_buf_printf(out, "%s(", e->s);
        args_text(&e->args, out);
        zn_buf_putc(out, ')');
        break;
    case ZN_E_INDEX:
        expr_text(e->a, 9, out);
        zn_buf_putc(out, '[');
        expr_text(e->b, 0, out);
        zn_buf_putc(out, ']');
        break;
    case ZN_E_NOT:
    case ZN_E_NEG:
        zn_buf_putc(out, e->kind == ZN_E_NOT ? '!' : '-');
        expr_text(e->a, 8, out);
        break;
    case ZN_E_BINARY:
        expr_text(e->a, own, out);
        zn_buf_printf(out, " %s ", zn_bop_text[e->op]);
        expr_text(e->b, own + 1, out);
        break;
    case ZN_E_COND:
        expr_text(e->a, 2, out);
        zn_buf_puts(out, " ? ");
        expr_text(e->b, 0, out);
        zn_buf_puts(out, " : ");
        expr_text(e->c, 1, out);
        break;
    }
    if (own < least)
        zn_buf_putc(out, ')');
}

/* ---- the tree ---- */

static void open_node(zn_buf *out, int indent, const char *kind, zn_span at) {
    for (int i = 0; i < indent; i++)
        zn_buf_puts(out, "  ");
    zn_buf_printf(out, "(%s@%" PRIu32 ":%" PRIu32, kind, at.line, at.col);
}

static void print_body(const zn_body *b, int indent, zn_buf *out);

static void print_term(const zn_term *t, int indent, zn_buf *out) {
    static const char *const kinds[] = {"call", "residual", "repeat", "for", "if", "from"};
    open_node(out, indent, kinds[t->kind], t->at);
    if (t->label)
        zn_buf_printf(out, " label=%s", t->label);
    if (t->name)
        zn_buf_printf(out, " %s", t->name);
    if (t->value) {
        zn_buf_puts(out, " ");
        expr_text(t->value, 0, out);
    }
    if (t->args.n) {
        zn_buf_puts(out, " (");
        args_text(&t->args, out);
        zn_buf_puts(out, ")");
    }
    if (t->as)
        zn_buf_printf(out, " as=%s", t->as);
    if (t->body) {
        zn_buf_puts(out, "\n");
        print_body(t->body, indent + 1, out);
    }
    if (t->other) {
        zn_buf_puts(out, "\n");
        open_node(out, indent + 1, t->kind == ZN_TERM_IF ? "else" : "shortcut", t->other_at);
        zn_buf_puts(out, "\n");
        print_body(t->other, indent + 2, out);
        zn_buf_puts(out, ")");
    }
    zn_buf_puts(out, ")");
}

static void print_body(const zn_body *b, int indent, zn_buf *out) {
    for (const zn_term *t = b->first; t; t = t->next) {
        print_term(t, indent, out);
        if (t->next)
            zn_buf_puts(out, "\n");
    }
}

static void rules_text(const zn_rules *rules, zn_buf *out) {
    zn_buf_puts(out, "{");
    for (const zn_rule *r = rules->first; r; r = r->next) {
        zn_buf_printf(out, " %s = ", r->selector);
        expr_text(r->value, 0, out);
    }
    zn_buf_puts(out, " }");
}

static void print_section(const zn_section *s, zn_section_kind k, zn_buf *out) {
    open_node(out, 1, zn_section_names[k], s->at);
    for (const zn_entry *e = s->first; e; e = e->next) {
        zn_buf_puts(out, "\n");
        open_node(out, 2, e->key, e->at);
        zn_buf_puts(out, " ");
        if (e->value)
            expr_text(e->value, 0, out);
        else
            rules_text(&e->rules, out);
        zn_buf_puts(out, ")");
    }
    zn_buf_puts(out, ")\n");
}

void zn_ast_print(const zn_file *f, zn_buf *out) {
    static const char *const kinds[] = {"param", "let", "block"};
    zn_buf_puts(out, "(file\n");
    if (f->version) {
        open_node(out, 1, "znet", f->version->at);
        zn_buf_puts(out, " ");
        expr_text(f->version, 0, out);
        zn_buf_puts(out, ")\n");
    }
    for (const zn_decl *d = f->decls; d; d = d->next) {
        open_node(out, 1, kinds[d->kind], d->at);
        zn_buf_printf(out, " %s", d->name);
        if (d->value) {
            zn_buf_puts(out, " ");
            expr_text(d->value, 0, out);
        }
        for (const zn_formal *p = d->formals; p; p = p->next) {
            zn_buf_puts(out, "\n");
            open_node(out, 2, "parameter", p->at);
            zn_buf_printf(out, " %s", p->name);
            if (p->value) {
                zn_buf_puts(out, " ");
                expr_text(p->value, 0, out);
            }
            zn_buf_puts(out, ")");
        }
        if (d->body) {
            zn_buf_puts(out, "\n");
            print_body(d->body, 2, out);
        }
        zn_buf_puts(out, ")\n");
    }
    if (f->model) {
        open_node(out, 1, "model", f->model->at);
        zn_buf_printf(out, " %s\n", f->model->name);
        open_node(out, 2, "input", f->model->input_at);
        zn_buf_printf(out, " %s [", f->model->input);
        args_text(&f->model->dims, out);
        zn_buf_puts(out, "])\n");
        print_body(f->model->body, 2, out);
        zn_buf_puts(out, ")\n");
    }
    for (zn_section_kind k = 0; k < ZN_SECTION_COUNT; k++)
        if (f->section[k])
            print_section(f->section[k], k, out);
    zn_buf_puts(out, ")\n");
}
