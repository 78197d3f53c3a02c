/* JPEG by libjpeg-turbo (see runtime/image.h), loaded when the first one is read. The library is that of the header
 * this was compiled with: its structs are part of its interface, which is numbered (62 in Debian, 80 in Ubuntu).
 *
 * libjpeg leaves a call that fails by longjmp: everything that lives across such a call is in `job`. Warnings are
 * errors: they speak of data that is damaged or missing. */
#include "runtime/image.h"

#include <dlfcn.h>
#include <stdio.h> /* before jpeglib.h, which needs it */

#include <jpeglib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if JPEG_LIB_VERSION >= 80
#define LIBRARY "libjpeg.so.8"
#define PACKAGE "libjpeg-turbo8"
#else
#define LIBRARY "libjpeg.so.62"
#define PACKAGE "libjpeg62-turbo"
#endif

enum { MOST_SCANS = 200 }; /* of a progressive file: each goes over the whole picture */

#define FUNCTIONS(X)                                                                                                   \
    X(jpeg_std_error)                                                                                                  \
    X(jpeg_CreateDecompress)                                                                                           \
    X(jpeg_destroy_decompress)                                                                                         \
    X(jpeg_mem_src)                                                                                                    \
    X(jpeg_read_header)                                                                                                \
    X(jpeg_start_decompress)                                                                                           \
    X(jpeg_read_scanlines)                                                                                             \
    X(jpeg_finish_decompress)

static struct {
#define X(f) __typeof__(&f) f;
    FUNCTIONS(X)
#undef X
    bool ok;
    char why[512];
} lib;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static void load(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL), *at;
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
    struct jpeg_decompress_struct jpeg; /* its client_data is this */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    zn_rt_decoding *d;
} job;

static _Noreturn void stop(job *j, const char *why) {
    j->d->code = zn_rt_fail(j->d->e, ZN_RT_INPUT, "%s: is a damaged JPEG file: %s", j->d->p->path, why);
    longjmp(j->out, 1);
}

static void failed(j_common_ptr jpeg) {
    char why[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, why);
    stop(jpeg->client_data, why);
}

static void messaged(j_common_ptr jpeg, int level) {
    if (level < 0)
        failed(jpeg);
}

static void progressed(j_common_ptr jpeg) {
    job *j = jpeg->client_data;
    if (j->jpeg.input_scan_number > MOST_SCANS)
        stop(j, "it has more than 200 scans");
}

/* Between here and the end any call may leave by longjmp. */
static void read_picture(job *j) {
    zn_rt_decoding *d = j->d;
    struct jpeg_decompress_struct *c = &j->jpeg;
    lib.jpeg_CreateDecompress(c, JPEG_LIB_VERSION, sizeof *c);
    j->progress.progress_monitor = progressed;
    c->progress = &j->progress;
    lib.jpeg_mem_src(c, (unsigned char *)(uintptr_t)d->p->at, (unsigned long)d->p->n);
    lib.jpeg_read_header(c, TRUE);
    if (c->num_components != 1 && c->num_components != 3) {
        d->code = zn_rt_fail(d->e, ZN_RT_INPUT, "%s: has %d components, as CMYK has; 1 and 3 are supported", d->p->path,
                             c->num_components);
        return;
    }
    c->out_color_space = c->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    uint8_t *rows = zn_rt_decoding_begin(d, c->image_height, c->image_width, c->num_components);
    if (!rows)
        return;
    lib.jpeg_start_decompress(c);
    if (c->output_components != d->channels || c->output_width != c->image_width || c->output_height != c->image_height)
        stop(j, "it gives another picture than its header says");
    while (c->output_scanline < c->output_height) {
        JSAMPROW row = rows + (size_t)c->output_scanline * c->output_width * (size_t)d->channels;
        lib.jpeg_read_scanlines(c, &row, 1);
    }
    lib.jpeg_finish_decompress(c);
}

/* A function of its own, so that nothing local to it is changed behind the setjmp. */
static void guarded(job *j) {
    if (setjmp(j->out) == 0)
        read_picture(j);
}

int zn_rt_decode_jpeg(zn_rt_decoding *d) {
    pthread_once(&load_once, load);
    if (!lib.ok)
        return zn_rt_fail(d->e, ZN_RT_INPUT,
                          "%s: JPEG files are read by libjpeg-turbo, which cannot be loaded: %s (package " PACKAGE ")",
                          d->p->path, lib.why);
    job j = {.d = d};
    j.jpeg.err = lib.jpeg_std_error(&j.errors);
    j.jpeg.client_data = &j;
    j.errors.error_exit = failed;
    j.errors.emit_message = messaged;
    guarded(&j);
    lib.jpeg_destroy_decompress(&j.jpeg);
    return d->code;
}
