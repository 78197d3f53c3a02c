/* What the compiler proves of a start (passes/prove/), against the bits: networks drawn at random are trained as
 * machine code. Whatever is proven 0 must be 0, whatever is proven equal must be equal by memcmp, what is proven a
 * number must be that number, in every step; no rank may pass its bound; and in the first steps what is equal in exact
 * arithmetic is nearly equal.
 *
 *   test_proofs [FIRST [COUNT [STEPS]]]      networks FIRST, FIRST + 1, ...; -v as a further argument prints their text
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "passes/pass.h"
#include "passes/prove/prove.h"
#include "runtime/lapack.h"
#include "tests/numeric/harness.h"

/* ---- a network */

typedef struct gen {
    th_random *r;
    zn_buf *out;
    int64_t h, w, c;
    int depth;
} gen;

static int64_t below(gen *g, int64_t n) {
    return th_random_below(g->r, n);
}
static bool often(gen *g, int percent) {
    return below(g, 100) < percent;
}
#define PICK(g, list) (list)[below((g), (int64_t)(sizeof(list) / sizeof *(list)))]

static const int64_t widths[] = {1, 2, 3, 4, 5, 6, 7, 8, 8, 11, 12, 16, 16, 24, 32};
static const int kernels[] = {1, 1, 1, 5, 2, 4};
static const char *const activations[] = {"relu", "relu", "relu", "relu", "gelu", "tanh", "sigmoid", "leaky_relu(0.1)",
                                          "silu", "relu"};

static void act(gen *g) {
    if (often(g, 15))
        zn_buf_puts(g->out, often(g, 70) ? "bn " : "layernorm ");
    zn_buf_printf(g->out, "%s ", PICK(g, activations));
    if (often(g, 8))
        zn_buf_puts(g->out, "dropout(0.25) ");
    if (often(g, 5))
        zn_buf_puts(g->out, "identity ");
}

static int64_t weighted(gen *g, int64_t c, int64_t stride) {
    if (g->h == 0)
        zn_buf_printf(g->out, "linear(%lld%s) ", (long long)c, often(g, 20) ? ", bias = false" : "");
    else
        zn_buf_printf(g->out, "conv(%lld, %d, stride = %lld%s) ", (long long)c, often(g, 65) ? 3 : PICK(g, kernels),
                      (long long)stride, often(g, 15) ? ", bias = true" : "");
    return c;
}

static void after_stride(gen *g, int64_t stride) {
    if (g->h)
        g->h = (g->h + stride - 1) / stride, g->w = (g->w + stride - 1) / stride;
}

/* Two or three layers in one of the usual orders. */
static void branch(gen *g, int64_t c, int64_t stride) {
    int form = (int)below(g, 5);
    const char *norm = often(g, 75) ? "bn " : "", *f = often(g, 80) ? "relu " : PICK(g, activations);
    if (form == 0) { /* pre-activation */
        zn_buf_printf(g->out, "%s%s ", norm, f);
        weighted(g, c, stride);
        zn_buf_printf(g->out, "%s%s ", norm, f);
        weighted(g, c, 1);
    } else if (form == 1) { /* bottleneck */
        weighted(g, c / 2 + 1, 1);
        zn_buf_printf(g->out, "%s%s ", norm, f);
        weighted(g, c / 2 + 1, stride);
        zn_buf_printf(g->out, "%s%s ", norm, f);
        weighted(g, c, 1);
        zn_buf_puts(g->out, norm);
    } else {
        weighted(g, c, stride);
        zn_buf_printf(g->out, "%s%s ", norm, f);
        if (often(g, 10))
            zn_buf_puts(g->out, "dropout(0.3) ");
        weighted(g, c, 1);
        zn_buf_puts(g->out, norm);
        if (often(g, 12))
            zn_buf_puts(g->out, often(g, 50) ? "scale(0) " : "scale(1, per_channel = true) ");
    }
}

static bool power_of_two(int64_t x) {
    return (x & (x - 1)) == 0;
}

