/* Data sets (see runtime/dataset.h): choosing the source, its checks against the network, the part that is held out,
 * and the digest. */
#include "runtime/dataset.h"

#include "runtime/order.h"

#include "support/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const zn_rt_split_names[ZN_RT_SPLITS] = {"training", "test", "validation"};

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
    s->items = n;
    s->pixels = zn_rt_dataset_alloc(n, image, e);
    if (s->pixels && d->classes > 256)
        s->wide = zn_rt_dataset_alloc(n, sizeof *s->wide, e);
    else if (s->pixels)
        s->labels = zn_rt_dataset_alloc(n, 1, e);
    return s->labels || s->wide ? 0 : ZN_RT_MEMORY;
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
    for (int s = 0; s <= ZN_RT_TEST && classes > 0; s++)
        for (int64_t i = 0; i < d->split[s].items; i++) {
            const zn_rt_split *split = &d->split[s];
            if (zn_rt_label(split, i) < classes)
                continue;
            if (split->labels_path[0])
                return zn_rt_fail(e, ZN_RT_INPUT,
                                  "%s: label %d of %s image %" PRId64 " (byte %" PRId64
                                  ") is out of range; the network has %" PRId64 " classes",
                                  split->labels_path, zn_rt_label(split, i), zn_rt_split_names[s], i,
                                  split->labels_at + i * split->labels_size, classes);
            return zn_rt_fail(e, ZN_RT_INPUT,
                              "label %d of %s image %" PRId64 " is out of range; the network has %" PRId64 " classes",
                              zn_rt_label(split, i), zn_rt_split_names[s], i, classes);
        }
    return 0;
}

/* What a label says must be what the loss needs: a class, or as many numbers as the network gives. Labels that are
 * classes are numbers where the loss needs one. */
static int check_targets(zn_rt_dataset *d, zn_rt_error *e) {
    int64_t want = (int64_t)d->in->targets;
    bool targets = d->split[ZN_RT_TRAINING].targets != NULL;
    if (targets && !want && d->in->classes > 0)
        return zn_rt_fail(e, ZN_RT_INPUT,
                          "%s: the labels are real numbers, not classes: train with `loss = mse(target = value)`, or "
                          "make them integers",
                          d->split[ZN_RT_TRAINING].labels_path);
    if (want && want != (targets ? d->targets : 1))
        return zn_rt_fail(e, ZN_RT_INPUT, "a label has %" PRId64 " number%s; the network gives %" PRId64,
                          targets ? d->targets : 1, targets && d->targets != 1 ? "s" : "", want);
    if (!want || targets)
        return 0;
    for (int s = 0; s <= ZN_RT_TEST; s++) {
        zn_rt_split *split = &d->split[s];
        float *values = zn_rt_dataset_alloc(split->items, sizeof *values, e);
        if (!values)
            return ZN_RT_MEMORY;
        for (int64_t i = 0; i < split->items; i++)
            values[i] = (float)zn_rt_label(split, i);
        free(split->labels);
        free(split->wide);
        split->labels = NULL;
        split->wide = NULL;
        split->targets = values;
    }
    d->targets = 1;
    return 0;
}

/* Labels of 16 bits become bytes where they all fit, so that a data set has one form (and one digest). */
static void narrow_labels(zn_rt_dataset *d) {
    for (int s = 0; s <= ZN_RT_TEST; s++)
        for (int64_t i = 0; d->split[s].wide && i < d->split[s].items; i++)
            if (d->split[s].wide[i] > UINT8_MAX)
                return;
    for (int s = 0; s <= ZN_RT_TEST; s++) {
        zn_rt_split *split = &d->split[s];
        if (!split->wide)
            continue;
        split->labels = (uint8_t *)split->wide;
        for (int64_t i = 0; i < split->items; i++) /* byte i is behind none of the labels that are still to be read */
            split->labels[i] = (uint8_t)split->wide[i];
        split->wide = NULL;
        uint8_t *less = realloc(split->labels, (size_t)split->items + 1);
        split->labels = less ? less : split->labels;
    }
}

/* Vectors are images in memory order where the network takes images of as many elements. */
int zn_rt_dataset_fit(zn_rt_dataset *d, zn_rt_error *e) {
    const zn_input_desc *in = d->in;
    int64_t image = d->height * d->width * d->channels;
    if (d->flat && in->rank != 1 && in->height * in->width * in->channels == image) {
        d->height = in->height;
        d->width = in->width;
        d->channels = in->channels;
    }
    if (d->flat && in->height * in->width * in->channels != image)
        return zn_rt_fail(e, ZN_RT_INPUT, "the samples have %" PRId64 " elements; the network takes %" PRId64, image,
                          in->height * in->width * in->channels);
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
    return check_labels(d, in->classes, e);
}

