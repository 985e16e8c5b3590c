/* What the builders of dense operations make and what they refuse: shapes, parameters, messages. */
#include "graph/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static dt_graph *new_graph(bool training)
{
    dt_graph *g = dt_graph_create();
    assert_non_null(g);
    dt_graph_set_network(g, 0, "net", training);
    return g;
}

static dt_node map_of(dt_graph *g, size_t n, size_t c, size_t h, size_t w)
{
    return dt_input(g, "x", DT_REAL, (dt_shape){n, c, h, w});
}

static dt_node index_of(dt_graph *g, size_t n, size_t h, size_t w)
{
    return dt_input(g, "index", DT_INDEX, (dt_shape){n, 1, h, w});
}

static void check_shape(const dt_graph *g, dt_node x, size_t n, size_t c, size_t h, size_t w)
{
    char text[DUET_ERROR_BYTES] = "";
    if (g->error.status) memcpy(text, g->error.message, sizeof text);
    const dt_shape s = dt_shape_of(g, x), want = {n, c, h, w};
    if (!dt_shape_equal(s, want))
        fail_msg("want [%zu, %zu, %zu, %zu], got [%zu, %zu, %zu, %zu] %s", n, c, h, w, s.n, s.c, s.h, s.w, text);
}

static void shapes_follow_from_inputs(void **state)
{
    (void)state;
    dt_graph *g = new_graph(true);
    const dt_node x = map_of(g, 2, 6, 8, 4);
    check_shape(g, dt_resize(g, x, 5, 9, true), 2, 6, 5, 9);
    check_shape(g, dt_patches(g, x, 4), 2, 96, 2, 1);
    check_shape(g, dt_concat(g, (dt_node[]){x, x, map_of(g, 2, 1, 8, 4)}, 3), 2, 13, 8, 4);
    check_shape(g, dt_slice(g, x, 2, 3), 2, 3, 8, 4);
    check_shape(g, dt_group_norm(g, x, "norm", 3, 1e-6), 2, 6, 8, 4);
    check_shape(g, dt_time_embedding(g, index_of(g, 2, 1, 1), 16), 2, 16, 1, 1);
    check_shape(g, dt_in_range(g, index_of(g, 2, 8, 4), 6), 2, 1, 8, 4);
    check_shape(g, dt_pixel_cross_entropy(g, x, index_of(g, 2, 31, 17), false), 2, 1, 31, 17);
    const dt_node scores = dt_batch_matmul(g, x, x, false, true, 8, 4);
    check_shape(g, scores, 2, 32, 8, 4);
    check_shape(g, dt_batch_matmul(g, scores, x, false, false, 8, 4), 2, 6, 8, 4);
    check_shape(g, dt_batch_matmul(g, x, x, true, false, 2, 3), 2, 6, 2, 3);
    const dt_conv_spec down = {.out_channels = 5, .kernel_h = 3, .kernel_w = 3, .stride = 2, .pad_more = 1};
    check_shape(g, dt_conv(g, x, "down", down), 2, 5, 4, 2);
    dt_graph_destroy(g);
}

static void what_changes_nothing_is_no_node(void **state)
{
    (void)state;
    dt_graph *g = new_graph(true), *frozen = new_graph(false);
    const dt_node x = map_of(g, 2, 6, 8, 4), key = index_of(g, 1, 1, 1);
    assert_int_equal(dt_resize(g, x, 8, 4, false), x);
    assert_int_equal(dt_patches(g, x, 1), x);
    assert_int_equal(dt_slice(g, x, 0, 6), x);
    assert_int_equal(dt_concat(g, &x, 1), x);
    assert_int_equal(dt_dropout(g, x, key, 0, 1), x);
    assert_int_not_equal(dt_dropout(g, x, key, 0.5, 1), x);
    const dt_node y = map_of(frozen, 2, 6, 8, 4);
    assert_int_equal(dt_dropout(frozen, y, DT_NONE, 0.5, 1), y);
    dt_graph_destroy(g);
    dt_graph_destroy(frozen);
}

/* The mistake is recorded with these words, and the builder returns nothing. */
static void refused(dt_graph *g, dt_node x, const char *words)
{
    duet_error err;
    assert_int_equal(x, DT_NONE);
    assert_int_not_equal(dt_graph_check(g, &err), DUET_OK);
    if (!strstr(err.message, words)) fail_msg("want '%s' in: %s", words, err.message);
    g->error = (duet_error){0};
}

static void misfits_are_named(void **state)
{
    (void)state;
    dt_graph *g = new_graph(true);
    const dt_node x = map_of(g, 2, 6, 8, 4), other = map_of(g, 2, 6, 4, 4), one = index_of(g, 1, 1, 1);
    refused(g, dt_group_norm(g, x, "norm", 4, 1e-6), "4 groups do not divide 6 channels");
    refused(g, dt_patches(g, x, 3), "3x3 do not divide 8x4");
    refused(g, dt_concat(g, (dt_node[]){x, other}, 2), "differ in channels only");
    refused(g, dt_slice(g, x, 4, 3), "channels 4 to 7 of 6");
    refused(g, dt_batch_matmul(g, x, other, false, false, 8, 4), "inner sizes");
    refused(g, dt_batch_matmul(g, x, other, false, true, 8, 8), "32 rows");
    refused(g, dt_pixel_cross_entropy(g, x, index_of(g, 3, 8, 4), false), "the index is");
    refused(g, dt_pixel_cross_entropy(g, x, map_of(g, 2, 1, 8, 4), false), "a real of");
    refused(g, dt_dropout(g, x, one, 1, 0), "a probability of 1");
    refused(g, dt_time_embedding(g, one, 5), "5 channels");
    dt_graph_destroy(g);
}

static void a_parameter_may_start_otherwise(void **state)
{
    (void)state;
    dt_graph *g = new_graph(true);
    const dt_node x = map_of(g, 2, 6, 8, 4);
    dt_conv(g, x, "conv", (dt_conv_spec){.out_channels = 5, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1});
    dt_parameter_start(g, "conv.weight", DT_INIT_UNIFORM, 0.125);
    const dt_node weight = dt_find_parameter(g, 0, "conv.weight");
    assert_int_equal(g->parameters[g->nodes[weight].parameter].init, DT_INIT_UNIFORM);
    assert_true(g->parameters[g->nodes[weight].parameter].amount == 0.125);
    dt_parameter_start(g, "conv.wight", DT_INIT_ZERO, 0);
    refused(g, DT_NONE, "conv.wight");
    dt_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_follow_from_inputs),
        cmocka_unit_test(what_changes_nothing_is_no_node),
        cmocka_unit_test(misfits_are_named),
        cmocka_unit_test(a_parameter_may_start_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
