/* What the files of src/graph share and nobody else sees. */
#ifndef DT_GRAPH_IMPL_H
#define DT_GRAPH_IMPL_H

#include "graph/graph.h"

#include <string.h>

static inline dt_graph_node *node_at(dt_graph *g, dt_node x) { return &g->nodes[x]; }
static inline dt_shape shape(size_t n, size_t c, size_t h, size_t w) { return (dt_shape){n, c, h, w}; }
/* Every byte zero, those between members, too: attributes are compared bytewise. */
static inline dt_attributes no_attributes(void)
{
    dt_attributes a;
    memset(&a, 0, sizeof a);
    return a;
}

/* One and two inputs, the shape of the first. */
dt_node dt_unary(dt_graph *g, dt_kind kind, dt_node x, dt_attributes a);
/* The shape two tensors broadcast to; false when they do not. */
bool dt_shape_broadcast(dt_shape a, dt_shape b, dt_shape *out);
/* "[64, 16, 32, 32]" into text of at least 96 bytes; returns text. */
const char *dt_shape_text(dt_shape s, char *text);
/* "student.layer1.0.conv1", "conv 17": how messages and dumps call a node. */
const char *dt_node_title(const dt_graph *g, dt_node x, char *text, size_t bytes);

/* A parameter called layer.what. */
dt_node dt_layer_parameter(dt_graph *g, const char *layer, const char *what, dt_shape s, int rank, bool trained, dt_init init, double amount);
/* Does the layer, or the parameter, of this name learn nothing (dt_graph_freeze)? */
static inline bool dt_layer_frozen(const dt_graph *g, const char *name) { return g->frozen && g->frozen(g->frozen_user, name); }
/* A mistake: the shapes of a and b do not fit each other. Returns DT_NONE. */
dt_node dt_misfit(dt_graph *g, dt_kind kind, dt_node a, dt_node b, const char *wanted);
/* Is `index` an index of shape s? If not, that is recorded. */
bool dt_index_fits(dt_graph *g, dt_kind kind, dt_node index, dt_shape s);

/* `padding`: of both sides together. */
size_t dt_conv_out(size_t in, size_t kernel, size_t stride, size_t padding, size_t dilation); /* 0: the kernel does not fit */

/* How many outputs a kind may have, and its effect. */
int dt_kind_outputs(dt_kind kind);
bool dt_kind_has_effect(dt_kind kind); /* BN_TRACK, UPDATE: kept though nobody reads them */

#endif
