/* Fills one copy of the batch memory while the other is in use.
 *
 * Which samples stand where is a function of (seed, epoch); how each is cropped and flipped of (seed, epoch, sample).
 * The loader's thread changes when it happens, never what. */
#ifndef ZN_RUNTIME_LOADER_H
#define ZN_RUNTIME_LOADER_H

#include "runtime/abi.h"
#include "runtime/dataset.h"
#include "runtime/error.h"
#include "runtime/memory.h"
#include "runtime/order.h"
#include "runtime/views.h"

#include <stdbool.h>

typedef struct zn_rt_loader zn_rt_loader;

/* What to put into a copy: samples position .. of a split. A shuffled one goes by the epoch's order and is augmented;
 * it must be full. One in order may reach beyond the split: copies of its first sample stand there. */
typedef struct zn_rt_load {
    int split;
    bool shuffled;
    uint32_t epoch;
    int64_t position;
    const zn_rt_view *view; /* of images in order; NULL: as they are */
} zn_rt_load;

/* data and mem outlive the loader. */
int zn_rt_loader_open(zn_rt_loader **loader, const zn_module_desc *m, const zn_rt_dataset *data,
                      const zn_rt_memory *mem, uint64_t seed, zn_rt_pool *pool, zn_rt_error *e);
/* NULL is allowed. */
void zn_rt_loader_close(zn_rt_loader *l);
/* Bytes of tables and orders. */
size_t zn_rt_loader_bytes(const zn_rt_loader *l);

/* Asks for copy `batch` to be filled; wait returns when it is. At most one request is under way. */
void zn_rt_loader_request(zn_rt_loader *l, int batch, zn_rt_load what);
void zn_rt_loader_wait(zn_rt_loader *l);

/* The order of an epoch, as it is loaded; good until the next request. */
const uint32_t *zn_rt_loader_order(zn_rt_loader *l, uint32_t epoch);

/* How a pixel p of a channel, a byte or a float as it is stored, becomes a number: p * factor + shift, but for the
 * rounding to a float. */
typedef struct zn_rt_pixel {
    double factor, shift;
} zn_rt_pixel;
/* What images are normalised by, for each channel of the data. */
const double *zn_rt_loader_means(const zn_rt_loader *l);
const double *zn_rt_loader_deviations(const zn_rt_loader *l);

/* Of each channel. */
const zn_rt_pixel *zn_rt_loader_pixels(const zn_rt_loader *l);

#endif
