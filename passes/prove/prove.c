/* The fixed point of prove.h: evaluation of a step over cells, refinement of the classes of parameters. */
#include "passes/prove/prove.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/prove/grid.h"
#include "passes/prove/prover.h"
#include "support/ice.h"

enum { MAX_ROUNDS = 100, KEY_CLASS = 1024, KEY_RANDOM, KEY_INPUT, KEY_CALIBRATED, KEY_LEVEL };

static zn_prove_fn *const table[ZN_OP_COUNT] = {
#define ZN_OP(ID, text, n, traits, infer, grad, proof, kernel, eval, doc) [ZN_OP_##ID] = zn_prove_##proof,
#include "ir/ops.def"
};

zn_cell zn_operator(const zn_prover *p, const zn_value *v, uint64_t h) {
    return zn_field_hash(zn_cell_mix(zn_cell_mix(KEY_LEVEL, (uint64_t)p->level[v->id]), h));
}

/* ---- what an operation is */

/* Does the attribute change what the result is? Names do not, nor that a value is computed again; where only real
 * numbers count, neither does the order of sums. */
static bool matters(const zn_attr_info *a, bool exact) {
    if (!strcmp(a->name, "again") || (exact && !strcmp(a->name, "shards")))
        return false;
    return a->kind != ZN_ATTR_STR || (!exact && !strcmp(a->name, "algo"));
}

static uint64_t key_of(const zn_value *v, bool exact) {
    uint64_t h = zn_cell_mix((uint64_t)v->op + 1, exact);
    for (int i = 0, first = zn_op_attr_first(v->op); i < zn_op_attr_count(v->op); i++) {
        const zn_attr *a = &v->attr[i];
        if (!matters(&zn_attr_table[first + i], exact))
            continue;
        union {
            double f;
            uint64_t u;
        } f = {a->f};
        h = zn_cell_mix(zn_cell_mix(h, (uint64_t)a->i), f.u);
        for (int k = 0; k < a->n; k++)
            h = zn_cell_mix(h, (uint64_t)a->v[k]);
        for (const char *s = a->s; s && *s; s++)
            h = zn_cell_mix(h, (unsigned char)*s);
    }
    for (int k = -1; k < v->noperands; k++) { /* sizes of images */
        const zn_type *t = k < 0 ? &v->type : &v->operand[k]->type;
        for (int i = 1; t->rank == 4 && i < 3; i++)
            h = zn_cell_mix(h, (uint64_t)t->dim[i]);
    }
    return h;
}

static void prepare(zn_prover *p, zn_arena *a, size_t n) {
    p->cell = zn_new_n(a, zn_cells, n);
    p->key = zn_new_n(a, uint64_t, n);
    p->level = zn_new_n(a, int, n);
    for (const zn_value *v = p->f->first; v; v = v->next) {
        p->key[v->id] = key_of(v, p->exact);
        for (int k = 0; k < v->noperands; k++)
            if (p->level[v->operand[k]->id] > p->level[v->id])
                p->level[v->id] = p->level[v->operand[k]->id];
        p->level[v->id] += !(zn_op_table[v->op].traits & ZN_T_MAP);
    }
}

/* ---- starts */

/* Of a convolution whose start is random in the centre tap only. */
static bool is_centred(const zn_param *p) {
    return zn_formula_random(&p->init) && zn_formula_centred(&p->init) && p->type.rank == 4 &&
           p->type.dim[0] * p->type.dim[1] > 1;
}

static zn_cells zeros_around(const zn_prover *p, const zn_param *w, uint64_t key) {
    int64_t taps = w->type.dim[0] * w->type.dim[1], n = zn_type_count(&w->type);
    int64_t centre = zn_formula_centre(w->type.dim);
    zn_cells r = zn_cells_array(true, n);
    for (int64_t i = centre * (n / taps); i < (centre + 1) * (n / taps); i++)
        r.at[i] = zn_cell_nth(p->exact, key, i);
    return r;
}

