/* <duet/picture.h>: the pictures of src/format, with what a caller from outside may get wrong checked. */
#include "api/api_impl.h"

#include "format/format.h"

#include <duet/picture.h>

duet_status duet_picture_read(const char *path, uint8_t **pixels, size_t *height, size_t *width, duet_error *err)
{
    dt_picture_facts facts;
    size_t places;
    DT_TRY(dt_picture_measure(path, &facts, err));
    uint8_t *bytes = dt_size_mul(facts.height, facts.width, &places) ? dt_alloc(places, 3) : NULL;
    if (!bytes) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for %zux%zu pixels", path, facts.height, facts.width);
    const duet_status st = dt_picture_read(path, facts.height, facts.width, bytes, err);
    if (st) {
        dt_free(bytes);
        return st;
    }
    *pixels = bytes;
    *height = facts.height;
    *width = facts.width;
    return DUET_OK;
}

void duet_picture_free(uint8_t *pixels) { dt_free(pixels); }

static duet_status check_size(const char *path, size_t height, size_t width, duet_error *err)
{
    if (height && width && height <= DT_PICTURE_SIDE && width <= DT_PICTURE_SIDE && height * width <= DT_PICTURE_PIXELS) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%s: a picture of %zux%zu pixels cannot be written; sides are 1 to %d, and at most %d pixels are possible", path,
                   height, width, (int)DT_PICTURE_SIDE, (int)DT_PICTURE_PIXELS);
}

duet_status duet_picture_write(const char *path, const uint8_t *pixels, size_t height, size_t width, duet_error *err)
{
    DT_TRY(check_size(path, height, width, err));
    return dt_png_write(path, pixels, height, width, NULL, 0, err);
}

duet_status duet_picture_write_classes(const char *path, const uint8_t *classes, size_t height, size_t width, const uint8_t (*colours)[3],
                                       size_t n_colours, duet_error *err)
{
    DT_TRY(check_size(path, height, width, err));
    if (n_colours < 1 || n_colours > 256) return dt_fail(err, DUET_ARG, "%s: %zu colours; a palette has 1 to 256", path, n_colours);
    for (size_t i = 0; i < height * width; i++)
        if (classes[i] >= n_colours)
            return dt_fail(err, DUET_ARG, "%s: class %u at x %zu, y %zu has no colour; there are %zu", path, (unsigned)classes[i], i % width, i / width,
                           n_colours);
    return dt_png_write(path, classes, height, width, colours, n_colours, err);
}
