/* Text of the language, from the first byte to the plan. */
#include "frontend/frontend.h"
#include "tests/fuzz/common.h"

enum { MAX_SIZE = 4096 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size > MAX_SIZE)
        return 0;
    const char *text = (const char *)data;
    zn_diags d = {.path = "f.znet", .source = text, .source_len = size};
    zn_frontend_options o = {.dir = "."};
    zn_buf tree = {0};
    zn_diags of_tree = {.path = "f.znet", .source = text, .source_len = size};
    bool parsed = zn_frontend_print_ast(text, size, &of_tree, &tree);
    zn_module *m = zn_frontend_compile(text, size, &o, &d);
    FZ_LAW((m != NULL) == (d.errors == 0));
    FZ_LAW(parsed || !m); /* what is wrong for the parser is wrong for the compiler */
    if (m)
        fz_compile(m, &d);
    fz_render(&d);
    zn_module_free(m);
    zn_diags_free(&d);
    zn_diags_free(&of_tree);
    zn_buf_free(&tree);
    return 0;
}
