/* `znetc explain`: what the codes of messages mean. */
#ifndef ZN_DRIVER_EXPLAIN_H
#define ZN_DRIVER_EXPLAIN_H

#include "support/buf.h"
#include "support/diag.h"

/* ZN_DIAG_COUNT: a line for every code. */
void zn_explain(zn_diag_id id, zn_buf *out);

#endif
