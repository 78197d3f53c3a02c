/* IR text through the reader, the verifier, the passes and the printer. */
#include "ir/text.h"
#include "tests/fuzz/common.h"

enum { MAX_SIZE = 8192 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size > MAX_SIZE)
        return 0;
    const char *text = (const char *)data;
    zn_diags d = {.path = "f.zir", .source = text, .source_len = size};
    zn_module *m = zn_module_parse(text, size, &d);
    FZ_LAW((m != NULL) == (d.errors == 0));
    if (m) {
        FZ_LAW(zn_module_verify(m, &d));
        fz_compile(m, &d);
    }
    fz_render(&d);
    zn_module_free(m);
    zn_diags_free(&d);
    return 0;
}
