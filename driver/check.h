/* `znetc check`: what the network is, layer by layer, and what it will cost. */
#ifndef ZN_DRIVER_CHECK_H
#define ZN_DRIVER_CHECK_H

#include "ir/plan.h"
#include "passes/prove/prove.h"

/* m after pass init (and, with a plan, after all). plan may be NULL: then memory is left out. proof may be NULL: then
 * nothing is said of units and ranks. threads: of the run whose memory is given. */
void zn_check_print(zn_module *m, const zn_plan *plan, const zn_proof *proof, int threads, zn_buf *out);
/* One object on one line; docs/runtime-abi.md has its keys. */
void zn_check_json(zn_module *m, const zn_plan *plan, const zn_proof *proof, int threads, zn_buf *out);

#endif
