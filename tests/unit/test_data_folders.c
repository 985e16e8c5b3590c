/* folder-seg, voc and cityscapes from files made here: what is read, and what is said of every file that is no good. */
#include "picture_files.h"
#include "source_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

enum { H = 6, W = 9, PLACES = H * W };

static void text(const char *name, const char *content)
{
    write_bytes(name, content, strlen(content));
}

static void make(const char *path)
{
    duet_error err = {0};
    if (dt_make_folder(place(path), &err)) fail_msg("%s", err.message);
}

/* Pixel k of the picture of that number. */
static uint8_t pixel(size_t number, size_t k)
{
    return (uint8_t)(number * 41 + k * 3);
}

static void write_picture(const char *name, size_t h, size_t w, size_t number)
{
    static uint8_t pixels[40 * 40 * 3];
    for (size_t k = 0; k < h * w * 3; k++) pixels[k] = pixel(number, k);
    if (strstr(name, ".jpg")) write_jpeg(place(name), h, w, 3, 0, pixels);
    else write_rgb_png(place(name), h, w, pixels);
}

/* Classes 0..n-1 in turn, and 255 for every seventh pixel. */
static uint8_t class_at(size_t number, size_t p, size_t n)
{
    return p % 7 == 6 ? DT_IGNORED : (uint8_t)((p + number) % n);
}

static void write_mask(const char *name, size_t h, size_t w, size_t number, size_t n)
{
    static uint8_t values[40 * 40];
    for (size_t p = 0; p < h * w; p++) values[p] = class_at(number, p, n);
    write_grey_png(place(name), h, w, values);
}

static uint8_t got[40 * 40 * 3], got_classes[40 * 40];

static dt_record read_good(const dt_source *s, dt_split split, size_t index)
{
    duet_error err = {0};
    dt_record r = {.pixels = got, .pixel_labels = got_classes};
    if (s->read(s, split, index, &r, &err)) fail_msg("%s", err.message);
    size_t h, w;
    dt_source_size(s, split, index, &h, &w);
    assert_int_equal(h, r.height);
    assert_int_equal(w, r.width);
    return r;
}

static void expect_unreadable(const dt_source *s, dt_split split, size_t index, const char *file, const char *piece)
{
    duet_error err = {0};
    dt_record r = {.pixels = got, .pixel_labels = got_classes};
    duet_status st = s->read(s, split, index, &r, &err);
    assert_true(st == DUET_DATA || st == DUET_IO);
    if (!strstr(err.message, place(file))) fail_msg("%s is not named: %s", file, err.message);
    if (!strstr(err.message, piece)) fail_msg("\"%s\" is not in: %s", piece, err.message);
}

/* ---- folder-seg -------------------------------------------------------------------------------------------------- */

enum { OWN_CLASSES = 3 };

/* Pictures 0 to 2 for training, the last as JPEG and of another size; 3 and 4 to judge by. */
static void make_own(void)
{
    make("images");
    make("masks");
    text("classes.txt", "sky #4682b4\n\n traffic light  #FaAa1E \r\nroad #804080\n");
    text("train.txt", "a\nb\r\n  c  \n\n");
    text("val.txt", "d\ne");
    const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++) {
        char image[32], mask[32];
        snprintf(image, sizeof image, "images/%s.%s", names[i], i == 2 ? "jpg" : "png");
        snprintf(mask, sizeof mask, "masks/%s.png", names[i]);
        write_picture(image, i == 2 ? H + 4 : H, i == 2 ? W - 2 : W, i);
        write_mask(mask, i == 2 ? H + 4 : H, i == 2 ? W - 2 : W, i, OWN_CLASSES);
    }
}

