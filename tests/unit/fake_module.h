/* A compiled module made by hand: softmax regression with kernels in C, to test the runtime without the compiler. */
#ifndef ZN_TESTS_UNIT_FAKE_MODULE_H
#define ZN_TESTS_UNIT_FAKE_MODULE_H

#include "runtime/abi.h"

typedef struct fake_options {
    zn_data_desc data; /* its options are those below */
    zn_source_option option[8];
    int64_t height, width, channels, classes, batch, epochs;
    int64_t halo;  /* pixels of zeros around every image */
    uint64_t rank; /* 1: the network takes a vector */
    double lr;
    int64_t interrupt_at; /* the batch position at which the update sends SIGINT to the process; -1 = never */
    int interrupts;       /* how many */
} fake_options;

enum { FAKE_TRAIN, FAKE_EVAL }; /* its programs */

/* digits in batches of 64, learning rate 0.05 down a cosine, 2 epochs. */
fake_options fake_default(void);
/* Replaces the data by a source without options; then adds one, or changes it. */
void fake_source(fake_options *o, const char *source);
void fake_number(fake_options *o, const char *name, int64_t x);
void fake_text(fake_options *o, const char *name, const char *text);
/* Lives until the next call. */
const zn_module_desc *fake_module(const fake_options *o);

#endif
