/* Starts against their formulas: deterministic ones against tests/fixtures/starts.txt, which a program that shares
 * nothing with the product wrote; distributions by a Kolmogorov-Smirnov test; isometry by singular values of the
 * Jacobian of whole networks, in double precision. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "ir/module.h"
#include "support/signs.h"
#include "tests/unit/compile.h"

/* ---- the fixture */

/* One line: checks the weights of its formula; false at the end of the file. */
static bool check_line(FILE *f, int *lines) {
    char name[32];
    int out, in, kh, kw, n = 0;
    double numbers[4];
    if (fscanf(f, "%31s %d %d %d %d", name, &out, &in, &kh, &kw) != 5)
        return false;
    while (n < 4 && fscanf(f, "%lf", &numbers[n]) == 1)
        n++;
    zn_formula formula = {.kind = ZN_FORMULA_CONST, .a = 1};
    for (int kind = 0; kind < ZN_FORMULA_COUNT; kind++)
        if (!strcmp(zn_formula_names[kind], name))
            formula.kind = (zn_formula_kind)kind;
    CU_ASSERT_TRUE_FATAL(formula.kind != ZN_FORMULA_CONST && fscanf(f, " :") == 0);
    if (formula.kind == ZN_FORMULA_DENSE_HADAMARD) {
        formula.q = (int64_t)numbers[0];
        formula.spanning = numbers[1] > 0;
    }
    bool sinus = formula.kind == ZN_FORMULA_SINUSOIDAL, text = sinus || formula.kind == ZN_FORMULA_PADDED_IDENTITY;
    int64_t dim[4] = {kh, kw, in, out}, wrong = 0;
    float *w = malloc(sizeof *w * (size_t)(kh * kw * in * out));
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    CU_ASSERT_TRUE(zn_formula_eval(&formula, 4, dim, "w", 1, w));
    for (int64_t i = 0; i < (int64_t)out * in * kh * kw; i++) { /* [out][in][kh][kw] */
        int64_t tap = i % (kh * kw), c = i / (kh * kw) % in, o = i / (kh * kw) / in;
        double truth;
        char sign = 0;
        if (text) {
            CU_ASSERT_EQUAL_FATAL(fscanf(f, "%lf", &truth), 1);
        } else {
            CU_ASSERT_EQUAL_FATAL(fscanf(f, " %c", &sign), 1);
            truth = sign == '+' ? 1 : -1;
        }
        double x = (double)w[(tap * in + c) * out + o];
        wrong += sinus ? !(fabs(x - truth) <= 0x1p-24) : x != truth;
    }
    if (wrong)
        printf("%s [%d, %d, %d, %d]: %lld entries are not those of the fixture\n", name, out, in, kh, kw,
               (long long)wrong);
    CU_ASSERT_EQUAL(wrong, 0);
    free(w);
    ++*lines;
    return true;
}

static void fixture(void) {
    FILE *f = fopen(ZN_TEST_SOURCE_DIR "/tests/fixtures/starts.txt", "r");
    int lines = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    while (check_line(f, &lines))
        ;
    fclose(f);
    CU_ASSERT_TRUE(lines > 100);
}

/* ---- matrices of signs */

/* Every Hadamard matrix that a start of up to 64 x 300 may take has orthogonal rows, and its order is enough. */
static void paley_orders(void) {
    for (int64_t entries = 1; entries <= 300; entries++) {
        int64_t outputs = 1 + entries * 7 % 64;
        zn_paley h = zn_paley_make(outputs, entries);
        CU_ASSERT_TRUE(h.order >= outputs && h.order >= entries && (h.order == 1 || h.order == 2 || h.order % 4 == 0));
        for (int64_t i = 0; i < h.order; i += 1 + h.order / 9)
            for (int64_t k = 0; k < i; k += 1 + h.order / 11) {
                int64_t sum = 0;
                for (int64_t j = 0; j < h.order; j++)
                    sum += zn_paley_negative(&h, i, j) == zn_paley_negative(&h, k, j) ? 1 : -1;
                CU_ASSERT_EQUAL(sum, 0);
            }
    }
}

