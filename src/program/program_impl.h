/* What the files of src/program share. */
#ifndef DT_PROGRAM_IMPL_H
#define DT_PROGRAM_IMPL_H

#include "program/program.h"

/* One kernel of the list, with the addresses it works on. */
typedef struct dt_entry {
    dt_kernel kernel;
    dt_op op;
    void *in[DT_MAX_INPUTS], *out[2];
    dt_node node;
} dt_entry;

struct dt_program {
    dt_graph *graph;
    dt_state *state;
    dt_device *device;
    dt_entry *entries;
    size_t n_entries;
    size_t *segment;        /* segment s is entries[segment[s] .. segment[s+1]) */
    int n_segments;
    dt_placement placement;
    void *slab, *scratch;
    void **outside;         /* [n_nodes]: memory of inputs, constants, parameters and gradients; NULL: in the slab */
    void *inputs;           /* one block that `outside` points into */
    size_t input_bytes, scratch_bytes;
};

/* The memory of a value. */
void *dt_program_address(const dt_program *p, dt_node x);

/* The error of a kernel that returned `code`. */
duet_status dt_program_failed(const dt_program *p, const dt_entry *e, int code, duet_error *err);

/* f32 of the caller <-> reals of the device; count elements. */
void dt_reals_upload(dt_device *d, void *to, const float *from, size_t count);
void dt_reals_download(dt_device *d, float *to, const void *from, size_t count);
static inline size_t dt_real_bytes(const dt_device *d) { return d->precision == DT_F64 ? 8 : 4; }
static inline void *dt_real_at(const dt_device *d, void *block, size_t offset) { return (char *)block + offset * dt_real_bytes(d); }

#endif
