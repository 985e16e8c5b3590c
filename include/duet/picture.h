/* Pictures in files: PNG and JPEG read, PNG written.
 *
 * Pixels are bytes, [height, width, 3], channels innermost, in the order red, green, blue. */
#ifndef DUET_PICTURE_H
#define DUET_PICTURE_H

#include <duet/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a picture. Grey becomes three equal channels, palettes their colours, 16 bits their high byte; transparency, colour
 * profiles and an EXIF record's turn are ignored.
 *
 * Owns:    *pixels [height, width, 3] is the caller's, until duet_picture_free. On error nothing is handed out.
 * Errors:  DUET_IO; DUET_DATA: neither PNG nor JPEG, damaged, too large; DUET_MEMORY. Messages name the file.
 * Threads: calls may run at once. */
DUET_API duet_status duet_picture_read(const char *path, uint8_t **pixels, size_t *height, size_t *width, duet_error *err);
DUET_API void duet_picture_free(uint8_t *pixels); /* NULL is fine */

/* Writes a PNG of 8 bits, which appears complete or not at all; equal pixels give equal bytes.
 *
 * Errors:  DUET_IO, DUET_MEMORY; DUET_ARG when a side is 0 or too large. */
DUET_API duet_status duet_picture_write(const char *path, const uint8_t *pixels, size_t height, size_t width, duet_error *err);

/* Classes of pixels [height, width] as a palette PNG: the file's values are the classes, shown in the colours [n_colours] of red,
 * green and blue, n_colours at most 256.
 *
 * Errors:  as duet_picture_write; DUET_ARG also when a class has no colour. */
DUET_API duet_status duet_picture_write_classes(const char *path, const uint8_t *classes, size_t height, size_t width,
                                                const uint8_t (*colours)[3], size_t n_colours, duet_error *err);

#ifdef __cplusplus
}
#endif
#endif
