/* Squares of pictures of any size, from folders and shards: the same bits whatever the threads, views and beginnings; memory that runs
 * out at any point; orders for files that are read from front to back. */
#include "data/data.h"
#include "picture_files.h"
#include "temporary.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>
#include <unistd.h>

enum { CLASSES = 2, PER_CLASS = 7, TRAIN = CLASSES * PER_CLASS, SIZE = 24, BATCH = 4, BROKEN = 3 /* of the second class */ };

static char folder[256];

static const char *place(const char *name)
{
    static char path[4][600];
    static size_t turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void write_picture(const char *split, int class, int number)
{
    static uint8_t pixels[90 * 90 * 3];
    char name[64];
    duet_error err = {0};
    const size_t h = 40 + 5 * (size_t)number, w = 88 - 6 * (size_t)number;
    for (size_t i = 0; i < h * w * 3; i++) pixels[i] = (uint8_t)(i / 3 % w * 2 + i / 3 / w + 60 * (size_t)class + 9 * (size_t)number);
    snprintf(name, sizeof name, "%s/c%d", split, class);
    assert_int_equal(dt_make_folder(place(name), &err), DUET_OK);
    snprintf(name, sizeof name, "%s/c%d/%d.%s", split, class, number, number % 3 == 2 ? "png" : "jpg");
    if (number % 3 == 2) write_rgb_png(place(name), h, w, pixels);
    else write_jpeg(place(name), h, w, 3, number == 1, pixels);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    for (int c = 0; c < CLASSES; c++) {
        for (int i = 0; i < PER_CLASS; i++) write_picture("train", c, i);
        write_picture("val", c, 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static dt_source *open_good(const dt_source_request *q)
{
    duet_error err = {0};
    dt_source *s = NULL;
    if (dt_source_open_as(q, &s, &err)) fail_msg("%s", err.message);
    return s;
}

static dt_loader_spec spec_of(const dt_source *s)
{
    return (dt_loader_spec){.source = s, .batch = BATCH, .drop_last = true, .shuffle = true, .views = 1, .seed = 5, .workers = 2,
                            .squares = {.size = SIZE, .random = true, .flip = true, .scale = {0.1, 1}, .ratio = {0.75, 1.4}, .contrast = 0.3, .saturation = 1}};
}

static float got[2][TRAIN / BATCH][2][BATCH * SIZE * SIZE * 3];

/* The batches of a pass from `first` on into got[to]; returns how many records were skipped. */
static size_t run_pass(const dt_loader_spec *spec, uint32_t epoch, size_t first, int to)
{
    duet_error err = {0};
    dt_loader *l = NULL;
    const char *why;
    if (dt_loader_create(spec, &l, &err)) fail_msg("%s", err.message);
    dt_loader_start(l, epoch, first);
    for (dt_batch *b; (b = dt_loader_next(l, NULL));) {
        assert_int_equal(b->height, SIZE);
        for (int v = 0; v < spec->views; v++) memcpy(got[to][b->step][v], b->images[v], sizeof got[0][0][0]);
        dt_loader_give_back(l, b);
    }
    if (dt_loader_status(l, &err)) fail_msg("%s", err.message);
    const size_t skipped = dt_loader_skipped(l, &why);
    dt_loader_destroy(l);
    return skipped;
}

static void workers_and_beginnings_change_no_bit(void **state)
{
    (void)state;
    dt_source *s = open_good(&(dt_source_request){.name = "folder", .path = folder});
    dt_loader_spec spec = spec_of(s);
    spec.workers = 1;
    run_pass(&spec, 3, 0, 0);
    spec.workers = 4;
    run_pass(&spec, 3, 0, 1);
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    memset(got[1][1], 0, sizeof got[1][1]);
    run_pass(&spec, 3, 1, 1);
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    run_pass(&spec, 4, 0, 1);
    assert_memory_not_equal(got[0], got[1], sizeof got[0]);
    dt_source_close(s);
}

static void views_are_drawn_each_for_itself(void **state)
{
    (void)state;
    dt_source *s = open_good(&(dt_source_request){.name = "folder", .path = folder});
    dt_loader_spec spec = spec_of(s);
    run_pass(&spec, 0, 0, 0);
    spec.views = 2;
    run_pass(&spec, 0, 0, 1);
    for (size_t b = 0; b < TRAIN / BATCH; b++) {
        assert_memory_equal(got[0][b][0], got[1][b][0], sizeof got[0][0][0]); /* the first is what it is alone */
        assert_memory_not_equal(got[1][b][0], got[1][b][1], sizeof got[0][0][0]);
    }
    dt_source_close(s);
}

/* Cuts the end off a file; its head stays good. */
static void damage(const char *name)
{
    size_t n;
    unsigned char *bytes = read_whole(place(name), &n);
    write_whole(place(name), bytes, n - 30);
    free(bytes);
}

static void a_broken_picture_is_replaced_alike_by_any_number_of_workers(void **state)
{
    (void)state;
    damage("train/c1/3.jpg");
    dt_source *s = open_good(&(dt_source_request){.name = "folder", .path = folder, .skip = true});
    dt_loader_spec spec = spec_of(s);
    spec.batch = TRAIN / 2;
    spec.drop_last = false;
    duet_error err = {0};
    dt_loader *l = NULL;
    assert_int_equal(dt_loader_create(&spec, &l, &err), DUET_OK);
    dt_loader_start(l, 0, 0);
    for (dt_batch *b; (b = dt_loader_next(l, NULL));) dt_loader_give_back(l, b);
    assert_int_equal(dt_loader_status(l, &err), DUET_DATA); /* refused, by name */
    assert_non_null(strstr(err.message, "train/c1/3.jpg"));
    dt_loader_destroy(l);

    dt_loader_spec small = spec_of(s);
    small.skip = true;
    small.drop_last = true;
    small.shuffle = false;
    const uint32_t around[] = {9, 10, 11, 0}; /* 10 is the broken one: PER_CLASS + BROKEN */
    assert_int_equal(around[1], PER_CLASS + BROKEN);
    small.indices = around;
    small.n_indices = 4;
    for (int workers = 1; workers <= 4; workers += 3) {
        small.workers = workers;
        assert_int_equal(run_pass(&small, 0, 0, workers > 1), 1);
    }
    assert_memory_equal(got[0][0][0], got[1][0][0], sizeof got[0][0][0]);
    dt_source_close(s);
}

static void memory_may_run_out_at_any_point(void **state)
{
    (void)state;
    const dt_squares to = {.size = SIZE, .short_side = SIZE + 4};
    static uint8_t out[SIZE * SIZE * 3];
    for (int kind = 0; kind < 2; kind++) {
        duet_status st = DUET_MEMORY;
        for (long k = 1; st == DUET_MEMORY; k++) {
            duet_error err = {0};
            assert_true(k < 100);
            dt_alloc_fail_at(k);
            st = dt_square_of_file(&to, place(kind ? "train/c0/2.png" : "train/c0/1.jpg"), out, &err);
            dt_alloc_fail_at(0);
            if (st) assert_non_null(strstr(err.message, "memory"));
        }
        assert_int_equal(st, DUET_OK);
    }
}

/* ---- shards ---------------------------------------------------------------------------------------------------- */

static void pack(uint64_t shard_bytes)
{
    duet_error err = {0};
    size_t shards, pictures;
    dt_source *s = open_good(&(dt_source_request){.name = "folder", .path = folder});
    const dt_pack_request q = {.out = place("shards"), .shard_bytes = shard_bytes};
    if (dt_pack_data(s, &q, &shards, &pictures, &err)) fail_msg("%s", err.message);
    assert_int_equal(pictures, TRAIN + CLASSES);
    assert_true(shards > 3);
    dt_source_close(s);
}

static void shards_give_the_pictures_that_were_packed(void **state)
{
    (void)state;
    pack(8000);
    dt_source *s = open_good(&(dt_source_request){.name = "tar", .path = place("shards")});
    assert_int_equal(s->facts.train_images, TRAIN);
    assert_string_equal(s->facts.class_names[1], "c1");
    size_t of_class[CLASSES] = {0};
    for (size_t i = 0; i < TRAIN; i++) {
        duet_error err = {0};
        dt_encoded e = {0};
        assert_int_equal(s->fetch(s, DT_SPLIT_TRAIN, i, &e, &err), DUET_OK);
        of_class[e.label]++;
        dt_encoded_release(&e);
    }
    assert_int_equal(of_class[0], PER_CLASS);
    assert_int_equal(of_class[1], PER_CLASS);
    dt_loader_spec spec = spec_of(s);
    spec.workers = 1;
    run_pass(&spec, 0, 0, 0);
    spec.workers = 4;
    run_pass(&spec, 0, 1, 1);
    assert_memory_equal(got[0][1][0], got[1][1][0], sizeof got[0][1][0]);
    dt_source_close(s);
}

static void a_shuffled_pass_reads_shards_from_front_to_back(void **state)
{
    (void)state;
    pack(4000);
    for (size_t buffer = 1; buffer <= TRAIN; buffer += 4) {
        dt_source *s = open_good(&(dt_source_request){.name = "tar", .path = place("shards"), .buffer = buffer});
        uint32_t order[3][TRAIN], scratch[2 * TRAIN];
        for (uint32_t epoch = 0; epoch < 3; epoch++) {
            for (uint32_t i = 0; i < TRAIN; i++) order[epoch][i] = i;
            s->shuffle(s, DT_SPLIT_TRAIN, order[epoch], scratch, TRAIN, 7, epoch % 2);
            unsigned seen = 0;
            for (uint32_t i = 0; i < TRAIN; i++) seen |= 1u << order[epoch][i];
            assert_int_equal(seen, (1u << TRAIN) - 1); /* each once */
        }
        assert_memory_equal(order[0], order[2], sizeof order[0]);
        assert_memory_not_equal(order[0], order[1], sizeof order[0]);
        size_t ascending = 0;
        for (uint32_t i = 1; i < TRAIN; i++) ascending += order[0][i] == order[0][i - 1] + 1;
        if (buffer == 1) assert_true(ascending >= TRAIN / 3); /* within a shard as they lie */
        dt_source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(workers_and_beginnings_change_no_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(views_are_drawn_each_for_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_picture_is_replaced_alike_by_any_number_of_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_may_run_out_at_any_point, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shards_give_the_pictures_that_were_packed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shuffled_pass_reads_shards_from_front_to_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
