/* IR text that reads back, the reader's refusals, the verifier, building and changing. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "ir/module.h"
#include "ir/text.h"

static zn_module *parse(const char *text) {
    return zn_module_parse(text, strlen(text), NULL);
}

static char *print(zn_module *m) {
    zn_buf b = {0};
    zn_module_print(m, &b);
    return b.at;
}

static void reads_back(const char *text) {
    zn_module *m = parse(text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    char *out = print(m);
    ZN_EQUAL_STR(out, text);
    free(out);
    zn_module_free(m);
}

static void every_construct_reads_back(void) {
    reads_back("zir 2\nmodule \"\"\n");
    reads_back("zir 2\nmodule \"a \\\"b\\\" \\\\ \\n\\t \\x01 \\x7f \xC3\xA9\"\n"
               "\n"
               "conf {\n"
               "  a = 1\n"
               "  b = -9223372036854775808\n"
               "  c = 9223372036854775807\n"
               "  d = 0.1 loc(3:4+5)\n"
               "  e = inf\n"
               "  f = -inf\n"
               "  g = nan\n"
               "  h = -0.0\n"
               "  i = 5e-324\n"
               "  j = 1.7976931348623157e308\n"
               "  k = true\n"
               "  l = false\n"
               "  m = \"\"\n"
               "  n = []\n"
               "  o = [1.0, -inf, nan, 0.3333333333333333]\n"
               "}\n"
               "\n"
               "conf z {\n"
               "  y.x = \"text\" loc(4294967295:4294967295+4294967295)\n"
               "}\n");
    reads_back("zir 2\nmodule \"m\"\n"
               "\n"
               "param @a : f32[] scalar init zeros\n"
               "param @b : f32[3] bias init ones decay 0.0001\n"
               "param @c : f32[3, 4] weight init identity\n"
               "param @d : f32[3, 4] weight init identity(spanning)\n"
               "param @e : f32[3, 3, 4, 5] weight init hadamard(0.125)\n"
               "param @f : f32[3, 3, 4, 5] weight init hadamard(0.125, spanning)\n"
               "param @g : f32[7] norm_scale init normal(0.1)\n"
               "param @h : f32[7] norm_bias init uniform(0.00001) loc(1:2+3)\n"
               "param @i : f32[7] running_mean init const(-0.0)\n"
               "param @j : f32[7] running_var init const(inf)\n"
               "param @k : f32[7] momentum init const(1e-45)\n");
    reads_back(
        "zir 2\n"
        "module \"m\"\n"
        "\n"
        "param @w : f32[4] bias init zeros\n"
        "param @\"odd name\" : f32[4] bias init zeros\n"
        "\n"
        "func @forward(%image: f32[2, 4], %labels: i32[2]) {\n"
        "  %a          = bias %image, @w                                              : f32[2, 4] group 3 loc(2:3+4)\n"
        "  %a.mul_const = mul_const %a {value = -inf}                                 : f32[2, 4]\n"
        "  %a.mul_const_2 = mul_const %a {value = nan}                                : f32[2, 4]\n"
        "  %relu       = relu %a.mul_const                                            : f32[2, 4] path \"relu\"\n"
        "  %relu_2     = relu %a.mul_const                                            : f32[2, 4]\n"
        "  store @w, @\"odd name\"                                                      : f32[4]\n"
        "  store @w, @w                                                               : f32[4] path \"there\"\n"
        "  %b.0        = cross_entropy %a.mul_const_2, %labels {smoothing = 0.1}      : f32[2]\n"
        "  return %b.0, %a.mul_const\n"
        "}\n"
        "\n"
        "func @empty() {\n"
        "  return\n"
        "}\n");
}

static void comments_and_spacing_are_free(void) {
    zn_module *m = parse(
        "# first\n  zir\t2 # version\n module\n\"m\"\n\n\nconf{a=1 # one\r\n}param @p:f32[ 2 ,3]weight init zeros");
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    char *out = print(m);
    ZN_EQUAL_STR(out, "zir 2\nmodule \"m\"\n\nparam @p : f32[2, 3] weight init zeros\n\nconf {\n  a = 1\n}\n");
    free(out);
    zn_module_free(m);
}

/* Text that must be refused, and a word of the message. */
static const struct {
    const char *text, *message;
} bad[] = {
    {"", "expected `zir`"},
    {"zir", "whole number"},
    {"zir 1\nmodule \"m\"\n", "version 1"},
    {"zir 2", "expected `module`"},
    {"zir 2 module m", "expected a string"},
    {"zir 2 module \"m", "unterminated string"},
    {"zir 2 module \"m\n\"", "unterminated string"},
    {"zir 2 module \"\\q\"", "unknown escape"},
    {"zir 2 module \"\\x00\"", "NUL"},
    {"zir 2 module \"m\" conf init { variant = \"x\" }", "`init.variant` is `x`; it may be augment|weights"},
    {"zir 2 module \"m\" conf init { rule0.variant = \"x\" }", "`init.rule0.variant` is `x`; it may be"},
    {"zir 2 module \"m\" nonsense", "expected conf, param or func"},
    {"zir 2 module \"m\" ; ", "expected conf, param or func"},
    {"zir 2 module \"m\" conf { a 1", "expected `=`"},
    {"zir 2 module \"m\" conf { a = 1 a = 2", "set twice"},
    {"zir 2 module \"m\" conf { a = [1.0, ", "expected a number"},
    {"zir 2 module \"m\" conf { a = 1e", "expected a number"},
    {"zir 2 module \"m\" conf { a = 1 loc(1:2+4294967296)", "out of range"},
    {"zir 2 module \"m\" conf { a = 1 loc(-1:2+3)", "out of range"},
    {"zir 2 module \"m\" param @p : f64[2] weight init zeros", "expected a type"},
    {"zir 2 module \"m\" param @p : f32[0] weight init zeros", "dimensions"},
    {"zir 2 module \"m\" param @p : f32[-3] weight init zeros", "dimensions"},
    {"zir 2 module \"m\" param @p : f32[9223372036854775807, 3] weight init zeros", "dimensions"},
    {"zir 2 module \"m\" param @p : f32[99999999999999999999] weight init zeros", "whole number"},
    {"zir 2 module \"m\" param @p : f32[1048576, 1048576, 1048576] weight init zeros", "dimensions"},
    {"zir 2 module \"m\" param @p : f32[1, 1, 1, 1, 1] weight init zeros", "more than 4 dimensions"},
    {"zir 2 module \"m\" param @p : i32[3] weight init zeros", "no valid type"},
    {"zir 2 module \"m\" param @p : f32[3] king init zeros", "role"},
    {"zir 2 module \"m\" param @p : f32[3] weight init orthonormal", "formula"},
    {"zir 2 module \"m\" param @p : f32[3] weight init normal", "expected `(`"},
    {"zir 2 module \"m\" param @p : f32[3] weight init zeros param @p : f32[3] weight init zeros", "two parameters"},
    {"zir 2 module \"m\" func f() { return }", "@name"},
    {"zir 2 module \"m\" func @f() { return } func @f() { return }", "two functions"},
    {"zir 2 module \"m\" func @f() {", "expected an operation"},
    {"zir 2 module \"m\" func @f(%0: f32[2]", "expected `,`"},
    {"zir 2 module \"m\" func @f(%0: f32[2], %0: f32[2]) { return }", "defined twice"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %2 : f32[2] return %1 }", "not defined"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %1 : f32[2] return %1 }", "not defined"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %0 = relu %0 : f32[2] return %0 }", "defined twice"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { return %9 }", "not defined"},
    {"zir 2 module \"m\" func @f(7: f32[2]) { return }", "expected a value"},
    {"zir 2 module \"m\" conf a = 1", "expected `{`"},
    {"zir 2 module \"m\" param \"p\" : f32[2] weight init zeros", "@name"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { % = relu %0 : f32[2] return }", "name after %"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = frobnicate %0 : f32[2] return }", "expected an operation"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = arg {index = 1} : f32[2] return }", "expected an operation"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { relu %0 : f32[2] return }", "has a result"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = store @p, %0 : f32[2] return }", "has no result"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu : f32[2] return }", "takes 1 operands"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %0, %0 : f32[2] return }", "takes 1 operands"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = add %0, %0, %0, %0, %0, %0, %0, %0, %0, %0 : f32[2] return }",
     "operands"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %0 {k = 1} : f32[2] return }", "no such attribute"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %0 {at_zero = 1, at_zero = 1} : f32[2] return }", "twice"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = mul_const %0 : f32[2] return }", "needs the attribute `value`"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = mul_const %0 {value = \"a\"} : f32[2] return }",
     "expected a number"},
    {"zir 2 module \"m\" func @f(%0: f32[1, 4, 4, 1]) { %1 = subsample %0 {stride = [1, 1, 1, 1, 1]} : f32[1, 4, "
     "4, 1] return }",
     "more than 4 numbers"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %0 : f32[3] return %1 }", "not what the operation gives"},
    {"zir 2 module \"m\" func @f(%0: f32[2], %1: f32[3]) { %2 = add %0, %1 : f32[2] return %2 }", "different shapes"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = param {name = \"p\"} : f32[2] return %1 }",
     "expected an operation"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { return @p }", "no parameter is called `p`"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { store @p, %0 : f32[2] return }", "no parameter `p`"},
    {"zir 2 module \"m\" param @p : f32[2] weight init ones "
     "func @f(%0: f32[3, 2]) { %1 = bn %0, @p, @p, @p, @p : f32[3, 2] return %1 }",
     "operand 3 is not a parameter of role running_mean"},
    {"zir 2 module \"m\" param @p : f32[3] bias init zeros func @f(%0: f32[2]) { store @p, %0 : "
     "f32[3] return }",
     "another shape"},
    {"zir 2 module \"m\" func @f(%0: f32[2]) { %1 = relu %0 : f32[2] group -1 return }", "bad group"},
};

