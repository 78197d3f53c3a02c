/* The model unrolled: blocks and loops gone, every layer with its options, its path and the shapes around it.
 *
 * Paths follow the rule of docs/language.md: segments come from labels and loops only; in the nearest such scope layers
 * are numbered by kind. After a layer that was reported the current value is poisoned until the end of the model. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/sema.h"
#include "support/ice.h"
#include "support/number.h"

enum { MAX_OPS = 100000, MAX_TERMS = 400000, MAX_INT = INT32_MAX };

/* A labelled or indexed scope: where layers are numbered. */
typedef struct scope_count {
    const char *kind;
    int64_t n;
    struct scope_count *next;
} scope_count;
typedef struct scope {
    const char *path;
    scope_count *counts;
} scope;

/* Where a term stands. */
typedef struct place {
    scope *in;
    const zn_env *env;
    bool branch; /* inside of a residual's branch */
    int depth;
    zn_span via; /* the term of the model's own body that led here */
} place;

static zn_shape unroll(zn_sema *s, const zn_body *b, place p, zn_shape x, zn_nodes *out);

/* ---- shapes ---- */

static const zn_shape poison = {.bad = true};
static zn_shape image(int64_t h, int64_t w, int64_t c) {
    return (zn_shape){.rank = 3, .dim = {h, w, c}};
}
static zn_shape vector(int64_t n) {
    return (zn_shape){.rank = 1, .dim = {n}};
}
static int64_t channels(const zn_shape *x) {
    return x->dim[x->rank - 1];
}

const char *zn_shape_text(zn_sema *s, const zn_shape *x) {
    return x->rank == 1
               ? zn_arena_printf(s->arena, "[%" PRId64 "]", x->dim[0])
               : zn_arena_printf(s->arena, "[%" PRId64 ", %" PRId64 ", %" PRId64 "]", x->dim[0], x->dim[1], x->dim[2]);
}

static bool same_shape(const zn_shape *a, const zn_shape *b) {
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

/* Bytes of a tensor of these dimensions of f32 fit. */
static bool fits(const int64_t *dim, int n, int64_t times) {
    int64_t x = 4;
    if (__builtin_mul_overflow(x, times, &x))
        return false;
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(x, dim[i], &x))
            return false;
    return x <= (int64_t)1 << 46;
}

static zn_shape checked(zn_sema *s, zn_span at, zn_shape x) {
    if (x.bad || fits(x.dim, x.rank, s->batch ? s->batch : 1))
        return x;
    zn_sema_error(s, ZN_DIAG_TOO_LARGE, at, "a batch of values %s has more than 2^46 bytes", zn_shape_text(s, &x));
    return poison;
}

/* ---- paths ---- */

typedef struct path_user {
    zn_span at, via;
} path_user;

