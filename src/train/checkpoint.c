/* state.safetensors: all that a run needs to go on as if nothing had happened.
 *
 *     NAME/weights/TENSOR    weights and running statistics
 *     NAME/momentum/TENSOR   of trained networks: momentum of sgd, mean gradients of adam
 *     NAME/second/TENSOR     with adam, adamw: mean squares of gradients
 *     NAME/ema/TENSOR        with train.ema: averaged weights
 *     NAME/updates           how often it was updated; NAME/batches_tracked, NAME/last, NAME/best, ...: results so far
 *     run/...                position, sums of the epoch under way, lengths of the growing files
 *     metadata: duet, kind, device, recipe
 *
 * Random numbers are functions of (seed, epoch, index), so there is no generator to save. The recipe is kept as text,
 * without the keys that cannot change a result; a run goes on with an equal text only, and a message can name what
 * differs. run/clock_... and run/bytes_... are the only values that two runs of one recipe do not share. */
#include "train_impl.h"

#include <string.h>

static const char kind[] = "duet training state";

/* ---- the recipe, as far as it decides results ------------------------------------------------------------------ */

/* What a network is, as a section of its own: not where the file was found. */
static void description_text(const dt_recipe_network *n, dt_text *out)
{
    const char *line = n->described ? n->described->description : NULL;
    if (!line) return;
    dt_text_append(out, "description of %s:\n", n->name);
    while (*line) {
        const size_t length = strcspn(line, "\n");
        dt_text_append(out, "  %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void recipe_text(const dt_recipe *r, dt_text *out)
{
    dt_recipe copy = *r; /* borrows everything; never destroyed */
    copy.data.path = NULL;
    copy.data.workers = 1;
    copy.train.log_every = 1;
    copy.train.checkpoint_every = 1;
    for (int i = 0; i < r->n_networks; i++) copy.networks[i].model = dt_recipe_model_name(&r->networks[i]);
    dt_recipe_write(&copy, out);
    for (int i = 0; i < r->n_networks; i++) description_text(&r->networks[i], out);
}

static size_t line_length(const char *text) { return strcspn(text, "\n"); }

static const char *next_line(const char *text)
{
    text += line_length(text);
    return *text ? text + 1 : text;
}

/* The top-level key that a line stands under: the last line so far that is not indented. */
static void first_difference(const char *was, const char *now, duet_error *err)
{
    const char *section = "";
    size_t section_length = 0;
    while (*was || *now) {
        const size_t n = line_length(was);
        if (n && *was != ' ' && *was != '-') {
            section = was;
            section_length = strcspn(was, ":\n");
        }
        if (n != line_length(now) || strncmp(was, now, n) != 0) break;
        was = next_line(was);
        now = next_line(now);
    }
    while (*was == ' ' && *now == ' ') was++, now++;
    dt_fail(
        err, DUET_RECIPE,
        "this run was started with another recipe: under %.*s it had \"%.*s\", now there is \"%.*s\"; resume with the "
        "recipe.yaml of the run's folder, or choose another folder for the new recipe",
        (int)section_length, section, (int)line_length(was), was, (int)line_length(now), now);
}

static duet_status check_recipe(const dt_saved *file, const dt_recipe *r, duet_error *err)
{
    dt_text now = {0};
    recipe_text(r, &now);
    const char *was = dt_saved_metadata(file, "recipe");
    const char *found = dt_saved_metadata(file, "kind");
    duet_status st = DUET_OK;
    if (!dt_text_ok(&now)) st = dt_fail(err, DUET_MEMORY, "no memory for comparing recipes");
    else if (!was || !found || strcmp(found, kind) != 0)
        st = dt_fail(err, DUET_FORMAT, "is not a %s", kind);
    else if (strcmp(was, now.bytes) != 0) {
        first_difference(was, now.bytes, err);
        st = DUET_RECIPE;
    }
    dt_text_release(&now);
    return st;
}

/* ---- the table of values --------------------------------------------------------------------------------------- */

/* One row: a named vector in the file and in memory. */
typedef struct dt_field {
    char name[96];
    dt_element element;
    size_t count; /* 0: a single number */
    void *values;
} dt_field;

typedef struct dt_fields {
    dt_field at[16 + 6 * DT_MAX_NETWORKS];
    size_t n;
} dt_fields;

static size_t element_bytes(dt_element e) { return e == DT_ELEMENT_F32 ? 4 : 8; }
static size_t field_bytes(const dt_field *f) { return (f->count ? f->count : 1) * element_bytes(f->element); }

static void DT_PRINTF(5, 6) field(dt_fields *f, dt_element element, size_t count, void *values, const char *format, ...)
{
    if (f->n == DT_COUNT(f->at)) DT_BUG("the checkpoint has more than %zu fields", f->n);
    dt_field *row = &f->at[f->n++];
    *row = (dt_field){.element = element, .count = count, .values = values};
    va_list args;
    va_start(args, format);
    vsnprintf(row->name, sizeof row->name, format, args);
    va_end(args);
}

/* Everything but tensors. Saving and loading walk the same rows, so that neither can forget one. */
static void list_fields(const dt_session *s, dt_run_state *run, dt_fields *f)
{
    const size_t networks = (size_t)s->peers.n, terms = (size_t)s->losses.n_terms,
                 variants = (size_t)s->losses.n_variants;
    dt_tally *t = &run->tally;
    const size_t metrics = (size_t)s->recipe->task->scoring->n_metrics;
    f->n = 0;
    field(f, DT_ELEMENT_I64, 0, &run->epoch, "run/epoch");
    field(f, DT_ELEMENT_I64, 0, &run->step_of_epoch, "run/step_of_epoch");
    field(f, DT_ELEMENT_I64, 0, &run->step, "run/step");
    field(f, DT_ELEMENT_F64, networks, t->loss_sum, "run/loss_sum");
    field(f, DT_ELEMENT_I64, networks, t->loss_steps, "run/loss_steps");
    if (terms) field(f, DT_ELEMENT_F64, terms, t->term_sum, "run/term_sum");
    if (terms) field(f, DT_ELEMENT_I64, terms, t->term_steps, "run/term_steps");
    field(f, DT_ELEMENT_I64, variants, t->variant_steps, "run/variant_steps");
    field(f, DT_ELEMENT_F32, networks, run->epoch_values, "run/epoch_values");
    field(f, DT_ELEMENT_F64, networks, run->best_score, "run/best_score");
    field(f, DT_ELEMENT_F64, 0, &t->train_s, "run/clock_epoch_s");
    field(f, DT_ELEMENT_F64, 0, &t->wait_s, "run/clock_wait_s");
    field(f, DT_ELEMENT_F64, 0, &run->total_train_s, "run/clock_total_s");
    field(f, DT_ELEMENT_I64, 0, &run->log_bytes, "run/bytes_log");
    field(f, DT_ELEMENT_I64, 0, &run->csv_bytes, "run/bytes_metrics");
    for (int i = 0; i < s->peers.n; i++) {
        const char *name = s->peers.at[i].name;
        dt_network_result *r = &run->results[i];
        field(f, DT_ELEMENT_F64, metrics, r->last.value, "%s/last", name);
        field(f, DT_ELEMENT_F64, metrics, r->best.value, "%s/best", name);
        field(f, DT_ELEMENT_I64, 0, &r->best_epoch, "%s/best_epoch", name);
        field(f, DT_ELEMENT_I64, 0, &s->state->networks[i].batches_tracked, "%s/batches_tracked", name);
        field(f, DT_ELEMENT_I64, 0, &s->state->networks[i].update.updates, "%s/updates", name);
    }
}

/* ---- tensors --------------------------------------------------------------------------------------------------- */

/* Weights first, then what the optimiser keeps: block b > 0 is dt_kept b - 1. */
enum { BLOCK_WEIGHTS, BLOCK_COUNT = 1 + DT_KEPT_COUNT };
static const char *const block_names[BLOCK_COUNT] = {"weights", "momentum", "second", "ema"};

static dt_kept kept(int block) { return (dt_kept)(block - 1); }

static bool has_block(const dt_session *s, int network, const dt_tensor *t, int b)
{
    if (b == BLOCK_WEIGHTS) return true;
    return t->trained && dt_session_trains(s, network) && dt_state_keeps(s->state, network, kept(b));
}

static const char *tensor_name(const dt_session *s, int network, const dt_tensor *t, int b, char text[256])
{
    snprintf(text, 256, "%s/%s/%s", s->peers.at[network].name, block_names[b], t->name);
    return text;
}

static void read_block(const dt_session *s, int network, const dt_tensor *t, int b, float *to)
{
    if (b == BLOCK_WEIGHTS) dt_state_read(s->state, network, t, to);
    else dt_state_read_kept(s->state, network, kept(b), t, to);
}

/* Calls `visit` for every tensor in the order of the file, until one fails. */
typedef duet_status (*dt_visit)(void *user, const dt_session *s, int network, const dt_tensor *t, int b,
                                duet_error *err);

static duet_status for_each_tensor(const dt_session *s, dt_visit visit, void *user, duet_error *err)
{
    for (int i = 0; i < s->peers.n; i++) {
        const dt_network_state *n = &s->state->networks[i];
        for (int b = 0; b < BLOCK_COUNT; b++)
            for (size_t k = 0; k < n->n_tensors; k++)
                if (has_block(s, i, &n->tensors[k], b)) DT_TRY(visit(user, s, i, &n->tensors[k], b, err));
    }
    return DUET_OK;
}

static float *tensor_buffer(const dt_session *s)
{
    size_t most = 1;
    for (int i = 0; i < s->peers.n; i++) {
        const size_t n = dt_network_largest_tensor(&s->state->networks[i]);
        if (n > most) most = n;
    }
    return dt_alloc(most, sizeof(float));
}

/* ---- saving ---------------------------------------------------------------------------------------------------- */

typedef struct dt_transfer {
    dt_saver *saver;      /* saving */
    const dt_saved *file; /* loading */
    float *buffer;
} dt_transfer;

static duet_status declare_tensor(void *user, const dt_session *s, int network, const dt_tensor *t, int b,
                                  duet_error *err)
{
    const dt_transfer *x = user;
    char name[256];
    size_t shape[4];
    (void)err;
    dt_tensor_file_shape(t, shape);
    dt_saver_declare(x->saver, tensor_name(s, network, t, b, name), DT_ELEMENT_F32, t->rank, shape);
    return DUET_OK;
}

static duet_status save_tensor(void *user, const dt_session *s, int network, const dt_tensor *t, int b,
                               duet_error *err)
{
    const dt_transfer *x = user;
    read_block(s, network, t, b, x->buffer);
    DT_TRY(dt_check_finite(s->peers.at[network].name, t->name, x->buffer, t->count, err));
    dt_saver_bytes(x->saver, x->buffer, t->count * sizeof *x->buffer);
    return DUET_OK;
}

static duet_status save_all(const dt_session *s, dt_fields *f, dt_transfer *x, duet_error *err)
{
    dt_text recipe = {0};
    char device[DT_DEVICE_TEXT];
    recipe_text(s->recipe, &recipe);
    if (!dt_text_ok(&recipe)) return dt_fail(err, DUET_MEMORY, "no memory for the recipe's text");
    dt_session_device_text(s, device);
    dt_saver_metadata(x->saver, "duet", DUET_VERSION);
    dt_saver_metadata(x->saver, "kind", kind);
    dt_saver_metadata(x->saver, "device", device);
    dt_saver_metadata(x->saver, "recipe", recipe.bytes);
    dt_text_release(&recipe);

    for (size_t i = 0; i < f->n; i++)
        dt_saver_declare(x->saver, f->at[i].name, f->at[i].element, f->at[i].count ? 1 : 0, &f->at[i].count);
    DT_TRY(for_each_tensor(s, declare_tensor, x, err));
    for (size_t i = 0; i < f->n; i++) dt_saver_bytes(x->saver, f->at[i].values, field_bytes(&f->at[i]));
    return for_each_tensor(s, save_tensor, x, err);
}

duet_status dt_checkpoint_save(const dt_session *s, const dt_run_state *run, const char *path, duet_error *err)
{
    dt_run_state copy = *run; /* the rows point to what they save and to what they load: not const */
    dt_fields fields;
    dt_transfer x = {.buffer = tensor_buffer(s)};
    list_fields(s, &copy, &fields);
    if (!x.buffer) return dt_fail(err, DUET_MEMORY, "%s: no memory for writing a checkpoint", path);
    duet_status st = dt_saver_create(path, &x.saver, err);
    if (!st) {
        st = save_all(s, &fields, &x, err);
        if (st) dt_saver_abort(x.saver);
        else st = dt_saver_commit(x.saver, err);
    }
    dt_free(x.buffer);
    return st;
}

/* ---- loading --------------------------------------------------------------------------------------------------- */

static duet_status load_field(const dt_saved *file, const dt_field *f, duet_error *err)
{
    const dt_saved_tensor *found = dt_saved_find(file, f->name);
    if (!found)
        return dt_fail(err, DUET_FORMAT, "%s is missing; was it saved by another version of duet (%s)?", f->name,
                       dt_saved_metadata(file, "duet") ? dt_saved_metadata(file, "duet") : "unknown");
    if (found->element != f->element || found->n_bytes != field_bytes(f))
        return dt_fail(err, DUET_FORMAT, "%s has %zu bytes of %s; %zu bytes are expected", f->name, found->n_bytes,
                       found->element_name, field_bytes(f));
    memcpy(f->values, found->bytes, found->n_bytes);
    return DUET_OK;
}

static duet_status check_tensor(void *user, const dt_session *s, int network, const dt_tensor *t, int b,
                                duet_error *err)
{
    const dt_transfer *x = user;
    char name[256];
    const dt_saved_tensor *found = dt_saved_find(x->file, tensor_name(s, network, t, b, name));
    if (!found) return dt_fail(err, DUET_FORMAT, "tensor %s is missing", name);
    return dt_check_saved(found, t, err);
}

static duet_status load_tensor(void *user, const dt_session *s, int network, const dt_tensor *t, int b,
                               duet_error *err)
{
    const dt_transfer *x = user;
    char name[256];
    (void)err;
    memcpy(x->buffer, dt_saved_find(x->file, tensor_name(s, network, t, b, name))->bytes, t->count * sizeof *x->buffer);
    if (b == BLOCK_WEIGHTS) dt_state_write(s->state, network, t, x->buffer);
    else dt_state_write_kept(s->state, network, kept(b), t, x->buffer);
    return DUET_OK;
}

/* Numbers that the loop will trust. */
static duet_status check_position(const dt_run_state *run, const dt_recipe *r, duet_error *err)
{
    if (run->epoch < 0 || run->epoch > r->train.epochs || run->step_of_epoch < 0 || run->step < run->step_of_epoch ||
        run->log_bytes < 0 || run->csv_bytes < 0)
        return dt_fail(err, DUET_FORMAT, "says epoch %lld, step %lld, which no run of this recipe reaches",
                       (long long)run->epoch, (long long)run->step);
    return DUET_OK;
}

static duet_status load_all(dt_session *s, dt_run_state *run, dt_transfer *x, duet_error *err)
{
    dt_fields fields;
    list_fields(s, run, &fields);
    DT_TRY(check_recipe(x->file, s->recipe, err));
    for (size_t i = 0; i < fields.n; i++) DT_TRY(load_field(x->file, &fields.at[i], err));
    DT_TRY(check_position(run, s->recipe, err));
    DT_TRY(for_each_tensor(s, check_tensor, x, err));
    return for_each_tensor(s, load_tensor, x, err);
}

duet_status dt_checkpoint_load(dt_session *s, dt_run_state *run, const char *path, dt_arena *arena, const char **device,
                               duet_error *err)
{
    dt_saved *file = NULL;
    dt_run_state loaded = {0};
    DT_TRY(dt_saved_open(path, &file, err));
    dt_transfer x = {.file = file, .buffer = tensor_buffer(s)};
    duet_status st =
        x.buffer ? load_all(s, &loaded, &x, err) : dt_fail(err, DUET_MEMORY, "no memory for reading a checkpoint");
    if (!st) {
        const char *text = dt_saved_metadata(file, "device");
        *device = dt_arena_strdup(arena, text ? text : "");
        if (!*device) st = dt_fail(err, DUET_MEMORY, "no memory for reading a checkpoint");
    }
    if (st) dt_context(err, "%s", path);
    else *run = loaded;
    dt_free(x.buffer);
    dt_saved_close(file);
    return st;
}
