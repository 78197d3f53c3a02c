/* The table of published data sets (see runtime/known.h).
 *
 * Sources: sizes and SHA-256 are those of the files themselves, whose MD5 are the published ones; the archive's MD5 is
 * that of the page (A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009). */
#include "runtime/known.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const zn_rt_known_file cifar10[] = {
    {"data_batch_1.bin", 30730000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"},
    {"data_batch_2.bin", 30730000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"},
    {"data_batch_3.bin", 30730000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"},
    {"data_batch_4.bin", 30730000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"},
    {"data_batch_5.bin", 30730000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"},
    {"test_batch.bin", 30730000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
};

static const zn_rt_known_file mnist[] = {
    {"train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
    {"train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
    {"t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
    {"t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
};

static const zn_rt_known known[] = {
    {.source = "cifar10",
     .title = "CIFAR-10",
     .what = "60 000 colour images of 32 x 32 pixels in 10 classes",
     .page = "the CIFAR-10 page of Alex Krizhevsky, University of Toronto (www.cs.toronto.edu/~kriz/cifar.html)",
     .archive = "cifar-10-binary.tar.gz",
     .archive_md5 = "c32a1d4ab5d03f1284b67883e8d87530",
     .archive_size = 170052171,
     .inner = "cifar-10-batches-bin",
     .data_sha256 = "80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660",
     .nfile = sizeof cifar10 / sizeof *cifar10,
     .file = cifar10},
    {.source = "mnist",
     .title = "MNIST",
     .what = "70 000 grey images of handwritten digits, 28 x 28 pixels",
     .page =
         "the page \"The MNIST database of handwritten digits\" of Yann LeCun, Corinna Cortes and Christopher J. C. "
         "Burges (yann.lecun.com/exdb/mnist)",
     .nfile = sizeof mnist / sizeof *mnist,
     .file = mnist},
};

const zn_rt_known *zn_rt_known_find(const char *source) {
    for (size_t i = 0; source && i < sizeof known / sizeof *known; i++)
        if (!strcmp(source, known[i].source))
            return &known[i];
    return NULL;
}

/* Files of the data set that are in the folder. */
static size_t files_in(const zn_rt_known *k, const char *folder) {
    char path[ZN_RT_PATH_SIZE];
    struct stat st;
    zn_rt_error unused = {""};
    size_t n = 0;
    for (size_t i = 0; i < k->nfile; i++)
        n += zn_rt_known_path(k, folder, i, path, &unused) == 0 && stat(path, &st) == 0;
    return n;
}

int zn_rt_known_folder(const zn_rt_known *k, const char *directory, char path[ZN_RT_PATH_SIZE], zn_rt_error *e) {
    const char *inner = k->inner ? k->inner : "";
    int n = snprintf(path, ZN_RT_PATH_SIZE, "%s%s%s", directory, *inner ? "/" : "", inner);
    if (n < 0 || n >= ZN_RT_PATH_SIZE)
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", directory);
    size_t here = *inner ? files_in(k, directory) : 0;
    if (here > 0 && here >= files_in(k, path))
        snprintf(path, ZN_RT_PATH_SIZE, "%s", directory);
    return 0;
}

int zn_rt_known_path(const zn_rt_known *k, const char *folder, size_t i, char path[ZN_RT_PATH_SIZE], zn_rt_error *e) {
    int n = snprintf(path, ZN_RT_PATH_SIZE, "%s/%s", folder, k->file[i].name);
    return n < 0 || n >= ZN_RT_PATH_SIZE ? zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", folder) : 0;
}

typedef struct text {
    char *at;
    size_t n, size;
    bool cut;
} text;

static void put(text *t, const char *s, size_t n) {
    for (size_t i = 0; i < n && t->n + 1 < t->size; i++)
        t->at[t->n++] = s[i];
    t->cut |= t->n + 1 >= t->size;
    t->at[t->n] = '\0';
}

/* As a shell reads it: in quotes where it is more than a plain word. */
static void put_word(text *t, const char *s) {
    static const char *const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-+=,@%:";
    bool quote = !*s || s[strspn(s, plain)];
    if (*s == '-')
        put(t, "./", 2); /* is a path, not an option */
    put(t, "'", quote);
    for (const char *c = s; *c; c++)
        if (*c == '\'')
            put(t, "'\\''", 4);
        else
            put(t, c, 1);
    put(t, "'", quote);
}

bool zn_rt_known_command(const char *archive, const char *directory, bool make, char *out, size_t size) {
    text t = {out, 0, size, false};
    if (make) {
        put(&t, "mkdir -p ", 9);
        put_word(&t, directory);
        put(&t, " && ", 4);
    }
    put(&t, "tar -xzf ", 9);
    put_word(&t, archive);
    put(&t, " -C ", 4);
    put_word(&t, directory);
    if (t.cut)
        *out = '\0';
    return !t.cut;
}

void zn_rt_known_explain(const zn_rt_known *k, const char *directory, zn_rt_error *e) {
    zn_rt_explain(e, "\n%s is a data set of %s. ", k->title, k->what);
    if (k->archive) {
        enum { AROUND = 200 }; /* what else is said, once the place of the archive is */
        char command[sizeof e->text];
        zn_rt_explain(e, "Its archive %s (%.0f MB) is on %s. ", k->archive, (double)k->archive_size * 1e-6, k->page);
        size_t left = sizeof e->text - strlen(e->text);
        if (left > AROUND && zn_rt_known_command(k->archive, directory, true, command, left - AROUND))
            zn_rt_explain(e, "Where the archive is, this unpacks it to its place:\n  %s", command);
        else
            zn_rt_explain(e, "It is to be unpacked into that directory");
    } else {
        zn_rt_explain(e, "Its files ");
        for (size_t i = 0; i < k->nfile; i++)
            zn_rt_explain(e, "%s%s.gz", i == 0 ? "" : i + 1 < k->nfile ? ", " : " and ", k->file[i].name);
        zn_rt_explain(e, " are on %s. They belong into %s, compressed or not.", k->page, directory);
    }
}

void zn_rt_known_missing(const zn_rt_known *k, const char *directory, zn_rt_error *e) {
    zn_rt_known_explain(k, directory, e);
    zn_rt_explain(e, "\n`znetc data FILE.znet` says which files are there, and verifies their checksums");
}