/* Takes a path for a layer with parameters or a scope. */
static void take_path(zn_sema *s, const char *path, zn_span at, zn_span via) {
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

static const char *join(zn_sema *s, const scope *in, const char *segment) {
    return *in->path ? zn_arena_printf(s->arena, "%s.%s", in->path, segment) : zn_arena_strdup(s->arena, segment);
}

/* The next number of a kind in a scope, as a segment: conv1. */
static const char *numbered(zn_sema *s, scope *in, const char *kind) {
    scope_count *c = in->counts;
    while (c && strcmp(c->kind, kind))
        c = c->next;
    if (!c) {
        c = zn_new(s->arena, scope_count);
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
    case ZN_NODE_LAYERNORM:
        return 3;
    case ZN_NODE_BN:
        return 5;
    default:
        return 1;
    }
}

static zn_node *add_node(zn_sema *s, zn_nodes *out, zn_node_kind kind, zn_span at, const char *path, const zn_shape *in,
                         zn_shape result) {
    zn_node *n = zn_new(s->arena, zn_node);
    n->kind = kind;
    n->at = at;
    n->path = path;
    n->in = *in;
    n->out = result;
    n->k = n->stride = n->groups = 1;
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

/* ---- layers ---- */

typedef struct layer_call {
    zn_sema *s;
    const zn_term *t;
    place p;
    zn_shape x;
    zn_nodes *out;
    const char *path;
    zn_val *v; /* of its options */
} layer_call;

/* Forms of k and pad that are planned. */
static bool planned_form(const layer_call *c) {
    const zn_sig *sig = c->t->sig;
    size_t k = zn_sig_arg_index(sig, "k"), pad = zn_sig_arg_index(sig, "pad");
    const zn_expr *e = k < sig->n ? c->t->slot[k] : NULL;
    if (e && e->kind == ZN_E_LIST) {
        zn_sema_error(c->s, ZN_DIAG_NOT_YET, e->at, "a list for `k` is not supported yet");
        return true;
    }
    e = pad < sig->n ? c->t->slot[pad] : NULL;
    if (!e || zn_bare_word(c->s, c->p.env, e) || zn_eval(c->s, c->p.env, e).kind != ZN_V_INT)
        return false;
    zn_sema_error(c->s, ZN_DIAG_NOT_YET, e->at, "a number for `pad` is not supported yet; there are same and valid");
    return true;
}

static const zn_val *value(const layer_call *c, const char *name) {
    size_t i = zn_sig_arg_index(c->t->sig, name);
    ZN_ASSERT(i < c->t->sig->n);
    return &c->v[i];
}

/* Whether a weighted layer has a bias; `auto` is decided by the norm beside it. */
static bool bias_of(const layer_call *c, bool has_norm, bool *is_auto) {
    const zn_val *v = value(c, "bias");
    *is_auto = v->kind == ZN_V_STR;
    return *is_auto ? !has_norm : v->i != 0;
}

/* Output size and padding of a window along height and width; false after reporting. */
static bool slide(layer_call *c, int64_t k, int64_t stride, bool same, int64_t out[2], int64_t pad[4]) {
    for (int i = 0; i < 2; i++) {
        int64_t in = c->x.dim[i], before = 0, after = 0;
        if (same) {
            out[i] = (in - 1) / stride + 1;
            before = (k - 1) / 2;
            after = (out[i] - 1) * stride + k - in - before;
            if (after < 0)
                after = 0;
        } else if (k > in) {
            zn_diag *x =
                zn_sema_error(c->s, ZN_DIAG_WINDOW, c->t->at,
                              "the window of `%s` is %" PRId64 " x %" PRId64 "; the map is only %" PRId64 " x %" PRId64,
                              c->t->name, k, k, c->x.dim[0], c->x.dim[1]);
            zn_sema_note(c->s, x, ZN_NOTE_HELP, (zn_span){0}, "use a smaller window, or `pad = same`");
            return false;
        } else {
            out[i] = (in - k) / stride + 1;
        }
        pad[i] = before;
        pad[i + 2] = after;
    }
    return true;
}

static bool need_image(const layer_call *c) {
    if (c->x.rank == 3)
        return true;
    zn_diag *x = zn_sema_error(c->s, ZN_DIAG_LAYER_INPUT, c->t->at,
                               "`%s` needs an image [h, w, c]; the value here is the vector %s", c->t->name,
                               zn_shape_text(c->s, &c->x));
    if (c->s->vector_at.line)
        zn_sema_note(c->s, x, ZN_NOTE_LABEL, c->s->vector_at, "%s a vector here",
                     c->s->vector_at.line == c->s->file->model->input_at.line &&
                             c->s->vector_at.col == c->s->file->model->input_at.col
                         ? "declared"
                         : "made");
    return false;
}

/* Do `groups` divide the channels on both sides? */
static bool check_groups(layer_call *c, int64_t groups, int64_t out) {
    int64_t in = c->x.dim[2];
    if (in % groups == 0 && out % groups == 0)
        return true;
    bool of_in = in % groups != 0;
    zn_sema_error(c->s, ZN_DIAG_RANGE, c->t->slot[ZN_ARG_AT(LAYER, CONV, groups)]->at,
                  "`groups` is %" PRId64 "; it must divide the %" PRId64 " channels %s", groups, of_in ? in : out,
                  of_in ? "of the value here" : "of the result");
    return false;
}

static zn_shape layer_conv(layer_call *c, bool has_norm) {
    zn_sema *s = c->s;
    int64_t out = value(c, "out")->i, k = value(c, "k")->i, stride = value(c, "stride")->i, size[2], pad[4];
    if (k % 2 == 0) {
        zn_sema_error(s, ZN_DIAG_NOT_YET, c->t->slot[ZN_ARG_AT(LAYER, CONV, k)]->at,
                      "`k` is %" PRId64 "; even kernels are not supported yet", k);
        return poison;
    }
    int64_t groups = value(c, "groups")->i;
    if (c->x.bad || !need_image(c) || !check_groups(c, groups, out) ||
        !slide(c, k, stride, value(c, "pad")->i == 0, size, pad))
        return poison;
    int64_t weights[4] = {k, k, c->x.dim[2] / groups, out};
    if (!fits(weights, 4, 1)) {
        zn_sema_error(s, ZN_DIAG_TOO_LARGE, c->t->at, "the weights have more than 2^46 bytes");
        return poison;
    }
    zn_shape y = checked(s, c->t->at, image(size[0], size[1], out));
    if (y.bad)
        return y;
    zn_node *n = add_node(s, c->out, ZN_NODE_CONV, c->t->at, c->path, &c->x, y);
    n->k = k;
    n->stride = stride;
    n->groups = groups;
    n->bias = bias_of(c, has_norm, &n->bias_auto);
    memcpy(n->pad, pad, sizeof pad);
    return y;
}

static zn_shape layer_linear(layer_call *c, bool has_norm) {
    zn_sema *s = c->s;
    int64_t out = value(c, "out")->i;
    if (c->x.bad)
        return checked(s, c->t->at, vector(out)); /* whatever it gets, it gives a vector */
    if (c->x.rank != 1) {
        zn_diag *x = zn_sema_error(s, ZN_DIAG_LAYER_INPUT, c->t->at,
                                   "`linear` needs a vector; the value here is the image %s", zn_shape_text(s, &c->x));
        zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0},
                     "put `flatten` before it (%" PRId64 " features) or `avgpool` (%" PRId64 ")",
                     c->x.dim[0] * c->x.dim[1] * c->x.dim[2], c->x.dim[2]);
        return checked(s, c->t->at, vector(out));
    }
    int64_t weights[2] = {c->x.dim[0], out};
    if (!fits(weights, 2, 1)) {
        zn_sema_error(s, ZN_DIAG_TOO_LARGE, c->t->at, "the weights have more than 2^46 bytes");
        return poison;
    }
    zn_shape y = checked(s, c->t->at, vector(out));
    if (y.bad)
        return y;
    zn_node *n = add_node(s, c->out, ZN_NODE_LINEAR, c->t->at, c->path, &c->x, y);
    n->bias = bias_of(c, has_norm, &n->bias_auto);
    return y;
}

