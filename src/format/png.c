/* PNG by way of libpng, from and to memory.
 *
 * libpng reports errors by a long jump. Everything that may jump is a step, a function of the job alone: `guarded` sets the
 * place to come back to and runs one step, so no local variable lives across a jump.
 *
 * Chunks that change no pixel (text, profiles, times) are skipped unread: compressed ones could unpack to gigabytes. The
 * EXIF record, which says how the picture is to be turned, is kept. */
#include "format/picture_impl.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

enum { CHANNELS = 3 };

typedef struct png_job {
    png_structp png;
    png_infop info;
    char message[128]; /* of the error that ended it */
    const uint8_t *bytes;
    size_t n, at;
    bool indices;
    uint8_t *out;
    /* writing */
    dt_file *file;
    const uint8_t *pixels;
    const uint8_t (*colours)[CHANNELS];
    size_t height, width, n_colours;
} png_job;

static void on_error(png_structp png, png_const_charp text)
{
    png_job *j = png_get_error_ptr(png);
    snprintf(j->message, sizeof j->message, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static bool guarded(png_job *j, void (*step)(png_job *))
{
    if (setjmp(png_jmpbuf(j->png))) return false;
    step(j);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static void take_bytes(png_structp png, png_bytep out, size_t n)
{
    png_job *j = png_get_io_ptr(png);
    if (j->n - j->at < n) png_error(png, "the file ends early");
    memcpy(out, j->bytes + j->at, n);
    j->at += n;
}

static void read_head(png_job *j)
{
    static const png_byte exif[] = "eXIf";
    png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(j->png, PNG_HANDLE_CHUNK_AS_DEFAULT, exif, 1);
    png_set_user_limits(j->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours, with a better message, are in picture.c */
    png_set_read_fn(j->png, j, take_bytes);
    png_read_info(j->png, j->info);
}

static void read_pixels(png_job *j)
{
    png_structp png = j->png;
    const int type = png_get_color_type(png, j->info);
    if (j->indices) {
        png_set_packing(png); /* 1, 2 and 4 bits to bytes, their values unchanged */
    } else {
        if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
        if (!(type & PNG_COLOR_MASK_COLOR)) {
            png_set_expand_gray_1_2_4_to_8(png);
            png_set_gray_to_rgb(png);
        }
        png_set_strip_16(png);
        png_set_strip_alpha(png);
    }
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, j->info);
    const size_t height = png_get_image_height(png, j->info), row = png_get_rowbytes(png, j->info);
    if (row != png_get_image_width(png, j->info) * (j->indices ? 1u : (unsigned)CHANNELS))
        DT_BUG("a PNG row of %zu bytes, where %u pixels are read", row, (unsigned)png_get_image_width(png, j->info));
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) png_read_row(png, j->out + y * row, NULL);
    png_read_end(png, NULL);
}

static bool open_reader(png_job *j)
{
    j->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, j, on_error, on_warning);
    if (j->png) j->info = png_create_info_struct(j->png);
    return j->info != NULL;
}

static void describe(const png_job *j, dt_picture_facts *out)
{
    png_bytep exif = NULL;
    png_uint_32 n = 0;
    const int type = png_get_color_type(j->png, j->info);
    *out = (dt_picture_facts){
        .height = png_get_image_height(j->png, j->info),
        .width = png_get_image_width(j->png, j->info),
        .bits = png_get_bit_depth(j->png, j->info),
        .pixels = type == PNG_COLOR_TYPE_GRAY         ? "grey"
                  : type == PNG_COLOR_TYPE_PALETTE    ? "palette"
                  : type == PNG_COLOR_TYPE_GRAY_ALPHA ? "grey and alpha"
                  : type == PNG_COLOR_TYPE_RGB        ? "RGB"
                                                      : "RGB and alpha",
    };
    out->turn = png_get_eXIf_1(j->png, j->info, &n, &exif) ? dt_exif_turn(exif, n) : 1;
    out->indices = (type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_PALETTE) && out->bits <= 8;
}

/* facts NULL: reads pixels. */
static duet_status run_reader(png_job *j, dt_picture_facts *facts, duet_error *err)
{
    duet_status st = DUET_OK;
    if (!open_reader(j)) st = dt_fail(err, DUET_MEMORY, "not enough memory for reading a PNG");
    else if (!guarded(j, read_head) || (!facts && !guarded(j, read_pixels)))
        st = dt_picture_damaged(&dt_picture_png, j->message, err);
    else if (facts) describe(j, facts);
    if (j->png) png_destroy_read_struct(&j->png, &j->info, NULL);
    return st;
}

static bool recognises_png(const uint8_t *bytes, size_t n)
{
    enum { SIGNATURE = 8 };
    return n >= SIGNATURE && png_sig_cmp(bytes, 0, SIGNATURE) == 0;
}

static duet_status png_facts(const uint8_t *bytes, size_t n, dt_picture_facts *out, duet_error *err)
{
    png_job job = {.bytes = bytes, .n = n};
    return run_reader(&job, out, err);
}

static duet_status png_pixels(const uint8_t *bytes, size_t n, dt_picture_wish wish, uint8_t *out, duet_error *err)
{
    if (wish.eighths != 8) DT_BUG("a PNG is to be read at %u eighths of its size", wish.eighths);
    png_job job = {.bytes = bytes, .n = n, .indices = wish.indices, .out = out};
    return run_reader(&job, NULL, err);
}

const dt_picture_format dt_picture_png = {"PNG", recognises_png, png_facts, png_pixels};

/* ---- writing --------------------------------------------------------------------------------------------------- */

static void give_bytes(png_structp png, png_bytep bytes, size_t n)
{
    const png_job *j = png_get_io_ptr(png);
    dt_file_write(j->file, bytes, n); /* its errors wait for the commit */
}

static void give_nothing(png_structp png)
{
    (void)png;
}

static void write_all(png_job *j)
{
    png_color palette[256];
    png_set_write_fn(j->png, j, give_bytes, give_nothing);
    png_set_compression_level(j->png, 6);
    png_set_IHDR(j->png, j->info, (png_uint_32)j->width, (png_uint_32)j->height, 8,
                 j->colours ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (size_t i = 0; j->colours && i < j->n_colours; i++)
        palette[i] = (png_color){j->colours[i][0], j->colours[i][1], j->colours[i][2]};
    if (j->colours) png_set_PLTE(j->png, j->info, palette, (int)j->n_colours);
    png_write_info(j->png, j->info);
    const size_t row = j->width * (j->colours ? 1 : CHANNELS);
    for (size_t y = 0; y < j->height; y++) png_write_row(j->png, j->pixels + y * row);
    png_write_end(j->png, j->info);
}

static void check_write(const png_job *j)
{
    if (!j->height || !j->width || j->height > DT_PICTURE_SIDE || j->width > DT_PICTURE_SIDE)
        DT_BUG("a PNG of %zux%zu pixels is to be written", j->height, j->width);
    if (!j->colours) return;
    if (j->n_colours < 1 || j->n_colours > 256) DT_BUG("a PNG with %zu colours is to be written", j->n_colours);
    for (size_t i = 0; i < j->height * j->width; i++)
        if (j->pixels[i] >= j->n_colours)
            DT_BUG("index %u is to be written into a PNG with %zu colours", (unsigned)j->pixels[i], j->n_colours);
}

duet_status dt_png_write(const char *path, const uint8_t *pixels, size_t height, size_t width,
                         const uint8_t (*colours)[CHANNELS], size_t n_colours, duet_error *err)
{
    png_job j = {.pixels = pixels, .height = height, .width = width, .colours = colours, .n_colours = n_colours};
    check_write(&j);
    DT_TRY(dt_file_create(path, &j.file, err));
    j.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    if (j.png) j.info = png_create_info_struct(j.png);
    duet_status st = DUET_OK;
    if (!j.info) st = dt_fail(err, DUET_MEMORY, "%s: not enough memory for writing a PNG", path);
    else if (!guarded(&j, write_all)) st = dt_fail(err, DUET_MEMORY, "%s: cannot make a PNG: %s", path, j.message);
    if (j.png) png_destroy_write_struct(&j.png, &j.info);
    if (!st) return dt_file_commit(j.file, err);
    dt_file_abort(j.file);
    return st;
}
