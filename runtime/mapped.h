/* A file as memory: its pages are read when they are touched and given back when memory is scarce, so that it may be
 * larger than memory. A file that is cut while it is mapped ends the process (SIGBUS). */
#ifndef ZN_RUNTIME_MAPPED_H
#define ZN_RUNTIME_MAPPED_H

#include "runtime/error.h"

#include <stddef.h>
#include <stdint.h>

/* Zero-initialise to start. at: the content, aligned to a page. */
typedef struct zn_rt_mapped {
    const uint8_t *at;
    size_t size;
} zn_rt_mapped;

/* A regular file, for reading; what else stands at path is refused. */
int zn_rt_map(zn_rt_mapped *m, const char *path, zn_rt_error *e);
/* size bytes of an open file; -1 with errno where it cannot be. */
int zn_rt_map_fd(zn_rt_mapped *m, int fd, size_t size);
void zn_rt_unmap(zn_rt_mapped *m);

#endif
