/* test_images.c -- PNG, JPEG, grey and colour, resizing: against Pillow, and against damage.
 *
 * golden/images.txt is what golden/images.py printed for the pictures in golden/images. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "data/image.h"

/* ---- the pictures and what Pillow says of them ----------------------------------------------- */

typedef struct file {
    uint8_t *data;
    size_t n;
} file;

static file load(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "tests/golden/images/%s", name);
    file f;
    f.data = tp__os_read_file(tpt_source(path), 0, &f.n);
    if (!f.data) fail_msg("%s", tp_error_message());
    return f;
}

typedef struct line {
    char what[16], name[64];
    int height, width, channels;
    uint8_t *pixels;
} line;

static bool next_line(FILE *f, line *l) {
    static char text[1 << 16], hex[1 << 16];
    if (!fgets(text, sizeof text, f)) return false;
    assert_int_equal(sscanf(text, "%15s %63s %d %d %d %65535s", l->what, l->name, &l->height,
                            &l->width, &l->channels, hex),
                     6);
    const size_t n = (size_t)(l->height * l->width * l->channels);
    assert_int_equal(strlen(hex), 2 * n);
    l->pixels = malloc(n);
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        l->pixels[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static FILE *golden(void) {
    FILE *f = fopen(tpt_source("tests/golden/images.txt"), "r");
    assert_non_null(f);
    return f;
}

static bool is_jpeg(const char *name) {
    return strstr(name, ".jpg") != NULL;
}

/* JPEG can be left out of a build. */
static bool reads_jpeg(void) {
    tp__image im = {0};
    assert_int_equal(tp__image_probe("\xff\xd8\xff\xe0", 4, "", &im), TP_EFORMAT);
    const bool reads = !strstr(tp_error_message(), "this build");
    tp_error_clear();
    return reads;
}

/* Another JPEG library may round otherwise; everything else is exact. */
static void compare(const tp__image *im, const line *l) {
    assert_int_equal(im->height, l->height);
    assert_int_equal(im->width, l->width);
    assert_int_equal(im->channels, l->channels);
    const int bound = is_jpeg(l->name) ? 2 : 0;
    for (int i = 0; i < l->height * l->width * l->channels; i++)
        if (abs(im->pixels[i] - l->pixels[i]) > bound)
            fail_msg("%s %s: [%d] is %d, expected %d", l->what, l->name, i, im->pixels[i],
                     l->pixels[i]);
}

static void fit(const tp__image *in, const line *l, tp__image *out) {
    tp__image coloured = {0};
    tpt_ok(tp__image_recolor(in, l->channels, &coloured));
    tpt_ok(tp__image_resize(&coloured, l->height, l->width, out));
    tp__image_free(&coloured);
}

static void same_as_pillow(void **state) {
    (void)state;
    FILE *f = golden();
    tp__image im = {0}, other = {0}; /* the same two for all pictures */
    int lines = 0;
    for (line l; next_line(f, &l); lines++, free(l.pixels)) {
        if (is_jpeg(l.name) && !reads_jpeg()) continue;
        const file in = load(l.name);
        tpt_ok(tp__image_decode(in.data, in.n, l.name, &im));
        tp__mfree(in.data);
        if (!strcmp(l.what, "decode")) {
            compare(&im, &l);
            continue;
        }
        fit(&im, &l, &other);
        compare(&other, &l);
    }
    assert_int_equal(lines, 61);
    tp__image_free(&im);
    tp__image_free(&other);
    fclose(f);
}

static void golden_is_pillow(void **state) {
    (void)state;
    tpt_golden_is_live("tests/golden/images.txt", "PIL, numpy", "tests/golden/images.py");
}

/* ---- the pictures one by one ----------------------------------------------------------------- */

static void each_picture(void (*check)(const char *name, const file *f)) {
    tp__os_list l;
    tpt_ok(tp__os_listdir(tpt_source("tests/golden/images"), &l));
    assert_int_equal(l.n, 37);
    for (int64_t i = 0; i < l.n; i++) {
        if (is_jpeg(l.name[i]) && !reads_jpeg()) continue;
        const file f = load(l.name[i]);
        if (strcmp(l.name[i], "cmyk.jpg") != 0) check(l.name[i], &f);
        tp__mfree(f.data);
    }
    tp__os_list_free(&l);
}

static void probe_agrees(const char *name, const file *f) {
    tp__image im = {0}, shape = {0};
    tpt_ok(tp__image_decode(f->data, f->n, name, &im));
    tpt_ok(tp__image_probe(f->data, f->n, name, &shape));
    assert_int_equal(shape.height, im.height);
    assert_int_equal(shape.width, im.width);
    assert_int_equal(shape.channels, im.channels);
    assert_null(shape.pixels);
    tp__image_free(&im);
}
static void probing_gives_the_shape(void **state) {
    (void)state;
    each_picture(probe_agrees);
}

/* A copy whose end is the end of its block, so that AddressSanitizer sees a read behind it. */
static uint8_t *cut(const file *f, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, f->data, n);
    return copy;
}

static void every_prefix_is_refused(const char *name, const file *f) {
    tp__image im = {0};
    for (size_t n = 0; n < f->n; n++) {
        uint8_t *copy = cut(f, n);
        if (tp__image_decode(copy, n, name, &im) != TP_EFORMAT)
            fail_msg("%s: accepted when cut to %zu of %zu bytes", name, n, f->n);
        assert_int_equal(strncmp(tp_error_message(), name, strlen(name)), 0);
        tp_error_clear();
        free(copy);
    }
    tp__image_free(&im);
}
static void truncated_pictures(void **state) {
    (void)state;
    each_picture(every_prefix_is_refused);
}

/* Flip one bit of every byte: refused, or (PNG, which has checksums) the same picture. */
static void every_flip_is_survived(const char *name, const file *f) {
    tp__image want = {0}, im = {0};
    tpt_ok(tp__image_decode(f->data, f->n, name, &want));
    const size_t bytes = (size_t)(want.height * want.width * want.channels);
    for (size_t i = 0; i < f->n; i++) {
        f->data[i] ^= (uint8_t)(1 << i % 8);
        const tp_status r = tp__image_decode(f->data, f->n, name, &im);
        f->data[i] ^= (uint8_t)(1 << i % 8);
        if (r)
            assert_int_equal(tp_error_clear(), TP_EFORMAT);
        else if (!is_jpeg(name))
            tpt_same_bits(im.pixels, want.pixels, bytes);
    }
    tp__image_free(&want);
    tp__image_free(&im);
}
static void flipped_bits(void **state) {
    (void)state;
    each_picture(every_flip_is_survived);
}

typedef struct named_file {
    const char *name;
    const file *f;
} named_file;

static tp_status decode(void *ctx) {
    const named_file *k = ctx;
    tp__image im = {0};
    const tp_status r = tp__image_decode(k->f->data, k->f->n, k->name, &im);
    tp__image_free(&im);
    return r;
}
static tp_status enlarge(void *im) {
    tp__image out = {0};
    const tp_status r = tp__image_resize(im, 9, 9, &out);
    tp__image_free(&out);
    return r;
}

static void every_allocation_may_fail(const char *name, const file *f) {
    if (is_jpeg(name)) return; /* libjpeg allocates by itself */
    named_file k = {name, f};
    assert_true(tpt_fail_each_allocation(decode, &k) > 3);
}
static void out_of_memory(void **state) {
    (void)state;
    each_picture(every_allocation_may_fail);
    tp__image im = {0};
    tpt_ok(tp__image_shape(&im, 4, 4, 1));
    memset(im.pixels, 7, 16);
    assert_true(tpt_fail_each_allocation(enlarge, &im) > 2);
    tp__image_free(&im);
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void refuses(const void *data, size_t n, const char *text) {
    tp__image im = {0};
    assert_int_equal(tp__image_decode(data, n, "train/3/10.png", &im), TP_EFORMAT);
    tpt_expect_error(TP_EFORMAT, text);
    tp__image_free(&im);
}

static void lines_name_file_and_reason(void **state) {
    (void)state;
    refuses("", 0, "train/3/10.png: an empty file");
    refuses("hello, world", 12, "train/3/10.png: not a PNG or JPEG image");
    refuses("\x89PNG\r\n", 6, "train/3/10.png: not a PNG or JPEG image");
    refuses("GIF89a......", 12, "train/3/10.png: not a PNG or JPEG image");
    const file f = load("digit.png");
    refuses(f.data, 8, "train/3/10.png: truncated PNG (before IHDR)");
    refuses(f.data, 20, "train/3/10.png: truncated PNG (IHDR)");
    refuses(f.data, 300, "train/3/10.png: truncated PNG (IDAT)");
    refuses(f.data, f.n - 12, "train/3/10.png: truncated PNG (after IDAT)");
    refuses(f.data, f.n - 4, "train/3/10.png: truncated PNG (IEND)");
    f.data[100] ^= 1;
    refuses(f.data, f.n, "train/3/10.png: damaged PNG (...");
    tp__mfree(f.data);
}

/* IHDR of f says width x height, and its checksum is right again. */
static void claim(const file *f, uint32_t width, uint32_t height) {
    for (int i = 0; i < 4; i++) {
        f->data[16 + i] = (uint8_t)(width >> (24 - 8 * i));
        f->data[20 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    uint32_t crc = UINT32_MAX;
    for (int i = 12; i < 29; i++) {
        crc ^= f->data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    for (int i = 0; i < 4; i++) f->data[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
}

static void lying_headers(void **state) {
    (void)state;
    const file f = load("digit.png");
    claim(&f, 28, 28); /* the function is right */
    tp__image im = {0};
    tpt_ok(tp__image_decode(f.data, f.n, "digit.png", &im));
    tp__image_free(&im);
    claim(&f, 28, 29);
    refuses(f.data, f.n, "train/3/10.png: damaged PNG (Not enough image data)");
    claim(&f, 0, 28);
    refuses(f.data, f.n, "train/3/10.png: damaged PNG (...");
    claim(&f, 16385, 1);
    refuses(f.data, f.n, "train/3/10.png: 16385 x 1 pixels are too many (at most 16384 a side)");
    claim(&f, 1, 0x7fffffff);
    refuses(f.data, f.n,
            "train/3/10.png: 1 x 2147483647 pixels are too many (at most 16384 a side)");
    claim(&f, 16384, 16384);
    refuses(f.data, f.n, "train/3/10.png: 16384 x 16384 pixels are too many (at most 100 million)");
    claim(&f, 9000, 9000);
    char text[128];
    snprintf(text, sizeof text, "train/3/10.png: truncated PNG (%zu bytes cannot hold its pixels)",
             f.n - 41);
    refuses(f.data, f.n, text);
    tp__mfree(f.data);
}

static void jpeg_lines(void **state) {
    (void)state;
    if (!reads_jpeg()) {
        refuses("\xff\xd8\xff\xe0", 4,
                "train/3/10.png: a JPEG image, which this build of taper cannot read");
        return;
    }
    file f = load("cmyk.jpg");
    refuses(f.data, f.n, "train/3/10.png: JPEG in CMYK colours, which are not supported");
    tp__mfree(f.data);
    f = load("444.jpg");
    refuses(f.data, f.n / 2, "train/3/10.png: truncated JPEG");
    refuses(f.data, 3, "train/3/10.png: truncated JPEG");
    tp__mfree(f.data);
    refuses("\xff\xd8\xff\xd8\xff\xd9", 6, "train/3/10.png: damaged JPEG (...");
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* A constant picture stays constant, whatever the sizes: weights add up and no pixel outside is
 * read. */
static void resizing_keeps_constants(void **state) {
    (void)state;
    const int sizes[] = {1, 2, 3, 7, 28, 29, 64, 333};
    tp__image im = {0}, out = {0};
    for (int i = 0; i < TP__COUNT(sizes); i++)
        for (int j = 0; j < TP__COUNT(sizes); j++)
            for (int channels = 1; channels <= 3; channels += 2) {
                tpt_ok(tp__image_shape(&im, sizes[i], sizes[j], channels));
                memset(im.pixels, 201, (size_t)(sizes[i] * sizes[j] * channels));
                tpt_ok(tp__image_resize(&im, sizes[j], 28, &out));
                assert_int_equal(out.height, sizes[j]);
                assert_int_equal(out.width, 28);
                for (int k = 0; k < sizes[j] * 28 * channels; k++)
                    assert_int_equal(out.pixels[k], 201);
            }
    tp__image_free(&im);
    tp__image_free(&out);
}

static void greys_survive_colour(void **state) {
    (void)state;
    tp__image grey = {0}, colour = {0}, back = {0};
    tpt_ok(tp__image_shape(&grey, 16, 16, 1));
    for (int i = 0; i < 256; i++) grey.pixels[i] = (uint8_t)i;
    tpt_ok(tp__image_recolor(&grey, 3, &colour));
    tpt_ok(tp__image_recolor(&colour, 1, &back));
    tpt_same_bits(back.pixels, grey.pixels, 256);
    tp__image_free(&grey), tp__image_free(&colour), tp__image_free(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(same_as_pillow),
        TPT(golden_is_pillow),
        TPT(probing_gives_the_shape),
        TPT(truncated_pictures),
        TPT(flipped_bits),
        TPT(out_of_memory),
        TPT(lines_name_file_and_reason),
        TPT(lying_headers),
        TPT(jpeg_lines),
        TPT(resizing_keeps_constants),
        TPT(greys_survive_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
