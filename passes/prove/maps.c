/* What elementwise operations prove: a function of cells for each, applied to all cells of the operands.
 *
 * Bits are those of the reference interpreter (ir/interp.c): a number comes out only where the operation rounds once.
 * Of products of two activations exact arithmetic keeps nothing but which two they were. */
#include <math.h>

#include "passes/prove/grid.h"
#include "passes/prove/prover.h"

typedef zn_cell map_fn(const zn_prover *p, const zn_value *v, const zn_cell *x);

static bool both_numbers(const zn_prover *p, zn_cell a, zn_cell b) {
    return !p->exact && zn_cell_is_number(a) && zn_cell_is_number(b);
}
static bool number(const zn_prover *p, zn_cell x) {
    return !p->exact && zn_cell_is_number(x);
}
static float of(zn_cell x) {
    return zn_cell_number(x);
}
static zn_cell nonnegative(const zn_prover *p, zn_cell x) {
    if (p->exact)
        return 0;
    return zn_cell_is_number(x) ? (of(x) >= 0 ? ZN_CELL_NONNEGATIVE : 0) : x & ZN_CELL_NONNEGATIVE;
}
/* The hash of an operation on these cells, with tags. */
static zn_cell made(const zn_prover *p, uint64_t key, zn_cell a, zn_cell b, zn_cell tags) {
    uint64_t h = zn_cell_mix(zn_cell_mix(key, a), b);
    return p->exact ? zn_field_hash(h) : zn_cell_hash(h, tags);
}
/* The same where the order of the two does not matter. */
static zn_cell made_of_both(const zn_prover *p, uint64_t key, zn_cell a, zn_cell b, zn_cell tags) {
    return a < b ? made(p, key, a, b, tags) : made(p, key, b, a, tags);
}

enum { KEY_PLUS_ZERO = 1, KEY_ADD, KEY_SUB, KEY_MUL, KEY_DIV, KEY_INVERSE, KEY_TIMES, KEY_PLUS };

zn_cell zn_plus_zero(const zn_prover *p, zn_cell x) {
    if (p->exact || (x & ZN_CELL_NOT_MINUS && !zn_cell_is_number(x)))
        return x;
    if (zn_cell_is_number(x))
        return zn_cell_of(of(x) + 0.0f);
    if (x & ZN_CELL_ZERO)
        return 0;
    return made(p, KEY_PLUS_ZERO, x, 0, (x & ZN_CELL_NONNEGATIVE) | ZN_CELL_NOT_MINUS);
}

zn_cell zn_cell_add(const zn_prover *p, zn_cell a, zn_cell b) {
    if (p->exact)
        return zn_field_add(a, b);
    if (both_numbers(p, a, b))
        return zn_cell_of(of(a) + of(b));
    if (a == 0 || b == 0)
        return zn_plus_zero(p, a == 0 ? b : a);
    zn_cell tags = (nonnegative(p, a) & nonnegative(p, b)) | (zn_is_zero(p, a) && zn_is_zero(p, b) ? ZN_CELL_ZERO : 0);
    return made_of_both(p, KEY_ADD, a, b, tags);
}

zn_cell zn_cell_sub(const zn_prover *p, zn_cell a, zn_cell b) {
    if (p->exact)
        return zn_field_add(a, zn_field_neg(b));
    if (both_numbers(p, a, b))
        return zn_cell_of(of(a) - of(b));
    if (a == b) /* also where both are 0: of one sign, then */
        return 0;
    if (b == 0)
        return a;
    return made(p, KEY_SUB, a, b, zn_is_zero(p, a) && zn_is_zero(p, b) ? ZN_CELL_ZERO : 0);
}

zn_cell zn_cell_times(const zn_prover *p, zn_cell x, float k) {
    if (p->exact)
        return zn_field_mul(x, zn_field_of(k));
    if (zn_cell_is_number(x))
        return zn_cell_of(of(x) * k);
    if (k == 1)
        return x;
    zn_cell tags = (k >= 0 ? nonnegative(p, x) : 0) | (x & ZN_CELL_ZERO) | (k == 0 ? ZN_CELL_ZERO : 0);
    return made(p, KEY_TIMES, x, zn_cell_of(k), tags);
}

