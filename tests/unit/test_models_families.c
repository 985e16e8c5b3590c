/* Classifiers beside the resnet and wrn families (test_models.c): sizes, maps, names, order and start values of the public
 * definitions, printed there by PyTorch. */
#include "models/models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { STAGES = 4 };

typedef struct row {
    const char *name;
    size_t image, parameters, buffers;
    double macs;
    size_t c[STAGES], side[STAGES]; /* of stage1..4; 0: no such stage */
    size_t features;                /* channels of the map that enters pooling; its side is that of the last stage */
    const char *head;
} row;

#define VGG {128, 256, 512, 512}, {16, 8, 4, 4}, 512, "classifier"
#define BASIC {64, 128, 256, 512}
#define BOTTLENECK {256, 512, 1024, 2048}
#define AT32 {32, 16, 8, 4}
#define AT224 {56, 28, 14, 7}

/* With 100 classes for pictures of 32x32, 1000 for larger; buffers include num_batches_tracked. */
static const row rows[] = {
    {"vgg8", 32, 3965028, 2949, 96192512, VGG},
    {"vgg11", 32, 9277284, 5512, 209438720, VGG},
    {"vgg13", 32, 9462180, 5898, 284936192, VGG},
    {"vgg16", 32, 14774436, 8461, 398182400, VGG},
    {"vgg19", 32, 20086692, 11024, 511428608, VGG},
    {"resnet18_cifar", 32, 11220132, 9620, 555468800, BASIC, AT32, 512, "linear"},
    {"resnet50_cifar", 32, 23705252, 53173, 1298014208, BOTTLENECK, AT32, 2048, "linear"},
    {"resnet18", 224, 11689512, 9620, 1814073344, BASIC, AT224, 512, "fc"},
    {"resnet34", 224, 21797672, 17060, 3663761408, BASIC, AT224, 512, "fc"},
    {"resnet50", 224, 25557032, 53173, 4089184256, BOTTLENECK, AT224, 2048, "fc"},
    {"resnet101", 224, 44549160, 105448, 7801405440, BOTTLENECK, AT224, 2048, "fc"},
    {"mobilenet_half", 32, 812836, 18421, 6523648, {12, 16, 48, 160}, {16, 8, 4, 2}, 1280, "classifier.0"},
    {"mobilenet_v1", 224, 4231976, 21915, 568740352, {128, 256, 512, 1024}, AT224, 1024, "fc"},
    {"mobilenet_v2", 224, 3504872, 34164, 300774272, {24, 32, 96, 320}, AT224, 1280, "classifier.1"},
    {"shufflenet_v1", 32, 949258, 23785, 38691456, {240, 480, 960}, {16, 8, 4}, 960, "linear"},
    {"shufflenet_v2", 32, 1355528, 16236, 44504448, {116, 232, 464}, {16, 8, 4}, 1024, "linear"},
    {"wide_resnet50_2", 224, 68883240, 68277, 11398021120, BOTTLENECK, AT224, 2048, "fc"},
};

static void sizes_are_those_of_the_public_definitions(void **state)
{
    (void)state;
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        const row *r = &rows[i];
        duet_error err = {0};
        dt_model_facts f;
        const dt_model *m = dt_model_find(r->name, &err);
        if (!m || dt_model_measure(m, 0, &f, &err)) fail_msg("%s: %s", r->name, err.message);
        if (f.parameters != r->parameters || f.buffers != r->buffers || f.macs != r->macs)
            fail_msg("%s: %zu parameters, %zu buffers, %.0f macs; expected %zu, %zu, %.0f", m->name, f.parameters, f.buffers, f.macs,
                     r->parameters, r->buffers, r->macs);
        assert_int_equal(m->image, r->image);
        assert_int_equal(m->classes, r->image == 32 ? 100 : 1000);
    }
}

static void the_table_holds_every_other_classifier(void **state)
{
    (void)state;
    const dt_model *m;
    for (size_t i = 0; (m = dt_model_at(i)); i++) {
        if (strcmp(dt_model_task(m), "classify") || !strcmp(m->family, "resnet") || !strcmp(m->family, "wrn")) continue;
        size_t k = 0;
        while (k < DT_COUNT(rows) && strcmp(rows[k].name, m->name)) k++;
        if (k == DT_COUNT(rows)) fail_msg("%s is in no table", m->name);
    }
}

