/* How far convolutions are from exact sums: every 3x3 shape of ResNet-20 and ResNet-18, and others with maps that are
 * no whole tiles and kernels of 5x5, all three passes, by the algorithm that pass select chooses and by the direct one,
 * against sums in double precision.
 *
 * usage: test_errors [BATCH [FILTER]]: batch 128 if nothing is said, the shapes whose name holds FILTER. Inputs are
 * normal deviates. Of each result some thousand elements at fixed pseudo-random places are computed again; the table,
 * which docs/performance.md shows, gives the root mean square and the largest of their errors over the root mean square
 * of the exact values. The bounds are twice what was measured with the prototype of these kernels, and stand for every
 * shape.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/plan.h"
#include "passes/pass.h"
#include "tests/numeric/harness.h"

typedef struct shape {
    const char *net;
    int64_t size, c, o, stride; /* of the input */
    int64_t k;
} shape;

static const shape shapes[] = {
    {"ResNet-20", 32, 16, 16, 1, 3},   {"ResNet-20", 16, 32, 32, 1, 3},   {"ResNet-20", 8, 64, 64, 1, 3},
    {"ResNet-20", 32, 16, 32, 2, 3},   {"ResNet-20", 16, 32, 64, 2, 3},   {"ResNet-18", 32, 64, 64, 1, 3},
    {"ResNet-18", 16, 128, 128, 1, 3}, {"ResNet-18", 8, 256, 256, 1, 3},  {"ResNet-18", 4, 512, 512, 1, 3},
    {"ResNet-18", 32, 64, 128, 2, 3},  {"ResNet-18", 16, 128, 256, 2, 3}, {"ResNet-18", 8, 256, 512, 2, 3},
    {"other", 31, 64, 64, 1, 3},       {"other", 28, 100, 100, 1, 3},     {"other", 15, 128, 128, 1, 3},
    {"other", 14, 96, 96, 1, 3},       {"other", 13, 48, 96, 1, 3},       {"other", 9, 36, 36, 1, 3},
    {"other", 7, 256, 256, 1, 3},      {"other", 5, 256, 256, 1, 3},      {"other", 3, 256, 256, 1, 3},
    {"other", 15, 64, 128, 2, 3},      {"other", 16, 64, 64, 1, 5},       {"other", 15, 24, 24, 1, 5},
    {"other", 7, 128, 128, 1, 5},
};

enum { FORWARD, BY_DATA, BY_WEIGHTS, PASSES };
static const char *const pass_names[PASSES] = {"forward", "by data", "by weights"};

/* Of the root mean square: direct, Winograd. */
static const double RMS_BOUND[2] = {2.2e-6, 4.4e-6}, MAX_BOUND[2] = {1.5e-5, 4e-5};

typedef struct conv { /* one pass of one shape */
    const shape *s;
    int64_t batch, out, pad[4]; /* out: rows of the output */
    const float *x, *w, *dy;    /* NULL for the one that is computed */
} conv;

static void write_module(const conv *c, int pass, zn_buf *text) {
    const shape *s = c->s;
    long long n = c->batch, h = s->size, oh = c->out, ci = s->c, co = s->o, st = s->stride, k = s->k, first = c->pad[0],
              last = c->pad[2];
    zn_buf_printf(text, "zir 2\nmodule \"%s_%lldx%lld_%lld_%lld\"\n", pass_names[pass], h, h, ci, co);
    if (pass == BY_WEIGHTS)
        zn_buf_printf(text, "param @dy : f32[%lld, %lld, %lld, %lld] weight init zeros\n", n, oh, oh, co);
    else
        zn_buf_printf(text, "param @w : f32[%lld, %lld, %lld, %lld] weight init zeros\n", k, k, ci, co);
    long long image = pass == BY_DATA ? oh : h, channels = pass == BY_DATA ? co : ci;
    zn_buf_printf(text, "func @train_step(%%0: f32[%lld, %lld, %lld, %lld], %%1: i32[%lld]) {\n", n, image, image,
                  channels, n);
    switch (pass) {
    case FORWARD:
        zn_buf_printf(text,
                      "  %%3 = conv %%0, @w {stride = [%lld, %lld], pad = [%lld, %lld, %lld, %lld]} : f32[%lld, %lld, "
                      "%lld, %lld]\n",
                      st, st, first, first, last, last, n, oh, oh, co);
        break;
    case BY_DATA:
        zn_buf_printf(text,
                      "  %%3 = conv_grad_x %%0, @w {stride = [%lld, %lld], pad = [%lld, %lld, %lld, %lld], size = "
                      "[%lld, %lld]} : f32[%lld, %lld, %lld, %lld]\n",
                      st, st, first, first, last, last, h, h, n, h, h, ci);
        break;
    default:
        zn_buf_printf(text,
                      "  %%4 = mul_const @dy {value = 1.0} : f32[%lld, %lld, %lld, %lld]\n"
                      "  %%3 = conv_grad_w %%0, %%4 {stride = [%lld, %lld], pad = [%lld, %lld, %lld, %lld], k = "
                      "[%lld, %lld], shards = %lld} : f32[%lld, %lld, %lld, %lld]\n",
                      n, oh, oh, co, st, st, first, first, last, last, k, k, (long long)zn_shard_count(n), k, k, ci,
                      co);
    }
    zn_buf_puts(text, "  return %3, %3\n}\n");
}

