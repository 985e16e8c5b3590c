/* PNG and JPEG: every kind of pixel, and every way in which a file can be no good. */
#include "format/format.h"
#include "picture_files.h"
#include "temporary.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <cmocka.h>

enum { H = 13, W = 18, PLACES = H * W };

static char folder[256];
static uint8_t colour[PLACES * 3];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    for (size_t i = 0; i < sizeof colour; i++) colour[i] = (uint8_t)(i * 7 + i / 54 * 3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static const char *place(const char *name)
{
    static char path[4][600];
    static size_t turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static dt_picture_facts measure(const char *name)
{
    duet_error err = {0};
    dt_picture_facts f = {0};
    if (dt_picture_measure(place(name), &f, &err)) fail_msg("%s", err.message);
    assert_int_equal(f.height, H);
    assert_int_equal(f.width, W);
    return f;
}

static const uint8_t *read_rgb(const char *name)
{
    static uint8_t rgb[PLACES * 3 + 1];
    duet_error err = {0};
    rgb[PLACES * 3] = 123;
    if (dt_picture_read(place(name), H, W, rgb, &err)) fail_msg("%s", err.message);
    assert_int_equal(rgb[PLACES * 3], 123);
    return rgb;
}

static const uint8_t *read_indices(const char *name)
{
    static uint8_t indices[PLACES + 1];
    duet_error err = {0};
    indices[PLACES] = 123;
    if (dt_picture_indices(place(name), H, W, indices, &err)) fail_msg("%s", err.message);
    assert_int_equal(indices[PLACES], 123);
    return indices;
}

/* ---- what is read ------------------------------------------------------------------------------------------------ */

static void rgb_is_read_as_it_is_interlaced_or_not(void **state)
{
    (void)state;
    write_rgb_png(place("a.png"), H, W, colour);
    write_png(place("b.png"), H, W, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7, colour, 3 * W, NULL, 0);
    assert_memory_equal(read_rgb("a.png"), colour, sizeof colour);
    assert_memory_equal(read_rgb("b.png"), colour, sizeof colour);
    dt_picture_facts f = measure("a.png");
    assert_true(!f.jpeg && !f.indices && f.bits == 8);
    assert_string_equal(f.pixels, "RGB");
}

/* Values of 1, 2, 4 and 8 bits: as classes they stay, as grey they are stretched to 0..255. */
static void grey_values_are_classes_or_three_channels(void **state)
{
    (void)state;
    for (int bits = 1; bits <= 8; bits *= 2) {
        static uint8_t rows[H * W], values[PLACES];
        const size_t row_bytes = (W * (size_t)bits + 7) / 8, each = 8 / (size_t)bits;
        const unsigned most = (1u << bits) - 1;
        memset(rows, 0, sizeof rows);
        for (size_t p = 0; p < PLACES; p++) {
            values[p] = (uint8_t)((p * 5 + p / W) & most);
            size_t x = p % W, shift = 8 - (size_t)bits * (x % each + 1);
            rows[p / W * row_bytes + x / each] |= (uint8_t)(values[p] << shift);
        }
        write_png(place("g.png"), H, W, PNG_COLOR_TYPE_GRAY, bits, PNG_INTERLACE_NONE, rows, row_bytes, NULL, 0);
        assert_memory_equal(read_indices("g.png"), values, PLACES);
        const uint8_t *rgb = read_rgb("g.png");
        for (size_t i = 0; i < PLACES * 3; i++) assert_int_equal(rgb[i], values[i / 3] * 255u / most);
        assert_true(measure("g.png").indices);
    }
}

static void a_palette_gives_indices_and_never_their_colours_as_classes(void **state)
{
    (void)state;
    png_color palette[21];
    static uint8_t values[PLACES];
    for (size_t i = 0; i < 21; i++) palette[i] = (png_color){(png_byte)(i * 12), (png_byte)(255 - i), 7};
    for (size_t p = 0; p < PLACES; p++) values[p] = (uint8_t)(p % 21);
    write_png(place("p.png"), H, W, PNG_COLOR_TYPE_PALETTE, 8, PNG_INTERLACE_NONE, values, W, palette, 21);
    assert_memory_equal(read_indices("p.png"), values, PLACES);
    const uint8_t *rgb = read_rgb("p.png");
    for (size_t p = 0; p < PLACES; p++) {
        assert_int_equal(rgb[3 * p], values[p] * 12);
        assert_int_equal(rgb[3 * p + 1], 255 - values[p]);
    }
    assert_string_equal(measure("p.png").pixels, "palette");
}

static void sixteen_bits_and_alpha_are_cut_off(void **state)
{
    (void)state;
    static uint8_t deep[PLACES * 3 * 2], clear[PLACES * 4];
    for (size_t i = 0; i < PLACES * 3; i++) {
        deep[2 * i] = colour[i];
        deep[2 * i + 1] = 0x9C;
        clear[i / 3 * 4 + i % 3] = colour[i];
    }
    write_png(place("d.png"), H, W, PNG_COLOR_TYPE_RGB, 16, PNG_INTERLACE_NONE, deep, 6 * W, NULL, 0);
    write_png(place("c.png"), H, W, PNG_COLOR_TYPE_RGB_ALPHA, 8, PNG_INTERLACE_NONE, clear, 4 * W, NULL, 0);
    assert_memory_equal(read_rgb("d.png"), colour, sizeof colour);
    assert_memory_equal(read_rgb("c.png"), colour, sizeof colour);
}

/* Smooth pictures of quality 98 come back within a few bytes, whatever the number of channels. */
static void jpegs_of_every_kind_are_read(void **state)
{
    (void)state;
    static uint8_t smooth[PLACES * 3], grey[PLACES], cmyk[PLACES * 4];
    for (size_t p = 0; p < PLACES; p++) {
        smooth[3 * p] = (uint8_t)(p % W * 10 + 20);
        smooth[3 * p + 1] = (uint8_t)(p / W * 12 + 30);
        smooth[3 * p + 2] = (uint8_t)(p % W * 5 + p / W * 5 + 40);
        grey[p] = smooth[3 * p];
        for (size_t k = 0; k < 3; k++) cmyk[4 * p + k] = smooth[3 * p + k]; /* Adobe's: 255 is no ink */
        cmyk[4 * p + 3] = 255;
    }
    const struct {
        int channels, progressive;
        const uint8_t *pixels;
        const char *name;
    } kinds[] = {{3, 0, smooth, "RGB"}, {3, 1, smooth, "RGB"}, {1, 0, grey, "grey"}, {4, 0, cmyk, "CMYK"}};
    for (size_t i = 0; i < DT_COUNT(kinds); i++) {
        write_jpeg(place("j.jpg"), H, W, kinds[i].channels, kinds[i].progressive, kinds[i].pixels);
        dt_picture_facts f = measure("j.jpg");
        assert_true(f.jpeg && !f.indices);
        assert_string_equal(f.pixels, kinds[i].name);
        const uint8_t *rgb = read_rgb("j.jpg");
        for (size_t k = 0; k < PLACES * 3; k++) {
            int want = kinds[i].channels == 1 ? grey[k / 3] : smooth[k];
            if (abs(rgb[k] - want) > 14) fail_msg("kind %zu, byte %zu: %d for %d", i, k, rgb[k], want);
        }
    }
}

static void what_duet_writes_it_reads_and_equal_pixels_are_equal_files(void **state)
{
    (void)state;
    static const uint8_t colours[3][3] = {{1, 2, 3}, {200, 100, 0}, {255, 255, 255}};
    static uint8_t indices[PLACES];
    duet_error err = {0};
    for (size_t p = 0; p < PLACES; p++) indices[p] = (uint8_t)(p / 3 % 3);
    assert_int_equal(dt_png_write(place("w.png"), colour, H, W, NULL, 0, &err), DUET_OK);
    assert_int_equal(dt_png_write(place("v.png"), colour, H, W, NULL, 0, &err), DUET_OK);
    assert_int_equal(dt_png_write(place("i.png"), indices, H, W, colours, 3, &err), DUET_OK);
    assert_memory_equal(read_rgb("w.png"), colour, sizeof colour);
    assert_memory_equal(read_indices("i.png"), indices, PLACES);
    const uint8_t *rgb = read_rgb("i.png");
    for (size_t p = 0; p < PLACES; p++) assert_memory_equal(rgb + 3 * p, colours[indices[p]], 3);
    size_t n, m;
    unsigned char *w = read_whole(place("w.png"), &n), *v = read_whole(place("v.png"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(w, v, n);
    free(w);
    free(v);
    assert_int_equal(dt_png_write(place("nowhere/w.png"), colour, H, W, NULL, 0, &err), DUET_IO);
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static void expect_message(duet_status st, const duet_error *err, const char *name, const char *piece)
{
    assert_int_equal(st, DUET_DATA);
    assert_int_equal(err->status, DUET_DATA);
    if (!strstr(err->message, place(name))) fail_msg("the file is not named: %s", err->message);
    if (!strstr(err->message, piece)) fail_msg("\"%s\" is not in: %s", piece, err->message);
}

static void expect_unreadable(const char *name, const char *piece)
{
    static uint8_t rgb[PLACES * 3];
    duet_error err = {0};
    expect_message(dt_picture_read(place(name), H, W, rgb, &err), &err, name, piece);
}

static void expect_no_classes(const char *name, const char *piece)
{
    static uint8_t indices[PLACES];
    duet_error err = {0};
    expect_message(dt_picture_indices(place(name), H, W, indices, &err), &err, name, piece);
}

static void pictures_without_classes_are_named_as_what_they_are(void **state)
{
    (void)state;
    static uint8_t deep[PLACES * 2];
    write_rgb_png(place("rgb.png"), H, W, colour);
    expect_no_classes("rgb.png", "a PNG of RGB, 8 bits a channel");
    write_png(place("deep.png"), H, W, PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_NONE, deep, 2 * W, NULL, 0);
    expect_no_classes("deep.png", "a PNG of grey, 16 bits a channel");
    write_png(place("alpha.png"), H, W, PNG_COLOR_TYPE_GRAY_ALPHA, 8, PNG_INTERLACE_NONE, deep, 2 * W, NULL, 0);
    expect_no_classes("alpha.png", "grey and alpha");
    write_jpeg(place("j.jpg"), H, W, 1, 0, colour);
    expect_no_classes("j.jpg", "a JPEG, which changes values");
}

static void files_that_are_no_pictures_are_refused(void **state)
{
    (void)state;
    write_whole(place("empty.png"), "", 0);
    expect_unreadable("empty.png", "the file is empty");
    write_whole(place("text.jpg"), "hello, this is no picture", 25);
    expect_unreadable("text.jpg", "neither a PNG nor a JPEG");
    write_rgb_png(place("small.png"), H - 1, W, colour);
    expect_unreadable("small.png", "has 12x18 pixels (height x width), where 13x18 are expected");
    duet_error err = {0};
    uint8_t rgb[PLACES * 3];
    assert_int_equal(dt_picture_read(place("nowhere.png"), H, W, rgb, &err), DUET_IO);
}

/* Whatever byte a file ends at, it is an error; with libjpeg's own habits it would be a grey half. */
static void a_file_that_ends_early_is_refused_wherever_it_ends(void **state)
{
    (void)state;
    write_rgb_png(place("a.png"), H, W, colour);
    write_jpeg(place("b.jpg"), H, W, 3, 0, colour);
    write_jpeg(place("c.jpg"), H, W, 3, 1, colour);
    const char *const names[] = {"a.png", "b.jpg", "c.jpg"};
    for (size_t f = 0; f < DT_COUNT(names); f++) {
        size_t n;
        static uint8_t rgb[PLACES * 3];
        unsigned char *bytes = read_whole(place(names[f]), &n);
        assert_int_equal(dt_picture_read_bytes(bytes, n, H, W, rgb, NULL), DUET_OK);
        for (size_t end = 0; end < n; end++) {
            duet_error err = {0};
            unsigned char *cut = malloc(end ? end : 1); /* exactly, for the address sanitizer */
            memcpy(cut, bytes, end);
            if (dt_picture_read_bytes(cut, end, H, W, rgb, &err) != DUET_DATA)
                fail_msg("%s cut to %zu of %zu bytes: %s", names[f], end, n, err.message);
            free(cut);
        }
        free(bytes);
    }
}

static void a_wrong_byte_in_a_png_is_seen_by_its_checksums(void **state)
{
    (void)state;
    size_t n;
    static uint8_t rgb[PLACES * 3];
    write_rgb_png(place("a.png"), H, W, colour);
    unsigned char *bytes = read_whole(place("a.png"), &n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x10;
        assert_int_not_equal(dt_picture_read_bytes(bytes, n, H, W, rgb, NULL), DUET_OK);
        bytes[i] ^= 0x10;
    }
    free(bytes);
}

/* ---- files that would fill memory -------------------------------------------------------------------------------- */

static void big_endian(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* PNG's checksum of a chunk's name and data. */
static uint32_t checksum(const unsigned char *bytes, size_t n)
{
    uint32_t c = UINT32_C(0xFFFFFFFF);
    for (size_t i = 0; i < n; i++) {
        c ^= bytes[i];
        for (int k = 0; k < 8; k++) c = (c & 1) ? (c >> 1) ^ UINT32_C(0xEDB88320) : c >> 1;
    }
    return ~c;
}

static void a_small_file_that_claims_to_be_huge_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    const uint32_t sizes[][2] = {{100000, 10}, {10, 100000}, {30000, 30000}, {0x7FFFFFFF, 0x7FFFFFFF}};
    size_t n;
    write_rgb_png(place("bomb.png"), H, W, colour);
    unsigned char *bytes = read_whole(place("bomb.png"), &n);
    for (size_t i = 0; i < DT_COUNT(sizes); i++) {
        big_endian(bytes + 16, sizes[i][1]);
        big_endian(bytes + 20, sizes[i][0]);
        big_endian(bytes + 29, checksum(bytes + 12, 17));
        write_whole(place("bomb.png"), bytes, n);
        char says[64];
        snprintf(says, sizeof says, "says that it has %ux%u pixels", (unsigned)sizes[i][0], (unsigned)sizes[i][1]);
        expect_unreadable("bomb.png", says);
        duet_error err = {0};
        dt_picture_facts f;
        expect_message(dt_picture_measure(place("bomb.png"), &f, &err), &err, "bomb.png", "at most 32768 on a side");
    }
    free(bytes);
    write_jpeg(place("bomb.jpg"), H, W, 3, 0, colour);
    bytes = read_whole(place("bomb.jpg"), &n);
    for (size_t i = 0; i + 9 < n; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0)
            memset(bytes + i + 5, 0xFF, 4); /* 65535 x 65535; the library's most is 65500 */
    write_whole(place("bomb.jpg"), bytes, n);
    expect_unreadable("bomb.jpg", "damaged JPEG");
    for (size_t i = 0; i + 9 < n; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0) bytes[i + 5] = 0x9C, bytes[i + 6] = 0x40; /* 40000 rows */
    for (size_t i = 0; i + 9 < n; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0) bytes[i + 7] = 0x9C, bytes[i + 8] = 0x40;
    write_whole(place("bomb.jpg"), bytes, n);
    expect_unreadable("bomb.jpg", "says that it has 40000x40000 pixels");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rgb_is_read_as_it_is_interlaced_or_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grey_values_are_classes_or_three_channels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_palette_gives_indices_and_never_their_colours_as_classes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sixteen_bits_and_alpha_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jpegs_of_every_kind_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_duet_writes_it_reads_and_equal_pixels_are_equal_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pictures_without_classes_are_named_as_what_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_that_are_no_pictures_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_ends_early_is_refused_wherever_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_byte_in_a_png_is_seen_by_its_checksums, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_small_file_that_claims_to_be_huge_is_refused_before_memory_is_taken, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
