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

typedef enum architecture { OTHER, X86_64, AARCH64 } architecture;
static architecture architecture_of(const char *triple) {
    return !strncmp(triple, "x86_64-", 7) ? X86_64 : !strncmp(triple, "aarch64-", 8) ? AARCH64 : OTHER;
}

static architecture this_architecture(void) {
    char *triple = LLVMGetDefaultTargetTriple();
    architecture a = architecture_of(triple);
    LLVMDisposeMessage(triple);
    return a;
}

/* The vectors of that architecture at this level. */
static void set_vectors(zn_target *t, architecture a, bool v4) {
    t->lanes = a == AARCH64 ? 4 : v4 ? 16 : 8;
    t->registers = a == AARCH64 || v4 ? 32 : 16;
}

static bool this_processor(zn_target *out, architecture a) {
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    zn_buf needs = {0};
    out->cpu = copy(cpu);
    out->features = copy(features);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    for (size_t i = 0; a == X86_64 && i < sizeof checked / sizeof *checked; i++)
        if (has(out->features, checked[i]))
            zn_buf_printf(&needs, "%s%s", needs.n ? "," : "", checked[i]);
    out->needs = copy(zn_buf_str(&needs));
    zn_buf_free(&needs);
    set_vectors(out, a,
                has(out->features, "avx512f") && has(out->features, "avx512vl") && has(out->features, "avx512dq") &&
                    has(out->features, "avx512bw"));
    out->halves = out->lanes == 16 && !strcmp(out->cpu, "znver4"); /* Zen 4: data paths of 256 bits */
    return a == AARCH64 || (has(out->features, "avx2") && has(out->features, "fma"));
}

bool zn_target_find(const char *triple, const char *march, zn_target *out) {
    char *normal = triple ? LLVMNormalizeTargetTriple(triple) : LLVMGetDefaultTargetTriple();
    architecture a = architecture_of(normal);
    *out = (zn_target){.triple = copy(normal)};
    LLVMDisposeMessage(normal);
    if (a == OTHER)
        return false;
    if (!strcmp(march, "native")) {
        if (a == this_architecture())
            return this_processor(out, a);
        march = a == AARCH64 ? "armv8-a" : "x86-64-v3";
    }
    bool v4 = !strcmp(march, "x86-64-v4");
    if (a == AARCH64 ? strcmp(march, "armv8-a") != 0 : !v4 && strcmp(march, "x86-64-v3"))
        return false;
    out->cpu = copy(a == AARCH64 ? "generic" : march);
    out->features = copy(a == AARCH64 ? "+neon" : "");
    out->needs = copy(a == AARCH64 ? "" : v4 ? V4 : V3);
    set_vectors(out, a, v4);
    return true;
}

bool zn_target_runs_here(const zn_target *t) {
    return architecture_of(t->triple) == this_architecture();
}

void zn_target_free(zn_target *t) {
    free((char *)t->triple);
    free((char *)t->cpu);
    free((char *)t->features);
    free((char *)t->needs);
    *t = (zn_target){0};
}
