/* Plan: kernels in order, every buffer an offset, the exact peak. Everything here is a function of the module: nothing
 * depends on the processor.
 *
 * Every function but @forward is a program: all run over one set of parameters, in one arena. Requires at least one.
 * Changes nothing in them but notes and numbers. */
#include "passes/plan.h"

#include <string.h>

#include "passes/planner.h"

static void find_leaving(zn_planner *p) {
    for (zn_value *v = p->f->first; v; v = v->next) {
        p->leaves[v->id] |= v->keep;
        for (int i = 0; i < v->noperands; i++) {
            const zn_value *u = v->operand[i];
            if (p->group[u->id] < 0 || p->group[u->id] != p->group[v->id] || zn_is_channel_sum(v))
                p->leaves[u->id] = true;
        }
    }
    for (size_t i = 0; i < p->f->results.n; i++)
        p->leaves[p->f->results.at[i]->id] = true;
}

static void plan_late_stores(zn_planner *p) {
    for (size_t i = 0; i < p->late.n; i++) {
        const zn_value *s = p->late.at[i];
        zn_group *g = zn_new(ZN_PL_ARENA(p), zn_group);
        g->anchor = s->operand[0];
        g->family = ZN_KERNEL_COPY;
        zn_vec_push(ZN_PL_ARENA(p), &g->values, s->operand[0]);
        zn_kernel_plan *k = zn_pl_kernel(p, g, ZN_KERNEL_COPY, 4096);
        zn_phase_plan ph = {.outer = zn_pl_ceil_div(zn_pl_count(s), 4096), .grain = 4};
        zn_pl_bind(p, k, &ph, ZN_BIND_IN, s->operand[0]);
        int to = zn_pl_param_buffer(p, s->type, zn_attr_of(s, STORE, name)->s);
        zn_pl_bind_temp(p, k, &ph, ZN_BIND_TEMP, "stored", to);
        zn_pl_add_phase(p, k, &ph);
    }
}

static void keep(zn_planner *p, const zn_value *v) {
    zn_kept_value k = {v, zn_pl_buffer(p, v)};
    zn_vec_push(ZN_PL_ARENA(p), &p->prog->kept, k);
    zn_pl_touch(p->prog, k.buffer, (int)p->prog->phases.n);
}

/* A number for each sample of f's first argument: [n] or [n, 1]. */
static bool per_sample(const zn_func *f, size_t result) {
    const zn_type *t = result < f->results.n ? &f->results.at[result]->type : NULL;
    return t && f->args.n && t->rank >= 1 && t->rank <= 2 && t->dim[0] == f->args.at[0]->type.dim[0] &&
           zn_type_count(t) == t->dim[0];
}

/* Does f return each sample's loss first, and behind it, if the loss knows classes, whether it is right? */
static bool has_losses(const zn_func *f) {
    bool step = !strcmp(f->name, "train_step") || !strcmp(f->name, "eval_step");
    return per_sample(f, 0) && (per_sample(f, 1) || (step && f->results.n == 1));
}

static bool is_calibration(const zn_func *f) {
    return !strcmp(f->name, "calibrate");
}

/* The phases of a layer of @calibrate, which may run again: buffers of each live through all of them. */
static void plan_calibrated(zn_planner *p, const zn_value *layer, const zn_param *weight) {
    zn_program_plan *prog = p->prog;
    const zn_group *g = prog->groups.at[p->group[layer->id]];
    int first = 0;
    while (prog->phases.at[first].group != g)
        first++;
    int end = first;
    while (end < (int)prog->phases.n && prog->phases.at[end].group == g)
        end++;
    for (int i = first; i < end; i++)
        for (size_t j = 0; j < prog->phases.at[i].buffers.n; j++) {
            zn_pl_touch(prog, prog->phases.at[i].buffers.at[j], first);
            zn_pl_touch(prog, prog->phases.at[i].buffers.at[j], end - 1);
        }
    bool reads = weight->calibration.kind == ZN_CALIBRATION_VARIANCE_AWARE;
    zn_calibrated c = {
        weight, layer, first, end, reads ? zn_pl_buffer(p, layer->operand[0]) : -1, zn_pl_buffer(p, layer)};
    size_t at = prog->calibrated.n;
    zn_vec_push(ZN_PL_ARENA(p), &prog->calibrated, c);
    for (; at > 0 && prog->calibrated.at[at - 1].first > first; at--)
        prog->calibrated.at[at] = prog->calibrated.at[at - 1];
    prog->calibrated.at[at] = c;
}

