/* How much of what networks see lies on the objects of a picture, in segmentation: one case, small enough to be done by hand.
 *
 * Two pictures of 2 x 4 pixels on a grid of two places, two channels, three classes of which 0 is the ground:
 *
 *     labels      1  1 | 0 0        0 0 | 2 2        on objects   1 1 | 0 0        0 0 | 1 1        F = (1, 0) | (1, 1) in both
 *                 1  - | 0 0        0 0 | 2 1                     1 1 | 0 0        0 0 | 1 1        (-: no class)
 *
 *     W = (0 0; 3 0; 0 3), without its mean (1 1) over classes (-1 -1; 2 -1; -1 2): evidence (-1 2 -1) | (-2 1 1)
 *     activation: class 1 of picture one 2 | 1, classes 1 and 2 of picture two 2 + 0 | 1 + 1
 *     valid 3/4 | 1 and 1 | 1, of it on objects 3/4 | 0 and 0 | 1 */
#include "evaluate.h"
#include "methods/methods.h"

enum { N = 2, CLASSES = 3, CHANNELS = 2, GRID = 2, H = 2, W = 4 };

static const double close = 1e-6;
static const int32_t labels[N * H * W] = {1, 1, 0, 0, 1, 255, 0, 0, 0, 0, 2, 2, 0, 0, 2, 1};
static const float mask[N * H * W] = {1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1};
static const float map[N * GRID * CHANNELS] = {1, 0, 1, 1, 1, 0, 1, 1};
static const float sees[CLASSES * CHANNELS] = {0, 0, 3, 0, 0, 3}, sees_nothing[CLASSES * CHANNELS] = {1, 2, 1, 2, 1, 2};

typedef struct fixture {
    dt_graph *g;
    dt_peers peers;
    dt_task_config config;
    dt_losses losses;
    evaluation e;
} fixture;

/* A teacher with weights `sees` and a student with `sees_nothing`, on the same map, and what adm measures of them. */
static void begin(fixture *f, bool masks)
{
    *f = (fixture){.g = dt_graph_create(), .peers = {.n = 2, .task = &dt_task_segment}};
    dt_graph *g = f->g;
    const dt_role roles[2] = {DT_ROLE_TEACHER, DT_ROLE_STUDENT};
    for (int i = 0; i < 2; i++) {
        dt_built b = DT_BUILT;
        b.output = dt_input(g, "logits", DT_REAL, (dt_shape){N, CLASSES, 1, GRID});
        b.features = dt_input(g, "features", DT_REAL, (dt_shape){N, CHANNELS, 1, GRID});
        b.head_weight = dt_input(g, "weight", DT_REAL, (dt_shape){CLASSES, CHANNELS, 1, 1});
        f->peers.at[i] = (dt_peer){.name = i ? "student" : "teacher", .role = roles[i], .built = b};
    }
    f->peers.targets = (dt_targets){.labels = dt_input(g, "labels", DT_INDEX, (dt_shape){N, 1, H, W}), .noise = DT_NONE, .classes = CLASSES,
                                    .mask = masks ? dt_input(g, "mask", DT_REAL, (dt_shape){N, 1, H, W}) : DT_NONE, .config = &f->config};
    const dt_adm_config adm = {.enabled = true, .consensus = 2 /* off */, .divergence = 2 /* off */, .weights = 2 /* uniform */};
    dt_losses_start(&f->losses, &f->peers, 1);
    assert_int_equal(dt_adm_add(g, &f->peers, &adm, &f->losses, NULL), DUET_OK);
}

static void run(fixture *f, dt_node *out, size_t n)
{
    const float no_logits[N * CLASSES * GRID] = {0};
    f->e = evaluation_of(f->g, out, n, 1, 1, DT_F64);
    dt_program *p = f->e.program;
    for (int i = 0; i < 2; i++) {
        const dt_built *b = &f->peers.at[i].built;
        dt_program_write(p, b->output, no_logits, DT_COUNT(no_logits));
        dt_program_write(p, b->features, map, DT_COUNT(map));
        dt_program_write(p, b->head_weight, i ? sees_nothing : sees, DT_COUNT(sees));
    }
    dt_program_write(p, f->peers.targets.labels, labels, DT_COUNT(labels));
    if (f->peers.targets.mask != DT_NONE) dt_program_write(p, f->peers.targets.mask, mask, DT_COUNT(mask));
    evaluation_run(&f->e, -1);
}

static void end(fixture *f)
{
    evaluation_end(&f->e);
    dt_graph_destroy(f->g);
}

static int find_term(const fixture *f, const char *name)
{
    for (int i = 0; i < f->losses.n_terms; i++)
        if (!strcmp(f->losses.terms[i].name, name)) return i;
    return -1;
}

static void shares_are_those_done_by_hand(void **state)
{
    (void)state;
    static const struct { const char *term; double share; } by_hand[] = {
        {"adm.foreground", 7.0 / 15},               /* (3 + 4) of (7 + 8) pixels that have a class */
        {"adm.foreground_c", 7.0 / 15},             /* the same everywhere: the area's */
        {"teacher.foreground_attention", 11.0 / 23}, /* F^2: 1/2 | 1: (3/8 + 1) of (3/8 + 1 + 1/2 + 1) */
        {"teacher.foreground_cam", 7.0 / 13},       /* (3/2 + 2) of (3/2 + 1 + 2 + 2) */
        {"student.foreground_cam", 0},              /* equal weights speak for no class */
    };
    fixture f;
    begin(&f, true);
    dt_node out[DT_COUNT(by_hand)];
    for (size_t i = 0; i < DT_COUNT(by_hand); i++) {
        const int at = find_term(&f, by_hand[i].term);
        if (at < 0) fail_msg("no %s", by_hand[i].term);
        out[i] = f.losses.terms[at].node;
    }
    run(&f, out, DT_COUNT(out));
    for (size_t i = 0; i < DT_COUNT(by_hand); i++)
        assert_close((double)dt_program_scalar(f.e.program, out[i]), by_hand[i].share, close, by_hand[i].term);
    end(&f);
}

static void the_activation_map_sums_the_classes_that_the_foreground_has(void **state)
{
    (void)state;
    static const float by_hand[N * GRID] = {2, 1, 2, 2};
    float found[N * GRID];
    fixture f;
    begin(&f, true);
    dt_node out = dt_task_segment.activation(f.g, &f.peers.at[0].built, &f.peers.targets);
    run(&f, &out, 1);
    dt_program_read(f.e.program, out, found, DT_COUNT(found));
    for (size_t i = 0; i < DT_COUNT(found); i++) assert_close((double)found[i], (double)by_hand[i], close, "place");
    end(&f);
}

static void without_masks_there_is_no_activation_map_and_no_share(void **state)
{
    (void)state;
    fixture f;
    begin(&f, false);
    assert_int_equal(dt_task_segment.activation(f.g, &f.peers.at[0].built, &f.peers.targets), DT_NONE);
    assert_int_equal(find_term(&f, "teacher.foreground_cam"), -1);
    assert_int_equal(find_term(&f, "adm.foreground"), -1);
    dt_graph_destroy(f.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_those_done_by_hand),
        cmocka_unit_test(the_activation_map_sums_the_classes_that_the_foreground_has),
        cmocka_unit_test(without_masks_there_is_no_activation_map_and_no_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
