/* What layers prove that are neither elementwise nor products: norms, pooling, changes of shape, sums, losses. */
#include <math.h>

#include "passes/prove/prover.h"
#include "support/formula.h"

enum { KEY_SUM = 128, KEY_MEAN, KEY_VARIANCE, KEY_INVERSE_DEVIATION };

static bool all_zero(const zn_prover *p, const zn_value *v, int operand) {
    return zn_cells_all_zero(p->exact, zn_cells_of(p, v, operand));
}
static uint64_t hash_of(const zn_prover *p, const zn_value *v, int operand) {
    return zn_cells_hash(zn_cells_of(p, v, operand));
}
/* An unknown that is 0 where `zero` says so, of either sign. */
static zn_cell unknown_or_zero(const zn_prover *p, uint64_t key, zn_cell a, zn_cell b, bool zero) {
    if (p->exact)
        return zero ? 0 : zn_unknown_of(p, key, a, b);
    return zn_unknown_of(p, key, a, b) | (zero ? ZN_CELL_ZERO : 0);
}

zn_cells zn_nothing_known(const zn_prover *p, const zn_value *v, bool elements, int64_t n) {
    uint64_t h = zn_cell_mix(zn_key_of(p, v), (uint64_t)v->id);
    return zn_cells_distinct(elements, n, h & ~ZN_CELL_NONNEGATIVE);
}

zn_cells zn_prove_unknown(const zn_prover *p, const zn_value *v) {
    bool elements = v->noperands > 0;
    for (int k = 0; k < v->noperands; k++)
        elements &= zn_cells_of(p, v, k)->elements;
    return zn_nothing_known(p, v, elements, elements ? zn_type_count(&v->type) : zn_type_channels(&v->type));
}

/* ---- leaves */

zn_cells zn_prove_nothing(const zn_prover *p, const zn_value *v) {
    (void)p;
    (void)v;
    return zn_zero_cells(true, 1);
}

zn_cells zn_prove_arg(const zn_prover *p, const zn_value *v) {
    if (p->input && v == p->f->args.at[0])
        return zn_cells_copy(p->input);
    return zn_cells_distinct(false, zn_type_channels(&v->type), zn_cell_mix(zn_key_of(p, v), 1) & ~ZN_CELL_NONNEGATIVE);
}

/* Reads share the parameter's array. */
zn_cells zn_prove_param(const zn_prover *p, const zn_value *v) {
    zn_cells c = p->state[zn_param_find(p->m, zn_attr_of(v, PARAM, name)->s)->index];
    c.borrowed = true;
    return c;
}

/* Learning rates and corrections are never below 0. */
zn_cells zn_prove_hyper(const zn_prover *p, const zn_value *v) {
    uint64_t h = zn_cell_mix(zn_key_of(p, v), 2);
    for (const char *s = zn_attr_of(v, HYPER, name)->s; *s; s++)
        h = zn_cell_mix(h, (unsigned char)*s);
    zn_cell x = zn_unknown(p, h);
    return zn_cells_uniform(true, 1, p->exact ? x : x | ZN_CELL_NONNEGATIVE);
}

/* ---- channel by channel */

/* Is the cell the same number at all positions? */
static bool constant(const zn_prover *p, zn_cell x) {
    return p->exact ? x == 0 : zn_cell_is_number(x);
}

/* An unknown function of x that keeps its sign, and 0 as a 0 of either sign. */
static zn_cell function_of(const zn_prover *p, uint64_t key, zn_cell x) {
    zn_cell tags = p->exact || zn_cell_is_number(x) ? 0 : x & (ZN_CELL_NONNEGATIVE | ZN_CELL_ZERO);
    return zn_unknown_of(p, key, x, 0) | tags;
}

/* The same function of each channel, 0 of 0, and the value of a constant one of its kind. */
zn_cells zn_prove_channelwise(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    zn_cells r = zn_cells_array(x->elements, x->n);
    for (int64_t i = 0; i < x->n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i);
        r.at[i] = constant(p, c) ? c : function_of(p, zn_key_of(p, v), c);
    }
    return zn_cells_settled(r);
}

/* The same, of a linear function: sums over positions, each perhaps divided by a count. */
zn_cells zn_prove_linear(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    zn_cells r = zn_cells_array(x->elements, x->n);
    for (int64_t i = 0; i < x->n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i);
        if (p->exact)
            r.at[i] = zn_field_mul(c, zn_operator(p, v, zn_key_of(p, v)));
        else
            r.at[i] = c == 0 ? 0 : function_of(p, zn_key_of(p, v), c);
    }
    return zn_cells_settled(r);
}

