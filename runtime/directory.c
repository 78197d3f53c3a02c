/* The directory of --out (see runtime/directory.h). The lock is flock's on the directory itself: it needs no file, and
 * the system lets it go when the process has ended. A process that was killed takes a moment for that, in which whoever
 * restarts it must not be turned away. */
#include "runtime/directory.h"

#include "support/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int zn_rt_directory_path(char path[ZN_RT_PATH], const char *directory, const char *name, zn_rt_error *e) {
    int n = snprintf(path, ZN_RT_PATH, "%s/%s", directory, name);
    return n < 0 || n >= ZN_RT_PATH ? zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", directory) : 0;
}

/* A temporary name (support/file.h) of a file that a run writes in its directory. */
static bool is_unfinished(const char *name) {
    static const char *const written[] = {".checkpoint-", ".weights.", ".best.", ".preprocess.", ".check."};
    size_t n = strlen(name);
    if (n < 4 || strcmp(name + n - 4, ".tmp") != 0)
        return false;
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (!strncmp(name, written[i], strlen(written[i])))
            return true;
    return false;
}

static void remove_unfinished(int fd, const char *path) {
    DIR *d = opendir(path);
    for (const struct dirent *x; d && (x = readdir(d));)
        if (is_unfinished(x->d_name))
            unlinkat(fd, x->d_name, 0);
    if (d)
        closedir(d);
}

static int lock(const zn_rt_directory *d, const char *path, zn_rt_error *notes, zn_rt_error *e) {
    enum { TRIES = 250 }; /* 5 seconds */
    for (int tries = 0; flock(d->fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno == EINTR)
            continue;
        if (errno == EWOULDBLOCK && tries < TRIES) {
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
            continue;
        }
        if (errno == EWOULDBLOCK)
            return zn_rt_fail(e, ZN_RT_INPUT, "another run writes into %s: wait for it, or name another directory",
                              path);
        zn_rt_explain(notes, "%snote: %s cannot be locked (%s): do not let two runs write there at once",
                      *notes->text ? "\n" : "", path, strerror(errno));
        return 0;
    }
    return 0;
}

int zn_rt_directory_open(zn_rt_directory *d, const char *path, zn_rt_error *notes, zn_rt_error *e) {
    char name[ZN_RT_PATH];
    zn_file probe;
    d->fd = -1;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return zn_rt_fail(e, ZN_RT_INPUT, "cannot make the directory %s: %s", path, strerror(errno));
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "cannot open the directory %s: %s", path, strerror(errno));
    int code = lock(d, path, notes, e);
    if (!code)
        code = zn_rt_directory_path(name, path, "check", e);
    if (!code) {
        remove_unfinished(d->fd, path);
        if (zn_file_create(&probe, name, false))
            zn_file_discard(&probe);
        else
            code = zn_rt_fail(e, ZN_RT_INPUT, "cannot write in the directory %s: %s", path, strerror(errno));
    }
    if (code)
        zn_rt_directory_close(d);
    return code;
}

void zn_rt_directory_remove(const zn_rt_directory *d, const char *name) {
    unlinkat(d->fd, name, 0);
}

void zn_rt_directory_close(zn_rt_directory *d) {
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}
