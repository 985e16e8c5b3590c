/* Batches of the dense tasks: classes of pixels that move with their picture, crops against the plainest way to write
 * them, noise that its keys decide, pictures of several sizes, and records that cannot be read. */
#include "data/data.h"
#include "data/data_impl.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { RECORDS = 23, TESTS = 5, BATCH = 4, HEIGHT = 12, WIDTH = 17, PLACES = HEIGHT * WIDTH, CLASSES = 9 };

/* ---- a source whose pictures say what they are ------------------------------------------------------------------- */

/* Red tells the class, so that a test can compare picture and classes wherever they went: 20, 40, .. and 250 for none. */
static uint8_t class_at(size_t index, size_t p)
{
    size_t c = (p % WIDTH + p / WIDTH * 3 + index) % (CLASSES + 1);
    return (uint8_t)(c == CLASSES ? DT_IGNORED : c);
}

static uint8_t red_of(uint8_t class)
{
    return (uint8_t)(class == DT_IGNORED ? 250 : 20 * (class + 1));
}

static void own_size(const dt_source *s, dt_split split, size_t index, size_t *h, size_t *w)
{
    (void)split;
    *h = s->facts.mixed_sizes ? HEIGHT - index % 5 : HEIGHT;
    *w = s->facts.mixed_sizes ? WIDTH - index % 3 : WIDTH;
}

static duet_status read_coded(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    if (s->facts.classes == CLASSES + 1 && index == 13) return dt_fail(err, DUET_DATA, "picture 13 is broken");
    if (s->facts.classes == CLASSES + 1 && index == 14) return dt_fail(err, DUET_DATA, "picture 14 is broken");
    own_size(s, split, index, &out->height, &out->width);
    for (size_t y = 0; y < out->height; y++)
        for (size_t x = 0; x < out->width; x++) {
            size_t p = y * out->width + x;
            uint8_t class = class_at(index, y * WIDTH + x);
            out->pixels[3 * p] = red_of(class);
            out->pixels[3 * p + 1] = (uint8_t)(index * 7 + 1);
            out->pixels[3 * p + 2] = (uint8_t)(y * 16 + x);
            if (out->mask) out->mask[p] = class % 2;
            if (out->pixel_labels) out->pixel_labels[p] = class;
        }
    out->label = 0;
    return DUET_OK;
}

#define FACTS                                                                                                          \
    .name = "coded", .train_images = RECORDS, .test_images = TESTS, .height = HEIGHT, .width = WIDTH, .masks = true,   \
    .labels = DT_LABELS_PIXELS, .std = {1, 1, 1}
static const dt_source coded = {.facts = {FACTS, .classes = CLASSES}, .read = read_coded};
static const dt_source mixed = {
    .facts = {FACTS, .classes = CLASSES, .mixed_sizes = true}, .read = read_coded, .size = own_size};
static const dt_source broken = {.facts = {FACTS, .classes = CLASSES + 1}, .read = read_coded};

static dt_loader_spec training(int workers)
{
    return (dt_loader_spec){.source = &coded,
                            .batch = BATCH,
                            .drop_last = true,
                            .shuffle = true,
                            .augment = DT_AUGMENT_CROP_FLIP,
                            .views = 1,
                            .seed = 7,
                            .workers = workers};
}

static dt_loader_spec plain(void)
{
    return (dt_loader_spec){
        .source = &coded, .batch = BATCH, .augment = DT_AUGMENT_NONE, .views = 1, .seed = 7, .workers = 2};
}

static dt_loader *create(dt_loader_spec spec)
{
    duet_error err = {0};
    dt_loader *l = NULL;
    if (dt_loader_create(&spec, &l, &err)) fail_msg("%s", err.message);
    return l;
}

