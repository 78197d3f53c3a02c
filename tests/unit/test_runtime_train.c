/* Whole runs of a hand-made module through zn_rt_main: digests, logs, options, exit codes, schedules. */
#include "runtime/cpu.h"
#include "runtime/runtime.h"
#include "runtime/schedule.h"

#include "support/math.h"

#include "tests/unit/fake_module.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/zn_test_train_XXXXXX";
static char out_text[20000], err_text[20000];
static const zn_rt_late *late; /* of the next runs */

static void read_text(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "rb");
    text[0] = '\0';
    if (!f)
        return;
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
}

static char *in_directory(const char *name) {
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", directory, name);
    return path[turn];
}

/* Runs a command line (words parted by spaces; @ stands for the test's directory), keeping what it prints. */
static int run(const zn_module_desc *m, const char *line) {
    char words[1000], *argv[40];
    int argc = 0, saved[2] = {dup(1), dup(2)};
    size_t n = 0;
    fflush(stdout);
    fflush(stderr);
    for (; *line && n < sizeof words - 200; line++) {
        if (*line == '@')
            n += (size_t)snprintf(words + n, 100, "%s", directory);
        else
            words[n++] = *line;
    }
    words[n] = '\0';
    argv[argc++] = (char *)(uintptr_t)"fake";
    for (char *w = strtok(words, " "); w && argc < 39; w = strtok(NULL, " "))
        argv[argc++] = w;
    argv[argc] = NULL;
    for (int i = 0; i < 2; i++) {
        int fd = open(in_directory(i ? "stderr" : "stdout"), O_CREAT | O_TRUNC | O_WRONLY, 0666);
        dup2(fd, 1 + i);
        close(fd);
    }
    int code = late ? zn_rt_main_late(m, late, argc, argv) : zn_rt_main(m, argc, argv);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], 1 + i);
        close(saved[i]);
    }
    read_text(in_directory("stdout"), out_text, sizeof out_text);
    read_text(in_directory("stderr"), err_text, sizeof err_text);
    return code;
}

static int run_default(const char *line) {
    fake_options o = fake_default();
    return run(fake_module(&o), line);
}

/* The digest that the last run printed; "" if none. */
static const char *digest(void) {
    static char all[8][80];
    static int turn;
    turn = (turn + 1) % 8;
    const char *p = strstr(out_text, "weights sha256:");
    snprintf(all[turn], sizeof all[turn], "%.64s", p ? p + 15 : "");
    return all[turn];
}

/* The digest of the start that the last run printed. */
static const char *start_digest(void) {
    static char text[80];
    const char *p = strstr(out_text, "start   sha256:");
    snprintf(text, sizeof text, "%.64s", p ? p + 15 : "");
    return text;
}

/* Event number i of a log, or NULL; the caller's to decref. */
static json_t *event(const char *path, int i) {
    char line[4000];
    FILE *f = fopen(path, "r");
    json_t *v = NULL;
    while (f && fgets(line, sizeof line, f))
        if (i-- == 0)
            v = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    if (f)
        fclose(f);
    return v;
}

static void expect_event(const char *path, int i, const char *name) {
    json_t *v = event(path, i);
    const char *got = json_string_value(json_object_get(v, "event"));
    CU_ASSERT_STRING_EQUAL(got ? got : "nothing", name);
    json_decref(v);
}

static double number(const char *path, int i, const char *key) {
    json_t *v = event(path, i), *x = json_object_get(v, key);
    double d = json_is_number(x) ? json_number_value(x) : (double)NAN;
    json_decref(v);
    return d;
}

static void same_bits(void) {
    const char *lines[] = {"--steps 40 --threads 1 --progress none",
                           "--steps 40 --threads 2 --progress none --log @/l.jsonl --log-every 7",
                           "--steps 40 --threads 3 --progress plain",
                           "--steps 40 --threads 2 --out @/out --eval-first",
                           "--steps 40 --seed 2",
                           "--steps 41"};
    char first[80] = "";
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL_FATAL(run_default(lines[i]), 0);
        CU_ASSERT_EQUAL(strlen(digest()), 64);
        if (i == 0) {
            snprintf(first, sizeof first, "%s", digest());
        } else if (i < 4) {
            CU_ASSERT_STRING_EQUAL(digest(), first);
        } else {
            CU_ASSERT_STRING_NOT_EQUAL(digest(), first);
        }
    }
    /* sha256sum agrees */
    char command[300], text[100] = "";
    snprintf(command, sizeof command, "sha256sum %s/out/weights.safetensors", directory);
    FILE *p = popen(command, "r");
    if (p && fgets(text, sizeof text, p))
        text[64] = '\0';
    if (p)
        pclose(p);
    CU_ASSERT_STRING_EQUAL(text, first);
    /* The layout of the input does not matter either. */
    fake_options o = fake_default();
    o.halo = 2;
    CU_ASSERT_EQUAL(run(fake_module(&o), "--steps 40 --progress none"), 0);
    CU_ASSERT_STRING_EQUAL(digest(), first);
    o.halo = 0;
    o.rank = 1;
    CU_ASSERT_EQUAL(run(fake_module(&o), "--steps 40 --progress none"), 0);
    CU_ASSERT_STRING_EQUAL(digest(), first);
}

