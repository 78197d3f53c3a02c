/* Diagnostics: collected, never printed below the driver.
 *
 * A span is a stretch of the user's file: line and column from 1, column and length in bytes; line 0 is "nowhere".
 * Every diagnostic has an id of support/diag.def, which fixes its code and its severity. */
#ifndef ZN_SUPPORT_DIAG_H
#define ZN_SUPPORT_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/arena.h"

typedef struct zn_span {
    uint32_t line, col, len;
} zn_span;

typedef enum zn_severity { ZN_SEV_ERROR, ZN_SEV_WARNING } zn_severity;

typedef enum zn_diag_id {
#define ZN_DIAG(ID, code, sev, doc) ZN_DIAG_##ID,
#include "support/diag.def"
    ZN_DIAG_COUNT
} zn_diag_id;

typedef struct zn_diag_info {
    const char *code; /* "ZN0207" */
    zn_severity sev;
    const char *doc; /* what it means and how to mend it, one sentence or more */
} zn_diag_info;
extern const zn_diag_info zn_diag_table[ZN_DIAG_COUNT];

/* What stands under a diagnostic. LABEL: text after the carets of its own span (first label) or another span's line;
 * NOTE: "= text"; HELP: "help: text". Text may hold newlines. */
typedef enum zn_note_kind { ZN_NOTE_LABEL, ZN_NOTE_NOTE, ZN_NOTE_HELP } zn_note_kind;
typedef struct zn_note {
    zn_note_kind kind;
    zn_span at;
    const char *text;
    struct zn_note *next;
} zn_note;

typedef struct zn_diag {
    zn_diag_id id;
    zn_span at;
    const char *msg;
    zn_note *notes, *last_note;
    struct zn_diag *next;
} zn_diag;

/* One of the files that a text was put together from. Lines of the text from first_line on are its own, from 1. */
typedef struct zn_source_file {
    const char *path, *real, *dir; /* as messages name it; without links, or NULL; its directory */
    uint32_t first_line;
    size_t offset, n; /* in the text */
} zn_source_file;

/* The sink: one per compilation. source is what spans index; path is how messages name it. */
typedef struct zn_diags {
    zn_arena arena;
    const char *path, *source;
    size_t source_len, nfiles;
    const zn_source_file *files; /* in order; none: all lines are of `path` */
    zn_diag *first, *last;
    size_t errors, warnings;
    bool werror;             /* warnings are errors */
    bool off[ZN_DIAG_COUNT]; /* warnings that are not wanted */
} zn_diags;

/* What a diagnostic is in this compilation. */
zn_severity zn_diag_severity(const zn_diags *d, zn_diag_id id);

void zn_diags_free(zn_diags *d);
/* Never returns NULL; what is off is not in the list. */
zn_diag *zn_diag_add(zn_diags *d, zn_diag_id id, zn_span at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void zn_diag_note(zn_diags *d, zn_diag *to, zn_note_kind kind, zn_span at, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Orders the list by line, then column, then code; equal ones (same id, span and text) are dropped. */
void zn_diags_sort(zn_diags *d);

/* The file and line that line `line` of the text is. */
const char *zn_diag_place(const zn_diags *d, uint32_t line, uint32_t *own);

/* The nearest of n names to `name` by edit distance, or NULL if none is near (distance <= 1 + length / 4). */
const char *zn_nearest_name(const char *name, const char *const *names, size_t n);

#endif
