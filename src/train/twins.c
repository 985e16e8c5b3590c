/* Weights that do not fit: is there another built-in network that they would fit?
 *
 * Families share names and public code shares names of networks, so that the wrong one of two near twins is easily chosen (resnet50 for
 * 224x224 pictures, resnet50_cifar for 32x32). Every built-in network is described once, as a graph of no size, for a class count that no
 * channel count equals: what has it is a last layer, which fits whatever the number of classes. */
#include "train_impl.h"

#include <string.h>

enum { ANY = 1000003 /* classes: a prime */ };

/* Names and shapes of tensors, of a file or of a network. */
typedef struct shapes {
    const dt_saved *file;
    const dt_network_state *network; /* where file is NULL */
} shapes;

/* How many tensors there are beside the counters of batch norms, which no graph has. */
static size_t count(const dt_saved *file)
{
    static const char counter[] = "num_batches_tracked";
    size_t n = 0;
    for (size_t i = 0; i < file->n_tensors; i++) n += strstr(file->tensors[i].name, counter) == NULL;
    return n;
}

static bool find(const shapes *s, const char *name, int *rank, size_t shape[4])
{
    const dt_saved_tensor *t = s->file ? dt_saved_find(s->file, name) : NULL;
    if (t && t->rank <= 4) {
        *rank = t->rank;
        memcpy(shape, t->shape, (size_t)t->rank * sizeof *shape);
    }
    if (s->file) return t && t->rank <= 4;
    for (size_t i = 0; i < s->network->n_tensors; i++) {
        if (strcmp(s->network->tensors[i].name, name) != 0) continue;
        *rank = s->network->tensors[i].rank;
        dt_tensor_file_shape(&s->network->tensors[i], shape);
        return true;
    }
    return false;
}

/* Are s all the tensors of the graph and no others? */
static bool fits(const dt_graph *g, const shapes *s)
{
    if (g->n_parameters != (s->file ? count(s->file) : s->network->n_tensors)) return false;
    for (size_t i = 0; i < g->n_parameters; i++) {
        const dt_parameter *p = &g->parameters[i];
        const dt_tensor wanted = {.shape = g->nodes[p->node].shape, .rank = p->rank};
        size_t want[4], found[4] = {0};
        int rank = 0;
        dt_tensor_file_shape(&wanted, want);
        if (!find(s, p->name, &rank, found) || rank != p->rank) return false;
        for (int k = 0; k < rank; k++)
            if (want[k] != found[k] && want[k] != ANY) return false;
    }
    return true;
}

static dt_graph *describe(const dt_model *m)
{
    dt_graph *g = dt_graph_create();
    if (!g) return NULL;
    dt_model_inputs in = DT_MODEL_INPUTS;
    dt_graph_set_network(g, 0, m->name, false);
    in.image = dt_input(g, "image", DT_REAL, (dt_shape){1, 3, m->image, dt_model_width(m)});
    in.time = dt_input(g, "time", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = ANY;
    (void)m->build(m, g, &in);
    return g;
}

const dt_model *dt_model_of_weights(const dt_saved *file, const dt_network_state *not_this)
{
    const shapes theirs = {.file = file}, ours = {.network = not_this};
    for (size_t i = 0; dt_model_at(i); i++) {
        dt_graph *g = describe(dt_model_at(i));
        const bool found = g && !dt_graph_check(g, NULL) && fits(g, &theirs) && !(not_this && fits(g, &ours));
        dt_graph_destroy(g);
        if (found) return dt_model_at(i);
    }
    return NULL;
}

void dt_name_twin(const char *path, const dt_network_state *n, const char *how, duet_error *err)
{
    dt_saved *file = NULL;
    if (!err || (err->status != DUET_SHAPE && err->status != DUET_FORMAT) || dt_saved_open(path, &file, NULL)) return;
    const dt_model *m = dt_saved_metadata(file, "model") ? NULL : dt_model_of_weights(file, n); /* else the file has said it */
    const size_t used = strlen(err->message);
    if (m) snprintf(err->message + used, sizeof err->message - used, "; these are the shapes of %s: %s%s", m->name, how, m->name);
    dt_saved_close(file);
}
