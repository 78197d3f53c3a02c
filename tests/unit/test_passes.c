/* What passes make of whole networks: the schemes' parameter counts and graphs, gradients of everything, simplification
 * and fusion. Small cases stand in tests/golden/pass. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "ir/module.h"
#include "passes/pass.h"
#include "tests/unit/compile.h"

/* ---- init */

static int64_t trained_of(const char *file, const char *set) {
    zn_module *m = tc_compile_file(file, set, 0, "init");
    int64_t n = tc_trained(m);
    zn_module_free(m);
    return n;
}

static void parameter_counts(void) {
    ZN_EQUAL_INT(trained_of("examples/resnet20.znet", "init=zero"), 272282);
    ZN_EQUAL_INT(trained_of("examples/resnet20.znet", "init=kaiming"), 269722);
    ZN_EQUAL_INT(trained_of("examples/resnet18.znet", "init=kaiming"), 11173962);
    ZN_EQUAL_INT(trained_of("examples/resnet18.znet", "init=zero"), 11172170);
    ZN_EQUAL_INT(trained_of("examples/resnet50.znet", "init=kaiming"), 23528522);
}

static int distinct_values(const zn_param *p) {
    size_t n = (size_t)zn_type_count(&p->type);
    float *x = malloc(n * sizeof *x), seen[3];
    int count = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    zn_formula_eval(&p->init, p->type.rank, p->type.dim, p->name, 1, x);
    for (size_t i = 0; i < n && count < 3; i++) {
        int k = 0;
        while (k < count && memcmp(&seen[k], &x[i], sizeof x[i]))
            k++;
        if (k == count)
            seen[count++] = x[i];
    }
    free(x);
    return count;
}

/* Is v made of x by one norm and one activation? */
static bool norm_and_relu_of(const zn_value *v, const zn_value *x) {
    return v->op == ZN_OP_BN && v->operand[0]->op == ZN_OP_RELU && v->operand[0]->operand[0] == x;
}

/* science: the authors' CIFAR network. Stem conv(x) + H(pad(x)); in a block, u = bn(relu(x)), h = conv1(u) + s and
 * y = conv2(bn(relu(h))) + h, with s = x, or H(conv1x1(u)) where the shape changes. */
static const char preactivation[] = "block basic(width, stride = 1) {\n"
                                    "  residual(shortcut = project) {\n"
                                    "    relu bn conv(width, 3, stride = stride)\n"
                                    "    relu bn conv(width, 3)\n"
                                    "  }\n"
                                    "}\n"
                                    "model net {\n"
                                    "  input image[32, 32, 3]\n"
                                    "  conv(64, 3) relu bn\n"
                                    "  stage1: repeat 2 { basic(64) }\n"
                                    "  stage2: repeat 2 as i { basic(128, stride = i == 0 ? 2 : 1) }\n"
                                    "  stage3: repeat 2 as i { basic(256, stride = i == 0 ? 2 : 1) }\n"
                                    "  stage4: repeat 2 as i { basic(512, stride = i == 0 ? 2 : 1) }\n"
                                    "  relu bn avgpool\n"
                                    "  head: linear(10)\n"
                                    "}\n";

