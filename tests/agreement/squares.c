/* For test_squares.py: one square of one picture, as the loader makes it, and what was drawn for it.
 *
 *     squares FILE SIZE SHORT_SIDE SEED [jitter]    SEED 0: the middle, as pictures are judged; else a random part
 *
 * Standard output: a line "height width y x h w flip brightness contrast saturation order eighths", then size * size * 3 bytes. */
#include "data/data_impl.h"

#include <stdlib.h>
#include <string.h>

static int fail(const duet_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

int main(int n, char **words)
{
    duet_error err = {0};
    dt_encoded file = {0};
    dt_picture_facts facts;
    dt_pixels picture = {0};
    dt_resampler resampler = {0};
    size_t height, width;
    if (n < 5) return 2;
    const uint64_t seed = strtoull(words[4], NULL, 10);
    const double jitter = n > 5 ? 0.4 : 0;
    const dt_squares to = {.size = strtoull(words[2], NULL, 10), .short_side = strtoull(words[3], NULL, 10), .random = seed > 0, .flip = seed > 0,
                           .scale = {0.08, 1}, .ratio = {3.0 / 4, 4.0 / 3}, .brightness = jitter, .contrast = jitter, .saturation = jitter};
    if (dt_encoded_read_file(words[1], &file, &err) || dt_picture_measure_bytes(file.bytes, file.n, &facts, &err)) return fail(&err);
    dt_picture_upright_size(&facts, 8, &height, &width);
    const dt_cut cut = dt_cut_draw(&to, dt_rng_make(seed, DT_PURPOSE_AUGMENT, 0, 0), height, width);
    const unsigned eighths = facts.jpeg ? dt_cut_eighths(&cut) : 8;
    uint8_t *square = dt_alloc(to.size * to.size, 3);
    if (!square || dt_picture_upright(file.bytes, file.n, &facts, eighths, &picture, &err)) return fail(&err);
    if (!dt_cut_apply(&cut, &to, &resampler, &picture, eighths, square)) return 1;
    const dt_box *b = &cut.scaling.box;
    const dt_colouring *c = &cut.colouring;
    printf("%zu %zu %.0f %.0f %.0f %.0f %d %.9g %.9g %.9g %u %u\n", height, width, b->y, b->x, b->height, b->width, cut.flip, (double)c->brightness,
           (double)c->contrast, (double)c->saturation, c->order, eighths);
    fwrite(square, 3, to.size * to.size, stdout);
    dt_free(square);
    dt_pixels_release(&picture);
    dt_resampler_release(&resampler);
    dt_encoded_release(&file);
    return 0;
}