static void residual(gen *g) {
    static const char *const policies[] = {"project", "pad", "hadamard", "hadamard"};
    int64_t c = often(g, 50)   ? g->c
                : often(g, 60) ? 2 * g->c
                               : PICK(g, widths),
            stride = often(g, 25) && g->h > 1 ? 2 : 1;
    const char *policy = PICK(g, policies);
    if (c > 48)
        c = g->c;
    if (c < g->c && (!strcmp(policy, "pad") || often(g, 50)))
        policy = "slice";
    if (!strcmp(policy, "hadamard") && (!power_of_two(c) || c < g->c))
        policy = "project";
    if (g->h == 0)
        stride = 1;
    if (c != g->c || stride > 1)
        zn_buf_printf(g->out, "residual(shortcut = %s) { ", policy);
    else
        zn_buf_puts(g->out, "residual { ");
    branch(g, c, stride);
    zn_buf_puts(g->out, "} ");
    if (often(g, 70))
        zn_buf_puts(g->out, "relu ");
    g->c = c;
    after_stride(g, stride);
}

static void layer(gen *g) {
    int kind = (int)below(g, 16);
    if (kind < 7) {
        residual(g);
    } else if (kind < 9) {
        int64_t stride = often(g, 20) && g->h > 1 ? 2 : 1;
        g->c = weighted(g, PICK(g, widths), stride);
        act(g);
        after_stride(g, g->h ? stride : 1);
    } else if (kind == 9 && g->h > 3 && g->w > 3) {
        zn_buf_puts(g->out, often(g, 50) ? "maxpool(2) " : "avgpool(2) ");
        g->h /= 2, g->w /= 2;
    } else if (kind == 10 && power_of_two(g->c)) {
        zn_buf_puts(g->out, "hadamard ");
    } else if (kind == 11 && g->c <= 16) {
        g->c *= 2;
        zn_buf_printf(g->out, "pad_channels(%lld) ", (long long)g->c);
    } else if (kind == 12 && g->h > 0) {
        int64_t groups = g->c % 2 == 0 && often(g, 40) ? g->c / 2 : g->c;
        zn_buf_printf(g->out, "conv(%lld, 3, groups = %lld) ", (long long)g->c, (long long)groups);
        act(g);
    } else if (kind == 13) {
        static const char *const scales[] = {"scale(0.5) ", "scale(1, per_channel = true) ", "bias(0) ",
                                             "multiply(0.5) ", "bias(0.1, per_channel = true) "};
        zn_buf_puts(g->out, PICK(g, scales));
    } else if (kind >= 14 && g->c <= 16) {
        bool product = kind == 15;
        int64_t c = product ? g->c : PICK(g, widths);
        zn_buf_printf(g->out, "identity as v%d ", ++g->depth);
        weighted(g, c, 1);
        act(g);
        zn_buf_printf(g->out, "%s(v%d) ", product ? often(g, 50) ? "mul" : "add" : "concat", g->depth);
        g->c = product ? c : g->c + c;
    }
}

static const char *const starts[] = {
    "zero",
    "zero",
    "zero(columns = spanning)",
    "zero(head = identity)",
    "zero(scalars = true)",
    "zero(variant = weights)",
    "zero(variant = weights)",
    "zero(variant = weights, columns = spanning)",
    "zero(variant = weights, head = zero)",
    "zero(variant = weights, scale = paper)",
    "zero(variant = weights, relu_at_zero = 1)",
    "kaiming",
    "hadamard",
    "hadamard(form = gold)",
    "hadamard(form = paley)",
    "dirac(rest = zeros)",
    "dirac(rest = hadamard)",
    "dirac(rest = uniform(0.1))",
    "zeros",
    "ones",
    "constnet",
    "zero_gamma",
    "fixup",
    "skipinit",
    "rezero",
    "idinit",
    "sinusoidal",
    "delta_orthogonal",
    "delta_orthogonal",
    "risotto(type = B)",
    "lsuv",
    "identity",
    "orthogonal",
    "xavier",
    "lecun",
    "normal(0.05)",
    "uniform(0.2)",
    "fractional_moment",
    "risotto(type = C)",
    "variance_aware",
    "{ ** = kaiming conv1 = whitening }",
    "{ ** = identity head = zeros }",
    "{ ** = zeros head = kaiming }",
    "{ ** = dirac(rest = zeros) head = zeros }",
    "{ ** = kaiming conv2 = zeros }",
    "{ ** = kaiming **.conv2 = zeros head = zeros }",
    "{ ** = hadamard **.conv1 = zeros }",
    "{ ** = ones head = zeros }",
};
static const char *const optimizers[] = {"sgd",  "sgd",  "sgd(momentum = 0.9)", "sgd(momentum = 0.9, nesterov = true)",
                                         "adam", "adamw"};
static const char *const rates[] = {"0.3", "0.1", "0.03", "0.01", "0.003"};

