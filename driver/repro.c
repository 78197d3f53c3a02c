/* See driver/repro.h. Everything comes from the log: the source as text, so that files that changed or went do not
 * matter, and options as the run had them. Only the data is read again from where it was. */
#include "driver/repro.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/sha256.h"
#include "support/buf.h"

/* A path of the log, from here. */
static const char *from_here(zn_repro *r, const char *path) {
    return path[0] == '/' || !r->directory ? path : zn_arena_printf(&r->arena, "%s/%s", r->directory, path);
}

static void take_words(zn_options *o, const json_t *list, zn_words *words) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)))
            zn_vec_push(&o->arena, words, json_string_value(json_array_get(list, i)));
}

static void add_argument(zn_options *o, zn_words *argv, const char *name, const char *value) {
    zn_vec_push(&o->arena, argv, name);
    if (value)
        zn_vec_push(&o->arena, argv, value);
}

/* Options of the training program, then those of the command line, then where this run's log goes. */
static int take_arguments(zn_repro *r, zn_options *o, char **error) {
    const json_t *all = json_object_get(r->log.start, "overrides"), *v;
    zn_words argv = {0};
    if ((v = json_object_get(all, "--data")) && json_is_string(v))
        add_argument(o, &argv, "--data", from_here(r, json_string_value(v)));
    if ((v = json_object_get(all, "--init-from")) && json_is_string(v))
        add_argument(o, &argv, "--init-from", from_here(r, json_string_value(v)));
    v = json_object_get(all, "--map");
    for (size_t i = 0; i < json_array_size(v); i++)
        add_argument(o, &argv, "--map", json_string_value(json_array_get(v, i)));
    if (isfinite(zn_event_number(all, "--epochs")))
        add_argument(o, &argv, "--epochs", zn_arena_printf(&r->arena, "%.17g", zn_event_number(all, "--epochs")));
    add_argument(
        o, &argv, "--seed",
        zn_arena_printf(&r->arena, "%" PRId64, (int64_t)json_integer_value(json_object_get(r->log.start, "seed"))));
    add_argument(
        o, &argv, "--steps",
        zn_arena_printf(&r->arena, "%" PRId64, (int64_t)json_integer_value(json_object_get(r->log.end, "steps"))));
    for (int i = 0; i < o->argc; i++) {
        if (!strncmp(o->argv[i], "--log", 5)) {
            zn_error_text(error, 3, "%s: the log of a repetition is read here and then removed; --out DIR keeps one",
                          o->argv[i]);
            return 2;
        }
        zn_vec_push(&o->arena, &argv, o->argv[i]);
    }
    int64_t every = 0; /* so that losses stand beside each other */
    const json_t *event;
    size_t i;
    json_array_foreach(r->log.events, i, event) if (!every && zn_event_is(event, "step")) every =
        json_integer_value(json_object_get(event, "step"));
    add_argument(o, &argv, "--log-every", zn_arena_printf(&r->arena, "%" PRId64, every > 0 ? every : 0));
    add_argument(o, &argv, "--log", r->copy);
    o->argc = (int)argv.n;
    o->argv = zn_new_n(&o->arena, char *, argv.n + 1);
    for (size_t k = 0; k < argv.n; k++)
        o->argv[k] = zn_arena_strdup(&o->arena, argv.at[k]);
    o->argv[argv.n] = NULL;
    return 0;
}

static int take_options(zn_repro *r, zn_options *o, char **error) {
    const json_t *all = json_object_get(r->log.start, "overrides");
    take_words(o, json_object_get(all, "-D"), &o->define);
    take_words(o, json_object_get(all, "--set"), &o->set);
    if (isfinite(zn_event_number(all, "-O")))
        o->level = (int)zn_event_number(all, "-O");
    o->conv = zn_event_text(r->log.start, "conv");
    o->gemm = zn_event_text(r->log.start, "gemm");
    o->verb = ZN_VERB_RUN;
    return take_arguments(r, o, error);
}