static void the_authors_graph(void) {
    zn_module *m = tc_compile(preactivation, "init=zero", 0, "init");
    zn_func *f = zn_func_find(m, "forward");
    ZN_EQUAL_INT(tc_count(f, ZN_OP_CONV), 1 + 16 + 3);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_HADAMARD), 1 + 3);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_PAD_CHANNELS), 1);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_RESIDUAL), 1 + 16);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_BN), 1 + 16 + 1);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_MATMUL), 1);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_SUBSAMPLE), 0);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_ADD), 0);
    int k = 0, projected = 0;
    for (zn_value *v = f->first; v; v = v->next) {
        if (v->op == ZN_OP_RELU)
            ZN_EQUAL_INT(zn_attr_of(v, RELU, at_zero)->i, 1);
        if (v->op != ZN_OP_RESIDUAL)
            continue;
        zn_value *start = v->operand[0], *skip = v->operand[1], *conv = v->operand[2];
        ZN_EQUAL_INT(conv->op, ZN_OP_CONV);
        const zn_param *w = tc_param(m, zn_attr_of(conv->operand[1], PARAM, name)->s);
        CU_ASSERT_TRUE(w->init.kind == ZN_FORMULA_CONST && w->init.a == 0);
        ZN_EQUAL_INT(w->type.dim[0], 3);
        if (k++ == 0) { /* the stem */
            ZN_EQUAL_INT(skip->op, ZN_OP_HADAMARD);
            ZN_EQUAL_INT(skip->operand[0]->op, ZN_OP_PAD_CHANNELS);
            CU_ASSERT_PTR_EQUAL(skip->operand[0]->operand[0], f->args.at[0]);
        } else if (skip->op == ZN_OP_HADAMARD) {
            zn_value *p = skip->operand[0];
            const zn_param *pw = tc_param(m, zn_attr_of(p->operand[1], PARAM, name)->s);
            projected++;
            ZN_EQUAL_INT(p->op, ZN_OP_CONV);
            CU_ASSERT_TRUE(pw->init.kind == ZN_FORMULA_IDENTITY && pw->type.dim[0] == 1 && pw->type.dim[1] == 1);
            ZN_EQUAL_INT(zn_attr_of(p, CONV, stride)->v[0], 2);
            CU_ASSERT_PTR_EQUAL(p->operand[0], conv->operand[0]); /* u, after the norm and the activation */
        } else {
            CU_ASSERT_PTR_EQUAL(skip, start);
            CU_ASSERT_TRUE(norm_and_relu_of(conv->operand[0], skip)); /* x, before them */
        }
    }
    ZN_EQUAL_INT(projected, 3);
    for (const zn_param *p = m->params; p; p = p->next)
        if (zn_role_trained(p->role)) {
            int n = distinct_values(p);
            if (n > 2)
                printf("%s starts with more than two values\n", p->name);
            CU_ASSERT_TRUE(n <= 2);
        }
    const zn_param *head = tc_param(m, "head.weight");
    CU_ASSERT_TRUE(head->init.kind == ZN_FORMULA_CONST && head->init.a == 0);
    zn_module_free(m);
}

/* science: the authors' ImageNet network, here with [1, 2, 1, 1] blocks. */
static const char bottlenecks[] = "block bottleneck(width, stride = 1) {\n"
                                  "  residual(shortcut = project) {\n"
                                  "    relu bn conv(width, 1)\n"
                                  "    relu bn conv(width, 3, stride = stride)\n"
                                  "    relu bn conv(4 * width, 1)\n"
                                  "  }\n"
                                  "}\n"
                                  "model net {\n"
                                  "  input image[64, 64, 3]\n"
                                  "  conv(64, 7, stride = 2) maxpool(3, stride = 2, pad = same) relu bn\n"
                                  "  stage1: repeat 1 { bottleneck(64) }\n"
                                  "  stage2: repeat 2 as i { bottleneck(128, stride = i == 0 ? 2 : 1) }\n"
                                  "  stage3: repeat 1 { bottleneck(256, stride = 2) }\n"
                                  "  stage4: repeat 1 { bottleneck(512, stride = 2) }\n"
                                  "  relu bn avgpool\n"
                                  "  head: linear(10)\n"
                                  "}\n";

static void the_authors_bottlenecks(void) {
    zn_module *m = tc_compile(bottlenecks, "init=zero", 0, "init");
    zn_func *f = zn_func_find(m, "forward");
    ZN_EQUAL_INT(tc_count(f, ZN_OP_CONV), 1 + 5 * 3 + 4);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_HADAMARD), 1 + 4);
    ZN_EQUAL_INT(tc_count(f, ZN_OP_RESIDUAL), 1 + 5 * 2); /* the stem; around each 3x3 and around each block */
    ZN_EQUAL_INT(tc_count(f, ZN_OP_SUBSAMPLE), 3);        /* inner skips with a stride */
    for (const zn_param *p = m->params; p; p = p->next) {
        if (p->role != ZN_ROLE_WEIGHT)
            continue;
        size_t n = strlen(p->name);
        bool reduces = n > 12 && !strcmp(p->name + n - 12, "conv1.weight") && strchr(p->name, '.') != p->name + 5;
        bool skip = strstr(p->name, "skip") != NULL;
        ZN_EQUAL_INT(p->init.kind, reduces || skip ? ZN_FORMULA_IDENTITY : ZN_FORMULA_CONST);
        CU_ASSERT_TRUE(distinct_values(p) <= 2);
    }
    zn_module_free(m);
}

static void starts_at_zero(const zn_module *m, const char *name) {
    const zn_param *p = tc_param(m, name);
    CU_ASSERT_TRUE(p->init.kind == ZN_FORMULA_CONST && p->init.a == 0);
}

