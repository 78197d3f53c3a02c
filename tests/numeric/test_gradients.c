/* Gradients against finite differences.
 *
 * usage: test_gradients DIR: every DIR/grad_*.zir is a small @forward of parameters. The loss is sum(result * r) with
 * fixed random r, in double from the interpreter's floats; the derivative by each element of each parameter is the
 * five-point central difference, whose error is of the fourth order in the step. Inputs keep away from kinks: no value
 * lies within two steps of 0, and values of parameters called "apart" lie four steps apart. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "tests/numeric/harness.h"

static const double STEP = 0.02, TOLERANCE = 2e-3;

typedef struct gradient_case {
    const char *name;
    zn_module *m;
    zn_func *f;
    zn_interp in;
    float *image, *dout;
    int32_t labels[64];
    double *r;
} gradient_case;

static void fill(const zn_param *p, th_random *r, float *out) {
    int64_t n = zn_type_count(&p->type);
    bool apart = !strcmp(p->name, "apart");
    for (int64_t i = 0; i < n; i++) {
        double size = th_random_range(r, 0.1, 1);
        out[i] = (float)(apart ? ((double)i - (double)n / 2 + 0.25) * 4.5 * STEP : th_random_u32(r) % 2 ? size : -size);
    }
    for (int64_t i = n - 1; apart && i > 0; i--) {
        int64_t j = th_random_below(r, i + 1);
        float t = out[i];
        out[i] = out[j];
        out[j] = t;
    }
}

/* sum(result 0 * r); the gradients stay readable until the release. */
static double evaluate(gradient_case *c) {
    size_t n = c->f->args.n;
    const void *args[3] = {c->image, n == 3 ? (const void *)c->labels : c->dout, c->dout};
    zn_interp_run(&c->in, c->f, args);
    const float *y = zn_interp_value(c->f->results.at[0]);
    double sum = 0;
    for (int64_t i = 0, k = zn_type_count(&c->f->results.at[0]->type); i < k; i++)
        sum += (double)y[i] * c->r[i];
    return sum;
}

static double at(gradient_case *c, float *x, double value, double *moved) {
    float old = *x;
    *x = (float)value;
    *moved = (double)*x;
    double y = evaluate(c);
    zn_interp_release(c->f);
    *x = old;
    return y;
}

static double difference(gradient_case *c, float *x) {
    double a, b, x0 = (double)*x;
    double y1 = at(c, x, x0 + STEP, &a) - at(c, x, x0 - STEP, &b), d1 = y1 / (a - b);
    double y2 = at(c, x, x0 + 2 * STEP, &a) - at(c, x, x0 - 2 * STEP, &b), d2 = y2 / (a - b);
    return (4 * d1 - d2) / 3;
}

/* Result number k of @vjp is the gradient of p. */
static bool check_param(gradient_case *c, const zn_param *p, float *x, const float *gradient, bool *any) {
    int64_t n = zn_type_count(&p->type);
    double largest = 0, worst = 0;
    int64_t where = 0;
    double *numeric = malloc((size_t)n * sizeof *numeric);
    if (!numeric)
        return false;
    for (int64_t i = 0; i < n; i++) {
        numeric[i] = difference(c, &x[i]);
        largest = fabs(numeric[i]) > largest ? fabs(numeric[i]) : largest;
    }
    bool ok = true;
    for (int64_t i = 0; i < n; i++) {
        double err = fabs(numeric[i] - (double)gradient[i]);
        if (!(err <= TOLERANCE * (largest > 0.1 ? largest : 0.1)))
            ok = false;
        if (!(err <= worst)) {
            worst = err;
            where = i;
        }
    }
    if (!ok)
        fprintf(stderr, "FAIL %s: %s[%lld]: by differences %.9g, by @vjp %.9g (largest %.3g)\n", c->name, p->name,
                (long long)where, numeric[where], (double)gradient[where], largest);
    *any = *any || largest > 1e-6;
    free(numeric);
    return ok;
}

/* Does @vjp read p before v? */
static bool read_before(const gradient_case *c, const zn_value *v, const zn_param *p) {
    for (const zn_value *u = c->f->first; u != v; u = u->next)
        if (u->op == ZN_OP_PARAM && zn_param_find(c->m, zn_attr_of(u, PARAM, name)->s) == p)
            return true;
    return false;
}

/* In the order in which @vjp reads them first. */
static const zn_param *trained(const gradient_case *c, size_t k, size_t *index) {
    for (const zn_value *v = c->f->first; v; v = v->next) {
        if (v->op != ZN_OP_PARAM)
            continue;
        const zn_param *p = zn_param_find(c->m, zn_attr_of(v, PARAM, name)->s);
        if (!zn_role_trained(p->role) || read_before(c, v, p) || k--)
            continue;
        *index = 0;
        for (const zn_param *q = c->m->params; q != p; q = q->next)
            ++*index;
        return p;
    }
    return NULL;
}