static void own_folders_are_read_with_names_colours_and_sizes(void **state)
{
    (void)state;
    make_own();
    dt_source *s = open_good("folder-seg", folder);
    const dt_data_facts *f = &s->facts;
    assert_int_equal(f->train_images, 3);
    assert_int_equal(f->test_images, 2);
    assert_int_equal(f->classes, OWN_CLASSES);
    assert_int_equal(f->labels, DT_LABELS_PIXELS);
    assert_true(f->mixed_sizes && !f->masks);
    assert_int_equal(f->height, H + 4);
    assert_int_equal(f->width, W);
    assert_string_equal(f->class_names[1], "traffic light");
    assert_true(f->colours[1][0] == 0xFA && f->colours[1][1] == 0xAA && f->colours[1][2] == 0x1E);
    assert_true(f->mean[0] == 0.485f && f->std[2] == 0.225f);
    for (size_t i = 0; i < 5; i++) {
        dt_record r = read_good(s, i < 3 ? DT_SPLIT_TRAIN : DT_SPLIT_TEST, i < 3 ? i : i - 3);
        assert_int_equal(r.height, i == 2 ? H + 4 : H);
        for (size_t p = 0; p < r.height * r.width; p++) assert_int_equal(got_classes[p], class_at(i, p, OWN_CLASSES));
        for (size_t k = 0; k < r.height * r.width * 3 && i != 2; k++) assert_int_equal(got[k], pixel(i, k));
    }
    assert_non_null(strstr(said, "3 training and 2 validation pictures, up to 10x9 pixels"));
    dt_source_close(s);
}

/* The mask of test picture `index`, alone and beside its classes, which are class_at(number, p, n). */
static void expect_mask(const dt_source *s, size_t index, size_t number, size_t n, uint8_t ground)
{
    uint8_t mask[PLACES];
    for (int both = 0; both < 2; both++) {
        dt_record r = {.pixels = got, .mask = mask, .pixel_labels = both ? got_classes : NULL};
        assert_int_equal(s->read(s, DT_SPLIT_TEST, index, &r, NULL), DUET_OK);
        for (size_t p = 0; p < PLACES; p++) {
            const uint8_t class = class_at(number, p, n);
            if (both) assert_int_equal(got_classes[p], class);
            assert_int_equal(mask[p], class != ground && class != DT_IGNORED);
        }
    }
}

static void own_folders_have_masks_when_a_class_is_called_background(void **state)
{
    (void)state;
    make_own();
    text("classes.txt", "sky #4682b4\nbackground #000000\nroad #804080\n");
    dt_source *s = open_good("folder-seg", folder);
    assert_true(s->facts.masks);
    expect_mask(s, 0, 3, OWN_CLASSES, 1);
    dt_source_close(s);
    text("classes.txt", "ground #4682b4\nlight #000000\nroad #804080\n");
    s = open_good("folder-seg", folder);
    expect_mask(s, 1, 4, OWN_CLASSES, 0);
    dt_source_close(s);
}