static void weights_variant(void) {
    zn_module *m = tc_compile_file("examples/resnet18.znet", "init=zero(variant = weights)", 0, "init");
    zn_func *f = zn_func_find(m, "forward");
    ZN_EQUAL_INT(tc_count(f, ZN_OP_HADAMARD), 0); /* no structure changes */
    ZN_EQUAL_INT(tc_count(f, ZN_OP_RESIDUAL), 8);
    ZN_EQUAL_INT(tc_trained(m), 11173962);
    const zn_param *stem = tc_param(m, "conv1.weight"), *wider = tc_param(m, "stage2.0.conv1.weight"),
                   *same = tc_param(m, "stage1.0.conv1.weight"), *cut = tc_param(m, "stage2.0.shortcut1.conv1.weight"),
                   *head = tc_param(m, "head.weight");
    CU_ASSERT_TRUE(stem->init.kind == ZN_FORMULA_HADAMARD && stem->init.a == 0.125f);
    CU_ASSERT_TRUE(wider->init.kind == ZN_FORMULA_HADAMARD && fabsf(wider->init.a - 0.08838835f) < 1e-8f);
    CU_ASSERT_TRUE(same->init.kind == ZN_FORMULA_IDENTITY);
    CU_ASSERT_TRUE(cut->init.kind == ZN_FORMULA_HADAMARD);
    CU_ASSERT_TRUE(head->init.kind == ZN_FORMULA_IDENTITY);
    starts_at_zero(m, "stage1.0.conv2.weight");
    starts_at_zero(m, "stage2.0.conv2.weight");
    starts_at_zero(m, "stage4.1.conv2.weight");
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_RELU)
            ZN_EQUAL_INT(zn_attr_of(v, RELU, at_zero)->i, 0);
    zn_module_free(m);
}

static double squared_norm(const zn_param *p) {
    size_t n = (size_t)zn_type_count(&p->type);
    float *x = malloc(n * sizeof *x);
    double sum = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    zn_formula_eval(&p->init, p->type.rank, p->type.dim, p->name, 1, x);
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    free(x);
    return sum;
}

/* The paper's MNIST network: I, c I* H I*, I, I*. Every one of the 784 columns of the second weight has squared norm
 * 2048 c^2: 2 with the constant that the paper prints, 1 with the orthonormal one. */
