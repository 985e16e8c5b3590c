/* A training step as data: nodes that are values, edges that are uses.
 *
 * Networks, losses, gradients and the optimiser live in one graph. It is described by models, tasks and methods,
 * differentiated (dt_differentiate), rewritten (dt_fuse), placed in memory (dt_place), and then never looked at again by
 * the loop that runs it: src/program turns it into a list of kernels.
 *
 * Shapes. Every tensor has four logical dimensions [n, c, h, w]; absent ones are 1: logits are [n, classes, 1, 1], a
 * scalar is [1, 1, 1, 1], a batch-norm weight is [1, c, 1, 1], a map of places is [n, 1, h, w].
 * Memory is n, h, w, c ("NHWC": channels innermost) for everything but convolution weights, which are [out, in/groups,
 * kh, kw] in that order ("OIHW"), as in PyTorch's files. For tensors with h = w = 1 the two orders agree, which is why a
 * linear layer's [out, in] weight is both.
 *
 * Element-wise operations broadcast dimensions of 1. Nodes are created in an order in which inputs come first, and their
 * numbers never change: passes rewrite nodes where they stand, append new ones and leave a valid order of execution in
 * g->order. A mistake in building a graph (shapes that do not fit) is recorded once, in g->error, with
 * the names of the nodes; later calls return DT_NONE, so that models and methods read like formulas and the caller
 * checks once with dt_graph_check. */
#ifndef DT_GRAPH_H
#define DT_GRAPH_H

#include "base/base.h"

typedef int32_t dt_node; /* position in the graph */
#define DT_NONE ((dt_node)-1)

typedef struct dt_shape {
    size_t n, c, h, w;
} dt_shape;

typedef enum dt_type {
    DT_REAL, /* f32 on every device but the float64 reference */
    DT_INDEX /* int32: labels */
} dt_type;

/* Axes of a reduction. */
enum { DT_AXIS_N = 1, DT_AXIS_C = 2, DT_AXIS_H = 4, DT_AXIS_W = 8, DT_AXES_HW = 12, DT_AXES_ALL = 15 };

/* Every operation. X(KIND, "name", inputs at least, inputs at most, outputs at most). The order of inputs is given beside each; [..] are
 * optional and may be DT_NONE. Outputs beyond the first are DT_OP_PART nodes. */
