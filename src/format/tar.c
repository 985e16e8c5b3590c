/* Tar files walked through by their heads, and heads written.
 *
 *     | head 512 | bytes of the member | zeros to a whole block | head | ... | zeros 512 | zeros 512 |
 *
 * A head may be preceded by members that say more of it: pax records ("x") give a path or a size, GNU's "L" a path. Everything but
 * regular files is passed over. The end mark is insisted on: a copy that was cut off between two members has no other sign of it. */
#include "format/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = DT_TAR_BLOCK, MOST_PAX = 1 << 16 };

/* Fields of a head: where, and how long. */
enum {
    NAME = 0, NAME_BYTES = 100, MODE = 100, OWNER = 108, GROUP = 116, SIZE = 124, SIZE_BYTES = 12, TIME = 136, SUM = 148, SUM_BYTES = 8,
    TYPE = 156, MAGIC = 257, VERSION = 263, PREFIX = 345, PREFIX_BYTES = 155
};

/* ---- heads ----------------------------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i]) return false;
    return true;
}

/* Octal digits between spaces or zeros; or, with the highest bit set, a number of base 256. */
static bool parse_number(const uint8_t *field, size_t n, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    if (field[0] & 0x80) {
        if (field[0] != 0x80) return false; /* negative, or beyond any file */
        for (i = 1; i < n; i++) {
            if (value >> 55) return false;
            value = value << 8 | field[i];
        }
        *out = value;
        return true;
    }
    while (i < n && field[i] == ' ') i++;
    const size_t first = i;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) value = value << 3 | (uint64_t)(field[i] - '0');
    *out = value;
    return i > first && (i == n || field[i] == ' ' || field[i] == 0);
}

/* The sum of a head's bytes, its own field taken for spaces. */
static uint64_t sum_of(const uint8_t *head)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++) sum += i >= SUM && i < SUM + SUM_BYTES ? ' ' : head[i];
    return sum;
}

static bool parse_head(const uint8_t *head, uint64_t *size)
{
    uint64_t sum;
    return parse_number(head + SUM, SUM_BYTES, &sum) && sum == sum_of(head) && parse_number(head + SIZE, SIZE_BYTES, size);
}

bool dt_tar_check_head(const uint8_t head[BLOCK], uint64_t size, char name[101])
{
    uint64_t found;
    memcpy(name, head + NAME, NAME_BYTES);
    name[NAME_BYTES] = '\0';
    return parse_head(head, &found) && found == size;
}

static void write_octal(uint8_t *field, size_t digits, uint64_t value)
{
    for (size_t i = digits; i > 0; i--, value >>= 3) field[i - 1] = (uint8_t)('0' + (value & 7));
}