static void plan_calibration(zn_planner *p) {
    bool *seen = zn_new_n(ZN_PL_ARENA(p), bool, p->m->nparams + 1);
    for (const zn_value *v = is_calibration(p->f) ? p->f->first : NULL; v; v = v->next) {
        const zn_param *w = zn_value_calibrated(p->m, v);
        if (!w || seen[w->index] || !v->keep)
            continue;
        seen[w->index] = true;
        plan_calibrated(p, v, w);
    }
}

/* What is handed out lives beyond the last phase: loss and right answers, other results, kept values. */
static void plan_results(zn_planner *p) {
    zn_program_plan *prog = p->prog;
    bool losses = has_losses(p->f);
    prog->loss = losses ? zn_pl_buffer(p, p->f->results.at[0]) : -1;
    prog->correct = losses && p->f->results.n > 1 ? zn_pl_buffer(p, p->f->results.at[1]) : -1;
    if (losses)
        zn_pl_touch(prog, prog->loss, (int)prog->phases.n);
    if (prog->correct >= 0)
        zn_pl_touch(prog, prog->correct, (int)prog->phases.n);
    for (size_t i = losses ? 2 : 0; i < p->f->results.n; i++)
        keep(p, p->f->results.at[i]);
    for (const zn_value *v = p->f->first; v; v = v->next)
        if (v->keep && !is_calibration(p->f)) /* what is kept there is looked at on the way */
            keep(p, v);
}

static zn_plan_fn *const families[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = zn_plan_##plan,
#include "ir/kernels.def"
};

static void plan_program(zn_plan *plan, zn_func *f, zn_plan_options o) {
    zn_program_plan *prog = zn_new(&plan->arena, zn_program_plan);
    zn_planner p = {.plan = plan, .prog = prog, .m = plan->m, .f = f};
    zn_vec_push(&plan->arena, &plan->programs, prog);
    prog->func = f;
    zn_func_number(p.f);
    p.nvalues = p.f->last->id + 1;
    size_t n = (size_t)p.nvalues;
    p.group = zn_new_n(ZN_PL_ARENA(&p), int, n);
    p.source = zn_new_n(ZN_PL_ARENA(&p), const zn_value *, n);
    p.layout = zn_new_n(ZN_PL_ARENA(&p), zn_layout, n);
    p.buffer = zn_new_n(ZN_PL_ARENA(&p), int, n);
    p.leaves = zn_new_n(ZN_PL_ARENA(&p), bool, n);
    p.stored = zn_new_n(ZN_PL_ARENA(&p), const zn_value *, n);
    for (size_t i = 0; i < n; i++)
        p.buffer[i] = -1;
    zn_pl_make_layouts(&p);
    p.layout[p.f->args.at[0]->id] = plan->image_layout;
    zn_pl_make_groups(&p);
    zn_pl_order_groups(&p);
    find_leaving(&p);
    const zn_value *loss = has_losses(f) ? f->results.at[0] : NULL;
    for (size_t i = 0; i < prog->groups.n; i++) {
        families[prog->groups.at[i]->family](&p, prog->groups.at[i]);
        if (!loss || p.group[loss->id] == (int)i)
            prog->nforward = (int)prog->phases.n;
    }
    plan_late_stores(&p);
    for (size_t i = 0; i < prog->phases.n; i++)
        for (size_t j = 0; j < prog->phases.at[i].buffers.n; j++)
            zn_pl_touch(prog, prog->phases.at[i].buffers.at[j], (int)i);
    plan_calibration(&p);
    plan_results(&p);
    if (o.in_place)
        zn_pl_share_in_place(&p);
    zn_pl_place_arena(&p);
    for (size_t i = 0; i < prog->phases.n; i++)
        if (prog->phases.at[i].scratch > prog->scratch_size)
            prog->scratch_size = prog->phases.at[i].scratch;
}

