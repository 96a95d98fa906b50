/* image_block.c -- all pictures of a listing into one block of bytes, on all threads.
 *
 * A tile is a run of items; it decodes each into its row of the block. What is wrong with an item
 * is kept beside it and told afterwards in the order of the items, so threads change nothing. A
 * file that is left out makes room: rows move up and the listing shrinks with them. */
#include "data/idx.h"
#include "data/image.h"
#include "data/listing.h"
#include <stdlib.h>
#include <string.h>

enum {
    TILE = 32,           /* items */
    SAMPLE = 256,        /* items that are looked at to choose a size */
    FILE_LIMIT = 1 << 28 /* bytes of one picture's file */
};

typedef struct load {
    const tp__listing *l;
    tp__image_block *b;
    const tp__idx *idx; /* IDX: one for each part, in the order of l->idx */
    char **wrong;       /* [n]: the line of an item that cannot be read, else NULL */
    size_t row;         /* bytes */
    bool grey_so_far;   /* the channels were not given and seemed to be one */
    atomic_bool colour; /* ... and then there was this: stop */
    atomic_bool nomem;
    _Atomic int64_t resized, stretched, greyed, coloured;
} load;

/* What a tile reuses from item to item. */
typedef struct desk {
    tp__os_buffer file;
    tp__image image, coloured, fitted;
} desk;

void tp__image_block_free(tp__image_block *b) {
    tp__free(b->pixels, b->bytes);
    *b = (tp__image_block){0};
}

/* ---- one item -------------------------------------------------------------------------------- */

static const tp__idx *idx_of(const tp__listing *l, const tp__idx *idx, const tp__item *it) {
    for (int p = 0; p < TP__PARTS; p++)
        if (l->idx[p].path == it->path) return &idx[p];
    return NULL;
}

static tp_status copy_row(const tp__idx *idx, int64_t row, tp__image *out) {
    const int height = (int)idx->dim[1], width = (int)idx->dim[2];
    const tp_status r = tp__image_shape(out, height, width, 1);
    const size_t bytes = (size_t)height * (size_t)width;
    if (!r) memcpy(out->pixels, idx->data + (size_t)row * bytes, bytes);
    return r;
}

static tp_status read_item(const load *ld, const tp__item *it, desk *d) {
    if (it->row >= 0) return copy_row(idx_of(ld->l, ld->idx, it), it->row, &d->image);
    char room[400];
    const tp_status r = tp__os_read_buffer(it->path, FILE_LIMIT, &d->file);
    if (r) return r;
    return tp__image_decode(d->file.data, d->file.size, tp__utf8_show(it->path, room, sizeof room),
                            &d->image);
}

/* [height, width, channels] to [channels, height, width]. */
static void planes(const tp__image *im, uint8_t *out) {
    const size_t pixels = (size_t)im->height * (size_t)im->width;
    if (im->channels == 1) {
        memcpy(out, im->pixels, pixels);
        return;
    }
    for (int c = 0; c < im->channels; c++)
        for (size_t i = 0; i < pixels; i++)
            *out++ = im->pixels[i * (size_t)im->channels + (size_t)c];
}

static tp_status convert(load *ld, desk *d, uint8_t *out) {
    const tp__image_block *b = ld->b;
    const tp__image *im = &d->image;
    const int64_t w = im->width, h = im->height;
    if (im->channels != b->channels) {
        const tp_status r = tp__image_recolor(im, b->channels, &d->coloured);
        if (r) return r;
        atomic_fetch_add(b->channels == 1 ? &ld->greyed : &ld->coloured, 1);
        im = &d->coloured;
    }
    if (im->height != b->height || im->width != b->width) {
        const tp_status r = tp__image_resize(im, b->height, b->width, &d->fitted);
        if (r) return r;
        atomic_fetch_add(&ld->resized, 1);
        /* by a pixel or more, so not for want of parts of a pixel */
        if (llabs(h * b->width - w * b->height) >= (w > h ? w : h))
            atomic_fetch_add(&ld->stretched, 1);
        im = &d->fitted;
    }
    planes(im, out);
    return TP_OK;
}

static void load_item(load *ld, int64_t i, desk *d) {
    tp_status r = read_item(ld, &ld->l->item[i], d);
    if (!r && ld->grey_so_far && d->image.channels == 3) {
        atomic_store(&ld->colour, true);
        return;
    }
    if (!r) r = convert(ld, d, ld->b->pixels + (size_t)i * ld->row);
    if (!r) return;
    if (r == TP_ENOMEM || !(ld->wrong[i] = tp__strdup(tp_error_message())))
        atomic_store(&ld->nomem, true);
}

static void load_tile(void *ctx, int64_t tile) {
    load *ld = ctx;
    tp__error before; /* a tile leaves its thread's pending error alone */
    tp__error_take(&before);
    desk d = {0};
    const int64_t n = ld->l->n, end = (tile + 1) * TILE < n ? (tile + 1) * TILE : n;
    for (int64_t i = tile * TILE; i < end && !atomic_load(&ld->colour) && !atomic_load(&ld->nomem);
         i++)
        load_item(ld, i, &d);
    tp__os_buffer_free(&d.file);
    tp__image_free(&d.image);
    tp__image_free(&d.coloured);
    tp__image_free(&d.fitted);
    tp__error_put(&before);
}

