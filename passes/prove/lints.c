/* Lints of a start: each reads what is proven, and says where it comes from and what may be done. */
#include "passes/prove/lints.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ir/text.h"

static const zn_param *param_of(const zn_proof *p, const zn_value *v) {
    return zn_param_find(p->m, zn_attr_of(v, PARAM, name)->s);
}

static bool is_weight(const zn_param *w) {
    return w->role == ZN_ROLE_WEIGHT && w->type.rank >= 2;
}

static const char *start_text(const zn_param *w, zn_diags *d) {
    zn_buf b = {0};
    zn_start_print(w, &b);
    const char *s = zn_arena_strdup(&d->arena, zn_buf_str(&b));
    zn_buf_free(&b);
    return s;
}

/* The name of a layer: that of its weight, without the leaf. */
static const char *layer_name(const zn_param *w, zn_diags *d) {
    const char *dot = strrchr(w->name, '.');
    return dot ? zn_arena_strndup(&d->arena, w->name, (size_t)(dot - w->name)) : w->name;
}

/* ---- ZN0405: a parameter that never moves */

static void lint_zero_trap(const zn_proof *p, zn_diags *d) {
    for (const zn_param *w = p->m->params; w; w = w->next) {
        const zn_value *g[1];
        if (!zn_param_trained(w) || !p->store[w->index] || !zn_proof_no_gradient(p, w))
            continue;
        bool decays = w->decay != 0 && !p->bits.still[w->index];
        zn_diag *x = zn_diag_add(d, ZN_DIAG_ZERO_TRAP, w->span, "`%s` %s: its gradient is 0 in every step", w->name,
                                 decays ? "only decays" : "never moves");
        if (zn_proof_gradients(p, w, g, 1) >= 1)
            zn_explain_zero(p, g[0], d, x);
        zn_diag_note(
            d, x, ZN_NOTE_HELP, w->span,
            "let one of the factors that are 0 start otherwise, or freeze the parameter if it is meant to stay");
    }
}

/* ---- ZN0406: channels that are 0 for ever */

/* Does a value read channels that a reported one has made, unchanged in number? */
static bool comes_from(const zn_value *v, const bool *reported) {
    while (!reported[v->id] && v->noperands > 0 && v->op != ZN_OP_MATMUL &&
           (v->op != ZN_OP_CONV || zn_attr_of(v, CONV, groups)->i > 1))
        v = v->operand[0];
    return reported[v->id];
}

/* Does a relu with the derivative 0 at 0 read v, through additions and norms? */
static bool meets_relu(const zn_proof *p, const zn_value *v) {
    for (int depth = 0; v && depth < 16; depth++) {
        const zn_value *next = NULL;
        for (const zn_use *u = v->first_use; u; u = u->next) {
            zn_op op = u->user->op;
            if (op == ZN_OP_RELU)
                return !zn_attr_of(u->user, RELU, at_zero)->i && p->bits.ever[u->user->id].zeros > 0;
            if (!next && (op == ZN_OP_ADD || op == ZN_OP_BIAS || op == ZN_OP_BN_NORM || op == ZN_OP_SCALE))
                next = u->user;
        }
        v = next;
    }
    return false;
}

/* What of v may be 0: the outputs of a layer; of a norm what goes into it, or what it gives; NULL for other values. */
static const zn_value *watched(const zn_proof *p, const zn_value *v) {
    bool matrix = v->op == ZN_OP_MATMUL && !zn_attr_of(v, MATMUL, trans_a)->i && !zn_attr_of(v, MATMUL, trans_b)->i;
    if ((v->op == ZN_OP_CONV || matrix) && v->operand[1]->op == ZN_OP_PARAM)
        return v;
    if (v->op != ZN_OP_BN_NORM && v->op != ZN_OP_LN_NORM)
        return NULL;
    return p->bits.ever[v->operand[0]->id].zeros ? v->operand[0] : v;
}

/* The name of a layer or norm in the file; of what has none, its operation. */
static const char *value_name(const zn_value *v) {
    return v->path[0] ? v->path : zn_op_table[v->op].text;
}

static bool is_norm(const zn_value *v) {
    return v->op == ZN_OP_BN_NORM || v->op == ZN_OP_LN_NORM;
}

