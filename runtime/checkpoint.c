/* Checkpoints (see runtime/checkpoint.h).
 *
 * Nothing of a file is believed before its digest is right, and nothing of its header before it is checked against the
 * module: a tensor has the name and the shape of one of the module, all are there once, and their bytes are those that
 * the file has. Order and offsets of tensors are those of the file, since levels of optimisation may place them
 * differently. */
#include "runtime/checkpoint.h"

#include "runtime/directory.h"
#include "runtime/memory.h"
#include "runtime/text.h"

#include "support/file.h"
#include "support/number.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, MAX_HEADER = 1 << 26, BEGIN = 16, END = 65, RANK = 4, PART = 1 << 16 };
static const char magic[8] = {'Z', 'N', 'E', 'T', 'C', 'K', 'P', 'T'};
static const char prefix[] = "checkpoint-", suffix[] = ".znc";

/* ---- names */

/* The step of a name; -1: it is none of a checkpoint. */
static int64_t step_of(const char *name) {
    size_t n = strlen(name), before = sizeof prefix - 1, after = sizeof suffix - 1;
    int64_t step;
    if (n <= before + after || strncmp(name, prefix, before) != 0 || strcmp(name + n - after, suffix) != 0 ||
        !zn_i64_parse(name + before, n - before - after, &step) || step < 0)
        return -1;
    char again[64];
    snprintf(again, sizeof again, "%s%" PRId64 "%s", prefix, step, suffix);
    return strcmp(again, name) ? -1 : step;
}

/* The last step before `bound` that has a checkpoint; -1: none. */
static int64_t last_before(const char *directory, int64_t bound) {
    int64_t last = -1;
    DIR *d = opendir(directory);
    for (const struct dirent *x; d && (x = readdir(d));) {
        int64_t step = step_of(x->d_name);
        if (step > last && step < bound)
            last = step;
    }
    if (d)
        closedir(d);
    return last;
}

static int path_of(char path[ZN_RT_PATH], const char *directory, int64_t step, zn_rt_error *e) {
    char name[64];
    snprintf(name, sizeof name, "%s%" PRId64 "%s", prefix, step, suffix);
    return zn_rt_directory_path(path, directory, name, e);
}

/* Removes all but two (-1: none). */
static void remove_others(const char *directory, int64_t a, int64_t b) {
    DIR *d = opendir(directory);
    for (const struct dirent *x; d && (x = readdir(d));) {
        int64_t step = step_of(x->d_name);
        if (step >= 0 && step != a && step != b)
            unlinkat(dirfd(d), x->d_name, 0);
    }
    if (d)
        closedir(d);
}

void zn_rt_checkpoint_clear(const char *directory) {
    remove_others(directory, -1, -1);
}

/* ---- writing */

static void put_header(zn_rt_text *t, const zn_rt_identity *id, const zn_rt_reached *at) {
    const zn_module_desc *m = id->m;
    const struct {
        const char *key, *value;
    } texts[] = {{"model", m->name},
                 {"source_sha256", m->source_sha256},
                 {"conv", m->conv},
                 {"gemm", m->gemm},
                 {"data_sha256", id->data_sha256},
                 {"init_from", id->init_from},
                 {"start_sha256", at->start_sha256},
                 {"order_sha256", at->order_sha256}};
    zn_rt_text_printf(t, "{\"format\":%d", VERSION);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        zn_rt_text_printf(t, ",\"%s\":", texts[i].key);
        zn_rt_text_json_string(t, texts[i].value);
    }
    zn_rt_text_printf(t, ",\"overrides\":%s,\"versions\":%s", m->overrides && *m->overrides ? m->overrides : "{}",
                      m->versions && *m->versions ? m->versions : "{}");
    zn_rt_text_printf(t, ",\"seed\":%" PRId64 ",\"epochs\":", id->seed);
    zn_rt_text_json_f64(t, id->epochs);
    zn_rt_text_printf(t, ",\"total\":%" PRId64 ",\"step\":%" PRId64 ",\"ended\":%s,\"unevaluated\":%s,\"loss_sum\":",
                      id->total, at->step, at->ended ? "true" : "false", at->unevaluated ? "true" : "false");
    zn_rt_text_json_f64(t, at->loss_sum);
    zn_rt_text_puts(t, ",\"seconds\":");
    zn_rt_text_json_f64(t, at->seconds);
    if (at->best_step) {
        zn_rt_text_printf(t, ",\"best\":[%" PRId64 ",", at->best_step);
        zn_rt_text_json_f64(t, at->best);
        zn_rt_text_puts(t, "]");
    }
    zn_rt_text_printf(t, ",\"log_bytes\":[%" PRId64 ",%" PRId64 "],\"tensors\":[", at->log_bytes[0], at->log_bytes[1]);
    for (uint64_t i = 0; i < m->ntensor; i++) {
        zn_rt_text_puts(t, i ? ",[" : "[");
        zn_rt_text_json_string(t, m->tensor[i].name);
        for (uint64_t k = 0; k < m->tensor[i].rank; k++)
            zn_rt_text_printf(t, ",%" PRId64, m->tensor[i].dim[k]);
        zn_rt_text_puts(t, "]");
    }
    zn_rt_text_puts(t, "]}");
}

