/* For the files of src/format only: what reading and writing of safetensors share. */
#ifndef DT_FORMAT_IMPL_H
#define DT_FORMAT_IMPL_H

#include "format/format.h"

/* The element types of the format that we know the size of. */
typedef struct dt_element_facts {
    const char *name; /* as files say it */
    size_t bytes;
    dt_element element;
} dt_element_facts;
const dt_element_facts *dt_element_named(const char *name); /* NULL: unknown */
const dt_element_facts *dt_element_of(dt_element element);  /* DT_BUG for DT_ELEMENT_OTHER */

#endif