/* Values per channel that batch statistics are taken over: one gives a variance of 0 for ever. */
static bool check_bn(zn_sema *s, zn_span at, const char *what, const zn_shape *x) {
    if (!s->has_train || s->batch != 1 || (x->rank == 3 && x->dim[0] * x->dim[1] != 1))
        return true;
    zn_sema_error(s, ZN_DIAG_BN_ONE_VALUE, at,
                  "%s sees one value per channel in all: the batch is 1 and the value here is %s", what,
                  zn_shape_text(s, x));
    return false;
}

static zn_shape layer_bn(layer_call *c) {
    if (c->x.bad || !check_bn(c->s, c->t->at, "`bn`", &c->x))
        return c->x;
    zn_node *n = add_node(c->s, c->out, ZN_NODE_BN, c->t->at, c->path, &c->x, c->x);
    n->eps = value(c, "eps")->f;
    n->momentum = value(c, "momentum")->f;
    return c->x;
}

static zn_node *add_simple(layer_call *c, zn_op op, zn_shape y) {
    zn_node *n = add_node(c->s, c->out, ZN_NODE_SIMPLE, c->t->at, c->path, &c->x, y);
    n->op = op;
    n->sig = c->t->sig;
    n->option = c->v;
    return n;
}

/* Windows; `k` may be left out only where the row says so: then the window is the whole map. */
static zn_shape layer_window(layer_call *c) {
    const zn_sig *sig = c->t->sig;
    size_t stride_at = zn_sig_arg_index(sig, "stride"), pad_at = zn_sig_arg_index(sig, "pad");
    int64_t k = value(c, "k")->i, stride = c->v[stride_at].kind == ZN_V_INT ? c->v[stride_at].i : k, size[2], pad[4];
    bool whole = value(c, "k")->kind != ZN_V_INT;
    if (whole && (c->t->slot[stride_at] || c->t->slot[pad_at])) {
        zn_sema_error(c->s, ZN_DIAG_ARG_MISSING, c->t->name_at, "`%s` with a stride or padding needs its argument `k`",
                      sig->name);
        return poison;
    }
    if (c->x.bad || !need_image(c))
        return poison;
    if (whole) {
        zn_shape y = vector(c->x.dim[2]);
        add_simple(c, ZN_OP_GLOBAL_AVGPOOL, y);
        return y;
    }
    if (!slide(c, k, stride, value(c, "pad")->i == 0, size, pad))
        return poison;
    zn_shape y = image(size[0], size[1], c->x.dim[2]);
    zn_node *n = add_simple(c, sig->op, y);
    n->k = k;
    n->stride = stride;
    memcpy(n->pad, pad, sizeof pad);
    return y;
}

