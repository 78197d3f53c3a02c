/* Code for processors that are not here: every family of kernels becomes an object for AArch64, whose vectors have 4
 * lanes (NEON). What such code computes is tested on this processor in the same shape (test_kernels.c, "4 lanes").
 *
 * usage: test_targets DIR: every kernel of the files DIR/op_*.zir that have @train_step, as they stand and fused. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "tests/numeric/harness.h"

enum { SKIPPED = 77 };

static const struct {
    const char *triple, *march;
    unsigned char machine; /* e_machine of the ELF header, its low byte */
} target = {"aarch64-linux-gnu", "native", 183};

static const char *const family_names[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = name,
#include "ir/kernels.def"
};

static size_t met[ZN_KERNEL_COUNT];

/* A kernel of each key is compiled once. */
static bool is_new(const char *key) {
    static char *seen[4096];
    static size_t n;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(seen[i], key))
            return false;
    if (n < sizeof seen / sizeof *seen)
        seen[n++] = strdup(key);
    return true;
}

static bool is_object(const zn_object *o) {
    static const unsigned char magic[] = {0x7F, 'E', 'L', 'F', 2};
    return o->size > 64 && !memcmp(o->at, magic, sizeof magic) && (unsigned char)o->at[18] == target.machine;
}

static bool check(zn_module *m, const char *name, const zn_target *t) {
    zn_diags d = {.path = name, .source = ""};
    zn_build_info info = {.target = *t};
    zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = true}, &d);
    bool ok = p != NULL;
    for (size_t i = 0; ok && i < p->kernels.n; i++) {
        const zn_kernel_plan *k = p->kernels.at[i];
        char *error = NULL;
        zn_object o = {0};
        if (k->family == ZN_KERNEL_OPENBLAS || !is_new(k->key))
            continue;
        ok = zn_backend_kernel(k, &info, &o, &error) && is_object(&o);
        if (!ok)
            fprintf(stderr, "FAIL %s, %s: %s\n", name, k->name, error ? error : "no object");
        met[k->family]++;
        free(o.at);
        free(error);
    }
    zn_plan_free(p);
    zn_diags_free(&d);
    return ok;
}

int main(int argc, char **argv) {
    char pattern[4096];
    size_t bad = 0, kernels = 0;
    glob_t g;
    zn_target t;
    if (argc != 2) {
        fprintf(stderr, "usage: test_targets DIR\n");
        return 2;
    }
    if (!zn_backend_knows(target.triple)) {
        printf("SKIPPED: this LLVM has no code generator for %s\n", target.triple);
        return SKIPPED;
    }
    if (!zn_target_find(target.triple, target.march, &t) || t.lanes != 4 || t.registers != 32) {
        fprintf(stderr, "FAIL %s is unknown, or of another shape\n", target.triple);
        return 1;
    }
    snprintf(pattern, sizeof pattern, "%s/op_*.zir", argv[1]);
    if (glob(pattern, 0, NULL, &g)) {
        fprintf(stderr, "no file is %s\n", pattern);
        return 1;
    }
    for (size_t i = 0; i < g.gl_pathc; i++) {
        size_t n;
        const char *name = strrchr(g.gl_pathv[i], '/') + 1;
        char *text = th_read(g.gl_pathv[i], &n);
        zn_module *m = th_parse(name, text, n);
        if (zn_func_find(m, "train_step")) {
            zn_module *fused = th_copy(m);
            zn_pass_ctx ctx = {0};
            zn_pass_fuse(fused, &ctx);
            bad += !check(m, name, &t) + (size_t)!check(fused, name, &t);
            zn_module_free(fused);
        }
        zn_module_free(m);
        free(text);
    }
    globfree(&g);
    zn_target_free(&t);
    for (int f = 0; f < ZN_KERNEL_COUNT; f++) {
        kernels += met[f];
        if (family_names[f] && f != ZN_KERNEL_OPENBLAS && !met[f]) {
            fprintf(stderr, "FAIL no case has a kernel of family %s\n", family_names[f]);
            bad++;
        }
    }
    printf("%zu kernels for %s, %zu wrong\n", kernels, target.triple, bad);
    return bad != 0;
}
