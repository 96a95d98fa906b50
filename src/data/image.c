/* image.c -- what all pictures share: memory, telling formats apart, grey and colour.
 *
 * The weights of grey are Pillow's, in 16-bit fixed point; they add up to 65536, so a colour
 * picture of greys loses nothing. */
#include "data/image.h"
#include <string.h>

void tp__image_free(tp__image *im) {
    tp__mfree(im->pixels);
    *im = (tp__image){0};
}

tp_status tp__image_shape(tp__image *im, int height, int width, int channels) {
    const size_t bytes = (size_t)height * (size_t)width * (size_t)channels;
    if (bytes > im->cap) {
        uint8_t *pixels = tp__realloc(im->pixels, bytes);
        if (!pixels) return TP_ENOMEM;
        im->pixels = pixels;
        im->cap = bytes;
    }
    im->height = height;
    im->width = width;
    im->channels = channels;
    return TP_OK;
}

tp_status tp__image_check_size(const char *name, uint64_t height, uint64_t width) {
    if (height > TP__IMAGE_SIDE || width > TP__IMAGE_SIDE)
        return tp_error_set(TP_EFORMAT, "%s: %llu x %llu pixels are too many (at most %d a side)",
                            name, (unsigned long long)width, (unsigned long long)height,
                            TP__IMAGE_SIDE);
    if (height * width > TP__IMAGE_PIXELS)
        return tp_error_set(TP_EFORMAT, "%s: %llu x %llu pixels are too many (at most %d million)",
                            name, (unsigned long long)width, (unsigned long long)height,
                            TP__IMAGE_PIXELS / 1000000);
    return TP_OK;
}

static tp_status read_image(const void *bytes, size_t n, const char *name, bool pixels,
                            tp__image *out) {
    if (tp__png_is(bytes, n)) return tp__png_decode(bytes, n, name, pixels, out);
    if (tp__jpeg_is(bytes, n)) return tp__jpeg_decode(bytes, n, name, pixels, out);
    return tp_error_set(TP_EFORMAT, n ? "%s: not a PNG or JPEG image" : "%s: an empty file", name);
}

tp_status tp__image_decode(const void *bytes, size_t n, const char *name, tp__image *out) {
    return read_image(bytes, n, name, true, out);
}
tp_status tp__image_probe(const void *bytes, size_t n, const char *name, tp__image *out) {
    return read_image(bytes, n, name, false, out);
}

static void to_grey(const uint8_t *rgb, size_t pixels, uint8_t *grey) {
    for (size_t i = 0; i < pixels; i++, rgb += 3)
        grey[i] = (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}
static void to_colour(const uint8_t *grey, size_t pixels, uint8_t *rgb) {
    for (size_t i = 0; i < pixels; i++, rgb += 3) rgb[0] = rgb[1] = rgb[2] = grey[i];
}

tp_status tp__image_recolor(const tp__image *in, int channels, tp__image *out) {
    const tp_status r = tp__image_shape(out, in->height, in->width, channels);
    if (r) return r;
    const size_t pixels = (size_t)in->height * (size_t)in->width;
    if (channels == in->channels)
        memcpy(out->pixels, in->pixels, pixels * (size_t)channels);
    else if (channels == 1)
        to_grey(in->pixels, pixels, out->pixels);
    else
        to_colour(in->pixels, pixels, out->pixels);
    return TP_OK;
}
