/* The tables of docs/language.md, made of ir/schema.def. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir/schema.h"
#include "support/number.h"

static void signature(const zn_sig *sig, zn_buf *out) {
    bool any = false;
    zn_buf_printf(out, "| `%s", sig->name);
    for (size_t i = 0; i < sig->n; i++) {
        const zn_sig_arg *a = &sig->arg[i];
        const char *value = a->value ? a->value : a->shown;
        if (a->planned)
            continue;
        zn_buf_printf(out, "%s%s", any ? ", " : "(", a->name);
        any = true;
        if (value && (*value || a->shown))
            zn_buf_printf(out, " [%s]", *value ? value : "none");
    }
    zn_buf_puts(out, any ? ")` |" : sig->group == ZN_GROUP_SOURCE ? "()` |" : "` |");
}

static const char *const groups[] = {
#define X(ID, text) text,
    ZN_GROUPS(X)
#undef X
};

static void range_text(const zn_sig_arg *a, zn_buf *out) {
    char low[ZN_NUMBER_MAX], high[ZN_NUMBER_MAX];
    zn_f64_json(a->low, low);
    zn_f64_json(a->high, high);
    switch (a->kind) {
    case ZN_A_INT:
        if (a->most >= INT32_MAX)
            zn_buf_printf(out, "integer from %lld", (long long)a->least);
        else
            zn_buf_printf(out, "integer, %lld to %lld", (long long)a->least, (long long)a->most);
        return;
    case ZN_A_FLOAT:
        if (isinf(a->low))
            zn_buf_puts(out, "number");
        else if (isinf(a->high))
            zn_buf_printf(out, a->above ? "number above %s" : "number from %s", low);
        else
            zn_buf_printf(out, a->below ? "number from %s, less than %s" : "number, %s to %s", low, high);
        return;
    case ZN_A_WORD:
        for (const char *p = a->words; *p && *p != '~';) {
            size_t n = strcspn(p, "|");
            zn_buf_printf(out, "%s`%.*s`", p == a->words ? "" : ", ", (int)n, p);
            p += n + (p[n] == '|');
        }
        return;
    case ZN_A_CALL:
        zn_buf_printf(out, "%s, below", groups[a->group]);
        return;
    default: {
        static const char *const text[] = {[ZN_A_ANY] = "value",
                                           [ZN_A_SPECIAL] = "below",
                                           [ZN_A_BOOL] = "true, false",
                                           [ZN_A_AUTO_BOOL] = "`auto`, true, false",
                                           [ZN_A_LENGTH] = "number above 0",
                                           [ZN_A_SIZE] = "integer or [rows, columns]",
                                           [ZN_A_PAD] = "`same`, `valid`, integer",
                                           [ZN_A_PATH] = "path",
                                           [ZN_A_COLUMN] = "name in quotes, integer",
                                           [ZN_A_EPOCHS] = "list of epochs",
                                           [ZN_A_FANS] = "number, `fan_in` and `fan_out`, + - * /, sqrt"};
        zn_buf_puts(out, text[a->kind]);
        return;
    }
    }
}

/* A row for each argument of each call of a group. */
static void arguments(zn_sig_group g, zn_buf *out) {
    zn_buf_puts(out, "| argument | value | |\n| --- | --- | --- |\n");
    for (zn_sig_id id = 0; id < ZN_SIG_COUNT; id++) {
        zn_sig sig = zn_sig_row(id);
        for (size_t i = 0; sig.group == g && !(sig.flags & (ZN_C_PLANNED | ZN_C_ALIAS)) && i < sig.n; i++) {
            const zn_sig_arg *a = &sig.arg[i];
            if (a->planned)
                continue;
            zn_buf_printf(out, "| `%s` of `%s` | ", a->name, sig.name);
            range_text(a, out);
            if (a->value)
                zn_buf_printf(out, " [%s]", a->value);
            else if (a->shown && *a->shown)
                zn_buf_printf(out, " [%s]", a->shown);
            zn_buf_printf(out, " | %s |\n", a->doc);
        }
    }
}

static void takes_and_gives(const zn_sig *sig, zn_buf *out) {
    if (sig->group == ZN_GROUP_LAYER) {
        zn_buf_printf(out, " %s |",
                      sig->flags & ZN_C_IMAGE    ? "`[h, w, c]`"
                      : sig->flags & ZN_C_VECTOR ? "`[n]`"
                                                 : "any");
        zn_buf_printf(out, *sig->gives == '[' ? " `%s` |" : " %s |", sig->gives);
    } else if (sig->group == ZN_GROUP_SOURCE) {
        char word[5][16] = {{0}};
        size_t n = 0;
        for (const char *p = sig->gives; *p && n < 5; n++) {
            size_t len = strcspn(p, " ");
            snprintf(word[n], sizeof word[n], "%.*s", (int)len, p);
            p += len + (p[len] == ' ');
        }
        if (n >= 3)
            zn_buf_printf(out, " `[%s, %s, %s]`", word[0], word[1], word[2]);
        if (n >= 4 && word[3][0] > '0' && word[3][0] <= '9')
            zn_buf_printf(out, ", %s classes", word[3]);
        zn_buf_puts(out, n ? " |" : " as the files say |");
    }
}

void zn_list_language(zn_buf *out) {
    static const struct {
        zn_sig_group group;
        const char *name, *head;
    } table[] = {
        {ZN_GROUP_LAYER, "layers", "| layer | takes | gives | |\n| --- | --- | --- | --- |\n"},
        {ZN_GROUP_SECTION, "sections", NULL},
        {ZN_GROUP_SOURCE, "sources", "| source | samples | |\n| --- | --- | --- |\n"},
        {ZN_GROUP_AUGMENT, "augmentations", "| augmentation | |\n| --- | --- |\n"},
        {ZN_GROUP_SCHEME, "starts", "| start | |\n| --- | --- |\n"},
        {ZN_GROUP_LOSS, "losses", "| loss | |\n| --- | --- |\n"},
        {ZN_GROUP_OPTIMIZER, "optimizers", "| optimizer | |\n| --- | --- |\n"},
        {ZN_GROUP_SCHEDULE, "schedules", "| schedule | |\n| --- | --- |\n"},
        {ZN_GROUP_CLIP, "clips", "| clip | |\n| --- | --- |\n"},
        {ZN_GROUP_AVERAGE, "averages", "| average | |\n| --- | --- |\n"},
        {ZN_GROUP_VIEW, "views", "| view | |\n| --- | --- |\n"},
        {ZN_GROUP_RESIDUAL, "residual", NULL},
    };
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        zn_buf_printf(out, "<!-- schema: %s -->\n%s", table[k].name, table[k].head ? table[k].head : "");
        for (zn_sig_id id = 0; table[k].head && id < ZN_SIG_COUNT; id++) {
            zn_sig sig = zn_sig_row(id);
            if (sig.group != table[k].group || (sig.flags & (ZN_C_PLANNED | ZN_C_ALIAS)))
                continue;
            signature(&sig, out);
            takes_and_gives(&sig, out);
            zn_buf_printf(out, " %s |\n", sig.doc);
        }
        if (table[k].head)
            zn_buf_putc(out, '\n');
        arguments(table[k].group, out);
        zn_buf_puts(out, "<!-- end -->\n");
    }
}
