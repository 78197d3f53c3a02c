/* The front end: names of parameters, the bias rule, paddings, options of the command line, expressions, shapes,
 * shortcuts, configuration. Errors have golden tests; here is what a good file means. */
#include "frontend/frontend.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

static const zn_frontend_options none;

static zn_module *compile_with(const char *text, const zn_frontend_options *o) {
    zn_diags d = {0};
    zn_module *m = zn_frontend_compile(text, strlen(text), o, &d);
    for (const zn_diag *x = d.first; x; x = x->next)
        fprintf(stderr, "\n  %u:%u %s", x->at.line, x->at.col, x->msg);
    zn_diags_free(&d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    return m;
}
static zn_module *compile(const char *text) {
    return compile_with(text, &none);
}

/* A model of an image with this body. */
static zn_module *body(const char *text) {
    static char file[4096];
    snprintf(file, sizeof file, "model m { input x[8, 8, 4] %s }", text);
    return compile(file);
}

static bool has(const zn_module *m, const char *name) {
    return zn_param_find(m, name) != NULL;
}

static const zn_value *find_op(const zn_module *m, zn_op op, int nth) {
    const zn_func *f = zn_func_find(m, "forward");
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op == op && nth-- == 0)
            return v;
    return NULL;
}

static const zn_value *result(const zn_module *m) {
    return zn_func_find(m, "forward")->results.at[0];
}

/* The code of the only error, or "" if there are none or several. */
static const char *only_error(const char *text, const zn_frontend_options *o) {
    zn_diags d = {0};
    zn_module *m = zn_frontend_compile(text, strlen(text), o, &d);
    zn_diags_sort(&d);
    const char *code = d.errors == 1 ? zn_diag_table[d.first->id].code : "";
    CU_ASSERT_PTR_NULL(m);
    zn_diags_free(&d);
    return code;
}

/* The number that an expression gives, as the width of a layer. */
static int64_t value_of(const char *expr) {
    static char file[4096];
    snprintf(file, sizeof file, "let list = [16, 32, 64] let v = %s model m { input x[1] linear(v + 0 * len(list)) }",
             expr);
    zn_module *m = compile(file);
    int64_t x = result(m)->type.dim[1];
    zn_module_free(m);
    return x;
}

static void parameter_names(void) {
    zn_module *m = compile("block unit(w) { residual { conv(w, 3) bn relu conv(w, 3) bn } relu }\n"
                           "model m { input x[8, 8, 4]\n"
                           "  conv(4, 3) batchnorm stage: repeat 2 { unit(4) inner: unit(4) } repeat 1 { conv(4, 1) }\n"
                           "  repeat 2 { repeat 1 { conv(4, 1) } } avgpool linear(6) head: linear(5) }");
    static const char *const names[] = {"conv1.weight",
                                        "bn1.weight",
                                        "bn1.bias",
                                        "bn1.running_mean",
                                        "bn1.running_var",
                                        "stage.0.conv1.weight",
                                        "stage.0.conv2.weight",
                                        "stage.0.bn2.bias",
                                        "stage.1.conv2.weight",
                                        "stage.1.inner.conv1.weight",
                                        "stage.1.inner.bn2.running_var",
                                        "repeat1.0.conv1.weight",
                                        "repeat2.0.repeat1.0.conv1.weight",
                                        "repeat2.1.repeat1.0.conv1.weight",
                                        "linear1.weight",
                                        "linear1.bias",
                                        "head.weight",
                                        "head.bias"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!has(m, names[i]))
            fprintf(stderr, "\n  no %s", names[i]);
        CU_ASSERT_TRUE(has(m, names[i]));
    }
    CU_ASSERT_FALSE(has(m, "linear2.weight"));
    CU_ASSERT_STRING_EQUAL(m->params->name, "conv1.weight");
    zn_module_free(m);
}

