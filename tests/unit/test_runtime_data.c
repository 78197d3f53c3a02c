/* Data sets and the loader: files that are sound and files that are not, built-in sources, order, augmentation, halo.
 * ZN_TEST_DATA_DIR, where defined, is a directory with mnist/ and maybe cifar-10-batches-bin/: real files. */
#include "runtime/dataset.h"
#include "runtime/digits.h"
#include "runtime/known.h"
#include "runtime/loader.h"
#include "runtime/memory.h"

#include "support/philox.h"

#include "tests/unit/fake_module.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char directory[] = "/tmp/zn_test_data_XXXXXX";
static char paths[4][128];

static void write_file(const char *path, const void *data, size_t n, bool compressed) {
    if (compressed) {
        gzFile f = gzopen(path, "wb");
        CU_ASSERT_EQUAL(gzwrite(f, data, (unsigned)n), (int)n);
        gzclose(f);
        return;
    }
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_EQUAL(fwrite(data, 1, n, f), n);
    fclose(f);
}

enum { N = 20, SIDE = 4, IMAGES_SIZE = 16 + N * SIDE * SIDE, LABELS_SIZE = 8 + N };
static unsigned char images[IMAGES_SIZE + 8], labels[LABELS_SIZE + 8];

static void make_idx(void) {
    const unsigned char image_head[16] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    const unsigned char label_head[8] = {0, 0, 8, 1, 0, 0, 0, N};
    memcpy(images, image_head, sizeof image_head);
    memcpy(labels, label_head, sizeof label_head);
    for (int i = 0; i < N * SIDE * SIDE; i++)
        images[16 + i] = (unsigned char)(i * 7);
    for (int i = 0; i < N; i++)
        labels[8 + i] = (unsigned char)(i % 3);
}

static void write_idx(size_t image_bytes, size_t label_bytes, bool compressed) {
    for (int i = 0; i < 4; i++)
        write_file(paths[i], i % 2 ? labels : images, i % 2 ? label_bytes : image_bytes, compressed);
}

/* h, w, c, classes, n, seed */
static void noise_source(fake_options *o, const int64_t v[6]) {
    static const char *const names[6] = {"h", "w", "c", "classes", "n", "seed"};
    fake_source(o, "noise");
    for (int i = 0; i < 6; i++)
        fake_number(o, names[i], v[i]);
}

static fake_options idx_options(void) {
    fake_options o = fake_default();
    static const char *const names[4] = {"train_images", "train_labels", "test_images", "test_labels"};
    fake_source(&o, "idx");
    for (int i = 0; i < 4; i++)
        fake_text(&o, names[i], paths[i]);
    o.height = o.width = SIDE;
    o.classes = 3;
    o.batch = 8;
    return o;
}

static int load(zn_rt_dataset *d, zn_rt_error *e) {
    fake_options o = idx_options();
    return zn_rt_dataset_open(d, fake_module(&o), NULL, NULL, e);
}

/* The load fails with code 3 and says `expected`. */
static void refuse(const char *expected) {
    zn_rt_dataset d;
    zn_rt_error e = {""};
    int code = load(&d, &e);
    CU_ASSERT_EQUAL(code, ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, expected));
    if (!strstr(e.text, expected))
        fprintf(stderr, "got: %s\nexpected: %s\n", e.text, expected);
    if (!code)
        zn_rt_dataset_close(&d);
}

static void idx_good(void) {
    for (int compressed = 0; compressed < 2; compressed++) {
        zn_rt_dataset d;
        zn_rt_error e;
        make_idx();
        write_idx(IMAGES_SIZE, LABELS_SIZE, compressed);
        CU_ASSERT_EQUAL_FATAL(load(&d, &e), 0);
        CU_ASSERT_EQUAL(d.split[0].n, N);
        CU_ASSERT_EQUAL(d.split[1].n, N);
        CU_ASSERT_EQUAL(memcmp(d.split[0].pixels, images + 16, N * SIDE * SIDE), 0);
        CU_ASSERT_EQUAL(memcmp(d.split[1].labels, labels + 8, N), 0);
        CU_ASSERT_EQUAL(d.bytes, 2 * N * (SIDE * SIDE + 1));
        char sha256[ZN_RT_SHA256_HEX] = "";
        CU_ASSERT_EQUAL(zn_rt_dataset_digest(&d, sha256, &e), 0);
        CU_ASSERT_EQUAL(strlen(sha256), 64);
        zn_rt_dataset_close(&d);
    }
}