/* dy and x, channel by channel: 0 where dy is. */
zn_cells zn_prove_maxpool_grad(const zn_prover *p, const zn_value *v) {
    const zn_cells *dy = zn_cells_of(p, v, 0);
    zn_cells r = zn_cells_array(false, dy->n);
    for (int64_t i = 0; i < dy->n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i);
        r.at[i] = zn_is_zero(p, c) ? 0 : zn_unknown_of(p, zn_key_of(p, v), c, zn_cell_at(p, v, 1, i));
    }
    return zn_cells_settled(r);
}

/* ---- changes of shape */

zn_cells zn_prove_flatten(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->type);
    if (x->elements || n % x->n)
        return zn_prove_unknown(p, v);
    if (p->pixels && v->operand[0] == p->f->args.at[0])
        return zn_cells_copy(p->pixels);
    zn_cells r = zn_cells_array(false, n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i % x->n);
        uint64_t place = zn_cell_mix(zn_key_of(p, v), (uint64_t)(i / x->n));
        if (p->exact)
            r.at[i] = zn_field_mul(c, zn_operator(p, v, place));
        else
            r.at[i] = zn_cell_is_number(c) ? c : function_of(p, place, c);
    }
    return zn_cells_settled(r);
}

zn_cells zn_prove_unflatten(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->type);
    if (x->elements || x->n % n)
        return zn_prove_unknown(p, v);
    zn_cells r = zn_cells_array(false, n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell first = zn_cell_at(p, v, 0, i);
        uint64_t h = zn_key_of(p, v);
        bool same = true, zero = true;
        for (int64_t k = i; k < x->n; k += n) {
            zn_cell c = zn_cell_at(p, v, 0, k);
            same &= c == first;
            zero &= zn_is_zero(p, c);
            h = zn_cell_mix(h, c);
        }
        r.at[i] = same && constant(p, first) ? first : unknown_or_zero(p, h, 0, 0, zero);
    }
    return zn_cells_settled(r);
}

static zn_cells moved(const zn_prover *p, const zn_value *v, int64_t first, bool spanning, bool gather) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->type), wide = gather ? x->n : n, narrow = gather ? n : x->n;
    if (x->elements || x->n != zn_type_channels(&v->operand[0]->type))
        return zn_prove_unknown(p, v);
    zn_cells r = zn_cells_array(false, n);
    int m = 0;
    while ((int64_t)1 << m < wide)
        m++;
    for (int64_t j = 0; j < narrow; j++) {
        int64_t k = spanning ? zn_spanning_index(j, m) : first + j;
        if (k < 0 || k >= wide)
            continue;
        if (gather)
            r.at[j] = zn_cell_at(p, v, 0, k);
        else
            r.at[k] = zn_cell_at(p, v, 0, j);
    }
    return zn_cells_settled(r);
}
zn_cells zn_prove_pad_channels(const zn_prover *p, const zn_value *v) {
    return moved(p, v, zn_attr_of(v, PAD_CHANNELS, first)->i, zn_attr_of(v, PAD_CHANNELS, spanning)->i, false);
}
zn_cells zn_prove_slice_channels(const zn_prover *p, const zn_value *v) {
    return moved(p, v, zn_attr_of(v, SLICE_CHANNELS, first)->i, zn_attr_of(v, SLICE_CHANNELS, spanning)->i, true);
}

zn_cells zn_prove_concat(const zn_prover *p, const zn_value *v) {
    const zn_cells *a = zn_cells_of(p, v, 0), *b = zn_cells_of(p, v, 1);
    if (a->elements || b->elements)
        return zn_prove_unknown(p, v);
    zn_cells r = zn_cells_array(false, a->n + b->n);
    for (int64_t i = 0; i < r.n; i++)
        r.at[i] = i < a->n ? zn_cell_at(p, v, 0, i) : zn_cell_at(p, v, 1, i - a->n);
    return zn_cells_settled(r);
}

/* The butterflies of ir/eval_images.c: where two equal channels meet, their difference is 0. */
zn_cells zn_prove_hadamard(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = 1, bits = 0;
    while (n < x->n)
        n *= 2, bits++;
    if (x->elements)
        return zn_prove_unknown(p, v);
    float scale = (float)(bits % 2 ? 0.70710678118654752440 / (double)((int64_t)1 << bits / 2)
                                   : 1.0 / (double)((int64_t)1 << bits / 2));
    zn_cells r = zn_cells_array(false, n);
    for (int64_t i = 0; i < x->n; i++)
        r.at[i] = zn_cell_at(p, v, 0, i);
    for (int64_t h = 1; h < n; h *= 2)
        for (int64_t i = 0; i < n; i++)
            if (!(i & h)) {
                zn_cell a = r.at[i], b = r.at[i + h];
                r.at[i] = zn_cell_add(p, a, b);
                r.at[i + h] = zn_cell_sub(p, a, b);
            }
    r.n = x->n;
    for (int64_t i = 0; i < r.n; i++)
        r.at[i] = zn_cell_times(p, r.at[i], scale);
    return zn_cells_settled(r);
}

