/* Diagnostics as text with carets, and as JSON lines.
 *
 * The source is shown as it is, but for bytes that would disturb a terminal: those become `?`. Carets stand under code
 * points, and tabs are copied into the caret line, so that they line up whatever a tab is wide. Of each code the first
 * 20 are shown and the others counted: a mistake that repeats does not hide another. */
#include "driver/render.h"

#include <inttypes.h>
#include <string.h>

#include "support/utf8.h"

enum { WINDOW = 140, CONTEXT = 50 }; /* of a long line: code points shown, and those before the span */
enum { SHOWN = 20 };                 /* diagnostics of one code; the others are counted */

typedef struct style {
    const char *error, *warning, *help, *gutter, *bold, *off;
} style;
static const style plain = {"", "", "", "", "", ""};
static const style colored = {"\x1b[1;31m", "\x1b[1;33m", "\x1b[1;32m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"};

/* ---- the source ---- */

/* Bytes of the code point at s, 1 for what is not UTF-8. */
static size_t step(const char *s, size_t n, bool *valid) {
    size_t len = zn_utf8_length(s, n);
    *valid = len != 0;
    return len ? len : 1;
}

/* Line `line` without its end; false if there is none. */
static bool find_line(const zn_diags *d, uint32_t line, const char **at, size_t *n) {
    const char *s = d->source, *end = d->source ? d->source + d->source_len : NULL;
    if (!s || line == 0)
        return false;
    s += zn_utf8_bom(s, d->source_len);
    for (uint32_t k = 1; k < line; k++) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        if (!nl)
            return false;
        s = nl + 1;
    }
    const char *nl = memchr(s, '\n', (size_t)(end - s));
    *at = s;
    *n = (size_t)((nl ? nl : end) - s);
    if (*n && s[*n - 1] == '\r')
        --*n;
    return true;
}

static int digits(uint32_t x) {
    int n = 1;
    for (; x >= 10; x /= 10)
        n++;
    return n;
}

/* The text of a span's line, and marks under the span with a label after them. */
static uint32_t own_line(const zn_diags *d, uint32_t line) {
    uint32_t own;
    zn_diag_place(d, line, &own);
    return own;
}

static void snippet(const zn_diags *d, zn_span at, const char *label, char mark, int width, const style *st,
                    const char *mark_color, zn_buf *out) {
    const char *s;
    size_t n, first = 0, last;
    if (!find_line(d, at.line, &s, &n))
        return;
    size_t from = at.col - 1 < n ? at.col - 1 : n, to = at.len < n - from ? from + at.len : n;
    bool valid;
    /* a long line is cut to a window around the span */
    size_t points = 0, before = 0;
    for (size_t i = 0; i < n; i += step(s + i, n - i, &valid)) {
        points++;
        before += i < from;
    }
    if (points > WINDOW && before > CONTEXT)
        for (size_t k = before - CONTEXT; k > 0; k--)
            first += step(s + first, n - first, &valid);
    last = first;
    for (size_t k = 0; k < WINDOW && last < n; k++)
        last += step(s + last, n - last, &valid);
    zn_buf marks = {0};
    zn_buf_printf(out, "%s%*" PRIu32 " |%s ", st->gutter, width, own_line(d, at.line), st->off);
    if (first) {
        zn_buf_puts(out, "...");
        zn_buf_puts(&marks, "   ");
    }
    bool any = false;
    for (size_t i = first; i < last;) {
        size_t len = step(s + i, last - i, &valid);
        bool control = !valid || (unsigned char)s[i] == 0x7f || ((unsigned char)s[i] < ' ' && s[i] != '\t');
        if (control)
            zn_buf_putc(out, '?');
        else
            zn_buf_add(out, s + i, len);
        if (i >= from && i < to) {
            if (!any)
                zn_buf_puts(&marks, mark_color);
            any = true;
            zn_buf_putc(&marks, mark);
        } else if (i < from) {
            zn_buf_putc(&marks, s[i] == '\t' ? '\t' : ' ');
        }
        i += len;
    }
    if (!any) {
        zn_buf_puts(&marks, mark_color);
        zn_buf_putc(&marks, mark);
    }
    if (last < n)
        zn_buf_puts(out, "...");
    zn_buf_printf(out, "\n%s%*s |%s %s", st->gutter, width, "", st->off, zn_buf_str(&marks));
    if (label)
        zn_buf_printf(out, " %s", label);
    zn_buf_printf(out, "%s\n", st->off);
    zn_buf_free(&marks);
}

/* ---- text ---- */

/* Text whose further lines are indented. */
static void paragraph(const char *text, int indent, zn_buf *out) {
    for (; *text; text++) {
        zn_buf_putc(out, *text);
        if (*text == '\n')
            zn_buf_printf(out, "%*s", indent, "");
    }
    zn_buf_putc(out, '\n');
}

static bool same_place(zn_span a, zn_span b) {
    return a.line == b.line && a.col == b.col;
}

/* Names the file of a label that stands in another one than the diagnostic. */
static void other_file(const zn_diags *d, zn_span own, zn_span at, int width, const style *st, zn_buf *out) {
    uint32_t a, b;
    const char *path = zn_diag_place(d, at.line, &b);
    if (path != zn_diag_place(d, own.line, &a))
        zn_buf_printf(out, "%s%*s:::%s %s:%" PRIu32 ":%" PRIu32 "\n", st->gutter, width, "", st->off, path, b, at.col);
}

/* The labels of lines from `from` on and before `to`, in the order of lines, but for the one that stands at the carets.
 */
