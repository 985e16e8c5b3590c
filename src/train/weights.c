/* One network and one safetensors file, under PyTorch's names.
 *
 * Our state holds one count of tracked batches per network; PyTorch's file holds one per batch norm, right after its
 * running_var. Everything else is tensor by tensor, in the order of the graph, which is the order of a state_dict.
 * Reading checks every name, shape and type before the first byte is written into the state. A file may hold a part of the
 * network, most often its backbone, where the caller says so; and attention's layers may go by the names they had when the first
 * public diffusion networks were saved. */
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

/* What diffusers called attention's layers before 2023. */
static const char *const older_names[][2] = {
    {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."},
};

/* "x.to_q.weight" -> "x.query.weight" in out; false for a tensor that has one name only. */
static bool older_name(const char *name, char *out, size_t bytes)
{
    for (size_t i = 0; i < DT_COUNT(older_names); i++) {
        const char *at = strstr(name, older_names[i][0]);
        if (!at) continue;
        const int written = snprintf(out, bytes, "%.*s%s%s", (int)(at - name), name, older_names[i][1], at + strlen(older_names[i][0]));
        return written > 0 && (size_t)written < bytes;
    }
    return false;
}

/* The part of a name that a file of a part alone has: "backbone.conv1.weight" -> "conv1.weight"; NULL: there is none. */
static const char *name_alone(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? dot + 1 : NULL;
}

/* The tensor of the file that is meant by ours; part: the file may hold a part of the network under the part's own names. */
static const dt_saved_tensor *find(const dt_saved *file, const char *name, bool part)
{
    char older[256];
    const dt_saved_tensor *found = dt_saved_find(file, name);
    if (!found && older_name(name, older, sizeof older)) found = dt_saved_find(file, older);
    const char *alone = part ? name_alone(name) : NULL;
    return found || !alone ? found : find(file, alone, false);
}

/* Is the file's tensor this one, or the counter beside it? */
static bool is_named(const char *in_file, const char *name, bool part)
{
    char other[256];
    if (strcmp(in_file, name) == 0) return true;
    if (tracked_beside(name, other, sizeof other) && strcmp(in_file, other) == 0) return true;
    if (older_name(name, other, sizeof other) && strcmp(in_file, other) == 0) return true;
    const char *alone = part ? name_alone(name) : NULL;
    return alone && is_named(in_file, alone, false);
}

static bool has_place(const dt_network_state *n, const char *in_file, bool part)
{
    for (size_t i = 0; i < n->n_tensors; i++)
        if (is_named(in_file, n->tensors[i].name, part)) return true;
    return false;
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

/* As dt_check_saved, with the way out where it is only the classes that differ. */
static duet_status check_shape(const dt_saved_tensor *found, const dt_tensor *t, duet_error *err)
{
    const duet_status st = dt_check_saved(found, t, err);
    if (st != DUET_SHAPE || !t->head || !err) return st;
    const size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used,
             ": weights for other classes; with `init_head: new` beside `init` the last layer starts anew");
    return st;
}

/* The whole network, or all of it but its last layer. */
static duet_status check_all(const dt_saved *file, const dt_network_state *n, bool new_head, int64_t *batches, duet_error *err)
{
    char tracked[256];
    for (size_t i = 0; i < n->n_tensors; i++) {
        if (new_head && n->tensors[i].head) continue;
        const dt_saved_tensor *found = find(file, n->tensors[i].name, false);
        if (!found) return dt_fail(err, DUET_FORMAT, "tensor %s is missing", n->tensors[i].name);
        DT_TRY(check_shape(found, &n->tensors[i], err));
        if (tracked_beside(n->tensors[i].name, tracked, sizeof tracked))
            DT_TRY(check_tracked(file, tracked, batches, err));
    }
    for (size_t i = 0; i < file->n_tensors; i++)
        if (!has_place(n, file->tensors[i].name, false))
            return dt_fail(err, DUET_FORMAT, "tensor %s has no place in the network", file->tensors[i].name);
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

/* Copies what the file has; check_all or check_part was here before. */
static duet_status read_tensors(dt_state *s, int network, const dt_saved *file, bool part, bool new_head, duet_error *err)
{
    const dt_network_state *n = &s->networks[network];
    float *buffer = dt_alloc(dt_network_largest_tensor(n), sizeof *buffer);
    if (!buffer) return dt_fail(err, DUET_MEMORY, "no memory for reading weights");
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_tensor *t = &n->tensors[i];
        const dt_saved_tensor *found = find(file, t->name, part);
        if (!found || dt_check_saved(found, t, NULL) || (new_head && t->head)) continue;
        /* By way of the buffer, for the file's bytes may be unaligned. */
        memcpy(buffer, found->bytes, t->count * sizeof *buffer);
        dt_state_write(s, network, t, buffer);
    }
    dt_state_restart(s, network);
    dt_free(buffer);
    return DUET_OK;
}

/* "student: the last layer, fc.weight [20, 64] and fc.bias [20], is new (in the file [100, 64], [100]); 55 tensors are from it" */
static duet_status say_new_head(const dt_network_state *n, const dt_saved *file, dt_text *said, duet_error *err)
{
    size_t heads = 0;
    dt_text_append(said, "%s: the last layer is new: ", n->name);
    for (size_t i = 0; i < n->n_tensors; i++) {
        const dt_tensor *t = &n->tensors[i];
        const dt_saved_tensor *found = find(file, t->name, false);
        char text[96], old[96];
        size_t shape[4];
        if (!t->head) continue;
        dt_tensor_file_shape(t, shape);
        dt_text_append(said, "%s%s %s", heads++ ? ", " : "", t->name, dt_file_shape_text(t->rank, shape, text));
        if (found) dt_text_append(said, " (not the file's %s)", dt_file_shape_text(found->rank, found->shape, old));
    }
    dt_text_append(said, "; %zu other tensors are from the file", n->n_tensors - heads);
    return dt_text_ok(said) ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for what is new in %s", n->name);
}

static duet_status load(dt_state *s, int network, const char *path, dt_text *new_head, duet_error *err)
{
    dt_network_state *n = &s->networks[network];
    dt_saved *file = NULL;
    int64_t batches = 0;
    DT_TRY(dt_saved_open(path, &file, err));
    duet_status st = check_all(file, n, new_head != NULL, &batches, err);
    if (st) blame_model(file, err);
    if (!st && new_head) st = say_new_head(n, file, new_head, err);
    if (!st) st = read_tensors(s, network, file, false, new_head != NULL, err);
    if (st) dt_context(err, "%s: weights for %s", path, n->name);
    else n->batches_tracked = batches;
    dt_saved_close(file);
    return st;
}

duet_status dt_weights_load(dt_state *s, int network, const char *path, duet_error *err) { return load(s, network, path, NULL, err); }

duet_status dt_weights_load_body(dt_state *s, int network, const char *path, dt_text *said, duet_error *err)
{
    return load(s, network, path, said, err);
}

/* ---- reading a part -------------------------------------------------------------------------------------------- */

enum { MOST_NAMED = 12 }; /* in a list for people */

/* Is there something for the tensor? Another shape is nothing: a classifier for other classes starts anew. */
static duet_status check_one(const dt_saved *file, const dt_tensor *t, bool *has, duet_error *err)
{
    const dt_saved_tensor *found = find(file, t->name, true);
    const duet_status st = found ? dt_check_saved(found, t, NULL) : DUET_SHAPE;
    *has = st == DUET_OK;
    return st == DUET_OK || st == DUET_SHAPE ? DUET_OK : dt_check_saved(found, t, err);
}

/* Has the file nothing of "head.*", of which t is one? Then `first`: is t the first of them? */
static bool whole_module_missing(const dt_network_state *n, const bool *has, size_t t, bool *first)
{
    const char *name = n->tensors[t].name, *alone = name_alone(name);
    if (!alone) return false;
    const size_t prefix = (size_t)(alone - name);
    *first = true;
    for (size_t i = 0; i < n->n_tensors; i++) {
        if (strncmp(n->tensors[i].name, name, prefix) != 0) continue;
        if (has[i]) return false;
        if (i < t) *first = false;
    }
    return true;
}

static void list_one(dt_text *out, size_t *named, const char *name, int length, const char *more)
{
    if ((*named)++ < MOST_NAMED) dt_text_append(out, "%s%.*s%s", *named > 1 ? ", " : "", length, name, more);
}

static void list_end(dt_text *out, size_t named)
{
    if (named > MOST_NAMED) dt_text_append(out, " and %zu more", named - MOST_NAMED);
}

static void list_missing(const dt_network_state *n, const bool *has, dt_text *out)
{
    size_t named = 0;
    bool first;
    for (size_t i = 0; i < n->n_tensors; i++) {
        const char *name = n->tensors[i].name;
        if (has[i]) continue;
        if (!whole_module_missing(n, has, i, &first)) list_one(out, &named, name, (int)strlen(name), "");
        else if (first) list_one(out, &named, name, (int)(name_alone(name) - name), "*");
    }
    list_end(out, named);
}

static void list_strangers(const dt_saved *file, const dt_network_state *n, dt_text *out)
{
    size_t named = 0;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const char *name = file->tensors[i].name;
        if (has_place(n, name, true) || strstr(name, tracked_name)) continue; /* a counter without its norm says nothing */
        if (!named) dt_text_append(out, "; not used: ");
        list_one(out, &named, name, (int)strlen(name), "");
    }
    list_end(out, named);
}

