/* Networks that are described in files: the same graph as their built-in twins, and every mistake with its place. */
#include "models/models.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static dt_graph *graph_of(const dt_model *m)
{
    dt_graph *g = dt_graph_create();
    dt_graph_set_network(g, 0, "net", true);
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){2, 3, m->image, m->image});
    in.classes = m->classes;
    const dt_built b = m->build(m, g, &in);
    duet_error err = {0};
    if (dt_graph_check(g, &err)) fail_msg("%s", err.message);
    assert_true(b.output != DT_NONE && b.features != DT_NONE && b.head_weight != DT_NONE);
    return g;
}

/* Nodes, what they read and their attributes, parameters, how these start. */
static void check_equal(const dt_graph *a, const dt_graph *b)
{
    assert_int_equal(a->n_nodes, b->n_nodes);
    for (size_t i = 0; i < a->n_nodes; i++) {
        const dt_graph_node *x = &a->nodes[i], *y = &b->nodes[i];
        if (x->kind != y->kind || !dt_shape_equal(x->shape, y->shape) || memcmp(&x->a, &y->a, sizeof x->a) || memcmp(x->in, y->in, sizeof x->in) ||
            strcmp(x->name ? x->name : "", y->name ? y->name : ""))
            fail_msg("node %zu: %s, %s and %s, %s differ", i, dt_kind_name(x->kind), x->name, dt_kind_name(y->kind), y->name);
    }
    assert_int_equal(a->n_parameters, b->n_parameters);
    for (size_t i = 0; i < a->n_parameters; i++) {
        assert_string_equal(a->parameters[i].name, b->parameters[i].name);
        assert_int_equal(a->parameters[i].init, b->parameters[i].init);
        assert_true(a->parameters[i].amount == b->parameters[i].amount);
    }
    dt_text texts[2] = {{0}, {0}};
    dt_graph_dump(a, &texts[0]);
    dt_graph_dump(b, &texts[1]);
    assert_string_equal(texts[0].bytes, texts[1].bytes);
    dt_text_release(&texts[0]);
    dt_text_release(&texts[1]);
}

static void check_twin(const char *file, const char *name)
{
    dt_arena arena = {0};
    duet_error err = {0};
    const dt_model *m, *twin = dt_model_find(name, NULL);
    if (dt_model_read(file, &arena, &m, &err)) fail_msg("%s", err.message);
    assert_string_equal(m->name, name);
    assert_int_equal(m->classes, twin->classes);
    dt_graph *a = graph_of(m), *b = graph_of(twin);
    check_equal(a, b);
    dt_model_facts x, y;
    assert_int_equal(dt_model_measure(m, 10, &x, &err), DUET_OK);
    assert_int_equal(dt_model_measure(twin, 10, &y, &err), DUET_OK);
    assert_int_equal(x.built.n_taps, y.built.n_taps);
    for (int t = 0; t < x.built.n_taps; t++) {
        assert_string_equal(x.built.taps[t].name, y.built.taps[t].name);
        assert_int_equal(x.built.taps[t].node, y.built.taps[t].node);
    }
    dt_graph_destroy(a);
    dt_graph_destroy(b);
    dt_arena_release(&arena);
}

static void a_described_network_is_its_built_in_twin(void **state)
{
    (void)state;
    check_twin(DUET_SOURCE_DIR "/models/resnet20.yaml", "resnet20");
    check_twin(DUET_SOURCE_DIR "/models/vgg8.yaml", "vgg8");
}

#define HEAD "image: 8\nlayers:\n"
#define TAIL "  - {classifier: fc}\n"

