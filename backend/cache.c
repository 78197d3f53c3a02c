/* See cache.h. An entry is a header and an object; files are named by key, so that the directory needs no index. */
#include "backend/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/file.h"
#include "support/ice.h"

enum { HASH = 32, DAY = 86400, HOUR = 3600, MAX_ENTRY = 64 << 20 };
static const char suffix[] = ".o";

typedef struct header {
    char magic[8];
    uint64_t size;
    unsigned char hash[HASH];
} header;
static const char magic[8] = {'z', 'n', 'o', 'b', 'j', '2', '\n', 0};

struct zn_cache {
    int fd; /* of the directory */
    char dir[PATH_MAX];
    atomic_bool added;
};

/* Of an object under its key: an entry under another name is none. */
static void sha256(const char *key, const void *at, size_t n, unsigned char out[HASH]) {
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    if (!h || !EVP_DigestInit_ex(h, EVP_sha256(), NULL) || !EVP_DigestUpdate(h, key, ZN_CACHE_KEY) ||
        !EVP_DigestUpdate(h, at, n) || !EVP_DigestFinal_ex(h, out, NULL))
        ZN_ICE("libcrypto has no SHA-256");
    EVP_MD_CTX_free(h);
}

/* mkdir -p; the directories above are made as the user's umask says, the last one for the user alone. */
static bool make_directory(const char *dir) {
    char path[4096];
    size_t n = strlen(dir);
    if (!n || n >= sizeof path)
        return false;
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i < n; i++)
        if (path[i] == '/') {
            path[i] = 0;
            if (mkdir(path, 0777) && errno != EEXIST)
                return false;
            path[i] = '/';
        }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

zn_cache *zn_cache_open(const char *dir) {
    struct stat st;
    if (!dir || strlen(dir) >= sizeof((zn_cache *)0)->dir || !make_directory(dir))
        return NULL;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH))) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    zn_cache *c = calloc(1, sizeof *c);
    if (!c)
        ZN_ICE("out of memory");
    c->fd = fd;
    memcpy(c->dir, dir, strlen(dir) + 1);
    return c;
}

void zn_cache_key(const zn_cache_part *parts, size_t n, char key[ZN_CACHE_KEY]) {
    unsigned char hash[HASH];
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    bool ok = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL);
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t size = parts[i].size;
        ok = EVP_DigestUpdate(h, &size, sizeof size) && EVP_DigestUpdate(h, parts[i].at, parts[i].size);
    }
    if (!ok || !EVP_DigestFinal_ex(h, hash, NULL))
        ZN_ICE("libcrypto has no SHA-256");
    EVP_MD_CTX_free(h);
    for (int i = 0; i < HASH; i++) {
        key[2 * i] = "0123456789abcdef"[hash[i] >> 4];
        key[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
    }
    key[2 * HASH] = 0;
}

bool zn_cache_program(char key[ZN_CACHE_KEY]) {
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* the file that runs, even where its path has a new one */
    void *at = MAP_FAILED;
    if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0)
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED)
        return false;
    zn_cache_key(&(zn_cache_part){at, (size_t)st.st_size}, 1, key);
    munmap(at, (size_t)st.st_size);
    return true;
}

static void name_of(const char *key, char name[ZN_CACHE_KEY + sizeof suffix]) {
    memcpy(name, key, ZN_CACHE_KEY - 1);
    memcpy(name + ZN_CACHE_KEY - 1, suffix, sizeof suffix);
}