/* 1 / sqrt(eps) of a norm, by which it multiplies gradients of channels that are all 0; 0 where statistics are given.
 */
static double factor_of(const zn_value *norm) {
    bool batch = norm->op == ZN_OP_BN_NORM;
    if (batch && norm->operand[1]->op != ZN_OP_BN_STATS)
        return 0;
    return 1 / sqrt(batch ? zn_attr_of(norm->operand[1], BN_STATS, eps)->f : zn_attr_of(norm, LN_NORM, eps)->f);
}

/* The norm over samples that reads v, directly or through its bias and pooling; NULL if there is none. */
static const zn_value *norm_behind(const zn_value *v) {
    while (v) {
        const zn_value *next = NULL;
        for (const zn_use *u = v->first_use; u; u = u->next) {
            zn_op op = u->user->op;
            if (op == ZN_OP_BN_NORM && u->user->operand[0] == v)
                return u->user;
            if (op == ZN_OP_BIAS || op == ZN_OP_MAXPOOL || op == ZN_OP_AVGPOOL)
                next = u->user;
        }
        v = next;
    }
    return NULL;
}

/* The layer that makes what v reads, directly or through its bias and pooling; NULL if there is none. */
static const zn_value *layer_in_front(const zn_value *v) {
    for (v = v->operand[0]; v->op == ZN_OP_BIAS || v->op == ZN_OP_MAXPOOL || v->op == ZN_OP_AVGPOOL;)
        v = v->operand[0];
    return (v->op == ZN_OP_CONV || v->op == ZN_OP_MATMUL) && v->operand[1]->op == ZN_OP_PARAM ? v : NULL;
}

/* Channels that are 0: those of `at`, seen at v, a layer or norm. */
typedef struct dead {
    const zn_value *v, *at;
    bool said;
} dead;
typedef ZN_VEC(dead) dead_list;

/* Would two of them be the same message, but for a name? A block that is called twice makes such. */
static bool same_message(const zn_proof *p, const dead *a, const dead *b) {
    const zn_fact *x = &p->bits.ever[a->at->id], *y = &p->bits.ever[b->at->id];
    return a->v->op == b->v->op && (a->v == a->at) == (b->v == b->at) && a->v->span.line == b->v->span.line &&
           a->v->span.col == b->v->span.col && x->zeros == y->zeros && x->n == y->n;
}

/* "so it is with `conv5`, `conv6`": those behind the first that are the same message, which are not said again. */
static void name_others(const zn_proof *p, dead_list *list, size_t first, zn_diags *d, zn_diag *x) {
    enum { NAMED = 6 };
    zn_buf names = {0};
    size_t n = 0;
    for (size_t i = first + 1; i < list->n; i++) {
        if (list->at[i].said || !same_message(p, &list->at[first], &list->at[i]))
            continue;
        list->at[i].said = true;
        if (n++ < NAMED)
            zn_buf_printf(&names, "%s`%s`", n > 1 ? ", " : "", value_name(list->at[i].v));
    }
    if (n)
        zn_diag_note(d, x, ZN_NOTE_NOTE, list->at[first].v->span, "so it is with %s%s", zn_buf_str(&names),
                     n > NAMED ? ", ..." : "");
    zn_buf_free(&names);
}

static void explain_dead(const zn_proof *p, const zn_value *v, const zn_value *at, zn_diags *d, zn_diag *x) {
    const zn_value *start = v->operand[v->op == ZN_OP_BN_NORM ? 2 : 1], *norm = is_norm(v) ? NULL : norm_behind(v);
    if (is_norm(v) && at != v)
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                     "a norm makes nothing of them but its bias, and multiplies their gradient by 1 / sqrt(eps) = %.3g",
                     factor_of(v));
    else if (start->op == ZN_OP_PARAM)
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span, "`%s` starts as `%s`, and no gradient reaches them",
                     param_of(p, start)->name, start_text(param_of(p, start), d));
    if (norm && factor_of(norm) > 0)
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                     "one that did would be multiplied by 1 / sqrt(eps) = %.3g in the norm behind them, `%s`",
                     factor_of(norm), value_name(norm));
}