/* The numbers of a formula; those that are random are unknown, of `dirac` all but the identities. */
static zn_cells numbers(const zn_prover *p, const zn_param *w, uint64_t key) {
    int64_t n = zn_type_count(&w->type);
    zn_formula f = w->init;
    bool random = zn_formula_random(&f);
    float *x = malloc((size_t)n * sizeof *x);
    if (!x)
        ZN_ICE("out of memory");
    if (random)
        f.kind = ZN_FORMULA_CONST, f.a = NAN;
    if (!zn_formula_eval(&f, w->type.rank, w->type.dim, w->name, 1, x))
        ZN_ICE("out of memory");
    zn_cells r = zn_cells_array(true, n);
    for (int64_t i = 0; i < n; i++)
        r.at[i] = isnan(x[i]) ? zn_cell_nth(p->exact, key, i) : zn_known(p, x[i]);
    free(x);
    return r;
}

/* lsuv and variance_aware multiply the whole weight by a number that is found later. */
static void scale_by_data(const zn_prover *p, zn_cells *c, uint64_t key) {
    if (c->form == ZN_CELLS_UNIFORM && !zn_is_zero(p, c->one))
        c->one = zn_unknown(p, zn_cell_mix(zn_cell_mix(KEY_CALIBRATED, key), c->one));
    for (int64_t i = 0; c->form == ZN_CELLS_ARRAY && i < c->n; i++)
        if (!zn_is_zero(p, c->at[i]))
            c->at[i] = zn_unknown(p, zn_cell_mix(zn_cell_mix(KEY_CALIBRATED, key), c->at[i]));
}

static zn_cells start_of(const zn_prover *p, const zn_param *w) {
    int64_t n = zn_type_count(&w->type);
    uint64_t key = zn_cell_mix(KEY_RANDOM, w->index) & ~ZN_CELL_NONNEGATIVE;
    zn_cells r;
    bool large = n > ZN_PROVE_MOST && (w->init.kind != ZN_FORMULA_CONST || w->init.dirac);
    if (large || w->calibration.kind == ZN_CALIBRATION_WHITENING ||
        (zn_formula_random(&w->init) && !w->init.dirac && !is_centred(w)))
        return zn_cells_distinct(true, n, key);
    if (w->init.kind == ZN_FORMULA_CONST && !w->init.dirac)
        r = zn_cells_uniform(true, n, zn_known(p, w->init.a));
    else
        r = is_centred(w) && !w->init.dirac ? zeros_around(p, w, key) : numbers(p, w, key);
    if (w->calibration.kind != ZN_CALIBRATION_NONE)
        scale_by_data(p, &r, key);
    zn_cells_settle(&r);
    zn_cells_gather(&r, zn_type_channels(&w->type));
    return r;
}

/* ---- a step */

static bool kept(const zn_value *v) { /* its cells outlive their uses: what is stored */
    for (const zn_use *u = v->first_use; u; u = u->next)
        if (u->user->op == ZN_OP_STORE)
            return true;
    return false;
}

/* Cells of all values; arrays of elements end with their last use. fact: what is known of them. */
static void evaluate(zn_prover *p, zn_fact *fact, int *left) {
    for (const zn_value *v = p->f->first; v; v = v->next)
        left[v->id] = kept(v) ? -1 : v->nuses;
    for (const zn_value *v = p->f->first; v; v = v->next) {
        zn_cells *c = &p->cell[v->id];
        zn_cells_free(c);
        *c = table[v->op](p, v);
        fact[v->id] = (zn_fact){c->n, zn_cells_zeros(p->exact, c), 0};
        for (int k = 0; k < v->noperands; k++) {
            const zn_value *x = v->operand[k];
            if (left[x->id] > 0 && --left[x->id] == 0 && p->cell[x->id].elements)
                zn_cells_free(&p->cell[x->id]);
        }
    }
}