static void whole_run(void) {
    CU_ASSERT_EQUAL_FATAL(run_default("--out @/whole --log @/whole.jsonl --eval-first --log-every 100"), 0);
    const char *log = in_directory("whole.jsonl");
    char a[20000], b[20000];
    read_text(log, a, sizeof a);
    read_text(in_directory("whole/log.jsonl"), b, sizeof b);
    CU_ASSERT_STRING_EQUAL(a, b);
    const char *names[] = {"start", "initial", "step", "epoch", "step", "step", "epoch", "end"};
    for (int i = 0; i < 8; i++)
        expect_event(log, i, names[i]);
    json_t *start = event(log, 0), *end = event(log, 7);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(start, "seed")), 1);
    CU_ASSERT_EQUAL(json_number_value(json_object_get(json_object_get(start, "overrides"), "train.lr")), 0.05);
    CU_ASSERT_EQUAL(json_string_length(json_object_get(start, "data_sha256")), 64);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(end, "weights_sha256")), digest());
    const char *begun = json_string_value(json_object_get(start, "start_sha256"));
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(end, "start_sha256")), begun);
    CU_ASSERT_STRING_EQUAL(begun, start_digest());
    CU_ASSERT_STRING_NOT_EQUAL(begun, digest());
    CU_ASSERT_TRUE(json_is_false(json_object_get(end, "interrupted")));
    json_decref(start);
    json_decref(end);
    CU_ASSERT_TRUE(number(log, 1, "train_loss") > 2 && number(log, 1, "test_accuracy") < 30);
    CU_ASSERT_EQUAL(number(log, 2, "step"), 100);
    CU_ASSERT_EQUAL(number(log, 4, "epoch"), 2);
    CU_ASSERT_EQUAL(number(log, 6, "test_accuracy"), number(log, 7, "test_accuracy"));
    CU_ASSERT_TRUE(number(log, 7, "test_accuracy") > 75);
    CU_ASSERT_TRUE(number(log, 6, "train_loss") < number(log, 3, "train_loss"));
    CU_ASSERT_TRUE(number(log, 7, "planned_bytes") > 0 && number(log, 7, "peak_memory_bytes") > 0);
    CU_ASSERT_TRUE(number(log, 7, "seconds") > number(log, 7, "first_step_seconds"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out_text, "test accuracy  "));
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "epoch 2/2   step 312/312"));
    /* Evaluating the file that was written gives the same numbers and digest. */
    char sha[80];
    snprintf(sha, sizeof sha, "%s", digest());
    double accuracy = number(log, 7, "test_accuracy");
    CU_ASSERT_EQUAL_FATAL(run_default("--eval --init-from @/whole/weights.safetensors --log @/eval.jsonl"), 0);
    CU_ASSERT_STRING_EQUAL(digest(), sha);
    CU_ASSERT_EQUAL(number(in_directory("eval.jsonl"), 1, "test_accuracy"), accuracy);
    CU_ASSERT_STRING_EQUAL(err_text, "");
    /* Zero steps write the initial weights; going on from a file works. */
    CU_ASSERT_EQUAL(run_default("--steps 0 --init-from @/whole/weights.safetensors"), 0);
    CU_ASSERT_STRING_EQUAL(digest(), sha);
    CU_ASSERT_EQUAL(run_default("--steps 1 --init-from @/whole/weights.safetensors"), 0);
    CU_ASSERT_STRING_NOT_EQUAL(digest(), sha);
}

