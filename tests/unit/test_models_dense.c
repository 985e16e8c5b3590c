/* Networks of places and of noise: sizes, names, start values, what they offer to tasks. */
#include "models/models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct row {
    const char *name;
    size_t parameters, buffers; /* auxiliary heads counted in */
    double macs;
    size_t c, h, w; /* of features */
} row;

/* What PyTorch reports for the same networks with their own number of classes, at the size of picture they are made for. */
static const row rows[] = {
    {"seg8", 132411, 1071, 36972544, 32, 16, 16},
    {"seg14", 229627, 1525, 65284096, 32, 16, 16},
    {"seg20", 326843, 1979, 93595648, 32, 16, 16},
    {"seg56", 910139, 4703, 263464960, 32, 16, 16},
    {"seg8x2", 525931, 2127, 146825216, 64, 16, 16},
    {"seg20x2", 1301867, 3931, 373317632, 64, 16, 16},
    {"deeplabv3_resnet18", 13607974, 12063, 129373896704, 128, 64, 128},
    {"deeplabv3_resnet101", 61118950, 109938, 515837001728, 256, 64, 128},
    {"deeplabv3_resnet18_w512", 22762918, 17439, 202716741632, 512, 64, 128},
    {"deeplabv3_resnet101_w512", 79084262, 113522, 658685034496, 512, 64, 128},
    {"tv_deeplabv3_resnet50", 42004074, 57277, 346529726464, 256, 64, 128},
    {"tv_deeplabv3_resnet101", 60996202, 109552, 501685420032, 256, 64, 128},
    {"pspnet_resnet18", 12919334, 11549, 122129350656, 128, 64, 128},
    {"unet_c128", 35746307, 0, 6221856768, 128, 32, 32},
    {"unet_c64", 8952067, 0, 1599209472, 64, 32, 32},
    {"unet_c32", 1624323, 0, 363929600, 32, 32, 32},
    {"unet_c16d2", 409219, 0, 92211200, 16, 32, 32},
    {"unet_c16", 280755, 0, 63430656, 16, 32, 32},
    {"unet_c8", 71323, 0, 16340992, 8, 32, 32},
};

static dt_model_facts measured(const char *name)
{
    duet_error err = {0};
    dt_model_facts f = {0};
    const dt_model *m = dt_model_find(name, &err);
    if (!m || dt_model_measure(m, 0, &f, &err)) fail_msg("%s: %s", name, err.message);
    return f;
}

static void sizes_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        const dt_model_facts f = measured(rows[i].name);
        if (f.parameters != rows[i].parameters || f.buffers != rows[i].buffers || f.macs != rows[i].macs) {
            fail_msg("%s: %zu parameters, %zu buffers, %.0f macs; expected %zu, %zu, %.0f", rows[i].name, f.parameters, f.buffers, f.macs,
                     rows[i].parameters, rows[i].buffers, rows[i].macs);
        }
    }
}

static void the_table_above_holds_every_dense_model(void **state)
{
    (void)state;
    size_t n = 0;
    const dt_model *m;
    for (size_t i = 0; (m = dt_model_at(i)); i++) n += strcmp(dt_model_task(m), "classify") != 0;
    assert_int_equal(n, DT_COUNT(rows));
}

static void features_are_what_the_head_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < DT_COUNT(rows); i++) {
        const dt_model_facts f = measured(rows[i].name);
        const int last = f.built.n_taps - 1;
        assert_string_equal(f.built.taps[last].name, "features");
        assert_int_equal(f.built.taps[last].node, f.built.features);
        assert_int_equal(f.tap_shape[last].c, rows[i].c);
        assert_int_equal(f.tap_shape[last].h, rows[i].h);
        assert_int_equal(f.tap_shape[last].w, rows[i].w);
    }
}

/* A graph of one network; size: of the picture. */
typedef struct built {
    dt_graph *g;
    dt_built b;
} built;