/* ---- the operations */

static zn_cell map_add(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    (void)v;
    return zn_cell_add(p, x[0], x[1]);
}
static zn_cell map_sub(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    (void)v;
    return zn_cell_sub(p, x[0], x[1]);
}
static zn_cell map_mul(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    zn_cell a = x[0], b = x[1];
    if (p->exact) {
        bool activations = !zn_cells_of(p, v, 0)->elements && !zn_cells_of(p, v, 1)->elements;
        return !a || !b ? 0 : activations ? made_of_both(p, KEY_MUL, a, b, 0) : zn_field_mul(a, b);
    }
    if (both_numbers(p, a, b))
        return zn_cell_of(of(a) * of(b));
    if ((a == 0 && nonnegative(p, b)) || (b == 0 && nonnegative(p, a)))
        return 0;
    zn_cell tags = (nonnegative(p, a) & nonnegative(p, b)) | (a == b ? ZN_CELL_NONNEGATIVE : 0);
    return made_of_both(p, KEY_MUL, a, b, tags | (zn_is_zero(p, a) || zn_is_zero(p, b) ? ZN_CELL_ZERO : 0));
}
static zn_cell map_mul_const(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    return zn_cell_times(p, x[0], (float)zn_attr_of(v, MUL_CONST, value)->f);
}
static zn_cell map_add_const(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    float k = (float)zn_attr_of(v, ADD_CONST, value)->f;
    if (p->exact)
        return zn_field_add(x[0], zn_field_of(k));
    if (zn_cell_is_number(x[0]))
        return zn_cell_of(of(x[0]) + k);
    return made(p, KEY_PLUS, x[0], zn_cell_of(k), k >= 0 ? nonnegative(p, x[0]) : 0);
}
static zn_cell map_div(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    zn_cell a = x[0], b = x[1];
    if (p->exact) {
        bool activations = !zn_cells_of(p, v, 0)->elements || !zn_cells_of(p, v, 1)->elements;
        return !a ? 0 : activations ? made(p, KEY_DIV, a, b, 0) : zn_field_mul(a, made(p, KEY_INVERSE, b, 0, 0));
    }
    if (both_numbers(p, a, b))
        return zn_cell_of(of(a) / of(b));
    if (a == 0 && nonnegative(p, b))
        return 0;
    return made(p, KEY_DIV, a, b, (nonnegative(p, a) & nonnegative(p, b)) | (zn_is_zero(p, a) ? ZN_CELL_ZERO : 0));
}
static zn_cell map_max(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (x[0] == x[1])
        return x[0];
    if (both_numbers(p, x[0], x[1]))
        return of(x[0]) > of(x[1]) ? x[0] : x[1];
    return made(p, p->key[v->id], x[0], x[1], nonnegative(p, x[0]) | nonnegative(p, x[1]));
}
static zn_cell map_neg(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (p->exact)
        return zn_field_neg(x[0]);
    return zn_cell_is_number(x[0]) ? zn_cell_of(-of(x[0])) : made(p, p->key[v->id], x[0], 0, x[0] & ZN_CELL_ZERO);
}
static zn_cell map_sqrt(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (p->exact)
        return x[0] ? made(p, p->key[v->id], x[0], 0, 0) : 0;
    return zn_cell_is_number(x[0]) ? zn_cell_of(sqrtf(of(x[0])))
                                   : made(p, p->key[v->id], x[0], 0, ZN_CELL_NONNEGATIVE | (x[0] & ZN_CELL_ZERO));
}
/* Of functions that are not 0 at 0. */
static zn_cell map_exp(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    return made(p, p->key[v->id], x[0], 0, ZN_CELL_NONNEGATIVE);
}
static zn_cell map_log(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    return made(p, p->key[v->id], x[0], 0, 0);
}
/* tanh and erf: of 0 they are 0. */
static zn_cell map_odd(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (x[0] == 0)
        return 0;
    return made(p, p->key[v->id], x[0], 0,
                nonnegative(p, x[0]) | (!p->exact && zn_is_zero(p, x[0]) ? ZN_CELL_ZERO : 0));
}
static zn_cell map_gelu(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    return map_odd(p, v, x);
}
static zn_cell map_gelu_grad(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (p->exact && !x[0])
        return 0;
    return made(p, p->key[v->id], x[0], x[1], zn_is_zero(p, x[0]) ? ZN_CELL_ZERO : 0);
}
static zn_cell map_relu(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (p->exact)
        return x[0] ? made(p, p->key[v->id], x[0], 0, 0) : 0;
    if (zn_cell_is_number(x[0]))
        return of(x[0]) < 0 ? 0 : x[0];
    if (x[0] & (ZN_CELL_NONNEGATIVE | ZN_CELL_ZERO))
        return x[0];
    return made(p, p->key[v->id], x[0], 0, ZN_CELL_NONNEGATIVE);
}
static zn_cell map_relu_grad(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    bool one = zn_attr_of(v, RELU_GRAD, at_zero)->i;
    if (x[0] == 0)
        return 0;
    if (zn_is_zero(p, x[1]))
        return one ? x[0] : 0;
    if (number(p, x[1]))
        return of(x[1]) > 0 ? x[0] : 0;
    if (one && nonnegative(p, x[1]))
        return x[0];
    return made(p, p->key[v->id], x[0], x[1], nonnegative(p, x[0]) | (zn_is_zero(p, x[0]) ? ZN_CELL_ZERO : 0));
}
static zn_cell map_select(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    if (x[2] == x[3])
        return x[2];
    if (both_numbers(p, x[0], x[1]))
        return of(x[0]) < of(x[1]) ? x[2] : x[3];
    zn_cell zero = !p->exact && zn_is_zero(p, x[2]) && zn_is_zero(p, x[3]) ? ZN_CELL_ZERO : 0;
    return made(p, zn_cell_mix(zn_cell_mix(p->key[v->id], x[0]), x[1]), x[2], x[3],
                (nonnegative(p, x[2]) & nonnegative(p, x[3])) | zero);
}
static zn_cell map_mask(const zn_prover *p, const zn_value *v, const zn_cell *x) {
    bool inverted = zn_attr_of(v, MASK, inverted)->i;
    if (x[2] == 0)
        return 0;
    if (both_numbers(p, x[0], x[1]))
        return (of(x[0]) < of(x[1])) != inverted ? x[2] : 0;
    return made(p, zn_cell_mix(p->key[v->id], x[0]), x[1], x[2],
                nonnegative(p, x[2]) | (!p->exact && zn_is_zero(p, x[2]) ? ZN_CELL_ZERO : 0));
}

