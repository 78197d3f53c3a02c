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
    char labels_path[4096]; /* file that holds label i at byte labels_at + i; "" where there is none */
    int64_t labels_at;
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

/* Readers, one for each source of runtime/sources.def: they allocate pixels and labels and check what they read. On
 * failure what they allocated stays with the splits. */
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
/* Pixels and labels for n images of d's shape. */
int zn_rt_dataset_alloc_split(zn_rt_dataset *d, int split, int64_t n, zn_rt_error *e);
/* n items of `size` bytes; NULL with a message on overflow or refusal. */
void *zn_rt_dataset_alloc(int64_t n, int64_t size, zn_rt_error *e);

#endif
