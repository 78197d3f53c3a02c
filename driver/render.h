/* Diagnostics as people and programs read them. The only place that knows what they look like. */
#ifndef ZN_DRIVER_RENDER_H
#define ZN_DRIVER_RENDER_H

#include "support/buf.h"
#include "support/diag.h"

/* Sorted diagnostics as text: message, place, the line with carets, notes, help; an empty line between two. Of one code
 * 20 are shown; "... and 37 more ZN0201" stands for the others. */
void zn_render_text(const zn_diags *d, bool color, zn_buf *out);
/* One JSON object a line: code, severity, path, line, column, length, message, notes. Line 0 is nowhere. Where a code
 * has more than 20, an object with code, severity and not_shown comes at the end. */
void zn_render_json(const zn_diags *d, zn_buf *out);

#endif
