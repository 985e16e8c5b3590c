/* Networks, described. A model builds its graph from nodes and names its taps; everything else (parameters, gradients,
 * memory, files) follows from that. One file per family; a new family is one new file and one name in registry.c. */
#ifndef DT_MODELS_H
#define DT_MODELS_H

#include "graph/graph.h"

enum { DT_MAX_TAPS = 6 };

typedef struct dt_tap {
    const char *name; /* "stage1", "stage2", "stage3", "features" */
    dt_node node;
} dt_tap;

/* What a network offers to tasks and methods. */
typedef struct dt_built {
    dt_node logits;            /* [n, classes, 1, 1] */
    dt_node features;          /* the map that enters global pooling, [n, c, h, w] */
    dt_node pooled;            /* [n, c, 1, 1] */
    dt_node head_weight, head_bias; /* the classifier: [classes, c, 1, 1], [1, classes, 1, 1] */
    dt_tap taps[DT_MAX_TAPS];
    int n_taps;
} dt_built;

typedef struct dt_model {
    const char *name, *family, *help;
    int depth, width;      /* of the family's formula */
    size_t image;          /* the side of the picture it is made for */
    /* Builds into the graph's current network. image: [n, 3, image, image]. */
    dt_built (*build)(const struct dt_model *m, dt_graph *g, dt_node image, size_t classes);
} dt_model;

const dt_model *dt_model_find(const char *name, duet_error *err); /* DUET_ARG with the nearest names */
const dt_model *dt_model_at(size_t i);                            /* NULL past the end */

/* Counts of MODELS.md, found by building the graph for one image. */
typedef struct dt_model_facts {
    size_t parameters, buffers; /* buffers include one num_batches_tracked per batch norm, as PyTorch counts */
    double macs;                /* per image: convolutions and linear layer, padding counted */
    dt_built built;
    dt_shape tap_shape[DT_MAX_TAPS];
} dt_model_facts;
duet_status dt_model_measure(const dt_model *m, size_t classes, dt_model_facts *out, duet_error *err);

#endif