/* A layer that is one operation, by the flags of its row. */
static zn_shape layer_simple(layer_call *c) {
    const zn_sig *sig = c->t->sig;
    if (c->x.bad || ((sig->flags & ZN_C_IMAGE) && !need_image(c)))
        return poison;
    int64_t width = channels(&c->x);
    if ((sig->flags & ZN_C_POWER) && (width & (width - 1))) {
        zn_sema_error(c->s, ZN_DIAG_HADAMARD_WIDTH, c->t->at,
                      "`%s` needs a width that is a power of two; the value here is %s", sig->name,
                      zn_shape_text(c->s, &c->x));
        return c->x;
    }
    zn_shape y = sig->flags & ZN_C_FLAT ? vector(c->x.dim[0] * c->x.dim[1] * c->x.dim[2]) : c->x;
    if (sig->op != ZN_OP_COUNT)
        add_simple(c, sig->op, y);
    return y;
}

static zn_shape layer_layernorm(layer_call *c) {
    if (c->x.bad)
        return poison;
    add_node(c->s, c->out, ZN_NODE_LAYERNORM, c->t->at, c->path, &c->x, c->x)->eps = value(c, "eps")->f;
    return c->x;
}

static zn_shape layer_upsample(layer_call *c) {
    if (c->x.bad || !need_image(c))
        return poison;
    int64_t f = value(c, "factor")->i, h, w;
    if (__builtin_mul_overflow(c->x.dim[0], f, &h) || __builtin_mul_overflow(c->x.dim[1], f, &w))
        h = w = INT64_MAX; /* too large, and reported so */
    zn_shape y = checked(c->s, c->t->at, image(h, w, c->x.dim[2]));
    if (!y.bad)
        add_simple(c, ZN_OP_UPSAMPLE, y);
    return y;
}

