/* Zeroed memory from the system, in huge pages where it is large. */
#ifndef ZN_RUNTIME_PAGES_H
#define ZN_RUNTIME_PAGES_H

#include <stddef.h>

/* Zero-initialise to start. `at` is what was asked for; map and mapped are what the system gave. */
typedef struct zn_rt_pages {
    char *at;
    void *map;
    size_t mapped;
} zn_rt_pages;

/* `size` bytes (0 counts as 1); 0, or -1 where there are none. From the size of a huge page (2 MiB) on, they start at
 * one and are offered to the kernel as huge pages. */
int zn_rt_pages_get(zn_rt_pages *p, size_t size);
void zn_rt_pages_free(zn_rt_pages *p);

#endif
