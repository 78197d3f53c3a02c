/* The plan: which kernels run in which order on which memory. Data: passes/plan.c makes it, the backend reads it.
 *
 * A group is one step of the plan: values computed together. Its phases are one or two kernels (partial sums, then
 * their join). Every value that leaves its group has a buffer; buffers of work space share one arena by lifetime. */
#ifndef ZN_IR_PLAN_H
#define ZN_IR_PLAN_H

#include "ir/module.h"

/* Rows and columns of zeros around each image, kept by whoever writes the value, so that convolutions meet no border.
 * The row pitch is (left + width + right) * channels floats. Only for rank 4. */
typedef struct zn_layout {
    int64_t top, left, bottom, right;
} zn_layout;

typedef enum zn_place { ZN_PLACE_PARAM, ZN_PLACE_ARENA, ZN_PLACE_BATCH } zn_place; /* as ZN_SPACE_* of the ABI */

typedef struct zn_buffer {
    zn_type type;
    zn_layout layout;
    zn_place place;
    int64_t offset, size; /* bytes; size with halo */
    int first, last;      /* phases between which it lives (arena) */
    int same_as;          /* >= 0: shares that buffer's memory, written in place or a view into it */
    int64_t view;         /* bytes into same_as */
    const char *what;
} zn_buffer;

/* How a kernel meets a value. */
typedef enum zn_access {
    ZN_ACCESS_FULL,    /* element for element, or as the family says */
    ZN_ACCESS_CHANNEL, /* one number per channel, or rows of them */
    ZN_ACCESS_SCALAR,
} zn_access;
/* bn_stats, bn_grad_sums, ln_grad_sums, sum_rows: sums over all but channels, of operand 0. */
bool zn_is_channel_sum(const zn_value *v);
/* Shards of a reduction as its attribute says; 0 for other values. */
int64_t zn_value_shards(const zn_value *v);

/* Of operand i of a map op. */
zn_access zn_map_access(zn_op op, int i);

typedef struct zn_group {
    zn_value *anchor; /* the value that names the kernel; the first value of a map group */
    zn_kernel_family family;
    ZN_VEC(zn_value *) values;  /* in order */
    ZN_VEC(zn_value *) reduces; /* channel sums computed on the way, also in values; same number of shards */
} zn_group;

/* Values that a group computes of its anchor's first operand while loading it: a norm and its activation in front of a
 * Winograd convolution. They are no results, and lie in memory nowhere. */
bool zn_group_loads_through(const zn_group *g, const zn_value *v);
/* What the anchor's first operand is loaded from: the operand, or what those values start with. */
const zn_value *zn_group_loaded(const zn_group *g);

/* The algorithm that a convolution or one of its gradients has been given: "direct", "winograd" or "" (none yet); NULL
 * for other operations. */
const char *zn_conv_algorithm(const zn_value *v);

/* Its groups, 1 for other operations. */
int64_t zn_conv_groups(const zn_value *v);
/* Channels of a group where they are as many in x and y, and 1, 2 or 4: then kernels have their lanes over channels of
 * all groups. Else 0. */
int64_t zn_conv_narrow_groups(const zn_value *v);

/* Whether a direct convolution or its gradient by data has its weights copied into panels of so many outputs, each
 * [kh kw c][ZN_CONV_PANEL]: where they lie they are far apart, often by a power of two. */
enum { ZN_CONV_PANEL = 32 };
bool zn_conv_has_panels(const zn_value *v);

/* Whether a direct convolution or gradient by data works on one position of several images at a time, which leaves out
 * the taps that meet no position: for small maps, where those are many. */
bool zn_conv_by_images(const zn_value *v);
/* Whether a direct gradient by weights leaves out rows of dy where a kernel row meets none of the map: for low maps. */
bool zn_conv_skips_rows(const zn_value *v);

enum { ZN_WINOGRAD_PANEL = 32 }; /* outputs in a panel of the weight-major schedule */

