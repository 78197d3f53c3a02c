/* The model unrolled: blocks, loops and conditions gone, every layer with its options, its path and the shapes around
 * it.
 *
 * Paths follow the rule of docs/language.md: segments come from labels and loops only; in the nearest such scope layers
 * are numbered by kind. After a layer that was reported the current value is poisoned until it is known again. */
#include "frontend/net.h"

#include <inttypes.h>
#include <string.h>

#include "support/ice.h"

enum { MAX_OPS = 100000, MAX_TERMS = 400000, MAX_INT = INT32_MAX };

/* ---- shapes ---- */

const zn_shape zn_poison = {.bad = true};
zn_shape zn_shape_image(int64_t h, int64_t w, int64_t c) {
    return (zn_shape){.rank = 3, .dim = {h, w, c}};
}
zn_shape zn_shape_vector(int64_t n) {
    return (zn_shape){.rank = 1, .dim = {n}};
}
int64_t zn_shape_channels(const zn_shape *x) {
    return x->dim[x->rank - 1];
}

const char *zn_shape_text(zn_sema *s, const zn_shape *x) {
    return x->rank == 1
               ? zn_arena_printf(s->arena, "[%" PRId64 "]", x->dim[0])
               : zn_arena_printf(s->arena, "[%" PRId64 ", %" PRId64 ", %" PRId64 "]", x->dim[0], x->dim[1], x->dim[2]);
}

bool zn_shape_equal(const zn_shape *a, const zn_shape *b) {
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

/* Bytes of a tensor of these dimensions of f32 fit. */
bool zn_shape_fits(const int64_t *dim, int n, int64_t times) {
    int64_t x = 4;
    if (__builtin_mul_overflow(x, times, &x))
        return false;
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(x, dim[i], &x))
            return false;
    return x <= (int64_t)1 << 46;
}

zn_shape zn_shape_checked(zn_sema *s, zn_span at, zn_shape x) {
    if (x.bad || zn_shape_fits(x.dim, x.rank, s->batch ? s->batch : 1))
        return x;
    zn_sema_error(s, ZN_DIAG_TOO_LARGE, at, "a batch of values %s has more than 2^46 bytes", zn_shape_text(s, &x));
    return zn_poison;
}

/* ---- paths ---- */

typedef struct path_user {
    zn_span at, via;
} path_user;

/* Takes a path for a layer with parameters or a scope. */
void zn_net_take_path(zn_sema *s, const char *path, zn_span at, zn_span via) {
    void **user = zn_table_at(s->arena, &s->paths, path);
    if (!*user) {
        path_user *u = zn_new(s->arena, path_user);
        *u = (path_user){at, via};
        *user = u;
        return;
    }
    const path_user *first = *user;
    void **twice = zn_table_at(s->arena, &s->twice, path);
    *twice = s;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
        if (zn_table_get(&s->twice, zn_arena_strndup(s->arena, path, (size_t)(dot - path))))
            return; /* what stands in a scope of the same name has the same name */
    zn_diag *x = zn_sema_error(s, ZN_DIAG_PATH_TWICE, at, "the path `%s` is taken already", path);
    if (first->at.line != at.line || first->at.col != at.col)
        zn_sema_note(s, x, ZN_NOTE_LABEL, first->at, "first here");
    else if (first->via.line != via.line || first->via.col != via.col) {
        zn_sema_note(s, x, ZN_NOTE_LABEL, first->via, "first by way of this");
        zn_sema_note(s, x, ZN_NOTE_LABEL, via, "again by way of this");
    }
    zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "label the block or loop around it: `name: ...`");
}

const char *zn_net_join(zn_sema *s, const zn_scope *in, const char *segment) {
    return *in->path ? zn_arena_printf(s->arena, "%s.%s", in->path, segment) : zn_arena_strdup(s->arena, segment);
}

