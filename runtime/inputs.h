/* Samples to predict: from a file of numpy, a picture, or a folder of pictures. */
#ifndef ZN_RUNTIME_INPUTS_H
#define ZN_RUNTIME_INPUTS_H

#include "runtime/dataset.h"

/* Zero-initialise to start. The samples are the training split of data, in order, with labels of 0. */
typedef struct zn_rt_inputs {
    zn_rt_dataset data;
    char **name; /* of each, its path within what was named; NULL: they have none */
} zn_rt_inputs;

/* path: NAME.npy, of one array as the source npy takes it (or one image without the first dimension); a picture; or a
 * folder, whose pictures are taken in the order of their paths' bytes, those of folders in it too. Checked against what
 * the network takes. */
int zn_rt_inputs_open(zn_rt_inputs *x, const zn_module_desc *m, const char *path, zn_rt_pool *pool, zn_rt_error *e);
void zn_rt_inputs_close(zn_rt_inputs *x);

#endif