#define DT_OPS(X)                                                                                                      \
    /* sources */                                                                                                      \
    X(INPUT, "input", 0, 0, 1)         /* filled from outside before every run */                                      \
    X(PARAMETER, "parameter", 0, 0, 1) /* weight or buffer of a network */                                             \
    X(CONSTANT, "constant", 0, 0, 1)   /* a.real everywhere */                                                         \
    X(PART, "part", 1, 1, 1)           /* output a.integer of the input node */                                        \
    X(DETACH, "detach", 1, 1, 1)       /* its input, without a gradient; removed before execution */                   \
    X(RESHAPE, "reshape", 1, 1, 1)     /* same elements in the same memory order; costs nothing */                     \
    /* convolution and matrix products */                                                                              \
    X(CONV, "conv", 2, 3, 1)           /* x, weight, [bias]; a.conv */                                                 \
    X(CONV_GRAD_INPUT, "conv_grad_input", 2, 2, 1)     /* dy, weight; shape of x is the node's */                      \
    X(CONV_GRAD_WEIGHT, "conv_grad_weight", 2, 2, 1)   /* dy, x */                                                     \
    X(MATMUL, "matmul", 2, 3, 1)       /* a, b, [bias [1,c,1,1]]; a.matmul. Tensors are matrices [n*h*w, c] */         \
    X(BATCH_MATMUL, "batch_matmul", 2, 2, 1) /* a, b; a.matmul. For each image of its own, matrices [h*w, c]; the result has the \
                                          node's h*w rows and c columns */                                             \
    /* windows */                                                                                                      \
    X(MAX_POOL, "max_pool", 1, 1, 1)   /* x; a.pool */                                                                 \
    X(MAX_POOL_GRAD, "max_pool_grad", 3, 3, 1) /* dy, x, y: to the first maximum of each window */                     \
    X(AVG_POOL, "avg_pool", 1, 1, 1)   /* x; a.pool; divides by the places of the window inside the picture, with           \
                                          a.pool.count_pad by all of the window's */                                   \
    X(AVG_POOL_GRAD, "avg_pool_grad", 1, 1, 1) /* dy; shape of x is the node's */                                      \
    X(ADAPTIVE_AVG_POOL, "adaptive_avg_pool", 1, 1, 1) /* x -> the node's h, w, as torch.nn.AdaptiveAvgPool2d */       \
    X(ADAPTIVE_AVG_POOL_GRAD, "adaptive_avg_pool_grad", 1, 1, 1)                                                       \
    X(UPSAMPLE, "upsample", 1, 1, 1)   /* x -> the node's h, w: place o takes input place floor(o * in / out): block copy */ \
    X(UPSAMPLE_GRAD, "upsample_grad", 1, 1, 1) /* dy; shape of x is the node's: sums */                                \
    X(RESIZE, "resize", 1, 1, 1)       /* x -> the node's h, w, bilinear; a.resize */                                  \
    X(RESIZE_GRAD, "resize_grad", 1, 1, 1) /* dy; shape of x is the node's: the transposed sums */                     \
    X(PATCHES, "patches", 1, 1, 1)     /* space to depth: [n,c,h,w] -> [n,k*k*c,h/k,w/k], k = a.integer; row i, column j of a \
                                          patch and channel m become channel (i*k + j)*c + m */                        \
    X(PATCHES_GRAD, "patches_grad", 1, 1, 1) /* the inverse */                                                         \
    /* channels */                                                                                                     \
    X(CONCAT, "concat", 2, 8, 1)       /* tensors that differ in c only, one behind the other */                       \
    X(SLICE, "slice", 1, 1, 1)         /* the node's c channels from a.integer on */                                   \
    X(SLICE_GRAD, "slice_grad", 1, 1, 1) /* dy -> the node's shape: its channels from a.integer on, zero elsewhere */   \
    X(SHUFFLE, "shuffle", 1, 1, 1)     /* c channels in g = a.integer groups, transposed: channel k is x's (k mod g) c/g +     \
                                          floor(k / g). Its gradient is the shuffle of c/g groups, of dy */            \
    X(ROW, "row", 1, 1, 1)             /* row a.integer of the first dimension: [n,c,h,w] -> [1,c,h,w]; no gradient */  \
    /* batch normalisation. stats: [2, c, 1, 1], row 0 the mean, row 1 1/sqrt(variance + eps) */                       \
    X(BN_STATS, "bn_stats", 1, 2, 2)   /* x, [addend]: of x, or of x + addend, which is then output 1; a.bn */         \
    X(BN_FROZEN, "bn_frozen", 2, 2, 1) /* running mean, running variance -> stats; a.bn.eps */                         \
    X(BN_TRACK, "bn_track", 3, 3, 1)   /* stats, running mean, running variance: updates the two in place, unbiased variance; \
                                          output [1,1,1,1] is a token; a.bn */                                         \
    X(BN_APPLY, "bn_apply", 4, 5, 1)   /* x, stats, weight, bias, [residual]: y = activation(bn(x) [+ residual]); a.bn */ \
    X(BN_GRAD_STATS, "bn_grad_stats", 3, 5, 2) /* dy, x, stats, [y], [dy2]: [2,c,1,1], row 0 sum g, row 1 sum g*xhat,  \
                                          g = dy [+ dy2] [where y > 0, and y < 6 with ReLU6]; a.bn.emit: g is also output 1 */ \
    X(BN_GRAD_INPUT, "bn_grad_input", 5, 7, 1) /* dy, x, stats, weight, grad stats, [y], [addend]: the training-mode   \
                                          gradient for x, g = dy [where as above], [+ addend] */                       \
    X(BN_GRAD_FROZEN, "bn_grad_frozen", 3, 3, 1) /* dy, stats, weight: the inference-mode gradient for x */            \
    /* group normalisation: of x [+ add], a [n,c,1,1], over h, w and the c/groups channels of a group, for each image of its \
       own; a.gn: y = [silu](...). stats: [n, groups, 2, 1], the means and the 1/sqrt(variance + eps) */               \
    X(GROUP_NORM, "group_norm", 3, 4, 2) /* x, weight, bias, [add]; with a.gn.emit stats are output 1 */                \
    X(GROUP_NORM_GRAD, "group_norm_grad", 5, 6, 2) /* dy, x, stats, weight, bias, [add]: the gradient for x; with a.gn.emit \
                                          output 1 is [2,c,1,1], row 0 the gradient for bias, row 1 for weight */      \
    /* element-wise, broadcasting */                                                                                   \
    X(ADD, "add", 2, 2, 1)                                                                                             \
    X(SUB, "sub", 2, 2, 1)                                                                                             \
    X(MUL, "mul", 2, 2, 1)                                                                                             \
    X(DIV, "div", 2, 2, 1)                                                                                             \
    X(MIN, "min", 2, 2, 1)             /* no gradient */                                                               \
    X(MAX, "max", 2, 2, 1)             /* no gradient */                                                               \
    X(LESS, "less", 2, 2, 1)           /* 1 where a < b, else 0; no gradient */                                        \
    X(SELECT, "select", 3, 3, 1)       /* condition, a, b: a where condition != 0, else b; no gradient for condition */ \
    X(RELU, "relu", 1, 1, 1)                                                                                           \
    X(RELU_GRAD, "relu_grad", 2, 2, 1) /* dy, y: dy where y > 0, else 0 */                                             \
    X(RELU6, "relu6", 1, 1, 1)         /* 0 .. 6 */                                                                    \
    X(RELU6_GRAD, "relu6_grad", 2, 2, 1) /* dy, y: dy where 0 < y < 6, else 0 */                                       \
    X(SILU, "silu", 1, 1, 1)           /* x / (1 + exp(-x)) */                                                         \
    X(SILU_GRAD, "silu_grad", 2, 2, 1) /* dy, x */                                                                     \
    X(DROPOUT, "dropout", 2, 2, 1)     /* x, key [1,1,1,1] index: 0 with probability a.dropout.p, else x/(1-p); the same key \
                                          and a.dropout drop the same elements. Its gradient is itself, of dy */       \
    X(AFFINE, "affine", 1, 1, 1)       /* a.affine.scale * x + a.affine.shift */                                       \
    X(EXP, "exp", 1, 1, 1)                                                                                             \
    X(LOG, "log", 1, 1, 1)                                                                                             \
    X(ABS, "abs", 1, 1, 1)             /* gradient sign(x), 0 at 0 */                                                  \
    X(SIGN, "sign", 1, 1, 1)           /* no gradient */                                                               \
    X(SQRT, "sqrt", 1, 1, 1)                                                                                           \
    X(CLAMP, "clamp", 1, 1, 1)         /* a.clamp.low .. high; gradient inside the closed range, as torch.clamp */     \
    X(CLAMP_GRAD, "clamp_grad", 2, 2, 1) /* dy, x */                                                                   \
    /* reductions over a.axes, kept as dimensions of 1; summation order is fixed */                                    \
    X(SUM, "sum", 1, 1, 1)             /* times a.reduce.scale: 1/count makes a mean */                                \
    X(REDUCE_MIN, "reduce_min", 1, 1, 1) /* no gradient */                                                             \
    X(REDUCE_MAX, "reduce_max", 1, 1, 1) /* no gradient */                                                             \
    X(BROADCAST, "broadcast", 1, 1, 1) /* x -> the node's shape, times a.reduce.scale: the gradient of SUM */          \
    /* classification */                                                                                               \
    X(LOG_SOFTMAX, "log_softmax", 1, 1, 1)           /* over c, of a.real * x (1/temperature) */                       \
    X(LOG_SOFTMAX_GRAD, "log_softmax_grad", 2, 2, 1) /* dy, y: a.real * (dy - exp(y) * sum_c dy) */                    \
    X(PICK, "pick", 2, 2, 1)           /* x [n,c,h,w], or [1,c,1,1] for all places, index [n,1,h,w] -> [n,1,h,w]: x at channel \
                                          index, 0 where the index is not in 0..c-1 */                                 \
    X(PICK_GRAD, "pick_grad", 2, 2, 1) /* dy, index -> the node's shape, zero elsewhere, and everywhere in a place whose index \
                                          is not in 0..c-1; PICK_GRAD of ones is one-hot */                            \
    X(IN_RANGE, "in_range", 1, 1, 1)   /* index -> 1 where 0 <= index < a.integer, else 0; no gradient */              \
    X(PIXEL_CE, "pixel_ce", 2, 2, 1)   /* z [n,K,h,w], labels [n,1,H,W] -> [n,1,H,W]: -log softmax(z resized to H, W)[label], \
                                          0 where the label is not in 0..K-1; a.resize. Nothing of size K*H*W is stored */ \
    X(PIXEL_CE_GRAD, "pixel_ce_grad", 3, 3, 1) /* dy [n,1,H,W], z, labels -> gradient for z */                         \
    X(TIME_EMBED, "time_embed", 1, 1, 1) /* index t [n,1,1,1] -> [n,c,1,1]: sin(t w_j), then cos(t w_j), w_j =          \
                                          exp(-j ln 10000 / (c/2 - 1)), j = 0..c/2-1; no gradient */                   \
    X(SIMPLEX_WEIGHTS, "simplex_weights", 3, 8, 1) /* labels, z_1, .., z_K -> [1,K,1,1]: a on the simplex minimising the mean \
                                          CE of sum_i a_i z_i over the places whose label is a class; METHODS.md 2, KDCL \
                                          "linear"; no gradient */                                                     \
    /* places */                                                                                                       \
    X(COSINE, "cosine", 2, 2, 1)       /* u, v -> [n,1,h,w]: <u,v> / max(|u||v|, a.real) over c */                     \
    X(COSINE_GRAD, "cosine_grad", 3, 3, 1) /* dy, u, v -> gradient for u; a.real */                                    \
    /* softmax over the places of an image: [n,1,h,w], of a.real * x */                                                \
    X(PLACE_SOFTMAX, "place_softmax", 1, 1, 1)                                                                         \
    X(PLACE_SOFTMAX_GRAD, "place_softmax_grad", 2, 2, 1) /* dy, y */                                                   \
    /* one network's update; see dt_update */                                                                          \
    X(UPDATE, "update", 0, 1, 1)       /* [token of what must come first]; works on the network's flat blocks; output [1,1,1,1]: 0, or 1 \
                                          when a gradient was not finite; a.update */