/* Rows of ResNet-20's convolutions with equal widths are orthogonal, exactly; all columns differ. */
static void gold_and_paley_rows(void) {
    static float w[9 * 64 * 64];
    for (int form = 0; form < 2; form++)
        for (int64_t c = 16; c <= 64; c *= 2) {
            zn_formula f = {.kind = form ? ZN_FORMULA_PALEY : ZN_FORMULA_GOLD, .a = 1};
            int64_t k = 9 * c, equal = 0, dim[4] = {3, 3, c, c};
            zn_formula_eval(&f, 4, dim, "w", 1, w);
            for (int64_t a = 0; a < c; a++)
                for (int64_t b = 0; b < a; b++) {
                    double sum = 0;
                    for (int64_t j = 0; j < k; j++)
                        sum += (double)w[j * c + a] * (double)w[j * c + b];
                    CU_ASSERT_EQUAL(sum, 0.0);
                }
            for (int64_t a = 0; a < k; a++)
                for (int64_t b = 0; b < a; b++)
                    equal += !memcmp(w + a * c, w + b * c, sizeof *w * (size_t)c);
            CU_ASSERT_EQUAL(equal, 0);
        }
}

/* The first outputs of each group are the identity, the others what the formula says. */
static void dirac_first(void) {
    static float w[2 * 2 * 3 * 3 * 8], rest[2 * 2 * 3 * 3 * 8];
    for (uint32_t groups = 1; groups <= 2; groups++)
        for (int kind = 0; kind < 3; kind++) {
            static const zn_formula_kind kinds[] = {ZN_FORMULA_NORMAL, ZN_FORMULA_PALEY, ZN_FORMULA_CONST};
            zn_formula f = {.kind = kinds[kind], .a = 0.5f, .dirac = groups}, plain = f;
            int64_t in = 3, out = 8, dim[4] = {3, 3, in, out};
            plain.dirac = 0;
            zn_formula_eval(&f, 4, dim, "w", 1, w);
            zn_formula_eval(&plain, 4, dim, "w", 1, rest);
            for (int64_t i = 0; i < 9 * in * out; i++) {
                int64_t o = i % out % (out / groups), c = i / out % in, tap = i / out / in;
                float truth = o < in ? (float)(tap == 4 && c == o) : rest[i];
                CU_ASSERT_EQUAL(w[i], truth);
            }
        }
}

/* centre: a from every input to every output, in the middle tap only. */
static void centre_tap(void) {
    float w[3 * 5 * 2 * 3];
    zn_formula f = {.kind = ZN_FORMULA_CENTRE, .a = 0.5f};
    zn_formula_eval(&f, 4, (int64_t[4]){3, 5, 2, 3}, "w", 1, w);
    for (int i = 0; i < 3 * 5 * 2 * 3; i++)
        CU_ASSERT_EQUAL(w[i], i / 6 == 7 ? 0.5f : 0.0f);
}

/* ---- distributions */

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov at a fixed seed: sqrt(n) times the largest distance of the distribution functions passes 1.63
 * for one seed in a hundred. */
static void kolmogorov_smirnov(void) {
    enum { N = 100000 };
    static float x[N];
    for (int kind = 0; kind < 2; kind++) {
        zn_formula f = {.kind = kind ? ZN_FORMULA_UNIFORM : ZN_FORMULA_NORMAL, .a = 0.25f};
        zn_formula_eval(&f, 2, (int64_t[2]){250, 400}, "stage1.0.conv1.weight", 1, x);
        qsort(x, N, sizeof *x, ascending);
        double largest = 0;
        for (int i = 0; i < N; i++) {
            double t = (double)x[i] / 0.25, p = kind ? (t + 1) / 2 : 0.5 * erfc(-t / sqrt(2));
            largest = fmax(largest, fmax(fabs(p - (double)i / (double)N), fabs(p - (double)(i + 1) / (double)N)));
        }
        CU_ASSERT_TRUE(sqrt((double)N) * largest < 1.63);
        CU_ASSERT_TRUE(largest > 1e-5);
    }
}

