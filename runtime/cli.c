/* zn_rt_main (see runtime/runtime.h): options, the processor, and the loop. Prints through runtime/report.c only. */
#include "runtime/runtime.h"

#include "runtime/cpu.h"
#include "runtime/error.h"
#include "runtime/interrupt.h"
#include "runtime/options.h"
#include "runtime/predict.h"
#include "runtime/report.h"
#include "runtime/train.h"

#include "support/math.h"

#include <fenv.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

static int train(const zn_module_desc *m, const zn_rt_late *late, const zn_rt_options *o, zn_rt_report *report,
                 zn_rt_error *e) {
    zn_rt_interrupt saved;
    fenv_t environment;
    int code = zn_rt_cpu_check(m->features, m->cpu, e);
    if (code)
        return code;
    fegetenv(&environment);
    zn_math_flush_denormals(); /* as in every other thread */
    signal(SIGXFSZ, SIG_IGN);  /* a limit of file sizes is an error of writing as any other */
    zn_rt_interrupt_install(&saved);
    code = o->predict ? zn_rt_predict(m, late, o, e) : zn_rt_train(m, late, o, report, e);
    zn_rt_interrupt_restore(&saved);
    fesetenv(&environment);
    return code;
}

static int act(const zn_module_desc *m, const zn_rt_late *late, int argc, char **argv, const char *program,
               zn_rt_report *report, zn_rt_error *e) {
    zn_rt_options o;
    if (m->abi_version != ZN_ABI_VERSION)
        return zn_rt_fail(e, ZN_RT_INTERNAL, "the module has ABI version %" PRIu64 "; the runtime has %u",
                          m->abi_version, ZN_ABI_VERSION);
    int code = zn_rt_options_parse(&o, argc, argv, e);
    if (code)
        return code;
    zn_rt_report_open(report, o.progress, o.log_every);
    switch (o.action) {
    case ZN_RT_DO_HELP:
        return zn_rt_report_help(program, e);
    case ZN_RT_DO_VERSION:
        return zn_rt_report_version(m, e);
    case ZN_RT_DO_SOURCE:
        return zn_rt_report_source(m, e);
    default:
        return train(m, late, &o, report, e);
    }
}

int zn_rt_main(const zn_module_desc *m, int argc, char **argv) {
    return zn_rt_main_late(m, NULL, argc, argv);
}

int zn_rt_main_late(const zn_module_desc *m, const zn_rt_late *late, int argc, char **argv) {
    const char *program = argc > 0 && argv[0] ? argv[0] : "train", *slash = strrchr(program, '/');
    zn_rt_report report = {0};
    zn_rt_error e = {""};
    if (slash)
        program = slash + 1;
    int code = act(m, late, argc, argv, program, &report, &e);
    if (code && code != ZN_RT_STOPPED)
        zn_rt_report_error(&report, program, &e);
    return code;
}
