/* See files.h. */
#include "driver/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

bool zn_file_write(const char *path, const void *at, size_t n, char **error) {
    if (!strcmp(path, "-")) {
        bool ok = fwrite(at, 1, n, stdout) == n;
        ok = fflush(stdout) == 0 && ok;
        if (!ok)
            *error = text("cannot write to standard output: %s", strerror(errno));
        return ok;
    }
    struct stat st;
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode); /* /dev/null, a pipe: nothing to rename */
    char *temp = special ? text("%s", path) : text("%s.%ld.tmp", path, (long)getpid());
    FILE *f = fopen(temp, "wb");
    bool ok = f && fwrite(at, 1, n, f) == n;
    int err = errno;
    if (f && fclose(f)) {
        err = ok ? errno : err;
        ok = false;
    }
    if (ok && !special && rename(temp, path)) {
        err = errno;
        ok = false;
    }
    if (!ok) {
        *error = text("cannot write `%s`: %s", path, strerror(err));
        if (f && !special)
            unlink(temp);
    }
    zn_buf_free(&(zn_buf){.at = temp});
    return ok;
}
