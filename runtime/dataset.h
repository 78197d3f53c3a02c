/* Data sets: all images of both splits as bytes in memory, checked. */
#ifndef ZN_RUNTIME_DATASET_H
#define ZN_RUNTIME_DATASET_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/pool.h"
#include "runtime/sha256.h"

#include <stddef.h>

typedef struct zn_rt_split {
    int64_t n;
    uint8_t *pixels;        /* [n, height, width, channels] */
    uint8_t *labels;        /* [n] */
    char labels_path[4096]; /* file that holds label i at byte 8 + i (IDX); "" for other sources */
} zn_rt_split;

/* Zero-initialise to start. */
typedef struct zn_rt_dataset {
    int64_t height, width, channels;
    int64_t classes;      /* 0 = not known by the source: labels alone are checked */
    zn_rt_split split[2]; /* training, test */
    size_t bytes;
} zn_rt_dataset;

/* Loads and checks against what the network takes. directory (may be NULL) replaces that of the recipe; threads of the
 * pool (may be NULL) read several files at once. */
int zn_rt_dataset_open(zn_rt_dataset *d, const zn_module_desc *m, const char *directory, zn_rt_pool *pool,
                       zn_rt_error *e);
/* Of training pixels, training labels, test pixels, test labels. */
int zn_rt_dataset_digest(const zn_rt_dataset *d, char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e);
void zn_rt_dataset_close(zn_rt_dataset *d);

/* Readers of formats: they allocate pixels and labels and check the file (runtime/idx.c, runtime/cifar.c). On failure
 * what they allocated stays with the split. Images with n = 0 yet take their shape from the first file. */
int zn_rt_idx_read(zn_rt_dataset *d, int split, const char *images, const char *labels, zn_rt_error *e);
int zn_rt_cifar10_read(zn_rt_dataset *d, const char *directory, zn_rt_pool *pool, zn_rt_error *e);

/* n items of `size` bytes; NULL with a message on overflow or refusal. */
void *zn_rt_dataset_alloc(int64_t n, int64_t size, zn_rt_error *e);

#endif
