/* What the targets of data have in common. */
#ifndef ZN_TESTS_FUZZ_DATA_H
#define ZN_TESTS_FUZZ_DATA_H

#include "runtime/dataset.h"
#include "tests/fuzz/law.h"

/* A file in memory with this content; its path. At most FZ_FILES at a time: file i keeps its path. */
enum { FZ_FILES = 2 };
const char *fz_file(int i, const unsigned char *at, size_t n);

/* Reads with a source whose options are name[k] = text[k], then checks the outcome and looks at all that was read. in:
 * what the network takes. */
void fz_read(zn_rt_reader *read, const zn_input_desc *in, size_t n, const char *const *name, const char *const *text);
/* The outcome of a reader: sound, or an error with a message. */
void fz_outcome(int code, const zn_rt_error *e);
/* Looks at every pixel and label, then closes. */
void fz_look(zn_rt_dataset *d);

#endif
