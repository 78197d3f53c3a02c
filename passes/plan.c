/* Plan: kernels in order, every buffer an offset, the exact peak. Everything here is a function of the module: nothing
 * depends on the processor.
 *
 * Requires step functions (pass grad). Changes nothing in them but notes and numbers. */
#include "passes/plan.h"

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

/* Kept values live beyond the last phase. */
static void plan_kept(zn_planner *p) {
    for (const zn_value *v = p->f->first; v; v = v->next) {
        if (!v->keep)
            continue;
        zn_kept_value k = {v, zn_pl_buffer(p, v)};
        zn_vec_push(ZN_PL_ARENA(p), &p->prog->kept, k);
        zn_pl_touch(p->prog, k.buffer, (int)p->prog->phases.n);
    }
}

static zn_plan_fn *const families[ZN_KERNEL_COUNT] = {
#define ZN_KERNEL(ID, name, plan, emit, doc) [ZN_KERNEL_##ID] = zn_plan_##plan,
#include "ir/kernels.def"
};

static void plan_program(zn_plan *plan, zn_program_plan *prog, const char *name, zn_plan_options o) {
    zn_planner p = {.plan = plan, .prog = prog, .m = plan->m, .f = zn_func_find(plan->m, name)};
    prog->func = p.f;
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
    prog->loss = prog->correct = -1;
    for (size_t i = 0; i < prog->groups.n; i++) {
        families[prog->groups.at[i]->family](&p, prog->groups.at[i]);
        if (p.group[p.f->results.at[0]->id] == (int)i)
            prog->nforward = (int)prog->phases.n;
    }
    plan_late_stores(&p);
    prog->loss = zn_pl_buffer(&p, p.f->results.at[0]);
    prog->correct = zn_pl_buffer(&p, p.f->results.at[1]);
    for (size_t i = 0; i < prog->phases.n; i++)
        for (size_t j = 0; j < prog->phases.at[i].buffers.n; j++)
            zn_pl_touch(prog, prog->phases.at[i].buffers.at[j], (int)i);
    zn_pl_touch(prog, prog->loss, (int)prog->phases.n);
    zn_pl_touch(prog, prog->correct, (int)prog->phases.n);
    plan_kept(&p);
    if (o.in_place)
        zn_pl_share_in_place(&p);
    zn_pl_place_arena(&p);
    for (size_t i = 0; i < prog->phases.n; i++)
        if (prog->phases.at[i].scratch > prog->scratch_size)
            prog->scratch_size = prog->phases.at[i].scratch;
}

/* The image's halo serves both programs. */
static void plan_image(zn_plan *plan, const char *name) {
    zn_planner p = {.plan = plan, .m = plan->m, .f = zn_func_find(plan->m, name)};
    zn_func_number(p.f);
    p.layout = zn_new_n(ZN_PL_ARENA(&p), zn_layout, (size_t)p.f->last->id + 1);
    zn_pl_make_layouts(&p);
    const zn_layout *l = &p.layout[p.f->args.at[0]->id];
    zn_pl_need(&plan->image_layout, l->top, l->left, l->bottom, l->right);
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
    plan_image(plan, "train_step");
    plan_image(plan, "eval_step");
    const zn_func *f = zn_func_find(m, "train_step");
    const zn_type *image = &f->args.at[0]->type;
    plan->label_offset = (zn_layout_bytes(image, &plan->image_layout) + 63) / 64 * 64;
    plan->batch_size = plan->label_offset + (image->dim[0] * 4 + 63) / 64 * 64;
    plan_program(plan, &plan->train, "train_step", o);
    plan_program(plan, &plan->eval, "eval_step", o);
    if (plan->train.arena_size > (int64_t)1 << 45 || plan->param_size > (int64_t)1 << 45) {
        zn_diag_add(d, ZN_DIAG_MEMORY, (zn_span){0}, "the plan needs %lld bytes", (long long)plan->train.arena_size);
        zn_plan_free(plan);
        return NULL;
    }
    return plan;
}