static void report_dead(const zn_proof *p, dead_list *list, size_t i, zn_diags *d) {
    const zn_value *v = list->at[i].v, *at = list->at[i].at;
    const zn_fact *f = &p->bits.ever[at->id];
    const char *what = !is_norm(v) ? "outputs of"
                       : at == v   ? "channels that the norm"
                                   : "channels that go into the norm";
    zn_diag *x =
        zn_diag_add(d, ZN_DIAG_DEAD_CHANNELS, v->span, "%" PRId64 " of the %" PRId64 " %s `%s`%s are 0 in every step",
                    f->zeros, f->n, what, value_name(v), is_norm(v) && at == v ? " gives" : "");
    explain_dead(p, v, at, d, x);
    name_others(p, list, i, d, x);
    zn_diag_note(d, x, ZN_NOTE_HELP, v->span,
                 meets_relu(p, at) ? "`relu` meets these zeros, and has the derivative 0 there: relu_at_zero = 1, an "
                                     "option of zero and hadamard, lets a gradient through; or start them otherwise"
                                   : "make the layer as narrow as it is, or give it a start that fills all outputs: "
                                     "hadamard, kaiming");
}

/* Does a norm read channels some of which are 0 at the start, and not all? */
static bool zero_at_start(const zn_proof *p, const zn_value *v) {
    if (v->op != ZN_OP_BN_NORM || factor_of(v) <= 0)
        return false;
    const zn_fact *now = &p->bits.now[v->operand[0]->id];
    return now->classes && now->zeros > 0 && now->zeros < now->n;
}

/* Channels that only start as 0, in front of norms: one warning for all. */
static void report_norms_at_start(const zn_proof *p, const dead_list *list, zn_diags *d) {
    enum { NAMED = 6 };
    const zn_value *v = list->n ? list->at[0].v : NULL, *layer = v ? layer_in_front(v) : NULL;
    zn_buf names = {0};
    if (!v)
        return;
    const zn_fact *now = &p->bits.now[v->operand[0]->id];
    zn_diag *x = zn_diag_add(d, ZN_DIAG_DEAD_CHANNELS, v->span,
                             "%" PRId64 " of the %" PRId64 " channels that go into the norm `%s` are 0 at the start",
                             now->zeros, now->n, value_name(v));
    zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                 "the norm multiplies the first gradients of these channels by 1 / sqrt(eps) = %.3g", factor_of(v));
    for (size_t i = 0; i < list->n && i < NAMED; i++) {
        const zn_fact *f = &p->bits.now[list->at[i].at->id];
        zn_buf_printf(&names, "%s`%s` %" PRId64 " of %" PRId64, i ? ", " : "", value_name(list->at[i].v), f->zeros,
                      f->n);
    }
    if (list->n > 1)
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span, "so it is with %zu norms: %s%s", list->n, zn_buf_str(&names),
                     list->n > NAMED ? ", ..." : "");
    if (layer)
        zn_diag_note(d, x, ZN_NOTE_LABEL, layer->span, "they are made here: `%s` starts as `%s`",
                     param_of(p, layer->operand[1])->name, start_text(param_of(p, layer->operand[1]), d));
    zn_diag_note(d, x, ZN_NOTE_HELP, v->span,
                 "give %s%s%s a start that fills all outputs: hadamard, kaiming, or dirac with one of them as `rest`; "
                 "a larger eps makes the factor smaller",
                 layer ? "`" : "", layer ? value_name(layer) : "the layer in front", layer ? "`" : "");
    zn_buf_free(&names);
}

static void lint_dead_channels(const zn_proof *p, zn_diags *d) {
    zn_arena scratch = {0};
    bool *reported = zn_new_n(&scratch, bool, (size_t)p->nvalues);
    dead_list ever = {0}, start = {0};
    for (const zn_value *v = p->f->first; v && p->bits.found; v = v->next) {
        const zn_value *at = watched(p, v);
        const zn_fact *f = at ? &p->bits.ever[at->id] : NULL;
        if (at && f->zeros == 0 && zero_at_start(p, v))
            zn_vec_push(&scratch, &start, ((dead){v, v->operand[0], false}));
        bool mixes = v->op == ZN_OP_MATMUL || (v->op == ZN_OP_CONV && zn_attr_of(v, CONV, groups)->i == 1);
        if (!f || !f->classes || f->zeros == 0 || f->zeros == f->n ||
            (!mixes && comes_from(v->op == ZN_OP_CONV ? v->operand[0] : at, reported)))
            continue;
        reported[at->id] = true;
        zn_vec_push(&scratch, &ever, ((dead){v, at, false}));
    }
    for (size_t i = 0; i < ever.n; i++)
        if (!ever.at[i].said)
            report_dead(p, &ever, i, d);
    report_norms_at_start(p, &start, d);
    zn_arena_free(&scratch);
}