static int check_source(const zn_repro *r, const char *path, const char *text, char **error) {
    char digest[ZN_RT_SHA256_HEX];
    zn_rt_sha256 h;
    zn_rt_error e;
    int code = zn_rt_sha256_start(&h, &e);
    if (!code)
        code = zn_rt_sha256_add(&h, text, strlen(text), &e);
    if (!code)
        code = zn_rt_sha256_end(&h, digest, &e);
    if (code)
        return zn_error_text(error, 3, "%s", e.text);
    return strcmp(digest, zn_event_text(r->log.start, "source_sha256")) == 0
               ? 0
               : zn_error_text(error, 3,
                               "%s: the source in this log is not the one that its digest is of: the log was changed",
                               path);
}

static int take_source(zn_repro *r, const zn_options *o, zn_sources *s, zn_diags *d, char **error) {
    const char *text = zn_event_text(r->log.start, "source"), *path = zn_event_text(r->log.start, "source_path");
    int code = check_source(r, o->file, text, error);
    if (code)
        return code;
    const json_t *files = json_object_get(r->log.start, "source_files"), *file;
    size_t n = json_array_size(files), i;
    zn_source_place *places = zn_new_n(&r->arena, zn_source_place, n + 1);
    json_array_foreach(files, i, file) {
        const char *name = json_string_value(json_array_get(file, 0));
        int64_t line = json_integer_value(json_array_get(file, 1));
        if (!name || line < 1 || line > UINT32_MAX)
            return zn_error_text(error, 3, "%s: source_files is not a list of files and lines", o->file);
        places[i] = (zn_source_place){name, (uint32_t)line};
    }
    if (!zn_sources_take(s, path, text, places, n, d))
        return zn_error_text(error, 3, "%s: source_files does not fit the source", o->file);
    return 0;
}

int zn_repro_open(zn_repro *r, zn_options *o, zn_sources *s, zn_diags *d, char **error) {
    static const char *const needed[] = {"source",       "source_path", "source_sha256", "data_sha256",
                                         "start_sha256", "conv",        "gemm"};
    const char *tmp = getenv("TMPDIR");
    *r = (zn_repro){0};
    if (!zn_logfile_read(&r->log, o->file, error))
        return 3;
    if (!r->log.start)
        return zn_error_text(error, 3, "%s: has no start of a run", o->file);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!zn_event_text(r->log.start, needed[i]))
            return zn_error_text(error, 3, "%s: its start has no \"%s\": it was written by another version of znet",
                                 o->file, needed[i]);
    if (!r->log.end)
        return zn_error_text(error, 3, "%s: the run did not come to its end: there are no digests to compare with",
                             o->file);
    int n = snprintf(r->copy, sizeof r->copy, "%s/znetc-repro-XXXXXX", tmp && *tmp && strlen(tmp) < 30 ? tmp : "/tmp");
    int fd = n > 0 ? mkstemp(r->copy) : -1;
    if (fd < 0) {
        r->copy[0] = '\0';
        return zn_error_text(error, 3, "cannot make a temporary file for the log");
    }
    close(fd);
    const char *directory = zn_event_text(r->log.start, "directory");
    r->directory = directory && access(directory, F_OK) == 0 ? directory : NULL; /* on another machine: from here */
    int code = take_source(r, o, s, d, error);
    if (!code)
        code = take_options(r, o, error);
    o->file = zn_event_text(r->log.start, "source_path");
    return code;
}

/* ---- after the run */

/* The first step of both logs whose loss differs; 0: none. */
static int64_t first_other_loss(const zn_logfile *a, const zn_logfile *b) {
    size_t n = json_array_size(a->events), k = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(a->events, i), *y;
        if (!zn_event_is(x, "step"))
            continue;
        int64_t step = json_integer_value(json_object_get(x, "step"));
        while ((y = json_array_get(b->events, k)) &&
               !(zn_event_is(y, "step") && json_integer_value(json_object_get(y, "step")) >= step))
            k++;
        if (y && json_integer_value(json_object_get(y, "step")) == step &&
            !json_equal(json_object_get(x, "loss"), json_object_get(y, "loss")))
            return step;
    }
    return 0;
}

