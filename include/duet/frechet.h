/* How far two sets of pictures are apart, as a trained classifier sees them.
 *
 * Each set becomes the mean m and the covariance C (divisor n - 1) of the classifier's features, the map before its last layer averaged
 * over places, and the distance is that of two normal distributions:
 *
 *     |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)
 *
 * With the Inception network of 2015 as the classifier this is called FID; with any other one it is not, and numbers of different
 * extractors cannot be compared. That is why each carries its extractor's name. */
#ifndef DUET_FRECHET_H
#define DUET_FRECHET_H

#include <duet/data.h>
#include <duet/error.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct duet_extractor duet_extractor;

/* Makes features with a classifier's weights file.
 *
 * threads, batch: 0: all cores, a good size. Neither changes a result.
 * Owns:    *out is the caller's, until duet_extractor_close.
 * Errors:  those of duet_network_open; DUET_ARG when it is no classifier; DUET_FORMAT when the file does not say how pictures were
 *          normalised. */
DUET_API duet_status duet_extractor_open(const char *weights, int threads, size_t batch, duet_extractor **out, duet_error *err);
DUET_API void duet_extractor_close(duet_extractor *extractor); /* NULL is fine */

/* "resnet20@0123456789ab": the model, and the first 12 digits of the file's SHA-256. Valid as long as the extractor. */
DUET_API const char *duet_extractor_name(const duet_extractor *extractor);
DUET_API size_t duet_extractor_dimensions(const duet_extractor *extractor);

/* A set of pictures: mean and covariance of its features. Outlives its extractor. */
typedef struct duet_features duet_features;

typedef struct duet_features_options {
    size_t most;   /* only so many pictures, the first ones; 0: all */
    int (*progress)(void *user, size_t done, size_t all); /* anything but 0 stops; NULL: nobody looks */
    void *user;
} duet_features_options;

/* Of a split of a data set, in the order of its records. options may be NULL.
 *
 * Owns:    *out is the caller's, until duet_features_free.
 * Errors:  DUET_SHAPE when pictures have another size than the extractor's, DUET_DATA, DUET_STOPPED, DUET_MEMORY, DUET_DEVICE. */
DUET_API duet_status duet_features_of_data(duet_extractor *extractor, const duet_data *data, duet_split split, const duet_features_options *options,
                                           duet_features **out, duet_error *err);
/* Of the files *.png in a folder, in the order of their names. */
DUET_API duet_status duet_features_of_folder(duet_extractor *extractor, const char *folder, const duet_features_options *options, duet_features **out,
                                             duet_error *err);
DUET_API void duet_features_free(duet_features *features); /* NULL is fine */

enum { DUET_FEW_PER_DIMENSION = 10 }; /* with fewer pictures than so many for each dimension, numbers are mostly bias */

typedef struct duet_frechet {
    double distance;     /* of equal sets: rounding, which may be below 0 */
    double bias;         /* what two samples, of these sizes, of one normal distribution with these covariances are apart */
    double unit_bias;    /* the same for the identity as covariance: (D (D + 1)/4 + D)(1/n1 + 1/n2) */
    double extrapolated; /* to infinitely many pictures: from five sizes, n to n/2, along 1/n; NAN where `few` */
    size_t n[2], dimensions;
    int few;             /* 1: a set has fewer pictures than DUET_FEW_PER_DIMENSION times the dimensions */
    int uneven;          /* 1: the sets differ in size; compare with distances of equally many pictures only */
} duet_frechet;

/* Errors:  DUET_ARG when a set has no more pictures than there are dimensions, or the sets are of different extractors; DUET_NUMERIC,
 *          DUET_MEMORY. On error *out is unchanged. */
DUET_API duet_status duet_frechet_distance(const duet_features *a, const duet_features *b, duet_frechet *out, duet_error *err);

#ifdef __cplusplus
}
#endif
#endif