static bool run(gradient_case *c, th_random *r) {
    zn_type *out = &c->f->results.at[0]->type;
    int64_t n = zn_type_count(out), images = zn_type_count(&c->f->args.at[0]->type);
    bool loss = c->f->results.at[0]->op == ZN_OP_CROSS_ENTROPY, ok = true;
    size_t i = 0;
    for (const zn_param *p = c->m->params; p; p = p->next)
        fill(p, r, c->in.param[i++]);
    c->image = calloc((size_t)images, sizeof *c->image);
    c->dout = malloc((size_t)n * sizeof *c->dout);
    c->r = malloc((size_t)n * sizeof *c->r);
    if (!c->image || !c->dout || !c->r)
        return false;
    for (int64_t k = 0; k < n; k++) {
        c->dout[k] = (float)th_random_range(r, -1, 1);
        c->r[k] = loss ? 1 / (double)n : (double)c->dout[k]; /* the loss is where gradients start: its mean */
    }
    for (int k = 0; k < 64; k++)
        c->labels[k] = (int32_t)th_random_below(r, 5);
    evaluate(c);
    size_t results = c->f->results.n;
    float **gradient = calloc(results, sizeof *gradient);
    for (size_t k = 1; gradient && k < results; k++) {
        size_t bytes = (size_t)zn_type_count(&c->f->results.at[k]->type) * sizeof(float);
        gradient[k] = malloc(bytes);
        if (gradient[k])
            memcpy(gradient[k], zn_interp_value(c->f->results.at[k]), bytes);
    }
    zn_interp_release(c->f);
    bool any = false;
    for (size_t k = 1; gradient && k < results; k++) {
        size_t index;
        const zn_param *p = trained(c, k - 1, &index);
        if (!p || !gradient[k] || !zn_type_equal(&p->type, &c->f->results.at[k]->type)) {
            fprintf(stderr, "FAIL %s: result %zu of @vjp is of no parameter\n", c->name, k);
            ok = false;
            break;
        }
        ok = check_param(c, p, c->in.param[index], gradient[k], &any) && ok;
    }
    size_t index;
    if (results < 2 || trained(c, results - 1, &index)) {
        fprintf(stderr, "FAIL %s: @vjp has %zu results, which is not one for each trained parameter\n", c->name,
                results);
        ok = false;
    }
    if (!any) {
        fprintf(stderr, "FAIL %s: every derivative by differences is 0: nothing was tested\n", c->name);
        ok = false;
    }
    for (size_t k = 1; gradient && k < results; k++)
        free(gradient[k]);
    free(gradient);
    free(c->image);
    free(c->dout);
    free(c->r);
    return ok;
}

/* The operation that the file is named after is in @vjp: grad_bn_norm_2.zir has a bn_norm. */
static bool has_op(const gradient_case *c, const char *file) {
    for (const zn_value *v = c->f->first; v; v = v->next) {
        size_t n = strlen(zn_op_table[v->op].text);
        if (!strncmp(file + 5, zn_op_table[v->op].text, n) && (file[5 + n] == '.' || file[5 + n] == '_'))
            return true;
    }
    return !strncmp(file, "grad_net", 8);
}

static bool check(const char *path, const char *name) {
    size_t n;
    char *text = th_read(path, &n);
    gradient_case c = {.name = name, .m = th_parse(name, text, n)};
    zn_diags d = {.path = name, .source = text, .source_len = n};
    zn_pass_ctx ctx = {.diags = &d};
    th_random r = th_random_of(name);
    c.f = zn_make_vjp(c.m, &ctx);
    bool ok = c.f && has_op(&c, name);
    if (!ok)
        fprintf(stderr, "FAIL %s: @vjp cannot be made, or holds nothing of that name\n", name);
    c.in = zn_interp_new(c.m, 1);
    ok = ok && run(&c, &r);
    zn_interp_free(&c.in);
    zn_module_free(c.m);
    zn_diags_free(&d);
    free(text);
    return ok;
}

int main(int argc, char **argv) {
    char pattern[4096];
    size_t bad = 0;
    glob_t g;
    snprintf(pattern, sizeof pattern, "%s/grad_*.zir", argc > 1 ? argv[1] : ".");
    if (glob(pattern, 0, NULL, &g)) {
        fprintf(stderr, "no file is %s\n", pattern);
        return 1;
    }
    for (size_t i = 0; i < g.gl_pathc; i++)
        bad += !check(g.gl_pathv[i], strrchr(g.gl_pathv[i], '/') + 1);
    printf("%zu cases, %zu wrong\n", g.gl_pathc, bad);
    globfree(&g);
    return bad != 0;
}
