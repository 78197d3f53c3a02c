/* The source csv (see runtime/csv.h), after RFC 4180 as far as numbers need it: cells between commas, spaces around
 * them mean nothing, double quotes may stand around a cell ("" inside is one), lines end in LF or CR LF, empty lines
 * are skipped, and a byte order mark in front.
 *
 * A file is gone through twice: once for its shape, where every line must have as many cells as the first, so that
 * nothing is allocated that the file does not hold; then for its numbers. Numbers are read as doubles, whatever the
 * locale, and rounded once. Every error names file, line (from 1) and column (from 1, and by name). */
#include "runtime/csv.h"

#include "support/number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The line that is looked at. */
typedef struct lines {
    const char *path, *next, *end; /* next: of the file */
    const char *at, *stop;         /* the line, without its end */
    int64_t number;                /* from 1 */
} lines;

static lines lines_of(const char *path, const uint8_t *at, size_t n) {
    const char *text = (const char *)at;
    lines l = {.path = path, .next = text, .end = text + n};
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        l.next += 3;
    return l;
}

/* The next line that is not empty. */
static bool next_line(lines *l) {
    while (l->next < l->end) {
        const char *feed = memchr(l->next, '\n', (size_t)(l->end - l->next));
        l->at = l->next;
        l->stop = feed ? feed : l->end;
        l->next = feed ? feed + 1 : l->end;
        l->number++;
        if (l->stop > l->at && l->stop[-1] == '\r')
            l->stop--;
        for (const char *p = l->at; p < l->stop; p++)
            if (*p != ' ' && *p != '\t')
                return true;
    }
    return false;
}

typedef struct cell {
    const char *at;
    size_t n;
} cell;

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The cell at *p, without blanks and quotes, and *p behind its comma, NULL behind the last one. False: a quote is not
 * closed, or something follows it. */
static bool next_cell(const char **p, const char *stop, cell *c) {
    const char *at = *p, *end;
    while (at < stop && is_blank(*at))
        at++;
    if (at < stop && *at == '"') {
        end = ++at;
        while (end < stop && (*end != '"' || (end + 1 < stop && end[1] == '"')))
            end += *end == '"' ? 2 : 1;
        *c = (cell){at, (size_t)((end < stop ? end : stop) - at)};
        for (at = end + 1; at < stop && is_blank(*at);)
            at++;
        if (end >= stop || (at < stop && *at != ','))
            return false;
    } else {
        end = memchr(at, ',', (size_t)(stop - at));
        end = end ? end : stop;
        *c = (cell){at, (size_t)(end - at)};
        while (c->n && is_blank(c->at[c->n - 1]))
            c->n--;
        at = end;
    }
    *p = at < stop ? at + 1 : NULL;
    return true;
}

static bool number_of(cell c, double *x) {
    enum { EXACT = 15 };
    int64_t whole = 0;
    size_t i = 0;
    if (c.n && c.at[0] == '+') {
        c.at++;
        c.n--;
        if (c.n && c.at[0] == '-')
            return false;
    }
    for (; i < c.n && i < EXACT && c.at[i] >= '0' && c.at[i] <= '9'; i++)
        whole = 10 * whole + (c.at[i] - '0');
    if (i == c.n && i > 0) {
        *x = (double)whole;
        return true;
    }
    return zn_f64_parse(c.at, c.n, x);
}

/* Of cell k (from 0) of a header. */
static cell name_of(const zn_rt_csv *t, int64_t k) {
    cell c = {"", 0};
    const char *p = t->names;
    for (int64_t i = 0; p && i <= k; i++)
        if (!next_cell(&p, t->names + t->names_size, &c))
            break;
    return c;
}

/* Text of a file as a message can hold it. */
static void shown(cell c, char out[48]) {
    size_t n = c.n < 40 ? c.n : 40;
    for (size_t i = 0; i < n; i++)
        out[i] = c.at[i] >= ' ' && c.at[i] <= '~' ? c.at[i] : '?';
    memcpy(out + n, c.n > n ? "..." : "", c.n > n ? 4 : 1);
}

static int bad_cell(const zn_rt_csv *t, const lines *l, int64_t k, cell c, const char *what, zn_rt_error *e) {
    char text[48], name[48];
    shown(c, text);
    if (!t->names)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s:%" PRId64 ": column %" PRId64 ": `%s` %s", l->path, l->number, k + 1,
                          text, what);
    shown(name_of(t, k), name);
    return zn_rt_fail(e, ZN_RT_INPUT, "%s:%" PRId64 ": column %" PRId64 " (%s): `%s` %s", l->path, l->number, k + 1,
                      name, text, what);
}

/* Cells of the line, and how many of them are numbers (NULL: nobody asks); -1 with a message where a quote is not
 * closed.
 */