static void check_tap(const char *model, const dt_model_facts *f, int tap, const char *name, size_t c, size_t side)
{
    const dt_shape s = f->tap_shape[tap];
    if (strcmp(f->built.taps[tap].name, name) || s.c != c || s.h != side || s.w != side)
        fail_msg("%s: tap %d is %s, %zux%zux%zu; expected %s, %zux%zux%zu", model, tap, f->built.taps[tap].name, s.c, s.h, s.w, name, c, side, side);
}

static void taps_are_the_stages_and_the_map_that_enters_pooling(void **state)
{
    (void)state;
    static const char *const names[STAGES] = {"stage1", "stage2", "stage3", "stage4"};
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        const row *r = &rows[i];
        dt_model_facts f;
        assert_int_equal(dt_model_measure(dt_model_find(r->name, NULL), 0, &f, NULL), DUET_OK);
        int n = 0;
        while (n < STAGES && r->c[n]) n++;
        assert_int_equal(f.built.n_taps, n + 1);
        for (int t = 0; t < n; t++) check_tap(r->name, &f, t, names[t], r->c[t], r->side[t]);
        check_tap(r->name, &f, n, "features", r->features, r->side[n - 1]);
    }
}

static dt_graph *build(const char *name)
{
    const dt_model *m = dt_model_find(name, NULL);
    dt_graph *g = dt_graph_create();
    dt_graph_set_network(g, 0, "net", true);
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){1, 3, m->image, m->image});
    in.classes = m->classes;
    m->build(m, g, &in);
    duet_error err = {0};
    if (dt_graph_check(g, &err)) fail_msg("%s", err.message);
    return g;
}

static void check_order(const char *name, const char *const *names, size_t n)
{
    dt_graph *g = build(name);
    size_t i = 0, k = 0;
    for (; i + n <= g->n_parameters && k < n; i++)
        for (k = 0; k < n && !strcmp(g->parameters[i + k].name, names[k]);) k++;
    if (k < n) fail_msg("%s: no parameters %s, .. %s in this order", name, names[0], names[n - 1]);
    dt_graph_destroy(g);
}

#define NORM(name) name ".weight", name ".bias", name ".running_mean", name ".running_var"
#define CHECK_ORDER(name, ...)                                                                                         \
    do {                                                                                                               \
        static const char *const names_[] = {__VA_ARGS__};                                                             \
        check_order(name, names_, DT_COUNT(names_));                                                                   \
    } while (0)

