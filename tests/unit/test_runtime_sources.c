/* Own data: files of numpy, tables, folders of pictures; sound ones, and what is wrong with others, by its message.
 * Also what is held out, labels of more than a byte, and statistics of floats. */
#include "runtime/csv.h"
#include "runtime/dataset.h"
#include "runtime/npy.h"
#include "runtime/order.h"
#include "runtime/statistics.h"

#include "tests/unit/fake_module.h"
#include "tests/unit/unit.h"

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/zn_test_sources_XXXXXX";

static const char *in_directory(const char *name) {
    static char path[128][160];
    static int next;
    char *p = path[next++ % 128];
    snprintf(p, sizeof path[0], "%s/%s", directory, name);
    return p;
}

static const char *put(const char *name, const void *at, size_t n) {
    const char *path = in_directory(name);
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    ZN_EQUAL_INT(fwrite(at, 1, n, f), n);
    fclose(f);
    return path;
}

static void says(const zn_rt_error *e, const char *expected) {
    bool said = strstr(e->text, expected) != NULL;
    CU_ASSERT_TRUE(said);
    if (!said)
        fprintf(stderr, "got: %s\nexpected: %s\n", e->text, expected);
}

/* ---- npy */

/* A file: magic, version, the length of the header, the header, and `bytes` bytes counting up. */
static size_t make_npy(uint8_t *out, int version, const char *header, size_t bytes) {
    size_t n = strlen(header), first = version == 1 ? 10 : 12;
    const uint8_t head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0, (uint8_t)n, (uint8_t)(n >> 8)};
    memcpy(out, head, first);
    memcpy(out + first, header, n);
    for (size_t i = 0; i < bytes; i++)
        out[first + n + i] = (uint8_t)i;
    return first + n + bytes;
}

static void npy_headers(void) {
    static const struct {
        const char *header;
        int version;
        size_t bytes;
        const char *message; /* NULL: sound */
    } cases[] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n", 1, 6, NULL},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n", 2, 6, NULL},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", 3, 6, NULL},
        {"{\"shape\":(6,),\"fortran_order\":False,\"descr\":\"<i4\"}   \n", 1, 24, NULL},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': ()}", 1, 8, NULL},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (6L,)}", 1, 24, NULL},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 3)}", 1, 0, NULL},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", 1, 6, "is in Fortran order"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 1, 8, "is big-endian (dtype `>f4`)"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 1, 16, "dtype `<c8`, which is not supported"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 1, 16, "dtype `|O`"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }", 1, 4, "dtype `<f2`"},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", 1, 2, "dtype `|b1`"},
        {"{'descr': '<u16', 'fortran_order': False, 'shape': (2,), }", 1, 2, "dtype `<u16`"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2,), }", 1, 2, "dtype ``"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 1, 8, "structured array"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 1, 5, "promises 1 bytes more"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 1, 7,
         "goes on after its last element, from byte"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 1, 6, "shape is too large"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807,), }", 1, 6, "shape is too large"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 9223372036854775807, 3), }", 1, 0, NULL},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775808,), }", 1, 6,
         "not a number, or is too large"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 6), }", 1, 6, "not a number, or is too large"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2 3), }", 1, 6, "not a number, or is too large"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6), }", 1, 6, "more than 8 dimensions"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,", 1, 6, "not a number, or is too large"},
        {"{'descr': '|u1', 'fortran_order': False, }", 1, 6, "lacks descr, fortran_order or shape"},
        {"{'descr': '|u1', 'descr': '|u1', 'shape': (6,), }", 1, 6, "unknown, twice"},
        {"{'descr': '|u1', 'fortran_order': 0, 'shape': (6,), }", 1, 6, "neither True nor False"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,), 'x': 1}", 1, 6, "a key that is unknown"},
        {"{'descr': '|u1' 'fortran_order': False, 'shape': (6,)}", 1, 6, "a comma is missing"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,)} x", 1, 6, "something behind the dictionary"},
        {"{'descr", 1, 6, "a string without an end"},
        {"", 1, 6, "the dictionary is missing"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,)}", 4, 6, "version 4.0"},
    };
    static uint8_t file[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = make_npy(file, cases[i].version, cases[i].header, cases[i].bytes);
        uint8_t *exact = malloc(n); /* so that a sanitizer sees what reads on */
        zn_rt_npy a = {0};
        zn_rt_error e = {""};
        CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
        memcpy(exact, file, n);
        int code = zn_rt_npy_parse(&a, "x.npy", exact, n, &e);
        ZN_EQUAL_INT(code, cases[i].message ? ZN_RT_INPUT : 0);
        if (cases[i].message)
            says(&e, cases[i].message);
        else if (code)
            fprintf(stderr, "%s: %s\n", cases[i].header, e.text);
        for (size_t cut = 0; cut < n - (cases[i].message != NULL);
             cut++) { /* what is short of a sound file is refused */
            uint8_t *part = malloc(cut + !cut);
            CU_ASSERT_PTR_NOT_NULL_FATAL(part);
            memcpy(part, file, cut);
            CU_ASSERT_EQUAL(zn_rt_npy_parse(&a, "x.npy", part, cut, &e), ZN_RT_INPUT);
            free(part);
        }
        free(exact);
    }
    zn_rt_npy a;
    zn_rt_error e;
    CU_ASSERT_EQUAL(zn_rt_npy_open(&a, directory, &e), ZN_RT_INPUT);
    says(&e, "is a directory");
    CU_ASSERT_EQUAL(zn_rt_npy_open(&a, "/dev/null", &e), ZN_RT_INPUT);
    says(&e, "is a device");
    CU_ASSERT_EQUAL(zn_rt_npy_open(&a, put("empty", "", 0), &e), ZN_RT_INPUT);
    says(&e, "is not an .npy file");
    CU_ASSERT_EQUAL(zn_rt_npy_open(&a, put("zip", "PK\3\4 an archive", 15), &e), ZN_RT_INPUT);
    says(&e, "it is an archive (.npz)");
    CU_ASSERT_EQUAL(zn_rt_npy_open(&a, put("gz", "\x1f\x8b something", 12), &e), ZN_RT_INPUT);
    says(&e, "it is compressed");
}