typedef enum dt_kind {
#define X(kind, name, least, most, outputs) DT_OP_##kind,
    DT_OPS(X)
#undef X
        DT_OP_COUNT
} dt_kind;

enum { DT_MAX_INPUTS = 8, DT_MAX_NETWORKS = 7 };

typedef struct dt_conv_spec {
    size_t out_channels, kernel_h, kernel_w, stride, pad, dilation, groups; /* 0 for dilation, groups: 1 */
    size_t pad_more; /* zeros below and to the right beyond `pad` */
    bool bias;
    bool doubled; /* each place of x stands for a block of 2x2: what UPSAMPLE to twice the size and a convolution are together. x and
                   * its gradient have the small size, everything else is of the large one. Written by the compiler only. */
} dt_conv_spec;

typedef struct dt_pool_spec {
    size_t kernel, stride, pad;
    bool count_pad; /* averages: zeros of the padding count as places */
} dt_pool_spec;

/* What a batch norm applies to its result. */
typedef enum dt_activation { DT_ACTIVATION_NONE, DT_ACTIVATION_RELU, DT_ACTIVATION_RELU6 } dt_activation;

/* The attributes of a node; which member is meant follows from the kind. A plain union of small structs: compared bytewise
 * (always start from a zeroed one). */
typedef union dt_attributes {
    dt_conv_spec conv;
    dt_pool_spec pool;
    struct { bool transpose_a, transpose_b; } matmul;
    struct { double eps, momentum; size_t count; dt_activation activation; bool emit; } bn; /* count: n*h*w of the normalised tensor */
    struct { double eps; size_t groups; bool silu, emit; } gn;
    struct { bool align; } resize; /* corners meet corners (s = o (I-1)/(O-1)); else pixel edges do (s = (o+.5) I/O - .5) */
    /* Element i in memory order takes number i % 4 of the block (seed, DT_PURPOSE_DROPOUT, key, salt * 2^32 + i / 4). */
    struct { double p; uint64_t seed; uint32_t salt; } dropout;
    struct { double scale, shift; } affine;
    struct { double low, high; } clamp;
    struct { unsigned axes; double scale; } reduce;
    struct { int network; } update;
    double real;
    int64_t integer;
} dt_attributes;

