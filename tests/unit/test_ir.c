/* IR text that reads back, the reader's refusals, the verifier, building and changing. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

#include "ir/module.h"

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
    reads_back("zir 1\nmodule \"\"\n");
    reads_back("zir 1\nmodule \"a \\\"b\\\" \\\\ \\n\\t \\x01 \\x7f \xC3\xA9\"\n"
               "conf a = 1\n"
               "conf b = -9223372036854775808\n"
               "conf c = 9223372036854775807\n"
               "conf d = 0.1 loc(3:4+5)\n"
               "conf e = inf\n"
               "conf f = -inf\n"
               "conf g = nan\n"
               "conf h = -0.0\n"
               "conf i = 5e-324\n"
               "conf j = 1.7976931348623157e308\n"
               "conf k = true\n"
               "conf l = false\n"
               "conf m = \"\"\n"
               "conf n = []\n"
               "conf o = [1.0, -inf, nan, 0.3333333333333333]\n"
               "conf z.y.x = \"text\" loc(4294967295:4294967295+4294967295)\n");
    reads_back("zir 1\nmodule \"m\"\n"
               "param \"a\" : f32[] scalar init zeros\n"
               "param \"b\" : f32[3] bias init ones decay 0.0001\n"
               "param \"c\" : f32[3, 4] weight init identity\n"
               "param \"d\" : f32[3, 4] weight init identity(spanning)\n"
               "param \"e\" : f32[3, 3, 4, 5] weight init hadamard(0.125)\n"
               "param \"f\" : f32[3, 3, 4, 5] weight init hadamard(0.125, spanning)\n"
               "param \"g\" : f32[7] norm_scale init normal(0.1)\n"
               "param \"h\" : f32[7] norm_bias init uniform(0.00001) loc(1:2+3)\n"
               "param \"i\" : f32[7] running_mean init const(-0.0)\n"
               "param \"j\" : f32[7] running_var init const(inf)\n"
               "param \"k\" : f32[7] momentum init const(1e-45)\n");
    reads_back("zir 1\nmodule \"m\"\n"
               "param \"w\" : f32[4] bias init zeros\n"
               "func @forward(%0: f32[2, 4] \"image\", %1: i32[2] \"labels\") {\n"
               "  %2 = param {name = \"w\"} : f32[4] path \"a.0.b\"\n"
               "  %3 = bias %0, %2 : f32[2, 4] name \"y\" path \"a\" group 3 loc(2:3+4)\n"
               "  %4 = mul_const %3 {value = -inf} : f32[2, 4]\n"
               "  %5 = mul_const %3 {value = nan} : f32[2, 4]\n"
               "  store %2 {name = \"w\"} : f32[4]\n"
               "  %7 = cross_entropy %5, %1 {smoothing = 0.1} : f32[2]\n"
               "  return %7, %4\n"
               "}\n"
               "func @empty() {\n"
               "  return\n"
               "}\n");
}

static void comments_and_spacing_are_free(void) {
    zn_module *m = parse(
        "# first\n  zir\t1 # version\n module\n\"m\"\n\n\nconf   a=1 # one\r\nparam \"p\":f32[ 2 ,3]weight init zeros");
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    char *out = print(m);
    ZN_EQUAL_STR(out, "zir 1\nmodule \"m\"\nconf a = 1\nparam \"p\" : f32[2, 3] weight init zeros\n");
    free(out);
    zn_module_free(m);
}

/* Text that must be refused, and a word of the message. */
static const struct {
    const char *text, *message;
} bad[] = {
    {"", "expected `zir`"},
    {"zir", "whole number"},
    {"zir 2\nmodule \"m\"\n", "version 2"},
    {"zir 1", "expected `module`"},
    {"zir 1 module m", "expected a string"},
    {"zir 1 module \"m", "unterminated string"},
    {"zir 1 module \"m\n\"", "unterminated string"},
    {"zir 1 module \"\\q\"", "unknown escape"},
    {"zir 1 module \"\\x00\"", "NUL"},
    {"zir 1 module \"m\" nonsense", "expected conf, param or func"},
    {"zir 1 module \"m\" ; ", "expected conf, param or func"},
    {"zir 1 module \"m\" conf a 1", "expected `=`"},
    {"zir 1 module \"m\" conf a = 1 conf a = 2", "set twice"},
    {"zir 1 module \"m\" conf a = [1.0, ", "expected a number"},
    {"zir 1 module \"m\" conf a = 1e", "expected a number"},
    {"zir 1 module \"m\" conf a = 1 loc(1:2+4294967296)", "out of range"},
    {"zir 1 module \"m\" conf a = 1 loc(-1:2+3)", "out of range"},
    {"zir 1 module \"m\" param \"p\" : f64[2] weight init zeros", "expected a type"},
    {"zir 1 module \"m\" param \"p\" : f32[0] weight init zeros", "dimensions"},
    {"zir 1 module \"m\" param \"p\" : f32[-3] weight init zeros", "dimensions"},
    {"zir 1 module \"m\" param \"p\" : f32[9223372036854775807, 3] weight init zeros", "dimensions"},
    {"zir 1 module \"m\" param \"p\" : f32[99999999999999999999] weight init zeros", "whole number"},
    {"zir 1 module \"m\" param \"p\" : f32[1048576, 1048576, 1048576] weight init zeros", "dimensions"},
    {"zir 1 module \"m\" param \"p\" : f32[1, 1, 1, 1, 1] weight init zeros", "more than 4 dimensions"},
    {"zir 1 module \"m\" param \"p\" : i32[3] weight init zeros", "no valid type"},
    {"zir 1 module \"m\" param \"p\" : f32[3] king init zeros", "role"},
    {"zir 1 module \"m\" param \"p\" : f32[3] weight init orthogonal", "formula"},
    {"zir 1 module \"m\" param \"p\" : f32[3] weight init normal", "expected `(`"},
    {"zir 1 module \"m\" param \"p\" : f32[3] weight init zeros param \"p\" : f32[3] weight init zeros",
     "two parameters"},
    {"zir 1 module \"m\" func f() { return }", "@name"},
    {"zir 1 module \"m\" func @f() { return } func @f() { return }", "two functions"},
    {"zir 1 module \"m\" func @f() {", "expected an operation"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\"", "expected `,`"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\", %0: f32[2] \"y\") { return }", "defined twice"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %2 : f32[2] return %1 }", "not defined"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %1 : f32[2] return %1 }", "not defined"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %0 = relu %0 : f32[2] return %0 }", "defined twice"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { return %9 }", "not defined"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %99999999999 = relu %0 : f32[2] return }", "expected a value"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { % = relu %0 : f32[2] return }", "number after %"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = frobnicate %0 : f32[2] return }", "expected an operation"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = arg {index = 1} : f32[2] return }", "expected an operation"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { relu %0 : f32[2] return }", "has a result"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = store %0 {name = \"p\"} : f32[2] return }", "has no result"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu : f32[2] return }", "takes 1 operands"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %0, %0 : f32[2] return }", "takes 1 operands"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = add %0, %0, %0, %0, %0, %0, %0, %0, %0, %0 : f32[2] return }",
     "operands"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %0 {k = 1} : f32[2] return }", "no such attribute"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %0 {at_zero = 1, at_zero = 1} : f32[2] return }",
     "twice"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = mul_const %0 : f32[2] return }",
     "needs the attribute `value`"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = mul_const %0 {value = \"a\"} : f32[2] return }",
     "expected a number"},
    {"zir 1 module \"m\" func @f(%0: f32[1, 4, 4, 1] \"x\") { %1 = subsample %0 {stride = [1, 1, 1, 1, 1]} : f32[1, 4, "
     "4, 1] return }",
     "more than 4 numbers"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %0 : f32[3] return %1 }",
     "not what the operation gives"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\", %1: f32[3] \"y\") { %2 = add %0, %1 : f32[2] return %2 }",
     "different shapes"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = param {name = \"p\"} : f32[2] return %1 }",
     "no parameter `p`"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { store %0 {name = \"p\"} : f32[2] return }", "no parameter `p`"},
    {"zir 1 module \"m\" param \"p\" : f32[3] bias init zeros func @f(%0: f32[2] \"x\") { store %0 {name = \"p\"} : "
     "f32[3] return }",
     "another shape"},
    {"zir 1 module \"m\" func @f(%0: f32[2] \"x\") { %1 = relu %0 : f32[2] group -1 return }", "bad group"},
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
        "zir 1\nmodule \"m\\n\"\nconf a = [1.0, 2.5]\nparam \"w\" : f32[3, 3, 4, 5] weight init "
        "hadamard(0.125, spanning) decay 0.1\nfunc @f(%0: f32[2, 4, 4, 4] \"x\") {\n  %1 = param "
        "{name = \"w\"} : f32[3, 3, 4, 5]\n  %2 = conv %0, %1 {stride = [2, 2], pad = [1, 1, 1, "
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
        "zir 1\nmodule \"m\"\nparam \"w\" : f32[3] bias init normal(0.5)\nfunc @f(%0: f32[2, 3] \"x\") {\n"
        "  %1 = param {name = \"w\"} : f32[3]\n  %2 = bias %0, %1 : f32[2, 3] loc(1:2+3)\n  return %2\n}\n";
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
    static const char *const unit[] = {"[", "(", "{", "%1 = ", "func @f(", "\"", "-", "conf a = [", "#"};
    for (size_t k = 0; k < sizeof unit / sizeof *unit; k++) {
        zn_buf b = {0};
        zn_buf_puts(&b, "zir 1\nmodule \"m\"\n");
        for (int i = 0; i < 100000; i++)
            zn_buf_puts(&b, unit[k]);
        zn_module *m = zn_module_parse(zn_buf_str(&b), b.n, NULL);
        CU_ASSERT_EQUAL(m != NULL, unit[k][0] == '#');
        zn_module_free(m);
        zn_buf_free(&b);
    }
}

static void a_nul_byte_ends_nothing(void) {
    static const char text[] = "zir 1\nmodule \"m\"\n\0func @f() { return }";
    CU_ASSERT_PTR_NULL(zn_module_parse(text, sizeof text - 1, NULL));
    static const char inside[] = "zir 1\nmodule \"a\0b\"\n";
    CU_ASSERT_PTR_NULL(zn_module_parse(inside, sizeof inside - 1, NULL));
}

static zn_module *small(void) {
    zn_module *m = parse("zir 1\nmodule \"m\"\nfunc @f(%0: f32[2, 3] \"x\") {\n  %1 = relu %0 : f32[2, 3]\n"
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
    ZN_EQUAL_STR(out, "zir 1\nmodule \"m\"\nfunc @f(%0: f32[2, 3] \"x\") {\n"
                      "  %1 = mul_const %0 {value = 2.0} : f32[2, 3] path \"p\"\n  %2 = add %1, %0 : f32[2, 3]\n"
                      "  return %2\n}\n");
    free(out);
    zn_value_remove(f, z);
    zn_value_remove(f, w);
    CU_ASSERT_PTR_EQUAL(f->last, x);
    zn_func_remove(m, f);
    CU_ASSERT_PTR_NULL(zn_func_find(m, "f"));
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
    ZN_EQUAL_STR(out, "zir 1\nmodule \"m\"\nconf a = 0.5\nconf b = \"now text\"\nconf b2 = true\nconf c = \"text\"\n");
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
            CU_ASSERT_TRUE(s >= 1 && n % s == 0 && (s == 1 || n / s * area >= 64));
        }
}

#define TESTS(X)                                                                                                       \
    X(every_construct_reads_back)                                                                                      \
    X(comments_and_spacing_are_free)                                                                                   \
    X(bad_text_is_refused)                                                                                             \
    X(every_beginning_is_safe)                                                                                         \
    X(every_changed_byte_is_safe)                                                                                      \
    X(deep_garbage)                                                                                                    \
    X(a_nul_byte_ends_nothing) X(the_verifier_finds_what_passes_may_break) X(changing) X(configuration) X(types)       \
        X(shards)
ZN_UNIT_MAIN("ir", TESTS)
