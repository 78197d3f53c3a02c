/* The loader (see runtime/loader.h): a thread, a table of 256 floats a channel for bytes, and Philox.
 *
 * Samples come in the order of runtime/order.h. Augmentation takes words 0, 1, 2 of counter (sample, epoch, 0, 0) of
 * the stream (seed, augment): rows, columns, and flip if the top bit is set; word 3 is the middle of a cutout. An
 * alternating flip takes the top bit of word 0 of counter (sample, 0, 1, 0) once, and its inverse in odd epochs.
 * Padding is the pixel 0 before it is normalised. A pixel's float is (float)((p / 255 - mean) / deviation), computed
 * once; that of a pixel p that is a float itself is (float)((p - mean) / deviation). Only interiors are written: what
 * lies between images and rows stays as the map was, zero. */
#include "runtime/loader.h"

#include "runtime/statistics.h"

#include "support/math.h"
#include "support/philox.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct zn_rt_loader {
    const zn_input_desc *in;
    const zn_rt_dataset *data;
    int64_t crop, cutout;
    bool reflect;
    uint64_t flip; /* a zn_flip */
    uint64_t seed;
    char *memory[ZN_RT_BATCHES];
    uint64_t row_pitch;       /* floats from one row of an image to the next */
    int values;               /* that have their number in the table: 256, or 1, the pixel 0, where pixels are floats */
    float *table;             /* [channels][values] */
    double *mean, *deviation; /* [channels] */
    zn_rt_pixel *pixel;       /* [channels]: what the table was made from */
    uint32_t *order;          /* of epoch order_epoch */
    int64_t order_epoch;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t asked, filled;
    bool started, quit;
    atomic_bool busy; /* set by request, cleared by the thread */
    int batch;
    zn_rt_load what;
};

/* Element `at` of the data set's pixels, from here on. */
typedef struct source {
    const uint8_t *bytes; /* NULL: */
    const float *floats;
} source;

static source source_at(const zn_rt_split *s, int64_t at) {
    return s->floats ? (source){.floats = s->floats + at} : (source){.bytes = s->pixels + at};
}

static source source_step(source s, int64_t n) {
    return s.floats ? (source){.floats = s.floats + n} : (source){.bytes = s.bytes + n};
}

static float number(const zn_rt_loader *l, int64_t channel, float x) {
    return (float)(((double)x - l->mean[channel]) / l->deviation[channel]);
}

/* n pixels of a row that are floats; step as below. */
static void fill_floats(const zn_rt_loader *l, const float *from, int64_t step, int64_t n, float *to) {
    int64_t channels = l->data->channels;
    for (int64_t x = 0; x < n; x++, from += channels * step, to += channels)
        for (int64_t c = 0; c < channels; c++)
            to[c] = number(l, c, from[c]);
}

/* n pixels of a row; step is +1, or -1 to read the row from its end. */
static void fill_row(const zn_rt_loader *l, source s, int64_t step, int64_t n, float *to) {
    const float *table = l->table;
    const uint8_t *from = s.bytes;
    int64_t channels = l->data->channels;
    if (s.floats) {
        fill_floats(l, s.floats, step, n, to);
    } else if (channels == 1) {
        for (int64_t x = 0; x < n; x++, from += step)
            to[x] = table[*from];
    } else if (channels == 3) {
        for (int64_t x = 0; x < n; x++, from += 3 * step, to += 3) {
            to[0] = table[from[0]];
            to[1] = table[256 + from[1]];
            to[2] = table[512 + from[2]];
        }
    } else {
        for (int64_t x = 0; x < n; x++, from += channels * step, to += channels)
            for (int64_t c = 0; c < channels; c++)
                to[c] = table[256 * c + from[c]];
    }
}

static void fill_padding(const zn_rt_loader *l, int64_t n, float *to) {
    for (int64_t x = 0; x < n; x++)
        for (int64_t c = 0; c < l->data->channels; c++)
            *to++ = l->table[l->values * c];
}

