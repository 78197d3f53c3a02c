/* Emission of one kernel: what every kernel family shares.
 *
 * Code is written in its final form: loops with explicit phis, vectors over channels or outputs, one fused
 * multiply-add per step of a chain. No optimisation pipeline runs afterwards. */
#ifndef ZN_BACKEND_EMIT_H
#define ZN_BACKEND_EMIT_H

#include <llvm-c/Core.h>

#include "backend/backend.h"
#include "ir/plan.h"

typedef LLVMValueRef zn_ll; /* an LLVM value */

enum { ZN_MAX_BINDINGS = 48, ZN_MAX_CARRIED = 64, ZN_MAX_INVARIANTS = 6 };

typedef struct zn_emit {
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    const zn_target *t;
    int lanes;
    LLVMTypeRef f32, i1, i8, i32, i64, ptr, vec, ivec, voidt;
    unsigned fma_id, sqrt_id, masked_load_id, masked_store_id, prefetch_id;
    /* the kernel under work */
    const zn_kernel_plan *k;
    zn_ll fn, begin, end, args, scratch;
    zn_ll base[ZN_MAX_BINDINGS]; /* address of each binding's buffer */
} zn_emit;

void zn_emit_open(zn_emit *e, LLVMContextRef ctx, LLVMModuleRef mod, const zn_target *t);
void zn_emit_close(zn_emit *e);
/* The whole function of kernel k. */
void zn_emit_kernel(zn_emit *e, const zn_kernel_plan *k);
/* A kernel that measures what the machine can do; see backend.h. */
void zn_emit_peak(zn_emit *e);
/* A function with the arguments and attributes of a kernel, without a body. */
void zn_emit_frame(zn_emit *e, const char *symbol);

/* ---- numbers */
zn_ll zn_i64(const zn_emit *e, int64_t x);
zn_ll zn_i32(const zn_emit *e, uint32_t x);
zn_ll zn_vconst(const zn_emit *e, float x);    /* splat */
zn_ll zn_iconst(const zn_emit *e, uint32_t x); /* splat of i32 */
zn_ll zn_add(zn_emit *e, zn_ll a, zn_ll b);    /* i64; folds constants */
zn_ll zn_mul(zn_emit *e, zn_ll a, int64_t k);
zn_ll zn_addk(zn_emit *e, zn_ll a, int64_t k);
zn_ll zn_sub(zn_emit *e, zn_ll a, zn_ll b);
zn_ll zn_min(zn_emit *e, zn_ll a, zn_ll b); /* signed i64 */
zn_ll zn_max(zn_emit *e, zn_ll a, zn_ll b);
bool zn_is_const(zn_ll a, int64_t *k);

/* ---- memory: addresses are of floats */
zn_ll zn_at(zn_emit *e, zn_ll base, zn_ll floats); /* base + floats */
zn_ll zn_atk(zn_emit *e, zn_ll base, int64_t floats);
/* Vectors; n of the lanes are valid, the others are 0 and not touched in memory. */
zn_ll zn_load(zn_emit *e, zn_ll p, int n);
void zn_store(zn_emit *e, zn_ll p, zn_ll v, int n);
zn_ll zn_load1(zn_emit *e, zn_ll p); /* one float */
void zn_store1(zn_emit *e, zn_ll p, zn_ll v);
zn_ll zn_splat(zn_emit *e, zn_ll x); /* one float to all lanes */
zn_ll zn_load_splat(zn_emit *e, zn_ll p);
/* Asks for the line at base + floats, which need not exist: into the first cache, or no nearer than the second. */
typedef enum zn_distance { ZN_FAR = 2, ZN_NEAR = 3 } zn_distance; /* LLVM's numbers for locality */
void zn_prefetch(zn_emit *e, zn_ll base, zn_ll floats, zn_distance distance, bool to_write);
zn_ll zn_arg_f32(zn_emit *e, int64_t byte); /* a field of zn_args */
zn_ll zn_arg_i32(zn_emit *e, int64_t byte);

/* ---- vectors */
zn_ll zn_fadd(zn_emit *e, zn_ll a, zn_ll b);
zn_ll zn_fsub(zn_emit *e, zn_ll a, zn_ll b);
zn_ll zn_fmul(zn_emit *e, zn_ll a, zn_ll b);
zn_ll zn_fdiv(zn_emit *e, zn_ll a, zn_ll b);
zn_ll zn_fneg(zn_emit *e, zn_ll a);
zn_ll zn_fma(zn_emit *e, zn_ll a, zn_ll b, zn_ll c); /* a * b + c, one rounding; scalars or vectors */
zn_ll zn_sqrt(zn_emit *e, zn_ll a);
/* Sum of n vectors in the tree of the IR: neighbours first, an odd one out moves up unchanged. Overwrites v. */
zn_ll zn_tree_sum(zn_emit *e, zn_ll *v, int64_t n);
zn_ll zn_select(zn_emit *e, zn_ll c, zn_ll a, zn_ll b);
zn_ll zn_fcmp(zn_emit *e, LLVMRealPredicate p, zn_ll a, zn_ll b);
zn_ll zn_exp(zn_emit *e, zn_ll x); /* support/math.h, vector or scalar */
zn_ll zn_log(zn_emit *e, zn_ll x);
zn_ll zn_tanh(zn_emit *e, zn_ll x);
zn_ll zn_erf(zn_emit *e, zn_ll x);
/* First word of Philox for lanes e, e + 1, ... (vector of i32 counters). */
zn_ll zn_philox_word(zn_emit *e, zn_ll k0, zn_ll k1, zn_ll c0, zn_ll c1, zn_ll c2);