/* Scratch memory of gradients by weights that join their shards on the spot: floats of a register tile, at most, and
 * positions that packed rows have room for behind the last. */
enum { ZN_JOINED_SLOT = 512, ZN_JOINED_SLACK = 16 };
/* Whether a gradient by weights that goes by chunks of `chunk` positions copies its operands of a chunk into scratch
 * memory, where a register tile's elements lie side by side. The positions of a chunk, at most; the floats that such
 * copies take, of so many positions and rows of a unit: x, then a block of dy. */
bool zn_grad_w_packs(const zn_value *v);
int64_t zn_grad_w_chunk(const zn_value *v, int64_t chunk);
enum { ZN_PACKED_OUTPUTS = 48 }; /* of a block of dy, at most */
static inline int64_t zn_grad_w_packed_x(int64_t positions, int64_t rows) {
    return rows * (positions + ZN_JOINED_SLACK);
}
static inline int64_t zn_grad_w_packed(int64_t positions, int64_t rows) {
    return zn_grad_w_packed_x(positions, rows) + positions * ZN_PACKED_OUTPUTS;
}

/* The Winograd algorithm of a convolution or one of its gradients, by shape (ir/winograd.c). A tile is tile x tile
 * positions of y (or dy). Where tiles do not divide a map, its last rows (columns) of tiles are one row (column)
 * smaller; or none is, and the last tile ends with the map and overlaps the one before. */
typedef struct zn_winograd {
    int64_t stride, taps; /* of the kernel, in one direction */
    bool by_data;
    int64_t tile;                     /* rows and columns of y (or dy) in a tile; 0: no algorithm fits */
    int64_t positions, weights;       /* products of a tile; transformed weights: some serve several positions */
    int64_t images, rows, cols;       /* of y */
    int64_t down, across, tiles;      /* tiles in a column, in a row and in all of an image of y */
    int64_t small_down, small_across; /* of which smaller, at the end */
} zn_winograd;
zn_winograd zn_winograd_of(const zn_value *v);
/* Products for an image, at all positions. */
int64_t zn_winograd_products(const zn_winograd *w);
/* Time of direct computation over that of the algorithm, by the cost model; 0 where none fits. */
double zn_winograd_gain(const zn_value *v);
/* From what gain on Winograd is chosen: below, its scratch memory and code cost more than is won. */
#define ZN_WINOGRAD_LEAST_GAIN 1.15
/* The algorithm of a convolution or one of its gradients, and why it is that one. */
void zn_conv_explain(const zn_value *v, zn_buf *out);
/* Whether transformed inputs of all tiles are kept and the weights transformed panel by panel, not the other way. */
bool zn_winograd_weight_major(const zn_winograd *w, int64_t c, int64_t o);
/* Channels as they are counted in transformed memory: whole vectors of the widest processor. */
int64_t zn_winograd_channels(int64_t c);
/* Floats from position to position in panels of so many: not a multiple of a page, which would make lines collide. */
int64_t zn_winograd_pitch(int64_t floats);

typedef enum zn_binding_kind { ZN_BIND_IN, ZN_BIND_OUT, ZN_BIND_TEMP } zn_binding_kind;
/* A buffer of a kernel: value (of the group that the kernel was first made for), or a temporary named by `temp`. */
typedef struct zn_binding {
    zn_binding_kind kind;
    const zn_value *value;
    const char *temp; /* "partial", "turned" */
    zn_type type;
    zn_layout layout;
} zn_binding;

typedef struct zn_kernel_plan {
    zn_kernel_family family;
    const char *name; /* unique in the plan; a C identifier */
    const char *key;  /* everything that its code depends on: equal keys are one kernel */
    const zn_group *group;
    const zn_value *reduce; /* the channel sum that a join kernel finishes */
    ZN_VEC(zn_binding) bindings;
    int64_t unit;  /* images, rows or elements in one unit of the outer index */
    int64_t block; /* Winograd: tiles in scratch memory at once; gradients by weights: positions of a chunk; else 0 */
    bool flat;     /* elementwise over memory in one line: no halo, no channels */
} zn_kernel_plan;

