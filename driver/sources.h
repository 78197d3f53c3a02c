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
void zn_sources_free(zn_sources *s);

#endif
