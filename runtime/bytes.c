/* The source bytes: raw files of unsigned bytes; those whose names end in .gz are compressed. An image file is [n, h,
 * w, c] without a header, a label file [n]; how many images there are is the size of the file.
 *
 * A file is not trusted: memory grows with what was really read, and sizes must come out exactly. */
#include "runtime/dataset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* Bytes that the machine could hold at all. */
static int64_t physical_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (int64_t)pages * size : INT64_MAX;
}

/* Whether a file may be read at all: before anything is allocated, and without the end of what has none. */
static int check_file(const char *path, bool zipped, int64_t most, const char *what, zn_rt_error *e) {
    struct stat st;
    if (stat(path, &st) != 0)
        return 0; /* opening it says why */
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: is a %s, not a file of %s", path,
                          S_ISDIR(st.st_mode) ? "directory" : "device", what);
    if (!zipped && S_ISREG(st.st_mode) && st.st_size > most)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " bytes; at most %" PRId64 " could be %s here", path,
                          (int64_t)st.st_size, most, what);
    return 0;
}

/* A whole file of at most so many bytes. What it was read into is the split's, also after a failure. */
static int read_all(const char *path, int64_t most, const char *what, uint8_t **out, int64_t *n, zn_rt_error *e) {
    enum { FIRST = 1 << 20, PART = 1 << 26 };
    size_t length = strlen(path);
    bool zipped = length > 3 && !strcmp(path + length - 3, ".gz"); /* raw bytes may begin as gzip does */
    gzFile z = zipped ? gzopen(path, "rbe") : NULL;
    FILE *f = zipped ? NULL : fopen(path, "rbe");
    int64_t room = 0, got = 1;
    int code = z || f ? check_file(path, zipped, most, what, e) : 0, state = Z_ERRNO;
    if (!z && !f)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", path, errno ? strerror(errno) : "out of memory");
    for (*n = 0; !code && got > 0; *n += got) {
        if (*n == room) {
            room = room ? 2 * room : FIRST;
            uint8_t *more = realloc(*out, (size_t)room);
            if (!more) {
                code = zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get %" PRId64 " bytes", path, room);
                break;
            }
            *out = more;
        }
        size_t part = room - *n < PART ? (size_t)(room - *n) : PART;
        got = z ? gzread(z, *out + *n, (unsigned)part) : (int64_t)fread(*out + *n, 1, part, f);
        const char *why = got < 0 ? gzerror(z, &state) : "";
        if (got > most - *n) {
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has more than the %" PRId64 " bytes that could be %s here", path,
                              most, what);
            break;
        }
        if (got < 0 || (f && ferror(f))) {
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read at byte %" PRId64 ": %s", path, *n,
                              state == Z_ERRNO ? strerror(errno) : why);
            got = 0;
        }
    }
    if (z && !code && gzerror(z, &state) && state == Z_BUF_ERROR)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: ends inside of its compressed data", path);
    if (z)
        gzclose(z);
    else
        fclose(f);
    return code;
}

static int read_split(zn_rt_dataset *d, int split, const char *images, const char *labels, zn_rt_error *e) {
    zn_rt_split *s = &d->split[split];
    int64_t image = d->height * d->width * d->channels, most = physical_memory(), bytes, n = 0;
    int code = read_all(images, most / image < INT32_MAX ? most : image * INT32_MAX, "images", &s->pixels, &bytes, e);
    if (code)
        return code;
    if (bytes == 0 || bytes % image != 0)
        return zn_rt_fail(e, ZN_RT_INPUT,
                          "%s: has %" PRId64 " bytes, which is not a number of images of %" PRId64 " x %" PRId64
                          " x %" PRId64 " = %" PRId64 " bytes",
                          images, bytes, d->height, d->width, d->channels, image);
    code = read_all(labels, bytes / image, "labels", &s->labels, &n, e);
    if (code)
        return code;
    if (n != bytes / image)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " labels for the %" PRId64 " images of %s", labels, n,
                          bytes / image, images);
    s->items = n;
    snprintf(s->labels_path, sizeof s->labels_path, "%s", labels);
    s->labels_size = 1;
    return 0;
}

int zn_rt_read_bytes(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool, zn_rt_error *e) {
    static const char *const name[4] = {"images", "labels", "test_images", "test_labels"};
    char path[4][ZN_RT_PATH_SIZE];
    int code = 0;
    (void)pool;
    d->height = zn_rt_source_number(r, "h");
    d->width = zn_rt_source_number(r, "w");
    d->channels = zn_rt_source_number(r, "c");
    for (int i = 0; i < 4 && !code; i++)
        code = zn_rt_source_file(path[i], r, name[i], directory, e);
    for (int s = 0; s < 2 && !code; s++)
        code = read_split(d, s, path[2 * s], path[2 * s + 1], e);
    return code;
}