static int64_t draw(th_random *r, zn_buf *out) {
    gen g = {.r = r, .out = out};
    int64_t classes = 2 + below(&g, 5);
    bool image = often(&g, 75);
    g.h = image ? 2 + below(&g, 7) : 0;
    g.w = image ? 2 + below(&g, 7) : 0;
    g.c = image ? 1 + below(&g, 4) : 2 + below(&g, 14);
    if (image)
        zn_buf_printf(out, "model m { input image[%lld, %lld, %lld] ", (long long)g.h, (long long)g.w, (long long)g.c);
    else
        zn_buf_printf(out, "model m { input x[%lld] ", (long long)g.c);
    int64_t h = image ? g.h : 1, w = image ? g.w : 1, c = g.c;
    if (often(&g, 85)) {
        g.c = weighted(&g, PICK(&g, widths), 1);
        if (often(&g, 60))
            zn_buf_puts(out, "bn ");
        act(&g);
    }
    for (int64_t k = below(&g, 5); k >= 0; k--)
        layer(&g);
    if (image)
        zn_buf_puts(out, often(&g, 75) ? "avgpool " : "flatten ");
    g.h = 0;
    if (often(&g, 25)) {
        weighted(&g, PICK(&g, widths), 1);
        zn_buf_puts(out, "relu ");
    }
    zn_buf_printf(out, "head: linear(%lld%s) }\n", (long long)classes, often(&g, 15) ? ", bias = false" : "");
    zn_buf_printf(out, "data { source = noise(%lld, %lld, %lld, %lld, 100) }\n", (long long)h, (long long)w,
                  (long long)c, (long long)classes);
    zn_buf_printf(out, "init %s\n", PICK(&g, starts));
    zn_buf_printf(out, "train { loss = %s optimizer = %s lr = %s batch = %lld epochs = 1 ",
                  often(&g, 85) ? "cross_entropy" : "mse", PICK(&g, optimizers), PICK(&g, rates),
                  (long long)(2 + below(&g, 8)));
    if (often(&g, 30))
        zn_buf_puts(out, "decay = 1e-2 ");
    if (often(&g, 15))
        zn_buf_puts(out, "grad_clip = norm(1) ");
    zn_buf_puts(out, "}\n");
    return classes;
}

/* Some values of the step are kept, so that they can be looked at: those that stand in memory for each sample. */
static void keep_values(zn_module *m, th_random *r) {
    zn_func *f = zn_func_find(m, "train_step");
    int64_t batch = f->args.at[0]->type.dim[0];
    for (zn_value *v = f->first; v; v = v->next) {
        zn_kernel_family k = zn_op_table[v->op].kernel;
        bool fit = v->type.dtype == ZN_F32 && (v->type.rank == 2 || v->type.rank == 4) && v->type.dim[0] == batch &&
                   k != ZN_KERNEL_NONE && k != ZN_KERNEL_ALIAS;
        for (int i = 0; i < v->noperands; i++)
            fit &= v->operand[i]->op != ZN_OP_PARAM || v->op == ZN_OP_CONV || v->op == ZN_OP_MATMUL ||
                   v->operand[0]->op != ZN_OP_PARAM;
        v->keep = fit && !v->nresults && th_random_below(r, 3);
    }
}

/* NULL where the start refuses the network. */
static zn_module *compile(const char *text, th_random *r) {
    zn_diags d = {.path = "drawn", .source = text, .source_len = strlen(text)};
    zn_frontend_options o = {.dir = "."};
    zn_pass_ctx ctx = {.diags = &d};
    zn_module *m = zn_frontend_compile(text, strlen(text), &o, &d);
    for (int i = 0; m && i < ZN_PASS_COUNT; i++) {
        if (i == ZN_PASS_FUSE)
            keep_values(m, r);
        if (!zn_pass_table[i].run(m, &ctx)) {
            zn_module_free(m);
            m = NULL;
        }
    }
    for (const zn_diag *x = d.first; !m && x; x = x->next)
        if (zn_diag_severity(&d, x->id) == ZN_SEV_ERROR && strncmp(zn_diag_table[x->id].code, "ZN05", 4)) {
            fprintf(stderr, "FAIL does not compile: %s\n%s", x->msg, text);
            exit(1);
        }
    if (m)
        zn_module_name_values(m);
    zn_diags_free(&d);
    return m;
}

/* ---- claims */