/* How a parameter starts. Normal and uniform: `amount` is the deviation or the half width. */
typedef enum dt_init { DT_INIT_ZERO, DT_INIT_ONE, DT_INIT_NORMAL, DT_INIT_UNIFORM } dt_init;

typedef struct dt_parameter {
    dt_node node;
    const char *name;  /* "layer1.0.conv1.weight": PyTorch's name inside its network */
    int network;       /* which network of the graph owns it */
    int rank;          /* of the tensor in files: 4 conv weight, 2 linear weight, 1 vector */
    bool trained;      /* false: a buffer (running statistics) */
    dt_init init;
    double amount;
} dt_parameter;

typedef struct dt_graph_node {
    dt_kind kind;
    dt_type type;
    dt_shape shape;
    dt_node in[DT_MAX_INPUTS]; /* DT_NONE for absent optional inputs */
    int n_in;
    dt_attributes a;
    const char *name;  /* in the graph's arena; NULL: unnamed */
    int network;       /* the network it was built for, -1: shared (losses) */
    int variant;       /* which variant of the step it belongs to, -1: all. See dt_graph_set_variant */
    int parameter;     /* PARAMETER: position in g->parameters */
    int gradient_of;   /* position in g->parameters of the parameter whose gradient block holds this value, -1 */
    bool dead;         /* removed by a pass */
} dt_graph_node;