void dt_tar_head(const char *name, uint64_t size, uint8_t out[BLOCK])
{
    const size_t n = strlen(name);
    if (n == 0 || n > NAME_BYTES || size >> 33) DT_BUG("a tar member of %zu bytes in its name, %llu in all", n, (unsigned long long)size);
    memset(out, 0, BLOCK);
    memcpy(out + NAME, name, n);
    write_octal(out + MODE, 7, 0644);
    write_octal(out + OWNER, 7, 0);
    write_octal(out + GROUP, 7, 0);
    write_octal(out + SIZE, 11, size);
    write_octal(out + TIME, 11, 0);
    out[TYPE] = '0';
    memcpy(out + MAGIC, "ustar", 6);
    memcpy(out + VERSION, "00", 2);
    write_octal(out + SUM, 6, sum_of(out));
    out[SUM + 7] = ' ';
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static duet_status fill(int file, uint64_t offset, uint8_t *out, size_t wanted, size_t *got, duet_error *err)
{
    for (*got = 0; *got < wanted;) {
        const ssize_t n = pread(file, out + *got, wanted - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return dt_fail(err, DUET_IO, "%s", strerror(errno));
        if (n == 0) break;
        *got += (size_t)n;
    }
    return DUET_OK;
}

duet_status dt_tar_read(dt_tar *t, uint64_t offset, void *out, size_t n, duet_error *err)
{
    if (offset > t->end || t->end - offset < n)
        return dt_fail(err, DUET_DATA, "ends after %llu bytes, in the middle of a member; the copy was cut off: fetch it again",
                       (unsigned long long)t->end);
    size_t got;
    if (n > sizeof t->window) {
        DT_TRY(fill(t->file, offset, out, n, &got, err));
        return got == n ? DUET_OK : dt_fail(err, DUET_IO, "became shorter while it was read");
    }
    if (offset < t->window_at || offset + n > t->window_at + t->window_n) {
        DT_TRY(fill(t->file, offset, t->window, sizeof t->window, &t->window_n, err));
        t->window_at = offset;
        if (t->window_n < n) return dt_fail(err, DUET_IO, "became shorter while it was read");
    }
    memcpy(out, t->window + (offset - t->window_at), n);
    return DUET_OK;
}

static duet_status check_begin(dt_tar *t, duet_error *err)
{
    uint8_t head[BLOCK];
    uint64_t size;
    if (t->end < BLOCK) return dt_fail(err, DUET_DATA, "%llu bytes are no tar file", (unsigned long long)t->end);
    DT_TRY(dt_tar_read(t, 0, head, BLOCK, err));
    if (is_zero(head, BLOCK) || parse_head(head, &size)) return DUET_OK;
    const bool packed = (head[0] == 0x1F && head[1] == 0x8B) || memcmp(head, "BZh", 3) == 0 || memcmp(head, "\xFD" "7zXZ", 5) == 0 ||
                        memcmp(head, "\x28\xB5\x2F\xFD", 4) == 0;
    if (packed) return dt_fail(err, DUET_DATA, "a compressed file; pictures are compressed already, and are read at their places: unpack it to a plain .tar");
    return dt_fail(err, DUET_DATA, "no tar file by its first bytes");
}

duet_status dt_tar_open(const char *path, dt_tar *out, duet_error *err)
{
    struct stat facts;
    dt_tar t = {.file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; /* a pipe without a writer must not hang */
    if (t.file < 0) return dt_fail(err, DUET_IO, "%s: %s", path, strerror(errno));
    duet_status st = DUET_OK;
    if (fstat(t.file, &facts) != 0) st = dt_fail(err, DUET_IO, "%s", strerror(errno));
    else if (!S_ISREG(facts.st_mode)) st = dt_fail(err, DUET_DATA, "not a regular file; members are read at their places, which a pipe has not");
    else {
        t.end = (uint64_t)facts.st_size;
        st = check_begin(&t, err);
    }
    if (st) {
        dt_context(err, "%s", path);
        close(t.file);
        return st;
    }
    *out = t;
    return DUET_OK;
}

void dt_tar_close(dt_tar *t)
{
    close(t->file);
    t->file = -1;
}

/* ---- walking --------------------------------------------------------------------------------------------------- */

/* What extension members say of the next head. */
typedef struct more_of_head {
    char name[DT_TAR_NAME]; /* "": nothing */
    uint64_t size;
    bool has_size;
} more_of_head;

static duet_status keep_name(const char *bytes, size_t n, char to[DT_TAR_NAME], duet_error *err)
{
    while (n > 0 && bytes[n - 1] == '\0') n--;
    if (n >= DT_TAR_NAME || memchr(bytes, 0, n)) return dt_fail(err, DUET_DATA, "a member's name has %zu bytes; at most %d are accepted", n, DT_TAR_NAME - 1);
    memcpy(to, bytes, n);
    to[n] = '\0';
    return DUET_OK;
}

/* Records "LENGTH KEY=VALUE\n". */
static duet_status parse_pax(char *text, size_t n, more_of_head *more, duet_error *err)
{
    for (size_t at = 0; at < n && text[at];) {
        char *end = NULL;
        const unsigned long length = text[at] >= '0' && text[at] <= '9' ? strtoul(text + at, &end, 10) : 0;
        if (length < 5 || length > n - at || *end != ' ' || text[at + length - 1] != '\n')
            return dt_fail(err, DUET_DATA, "a damaged pax record");
        const char *key = end + 1, *stop = text + at + length - 1;
        if (stop - key > 5 && memcmp(key, "path=", 5) == 0) DT_TRY(keep_name(key + 5, (size_t)(stop - key - 5), more->name, err));
        if (stop - key > 5 && memcmp(key, "size=", 5) == 0 && key[5] >= '0' && key[5] <= '9') {
            more->size = strtoull(key + 5, NULL, 10);
            more->has_size = true;
        }
        at += length;
    }
    return DUET_OK;
}

static duet_status read_more(dt_tar *t, char type, uint64_t offset, uint64_t size, more_of_head *more, duet_error *err)
{
    if (size > MOST_PAX) return dt_fail(err, DUET_DATA, "%llu bytes of a member's attributes; at most %d are accepted", (unsigned long long)size, MOST_PAX);
    char *text = dt_alloc((size_t)size + 1, 1);
    if (!text) return dt_fail(err, DUET_MEMORY, "not enough memory for a member's attributes");
    duet_status st = dt_tar_read(t, offset, text, (size_t)size, err);
    if (!st) st = type == 'L' ? keep_name(text, (size_t)size, more->name, err) : parse_pax(text, (size_t)size, more, err);
    dt_free(text);
    return st;
}

/* The name in a head, behind its prefix where there is one. */
static void name_in_head(const uint8_t *head, char to[DT_TAR_NAME])
{
    const bool posix = memcmp(head + MAGIC, "ustar", 6) == 0;
    const size_t prefix = posix ? strnlen((const char *)head + PREFIX, PREFIX_BYTES) : 0;
    snprintf(to, DT_TAR_NAME, "%.*s%s%.*s", (int)prefix, (const char *)head + PREFIX, prefix ? "/" : "",
             (int)strnlen((const char *)head + NAME, NAME_BYTES), (const char *)head + NAME);
}

/* Reads a head and moves to the next one. *end: it was the end mark. */
static duet_status take_head(dt_tar *t, uint8_t head[BLOCK], const more_of_head *more, uint64_t *offset, uint64_t *size, bool *end, duet_error *err)
{
    if (t->end - t->at < BLOCK)
        return dt_fail(err, DUET_DATA, "ends without an end mark; the copy was cut off: fetch it again");
    DT_TRY(dt_tar_read(t, t->at, head, BLOCK, err));
    *end = is_zero(head, BLOCK);
    if (*end) return DUET_OK;
    if (!parse_head(head, size)) return dt_fail(err, DUET_DATA, "a damaged head at byte %llu; fetch it again", (unsigned long long)t->at);
    if (more->has_size) *size = more->size;
    *offset = t->at + BLOCK;
    if (*size > t->end - *offset)
        return dt_fail(err, DUET_DATA, "ends in the middle of the member %.100s; the copy was cut off: fetch it again", (const char *)head + NAME);
    const uint64_t padded = (*size + BLOCK - 1) / BLOCK * BLOCK;
    t->at = *offset + (padded < t->end - *offset ? padded : t->end - *offset);
    return DUET_OK;
}

duet_status dt_tar_next(dt_tar *t, dt_tar_member *out, bool *more_members, duet_error *err)
{
    more_of_head more = {.size = 0};
    for (;;) {
        uint8_t head[BLOCK];
        uint64_t offset = 0, size = 0;
        bool end = false;
        DT_TRY(take_head(t, head, &more, &offset, &size, &end, err));
        *more_members = !end;
        if (end) return DUET_OK;
        const char type = (char)head[TYPE];
        if (type == 'x' || type == 'L') {
            DT_TRY(read_more(t, type, offset, size, &more, err));
            continue;
        }
        if (type == '0' || type == '\0' || type == '7') {
            if (*more.name) snprintf(out->name, sizeof out->name, "%s", more.name);
            else name_in_head(head, out->name);
            out->offset = offset;
            out->size = size;
            return DUET_OK;
        }
        more = (more_of_head){.size = 0};
    }
}
