/* The state that training changes: every network's weights, buffers, gradients and what its optimiser keeps, as flat blocks.
 *
 *     weights    [ conv1.weight | bn1.weight | bn1.bias | ... ]     one block a network, so that the optimiser is one pass;
 *     momentum   [     ...      |    ...     |    ...   | ... ]     the same offsets in all six, each tensor on a
 *     gradients  [     ...      |    ...     |    ...   | ... ]     DT_ALIGN boundary, zeros between
 *     second     [     ...      |    ...     |    ...   | ... ]     of adam: mean squares of gradients
 *     average    [     ...      |    ...     |    ...   | ... ]     of the weights, where the rule asks for it
 *     sum        [     ...      |    ...     |    ...   | ... ]     of gradients, where several runs make an update
 *     buffers    [ bn1.running_mean | bn1.running_var | ... ] */
#include "program/program_impl.h"

#include <string.h>

static size_t aligned_reals(const dt_device *d, size_t count)
{
    const size_t step = DT_ALIGN / dt_real_bytes(d);
    return (count + step - 1) / step * step;
}

static duet_status describe_network(dt_state *s, const dt_graph *g, int network, const char *name, duet_error *err)
{
    dt_network_state *n = &s->networks[network];
    size_t count = 0;
    for (size_t i = 0; i < g->n_parameters; i++) count += g->parameters[i].network == network;
    n->name = dt_arena_strdup(&s->arena, name);
    n->tensors = dt_arena_alloc(&s->arena, count ? count : 1, sizeof *n->tensors);
    if (!n->name || !n->tensors) return dt_fail(err, DUET_MEMORY, "no memory to describe network '%s'", name);
    for (size_t i = 0; i < g->n_parameters; i++) {
        const dt_parameter *p = &g->parameters[i];
        if (p->network != network) continue;
        size_t *end = p->trained ? &n->n_weights : &n->n_buffers;
        dt_tensor *t = &n->tensors[n->n_tensors++];
        *t = (dt_tensor){.name = dt_arena_strdup(&s->arena, p->name), .shape = dt_shape_of(g, p->node), .rank = p->rank, .trained = p->trained,
                         .init = p->init, .amount = p->amount, .lr_scale = 1, .offset = *end, .count = dt_shape_count(dt_shape_of(g, p->node))};
        if (!t->name) return dt_fail(err, DUET_MEMORY, "no memory to describe network '%s'", name);
        *end += aligned_reals(s->device, t->count);
    }
    return DUET_OK;
}

static duet_status allocate_network(dt_state *s, dt_network_state *n, duet_error *err)
{
    const struct { void **block; size_t reals; } blocks[] = {
        {&n->weights, n->n_weights}, {&n->momentum, n->n_weights}, {&n->gradients, n->n_weights}, {&n->buffers, n->n_buffers}};
    for (size_t i = 0; i < DT_COUNT(blocks); i++)
        DT_TRY(s->device->api->slab(s->device, (blocks[i].reals ? blocks[i].reals : 1) * dt_real_bytes(s->device), blocks[i].block, err));
    n->update = (dt_update){.weight = n->weights, .momentum = n->momentum, .gradient = n->gradients, .n = n->n_weights};
    return DUET_OK;
}

duet_status dt_state_create(dt_device *d, const dt_graph *g, const char *const *names, int n_networks, dt_state **out, duet_error *err)
{
    dt_state *s = dt_alloc(1, sizeof *s);
    if (!s) return dt_fail(err, DUET_MEMORY, "no memory for the state of %d networks", n_networks);
    s->device = d;
    s->n_networks = n_networks;
    s->networks = dt_arena_alloc(&s->arena, (size_t)n_networks, sizeof *s->networks);
    duet_status st = s->networks ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for the state of %d networks", n_networks);
    for (int i = 0; !st && i < n_networks; i++) {
        st = describe_network(s, g, i, names[i], err);
        if (!st) st = allocate_network(s, &s->networks[i], err);
        if (st) dt_context(err, "network '%s'", names[i]);
    }
    if (st) {
        dt_state_destroy(s);
        return st;
    }
    *out = s;
    return DUET_OK;
}

void dt_state_destroy(dt_state *s)
{
    if (!s) return;
    for (int i = 0; s->networks && i < s->n_networks; i++) {
        dt_network_state *n = &s->networks[i];
        void *const blocks[] = {n->weights, n->momentum, n->gradients, n->buffers, n->second, n->average, n->sum};
        for (size_t k = 0; k < DT_COUNT(blocks); k++)
            if (blocks[k]) s->device->api->release(s->device, blocks[k]);
    }
    dt_arena_release(&s->arena);
    dt_free(s->averaged);
    dt_free(s);
}

