/* Reading a file and its imports (see driver/sources.h): depth first, in the order in which they stand.
 *
 * Lines are counted through: a place of an imported file is a line of the whole text, and diagnostics show it as one of
 * its own file. */
#include "driver/sources.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "driver/files.h"
#include "support/utf8.h"

enum { MOST_FILES = 1000, DEEPEST = 64 };

/* Files that are being read, the innermost first. */
typedef struct chain {
    size_t file;
    const struct chain *up;
} chain;

static const char *directory_of(zn_sources *s, const char *path) {
    char *copy = zn_arena_strdup(&s->arena, path);
    return zn_arena_strdup(&s->arena, dirname(copy));
}

static uint32_t next_line(const zn_sources *s) {
    uint32_t n = 1;
    for (size_t i = 0; i < s->text.n; i++)
        n += zn_buf_str(&s->text)[i] == '\n';
    return n;
}

/* Appends a text as a file. */
static void add_file(zn_sources *s, const char *path, const char *real, const char *text, size_t n) {
    zn_source_file f = {.path = zn_arena_strdup(&s->arena, path), .real = real, .dir = directory_of(s, path)};
    if (s->files.n) {
        if (s->text.n && zn_buf_str(&s->text)[s->text.n - 1] != '\n')
            zn_buf_putc(&s->text, '\n');
        zn_buf_printf(&s->text, "// import \"%s\"\n", path);
        size_t bom = zn_utf8_bom(text, n);
        text += bom;
        n -= bom;
    }
    f.first_line = next_line(s);
    f.offset = s->text.n;
    f.n = n;
    zn_buf_add(&s->text, text, n);
    zn_vec_push(&s->arena, &s->files, f);
}

static void wrong(zn_diags *d, const zn_import *i, const char *why) {
    zn_diag_add(d, ZN_DIAG_IMPORT, i->at, "cannot import \"%s\": %s", i->path, why);
}

static void read_imports(zn_sources *s, const chain *up, int depth, zn_diags *d);

static void cycle(zn_sources *s, const zn_import *i, const chain *up, size_t file, zn_diags *d) {
    zn_diag *x = zn_diag_add(d, ZN_DIAG_IMPORT, i->at, "\"%s\" imports itself", i->path);
    for (; up && up->file != file; up = up->up)
        zn_diag_note(d, x, ZN_NOTE_NOTE, (zn_span){0}, "by way of %s", s->files.at[up->file].path);
}

static void import(zn_sources *s, const zn_import *i, const chain *up, int depth, zn_diags *d) {
    const char *dir = s->files.at[up->file].dir;
    const char *path =
        i->path[0] == '/' || !strcmp(dir, ".") ? i->path : zn_arena_printf(&s->arena, "%s/%s", dir, i->path);
    char resolved[PATH_MAX], *error = NULL;
    zn_buf text = {0};
    if (!realpath(path, resolved)) {
        wrong(d, i, strerror(errno));
        return;
    }
    for (size_t k = 0; k < s->files.n; k++) {
        if (!s->files.at[k].real || strcmp(s->files.at[k].real, resolved))
            continue;
        for (const chain *c = up; c; c = c->up)
            if (c->file == k)
                cycle(s, i, up, k, d);
        return; /* once is enough */
    }
    if (depth == DEEPEST || s->files.n == MOST_FILES) {
        wrong(d, i, depth == DEEPEST ? "imports are nested more than 64 deep" : "there are more than 1000 files");
        return;
    }
    if (!zn_file_read(path, &text, &error)) {
        wrong(d, i, error);
        free(error);
        return;
    }
    add_file(s, path, zn_arena_strdup(&s->arena, resolved), zn_buf_str(&text), text.n);
    zn_buf_free(&text);
    const chain here = {s->files.n - 1, up};
    read_imports(s, &here, depth + 1, d);
}

/* What the innermost file of the chain imports. */
static void read_imports(zn_sources *s, const chain *here, int depth, zn_diags *d) {
    zn_source_file f = s->files.at[here->file];
    char *text = zn_arena_strndup(&s->arena, zn_buf_str(&s->text) + f.offset, f.n);
    const zn_import *list;
    size_t n = zn_frontend_imports(&s->arena, text, f.n, f.first_line, &list);
    for (size_t i = 0; i < n; i++)
        import(s, &list[i], here, depth, d);
}

/* What diagnostics point into. */
static void show_to(const zn_sources *s, const char *path, zn_diags *d) {
    d->path = path;
    d->source = zn_buf_str(&s->text);
    d->source_len = s->text.n;
    d->nfiles = s->files.n;
    d->files = s->files.at;
}

bool zn_sources_read(zn_sources *s, const char *path, bool imports, zn_diags *d, char **error) {
    zn_buf text = {0};
    char resolved[PATH_MAX];
    bool is_file = strcmp(path, "-") != 0;
    if (!zn_file_read(path, &text, error))
        return false;
    const char *real = is_file && realpath(path, resolved) ? zn_arena_strdup(&s->arena, resolved) : NULL;
    add_file(s, path, real, zn_buf_str(&text), text.n);
    zn_buf_free(&text);
    s->dir = s->files.at[0].dir;
    const chain first = {0, NULL};
    if (imports)
        read_imports(s, &first, 0, d);
    show_to(s, path, d);
    return true;
}

/* Where line `line` of a text begins; n: behind its end. */
static size_t line_offset(const char *text, size_t n, uint32_t line) {
    size_t at = 0;
    for (uint32_t i = 1; i < line; i++) {
        const char *end = memchr(text + at, '\n', n - at);
        if (!end)
            return n;
        at = (size_t)(end + 1 - text);
    }
    return at;
}

bool zn_sources_take(zn_sources *s, const char *path, const char *text, const zn_source_place *places, size_t n,
                     zn_diags *d) {
    const zn_source_place only = {path, 1};
    size_t size = strlen(text);
    if (n == 0) {
        places = &only;
        n = 1;
    }
    zn_buf_add(&s->text, text, size);
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n;
        if (i ? places[i].first_line <= places[i - 1].first_line + 1 : places[i].first_line != 1)
            return false;
        size_t at = line_offset(text, size, places[i].first_line);
        size_t end = last ? size : line_offset(text, size, places[i + 1].first_line - 1); /* less the comment of it */
        if (end < at)
            return false;
        const zn_source_file f = {.path = zn_arena_strdup(&s->arena, places[i].path),
                                  .dir = directory_of(s, places[i].path),
                                  .first_line = places[i].first_line,
                                  .offset = at,
                                  .n = end - at};
        zn_vec_push(&s->arena, &s->files, f);
    }
    s->dir = s->files.at[0].dir;
    show_to(s, path, d);
    return true;
}

void zn_sources_free(zn_sources *s) {
    zn_buf_free(&s->text);
    zn_arena_free(&s->arena);
}
