/* Single pictures made into the squares that networks are judged by, outside of the loader: what `predict` shows. */
#include "data/data_impl.h"

/* What the loader's workers keep, for one picture. */
typedef struct scratch {
    dt_encoded encoded;
    dt_pixels picture;
    dt_resampler resampler;
} scratch;

static void release(scratch *s)
{
    dt_encoded_release(&s->encoded);
    dt_pixels_release(&s->picture);
    dt_resampler_release(&s->resampler);
}

static duet_status cut_out(const dt_squares *to, scratch *s, const dt_cut *cut, unsigned eighths, uint8_t *out, duet_error *err)
{
    if (dt_cut_apply(cut, to, &s->resampler, &s->picture, eighths, out)) return DUET_OK;
    return dt_fail(err, DUET_MEMORY, "not enough memory for scaling a picture of %zux%zu pixels", s->picture.height, s->picture.width);
}

/* Of nothing random: the middle, never mirrored. */
static dt_cut middle_of(const dt_squares *to, size_t height, size_t width)
{
    const dt_squares judged = {.size = to->size, .short_side = to->short_side};
    return dt_cut_draw(&judged, dt_rng_make(0, DT_PURPOSE_AUGMENT, 0, 0), height, width);
}

static duet_status decode(const dt_squares *to, scratch *s, uint8_t *out, duet_error *err)
{
    dt_picture_facts facts;
    size_t height, width;
    DT_TRY(dt_picture_measure_bytes(s->encoded.bytes, s->encoded.n, &facts, err));
    dt_picture_upright_size(&facts, 8, &height, &width);
    const dt_cut cut = middle_of(to, height, width);
    const unsigned eighths = facts.jpeg ? dt_cut_eighths(&cut) : 8;
    DT_TRY(dt_picture_upright(s->encoded.bytes, s->encoded.n, &facts, eighths, &s->picture, err));
    return cut_out(to, s, &cut, eighths, out, err);
}

duet_status dt_square_of_file(const dt_squares *to, const char *path, uint8_t *out, duet_error *err)
{
    scratch s = {.encoded = {.n = 0}};
    duet_status st = dt_encoded_read_file(path, &s.encoded, err);
    if (!st) {
        st = decode(to, &s, out, err);
        if (st) dt_context(err, "%s", path);
    }
    release(&s);
    return st;
}

/* A record of a source that gives pixels only. */
static duet_status from_pixels(const dt_squares *to, const dt_source *source, dt_split split, size_t index, scratch *s, uint8_t *out,
                               int32_t *label, duet_error *err)
{
    size_t height, width, places;
    dt_source_size(source, split, index, &height, &width);
    s->picture.rgb = dt_size_mul(height, width, &places) ? dt_alloc(places, 3) : NULL;
    if (!s->picture.rgb) return dt_fail(err, DUET_MEMORY, "not enough memory for a picture of %zux%zu pixels", height, width);
    dt_record record = {.pixels = s->picture.rgb};
    DT_TRY(source->read(source, split, index, &record, err));
    s->picture.height = record.height;
    s->picture.width = record.width;
    *label = record.label;
    const dt_cut cut = middle_of(to, record.height, record.width);
    return cut_out(to, s, &cut, 8, out, err);
}

duet_status dt_square_of_record(const dt_squares *to, const dt_source *source, dt_split split, size_t index, uint8_t *out, int32_t *label,
                                duet_error *err)
{
    scratch s = {.encoded = {.n = 0}};
    int32_t own = 0;
    duet_status st;
    if (source->fetch) {
        st = source->fetch(source, split, index, &s.encoded, err);
        own = s.encoded.label;
        if (!st) {
            st = decode(to, &s, out, err);
            if (st) dt_context(err, "%s", s.encoded.name);
        }
    } else st = from_pixels(to, source, split, index, &s, out, &own, err);
    if (!st && label) *label = own;
    release(&s);
    return st;
}