/* Elements of every kind. */
static void npy_elements(void) {
    static uint8_t file[256];
    static const struct {
        const char *descr;
        double expected;
        bool fits;
    } cases[] = {{"|u1", 255, true},          {"|i1", -1, true}, {"<u2", 65535, true},   {"<i2", -1, true},
                 {"<u4", 4294967295.0, true}, {"<i4", -1, true}, {"<u8", 0x1p64, false}, {"<i8", -1, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128];
        zn_rt_npy a = {0};
        zn_rt_error e;
        bool fits;
        int size = cases[i].descr[2] - '0';
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2,)}", cases[i].descr);
        size_t n = make_npy(file, 1, header, 2 * (size_t)size);
        memset(file + n - 2 * (size_t)size, 0, 2 * (size_t)size);
        memset(file + n - (size_t)size, 0xff, (size_t)size);
        CU_ASSERT_EQUAL_FATAL(zn_rt_npy_parse(&a, "x", file, n, &e), 0);
        CU_ASSERT_EQUAL(zn_rt_npy_double(&a, file, 0), 0);
        CU_ASSERT_EQUAL(zn_rt_npy_double(&a, file, 1), cases[i].expected);
        int64_t x = zn_rt_npy_int(&a, file, 1, &fits);
        CU_ASSERT_EQUAL(fits, cases[i].fits);
        CU_ASSERT_TRUE(!fits || (double)x == cases[i].expected);
    }
}

/* Writes an array; NULL data: zeros. */
static const char *put_array(const char *name, const char *descr, const char *shape, const void *at, size_t n) {
    static uint8_t file[1 << 16];
    char header[128];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    size_t all = make_npy(file, 1, header, n);
    if (at)
        memcpy(file + all - n, at, n);
    else
        memset(file + all - n, 0, n);
    return put(name, file, all);
}

enum { N = 12, SIDE = 4, IMAGE = SIDE * SIDE };