static void bad_text_is_refused(void) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        zn_diags d = {.path = "t.zir", .source = bad[i].text, .source_len = strlen(bad[i].text)};
        zn_module *m = zn_module_parse(bad[i].text, strlen(bad[i].text), &d);
        bool ok = !m && d.errors > 0 && d.first && strstr(d.first->msg, bad[i].message);
        if (!ok)
            printf("%s\n  gives %s\n  and not %s\n", bad[i].text,
                   m         ? "a module"
                   : d.first ? d.first->msg
                             : "no message",
                   bad[i].message);
        CU_ASSERT_TRUE(ok);
        zn_module_free(m);
        zn_diags_free(&d);
    }
}

/* Every beginning of a good text is refused or read, never more. Bytes behind the end are not there. */
static void every_beginning_is_safe(void) {
    static const char text[] =
        "zir 2\nmodule \"m\\n\"\nconf s { a = [1.0, 2.5] }\nparam @w : f32[3, 3, 4, 5] weight init "
        "hadamard(0.125, spanning) decay 0.1\nfunc @f(%0: f32[2, 4, 4, 4]) {\n  %2 = conv %0, @w {stride = [2, 2], pad "
        "= [1, 1, 1, "
        "1]} : f32[2, 2, 2, 5] path \"a\" loc(1:2+3)\n  return %2\n}\n";
    size_t good = 0;
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n ? n : 1); /* exactly as long, for sanitizers */
        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        memcpy(copy, text, n);
        zn_module *m = zn_module_parse(copy, n, NULL);
        good += m != NULL;
        zn_module_free(m);
        free(copy);
    }
    CU_ASSERT_TRUE(good >= 1 && good < sizeof text / 2);
}

