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
    dt_node output;            /* classify: logits [n, classes, 1, 1]; segment: coarse logits [n, classes, h, w]; denoise: the noise seen, [n, 3, H, W] */
    dt_node features;          /* the map that the head reads: classify: what enters global pooling, [n, c, h, w] */
    dt_node pooled;            /* classify: [n, c, 1, 1]; else DT_NONE */
    dt_node head_weight, head_bias; /* the last layer: [classes, c, 1, 1], [1, classes, 1, 1]; DT_NONE where it is no linear map of one place */
    dt_node aux;               /* segment: coarse logits of the auxiliary head; DT_NONE: there is none */
    bool align;                /* segment: the corners of coarse and full maps lie on each other when it is up-sampled (align_corners) */
    dt_tap taps[DT_MAX_TAPS];
    int n_taps;
} dt_built;

/* What a network reads. Start from DT_MODEL_INPUTS: what a task does not have is DT_NONE. */
typedef struct dt_model_inputs {
    dt_node image;       /* [n, 3, h, w] */
    dt_node time;        /* denoise: the step of the diffusion, [n, 1, 1, 1] DT_INDEX */
    dt_node dropout_key; /* training: changes from step to step, [1, 1, 1, 1] DT_INDEX; DT_NONE: nothing is dropped */
    size_t classes;
} dt_model_inputs;
#define DT_MODEL_INPUTS ((dt_model_inputs){DT_NONE, DT_NONE, DT_NONE, 0})
/* Nothing built yet. */
#define DT_BUILT ((dt_built){.output = DT_NONE, .features = DT_NONE, .pooled = DT_NONE, .head_weight = DT_NONE, .head_bias = DT_NONE, .aux = DT_NONE})

typedef struct dt_model {
    const char *name, *family, *help;
    const char *task;      /* NULL: "classify" */
    int depth, width;      /* of the family's formula */
    size_t image;          /* the side of the picture it is made for */
    size_t image_width;    /* 0: as `image`, which is else the height */
    size_t image_step;     /* 0: takes that size only; else any height and width that are multiples of this */
    size_t classes;        /* of the data it is made for; 0: its task has none */
    bool dropout;          /* has layers that read dropout_key */
    /* Builds into the graph's current network. */
    dt_built (*build)(const struct dt_model *m, dt_graph *g, const dt_model_inputs *in);
    const void *data;      /* of the family */
    const char *description; /* NULL: built in; else the text that describes it (dt_model_described) */
} dt_model;

/* The width of the picture it is made for. */
static inline size_t dt_model_width(const dt_model *m) { return m->image_width ? m->image_width : m->image; }
/* The task it is made for. */
static inline const char *dt_model_task(const dt_model *m) { return m->task ? m->task : "classify"; }
/* DUET_SHAPE with what it takes when pictures of this size cannot be given to it. */
duet_status dt_model_check_size(const dt_model *m, size_t height, size_t width, duet_error *err);

const dt_model *dt_model_find(const char *name, duet_error *err); /* DUET_ARG with the nearest names */
const dt_model *dt_model_at(size_t i);                            /* NULL past the end */
/* What to say of a name that is none: "did you mean resnet20?", "the public ResNet50 is resnet50_cifar here", or "". Returns `to`. */
enum { DT_MODEL_HINT = 128 };
const char *dt_model_hint(const char *name, char to[DT_MODEL_HINT]);
/* The network that people confuse with this one, because public code gives both nearly the same name: resnet50 and resnet50_cifar;
 * NULL: there is none. */
const dt_model *dt_model_namesake(const char *name);

/* ---- networks described in files (docs/models.md) ---------------------------------------------------------------- */

/* Does a name in a recipe mean a file? "mine.yaml" */
bool dt_model_is_file(const char *name);
/* Reads a description; file: its name, for messages and, without folder and ending, of the network. The network has been built
 * once when this returns, so that what is wrong with its layers is known.
 * Owns:    everything lives in the arena; graphs that are built of it do not need it afterwards.
 * Errors:  DUET_RECIPE: "file:line:column: .., given 16x32x32: .."; DUET_MEMORY. */
duet_status dt_model_described(const char *file, const char *text, size_t bytes, dt_arena *arena, const dt_model **out, duet_error *err);
/* The same from the file itself; DUET_RECIPE also when it is not there. */
duet_status dt_model_read(const char *file, dt_arena *arena, const dt_model **out, duet_error *err);
/* A network layer by layer: name, operation, shape for one picture, parameters, multiply-adds. classes 0: the model's own. */
duet_status dt_model_list(const dt_model *m, size_t classes, dt_text *out, duet_error *err);

/* Counts of MODELS.md, found by building the graph for one image. */
typedef struct dt_model_facts {
    size_t parameters, buffers; /* buffers include one num_batches_tracked per batch norm, as PyTorch counts */
    double macs;                /* per image of the model's own size: convolutions, linear layers, attention's products; padding counted */
    dt_built built;
    dt_shape tap_shape[DT_MAX_TAPS];
} dt_model_facts;
/* classes 0: the model's own. Auxiliary heads are counted in. */
duet_status dt_model_measure(const dt_model *m, size_t classes, dt_model_facts *out, duet_error *err);

#endif
