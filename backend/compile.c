/* Kernels to objects: every kernel is a module and an object of its own, so that networks share what the cache holds
 * and threads take the next kernel from one list. No optimisation pipeline (the emitted IR is in its final form); code
 * generation at its default level without loop strength reduction, which took half of the time, and without scheduling
 * after register allocation, an eighth: no kernel got slower. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/cache.h"
#include "backend/descriptor.h"
#include "backend/emit.h"
#include "support/ice.h"

enum { MAX_THREADS = 64 };
static const int64_t cache_limit = (int64_t)512 << 20;

/* LLVM's options. */
static const char codegen[] = "default -disable-lsr -disable-post-ra";

static pthread_once_t llvm_once = PTHREAD_ONCE_INIT;
static void start_llvm(void) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
    LLVMParseCommandLineOptions(3, (const char *const[]){"znetc", "-disable-lsr", "-disable-post-ra"}, NULL);
}

/* Code for other machines than this one. */
static pthread_once_t all_once = PTHREAD_ONCE_INIT;
static void start_all_targets(void) {
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
}

const char *zn_backend_llvm_version(void) {
    static char text[32];
    unsigned a, b, c;
    LLVMGetVersion(&a, &b, &c);
    zn_buf v = {0};
    zn_buf_printf(&v, "%u.%u.%u", a, b, c);
    memcpy(text, v.at, v.n + 1 < sizeof text ? v.n + 1 : sizeof text - 1);
    zn_buf_free(&v);
    return text;
}

static char *message(const char *what, const char *detail) {
    zn_buf b = {0};
    zn_buf_printf(&b, "%s: %s", what, detail);
    return b.at;
}

/* What threads work on. */
typedef struct work {
    const zn_plan *plan;
    const zn_build_info *info;
    zn_cache *cache;
    const char *llvm;              /* version */
    char program[ZN_CACHE_KEY];    /* that writes the IR */
    const zn_kernel_plan **kernel; /* n of them; NULL stands for the kernel that measures the machine */
    bool *left_out;                /* by kernel of the plan */
    zn_object *object;
    size_t n;
    atomic_size_t next, cached;
} work;

/* What a thread keeps from one module to the next. */
typedef struct worker {
    work *work;
    LLVMTargetMachineRef machine;
    LLVMTargetDataRef layout;
    LLVMContextRef ctx;
    char *error;
} worker;

static bool worker_open(worker *w) {
    const zn_target *t = &w->work->info->target;
    LLVMTargetRef target;
    char *m = NULL;
    if (!zn_target_runs_here(t))
        pthread_once(&all_once, start_all_targets);
    if (LLVMGetTargetFromTriple(t->triple, &target, &m)) {
        w->error = message("LLVM does not know this machine", m);
        LLVMDisposeMessage(m);
        return false;
    }
    w->machine = LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                         LLVMCodeModelDefault);
    w->layout = LLVMCreateTargetDataLayout(w->machine);
    w->ctx = LLVMContextCreate();
    return true;
}

static void worker_close(worker *w) {
    if (w->ctx)
        LLVMContextDispose(w->ctx);
    if (w->layout)
        LLVMDisposeTargetData(w->layout);
    if (w->machine)
        LLVMDisposeTargetMachine(w->machine);
}

static LLVMModuleRef new_module(worker *w) {
    LLVMModuleRef mod = LLVMModuleCreateWithNameInContext("znet", w->ctx);
    LLVMSetModuleDataLayout(mod, w->layout);
    LLVMSetTarget(mod, w->work->info->target.triple);
    return mod;
}

static void verify(LLVMModuleRef mod) {
    char *bad = NULL;
    if (LLVMVerifyModule(mod, LLVMReturnStatusAction, &bad))
        ZN_ICE("LLVM rejects a kernel: %s", bad);
    LLVMDisposeMessage(bad);
}

static void emit_kernel(worker *w, LLVMModuleRef mod, const zn_kernel_plan *k) {
    zn_emit *e = malloc(sizeof *e);
    if (!e)
        ZN_ICE("out of memory");
    zn_emit_open(e, w->ctx, mod, &w->work->info->target);
    if (k)
        zn_emit_kernel(e, k);
    else
        zn_emit_peak(e);
    zn_emit_close(e);
    free(e);
}

static bool generate(worker *w, LLVMModuleRef mod, LLVMCodeGenFileType kind, zn_object *out) {
    LLVMMemoryBufferRef b = NULL;
    char *m = NULL;
    verify(mod);
    if (LLVMTargetMachineEmitToMemoryBuffer(w->machine, mod, kind, &m, &b)) {
        w->error = message("LLVM cannot make code", m);
        LLVMDisposeMessage(m);
        return false;
    }
    out->size = LLVMGetBufferSize(b);
    out->at = malloc(out->size ? out->size : 1);
    if (!out->at)
        ZN_ICE("out of memory");
    memcpy(out->at, LLVMGetBufferStart(b), out->size);
    LLVMDisposeMemoryBuffer(b);
    return true;
}

