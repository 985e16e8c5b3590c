/* One network and one safetensors file, under PyTorch's names.
 *
 * Our state holds one count of tracked batches per network; PyTorch's file holds one per batch norm, right after its
 * running_var. Everything else is tensor by tensor, in the order of the graph, which is the order of a state_dict.
 * Reading checks every name, shape and type before the first byte is written into the state. */
#include "train_impl.h"

#include <math.h>
#include <string.h>

static const char variance_suffix[] = "running_var";
static const char tracked_name[] = "num_batches_tracked";

/* ---- shared with the checkpoint -------------------------------------------------------------------------------- */

void dt_tensor_file_shape(const dt_tensor *t, size_t out[4])
{
    const size_t logical[4] = {t->shape.n, t->shape.c, t->shape.h, t->shape.w};
    if (t->rank == 1) out[0] = t->shape.c; /* a vector is [1, c, 1, 1] */
    else
        for (int i = 0; i < t->rank; i++) out[i] = logical[i];
}

size_t dt_network_largest_tensor(const dt_network_state *n)
{
    size_t largest = 1;
    for (size_t i = 0; i < n->n_tensors; i++)
        if (n->tensors[i].count > largest) largest = n->tensors[i].count;
    return largest;
}

duet_status dt_check_finite(const char *network, const char *tensor, const float *values, size_t n, duet_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return dt_fail(err, DUET_NUMERIC,
                           "%s: value %zu of %s is %g, so these weights are not saved; files written "
                           "before are as they were: resume from them with a smaller train.lr",
                           network, i, tensor, (double)values[i]);
    return DUET_OK;
}

const char *dt_file_shape_text(int rank, const size_t *shape, char text[96])
{
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < rank && at < 80; i++) at += (size_t)snprintf(text + at, 96 - at, i ? ", %zu" : "%zu", shape[i]);
    snprintf(text + (at < 94 ? at : 94), 2, "]");
    return text;
}