static void parameter_roles(void) {
    zn_module *m = compile("model m { input x[4] linear(3) bn linear(2) } data { source = noise(1, 1, 4, 2, 10) }\n"
                           "train { loss = cross_entropy optimizer = sgd lr = 0.1 decay = 0.5 batch = 10 epochs = 1 }");
    const zn_param *w = zn_param_find(m, "linear1.weight"), *s = zn_param_find(m, "bn1.weight");
    CU_ASSERT_EQUAL(w->role, ZN_ROLE_WEIGHT);
    CU_ASSERT_EQUAL(w->decay, 0.5f);
    CU_ASSERT_EQUAL(w->type.dim[0], 4);
    CU_ASSERT_EQUAL(w->type.dim[1], 3);
    CU_ASSERT_EQUAL(s->role, ZN_ROLE_NORM_SCALE);
    CU_ASSERT_EQUAL(s->decay, 0);
    CU_ASSERT_EQUAL(s->init.a, 1);
    CU_ASSERT_EQUAL(zn_param_find(m, "bn1.running_var")->init.a, 1);
    CU_ASSERT_EQUAL(zn_param_find(m, "bn1.running_mean")->role, ZN_ROLE_RUNNING_MEAN);
    CU_ASSERT_EQUAL(zn_param_find(m, "linear2.bias")->role, ZN_ROLE_BIAS);
    CU_ASSERT_EQUAL(zn_param_find(m, "linear2.bias")->decay, 0);
    CU_ASSERT_EQUAL(result(m)->type.dim[0], 10);
    zn_module_free(m);
}

static void bias_rule(void) {
    zn_module *m = body("a: conv(4, 3) bn b: conv(4, 3) relu dropout(0.5) bn c: conv(4, 3) relu d: conv(4, 3)\n"
                        "residual { bn relu e: conv(4, 3) } residual { f: conv(4, 3) relu g: conv(4, 3) }\n"
                        "residual { h: conv(4, 3) bn i: conv(4, 3) } bn j: conv(4, 3) relu k: conv(4, 3)");
    CU_ASSERT_FALSE(has(m, "a.bias")); /* a norm follows */
    CU_ASSERT_FALSE(has(m, "b.bias")); /* behind activation and dropout */
    CU_ASSERT_TRUE(has(m, "c.bias"));
    CU_ASSERT_TRUE(has(m, "d.bias"));  /* a norm inside of the next residual does not count */
    CU_ASSERT_FALSE(has(m, "e.bias")); /* in a branch the one before counts */
    CU_ASSERT_TRUE(has(m, "f.bias"));
    CU_ASSERT_TRUE(has(m, "g.bias"));
    CU_ASSERT_FALSE(has(m, "h.bias"));
    CU_ASSERT_FALSE(has(m, "i.bias"));
    CU_ASSERT_TRUE(has(m, "j.bias")); /* outside of a branch it does not */
    zn_module_free(m);
}

static void bias_of_last_layer(void) {
    zn_module *m = body("a: conv(4, 3) bn b: conv(4, 3) bn");
    CU_ASSERT_FALSE(has(m, "a.bias"));
    CU_ASSERT_TRUE(has(m, "b.bias"));
    zn_module_free(m);
    m = body("a: conv(4, 3, bias = true) bn b: conv(4, 3, bias = false)");
    CU_ASSERT_TRUE(has(m, "a.bias"));
    CU_ASSERT_FALSE(has(m, "b.bias"));
    zn_module_free(m);
}

