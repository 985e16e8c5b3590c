/* Trains two networks together on a data set of one's own, from C: no files, no recipe on disk.
 *
 *     cc own_data.c $(pkg-config --cflags --libs duet) -o own_data && ./own_data own-run
 *
 * The data set here is drawn: stripes of three directions. Replace `read_picture` by what hands out your pictures. */
#include <duet/run.h>

#include <stdio.h>
#include <string.h>

enum { SIDE = 32, CLASSES = 3 };

/* Picture `index` of a split: SIDE x SIDE x 3 bytes, and its label. Called from several threads, always the same for the same index. */
static void read_picture(void *user, duet_split split, size_t index, uint8_t *pixels, int32_t *label, uint8_t *mask)
{
    (void)user, (void)mask;
    const size_t seed = index * 2654435761u + (split == DUET_SPLIT_TEST) * 40503u;
    const size_t kind = index % CLASSES, width = 3 + seed / 7 % 4, shift = seed / 64 % 16;
    *label = (int32_t)kind;
    for (size_t y = 0; y < SIDE; y++) {
        for (size_t x = 0; x < SIDE; x++) {
            const size_t along = kind == 0 ? x : kind == 1 ? y : x + y;
            const size_t noise = (seed + 131 * (y * SIDE + x)) * 2654435761u >> 16 & 63;
            memset(pixels + 3 * (y * SIDE + x), (int)(((along + shift) / width % 2 ? 150 : 60) + noise), 3);
        }
    }
}

static void show_epoch(void *user, const duet_epoch *e)
{
    (void)user;
    printf("epoch %lld of %lld", (long long)e->epoch, (long long)e->epochs);
    for (size_t i = 0; i < e->n_networks; i++) printf("   %s %.1f %%", e->names[i], duet_measure_of(&e->test[i], "top1"));
    printf("\n");
}

static const char recipe_text[] =
    "data: {name: shapes}            # ours replaces it below\n"
    "networks:\n"
    "  - {name: teacher, model: resnet14, role: teacher}\n"
    "  - {name: student, model: resnet8,  role: student}\n"
    "method: {name: dml}\n"
    "adm: on\n"
    "train: {epochs: 2, batch: 32, lr: 0.05, schedule: {name: onecycle}}\n";

int main(int n, char **arguments)
{
    duet_error err;
    duet_recipe *recipe = NULL;
    duet_data *data = NULL;
    duet_run *run = NULL;
    const duet_data_source source = {.info = {.name = "stripes", .train_images = 640, .test_images = 96, .classes = CLASSES, .height = SIDE,
                                              .width = SIDE, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}},
                                     .read = read_picture};
    const duet_run_options options = {.out = n > 1 ? arguments[1] : "own-run", .observer = {.epoch = show_epoch}};

    duet_status st = duet_recipe_parse("own_data.c", recipe_text, strlen(recipe_text), NULL, 0, &recipe, &err);
    if (!st) st = duet_data_create(&source, &data, &err);
    if (!st) st = duet_run_create(recipe, &options, &run, &err);
    if (!st) {
        duet_run_use_data(run, data);
        st = duet_run_train(run, &err);
    }
    if (st) fprintf(stderr, "own_data: %s\n", err.message);
    duet_run_destroy(run);
    duet_data_close(data);
    duet_recipe_destroy(recipe);
    return duet_status_exit_code(st);
}
