/* Layers: a call with bound arguments becomes a node of the unrolled model, or a report.
 *
 * What a layer needs of its input is checked here; ranges of its options were checked by options.c. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/net.h"
#include "support/ice.h"

static const zn_val *value(const zn_layer_call *c, const char *name) {
    size_t i = zn_sig_arg_index(c->t->sig, name);
    ZN_ASSERT(i < c->t->sig->n);
    return &c->v[i];
}

/* Whether a weighted layer has a bias; `auto` is decided by the norm beside it. */
static bool bias_of(const zn_layer_call *c, bool has_norm, bool *is_auto) {
    const zn_val *v = value(c, "bias");
    *is_auto = v->kind == ZN_V_STR;
    return *is_auto ? !has_norm : v->i != 0;
}

/* A window that slides over a map: k, stride and pad as they were given, then what they give. */
typedef struct window {
    int64_t k[2], stride[2], pad[4], out[2]; /* pad: top, left, bottom, right */
} window;

static void take_size(const zn_val *v, int64_t size[2]) {
    size[0] = v->list[0].i;
    size[1] = v->list[1].i;
}

static bool too_small(zn_layer_call *c, const window *w) {
    zn_diag *x =
        zn_sema_error(c->s, ZN_DIAG_WINDOW, c->t->at,
                      "the window of `%s` is %" PRId64 " x %" PRId64 "; the map is only %" PRId64 " x %" PRId64,
                      c->t->name, w->k[0], w->k[1], c->x.dim[0], c->x.dim[1]);
    zn_sema_note(c->s, x, ZN_NOTE_HELP, (zn_span){0}, "use a smaller window, or `pad = same`");
    return false;
}

/* Output size and padding along height and width; false after reporting. A pooling's padding is at most half of its
 * window, so that every window holds an element. */
static bool slide(zn_layer_call *c, window *w, const zn_val *pad, bool pools) {
    for (int i = 0; i < 2; i++) {
        int64_t in = c->x.dim[i], before = 0, after = 0, k = w->k[i], stride = w->stride[i];
        if (pad->kind == ZN_V_STR && pad->i == 0) {
            w->out[i] = (in - 1) / stride + 1;
            before = (k - 1) / 2;
            after = (w->out[i] - 1) * stride + k - in - before;
            if (after < 0)
                after = 0;
        } else {
            before = after = pad->kind == ZN_V_INT ? pad->i : 0;
            if (pools && 2 * before > k) {
                zn_sema_error(c->s, ZN_DIAG_RANGE, c->t->slot[zn_sig_arg_index(c->t->sig, "pad")]->at,
                              "`pad` is %" PRId64 "; of a window of %" PRId64 " it must be at most %" PRId64, before, k,
                              k / 2);
                return false;
            }
            if (k > in + 2 * before)
                return too_small(c, w);
            w->out[i] = (in + 2 * before - k) / stride + 1;
        }
        w->pad[i] = before;
        w->pad[i + 2] = after;
    }
    return true;
}

static void set_window(zn_node *n, const window *w) {
    memcpy(n->k, w->k, sizeof w->k);
    memcpy(n->stride, w->stride, sizeof w->stride);
    memcpy(n->pad, w->pad, sizeof w->pad);
}