typedef struct zn_phase_plan {
    const zn_kernel_plan *kernel;
    int index; /* of the kernel in the plan */
    const zn_group *group;
    int64_t outer, grain, scratch, flops;
    ZN_VEC(int) buffers; /* one per binding: index into the program's buffers */
    ZN_VEC(int64_t) extra;
} zn_phase_plan;

/* A value that lies in memory when the program has run. */
typedef struct zn_kept_value {
    const zn_value *value;
    int buffer;
} zn_kept_value;

/* A layer of @calibrate whose weight is set when it is reached. What it computes lies in `output` behind the last phase
 * before `end`, what it reads in `input` before phase `first` (variance_aware; else -1); in between nothing of what
 * these phases read or write makes room for another, so that they may run again. */
typedef struct zn_calibrated {
    const zn_param *weight;
    const zn_value *layer;
    int first, end;
    int input, output; /* buffers */
} zn_calibrated;

typedef struct zn_program_plan {
    zn_func *func;
    ZN_VEC(zn_group *) groups;
    ZN_VEC(zn_buffer) buffers;
    ZN_VEC(zn_phase_plan) phases;
    int nforward;
    int loss, correct; /* buffers */
    ZN_VEC(zn_kept_value) kept;
    ZN_VEC(zn_calibrated) calibrated; /* in order of phases */
    int64_t arena_size, scratch_size, live_peak;
    int64_t guard; /* bytes kept free at either end of the arena: kernels that mask borders read beyond their image */
} zn_program_plan;

typedef struct zn_plan {
    zn_arena arena;
    zn_module *m;
    ZN_VEC(zn_kernel_plan *) kernels;
    int *by_key; /* hash table: number of a kernel + 1; for the planner */
    size_t by_key_size;
    ZN_VEC(zn_program_plan *) programs; /* one for each function but @forward */
    int64_t *param_offset;              /* bytes, one per parameter in order of the list */
    int64_t param_size;
    zn_layout image_layout;           /* of the batch */
    int64_t label_offset, batch_size; /* the image lies at 0 */
    bool uses_openblas;
} zn_plan;

void zn_plan_free(zn_plan *p);
/* The program of function `name`; NULL if there is none. */
const zn_program_plan *zn_plan_program(const zn_plan *p, const char *name);
/* Bytes of work space, and of scratch memory of a thread, that serve every program. */
int64_t zn_plan_arena(const zn_plan *p);
int64_t zn_plan_scratch(const zn_plan *p);
/* Numbers of a sample's target that the programs take; 0 where labels are classes, or there are none. */
int64_t zn_plan_targets(const zn_plan *p);
void zn_plan_print(const zn_plan *p, zn_buf *out);

/* Scratch memory of ln_grad_sums, in floats: mean and 1 / deviation of the positions of a row; then four chains of both
 * sums. */
static inline int64_t zn_ln_row(int64_t width) {
    return (2 * width + 15) / 16 * 16;
}
static inline int64_t zn_ln_chains(int64_t channels) {
    return 8 * channels;
}

/* Bytes of scratch memory of a Hadamard transform over c channels: 0 where it is done in registers. */
int64_t zn_hadamard_scratch(int64_t c);

/* Floats: from the start of a buffer to element (0, 0, 0, 0); between images; between rows. Rank 2: rows of channels;
 * rank 3: one position in a row. */
int64_t zn_layout_first(const zn_type *t, const zn_layout *l);
int64_t zn_layout_image(const zn_type *t, const zn_layout *l);
int64_t zn_layout_row(const zn_type *t, const zn_layout *l);
bool zn_layout_plain(const zn_layout *l);
/* Bytes of a value in this layout. */
int64_t zn_layout_bytes(const zn_type *t, const zn_layout *l);

#endif