/* ---- how networks learn --------------------------------------------------------------------------------------- */

/* Doubles pass through a small buffer, and so does what is copied within a device: no allocation, whatever the size. */
enum { PIECE = 512 };

/* from NULL: zeros. */
static void fill_block(dt_device *d, void *to, void *from, size_t reals)
{
    double piece[PIECE] = {0};
    const size_t bytes = reals * dt_real_bytes(d);
    for (size_t i = 0; i < bytes; i += sizeof piece) {
        const size_t n = bytes - i < sizeof piece ? bytes - i : sizeof piece;
        if (from) d->api->download(d, piece, (const char *)from + i, n);
        d->api->upload(d, (char *)to + i, piece, n);
    }
}

void dt_state_restart(dt_state *s, int network)
{
    dt_network_state *n = &s->networks[network];
    fill_block(s->device, n->momentum, NULL, n->n_weights);
    if (n->second) fill_block(s->device, n->second, NULL, n->n_weights);
    if (n->average) fill_block(s->device, n->average, n->weights, n->n_weights);
    n->update.updates = 0;
    n->update.summed = 0;
}

static duet_status optional_block(dt_state *s, const dt_network_state *n, bool wanted, void **block, duet_error *err)
{
    if (!wanted || *block) return DUET_OK;
    return s->device->api->slab(s->device, (n->n_weights ? n->n_weights : 1) * dt_real_bytes(s->device), block, err);
}

/* Room for the view of dt_state_averaged, which fills it. */
static duet_status make_averaged(dt_state *s, duet_error *err)
{
    if (s->averaged) return DUET_OK;
    dt_network_state *networks = dt_arena_alloc(&s->arena, (size_t)s->n_networks, sizeof *networks);
    dt_state *view = networks ? dt_alloc(1, sizeof *view) : NULL;
    if (!view) return dt_fail(err, DUET_MEMORY, "no memory for the averaged weights");
    *view = (dt_state){.device = s->device, .networks = networks, .n_networks = s->n_networks};
    s->averaged = view;
    return DUET_OK;
}

/* Runs of trained tensors with one learning rate; none where all have the network's own. */
static duet_status group_by_rate(dt_state *s, dt_network_state *n, duet_error *err)
{
    dt_update_group *groups = dt_arena_alloc(&s->arena, n->n_tensors ? n->n_tensors : 1, sizeof *groups);
    size_t n_groups = 0;
    if (!groups) return dt_fail(err, DUET_MEMORY, "no memory for learning rates of network '%s'", n->name);
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_tensor *t = &n->tensors[i];
        if (!t->trained) continue;
        if (!n_groups || groups[n_groups - 1].lr_scale != t->lr_scale) groups[n_groups++].lr_scale = t->lr_scale;
        groups[n_groups - 1].end = t->offset + aligned_reals(s->device, t->count);
    }
    const bool all_alike = n_groups == 0 || (n_groups == 1 && groups[0].lr_scale == 1);
    n->update.groups = all_alike ? NULL : groups;
    n->update.n_groups = all_alike ? 0 : n_groups;
    return DUET_OK;
}

duet_status dt_state_learn_by(dt_state *s, int network, const dt_update_rule *rule, duet_error *err)
{
    dt_network_state *n = &s->networks[network];
    duet_status st = optional_block(s, n, rule->optimiser != DT_SGD, &n->second, err);
    if (!st) st = optional_block(s, n, rule->ema > 0, &n->average, err);
    if (!st) st = optional_block(s, n, rule->batches > 1, &n->sum, err);
    if (!st && n->average) st = make_averaged(s, err);
    if (st) {
        dt_context(err, "network '%s'", n->name);
        return st;
    }
    n->update.rule = *rule;
    n->update.second = rule->optimiser == DT_SGD ? NULL : n->second;
    n->update.average = rule->ema > 0 ? n->average : NULL;
    n->update.sum = rule->batches > 1 ? n->sum : NULL;
    n->update.summed = 0;
    return group_by_rate(s, n, err);
}

dt_state *dt_state_averaged(dt_state *s)
{
    if (!s->averaged) return NULL;
    for (int i = 0; i < s->n_networks; i++) {
        dt_network_state *n = &s->averaged->networks[i];
        *n = s->networks[i];
        if (n->average) n->weights = n->average;
        n->update = (dt_update){0};
    }
    return s->averaged;
}

