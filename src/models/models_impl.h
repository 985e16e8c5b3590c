/* What the files of src/models share and nobody else sees. */
#ifndef DT_MODELS_IMPL_H
#define DT_MODELS_IMPL_H

#include "models/models.h"

/* All networks of one family: a table in the family's file, a name in registry.c. */
typedef struct dt_family {
    const dt_model *models;
    size_t n;
} dt_family;

/* ---- parts.c: what every family of plain convolutional classifiers is made of --------------------------------- */

/* Square convolution without bias, padded so that stride 1 keeps the size. The name is a format: "layer%d.%d.conv1". */
dt_node dt_part_conv(dt_graph *g, dt_node x, size_t out_channels, size_t kernel, size_t stride, const char *format, ...) DT_PRINTF(6, 7);
dt_node dt_part_norm(dt_graph *g, dt_node x, const char *format, ...) DT_PRINTF(3, 4);

void dt_part_tap(dt_built *b, const char *name, dt_node map);
/* Everything behind the last map: the tap "features", global average pooling, the linear layer `fc`. */
void dt_part_classifier(dt_graph *g, dt_built *b, dt_node features, size_t classes, dt_linear_init init);

#endif
