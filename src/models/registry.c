/* Which networks there are, and what each costs. A new family is one new file and one new name here. */
#include "models/models_impl.h"

#include <string.h>

#define DT_FAMILIES(X) X(resnet) X(wrn) X(vgg) X(resnet_imagenet) X(mobilenet_v1) X(mobilenet_v2) X(shufflenet_v1) X(shufflenet_v2) X(segd) X(pspnet) X(deeplab) X(unet)

#define X(name) extern const dt_family dt_family_##name;
DT_FAMILIES(X)
#undef X

static const dt_family *const families[] = {
#define X(name) &dt_family_##name,
    DT_FAMILIES(X)
#undef X
};

const dt_model *dt_model_at(size_t i)
{
    for (size_t f = 0; f < DT_COUNT(families); f++) {
        if (i < families[f]->n) return &families[f]->models[i];
        i -= families[f]->n;
    }
    return NULL;
}

/* What public code calls networks that have other names here; three of those differ only in case, or hardly, from another network's. */
static const struct {
    const char *theirs, *ours, *namesake;
} elsewhere[] = {
    {"ResNet18", "resnet18_cifar", "resnet18"},        {"ResNet50", "resnet50_cifar", "resnet50"},
    {"MobileNetV2", "mobilenet_half", "mobilenet_v2"}, {"MobileNetV1", "mobilenet_v1", NULL},
    {"ShuffleV1", "shufflenet_v1", NULL},              {"ShuffleV2", "shufflenet_v2", NULL},
};

const char *dt_model_hint(const char *name, char to[DT_MODEL_HINT])
{
    enum { MOST = 128 };
    const char *names[MOST];
    size_t n = 0;
    for (size_t i = 0; i < DT_COUNT(elsewhere); i++) {
        if (strcmp(elsewhere[i].theirs, name) != 0) continue;
        snprintf(to, DT_MODEL_HINT, "the public %s is %s here%s%s.", name, elsewhere[i].ours, elsewhere[i].namesake ? ", not " : "",
                 elsewhere[i].namesake ? elsewhere[i].namesake : "");
        return to;
    }
    for (const dt_model *m; n < MOST && (m = dt_model_at(n)); n++) names[n] = m->name;
    const char *near = dt_nearest(name, names, n);
    snprintf(to, DT_MODEL_HINT, near ? "did you mean %s?" : "%s", near ? near : "");
    return to;
}

const dt_model *dt_model_namesake(const char *name)
{
    for (size_t i = 0; i < DT_COUNT(elsewhere); i++) {
        if (!elsewhere[i].namesake) continue;
        if (!strcmp(elsewhere[i].ours, name)) return dt_model_find(elsewhere[i].namesake, NULL);
        if (!strcmp(elsewhere[i].namesake, name)) return dt_model_find(elsewhere[i].ours, NULL);
    }
    return NULL;
}

const dt_model *dt_model_find(const char *name, duet_error *err)
{
    const dt_model *m;
    for (size_t i = 0; (m = dt_model_at(i)); i++)
        if (!strcmp(m->name, name)) return m;
    char hint[DT_MODEL_HINT];
    (void)dt_model_hint(name, hint);
    dt_fail(err, DUET_ARG, "there is no model '%s'; %s%s`duet models` lists them", name, hint, *hint ? " " : "");
    return NULL;
}

duet_status dt_model_check_size(const dt_model *m, size_t height, size_t width, duet_error *err)
{
    if (!m->image_step) {
        if (height == m->image && width == dt_model_width(m)) return DUET_OK;
        const dt_model *other = dt_model_namesake(m->name);
        return dt_fail(err, DUET_SHAPE, "%s takes pictures of %zux%zu, these have %zux%zu; choose another model%s%s%s or data set", m->name,
                       m->image, dt_model_width(m), height, width, other ? " (" : "", other ? other->name : "", other ? ")" : "");
    }
    if (height && width && height % m->image_step == 0 && width % m->image_step == 0) return DUET_OK;
    return dt_fail(err, DUET_SHAPE, "%s takes pictures whose sides are multiples of %zu, these have %zux%zu; crop them to such a size", m->name,
                   m->image_step, height, width);
}

/* ---- what a network costs ------------------------------------------------------------------------------------- */

static void count(const dt_graph *g, dt_model_facts *facts)
{
    size_t norms = 0;
    for (size_t i = 0; i < g->n_parameters; i++) {
        const size_t elements = dt_shape_count(g->nodes[g->parameters[i].node].shape);
        *(g->parameters[i].trained ? &facts->parameters : &facts->buffers) += elements;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        facts->macs += dt_node_macs(g, (dt_node)i);
        norms += g->nodes[i].kind == DT_OP_BN_APPLY;
    }
    facts->buffers += norms; /* PyTorch's num_batches_tracked, one number each */
    for (int i = 0; i < facts->built.n_taps; i++) facts->tap_shape[i] = dt_shape_of(g, facts->built.taps[i].node);
}

dt_model_inputs dt_model_own_inputs(const dt_model *m, size_t classes, dt_graph *g)
{
    dt_model_inputs in = DT_MODEL_INPUTS;
    dt_graph_set_network(g, 0, m->name, true);
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){1, 3, m->image, dt_model_width(m)});
    in.time = dt_input(g, "time", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = classes ? classes : m->classes;
    return in;
}

duet_status dt_model_measure(const dt_model *m, size_t classes, dt_model_facts *out, duet_error *err)
{
    dt_graph *g = dt_graph_create();
    if (!g) return dt_fail(err, DUET_MEMORY, "no memory for the graph of %s", m->name);
    const dt_model_inputs in = dt_model_own_inputs(m, classes, g);
    dt_model_facts facts = {.built = m->build(m, g, &in)};
    duet_status status = dt_graph_check(g, err);
    if (!status) {
        count(g, &facts);
        *out = facts;
    }
    dt_graph_destroy(g);
    return status;
}