/* All that an object is a function of: what writes the IR and what it writes it from, LLVM and what it is told. The IR
 * itself would say the same, but writing it takes most of a start that finds everything in the cache. (A test holds IR
 * against keys: tests/unit/test_keys.c.) */
static void key_of(const work *w, const zn_kernel_plan *k, char key[ZN_CACHE_KEY]) {
    const zn_target *t = &w->info->target;
    const int shape[] = {t->lanes, t->registers};
    const char *kernel = k ? k->key : ZN_PEAK_SYMBOL;
    zn_cache_part parts[] = {
        {w->program, sizeof w->program}, {w->llvm, strlen(w->llvm)}, {codegen, strlen(codegen)},
        {t->triple, strlen(t->triple)},  {t->cpu, strlen(t->cpu)},   {t->features, strlen(t->features)},
        {shape, sizeof shape},           {kernel, strlen(kernel)},
    };
    zn_cache_key(parts, sizeof parts / sizeof *parts, key);
}

static void make_kernel(worker *w, const zn_kernel_plan *k, zn_object *out) {
    if (!w->machine && !worker_open(w))
        return;
    LLVMModuleRef mod = new_module(w);
    emit_kernel(w, mod, k);
    generate(w, mod, LLVMObjectFile, out);
    LLVMDisposeModule(mod);
}

static void compile_kernel(worker *w, size_t i) {
    work *all = w->work;
    const zn_kernel_plan *k = all->kernel[i];
    zn_object *out = &all->object[i];
    char key[ZN_CACHE_KEY];
    if (k)
        zn_kernel_symbol(k, out->symbol);
    else
        memcpy(out->symbol, ZN_PEAK_SYMBOL, sizeof ZN_PEAK_SYMBOL);
    if (all->cache)
        key_of(all, k, key);
    if (all->cache && zn_cache_get(all->cache, key, out)) {
        atomic_fetch_add(&all->cached, 1);
        return;
    }
    make_kernel(w, k, out);
    if (all->cache && out->at)
        zn_cache_put(all->cache, key, out);
}

static void *run_worker(void *arg) {
    worker *w = arg;
    size_t i;
    while (!w->error && (i = atomic_fetch_add(&w->work->next, 1)) < w->work->n)
        compile_kernel(w, i);
    return NULL;
}

/* The first thread's part that only it may do: the descriptor allocates from the plan's arena, which the others read.
 */
static void compile_descriptor(worker *w, zn_object *out) {
    if (!worker_open(w))
        return;
    LLVMModuleRef mod = new_module(w);
    zn_emit_descriptor(w->ctx, mod, w->work->plan, w->work->info, w->work->left_out);
    generate(w, mod, LLVMObjectFile, out);
    LLVMDisposeModule(mod);
}

/* Joins the workers' errors: the first one is the caller's. */
static char *take_error(worker *workers, int n) {
    char *error = NULL;
    for (int i = 0; i < n; i++) {
        if (error)
            free(workers[i].error);
        else
            error = workers[i].error;
    }
    return error;
}