/* The next number of a kind in a scope, as a segment: conv1. */
const char *zn_net_numbered(zn_sema *s, zn_scope *in, const char *kind) {
    zn_scope_count *c = in->counts;
    while (c && strcmp(c->kind, kind))
        c = c->next;
    if (!c) {
        c = zn_new(s->arena, zn_scope_count);
        c->kind = kind;
        c->next = in->counts;
        in->counts = c;
    }
    return zn_arena_printf(s->arena, "%s%" PRId64, kind, ++c->n);
}

/* ---- nodes ---- */

static size_t ops_of(zn_node_kind kind) {
    switch (kind) {
    case ZN_NODE_CONV:
    case ZN_NODE_LINEAR:
        return 4;
    case ZN_NODE_NORM:
        return 5;
    case ZN_NODE_NUMBERS:
        return 2;
    case ZN_NODE_NAME:
    case ZN_NODE_FROM:
        return 0;
    default:
        return 1;
    }
}

zn_node *zn_net_add(zn_sema *s, zn_nodes *out, zn_node_kind kind, zn_span at, const char *path, const zn_shape *in,
                    zn_shape result) {
    zn_node *n = zn_new(s->arena, zn_node);
    n->kind = kind;
    n->at = at;
    n->path = path;
    n->in = *in;
    n->out = result;
    n->k[0] = n->k[1] = n->stride[0] = n->stride[1] = n->groups = 1;
    n->eps = 1e-5;
    n->momentum = 0.1;
    if (out->last)
        out->last->next = n;
    else
        out->first = n;
    out->last = n;
    s->nops += ops_of(kind);
    if (s->nops > MAX_OPS && !s->stop) {
        zn_sema_error(s, ZN_DIAG_TOO_MANY_OPS, at, "this passes the limit of %d operations after unrolling",
                      (int)MAX_OPS);
        s->stop = true;
    }
    return n;
}

/* ---- terms ---- */

static zn_shape use_block(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out) {
    const zn_env *env = NULL;
    if (t->block->bad)
        return zn_poison;
    size_t i = 0;
    for (const zn_formal *f = t->block->formals; f; f = f->next, i++) {
        zn_val *v = zn_new(s->arena, zn_val);
        *v = t->slot[i] ? zn_eval(s, p.env, t->slot[i]) : zn_eval(s, env, f->value);
        zn_env *e = zn_new(s->arena, zn_env);
        *e = (zn_env){f->name, v, env};
        env = e;
    }
    p.env = env;
    p.values = NULL; /* a block sees its own names only */
    return zn_net_unroll(s, t->block->body, p, x, out);
}

zn_slot *zn_net_value(const zn_place *p, const char *name) {
    for (const zn_named *v = p->values; v; v = v->up)
        if (!strcmp(v->name, name))
            return v->slot;
    return NULL;
}

/* The body of a loop, for its i-th value. */
static zn_shape turn(zn_sema *s, const zn_term *t, zn_place p, int64_t i, const zn_val *v, zn_shape x, zn_nodes *out) {
    const zn_env e = {t->name, v, p.env};
    zn_scope body = {.path = zn_net_join(s, p.in, zn_arena_printf(s->arena, "%" PRId64, i))};
    p.in = &body;
    if (t->name)
        p.env = &e;
    return zn_net_unroll(s, t->body, p, x, out);
}

static zn_shape repeat(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out) {
    int64_t n = 0;
    if (!zn_eval_int(s, p.env, t->value, "repeat", 0, INT64_MAX, &n))
        return zn_poison;
    zn_lint_repeat(s, t->value, n);
    for (int64_t i = 0; i < n && !s->stop; i++) {
        const zn_val v = {.kind = ZN_V_INT, .i = i};
        x = turn(s, t, p, i, &v, x, out);
    }
    return x;
}

static zn_shape for_each(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out) {
    zn_val list = zn_eval(s, p.env, t->value);
    if (list.kind != ZN_V_LIST) {
        if (list.kind != ZN_V_BAD)
            zn_sema_error(s, ZN_DIAG_TYPE, t->value->at, "`for` needs a list; this is %s", zn_val_kind_text(&list));
        return zn_poison;
    }
    for (size_t i = 0; i < list.n && !s->stop; i++)
        x = turn(s, t, p, (int64_t)i, &list.list[i], x, out);
    return x;
}

