/* Graph + device + state -> a flat list of kernels with addresses; and running it.
 *
 * Everything is decided here, once: fusion, placement, the kernel of each operation, the address of each argument. The list
 * is cut into segments, the common part and one for each variant; the order of the graph has them one after the other. */
#include "program/program_impl.h"

#include <string.h>

/* ---- gradients ----------------------------------------------------------------------------------------------- */

void dt_program_gradient(dt_graph *g, dt_node parameter, dt_node gradient)
{
    if (g->error.status || parameter == DT_NONE) return;
    const dt_shape shape = dt_shape_of(g, parameter);
    if (gradient == DT_NONE) /* the loss does not depend on it: zero, or an older gradient would be used again */
        gradient = dt_broadcast(g, dt_constant(g, 0), shape);
    if (gradient == DT_NONE) return;
    dt_node storage = dt_storage_of(g, gradient);
    const dt_graph_node *n = &g->nodes[storage];
    const bool owned = n->kind == DT_OP_INPUT || n->kind == DT_OP_PARAMETER || n->kind == DT_OP_CONSTANT || n->gradient_of >= 0;
    if (owned || n->variant != g->variant) { /* somebody else's memory: a copy of its own */
        storage = dt_affine(g, gradient, 1, 0);
        if (storage == DT_NONE) return;
    }
    g->nodes[storage].gradient_of = g->nodes[parameter].parameter;
}

/* ---- memory outside the slab --------------------------------------------------------------------------------- */

static const dt_tensor *find_tensor(const dt_network_state *n, const char *name)
{
    for (size_t i = 0; i < n->n_tensors; i++)
        if (!strcmp(n->tensors[i].name, name)) return &n->tensors[i];
    return NULL;
}

/* Each parameter of the graph has its tensor in the state, with the same shape. */
static duet_status bind_parameters(dt_program *p, void **gradient_memory, duet_error *err)
{
    const dt_graph *g = p->graph;
    for (size_t i = 0; i < g->n_parameters; i++) {
        const dt_parameter *q = &g->parameters[i];
        if (q->network < 0 || q->network >= p->state->n_networks) DT_BUG("parameter %s of network %d", q->name, q->network);
        const dt_network_state *n = &p->state->networks[q->network];
        const dt_tensor *t = find_tensor(n, q->name);
        if (!t || !dt_shape_equal(t->shape, dt_shape_of(g, q->node)))
            return dt_fail(err, DUET_SHAPE, "network '%s' has no tensor %s of the shape the program needs", n->name, q->name);
        p->outside[q->node] = dt_real_at(p->device, t->trained ? n->weights : n->buffers, t->offset);
        gradient_memory[i] = t->trained ? dt_real_at(p->device, n->gradients, t->offset) : NULL;
    }
    for (size_t x = 0; x < g->n_nodes; x++)
        if (!g->nodes[x].dead && g->nodes[x].gradient_of >= 0) p->outside[x] = gradient_memory[g->nodes[x].gradient_of];
    return DUET_OK;
}

static bool is_given(const dt_graph_node *n)
{
    return n->kind == DT_OP_INPUT || n->kind == DT_OP_CONSTANT;
}

static size_t given_bytes(const dt_program *p, const dt_graph_node *n)
{
    const size_t bytes = dt_shape_count(n->shape) * (n->type == DT_INDEX ? sizeof(int32_t) : dt_real_bytes(p->device));
    return (bytes + DT_ALIGN - 1) / DT_ALIGN * DT_ALIGN;
}

/* One block for all inputs, also those that fusion found unused (writing them must stay harmless), and all constants. */
static duet_status bind_inputs(dt_program *p, duet_error *err)
{
    const dt_graph *g = p->graph;
    for (size_t x = 0; x < g->n_nodes; x++)
        if (is_given(&g->nodes[x])) p->input_bytes += given_bytes(p, &g->nodes[x]);
    DT_TRY(p->device->api->slab(p->device, p->input_bytes ? p->input_bytes : DT_ALIGN, &p->inputs, err));
    char *at = p->inputs;
    for (size_t x = 0; x < g->n_nodes; x++) {
        const dt_graph_node *n = &g->nodes[x];
        if (!is_given(n)) continue;
        p->outside[x] = at;
        at += given_bytes(p, n);
        const float value = (float)n->a.real;
        const double exact = n->a.real;
        if (n->kind != DT_OP_CONSTANT) continue;
        p->device->api->upload(p->device, p->outside[x], p->device->precision == DT_F64 ? (const void *)&exact : (const void *)&value, dt_real_bytes(p->device));
    }
    return DUET_OK;
}