typedef struct dt_graph {
    dt_graph_node *nodes;
    size_t n_nodes, node_capacity;
    dt_parameter *parameters;
    size_t n_parameters, parameter_capacity;
    dt_arena arena;      /* names */
    duet_error error;    /* the first mistake */
    /* what nodes built from now on belong to */
    int network, variant;
    bool training;       /* batch norm from the batch (true) or from running statistics; dropout or none */
    bool (*frozen)(const void *user, const char *layer); /* see dt_graph_freeze; NULL: no layer is */
    const void *frozen_user;
    uint64_t seed;       /* of dropout */
    const char *scope;   /* prefix of names in messages and dumps: the network's name */
    dt_node *order;      /* order of execution, set by dt_fuse: live nodes only */
    size_t n_order;
    /* counts of what passes did, for `duet plan` */
    struct { int bn_residual, bn_relu, bn_grad_relu, bn_grad_emit, bn_grad_add, bn_stats_add, gn_silu, gn_grad_silu, gn_add, conv_upsample, shared, removed,
        in_place; } fused;
} dt_graph;

dt_graph *dt_graph_create(void); /* NULL when memory is out */
void dt_graph_destroy(dt_graph *g);
duet_status dt_graph_check(const dt_graph *g, duet_error *err); /* the first mistake, if any */
/* Records the first mistake; for builders above. */
void dt_graph_fail(dt_graph *g, duet_status status, const char *format, ...) DT_PRINTF(3, 4);

/* The network (its position, its name, trained or in inference mode) that nodes built from now on belong to; -1, NULL: none. */
void dt_graph_set_network(dt_graph *g, int network, const char *scope, bool training);
/* Layers of the current network that do not learn, until the next dt_graph_set_network: their parameters count as not trained, like buffers,
 * their batch norms are in inference mode. frozen is asked with names of parameters and of batch norms; user is borrowed. */
void dt_graph_freeze(dt_graph *g, bool (*frozen)(const void *user, const char *layer), const void *user);
/* A step may have variants of which one is chosen after the common part has run (SwitOKD); -1: the common part. */
void dt_graph_set_variant(dt_graph *g, int variant);

const char *dt_kind_name(dt_kind kind);
static inline size_t dt_shape_count(dt_shape s) { return s.n * s.c * s.h * s.w; } /* the graph checked that it fits */
static inline bool dt_shape_equal(dt_shape a, dt_shape b) { return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w; }
dt_shape dt_shape_of(const dt_graph *g, dt_node x); /* {0,0,0,0} for DT_NONE */
/* Multiply-adds of a node of the forward pass, padding taps counted: convolutions and matrix products have any. */
double dt_node_macs(const dt_graph *g, dt_node x);

/* ---- layers: what models are built from -------------------------------------------------------------------- */