/* Classes of all activations, whose cells are still there. */
static void count_classes(const zn_prover *p, zn_fact *fact) {
    for (const zn_value *v = p->f->first; v; v = v->next)
        if (!p->cell[v->id].elements)
            fact[v->id].classes = zn_cells_classes(p->exact, &p->cell[v->id]);
}

/* ---- refinement */

/* The class of an element that was in `old` and is `now` after a step. */
static zn_cell class_of(const zn_prover *p, zn_cell old, zn_cell now) {
    if (old == now)
        return old;
    uint64_t h = zn_cell_mix(zn_cell_mix(KEY_CLASS, old), now);
    if (p->exact)
        return zn_field_hash(h);
    bool zero = zn_is_zero(p, old) && zn_is_zero(p, now);
    bool positive = (zn_cell_is_number(old) ? zn_cell_number(old) >= 0 : (old & ZN_CELL_NONNEGATIVE) != 0) &&
                    (zn_cell_is_number(now) ? zn_cell_number(now) >= 0 : (now & ZN_CELL_NONNEGATIVE) != 0);
    return zn_cell_hash(h, (zero ? ZN_CELL_ZERO : 0) | (positive ? ZN_CELL_NONNEGATIVE : 0));
}

static zn_cell zip_classes(const void *ctx, const zn_cell *x) {
    return class_of(ctx, x[0], x[1]);
}

static zn_cells refined(const zn_prover *p, const zn_cells *old, const zn_cells *now) {
    const zn_cells *both[2] = {old, now};
    zn_cells r;
    if (old->form == ZN_CELLS_UNIFORM && now->form == ZN_CELLS_UNIFORM)
        return zn_cells_uniform(true, old->n, class_of(p, old->one, now->one));
    if (old->form == ZN_CELLS_DISTINCT || now->form == ZN_CELLS_DISTINCT) {
        if (old->form == now->form && old->one == now->one)
            return *old;
        uint64_t h = zn_cell_mix(zn_cell_mix(KEY_CLASS, zn_cells_hash(old)), zn_cells_hash(now));
        return zn_cells_distinct(true, old->n, h & ~ZN_CELL_NONNEGATIVE);
    }
    if (zn_grid_zip(p->exact, both, 2, zip_classes, p, &r))
        return r;
    r = zn_cells_array(true, old->n);
    for (int64_t i = 0; i < r.n; i++)
        r.at[i] = class_of(p, zn_cells_get(p->exact, old, i), zn_cells_get(p->exact, now, i));
    zn_cells_settle(&r);
    zn_cells_part(p->exact, &r);
    return r;
}

/* How fine the classes of all parameters are: more classes, or fewer elements that never change, is finer. */
typedef struct fineness {
    int64_t classes, still;
} fineness;

/* 0 where an element is what it was */
static zn_cell zip_moved(const void *ctx, const zn_cell *x) {
    (void)ctx;
    return x[0] != x[1];
}

static int64_t count_still(const zn_prover *p, const zn_cells *start, const zn_cells *c) {
    if (c->form == start->form && (c->form == ZN_CELLS_UNIFORM || c->form == ZN_CELLS_DISTINCT))
        return c->one == start->one ? c->n : 0;
    const zn_cells *both[2] = {start, c};
    zn_cells moved;
    int64_t n = 0;
    if (zn_grid_zip(p->exact, both, 2, zip_moved, NULL, &moved)) {
        n = zn_cells_zeros(true, &moved);
        zn_cells_free(&moved);
        return n;
    }
    for (int64_t i = 0; i < c->n && c->form != ZN_CELLS_DISTINCT; i++)
        n += zn_cells_get(p->exact, c, i) == zn_cells_get(p->exact, start, i);
    return n;
}