/* The image's halo serves all programs. */
static void plan_image(zn_plan *plan, zn_func *f) {
    zn_planner p = {.plan = plan, .m = plan->m, .f = f};
    zn_func_number(f);
    p.layout = zn_new_n(ZN_PL_ARENA(&p), zn_layout, (size_t)f->last->id + 1);
    zn_pl_make_layouts(&p);
    const zn_layout *l = &p.layout[f->args.at[0]->id];
    zn_pl_need(&plan->image_layout, l->top, l->left, l->bottom, l->right);
}

static bool stores(const zn_func *f, const char *name) {
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_STORE && !strcmp(zn_attr_of(v, STORE, name)->s, name))
            return true;
    return false;
}

/* Programs take the image and perhaps the labels of one batch (classes i32[batch], or targets f32[batch, n]), and
 * return what is computed. */
static bool check_program(const zn_func *f, const zn_type **image, const zn_type **label, zn_diags *d) {
    const char *wrong = NULL;
    const zn_type *labels = f->args.n == 2 ? &f->args.at[1]->type : NULL;
    if (!f->args.n || f->args.n > 2 || f->args.at[0]->type.dtype != ZN_F32 || !f->args.at[0]->type.rank ||
        (labels && labels->rank != (labels->dtype == ZN_I32 ? 1 : 2)))
        wrong = "takes other arguments than an image and labels";
    else if (f->args.at[0]->type.rank != 2 && f->args.at[0]->type.rank != 4)
        wrong = "takes an image that is neither [batch, height, width, channels] nor [batch, features]";
    else if (*image && !zn_type_equal(*image, &f->args.at[0]->type))
        wrong = "takes another image than the programs before it";
    else if (labels && (labels->dim[0] != f->args.at[0]->type.dim[0] || (*label && !zn_type_equal(*label, labels))))
        wrong = "takes labels of another batch, or others than the programs before it";
    for (size_t i = 0; i < f->results.n && !wrong; i++) {
        const zn_value *v = zn_value_viewed(f->results.at[i]);
        if (v->op == ZN_OP_PARAM && stores(f, zn_attr_of(v, PARAM, name)->s))
            wrong = "returns a parameter that it overwrites";
    }
    if (wrong) {
        zn_diag_add(d, ZN_DIAG_ZIR_VERIFY, (zn_span){0}, "program @%s %s", f->name, wrong);
        return false;
    }
    *image = &f->args.at[0]->type;
    *label = labels ? labels : *label;
    return true;
}

zn_plan *zn_plan_make(zn_module *m, zn_plan_options o, zn_diags *d) {
    zn_arena arena = {0};
    zn_plan *plan = zn_new(&arena, zn_plan);
    plan->arena = arena;
    plan->m = m;
    plan->param_offset = zn_new_n(&plan->arena, int64_t, m->nparams + 1);
    size_t n = 0;
    for (const zn_param *q = m->params; q; q = q->next) {
        plan->param_offset[n++] = plan->param_size;
        plan->param_size += (zn_type_count(&q->type) * 4 + 63) / 64 * 64;
    }
    const zn_type *image = NULL, *label = NULL;
    bool ok = true;
    for (zn_func *f = m->funcs; f && ok; f = f->next)
        if (zn_func_is_program(f) && (ok = check_program(f, &image, &label, d)))
            plan_image(plan, f);
    if (ok && image) {
        plan->label_offset = (zn_layout_bytes(image, &plan->image_layout) + 63) / 64 * 64;
        plan->batch_size = plan->label_offset + ((label ? zn_type_count(label) : image->dim[0]) * 4 + 63) / 64 * 64;
    }
    for (zn_func *f = m->funcs; f && ok; f = f->next)
        if (zn_func_is_program(f))
            plan_program(plan, f, o);
    if (ok && (zn_plan_arena(plan) > (int64_t)1 << 45 || plan->param_size > (int64_t)1 << 45)) {
        zn_diag_add(d, ZN_DIAG_MEMORY, (zn_span){0}, "the plan needs %lld bytes", (long long)zn_plan_arena(plan));
        ok = false;
    }
    if (ok)
        return plan;
    zn_plan_free(plan);
    return NULL;
}