/* ---- sums and maxima */

/* A sum of cells in order, with what else makes it. */
static zn_cell sum_of(const zn_prover *p, uint64_t key, const zn_cells *c, int64_t first, int64_t step, int64_t n) {
    zn_cell sum = 0;
    uint64_t h = key;
    bool zero = true;
    for (int64_t i = 0; i < n; i++) {
        zn_cell x = zn_cells_get(p->exact, c, first + i * step);
        sum = p->exact ? zn_field_add(sum, x) : 0;
        zero &= zn_is_zero(p, x);
        h = zn_cell_mix(h, x);
    }
    return p->exact ? sum : zero ? 0 : zn_unknown(p, h);
}

/* Of activations the sum over positions of each channel; of elements the sum over rows. */
zn_cells zn_prove_sum_rows(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->operand[0]->type);
    if (x->elements && x->form == ZN_CELLS_DISTINCT && x->n != n)
        return zn_nothing_known(p, v, true, n);
    if (x->n % n)
        return zn_nothing_known(p, v, true, n);
    zn_cells r = zn_cells_array(true, n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell c = sum_of(p, zn_key_of(p, v), x, i, n, x->n / n);
        r.at[i] = p->exact && !x->elements ? zn_field_mul(c, zn_operator(p, v, KEY_SUM)) : c;
    }
    return zn_cells_settled(r);
}

zn_cells zn_prove_reduce_sum(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->operand[0]->type);
    if (x->n != n)
        return zn_prove_unknown(p, v);
    return zn_cells_uniform(x->elements, 1, sum_of(p, zn_key_of(p, v), x, 0, 1, n));
}

zn_cells zn_prove_reduce_max(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    if (x->n != zn_type_channels(&v->operand[0]->type))
        return zn_prove_unknown(p, v);
    bool zero = all_zero(p, v, 0);
    return zn_cells_uniform(x->elements, 1,
                            unknown_or_zero(p, zn_cell_mix(zn_key_of(p, v), hash_of(p, v, 0)), 0, 0, zero));
}

zn_cells zn_prove_reduce_max_grad(const zn_prover *p, const zn_value *v) {
    const zn_cells *dy = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->type);
    if (dy->elements || dy->n != 1)
        return zn_prove_unknown(p, v);
    if (all_zero(p, v, 0))
        return zn_zero_cells(false, n);
    return zn_cells_distinct(false, n, zn_cell_mix(hash_of(p, v, 0), hash_of(p, v, 1)) & ~ZN_CELL_NONNEGATIVE);
}

zn_cells zn_prove_broadcast(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    if (x->n != 1)
        return zn_prove_unknown(p, v);
    return zn_cells_uniform(x->elements, x->elements ? zn_type_count(&v->type) : zn_type_channels(&v->type),
                            zn_cell_at(p, v, 0, 0));
}

/* ---- batch normalisation */

/* Rows mean, variance, 1 / sqrt(variance + eps). */
zn_cells zn_prove_bn_stats(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    int64_t n = zn_type_channels(&v->type);
    float inv = 1 / sqrtf((float)zn_attr_of(v, BN_STATS, eps)->f);
    if (x->elements || x->n != n)
        return zn_nothing_known(p, v, true, 3 * n);
    zn_cells r = zn_cells_array(true, 3 * n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i);
        bool zero = zn_is_zero(p, c);
        r.at[i] = zero ? 0 : zn_unknown_of(p, zn_key_of(p, v), c, KEY_MEAN);
        r.at[n + i] = zero ? 0 : zn_unknown_of(p, zn_key_of(p, v), c, KEY_VARIANCE);
        r.at[2 * n + i] = zero ? zn_known(p, inv) : zn_unknown_of(p, zn_key_of(p, v), c, KEY_INVERSE_DEVIATION);
    }
    return r;
}

