/* Memory of a run (see runtime/memory.h). Nothing is allocated after it. */
#include "runtime/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int map_space(zn_rt_memory *mem, int which, const char *name, size_t size, char **base, zn_rt_error *e) {
    if (zn_rt_pages_get(&mem->pages[which], size))
        return zn_rt_fail(e, ZN_RT_MEMORY,
                          "cannot get %zu bytes for %s; the program needs %zu for parameters and optimizer state, %zu "
                          "for the work space of a step and 2 x %zu for batches",
                          size, name, mem->param_size, mem->arena_size, mem->batch_size);
    *base = mem->pages[which].at;
    return 0;
}

void *zn_rt_memory_at(const zn_rt_memory *mem, zn_ref ref, int batch) {
    char *base = ref.space == ZN_SPACE_PARAM   ? mem->param
                 : ref.space == ZN_SPACE_ARENA ? mem->arena
                                               : mem->batch[batch];
    return base + ref.offset;
}

size_t zn_rt_tensor_count(const zn_tensor_desc *t) {
    size_t n = 1;
    if (t->rank > 4)
        return 0;
    for (uint64_t i = 0; i < t->rank; i++)
        if (t->dim[i] < 0 || __builtin_mul_overflow(n, (size_t)t->dim[i], &n))
            return 0;
    return n > SIZE_MAX / sizeof(float) ? 0 : n;
}

/* Whether [offset, offset + count * width) lies in a space of `size` bytes, aligned to width. */
static bool inside(uint64_t offset, uint64_t count, uint64_t width, uint64_t size) {
    uint64_t end;
    return offset % width == 0 && !__builtin_mul_overflow(count, width, &end) &&
           !__builtin_add_overflow(end, offset, &end) && end <= size;
}

/* Whether all of a buffer lies in its space. */
static bool ref_inside(const zn_rt_memory *mem, zn_ref ref) {
    const size_t size[ZN_SPACE_COUNT] = {mem->param_size, mem->arena_size, mem->batch_size};
    return ref.space < ZN_SPACE_COUNT && ref.size % sizeof(float) == 0 &&
           inside(ref.offset, ref.size / sizeof(float), sizeof(float), size[ref.space]);
}

static int check_tensors(const zn_module_desc *m, zn_rt_error *e) {
    for (uint64_t i = 0; i < m->ntensor; i++) {
        const zn_tensor_desc *t = &m->tensor[i];
        size_t n = zn_rt_tensor_count(t);
        if (n == 0 || !inside(t->offset, n, sizeof(float), m->param_size))
            return zn_rt_fail(e, ZN_RT_INTERNAL, "tensor %s lies outside the parameters", t->name);
    }
    return 0;
}

static int check_input(const zn_module_desc *m, zn_rt_error *e) {
    const zn_input_desc *in = &m->input;
    uint64_t row, last, end;
    bool ok = in->batch >= 1 && in->height >= 1 && in->width >= 1 && in->channels >= 1 && in->classes >= 0 &&
              in->batch <= INT32_MAX && in->batch == m->train.batch;
    ok = ok && !__builtin_mul_overflow((uint64_t)in->width, (uint64_t)in->channels, &row);
    ok = ok && !__builtin_mul_overflow((uint64_t)in->batch - 1, in->image_pitch, &last);
    ok = ok && !__builtin_mul_overflow((uint64_t)in->height - 1, in->pitch, &end);
    ok = ok && !__builtin_add_overflow(end, last, &end) && !__builtin_add_overflow(end, row, &end);
    ok = ok && !__builtin_add_overflow(end, in->first, &end) && inside(in->image, end, sizeof(float), in->size);
    uint64_t labels;
    ok = ok && !__builtin_mul_overflow((uint64_t)in->batch, in->targets ? in->targets : 1, &labels);
    ok = ok && inside(in->labels, labels, sizeof(int32_t), in->size);
    return ok ? 0 : zn_rt_fail(e, ZN_RT_INTERNAL, "the input does not fit in its own batch memory");
}

const zn_program *zn_rt_program_of(const zn_module_desc *m, zn_rt_which which) {
    static const char *const names[ZN_RT_PROGRAMS] = {"train_step", "eval_step", "calibrate"};
    for (uint64_t i = 0; i < m->nprogram; i++)
        if (!strcmp(m->program[i].name, names[which]))
            return &m->program[i];
    return NULL;
}

static int check_program(const zn_rt_memory *mem, const zn_program *p, zn_rt_error *e) {
    bool ok = p->nforward <= p->nphase && ref_inside(mem, p->loss) && ref_inside(mem, p->correct);
    for (uint64_t i = 0; i < p->nkept; i++)
        ok = ok && ref_inside(mem, p->kept[i].at);
    if (!ok)
        return zn_rt_fail(e, ZN_RT_INTERNAL, "results of %s lie outside their memory", p->name);
    for (uint64_t i = 0; i < p->nphase; i++) {
        const zn_phase *f = &p->phase[i];
        ok = f->scratch <= p->scratch_size;
        for (uint64_t b = 0; b < f->nbuf; b++)
            ok = ok && ref_inside(mem, f->buf[b]);
        for (uint64_t o = 0; o < f->noutput; o++)
            ok = ok && f->output[o].buf < f->nbuf;
        if (!ok)
            return zn_rt_fail(e, ZN_RT_INTERNAL, "phase %s has a buffer outside its memory", f->name);
    }
    return 0;
}

/* Training and evaluation must be there, with a loss of each sample; evaluation knows right answers if there are any.
 */