/* ---- initial values ------------------------------------------------------------------------------------------ */

static void draw(const dt_tensor *t, dt_rng *r, float *to)
{
    for (size_t i = 0; i < t->count; i++) {
        switch (t->init) {
        case DT_INIT_ZERO: to[i] = 0; break;
        case DT_INIT_ONE: to[i] = 1; break;
        case DT_INIT_NORMAL: to[i] = (float)t->amount * dt_rng_normal(r); break;
        case DT_INIT_UNIFORM: to[i] = (float)t->amount * (2 * dt_rng_uniform(r) - 1); break;
        }
    }
}

duet_status dt_state_initialise(dt_state *s, int network, uint64_t seed, duet_error *err)
{
    dt_network_state *n = &s->networks[network];
    size_t largest = 1;
    for (size_t i = 0; i < n->n_tensors; i++)
        if (n->tensors[i].count > largest) largest = n->tensors[i].count;
    float *values = dt_alloc(largest, sizeof *values);
    if (!values) return dt_fail(err, DUET_MEMORY, "no memory to initialise network '%s'", n->name);
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_tensor *t = &n->tensors[i];
        dt_rng r = dt_rng_make(seed, DT_PURPOSE_INIT, (uint32_t)network, i);
        draw(t, &r, values);
        dt_state_write(s, network, t, values);
    }
    n->batches_tracked = 0;
    dt_state_restart(s, network);
    dt_free(values);
    return DUET_OK;
}

/* ---- single tensors ------------------------------------------------------------------------------------------ */

void dt_reals_upload(dt_device *d, void *to, const float *from, size_t count)
{
    if (d->precision == DT_F32) {
        d->api->upload(d, to, from, count * sizeof *from);
        return;
    }
    double piece[PIECE];
    for (size_t i = 0; i < count; i += PIECE) {
        const size_t n = count - i < PIECE ? count - i : PIECE;
        for (size_t k = 0; k < n; k++) piece[k] = from[i + k];
        d->api->upload(d, dt_real_at(d, to, i), piece, n * sizeof *piece);
    }
}

void dt_reals_download(dt_device *d, float *to, const void *from, size_t count)
{
    if (d->precision == DT_F32) {
        d->api->download(d, to, from, count * sizeof *to);
        return;
    }
    double piece[PIECE];
    for (size_t i = 0; i < count; i += PIECE) {
        const size_t n = count - i < PIECE ? count - i : PIECE;
        d->api->download(d, piece, (const char *)from + i * sizeof *piece, n * sizeof *piece);
        for (size_t k = 0; k < n; k++) to[i + k] = (float)piece[k];
    }
}

static void *tensor_memory(const dt_state *s, int network, const dt_tensor *t)
{
    const dt_network_state *n = &s->networks[network];
    return dt_real_at(s->device, t->trained ? n->weights : n->buffers, t->offset);
}

void dt_state_read(const dt_state *s, int network, const dt_tensor *t, float *to)
{
    dt_reals_download(s->device, to, tensor_memory(s, network, t), t->count);
}

void dt_state_write(dt_state *s, int network, const dt_tensor *t, const float *from)
{
    dt_reals_upload(s->device, tensor_memory(s, network, t), from, t->count);
}

static void *kept_block(const dt_state *s, int network, dt_kept k)
{
    const dt_network_state *n = &s->networks[network];
    return k == DT_KEPT_MOMENTUM ? n->momentum : k == DT_KEPT_SECOND ? n->second : n->average;
}

bool dt_state_keeps(const dt_state *s, int network, dt_kept k) { return kept_block(s, network, k) != NULL; }

void dt_state_read_kept(const dt_state *s, int network, dt_kept k, const dt_tensor *t, float *to)
{
    dt_reals_download(s->device, to, dt_real_at(s->device, kept_block(s, network, k), t->offset), t->count);
}

void dt_state_write_kept(dt_state *s, int network, dt_kept k, const dt_tensor *t, const float *from)
{
    dt_reals_upload(s->device, dt_real_at(s->device, kept_block(s, network, k), t->offset), from, t->count);
}

void dt_state_read_gradient(const dt_state *s, int network, const dt_tensor *t, float *to)
{
    dt_reals_download(s->device, to, dt_real_at(s->device, s->networks[network].gradients, t->offset), t->count);
}
