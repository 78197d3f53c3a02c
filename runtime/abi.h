/* The compiled module: the only thing that code made by znetc and the runtime agree on.
 *
 * Standalone C, no other header of znet: the backend writes these structs as constants, by JIT and in object files
 * alike, and the runtime drives them. A change of any struct here raises ZN_ABI_VERSION.
 *
 * Memory: three spaces. PARAM holds parameters, statistics and optimizer state, one after the other; ARENA is the work
 * space of a step; BATCH holds what the loader fills (images, labels), of which there are two copies that take turns;
 * every base is aligned to ZN_ALIGN bytes. Offsets are in bytes.
 *
 * A step is a table of phases, run in order. A phase is a kernel and `outer` units of work; the runtime cuts
 * [0, outer) into ranges of at least `grain` units (the last may be shorter), runs them on any threads in any order,
 * each with `scratch` bytes of its own, and waits for all. The result does not depend on the cut. */
#ifndef ZN_RUNTIME_ABI_H
#define ZN_RUNTIME_ABI_H

#include <stdint.h>

#define ZN_ABI_VERSION 7u
enum { ZN_FREEZE_EPOCHS = 4 };
#define ZN_ALIGN 64

enum { ZN_SPACE_PARAM, ZN_SPACE_ARENA, ZN_SPACE_BATCH, ZN_SPACE_COUNT };
typedef struct zn_ref {
    uint64_t space;
    uint64_t offset, size; /* bytes */
} zn_ref;

/* What changes from step to step. Kernels read it at fixed offsets. */
typedef struct zn_args {
    float lr;
    uint32_t epoch;    /* from 0 */
    uint32_t position; /* of the batch's first sample in the epoch's order */
    uint32_t count;    /* samples of the batch that are real (evaluation's last batch); the others are copies */
    uint32_t seed_lo, seed_hi;
    float correction1, correction2;   /* 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t): t the number of the step, from 1 */
    float lr_until[ZN_FREEZE_EPOCHS]; /* lr before the epochs of zn_train_desc.freeze, then 0 */
} zn_args;

struct zn_phase;
/* A phase with its buffers' addresses. */
typedef struct zn_step {
    void *const *buf;
    const struct zn_phase *phase;
} zn_step;

typedef void zn_kernel(const zn_step *step, const zn_args *args, int64_t begin, int64_t end, void *scratch);

/* A value that a phase writes, for looking at it: rows of `row` floats, `pitch` floats apart. */
typedef struct zn_output {
    uint32_t buf;                 /* index into the phase's buffers */
    uint32_t line;                /* of the user's file; 0 = none */
    const char *op;               /* "conv stage1.0.conv1" */
    uint64_t first;               /* floats before the first row */
    uint64_t images, image_pitch; /* outermost blocks, floats apart */
    uint64_t rows, pitch, row;
} zn_output;

typedef struct zn_phase {
    zn_kernel *kernel;
    const char *name; /* of the kernel */
    int64_t outer, grain;
    uint64_t scratch; /* bytes a thread */
    uint64_t flops;   /* of the whole phase, as direct computation counts them */
    uint64_t nbuf;
    const zn_ref *buf;
    uint64_t noutput;
    const zn_output *output;
    uint64_t nlines; /* lines of the user's file that this phase computes, ascending */
    const uint32_t *lines;
    const int64_t *extra; /* numbers for kernels of the runtime (zn_rt_gemm) */
} zn_phase;

/* A value that lies in memory when the program has run, for handing it out. Element (n, y, x, c) of rank 4 is the float
 * at first + n * image_pitch + y * pitch + x * dim[3] + c; others lie in one line from `first` on. */
typedef struct zn_kept {
    const char *name; /* what it is and where: "conv stage1.0.conv1" */
    zn_ref at;
    uint64_t rank;
    int64_t dim[4];
    uint64_t first, image_pitch, pitch; /* floats */
} zn_kept;

/* Phases [0, nforward) compute the losses and write no parameter or statistic; the rest updates. */
typedef struct zn_program {
    const char *name; /* "train_step" */
    uint64_t nphase;
    const zn_phase *phase;
    uint64_t nforward;
    zn_ref loss;    /* f32[batch]: each sample's; size 0: a program without losses */
    zn_ref correct; /* f32[batch]: 1 or 0 (eval); of the same space */
    uint64_t arena_size;
    uint64_t scratch_size; /* largest of any phase */
    uint64_t nkept;
    const zn_kept *kept;
} zn_program;

/* Roles and formulas have the numbers of ZN_ROLES (ir/module.h) and ZN_FORMULAS (support/formula.h). */
typedef struct zn_tensor_desc {
    const char *name;
    uint64_t role;
    uint64_t rank;
    int64_t dim[4];
    uint64_t offset; /* in PARAM */
    uint64_t formula;
    float a; /* this and the next five: zn_formula's fields of these names */
    uint32_t spanning;
    uint64_t dirac;
    int64_t q;
    const char *of[2];
    int64_t inner;
    uint64_t in_file; /* stands in the weights file */
    uint64_t trained;
    uint64_t line; /* of the user's file; 0 = none */
} zn_tensor_desc;

/* An option of a source, as ir/schema.def names it: text for words and paths (as resolved at compile time), else a
 * number. */