dt_node dt_input(dt_graph *g, const char *name, dt_type type, dt_shape shape);
dt_node dt_conv(dt_graph *g, dt_node x, const char *name, dt_conv_spec s);       /* name.weight, name.bias; kaiming fan_out */
dt_node dt_batch_norm(dt_graph *g, dt_node x, const char *name);                 /* eps 1e-5, momentum 0.1 */
/* Weight and bias: uniform, 1/sqrt(in) to either side; the same weight, bias 0; normal of deviation .01, bias 0. */
typedef enum dt_linear_init { DT_LINEAR_TORCH, DT_LINEAR_ZERO_BIAS, DT_LINEAR_NORMAL } dt_linear_init;
dt_node dt_linear(dt_graph *g, dt_node x, const char *name, size_t out, dt_linear_init init);
dt_node dt_relu(dt_graph *g, dt_node x);
dt_node dt_relu6(dt_graph *g, dt_node x);
dt_node dt_max_pool(dt_graph *g, dt_node x, dt_pool_spec s);
dt_node dt_avg_pool(dt_graph *g, dt_node x, dt_pool_spec s);
dt_node dt_global_average(dt_graph *g, dt_node x);
/* The parameter `name` of the current network, created on first use. */
dt_node dt_parameter_node(dt_graph *g, const char *name, dt_shape shape, int rank, bool trained, dt_init init, double amount);
/* How parameter `name` of the current network starts, where a model wants another start than the layer gives. */
void dt_parameter_start(dt_graph *g, const char *name, dt_init init, double amount);
dt_node dt_group_norm(dt_graph *g, dt_node x, const char *name, size_t groups, double eps); /* name.weight, name.bias */
dt_node dt_silu(dt_graph *g, dt_node x);
/* x itself in inference mode or with p = 0. key: an index [1,1,1,1], the step's number; salt: which dropout of the network. */
dt_node dt_dropout(dt_graph *g, dt_node x, dt_node key, double p, uint32_t salt);
dt_node dt_time_embedding(dt_graph *g, dt_node t, size_t channels); /* an even number, at least 4 */
dt_node dt_concat(dt_graph *g, const dt_node *x, size_t n);         /* channels; at most DT_MAX_INPUTS tensors */
dt_node dt_slice(dt_graph *g, dt_node x, size_t first, size_t channels);
dt_node dt_shuffle_channels(dt_graph *g, dt_node x, size_t groups);          /* groups divide the channels; see SHUFFLE */
dt_node dt_find_parameter(const dt_graph *g, int network, const char *name); /* DT_NONE: there is none */

/* ---- formulas: what tasks and methods are built from ------------------------------------------------------- */

dt_node dt_constant(dt_graph *g, double value);
dt_node dt_detach(dt_graph *g, dt_node x);
dt_node dt_add(dt_graph *g, dt_node a, dt_node b);
dt_node dt_sub(dt_graph *g, dt_node a, dt_node b);
dt_node dt_mul(dt_graph *g, dt_node a, dt_node b);
dt_node dt_div(dt_graph *g, dt_node a, dt_node b);
dt_node dt_min(dt_graph *g, dt_node a, dt_node b);
dt_node dt_max(dt_graph *g, dt_node a, dt_node b);
dt_node dt_less(dt_graph *g, dt_node a, dt_node b);
dt_node dt_select(dt_graph *g, dt_node condition, dt_node a, dt_node b);
dt_node dt_scale(dt_graph *g, dt_node x, double scale);
dt_node dt_affine(dt_graph *g, dt_node x, double scale, double shift);
dt_node dt_exp(dt_graph *g, dt_node x);
dt_node dt_log(dt_graph *g, dt_node x);
dt_node dt_abs(dt_graph *g, dt_node x);
dt_node dt_sqrt(dt_graph *g, dt_node x);
dt_node dt_clamp(dt_graph *g, dt_node x, double low, double high);
dt_node dt_sum(dt_graph *g, dt_node x, unsigned axes);
dt_node dt_mean(dt_graph *g, dt_node x, unsigned axes);
dt_node dt_reduce_min(dt_graph *g, dt_node x, unsigned axes);
dt_node dt_reduce_max(dt_graph *g, dt_node x, unsigned axes);
dt_node dt_reshape(dt_graph *g, dt_node x, dt_shape shape);
dt_node dt_row(dt_graph *g, dt_node x, size_t row); /* [n,c,h,w] -> [1,c,h,w]; no gradient */
dt_node dt_broadcast(dt_graph *g, dt_node x, dt_shape shape);
dt_node dt_matmul(dt_graph *g, dt_node a, dt_node b, dt_node bias, bool transpose_a, bool transpose_b);
dt_node dt_log_softmax(dt_graph *g, dt_node x, double temperature);
dt_node dt_pick(dt_graph *g, dt_node x, dt_node index);
dt_node dt_one_hot(dt_graph *g, dt_node index, size_t classes);
dt_node dt_simplex_weights(dt_graph *g, dt_node labels, const dt_node *logits, size_t n);
dt_node dt_spatial_cosine(dt_graph *g, dt_node u, dt_node v);
dt_node dt_place_softmax(dt_graph *g, dt_node x, double scale);
dt_node dt_adaptive_avg_pool(dt_graph *g, dt_node x, size_t h, size_t w);
dt_node dt_upsample(dt_graph *g, dt_node x, size_t h, size_t w);             /* block copy */
dt_node dt_resize(dt_graph *g, dt_node x, size_t h, size_t w, bool align);   /* bilinear; x itself where the size is the same */
dt_node dt_patches(dt_graph *g, dt_node x, size_t k);                        /* k divides h and w; see PATCHES */
/* For each image op(a) op(b), of matrices [h*w, c]; the result's h*w must be the number of rows. Attention is
 *     dt_batch_matmul(A, v, false, false, h, w),  A = exp(log_softmax(dt_batch_matmul(q, k, false, true, h, w), sqrt(c))) */