static built build(const char *name, size_t h, size_t w, bool training)
{
    const dt_model *m = dt_model_find(name, NULL);
    dt_graph *g = dt_graph_create();
    dt_graph_set_network(g, 0, "net", training);
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){2, 3, h, w});
    in.time = dt_input(g, "time", DT_INDEX, (dt_shape){2, 1, 1, 1});
    in.dropout_key = dt_input(g, "dropout_key", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = 11;
    const dt_built b = m->build(m, g, &in);
    duet_error err = {0};
    if (dt_graph_check(g, &err)) fail_msg("%s", err.message);
    return (built){g, b};
}

static bool is_shape(const dt_graph *g, dt_node x, size_t c, size_t h, size_t w)
{
    return dt_shape_equal(dt_shape_of(g, x), (dt_shape){2, c, h, w});
}

static void a_segmentation_network_takes_pictures_of_any_size(void **state)
{
    (void)state;
    built n = build("seg8", 97, 129, true);
    assert_true(is_shape(n.g, n.b.output, 11, 25, 33));
    dt_graph_destroy(n.g);
    duet_error err = {0};
    assert_int_equal(dt_model_check_size(dt_model_find("seg8", NULL), 97, 129, &err), DUET_OK);
}

static void its_head_is_a_linear_map_of_one_place(void **state)
{
    (void)state;
    built n = build("seg8x2", 64, 64, true);
    assert_true(dt_shape_equal(dt_shape_of(n.g, n.b.head_weight), (dt_shape){11, 64, 1, 1}));
    assert_true(dt_shape_equal(dt_shape_of(n.g, n.b.head_bias), (dt_shape){1, 11, 1, 1}));
    assert_true(is_shape(n.g, n.b.features, 64, 16, 16));
    assert_int_equal(n.b.aux, DT_NONE);
    assert_false(n.b.align);
    dt_graph_destroy(n.g);
}

static void a_unet_takes_what_it_can_halve_and_join_again(void **state)
{
    (void)state;
    built n = build("unet_c16", 16, 24, true);
    assert_true(is_shape(n.g, n.b.output, 3, 16, 24));
    assert_true(is_shape(n.g, n.b.features, 16, 16, 24));
    assert_int_equal(n.b.head_weight, DT_NONE);
    dt_graph_destroy(n.g);
    duet_error err = {0};
    assert_int_equal(dt_model_check_size(dt_model_find("unet_c128", NULL), 32, 36, &err), DUET_SHAPE);
    assert_non_null(strstr(err.message, "multiples of 8"));
}

/* ---- dropout --------------------------------------------------------------------------------------------------- */

/* How many dropouts; each must have a salt of its own. */
static size_t dropouts(const dt_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].kind != DT_OP_DROPOUT) continue;
        n++;
        for (size_t j = 0; j < i; j++)
            if (g->nodes[j].kind == DT_OP_DROPOUT) assert_int_not_equal(g->nodes[i].a.dropout.salt, g->nodes[j].a.dropout.salt);
    }
    return n;
}

static void dropout_is_where_the_model_says_so_and_only_in_training(void **state)
{
    (void)state;
    static const struct { const char *name; size_t dropouts; } want[] = {{"seg20", 2}, {"deeplabv3_resnet18", 3}, {"tv_deeplabv3_resnet50", 2},
                                                                     {"pspnet_resnet18", 2}, {"unet_c64", 22}, {"unet_c32", 0}};
    for (size_t i = 0; i < DT_COUNT(want); i++) {
        built trained = build(want[i].name, 32, 32, true), used = build(want[i].name, 32, 32, false);
        assert_int_equal(dropouts(trained.g), want[i].dropouts);
        assert_int_equal(dropouts(used.g), 0);
        assert_int_equal(dt_model_find(want[i].name, NULL)->dropout, want[i].dropouts > 0);
        dt_graph_destroy(trained.g);
        dt_graph_destroy(used.g);
    }
}

static void networks_of_one_graph_drop_different_elements(void **state)
{
    (void)state;
    const dt_model *m = dt_model_find("seg8", NULL);
    dt_graph *g = dt_graph_create();
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){2, 3, 32, 32});
    in.dropout_key = dt_input(g, "dropout_key", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = 11;
    for (int i = 0; i < 2; i++) {
        dt_graph_set_network(g, i, i ? "b" : "a", true);
        m->build(m, g, &in);
    }
    assert_int_equal(dropouts(g), 4);
    dt_graph_destroy(g);
}

