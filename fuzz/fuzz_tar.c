/* Tar files from strangers: they are walked through to their end or refused with a message, and no member reaches past the file. */
#include "format/format.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(int holds)
{
    if (!holds) abort();
}

static void walk(dt_tar *t)
{
    duet_error err = {0};
    dt_tar_member m;
    uint8_t last;
    bool more = true;
    while (more) {
        const duet_status st = dt_tar_next(t, &m, &more, &err);
        require(!st || (err.status == st && err.message[0]));
        if (st || !more) return;
        require(m.offset <= t->end && m.size <= t->end - m.offset);
        if (m.size) require(dt_tar_read(t, m.offset + m.size - 1, &last, 1, &err) == DUET_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[64];
    duet_error err = {0};
    dt_tar t;
    const int file = memfd_create("fuzz", 0); /* a file with a place in the file system and no disk */
    require(file >= 0 && write(file, bytes, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    const duet_status st = dt_tar_open(path, &t, &err);
    require(!st || (err.status == st && err.message[0]));
    if (!st) {
        walk(&t);
        dt_tar_close(&t);
    }
    close(file);
    return 0;
}
