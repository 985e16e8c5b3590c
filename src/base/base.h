/* The ground every other folder stands on: error text, memory, sizes, random numbers, files, the log, facts about the CPU.
 * Knows nothing of networks. */
#ifndef DT_BASE_H
#define DT_BASE_H

#include <duet/error.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DT_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* ---- error text --------------------------------------------------------------------------------------------- */

/* Stores status and message in err (may be NULL) and returns status, so that `return dt_fail(...)` reads well. */
duet_status dt_fail(duet_error *err, duet_status status, const char *format, ...) DT_PRINTF(3, 4);

/* Puts "context: " in front of the message: each caller adds the part of the place that only it knows. */
void dt_context(duet_error *err, const char *format, ...) DT_PRINTF(2, 3);

/* Our own mistake, in every build: says where and aborts. */
#define DT_BUG(...) dt_bug_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void dt_bug_at(const char *file, int line, const char *format, ...) DT_PRINTF(3, 4);

/* The one macro that hides a return. */
#define DT_TRY(expression)                                                                                             \
    do {                                                                                                               \
        duet_status dt_try_status = (expression);                                                                      \
        if (dt_try_status) return dt_try_status;                                                                       \
    } while (0)

/* The entry of names[0..n) nearest to `name` by edit distance, or NULL if none is near enough to be meant.
 * For "did you mean ...?" in every message about an unknown key, name or file. */
const char *dt_nearest(const char *name, const char *const *names, size_t n);

/* ---- sizes and memory --------------------------------------------------------------------------------------- */

/* a*b and a+b; false, with *out untouched, when the result does not fit. */
bool dt_size_mul(size_t a, size_t b, size_t *out);
bool dt_size_add(size_t a, size_t b, size_t *out);

enum { DT_ALIGN = 64 }; /* every block of dt_alloc starts on a cache line and a full AVX-512 vector */

/* Zeroed, DT_ALIGN-aligned memory for count*size bytes; NULL when it cannot be had or count*size overflows.
 * All of duet's memory outside arenas comes from here, so that tests can make the k-th call fail. */
void *dt_alloc(size_t count, size_t size);
/* The same, not zeroed, aligned to a power of two (a multiple of DT_ALIGN) and of `bytes` rounded up to a multiple of it. */
void *dt_alloc_unset(size_t align, size_t bytes, size_t *rounded);
void *dt_realloc(void *block, size_t old_bytes, size_t new_bytes); /* new bytes are zero; on NULL the old block lives on */
void dt_free(void *block);
void dt_alloc_fail_at(long k); /* tests: the k-th call from now on this thread returns NULL, once; k <= 0: off */

/* Memory that is released at once: the lifetime of an object. Blocks stay where they are, aligned for any C type (not to
 * DT_ALIGN: they are names and small structs, not what kernels read). */
typedef struct dt_arena {
    struct dt_arena_block *blocks;
} dt_arena;
void *dt_arena_alloc(dt_arena *a, size_t count, size_t size); /* zeroed; NULL when memory is out */
char *dt_arena_strdup(dt_arena *a, const char *text);
char *dt_arena_printf(dt_arena *a, const char *format, ...) DT_PRINTF(2, 3);
void dt_arena_release(dt_arena *a); /* the arena is empty and usable afterwards */

/* Text that grows. Errors stick: after a failed allocation everything is a no-op and dt_text_ok is false. */
typedef struct dt_text {
    char *bytes; /* terminated; NULL until the first append */
    size_t length, capacity;
    bool failed;
} dt_text;
void dt_text_append(dt_text *t, const char *format, ...) DT_PRINTF(2, 3);
void dt_text_vappend(dt_text *t, const char *format, va_list args);
bool dt_text_ok(const dt_text *t);
void dt_text_release(dt_text *t);

/* ---- random numbers ----------------------------------------------------------------------------------------- */

/* What a random number is for. Part of the key, so that no two uses share numbers. Values are frozen: they decide bits. */
typedef enum dt_purpose {
    DT_PURPOSE_INIT = 1,    /* index: the parameter's position in its network, epoch: the network */
    DT_PURPOSE_SHUFFLE = 2, /* epoch */
    DT_PURPOSE_AUGMENT = 3, /* epoch, index: place of the image in its data set, view in the high bits */
    DT_PURPOSE_SHAPES = 4,  /* index: image number */
    DT_PURPOSE_SPLIT = 5,   /* which training images are held out */
    DT_PURPOSE_DROPOUT = 6,
    DT_PURPOSE_TIMESTEP = 7,   /* epoch, index: place of the image in its data set */
    DT_PURPOSE_NOISE = 8,      /* the same */
    DT_PURPOSE_VALIDATION = 9, /* index: place of the image in the validation pass */
    DT_PURPOSE_SAMPLE = 10,    /* epoch: the step of a sampler, 0: what it starts from; index: the picture */
    DT_PURPOSE_MIXUP = 11,     /* epoch, index: the batch's place in its pass */
    DT_PURPOSE_TEST = 99
} dt_purpose;

/* A stream of Philox4x32-10 (Salmon et al., SC 2011): the same (seed, purpose, epoch, index) gives the same numbers,
 * whoever asks and in whatever order. Plain value: copy it to branch. */
