/* What the two files that read descriptions of networks share: described.c walks, description.c reads values. */
#ifndef DT_DESCRIBED_IMPL_H
#define DT_DESCRIBED_IMPL_H

#include "format/format.h"
#include "models/models_impl.h"

/* A number with a name; the innermost of a name counts. */
typedef struct dt_variable {
    const char *name;
    int64_t value;
    const struct dt_variable *outer;
} dt_variable;

enum { DT_LAYER_NAME = 96, DT_MOST_NUMBER = 1 << 20 };

/* "2 * $width", "$i + 1": whole numbers, $names, + - * / and brackets; a division must be exact.
 * Errors: DUET_RECIPE with the place of the value. */
duet_status dt_described_number(const dt_yaml *value, const dt_variable *variables, int64_t *out, duet_error *err);
/* "layer1.$i", "${3 * i}": text with numbers in it. */
duet_status dt_described_text(const dt_yaml *value, const dt_variable *variables, char to[DT_LAYER_NAME], duet_error *err);

#endif
