/* Objects into this process through ORC's LLJIT, used as a linker only. */
#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "support/ice.h"

struct zn_jit {
    LLVMOrcLLJITRef lljit;
};

/* Consumes err. */
static char *text_of(LLVMErrorRef err) {
    char *m = LLVMGetErrorMessage(err);
    zn_buf b = {0};
    zn_buf_printf(&b, "JIT: %s", m);
    LLVMDisposeErrorMessage(m);
    return b.at;
}

static LLVMErrorRef define_symbols(zn_jit *j, LLVMOrcJITDylibRef lib, const zn_jit_symbol *s, size_t n) {
    LLVMOrcCSymbolMapPair *pairs = calloc(n ? n : 1, sizeof *pairs);
    if (!pairs)
        ZN_ICE("out of memory");
    for (size_t i = 0; i < n; i++) {
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(j->lljit, s[i].name);
        pairs[i].Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)s[i].address;
        pairs[i].Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
    }
    LLVMErrorRef err = LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(pairs, n)); /* takes the unit */
    free(pairs);
    return err;
}

static LLVMErrorRef add_objects(zn_jit *j, const zn_objects *o) {
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    LLVMErrorRef err = NULL;
    for (size_t i = 0; !err && i < o->n; i++) {
        LLVMMemoryBufferRef b = LLVMCreateMemoryBufferWithMemoryRangeCopy(o->at[i].at, o->at[i].size, "object");
        err = LLVMOrcLLJITAddObjectFile(j->lljit, lib, b); /* takes the buffer */
    }
    return err;
}

bool zn_jit_add(zn_jit *j, const zn_objects *o, char **error) {
    LLVMErrorRef err = add_objects(j, o);
    if (err)
        *error = text_of(err);
    return !err;
}

zn_jit *zn_jit_load(const zn_objects *o, const zn_jit_symbol *symbols, size_t nsymbols, const zn_module_desc **module,
                    char **error) {
    zn_jit *j = calloc(1, sizeof *j);
    if (!j)
        ZN_ICE("out of memory");
    LLVMErrorRef err = LLVMOrcCreateLLJIT(&j->lljit, NULL);
    if (err) {
        *error = text_of(err);
        free(j);
        return NULL;
    }
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->lljit);
    LLVMOrcDefinitionGeneratorRef process;
    err = define_symbols(j, lib, symbols, nsymbols);
    if (!err)
        err = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(j->lljit),
                                                                   NULL, NULL);
    if (!err)
        LLVMOrcJITDylibAddGenerator(lib, process); /* the library owns it now */
    if (!err)
        err = add_objects(j, o);
    LLVMOrcExecutorAddress address = 0;
    if (!err)
        err = LLVMOrcLLJITLookup(j->lljit, &address, ZN_MODULE_SYMBOL);
    if (err) {
        *error = text_of(err);
        zn_jit_free(j);
        return NULL;
    }
    *module = (const zn_module_desc *)(uintptr_t)address;
    return j;
}

zn_kernel *zn_jit_kernel(zn_jit *j, const char *symbol) {
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef err = LLVMOrcLLJITLookup(j->lljit, &address, symbol);
    if (err)
        LLVMConsumeError(err);
    return err ? NULL : (zn_kernel *)(uintptr_t)address;
}

void zn_jit_free(zn_jit *j) {
    if (!j)
        return;
    LLVMErrorRef err = j->lljit ? LLVMOrcDisposeLLJIT(j->lljit) : NULL;
    if (err)
        LLVMConsumeError(err);
    free(j);
}
