/* What the files of src/graph share and nobody else sees. */
#ifndef DT_GRAPH_IMPL_H
#define DT_GRAPH_IMPL_H

#include "graph/graph.h"

static inline dt_graph_node *node_at(dt_graph *g, dt_node x) { return &g->nodes[x]; }
static inline dt_shape shape(size_t n, size_t c, size_t h, size_t w) { return (dt_shape){n, c, h, w}; }
static inline dt_attributes no_attributes(void) { return (dt_attributes){0}; }

/* One and two inputs, the shape of the first. */
dt_node dt_unary(dt_graph *g, dt_kind kind, dt_node x, dt_attributes a);
/* The shape two tensors broadcast to; false when they do not. */
bool dt_shape_broadcast(dt_shape a, dt_shape b, dt_shape *out);
/* "[64, 16, 32, 32]" into text of at least 96 bytes; returns text. */
const char *dt_shape_text(dt_shape s, char *text);
/* "student.layer1.0.conv1", "conv 17": how messages and dumps call a node. */
const char *dt_node_title(const dt_graph *g, dt_node x, char *text, size_t bytes);

size_t dt_conv_out(size_t in, size_t kernel, size_t stride, size_t pad, size_t dilation); /* 0: the kernel does not fit */

/* How many outputs a kind may have, and its effect. */
int dt_kind_outputs(dt_kind kind);
bool dt_kind_has_effect(dt_kind kind); /* BN_TRACK, UPDATE: kept though nobody reads them */

#endif