/* ---- names and start values -------------------------------------------------------------------------------------- */

static void parameter_is(const dt_graph *g, const char *name, int rank, dt_init init, double amount)
{
    const dt_node x = dt_find_parameter(g, 0, name);
    if (x == DT_NONE) fail_msg("there is no parameter %s", name);
    const dt_parameter *p = &g->parameters[g->nodes[x].parameter];
    assert_int_equal(p->rank, rank);
    assert_int_equal(p->init, init);
    if (init != DT_INIT_NORMAL && init != DT_INIT_UNIFORM) return; /* the amount means nothing */
    if (fabs(p->amount - amount) > 1e-12 * fabs(amount)) fail_msg("%s starts with %.17g, expected %.17g", name, p->amount, amount);
}

static void seg_starts_kaiming_but_for_the_last_layer(void **state)
{
    (void)state;
    built n = build("seg8", 64, 64, true);
    parameter_is(n.g, "conv1.weight", 4, DT_INIT_NORMAL, sqrt(2.0 / (9 * 16)));
    parameter_is(n.g, "layer3.0.downsample.0.weight", 4, DT_INIT_NORMAL, sqrt(2.0 / 64));
    parameter_is(n.g, "head.aspp.b2.block.0.weight", 4, DT_INIT_NORMAL, sqrt(2.0 / (9 * 32)));
    parameter_is(n.g, "head.aspp.b3.gap.1.weight", 4, DT_INIT_NORMAL, sqrt(2.0 / 32));
    parameter_is(n.g, "head.block.1.weight", 1, DT_INIT_ONE, 0);
    parameter_is(n.g, "head.block.4.weight", 4, DT_INIT_NORMAL, 0.01);
    parameter_is(n.g, "head.block.4.bias", 1, DT_INIT_ZERO, 0);
    dt_graph_destroy(n.g);
}

static void large_heads_start_as_pytorch_does_and_their_backbones_kaiming(void **state)
{
    (void)state;
    built n = build("deeplabv3_resnet18", 64, 64, true);
    parameter_is(n.g, "pretrained.layer4.1.conv2.weight", 4, DT_INIT_NORMAL, sqrt(2.0 / (9 * 512)));
    parameter_is(n.g, "head.aspp.b3.block.0.weight", 4, DT_INIT_UNIFORM, 1 / sqrt(9 * 512.0));
    parameter_is(n.g, "head.block.4.weight", 4, DT_INIT_UNIFORM, 1 / sqrt(128.0));
    parameter_is(n.g, "head.block.4.bias", 1, DT_INIT_UNIFORM, 1 / sqrt(128.0));
    parameter_is(n.g, "auxlayer.block.4.bias", 1, DT_INIT_UNIFORM, 1 / sqrt(64.0));
    dt_graph_destroy(n.g);
    n = build("pspnet_resnet18", 64, 64, true);
    parameter_is(n.g, "head.psp.conv4.0.weight", 4, DT_INIT_UNIFORM, 1 / sqrt(512.0));
    parameter_is(n.g, "head.classifier.bias", 1, DT_INIT_UNIFORM, 1 / sqrt(128.0));
    dt_graph_destroy(n.g);
    n = build("tv_deeplabv3_resnet50", 64, 64, true);
    parameter_is(n.g, "backbone.conv1.weight", 4, DT_INIT_NORMAL, sqrt(2.0 / (49 * 64)));
    parameter_is(n.g, "classifier.0.convs.4.1.weight", 4, DT_INIT_UNIFORM, 1 / sqrt(2048.0));
    parameter_is(n.g, "aux_classifier.4.weight", 4, DT_INIT_UNIFORM, 1 / sqrt(256.0));
    dt_graph_destroy(n.g);
}

