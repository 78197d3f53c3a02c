/* Weights files: bytes of the reference writer, permutation, what reading refuses, and writing that fails. */
#include "runtime/directory.h"
#include "runtime/weights.h"

#include "support/formula.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WEIGHT = 0, BIAS = 1, RUNNING_MEAN = 4, MOMENTUM = 7 };

static char directory[] = "/tmp/zn_test_weights_XXXXXX";
static char path[160];

static zn_tensor_desc tensor(const char *name, uint64_t role, uint64_t rank, int64_t a, int64_t b, int64_t c, int64_t d,
                             uint64_t offset) {
    return (zn_tensor_desc){.name = name,
                            .role = role,
                            .rank = rank,
                            .dim = {a, b, c, d},
                            .offset = offset,
                            .formula = ZN_FORMULA_CONST,
                            .in_file = role != MOMENTUM,
                            .trained = 1};
}

static zn_module_desc module(const zn_tensor_desc *t, uint64_t n) {
    return (zn_module_desc){.ntensor = n, .tensor = t, .param_size = 1 << 16};
}

static size_t read_back(char *out, size_t size) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t n = fread(out, 1, size, f);
    fclose(f);
    return n;
}

static void golden(void) {
    const zn_tensor_desc t = tensor("w", WEIGHT, 1, 2, 0, 0, 0, 0);
    const zn_module_desc m = module(&t, 1);
    float param[2] = {1.0f, -2.0f};
    char sha[ZN_RT_SHA256_HEX], again[ZN_RT_SHA256_HEX], file[200];
    zn_rt_error e;
    CU_ASSERT_EQUAL_FATAL(zn_rt_weights_save(&m, (char *)param, directory, "weights.safetensors", sha, &e), 0);
    CU_ASSERT_STRING_EQUAL(sha, "dfaf80a0d67223f9724ca168f33c0c715e9fc81de19b5be882958b5edeb88b82");
    CU_ASSERT_EQUAL(zn_rt_weights_write(&m, (char *)param, NULL, "", again, &e), 0);
    CU_ASSERT_STRING_EQUAL(sha, again);
    CU_ASSERT_EQUAL(read_back(file, sizeof file), 104);
    CU_ASSERT_EQUAL(memcmp(file + 8,
                           "{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\":\"F32\",\"shape\":[2],"
                           "\"data_offsets\":[0,8]}}   ",
                           88),
                    0);
}

/* [kh, kw, in, out] = [2, 3, 4, 5] becomes [out, in, kh, kw]; names ascend; momentum stays away. */
static void orders(void) {
    const zn_tensor_desc t[] = {tensor("z.conv", WEIGHT, 4, 2, 3, 4, 5, 0), tensor("b.lin", WEIGHT, 2, 3, 2, 0, 0, 480),
                                tensor("b.lin.momentum", MOMENTUM, 2, 3, 2, 0, 0, 504),
                                tensor("a.mean", RUNNING_MEAN, 2, 2, 2, 0, 0, 528),
                                tensor("scalar", BIAS, 0, 0, 0, 0, 0, 544)};
    const zn_module_desc m = module(t, 5);
    static float param[137], copy[137];
    static char file[2000];
    char sha[ZN_RT_SHA256_HEX];
    zn_rt_error e;
    for (int i = 0; i < 137; i++)
        param[i] = (float)i;
    CU_ASSERT_EQUAL_FATAL(zn_rt_weights_save(&m, (char *)param, directory, "weights.safetensors", sha, &e), 0);
    size_t n = read_back(file, sizeof file - 1);
    uint64_t header;
    memcpy(&header, file, 8);
    CU_ASSERT_EQUAL(header % 8, 0);
    CU_ASSERT_EQUAL(n, 8 + header + 4 * (120 + 6 + 4 + 1));
    CU_ASSERT_PTR_NOT_NULL(strstr(file + 8, "\"a.mean\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                                            "\"b.lin\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]},"
                                            "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[40,44]},"
                                            "\"z.conv\":{\"dtype\":\"F32\",\"shape\":[5,4,2,3],"
                                            "\"data_offsets\":[44,524]}}"));
    float data[131];
    memcpy(data, file + 8 + header, sizeof data);
    const float linear[6] = {120, 122, 124, 121, 123, 125};
    CU_ASSERT_EQUAL(memcmp(data + 4, linear, sizeof linear), 0);
    CU_ASSERT_EQUAL(data[0], 132.0f);
    CU_ASSERT_EQUAL(data[10], 136.0f);
    for (int o = 0; o < 5; o++)
        for (int i = 0; i < 4; i++)
            for (int y = 0; y < 2; y++)
                for (int x = 0; x < 3; x++)
                    CU_ASSERT_EQUAL(data[11 + ((o * 4 + i) * 2 + y) * 3 + x], (float)(((y * 3 + x) * 4 + i) * 5 + o));
    memcpy(copy + 126, param + 126, 6 * sizeof(float)); /* momentum is not read */
    CU_ASSERT_EQUAL(zn_rt_weights_read(&m, (char *)copy, path, NULL, 0, &e), 0);
    CU_ASSERT_EQUAL(memcmp(copy, param, sizeof param), 0);
}

