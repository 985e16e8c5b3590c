/* A program as people see it: what runs, on what, how many bytes; and where the time goes. */
#include "program/program_impl.h"

#include <stdlib.h>
#include <string.h>

static bool is_convolution(dt_kind kind)
{
    return kind == DT_OP_CONV || kind == DT_OP_CONV_GRAD_INPUT || kind == DT_OP_CONV_GRAD_WEIGHT;
}

/* oneDNN calls its plain loops "ref:any": 50 times slower, and easy to overlook. */
static bool is_slow_convolution(const dt_entry *e)
{
    return is_convolution(e->op.kind) && (e->kernel.fallback || strstr(e->kernel.note, "ref"));
}

/* An update's traffic is not in its shapes: it reads and writes every block that it has, but only reads gradients: for their
 * norm once more. Where several runs make an update, each of them reads gradients and their sum, and writes the sum; the last one updates from it. */
static double update_bytes(const dt_program *p, const dt_network_state *n)
{
    const dt_update *u = &n->update;
    const double passes = 5 + 2 * (u->second != NULL) + 2 * (u->average != NULL) + (u->rule.clip_norm > 0);
    const double collecting = u->sum ? 3 - 1.0 / u->rule.batches : 0; /* the first one only writes the sum */
    const double each = u->sum ? passes / u->rule.batches + collecting : passes;
    return each * (double)dt_real_bytes(p->device) * (double)n->n_weights;
}

static double entry_bytes(const dt_program *p, const dt_entry *e)
{
    if (e->op.kind == DT_OP_UPDATE) return update_bytes(p, &p->state->networks[e->op.a.update.network]);
    return dt_op_bytes(&e->op);
}

void dt_program_describe(const dt_program *p, dt_program_facts *out)
{
    dt_program_facts f = {.n_kernels = p->n_entries, .slab_bytes = p->placement.slab_bytes, .unshared_bytes = p->placement.total_bytes,
                          .scratch_bytes = p->scratch_bytes, .in_place = p->placement.in_place};
    for (size_t i = 0; i < p->n_entries; i++) {
        f.n_fallbacks += p->entries[i].kernel.fallback;
        f.n_ref_convolutions += is_slow_convolution(&p->entries[i]);
        f.macs += dt_op_macs(&p->entries[i].op);
        f.bytes += entry_bytes(p, &p->entries[i]);
    }
    for (int i = 0; i < p->state->n_networks; i++) {
        const dt_network_state *n = &p->state->networks[i];
        const size_t blocks = 3u + (n->second != NULL) + (n->average != NULL) + (n->sum != NULL);
        f.state_bytes += dt_real_bytes(p->device) * (blocks * n->n_weights + n->n_buffers);
    }
    *out = f;
}

static void short_shape(char *text, size_t bytes, dt_shape s)
{
    if (s.h == 1 && s.w == 1) snprintf(text, bytes, "%zux%zu", s.n, s.c);
    else snprintf(text, bytes, "%zux%zux%zux%zu", s.n, s.c, s.h, s.w);
}

/* What fusion made of an operation: "+residual +relu". */
static void extras(const dt_op *op, char *text, size_t bytes)
{
    const bool residual = op->kind == DT_OP_BN_APPLY && op->in[4].n, relu = op->kind == DT_OP_BN_APPLY && op->a.bn.activation;
    const bool mask = (op->kind == DT_OP_BN_GRAD_STATS && op->in[3].n) || (op->kind == DT_OP_BN_GRAD_INPUT && op->in[5].n);
    const bool group = op->kind == DT_OP_GROUP_NORM, group_grad = op->kind == DT_OP_GROUP_NORM_GRAD;
    const bool silu = (group || group_grad) && op->a.gn.silu;
    const bool add = (group && op->in[3].n) || (group_grad && op->in[5].n) || (op->kind == DT_OP_BN_STATS && op->in[1].n) || (op->kind == DT_OP_BN_GRAD_STATS && op->in[4].n) ||
                     (op->kind == DT_OP_BN_GRAD_INPUT && op->in[6].n);
    const char *activation = !relu ? "" : op->a.bn.activation == DT_ACTIVATION_RELU6 ? "+relu6" : "+relu";
    snprintf(text, bytes, "%s%s%s%s%s%s%s", is_convolution(op->kind) && op->a.conv.doubled ? "+x2" : "", residual ? "+residual" : "", activation,
             silu ? "+silu" : "", mask ? "+mask" : "", add ? "+add" : "", op->n_out > 1 && op->kind == DT_OP_BN_GRAD_STATS ? "+emit" : "");
}

static void print_entry(const dt_program *p, size_t i, dt_text *out)
{
    const dt_entry *e = &p->entries[i];
    const dt_graph_node *n = &p->graph->nodes[e->node];
    char shape[80], extra[64], kind[96];
    short_shape(shape, sizeof shape, e->op.out[0]);
    extras(&e->op, extra, sizeof extra);
    snprintf(kind, sizeof kind, "%s%s", dt_kind_name(e->op.kind), extra);
    dt_text_append(out, "%5zu  %-30s %-18s %9.0f kB  %-26s %s%s\n", i, kind, shape, entry_bytes(p, e) / 1024, e->kernel.note,
                   is_slow_convolution(e) ? "SLOW " : e->kernel.fallback ? "fallback " : "", n->name ? n->name : "");
}

