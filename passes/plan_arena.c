/* Offsets in the arena: buffers by decreasing size, each at the lowest offset that is free during its life (first fit
 * decreasing, as in the "greedy by size" planner of Pisarchyk and Lee, arXiv 2001.03288).
 *
 * A buffer is a rectangle, phases by bytes. A segment tree over phases holds in each node the bytes that are taken
 * during all of its phases (`cover`) and during any of them (`touch`), as sorted intervals; what is in the way of a
 * buffer are the `touch` of the nodes that make up its life and the `cover` of the nodes above. Intervals grow together
 * as the arena fills, so that a buffer costs about log2(phases) steps of a few intervals each. */
#include <stdlib.h>
#include <string.h>

#include "passes/planner.h"

typedef struct interval {
    int64_t lo, hi;
} interval;
/* Sorted, neither overlapping nor adjacent. */
typedef ZN_VEC(interval) interval_set;

typedef struct tree {
    zn_arena arena;
    size_t leaves; /* a power of two; leaf i is node leaves + i, the root is 1 */
    interval_set *cover, *touch;
} tree;

enum { MAX_NODES = 4 * 64 };

/* Of the first interval that ends behind x. */
static size_t first_behind(const interval_set *s, int64_t x) {
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->at[mid].hi > x)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static void add_interval(tree *t, interval_set *s, int64_t lo, int64_t hi) {
    size_t i = first_behind(s, lo - 1), j = i;
    while (j < s->n && s->at[j].lo <= hi) {
        lo = s->at[j].lo < lo ? s->at[j].lo : lo;
        hi = s->at[j].hi > hi ? s->at[j].hi : hi;
        j++;
    }
    if (j == i) {
        zn_vec_push(&t->arena, s, ((interval){0, 0}));
        memmove(s->at + i + 1, s->at + i, (s->n - 1 - i) * sizeof *s->at);
    } else {
        memmove(s->at + i + 1, s->at + j, (s->n - j) * sizeof *s->at);
        s->n -= j - i - 1;
    }
    s->at[i] = (interval){lo, hi};
}

/* The lowest offset from `at` on where `size` bytes are free of s. */
static int64_t skip(const interval_set *s, int64_t at, int64_t size) {
    for (size_t i = first_behind(s, at); i < s->n && s->at[i].lo < at + size; i++)
        at = s->at[i].hi;
    return at;
}

/* The nodes that make up leaves [first, last]. */
static size_t nodes_of(const tree *t, size_t first, size_t last, size_t *node) {
    size_t n = 0;
    for (size_t lo = first + t->leaves, hi = last + t->leaves + 1; lo < hi; lo /= 2, hi /= 2) {
        if (lo & 1)
            node[n++] = lo++;
        if (hi & 1)
            node[n++] = --hi;
    }
    return n;
}

/* The nodes from leaves first and last up to the root. */
static size_t paths_of(const tree *t, size_t first, size_t last, size_t *node) {
    size_t n = 0;
    for (size_t a = first + t->leaves, b = last + t->leaves; a; a /= 2, b /= 2) {
        node[n++] = a;
        if (b != a)
            node[n++] = b;
    }
    return n;
}

static int64_t place(tree *t, size_t first, size_t last, int64_t from, int64_t size) {
    size_t inner[MAX_NODES], path[MAX_NODES], n = nodes_of(t, first, last, inner), m = paths_of(t, first, last, path);
    int64_t at = from;
    for (int64_t before = -1; before != at;) {
        before = at;
        for (size_t i = 0; i < n; i++)
            at = skip(&t->touch[inner[i]], at, size);
        for (size_t i = 0; i < m; i++)
            at = skip(&t->cover[path[i]], at, size);
    }
    for (size_t i = 0; i < n; i++) {
        add_interval(t, &t->cover[inner[i]], at, at + size);
        add_interval(t, &t->touch[inner[i]], at, at + size);
    }
    for (size_t i = 0; i < m; i++)
        add_interval(t, &t->touch[path[i]], at, at + size);
    return at;
}

typedef struct candidate {
    int64_t size;
    int buffer;
} candidate;

/* Larger ones first; equal ones in order. */
static int by_size(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size) - (x->size > y->size)
                              : (x->buffer > y->buffer) - (x->buffer < y->buffer);
}

/* Most bytes that are live in one phase. */
static int64_t live_peak(tree *t, const zn_program_plan *prog, const candidate *order, size_t n) {
    int64_t *change = zn_new_n(&t->arena, int64_t, t->leaves + 1), live = 0, peak = 0;
    for (size_t i = 0; i < n; i++) {
        const zn_buffer *b = &prog->buffers.at[order[i].buffer];
        change[b->first + 1] += b->size;
        change[b->last + 2] -= b->size;
    }
    live = change[0];
    for (size_t phase = 0; phase < prog->phases.n; phase++) {
        live += change[phase + 1];
        peak = live > peak ? live : peak;
    }
    return peak;
}

/* Leaf i + 1 is phase i: 0 is for what no phase uses, phases.n + 1 for what lives until the end. */
void zn_pl_place_arena(zn_planner *p) {
    zn_program_plan *prog = p->prog;
    tree t = {.leaves = 4};
    while (t.leaves < prog->phases.n + 3)
        t.leaves *= 2;
    t.cover = zn_new_n(&t.arena, interval_set, 2 * t.leaves);
    t.touch = zn_new_n(&t.arena, interval_set, 2 * t.leaves);
    candidate *order = zn_new_n(&t.arena, candidate, prog->buffers.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < prog->buffers.n; i++)
        if (prog->buffers.at[i].place == ZN_PLACE_ARENA && prog->buffers.at[i].same_as < 0)
            order[n++] = (candidate){prog->buffers.at[i].size, (int)i};
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        zn_buffer *b = &prog->buffers.at[order[i].buffer];
        int64_t size = (b->size + 63) / 64 * 64;
        b->offset = place(&t, (size_t)(b->first + 1), (size_t)(b->last + 1), prog->guard, size);
        prog->arena_size = b->offset + size > prog->arena_size ? b->offset + size : prog->arena_size;
    }
    prog->arena_size += prog->guard;
    for (size_t i = 0; i < prog->buffers.n; i++) {
        zn_buffer *b = &prog->buffers.at[i];
        if (b->same_as < 0)
            continue;
        int64_t view = 0;
        const zn_buffer *root = b;
        for (; root->same_as >= 0; root = &prog->buffers.at[root->same_as])
            view += root->view;
        b->offset = root->offset + view;
    }
    prog->live_peak = live_peak(&t, prog, order, n);
    zn_arena_free(&t.arena);
}