static void own_folders_train_through_the_loader_in_crops(void **state)
{
    (void)state;
    make_own();
    dt_source *s = open_good("folder-seg", folder);
    duet_error err = {0};
    dt_loader *l = NULL;
    dt_loader_spec spec = {.source = s,
                           .batch = 3,
                           .shuffle = true,
                           .augment = DT_AUGMENT_FLIP,
                           .crop = {8, 8, 50, 200},
                           .views = 1,
                           .workers = 2};
    if (dt_loader_create(&spec, &l, &err)) fail_msg("%s", err.message);
    for (uint32_t epoch = 0; epoch < 5; epoch++) {
        dt_loader_start(l, epoch, 0);
        dt_batch *b = dt_loader_next(l, NULL);
        assert_non_null(b);
        assert_int_equal(b->n, 3);
        for (size_t i = 0; i < 3 * 64; i++)
            assert_true((b->pixel_labels[i] >= 0 && b->pixel_labels[i] < OWN_CLASSES) ||
                        b->pixel_labels[i] == DT_IGNORED);
        dt_loader_give_back(l, b);
        assert_null(dt_loader_next(l, NULL));
        assert_int_equal(dt_loader_status(l, &err), DUET_OK);
    }
    text("images/b.png", "no picture any more");
    dt_loader_start(l, 9, 0);
    assert_null(dt_loader_next(l, NULL));
    assert_int_equal(dt_loader_status(l, &err), DUET_DATA);
    assert_non_null(strstr(err.message, "images/b.png: neither a PNG nor a JPEG"));
    dt_loader_destroy(l);
    dt_source_close(s);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    REFUSED("folder-seg", folder, DUET_IO, place("classes.txt"), "No such file");
    make_own();
    unlink(place("images/b.png"));
    REFUSED("folder-seg", folder, DUET_DATA, place("images/b.png"), "missing, but", "train.txt:2 names it");
    write_picture("images/b.png", H, W, 1);
    unlink(place("masks/d.png"));
    REFUSED("folder-seg", folder, DUET_IO, place("masks/d.png"), "No such file");
    write_mask("masks/d.png", H, W, 3, OWN_CLASSES);
    text("val.txt", "\n\n");
    REFUSED("folder-seg", folder, DUET_DATA, place("val.txt"), "the list is empty");
    unlink(place("val.txt"));
    REFUSED("folder-seg", folder, DUET_IO, place("val.txt"), "No such file");
    duet_error err = {0};
    dt_source *s = NULL;
    assert_int_equal(dt_source_open("folder-seg", NULL, 0, &ear, &s, &err), DUET_DATA);
    assert_non_null(strstr(err.message, "images/, masks/, train.txt, val.txt and classes.txt"));
}

static void lists_of_classes_that_cannot_be_are_refused_with_their_line(void **state)
{
    (void)state;
    make_own();
    text("classes.txt", "sky #4682b4\n\nroad\n");
    REFUSED("folder-seg", folder, DUET_DATA, "classes.txt:3: found \"road\"", "traffic light #faaa1e");
    text("classes.txt", "sky #4682b4\nroad #12345\n");
    REFUSED("folder-seg", folder, DUET_DATA, "classes.txt:2: found \"road #12345\"");
    text("classes.txt", "sky #4682b4\n#123456\n");
    REFUSED("folder-seg", folder, DUET_DATA, "classes.txt:2: found \"#123456\"");
    text("classes.txt", "sky #4682b4\nsky #123456\n");
    REFUSED("folder-seg", folder, DUET_DATA, "classes.txt:2: class \"sky\" was named before");
    text("classes.txt", "sky #4682b4\n");
    REFUSED("folder-seg", folder, DUET_DATA, "classes.txt: 1 classes; 2 to 255");
    write_whole(place("classes.txt"), "sky\0 #4682b4\nroad #102030", 25);
    REFUSED("folder-seg", folder, DUET_DATA, "classes.txt: holds zero bytes");
}

static void masks_that_are_none_are_refused_by_name_before_training(void **state)
{
    (void)state;
    static uint8_t deep[PLACES * 2];
    make_own();
    write_mask("masks/b.png", H, W + 1, 1, OWN_CLASSES);
    REFUSED("folder-seg", folder, DUET_DATA, place("masks/b.png"), "has 6x10 pixels (height x width), but its picture",
            "images/b.png has 6x9");
    write_picture("masks/b.png", H, W, 1);
    REFUSED("folder-seg", folder, DUET_DATA, place("masks/b.png"), "a PNG of RGB, 8 bits",
            "a grey or palette PNG of at most 8 bits");
    write_png(place("masks/b.png"), H, W, PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_NONE, deep, 2 * W, NULL, 0);
    REFUSED("folder-seg", folder, DUET_DATA, place("masks/b.png"), "a PNG of grey, 16 bits");
    write_picture("masks/b.jpg", H, W, 1);
    rename(place("masks/b.jpg"), place("masks/b.png"));
    REFUSED("folder-seg", folder, DUET_DATA, place("masks/b.png"), "a JPEG, which changes values");
    text("masks/b.png", "");
    REFUSED("folder-seg", folder, DUET_DATA, place("masks/b.png"), "the file is empty");
}

