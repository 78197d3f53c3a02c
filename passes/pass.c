/* The table of passes and the log they write to. */
#include "passes/pass.h"

#include <stdarg.h>
#include <string.h>

const zn_pass_info zn_pass_table[ZN_PASS_COUNT] = {
#define ZN_PASS(ID, name, fn, level, doc) [ZN_PASS_##ID] = {name, zn_pass_##fn, level, doc},
#include "passes/passes.def"
};

zn_pass_id zn_pass_from_name(const char *name, size_t n) {
    int i = 0;
    while (i < ZN_PASS_COUNT && (strlen(zn_pass_table[i].name) != n || memcmp(zn_pass_table[i].name, name, n)))
        i++;
    return (zn_pass_id)i;
}

void zn_pass_log(zn_pass_ctx *ctx, const char *fmt, ...) {
    if (!ctx->log)
        return;
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(ctx->log, fmt, ap);
    va_end(ap);
    zn_buf_putc(ctx->log, '\n');
}
