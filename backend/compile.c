/* Kernels to objects: one LLVM context, module and target machine a thread, no optimisation pipeline (the emitted IR is
 * in its final form), code generation at its default level. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/descriptor.h"
#include "backend/emit.h"
#include "support/ice.h"

static pthread_once_t llvm_once = PTHREAD_ONCE_INIT;
static void start_llvm(void) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
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

typedef struct job {
    const zn_plan *plan;
    const zn_build_info *info;
    int part, parts;
    LLVMCodeGenFileType kind;
    bool ir;          /* text of the IR instead of code */
    char *at, *error; /* result */
    size_t size;
} job;

static LLVMTargetMachineRef machine(const zn_target *t, char **error) {
    LLVMTargetRef target;
    char *m = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &m)) {
        *error = message("LLVM does not know this machine", m);
        LLVMDisposeMessage(m);
        return NULL;
    }
    return LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                   LLVMCodeModelDefault);
}

static void emit_part(job *j, LLVMContextRef ctx, LLVMModuleRef mod) {
    zn_emit *e = malloc(sizeof *e);
    if (!e)
        ZN_ICE("out of memory");
    zn_emit_open(e, ctx, mod, &j->info->target);
    for (size_t i = 0; i < j->plan->kernels.n; i++)
        if ((int)(i % (size_t)j->parts) == j->part && j->plan->kernels.at[i]->family != ZN_KERNEL_OPENBLAS)
            zn_emit_kernel(e, j->plan->kernels.at[i]);
    zn_emit_close(e);
    free(e);
}

static void *run_job(void *arg) {
    job *j = arg;
    LLVMTargetMachineRef tm = machine(&j->info->target, &j->error);
    if (!tm)
        return NULL;
    LLVMContextRef ctx = LLVMContextCreate();
    LLVMModuleRef mod = LLVMModuleCreateWithNameInContext("znet", ctx);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(mod, layout);
    LLVMSetTarget(mod, j->info->target.triple);
    LLVMDisposeTargetData(layout);
    emit_part(j, ctx, mod);
    if (j->part == 0)
        zn_emit_descriptor(ctx, mod, j->plan, j->info);
    char *bad = NULL;
    if (LLVMVerifyModule(mod, LLVMReturnStatusAction, &bad))
        ZN_ICE("LLVM rejects a kernel: %s", bad);
    LLVMDisposeMessage(bad);
    LLVMMemoryBufferRef out = NULL;
    char *m = NULL;
    if (j->ir) {
        char *text = LLVMPrintModuleToString(mod);
        zn_buf b = {0};
        zn_buf_puts(&b, text);
        j->at = b.at;
        j->size = b.n;
        LLVMDisposeMessage(text);
    } else if (LLVMTargetMachineEmitToMemoryBuffer(tm, mod, j->kind, &m, &out)) {
        j->error = message("LLVM cannot make code", m);
        LLVMDisposeMessage(m);
    } else {
        j->size = LLVMGetBufferSize(out);
        j->at = malloc(j->size ? j->size : 1);
        if (!j->at)
            ZN_ICE("out of memory");
        memcpy(j->at, LLVMGetBufferStart(out), j->size);
        LLVMDisposeMemoryBuffer(out);
    }
    LLVMDisposeModule(mod);
    LLVMContextDispose(ctx);
    LLVMDisposeTargetMachine(tm);
    return NULL;
}

bool zn_backend_compile(const zn_plan *plan, const zn_build_info *info, int parts, zn_objects *out, char **error) {
    pthread_once(&llvm_once, start_llvm);
    parts = parts < 1 ? 1 : parts > 64 ? 64 : parts;
    job jobs[64];
    pthread_t threads[64];
    bool started[64] = {false}, ok = true;
    for (int i = 0; i < parts; i++)
        jobs[i] = (job){.plan = plan, .info = info, .part = i, .parts = parts, .kind = LLVMObjectFile};
    /* The descriptor's part allocates from the plan's arena: the others only read the plan. */
    for (int i = 1; i < parts; i++)
        started[i] = pthread_create(&threads[i], NULL, run_job, &jobs[i]) == 0;
    run_job(&jobs[0]);
    for (int i = 1; i < parts; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            run_job(&jobs[i]);
    }
    *out = (zn_objects){.n = (size_t)parts, .at = calloc((size_t)parts, sizeof *out->at)};
    if (!out->at)
        ZN_ICE("out of memory");
    for (int i = 0; i < parts; i++) {
        out->at[i] = (zn_object){jobs[i].at, jobs[i].size};
        if (jobs[i].error) {
            free(ok ? NULL : *error);
            *error = jobs[i].error;
            ok = false;
        }
    }
    if (!ok)
        zn_objects_free(out);
    return ok;
}

void zn_objects_free(zn_objects *o) {
    for (size_t i = 0; i < o->n; i++)
        free(o->at[i].at);
    free(o->at);
    *o = (zn_objects){0};
}

char *zn_backend_text(const zn_plan *plan, const zn_build_info *info, bool assembly, size_t *size, char **error) {
    pthread_once(&llvm_once, start_llvm);
    job j = {.plan = plan, .info = info, .parts = 1, .kind = LLVMAssemblyFile, .ir = !assembly};
    run_job(&j);
    *size = j.size;
    *error = j.error;
    return j.error ? NULL : j.at;
}
