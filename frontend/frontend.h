/* The front end: text of a .znet file to IR.
 *
 * Errors are reported to d, in no order (zn_diags_sort). After a syntax error the rest is analysed all the same: only
 * what the damaged declaration or section may say of a name is left open. After an error of shape the value is unknown
 * until a layer gives a shape that does not depend on it. Nothing is printed and no file is opened: paths in data
 * sections are only made absolute, imports are read by the driver. */
#ifndef ZN_FRONTEND_FRONTEND_H
#define ZN_FRONTEND_FRONTEND_H

#include "ir/module.h"

/* An `import "path"` of a text. */
typedef struct zn_import {
    const char *path;
    zn_span at; /* of the string */
} zn_import;
/* Finds what a text imports, in order; its first line is line first_line of the whole. Reports nothing: what is wrong
 * is said when the text is compiled. Their number. */
size_t zn_frontend_imports(zn_arena *a, const char *text, size_t n, uint32_t first_line, const zn_import **out);

typedef struct zn_frontend_options {
    size_t ndefine;
    const char *const *define; /* "name=value" of each -D */
    size_t nset;
    const char *const *set; /* "train.lr=0.05" of each --set */
    const char *dir;        /* directory of the file, for relative paths in data; NULL: left as they are */
} zn_frontend_options;

/* text is one file, or d->files: the first holds the experiment, of the others come blocks, params and lets.
 * A module with one function, "forward", parameters and configuration; NULL if there was an error. o may be NULL. */
zn_module *zn_frontend_compile(const char *text, size_t n, const zn_frontend_options *o, zn_diags *d);
/* The syntax tree as text, for --emit=ast. False if there was an error. */
bool zn_frontend_print_ast(const char *text, size_t n, zn_diags *d, zn_buf *out);

#endif