static void put_file(const char *header, size_t data_bytes, int64_t length) {
    static const float zeros[64];
    uint64_t n = length >= 0 ? (uint64_t)length : strlen(header);
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    fwrite(&n, 1, 8, f);
    fwrite(header, 1, strlen(header), f);
    fwrite(zeros, 1, data_bytes, f);
    fclose(f);
}

static void expect(int code, const char *header, size_t data_bytes, int64_t length, const char *message) {
    const zn_tensor_desc t = tensor("w", WEIGHT, 2, 2, 3, 0, 0, 0);
    const zn_module_desc m = module(&t, 1);
    float param[6] = {7, 7, 7, 7, 7, 7};
    zn_rt_error e = {""};
    put_file(header, data_bytes, length);
    int got = zn_rt_weights_read(&m, (char *)param, path, NULL, 0, &e);
    if (got != code || !strstr(e.text, message))
        fprintf(stderr, "%s\ngives %d: %s\n", header, got, e.text);
    CU_ASSERT_EQUAL(got, code);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, message));
    CU_ASSERT_EQUAL(param[0], code ? 7.0f : 0.0f); /* nothing changes on failure */
}

#define W "\"w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]}"

static void refusals(void) {
    expect(0, "{" W "}   ", 24, -1, "");
    expect(0, "{\"__metadata__\":{\"a\":\"b\",\"c\":\"d\"}," W "}", 24, -1, "");
    expect(0,
           "{\"n.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
           "\"w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[8,32]}}",
           32, -1, "");
    expect(3, "", 0, 1, "is longer than the file");
    expect(3, "{" W "}", 24, INT64_MAX, "is longer than the file");
    expect(3, "{" W "}", 23, -1, "has 23 bytes of data; its header describes 24");
    expect(3, "{" W "}", 25, -1, "has 25 bytes of data");
    expect(3, " {" W "}", 24, -1, "does not start with {");
    expect(3, "{" W, 24, -1, "not JSON");
    expect(3, "{" W "," W "}", 24, -1, "not JSON"); /* a key twice */
    expect(3, "{" W "} x", 24, -1, "not JSON");
    expect(3, "{\"w\":{\"dtype\":\"F32\",\"shape\":[3,2.0],\"data_offsets\":[0,24]}}", 24, -1, "shape");
    expect(3, "{\"w\":{\"dtype\":\"F32\",\"shape\":[3,-2],\"data_offsets\":[0,24]}}", 24, -1, "shape");
    expect(3, "{\"w\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,4],\"data_offsets\":[0,24]}}", 24, -1,
           "too large");
    expect(3, "{\"w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,20]}}", 20, -1, "do not hold");
    expect(3, "{\"w\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[4,28]}}", 28, -1, "gap");
    expect(3, "{\"w\":{\"dtype\":\"X32\",\"shape\":[3,2],\"data_offsets\":[0,24]}}", 24, -1, "dtype is not known");
    expect(3, "{\"w\":{\"dtype\":\"F32\",\"shape\":[3,2]}}", 24, -1, "an entry has");
    expect(3, "{\"w\":[]}", 24, -1, "an entry has");
    expect(3, "{\"__metadata__\":{\"a\":1}," W "}", 24, -1, "no string");
    expect(12, "{}", 0, -1, "w: the file has no such tensor");
    expect(12, "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", 24, -1,
           "w is [2, 3]; the network has [3, 2]");
    expect(12, "{\"w\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}", 24, -1, "w is [6]");
    expect(12, "{\"w\":{\"dtype\":\"I32\",\"shape\":[3,2],\"data_offsets\":[0,24]}}", 24, -1, "of dtype I32");
    expect(12, "{" W ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[24,28]}}", 28, -1,
           "x: the network has no such tensor");
}