/* Element of image n at (y, x): where padding is, 0. */
static double at(const float *map, int64_t n, int64_t size, int64_t channels, int64_t y, int64_t x, int64_t c) {
    bool inside = y >= 0 && y < size && x >= 0 && x < size;
    return inside ? (double)map[((n * size + y) * size + x) * channels + c] : 0;
}

/* Element i of what the pass computes. */
static double exact(const conv *c, int pass, int64_t i) {
    const shape *s = c->s;
    double sum = 0;
    int64_t ci = s->c, co = s->o, taps = s->k, pad = c->pad[0];
    if (pass == FORWARD) {
        int64_t o = i % co, x = i / co % c->out, y = i / co / c->out % c->out, n = i / co / c->out / c->out;
        for (int64_t t = 0; t < taps * taps; t++)
            for (int64_t k = 0; k < ci; k++)
                sum += at(c->x, n, s->size, ci, y * s->stride - pad + t / taps, x * s->stride - pad + t % taps, k) *
                       (double)c->w[(t * ci + k) * co + o];
    } else if (pass == BY_DATA) {
        int64_t k = i % ci, x = i / ci % s->size, y = i / ci / s->size % s->size, n = i / ci / s->size / s->size;
        for (int64_t t = 0; t < taps * taps; t++) {
            int64_t from_y = y + pad - t / taps, from_x = x + pad - t % taps;
            if (from_y % s->stride || from_x % s->stride)
                continue;
            for (int64_t o = 0; o < co; o++)
                sum += at(c->dy, n, c->out, co, from_y / s->stride, from_x / s->stride, o) *
                       (double)c->w[(t * ci + k) * co + o];
        }
    } else {
        int64_t o = i % co, k = i / co % ci, t = i / co / ci;
        for (int64_t n = 0; n < c->batch; n++)
            for (int64_t y = 0; y < c->out; y++)
                for (int64_t x = 0; x < c->out; x++)
                    sum += at(c->x, n, s->size, ci, y * s->stride - pad + t / taps, x * s->stride - pad + t % taps, k) *
                           (double)c->dy[((n * c->out + y) * c->out + x) * co + o];
    }
    return sum;
}

typedef struct error {
    double rms, max; /* over the root mean square of the exact values */
    bool winograd;
} error;

static float *normal(int64_t n, th_random *r) {
    float *v = malloc((size_t)n * sizeof *v);
    if (!v)
        exit(1);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)((th_random_range(r, -1, 1) + th_random_range(r, -1, 1) + th_random_range(r, -1, 1) +
                        th_random_range(r, -1, 1)) *
                       0.8660254037844386);
    return v;
}

static bool is_winograd(zn_module *m) {
    for (zn_value *v = zn_func_find(m, "train_step")->first; v; v = v->next) {
        const char *algorithm = zn_conv_algorithm(v);
        if (algorithm)
            return !strcmp(algorithm, "winograd");
    }
    return false;
}

static error compare(const conv *c, int pass, const float *result, int64_t n, th_random *r) {
    int64_t samples = pass == BY_WEIGHTS ? (c->out >= 16 ? 150 : 600) : 3000;
    double squares = 0, wrong = 0, worst = 0;
    for (int64_t k = 0; k < samples; k++) {
        int64_t i = (int64_t)(((uint64_t)th_random_u32(r) << 32 | th_random_u32(r)) % (uint64_t)n);
        double e = exact(c, pass, i), d = fabs((double)result[i] - e);
        squares += e * e;
        wrong += d * d;
        worst = d > worst || isnan(d) ? d : worst;
    }
    return (error){.rms = sqrt(wrong / squares), .max = worst / sqrt(squares / (double)samples)};
}

