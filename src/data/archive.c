/* Members of a tar file, read into memory: how a data set is used straight from the archive it is published in.
 * Knows nothing of what the members mean. */
#include "data/data_impl.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

enum { PIECE = 1 << 20 };

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static duet_status damaged(struct archive *a, const char *path, duet_error *err)
{
    const char *why = archive_error_string(a);
    return dt_fail(err, DUET_DATA,
                   "%s: not a readable .tar or .tar.gz archive (%s); it is damaged or incomplete: fetch it again", path,
                   why ? why : "no reason given");
}

/* Reads on until the member ends or has more than `limit` bytes. The size in its header is a hint for the first
 * allocation, not believed. */
static duet_status read_member(struct archive *a, struct archive_entry *entry, const char *path, size_t limit,
                               dt_member *out, duet_error *err)
{
    int64_t promised = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : PIECE;
    size_t room = 0, first = promised >= 0 && (uint64_t)promised < limit ? (size_t)promised + 1 : limit + 1;
    for (;;) {
        if (out->n == room) {
            if (room > limit) return DUET_OK; /* too large, and seen to be */
            size_t more = room ? 2 * room : first;
            if (more > limit + 1) more = limit + 1;
            uint8_t *grown = dt_realloc(out->bytes, room, more);
            if (!grown) return dt_fail(err, DUET_MEMORY, "%s: %zu bytes of memory are not there", path, more);
            out->bytes = grown;
            room = more;
        }
        la_ssize_t got = archive_read_data(a, out->bytes + out->n, room - out->n);
        if (got < 0) return damaged(a, path, err);
        if (got == 0) return DUET_OK;
        out->n += (size_t)got;
    }
}

/* Stops as soon as every name is found: what follows is not looked at. */
static duet_status read_members(struct archive *a, const char *path, const char *const *names, size_t n, size_t limit,
                                dt_member *out, duet_error *err)
{
    for (size_t found = 0; found < n;) {
        struct archive_entry *entry;
        int got = archive_read_next_header(a, &entry);
        if (got == ARCHIVE_EOF) return DUET_OK;
        if (got < ARCHIVE_WARN) return damaged(a, path, err);
        const char *member = archive_entry_pathname(entry);
        if (!member || archive_entry_filetype(entry) != AE_IFREG) continue;
        for (size_t i = 0; i < n; i++) {
            if (strcmp(last_component(member), names[i]) != 0) continue;
            if (out[i].bytes)
                return dt_fail(err, DUET_DATA, "%s: has two members called %s; unpack it and give the folder instead",
                               path, names[i]);
            DT_TRY(read_member(a, entry, path, limit, &out[i], err));
            found++;
            break;
        }
    }
    return DUET_OK;
}

duet_status dt_archive_read(const char *path, const char *const *names, size_t n, size_t limit, dt_member *out,
                            duet_error *err)
{
    memset(out, 0, n * sizeof *out);
    struct archive *a = archive_read_new();
    if (!a) return dt_fail(err, DUET_MEMORY, "%s: out of memory", path);
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    duet_status st = archive_read_open_filename(a, path, PIECE) == ARCHIVE_OK
                         ? read_members(a, path, names, n, limit, out, err)
                         : damaged(a, path, err);
    archive_read_free(a);
    return st;
}

void dt_members_release(dt_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dt_free(members[i].bytes);
        members[i] = (dt_member){0};
    }
}
