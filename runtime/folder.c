/* The source images (see runtime/folder.h): what a folder holds, in an order that depends on names alone. */
#include "runtime/folder.h"

#include "runtime/image.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int no_memory(const char *path, zn_rt_error *e) {
    return zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for the names in it", path);
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_shown(const struct dirent *d) {
    return d->d_name[0] != '.';
}

/* a/b; false where it is too long. */
static bool join(char out[ZN_RT_PATH_SIZE], const char *a, const char *b) {
    int n = snprintf(out, ZN_RT_PATH_SIZE, "%s%s%s", a, *a && *b ? "/" : "", b);
    return n >= 0 && n < ZN_RT_PATH_SIZE;
}

typedef struct listing {
    struct dirent **at;
    int n;
} listing;

static int list(listing *l, const char *path, zn_rt_error *e) {
    *l = (listing){0};
    l->n = scandir(path, &l->at, is_shown, by_bytes);
    if (l->n >= 0)
        return 0;
    l->n = 0;
    return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read the folder: %s", path, strerror(errno));
}

static void list_free(listing *l) {
    for (int i = 0; i < l->n; i++)
        free(l->at[i]);
    free(l->at);
}

/* Adds a file of a split and class if it is a picture. */
static int add_file(zn_rt_folder *f, int split, uint16_t label, const char *relative, zn_rt_error *e) {
    char path[ZN_RT_PATH_SIZE];
    struct stat st;
    if (!join(path, f->path, relative))
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", f->path, relative);
    if (stat(path, &st) != 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: is a folder; pictures lie in the folder of their class", path);
    if (!zn_rt_image_named(relative))
        return 0;
    if (!S_ISREG(st.st_mode))
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: is not a regular file", path);
    int64_t n = f->n[0] + f->n[1];
    if (n == f->room) {
        int64_t room = f->room ? 2 * f->room : 1024;
        zn_rt_file_entry *more = realloc(f->file, (size_t)room * sizeof *more);
        if (!more)
            return no_memory(f->path, e);
        f->file = more;
        f->room = room;
    }
    f->file[n] = (zn_rt_file_entry){strdup(relative), label, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    if (!f->file[n].path)
        return no_memory(f->path, e);
    f->n[split]++;
    return 0;
}

/* The pictures of a class. relative: its folder. */
static int add_class(zn_rt_folder *f, int split, uint16_t label, const char *relative, zn_rt_error *e) {
    char path[ZN_RT_PATH_SIZE];
    listing l;
    int64_t before = f->n[split];
    if (!join(path, f->path, relative))
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", f->path, relative);
    int code = list(&l, path, e);
    for (int i = 0; i < l.n && !code; i++) {
        char name[ZN_RT_PATH_SIZE];
        code = join(name, relative, l.at[i]->d_name)
                   ? add_file(f, split, label, name, e)
                   : zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", path, l.at[i]->d_name);
    }
    list_free(&l);
    if (!code && f->n[split] == before && split == ZN_RT_TRAINING)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has no .png, .jpg or .jpeg file", path);
    return code;
}

static int64_t find_class(const zn_rt_folder *f, const char *name) {
    for (int64_t i = 0; i < f->classes; i++)
        if (!strcmp(f->class_name[i], name))
            return i;
    return -1;
}

static bool is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A folder of folders: of training it says what classes there are; others may lack some. */
static int add_split(zn_rt_folder *f, int split, const char *relative, zn_rt_error *e) {
    char path[ZN_RT_PATH_SIZE], name[ZN_RT_PATH_SIZE];
    listing l;
    if (!join(path, f->path, relative))
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", f->path, relative);
    int code = list(&l, path, e);
    if (!code && split == ZN_RT_TRAINING) {
        f->class_name = calloc((size_t)l.n + 1, sizeof *f->class_name);
        code = f->class_name ? 0 : no_memory(path, e);
    }
    for (int i = 0; i < l.n && !code; i++) {
        const char *class_name = l.at[i]->d_name;
        char whole[ZN_RT_PATH_SIZE];
        if (!join(name, relative, class_name) || !join(whole, f->path, name)) {
            code = zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", path, class_name);
            break;
        }
        if (!is_directory(whole))
            continue;
        int64_t label = split == ZN_RT_TRAINING ? f->classes : find_class(f, class_name);
        if (label < 0)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: there is no such class for training", whole);
        else if (label >= ZN_RT_CLASSES)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has more than %d classes", path, ZN_RT_CLASSES);
        if (!code && split == ZN_RT_TRAINING) {
            f->class_name[f->classes] = strdup(class_name);
            code = f->class_name[f->classes] ? 0 : no_memory(path, e);
            f->classes += !code;
        }
        if (!code)
            code = add_class(f, split, (uint16_t)label, name, e);
    }
    list_free(&l);
    if (!code && f->n[split] == 0)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: holds no folder of pictures, one for each class", path);
    return code;
}

int zn_rt_folder_scan(zn_rt_folder *f, const char *path, zn_rt_error *e) {
    char inner[ZN_RT_PATH_SIZE];
    *f = (zn_rt_folder){0};
    char *real = realpath(path, NULL);
    if (!real)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read the folder: %s", path, strerror(errno));
    bool fits = join(f->path, real, "");
    free(real);
    if (!fits || !join(inner, f->path, "train"))
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", path);
    bool divided = is_directory(inner);
    int code = add_split(f, ZN_RT_TRAINING, divided ? "train" : "", e);
    if (!code && divided && join(inner, f->path, "test") && is_directory(inner))
        code = add_split(f, ZN_RT_TEST, "test", e);
    return code;
}

void zn_rt_folder_close(zn_rt_folder *f) {
    for (int64_t i = 0; i < f->n[0] + f->n[1]; i++)
        free(f->file[i].path);
    for (int64_t i = 0; i < f->classes; i++)
        free(f->class_name[i]);
    free(f->file);
    free(f->class_name);
    *f = (zn_rt_folder){0};
}

/* The path of file i. */
static int path_of(const zn_rt_folder *f, int64_t i, char path[ZN_RT_PATH_SIZE], zn_rt_error *e) {
    return join(path, f->path, f->file[i].path)
               ? 0
               : zn_rt_fail(e, ZN_RT_INPUT, "the path %s/%s is too long", f->path, f->file[i].path);
}

int zn_rt_folder_decode(const zn_rt_folder *f, int64_t i, const int64_t shape[3], uint8_t *to, zn_rt_error *e) {
    char path[ZN_RT_PATH_SIZE];
    int code = path_of(f, i, path, e);
    return code ? code : zn_rt_image_read(path, shape, to, e);
}

typedef struct decoding {
    const zn_rt_folder *f;
    const int64_t *shape;
    uint8_t *const *to;
    atomic_llong bad; /* the first file known to be wrong */
    pthread_mutex_t lock;
    int code; /* of that file */
    zn_rt_error *e;
} decoding;

static void decode_files(void *ctx, int64_t begin, int64_t end, void *scratch) {
    decoding *d = ctx;
    int64_t image = d->shape[0] * d->shape[1] * d->shape[2];
    (void)scratch;
    for (int64_t i = begin; i < end && i < atomic_load(&d->bad); i++) {
        int split = i >= d->f->n[0];
        zn_rt_error e = {""};
        int code = zn_rt_folder_decode(d->f, i, d->shape, d->to[split] + (i - (split ? d->f->n[0] : 0)) * image, &e);
        if (!code)
            continue;
        pthread_mutex_lock(&d->lock);
        if (i < atomic_load(&d->bad)) {
            atomic_store(&d->bad, i);
            d->code = code;
            *d->e = e;
        }
        pthread_mutex_unlock(&d->lock);
    }
}

int zn_rt_folder_decode_all(const zn_rt_folder *f, const int64_t shape[3], uint8_t *const to[2], zn_rt_pool *pool,
                            zn_rt_error *e) {
    decoding d = {.f = f, .shape = shape, .to = to, .e = e};
    int64_t n = f->n[0] + f->n[1];
    atomic_init(&d.bad, n);
    pthread_mutex_init(&d.lock, NULL);
    if (pool)
        zn_rt_parfor(pool, decode_files, &d, n, 1);
    else
        decode_files(&d, 0, n, NULL);
    pthread_mutex_destroy(&d.lock);
    return d.code;
}

int zn_rt_read_images(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool,
                      zn_rt_error *e) {
    zn_rt_folder f;
    char path[ZN_RT_PATH_SIZE];
    int64_t shape[3] = {0};
    int code = zn_rt_folder_scan(&f, directory ? directory : zn_rt_source_text(r, "dir"), e);
    if (!code)
        code = path_of(&f, 0, path, e);
    if (!code)
        code = zn_rt_image_fit(path, d->in, shape, e);
    d->height = shape[0];
    d->width = shape[1];
    d->channels = shape[2];
    d->classes = f.classes;
    if (!code)
        code = zn_rt_folder_pixels(&f, d, pool, e);
    for (int s = 0; s <= ZN_RT_TEST && !code; s++) {
        zn_rt_split *split = &d->split[s];
        split->items = f.n[s];
        split->wide = zn_rt_dataset_alloc(f.n[s], sizeof *split->wide, e);
        if (!split->wide)
            code = ZN_RT_MEMORY;
        for (int64_t i = 0; i < f.n[s] && !code; i++)
            split->wide[i] = f.file[(s ? f.n[0] : 0) + i].label;
    }
    zn_rt_folder_close(&f);
    return code;
}