static void parameters_stand_in_the_order_of_state_dict(void **state)
{
    (void)state;
    CHECK_ORDER("vgg11", NORM("block1.1"), "block2.0.weight", "block2.0.bias", NORM("block2.1"), "block2.3.weight", "block2.3.bias", NORM("block2.4"),
                "block3.0.weight");
    CHECK_ORDER("vgg8", NORM("block4.1"), "classifier.weight", "classifier.bias");
    CHECK_ORDER("resnet50_cifar", "conv1.weight", NORM("bn1"), "layer1.0.conv1.weight", NORM("layer1.0.bn1"), "layer1.0.conv2.weight",
                NORM("layer1.0.bn2"), "layer1.0.conv3.weight", NORM("layer1.0.bn3"), "layer1.0.shortcut.0.weight", NORM("layer1.0.shortcut.1"),
                "layer1.1.conv1.weight");
    CHECK_ORDER("resnet18_cifar", NORM("layer1.1.bn2"), "layer2.0.conv1.weight", NORM("layer2.0.bn1"), "layer2.0.conv2.weight", NORM("layer2.0.bn2"),
                "layer2.0.shortcut.0.weight");
    CHECK_ORDER("resnet18", NORM("layer2.0.bn2"), "layer2.0.downsample.0.weight", NORM("layer2.0.downsample.1"), "layer2.1.conv1.weight");
    CHECK_ORDER("resnet34", NORM("layer4.2.bn2"), "fc.weight", "fc.bias");
    CHECK_ORDER("mobilenet_half", "conv1.0.weight", NORM("conv1.1"), "blocks.0.0.conv.0.weight", NORM("blocks.0.0.conv.1"), "blocks.0.0.conv.3.weight",
                NORM("blocks.0.0.conv.4"), "blocks.0.0.conv.6.weight", NORM("blocks.0.0.conv.7"), "blocks.1.0.conv.0.weight");
    CHECK_ORDER("mobilenet_half", NORM("blocks.6.0.conv.7"), "conv2.0.weight", NORM("conv2.1"), "classifier.0.weight", "classifier.0.bias");
    CHECK_ORDER("mobilenet_v2", "features.0.0.weight", NORM("features.0.1"), "features.1.conv.0.0.weight", NORM("features.1.conv.0.1"),
                "features.1.conv.1.weight", NORM("features.1.conv.2"), "features.2.conv.0.0.weight", NORM("features.2.conv.0.1"),
                "features.2.conv.1.0.weight", NORM("features.2.conv.1.1"), "features.2.conv.2.weight", NORM("features.2.conv.3"));
    CHECK_ORDER("mobilenet_v2", NORM("features.17.conv.3"), "features.18.0.weight", NORM("features.18.1"), "classifier.1.weight", "classifier.1.bias");
    CHECK_ORDER("mobilenet_v1", NORM("model.0.1"), "model.1.0.weight", NORM("model.1.1"), "model.1.3.weight", NORM("model.1.4"), "model.2.0.weight");
    CHECK_ORDER("mobilenet_v1", NORM("model.13.4"), "fc.weight", "fc.bias");
    CHECK_ORDER("shufflenet_v1", NORM("bn1"), "layer1.0.conv1.weight", NORM("layer1.0.bn1"), "layer1.0.conv2.weight", NORM("layer1.0.bn2"),
                "layer1.0.conv3.weight", NORM("layer1.0.bn3"), "layer1.1.conv1.weight");
    CHECK_ORDER("shufflenet_v2", NORM("bn1"), "layer1.0.conv1.weight", NORM("layer1.0.bn1"), "layer1.0.conv2.weight", NORM("layer1.0.bn2"),
                "layer1.0.conv3.weight", NORM("layer1.0.bn3"), "layer1.0.conv4.weight", NORM("layer1.0.bn4"), "layer1.0.conv5.weight",
                NORM("layer1.0.bn5"), "layer1.1.conv1.weight");
    CHECK_ORDER("shufflenet_v2", NORM("layer3.3.bn3"), "conv2.weight", NORM("bn2"), "linear.weight", "linear.bias");
}

static void check_shape(const char *model, const char *parameter, dt_shape wanted)
{
    dt_graph *g = build(model);
    const dt_shape s = dt_shape_of(g, dt_find_parameter(g, 0, parameter));
    if (!dt_shape_equal(s, wanted)) fail_msg("%s: %s is %zux%zux%zux%zu", model, parameter, s.n, s.c, s.h, s.w);
    dt_graph_destroy(g);
}

static void weights_have_the_public_shapes(void **state)
{
    (void)state;
    check_shape("vgg11", "block2.3.weight", (dt_shape){256, 256, 3, 3});
    check_shape("resnet50_cifar", "layer1.0.conv3.weight", (dt_shape){256, 64, 1, 1});
    check_shape("resnet18", "conv1.weight", (dt_shape){64, 3, 7, 7});
    check_shape("resnet18", "layer2.0.downsample.0.weight", (dt_shape){128, 64, 1, 1});
    check_shape("wide_resnet50_2", "layer1.0.conv2.weight", (dt_shape){128, 128, 3, 3});
    check_shape("wide_resnet50_2", "layer1.0.conv3.weight", (dt_shape){256, 128, 1, 1});
    check_shape("mobilenet_half", "blocks.0.0.conv.0.weight", (dt_shape){16, 16, 1, 1});
    check_shape("mobilenet_half", "blocks.1.0.conv.3.weight", (dt_shape){48, 1, 3, 3});
    check_shape("mobilenet_half", "conv2.0.weight", (dt_shape){1280, 160, 1, 1});
    check_shape("mobilenet_v2", "features.1.conv.1.weight", (dt_shape){16, 32, 1, 1});
    check_shape("mobilenet_v1", "model.2.3.weight", (dt_shape){128, 64, 1, 1});
    check_shape("shufflenet_v1", "layer1.0.conv1.weight", (dt_shape){54, 24, 1, 1});
    check_shape("shufflenet_v1", "layer1.0.conv3.weight", (dt_shape){216, 18, 1, 1});
    check_shape("shufflenet_v1", "layer2.0.conv1.weight", (dt_shape){60, 80, 1, 1});
    check_shape("shufflenet_v1", "layer2.0.conv3.weight", (dt_shape){240, 20, 1, 1});
    check_shape("shufflenet_v2", "layer1.0.conv2.weight", (dt_shape){58, 24, 1, 1});
    check_shape("shufflenet_v2", "layer1.0.conv5.weight", (dt_shape){58, 58, 1, 1});
    check_shape("shufflenet_v2", "layer1.1.conv2.weight", (dt_shape){58, 1, 3, 3});
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        char head[64];
        snprintf(head, sizeof head, "%s.weight", rows[i].head);
        check_shape(rows[i].name, head, (dt_shape){rows[i].image == 32 ? 100 : 1000, rows[i].features, 1, 1});
    }
}