static zn_shape choose(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out) {
    bool yes = false;
    if (!zn_eval_bool(s, p.env, t->value, "if", &yes))
        return zn_poison;
    const zn_body *b = yes ? t->body : t->other;
    return b ? zn_net_unroll(s, b, p, x, out) : x;
}

static zn_shape from(zn_sema *s, const zn_term *t, zn_place p, const zn_shape *x, zn_nodes *out) {
    zn_slot *slot = zn_net_value(&p, t->name);
    if (!slot || slot->shape.bad)
        return zn_poison;
    zn_net_add(s, out, ZN_NODE_FROM, t->at, p.in->path, x, slot->shape)->slot = slot;
    return slot->shape;
}

/* Gives the value after a term its name. */
static const zn_named *name_value(zn_sema *s, const zn_term *t, const zn_place *p, const zn_shape *x, zn_nodes *out) {
    zn_named *v = zn_new(s->arena, zn_named);
    zn_slot *slot = zn_new(s->arena, zn_slot);
    *slot = (zn_slot){*x, t->as_at, NULL};
    *v = (zn_named){t->as, slot, p->values};
    if (!x->bad)
        zn_net_add(s, out, ZN_NODE_NAME, t->as_at, p->in->path, x, *x)->slot = slot;
    return v;
}

typedef enum term_class { TERM_OTHER, TERM_NORM, TERM_TRANSPARENT } term_class;

/* What the rule of `bias = auto` sees in a term. */
static term_class classify(const zn_term *t) {
    if (t->kind != ZN_TERM_CALL || !t->sig || t->sig->group != ZN_GROUP_LAYER)
        return TERM_OTHER;
    return t->sig->flags & ZN_C_NORM ? TERM_NORM : t->sig->flags & ZN_C_TRANSPARENT ? TERM_TRANSPARENT : TERM_OTHER;
}

/* Only weighted layers ask, so that long runs of activations are not walked again and again. */
static bool norm_near(const zn_term *t, bool before) {
    if (t->kind != ZN_TERM_CALL || !t->sig || t->sig->group != ZN_GROUP_LAYER)
        return false;
    if (t->sig->id != ZN_SIG_LAYER_CONV && t->sig->id != ZN_SIG_LAYER_LINEAR)
        return false;
    if (before)
        return true;
    for (t = t->next; t; t = t->next) {
        term_class c = classify(t);
        if (c != TERM_TRANSPARENT)
            return c == TERM_NORM;
    }
    return false;
}

static zn_shape unroll_term(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out, bool has_norm) {
    bool is_layer = t->kind == ZN_TERM_CALL && !t->block;
    zn_scope own = {0};
    const char *path = NULL;
    if (t->bad) /* what keeps the shape of its input keeps it whatever is wrong */
        return t->sig && t->sig->group == ZN_GROUP_LAYER && (t->sig->flags & (ZN_C_NORM | ZN_C_TRANSPARENT))
                   ? x
                   : zn_poison;
    if (t->label) {
        path = zn_net_join(s, p.in, t->label);
        zn_net_take_path(s, path, t->label_at, p.via);
    } else if (is_layer) {
        const char *kind = t->sig->flags & ZN_C_ALIAS ? zn_sig_row(t->sig->id - 1).name : t->sig->name;
        path = zn_net_join(s, p.in, zn_net_numbered(s, p.in, kind));
        if (t->sig->flags & ZN_C_PARAMS)
            zn_net_take_path(s, path, t->at, p.via);
    } else if (t->kind == ZN_TERM_REPEAT || t->kind == ZN_TERM_FOR) {
        path = zn_net_join(s, p.in, zn_net_numbered(s, p.in, t->kind == ZN_TERM_FOR ? "for" : "repeat"));
        zn_net_take_path(s, path, t->name_at, p.via);
    }
    if (path && !is_layer) {
        own.path = path;
        p.in = &own;
    }
    switch (t->kind) {
    case ZN_TERM_CALL: {
        if (t->block)
            return use_block(s, t, p, x, out);
        zn_layer_call c = {s, t, p, x, out, path, NULL};
        zn_shape y = zn_net_layer(&c, has_norm);
        if (!y.bad && y.rank == 1 && x.rank == 3)
            s->vector_at = t->at;
        return y;
    }
    case ZN_TERM_RESIDUAL:
        return zn_net_residual(s, t, p, x, out);
    case ZN_TERM_REPEAT:
        return repeat(s, t, p, x, out);
    case ZN_TERM_FOR:
        return for_each(s, t, p, x, out);
    case ZN_TERM_IF:
        return choose(s, t, p, x, out);
    case ZN_TERM_FROM:
        return from(s, t, p, &x, out);
    }
    return zn_poison;
}