/* Image moved by (dy, dx): row y of the result is row y + dy, padding outside; then mirrored. */
static void fill_image(const zn_rt_loader *l, source pixels, int64_t dy, int64_t dx, bool mirror, float *to) {
    int64_t h = l->data->height, w = l->data->width, c = l->data->channels;
    int64_t before = dx < 0 ? -dx : 0, after = dx > 0 ? dx : 0; /* columns of padding */
    if (before + after > w)
        before = w, after = 0;
    int64_t inside = w - before - after;
    int64_t left = mirror ? after : before, right = mirror ? before : after;
    for (int64_t y = 0; y < h; y++, to += l->row_pitch) {
        int64_t from = y + dy;
        if (from < 0 || from >= h || inside == 0) {
            fill_padding(l, w, to);
            continue;
        }
        int64_t first = (from * w + (dx > 0 ? dx : 0)) + (mirror ? inside - 1 : 0);
        fill_padding(l, left, to);
        fill_row(l, source_step(pixels, first * c), mirror ? -1 : 1, inside, to + left * c);
        fill_padding(l, right, to + (left + inside) * c);
    }
}

/* i of a line of n that goes on mirrored at both ends, the ends themselves once. */
static int64_t reflected(int64_t i, int64_t n) {
    int64_t period = 2 * (n - 1);
    if (n == 1)
        return 0;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

/* The same as fill_image with the image mirrored where that has padding. */
static void fill_reflected(const zn_rt_loader *l, source pixels, int64_t dy, int64_t dx, bool mirror, float *to) {
    int64_t h = l->data->height, w = l->data->width, c = l->data->channels;
    for (int64_t y = 0; y < h; y++, to += l->row_pitch) {
        int64_t row = reflected(y + dy, h) * w;
        for (int64_t x = 0; x < w; x++)
            fill_row(l, source_step(pixels, (row + reflected((mirror ? w - 1 - x : x) + dx, w)) * c), 1, 1, to + x * c);
    }
}

/* The pixel 0 in a square around element `middle`, as far as it lies inside. */
static void cut_out(const zn_rt_loader *l, int64_t middle, float *to) {
    int64_t h = l->data->height, w = l->data->width, c = l->data->channels;
    int64_t top = middle / w - l->cutout / 2, left = middle % w - l->cutout / 2;
    int64_t bottom = top + l->cutout < h ? top + l->cutout : h, right = left + l->cutout < w ? left + l->cutout : w;
    top = top > 0 ? top : 0;
    left = left > 0 ? left : 0;
    for (int64_t y = top; y < bottom && left < right; y++)
        fill_padding(l, right - left, to + (uint64_t)y * l->row_pitch + left * c);
}

/* How an epoch changes a sample. */
static void fill_augmented(const zn_rt_loader *l, zn_philox_key key, uint32_t sample, uint32_t epoch, source pixels,
                           float *to) {
    uint32_t w[4], side[4], places = (uint32_t)(2 * l->crop + 1);
    bool mirror = false;
    zn_philox(key, sample, epoch, 0, 0, w);
    int64_t dy = (int64_t)zn_philox_below(w[0], places) - l->crop,
            dx = (int64_t)zn_philox_below(w[1], places) - l->crop;
    if (l->flip == ZN_FLIP_RANDOM)
        mirror = w[2] >> 31;
    if (l->flip == ZN_FLIP_ALTERNATE) {
        zn_philox(key, sample, 0, 1, 0, side);
        mirror = (side[0] >> 31) ^ (epoch & 1);
    }
    (l->reflect ? fill_reflected : fill_image)(l, pixels, dy, dx, mirror, to);
    if (l->cutout)
        cut_out(l, zn_philox_below(w[3], (uint32_t)(l->data->height * l->data->width)), to);
}

/* The label of an item as place i of the batch has it. */
static void fill_label(const zn_rt_loader *l, const zn_rt_split *s, int64_t item, int64_t i, char *to) {
    size_t n = (size_t)l->in->targets;
    if (n)
        memcpy(to + (size_t)i * n * sizeof *s->targets, s->targets + (size_t)item * n, n * sizeof *s->targets);
    else
        ((int32_t *)(void *)to)[i] = zn_rt_label(s, item);
}

static void fill(zn_rt_loader *l, int batch, const zn_rt_load *what) {
    const zn_rt_split *s = &l->data->split[what->split];
    int64_t image = l->data->height * l->data->width * l->data->channels;
    float *to = (float *)(void *)(l->memory[batch] + l->in->image) + l->in->first;
    char *labels = l->memory[batch] + l->in->labels;
    zn_philox_key key = zn_philox_key_make(l->seed, ZN_PURPOSE_AUGMENT, "");
    if (what->shuffled && l->order_epoch != (int64_t)what->epoch) {
        zn_rt_order(l->seed, what->epoch, s->n, l->order);
        l->order_epoch = what->epoch;
    }
    for (int64_t i = 0; i < l->in->batch; i++) {
        int64_t at = what->position + i < s->n ? what->position + i : what->position;
        float *place = to + (uint64_t)i * l->in->image_pitch;
        if (what->shuffled)
            at = l->order[at];
        at = zn_rt_item(s, at);
        source pixels = source_at(s, at * image);
        if (what->shuffled && (l->crop > 0 || l->flip || l->cutout))
            fill_augmented(l, key, (uint32_t)at, what->epoch, pixels, place);
        else if (what->view)
            fill_reflected(l, pixels, what->view->dy, what->view->dx, what->view->mirror, place);
        else
            fill_image(l, pixels, 0, 0, false, place);
        fill_label(l, s, at, i, labels);
    }
}

static void *loader_main(void *arg) {
    zn_rt_loader *l = arg;
    zn_math_flush_denormals();
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!atomic_load(&l->busy) && !l->quit)
            pthread_cond_wait(&l->asked, &l->lock);
        if (l->quit)
            break;
        int batch = l->batch;
        zn_rt_load what = l->what;
        pthread_mutex_unlock(&l->lock);
        fill(l, batch, &what);
        pthread_mutex_lock(&l->lock);
        atomic_store_explicit(&l->busy, false, memory_order_release);
        pthread_cond_signal(&l->filled);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

void zn_rt_loader_request(zn_rt_loader *l, int batch, zn_rt_load what) {
    pthread_mutex_lock(&l->lock);
    l->batch = batch;
    l->what = what;
    atomic_store(&l->busy, true);
    pthread_cond_signal(&l->asked);
    pthread_mutex_unlock(&l->lock);
}

void zn_rt_loader_wait(zn_rt_loader *l) {
    if (!atomic_load_explicit(&l->busy, memory_order_acquire))
        return; /* the usual case */
    pthread_mutex_lock(&l->lock);
    while (atomic_load(&l->busy))
        pthread_cond_wait(&l->filled, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

static int make_table(zn_rt_loader *l, const zn_module_desc *m, zn_rt_pool *pool, zn_rt_error *e) {
    const zn_data_desc *r = &m->data;
    int64_t channels = l->data->channels;
    double unit = l->values == 256 ? 255.0 : 1.0;
    if (r->normalize == ZN_NORMALIZE_GIVEN && (int64_t)r->nchannels != channels)
        return zn_rt_fail(e, ZN_RT_INPUT, "normalize names %" PRIu64 " channels; the images have %" PRId64,
                          r->nchannels, channels);
    if (r->normalize == ZN_NORMALIZE_PER_CHANNEL) {
        int code = zn_rt_channel_statistics(l->data, pool, l->mean, l->deviation, e);
        if (code)
            return code;
    }
    for (int64_t c = 0; c < channels; c++) {
        if (r->normalize == ZN_NORMALIZE_GIVEN)
            l->mean[c] = r->mean[c], l->deviation[c] = r->deviation[c];
        if (l->deviation[c] == 0)
            l->deviation[c] = 1;
        for (int v = 0; v < l->values; v++)
            l->table[l->values * c + v] = (float)((v / unit - l->mean[c]) / l->deviation[c]);
        l->pixel[c] = (zn_rt_pixel){1 / (unit * l->deviation[c]), -l->mean[c] / l->deviation[c]};
    }
    return 0;
}

static int start_thread(zn_rt_loader *l, zn_rt_error *e) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->asked, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&l->thread, NULL, loader_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot start the loader's thread: %s", strerror(failed));
    l->started = true;
    return 0;
}

int zn_rt_loader_open(zn_rt_loader **out, const zn_module_desc *m, const zn_rt_dataset *data, const zn_rt_memory *mem,
                      uint64_t seed, zn_rt_pool *pool, zn_rt_error *e) {
    *out = NULL;
    if (m->data.cutout < 0 || m->data.cutout > 1 << 20)
        return zn_rt_fail(e, ZN_RT_INPUT, "cutout has a side of %" PRId64 "; it must lie between 0 and 2^20",
                          m->data.cutout);
    if (m->data.crop < 0 || m->data.crop > 1 << 20)
        return zn_rt_fail(e, ZN_RT_INPUT, "crop pads by %" PRId64 "; it must lie between 0 and 2^20", m->data.crop);
    zn_rt_loader *l = calloc(1, sizeof *l);
    if (!l)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get memory for the loader");
    l->in = &m->input;
    l->data = data;
    l->crop = m->data.crop;
    l->flip = m->data.flip;
    l->reflect = m->data.reflect != 0;
    l->cutout = m->data.cutout;
    l->seed = seed;
    l->order_epoch = -1;
    l->row_pitch = m->input.rank == 1 ? (uint64_t)(data->width * data->channels) : m->input.pitch;
    for (int b = 0; b < ZN_RT_BATCHES; b++)
        l->memory[b] = mem->batch[b];
    l->values = data->split[ZN_RT_TRAINING].floats ? 1 : 256;
    l->table = calloc((size_t)data->channels, (size_t)l->values * sizeof *l->table);
    l->mean = calloc((size_t)data->channels, sizeof *l->mean);
    l->deviation = calloc((size_t)data->channels, sizeof *l->deviation);
    l->pixel = calloc((size_t)data->channels, sizeof *l->pixel);
    l->order = calloc((size_t)data->split[0].n, sizeof *l->order);
    int code = 0;
    if (!l->table || !l->mean || !l->deviation || !l->pixel || !l->order)
        code = zn_rt_fail(e, ZN_RT_MEMORY, "cannot get %zu bytes for the order of the data", zn_rt_loader_bytes(l));
    if (!code)
        code = make_table(l, m, pool, e);
    if (!code)
        code = start_thread(l, e);
    if (code)
        zn_rt_loader_close(l);
    else
        *out = l;
    return code;
}

void zn_rt_loader_close(zn_rt_loader *l) {
    if (!l)
        return;
    if (l->started) {
        zn_rt_loader_wait(l);
        pthread_mutex_lock(&l->lock);
        l->quit = true;
        pthread_cond_signal(&l->asked);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
        pthread_cond_destroy(&l->asked);
        pthread_cond_destroy(&l->filled);
        pthread_mutex_destroy(&l->lock);
    }
    free(l->table);
    free(l->mean);
    free(l->deviation);
    free(l->pixel);
    free(l->order);
    free(l);
}

const double *zn_rt_loader_means(const zn_rt_loader *l) {
    return l->mean;
}
const double *zn_rt_loader_deviations(const zn_rt_loader *l) {
    return l->deviation;
}

const zn_rt_pixel *zn_rt_loader_pixels(const zn_rt_loader *l) {
    return l->pixel;
}

size_t zn_rt_loader_bytes(const zn_rt_loader *l) {
    return (size_t)l->data->channels * (size_t)l->values * sizeof *l->table +
           (size_t)l->data->split[0].n * sizeof *l->order;
}

const uint32_t *zn_rt_loader_order(zn_rt_loader *l, uint32_t epoch) {
    zn_rt_loader_wait(l);
    if (l->order_epoch != (int64_t)epoch) {
        zn_rt_order(l->seed, epoch, l->data->split[0].n, l->order);
        l->order_epoch = epoch;
    }
    return l->order;
}
