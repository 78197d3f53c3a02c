/* Residuals: two arms, and what a shortcut does where their shapes differ. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "frontend/net.h"
#include "support/ice.h"
#include "support/number.h"

static bool contains_norm(const zn_nodes *list) {
    for (const zn_node *n = list->first; n; n = n->next)
        if (n->kind == ZN_NODE_NORM || (n->kind == ZN_NODE_RESIDUAL && contains_norm(&n->branch)))
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
        [ZN_NODE_CONV] = "conv",
        [ZN_NODE_LINEAR] = "linear",
        [ZN_NODE_NORM] = "norm",
        [ZN_NODE_NUMBERS] = "scale",
        [ZN_NODE_SUBSAMPLE] = "subsample",
        [ZN_NODE_PAD_CHANNELS] = "pad_channels",
        [ZN_NODE_SLICE_CHANNELS] = "slice_channels",
        [ZN_NODE_HADAMARD] = "hadamard",
        [ZN_NODE_MULTIPLY] = "multiply",
        [ZN_NODE_NAME] = "as",
        [ZN_NODE_FROM] = "from",
        [ZN_NODE_RESIDUAL] = "residual",
    };
    enum { SHOWN = 8 };
    zn_buf b = {0};
    int n = 0;
    zn_buf_puts(&b, zn_shape_text(s, x));
    for (const zn_node *v = list->first; v; v = v->next) {
        if (v->kind != ZN_NODE_CONV && v->kind != ZN_NODE_LINEAR && zn_shape_equal(&v->in, &v->out))
            continue;
        if (++n > SHOWN) {
            zn_buf_printf(&b, " ... -> %s", zn_shape_text(s, &list->last->out));
            break;
        }
        zn_buf_printf(&b, " -%s",
                      v->kind == ZN_NODE_SIMPLE ? v->sig->name
                      : v->kind == ZN_NODE_JOIN ? zn_op_table[v->op].text
                                                : names[v->kind]);
        if (v->stride[0] != v->stride[1])
            zn_buf_printf(&b, " s[%" PRId64 ", %" PRId64 "]", v->stride[0], v->stride[1]);
        else if (v->stride[0] > 1)
            zn_buf_printf(&b, " s%" PRId64, v->stride[0]);
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
    if (!__builtin_mul_overflow(zn_shape_channels(a), zn_shape_channels(b), &n))
        zn_i64_grouped(n + (norm ? 2 * zn_shape_channels(b) : 0), num);
    zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0},
                 "say how the shortcut changes shape: `residual(shortcut = project)` (%s%s, %s parameters)%s",
                 a->rank == 3 ? "1x1 convolution" : "matrix", norm ? " and bn" : "", num,
                 zn_shape_channels(b) >= zn_shape_channels(a) ? "\nor `pad` (none)" : "");
}

static bool shortcut_size(zn_sema *s, const zn_term *t, const char *policy, const zn_shape *x, const zn_shape *y,
                          const zn_nodes *branch, const char *why) {
    zn_diag *d = zn_sema_error(s, ZN_DIAG_SHORTCUT_SIZE, t->name_at, "%s", why);
    zn_sema_note(s, d, ZN_NOTE_LABEL, t->name_at, "branch gives %s; the shortcut is `%s` of %s", zn_shape_text(s, y),
                 policy, zn_shape_text(s, x));
    zn_sema_note(s, d, ZN_NOTE_NOTE, (zn_span){0}, "branch: %s", chain_text(s, x, branch));
    return false;
}

static bool different(zn_sema *s, const zn_term *t, const char *shortcut, const zn_shape *x, const zn_shape *y,
                      const zn_node *r) {
    zn_diag *d =
        zn_sema_error(s, ZN_DIAG_RESIDUAL_SHAPES, t->name_at, "the two arms of `residual` have different shapes");
    zn_sema_note(s, d, ZN_NOTE_LABEL, t->name_at, "branch gives %s; the shortcut %s %s", zn_shape_text(s, y), shortcut,
                 zn_shape_text(s, x));
    zn_sema_note(s, d, ZN_NOTE_NOTE, (zn_span){0}, "branch: %s", chain_text(s, &r->in, &r->branch));
    if (r->shortcut.first)
        zn_sema_note(s, d, ZN_NOTE_NOTE, (zn_span){0}, "shortcut: %s", chain_text(s, &r->in, &r->shortcut));
    else
        help_policies(s, d, x, y, &r->branch);
    return false;
}

/* A 1x1 convolution or a matrix, and a norm where the branch has one. */
static bool project(zn_sema *s, const zn_term *t, zn_place p, const zn_shape *x, const zn_shape *y, int64_t stride,
                    zn_node *r) {
    const char *path = zn_net_join(s, p.in, zn_net_numbered(s, p.in, "shortcut"));
    zn_net_take_path(s, path, t->name_at, p.via);
    bool is_image = x->rank == 3;
    zn_node *n = zn_net_add(s, &r->shortcut, is_image ? ZN_NODE_CONV : ZN_NODE_LINEAR, t->name_at,
                            zn_arena_printf(s->arena, "%s.%s1", path, is_image ? "conv" : "linear"), x, *y);
    n->stride[0] = n->stride[1] = stride;
    if (contains_norm(&r->branch)) {
        if (!zn_net_check_bn(s, t->name_at, "the `bn` of the shortcut", y))
            return false;
        n = zn_net_add(s, &r->shortcut, ZN_NODE_NORM, t->name_at, zn_arena_printf(s->arena, "%s.bn1", path), y, *y);
        n->op = ZN_OP_BN;
    }
    return true;
}