zn_shape zn_net_unroll(zn_sema *s, const zn_body *b, zn_place p, zn_shape x, zn_nodes *out) {
    bool norm_before = false;
    if (++p.depth > ZN_MAX_NESTING) {
        zn_sema_error(s, ZN_DIAG_NESTING, b->first ? b->first->name_at : b->at,
                      "the model is nested more than %d levels deep here", (int)ZN_MAX_NESTING);
        s->stop = true;
        return zn_poison;
    }
    for (const zn_term *t = b->first; t && !s->stop; t = t->next) {
        if (++s->nterms > MAX_TERMS) {
            zn_sema_error(s, ZN_DIAG_TOO_MANY_OPS, t->name_at, "this passes the limit of %d terms after unrolling",
                          (int)MAX_TERMS);
            s->stop = true;
            break;
        }
        zn_place q = p;
        if (p.depth == 1)
            q.via = t->at;
        zn_shape cur = x;
        s->cur = &cur;
        x = unroll_term(s, t, q, x, out, norm_near(t, p.branch && norm_before));
        if (t->as)
            p.values = name_value(s, t, &p, &x, out);
        term_class c = classify(t);
        if (c != TERM_TRANSPARENT)
            norm_before = c == TERM_NORM;
    }
    s->cur = NULL;
    return x;
}

/* ---- the model ---- */

static zn_shape input_shape(zn_sema *s, const zn_model *m) {
    zn_shape x = {.rank = (int)m->dims.n};
    int i = 0;
    if (m->damaged)
        return zn_poison;
    if (m->dims.n != 1 && m->dims.n != 3) {
        zn_sema_error(s, ZN_DIAG_INPUT_DIMS, m->input_at,
                      "the input has %zu dimension%s; it is an image [height, width, channels] or a vector [features]",
                      m->dims.n, m->dims.n == 1 ? "" : "s");
        return zn_poison;
    }
    for (const zn_arg *a = m->dims.first; a; a = a->next, i++)
        if (!zn_eval_int(s, NULL, a->value, "input", 1, MAX_INT, &x.dim[i]))
            x.bad = true;
    return zn_shape_checked(s, m->input_at, x);
}

static void check_sample(zn_sema *s, const zn_model *m, const zn_shape *x) {
    if (s->sample.bad || x->bad)
        return;
    const zn_shape *y = &s->sample;
    int64_t all = y->dim[0] * y->dim[1] * y->dim[2];
    if (x->rank == 3 ? zn_shape_equal(x, y) : x->dim[0] == all)
        return;
    zn_diag *d = zn_sema_error(s, ZN_DIAG_DATA_SHAPE, m->input_at, "the input is %s; the samples of `%s` are %s",
                               zn_shape_text(s, x), s->source, zn_shape_text(s, y));
    zn_sema_note(s, d, ZN_NOTE_HELP, (zn_span){0}, "write `input %s%s`%s", m->input, zn_shape_text(s, y),
                 x->rank == 1 ? zn_arena_printf(s->arena, ", or `input %s[%" PRId64 "]`", m->input, all) : "");
}

