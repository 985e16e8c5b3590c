/* A recipe becomes a step: networks and losses as one graph, differentiated, with one update per network at its end,
 * compiled.
 *
 * Order of nodes is order of execution, so a variant reads:
 *
 *     forward of every network . losses | backward of network 0, 1, ... | update of network 0, 1, ...
 *     '--------- common part ---------' '---------------- once per variant -----------------------'
 *
 * Every gradient is found before the first weight changes: all networks learn from one joint forward. With a single
 * variant everything is the common part. */
#include "train_impl.h"

#include <math.h>
#include <string.h>

/* ---- the graph ------------------------------------------------------------------------------------------------- */

static int variant_of(const dt_session *s, int v) { return s->losses.n_variants > 1 ? v : -1; }

/* The terms and gradients of shared nodes belong to no network. */
static void leave_network(dt_graph *g) { dt_graph_set_network(g, -1, NULL, true); }

static void make_inputs(dt_session *s, const dt_data_facts *data)
{
    const dt_recipe *r = s->recipe;
    const size_t n = (size_t)r->train.batch;
    dt_graph *g = s->graph;
    s->n_views = r->data.views ? r->n_networks : 1;
    s->image_count = 3 * data->height * data->width;
    for (int i = 0; i < r->n_networks; i++) {
        if (i >= s->n_views) s->image[i] = s->image[0];
        else s->image[i] = dt_input(g, "image", DT_REAL, (dt_shape){n, 3, data->height, data->width});
    }
    const unsigned needs = r->task->needs;
    const dt_shape picture = {n, 3, data->height, data->width}, places = {n, 1, data->height, data->width}, each = {n, 1, 1, 1};
    dt_targets *t = &s->peers.targets;
    t->config = &r->task_config;
    t->labels = needs & DT_NEEDS_PIXEL_LABELS ? dt_input(g, "labels", DT_INDEX, places)
                : needs & DT_NEEDS_LABELS     ? dt_input(g, "labels", DT_INDEX, each)
                                              : DT_NONE;
    if (r->data.mixup > 0) {
        s->mixing = (dt_mixing){.labels = dt_input(g, "other_labels", DT_INDEX, each), .share = dt_input(g, "share", DT_REAL, (dt_shape){1, 1, 1, 1})};
        t->mixing = &s->mixing;
    }
    t->noise = needs & DT_NEEDS_NOISE ? dt_input(g, "noise", DT_REAL, picture) : DT_NONE;
    s->time = needs & DT_NEEDS_NOISE ? dt_input(g, "time", DT_INDEX, each) : DT_NONE;
    s->dropout_key = DT_NONE;
    t->mask = data->masks ? dt_input(g, "mask", DT_REAL, (dt_shape){n, 1, data->height, data->width}) : DT_NONE;
    t->classes = data->classes;
    if (r->task_config.class_weights.word != DT_CLASS_WEIGHTS_OFF) {
        s->class_weights = dt_input(g, "class_weights", DT_REAL, (dt_shape){1, data->classes, 1, 1});
        t->class_weights = &s->class_weights;
    }
    s->peers.ramp_epoch = dt_input(g, "epoch", DT_REAL, (dt_shape){1, 1, 1, 1});
}

/* Made when the first model asks for it. */
static dt_node dropout_key(dt_session *s, const dt_model *model)
{
    if (model->dropout && s->dropout_key == DT_NONE)
        s->dropout_key = dt_input(s->graph, "dropout_key", DT_INDEX, (dt_shape){1, 1, 1, 1});
    return s->dropout_key;
}

static duet_status build_network(dt_session *s, int i, const dt_data_facts *data, duet_error *err)
{
    const dt_recipe_network *n = &s->recipe->networks[i];
    const dt_model *model = dt_recipe_model(n, err);
    if (!model) {
        dt_context(err, "networks.%s.model", n->name);
        return err ? err->status : DUET_ARG;
    }
    if (dt_model_check_size(model, data->height, data->width, err)) {
        dt_context(err, "networks.%s.model, %s", n->name, data->name);
        return err ? err->status : DUET_SHAPE;
    }
    const dt_model_inputs in = {.image = s->image[i], .time = s->time, .dropout_key = dropout_key(s, model), .classes = data->classes};
    dt_graph_set_network(s->graph, i, n->name, !n->frozen);
    dt_freeze_layers(s->graph, n);
    s->peers.at[i] =
        (dt_peer){.name = n->name, .role = (dt_role)n->role, .frozen = n->frozen, .built = model->build(model, s->graph, &in)};
    leave_network(s->graph);
    DT_TRY(dt_graph_check(s->graph, err));
    return dt_check_layers(s->graph, i, n, err);
}