/* The layers of a shortcut that changes shape by a policy. */
static bool make_shortcut(zn_sema *s, const zn_term *t, zn_place p, const char *policy, const zn_shape *x,
                          const zn_shape *y, zn_node *r) {
    bool slice = !strcmp(policy, "slice"), hadamard = !strcmp(policy, "hadamard");
    int64_t stride = 1, from = zn_shape_channels(x), to = zn_shape_channels(y);
    if (!strcmp(policy, "identity"))
        return different(s, t, "is the identity,", x, y, r);
    if (x->rank != y->rank)
        return different(s, t, "starts from", x, y, r);
    if (x->rank == 3 && !(stride = stride_between(x, y)))
        return shortcut_size(s, t, policy, x, y, &r->branch,
                             "no integer stride makes the shortcut as large as the branch");
    if (!strcmp(policy, "project"))
        return project(s, t, p, x, y, stride, r);
    if (!slice && from > to)
        return shortcut_size(s, t, policy, x, y, &r->branch,
                             hadamard ? "the shortcut `hadamard` cannot drop channels; `project` can"
                                      : "the shortcut `pad` cannot drop channels; `project` and `slice` can");
    if (slice && from < to)
        return shortcut_size(s, t, policy, x, y, &r->branch,
                             "the shortcut `slice` cannot add channels; `project` and `pad` can");
    zn_shape v = *x;
    if (stride > 1) {
        v = zn_shape_image(y->dim[0], y->dim[1], x->dim[2]);
        zn_node *n = zn_net_add(s, &r->shortcut, ZN_NODE_SUBSAMPLE, t->name_at, p.in->path, x, v);
        n->stride[0] = n->stride[1] = stride;
    }
    if (from != to)
        zn_net_add(s, &r->shortcut, slice ? ZN_NODE_SLICE_CHANNELS : ZN_NODE_PAD_CHANNELS, t->name_at, p.in->path, &v,
                   *y);
    if (hadamard && (to & (to - 1))) {
        zn_sema_error(s, ZN_DIAG_HADAMARD_WIDTH, t->name_at,
                      "the shortcut `hadamard` needs a width that is a power of two; the branch gives %s",
                      zn_shape_text(s, y));
        return false;
    }
    if (hadamard)
        zn_net_add(s, &r->shortcut, ZN_NODE_HADAMARD, t->name_at, p.in->path, y, *y);
    return true;
}