/* The last weighted layer always has a bias, unless its option says otherwise. */
static void find_head(const zn_nodes *list, zn_node **head) {
    for (zn_node *n = list->first; n; n = n->next) {
        if (n->kind == ZN_NODE_CONV || n->kind == ZN_NODE_LINEAR)
            *head = n;
        if (n->kind == ZN_NODE_RESIDUAL)
            find_head(&n->branch, head);
    }
}

static void check_output(zn_sema *s, const zn_model *m) {
    const zn_shape *y = &s->output;
    if (y->bad || !s->has_train || (s->loss == ZN_LOSS_UNKNOWN && zn_shape_equal(y, &s->input)))
        return;
    zn_span at = m->body->last ? m->body->last->at : m->at;
    if (s->loss == ZN_LOSS_IMAGE) {
        if (!zn_shape_equal(y, &s->input)) {
            zn_diag *d = zn_sema_error(s, ZN_DIAG_DATA_CLASSES, at,
                                       "the model gives %s; `mse(target = image)` compares it with the input, %s",
                                       zn_shape_text(s, y), zn_shape_text(s, &s->input));
            zn_sema_note(s, d, ZN_NOTE_LABEL, m->input_at, "the input");
        }
    }
    if (s->views_at.line && (s->loss == ZN_LOSS_IMAGE || s->loss == ZN_LOSS_VALUE))
        zn_sema_error(s, ZN_DIAG_DATA_CLASSES, s->views_at, "`views` need classes; the loss compares with %s",
                      s->loss == ZN_LOSS_IMAGE ? "the image" : "numbers");
    if (s->loss == ZN_LOSS_IMAGE)
        return;
    if (y->rank != 1) {
        zn_diag *d = zn_sema_error(
            s, ZN_DIAG_DATA_CLASSES, at, "the model ends in the image %s; %s needs a vector, one number per %s",
            zn_shape_text(s, y), s->loss == ZN_LOSS_LABEL || s->loss == ZN_LOSS_VALUE ? "mse" : "cross_entropy",
            s->loss == ZN_LOSS_VALUE ? "target" : "class");
        zn_sema_note(s, d, ZN_NOTE_HELP, (zn_span){0}, "end it in `avgpool linear(%" PRId64 ")`",
                     s->loss == ZN_LOSS_VALUE ? 1
                     : s->classes             ? s->classes
                                              : 10);
    } else if (s->loss == ZN_LOSS_VALUE && s->classes && y->dim[0] != 1) {
        zn_sema_error(s, ZN_DIAG_DATA_CLASSES, at,
                      "the model gives %" PRId64 " numbers; `mse(target = value)` compares one with a label of `%s`",
                      y->dim[0], s->source);
    } else if (s->loss != ZN_LOSS_VALUE && s->classes && y->dim[0] != s->classes) {
        zn_diag *d = zn_sema_error(s, ZN_DIAG_DATA_CLASSES, at,
                                   "the model gives %" PRId64 " number%s; `%s` has %" PRId64 " classes", y->dim[0],
                                   y->dim[0] == 1 ? "" : "s", s->source, s->classes);
        if (s->source_at.line)
            zn_sema_note(s, d, ZN_NOTE_LABEL, s->source_at, "the data");
    }
}

void zn_net(zn_sema *s) {
    const zn_model *m = s->file->model;
    zn_scope top = {.path = ""};
    zn_shape x = s->input = input_shape(s, m);
    check_sample(s, m, &x);
    if (!x.bad && x.rank == 1)
        s->vector_at = m->input_at;
    zn_slot *first = zn_new(s->arena, zn_slot);
    *first = (zn_slot){x, m->input_at, NULL};
    s->input_slot = first;
    const zn_named input = {m->input, first, NULL};
    zn_place p = {.in = &top, .values = &input};
    s->output = zn_net_unroll(s, m->body, p, x, &s->net);
    if (s->stop)
        return;
    check_output(s, m);
    zn_node *head = NULL;
    find_head(&s->net, &head);
    if (head && head->bias_auto)
        head->bias = true;
}