static void ranks(void) {
    CU_ASSERT_EQUAL_FATAL(run_default("--steps 160 --log-every 0 --log-rank head --log @/r.jsonl"), 0);
    const char *log = in_directory("r.jsonl");
    const char *names[] = {"start", "rank", "epoch", "rank", "rank", "end"};
    const int steps[] = {0, 0, 0, 156, 160};
    for (int i = 0; i < 6; i++)
        expect_event(log, i, names[i]);
    for (int i = 1; i < 5; i++)
        if (i != 2)
            CU_ASSERT_EQUAL(number(log, i, "step"), steps[i]);
    CU_ASSERT_EQUAL(number(log, 1, "epoch"), 0);
    CU_ASSERT_EQUAL(number(log, 1, "rank"), number(log, 1, "rows")); /* a random start */
    CU_ASSERT_EQUAL(number(log, 3, "distinct_rows"), number(log, 3, "rows"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "    head.weight, "));
    CU_ASSERT_EQUAL(run_default("--steps 1 --log-rank heat --log @/r.jsonl"), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "did you mean `head`?"));
    expect_event(in_directory("r.jsonl"), 0, "start"); /* of the run before */
}

static void epochs_stretch(void) {
    CU_ASSERT_EQUAL(run_default("--epochs 1 --progress none --log @/e.jsonl --log-every 156"), 0);
    CU_ASSERT_EQUAL(number(in_directory("e.jsonl"), 1, "step"), 156);
    CU_ASSERT_TRUE(number(in_directory("e.jsonl"), 1, "lr") < 1e-5);
    CU_ASSERT_EQUAL(run_default("--steps 156 --progress none --log @/s.jsonl --log-every 156"), 0);
    CU_ASSERT_TRUE(fabs(number(in_directory("s.jsonl"), 1, "lr") - 0.025) < 1e-3);
    CU_ASSERT_EQUAL(run_default("--steps 1000 --progress none --log @/t.jsonl --log-every 0"), 0);
    expect_event(in_directory("t.jsonl"), 2, "epoch");
    expect_event(in_directory("t.jsonl"), 3, "end");
}

static void not_finite(void) {
    fake_options o = fake_default();
    o.lr = 1e38;
    CU_ASSERT_EQUAL(run(fake_module(&o), "--out @/nan --progress none"), 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "fake: error: the loss is not finite at step"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "written by softmax head (phase 0, kernel softmax_forward)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "--> fake.znet:3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "    3 |   flatten head: linear(10)"));
    struct stat st;
    CU_ASSERT_NOT_EQUAL(stat(in_directory("nan/weights.safetensors"), &st), 0);
    CU_ASSERT_EQUAL(stat(in_directory("nan/log.jsonl"), &st), 0);
    CU_ASSERT_STRING_EQUAL(out_text, "");
    /* The last update may do harm that no later loss sees. */
    o.lr = 3e38;
    o.epochs = 1;
    o.data.normalize = ZN_NORMALIZE_GIVEN;
    o.data.nchannels = 1;
    o.data.mean = &(double){0.0};
    o.data.deviation = &(double){1e-6};
    CU_ASSERT_EQUAL(run(fake_module(&o), "--steps 1 --progress none"), 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "head.weight has a value that is not finite"));
}

