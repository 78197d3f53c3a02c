/* Softmax regression as a compiled module (see tests/unit/fake_module.h).
 *
 * PARAM: weight [inputs, classes], its momentum, bias [classes]. ARENA: probabilities [batch, classes], losses,
 * correct. The forward phase works on samples; the update on inputs, and one unit more for the bias. */
#include "tests/unit/fake_module.h"

#include "support/formula.h"
#include "support/math.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROLE_WEIGHT = 0, ROLE_BIAS = 1, ROLE_MOMENTUM = 7, MAX_CLASSES = 256 };
enum { X_BATCH, X_HEIGHT, X_ROW, X_FIRST, X_IMAGE_PITCH, X_PITCH, X_CLASSES, X_INTERRUPT, X_COUNT };
enum {
    FORWARD_PROBABILITY,
    FORWARD_LOSS,
    FORWARD_CORRECT,
    FORWARD_IMAGE,
    FORWARD_LABELS,
    FORWARD_WEIGHT,
    FORWARD_BIAS
};
enum { UPDATE_WEIGHT, UPDATE_MOMENTUM, UPDATE_BIAS, UPDATE_PROBABILITY, UPDATE_IMAGE, UPDATE_LABELS };

static int64_t extra[X_COUNT];
static int interrupts;

static const float *pixel(const float *image, const int64_t *x, int64_t sample, int64_t input) {
    return image + x[X_FIRST] + sample * x[X_IMAGE_PITCH] + input / x[X_ROW] * x[X_PITCH] + input % x[X_ROW];
}

static void forward(const zn_step *step, const zn_args *args, int64_t begin, int64_t end, void *scratch) {
    const int64_t *x = step->phase->extra;
    int64_t classes = x[X_CLASSES], inputs = x[X_HEIGHT] * x[X_ROW];
    const float *w = step->buf[FORWARD_WEIGHT], *bias = step->buf[FORWARD_BIAS], *image = step->buf[FORWARD_IMAGE];
    const int32_t *label = step->buf[FORWARD_LABELS];
    float *logit = scratch;
    (void)args;
    for (int64_t n = begin; n < end; n++) {
        float *p = (float *)step->buf[FORWARD_PROBABILITY] + n * classes;
        for (int64_t c = 0; c < classes; c++)
            logit[c] = bias[c];
        for (int64_t i = 0; i < inputs; i++) {
            float v = *pixel(image, x, n, i);
            for (int64_t c = 0; c < classes; c++)
                logit[c] += v * w[i * classes + c];
        }
        int64_t best = 0;
        for (int64_t c = 1; c < classes; c++)
            best = logit[c] > logit[best] ? c : best;
        float sum = 0, top = logit[best];
        for (int64_t c = 0; c < classes; c++)
            sum += p[c] = zn_expf(logit[c] - top);
        for (int64_t c = 0; c < classes; c++)
            p[c] /= sum;
        ((float *)step->buf[FORWARD_LOSS])[n] = zn_logf(sum) - (logit[label[n]] - top);
        ((float *)step->buf[FORWARD_CORRECT])[n] = best == label[n];
    }
}

/* One step of SGD with momentum 0.9 on row `unit` of the weights, or on the bias. */
static void update(const zn_step *step, const zn_args *args, int64_t begin, int64_t end, void *scratch) {
    const int64_t *x = step->phase->extra;
    int64_t classes = x[X_CLASSES], inputs = x[X_HEIGHT] * x[X_ROW], batch = x[X_BATCH];
    const float *p = step->buf[UPDATE_PROBABILITY], *image = step->buf[UPDATE_IMAGE];
    const int32_t *label = step->buf[UPDATE_LABELS];
    float *gradient = scratch;
    if (begin == 0 && x[X_INTERRUPT] == (int64_t)args->position)
        for (int i = 0; i < interrupts; i++)
            kill(getpid(), SIGINT);
    for (int64_t unit = begin; unit < end; unit++) {
        memset(gradient, 0, (size_t)classes * sizeof *gradient);
        for (int64_t n = 0; n < batch; n++) {
            float v = unit < inputs ? *pixel(image, x, n, unit) : 1.0f;
            for (int64_t c = 0; c < classes; c++)
                gradient[c] += v * (p[n * classes + c] - (c == label[n] ? 1.0f : 0.0f));
        }
        float *weight = unit < inputs ? (float *)step->buf[UPDATE_WEIGHT] + unit * classes : step->buf[UPDATE_BIAS];
        float *momentum = (float *)step->buf[UPDATE_MOMENTUM] + unit * classes;
        for (int64_t c = 0; c < classes; c++) {
            momentum[c] = 0.9f * momentum[c] + gradient[c] / (float)batch;
            weight[c] -= args->lr * momentum[c];
        }
    }
}

