/* The descriptor of a compiled module as an LLVM constant. */
#ifndef ZN_BACKEND_DESCRIPTOR_H
#define ZN_BACKEND_DESCRIPTOR_H

#include <llvm-c/Core.h>

#include "backend/backend.h"

/* Adds the global ZN_MODULE_SYMBOL to mod; kernels are named, not defined. without[i]: kernel i of the plan is NULL;
 * none where `without` is NULL. */
void zn_emit_descriptor(LLVMContextRef ctx, LLVMModuleRef mod, const zn_plan *plan, const zn_build_info *info,
                        const bool *without);

#endif
