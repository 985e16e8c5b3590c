/* Any bytes as the archive of a CIFAR set: refused with a message that names the file, or every record it promises
 * can be read and has a label in range. The records inside go through the same checks as those of unpacked files. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void require(int holds)
{
    if (!holds) abort();
}

static void read_all(const dt_source *s, dt_split split, size_t records)
{
    uint8_t *pixels = malloc(32 * 32 * 3); /* exactly, so that the address sanitizer sees a write past its end */
    require(pixels != NULL);
    for (size_t i = 0; i < records; i++) {
        dt_record r = {.pixels = pixels, .label = -1};
        require(s->read(s, split, i, &r, NULL) == DUET_OK);
        require(r.label >= 0 && (size_t)r.label < s->facts.classes);
    }
    free(pixels);
}

static void open_as(const char *name, const char *path)
{
    duet_error err = {0};
    dt_source *s = NULL;
    duet_status st = dt_source_open(name, path, 0, NULL, &s, &err);
    require((st == DUET_OK) == (s != NULL));
    if (st) {
        require(err.status == st && strncmp(err.message, path, strlen(path)) == 0);
        return;
    }
    require(s->facts.train_images > 0 && s->facts.test_images > 0);
    read_all(s, DT_SPLIT_TRAIN, s->facts.train_images);
    read_all(s, DT_SPLIT_TEST, s->facts.test_images);
    dt_source_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[64];
    int file = memfd_create("archive", MFD_CLOEXEC);
    require(file >= 0 && write(file, bytes, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    open_as("cifar10", path);
    open_as("cifar100", path);
    close(file);
    return 0;
}