/* Samples of each split: all items, or those that are not held out, and these. */
static int divide(zn_rt_dataset *d, double part, zn_rt_error *e) {
    zn_rt_split *train = &d->split[ZN_RT_TRAINING], *held = &d->split[ZN_RT_VALIDATION];
    int64_t n = train->items, out;
    for (int s = 0; s <= ZN_RT_TEST; s++) {
        d->split[s].n = d->split[s].items;
        if (d->split[s].n > INT32_MAX)
            return zn_rt_fail(e, ZN_RT_INPUT, "a split has more than 2^31 - 1 images");
    }
    if (part > 0) {
        out = zn_part_of(part, n);
        if (out < 1 || out >= n)
            return zn_rt_fail(e, ZN_RT_INPUT, "`split` holds out %" PRId64 " of %" PRId64 " training samples", out, n);
        d->picks = zn_rt_dataset_alloc(n, sizeof *d->picks, e);
        if (!d->picks)
            return ZN_RT_MEMORY;
        if (zn_rt_hold_out(n, out, d->picks) != 0)
            return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory to divide %" PRId64 " samples", n);
        *held = *train;
        held->mapped = (zn_rt_mapped){0};
        train->n = n - out;
        held->n = out;
        train->pick = d->picks;
        held->pick = d->picks + train->n;
    }
    if (train->n < d->in->batch)
        return zn_rt_fail(e, ZN_RT_INPUT, "the training split has %" PRId64 " images, less than one batch of %" PRId64,
                          train->n, d->in->batch);
    if (d->split[ZN_RT_TEST].n < 1 && held->n < 1)
        return zn_rt_fail(e, ZN_RT_INPUT, "the test split has no images");
    return 0;
}

int zn_rt_dataset_digest(const zn_rt_dataset *d, char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    size_t image = (size_t)(d->height * d->width * d->channels);
    zn_rt_sha256 h;
    int code = zn_rt_sha256_start(&h, e);
    if (code)
        return code;
    for (int i = 0; i <= ZN_RT_TEST && !code; i++) {
        const zn_rt_split *s = &d->split[i];
        size_t n = (size_t)s->items;
        code = s->floats ? zn_rt_sha256_add(&h, s->floats, n * image * sizeof *s->floats, e)
                         : zn_rt_sha256_add(&h, s->pixels, n * image, e);
        if (!code && s->labels)
            code = zn_rt_sha256_add(&h, s->labels, n, e);
        if (!code && s->wide)
            code = zn_rt_sha256_add(&h, s->wide, n * sizeof *s->wide, e);
        if (!code && s->targets)
            code = zn_rt_sha256_add(&h, s->targets, n * (size_t)d->targets * sizeof *s->targets, e);
    }
    if (!code)
        code = zn_rt_sha256_end(&h, sha256, e);
    else
        zn_rt_sha256_free(&h);
    return code;
}

static void count_bytes(zn_rt_dataset *d) {
    size_t image = (size_t)(d->height * d->width * d->channels);
    for (int i = 0; i <= ZN_RT_TEST; i++) {
        const zn_rt_split *s = &d->split[i];
        size_t label = s->targets ? (size_t)d->targets * sizeof *s->targets : s->wide ? sizeof *s->wide : 1;
        size_t pixels = (size_t)s->items * image * (s->floats ? sizeof *s->floats : 1);
        d->bytes += (size_t)s->items * label;
        *(s->mapped.size ? &d->mapped : &d->bytes) += pixels;
    }
    if (d->picks)
        d->bytes += (size_t)d->split[ZN_RT_TRAINING].items * sizeof *d->picks;
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
    *d = (zn_rt_dataset){.in = &m->input};
    if (directory && !reads_files(r))
        return zn_rt_fail(e, ZN_RT_USAGE, "--data has no use: this program makes its data itself");
    for (size_t i = 0; i < sizeof readers / sizeof *readers && !read; i++)
        if (r->source && !strcmp(r->source, readers[i].name))
            read = readers[i].read;
    code = read ? read(d, r, directory, pool, e)
                : zn_rt_fail(e, ZN_RT_INPUT, "the program was compiled without data to train on");
    if (!code)
        code = check_targets(d, e);
    if (!code) {
        narrow_labels(d);
        code = zn_rt_dataset_fit(d, e);
    }
    if (!code)
        code = divide(d, r->split, e);
    if (code)
        zn_rt_dataset_close(d);
    else
        count_bytes(d);
    return code;
}

void zn_rt_dataset_close(zn_rt_dataset *d) {
    for (int i = 0; i <= ZN_RT_TEST; i++) {
        zn_rt_split *s = &d->split[i];
        if (!s->mapped.size) {
            free(s->pixels);
            free((void *)(uintptr_t)s->floats);
        }
        zn_rt_unmap(&s->mapped);
        free(s->labels);
        free(s->wide);
        free(s->targets);
    }
    free(d->picks);
    *d = (zn_rt_dataset){0};
}