/* Does a body hold a layer whose path counts? */
static bool owns_paths(const zn_body *b) {
    for (const zn_term *t = b->first; t; t = t->next)
        if ((t->kind == ZN_TERM_CALL && !t->block && t->sig && (t->sig->flags & ZN_C_PARAMS)) ||
            (t->block && owns_paths(t->block->body)) || (t->body && owns_paths(t->body)) ||
            (t->other && owns_paths(t->other)))
            return true;
    return false;
}

/* The body after `shortcut`; its layers live in a scope of their own if they have parameters. */
static bool explicit_shortcut(zn_sema *s, const zn_term *t, zn_place p, const zn_shape *y, zn_node *r) {
    zn_scope own = {0};
    if (owns_paths(t->other)) {
        own.path = zn_net_join(s, p.in, zn_net_numbered(s, p.in, "shortcut"));
        zn_net_take_path(s, own.path, t->other_at, p.via);
        p.in = &own;
    }
    p.branch = false;
    zn_shape z = zn_net_unroll(s, t->other, p, r->in, &r->shortcut);
    if (z.bad || y->bad || s->stop)
        return false;
    return zn_shape_equal(&z, y) || different(s, t, "gives", &z, y, r);
}

static const zn_expr *scale_of(const zn_term *t) {
    return t->slot[ZN_ARG_AT(RESIDUAL, RESIDUAL, scale)];
}
static bool is_learned(const zn_expr *e) {
    return e && e->kind == ZN_E_CALL && !strcmp(e->s, "learned");
}

/* The factor of the branch, of the value in front of the residual; false after reporting. */
static bool eval_scale(zn_sema *s, const zn_term *t, const zn_env *env, double *x) {
    const zn_expr *e = scale_of(t);
    *x = 1;
    return !e ||
           zn_eval_float(s, env, is_learned(e) ? e->args.first->value : e, "scale", -HUGE_VAL, HUGE_VAL, false, x);
}

/* Appends the factor to the branch: a trained number, or a constant that is not 1. */
static void add_scale(zn_sema *s, const zn_term *t, zn_place p, double x, const zn_shape *y, zn_node *r) {
    const zn_expr *e = scale_of(t);
    if (is_learned(e)) {
        const char *path = zn_net_join(s, p.in, zn_net_numbered(s, p.in, "scale"));
        zn_net_take_path(s, path, e->at, p.via);
        zn_node *n = zn_net_add(s, &r->branch, ZN_NODE_NUMBERS, e->at, path, y, *y);
        n->op = ZN_OP_SCALE;
        n->number = x;
    } else if (x != 1) {
        zn_net_add(s, &r->branch, ZN_NODE_MULTIPLY, e->at, p.in->path, y, *y)->number = x;
    }
}

zn_shape zn_net_residual(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out) {
    zn_val *v = zn_new_n(s->arena, zn_val, t->sig->n);
    double scale;
    bool ok = zn_eval_options(s, p.env, t->sig, t->slot, v) & eval_scale(s, t, p.env, &scale);
    const zn_val *policy = &v[ZN_ARG_AT(RESIDUAL, RESIDUAL, shortcut)];
    zn_node *r = zn_new(s->arena, zn_node);
    zn_place inner = p;
    inner.branch = true;
    r->in = x;
    zn_shape y = zn_net_unroll(s, t->body, inner, x, &r->branch);
    if (ok && !y.bad)
        add_scale(s, t, p, scale, &y, r);
    if (t->other)
        ok &= explicit_shortcut(s, t, p, &y, r);
    if (!ok || y.bad || x.bad || s->stop)
        return zn_poison;
    if (!t->other && !zn_shape_equal(&x, &y) && !make_shortcut(s, t, p, policy->s, &x, &y, r))
        return zn_poison;
    zn_nodes branch = r->branch, shortcut = r->shortcut;
    r = zn_net_add(s, out, ZN_NODE_RESIDUAL, t->name_at, p.in->path, &x, y);
    r->branch = branch;
    r->shortcut = shortcut;
    r->policy = t->other ? "given" : policy->s;
    return y;
}
