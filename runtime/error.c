/* Messages of failures, in a buffer of the caller (see runtime/error.h). */
#include "runtime/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int zn_rt_fail(zn_rt_error *e, int code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return code;
}

void zn_rt_explain(zn_rt_error *e, const char *fmt, ...) {
    size_t n = strlen(e->text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text + n, sizeof e->text - n, fmt, ap);
    va_end(ap);
}
