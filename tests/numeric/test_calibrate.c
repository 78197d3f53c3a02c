/* Starts that run the network, measured by the reference interpreter: after calibration of compiled code the outputs of
 * lsuv's layers have a variance within its tolerance of 1, those of variance_aware's one near gain^2. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "passes/pass.h"
#include "runtime/calibrate.h"
#include "runtime/weights.h"
#include "tests/numeric/harness.h"

#define REST                                                                                                           \
    "data { source = noise(9, 11, 3, 4, 200) normalize = per_channel augment = [crop(pad = 1), flip] }\n"              \
    "train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 24 epochs = 1 }\n"

static const struct {
    const char *name, *text;
    int layers;
} nets[] = {
    {"deep and nonlinear",
     "model m { input image[9, 11, 3] conv(13, 3) gelu\n"
     "repeat 6 as i { conv(7 + 4 * i, 3, bias = true) if (mod(i, 2) == 0) { gelu } else { leaky_relu(0.2) } }\n"
     "conv(21, 5) silu conv(17, [2, 3], stride = 2) tanh conv(17, 3, groups = 17) relu\n"
     "flatten linear(37) relu linear(19) sigmoid head: linear(4) }\n"
     "init lsuv\n" REST,
     13},
    {"residual, with norms",
     "block unit(c, stride = 1) { residual(shortcut = pad) { conv(c, 3, stride = stride) bn relu conv(c, 3) bn } relu "
     "}\n"
     "model m { input image[9, 11, 3] conv(11, 3) bn relu unit(11) unit(19, stride = 2) unit(35) avgpool linear(4) }\n"
     "init lsuv(tolerance = 1e-3)\n" REST,
     8},
    {"variance_aware",
     "model m { input image[9, 11, 3] conv(96, 3, stride = 2) relu conv(64, 3, groups = 2) gelu\n"
     "residual { conv(64, 3, groups = 64) bn relu conv(64, 1) } conv(100, 3, pad = valid) relu\n"
     "flatten linear(300) relu linear(200) relu head: linear(4) }\n"
     "init { ** = variance_aware(gain = 1.5)  head = zeros }\n" REST,
     7},
};

static zn_module *compile(const char *name, const char *text) {
    zn_diags d = {.path = name, .source = text, .source_len = strlen(text)};
    zn_frontend_options o = {.dir = "."};
    zn_pass_ctx ctx = {.diags = &d};
    zn_module *m = zn_frontend_compile(text, strlen(text), &o, &d);
    for (int i = 0; m && i < ZN_PASS_COUNT; i++)
        if (!zn_pass_table[i].run(m, &ctx)) {
            zn_module_free(m);
            m = NULL;
        }
    if (!m) {
        fprintf(stderr, "FAIL %s: %s\n", name, d.first ? d.first->msg : "does not compile");
        exit(1);
    }
    zn_diags_free(&d);
    return m;
}

/* All that a run has before its first step. */
typedef struct start {
    zn_rt_memory mem;
    zn_rt_pool *pool;
    zn_rt_dataset data;
    zn_rt_loader *loader;
} start;

static bool calibrate(const zn_module_desc *m, int threads, start *s) {
    zn_rt_error e = {""}, notes = {""};
    *s = (start){0};
    bool ok = !zn_rt_memory_open(&s->mem, m, &e) &&
              !zn_rt_pool_open(&s->pool, threads, s->mem.scratch_size, NULL, &e) &&
              !zn_rt_dataset_open(&s->data, m, NULL, s->pool, &e) &&
              !zn_rt_loader_open(&s->loader, m, &s->data, &s->mem, 1, s->pool, &e) &&
              !zn_rt_weights_init(m, s->mem.param, 1, s->pool, &e);
    zn_rt_engine engine = {m, &s->mem, s->pool};
    zn_rt_calibration c = {&engine, {.count = (uint32_t)m->input.batch}, &s->data, s->loader};
    ok = ok && !zn_rt_calibrate(&c, &notes, &e);
    if (!ok || *notes.text)
        fprintf(stderr, "FAIL %s%s\n", e.text, notes.text);
    return ok && !*notes.text;
}

static void finish(start *s) {
    zn_rt_pool_close(s->pool);
    zn_rt_loader_close(s->loader);
    zn_rt_dataset_close(&s->data);
    zn_rt_memory_close(&s->mem);
}

/* The first batch, as the loader left it. */
static float *image_of(const zn_module_desc *m, const start *s) {
    const zn_input_desc *in = &m->input;
    int64_t row = in->width * in->channels;
    float *image = malloc((size_t)(in->batch * in->height * row) * sizeof *image);
    const float *from = (const float *)(const void *)(s->mem.batch[0] + in->image) + in->first;
    for (int64_t n = 0; image && n < in->batch; n++)
        for (int64_t y = 0; y < in->height; y++)
            memcpy(image + (n * in->height + y) * row, from + (uint64_t)n * in->image_pitch + (uint64_t)y * in->pitch,
                   (size_t)row * sizeof *image);
    return image;
}

static double variance_of(const zn_value *v) {
    const float *x = zn_interp_value(v);
    int64_t n = zn_type_count(&v->type);
    double mean = 0, spread = 0;
    for (int64_t i = 0; i < n; i++)
        mean += (double)x[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        spread += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    return spread;
}

static bool within(const char *name, const zn_value *v, const zn_calibration *c) {
    double variance = variance_of(v), low = 1 - c->a, high = 1 + c->a;
    if (c->kind ==
        ZN_CALIBRATION_VARIANCE_AWARE) { /* of weights drawn at random: wide enough for the narrowest layer */
        low = 0.6 * c->a * c->a;
        high = 1.5 * c->a * c->a;
    }
    bool ok = variance >= low - 1e-4 && variance <= high + 1e-4;
    printf("%s %s, %s: variance %.5f\n", ok ? "ok  " : "FAIL", name, v->path, variance);
    return ok;
}

static bool check(const char *name, const char *text, int layers) {
    zn_module *m = compile(name, text);
    th_code code = th_compile(m, "native", true);
    zn_func *f = zn_func_find(m, "calibrate");
    start s, other;
    bool ok = calibrate(code.desc, 2, &s);
    ok = calibrate(code.desc, 3, &other) && ok;
    ok = ok && !memcmp(s.mem.param, other.mem.param, s.mem.param_size);
    zn_interp in = zn_interp_new(m, 1);
    for (const zn_param *p = m->params; p; p = p->next)
        memcpy(in.param[p->index], s.mem.param + code.desc->tensor[p->index].offset,
               (size_t)zn_type_count(&p->type) * sizeof(float));
    float *image = image_of(code.desc, &s);
    const void *args[] = {image};
    ok = image && zn_interp_run(&in, f, args) && ok;
    for (const zn_value *v = f->first; v; v = v->next) {
        const zn_param *p = zn_value_calibrated(m, v);
        if (!p)
            continue;
        layers--;
        ok = within(name, v, &p->calibration) && ok;
    }
    zn_interp_release(f);
    zn_interp_free(&in);
    free(image);
    finish(&s);
    finish(&other);
    th_code_free(&code);
    zn_module_free(m);
    return ok && layers == 0;
}

int main(void) {
    int bad = 0;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        if (!check(nets[i].name, nets[i].text, nets[i].layers)) {
            fprintf(stderr, "FAIL %s\n", nets[i].name);
            bad++;
        }
    return bad != 0;
}