static duet_status build_losses(dt_session *s, const dt_data_facts *data, duet_error *err)
{
    const dt_recipe *r = s->recipe;
    (void)data;
    s->losses.epoch_input = DT_NONE;
    if (r->method->check) DT_TRY(r->method->check(&s->peers, r->method_config, (size_t)r->data.validation, err));
    if (r->adm.enabled) DT_TRY(dt_adm_check(&s->peers, &r->adm, err));
    DT_TRY(r->method->losses(s->graph, &s->peers, r->method_config, &s->losses, err));
    if (r->adm.enabled) DT_TRY(dt_adm_add(s->graph, &s->peers, &r->adm, &s->losses, err));
    leave_network(s->graph);
    dt_graph_set_variant(s->graph, -1);
    for (int i = 0; i < r->n_networks; i++) {
        bool track[DT_MAX_VARIANTS];
        if (r->networks[i].frozen) continue;
        for (int v = 0; v < s->losses.n_variants; v++) track[v] = s->losses.track[v][i];
        dt_graph_track(s->graph, i, track, s->losses.n_variants);
    }
    return dt_graph_check(s->graph, err);
}

/* The trained parameters of a network: into out, which has room for all. */
static size_t trained_parameters(const dt_graph *g, int network, dt_node *out)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].network == network && g->parameters[i].trained) out[n++] = g->parameters[i].node;
    return n;
}

static duet_status add_gradients(dt_session *s, int v, int i, dt_node *wrt, dt_node *grad, duet_error *err)
{
    dt_graph *g = s->graph;
    const char *name = s->peers.at[i].name;
    const size_t n = trained_parameters(g, i, wrt);
    dt_graph_set_network(g, i, name, true);
    dt_differentiate(g, s->losses.loss[v][i], wrt, n, grad);
    leave_network(g);
    DT_TRY(dt_graph_check(g, err));
    for (size_t k = 0; k < n; k++) {
        if (grad[k] == DT_NONE)
            return dt_fail(err, DUET_UNSUPPORTED,
                           "%s: its loss does not depend on %s; every trained parameter must get a gradient", name,
                           g->nodes[wrt[k]].name ? g->nodes[wrt[k]].name : "a parameter");
        dt_program_gradient(g, wrt[k], grad[k]);
    }
    return dt_graph_check(g, err);
}

static bool updates(const dt_session *s, int v, int i)
{
    return s->losses.loss[v][i] != DT_NONE && !s->peers.at[i].frozen;
}

static void add_updates(dt_session *s, int v)
{
    for (int i = 0; i < s->peers.n; i++) {
        if (!updates(s, v, i)) continue;
        dt_attributes a;
        memset(&a, 0, sizeof a);
        a.update.network = i;
        dt_graph_set_network(s->graph, i, s->peers.at[i].name, true);
        s->finite[v][i] = dt_node_make(s->graph, DT_OP_UPDATE, NULL, 0, a, (dt_shape){1, 1, 1, 1}, DT_REAL);
        dt_node_name(s->graph, s->finite[v][i], "update");
    }
    leave_network(s->graph);
}

static duet_status add_backward(dt_session *s, duet_error *err)
{
    const size_t n = s->graph->n_parameters ? s->graph->n_parameters : 1;
    dt_node *wrt = dt_alloc(2 * n, sizeof *wrt);
    if (!wrt) return dt_fail(err, DUET_MEMORY, "no memory for gradients");
    duet_status st = DUET_OK;
    for (int v = 0; v < s->losses.n_variants && !st; v++) {
        dt_graph_set_variant(s->graph, variant_of(s, v));
        for (int i = 0; i < s->peers.n && !st; i++)
            if (updates(s, v, i)) st = add_gradients(s, v, i, wrt, wrt + n, err);
        if (!st) add_updates(s, v);
    }
    dt_graph_set_variant(s->graph, -1);
    dt_free(wrt);
    return st ? st : dt_graph_check(s->graph, err);
}

