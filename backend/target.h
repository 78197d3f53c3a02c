/* Facts about the processor that code is made for. */
#ifndef ZN_BACKEND_TARGET_H
#define ZN_BACKEND_TARGET_H

#include <stdbool.h>

typedef struct zn_target {
    const char *triple, *cpu, *features; /* as LLVM takes them */
    const char *needs;                   /* features the executable checks at start, comma-separated */
    int lanes;                           /* f32 in a vector register */
    int registers;                       /* vector registers */
} zn_target;

/* march: "native", "x86-64-v3", "x86-64-v4". False if unknown or not for this machine's architecture. The strings live
 * until zn_target_free. */
bool zn_target_find(const char *march, zn_target *out);
void zn_target_free(zn_target *t);

#endif
