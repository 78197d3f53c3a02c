/* Data sets (see runtime/dataset.h): choosing the source, its checks against the network, and the digest. */
#include "runtime/dataset.h"

#include "runtime/digits.h"

#include "support/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

void *zn_rt_dataset_alloc(int64_t n, int64_t size, zn_rt_error *e) {
    int64_t bytes;
    void *p = zn_mul_ok(n, size, &bytes) && bytes >= 0 ? malloc((size_t)bytes + 1) : NULL;
    if (!p)
        zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %" PRId64 " images or labels of %" PRId64 " bytes", n, size);
    return p;
}

static int alloc_split(zn_rt_dataset *d, int split, int64_t n, zn_rt_error *e) {
    int64_t image;
    if (!zn_mul_ok(d->height, d->width, &image) || !zn_mul_ok(image, d->channels, &image))
        return zn_rt_fail(e, ZN_RT_MEMORY, "images of %" PRId64 " x %" PRId64 " x %" PRId64 " are too large", d->height,
                          d->width, d->channels);
    zn_rt_split *s = &d->split[split];
    s->n = n;
    s->pixels = zn_rt_dataset_alloc(n, image, e);
    s->labels = s->pixels ? zn_rt_dataset_alloc(n, 1, e) : NULL;
    return s->labels ? 0 : ZN_RT_MEMORY;
}

static int make_digits(zn_rt_dataset *d, int64_t seed, zn_rt_error *e) {
    enum { IMAGE = ZN_DIGITS_SIDE * ZN_DIGITS_SIDE };
    d->height = d->width = ZN_DIGITS_SIDE;
    d->channels = 1;
    d->classes = 10;
    for (int s = 0; s < 2; s++) {
        int code = alloc_split(d, s, s == 0 ? ZN_DIGITS_TRAIN : ZN_DIGITS_TEST, e);
        if (code)
            return code;
        for (int64_t i = 0; i < d->split[s].n; i++)
            d->split[s].labels[i] =
                zn_rt_digit_draw((uint64_t)seed, (uint32_t)s, (uint32_t)i, d->split[s].pixels + i * IMAGE);
    }
    return 0;
}

static int make_noise(zn_rt_dataset *d, const int64_t shape[5], int64_t seed, zn_rt_error *e) {
    for (int i = 0; i < 4; i++)
        if (shape[i] < 1)
            return zn_rt_fail(e, ZN_RT_INPUT, "noise needs a height, width, channels and classes of at least 1");
    if (shape[3] > 256)
        return zn_rt_fail(e, ZN_RT_INPUT, "noise has at most 256 classes; %" PRId64 " asked for", shape[3]);
    if (shape[4] < 10 || shape[4] > UINT32_MAX)
        return zn_rt_fail(e, ZN_RT_INPUT, "noise needs between 10 and 2^32 - 1 images; %" PRId64 " asked for",
                          shape[4]);
    d->height = shape[0];
    d->width = shape[1];
    d->channels = shape[2];
    d->classes = shape[3];
    for (int s = 0; s < 2; s++) {
        int code = alloc_split(d, s, s == 0 ? shape[4] : shape[4] / 10, e);
        if (code)
            return code;
        int64_t image = d->height * d->width * d->channels;
        for (int64_t i = 0; i < d->split[s].n; i++)
            d->split[s].labels[i] = zn_rt_noise_draw((uint64_t)seed, (uint32_t)s, (uint32_t)i, (uint32_t)shape[3],
                                                     image, d->split[s].pixels + i * image);
    }
    return 0;
}

/* directory/name, or directory/name.gz where only that exists. */
static int find_file(char path[PATH_SIZE], const char *directory, const char *name, zn_rt_error *e) {
    int n = snprintf(path, PATH_SIZE, "%s/%s", directory, name);
    if (n < 0 || n >= PATH_SIZE - 3)
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", directory, name);
    if (access(path, F_OK) == 0)
        return 0;
    memcpy(path + n, ".gz", 4);
    if (access(path, F_OK) == 0)
        return 0;
    return zn_rt_fail(e, ZN_RT_INPUT, "neither %s/%s nor %s/%s.gz is there; --data DIR says where the data is",
                      directory, name, directory, name);
}

