/* Bump allocator: blocks double from 16 KB to 1 MB. See arena.h for the rules. */
#include "support/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/ice.h"

struct zn_arena_block {
    zn_arena_block *next;
};

size_t zn_size_mul(size_t a, size_t b) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        ZN_ICE("size overflow: %zu * %zu", a, b);
    return r;
}

static zn_arena_block *block_new(zn_arena *a, size_t size) {
    zn_arena_block *b = calloc(1, size);
    if (!b)
        ZN_ICE("out of memory (%zu bytes)", size);
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *zn_arena_alloc(zn_arena *a, size_t size, size_t align) {
    ZN_ASSERT(align && (align & (align - 1)) == 0);
#ifndef ZN_ARENA_MALLOC
    if (a->cur) {
        size_t pad = (size_t)(-(uintptr_t)a->cur & (align - 1)), left = (size_t)(a->end - a->cur);
        if (pad <= left && size <= left - pad) {
            char *p = a->cur + pad;
            a->cur = p + size;
            return p;
        }
    }
#endif
    if (size > SIZE_MAX / 2 || align > 4096)
        ZN_ICE("allocation of %zu bytes aligned to %zu", size, align);
    size_t need = sizeof(zn_arena_block) + align - 1 + size;
#ifdef ZN_ARENA_MALLOC
    /* The object ends where the malloc'd block ends, so an overrun is seen. */
    need = (sizeof(zn_arena_block) + align - 1) / align * align + size;
    zn_arena_block *b = block_new(a, need);
    uintptr_t start = ((uintptr_t)(b + 1) + align - 1) / align * align;
    if (start + size > (uintptr_t)b + need) { /* malloc aligned less than asked: pay the slack */
        a->blocks = b->next;
        free(b);
        b = block_new(a, need + align);
        start = ((uintptr_t)(b + 1) + align - 1) / align * align;
    }
    return (void *)start;
#else
    if (!a->block_size)
        a->block_size = 16 << 10;
    else if (a->block_size < 1 << 20)
        a->block_size *= 2;
    size_t size_of_block = need > a->block_size / 2 ? need : a->block_size;
    zn_arena_block *b = block_new(a, size_of_block);
    char *p = (char *)(((uintptr_t)(b + 1) + align - 1) / align * align);
    if (size_of_block == a->block_size) {
        a->cur = p + size;
        a->end = (char *)b + size_of_block;
    }
    return p;
#endif
}

void zn_arena_free(zn_arena *a) {
    while (a->blocks) {
        zn_arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    *a = (zn_arena){0};
}

char *zn_arena_strndup(zn_arena *a, const char *s, size_t n) {
    char *p = zn_arena_alloc(a, n + 1, 1);
    memcpy(p, s, n);
    return p;
}

char *zn_arena_strdup(zn_arena *a, const char *s) {
    return zn_arena_strndup(a, s, strlen(s));
}

char *zn_arena_printf(zn_arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ZN_ASSERT(n >= 0);
    char *p = zn_arena_alloc(a, (size_t)n + 1, 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void *zn_vec_grow(zn_arena *a, void *at, size_t n, size_t *cap, size_t elem, size_t align) {
    size_t want = *cap ? zn_size_mul(*cap, 2) : 8;
    void *p = zn_arena_alloc(a, zn_size_mul(want, elem), align);
    if (n)
        memcpy(p, at, n * elem);
    *cap = want;
    return p;
}