typedef struct sink {
    zn_file f;
    zn_rt_sha256 hash;
    int error; /* errno of what failed; 0: nothing did */
} sink;

static int refused(sink *s, const char *path, zn_rt_error *e) {
    s->error = errno;
    return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", path, strerror(s->error));
}

static int put(sink *s, const void *at, size_t n, zn_rt_error *e) {
    if (!zn_file_add(&s->f, at, n))
        return refused(s, s->f.path, e);
    return zn_rt_sha256_add(&s->hash, at, n, e);
}

static int put_all(sink *s, const zn_rt_text *header, const zn_module_desc *m, const char *param, zn_rt_error *e) {
    uint64_t n = header->n;
    char digest[ZN_RT_SHA256_HEX];
    int code = put(s, magic, sizeof magic, e);
    if (!code)
        code = put(s, &n, sizeof n, e);
    if (!code)
        code = put(s, header->at, n, e);
    for (uint64_t i = 0; i < m->ntensor && !code; i++)
        code = put(s, param + m->tensor[i].offset, zn_rt_tensor_count(&m->tensor[i]) * sizeof(float), e);
    if (code)
        return code;
    code = zn_rt_sha256_end(&s->hash, digest, e);
    digest[END - 1] = '\n'; /* in place of the NUL */
    return !code && !zn_file_add(&s->f, digest, END) ? refused(s, s->f.path, e) : code;
}

/* *full: it was room that was missing. */
static int write_file(const char *path, const zn_rt_text *header, const zn_module_desc *m, const char *param,
                      bool *full, zn_rt_error *e) {
    sink s = {.hash = {NULL}};
    if (!zn_file_create(&s.f, path, true))
        return refused(&s, path, e);
    int code = zn_rt_sha256_start(&s.hash, e);
    if (!code)
        code = put_all(&s, header, m, param, e);
    zn_rt_sha256_free(&s.hash);
    if (code)
        zn_file_discard(&s.f);
    else if (!zn_file_finish(&s.f))
        code = refused(&s, path, e);
    *full = s.error == ENOSPC || s.error == EDQUOT;
    return code;
}

int zn_rt_checkpoint_write(const char *directory, const zn_rt_identity *id, const zn_rt_reached *at, const char *param,
                           zn_rt_error *e) {
    char path[ZN_RT_PATH];
    zn_rt_text header = {0};
    int code = path_of(path, directory, at->step, e);
    if (code)
        return code;
    put_header(&header, id, at);
    if (header.failed) {
        zn_rt_text_free(&header);
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for the header", path);
    }
    int64_t before = last_before(directory, at->step);
    bool full = false;
    code = write_file(path, &header, id->m, param, &full, e);
    if (code && full && before >= 0 && last_before(directory, before) >= 0) {
        remove_others(directory, before, -1); /* the last is enough, where there is room for two only */
        code = write_file(path, &header, id->m, param, &full, e);
    }
    zn_rt_text_free(&header);
    if (!code)
        remove_others(directory, at->step, before);
    return code;
}

/* ---- reading */

typedef struct source {
    const char *path;
    FILE *f;
    int64_t size, data; /* of the file; where the tensors start */
    json_t *header;
} source;

static int damaged(const source *s, const char *why, zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_INPUT, "%s: %s", s->path, why);
}

static int open_file(source *s, zn_rt_error *e) {
    struct stat st;
    int fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO does not block */
    s->f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (!s->f) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", s->path, strerror(error));
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return damaged(s, "is not a regular file", e);
    s->size = st.st_size;
    if (s->size < BEGIN + END)
        return damaged(s, "is cut: it is shorter than any checkpoint", e);
    return 0;
}

