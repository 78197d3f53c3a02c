/* Modules, functions and values: making, finding, changing. See module.h. */
#include "ir/module.h"

#include <math.h>
#include <string.h>

#include "ir/text.h"
#include "support/ice.h"

const char *const zn_role_names[ZN_ROLE_COUNT] = {
#define X(ID, text) text,
    ZN_ROLES(X)
#undef X
};

const char *const zn_calibration_names[ZN_CALIBRATION_COUNT] = {
#define X(ID, text) text,
    ZN_CALIBRATIONS(X)
#undef X
};

bool zn_role_trained(zn_role r) {
    return r == ZN_ROLE_WEIGHT || r == ZN_ROLE_BIAS || r == ZN_ROLE_NORM_SCALE || r == ZN_ROLE_NORM_BIAS ||
           r == ZN_ROLE_SCALAR;
}

bool zn_role_saved(zn_role r) {
    return r < ZN_ROLE_MOMENTUM;
}

zn_type zn_type_make(zn_dtype dtype, int rank, const int64_t *dim) {
    zn_type t = {.dtype = dtype, .rank = rank};
    ZN_ASSERT(rank >= 0 && rank <= ZN_MAX_RANK);
    for (int i = 0; i < rank; i++)
        t.dim[i] = dim[i];
    return t;
}

