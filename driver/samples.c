/* See samples.h. What a sample takes: a byte an element, or four where the file has floats; and its label one byte, two
 * where there are more than 256 classes, four for each number where it is a target; four bytes more of each training
 * sample where some are held out, and four for the order of each that is trained on. */
#include "driver/samples.h"

#include <string.h>

#include "ir/schema.h"
#include "runtime/folder.h"
#include "runtime/npy.h"
#include "support/number.h"

typedef struct counts {
    int64_t n[2]; /* for training and test */
    int64_t classes;
    int64_t element; /* bytes; 0 = not known */
    bool mapped;
} counts;

static bool count_array(const char *path, int64_t *n, int64_t *element) {
    zn_rt_npy a;
    zn_rt_error e;
    if (!path || zn_rt_npy_open(&a, path, &e))
        return false;
    *n = a.rank > 0 ? a.dim[0] : 0;
    *element = a.size;
    zn_rt_npy_close(&a);
    return *n > 0;
}

static bool count_arrays(const zn_module *m, counts *c) {
    const char *test = zn_option_str(m, ZN_ARG_SOURCE_NPY_test_images);
    c->mapped = true;
    return count_array(zn_option_str(m, ZN_ARG_SOURCE_NPY_images), &c->n[0], &c->element) &&
           (!test || count_array(test, &c->n[1], &c->element));
}

static bool count_pictures(const zn_module *m, counts *c) {
    zn_rt_folder f;
    zn_rt_error e;
    const char *dir = zn_option_str(m, ZN_ARG_SOURCE_IMAGES_dir);
    bool ok = dir && !zn_rt_folder_scan(&f, dir, &e);
    if (!dir)
        return false;
    memcpy(c->n, f.n, sizeof c->n);
    c->classes = f.classes;
    c->element = 1;
    c->mapped = true;
    zn_rt_folder_close(&f);
    return ok;
}

static bool count(const zn_module *m, counts *c) {
    int64_t fact[ZN_FACTS];
    const char *source = zn_option_str(m, ZN_ARG_SECTION_DATA_source);
    (void)zn_source_facts(m, fact);
    *c = (counts){{fact[ZN_FACT_TRAINING], fact[ZN_FACT_TEST]}, fact[ZN_FACT_CLASSES], 1, false};
    if (c->n[0] > 0 || !source)
        return c->n[0] > 0;
    return !strcmp(source, "npy") ? count_arrays(m, c) : !strcmp(source, "images") ? count_pictures(m, c) : false;
}

bool zn_samples_measure(const zn_module *m, const zn_plan *plan, zn_samples *s) {
    const zn_type *image = &plan->programs.at[0]->func->args.at[0]->type;
    int64_t targets = zn_plan_targets(plan), classes = zn_conf_int(m, "model.classes", 0);
    double split = zn_option_float(m, ZN_ARG_SECTION_DATA_split);
    counts c;
    *s = (zn_samples){0};
    if (!count(m, &c))
        return false;
    int64_t pixels = (c.n[0] + c.n[1]) * (zn_type_count(image) / image->dim[0]) * c.element;
    bool wide = (c.classes ? c.classes : classes) > 256;
    s->data = (c.n[0] + c.n[1]) * (targets ? 4 * targets : wide ? 2 : 1) + (split > 0 ? 4 * c.n[0] : 0);
    *(c.mapped ? &s->mapped : &s->data) += pixels;
    s->order = 4 * (c.n[0] - zn_part_of(split, c.n[0]));
    return true;
}
