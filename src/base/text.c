/* Text that grows while it is written. A failed allocation is remembered instead of reported at each call: a writer of a
 * hundred lines checks once, at the end. */
#include "base/base.h"

#include <string.h>

static bool make_room(dt_text *t, size_t more)
{
    size_t needed;
    if (!dt_size_add(t->length, more, &needed) || !dt_size_add(needed, 1, &needed)) return false;
    if (needed <= t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity : 256;
    while (capacity < needed)
        if (!dt_size_mul(capacity, 2, &capacity)) return false;
    char *grown = dt_realloc(t->bytes, t->capacity, capacity);
    if (!grown) return false;
    t->bytes = grown;
    t->capacity = capacity;
    return true;
}

void dt_text_vappend(dt_text *t, const char *format, va_list args)
{
    if (t->failed) return;
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0 || !make_room(t, (size_t)length)) {
        t->failed = true;
    } else {
        vsnprintf(t->bytes + t->length, (size_t)length + 1, format, again);
        t->length += (size_t)length;
    }
    va_end(again);
}

void dt_text_append(dt_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dt_text_vappend(t, format, args);
    va_end(args);
}

bool dt_text_ok(const dt_text *t)
{
    return !t->failed;
}

void dt_text_release(dt_text *t)
{
    dt_free(t->bytes);
    *t = (dt_text){0};
}