static void check_pad(const char *layer, zn_op op, int64_t top, int64_t bottom, int64_t out) {
    zn_module *m = body(layer);
    const zn_value *v = find_op(m, op, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    const zn_attr *pad = op == ZN_OP_CONV      ? zn_attr_of(v, CONV, pad)
                         : op == ZN_OP_MAXPOOL ? zn_attr_of(v, MAXPOOL, pad)
                                               : zn_attr_of(v, AVGPOOL, pad);
    CU_ASSERT_EQUAL(pad->v[0], top);
    CU_ASSERT_EQUAL(pad->v[1], top);
    CU_ASSERT_EQUAL(pad->v[2], bottom);
    CU_ASSERT_EQUAL(pad->v[3], bottom);
    CU_ASSERT_EQUAL(v->type.dim[1], out);
    CU_ASSERT_EQUAL(v->type.dim[2], out);
    zn_module_free(m);
}

static void paddings(void) {
    check_pad("conv(4, 3)", ZN_OP_CONV, 1, 1, 8);
    check_pad("conv(4, 3, stride = 2)", ZN_OP_CONV, 1, 0, 4);
    check_pad("conv(4, 5, stride = 3)", ZN_OP_CONV, 2, 1, 3);
    check_pad("conv(4, 1, stride = 2)", ZN_OP_CONV, 0, 0, 4);
    check_pad("conv(4, 3, pad = valid)", ZN_OP_CONV, 0, 0, 6);
    check_pad("conv(4, 3, stride = 2, pad = valid)", ZN_OP_CONV, 0, 0, 3);
    check_pad("conv(4, 11)", ZN_OP_CONV, 5, 5, 8);
    check_pad("maxpool(2)", ZN_OP_MAXPOOL, 0, 0, 4);
    check_pad("maxpool(3, 2, same)", ZN_OP_MAXPOOL, 1, 0, 4);
    check_pad("avgpool(3, stride = 1, pad = same)", ZN_OP_AVGPOOL, 1, 1, 8);
    check_pad("avgpool(3)", ZN_OP_AVGPOOL, 0, 0, 2);
}

static void shortcuts(void) {
    zn_module *m = body("s: repeat 1 { residual(shortcut = project) { conv(8, 3, stride = 2) bn } residual(shortcut = "
                        "project) { conv(8, 3) } }");
    const zn_value *r = find_op(m, ZN_OP_RESIDUAL, 0);
    CU_ASSERT_TRUE(has(m, "s.0.shortcut1.conv1.weight"));
    CU_ASSERT_FALSE(has(m, "s.0.shortcut1.conv1.bias"));
    CU_ASSERT_TRUE(has(m, "s.0.shortcut1.bn1.running_mean"));
    CU_ASSERT_FALSE(has(m, "s.0.shortcut2.conv1.weight")); /* arms agree: the identity */
    CU_ASSERT_STRING_EQUAL(r->path, "s.0");
    CU_ASSERT_STRING_EQUAL(zn_attr_of(r, RESIDUAL, policy)->s, "project");
    CU_ASSERT_EQUAL(r->operand[1]->op, ZN_OP_BN);
    CU_ASSERT_EQUAL(r->operand[2]->op, ZN_OP_BN);
    CU_ASSERT_EQUAL(r->operand[0]->op, ZN_OP_ARG);
    CU_ASSERT_EQUAL(zn_attr_of(r->operand[1]->operand[0], CONV, stride)->v[0], 2);
    r = find_op(m, ZN_OP_RESIDUAL, 1);
    CU_ASSERT_PTR_EQUAL(r->operand[0], r->operand[1]);
    zn_module_free(m);
    m = body("residual(shortcut = pad) { conv(8, 3, stride = 2) } residual(shortcut = pad) { conv(8, 3, stride = 2) }");
    CU_ASSERT_PTR_NOT_NULL(find_op(m, ZN_OP_SUBSAMPLE, 1));
    CU_ASSERT_PTR_NOT_NULL(find_op(m, ZN_OP_PAD_CHANNELS, 0));
    CU_ASSERT_PTR_NULL(find_op(m, ZN_OP_PAD_CHANNELS, 1));
    zn_module_free(m);
    m = compile("model m { input x[4] residual(shortcut = project) { linear(8) bn } residual(shortcut = pad) { "
                "linear(9) } linear(2) }");
    CU_ASSERT_TRUE(has(m, "shortcut1.linear1.weight"));
    CU_ASSERT_FALSE(has(m, "shortcut1.linear1.bias"));
    CU_ASSERT_TRUE(has(m, "shortcut1.bn1.weight"));
    CU_ASSERT_EQUAL(zn_attr_of(find_op(m, ZN_OP_PAD_CHANNELS, 0), PAD_CHANNELS, channels)->i, 9);
    zn_module_free(m);
}

static void layers(void) {
    zn_module *m =
        body("hadamard dropout(0) dropout(0.25) identity bn(1e-3, momentum = 0.2) maxpool(2) flatten linear(3)");
    const zn_value *v = find_op(m, ZN_OP_DROPOUT, 0);
    CU_ASSERT_STRING_EQUAL(zn_attr_of(v, DROPOUT, layer)->s, "dropout2");
    CU_ASSERT_PTR_NULL(find_op(m, ZN_OP_DROPOUT, 1));
    v = find_op(m, ZN_OP_BN, 0);
    CU_ASSERT_EQUAL(zn_attr_of(v, BN, eps)->f, 1e-3);
    CU_ASSERT_EQUAL(zn_attr_of(v, BN, momentum)->f, 0.2);
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_FLATTEN, 0)->type.dim[1], 64);
    CU_ASSERT_STRING_EQUAL(find_op(m, ZN_OP_ARG, 0)->name, "x");
    CU_ASSERT_EQUAL(zn_conf_int(m, "model.classes", 0), 3);
    zn_module_free(m);
}

