/* Writing weights (see runtime/weights.h).
 *
 * The layout is that of the safetensors reference writer, so that the bytes are those it would write: an 8-byte length,
 * a compact JSON header padded with spaces to 8 bytes ({"__metadata__":{"format":"pt"}, then the tensors), then the
 * data. All tensors are F32, hence in ascending order of names, without gaps. Data goes through a small buffer,
 * permuted on the way; the digest is taken of the same bytes. */
#include "runtime/weights.h"

#include "runtime/directory.h"
#include "runtime/memory.h"
#include "runtime/permute.h"
#include "runtime/step.h"
#include "runtime/text.h"

#include "support/file.h"
#include "support/formula.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian, and so must the machine be"
#endif

typedef struct initial {
    const zn_module_desc *m;
    char *param;
    uint64_t seed;
    atomic_bool failed;
} initial;

static zn_formula formula_of(const zn_tensor_desc *t) {
    return (zn_formula){.kind = (zn_formula_kind)t->formula,
                        .a = t->a,
                        .spanning = t->spanning != 0,
                        .dirac = (uint32_t)t->dirac,
                        .q = t->q,
                        .of = {t->of[0], t->of[1]},
                        .inner = t->inner};
}

/* Parts [begin, end) of all tensors' parts, in order. */
static void init_parts(void *ctx, int64_t begin, int64_t end, void *scratch) {
    initial *in = ctx;
    int64_t first = 0; /* part of the tensor */
    (void)scratch;
    for (uint64_t i = 0; i < in->m->ntensor && first < end; i++) {
        const zn_tensor_desc *t = &in->m->tensor[i];
        zn_formula f = formula_of(t);
        int64_t parts = zn_formula_parts(&f, (int)t->rank, t->dim);
        for (int64_t p = begin > first ? begin - first : 0; p < parts && first + p < end; p++)
            if (!zn_formula_part(&f, (int)t->rank, t->dim, t->name, in->seed, p,
                                 (float *)(void *)(in->param + t->offset)))
                in->failed = true;
        first += parts;
    }
}

int zn_rt_weights_init(const zn_module_desc *m, char *param, uint64_t seed, zn_rt_pool *pool, zn_rt_error *e) {
    initial in = {m, param, seed, false};
    int64_t parts = 0;
    for (uint64_t i = 0; i < m->ntensor; i++) {
        zn_formula f = formula_of(&m->tensor[i]);
        parts += zn_formula_parts(&f, (int)m->tensor[i].rank, m->tensor[i].dim);
    }
    zn_rt_parfor(pool, init_parts, &in, parts, 1);
    return in.failed ? zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the start of the weights") : 0;
}

