/* Checkpoints: what is kept, what damaged files and those of other runs give, and directories that belong to one run.
 */
#include "runtime/checkpoint.h"
#include "runtime/directory.h"

#include "support/formula.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/zn_test_checkpoint_XXXXXX";
static const zn_tensor_desc tensors[] = {
    {.name = "w", .rank = 2, .dim = {3, 4}, .offset = 0, .in_file = 1, .trained = 1},
    {.name = "scalar", .rank = 0, .offset = 64, .in_file = 1, .trained = 1},
    {.name = "w.momentum", .rank = 2, .dim = {3, 4}, .offset = 128}};
static const zn_module_desc module = {.name = "net",
                                      .source_sha256 = "aa",
                                      .overrides = "{\"-D\": [\"a=1\", \"b=2\"], \"-O\": 1}",
                                      .versions = "{}",
                                      .conv = "auto",
                                      .gemm = "auto",
                                      .ntensor = 3,
                                      .tensor = tensors,
                                      .train = {.lr_kind = ZN_LR_COSINE}};
static const zn_rt_identity identity = {&module, "dd", NULL, 7, 2.5, 100};

static char *path_of(int step) {
    static char path[200];
    snprintf(path, sizeof path, "%s/checkpoint-%d.znc", directory, step);
    return path;
}

static bool is_there(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

static zn_rt_reached reached(int64_t step) {
    zn_rt_reached at = {
        .step = step, .loss_sum = 0.1 * (double)step, .seconds = 2.5 * (double)step, .log_bytes = {-1, 1234}};
    memset(at.start_sha256, 'a', ZN_RT_SHA256_HEX - 1);
    memset(at.order_sha256, 'b', ZN_RT_SHA256_HEX - 1);
    return at;
}

static char param[192];

static void fill(float first) {
    for (size_t i = 0; i < 12; i++) {
        float x = first + (float)i, y = -x;
        memcpy(param + 4 * i, &x, 4);
        memcpy(param + 128 + 4 * i, &y, 4);
    }
    memcpy(param + 64, &first, 4);
}

static int write_step(int step) {
    zn_rt_error e = {""};
    zn_rt_reached at = reached(step);
    fill((float)step);
    int code = zn_rt_checkpoint_write(directory, &identity, &at, param, &e);
    if (code)
        fprintf(stderr, "%s\n", e.text);
    return code;
}

/* Reads a step's file by `id`; what it says goes to *e. */
static int read_as(const zn_rt_identity *id, int step, zn_rt_reached *at, zn_rt_error *e) {
    e->text[0] = '\0';
    memset(param, 0x55, sizeof param);
    return zn_rt_checkpoint_read(path_of(step), id, at, param, e);
}

static void round_trip(void) {
    zn_rt_error e;
    zn_rt_reached at;
    char before[sizeof param];
    CU_ASSERT_EQUAL_FATAL(write_step(3), 0);
    memcpy(before, param, sizeof param);
    CU_ASSERT_EQUAL_FATAL(read_as(&identity, 3, &at, &e), 0);
    CU_ASSERT_STRING_EQUAL(e.text, "");
    CU_ASSERT_EQUAL(memcmp(param, before, 48), 0);
    CU_ASSERT_EQUAL(memcmp(param + 64, before + 64, 4), 0);
    CU_ASSERT_EQUAL(param[68], 0x55); /* what lies between tensors is nobody's */
    CU_ASSERT_EQUAL(memcmp(param + 128, before + 128, 48), 0);
    zn_rt_reached right = reached(3);
    CU_ASSERT_EQUAL(at.step, 3);
    CU_ASSERT_EQUAL(at.loss_sum, right.loss_sum);
    CU_ASSERT_EQUAL(at.seconds, right.seconds);
    CU_ASSERT_STRING_EQUAL(at.start_sha256, right.start_sha256);
    CU_ASSERT_STRING_EQUAL(at.order_sha256, right.order_sha256);
    CU_ASSERT_EQUAL(at.log_bytes[0], -1);
    CU_ASSERT_EQUAL(at.log_bytes[1], 1234);
    CU_ASSERT_FALSE(at.ended);
    /* Memory that is laid out in another way takes the same file. */
    zn_tensor_desc moved[3] = {tensors[2], tensors[0], tensors[1]};
    moved[0].offset = 0;
    moved[1].offset = 64;
    moved[2].offset = 128;
    zn_module_desc m = module;
    m.tensor = moved;
    zn_rt_identity id = identity;
    id.m = &m;
    CU_ASSERT_EQUAL(read_as(&id, 3, &at, &e), 0);
    CU_ASSERT_EQUAL(memcmp(param, before + 128, 48), 0);
    CU_ASSERT_EQUAL(memcmp(param + 64, before, 48), 0);
}

static void two_are_kept(void) {
    int64_t step = 0, total = 0;
    for (int i = 1; i <= 12; i++)
        CU_ASSERT_EQUAL(write_step(i), 0);
    for (int i = 1; i <= 12; i++)
        CU_ASSERT_EQUAL(is_there(path_of(i)), i >= 11);
    CU_ASSERT_TRUE(zn_rt_checkpoint_unfinished(directory, &step, &total));
    CU_ASSERT_EQUAL(step, 12);
    CU_ASSERT_EQUAL(total, 100);
    /* One that was written after a later, damaged one takes its place. */
    CU_ASSERT_EQUAL(write_step(5), 0);
    CU_ASSERT_TRUE(is_there(path_of(5)));
    CU_ASSERT_FALSE(is_there(path_of(12)));
    zn_rt_checkpoint_clear(directory);
    CU_ASSERT_FALSE(is_there(path_of(5)));
    CU_ASSERT_FALSE(zn_rt_checkpoint_unfinished(directory, &step, &total));
}

static size_t file_size(const char *path) {
    struct stat st;
    return stat(path, &st) ? 0 : (size_t)st.st_size;
}

/* Every byte counts, and every length. */
static void damage(void) {
    zn_rt_error e;
    zn_rt_reached at;
    CU_ASSERT_EQUAL_FATAL(write_step(8), 0);
    size_t n = file_size(path_of(8));
    int fd = open(path_of(8), O_RDWR);
    for (size_t i = 0; i < n; i += i < 40 || i > n - 70 ? 1 : 17) {
        char c, wrong;
        CU_ASSERT_EQUAL(pread(fd, &c, 1, (off_t)i), 1);
        wrong = (char)(c ^ 4);
        CU_ASSERT_EQUAL(pwrite(fd, &wrong, 1, (off_t)i), 1);
        CU_ASSERT_EQUAL(read_as(&identity, 8, &at, &e), ZN_RT_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "checkpoint-8.znc: is damaged or cut"));
        CU_ASSERT_EQUAL(param[0], 0x55);
        CU_ASSERT_EQUAL(pwrite(fd, &c, 1, (off_t)i), 1);
    }
    CU_ASSERT_EQUAL(read_as(&identity, 8, &at, &e), 0);
    close(fd);
    for (size_t cut = n - 1; cut > 0; cut /= 2) {
        CU_ASSERT_EQUAL(truncate(path_of(8), (off_t)cut), 0);
        CU_ASSERT_EQUAL(read_as(&identity, 8, &at, &e), ZN_RT_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "cut"));
    }
    unlink(path_of(8));
    CU_ASSERT_EQUAL(mkfifo(path_of(8), 0600), 0);
    CU_ASSERT_EQUAL(read_as(&identity, 8, &at, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "is not a regular file"));
    unlink(path_of(8));
}