/* ---- Jacobians: values and derivatives along one direction, through @forward, in double precision */

typedef struct dual {
    double *x, *d;
} dual;

static double *numbers(const zn_type *t) {
    double *x = calloc((size_t)zn_type_count(t), sizeof *x);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    return x;
}

static double *weight(const zn_value *v, const zn_module *m) {
    const zn_param *p = zn_param_find(m, zn_attr_of(v, PARAM, name)->s);
    int64_t n = zn_type_count(&p->type);
    float *w = malloc(sizeof *w * (size_t)n);
    double *x = numbers(&p->type);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    zn_formula_eval(&p->init, p->type.rank, p->type.dim, p->name, 1, w);
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)w[i];
    free(w);
    return x;
}

static void conv(const zn_value *v, const double *x, const double *w, double *y) {
    const zn_type *in = &v->operand[0]->type, *k = &v->operand[1]->type;
    const int64_t *stride = zn_attr_of(v, CONV, stride)->v, *pad = zn_attr_of(v, CONV, pad)->v;
    for (int64_t i = 0; i < v->type.dim[1]; i++)
        for (int64_t j = 0; j < v->type.dim[2]; j++)
            for (int64_t a = 0; a < k->dim[0]; a++)
                for (int64_t b = 0; b < k->dim[1]; b++) {
                    int64_t r = i * stride[0] + a - pad[0], s = j * stride[1] + b - pad[1];
                    if (r < 0 || s < 0 || r >= in->dim[1] || s >= in->dim[2])
                        continue;
                    for (int64_t c = 0; c < in->dim[3]; c++)
                        for (int64_t o = 0; o < v->type.dim[3]; o++)
                            y[(i * v->type.dim[2] + j) * v->type.dim[3] + o] +=
                                x[(r * in->dim[2] + s) * in->dim[3] + c] *
                                w[((a * k->dim[1] + b) * k->dim[2] + c) * k->dim[3] + o];
                }
}

/* Value and derivative of v, of those of its operands, for the operations that the networks below are made of. */
static void step(const zn_value *v, const zn_module *m) {
    const dual *a = v->operand[0]->note, *b = v->noperands > 2 ? v->operand[2]->note : NULL,
               *shortcut = v->op == ZN_OP_RESIDUAL ? v->operand[1]->note : NULL;
    dual *y = v->note;
    if (v->op == ZN_OP_CONV) {
        double *w = weight(v->operand[1], m);
        conv(v, a->x, w, y->x);
        conv(v, a->d, w, y->d);
        free(w);
        return;
    }
    for (int64_t i = 0; i < zn_type_count(&v->type); i++) {
        switch (v->op) {
        case ZN_OP_RELU:
            y->x[i] = fmax(a->x[i], 0);
            y->d[i] = a->x[i] > 0 ? a->d[i] : 0;
            break;
        case ZN_OP_BIAS: /* which starts at 0 */
            y->x[i] = a->x[i];
            y->d[i] = a->d[i];
            break;
        case ZN_OP_MUL_CONST:
            y->x[i] = a->x[i] * (double)zn_attr_of(v, MUL_CONST, value)->f;
            y->d[i] = a->d[i] * (double)zn_attr_of(v, MUL_CONST, value)->f;
            break;
        case ZN_OP_RESIDUAL:
            y->x[i] = shortcut->x[i] + b->x[i];
            y->d[i] = shortcut->d[i] + b->d[i];
            break;
        default:
            CU_FAIL_FATAL("an operation that this test does not know");
        }
    }
}

