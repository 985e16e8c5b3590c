/* A device is a table of functions. Above this folder nobody knows which one runs.
 *
 * It moves memory and answers one question: "give me a kernel for this operation with these shapes, or say why not".
 * `reference` is plain C, complete, in float32 or float64: the definition of every operation and the oracle of all
 * other devices. `cpu` is oneDNN and our own vector kernels; what it has no kernel for falls back to the reference's,
 * and the plan says so. A CUDA device will be a third table. */
#ifndef DT_DEVICE_H
#define DT_DEVICE_H

#include "graph/graph.h"

/* One operation as plain data: everything a device may look at when it chooses a kernel. */
typedef struct dt_op {
    dt_kind kind;
    dt_attributes a;
    int n_in, n_out;
    dt_shape in[DT_MAX_INPUTS]; /* n = 0 for an absent optional input */
    dt_type in_type[DT_MAX_INPUTS];
    dt_shape out[2];            /* n_out of them; BN_STATS and BN_GRAD_STATS have the second with a.bn.emit only */
} dt_op;

typedef enum dt_optimiser { DT_SGD, DT_ADAM, DT_ADAMW } dt_optimiser;

/* How weights w follow their gradients g, in this order, t = 1 in the first update:
 *
 *     clip_norm  g <- g min(1, clip_norm / (|g| + 1e-6)), |g| over all of the network's gradients
 *     sgd        g <- g + decay w,  v <- momentum v + g,  w <- w - lr (g + momentum v  with Nesterov, else v)
 *     adam       g <- g + decay w;    adamw  w <- w - lr decay w  instead; then both
 *                v <- beta1 v + (1 - beta1) g,  s <- beta2 s + (1 - beta2) g^2
 *                w <- w - lr / (1 - beta1^t) v / (sqrt(s) / sqrt(1 - beta2^t) + eps)
 *     ema        e <- m e + (1 - m) w,  m = min(ema, t / (t + 9)), which is (1 + k) / (10 + k) in step k from 0
 *
 * With `batches` above 1, g is the mean of the gradients of so many runs, and all of this happens in the last of them.
 *
 * Source: torch.optim.SGD (dampening 0), Adam, AdamW, torch.nn.utils.clip_grad_norm_; the average is ours. */
typedef struct dt_update_rule {
    dt_optimiser optimiser;
    double momentum;          /* of sgd */
    double beta1, beta2, eps; /* of adam and adamw */
    double weight_decay;
    double clip_norm, ema;    /* 0: off */
    int batches;              /* runs to an update; 0: as 1 */
    bool nesterov;
} dt_update_rule;

/* A part of the blocks, from where the one before ends, and what its learning rate is multiplied by. */
typedef struct dt_update_group {
    size_t end;
    double lr_scale;
} dt_update_group;

/* What the kernel of DT_OP_UPDATE works on: the flat blocks of one network. A run that updates counts `updates` up. */
typedef struct dt_update {
    void *weight, *momentum; /* [n] reals; momentum: v above */
    void *second, *average;  /* [n] reals: s and e above; NULL where the rule has none */
    const void *gradient;    /* [n] reals: of this run */
    void *sum;               /* [n] reals: of the runs since the last update; NULL where rule.batches is below 2 */
    int summed;              /* how many those are, 0 .. rule.batches - 1 */
    size_t n;
    dt_update_rule rule;
    double lr;               /* set before each run; already times the network's lr_scale */
    const dt_update_group *groups; /* they cover n; none: all of it at lr */
    size_t n_groups;
    double norm;             /* |g| of the last update, before clipping; with clip_norm only */
    int64_t updates;         /* made so far */
} dt_update;

/* A kernel: called once per step with the addresses of its inputs and outputs, nothing to decide, nothing to allocate.
 * in[i] is NULL for an absent optional input. An update's state is its dt_update, passed as in[0]. An output may be the same
 * memory as an input only where dt_op_in_place allows it. Returns 0, or non-zero when the device failed (the step is
 * lost). */
typedef struct dt_kernel {
    int (*run)(void *state, void *const *in, void *const *out, void *scratch);
    void (*release)(void *state); /* NULL: nothing to release */
    void *state;
    size_t scratch_bytes; /* DT_ALIGN-aligned, contents undefined, shared by all kernels of a program */
    char note[48];        /* which implementation: "oneDNN jit:avx2", "fused avx2", "reference" */
    bool fallback;        /* the device had no kernel of its own */
} dt_kernel;

typedef enum dt_precision { DT_F32, DT_F64 } dt_precision; /* DT_F64: reference only */

typedef struct dt_device_options {
    int threads; /* 0: all cores this process may use */
    dt_precision precision;
    dt_isa isa_limit; /* for tests: no better than this; DT_ISA_AVX512: no limit */
    bool isa_limited;
} dt_device_options;

typedef struct dt_device dt_device; /* starts with `const dt_device_api *api;` */

typedef struct dt_device_api {
    const char *name, *help;
    duet_status (*open)(const dt_device_options *options, dt_device **out, duet_error *err);
    void (*close)(dt_device *d); /* NULL is fine */
    duet_status (*kernel)(dt_device *d, const dt_op *op, dt_kernel *out, duet_error *err);
    duet_status (*slab)(dt_device *d, size_t bytes, void **out, duet_error *err); /* zeroed, DT_ALIGN-aligned */
    void (*release)(dt_device *d, void *slab);
    void (*upload)(dt_device *d, void *to, const void *from, size_t bytes);
    void (*download)(dt_device *d, void *to, const void *from, size_t bytes);
    /* For the head of a run and environment.json: "cpu avx2, 2 threads, oneDNN 2.6.3". */
    void (*describe)(const dt_device *d, char *text, size_t bytes);
} dt_device_api;

struct dt_device {
    const dt_device_api *api;
    dt_precision precision;
    int threads;
};

extern const dt_device_api dt_device_reference, dt_device_cpu;
/* The device of that name, or NULL with a message that lists the names. */
const dt_device_api *dt_device_find(const char *name, duet_error *err);
const dt_device_api *const *dt_device_all(size_t *n);

/* Describes node x of g as an operation. */
void dt_op_describe(const dt_graph *g, dt_node x, dt_op *out);
/* May output 0 use the memory of input i (same size, dying there)? True for element-wise kernels that read each element
 * before they write it. Every device keeps this promise. */
bool dt_op_in_place(dt_kind kind, int input);
/* Multiply-adds of an operation, padding counted, and the bytes it must move at least, in float32: for plans and
 * floors. UPDATE counts 0 bytes here, its blocks are not among its shapes. */
double dt_op_macs(const dt_op *op);
double dt_op_bytes(const dt_op *op);

#endif