/* ---- ZN0407, ZN0408: units that stay equal */

typedef struct units {
    int64_t n, zeros, bits, exact; /* outputs; those that are 0; different ones but those, by bits and exactly */
} units;

/* False for what is no layer of a weight that moves. */
static bool units_of(const zn_proof *p, const zn_param *w, units *u) {
    const zn_value *v = is_weight(w) && zn_param_trained(w) ? zn_proof_layer(p, w) : NULL;
    if (!v)
        return false;
    const zn_fact *bits = &p->bits.ever[v->id], *exact = &p->exact.ever[v->id];
    *u = (units){bits->n, bits->zeros, bits->classes - (bits->zeros > 0), exact->classes - (exact->zeros > 0)};
    return bits->classes > 0 && bits->zeros < bits->n;
}

/* Where equal units come from, and what parts them. */
static void explain_symmetry(const zn_proof *p, const zn_param *w, zn_diags *d, zn_diag *x) {
    const zn_value *v = zn_proof_layer(p, w);
    const zn_formula *f = &w->init;
    const zn_fact *inputs = &p->bits.ever[v->operand[0]->id];
    int64_t in = w->type.dim[w->type.rank - 2], out = w->type.dim[w->type.rank - 1], rows = 1;
    while (rows < in)
        rows *= 2;
    if (f->kind == ZN_FORMULA_HADAMARD && !f->spanning && rows < out) {
        zn_diag_note(d, x, ZN_NOTE_NOTE, w->span,
                     "the start of its weights, `%s`, has %" PRId64 " different rows: 2^ceil(log2 %" PRId64
                     "); output i starts like output i + %" PRId64,
                     start_text(w, d), rows, in, rows);
    } else {
        zn_diag_note(d, x, ZN_NOTE_NOTE, w->span,
                     "its weights start as `%s`; of its %" PRId64 " inputs %" PRId64 " are different", start_text(w, d),
                     inputs->n, inputs->classes);
    }
    if (f->kind == ZN_FORMULA_HADAMARD && !f->spanning)
        zn_diag_note(d, x, ZN_NOTE_HELP, w->span,
                     "columns that span tell them apart: columns = spanning, an option of zero");
    else
        zn_diag_note(d, x, ZN_NOTE_HELP, w->span,
                     "start the layer, or one behind it, with something that tells its units apart: hadamard, kaiming");
}

static void lint_symmetry(const zn_proof *p, zn_diags *d) {
    for (const zn_param *w = p->m->params; w; w = w->next) {
        units u;
        if (!p->bits.found || !units_of(p, w, &u) || u.bits >= u.n - u.zeros)
            continue;
        zn_diag *x = zn_diag_add(d, ZN_DIAG_SYMMETRY_TRAP, zn_proof_layer(p, w)->span,
                                 "of the %" PRId64 " outputs of `%s` no more than %" PRId64
                                 " can ever differ: the others stay equal to one of them bit for bit",
                                 u.n - u.zeros, layer_name(w, d), u.bits);
        zn_diag_note(d, x, ZN_NOTE_NOTE, w->span,
                     "equal outputs with equal weights behind them have equal gradients, in every step");
        explain_symmetry(p, w, d, x);
    }
}

