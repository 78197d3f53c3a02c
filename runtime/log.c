/* Writing the log (see runtime/log.h): keys in a fixed order, numbers that read back exactly, a flush after every line,
 * and every failure reported. */
#include "runtime/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(zn_rt_log *log, int i, zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_INPUT, "cannot write the log %s: %s", log->to[i].path, strerror(errno));
}

static int open_one(zn_rt_log *log, int i, const char *directory, const char *name, zn_rt_error *e) {
    size_t size = sizeof log->to[i].path;
    int n = snprintf(log->to[i].path, size, "%s%s%s", directory, *directory ? "/" : "", name);
    if (n < 0 || (size_t)n >= size)
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", name);
    int fd = open(log->to[i].path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    log->to[i].f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!log->to[i].f)
        return failed(log, i, e);
    log->n++;
    return 0;
}

/* Whether --log names the log of the --out directory: then one of them is enough. */
static bool same_file(FILE *a, FILE *b) {
    struct stat x, y;
    return fstat(fileno(a), &x) == 0 && fstat(fileno(b), &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Does a line end behind the first n bytes? */
static bool ends_line(const char *path, int64_t n) {
    char c = 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool yes = fd >= 0 && pread(fd, &c, 1, n - 1) == 1 && c == '\n';
    if (fd >= 0)
        close(fd);
    return yes;
}

/* Goes to where the log goes on. What was written behind that is of steps that are done again; what a killed process
 * left of a line is ended. A pipe has nothing to cut. */
static int cut(zn_rt_log *log, int i, int64_t keep, zn_rt_error *e) {
    FILE *f = log->to[i].f;
    struct stat st;
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    int64_t n = keep < 0 || keep > st.st_size || (keep > 0 && !ends_line(log->to[i].path, keep)) ? st.st_size : keep;
    bool torn = n > 0 && !ends_line(log->to[i].path, n);
    log->to[i].continued = n > 0;
    if (ftruncate(fileno(f), n) != 0 || fseeko(f, n, SEEK_SET) != 0 || (torn && fwrite("\n", 1, 1, f) != 1) ||
        fflush(f) != 0)
        return failed(log, i, e);
    return 0;
}

int zn_rt_log_open(zn_rt_log *log, const char *path, const char *directory, const int64_t keep[ZN_RT_LOGS],
                   zn_rt_error *e) {
    *log = (zn_rt_log){0};
    int code = path ? open_one(log, ZN_RT_LOG_FILE, "", path, e) : 0;
    if (!code && directory)
        code = open_one(log, ZN_RT_LOG_OUT, directory, "log.jsonl", e);
    if (!code && log->n == 2 && same_file(log->to[0].f, log->to[1].f)) {
        log->same = true;
        fclose(log->to[ZN_RT_LOG_OUT].f);
        log->to[ZN_RT_LOG_OUT].f = NULL;
        log->n = 1;
    }
    for (int i = 0; i < ZN_RT_LOGS && !code; i++) /* only now that both are open */
        if (log->to[i].f)
            code = cut(log, i, keep ? keep[log->same && keep[i] < 0 ? ZN_RT_LOG_OUT : i] : 0, e);
    return code;
}

void zn_rt_log_sizes(zn_rt_log *log, int64_t bytes[ZN_RT_LOGS]) {
    for (int i = 0; i < ZN_RT_LOGS; i++) {
        FILE *f = log->to[i].f;
        struct stat st;
        bool regular = f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode);
        bytes[i] = regular && fdatasync(fileno(f)) == 0 ? st.st_size : -1;
    }
    if (log->same)
        bytes[ZN_RT_LOG_OUT] = bytes[ZN_RT_LOG_FILE];
}

int zn_rt_log_close(zn_rt_log *log, zn_rt_error *e) {
    int code = 0;
    for (int i = 0; i < ZN_RT_LOGS; i++)
        if (log->to[i].f && fclose(log->to[i].f) != 0 && !code)
            code = failed(log, i, e);
    zn_rt_text_free(&log->line);
    *log = (zn_rt_log){0};
    return code;
}

/* An event begins with begin() and its fields; end() closes and writes it. */
static zn_rt_text *begin(zn_rt_log *log, const char *event) {
    log->line.n = 0;
    zn_rt_text_printf(&log->line, "{\"event\":\"%s\"", event);
    return &log->line;
}

enum { TO_NEW = 1, TO_CONTINUED = 2, TO_ALL = 3 };

static int end_to(zn_rt_log *log, int which, zn_rt_error *e) {
    zn_rt_text_puts(&log->line, "}\n");
    if (log->line.failed)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for a line of the log");
    for (int i = 0; i < ZN_RT_LOGS; i++)
        if (log->to[i].f && (which & (log->to[i].continued ? TO_CONTINUED : TO_NEW)) &&
            (fwrite(log->line.at, 1, log->line.n, log->to[i].f) != log->line.n || fflush(log->to[i].f) != 0))
            return failed(log, i, e);
    return 0;
}

static int end(zn_rt_log *log, zn_rt_error *e) {
    return end_to(log, TO_ALL, e);
}

static void put_string(zn_rt_text *t, const char *key, const char *value) {
    zn_rt_text_printf(t, ",\"%s\":", key);
    zn_rt_text_json_string(t, value);
}

static void put_i64(zn_rt_text *t, const char *key, int64_t value) {
    zn_rt_text_printf(t, ",\"%s\":", key);
    zn_rt_text_json_i64(t, value);
}

static void put_f64(zn_rt_text *t, const char *key, double value) {
    zn_rt_text_printf(t, ",\"%s\":", key);
    zn_rt_text_json_f64(t, value);
}

static void put_evaluations(zn_rt_text *t, const zn_rt_evaluation *test, const zn_rt_evaluation *validation) {
    put_f64(t, "test_loss", test->loss);
    put_f64(t, "test_accuracy", test->accuracy);
    if (!isnan(test->views))
        put_f64(t, "test_accuracy_views", test->views);
    if (isnan(validation->loss))
        return;
    put_f64(t, "validation_loss", validation->loss);
    put_f64(t, "validation_accuracy", validation->accuracy);
}

static void put_bytes(zn_rt_text *t, const char *key, size_t value) {
    if (value)
        put_i64(t, key, (int64_t)value);
    else
        zn_rt_text_printf(t, ",\"%s\":null", key);
}

/* Starts the field `key` with the members of the JSON object `object`, without its last brace, so that more can follow;
 * gives whether a comma must come first. */
static bool put_object_open(zn_rt_text *t, const char *key, const char *object) {
    size_t n = object ? strlen(object) : 0;
    while (n > 0 && strchr(" \n}", object[n - 1])) {
        n--;
        if (object[n] == '}')
            break;
    }
    zn_rt_text_printf(t, ",\"%s\":", key);
    if (n == 0) {
        zn_rt_text_puts(t, "{");
        return false;
    }
    zn_rt_text_add(t, object, n);
    return memchr(object, '"', n) != NULL;
}

static void put_overrides(zn_rt_text *t, const char *compiled, const zn_rt_options *o) {
    const struct {
        const char *name, *text;
        int64_t number;
        bool given;
    } all[] = {{"--data", o->data, 0, o->data != NULL},
               {"--steps", NULL, o->steps, o->steps >= 0},
               {"--seed", NULL, o->seed, o->has_seed},
               {"--init-from", o->init_from, 0, o->init_from != NULL}};
    bool comma = put_object_open(t, "overrides", compiled);
    if (o->epochs >= 0) {
        zn_rt_text_printf(t, "%s\"--epochs\":", comma ? "," : "");
        comma = true;
        if (o->epochs == floor(o->epochs))
            zn_rt_text_json_i64(t, (int64_t)o->epochs);
        else
            zn_rt_text_json_f64(t, o->epochs);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].given)
            continue;
        zn_rt_text_printf(t, "%s\"%s\":", comma ? "," : "", all[i].name);
        comma = true;
        if (all[i].text)
            zn_rt_text_json_string(t, all[i].text);
        else
            zn_rt_text_json_i64(t, all[i].number);
    }
    for (int i = 0; i < o->nmap; i++) {
        zn_rt_text_printf(t, "%s", i ? "," : comma ? ",\"--map\":[" : "\"--map\":[");
        zn_rt_text_json_string(t, o->map[i]);
    }
    zn_rt_text_puts(t, o->nmap ? "]}" : "}");
}