/* select: "auto" or "direct". */
static error measure(const shape *s, int64_t batch, int pass, const char *select) {
    conv c = {.s = s, .batch = batch, .out = (s->size + s->stride - 1) / s->stride};
    c.pad[0] = c.pad[1] = s->k / 2;
    c.pad[2] = c.pad[3] = (c.out - 1) * s->stride + s->k - s->k / 2 - s->size;
    int64_t maps = batch * s->size * s->size * s->c, outs = batch * c.out * c.out * s->o,
            weights = s->k * s->k * s->c * s->o;
    zn_buf text = {0};
    write_module(&c, pass, &text);
    zn_module *m = th_parse("a convolution", zn_buf_str(&text), text.n);
    zn_pass_ctx ctx = {0};
    zn_conf_set_str(m, "select.conv", select, (zn_span){0});
    zn_pass_select(m, &ctx);

    th_random r = th_random_of(m->name);
    float *image = normal(pass == BY_DATA ? outs : maps, &r), *other = normal(pass == BY_WEIGHTS ? outs : weights, &r);
    c.x = pass == BY_DATA ? NULL : image;
    c.dy = pass == BY_DATA ? image : pass == BY_WEIGHTS ? other : NULL;
    c.w = pass == BY_WEIGHTS ? NULL : other;
    int32_t *labels = calloc((size_t)batch, sizeof *labels);
    if (!labels)
        exit(1);
    th_input in = {.image = image, .labels = labels};
    float *param[1] = {other};
    th_state state = {.nparam = 1, .param = param};
    th_code code = th_compile(m, "native", true);
    error e = {.rms = (double)NAN, .max = (double)NAN};
    if (th_execute(&code, "train_step", &in, &state, &r))
        e = compare(&c, pass, state.result[0], pass == FORWARD ? outs : pass == BY_DATA ? maps : weights, &r);
    e.winograd = is_winograd(m);
    for (size_t i = 0; i < state.nresult; i++)
        free(state.result[i]);
    free(state.result);
    free(state.elements);
    th_code_free(&code);
    zn_module_free(m);
    zn_buf_free(&text);
    free(image);
    free(other);
    free(labels);
    return e;
}

static bool check(const char *what, int pass, error e) {
    if (e.rms <= RMS_BOUND[e.winograd] && e.max <= MAX_BOUND[e.winograd])
        return true;
    fprintf(stderr, "FAIL %s, %s, %s: rms error %.3g, at most %.3g is allowed; largest %.3g, at most %.3g\n", what,
            pass_names[pass], e.winograd ? "winograd" : "direct", e.rms, RMS_BOUND[e.winograd], e.max,
            MAX_BOUND[e.winograd]);
    return false;
}

int main(int argc, char **argv) {
    int64_t batch = argc > 1 ? strtoll(argv[1], NULL, 10) : 128;
    size_t bad = 0, cases = 0;
    printf("| input, channels | chosen | forward | by data | by weights | direct: forward | by data | by weights |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        char what[128];
        error e[2][PASSES];
        snprintf(what, sizeof what, "%s, %lldx%lld, %lld to %lld%s%s", s->net, (long long)s->size, (long long)s->size,
                 (long long)s->c, (long long)s->o, s->stride == 2 ? ", stride 2" : "", s->k == 5 ? ", kernel 5x5" : "");
        if (argc > 2 && !strstr(what, argv[2]))
            continue;
        for (int direct = 0; direct < 2; direct++)
            for (int pass = 0; pass < PASSES; pass++) {
                e[direct][pass] = measure(s, batch, pass, direct ? "direct" : "auto");
                cases++;
                bad += !check(what, pass, e[direct][pass]);
            }
        printf("| %s |", what);
        for (int pass = 0; pass < PASSES; pass++) /* one word if it is the same for all */
            if (!pass || e[0][pass].winograd != e[0][0].winograd)
                printf("%s %s", pass ? "," : "", e[0][pass].winograd ? "Winograd" : "direct");
        for (int direct = 0; direct < 2; direct++)
            for (int pass = 0; pass < PASSES; pass++)
                printf(" | %.2f / %.1f", e[direct][pass].rms * 1e6, e[direct][pass].max * 1e6);
        printf(" |\n");
        fflush(stdout);
    }
    printf("\n%zu cases, %zu wrong\n", cases, bad);
    return cases == 0 || bad != 0;
}
