/* Inside of the planner: what its files share. passes/plan.c puts a program together; plan_order.c makes groups and
 * their order, plan_memory.c layouts and buffers, plan_arena.c offsets, plan_kernel.c kernels and phases, plan_conv.c
 * those of convolutions and matrix products. */
#ifndef ZN_PASSES_PLANNER_H
#define ZN_PASSES_PLANNER_H

#include "ir/plan.h"
#include "passes/plan.h"

typedef ZN_VEC(int) zn_pl_ints;

typedef struct zn_planner {
    zn_plan *plan;
    zn_program_plan *prog;
    zn_module *m;
    zn_func *f;
    int nvalues;
    int *group;                    /* by id: index into prog->groups, -1 */
    const zn_value **source;       /* by id: what a view shows, through other views; other values themselves */
    zn_layout *layout;             /* by id */
    int *buffer;                   /* by id: where it lies, -1 */
    bool *leaves;                  /* by id: used outside its group */
    const zn_value **stored;       /* by id: the store that takes the value into its parameter in place, NULL */
    ZN_VEC(const zn_value *) late; /* stores that need a copy at the end */
} zn_planner;

#define ZN_PL_ARENA(p) (&(p)->plan->arena)

/* ---- plan_order.c */

/* Flatten and unflatten are views where no halo is in the way. */
bool zn_pl_is_view(const zn_planner *p, const zn_value *v);
void zn_pl_make_groups(zn_planner *p);
void zn_pl_order_groups(zn_planner *p);

/* ---- plan_memory.c */

void zn_pl_need(zn_layout *l, int64_t top, int64_t left, int64_t bottom, int64_t right);
/* What each value's readers need around it. */
void zn_pl_make_layouts(zn_planner *p);
/* The buffer of a value, of a parameter, of a temporary: made on first asking. */
int zn_pl_buffer(zn_planner *p, const zn_value *v);
int zn_pl_param_buffer(zn_planner *p, zn_type type, const char *name);
int zn_pl_temp(zn_planner *p, zn_type type, const char *what);
/* Buffer b is used by a phase. */
void zn_pl_touch(zn_program_plan *prog, int b, int phase);
void zn_pl_share_in_place(zn_planner *p);
/* plan_arena.c */
void zn_pl_place_arena(zn_planner *p);

/* ---- plan_kernel.c */

/* Work in one unit below which it does not pay to wake another thread. */
enum { ZN_PL_MIN_FLOPS = 400000, ZN_PL_MIN_BYTES = 65536 };

int64_t zn_pl_count(const zn_value *v);
int64_t zn_pl_ceil_div(int64_t a, int64_t b);
int64_t zn_pl_grain(int64_t per_unit, int64_t least);
zn_type zn_pl_partial_type(int64_t shards, int64_t rows, int64_t n);
zn_kernel_plan *zn_pl_kernel(zn_planner *p, const zn_group *g, zn_kernel_family family, int64_t unit);
size_t zn_pl_bind(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, zn_binding_kind kind, const zn_value *v);
void zn_pl_bind_temp(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, zn_binding_kind kind, const char *name,
                     int buf);
/* Operands of the group's values that come from outside, and results that leave it. `skip_anchor`: the operands of the
 * anchor belong to the first kernel of the group. */
void zn_pl_bind_group(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph, const zn_group *g, bool skip_anchor);
/* Adds the phase; an equal kernel that exists is used instead of k. */
void zn_pl_add_phase(zn_planner *p, zn_kernel_plan *k, zn_phase_plan *ph);

/* What a kernel over images needs beside its group. */
typedef struct zn_pl_image_job {
    zn_kernel_family family;
    const char *weights; /* a temporary that it reads: "turned", "transformed"; NULL */
    int weights_buffer;
    int64_t flops; /* of one image */
    int64_t block; /* Winograd: tiles in scratch at once, at most */
    int64_t rows;  /* of them in a register tile */
} zn_pl_image_job;
/* Kernels that go over images (or rows): map, conv and its gradient by data, with channel sums on the way. */
void zn_pl_images(zn_planner *p, const zn_group *g, const zn_pl_image_job *job);
int64_t zn_pl_even_block(int64_t tiles, int64_t most, int64_t rows);
/* A channel sum of a group as a kernel of its own, behind what computes its operand. */
void zn_pl_sum_alone(zn_planner *p, zn_value *r);

/* The families: one function per plan name in ir/kernels.def, for groups that the family names. zn_plan_none is for
 * kernels that come only as parts of other families' groups. */
typedef void zn_plan_fn(zn_planner *p, const zn_group *g);
#define ZN_KERNEL(ID, name, plan, emit, doc) zn_plan_fn zn_plan_##plan;
#include "ir/kernels.def"

#endif
