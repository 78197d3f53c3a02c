/* PNG by libpng (see runtime/image.h), loaded when the first one is read.
 *
 * libpng leaves a call that fails by longjmp: everything that lives across such a call is in `job`, not on the stack.
 */
#include "runtime/image.h"

#include <dlfcn.h>
#include <png.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(X)                                                                                                   \
    X(png_get_libpng_ver)                                                                                              \
    X(png_create_read_struct)                                                                                          \
    X(png_create_info_struct)                                                                                          \
    X(png_destroy_read_struct)                                                                                         \
    X(png_set_read_fn)                                                                                                 \
    X(png_get_io_ptr)                                                                                                  \
    X(png_get_error_ptr)                                                                                               \
    X(png_set_keep_unknown_chunks)                                                                                     \
    X(png_set_user_limits)                                                                                             \
    X(png_read_info)                                                                                                   \
    X(png_get_IHDR)                                                                                                    \
    X(png_get_valid)                                                                                                   \
    X(png_set_palette_to_rgb)                                                                                          \
    X(png_set_expand_gray_1_2_4_to_8)                                                                                  \
    X(png_set_tRNS_to_alpha)                                                                                           \
    X(png_set_interlace_handling)                                                                                      \
    X(png_read_update_info)                                                                                            \
    X(png_get_channels)                                                                                                \
    X(png_get_rowbytes)                                                                                                \
    X(png_read_image)                                                                                                  \
    X(png_read_end)

static struct {
#define X(f) __typeof__(&f) f;
    FUNCTIONS(X)
#undef X
    bool ok;
    char why[512];
} lib;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static void load(void) {
    void *library = dlopen("libpng16.so.16", RTLD_NOW | RTLD_LOCAL), *at;
    lib.ok = library != NULL;
#define X(f)                                                                                                           \
    at = lib.ok ? dlsym(library, #f) : NULL;                                                                           \
    memcpy(&lib.f, &at, sizeof at); /* ISO C has no cast from an object's address to a function's */                   \
    lib.ok = at != NULL;
    FUNCTIONS(X)
#undef X
    const char *why = lib.ok ? "" : dlerror();
    snprintf(lib.why, sizeof lib.why, "%s", why ? why : "no reason given");
}

typedef struct job {
    jmp_buf out;
    zn_rt_decoding *d;
    size_t i; /* the next byte */
    png_structp png;
    png_infop info;
    png_bytep *row;
} job;

static _Noreturn void failed(png_structp png, png_const_charp why) {
    job *j = lib.png_get_error_ptr(png);
    j->d->code =
        zn_rt_fail(j->d->e, ZN_RT_INPUT, "%s: is a damaged PNG file: %s, at byte %zu", j->d->p->path, why, j->i);
    longjmp(j->out, 1);
}

static void warned(png_structp png, png_const_charp why) {
    (void)png, (void)why; /* of parts that are not looked at */
}

static void read_bytes(png_structp png, png_bytep to, size_t n) {
    job *j = lib.png_get_io_ptr(png);
    if (n > j->d->p->n - j->i)
        failed(png, "it ends early");
    memcpy(to, j->d->p->at + j->i, n);
    j->i += n;
}

/* Between here and the end any call may leave by longjmp. */
static void read_picture(job *j) {
    png_uint_32 width, height;
    int depth, kind;
    zn_rt_decoding *d = j->d;
    lib.png_set_read_fn(j->png, j, read_bytes);
    lib.png_set_user_limits(j->png, 1 << 16, 1 << 16);
    /* of parts that no pixel depends on (texts, profiles) nothing is unpacked */
    lib.png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    lib.png_read_info(j->png, j->info);
    lib.png_get_IHDR(j->png, j->info, &width, &height, &depth, &kind, NULL, NULL, NULL);
    if (depth == 16) {
        d->code = zn_rt_fail(d->e, ZN_RT_INPUT, "%s: has 16 bits a channel; 8 are supported", d->p->path);
        return;
    }
    if (kind == PNG_COLOR_TYPE_PALETTE)
        lib.png_set_palette_to_rgb(j->png);
    if (kind == PNG_COLOR_TYPE_GRAY && depth < 8)
        lib.png_set_expand_gray_1_2_4_to_8(j->png);
    if (lib.png_get_valid(j->png, j->info, PNG_INFO_tRNS))
        lib.png_set_tRNS_to_alpha(j->png);
    lib.png_set_interlace_handling(j->png);
    lib.png_read_update_info(j->png, j->info);
    uint8_t *rows = zn_rt_decoding_begin(d, height, width, lib.png_get_channels(j->png, j->info));
    if (!rows)
        return;
    size_t bytes = (size_t)width * (size_t)d->channels;
    j->row = malloc(height * sizeof *j->row);
    if (!j->row || lib.png_get_rowbytes(j->png, j->info) != bytes) {
        d->code = zn_rt_fail(d->e, ZN_RT_MEMORY, "%s: cannot get memory for its rows", d->p->path);
        return;
    }
    for (size_t y = 0; y < height; y++)
        j->row[y] = rows + y * bytes;
    lib.png_read_image(j->png, j->row);
    lib.png_read_end(j->png, NULL); /* and with it the checksums */
}

/* A function of its own, so that nothing local to it is changed behind the setjmp. */
static void guarded(job *j) {
    if (setjmp(j->out) == 0)
        read_picture(j);
}

int zn_rt_decode_png(zn_rt_decoding *d) {
    pthread_once(&load_once, load);
    if (!lib.ok)
        return zn_rt_fail(d->e, ZN_RT_INPUT,
                          "%s: PNG files are read by libpng, which cannot be loaded: %s (package libpng16-16 of Debian "
                          "and Ubuntu)",
                          d->p->path, lib.why);
    job j = {.d = d};
    j.png = lib.png_create_read_struct(lib.png_get_libpng_ver(NULL), &j, failed, warned);
    j.info = j.png ? lib.png_create_info_struct(j.png) : NULL;
    if (!j.info)
        d->code = zn_rt_fail(d->e, ZN_RT_MEMORY, "%s: cannot get memory to read it", d->p->path);
    else
        guarded(&j);
    lib.png_destroy_read_struct(&j.png, &j.info, NULL);
    free(j.row);
    return d->code;
}
