/* Test views (see runtime/views.h): shifts, and of each the mirror image. */
#include "runtime/views.h"

int zn_rt_views(const zn_data_desc *d, zn_rt_view view[ZN_RT_VIEWS]) {
    int n = 0;
    if (d->shift == 0 && !d->mirrored)
        return 0;
    view[n++] = (zn_rt_view){0, 0, false, d->shift ? 0.5 : 1};
    if (d->shift) {
        view[n++] = (zn_rt_view){d->shift, d->shift, false, 0.25};
        view[n++] = (zn_rt_view){-d->shift, -d->shift, false, 0.25};
    }
    for (int i = 0, plain = n; d->mirrored && i < plain; i++) {
        view[i].weight /= 2;
        view[n] = view[i];
        view[n++].mirror = true;
    }
    return n;
}
