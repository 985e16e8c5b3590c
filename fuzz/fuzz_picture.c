/* Pictures from strangers: whatever the bytes are, they are read or refused with a message, within the size they say. */
#include "format/format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(int holds)
{
    if (!holds) abort();
}

/* Upright, a JPEG at each part of its size: within the size that was said. */
static void read_upright(const uint8_t *bytes, size_t n, const dt_picture_facts *f)
{
    dt_pixels p = {0};
    for (unsigned eighths = f->jpeg ? 1 : 8; eighths <= 8; eighths++) {
        duet_error err = {0};
        size_t height, width;
        const duet_status st = dt_picture_upright(bytes, n, f, eighths, &p, &err);
        require(!st || (err.status == st && err.message[0]));
        dt_picture_upright_size(f, eighths, &height, &width);
        require(st || (p.height == height && p.width == width && p.room >= 3 * height * width));
    }
    dt_pixels_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { MOST_PLACES = 1 << 16 }; /* larger ones are fine, and slow */
    duet_error err = {0};
    dt_picture_facts f = {0};
    duet_status st = dt_picture_measure_bytes(bytes, n, &f, &err);
    if (st) {
        require(err.status == st && err.message[0]);
        return 0;
    }
    require(f.height > 0 && f.width > 0 && f.height <= DT_PICTURE_SIDE && f.width <= DT_PICTURE_SIDE && f.pixels);
    if (f.height * f.width > MOST_PLACES) return 0;
    uint8_t *out = malloc(f.height * f.width * 3); /* exactly, so that the address sanitizer sees a write past its end */
    require(out != NULL);
    st = dt_picture_read_bytes(bytes, n, f.height, f.width, out, &err);
    require(!st || (err.status == st && err.message[0]));
    free(out);
    out = malloc(f.height * f.width);
    require(out != NULL);
    st = dt_picture_indices_bytes(bytes, n, f.height, f.width, out, &err);
    require(f.indices || st == DUET_DATA);
    free(out);
    require(f.turn >= 1 && f.turn <= 8);
    read_upright(bytes, n, &f);
    return 0;
}