static fineness measure(const zn_prover *p, const zn_cells *start) {
    fineness f = {0};
    zn_cell_set cells = {0}, keys = {0};
    for (size_t i = 0; i < p->m->nparams; i++) {
        const zn_cells *c = &p->state[i];
        f.still += count_still(p, &start[i], c);
        if (c->form == ZN_CELLS_UNIFORM)
            zn_cell_set_add(&cells, c->one);
        else if (c->form == ZN_CELLS_DISTINCT)
            f.classes += zn_cell_set_add(&keys, c->one) ? c->n : 0;
        for (int64_t k = 0; c->form == ZN_CELLS_ARRAY && k < c->n; k++)
            zn_cell_set_add(&cells, c->at[k]);
        for (int64_t k = 0; c->form == ZN_CELLS_GRID && k < c->grid->nrow * c->grid->ncol; k++)
            zn_cell_set_add(&cells, c->grid->at[k]);
        for (int64_t k = 0; c->form == ZN_CELLS_GRID && k < c->grid->nspot; k++)
            zn_cell_set_add(&cells, c->grid->spot[k].x);
    }
    f.classes += (int64_t)cells.n;
    zn_cell_set_free(&cells);
    zn_cell_set_free(&keys);
    return f;
}

/* True if a tensor has become another kind, which is finer. All are computed before the first is replaced: reads of
 * parameters share their arrays. */
static bool refine(zn_prover *p) {
    bool finer = false;
    zn_cells *next = calloc(p->m->nparams + 1, sizeof *next);
    if (!next)
        ZN_ICE("out of memory");
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (v->op != ZN_OP_STORE)
            continue;
        size_t k = zn_param_find(p->m, zn_attr_of(v, STORE, name)->s)->index;
        const zn_cells *old = &p->state[k], *now = &p->cell[v->operand[0]->id];
        zn_cells_free(&next[k]); /* stored twice */
        if (now->n != old->n || !now->elements)
            next[k] = zn_nothing_known(p, v, true, old->n);
        else
            next[k] = refined(p, old, now);
    }
    for (size_t k = 0; k < p->m->nparams; k++) {
        zn_cells *old = &p->state[k];
        if (!next[k].n)
            continue;
        finer |= next[k].form != old->form ||
                 (next[k].grid && (next[k].grid->nrow != old->grid->nrow || next[k].grid->ncol != old->grid->ncol ||
                                   next[k].grid->nspot != old->grid->nspot));
        zn_cells_free(old);
        *old = next[k];
    }
    free(next);
    return finer;
}

static void forget(const zn_prover *p, zn_reading *r) {
    for (const zn_value *v = p->f->first; v; v = v->next) {
        zn_cells *c = &p->cell[v->id];
        r->ever[v->id] = (zn_fact){c->n, 0, c->elements ? 0 : c->n};
        if (!c->elements) {
            zn_cells_free(c);
            *c = zn_nothing_known(p, v, false, c->n);
        }
    }
    for (const zn_param *w = p->m->params; w; w = w->next) {
        zn_cells_free(&p->state[w->index]);
        p->state[w->index] = zn_cells_distinct(true, zn_type_count(&w->type), zn_cell_mix(KEY_CLASS, w->index));
    }
}

