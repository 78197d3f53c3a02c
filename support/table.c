/* See table.h. Open addressing with linear probing, at most half full; FNV-1a. */
#include "support/table.h"

#include <stdint.h>
#include <string.h>

static size_t hash(const char *s) {
    uint64_t h = UINT64_C(1469598103934665603);
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 32);
}

static zn_table_slot *find(const zn_table *t, const char *key) {
    size_t i = hash(key) & (t->cap - 1);
    while (t->slot[i].key && strcmp(t->slot[i].key, key))
        i = (i + 1) & (t->cap - 1);
    return &t->slot[i];
}

void *zn_table_get(const zn_table *t, const char *key) {
    return t->cap ? find(t, key)->value : NULL;
}

void **zn_table_at(zn_arena *a, zn_table *t, const char *key) {
    if (2 * (t->n + 1) > t->cap) {
        zn_table old = *t;
        t->cap = old.cap ? 2 * old.cap : 64;
        t->slot = zn_new_n(a, zn_table_slot, t->cap);
        for (size_t i = 0; i < old.cap; i++)
            if (old.slot[i].key)
                *find(t, old.slot[i].key) = old.slot[i];
    }
    zn_table_slot *s = find(t, key);
    if (!s->key) {
        s->key = key;
        t->n++;
    }
    return &s->value;
}
