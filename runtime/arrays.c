/* The source npy: images and labels from files of numpy (runtime/npy.h).
 *
 * Images stay in their file, which is mapped: bytes, or 32-bit floats, all of which are looked at once, since a number
 * that is not finite would show up as a loss that is not. Labels are copied: integers become classes; floats, and
 * integers where the network compares with numbers, become targets. */
#include "runtime/dataset.h"

#include "runtime/npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 64 };

typedef struct looking {
    const float *at;
    int64_t n, bad[PARTS]; /* bad: the first number of each part that is not finite; -1 */
} looking;

static void look(void *ctx, int64_t begin, int64_t end, void *scratch) {
    looking *l = ctx;
    (void)scratch;
    for (int64_t part = begin; part < end; part++) {
        int64_t last = l->n / PARTS * (part + 1) + (part == PARTS - 1 ? l->n % PARTS : 0);
        l->bad[part] = -1;
        for (int64_t i = l->n / PARTS * part; i < last && l->bad[part] < 0; i++)
            if (!isfinite(l->at[i]))
                l->bad[part] = i;
    }
}

static int check_finite(const zn_rt_npy *a, const char *path, const float *at, zn_rt_pool *pool, zn_rt_error *e) {
    looking l = {.at = at, .n = a->count};
    if (pool)
        zn_rt_parfor(pool, look, &l, PARTS, 1);
    else
        look(&l, 0, PARTS, NULL);
    for (int i = 0; i < PARTS; i++)
        if (l.bad[i] >= 0)
            return zn_rt_fail(e, ZN_RT_INPUT,
                              "%s: image %" PRId64 " holds a number that is not finite, at byte %" PRId64, path,
                              l.bad[i] / (a->count / a->dim[0]), (int64_t)a->offset + l.bad[i] * 4);
    return 0;
}

/* Elements of files whose header is odd may lie where no float can: these are copied. */
static int take_pixels(zn_rt_split *s, zn_rt_npy *a, zn_rt_error *e) {
    const uint8_t *from = a->file.at + a->offset;
    if (a->size == 1) {
        s->pixels = (uint8_t *)(uintptr_t)from;
    } else if (a->offset % sizeof(float) == 0) {
        s->floats = (const float *)(const void *)from;
    } else {
        float *copy = zn_rt_dataset_alloc(a->count, sizeof *copy, e);
        if (!copy)
            return ZN_RT_MEMORY;
        memcpy(copy, from, (size_t)a->count * sizeof *copy);
        s->floats = copy;
        return 0;
    }
    s->mapped = a->file;
    a->file = (zn_rt_mapped){0};
    return 0;
}

int zn_rt_read_npy_images(zn_rt_dataset *d, int split, const char *path, zn_rt_pool *pool, zn_rt_error *e) {
    zn_rt_npy a;
    zn_rt_split *s = &d->split[split];
    int code = zn_rt_npy_open(&a, path, e);
    if (code)
        return code;
    int64_t shape[3] = {1, 1, 1};
    if (a.rank == 2)
        shape[2] = a.dim[1];
    for (int i = 1; i < a.rank && a.rank > 2 && a.rank <= 4; i++)
        shape[i - 1] = a.dim[i];
    if (a.rank < 2 || a.rank > 4)
        code = zn_rt_fail(e, ZN_RT_INPUT,
                          "%s: has %d dimension%s; images have 4 (number, height, width, channels) or 3, vectors 2",
                          path, a.rank, a.rank == 1 ? "" : "s");
    else if (a.count == 0)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: is empty", path);
    else if (!(a.type == ZN_RT_NPY_UINT && a.size == 1) && !(a.type == ZN_RT_NPY_FLOAT && a.size == 4))
        code = zn_rt_fail(
            e, ZN_RT_INPUT, "%s: has %s of %d bytes; images are uint8 or float32: save x.astype(numpy.%s)", path,
            a.type == ZN_RT_NPY_FLOAT ? "floats" : "integers", a.size, a.type == ZN_RT_NPY_FLOAT ? "float32" : "uint8");
    else if (split == ZN_RT_TEST &&
             (memcmp(shape, (int64_t[]){d->height, d->width, d->channels}, sizeof shape) != 0 ||
              (a.rank == 2) != d->flat || (a.size == 4) != (d->split[ZN_RT_TRAINING].floats != NULL)))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: images are not of the shape and type of the training images", path);
    if (!code) {
        d->height = shape[0];
        d->width = shape[1];
        d->channels = shape[2];
        d->flat = a.rank == 2;
        s->items = a.dim[0];
        code = take_pixels(s, &a, e);
    }
    if (!code && s->floats)
        code = check_finite(&a, path, s->floats, pool, e);
    zn_rt_unmap(&a.file);
    return code;
}

