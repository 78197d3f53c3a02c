/* `znetc data`: which files a program reads, whether they are there, and whether they are those that were published. */
#ifndef ZN_DRIVER_DATA_H
#define ZN_DRIVER_DATA_H

#include "ir/module.h"

/* Looks at the files of m's source, in `directory` instead of where m says if that is not NULL, and says of them what
 * can be said, as text or as one JSON object. 0 if all are there and none is known to be another; 3 if not, and with
 * *error (to be freed) where nothing can be said; 1, 2 with *error for a module without data, for a directory that has
 * no use. */
int zn_data_report(const zn_module *m, const char *directory, bool json, zn_buf *out, char **error);

#endif
