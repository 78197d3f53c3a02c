/* Threads that run the ranges of a phase.
 *
 * One thread at a time may call zn_rt_parfor; it works along. Which thread runs which range is left to chance: work may
 * not depend on it. Every worker flushes denormals and blocks all signals. */
#ifndef ZN_RUNTIME_POOL_H
#define ZN_RUNTIME_POOL_H

#include "runtime/error.h"

#include <stddef.h>
#include <stdint.h>

enum { ZN_RT_MAX_THREADS = 256 };

typedef struct zn_rt_pool zn_rt_pool;
/* Works on [begin, end); scratch is 64-byte aligned and belongs to the thread. */
typedef void zn_rt_work(void *ctx, int64_t begin, int64_t end, void *scratch);

/* Processors that this process may use: its affinity mask, and the quota of its control groups rounded up. */
int zn_rt_processors(void);

/* threads in [1, ZN_RT_MAX_THREADS], the caller's included, each with `scratch` bytes. start (may be NULL) is called
 * once in every thread, the caller's too. More threads than processors never spin. */
int zn_rt_pool_open(zn_rt_pool **pool, int threads, size_t scratch, void (*start)(void), zn_rt_error *e);
/* NULL is allowed. */
void zn_rt_pool_close(zn_rt_pool *pool);
int zn_rt_pool_threads(const zn_rt_pool *pool);
/* Memory for scratch of all threads, in bytes. */
size_t zn_rt_pool_scratch(const zn_rt_pool *pool);

/* Cuts [0, outer) into ranges of at least grain units (the last may be shorter) and returns when all are done. */
void zn_rt_parfor(zn_rt_pool *pool, zn_rt_work *work, void *ctx, int64_t outer, int64_t grain);

#endif
