/* The stream of tokens between scanner and parser: bracket matching, and skipping after a syntax error.
 *
 * After an error the parser waits in its innermost open brace. The stream hides everything up to the brace that closes
 * it, counting braces of what it skips. Where outline.c found a brace to be missing it is made up, with no length; one
 * that is too many is dropped. A section keyword inside braces (that is no argument name) closes them all. */
#include "frontend/parse.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "frontend/frontend.h"
#include "frontend/parser.h"
#include "ir/schema.h"
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

bool zn_parse_can_resume(const zn_parse *p) {
    return p->now.kind == 0 || zn_starts_section(p->now.kind);
}

static zn_token scan(zn_parse *p) {
    zn_token t = {0};
    t.kind = zn_scan(&t, p->scanner);
    if (t.kind == 0)
        t.loc = (zn_loc){{p->line, p->col, 0}, p->off};
    t.first = t.loc.at.line != p->last_line;
    p->last_line = t.loc.at.line;
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

static zn_token nothing(int kind, zn_loc at) {
    return (zn_token){.kind = kind, .loc = {{at.at.line, at.at.col, 0}, at.off}};
}

/* ---- repairs ---- */

static const char *token_text(zn_parse *p, const zn_token *t) {
    return t->kind ? zn_arena_printf(p->arena, "`%.*s`", (int)t->loc.at.len, p->text + t->loc.off)
                   : "the end of the file";
}

/* Notes a syntax error in the item that holds a place. */
static void damage(zn_parse *p, zn_loc at) {
    p->syntax_errors++;
    if (p->outline)
        zn_outline_damage(p->outline, at.off);
}

/* Whether the item of a brace has a syntax error already, of which this one may be a consequence. */
static bool is_consequence(const zn_parse *p, zn_loc brace) {
    return p->quiet || p->lenient || p->recovering || p->said == zn_outline_item(p->outline, brace.off);
}

static void report_missing(zn_parse *p, const zn_token *t, zn_loc open) {
    zn_diag *x = zn_parse_error(p, ZN_DIAG_SYNTAX, t->loc, "a `}` is missing before %s", token_text(p, t));
    zn_diag_note(p->d, x, ZN_NOTE_LABEL, zn_parse_span(p, open), "this brace is still open");
}

/* Does what the outline says before token t. False: nothing. */
static bool mend(zn_parse *p, zn_token *t) {
    zn_outline *o = p->outline;
    size_t k = p->repaired;
    while (o && k < o->repairs.n && o->tokens.at[o->repairs.at[k].token].loc.off < t->loc.off)
        k++;
    p->repaired = k;
    if (!o || k == o->repairs.n || o->tokens.at[o->repairs.at[k].token].loc.off != t->loc.off)
        return false;
    const zn_repair *r = &o->repairs.at[k];
    int brace = p->nopen - 1;
    while (brace >= 0 && p->open[brace].kind != '{')
        brace--;
    if (brace < 0 && !r->drop)
        return false;
    p->repaired++;
    bool silent = is_consequence(p, r->open) || (k > 0 && !r->drop && r[-1].token == r->token);
    p->lenient = false;
    damage(p, r->open);
    if (r->drop) {
        if (!silent) {
            zn_diag *x = zn_parse_error(p, ZN_DIAG_SYNTAX, t->loc, "this `}` is one too many");
            zn_diag_note(p->d, x, ZN_NOTE_LABEL, zn_parse_span(p, r->open), "it would close this brace");
        }
        return true;
    }
    if (!silent)
        report_missing(p, t, r->open);
    p->mended = t->loc.off;
    p->held = *t;
    p->holding = true;
    p->made = p->recovering;
    p->closing = p->recovering ? 0 : p->nopen - brace;
    p->making_up = !p->recovering;
    return true;
}

/* A section keyword where braces are open: one is missing before it, and those that are made up let it be read. */
static void close_before_section(zn_parse *p, zn_token *t) {
    if (p->recovering) {
        /* the parser has thrown away what was open inside its brace */
        p->nopen = 0;
        p->closing = p->level;
    } else {
        if (!p->quiet && !p->lenient)
            report_missing(p, t, innermost_brace(p)->loc);
        p->lenient = false;
        damage(p, innermost_brace(p)->loc);
        p->closing = p->nopen;
    }
    p->recovering = false;
    p->making_up = true;
    p->held = *t;
    p->holding = true;
}

/* While skipping: whether t begins the next entry of the section, or term of the body, in a line of its own. */
static bool resumes(zn_parse *p, const zn_token *t) {
    if (!p->resume_col || !t->first || t->loc.at.col != p->resume_col || braces(p) != p->level)
        return false;
    switch (t->kind) {
    case NAME:
        break;
    case K_DECAY:
        return p->resume_keys && next_is_assignment(p);
    case K_RESIDUAL:
    case K_REPEAT:
    case K_FOR:
    case K_IF:
    case K_FROM:
        return !p->resume_keys && !next_is_assignment(p);
    default:
        return false;
    }
    bool assigns = next_is_assignment(p);
    return p->resume_keys ? assigns : !assigns && p->peeked.kind != ',' && p->peeked.kind != ')';
}

/* Ends the skipping: a token that says so, and t behind it. */
static zn_token resume(zn_parse *p, const zn_token *t) {
    while (p->open[p->nopen - 1].kind != '{')
        p->nopen--;
    p->recovering = false;
    p->held = *t;
    p->holding = true;
    return nothing(RESUME, t->loc);
}

/* The brace in which the parser waits after an error. */
static void prepare_resume(zn_parse *p, const zn_item *item) {
    int n = 0, i = 0;
    for (; i < p->nopen && n < p->level; i++)
        n += p->open[i].kind == '{';
    p->resume_col = item && i && n == p->level && p->level > 0
                        ? zn_outline_column(p->outline, item, p->open[i - 1].loc, &p->resume_keys)
                        : 0;
}

/* The next token that the parser is to see. */
static zn_token deliver(zn_parse *p) {
    for (;;) {
        if (p->stop)
            return (zn_token){.kind = 0, .loc = p->now.loc};
        if (p->closing) {
            p->closing--;
            return nothing(p->nopen > 0 ? closer(p->open[--p->nopen].kind) : '}', p->held.loc);
        }
        if (p->resuming) {
            p->resuming = false;
            return nothing(RESUME, p->held.loc);
        }
        zn_token t;
        bool held = p->holding && !p->made;
        if (p->made) {
            t = nothing('}', p->held.loc);
            p->made = false;
        } else {
            t = held ? p->held : next(p);
            p->holding = false;
            if (mend(p, &t))
                continue;
            if (zn_starts_section(t.kind) && !held && p->nopen > 0 && (p->recovering || braces(p) > 0) &&
                !next_is_assignment(p)) {
                close_before_section(p, &t);
                continue;
            }
            if (held)
                p->making_up = false;
        }
        match(p, &t);
        if (p->recovering && resumes(p, &t))
            return resume(p, &t);
        if (p->recovering && t.kind != 0) {
            if (t.kind == '}' && p->level > 0 && braces(p) == p->level - 1)
                p->recovering = false;
            else if (zn_starts_section(t.kind) && p->level == 0 && p->nopen == 0)
                p->recovering = false;
            else
                continue;
        }
        if (t.kind == '}' && p->nopen == 0)
            p->closed = t.loc;
        return t;
    }
}

int zn_yylex(ZN_YYSTYPE *v, zn_loc *loc, zn_parse *p) {
    zn_token t;
    if (p->start) {
        t = (zn_token){.kind = p->start, .loc = {{p->first_line, 1, 0}, 0}};
        p->start = 0;
    } else {
        t = deliver(p);
    }
    p->before = p->now.kind;
    p->before_bad = p->now.v.bad;
    p->now = t;
    v->tok = t.v;
    *loc = t.loc;
    return t.kind;
}

/* ---- syntax errors ---- */

static bool is_layer(const char *name) {
    return zn_sig_from_name(ZN_GROUP_LAYER, name) != ZN_SIG_COUNT;
}

/* What people are used to from elsewhere. */
static void help(zn_parse *p, zn_diag *x, const zn_token *t, const char *expected) {
    bool top = strstr(expected, "a declaration or section") != NULL;
    const char *text = NULL;
    if (t->kind == STARSTAR)
        text = "there is no operator `**`; multiply instead";
    else if (top && t->kind == NAME && next_is_assignment(p))
        text = "a name gets its value by `let name = ...` or `param name = ...`; keys stand in `data { ... }` and "
               "`train { ... }`";
    else if (top && p->file->model && p->closed.at.line && t->kind != '}' && braces(p) == 0) {
        zn_diag_note(p->d, x, ZN_NOTE_LABEL, zn_parse_span(p, p->closed), "this brace ended what stands before it");
    } else if (top && (t->kind == K_INPUT || t->kind == K_RESIDUAL || t->kind == K_REPEAT ||
                       (t->kind == NAME && is_layer(t->v.s))))
        text = "the input and layers stand in a model: `model name { input image[h, w, c] ... }`";
    else if (t->kind == ',' && strstr(expected, "a layer"))
        text = "layers stand next to each other, without commas";
    else if (t->kind == ',' && strstr(expected, "a key"))
        text = "keys stand next to each other, without commas";
    else if (t->kind == ':' && strstr(expected, "`=`"))
        text = "a value is given with `=`";
    else if (t->kind == '=' && strstr(expected, "an expression") && strstr(expected, "`{`"))
        text = "a scheme stands behind `init` without `=`: `init zero`";
    if (text)
        zn_diag_note(p->d, x, ZN_NOTE_HELP, (zn_span){0}, "%s", text);
}

static void report(zn_parse *p, zn_loc at, const char *found, const char *expected) {
    const zn_token *t = &p->now;
    const struct zn_open *o = p->nopen ? &p->open[p->nopen - 1] : NULL;
    if (t->kind == SEGMENT && t->v.s[0] >= '0' && t->v.s[0] <= '9') {
        zn_parse_error(p, ZN_DIAG_NUMBER_FORM, at, "`.%s` is not a number; write `0.%s`", t->v.s, t->v.s);
        return;
    }
    zn_buf b = {0};
    if (t->v.s && t->kind != STRING)
        zn_buf_printf(&b, "`%s%s`", t->kind == SEGMENT ? "." : "", t->v.s);
    else if (t->kind == INT || t->kind == FLOAT)
        zn_buf_printf(&b, "`%.*s`", (int)at.at.len, p->text + at.off);
    else
        zn_buf_puts(&b, found);
    zn_diag *x = zn_parse_error(p, ZN_DIAG_SYNTAX, at, "found %s; expected %s", zn_buf_str(&b), expected);
    if (o && (t->kind == 0 || (o->kind != '{' && o->loc.at.line < t->loc.at.line)))
        zn_diag_note(p->d, x, ZN_NOTE_LABEL, zn_parse_span(p, o->loc), "this is still open");
    help(p, x, t, expected);
    zn_buf_free(&b);
}

/* An item has a `}` too many and a `{` may stand here: then this is where it is missing, and what follows is skipped
 * as if it stood in that brace. */
static void open_missing(zn_parse *p, const zn_item *item, const char *expected) {
    if (!item->extra || !strstr(expected, "`{`") || p->nopen == ZN_MAX_NESTING)
        return;
    p->open[p->nopen++] = (struct zn_open){'{', p->now.loc};
    while (p->repaired < p->outline->repairs.n && p->outline->repairs.at[p->repaired].token < item->end)
        p->repaired++;
}

void zn_parse_syntax_error(zn_parse *p, zn_loc at, const char *found, const char *expected) {
    const zn_token *t = &p->now;
    damage(p, at);
    p->wrong = t->loc.off;
    p->wrong_line = t->loc.at.line;
    p->file->nameless_value |= p->before == K_PARAM || p->before == K_LET;
    p->file->nameless_block |= p->before == K_BLOCK;
    if (p->making_up || p->stop)
        return;
    if (t->kind == RESUME) { /* the parser waits elsewhere: on to the next section, without the token that was held */
        p->holding = false;
        p->nopen = p->level = 0;
        p->resume_col = 0;
        p->recovering = true;
        return;
    }
    bool silent = p->quiet || p->lenient || t->after_bad || p->before_bad || (p->mended && p->mended == t->loc.off);
    p->lenient = false;
    int open = braces(p);
    zn_item *item = p->outline ? zn_outline_item(p->outline, at.off) : NULL;
    p->said = item;
    if (open - (t->kind == '{') == 0) {
        p->file->hole = true;
        if (item)
            item->hole = true;
        if (item && item != p->outline->items.at && p->outline->tokens.at[item->first].loc.off == at.off)
            item[-1].hole = true;
    }
    if (!silent)
        report(p, at, found, expected);
    if (t->kind == 0)
        return;
    if (t->kind == '}') {
        /* it has left the stack: what the parser has open is one more, unless there was nothing to close */
        if (p->closed_brace)
            return;
        p->level = open;
    } else if (zn_starts_section(t->kind) && open == 0) {
        p->nopen = 0;
        return;
    } else {
        p->level = open - (t->kind == '{');
        if (item && t->kind != '{')
            open_missing(p, item, expected);
    }
    prepare_resume(p, item);
    p->recovering = true;
    if (strcmp(expected, "`input`") != 0 && resumes(p, t)) { /* else it may be the input's name */
        (void)resume(p, t);
        p->resuming = true;
    }
}

/* ---- bytes ---- */

/* Nothing after the first byte that is not text can be trusted: the text ends there. */
static void end_text(zn_parse *p, size_t at) {
    while (at > 0 && (p->text[at - 1] == '_' || isalnum((unsigned char)p->text[at - 1])))
        at--; /* half a word is none */
    zn_lose_words(p->arena, p->file, p->text + at, p->n - at);
    p->file->hole = true;
    p->quiet = true;
    p->n = at;
}

/* False if there is nothing to read. */
static bool check_bytes(zn_parse *p) {
    zn_loc at = {{p->first_line, 1, 1}, 0};
    if (p->n > MAX_TEXT) {
        zn_parse_error(p, ZN_DIAG_SYNTAX, at, "the file is larger than %d bytes", (int)MAX_TEXT);
        return false;
    }
    for (size_t i = 0; i < p->n;) {
        const unsigned char *s = (const unsigned char *)p->text + i;
        size_t len = zn_utf8_length(p->text + i, p->n - i);
        if (len == 0) {
            zn_parse_error(p, ZN_DIAG_UTF8, at, "the byte 0x%02x is not UTF-8", (unsigned)*s);
            end_text(p, i);
            return true;
        }
        if (*s == 0) {
            zn_parse_error(p, ZN_DIAG_NUL_BYTE, at, "byte %zu of the file is NUL: it is not text", i + 1);
            end_text(p, i);
            return true;
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
    if (!p->option)
        p->outline = zn_outline_make(p->arena, p);
    zn_scan_open(p);
    if (zn_yyparse(p) != 0)
        p->syntax_errors++;
    zn_scan_close(p);
    if (p->quiet)
        p->syntax_errors++;
    if (p->outline)
        zn_outline_lose(p->arena, p->outline, p->file);
    if (p->stop && p->outline) /* too deep: the rest was not read */
        zn_lose_words(p->arena, p->file, p->text, p->n);
}

size_t zn_frontend_imports(zn_arena *a, const char *text, size_t n, uint32_t first_line, const zn_import **out) {
    zn_diags unheard = {0};
    zn_file file = {0};
    ZN_VEC(zn_import) list = {0};
    zn_parse p = {.arena = a, .d = &unheard, .file = &file, .first_line = first_line};
    size_t bom = zn_utf8_bom(text, n);
    int depth = 0, before = 0;
    p.text = text + bom;
    p.n = n - bom;
    if (p.n <= MAX_TEXT && !memchr(p.text, 0, p.n)) {
        zn_scan_open(&p);
        for (zn_token t; (t = scan(&p)).kind != 0; before = t.kind) {
            depth += (t.kind == '{') - (t.kind == '}' && depth > 0);
            if (depth == 0 && before == K_IMPORT && t.kind == STRING && !t.v.bad) {
                zn_import i = {t.v.s, t.loc.at};
                zn_vec_push(a, &list, i);
            }
        }
        zn_scan_close(&p);
    }
    zn_diags_free(&unheard);
    *out = list.at;
    return list.n;
}

bool zn_parse_file(zn_arena *a, const char *text, size_t n, uint32_t first_line, zn_diags *d, zn_file *file) {
    zn_parse *p = zn_new(a, zn_parse);
    p->first_line = first_line;
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
    p->first_line = 1;
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
