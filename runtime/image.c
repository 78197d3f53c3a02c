/* Pictures (see runtime/image.h): which decoder a file needs, its size before anything is allocated, and the channels
 * that the network takes. */
#include "runtime/image.h"

#include "runtime/mapped.h"

#include "support/number.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST = 1 << 16 }; /* pixels on a side, where no network says how many */

static int decode(zn_rt_decoding *d) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
    const zn_rt_picture *p = d->p;
    if (p->n >= sizeof png && !memcmp(p->at, png, sizeof png))
        return zn_rt_decode_png(d);
    if (p->n >= sizeof jpeg && !memcmp(p->at, jpeg, sizeof jpeg))
        return zn_rt_decode_jpeg(d);
    return zn_rt_fail(d->e, ZN_RT_INPUT, "%s: is neither a PNG nor a JPEG file", p->path);
}

uint8_t *zn_rt_decoding_begin(zn_rt_decoding *d, int64_t height, int64_t width, int channels) {
    int64_t bytes;
    d->height = height;
    d->width = width;
    d->channels = channels;
    if (height < 1 || width < 1 || height > MOST || width > MOST) {
        d->code =
            zn_rt_fail(d->e, ZN_RT_INPUT, "%s: is %" PRId64 " x %" PRId64 ", too large", d->p->path, height, width);
        return NULL;
    }
    if (!d->want)
        return NULL;
    if (height != d->want[0] || width != d->want[1]) {
        d->code =
            zn_rt_fail(d->e, ZN_RT_INPUT,
                       "%s: is %" PRId64 " x %" PRId64 " (height x width); the network takes %" PRId64 " x %" PRId64,
                       d->p->path, height, width, d->want[0], d->want[1]);
        return NULL;
    }
    if (!zn_mul_ok(height * width, channels, &bytes) || !(d->rows = malloc((size_t)bytes)))
        d->code = zn_rt_fail(d->e, ZN_RT_MEMORY, "%s: cannot get memory for %" PRId64 " x %" PRId64 " pixels",
                             d->p->path, height, width);
    return d->rows;
}

bool zn_rt_image_named(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

int zn_rt_image_shape(const zn_rt_picture *p, int64_t shape[3], zn_rt_error *e) {
    zn_rt_decoding d = {.p = p, .e = e};
    int code = decode(&d);
    if (code)
        return code;
    shape[0] = d.height;
    shape[1] = d.width;
    shape[2] = d.channels < 3 ? 1 : 3;
    return 0;
}

/* One pixel of `have` channels as `want` of them; false: it cannot be without loss, for the reason given. */
static bool convert(const uint8_t *from, int have, int64_t want, uint8_t *to, const char **why) {
    bool alpha = have == 2 || have == 4;
    int colours = have - alpha;
    *why = "has transparent pixels";
    if (alpha && from[colours] != 255)
        return false;
    *why = "has colours; the network takes grey images";
    if (want == 1 && colours == 3 && (from[0] != from[1] || from[0] != from[2]))
        return false;
    for (int64_t c = 0; c < want; c++)
        to[c] = from[colours == 3 ? c : 0];
    return true;
}

int zn_rt_image_decode(const zn_rt_picture *p, const int64_t shape[3], uint8_t *to, zn_rt_error *e) {
    zn_rt_decoding d = {.p = p, .want = shape, .e = e};
    const char *why = NULL;
    if (shape[2] != 1 && shape[2] != 3)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: pictures have 1 channel or 3; the network takes %" PRId64, p->path,
                          shape[2]);
    int code = decode(&d);
    for (int64_t i = 0; !code && i < shape[0] * shape[1]; i++)
        if (!convert(d.rows + i * d.channels, d.channels, shape[2], to + i * shape[2], &why))
            code = zn_rt_fail(e, ZN_RT_INPUT, "%s: %s (row %" PRId64 ", column %" PRId64 ")", p->path, why,
                              i / shape[1], i % shape[1]);
    free(d.rows);
    return code;
}

int zn_rt_image_read(const char *path, const int64_t shape[3], uint8_t *to, zn_rt_error *e) {
    zn_rt_mapped m = {0};
    int code = zn_rt_map(&m, path, e);
    if (!code)
        code = zn_rt_image_decode(&(zn_rt_picture){path, m.at, m.size}, shape, to, e);
    zn_rt_unmap(&m);
    return code;
}

int zn_rt_image_fit(const char *path, const zn_input_desc *in, int64_t shape[3], zn_rt_error *e) {
    zn_rt_mapped m = {0};
    int64_t elements = in->height * in->width * in->channels;
    shape[0] = in->height;
    shape[1] = in->width;
    shape[2] = in->channels;
    if (in->rank != 1)
        return 0;
    int code = zn_rt_map(&m, path, e);
    if (!code)
        code = zn_rt_image_shape(&(zn_rt_picture){path, m.at, m.size}, shape, e);
    zn_rt_unmap(&m);
    if (code)
        return code;
    shape[2] = elements / (shape[0] * shape[1]);
    if (elements % (shape[0] * shape[1]) != 0 || (shape[2] != 1 && shape[2] != 3))
        return zn_rt_fail(e, ZN_RT_INPUT,
                          "%s: is %" PRId64 " x %" PRId64 " (height x width); the network takes %" PRId64 " numbers",
                          path, shape[0], shape[1], elements);
    return 0;
}
