/* See cells.h. Sets are open hash tables, asked and counted but never walked. */
#include "passes/prove/cells.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/prove/grid.h"
#include "support/ice.h"

zn_cell zn_field_of(float x) {
    int e;
    float m = frexpf(fabsf(x), &e);
    if (m == 0 || !isfinite(x))
        return x == 0 ? 0 : zn_field_hash(zn_cell_of(x));
    int shift = ((e - 24) % 61 + 61) % 61; /* 2^61 = 1 */
    zn_cell v = zn_field_mul((zn_cell)ldexpf(m, 24), (zn_cell)1 << shift);
    return x < 0 ? zn_field_neg(v) : v;
}

zn_cells zn_cells_uniform(bool elements, int64_t n, zn_cell x) {
    return (zn_cells){.form = ZN_CELLS_UNIFORM, .elements = elements, .n = n, .one = x};
}

zn_cells zn_cells_distinct(bool elements, int64_t n, uint64_t key) {
    return (zn_cells){.form = ZN_CELLS_DISTINCT, .elements = elements, .n = n, .one = key};
}

zn_cells zn_cells_array(bool elements, int64_t n) {
    zn_cells c = {.form = ZN_CELLS_ARRAY, .elements = elements, .n = n, .at = calloc((size_t)n, sizeof(zn_cell))};
    if (!c.at)
        ZN_ICE("out of memory");
    return c;
}

void zn_cells_free(zn_cells *c) {
    if (!c->borrowed) {
        free(c->at);
        zn_grid_free(c->grid);
    }
    c->at = NULL;
    c->grid = NULL;
}

zn_cells zn_cells_copy(const zn_cells *c) {
    zn_cells r = *c;
    r.borrowed = false;
    if (c->form == ZN_CELLS_GRID)
        r.grid = zn_grid_copy(c->grid);
    if (c->form != ZN_CELLS_ARRAY)
        return r;
    r = zn_cells_array(c->elements, c->n);
    memcpy(r.at, c->at, (size_t)c->n * sizeof *r.at);
    return r;
}

void zn_cells_settle(zn_cells *c) {
    int64_t i = 1;
    while (c->form == ZN_CELLS_ARRAY && i < c->n && c->at[i] == c->at[0])
        i++;
    if (c->form != ZN_CELLS_ARRAY || i < c->n)
        return;
    zn_cell x = c->at[0];
    zn_cells_free(c);
    *c = zn_cells_uniform(c->elements, c->n, x);
}

void zn_cells_part(bool exact, zn_cells *c) {
    zn_cell_set s = {0};
    int64_t i = 0;
    for (; c->form == ZN_CELLS_ARRAY && i < c->n; i++) {
        if (zn_cell_zero(exact, c->at[i]) || (!exact && zn_cell_is_number(c->at[i])) || !zn_cell_set_add(&s, c->at[i]))
            break;
    }
    zn_cell_set_free(&s);
    if (c->form != ZN_CELLS_ARRAY || i < c->n)
        return;
    uint64_t key = zn_cells_hash(c);
    zn_cells_free(c);
    *c = zn_cells_distinct(true, c->n, key & ~ZN_CELL_NONNEGATIVE);
}

int64_t zn_cells_zeros(bool exact, const zn_cells *c) {
    int64_t n = 0;
    switch (c->form) {
    case ZN_CELLS_DISTINCT:
        return 0;
    case ZN_CELLS_UNIFORM:
        return zn_cell_zero(exact, c->one) ? c->n : 0;
    case ZN_CELLS_GRID:
        return zn_grid_zeros(exact, c->grid);
    case ZN_CELLS_ARRAY:
        break;
    }
    for (int64_t i = 0; i < c->n; i++)
        n += zn_cell_zero(exact, c->at[i]);
    return n;
}

bool zn_cells_all_zero(bool exact, const zn_cells *c) {
    return zn_cells_zeros(exact, c) == c->n;
}

int64_t zn_cells_classes(bool exact, const zn_cells *c) {
    if (c->form != ZN_CELLS_ARRAY)
        return c->form == ZN_CELLS_UNIFORM ? 1 : c->n;
    zn_cell_set s = {0};
    for (int64_t i = 0; i < c->n; i++)
        zn_cell_set_add(&s, zn_cell_zero(exact, c->at[i]) ? 0 : c->at[i]);
    int64_t n = (int64_t)s.n;
    zn_cell_set_free(&s);
    return n;
}

uint64_t zn_cells_hash(const zn_cells *c) {
    uint64_t h = zn_cell_mix((uint64_t)c->n, c->elements);
    if (c->form == ZN_CELLS_GRID)
        return zn_cell_mix(h, zn_grid_hash(c->grid));
    if (c->form != ZN_CELLS_ARRAY)
        return zn_cell_mix(h, zn_cell_mix(c->form, c->one));
    for (int64_t i = 0; i < c->n; i++)
        h = zn_cell_mix(h, c->at[i]);
    return h;
}

static void insert(zn_cell_set *s, zn_cell x) {
    size_t mask = s->cap - 1, i = zn_cell_mix(x, 1) & mask;
    while (s->slot[i])
        i = (i + 1) & mask;
    s->slot[i] = x;
}

bool zn_cell_set_add(zn_cell_set *s, zn_cell x) {
    if (!x) {
        bool is_new = !s->zero;
        s->zero = true;
        s->n += is_new;
        return is_new;
    }
    if (2 * (s->n + 1) > s->cap) {
        zn_cell_set old = *s;
        s->cap = old.cap ? 2 * old.cap : 64;
        s->slot = calloc(s->cap, sizeof *s->slot);
        if (!s->slot)
            ZN_ICE("out of memory");
        for (size_t i = 0; i < old.cap; i++)
            if (old.slot[i])
                insert(s, old.slot[i]);
        free(old.slot);
    }
    size_t mask = s->cap - 1, i = zn_cell_mix(x, 1) & mask;
    for (; s->slot[i]; i = (i + 1) & mask)
        if (s->slot[i] == x)
            return false;
    s->slot[i] = x;
    s->n++;
    return true;
}

void zn_cell_set_free(zn_cell_set *s) {
    free(s->slot);
    *s = (zn_cell_set){0};
}
