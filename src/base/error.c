/* What is said to people: the message of an error, the nearest known name, the log, and our own bugs.
 *
 * Messages live in the caller's duet_error, so that reporting a failure needs no memory. */
#include "base/base.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_code;
} statuses[] = {
    [DUET_OK] = {"ok", 0},
    [DUET_ARG] = {"arg", 2},
    [DUET_RECIPE] = {"recipe", 2},
    [DUET_SHAPE] = {"shape", 1},
    [DUET_IO] = {"io", 1},
    [DUET_FORMAT] = {"format", 1},
    [DUET_DATA] = {"data", 1},
    [DUET_NUMERIC] = {"numeric", 1},
    [DUET_MEMORY] = {"memory", 1},
    [DUET_DEVICE] = {"device", 1},
    [DUET_UNSUPPORTED] = {"unsupported", 1},
    [DUET_STOPPED] = {"stopped", 130},
};

const char *duet_status_name(duet_status status)
{
    return (size_t)status < DT_COUNT(statuses) ? statuses[status].name : "unknown";
}

int duet_status_exit_code(duet_status status)
{
    return (size_t)status < DT_COUNT(statuses) ? statuses[status].exit_code : 1;
}

duet_status dt_fail(duet_error *err, duet_status status, const char *format, ...)
{
    if (!err) return status;
    char text[DUET_ERROR_BYTES]; /* apart from err: an argument may be the message that stands there */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err->status = status;
    memcpy(err->message, text, sizeof text);
    return status;
}

/* Appends to text[0..used) as much of `more` as fits; returns the new length. */
static size_t append_cut(char text[DUET_ERROR_BYTES], size_t used, const char *more)
{
    size_t n = strnlen(more, DUET_ERROR_BYTES - 1 - used);
    memcpy(text + used, more, n);
    text[used + n] = '\0';
    return used + n;
}

void dt_context(duet_error *err, const char *format, ...)
{
    if (!err) return;
    char text[DUET_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) return;
    size_t used = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    used = append_cut(text, used, ": ");
    append_cut(text, used, err->message);
    memcpy(err->message, text, sizeof text);
}

_Noreturn void dt_bug_at(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "duet: bug at %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    fflush(stderr);
    abort();
}

void dt_say(const dt_log_sink *log, const char *format, ...)
{
    if (!log || !log->emit) return;
    dt_text text = {0};
    va_list args;
    va_start(args, format);
    dt_text_vappend(&text, format, args);
    va_end(args);
    log->emit(log->user, dt_text_ok(&text) ? text.bytes : "(a message was lost: out of memory)");
    dt_text_release(&text);
}

/* ---- nearest name ------------------------------------------------------------------------------------------- */

enum { LONGEST_NAME = 63 };

/* People mix up case, '-' and '_'; none of these should count as a mistake. */
static int folded(char c)
{
    return c == '-' ? '_' : tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string alignment).
 * Rows of the table: i-2, i-1, i. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t rows[3][LONGEST_NAME + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n_b; j++) above[j] = before[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t replaced = above[j - 1] + (folded(a[i - 1]) != folded(b[j - 1]));
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above, above = row, row = oldest;
    }
    return above[n_b];
}

const char *dt_nearest(const char *name, const char *const *names, size_t n)
{
    size_t length = strlen(name), nearest = SIZE_MAX;
    const char *found = NULL;
    if (length == 0 || length > LONGEST_NAME) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(names[i]);
        if (other == 0 || other > LONGEST_NAME) continue;
        size_t distance = edit_distance(name, length, names[i], other);
        /* A third of the letters may be wrong; with more, the guess is noise. */
        size_t allowed = (length > other ? length : other) / 3;
        if (distance <= (allowed ? allowed : 1) && distance < nearest) nearest = distance, found = names[i];
    }
    return found;
}
