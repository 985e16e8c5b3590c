/* JPEG by way of libjpeg-turbo, from memory. Errors jump back as in png.c: what may jump is a step, a function of the job
 * alone.
 *
 * The library goes on after most damage and fills what is missing with grey, with a warning. Here those warnings are
 * errors, because a picture that is half grey would be learned from; harmless ones (bytes between markers, odd headers)
 * pass. The slow, exact transform is used: its results are the same with and without vector instructions. */
#include "format/picture_impl.h"

#include <stdio.h> /* before jpeglib.h, which needs it */

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>
#include <string.h>

enum {
    CHANNELS = 3,
    MOST_MARKER = 0xFFFF, /* bytes: any */
    MOST_SCANS = 500 /* a progressive file can hold any number of them, each the size of the picture */
};

typedef struct jpeg_job {
    struct jpeg_error_mgr errors; /* first: the library's pointer to it is one to the job */
    struct jpeg_decompress_struct d;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    bool memory; /* that was what ran out */
    const uint8_t *bytes;
    size_t n;
    unsigned eighths;
    uint8_t *out;
} jpeg_job;

static _Noreturn void on_error(j_common_ptr common)
{
    jpeg_job *j = (jpeg_job *)common->err;
    common->err->format_message(common, j->message);
    j->memory = common->err->msg_code == JERR_OUT_OF_MEMORY;
    longjmp(j->back, 1);
}

/* level < 0: a warning; the rest is chatter. */
static void on_message(j_common_ptr common, int level)
{
    switch (common->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR: return;
    default:
        if (level < 0) on_error(common);
    }
}

static void on_progress(j_common_ptr common)
{
    jpeg_job *j = (jpeg_job *)common->err;
    if (j->d.input_scan_number <= MOST_SCANS) return;
    snprintf(j->message, sizeof j->message, "more than %d scans", (int)MOST_SCANS);
    longjmp(j->back, 1);
}

static bool guarded(jpeg_job *j, void (*step)(jpeg_job *))
{
    if (setjmp(j->back)) return false;
    step(j);
    return true;
}

static void read_head(jpeg_job *j)
{
    jpeg_create_decompress(&j->d);
    j->progress.progress_monitor = on_progress;
    j->d.progress = &j->progress;
    jpeg_mem_src(&j->d, j->bytes, (unsigned long)j->n);
    if (!j->out) jpeg_save_markers(&j->d, JPEG_APP0 + 1, MOST_MARKER);
    jpeg_read_header(&j->d, TRUE);
}

/* Printers' colours, stored upside down as Adobe does it, or not. */
static void multiply_out(const uint8_t *cmyk, size_t n, bool inverted, uint8_t *rgb)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < CHANNELS; k++) {
            unsigned ink = cmyk[4 * i + k], black = cmyk[4 * i + 3];
            if (!inverted) ink = 255 - ink, black = 255 - black;
            rgb[CHANNELS * i + k] = (uint8_t)((ink * black + 127) / 255);
        }
}

static void read_pixels(jpeg_job *j)
{
    struct jpeg_decompress_struct *d = &j->d;
    const bool cmyk = d->num_components == 4;
    d->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    d->dct_method = JDCT_ISLOW;
    d->scale_num = j->eighths;
    d->scale_denom = 8;
    jpeg_start_decompress(d);
    const size_t width = d->output_width;
    JSAMPARRAY inks = NULL;
    if (cmyk) inks = d->mem->alloc_sarray((j_common_ptr)d, JPOOL_IMAGE, (JDIMENSION)(4 * width), 1);
    while (d->output_scanline < d->output_height) {
        JSAMPROW row = j->out + d->output_scanline * width * CHANNELS;
        jpeg_read_scanlines(d, inks ? inks : &row, 1);
        if (inks) multiply_out(inks[0], width, d->saw_Adobe_marker, row);
    }
    jpeg_finish_decompress(d);
}

/* How the camera was held; the first EXIF record counts. */
static unsigned turn_of(const struct jpeg_decompress_struct *d)
{
    static const uint8_t name[6] = "Exif\0";
    for (jpeg_saved_marker_ptr m = d->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > sizeof name && memcmp(m->data, name, sizeof name) == 0)
            return dt_exif_turn(m->data + sizeof name, m->data_length - sizeof name);
    return 1;
}

/* facts NULL: reads pixels. */
static duet_status run(jpeg_job *j, dt_picture_facts *facts, duet_error *err)
{
    j->d.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    const bool fine = guarded(j, read_head) && (facts || guarded(j, read_pixels));
    if (fine && facts)
        *facts = (dt_picture_facts){
            .height = j->d.image_height,
            .width = j->d.image_width,
            .bits = (unsigned)j->d.data_precision,
            .pixels = j->d.num_components == 1   ? "grey"
                      : j->d.num_components == 4 ? "CMYK"
                                                 : "RGB",
            .jpeg = true,
            .turn = turn_of(&j->d),
        };
    jpeg_destroy_decompress(&j->d); /* of a job that never came so far, too */
    if (fine) return DUET_OK;
    if (j->memory) return dt_fail(err, DUET_MEMORY, "not enough memory for reading a JPEG");
    return dt_picture_damaged(&dt_picture_jpeg, j->message, err);
}

static bool recognises_jpeg(const uint8_t *bytes, size_t n)
{
    return n >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

static duet_status jpeg_facts(const uint8_t *bytes, size_t n, dt_picture_facts *out, duet_error *err)
{
    jpeg_job job = {.bytes = bytes, .n = n};
    return run(&job, out, err);
}

static duet_status jpeg_pixels(const uint8_t *bytes, size_t n, dt_picture_wish wish, uint8_t *out, duet_error *err)
{
    if (wish.indices) DT_BUG("a JPEG is to be read as classes");
    if (wish.eighths < 1 || wish.eighths > 8) DT_BUG("a JPEG is to be read at %u eighths of its size", wish.eighths);
    jpeg_job job = {.bytes = bytes, .n = n, .eighths = wish.eighths, .out = out};
    return run(&job, NULL, err);
}

const dt_picture_format dt_picture_jpeg = {"JPEG", recognises_jpeg, jpeg_facts, jpeg_pixels};
