/* See constants.h: every training image goes through the loader, so that what is compared is what the network reads. */
#include "runtime/constants.h"

#include "runtime/cpu.h"
#include "runtime/loader.h"

#include <math.h>
#include <string.h>

/* What differs from the first image of all becomes NAN. */
static void compare(const zn_input_desc *in, const float *batch, int64_t n, bool first, float *pixel) {
    int64_t row = in->width * in->channels;
    for (int64_t k = 0; k < n; k++)
        for (int64_t y = 0; y < in->height; y++) {
            const float *x = batch + in->first + (uint64_t)k * in->image_pitch + (uint64_t)y * in->pitch;
            float *p = pixel + y * row;
            for (int64_t i = 0; i < row; i++)
                if (first && k == 0)
                    p[i] = x[i];
                else if (memcmp(&p[i], &x[i], sizeof *p))
                    p[i] = NAN;
        }
}

static void read_all(const zn_module_desc *m, const zn_rt_memory *mem, zn_rt_loader *l, int64_t samples, float *pixel) {
    int64_t batch = m->input.batch;
    for (int64_t at = 0; at < samples; at += batch) {
        zn_rt_loader_request(l, 0, (zn_rt_load){.split = ZN_RT_TRAINING, .position = at});
        zn_rt_loader_wait(l);
        compare(&m->input, (const float *)(const void *)(mem->batch[0] + m->input.image),
                samples - at < batch ? samples - at : batch, at == 0, pixel);
    }
}

static void join_channels(const zn_input_desc *in, const float *pixel, float *channel) {
    for (int64_t i = 0; i < in->height * in->width * in->channels; i++) {
        float *c = &channel[i % in->channels];
        if (i < in->channels)
            *c = pixel[i];
        else if (memcmp(c, &pixel[i], sizeof *c))
            *c = NAN;
    }
}

int zn_rt_constants(const zn_module_desc *m, const char *directory, float *channel, float *pixel, bool *augmented,
                    zn_rt_error *e) {
    const zn_input_desc *in = &m->input;
    zn_rt_memory mem = {0};
    zn_rt_dataset data = {0};
    zn_rt_loader *loader = NULL;
    zn_rt_pool *pool = NULL;
    *augmented = m->data.crop > 0 || m->data.flip != ZN_FLIP_NONE || m->data.cutout > 0;
    for (int64_t i = 0; i < in->height * in->width * in->channels; i++)
        pixel[i] = NAN;
    for (int64_t i = 0; i < in->channels; i++)
        channel[i] = NAN;
    int code = zn_rt_memory_open(&mem, m, e);
    if (!code)
        code = zn_rt_pool_open(&pool, zn_rt_processors(), mem.scratch_size, NULL, e);
    if (!code)
        code = zn_rt_dataset_open(&data, m, directory, pool, e);
    if (!code)
        code = zn_rt_loader_open(&loader, m, &data, &mem, 1, pool, e);
    if (!code && !*augmented) {
        read_all(m, &mem, loader, data.split[ZN_RT_TRAINING].n, pixel);
        join_channels(in, pixel, channel);
    }
    zn_rt_loader_close(loader);
    zn_rt_pool_close(pool);
    zn_rt_dataset_close(&data);
    zn_rt_memory_close(&mem);
    return code;
}
