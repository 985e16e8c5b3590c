/* Sizes that do not wrap, aligned zeroed blocks, and arenas.
 *
 * Every block of duet comes from dt_alloc, so that one counter can make any of them fail: the tests run each function
 * with its k-th allocation failing, for k = 1, 2, ... until it succeeds. The counter is per thread and only tests set it. */
#include "base/base.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool dt_size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

bool dt_size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

static _Thread_local long calls_until_failure; /* 0: off */

void dt_alloc_fail_at(long k)
{
    calls_until_failure = k > 0 ? k : 0;
}

void *dt_alloc_unset(size_t align, size_t bytes, size_t *rounded)
{
    if (calls_until_failure > 0 && --calls_until_failure == 0) return NULL;
    if (!dt_size_add(bytes, align - 1, rounded)) return NULL;
    *rounded &= ~(align - 1);
    if (*rounded == 0) *rounded = align; /* zero bytes are a block too: NULL always means failure */
    return aligned_alloc(align, *rounded);
}

void *dt_alloc(size_t count, size_t size)
{
    size_t bytes, rounded;
    if (!dt_size_mul(count, size, &bytes)) return NULL;
    void *block = dt_alloc_unset(DT_ALIGN, bytes, &rounded);
    if (block) memset(block, 0, rounded);
    return block;
}

void *dt_realloc(void *block, size_t old_bytes, size_t new_bytes)
{
    void *grown = dt_alloc(1, new_bytes);
    if (!grown) return NULL;
    size_t kept = old_bytes < new_bytes ? old_bytes : new_bytes;
    if (block && kept) memcpy(grown, block, kept);
    dt_free(block);
    return grown;
}

void dt_free(void *block)
{
    free(block);
}

/* ---- arenas --------------------------------------------------------------------------------------------------
 *
 *     arena -> | next | size | used | bytes ...... free | -> | next | ... |
 *
 * New bytes come from the first block; a request that does not fit opens a block at least twice as large as the last, so
 * the number of blocks grows with the logarithm of what they hold. A block never moves. */

struct dt_arena_block {
    struct dt_arena_block *next;
    size_t size, used;
    alignas(max_align_t) unsigned char bytes[];
};

enum { FIRST_BLOCK_BYTES = 2048, LARGEST_DOUBLED_BYTES = 1 << 20 };

static struct dt_arena_block *open_block(dt_arena *a, size_t wanted)
{
    size_t size = FIRST_BLOCK_BYTES, total;
    if (a->blocks) size = a->blocks->size < LARGEST_DOUBLED_BYTES ? 2 * a->blocks->size : LARGEST_DOUBLED_BYTES;
    if (size < wanted) size = wanted;
    if (!dt_size_add(size, sizeof(struct dt_arena_block), &total)) return NULL;
    struct dt_arena_block *block = dt_alloc(1, total);
    if (!block) return NULL;
    block->size = size;
    block->next = a->blocks;
    a->blocks = block;
    return block;
}

void *dt_arena_alloc(dt_arena *a, size_t count, size_t size)
{
    size_t bytes, rounded;
    if (!dt_size_mul(count, size, &bytes) || !dt_size_add(bytes, alignof(max_align_t) - 1, &rounded)) return NULL;
    rounded &= ~(alignof(max_align_t) - 1);
    if (rounded == 0) rounded = alignof(max_align_t);
    struct dt_arena_block *block = a->blocks;
    if (!block || block->size - block->used < rounded) block = open_block(a, rounded);
    if (!block) return NULL;
    void *at = block->bytes + block->used;
    block->used += rounded;
    return at;
}

char *dt_arena_strdup(dt_arena *a, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = dt_arena_alloc(a, bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *dt_arena_printf(dt_arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = length < 0 ? NULL : dt_arena_alloc(a, (size_t)length + 1, 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void dt_arena_release(dt_arena *a)
{
    while (a->blocks) {
        struct dt_arena_block *next = a->blocks->next;
        dt_free(a->blocks);
        a->blocks = next;
    }
}