/* has[i]: the file has something for tensor i. */
static duet_status check_part(const dt_saved *file, const dt_network_state *n, bool new_head, bool *has, dt_text *left_out, duet_error *err)
{
    size_t found = 0;
    for (size_t i = 0; i < n->n_tensors; i++) {
        DT_TRY(check_one(file, &n->tensors[i], &has[i], err));
        if (new_head && n->tensors[i].head) has[i] = false;
        found += has[i];
    }
    if (!found)
        return dt_fail(err, DUET_FORMAT, "nothing in the file fits the network, which has %s and more; found %s", n->tensors[0].name,
                       file->n_tensors ? file->tensors[0].name : "no tensor");
    dt_text_append(left_out, "%s: %zu of %zu tensors are from the file", n->name, found, n->n_tensors);
    if (found < n->n_tensors) {
        dt_text_append(left_out, "; at their start: ");
        list_missing(n, has, left_out);
    }
    list_strangers(file, n, left_out);
    return dt_text_ok(left_out) ? DUET_OK : dt_fail(err, DUET_MEMORY, "no memory for the list of what the file lacks");
}

duet_status dt_weights_load_part(dt_state *s, int network, const char *path, bool new_head, dt_text *left_out, duet_error *err)
{
    const dt_network_state *n = &s->networks[network];
    dt_saved *file = NULL;
    DT_TRY(dt_saved_open(path, &file, err));
    bool *has = dt_alloc(n->n_tensors + 1, sizeof *has);
    duet_status st = has ? check_part(file, n, new_head, has, left_out, err) : dt_fail(err, DUET_MEMORY, "no memory for reading weights");
    if (!st) st = read_tensors(s, network, file, true, new_head, err);
    if (st) dt_context(err, "%s: weights for %s", path, n->name);
    dt_free(has);
    dt_saved_close(file);
    return st;
}
