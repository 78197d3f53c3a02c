/* Features of the processor (see runtime/cpu.h). Names that the compiler's run-time test does not know pass: they are
 * parts of the baseline or bring no instructions of their own. On other processors than x86 everything passes. */
#include "runtime/cpu.h"

#include <stdbool.h>
#include <string.h>

#if defined __x86_64__ || defined __i386__
/* LLVM's name, and that of __builtin_cpu_supports, which must be a literal. */
#define FEATURES(X)                                                                                                    \
    X("sse3", "sse3")                                                                                                  \
    X("ssse3", "ssse3")                                                                                                \
    X("sse4.1", "sse4.1")                                                                                              \
    X("sse4.2", "sse4.2")                                                                                              \
    X("sse4a", "sse4a")                                                                                                \
    X("popcnt", "popcnt")                                                                                              \
    X("avx", "avx")                                                                                                    \
    X("avx2", "avx2")                                                                                                  \
    X("fma", "fma")                                                                                                    \
    X("f16c", "f16c")                                                                                                  \
    X("lzcnt", "lzcnt")                                                                                                \
    X("movbe", "movbe")                                                                                                \
    X("bmi", "bmi")                                                                                                    \
    X("bmi2", "bmi2")                                                                                                  \
    X("gfni", "gfni")                                                                                                  \
    X("vaes", "vaes")                                                                                                  \
    X("vpclmulqdq", "vpclmulqdq")                                                                                      \
    X("avx512f", "avx512f")                                                                                            \
    X("avx512vl", "avx512vl")                                                                                          \
    X("avx512bw", "avx512bw")                                                                                          \
    X("avx512dq", "avx512dq")                                                                                          \
    X("avx512cd", "avx512cd")                                                                                          \
    X("avx512ifma", "avx512ifma")                                                                                      \
    X("avx512vbmi", "avx512vbmi")                                                                                      \
    X("avx512vbmi2", "avx512vbmi2")                                                                                    \
    X("avx512vnni", "avx512vnni")                                                                                      \
    X("avx512bitalg", "avx512bitalg")                                                                                  \
    X("avx512vpopcntdq", "avx512vpopcntdq")                                                                            \
    X("avx512bf16", "avx512bf16")                                                                                      \
    X("avx512fp16", "avx512fp16")                                                                                      \
    X("avxvnni", "avxvnni")

static bool present(const char *name, size_t n) {
#define X(llvm, gcc)                                                                                                   \
    if (n == sizeof llvm - 1 && memcmp(name, llvm, n) == 0)                                                            \
        return __builtin_cpu_supports(gcc);
    FEATURES(X)
#undef X
    return true;
}
#else
static bool present(const char *name, size_t n) {
    (void)name, (void)n;
    return true;
}
#endif

int zn_rt_cpu_check(const char *features, const char *compiled_for, zn_rt_error *e) {
    bool missing = false;
    for (const char *p = features ? features : ""; *p;) {
        size_t n = strcspn(p, ",");
        size_t plus = *p == '+';
        if (*p != '-' && !present(p + plus, n - plus)) {
            if (!missing)
                zn_rt_fail(e, ZN_RT_USAGE, "this processor has no ");
            zn_rt_explain(e, "%s%.*s", missing ? ", " : "", (int)(n - plus), p + plus);
            missing = true;
        }
        p += n;
        if (*p == ',')
            p++;
    }
    if (missing)
        zn_rt_explain(e,
                      "; the program was compiled for %s. Compile it again with --march=native here, or with a lower "
                      "--march",
                      compiled_for);
    return missing ? ZN_RT_USAGE : 0;
}