typedef struct dt_rng {
    uint32_t key[2], counter[4], buffer[4];
    unsigned used; /* of buffer */
} dt_rng;
dt_rng dt_rng_make(uint64_t seed, dt_purpose purpose, uint32_t epoch, uint64_t index);
uint32_t dt_rng_u32(dt_rng *r);
uint32_t dt_rng_below(dt_rng *r, uint32_t n); /* uniform 0..n-1 without modulo bias; n >= 1 */
float dt_rng_uniform(dt_rng *r);              /* [0, 1), 24 bits */
float dt_rng_normal(dt_rng *r);               /* mean 0, deviation 1 (Box-Muller in double, rounded) */
/* Beta(alpha, alpha): 0..1, mean 1/2, variance 1 / (8 alpha + 4); alpha > 0. In double from 53 random bits a number. */
double dt_rng_beta(dt_rng *r, double alpha);
void dt_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* ---- files -------------------------------------------------------------------------------------------------- */

/* A file that appears complete or not at all: bytes go to a temporary name beside `path`; commit flushes them to the
 * disk and renames. Abort, or a crash, leaves an older `path` as it was. The first write error sticks and is returned
 * by commit, so that callers may check once. The temporary name is PATH.tmp; a crash may leave it, the next write reuses it.
 * Errors: DUET_IO; also when `path` is not a regular file or another process is writing it. */
typedef struct dt_file dt_file;
duet_status dt_file_create(const char *path, dt_file **out, duet_error *err);
void dt_file_write(dt_file *f, const void *bytes, size_t n);
duet_status dt_file_commit(dt_file *f, duet_error *err); /* frees f, also on error */
void dt_file_abort(dt_file *f);                          /* frees f; NULL is fine */
/* The three calls in one. */
duet_status dt_file_replace(const char *path, const void *bytes, size_t n, duet_error *err);

/* A whole file, mapped read-only (or read, where it cannot be mapped). Empty files give n = 0. */
typedef struct dt_view {
    const uint8_t *bytes;
    size_t n;
    bool mapped;
} dt_view;
duet_status dt_view_open(const char *path, dt_view *out, duet_error *err);
void dt_view_close(dt_view *v);

duet_status dt_make_folder(const char *path, duet_error *err); /* with parents; an existing folder is fine */
void dt_sha256(const void *bytes, size_t n, char hex[65]);
/* Of a file, read in pieces. */
duet_status dt_sha256_file(const char *path, char hex[65], duet_error *err);

/* ---- the log ------------------------------------------------------------------------------------------------ */

/* Where things worth knowing go. The library never prints; whoever opened the run decides. emit may be NULL. */
typedef struct dt_log_sink {
    void (*emit)(void *user, const char *text);
    void *user;
} dt_log_sink;
void dt_say(const dt_log_sink *log, const char *format, ...) DT_PRINTF(2, 3); /* log may be NULL */

/* ---- options ------------------------------------------------------------------------------------------------ */

typedef enum dt_option_type {
    DT_OPTION_INT,    /* int64_t */
    DT_OPTION_REAL,   /* double */
    DT_OPTION_BOOL,   /* bool */
    DT_OPTION_CHOICE, /* int: position in `choices` */
    DT_OPTION_TEXT,   /* const char *, NULL when empty */
    DT_OPTION_INTS,   /* dt_ints */
    DT_OPTION_REALS,  /* dt_reals */
    DT_OPTION_RATES,  /* dt_rates */
    DT_OPTION_WEIGHTS /* dt_weights */
} dt_option_type;

typedef struct dt_ints {
    int64_t at[16];
    size_t n;
} dt_ints;

typedef struct dt_reals {
    double at[8];
    size_t n;
} dt_reals;

/* Learning rates by the name of a layer: a factor, or `frozen`. */
typedef struct dt_rate {
    const char *layer;
    double scale;
    bool frozen;
} dt_rate;

typedef struct dt_rates {
    dt_rate at[16];
    size_t n;
} dt_rates;

/* A number for each of so many classes, as many as a data set has: a list, or a word that says how to find them. */
typedef struct dt_weights {
    int word; /* position in `choices`; -1: the list */
    const double *at;
    size_t n;
} dt_weights;

/* One option of a recipe section, of a method, of a task. What is true of it is said here once: the parser, the checks,
 * `duet help`, the documentation page and the JSON Schema read it from here. A table ends with a zero row. */
typedef struct dt_option {
    const char *key;
    dt_option_type type;
    size_t offset;       /* of the field in the section's struct */
    const char *initial; /* the default, as a recipe would write it; NULL: must be given */
    double min, max;     /* inclusive; INT, REAL and each of INTS, REALS, RATES and WEIGHTS */
    const char *choices; /* "code|paper"; CHOICE, and the words of WEIGHTS */
    const char *help;    /* one line */
} dt_option;

/* ---- the machine -------------------------------------------------------------------------------------------- */

typedef enum dt_isa { DT_ISA_PORTABLE, DT_ISA_AVX2, DT_ISA_AVX512 } dt_isa;

typedef struct dt_cpu {
    dt_isa isa;       /* the best that this CPU and its operating system offer */
    int cores;        /* that this process may use (affinity, cgroup quota) */
    char model[64];   /* as the CPU names itself */
} dt_cpu;
void dt_cpu_detect(dt_cpu *out);
const char *dt_isa_name(dt_isa isa);

double dt_now_s(void);           /* monotonic seconds */
size_t dt_peak_rss_bytes(void);  /* of this process so far; 0 where unknown */

#endif
