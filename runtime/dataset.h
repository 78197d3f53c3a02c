/* Data sets: all samples of training and test, in memory or mapped, checked; and the part held out for validation. */
#ifndef ZN_RUNTIME_DATASET_H
#define ZN_RUNTIME_DATASET_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/mapped.h"
#include "runtime/pool.h"
#include "runtime/sha256.h"

#include <stdbool.h>
#include <stddef.h>

enum { ZN_RT_TRAINING, ZN_RT_TEST, ZN_RT_VALIDATION, ZN_RT_SPLITS };
/* "training", "test", "validation" */
extern const char *const zn_rt_split_names[ZN_RT_SPLITS];

/* Classes are numbered from 0; the last one is the largest number of classes that there may be, less 1. */
enum { ZN_RT_CLASSES = 65535 };

/* Samples i of [0, n) are items zn_rt_item(s, i) of what is stored. One of pixels and floats is there, and one of
 * labels, wide and targets: they are the split's to free, but pixels and floats where they lie in its mapping. Those of
 * the validation split are the training split's. */
typedef struct zn_rt_split {
    int64_t n;
    const uint32_t *pick;   /* the item of each sample; NULL: sample i is item i */
    int64_t items;          /* stored */
    uint8_t *pixels;        /* [items, height, width, channels] */
    const float *floats;    /* the same of numbers, which are finite */
    uint8_t *labels;        /* [items] */
    uint16_t *wide;         /* [items], where one of them is above 255 */
    float *targets;         /* [items, d->targets] */
    zn_rt_mapped mapped;    /* of a file in which the pixels or floats lie; size 0: they are in memory of their own */
    char labels_path[4096]; /* file that holds label i at byte labels_at + i * labels_size; "" where there is none */
    int64_t labels_at, labels_size;
} zn_rt_split;

/* Zero-initialise to start. */
typedef struct zn_rt_dataset {
    const zn_input_desc *in; /* what the network takes */
    int64_t height, width, channels;
    bool flat;       /* samples are vectors: height and width are 1, unless the network takes images */
    int64_t classes; /* 0 = not known by the source: labels alone are checked */
    int64_t targets; /* numbers of a target, where there are targets */
    zn_rt_split split[ZN_RT_SPLITS];
    uint32_t *picks;      /* of training and validation, where there is a validation split */
    size_t bytes, mapped; /* in memory; mapped from files, which takes memory only while there is some to spare */
} zn_rt_dataset;

static inline int64_t zn_rt_item(const zn_rt_split *s, int64_t i) {
    return s->pick ? s->pick[i] : i;
}
/* Of an item; 0 where there are only targets. */
static inline int32_t zn_rt_label(const zn_rt_split *s, int64_t item) {
    return s->labels ? s->labels[item] : s->wide ? s->wide[item] : 0;
}

/* Loads and checks against what the network takes. directory (may be NULL) replaces that of the recipe; threads of the
 * pool (may be NULL) share the work. */
int zn_rt_dataset_open(zn_rt_dataset *d, const zn_module_desc *m, const char *directory, zn_rt_pool *pool,
                       zn_rt_error *e);
/* Of training pixels, training labels, test pixels, test labels, with what is held out, as they are stored: pixels
 * bytes or 32-bit floats, labels bytes, 16-bit integers or 32-bit floats, little-endian. */
int zn_rt_dataset_digest(const zn_rt_dataset *d, char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e);
void zn_rt_dataset_close(zn_rt_dataset *d);
/* Shape and labels against what the network takes; vectors become images where it takes these. */
int zn_rt_dataset_fit(zn_rt_dataset *d, zn_rt_error *e);
/* Images of a file of numpy as those of a split, whose items, pixels or floats are set. */
int zn_rt_read_npy_images(zn_rt_dataset *d, int split, const char *path, zn_rt_pool *pool, zn_rt_error *e);

/* Readers, one for each source of runtime/sources.def: they set the shape, fill items, pixels or floats and labels of
 * training and test, and check what they read. On failure what they allocated stays with the splits. */
typedef int zn_rt_reader(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool,
                         zn_rt_error *e);
#define ZN_SOURCE(name) zn_rt_reader zn_rt_read_##name;
#include "runtime/sources.def"

/* What readers are made of. An option of the source by its name in the language: 0 or "" if it has none. */
int64_t zn_rt_source_number(const zn_data_desc *r, const char *name);
const char *zn_rt_source_text(const zn_data_desc *r, const char *name);
enum { ZN_RT_PATH_SIZE = 4096 };
/* directory/name, or directory/name.gz where only that exists. */
int zn_rt_dataset_file(char path[ZN_RT_PATH_SIZE], const char *directory, const char *name, zn_rt_error *e);
/* The file that option `name` holds, or the file of that name in `directory` (may be NULL). */
int zn_rt_source_file(char path[ZN_RT_PATH_SIZE], const zn_data_desc *r, const char *name, const char *directory,
                      zn_rt_error *e);
/* Pixels and labels (wide where there are more than 256 classes) for n images of d's shape. */
int zn_rt_dataset_alloc_split(zn_rt_dataset *d, int split, int64_t n, zn_rt_error *e);
/* n items of `size` bytes; NULL with a message on overflow or refusal. */
void *zn_rt_dataset_alloc(int64_t n, int64_t size, zn_rt_error *e);

#endif
