/* The sink of diagnostics: collects, sorts, drops repetitions; knows nothing of how they are shown.
 *
 * Everything lives in the sink's arena, so a diagnostic outlives the pass that made it. */
#include "support/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const zn_diag_info zn_diag_table[ZN_DIAG_COUNT] = {
#define ZN_DIAG(ID, code, sev, doc) {code, ZN_SEV_##sev, doc},
#include "support/diag.def"
};

void zn_diags_free(zn_diags *d) {
    zn_arena_free(&d->arena);
    *d = (zn_diags){0};
}

__attribute__((format(printf, 2, 0))) static const char *format(zn_arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0)
        n = 0;
    char *s = zn_arena_alloc(a, (size_t)n + 1, 1);
    (void)vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

zn_severity zn_diag_severity(const zn_diags *d, zn_diag_id id) {
    return d->werror ? ZN_SEV_ERROR : zn_diag_table[id].sev;
}

static void count(zn_diags *d, zn_diag_id id) {
    if (zn_diag_severity(d, id) == ZN_SEV_ERROR)
        d->errors++;
    else
        d->warnings++;
}

zn_diag *zn_diag_add(zn_diags *d, zn_diag_id id, zn_span at, const char *fmt, ...) {
    zn_diag *x = zn_new(&d->arena, zn_diag);
    x->id = id;
    x->at = at;
    va_list ap;
    va_start(ap, fmt);
    x->msg = format(&d->arena, fmt, ap);
    va_end(ap);
    if (d->off[id])
        return x;
    if (d->last)
        d->last->next = x;
    else
        d->first = x;
    d->last = x;
    count(d, id);
    return x;
}

void zn_diag_note(zn_diags *d, zn_diag *to, zn_note_kind kind, zn_span at, const char *fmt, ...) {
    zn_note *n = zn_new(&d->arena, zn_note);
    n->kind = kind;
    n->at = at;
    va_list ap;
    va_start(ap, fmt);
    n->text = format(&d->arena, fmt, ap);
    va_end(ap);
    if (to->last_note)
        to->last_note->next = n;
    else
        to->notes = n;
    to->last_note = n;
}

const char *zn_diag_place(const zn_diags *d, uint32_t line, uint32_t *own) {
    size_t i = d->nfiles;
    while (i > 1 && d->files[i - 1].first_line > line)
        i--;
    *own = i > 1 ? line - d->files[i - 1].first_line + 1 : line;
    return i > 1 ? d->files[i - 1].path : d->path;
}

static int cmp_u32(uint32_t a, uint32_t b) {
    return (a > b) - (a < b);
}

/* Place, then code, then text; the order of reporting last, so that the order is total. */
static int compare(const zn_diag *a, const zn_diag *b) {
    int c = cmp_u32(a->at.line, b->at.line);
    if (!c)
        c = cmp_u32(a->at.col, b->at.col);
    if (!c)
        c = strcmp(zn_diag_table[a->id].code, zn_diag_table[b->id].code);
    if (!c)
        c = cmp_u32(a->at.len, b->at.len);
    if (!c)
        c = strcmp(a->msg, b->msg);
    return c;
}

typedef struct ranked {
    zn_diag *d;
    size_t rank;
} ranked;

static int compare_ranked(const void *x, const void *y) {
    const ranked *a = x, *b = y;
    int c = compare(a->d, b->d);
    return c ? c : (a->rank > b->rank) - (a->rank < b->rank);
}

void zn_diags_sort(zn_diags *d) {
    size_t n = 0;
    for (zn_diag *x = d->first; x; x = x->next)
        n++;
    if (n == 0)
        return;
    ranked *r = zn_new_n(&d->arena, ranked, n);
    size_t k = 0;
    for (zn_diag *x = d->first; x; x = x->next, k++)
        r[k] = (ranked){x, k};
    qsort(r, n, sizeof *r, compare_ranked);
    d->first = d->last = NULL;
    d->errors = d->warnings = 0;
    for (k = 0; k < n; k++) {
        zn_diag *x = r[k].d;
        if (d->last && compare(d->last, x) == 0)
            continue;
        x->next = NULL;
        if (d->last)
            d->last->next = x;
        else
            d->first = x;
        d->last = x;
        count(d, x->id);
    }
}

static char small(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Edit distance with transpositions of neighbours, whatever the case of letters; names longer than the buffer are never
 * near. */
enum { NAME_MAX_NEAR = 64 };
static size_t distance(const char *a, size_t n, const char *b, size_t m) {
    size_t row[3][NAME_MAX_NEAR + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (small(a[i - 1]) != small(b[j - 1]));
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && small(a[i - 1]) == small(b[j - 2]) && small(a[i - 2]) == small(b[j - 1]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[m];
}

const char *zn_nearest_name(const char *name, const char *const *names, size_t n) {
    size_t len = strlen(name), best_distance = 1 + len / 4 + 1;
    const char *best = NULL;
    if (len > NAME_MAX_NEAR)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(names[i]);
        if (m > NAME_MAX_NEAR || (m > len ? m - len : len - m) >= best_distance)
            continue; /* the distance is at least the difference of lengths */
        size_t x = distance(name, len, names[i], m);
        /* a name of which nothing is left is no correction: `x` is not near `y` */
        if (x < best_distance && x < len && x < m) {
            best_distance = x;
            best = names[i];
        }
    }
    return best;
}
