/* Files: replaced as a whole or not at all, and read as a whole.
 *
 * A write goes to PATH.tmp in the same folder; commit flushes it, renames it over PATH and flushes the folder. The name is
 * fixed, so that a crash leaves at most one stray file, which the next write reuses; a lock on it keeps two writers apart. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct dt_file {
    dt_arena arena;
    const char *path, *temporary;
    FILE *stream;
    int error; /* errno of the first write that failed */
};

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* Opens and locks the temporary file. Between open and lock another writer may have renamed it into place: then ours is no
 * longer the file of that name, and we try again. */
static int open_temporary(const char *name)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0) return -1;
        struct stat ours, there;
        if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
            close(fd);
            errno = EWOULDBLOCK;
            return -1;
        }
        if (!fstat(fd, &ours) && !stat(name, &there) && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) {
            if (!ftruncate(fd, 0)) return fd;
            int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
        close(fd);
    }
    errno = EWOULDBLOCK;
    return -1;
}

static duet_status open_stream(dt_file *f, duet_error *err)
{
    struct stat old;
    if (!stat(f->path, &old) && !S_ISREG(old.st_mode))
        return dt_fail(err, DUET_IO, "%s: is not a regular file and would be replaced; give another name", f->path);
    int fd = open_temporary(f->temporary);
    if (fd < 0 && errno == EWOULDBLOCK)
        return dt_fail(err, DUET_IO, "%s: another process is writing this file; wait for it or give another name", f->path);
    if (fd < 0)
        return dt_fail(err, DUET_IO, "%s: cannot create %s: %s", f->path, f->temporary, strerror(errno));
    f->stream = fdopen(fd, "wb");
    if (f->stream) return DUET_OK;
    close(fd);
    unlink(f->temporary);
    return dt_fail(err, DUET_MEMORY, "%s: not enough memory to open it", f->path);
}

static void release_file(dt_file *f)
{
    dt_arena arena = f->arena; /* f itself lives in it */
    dt_arena_release(&arena);
}

duet_status dt_file_create(const char *path, dt_file **out, duet_error *err)
{
    dt_arena arena = {0};
    dt_file *f = dt_arena_alloc(&arena, 1, sizeof *f);
    const char *name = dt_arena_strdup(&arena, path);
    const char *temporary = dt_arena_printf(&arena, "%s.tmp", path);
    if (!f || !name || !temporary) {
        dt_arena_release(&arena);
        return dt_fail(err, DUET_MEMORY, "%s: not enough memory to write it", path);
    }
    *f = (dt_file){.arena = arena, .path = name, .temporary = temporary};
    duet_status st = open_stream(f, err);
    if (st) release_file(f);
    else *out = f;
    return st;
}

void dt_file_write(dt_file *f, const void *bytes, size_t n)
{
    if (f->error || n == 0) return;
    errno = 0;
    if (fwrite(bytes, 1, n, f->stream) != n) f->error = errno ? errno : EIO;
}

/* Makes the new name in the folder durable. A file system that cannot flush a folder has nothing to flush. */
static int flush_folder_of(dt_file *f)
{
    const char *slash = strrchr(f->path, '/');
    const char *folder = ".";
    if (slash) folder = dt_arena_printf(&f->arena, "%.*s", slash == f->path ? 1 : (int)(slash - f->path), f->path);
    if (!folder) return 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    int error = fsync(fd) && errno != EINVAL && errno != EROFS ? errno : 0;
    close(fd);
    return error;
}

duet_status dt_file_commit(dt_file *f, duet_error *err)
{
    int error = f->error;
    if (!error && (fflush(f->stream) || fsync(fileno(f->stream)))) error = errno;
    /* Rename before close: closing gives up the lock, and with it the temporary name. */
    if (!error && rename(f->temporary, f->path)) error = errno;
    if (error) unlink(f->temporary);
    if (fclose(f->stream) && !error) error = errno;
    if (!error) error = flush_folder_of(f);
    duet_status st = DUET_OK;
    if (error) {
        const char *mend = error == ENOSPC || error == EDQUOT ? "; make room on the disk and try again" : "";
        st = dt_fail(err, DUET_IO, "%s: cannot write it: %s%s", f->path, strerror(error), mend);
    }
    release_file(f);
    return st;
}