static void spans(void) {
    zn_module *m = compile("model m {\n  input x[8, 8, 1]\n  c: conv(4, 3) relu\n}");
    const zn_value *v = find_op(m, ZN_OP_CONV, 0);
    CU_ASSERT_EQUAL(v->span.line, 3);
    CU_ASSERT_EQUAL(v->span.col, 6);
    CU_ASSERT_EQUAL(v->span.len, 10);
    CU_ASSERT_STRING_EQUAL(v->path, "c");
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_BIAS, 0)->span.col, 6);
    CU_ASSERT_STRING_EQUAL(find_op(m, ZN_OP_PARAM, 1)->path, "c");
    CU_ASSERT_STRING_EQUAL(zn_attr_of(find_op(m, ZN_OP_PARAM, 1), PARAM, name)->s, "c.bias");
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_RELU, 0)->span.len, 4);
    zn_module_free(m);
}

static void byte_order_mark(void) {
    zn_module *m = compile("\xef\xbb\xbf// made by an editor\nmodel m { input x[3] linear(2) }");
    CU_ASSERT_TRUE(result(m)->span.line == 2 && result(m)->span.col == 22);
    zn_module_free(m);
    m = compile("\xef\xbb\xbfmodel m { input x[3] linear(2) }");
    CU_ASSERT_TRUE(result(m)->span.line == 1 && result(m)->span.col == 22);
    zn_module_free(m);
}

static void expressions(void) {
    CU_ASSERT_EQUAL(value_of("1 + 2 * 3"), 7);
    CU_ASSERT_EQUAL(value_of("(1 + 2) * 3 - -2"), 11);
    CU_ASSERT_EQUAL(value_of("12 / 4 / 3"), 1);
    CU_ASSERT_EQUAL(value_of("div(-7, 2) + 10"), 6);
    CU_ASSERT_EQUAL(value_of("mod(-7, 3) + 10"), 12);
    CU_ASSERT_EQUAL(value_of("-7 % 3 + 10"), 12);
    CU_ASSERT_EQUAL(value_of("min(3, 1, 2) + max(3, 5, 4)"), 6);
    CU_ASSERT_EQUAL(value_of("abs(-5)"), 5);
    CU_ASSERT_EQUAL(value_of("log2(1) + log2(1024)"), 10);
    CU_ASSERT_EQUAL(value_of("ceil_log2(1025) + ceil_log2(1) + ceil_log2(2)"), 12);
    CU_ASSERT_EQUAL(value_of("ceil_log2(9223372036854775807)"), 63);
    CU_ASSERT_EQUAL(value_of("list[1] + len(list) + [7][0]"), 42);
    CU_ASSERT_EQUAL(value_of("sqrt(2) * sqrt(2) > 1.99 && sqrt(16) == 4 ? 1 : 2"), 1);
    CU_ASSERT_EQUAL(value_of("7.0 / 2 == 3.5 ? 1 : 2"), 1);
    CU_ASSERT_EQUAL(value_of("true || 1 / 0 == 1 ? 1 : 2"), 1);
    CU_ASSERT_EQUAL(value_of("!(1 < 2) || 2 >= 3 || \"a\" != \"a\" ? 1 : 2"), 2);
    CU_ASSERT_EQUAL(value_of("false ? 1 : false ? 2 : 3"), 3);
    CU_ASSERT_EQUAL(value_of("1_000"), 1000);
    CU_ASSERT_EQUAL(value_of("9223372036854775807 == 9223372036854775806 ? 1 : 2"), 2);
}