/* What makes x normalised: with mean and deviation of channel i of n, in operand `stats`. */
static uint64_t with_stats(const zn_prover *p, const zn_value *v, int stats, int64_t i, zn_cell x) {
    int64_t n = zn_cells_of(p, v, stats)->n / 3;
    uint64_t h = zn_cell_mix(zn_cell_mix(zn_key_of(p, v), x), zn_cell_at(p, v, stats, i));
    return zn_cell_mix(h, zn_cell_at(p, v, stats, 2 * n + i));
}

/* (x - mean) (inv scale) + bias: the bias where x or the scale is 0. */
zn_cells zn_prove_bn_norm(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    if (x->elements || zn_cells_of(p, v, 1)->n != 3 * x->n || zn_cells_of(p, v, 2)->n != x->n ||
        zn_cells_of(p, v, 3)->n != x->n)
        return zn_prove_unknown(p, v);
    zn_cells r = zn_cells_array(false, x->n);
    for (int64_t i = 0; i < x->n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i), scale = zn_cell_at(p, v, 2, i), bias = zn_cell_at(p, v, 3, i);
        bool zero = (zn_is_zero(p, c) && zn_is_zero(p, zn_cell_at(p, v, 1, i))) || zn_is_zero(p, scale);
        r.at[i] = zero ? zn_plus_zero(p, bias) : zn_unknown_of(p, with_stats(p, v, 1, i, c), scale, bias);
    }
    return zn_cells_settled(r);
}

zn_cells zn_prove_bn_running(const zn_prover *p, const zn_value *v) {
    int64_t n = zn_type_channels(&v->type), row = zn_attr_of(v, BN_RUNNING, row)->i;
    const zn_cells *stats = zn_cells_of(p, v, 1);
    if (stats->n != 3 * n || zn_cells_of(p, v, 0)->n != n)
        return zn_nothing_known(p, v, true, n);
    zn_cells r = zn_cells_array(true, n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell old = zn_cell_at(p, v, 0, i), new = zn_cell_at(p, v, 1, row * n + i);
        r.at[i] = old == 0 && zn_is_zero(p, new) ? 0 : zn_unknown_of(p, zn_key_of(p, v), old, new);
    }
    return zn_cells_settled(r);
}

/* Rows sum of dy, sum of dy (x - mean) inv. */
zn_cells zn_prove_bn_grad_sums(const zn_prover *p, const zn_value *v) {
    int64_t n = zn_type_channels(&v->operand[0]->type);
    const zn_cells *dy = zn_cells_of(p, v, 0), *x = zn_cells_of(p, v, 1);
    if (dy->elements || dy->n != n || x->n != n || zn_cells_of(p, v, 2)->n != 3 * n)
        return zn_nothing_known(p, v, true, 2 * n);
    zn_cells r = zn_cells_array(true, 2 * n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell a = zn_cell_at(p, v, 0, i), b = zn_cell_at(p, v, 1, i);
        if (zn_is_zero(p, a))
            continue;
        bool zero = zn_is_zero(p, b) && zn_is_zero(p, zn_cell_at(p, v, 2, i));
        r.at[i] =
            p->exact ? zn_field_mul(a, zn_operator(p, v, KEY_SUM)) : zn_unknown_of(p, zn_key_of(p, v), a, KEY_SUM);
        r.at[n + i] = zero ? 0 : zn_unknown_of(p, with_stats(p, v, 2, i, b), a, 0);
    }
    return r;
}

/* 0 where dy and its sums are, or the scale. */
zn_cells zn_prove_bn_grad_x(const zn_prover *p, const zn_value *v) {
    const zn_cells *dy = zn_cells_of(p, v, 0);
    int64_t n = dy->n;
    if (dy->elements || zn_cells_of(p, v, 1)->n != n || zn_cells_of(p, v, 2)->n != 3 * n ||
        zn_cells_of(p, v, 3)->n != 2 * n || zn_cells_of(p, v, 4)->n != n)
        return zn_prove_unknown(p, v);
    zn_cells r = zn_cells_array(false, n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell a = zn_cell_at(p, v, 0, i), scale = zn_cell_at(p, v, 4, i), sum = zn_cell_at(p, v, 3, i),
                dot = zn_cell_at(p, v, 3, n + i);
        uint64_t key = zn_cell_mix(zn_cell_mix(with_stats(p, v, 2, i, zn_cell_at(p, v, 1, i)), a), scale);
        bool zero = (zn_is_zero(p, a) && zn_is_zero(p, sum) && zn_is_zero(p, dot)) || zn_is_zero(p, scale);
        r.at[i] = unknown_or_zero(p, key, sum, dot, zero);
    }
    return zn_cells_settled(r);
}