static void solve(zn_prover *p, zn_arena *a, zn_reading *r) {
    size_t n = (size_t)p->f->last->id + 1;
    int *left = zn_new_n(a, int, n);
    r->now = zn_new_n(a, zn_fact, n);
    r->ever = zn_new_n(a, zn_fact, n);
    r->start = zn_new_n(a, zn_cells, p->m->nparams + 1);
    r->still = zn_new_n(a, bool, p->m->nparams + 1);
    r->still_elements = zn_new_n(a, int64_t, p->m->nparams + 1);
    p->state = zn_new_n(a, zn_cells, p->m->nparams + 1);
    prepare(p, a, n);
    for (const zn_param *w = p->m->params; w; w = w->next) {
        r->start[w->index] = start_of(p, w);
        p->state[w->index] = zn_cells_copy(&r->start[w->index]);
    }
    fineness before = {-1, -1};
    for (r->rounds = 1; !r->found && r->rounds <= MAX_ROUNDS; r->rounds++) {
        evaluate(p, r->ever, left);
        if (r->rounds == 1) {
            count_classes(p, r->ever);
            memcpy(r->now, r->ever, n * sizeof *r->now);
        }
        bool finer = refine(p);
        fineness after = finer ? (fineness){-1, -1} : measure(p, r->start);
        r->found = !finer && after.classes == before.classes && after.still == before.still;
        before = after;
    }
    count_classes(p, r->ever);
    if (!r->found)
        forget(p, r);
    for (const zn_param *w = p->m->params; w; w = w->next) {
        r->still_elements[w->index] = count_still(p, &r->start[w->index], &p->state[w->index]);
        r->still[w->index] = r->still_elements[w->index] == zn_type_count(&w->type);
    }
    for (const zn_value *v = p->f->first; v; v = v->next)
        if (p->cell[v->id].elements) {
            zn_cells_free(&p->cell[v->id]);
            p->cell[v->id] = (zn_cells){.elements = true};
        }
    r->cell = p->cell;
    r->state = p->state;
}

static zn_cells known_cells(const zn_prover *p, const float *x, int64_t n) {
    zn_cells r = zn_cells_array(false, n);
    for (int64_t i = 0; i < n; i++)
        r.at[i] = isnan(x[i]) ? zn_cell_nth(p->exact, KEY_INPUT, i) : zn_known(p, x[i]);
    return r;
}

static void run(zn_proof *proof, const zn_known_data *data, bool exact, zn_reading *r) {
    zn_prover p = {.m = proof->m, .f = proof->f, .exact = exact};
    zn_cells channels = {0}, pixels = {0};
    const zn_type *t = proof->f->args.n ? &proof->f->args.at[0]->type : NULL;
    if (data && t) {
        channels = known_cells(&p, data->channel, zn_type_channels(t));
        p.input = &channels;
    }
    if (data && t && data->pixel) {
        pixels = known_cells(&p, data->pixel, zn_type_count(t) / t->dim[0]);
        p.pixels = &pixels;
    }
    solve(&p, &proof->arena, r);
    zn_cells_free(&channels);
    zn_cells_free(&pixels);
}

/* By parameter: the first value that multiplies by it, and the last that stores it. */
static void index_values(zn_proof *p) {
    p->layer = zn_new_n(&p->arena, const zn_value *, p->m->nparams + 1);
    p->store = zn_new_n(&p->arena, const zn_value *, p->m->nparams + 1);
    p->nvalues = p->f->last->id + 1;
    p->value = zn_new_n(&p->arena, const zn_value *, (size_t)p->nvalues);
    for (const zn_value *v = p->f->first; v; v = v->next) {
        p->value[v->id] = v;
        bool multiplies = v->op == ZN_OP_CONV || (v->op == ZN_OP_MATMUL && !zn_attr_of(v, MATMUL, trans_a)->i &&
                                                  !zn_attr_of(v, MATMUL, trans_b)->i);
        if (v->op == ZN_OP_STORE)
            p->store[zn_param_find(p->m, zn_attr_of(v, STORE, name)->s)->index] = v;
        if (!multiplies || v->operand[1]->op != ZN_OP_PARAM)
            continue;
        const zn_value **slot = &p->layer[zn_param_find(p->m, zn_attr_of(v->operand[1], PARAM, name)->s)->index];
        *slot = *slot ? *slot : v;
    }
}

static bool fits(const zn_func *f) {
    for (const zn_value *v = f->first; v; v = v->next)
        if (zn_type_channels(&v->type) > ZN_PROVE_MOST_CHANNELS)
            return false;
    return true;
}

