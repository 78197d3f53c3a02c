/* The cache of a folder of pictures (see runtime/folder.h).
 *
 * A file: `head`, the text that says what it was made from (shape, classes, and path, size and last change of every
 * file), then from multiples of 4096 bytes the pixels of training and of the test. A cache is used if all of this is
 * what the folder gives now and the CRC-32 of the pixels is right; else it is made again. It is written under another
 * name and renamed, so that no run sees a part of one.
 *
 * It stands beside the folder, FOLDER.28x28x1.znet-cache; where that cannot be written, in the user's directory of
 * caches, under a name made of the folder's. */
#include "runtime/folder.h"

#include "support/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { PAGE = 4096, PLACES = 2 };

typedef struct head {
    char magic[8]; /* "ZNIMAGE1", in the order of bytes of the machine that wrote it, as are the numbers */
    uint64_t text, pixels[2], size; /* bytes of text, and from where on; bytes of the file */
    uint32_t crc, nothing;
} head;

typedef struct cache {
    const zn_rt_folder *f;
    int64_t shape[3];
    head head; /* as it must be, but for the crc */
    zn_rt_text text;
    size_t bytes[2]; /* of pixels */
    char path[PLACES][ZN_RT_PATH_SIZE];
    int places;
} cache;

static uint64_t round_up(uint64_t n) {
    return (n + PAGE - 1) / PAGE * PAGE;
}

static int describe(cache *c, zn_rt_error *e) {
    const zn_rt_folder *f = c->f;
    zn_rt_text *t = &c->text;
    zn_rt_text_printf(t, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", c->shape[0], c->shape[1], c->shape[2],
                      f->classes);
    for (int64_t i = 0; i < f->n[0] + f->n[1]; i++) {
        const zn_rt_file_entry *x = &f->file[i];
        zn_rt_text_printf(t, "%d %zu:", x->label, strlen(x->path));
        zn_rt_text_puts(t, x->path);
        zn_rt_text_printf(t, " %" PRId64 " %" PRId64 ".%09" PRId64 "\n", x->size, x->seconds, x->nanoseconds);
    }
    if (t->failed)
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for the names in it", f->path);
    uint64_t first = round_up(sizeof c->head + t->n);
    c->head = (head){.magic = {'Z', 'N', 'I', 'M', 'A', 'G', 'E', '1'}, .text = t->n};
    c->head.pixels[0] = first;
    c->head.pixels[1] = first + round_up(c->bytes[0]);
    c->head.size = c->head.pixels[1] + c->bytes[1];
    return 0;
}

/* In the user's directory of caches, by the name of the folder. */
static bool user_place(const cache *c, char out[ZN_RT_PATH_SIZE]) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *between = "";
    char name[ZN_RT_SHA256_HEX], dir[ZN_RT_PATH_SIZE];
    zn_rt_sha256 h;
    zn_rt_error e;
    if (!base || base[0] != '/') {
        base = home;
        between = "/.cache";
    }
    if (!base || base[0] != '/' || zn_rt_sha256_start(&h, &e))
        return false;
    if (zn_rt_sha256_add(&h, c->f->path, strlen(c->f->path), &e)) {
        zn_rt_sha256_free(&h);
        return false;
    }
    if (zn_rt_sha256_end(&h, name, &e))
        return false;
    int n = snprintf(dir, sizeof dir, "%s%s", base, between);
    if (n < 0 || n >= (int)sizeof dir)
        return false;
    mkdir(dir, 0700); /* where it is there, or cannot be, creating the file shows it */
    n = snprintf(out, ZN_RT_PATH_SIZE, "%s/znet", dir);
    if (n < 0 || n >= ZN_RT_PATH_SIZE)
        return false;
    mkdir(out, 0700);
    n = snprintf(out, ZN_RT_PATH_SIZE, "%s/znet/images-%.32s.%" PRId64 "x%" PRId64 "x%" PRId64 ".znet-cache", dir, name,
                 c->shape[0], c->shape[1], c->shape[2]);
    return n >= 0 && n < ZN_RT_PATH_SIZE;
}

static void find_places(cache *c) {
    int n = snprintf(c->path[0], ZN_RT_PATH_SIZE, "%s.%" PRId64 "x%" PRId64 "x%" PRId64 ".znet-cache", c->f->path,
                     c->shape[0], c->shape[1], c->shape[2]);
    c->places = n >= 0 && n < ZN_RT_PATH_SIZE && strcmp(c->f->path, "/") != 0;
    c->places += user_place(c, c->path[c->places]);
}

static uint32_t sum_of(const uint8_t *const pixels[2], const size_t bytes[2]) {
    uLong crc = crc32_z(0, NULL, 0);
    for (int s = 0; s < 2; s++)
        if (bytes[s])
            crc = crc32_z(crc, pixels[s], bytes[s]);
    return (uint32_t)crc;
}