static int check_programs(const zn_rt_memory *mem, const zn_module_desc *m, zn_rt_error *e) {
    int code = 0;
    for (uint64_t i = 0; i < m->nprogram && !code; i++)
        code = check_program(mem, &m->program[i], e);
    for (int i = 0; i <= ZN_RT_EVAL && !code; i++) {
        const zn_program *p = zn_rt_program_of(m, (zn_rt_which)i);
        uint64_t need = (uint64_t)m->input.batch * sizeof(float);
        if (!p || p->loss.size < need || (i == ZN_RT_EVAL && m->input.classes > 0 && p->correct.size < need))
            code = zn_rt_fail(e, ZN_RT_INTERNAL, "the module has no program for %s", i ? "evaluation" : "training");
    }
    return code;
}

static bool calibration_fits(const zn_rt_memory *mem, const zn_module_desc *m, const zn_calibration_desc *c) {
    const zn_program *p = zn_rt_program_of(m, ZN_RT_CALIBRATE);
    if (c->tensor >= m->ntensor || c->n < 1 || !(c->a > 0) || c->kind > ZN_CALIBRATE_VARIANCE_AWARE)
        return false;
    if (c->kind == ZN_CALIBRATE_WHITENING)
        return m->tensor[c->tensor].rank == 4;
    const zn_kept *x = &c->output;
    bool norm = c->kind == ZN_CALIBRATE_VARIANCE_AWARE;
    return p && c->first < c->end && c->end <= p->nphase && ref_inside(mem, x->at) && ref_inside(mem, c->input.at) &&
           (x->rank == 4 ? c->groups >= 1 && c->stride[0] >= 1 && c->stride[1] >= 1 : x->rank == 2) &&
           (!norm || (c->input.rank == x->rank && c->input.at.size > 0));
}

static int check_calibrations(const zn_rt_memory *mem, const zn_module_desc *m, zn_rt_error *e) {
    for (uint64_t i = 0; i < m->ncalibration; i++)
        if (!calibration_fits(mem, m, &m->calibration[i]))
            return zn_rt_fail(e, ZN_RT_INTERNAL, "calibration %" PRIu64 " does not fit the module", i);
    return 0;
}

/* Fills the tables of addresses. */
static int resolve(zn_rt_memory *mem, const zn_module_desc *m, zn_rt_error *e) {
    const zn_program *programs[ZN_RT_PROGRAMS];
    size_t nbuf = 0, at = 0;
    for (int p = 0; p < ZN_RT_PROGRAMS; p++) {
        programs[p] = zn_rt_program_of(m, (zn_rt_which)p);
        for (uint64_t i = 0; programs[p] && i < programs[p]->nphase; i++)
            nbuf += ZN_RT_BATCHES * programs[p]->phase[i].nbuf;
    }
    mem->buf = calloc(nbuf + 1, sizeof *mem->buf);
    if (!mem->buf)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %zu addresses", nbuf);
    for (int p = 0; p < ZN_RT_PROGRAMS; p++) {
        for (int b = 0; b < ZN_RT_BATCHES && programs[p]; b++) {
            zn_step *step = calloc(programs[p]->nphase + 1, sizeof *step);
            if (!step)
                return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for %zu addresses", nbuf);
            mem->step[p][b] = step;
            for (uint64_t i = 0; i < programs[p]->nphase; i++) {
                const zn_phase *f = &programs[p]->phase[i];
                step[i] = (zn_step){(void *const *)(mem->buf + at), f};
                for (uint64_t k = 0; k < f->nbuf; k++)
                    mem->buf[at++] = zn_rt_memory_at(mem, f->buf[k], b);
            }
        }
    }
    return 0;
}

int zn_rt_memory_open(zn_rt_memory *mem, const zn_module_desc *m, zn_rt_error *e) {
    *mem = (zn_rt_memory){0};
    mem->param_size = m->param_size;
    for (uint64_t i = 0; i < m->nprogram; i++) {
        const zn_program *p = &m->program[i];
        mem->arena_size = p->arena_size > mem->arena_size ? p->arena_size : mem->arena_size;
        mem->scratch_size = p->scratch_size > mem->scratch_size ? p->scratch_size : mem->scratch_size;
    }
    mem->batch_size = m->input.size;
    int code = check_tensors(m, e);
    if (!code)
        code = check_input(m, e);
    if (!code)
        code = check_programs(mem, m, e);
    if (!code)
        code = check_calibrations(mem, m, e);
    if (!code)
        code = map_space(mem, 0, "parameters and optimizer state", mem->param_size, &mem->param, e);
    if (!code)
        code = map_space(mem, 1, "the work space of a step", mem->arena_size, &mem->arena, e);
    for (int b = 0; b < ZN_RT_BATCHES && !code; b++)
        code = map_space(mem, 2 + b, "a batch", mem->batch_size, &mem->batch[b], e);
    if (!code)
        code = resolve(mem, m, e);
    if (code)
        zn_rt_memory_close(mem);
    return code;
}

void zn_rt_memory_close(zn_rt_memory *mem) {
    for (int i = 0; i < 2 + ZN_RT_BATCHES; i++)
        zn_rt_pages_free(&mem->pages[i]);
    for (int p = 0; p < ZN_RT_PROGRAMS; p++)
        for (int b = 0; b < ZN_RT_BATCHES; b++)
            free(mem->step[p][b]);
    free(mem->buf);
    *mem = (zn_rt_memory){0};
}

size_t zn_rt_memory_peak(void) {
    char line[256];
    size_t kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %zu", &kilobytes) == 1)
            break;
    fclose(f);
    return kilobytes * 1024;
}
