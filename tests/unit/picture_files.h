/* For tests that need pictures of every kind: PNG and JPEG files made with the libraries themselves, not with duet. */
#ifndef PICTURE_FILES_H
#define PICTURE_FILES_H

#include <png.h>
#include <stdio.h> /* before jpeglib.h, which needs it */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* rows: of `bits` per channel as PNG stores them, big-endian, packed. palette: n colours, or NULL. */
static inline void write_png(const char *path, size_t h, size_t w, int type, int bits, int interlace,
                             const unsigned char *rows, size_t row_bytes, const png_color *palette, int n)
{
    FILE *f = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    if (!f || !info || setjmp(png_jmpbuf(png))) abort();
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, bits, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (palette) png_set_PLTE(png, info, palette, n);
    png_write_info(png, info);
    int passes = interlace == PNG_INTERLACE_ADAM7 ? png_set_interlace_handling(png) : 1;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < h; y++) png_write_row(png, rows + y * row_bytes);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    if (fclose(f)) abort();
}

static inline void write_grey_png(const char *path, size_t h, size_t w, const unsigned char *values)
{
    write_png(path, h, w, PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, values, w, NULL, 0);
}

static inline void write_rgb_png(const char *path, size_t h, size_t w, const unsigned char *pixels)
{
    write_png(path, h, w, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, pixels, 3 * w, NULL, 0);
}

/* channels 1: grey, 3: RGB, 4: CMYK, inverted as Adobe has it. */
static inline void write_jpeg(const char *path, size_t h, size_t w, int channels, int progressive,
                              const unsigned char *pixels)
{
    FILE *f = fopen(path, "wb");
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    if (!f) abort();
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = channels;
    c.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 98, TRUE);
    if (progressive) jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    for (size_t y = 0; y < h; y++) {
        unsigned char *row = (unsigned char *)(size_t)(pixels + y * w * (size_t)channels);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    if (fclose(f)) abort();
}

static inline unsigned char *read_whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = malloc(1 << 20);
    if (!f || !bytes) abort();
    *n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static inline void write_whole(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

#endif
