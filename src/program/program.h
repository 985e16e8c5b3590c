/* A compiled step: a flat list of kernels over placed memory, and the state it trains.
 *
 *     dt_state      weights, buffers, gradients and what the optimiser keeps, of every network, as flat blocks on a device
 *     dt_program    graph + device + state -> segments of kernels. Segment 0 is the common part; where a method has
 *                   variants, one more segment each, of which a run executes one (dt_program_choose)
 *
 * Several programs may share one state: the training step, and inference for evaluation. */
#ifndef DT_PROGRAM_H
#define DT_PROGRAM_H

#include "device/device.h"

/* One tensor of a network as files and people see it. */
typedef struct dt_tensor {
    const char *name;
    dt_shape shape;
    int rank;
    bool trained;
    dt_init init;
    double amount;
    size_t offset, count; /* in reals, in the block of trained tensors or of buffers */
    double lr_scale;      /* of a trained tensor: times its network's learning rate; 1, or what was set before dt_state_learn_by */
    bool head;            /* of a last layer: other classes give it another shape. Who knows the network says so (src/train) */
} dt_tensor;

typedef struct dt_network_state {
    char *name;
    dt_tensor *tensors; /* in the order of the graph: the order of PyTorch's state_dict without num_batches_tracked */
    size_t n_tensors;
    size_t n_weights, n_buffers; /* reals */
    void *weights, *momentum, *gradients, *buffers; /* on the device; each tensor starts on a DT_ALIGN boundary */
    void *second, *average, *sum;                   /* NULL where the rule of dt_state_learn_by needs none */
    int64_t batches_tracked;
    dt_update update; /* points into the blocks; the train loop sets lr before each run */
} dt_network_state;

typedef struct dt_state {
    dt_device *device;
    dt_network_state *networks;
    int n_networks;
    dt_arena arena;
    struct dt_state *averaged; /* see dt_state_averaged */
} dt_state;

/* Blocks for the networks of g (parameters grouped by their network, names[i] the network's name). */
duet_status dt_state_create(dt_device *d, const dt_graph *g, const char *const *names, int n_networks, dt_state **out, duet_error *err);
void dt_state_destroy(dt_state *s);
/* How network i is updated, before anything of it is compiled or written; allocates the blocks that the rule needs. Without
 * this call: plain SGD. DUET_MEMORY. */
duet_status dt_state_learn_by(dt_state *s, int network, const dt_update_rule *rule, duet_error *err);
/* Fills weights and buffers of network i from (seed, i), and restarts it. */
duet_status dt_state_initialise(dt_state *s, int network, uint64_t seed, duet_error *err);
/* The optimiser of network i starts anew from its weights: moments and count zero, no gradient summed, the average is the weights. */
void dt_state_restart(dt_state *s, int network);
/* The same networks with averaged weights: networks with an average have it as their weights, others are as they are; buffers
 * (running statistics) are those of the raw network, for there is no average of them. NULL where no network has an average.
 * Shares the memory of s, so it always shows the newest values and costs nothing; its programs are for inference, its networks
 * are for dt_state_read and dt_weights_save. Call it again after steps before saving: it brings batches_tracked up to date.
 * Valid as long as s; not to be destroyed. */
dt_state *dt_state_averaged(dt_state *s);
/* Copies one tensor between the device and f32 memory of the caller (tensor->count floats, the file's order). */
void dt_state_read(const dt_state *s, int network, const dt_tensor *t, float *to);
void dt_state_write(dt_state *s, int network, const dt_tensor *t, const float *from);
/* The same for what the optimiser keeps of a trained tensor. */
typedef enum dt_kept { DT_KEPT_MOMENTUM, DT_KEPT_SECOND, DT_KEPT_AVERAGE, DT_KEPT_COUNT } dt_kept;
bool dt_state_keeps(const dt_state *s, int network, dt_kept k);
void dt_state_read_kept(const dt_state *s, int network, dt_kept k, const dt_tensor *t, float *to);
void dt_state_write_kept(dt_state *s, int network, dt_kept k, const dt_tensor *t, const float *from);
/* The gradient of a trained tensor in the last run. */
void dt_state_read_gradient(const dt_state *s, int network, const dt_tensor *t, float *to);

typedef struct dt_program dt_program;

typedef struct dt_program_spec {
    dt_graph *graph;          /* borrowed until the program is destroyed; fused and placed here */
    dt_state *state;          /* borrowed */
    /* Values somebody reads: losses, scalars, logits. Updated in place when fusion merges them. */
    dt_node *outputs;
    size_t n_outputs;
    int n_variants;           /* variants that nodes may belong to; a step without a choice may use none or one */
    bool no_fusion;           /* for tests and `duet plan --no-fusion` */
} dt_program_spec;

/* The caller finds gradients with dt_differentiate and says here where they go: gradient's value is written straight into
 * parameter's gradient block. One gradient node for each parameter and variant. */
void dt_program_gradient(dt_graph *g, dt_node parameter, dt_node gradient);

duet_status dt_program_compile(const dt_program_spec *spec, dt_program **out, duet_error *err);
void dt_program_destroy(dt_program *p);

/* Fills an input: floats for DT_REAL (converted to the device's precision), int32 for DT_INDEX. count: of elements, must match. */
void dt_program_write(dt_program *p, dt_node input, const void *from, size_t count);
/* Runs segment 0 (variant < 0) or a variant's segment. DUET_DEVICE when a kernel failed. */
duet_status dt_program_run(dt_program *p, int variant, duet_error *err);
/* Reads an output as floats (count elements in memory order), after a run. */
void dt_program_read(const dt_program *p, dt_node output, float *to, size_t count);
float dt_program_scalar(const dt_program *p, dt_node output);

/* ---- what people see of it ---------------------------------------------------------------------------------- */

typedef struct dt_program_facts {
    size_t n_kernels, n_fallbacks, n_ref_convolutions;
    size_t slab_bytes, unshared_bytes, scratch_bytes, state_bytes;
    double macs, bytes; /* of one run of all segments */
    int in_place;
} dt_program_facts;
void dt_program_describe(const dt_program *p, dt_program_facts *out);
/* The program as text: a line per kernel (segment, network, operation, name, shapes, implementation, bytes), then a summary. */
void dt_program_print(const dt_program *p, dt_text *out);
/* Seconds per operation kind and implementation, summed over `runs` runs of every segment; lines, largest first. */
duet_status dt_program_profile(dt_program *p, int runs, dt_text *out, duet_error *err);

#endif
