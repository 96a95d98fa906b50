/* jpeg.c -- JPEG through libjpeg, from memory, to 8-bit grey or RGB.
 *
 * libjpeg is told to leave by longjmp where it would end the process. Of its warnings, those that
 * say that pixels were lost (data cut short, a bad code) are errors here; others are dropped. */
#include "data/image.h"

bool tp__jpeg_is(const uint8_t *bytes, size_t n) {
    return n >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

#ifndef TAPER_JPEG

tp_status tp__jpeg_decode(const uint8_t *bytes, size_t n, const char *name, bool pixels,
                          tp__image *out) {
    (void)bytes, (void)n, (void)pixels, (void)out;
    return tp_error_set(TP_EFORMAT, "%s: a JPEG image, which this build of taper cannot read",
                        name);
}

#else
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>

enum { SCANS = 200 }; /* a progressive picture of many scans is made to waste time */

typedef struct reader {
    struct jpeg_error_mgr errors; /* first: libjpeg hands back a pointer to it */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    const char *name;
    tp__image *out;
    bool pixels;
    tp_status status;
    char reason[JMSG_LENGTH_MAX];
    jmp_buf out_of_here;
} reader;

/* ---- what libjpeg calls ---------------------------------------------------------------------- */

static void on_error(j_common_ptr jpeg) {
    reader *r = (reader *)(void *)jpeg->err;
    const int code = r->errors.msg_code;
    if (code == JERR_OUT_OF_MEMORY) {
        tp__fail_nomem(0);
        r->status = TP_ENOMEM;
    } else if (code == JWRN_JPEG_EOF || code == JERR_INPUT_EOF || code == JERR_INPUT_EMPTY) {
        r->status = tp_error_set(TP_EFORMAT, "%s: truncated JPEG", r->name);
    } else {
        r->errors.format_message(jpeg, r->reason);
        r->status = tp_error_set(TP_EFORMAT, "%s: damaged JPEG (%s)", r->name, r->reason);
    }
    longjmp(r->out_of_here, 1);
}

static bool loses_pixels(int code) {
    return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
           code == JWRN_MUST_RESYNC || code == JWRN_ARITH_BAD_CODE;
}
static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0 && loses_pixels(jpeg->err->msg_code)) on_error(jpeg);
}
static void on_output(j_common_ptr jpeg) {
    (void)jpeg;
}

/* Give up with a line of our own. */
static void leave(reader *r, tp_status status) {
    r->status = status;
    longjmp(r->out_of_here, 1);
}

static void on_progress(j_common_ptr jpeg) {
    reader *r = (reader *)(void *)jpeg->err;
    if (r->jpeg.input_scan_number <= SCANS) return;
    leave(r, tp_error_set(TP_EFORMAT, "%s: JPEG of more than %d scans", r->name, SCANS));
}

/* ---- reading --------------------------------------------------------------------------------- */

static int choose_colours(reader *r) {
    const J_COLOR_SPACE space = r->jpeg.jpeg_color_space;
    if (space == JCS_CMYK || space == JCS_YCCK)
        leave(r, tp_error_set(TP_EFORMAT, "%s: JPEG in CMYK colours, which are not supported",
                              r->name));
    r->jpeg.out_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    return space == JCS_GRAYSCALE ? 1 : 3;
}

static void read_pixels(reader *r) {
    tp__image *im = r->out;
    const size_t row = (size_t)im->width * (size_t)im->channels;
    jpeg_start_decompress(&r->jpeg);
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        JSAMPROW to = im->pixels + (size_t)r->jpeg.output_scanline * row;
        jpeg_read_scanlines(&r->jpeg, &to, 1);
    }
    jpeg_finish_decompress(&r->jpeg);
}

static void read_image(reader *r, const uint8_t *bytes, size_t n) {
    jpeg_mem_src(&r->jpeg, bytes, (unsigned long)n);
    jpeg_read_header(&r->jpeg, TRUE);
    const unsigned height = r->jpeg.image_height, width = r->jpeg.image_width;
    if (tp__image_check_size(r->name, height, width)) leave(r, TP_EFORMAT);
    const int channels = choose_colours(r);
    if (!r->pixels) {
        *r->out = (tp__image){.height = (int)height, .width = (int)width, .channels = channels};
        return;
    }
    const tp_status s = tp__image_shape(r->out, (int)height, (int)width, channels);
    if (s) leave(r, s);
    read_pixels(r);
}

static bool guarded(reader *r, const uint8_t *bytes, size_t n) {
    if (setjmp(r->out_of_here)) return false;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_output;
    r->progress.progress_monitor = on_progress;
    jpeg_create_decompress(&r->jpeg);
    r->jpeg.progress = &r->progress;
    read_image(r, bytes, n);
    return true;
}

tp_status tp__jpeg_decode(const uint8_t *bytes, size_t n, const char *name, bool pixels,
                          tp__image *out) {
    reader r = {.name = name, .out = out, .pixels = pixels};
    const bool ok = guarded(&r, bytes, n);
    jpeg_destroy_decompress(&r.jpeg); /* fine if it was never made: it is zero then */
    return ok ? TP_OK : r.status;
}
#endif
