/* See runtime/outputs.h. The format is version 1.0 of numpy.lib.format: a header of text, padded to 64 bytes. */
#include "runtime/outputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEADER = 128 }; /* the shape's digits fit */

static int refused(zn_rt_outputs *o, const char *path, zn_rt_error *e) {
    int code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", path, strerror(errno));
    zn_rt_outputs_close(o);
    return code;
}

int zn_rt_outputs_open(zn_rt_outputs *o, const char *path, int64_t rows, int64_t columns, zn_rt_error *e) {
    char header[HEADER + 1];
    const unsigned char magic[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER - 10, 0};
    if (!zn_file_create(&o->f, path, true))
        return refused(o, path, e);
    o->open = true;
    memcpy(header, magic, sizeof magic);
    int n = snprintf(header + sizeof magic, HEADER - sizeof magic,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }", rows, columns);
    size_t end = sizeof magic + (size_t)n;
    memset(header + end, ' ', HEADER - end);
    header[HEADER - 1] = '\n';
    return zn_file_add(&o->f, header, HEADER) ? 0 : refused(o, path, e);
}

int zn_rt_outputs_add(zn_rt_outputs *o, const float *x, int64_t n, zn_rt_error *e) {
    return zn_file_add(&o->f, x, (size_t)n * sizeof *x) ? 0 : refused(o, o->f.path, e);
}

int zn_rt_outputs_finish(zn_rt_outputs *o, zn_rt_error *e) {
    o->open = false;
    return zn_file_finish(&o->f) ? 0 : refused(o, o->f.path, e);
}

void zn_rt_outputs_close(zn_rt_outputs *o) {
    if (o->open)
        zn_file_discard(&o->f);
    o->open = false;
}