/* Layers where exact arithmetic would keep more units equal than the bits do: one warning for all. */
static void lint_rounding(const zn_proof *p, zn_diags *d) {
    const zn_param *first = NULL;
    zn_buf list = {0};
    units u, least = {0};
    int layers = 0, all = 0;
    for (const zn_param *w = p->m->params; w && p->exact.found; w = w->next) {
        if (!units_of(p, w, &u))
            continue;
        all++;
        if (u.exact >= u.bits || u.exact == 0)
            continue;
        if (!first)
            first = w, least = u;
        if (layers++ < 6)
            zn_buf_printf(&list, "%s`%s` %" PRId64 " of %" PRId64, layers > 1 ? ", " : "", layer_name(w, d), u.exact,
                          u.n);
    }
    if (first) {
        zn_diag *x = zn_diag_add(d, ZN_DIAG_SYMMETRY_ROUNDING, zn_proof_layer(p, first)->span,
                                 "in exact arithmetic no more than %" PRId64 " of the %" PRId64
                                 " outputs of `%s` could ever differ: rounding errors alone tell the others apart",
                                 least.exact, least.n, layer_name(first, d));
        zn_diag_note(d, x, ZN_NOTE_NOTE, first->span, "so it is with %d of %d layers: %s%s", layers, all,
                     zn_buf_str(&list), layers > 6 ? ", ..." : "");
        zn_diag_note(
            d, x, ZN_NOTE_HELP, first->span,
            "a start with more different rows, or a head that is not 0, parts them at once: columns = spanning, "
            "head = identity, hadamard");
    }
    zn_buf_free(&list);
}

/* ---- ZN0409: what rank training can reach */

/* The nearest layer before v that has fewer different outputs than outputs, by which the input of v has too. */
static const zn_value *source_of(const zn_proof *p, const zn_value *v) {
    for (v = v->operand[0]; v->noperands > 0; v = v->operand[0])
        if (v->op == ZN_OP_CONV || v->op == ZN_OP_MATMUL || v->op == ZN_OP_HADAMARD || v->op == ZN_OP_PAD_CHANNELS)
            return p->exact.ever[v->id].classes < p->exact.ever[v->id].n ? v : NULL;
    return NULL;
}

static void lint_rank(const zn_proof *p, zn_diags *d) {
    const zn_param *worst = NULL;
    int64_t least = 0, layers = 0, all = 0;
    for (const zn_param *w = p->m->params; w; w = w->next) {
        units u;
        if (!units_of(p, w, &u))
            continue;
        int64_t rank = zn_proof_rank(p, &p->exact, w), most = zn_proof_full_rank(w);
        all++;
        layers += rank < most && rank > 0;
        /* the smallest part of what would be possible */
        if (rank > 0 && rank < most &&
            (!worst || (double)rank * (double)zn_proof_full_rank(worst) < (double)least * (double)most))
            worst = w, least = rank;
    }
    if (!worst)
        return;
    const zn_value *v = zn_proof_layer(p, worst), *source = source_of(p, v);
    const zn_fact *in = &p->exact.ever[v->operand[0]->id];
    int64_t bits = zn_proof_rank(p, &p->bits, worst);
    zn_diag *x = zn_diag_add(d, ZN_DIAG_RANK_BOUND, v->span,
                             "training changes `%s` by a matrix of rank %" PRId64 " at most, of %" PRId64, worst->name,
                             least, zn_proof_full_rank(worst));
    int64_t different = in->classes - (in->zeros > 0),
            taps = worst->type.rank == 4 ? worst->type.dim[0] * worst->type.dim[1] : 1;
    if (taps * different <= least)
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                     "of its %" PRId64 " input channels %" PRId64
                     " are different and not 0, and equal channels give equal rows",
                     in->n, different);
    else
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                     "its outputs have that many different gradients, and equal ones give "
                     "equal columns");
    if (source && source->span.line)
        zn_diag_note(d, x, ZN_NOTE_LABEL, source->span, "%" PRId64 " of %" PRId64 " channels are different here",
                     p->exact.ever[source->id].classes, p->exact.ever[source->id].n);
    zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                 bits == least ? "the bits hold to it" : "rounding errors may add to it, slowly");
    if (layers > 1)
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                     "%" PRId64 " of %" PRId64 " layers have such a bound, this one the tightest", layers, all);
    zn_diag_note(d, x, ZN_NOTE_HELP, v->span, "`znetc check` has the bound of every layer in column rank");
}

/* ---- ZN0410: a Hadamard transform that undoes one */