duet_status dt_check_saved(const dt_saved_tensor *found, const dt_tensor *t, duet_error *err)
{
    size_t want[4];
    char want_text[96], found_text[96];
    dt_tensor_file_shape(t, want);
    if (found->element != DT_ELEMENT_F32)
        return dt_fail(err, DUET_FORMAT, "tensor %s is of type %s; F32 is accepted", t->name, found->element_name);
    if (found->rank != t->rank || memcmp(found->shape, want, (size_t)t->rank * sizeof *want) != 0)
        return dt_fail(err, DUET_SHAPE, "tensor %s is %s; the network needs %s", t->name,
                       dt_file_shape_text(found->rank, found->shape, found_text),
                       dt_file_shape_text(t->rank, want, want_text));
    return DUET_OK;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

/* "bn1.running_var" -> "bn1.num_batches_tracked" in out; false for every other tensor. */
static bool tracked_beside(const char *name, char *out, size_t bytes)
{
    const size_t n = strlen(name), suffix = sizeof variance_suffix - 1;
    if (n < suffix || strcmp(name + n - suffix, variance_suffix) != 0) return false;
    const int written = snprintf(out, bytes, "%.*s%s", (int)(n - suffix), name, tracked_name);
    if (written < 0 || (size_t)written >= bytes) DT_BUG("name of a tensor is too long: %s", name);
    return true;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static void declare(dt_saver *out, const dt_network_state *n)
{
    char tracked[256];
    for (size_t i = 0; i < n->n_tensors; i++) {
        size_t shape[4];
        dt_tensor_file_shape(&n->tensors[i], shape);
        dt_saver_declare(out, n->tensors[i].name, DT_ELEMENT_F32, n->tensors[i].rank, shape);
        if (tracked_beside(n->tensors[i].name, tracked, sizeof tracked))
            dt_saver_declare(out, tracked, DT_ELEMENT_I64, 0, NULL);
    }
}

static duet_status write_tensors(const dt_state *s, int network, dt_saver *out, float *buffer, duet_error *err)
{
    const dt_network_state *n = &s->networks[network];
    char tracked[256];
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_tensor *t = &n->tensors[i];
        dt_state_read(s, network, t, buffer);
        DT_TRY(dt_check_finite(n->name, t->name, buffer, t->count, err));
        dt_saver_bytes(out, buffer, t->count * sizeof *buffer);
        if (tracked_beside(t->name, tracked, sizeof tracked))
            dt_saver_bytes(out, &n->batches_tracked, sizeof n->batches_tracked);
    }
    return DUET_OK;
}

duet_status dt_weights_save(const dt_state *s, int network, const char *path, const char *const *metadata,
                            size_t n_pairs, duet_error *err)
{
    const dt_network_state *n = &s->networks[network];
    float *buffer = dt_alloc(dt_network_largest_tensor(n), sizeof *buffer);
    if (!buffer) return dt_fail(err, DUET_MEMORY, "%s: no memory for writing weights", path);

    dt_saver *out = NULL;
    duet_status st = dt_saver_create(path, &out, err);
    if (st) goto done;
    for (size_t i = 0; i < n_pairs; i++) dt_saver_metadata(out, metadata[2 * i], metadata[2 * i + 1]);
    declare(out, n);
    st = write_tensors(s, network, out, buffer, err);
    if (st) dt_saver_abort(out);
    else st = dt_saver_commit(out, err);
done:
    dt_free(buffer);
    return st;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static duet_status check_tracked(const dt_saved *file, const char *name, int64_t *batches, duet_error *err)
{
    const dt_saved_tensor *found = dt_saved_find(file, name);
    int64_t value;
    if (!found) return dt_fail(err, DUET_FORMAT, "tensor %s is missing", name);
    if (found->element != DT_ELEMENT_I64 || found->n_bytes != sizeof value)
        return dt_fail(err, DUET_FORMAT, "tensor %s is of type %s with %zu bytes; one I64 is accepted", name,
                       found->element_name, found->n_bytes);
    memcpy(&value, found->bytes, sizeof value);
    if (value > *batches) *batches = value; /* some models track a shared batch norm twice: the largest count is kept */
    return DUET_OK;
}

/* A tensor of the file that the network has no place for; NULL: none. */
static const char *stranger(const dt_saved *file, const dt_network_state *n)
{
    char tracked[256];
    for (size_t i = 0; i < file->n_tensors; i++) {
        bool known = false;
        for (size_t j = 0; j < n->n_tensors && !known; j++) {
            const char *name = n->tensors[j].name;
            known = strcmp(name, file->tensors[i].name) == 0 ||
                    (tracked_beside(name, tracked, sizeof tracked) && strcmp(tracked, file->tensors[i].name) == 0);
        }
        if (!known) return file->tensors[i].name;
    }
    return NULL;
}

static duet_status check_all(const dt_saved *file, const dt_network_state *n, int64_t *batches, duet_error *err)
{
    char tracked[256];
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_saved_tensor *found = dt_saved_find(file, n->tensors[i].name);
        if (!found) return dt_fail(err, DUET_FORMAT, "tensor %s is missing", n->tensors[i].name);
        DT_TRY(dt_check_saved(found, &n->tensors[i], err));
        if (tracked_beside(n->tensors[i].name, tracked, sizeof tracked))
            DT_TRY(check_tracked(file, tracked, batches, err));
    }
    const char *extra = stranger(file, n);
    if (extra) return dt_fail(err, DUET_FORMAT, "tensor %s has no place in the network", extra);
    return DUET_OK;
}

/* "... (the file says it holds a resnet20)": the usual cause, said where it is known. */
static void blame_model(const dt_saved *file, duet_error *err)
{
    const char *model = dt_saved_metadata(file, "model");
    if (!err || !model) return;
    const size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, " (the file says it holds the weights of %s)", model);
}

duet_status dt_weights_load(dt_state *s, int network, const char *path, duet_error *err)
{
    dt_network_state *n = &s->networks[network];
    dt_saved *file = NULL;
    float *buffer = NULL;
    int64_t batches = 0;
    duet_status st = dt_saved_open(path, &file, err);
    if (st) return st;

    st = check_all(file, n, &batches, err);
    if (st) {
        blame_model(file, err);
        dt_context(err, "%s: weights for %s", path, n->name);
        goto done;
    }
    buffer = dt_alloc(dt_network_largest_tensor(n), sizeof *buffer);
    if (!buffer) {
        st = dt_fail(err, DUET_MEMORY, "%s: no memory for reading weights", path);
        goto done;
    }
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_tensor *t = &n->tensors[i];
        /* By way of the buffer, for the file's bytes may be unaligned. */
        memcpy(buffer, dt_saved_find(file, t->name)->bytes, t->count * sizeof *buffer);
        dt_state_write(s, network, t, buffer);
    }
    n->batches_tracked = batches;
    dt_state_restart(s, network);
done:
    dt_free(buffer);
    dt_saved_close(file);
    return st;
}