static void current_value(void) {
    zn_module *m = body("block_free: conv(2 * in.channels, 3, stride = 2) conv(in.height + in.width, 1) avgpool "
                        "linear(in.features + 1)");
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_CONV, 0)->type.dim[3], 8);
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_CONV, 1)->type.dim[3], 8);
    CU_ASSERT_EQUAL(result(m)->type.dim[1], 9);
    zn_module_free(m);
    m = compile(
        "block b(w = 2 * in.channels, h = w + 1) { conv(w, 1) conv(h, 1) } model m { input x[4, 4, 3] b b(h = 5) }");
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_CONV, 1)->type.dim[3], 7);
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_CONV, 2)->type.dim[3], 14);
    CU_ASSERT_EQUAL(result(m)->type.dim[3], 5);
    zn_module_free(m);
}

static void policies_as_strings(void) {
    zn_module *m = compile("param policy = \"pad\" block b(p) { residual(shortcut = p) { conv(8, 3) } } model m { "
                           "input x[4, 4, 3] b(policy) }");
    CU_ASSERT_PTR_NOT_NULL(find_op(m, ZN_OP_PAD_CHANNELS, 0));
    zn_module_free(m);
}

static void order_of_declarations(void) {
    zn_module *m = compile("model m { input x[4] b } block b { linear(c) } let c = d + 1 let d = 2");
    CU_ASSERT_EQUAL(result(m)->type.dim[1], 3);
    zn_module_free(m);
}

static const char experiment[] =
    "param width = 4 param rate = 0.5 param twice = 2 * width param on = true param policy = \"same\"\n"
    "model m { input x[28, 28, 1] conv(twice, 3, pad = policy) dropout(on ? rate : 0.0) flatten linear(10) }\n"
    "data { source = digits(seed = 7) }\n"
    "train { loss = cross_entropy(0.1) optimizer = sgd(0.9, nesterov = true) lr = cosine(rate, warmup = 0.5, end = "
    "0.01) batch = 50 epochs = 4 }";

static void defines(void) {
    static const char *const d[] = {"width=3", "rate=0.25", "width=6", "on=false", "policy=valid"};
    const zn_frontend_options o = {.ndefine = 5, .define = d};
    zn_module *m = compile_with(experiment, &o);
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_CONV, 0)->type.dim[3], 12); /* the last of two; params of params see it */
    CU_ASSERT_EQUAL(find_op(m, ZN_OP_CONV, 0)->type.dim[1], 26);
    CU_ASSERT_PTR_NULL(find_op(m, ZN_OP_DROPOUT, 0));
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.lr.value", 0), 0.25);
    zn_module_free(m);
    static const char *const bad[] = {"nothing=1"};
    CU_ASSERT_STRING_EQUAL(only_error(experiment, &(zn_frontend_options){.ndefine = 1, .define = bad}), "ZN0222");
}

