/* Running a module twice, by the reference interpreter and as machine code, and comparing the bits. */
#ifndef ZN_TESTS_NUMERIC_HARNESS_H
#define ZN_TESTS_NUMERIC_HARNESS_H

#include "backend/backend.h"
#include "ir/interp.h"
#include "ir/module.h"
#include "passes/plan.h"

/* Everything random comes from here; the seed of a case is a function of its name. */
typedef struct th_random {
    uint64_t state;
} th_random;
th_random th_random_of(const char *name);
uint32_t th_random_u32(th_random *r);
/* In [lo, hi). */
double th_random_range(th_random *r, double lo, double hi);
int64_t th_random_below(th_random *r, int64_t n);

/* Reads a whole file; the program ends with a message if it cannot. Free with free. */
char *th_read(const char *path, size_t *n);
/* Parses IR text. If it has @train_step and no @eval_step, a copy of the former is appended under that name. Ends the
 * program with the diagnostics if the text is wrong. */
zn_module *th_parse(const char *name, const char *text, size_t n);
/* A copy, by printing and reading. */
zn_module *th_copy(zn_module *m);

/* A step's inputs: image elements in memory order, labels, the numbers of zn_args. */
typedef struct th_input {
    float *image;
    int32_t *labels; /* or the bits of targets */
    float lr, correction1, correction2;
    uint32_t epoch, position;
    uint64_t seed;
} th_input;
/* Values in [-1, 1], some exact zeros of both signs; labels below `classes`. */
th_input th_input_make(zn_module *m, th_random *r, int64_t classes);
void th_input_free(th_input *in);
/* As th_input_make, by the parameter: running variances are positive, names that start with "rare" hold NaN, infinities
 * and many equal values too, with "special" also denormals. (Whether relu passes a denormal or flushes it is open: no
 * operation makes one.) */
void th_fill(const zn_param *p, th_random *r, float *out);

/* Values of all parameters, one block each, and of the results and kept values of a function. */
typedef struct th_state {
    size_t nparam, nresult;
    float **param, **result;
    int64_t *elements; /* of each result */
} th_state;
/* Parameters by th_fill, or by their formulas. */
th_state th_state_make(zn_module *m, th_random *r, bool by_formula, uint64_t seed);
th_state th_state_copy(zn_module *m, const th_state *s);
void th_state_free(th_state *s);

/* Runs function `name` once, by the interpreter. */
void th_interpret(zn_module *m, const char *name, const th_input *in, th_state *s);

/* A module as code. */
typedef struct th_code {
    zn_plan *plan;
    zn_objects objects;
    zn_jit *jit;
    const zn_module_desc *desc;
} th_code;
/* Code of NEON's shape, 4 lanes and 32 registers, for this processor. */
#define TH_NARROW "4 lanes"
/* march as zn_target_find takes it, or TH_NARROW. Ends the program if anything fails. The plan points into m. */
th_code th_compile(zn_module *m, const char *march, bool in_place);
void th_code_free(th_code *c);
/* True if this processor runs code made for march. */
bool th_march_runs(const char *march);

/* Runs the program of function `name` once. Memory lies between guards, every phase is cut into random ranges that run
 * in random order, and what is not written before it is read is NaN. Returns false (with a message) if a guard was hit.
 */
bool th_execute(const th_code *c, const char *name, const th_input *in, th_state *s, th_random *r);

/* Compares bit for bit (NaN equals NaN); prints the first differences under `what`. */
bool th_same_state(const char *what, zn_module *m, const th_state *expected, const th_state *actual);
/* Every difference is at most `error` times the largest element expected of the same tensor. */
bool th_near_state(const char *what, zn_module *m, const th_state *expected, const th_state *actual, double error);
bool th_same(const char *what, const char *item, const float *expected, const float *actual, int64_t n);

#endif