typedef struct claims {
    int64_t zeros, numbers, equal, still, ranks, wrong;
    int64_t near; /* of exact arithmetic */
} claims;

/* The first place where a cell was met: n numbers `stride` apart. */
typedef struct place {
    zn_cell cell;
    const float *at;
    int64_t n, stride;
} place;
typedef struct places {
    place *slot;
    size_t cap, n;
} places;

static place *place_of(places *t, zn_cell x) {
    if (2 * (t->n + 1) > t->cap) {
        places old = *t;
        t->cap = old.cap ? 2 * old.cap : 1024;
        t->slot = calloc(t->cap, sizeof *t->slot);
        if (!t->slot)
            exit(2);
        t->n = 0;
        for (size_t i = 0; i < old.cap; i++)
            if (old.slot[i].at)
                *place_of(t, old.slot[i].cell) = old.slot[i], t->n++;
        free(old.slot);
    }
    size_t i = zn_cell_mix(x, 7) & (t->cap - 1);
    while (t->slot[i].at && t->slot[i].cell != x)
        i = (i + 1) & (t->cap - 1);
    return &t->slot[i];
}

static bool same_bits(const float *a, int64_t sa, const float *b, int64_t sb, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i * sa, b + i * sb, sizeof *a))
            return false;
    return true;
}

static void wrong(claims *c, const char *what, const char *name, int step, int64_t i) {
    if (c->wrong++ < 5)
        fprintf(stderr, "FAIL step %d: %s: cell %lld is not %s\n", step, name, (long long)i, what);
}

/* n numbers `stride` apart, of which the cell says something. */
static void check_cell(claims *c, places *t, zn_cell x, const float *at, int64_t n, int64_t stride, const char *name,
                       int step, int64_t i) {
    if (zn_cell_zero(false, x)) {
        c->zeros++;
        for (int64_t k = 0; k < n; k++)
            if (at[k * stride] != 0) {
                wrong(c, "0", name, step, i);
                break;
            }
    }
    if (zn_cell_is_number(x)) {
        float f = zn_cell_number(x);
        c->numbers++;
        for (int64_t k = 0; k < n; k++)
            if (memcmp(&f, at + k * stride, sizeof f)) {
                wrong(c, "the number it was proven to be", name, step, i);
                break;
            }
        return;
    }
    place *p = place_of(t, x);
    if (!p->at) {
        *p = (place){x, at, n, stride};
        t->n++;
    } else if (p->n == n) {
        c->equal++;
        if (!same_bits(p->at, p->stride, at, stride, n))
            wrong(c, "equal to another of its class", name, step, i);
    }
}

static void check_params(claims *c, places *t, const zn_proof *p, const th_state *s, int step) {
    for (const zn_param *w = p->m->params; w; w = w->next) {
        const zn_cells *x = &p->bits.state[w->index];
        int64_t n = zn_type_count(&w->type);
        if (x->form != ZN_CELLS_DISTINCT)
            for (int64_t i = 0; i < n; i++)
                check_cell(c, t, zn_cells_get(false, x, i), s->param[w->index] + i, 1, 1, w->name, step, i);
    }
}

/* The results of a function stand before the values that are kept. */
static size_t first_kept(const zn_proof *p, const th_state *s) {
    size_t k = s->nresult;
    for (const zn_value *v = p->f->first; v; v = v->next)
        k -= v->keep;
    return k;
}

static void check_values(claims *c, places *t, const zn_proof *p, const th_state *s, int step) {
    size_t k = first_kept(p, s);
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (!v->keep)
            continue;
        const zn_cells *x = &p->bits.cell[v->id];
        const float *at = s->result[k];
        int64_t n = s->elements[k++] / (x->n ? x->n : 1);
        if (x->n && zn_type_channels(&v->type) != x->n)
            wrong(c, "a channel", v->name, step, x->n);
        for (int64_t i = 0; i < x->n; i++)
            check_cell(c, t, zn_cells_get(false, x, i), at + i, n, x->n, v->name, step, i);
    }
}

