/* See driver/sweep.h. The first axis changes slowest: -D and --set in order of the command line, then seeds. */
#include "driver/sweep.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/logfile.h"
#include "runtime/error.h"
#include "support/buf.h"
#include "support/number.h"

enum { MOST_RUNS = 10000, MOST_SEEDS = 10000 };

/* A key and its values; that of seeds has no list. */
typedef struct axis {
    const char *key; /* "width", "train.lr", "seed" */
    zn_words *list;  /* of o, in which entry `at` is replaced */
    size_t at;
    zn_words values;
} axis;

typedef struct result {
    int code; /* of the process; -1: it did not run */
    double accuracy, loss;
} result;

typedef struct sweep {
    zn_options *o;
    zn_arena arena;
    ZN_VEC(axis) axes;
    const char *out; /* of --out */
    size_t n;        /* runs */
    size_t seeds;    /* runs of one row of the table */
    result *result;
} sweep;

/* Ends a value: a comma outside of brackets and quotes, or the end. */
static size_t value_length(const char *s) {
    int depth = 0;
    bool quoted = false;
    size_t n = 0;
    for (; s[n] && (quoted || depth > 0 || s[n] != ','); n++) {
        if (quoted && s[n] == '\\' && s[n + 1])
            n++;
        else if (s[n] == '"')
            quoted = !quoted;
        else if (!quoted && strchr("([{", s[n]))
            depth++;
        else if (!quoted && strchr(")]}", s[n]))
            depth--;
    }
    return n;
}

static bool has_several(const zn_words *list) {
    for (size_t i = 0; i < list->n; i++) {
        const char *value = strchr(list->at[i], '=') + 1;
        if (value[value_length(value)])
            return true;
    }
    return false;
}

bool zn_sweep_wanted(const zn_options *o) {
    return o->verb == ZN_VERB_RUN && (o->seeds || has_several(&o->define) || has_several(&o->set));
}

static int usage(const char *text, const char *what) {
    fprintf(stderr, "znetc: error: %s%s\n", text, what);
    return 2;
}

static void add_axes(sweep *w, zn_words *list) {
    for (size_t i = 0; i < list->n; i++) {
        const char *s = list->at[i], *value = strchr(s, '=') + 1;
        if (!value[value_length(value)])
            continue;
        axis a = {.key = zn_arena_strndup(&w->arena, s, (size_t)(value - 1 - s)), .list = list, .at = i};
        for (;;) {
            size_t n = value_length(value);
            zn_vec_push(&w->arena, &a.values, zn_arena_strndup(&w->arena, value, n));
            if (!value[n])
                break;
            value += n + 1;
        }
        zn_vec_push(&w->arena, &w->axes, a);
    }
}

/* 1..5, 1,2,7 or 1..3,9 */
static int add_seeds(sweep *w) {
    axis a = {.key = "seed"};
    w->seeds = 1;
    if (!w->o->seeds)
        return 0;
    for (const char *s = w->o->seeds;;) {
        size_t n = strcspn(s, ",");
        const char *dots = strstr(s, "..");
        int64_t first, last;
        size_t k = dots && dots < s + n ? (size_t)(dots - s) : n;
        bool ok = zn_i64_parse(s, k, &first);
        last = first;
        if (ok && k < n)
            ok = zn_i64_parse(s + k + 2, n - k - 2, &last) && last >= first;
        if (!ok || (uint64_t)last - (uint64_t)first >= MOST_SEEDS || a.values.n + (size_t)(last - first) >= MOST_SEEDS)
            return usage("--seeds takes whole numbers and ranges, as in 1..5 or 1,2,7, not ", w->o->seeds);
        for (int64_t x = first;; x++) {
            zn_vec_push(&w->arena, &a.values, zn_arena_printf(&w->arena, "%" PRId64, x));
            if (x == last)
                break;
        }
        if (!s[n])
            break;
        s += n + 1;
    }
    w->seeds = a.values.n;
    zn_vec_push(&w->arena, &w->axes, a);
    return 0;
}

static const char *value_of(const sweep *w, size_t run, size_t axis_index) {
    for (size_t i = w->axes.n - 1; i > axis_index; i--)
        run /= w->axes.at[i].values.n;
    const axis *a = &w->axes.at[axis_index];
    return a->values.at[run % a->values.n];
}