bool zn_type_equal(const zn_type *a, const zn_type *b) {
    if (a->dtype != b->dtype || a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

int64_t zn_type_count(const zn_type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

int64_t zn_type_channels(const zn_type *t) {
    return t->rank ? t->dim[t->rank - 1] : 1;
}

bool zn_type_valid(const zn_type *t) {
    int64_t n = 4;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 1 || __builtin_mul_overflow(n, t->dim[i], &n) || n > (int64_t)1 << 46)
            return false;
    return true;
}

void zn_type_print(const zn_type *t, zn_buf *out) {
    zn_buf_puts(out, t->dtype == ZN_F32 ? "f32[" : "i32[");
    for (int i = 0; i < t->rank; i++)
        zn_buf_printf(out, "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    zn_buf_putc(out, ']');
}

zn_module *zn_module_new(const char *name) {
    zn_arena arena = {0};
    zn_module *m = zn_new(&arena, zn_module);
    m->arena = arena;
    m->name = zn_arena_strdup(&m->arena, name);
    return m;
}

void zn_module_free(zn_module *m) {
    if (!m)
        return;
    zn_arena arena = m->arena; /* m lies inside */
    zn_arena_free(&arena);
}

zn_func *zn_func_new(zn_module *m, const char *name) {
    zn_func *f = zn_new(&m->arena, zn_func), **at = &m->funcs;
    f->name = zn_arena_strdup(&m->arena, name);
    while (*at)
        at = &(*at)->next;
    return *at = f;
}

zn_func *zn_func_find(const zn_module *m, const char *name) {
    for (zn_func *f = m->funcs; f; f = f->next)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

void zn_func_remove(zn_module *m, zn_func *f) {
    for (zn_func **at = &m->funcs; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            return;
        }
}

bool zn_func_is_program(const zn_func *f) {
    return strcmp(f->name, "forward") != 0;
}

const zn_value *zn_value_viewed(const zn_value *v) {
    while (v->op == ZN_OP_ROW || v->op == ZN_OP_FLATTEN || v->op == ZN_OP_UNFLATTEN)
        v = v->operand[0];
    return v;
}

void zn_func_number(zn_func *f) {
    int n = 0;
    for (zn_value *v = f->first; v; v = v->next)
        v->id = n++;
}

/* ---- parameters, with a hash table from names (open addressing, at most half full; FNV-1a) */

static size_t hash_name(const char *name) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of the first parameter called name, or the free one where it would stand. */
static zn_param **param_slot(const zn_module *m, const char *name) {
    size_t mask = m->by_name_size - 1, i = hash_name(name) & mask;
    while (m->by_name[i] && strcmp(m->by_name[i]->name, name))
        i = (i + 1) & mask;
    return &m->by_name[i];
}

static void index_params(zn_module *m) {
    m->by_name_size = 64;
    while (m->by_name_size < 4 * m->nparams)
        m->by_name_size *= 2;
    m->by_name = zn_new_n(&m->arena, zn_param *, m->by_name_size);
    for (zn_param *p = m->params; p; p = p->next) {
        zn_param **slot = param_slot(m, p->name);
        if (!*slot)
            *slot = p;
    }
}

zn_param *zn_param_find(const zn_module *m, const char *name) {
    return m->by_name_size ? *param_slot(m, name) : NULL;
}

zn_param *zn_param_new(zn_module *m, const char *name, zn_type type, zn_role role, zn_formula init, zn_span span) {
    zn_param *p = zn_new(&m->arena, zn_param);
    *p = (zn_param){.name = zn_arena_strdup(&m->arena, name),
                    .type = type,
                    .role = role,
                    .init = init,
                    .rate = 1,
                    .freeze = HUGE_VAL,
                    .span = span};
    p->index = m->nparams++;
    *(m->last_param ? &m->last_param->next : &m->params) = p;
    m->last_param = p;
    if (2 * m->nparams > m->by_name_size) {
        index_params(m);
    } else {
        zn_param **slot = param_slot(m, name);
        if (!*slot)
            *slot = p;
    }
    return p;
}

bool zn_param_trained(const zn_param *p) {
    return zn_role_trained(p->role) && p->freeze > 0;
}

const zn_param *zn_value_calibrated(const zn_module *m, const zn_value *v) {
    if ((v->op != ZN_OP_CONV && v->op != ZN_OP_MATMUL) || v->operand[1]->op != ZN_OP_PARAM)
        return NULL;
    const zn_param *p = zn_param_find(m, zn_attr_of(v->operand[1], PARAM, name)->s);
    bool runs = p->calibration.kind == ZN_CALIBRATION_LSUV || p->calibration.kind == ZN_CALIBRATION_VARIANCE_AWARE;
    return runs ? p : NULL;
}

int zn_freeze_epochs(const zn_module *m, double epochs[ZN_MAX_FREEZE]) {
    int n = 0;
    for (const zn_param *p = m->params; p; p = p->next) {
        int k = 0;
        if (!zn_param_trained(p) || isinf(p->freeze))
            continue;
        while (k < n && epochs[k] < p->freeze)
            k++;
        if (k < n && epochs[k] == p->freeze)
            continue;
        if (n == ZN_MAX_FREEZE)
            return -1;
        for (int i = n++; i > k; i--)
            epochs[i] = epochs[i - 1];
        epochs[k] = p->freeze;
    }
    return n;
}

void zn_params_filter(zn_module *m, const bool *keep) {
    zn_param **at = &m->params;
    m->last_param = NULL;
    m->nparams = 0;
    for (zn_param *p = m->params; p; p = p->next) {
        if (!keep[p->index])
            continue;
        *at = p;
        at = &p->next;
        m->last_param = p;
    }
    *at = NULL;
    for (zn_param *p = m->params; p; p = p->next)
        p->index = m->nparams++;
    index_params(m);
}

static zn_conf *conf_slot(zn_module *m, const char *key, zn_conf_kind kind, zn_span at) {
    bool behind = m->last_conf && strcmp(m->last_conf->key, key) < 0; /* text lists them in order */
    zn_conf **pos = behind ? &m->last_conf->next : &m->conf;
    while (*pos && strcmp((*pos)->key, key) < 0)
        pos = &(*pos)->next;
    zn_conf *c = *pos;
    if (!c || strcmp(c->key, key)) {
        c = zn_new(&m->arena, zn_conf);
        c->key = zn_arena_strdup(&m->arena, key);
        c->next = *pos;
        *pos = c;
        if (!c->next)
            m->last_conf = c;
    }
    c->kind = kind;
    c->span = at;
    return c;
}

void zn_conf_set_int(zn_module *m, const char *key, int64_t x, zn_span at) {
    conf_slot(m, key, ZN_CONF_INT, at)->i = x;
}
void zn_conf_set_float(zn_module *m, const char *key, double x, zn_span at) {
    conf_slot(m, key, ZN_CONF_FLOAT, at)->f = x;
}
void zn_conf_set_bool(zn_module *m, const char *key, bool x, zn_span at) {
    conf_slot(m, key, ZN_CONF_BOOL, at)->i = x;
}
void zn_conf_set_str(zn_module *m, const char *key, const char *x, zn_span at) {
    conf_slot(m, key, ZN_CONF_STR, at)->s = zn_arena_strdup(&m->arena, x);
}
void zn_conf_set_floats(zn_module *m, const char *key, size_t n, const double *v, zn_span at) {
    double *copy = zn_new_n(&m->arena, double, n ? n : 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = v[i];
    zn_conf *c = conf_slot(m, key, ZN_CONF_FLOATS, at);
    c->n = n;
    c->v = copy;
}

const zn_conf *zn_conf_get(const zn_module *m, const char *key) {
    if (!m->last_conf || strcmp(m->last_conf->key, key) < 0)
        return NULL;
    for (const zn_conf *c = m->conf; c; c = c->next)
        if (!strcmp(c->key, key))
            return c;
    return NULL;
}
int64_t zn_conf_int(const zn_module *m, const char *key, int64_t otherwise) {
    const zn_conf *c = zn_conf_get(m, key);
    return c && c->kind == ZN_CONF_INT ? c->i : otherwise;
}
double zn_conf_float(const zn_module *m, const char *key, double otherwise) {
    const zn_conf *c = zn_conf_get(m, key);
    return !c ? otherwise : c->kind == ZN_CONF_FLOAT ? c->f : c->kind == ZN_CONF_INT ? (double)c->i : otherwise;
}
bool zn_conf_bool(const zn_module *m, const char *key, bool otherwise) {
    const zn_conf *c = zn_conf_get(m, key);
    return c && c->kind == ZN_CONF_BOOL ? c->i != 0 : otherwise;
}
const char *zn_conf_str(const zn_module *m, const char *key, const char *otherwise) {
    const zn_conf *c = zn_conf_get(m, key);
    return c && c->kind == ZN_CONF_STR ? c->s : otherwise;
}

static void link_before(zn_func *f, zn_value *before, zn_value *v) {
    v->next = before;
    v->prev = before ? before->prev : f->last;
    *(v->prev ? &v->prev->next : &f->first) = v;
    *(before ? &before->prev : &f->last) = v;
}

static void link_use(zn_value *v, int i, zn_value *to) {
    zn_use *u = &v->use[i];
    *u = (zn_use){.user = v, .index = i};
    v->operand[i] = to;
    if (!to)
        return;
    u->prev = to->last_use;
    *(u->prev ? &u->prev->next : &to->first_use) = u;
    to->last_use = u;
    to->nuses++;
}

static void unlink_use(zn_value *v, int i) {
    zn_use *u = &v->use[i];
    zn_value *of = v->operand[i];
    if (!of)
        return;
    *(u->prev ? &u->prev->next : &of->first_use) = u->next;
    *(u->next ? &u->next->prev : &of->last_use) = u->prev;
    of->nuses--;
    v->operand[i] = NULL;
}

void zn_value_set_operand(zn_value *v, int i, zn_value *to) {
    unlink_use(v, i);
    link_use(v, i, to);
}

zn_value *zn_value_new(zn_module *m, zn_func *f, zn_value *before, zn_op op, int n, zn_value *const *operand,
                       zn_span span, const char *path) {
    zn_value *v = zn_new(&m->arena, zn_value);
    int first = zn_op_attr_first(op), nattr = zn_op_attr_count(op);
    v->op = op;
    v->noperands = n;
    v->operand = zn_new_n(&m->arena, zn_value *, (size_t)n);
    v->use = zn_new_n(&m->arena, zn_use, (size_t)n);
    for (int i = 0; i < n; i++)
        link_use(v, i, operand[i]);
    v->attr = zn_new_n(&m->arena, zn_attr, (size_t)nattr);
    for (int i = 0; i < nattr; i++)
        if (zn_attr_table[first + i].def[0])
            ZN_ASSERT(zn_attr_read(m, zn_attr_table[first + i].kind, zn_attr_table[first + i].def, &v->attr[i]));
    v->span = span;
    v->path = path ? path : "";
    v->group = -1;
    link_before(f, before, v);
    return v;
}

zn_value *zn_arg_new(zn_module *m, zn_func *f, zn_type type, const char *name) {
    zn_value *before = f->first;
    while (before && before->op == ZN_OP_ARG)
        before = before->next;
    zn_value *v = zn_value_new(m, f, before, ZN_OP_ARG, 0, NULL, (zn_span){0}, "");
    zn_attr_of(v, ARG, index)->i = (int64_t)f->args.n;
    v->type = type;
    v->name = zn_arena_strdup(&m->arena, name);
    zn_vec_push(&m->arena, &f->args, v);
    return v;
}

zn_value *zn_param_read(zn_module *m, zn_func *f, zn_value *before, const zn_param *p, const char *path) {
    zn_value *v = zn_value_new(m, f, before, ZN_OP_PARAM, 0, NULL, p->span, path);
    zn_attr_of(v, PARAM, name)->s = p->name;
    v->type = p->type;
    return v;
}

void zn_func_return(zn_module *m, zn_func *f, zn_value *v) {
    zn_vec_push(&m->arena, &f->results, v);
    v->nuses++;
    v->nresults++;
}

void zn_value_remove(zn_func *f, zn_value *v) {
    for (int i = 0; i < v->noperands; i++)
        unlink_use(v, i);
    *(v->prev ? &v->prev->next : &f->first) = v->next;
    *(v->next ? &v->next->prev : &f->last) = v->prev;
    v->prev = v->next = NULL;
}

void zn_value_replace(zn_func *f, zn_value *old, zn_value *by, const zn_value *but) {
    for (zn_use *u = old->first_use, *next; u; u = next) {
        next = u->next;
        if (u->user != but)
            zn_value_set_operand(u->user, u->index, by);
    }
    for (size_t i = 0; old->nresults && i < f->results.n; i++)
        if (f->results.at[i] == old) {
            f->results.at[i] = by;
            old->nuses--;
            old->nresults--;
            by->nuses++;
            by->nresults++;
        }
}

int64_t zn_shard_count(int64_t n) {
    int64_t s = 1;
    while (s < 16 && s * 2 <= n)
        s *= 2;
    return s;
}

int64_t zn_stats_shards(int64_t n, int64_t spatial) {
    int64_t least = (63 + spatial) / spatial, images = least;
    while (images < n && n % images)
        images++;
    if (images < n && images <= 3 * least)
        return n / images;
    return least < n ? n / least : 1;
}
