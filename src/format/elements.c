/* Element types of safetensors: their names in files and their sizes. Types smaller than a byte are not among them. */
#include "format/format_impl.h"

#include <string.h>

static const dt_element_facts elements[] = {
    {"F32", 4, DT_ELEMENT_F32},   {"F64", 8, DT_ELEMENT_F64},       {"I64", 8, DT_ELEMENT_I64},
    {"I32", 4, DT_ELEMENT_I32},   {"U8", 1, DT_ELEMENT_U8},         {"U64", 8, DT_ELEMENT_U64},
    {"F16", 2, DT_ELEMENT_OTHER}, {"BF16", 2, DT_ELEMENT_OTHER},    {"I16", 2, DT_ELEMENT_OTHER},
    {"I8", 1, DT_ELEMENT_OTHER},  {"U32", 4, DT_ELEMENT_OTHER},     {"U16", 2, DT_ELEMENT_OTHER},
    {"BOOL", 1, DT_ELEMENT_OTHER}, {"F8_E4M3", 1, DT_ELEMENT_OTHER}, {"F8_E5M2", 1, DT_ELEMENT_OTHER},
    {"C64", 8, DT_ELEMENT_OTHER},
};

const dt_element_facts *dt_element_named(const char *name)
{
    for (size_t i = 0; i < DT_COUNT(elements); i++)
        if (!strcmp(elements[i].name, name)) return &elements[i];
    return NULL;
}

const dt_element_facts *dt_element_of(dt_element element)
{
    for (size_t i = 0; i < DT_COUNT(elements); i++)
        if (elements[i].element == element && element != DT_ELEMENT_OTHER) return &elements[i];
    DT_BUG("element type %d cannot be written", (int)element);
}
