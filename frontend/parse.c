/* The stream of tokens between scanner and parser: bracket matching, and skipping after a syntax error.
 *
 * After an error the parser waits in its innermost open brace. The stream hides everything up to the brace that closes
 * it, counting braces of what it skips. A section keyword inside braces (that is no argument name) means that a brace
 * is missing: the closing ones are made up, so that the sections after it are read. */
#include "frontend/parse.h"

#include <stdarg.h>
#include <string.h>

#include "frontend/parser.h"
#include "support/utf8.h"

enum { MAX_TEXT = 1 << 28 };

int zn_yylex(ZN_YYSTYPE *v, zn_loc *loc, zn_parse *p);

zn_span zn_parse_span(const zn_parse *p, zn_loc at) {
    return p->option ? (zn_span){0} : at.at;
}

zn_diag *zn_parse_error(zn_parse *p, zn_diag_id id, zn_loc at, const char *fmt, ...) {
    zn_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    zn_diag *x = p->option ? zn_diag_add(p->d, id, (zn_span){0}, "in `%s`: %s", p->option, zn_buf_str(&b))
                           : zn_diag_add(p->d, id, at.at, "%s", zn_buf_str(&b));
    zn_buf_free(&b);
    return x;
}

/* ---- brackets ---- */

static int braces(const zn_parse *p) {
    int n = 0;
    for (int i = 0; i < p->nopen; i++)
        n += p->open[i].kind == '{';
    return n;
}

static const struct zn_open *innermost_brace(const zn_parse *p) {
    for (int i = p->nopen - 1; i >= 0; i--)
        if (p->open[i].kind == '{')
            return &p->open[i];
    return NULL;
}

static int opener(int closer) {
    return closer == ')' ? '(' : closer == ']' ? '[' : '{';
}
static int closer(int open) {
    return open == '(' ? ')' : open == '[' ? ']' : '}';
}

static void match(zn_parse *p, const zn_token *t) {
    p->closed_brace = false;
    switch (t->kind) {
    case '(':
    case '[':
    case '{':
        if (p->nopen == ZN_MAX_NESTING) {
            if (!p->quiet)
                zn_parse_error(p, ZN_DIAG_NESTING, t->loc, "this is nested more than %d levels deep",
                               (int)ZN_MAX_NESTING);
            p->stop = p->quiet = true;
            return;
        }
        p->open[p->nopen++] = (struct zn_open){t->kind, t->loc};
        return;
    case ')':
    case ']':
    case '}':
        /* one that is missing further in does not count, but a parenthesis closes no brace */
        for (int i = p->nopen - 1; i >= 0; i--) {
            if (p->open[i].kind == opener(t->kind)) {
                p->nopen = i;
                p->closed_brace = t->kind == '}';
                return;
            }
            if (p->open[i].kind == '{')
                return;
        }
        return;
    default:
        return;
    }
}

/* ---- tokens ---- */

static bool starts_section(int kind) {
    switch (kind) {
    case K_IMPORT:
    case K_PARAM:
    case K_LET:
    case K_BLOCK:
    case K_MODEL:
    case K_DATA:
    case K_INIT:
    case K_TRAIN:
        return true;
    default:
        return false;
    }
}

bool zn_parse_can_resume(const zn_parse *p) {
    return p->now.kind == 0 || starts_section(p->now.kind);
}

static zn_token scan(zn_parse *p) {
    zn_token t = {0};
    t.kind = zn_scan(&t, p->scanner);
    if (t.kind == 0)
        t.loc = (zn_loc){{p->line, p->col, 0}, p->off};
    t.after_bad = p->dropped;
    p->dropped = false;
    return t;
}

static zn_token next(zn_parse *p) {
    if (!p->has_peeked)
        return scan(p);
    p->has_peeked = false;
    return p->peeked;
}

static bool next_is_assignment(zn_parse *p) {
    if (!p->has_peeked) {
        p->peeked = scan(p);
        p->has_peeked = true;
    }
    return p->peeked.kind == '=';
}

/* The next token that the parser is to see. */
static zn_token deliver(zn_parse *p) {
    for (;;) {
        if (p->stop)
            return (zn_token){.kind = 0, .loc = p->now.loc};
        if (p->closing) {
            p->closing--;
            int kind = p->nopen > 0 ? closer(p->open[--p->nopen].kind) : '}';
            return (zn_token){.kind = kind, .loc = {{p->now.loc.at.line, p->now.loc.at.col, 0}, p->now.loc.off}};
        }
        zn_token t;
        bool held = p->holding;
        if (held) {
            t = p->held;
            p->holding = false;
        } else {
            t = next(p);
        }
        if (starts_section(t.kind) && !held && p->nopen > 0 && (p->recovering || braces(p) > 0) &&
            !next_is_assignment(p)) {
            if (p->recovering) {
                /* the parser has thrown away what was open inside its brace */
                p->nopen = 0;
                p->closing = p->level;
            } else {
                zn_diag *x = NULL;
                const struct zn_open *o = innermost_brace(p);
                if (!p->quiet && !p->lenient) {
                    x = zn_parse_error(p, ZN_DIAG_SYNTAX, t.loc,
                                       "found `%s` inside of braces; a `}` is missing before it", t.v.s);
                    zn_diag_note(p->d, x, ZN_NOTE_LABEL, zn_parse_span(p, o->loc), "this brace is still open");
                }
                p->lenient = false;
                p->syntax_errors++;
                p->closing = p->nopen;
            }
            p->recovering = false;
            p->making_up = true;
            p->held = t;
            p->holding = true;
            continue;
        }
        if (held)
            p->making_up = false;
        match(p, &t);
        if (p->recovering && t.kind != 0) {
            if (t.kind == '}' && p->level > 0 && braces(p) == p->level - 1)
                p->recovering = false;
            else if (starts_section(t.kind) && p->level == 0 && p->nopen == 0)
                p->recovering = false;
            else
                continue;
        }
        return t;
    }
}