/* "width=8,seed=1", of characters that a name may have. */
static char *name_of(sweep *w, size_t run) {
    zn_buf b = {0};
    for (size_t i = 0; i < w->axes.n; i++)
        zn_buf_printf(&b, "%s%s=%s", i ? "," : "", w->axes.at[i].key, value_of(w, run, i));
    char *name = zn_arena_strdup(&w->arena, zn_buf_str(&b));
    zn_buf_free(&b);
    for (char *p = name; *p; p++)
        if (*p == '/' || *p == '"' || *p == '\\' || (unsigned char)*p <= ' ')
            *p = '_';
    return name;
}

/* Takes --out from the arguments behind `--`; what is left stays in order. */
static int take_out(sweep *w) {
    zn_options *o = w->o;
    int n = 0;
    for (int i = 0; i < o->argc; i++) {
        char *a = o->argv[i];
        if (!strcmp(a, "--out") && i + 1 < o->argc)
            w->out = o->argv[++i];
        else if (!strncmp(a, "--out=", 6))
            w->out = a + 6;
        else if (o->seeds && (!strcmp(a, "--seed") || !strncmp(a, "--seed=", 7)))
            return usage("--seeds names the seeds: --seed has no use", "");
        else if (!strcmp(a, "--log") || !strncmp(a, "--log=", 6))
            return usage("several runs do not share one log: --out DIR has one of each", "");
        else
            o->argv[n++] = a;
    }
    o->argc = n;
    return w->out ? 0 : usage("several runs need a directory for their results: -- --out DIR", "");
}

static int open_sweep(sweep *w) {
    if (!strcmp(w->o->file, "-"))
        return usage("several runs of standard input: name a file", "");
    int code = take_out(w);
    add_axes(w, &w->o->define);
    add_axes(w, &w->o->set);
    if (!code)
        code = add_seeds(w);
    w->n = 1;
    for (size_t i = 0; i < w->axes.n && !code; i++) {
        w->n *= w->axes.at[i].values.n;
        if (w->n > MOST_RUNS)
            code = usage("these are more than 10000 runs", "");
    }
    if (code)
        return code;
    for (size_t i = 0; i < w->axes.n; i++) /* names differ where values do */
        for (size_t k = 0; k < w->axes.at[i].values.n; k++)
            for (size_t l = 0; l < k; l++)
                if (!strcmp(w->axes.at[i].values.at[k], w->axes.at[i].values.at[l]))
                    return usage("a value is given twice: ",
                                 zn_arena_printf(&w->arena, "%s=%s", w->axes.at[i].key, w->axes.at[i].values.at[k]));
    if (mkdir(w->out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "znetc: error: cannot make the directory %s: %s\n", w->out, strerror(errno));
        return 3;
    }
    w->result = zn_new_n(&w->arena, result, w->n);
    for (size_t i = 0; i < w->n; i++)
        w->result[i] = (result){-1, (double)NAN, (double)NAN};
    return 0;
}

/* Makes o that of one run; strings live as long as the process. */
static void become(sweep *w, size_t run, const char *directory) {
    zn_options *o = w->o;
    char **argv = zn_new_n(&o->arena, char *, (size_t)o->argc + 5);
    int n = o->argc;
    memcpy(argv, o->argv, (size_t)n * sizeof *argv);
    for (size_t i = 0; i < w->axes.n; i++) {
        const axis *a = &w->axes.at[i];
        const char *value = value_of(w, run, i);
        if (a->list) {
            a->list->at[a->at] = zn_arena_printf(&o->arena, "%s=%s", a->key, value);
            continue;
        }
        argv[n++] = zn_arena_strdup(&o->arena, "--seed");
        argv[n++] = zn_arena_strdup(&o->arena, value);
    }
    argv[n++] = zn_arena_strdup(&o->arena, "--out");
    argv[n++] = zn_arena_strdup(&o->arena, directory);
    argv[n] = NULL;
    o->argv = argv;
    o->argc = n;
    o->seeds = NULL;
}

static volatile sig_atomic_t running, stopped;

/* The terminal signals all processes; other senders mean the sweep, and the run is asked to stop as well. */
static void pass_on(int signal) {
    stopped = 1;
    if (running && signal != SIGINT)
        kill(running, signal);
}

/* Waits for a run; signals are passed on to it meanwhile. */
static int wait_for(pid_t pid) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = pass_on}, old[3];
    int status = 0;
    running = (sig_atomic_t)pid;
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &action, &old[i]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    running = 0;
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &old[i], NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void read_result(result *r, const char *directory) {
    zn_logfile log;
    zn_buf path = {0};
    char *error = NULL;
    zn_buf_printf(&path, "%s/log.jsonl", directory);
    if (zn_logfile_read(&log, zn_buf_str(&path), &error)) {
        r->accuracy = zn_event_number(log.end, "test_accuracy");
        r->loss = zn_event_number(log.end, "test_loss");
        zn_logfile_free(&log);
    }
    free(error);
    zn_buf_free(&path);
}