/* SHA-256 of every byte of every batch of a pass. */
static void digest_pass(dt_loader_spec spec, uint32_t epoch, size_t first, char hex[][65], size_t *n)
{
    dt_loader *l = create(spec);
    dt_loader_start(l, epoch, first);
    *n = 0;
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) {
        size_t pixels = spec.batch * b->height * b->width;
        char all[6 * 65] = "";
        dt_sha256(b->images[0], pixels * 3 * sizeof(float), all);
        if (b->pixel_labels) dt_sha256(b->pixel_labels, pixels * sizeof(int32_t), all + 65);
        if (b->mask) dt_sha256(b->mask, pixels * sizeof(float), all + 2 * 65);
        if (b->noise) dt_sha256(b->noise, pixels * 3 * sizeof(float), all + 3 * 65);
        if (b->time) dt_sha256(b->time, spec.batch * sizeof(int32_t), all + 4 * 65);
        dt_sha256(all, sizeof all, hex[(*n)++]);
    }
    assert_int_equal(dt_loader_status(l, NULL), DUET_OK);
    dt_loader_destroy(l);
}

static void expect_workers_and_resuming_to_change_nothing(dt_loader_spec spec)
{
    char one[8][65], other[8][65];
    size_t n, m;
    spec.workers = 1;
    digest_pass(spec, 3, 0, one, &n);
    spec.workers = 4;
    digest_pass(spec, 3, 0, other, &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) assert_string_equal(one[i], other[i]);
    digest_pass(spec, 3, 2, other, &m);
    for (size_t i = 2; i < n; i++) assert_string_equal(one[i], other[i - 2]);
    digest_pass(spec, 4, 0, other, &m);
    for (size_t i = 0; i < n; i++) assert_string_not_equal(one[i], other[i]);
}

/* ---- classes of pixels ------------------------------------------------------------------------------------------- */

/* Every pixel's class, mask and red must belong together; padding is byte `padding` of red, has no class and no mask. */
static size_t check_batch(const dt_batch *b, float padding)
{
    size_t padded = 0;
    for (size_t i = 0; i < b->n * b->height * b->width; i++) {
        float red = b->images[0][3 * i] * 255;
        int32_t class = b->pixel_labels[i];
        assert_true((class >= 0 && class < CLASSES) || class == DT_IGNORED);
        if (fabsf(red - padding) < 0.01f) {
            assert_int_equal(class, DT_IGNORED);
            assert_true(b->mask[i] == 0);
            padded++;
            continue;
        }
        assert_true(fabsf(red - (float)red_of((uint8_t) class)) < 0.01f);
        assert_true(b->mask[i] == (float)(class % 2));
    }
    return padded;
}

static void classes_of_pixels_move_with_their_picture(void **state)
{
    (void)state;
    const dt_augment kinds[] = {DT_AUGMENT_CROP_FLIP, DT_AUGMENT_FLIP, DT_AUGMENT_NONE};
    for (size_t k = 0; k < DT_COUNT(kinds); k++) {
        dt_loader_spec spec = training(2);
        spec.augment = kinds[k];
        dt_loader *l = create(spec);
        size_t padded = 0, batches = 0;
        dt_loader_start(l, 0, 0);
        for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b), batches++)
            padded += check_batch(b, 0);
        assert_int_equal(batches, RECORDS / BATCH);
        assert_true((padded > 0) == (kinds[k] == DT_AUGMENT_CROP_FLIP));
        dt_loader_destroy(l);
    }
    expect_workers_and_resuming_to_change_nothing(training(1));
}

static void pixels_past_the_last_record_have_no_class(void **state)
{
    (void)state;
    dt_loader *l = create(plain());
    dt_loader_start(l, 0, RECORDS / BATCH);
    dt_batch *b = dt_loader_next(l, NULL);
    assert_int_equal(b->n, RECORDS % BATCH);
    check_batch(b, -1);
    for (size_t i = b->n * PLACES; i < BATCH * PLACES; i++) {
        assert_int_equal(b->pixel_labels[i], DT_IGNORED);
        assert_true(b->images[0][3 * i] == 0 && b->mask[i] == 0);
    }
    dt_loader_give_back(l, b);
    assert_null(dt_loader_next(l, NULL));
    assert_int_equal(dt_loader_status(l, NULL), DUET_OK);
    dt_loader_destroy(l);
}

/* ---- crops --------------------------------------------------------------------------------------------------------- */