/* The digest at the end is that of all that stands before. */
static int check_digest(const source *s, zn_rt_error *e) {
    char part[PART], digest[ZN_RT_SHA256_HEX];
    zn_rt_sha256 h;
    int code = zn_rt_sha256_start(&h, e);
    for (int64_t left = s->size - END; left > 0 && !code;) {
        size_t n = left < PART ? (size_t)left : PART;
        code = fread(part, 1, n, s->f) == n ? zn_rt_sha256_add(&h, part, n, e) : damaged(s, "cannot be read", e);
        left -= (int64_t)n;
    }
    if (!code)
        code = zn_rt_sha256_end(&h, digest, e);
    else
        zn_rt_sha256_free(&h);
    if (code)
        return code;
    if (fread(part, 1, END, s->f) != END || memcmp(part, digest, END - 1) != 0 || part[END - 1] != '\n')
        return damaged(s, "is damaged or cut: its digest is not that of its bytes", e);
    return 0;
}

static int read_header(source *s, zn_rt_error *e) {
    char start[sizeof magic];
    uint64_t n;
    if (fseeko(s->f, 0, SEEK_SET) != 0 || fread(start, 1, sizeof start, s->f) != sizeof start ||
        fread(&n, 1, sizeof n, s->f) != sizeof n)
        return damaged(s, "cannot be read", e);
    if (memcmp(start, magic, sizeof magic) != 0)
        return damaged(s, "is not a checkpoint: it does not begin as one", e);
    if (n > MAX_HEADER || (int64_t)n > s->size - BEGIN - END)
        return damaged(s, "has a header that is longer than the file or 64 MB", e);
    char *text = malloc((size_t)n + 1);
    if (!text)
        return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get %" PRIu64 " bytes for the header", s->path, n);
    if (fread(text, 1, (size_t)n, s->f) == n)
        s->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (!json_is_object(s->header))
        return damaged(s, "has a header that is not a JSON object", e);
    s->data = BEGIN + (int64_t)n;
    return 0;
}

static int open_source(source *s, const char *path, zn_rt_error *e) {
    *s = (source){.path = path};
    int code = open_file(s, e);
    if (!code)
        code = check_digest(s, e);
    if (!code)
        code = read_header(s, e);
    if (code)
        return code;
    const json_t *format = json_object_get(s->header, "format");
    if (!json_is_integer(format) || json_integer_value(format) != VERSION)
        return zn_rt_fail(e, ZN_RT_MISFIT, "%s: was written by another version of znet: its format is not %d", path,
                          VERSION);
    return 0;
}

static void close_source(source *s) {
    json_decref(s->header);
    if (s->f)
        fclose(s->f);
}

/* A digest of the header; false: there is none of its length. */
static bool take_digest(const source *s, const char *key, char out[ZN_RT_SHA256_HEX]) {
    const char *text = json_string_value(json_object_get(s->header, key));
    if (!text || strlen(text) != ZN_RT_SHA256_HEX - 1)
        return false;
    memcpy(out, text, ZN_RT_SHA256_HEX);
    return true;
}

static bool take_whole(const json_t *v, int64_t least, int64_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < least)
        return false;
    *out = json_integer_value(v);
    return true;
}

static int take_reached(const source *s, zn_rt_reached *at, zn_rt_error *e) {
    const json_t *h = s->header, *bytes = json_object_get(h, "log_bytes"), *sum = json_object_get(h, "loss_sum"),
                 *seconds = json_object_get(h, "seconds"), *best = json_object_get(h, "best");
    *at = (zn_rt_reached){.ended = json_is_true(json_object_get(h, "ended")),
                          .unevaluated = json_is_true(json_object_get(h, "unevaluated")),
                          .loss_sum = json_number_value(sum),
                          .seconds = json_number_value(seconds),
                          .best = json_number_value(json_array_get(best, 1))};
    if (!take_whole(json_object_get(h, "step"), 0, &at->step) || !json_is_number(sum) ||
        (seconds && !json_is_number(seconds)) || at->seconds < 0 || !take_digest(s, "start_sha256", at->start_sha256) ||
        !take_digest(s, "order_sha256", at->order_sha256) ||
        !take_whole(json_array_get(bytes, 0), -1, &at->log_bytes[0]) ||
        !take_whole(json_array_get(bytes, 1), -1, &at->log_bytes[1]) ||
        (best && (!take_whole(json_array_get(best, 0), 1, &at->best_step) || !json_is_number(json_array_get(best, 1)))))
        return damaged(s, "has a header without all that belongs there", e);
    return 0;
}