static duet_status build_graph(dt_session *s, const dt_data_facts *data, duet_error *err)
{
    const dt_recipe *r = s->recipe;
    s->graph = dt_graph_create();
    if (!s->graph) return dt_fail(err, DUET_MEMORY, "no memory for the graph of a step");
    for (int v = 0; v < DT_MAX_VARIANTS; v++)
        for (int i = 0; i < DT_MAX_NETWORKS; i++) s->losses.loss[v][i] = s->finite[v][i] = DT_NONE;
    s->peers.n = r->n_networks;
    s->peers.task = r->task;
    s->graph->seed = (uint64_t)r->train.seed; /* of dropout */
    leave_network(s->graph);
    dt_graph_set_variant(s->graph, -1);
    make_inputs(s, data);
    for (int i = 0; i < r->n_networks; i++) DT_TRY(build_network(s, i, data, err));
    for (size_t i = 0; i < s->graph->n_nodes; i++) s->forward_macs += dt_node_macs(s->graph, (dt_node)i);
    DT_TRY(build_losses(s, data, err));
    return add_backward(s, err);
}

/* ---- the program ----------------------------------------------------------------------------------------------- */

enum { MOST_OUTPUTS = 2 * DT_MAX_VARIANTS * DT_MAX_NETWORKS + DT_MAX_TERMS + DT_MAX_CHOICE_SCALARS };

/* Every node that somebody reads after a step; fusion may merge it into another and then says which. */
static size_t readable_nodes(dt_session *s, dt_node **home)
{
    size_t n = 0;
    for (int v = 0; v < s->losses.n_variants; v++)
        for (int i = 0; i < s->peers.n; i++) {
            if (s->losses.loss[v][i] != DT_NONE) home[n++] = &s->losses.loss[v][i];
            if (s->finite[v][i] != DT_NONE) home[n++] = &s->finite[v][i];
        }
    for (int i = 0; i < s->losses.n_terms; i++) home[n++] = &s->losses.terms[i].node;
    for (int i = 0; i < s->losses.n_choice; i++) home[n++] = &s->losses.choice[i];
    return n;
}

static duet_status compile_step(dt_session *s, duet_error *err)
{
    dt_node *home[MOST_OUTPUTS], outputs[MOST_OUTPUTS];
    const size_t n = readable_nodes(s, home);
    for (size_t i = 0; i < n; i++) outputs[i] = *home[i];
    const dt_program_spec spec = {.graph = s->graph, .state = s->state, .outputs = outputs, .n_outputs = n,
                                  .n_variants = s->losses.n_variants};
    DT_TRY(dt_program_compile(&spec, &s->step, err));
    for (size_t i = 0; i < n; i++) *home[i] = outputs[i];
    return DUET_OK;
}

static duet_status open_device(dt_session *s, duet_error *err)
{
    const dt_recipe *r = s->recipe;
    const dt_device_api *api = dt_device_find(r->device.name, err);
    const dt_device_options options = {.threads = (int)r->device.threads, .precision = DT_F32};
    if (!api) {
        dt_context(err, "device.name");
        return err ? err->status : DUET_ARG;
    }
    return api->open(&options, &s->device, err);
}

/* A network that no step changes has nothing to keep. */
static dt_update_rule rule_of(const dt_session *s, int network)
{
    const dt_recipe *r = s->recipe;
    if (!dt_session_trains(s, network)) return (dt_update_rule){.optimiser = DT_SGD};
    return (dt_update_rule){.optimiser = (dt_optimiser)r->train.optimizer, .momentum = r->train.momentum,
                            .beta1 = r->train.beta1, .beta2 = r->train.beta2, .eps = r->train.eps,
                            .weight_decay = r->train.weight_decay, .clip_norm = r->train.clip_norm, .ema = r->train.ema,
                            .nesterov = r->train.nesterov, .batches = (int)r->train.accumulate};
}

/* Is it a parameter of a network's last layer, or of its auxiliary head's? */
static bool is_head(const dt_session *s, int network, dt_node parameter)
{
    const dt_built *b = &s->peers.at[network].built;
    if (parameter == b->head_weight || parameter == b->head_bias) return true;
    if (b->aux == DT_NONE) return false;
    const dt_graph_node *aux = &s->graph->nodes[b->aux];
    for (int k = 1; k < aux->n_in; k++) /* the first is what it reads */
        if (aux->in[k] == parameter) return true;
    return false;
}

