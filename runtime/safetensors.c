/* Reading weights (see runtime/weights.h): the safetensors format with every check of its reference reader.
 *
 * The length of the header is checked against the file before memory is asked for; entries must cover the data without
 * gap or overlap; shapes are multiplied with care. A file that breaks the format is bad input; one that is sound but
 * for another network is a misfit, and the message lists the tensors that do not fit. Only tensors named
 * num_batches_tracked, which PyTorch adds, may be left over. Nothing is changed in memory until the whole file has been
 * checked. */
#include "runtime/weights.h"

#include "runtime/memory.h"
#include "runtime/permute.h"

#include "support/number.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER = 100000000, MAX_NAME = 1024, MAX_RANK = 8 };

typedef struct entry {
    const char *name; /* of the JSON object */
    char *renamed;    /* by --map; NULL: it is not */
    const char *dtype;
    int rank;
    int64_t dim[MAX_RANK];
    int64_t begin, end;
    const zn_tensor_desc *tensor; /* that it fits, or NULL */
} entry;

typedef struct file {
    const char *path;
    FILE *f;
    int64_t size, data; /* where the data starts */
    json_t *header;
    entry *entry;
    size_t n;
} file;

static int bad(const file *w, const char *name, const char *why, zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_INPUT, "%s: %s%s%s", w->path, name, *name ? ": " : "", why);
}

static int dtype_bits(const char *s) {
    static const struct {
        const char *name;
        int bits;
    } all[] = {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
               {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
               {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
               {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(s, all[i].name) == 0)
            return all[i].bits;
    return 0;
}

/* Whole numbers of a JSON array, none negative; their count, or -1. */
static int whole_numbers(const json_t *array, int64_t *out, int max) {
    if (!json_is_array(array) || json_array_size(array) > (size_t)max)
        return -1;
    int n = (int)json_array_size(array);
    for (int i = 0; i < n; i++) {
        const json_t *x = json_array_get(array, (size_t)i);
        if (!json_is_integer(x) || json_integer_value(x) < 0)
            return -1;
        out[i] = json_integer_value(x);
    }
    return n;
}

static int read_entry(const file *w, const char *name, const json_t *v, entry *out, zn_rt_error *e) {
    int64_t range[2], bits;
    const char *dtype = json_string_value(json_object_get(v, "dtype"));
    if (strlen(name) > MAX_NAME)
        return bad(w, "header", "a name is longer than 1024 bytes", e);
    if (!json_is_object(v) || json_object_size(v) != 3 || !dtype)
        return bad(w, name, "an entry has dtype, shape and data_offsets", e);
    *out = (entry){.name = name, .dtype = dtype};
    out->rank = whole_numbers(json_object_get(v, "shape"), out->dim, MAX_RANK);
    if (out->rank < 0)
        return bad(w, name, "the shape is no list of at most 8 whole numbers", e);
    if (whole_numbers(json_object_get(v, "data_offsets"), range, 2) != 2 || range[0] > range[1])
        return bad(w, name, "data_offsets are no two ascending whole numbers", e);
    out->begin = range[0];
    out->end = range[1];
    bits = dtype_bits(dtype);
    if (bits == 0)
        return bad(w, name, "the dtype is not known", e);
    for (int i = 0; i < out->rank; i++)
        if (!zn_mul_ok(bits, out->dim[i], &bits))
            return bad(w, name, "the shape is too large", e);
    if (bits % 8 != 0 || bits / 8 != out->end - out->begin)
        return bad(w, name, "data_offsets do not hold the shape", e);
    return 0;
}

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int read_entries(file *w, zn_rt_error *e) {
    const char *name;
    json_t *v;
    w->entry = calloc(json_object_size(w->header) + 1, sizeof *w->entry);
    if (!w->entry)
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for the header", w->path);
    json_object_foreach(w->header, name, v) {
        if (strcmp(name, "__metadata__") == 0) {
            const char *key;
            json_t *text;
            if (!json_is_object(v))
                return bad(w, name, "it is no object", e);
            json_object_foreach(v, key, text) if (!json_is_string(text)) return bad(w, name, "a value is no string", e);
            continue;
        }
        int code = read_entry(w, name, v, &w->entry[w->n], e);
        if (code)
            return code;
        w->n++;
    }
    qsort(w->entry, w->n, sizeof *w->entry, by_offset);
    int64_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->entry[i].begin != at)
            return bad(w, w->entry[i].name, "the data before it has a gap or an overlap", e);
        at = w->entry[i].end;
    }
    if (at != w->size - w->data)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " bytes of data; its header describes %" PRId64, w->path,
                          w->size - w->data, at);
    return 0;
}

