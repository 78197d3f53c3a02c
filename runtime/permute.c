/* Orders of elements in memory and files (see runtime/permute.h). Only weights of rank 4 and 2 differ. */
#include "runtime/permute.h"

#include <string.h>

enum { ROLE_WEIGHT = 0 }; /* its number in ZN_ROLES (ir/module.h), part of the ABI */

zn_rt_permute zn_rt_permute_make(const zn_tensor_desc *t) {
    zn_rt_permute p = {1, 1, 1, false, t->rank, {0, 0, 0, 0}};
    memcpy(p.dim, t->dim, sizeof p.dim);
    if (t->role == ROLE_WEIGHT && (t->rank == 4 || t->rank == 2)) {
        p.moves = true;
        p.taps = t->rank == 4 ? (size_t)(t->dim[0] * t->dim[1]) : 1;
        p.in = (size_t)t->dim[t->rank - 2];
        p.out = (size_t)t->dim[t->rank - 1];
    } else {
        for (uint64_t i = 0; i < t->rank; i++)
            p.taps *= (size_t)t->dim[i];
    }
    return p;
}

void zn_rt_permute_file_shape(const zn_rt_permute *p, int64_t dim[4]) {
    memcpy(dim, p->dim, sizeof p->dim);
    if (!p->moves)
        return;
    dim[0] = p->dim[p->rank - 1];
    dim[1] = p->dim[p->rank - 2];
    if (p->rank == 4) {
        dim[2] = p->dim[0];
        dim[3] = p->dim[1];
    }
}
