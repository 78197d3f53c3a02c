/* The order of a tensor's elements in files, against that in memory (see runtime/weights.h). */
#ifndef ZN_RUNTIME_PERMUTE_H
#define ZN_RUNTIME_PERMUTE_H

#include "runtime/abi.h"

#include <stdbool.h>
#include <stddef.h>

/* The file's order is [out, in, taps], taps = kh * kw, and memory's [taps, in, out]; where both are the same, out = in
 * = 1 and every element is a tap. */
typedef struct zn_rt_permute {
    size_t taps, in, out;
    bool moves;
    uint64_t rank;
    int64_t dim[4]; /* in memory */
} zn_rt_permute;

zn_rt_permute zn_rt_permute_make(const zn_tensor_desc *t);
void zn_rt_permute_file_shape(const zn_rt_permute *p, int64_t dim[4]);
/* Place in memory of element `at` of the file. */
static inline size_t zn_rt_permute_index(const zn_rt_permute *p, size_t at) {
    size_t tap = at % p->taps, i = at / p->taps % p->in, o = at / p->taps / p->in;
    return (tap * p->in + i) * p->out + o;
}

#endif