static void usage(void) {
    const struct {
        const char *line, *message;
    } all[] = {{"--epoch-count 3", "unknown option `--epoch-count`"},
               {"--thread=3 --treads 3", "did you mean `--threads`?"},
               {"--sede=7", "unknown option `--sede`; did you mean `--seed`?"},
               {"-x", "unknown option `-x`"},
               {"--threads", "`--threads` needs a value"},
               {"--threads 0", "--threads is `0`; it takes a whole number from 1 to 256"},
               {"--threads 257", "from 1 to 256"},
               {"--epochs 0", "--epochs is `0`"},
               {"--epochs x", "--epochs is `x`; it takes a number above 0"},
               {"--steps -1", "--steps is `-1`; it takes a whole number from 0"},
               {"--seed 99999999999999999999", "--seed is `99999999999999999999`; it takes a whole number"},
               {"--progress loud", "it takes auto, plain or none"},
               {"--eval=3", "takes none"},
               {"--eval --out x", "nothing for --out to write"},
               {"--eval --steps 3", "do not go with it"},
               {"model.znet", "`model.znet` is not an option"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int code = run_default(all[i].line);
        CU_ASSERT_EQUAL(code, 2);
        CU_ASSERT_PTR_NOT_NULL(strstr(err_text, all[i].message));
        if (!strstr(err_text, all[i].message))
            fprintf(stderr, "%s: %s", all[i].line, err_text);
    }
    CU_ASSERT_EQUAL(run_default("--help"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(out_text, "usage: fake [OPTIONS]"));
    CU_ASSERT_EQUAL(run_default("--version"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(out_text, "fake, compiled from fake.znet"));
    CU_ASSERT_EQUAL(run_default("--print-source"), 0);
    CU_ASSERT_EQUAL(strncmp(out_text, "model fake {\n", 13), 0);
    fake_options o = fake_default();
    zn_module_desc m = *fake_module(&o);
    m.train.warmup = 5;
    CU_ASSERT_EQUAL(run(&m, "--epochs 5"), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "the warm-up of 780 steps is not shorter than the run of 780 steps"));
    m.abi_version = 99;
    CU_ASSERT_EQUAL(run(&m, ""), 70);
}

static void files(void) {
    /* --log may name the log of --out: it is written once. */
    CU_ASSERT_EQUAL(run_default("--steps 1 --out @/one --log @/one/log.jsonl"), 0);
    expect_event(in_directory("one/log.jsonl"), 0, "start");
    expect_event(in_directory("one/log.jsonl"), 1, "end");
    CU_ASSERT_EQUAL(run_default("--out /nowhere/deep --steps 1"), 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "cannot make the directory /nowhere/deep"));
    CU_ASSERT_EQUAL(run_default("--out /proc --steps 1"), 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "cannot write in the directory /proc"));
    CU_ASSERT_EQUAL(run_default("--log /nowhere/l.jsonl --steps 1"), 3);
    CU_ASSERT_EQUAL(run_default("--log /dev/full --steps 1"), 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "cannot write the log /dev/full: No space left"));
    CU_ASSERT_EQUAL(run_default("--init-from /nowhere/w --steps 1"), 3);
    fake_options o = fake_default();
    fake_source(&o, "mnist");
    fake_text(&o, "dir", "/nowhere");
    CU_ASSERT_EQUAL(run(fake_module(&o), ""), 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "--data DIR says where the data is"));
    /* Weights of another network. */
    CU_ASSERT_EQUAL_FATAL(run_default("--steps 0 --out @/small"), 0);
    o = fake_default();
    fake_source(&o, "noise");
    static const char *const names[6] = {"h", "w", "c", "classes", "n", "seed"};
    for (int i = 0; i < 6; i++)
        fake_number(&o, names[i], ((const int64_t[]){4, 4, 2, 3, 200, 1})[i]);
    o.height = o.width = 4, o.channels = 2, o.classes = 3;
    CU_ASSERT_EQUAL(run(fake_module(&o), "--init-from @/small/weights.safetensors"), 12);
    CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "head.weight is [10, 784]; the network has [3, 32]"));
    CU_ASSERT_EQUAL(run(fake_module(&o), "--epochs 3 --progress none"), 0);
}

static void interrupts(void) {
    fake_options o = fake_default();
    o.interrupt_at = 64 * 9;
    o.interrupts = 1;
    CU_ASSERT_EQUAL(run(fake_module(&o), "--out @/stopped --log-every 1 --progress none"), 75);
    CU_ASSERT_EQUAL(strncmp(out_text, "interrupted\n", 12), 0);
    CU_ASSERT_STRING_EQUAL(err_text, "");
    char stopped[80];
    snprintf(stopped, sizeof stopped, "%s", digest());
    const char *log = in_directory("stopped/log.jsonl");
    expect_event(log, 10, "step");
    expect_event(log, 11, "end");
    json_t *end = event(log, 11);
    CU_ASSERT_TRUE(json_is_true(json_object_get(end, "interrupted")));
    json_decref(end);
    o.interrupt_at = -1; /* what was written is what ten steps give */
    CU_ASSERT_EQUAL(run(fake_module(&o), "--steps 10 --progress none"), 0);
    CU_ASSERT_STRING_EQUAL(digest(), stopped);
    /* Twice: at once, in a process of its own; nothing is left under a final name. */
    pid_t child = fork();
    CU_ASSERT_TRUE_FATAL(child >= 0);
    if (child == 0) {
        o.interrupt_at = 64 * 2;
        o.interrupts = 2;
        _exit(run(fake_module(&o), "--threads 1 --out @/twice --progress none") == 75 ? 1 : 2); /* not reached */
    }
    int status = 0;
    waitpid(child, &status, 0);
    struct stat st;
    CU_ASSERT_TRUE(WIFEXITED(status));
    CU_ASSERT_EQUAL(WEXITSTATUS(status), 75);
    CU_ASSERT_NOT_EQUAL(stat(in_directory("twice/weights.safetensors"), &st), 0);
}