void fake_source(fake_options *o, const char *source) {
    o->data = (zn_data_desc){.source = source};
}

static zn_source_option *option(fake_options *o, const char *name) {
    for (uint64_t i = 0; i < o->data.noption; i++)
        if (!strcmp(o->option[i].name, name))
            return &o->option[i];
    zn_source_option *x = &o->option[o->data.noption++];
    *x = (zn_source_option){.name = name};
    return x;
}

void fake_number(fake_options *o, const char *name, int64_t x) {
    option(o, name)->number = x;
}

void fake_text(fake_options *o, const char *name, const char *text) {
    option(o, name)->text = text;
}

fake_options fake_default(void) {
    return (fake_options){.data = {.source = "digits", .noption = 1, .normalize = ZN_NORMALIZE_PER_CHANNEL},
                          .option = {{.name = "seed", .number = 1}},
                          .height = 28,
                          .width = 28,
                          .channels = 1,
                          .classes = 10,
                          .batch = 64,
                          .epochs = 2,
                          .rank = 3,
                          .lr = 0.05,
                          .interrupt_at = -1};
}

const zn_module_desc *fake_module(const fake_options *o) {
    static const char source[] = "model fake {\n  input image[28, 28, 1]\n  flatten head: linear(10)\n}\n";
    static zn_ref forward_buf[7], update_buf[6];
    static zn_output output;
    static zn_phase train_phase[2], eval_phase[1];
    static zn_tensor_desc tensor[3];
    static zn_program program[2];
    static zn_module_desc m;
    static const uint32_t lines[1] = {3};
    uint64_t row = (uint64_t)(o->width * o->channels), classes = (uint64_t)o->classes, batch = (uint64_t)o->batch;
    uint64_t inputs = (uint64_t)o->height * row, side = (uint64_t)(o->halo * o->channels);
    uint64_t pitch = row + 2 * side, image_pitch = ((uint64_t)o->height + 2 * (uint64_t)o->halo) * pitch;
    uint64_t labels = (batch * image_pitch * sizeof(float) + 63) / 64 * 64;
    uint64_t weights = inputs * classes * sizeof(float), outputs = batch * classes * sizeof(float);

    m = (zn_module_desc){.abi_version = ZN_ABI_VERSION,
                         .name = "fake",
                         .source_path = "fake.znet",
                         .source = source,
                         .source_len = sizeof source - 1,
                         .source_sha256 = "00",
                         .overrides = "{\"train.lr\":0.05}",
                         .versions = "{}",
                         .init = "normal",
                         .conv = "auto",
                         .gemm = "auto",
                         .cpu = "any",
                         .features = ""};
    m.input = (zn_input_desc){.batch = o->batch,
                              .height = o->rank == 1 ? 1 : o->height,
                              .width = o->rank == 1 ? 1 : o->width,
                              .channels = o->rank == 1 ? (int64_t)inputs : o->channels,
                              .classes = o->classes,
                              .rank = o->rank,
                              .first = (uint64_t)o->halo * pitch + side,
                              .image_pitch = image_pitch,
                              .pitch = pitch,
                              .labels = labels,
                              .size = labels + batch * sizeof(int32_t)};
    static zn_source_option options[8];
    memcpy(options, o->option, sizeof options);
    m.data = o->data;
    m.data.option = options;
    m.train = (zn_train_desc){
        .lr_kind = ZN_LR_COSINE, .lr = o->lr, .batch = o->batch, .epochs = (double)o->epochs, .seed = 1};
    const int64_t x[X_COUNT] = {
        o->batch,       o->height,  (int64_t)row,   (int64_t)m.input.first, (int64_t)image_pitch,
        (int64_t)pitch, o->classes, o->interrupt_at};
    memcpy(extra, x, sizeof extra);
    interrupts = o->interrupts;

    tensor[0] = (zn_tensor_desc){.name = "head.weight",
                                 .role = ROLE_WEIGHT,
                                 .rank = 2,
                                 .dim = {(int64_t)inputs, o->classes},
                                 .formula = ZN_FORMULA_NORMAL,
                                 .a = 0.01f,
                                 .in_file = 1,
                                 .trained = 1,
                                 .line = 3};
    tensor[1] = (zn_tensor_desc){.name = "head.bias",
                                 .role = ROLE_BIAS,
                                 .rank = 1,
                                 .dim = {o->classes},
                                 .offset = weights,
                                 .formula = ZN_FORMULA_CONST,
                                 .in_file = 1,
                                 .trained = 1,
                                 .line = 3};
    tensor[2] = (zn_tensor_desc){.name = "head.weight.momentum",
                                 .role = ROLE_MOMENTUM,
                                 .rank = 2,
                                 .dim = {(int64_t)inputs + 1, o->classes},
                                 .offset = weights + classes * sizeof(float),
                                 .formula = ZN_FORMULA_CONST,
                                 .line = 3};
    m.ntensor = 3;
    m.tensor = tensor;
    m.param_size = 2 * weights + 2 * classes * sizeof(float);

    const uint64_t each = batch * sizeof(float);
    const zn_ref probability = {ZN_SPACE_ARENA, 0, outputs}, loss = {ZN_SPACE_ARENA, outputs, each};
    const zn_ref correct = {ZN_SPACE_ARENA, outputs + each, each};
    const zn_ref image = {ZN_SPACE_BATCH, 0, batch * image_pitch * sizeof(float)};
    const zn_ref label = {ZN_SPACE_BATCH, labels, batch * sizeof(int32_t)};
    const zn_ref weight = {ZN_SPACE_PARAM, 0, weights}, bias = {ZN_SPACE_PARAM, weights, classes * sizeof(float)};
    const zn_ref momentum = {ZN_SPACE_PARAM, tensor[2].offset, weights + classes * sizeof(float)};
    const zn_ref f[7] = {probability, loss, correct, image, label, weight, bias};
    const zn_ref u[6] = {weight, momentum, bias, probability, image, label};
    memcpy(forward_buf, f, sizeof f);
    memcpy(update_buf, u, sizeof u);
    output = (zn_output){FORWARD_PROBABILITY, 3, "softmax head", 0, 1, 0, batch, classes, classes};
    train_phase[0] = (zn_phase){.kernel = forward,
                                .name = "softmax_forward",
                                .outer = o->batch,
                                .grain = 4,
                                .scratch = MAX_CLASSES * sizeof(float),
                                .nbuf = 7,
                                .buf = forward_buf,
                                .noutput = 1,
                                .output = &output,
                                .nlines = 1,
                                .lines = lines,
                                .extra = extra};
    train_phase[1] = (zn_phase){.kernel = update,
                                .name = "softmax_update",
                                .outer = (int64_t)inputs + 1,
                                .grain = 8,
                                .scratch = MAX_CLASSES * sizeof(float),
                                .nbuf = 6,
                                .buf = update_buf,
                                .nlines = 1,
                                .lines = lines,
                                .extra = extra};
    eval_phase[0] = train_phase[0];
    program[FAKE_TRAIN] = (zn_program){.name = "train_step",
                                       .nphase = 2,
                                       .phase = train_phase,
                                       .nforward = 1,
                                       .loss = loss,
                                       .correct = correct,
                                       .arena_size = correct.offset + each,
                                       .scratch_size = MAX_CLASSES * sizeof(float)};
    program[FAKE_EVAL] = program[FAKE_TRAIN];
    program[FAKE_EVAL].name = "eval_step";
    program[FAKE_EVAL].nphase = 1;
    program[FAKE_EVAL].phase = eval_phase;
    m.nprogram = 2;
    m.program = program;
    return &m;
}
