/* Bytes in, bytes out: the file formats, without any idea of training. Every reader of outside bytes has a fuzz target. */
#ifndef DT_FORMAT_H
#define DT_FORMAT_H

#include "base/base.h"

/* ---- safetensors (https://github.com/huggingface/safetensors, format section of its README) ------------------ */

typedef enum dt_element { DT_ELEMENT_F32, DT_ELEMENT_F64, DT_ELEMENT_I64, DT_ELEMENT_I32, DT_ELEMENT_U8, DT_ELEMENT_U64, DT_ELEMENT_OTHER } dt_element;

enum { DT_MAX_RANK = 8 };

typedef struct dt_saved_tensor {
    const char *name;
    dt_element element;
    char element_name[8]; /* as the file says it: "F32", "BF16" */
    int rank;
    size_t shape[DT_MAX_RANK];
    const uint8_t *bytes; /* into the mapped file: little-endian, possibly unaligned */
    size_t n_bytes;
} dt_saved_tensor;

typedef struct dt_saved {
    dt_saved_tensor *tensors; /* in the order of their bytes */
    size_t n_tensors;
    struct { const char *key, *value; } *metadata;
    size_t n_metadata;
    dt_view view;
    dt_arena arena;
} dt_saved;

/* Opens and checks: header length, JSON without duplicate keys, types, shapes times element size = bytes, offsets in range,
 * without gaps or overlap. Messages name the tensor and both numbers. */
duet_status dt_saved_open(const char *path, dt_saved **out, duet_error *err);
duet_status dt_saved_parse(const char *name, const uint8_t *bytes, size_t n, dt_saved **out, duet_error *err); /* bytes: borrowed while open */
void dt_saved_close(dt_saved *s);
const dt_saved_tensor *dt_saved_find(const dt_saved *s, const char *name); /* NULL: none */
const char *dt_saved_metadata(const dt_saved *s, const char *key);         /* NULL: none */

/* Writing: declare every tensor, then give their bytes in the same order; the file appears at commit or not at all. */
typedef struct dt_saver dt_saver;
duet_status dt_saver_create(const char *path, dt_saver **out, duet_error *err);
void dt_saver_metadata(dt_saver *s, const char *key, const char *value);
void dt_saver_declare(dt_saver *s, const char *name, dt_element element, int rank, const size_t *shape);
void dt_saver_bytes(dt_saver *s, const void *bytes, size_t n); /* the next tensor's, in one or more pieces */
duet_status dt_saver_commit(dt_saver *s, duet_error *err);     /* frees s, also on error; DT_BUG if bytes are missing */
void dt_saver_abort(dt_saver *s);

/* ---- JSON lines and CSV, written ------------------------------------------------------------------------------ */

/* Appends one JSON string literal, escaped (UTF-8; bytes that are not become U+FFFD). */
void dt_json_string(dt_text *out, const char *text);
/* Appends a number; not finite: null. Shortest text that reads back to the same double. */
void dt_json_number(dt_text *out, double value);
/* Appends a CSV field, quoted where needed (RFC 4180). */
void dt_csv_field(dt_text *out, const char *text);

/* ---- tar files, member by member (POSIX ustar and pax, GNU's long names) ----------------------------------------- */

enum { DT_TAR_BLOCK = 512, DT_TAR_NAME = 1024 };

typedef struct dt_tar_member {
    char name[DT_TAR_NAME];
    uint64_t offset, size; /* of its bytes in the file */
} dt_tar_member;

/* A file being walked through. Only heads are read, and what is asked for: bytes of members are passed over. */
typedef struct dt_tar {
    int file;
    uint64_t at, end;    /* the next head; the file's size */
    uint8_t window[4096];/* of the file, from window_at */
    uint64_t window_at;
    size_t window_n;
} dt_tar;

/* Errors: DUET_IO; DUET_DATA: no tar file (a compressed one is named as such). Messages name the file. */
duet_status dt_tar_open(const char *path, dt_tar *out, duet_error *err);
void dt_tar_close(dt_tar *t);
/* The next regular file; *more is false after the last. Errors, without the file's name: DUET_IO; DUET_DATA: a damaged head, a member
 * that reaches past the end of the file, no end mark (what a cut-off copy lacks), a name that is too long. */