static void schedules(void) {
    const double at[2] = {2, 3.5};
    zn_train_desc d = {.lr_kind = ZN_LR_CONSTANT, .lr = 0.1};
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 0), 0.1f);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 99), 0.1f);
    d.warmup = 0.45; /* round(4.5) = 5 */
    CU_ASSERT_EQUAL(zn_rt_warmup_steps(&d, 10), 5);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 0), (float)(0.1 / 5));
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 4), 0.1f);
    d = (zn_train_desc){.lr_kind = ZN_LR_STEP, .lr = 1, .factor = 0.1, .nat = 2, .at = at};
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 19), 1.0f);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 20), 0.1f);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 34), 0.1f);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 100, 35), (float)(1 * 0.1 * 0.1));
    d = (zn_train_desc){.lr_kind = ZN_LR_COSINE, .lr = 0.1, .warmup = 1, .end = 0.01};
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 110, 9), 0.1f);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 110, 10), 0.1f);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 10, 110, 60), (float)0.055);
    for (int t = 10; t < 110; t++) {
        double want = 0.01 + 0.09 * (1 + cos(M_PI * (t - 10) / 100)) / 2;
        CU_ASSERT_TRUE(fabs((double)zn_rt_learning_rate(&d, 10, 110, t) - want) < 1e-8);
    }
}

typedef struct maker {
    zn_phase phase;    /* the evaluation's only one */
    zn_kernel *kernel; /* its kernel */
    int calls;
    bool fails;
} maker;

static int make(void *ctx, zn_rt_error *e) {
    maker *k = ctx;
    k->calls++;
    if (k->fails)
        return zn_rt_fail(e, 70, "nothing can be made");
    k->phase.kernel = k->kernel;
    return 0;
}

/* An evaluation that is made when it first runs: once, not before, and the same result. */
static void made_late(void) {
    fake_options o = fake_default();
    char first[80];
    CU_ASSERT_EQUAL_FATAL(run_default("--steps 40"), 0);
    snprintf(first, sizeof first, "%s", digest());
    for (int i = 0; i < 3; i++) {
        zn_module_desc m = *fake_module(&o);
        zn_program program[2] = {m.program[FAKE_TRAIN], m.program[FAKE_EVAL]};
        const zn_phase *made = &program[FAKE_EVAL].phase[0];
        maker k = {.phase = *made, .kernel = made->kernel, .fails = i == 2};
        k.phase.kernel = NULL;
        program[FAKE_EVAL].phase = &k.phase;
        m.program = program;
        late = &(zn_rt_late){make, &k};
        CU_ASSERT_EQUAL(run(&m, i == 0 ? "--steps 40 --eval-first" : "--steps 40"), k.fails ? 70 : 0);
        late = NULL;
        CU_ASSERT_EQUAL(k.calls, 1);
        if (k.fails) {
            CU_ASSERT_PTR_NOT_NULL(strstr(err_text, "nothing can be made"));
        } else {
            CU_ASSERT_STRING_EQUAL(digest(), first);
        }
    }
}

static void processors(void) {
    zn_rt_error e = {""};
    CU_ASSERT_EQUAL(zn_rt_cpu_check("", "any", &e), 0);
    CU_ASSERT_EQUAL(zn_rt_cpu_check("64bit,cmov,+cx8", "any", &e), 0);
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512fp16"))
        return; /* then there is nothing here that is surely missing */
    CU_ASSERT_EQUAL(zn_rt_cpu_check("+sse3,avx512fp16,popcnt,avxvnni", "sapphirerapids", &e), 2);
    CU_ASSERT_EQUAL(strncmp(e.text, "this processor has no avx512fp16", 32), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "compiled for sapphirerapids"));
#endif
}

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: runs", NULL, NULL);
    CU_add_test(s, "same bits", same_bits);
    CU_add_test(s, "whole run", whole_run);
    CU_add_test(s, "ranks", ranks);
    CU_add_test(s, "epochs stretch", epochs_stretch);
    CU_add_test(s, "not finite", not_finite);
    CU_add_test(s, "usage", usage);
    CU_add_test(s, "files", files);
    CU_add_test(s, "interrupts", interrupts);
    CU_add_test(s, "schedules", schedules);
    CU_add_test(s, "made late", made_late);
    CU_add_test(s, "processors", processors);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0 || failures != 0;
}