static int64_t count_cells(const lines *l, int64_t *numbers, zn_rt_error *e) {
    const char *p = l->at;
    int64_t n = 0;
    double x;
    if (numbers)
        *numbers = 0;
    for (cell c; p; n++) {
        if (!next_cell(&p, l->stop, &c)) {
            zn_rt_fail(e, ZN_RT_INPUT, "%s:%" PRId64 ": column %" PRId64 ": a quote is not closed, or followed by more",
                       l->path, l->number, n + 1);
            return -1;
        }
        if (numbers)
            *numbers += number_of(c, &x);
    }
    return n;
}

/* Whether the line, the first, is a header; -1 with a message where that is not clear. */
static int is_header(const zn_rt_csv *t, const lines *l, int64_t cells, int64_t numbers, zn_rt_error *e) {
    const char *p = l->at;
    double x;
    if (t->header != ZN_RT_CSV_AUTO)
        return t->header == ZN_RT_CSV_YES;
    if (numbers == 0 || numbers == cells)
        return numbers == 0;
    cell c = {"", 0};
    int64_t k = -1;
    do {
        k++;
        (void)next_cell(&p, l->stop, &c);
    } while (p && number_of(c, &x));
    bad_cell(t, l, k, c,
             "is not a number, but other cells of the first line are: if it is a header, say `header = yes`", e);
    return -1;
}

/* The label's column, by name or index. */
static int find_label(zn_rt_csv *t, const lines *l, zn_rt_error *e) {
    if (!*t->label_name) {
        t->label = t->label_index < 0 ? t->columns + t->label_index : t->label_index;
        if (t->label >= 0 && t->label < t->columns)
            return 0;
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " column%s; `label` is %" PRId64, l->path, t->columns,
                          t->columns == 1 ? "" : "s", t->label_index);
    }
    if (!t->names)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has no header to find the column `%s` in", l->path, t->label_name);
    const char *p = t->names;
    cell c;
    for (t->label = 0; p && next_cell(&p, t->names + t->names_size, &c); t->label++)
        if (c.n == strlen(t->label_name) && !memcmp(c.at, t->label_name, c.n))
            return 0;
    zn_rt_fail(e, ZN_RT_INPUT, "%s: has no column `%s`; it has", l->path, t->label_name);
    for (int64_t k = 0; k < t->columns && k < 20; k++) {
        char name[48];
        shown(name_of(t, k), name);
        zn_rt_explain(e, "%s `%s`", k ? "," : "", name);
    }
    if (t->columns > 20)
        zn_rt_explain(e, " and %" PRId64 " more", t->columns - 20);
    return ZN_RT_INPUT;
}

/* Whether another header says the same. */
static int same_names(const zn_rt_csv *t, const lines *l, zn_rt_error *e) {
    const char *p = l->at, *q = t->names;
    cell a, b;
    for (int64_t k = 0; p && q; k++) {
        if (!next_cell(&p, l->stop, &a) || !next_cell(&q, t->names + t->names_size, &b))
            break;
        if (a.n != b.n || memcmp(a.at, b.at, a.n) != 0)
            return bad_cell(t, l, k, a, "has another name in the training file", e);
    }
    return 0;
}

/* What the file begins with, and *rows behind it; *l stands at the first of them. */
static int look(zn_rt_csv *t, int split, lines *l, int64_t *rows, zn_rt_error *e) {
    lines first = *l;
    int64_t numbers, cells;
    int code = 0;
    if (!next_line(&first))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: is empty", l->path);
    cells = count_cells(&first, &numbers, e);
    int header = cells < 0 ? -1 : is_header(t, &first, cells, numbers, e);
    if (header < 0)
        return ZN_RT_INPUT;
    if (split == ZN_RT_TRAINING) {
        t->columns = cells;
        t->names = header ? first.at : NULL;
        t->names_size = (size_t)(first.stop - first.at);
        code = find_label(t, &first, e);
        if (!code && t->columns < 2)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has one column: a label, and nothing to learn it from", l->path);
    } else if (header && t->names && cells == t->columns) {
        code = same_names(t, &first, e);
    }
    if (code)
        return code;
    if (header)
        *l = first;
    *rows = 0;
    for (lines all = *l; next_line(&all); ++*rows) {
        cells = count_cells(&all, NULL, e);
        if (cells < 0)
            return ZN_RT_INPUT;
        if (cells != t->columns)
            return zn_rt_fail(e, ZN_RT_INPUT, "%s:%" PRId64 ": has %" PRId64 " cell%s; the %s has %" PRId64, l->path,
                              all.number, cells, cells == 1 ? "" : "s",
                              split == ZN_RT_TRAINING ? "first line" : "training file", t->columns);
    }
    return *rows ? 0 : zn_rt_fail(e, ZN_RT_INPUT, "%s: has a header and no lines of numbers", l->path);
}