/* One byte of a good text replaced by every other: read, then it prints and reads back; or refused. */
static void every_changed_byte_is_safe(void) {
    static const char text[] =
        "zir 2\nmodule \"m\"\nparam @w : f32[3] bias init normal(0.5)\nfunc @f(%0: f32[2, 3]) {\n"
        "  %2 = bias %0, @w : f32[2, 3] loc(1:2+3)\n  return %2\n}\n";
    size_t read = 0, differ = 0;
    for (size_t i = 0; i + 1 < sizeof text; i++)
        for (int c = 0; c < 256; c++) {
            char copy[sizeof text];
            memcpy(copy, text, sizeof text);
            copy[i] = (char)c;
            zn_module *m = zn_module_parse(copy, sizeof text - 1, NULL);
            if (!m)
                continue;
            char *once = print(m);
            zn_module *again = parse(once);
            char *twice = again ? print(again) : NULL;
            read++;
            differ += !twice || strcmp(once, twice);
            free(once);
            free(twice);
            zn_module_free(m);
            zn_module_free(again);
        }
    CU_ASSERT_TRUE(read > 100);
    ZN_EQUAL_INT(differ, 0);
}

static void deep_garbage(void) {
    static const char *const unit[] = {"[", "(", "{", "%1 = ", "func @f(", "\"", "-", "conf {", "conf { a = [", "#"};
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
        zn_buf b = {0};
        zn_buf_puts(&b, "zir 2\nmodule \"m\"\n");
        for (int i = 0; i < 100000; i++)
            zn_buf_puts(&b, unit[k]);
        zn_module *m = zn_module_parse(zn_buf_str(&b), b.n, NULL);
        CU_ASSERT_EQUAL(m != NULL, unit[k][0] == '#');
        zn_module_free(m);
        zn_buf_free(&b);
    }
}