static void idx_bad(void) {
    make_idx();
    write_idx(IMAGES_SIZE - 1, LABELS_SIZE, false);
    refuse("ends at byte 335; its header promises 1 bytes more");
    write_idx(IMAGES_SIZE - 1, LABELS_SIZE, true);
    refuse("ends at byte 335");
    write_idx(IMAGES_SIZE + 1, LABELS_SIZE, false);
    refuse("goes on after its last item, from byte 336");
    write_idx(3, LABELS_SIZE, false);
    refuse("inside the magic number");
    write_idx(9, LABELS_SIZE, false);
    refuse("inside the sizes");
    images[2] = 9;
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    refuse("magic number 00000903 at byte 0");
    make_idx();
    images[4] = images[8] = images[12] = 255; /* 2^96 bytes and a file of 336 */
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    refuse("is 0 or too large");
    make_idx();
    images[5] = 255; /* 267 million bytes that are not there */
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    refuse("ends at byte 336");
    make_idx();
    labels[8 + 5] = 3;
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    refuse(": label 3 of training image 5 (byte 13) is out of range; the network has 3 classes");
    make_idx();
    labels[7] = N - 1;
    write_idx(IMAGES_SIZE, LABELS_SIZE - 1, false);
    refuse("has 19 labels for the 20 images");
    make_idx();
    labels[3] = 3;
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    refuse("ends at byte"); /* read as images: the sizes lie in the labels */
    make_idx();
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    unlink(paths[2]);
    refuse("cannot open: No such file");
}

static void shapes(void) {
    fake_options o = idx_options();
    zn_rt_dataset d;
    zn_rt_error e;
    make_idx();
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    o.width = 5;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_STRING_EQUAL(e.text, "the images are [4, 4, 1]; the network takes [4, 5, 1]");
    o.rank = 1;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_STRING_EQUAL(e.text, "the images have 4 x 4 x 1 = 16 elements; the network takes 20");
    o.height = 2;
    o.width = 8;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    zn_rt_dataset_close(&d);
    o.batch = 21;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_STRING_EQUAL(e.text, "the training split has 20 images, less than one batch of 21");
    o.batch = 8;
    o.data.source = NULL;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    o = fake_default();
    o.classes = 11;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_STRING_EQUAL(e.text, "the data has 10 classes; the network has 11");
}

/* --data: the directory changes, the file names stay; .gz is found. */
static void moved(void) {
    fake_options o = idx_options();
    zn_rt_dataset d;
    zn_rt_error e;
    make_idx();
    write_idx(IMAGES_SIZE, LABELS_SIZE, false);
    fake_text(&o, "train_images", "/nowhere/a/train-images");
    fake_text(&o, "train_labels", "train-labels");
    fake_text(&o, "test_images", "/nowhere/test-images");
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), directory, NULL, &e), 0);
    zn_rt_dataset_close(&d);
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), "/nowhere", NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "--data DIR"));
}

static void cifar(void) {
    fake_options o = fake_default();
    zn_rt_dataset d;
    zn_rt_error e;
    char path[128], inner[96];
    static unsigned char record[3073];
    fake_source(&o, "cifar10");
    fake_text(&o, "dir", directory);
    o.height = o.width = 32;
    o.channels = 3;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "data_batch_1.bin: cannot open"));
    snprintf(inner, sizeof inner, "%s/cifar-10-batches-bin", directory);
    mkdir(inner, 0777);
    for (int b = 1; b <= 6; b++) {
        if (b < 6)
            snprintf(path, sizeof path, "%s/data_batch_%d.bin", inner, b);
        else
            snprintf(path, sizeof path, "%s/test_batch.bin", inner);
        FILE *f = fopen(path, "wb");
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        for (int i = 0; i < 10000; i++) {
            record[0] = (unsigned char)((i + b) % 10);
            record[1 + 5] = 10, record[1 + 1024 + 5] = 20, record[1 + 2048 + 5] = (unsigned char)b;
            fwrite(record, 1, sizeof record, f);
        }
        fclose(f);
    }
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    CU_ASSERT_EQUAL(d.split[0].n, 50000);
    CU_ASSERT_EQUAL(d.split[1].n, 10000);
    const uint8_t *p = d.split[0].pixels + (size_t)20003 * 3072 + 15; /* the third file */
    CU_ASSERT_TRUE(p[0] == 10 && p[1] == 20 && p[2] == 3 && d.split[0].labels[20003] == 6);
    zn_rt_dataset_close(&d);
    snprintf(path, sizeof path, "%s/data_batch_4.bin", inner);
    FILE *f = fopen(path, "r+b"); /* one bad label */
    fseek(f, 3073 * 7, SEEK_SET);
    fputc(10, f);
    fclose(f);
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "data_batch_4.bin: label 10 at byte 21511"));
    CU_ASSERT_EQUAL(truncate(path, 3073 * 10000 - 1), 0);
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "has 30729999 bytes"));
}