/* ---- the table */

typedef struct mean {
    size_t n;
    double mean, deviation; /* of a sample; NaN: fewer than 2 */
} mean;

static mean mean_of(const result *r, size_t n, bool accuracy) {
    mean m = {0, 0, (double)NAN};
    double spread = 0;
    for (size_t i = 0; i < n; i++)
        if (r[i].code == 0 && isfinite(accuracy ? r[i].accuracy : r[i].loss)) {
            m.n++;
            m.mean += accuracy ? r[i].accuracy : r[i].loss;
        }
    m.mean = m.n ? m.mean / (double)m.n : (double)NAN;
    for (size_t i = 0; i < n; i++)
        if (r[i].code == 0 && isfinite(accuracy ? r[i].accuracy : r[i].loss)) {
            double d = (accuracy ? r[i].accuracy : r[i].loss) - m.mean;
            spread += d * d;
        }
    if (m.n > 1)
        m.deviation = sqrt(spread / (double)(m.n - 1));
    return m;
}

static void print_number(double x, int digits, int width) {
    if (isfinite(x))
        printf("%*.*f", width, digits, x);
    else
        printf("%*s", width, "-");
}

static int column_width(const sweep *w, size_t axis_index) {
    const axis *a = &w->axes.at[axis_index];
    size_t n = strlen(a->key);
    for (size_t i = 0; i < a->values.n; i++)
        n = strlen(a->values.at[i]) > n ? strlen(a->values.at[i]) : n;
    return (int)n;
}

static void print_values(const sweep *w, size_t run, size_t axes) {
    for (size_t i = 0; i < axes; i++)
        printf("%-*s  ", column_width(w, i), run < w->n ? value_of(w, run, i) : w->axes.at[i].key);
}

static void print_table(const sweep *w) {
    size_t axes = w->axes.n - (w->o->seeds != NULL);
    print_values(w, w->n, w->axes.n);
    printf("test accuracy  test loss\n");
    for (size_t run = 0; run < w->n; run++) {
        print_values(w, run, w->axes.n);
        print_number(w->result[run].accuracy, 2, 11);
        printf("%s", isfinite(w->result[run].accuracy) ? " %" : "  ");
        print_number(w->result[run].loss, 4, 11);
        if (w->result[run].code > 0)
            printf("  exit code %d", w->result[run].code);
        printf("%s\n", w->result[run].code < 0 ? "  did not run" : "");
    }
    if (w->seeds < 2)
        return;
    putchar('\n');
    print_values(w, w->n, axes);
    printf("runs  test accuracy: mean, deviation  test loss: mean, deviation\n");
    for (size_t run = 0; run < w->n; run += w->seeds) {
        mean a = mean_of(w->result + run, w->seeds, true), l = mean_of(w->result + run, w->seeds, false);
        print_values(w, run, axes);
        printf("%4zu  ", l.n);
        print_number(a.mean, 2, 19);
        printf(" %%");
        print_number(a.deviation, 2, 10);
        print_number(l.mean, 4, 17);
        print_number(l.deviation, 4, 11);
        putchar('\n');
    }
}

int zn_sweep(zn_options *o, bool *child) {
    sweep w = {.o = o};
    int code = open_sweep(&w);
    *child = false;
    if (code) {
        zn_arena_free(&w.arena);
        return code;
    }
    stopped = 0;
    for (size_t run = 0; run < w.n && !stopped; run++) {
        const char *name = name_of(&w, run), *directory = zn_arena_printf(&w.arena, "%s/%s", w.out, name);
        fprintf(stderr, "%s[%zu/%zu] %s\n", run ? "\n" : "", run + 1, w.n, name);
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            become(&w, run, directory);
            zn_arena_free(&w.arena);
            *child = true;
            return 0;
        }
        w.result[run].code = pid < 0 ? ZN_RT_MEMORY : wait_for(pid);
        if (w.result[run].code == ZN_RT_STOPPED)
            stopped = 1;
        if (w.result[run].code == 0)
            read_result(&w.result[run], directory);
        if (!code)
            code = w.result[run].code;
    }
    putchar('\n');
    print_table(&w);
    zn_arena_free(&w.arena);
    return fflush(stdout) || ferror(stdout) ? 3 : stopped ? ZN_RT_STOPPED : code;
}
