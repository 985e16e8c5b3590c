/* Pictures, whatever their format: which decoder, how large they may be, whether they are what the caller expects. The
 * decoders are png.c and jpeg.c. */
#include "format/picture_impl.h"

#include <string.h>

static const dt_picture_format *const formats[] = {&dt_picture_png, &dt_picture_jpeg};

duet_status dt_picture_damaged(const dt_picture_format *f, const char *what, duet_error *err)
{
    return dt_fail(err, DUET_DATA, "a damaged %s (%s); fetch it, or make it, again", f->name, what);
}

duet_status dt_picture_find_format(const uint8_t *bytes, size_t n, const dt_picture_format **out, duet_error *err)
{
    for (size_t i = 0; i < DT_COUNT(formats); i++)
        if (formats[i]->recognises(bytes, n)) {
            *out = formats[i];
            return DUET_OK;
        }
    if (n == 0) return dt_fail(err, DUET_DATA, "the file is empty; a PNG or JPEG is expected");
    return dt_fail(err, DUET_DATA, "neither a PNG nor a JPEG by its first bytes; these two are accepted");
}

static duet_status check_size(const dt_picture_facts *f, duet_error *err)
{
    if (f->height <= DT_PICTURE_SIDE && f->width <= DT_PICTURE_SIDE && f->height * f->width <= DT_PICTURE_PIXELS)
        return DUET_OK;
    return dt_fail(
        err, DUET_DATA,
        "says that it has %zux%zu pixels (height x width); at most %d on a side and %d in all are accepted. Scale it "
        "down, or remove it",
        f->height, f->width, (int)DT_PICTURE_SIDE, (int)DT_PICTURE_PIXELS);
}

duet_status dt_picture_check_indices(const dt_picture_facts *f, duet_error *err)
{
    if (f->indices) return DUET_OK;
    if (f->jpeg)
        return dt_fail(
            err, DUET_DATA,
            "a JPEG, which changes values, where every pixel's value is a class; accepted: a grey or palette "
            "PNG of at most 8 bits");
    return dt_fail(
        err, DUET_DATA,
        "a PNG of %s, %u bits a channel, where every pixel's value is a class; accepted: a grey or palette PNG of "
        "at most 8 bits",
        f->pixels, f->bits);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

duet_status dt_picture_measure_bytes(const uint8_t *bytes, size_t n, dt_picture_facts *out, duet_error *err)
{
    const dt_picture_format *f = NULL;
    dt_picture_facts found = {0};
    DT_TRY(dt_picture_find_format(bytes, n, &f, err));
    DT_TRY(f->facts(bytes, n, &found, err));
    DT_TRY(check_size(&found, err));
    *out = found;
    return DUET_OK;
}

static duet_status read_bytes(const uint8_t *bytes, size_t n, size_t height, size_t width, bool indices, uint8_t *out,
                              duet_error *err)
{
    const dt_picture_format *f = NULL;
    dt_picture_facts found = {0};
    DT_TRY(dt_picture_find_format(bytes, n, &f, err));
    DT_TRY(dt_picture_measure_bytes(bytes, n, &found, err));
    if (found.height != height || found.width != width)
        return dt_fail(err, DUET_DATA, "has %zux%zu pixels (height x width), where %zux%zu are expected", found.height,
                       found.width, height, width);
    if (indices) DT_TRY(dt_picture_check_indices(&found, err));
    return f->read(bytes, n, (dt_picture_wish){.indices = indices, .eighths = 8}, out, err);
}

duet_status dt_picture_read_bytes(const uint8_t *bytes, size_t n, size_t height, size_t width, uint8_t *rgb,
                                  duet_error *err)
{
    return read_bytes(bytes, n, height, width, false, rgb, err);
}

duet_status dt_picture_indices_bytes(const uint8_t *bytes, size_t n, size_t height, size_t width, uint8_t *indices,
                                     duet_error *err)
{
    return read_bytes(bytes, n, height, width, true, indices, err);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

duet_status dt_picture_measure(const char *path, dt_picture_facts *out, duet_error *err)
{
    dt_view view = {0};
    DT_TRY(dt_view_open(path, &view, err));
    duet_status st = dt_picture_measure_bytes(view.bytes, view.n, out, err);
    if (st) dt_context(err, "%s", path);
    dt_view_close(&view);
    return st;
}

static duet_status read_file(const char *path, size_t height, size_t width, bool indices, uint8_t *out, duet_error *err)
{
    dt_view view = {0};
    DT_TRY(dt_view_open(path, &view, err));
    duet_status st = read_bytes(view.bytes, view.n, height, width, indices, out, err);
    if (st) dt_context(err, "%s", path);
    dt_view_close(&view);
    return st;
}

duet_status dt_picture_read(const char *path, size_t height, size_t width, uint8_t *rgb, duet_error *err)
{
    return read_file(path, height, width, false, rgb, err);
}

duet_status dt_picture_indices(const char *path, size_t height, size_t width, uint8_t *indices, duet_error *err)
{
    return read_file(path, height, width, true, indices, err);
}
