/* Kernels of one key are one kernel, whatever network and level of optimisation they come from: the cache of objects
 * and the symbols in an executable go by the key alone. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "passes/plan.h"
#include "tests/unit/compile.h"

enum { MAX_KERNELS = 4096 };

typedef struct seen {
    char *key, *ir;
    const char *from;
} seen;
static seen list[MAX_KERNELS];
static size_t n, met_again;

/* Takes ir. */
static void meet(const char *key, char *ir, const char *from) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].key, key)) {
            met_again++;
            if (strcmp(list[i].ir, ir)) {
                fprintf(stderr, "%s and %s write another kernel under the key\n  %s\n", list[i].from, from, key);
                CU_FAIL("one key, two kernels");
            }
            free(ir);
            return;
        }
    CU_ASSERT_FATAL(n < MAX_KERNELS);
    list[n++] = (seen){strdup(key), ir, from};
}

static void meet_all(zn_module *m, const char *from, bool in_place, const zn_target *t) {
    zn_diags d = {.path = from, .source = ""};
    zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = in_place}, &d);
    zn_build_info info = {.target = *t};
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (size_t i = 0; i < p->kernels.n; i++) {
        char *error = NULL;
        if (p->kernels.at[i]->family == ZN_KERNEL_OPENBLAS)
            continue;
        char *ir = zn_backend_kernel_ir(p->kernels.at[i], &info, &error);
        CU_ASSERT_PTR_NOT_NULL_FATAL(ir);
        meet(p->kernels.at[i]->key, ir, from);
    }
    zn_plan_free(p);
    zn_diags_free(&d);
}

static void one_key_one_kernel(void) {
    static const char *const file[] = {"examples/digits.znet",         "examples/digits_linear.znet",
                                       "examples/mnist_mlp.znet",      "examples/resnet18.znet",
                                       "examples/resnet20.znet",       "examples/resnet20_pre.znet",
                                       "examples/resnet50.znet",       "tests/numeric/nets/mlp.znet",
                                       "tests/numeric/nets/wino.znet", "tests/e2e/digest.znet"};
    static const char *const set[] = {NULL, "init=kaiming", "train.seed=7"};
    zn_target t;
    CU_ASSERT_TRUE_FATAL(zn_target_find(NULL, "native", &t));
    for (size_t f = 0; f < sizeof file / sizeof *file; f++)
        for (int level = 0; level <= 2; level += 2) {
            zn_module *m = tc_compile_file(file[f], set[f % 3], level, NULL);
            meet_all(m, file[f], level == 2, &t);
            zn_module_free(m);
        }
    zn_target_free(&t);
    printf("\n%zu kernels, met again %zu times ", n, met_again);
    CU_ASSERT_TRUE(met_again > 100);
    for (size_t i = 0; i < n; i++) {
        free(list[i].key);
        free(list[i].ir);
    }
}

#define TESTS(X) X(one_key_one_kernel)
ZN_UNIT_MAIN("keys", TESTS)
