/* image.h -- pictures as plain bytes: decoding PNG and JPEG, grey and colour, resizing.
 *
 * No tensors here. What a decoder gives is what Pillow gives: alpha is dropped, 16 bits are cut to
 * their high byte, neither gamma nor EXIF orientation is applied. A picture that is damaged in any
 * way that matters to its pixels is refused with one line that names it. */
#ifndef TAPER_SRC_DATA_IMAGE_H
#define TAPER_SRC_DATA_IMAGE_H
#include "base/base.h"

/* Larger pictures are refused: a small file can claim any size. */
enum { TP__IMAGE_SIDE = 16384, TP__IMAGE_PIXELS = 100000000 };

/* Zero one first. Decoding again into the same one reuses its memory. */
typedef struct tp__image {
    uint8_t *pixels; /* [height, width, channels] */
    int height, width;
    int channels; /* 1: grey, 3: red, green, blue */
    size_t cap;   /* bytes that pixels has room for */
} tp__image;

void tp__image_free(tp__image *im);
/* Give im this shape, its pixels undefined. */
tp_status tp__image_shape(tp__image *im, int height, int width, int channels);

/* A PNG or JPEG file of n bytes, told apart by its first bytes. EFORMAT "NAME: reason". */
tp_status tp__image_decode(const void *bytes, size_t n, const char *name, tp__image *out);
/* Only the shape that decoding would give; pixels stay NULL. */
tp_status tp__image_probe(const void *bytes, size_t n, const char *name, tp__image *out);

/* Grey to colour repeats; colour to grey is 0.299 r + 0.587 g + 0.114 b in 16-bit fixed point. */
tp_status tp__image_recolor(const tp__image *in, int channels, tp__image *out);
/* Bilinear with a triangle as wide as the reduction (no aliasing), in 8-bit fixed point: Pillow's
 * resize(..., BILINEAR) bit for bit. The aspect ratio is not kept. */
tp_status tp__image_resize(const tp__image *in, int height, int width, tp__image *out);

/* ---- png.c, jpeg.c: one format each; called by tp__image_decode only ------------------------- */
bool tp__png_is(const uint8_t *bytes, size_t n);
tp_status tp__png_decode(const uint8_t *bytes, size_t n, const char *name, bool pixels,
                         tp__image *out);
bool tp__jpeg_is(const uint8_t *bytes, size_t n);
tp_status tp__jpeg_decode(const uint8_t *bytes, size_t n, const char *name, bool pixels,
                          tp__image *out);
/* EFORMAT unless a picture of this size is accepted. */
tp_status tp__image_check_size(const char *name, uint64_t height, uint64_t width);

#endif
