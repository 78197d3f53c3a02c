/* See inputs.h. */
#include "runtime/inputs.h"

#include "runtime/image.h"

#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct list {
    char **at;
    int64_t n, room;
} list;

static bool push(list *l, const char *path) {
    if (l->n == l->room) {
        int64_t room = l->room ? 2 * l->room : 64;
        char **more = realloc(l->at, (size_t)room * sizeof *more);
        if (!more)
            return false;
        l->at = more;
        l->room = room;
    }
    l->at[l->n] = strdup(path);
    return l->at[l->n] && ++l->n;
}

static void list_free(list *l) {
    for (int64_t i = 0; i < l->n; i++)
        free(l->at[i]);
    free(l->at);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All pictures below a folder, hidden ones left out. */
static int find_pictures(list *l, const char *path, zn_rt_error *e) {
    char *copy = strdup(path), *roots[2] = {copy, NULL};
    FTS *walk = copy ? fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL) : NULL;
    int code = walk ? 0 : zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read the folder: %s", path, strerror(errno));
    for (FTSENT *f; !code && (f = fts_read(walk)) != NULL;) {
        if (f->fts_level > 0 && f->fts_name[0] == '.')
            fts_set(walk, f, FTS_SKIP);
        else if (f->fts_info == FTS_SLNONE && zn_rt_image_named(f->fts_name))
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: is a link to a file that is not there", f->fts_path);
        else if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR || f->fts_info == FTS_NS)
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot read: %s", f->fts_path, strerror(f->fts_errno));
        else if (f->fts_info == FTS_F && zn_rt_image_named(f->fts_name) && !push(l, f->fts_path))
            code = zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for the names in it", path);
    }
    if (walk)
        fts_close(walk);
    free(copy);
    if (!code && l->n == 0)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: holds no .png, .jpg or .jpeg file", path);
    if (l->n > 0)
        qsort(l->at, (size_t)l->n, sizeof *l->at, by_bytes);
    return code;
}

static int read_pictures(zn_rt_inputs *x, list *l, zn_rt_error *e) {
    zn_rt_dataset *d = &x->data;
    zn_rt_split *s = &d->split[ZN_RT_TRAINING];
    int64_t shape[3];
    int code = zn_rt_image_fit(l->at[0], d->in, shape, e);
    if (code)
        return code;
    d->height = shape[0];
    d->width = shape[1];
    d->channels = shape[2];
    s->items = l->n;
    s->pixels = zn_rt_dataset_alloc(l->n, shape[0] * shape[1] * shape[2], e);
    if (!s->pixels)
        return ZN_RT_MEMORY;
    for (int64_t i = 0; i < l->n && !code; i++)
        code = zn_rt_image_read(l->at[i], shape, s->pixels + i * shape[0] * shape[1] * shape[2], e);
    x->name = l->at; /* they are the samples' names from here on */
    return code;
}

static int read_samples(zn_rt_inputs *x, const char *path, zn_rt_pool *pool, zn_rt_error *e) {
    struct stat st;
    list l = {0};
    size_t n = strlen(path);
    if (stat(path, &st) != 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode) && n > 4 && !strcmp(path + n - 4, ".npy"))
        return zn_rt_read_npy_images(&x->data, ZN_RT_TRAINING, path, pool, e);
    int code = 0;
    if (S_ISDIR(st.st_mode))
        code = find_pictures(&l, path, e);
    else if (!push(&l, path))
        code = zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for a name");
    if (!code)
        code = read_pictures(x, &l, e);
    if (!x->name)
        list_free(&l);
    return code;
}

int zn_rt_inputs_open(zn_rt_inputs *x, const zn_module_desc *m, const char *path, zn_rt_pool *pool, zn_rt_error *e) {
    *x = (zn_rt_inputs){.data = {.in = &m->input}};
    int code = read_samples(x, path, pool, e);
    zn_rt_split *s = &x->data.split[ZN_RT_TRAINING];
    if (!code)
        code = zn_rt_dataset_fit(&x->data, e);
    s->n = s->items;
    if (!code && s->n > INT32_MAX)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: has more than 2^31 - 1 images", path);
    if (!code && m->input.targets) {
        s->targets = zn_rt_dataset_alloc(s->n, (int64_t)m->input.targets * (int64_t)sizeof *s->targets, e);
        code = s->targets ? 0 : ZN_RT_MEMORY;
        if (!code)
            memset(s->targets, 0, (size_t)s->n * (size_t)m->input.targets * sizeof *s->targets);
    }
    if (code)
        zn_rt_inputs_close(x);
    return code;
}

void zn_rt_inputs_close(zn_rt_inputs *x) {
    for (int64_t i = 0; x->name && i < x->data.split[ZN_RT_TRAINING].items; i++)
        free(x->name[i]);
    free(x->name);
    x->name = NULL;
    zn_rt_dataset_close(&x->data);
}