/* ---- over all cells */

/* Are all operands uniform, or those that are not of form `but`? */
static bool uniform_but(const zn_prover *p, const zn_value *v, zn_cells_form but) {
    for (int k = 0; k < v->noperands; k++) {
        zn_cells_form form = zn_cells_of(p, v, k)->form;
        if (form != ZN_CELLS_UNIFORM && form != but)
            return false;
    }
    return true;
}

/* An operand that is distinct and as long as the result; NULL if there is none. */
static const zn_cells *distinct_operand(const zn_prover *p, const zn_value *v, int64_t n) {
    for (int k = 0; k < v->noperands; k++) {
        const zn_cells *c = zn_cells_of(p, v, k);
        if (c->form == ZN_CELLS_DISTINCT && c->n == n)
            return c;
    }
    return NULL;
}

static zn_cell at(const zn_prover *p, const zn_value *v, map_fn *f, int64_t i) {
    zn_cell x[4] = {0};
    for (int k = 0; k < v->noperands && k < 4; k++) {
        const zn_cells *c = zn_cells_of(p, v, k);
        x[k] = zn_cells_get(p->exact, c, c->n == 1 ? 0 : i % c->n);
    }
    return f(p, v, x);
}

/* Of a distinct operand: what all cells are if that is one known thing, or the operand itself; else that nothing is
 * known of the result but which operands it has. False where zeros may be among it. */
