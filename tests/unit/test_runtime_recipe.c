/* What a recipe asks of the training loop, against its formulas: linear schedules, runs of no whole number of epochs,
 * frozen rates, slow weights, views. */
#include "runtime/average.h"
#include "runtime/memory.h"
#include "runtime/schedule.h"
#include "runtime/views.h"
#include "tests/unit/unit.h"

#include <math.h>

static void linear(void) {
    zn_train_desc d = {.lr_kind = ZN_LR_LINEAR, .lr = 1.5, .warmup = 0.23 * 9.9, .start = 0.2, .end = 0.07};
    int64_t total = zn_rt_total_steps(9.9, 48), warm = zn_rt_warmup_steps(&d, 48);
    ZN_EQUAL_INT(total, 476); /* 475.2, and the step that was begun */
    ZN_EQUAL_INT(warm, 109);
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 48, total, 0), (float)(1.5 * 0.2));
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 48, total, warm), 1.5f);
    for (int64_t t = 0; t < total; t++) {
        double want =
            t < warm ? 0.2 + 0.8 * (double)t / (double)warm : 1 - 0.93 * (double)(t - warm) / (double)(total - warm);
        CU_ASSERT_TRUE(fabs((double)zn_rt_learning_rate(&d, 48, total, t) - 1.5 * want) < 1e-6);
    }
    d.warmup = 0;
    CU_ASSERT_EQUAL(zn_rt_learning_rate(&d, 48, total, 0), 1.5f);
}

static void lengths(void) {
    ZN_EQUAL_INT(zn_rt_total_steps(1, 7), 7);
    ZN_EQUAL_INT(zn_rt_total_steps(0.5, 7), 4);
    ZN_EQUAL_INT(zn_rt_total_steps(1e-9, 7), 1);
    ZN_EQUAL_INT(zn_rt_total_steps(1e300, 7), -1);
}

static void freeze(void) {
    const double epochs[2] = {0.5, 3};
    zn_train_desc d = {.nfreeze = 2, .freeze = epochs};
    zn_args a = {.lr = 0.25f};
    for (int64_t t = 0; t < 60; t++) {
        zn_rt_freeze(&d, 10, t, &a);
        CU_ASSERT_EQUAL(a.lr_until[0], t < 5 ? 0.25f : 0);
        CU_ASSERT_EQUAL(a.lr_until[1], t < 30 ? 0.25f : 0);
        CU_ASSERT_EQUAL(a.lr_until[2], 0);
    }
}

enum { N = 3 };
typedef struct weights {
    float w[N], state[N], statistic[N], w_average[N], statistic_average[N];
} weights;

/* A module of a weight, its momentum, a statistic, and averages of the first and the last. */
static const zn_module_desc *module_of(zn_train_desc d) {
#define TENSOR(text, field) {.name = text, .rank = 1, .dim = {N, 1, 1, 1}, .offset = offsetof(weights, field)}
    static const zn_tensor_desc tensor[] = {
        TENSOR("a.weight", w), TENSOR("a.weight.momentum", state), TENSOR("bn1.running_mean", statistic),
        TENSOR("a.weight.average", w_average), TENSOR("bn1.running_mean.average", statistic_average)};
    static zn_module_desc m;
    m = (zn_module_desc){.ntensor = 5, .tensor = tensor, .train = d};
    return &m;
}

/* weights of step t change to this */
static void step_to(weights *p, int t) {
    for (int i = 0; i < N; i++) {
        p->w[i] += (float)(t + i);
        p->statistic[i] += (float)(2 * t - i);
        p->state[i] = 7;
    }
}

