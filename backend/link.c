/* Objects into an executable through the C compiler driver: the descriptor as an object and all kernels as one archive,
 * in a directory of their own beside the result, and one rename at the end.
 *
 * The driver runs in a process group of its own, so that a signal ends it before its files are removed
 * (zn_link_abandon), and what it prints names files by the user's names. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/backend.h"
#include "support/file.h"
#include "support/ice.h"

extern char **environ;

enum { MAX_ARGS = 128 };
static const char result_name[] = "train", object_name[] = "train.o", archive_name[] = "kernels.a";

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

static void log_command(const command *c, zn_buf *log) {
    for (int i = 0; log && i < c->n; i++)
        zn_buf_printf(log, "%s%s", i ? " " : "", c->arg[i]);
    if (log)
        zn_buf_putc(log, '\n');
}

static volatile sig_atomic_t child; /* the driver's process; 0 = none */

void zn_link_abandon(void) {
    if (child > 0) {
        kill(-(pid_t)child, SIGTERM);
        while (waitpid((pid_t)child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}

/* All that comes from fd, without the directory's name where it stands before a file's. */
static void read_messages(int fd, const char *dir, zn_buf *out) {
    char block[4096];
    zn_buf raw = {0};
    size_t n = strlen(dir);
    for (ssize_t r; (r = read(fd, block, sizeof block)) > 0 || (r < 0 && errno == EINTR);)
        if (r > 0)
            zn_buf_add(&raw, block, (size_t)r);
    for (const char *p = zn_buf_str(&raw); *p;) {
        if (!strncmp(p, dir, n) && p[n] == '/')
            p += n + 1;
        else
            zn_buf_putc(out, *p++);
    }
    zn_buf_free(&raw);
}

/* Starts the command with its standard error at fd. */
static int start(command *c, int fd, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    if (posix_spawn_file_actions_init(&files) || posix_spawnattr_init(&attr))
        ZN_ICE("out of memory");
    posix_spawn_file_actions_adddup2(&files, fd, STDERR_FILENO);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attr, 0);
    int rc = posix_spawnp(pid, c->arg[0], &files, &attr, c->arg, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static bool run(command *c, const char *dir, zn_buf *messages, char **error) {
    pid_t pid;
    int status, ends[2];
    if (pipe2(ends, O_CLOEXEC)) {
        *error = text("cannot make a pipe: %s", strerror(errno));
        return false;
    }
    int rc = start(c, ends[1], &pid);
    close(ends[1]);
    if (rc) {
        close(ends[0]);
        *error = text("cannot run the C compiler driver `%s` that links the executable: %s; install one (gcc or clang) "
                      "or name it with --cc=PATH; `znetc run` needs none",
                      c->arg[0], strerror(rc));
        return false;
    }
    child = pid;
    read_messages(ends[0], dir, messages);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    child = 0;
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

static bool write_one(const char *path, const char *at, size_t n, char **error) {
    if (zn_file_put(path, at, n, false))
        return true;
    *error = text("cannot write `%s`: %s", path, strerror(errno));
    return false;
}

static bool write_inputs(const zn_objects *o, const char *object, const char *archive, char **error) {
    const zn_object *descriptor = &o->at[o->n - 1];
    zn_buf kernels = {0};
    make_archive(o->at, o->n - 1, &kernels);
    bool ok =
        write_one(object, descriptor->at, descriptor->size, error) && write_one(archive, kernels.at, kernels.n, error);
    zn_buf_free(&kernels);
    return ok;
}

static void make_command(const zn_link_options *opt, const char *out, const char *object, const char *archive,
                         command *c) {
    char *lib = text("%s/libzn_runtime.a", opt->runtime_dir);
    add(c, opt->cc);
    add_words(c, "-o");
    add(c, out);
    add(c, object);
    add(c, archive);
    add(c, lib);
    add_words(c, opt->libs);
    if (opt->openblas)
        add_words(c, "-lopenblas");
    add_words(c, "-lm -lpthread -Wl,--gc-sections");
    free(lib);
}

/* A name as the driver takes it for a file's: not for an option, nor for a file of arguments. */
static char *safe_name(const char *path) {
    return text("%s%s", path[0] == '-' || path[0] == '@' ? "./" : "", path);
}

/* The program that stands in the scratch directory becomes opt->out, as any other result does. */
static bool take_result(const zn_link_options *opt, const char *made, char **error) {
    struct stat st;
    const char *obstacle = zn_file_obstacle(opt->out);
    int fd = open(made, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0 && !obstacle;
    if (fd >= 0)
        close(fd);
    if (ok && stat(opt->out, &st) == 0) /* as linkers do: what replaces a file may be run by whom the file was for */
        ok = chmod(made, (st.st_mode & 07777) | 0100) == 0;
    ok = ok && rename(made, opt->out) == 0;
    if (!ok)
        *error = text("cannot write `%s`: %s", opt->out, obstacle ? obstacle : strerror(errno));
    return ok;
}

static bool link_in(const zn_scratch *s, const zn_objects *o, const zn_link_options *opt, zn_buf *messages,
                    char **error) {
    char *made = text("%s/%s", s->dir, result_name), *object = text("%s/%s", s->dir, object_name),
         *archive = text("%s/%s", s->dir, archive_name);
    command c = {0};
    make_command(opt, made, object, archive, &c);
    bool ok =
        write_inputs(o, object, archive, error) && run(&c, s->dir, messages, error) && take_result(opt, made, error);
    while (c.n)
        free(c.arg[--c.n]);
    free(archive);
    free(object);
    free(made);
    return ok;
}

/* The command as a user would give it, with the objects under the names that --save-temps gives them. */
static void log_link(const zn_link_options *opt, zn_buf *log) {
    char *out = safe_name(opt->out), *object = text("%s.o", out), *archive = text("%s.a", out);
    command c = {0};
    make_command(opt, out, object, archive, &c);
    log_command(&c, log);
    while (c.n)
        free(c.arg[--c.n]);
    free(archive);
    free(object);
    free(out);
}

static bool save_temps(const zn_objects *o, const char *out, char **error) {
    char *object = text("%s.o", out), *archive = text("%s.a", out);
    bool ok = write_inputs(o, object, archive, error);
    free(archive);
    free(object);
    return ok;
}

bool zn_link(const zn_objects *o, const zn_link_options *opt, zn_buf *log, zn_buf *messages, char **error) {
    zn_scratch s;
    if (!exists(opt->runtime_dir)) {
        *error =
            text("no libzn_runtime.a in `%s`: znetc finds the runtime relative to itself, in its build tree or where "
                 "it was installed",
                 opt->runtime_dir);
        return false;
    }
    if (log)
        log_link(opt, log);
    if (opt->dry)
        return true;
    char *beside = safe_name(opt->out);
    bool ok = zn_scratch_open(&s, beside, (const char *const[]){result_name, object_name, archive_name, NULL});
    free(beside);
    if (!ok) {
        *error = text("cannot write `%s`: %s", opt->out, strerror(errno));
        return false;
    }
    ok = (!opt->save_temps || save_temps(o, opt->out, error)) && link_in(&s, o, opt, messages, error);
    zn_scratch_close(&s);
    return ok;
}
