/* images.c -- a folder of images as a data set: parts, classes, pixels in one block of bytes.
 *
 * Finding and decoding is listing.h's; here the parts are settled (a validation part is split
 * off where there is none, a limit applied), and the block is handed out as tensors and
 * datasets, which share it. */
#include "data/data.h"
#include "data/image.h"
#include "data/listing.h"
#include <nettle/sha2.h>
#include <stdarg.h>
#include <string.h>

struct tp_images {
    tp__listing listing; /* items part by part: item i is row i of the block */
    tp__image_block block;
    int64_t *label;                         /* [n] */
    int64_t first[TP__PARTS + 1];           /* item where each part begins */
    tp_tensor *x[TP__PARTS], *y[TP__PARTS]; /* kept: the rows of each part */
    char sha256[65];                        /* "" until somebody asks */
};

static const char *const part_name[] = {[TP_TRAIN] = "training", [TP_VALID] = "validation"};

/* ---- parts ----------------------------------------------------------------------------------- */

/* Items of TP_TRAIN for which valid[i] become TP_VALID, behind the others; each keep their
 * order. */
static tp_status move_to_valid(tp__listing *l, const bool *valid) {
    tp__item *moved = tp__calloc((size_t)l->n, sizeof *moved);
    if (!moved) return TP_ENOMEM;
    int64_t stay = 0, n = 0;
    for (int64_t i = 0; i < l->n; i++) {
        if (valid[i])
            moved[n++] = l->item[i];
        else
            l->item[stay++] = l->item[i];
    }
    for (int64_t i = 0; i < n; i++) {
        moved[i].part = TP_VALID;
        l->item[stay + i] = moved[i];
    }
    tp__mfree(moved);
    return TP_OK;
}

/* [n]: the class of each item; NULL without memory. */
static int64_t *labels_of(const tp__listing *l) {
    int64_t *label = tp__calloc((size_t)l->n, sizeof *label);
    for (int64_t i = 0; label && i < l->n; i++) label[i] = l->item[i].index;
    return label;
}

static tp_status split_off(tp__listing *l, double pct, uint64_t seed) {
    bool *valid = tp__calloc((size_t)l->n, sizeof *valid);
    int64_t *label = labels_of(l);
    tp_status r = valid && label ? TP_OK : TP_ENOMEM;
    if (!r) r = tp__split(l->n, label, l->nclasses, pct, seed, valid);
    if (!r) r = move_to_valid(l, valid);
    tp__mfree(label);
    tp__mfree(valid);
    if (r) return r;
    const int64_t n = tp__listing_count(l, TP_VALID, -1);
    return tp__listing_note(
        l, "split off %lld of %lld images for validation (%g %% of each class, seed %llu)",
        (long long)n, (long long)l->n, 100 * pct, (unsigned long long)seed);
}

static tp_status keep_part(tp__listing *l, tp_part part) {
    bool *stays = tp__calloc((size_t)l->n, sizeof *stays);
    if (!stays) return TP_ENOMEM;
    for (int64_t i = 0; i < l->n; i++) stays[i] = l->item[i].part == part;
    tp__listing_keep(l, stays);
    tp__mfree(stays);
    return TP_OK;
}

/* Where to evaluate: on the test part if there is one, else on the validation part. */
static tp_status keep_for_test(tp__listing *l) {
    return keep_part(l, tp__listing_count(l, TP_TEST, -1) ? TP_TEST : TP_VALID);
}

static tp_status limit_parts(tp__listing *l, int64_t limit) {
    bool *stays = tp__calloc((size_t)l->n, sizeof *stays);
    int64_t *label = labels_of(l);
    tp_status r = stays && label ? TP_OK : TP_ENOMEM;
    for (int64_t from = 0, to; !r && from < l->n; from = to) {
        for (to = from; to < l->n && l->item[to].part == l->item[from].part;) to++;
        r = tp__limit(to - from, label + from, l->nclasses, limit, stays + from);
    }
    if (!r) tp__listing_keep(l, stays);
    tp__mfree(stays);
    tp__mfree(label);
    return r;
}

