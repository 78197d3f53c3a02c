/* Selectors against a table of what they match, and rules by their order. */
#include "ir/selector.h"
#include "tests/unit/unit.h"

static void matches(void) {
    static const struct {
        const char *selector, *path;
        bool is;
    } row[] = {
        {"**", "head.weight", true},
        {"**", "weight", true},
        {"head", "head.weight", true},
        {"head", "head.bias", true},
        {"head", "heads.weight", false},
        {"head", "stage.head.weight", false},
        {"head.weight", "head.weight", true},
        {"head.weight", "head.bias", false},
        {"**.bias", "stage2.0.bn1.bias", true},
        {"**.bias", "bias", true},
        {"**.bias", "stage2.0.bn1.weight", false},
        {"**.bn*.bias", "stage2.0.bn12.bias", true},
        {"**.bn*.bias", "bn.bias", true},
        {"**.bn*.bias", "stage2.0.conv1.bias", false},
        {"**.bn*.**", "a.bn1.weight", true},
        {"stage2.**", "stage2.0.conv1.weight", true},
        {"stage2.**", "stage20.0.conv1.weight", false},
        {"stage2.*.conv1", "stage2.17.conv1.weight", true},
        {"stage2.*.conv1", "stage2.conv1.weight", false},
        {"stage*.0.*", "stage3.0.conv1.weight", true},
        {"stage2", "stage2.0.conv1.weight", false},
        {"**.a.**.b", "a.b", true},
        {"**.a.**.b", "x.a.y.a.z.b", true},
        {"**.a.**.b", "x.a.y.b.c", true}, /* the layer x.a.y.b */
        {"c*v*1", "conv1.weight", true},
        {"c*v*1", "conv12.weight", false},
        {"w*", "weight", true},
        {"", "", true},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (zn_selector_matches(row[i].selector, row[i].path) != row[i].is)
            printf("`%s` and `%s`\n", row[i].selector, row[i].path);
        CU_ASSERT_EQUAL(zn_selector_matches(row[i].selector, row[i].path), row[i].is);
    }
    CU_ASSERT_TRUE(zn_selector_names("**.weight", "head.weight"));
    CU_ASSERT_FALSE(zn_selector_names("head", "head.weight"));
}

static void the_last_rule_wins(void) {
    zn_module *m = zn_module_new("m");
    static const char *const key[] = {"train.decay.rule0.path", "train.decay.rule1.path", "train.decay.rule2.path"};
    static const char *const selector[] = {"**", "stage.**", "**.bias"};
    for (int i = 0; i < 3; i++)
        zn_conf_set_str(m, key[i], selector[i], (zn_span){0});
    ZN_EQUAL_INT(zn_rule_of(m, "train.decay", "head.weight"), 0);
    ZN_EQUAL_INT(zn_rule_of(m, "train.decay", "stage.0.conv1.weight"), 1);
    ZN_EQUAL_INT(zn_rule_of(m, "train.decay", "stage.0.conv1.bias"), 2);
    ZN_EQUAL_INT(zn_rule_of(m, "train.rate", "head.weight"), -1);
    CU_ASSERT_PTR_NULL(zn_rule_selector(m, "train.decay", 3));
    zn_module_free(m);
}

#define TESTS(X) X(matches) X(the_last_rule_wins)
ZN_UNIT_MAIN("selector", TESTS)
