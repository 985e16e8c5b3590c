/* Runs a fuzz target over files, for compilers without libFuzzer and for every test run: replay_X FILE-OR-FOLDER...
 *
 * Each input is tried whole and cut short at every eighth of its length, because a reader of outside bytes meets truncated
 * files more often than anything else. Leaves finding new inputs to the fuzzer. Fails when it found nothing to run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int replay_bytes(const uint8_t *bytes, size_t n)
{
    for (size_t part = 1; part <= 8; part++) {
        /* A copy of exactly this size, so that the address sanitizer sees a read past its end. */
        size_t length = n / 8 * part + (part == 8 ? n % 8 : 0);
        uint8_t *copy = malloc(length ? length : 1);
        if (!copy) return -1;
        for (size_t i = 0; i < length; i++) copy[i] = bytes[i];
        LLVMFuzzerTestOneInput(copy, length);
        free(copy);
    }
    return 0;
}

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    int result = -1;
    uint8_t *bytes = NULL;
    if (fseek(f, 0, SEEK_END)) goto done;
    long size = ftell(f);
    if (size < 0 || fseek(f, 0, SEEK_SET)) goto done;
    size_t n = (size_t)size;
    bytes = malloc(n ? n : 1);
    if (!bytes || fread(bytes, 1, n, f) != n) goto done;
    result = replay_bytes(bytes, n);
done:
    if (result) fprintf(stderr, "%s: cannot be read\n", path);
    free(bytes);
    fclose(f);
    return result;
}

/* Files of a folder, or one file; -1 on the first that cannot be read, else how many ran. */
static long replay(const char *path)
{
    struct stat facts;
    if (stat(path, &facts)) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(facts.st_mode)) return replay_file(path) ? -1 : 1;

    DIR *folder = opendir(path);
    if (!folder) {
        perror(path);
        return -1;
    }
    long count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        char name[4096];
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name) continue;
        long inner = replay(name);
        count = inner < 0 ? -1 : count + inner;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long count = replay(argv[i]);
        if (count < 0) return 1;
        total += count;
    }
    printf("%ld inputs, each whole and at every eighth of its length\n", total);
    return total > 0 ? 0 : 1;
}