void *dt_program_address(const dt_program *p, dt_node x)
{
    const dt_node storage = dt_storage_of(p->graph, x);
    if (p->outside[storage]) return p->outside[storage];
    const size_t offset = p->placement.offset[storage];
    return offset == DT_OUTSIDE ? NULL : (char *)p->slab + offset;
}

/* ---- kernels ------------------------------------------------------------------------------------------------- */

static bool is_executed(dt_kind kind)
{
    return kind != DT_OP_INPUT && kind != DT_OP_PARAMETER && kind != DT_OP_CONSTANT && kind != DT_OP_PART && kind != DT_OP_RESHAPE &&
           kind != DT_OP_DETACH;
}

static duet_status make_entry(dt_program *p, dt_node x, const dt_node *part, dt_entry *e, duet_error *err)
{
    const dt_graph_node *n = &p->graph->nodes[x];
    char title[160];
    e->node = x;
    dt_op_describe(p->graph, x, &e->op);
    duet_status st = p->device->api->kernel(p->device, &e->op, &e->kernel, err);
    if (st) {
        snprintf(title, sizeof title, "%s", n->name ? n->name : dt_kind_name(n->kind));
        dt_context(err, "%s", title);
        return st;
    }
    for (int k = 0; k < n->n_in; k++) e->in[k] = n->in[k] == DT_NONE ? NULL : dt_program_address(p, n->in[k]);
    if (n->kind == DT_OP_UPDATE) e->in[0] = &p->state->networks[n->a.update.network].update;
    e->out[0] = dt_program_address(p, x);
    e->out[1] = part[x] == DT_NONE ? NULL : dt_program_address(p, part[x]);
    if (e->kernel.scratch_bytes > p->scratch_bytes) p->scratch_bytes = e->kernel.scratch_bytes;
    return DUET_OK;
}

static duet_status make_entries(dt_program *p, duet_error *err)
{
    const dt_graph *g = p->graph;
    duet_status st = DUET_OK;
    dt_node *part = dt_alloc(g->n_nodes, sizeof *part); /* the second output of a node */
    p->entries = dt_alloc(g->n_order ? g->n_order : 1, sizeof *p->entries);
    if (!part || !p->entries) {
        st = dt_fail(err, DUET_MEMORY, "no memory for a program of %zu kernels", g->n_order);
        goto done;
    }
    for (size_t i = 0; i < g->n_nodes; i++) part[i] = DT_NONE;
    for (size_t i = 0; i < g->n_order; i++)
        if (g->nodes[g->order[i]].kind == DT_OP_PART) part[g->nodes[g->order[i]].in[0]] = g->order[i];
    int segment = 0;
    for (size_t i = 0; i < g->n_order && !st; i++) {
        const dt_graph_node *n = &g->nodes[g->order[i]];
        while (segment < n->variant + 1) p->segment[++segment] = p->n_entries;
        if (!is_executed(n->kind)) continue;
        st = make_entry(p, g->order[i], part, &p->entries[p->n_entries], err);
        if (!st) p->n_entries++;
    }
    while (segment < p->n_segments) p->segment[++segment] = p->n_entries;
done:
    dt_free(part);
    return st;
}

static duet_status place(dt_program *p, const dt_program_spec *spec, duet_error *err)
{
    const dt_graph *g = p->graph;
    bool *external = dt_alloc(g->n_nodes, sizeof *external);
    if (!external) return dt_fail(err, DUET_MEMORY, "no memory to place %zu values", g->n_nodes);
    for (size_t x = 0; x < g->n_nodes; x++) external[x] = p->outside[x] != NULL;
    duet_status st = dt_place(p->graph, dt_op_in_place, external, spec->outputs, spec->n_outputs, dt_real_bytes(p->device), &p->placement, err);
    dt_free(external);
    if (st) return st;
    return p->device->api->slab(p->device, p->placement.slab_bytes ? p->placement.slab_bytes : DT_ALIGN, &p->slab, err);
}