static bool read_all(int fd, void *at, size_t n) {
    for (char *p = at; n;) {
        ssize_t r = read(fd, p, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        p += r;
        n -= (size_t)r;
    }
    return true;
}

/* The object of an open entry, or NULL where the entry is not whole. */
static char *read_entry(int fd, const char *key, const struct stat *st, size_t *size) {
    header h;
    unsigned char hash[HASH];
    if (st->st_size <= (off_t)sizeof h || st->st_size > MAX_ENTRY || !read_all(fd, &h, sizeof h) ||
        memcmp(h.magic, magic, sizeof magic) || h.size != (uint64_t)st->st_size - sizeof h)
        return NULL;
    char *at = malloc((size_t)h.size);
    if (!at)
        ZN_ICE("out of memory");
    if (read_all(fd, at, (size_t)h.size)) {
        sha256(key, at, (size_t)h.size, hash);
        if (!memcmp(hash, h.hash, HASH)) {
            *size = (size_t)h.size;
            return at;
        }
    }
    free(at);
    return NULL;
}

bool zn_cache_get(zn_cache *c, const char *key, zn_object *out) {
    char name[ZN_CACHE_KEY + sizeof suffix];
    struct stat st;
    if (!c)
        return false;
    name_of(key, name);
    int fd = openat(c->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a FIFO keeps nobody waiting */
    if (fd < 0)
        return false;
    char *at = fstat(fd, &st) || !S_ISREG(st.st_mode) ? NULL : read_entry(fd, key, &st, &out->size);
    if (at) {
        out->at = at;
        if (time(NULL) - st.st_mtime > DAY) /* it is in use: not among the oldest any more */
            futimens(fd, NULL);
    } else {
        unlinkat(c->fd, name, 0);
    }
    close(fd);
    return at != NULL;
}

void zn_cache_put(zn_cache *c, const char *key, const zn_object *object) {
    char name[ZN_CACHE_KEY + sizeof suffix], path[PATH_MAX];
    header h = {.size = object->size};
    zn_file f;
    if (!c || object->size > MAX_ENTRY - sizeof h)
        return;
    atomic_store(&c->added, true);
    name_of(key, name);
    if (snprintf(path, sizeof path, "%s/%s", c->dir, name) >= (int)sizeof path || !zn_file_create(&f, path, false))
        return;
    memcpy(h.magic, magic, sizeof magic);
    sha256(key, object->at, object->size, h.hash);
    if (zn_file_add(&f, &h, sizeof h) && zn_file_add(&f, object->at, object->size))
        zn_file_finish(&f);
    else
        zn_file_discard(&f);
}

typedef struct entry { /* of the directory */
    char name[ZN_CACHE_KEY + sizeof suffix];
    int64_t size, time;
} entry;

static int by_age(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return x->time != y->time ? (x->time < y->time ? -1 : 1) : strcmp(x->name, y->name);
}

/* Down to three quarters of the limit, so that not every new entry looks through the directory for a victim. */
static void trim(zn_cache *c, int64_t limit) {
    int fd = openat(c->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    entry *list = NULL;
    size_t n = 0, cap = 0;
    int64_t total = 0;
    struct stat st;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        bool temp = len > 5 && e->d_name[0] == '.' && !strcmp(e->d_name + len - 4, ".tmp");
        if ((!temp && len != ZN_CACHE_KEY - 1 + sizeof suffix - 1) ||
            fstatat(c->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (temp) { /* of a process that died while it wrote */
            if (time(NULL) - st.st_mtime > HOUR)
                unlinkat(c->fd, e->d_name, 0);
            continue;
        }
        if (!S_ISREG(st.st_mode) || st.st_size > MAX_ENTRY) { /* no entry, and not to push out those that are */
            unlinkat(c->fd, e->d_name, 0);
            continue;
        }
        if (n == cap) {
            cap = cap ? 2 * cap : 256;
            list = realloc(list, cap * sizeof *list);
            if (!list)
                ZN_ICE("out of memory");
        }
        memcpy(list[n].name, e->d_name, len + 1);
        list[n].size = st.st_size;
        list[n++].time = (int64_t)st.st_mtime;
        total += st.st_size;
    }
    closedir(d);
    if (total > limit) {
        qsort(list, n, sizeof *list, by_age);
        for (size_t i = 0; i < n && total > limit / 4 * 3; i++) {
            unlinkat(c->fd, list[i].name, 0);
            total -= list[i].size;
        }
    }
    free(list);
}

void zn_cache_close(zn_cache *c, int64_t limit) {
    if (!c)
        return;
    if (atomic_load(&c->added))
        trim(c, limit);
    close(c->fd);
    free(c);
}
