/* The graph as text, for people: a line per node, or Graphviz. */
#include "graph/graph_impl.h"

static dt_node node_in_order(const dt_graph *g, size_t i)
{
    return g->order ? g->order[i] : (dt_node)i;
}

static size_t n_in_order(const dt_graph *g)
{
    return g->order ? g->n_order : g->n_nodes;
}

void dt_graph_dump(const dt_graph *g, dt_text *out)
{
    char s[96];
    for (size_t i = 0; i < n_in_order(g); i++) {
        const dt_node x = node_in_order(g, i);
        const dt_graph_node *n = &g->nodes[x];
        if (n->dead) continue;
        dt_text_append(out, "%5d  %-18s %-20s", (int)x, dt_kind_name(n->kind), dt_shape_text(n->shape, s));
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k] == DT_NONE) dt_text_append(out, " -");
            else dt_text_append(out, " %d", (int)n->in[k]);
        }
        if (n->variant >= 0) dt_text_append(out, "  (variant %d)", n->variant);
        if (n->name) dt_text_append(out, "  %s", n->name);
        dt_text_append(out, "\n");
    }
}

void dt_graph_dump_dot(const dt_graph *g, dt_text *out)
{
    char title[128], s[96];
    dt_text_append(out, "digraph duet {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n");
    for (size_t i = 0; i < n_in_order(g); i++) {
        const dt_node x = node_in_order(g, i);
        const dt_graph_node *n = &g->nodes[x];
        if (n->dead) continue;
        dt_text_append(out, "  n%d [label=\"%s\\n%s\\n%s\"];\n", (int)x, dt_kind_name(n->kind), dt_node_title(g, x, title, sizeof title),
                       dt_shape_text(n->shape, s));
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] != DT_NONE) dt_text_append(out, "  n%d -> n%d;\n", (int)n->in[k], (int)x);
    }
    dt_text_append(out, "}\n");
}
