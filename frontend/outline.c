/* The outline of a file: its items, and where braces are missing or too many, from its tokens alone.
 *
 * Only an item whose braces do not balance is looked at closer. There indentation says which brace lacks its partner: a
 * `}` that begins a line stands under the line of its `{`, and what a body holds stands further right than that line.
 * Without indentation the innermost brace that is open at the end of the item is the one to blame. */
#include <string.h>

#include "frontend/parse.h"
#include "frontend/parser.h"

bool zn_starts_section(int kind) {
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

/* ---- items ---- */

static void count_braces(zn_outline *o, zn_item *item) {
    for (size_t i = item->first; i < item->end; i++) {
        int kind = o->tokens.at[i].kind;
        if (kind == '{')
            item->missing++;
        else if (kind == '}' && item->missing)
            item->missing--;
        else if (kind == '}')
            item->extra++;
    }
}

static void add_item(zn_arena *a, zn_outline *o, size_t first, size_t end) {
    zn_item item = {.first = first, .end = end};
    count_braces(o, &item);
    zn_vec_push(a, &o->items, item);
}

/* ---- repairs ---- */

typedef struct opening {
    size_t token;
    uint32_t line, indent;
    bool deeper; /* what it holds begins further right than its line */
} opening;

static void repair(zn_arena *a, zn_outline *o, size_t at, bool drop, const opening *top) {
    zn_repair r = {.token = at, .drop = drop, .open = o->tokens.at[top->token].loc};
    zn_vec_push(a, &o->repairs, r);
}

/* Whether the brace on top should have been closed before token t, which begins a line. */
static bool overdue(const opening *stack, size_t n, const zn_token *t) {
    const opening *top = &stack[n - 1];
    if (t->loc.at.line == top->line || !top->deeper)
        return false;
    if (t->kind != '}')
        return t->loc.at.col <= top->indent;
    for (size_t i = 0; i + 1 < n; i++)
        if (stack[i].indent == t->loc.at.col)
            return t->loc.at.col < top->indent;
    return false;
}

static void mend(zn_arena *a, zn_outline *o, zn_item *item) {
    opening stack[ZN_MAX_NESTING];
    size_t n = 0;
    int missing = item->extra ? 0 : item->missing, extra = item->missing ? 0 : item->extra;
    uint32_t line = 0, indent = 1;
    for (size_t i = item->first; i < item->end; i++) {
        const zn_token *t = &o->tokens.at[i];
        bool first = t->loc.at.line != line;
        if (n && (!first || t->loc.at.col > stack[n - 1].indent) && t->kind != '}')
            stack[n - 1].deeper = true;
        if (first) {
            line = t->loc.at.line;
            indent = t->loc.at.col;
            for (; n && missing && overdue(stack, n, t); missing--)
                repair(a, o, i, false, &stack[--n]);
        }
        if (t->kind == '{') {
            if (n == ZN_MAX_NESTING)
                return;
            stack[n++] = (opening){i, line, indent, false};
        } else if (t->kind == '}' && n) {
            const opening *top = &stack[n - 1];
            if (extra && first && line != top->line && top->deeper && indent > top->indent) {
                repair(a, o, i, true, top);
                extra--;
            } else {
                n--;
            }
        }
    }
    for (; n && missing; missing--)
        repair(a, o, item->end, false, &stack[--n]);
}

zn_outline *zn_outline_make(zn_arena *a, const zn_parse *p) {
    zn_outline *o = zn_new(a, zn_outline);
    zn_parse *q = zn_new(a, zn_parse);
    zn_diags ignored = {0};
    *q = (zn_parse){.arena = a, .d = &ignored, .text = p->text, .n = p->n};
    zn_token t;
    zn_scan_open(q);
    do {
        t = (zn_token){0};
        t.kind = zn_scan(&t, q->scanner);
        if (t.kind == 0)
            t.loc = (zn_loc){{q->line, q->col, 0}, q->off};
        zn_vec_push(a, &o->tokens, t);
    } while (t.kind);
    zn_scan_close(q);
    zn_diags_free(&ignored);
    size_t first = 0, n = o->tokens.n - 1; /* the last token is the end */
    for (size_t i = 1; i < n; i++)
        if (zn_starts_section(o->tokens.at[i].kind) && o->tokens.at[i + 1].kind != '=') {
            add_item(a, o, first, i);
            first = i;
        }
    add_item(a, o, first, n);
    for (size_t i = 0; i < o->items.n; i++)
        if (o->items.at[i].missing || o->items.at[i].extra)
            mend(a, o, &o->items.at[i]);
    return o;
}

uint32_t zn_outline_column(const zn_outline *o, const zn_item *item, zn_loc brace, bool *keys) {
    int kind = o->tokens.at[item->first].kind;
    *keys = kind == K_DATA || kind == K_TRAIN;
    for (size_t i = item->first; i < item->end; i++)
        if (o->tokens.at[i].loc.off > brace.off && o->tokens.at[i].loc.at.line != brace.at.line)
            return o->tokens.at[i].loc.at.col;
    return 0;
}

/* ---- what was lost ---- */

zn_item *zn_outline_item(zn_outline *o, uint32_t off) {
    size_t low = 0, high = o->items.n;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (o->tokens.at[o->items.at[mid].first].loc.off <= off)
            low = mid;
        else
            high = mid;
    }
    return &o->items.at[low];
}

void zn_outline_damage(zn_outline *o, uint32_t off) {
    zn_item *item = zn_outline_item(o, off);
    item->damaged = true;
    /* a keyword in the way: what it follows is damaged */
    if (item != o->items.at && o->tokens.at[item->first].loc.off == off)
        item[-1].damaged = true;
}

void zn_lose_words(zn_arena *a, zn_file *f, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t k = i;
        while (k < n && (s[k] == '_' || (s[k] >= '0' && s[k] <= '9') || ((s[k] | 32) >= 'a' && (s[k] | 32) <= 'z')))
            k++;
        if (k > i)
            *zn_table_at(a, &f->lost, zn_arena_strndup(a, s + i, k - i)) = f;
        i = k > i ? k : i + 1;
    }
}

/* Whether a keyword stands in front of a name that it declares. */
static bool names(int kind) {
    return kind == K_PARAM || kind == K_LET || kind == K_BLOCK || kind == K_AS || kind == K_FOR;
}

void zn_outline_lose(zn_arena *a, const zn_outline *o, zn_file *f) {
    for (size_t i = 0; i < o->items.n; i++) {
        const zn_item *item = &o->items.at[i];
        for (size_t k = item->first; item->damaged && k < item->end; k++) {
            const zn_token *t = &o->tokens.at[k];
            if (!t->v.s || t->kind == STRING)
                continue;
            bool declares = item->hole || (k && names(o->tokens.at[k - 1].kind));
            void **known = zn_table_at(a, &f->lost, t->v.s);
            if (declares || !*known)
                *known = declares ? (void *)f : (void *)&f->lost;
        }
    }
}

bool zn_is_lost(const zn_file *f, const char *name) {
    return zn_table_get(&f->lost, name) != NULL;
}

bool zn_may_be_declared(const zn_file *f, const char *name) {
    return zn_table_get(&f->lost, name) == f;
}