static void check_start(const char *model, const char *parameter, dt_init init, double amount)
{
    dt_graph *g = build(model);
    const dt_node x = dt_find_parameter(g, 0, parameter);
    if (x == DT_NONE) fail_msg("%s has no %s", model, parameter);
    const dt_parameter *p = &g->parameters[g->nodes[x].parameter];
    const bool drawn = init == DT_INIT_NORMAL || init == DT_INIT_UNIFORM;
    if (p->init != init || (drawn && fabs(p->amount - amount) > 1e-12))
        fail_msg("%s: %s starts as %d, %g; expected %d, %g", model, parameter, p->init, p->amount, init, amount);
    dt_graph_destroy(g);
}

static void initial_values_follow_the_families(void **state)
{
    (void)state;
    check_start("vgg8", "block1.0.weight", DT_INIT_NORMAL, sqrt(2.0 / (9 * 128)));
    check_start("vgg8", "block1.0.bias", DT_INIT_ZERO, 0);
    check_start("vgg8", "classifier.weight", DT_INIT_NORMAL, 0.01);
    check_start("vgg8", "classifier.bias", DT_INIT_ZERO, 0);
    check_start("resnet50_cifar", "layer1.0.conv3.weight", DT_INIT_NORMAL, sqrt(2.0 / 256));
    check_start("resnet50_cifar", "layer1.0.bn3.weight", DT_INIT_ONE, 0); /* no last gamma is zero */
    check_start("resnet50_cifar", "linear.weight", DT_INIT_UNIFORM, 1 / sqrt(2048.0));
    check_start("resnet18", "conv1.weight", DT_INIT_NORMAL, sqrt(2.0 / (49 * 64)));
    check_start("resnet18", "fc.bias", DT_INIT_UNIFORM, 1 / sqrt(512.0));
    /* out channels are not divided by groups */
    check_start("mobilenet_half", "blocks.1.0.conv.3.weight", DT_INIT_NORMAL, sqrt(2.0 / (9 * 48)));
    check_start("mobilenet_half", "classifier.0.weight", DT_INIT_NORMAL, 0.01);
    check_start("mobilenet_v2", "classifier.1.bias", DT_INIT_ZERO, 0);
    check_start("mobilenet_v1", "model.2.0.weight", DT_INIT_UNIFORM, 1 / 3.0);
    check_start("shufflenet_v1", "layer2.0.conv1.weight", DT_INIT_UNIFORM, 1 / sqrt(80.0));
    check_start("shufflenet_v2", "conv2.weight", DT_INIT_UNIFORM, 1 / sqrt(464.0));
    check_start("shufflenet_v2", "linear.bias", DT_INIT_UNIFORM, 1 / sqrt(1024.0));
}

static void other_sizes_of_pictures_are_taken_where_the_network_can(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_int_equal(dt_model_check_size(dt_model_find("resnet18", NULL), 160, 192, &err), DUET_OK);
    assert_int_equal(dt_model_check_size(dt_model_find("vgg8", NULL), 64, 64, &err), DUET_SHAPE);
    assert_non_null(strstr(err.message, "32x32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_the_public_definitions),
        cmocka_unit_test(the_table_holds_every_other_classifier),
        cmocka_unit_test(taps_are_the_stages_and_the_map_that_enters_pooling),
        cmocka_unit_test(parameters_stand_in_the_order_of_state_dict),
        cmocka_unit_test(weights_have_the_public_shapes),
        cmocka_unit_test(initial_values_follow_the_families),
        cmocka_unit_test(other_sizes_of_pictures_are_taken_where_the_network_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
