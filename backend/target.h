/* Facts about the processor that code is made for. */
#ifndef ZN_BACKEND_TARGET_H
#define ZN_BACKEND_TARGET_H

#include <stdbool.h>

typedef struct zn_target {
    const char *triple, *cpu, *features; /* as LLVM takes them */
    const char *needs;                   /* features the executable checks at start, comma-separated */
    int lanes;                           /* f32 in a vector register */
    int registers;                       /* vector registers */
    bool halves;                         /* a vector is worked on in two halves, which cost half of it each */
} zn_target;

/* triple: of the machine that code is for, as clang's --target takes it; NULL = this one. march: "native" (of another
 * machine: the least that znet asks of it), "x86-64-v3", "x86-64-v4", "armv8-a". False if either is unknown, or march
 * is not of that architecture. The strings live until zn_target_free. */
bool zn_target_find(const char *triple, const char *march, zn_target *out);
/* May this machine run such code? Features are another question: see needs. */
bool zn_target_runs_here(const zn_target *t);
void zn_target_free(zn_target *t);

#endif
