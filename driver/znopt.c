/* znopt: runs passes on IR text, the twin of opt and mlir-opt. Reads a .zir file, writes IR text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/files.h"
#include "driver/pipeline.h"
#include "driver/render.h"

static const char usage[] =
    "usage: znopt FILE.zir [--passes=a,b] [--print-after=PASS] [--print-after-all] [--verify-each] [--no-loc]\n"
    "             [--time-passes] [--list-passes] [--list-ops] [-v] [-o OUT]\n"
    "Reads IR text (- is standard input), runs the passes, prints the result.\n";

static int fail(int code, char *message) {
    fprintf(stderr, "znopt: %s\n", message);
    free(message);
    return code;
}

static int opt(const char *path, const char *out, zn_pipeline *p) {
    zn_buf text = {0}, shown = {0}, result = {0};
    char *error = NULL;
    int code = 0;
    if (!zn_file_read(path, &text, &error)) {
        zn_buf_free(&text);
        return fail(3, error);
    }
    zn_diags d = {.path = path, .source = zn_buf_str(&text), .source_len = text.n};
    zn_module *m = zn_module_parse(zn_buf_str(&text), text.n, &d);
    if (m) { /* places of values are in the .znet file that the module came from, which is not here */
        d.source = "";
        d.source_len = 0;
    }
    if (!m || !zn_pipeline_run(m, p, &d))
        code = 1;
    zn_diags_sort(&d);
    zn_render_text(&d, false, &shown);
    fputs(zn_buf_str(p->dumps), stderr);
    if (p->log)
        fputs(zn_buf_str(p->log), stderr);
    fputs(zn_buf_str(&shown), stderr);
    if (!code) {
        (p->no_loc ? zn_module_print_no_loc : zn_module_print)(m, &result);
        if (!zn_file_write(out, zn_buf_str(&result), result.n, true, &error))
            code = fail(3, error);
    }
    zn_module_free(m);
    zn_diags_free(&d);
    zn_buf_free(&text);
    zn_buf_free(&shown);
    zn_buf_free(&result);
    return code;
}

int main(int argc, char **argv) {
    zn_buf dumps = {0}, log = {0}, list = {0};
    zn_pipeline p = {.passes = "", .dumps = &dumps};
    const char *path = NULL, *out = "-";
    char *error = NULL;
    int code = -1;
    for (int i = 1; i < argc && code < 0; i++) {
        const char *a = argv[i];
        if (!strncmp(a, "--passes=", 9))
            p.passes = a + 9;
        else if (!strncmp(a, "--print-after=", 14))
            p.print_after = a + 14;
        else if (!strcmp(a, "--print-after-all"))
            p.print_after = "all";
        else if (!strcmp(a, "--verify-each"))
            p.verify_each = true;
        else if (!strcmp(a, "--no-loc"))
            p.no_loc = true;
        else if (!strcmp(a, "--time-passes"))
            p.time_passes = true;
        else if (!strcmp(a, "-v"))
            p.log = &log;
        else if (!strcmp(a, "-o") && i + 1 < argc)
            out = argv[++i];
        else if (!strcmp(a, "--list-passes") || !strcmp(a, "--list-ops")) {
            a[7] == 'p' ? zn_list_passes(&list) : zn_list_ops(false, &list);
            code = 0;
        } else if (!strcmp(a, "--help")) {
            zn_buf_puts(&list, usage);
            code = 0;
        } else if ((a[0] == '-' && a[1]) || path) {
            fprintf(stderr, "znopt: unexpected argument `%s`\n%s", a, usage);
            code = 2;
        } else {
            path = a;
        }
    }
    fputs(zn_buf_str(&list), stdout);
    if (code < 0 && !path) {
        fputs(usage, stderr);
        code = 2;
    }
    if (code < 0)
        code = zn_pipeline_check(&p, &error) ? opt(path, out, &p) : fail(2, error);
    zn_buf_free(&dumps);
    zn_buf_free(&log);
    zn_buf_free(&list);
    return code;
}
