/* Test views: changes of an image whose logits an evaluation averages (docs/language.md, data). */
#ifndef ZN_RUNTIME_VIEWS_H
#define ZN_RUNTIME_VIEWS_H

#include "runtime/abi.h"

#include <stdbool.h>

enum { ZN_RT_VIEWS = 6 };

/* Row y, column x of a view is the image's (y + dy, x + dx), mirrored at its edge; then left and right are exchanged.
 */
typedef struct zn_rt_view {
    int64_t dy, dx;
    bool mirror;
    double weight;
} zn_rt_view;

/* The views that the file asks for, weights of sum 1, the plain image first; their number, 0 where it asks for none. */
int zn_rt_views(const zn_data_desc *d, zn_rt_view view[ZN_RT_VIEWS]);

#endif