static int read_header(file *w, zn_rt_error *e) {
    uint64_t n;
    json_error_t why;
    if (fseeko(w->f, 0, SEEK_END) != 0 || (w->size = (int64_t)ftello(w->f)) < 0 || fseeko(w->f, 0, SEEK_SET) != 0)
        return bad(w, "", strerror(errno), e);
    if (w->size < 8 || fread(&n, 1, sizeof n, w->f) != sizeof n)
        return bad(w, "", "is shorter than 8 bytes", e);
    if (n > MAX_HEADER || (int64_t)n > w->size - 8)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: the header of %" PRIu64 " bytes is longer than the file or 100 MB",
                          w->path, n);
    char *text = malloc(n + 1);
    if (!text)
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get %" PRIu64 " bytes for the header", w->path, n);
    if (fread(text, 1, n, w->f) != n) {
        free(text);
        return bad(w, "", "cannot read the header", e);
    }
    if (n > 0 && text[0] == '{')
        w->header = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    else
        snprintf(why.text, sizeof why.text, "it does not start with {");
    free(text);
    if (!w->header)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: the header is not JSON: %s", w->path, why.text);
    w->data = 8 + (int64_t)n;
    return read_entries(w, e);
}

static const char *name_of(const entry *x) {
    return x->renamed ? x->renamed : x->name;
}

static int by_name(const void *a, const void *b) {
    const entry *const *x = a, *const *y = b;
    return strcmp(name_of(*x), name_of(*y));
}

/* Does `old` (of n characters) name a tensor, or the beginning of its name up to a dot? */
static bool is_mapped(const char *name, const char *old, size_t n) {
    return !strncmp(name, old, n) && (name[n] == '\0' || name[n] == '.');
}

static int rename_entries(const file *w, const char *const *map, int nmap, zn_rt_error *e) {
    for (int k = 0; k < nmap; k++) {
        size_t old = strcspn(map[k], "=");
        const char *new = map[k] + old + 1;
        bool used = false;
        for (size_t i = 0; i < w->n; i++) {
            entry *x = &w->entry[i];
            if (!is_mapped(x->name, map[k], old))
                continue;
            used = true;
            size_t size = strlen(new) + strlen(x->name) - old + 1;
            if (x->renamed)
                continue;
            x->renamed = malloc(size);
            if (!x->renamed)
                return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for names", w->path);
            snprintf(x->renamed, size, "%s%s", new, x->name + old);
        }
        if (!used)
            return zn_rt_fail(e, ZN_RT_MISFIT, "%s: has no tensor %.*s, which --map %s names", w->path, (int)old,
                              map[k], map[k]);
    }
    return 0;
}

/* A list of what does not fit, cut where it gets long. */
typedef struct misfits {
    int n;
    zn_rt_error *e;
} misfits;
enum { MOST_LISTED = 12 };

static void list(misfits *l, const char *name, const char *what) {
    if (l->n++ < MOST_LISTED)
        zn_rt_explain(l->e, "\n  %.60s: %s", name, what);
}

static void explain_shape(zn_rt_error *e, const char *before, int rank, const int64_t *dim) {
    zn_rt_explain(e, "%s[", before);
    for (int i = 0; i < rank; i++)
        zn_rt_explain(e, "%s%" PRId64, i ? ", " : "", dim[i]);
    zn_rt_explain(e, "]");
}

static void match_one(entry *x, const zn_tensor_desc *t, misfits *l) {
    int64_t dim[4];
    zn_rt_permute p = zn_rt_permute_make(t);
    zn_rt_permute_file_shape(&p, dim);
    x->tensor = t;
    if (strcmp(x->dtype, "F32") != 0) {
        char text[64];
        snprintf(text, sizeof text, "is of dtype %.16s; the network has F32", x->dtype);
        list(l, t->name, text);
    } else if (x->rank != (int)t->rank || memcmp(x->dim, dim, (size_t)t->rank * sizeof *dim) != 0) {
        if (l->n < MOST_LISTED) {
            zn_rt_explain(l->e, "\n  %.60s is ", t->name);
            explain_shape(l->e, "", x->rank, x->dim);
            explain_shape(l->e, "; the network has ", (int)t->rank, dim);
        }
        l->n++;
    }
}

