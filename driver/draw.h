/* The start as a picture: `znetc FILE --emit=init=PATH.svg`. */
#ifndef ZN_DRIVER_DRAW_H
#define ZN_DRIVER_DRAW_H

#include "ir/module.h"
#include "support/buf.h"

/* m after pass init. False where there is no memory for a weight. */
bool zn_draw_start(zn_module *m, zn_buf *out);

#endif
