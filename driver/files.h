/* Whole files in and out, with messages. */
#ifndef ZN_DRIVER_FILES_H
#define ZN_DRIVER_FILES_H

#include <stdbool.h>

#include "support/buf.h"

/* Reads path ("-": standard input) into out; false with *error (to be freed) if it cannot be read or is too large. */
bool zn_file_read(const char *path, zn_buf *out, char **error);
/* Whether path may be written: before any work is done for it. Text goes to standard output ("-"), devices and pipes as
 * well as into files; other results only into files. source is not to be overwritten. */
bool zn_file_check(const char *path, const char *source, bool is_text, char **error);
/* Writes n bytes to path. A file appears whole or not at all (support/file.h). */
bool zn_file_write(const char *path, const void *at, size_t n, bool is_text, char **error);

#endif
