/* The processor that code is made for: LLVM's name and features, and the vector shape that kernels are blocked for. */
#include "backend/target.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>

#include "support/buf.h"

/* Features that code for a processor may use and that the executable asks for at start, as LLVM spells them. */
static const char *const checked[] = {"avx",
                                      "avx2",
                                      "fma",
                                      "f16c",
                                      "bmi",
                                      "bmi2",
                                      "lzcnt",
                                      "movbe",
                                      "avx512f",
                                      "avx512bw",
                                      "avx512cd",
                                      "avx512dq",
                                      "avx512vl",
                                      "avx512vbmi",
                                      "avx512ifma",
                                      "avx512vnni",
                                      "avx512bf16",
                                      "avx512bitalg",
                                      "avx512vpopcntdq",
                                      "avx512vbmi2"};
#define V3 "avx,avx2,fma,f16c,bmi,bmi2,lzcnt,movbe"
#define V4 V3 ",avx512f,avx512bw,avx512cd,avx512dq,avx512vl"

static bool has(const char *features, const char *name) {
    size_t n = strlen(name);
    for (const char *p = features; (p = strstr(p, name)); p += n)
        if (p > features && p[-1] == '+' && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

static char *copy(const char *s) {
    zn_buf b = {0};
    zn_buf_puts(&b, s);
    return b.at;
}

bool zn_target_find(const char *march, zn_target *out) {
    char *triple = LLVMGetDefaultTargetTriple();
    bool x86 = !strncmp(triple, "x86_64", 6), arm = !strncmp(triple, "aarch64", 7), native = !strcmp(march, "native");
    *out = (zn_target){.triple = copy(triple)};
    LLVMDisposeMessage(triple);
    if (native) {
        char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
        out->cpu = copy(cpu);
        out->features = copy(features);
        LLVMDisposeMessage(cpu);
        LLVMDisposeMessage(features);
        zn_buf needs = {0};
        for (size_t i = 0; x86 && i < sizeof checked / sizeof *checked; i++)
            if (has(out->features, checked[i]))
                zn_buf_printf(&needs, "%s%s", needs.n ? "," : "", checked[i]);
        out->needs = copy(zn_buf_str(&needs));
        zn_buf_free(&needs);
        bool v4 = has(out->features, "avx512f") && has(out->features, "avx512vl") && has(out->features, "avx512dq") &&
                  has(out->features, "avx512bw");
        bool v3 = has(out->features, "avx2") && has(out->features, "fma");
        out->lanes = arm ? 4 : v4 ? 16 : v3 ? 8 : 0;
        out->registers = arm || v4 ? 32 : 16;
        return out->lanes != 0;
    }
    if (!x86 || (strcmp(march, "x86-64-v3") && strcmp(march, "x86-64-v4")))
        return false;
    bool v4 = march[strlen(march) - 1] == '4';
    out->cpu = copy(march);
    out->features = copy("");
    out->needs = copy(v4 ? V4 : V3);
    out->lanes = v4 ? 16 : 8;
    out->registers = v4 ? 32 : 16;
    return true;
}

void zn_target_free(zn_target *t) {
    free((char *)t->triple);
    free((char *)t->cpu);
    free((char *)t->features);
    free((char *)t->needs);
    *t = (zn_target){0};
}
