/* Any bytes as a safetensors file: the reader refuses them, or everything it promises holds and can be touched. */
#include "format/format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(int holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    duet_error err = {0};
    dt_saved *s = NULL;
    duet_status st = dt_saved_parse("input", bytes, n, &s, &err);
    require((st == DUET_OK) == (s != NULL));
    if (st) {
        require(err.status == st && !strncmp(err.message, "input: ", 7));
        return 0;
    }
    volatile unsigned sum = 0;
    const uint8_t *next = s->n_tensors ? s->tensors[0].bytes : bytes + n;
    for (size_t i = 0; i < s->n_tensors; i++) {
        const dt_saved_tensor *t = &s->tensors[i];
        require(t->bytes == next && t->rank <= DT_MAX_RANK && dt_saved_find(s, t->name) == t);
        for (size_t j = 0; j < t->n_bytes; j++) sum += t->bytes[j];
        next = t->bytes + t->n_bytes;
    }
    require(next == bytes + n);
    for (size_t i = 0; i < s->n_metadata; i++) require(dt_saved_metadata(s, s->metadata[i].key) == s->metadata[i].value);
    dt_saved_close(s);
    return 0;
}
