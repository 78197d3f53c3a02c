/* The text of an experiment: the file that was named and what it imports, one behind the other. */
#ifndef ZN_DRIVER_SOURCES_H
#define ZN_DRIVER_SOURCES_H

#include "frontend/frontend.h"
#include "support/arena.h"
#include "support/buf.h"

typedef struct zn_sources {
    zn_arena arena;
    zn_buf text; /* all files; an imported one follows a line of comment that names it */
    ZN_VEC(zn_source_file) files;
    const char *dir; /* of the first file */
} zn_sources;

/* Reads path ("-": standard input) and, from each file once, what it imports. False with a message for a file that
 * cannot be read at all; imports that are wrong are reported to d, whose source and files are set. */
bool zn_sources_read(zn_sources *s, const char *path, bool imports, zn_diags *d, char **error);
/* The same of a text that was put together before, with the places of its n files (0: one file, path). False: they do
 * not fit it. */
typedef struct zn_source_place {
    const char *path;
    uint32_t first_line;
} zn_source_place;
bool zn_sources_take(zn_sources *s, const char *path, const char *text, const zn_source_place *places, size_t n,
                     zn_diags *d);
void zn_sources_free(zn_sources *s);

#endif