static bool need_image(const zn_layer_call *c) {
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
static bool check_groups(zn_layer_call *c, int64_t groups, int64_t out) {
    int64_t in = c->x.dim[2];
    if (in % groups == 0 && out % groups == 0)
        return true;
    bool of_in = in % groups != 0;
    zn_sema_error(c->s, ZN_DIAG_RANGE, c->t->slot[ZN_ARG_AT(LAYER, CONV, groups)]->at,
                  "`groups` is %" PRId64 "; it must divide the %" PRId64 " channels %s", groups, of_in ? in : out,
                  of_in ? "of the value here" : "of the result");
    return false;
}

static zn_shape layer_conv(zn_layer_call *c, bool has_norm) {
    zn_sema *s = c->s;
    int64_t out = value(c, "out")->i, groups = value(c, "groups")->i;
    window w;
    take_size(value(c, "k"), w.k);
    take_size(value(c, "stride"), w.stride);
    if (c->x.bad || !need_image(c) || !check_groups(c, groups, out) || !slide(c, &w, value(c, "pad"), false))
        return zn_poison;
    int64_t weights[4] = {w.k[0], w.k[1], c->x.dim[2] / groups, out};
    if (!zn_shape_fits(weights, 4, 1)) {
        zn_sema_error(s, ZN_DIAG_TOO_LARGE, c->t->at, "the weights have more than 2^46 bytes");
        return zn_poison;
    }
    zn_shape y = zn_shape_checked(s, c->t->at, zn_shape_image(w.out[0], w.out[1], out));
    if (y.bad)
        return y;
    zn_node *n = zn_net_add(s, c->out, ZN_NODE_CONV, c->t->at, c->path, &c->x, y);
    set_window(n, &w);
    n->groups = groups;
    n->bias = bias_of(c, has_norm, &n->bias_auto);
    return y;
}

static zn_shape layer_linear(zn_layer_call *c, bool has_norm) {
    zn_sema *s = c->s;
    int64_t out = value(c, "out")->i;
    if (c->x.bad)
        return zn_shape_checked(s, c->t->at, zn_shape_vector(out)); /* whatever it gets, it gives a vector */
    if (c->x.rank != 1) {
        zn_diag *x = zn_sema_error(s, ZN_DIAG_LAYER_INPUT, c->t->at,
                                   "`linear` needs a vector; the value here is the image %s", zn_shape_text(s, &c->x));
        zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0},
                     "put `flatten` before it (%" PRId64 " features) or `avgpool` (%" PRId64 ")",
                     c->x.dim[0] * c->x.dim[1] * c->x.dim[2], c->x.dim[2]);
        return zn_shape_checked(s, c->t->at, zn_shape_vector(out));
    }
    int64_t weights[2] = {c->x.dim[0], out};
    if (!zn_shape_fits(weights, 2, 1)) {
        zn_sema_error(s, ZN_DIAG_TOO_LARGE, c->t->at, "the weights have more than 2^46 bytes");
        return zn_poison;
    }
    zn_shape y = zn_shape_checked(s, c->t->at, zn_shape_vector(out));
    if (y.bad)
        return y;
    zn_node *n = zn_net_add(s, c->out, ZN_NODE_LINEAR, c->t->at, c->path, &c->x, y);
    n->bias = bias_of(c, has_norm, &n->bias_auto);
    return y;
}

/* Values per channel that batch statistics are taken over: one gives a variance of 0 for ever. */
bool zn_net_check_bn(zn_sema *s, zn_span at, const char *what, const zn_shape *x) {
    if (!s->has_train || s->batch != 1 || (x->rank == 3 && x->dim[0] * x->dim[1] != 1))
        return true;
    zn_sema_error(s, ZN_DIAG_BN_ONE_VALUE, at,
                  "%s sees one value per channel in all: the batch is 1 and the value here is %s", what,
                  zn_shape_text(s, x));
    return false;
}

static zn_shape layer_bn(zn_layer_call *c) {
    if (c->x.bad || !zn_net_check_bn(c->s, c->t->at, "`bn`", &c->x))
        return c->x;
    zn_node *n = zn_net_add(c->s, c->out, ZN_NODE_NORM, c->t->at, c->path, &c->x, c->x);
    n->op = ZN_OP_BN;
    n->eps = value(c, "eps")->f;
    n->momentum = value(c, "momentum")->f;
    n->fixed_scale = !value(c, "scale")->i;
    n->fixed_bias = !value(c, "bias")->i;
    return c->x;
}

static zn_shape layer_layernorm(zn_layer_call *c) {
    if (c->x.bad)
        return zn_poison;
    zn_node *n = zn_net_add(c->s, c->out, ZN_NODE_NORM, c->t->at, c->path, &c->x, c->x);
    n->op = ZN_OP_LAYERNORM;
    n->eps = value(c, "eps")->f;
    return c->x;
}

/* Trained numbers, one or one per channel: scale and bias. */
static zn_shape layer_numbers(zn_layer_call *c, bool scale) {
    bool each = value(c, "per_channel")->i;
    if (c->x.bad)
        return zn_poison;
    zn_node *n = zn_net_add(c->s, c->out, ZN_NODE_NUMBERS, c->t->at, c->path, &c->x, c->x);
    n->op = scale ? (each ? ZN_OP_CHANNEL_SCALE : ZN_OP_SCALE) : each ? ZN_OP_BIAS : ZN_OP_SHIFT;
    n->number = value(c, "init")->f;
    return c->x;
}