static fake_options array_options(void) {
    fake_options o = fake_default();
    static uint8_t pixels[N * IMAGE], labels[N];
    for (int i = 0; i < N * IMAGE; i++)
        pixels[i] = (uint8_t)(i * 7);
    for (int i = 0; i < N; i++)
        labels[i] = (uint8_t)(i % 3);
    fake_source(&o, "npy");
    fake_text(&o, "images", put_array("images.npy", "|u1", "(12, 4, 4)", pixels, sizeof pixels));
    fake_text(&o, "labels", put_array("labels.npy", "|u1", "(12,)", labels, sizeof labels));
    fake_text(&o, "test_images", put_array("test_images.npy", "|u1", "(5, 4, 4)", pixels, 5 * IMAGE));
    fake_text(&o, "test_labels", put_array("test_labels.npy", "|i1", "(5,)", labels, 5));
    o.height = o.width = SIDE;
    o.classes = 3;
    o.batch = 4;
    o.data.normalize = ZN_NORMALIZE_NONE;
    return o;
}

static void refuse(const fake_options *o, const char *message) {
    zn_rt_dataset d;
    zn_rt_error e = {""};
    int code = zn_rt_dataset_open(&d, fake_module(o), NULL, NULL, &e);
    CU_ASSERT_EQUAL(code, ZN_RT_INPUT);
    says(&e, message);
    if (!code)
        zn_rt_dataset_close(&d);
}

static void npy_sound(void) {
    fake_options o = array_options();
    zn_rt_dataset d;
    zn_rt_error e;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    ZN_EQUAL_INT(d.split[0].n, N);
    ZN_EQUAL_INT(d.split[1].n, 5);
    ZN_EQUAL_INT(d.mapped, (N + 5) * IMAGE);
    ZN_EQUAL_INT(d.bytes, N + 5);
    CU_ASSERT_TRUE(d.split[0].pixels[33] == (uint8_t)(33 * 7) && d.split[0].labels[4] == 1);
    zn_rt_dataset_close(&d);
    /* 300 classes of 64 bits: labels stay wide */
    int64_t labels[N];
    for (int i = 0; i < N; i++)
        labels[i] = 25 * i;
    fake_text(&o, "labels", put_array("wide.npy", "<i8", "(12, 1)", labels, sizeof labels));
    o.classes = 300;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    CU_ASSERT_TRUE(d.split[0].wide && d.split[0].wide[11] == 275 && zn_rt_label(&d.split[0], 11) == 275);
    CU_ASSERT_TRUE(d.split[1].wide && d.split[1].wide[4] == 1);
    zn_rt_dataset_close(&d);
    o.classes = 275;
    refuse(&o, "wide.npy: label 275 of training image 11 (byte ");
    labels[3] = -1;
    fake_text(&o, "labels", put_array("wide.npy", "<i8", "(12,)", labels, sizeof labels));
    refuse(&o, "wide.npy: label -1 of image 3 (byte ");
    labels[3] = 65535;
    fake_text(&o, "labels", put_array("wide.npy", "<i8", "(12,)", labels, sizeof labels));
    refuse(&o, "is not a class: these are 0 to 65534");
    fake_text(&o, "labels", put_array("wide.npy", "<i8", "(6, 2)", labels, sizeof labels));
    refuse(&o, "labels have 1");
    fake_text(&o, "labels", put_array("wide.npy", "<i8", "(11,)", labels, 11 * 8));
    refuse(&o, "has 11 labels for the 12 images of");
    fake_text(&o, "labels", put_array("wide.npy", "<f8", "(12,)", labels, sizeof labels));
    fake_text(&o, "test_labels", put_array("short.npy", "<f4", "(5,)", NULL, 20));
    refuse(&o, "the labels are real numbers, not classes");
    o = array_options();
    o.width = 5;
    refuse(&o, "the images are [4, 4, 1]; the network takes [4, 5, 1]");
    fake_text(&o, "images", put_array("bad.npy", "<f8", "(12, 4, 4)", NULL, N * IMAGE * 8));
    refuse(&o, "has floats of 8 bytes; images are uint8 or float32: save x.astype(numpy.float32)");
    fake_text(&o, "images", put_array("bad.npy", "|u1", "(192,)", NULL, N * IMAGE));
    refuse(&o, "has 1 dimension; images have 4");
    fake_text(&o, "images", put_array("bad.npy", "|u1", "(0, 4, 4)", NULL, 0));
    refuse(&o, "is empty");
    fake_text(&o, "images", put_array("bad.npy", "|u1", "(12, 2, 8)", NULL, N * IMAGE));
    refuse(&o, "test_images.npy: images are not of the shape and type of the training images");
    o = array_options();
    o.batch = 13;
    refuse(&o, "the training split has 12 images, less than one batch of 13");
}