static void lint_hadamard(const zn_proof *p, zn_diags *d) {
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (v->op != ZN_OP_HADAMARD || !v->span.line)
            continue;
        const zn_fact *now = &p->exact.now[v->id], *in = &p->exact.now[v->operand[0]->id];
        if (!now->classes || 2 * now->zeros < now->n || in->zeros == in->n || v->operand[0]->op == ZN_OP_HADAMARD)
            continue;
        bool forward = true; /* gradients are transformed too */
        for (const zn_value *x = v->operand[0]; forward && x->noperands > 0; x = x->operand[0])
            forward = x->op != ZN_OP_CROSS_ENTROPY_GRAD && x->op != ZN_OP_RELU_GRAD && x->op != ZN_OP_CONV_GRAD_X &&
                      x->op != ZN_OP_BN_GRAD_X;
        if (!forward)
            continue;
        zn_diag *x =
            zn_diag_add(d, ZN_DIAG_HADAMARD_TWICE, v->span,
                        "%" PRId64 " of the %" PRId64 " channels of this Hadamard transform are exactly 0 at the start",
                        now->zeros, now->n);
        zn_diag_note(d, x, ZN_NOTE_NOTE, v->span,
                     "what it transforms was transformed before, and padded: equal channels of opposite sign cancel");
        if (p->exact.ever[v->id].zeros)
            zn_diag_note(d, x, ZN_NOTE_NOTE, v->span, "in exact arithmetic %" PRId64 " of them stay 0 for ever",
                         p->exact.ever[v->id].zeros);
        zn_diag_note(d, x, ZN_NOTE_HELP, v->span,
                     "zero(columns = spanning) places the channels so that none cancel, or "
                     "zero(variant = weights) has no transforms in the network");
    }
}

/* ---- ZN0411: decay of identities */

/* Is the value read by a norm before anything else that depends on its size? */
static bool is_normalised(const zn_value *v) {
    for (int depth = 0; v && depth < 64; depth++) {
        const zn_value *next = NULL;
        for (const zn_use *u = v->first_use; u; u = u->next) {
            const zn_value *x = u->user;
            if (x->op == ZN_OP_BN_STATS || x->op == ZN_OP_BN_NORM || x->op == ZN_OP_LN_NORM)
                return true;
            if (!next &&
                (x->op == ZN_OP_BIAS || x->op == ZN_OP_MAXPOOL || x->op == ZN_OP_AVGPOOL || x->op == ZN_OP_FLATTEN))
                next = x;
        }
        v = next;
    }
    return false;
}

static void lint_identity_decay(const zn_proof *p, zn_diags *d) {
    for (const zn_param *w = p->m->params; w; w = w->next) {
        bool identity = w->init.kind == ZN_FORMULA_IDENTITY || w->init.kind == ZN_FORMULA_PADDED_IDENTITY;
        if (!is_weight(w) || !identity || w->decay == 0 || !zn_param_trained(w) || !zn_proof_layer(p, w) ||
            is_normalised(zn_proof_layer(p, w)))
            continue;
        zn_diag *x =
            zn_diag_add(d, ZN_DIAG_IDENTITY_DECAY, zn_proof_layer(p, w)->span,
                        "`%s` starts as an identity and decays: what it hands on shrinks with every step", w->name);
        zn_diag_note(d, x, ZN_NOTE_NOTE, w->span,
                     "no norm stands behind it, and decay pulls its ones, which are no result of training, to 0");
        zn_diag_note(d, x, ZN_NOTE_HELP, w->span, "take it from decay: train { decay { ** = ...  %s = 0 } }",
                     layer_name(w, d));
    }
}

void zn_lint_proof(const zn_proof *p, zn_diags *d) {
    lint_zero_trap(p, d);
    lint_dead_channels(p, d);
    lint_symmetry(p, d);
    lint_rounding(p, d);
    lint_rank(p, d);
    lint_hadamard(p, d);
    lint_identity_decay(p, d);
}

/* ---- ZN0413: random starts */

void zn_lint_random(const zn_module *m, zn_diags *d) {
    for (const zn_param *w = m->params; w; w = w->next) {
        if (!zn_formula_random(&w->init))
            continue;
        zn_diag *x = zn_diag_add(d, ZN_DIAG_RANDOM_START, w->span, "the start of `%s` is random: `%s`", w->name,
                                 start_text(w, d));
        zn_diag_note(d, x, ZN_NOTE_HELP, w->span, "zero, hadamard, dirac, sinusoidal and constnet draw no numbers");
    }
}