static int by_name(const void *a, const void *b) {
    const zn_tensor_desc *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

typedef struct sink {
    zn_file *f; /* NULL: only the digest is wanted */
    const char *path;
    zn_rt_sha256 hash;
} sink;

static int put(sink *s, const void *data, size_t n, zn_rt_error *e) {
    if (s->f && !zn_file_add(s->f, data, n))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", s->path, strerror(errno));
    return zn_rt_sha256_add(&s->hash, data, n, e);
}

static int put_header(sink *s, const zn_tensor_desc *const *t, size_t n, zn_rt_error *e) {
    zn_rt_text h = {0};
    uint64_t offset = 0;
    zn_rt_text_puts(&h, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        int64_t dim[4];
        zn_rt_permute p = zn_rt_permute_make(t[i]);
        zn_rt_permute_file_shape(&p, dim);
        zn_rt_text_puts(&h, ",");
        zn_rt_text_json_string(&h, t[i]->name);
        zn_rt_text_puts(&h, ":{\"dtype\":\"F32\",\"shape\":[");
        for (uint64_t k = 0; k < t[i]->rank; k++)
            zn_rt_text_printf(&h, "%s%" PRId64, k ? "," : "", dim[k]);
        uint64_t end = offset + zn_rt_tensor_count(t[i]) * sizeof(float);
        zn_rt_text_printf(&h, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset, end);
        offset = end;
    }
    zn_rt_text_puts(&h, "}");
    while (!h.failed && h.n % 8)
        zn_rt_text_puts(&h, " ");
    if (h.failed) {
        zn_rt_text_free(&h);
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the header of the weights file");
    }
    uint64_t length = h.n;
    int code = put(s, &length, sizeof length, e);
    if (!code)
        code = put(s, h.at, h.n, e);
    zn_rt_text_free(&h);
    return code;
}

static int put_tensor(sink *s, const zn_tensor_desc *t, const char *param, zn_rt_error *e) {
    enum { PART = 4096 };
    float part[PART];
    const float *from = (const float *)(const void *)(param + t->offset);
    zn_rt_permute p = zn_rt_permute_make(t);
    size_t n = zn_rt_tensor_count(t);
    for (size_t at = 0; at < n;) {
        size_t k = n - at < PART ? n - at : PART;
        for (size_t i = 0; i < k; i++)
            part[i] = from[zn_rt_permute_index(&p, at + i)];
        int code = put(s, part, k * sizeof(float), e);
        if (code)
            return code;
        at += k;
    }
    return 0;
}

int zn_rt_weights_write(const zn_module_desc *m, const char *param, zn_file *f, const char *path,
                        char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    sink s = {f, path, {NULL}};
    size_t n = 0;
    const zn_tensor_desc **sorted = calloc(m->ntensor + 1, sizeof *sorted);
    if (!sorted)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the order of tensors");
    for (uint64_t i = 0; i < m->ntensor; i++)
        if (m->tensor[i].in_file)
            sorted[n++] = &m->tensor[i];
    qsort(sorted, n, sizeof *sorted, by_name);
    int code = zn_rt_sha256_start(&s.hash, e);
    if (!code)
        code = put_header(&s, sorted, n, e);
    for (size_t i = 0; i < n && !code; i++)
        code = put_tensor(&s, sorted[i], param, e);
    if (!code)
        code = zn_rt_sha256_end(&s.hash, sha256, e);
    else
        zn_rt_sha256_free(&s.hash);
    free(sorted);
    return code;
}

int zn_rt_weights_save(const zn_module_desc *m, const char *param, const char *directory, const char *name,
                       char sha256[ZN_RT_SHA256_HEX], zn_rt_error *e) {
    char path[ZN_RT_PATH];
    zn_file f;
    int code = zn_rt_directory_path(path, directory, name, e);
    if (code)
        return code;
    if (!zn_file_create(&f, path, true))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", path, strerror(errno));
    code = zn_rt_weights_write(m, param, &f, path, sha256, e);
    if (!code && !zn_file_finish(&f))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", path, strerror(errno));
    else if (code)
        zn_file_discard(&f);
    return code;
}

static bool all_finite(const float *x, size_t n) {
    for (size_t k = 0; k < n; k++)
        if (!isfinite(x[k]))
            return false;
    return true;
}

static const zn_tensor_desc *first_not_finite(const zn_module_desc *m, const char *param, bool statistics_only) {
    for (uint64_t i = 0; i < m->ntensor; i++) {
        const zn_tensor_desc *t = &m->tensor[i];
        if (t->in_file && !(statistics_only && t->trained) &&
            !all_finite((const float *)(const void *)(param + t->offset), zn_rt_tensor_count(t)))
            return t;
    }
    return NULL;
}

int zn_rt_weights_finite(const zn_module_desc *m, const char *param, zn_rt_error *e) {
    const zn_tensor_desc *t = first_not_finite(m, param, false);
    if (!t)
        return 0;
    zn_rt_fail(e, ZN_RT_NONFINITE, "%s has a value that is not finite; no weights are written", t->name);
    zn_rt_explain_place(m, t->line, e);
    return ZN_RT_NONFINITE;
}

int zn_rt_statistics_finite(const zn_module_desc *m, const char *param, int64_t step, int64_t epoch, float lr,
                            zn_rt_error *e) {
    const zn_tensor_desc *t = first_not_finite(m, param, true);
    if (!t)
        return 0;
    zn_rt_fail(e, ZN_RT_NONFINITE,
               "%s, written by bn, is not finite at step %" PRId64 " (epoch %" PRId64
               ", lr %g); no weights are written",
               t->name, step, epoch, (double)lr);
    zn_rt_explain_place(m, t->line, e);
    return ZN_RT_NONFINITE;
}