static zn_shape layer(layer_call *c, bool has_norm) {
    const zn_sig *sig = c->t->sig;
    c->v = zn_new_n(c->s->arena, zn_val, sig->n);
    if (planned_form(c) || !zn_eval_options(c->s, c->p.env, sig, c->t->slot, c->v))
        return sig->flags & (ZN_C_NORM | ZN_C_TRANSPARENT) ? c->x : poison;
    zn_lint_layer(c->s, c->t, c->v);
    switch (sig->id) {
    case ZN_SIG_LAYER_CONV:
        return layer_conv(c, has_norm);
    case ZN_SIG_LAYER_LINEAR:
        return layer_linear(c, has_norm);
    case ZN_SIG_LAYER_BN:
    case ZN_SIG_LAYER_BATCHNORM:
        return layer_bn(c);
    case ZN_SIG_LAYER_LAYERNORM:
        return layer_layernorm(c);
    case ZN_SIG_LAYER_UPSAMPLE:
        return layer_upsample(c);
    case ZN_SIG_LAYER_DROPOUT:
        return value(c, "p")->f == 0 && !c->x.bad ? c->x : layer_simple(c);
    default:
        return sig->flags & ZN_C_WINDOW ? layer_window(c) : layer_simple(c);
    }
}

/* ---- residual ---- */

static bool contains_norm(const zn_nodes *list) {
    for (const zn_node *n = list->first; n; n = n->next)
        if (n->kind == ZN_NODE_BN || (n->kind == ZN_NODE_RESIDUAL && contains_norm(&n->branch)))
            return true;
    return false;
}

/* The smallest stride that makes x as large as y; 0: none does. ceil(a / t) <= b where t >= a / b. */
static int64_t stride_between(const zn_shape *x, const zn_shape *y) {
    int64_t t = 1;
    for (int i = 0; i < 2; i++) {
        int64_t least = (x->dim[i] - 1) / y->dim[i] + 1;
        if (least > t)
            t = least;
    }
    for (int i = 0; i < 2; i++)
        if ((x->dim[i] - 1) / t + 1 != y->dim[i])
            return 0;
    return t;
}

/* "[32, 32, 32] -conv s2-> [16, 16, 64]": the layers that decide shapes. */
static const char *chain_text(zn_sema *s, const zn_shape *x, const zn_nodes *list) {
    static const char *const names[] = {
        [ZN_NODE_CONV] = "conv",           [ZN_NODE_LINEAR] = "linear",    [ZN_NODE_BN] = "bn",
        [ZN_NODE_SUBSAMPLE] = "subsample", [ZN_NODE_PAD_CHANNELS] = "pad", [ZN_NODE_RESIDUAL] = "residual"};
    enum { SHOWN = 8 };
    zn_buf b = {0};
    int n = 0;
    zn_buf_puts(&b, zn_shape_text(s, x));
    for (const zn_node *v = list->first; v; v = v->next) {
        if (v->kind != ZN_NODE_CONV && v->kind != ZN_NODE_LINEAR && same_shape(&v->in, &v->out))
            continue;
        if (++n > SHOWN) {
            zn_buf_printf(&b, " ... -> %s", zn_shape_text(s, &list->last->out));
            break;
        }
        zn_buf_printf(&b, " -%s", v->kind == ZN_NODE_SIMPLE ? v->sig->name : names[v->kind]);
        if (v->stride > 1)
            zn_buf_printf(&b, " s%" PRId64, v->stride);
        zn_buf_printf(&b, "-> %s", zn_shape_text(s, &v->out));
    }
    const char *text = zn_arena_strdup(s->arena, zn_buf_str(&b));
    zn_buf_free(&b);
    return text;
}

/* Which policies would work, with what they cost. */
static void help_policies(zn_sema *s, zn_diag *x, const zn_shape *a, const zn_shape *b, const zn_nodes *branch) {
    if (a->rank != b->rank) {
        zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0},
                     "no shortcut turns an image into a vector; move that layer out of the branch");
        return;
    }
    if (a->rank == 3 && !stride_between(a, b)) {
        zn_sema_note(
            s, x, ZN_NOTE_HELP, (zn_span){0},
            "no stride of the shortcut gives that height and width; change the strides or padding of the branch");
        return;
    }
    bool norm = contains_norm(branch);
    int64_t n;
    char num[ZN_NUMBER_MAX] = "?";
    if (!__builtin_mul_overflow(channels(a), channels(b), &n))
        zn_i64_grouped(n + (norm ? 2 * channels(b) : 0), num);
    zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0},
                 "say how the shortcut changes shape: `residual(shortcut = project)` (%s%s, %s parameters)%s",
                 a->rank == 3 ? "1x1 convolution" : "matrix", norm ? " and bn" : "", num,
                 channels(b) >= channels(a) ? "\nor `pad` (none)" : "");
}