/* Floats, at an address for floats and beside one; vectors for a network that takes images, and the other way round. */
static void npy_floats(void) {
    fake_options o = array_options();
    zn_rt_dataset d;
    zn_rt_error e;
    float x[N * IMAGE];
    for (int i = 0; i < N * IMAGE; i++)
        x[i] = (float)i / 3;
    for (int odd = 0; odd < 4; odd++) {
        char shape[32];
        snprintf(shape, sizeof shape, "(12,%*s16)", odd, "");
        fake_text(&o, "images", put_array("floats.npy", "<f4", shape, x, sizeof x));
        fake_text(&o, "test_images", put_array("test_floats.npy", "<f4", "(5, 16)", x, 5 * IMAGE * 4));
        o.rank = odd % 2 ? 1 : 3;
        CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
        CU_ASSERT_TRUE(!d.split[0].pixels && memcmp(d.split[0].floats, x, sizeof x) == 0);
        ZN_EQUAL_INT(d.channels, odd % 2 ? 16 : 1);
        ZN_EQUAL_INT(d.height, odd % 2 ? 1 : SIDE);
        zn_rt_dataset_close(&d);
    }
    x[77] = NAN;
    fake_text(&o, "images", put_array("floats.npy", "<f4", "(12, 16)", x, sizeof x));
    refuse(&o, "floats.npy: image 4 holds a number that is not finite, at byte");
    fake_text(&o, "images", put_array("floats.npy", "<f4", "(12, 15)", x, 12 * 15 * 4));
    refuse(&o, "holds a number that is not finite");
}

/* ---- csv */

