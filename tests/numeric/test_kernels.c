/* Every operation as machine code against the interpreter, bit for bit.
 *
 * usage: test_kernels DIR PART PARTS [FILTER]: the files DIR/op_*.zir that have @train_step, those with index PART
 * modulo PARTS. Each is run as it stands and after pass fuse, with and without results in place, and for narrower
 * vectors, down to those of NEON. A Winograd convolution has an order of its own: the first variant is compared with
 * the interpreter within an error that is relative to the largest element, all others with the first, bit for bit. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/plan.h"
#include "passes/pass.h"
#include "tests/numeric/harness.h"

typedef struct variant {
    const char *name, *march;
    bool fuse, in_place;
} variant;

static const variant variants[] = {
    {"plain", "native", false, false},
    {"in place", "native", false, true},
    {"fused", "native", true, false},
    {"fused, in place", "native", true, true},
    {"fused, in place, x86-64-v3", "x86-64-v3", true, true},
    {"fused, in place, x86-64-v4", "x86-64-v4", true, true},
    {"fused, in place, 4 lanes", TH_NARROW, true, true},
};

/* Labels must be below the number of logits. */
static int64_t classes_of(zn_module *m) {
    int64_t classes = 2;
    for (zn_value *v = zn_func_find(m, "train_step")->first; v; v = v->next)
        if (v->op == ZN_OP_CROSS_ENTROPY || v->op == ZN_OP_CROSS_ENTROPY_GRAD || v->op == ZN_OP_CORRECT)
            classes = v->operand[0]->type.dim[1];
    return classes;
}

static const double WINOGRAD_ERROR = 1e-5;

static bool has_winograd(zn_module *m) {
    for (zn_value *v = zn_func_find(m, "train_step")->first; v; v = v->next) {
        const char *algorithm = zn_conv_algorithm(v);
        if (algorithm && !strcmp(algorithm, "winograd"))
            return true;
    }
    return false;
}

static bool check(zn_module *m, const char *name, const char *function) {
    th_random r = th_random_of(name);
    th_input in = th_input_make(m, &r, classes_of(m));
    th_state before = th_state_make(m, &r, false, 0), expected = th_state_copy(m, &before);
    bool ok = true;
    th_interpret(m, function, &in, &expected);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const variant *v = &variants[i];
        if (!th_march_runs(v->march))
            continue;
        zn_module *copy = th_copy(m);
        zn_pass_ctx ctx = {0};
        if (v->fuse)
            zn_pass_fuse(copy, &ctx);
        th_code code = th_compile(copy, v->march, v->in_place);
        th_state actual = th_state_copy(copy, &before);
        char what[256];
        snprintf(what, sizeof what, "%s @%s (%s)", name, function, v->name);
        ok = th_execute(&code, function, &in, &actual, &r) && ok;
        if (i == 0 && has_winograd(m)) {
            ok = th_near_state(what, m, &expected, &actual, WINOGRAD_ERROR) && ok;
            th_state_free(&expected);
            expected = actual;
        } else {
            ok = th_same_state(what, m, &expected, &actual) && ok;
            th_state_free(&actual);
        }
        th_code_free(&code);
        zn_module_free(copy);
    }
    th_state_free(&before);
    th_state_free(&expected);
    th_input_free(&in);
    return ok;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: test_kernels DIR PART PARTS [FILTER]\n");
        return 2;
    }
    size_t part = strtoul(argv[2], NULL, 10), parts = strtoul(argv[3], NULL, 10), cases = 0, bad = 0;
    char pattern[4096];
    glob_t g;
    snprintf(pattern, sizeof pattern, "%s/op_*%s*.zir", argv[1], argc > 4 ? argv[4] : "");
    if (glob(pattern, 0, NULL, &g)) {
        fprintf(stderr, "no file is %s\n", pattern);
        return 1;
    }
    for (size_t i = part; i < g.gl_pathc; i += parts) {
        size_t n;
        const char *slash = strrchr(g.gl_pathv[i], '/');
        char *text = th_read(g.gl_pathv[i], &n);
        zn_module *m = th_parse(slash + 1, text, n);
        if (zn_func_find(m, "train_step")) {
            cases++;
            for (const zn_func *f = m->funcs; f; f = f->next)
                if (zn_func_is_program(f) && strcmp(f->name, "eval_step"))
                    bad += !check(m, slash + 1, f->name);
        }
        zn_module_free(m);
        free(text);
    }
    globfree(&g);
    printf("%zu cases, %zu wrong\n", cases, bad);
    return cases == 0 || bad != 0;
}
