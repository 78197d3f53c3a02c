/* Selectors: segments matched by recursion over `**`, whose depth is that of the path. */
#include "ir/selector.h"

#include <stdio.h>
#include <string.h>

/* One segment of n characters against one of m. */
static bool segment(const char *s, size_t n, const char *p, size_t m) {
    size_t star = SIZE_MAX, mark = 0, i = 0, k = 0;
    while (k < m) {
        if (i < n && s[i] == '*') {
            star = i++;
            mark = k;
        } else if (i < n && s[i] == p[k]) {
            i++;
            k++;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            k = ++mark;
        } else {
            return false;
        }
    }
    while (i < n && s[i] == '*')
        i++;
    return i == n;
}

static size_t length(const char *s, const char *end) {
    const char *dot = memchr(s, '.', (size_t)(end - s));
    return dot ? (size_t)(dot - s) : (size_t)(end - s);
}

/* s of a selector against [p, end) of a path. */
static bool match(const char *s, const char *p, const char *end) {
    for (;;) {
        const char *stop = s + strlen(s);
        if (s == stop)
            return p == end;
        size_t n = length(s, stop);
        const char *after = s + n + (s[n] == '.');
        if (n == 2 && !strncmp(s, "**", 2)) {
            if (!*after)
                return true;
            for (;; p += 1) {
                if (match(after, p, end))
                    return true;
                p += length(p, end);
                if (p == end)
                    return false;
            }
        }
        if (p == end)
            return false;
        size_t m = length(p, end);
        if (!segment(s, n, p, m))
            return false;
        s = after;
        p += m + (p + m < end);
    }
}

bool zn_selector_names(const char *selector, const char *path) {
    return match(selector, path, path + strlen(path));
}

bool zn_selector_matches(const char *selector, const char *path) {
    const char *leaf = strrchr(path, '.');
    return zn_selector_names(selector, path) || (leaf && match(selector, path, leaf));
}

void zn_selector_suggest(const zn_module *m, const char *selector, zn_diags *d, zn_diag *x) {
    enum { MOST = 4096 };
    const char *names[MOST];
    size_t n = 0;
    zn_arena scratch = {0};
    for (const zn_param *p = m->params; p && n + 1 < MOST; p = p->next) {
        if (zn_selector_matches(selector, p->name))
            continue; /* it is there, but not trained */
        const char *leaf = strrchr(p->name, '.');
        names[n++] = p->name;
        if (leaf) /* the layer */
            names[n++] = zn_arena_strndup(&scratch, p->name, (size_t)(leaf - p->name));
    }
    const char *near = zn_nearest_name(selector, names, n);
    if (near)
        zn_diag_note(d, x, ZN_NOTE_HELP, (zn_span){0}, "did you mean `%s`?", near);
    else if (m->params)
        zn_diag_note(d, x, ZN_NOTE_HELP, (zn_span){0},
                     "paths look like `%s`; `*` stands for part of a segment, `**` for any number of segments",
                     m->params->name);
    zn_arena_free(&scratch);
}

const zn_conf *zn_rule_get(const zn_module *m, const char *base, int i, const char *name) {
    char key[96];
    snprintf(key, sizeof key, "%s.rule%d.%s", base, i, name);
    return zn_conf_get(m, key);
}

const char *zn_rule_selector(const zn_module *m, const char *base, int i) {
    const zn_conf *c = zn_rule_get(m, base, i, "path");
    return c && c->kind == ZN_CONF_STR ? c->s : NULL;
}

int zn_rule_of(const zn_module *m, const char *base, const char *path) {
    int last = -1;
    const char *selector;
    for (int i = 0; (selector = zn_rule_selector(m, base, i)); i++)
        if (zn_selector_matches(selector, path))
            last = i;
    return last;
}