/* ---- the commonest size ---------------------------------------------------------------------- */

typedef struct seen {
    int height, width;
    int64_t n;
} seen;

static void count_size(seen *sizes, int *n, int height, int width) {
    for (int i = 0; i < *n; i++)
        if (sizes[i].height == height && sizes[i].width == width) {
            sizes[i].n++;
            return;
        }
    sizes[(*n)++] = (seen){height, width, 1};
}

static tp_status probe(const load *ld, const tp__item *it, tp__os_buffer *file, tp__image *shape) {
    if (it->row >= 0) {
        const tp__idx *idx = idx_of(ld->l, ld->idx, it);
        *shape = (tp__image){.height = (int)idx->dim[1], .width = (int)idx->dim[2], .channels = 1};
        return TP_OK;
    }
    const tp_status r = tp__os_read_buffer(it->path, FILE_LIMIT, file);
    return r ? r : tp__image_probe(file->data, file->size, "", shape);
}

/* The size with its longer side cut to max_side and its proportions kept. */
static seen within(seen s, int max_side) {
    const int longer = s.height > s.width ? s.height : s.width;
    if (!max_side || longer <= max_side) return s;
    const int64_t half = longer / 2;
    const int h = (int)(((int64_t)s.height * max_side + half) / longer);
    const int w = (int)(((int64_t)s.width * max_side + half) / longer);
    return (seen){h ? h : 1, w ? w : 1, s.n};
}

/* Look at some items, evenly spread: their commonest size (the first among equals), and colour if
 * any has it. Items that cannot be read are passed over: loading will name them. */
static tp_status choose_shape(load *ld) {
    tp__image_block *b = ld->b;
    if (b->height && b->width && b->channels) return TP_OK;
    tp__error before;
    tp__error_take(&before);
    const int64_t n = ld->l->n, looks = n < SAMPLE ? n : SAMPLE;
    seen sizes[SAMPLE], best = {1, 1, 0};
    int kinds = 0, channels = 1;
    tp__os_buffer file = {0};
    tp_status r = TP_OK;
    for (int64_t k = 0; k < looks && r != TP_ENOMEM; k++) {
        tp__image shape;
        r = probe(ld, &ld->l->item[k * n / looks], &file, &shape);
        if (r) continue;
        count_size(sizes, &kinds, shape.height, shape.width);
        if (shape.channels == 3) channels = 3;
    }
    tp__os_buffer_free(&file);
    if (r == TP_ENOMEM) return r;
    tp__error_put(&before);
    for (int i = 0; i < kinds; i++)
        if (sizes[i].n > best.n) best = sizes[i];
    best = within(best, ld->l->max_side);
    if (!b->height) b->height = best.height;
    if (!b->width) b->width = best.width;
    ld->grey_so_far = !b->channels && channels == 1;
    if (!b->channels) b->channels = channels;
    return TP_OK;
}

/* ---- all items ------------------------------------------------------------------------------- */

static tp_status check_images(const tp__listing *l, int part, const tp__idx *idx) {
    char room[300];
    const char *name = tp__utf8_show(l->idx[part].path, room, sizeof room);
    if (idx->dim[0] != l->idx[part].rows)
        return tp_error_set(TP_EFORMAT, "%s: %lld images, but there are %lld labels", name,
                            (long long)idx->dim[0], (long long)l->idx[part].rows);
    if (!idx->dim[1] || !idx->dim[2])
        return tp_error_set(TP_EFORMAT, "%s: images without pixels", name);
    if (idx->dim[1] > TP__IMAGE_SIDE || idx->dim[2] > TP__IMAGE_SIDE)
        return tp_error_set(TP_EFORMAT, "%s: images of %lld x %lld pixels (at most %d a side)",
                            name, (long long)idx->dim[2], (long long)idx->dim[1], TP__IMAGE_SIDE);
    return TP_OK;
}

static tp_status read_idx(const tp__listing *l, tp__idx idx[TP__PARTS]) {
    tp_status r = TP_OK;
    for (int p = 0; !r && p < TP__PARTS; p++) {
        bool used = false; /* its items may all have been dropped */
        for (int64_t i = 0; i < l->n && !used; i++)
            used = l->idx[p].path && l->item[i].path == l->idx[p].path;
        if (!used) continue;
        r = tp__idx_read(l->idx[p].path, 3, &idx[p]);
        if (!r) r = check_images(l, p, &idx[p]);
    }
    return r;
}

