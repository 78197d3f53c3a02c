/* See file.h. Unfinished names stand in a fixed list, so that a signal handler can remove them: a slot is taken by its
 * state, filled, and then shown; only the thread that took it lets it go. */
#include "support/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 96, TRIES = 100, TAG = 12 };
enum { FREE, TAKEN, IS_FILE, IS_DIRECTORY };

static struct {
    atomic_int state;
    char name[PATH_MAX];
} unfinished[SLOTS];

/* A file without a slot is only not removed by signals. */
static int remember(const char *name, int state) {
    for (int i = 0; i < SLOTS; i++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&unfinished[i].state, &expected, TAKEN))
            continue;
        memcpy(unfinished[i].name, name, strlen(name) + 1);
        atomic_store(&unfinished[i].state, state);
        return i;
    }
    return -1;
}

static void forget(int slot) {
    if (slot >= 0)
        atomic_store(&unfinished[slot].state, FREE);
}

void zn_files_abandon(void) {
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&unfinished[i].state) == IS_FILE)
            unlink(unfinished[i].name);
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&unfinished[i].state) == IS_DIRECTORY)
            rmdir(unfinished[i].name);
}

const char *zn_file_obstacle(const char *path) {
    struct stat st;
    if (stat(path, &st))
        return NULL;
    return S_ISREG(st.st_mode)    ? NULL
           : S_ISDIR(st.st_mode)  ? "a directory"
           : S_ISFIFO(st.st_mode) ? "a FIFO"
           : S_ISSOCK(st.st_mode) ? "a socket"
                                  : "a device";
}

/* "dir/.name.TAG.tmp" beside path, with a random tag; path has a last component. */
static bool hidden_name(const char *path, char out[PATH_MAX]) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ__";
    unsigned char random[TAG];
    char tag[TAG + 1];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (int i = 0; i < TAG; i++)
        tag[i] = letters[random[i] % 64];
    tag[TAG] = 0;
    int room = NAME_MAX - TAG - (int)sizeof "..." - (int)sizeof "tmp";
    int n = snprintf(out, PATH_MAX, "%.*s.%.*s.%s.tmp", slash ? (int)(slash + 1 - path) : 2, slash ? path : "./", room,
                     name, tag);
    if (n >= 0 && n < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

static bool no_name(const char *path) {
    size_t n = strlen(path);
    errno = !n ? ENOENT : n >= PATH_MAX ? ENAMETOOLONG : EISDIR;
    return !n || n >= PATH_MAX || path[n - 1] == '/';
}

bool zn_file_create(zn_file *f, const char *path, bool sync) {
    struct stat st;
    char real[PATH_MAX];
    *f = (zn_file){.fd = -1, .slot = -1, .sync = sync};
    if (no_name(path))
        return false;
    if (zn_file_obstacle(path)) {
        errno = EEXIST;
        return false;
    }
    bool exists = stat(path, &st) == 0;
    if (exists && lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && realpath(path, real))
        path = real;
    exists = exists && stat(path, &st) == 0;
    memcpy(f->path, path, strlen(path) + 1);
    for (int i = 0; f->fd < 0 && i < TRIES; i++) {
        if (!hidden_name(f->path, f->temp))
            return false;
        f->fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST)
            return false;
    }
    if (f->fd < 0)
        return false;
    f->slot = remember(f->temp, IS_FILE);
    if (exists && fchmod(f->fd, st.st_mode & 07777)) {
        zn_file_discard(f);
        return false;
    }
    return true;
}

bool zn_file_add(zn_file *f, const void *at, size_t n) {
    for (const char *p = at; n;) {
        ssize_t w = write(f->fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            errno = w ? errno : ENOSPC;
            return false;
        }
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* A rename is only as durable as the directory. A file system that cannot sync directories has done what it can. */
static void sync_directory(const char *path) {
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash + 1 - path) : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

bool zn_file_finish(zn_file *f) {
    bool ok = !f->sync || fsync(f->fd) == 0;
    int fd = f->fd;
    if (ok) {
        f->fd = -1;
        ok = close(fd) == 0;
    }
    ok = ok && rename(f->temp, f->path) == 0;
    if (!ok) {
        zn_file_discard(f);
        return false;
    }
    forget(f->slot);
    f->temp[0] = 0;
    f->slot = -1;
    if (f->sync)
        sync_directory(f->path);
    return true;
}

void zn_file_discard(zn_file *f) {
    int error = errno;
    if (f->fd >= 0)
        close(f->fd);
    if (f->temp[0])
        unlink(f->temp);
    forget(f->slot);
    f->fd = f->slot = -1;
    f->temp[0] = 0;
    errno = error;
}

bool zn_file_put(const char *path, const void *at, size_t n, bool sync) {
    zn_file f;
    if (!zn_file_create(&f, path, sync))
        return false;
    if (zn_file_add(&f, at, n))
        return zn_file_finish(&f);
    zn_file_discard(&f);
    return false;
}

static bool scratch_name(const zn_scratch *s, const char *name, char out[PATH_MAX]) {
    int n = snprintf(out, PATH_MAX, "%s/%s", s->dir, name);
    errno = ENAMETOOLONG;
    return n >= 0 && n < PATH_MAX;
}

bool zn_scratch_open(zn_scratch *s, const char *path, const char *const *names) {
    char name[PATH_MAX];
    *s = (zn_scratch){.n = 0};
    if (no_name(path))
        return false;
    for (int i = 0;; i++) {
        if (!hidden_name(path, s->dir))
            return false;
        if (mkdir(s->dir, 0700) == 0)
            break;
        if (errno != EEXIST || i == TRIES)
            return false;
    }
    s->slot[s->n++] = remember(s->dir, IS_DIRECTORY);
    for (; *names && s->n < (int)(sizeof s->slot / sizeof *s->slot); names++) {
        if (!scratch_name(s, *names, name)) {
            zn_scratch_close(s);
            return false;
        }
        s->slot[s->n++] = remember(name, IS_FILE);
    }
    return true;
}

void zn_scratch_close(zn_scratch *s) {
    int error = errno;
    for (int i = s->n - 1; i >= 0; i--) {
        if (s->slot[i] < 0)
            continue;
        if (i)
            unlink(unfinished[s->slot[i]].name);
        else
            rmdir(unfinished[s->slot[i]].name);
        forget(s->slot[i]);
    }
    *s = (zn_scratch){.n = 0};
    errno = error;
}