int zn_yylex(ZN_YYSTYPE *v, zn_loc *loc, zn_parse *p) {
    zn_token t;
    if (p->start) {
        t = (zn_token){.kind = p->start, .loc = {{1, 1, 0}, 0}};
        p->start = 0;
    } else {
        t = deliver(p);
    }
    p->now = t;
    v->tok = t.v;
    *loc = t.loc;
    return t.kind;
}

void zn_parse_syntax_error(zn_parse *p, zn_loc at, const char *found, const char *expected) {
    p->syntax_errors++;
    if (p->making_up || p->stop)
        return;
    const zn_token *t = &p->now;
    const struct zn_open *o = p->nopen ? &p->open[p->nopen - 1] : NULL;
    bool silent = p->quiet || p->lenient || t->after_bad;
    p->lenient = false;
    if (!silent) {
        if (t->kind == SEGMENT && t->v.s[0] >= '0' && t->v.s[0] <= '9') {
            zn_parse_error(p, ZN_DIAG_NUMBER_FORM, at, "`.%s` is not a number; write `0.%s`", t->v.s, t->v.s);
        } else {
            zn_buf b = {0};
            if (t->v.s && t->kind != STRING)
                zn_buf_printf(&b, "`%s%s`", t->kind == SEGMENT ? "." : "", t->v.s);
            else if (t->kind == INT || t->kind == FLOAT)
                zn_buf_printf(&b, "`%.*s`", (int)at.at.len, p->text + at.off);
            else
                zn_buf_puts(&b, found);
            zn_diag *x = zn_parse_error(p, ZN_DIAG_SYNTAX, at, "found %s; expected %s", zn_buf_str(&b), expected);
            if (t->kind == 0 && o)
                zn_diag_note(p->d, x, ZN_NOTE_LABEL, zn_parse_span(p, o->loc), "this is still open");
            if (t->kind == STARSTAR)
                zn_diag_note(p->d, x, ZN_NOTE_HELP, (zn_span){0}, "there is no operator `**`; multiply instead");
            zn_buf_free(&b);
        }
    }
    int open = braces(p);
    if (t->kind == 0)
        return;
    if (t->kind == '}') {
        /* it has left the stack: what the parser has open is one more, unless there was nothing to close */
        if (p->closed_brace)
            return;
        p->level = open;
    } else if (starts_section(t->kind) && open == 0) {
        p->nopen = 0;
        return;
    } else {
        p->level = open - (t->kind == '{');
    }
    p->recovering = true;
}

/* ---- bytes ---- */

/* The first byte that is not text, if any, is the only error then: nothing after it can be trusted. */
static bool check_bytes(zn_parse *p) {
    zn_loc at = {{1, 1, 1}, 0};
    if (p->n > MAX_TEXT) {
        zn_parse_error(p, ZN_DIAG_SYNTAX, at, "the file is larger than %d bytes", (int)MAX_TEXT);
        return false;
    }
    for (size_t i = 0; i < p->n;) {
        const unsigned char *s = (const unsigned char *)p->text + i;
        size_t len = zn_utf8_length(p->text + i, p->n - i);
        if (len == 0) {
            zn_parse_error(p, ZN_DIAG_UTF8, at, "the byte 0x%02x is not UTF-8", (unsigned)*s);
            return false;
        }
        if (*s == 0) {
            zn_parse_error(p, ZN_DIAG_NUL_BYTE, at, "this is a NUL byte; the file is not text");
            return false;
        }
        if (*s == '\n') {
            at.at.line++;
            at.at.col = 1;
        } else {
            at.at.col += (uint32_t)len;
        }
        i += len;
    }
    return true;
}

static void run(zn_parse *p) {
    if (!check_bytes(p)) {
        p->syntax_errors++;
        return;
    }
    zn_scan_open(p);
    if (zn_yyparse(p) != 0)
        p->syntax_errors++;
    zn_scan_close(p);
    if (p->quiet)
        p->syntax_errors++;
}

bool zn_parse_file(zn_arena *a, const char *text, size_t n, zn_diags *d, zn_file *file) {
    zn_parse *p = zn_new(a, zn_parse);
    p->arena = a;
    p->d = d;
    size_t bom = zn_utf8_bom(text, n);
    p->text = text + bom;
    p->n = n - bom;
    p->file = file;
    p->start = START_FILE;
    run(p);
    return p->syntax_errors == 0;
}

zn_expr *zn_parse_option(zn_arena *a, const char *text, const char *option, zn_diags *d) {
    zn_parse *p = zn_new(a, zn_parse);
    zn_file file = {0};
    p->arena = a;
    p->d = d;
    p->text = text;
    p->n = strlen(text);
    p->file = &file;
    p->option = option;
    p->start = START_EXPR;
    run(p);
    return p->syntax_errors == 0 ? p->expr : NULL;
}
