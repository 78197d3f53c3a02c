/* The memory of a run: the spaces of runtime/abi.h and the addresses of every phase's buffers in them. */
#ifndef ZN_RUNTIME_MEMORY_H
#define ZN_RUNTIME_MEMORY_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/pages.h"

#include <stddef.h>

enum { ZN_RT_BATCHES = 2 };
typedef enum zn_rt_which { ZN_RT_TRAIN, ZN_RT_EVAL, ZN_RT_CALIBRATE, ZN_RT_PROGRAMS } zn_rt_which;

/* The program of the module that does it; NULL if it has none. */
const zn_program *zn_rt_program_of(const zn_module_desc *m, zn_rt_which which);

/* Zero-initialise to start. */
typedef struct zn_rt_memory {
    char *param, *arena, *batch[ZN_RT_BATCHES];
    size_t param_size, arena_size, batch_size;
    size_t scratch_size;                          /* of a thread, for every program */
    zn_step *step[ZN_RT_PROGRAMS][ZN_RT_BATCHES]; /* one for each phase */
    zn_rt_pages pages[2 + ZN_RT_BATCHES];
    void **buf; /* what the steps point into */
} zn_rt_memory;

/* Gets zeroed memory and checks that every reference of the module lies inside it. */
int zn_rt_memory_open(zn_rt_memory *mem, const zn_module_desc *m, zn_rt_error *e);
void zn_rt_memory_close(zn_rt_memory *mem);
/* Address of a reference while batch copy `batch` is in use. */
void *zn_rt_memory_at(const zn_rt_memory *mem, zn_ref ref, int batch);

/* Largest resident memory of the process so far in bytes, or 0 where it is not known. */
size_t zn_rt_memory_peak(void);

/* Elements of a tensor; 0 if the product does not fit or a dimension is negative. */
size_t zn_rt_tensor_count(const zn_tensor_desc *t);

#endif
