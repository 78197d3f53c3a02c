/* Sources that are drawn and not read: digits and noise (runtime/digits.h). */
#include "runtime/dataset.h"

#include "runtime/digits.h"

#include <inttypes.h>

int zn_rt_read_digits(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool,
                      zn_rt_error *e) {
    enum { IMAGE = ZN_DIGITS_SIDE * ZN_DIGITS_SIDE };
    int64_t seed = zn_rt_source_number(r, "seed");
    (void)directory, (void)pool;
    d->height = d->width = ZN_DIGITS_SIDE;
    d->channels = 1;
    d->classes = 10;
    for (int s = 0; s < 2; s++) {
        int code = zn_rt_dataset_alloc_split(d, s, s == 0 ? ZN_DIGITS_TRAIN : ZN_DIGITS_TEST, e);
        if (code)
            return code;
        for (int64_t i = 0; i < d->split[s].items; i++)
            d->split[s].labels[i] =
                zn_rt_digit_draw((uint64_t)seed, (uint32_t)s, (uint32_t)i, d->split[s].pixels + i * IMAGE);
    }
    return 0;
}

static void put_label(zn_rt_split *s, int64_t i, uint16_t label) {
    if (s->wide)
        s->wide[i] = label;
    else
        s->labels[i] = (uint8_t)label;
}

int zn_rt_read_noise(zn_rt_dataset *d, const zn_data_desc *r, const char *directory, zn_rt_pool *pool, zn_rt_error *e) {
    static const char *const name[5] = {"h", "w", "c", "classes", "n"};
    int64_t shape[5], seed = zn_rt_source_number(r, "seed");
    (void)directory, (void)pool;
    for (int i = 0; i < 5; i++)
        shape[i] = zn_rt_source_number(r, name[i]);
    for (int i = 0; i < 4; i++)
        if (shape[i] < 1)
            return zn_rt_fail(e, ZN_RT_INPUT, "noise needs a height, width, channels and classes of at least 1");
    if (shape[3] > ZN_RT_CLASSES)
        return zn_rt_fail(e, ZN_RT_INPUT, "noise has at most %d classes; %" PRId64 " asked for", ZN_RT_CLASSES,
                          shape[3]);
    if (shape[4] < 10 || shape[4] > UINT32_MAX)
        return zn_rt_fail(e, ZN_RT_INPUT, "noise needs between 10 and 2^32 - 1 images; %" PRId64 " asked for",
                          shape[4]);
    d->height = shape[0];
    d->width = shape[1];
    d->channels = shape[2];
    d->classes = shape[3];
    for (int s = 0; s < 2; s++) {
        int code = zn_rt_dataset_alloc_split(d, s, s == 0 ? shape[4] : shape[4] / 10, e);
        if (code)
            return code;
        int64_t image = d->height * d->width * d->channels;
        for (int64_t i = 0; i < d->split[s].items; i++)
            put_label(&d->split[s], i,
                      zn_rt_noise_draw((uint64_t)seed, (uint32_t)s, (uint32_t)i, (uint32_t)shape[3], image,
                                       d->split[s].pixels + i * image));
    }
    return 0;
}