static void lookahead(void) {
    zn_train_desc d = {.average = ZN_AVERAGE_LOOKAHEAD, .average_decay = 0.75, .average_every = 5, .average_ramp = 3};
    weights p = {{1, 2, 3}, {0}, {4, 5, 6}, {0}, {0}};
    float slow[N], slow_statistic[N], fast[N], fast_statistic[N];
    zn_rt_average a;
    zn_rt_error e;
    CU_ASSERT_EQUAL_FATAL(zn_rt_average_open(&a, module_of(d), (char *)&p, NULL, &e), 0);
    zn_rt_average_start(&a);
    ZN_EQUAL_INT(a.n, 2);
    memcpy(slow, p.w, sizeof slow);
    memcpy(slow_statistic, p.statistic, sizeof slow);
    for (int t = 0; t < 23; t++) {
        step_to(&p, t);
        memcpy(fast, p.w, sizeof fast);
        memcpy(fast_statistic, p.statistic, sizeof fast);
        zn_rt_average_step(&a, t + 1, 23);
        double part = (t + 1) / 23.0;
        float keep = (float)(0.75 * part * part * part), add = (float)(1 - 0.75 * part * part * part);
        for (int i = 0; i < N; i++) {
            if ((t + 1) % 5 == 0) {
                slow[i] = keep * slow[i] + add * fast[i];
                slow_statistic[i] = keep * slow_statistic[i] + add * fast_statistic[i];
                CU_ASSERT_TRUE(fabsf(p.w[i] - slow[i]) < 1e-4f);
                CU_ASSERT_TRUE(fabsf(p.statistic[i] - slow_statistic[i]) < 1e-4f);
                slow[i] = p.w[i], slow_statistic[i] = p.statistic[i];
            } else if (t + 1 < 23) {
                CU_ASSERT_EQUAL(p.w[i], fast[i]);
            }
            CU_ASSERT_EQUAL(p.state[i], 7);
        }
    }
    for (int i = 0; i < N; i++) /* after the last step: the slow weights, though 23 is no multiple of 5 */
        CU_ASSERT_EQUAL(p.w[i], slow[i]);
    zn_rt_average_close(&a);
}

static void ema(void) {
    zn_train_desc d = {.average = ZN_AVERAGE_EMA, .average_decay = 0.875, .average_every = 2};
    weights p = {{1, 2, 3}, {0}, {4, 5, 6}, {0}, {0}};
    float average[N] = {1, 2, 3};
    zn_rt_average a;
    zn_rt_error e;
    CU_ASSERT_EQUAL_FATAL(zn_rt_average_open(&a, module_of(d), (char *)&p, NULL, &e), 0);
    zn_rt_average_start(&a);
    for (int t = 0; t < 9; t++) {
        step_to(&p, t);
        weights before = p;
        zn_rt_average_step(&a, t + 1, 9);
        CU_ASSERT_EQUAL(memcmp(p.w, before.w, sizeof p.w), 0); /* training is left alone */
        for (int i = 0; i < N && (t + 1) % 2 == 0; i++)
            average[i] = 0.875f * average[i] + 0.125f * p.w[i];
    }
    weights before = p;
    zn_rt_average_swap(&a);
    for (int i = 0; i < N; i++)
        CU_ASSERT_EQUAL(p.w[i], average[i]);
    zn_rt_average_swap(&a);
    CU_ASSERT_EQUAL(memcmp(&p, &before, sizeof p), 0);
    zn_rt_average_close(&a);
}

static void views(void) {
    zn_rt_view v[ZN_RT_VIEWS];
    zn_data_desc d = {.shift = 0};
    ZN_EQUAL_INT(zn_rt_views(&d, v), 0);
    for (int k = 1; k < 4; k++) {
        d.shift = k & 1 ? 2 : 0;
        d.mirrored = k & 2;
        int n = zn_rt_views(&d, v);
        double sum = 0;
        ZN_EQUAL_INT(n, k == 1 ? 3 : k == 2 ? 2 : 6);
        for (int i = 0; i < n; i++) {
            double want = (d.shift ? (v[i].dy ? 0.25 : 0.5) : 1) * (d.mirrored ? 0.5 : 1);
            CU_ASSERT_EQUAL(v[i].weight, want);
            CU_ASSERT_EQUAL(v[i].dy, v[i].dx);
            sum += v[i].weight;
        }
        CU_ASSERT_EQUAL(sum, 1);
        CU_ASSERT_TRUE(v[0].dy == 0 && v[0].dx == 0 && !v[0].mirror);
    }
}

#define TESTS(X) X(linear) X(lengths) X(freeze) X(lookahead) X(ema) X(views)
ZN_UNIT_MAIN("recipe", TESTS)