zn_proof *zn_prove(zn_module *m, const zn_known_data *data) {
    zn_func *f = zn_func_find(m, "train_step");
    if (!f || !f->first || !fits(f))
        return NULL;
    zn_proof *p = calloc(1, sizeof *p);
    if (!p)
        ZN_ICE("out of memory");
    p->m = m;
    p->f = f;
    zn_func_number(f);
    index_values(p);
    run(p, data, true, &p->exact);
    run(p, data, false, &p->bits);
    return p;
}

static void free_reading(const zn_proof *p, zn_reading *r) {
    for (const zn_value *v = p->f->first; v; v = v->next)
        zn_cells_free(&r->cell[v->id]);
    for (size_t i = 0; i < p->m->nparams; i++) {
        zn_cells_free(&r->start[i]);
        zn_cells_free(&r->state[i]);
    }
}

void zn_proof_free(zn_proof *p) {
    if (!p)
        return;
    free_reading(p, &p->exact);
    free_reading(p, &p->bits);
    zn_arena_free(&p->arena);
    free(p);
}

/* ---- questions */

const zn_value *zn_proof_layer(const zn_proof *p, const zn_param *weight) {
    return p->layer[weight->index];
}

enum { MAX_WALK = 256 };

int zn_proof_gradients(const zn_proof *p, const zn_param *of, const zn_value **out, int n) {
    const zn_value *stack[MAX_WALK];
    int depth = 0, found = 0;
    if (p->store[of->index])
        stack[depth++] = p->store[of->index]->operand[0];
    for (int i = 0; i < depth; i++) {
        const zn_value *v = stack[i];
        if (v->op == ZN_OP_PARAM || v->op == ZN_OP_HYPER)
            continue;
        if (!(zn_op_table[v->op].traits & ZN_T_MAP)) {
            bool known = !zn_type_equal(&v->type, &of->type);
            for (int k = 0; k < found && k < n; k++)
                known |= out[k] == v;
            if (!known && found < n)
                out[found] = v;
            found += !known;
            continue;
        }
        for (int k = 0; k < v->noperands && depth < MAX_WALK; k++) {
            bool seen = false;
            for (int j = 0; j < depth; j++)
                seen |= stack[j] == v->operand[k];
            if (!seen)
                stack[depth++] = v->operand[k];
        }
    }
    return depth < MAX_WALK ? found : n + 1;
}

enum { MAX_GRADIENTS = 16 };

bool zn_proof_no_gradient(const zn_proof *p, const zn_param *of) {
    const zn_value *g[MAX_GRADIENTS];
    int n = zn_proof_gradients(p, of, g, MAX_GRADIENTS);
    for (int i = 0; i < n && i < MAX_GRADIENTS; i++)
        if (p->bits.ever[g[i]->id].zeros < p->bits.ever[g[i]->id].n)
            return false;
    return n > 0 && n <= MAX_GRADIENTS && p->bits.found;
}

/* What channels can add to a rank: those that differ, in exact arithmetic; by bits all but those that are 0, for the
 * same addition rounds differently where the weights differ. */
static int64_t dimensions(const zn_reading *r, bool exact, const zn_value *v) {
    const zn_fact *f = &r->ever[v->id];
    return exact ? f->classes - (f->zeros > 0) : f->n - f->zeros;
}

/* By what the gradient is made of: sums of outer products of what goes in and what comes back, of which equal channels
 * make equal rows and columns. Decay adds multiples of the start. */