static void match_all(const file *w, const zn_module_desc *m, entry **sorted, misfits *l) {
    for (size_t i = 0; i < w->n; i++)
        sorted[i] = &w->entry[i];
    qsort(sorted, w->n, sizeof *sorted, by_name);
    for (size_t i = 1; i < w->n; i++)
        if (by_name(&sorted[i - 1], &sorted[i]) == 0)
            list(l, name_of(sorted[i]), "two tensors of the file have this name, by --map");
    for (uint64_t i = 0; i < m->ntensor; i++) {
        if (!m->tensor[i].in_file)
            continue;
        entry key = {.name = m->tensor[i].name};
        const entry *wanted = &key;
        entry **found = bsearch(&wanted, sorted, w->n, sizeof *sorted, by_name);
        if (found)
            match_one(*found, &m->tensor[i], l);
        else
            list(l, m->tensor[i].name, "the file has no such tensor");
    }
    for (size_t i = 0; i < w->n; i++) {
        const char *name = name_of(&w->entry[i]), *dot = strrchr(name, '.');
        if (!w->entry[i].tensor && strcmp(dot ? dot : "", ".num_batches_tracked") != 0)
            list(l, name, "the network has no such tensor");
    }
}

/* Gives every tensor that stands in files its entry; all else is a misfit. */
static int match(const file *w, const zn_module_desc *m, zn_rt_error *e) {
    entry **sorted = calloc(w->n + 1, sizeof(entry *));
    misfits l = {0, e};
    if (!sorted)
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for names", w->path);
    zn_rt_fail(e, ZN_RT_MISFIT, "%.1000s does not fit the network:", w->path);
    match_all(w, m, sorted, &l);
    free(sorted);
    if (l.n > MOST_LISTED)
        zn_rt_explain(e, "\n  and %d more", l.n - MOST_LISTED);
    if (l.n)
        return ZN_RT_MISFIT;
    e->text[0] = '\0';
    return 0;
}

/* Entries are in the order of the file. */
static int read_data(const file *w, char *param, zn_rt_error *e) {
    enum { PART = 4096 };
    float part[PART];
    for (size_t i = 0; i < w->n; i++) {
        const zn_tensor_desc *t = w->entry[i].tensor;
        if (fseeko(w->f, (off_t)(w->data + w->entry[i].begin), SEEK_SET) != 0)
            return bad(w, "", strerror(errno), e);
        if (!t)
            continue;
        float *to = (float *)(void *)(param + t->offset);
        zn_rt_permute p = zn_rt_permute_make(t);
        size_t n = zn_rt_tensor_count(t);
        for (size_t at = 0; at < n;) {
            size_t k = n - at < PART ? n - at : PART;
            if (fread(part, sizeof(float), k, w->f) != k)
                return bad(w, t->name, "cannot read the data", e);
            for (size_t j = 0; j < k; j++)
                to[zn_rt_permute_index(&p, at + j)] = part[j];
            at += k;
        }
    }
    return 0;
}

static int open_file(file *w, zn_rt_error *e) {
    struct stat st;
    int fd = open(w->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO does not block */
    if (fd < 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", w->path, strerror(errno));
    w->f = fdopen(fd, "rb");
    if (!w->f) {
        close(fd);
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory to read it", w->path);
    }
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : bad(w, "", "is not a regular file", e);
}

int zn_rt_weights_read(const zn_module_desc *m, char *param, const char *path, const char *const *map, int nmap,
                       zn_rt_error *e) {
    file w = {.path = path};
    int code = open_file(&w, e);
    if (!code)
        code = read_header(&w, e);
    if (!code)
        code = rename_entries(&w, map, nmap, e);
    if (!code)
        code = match(&w, m, e);
    if (!code)
        code = read_data(&w, param, e);
    for (size_t i = 0; i < w.n; i++)
        free(w.entry[i].renamed);
    json_decref(w.header);
    free(w.entry);
    if (w.f)
        fclose(w.f);
    return code;
}
