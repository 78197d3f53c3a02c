/* IDX files (the format of MNIST), plain or compressed by gzip: big-endian magic 00 00 08 DD (bytes, DD dimensions),
 * DD 32-bit sizes, then the bytes. Images have 3 dimensions (n, height, width) or 4 (and channels), labels 1.
 *
 * A file is not trusted: sizes are checked before they are multiplied, memory grows with what was really read, and the
 * content must end exactly where the header says. Offsets in messages count bytes of the content, after decompression.
 */
#include "runtime/dataset.h"

#include "runtime/known.h"

#include "support/number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct reader {
    gzFile f;
    const char *path;
    int64_t offset;
} reader;

/* Reads up to n bytes; what is short of n is the end of the file. */
static int read_some(reader *r, void *to, size_t n, size_t *got, zn_rt_error *e) {
    *got = 0;
    while (*got < n) {
        size_t part = n - *got < (size_t)1 << 28 ? n - *got : (size_t)1 << 28;
        int k = gzread(r->f, (char *)to + *got, (unsigned)part);
        int state = Z_OK;
        const char *why = k < 0 ? gzerror(r->f, &state) : "";
        if (k < 0)
            return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read at byte %" PRId64 ": %s", r->path,
                              r->offset + (int64_t)*got, state == Z_ERRNO ? strerror(errno) : why);
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    r->offset += (int64_t)*got;
    return 0;
}

static int read_header(reader *r, int *rank, int64_t dim[4], zn_rt_error *e) {
    unsigned char b[4];
    size_t got;
    int code = read_some(r, b, 4, &got, e);
    if (code)
        return code;
    if (got < 4)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: ends at byte %zu, inside the magic number", r->path, got);
    if (b[0] != 0 || b[1] != 0 || b[2] != 8 || b[3] < 1 || b[3] > 4)
        return zn_rt_fail(
            e, ZN_RT_INPUT,
            "%s: magic number %02x%02x%02x%02x at byte 0; an IDX file of bytes starts with 000008 and the "
            "number of dimensions, 1 to 4",
            r->path, b[0], b[1], b[2], b[3]);
    *rank = b[3];
    for (int i = 0; i < *rank; i++) {
        code = read_some(r, b, 4, &got, e);
        if (code)
            return code;
        if (got < 4)
            return zn_rt_fail(e, ZN_RT_INPUT, "%s: ends at byte %" PRId64 ", inside the sizes", r->path, r->offset);
        dim[i] = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
    }
    return 0;
}

static int read_content(reader *r, int64_t n, uint8_t **out, zn_rt_error *e) {
    int64_t have = 0, room = n < 1 << 24 ? n : 1 << 24;
    uint8_t *at = NULL;
    for (;;) {
        uint8_t *more = realloc(at, (size_t)room + 1);
        size_t got = 0;
        int code = more ? 0 : zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get %" PRId64 " bytes", r->path, room);
        if (more)
            at = more;
        if (!code)
            code = read_some(r, at + have, (size_t)(room - have), &got, e);
        have += (int64_t)got;
        if (!code && have < room)
            code =
                zn_rt_fail(e, ZN_RT_INPUT, "%s: ends at byte %" PRId64 "; its header promises %" PRId64 " bytes more",
                           r->path, r->offset, n - have);
        if (code) {
            free(at);
            return code;
        }
        if (have == n)
            break;
        room = n - room < room ? n : 2 * room;
    }
    unsigned char extra;
    size_t got = 0;
    int code = read_some(r, &extra, 1, &got, e);
    if (!code && got)
        code =
            zn_rt_fail(e, ZN_RT_INPUT, "%s: goes on after its last item, from byte %" PRId64, r->path, r->offset - 1);
    if (code)
        free(at);
    else
        *out = at;
    return code;
}

/* A whole file; dim[0] counts items. */
static int read_file(const char *path, int *rank, int64_t dim[4], uint8_t **out, zn_rt_error *e) {
    reader r = {gzopen(path, "rbe"), path, 0};
    if (!r.f)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", path, errno ? strerror(errno) : "out of memory");
    gzbuffer(r.f, 1 << 17);
    int64_t n = 1;
    int code = read_header(&r, rank, dim, e);
    for (int i = 0; !code && i < *rank; i++)
        if (dim[i] < 1 || !zn_mul_ok(n, dim[i], &n) || n > INT64_C(1) << 46)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: size %" PRId64 " at byte %d is 0 or too large", path, dim[i],
                              4 + 4 * i);
    if (!code)
        code = read_content(&r, n, out, e);
    gzclose(r.f);
    return code;
}

static int read_split(zn_rt_dataset *d, int split, const char *images, const char *labels, zn_rt_error *e) {
    zn_rt_split *s = &d->split[split];
    int rank = 0;
    int64_t dim[4] = {0, 0, 0, 1}, n[4] = {0};
    int code = read_file(images, &rank, dim, &s->pixels, e);
    if (code)
        return code;
    if (rank < 3)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %d dimensions; images have 3 (number, height, width) or 4", images,
                          rank);
    if (split == 0) {
        d->height = dim[1];
        d->width = dim[2];
        d->channels = rank == 4 ? dim[3] : 1;
    } else if (d->height != dim[1] || d->width != dim[2] || d->channels != (rank == 4 ? dim[3] : 1)) {
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: images are not of the shape of the training images", images);
    }
    s->items = dim[0];
    code = read_file(labels, &rank, n, &s->labels, e);
    if (code)
        return code;
    snprintf(s->labels_path, sizeof s->labels_path, "%s", labels);
    s->labels_at = 8;
    s->labels_size = 1;
    if (rank != 1)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %d dimensions; labels have 1", labels, rank);
    if (n[0] != s->items)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " labels for the %" PRId64 " images of %s", labels, n[0],
                          s->items, images);
    return 0;
}

int zn_rt_read_mnist(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool, zn_rt_error *e) {
    const zn_rt_known *k = zn_rt_known_find("mnist");
    char path[2][ZN_RT_PATH_SIZE];
    (void)pool;
    if (!directory)
        directory = zn_rt_source_text(r, "dir");
    for (int s = 0; s < 2; s++) {
        int code = zn_rt_dataset_file(path[0], directory, k->file[2 * s].name, e);
        if (!code)
            code = zn_rt_dataset_file(path[1], directory, k->file[2 * s + 1].name, e);
        if (code)
            zn_rt_known_missing(k, directory, e);
        else
            code = read_split(d, s, path[0], path[1], e);
        if (code)
            return code;
    }
    d->classes = 10;
    return 0;
}

int zn_rt_read_idx(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool, zn_rt_error *e) {
    static const char *const name[4] = {"train_images", "train_labels", "test_images", "test_labels"};
    char path[4][ZN_RT_PATH_SIZE];
    int code = 0;
    (void)pool;
    for (int i = 0; i < 4 && !code; i++)
        code = zn_rt_source_file(path[i], r, name[i], directory, e);
    for (int s = 0; s < 2 && !code; s++)
        code = read_split(d, s, path[2 * s], path[2 * s + 1], e);
    return code;
}
