/* Weights files: safetensors, in the reference writer's order and bytes.
 *
 * In memory convolution weights are [kh, kw, in, out] and linear weights [in, out]; in files [out, in, kh, kw] and
 * [out, in], as PyTorch has them. Everything else is the same in both. */
#ifndef ZN_RUNTIME_WEIGHTS_H
#define ZN_RUNTIME_WEIGHTS_H

#include "runtime/abi.h"
#include "runtime/error.h"
#include "runtime/pool.h"
#include "runtime/sha256.h"

#include "support/file.h"

/* Sets every tensor from its formula, by all threads of the pool. */
int zn_rt_weights_init(const zn_module_desc *m, char *param, uint64_t seed, zn_rt_pool *pool, zn_rt_error *e);

/* Writes the file to f (may be NULL: nothing is written) and gives the SHA-256 of its bytes. path is for messages. */
int zn_rt_weights_write(const zn_module_desc *m, const char *param, zn_file *f, const char *path,
                        char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e);
/* Writes directory/name: first under a temporary name, then renamed; on failure nothing is left. */
int zn_rt_weights_save(const zn_module_desc *m, const char *param, const char *directory, const char *name,
                       char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e);

/* Reads tensors that stand in files from `path`: all of them, and no others but num_batches_tracked. What does not fit
 * is listed. Each of map (nmap of them, "old=new") gives a tensor `old` of the file, or all those whose names begin
 * with old and a dot, the name that the network has for it; the first that fits counts, and one that fits nothing is an
 * error. param changes only where all is well. */
int zn_rt_weights_read(const zn_module_desc *m, char *param, const char *path, const char *const *map, int nmap,
                       zn_rt_error *e);

/* Fails with ZN_RT_NONFINITE, naming the first tensor with a value that is NaN or infinite, and its line. */
int zn_rt_weights_finite(const zn_module_desc *m, const char *param, zn_rt_error *e);
/* The same of running statistics alone, which are few enough to be looked at after every step. Step and epoch count
 * from 1. */
int zn_rt_statistics_finite(const zn_module_desc *m, const char *param, int64_t step, int64_t epoch, float lr,
                            zn_rt_error *e);

#endif
