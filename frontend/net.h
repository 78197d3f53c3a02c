/* Private to the front end: the model while it is unrolled (net.c), its layers (layers.c) and residuals (residual.c).
 */
#ifndef ZN_FRONTEND_NET_H
#define ZN_FRONTEND_NET_H

#include "frontend/sema.h"

/* A labelled or indexed scope: where layers are numbered. */
typedef struct zn_scope_count {
    const char *kind;
    int64_t n;
    struct zn_scope_count *next;
} zn_scope_count;
typedef struct zn_scope {
    const char *path;
    zn_scope_count *counts;
} zn_scope;

/* A value with a name, visible to the end of its body. */
typedef struct zn_named {
    const char *name;
    zn_slot *slot;
    const struct zn_named *up;
} zn_named;

/* Where a term stands. */
typedef struct zn_place {
    zn_scope *in;
    const zn_env *env;
    const zn_named *values;
    bool branch; /* inside of a residual's branch */
    int depth;
    zn_span via; /* the term of the model's own body that led here */
} zn_place;

/* A layer that is being made. */
typedef struct zn_layer_call {
    zn_sema *s;
    const zn_term *t;
    zn_place p;
    zn_shape x;
    zn_nodes *out;
    const char *path;
    zn_val *v; /* of its options */
} zn_layer_call;

/* ---- shapes */
extern const zn_shape zn_poison;
zn_shape zn_shape_image(int64_t h, int64_t w, int64_t c);
zn_shape zn_shape_vector(int64_t n);
int64_t zn_shape_channels(const zn_shape *x);
bool zn_shape_equal(const zn_shape *a, const zn_shape *b);
/* Whether `times` tensors of these dimensions of f32 have at most 2^46 bytes. */
bool zn_shape_fits(const int64_t *dim, int n, int64_t times);
/* x, or poison after reporting that a batch of it is too large. */
zn_shape zn_shape_checked(zn_sema *s, zn_span at, zn_shape x);

/* ---- net.c */
/* Takes a path for a layer with parameters or a scope; reports it if it is taken. */
void zn_net_take_path(zn_sema *s, const char *path, zn_span at, zn_span via);
const char *zn_net_join(zn_sema *s, const zn_scope *in, const char *segment);
/* The next number of a kind in a scope, as a segment: conv1. */
const char *zn_net_numbered(zn_sema *s, zn_scope *in, const char *kind);
zn_node *zn_net_add(zn_sema *s, zn_nodes *out, zn_node_kind kind, zn_span at, const char *path, const zn_shape *in,
                    zn_shape result);
zn_shape zn_net_unroll(zn_sema *s, const zn_body *b, zn_place p, zn_shape x, zn_nodes *out);
/* NULL if there is none of that name. */
zn_slot *zn_net_value(const zn_place *p, const char *name);

/* ---- layers.c */
zn_shape zn_net_layer(zn_layer_call *c, bool has_norm);
/* Values per channel that batch statistics are taken over: one gives a variance of 0 for ever. False if reported. */
bool zn_net_check_bn(zn_sema *s, zn_span at, const char *what, const zn_shape *x);

/* ---- residual.c */
zn_shape zn_net_residual(zn_sema *s, const zn_term *t, zn_place p, zn_shape x, zn_nodes *out);

#endif
