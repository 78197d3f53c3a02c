/* From .znet text or an example to a module after passes, for unit tests. */
#ifndef ZN_TESTS_UNIT_COMPILE_H
#define ZN_TESTS_UNIT_COMPILE_H

#include "ir/module.h"

/* Front end, then the passes of -O<level> up to and with `last` (NULL: all). set: one --set, or NULL. Ends the program
 * with the first message if something is wrong. */
zn_module *tc_compile(const char *text, const char *set, int level, const char *last);
/* The same of a file below the source directory. */
zn_module *tc_compile_file(const char *path, const char *set, int level, const char *last);
/* Elements of all parameters that are trained. */
int64_t tc_trained(const zn_module *m);
int tc_count(const zn_func *f, zn_op op);
const zn_param *tc_param(const zn_module *m, const char *name);

#endif