static bool shortcut_size(zn_sema *s, const zn_term *t, const char *policy, const zn_shape *x, const zn_shape *y,
                          const zn_nodes *branch, const char *why) {
    zn_diag *d = zn_sema_error(s, ZN_DIAG_SHORTCUT_SIZE, t->name_at, "%s", why);
    zn_sema_note(s, d, ZN_NOTE_LABEL, t->name_at, "branch gives %s; the shortcut is `%s` of %s", zn_shape_text(s, y),
                 policy, zn_shape_text(s, x));
    zn_sema_note(s, d, ZN_NOTE_NOTE, (zn_span){0}, "branch: %s", chain_text(s, x, branch));
    return false;
}

/* The layers of a shortcut that changes shape. */
static bool make_shortcut(zn_sema *s, const zn_term *t, place p, const char *policy, const zn_shape *x,
                          const zn_shape *y, zn_node *r) {
    bool identity = !strcmp(policy, "identity");
    int64_t stride = 1;
    if (identity || x->rank != y->rank) {
        zn_diag *d =
            zn_sema_error(s, ZN_DIAG_RESIDUAL_SHAPES, t->name_at, "the two arms of `residual` have different shapes");
        if (identity)
            zn_sema_note(s, d, ZN_NOTE_LABEL, t->name_at, "branch gives %s; the shortcut is the identity, %s",
                         zn_shape_text(s, y), zn_shape_text(s, x));
        else
            zn_sema_note(s, d, ZN_NOTE_LABEL, t->name_at, "branch gives %s; the shortcut starts from %s",
                         zn_shape_text(s, y), zn_shape_text(s, x));
        zn_sema_note(s, d, ZN_NOTE_NOTE, (zn_span){0}, "branch: %s", chain_text(s, x, &r->branch));
        help_policies(s, d, x, y, &r->branch);
        return false;
    }
    if (x->rank == 3 && !(stride = stride_between(x, y)))
        return shortcut_size(s, t, policy, x, y, &r->branch,
                             "no integer stride makes the shortcut as large as the branch");
    if (!strcmp(policy, "pad")) {
        if (channels(x) > channels(y))
            return shortcut_size(s, t, policy, x, y, &r->branch,
                                 "the shortcut `pad` cannot drop channels; `project` can");
        zn_shape v = *x;
        if (stride > 1) {
            v = image(y->dim[0], y->dim[1], x->dim[2]);
            add_node(s, &r->shortcut, ZN_NODE_SUBSAMPLE, t->name_at, p.in->path, x, v)->stride = stride;
        }
        if (channels(&v) < channels(y))
            add_node(s, &r->shortcut, ZN_NODE_PAD_CHANNELS, t->name_at, p.in->path, &v, *y);
        return true;
    }
    const char *path = join(s, p.in, numbered(s, p.in, "shortcut"));
    take_path(s, path, t->name_at, p.via);
    bool is_image = x->rank == 3;
    zn_node *n = add_node(s, &r->shortcut, is_image ? ZN_NODE_CONV : ZN_NODE_LINEAR, t->name_at,
                          zn_arena_printf(s->arena, "%s.%s1", path, is_image ? "conv" : "linear"), x, *y);
    n->stride = stride;
    if (contains_norm(&r->branch)) {
        if (!check_bn(s, t->name_at, "the `bn` of the shortcut", y))
            return false;
        add_node(s, &r->shortcut, ZN_NODE_BN, t->name_at, zn_arena_printf(s->arena, "%s.bn1", path), y, *y);
    }
    return true;
}