/* In the first step a value has at most so many different channels, and at least so many that are 0. */
static void check_now(claims *c, const zn_proof *p, const th_state *s) {
    size_t k = first_kept(p, s);
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (!v->keep)
            continue;
        const zn_fact *now = &p->bits.now[v->id]; /* no classes: of elements */
        const float *at = s->result[k];
        int64_t ch = zn_type_channels(&v->type), n = s->elements[k++] / ch, zeros = 0, classes = 0;
        for (int64_t i = 0; i < ch; i++) {
            bool zero = true, seen = false;
            for (int64_t q = 0; q < n; q++)
                zero &= at[q * ch + i] == 0;
            for (int64_t j = 0; !zero && j < i; j++)
                seen |= same_bits(at + i, ch, at + j, ch, n);
            zeros += zero;
            classes += !zero && !seen;
        }
        c->zeros++;
        if (now->classes &&
            (zeros < now->zeros || classes + (zeros > 0) > now->classes + (zeros > now->zeros && !now->zeros)))
            wrong(c, "what it was proven to be now", v->name, 1, zeros);
    }
}

/* Is there a value that is 0 in exact arithmetic and nearly 0 in floating point? Then relu reads the sign of rounding
 * noise, and norms make it large. */
static bool has_noise(const zn_proof *p) {
    for (const zn_value *v = p->f->first; v; v = v->next)
        if (p->exact.now[v->id].zeros != p->bits.now[v->id].zeros ||
            p->exact.ever[v->id].zeros != p->bits.ever[v->id].zeros)
            return true;
    return false;
}

/* Equal in exact arithmetic: as near as rounding leaves them. */
static void check_exact(claims *c, const zn_proof *p, const th_state *s, int step) {
    size_t k = first_kept(p, s);
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (!v->keep)
            continue;
        const zn_cells *x = &p->exact.cell[v->id];
        const float *at = s->result[k];
        int64_t ch = x->n, n = s->elements[k++] / (ch ? ch : 1);
        double largest = 0;
        for (int64_t i = 0; i < n * ch; i++)
            largest = fmax(largest, fabs((double)at[i]));
        for (int64_t i = 0; i < ch; i++)
            for (int64_t j = 0; j < i; j++) {
                if (zn_cells_get(true, x, i) != zn_cells_get(true, x, j))
                    continue;
                c->near++;
                int64_t far = 0; /* some, for a relu may meet a number near 0 */
                for (int64_t q = 0; q < n; q++)
                    far += fabs((double)at[q * ch + i] - (double)at[q * ch + j]) > 2e-3 * largest + 1e-6;
                if (far > 1 + n / 4) {
                    wrong(c, "nearly equal to another of its class", v->name, step, i);
                    break;
                }
            }
    }
}

static int64_t rank_of(const float *now, const float *start, int64_t rows, int64_t cols, double relative,
                       double least) {
    int64_t n = rows < cols ? rows : cols, rank = 0;
    double *a = malloc((size_t)(rows * cols) * sizeof *a), *s = malloc((size_t)n * sizeof *s);
    zn_rt_error e = {""};
    if (!a || !s)
        exit(2);
    for (int64_t i = 0; i < rows * cols; i++)
        a[i] = (double)now[i] - (double)start[i];
    if (zn_rt_singular_values(rows, cols, a, s, &e)) {
        fprintf(stderr, "FAIL %s\n", e.text);
        exit(1);
    }
    while (rank < n && s[rank] > relative * s[0] && s[rank] > least)
        rank++;
    free(a);
    free(s);
    return rank;
}

static void check_ranks(claims *c, const zn_proof *p, const th_state *s, const th_state *start, int step, bool exact) {
    for (const zn_param *w = p->m->params; w; w = w->next) {
        int64_t cols = w->type.rank ? w->type.dim[w->type.rank - 1] : 1, rows = zn_type_count(&w->type) / cols;
        if (w->role != ZN_ROLE_WEIGHT || w->type.rank < 2 || !zn_proof_layer(p, w))
            continue;
        int64_t bound = zn_proof_rank(p, exact ? &p->exact : &p->bits, w), most = rows < cols ? rows : cols;
        if (bound >= most)
            continue;
        double largest = 0;
        for (int64_t i = 0; i < rows * cols; i++)
            largest = fmax(largest, fabs((double)s->param[w->index][i]));
        c->ranks++;
        int64_t rank = rank_of(s->param[w->index], start->param[w->index], rows, cols, exact ? 1e-2 : 1e-11,
                               exact ? 1e-5 * largest : 0);
        if (rank > bound)
            wrong(c, exact ? "of the exact rank" : "of the rank", w->name, step, rank);
    }
}