static int take_targets(zn_rt_dataset *d, zn_rt_split *s, const zn_rt_npy *a, const char *path, zn_rt_error *e) {
    s->targets = zn_rt_dataset_alloc(a->count, sizeof *s->targets, e);
    if (!s->targets)
        return ZN_RT_MEMORY;
    for (int64_t i = 0; i < a->count; i++) {
        s->targets[i] = (float)zn_rt_npy_double(a, a->file.at, i);
        if (!isfinite(s->targets[i]))
            return zn_rt_fail(e, ZN_RT_INPUT, "%s: label %" PRId64 " is not finite as a 32-bit float, at byte %" PRId64,
                              path, i / d->targets, (int64_t)a->offset + i * a->size);
    }
    return 0;
}

static int take_classes(zn_rt_split *s, const zn_rt_npy *a, const char *path, zn_rt_error *e) {
    s->wide = zn_rt_dataset_alloc(a->count, sizeof *s->wide, e);
    if (!s->wide)
        return ZN_RT_MEMORY;
    for (int64_t i = 0; i < a->count; i++) {
        bool fits;
        int64_t x = zn_rt_npy_int(a, a->file.at, i, &fits);
        if (!fits || x < 0 || x >= ZN_RT_CLASSES)
            return zn_rt_fail(e, ZN_RT_INPUT,
                              "%s: label %" PRId64 " of image %" PRId64 " (byte %" PRId64
                              ") is not a class: these are 0 to %d",
                              path, x, i, (int64_t)a->offset + i * a->size, ZN_RT_CLASSES - 1);
        s->wide[i] = (uint16_t)x;
    }
    return 0;
}

static int read_labels(zn_rt_dataset *d, int split, const char *path, const char *images, zn_rt_error *e) {
    zn_rt_npy a;
    zn_rt_split *s = &d->split[split];
    int code = zn_rt_npy_open(&a, path, e);
    if (code)
        return code;
    int64_t width = a.rank == 2 ? a.dim[1] : 1;
    bool targets = a.type == ZN_RT_NPY_FLOAT || d->in->targets > 0;
    if (a.rank < 1 || a.rank > 2 || width < 1 || (!targets && width > 1))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has %d dimension%s; labels have 1%s", path, a.rank,
                          a.rank == 1 ? "" : "s", targets ? ", or 2 where each is a row of numbers" : "");
    else if (a.dim[0] != s->items)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " labels for the %" PRId64 " images of %s", path, a.dim[0],
                          s->items, images);
    else if (split == ZN_RT_TEST &&
             (targets != (d->split[ZN_RT_TRAINING].targets != NULL) || (targets && width != d->targets)))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: labels are not of the shape and type of the training labels", path);
    memcpy(s->labels_path, path, strlen(path) + 1);
    s->labels_at = (int64_t)a.offset;
    s->labels_size = a.size;
    d->targets = targets ? width : 0;
    if (!code)
        code = targets ? take_targets(d, s, &a, path, e) : take_classes(s, &a, path, e);
    zn_rt_npy_close(&a);
    return code;
}

int zn_rt_read_npy(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool, zn_rt_error *e) {
    static const char *const name[4] = {"images", "labels", "test_images", "test_labels"};
    char path[2][ZN_RT_PATH_SIZE];
    int code = 0;
    for (int s = 0; s <= ZN_RT_TEST && !code; s++) {
        if (!*zn_rt_source_text(r, name[2 * s]))
            break; /* no test */
        for (int i = 0; i < 2 && !code; i++)
            code = zn_rt_source_file(path[i], r, name[2 * s + i], directory, e);
        if (!code)
            code = zn_rt_read_npy_images(d, s, path[0], pool, e);
        if (!code)
            code = read_labels(d, s, path[1], path[0], e);
    }
    return code;
}