/* The whole picture scaled in double, then cut. Returns channel `k` at (y, x) of the crop, or -1 outside. */
static double plainly(const uint8_t *bytes, size_t channels, size_t k, const dt_window *w, const dt_crop *crop,
                      size_t y, size_t x)
{
    size_t sx = w->x + (w->flip ? crop->width - 1 - x : x), sy = w->y + y;
    if (sy >= w->height || sx >= w->width) return -1;
    double cy = ((double)sy + 0.5) * (double)w->from_height / (double)w->height - 0.5;
    double cx = ((double)sx + 0.5) * (double)w->from_width / (double)w->width - 0.5;
    cy = fmin(fmax(cy, 0), (double)w->from_height - 1), cx = fmin(fmax(cx, 0), (double)w->from_width - 1);
    size_t y0 = (size_t)cy, x0 = (size_t)cx;
    size_t y1 = y0 + 1 < w->from_height ? y0 + 1 : y0, x1 = x0 + 1 < w->from_width ? x0 + 1 : x0;
    double fy = cy - (double)y0, fx = cx - (double)x0;
#define AT(v, u) (double)bytes[((v)*w->from_width + (u)) * channels + k]
    return (AT(y0, x0) * (1 - fx) + AT(y0, x1) * fx) * (1 - fy) + (AT(y1, x0) * (1 - fx) + AT(y1, x1) * fx) * fy;
#undef AT
}

static void a_crop_is_the_picture_scaled_and_cut(void **state)
{
    (void)state;
    enum { H = 21, W = 34, CH = 16, CW = 24 };
    static uint8_t bytes[H * W * 3], classes[H * W], cut[CH * CW];
    static float out[CH * CW * 3], value[3][256];
    const dt_crop crop = {CH, CW, 50, 200};
    dt_column columns[CW];
    size_t flips = 0, padded = 0, scales[16] = {0};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 89 + i / 7 * 31);
    for (size_t i = 0; i < sizeof classes; i++) classes[i] = (uint8_t)(i % 250);
    for (size_t k = 0; k < 3; k++)
        for (size_t b = 0; b < 256; b++) value[k][b] = (float)b + 1000 * (float)k;
    for (uint64_t index = 0; index < 400; index++) {
        const bool bgr = index % 2;
        dt_window w = dt_window_draw(&crop, DT_AUGMENT_FLIP, dt_rng_make(5, DT_PURPOSE_TEST, 0, index), H, W);
        size_t inside, tenth = (w.width * 10 + W / 2) / W;
        assert_in_range(tenth, 5, 20);
        assert_int_equal(w.height, (H * tenth * 10 + 50) / 100);
        scales[tenth - 5]++;
        flips += w.flip;
        dt_window_columns(&w, &crop, columns, &inside);
        dt_window_pixels(&w, &crop, columns, inside, bytes, (const float(*)[256])value, bgr, out);
        dt_window_bytes(&w, &crop, columns, inside, classes, DT_IGNORED, cut);
        for (size_t y = 0; y < CH; y++)
            for (size_t x = 0; x < CW; x++) {
                size_t sx = w.x + (w.flip ? CW - 1 - x : x), sy = w.y + y;
                for (size_t k = 0; k < 3; k++) {
                    double want = plainly(bytes, 3, bgr ? 2 - k : k, &w, &crop, y, x);
                    double got = (double)out[(y * CW + x) * 3 + k];
                    if (want < 0) assert_true(got == 0);
                    else if (fabs(got - 1000 * (double)k - want) > 0.75) /* half a byte, and weights of 1/2048 */
                        fail_msg("index %u at %zu,%zu,%zu: %g for %g", (unsigned)index, y, x, k, got, want);
                }
                if (sy >= w.height || sx >= w.width) {
                    padded++;
                    assert_int_equal(cut[y * CW + x], DT_IGNORED);
                } else {
                    size_t v = (2 * sy + 1) * H / (2 * w.height), u = (2 * sx + 1) * W / (2 * w.width);
                    assert_int_equal(cut[y * CW + x], classes[v * W + u]);
                }
            }
    }
    assert_in_range(flips, 150, 250);
    assert_true(padded > 0);
    for (size_t s = 0; s < 16; s++) assert_in_range(scales[s], 8, 50); /* 25 each */
}