/* Tensors are in the order of the graph's parameters. */
static void mark_head(dt_session *s, int network)
{
    const dt_graph *g = s->graph;
    dt_tensor *t = s->state->networks[network].tensors;
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].network == network) (t++)->head = is_head(s, network, g->parameters[i].node);
}

static duet_status read_init(dt_session *s, int i, duet_error *err)
{
    const dt_recipe_network *n = &s->recipe->networks[i];
    const bool new_head = n->init_head == DT_HEAD_NEW;
    mark_head(s, i);
    if (!n->init_strict) return dt_weights_load_part(s->state, i, n->init, new_head, &s->left_out[i], err);
    const duet_status st = new_head ? dt_weights_load_body(s->state, i, n->init, &s->left_out[i], err) : dt_weights_load(s->state, i, n->init, err);
    if (st) dt_name_twin(n->init, &s->state->networks[i], "set networks[].model: ", err);
    return st;
}

static duet_status first_weights(dt_session *s, int i, duet_error *err)
{
    const dt_recipe_network *n = &s->recipe->networks[i];
    const bool all_from_file = n->init && n->init_strict && n->init_head != DT_HEAD_NEW; /* what is drawn would be written over */
    if (!all_from_file) DT_TRY(dt_state_initialise(s->state, i, (uint64_t)s->recipe->train.seed, err));
    const duet_status st = n->init ? read_init(s, i, err) : DUET_OK;
    if (st) dt_context(err, "networks.%s.init", n->name);
    return st;
}

static duet_status make_learners(dt_session *s, dt_beginning from, duet_error *err)
{
    const dt_recipe *r = s->recipe;
    for (int i = 0; i < r->n_networks; i++) {
        const dt_update_rule rule = rule_of(s, i);
        dt_scale_layers(&s->state->networks[i], &r->networks[i]);
        DT_TRY(dt_state_learn_by(s->state, i, &rule, err));
        if (from == DT_FIRST_WEIGHTS) DT_TRY(first_weights(s, i, err));
    }
    return DUET_OK;
}

void dt_session_weigh_classes(dt_session *s, const float *weights)
{
    if (!s->peers.targets.class_weights) return;
    dt_program_write(s->step, s->class_weights, weights, s->data.classes);
    s->least_weight = s->most_weight = weights[0];
    for (size_t c = 1; c < s->data.classes; c++) {
        if (weights[c] < s->least_weight) s->least_weight = weights[c];
        if (weights[c] > s->most_weight) s->most_weight = weights[c];
    }
}

static duet_status check_class_weights(const dt_recipe *r, const dt_data_facts *data, duet_error *err)
{
    const dt_weights *w = &r->task_config.class_weights;
    if (w->word != DT_CLASS_WEIGHTS_LIST || w->n == data->classes) return DUET_OK;
    return dt_fail(err, DUET_RECIPE, "task.class_weights: found %zu numbers, and %s has %zu classes; one for each is needed, in their order", w->n,
                   data->name, data->classes);
}

/* The recipe's, or ones to begin with. */
static duet_status first_class_weights(dt_session *s, duet_error *err)
{
    const dt_weights *w = &s->recipe->task_config.class_weights;
    if (!s->peers.targets.class_weights) return DUET_OK;
    float *values = dt_alloc(s->data.classes, sizeof *values);
    if (!values) return dt_fail(err, DUET_MEMORY, "no memory for the weights of %zu classes", s->data.classes);
    for (size_t c = 0; c < s->data.classes; c++) values[c] = w->word == DT_CLASS_WEIGHTS_LIST ? (float)w->at[c] : 1;
    dt_session_weigh_classes(s, values);
    dt_free(values);
    return DUET_OK;
}

