/* Objects kept on disk under the hash of everything they are a function of.
 *
 * Several processes and threads may use one directory at once: an entry is written under a temporary name and renamed,
 * carries its own length and SHA-256, and is deleted where these do not agree. Nothing here is an error: what cannot be
 * read or written is only not kept. */
#ifndef ZN_BACKEND_CACHE_H
#define ZN_BACKEND_CACHE_H

#include "backend/backend.h"

enum { ZN_CACHE_KEY = 65 }; /* SHA-256 in hex and a NUL */

typedef struct zn_cache zn_cache;

/* NULL where `dir` is NULL, cannot be made, is not this user's, or may be written by others: its objects are run. */
zn_cache *zn_cache_open(const char *dir);
/* Removes the oldest entries if there are more than `limit` bytes of them and any was added. NULL is allowed. */
void zn_cache_close(zn_cache *c, int64_t limit);

/* The key of what is given, one part after the other; each part is hashed with its length. */
typedef struct zn_cache_part {
    const void *at;
    size_t size;
} zn_cache_part;
void zn_cache_key(const zn_cache_part *parts, size_t n, char key[ZN_CACHE_KEY]);

/* The key of the running program's own bytes: what a generator writes is a function of them and of what it is given.
 * False where they cannot be read. */
bool zn_cache_program(char key[ZN_CACHE_KEY]);

/* False if there is no good entry. The object is to be freed with free. */
bool zn_cache_get(zn_cache *c, const char *key, zn_object *out);
void zn_cache_put(zn_cache *c, const char *key, const zn_object *object);

#endif