static void a_value_that_is_no_class_is_named_with_its_place(void **state)
{
    (void)state;
    uint8_t values[PLACES] = {0};
    make_own();
    values[4 * W + 7] = OWN_CLASSES;
    write_grey_png(place("masks/a.png"), H, W, values);
    dt_source *s = open_good("folder-seg", folder);
    expect_unreadable(s, DT_SPLIT_TRAIN, 0, "masks/a.png", "value 3 at x 7, y 4; classes are 0 to 2, and 255");
    read_good(s, DT_SPLIT_TRAIN, 1);
    dt_record only_pixels = {.pixels = got};
    assert_int_equal(s->read(s, DT_SPLIT_TRAIN, 0, &only_pixels, NULL), DUET_OK); /* who wants no classes reads none */
    dt_source_close(s);
}

static void files_that_are_damaged_or_change_are_found_when_they_are_read(void **state)
{
    (void)state;
    make_own();
    dt_source *s = open_good("folder-seg", folder);
    const struct {
        const char *file;
        dt_split split;
        size_t index;
    } cut[] = {
        {"images/a.png", DT_SPLIT_TRAIN, 0}, {"images/c.jpg", DT_SPLIT_TRAIN, 2}, {"masks/d.png", DT_SPLIT_TEST, 0}};
    for (size_t i = 0; i < DT_COUNT(cut); i++) {
        size_t n;
        unsigned char *bytes = read_whole(place(cut[i].file), &n);
        write_whole(place(cut[i].file), bytes, n - 20);
        expect_unreadable(s, cut[i].split, cut[i].index, cut[i].file, "damaged");
        write_whole(place(cut[i].file), bytes, n);
        read_good(s, cut[i].split, cut[i].index);
        free(bytes);
    }
    write_picture("images/e.png", H + 1, W, 4);
    expect_unreadable(s, DT_SPLIT_TEST, 1, "images/e.png", "has 7x9 pixels (height x width), where 6x9 are expected");
    unlink(place("images/e.png"));
    expect_unreadable(s, DT_SPLIT_TEST, 1, "images/e.png", "No such file");
    dt_source_close(s);
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    make_own();
    open_with_failing_memory("folder-seg", 500);
}

/* ---- voc --------------------------------------------------------------------------------------------------------- */

static void write_palette_mask(const char *name, size_t number)
{
    png_color palette[256];
    uint8_t values[PLACES];
    for (size_t i = 0; i < 256; i++) palette[i] = (png_color){(png_byte)(255 - i), (png_byte)(i * 3), 9};
    for (size_t p = 0; p < PLACES; p++) values[p] = class_at(number, p, 21);
    write_png(place(name), H, W, PNG_COLOR_TYPE_PALETTE, 8, PNG_INTERLACE_NONE, values, W, palette, 256);
}