duet_status dt_session_create(const dt_recipe *r, const dt_data_facts *data, dt_beginning from, dt_session **out, duet_error *err)
{
    const char *names[DT_MAX_NETWORKS];
    for (int i = 0; i < r->n_networks; i++) names[i] = r->networks[i].name;
    dt_session *s = dt_alloc(1, sizeof *s);
    if (!s) return dt_fail(err, DUET_MEMORY, "no memory for a session");
    s->recipe = r;
    s->data = *data;

    duet_status st = check_class_weights(r, data, err);
    if (!st) st = open_device(s, err);
    if (!st) st = build_graph(s, data, err);
    if (!st) st = dt_state_create(s->device, s->graph, names, r->n_networks, &s->state, err);
    if (!st) st = make_learners(s, from, err);
    if (!st) st = compile_step(s, err);
    if (!st) st = first_class_weights(s, err);
    if (st) dt_session_destroy(s);
    else *out = s;
    return st;
}

duet_status dt_session_prepare_evaluation(dt_session *s, dt_network_size size, duet_error *err)
{
    for (int i = 0; i < s->peers.n; i++) {
        const dt_recipe_network *n = &s->recipe->networks[i];
        if (s->eval[i].program) continue;
        const dt_model *model = dt_recipe_model(n, err);
        if (!model) return err ? err->status : DUET_ARG;
        dt_state *averaged = dt_state_averaged(s->state);
        DT_TRY(dt_inference_create(averaged ? averaged : s->state, i, n->name, model, size, &s->eval[i], err));
        if (averaged) DT_TRY(dt_inference_create(s->state, i, n->name, model, size, &s->raw[i], err));
    }
    return DUET_OK;
}

void dt_session_destroy(dt_session *s)
{
    if (!s) return;
    for (int i = 0; i < DT_MAX_NETWORKS; i++) {
        dt_inference_release(&s->eval[i]);
        dt_inference_release(&s->raw[i]);
        dt_text_release(&s->left_out[i]);
    }
    dt_program_destroy(s->step);
    dt_state_destroy(s->state);
    dt_graph_destroy(s->graph);
    if (s->device) s->device->api->close(s->device);
    dt_free(s);
}

bool dt_session_trains(const dt_session *s, int network)
{
    for (int v = 0; v < s->losses.n_variants; v++)
        if (updates(s, v, network)) return true;
    return false;
}

void dt_session_device_text(const dt_session *s, char text[DT_DEVICE_TEXT])
{
    s->device->api->describe(s->device, text, DT_DEVICE_TEXT);
}

/* ---- one step -------------------------------------------------------------------------------------------------- */

static void write_inputs(dt_session *s, const dt_batch *batch, uint32_t epoch)
{
    const dt_targets *t = &s->peers.targets;
    const float epoch_number = (float)epoch;
    for (int v = 0; v < s->n_views; v++)
        dt_program_write(s->step, s->image[v], batch->images[v], batch->n * s->image_count);
    if (s->recipe->task->needs & DT_NEEDS_PIXEL_LABELS) dt_program_write(s->step, t->labels, batch->pixel_labels, batch->n * s->image_count / 3);
    else if (t->labels != DT_NONE) dt_program_write(s->step, t->labels, batch->labels, batch->n);
    if (t->mixing) {
        if (!batch->other_labels) DT_BUG("a batch without mixed pictures for a step that learns from such");
        dt_program_write(s->step, t->mixing->labels, batch->other_labels, batch->n);
        dt_program_write(s->step, t->mixing->share, &batch->share, 1);
    }
    if (t->noise != DT_NONE) {
        dt_program_write(s->step, t->noise, batch->noise, batch->n * s->image_count);
        dt_program_write(s->step, s->time, batch->time, batch->n);
    }
    if (s->dropout_key != DT_NONE) dt_program_write(s->step, s->dropout_key, &s->dropout, 1);
    if (t->mask != DT_NONE && batch->mask)
        dt_program_write(s->step, t->mask, batch->mask, batch->n * s->image_count / 3);
    dt_program_write(s->step, s->peers.ramp_epoch, &epoch_number, 1);
}

static duet_status choose_variant(dt_session *s, int *v, duet_error *err)
{
    float scalars[DT_MAX_CHOICE_SCALARS];
    *v = 0;
    if (s->losses.n_variants < 2) return DUET_OK;
    for (int i = 0; i < s->losses.n_choice; i++) scalars[i] = dt_program_scalar(s->step, s->losses.choice[i]);
    *v = s->recipe->method->choose(scalars, s->recipe->method_config);
    if (*v < 0 || *v >= s->losses.n_variants)
        DT_BUG("%s chose variant %d of %d", s->recipe->method->name, *v, s->losses.n_variants);
    return dt_program_run(s->step, *v, err);
}