/* Puts a label where the network takes it from. */
static int take_label(const zn_rt_csv *t, const zn_rt_dataset *d, zn_rt_split *s, const lines *l, int64_t row, cell c,
                      double x, zn_rt_error *e) {
    char what[96];
    int64_t classes = d->in->classes > 0 && d->in->classes < ZN_RT_CLASSES ? d->in->classes : ZN_RT_CLASSES;
    if (s->targets) {
        s->targets[row] = (float)x;
        return isfinite((float)x) ? 0 : bad_cell(t, l, t->label, c, "is too large for a 32-bit float", e);
    }
    if (x != floor(x))
        return bad_cell(t, l, t->label, c,
                        "is not a class, which is an integer: train with `loss = mse(target = value)` to learn numbers",
                        e);
    if (!(x >= 0 && x < (double)classes)) {
        snprintf(what, sizeof what, "is not one of the network's classes, 0 to %" PRId64, classes - 1);
        return bad_cell(t, l, t->label, c, what, e);
    }
    s->wide[row] = (uint16_t)x;
    return 0;
}

static int take_row(const zn_rt_csv *t, const zn_rt_dataset *d, zn_rt_split *s, float *floats, const lines *l,
                    int64_t row, zn_rt_error *e) {
    const char *p = l->at;
    int64_t at = row * (t->columns - 1);
    for (int64_t k = 0; k < t->columns; k++) {
        cell c = {"", 0};
        double x = 0;
        int code = 0;
        if (!p || !next_cell(&p, l->stop, &c) || c.n == 0)
            return bad_cell(t, l, k, c, "is empty: a number is missing", e);
        if (!number_of(c, &x))
            return bad_cell(t, l, k, c, "is not a number", e);
        if (k == t->label) {
            code = take_label(t, d, s, l, row, c, x, e);
        } else if (t->bytes) {
            if (!(x >= 0 && x <= 255 && x == floor(x)))
                return bad_cell(t, l, k, c, "is not a byte, an integer from 0 to 255", e);
            s->pixels[at++] = (uint8_t)x;
        } else {
            floats[at] = (float)x;
            if (!isfinite(floats[at++]))
                return bad_cell(t, l, k, c, "is too large for a 32-bit float", e);
        }
        if (code)
            return code;
    }
    return 0;
}

int zn_rt_csv_read(zn_rt_csv *t, zn_rt_dataset *d, int split, const char *path, const uint8_t *at, size_t n,
                   zn_rt_error *e) {
    zn_rt_split *s = &d->split[split];
    lines l = lines_of(path, at, n);
    float *floats = NULL;
    int64_t rows = 0, cells = 0;
    int code = look(t, split, &l, &rows, e);
    if (!code && !zn_mul_ok(rows, t->columns - 1, &cells))
        code = zn_rt_fail(e, ZN_RT_MEMORY, "%s: is too large", path);
    if (code)
        return code;
    s->items = rows;
    d->flat = true;
    d->height = d->width = 1;
    d->channels = t->columns - 1;
    if (t->bytes)
        s->pixels = zn_rt_dataset_alloc(cells, 1, e);
    else
        s->floats = floats = zn_rt_dataset_alloc(cells, sizeof *floats, e);
    if (!s->pixels && !floats)
        return ZN_RT_MEMORY;
    if (d->in->classes > 0)
        s->wide = zn_rt_dataset_alloc(rows, sizeof *s->wide, e);
    else
        s->targets = zn_rt_dataset_alloc(rows, sizeof *s->targets, e);
    if (!s->wide && !s->targets)
        return ZN_RT_MEMORY;
    d->targets = s->targets ? 1 : 0;
    for (int64_t row = 0; row < rows && !code && next_line(&l); row++)
        code = take_row(t, d, s, floats, &l, row, e);
    return code;
}

/* The word of the language. */
static zn_rt_csv_header header_of(const char *word) {
    return !strcmp(word, "yes") ? ZN_RT_CSV_YES : !strcmp(word, "no") ? ZN_RT_CSV_NO : ZN_RT_CSV_AUTO;
}

int zn_rt_read_csv(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool, zn_rt_error *e) {
    static const char *const name[2] = {"file", "test"};
    zn_rt_csv t = {.label_name = zn_rt_source_text(r, "label"),
                   .label_index = zn_rt_source_number(r, "label"),
                   .header = header_of(zn_rt_source_text(r, "header")),
                   .bytes = !strcmp(zn_rt_source_text(r, "type"), "byte")};
    zn_rt_mapped file[2] = {{0}, {0}};
    char path[ZN_RT_PATH_SIZE];
    int code = 0;
    (void)pool;
    for (int s = 0; s <= ZN_RT_TEST && !code; s++) {
        if (!*zn_rt_source_text(r, name[s]))
            break; /* no test */
        code = zn_rt_source_file(path, r, name[s], directory, e);
        if (!code)
            code = zn_rt_map(&file[s], path, e);
        if (!code)
            code = zn_rt_csv_read(&t, d, s, path, file[s].at, file[s].size, e);
    }
    zn_rt_unmap(&file[0]);
    zn_rt_unmap(&file[1]);
    return code;
}