/* descriptor: where its object goes, or NULL. */
static void run_workers(work *w, zn_object *descriptor, int n, char **error) {
    worker workers[MAX_THREADS] = {0};
    pthread_t threads[MAX_THREADS];
    bool started[MAX_THREADS] = {false};
    for (int i = 0; i < n; i++)
        workers[i].work = w;
    for (int i = 1; i < n; i++)
        started[i] = pthread_create(&threads[i], NULL, run_worker, &workers[i]) == 0;
    if (descriptor)
        compile_descriptor(&workers[0], descriptor);
    run_worker(&workers[0]);
    for (int i = 1; i < n; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
    for (int i = 0; i < n; i++)
        worker_close(&workers[i]);
    *error = take_error(workers, n);
}

/* The kernels of this part, and which ones are none of it. */
static void select_kernels(work *w, zn_code_part part) {
    const zn_plan *plan = w->plan;
    for (size_t i = 0; i < plan->kernels.n; i++)
        w->left_out[i] = part == ZN_CODE_TRAIN;
    static const char *const early[] = {"train_step", "calibrate"};
    for (size_t k = 0; part != ZN_CODE_ALL && k < sizeof early / sizeof *early; k++) {
        const zn_program_plan *prog = zn_plan_program(plan, early[k]);
        for (size_t i = 0; prog && i < prog->phases.n; i++)
            w->left_out[prog->phases.at[i].index] = part == ZN_CODE_EVAL;
    }
    for (size_t i = 0; i < plan->kernels.n; i++)
        if (plan->kernels.at[i]->family == ZN_KERNEL_OPENBLAS)
            w->left_out[i] = false; /* the runtime has it */
        else if (!w->left_out[i])
            w->kernel[w->n++] = plan->kernels.at[i];
    w->n += w->info->peak && part != ZN_CODE_EVAL;
}

bool zn_backend_compile(const zn_plan *plan, const zn_build_info *info, zn_code_part part, int threads, zn_objects *out,
                        char **error) {
    pthread_once(&llvm_once, start_llvm);
    work w = {.plan = plan, .info = info, .llvm = zn_backend_llvm_version()};
    w.kernel = calloc(plan->kernels.n + 1, sizeof *w.kernel);
    w.left_out = calloc(plan->kernels.n + 1, sizeof *w.left_out);
    w.object = calloc(plan->kernels.n + 2, sizeof *w.object);
    if (!w.kernel || !w.left_out || !w.object)
        ZN_ICE("out of memory");
    select_kernels(&w, part);
    if (info->cache_dir && zn_cache_program(w.program))
        w.cache = zn_cache_open(info->cache_dir);
    size_t n = w.n + (part != ZN_CODE_EVAL); /* with the descriptor */
    run_workers(&w, n > w.n ? &w.object[w.n] : NULL,
                threads < 1             ? 1
                : threads > MAX_THREADS ? MAX_THREADS
                                        : threads,
                error);
    zn_cache_close(w.cache, cache_limit);
    free(w.kernel);
    free(w.left_out);
    *out = (zn_objects){.n = n, .at = w.object, .cached = atomic_load(&w.cached)};
    if (*error)
        zn_objects_free(out);
    return !*error;
}

void zn_objects_free(zn_objects *o) {
    for (size_t i = 0; i < o->n; i++)
        free(o->at[i].at);
    free(o->at);
    *o = (zn_objects){0};
}

/* All kernels and the descriptor as one module, which is given to `use`. */
static char *with_module(const zn_plan *plan, const zn_build_info *info,
                         bool (*use)(worker *w, LLVMModuleRef mod, zn_object *out), zn_object *out) {
    work k = {.plan = plan, .info = info};
    worker w = {.work = &k};
    pthread_once(&llvm_once, start_llvm);
    if (worker_open(&w)) {
        LLVMModuleRef mod = new_module(&w);
        for (size_t i = 0; i < plan->kernels.n; i++)
            if (plan->kernels.at[i]->family != ZN_KERNEL_OPENBLAS)
                emit_kernel(&w, mod, plan->kernels.at[i]);
        zn_emit_descriptor(w.ctx, mod, plan, info, NULL);
        use(&w, mod, out);
        LLVMDisposeModule(mod);
    }
    worker_close(&w);
    return w.error;
}

static bool use_as_ir(worker *w, LLVMModuleRef mod, zn_object *out) {
    (void)w;
    verify(mod);
    char *text = LLVMPrintModuleToString(mod);
    zn_buf b = {0};
    zn_buf_puts(&b, text);
    *out = (zn_object){.at = b.at, .size = b.n};
    LLVMDisposeMessage(text);
    return true;
}
static bool use_as_assembly(worker *w, LLVMModuleRef mod, zn_object *out) {
    return generate(w, mod, LLVMAssemblyFile, out);
}
static bool use_as_object(worker *w, LLVMModuleRef mod, zn_object *out) {
    return generate(w, mod, LLVMObjectFile, out);
}

char *zn_backend_text(const zn_plan *plan, const zn_build_info *info, bool assembly, size_t *size, char **error) {
    zn_object o = {0};
    *error = with_module(plan, info, assembly ? use_as_assembly : use_as_ir, &o);
    *size = o.size;
    return *error ? NULL : o.at;
}

/* The same of one kernel. */
static char *with_kernel(const zn_kernel_plan *k, const zn_build_info *info,
                         bool (*use)(worker *w, LLVMModuleRef mod, zn_object *out), zn_object *out) {
    work all = {.info = info};
    worker w = {.work = &all};
    pthread_once(&llvm_once, start_llvm);
    if (worker_open(&w)) {
        LLVMModuleRef mod = new_module(&w);
        emit_kernel(&w, mod, k);
        use(&w, mod, out);
        LLVMDisposeModule(mod);
    }
    worker_close(&w);
    return w.error;
}

char *zn_backend_kernel_ir(const zn_kernel_plan *k, const zn_build_info *info, char **error) {
    zn_object text = {0};
    *error = with_kernel(k, info, use_as_ir, &text);
    return text.at;
}

bool zn_backend_kernel(const zn_kernel_plan *k, const zn_build_info *info, zn_object *out, char **error) {
    *out = (zn_object){0};
    *error = with_kernel(k, info, use_as_object, out);
    return !*error;
}

bool zn_backend_knows(const char *triple) {
    LLVMTargetRef target;
    char *m = NULL;
    pthread_once(&all_once, start_all_targets);
    bool known = !LLVMGetTargetFromTriple(triple, &target, &m);
    LLVMDisposeMessage(m);
    return known;
}

bool zn_backend_object(const zn_plan *plan, const zn_build_info *info, zn_object *out, char **error) {
    *out = (zn_object){0};
    *error = with_module(plan, info, use_as_object, out);
    return !*error;
}