static void make_voc(void)
{
    make("VOCdevkit/VOC2012/JPEGImages");
    make("VOCdevkit/VOC2012/SegmentationClass");
    make("VOCdevkit/VOC2012/ImageSets/Segmentation");
    for (size_t i = 0; i < 4; i++) {
        char name[96];
        snprintf(name, sizeof name, "VOCdevkit/VOC2012/JPEGImages/2007_00000%zu.jpg", i);
        write_picture(name, H, W, i);
        snprintf(name, sizeof name, "VOCdevkit/VOC2012/SegmentationClass/2007_00000%zu.png", i);
        write_palette_mask(name, i);
    }
    text("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "2007_000000\n2007_000001\n");
    text("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "2007_000002\n");
}

static void voc_takes_indices_and_its_augmented_list_where_there_is_one(void **state)
{
    (void)state;
    make_voc();
    dt_source *s = open_good("voc", folder);
    assert_int_equal(s->facts.classes, 21);
    assert_string_equal(s->facts.class_names[15], "person");
    assert_true(s->facts.colours[15][0] == 192 && s->facts.colours[15][1] == 128 && s->facts.colours[15][2] == 128);
    assert_int_equal(s->facts.train_images, 2);
    assert_false(s->facts.mixed_sizes);
    read_good(s, DT_SPLIT_TEST, 0);
    for (size_t p = 0; p < PLACES; p++) assert_int_equal(got_classes[p], class_at(2, p, 21));
    assert_true(s->facts.masks);
    expect_mask(s, 0, 2, 21, 0);
    dt_source_close(s);

    make("VOCdevkit/VOC2012/SegmentationClassAug"); /* grey, as people make it; the list as CIRKD has it */
    text("VOCdevkit/VOC2012/ImageSets/Segmentation/train_aug.txt",
         "/JPEGImages/2007_000000.jpg /SegmentationClassAug/2007_000000.png\n2007_000001\n"
         "/JPEGImages/2007_000003.jpg /SegmentationClassAug/2007_000003.png\n");
    write_mask("VOCdevkit/VOC2012/SegmentationClassAug/2007_000000.png", H, W, 10, 21);
    write_mask("VOCdevkit/VOC2012/SegmentationClassAug/2007_000001.png", H, W, 11, 21);
    write_mask("VOCdevkit/VOC2012/SegmentationClassAug/2007_000003.png", H, W, 13, 21);
    s = open_good("voc", place("VOCdevkit/VOC2012"));
    assert_int_equal(s->facts.train_images, 3);
    read_good(s, DT_SPLIT_TRAIN, 2);
    for (size_t p = 0; p < PLACES; p++) assert_int_equal(got_classes[p], class_at(13, p, 21));
    read_good(s, DT_SPLIT_TEST, 0); /* judged by the original */
    for (size_t p = 0; p < PLACES; p++) assert_int_equal(got_classes[p], class_at(2, p, 21));
    assert_non_null(strstr(said, "trains on"));
    assert_non_null(strstr(said, "train_aug.txt"));
    dt_source_close(s);
}

static void a_folder_without_voc_is_refused(void **state)
{
    (void)state;
    REFUSED("voc", folder, DUET_DATA, folder, "no PASCAL VOC in this folder", "JPEGImages/");
    make_voc();
    text("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "2007_000000\n2008_000001\n");
    REFUSED("voc", folder, DUET_IO, "JPEGImages/2008_000001.jpg", "No such file");
    text("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", " \n");
    REFUSED("voc", folder, DUET_DATA, "train.txt: the list is empty");
}

/* ---- cityscapes -------------------------------------------------------------------------------------------------- */

static void write_scene(const char *part, const char *city, const char *stem, const uint8_t *ids, size_t number)
{
    char name[256];
    snprintf(name, sizeof name, "leftImg8bit/%s/%s", part, city);
    make(name);
    snprintf(name, sizeof name, "gtFine/%s/%s", part, city);
    make(name);
    snprintf(name, sizeof name, "leftImg8bit/%s/%s/%s_leftImg8bit.png", part, city, stem);
    write_picture(name, H, W, number);
    snprintf(name, sizeof name, "gtFine/%s/%s/%s_gtFine_labelIds.png", part, city, stem);
    write_grey_png(place(name), H, W, ids);
    snprintf(name, sizeof name, "gtFine/%s/%s/%s_gtFine_color.png", part, city, stem); /* others lie there, too */
    write_picture(name, H, W, 77);
}

/* The table of the specification, written once more. */
static uint8_t train_id(unsigned id)
{
    static const uint8_t pairs[][2] = {{7, 0},   {8, 1},   {11, 2},  {12, 3},  {13, 4},  {17, 5},  {19, 6},
                                       {20, 7},  {21, 8},  {22, 9},  {23, 10}, {24, 11}, {25, 12}, {26, 13},
                                       {27, 14}, {28, 15}, {31, 16}, {32, 17}, {33, 18}};
    for (size_t i = 0; i < DT_COUNT(pairs); i++)
        if (pairs[i][0] == id) return pairs[i][1];
    return DT_IGNORED;
}

static void cityscapes_ids_become_classes_in_the_order_of_names(void **state)
{
    (void)state;
    uint8_t ids[PLACES];
    for (size_t p = 0; p < PLACES; p++) ids[p] = p < 34 ? (uint8_t)p : p == 40 ? 255 : 7;
    write_scene("train", "ulm", "ulm_000001_000019", ids, 3);
    write_scene("train", "bochum", "bochum_000000_000313", ids, 1);
    write_scene("train", "bochum", "bochum_000000_001097", ids, 2);
    write_scene("val", "lindau", "lindau_000000_000019", ids, 4);
    text("leftImg8bit/train/readme.txt", "not a city");
    dt_source *s = open_good("cityscapes", folder);
    assert_int_equal(s->facts.classes, 19);
    assert_int_equal(s->facts.train_images, 3);
    assert_int_equal(s->facts.test_images, 1);
    assert_string_equal(s->facts.class_names[18], "bicycle");
    for (size_t i = 0; i < 3; i++) {
        read_good(s, DT_SPLIT_TRAIN, i);
        assert_int_equal(got[5], pixel(i + 1, 5)); /* bochum before ulm */
        for (size_t p = 0; p < PLACES; p++) assert_int_equal(got_classes[p], train_id(ids[p]));
    }
    for (size_t c = 0; c < 19; c++) assert_int_equal(train_id(s->facts.class_ids[c]), c);
    assert_non_null(strstr(said, "not the official 2975 and 500 pictures"));
    dt_source_close(s);
}

static void what_is_wrong_with_cityscapes_is_named(void **state)
{
    (void)state;
    uint8_t ids[PLACES] = {0};
    REFUSED("cityscapes", folder, DUET_IO, place("leftImg8bit/train"), "No such file");
    make("leftImg8bit/train/ulm");
    REFUSED("cityscapes", folder, DUET_DATA, place("leftImg8bit/train"), "no picture CITY/.._leftImg8bit.png in it");
    ids[2 * W + 3] = 34;
    write_scene("train", "ulm", "ulm_000001_000019", ids, 3);
    write_scene("val", "lindau", "lindau_000000_000019", ids, 4);
    dt_source *s = open_good("cityscapes", folder);
    expect_unreadable(s, DT_SPLIT_TRAIN, 0, "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png",
                      "value 34 at x 3, y 2; ids are 0 to 33");
    dt_source_close(s);
    unlink(place("gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"));
    REFUSED("cityscapes", folder, DUET_IO, place("gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"),
            "No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(own_folders_are_read_with_names_colours_and_sizes),
        WITH_FOLDER(own_folders_have_masks_when_a_class_is_called_background),
        WITH_FOLDER(own_folders_train_through_the_loader_in_crops),
        WITH_FOLDER(what_is_missing_is_named),
        WITH_FOLDER(lists_of_classes_that_cannot_be_are_refused_with_their_line),
        WITH_FOLDER(masks_that_are_none_are_refused_by_name_before_training),
        WITH_FOLDER(a_value_that_is_no_class_is_named_with_its_place),
        WITH_FOLDER(files_that_are_damaged_or_change_are_found_when_they_are_read),
        WITH_FOLDER(memory_running_out_is_an_error_and_leaks_nothing),
        WITH_FOLDER(voc_takes_indices_and_its_augmented_list_where_there_is_one),
        WITH_FOLDER(a_folder_without_voc_is_refused),
        WITH_FOLDER(cityscapes_ids_become_classes_in_the_order_of_names),
        WITH_FOLDER(what_is_wrong_with_cityscapes_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