typedef struct zn_source_option {
    const char *name, *text;
    int64_t number;
} zn_source_option;
enum zn_flip { ZN_FLIP_NONE, ZN_FLIP_RANDOM, ZN_FLIP_ALTERNATE };
enum { ZN_NORMALIZE_NONE, ZN_NORMALIZE_PER_CHANNEL, ZN_NORMALIZE_GIVEN };
typedef struct zn_data_desc {
    const char *source; /* by name, one of runtime/sources.def; NULL: none */
    uint64_t noption;
    const zn_source_option *option;
    uint64_t normalize;
    uint64_t nchannels; /* of mean and deviation when GIVEN */
    const double *mean, *deviation;
    int64_t crop;      /* padding; 0 = none */
    uint64_t reflect;  /* what the padding is: 0 the pixel 0, 1 the image mirrored at its edge */
    uint64_t flip;     /* a zn_flip */
    int64_t cutout;    /* side of a square of pixels 0; 0 = none */
    int64_t shift;     /* views of an evaluation: moved by this; 0 = none */
    uint64_t mirrored; /* views of an evaluation: mirror images too */
    double split;      /* part of the training samples that is held out for validation; 0 = none */
} zn_data_desc;

/* The batch as the model takes it. Image element (n, y, x, c) is the float at
 * first + n * image_pitch + y * pitch + x * channels + c of the BATCH space's image; what lies between is zero and
 * stays zero. A vector input has height = width = 1. At `labels` are classes, i32[batch], or targets,
 * f32[batch, targets]. */
typedef struct zn_input_desc {
    int64_t batch, height, width, channels, classes;
    uint64_t rank;  /* of the input: 1 takes any images of height * width * channels elements, in memory order */
    uint64_t image; /* offset in BATCH */
    uint64_t first, image_pitch, pitch; /* floats */
    uint64_t labels;
    uint64_t targets; /* numbers of a sample's target; 0 where labels are classes */
    uint64_t size;    /* of one copy of the BATCH space */
} zn_input_desc;

enum { ZN_LR_CONSTANT, ZN_LR_STEP, ZN_LR_COSINE, ZN_LR_LINEAR };
enum { ZN_AVERAGE_NONE, ZN_AVERAGE_EMA, ZN_AVERAGE_LOOKAHEAD };
typedef struct zn_train_desc {
    uint64_t lr_kind;
    double lr, warmup, start, end, factor;
    uint64_t nat;
    const double *at;
    uint64_t by_epochs; /* the schedule was computed from `epochs`: it does not fit another number */
    int64_t batch;
    double epochs;
    int64_t seed;
    double beta1, beta2; /* of the corrections in zn_args; 0 where the optimizer has none */
    uint64_t nfreeze;    /* epochs after which parameters are frozen, at most ZN_FREEZE_EPOCHS */
    const double *freeze;
    uint64_t average; /* of parameters and statistics: tensors of their name and ".average" */
    double average_decay;
    int64_t average_every, average_ramp;
} zn_train_desc;

/* A file that the source was put together from: its lines are those of the whole from first_line on. */
typedef struct zn_source_part {
    const char *path;
    uint64_t first_line;
} zn_source_part;

/* A weight whose start depends on data (ir/module.h has the kinds and numbers, in this order). All but whitening is
 * measured while the program "calibrate" runs: the layer is computed by phases [first, end), which may run again; what
 * it computes lies in `output` behind them, what it reads in `input` before them (variance_aware; else of size 0). */
enum { ZN_CALIBRATE_NONE, ZN_CALIBRATE_WHITENING, ZN_CALIBRATE_LSUV, ZN_CALIBRATE_VARIANCE_AWARE };
typedef struct zn_calibration_desc {
    uint64_t kind;
    double a;
    int64_t n;
    uint64_t tensor;                      /* of the module */
    uint64_t first, end;                  /* whitening: 0, and nothing in what follows */
    zn_kept input, output;                /* [n, h, w, c] of a convolution, else [n, c] */
    int64_t stride[2], before[2], groups; /* of a convolution: stride, rows and columns of padding before; else 0 */
} zn_calibration_desc;

typedef struct zn_module_desc {
    uint64_t abi_version;
    const char *name;
    const char *source_path;
    const char *source; /* text of the .znet file and of what it imports */
    uint64_t source_len;
    uint64_t nfile; /* with what it imports; 0: one file, source_path */
    const zn_source_part *file;
    const char *source_sha256; /* hex */
    const char *overrides;     /* JSON object text: -D, --set and options that changed anything */
    const char *versions;      /* JSON object text: znet, llvm, ... */
    const char *init;          /* "zero(variant = augment)" */
    const char *conv, *gemm;   /* as recorded: auto, direct, ... */
    const char *cpu;           /* the processor it was made for */
    const char *features;      /* "avx512f,fma,...": what the processor must have, comma-separated; "" = anything */
    uint64_t ntensor;
    const zn_tensor_desc *tensor; /* in order of the file */
    uint64_t param_size;
    uint64_t ncalibration;
    const zn_calibration_desc *calibration; /* in order: first whitening, then by phases */
    zn_input_desc input;
    zn_data_desc data;
    zn_train_desc train;
    uint64_t nprogram; /* over the same parameters, and one after the other in the same ARENA and BATCH */
    const zn_program *program;
    const char *(*blas_version)(void); /* NULL where the plan has no OpenBLAS product */
    void (*blas_start)(void);          /* called once in every thread that runs phases */
} zn_module_desc;

/* The symbol of an object made by znetc. */
#define ZN_MODULE_SYMBOL "zn_compiled_module"
extern const zn_module_desc zn_compiled_module;

/* Kernels of the runtime that a module may name. c = op(a) op(b), row-major, f32.
 * buf: c, a, b. extra: m, n, k, lda, ldb, ldc, trans_a, trans_b, columns per unit of work. Unit u computes columns
 * [u * cols, min(n, (u + 1) * cols)) with one single-threaded call. */
zn_kernel zn_rt_gemm;
const char *zn_rt_blas_version(void);
void zn_rt_blas_start(void);

#endif
