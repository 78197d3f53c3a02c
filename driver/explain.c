/* What a code means, how to mend it, and an example of what is wrong and what is right.
 *
 * The examples are driver/examples.txt, which the build puts into the program; tests/explain.sh compiles them. */
#include "driver/explain.h"

#include <string.h>

#include "support/ice.h"

static const char examples[] = {
#include "driver/examples.inc"
    0};

static const char *severity(zn_diag_id id) {
    return zn_diag_table[id].sev == ZN_SEV_ERROR ? "error" : "warning";
}

/* The part of an example from its line `kind`, which may go on with options, to the next such line. */
static void part(const char *s, const char *end, const char *kind, zn_buf *out) {
    bool on = false;
    for (const char *next; s < end; s = next) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        size_t n = nl ? (size_t)(nl - s) : (size_t)(end - s), word = strcspn(s, " \n");
        next = s + n + (nl != NULL);
        bool wrong = word == 5 && !memcmp(s, "wrong", 5), right = word == 5 && !memcmp(s, "right", 5);
        if (wrong || right) {
            on = !memcmp(s, kind, 5);
            if (on)
                zn_buf_printf(out, "\n%s%s%.*s:\n", kind, n > word ? ", with" : "", (int)(n - word), s + word);
        } else if (on) {
            zn_buf_printf(out, "    %.*s\n", (int)n, s);
        }
    }
}

static void one(zn_diag_id id, zn_buf *out) {
    char head[16] = "\n== ";
    memcpy(head + 4, zn_diag_table[id].code, 7);
    const char *s = strstr(examples, head);
    if (!s)
        ZN_ICE("no example of %s", zn_diag_table[id].code);
    s += strlen(head) + 1;
    const char *end = strstr(s, "\n== ");
    end = end ? end + 1 : s + strlen(s);
    zn_buf_printf(out, "%s, %s: %s\n", zn_diag_table[id].code, severity(id), zn_diag_table[id].doc);
    part(s, end, "wrong", out);
    part(s, end, "right", out);
}

void zn_explain(zn_diag_id id, zn_buf *out) {
    if (id != ZN_DIAG_COUNT) {
        one(id, out);
        return;
    }
    for (id = 0; id < ZN_DIAG_COUNT; id++) {
        const char *doc = zn_diag_table[id].doc, *stop = strstr(doc, ". ");
        size_t n = stop ? (size_t)(stop - doc) + 1 : strlen(doc);
        zn_buf_printf(out, "%s  %-7s  %.*s\n", zn_diag_table[id].code, severity(id), (int)n, doc);
    }
}