static bool same_key(const zn_logfile *a, const zn_logfile *b, const char *key) {
    return json_equal(json_object_get(a->start, key), json_object_get(b->start, key)) != 0;
}

static void print_json(zn_buf *out, const char *what, const json_t *then, const json_t *now) {
    char *a = json_dumps(then, JSON_ENCODE_ANY), *b = json_dumps(now, JSON_ENCODE_ANY);
    zn_buf_printf(out, "  %s then: %s\n  %s now:  %s\n", what, a ? a : "?", what, b ? b : "?");
    free(a);
    free(b);
}

/* Why what a program computes is another thing, where its source and data are the same. */
static void explain_bits(const zn_logfile *then, const zn_logfile *now, zn_buf *out) {
    bool known = false;
    static const char *const keys[] = {"versions", "cpu"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!same_key(then, now, keys[i])) {
            print_json(out, keys[i], json_object_get(then->start, keys[i]), json_object_get(now->start, keys[i]));
            known = true;
        }
    zn_buf_puts(out, known ? "  bits are promised for one version, on one kind of processor\n"
                           : "  versions and processor are the same: this should not happen\n");
}

static void explain(const zn_logfile *then, const zn_logfile *now, const char *what, zn_buf *out) {
    const json_t *from = json_object_get(json_object_get(then->start, "overrides"), "--init-from");
    zn_buf_printf(out, "the first that differs: %s\n", what);
    if (!strcmp(what, "source")) {
        zn_buf_puts(out, "  the log was changed\n");
    } else if (!strcmp(what, "data")) {
        zn_buf_puts(out, "  the files of the data set, or how znet reads them, are not what they were\n");
        if (!same_key(then, now, "versions"))
            print_json(out, "versions", json_object_get(then->start, "versions"),
                       json_object_get(now->start, "versions"));
    } else {
        if (!strcmp(what, "start") && json_is_string(from))
            zn_buf_printf(out, "  the run began with %s: is that file the same?\n", json_string_value(from));
        if (!strcmp(what, "order") && !same_key(then, now, "seed"))
            print_json(out, "seed", json_object_get(then->start, "seed"), json_object_get(now->start, "seed"));
        else
            explain_bits(then, now, out);
    }
    int64_t step = first_other_loss(then, now);
    if (step)
        zn_buf_printf(out, "  the first logged loss that differs is that of step %" PRId64 "\n", step);
}

int zn_repro_compare(const zn_repro *r, zn_buf *out, char **error) {
    static const char *const digests[] = {"source", "data", "start", "order", "weights", "logits"};
    zn_logfile now;
    const char *first = NULL;
    if (!zn_logfile_read(&now, r->copy, error))
        return 3;
    if (!now.start || !now.end) {
        zn_logfile_free(&now);
        return zn_error_text(error, 3, "the run did not come to its end");
    }
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_sha256", digests[i]);
        const char *a = zn_event_text(r->log.end, key), *b = zn_event_text(now.end, key);
        bool same = a && b ? !strcmp(a, b) : a == b;
        zn_buf_printf(out, "%-8s %s\n", digests[i], !same ? "DIFFERS" : a ? "same" : "same (none)");
        if (!same)
            zn_buf_printf(out, "  then %s\n  now  %s\n", a ? a : "none", b ? b : "none");
        if (!same && !first)
            first = digests[i];
    }
    if (first)
        explain(&r->log, &now, first, out);
    else
        zn_buf_puts(out, "the same to the bit\n");
    zn_logfile_free(&now);
    return first != NULL;
}

void zn_repro_close(zn_repro *r) {
    if (r->copy[0])
        unlink(r->copy);
    zn_logfile_free(&r->log);
    zn_arena_free(&r->arena);
}
