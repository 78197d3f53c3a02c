/* Batches of CIFAR-10 (runtime/cifar.c). */
#ifndef ZN_RUNTIME_CIFAR_H
#define ZN_RUNTIME_CIFAR_H

#include "runtime/dataset.h"

/* A file of exactly so many records: pixels [records, 32, 32, 3], labels [records]. */
int zn_rt_cifar_batch(const char *path, int64_t records, uint8_t *pixels, uint8_t *labels, zn_rt_error *e);

#endif
