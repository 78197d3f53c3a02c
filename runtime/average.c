/* Averages (see runtime/average.h): average = d average + (1 - d) weights, in 32-bit floats. */
#include "runtime/average.h"

#include "runtime/memory.h"
#include "runtime/schedule.h"

#include <stdlib.h>
#include <string.h>

typedef struct zn_rt_averaged {
    float *fast, *slow;
    size_t n;
} zn_rt_averaged;

enum { PART = 1 << 14 }; /* elements of a unit of work */

typedef enum what { COPY, MIX, MIX_BOTH, TAKE, SWAP } what;
typedef struct job {
    const zn_rt_average *a;
    what what;
    float keep, add;
} job;

static void change(const job *j, float *fast, float *slow, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float x = fast[i], y = slow[i];
        switch (j->what) {
        case COPY:
            slow[i] = x;
            break;
        case MIX:
            slow[i] = j->keep * y + j->add * x;
            break;
        case MIX_BOTH:
            slow[i] = fast[i] = j->keep * y + j->add * x;
            break;
        case TAKE:
            fast[i] = y;
            break;
        case SWAP:
            fast[i] = y;
            slow[i] = x;
            break;
        }
    }
}

static void run_parts(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const job *j = ctx;
    int64_t first = 0;
    (void)scratch;
    for (uint64_t i = 0; i < j->a->n && first < end; i++) {
        const zn_rt_averaged *p = &j->a->pair[i];
        int64_t parts = (int64_t)((p->n + PART - 1) / PART);
        for (int64_t k = begin > first ? begin - first : 0; k < parts && first + k < end; k++) {
            size_t at = (size_t)k * PART, n = p->n - at < PART ? p->n - at : PART;
            change(j, p->fast + at, p->slow + at, n);
        }
        first += parts;
    }
}

static void run(const zn_rt_average *a, what w, double keep) {
    job j = {a, w, (float)keep, (float)(1 - keep)};
    int64_t parts = 0;
    for (uint64_t i = 0; i < a->n; i++)
        parts += (int64_t)((a->pair[i].n + PART - 1) / PART);
    if (!a->pool)
        run_parts(&j, 0, parts, NULL);
    else if (parts)
        zn_rt_parfor(a->pool, run_parts, &j, parts, 1);
}

/* Does `name` name the average of `of`? */
static int is_average_of(const char *name, const char *of) {
    size_t n = strlen(of);
    return !strncmp(name, of, n) && !strcmp(name + n, ".average");
}

int zn_rt_average_open(zn_rt_average *a, const zn_module_desc *m, char *param, zn_rt_pool *pool, zn_rt_error *e) {
    *a = (zn_rt_average){m, param, pool, 0, NULL};
    if (m->train.average == ZN_AVERAGE_NONE)
        return 0;
    a->pair = calloc(m->ntensor + 1, sizeof *a->pair);
    if (!a->pair)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the list of averages");
    for (uint64_t i = 0, k = 0; i < m->ntensor; i++) { /* averages stand in the order of what they follow */
        const zn_tensor_desc *slow = &m->tensor[i];
        uint64_t from = k;
        while (k < m->ntensor && !is_average_of(slow->name, m->tensor[k].name))
            k++;
        if (k == m->ntensor) {
            k = from;
            continue;
        }
        a->pair[a->n++] = (zn_rt_averaged){(float *)(void *)(param + m->tensor[k].offset),
                                           (float *)(void *)(param + slow->offset), zn_rt_tensor_count(slow)};
        k++;
    }
    return 0;
}

void zn_rt_average_start(const zn_rt_average *a) {
    run(a, COPY, 0);
}

void zn_rt_average_close(zn_rt_average *a) {
    free(a->pair);
    a->pair = NULL;
}

void zn_rt_average_step(const zn_rt_average *a, int64_t done, int64_t total) {
    const zn_train_desc *d = &a->m->train;
    if (d->average == ZN_AVERAGE_EMA && done % d->average_every == 0)
        run(a, MIX, d->average_decay);
    if (d->average == ZN_AVERAGE_LOOKAHEAD && done % d->average_every == 0)
        run(a, MIX_BOTH, zn_rt_lookahead(d, total, done));
    if (d->average == ZN_AVERAGE_LOOKAHEAD && done == total)
        run(a, TAKE, 0);
}

void zn_rt_average_swap(const zn_rt_average *a) {
    if (a->m->train.average == ZN_AVERAGE_EMA)
        run(a, SWAP, 0);
}