static void an_unscaled_crop_is_the_very_bytes_and_padding_is_zero_after_normalisation(void **state)
{
    (void)state;
    const dt_normalisation cirkd = dt_normalisation_of(DT_NORMALISE_CIRKD, &coded.facts);
    dt_loader_spec spec = training(2);
    spec.crop = (dt_crop){.height = 16, .width = 9};
    spec.normalise = &cirkd;
    dt_loader *l = create(spec);
    size_t flipped = 0, n = 0;
    dt_loader_start(l, 0, 0);
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) {
        assert_int_equal(b->height, 16);
        assert_int_equal(b->width, 9);
        for (size_t i = 0; i < BATCH; i++, n++) {
            const float *image = b->images[0] + i * 16 * 9 * 3;
            const int32_t *classes = b->pixel_labels + i * 16 * 9;
            const bool flip = image[0] > image[3]; /* blue counts columns, and 16 a row */
            flipped += flip;
            for (size_t p = 0; p < 16 * 9; p++) {
                if (p / 9 >= HEIGHT) {
                    assert_true(image[3 * p] == 0 && image[3 * p + 1] == 0 && image[3 * p + 2] == 0);
                    assert_int_equal(classes[p], DT_IGNORED);
                    assert_true(b->mask[i * 16 * 9 + p] == 0);
                    continue;
                }
                assert_true(image[3 * p + 2] == (float)red_of((uint8_t)classes[p]) - 122.679f);
                if (p % 9 < 8) assert_true(roundf(image[3 * p + 3] - image[3 * p]) == (flip ? -1 : 1));
                if (p >= 9) assert_true(roundf(image[3 * p] - image[3 * (p - 9)]) == 16);
            }
        }
    }
    assert_true(flipped > 0 && flipped < n);
    dt_loader_destroy(l);
    spec.crop.scale_low = 50;
    spec.crop.scale_high = 200;
    expect_workers_and_resuming_to_change_nothing(spec);
}

static void pictures_of_several_sizes_need_a_crop_or_batches_of_one(void **state)
{
    (void)state;
    duet_error err = {0};
    dt_loader_spec spec = plain();
    dt_loader *l = NULL;
    spec.source = &mixed;
    assert_int_equal(dt_loader_create(&spec, &l, &err), DUET_ARG);
    assert_non_null(strstr(err.message, "differ in size (up to 12x17)"));
    spec.batch = 1;
    l = create(spec);
    size_t n = 0;
    dt_loader_start(l, 0, 0);
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b), n++) {
        size_t h, w;
        dt_source_size(&mixed, DT_SPLIT_TRAIN, n, &h, &w);
        assert_int_equal(b->height, h);
        assert_int_equal(b->width, w);
        check_batch(b, -1);
    }
    assert_int_equal(n, RECORDS);
    dt_loader_destroy(l);

    spec.batch = BATCH; /* filled up to one size, not cut */
    spec.crop = (dt_crop){.height = HEIGHT, .width = WIDTH};
    l = create(spec);
    dt_loader_start(l, 0, 0);
    size_t padded = 0;
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) padded += check_batch(b, 0);
    size_t want = 0;
    for (size_t i = 0; i < RECORDS; i++) {
        size_t h, w;
        dt_source_size(&mixed, DT_SPLIT_TRAIN, i, &h, &w);
        want += PLACES - h * w;
    }
    assert_int_equal(padded, want);
    dt_loader_destroy(l);
}

/* ---- noise --------------------------------------------------------------------------------------------------------- */

enum { T = 50 };
static float signal_at[T], noise_at[T];

static dt_loader_spec noisy(bool fixed)
{
    static dt_noising noising[2];
    static dt_normalisation symmetric;
    for (int t = 0; t < T; t++) {
        signal_at[t] = sqrtf(1 - (float)t / T);
        noise_at[t] = sqrtf((float)t / T);
    }
    noising[fixed] = (dt_noising){.T = T, .signal = signal_at, .noise = noise_at, .fixed = fixed};
    symmetric = dt_normalisation_of(DT_NORMALISE_SYMMETRIC, &coded.facts);
    dt_loader_spec spec = fixed ? plain() : training(2);
    spec.augment = DT_AUGMENT_NONE;
    spec.noising = &noising[fixed];
    spec.normalise = &symmetric;
    return spec;
}

