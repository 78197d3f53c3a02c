/* Ranks of weights: matrices whose answers are known, kernels, and layers that are not there. */
#include "runtime/rank.h"

#include <CUnit/Basic.h>
#include <string.h>

enum { IN = 6, OUT = 4, CONV_IN = 2, CONV_OUT = 3, TAPS = 9 };

/* Of a linear weight [in, out] and of a kernel [kh, kw, in, out], one behind the other. */
static struct {
    float linear[IN * OUT];
    float conv[TAPS * CONV_IN * CONV_OUT];
    float bias[OUT];
} param;

static const zn_tensor_desc tensors[] = {
    {.name = "deep.0.linear1.weight", .rank = 2, .dim = {IN, OUT}, .offset = 0, .in_file = 1},
    {.name = "conv1.weight", .rank = 4, .dim = {3, 3, CONV_IN, CONV_OUT}, .offset = sizeof param.linear, .in_file = 1},
    {.name = "conv1.bias", .rank = 1, .dim = {OUT}, .offset = sizeof param.linear + sizeof param.conv, .in_file = 1},
    {.name = "conv1.weight.momentum", .rank = 4, .dim = {3, 3, CONV_IN, CONV_OUT}, .offset = sizeof param.linear},
};
static const zn_module_desc module = {.ntensor = sizeof tensors / sizeof *tensors, .tensor = tensors};

static void measure(zn_rt_ranks *r) {
    zn_rt_error e = {""};
    int code = zn_rt_ranks_measure(r, (const char *)&param, &e);
    if (code)
        CU_FAIL_FATAL("measuring failed");
}

static void expect(const zn_rt_rank *k, int64_t rank, int64_t minus, int64_t distinct, int64_t rows, int64_t columns) {
    CU_ASSERT_EQUAL(k->rank, rank);
    CU_ASSERT_EQUAL(k->rank_minus_identity, minus);
    CU_ASSERT_EQUAL(k->distinct_rows, distinct);
    CU_ASSERT_EQUAL(k->nonzero_rows, rows);
    CU_ASSERT_EQUAL(k->nonzero_columns, columns);
}

static void matrices(void) {
    zn_rt_ranks r;
    zn_rt_error e = {""};
    memset(&param, 0, sizeof param);
    CU_ASSERT_EQUAL_FATAL(zn_rt_ranks_open(&r, &module, "deep.0.linear1,conv1.weight", &e), 0);
    CU_ASSERT_EQUAL_FATAL(r.n, 2);
    CU_ASSERT_STRING_EQUAL(r.at[0].layer, "deep.0.linear1.weight");
    CU_ASSERT_TRUE(r.at[0].rows == OUT && r.at[0].columns == IN);
    CU_ASSERT_TRUE(r.at[1].rows == CONV_OUT && r.at[1].columns == TAPS * CONV_IN);
    measure(&r); /* zeros: what is missing to the identity is the identity */
    expect(&r.at[0], 0, OUT, 1, OUT, OUT);
    expect(&r.at[1], 0, CONV_IN, 1, CONV_IN, CONV_IN);

    for (int i = 0; i < OUT; i++)
        param.linear[i * OUT + i] = 1;
    for (int i = 0; i < CONV_IN; i++)
        param.conv[(TAPS / 2 * CONV_IN + i) * CONV_OUT + i] = 1;
    measure(&r); /* partial identities */
    expect(&r.at[0], OUT, 0, OUT, 0, 0);
    expect(&r.at[1], CONV_IN, 0, CONV_OUT, 0, 0);

    /* One row more than the identity in two inputs, and below the tolerance of rank: 1e-5. */
    param.linear[4 * OUT + 2] = 0.5f;
    param.linear[5 * OUT + 2] = -0.5f;
    param.linear[5 * OUT + 0] = 1e-5f;
    /* Outputs 0 and 2 of the kernel equal. */
    param.conv[TAPS / 2 * CONV_IN * CONV_OUT + 2] = 1;
    measure(&r);
    expect(&r.at[0], OUT, 1, OUT, 2, 2);
    expect(&r.at[1], CONV_IN, 1, CONV_OUT - 1, 1, 1);
    zn_rt_ranks_close(&r);
}

static void layers_that_are_not_there(void) {
    static const struct {
        const char *layers, *message;
    } all[] = {
        {"conv2", "there is no weight matrix `conv2`; did you mean `conv1`?"},
        {"conv1,deep.0.linear", "no weight matrix `deep.0.linear`; did you mean `deep.0.linear1`?"},
        {"stem", "no weight matrix `stem`; there are `deep.0.linear1`, `conv1`"},
        {"conv1.bias", "no weight matrix `conv1.bias`"},
        {"conv1.weight.momentum", "no weight matrix"},
        {"conv", "no weight matrix `conv`"},
        {"", "no weight matrix ``"},
        {"conv1,", "no weight matrix ``"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        zn_rt_ranks r;
        zn_rt_error e = {""};
        CU_ASSERT_EQUAL(zn_rt_ranks_open(&r, &module, all[i].layers, &e), ZN_RT_USAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(e.text, all[i].message));
        if (!strstr(e.text, all[i].message))
            puts(e.text);
        zn_rt_ranks_close(&r);
    }
    zn_rt_ranks none;
    zn_rt_error e = {""};
    CU_ASSERT_EQUAL(zn_rt_ranks_open(&none, &module, NULL, &e), 0);
    CU_ASSERT_EQUAL(none.n, 0);
    CU_ASSERT_EQUAL(zn_rt_ranks_measure(&none, NULL, &e), 0);
    zn_rt_ranks_close(&none);
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("ranks", NULL, NULL);
    CU_add_test(s, "matrices whose answers are known", matrices);
    CU_add_test(s, "layers that are not there", layers_that_are_not_there);
    CU_basic_run_tests();
    return CU_get_number_of_failures() > 0;
}