/* The columns of the Jacobian at a point are orthonormal: then all its singular values are 1. Computed one by one: J
 * for every unit vector; |J^T J - 1| bounds what singular values are from 1. */
static void isometry(const char *text, const char *start) {
    char set[64];
    snprintf(set, sizeof set, "init=%s", start);
    zn_module *m = tc_compile(text, set, 0, "init");
    zn_func *f = zn_func_find(m, "forward");
    const zn_value *x = f->args.at[0], *y = f->results.at[0];
    int64_t n = zn_type_count(&x->type), outs = zn_type_count(&y->type);
    double *j = malloc(sizeof *j * (size_t)(n * outs)), worst = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(j);
    for (int64_t k = 0; k < n; k++) {
        for (zn_value *v = f->first; v; v = v->next) {
            dual *own = malloc(sizeof *own);
            CU_ASSERT_PTR_NOT_NULL_FATAL(own);
            *own = (dual){numbers(&v->type), numbers(&v->type)};
            v->note = own;
            for (int64_t i = 0; v == x && i < n; i++)
                own->x[i] = sin((double)(3 * i + 1));
            if (v == x)
                own->d[k] = 1;
            else if (v->op != ZN_OP_PARAM)
                step(v, m);
        }
        memcpy(j + k * outs, ((dual *)y->note)->d, sizeof *j * (size_t)outs);
        for (zn_value *v = f->first; v; v = v->next) {
            dual *own = v->note;
            free(own->x);
            free(own->d);
            free(own);
            v->note = NULL;
        }
    }
    /* by Gershgorin, singular values' squares are within the largest row sum of J^T J - 1 of 1 */
    for (int64_t a = 0; a < n; a++) {
        double row = 0;
        for (int64_t b = 0; b < n; b++) {
            double sum = a == b ? -1 : 0;
            for (int64_t i = 0; i < outs; i++)
                sum += j[a * outs + i] * j[b * outs + i];
            row += fabs(sum);
        }
        worst = fmax(worst, row);
    }
    if (!(worst <= 1e-5))
        printf("%s: squares of singular values are up to %g from 1\n", start, worst);
    CU_ASSERT_TRUE(worst <= 1e-5);
    free(j);
    zn_module_free(m);
}

static void risotto_is_an_isometry(void) {
    static const char same[] = "block unit { residual { conv(10, 3) relu conv(10, 3) } relu }\n"
                               "model m { input x[3, 2, 4] conv(10, 3) relu unit unit unit }",
                      wider[] =
                          "block unit(c, hidden) { residual(shortcut = project) { conv(hidden, 1) relu conv(c, 3) } "
                          "relu }\nmodel m { input x[2, 2, 3] conv(6, 3) relu unit(6, 14) unit(12, 6) unit(20, 30) }",
                      padded[] = "model m { input x[2, 2, 3] conv(6, 3) relu residual(shortcut = pad, scale = 0.5) "
                                 "{ conv(8, 3) relu conv(16, 3) } relu }";
    isometry(same, "risotto");
    isometry(same, "risotto(type = B)");
    isometry(wider, "risotto");
    isometry(padded, "risotto(type = B)");
}

static void delta_orthogonal_is_an_isometry(void) {
    static const char text[] = "model m { input x[3, 2, 4] conv(5, 3) conv(5, 5) conv(12, 3) conv(12, 1) conv(13, 3) }";
    isometry(text, "delta_orthogonal");
}

#define TESTS(X)                                                                                                       \
    X(fixture)                                                                                                         \
    X(paley_orders)                                                                                                    \
    X(gold_and_paley_rows)                                                                                             \
    X(dirac_first)                                                                                                     \
    X(centre_tap)                                                                                                      \
    X(kolmogorov_smirnov)                                                                                              \
    X(risotto_is_an_isometry)                                                                                          \
    X(delta_orthogonal_is_an_isometry)
ZN_UNIT_MAIN("starts", TESTS)
