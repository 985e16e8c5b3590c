/* Networks: sizes, names and order of PyTorch's definitions, which make weight files interchangeable: the resnet and wrn families.
 * Other classifiers are in test_models_families.c, networks of places in test_models_dense.c. */
#include "models/models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 100 };

typedef struct row {
    const char *name;
    size_t parameters, buffers;
    double macs;
    size_t c[3], side[3]; /* of stage1..3 */
} row;

#define NARROW {16, 32, 64}, {32, 16, 8}
#define WIDE2 {32, 64, 128}, {32, 16, 8}
#define WIDE4 {64, 128, 256}, {32, 16, 8}

/* What PyTorch reports for the same networks with 100 classes; buffers include num_batches_tracked. */
static const row rows[] = {
    {"resnet8", 83892, 681, 12507392, NARROW},
    {"resnet14", 181108, 1135, 26663168, NARROW},
    {"resnet20", 278324, 1589, 40818944, NARROW},
    {"resnet32", 472756, 2497, 69130496, NARROW},
    {"resnet44", 667188, 3405, 97442048, NARROW},
    {"resnet56", 861620, 4313, 125753600, NARROW},
    {"resnet110", 1736564, 8399, 253155584, NARROW},
    {"resnet8x4", 1233540, 2762, 177071104, WIDE4},
    {"resnet32x4", 7433860, 9954, 1083040768, WIDE4},
    {"wrn_16_1", 180916, 941, 26663168, NARROW},
    {"wrn_16_2", 703284, 1837, 101118464, WIDE2},
    {"wrn_40_1", 569780, 2757, 83286272, NARROW},
    {"wrn_40_2", 2255156, 5445, 327610880, WIDE2},
};

static void sizes_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        duet_error err = {0};
        dt_model_facts f;
        const dt_model *m = dt_model_find(rows[i].name, &err);
        if (!m || dt_model_measure(m, CLASSES, &f, &err)) fail_msg("%s: %s", rows[i].name, err.message);
        if (f.parameters != rows[i].parameters || f.buffers != rows[i].buffers || f.macs != rows[i].macs) {
            fail_msg("%s: %zu parameters, %zu buffers, %.0f macs; expected %zu, %zu, %.0f", m->name, f.parameters, f.buffers, f.macs,
                     rows[i].parameters, rows[i].buffers, rows[i].macs);
        }
    }
}

static void the_table_above_holds_all_of_both_families(void **state)
{
    (void)state;
    size_t n = 0, both = 0;
    for (const dt_model *m; (m = dt_model_at(n)); n++) both += !strcmp(m->family, "resnet") || !strcmp(m->family, "wrn");
    assert_int_equal(both, DT_COUNT(rows));
    assert_null(dt_model_at(n + 5));
}

static void taps_are_the_stages_and_the_last_map(void **state)
{
    (void)state;
    static const char *const names[] = {"stage1", "stage2", "stage3", "features"};
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        dt_model_facts f;
        assert_int_equal(dt_model_measure(dt_model_find(rows[i].name, NULL), CLASSES, &f, NULL), DUET_OK);
        assert_int_equal(f.built.n_taps, 4);
        for (int t = 0; t < 4; t++) {
            const int stage = t < 3 ? t : 2; /* features has the size of stage3 */
            assert_string_equal(f.built.taps[t].name, names[t]);
            assert_int_equal(f.tap_shape[t].c, rows[i].c[stage]);
            assert_int_equal(f.tap_shape[t].h, rows[i].side[stage]);
            assert_int_equal(f.tap_shape[t].w, rows[i].side[stage]);
        }
        /* In a resnet the last stage enters pooling as it is; in a wrn after one more norm. */
        const bool same = f.built.taps[2].node == f.built.taps[3].node;
        assert_int_equal(same, !strncmp(rows[i].name, "resnet", 6));
    }
}

static dt_graph *build(const char *name)
{
    const dt_model *m = dt_model_find(name, NULL);
    dt_graph *g = dt_graph_create();
    dt_graph_set_network(g, 0, "net", true);
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){2, 3, 32, 32});
    in.classes = CLASSES;
    m->build(m, g, &in);
    duet_error err = {0};
    if (dt_graph_check(g, &err)) fail_msg("%s", err.message);
    return g;
}

/* Does the graph have these parameters, one after another, somewhere? */
static bool in_order(const dt_graph *g, const char *const *names, size_t n)
{
    for (size_t i = 0; i + n <= g->n_parameters; i++) {
        size_t k = 0;
        while (k < n && !strcmp(g->parameters[i + k].name, names[k])) k++;
        if (k == n) return true;
    }
    return false;
}

#define NORM(name) name ".weight", name ".bias", name ".running_mean", name ".running_var"