/* x_t, taken apart again, must be the picture of the record that its green channel names. */
static size_t check_noisy(const dt_batch *b, size_t place, double moments[2])
{
    const float *x = b->images[0] + place * PLACES * 3, *eps = b->noise + place * PLACES * 3;
    int32_t t = b->time[place];
    assert_in_range(t, 0, T - 1);
    size_t record = RECORDS;
    for (size_t r = 0; r < RECORDS; r++) {
        float want = signal_at[t] * ((float)(uint8_t)(r * 7 + 1) / 127.5f - 1) + noise_at[t] * eps[1];
        if (want == x[1]) record = r;
    }
    assert_true(record < RECORDS);
    for (size_t p = 0; p < PLACES; p++) {
        float x0 = (float)red_of(class_at(record, p)) / 127.5f - 1;
        assert_true(x[3 * p] == signal_at[t] * x0 + noise_at[t] * eps[3 * p]);
        assert_int_equal(b->pixel_labels[place * PLACES + p], class_at(record, p));
    }
    for (size_t i = 0; i < PLACES * 3; i++) {
        moments[0] += (double)eps[i];
        moments[1] += (double)eps[i] * (double)eps[i];
    }
    return record;
}

static void noise_of_training_is_by_seed_epoch_and_record(void **state)
{
    (void)state;
    dt_loader_spec spec = noisy(false);
    dt_loader *l = create(spec);
    double moments[2] = {0}, n = 0;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        dt_loader_start(l, epoch, 0);
        for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b))
            for (size_t i = 0; i < b->n; i++, n += PLACES * 3) {
                size_t record = check_noisy(b, i, moments);
                dt_rng time = dt_rng_make(7, DT_PURPOSE_TIMESTEP, epoch, record);
                dt_rng eps = dt_rng_make(7, DT_PURPOSE_NOISE, epoch, record);
                assert_int_equal(b->time[i], dt_rng_below(&time, T));
                for (size_t k = 0; k < PLACES * 3; k++)
                    assert_true(b->noise[i * PLACES * 3 + k] == dt_rng_normal(&eps));
            }
    }
    assert_true(fabs(moments[0] / n) < 5 / sqrt(n));
    assert_true(fabs(moments[1] / n - 1) < 5 * sqrt(2 / n));
    dt_loader_destroy(l);
    expect_workers_and_resuming_to_change_nothing(spec);
}

static void noise_of_validation_is_the_same_in_every_epoch_and_spreads_over_all_times(void **state)
{
    (void)state;
    dt_loader_spec spec = noisy(true);
    char one[8][65], other[8][65];
    size_t n, m;
    digest_pass(spec, 0, 0, one, &n);
    spec.workers = 3;
    digest_pass(spec, 9, 0, other, &m);
    assert_int_equal(n, (RECORDS + BATCH - 1) / BATCH);
    for (size_t i = 0; i < n; i++) assert_string_equal(one[i], other[i]);

    dt_loader *l = create(spec);
    double moments[2] = {0};
    size_t k = 0;
    dt_loader_start(l, 0, 0);
    for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) {
        for (size_t i = 0; i < b->n; i++, k++) {
            assert_int_equal(check_noisy(b, i, moments), k);
            assert_int_equal(b->time[i], k * T / RECORDS);
            dt_rng eps = dt_rng_make(7, DT_PURPOSE_VALIDATION, 0, k);
            assert_true(b->noise[i * PLACES * 3] == dt_rng_normal(&eps));
        }
        for (size_t i = b->n; i < BATCH; i++) assert_true(b->time[i] == 0 && b->noise[i * PLACES * 3 + 5] == 0);
    }
    assert_int_equal(k, RECORDS);
    dt_loader_destroy(l);
}

/* ---- normalisation ------------------------------------------------------------------------------------------------- */

