/* Folders of pictures, one a class, and their cache: the decoded pixels in a file that is mapped. */
#ifndef ZN_RUNTIME_FOLDER_H
#define ZN_RUNTIME_FOLDER_H

#include "runtime/dataset.h"
#include "runtime/text.h"

typedef struct zn_rt_file_entry {
    char *path; /* from the folder on: "train/cat/001.png" */
    uint16_t label;
    int64_t size, seconds, nanoseconds; /* of the file and its last change */
} zn_rt_file_entry;

/* Zero-initialise to start. Classes by name, files of a class by name, both in the order of bytes; training before
 * test. */
typedef struct zn_rt_folder {
    char path[ZN_RT_PATH_SIZE]; /* without links, absolute */
    char **class_name;
    int64_t classes;
    zn_rt_file_entry *file;
    int64_t n[2], room; /* files for training and test */
} zn_rt_folder;

int zn_rt_folder_scan(zn_rt_folder *f, const char *path, zn_rt_error *e);
void zn_rt_folder_close(zn_rt_folder *f);

/* Decodes file i to [shape]. */
int zn_rt_folder_decode(const zn_rt_folder *f, int64_t i, const int64_t shape[3], uint8_t *to, zn_rt_error *e);
/* All of them: training to to[0], test to to[1]. The error is that of the first file that has one. */
int zn_rt_folder_decode_all(const zn_rt_folder *f, const int64_t shape[3], uint8_t *const to[2], zn_rt_pool *pool,
                            zn_rt_error *e);

/* Pixels of both splits from a cache that fits the folder, or a new one; in memory where none can be written. */
int zn_rt_folder_pixels(const zn_rt_folder *f, zn_rt_dataset *d, zn_rt_pool *pool, zn_rt_error *e);

#endif