static bool map_distinct(const zn_prover *p, const zn_value *v, map_fn *f, int64_t n, zn_cells *r) {
    const zn_cells *d = distinct_operand(p, v, n);
    if (!d || n < 2)
        return false;
    bool plain = uniform_but(p, v, ZN_CELLS_DISTINCT);
    zn_cell a = at(p, v, f, 0), b = at(p, v, f, n - 1);
    if (plain && a == b)
        *r = zn_cells_uniform(true, n, a);
    else if (zn_is_zero(p, a) || zn_is_zero(p, b))
        return false;
    else if (plain && a == zn_cells_get(p->exact, d, 0) && b == zn_cells_get(p->exact, d, n - 1))
        *r = zn_cells_distinct(true, n, d->one);
    else {
        uint64_t h = p->key[v->id];
        for (int k = 0; k < v->noperands; k++)
            h = zn_cell_mix(h, zn_cells_hash(zn_cells_of(p, v, k)));
        zn_cell sign = p->exact || !plain ? 0 : a & b & ZN_CELL_NONNEGATIVE;
        *r = zn_cells_distinct(true, n, (h & ~ZN_CELL_NONNEGATIVE) | sign);
    }
    return true;
}

typedef struct zipped {
    const zn_prover *p;
    const zn_value *v;
    map_fn *f;
} zipped;
static zn_cell zip(const void *ctx, const zn_cell *x) {
    const zipped *z = ctx;
    return z->f(z->p, z->v, x);
}

static bool map_grid(const zn_prover *p, const zn_value *v, map_fn *f, zn_cells *r) {
    const zn_cells *x[4];
    for (int k = 0; k < v->noperands && k < 4; k++) {
        x[k] = zn_cells_of(p, v, k);
        if (x[k]->n != 1 && x[k]->n != x[0]->n)
            return false;
    }
    return zn_grid_zip(p->exact, x, v->noperands, zip, &(zipped){p, v, f}, r);
}

static zn_cells map(const zn_prover *p, const zn_value *v, map_fn *f) {
    const zn_cells *first = zn_cells_of(p, v, 0);
    int64_t n = first->n;
    bool elements = first->elements;
    for (int k = 1; k < v->noperands; k++) {
        const zn_cells *c = zn_cells_of(p, v, k);
        if (c->n > n || n % c->n || (elements && !c->elements))
            return zn_nothing_known(p, v, elements, n);
    }
    if (uniform_but(p, v, ZN_CELLS_UNIFORM))
        return zn_cells_uniform(elements, n, at(p, v, f, 0));
    zn_cells r;
    if (elements && (map_distinct(p, v, f, n, &r) || map_grid(p, v, f, &r)))
        return r;
    if (n > ZN_PROVE_MOST)
        return zn_nothing_known(p, v, elements, n);
    r = zn_cells_array(elements, n);
    zn_cell last[4] = {0}, x[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        bool same = i > 0;
        for (int k = 0; k < v->noperands && k < 4; k++) {
            const zn_cells *c = zn_cells_of(p, v, k);
            x[k] = zn_cells_get(p->exact, c, c->n == n ? i : i % c->n);
            same &= x[k] == last[k];
            last[k] = x[k];
        }
        r.at[i] = same ? r.at[i - 1] : f(p, v, x);
    }
    zn_cells_settle(&r);
    return r;
}

#define MAP(name)                                                                                                      \
    zn_cells zn_prove_##name(const zn_prover *p, const zn_value *v) {                                                  \
        return map(p, v, map_##name);                                                                                  \
    }
MAP(add)
MAP(sub)
MAP(mul)
MAP(mul_const)
MAP(add_const)
MAP(div)
MAP(max)
MAP(neg)
MAP(sqrt)
MAP(exp)
MAP(log)
MAP(odd)
MAP(gelu)
MAP(gelu_grad)
MAP(relu)
MAP(relu_grad)
MAP(select)
MAP(mask)

/* Which elements are dropped differs from channel to channel, and no element of a 0 is anything else. */
zn_cells zn_prove_dropout_mask(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    zn_cells r = zn_cells_array(x->elements, x->n);
    for (int64_t i = 0; i < x->n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i);
        uint64_t h = zn_cell_mix(zn_cell_mix(p->key[v->id], (uint64_t)v->id), (uint64_t)i);
        r.at[i] = c == 0 ? 0 : made(p, h, c, 0, nonnegative(p, c) | (zn_is_zero(p, c) ? ZN_CELL_ZERO : 0));
    }
    zn_cells_settle(&r);
    return r;
}
