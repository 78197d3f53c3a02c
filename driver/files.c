/* See files.h. */
#include "driver/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/file.h"

enum { MAX_SOURCE = 64 << 20 };

__attribute__((format(printf, 1, 2))) static char *text(const char *fmt, ...) {
    zn_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    return b.at;
}

bool zn_file_read(const char *path, zn_buf *out, char **error) {
    bool standard = !strcmp(path, "-");
    struct stat st;
    if (!standard && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        *error = text("cannot read `%s`: it is a directory", path);
        return false;
    }
    FILE *f = standard ? stdin : fopen(path, "rb");
    if (!f) {
        *error = text("cannot read `%s`: %s", path, strerror(errno));
        return false;
    }
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0 && out->n <= MAX_SOURCE)
        zn_buf_add(out, block, n);
    bool ok = !ferror(f) && out->n <= MAX_SOURCE;
    if (!ok)
        *error = text("cannot read `%s`: %s", path, ferror(f) ? strerror(errno) : "larger than 64 MiB");
    if (!standard)
        fclose(f);
    return ok;
}

/* Text goes into what stands there: a terminal, a pipe, /dev/null. */
static bool write_into(const char *path, const void *at, size_t n, char **error) {
    bool standard = !strcmp(path, "-");
    FILE *f = standard ? stdout : fopen(path, "wb");
    bool ok = f && fwrite(at, 1, n, f) == n;
    ok = f && fflush(f) == 0 && ok;
    int err = errno;
    if (f && !standard && fclose(f) && ok) {
        err = errno;
        ok = false;
    }
    if (!ok)
        *error = standard ? text("cannot write to standard output: %s", strerror(err))
                          : text("cannot write `%s`: %s", path, strerror(err));
    return ok;
}

bool zn_file_check(const char *path, const char *source, bool is_text, char **error) {
    struct stat a, b;
    const char *obstacle = zn_file_obstacle(path), *slash = strrchr(path, '/');
    if (is_text && (!strcmp(path, "-") || (obstacle && strcmp(obstacle, "a directory"))))
        return true;
    if (!strcmp(path, "-")) {
        *error = text("this result does not go to standard output: name a file (`./-` is one)");
        return false;
    }
    if (obstacle) {
        *error = text("cannot write `%s`: it is %s", path, obstacle);
        return false;
    }
    if (strcmp(source, "-") && stat(path, &a) == 0 && stat(source, &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino) {
        *error = text("`%s` is the source: it would be overwritten", path);
        return false;
    }
    char *dir = text("%.*s", slash ? (int)(slash + 1 - path) : 1, slash ? path : ".");
    bool ok = *path && stat(dir, &a) == 0 && S_ISDIR(a.st_mode) && access(dir, W_OK | X_OK) == 0;
    if (!ok)
        *error = text("cannot write `%s`: %s", path, strerror(!*path ? ENOENT : errno ? errno : ENOTDIR));
    free(dir);
    return ok;
}

bool zn_file_write(const char *path, const void *at, size_t n, bool is_text, char **error) {
    if (is_text && (!strcmp(path, "-") || zn_file_obstacle(path)))
        return write_into(path, at, n, error);
    bool ok = zn_file_put(path, at, n, true);
    if (!ok)
        *error = text("cannot write `%s`: %s", path, strerror(errno));
    return ok;
}
