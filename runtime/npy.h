/* Files of numpy (.npy): an array in C order, mapped. */
#ifndef ZN_RUNTIME_NPY_H
#define ZN_RUNTIME_NPY_H

#include "runtime/error.h"
#include "runtime/mapped.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZN_RT_NPY_RANK = 8 };

typedef enum zn_rt_npy_type { ZN_RT_NPY_UINT, ZN_RT_NPY_INT, ZN_RT_NPY_FLOAT } zn_rt_npy_type;

/* Zero-initialise to start. Elements are little-endian, of 1, 2, 4 or 8 bytes (floats: 4 or 8), in C order from byte
 * `offset` of the file on, and end where it ends. */
typedef struct zn_rt_npy {
    zn_rt_mapped file;
    zn_rt_npy_type type;
    int size; /* bytes of an element */
    int rank;
    int64_t dim[ZN_RT_NPY_RANK], count; /* count: all elements */
    size_t offset;
} zn_rt_npy;

int zn_rt_npy_open(zn_rt_npy *a, const char *path, zn_rt_error *e);
/* Of a file that lies at `at`, size bytes; path is for messages. a->file stays as it is. */
int zn_rt_npy_parse(zn_rt_npy *a, const char *path, const uint8_t *at, size_t size, zn_rt_error *e);
void zn_rt_npy_close(zn_rt_npy *a);

/* Element i of an array of integers of a file at `at`; *fits: whether 64 bits with a sign hold it. */
int64_t zn_rt_npy_int(const zn_rt_npy *a, const uint8_t *at, int64_t i, bool *fits);
/* Element i as a double. */
double zn_rt_npy_double(const zn_rt_npy *a, const uint8_t *at, int64_t i);

#endif