static zn_shape residual(zn_sema *s, const zn_term *t, place p, zn_shape x, zn_nodes *out) {
    zn_val *v = zn_new_n(s->arena, zn_val, t->sig->n);
    bool ok = zn_eval_options(s, p.env, t->sig, t->slot, v);
    const zn_val *policy = &v[ZN_ARG_AT(RESIDUAL, RESIDUAL, shortcut)];
    zn_node *r = zn_new(s->arena, zn_node);
    place inner = p;
    inner.branch = true;
    zn_shape y = unroll(s, t->body, inner, x, &r->branch);
    if (!ok || y.bad || x.bad || s->stop)
        return poison;
    if (!same_shape(&x, &y) && !make_shortcut(s, t, p, policy->s, &x, &y, r))
        return poison;
    zn_nodes branch = r->branch, shortcut = r->shortcut;
    r = add_node(s, out, ZN_NODE_RESIDUAL, t->name_at, p.in->path, &x, y);
    r->branch = branch;
    r->shortcut = shortcut;
    r->policy = policy->s;
    return y;
}

/* ---- terms ---- */

static zn_shape use_block(zn_sema *s, const zn_term *t, place p, zn_shape x, zn_nodes *out) {
    const zn_env *env = NULL;
    if (t->block->bad)
        return poison;
    size_t i = 0;
    for (const zn_formal *f = t->block->formals; f; f = f->next, i++) {
        zn_val *v = zn_new(s->arena, zn_val);
        *v = t->slot[i] ? zn_eval(s, p.env, t->slot[i]) : zn_eval(s, env, f->value);
        zn_env *e = zn_new(s->arena, zn_env);
        *e = (zn_env){f->name, v, env};
        env = e;
    }
    p.env = env;
    return unroll(s, t->block->body, p, x, out);
}

