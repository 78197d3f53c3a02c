/* Filters of a first convolution from the patches of the training images (runtime/calibrate.h). */
#ifndef ZN_RUNTIME_WHITENING_H
#define ZN_RUNTIME_WHITENING_H

#include "runtime/abi.h"
#include "runtime/dataset.h"
#include "runtime/error.h"
#include "runtime/loader.h"
#include "runtime/pool.h"

/* Sets w [kh, kw, c, out] from all patches of kh x kw pixels of the first `samples` images of the split (of all, where
 * there are fewer). pixel: of each channel. */
int zn_rt_whitening(const zn_rt_dataset *d, const zn_rt_pixel *pixel, const int64_t dim[4], int64_t samples, double eps,
                    zn_rt_pool *pool, float *w, zn_rt_error *e);

#endif