zn_cells zn_prove_row(const zn_prover *p, const zn_value *v) {
    int64_t n = zn_type_channels(&v->type), first = zn_attr_of(v, ROW, index)->i * n;
    if (zn_cells_of(p, v, 0)->n != zn_type_count(&v->operand[0]->type))
        return zn_nothing_known(p, v, true, n);
    zn_cells r = zn_cells_array(true, n);
    for (int64_t i = 0; i < n; i++)
        r.at[i] = zn_cell_at(p, v, 0, first + i);
    return zn_cells_settled(r);
}

/* ---- layer normalisation: every channel depends on all */

zn_cells zn_prove_ln_norm(const zn_prover *p, const zn_value *v) {
    const zn_cells *x = zn_cells_of(p, v, 0);
    if (x->elements || zn_cells_of(p, v, 1)->n != x->n || zn_cells_of(p, v, 2)->n != x->n)
        return zn_prove_unknown(p, v);
    uint64_t h = zn_cell_mix(zn_key_of(p, v), hash_of(p, v, 0));
    bool zero = all_zero(p, v, 0);
    zn_cells r = zn_cells_array(false, x->n);
    for (int64_t i = 0; i < x->n; i++) {
        zn_cell c = zn_cell_at(p, v, 0, i), scale = zn_cell_at(p, v, 1, i), bias = zn_cell_at(p, v, 2, i);
        r.at[i] =
            zero || zn_is_zero(p, scale) ? zn_plus_zero(p, bias) : zn_unknown_of(p, zn_cell_mix(h, c), scale, bias);
    }
    return zn_cells_settled(r);
}

zn_cells zn_prove_ln_grad_x(const zn_prover *p, const zn_value *v) {
    const zn_cells *dy = zn_cells_of(p, v, 0);
    if (dy->elements || zn_cells_of(p, v, 1)->n != dy->n || zn_cells_of(p, v, 2)->n != dy->n)
        return zn_prove_unknown(p, v);
    uint64_t h =
        zn_cell_mix(zn_key_of(p, v), zn_cell_mix(zn_cell_mix(hash_of(p, v, 0), hash_of(p, v, 1)), hash_of(p, v, 2)));
    bool zero = true;
    for (int64_t i = 0; i < dy->n; i++)
        zero &= zn_is_zero(p, zn_cell_at(p, v, 0, i)) || zn_is_zero(p, zn_cell_at(p, v, 2, i));
    zn_cells r = zn_cells_array(false, dy->n);
    for (int64_t i = 0; i < dy->n; i++)
        r.at[i] = unknown_or_zero(p, zn_cell_mix(h, zn_cell_at(p, v, 0, i)), zn_cell_at(p, v, 1, i),
                                  zn_cell_at(p, v, 2, i), zero);
    return zn_cells_settled(r);
}

/* Rows sum of dy, sum of dy (x - mean) inv. */
zn_cells zn_prove_ln_grad_sums(const zn_prover *p, const zn_value *v) {
    int64_t n = zn_type_channels(&v->operand[0]->type);
    const zn_cells *dy = zn_cells_of(p, v, 0), *x = zn_cells_of(p, v, 1);
    if (dy->elements || dy->n != n || x->n != n)
        return zn_nothing_known(p, v, true, 2 * n);
    uint64_t h = zn_cell_mix(zn_key_of(p, v), hash_of(p, v, 1));
    bool zero = all_zero(p, v, 1);
    zn_cells r = zn_cells_array(true, 2 * n);
    for (int64_t i = 0; i < n; i++) {
        zn_cell a = zn_cell_at(p, v, 0, i);
        if (zn_is_zero(p, a))
            continue;
        r.at[i] = zn_unknown_of(p, zn_key_of(p, v), a, KEY_SUM);
        r.at[n + i] = zero ? 0 : zn_unknown_of(p, h, a, zn_cell_at(p, v, 1, i));
    }
    return r;
}

/* ---- losses: what belongs to different classes is different */

static zn_cells by_class(const zn_prover *p, const zn_value *v, uint64_t h) {
    int64_t n = zn_type_channels(&v->type);
    zn_cells r = zn_cells_array(false, n);
    for (int64_t i = 0; i < n; i++)
        r.at[i] = zn_unknown_of(p, zn_cell_mix(zn_key_of(p, v), h), (uint64_t)i, 0);
    return r;
}
zn_cells zn_prove_cross_entropy_grad(const zn_prover *p, const zn_value *v) {
    return by_class(p, v, hash_of(p, v, 0));
}
zn_cells zn_prove_one_hot(const zn_prover *p, const zn_value *v) {
    return by_class(p, v, hash_of(p, v, 0));
}