static int read_csv(const char *text, const char *label, int64_t index, zn_rt_csv_header header, bool bytes,
                    int64_t classes, zn_rt_dataset *d, zn_rt_error *e) {
    static zn_input_desc in;
    zn_rt_csv t = {.label_name = label, .label_index = index, .header = header, .bytes = bytes};
    size_t n = strlen(text);
    uint8_t *exact = malloc(n + !n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
    memcpy(exact, text, n);
    in = (zn_input_desc){.classes = classes, .targets = classes ? 0 : 1};
    *d = (zn_rt_dataset){.in = &in};
    int code = zn_rt_csv_read(&t, d, ZN_RT_TRAINING, "x.csv", exact, n, e);
    free(exact);
    return code;
}

static void csv_sound(void) {
    static const struct {
        const char *text, *label;
        int64_t index;
        zn_rt_csv_header header;
    } cases[] = {
        {"1.5,-2,0\n3e1,0.25,2\n", "", -1, ZN_RT_CSV_AUTO},
        {"1.5,-2,0\n3e1,0.25,2", "", 2, ZN_RT_CSV_NO},
        {"\xef\xbb\xbf"
         "a,b,c\r\n1.5,-2,0\r\n\r\n30 , +0.25,2.0\r\n\r\n",
         "c", -1, ZN_RT_CSV_AUTO},
        {"\"a\",\"x, \"\"y\"\"\",c\n\"1.5\", \"-2\" ,\"0\"\n  \t\n30,0.25,2\n", "", -1, ZN_RT_CSV_AUTO},
        {"l,a,b\n0,1.5,-2\n2,30,0.25\n", "l", -1, ZN_RT_CSV_AUTO},
        {"a,l,b\n1.5,0,-2\n30,2,.25\n", "", 1, ZN_RT_CSV_AUTO},
        {"1,2,3\n1.5,-2,0\n30,25e-2,2\n", "3", 0, ZN_RT_CSV_YES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zn_rt_dataset d;
        zn_rt_error e = {""};
        int code = read_csv(cases[i].text, cases[i].label, cases[i].index, cases[i].header, false, 3, &d, &e);
        CU_ASSERT_EQUAL(code, 0);
        if (code)
            fprintf(stderr, "case %zu: %s\n", i, e.text);
        ZN_EQUAL_INT(d.split[0].items, 2);
        ZN_EQUAL_INT(d.channels, 2);
        const float expected[4] = {1.5f, -2, 30, 0.25f};
        if (!code)
            CU_ASSERT_TRUE(!memcmp(d.split[0].floats, expected, sizeof expected) && d.split[0].wide[0] == 0 &&
                           d.split[0].wide[1] == 2);
        zn_rt_dataset_close(&d);
    }
}

static void csv_wrong(void) {
    static const struct {
        const char *text, *label;
        int64_t index;
        zn_rt_csv_header header;
        bool bytes;
        int64_t classes;
        const char *message;
    } cases[] = {
        {"", "", -1, ZN_RT_CSV_AUTO, false, 3, "x.csv: is empty"},
        {" \n\n\t\r\n", "", -1, ZN_RT_CSV_AUTO, false, 3, "x.csv: is empty"},
        {"a,b,c\n", "", -1, ZN_RT_CSV_AUTO, false, 3, "x.csv: has a header and no lines of numbers"},
        {"1\n2\n", "", -1, ZN_RT_CSV_AUTO, false, 3, "has one column"},
        {"1,2\n3,x\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "x.csv:2: column 2: `x` is not a number"},
        {"a,b\n\n1,2\n3,1_0\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "x.csv:4: column 2 (b): `1_0` is not a number"},
        {"1,nan\n", "", 0, ZN_RT_CSV_NO, false, 3, "`nan` is not a number"},
        {"1,+-2\n", "", 0, ZN_RT_CSV_NO, false, 3, "`+-2` is not a number"},
        {"1,1e40\n", "", 0, ZN_RT_CSV_AUTO, false, 3, "`1e40` is too large for a 32-bit float"},
        {"1,1e999\n", "", 0, ZN_RT_CSV_AUTO, false, 3, "`1e999` is not a number, but other cells"},
        {"1,2\n3\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "x.csv:2: has 1 cell; the first line has 2"},
        {"1,2\n3,4,5\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "x.csv:2: has 3 cells; the first line has 2"},
        {"1,2\n1,\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "x.csv:2: column 2: `` is empty"},
        {"1,2\n1,\"2\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "x.csv:2: column 2: a quote is not closed"},
        {"1,2\n1,\"2\"3\n", "", 0, ZN_RT_CSV_AUTO, false, 4, "a quote is not closed, or followed by more"},
        {"1,2\n", "y", 0, ZN_RT_CSV_AUTO, false, 4, "has no header to find the column `y` in"},
        {"a,b\n1,2\n", "y", 0, ZN_RT_CSV_AUTO, false, 4, "has no column `y`; it has `a`, `b`"},
        {"a,b\n1,2\n", "", 2, ZN_RT_CSV_AUTO, false, 4, "has 2 columns; `label` is 2"},
        {"a,b\n1,2\n", "", -3, ZN_RT_CSV_AUTO, false, 4, "has 2 columns; `label` is -3"},
        {"a,1\n1,2\n", "", -1, ZN_RT_CSV_AUTO, false, 4, "x.csv:1: column 1: `a` is not a number, but other cells"},
        {"1,3\n", "", -1, ZN_RT_CSV_AUTO, false, 3,
         "x.csv:1: column 2: `3` is not one of the network's classes, 0 to 2"},
        {"1,-1\n", "", -1, ZN_RT_CSV_AUTO, false, 3, "`-1` is not one of the network's classes"},
        {"1,0.5\n", "", -1, ZN_RT_CSV_AUTO, false, 3, "`0.5` is not a class, which is an integer"},
        {"1,1e60\n", "", -1, ZN_RT_CSV_AUTO, false, 0, "`1e60` is too large for a 32-bit float"},
        {"256,1\n", "", -1, ZN_RT_CSV_AUTO, true, 3, "`256` is not a byte, an integer from 0 to 255"},
        {"0.5,1\n", "", -1, ZN_RT_CSV_AUTO, true, 3, "`0.5` is not a byte"},
        {"1,2\n1,\001\002a very long cell that goes on and on and on\n", "", 0, ZN_RT_CSV_AUTO, false, 3,
         "`??a very long cell that goes on and on a...` is not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zn_rt_dataset d;
        zn_rt_error e = {""};
        int code = read_csv(cases[i].text, cases[i].label, cases[i].index, cases[i].header, cases[i].bytes,
                            cases[i].classes, &d, &e);
        CU_ASSERT_EQUAL(code, ZN_RT_INPUT);
        says(&e, cases[i].message);
        zn_rt_dataset_close(&d);
    }
}

/* A test file's header must say the same; it may have none. */
static void csv_test(void) {
    fake_options o = fake_default();
    zn_rt_dataset d;
    zn_rt_error e;
    fake_source(&o, "csv");
    fake_text(&o, "file", put("a.csv", "a,b,y\n1,2,0\n3,4,1\n", 18));
    fake_text(&o, "label", "y");
    fake_text(&o, "header", "auto");
    fake_text(&o, "type", "float");
    o.height = 1, o.width = 1, o.channels = 2, o.rank = 1, o.classes = 2, o.batch = 2;
    fake_text(&o, "test", put("b.csv", "5,6,1\n", 6));
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    CU_ASSERT_TRUE(d.split[1].n == 1 && d.split[1].floats[1] == 6 && d.split[1].labels[0] == 1);
    zn_rt_dataset_close(&d);
    fake_text(&o, "test", put("b.csv", "b,a,y\n5,6,1\n", 12));
    refuse(&o, "b.csv:1: column 1 (a): `b` has another name in the training file");
    fake_text(&o, "test", put("b.csv", "5,6,1,2\n", 8));
    refuse(&o, "b.csv:1: has 4 cells; the training file has 3");
    fake_text(&o, "test", "");
    refuse(&o, "the test split has no images");
}

/* ---- targets */

static void targets(void) {
    fake_options o = array_options();
    zn_module_desc m = *fake_module(&o);
    zn_rt_dataset d;
    zn_rt_error e;
    m.input.classes = 0;
    m.input.targets = 1;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, &m, NULL, NULL, &e), 0); /* integers as numbers */
    CU_ASSERT_TRUE(d.split[0].targets && d.split[0].targets[5] == 2 && !d.split[0].labels &&
                   d.split[1].targets[4] == 1);
    zn_rt_dataset_close(&d);
    m.input.targets = 2;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, &m, NULL, NULL, &e), ZN_RT_INPUT);
    says(&e, "a label has 1 number; the network gives 2");
    double rows[2 * N];
    for (int i = 0; i < 2 * N; i++)
        rows[i] = i / 8.0;
    fake_text(&o, "labels", put_array("rows.npy", "<f8", "(12, 2)", rows, sizeof rows));
    fake_text(&o, "test_labels", put_array("test_rows.npy", "<f8", "(5, 2)", rows, 80));
    m = *fake_module(&o);
    m.input.classes = 0;
    m.input.targets = 2;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, &m, NULL, NULL, &e), 0);
    CU_ASSERT_TRUE(d.split[0].targets[2 * 11 + 1] == 23 / 8.0f);
    ZN_EQUAL_INT(d.bytes, (N + 5) * 8);
    zn_rt_dataset_close(&d);
    rows[7] = 1e300;
    fake_text(&o, "labels", put_array("rows.npy", "<f8", "(12, 2)", rows, sizeof rows));
    m = *fake_module(&o);
    m.input.classes = 0;
    m.input.targets = 2;
    CU_ASSERT_EQUAL(zn_rt_dataset_open(&d, &m, NULL, NULL, &e), ZN_RT_INPUT);
    says(&e, "rows.npy: label 3 is not finite as a 32-bit float");
    o = fake_default(); /* digits: labels become numbers too */
    m = *fake_module(&o);
    m.input.classes = 0;
    m.input.targets = 1;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, &m, NULL, NULL, &e), 0);
    CU_ASSERT_TRUE(d.split[0].targets[0] == floorf(d.split[0].targets[0]));
    zn_rt_dataset_close(&d);
}

/* ---- what is held out */

static void held_out(void) {
    enum { COUNT = 1000, OUT = 130 };
    static uint32_t pick[COUNT];
    bool seen[COUNT] = {false};
    int in_front = 0;
    CU_ASSERT_EQUAL(zn_rt_hold_out(COUNT, OUT, pick), 0);
    for (int i = 0; i < COUNT; i++) {
        CU_ASSERT_TRUE(pick[i] < COUNT && !seen[pick[i]]);
        seen[pick[i]] = true;
        CU_ASSERT_TRUE(i == 0 || i == COUNT - OUT || pick[i] > pick[i - 1]);
        in_front += i >= COUNT - OUT && pick[i] < COUNT / 2;
    }
    CU_ASSERT_TRUE(in_front > OUT / 4 && in_front < 3 * OUT / 4);
    /* part of what fixes bits */
    uint32_t hash = 2166136261u;
    for (int i = COUNT - OUT; i < COUNT; i++)
        hash = (hash ^ pick[i]) * 16777619u;
    printf(" held out %08x ", hash);
    CU_ASSERT_EQUAL(hash, 0x741cbfc2u);

    fake_options o = array_options();
    zn_rt_dataset d, all;
    zn_rt_error e;
    char with[ZN_RT_SHA256_HEX], without[ZN_RT_SHA256_HEX];
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&all, fake_module(&o), NULL, NULL, &e), 0);
    o.data.split = 0.3;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    ZN_EQUAL_INT(d.split[ZN_RT_TRAINING].n, 8);
    ZN_EQUAL_INT(d.split[ZN_RT_VALIDATION].n, 4);
    ZN_EQUAL_INT(d.split[ZN_RT_TEST].n, 5);
    ZN_EQUAL_INT(d.bytes, N + 5 + 4 * N);
    CU_ASSERT_PTR_EQUAL(d.split[ZN_RT_VALIDATION].pixels, d.split[ZN_RT_TRAINING].pixels);
    CU_ASSERT_EQUAL(zn_rt_dataset_digest(&d, with, &e), 0);
    CU_ASSERT_EQUAL(zn_rt_dataset_digest(&all, without, &e), 0);
    CU_ASSERT_STRING_EQUAL(with, without);
    zn_rt_dataset_close(&d);
    zn_rt_dataset_close(&all);
    o.data.split = 0.01;
    refuse(&o, "`split` holds out 0 of 12 training samples");
    o.data.split = 0.99;
    refuse(&o, "`split` holds out 12 of 12 training samples");
    o.data.split = 0.75;
    refuse(&o, "the training split has 3 images, less than one batch of 4");
    o.data.split = 0.5; /* a validation makes up for a test */
    fake_text(&o, "test_images", "");
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    ZN_EQUAL_INT(d.split[ZN_RT_TEST].n, 0);
    CU_ASSERT_EQUAL(zn_rt_dataset_digest(&d, with, &e), 0);
    zn_rt_dataset_close(&d);
    o.data.split = 0;
    refuse(&o, "the test split has no images");
}