/* More channels, or fewer. */
static zn_shape layer_channels(zn_layer_call *c, bool more) {
    int64_t out = value(c, "out")->i;
    if (c->x.bad)
        return zn_poison;
    int64_t in = zn_shape_channels(&c->x);
    if (more ? out < in : out > in) {
        zn_sema_error(c->s, ZN_DIAG_RANGE, c->t->slot[0]->at,
                      "`out` is %" PRId64 "; of %" PRId64 " channels it must be at %s %" PRId64, out, in,
                      more ? "least" : "most", in);
        return zn_poison;
    }
    zn_shape y = c->x;
    y.dim[y.rank - 1] = out;
    y = zn_shape_checked(c->s, c->t->at, y);
    if (!y.bad && out != in)
        zn_net_add(c->s, c->out, more ? ZN_NODE_PAD_CHANNELS : ZN_NODE_SLICE_CHANNELS, c->t->at, c->path, &c->x, y);
    return y;
}

static zn_shape layer_multiply(zn_layer_call *c) {
    if (c->x.bad)
        return zn_poison;
    zn_net_add(c->s, c->out, ZN_NODE_MULTIPLY, c->t->at, c->path, &c->x, c->x)->number = value(c, "c")->f;
    return c->x;
}

/* The shape of y joined behind x; bad if they do not fit. */
static zn_shape joined(zn_op op, const zn_shape *x, const zn_shape *y) {
    zn_shape z = *x;
    if (op != ZN_OP_CONCAT)
        return zn_shape_equal(x, y) ? z : zn_poison;
    if (x->rank != y->rank || (x->rank == 3 && (x->dim[0] != y->dim[0] || x->dim[1] != y->dim[1])) ||
        __builtin_add_overflow(z.dim[z.rank - 1], zn_shape_channels(y), &z.dim[z.rank - 1]))
        return zn_poison;
    return z;
}

/* concat, add, mul: the current value with each of the named ones in turn. */
static zn_shape layer_join(zn_layer_call *c) {
    zn_sema *s = c->s;
    zn_shape x = c->x;
    for (const zn_arg *a = c->t->args.first; a && !x.bad; a = a->next) {
        zn_slot *other = zn_net_value(&c->p, a->value->s);
        if (!other || other->shape.bad)
            return zn_poison;
        zn_shape y = joined(c->t->sig->op, &x, &other->shape);
        if (y.bad) {
            zn_diag *d =
                zn_sema_error(s, ZN_DIAG_JOIN_SHAPES, a->value->at, "`%s` cannot join %s and `%s`, which is %s",
                              c->t->name, zn_shape_text(s, &x), a->value->s, zn_shape_text(s, &other->shape));
            zn_sema_note(s, d, ZN_NOTE_LABEL, other->at, "`%s` is named here", a->value->s);
            zn_sema_note(s, d, ZN_NOTE_HELP, (zn_span){0},
                         c->t->sig->op == ZN_OP_CONCAT ? "all but the channels must be the same"
                                                       : "both must have the same shape");
            return zn_poison;
        }
        y = zn_shape_checked(s, c->t->at, y);
        if (y.bad)
            return y;
        zn_node *n = zn_net_add(s, c->out, ZN_NODE_JOIN, c->t->at, c->path, &x, y);
        n->op = c->t->sig->op;
        n->slot = other;
        x = y;
    }
    return x;
}

static zn_node *add_simple(zn_layer_call *c, zn_op op, zn_shape y) {
    zn_node *n = zn_net_add(c->s, c->out, ZN_NODE_SIMPLE, c->t->at, c->path, &c->x, y);
    n->op = op;
    n->sig = c->t->sig;
    n->option = c->v;
    return n;
}