static void the_one_before(void) {
    zn_rt_error e = {""}, notes = {""};
    zn_rt_reached at;
    zn_rt_checkpoint_clear(directory);
    CU_ASSERT_EQUAL(zn_rt_checkpoint_resume(directory, &identity, &at, param, &notes, &e), 0);
    CU_ASSERT_EQUAL(at.step, -1);
    CU_ASSERT_EQUAL(write_step(10), 0);
    CU_ASSERT_EQUAL(write_step(20), 0);
    CU_ASSERT_EQUAL(truncate(path_of(20), 100), 0);
    CU_ASSERT_EQUAL(zn_rt_checkpoint_resume(directory, &identity, &at, param, &notes, &e), 0);
    CU_ASSERT_EQUAL(at.step, 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(notes.text, "checkpoint-20.znc: is damaged or cut"));
    CU_ASSERT_PTR_NOT_NULL(strstr(notes.text, "checkpoint-10.znc instead"));
    CU_ASSERT_EQUAL(truncate(path_of(10), 100), 0);
    CU_ASSERT_EQUAL(zn_rt_checkpoint_resume(directory, &identity, &at, param, &notes, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "all checkpoints in"));
    zn_rt_checkpoint_clear(directory);
}

static void differs(const zn_rt_identity *id, const char *message) {
    zn_rt_error e;
    zn_rt_reached at;
    CU_ASSERT_EQUAL(read_as(id, 30, &at, &e), ZN_RT_MISFIT);
    if (!strstr(e.text, message))
        fprintf(stderr, "%s\n", e.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, message));
    CU_ASSERT_EQUAL(param[0], 0x55);
}