void dt_file_abort(dt_file *f)
{
    if (!f) return;
    unlink(f->temporary);
    fclose(f->stream);
    release_file(f);
}

duet_status dt_file_replace(const char *path, const void *bytes, size_t n, duet_error *err)
{
    dt_file *f;
    DT_TRY(dt_file_create(path, &f, err));
    dt_file_write(f, bytes, n);
    return dt_file_commit(f, err);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* For what cannot be mapped: pipes, files of /proc. */
static duet_status read_all(int fd, const char *path, dt_view *out, duet_error *err)
{
    uint8_t *bytes = NULL;
    size_t n = 0, capacity = 0;
    for (;;) {
        if (n == capacity) {
            size_t larger = capacity ? 2 * capacity : 65536;
            uint8_t *grown = larger > capacity ? dt_realloc(bytes, n, larger) : NULL;
            if (!grown) {
                dt_free(bytes);
                return dt_fail(err, DUET_MEMORY, "%s: not enough memory to read it", path);
            }
            bytes = grown, capacity = larger;
        }
        ssize_t got = read(fd, bytes + n, capacity - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            int error = errno;
            dt_free(bytes);
            return dt_fail(err, DUET_IO, "%s: cannot read it: %s", path, strerror(error));
        }
        if (got == 0) break;
        n += (size_t)got;
    }
    *out = (dt_view){.bytes = bytes, .n = n, .mapped = false};
    return DUET_OK;
}

static int open_to_read(const char *path, struct stat *facts, duet_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !fstat(fd, facts) && S_ISDIR(facts->st_mode)) {
        close(fd);
        dt_fail(err, DUET_IO, "%s: is a folder, not a file", path);
        return -1;
    }
    if (fd < 0) dt_fail(err, DUET_IO, "%s: cannot open it: %s", path, strerror(errno));
    return fd;
}

duet_status dt_view_open(const char *path, dt_view *out, duet_error *err)
{
    struct stat facts = {0};
    int fd = open_to_read(path, &facts, err);
    if (fd < 0) return DUET_IO;
    duet_status st = DUET_OK;
    void *bytes = MAP_FAILED;
    size_t n = (size_t)facts.st_size;
    if (S_ISREG(facts.st_mode) && n > 0) bytes = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes != MAP_FAILED) *out = (dt_view){.bytes = bytes, .n = n, .mapped = true};
    else st = read_all(fd, path, out, err);
    close(fd);
    return st;
}

void dt_view_close(dt_view *v)
{
    if (v->mapped) munmap((void *)(uintptr_t)v->bytes, v->n);
    else dt_free((void *)(uintptr_t)v->bytes);
    *v = (dt_view){0};
}

/* ---- folders ------------------------------------------------------------------------------------------------ */

static duet_status make_one_folder(const char *path, duet_error *err)
{
    if (!mkdir(path, 0777)) return DUET_OK;
    int error = errno;
    struct stat facts;
    if (!stat(path, &facts)) {
        if (S_ISDIR(facts.st_mode)) return DUET_OK;
        return dt_fail(err, DUET_IO, "%s: is a file where a folder is wanted", path);
    }
    return dt_fail(err, DUET_IO, "%s: cannot make the folder: %s", path, strerror(error));
}

duet_status dt_make_folder(const char *path, duet_error *err)
{
    size_t length = strlen(path);
    if (length == 0) return dt_fail(err, DUET_IO, "the name of the folder is empty");
    char *part = dt_alloc(length + 1, 1);
    if (!part) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", path);
    duet_status st = DUET_OK;
    for (size_t i = 1; i <= length && !st; i++) { /* from 1: the root is there */
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        st = make_one_folder(part, err);
    }
    dt_free(part);
    return st;
}