/* A misfit lists all that does not fit; --map gives names. */
static void names(void) {
    const zn_tensor_desc t[] = {tensor("net.a", WEIGHT, 1, 2, 0, 0, 0, 0), tensor("net.b", WEIGHT, 1, 1, 0, 0, 0, 8)};
    const zn_module_desc m = module(t, 2);
    const char *file = "{\"fc.a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                       "\"fc.b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
    const struct {
        const char *map[2];
        int n, code;
        const char *text;
    } all[] = {{{NULL},
                0,
                12,
                "net.a: the file has no such tensor\n  net.b: the file has no such tensor\n  fc.a: the "
                "network has no such tensor\n  fc.b: the network has no such tensor"},
               {{"fc=net"}, 1, 0, ""},
               {{"fc.a=net.a", "fc.b=net.b"}, 2, 0, ""},
               {{"fc.a=net.a", "fc=net"}, 2, 0, ""}, /* the first that fits */
               {{"f=net"}, 1, 12, "has no tensor f, which --map f=net names"},
               {{"fc.a=net.b", "fc=net"}, 2, 12, "net.b: two tensors of the file have this name"},
               {{"fc.b=net.a", "fc.a=net.b"}, 2, 12, "net.a is [1]; the network has [2]\n  net.b is [2]"}};
    put_file(file, 12, -1);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        float param[3] = {7, 7, 7};
        zn_rt_error e = {""};
        CU_ASSERT_EQUAL(zn_rt_weights_read(&m, (char *)param, path, all[i].map, all[i].n, &e), all[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.text, all[i].text));
        CU_ASSERT_EQUAL(param[2], all[i].code ? 7.0f : 0.0f);
    }
    zn_rt_error e = {""};
    unlink(path);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0); /* does not block */
    CU_ASSERT_EQUAL(zn_rt_weights_read(&m, NULL, path, NULL, 0, &e), 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "is not a regular file"));
    unlink(path);
    put_file(file, 12, -1);
}

static int files_in(const char *name) {
    char command[200], text[16] = "";
    snprintf(command, sizeof command, "ls -A %s | wc -l", name);
    FILE *p = popen(command, "r");
    if (!p || !fgets(text, sizeof text, p))
        return -1;
    pclose(p);
    return atoi(text);
}

static void failing_writes(void) {
    const zn_tensor_desc t = tensor("w", WEIGHT, 1, 2, 0, 0, 0, 0);
    const zn_module_desc m = module(&t, 1);
    float param[2] = {1, NAN};
    char inner[128], sha[ZN_RT_SHA256_HEX];
    zn_rt_error e;
    zn_file full = {.fd = open("/dev/full", O_WRONLY), .slot = -1};
    if (full.fd >= 0) {
        CU_ASSERT_EQUAL(zn_rt_weights_write(&m, (char *)param, &full, "the file", sha, &e), ZN_RT_INPUT);
        CU_ASSERT_STRING_EQUAL(e.text, "the file: cannot write: No space left on device");
        zn_file_discard(&full);
    } else {
        printf(" skipped: no /dev/full ");
    }
    zn_rt_directory d;
    zn_rt_error notes = {""};
    CU_ASSERT_EQUAL(zn_rt_directory_open(&d, path, &notes, &e), ZN_RT_INPUT); /* a file */
    CU_ASSERT_EQUAL(zn_rt_directory_open(&d, "/nowhere/deeper", &notes, &e), ZN_RT_INPUT);
    snprintf(inner, sizeof inner, "%s/made", directory);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(zn_rt_directory_open(&d, inner, &notes, &e), 0);
        zn_rt_directory_close(&d);
    }
    CU_ASSERT_STRING_EQUAL(notes.text, "");
    CU_ASSERT_EQUAL(files_in(inner), 0);
    snprintf(path, sizeof path, "%s/weights.safetensors", inner);
    mkdir(path, 0777); /* so the rename fails, after everything else went well */
    CU_ASSERT_EQUAL(zn_rt_weights_save(&m, (char *)param, inner, "weights.safetensors", sha, &e), ZN_RT_INPUT);
    CU_ASSERT_EQUAL(files_in(inner), 1);
    CU_ASSERT_EQUAL(zn_rt_weights_finite(&m, (char *)param, &e), ZN_RT_NONFINITE);
    CU_ASSERT_STRING_EQUAL(e.text, "w has a value that is not finite; no weights are written");
    param[1] = 0;
    CU_ASSERT_EQUAL(zn_rt_weights_finite(&m, (char *)param, &e), 0);
}

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof path, "%s/weights.safetensors", directory);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: weights", NULL, NULL);
    CU_add_test(s, "golden", golden);
    CU_add_test(s, "orders", orders);
    CU_add_test(s, "refusals", refusals);
    CU_add_test(s, "names", names);
    CU_add_test(s, "failing writes", failing_writes);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0 || failures != 0;
}
