/* Pieces of IR text shared by builder, printer and reader. */
#ifndef ZN_IR_TEXT_H
#define ZN_IR_TEXT_H

#include "ir/module.h"

/* Reads one attribute value in the notation of IR text: 3, 1e-05, true, [1, 2], "text". Strings go to m's arena. */
bool zn_attr_read(zn_module *m, zn_attr_kind kind, const char *text, zn_attr *out);
void zn_attr_print(zn_attr_kind kind, const zn_attr *a, zn_buf *out);
bool zn_attr_equal(zn_attr_kind kind, const zn_attr *a, const zn_attr *b);
/* "text" with \" \\ \n \t and \xNN. */
void zn_text_quote(const char *s, zn_buf *out);
void zn_formula_print(const zn_formula *f, zn_buf *out);
/* The start of a parameter: its formula, and how that is calibrated: "orthogonal(1.0) then lsuv(0.1, 10)". */
void zn_start_print(const zn_param *p, zn_buf *out);
/* Index of the attribute of op that stands as its first operand, @name (ZN_T_OF_PARAM); -1 if none does. */
int zn_text_param_attr(zn_op op);
/* May s stand without quotes: letters, digits, `_` and `.`? */
bool zn_text_word(const char *s);
/* Bytes of the path that a value's name tells: of "a.b.bias_2" for a bias those of "a.b", of "conv1" for a convolution
 * all, of "hadamard_2" for a transform none. */
size_t zn_name_path(const char *name, zn_op op);

#endif
