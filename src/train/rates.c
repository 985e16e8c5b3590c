/* Who in a network learns how fast: learning rates of single layers, and layers that are frozen (networks[].layers).
 *
 * A name fits a tensor that is called so, or so with a point and more behind it: "layer1" fits layer1.0.conv1.weight, not layer10. Of several
 * names that fit, the longest counts, so that the order in a recipe does not. */
#include "train_impl.h"

#include <string.h>

static bool fits(const char *layer, const char *name)
{
    const size_t n = strlen(layer);
    return strncmp(layer, name, n) == 0 && (name[n] == '\0' || name[n] == '.');
}

static const dt_rate *rate_of(const dt_rates *rates, const char *name)
{
    const dt_rate *best = NULL;
    for (size_t i = 0; i < rates->n; i++)
        if (fits(rates->at[i].layer, name) && (!best || strlen(rates->at[i].layer) > strlen(best->layer))) best = &rates->at[i];
    return best;
}

static bool is_frozen(const void *user, const char *name)
{
    const dt_rate *rate = rate_of(user, name);
    return rate && rate->frozen;
}

void dt_freeze_layers(dt_graph *g, const dt_recipe_network *n)
{
    if (n->layers.n) dt_graph_freeze(g, is_frozen, &n->layers);
}

/* ---- names that fit nothing ------------------------------------------------------------------------------------ */

enum { MOST_PARTS = 512, PART_BYTES = 64 };

/* The beginnings of the names of a network's tensors, up to any of their points: what a recipe may name. */
typedef struct parts {
    char text[MOST_PARTS][PART_BYTES];
    const char *names[MOST_PARTS];
    size_t n, outermost; /* the first so many have no point */
} parts;

static void add_part(parts *p, const char *name, size_t length)
{
    if (p->n == MOST_PARTS || length >= PART_BYTES) return;
    for (size_t i = 0; i < p->n; i++)
        if (strncmp(p->text[i], name, length) == 0 && !p->text[i][length]) return;
    memcpy(p->text[p->n], name, length);
    p->names[p->n] = p->text[p->n];
    p->n++;
}

static void collect(parts *p, const dt_graph *g, int network)
{
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].network == network) add_part(p, g->parameters[i].name, strcspn(g->parameters[i].name, "."));
    p->outermost = p->n;
    for (size_t i = 0; i < g->n_parameters; i++) {
        const char *name = g->parameters[i].name;
        if (g->parameters[i].network != network) continue;
        for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) add_part(p, name, (size_t)(dot - name));
    }
}

static duet_status refuse_name(const dt_graph *g, int network, const dt_recipe_network *n, const char *layer, duet_error *err)
{
    parts *p = dt_alloc(1, sizeof *p);
    dt_text outer = {0};
    if (!p) return dt_fail(err, DUET_MEMORY, "no memory for the names of layers");
    collect(p, g, network);
    for (size_t i = 0; i < p->outermost; i++) dt_text_append(&outer, "%s%s", i ? ", " : "", p->names[i]);
    const char *near = dt_nearest(layer, p->names, p->n), *all = dt_text_ok(&outer) && outer.bytes ? outer.bytes : "?";
    const duet_status st = dt_fail(err, DUET_RECIPE, "networks.%s.layers: nothing in %s is called %s; allowed: %s, or longer beginnings of its tensors' names%s%s%s",
                                   n->name, n->model, layer, all, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    dt_text_release(&outer);
    dt_free(p);
    return st;
}

static bool names_something(const dt_graph *g, int network, const char *layer)
{
    for (size_t i = 0; i < g->n_parameters; i++)
        if (g->parameters[i].network == network && fits(layer, g->parameters[i].name)) return true;
    return false;
}

duet_status dt_check_layers(const dt_graph *g, int network, const dt_recipe_network *n, duet_error *err)
{
    bool trained = false;
    for (size_t i = 0; i < n->layers.n; i++)
        if (!names_something(g, network, n->layers.at[i].layer)) return refuse_name(g, network, n, n->layers.at[i].layer, err);
    for (size_t i = 0; i < g->n_parameters; i++) trained |= g->parameters[i].network == network && g->parameters[i].trained;
    if (trained) return DUET_OK;
    return dt_fail(err, DUET_RECIPE, "networks.%s.layers: all of %s is frozen; leave a layer out, or add `frozen: true` in place of `layers`", n->name,
                   n->model);
}

void dt_scale_layers(dt_network_state *state, const dt_recipe_network *n)
{
    for (size_t i = 0; i < state->n_tensors; i++) {
        const dt_rate *rate = rate_of(&n->layers, state->tensors[i].name);
        state->tensors[i].lr_scale = rate ? rate->scale : 1;
    }
}