static void print_segments(const dt_program *p, dt_text *out)
{
    const bool choice = p->segment[1] != p->n_entries; /* does anything belong to a variant? */
    for (int s = 0; s < p->n_segments; s++) {
        if (choice) dt_text_append(out, s == 0 ? "common part:\n" : "variant %d:\n", s - 1);
        for (size_t i = p->segment[s]; i < p->segment[s + 1]; i++) print_entry(p, i, out);
    }
}

void dt_program_print(const dt_program *p, dt_text *out)
{
    const double mib = 1024 * 1024;
    dt_program_facts f;
    dt_program_describe(p, &f);
    dt_text_append(out, "    #  %-30s %-18s %12s  %-26s %s\n", "operation", "result", "traffic", "implementation", "name");
    print_segments(p, out);
    const dt_graph *g = p->graph;
    dt_text_append(out, "\n%zu kernels, %.2f GFLOP, at least %.1f MiB of memory traffic\n", f.n_kernels, 2 * f.macs / 1e9, f.bytes / mib);
    dt_text_append(out, "memory: %.1f MiB slab for values (%.1f MiB without sharing; %d values in place), %.1f MiB scratch, %.1f MiB state\n",
                   (double)f.slab_bytes / mib, (double)f.unshared_bytes / mib, f.in_place, (double)f.scratch_bytes / mib, (double)f.state_bytes / mib);
    dt_text_append(out, "fused: %d batch norm + ReLU, %d batch norm + addition, %d statistics of a sum; backward: %d masks inside, %d masks emitted, "
                        "%d additions inside; %d operations shared, %d removed\n",
                   g->fused.bn_relu, g->fused.bn_residual, g->fused.bn_stats_add, g->fused.bn_grad_relu, g->fused.bn_grad_emit, g->fused.bn_grad_add,
                   g->fused.shared, g->fused.removed);
    if (g->fused.gn_silu || g->fused.gn_add)
        dt_text_append(out, "fused: %d group norm + SiLU, %d of them in the backward pass too, %d group norms of a sum\n", g->fused.gn_silu,
                       g->fused.gn_grad_silu, g->fused.gn_add);
    if (g->fused.conv_upsample) dt_text_append(out, "fused: %d convolutions and gradients that read or write an upsampled map small\n", g->fused.conv_upsample);
    if (f.n_fallbacks) dt_text_append(out, "note: %zu kernels fall back to the reference implementation\n", f.n_fallbacks);
    if (f.n_ref_convolutions)
        dt_text_append(out, "WARNING: %zu convolutions run on a reference implementation, about 50 times slower than they could; see SLOW above\n",
                       f.n_ref_convolutions);
}

/* ---- profile ------------------------------------------------------------------------------------------------- */

typedef struct row {
    char what[128];
    double seconds, bytes, macs;
    size_t n;
} row;

static int slowest_first(const void *a, const void *b)
{
    const double x = ((const row *)a)->seconds, y = ((const row *)b)->seconds;
    return (x < y) - (x > y);
}

static row *find_row(row *rows, size_t *n, const dt_entry *e)
{
    char extra[64], what[128];
    extras(&e->op, extra, sizeof extra);
    snprintf(what, sizeof what, "%s%s, %s", dt_kind_name(e->op.kind), extra, e->kernel.note);
    for (size_t i = 0; i < *n; i++)
        if (!strcmp(rows[i].what, what)) return &rows[i];
    row *r = &rows[(*n)++];
    memcpy(r->what, what, sizeof what);
    return r;
}

duet_status dt_program_profile(dt_program *p, int runs, dt_text *out, duet_error *err)
{
    row *rows = dt_alloc(p->n_entries + 1, sizeof *rows);
    if (!rows) return dt_fail(err, DUET_MEMORY, "no memory for a profile");
    size_t n = 0;
    duet_status st = DUET_OK;
    double total = 0;
    for (int r = 0; r < runs && !st; r++) {
        for (size_t i = 0; i < p->n_entries && !st; i++) {
            dt_entry *e = &p->entries[i];
            row *at = find_row(rows, &n, e);
            const double from = dt_now_s();
            const int code = e->kernel.run(e->kernel.state, e->in, e->out, p->scratch);
            const double seconds = dt_now_s() - from;
            if (code) st = dt_program_failed(p, e, code, err);
            at->seconds += seconds;
            at->bytes += entry_bytes(p, e);
            at->macs += dt_op_macs(&e->op);
            at->n++;
            total += seconds;
        }
    }
    if (!st) {
        qsort(rows, n, sizeof *rows, slowest_first);
        dt_text_append(out, "%9s %6s %6s %9s %7s  %s\n", "ms/run", "share", "calls", "GFLOP/s", "GB/s", "operation, implementation");
        for (size_t i = 0; i < n; i++)
            dt_text_append(out, "%9.3f %5.1f%% %6zu %9.1f %7.1f  %s\n", 1e3 * rows[i].seconds / runs, 100 * rows[i].seconds / total, rows[i].n / (size_t)runs,
                           2e-9 * rows[i].macs / rows[i].seconds, 1e-9 * rows[i].bytes / rows[i].seconds, rows[i].what);
        dt_text_append(out, "%9.3f ms a run, all segments\n", 1e3 * total / runs);
    }
    dt_free(rows);
    return st;
}