static void labels(const zn_diags *d, const zn_diag *x, const zn_note *own, uint32_t from, uint32_t to, int width,
                   const style *st, zn_buf *out) {
    for (uint32_t line = from; line < to;) {
        uint32_t next = to;
        for (const zn_note *n = x->notes; n; n = n->next) {
            if (n == own || n->kind != ZN_NOTE_LABEL)
                continue;
            if (n->at.line == line)
                other_file(d, x->at, n->at, width, st, out);
            if (n->at.line == line)
                snippet(d, n->at, n->text, '-', width, st, st->gutter, out);
            else if (n->at.line > line && n->at.line < next)
                next = n->at.line;
        }
        line = next;
    }
}

static void render(const zn_diags *d, const zn_diag *x, const style *st, zn_buf *out) {
    const zn_diag_info *info = &zn_diag_table[x->id];
    const char *color = zn_diag_severity(d, x->id) == ZN_SEV_ERROR ? st->error : st->warning;
    int width = digits(own_line(d, x->at.line));
    for (const zn_note *n = x->notes; n; n = n->next)
        if (n->kind == ZN_NOTE_LABEL && digits(own_line(d, n->at.line)) > width)
            width = digits(own_line(d, n->at.line));
    zn_buf_printf(out, "%s%s[%s]%s%s: %s%s\n", color, zn_diag_severity(d, x->id) == ZN_SEV_ERROR ? "error" : "warning",
                  info->code, st->off, st->bold, x->msg, st->off);
    const zn_note *own = NULL;
    for (const zn_note *n = x->notes; n && !own; n = n->next)
        if (n->kind == ZN_NOTE_LABEL && same_place(n->at, x->at))
            own = n;
    if (x->at.line) {
        uint32_t line;
        const char *path = zn_diag_place(d, x->at.line, &line);
        zn_buf_printf(out, "%s%*s-->%s %s:%" PRIu32 ":%" PRIu32 "\n", st->gutter, width, "", st->off, path ? path : "-",
                      line, x->at.col);
        zn_buf_printf(out, "%s%*s |%s\n", st->gutter, width, "", st->off);
        labels(d, x, own, 0, x->at.line, width, st, out);
        snippet(d, x->at, own ? own->text : NULL, '^', width, st, color, out);
    }
    labels(d, x, own, x->at.line, UINT32_MAX, width, st, out);
    for (const zn_note *n = x->notes; n; n = n->next) {
        switch (n->kind) {
        case ZN_NOTE_LABEL:
            break;
        case ZN_NOTE_NOTE:
            zn_buf_printf(out, "%s%*s =%s ", st->gutter, width, "", st->off);
            paragraph(n->text, width + 3, out);
            break;
        case ZN_NOTE_HELP:
            zn_buf_printf(out, "%shelp%s: ", st->help, st->off);
            paragraph(n->text, 6, out);
            break;
        }
    }
}

void zn_render_text(const zn_diags *d, bool color, zn_buf *out) {
    size_t count[ZN_DIAG_COUNT] = {0};
    for (const zn_diag *x = d->first; x; x = x->next) {
        if (++count[x->id] > SHOWN)
            continue;
        if (x != d->first)
            zn_buf_putc(out, '\n');
        render(d, x, color ? &colored : &plain, out);
    }
    bool any = false;
    for (zn_diag_id id = 0; id < ZN_DIAG_COUNT; id++) {
        if (count[id] <= SHOWN)
            continue;
        zn_buf_printf(out, "%s... and %zu more %s\n", any ? "" : "\n", count[id] - SHOWN, zn_diag_table[id].code);
        any = true;
    }
}

/* ---- JSON ---- */

static void place(zn_span at, zn_buf *out) {
    zn_buf_printf(out, "\"line\":%" PRIu32 ",\"column\":%" PRIu32 ",\"length\":%" PRIu32, at.line, at.col, at.len);
}

void zn_render_json(const zn_diags *d, zn_buf *out) {
    static const char *const kinds[] = {"label", "note", "help"};
    size_t count[ZN_DIAG_COUNT] = {0};
    for (const zn_diag *x = d->first; x; x = x->next) {
        const zn_diag_info *info = &zn_diag_table[x->id];
        if (++count[x->id] > SHOWN)
            continue;
        zn_span at = x->at;
        const char *path = zn_diag_place(d, x->at.line, &at.line);
        zn_buf_printf(out, "{\"code\":\"%s\",\"severity\":\"%s\",\"path\":", info->code,
                      zn_diag_severity(d, x->id) == ZN_SEV_ERROR ? "error" : "warning");
        zn_buf_json(out, path ? path : "");
        zn_buf_putc(out, ',');
        place(at, out);
        zn_buf_puts(out, ",\"message\":");
        zn_buf_json(out, x->msg);
        zn_buf_puts(out, ",\"notes\":[");
        for (const zn_note *n = x->notes; n; n = n->next) {
            zn_buf_printf(out, "%s{\"kind\":\"%s\",", n == x->notes ? "" : ",", kinds[n->kind]);
            zn_span there = n->at;
            const char *in = zn_diag_place(d, n->at.line, &there.line);
            place(there, out);
            if (in != path && n->at.line) {
                zn_buf_puts(out, ",\"path\":");
                zn_buf_json(out, in);
            }
            zn_buf_puts(out, ",\"text\":");
            zn_buf_json(out, n->text);
            zn_buf_putc(out, '}');
        }
        zn_buf_puts(out, "]}\n");
    }
    for (zn_diag_id id = 0; id < ZN_DIAG_COUNT; id++)
        if (count[id] > SHOWN)
            zn_buf_printf(out, "{\"code\":\"%s\",\"severity\":\"%s\",\"not_shown\":%zu}\n", zn_diag_table[id].code,
                          zn_diag_severity(d, id) == ZN_SEV_ERROR ? "error" : "warning", count[id] - SHOWN);
}