/* Bits of the built-in sources: they are part of every digest of a program that uses them. */
static void built_in(void) {
    static uint8_t a[784], b[784];
    uint32_t hash = 2166136261u;
    int seen[10] = {0};
    for (uint32_t i = 0; i < 500; i++) {
        uint8_t label = zn_rt_digit_draw(1, i & 1, i, a);
        seen[label]++;
        for (int k = 0; k < 784; k++)
            hash = (hash ^ a[k]) * 16777619u;
    }
    printf(" digits %08x ", hash);
    CU_ASSERT_EQUAL(hash, 0x6c84d729u);
    for (int k = 0; k < 10; k++)
        CU_ASSERT_TRUE(seen[k] > 20);
    uint8_t first = zn_rt_digit_draw(1, 0, 7, a), again = zn_rt_digit_draw(1, 0, 7, b);
    CU_ASSERT_TRUE(first == again && memcmp(a, b, sizeof a) == 0);
    zn_rt_digit_draw(2, 0, 7, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof a), 0);
    zn_rt_digit_draw(1, 1, 7, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof a), 0);

    fake_options o = fake_default();
    zn_rt_dataset d;
    zn_rt_error e;
    noise_source(&o, (const int64_t[]){5, 6, 3, 7, 2000, 3});
    o.height = 5, o.width = 6, o.channels = 3, o.classes = 7;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    CU_ASSERT_EQUAL(d.split[0].n, 2000);
    CU_ASSERT_EQUAL(d.split[1].n, 200);
    double mean = 0;
    for (int i = 0; i < 2000 * 90; i++)
        mean += (double)d.split[0].pixels[i] / (2000 * 90);
    CU_ASSERT_TRUE(fabs(mean - 127.5) < 1);
    zn_rt_dataset_close(&d);
    fake_number(&o, "classes", 300);
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_INPUT);
    fake_number(&o, "classes", 7);
    fake_number(&o, "h", INT64_MAX);
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), ZN_RT_MEMORY);
}

static void order(void) {
    enum { COUNT = 10007 };
    static uint32_t a[COUNT], b[COUNT];
    static bool seen[COUNT];
    zn_rt_order(1, 0, COUNT, a);
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_TRUE_FATAL(a[i] < COUNT && !seen[a[i]]);
        seen[a[i]] = true;
    }
    int same = 0;
    zn_rt_order(1, 1, COUNT, b);
    for (int i = 0; i < COUNT; i++)
        same += a[i] == b[i];
    CU_ASSERT_TRUE(same < 10);
    zn_rt_order(2, 0, COUNT, b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof a), 0);
    zn_rt_order(1, 0, COUNT, b);
    CU_ASSERT_EQUAL(memcmp(a, b, sizeof a), 0);
    zn_rt_order(1, 0, 1, a);
    CU_ASSERT_EQUAL(a[0], 0);
}

/* What a pixel becomes, by the definition. */
static float expected_pixel(const zn_rt_dataset *d, int64_t sample, int64_t y, int64_t x, int64_t c, bool mirrored,
                            const double *mean, const double *deviation) {
    int v = 0;
    if (mirrored) { /* at the edge, which stands there once */
        while (y < 0 || y >= d->height)
            y = y < 0 ? -y : 2 * (d->height - 1) - y;
        while (x < 0 || x >= d->width)
            x = x < 0 ? -x : 2 * (d->width - 1) - x;
    }
    if (y >= 0 && y < d->height && x >= 0 && x < d->width)
        v = d->split[0].pixels[((sample * d->height + y) * d->width + x) * d->channels + c];
    return (float)((v / 255.0 - mean[c]) / deviation[c]);
}

