/* One network, one file: PyTorch's names and order, an exact round trip, and every file that does not fit refused with
 * the tensor named. */
#include "train_fixture.h"

#include <math.h>

/* A session of two different models: network 0 is a resnet8, network 1 a resnet14. */
static dt_session *session(dt_recipe **recipe)
{
    const char *const overrides[] = {"networks.student.model=resnet14", NULL};
    const dt_data_facts data = {.name = "cifar100",
                                .train_images = FIXTURE_TRAIN,
                                .test_images = FIXTURE_TEST,
                                .classes = 100,
                                .height = 32,
                                .width = 32};
    dt_session *s = NULL;
    duet_error err;
    *recipe = fixture_recipe(&files, overrides);
    if (dt_session_create(*recipe, &data, DT_FIRST_WEIGHTS, &s, &err)) fail_msg("session: %s", err.message);
    return s;
}

static void end_session(dt_session *s, dt_recipe *r)
{
    dt_session_destroy(s);
    dt_recipe_destroy(r);
}

static void save(const dt_session *s, int network, const char *path, const char *const *metadata, size_t n_pairs)
{
    duet_error err;
    if (dt_weights_save(s->state, network, path, metadata, n_pairs, &err)) fail_msg("%s", err.message);
}

static void a_file_has_the_names_and_order_of_a_state_dict(void **state)
{
    (void)state;
    static const char *const first[] = {"conv1.weight",         "bn1.weight",      "bn1.bias",
                                        "bn1.running_mean",     "bn1.running_var", "bn1.num_batches_tracked",
                                        "layer1.0.conv1.weight"};
    const char *const metadata[] = {"model", "resnet8", "classes", "100"};
    const char *path = fixture_path(&files, "order.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    dt_saved *file;
    duet_error err;
    int64_t tracked = -1;
    s->state->networks[0].batches_tracked = 1234567890123;
    save(s, 0, path, metadata, 2);
    if (dt_saved_open(path, &file, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < DT_COUNT(first); i++) assert_string_equal(file->tensors[i].name, first[i]);
    assert_string_equal(file->tensors[file->n_tensors - 2].name, "fc.weight");
    assert_string_equal(file->tensors[file->n_tensors - 1].name, "fc.bias");
    assert_int_equal(file->tensors[5].element, DT_ELEMENT_I64);
    assert_int_equal(file->tensors[5].rank, 0);
    memcpy(&tracked, file->tensors[5].bytes, sizeof tracked);
    assert_true(tracked == 1234567890123);
    assert_int_equal(file->tensors[0].rank, 4);
    assert_int_equal(file->tensors[0].shape[1], 3);
    assert_string_equal(dt_saved_metadata(file, "model"), "resnet8");
    dt_saved_close(file);
    end_session(s, r);
}

static void weights_written_and_read_back_are_the_same_bits(void **state)
{
    (void)state;
    const char *a = fixture_path(&files, "a.safetensors"), *b = fixture_path(&files, "b.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    dt_view va, vb;
    duet_error err;
    s->state->networks[1].batches_tracked = 77;
    save(s, 1, a, NULL, 0);
    if (dt_state_initialise(s->state, 1, 999, &err)) fail_msg("%s", err.message);
    save(s, 1, b, NULL, 0);
    assert_int_equal(dt_view_open(a, &va, &err), DUET_OK);
    assert_int_equal(dt_view_open(b, &vb, &err), DUET_OK);
    assert_true(va.n == vb.n && memcmp(va.bytes, vb.bytes, va.n) != 0); /* else the test shows nothing */
    dt_view_close(&vb);
    if (dt_weights_load(s->state, 1, a, &err)) fail_msg("%s", err.message);
    assert_int_equal(s->state->networks[1].batches_tracked, 77);
    save(s, 1, b, NULL, 0);
    assert_int_equal(dt_view_open(b, &vb, &err), DUET_OK);
    assert_true(va.n == vb.n && memcmp(va.bytes, vb.bytes, va.n) == 0);
    dt_view_close(&va);
    dt_view_close(&vb);
    end_session(s, r);
}

/* Loading must fail with this status and these words, and leave the network as it is. */
static void refused(dt_session *s, int network, const char *path, duet_status status, const char *const *words)
{
    duet_error err;
    const dt_tensor *t = &s->state->networks[network].tensors[0];
    float *before = dt_alloc(t->count, sizeof *before), *after = dt_alloc(t->count, sizeof *after);
    dt_state_read(s->state, network, t, before);
    const duet_status st = dt_weights_load(s->state, network, path, &err);
    dt_state_read(s->state, network, t, after);
    if (st != status) fail_msg("%s: status %s: %s", path, duet_status_name(st), st ? err.message : "accepted");
    for (; *words; words++)
        if (!strstr(err.message, *words)) fail_msg("'%s' is not in: %s", *words, err.message);
    assert_memory_equal(before, after, t->count * sizeof *before);
    dt_free(before);
    dt_free(after);
}

static void weights_of_another_model_are_refused(void **state)
{
    (void)state;
    const char *const metadata[] = {"model", "resnet8"};
    const char *path = fixture_path(&files, "other.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    save(s, 0, path, metadata, 1);
    refused(s, 1, path, DUET_FORMAT,
            (const char *const[]){path, "student", "layer1.1.conv1.weight is missing", "resnet8", NULL});
    save(s, 1, path, NULL, 0);
    refused(s, 0, path, DUET_FORMAT,
            (const char *const[]){path, "teacher", "layer1.1.conv1.weight has no place", NULL});
    end_session(s, r);
}

static void a_truncated_file_is_refused(void **state)
{
    (void)state;
    const char *path = fixture_path(&files, "short.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    static const long lengths[] = {200000, 1000, 8, 3, 0};
    for (size_t i = 0; i < DT_COUNT(lengths); i++) {
        save(s, 0, path, NULL, 0);
        assert_int_equal(truncate(path, lengths[i]), 0);
        refused(s, 0, path, DUET_FORMAT, (const char *const[]){path, NULL});
    }
    assert_int_equal(unlink(path), 0);
    refused(s, 0, path, DUET_IO, (const char *const[]){path, NULL});
    end_session(s, r);
}

/* A copy of a good file in which one tensor has another type or shape. */
static void rewrite(const char *from, const char *to, const char *name, dt_element element, bool flat)
{
    dt_saved *file;
    dt_saver *out;
    duet_error err;
    if (dt_saved_open(from, &file, &err)) fail_msg("%s", err.message);
    if (dt_saver_create(to, &out, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < file->n_tensors; i++) {
        const dt_saved_tensor *t = &file->tensors[i];
        const bool chosen = !strcmp(t->name, name);
        const size_t count = t->n_bytes / 4;
        if (chosen && flat) dt_saver_declare(out, t->name, t->element, 1, &count);
        else dt_saver_declare(out, t->name, chosen ? element : t->element, t->rank, t->shape);
    }
    for (size_t i = 0; i < file->n_tensors; i++) dt_saver_bytes(out, file->tensors[i].bytes, file->tensors[i].n_bytes);
    if (dt_saver_commit(out, &err)) fail_msg("%s", err.message);
    dt_saved_close(file);
}

static void another_type_or_shape_is_refused(void **state)
{
    (void)state;
    const char *good = fixture_path(&files, "good.safetensors"), *bad = fixture_path(&files, "bad.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    save(s, 0, good, NULL, 0);
    rewrite(good, bad, "layer2.0.bn1.bias", DT_ELEMENT_I32, false);
    refused(s, 0, bad, DUET_FORMAT, (const char *const[]){"layer2.0.bn1.bias", "I32", "F32", NULL});
    rewrite(good, bad, "layer1.0.conv2.weight", DT_ELEMENT_F32, true);
    refused(s, 0, bad, DUET_SHAPE, (const char *const[]){"layer1.0.conv2.weight", "[2304]", "[16, 16, 3, 3]", NULL});
    rewrite(good, bad, "bn1.num_batches_tracked", DT_ELEMENT_U64, false);
    refused(s, 0, bad, DUET_FORMAT, (const char *const[]){"bn1.num_batches_tracked", "U64", NULL});
    end_session(s, r);
}

/* ---- a part of a network ----------------------------------------------------------------------------------------- */

/* A file with the tensors of `from` whose names start with `keep`, called without that, and one more. */
static void copy_part(const char *from, const char *to, const char *keep, const char *extra)
{
    dt_saved *file;
    dt_saver *out;
    duet_error err;
    static const float values[4] = {1, 2, 3, 4};
    const size_t four = 4;
    if (dt_saved_open(from, &file, &err)) fail_msg("%s", err.message);
    if (dt_saver_create(to, &out, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < file->n_tensors; i++)
        if (!strncmp(file->tensors[i].name, keep, strlen(keep)))
            dt_saver_declare(out, file->tensors[i].name + strlen(keep), file->tensors[i].element, file->tensors[i].rank, file->tensors[i].shape);
    dt_saver_declare(out, extra, DT_ELEMENT_F32, 1, &four);
    for (size_t i = 0; i < file->n_tensors; i++)
        if (!strncmp(file->tensors[i].name, keep, strlen(keep))) dt_saver_bytes(out, file->tensors[i].bytes, file->tensors[i].n_bytes);
    dt_saver_bytes(out, values, sizeof values);
    if (dt_saver_commit(out, &err)) fail_msg("%s", err.message);
    dt_saved_close(file);
}

static const dt_tensor *tensor_of(const dt_state *s, const char *name)
{
    const dt_network_state *n = &s->networks[0];
    for (size_t i = 0; i < n->n_tensors; i++)
        if (!strcmp(n->tensors[i].name, name)) return &n->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* The first value of a tensor: enough to see who wrote last. */
static float first_of(const dt_state *s, const char *name)
{
    const dt_tensor *t = tensor_of(s, name);
    float *values = dt_alloc(t->count, sizeof *values);
    dt_state_read(s, 0, t, values);
    const float first = values[0];
    dt_free(values);
    return first;
}

/* A state of one network of that name, from a seed. */
static dt_state *state_of(dt_device *d, dt_graph **g, const char *model, size_t classes, uint64_t seed)
{
    const dt_model *m = dt_model_find(model, NULL);
    dt_state *s = NULL;
    duet_error err;
    dt_model_inputs in = DT_MODEL_INPUTS;
    *g = dt_graph_create();
    dt_graph_set_network(*g, 0, "net", true);
    in.image = dt_input(*g, "image", DT_REAL, (dt_shape){1, 3, 32, 32});
    in.time = dt_input(*g, "time", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = classes;
    m->build(m, *g, &in);
    if (dt_graph_check(*g, &err) || dt_state_create(d, *g, (const char *const[]){"net"}, 1, &s, &err) || dt_state_initialise(s, 0, seed, &err))
        fail_msg("%s", err.message);
    return s;
}

static dt_device *device(void)
{
    const dt_device_options options = {.threads = 1, .precision = DT_F32};
    dt_device *d = NULL;
    duet_error err;
    if (dt_device_reference.open(&options, &d, &err)) fail_msg("%s", err.message);
    return d;
}

static void a_backbone_alone_is_read_and_what_it_lacks_is_listed(void **state)
{
    (void)state;
    const char *whole = fixture_path(&files, "whole.safetensors"), *alone = fixture_path(&files, "backbone.safetensors");
    dt_device *d = device();
    dt_graph *from_graph, *to_graph;
    dt_state *from = state_of(d, &from_graph, "deeplabv3_resnet18", 19, 1), *to = state_of(d, &to_graph, "deeplabv3_resnet18", 19, 2);
    duet_error err;
    dt_text said = {0};
    const char *deep = "pretrained.layer4.1.conv2.weight", *head = "head.aspp.b0.0.weight";
    const float started = first_of(to, head);
    if (dt_weights_save(from, 0, whole, NULL, 0, &err)) fail_msg("%s", err.message);
    copy_part(whole, alone, "pretrained.", "fc.bias"); /* under the names of an ImageNet file */
    assert_int_equal(dt_weights_load(to, 0, alone, &err), DUET_FORMAT);
    if (dt_weights_load_part(to, 0, alone, false, &said, &err)) fail_msg("%s", err.message);
    assert_true(first_of(to, deep) == first_of(from, deep));
    assert_true(first_of(to, head) == started);
    assert_string_equal(said.bytes, "net: 115 of 159 tensors are from the file; at their start: head.*, auxlayer.*; not used: fc.bias");
    dt_text_release(&said);
    dt_state_destroy(from);
    dt_state_destroy(to);
    dt_graph_destroy(from_graph);
    dt_graph_destroy(to_graph);
    d->api->close(d);
}

static void a_classifier_of_other_classes_starts_anew(void **state)
{
    (void)state;
    const char *path = fixture_path(&files, "classes.safetensors");
    dt_device *d = device();
    dt_graph *from_graph, *to_graph;
    dt_state *from = state_of(d, &from_graph, "resnet8", 100, 1), *to = state_of(d, &to_graph, "resnet8", 10, 2);
    duet_error err;
    dt_text said = {0};
    if (dt_weights_save(from, 0, path, NULL, 0, &err)) fail_msg("%s", err.message);
    if (dt_weights_load_part(to, 0, path, false, &said, &err)) fail_msg("%s", err.message);
    assert_true(first_of(to, "conv1.weight") == first_of(from, "conv1.weight"));
    assert_true(first_of(to, "fc.weight") != first_of(from, "fc.weight"));
    assert_non_null(strstr(said.bytes, "at their start: fc.*"));
    dt_text_release(&said);
    dt_state_destroy(from);
    dt_graph_destroy(from_graph);
    from = state_of(d, &from_graph, "unet_c8", 0, 1);
    assert_int_equal(dt_weights_load_part(from, 0, path, false, &said, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "nothing in the file fits"));
    dt_text_release(&said);
    dt_state_destroy(from);
    dt_state_destroy(to);
    dt_graph_destroy(from_graph);
    dt_graph_destroy(to_graph);
    d->api->close(d);
}

/* ---- another number of classes ----------------------------------------------------------------------------------- */

/* The last bits of a network's tensor: equal means read from there. */
static float last_of(const dt_session *s, int network, const char *name)
{
    const dt_network_state *n = &s->state->networks[network];
    for (size_t i = 0; i < n->n_tensors; i++) {
        if (strcmp(n->tensors[i].name, name) != 0) continue;
        float *values = dt_alloc(n->tensors[i].count, sizeof *values);
        dt_state_read(s->state, network, &n->tensors[i], values);
        const float last = values[n->tensors[i].count - 1];
        dt_free(values);
        return last;
    }
    fail_msg("no tensor %s", name);
    return 0;
}

/* A session of 20 classes whose student starts from `path`. */
static duet_status of_twenty(const char *path, const char *how, dt_recipe **recipe, dt_session **s, duet_error *err)
{
    char init[256];
    snprintf(init, sizeof init, "networks.student.init=%s", path);
    const char *const overrides[] = {init, how, NULL};
    const dt_data_facts data = {.name = "other", .train_images = FIXTURE_TRAIN, .test_images = FIXTURE_TEST, .classes = 20, .height = 32, .width = 32};
    *recipe = fixture_recipe(&files, overrides);
    return dt_session_create(*recipe, &data, DT_FIRST_WEIGHTS, s, err);
}

static void weights_of_other_classes_need_a_new_last_layer_and_are_told_so(void **state)
{
    (void)state;
    const char *path = fixture_path(&files, "hundred.safetensors");
    dt_recipe *r, *other;
    dt_session *from = session(&r), *to = NULL;
    duet_error err;
    from->state->networks[0].batches_tracked = 5;
    save(from, 0, path, NULL, 0);
    assert_int_equal(of_twenty(path, "networks.student.init_head=file", &other, &to, &err), DUET_SHAPE);
    const char *const words[] = {path, "student", "fc.weight is [100, 64]", "needs [20, 64]", "`init_head: new`"};
    for (size_t i = 0; i < DT_COUNT(words); i++)
        if (!strstr(err.message, words[i])) fail_msg("'%s' is not in: %s", words[i], err.message);
    dt_recipe_destroy(other);

    static const char *const said[] = {
        "student: the last layer is new: fc.weight [20, 64] (not the file's [100, 64]), fc.bias [20] (not the file's [100]); ",
        "at their start: fc.*"};
    for (size_t strict = 0; strict < 2; strict++) {
        if (of_twenty(path, "networks.student.init_head=new", &other, &to, &err)) fail_msg("%s", err.message);
        if (strict) { /* the same, as a part of a network */
            dt_session_destroy(to);
            other->networks[1].init_strict = false;
            if (dt_session_create(other, &from->data, DT_FIRST_WEIGHTS, &to, &err)) fail_msg("%s", err.message);
        }
        if (!strstr(to->left_out[1].bytes, said[strict])) fail_msg("%s", to->left_out[1].bytes);
        assert_null(to->left_out[0].bytes);
        assert_true(last_of(to, 1, "layer3.0.bn2.weight") == last_of(from, 0, "layer3.0.bn2.weight"));
        assert_true(last_of(to, 1, "layer3.0.conv2.weight") == last_of(from, 0, "layer3.0.conv2.weight"));
        assert_true(last_of(to, 1, "fc.weight") != last_of(from, 0, "fc.weight"));
        assert_int_equal(to->state->networks[1].batches_tracked, strict ? 0 : 5);
        end_session(to, other);
    }
    end_session(from, r);
}

static void a_new_last_layer_hides_no_other_difference(void **state)
{
    (void)state;
    const char *path = fixture_path(&files, "deeper.safetensors");
    dt_recipe *r, *other;
    dt_session *from = session(&r), *to = NULL;
    duet_error err;
    save(from, 1, path, NULL, 0); /* a resnet14 */
    assert_int_equal(of_twenty(path, "networks.student.init_head=new", &other, &to, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "layer1.1.conv1.weight has no place in the network"));
    dt_recipe_destroy(other);
    end_session(from, r);
}

/* The names of attention's layers in files written before 2023. */
static const char *older(const char *name, char *out, size_t bytes)
{
    static const char *const pairs[][2] = {{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
    for (size_t i = 0; i < DT_COUNT(pairs); i++) {
        const char *at = strstr(name, pairs[i][0]);
        if (!at) continue;
        snprintf(out, bytes, "%.*s%s%s", (int)(at - name), name, pairs[i][1], at + strlen(pairs[i][0]));
        return out;
    }
    return name;
}

static void attention_may_have_its_older_names(void **state)
{
    (void)state;
    const char *now = fixture_path(&files, "now.safetensors"), *then = fixture_path(&files, "then.safetensors");
    dt_device *d = device();
    dt_graph *from_graph, *to_graph;
    dt_state *from = state_of(d, &from_graph, "unet_c8", 0, 1), *to = state_of(d, &to_graph, "unet_c8", 0, 2);
    dt_saved *file = NULL;
    dt_saver *out = NULL;
    duet_error err;
    char name[128];
    size_t renamed = 0;
    if (dt_weights_save(from, 0, now, NULL, 0, &err) || dt_saved_open(now, &file, &err) || dt_saver_create(then, &out, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < file->n_tensors; i++) {
        const dt_saved_tensor *t = &file->tensors[i];
        const char *called = older(t->name, name, sizeof name);
        renamed += called == name;
        dt_saver_declare(out, called, t->element, t->rank, t->shape);
    }
    for (size_t i = 0; i < file->n_tensors; i++) dt_saver_bytes(out, file->tensors[i].bytes, file->tensors[i].n_bytes);
    if (dt_saver_commit(out, &err)) fail_msg("%s", err.message);
    dt_saved_close(file);
    assert_int_equal(renamed, 4 * 8); /* four attentions of four layers, each a weight and a bias */
    if (dt_weights_load(to, 0, then, &err)) fail_msg("%s", err.message);
    assert_true(first_of(to, "mid_block.attentions.0.to_out.0.weight") == first_of(from, "mid_block.attentions.0.to_out.0.weight"));
    assert_true(first_of(to, "up_blocks.0.attentions.1.to_k.weight") == first_of(from, "up_blocks.0.attentions.1.to_k.weight"));
    dt_state_destroy(from);
    dt_state_destroy(to);
    dt_graph_destroy(from_graph);
    dt_graph_destroy(to_graph);
    d->api->close(d);
}

static void weights_that_are_not_finite_are_not_written_over_good_ones(void **state)
{
    (void)state;
    const char *path = fixture_path(&files, "finite.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    duet_error err;
    const dt_tensor *t = &s->state->networks[0].tensors[0];
    float *values = dt_alloc(t->count, sizeof *values);
    save(s, 0, path, NULL, 0);
    dt_state_read(s->state, 0, t, values);
    values[17] = (float)INFINITY;
    dt_state_write(s->state, 0, t, values);
    assert_int_equal(dt_weights_save(s->state, 0, path, NULL, 0, &err), DUET_NUMERIC);
    assert_non_null(strstr(err.message, "value 17 of conv1.weight"));
    if (dt_weights_load(s->state, 0, path, &err)) fail_msg("%s", err.message);
    dt_free(values);
    end_session(s, r);
}

/* ---- a weights file that classifies ------------------------------------------------------------------------------ */

static void random_pictures(float *to, size_t n)
{
    dt_rng rng = dt_rng_make(3, DT_PURPOSE_TEST, 0, 0);
    for (size_t i = 0; i < n; i++) to[i] = dt_rng_normal(&rng);
}

static void a_weights_file_says_what_it_needs_to_classify(void **state)
{
    (void)state;
    const char *const metadata[] = {"model", "resnet8",        "classes", "100",   "data",  "cifar100",
                                    "mean",  "0.5,0.25,0.125", "std",     "1,2,3", "epoch", "12"};
    const char *path = fixture_path(&files, "card.safetensors");
    enum { PICTURE = 3 * 32 * 32, BATCH = 4, CLASSES = 100 };
    dt_recipe *r;
    dt_session *s = session(&r);
    dt_trained *c = NULL;
    duet_error err;
    float *pictures = dt_alloc(BATCH * PICTURE, sizeof *pictures), *whole = dt_alloc(BATCH * CLASSES, sizeof *whole),
          *part = dt_alloc(BATCH * CLASSES, sizeof *part);
    random_pictures(pictures, BATCH * PICTURE);
    save(s, 0, path, metadata, DT_COUNT(metadata) / 2);
    if (dt_trained_open(path, &(dt_trained_spec){.device = s->recipe->device.name, .threads = 1, .batch = BATCH}, &c, &err)) fail_msg("%s", err.message);
    assert_string_equal(c->model->name, "resnet8");
    assert_string_equal(c->data, "cifar100");
    assert_int_equal(c->classes, CLASSES);
    assert_int_equal(c->epoch, 12);
    assert_true(c->normalised && c->mean[2] == 0.125f && c->std[1] == 2.0f);

    /* An incomplete batch gives the same rows as a complete one, and the session's own network agrees. */
    if (dt_inference_run(&c->network, pictures, NULL, BATCH, whole, &err)) fail_msg("%s", err.message);
    if (dt_inference_run(&c->network, pictures, NULL, 3, part, &err)) fail_msg("%s", err.message);
    assert_memory_equal(whole, part, 3 * CLASSES * sizeof *part);
    if (dt_session_prepare_evaluation(s, (dt_network_size){.classes = s->data.classes, .height = s->data.height, .width = s->data.width, .batch = BATCH}, &err)) fail_msg("%s", err.message);
    if (dt_inference_run(&s->eval[0], pictures, NULL, BATCH, part, &err)) fail_msg("%s", err.message);
    assert_memory_equal(whole, part, BATCH * CLASSES * sizeof *part);

    dt_trained_close(c);
    dt_free(pictures);
    dt_free(whole);
    dt_free(part);
    end_session(s, r);
}

static void a_weights_file_that_does_not_say_its_model_is_refused_unless_it_is_named(void **state)
{
    (void)state;
    const char *path = fixture_path(&files, "mute.safetensors");
    dt_recipe *r;
    dt_session *s = session(&r);
    dt_trained *c = NULL;
    duet_error err;
    save(s, 0, path, NULL, 0);
    assert_int_equal(dt_trained_open(path, &(dt_trained_spec){.device = s->recipe->device.name, .threads = 1, .batch = 2}, &c, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "--model"));
    assert_int_equal(dt_trained_open(path, &(dt_trained_spec){.model = "resnet14", .classes = 100, .device = s->recipe->device.name, .threads = 1, .batch = 2}, &c, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "layer1.1.conv1.weight"));
    assert_null(c);
    if (dt_trained_open(path, &(dt_trained_spec){.model = "resnet8", .classes = 100, .device = s->recipe->device.name, .threads = 1, .batch = 2}, &c, &err)) fail_msg("%s", err.message);
    assert_false(c->normalised);
    assert_int_equal(c->epoch, -1);
    dt_trained_close(c);
    end_session(s, r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_the_names_and_order_of_a_state_dict),
        cmocka_unit_test(weights_written_and_read_back_are_the_same_bits),
        cmocka_unit_test(weights_of_another_model_are_refused),
        cmocka_unit_test(a_truncated_file_is_refused),
        cmocka_unit_test(another_type_or_shape_is_refused),
        cmocka_unit_test(a_backbone_alone_is_read_and_what_it_lacks_is_listed),
        cmocka_unit_test(a_classifier_of_other_classes_starts_anew),
        cmocka_unit_test(weights_of_other_classes_need_a_new_last_layer_and_are_told_so),
        cmocka_unit_test(a_new_last_layer_hides_no_other_difference),
        cmocka_unit_test(attention_may_have_its_older_names),
        cmocka_unit_test(weights_that_are_not_finite_are_not_written_over_good_ones),
        cmocka_unit_test(a_weights_file_says_what_it_needs_to_classify),
        cmocka_unit_test(a_weights_file_that_does_not_say_its_model_is_refused_unless_it_is_named),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
