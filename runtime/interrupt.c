/* Signals (see runtime/interrupt.h). The handler counts; at the second signal it removes a half-written file, which no
 * one else would, and leaves. */
#include "runtime/interrupt.h"

#include "runtime/error.h"

#include "support/file.h"

#include <string.h>
#include <unistd.h>

static const int signals[ZN_RT_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t count;

static void handler(int signal) {
    (void)signal;
    if (count > 0) {
        zn_files_abandon();
        _exit(ZN_RT_STOPPED);
    }
    count = 1;
}

void zn_rt_interrupt_install(zn_rt_interrupt *saved) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    count = 0;
    for (int i = 0; i < ZN_RT_SIGNALS; i++)
        if (sigaction(signals[i], &action, &saved->old[i]) == 0 && signals[i] == SIGHUP &&
            saved->old[i].sa_handler == SIG_IGN)
            sigaction(signals[i], &saved->old[i], NULL); /* nohup */
}

void zn_rt_interrupt_restore(const zn_rt_interrupt *saved) {
    for (int i = 0; i < ZN_RT_SIGNALS; i++)
        sigaction(signals[i], &saved->old[i], NULL);
}

bool zn_rt_interrupted(void) {
    return count > 0;
}