static duet_status compile(dt_program *p, const dt_program_spec *spec, duet_error *err)
{
    dt_graph *g = p->graph;
    dt_fuse(g, spec->outputs, spec->n_outputs, !spec->no_fusion);
    DT_TRY(dt_graph_check(g, err));
    p->n_segments = spec->n_variants + 1;
    p->outside = dt_alloc(g->n_nodes ? g->n_nodes : 1, sizeof *p->outside);
    p->segment = dt_alloc((size_t)p->n_segments + 1, sizeof *p->segment);
    void **gradient_memory = dt_alloc(g->n_parameters ? g->n_parameters : 1, sizeof *gradient_memory);
    duet_status st = p->outside && p->segment && gradient_memory ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for a program of %zu nodes", g->n_nodes);
    if (!st) st = bind_parameters(p, gradient_memory, err);
    dt_free(gradient_memory);
    if (!st) st = bind_inputs(p, err);
    if (!st) st = place(p, spec, err);
    if (!st) st = make_entries(p, err);
    if (!st) st = p->device->api->slab(p->device, p->scratch_bytes ? p->scratch_bytes : DT_ALIGN, &p->scratch, err);
    return st;
}

duet_status dt_program_compile(const dt_program_spec *spec, dt_program **out, duet_error *err)
{
    DT_TRY(dt_graph_check(spec->graph, err));
    dt_program *p = dt_alloc(1, sizeof *p);
    if (!p) return dt_fail(err, DUET_MEMORY, "no memory for a program");
    p->graph = spec->graph;
    p->state = spec->state;
    p->device = spec->state->device;
    duet_status st = compile(p, spec, err);
    if (st) {
        dt_program_destroy(p);
        return st;
    }
    *out = p;
    return DUET_OK;
}

void dt_program_destroy(dt_program *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->n_entries; i++)
        if (p->entries[i].kernel.release) p->entries[i].kernel.release(p->entries[i].kernel.state);
    void *const slabs[] = {p->inputs, p->slab, p->scratch};
    for (size_t i = 0; i < DT_COUNT(slabs); i++)
        if (slabs[i]) p->device->api->release(p->device, slabs[i]);
    dt_placement_release(&p->placement);
    dt_free(p->entries);
    dt_free(p->segment);
    dt_free(p->outside);
    dt_free(p);
}

/* ---- running ------------------------------------------------------------------------------------------------- */

void dt_program_write(dt_program *p, dt_node input, const void *from, size_t count)
{
    const dt_graph_node *n = &p->graph->nodes[input];
    if (n->kind != DT_OP_INPUT || count != dt_shape_count(n->shape)) DT_BUG("%s: not an input of %zu elements", n->name ? n->name : "?", count);
    if (n->type == DT_INDEX) p->device->api->upload(p->device, p->outside[input], from, count * sizeof(int32_t));
    else dt_reals_upload(p->device, p->outside[input], from, count);
}

duet_status dt_program_failed(const dt_program *p, const dt_entry *e, int code, duet_error *err)
{
    const dt_graph_node *n = &p->graph->nodes[e->node];
    return dt_fail(err, DUET_DEVICE, "%s: kernel '%s' of %s failed with code %d", p->device->api->name, e->kernel.note, n->name ? n->name : dt_kind_name(n->kind), code);
}

duet_status dt_program_run(dt_program *p, int variant, duet_error *err)
{
    const int s = variant + 1;
    if (s < 0 || s >= p->n_segments) DT_BUG("a program of %d segments has no variant %d", p->n_segments, variant);
    for (size_t i = p->segment[s]; i < p->segment[s + 1]; i++) {
        dt_entry *e = &p->entries[i];
        const int code = e->kernel.run(e->kernel.state, e->in, e->out, p->scratch);
        if (code) return dt_program_failed(p, e, code, err);
    }
    return DUET_OK;
}

void dt_program_read(const dt_program *p, dt_node output, float *to, size_t count)
{
    const void *from = dt_program_address(p, output);
    if (!from || count != dt_shape_count(dt_shape_of(p->graph, output))) DT_BUG("node %d: not an output of %zu elements", (int)output, count);
    dt_reals_download(p->device, to, from, count);
}

float dt_program_scalar(const dt_program *p, dt_node output)
{
    float value;
    dt_program_read(p, output, &value, 1);
    return value;
}
