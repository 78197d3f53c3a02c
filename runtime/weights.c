/* Writing weights (see runtime/weights.h).
 *
 * The layout is that of the safetensors reference writer, so that the bytes are those it would write: an 8-byte length,
 * a compact JSON header padded with spaces to 8 bytes ({"__metadata__":{"format":"pt"}, then the tensors), then the
 * data. All tensors are F32, hence in ascending order of names, without gaps. Data goes through a small buffer,
 * permuted on the way; the digest is taken of the same bytes. */
#include "runtime/weights.h"

#include "runtime/memory.h"
#include "runtime/permute.h"
#include "runtime/text.h"

#include "support/formula.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian, and so must the machine be"
#endif

enum { PATH_SIZE = 4096 };

/* The file being written, for the signal handler: path first, then the flag. */
static char temporary[PATH_SIZE];
static volatile sig_atomic_t temporary_exists;

void zn_rt_weights_abandon(void) {
    if (temporary_exists)
        unlink(temporary);
}

typedef struct initial {
    const zn_module_desc *m;
    char *param;
    uint64_t seed;
} initial;

static zn_formula formula_of(const zn_tensor_desc *t) {
    return (zn_formula){(zn_formula_kind)t->formula, t->a, t->spanning != 0};
}

/* Parts [begin, end) of all tensors' parts, in order. */
static void init_parts(void *ctx, int64_t begin, int64_t end, void *scratch) {
    const initial *in = ctx;
    int64_t first = 0; /* part of the tensor */
    (void)scratch;
    for (uint64_t i = 0; i < in->m->ntensor && first < end; i++) {
        const zn_tensor_desc *t = &in->m->tensor[i];
        zn_formula f = formula_of(t);
        int64_t parts = zn_formula_parts(&f, (int)t->rank, t->dim);
        for (int64_t p = begin > first ? begin - first : 0; p < parts && first + p < end; p++)
            zn_formula_part(&f, (int)t->rank, t->dim, t->name, in->seed, p, (float *)(void *)(in->param + t->offset));
        first += parts;
    }
}

void zn_rt_weights_init(const zn_module_desc *m, char *param, uint64_t seed, zn_rt_pool *pool) {
    initial in = {m, param, seed};
    int64_t parts = 0;
    for (uint64_t i = 0; i < m->ntensor; i++) {
        zn_formula f = formula_of(&m->tensor[i]);
        parts += zn_formula_parts(&f, (int)m->tensor[i].rank, m->tensor[i].dim);
    }
    zn_rt_parfor(pool, init_parts, &in, parts, 1);
}

static int by_name(const void *a, const void *b) {
    const zn_tensor_desc *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

typedef struct sink {
    FILE *f;
    const char *path;
    zn_rt_sha256 hash;
} sink;

static int put(sink *s, const void *data, size_t n, zn_rt_error *e) {
    if (s->f && fwrite(data, 1, n, s->f) != n)
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

int zn_rt_weights_write(const zn_module_desc *m, const char *param, FILE *f, const char *path,
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

static int make_path(char path[PATH_SIZE], const char *directory, const char *name, zn_rt_error *e) {
    int n = snprintf(path, PATH_SIZE, "%s/%s", directory, name);
    return n < 0 || n >= PATH_SIZE ? zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", directory) : 0;
}

int zn_rt_directory_prepare(const char *directory, zn_rt_error *e) {
    char path[PATH_SIZE], name[64];
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return zn_rt_fail(e, ZN_RT_INPUT, "cannot make the directory %s: %s", directory, strerror(errno));
    snprintf(name, sizeof name, ".check.%ld", (long)getpid());
    int code = make_path(path, directory, name, e);
    if (code)
        return code;
    FILE *f = fopen(path, "wxe");
    if (!f)
        return zn_rt_fail(e, ZN_RT_INPUT, "cannot write in the directory %s: %s", directory, strerror(errno));
    fclose(f);
    unlink(path);
    return 0;
}

/* The rename is only as durable as the directory. A file system that cannot sync directories has done what it can. */
static void sync_directory(const char *directory) {
    FILE *d = fopen(directory, "re");
    if (!d)
        return;
    fsync(fileno(d));
    fclose(d);
}

int zn_rt_weights_save(const zn_module_desc *m, const char *param, const char *directory, char sha256[ZN_RT_SHA256_HEX],
                       zn_rt_error *e) {
    char final[PATH_SIZE], name[64];
    snprintf(name, sizeof name, ".weights.safetensors.%ld", (long)getpid());
    int code = make_path(final, directory, "weights.safetensors", e);
    if (!code)
        code = make_path(temporary, directory, name, e);
    if (code)
        return code;
    temporary_exists = 1;
    FILE *f = fopen(temporary, "we");
    if (!f) {
        temporary_exists = 0;
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", temporary, strerror(errno));
    }
    code = zn_rt_weights_write(m, param, f, final, sha256, e);
    if (!code && (fflush(f) != 0 || fsync(fileno(f)) != 0))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", final, strerror(errno));
    if (fclose(f) != 0 && !code)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", final, strerror(errno));
    if (!code && rename(temporary, final) != 0)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot rename to %s: %s", temporary, final, strerror(errno));
    if (code)
        unlink(temporary);
    else
        sync_directory(directory);
    temporary_exists = 0;
    return code;
}

int zn_rt_weights_finite(const zn_module_desc *m, const char *param, zn_rt_error *e) {
    for (uint64_t i = 0; i < m->ntensor; i++) {
        const zn_tensor_desc *t = &m->tensor[i];
        const float *x = (const float *)(const void *)(param + t->offset);
        size_t n = t->in_file ? zn_rt_tensor_count(t) : 0;
        for (size_t k = 0; k < n; k++)
            if (!isfinite(x[k]))
                return zn_rt_fail(e, ZN_RT_NONFINITE, "%s has a value that is not finite; no weights are written",
                                  t->name);
    }
    return 0;
}