static void the_papers_scale(void) {
    static const char mlp[] = "model net {\n  input image[784]\n"
                              "  a: linear(784, bias = false) relu\n  b: linear(2048, bias = false) relu\n"
                              "  c: linear(2048, bias = false) relu\n  d: linear(10, bias = false)\n}\n";
    zn_module *paper = tc_compile(mlp, "init=zero(variant = weights, scale = paper)", 0, "init"),
              *ours = tc_compile(mlp, "init=zero(variant = weights)", 0, "init");
    CU_ASSERT_EQUAL(tc_param(paper, "b.weight")->init.a, 0.03125f);
    CU_ASSERT_DOUBLE_EQUAL(squared_norm(tc_param(paper, "b.weight")), 2 * 784, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(squared_norm(tc_param(ours, "b.weight")), 784, 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(squared_norm(tc_param(paper, "a.weight")), 784, 0);
    CU_ASSERT_DOUBLE_EQUAL(squared_norm(tc_param(paper, "c.weight")), 2048, 0);
    CU_ASSERT_DOUBLE_EQUAL(squared_norm(tc_param(paper, "d.weight")), 10, 0);
    zn_module_free(paper);
    zn_module_free(ours);
}

static void kaiming_formulas(void) {
    zn_module *m = tc_compile_file("examples/resnet20.znet", "init=kaiming", 0, "init");
    const zn_param *w = tc_param(m, "stage1.0.conv1.weight"), *b = tc_param(m, "head.bias"),
                   *h = tc_param(m, "head.weight"), *scale = tc_param(m, "stage1.0.bn1.weight");
    CU_ASSERT_TRUE(w->init.kind == ZN_FORMULA_NORMAL && fabs((double)w->init.a - sqrt(2.0 / (9 * 16))) < 1e-7);
    CU_ASSERT_TRUE(h->init.kind == ZN_FORMULA_UNIFORM && h->init.a == 0.125f);
    CU_ASSERT_TRUE(b->init.kind == ZN_FORMULA_UNIFORM && b->init.a == 0.125f);
    CU_ASSERT_TRUE(scale->init.kind == ZN_FORMULA_CONST && scale->init.a == 1);
    zn_module_free(m);
}

/* What a start says of a weight, and what is drawn: 147456 numbers, whose mean and second moment lie within 5 standard
 * errors of their expectations (each is missed by a right program once in 1.7 million seeds; the seed is fixed). */
static void drawn(const char *start, const char *name, bool is_uniform, double deviation) {
    enum { N = 147456 };
    static float w[N];
    const double count = N;
    char set[80];
    snprintf(set, sizeof set, "init=%s", start);
    zn_module *m = tc_compile("model m { input x[6, 6, 128] a: conv(128, 3) b: conv(64, 1, stride = 2) flatten c: "
                              "linear(256) }",
                              set, 0, "init");
    const zn_param *p = tc_param(m, name);
    int64_t n = zn_type_count(&p->type);
    double a = is_uniform ? sqrt(3) * deviation : deviation, sum = 0, squares = 0, largest = 0;
    ZN_EQUAL_INT(p->init.kind, is_uniform ? ZN_FORMULA_UNIFORM : ZN_FORMULA_NORMAL);
    CU_ASSERT_TRUE(fabs((double)p->init.a - a) <= 1e-7 * a);
    CU_ASSERT_TRUE_FATAL(n == N);
    zn_formula_eval(&p->init, p->type.rank, p->type.dim, name, 1, w);
    for (int i = 0; i < N; i++) {
        double x = (double)w[i] / deviation;
        sum += x / count;
        squares += x * x / count;
        largest = fabs(x) > largest ? fabs(x) : largest;
    }
    double fourth = is_uniform ? 1.8 : 3; /* kurtosis */
    CU_ASSERT_TRUE(fabs(sum) < 5 / sqrt(count));
    CU_ASSERT_TRUE(fabs(squares - 1) < 5 * sqrt((fourth - 1) / count));
    /* the limit of a uniform one is exact, and (1 - 1e-4)^N = 4e-7; the largest normal one passes 6.2 in one of 12 000
     * seeds, and stays below 3.8 in none */
    CU_ASSERT_TRUE(is_uniform ? largest * deviation <= (double)p->init.a && largest > sqrt(3) * (1 - 1e-4)
                              : largest > 3.8 && largest < 6.2);
    CU_ASSERT_TRUE(tc_param(m, "c.bias")->init.kind == ZN_FORMULA_CONST && tc_param(m, "c.bias")->init.a == 0);
    zn_module_free(m);
}

static void variance_starts(void) {
    double xavier = sqrt(2.0 / (9 * 128 + 9 * 128)), lecun = sqrt(1.0 / (9 * 128)), linear = 9 * 64;
    drawn("xavier", "a.weight", false, xavier);
    drawn("xavier(distribution = uniform, gain = 1.5)", "a.weight", true, 1.5 * xavier);
    drawn("xavier(uniform)", "c.weight", true, sqrt(2 / (linear + 256)));
    drawn("lecun(gain = 0.5)", "a.weight", false, 0.5 * lecun);
    drawn("lecun(distribution = uniform)", "a.weight", true, lecun);
    drawn("lecun", "c.weight", false, sqrt(1 / linear));
    drawn("kaiming(linear = same)", "a.weight", false, sqrt(2.0 / (9 * 128)));
    drawn("kaiming(linear = same)", "c.weight", false, sqrt(2.0 / 256));
    drawn("kaiming(uniform, fan_in, gain = 1, linear = same)", "c.weight", true, sqrt(1 / linear));
    drawn("normal(sqrt(2 / (fan_in + fan_out)))", "c.weight", false, sqrt(2 / (linear + 256)));
    drawn("uniform(3 / sqrt(fan_in) - 1 / sqrt(4 * fan_in))", "a.weight", true, 2.5 / sqrt(9 * 128) / sqrt(3));
    drawn("fractional_moment(0.5)", "c.weight", false, sqrt(1 / linear + 1.5 / (2 * linear * linear)));
    drawn("dirac(rest = lecun)", "c.weight", false, sqrt(1 / linear));
    zn_module *m = tc_compile("model m { input x[4] a: linear(8) }", "init=xavier(uniform, gain = 2)", 0, "init");
    ZN_EQUAL_STR(zn_conf_str(m, "init.text", ""), "xavier(distribution = uniform, gain = 2.0)");
    zn_module_free(m);
}

/* ---- grad */

static bool stores(const zn_func *f, const char *name) {
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_STORE && !strcmp(zn_attr_of(v, STORE, name)->s, name))
            return true;
    return false;
}

static void every_parameter_is_updated(void) {
    zn_module *m = tc_compile_file("examples/resnet20.znet", "init=zero", 0, "update");
    zn_func *train = zn_func_find(m, "train_step"), *eval = zn_func_find(m, "eval_step");
    CU_ASSERT_PTR_NOT_NULL_FATAL(train);
    CU_ASSERT_PTR_NOT_NULL_FATAL(eval);
    for (const zn_param *p = m->params; p; p = p->next) {
        bool stored = stores(train, p->name);
        if (!stored)
            printf("%s is never updated\n", p->name);
        CU_ASSERT_TRUE(stored);
        bool state = p->role == ZN_ROLE_MOMENTUM;
        ZN_EQUAL_INT(strstr(p->name, ".momentum") != NULL, state);
        CU_ASSERT_EQUAL(p->decay != 0, p->role == ZN_ROLE_WEIGHT);
    }
    ZN_EQUAL_INT(tc_count(eval, ZN_OP_STORE), 0);
    ZN_EQUAL_INT(tc_count(eval, ZN_OP_BN_STATS), 0);
    ZN_EQUAL_INT(tc_count(eval, ZN_OP_BN), 0);
    ZN_EQUAL_INT(tc_count(train, ZN_OP_BN_INFER), 0);
    ZN_EQUAL_INT(tc_count(train, ZN_OP_RESIDUAL), 0);
    ZN_EQUAL_INT(tc_count(train, ZN_OP_BN_STATS), tc_count(eval, ZN_OP_BN_INFER));
    ZN_EQUAL_INT(tc_count(train, ZN_OP_HYPER), 1);
    zn_module_free(m);
}

/* ---- simplify and fuse */

static void simplify_twice_is_once(void) {
    zn_module *m = tc_compile_file("examples/resnet20_pre.znet", "init=zero", 1, NULL);
    zn_buf once = {0}, twice = {0};
    zn_pass_ctx ctx = {0};
    zn_module_print(m, &once);
    CU_ASSERT_TRUE(zn_pass_simplify(m, &ctx));
    zn_module_print(m, &twice);
    CU_ASSERT_STRING_EQUAL(zn_buf_str(&once), zn_buf_str(&twice));
    zn_buf_free(&once);
    zn_buf_free(&twice);
    zn_module_free(m);
}

static void bias_and_relu_join_the_product(void) {
    static const char mlp[] = "model net {\n  input x[8]\n  linear(16) relu\n  linear(4)\n}\n"
                              "data { source = noise(2, 2, 2, 4, 40) }\n"
                              "train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 4 epochs = 1 }\n";
    zn_module *m = tc_compile(mlp, "init=kaiming", 2, NULL);
    for (zn_func *f = m->funcs; f; f = f->next) {
        int seen = 0;
        if (!strcmp(f->name, "forward"))
            continue;
        for (zn_value *v = f->first; v; v = v->next) {
            if (v->op == ZN_OP_BIAS || v->op == ZN_OP_RELU) {
                CU_ASSERT_TRUE(v->group >= 0);
                ZN_EQUAL_INT(v->group, v->operand[0]->group);
                seen++;
            }
        }
        ZN_EQUAL_INT(seen, 3);
    }
    zn_module_free(m);
}

/* Values of one group are computed together: nothing a group needs from outside may depend on the group. */
static bool reaches(const zn_value *v, int group) {
    if (v->group == group)
        return true;
    for (int i = 0; i < v->noperands; i++)
        if (v->operand[i]->note != v && reaches(v->operand[i], group))
            return true;
    return false;
}

static void groups_have_no_cycles(void) {
    zn_module *m = tc_compile_file("tests/numeric/nets/conv_zero.znet", NULL, 2, NULL);
    int inside = 0;
    for (zn_func *f = m->funcs; f; f = f->next)
        for (zn_value *v = f->first; v && strcmp(f->name, "forward"); v = v->next)
            for (int i = 0; i < v->noperands && v->group >= 0; i++) {
                const zn_value *u = v->operand[i];
                inside += u->group == v->group;
                if (u->group == v->group)
                    continue;
                bool back = false;
                for (int j = 0; j < u->noperands; j++)
                    back = back || reaches(u->operand[j], v->group);
                if (back)
                    printf("@%s: %s %%%d needs its own kernel through %%%d\n", f->name, zn_op_table[v->op].text, v->id,
                           u->id);
                CU_ASSERT_FALSE(back);
            }
    CU_ASSERT_TRUE(inside > 20); /* something was fused */
    zn_module_free(m);
}

#define TESTS(X)                                                                                                       \
    X(parameter_counts)                                                                                                \
    X(the_authors_graph)                                                                                               \
    X(the_authors_bottlenecks)                                                                                         \
    X(weights_variant)                                                                                                 \
    X(the_papers_scale)                                                                                                \
    X(kaiming_formulas)                                                                                                \
    X(variance_starts)                                                                                                 \
    X(every_parameter_is_updated) X(simplify_twice_is_once) X(bias_and_relu_join_the_product) X(groups_have_no_cycles)
ZN_UNIT_MAIN("passes", TESTS)
