/* resize.c -- bilinear resizing without aliasing, in fixed point, as Pillow does it.
 *
 * Each axis is a list of taps per output pixel: where they begin, how many, and weights that add up
 * to 2^22. An axis that keeps its size is left alone. Columns first, then rows. */
#include "data/image.h"
#include <string.h>

enum { BITS = 22 }; /* of a weight: 8 more for the pixel, 2 to spare in 32 */

typedef struct taps {
    int n, most;     /* output pixels; taps of one at most */
    int *first;      /* [n]: first input pixel */
    int *count;      /* [n] */
    int32_t *weight; /* [n, most] */
    size_t bytes;    /* of the one block that holds the three */
} taps;

static double triangle(double x) {
    if (x < 0) x = -x;
    return x < 1 ? 1 - x : 0;
}

/* Taps of output pixel i: `scale` input pixels per output pixel, `reach` to each side. */
static void fill_taps(taps *t, int i, int size, double scale, double reach) {
    const double centre = (i + 0.5) * scale;
    int first = (int)(centre - reach + 0.5), end = (int)(centre + reach + 0.5);
    if (first < 0) first = 0;
    if (end > size) end = size;
    int32_t *w = t->weight + (size_t)i * (size_t)t->most;
    double sum = 0;
    for (int k = first; k < end; k++) sum += triangle((k - centre + 0.5) * (1 / reach));
    for (int k = first; k < end; k++) {
        double v = triangle((k - centre + 0.5) * (1 / reach));
        if (sum != 0) v /= sum;
        w[k - first] = (int32_t)(0.5 + v * (1 << BITS));
    }
    t->first[i] = first;
    t->count[i] = end - first;
}

static tp_status make_taps(taps *t, int from, int to) {
    const double scale = (double)from / to, reach = scale < 1 ? 1 : scale;
    t->n = to;
    t->most = 2 * ((int)reach + 1) + 1;
    t->bytes = (size_t)to * (size_t)(2 + t->most) * sizeof(int32_t);
    t->first = tp__alloc(t->bytes);
    if (!t->first) return TP_ENOMEM;
    t->count = t->first + to;
    t->weight = t->count + to;
    for (int i = 0; i < to; i++) fill_taps(t, i, from, scale, reach);
    return TP_OK;
}

static uint8_t clip(int32_t sum) {
    const int32_t v = sum >> BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void resize_row(const taps *t, const uint8_t *in, int channels, uint8_t *out) {
    for (int x = 0; x < t->n; x++) {
        const int32_t *w = t->weight + (size_t)x * (size_t)t->most;
        const uint8_t *p = in + (size_t)t->first[x] * (size_t)channels;
        for (int c = 0; c < channels; c++) {
            int32_t sum = 1 << (BITS - 1);
            for (int k = 0; k < t->count[x]; k++) sum += w[k] * p[k * channels + c];
            *out++ = clip(sum);
        }
    }
}

static tp_status resize_columns(const tp__image *in, int width, tp__image *out) {
    taps t;
    tp_status r = make_taps(&t, in->width, width);
    if (!r) r = tp__image_shape(out, in->height, width, in->channels);
    const size_t from = (size_t)in->width * (size_t)in->channels,
                 to = (size_t)width * (size_t)in->channels;
    for (int y = 0; !r && y < in->height; y++)
        resize_row(&t, in->pixels + (size_t)y * from, in->channels, out->pixels + (size_t)y * to);
    tp__free(t.first, t.bytes);
    return r;
}

static tp_status resize_rows(const tp__image *in, int height, tp__image *out) {
    taps t;
    tp_status r = make_taps(&t, in->height, height);
    if (!r) r = tp__image_shape(out, height, in->width, in->channels);
    const size_t row = (size_t)in->width * (size_t)in->channels;
    for (int y = 0; !r && y < height; y++) {
        const int32_t *w = t.weight + (size_t)y * (size_t)t.most;
        const uint8_t *p = in->pixels + (size_t)t.first[y] * row;
        uint8_t *to = out->pixels + (size_t)y * row;
        for (size_t x = 0; x < row; x++) {
            int32_t sum = 1 << (BITS - 1);
            for (int k = 0; k < t.count[y]; k++) sum += w[k] * p[(size_t)k * row + x];
            to[x] = clip(sum);
        }
    }
    tp__free(t.first, t.bytes);
    return r;
}

tp_status tp__image_resize(const tp__image *in, int height, int width, tp__image *out) {
    if (height == in->height) {
        if (width == in->width) return tp__image_recolor(in, in->channels, out);
        return resize_columns(in, width, out);
    }
    if (width == in->width) return resize_rows(in, height, out);
    tp__image narrow = {0};
    tp_status r = resize_columns(in, width, &narrow);
    if (!r) r = resize_rows(&narrow, height, out);
    tp__image_free(&narrow);
    return r;
}