duet_status dt_tar_next(dt_tar *t, dt_tar_member *out, bool *more, duet_error *err);
/* n bytes of the file from `offset`; DUET_DATA: it ends before that. */
duet_status dt_tar_read(dt_tar *t, uint64_t offset, void *out, size_t n, duet_error *err);
/* The name in a head as it stands (at most 100 bytes, then a zero); false: these are no head of a member of `size` bytes. */
bool dt_tar_check_head(const uint8_t head[DT_TAR_BLOCK], uint64_t size, char name[101]);
/* The head of a regular file, which its bytes and zeros to a whole block follow; name of at most 100 bytes. Equal members give equal
 * bytes: mode 0644, no owner, time 0. Two blocks of zeros end an archive. */
void dt_tar_head(const char *name, uint64_t size, uint8_t out[DT_TAR_BLOCK]);

/* ---- pictures: PNG and JPEG, told apart by their first bytes ---------------------------------------------------- */

/* What its head says; nothing is decoded. */
typedef struct dt_picture_facts {
    size_t height, width;
    unsigned bits;      /* of a channel, as stored */
    const char *pixels; /* "grey", "palette", "RGB", "grey and alpha", "RGB and alpha", "CMYK": for messages */
    bool jpeg;
    bool indices;       /* a grey or palette PNG of at most 8 bits: its values can be classes */
    unsigned turn;      /* how its EXIF record says that the camera was held, 1 to 8; 1: upright, or it does not say */
} dt_picture_facts;

/* A picture that says it is larger is refused before anything is allocated for it: a small file can claim any size. */
enum { DT_PICTURE_SIDE = 1 << 15, DT_PICTURE_PIXELS = 1 << 26 };

/* Each of the three comes for a file and for bytes in memory, whose name the caller then adds to messages.
 *
 * read:    to [height, width, 3] RGB bytes. Grey becomes three equal channels, palettes their colours, 16 bits their high
 *          byte, CMYK is multiplied out; transparency and colour profiles are ignored, and so is the turn that an EXIF
 *          record may ask for, because masks would not turn with it (dt_picture_upright turns).
 * indices: to [height, width]: the values of a grey picture or the indices into a palette, never its colours.
 * Errors:  DUET_IO; DUET_DATA: neither PNG nor JPEG, damaged (checksums, the end of the file), too large, another
 *          size than the caller's height and width, no indices where they are wanted; DUET_MEMORY.
 * Threads: calls may run at once. What the decoders need they allocate and free within the call. */
duet_status dt_picture_measure(const char *path, dt_picture_facts *out, duet_error *err);
duet_status dt_picture_read(const char *path, size_t height, size_t width, uint8_t *rgb, duet_error *err);
duet_status dt_picture_indices(const char *path, size_t height, size_t width, uint8_t *indices, duet_error *err);
duet_status dt_picture_measure_bytes(const uint8_t *bytes, size_t n, dt_picture_facts *out, duet_error *err);
duet_status dt_picture_read_bytes(const uint8_t *bytes, size_t n, size_t height, size_t width, uint8_t *rgb, duet_error *err);
duet_status dt_picture_indices_bytes(const uint8_t *bytes, size_t n, size_t height, size_t width, uint8_t *indices,
                                     duet_error *err);
/* DUET_DATA, with what was found and what is accepted, unless facts.indices. */
duet_status dt_picture_check_indices(const dt_picture_facts *f, duet_error *err);

/* A picture as people see it: turned as its EXIF record says, else as dt_picture_read_bytes gives it. The buffers grow and
 * are used again: one dt_pixels for many pictures. */
