/* Fuzz target: recipes. The parser must refuse or accept any bytes without reading a file, and what it accepts must come back
 * unchanged when it is written and read again. An input is a recipe; lines that start with "#set " are also applied as
 * overrides, so that --set is reached, too. */
#include "recipe/recipe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MAX_SETS = 4, MAX_SET_BYTES = 256 };

/* Copies the overrides in the text. */
static size_t find_sets(const uint8_t *bytes, size_t n, char sets[MAX_SETS][MAX_SET_BYTES])
{
    static const char mark[] = "#set ";
    size_t count = 0;
    for (size_t i = 0; i + sizeof mark <= n && count < MAX_SETS; i++) {
        if ((i > 0 && bytes[i - 1] != '\n') || memcmp(bytes + i, mark, sizeof mark - 1) != 0) continue;
        size_t length = 0;
        for (const uint8_t *s = bytes + i + sizeof mark - 1;
             s + length < bytes + n && s[length] && s[length] != '\n' && length + 1 < MAX_SET_BYTES; length++)
            sets[count][length] = (char)s[length];
        sets[count++][length] = '\0';
    }
    return count;
}

/* Aborts when a recipe changes by being written and read. */
static void round_trip(const dt_recipe *r)
{
    dt_text first = {0}, second = {0};
    duet_error err = {0};
    dt_recipe *again = NULL;
    dt_recipe_write(r, &first);
    if (!dt_text_ok(&first)) abort();
    if (dt_recipe_parse("written", first.bytes, first.length, NULL, 0, &again, &err)) {
        fprintf(stderr, "%s\n%s", err.message, first.bytes);
        abort();
    }
    dt_recipe_write(again, &second);
    if (strcmp(first.bytes, second.bytes) != 0) abort();
    dt_recipe_destroy(again);
    dt_text_release(&first);
    dt_text_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char sets[MAX_SETS][MAX_SET_BYTES];
    const char *overrides[MAX_SETS];
    size_t n_sets = find_sets(bytes, n, sets);
    for (size_t i = 0; i < n_sets; i++) overrides[i] = sets[i];

    duet_error err = {0};
    dt_recipe *r = NULL;
    duet_status status = dt_recipe_parse("fuzz", (const char *)bytes, n, overrides, n_sets, &r, &err);
    if (status && (r || err.status != status || !err.message[0])) abort();
    if (!status) round_trip(r);
    dt_recipe_destroy(r);
    return 0;
}