static int read_mnist(zn_rt_dataset *d, const char *directory, zn_rt_error *e) {
    static const char *const names[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte"};
    char path[2][PATH_SIZE];
    for (int s = 0; s < 2; s++) {
        int code = find_file(path[0], directory, names[2 * s], e);
        if (!code)
            code = find_file(path[1], directory, names[2 * s + 1], e);
        if (!code)
            code = zn_rt_idx_read(d, s, path[0], path[1], e);
        if (code)
            return code;
    }
    d->classes = 10;
    return 0;
}

static int read_idx(zn_rt_dataset *d, const char *const path[4], const char *directory, zn_rt_error *e) {
    char moved[4][PATH_SIZE];
    const char *use[4];
    for (int i = 0; i < 4; i++) {
        use[i] = path[i] ? path[i] : "";
        if (!directory)
            continue;
        const char *slash = strrchr(use[i], '/');
        int code = find_file(moved[i], directory, slash ? slash + 1 : use[i], e);
        if (code)
            return code;
        use[i] = moved[i];
    }
    for (int s = 0; s < 2; s++) {
        int code = zn_rt_idx_read(d, s, use[2 * s], use[2 * s + 1], e);
        if (code)
            return code;
    }
    return 0;
}

static int check_labels(const zn_rt_dataset *d, int64_t classes, zn_rt_error *e) {
    static const char *const names[2] = {"training", "test"};
    for (int s = 0; s < 2 && classes > 0; s++)
        for (int64_t i = 0; i < d->split[s].n; i++) {
            const zn_rt_split *split = &d->split[s];
            if (split->labels[i] < classes)
                continue;
            if (split->labels_path[0])
                return zn_rt_fail(e, ZN_RT_INPUT,
                                  "%s: label %d of %s image %" PRId64 " (byte %" PRId64
                                  ") is out of range; the network has %" PRId64 " classes",
                                  split->labels_path, split->labels[i], names[s], i, 8 + i, classes);
            return zn_rt_fail(e, ZN_RT_INPUT,
                              "label %d of %s image %" PRId64 " is out of range; the network has %" PRId64 " classes",
                              split->labels[i], names[s], i, classes);
        }
    return 0;
}

static int check_fit(const zn_rt_dataset *d, const zn_module_desc *m, zn_rt_error *e) {
    const zn_input_desc *in = &m->input;
    int64_t image = d->height * d->width * d->channels;
    if (in->rank == 1 && in->height * in->width * in->channels != image)
        return zn_rt_fail(e, ZN_RT_INPUT,
                          "the images have %" PRId64 " x %" PRId64 " x %" PRId64 " = %" PRId64
                          " elements; the network takes %" PRId64,
                          d->height, d->width, d->channels, image, in->height * in->width * in->channels);
    if (in->rank != 1 && (in->height != d->height || in->width != d->width || in->channels != d->channels))
        return zn_rt_fail(e, ZN_RT_INPUT,
                          "the images are [%" PRId64 ", %" PRId64 ", %" PRId64 "]; the network takes [%" PRId64
                          ", %" PRId64 ", %" PRId64 "]",
                          d->height, d->width, d->channels, in->height, in->width, in->channels);
    if (d->classes > 0 && in->classes > 0 && d->classes != in->classes)
        return zn_rt_fail(e, ZN_RT_INPUT, "the data has %" PRId64 " classes; the network has %" PRId64, d->classes,
                          in->classes);
    if (d->split[0].n < in->batch)
        return zn_rt_fail(e, ZN_RT_INPUT, "the training split has %" PRId64 " images, less than one batch of %" PRId64,
                          d->split[0].n, in->batch);
    if (d->split[0].n > INT32_MAX || d->split[1].n > INT32_MAX)
        return zn_rt_fail(e, ZN_RT_INPUT, "a split has more than 2^31 - 1 images");
    if (d->split[1].n < 1)
        return zn_rt_fail(e, ZN_RT_INPUT, "the test split has no images");
    return check_labels(d, in->classes, e);
}

int zn_rt_dataset_digest(const zn_rt_dataset *d, char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    size_t image = (size_t)(d->height * d->width * d->channels);
    zn_rt_sha256 h;
    int code = zn_rt_sha256_start(&h, e);
    if (code)
        return code;
    for (int s = 0; s < 2 && !code; s++) {
        code = zn_rt_sha256_add(&h, d->split[s].pixels, (size_t)d->split[s].n * image, e);
        if (!code)
            code = zn_rt_sha256_add(&h, d->split[s].labels, (size_t)d->split[s].n, e);
    }
    if (!code)
        code = zn_rt_sha256_end(&h, sha256, e);
    else
        zn_rt_sha256_free(&h);
    return code;
}

int zn_rt_dataset_open(zn_rt_dataset *d, const zn_module_desc *m, const char *directory, zn_rt_pool *pool,
                       zn_rt_error *e) {
    const zn_data_desc *r = &m->data;
    int code;
    *d = (zn_rt_dataset){0};
    if (directory && (r->source == ZN_SOURCE_DIGITS || r->source == ZN_SOURCE_NOISE))
        return zn_rt_fail(e, ZN_RT_USAGE, "--data has no use: this program makes its data itself");
    switch (r->source) {
    case ZN_SOURCE_DIGITS:
        code = make_digits(d, r->seed, e);
        break;
    case ZN_SOURCE_NOISE:
        code = make_noise(d, r->noise, r->seed, e);
        break;
    case ZN_SOURCE_MNIST:
        code = read_mnist(d, directory ? directory : r->path[0], e);
        break;
    case ZN_SOURCE_IDX:
        code = read_idx(d, r->path, directory, e);
        break;
    case ZN_SOURCE_CIFAR10:
        code = zn_rt_cifar10_read(d, directory ? directory : r->path[0], pool, e);
        break;
    default:
        code = zn_rt_fail(e, ZN_RT_INPUT, "the program was compiled without data to train on");
        break;
    }
    if (!code)
        code = check_fit(d, m, e);
    for (int s = 0; s < 2 && !code; s++)
        d->bytes += (size_t)d->split[s].n * ((size_t)(d->height * d->width * d->channels) + 1);
    if (code)
        zn_rt_dataset_close(d);
    return code;
}

void zn_rt_dataset_close(zn_rt_dataset *d) {
    for (int s = 0; s < 2; s++) {
        free(d->split[s].pixels);
        free(d->split[s].labels);
    }
    *d = (zn_rt_dataset){0};
}
