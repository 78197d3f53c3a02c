/* Tables as text: numbers between commas, a sample a line. */
#ifndef ZN_RUNTIME_CSV_H
#define ZN_RUNTIME_CSV_H

#include "runtime/dataset.h"

#include <stdbool.h>

typedef enum zn_rt_csv_header { ZN_RT_CSV_AUTO, ZN_RT_CSV_YES, ZN_RT_CSV_NO } zn_rt_csv_header;

typedef struct zn_rt_csv {
    /* what is asked for */
    const char *label_name; /* "": label_index */
    int64_t label_index;    /* from 0; from the end if negative */
    zn_rt_csv_header header;
    bool bytes; /* integers from 0 to 255, kept as bytes; else floats */
    /* what the training file has, set by the call that reads it: zero-initialise */
    int64_t columns, label;
    const char *names; /* its header, in its memory; NULL: none */
    size_t names_size;
} zn_rt_csv;

/* A file that lies at `at`, n bytes, into a split: training first. path is for messages. The memory of the training
 * file stays until the test is read. */
int zn_rt_csv_read(zn_rt_csv *t, zn_rt_dataset *d, int split, const char *path, const uint8_t *at, size_t n,
                   zn_rt_error *e);

#endif
