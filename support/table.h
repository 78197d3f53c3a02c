/* A hash table from strings to pointers, in an arena. It is only asked, never walked, so that no result can depend on
 * the order of hashes. Zero-initialise to start; keys are not copied. */
#ifndef ZN_SUPPORT_TABLE_H
#define ZN_SUPPORT_TABLE_H

#include "support/arena.h"

typedef struct zn_table_slot {
    const char *key;
    void *value;
} zn_table_slot;
typedef struct zn_table {
    zn_table_slot *slot;
    size_t n, cap;
} zn_table;

/* NULL if there is none. */
void *zn_table_get(const zn_table *t, const char *key);
/* Where the value of `key` stands, NULL at first; until the next call. */
void **zn_table_at(zn_arena *a, zn_table *t, const char *key);

#endif