/* Crop, flip and normalise into a layout with a halo, for images of 1, 2 and 3 channels and for vectors. */
static void loader(int64_t channels, uint64_t rank, int64_t crop, bool recipe) {
    const double mean[3] = {0.1, 0.2, 0.3}, deviation[3] = {0.5, 0.25, 2};
    fake_options o = fake_default();
    zn_rt_dataset d;
    zn_rt_memory mem;
    zn_rt_loader *l;
    zn_rt_error e;
    noise_source(&o, (const int64_t[]){5, 6, channels, 7, 30, 5});
    o.data.normalize = ZN_NORMALIZE_GIVEN;
    o.data.nchannels = (uint64_t)channels;
    o.data.mean = mean;
    o.data.deviation = deviation;
    o.data.crop = crop;
    o.data.flip = recipe ? ZN_FLIP_ALTERNATE : ZN_FLIP_RANDOM;
    o.data.reflect = recipe;
    o.data.cutout = recipe ? 3 : 0;
    o.height = 5, o.width = 6, o.channels = channels, o.classes = 7, o.batch = 8, o.rank = rank,
    o.halo = rank == 1 ? 0 : 2;
    const zn_module_desc *m = fake_module(&o);
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, m, NULL, NULL, &e), 0);
    CU_ASSERT_EQUAL_FATAL(zn_rt_memory_open(&mem, m, &e), 0);
    CU_ASSERT_EQUAL_FATAL(zn_rt_loader_open(&l, m, &d, &mem, 9, NULL, &e), 0);
    uint32_t place[30];
    int flips = 0, shifts = 0;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        zn_rt_order(9, epoch, 30, place);
        for (int64_t position = 0; position + 8 <= 30; position += 8) {
            int copy = (int)(position / 8) & 1;
            zn_rt_loader_request(l, copy, (zn_rt_load){0, true, epoch, position, NULL});
            zn_rt_loader_wait(l);
            const float *image = (const float *)(const void *)mem.batch[copy];
            const int32_t *label = (const int32_t *)(const void *)(mem.batch[copy] + m->input.labels);
            size_t size = 8 * m->input.image_pitch, bad = 0;
            float *want = calloc(size, sizeof *want);
            CU_ASSERT_PTR_NOT_NULL_FATAL(want);
            for (int64_t i = 0; i < 8; i++) {
                int64_t at = place[position + i];
                uint32_t w[4];
                zn_philox(zn_philox_key_make(9, ZN_PURPOSE_AUGMENT, ""), (uint32_t)at, epoch, 0, 0, w);
                int64_t dy = (int64_t)zn_philox_below(w[0], (uint32_t)(2 * crop + 1)) - crop;
                int64_t dx = (int64_t)zn_philox_below(w[1], (uint32_t)(2 * crop + 1)) - crop;
                bool flip = w[2] >> 31;
                int64_t middle = zn_philox_below(w[3], 5 * 6);
                if (recipe) {
                    zn_philox(zn_philox_key_make(9, ZN_PURPOSE_AUGMENT, ""), (uint32_t)at, 0, 1, 0, w);
                    flip = (w[0] >> 31) ^ (epoch & 1);
                }
                flips += flip;
                shifts += dy || dx;
                CU_ASSERT_EQUAL(label[i], d.split[0].labels[at]);
                for (int64_t y = 0; y < 5; y++)
                    for (int64_t x = 0; x < 6; x++)
                        for (int64_t c = 0; c < channels; c++)
                            want[m->input.first + (uint64_t)i * m->input.image_pitch + (uint64_t)y * m->input.pitch +
                                 (uint64_t)(x * channels + c)] =
                                recipe && llabs(y - middle / 6) <= 1 && llabs(x - middle % 6) <= 1
                                    ? (float)(-mean[c] / deviation[c])
                                    : expected_pixel(&d, at, y + dy, (flip ? 5 - x : x) + dx, c, recipe, mean,
                                                     deviation);
            }
            for (size_t k = 0; k < size; k++)
                bad += memcmp(&want[k], &image[k], sizeof *want) != 0;
            CU_ASSERT_EQUAL(bad, 0);
            free(want);
        }
    }
    CU_ASSERT_TRUE(flips > 5 && flips < 67);
    CU_ASSERT_TRUE(crop == 0 || shifts > 20);
    /* In order: no augmentation, the end filled up with the first of the batch. */
    zn_rt_loader_request(l, 1, (zn_rt_load){1, false, 0, 0, NULL});
    zn_rt_loader_wait(l);
    const int32_t *label = (const int32_t *)(const void *)(mem.batch[1] + m->input.labels);
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(label[i], d.split[1].labels[i < 3 ? i : 0]);
    zn_rt_loader_close(l);
    zn_rt_memory_close(&mem);
    zn_rt_dataset_close(&d);
}