static void a_nul_byte_ends_nothing(void) {
    static const char text[] = "zir 2\nmodule \"m\"\n\0func @f() { return }";
    CU_ASSERT_PTR_NULL(zn_module_parse(text, sizeof text - 1, NULL));
    static const char inside[] = "zir 2\nmodule \"a\0b\"\n";
    CU_ASSERT_PTR_NULL(zn_module_parse(inside, sizeof inside - 1, NULL));
}

static zn_module *small(void) {
    zn_module *m = parse("zir 2\nmodule \"m\"\nfunc @f(%0: f32[2, 3]) {\n  %1 = relu %0 : f32[2, 3]\n"
                         "  %2 = add %1, %1 : f32[2, 3]\n  return %2\n}\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    return m;
}

static bool refuses(zn_module *m, const char *message) {
    zn_diags d = {.path = "", .source = ""};
    bool ok = !zn_module_verify(m, &d) && d.first && strstr(d.first->msg, message);
    if (!ok)
        printf("the verifier says %s, not %s\n", d.first ? d.first->msg : "nothing", message);
    zn_diags_free(&d);
    return ok;
}

static void the_verifier_finds_what_passes_may_break(void) {
    zn_module *m = small();
    zn_func *f = zn_func_find(m, "f");
    zn_value *x = f->first, *y = x->next, *z = y->next;
    CU_ASSERT_TRUE(zn_module_verify(m, NULL));

    zn_value_set_operand(y, 0, z); /* use before definition */
    CU_ASSERT_TRUE(refuses(m, "not defined before its use"));
    zn_value_set_operand(y, 0, NULL);
    CU_ASSERT_TRUE(refuses(m, "not defined before its use"));
    zn_value_set_operand(y, 0, x);

    y->noperands = 0;
    CU_ASSERT_TRUE(refuses(m, "takes 1 operands"));
    y->noperands = 1;

    y->type.dim[0] = 7;
    CU_ASSERT_TRUE(refuses(m, ""));
    y->type.dim[0] = 2;

    zn_value *gone = z;
    zn_value_remove(f, gone); /* but the function still returns it */
    CU_ASSERT_TRUE(refuses(m, "a result is not a value"));
    zn_value_replace(f, gone, y, NULL);
    CU_ASSERT_TRUE(zn_module_verify(m, NULL));

    y->prev = NULL;
    CU_ASSERT_TRUE(refuses(m, "list of values is broken"));
    y->prev = x;

    y->operand[0] = y; /* behind the back of the lists of uses */
    CU_ASSERT_TRUE(refuses(m, "the list of uses is broken"));
    y->operand[0] = x;
    y->nuses++;
    CU_ASSERT_TRUE(refuses(m, "the list of uses is broken"));
    y->nuses--;

    zn_attr_of(x, ARG, index)->i = 1;
    CU_ASSERT_TRUE(refuses(m, "arguments are not first and in order"));
    zn_attr_of(x, ARG, index)->i = 0;

    zn_param_new(m, "g", y->type, ZN_ROLE_WEIGHT, zn_formula_const(0), (zn_span){0});
    for (int i = 0; i < 2; i++) {
        zn_value *g = zn_value_new(m, f, NULL, ZN_OP_GRADIENT, 1, &y, (zn_span){0}, "");
        zn_attr_of(g, GRADIENT, name)->s = "g";
        CU_ASSERT_TRUE(zn_value_infer(m, g, NULL));
        CU_ASSERT_TRUE(i ? refuses(m, "the parameter has another gradient") : zn_module_verify(m, NULL));
    }
    zn_value_remove(f, f->last);

    x->keep = true;
    CU_ASSERT_TRUE(refuses(m, "only values that are computed can be kept"));
    x->keep = false;
    y->keep = true;
    CU_ASSERT_TRUE(zn_module_verify(m, NULL));
    y->keep = false;

    zn_value *lr = zn_value_new(m, f, NULL, ZN_OP_HYPER, 0, NULL, (zn_span){0}, "");
    zn_attr_of(lr, HYPER, name)->s = "rl";
    CU_ASSERT_TRUE(refuses(m, "sets no number `rl`"));
    zn_value_remove(f, lr);

    zn_param_new(m, "p", zn_type_make(ZN_F32, 1, (int64_t[]){3}), ZN_ROLE_BIAS, zn_formula_const(0), (zn_span){0});
    CU_ASSERT_TRUE(zn_module_verify(m, NULL));
    zn_param_new(m, "p", zn_type_make(ZN_F32, 1, (int64_t[]){3}), ZN_ROLE_BIAS, zn_formula_const(0), (zn_span){0});
    CU_ASSERT_TRUE(refuses(m, "no name of its own"));
    zn_module_free(m);
}

static void changing(void) {
    zn_module *m = small();
    zn_func *f = zn_func_find(m, "f");
    zn_value *x = f->first, *y = x->next, *z = y->next;
    ZN_EQUAL_INT(y->nuses, 2);
    ZN_EQUAL_INT(z->nuses, 1);
    zn_value *w = zn_value_new(m, f, z, ZN_OP_MUL_CONST, 1, &y, (zn_span){0}, "p");
    zn_attr_of(w, MUL_CONST, value)->f = 2;
    CU_ASSERT_TRUE(zn_value_infer(m, w, NULL));
    CU_ASSERT_PTR_EQUAL(y->next, w);
    CU_ASSERT_PTR_EQUAL(z->prev, w);
    zn_value_set_operand(z, 0, w);
    zn_value_replace(f, y, x, NULL);
    CU_ASSERT_PTR_EQUAL(w->operand[0], x);
    CU_ASSERT_PTR_EQUAL(z->operand[1], x);
    ZN_EQUAL_INT(y->nuses, 0);
    zn_value_remove(f, y);
    char *out = print(m);
    ZN_EQUAL_STR(out, "zir 2\nmodule \"m\"\n\nfunc @f(%0: f32[2, 3]) {\n"
                      "  %p          = mul_const %0 {value = 2.0}                                   : f32[2, 3]\n"
                      "  %2          = add %p, %0                                                   : f32[2, 3]\n"
                      "  return %2\n}\n");
    free(out);
    zn_value_remove(f, z);
    zn_value_remove(f, w);
    CU_ASSERT_PTR_EQUAL(f->last, x);
    zn_func_remove(m, f);
    CU_ASSERT_PTR_NULL(zn_func_find(m, "f"));
    zn_module_free(m);
}

/* What is inserted gets another name; what was there keeps its own; copies do not share one. */
static void names_stay(void) {
    zn_module *m = zn_module_new("m");
    zn_func *f = zn_func_new(m, "f");
    zn_value *x = zn_arg_new(m, f, zn_type_make(ZN_F32, 1, (int64_t[]){3}), "x");
    zn_value *a = zn_value_new(m, f, NULL, ZN_OP_RELU, 1, &x, (zn_span){0}, "block.0");
    zn_value *b = zn_value_new(m, f, NULL, ZN_OP_RELU, 1, &a, (zn_span){0}, "block.0");
    zn_value *c = zn_value_new(m, f, NULL, ZN_OP_RELU, 1, &b, (zn_span){0}, "");
    zn_value *d = zn_value_new(m, f, NULL, ZN_OP_RELU, 1, &c, (zn_span){0}, "an odd/path");
    zn_module_name_values(m);
    ZN_EQUAL_STR(a->name, "block.0");
    ZN_EQUAL_STR(b->name, "block.0.relu");
    ZN_EQUAL_STR(c->name, "relu");
    ZN_EQUAL_STR(d->name, "an_odd_path");
    zn_value *first = zn_value_new(m, f, a, ZN_OP_RELU, 1, &x, (zn_span){0}, "block.0");
    zn_value *copy = zn_value_new(m, f, b, ZN_OP_RELU, 1, &x, (zn_span){0}, "");
    copy->name = a->name;
    zn_module_name_values(m);
    ZN_EQUAL_STR(a->name, "block.0");
    ZN_EQUAL_STR(first->name, "block.0.relu_2");
    ZN_EQUAL_STR(copy->name, "relu_2");
    static const struct {
        const char *name;
        zn_op op;
        size_t path;
    } told[] = {{"a.b.bias_2", ZN_OP_BIAS, 3}, {"a.b.bias", ZN_OP_BIAS, 3}, {"bias", ZN_OP_BIAS, 0},
                {"bias_2", ZN_OP_BIAS, 0},     {"conv1", ZN_OP_CONV, 5},    {"conv_1x", ZN_OP_CONV, 7},
                {"a_2", ZN_OP_CONV, 3},        {"x.conv", ZN_OP_BIAS, 6},   {"7", ZN_OP_CONV, 1}};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        ZN_EQUAL_INT(zn_name_path(told[i].name, told[i].op), told[i].path);
    zn_module_free(m);
}

static void configuration(void) {
    zn_module *m = zn_module_new("m");
    zn_span at = {0};
    zn_conf_set_int(m, "b", 3, at);
    zn_conf_set_float(m, "a", 0.5, at);
    zn_conf_set_str(m, "c", "text", at);
    zn_conf_set_bool(m, "b2", true, at);
    ZN_EQUAL_INT(zn_conf_int(m, "b", 7), 3);
    ZN_EQUAL_INT(zn_conf_int(m, "a", 7), 7);
    CU_ASSERT_EQUAL(zn_conf_float(m, "b", 7), 3.0);
    CU_ASSERT_EQUAL(zn_conf_float(m, "c", 7), 7.0);
    CU_ASSERT_TRUE(zn_conf_bool(m, "b2", false));
    CU_ASSERT_TRUE(zn_conf_bool(m, "none", true));
    ZN_EQUAL_STR(zn_conf_str(m, "c", ""), "text");
    ZN_EQUAL_STR(zn_conf_str(m, "b", "other"), "other");
    zn_conf_set_str(m, "b", "now text", at); /* setting twice replaces */
    char *out = print(m);
    ZN_EQUAL_STR(out, "zir 2\nmodule \"m\"\n\nconf {\n  a = 0.5\n  b = \"now text\"\n  b2 = true\n  c = \"text\"\n}\n");
    free(out);
    zn_module_free(m);
}

static void types(void) {
    zn_type t = zn_type_make(ZN_F32, 4, (int64_t[]){2, 3, 4, 5});
    ZN_EQUAL_INT(zn_type_count(&t), 120);
    ZN_EQUAL_INT(zn_type_channels(&t), 5);
    zn_type s = zn_type_make(ZN_F32, 0, NULL);
    ZN_EQUAL_INT(zn_type_count(&s), 1);
    ZN_EQUAL_INT(zn_type_channels(&s), 1);
    CU_ASSERT_FALSE(zn_type_equal(&s, &t));
    zn_type u = zn_type_make(ZN_I32, 4, (int64_t[]){2, 3, 4, 5});
    CU_ASSERT_FALSE(zn_type_equal(&u, &t));
    zn_type large = zn_type_make(ZN_F32, 1, (int64_t[]){(int64_t)1 << 44}), larger = large;
    CU_ASSERT_TRUE(zn_type_valid(&large));
    larger.dim[0]++;
    CU_ASSERT_FALSE(zn_type_valid(&larger));
    zn_type wrap = zn_type_make(ZN_F32, 4, (int64_t[]){(int64_t)1 << 31, (int64_t)1 << 31, 4, 1});
    CU_ASSERT_FALSE(zn_type_valid(&wrap));
}

static void shards(void) {
    ZN_EQUAL_INT(zn_shard_count(1), 1);
    ZN_EQUAL_INT(zn_shard_count(3), 2);
    ZN_EQUAL_INT(zn_shard_count(16), 16);
    ZN_EQUAL_INT(zn_shard_count(128), 16);
    for (int64_t n = 1; n < 200; n++)
        for (int64_t area = 1; area < 300; area += 13) {
            int64_t s = zn_stats_shards(n, area);
            CU_ASSERT_TRUE(s >= 1 && s <= n && (s == 1 || n / s * area >= 64));
            CU_ASSERT_TRUE(s > 1 || n * area < 128 || n < 2 * ((63 + area) / area)); /* prime batches too */
        }
}

#define TESTS(X)                                                                                                       \
    X(every_construct_reads_back)                                                                                      \
    X(comments_and_spacing_are_free)                                                                                   \
    X(bad_text_is_refused)                                                                                             \
    X(every_beginning_is_safe)                                                                                         \
    X(every_changed_byte_is_safe)                                                                                      \
    X(deep_garbage)                                                                                                    \
    X(a_nul_byte_ends_nothing)                                                                                         \
    X(the_verifier_finds_what_passes_may_break) X(changing) X(names_stay) X(configuration) X(types) X(shards)
ZN_UNIT_MAIN("ir", TESTS)
