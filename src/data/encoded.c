/* Pictures as the bytes of their files: read whole into a buffer that is used again, decoded by whoever knows what part of the
 * picture is wanted, and how small. */
#include "data/data_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 29 }; /* more than any picture of DT_PICTURE_PIXELS needs */

duet_status dt_encoded_room(dt_encoded *e, size_t n, duet_error *err)
{
    if (n > MOST_BYTES)
        return dt_fail(err, DUET_DATA, "has %zu bytes; at most %d are accepted for one picture", n, (int)MOST_BYTES);
    if (n > e->room) {
        dt_free(e->bytes);
        e->room = n + n / 2 < 4096 ? 4096 : n + n / 2;
        e->bytes = dt_alloc(e->room, 1);
        if (!e->bytes) {
            e->room = 0;
            return dt_fail(err, DUET_MEMORY, "not enough memory for its %zu bytes", n);
        }
    }
    e->n = n;
    return DUET_OK;
}

static duet_status read_all(int file, dt_encoded *out, duet_error *err)
{
    struct stat facts;
    if (fstat(file, &facts) != 0) return dt_fail(err, DUET_IO, "%s", strerror(errno));
    if (!S_ISREG(facts.st_mode)) return dt_fail(err, DUET_DATA, "not a regular file; a PNG or JPEG is expected");
    DT_TRY(dt_encoded_room(out, (size_t)facts.st_size, err));
    for (size_t done = 0; done < out->n;) {
        const ssize_t got = read(file, out->bytes + done, out->n - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(err, DUET_IO, "%s", strerror(errno));
        if (got == 0) out->n = done; /* it has become shorter */
        done += (size_t)got;
    }
    return DUET_OK;
}

duet_status dt_encoded_read_file(const char *path, dt_encoded *out, duet_error *err)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return dt_fail(err, DUET_IO, "%s: %s", path, strerror(errno));
    duet_status st = read_all(file, out, err);
    close(file);
    if (st) dt_context(err, "%s", path);
    snprintf(out->name, sizeof out->name, "%s", path);
    return st;
}

void dt_encoded_release(dt_encoded *e)
{
    dt_free(e->bytes);
    *e = (dt_encoded){0};
}

static duet_status copy_upright(const dt_encoded *e, dt_pixels *pixels, dt_record *out, duet_error *err)
{
    dt_picture_facts facts;
    size_t height, width;
    DT_TRY(dt_picture_measure_bytes(e->bytes, e->n, &facts, err));
    dt_picture_upright_size(&facts, 8, &height, &width);
    if (height != out->height || width != out->width)
        return dt_fail(err, DUET_DATA, "has %zux%zu pixels (height x width), and had %zux%zu when the data set was opened", height, width,
                       out->height, out->width);
    DT_TRY(dt_picture_upright(e->bytes, e->n, &facts, 8, pixels, err));
    memcpy(out->pixels, pixels->rgb, 3 * height * width);
    return DUET_OK;
}

duet_status dt_read_fetched(const dt_source *s, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    dt_encoded e = {0};
    dt_pixels pixels = {0};
    dt_source_size(s, split, index, &out->height, &out->width);
    duet_status st = s->fetch(s, split, index, &e, err);
    if (!st) {
        out->label = e.label;
        st = copy_upright(&e, &pixels, out, err);
        if (st) dt_context(err, "%s", e.name);
    }
    dt_pixels_release(&pixels);
    dt_encoded_release(&e);
    return st;
}
