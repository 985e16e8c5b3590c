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

/* Every name, and the nearest to what was asked for. */
static void unknown_model(const char *name, duet_error *err)
{
    enum { MOST = 64 };
    const char *names[MOST];
    size_t n = 0;
    dt_text list = {0};
    for (const dt_model *m; n < MOST && (m = dt_model_at(n)); n++) {
        names[n] = m->name;
        dt_text_append(&list, "%s%s", n ? ", " : "", m->name);
    }
    const char *near = dt_nearest(name, names, n), *all = dt_text_ok(&list) ? list.bytes : "see `duet models`";
    if (near) dt_fail(err, DUET_ARG, "there is no model '%s'; did you mean '%s'? Models: %s", name, near, all);
    else dt_fail(err, DUET_ARG, "there is no model '%s'. Models: %s", name, all);
    dt_text_release(&list);
}

const dt_model *dt_model_find(const char *name, duet_error *err)
{
    const dt_model *m;
    for (size_t i = 0; (m = dt_model_at(i)); i++)
        if (!strcmp(m->name, name)) return m;
    unknown_model(name, err);
    return NULL;
}

duet_status dt_model_check_size(const dt_model *m, size_t height, size_t width, duet_error *err)
{
    if (!m->image_step) {
        if (height == m->image && width == dt_model_width(m)) return DUET_OK;
        return dt_fail(err, DUET_SHAPE, "%s takes pictures of %zux%zu, these have %zux%zu; choose another model or data set", m->name,
                       m->image, dt_model_width(m), height, width);
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

duet_status dt_model_measure(const dt_model *m, size_t classes, dt_model_facts *out, duet_error *err)
{
    dt_graph *g = dt_graph_create();
    if (!g) return dt_fail(err, DUET_MEMORY, "no memory for the graph of %s", m->name);
    dt_graph_set_network(g, 0, m->name, true);
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){1, 3, m->image, dt_model_width(m)});
    in.time = dt_input(g, "time", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = classes ? classes : m->classes;
    dt_model_facts facts = {.built = m->build(m, g, &in)};
    duet_status status = dt_graph_check(g, err);
    if (!status) {
        count(g, &facts);
        *out = facts;
    }
    dt_graph_destroy(g);
    return status;
}
