/* What the files of the program share: the table of commands, their arguments, the terminal.
 *
 * The program sees <duet/...> only, like any other user of the library. It alone reads the environment (DUET_DATA, NO_COLOR,
 * TERM, COLUMNS), prints and exits. Results go to standard output; errors and the progress line go to standard error. */
#ifndef CLI_H
#define CLI_H

#include <duet/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define CLI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_WRONG = 2, CLI_INTERRUPTED = 130 };

/* ---- commands ----------------------------------------------------------------------------------------------- */

typedef struct cli_option {
    const char *name;  /* "--out" */
    const char *value; /* "DIR"; NULL: it takes none; "[=FORM]": it may take one, written --adm=FORM */
    const char *help;  /* a line or two; folded to the terminal */
} cli_option;

typedef struct cli_arguments cli_arguments;

typedef struct cli_command {
    const char *name, *summary; /* summary: a few words for the list of commands */
    const char *usage;          /* what follows "duet " */
    const char *text;           /* paragraphs, separated by an empty line */
    const char *example;        /* lines */
    const cli_option *options;  /* ends with a zero row */
    size_t least, most;         /* positional arguments */
    int (*run)(const cli_arguments *a);
} cli_command;

const cli_command *cli_command_at(size_t i); /* NULL past the last */
const cli_command *cli_command_find(const char *name); /* NULL: there is none */

extern const cli_command cli_train, cli_eval, cli_predict, cli_look, cli_plan, cli_models, cli_methods, cli_data, cli_bench, cli_help, cli_version;
extern const cli_command cli_sample, cli_frechet;

/* ---- arguments ---------------------------------------------------------------------------------------------- */

enum { CLI_MOST_ARGUMENTS = 256 };

struct cli_arguments {
    const cli_command *command;
    const char *positional[CLI_MOST_ARGUMENTS];
    size_t n_positional;
    struct {
        const cli_option *option;
        const char *value; /* NULL for an option without one */
    } given[CLI_MOST_ARGUMENTS];
    size_t n_given;
};

/* Parses words[0..n) for a command; false, with the mistake said on standard error, when they do not fit. Options may be
 * anywhere; "--" ends them. */
bool cli_arguments_parse(const cli_command *command, const char *const *words, size_t n, cli_arguments *out);

bool cli_given(const cli_arguments *a, const char *option);
/* The last value given, else `otherwise`. */
const char *cli_value(const cli_arguments *a, const char *option, const char *otherwise);
/* Every value given for an option that may be repeated, in order: into out, which has room for CLI_MOST_ARGUMENTS. */
size_t cli_values(const cli_arguments *a, const char *option, const char **out);
/* A whole number of least .. most. false, with the mistake said, when it is none; *out is `otherwise` when it is not given. */
bool cli_whole(const cli_arguments *a, const char *option, int64_t least, int64_t most, int64_t otherwise, int64_t *out);

/* The same for a real number. */
bool cli_real(const cli_arguments *a, const char *option, double least, double most, double otherwise, double *out);

/* ---- saying things ------------------------------------------------------------------------------------------ */

/* "duet: message" on standard error. */
void cli_complain(const char *format, ...) CLI_PRINTF(1, 2);
/* The same for an error of the library; returns the exit code that goes with it. */
int cli_fail(const duet_error *err);

typedef enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_GOOD, CLI_NAME, CLI_BAD } cli_style;
/* The bytes that switch a style on, or "" where the stream is no terminal or colours are not wanted. */
const char *cli_on(FILE *stream, cli_style style);
const char *cli_off(FILE *stream);

bool cli_is_terminal(FILE *stream);
int cli_width(void);      /* columns of the terminal; 80 where there is none */
bool cli_unicode(void);   /* may characters beyond ASCII be printed? */

/* Paragraphs of text, folded at the terminal's width (at most 100), every line after `indent` spaces. */
void cli_print_folded(FILE *stream, int indent, const char *text);
/* Two columns: a term in the style of names, and folded text that starts at `column`. */
void cli_print_entry(const char *term, int column, const char *text);
/* A heading in bold, and a line of the table's head in dim. */
void cli_heading(const char *text);

/* "1,234,567" */
const char *cli_thousands(uint64_t n, char text[32]);
/* How many digits after the point a rate is shown with: 1234, 47.1, 0.46. */
int cli_rate_digits(double per_second);
/* "1:02:03", "2:03" */
const char *cli_duration(double seconds, char text[32]);
/* A JSON string literal. */
void cli_json_string(FILE *stream, const char *text);
/* A word as a shell would need it: as it is, or in single quotes. */
void cli_print_word(FILE *stream, const char *word);

/* ---- a long wait: one line on standard error, redrawn; nothing where that is no terminal ------------------------ */

typedef struct cli_progress {
    const char *what;
    double began, drawn_at, seconds; /* seconds: it took, after the end */
    bool drawn;
} cli_progress;
cli_progress cli_progress_begin(const char *what);
void cli_progress_draw(cli_progress *p, size_t done, size_t all); /* cheap enough for an inner loop */
void cli_progress_end(cli_progress *p);

/* ---- common to several commands ------------------------------------------------------------------------------ */

/* Where a built-in data set lies: `given`, else $DUET_DATA/NAME, else NULL. NULL also for one that needs no files. The text is
 * valid until the next call. */
const char *cli_data_path(const char *name, const char *given);

/* `duet data check DIR|RECIPE` and `duet data pack DIR OUT` (data_check.c). */
int cli_data_check(const cli_arguments *a);
int cli_data_pack(const cli_arguments *a);

/* Makes a folder, and every part of its path that is missing. CLI_DONE, or the mistake is said and CLI_FAILED comes back. */
int cli_make_folder(const char *path);

/* What a command's --help prints. */
void cli_print_command(const cli_command *command);

#endif
