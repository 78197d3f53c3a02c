/* Reader of IR text (docs/ir.md): recursive descent over a flat token stream, no recursion deeper than two calls.
 *
 * The text is not trusted: counts, numbers and references are checked; the first error stops the reading. Whether
 * operations fit together is the verifier's question, asked at the end. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/module.h"
#include "ir/schema.h"
#include "ir/text.h"
#include "support/ice.h"
#include "support/number.h"
#include "support/table.h"

typedef enum { T_END, T_WORD, T_NUMBER, T_STRING, T_VALUE, T_PUNCT, T_BAD } token_kind;

typedef struct reader {
    zn_module *m;
    const char *at, *end;
    uint32_t line;
    const char *line_start;
    zn_diags *d; /* may be NULL */
    bool failed;
    token_kind kind; /* the token under the cursor */
    const char *tok;
    size_t len;
    char *str;       /* of T_STRING, T_WORD and T_VALUE (without its %), in the arena */
    zn_table values; /* of this function, by name */
    zn_table reads;  /* of parameters, by name: a value each, made where the first of its uses is */
} reader;

static zn_span here(const reader *r) {
    return (zn_span){r->line, (uint32_t)(r->tok - r->line_start) + 1, (uint32_t)(r->len ? r->len : 1)};
}

__attribute__((format(printf, 2, 3))) static bool fail(reader *r, const char *fmt, ...) {
    if (!r->failed && r->d) {
        char text[256];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        zn_diag_add(r->d, ZN_DIAG_ZIR_SYNTAX, here(r), "%s", text);
    }
    r->failed = true;
    r->kind = T_BAD;
    return false;
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void next_string(reader *r) {
    const char *p = r->at + 1, *stop = p;
    while (stop < r->end && *stop != '"' && *stop != '\n')
        stop += *stop == '\\' && stop + 1 < r->end ? 2 : 1;
    char *out = zn_arena_alloc(&r->m->arena, (size_t)(stop - p) + 1, 1);
    size_t n = 0;
    while (p < r->end && *p != '"' && *p != '\n') {
        char c = *p++;
        if (c == '\\' && p < r->end) {
            c = *p++;
            if (c == 'n')
                c = '\n';
            else if (c == 't')
                c = '\t';
            else if (c == 'x' && r->end - p >= 2 && hex(p[0]) >= 0 && hex(p[1]) >= 0) {
                c = (char)(hex(p[0]) * 16 + hex(p[1]));
                p += 2;
            } else if (c != '"' && c != '\\') {
                fail(r, "unknown escape in a string");
                return;
            }
        }
        if (!c) {
            fail(r, "a string holds a NUL byte");
            return;
        }
        out[n++] = c;
    }
    if (p >= r->end || *p != '"') {
        fail(r, "unterminated string");
        return;
    }
    r->kind = T_STRING;
    r->str = out;
    r->at = p + 1;
    r->len = (size_t)(r->at - r->tok);
}

static bool word_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static void next(reader *r) {
    if (r->failed)
        return;
    for (;;) {
        while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
            if (*r->at == '\n') {
                r->line++;
                r->line_start = r->at + 1;
            }
            r->at++;
        }
        if (r->at < r->end && *r->at == '#')
            while (r->at < r->end && *r->at != '\n')
                r->at++;
        else
            break;
    }
    r->tok = r->at;
    r->len = 0;
    if (r->at >= r->end) {
        r->kind = T_END;
        return;
    }
    char c = *r->at;
    if (c == '"') {
        next_string(r);
        return;
    }
    const char *p = r->at + 1;
    if (c == '%') {
        while (p < r->end && word_char(*p))
            p++;
        r->kind = p > r->at + 1 ? T_VALUE : T_BAD;
    } else if (isdigit((unsigned char)c) || (c == '-' && p < r->end && (isdigit((unsigned char)*p) || *p == 'i'))) {
        while (p < r->end && (word_char(*p) || ((*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E'))))
            p++;
        r->kind = T_NUMBER;
    } else if (isalpha((unsigned char)c) || c == '_' || c == '@') {
        while (p < r->end && word_char(*p))
            p++;
        r->kind = T_WORD;
    } else {
        r->kind = T_PUNCT;
    }
    r->len = (size_t)(p - r->at);
    r->at = p;
    if (r->kind == T_BAD)
        fail(r, "expected a value's name after %%");
    if (r->kind == T_WORD)
        r->str = zn_arena_strndup(&r->m->arena, r->tok, r->len);
    if (r->kind == T_VALUE)
        r->str = zn_arena_strndup(&r->m->arena, r->tok + 1, r->len - 1);
}

static bool is(const reader *r, const char *text) {
    return (r->kind == T_WORD || r->kind == T_PUNCT) && r->len == strlen(text) && !memcmp(r->tok, text, r->len);
}
static bool take(reader *r, const char *text) {
    if (!is(r, text))
        return false;
    next(r);
    return !r->failed;
}
static bool expect(reader *r, const char *text) {
    return take(r, text) || fail(r, "expected `%s`", text);
}

static bool read_int(reader *r, int64_t *out) {
    if (r->kind != T_NUMBER || !zn_i64_parse(r->tok, r->len, out))
        return fail(r, "expected a whole number");
    next(r);
    return !r->failed;
}

static bool read_float(reader *r, double *out) {
    bool negative = r->kind == T_NUMBER && r->len == 4 && !memcmp(r->tok, "-inf", 4);
    if (negative || is(r, "inf") || is(r, "nan")) {
        *out = (double)(is(r, "nan") ? NAN : negative ? -INFINITY : INFINITY);
        next(r);
        return !r->failed;
    }
    if ((r->kind != T_NUMBER && r->kind != T_WORD) || !zn_f64_parse(r->tok, r->len, out))
        return fail(r, "expected a number");
    next(r);
    return !r->failed;
}

static bool read_string(reader *r, const char **out) {
    if (r->kind != T_STRING)
        return fail(r, "expected a string");
    *out = r->str;
    next(r);
    return !r->failed;
}

static bool read_attr(reader *r, zn_attr_kind kind, zn_attr *a) {
    *a = (zn_attr){0};
    switch (kind) {
    case ZN_ATTR_INT:
        return read_int(r, &a->i);
    case ZN_ATTR_FLOAT:
        return read_float(r, &a->f);
    case ZN_ATTR_STR:
        return read_string(r, &a->s);
    case ZN_ATTR_BOOL:
        a->i = is(r, "true");
        return take(r, "true") || take(r, "false") || fail(r, "expected true or false");
    case ZN_ATTR_INTS:
        break;
    }
    if (!expect(r, "["))
        return false;
    while (!is(r, "]")) {
        if (a->n == ZN_INTS_MAX)
            return fail(r, "more than %d numbers", ZN_INTS_MAX);
        if ((a->n && !expect(r, ",")) || !read_int(r, &a->v[a->n]))
            return false;
        a->n++;
    }
    return expect(r, "]");
}

static reader reader_open(zn_module *m, const char *text, size_t n, zn_diags *d) {
    reader r = {.m = m, .at = text, .end = text + n, .line = 1, .line_start = text, .d = d, .tok = text};
    next(&r);
    return r;
}

bool zn_attr_read(zn_module *m, zn_attr_kind kind, const char *text, zn_attr *out) {
    reader r = reader_open(m, text, strlen(text), NULL);
    return read_attr(&r, kind, out) && r.kind == T_END;
}

static bool read_type(reader *r, zn_type *t) {
    *t = (zn_type){.dtype = is(r, "i32") ? ZN_I32 : ZN_F32};
    if (!take(r, "f32") && !take(r, "i32"))
        return fail(r, "expected a type");
    if (!expect(r, "["))
        return false;
    while (!is(r, "]")) {
        if (t->rank == ZN_MAX_RANK)
            return fail(r, "more than %d dimensions", ZN_MAX_RANK);
        if ((t->rank && !expect(r, ",")) || !read_int(r, &t->dim[t->rank]))
            return false;
        t->rank++;
    }
    if (!zn_type_valid(t))
        return fail(r, "dimensions must be at least 1 and not too many elements");
    return expect(r, "]");
}

static bool read_u32(reader *r, uint32_t *out) {
    int64_t x;
    if (!read_int(r, &x))
        return false;
    if (x < 0 || x > UINT32_MAX)
        return fail(r, "number out of range");
    *out = (uint32_t)x;
    return true;
}

static bool read_loc(reader *r, zn_span *s) {
    *s = (zn_span){0};
    if (!take(r, "loc"))
        return !r->failed;
    return expect(r, "(") && read_u32(r, &s->line) && expect(r, ":") && read_u32(r, &s->col) && expect(r, "+") &&
           read_u32(r, &s->len) && expect(r, ")");
}

static bool read_param_name(reader *r, const char **out);

/* Groups of an identity: `(spanning)`, `(n groups)` or nothing. */
static bool read_identity(reader *r, zn_formula *f) {
    int64_t groups;
    f->a = 1;
    if (!take(r, "("))
        return true;
    f->spanning = take(r, "spanning");
    if (f->spanning)
        return expect(r, ")");
    if (!read_int(r, &groups) || !expect(r, "groups") || !expect(r, ")"))
        return false;
    if (groups < 1 || groups > 1 << 24)
        return fail(r, "groups must be between 1 and 2^24");
    f->a = (float)groups;
    return true;
}

/* `dirac +` or `dirac(n groups) +` in front of a formula. */
static bool read_dirac(reader *r, zn_formula *f) {
    if (!take(r, "dirac"))
        return !r->failed;
    f->dirac = 1;
    if (take(r, "(") && (!read_u32(r, &f->dirac) || !expect(r, "groups") || !expect(r, ")")))
        return false;
    if (f->dirac < 1 || f->dirac > 1 << 24)
        return fail(r, "groups must be between 1 and 2^24");
    return expect(r, "+");
}

static bool read_formula(reader *r, zn_formula *f) {
    *f = zn_formula_const(0);
    if (!read_dirac(r, f))
        return false;
    if (take(r, "zeros"))
        return true;
    if (take(r, "ones")) {
        f->a = 1;
        return true;
    }
    int kind = 0;
    while (kind < ZN_FORMULA_COUNT && !is(r, zn_formula_names[kind]))
        kind++;
    if (kind == ZN_FORMULA_COUNT)
        return fail(r, "expected a formula");
    f->kind = (zn_formula_kind)kind;
    next(r);
    if (f->kind == ZN_FORMULA_IDENTITY)
        return read_identity(r, f);
    if (f->kind == ZN_FORMULA_MIRRORED || f->kind == ZN_FORMULA_LOOKS_LINEAR)
        return !r->failed;
    double a;
    if (!expect(r, "(") || !read_float(r, &a))
        return false;
    f->a = (float)a;
    if (f->kind == ZN_FORMULA_DENSE_HADAMARD && (!expect(r, ",") || !read_int(r, &f->q)))
        return false;
    if (f->kind == ZN_FORMULA_LOOKS_LINEAR_LESS_PRODUCT &&
        (!expect(r, ",") || !read_param_name(r, &f->of[0]) || !expect(r, ",") || !read_param_name(r, &f->of[1]) ||
         !expect(r, ",") || !read_int(r, &f->inner)))
        return false;
    if ((f->kind == ZN_FORMULA_HADAMARD || f->kind == ZN_FORMULA_DENSE_HADAMARD) && take(r, ","))
        f->spanning = expect(r, "spanning");
    return expect(r, ")");
}

/* What follows a formula: then kind(number, count) */
static bool read_calibration(reader *r, zn_calibration *c) {
    *c = (zn_calibration){0};
    if (!take(r, "then"))
        return !r->failed;
    int kind = ZN_CALIBRATION_NONE + 1;
    while (kind < ZN_CALIBRATION_COUNT && !is(r, zn_calibration_names[kind]))
        kind++;
    if (kind == ZN_CALIBRATION_COUNT)
        return fail(r, "expected a calibration");
    c->kind = (zn_calibration_kind)kind;
    next(r);
    return expect(r, "(") && read_float(r, &c->a) && expect(r, ",") && read_int(r, &c->n) && expect(r, ")");
}

/* Parts between dots begin with a letter, so that a key can be divided into a section and a key at any dot. */
static bool is_key(const char *key) {
    for (const char *p = key; p; p = strchr(p, '.')) {
        p += *p == '.';
        if (!isalpha((unsigned char)*p) && *p != '_')
            return false;
    }
    return true;
}

/* key = value, of a section: "" or its name and a dot */
static bool read_conf(reader *r, const char *section) {
    if (r->kind != T_WORD)
        return fail(r, "expected a key");
    const char *key = zn_arena_printf(&r->m->arena, "%s%s", section, r->str);
    if (!is_key(key))
        return fail(r, "`%s` is no key", key);
    next(r);
    if (zn_conf_get(r->m, key))
        return fail(r, "`%s` is set twice", key);
    if (!expect(r, "="))
        return false;
    zn_conf c = {0};
    ZN_VEC(double) list = {0};
    if (r->kind == T_STRING) {
        c.kind = ZN_CONF_STR;
        const char *words = zn_option_refused(key, r->str);
        if (words)
            return fail(r, "`%s` is `%s`; it may be %s", key, r->str, words);
        read_string(r, &c.s);
    } else if (is(r, "true") || is(r, "false")) {
        c.kind = ZN_CONF_BOOL;
        c.i = is(r, "true");
        next(r);
    } else if (take(r, "[")) {
        c.kind = ZN_CONF_FLOATS;
        while (!is(r, "]") && !r->failed) {
            double x;
            if ((list.n && !expect(r, ",")) || !read_float(r, &x))
                return false;
            zn_vec_push(&r->m->arena, &list, x);
        }
        expect(r, "]");
    } else if (r->kind == T_NUMBER && zn_i64_parse(r->tok, r->len, &c.i)) {
        c.kind = ZN_CONF_INT;
        next(r);
    } else {
        c.kind = ZN_CONF_FLOAT;
        read_float(r, &c.f);
    }
    if (r->failed || !read_loc(r, &c.span))
        return false;
    switch (c.kind) {
    case ZN_CONF_INT:
        zn_conf_set_int(r->m, key, c.i, c.span);
        break;
    case ZN_CONF_FLOAT:
        zn_conf_set_float(r->m, key, c.f, c.span);
        break;
    case ZN_CONF_BOOL:
        zn_conf_set_bool(r->m, key, c.i, c.span);
        break;
    case ZN_CONF_STR:
        zn_conf_set_str(r->m, key, c.s, c.span);
        break;
    case ZN_CONF_FLOATS:
        zn_conf_set_floats(r->m, key, list.n, list.at, c.span);
        break;
    }
    return true;
}

/* conf section { key = value ... } */
static bool read_confs(reader *r) {
    const char *section = "";
    if (r->kind == T_WORD) {
        section = zn_arena_printf(&r->m->arena, "%s.", r->str);
        next(r);
    }
    if (!expect(r, "{"))
        return false;
    while (!take(r, "}"))
        if (r->failed || !read_conf(r, section))
            return false;
    return true;
}

/* @name, or @ and a string */
static bool read_param_name(reader *r, const char **out) {
    if (r->kind != T_WORD || r->tok[0] != '@')
        return fail(r, "expected a parameter's @name");
    if (r->len > 1) {
        *out = r->str + 1;
        next(r);
        return !r->failed;
    }
    next(r);
    return read_string(r, out);
}

static bool read_param(reader *r) {
    const char *name = "";
    zn_type type;
    zn_formula init;
    zn_calibration calibration;
    double decay = 0, rate = 1, freeze = HUGE_VAL;
    zn_span span;
    int role = 0;
    if (!read_param_name(r, &name) || !expect(r, ":") || !read_type(r, &type))
        return false;
    while (role < ZN_ROLE_COUNT && !is(r, zn_role_names[role]))
        role++;
    if (role == ZN_ROLE_COUNT)
        return fail(r, "expected the role of the parameter");
    next(r);
    if (!expect(r, "init") || !read_formula(r, &init) || !read_calibration(r, &calibration) ||
        (take(r, "decay") && !read_float(r, &decay)) || (take(r, "rate") && !read_float(r, &rate)) ||
        (take(r, "freeze") && !read_float(r, &freeze)) || !read_loc(r, &span))
        return false;
    if (zn_param_find(r->m, name))
        return fail(r, "two parameters are called `%s`", name);
    zn_param *p = zn_param_new(r->m, name, type, (zn_role)role, init, span);
    p->calibration = calibration;
    p->decay = (float)decay;
    p->rate = (float)rate;
    p->freeze = freeze;
    return true;
}

static bool define(reader *r, const char *name, zn_value *v) {
    zn_value **at = (zn_value **)zn_table_at(&r->m->arena, &r->values, name);
    if (*at)
        return fail(r, "%%%s is defined twice", name);
    *at = v;
    v->name = name;
    return true;
}

static bool read_use(reader *r, zn_func *f, zn_value **out) {
    const char *name = NULL;
    if (r->kind == T_VALUE) {
        *out = zn_table_get(&r->values, r->str);
        if (!*out)
            return fail(r, "%%%s is not defined here", r->str);
        next(r);
        return !r->failed;
    }
    if (!read_param_name(r, &name))
        return false;
    const zn_param *p = zn_param_find(r->m, name);
    if (!p)
        return fail(r, "no parameter is called `%s`", name);
    zn_value **at = (zn_value **)zn_table_at(&r->m->arena, &r->reads, p->name);
    if (!*at)
        *at = zn_param_read(r->m, f, NULL, p, "");
    *out = *at;
    return true;
}

static bool read_attrs(reader *r, zn_value *v) {
    int first = zn_op_attr_first(v->op), n = zn_op_attr_count(v->op);
    unsigned seen = 0;
    if (zn_text_param_attr(v->op) >= 0) /* it stood as operand */
        seen |= 1u << zn_text_param_attr(v->op);
    if (take(r, "{")) {
        do {
            int i = 0;
            while (i < n && !is(r, zn_attr_table[first + i].name))
                i++;
            if (i == n || seen >> i & 1)
                return fail(r, "`%s` has no such attribute, or it stands twice", zn_op_table[v->op].text);
            seen |= 1u << i;
            next(r);
            if (!expect(r, "=") || !read_attr(r, zn_attr_table[first + i].kind, &v->attr[i]))
                return false;
        } while (take(r, ","));
        if (!expect(r, "}"))
            return false;
    }
    for (int i = 0; i < n; i++)
        if (!zn_attr_table[first + i].def[0] && !(seen >> i & 1))
            return fail(r, "`%s` needs the attribute `%s`", zn_op_table[v->op].text, zn_attr_table[first + i].name);
    return true;
}

/* What follows a value's type. */
static bool read_notes(reader *r, zn_value *v) {
    int64_t group;
    if (v->name)
        v->path = zn_arena_strndup(&r->m->arena, v->name, zn_name_path(v->name, v->op));
    if (take(r, "path") && !read_string(r, &v->path))
        return false;
    if (take(r, "group")) {
        if (!read_int(r, &group) || group < 0 || group > 10000000)
            return fail(r, "bad group");
        v->group = (int)group;
    }
    v->keep = take(r, "keep");
    return read_loc(r, &v->span);
}

static bool read_value(reader *r, zn_func *f) {
    const char *name = NULL, *param = NULL;
    if (r->kind == T_VALUE) {
        name = r->str;
        next(r);
        if (!expect(r, "="))
            return false;
    }
    zn_op op = r->kind == T_WORD ? zn_op_from_text(r->str) : ZN_OP_COUNT;
    if (op == ZN_OP_COUNT || op == ZN_OP_ARG || op == ZN_OP_PARAM)
        return fail(r, "expected an operation");
    if (!name != !!(zn_op_table[op].traits & ZN_T_EFFECT))
        return fail(r, "`%s` %s", zn_op_table[op].text, name ? "has no result" : "has a result");
    zn_value *operand[8];
    int n = 0;
    next(r);
    bool first = zn_text_param_attr(op) < 0;
    if (!first && !read_param_name(r, &param))
        return false;
    while (r->kind == T_VALUE || (first && r->kind == T_WORD && r->tok[0] == '@') || (!first && is(r, ","))) {
        if (n == 8)
            return fail(r, "too many operands");
        if ((!first && !expect(r, ",")) || !read_use(r, f, &operand[n]))
            return false;
        first = false;
        n++;
    }
    if (n != zn_op_table[op].operands)
        return fail(r, "`%s` takes %d operands", zn_op_table[op].text, zn_op_table[op].operands);
    zn_value *v = zn_value_new(r->m, f, NULL, op, n, operand, (zn_span){0}, "");
    if (param)
        v->attr[zn_text_param_attr(op)].s = param;
    return read_attrs(r, v) && expect(r, ":") && read_type(r, &v->type) && (!name || define(r, name, v)) &&
           read_notes(r, v);
}

static bool read_func(reader *r) {
    if (r->kind != T_WORD || r->tok[0] != '@' || r->len < 2)
        return fail(r, "expected the function's @name");
    const char *name = r->str + 1;
    zn_span at = here(r);
    if (zn_func_find(r->m, name))
        return fail(r, "two functions are called @%s", name);
    zn_func *f = zn_func_new(r->m, name);
    f->text = at;
    r->values = r->reads = (zn_table){0};
    next(r);
    if (!expect(r, "("))
        return false;
    while (!is(r, ")")) {
        zn_type type;
        if (f->args.n && !expect(r, ","))
            return false;
        if (r->kind != T_VALUE)
            return fail(r, "expected a value");
        const char *arg = r->str;
        next(r);
        if (!expect(r, ":") || !read_type(r, &type) || !define(r, arg, zn_arg_new(r->m, f, type, arg)))
            return false;
    }
    if (!expect(r, ")") || !expect(r, "{"))
        return false;
    while (!take(r, "return"))
        if (r->failed || !read_value(r, f))
            return false;
    while (!is(r, "}") && !r->failed) {
        zn_value *v;
        if ((f->results.n && !expect(r, ",")) || !read_use(r, f, &v))
            return false;
        zn_func_return(r->m, f, v);
    }
    return expect(r, "}");
}

zn_module *zn_module_parse(const char *text, size_t n, zn_diags *d) {
    zn_module *m = zn_module_new("");
    reader r = reader_open(m, text, n, d);
    bool ok = expect(&r, "zir");
    int64_t version = 0;
    ok = ok && read_int(&r, &version);
    if (ok && version != 2)
        ok = fail(&r, "this text is version %lld; known is version 2", (long long)version);
    ok = ok && expect(&r, "module") && read_string(&r, &m->name);
    while (ok && r.kind != T_END) {
        if (take(&r, "conf"))
            ok = read_confs(&r);
        else if (take(&r, "param"))
            ok = read_param(&r);
        else if (take(&r, "func"))
            ok = read_func(&r);
        else
            ok = fail(&r, "expected conf, param or func");
    }
    if (ok && !r.failed && zn_module_verify(m, d))
        return m;
    zn_module_free(m);
    return NULL;
}
