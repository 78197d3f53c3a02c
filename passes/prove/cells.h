/* Abstract tensors of the prover: a cell stands for what is known of a channel or an element.
 *
 * Equal cells are proven equal, whatever the data; different cells say nothing. There are two readings.
 *
 * Exact: arithmetic of real numbers. A cell is an element of the field of 2^61 - 1 elements: the value of the
 * polynomial that the channel is in its unknowns, at a point drawn by hashing. Sums, products by parameters and
 * cancellations come out by themselves; two different polynomials meet with a probability of about their degree / 2^61
 * (Schwartz 1980, Zippel 1979). The cell 0 is "is 0".
 *
 * Bits: floating-point numbers, operation by operation in the order of docs/ir.md. A cell is the hash of the operations
 * that lead to it, or a known number. Products with a factor that is 0 are left out of a chain, whose value they do not
 * change (it starts at +0, and is never -0 unless a product underflows).
 *
 * Both hold as long as all numbers are finite. */
#ifndef ZN_PASSES_PROVE_CELLS_H
#define ZN_PASSES_PROVE_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t zn_cell;

/* Of bits: a cell below 2^32 is the float with those bits; all others are OPAQUE, with what is known besides. */
#define ZN_CELL_ZERO ((zn_cell)1 << 63)        /* is 0, of either sign */
#define ZN_CELL_NONNEGATIVE ((zn_cell)1 << 62) /* is at least 0 */
#define ZN_CELL_OPAQUE ((zn_cell)1 << 61)
#define ZN_CELL_NOT_MINUS ((zn_cell)1 << 60) /* is not -0 */
#define ZN_CELL_HASH (ZN_CELL_NOT_MINUS - 1)

/* A tensor. Of one whose positions are not told apart (activations) the cells are channels, of others all elements. */
typedef enum zn_cells_form { ZN_CELLS_UNIFORM, ZN_CELLS_DISTINCT, ZN_CELLS_ARRAY, ZN_CELLS_GRID } zn_cells_form;
typedef struct zn_grid zn_grid; /* passes/prove/grid.h */
typedef struct zn_cells {
    zn_cells_form form;
    bool elements; /* cells are elements, not channels */
    bool borrowed; /* `at` and `grid` are another's */
    int64_t n;     /* cells */
    zn_cell one;   /* UNIFORM: all of them; DISTINCT: cell i is zn_cell_nth(one, i), and nothing is equal */
    zn_cell *at;   /* ARRAY; malloc */
    zn_grid *grid; /* GRID, of elements only */
} zn_cells;

/* A hash of two numbers, in this order. */
static inline uint64_t zn_cell_mix(uint64_t a, uint64_t b) {
    __uint128_t x = (__uint128_t)(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xE7037ED1A0B428DBu);
    uint64_t y = (uint64_t)x ^ (uint64_t)(x >> 64) ^ a;
    x = (__uint128_t)(y ^ 0x8EBC6AF09C88C6E3u) * (b + 0x589965CC75374CC3u);
    return (uint64_t)x ^ (uint64_t)(x >> 64);
}

#define ZN_FIELD (((uint64_t)1 << 61) - 1)
static inline zn_cell zn_field_add(zn_cell a, zn_cell b) {
    zn_cell s = a + b;
    return s >= ZN_FIELD ? s - ZN_FIELD : s;
}
static inline zn_cell zn_field_neg(zn_cell a) {
    return a ? ZN_FIELD - a : 0;
}
static inline zn_cell zn_field_mul(zn_cell a, zn_cell b) {
    __uint128_t x = (__uint128_t)a * b;
    return zn_field_add((uint64_t)x & ZN_FIELD, (uint64_t)(x >> 61));
}
/* An element other than 0. */
static inline zn_cell zn_field_hash(uint64_t h) {
    h &= ZN_FIELD;
    return h == ZN_FIELD || h == 0 ? 1 : h;
}
zn_cell zn_field_of(float x);

static inline bool zn_cell_is_number(zn_cell x) {
    return !(x & ZN_CELL_OPAQUE);
}
static inline float zn_cell_number(zn_cell x) {
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)x};
    return v.f;
}
static inline zn_cell zn_cell_of(float x) {
    union {
        float f;
        uint32_t u;
    } v = {x};
    return v.u;
}
/* An opaque cell of bits, with tags. */
static inline zn_cell zn_cell_hash(uint64_t h, zn_cell tags) {
    return (h & ZN_CELL_HASH) | ZN_CELL_OPAQUE | tags;
}

static inline zn_cell zn_cell_nth(bool exact, zn_cell key, int64_t i) {
    uint64_t h = zn_cell_mix(key, (uint64_t)i + 1);
    return exact ? zn_field_hash(h) : zn_cell_hash(h, key & ZN_CELL_NONNEGATIVE);
}
/* Is the cell proven to be 0? */
static inline bool zn_cell_zero(bool exact, zn_cell x) {
    return exact ? x == 0 : x == 0 || x == 0x80000000u || (x & ZN_CELL_ZERO);
}
zn_cell zn_grid_get(const zn_grid *g, int64_t i);
static inline zn_cell zn_cells_get(bool exact, const zn_cells *c, int64_t i) {
    switch (c->form) {
    case ZN_CELLS_ARRAY:
        return c->at[i];
    case ZN_CELLS_GRID:
        return zn_grid_get(c->grid, i);
    case ZN_CELLS_DISTINCT:
        return zn_cell_nth(exact, c->one, i);
    case ZN_CELLS_UNIFORM:
        break;
    }
    return c->one;
}

zn_cells zn_cells_uniform(bool elements, int64_t n, zn_cell x);
zn_cells zn_cells_distinct(bool elements, int64_t n, uint64_t key);
/* An array to be filled, zeros at first. Free with zn_cells_free. */
zn_cells zn_cells_array(bool elements, int64_t n);
void zn_cells_free(zn_cells *c);
zn_cells zn_cells_copy(const zn_cells *c);
/* An array all of whose cells are equal becomes uniform. */
void zn_cells_settle(zn_cells *c);
/* An array of elements that are all different unknowns becomes distinct. */
void zn_cells_part(bool exact, zn_cells *c);
bool zn_cells_all_zero(bool exact, const zn_cells *c);
int64_t zn_cells_zeros(bool exact, const zn_cells *c);
/* How many different cells there are; with zeros counted as one if any. */
int64_t zn_cells_classes(bool exact, const zn_cells *c);
/* All cells in order, as one number. */
uint64_t zn_cells_hash(const zn_cells *c);

/* A set of cells. Zero-initialise to start. */
typedef struct zn_cell_set {
    zn_cell *slot;
    size_t n, cap;
    bool zero; /* holds 0, which marks empty slots */
} zn_cell_set;
/* True if x was not in it. */
bool zn_cell_set_add(zn_cell_set *s, zn_cell x);
void zn_cell_set_free(zn_cell_set *s);

#endif