dt_node dt_batch_matmul(dt_graph *g, dt_node a, dt_node b, bool transpose_a, bool transpose_b, size_t h, size_t w);
/* Logits z of any grid, labels [n,1,H,W] -> cross-entropy of every pixel, 0 where the label is no class. */
dt_node dt_pixel_cross_entropy(dt_graph *g, dt_node z, dt_node labels, bool align);
dt_node dt_in_range(dt_graph *g, dt_node index, size_t n); /* 1 where 0 <= index < n, else 0 */

/* Any node, by kind: what the functions above end in, and what differentiation and fusion use. */
dt_node dt_node_make(dt_graph *g, dt_kind kind, const dt_node *in, int n_in, dt_attributes a, dt_shape shape, dt_type type);
void dt_node_name(dt_graph *g, dt_node x, const char *format, ...) DT_PRINTF(3, 4);

/* ---- passes ------------------------------------------------------------------------------------------------- */

/* Appends nodes for d loss / d x for each x of wrt[0..n) (trained parameters or any node), loss a scalar; grad[i] is DT_NONE
 * where loss does not depend on wrt[i]. Only nodes between wrt and loss are visited, so a network's parameters get the
 * gradient of that network's loss and of no other. Nodes go to the current network and variant. */
void dt_differentiate(dt_graph *g, dt_node loss, const dt_node *wrt, size_t n, dt_node *grad);

/* Where the running statistics of a network move: track[v] for each of n variants. Without this call: in every step. */
void dt_graph_track(dt_graph *g, int network, const bool *track, int n_variants);

/* Rewrites the graph into fewer, larger operations; results are the same up to rounding. `keep` are nodes whose values
 * somebody reads after a run; they and what they need survive; keep[i] is updated when a kept node was merged into another. Nodes with effects (BN_TRACK, UPDATE) and gradients
 * of parameters always survive. `enable` false: only removes what nobody needs, merges nothing. */
void dt_fuse(dt_graph *g, dt_node *keep, size_t n_keep, bool enable);

/* Where each value lives: an offset in one slab, or DT_OUTSIDE (inputs, parameters, gradients: memory given from outside). */
#define DT_OUTSIDE SIZE_MAX
typedef struct dt_placement {
    size_t *offset;       /* [n_nodes]; the offset in bytes, DT_OUTSIDE */
    size_t slab_bytes;
    size_t total_bytes;   /* of all values, each counted once: what no sharing would take */
    int in_place;         /* values that took over their input's place */
} dt_placement;
/* Call after dt_fuse. external[i]: node i has its own memory. keep: values that must survive to the end of the run. real_bytes: 4 or 8.
 * in_place: may the output of this kind take over input i's memory? (dt_op_in_place) */
duet_status dt_place(dt_graph *g, bool (*in_place)(dt_kind kind, int input), const bool *external, const dt_node *keep, size_t n_keep, size_t real_bytes,
                     dt_placement *out, duet_error *err);
void dt_placement_release(dt_placement *p);

/* The node that holds x's memory: x itself, or what RESHAPE and DETACH look through. Also a PART is its own storage. */
dt_node dt_storage_of(const dt_graph *g, dt_node x);

void dt_graph_dump(const dt_graph *g, dt_text *out);     /* a line per node */
void dt_graph_dump_dot(const dt_graph *g, dt_text *out); /* Graphviz */

#endif