/* Maps the pixels of a file whose front was looked at; right: whether they are what was written. */
static bool map_pixels(const cache *c, int fd, uint32_t crc, zn_rt_mapped m[2]) {
    for (int s = 0; s < 2; s++)
        if (c->bytes[s]) {
            void *at = mmap(NULL, c->bytes[s], PROT_READ, MAP_PRIVATE, fd, (off_t)c->head.pixels[s]);
            if (at == MAP_FAILED)
                return false;
            m[s] = (zn_rt_mapped){at, c->bytes[s]};
        }
    return sum_of((const uint8_t *const[2]){m[0].at, m[1].at}, c->bytes) == crc;
}

/* Whether a cache that fits stands there; then its pixels are d's. */
static bool use(const cache *c, const char *path, zn_rt_dataset *d) {
    struct stat st;
    zn_rt_mapped front = {0}, m[2] = {{0}, {0}};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool fits = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == c->head.size &&
                zn_rt_map_fd(&front, fd, sizeof c->head + c->text.n) == 0;
    head is, must = c->head;
    if (fits) {
        memcpy(&is, front.at, sizeof is);
        must.crc = is.crc;
        fits = !memcmp(&is, &must, sizeof is) && !memcmp(front.at + sizeof is, c->text.at, c->text.n) &&
               map_pixels(c, fd, is.crc, m);
    }
    zn_rt_unmap(&front);
    if (fd >= 0)
        close(fd);
    for (int s = 0; s < 2; s++)
        if (fits && m[s].size) {
            d->split[s].mapped = m[s];
            d->split[s].pixels = (uint8_t *)(uintptr_t)m[s].at;
        } else {
            zn_rt_unmap(&m[s]);
        }
    return fits;
}

/* Decodes into an open file of the right size and sums it up. 0; -1: the file cannot be; else an exit code. */
static int fill(cache *c, int fd, zn_rt_pool *pool, zn_rt_error *e) {
    /* a full disk is met here, and not as a signal when the pages are written */
    if (posix_fallocate(fd, 0, (off_t)c->head.size) != 0)
        return -1;
    uint8_t *at = mmap(NULL, c->head.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return -1;
    uint8_t *const to[2] = {at + c->head.pixels[0], at + c->head.pixels[1]};
    int code = zn_rt_folder_decode_all(c->f, c->shape, to, pool, e);
    if (!code) {
        c->head.crc = sum_of((const uint8_t *const[2]){to[0], to[1]}, c->bytes);
        memcpy(at, &c->head, sizeof c->head);
        memcpy(at + sizeof c->head, c->text.at, c->text.n);
        c->head.crc = 0;
    }
    munmap(at, c->head.size);
    return code;
}

/* Makes the cache there and uses it; as fill. */
static int make(cache *c, const char *path, zn_rt_dataset *d, zn_rt_pool *pool, zn_rt_error *e) {
    zn_file f;
    if (!zn_file_create(&f, path, false))
        return -1;
    int code = fill(c, f.fd, pool, e);
    if (code)
        zn_file_discard(&f);
    else if (!zn_file_finish(&f) || !use(c, path, d))
        code = -1;
    return code;
}

static int decode_to_memory(const cache *c, zn_rt_dataset *d, zn_rt_pool *pool, zn_rt_error *e) {
    for (int s = 0; s < 2; s++) {
        d->split[s].pixels = zn_rt_dataset_alloc((int64_t)c->bytes[s], 1, e);
        if (!d->split[s].pixels)
            return ZN_RT_MEMORY;
    }
    return zn_rt_folder_decode_all(c->f, c->shape, (uint8_t *const[2]){d->split[0].pixels, d->split[1].pixels}, pool,
                                   e);
}

int zn_rt_folder_pixels(const zn_rt_folder *f, zn_rt_dataset *d, zn_rt_pool *pool, zn_rt_error *e) {
    cache c = {.f = f, .shape = {d->height, d->width, d->channels}};
    size_t image = (size_t)(d->height * d->width * d->channels);
    for (int s = 0; s < 2; s++)
        if (__builtin_mul_overflow(image, (size_t)f->n[s], &c.bytes[s]) || c.bytes[s] > (size_t)1 << 46)
            return zn_rt_fail(e, ZN_RT_MEMORY, "%s: its pictures are too large", f->path);
    int code = describe(&c, e);
    bool done = false;
    if (!code)
        find_places(&c);
    for (int i = 0; i < c.places && !code && !done; i++)
        done = use(&c, c.path[i], d);
    for (int i = 0; i < c.places && !code && !done; i++) {
        code = make(&c, c.path[i], d, pool, e);
        done = code == 0;
        code = code < 0 ? 0 : code;
    }
    if (!code && !done)
        code = decode_to_memory(&c, d, pool, e);
    zn_rt_text_free(&c.text);
    return code;
}