/* ---- statistics */

static void statistics(void) {
    enum { COUNT = 100, PIXELS = 6, CHANNELS = 3 };
    static float x[COUNT * PIXELS * CHANNELS];
    static uint8_t bytes[COUNT * PIXELS * CHANNELS];
    static uint32_t pick[COUNT / 2];
    double mean[CHANNELS], deviation[CHANNELS], again[CHANNELS], same[CHANNELS];
    zn_rt_error e;
    zn_rt_pool *pool;
    zn_rt_dataset d = {.height = 2, .width = 3, .channels = CHANNELS};
    for (int i = 0; i < COUNT * PIXELS * CHANNELS; i++) {
        x[i] = i % 3 == 2 ? 0.1f : sinf((float)i) * 100 + 1000;
        bytes[i] = (uint8_t)(i * i >> 3);
    }
    for (int i = 0; i < COUNT / 2; i++)
        pick[i] = (uint32_t)(2 * i + 1);
    CU_ASSERT_EQUAL_FATAL(zn_rt_pool_open(&pool, 3, 0, NULL, &e), 0);
    for (int kind = 0; kind < 4; kind++) {
        bool floats = kind & 1, half = kind & 2;
        d.split[0] = (zn_rt_split){.n = half ? COUNT / 2 : COUNT,
                                   .items = COUNT,
                                   .pick = half ? pick : NULL,
                                   .pixels = floats ? NULL : bytes,
                                   .floats = floats ? x : NULL};
        CU_ASSERT_EQUAL(zn_rt_channel_statistics(&d, NULL, mean, deviation, &e), 0);
        CU_ASSERT_EQUAL(zn_rt_channel_statistics(&d, pool, again, same, &e), 0);
        CU_ASSERT_TRUE(!memcmp(mean, again, sizeof mean) && !memcmp(deviation, same, sizeof same));
        for (int c = 0; c < CHANNELS; c++) {
            double sum = 0, squares = 0, n = (double)d.split[0].n * (double)PIXELS;
            for (int pass = 0; pass < 2; pass++)
                for (int64_t i = 0; i < d.split[0].n; i++)
                    for (int p = 0; p < PIXELS; p++) {
                        int64_t at = (zn_rt_item(&d.split[0], i) * PIXELS + p) * CHANNELS + c;
                        double v = floats ? (double)x[at] : bytes[at] / 255.0;
                        if (pass == 0)
                            sum += v;
                        else
                            squares += (v - sum / n) * (v - sum / n);
                    }
            CU_ASSERT_TRUE(fabs(mean[c] - sum / n) < 1e-12 * (1 + fabs(sum / n)));
            CU_ASSERT_TRUE(fabs(deviation[c] - sqrt(squares / n)) < 1e-10);
        }
        CU_ASSERT_TRUE(!floats || deviation[2] == 0);
    }
    zn_rt_pool_close(pool);
}