/* ---- what differs */

static bool same_words(const json_t *a, const json_t *b) {
    size_t n = json_array_size(a), found = 0;
    if (!json_is_array(a) || !json_is_array(b))
        return json_equal(a, b);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < json_array_size(b); k++)
            if (json_equal(json_array_get(a, i), json_array_get(b, k))) {
                found++;
                break;
            }
    return n == json_array_size(b) && found == n; /* a key stands there once */
}

/* Options of the compilation that change no bit. */
static bool changes_nothing(const char *key) {
    return !strcmp(key, "-O") || !strcmp(key, "--march") || !strcmp(key, "--target");
}

static void explain_json(const char *key, const json_t *there, const json_t *here, zn_rt_error *e) {
    char *a = there ? json_dumps(there, JSON_ENCODE_ANY) : NULL, *b = here ? json_dumps(here, JSON_ENCODE_ANY) : NULL;
    zn_rt_explain(e, "\n  %s: %.200s there, %.200s here", key, a ? a : "nothing", b ? b : "nothing");
    free(a);
    free(b);
}

static void compare_overrides(const json_t *there, const char *text, zn_rt_error *e) {
    json_t *here = json_loads(text && *text ? text : "{}", 0, NULL);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)there, key, v) {
        const json_t *x = json_object_get(here, key);
        if (!changes_nothing(key) && !(x && same_words(v, x)))
            explain_json(key, v, x, e);
    }
    json_object_foreach(here, key, v) if (!changes_nothing(key) && !json_object_get(there, key))
        explain_json(key, NULL, v, e);
    json_decref(here);
}

static void compare_text(const source *s, const char *key, const char *name, const char *here, zn_rt_error *e) {
    const char *there = json_string_value(json_object_get(s->header, key));
    if (strcmp(there ? there : "", here ? here : "") != 0)
        zn_rt_explain(e, "\n  %s: %.200s there, %.200s here", name, there ? there : "none", here ? here : "none");
}

/* Whether a run of another length goes the same way until the shorter ends. */
static bool length_matters(const zn_train_desc *d) {
    return (d->lr_kind != ZN_LR_CONSTANT && d->lr_kind != ZN_LR_STEP) || d->average == ZN_AVERAGE_LOOKAHEAD;
}

static int compare(const source *s, const zn_rt_identity *id, const zn_rt_reached *at, zn_rt_error *e) {
    const json_t *seed = json_object_get(s->header, "seed"), *epochs = json_object_get(s->header, "epochs");
    zn_rt_fail(e, ZN_RT_MISFIT, "%s is of another run:", s->path);
    size_t n = strlen(e->text);
    compare_text(s, "source_sha256", "digest of the source", id->m->source_sha256, e);
    compare_overrides(json_object_get(s->header, "overrides"), id->m->overrides, e);
    compare_text(s, "conv", "--conv", id->m->conv, e);
    compare_text(s, "gemm", "--gemm", id->m->gemm, e);
    compare_text(s, "data_sha256", "digest of the data", id->data_sha256, e);
    if (!json_is_integer(seed) || json_integer_value(seed) != id->seed) {
        json_t *here = json_integer(id->seed);
        explain_json("seed", seed, here, e);
        json_decref(here);
    }
    if (!json_is_number(epochs) || at->step > id->total ||
        (json_number_value(epochs) != id->epochs && length_matters(&id->m->train)))
        zn_rt_explain(e, "\n  epochs: %g there, %g here", json_number_value(epochs), id->epochs);
    if (id->init_from) /* otherwise it goes on from there all the same */
        compare_text(s, "init_from", "--init-from", id->init_from, e);
    if (strlen(e->text) > n)
        return ZN_RT_MISFIT;
    e->text[0] = '\0';
    return 0;
}

/* ---- tensors */

static bool is_tensor(const json_t *v, const zn_tensor_desc *t) {
    const char *name = json_string_value(json_array_get(v, 0));
    if (!name || strcmp(name, t->name) != 0 || json_array_size(v) != t->rank + 1)
        return false;
    for (size_t k = 0; k < t->rank && k < RANK; k++) {
        const json_t *d = json_array_get(v, k + 1);
        if (!json_is_integer(d) || json_integer_value(d) != t->dim[k])
            return false;
    }
    return true;
}

