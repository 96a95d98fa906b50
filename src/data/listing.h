/* listing.h -- which images a folder holds, of which classes and parts, before any pixel is read.
 *
 * Every layout ends in one sorted list of items: part by part, class by class, names as strings of
 * bytes (IDX: rows of a part in their own order). What a user should know goes into the notes. */
#ifndef TAPER_SRC_DATA_LISTING_H
#define TAPER_SRC_DATA_LISTING_H
#include "base/base.h"
#include "taper/data.h"

enum { TP__PARTS = 3 }; /* TP_TRAIN, TP_VALID, TP_TEST */

typedef struct tp__item {
    const char *path;  /* with the folder in front; of the file with the images for IDX */
    const char *label; /* name of its class */
    int64_t row;       /* IDX: which image of the file; else -1 */
    int32_t index;     /* of its class */
    tp_part part;
} tp__item;

typedef struct tp__lines {
    char **line;
    int64_t n, cap;
} tp__lines;

typedef struct tp__listing {
    const char *root;     /* DIR, the beginning of every path */
    const char *dir;      /* the same for messages */
    const char *layout;   /* "train/ and valid/ folders" */
    bool split;           /* false: one undivided set, all of it TP_TRAIN */
    const char **classes; /* sorted as bytes (IDX: as numbers), or as they were given */
    int nclasses;
    tp__item *item;
    int64_t n, cap;
    tp__lines notes; /* in the order of the items that they are about */
    int max_side;    /* the commonest size is scaled down to this; 0: it is left as it is */
    int64_t skipped; /* bad files, by tp__images_load */
    struct {         /* IDX: the files with images, and how many labels there are for each */
        const char *path;
        int64_t rows;
    } idx[TP__PARTS];
    struct tp__text *text; /* owner of all the names */
} tp__listing;

/* What DIR holds. `classes` are NULL (found, at least two) or a model's: then every label must be
 * one of them. EIO, EFORMAT, EVALUE name the file or folder. Free it also after a failure. */
tp_status tp__listing_find(const char *dir, const char *const *classes, int nclasses,
                           tp__listing *l);
void tp__listing_free(tp__listing *l);
/* Keep the items for which stays[i], in their order. */
void tp__listing_keep(tp__listing *l, const bool *stays);
/* Items of a class in a part; index -1: of all classes. */
int64_t tp__listing_count(const tp__listing *l, tp_part part, int index);
tp_status tp__listing_note(tp__listing *l, const char *fmt, ...) TP_PRINTF(2, 3);

/* ---- reading the pictures (image_block.c) ---------------------------------------------------- */
typedef struct tp__image_block {
    uint8_t *
        pixels; /* [n, channels, height, width], row i is item i of the listing; tp__alloc(bytes) */
    size_t bytes;
    int64_t n;
    int channels, height, width;
} tp__image_block;
/* height, width 0: the commonest size; channels 0: 1 if every image is grey, else 3. What has
 * another shape is converted. A file that cannot be read is an error if `strict`; otherwise it
 * leaves the listing, and a note says why. All of it runs on all threads; nothing depends on their
 * timing. */
tp_status tp__images_load(tp__listing *l, int height, int width, int channels, bool strict,
                          tp__image_block *out);
void tp__image_block_free(tp__image_block *b);

/* ---- for the layouts: folder.c, labels.c, idx_folder.c --------------------------------------- */
const char *tp__listing_relative(const tp__listing *l, const char *path); /* without DIR */
/* All items are there: settle the parts, find the classes, sort. */
tp_status tp__listing_finish(tp__listing *l, const char *const *classes, int nclasses);
void tp__listing_reset(tp__listing *l); /* forget items and notes */
char *tp__listing_text(tp__listing *l, const char *a, const char *b,
                       const char *c); /* a + b + c, kept */
tp_status tp__listing_add(tp__listing *l, const char *path, const char *label, tp_part part,
                          int64_t row);
/* "train", "training", "val", ...: is the name of `n` bytes that of a part? */
bool tp__part_named(const char *name, size_t n, tp_part *part);
bool tp__image_named(const char *name);                      /* .png, .jpg, .jpeg in any case */
tp_status tp__labels_list(tp__listing *l, const char *path); /* a file labels.csv */
/* Are IDX files among the names in DIR? */
tp_status tp__idx_present(tp__listing *l, const tp__os_list *names, bool *present);
tp_status tp__idx_list(tp__listing *l, const tp__os_list *names);

#endif
