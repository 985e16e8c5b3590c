/* What families of convolutional classifiers share: convolutions and norms with formatted names, taps, the classifier.
 * A family's own file says only what is special to it. */
#include "models/models_impl.h"

enum { NAME_BYTES = 128 };

static void format_name(dt_graph *g, char *name, const char *format, va_list args)
{
    const int length = vsnprintf(name, NAME_BYTES, format, args);
    if (length < 0 || length >= NAME_BYTES) dt_graph_fail(g, DUET_ARG, "layer name '%.40s...' is too long", name);
}

dt_node dt_part_conv(dt_graph *g, dt_node x, size_t out_channels, size_t kernel, size_t stride, const char *format, ...)
{
    char name[NAME_BYTES];
    va_list args;
    va_start(args, format);
    format_name(g, name, format, args);
    va_end(args);
    return dt_conv(g, x, name, (dt_conv_spec){
        .out_channels = out_channels, .kernel_h = kernel, .kernel_w = kernel, .stride = stride, .pad = kernel / 2,
    });
}

dt_node dt_part_norm(dt_graph *g, dt_node x, const char *format, ...)
{
    char name[NAME_BYTES];
    va_list args;
    va_start(args, format);
    format_name(g, name, format, args);
    va_end(args);
    return dt_batch_norm(g, x, name);
}

void dt_part_tap(dt_built *b, const char *name, dt_node map)
{
    if (b->n_taps == DT_MAX_TAPS) DT_BUG("no room for tap '%s'", name);
    b->taps[b->n_taps++] = (dt_tap){name, map};
}

void dt_part_classifier(dt_graph *g, dt_built *b, dt_node features, size_t classes, dt_linear_init init)
{
    dt_part_tap(b, "features", features);
    b->features = features;
    b->pooled = dt_global_average(g, features);
    b->output = dt_linear(g, b->pooled, "fc", classes, init);
    b->head_weight = dt_find_parameter(g, g->network, "fc.weight");
    b->head_bias = dt_find_parameter(g, g->network, "fc.bias");
}