/* Where in the file each tensor of the module begins. */
static int place_tensors(const source *s, const zn_module_desc *m, int64_t *place, zn_rt_error *e) {
    const json_t *list = json_object_get(s->header, "tensors");
    int64_t at = s->data;
    if (json_array_size(list) != m->ntensor)
        return zn_rt_fail(e, ZN_RT_MISFIT, "%s: has %zu tensors; the program has %" PRIu64, s->path,
                          json_array_size(list), m->ntensor);
    for (uint64_t i = 0; i < m->ntensor; i++)
        place[i] = -1;
    for (uint64_t k = 0; k < m->ntensor; k++) {
        const json_t *v = json_array_get(list, k);
        uint64_t i = k;
        if (!is_tensor(v, &m->tensor[i]))
            for (i = 0; i < m->ntensor && !is_tensor(v, &m->tensor[i]);)
                i++;
        if (i == m->ntensor || place[i] >= 0)
            return zn_rt_fail(e, ZN_RT_MISFIT, "%s: its tensor %" PRIu64 ", %.100s, is none of the program", s->path, k,
                              json_is_string(json_array_get(v, 0)) ? json_string_value(json_array_get(v, 0)) : "?");
        place[i] = at;
        at += (int64_t)(zn_rt_tensor_count(&m->tensor[i]) * sizeof(float));
    }
    if (at != s->size - END)
        return damaged(s, "does not have the bytes that its header describes", e);
    return 0;
}

static int read_tensors(const source *s, const zn_module_desc *m, const int64_t *place, char *param, zn_rt_error *e) {
    for (uint64_t i = 0; i < m->ntensor; i++) {
        size_t n = zn_rt_tensor_count(&m->tensor[i]) * sizeof(float);
        if (fseeko(s->f, place[i], SEEK_SET) != 0 || fread(param + m->tensor[i].offset, 1, n, s->f) != n)
            return damaged(s, "cannot be read", e);
    }
    return 0;
}

int zn_rt_checkpoint_read(const char *path, const zn_rt_identity *id, zn_rt_reached *at, char *param, zn_rt_error *e) {
    source s;
    int64_t *place = NULL;
    int code = open_source(&s, path, e);
    if (!code)
        code = take_reached(&s, at, e);
    if (!code)
        code = compare(&s, id, at, e);
    if (!code) {
        place = calloc(id->m->ntensor + 1, sizeof *place);
        code = place ? place_tensors(&s, id->m, place, e)
                     : zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for the places of tensors", path);
    }
    if (!code)
        code = read_tensors(&s, id->m, place, param, e);
    free(place);
    close_source(&s);
    return code;
}

int zn_rt_checkpoint_resume(const char *directory, const zn_rt_identity *id, zn_rt_reached *at, char *param,
                            zn_rt_error *notes, zn_rt_error *e) {
    char path[ZN_RT_PATH];
    int code = 0;
    for (int64_t step = INT64_MAX; (step = last_before(directory, step)) >= 0;) {
        code = path_of(path, directory, step, e);
        if (!code)
            code = zn_rt_checkpoint_read(path, id, at, param, e);
        if (!code && *notes->text)
            zn_rt_explain(notes, "\nwarning: takes %s instead", path);
        if (code != ZN_RT_INPUT)
            return code;
        zn_rt_explain(notes, "%swarning: %.1000s", *notes->text ? "\n" : "", e->text);
    }
    at->step = -1;
    if (code)
        zn_rt_explain(e, "\nall checkpoints in %.1000s are damaged; --overwrite in place of --resume starts anew",
                      directory);
    return code;
}

bool zn_rt_checkpoint_unfinished(const char *directory, int64_t *step, int64_t *total) {
    char path[ZN_RT_PATH];
    zn_rt_error e;
    for (int64_t k = INT64_MAX; (k = last_before(directory, k)) >= 0;) {
        source s = {.path = NULL};
        zn_rt_reached at;
        bool sound = !path_of(path, directory, k, &e) && !open_source(&s, path, &e) && !take_reached(&s, &at, &e);
        sound = sound && take_whole(json_object_get(s.header, "total"), 0, total);
        close_source(&s);
        if (sound) {
            *step = at.step;
            return !at.ended;
        }
    }
    return false;
}
