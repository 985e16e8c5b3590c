/* What goes wrong, and how a caller learns of it.
 *
 * Every duet function that can fail returns a duet_status and, when the caller gave a duet_error, a sentence in it:
 * the place, what was found, what would be accepted, what to do. Nothing is printed and nothing exits. */
#ifndef DUET_ERROR_H
#define DUET_ERROR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DUET_API __attribute__((visibility("default")))
#else
#define DUET_API
#endif

typedef enum duet_status {
    DUET_OK = 0,
    DUET_ARG,         /* a call or a command line is wrong */
    DUET_RECIPE,      /* a recipe is wrong: key, type, range, combination */
    DUET_SHAPE,       /* shapes that do not fit each other */
    DUET_IO,          /* the operating system refused: file, folder, disk */
    DUET_FORMAT,      /* bytes that are not what the file's name promises */
    DUET_DATA,        /* a data set is missing, short or damaged */
    DUET_NUMERIC,     /* a loss or gradient is not finite */
    DUET_MEMORY,      /* not enough memory */
    DUET_DEVICE,      /* a device cannot do what was asked */
    DUET_UNSUPPORTED, /* known, but not available in this build or combination */
    DUET_STOPPED      /* stopped on request, after a checkpoint */
} duet_status;

enum { DUET_ERROR_BYTES = 512 };

typedef struct duet_error {
    duet_status status;
    char message[DUET_ERROR_BYTES]; /* always terminated; long messages are cut */
} duet_error;

/* The name of a status as it stands above, without prefix and in lower case ("recipe"); never NULL. */
DUET_API const char *duet_status_name(duet_status status);

/* The exit code a program should end with: 0 done, 2 for DUET_ARG and DUET_RECIPE, 130 for DUET_STOPPED, else 1. */
DUET_API int duet_status_exit_code(duet_status status);

/* The entry of names[0..n) nearest to `name`, or NULL if none is near enough to be meant: for "did you mean ...?". */
DUET_API const char *duet_nearest(const char *name, const char *const *names, size_t n);

/* Releases text that a duet function handed out through a char **. NULL is fine. */
DUET_API void duet_text_free(char *text);

/* The library's version, "0.1.0"; never NULL. */
DUET_API const char *duet_version(void);

#ifdef __cplusplus
}
#endif
#endif