/* What begins with a quote is a string as files write it; all else is the string itself. */
static void string_defines(void) {
    static const char *const text = "param s = \"none\"\n"
                                    "model m { input x[4] linear(s == \"none\" ? 1 : s == \"word\" ? 2 : s == "
                                    "\"a,\\\"b\\\\\" ? 3 : s == \"w\\\"\" ? 4 : s == \"\" ? 5 : 6) }";
    static const struct {
        const char *define;
        int64_t width;
    } good[] = {{"s=word", 2}, {"s=\"word\"", 2}, {"s=\"a,\\\"b\\\\\"", 3}, {"s=w\"", 4},  {"s=\"w\\\"\"", 4},
                {"s=\"\"", 5}, {"s=", 5},         {"s='word'", 6},          {"s=w\\\"", 6}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        zn_module *m = compile_with(text, &(zn_frontend_options){.ndefine = 1, .define = &good[i].define});
        CU_ASSERT_EQUAL(result(m)->type.dim[1], good[i].width);
        zn_module_free(m);
    }
    static const char *const bad[][2] = {
        {"s=\"word", "ZN0003"}, {"s=\"word\" + 1", "ZN0222"}, {"s=\"word\"word", "ZN0101"}, {"s=\"\\q\"", "ZN0006"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_STRING_EQUAL(only_error(text, &(zn_frontend_options){.ndefine = 1, .define = &bad[i][0]}), bad[i][1]);
}

static void set_options(void) {
    static const char *const s[] = {"train.lr=step(2 * width, at = [1, 2.5])",
                                    "train.seed=3",
                                    "init=zero(variant = weights, columns = spanning)",
                                    "train.epochs=9",
                                    "data.normalize=per_channel",
                                    "train.decay=1e-3"};
    const zn_frontend_options o = {.nset = 6, .set = s};
    zn_module *m = compile_with(experiment, &o);
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "train.lr.kind", ""), "step");
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.lr.value", 0), 8);
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.lr.factor", 0), 0.1);
    const zn_conf *at = zn_conf_get(m, "train.lr.at");
    CU_ASSERT_EQUAL(at->n, 2);
    CU_ASSERT_EQUAL(at->v[1], 2.5);
    CU_ASSERT_PTR_NULL(zn_conf_get(m, "train.lr.end"));
    CU_ASSERT_EQUAL(zn_conf_int(m, "train.seed", 0), 3);
    CU_ASSERT_EQUAL(zn_conf_int(m, "train.epochs", 0), 9);
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.normalize", ""), "per_channel");
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "init.text", ""), "zero(variant = weights, columns = spanning)");
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "init.head", ""), "identity");
    CU_ASSERT_EQUAL(zn_conf_int(m, "init.relu_at_zero", 9), 0);
    CU_ASSERT_EQUAL(zn_param_find(m, "conv1.weight")->decay, 1e-3f);
    zn_module_free(m);
}

/* What an option replaces still uses its names; what it adds may use others. */
static void set_keeps_names_used(void) {
    static const char text[] = "param lr = 0.1 model m { input x[784] linear(10) } data { source = digits }\n"
                               "train { loss = cross_entropy optimizer = sgd lr = lr batch = 10 epochs = 1 }";
    static const char *const s[] = {"train.lr=0.5"};
    zn_module *m = compile_with(text, &(zn_frontend_options){.nset = 1, .set = s});
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.lr.value", 0), 0.5);
    zn_module_free(m);
}

static void configuration(void) {
    zn_module *m = compile(experiment);
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.source", ""), "digits");
    CU_ASSERT_EQUAL(zn_conf_int(m, "data.seed", 0), 7);
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.normalize", ""), "none");
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.smoothing", 0), 0.1);
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.momentum", 0), 0.9);
    CU_ASSERT_TRUE(zn_conf_bool(m, "train.nesterov", false));
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "train.lr.kind", ""), "cosine");
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.lr.warmup", 0), 0.5);
    CU_ASSERT_EQUAL(zn_conf_float(m, "train.lr.end", 0), 0.01);
    CU_ASSERT_EQUAL(zn_conf_int(m, "train.batch", 0), 50);
    CU_ASSERT_EQUAL(zn_conf_int(m, "train.seed", 0), 1);
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "init.scheme", ""), "zero");
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "init.text", ""), "zero(variant = augment)");
    CU_ASSERT_EQUAL(zn_conf_int(m, "init.relu_at_zero", 9), 1);
    CU_ASSERT_EQUAL(result(m)->type.dim[0], 50);
    zn_module_free(m);
}

