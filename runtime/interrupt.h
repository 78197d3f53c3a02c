/* Ctrl-C, SIGTERM and SIGHUP: the first asks the loop to stop after its step, the second ends the process at once. */
#ifndef ZN_RUNTIME_INTERRUPT_H
#define ZN_RUNTIME_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

enum { ZN_RT_SIGNALS = 3 };
typedef struct zn_rt_interrupt {
    struct sigaction old[ZN_RT_SIGNALS];
} zn_rt_interrupt;

void zn_rt_interrupt_install(zn_rt_interrupt *saved);
void zn_rt_interrupt_restore(const zn_rt_interrupt *saved);
bool zn_rt_interrupted(void);

#endif
