/* The distillation methods: how networks that train together learn from each other. */
#ifndef DUET_METHOD_H
#define DUET_METHOD_H

#include <duet/error.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Texts here and below live as long as the library. */
typedef struct duet_method {
    const char *name, *help;
    const char *source;               /* the paper; NULL: none */
    int min_networks, max_networks;
    int companion;                    /* 1: not a method of its own but added to one (adm) */
} duet_method;

/* Fills *out with method i and returns 1, or returns 0 past the last. Companions stand at the end. */
DUET_API int duet_method_at(size_t i, duet_method *out);

/* Errors:  DUET_ARG with the methods there are and the nearest name. */
DUET_API duet_status duet_method_find(const char *name, duet_method *out, duet_error *err);

typedef enum duet_option_type {
    DUET_OPTION_INTEGER,
    DUET_OPTION_NUMBER,
    DUET_OPTION_BOOLEAN,
    DUET_OPTION_CHOICE,
    DUET_OPTION_TEXT,
    DUET_OPTION_INTEGERS,
    DUET_OPTION_NUMBERS
} duet_option_type;

typedef struct duet_option {
    const char *key;
    duet_option_type type;
    const char *initial;  /* the default, as a recipe would write it; NULL: must be given */
    double min, max;      /* inclusive; integers, numbers */
    const char *choices;  /* "mean|sum"; choices only, else NULL */
    const char *help;
} duet_option;

/* Fills *out with option i of the method of that name and returns 1, or returns 0 past the last or where there is no such method. */
DUET_API int duet_method_option_at(const char *method, size_t i, duet_option *out);

#ifdef __cplusplus
}
#endif
#endif