/* A class of one image is in one part only. */
static tp_status note_missing(tp__listing *l, tp_part part, const int64_t *count) {
    int missing = 0, first = -1;
    for (int c = 0; c < l->nclasses; c++) {
        if (count[c]) continue;
        if (first < 0) first = c;
        missing++;
    }
    if (!missing) return TP_OK;
    if (missing == 1)
        return tp__listing_note(l,
                                "class '%s' has one image, so there is none of it in the %s part",
                                l->classes[first], part_name[part]);
    return tp__listing_note(
        l, "%d classes have one image each ('%s', ...), so there is none of them in the %s part",
        missing, l->classes[first], part_name[part]);
}
static tp_status note_all_missing(tp__listing *l) {
    int64_t *count = tp__calloc(2 * (size_t)l->nclasses, sizeof *count);
    if (!count) return TP_ENOMEM;
    for (int64_t i = 0; i < l->n; i++) count[l->item[i].part * l->nclasses + l->item[i].index]++;
    tp_status r = note_missing(l, TP_TRAIN, count);
    if (!r) r = note_missing(l, TP_VALID, count + l->nclasses);
    tp__mfree(count);
    return r;
}

static tp_status settle_parts(tp__listing *l, const tp_images_opts *o) {
    tp_status r = TP_OK;
    if (!l->split) {
        r = split_off(l, o->valid_pct > 0 ? o->valid_pct : 0.2, o->seed ? o->seed : 42);
        if (!r && !o->test_only) r = note_all_missing(l);
    }
    if (!r && o->test_only) r = keep_for_test(l);
    if (!r && o->limit) r = limit_parts(l, o->limit);
    return r;
}

/* ---- reading --------------------------------------------------------------------------------- */

static tp_status check_options(const tp_images_opts *o) {
    if (!(o->valid_pct >= 0 && o->valid_pct < 1))
        return tp_error_set(TP_EVALUE, "images_read: valid_pct %g is not in 0..1", o->valid_pct);
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return tp_error_set(TP_EVALUE, "images_read: channels %d is neither 1 nor 3", o->channels);
    if (o->height < 0 || o->width < 0 || o->height > TP__IMAGE_SIDE || o->width > TP__IMAGE_SIDE)
        return tp_error_set(TP_EVALUE, "images_read: %d x %d pixels is no size for images",
                            o->width, o->height);
    if (o->max_side < 0)
        return tp_error_set(TP_EVALUE, "images_read: max_side %d is negative", o->max_side);
    if (o->limit < 0)
        return tp_error_set(TP_EVALUE, "images_read: limit %lld is negative", (long long)o->limit);
    if (o->nclasses < 0 || (o->classes && !o->nclasses))
        return tp_error_set(TP_EVALUE, "images_read: %d classes are given", o->nclasses);
    return TP_OK;
}

static tp_status index_items(tp_images *im) {
    const tp__listing *l = &im->listing;
    im->label = tp__calloc((size_t)l->n, sizeof *im->label);
    if (!im->label) return TP_ENOMEM;
    for (int64_t i = 0; i < l->n; i++) {
        im->label[i] = l->item[i].index;
        im->first[l->item[i].part + 1]++;
    }
    for (int p = 0; p < TP__PARTS; p++) im->first[p + 1] += im->first[p];
    return TP_OK;
}

/* Whoever shares the rows of a part shares these storages, which know what is written. */
static tp_status wrap_part(tp_images *im, int p) {
    const tp__image_block *b = &im->block;
    const int64_t first = im->first[p], n = im->first[p + 1] - first,
                  row = (int64_t)b->channels * b->height * b->width;
    const tp_scope scope = tp_scope_begin();
    if (!scope.depth) return tp_error_code();
    tp_tensor *x =
        tp__wrap(b->pixels + first * row, &TP_SHAPE(n, b->channels, b->height, b->width), TP_UINT8);
    tp_tensor *y = tp__wrap(im->label + first, &TP_SHAPE(n), TP_INT64);
    if (x) im->x[p] = tp_keep(x);
    if (y) im->y[p] = tp_keep(y);
    tp_scope_end(scope);
    return x && y ? TP_OK : tp_error_code();
}

