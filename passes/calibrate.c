/* Pass calibrate: @calibrate from @forward, where weights start by lsuv or variance_aware.
 *
 * It computes what the training step does before its loss, without dropout, up to the last layer that is calibrated;
 * there is no result. Kept are what the runtime looks at on the way (runtime/calibrate.c): the output of each such
 * layer, and what one by variance_aware reads. A weight that several layers have is calibrated at the first.
 *
 * Requires @forward and @train_step; does nothing else without them, or where no start asks for it. Keeps both. */
#include "passes/pass.h"
#include "passes/util.h"
#include "support/ice.h"

static bool wanted(const zn_module *m, const zn_func *from) {
    for (const zn_value *v = from->first; v; v = v->next)
        if (zn_value_calibrated(m, v))
            return true;
    return false;
}

static void keep(zn_value *v) {
    v->keep = !(zn_op_table[zn_value_viewed(v)->op].traits & (ZN_T_LEAF | ZN_T_EFFECT)); /* leaves lie in memory */
}

bool zn_pass_calibrate(zn_module *m, zn_pass_ctx *ctx) {
    const zn_func *from = zn_func_find(m, "forward");
    if (!from || !zn_func_find(m, "train_step") || zn_func_find(m, "calibrate") || !wanted(m, from))
        return true;
    zn_value *out;
    zn_func *f = zn_forward_copy(m, ctx, from, "calibrate", ZN_FORWARD_CALIBRATE, &out);
    zn_arena scratch = {0};
    bool *seen = zn_new_n(&scratch, bool, m->nparams + 1);
    for (zn_value *v = f->first; v; v = v->next)
        v->keep = false;
    for (zn_value *v = f->first; v; v = v->next) {
        const zn_param *p = zn_value_calibrated(m, v);
        if (!p || seen[p->index])
            continue;
        seen[p->index] = true;
        v->keep = true;
        if (p->calibration.kind == ZN_CALIBRATION_VARIANCE_AWARE)
            keep(v->operand[0]);
    }
    zn_arena_free(&scratch);
    zn_remove_unused(f);
    return true;
}
