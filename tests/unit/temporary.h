/* For tests that write files: a fresh folder under $TMPDIR, and reading a file back. */
#ifndef TEMPORARY_H
#define TEMPORARY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The folder's name stays valid until the next call. */
static inline const char *temporary_folder(void)
{
    static char name[256];
    const char *parent = getenv("TMPDIR");
    snprintf(name, sizeof name, "%s/duet-test-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(name)) abort();
    return name;
}

static inline void remove_folder(const char *name)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", name);
    if (system(command)) abort();
}

/* The file's bytes as terminated text, or "" if it is not there. */
static inline const char *file_text(const char *path)
{
    static char text[4096];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f) fclose(f);
    return text;
}

#endif
