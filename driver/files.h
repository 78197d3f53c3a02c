/* Whole files in and out. Results are written under a temporary name and renamed, so nothing is left half-written. */
#ifndef ZN_DRIVER_FILES_H
#define ZN_DRIVER_FILES_H

#include <stdbool.h>

#include "support/buf.h"

/* Reads path ("-": standard input) into out; false with *error (to be freed) if it cannot be read or is too large. */
bool zn_file_read(const char *path, zn_buf *out, char **error);
/* Writes n bytes to path ("-": standard output). */
bool zn_file_write(const char *path, const void *at, size_t n, char **error);

#endif
