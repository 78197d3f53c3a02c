/* Files that appear whole or not at all: written under a name that nobody can guess, in the directory where they are to
 * be, and renamed. What a process has not finished is removed when it fails, and by zn_files_abandon when it is ended.
 *
 * Nothing is allocated. Functions that fail set errno, and say what they did in no other way. One thread a file. */
#ifndef ZN_SUPPORT_FILE_H
#define ZN_SUPPORT_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct zn_file {
    int fd;   /* open for reading and writing; -1: not open */
    int slot; /* in the list of unfinished names; -1: none */
    bool sync;
    char path[PATH_MAX], temp[PATH_MAX];
} zn_file;

/* What may not be replaced by a regular file stands at path: "a directory", "a device", "a FIFO", "a socket"; NULL
 * where a regular file or nothing is. Links are followed. */
const char *zn_file_obstacle(const char *path);

/* Opens a file that will be called path. A link to a regular file stays a link. The mode is that of the file it takes
 * the place of, or 0666 less the umask. sync: the finished file is on the disk, not only in memory. Fails with EEXIST
 * where an obstacle stands. */
bool zn_file_create(zn_file *f, const char *path, bool sync);
/* On failure the file still is to be discarded. */
bool zn_file_add(zn_file *f, const void *at, size_t n);
/* Gives it its name, or removes it. f is closed either way. */
bool zn_file_finish(zn_file *f);
/* Removes it; allowed after any of the above. errno stays. */
void zn_file_discard(zn_file *f);
/* All of it, at once. */
bool zn_file_put(const char *path, const void *at, size_t n, bool sync);

/* A directory of this user alone beside path, for what other programs write; its name goes to dir. The files in it that
 * shall vanish with it are named here, NULL after the last. */
typedef struct zn_scratch {
    int slot[8], n;
    char dir[PATH_MAX];
} zn_scratch;
bool zn_scratch_open(zn_scratch *s, const char *path, const char *const *names);
void zn_scratch_close(zn_scratch *s);

/* Removes everything that is not finished. Async-signal-safe. */
void zn_files_abandon(void);

#endif