static int64_t rank_of_gradients(const zn_proof *p, const zn_reading *r, const zn_param *w, int64_t taps,
                                 int64_t most) {
    const zn_value *g[MAX_GRADIENTS];
    int n = zn_proof_gradients(p, w, g, MAX_GRADIENTS);
    int64_t rank = 0;
    bool exact = r == &p->exact;
    /* sums of products that go into something that is not linear may have any rank */
    if (n > 1 && strcmp(zn_conf_str(p->m, "train.optimizer", "sgd"), "sgd") != 0)
        return most;
    if (n > MAX_GRADIENTS || (w->decay != 0 && !(w->init.kind == ZN_FORMULA_CONST && !w->init.a && !w->init.dirac)))
        return most;
    for (int i = 0; i < n; i++) {
        bool product =
            g[i]->op == ZN_OP_CONV_GRAD_W || (g[i]->op == ZN_OP_MATMUL && zn_attr_of(g[i], MATMUL, trans_a)->i);
        if (!product)
            return most;
        int64_t rows = taps * dimensions(r, exact, g[i]->operand[0]), columns = dimensions(r, exact, g[i]->operand[1]);
        rank += rows < columns ? rows : columns;
    }
    return rank < most ? rank : most;
}

/* A cell for the change of an element, 0 for none. */
static zn_cell zip_change(const void *ctx, const zn_cell *x) {
    (void)ctx;
    return x[0] == x[1] ? 0 : zn_cell_mix(zn_cell_mix(KEY_CLASS, x[0]), x[1]) | 1;
}

/* Different rows, or columns, of a grid, other than 0; each that has a spot counts. */
static int64_t different(const zn_grid *g, bool columns) {
    int64_t n = columns ? g->cols : g->rows, m = columns ? g->nrow : g->ncol, count = 0;
    const int32_t *kind = columns ? g->col : g->row;
    bool *spotted = calloc((size_t)n, sizeof *spotted);
    zn_cell_set s = {0};
    if (!spotted)
        ZN_ICE("out of memory");
    for (int64_t k = 0; k < g->nspot; k++)
        spotted[columns ? g->spot[k].i % g->cols : g->spot[k].i / g->cols] = true;
    for (int64_t i = 0; i < n; i++) {
        uint64_t h = 1;
        bool zero = true;
        for (int64_t k = 0; k < m; k++) {
            zn_cell x = columns ? g->at[k * g->ncol + kind[i]] : g->at[kind[i] * g->ncol + k];
            zero &= x == 0;
            h = zn_cell_mix(h, x);
        }
        if (spotted[i])
            count++;
        else if (!zero)
            zn_cell_set_add(&s, h | 1);
    }
    count += (int64_t)s.n;
    zn_cell_set_free(&s);
    free(spotted);
    return count;
}

/* By the elements themselves, where they are in a grid. */
static int64_t rank_of_change(const zn_reading *r, bool exact, const zn_param *w, int64_t most) {
    const zn_cells *both[2] = {&r->start[w->index], &r->state[w->index]};
    zn_cells change;
    if (!zn_grid_zip(exact, both, 2, zip_change, NULL, &change))
        return most;
    int64_t rank = 1; /* of a uniform one */
    if (change.form == ZN_CELLS_GRID) {
        int64_t rows = different(change.grid, false), columns = different(change.grid, true);
        rank = rows < columns ? rows : columns;
    }
    zn_cells_free(&change);
    return rank < most ? rank : most;
}

int64_t zn_proof_full_rank(const zn_param *w) {
    int64_t out = w->type.dim[w->type.rank - 1], rows = zn_type_count(&w->type) / out;
    return rows < out ? rows : out;
}

int64_t zn_proof_rank(const zn_proof *p, const zn_reading *r, const zn_param *w) {
    int64_t most = zn_proof_full_rank(w), taps = w->type.rank == 4 ? w->type.dim[0] * w->type.dim[1] : 1;
    const zn_value *layer = zn_proof_layer(p, w);
    if (!r->found || !layer || (layer->op == ZN_OP_CONV && zn_attr_of(layer, CONV, groups)->i > 1))
        return most;
    if (r->still[w->index])
        return 0;
    int64_t by_gradients = rank_of_gradients(p, r, w, taps, most),
            by_elements = rank_of_change(r, r == &p->exact, w, most);
    return by_gradients < by_elements ? by_gradients : by_elements;
}
