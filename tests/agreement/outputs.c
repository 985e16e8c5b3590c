/* What a network makes of given pictures, as raw numbers: for the tests that compare with PyTorch.
 *
 *     outputs MODEL CLASSES WEIGHTS N H W IN OUT
 *
 * IN holds n pictures [n, h, w, 3] as floats, then n times as int32; the weights are loaded strictly. OUT gets the floats of output,
 * features and, where there is one, of the auxiliary head's logits, each [n, h, w, c]. Inference mode, the cpu device, one thread. */
#include "models/models.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OUTPUTS = 3 };

typedef struct work {
    dt_device *device;
    dt_graph *graph;
    dt_state *state;
    dt_program *program;
    dt_node image, time, outputs[MOST_OUTPUTS];
    size_t n_outputs, batch, pixels;
} work;

static duet_status describe(work *w, const char *model, size_t classes, size_t h, size_t width, duet_error *err)
{
    const dt_model *m = dt_model_find(model, err);
    if (!m) return err->status;
    DT_TRY(dt_model_check_size(m, h, width, err));
    w->graph = dt_graph_create();
    if (!w->graph) return dt_fail(err, DUET_MEMORY, "no memory");
    dt_model_inputs in = DT_MODEL_INPUTS;
    in.image = w->image = dt_input(w->graph, "image", DT_REAL, (dt_shape){w->batch, 3, h, width});
    in.time = w->time = dt_input(w->graph, "time", DT_INDEX, (dt_shape){w->batch, 1, 1, 1});
    in.classes = classes;
    dt_graph_set_network(w->graph, 0, model, false);
    const dt_built b = m->build(m, w->graph, &in);
    const dt_node wanted[MOST_OUTPUTS] = {b.output, b.features, b.aux};
    for (size_t i = 0; i < MOST_OUTPUTS; i++)
        if (wanted[i] != DT_NONE) w->outputs[w->n_outputs++] = wanted[i];
    w->pixels = 3 * h * width;
    return dt_graph_check(w->graph, err);
}

static duet_status prepare(work *w, const char *model, const char *weights, duet_error *err)
{
    const dt_device_options options = {.threads = 1, .precision = DT_F32};
    DT_TRY(dt_device_cpu.open(&options, &w->device, err));
    DT_TRY(dt_state_create(w->device, w->graph, &model, 1, &w->state, err));
    DT_TRY(dt_weights_load(w->state, 0, weights, err));
    const dt_program_spec spec = {.graph = w->graph, .state = w->state, .outputs = w->outputs, .n_outputs = w->n_outputs};
    return dt_program_compile(&spec, &w->program, err);
}

static duet_status read_inputs(work *w, const char *path, duet_error *err)
{
    float *images = calloc(w->batch * w->pixels, sizeof *images);
    int32_t *times = calloc(w->batch, sizeof *times);
    FILE *f = fopen(path, "rb");
    const bool ok = images && times && f && fread(images, sizeof *images, w->batch * w->pixels, f) == w->batch * w->pixels &&
                    fread(times, sizeof *times, w->batch, f) == w->batch;
    if (ok) {
        dt_program_write(w->program, w->image, images, w->batch * w->pixels);
        dt_program_write(w->program, w->time, times, w->batch);
    }
    if (f) fclose(f);
    free(images);
    free(times);
    return ok ? DUET_OK : dt_fail(err, DUET_IO, "%s: too short, or not to be read", path);
}

static duet_status write_outputs(work *w, const char *path, duet_error *err)
{
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL;
    for (size_t i = 0; i < w->n_outputs && ok; i++) {
        const size_t count = dt_shape_count(dt_shape_of(w->graph, w->outputs[i]));
        float *values = calloc(count, sizeof *values);
        if (values) dt_program_read(w->program, w->outputs[i], values, count);
        ok = values && fwrite(values, sizeof *values, count, f) == count;
        free(values);
    }
    if (f && fclose(f)) ok = false;
    return ok ? DUET_OK : dt_fail(err, DUET_IO, "%s: cannot be written", path);
}

int main(int n, char **arguments)
{
    if (n != 9) {
        fprintf(stderr, "outputs MODEL CLASSES WEIGHTS N H W IN OUT\n");
        return 2;
    }
    size_t number[4];
    const int places[] = {2, 4, 5, 6};
    for (size_t i = 0; i < DT_COUNT(number); i++) number[i] = strtoul(arguments[places[i]], NULL, 10);
    work w = {.batch = number[1]};
    duet_error err = {0};
    duet_status st = describe(&w, arguments[1], number[0], number[2], number[3], &err);
    if (!st) st = prepare(&w, arguments[1], arguments[3], &err);
    if (!st) st = read_inputs(&w, arguments[7], &err);
    if (!st) st = dt_program_run(w.program, -1, &err);
    if (!st) st = write_outputs(&w, arguments[8], &err);
    if (st) fprintf(stderr, "outputs: %s\n", err.message);
    dt_program_destroy(w.program);
    dt_state_destroy(w.state);
    dt_graph_destroy(w.graph);
    if (w.device) w.device->api->close(w.device);
    return st ? 1 : 0;
}
