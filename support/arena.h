/* Bump allocation with a named lifetime.
 *
 * An arena object owns nothing outside the arena: no malloc'd pointer, no file, no LLVM handle. Memory is zeroed.
 * Running out of memory in the compiler ends the process through zn_ice (support/ice.h).
 * Sanitizer builds define ZN_ARENA_MALLOC: one malloc per object, so that every overrun is seen. */
#ifndef ZN_SUPPORT_ARENA_H
#define ZN_SUPPORT_ARENA_H

#include <stdalign.h>
#include <stddef.h>
#include <string.h>

typedef struct zn_arena_block zn_arena_block;

/* Zero-initialise to start. */
typedef struct zn_arena {
    zn_arena_block *blocks;
    char *cur, *end;
    size_t block_size;
} zn_arena;

/* size may be 0; align is a power of two. Never returns NULL. */
void *zn_arena_alloc(zn_arena *a, size_t size, size_t align);
void zn_arena_free(zn_arena *a);

char *zn_arena_strndup(zn_arena *a, const char *s, size_t n);
char *zn_arena_strdup(zn_arena *a, const char *s);
char *zn_arena_printf(zn_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* a * b, or the end of the process: for sizes that are bounded by an earlier check. */
size_t zn_size_mul(size_t a, size_t b);

#define zn_new(a, T) ((T *)zn_arena_alloc((a), sizeof(T), alignof(T)))
#define zn_new_n(a, T, n) ((T *)zn_arena_alloc((a), zn_size_mul(sizeof(T), (n)), alignof(T)))

/* Growable array inside an arena: struct { T *at; size_t n, cap; }. The old copy is waste until the arena ends. */
#define ZN_VEC(T)                                                                                                      \
    struct {                                                                                                           \
        T *at;                                                                                                         \
        size_t n, cap;                                                                                                 \
    }
void *zn_vec_grow(zn_arena *a, void *at, size_t n, size_t *cap, size_t elem, size_t align);
#define zn_vec_push(a, v, x)                                                                                           \
    ((v)->n == (v)->cap                                                                                                \
         ? (void)((v)->at = zn_vec_grow((a), (v)->at, (v)->n, &(v)->cap, sizeof *(v)->at, alignof(max_align_t)))       \
         : (void)0,                                                                                                    \
     (void)((v)->at[(v)->n++] = (x)))

#endif