static zn_shape repeat(zn_sema *s, const zn_term *t, place p, zn_shape x, zn_nodes *out) {
    int64_t n = 0;
    if (!zn_eval_int(s, p.env, t->value, "repeat", 0, INT64_MAX, &n))
        return poison;
    zn_lint_repeat(s, t->value, n);
    for (int64_t i = 0; i < n && !s->stop; i++) {
        const zn_val v = {.kind = ZN_V_INT, .i = i};
        const zn_env e = {t->name, &v, p.env};
        scope body = {.path = join(s, p.in, zn_arena_printf(s->arena, "%" PRId64, i))};
        place q = p;
        q.in = &body;
        if (t->name)
            q.env = &e;
        x = unroll(s, t->body, q, x, out);
    }
    return x;
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

static zn_shape unroll_term(zn_sema *s, const zn_term *t, place p, zn_shape x, zn_nodes *out, bool has_norm) {
    bool is_layer = t->kind == ZN_TERM_CALL && !t->block;
    scope own = {0};
    const char *path = NULL;
    if (t->bad) /* what keeps the shape of its input keeps it whatever is wrong */
        return t->sig && t->sig->group == ZN_GROUP_LAYER && (t->sig->flags & (ZN_C_NORM | ZN_C_TRANSPARENT)) ? x
                                                                                                             : poison;
    if (t->label) {
        path = join(s, p.in, t->label);
        take_path(s, path, t->label_at, p.via);
    } else if (is_layer) {
        const char *kind = t->sig->flags & ZN_C_ALIAS ? zn_sig_row(t->sig->id - 1).name : t->sig->name;
        path = join(s, p.in, numbered(s, p.in, kind));
        if (t->sig->flags & ZN_C_PARAMS)
            take_path(s, path, t->at, p.via);
    } else if (t->kind == ZN_TERM_REPEAT) {
        path = join(s, p.in, numbered(s, p.in, "repeat"));
        take_path(s, path, t->name_at, p.via);
    }
    if (path && !is_layer) {
        own.path = path;
        p.in = &own;
    }
    switch (t->kind) {
    case ZN_TERM_CALL: {
        if (t->block)
            return use_block(s, t, p, x, out);
        layer_call c = {s, t, p, x, out, path, NULL};
        zn_shape y = layer(&c, has_norm);
        if (!y.bad && y.rank == 1 && x.rank == 3)
            s->vector_at = t->at;
        return y;
    }
    case ZN_TERM_RESIDUAL:
        return residual(s, t, p, x, out);
    case ZN_TERM_REPEAT:
        return repeat(s, t, p, x, out);
    default:
        return poison;
    }
}

static zn_shape unroll(zn_sema *s, const zn_body *b, place p, zn_shape x, zn_nodes *out) {
    bool norm_before = false;
    if (++p.depth > ZN_MAX_NESTING) {
        zn_sema_error(s, ZN_DIAG_NESTING, b->first ? b->first->name_at : b->at,
                      "the model is nested more than %d levels deep here", (int)ZN_MAX_NESTING);
        s->stop = true;
        return poison;
    }
    for (const zn_term *t = b->first; t && !s->stop; t = t->next) {
        if (++s->nterms > MAX_TERMS) {
            zn_sema_error(s, ZN_DIAG_TOO_MANY_OPS, t->name_at, "this passes the limit of %d terms after unrolling",
                          (int)MAX_TERMS);
            s->stop = true;
            break;
        }
        place q = p;
        if (p.depth == 1)
            q.via = t->at;
        zn_shape cur = x;
        s->cur = &cur;
        x = unroll_term(s, t, q, x, out, norm_near(t, p.branch && norm_before));
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
        return poison;
    if (m->dims.n != 1 && m->dims.n != 3) {
        zn_sema_error(s, ZN_DIAG_INPUT_DIMS, m->input_at,
                      "the input has %zu dimension%s; it is an image [height, width, channels] or a vector [features]",
                      m->dims.n, m->dims.n == 1 ? "" : "s");
        return poison;
    }
    for (const zn_arg *a = m->dims.first; a; a = a->next, i++)
        if (!zn_eval_int(s, NULL, a->value, "input", 1, MAX_INT, &x.dim[i]))
            x.bad = true;
    return checked(s, m->input_at, x);
}

static void check_sample(zn_sema *s, const zn_model *m, const zn_shape *x) {
    if (s->sample.bad || x->bad)
        return;
    const zn_shape *y = &s->sample;
    int64_t all = y->dim[0] * y->dim[1] * y->dim[2];
    if (x->rank == 3 ? same_shape(x, y) : x->dim[0] == all)
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
    if (y->bad || !s->has_train)
        return;
    zn_span at = m->body->last ? m->body->last->at : m->at;
    if (y->rank != 1) {
        zn_diag *d = zn_sema_error(s, ZN_DIAG_DATA_CLASSES, at,
                                   "the model ends in the image %s; cross_entropy needs a vector, one number per class",
                                   zn_shape_text(s, y));
        zn_sema_note(s, d, ZN_NOTE_HELP, (zn_span){0}, "end it in `avgpool linear(%" PRId64 ")`",
                     s->classes ? s->classes : 10);
    } else if (s->classes && y->dim[0] != s->classes) {
        zn_diag *d = zn_sema_error(s, ZN_DIAG_DATA_CLASSES, at,
                                   "the model gives %" PRId64 " number%s; `%s` has %" PRId64 " classes", y->dim[0],
                                   y->dim[0] == 1 ? "" : "s", s->source, s->classes);
        if (s->source_at.line)
            zn_sema_note(s, d, ZN_NOTE_LABEL, s->source_at, "the data");
    }
}

void zn_net(zn_sema *s) {
    const zn_model *m = s->file->model;
    scope top = {.path = ""};
    zn_shape x = s->input = input_shape(s, m);
    check_sample(s, m, &x);
    if (!x.bad && x.rank == 1)
        s->vector_at = m->input_at;
    place p = {.in = &top};
    s->output = unroll(s, m->body, p, x, &s->net);
    if (s->stop)
        return;
    check_output(s, m);
    zn_node *head = NULL;
    find_head(&s->net, &head);
    if (head && head->bias_auto)
        head->bias = true;
}