static void data_paths(void) {
    static const char text[] = "model m { input x[4, 4, 1] flatten linear(3) } data { source = idx(\"a\", \"/b\", "
                               "\"c/d\", \"e\") normalize = [[0.5], [2]] augment = [flip, crop(2)] }\n"
                               "train { loss = cross_entropy optimizer = sgd lr = 1 batch = 1 epochs = 1 }";
    zn_module *m = compile_with(text, &(zn_frontend_options){.dir = "/home"});
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.train_images", ""), "/home/a");
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.train_labels", ""), "/b");
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.test_images", ""), "/home/c/d");
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "data.normalize", ""), "given");
    CU_ASSERT_EQUAL(zn_conf_get(m, "data.deviation")->v[0], 2);
    CU_ASSERT_EQUAL(zn_conf_int(m, "data.crop", 0), 2);
    CU_ASSERT_TRUE(zn_conf_bool(m, "data.flip", false));
    zn_module_free(m);
}

static void check_only(void) {
    zn_module *m = compile("model m { input x[4] linear(3) }");
    CU_ASSERT_EQUAL(result(m)->type.dim[0], 1);
    CU_ASSERT_PTR_NULL(zn_conf_get(m, "train.batch"));
    CU_ASSERT_PTR_NULL(zn_conf_get(m, "data.source"));
    CU_ASSERT_STRING_EQUAL(zn_conf_str(m, "init.scheme", ""), "zero");
    zn_module_free(m);
}

static void modules_verify(void) {
    zn_module *m = compile("block unit(w, s) { residual(shortcut = project) { conv(w, 3, stride = s) bn relu "
                           "dropout(0.1) conv(w, 3) bn } relu }\n"
                           "model m { input x[17, 9, 3] unit(8, 2) unit(8, 1) maxpool(3, 2, same) hadamard avgpool(2) "
                           "flatten linear(7) relu linear(2) }");
    zn_diags d = {0};
    CU_ASSERT_TRUE(zn_module_verify(m, &d));
    CU_ASSERT_EQUAL(d.errors, 0);
    zn_diags_free(&d);
    zn_module_free(m);
}

static void one_mistake_one_error(void) {
    CU_ASSERT_STRING_EQUAL(
        only_error(
            "model m { input x[8, 8, 1] conv(0, 3) bn residual { conv(9, 3) } conv(4, 99, pad = valid) linear(3) }",
            &none),
        "ZN0213");
    CU_ASSERT_STRING_EQUAL(only_error("let a = b let c = a model m { input x[8] linear(c) linear(a) }", &none),
                           "ZN0201");
    CU_ASSERT_STRING_EQUAL(only_error("model m { input x[8] repeat 3 as i { linear(7 / (2 + i)) } }", &none), "ZN0210");
    CU_ASSERT_STRING_EQUAL(only_error("", &none), "ZN0106");
    CU_ASSERT_STRING_EQUAL(only_error("param a = 1 / 0 model m { input x[8] linear(a) }",
                                      &(zn_frontend_options){.ndefine = 1, .define = (const char *const[]){"a=2"}}),
                           "ZN0211");
}

int main(void) {
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("frontend", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(parameter_names);
    T(byte_order_mark);
    T(parameter_roles);
    T(bias_rule);
    T(bias_of_last_layer);
    T(paddings);
    T(shortcuts);
    T(layers);
    T(spans);
    T(expressions);
    T(current_value);
    T(policies_as_strings);
    T(order_of_declarations);
    T(defines);
    T(string_defines);
    T(set_options);
    T(set_keeps_names_used);
    T(configuration);
    T(data_paths);
    T(check_only);
    T(modules_verify);
    T(one_mistake_one_error);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
