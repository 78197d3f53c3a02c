/* Data sets (see runtime/dataset.h): choosing the source, its checks against the network, and the digest. */
#include "runtime/dataset.h"

#include "support/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    zn_rt_reader *read;
} readers[] = {
#define ZN_SOURCE(name) {#name, zn_rt_read_##name},
#include "runtime/sources.def"
};

void *zn_rt_dataset_alloc(int64_t n, int64_t size, zn_rt_error *e) {
    int64_t bytes;
    void *p = zn_mul_ok(n, size, &bytes) && bytes >= 0 ? malloc((size_t)bytes + 1) : NULL;
    if (!p)
        zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %" PRId64 " images or labels of %" PRId64 " bytes", n, size);
    return p;
}

int64_t zn_rt_source_number(const zn_data_desc *r, const char *name) {
    for (uint64_t i = 0; i < r->noption; i++)
        if (!strcmp(r->option[i].name, name))
            return r->option[i].number;
    return 0;
}

const char *zn_rt_source_text(const zn_data_desc *r, const char *name) {
    for (uint64_t i = 0; i < r->noption; i++)
        if (!strcmp(r->option[i].name, name) && r->option[i].text)
            return r->option[i].text;
    return "";
}

int zn_rt_dataset_alloc_split(zn_rt_dataset *d, int split, int64_t n, zn_rt_error *e) {
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

int zn_rt_dataset_file(char path[ZN_RT_PATH_SIZE], const char *directory, const char *name, zn_rt_error *e) {
    int n = snprintf(path, ZN_RT_PATH_SIZE, "%s/%s", directory, name);
    if (n < 0 || n >= ZN_RT_PATH_SIZE - 3)
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", directory, name);
    if (access(path, F_OK) == 0)
        return 0;
    memcpy(path + n, ".gz", 4);
    if (access(path, F_OK) == 0)
        return 0;
    return zn_rt_fail(e, ZN_RT_INPUT, "neither %s/%s nor %s/%s.gz is there; --data DIR says where the data is",
                      directory, name, directory, name);
}

int zn_rt_source_file(char path[ZN_RT_PATH_SIZE], const zn_data_desc *r, const char *name, const char *directory,
                      zn_rt_error *e) {
    const char *file = zn_rt_source_text(r, name), *slash = strrchr(file, '/');
    if (directory)
        return zn_rt_dataset_file(path, directory, slash ? slash + 1 : file, e);
    int n = snprintf(path, ZN_RT_PATH_SIZE, "%s", file);
    return n < 0 || n >= ZN_RT_PATH_SIZE ? zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", file) : 0;
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
                                  split->labels_path, split->labels[i], names[s], i, split->labels_at + i, classes);
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

static bool reads_files(const zn_data_desc *r) {
    for (uint64_t i = 0; i < r->noption; i++)
        if (r->option[i].text)
            return true;
    return !r->source;
}

int zn_rt_dataset_open(zn_rt_dataset *d, const zn_module_desc *m, const char *directory, zn_rt_pool *pool,
                       zn_rt_error *e) {
    const zn_data_desc *r = &m->data;
    zn_rt_reader *read = NULL;
    int code;
    *d = (zn_rt_dataset){0};
    if (directory && !reads_files(r))
        return zn_rt_fail(e, ZN_RT_USAGE, "--data has no use: this program makes its data itself");
    for (size_t i = 0; i < sizeof readers / sizeof *readers && !read; i++)
        if (r->source && !strcmp(r->source, readers[i].name))
            read = readers[i].read;
    code = read ? read(d, r, directory, pool, e)
                : zn_rt_fail(e, ZN_RT_INPUT, "the program was compiled without data to train on");
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