static void put_versions(zn_rt_text *t, const zn_module_desc *m) {
    bool comma = put_object_open(t, "versions", m->versions);
    if (m->blas_version) {
        zn_rt_text_printf(t, "%s\"openblas\":", comma ? "," : "");
        zn_rt_text_json_string(t, m->blas_version());
    }
    zn_rt_text_puts(t, "}");
}

/* What `znetc repro` compiles, and where the paths in it lead. */
static void put_source(zn_rt_text *t, const zn_module_desc *m) {
    char directory[4096];
    put_string(t, "directory", getcwd(directory, sizeof directory));
    put_string(t, "source_path", m->source_path);
    zn_rt_text_puts(t, ",\"source_files\":[");
    for (uint64_t i = 0; i < m->nfile; i++) {
        zn_rt_text_puts(t, i ? ",[" : "[");
        zn_rt_text_json_string(t, m->file[i].path);
        zn_rt_text_printf(t, ",%" PRIu64 "]", m->file[i].first_line);
    }
    zn_rt_text_puts(t, "]");
    put_string(t, "source", m->source);
}

int zn_rt_log_start(zn_rt_log *log, const zn_module_desc *m, const zn_rt_options *o, const char *data_sha256,
                    const char *start_sha256, int64_t seed, int threads, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "start");
    put_string(t, "source_sha256", m->source_sha256);
    put_overrides(t, m->overrides, o);
    put_string(t, "data_sha256", data_sha256);
    put_i64(t, "seed", seed);
    put_i64(t, "threads", threads);
    put_string(t, "cpu", m->cpu);
    put_versions(t, m);
    put_string(t, "conv", m->conv);
    put_string(t, "gemm", m->gemm);
    put_string(t, "init", m->init);
    put_string(t, "start_sha256", start_sha256);
    put_source(t, m);
    return end_to(log, TO_NEW, e);
}