/* ---- control */
typedef struct zn_loop {
    zn_ll i;                 /* counter, inside */
    zn_ll v[ZN_MAX_CARRIED]; /* carried values: inside, then after zn_loop_end the final ones */
    int n;
    zn_ll hi, init[ZN_MAX_CARRIED];
    int64_t step;
    bool guarded;
    LLVMBasicBlockRef pre, body, exit;
    zn_ll phi[ZN_MAX_CARRIED], phi_i;
} zn_loop;
/* for (i = lo; i < hi; i += step); constants that are known to run at least once need no guard. */
void zn_loop_begin(zn_emit *e, zn_loop *l, zn_ll lo, zn_ll hi, int64_t step, int n, const zn_ll *init);
void zn_loop_end(zn_emit *e, zn_loop *l, const zn_ll *next);
/* if (cond) { ... } without values. */
typedef struct zn_if {
    LLVMBasicBlockRef yes, out;
} zn_if;
void zn_if_begin(zn_emit *e, zn_if *s, zn_ll cond);
void zn_if_end(zn_emit *e, zn_if *s);

/* ---- bindings */
int zn_binding_of(const zn_emit *e, zn_binding_kind kind, const zn_value *v); /* -1 if none */
int zn_binding_temp(const zn_emit *e, const char *name, int nth);
/* Address of row (n, h) of a value in its layout; rank 3: one position in a row; rank 2: h is ignored. */
zn_ll zn_row_ptr(zn_emit *e, int binding, zn_ll n, zn_ll h);

/* ---- elementwise values of the kernel's group: backend/expr.c */
typedef struct zn_point {
    zn_ll row[ZN_MAX_BINDINGS]; /* address of each FULL binding's row, or buffer if flat */
    zn_ll offset;               /* floats into the row */
    zn_ll image;                /* n, for dropout */
    zn_ll element;              /* floats from the start of the image to the row, without halo; for dropout */
    int lanes;                  /* valid */
} zn_point;
typedef struct zn_invariants {
    zn_ll v[64][ZN_MAX_INVARIANTS]; /* by place in the group */
} zn_invariants;

bool zn_group_has_channels(const zn_group *g);
/* Rows of (n, h) for all bindings that are met element for element. */
void zn_point_row(zn_emit *e, zn_point *p, zn_ll n, zn_ll h);
void zn_point_flat(zn_emit *e, zn_point *p);
/* Loads and prepares what the group's values need of channels c .. c + lanes. */
void zn_hoist(zn_emit *e, zn_invariants *inv, zn_ll c, int lanes);
/* Computes the group's elementwise values at a point, given the anchor's (NULL for map groups), and stores those that
 * leave the group. */
void zn_emit_values(zn_emit *e, const zn_point *p, const zn_invariants *inv, zn_ll anchor);
/* Whether that is so much code that it should stand once, in a loop, and not at every element of a tile. */
bool zn_values_are_long(const zn_emit *e);
/* Asks for the lines that zn_emit_values will load and store at a point. */
void zn_prefetch_values(zn_emit *e, const zn_point *p);
/* The same for the values that the anchor's first operand is loaded through, and their application to a loaded vector.
 */
void zn_hoist_loads(zn_emit *e, zn_invariants *inv, zn_ll c, int lanes);
zn_ll zn_emit_load_through(zn_emit *e, const zn_invariants *inv, zn_ll x);
bool zn_loads_through(const zn_emit *e);
/* Zeros around image n of every result with a halo. */
void zn_emit_halo(zn_emit *e, zn_ll n);
/* First image of shard s of n images: s n / shards. */
zn_ll zn_shard_first(zn_emit *e, int64_t n, int64_t shards, zn_ll s);
/* Channel sums of the group over images [first, first + images): partial sums of shard `shard`. Where shards differ in
 * size, images is that of the smaller ones, and the shard may have one more. */
void zn_emit_reduces(zn_emit *e, zn_ll first, int64_t images, zn_ll shard);

/* ---- tiles of the register-blocked kernels */
/* Largest useful rows for this many vectors of outputs, given the registers. */
int zn_tile_rows(const zn_emit *e, int vecs);

/* ---- sums and maxima over rows: backend/reduce.c. Element j of a row is in virtual lane j mod 16, whatever the vector
 * width; part[q] is the vector of lanes q * lanes and so on. */
enum { ZN_ROW_LANES = 16 };
int zn_row_parts(const zn_emit *e);
void zn_fill_lanes(zn_emit *e, zn_ll *part, float x);
/* part[q] = f(vector of the row, part[q], n valid lanes, ctx), from the first 16 elements of the row at x to the last.
 */
typedef zn_ll zn_row_fn(zn_emit *e, zn_ll x, zn_ll acc, int n, void *ctx);
void zn_over_row(zn_emit *e, zn_ll x, int64_t count, zn_ll *part, zn_row_fn *f, void *ctx);
/* Lane i with lane i + 8, then 4, 2, 1; a scalar. */
typedef zn_ll zn_join_fn(zn_emit *e, zn_ll a, zn_ll b);
zn_ll zn_join_lanes(zn_emit *e, const zn_ll *part, zn_join_fn *f);
zn_ll zn_lane(zn_emit *e, zn_ll v, int i);     /* element i of a vector as a scalar */
zn_ll zn_valid_lanes(const zn_emit *e, int n); /* a condition: the first n lanes */

/* Sum of the 16 virtual lanes in that tree, in all lanes. */
zn_ll zn_sum_lanes(zn_emit *e, const zn_ll *part);
/* The families: one function per emit name in ir/kernels.def; zn_emit_none is for kernels of the runtime. */
typedef void zn_emit_fn(zn_emit *e);
#define ZN_KERNEL(ID, name, plan, emit, doc) zn_emit_fn zn_emit_##emit;
#include "ir/kernels.def"

#endif