static void loader_layouts(void) {
    loader(1, 3, 2, false);
    loader(1, 3, 2, true);
    loader(2, 3, 1, false);
    loader(2, 3, 1, true);
    loader(3, 3, 2, false);
    loader(3, 3, 2, true);
    loader(3, 3, 9, false);
    loader(3, 3, 9, true); /* whole images of padding */
    loader(1, 3, 0, false);
    loader(1, 3, 0, true);
    loader(3, 1, 2, false);
    loader(3, 1, 2, true);
    loader(1, 1, 0, false);
    loader(1, 1, 0, true);
}

static void per_channel(void) {
    fake_options o = idx_options();
    zn_rt_dataset d;
    zn_rt_memory mem;
    zn_rt_loader *l;
    zn_rt_error e;
    for (int constant = 0; constant < 2; constant++) {
        make_idx();
        if (constant)
            memset(images + 16, 100, N * SIDE * SIDE);
        write_idx(IMAGES_SIZE, LABELS_SIZE, false);
        o.data.normalize = ZN_NORMALIZE_PER_CHANNEL;
        const zn_module_desc *m = fake_module(&o);
        CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, m, NULL, NULL, &e), 0);
        CU_ASSERT_EQUAL_FATAL(zn_rt_memory_open(&mem, m, &e), 0);
        CU_ASSERT_EQUAL_FATAL(zn_rt_loader_open(&l, m, &d, &mem, 1, NULL, &e), 0);
        double mean = 0, square = 0;
        for (int i = 0; i < N * SIDE * SIDE; i++) {
            double v = images[16 + i] / 255.0 / (N * SIDE * SIDE);
            mean += v;
            square += v * images[16 + i] / 255.0;
        }
        double deviation = constant ? 1 : sqrt(square - mean * mean);
        zn_rt_loader_request(l, 0, (zn_rt_load){1, false, 0, 0, NULL});
        zn_rt_loader_wait(l);
        const float *x = (const float *)(const void *)mem.batch[0];
        for (int i = 0; i < SIDE * SIDE; i++)
            CU_ASSERT_TRUE(fabs((double)x[i] - (images[16 + i] / 255.0 - mean) / deviation) < 1e-6);
        if (constant)
            CU_ASSERT_EQUAL(x[0], 0.0f);
        zn_rt_loader_close(l);
        zn_rt_memory_close(&mem);
        zn_rt_dataset_close(&d);
    }
}

