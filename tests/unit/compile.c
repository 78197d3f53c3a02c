/* See compile.h. */
#include "tests/unit/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "passes/pass.h"

static zn_module *compile(const char *name, const char *text, size_t n, const char *set, int level, const char *last) {
    zn_diags d = {.path = name, .source = text, .source_len = n};
    zn_frontend_options o = {.nset = set != NULL, .set = &set, .dir = "."};
    zn_pass_ctx ctx = {.diags = &d};
    zn_module *m = zn_frontend_compile(text, n, &o, &d);
    bool ok = m != NULL;
    for (int i = 0; ok && i < ZN_PASS_COUNT; i++) {
        if (zn_pass_table[i].level <= level)
            ok = zn_pass_table[i].run(m, &ctx) && zn_module_verify(m, &d);
        if (last && !strcmp(zn_pass_table[i].name, last))
            break;
    }
    if (!ok) {
        fprintf(stderr, "%s: %s\n", name, d.first ? d.first->msg : "does not compile");
        exit(1);
    }
    zn_diags_free(&d);
    return m;
}

zn_module *tc_compile(const char *text, const char *set, int level, const char *last) {
    return compile("text", text, strlen(text), set, level, last);
}

zn_module *tc_compile_file(const char *path, const char *set, int level, const char *last) {
    char full[1024];
    static char text[1 << 16];
    snprintf(full, sizeof full, "%s/%s", ZN_TEST_SOURCE_DIR, path);
    FILE *f = fopen(full, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (!f || !n) {
        fprintf(stderr, "cannot read %s\n", full);
        exit(1);
    }
    text[n] = 0;
    fclose(f);
    return compile(path, text, n, set, level, last);
}

int64_t tc_trained(const zn_module *m) {
    int64_t n = 0;
    for (const zn_param *p = m->params; p; p = p->next)
        n += zn_role_trained(p->role) ? zn_type_count(&p->type) : 0;
    return n;
}

int tc_count(const zn_func *f, zn_op op) {
    int n = 0;
    for (const zn_value *v = f->first; v; v = v->next)
        n += v->op == op;
    return n;
}

const zn_param *tc_param(const zn_module *m, const char *name) {
    const zn_param *p = zn_param_find(m, name);
    if (!p) {
        fprintf(stderr, "there is no parameter %s\n", name);
        exit(1);
    }
    return p;
}
