/* See common.h. Internal errors abort here, so that a fuzzer sees them: the build wraps zn_ice. */
#include "tests/fuzz/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/pipeline.h"
#include "driver/render.h"
#include "passes/plan.h"
#include "passes/prove/lints.h"

enum { MAX_VALUES = 150, MAX_VERIFIED = 60, MAX_PROVEN = 100 }; /* larger modules take long and show nothing new */

_Noreturn void __wrap_zn_ice(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void __wrap_zn_ice(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    fprintf(stderr, "internal error at %s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

void fz_render(zn_diags *d) {
    zn_buf text = {0};
    zn_diags_sort(d);
    zn_render_text(d, true, &text);
    zn_render_json(d, &text);
    for (const zn_diag *x = d->first; x; x = x->next)
        FZ_LAW(x->msg && *x->msg);
    zn_buf_free(&text);
}

void fz_compile(zn_module *m, zn_diags *d) {
    zn_buf log = {0};
    size_t values = 0;
    for (zn_func *f = m->funcs; f; f = f->next)
        for (zn_value *v = f->first; v; v = v->next)
            values++;
    zn_pipeline p = {.level = 2, .verify_each = values <= MAX_VERIFIED, .log = &log, .dumps = &log};
    if (values <= MAX_VALUES && zn_pipeline_run(m, &p, d)) {
        zn_plan *plan = zn_plan_make(m, (zn_plan_options){.in_place = true}, d);
        if (plan)
            zn_plan_print(plan, &log);
        else
            FZ_LAW(d->errors > 0);
        zn_plan_free(plan);
        zn_proof *proof = values <= MAX_PROVEN ? zn_prove(m, NULL) : NULL;
        if (proof) {
            zn_lint_proof(proof, d);
            zn_proof_print(proof, true, &log);
        }
        zn_proof_free(proof);
        zn_lint_variance(m, d);
    } else if (values <= MAX_VALUES) {
        FZ_LAW(d->errors > 0);
    }
    zn_buf_free(&log);
}
