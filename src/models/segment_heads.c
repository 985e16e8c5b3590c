/* From a backbone's maps to classes of places: DeepLab's atrous pyramid (Chen, Papandreou, Schroff, Adam 2017,
 * arXiv:1706.05587), the auxiliary head, and the last layer that all share. What layers are called is the family's affair. */
#include "models/models_impl.h"

static void start_last_layer(dt_graph *g, const dt_last_layer *l)
{
    if (l->torch_start) dt_part_start_torch(g, l->name);
    else dt_parameter_start(g, dt_part_name(g, "%s.weight", l->name), DT_INIT_NORMAL, 0.01);
}

static dt_node classes_of(dt_graph *g, dt_node x, const dt_model_inputs *in, const dt_last_layer *l, unsigned dropout)
{
    x = dt_part_dropout(g, x, in->dropout_key, l->dropout, dropout);
    if (x == DT_NONE) return x;
    x = dt_conv(g, x, l->name, (dt_conv_spec){.out_channels = in->classes, .kernel_h = 1, .kernel_w = 1, .stride = 1, .bias = true});
    start_last_layer(g, l);
    return x;
}

void dt_part_last_layer(dt_graph *g, dt_built *b, dt_node features, const dt_model_inputs *in, const dt_last_layer *l)
{
    dt_part_tap(b, "features", features);
    b->features = features;
    b->output = classes_of(g, features, in, l, DT_DROP_LAST);
    b->head_weight = dt_find_parameter(g, g->network, dt_part_name(g, "%s.weight", l->name));
    b->head_bias = dt_find_parameter(g, g->network, dt_part_name(g, "%s.bias", l->name));
}

/* The branches side by side. The last one is a global average, the same at every place. */
static dt_node pyramid(dt_graph *g, dt_node x, const dt_deeplab_head *h)
{
    enum { MOST = 1 + DT_COUNT(h->rates) + 1 };
    const dt_conv_norm point = {.channels = h->width, .kernel = 1, .torch_start = h->torch_start};
    dt_node maps[MOST];
    int n = 0;
    maps[n++] = dt_part_conv_norm_relu(g, x, &point, dt_part_name(g, "%s0", h->branch), 0);
    for (size_t i = 0; i < DT_COUNT(h->rates) && h->rates[i]; i++) {
        const dt_conv_norm wide = {.channels = h->width, .kernel = 3, .rate = h->rates[i], .torch_start = h->torch_start};
        maps[n] = dt_part_conv_norm_relu(g, x, &wide, dt_part_name(g, "%s%d%s", h->branch, n, h->rate), 0);
        n++;
    }
    const dt_shape s = dt_shape_of(g, x);
    dt_node all = dt_part_conv_norm_relu(g, dt_global_average(g, x), &point, dt_part_name(g, "%s%d%s", h->branch, n, h->pool), 1);
    maps[n++] = dt_broadcast(g, all, (dt_shape){s.n, h->width, s.h, s.w});
    return dt_concat(g, maps, (size_t)n);
}

void dt_part_deeplab_head(dt_graph *g, dt_built *b, dt_node x, const dt_model_inputs *in, const dt_deeplab_head *h)
{
    const dt_conv_norm together = {.channels = h->width, .kernel = 1, .torch_start = h->torch_start};
    const dt_conv_norm smooth = {.channels = h->width, .kernel = 3, .torch_start = h->torch_start};
    x = dt_part_conv_norm_relu(g, pyramid(g, x, h), &together, h->project, 0);
    x = dt_part_dropout(g, x, in->dropout_key, 0.5, DT_DROP_PROJECT);
    x = dt_part_conv_norm_relu(g, x, &smooth, h->block, h->first);
    dt_part_last_layer(g, b, x, in, &h->last);
}

dt_node dt_part_aux_head(dt_graph *g, dt_node x, const dt_model_inputs *in, const char *name)
{
    const dt_conv_norm narrow = {.channels = dt_shape_of(g, x).c / 4, .kernel = 3, .torch_start = true};
    const dt_last_layer last = {.name = dt_part_name(g, "%s.4", name), .dropout = 0.1, .torch_start = true};
    x = dt_part_conv_norm_relu(g, x, &narrow, name, 0);
    return classes_of(g, x, in, &last, DT_DROP_AUX);
}
