/* How many pictures a second one thread makes of JPEGs: libjpeg-turbo alone, and the loader's whole way to normalised squares.
 *
 *     bench_loader FOLDER [SECONDS]    FOLDER as the data set `folder` has it, of JPEGs; bench/loader_rival.py makes one
 *
 * Seconds are those that the processor spent on it, so that other work on the machine hardly matters. The folder should fit into memory:
 * this is about decoding, not about disks. */
#include "data/data_impl.h"

#include <stdlib.h>
#include <time.h>

enum { SIZE = 224, SHORT_SIDE = 256, BATCH = 16 };

/* Of all threads. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const duet_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

/* Every picture decoded at eighths/8 and thrown away. */
static duet_status decode_all(const dt_source *s, unsigned eighths, double seconds, double *per_s, duet_error *err)
{
    dt_encoded e = {0};
    dt_pixels p = {0};
    dt_picture_facts facts;
    size_t done = 0;
    const double begin = cpu_s();
    for (double now = begin; now - begin < seconds; now = cpu_s(), *per_s = (double)done / (now - begin)) {
        DT_TRY(s->fetch(s, DT_SPLIT_TRAIN, done++ % s->facts.train_images, &e, err));
        DT_TRY(dt_picture_measure_bytes(e.bytes, e.n, &facts, err));
        DT_TRY(dt_picture_upright(e.bytes, e.n, &facts, eighths, &p, err));
    }
    dt_encoded_release(&e);
    dt_pixels_release(&p);
    return DUET_OK;
}

static duet_status load_all(const dt_source *s, const dt_squares *squares, double seconds, double *per_s, duet_error *err)
{
    const dt_loader_spec spec = {.source = s, .batch = BATCH, .drop_last = true, .shuffle = true, .squares = *squares, .views = 1, .seed = 1, .workers = 1};
    dt_loader *loader;
    DT_TRY(dt_loader_create(&spec, &loader, err));
    size_t done = 0;
    const double begin = cpu_s();
    for (uint32_t epoch = 0; cpu_s() - begin < seconds; epoch++) {
        dt_loader_start(loader, epoch, 0);
        for (dt_batch *b; cpu_s() - begin < seconds && (b = dt_loader_next(loader, NULL));) {
            done += b->n;
            dt_loader_give_back(loader, b);
        }
    }
    *per_s = (double)done / (cpu_s() - begin);
    const duet_status st = dt_loader_status(loader, err);
    dt_loader_destroy(loader);
    return st;
}

int main(int n, char **words)
{
    duet_error err = {0};
    dt_source *s;
    double whole = 0, half = 0, random = 0, jittered = 0, judged = 0;
    const double seconds = n > 2 ? atof(words[2]) : 2;
    dt_squares squares = {.size = SIZE, .short_side = SHORT_SIDE, .random = true, .flip = true, .scale = {0.08, 1}, .ratio = {3.0 / 4, 4.0 / 3}};
    if (n < 2) return 2;
    if (dt_source_open("folder", words[1], 0, NULL, &s, &err)) return fail(&err);
    if (decode_all(s, 8, seconds, &whole, &err) || decode_all(s, 4, seconds, &half, &err) || load_all(s, &squares, seconds, &random, &err)) return fail(&err);
    squares.brightness = squares.contrast = squares.saturation = 0.4;
    if (load_all(s, &squares, seconds, &jittered, &err)) return fail(&err);
    if (load_all(s, &(dt_squares){.size = SIZE, .short_side = SHORT_SIDE}, seconds, &judged, &err)) return fail(&err);
    printf("images for a second of one core: decoded whole %.0f, at half size %.0f; loader: random part %.0f, with colours %.0f, middle %.0f\n", whole, half, random,
           jittered, judged);
    dt_source_close(s);
    return 0;
}
