/* What families share: convolutions and norms with formatted names, start values, dropout, taps, the classifier.
 * A family's own file says only what is special to it. */
#include "models/models_impl.h"

#include <math.h>

static const char *format_name(dt_graph *g, const char *format, va_list args)
{
    char text[128];
    const int length = vsnprintf(text, sizeof text, format, args);
    if (length < 0 || (size_t)length >= sizeof text) {
        dt_graph_fail(g, DUET_ARG, "layer name '%.40s...' is too long", text);
        return "";
    }
    const char *name = dt_arena_strdup(&g->arena, text);
    if (name) return name;
    dt_graph_fail(g, DUET_MEMORY, "no memory for the name of layer %s", text);
    return "";
}

const char *dt_part_name(dt_graph *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = format_name(g, format, args);
    va_end(args);
    return name;
}

dt_node dt_part_conv(dt_graph *g, dt_node x, size_t out_channels, size_t kernel, size_t stride, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = format_name(g, format, args);
    va_end(args);
    return dt_conv(g, x, name, (dt_conv_spec){
        .out_channels = out_channels, .kernel_h = kernel, .kernel_w = kernel, .stride = stride, .pad = kernel / 2,
    });
}

dt_node dt_part_norm(dt_graph *g, dt_node x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = format_name(g, format, args);
    va_end(args);
    return dt_batch_norm(g, x, name);
}

dt_node dt_part_conv_norm(dt_graph *g, dt_node x, const dt_conv_norm *s, const char *conv, const char *norm)
{
    const size_t rate = s->rate ? s->rate : 1;
    x = dt_conv(g, x, conv, (dt_conv_spec){
        .out_channels = s->channels, .kernel_h = s->kernel, .kernel_w = s->kernel, .stride = s->stride ? s->stride : 1,
        .pad = rate * (s->kernel / 2), .dilation = rate, .groups = s->groups,
    });
    if (s->torch_start) dt_part_start_torch(g, conv);
    return dt_batch_norm(g, x, norm);
}

dt_node dt_part_conv_norm_relu(dt_graph *g, dt_node x, const dt_conv_norm *s, const char *name, int first)
{
    return dt_relu(g, dt_part_conv_norm(g, x, s, dt_part_name(g, "%s.%d", name, first), dt_part_name(g, "%s.%d", name, first + 1)));
}

/* ---- start values ---------------------------------------------------------------------------------------------- */

/* The shape of a layer's weight, all zero when building has failed: there is nothing to start then. */
static dt_shape weight_of(const dt_graph *g, const char *weight)
{
    return dt_shape_of(g, dt_find_parameter(g, g->network, weight));
}

void dt_part_start_torch(dt_graph *g, const char *layer)
{
    const char *weight = dt_part_name(g, "%s.weight", layer), *bias = dt_part_name(g, "%s.bias", layer);
    const dt_shape s = weight_of(g, weight);
    if (!s.n) return;
    const double half_width = 1 / sqrt((double)(s.c * s.h * s.w));
    dt_parameter_start(g, weight, DT_INIT_UNIFORM, half_width);
    if (dt_find_parameter(g, g->network, bias) != DT_NONE) dt_parameter_start(g, bias, DT_INIT_UNIFORM, half_width);
}

void dt_part_start_xavier(dt_graph *g, const char *layer, double gain)
{
    const char *weight = dt_part_name(g, "%s.weight", layer);
    const dt_shape s = weight_of(g, weight);
    if (!s.n) return;
    const double fan_in = (double)(s.c * s.h * s.w), fan_out = (double)(s.n * s.h * s.w);
    dt_parameter_start(g, weight, DT_INIT_UNIFORM, gain * sqrt(6 / (fan_in + fan_out)));
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

dt_node dt_part_dropout(dt_graph *g, dt_node x, dt_node key, double p, unsigned which)
{
    if (key == DT_NONE) return x;
    return dt_dropout(g, x, key, p, (uint32_t)g->network << 16 | which);
}

void dt_part_tap(dt_built *b, const char *name, dt_node map)
{
    if (b->n_taps == DT_MAX_TAPS) DT_BUG("no room for tap '%s'", name);
    b->taps[b->n_taps++] = (dt_tap){name, map};
}

void dt_part_classifier(dt_graph *g, dt_built *b, dt_node features, const dt_model_inputs *in, const dt_classifier *c)
{
    dt_part_tap(b, "features", features);
    b->features = features;
    b->pooled = dt_global_average(g, features);
    const dt_node read = c->dropout > 0 ? dt_part_dropout(g, b->pooled, in->dropout_key, c->dropout, 0) : b->pooled;
    b->output = dt_linear(g, read, c->name, in->classes, c->start);
    b->head_weight = dt_find_parameter(g, g->network, dt_part_name(g, "%s.weight", c->name));
    b->head_bias = dt_find_parameter(g, g->network, dt_part_name(g, "%s.bias", c->name));
}