static void other_runs(void) {
    zn_rt_error e;
    zn_rt_reached at;
    zn_rt_identity id = identity;
    zn_module_desc m = module;
    CU_ASSERT_EQUAL_FATAL(write_step(30), 0);
    id.seed = 8;
    id.data_sha256 = "ee";
    differs(&id, "is of another run:\n  digest of the data: dd there, ee here\n  seed: 7 there, 8 here");
    id = identity;
    id.epochs = 3;
    differs(&id, "epochs: 2.5 there, 3 here");
    id.init_from = "w.safetensors";
    differs(&id, "--init-from: none there, w.safetensors here");
    id = identity;
    id.m = &m;
    m.source_sha256 = "ab";
    differs(&id, "digest of the source: aa there, ab here");
    m = module;
    m.conv = "direct";
    differs(&id, "--conv: auto there, direct here");
    m = module;
    m.overrides = "{\"-D\": [\"a=1\", \"b=3\"], \"--set\": [\"c=1\"]}";
    differs(&id, "-D: [\"a=1\", \"b=2\"] there, [\"a=1\", \"b=3\"] here\n  --set: nothing there, [\"c=1\"] here");
    m.overrides = "{\"--march\": \"x86-64-v3\", \"-D\": [\"b=2\", \"a=1\"]}"; /* what changes no bit */
    CU_ASSERT_EQUAL(read_as(&id, 30, &at, &e), 0);
    m = module;
    m.ntensor = 2;
    differs(&id, "has 3 tensors; the program has 2");
    zn_tensor_desc t[3] = {tensors[0], tensors[1], tensors[2]};
    m = module;
    m.tensor = t;
    t[0].dim[1] = 5;
    differs(&id, "its tensor 0, w, is none of the program");
    /* a constant rate goes the same way, however long */
    m = module;
    m.train.lr_kind = ZN_LR_CONSTANT;
    id.epochs = 10;
    CU_ASSERT_EQUAL(read_as(&id, 30, &at, &e), 0);
    id.total = 29;
    differs(&id, "epochs:");
}

/* A full disk: the file is not there, and the last one is. */
static void no_room(void) {
    zn_rt_checkpoint_clear(directory);
    CU_ASSERT_EQUAL(write_step(1), 0);
    CU_ASSERT_EQUAL(write_step(2), 0);
    pid_t child = fork();
    CU_ASSERT_TRUE_FATAL(child >= 0);
    if (child == 0) {
        zn_rt_error e = {""};
        zn_rt_reached at = reached(3);
        struct rlimit limit = {500, 500};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        int code = zn_rt_checkpoint_write(directory, &identity, &at, param, &e);
        _exit(code == ZN_RT_INPUT && strstr(e.text, "cannot write: File too large") ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_TRUE(is_there(path_of(1)) && is_there(path_of(2)) && !is_there(path_of(3)));
    zn_rt_error e;
    zn_rt_reached at;
    CU_ASSERT_EQUAL(read_as(&identity, 2, &at, &e), 0);
}

static void locks(void) {
    zn_rt_directory a, b;
    zn_rt_error notes = {""}, e = {""};
    char left[300], kept[300];
    snprintf(left, sizeof left, "%s/.checkpoint-9.znc.AbCdEfGhIjKl.tmp", directory);
    snprintf(kept, sizeof kept, "%s/.train.AbCdEfGhIjKl.tmp", directory);
    close(open(left, O_CREAT | O_WRONLY, 0600));
    close(open(kept, O_CREAT | O_WRONLY, 0600));
    CU_ASSERT_EQUAL_FATAL(zn_rt_directory_open(&a, directory, &notes, &e), 0);
    CU_ASSERT_FALSE(is_there(left)); /* of a run that was killed */
    CU_ASSERT_TRUE(is_there(kept));  /* of another program */
    CU_ASSERT_EQUAL(zn_rt_directory_open(&b, directory, &notes, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "another run writes into"));
    zn_rt_directory_close(&a);
    CU_ASSERT_EQUAL(zn_rt_directory_open(&b, directory, &notes, &e), 0);
    zn_rt_directory_close(&b);
    pid_t child = fork(); /* a lock ends with its process */
    CU_ASSERT_TRUE_FATAL(child >= 0);
    if (child == 0) {
        if (!zn_rt_directory_open(&a, directory, &notes, &e))
            raise(SIGKILL);
        _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CU_ASSERT_TRUE(WIFSIGNALED(status));
    CU_ASSERT_EQUAL(zn_rt_directory_open(&b, directory, &notes, &e), 0);
    zn_rt_directory_close(&b);
    CU_ASSERT_STRING_EQUAL(notes.text, "");
    unlink(kept);
}

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: checkpoints", NULL, NULL);
    CU_add_test(s, "round trip", round_trip);
    CU_add_test(s, "two are kept", two_are_kept);
    CU_add_test(s, "damage", damage);
    CU_add_test(s, "the one before", the_one_before);
    CU_add_test(s, "other runs", other_runs);
    CU_add_test(s, "no room", no_room);
    CU_add_test(s, "locks", locks);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0 || failures != 0;
}