static void normalisations_are_those_that_others_use(void **state)
{
    (void)state;
    const dt_data_facts facts = {.mean = {.1f, .2f, .3f}, .std = {.4f, .5f, .6f}};
    dt_normalisation n = dt_normalisation_of(DT_NORMALISE_DATA, &facts);
    assert_true(n.unit == 255 && n.mean[2] == .3f && n.std[0] == .4f && !n.bgr);
    n = dt_normalisation_of(DT_NORMALISE_IMAGENET, &facts);
    assert_true(n.unit == 255 && n.mean[0] == .485f && n.std[2] == .225f && !n.bgr);
    n = dt_normalisation_of(DT_NORMALISE_CIRKD, &facts);
    assert_true(n.unit == 1 && n.mean[0] == 104.007f && n.mean[2] == 122.679f && n.std[1] == 1 && n.bgr);
    n = dt_normalisation_of(DT_NORMALISE_SYMMETRIC, &facts);
    assert_true((0 / n.unit - n.mean[0]) / n.std[0] == -1 && (255 / n.unit - n.mean[0]) / n.std[0] == 1);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------------------- */

static void a_record_that_cannot_be_read_ends_the_pass_with_its_message(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 4; workers += 3) {
        dt_loader_spec spec = plain();
        spec.source = &broken;
        spec.workers = workers;
        dt_loader *l = create(spec);
        for (uint32_t epoch = 0; epoch < 20; epoch++) {
            duet_error err = {0};
            size_t n = 0;
            dt_loader_start(l, epoch, 0);
            for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) n++;
            assert_int_equal(n, 13 / BATCH); /* all batches before it */
            assert_int_equal(dt_loader_status(l, &err), DUET_DATA);
            assert_string_equal(err.message, "picture 13 is broken");
            assert_null(dt_loader_next(l, NULL)); /* and stays over */
            assert_int_equal(dt_loader_status(l, &err), DUET_DATA);
        }
        dt_loader_start(l, 0, 4); /* behind it, all is well */
        size_t n = 0;
        for (dt_batch *b; (b = dt_loader_next(l, NULL)); dt_loader_give_back(l, b)) n++;
        assert_int_equal(n, 2);
        assert_int_equal(dt_loader_status(l, NULL), DUET_OK);
        dt_loader_destroy(l);
    }
}

static void expect_refusal(dt_loader_spec spec, const char *piece)
{
    duet_error err = {0};
    dt_loader *l = NULL;
    assert_int_equal(dt_loader_create(&spec, &l, &err), DUET_ARG);
    assert_null(l);
    if (!strstr(err.message, piece)) fail_msg("\"%s\" is not in: %s", piece, err.message);
}

static void what_cannot_be_loaded_is_refused(void **state)
{
    (void)state;
    dt_loader_spec spec = training(1);
    spec.views = 2;
    expect_refusal(spec, "all networks see the same");
    spec = training(1);
    spec.crop = (dt_crop){.scale_low = 50, .scale_high = 200};
    expect_refusal(spec, "a crop is needed");
    spec.crop = (dt_crop){.height = 8};
    expect_refusal(spec, "a crop of 8x0");
    spec.crop = (dt_crop){.height = 8, .width = 8, .scale_low = 200, .scale_high = 50};
    expect_refusal(spec, "a scale of 200 to 50 per cent");
    spec = plain();
    spec.crop = (dt_crop){.height = 8, .width = 80};
    expect_refusal(spec, "do not fit into 8x80");
    const dt_noising none = {.T = 0};
    spec = plain();
    spec.noising = &none;
    expect_refusal(spec, "noise with 0 times");
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    for (long k = 1;; k++) {
        duet_error err = {0};
        dt_loader *l = NULL;
        dt_loader_spec spec = noisy(false);
        spec.crop = (dt_crop){.height = 16, .width = 20};
        dt_alloc_fail_at(k);
        duet_status st = dt_loader_create(&spec, &l, &err);
        dt_alloc_fail_at(0);
        assert_true(k < 100);
        if (!st) {
            assert_true(k > 10);
            dt_loader_destroy(l);
            return;
        }
        assert_int_equal(st, DUET_MEMORY);
        assert_null(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_of_pixels_move_with_their_picture),
        cmocka_unit_test(pixels_past_the_last_record_have_no_class),
        cmocka_unit_test(a_crop_is_the_picture_scaled_and_cut),
        cmocka_unit_test(an_unscaled_crop_is_the_very_bytes_and_padding_is_zero_after_normalisation),
        cmocka_unit_test(pictures_of_several_sizes_need_a_crop_or_batches_of_one),
        cmocka_unit_test(noise_of_training_is_by_seed_epoch_and_record),
        cmocka_unit_test(noise_of_validation_is_the_same_in_every_epoch_and_spreads_over_all_times),
        cmocka_unit_test(normalisations_are_those_that_others_use),
        cmocka_unit_test(a_record_that_cannot_be_read_ends_the_pass_with_its_message),
        cmocka_unit_test(what_cannot_be_loaded_is_refused),
        cmocka_unit_test(memory_running_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
