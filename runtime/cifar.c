/* CIFAR-10, binary version: six files of 10 000 records of 3073 bytes, a label and then red, green and blue planes of
 * 32 x 32; kept as [32, 32, 3]. */
#include "runtime/cifar.h"

#include "runtime/known.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PLANE = 32 * 32, IMAGE = 3 * PLANE, RECORD = IMAGE + 1, FILE_RECORDS = 10000, FILES = 6 };

int zn_rt_cifar_batch(const char *path, int64_t records, uint8_t *pixels, uint8_t *labels, zn_rt_error *e) {
    unsigned char record[RECORD];
    struct stat st;
    FILE *f = fopen(path, "rbe");
    if (!f)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    int code = 0;
    if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size != RECORD * records)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has %" PRId64 " bytes; a batch of CIFAR-10 has %" PRId64, path,
                          (int64_t)st.st_size, RECORD * records);
    for (int64_t i = 0; i < records && !code; i++) {
        size_t got = fread(record, 1, RECORD, f);
        if (got < RECORD)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: %s at byte %" PRId64, path,
                              ferror(f) ? strerror(errno) : "ends early,", i * RECORD + (int64_t)got);
        else if (record[0] > 9)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: label %d at byte %" PRId64 "; CIFAR-10 has labels 0 to 9", path,
                              record[0], i * RECORD);
        if (code)
            break;
        labels[i] = record[0];
        for (int p = 0; p < PLANE; p++)
            for (int c = 0; c < 3; c++)
                pixels[i * IMAGE + p * 3 + c] = record[1 + c * PLANE + p];
    }
    if (!code && fgetc(f) != EOF)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: goes on after byte %" PRId64, path, RECORD * records);
    fclose(f);
    return code;
}

typedef struct reading {
    zn_rt_dataset *d;
    const zn_rt_known *known;
    char folder[ZN_RT_PATH_SIZE];
    int code[FILES];
    zn_rt_error error[FILES];
} reading;

/* Files [begin, end), each with its own outcome. */
static void read_files(void *ctx, int64_t begin, int64_t end, void *scratch) {
    reading *r = ctx;
    (void)scratch;
    for (int64_t i = begin; i < end; i++) {
        char path[ZN_RT_PATH_SIZE];
        zn_rt_split *s = &r->d->split[i == FILES - 1];
        int64_t at = i == FILES - 1 ? 0 : i * FILE_RECORDS;
        r->code[i] = zn_rt_known_path(r->known, r->folder, (size_t)i, path, &r->error[i]);
        if (!r->code[i])
            r->code[i] =
                zn_rt_cifar_batch(path, FILE_RECORDS, s->pixels + (size_t)at * IMAGE, s->labels + at, &r->error[i]);
    }
}

int zn_rt_read_cifar10(zn_rt_dataset *d, const zn_data_desc *source, const char *directory, zn_rt_pool *pool,
                       zn_rt_error *e) {
    reading r = {.d = d, .known = zn_rt_known_find("cifar10")};
    char path[ZN_RT_PATH_SIZE];
    struct stat st;
    if (!directory)
        directory = zn_rt_source_text(source, "dir");
    d->height = d->width = 32;
    d->channels = 3;
    d->classes = 10;
    for (int s = 0; s < 2; s++) {
        d->split[s].items = (s == 0 ? 5 : 1) * FILE_RECORDS;
        d->split[s].pixels = zn_rt_dataset_alloc(d->split[s].items, IMAGE, e);
        d->split[s].labels = d->split[s].pixels ? zn_rt_dataset_alloc(d->split[s].items, 1, e) : NULL;
        if (!d->split[s].labels)
            return ZN_RT_MEMORY;
    }
    int code = zn_rt_known_folder(r.known, directory, r.folder, e);
    if (code)
        return code;
    if (pool)
        zn_rt_parfor(pool, read_files, &r, FILES, 1);
    else
        read_files(&r, 0, FILES, NULL);
    for (int i = 0; i < FILES; i++) { /* the first one that fails, whichever failed first */
        if (!r.code[i])
            continue;
        *e = r.error[i];
        if (!zn_rt_known_path(r.known, r.folder, (size_t)i, path, &r.error[i]) && stat(path, &st) != 0 &&
            (errno == ENOENT || errno == ENOTDIR)) {
            if (i == 0 && strcmp(r.folder, directory) != 0)
                zn_rt_explain(e, "\n%s has no %s either; --data DIR says where the data is", directory,
                              r.known->file[0].name);
            zn_rt_known_missing(r.known, directory, e);
        }
        return r.code[i];
    }
    return 0;
}