static bool finite_state(const zn_module *m, const th_state *s) {
    for (const zn_param *w = m->params; w; w = w->next)
        for (int64_t i = 0; i < zn_type_count(&w->type); i++)
            if (!isfinite(s->param[w->index][i]) || fabsf(s->param[w->index][i]) > 1e18f)
                return false;
    for (size_t k = 0; k < s->nresult; k++)
        for (int64_t i = 0; i < s->elements[k]; i++)
            if (!isfinite(s->result[k][i]))
                return false;
    return true;
}

static void train(zn_module *m, const zn_proof *p, th_random *r, int64_t classes, int steps, claims *c) {
    th_code code = th_compile(m, "native", true);
    th_state s = th_state_make(m, r, true, 1), start = th_state_copy(m, &s);
    places t = {0};
    /* a norm over two or three samples leaves gradients that are rounding noise */
    bool noisy = has_noise(p) || p->f->args.at[0]->type.dim[0] < 4;
    check_params(c, &t, p, &s, 0);
    for (int step = 1; step <= steps && !c->wrong; step++) {
        th_input in = th_input_make(m, r, classes);
        in.lr = (float)zn_conf_float(m, "train.lr.peak", 0.1);
        in.epoch = 0;
        in.position = (uint32_t)step * 16;
        bool ok = th_execute(&code, "train_step", &in, &s, r) && finite_state(m, &s);
        th_input_free(&in);
        if (!ok)
            break;
        free(t.slot);
        t = (places){0};
        check_values(c, &t, p, &s, step);
        free(t.slot);
        t = (places){0};
        check_params(c, &t, p, &s, step);
        if (step == 1)
            check_now(c, p, &s);
        if (step <= 2 && !noisy)
            check_exact(c, p, &s, step);
        if (step == 2 && !noisy)
            check_ranks(c, p, &s, &start, step, true);
        if (step == 2 || step == steps)
            check_ranks(c, p, &s, &start, step, false);
    }
    for (const zn_param *w = m->params; w; w = w->next)
        if (p->bits.still[w->index] && zn_param_trained(w)) {
            c->still++;
            if (memcmp(s.param[w->index], start.param[w->index], (size_t)zn_type_count(&w->type) * sizeof(float)))
                wrong(c, "still", w->name, steps, 0);
        }
    free(t.slot);
    th_state_free(&s);
    th_state_free(&start);
    th_code_free(&code);
}

int main(int argc, char **argv) {
    bool verbose = argc > 1 && !strcmp(argv[argc - 1], "-v");
    argc -= verbose;
    long first = argc > 1 ? atol(argv[1]) : 0, count = argc > 2 ? atol(argv[2]) : 40;
    int steps = argc > 3 ? atoi(argv[3]) : 50;
    long bad = 0, refused = 0, claiming = 0;
    claims all = {0};
    for (long k = first; k < first + count; k++) {
        char name[32];
        zn_buf text = {0};
        zn_module *m = NULL;
        int64_t classes = 0;
        snprintf(name, sizeof name, "proofs %ld", k);
        th_random r = th_random_of(name);
        for (int tries = 0; !m; tries++, refused += !m) {
            zn_buf_free(&text);
            text = (zn_buf){0};
            classes = draw(&r, &text);
            m = compile(zn_buf_str(&text), &r);
        }
        if (verbose)
            printf("# %ld\n%s", k, zn_buf_str(&text));
        fflush(stdout);
        claims c = {0};
        zn_proof *p = zn_prove(m, NULL);
        train(m, p, &r, classes, steps, &c);
        claiming += c.zeros + c.equal + c.numbers > 0;
        if (c.wrong) {
            bad++;
            fprintf(stderr, "FAIL network %ld\n%s", k, zn_buf_str(&text));
        }
        all = (claims){all.zeros + c.zeros, all.numbers + c.numbers, all.equal + c.equal, all.still + c.still,
                       all.ranks + c.ranks, all.wrong + c.wrong,     all.near + c.near};
        zn_proof_free(p);
        zn_module_free(m);
        zn_buf_free(&text);
    }
    printf(
        "%ld networks (%ld draws refused by their start), claims checked: %lld zeros, %lld numbers, %lld equal, %lld "
        "still, %lld ranks, %lld nearly equal; %lld wrong\n",
        count, refused, (long long)all.zeros, (long long)all.numbers, (long long)all.equal, (long long)all.still,
        (long long)all.ranks, (long long)all.near, (long long)all.wrong);
    printf("%ld passed, %ld failed\n", count - bad, bad);
    return bad || !claiming;
}