/* Names the first gradient of a network that is not finite, in the order of its tensors; NULL: all are finite. */
static const char *first_bad_gradient(const dt_session *s, int network)
{
    const dt_network_state *n = &s->state->networks[network];
    float *values = dt_alloc(dt_network_largest_tensor(n), sizeof *values);
    const char *name = NULL;
    for (size_t i = 0; values && i < n->n_tensors && !name; i++) {
        if (!n->tensors[i].trained) continue;
        dt_state_read_gradient(s->state, network, &n->tensors[i], values);
        for (size_t k = 0; k < n->tensors[i].count && !name; k++)
            if (!isfinite(values[k])) name = n->tensors[i].name;
    }
    dt_free(values);
    return name;
}

static duet_status blame_numbers(const dt_session *s, int network, double loss, duet_error *err)
{
    const char *tensor = first_bad_gradient(s, network);
    char at[200] = "";
    if (tensor) snprintf(at, sizeof at, ", the gradient of %s is not finite", tensor);
    return dt_fail(err, DUET_NUMERIC,
                   "%s: the loss is %g%s. Try a smaller train.lr (now %g), train.schedule.warmup_epochs, "
                   "or a smaller weight of the method's terms",
                   s->peers.at[network].name, loss, at, s->recipe->train.lr);
}

static duet_status check_numbers(const dt_session *s, int v, duet_error *err)
{
    for (int i = 0; i < s->peers.n; i++) {
        if (!updates(s, v, i)) continue;
        const double loss = dt_session_loss(s, v, i);
        if (!isfinite(loss) || dt_program_scalar(s->step, s->finite[v][i]) != 0) return blame_numbers(s, i, loss, err);
    }
    return DUET_OK;
}

static bool term_ran(const dt_term *t, int v) { return t->variant < 0 || t->variant == v; }

/* Adds up what the batch that has run gives the step; the first of a step begins the sums. */
static void sum_up(dt_session *s, int v)
{
    if (s->batches == s->recipe->train.accumulate) s->batches = 0;
    const bool first = s->batches++ == 0;
    for (int i = 0; i < s->peers.n; i++) {
        const dt_node loss = s->losses.loss[v][i];
        if (loss != DT_NONE) s->loss_sum[i] = (double)dt_program_scalar(s->step, loss) + (first ? 0 : s->loss_sum[i]);
    }
    for (int i = 0; i < s->losses.n_terms; i++) {
        const dt_term *t = &s->losses.terms[i];
        if (term_ran(t, v)) s->term_sum[i] = (double)dt_program_scalar(s->step, t->node) + (first ? 0 : s->term_sum[i]);
    }
}

duet_status dt_session_step(dt_session *s, const dt_batch *batch, uint32_t epoch, double lr, int *variant,
                            duet_error *err)
{
    int v;
    if ((int64_t)batch->n != s->recipe->train.batch)
        DT_BUG("a batch of %zu images for a step of %lld", batch->n, (long long)s->recipe->train.batch);
    write_inputs(s, batch, epoch);
    for (int i = 0; i < s->peers.n; i++) s->state->networks[i].update.lr = lr * s->recipe->networks[i].lr_scale;
    DT_TRY(dt_program_run(s->step, -1, err));
    DT_TRY(choose_variant(s, &v, err));
    for (int i = 0; i < s->peers.n; i++)
        if (!s->peers.at[i].frozen && s->losses.track[v][i]) s->state->networks[i].batches_tracked++;
    sum_up(s, v);
    if (variant) *variant = v;
    return check_numbers(s, v, err);
}

double dt_session_loss(const dt_session *s, int variant, int network)
{
    return s->losses.loss[variant][network] == DT_NONE ? (double)NAN : s->loss_sum[network] / (double)s->batches;
}

double dt_session_term(const dt_session *s, int variant, int term)
{
    return term_ran(&s->losses.terms[term], variant) ? s->term_sum[term] / (double)s->batches : (double)NAN;
}

double dt_session_gradient_norm(const dt_session *s, int variant, int network)
{
    const bool known = updates(s, variant, network) && s->recipe->train.clip_norm > 0;
    return known ? s->state->networks[network].update.norm : (double)NAN;
}