typedef struct dt_pixels {
    uint8_t *rgb;         /* [height, width, 3] */
    size_t height, width;
    size_t room;          /* bytes behind rgb */
    uint8_t *stored;      /* as it lies in the file, of a picture that is turned */
    size_t stored_room;
} dt_pixels;
/* The size of the upright picture at eighths/8, each side rounded up. Only JPEGs have other eighths than 8. */
void dt_picture_upright_size(const dt_picture_facts *f, unsigned eighths, size_t *height, size_t *width);
/* Decodes bytes of which `facts` was measured; eighths 1 to 8 (JPEG; else 8). A JPEG is then decoded at that size by a transform
 * of fewer points, each of which is the mean, band-limited, of the pixels that it stands for, and takes less time.
 * Errors: DUET_DATA (damaged), DUET_MEMORY. */
duet_status dt_picture_upright(const uint8_t *bytes, size_t n, const dt_picture_facts *facts, unsigned eighths, dt_pixels *to,
                               duet_error *err);
void dt_pixels_release(dt_pixels *p); /* a zeroed one is fine */

/* A PNG of 8 bits, which appears complete or not at all; equal pixels give equal bytes.
 * colours: NULL: pixels are RGB [height, width, 3]; else pixels are indices [height, width] into `n_colours` (at most 256)
 * RGB triples, and an index past their end is a bug of the caller. */
duet_status dt_png_write(const char *path, const uint8_t *pixels, size_t height, size_t width, const uint8_t (*colours)[3],
                         size_t n_colours, duet_error *err);

/* ---- YAML: text to a tree in which every node knows its place ---------------------------------------------------- */

/* Where something was written. line 0: `file` alone names the place ("--set train.lr=x"). */
typedef struct dt_spot {
    const char *file;
    int line, column; /* from 1 */
} dt_spot;

/* "place: key: text" with DUET_RECIPE. key NULL: none. */
duet_status dt_fail_at(duet_error *err, dt_spot at, const char *key, const char *format, ...) DT_PRINTF(4, 5);

typedef enum dt_yaml_kind { DT_YAML_EMPTY, DT_YAML_SCALAR, DT_YAML_LIST, DT_YAML_MAP } dt_yaml_kind;

typedef struct dt_yaml {
    dt_yaml_kind kind;
    bool quoted;      /* a scalar in quotes or a block scalar: text, whatever it looks like */
    bool selects;     /* a map made from "networks.teacher.x": its keys pick elements of a list */
    const char *text; /* of a scalar; printable UTF-8 without line breaks */
    dt_spot at;
    const char *key; /* NULL: not in a map */
    dt_spot key_at;
    struct dt_yaml *first, *last, *next; /* children; the next sibling */
} dt_yaml;

/* What messages call the file that is read. */
typedef struct dt_yaml_form {
    const char *kind;    /* "recipe" */
    const char *least;   /* what one has at least: "`data`, `networks` and `method`" */
    const char *sharing; /* instead of anchors, behind a comma, or "" */
    bool no_positions;   /* the name stands alone in messages: it is no file */
} dt_yaml_form;

/* Reads one document. name: the file, for messages. An empty document is an error.
 * Refused, with their place: YAML that is not valid, anchors, aliases, tags, a second document, duplicate keys, keys that
 * are not text, control characters, input that is absurdly large or deep. The tree lives in `arena`. */
duet_status dt_yaml_parse(const char *name, const dt_yaml_form *as, const char *text, size_t bytes, dt_arena *arena,
                          dt_yaml **out, duet_error *err);
dt_yaml *dt_yaml_find(const dt_yaml *map, const char *key); /* NULL: none, or not a map */
void dt_yaml_append(dt_yaml *parent, dt_yaml *child);
void dt_yaml_remove(dt_yaml *parent, const dt_yaml *child);
/* The place of the node at "networks.1.name", or of the last node on the way to it that there is. */
dt_spot dt_yaml_place(const dt_yaml *root, const char *path);

/* What was found, for messages: `12`, `the text "12" in quotes`, `a list`, `nothing`; long text is cut. Returns `to`. */
enum { DT_FOUND_BYTES = 96 };
const char *dt_yaml_found(const dt_yaml *node, char to[DT_FOUND_BYTES]);

#endif
