/* Objects into an executable through the C compiler driver: the descriptor as an object and all kernels as one archive,
 * in temporary files beside the result, and one rename at the end. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/backend.h"
#include "support/ice.h"

extern char **environ;

enum { MAX_ARGS = 128 };

typedef struct command {
    char *arg[MAX_ARGS];
    int n;
} command;

static void add(command *c, const char *s) {
    ZN_ASSERT(c->n + 1 < MAX_ARGS);
    char *copy = strdup(s);
    if (!copy)
        ZN_ICE("out of memory");
    c->arg[c->n++] = copy;
    c->arg[c->n] = NULL;
}

static void add_words(command *c, const char *words) {
    char *copy = strdup(words), *save = NULL;
    if (!copy)
        ZN_ICE("out of memory");
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        add(c, w);
    free(copy);
}

static char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *fmt, ...) {
    zn_buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    zn_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    return b.at;
}

static bool write_file(const char *path, const char *at, size_t n, char **error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    while (fd >= 0 && n) {
        ssize_t w = write(fd, at, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            break;
        at += w;
        n -= (size_t)w;
    }
    if (fd < 0 || n || close(fd)) {
        *error = text("cannot write `%s`: %s", path, strerror(errno));
        if (fd >= 0 && n)
            close(fd);
        return false;
    }
    return true;
}

static void log_command(const command *c, zn_buf *log) {
    for (int i = 0; log && i < c->n; i++)
        zn_buf_printf(log, "%s%s", i ? " " : "", c->arg[i]);
    if (log)
        zn_buf_putc(log, '\n');
}

static bool run(command *c, char **error) {
    pid_t pid;
    int status, rc = posix_spawnp(&pid, c->arg[0], NULL, NULL, c->arg, environ);
    if (rc) {
        *error = text("cannot run the C compiler driver `%s` that links the executable: %s; install one (gcc or clang) "
                      "or name it with --cc=PATH; `znetc run` needs none",
                      c->arg[0], strerror(rc));
        return false;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    *error = WIFEXITED(status) && WEXITSTATUS(status) == 127
                 ? text("cannot run the C compiler driver `%s`; name one with --cc=PATH", c->arg[0])
                 : text("`%s` could not link the executable (see above)", c->arg[0]);
    return false;
}

static bool exists(const char *dir) {
    char *path = text("%s/libzn_runtime.a", dir);
    bool ok = access(path, R_OK) == 0;
    free(path);
    return ok;
}

/* ---- the archive, as System V has it: a member named / with the symbols, then the objects */

static void member(zn_buf *b, const char *name, size_t size) {
    zn_buf_printf(b, "%-16s%-12d%-6d%-6d%-8d%-10zu`\n", name, 0, 0, 0, 644, size);
}

static void big_endian(zn_buf *b, size_t x) {
    for (int shift = 24; shift >= 0; shift -= 8)
        zn_buf_putc(b, (char)(x >> shift));
}

static size_t even(size_t n) {
    return n + n % 2;
}

/* Objects [0, n), each of which defines its symbol. */
static void make_archive(const zn_object *o, size_t n, zn_buf *b) {
    enum { HEADER = 60 };
    size_t index = 4 + 4 * n, at;
    for (size_t i = 0; i < n; i++)
        index += strlen(o[i].symbol) + 1;
    zn_buf_puts(b, "!<arch>\n");
    member(b, "/", index);
    big_endian(b, n);
    at = b->n - 4 + even(index);
    for (size_t i = 0; i < n; i++) {
        big_endian(b, at);
        at += HEADER + even(o[i].size);
    }
    for (size_t i = 0; i < n; i++)
        zn_buf_add(b, o[i].symbol, strlen(o[i].symbol) + 1);
    for (size_t i = 0; i < n; i++) {
        if (b->n % 2)
            zn_buf_putc(b, '\n');
        char name[32];
        snprintf(name, sizeof name, "%zu.o/", i);
        member(b, name, o[i].size);
        zn_buf_add(b, o[i].at, o[i].size);
    }
    if (b->n % 2)
        zn_buf_putc(b, '\n');
}

/* ---- linking */

static bool write_inputs(const zn_objects *o, const char *object, const char *archive, char **error) {
    const zn_object *descriptor = &o->at[o->n - 1];
    zn_buf kernels = {0};
    make_archive(o->at, o->n - 1, &kernels);
    bool ok = write_file(object, descriptor->at, descriptor->size, error) &&
              write_file(archive, kernels.at, kernels.n, error);
    zn_buf_free(&kernels);
    return ok;
}

static bool link_temps(const zn_objects *o, const zn_link_options *opt, const char *prefix, const char *temp,
                       zn_buf *log, char **error) {
    command c = {0};
    char *object = text("%s.o", prefix), *archive = text("%s.a", prefix);
    char *lib = text("%s/libzn_runtime.a", opt->runtime_dir);
    add(&c, opt->cc);
    add_words(&c, "-o");
    add(&c, temp);
    add(&c, object);
    add(&c, archive);
    add(&c, lib);
    add_words(&c, opt->libs);
    if (opt->openblas)
        add_words(&c, "-lopenblas");
    add_words(&c, "-lm -lpthread -Wl,--gc-sections");
    log_command(&c, log);
    bool ok = opt->dry || (write_inputs(o, object, archive, error) && run(&c, error));
    if (!opt->dry && !opt->save_temps) {
        unlink(object);
        unlink(archive);
    }
    free(lib);
    free(archive);
    free(object);
    while (c.n)
        free(c.arg[--c.n]);
    return ok;
}

bool zn_link(const zn_objects *o, const zn_link_options *opt, zn_buf *log, char **error) {
    if (!exists(opt->runtime_dir)) {
        *error =
            text("no libzn_runtime.a in `%s`: znetc finds the runtime relative to itself, in its build tree or where "
                 "it was installed",
                 opt->runtime_dir);
        return false;
    }
    char *temp = text("%s.%ld.tmp", opt->out, (long)getpid());
    bool ok = link_temps(o, opt, opt->save_temps ? opt->save_temps : temp, temp, log, error);
    if (ok && !opt->dry && rename(temp, opt->out)) {
        *error = text("cannot write `%s`: %s", opt->out, strerror(errno));
        ok = false;
    }
    if (!ok && !opt->dry)
        unlink(temp);
    free(temp);
    return ok;
}