static void parameters_stand_in_the_order_of_state_dict(void **state)
{
    (void)state;
    static const char *const start[] = {"conv1.weight", NORM("bn1"), "layer1.0.conv1.weight"};
    static const char *const strided[] = {
        "layer2.0.conv1.weight", NORM("layer2.0.bn1"), "layer2.0.conv2.weight", NORM("layer2.0.bn2"),
        "layer2.0.downsample.0.weight", NORM("layer2.0.downsample.1"), "layer2.1.conv1.weight"};
    static const char *const end[] = {NORM("layer3.2.bn2"), "fc.weight", "fc.bias"};
    dt_graph *g = build("resnet20");
    assert_true(in_order(g, start, DT_COUNT(start)));
    assert_true(in_order(g, strided, DT_COUNT(strided)));
    assert_true(in_order(g, end, DT_COUNT(end)));
    assert_string_equal(g->parameters[0].name, "conv1.weight");
    assert_string_equal(g->parameters[g->n_parameters - 1].name, "fc.bias");
    dt_graph_destroy(g);

    static const char *const wide[] = {
        "conv1.weight", NORM("block1.layer.0.bn1"), "block1.layer.0.conv1.weight", NORM("block1.layer.0.bn2"),
        "block1.layer.0.conv2.weight", "block1.layer.0.convShortcut.weight", "block1.layer.1.bn1.weight"};
    static const char *const wide_end[] = {"block3.layer.1.conv2.weight", NORM("bn1"), "fc.weight", "fc.bias"};
    g = build("wrn_16_2");
    assert_true(in_order(g, wide, DT_COUNT(wide)));
    assert_true(in_order(g, wide_end, DT_COUNT(wide_end)));
    dt_graph_destroy(g);
}

static bool has(const dt_graph *g, const char *name)
{
    return dt_find_parameter(g, 0, name) != DT_NONE;
}

static void shortcuts_have_weights_only_where_shapes_change(void **state)
{
    (void)state;
    dt_graph *g = build("resnet20");
    assert_false(has(g, "layer1.0.downsample.0.weight")); /* 16 -> 16 */
    assert_false(has(g, "layer2.1.downsample.0.weight"));
    assert_true(has(g, "layer3.0.downsample.0.weight"));
    dt_graph_destroy(g);
    g = build("resnet8x4");
    assert_true(has(g, "layer1.0.downsample.0.weight")); /* 32 -> 64, stride 1 */
    dt_graph_destroy(g);
    g = build("wrn_16_1");
    assert_false(has(g, "block1.layer.0.convShortcut.weight"));
    assert_true(has(g, "block2.layer.0.convShortcut.weight"));
    dt_graph_destroy(g);
}

static const dt_parameter *parameter(const dt_graph *g, const char *name)
{
    dt_node x = dt_find_parameter(g, 0, name);
    assert_true(x != DT_NONE);
    return &g->parameters[g->nodes[x].parameter];
}

static void initial_values_follow_the_families(void **state)
{
    (void)state;
    dt_graph *r = build("resnet8"), *w = build("wrn_16_2");
    const dt_parameter *conv = parameter(r, "layer2.0.conv1.weight"), *norm = parameter(r, "bn1.weight");
    assert_int_equal(conv->init, DT_INIT_NORMAL);
    assert_true(fabs(conv->amount - sqrt(2.0 / (9 * 32))) < 1e-12);
    assert_int_equal(norm->init, DT_INIT_ONE);
    assert_int_equal(parameter(r, "bn1.running_var")->init, DT_INIT_ONE);
    assert_false(parameter(r, "bn1.running_var")->trained);
    assert_int_equal(parameter(r, "bn1.bias")->init, DT_INIT_ZERO);
    assert_int_equal(parameter(r, "fc.weight")->init, DT_INIT_UNIFORM);
    assert_true(fabs(parameter(r, "fc.weight")->amount - 1 / sqrt(64.0)) < 1e-12);
    assert_int_equal(parameter(r, "fc.bias")->init, DT_INIT_UNIFORM);
    assert_int_equal(parameter(w, "fc.weight")->init, DT_INIT_UNIFORM);
    assert_int_equal(parameter(w, "fc.bias")->init, DT_INIT_ZERO);
    assert_true(fabs(parameter(w, "block2.layer.0.convShortcut.weight")->amount - sqrt(2.0 / 64)) < 1e-12);
    dt_graph_destroy(r);
    dt_graph_destroy(w);
}

static void a_misspelt_model_is_answered_with_the_nearest(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_null(dt_model_find("resnet21", &err));
    assert_int_equal(err.status, DUET_ARG);
    assert_non_null(strstr(err.message, "did you mean resnet2"));
    assert_non_null(strstr(err.message, "duet models"));
    assert_null(dt_model_find("ResNet50", &err)); /* resnet50 is another one */
    assert_non_null(strstr(err.message, "ResNet50 is resnet50_cifar here, not resnet50"));
    assert_int_equal(dt_model_check_size(dt_model_find("mobilenet_half", NULL), 224, 224, &err), DUET_SHAPE);
    assert_non_null(strstr(err.message, "mobilenet_v2"));
    assert_null(dt_model_find("", NULL));
}

static void a_failed_allocation_is_reported_and_leaves_the_result_alone(void **state)
{
    (void)state;
    const dt_model *m = dt_model_find("resnet8", NULL);
    dt_model_facts f = {.parameters = 7};
    long k = 1;
    for (;; k++) {
        duet_error err = {0};
        dt_alloc_fail_at(k);
        const duet_status status = dt_model_measure(m, CLASSES, &f, &err);
        dt_alloc_fail_at(0);
        if (!status) break;
        assert_int_equal(status, DUET_MEMORY);
        assert_int_equal(f.parameters, 7);
    }
    assert_true(k > 1);
    assert_int_equal(f.parameters, 83892);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_pytorch),
        cmocka_unit_test(the_table_above_holds_all_of_both_families),
        cmocka_unit_test(taps_are_the_stages_and_the_last_map),
        cmocka_unit_test(parameters_stand_in_the_order_of_state_dict),
        cmocka_unit_test(shortcuts_have_weights_only_where_shapes_change),
        cmocka_unit_test(initial_values_follow_the_families),
        cmocka_unit_test(a_misspelt_model_is_answered_with_the_nearest),
        cmocka_unit_test(a_failed_allocation_is_reported_and_leaves_the_result_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
