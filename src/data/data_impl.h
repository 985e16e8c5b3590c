/* What the files of src/data share among themselves. */
#ifndef DT_DATA_IMPL_H
#define DT_DATA_IMPL_H

#include "data/data.h"

/* ---- registry ------------------------------------------------------------------------------------------------ */

/* Every built-in kind of data set, in the order in which they are listed. A new one is a file and a name here. */
#define DT_SOURCE_KINDS(X) X(cifar10) X(cifar100) X(shapes)
#define X(name)            extern const dt_source_kind dt_source_kind_##name;
DT_SOURCE_KINDS(X)
#undef X

/* ---- archives ------------------------------------------------------------------------------------------------ */

typedef struct dt_member {
    uint8_t *bytes; /* from dt_alloc; NULL: the archive has no such member */
    size_t n;
} dt_member;

/* Reads the members of a tar file (plain or .gz) whose last path component is names[i] into out[0..n). A member of
 * more than `limit` bytes is cut after limit + 1: enough to see that it is too large, and a promise that a small
 * archive cannot fill memory.
 *
 * Owns:    the caller releases with dt_members_release, also after an error.
 * Errors:  DUET_IO, DUET_DATA (no tar file, damaged, ends early, two members of one name), DUET_MEMORY. */
duet_status dt_archive_read(const char *path, const char *const *names, size_t n, size_t limit, dt_member *out,
                            duet_error *err);
void dt_members_release(dt_member *members, size_t n);

/* ---- the order of a pass ------------------------------------------------------------------------------------- */

/* Fisher-Yates over order[0..n), by (seed, epoch) alone. */
void dt_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