/* Windows; `k` may be left out only where the row says so: then the window is the whole map. */
static zn_shape layer_window(zn_layer_call *c) {
    const zn_sig *sig = c->t->sig;
    size_t stride_at = zn_sig_arg_index(sig, "stride"), pad_at = zn_sig_arg_index(sig, "pad");
    bool whole = value(c, "k")->kind != ZN_V_LIST;
    window w;
    if (whole && (c->t->slot[stride_at] || c->t->slot[pad_at])) {
        zn_sema_error(c->s, ZN_DIAG_ARG_MISSING, c->t->name_at, "`%s` with a stride or padding needs its argument `k`",
                      sig->name);
        return zn_poison;
    }
    if (c->x.bad || !need_image(c))
        return zn_poison;
    if (whole) {
        zn_shape y = zn_shape_vector(c->x.dim[2]);
        add_simple(c, ZN_OP_GLOBAL_AVGPOOL, y);
        return y;
    }
    take_size(value(c, "k"), w.k);
    take_size(c->v[stride_at].kind == ZN_V_LIST ? &c->v[stride_at] : value(c, "k"), w.stride);
    if (!slide(c, &w, value(c, "pad"), true))
        return zn_poison;
    zn_shape y = zn_shape_checked(c->s, c->t->at, zn_shape_image(w.out[0], w.out[1], c->x.dim[2]));
    if (!y.bad)
        set_window(add_simple(c, sig->op, y), &w);
    return y;
}

/* A layer that is one operation, by the flags of its row. */
static zn_shape layer_simple(zn_layer_call *c) {
    const zn_sig *sig = c->t->sig;
    if (c->x.bad || ((sig->flags & ZN_C_IMAGE) && !need_image(c)))
        return zn_poison;
    int64_t width = zn_shape_channels(&c->x);
    if ((sig->flags & ZN_C_POWER) && (width & (width - 1))) {
        zn_sema_error(c->s, ZN_DIAG_HADAMARD_WIDTH, c->t->at,
                      "`%s` needs a width that is a power of two; the value here is %s", sig->name,
                      zn_shape_text(c->s, &c->x));
        return c->x;
    }
    zn_shape y = sig->flags & ZN_C_FLAT ? zn_shape_vector(c->x.dim[0] * c->x.dim[1] * c->x.dim[2]) : c->x;
    if (sig->op != ZN_OP_COUNT)
        add_simple(c, sig->op, y);
    return y;
}

static zn_shape layer_upsample(zn_layer_call *c) {
    if (c->x.bad || !need_image(c))
        return zn_poison;
    int64_t f = value(c, "factor")->i, h, w;
    if (__builtin_mul_overflow(c->x.dim[0], f, &h) || __builtin_mul_overflow(c->x.dim[1], f, &w))
        h = w = INT64_MAX; /* too large, and reported so */
    zn_shape y = zn_shape_checked(c->s, c->t->at, zn_shape_image(h, w, c->x.dim[2]));
    if (!y.bad)
        add_simple(c, ZN_OP_UPSAMPLE, y);
    return y;
}

zn_shape zn_net_layer(zn_layer_call *c, bool has_norm) {
    const zn_sig *sig = c->t->sig;
    if (sig->flags & ZN_C_VALUES)
        return layer_join(c);
    c->v = zn_new_n(c->s->arena, zn_val, sig->n);
    if (!zn_eval_options(c->s, c->p.env, sig, c->t->slot, c->v))
        return sig->flags & (ZN_C_NORM | ZN_C_TRANSPARENT) ? c->x : zn_poison;
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
    case ZN_SIG_LAYER_SCALE:
    case ZN_SIG_LAYER_BIAS:
        return layer_numbers(c, sig->id == ZN_SIG_LAYER_SCALE);
    case ZN_SIG_LAYER_PAD_CHANNELS:
    case ZN_SIG_LAYER_SLICE_CHANNELS:
        return layer_channels(c, sig->id == ZN_SIG_LAYER_PAD_CHANNELS);
    case ZN_SIG_LAYER_MULTIPLY:
        return layer_multiply(c);
    case ZN_SIG_LAYER_UPSAMPLE:
        return layer_upsample(c);
    case ZN_SIG_LAYER_DROPOUT:
        return value(c, "p")->f == 0 && !c->x.bad ? c->x : layer_simple(c);
    default:
        return sig->flags & ZN_C_WINDOW ? layer_window(c) : layer_simple(c);
    }
}
