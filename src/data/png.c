/* png.c -- PNG through libpng, from memory, to 8-bit grey or RGB.
 *
 * libpng leaves by longjmp when something is wrong; the jump lands in guarded(), whose locals all
 * live in a struct. The warnings of libpng are dropped; its errors become the reason of ours. */
#include "data/image.h"
#include <png.h>
#include <setjmp.h>
#include <string.h>

typedef struct reader {
    const uint8_t *at, *end;
    const char *name;
    tp__image *out;
    png_structp png;
    png_infop info;
    bool pixels;         /* wanted; otherwise the header is enough */
    tp_status status;    /* set where the line of the error is already made */
    char reason[96];     /* otherwise libpng's words */
    const uint8_t *grey; /* a palette of greys: index -> grey */
    uint8_t palette[256];
    jmp_buf out_of_here;
} reader;

bool tp__png_is(const uint8_t *bytes, size_t n) {
    return n >= 8 && !png_sig_cmp(bytes, 0, 8);
}

/* ---- what libpng calls ----------------------------------------------------------------------- */

static void on_error(png_structp png, png_const_charp message) {
    reader *r = png_get_error_ptr(png);
    snprintf(r->reason, sizeof r->reason, "%s", message);
    longjmp(r->out_of_here, 1);
}
static void on_warning(png_structp png, png_const_charp message) {
    (void)png, (void)message;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
    void *p = tp__realloc(NULL, size);
    reader *r = png_get_mem_ptr(png);
    if (!p) r->status = TP_ENOMEM; /* libpng goes on to report an error */
    return p;
}
static void on_free(png_structp png, png_voidp p) {
    (void)png;
    tp__mfree(p);
}

/* Give up with a line of our own, which is already the pending error. */
static void leave(reader *r, tp_status status) {
    r->status = status;
    longjmp(r->out_of_here, 1);
}

static void on_read(png_structp png, png_bytep to, size_t n) {
    reader *r = png_get_io_ptr(png);
    if ((size_t)(r->end - r->at) < n) {
        const uint32_t type = png_get_io_chunk_type(png);
        const char chunk[5] = {(char)(type >> 24), (char)(type >> 16), (char)(type >> 8),
                               (char)type};
        const bool between = png_get_io_state(png) & PNG_IO_CHUNK_HDR;
        const char *where = !type ? "before " : between ? "after " : "";
        tp_error_set(TP_EFORMAT, "%s: truncated PNG (%s%s)", r->name, where, type ? chunk : "IHDR");
        leave(r, TP_EFORMAT);
    }
    memcpy(to, r->at, n);
    r->at += n;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A palette of greys makes a grey picture: some tools store any grey picture this way. */
static bool grey_palette(reader *r) {
    png_colorp colour;
    int n;
    if (!png_get_PLTE(r->png, r->info, &colour, &n)) return false;
    for (int i = 0; i < n; i++) {
        if (colour[i].red != colour[i].green || colour[i].red != colour[i].blue) return false;
        r->palette[i] = colour[i].red;
    }
    r->grey = r->palette;
    return true;
}

/* Ask libpng for 8-bit grey or RGB without alpha; returns the number of channels. */
static int transforms(reader *r) {
    const int type = png_get_color_type(r->png, r->info),
              depth = png_get_bit_depth(r->png, r->info);
    if (depth == 16) png_set_strip_16(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        if (grey_palette(r)) {
            png_set_packing(r->png);
            return 1;
        }
        png_set_palette_to_rgb(r->png);
    } else if (type == PNG_COLOR_TYPE_GRAY && depth < 8) {
        png_set_expand_gray_1_2_4_to_8(r->png);
    }
    png_set_strip_alpha(r->png);
    return type & PNG_COLOR_MASK_COLOR ? 3 : 1;
}

/* Deflate packs at most 1032 bytes into one: a header that claims more is lying, and no memory of
 * that size is asked for. */
static void check_plausible(reader *r, uint32_t height) {
    const uint64_t raw = ((uint64_t)png_get_rowbytes(r->png, r->info) + 1) * height;
    const size_t left = (size_t)(r->end - r->at);
    if (raw / 1032 <= left) return;
    tp_error_set(TP_EFORMAT, "%s: truncated PNG (%zu bytes cannot hold its pixels)", r->name, left);
    leave(r, TP_EFORMAT);
}

static void read_pixels(reader *r) {
    tp__image *im = r->out;
    const int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    const size_t row = (size_t)im->width * (size_t)im->channels;
    if (png_get_rowbytes(r->png, r->info) != row) png_error(r->png, "unexpected row size");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < im->height; y++)
            png_read_row(r->png, im->pixels + (size_t)y * row, NULL);
    png_read_end(r->png, NULL); /* the last checksums */
    if (!r->grey) return;
    for (size_t i = 0; i < row * (size_t)im->height; i++) im->pixels[i] = r->grey[im->pixels[i]];
}

static void read_image(reader *r) {
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); /* ours are below, with a clearer line */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* texts, profiles */
    png_read_info(r->png, r->info);
    const uint32_t width = png_get_image_width(r->png, r->info);
    const uint32_t height = png_get_image_height(r->png, r->info);
    if (tp__image_check_size(r->name, height, width)) leave(r, TP_EFORMAT);
    check_plausible(r, height);
    const int channels = transforms(r);
    if (!r->pixels) {
        *r->out = (tp__image){.height = (int)height, .width = (int)width, .channels = channels};
        return;
    }
    const tp_status s = tp__image_shape(r->out, (int)height, (int)width, channels);
    if (s) leave(r, s);
    read_pixels(r);
}

static bool guarded(reader *r) {
    if (setjmp(r->out_of_here)) return false;
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_malloc,
                                      on_free);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->info) return false;
    read_image(r);
    return true;
}

tp_status tp__png_decode(const uint8_t *bytes, size_t n, const char *name, bool pixels,
                         tp__image *out) {
    reader r = {.at = bytes, .end = bytes + n, .name = name, .out = out, .pixels = pixels};
    const bool ok = guarded(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (ok) return TP_OK;
    if (r.status) return r.status;
    return tp_error_set(TP_EFORMAT, "%s: damaged PNG (%s)", name, r.reason);
}