static const struct {
    const char *text, *says[3];
} wrong[] = {
    {"", {"empty file", "`layers`"}},
    {"image: 8\n", {"net.yaml:1:1", "no `layers`"}},
    {"layers:\n" TAIL, {"image: missing"}},
    {"imag: 8\nlayers:\n" TAIL, {"net.yaml:1:1: found imag", "did you mean image?"}},
    {HEAD "  - relu\n", {"net.yaml:3:3", "the last layer is missing"}},
    {HEAD "  - rela\n" TAIL, {"net.yaml:3:5: found rela", "did you mean relu?"}},
    {HEAD "  - {convolution: a}\n" TAIL, {"net.yaml:3:5: found convolution", "conv, "}},
    {HEAD "  - {conv: a}\n" TAIL, {"net.yaml:3:5", "channels is missing"}},
    {HEAD "  - {conv: a, channels: 4, kernels: 3}\n" TAIL, {"net.yaml:3:28: found kernels beside conv", "kernel, stride"}},
    {HEAD "  - {conv: a, channels: $w}\n" TAIL, {"net.yaml:3:25: found $w", "there are none"}},
    {HEAD "  - {conv: a, channels: 7 / 2}\n" TAIL, {"net.yaml:3:25: found 7 / 2", "leaves a rest"}},
    {HEAD "  - {conv: a, channels: (7}\n" TAIL, {"net.yaml:3:25", "not closed"}},
    {HEAD "  - {conv: a, channels: 0}\n" TAIL, {"net.yaml:3:25: channels: found 0", "at least 1"}},
    {HEAD "  - {conv: a b, channels: 2}\n" TAIL, {"net.yaml:3:12: found a b", "letters"}},
    {HEAD "  - {conv: a, channels: 4, kernel: 11, pad: 0}\n" TAIL, {"net.yaml:3:5: conv, given 3x8x8", "a: a kernel of 11x11 is larger"}},
    {HEAD "  - {conv: a, channels: 4, groups: 2}\n" TAIL, {"net.yaml:3:5: conv, given 3x8x8", "2 groups do not divide 3"}},
    {HEAD "  - {conv: a, channels: 4}\n  - {add: in}\n" TAIL, {"net.yaml:4:11", "4x8x8 here and 3x8x8 there"}},
    {HEAD "  - {add: there}\n" TAIL, {"net.yaml:3:11: found there", "`keep`"}},
    {HEAD "  - {concat: [here, in], axis: 1}\n" TAIL, {"net.yaml:3:26: found axis beside concat"}},
    {HEAD "  - {slice: 2, channels: 2}\n" TAIL, {"net.yaml:3:5: slice, given 3x8x8"}},
    {HEAD "  - {shuffle: 2}\n" TAIL, {"net.yaml:3:5: shuffle, given 3x8x8"}},
    {HEAD "  - {use: b}\n" TAIL, {"net.yaml:3:11: found b, which is no block"}},
    {"image: 8\nblocks: {b: [{use: b}]}\nlayers:\n  - {use: b}\n" TAIL, {"net.yaml:2:13: found blocks more than 12 deep"}},
    {HEAD "  - {repeat: 1000, layers: [{repeat: 1000, layers: [relu]}]}\n" TAIL, {"net.yaml:3:", "more than 20000 layers"}},
    {HEAD "  - {repeat: 2}\n" TAIL, {"net.yaml:3:5", "either `use:`"}},
    {HEAD "  - {tap: a}\n  - {tap: a}\n" TAIL, {"net.yaml:4:11: found a second tap a"}},
    {HEAD TAIL "  - relu\n", {"net.yaml:4:5: found a layer behind the classifier"}},
    {HEAD "  - {classifier: fc, start: random}\n", {"net.yaml:3:29: start: found random", "torch, zero_bias, normal"}},
    {HEAD "  - {classifier: fc, dropout: 1}\n", {"net.yaml:3:31: found 1", "below 1"}},
    {HEAD "  - &a relu\n" TAIL, {"net.yaml:3:8", "a description has none"}},
};

static void every_mistake_has_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < DT_COUNT(wrong); i++) {
        dt_arena arena = {0};
        duet_error err = {0};
        const dt_model *m = NULL;
        const duet_status st = dt_model_described("a/net.yaml", wrong[i].text, strlen(wrong[i].text), &arena, &m, &err);
        if (st != DUET_RECIPE || m) fail_msg("status %d, '%s' for:\n%s", st, err.message, wrong[i].text);
        for (size_t k = 0; k < 3 && wrong[i].says[k]; k++)
            if (!strstr(err.message, wrong[i].says[k])) fail_msg("want '%s' in '%s' for:\n%s", wrong[i].says[k], err.message, wrong[i].text);
        dt_arena_release(&arena);
    }
}

static const char good[] =
    "image: 8\nclasses: 5\nwith: {w: 4}\nblocks:\n  b:\n    - {conv: \"${2 * i}\", channels: \"$c * (1 + 1) - $c\", start: torch}\n    - relu6\n"
    "layers:\n  - {repeat: 2, name: s$i, use: b, with: {c: [$w, 2 * $w]}}\n  - {keep: a}\n  - {max_pool: 2}\n  - {from: a}\n"
    "  - {avg_pool: 3, stride: 2, pad: 1, count_pad: true}\n  - {concat: [here, here]}\n  - {shuffle: 2}\n  - {slice: 4, channels: 8}\n"
    "  - {dropout: 0.1}\n  - {classifier: head, dropout: 0.2, start: normal}\n";

static void every_word_can_be_said(void **state)
{
    (void)state;
    dt_arena arena = {0};
    duet_error err = {0};
    const dt_model *m;
    dt_model_facts f;
    if (dt_model_described("mine.yaml", good, sizeof good - 1, &arena, &m, &err)) fail_msg("%s", err.message);
    assert_string_equal(m->description, good);
    assert_true(m->dropout);
    assert_int_equal(dt_model_measure(m, 0, &f, &err), DUET_OK);
    assert_int_equal(f.parameters, (4 * 3 * 9) + (8 * 4 * 9) + 8 * 5 + 5);
    assert_int_equal(f.tap_shape[0].c, 8);
    assert_int_equal(f.tap_shape[0].h, 4);
    dt_graph *g = graph_of(m);
    assert_true(dt_find_parameter(g, 0, "s0.0.weight") != DT_NONE && dt_find_parameter(g, 0, "s1.2.weight") != DT_NONE);
    dt_graph_destroy(g);
    dt_text list = {0};
    assert_int_equal(dt_model_list(m, 0, &list, &err), DUET_OK);
    assert_non_null(strstr(list.bytes, "s1.2"));
    dt_text_release(&list);
    dt_arena_release(&arena);
}

static void a_failed_allocation_is_reported(void **state)
{
    (void)state;
    for (long k = 1; k < 400; k++) {
        dt_arena arena = {0};
        duet_error err = {0};
        const dt_model *m;
        dt_alloc_fail_at(k);
        const duet_status st = dt_model_described("mine.yaml", good, sizeof good - 1, &arena, &m, &err);
        dt_alloc_fail_at(0);
        dt_arena_release(&arena);
        if (!st) return;
        assert_int_equal(st, DUET_MEMORY);
    }
    fail_msg("more than 400 allocations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_described_network_is_its_built_in_twin),
        cmocka_unit_test(every_mistake_has_its_place),
        cmocka_unit_test(every_word_can_be_said),
        cmocka_unit_test(a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
