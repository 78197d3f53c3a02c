/* A picture through the decoder, as the targets png and jpeg do. */
#ifndef ZN_TESTS_FUZZ_PICTURES_H
#define ZN_TESTS_FUZZ_PICTURES_H

#include "runtime/image.h"
#include "tests/fuzz/data.h"

#include <stdlib.h>
#include <string.h>

enum { FZ_MAX_PICTURE = 8192, FZ_MAX_PIXELS = 1 << 14 };

/* Decodes a file of its own size, grey and in colours, and as another size; twice the same comes out. */
static inline void fz_picture(const unsigned char *data, size_t size) {
    int64_t shape[3], channels;
    zn_rt_error e = {""};
    unsigned char *exact = malloc(size + !size); /* so that a sanitizer sees what reads on */
    FZ_LAW(exact);
    memcpy(exact, data, size);
    const zn_rt_picture p = {"input", exact, size};
    int code = zn_rt_image_shape(&p, shape, &e);
    fz_outcome(code, &e);
    for (channels = 1; !code && channels <= 3 && shape[0] * shape[1] <= FZ_MAX_PIXELS; channels += 2) {
        size_t bytes = (size_t)(shape[0] * shape[1] * channels);
        unsigned char *to = malloc(bytes), *again = malloc(bytes);
        FZ_LAW(to && again);
        int outcome = zn_rt_image_decode(&p, (const int64_t[]){shape[0], shape[1], channels}, to, &e);
        fz_outcome(outcome, &e);
        FZ_LAW(zn_rt_image_decode(&p, (const int64_t[]){shape[0], shape[1], channels}, again, &e) == outcome);
        FZ_LAW(outcome || memcmp(to, again, bytes) == 0);
        FZ_LAW(zn_rt_image_decode(&p, (const int64_t[]){shape[0] + 1, shape[1], channels}, to, &e) == ZN_RT_INPUT);
        free(to);
        free(again);
    }
    free(exact);
}

#endif