static void large_networks_have_an_auxiliary_head(void **state)
{
    (void)state;
    static const struct { const char *name; bool align; } want[] = {
        {"deeplabv3_resnet18", true}, {"pspnet_resnet18", true}, {"tv_deeplabv3_resnet50", false}};
    for (size_t i = 0; i < DT_COUNT(want); i++) {
        built n = build(want[i].name, 65, 97, true);
        assert_true(is_shape(n.g, n.b.output, 11, 9, 13));
        assert_true(is_shape(n.g, n.b.aux, 11, 9, 13));
        assert_int_equal(n.b.align, want[i].align);
        assert_string_equal(n.b.taps[3].name, "stage4");
        dt_graph_destroy(n.g);
    }
}

static void a_unet_starts_xavier_and_ends_its_branches_in_almost_nothing(void **state)
{
    (void)state;
    built n = build("unet_c8", 32, 32, true);
    const double nothing = 1e-5;
    parameter_is(n.g, "conv_in.weight", 4, DT_INIT_UNIFORM, sqrt(6.0 / (9 * (3 + 8))));
    parameter_is(n.g, "conv_in.bias", 1, DT_INIT_ZERO, 0);
    parameter_is(n.g, "time_embedding.linear_1.weight", 2, DT_INIT_UNIFORM, sqrt(6.0 / (8 + 32)));
    parameter_is(n.g, "time_embedding.linear_1.bias", 1, DT_INIT_ZERO, 0);
    parameter_is(n.g, "down_blocks.1.resnets.0.conv_shortcut.weight", 4, DT_INIT_UNIFORM, sqrt(6.0 / (8 + 16)));
    parameter_is(n.g, "down_blocks.1.resnets.0.conv2.weight", 4, DT_INIT_UNIFORM, nothing * sqrt(6.0 / (9 * 32)));
    parameter_is(n.g, "down_blocks.0.downsamplers.0.conv.weight", 4, DT_INIT_UNIFORM, sqrt(6.0 / (9 * 16)));
    parameter_is(n.g, "mid_block.attentions.0.to_q.weight", 2, DT_INIT_UNIFORM, sqrt(6.0 / 32));
    parameter_is(n.g, "mid_block.attentions.0.to_out.0.weight", 2, DT_INIT_UNIFORM, nothing * sqrt(6.0 / 32));
    parameter_is(n.g, "up_blocks.1.upsamplers.0.conv.weight", 4, DT_INIT_UNIFORM, sqrt(6.0 / (9 * 32)));
    parameter_is(n.g, "conv_out.weight", 4, DT_INIT_UNIFORM, nothing * sqrt(6.0 / (9 * (8 + 3))));
    dt_graph_destroy(n.g);
}

static void a_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const char *const names[] = {"seg8", "pspnet_resnet18", "unet_c8"};
    for (size_t i = 0; i < DT_COUNT(names); i++) {
        const dt_model *m = dt_model_find(names[i], NULL);
        dt_model_facts f = {.parameters = 7};
        for (long k = 1;; k++) {
            duet_error err = {0};
            dt_alloc_fail_at(k);
            const duet_status status = dt_model_measure(m, 0, &f, &err);
            dt_alloc_fail_at(0);
            if (!status) break;
            assert_int_equal(status, DUET_MEMORY);
            assert_int_equal(f.parameters, 7);
        }
        assert_true(f.parameters > 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_of_pytorch),
        cmocka_unit_test(the_table_above_holds_every_dense_model),
        cmocka_unit_test(features_are_what_the_head_reads),
        cmocka_unit_test(a_segmentation_network_takes_pictures_of_any_size),
        cmocka_unit_test(its_head_is_a_linear_map_of_one_place),
        cmocka_unit_test(a_unet_takes_what_it_can_halve_and_join_again),
        cmocka_unit_test(dropout_is_where_the_model_says_so_and_only_in_training),
        cmocka_unit_test(networks_of_one_graph_drop_different_elements),
        cmocka_unit_test(seg_starts_kaiming_but_for_the_last_layer),
        cmocka_unit_test(large_heads_start_as_pytorch_does_and_their_backbones_kaiming),
        cmocka_unit_test(large_networks_have_an_auxiliary_head),
        cmocka_unit_test(a_unet_starts_xavier_and_ends_its_branches_in_almost_nothing),
        cmocka_unit_test(a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