/* The block for the shape that is chosen by now, filled. */
static tp_status fill(load *ld) {
    tp__image_block *b = ld->b;
    const tp__listing *l = ld->l;
    ld->row = (size_t)b->channels * (size_t)b->height * (size_t)b->width;
    if ((uint64_t)l->n > ((uint64_t)1 << 43) / ld->row)
        return tp_error_set(TP_ENOMEM, "%s: %lld images of %d x %d pixels do not fit into memory",
                            l->dir, (long long)l->n, b->width, b->height);
    b->bytes = (size_t)l->n * ld->row;
    b->pixels = tp__alloc(b->bytes);
    if (!b->pixels) return TP_ENOMEM;
    tp__parallel((l->n + TILE - 1) / TILE, load_tile, ld);
    if (!atomic_load(&ld->nomem)) return TP_OK;
    tp__fail_nomem(0);
    return TP_ENOMEM;
}

static void forget_wrong(load *ld) {
    for (int64_t i = 0; i < ld->l->n; i++) {
        tp__mfree(ld->wrong[i]);
        ld->wrong[i] = NULL;
    }
}

/* There was colour although the first looks met none: once more, in colour. */
static tp_status fill_in_colour(load *ld) {
    forget_wrong(ld);
    tp__free(ld->b->pixels, ld->b->bytes);
    ld->b->pixels = NULL;
    ld->b->channels = 3;
    ld->grey_so_far = false;
    atomic_store(&ld->colour, false);
    atomic_store(&ld->resized, 0);
    atomic_store(&ld->stretched, 0);
    return fill(ld);
}

/* ---- what could not be read ------------------------------------------------------------------ */

static tp_status note_conversions(tp__listing *l, load *ld) {
    const tp__image_block *b = ld->b;
    const long long resized = atomic_load(&ld->resized), greyed = atomic_load(&ld->greyed);
    const long long coloured = atomic_load(&ld->coloured);
    const long long stretched = atomic_load(&ld->stretched);
    char how[64] = "";
    tp_status r = TP_OK;
    if (stretched) snprintf(how, sizeof how, ", %lld of them stretched to that shape", stretched);
    if (resized)
        r = tp__listing_note(l, "resized to %d x %d pixels: %lld of %lld images%s", b->width,
                             b->height, resized, (long long)l->n, how);
    if (!r && greyed)
        r = tp__listing_note(l, "converted to grey: %lld of %lld images", greyed, (long long)l->n);
    if (!r && coloured)
        r = tp__listing_note(l, "converted to colour: %lld of %lld images", coloured,
                             (long long)l->n);
    return r;
}

/* Name and leave out the items that are wrong; the others keep their order. */
static tp_status drop_wrong(tp__listing *l, load *ld) {
    tp__image_block *b = ld->b;
    bool *stays = tp__calloc((size_t)l->n, sizeof *stays);
    if (!stays) return TP_ENOMEM;
    tp_status r = TP_OK;
    int64_t n = 0;
    for (int64_t i = 0; !r && i < l->n; i++) {
        stays[i] = !ld->wrong[i];
        if (!stays[i])
            r = tp__listing_note(l, "skipped: %s", ld->wrong[i]);
        else if (n++ < i)
            memmove(b->pixels + (size_t)(n - 1) * ld->row, b->pixels + (size_t)i * ld->row,
                    ld->row);
    }
    forget_wrong(ld);
    if (!r) {
        l->skipped += l->n - n;
        tp__listing_keep(l, stays);
    }
    tp__mfree(stays);
    return r;
}

static tp_status settle(tp__listing *l, load *ld, bool strict) {
    int64_t wrong = 0, first = 0;
    for (int64_t i = l->n - 1; i >= 0; i--) {
        if (!ld->wrong[i]) continue;
        wrong++;
        first = i;
    }
    if (wrong && strict) return tp_error_set(TP_EFORMAT, "%s", ld->wrong[first]);
    if (wrong == l->n)
        return tp_error_set(TP_EFORMAT, "%s: none of %lld images can be read; the first: %s",
                            l->dir, (long long)l->n, ld->wrong[0]);
    const tp_status r = wrong ? drop_wrong(l, ld) : TP_OK;
    return r ? r : note_conversions(l, ld);
}

static tp_status load_all(tp__listing *l, load *ld, bool strict) {
    ld->wrong = tp__calloc((size_t)l->n, sizeof *ld->wrong);
    if (!ld->wrong) return TP_ENOMEM;
    tp_status r = choose_shape(ld);
    if (!r) r = fill(ld);
    if (!r && atomic_load(&ld->colour)) r = fill_in_colour(ld);
    if (!r) r = settle(l, ld, strict);
    forget_wrong(ld);
    tp__mfree(ld->wrong);
    return r;
}

tp_status tp__images_load(tp__listing *l, int height, int width, int channels, bool strict,
                          tp__image_block *out) {
    *out = (tp__image_block){.height = height, .width = width, .channels = channels};
    if (!l->n) return tp_error_set(TP_EVALUE, "%s: no images to read", l->dir);
    tp__idx idx[TP__PARTS] = {{0}};
    load ld = {.l = l, .b = out, .idx = idx};
    tp_status r = read_idx(l, idx);
    if (!r) r = load_all(l, &ld, strict);
    for (int p = 0; p < TP__PARTS; p++) tp__idx_free(&idx[p]);
    out->n = l->n;
    if (r) tp__image_block_free(out);
    return r;
}