int zn_rt_log_resume(zn_rt_log *log, const zn_module_desc *m, int64_t step, int threads, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "resume");
    put_i64(t, "step", step);
    put_i64(t, "threads", threads);
    put_string(t, "cpu", m->cpu);
    put_versions(t, m);
    return end_to(log, TO_CONTINUED, e);
}

int zn_rt_log_initial(zn_rt_log *log, const zn_rt_evaluation *train, const zn_rt_evaluation *test,
                      const zn_rt_evaluation *validation, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "initial");
    put_f64(t, "train_loss", train->loss);
    put_evaluations(t, test, validation);
    return end(log, e);
}

int zn_rt_log_step(zn_rt_log *log, const zn_rt_progress *p, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "step");
    put_i64(t, "step", p->step);
    put_i64(t, "epoch", p->epoch);
    put_f64(t, "loss", p->loss);
    zn_rt_text_puts(t, ",\"lr\":");
    zn_rt_text_json_f32(t, p->lr);
    put_f64(t, "seconds", p->seconds);
    return end(log, e);
}

int zn_rt_log_epoch(zn_rt_log *log, const zn_rt_progress *p, const zn_rt_evaluation *test,
                    const zn_rt_evaluation *validation, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "epoch");
    put_i64(t, "epoch", p->epoch);
    put_i64(t, "step", p->step);
    put_f64(t, "train_loss", p->mean_loss);
    put_evaluations(t, test, validation);
    put_f64(t, "seconds", p->seconds);
    put_f64(t, "images_per_second", p->images_per_second);
    return end(log, e);
}

int zn_rt_log_rank(zn_rt_log *log, const zn_rt_progress *p, const zn_rt_rank *rank, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "rank");
    put_i64(t, "step", p->step);
    put_i64(t, "epoch", p->epoch);
    put_string(t, "layer", rank->layer);
    put_i64(t, "rows", rank->rows);
    put_i64(t, "columns", rank->columns);
    put_i64(t, "rank", rank->rank);
    put_i64(t, "rank_minus_identity", rank->rank_minus_identity);
    put_i64(t, "distinct_rows", rank->distinct_rows);
    put_i64(t, "nonzero_rows", rank->nonzero_rows);
    put_i64(t, "nonzero_columns", rank->nonzero_columns);
    return end(log, e);
}

int zn_rt_log_confusion(zn_rt_log *log, int64_t classes, const int64_t *counts, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "confusion");
    for (int64_t i = 0; i < classes; i++)
        for (int64_t j = 0; j < classes; j++)
            zn_rt_text_printf(t, "%s%" PRId64, j ? "," : i ? "],[" : ",\"counts\":[[", counts[i * classes + j]);
    zn_rt_text_puts(t, "]]");
    return end(log, e);
}

int zn_rt_log_end(zn_rt_log *log, const zn_rt_summary *s, zn_rt_error *e) {
    if (log->n == 0)
        return 0;
    zn_rt_text *t = begin(log, "end");
    put_evaluations(t, &s->test, &s->validation);
    if (s->best_epoch) {
        put_i64(t, "best_epoch", s->best_epoch);
        put_f64(t, isnan(s->validation.accuracy) ? "best_validation_loss" : "best_validation_accuracy", s->best);
    }
    put_f64(t, "seconds", s->seconds);
    put_f64(t, "images_per_second", s->images_per_second);
    put_f64(t, "first_step_seconds", s->first_step_seconds);
    put_bytes(t, "planned_bytes", s->planned_bytes);
    put_bytes(t, "peak_memory_bytes", s->peak_bytes);
    put_i64(t, "steps", s->steps);
    put_string(t, "source_sha256", s->source_sha256);
    put_string(t, "data_sha256", s->data_sha256);
    put_string(t, "start_sha256", s->start_sha256);
    put_string(t, "order_sha256", s->order_sha256);
    put_string(t, "weights_sha256", s->sha256);
    put_string(t, "logits_sha256", *s->logits_sha256 ? s->logits_sha256 : NULL);
    zn_rt_text_printf(t, ",\"interrupted\":%s", s->interrupted ? "true" : "false");
    return end(log, e);
}