static void many_classes(void) {
    fake_options o = fake_default();
    static const char *const names[6] = {"h", "w", "c", "classes", "n", "seed"};
    const int64_t v[6] = {1, 1, 4, 65535, 3000, 1};
    zn_rt_dataset d;
    zn_rt_error e;
    int most = 0;
    fake_source(&o, "noise");
    for (int i = 0; i < 6; i++)
        fake_number(&o, names[i], v[i]);
    o.height = 1, o.width = 1, o.channels = 4, o.classes = 65535;
    CU_ASSERT_EQUAL_FATAL(zn_rt_dataset_open(&d, fake_module(&o), NULL, NULL, &e), 0);
    for (int i = 0; i < 3000; i++)
        most = zn_rt_label(&d.split[0], i) > most ? zn_rt_label(&d.split[0], i) : most;
    CU_ASSERT_TRUE(most > 65000 && most < 65535);
    ZN_EQUAL_INT(d.bytes, 3300 * (4 + 2));
    zn_rt_dataset_close(&d);
    fake_number(&o, "classes", 65536);
    refuse(&o, "noise has at most 65535 classes");
}

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: sources", NULL, NULL);
    CU_add_test(s, "npy: headers", npy_headers);
    CU_add_test(s, "npy: elements", npy_elements);
    CU_add_test(s, "npy: sound, and what does not fit", npy_sound);
    CU_add_test(s, "npy: floats", npy_floats);
    CU_add_test(s, "csv: sound", csv_sound);
    CU_add_test(s, "csv: wrong", csv_wrong);
    CU_add_test(s, "csv: a test file", csv_test);
    CU_add_test(s, "targets", targets);
    CU_add_test(s, "what is held out", held_out);
    CU_add_test(s, "statistics", statistics);
    CU_add_test(s, "65 535 classes", many_classes);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0 || failures != 0;
}