/* The table of published data sets: what readers take, and the command that unpacks an archive. */
static void known(void) {
    char path[ZN_RT_PATH_SIZE], command[256];
    zn_rt_error e = {""};
    const zn_rt_known *c = zn_rt_known_find("cifar10"), *m = zn_rt_known_find("mnist");
    CU_ASSERT_PTR_NULL(zn_rt_known_find(NULL));
    CU_ASSERT_PTR_NULL(zn_rt_known_find("digits"));
    CU_ASSERT_TRUE_FATAL(c && m && c->nfile == 6 && m->nfile == 4);
    for (size_t i = 0; i < 6; i++)
        CU_ASSERT_TRUE(c->file[i].size == 10000 * 3073 && strlen(c->file[i].sha256) == 64);
    CU_ASSERT_TRUE(m->file[0].size == 16 + 60000 * 784 && m->file[1].size == 8 + 60000);
    CU_ASSERT_EQUAL(zn_rt_known_folder(c, "/nowhere", path, &e), 0);
    CU_ASSERT_STRING_EQUAL(path, "/nowhere/cifar-10-batches-bin");
    CU_ASSERT_EQUAL(zn_rt_known_folder(m, "/nowhere", path, &e), 0);
    CU_ASSERT_STRING_EQUAL(path, "/nowhere");
    CU_ASSERT_TRUE(zn_rt_known_command("d/a.tar.gz", "d", false, command, sizeof command));
    CU_ASSERT_STRING_EQUAL(command, "tar -xzf d/a.tar.gz -C d");
    CU_ASSERT_TRUE(zn_rt_known_command("a.tar.gz", "it's", true, command, sizeof command));
    CU_ASSERT_STRING_EQUAL(command, "mkdir -p 'it'\\''s' && tar -xzf a.tar.gz -C 'it'\\''s'");
    CU_ASSERT_TRUE(zn_rt_known_command("a.tar.gz", "-d", false, command, 30));
    CU_ASSERT_STRING_EQUAL(command, "tar -xzf a.tar.gz -C ./-d");
    CU_ASSERT_FALSE(zn_rt_known_command("a.tar.gz", "-d", false, command, 20)); /* half of it is another command */
    CU_ASSERT_STRING_EQUAL(command, "");
}

/* Real files, where they are at hand. */
static void real_data(void) {
#ifdef ZN_TEST_DATA_DIR
    fake_options o = fake_default();
    zn_rt_dataset d;
    zn_rt_error e;
    struct stat st;
    if (stat(ZN_TEST_DATA_DIR "/mnist", &st) == 0) {
        fake_source(&o, "mnist");
        fake_text(&o, "dir", ZN_TEST_DATA_DIR "/mnist");
        CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
        CU_ASSERT_TRUE(d.split[0].n == 60000 && d.split[1].n == 10000 && d.split[0].labels[0] == 5);
        uint64_t sum = 0;
        for (int i = 0; i < 60000 * 784; i++)
            sum += d.split[0].pixels[i];
        CU_ASSERT_TRUE(fabs((double)sum / 255 / 60000 / 784 - 0.130660) < 5e-7);
        zn_rt_dataset_close(&d);
    } else {
        printf(" skipped: no mnist/ in " ZN_TEST_DATA_DIR " ");
    }
    if (stat(ZN_TEST_DATA_DIR "/cifar-10-batches-bin", &st) == 0) {
        fake_source(&o, "cifar10");
        fake_text(&o, "dir", ZN_TEST_DATA_DIR);
        o.height = o.width = 32;
        o.channels = 3;
        CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
        uint64_t sum[3] = {0};
        for (int i = 0; i < 50000 * 1024; i++)
            for (int c = 0; c < 3; c++)
                sum[c] += d.split[0].pixels[3 * i + c];
        CU_ASSERT_TRUE(fabs((double)sum[0] / 255 / 50000 / 1024 - 0.4914) < 5e-5);
        CU_ASSERT_TRUE(fabs((double)sum[2] / 255 / 50000 / 1024 - 0.4465) < 5e-5);
        zn_rt_dataset_close(&d);
    } else {
        printf(" skipped: no cifar-10-batches-bin/ in " ZN_TEST_DATA_DIR " ");
    }
#else
    printf(" skipped: built without ZN_TEST_DATA_DIR ");
#endif
}

int main(void) {
    static const char *const names[4] = {"train-images", "train-labels", "test-images", "test-labels"};
    if (!mkdtemp(directory))
        return 1;
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", directory, names[i]);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: data", NULL, NULL);
    CU_add_test(s, "idx, sound", idx_good);
    CU_add_test(s, "idx, not sound", idx_bad);
    CU_add_test(s, "shapes", shapes);
    CU_add_test(s, "another directory", moved);
    CU_add_test(s, "cifar-10", cifar);
    CU_add_test(s, "built-in sources", built_in);
    CU_add_test(s, "order", order);
    CU_add_test(s, "loader", loader_layouts);
    CU_add_test(s, "per channel", per_channel);
    CU_add_test(s, "published data sets", known);
    CU_add_test(s, "real data", real_data);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0 || failures != 0;
}