static tp_status read_images(tp_images *im, const char *dir, const tp_images_opts *o) {
    tp__listing *l = &im->listing;
    tp_status r = tp__listing_find(dir, o->classes, o->nclasses, l);
    if (!r) r = settle_parts(l, o);
    if (!r && !l->n && o->test_only)
        r = tp_error_set(TP_EVALUE, "%s: there is neither a test nor a validation part", l->dir);
    l->max_side = o->max_side;
    if (!r) r = tp__images_load(l, o->height, o->width, o->channels, o->strict, &im->block);
    if (!r) r = index_items(im);
    for (int p = 0; !r && p < TP__PARTS; p++) r = wrap_part(im, p);
    return r;
}

tp_images *tp_images_read(const char *dir, const tp_images_opts *given) {
    if (!dir) return tp__error_null("images_read"), NULL;
    tp_images_opts opts;
    if (!tp__opts("images_read", &opts, sizeof opts, given) || check_options(&opts)) return NULL;
    tp_images *im = tp__calloc(1, sizeof *im);
    if (!im) return NULL;
    if (!read_images(im, dir, &opts)) return im;
    tp_images_free(im);
    return NULL;
}

void tp_images_free(tp_images *im) {
    if (!im) return;
    for (int p = 0; p < TP__PARTS; p++) {
        tp_free(im->x[p]);
        tp_free(im->y[p]);
    }
    tp__listing_free(&im->listing);
    tp__image_block_free(&im->block);
    tp__mfree(im->label);
    tp__mfree(im);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool is_part(const char *what, tp_part part) {
    if ((int)part >= 0 && (int)part < TP__PARTS) return true;
    tp_error_set(TP_EVALUE, "%s: %d is no part", what, (int)part);
    return false;
}

int tp_images_classes(const tp_images *im) {
    return im ? im->listing.nclasses : (tp__error_null("images_classes"), -1);
}

const char *tp_images_class(const tp_images *im, int c) {
    if (!im) return tp__error_null("images_class"), NULL;
    const int n = im->listing.nclasses;
    if (c >= 0 && c < n) return im->listing.classes[c];
    return tp__fail(TP_EINDEX, "images_class: there is no class %d among %d", c, n);
}

int64_t tp_images_count(const tp_images *im, tp_part part, int c) {
    if (!im) return tp__error_null("images_count"), -1;
    if (!is_part("images_count", part)) return -1;
    return c < 0 ? im->first[part + 1] - im->first[part] : tp__listing_count(&im->listing, part, c);
}

void tp_images_size(const tp_images *im, int *channels, int *height, int *width) {
    if (channels) *channels = im ? im->block.channels : -1;
    if (height) *height = im ? im->block.height : -1;
    if (width) *width = im ? im->block.width : -1;
}

const char *tp_images_layout(const tp_images *im) {
    return im ? im->listing.layout : (tp__error_null("images_layout"), NULL);
}

const char *tp_images_path(const tp_images *im, tp_part part, int64_t i) {
    if (!im) return tp__error_null("images_path"), NULL;
    if (!is_part("images_path", part)) return NULL;
    const int64_t n = tp_images_count(im, part, -1);
    if (i < 0 || i >= n)
        return tp__fail(TP_EINDEX, "images_path: there is no image %lld among %lld", (long long)i,
                        (long long)n);
    const tp__item *it = &im->listing.item[im->first[part] + i];
    return it->row < 0 ? it->path : "";
}

int64_t tp_images_notes(const tp_images *im) {
    return im ? im->listing.notes.n : (tp__error_null("images_notes"), -1);
}
const char *tp_images_note(const tp_images *im, int64_t i) {
    if (!im) return tp__error_null("images_note"), NULL;
    const tp__lines *notes = &im->listing.notes;
    if (i >= 0 && i < notes->n) return notes->line[i];
    return tp__fail(TP_EINDEX, "images_note: there is no note %lld among %lld", (long long)i,
                    (long long)notes->n);
}
int64_t tp_images_skipped(const tp_images *im) {
    return im ? im->listing.skipped : (tp__error_null("images_skipped"), -1);
}

/* "1x28x28", then of each part the number of its images, their pixels and their labels; numbers are
 * 64 bits, little-endian. */
static void hash(const tp_images *im, char hex[65]) {
    const tp__image_block *b = &im->block;
    const size_t row = (size_t)b->channels * (size_t)b->height * (size_t)b->width;
    struct sha256_ctx ctx;
    char shape[40];
    sha256_init(&ctx);
    snprintf(shape, sizeof shape, "%dx%dx%d", b->channels, b->height, b->width);
    sha256_update(&ctx, strlen(shape) + 1, (const uint8_t *)shape);
    for (int p = 0; p < TP__PARTS; p++) {
        const int64_t first = im->first[p], n = im->first[p + 1] - first;
        sha256_update(&ctx, sizeof n, (const uint8_t *)&n);
        sha256_update(&ctx, (size_t)n * row, b->pixels + (size_t)first * row);
        sha256_update(&ctx, (size_t)n * sizeof *im->label, (const uint8_t *)(im->label + first));
    }
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* The images never change, so what is worked out later is still part of a constant object. */
const char *tp_images_sha256(const tp_images *im) {
    if (!im) return tp__error_null("images_sha256"), NULL;
    tp_images *own = (tp_images *)(uintptr_t)im;
    if (!own->sha256[0]) hash(im, own->sha256);
    return im->sha256;
}

/* ---- tensors and datasets -------------------------------------------------------------------- */

static tp_tensor *in_shape(const tp_tensor *x, const tp_shape *s) {
    int64_t stride[TP_MAX_DIM];
    return tp__view_strides(x, s, stride) ? tp__view(x, s->ndim, s->dim, stride, 0) : NULL;
}

tp_status tp_images_tensors(tp_images *im, tp_part part, tp_tensor **x, tp_tensor **y) {
    if (!im || !x || !y) return tp__error_null("images_tensors");
    *x = *y = NULL;
    if (!is_part("images_tensors", part)) return TP_EVALUE;
    *x = in_shape(im->x[part], &im->x[part]->s);
    *y = in_shape(im->y[part], &im->y[part]->s);
    return *x && *y ? TP_OK : tp_error_code();
}

static tp_status check_view(const tp_images *im, tp_part part, const tp_images_view *view) {
    if (!is_part("images_dataset", part)) return TP_EVALUE;
    if (view->binary && (view->positive < 0 || view->positive >= im->listing.nclasses))
        return tp_error_set(TP_EINDEX, "images_dataset: there is no class %d among %d",
                            view->positive, im->listing.nclasses);
    return TP_OK;
}

/* The book's targets: int64 [n, 1] with 1 for the positive class. */
static tp_tensor *binary_targets(const tp_tensor *label, int positive) {
    tp_tensor *y = tp__new("images_dataset", &TP_SHAPE(label->numel, 1), TP_INT64);
    const int64_t *from = tp__ptr(label);
    for (int64_t i = 0; y && i < y->numel; i++) ((int64_t *)tp__ptr(y))[i] = from[i] == positive;
    return y;
}

static tp_status pair(tp_images *im, tp_part part, const tp_images_view *view, tp_dataset *out) {
    tp_tensor *x, *y;
    if (tp_images_tensors(im, part, &x, &y)) return tp_error_code();
    if (view->flat) x = in_shape(x, &TP_SHAPE(x->shape[0], x->stride[0]));
    if (view->binary) y = binary_targets(y, view->positive);
    return x && y ? tp_zip_dataset(x, y, out) : tp_error_code();
}

tp_status tp_images_dataset(tp_images *im, tp_part part, tp_dataset *out,
                            const tp_images_view *given) {
    if (!im || !out) return tp__error_null("images_dataset");
    *out = (tp_dataset){0};
    tp_images_view view;
    if (!tp__opts("images_dataset", &view, sizeof view, given) || check_view(im, part, &view))
        return tp_error_code();
    const tp_scope scope = tp_scope_begin();
    if (!scope.depth) return tp_error_code();
    const tp_status r = pair(im, part, &view, out);
    tp_scope_end(scope);
    return r;
}

/* ---- one image ------------------------------------------------------------------------------- */

static void say(char *did, size_t size, const char *fmt, ...) TP_PRINTF(3, 4);
static void say(char *did, size_t size, const char *fmt, ...) {
    const size_t n = strlen(did);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(did + n, size - n, fmt, ap);
    va_end(ap);
}

/* Colour first, then size, as for the images of a folder. *im moves on to the result. */
static tp_status convert(const tp__image **im, tp__image room[2], int channels, int height,
                         int width, char *did, size_t size) {
    const tp__image *from = *im;
    if (from->channels != channels) {
        const tp_status r = tp__image_recolor(from, channels, &room[0]);
        if (r) return r;
        say(did, size, "converted to %s", channels == 1 ? "grey" : "colour");
        from = &room[0];
    }
    if (from->height != height || from->width != width) {
        const tp_status r = tp__image_resize(from, height, width, &room[1]);
        if (r) return r;
        say(did, size, "%sresized from %d x %d to %d x %d pixels", *did ? ", " : "", from->width,
            from->height, width, height);
        from = &room[1];
    }
    *im = from;
    return TP_OK;
}

static void to_floats(const tp__image *im, float *out) {
    const size_t n = (size_t)im->height * (size_t)im->width, C = (size_t)im->channels;
    for (size_t c = 0; c < C; c++)
        for (size_t i = 0; i < n; i++) *out++ = (float)im->pixels[i * C + c] / 255;
}

tp_status tp_image_load(const char *path, int channels, int height, int width, float *out,
                        char *did, size_t did_size) {
    if (!path || !out) return tp__error_null("image_load");
    char none[1], name[400];
    if (!did || !did_size) did = none, did_size = sizeof none;
    *did = '\0';
    size_t size;
    void *bytes = tp__os_read_file(path, (size_t)1 << 28, &size);
    if (!bytes) return tp_error_code();
    tp__image decoded = {0}, room[2] = {{0}};
    const tp__image *im = &decoded;
    tp_status r = tp__image_decode(bytes, size, tp__utf8_show(path, name, sizeof name), &decoded);
    tp__mfree(bytes);
    if (!r) r = convert(&im, room, channels, height, width, did, did_size);
    if (!r) to_floats(im, out);
    tp__image_free(&decoded);
    for (int i = 0; i < 2; i++) tp__image_free(&room[i]);
    return r;
}

static tp_tensor *image_tensor(const tp__image *im) {
    const tp_shape s = im->channels == 1 ? TP_SHAPE(im->height, im->width)
                                         : TP_SHAPE(im->height, im->width, im->channels);
    return tp_from(im->pixels, s, TP_UINT8);
}
tp_tensor *tp_image_open(const char *path) {
    if (!path) return tp__error_null("image_open"), NULL;
    char name[400];
    size_t size;
    void *bytes = tp__os_read_file(path, (size_t)1 << 28, &size);
    if (!bytes) return NULL;
    tp__image im = {0};
    const tp_status r = tp__image_decode(bytes, size, tp__utf8_show(path, name, sizeof name), &im);
    tp__mfree(bytes);
    tp_tensor *x = r ? NULL : image_tensor(&im);
    tp__image_free(&im);
    return x;
}
