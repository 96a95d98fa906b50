/* taper/data.h -- datasets, image folders, and the loader that makes batches of them.
 *
 * A dataset is a small struct of callbacks; images stay uint8 in memory and become floats when a
 * batch is gathered. The loader's order for a seed is PyTorch's, and does not depend on its
 * workers. */
#ifndef TAPER_DATA_H
#define TAPER_DATA_H
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- datasets -------------------------------------------------------------------------------- */

/* Where get() puts sample i: row-major buffers of the dataset's shapes and dtypes. */
typedef struct tp_sample {
    void *x, *y;
} tp_sample;

/* Anything with a length and numbered samples. get is called from the loader's worker threads,
 * several at once; it fills s and returns TP_OK, or tp_error_set(...) (the loader adds the
 * index). */
typedef struct tp_dataset {
    size_t size; /* sizeof(tp_dataset) */
    void *self;
    tp_shape x_shape, y_shape; /* of one sample */
    tp_dtype x_dtype, y_dtype;
    int64_t (*len)(void *self);
    tp_status (*get)(void *self, int64_t i, tp_sample *s);
    void (*free)(void *self); /* NULL: nothing to free */
    /* Optional: fill n rows at once, x[n, x_shape], y[n, y_shape]. Called as get is. */
    tp_status (*get_batch)(void *self, const int64_t *index, int64_t n, void *x, void *y);
} tp_dataset;

TP_API int64_t tp_dataset_len(const tp_dataset *ds);
/* Sample i as tensors of its own: x, y = ds[i]. A negative i counts from the end. */
TP_API TP_MUST_CHECK tp_status tp_dataset_get(const tp_dataset *ds, int64_t i,
                                              TP_SCOPED tp_tensor **x, TP_SCOPED tp_tensor **y);
/* Calls ds->free if there is one and zeroes *ds. */
TP_API void tp_dataset_free(tp_dataset *ds);
/* Pair row i of x with row i of y (both kept): Python's list(zip(x, y)). ESHAPE if lengths differ.
 * A float32 or float64 x stays as it is; a uint8 x becomes x / 255 in float32 when gathered. */
TP_API TP_MUST_CHECK tp_status tp_zip_dataset(tp_tensor *x, tp_tensor *y, tp_dataset *out);

/* ---- folders, image files -------------------------------------------------------------------- */

/* "DIR/NAME" of everything in a folder, sorted as strings of bytes: path.ls().sorted(). A negative
 * i counts from the end. EIO, EINDEX. */
typedef struct tp_paths tp_paths;
TP_API TP_OWNED tp_paths *tp_ls(const char *dir);
TP_API void tp_paths_free(TP_TAKES tp_paths *p);
TP_API int64_t tp_paths_len(const tp_paths *p);
TP_API TP_BORROWED const char *tp_paths_at(const tp_paths *p, int64_t i);
/* tensor(Image.open(path)): uint8 [H, W] if it is grey, else [H, W, 3]. EIO, EFORMAT. */
TP_API TP_SCOPED tp_tensor *tp_image_open(const char *path);

/* ---- image folders --------------------------------------------------------------------------- */

typedef struct tp_images tp_images; /* a data set of images, read into memory */

typedef enum tp_part { TP_TRAIN, TP_VALID, TP_TEST } tp_part;

typedef struct tp_images_opts {
    size_t size;
    bool strict;       /* a bad file is an error; otherwise it is skipped and listed */
    double valid_pct;  /* 0.2: split off where the folder has no validation part */
    uint64_t seed;     /* of that split; 0 means 42 */
    int height, width; /* 0: the commonest size */
    int channels;      /* 0: 1 if every image is grey, else 3 */
    int64_t limit;     /* at most so many images of each part, evenly from each class; 0: all */
    const char *const *classes; /* NULL: found; else exactly these, in this order (a model's) */
    int nclasses;
    bool test_only; /* evaluate: read the test part if there is one, else the validation part */
    int max_side;   /* scale the commonest size down to so many pixels a side; 0: leave it */
} tp_images_opts;

/* Read DIR in whatever layout it has (docs/datasets.md): train/ and valid/ with a folder per class,
 * a folder per class, labels.csv, or IDX files. EIO, EFORMAT name the file and the reason. */
TP_API TP_OWNED tp_images *tp_images_read(const char *dir, const tp_images_opts *opts);
TP_API void tp_images_free(TP_TAKES tp_images *im);
TP_API int tp_images_classes(const tp_images *im);
TP_API TP_BORROWED const char *tp_images_class(const tp_images *im, int c);
TP_API int64_t tp_images_count(const tp_images *im, tp_part part, int c); /* c = -1: all classes */
TP_API void tp_images_size(const tp_images *im, int *channels, int *height, int *width);
/* "train/ and valid/ folders"; the path of image i of a part, "" for IDX. */
TP_API TP_BORROWED const char *tp_images_layout(const tp_images *im);
TP_API TP_BORROWED const char *tp_images_path(const tp_images *im, tp_part part, int64_t i);
/* What was noticed: files skipped and why, images resized, a split made. One line each. */
TP_API int64_t tp_images_notes(const tp_images *im);
TP_API TP_BORROWED const char *tp_images_note(const tp_images *im, int64_t i);
/* How many files were skipped as bad. */
TP_API int64_t tp_images_skipped(const tp_images *im);
/* sha256 over pixels and labels in order: what a model file records as its data set. */
TP_API TP_BORROWED const char *tp_images_sha256(const tp_images *im);
/* One part as tensors that share the block: x uint8 [N, C, H, W], y int64 [N]. Their order: class
 * by class and names as strings, but for IDX files, which keep theirs. Valid while im lives. */
TP_API TP_MUST_CHECK tp_status tp_images_tensors(tp_images *im, tp_part part, tp_tensor **x,
                                                 tp_tensor **y);
/* One part as a dataset: x float32 / 255, [C*H*W] if flat else [C, H, W]; y int64, [] or, as the
 * book has it, [1] with 1 for class `positive` and 0 for the others (positive >= 0). Borrows im. */
typedef struct tp_images_view {
    size_t size;
    bool flat, binary;
    int positive;
} tp_images_view;
TP_API TP_MUST_CHECK tp_status tp_images_dataset(tp_images *im, tp_part part, tp_dataset *out,
                                                 const tp_images_view *view);
/* One image file into float32 / 255 [C*H*W], converted as training did: resized, grey or colour.
 * What had to be done goes to `did`, "" if nothing. */
TP_API TP_MUST_CHECK tp_status tp_image_load(const char *path, int channels, int height, int width,
                                             float *out, char *did, size_t did_size);

/* ---- the loader ------------------------------------------------------------------------------ */

typedef struct tp_loader tp_loader;
typedef struct tp_loader_opts {
    size_t size;
    int64_t batch_size; /* 64 */
    bool shuffle, drop_last;
    int workers; /* threads that call get ahead; 0: as many as help; -1: nothing is filled ahead */
    tp_rng *rng; /* where passes draw their seeds; NULL: the calling thread's default generator */
} tp_loader_opts;
typedef struct tp_batch {
    tp_tensor *x, *y; /* [n, ...]; borrowed until the next call, or yours by tp_keep */
    int64_t n;
    const int64_t *index; /* which samples */
} tp_batch;

/* Batches of ds (copied; what it points to must outlive the loader). Unless workers is -1, they may
 * be filled before they are asked for: what a get of yours reads does not change inside a pass.
 * Samples of tp_zip_dataset and tp_images_dataset may, between batches, but not through a pointer
 * (tp_data_ptr) that is older than the last one. */
TP_API TP_OWNED tp_loader *tp_loader_new(const tp_dataset *ds, const tp_loader_opts *opts);
TP_API void tp_loader_free(TP_TAKES tp_loader *dl);
/* 1: *b is the next batch; 0: the pass is over, the next call begins another; < 0: a tp_status,
 * whose message names the first bad sample of that batch; the next call goes on behind it. */
TP_API TP_MUST_CHECK int tp_loader_next(tp_loader *dl, tp_batch *b);
/* first(dl): the first batch of a new pass, which ends with it. Returns as tp_loader_next does. */
TP_API TP_MUST_CHECK int tp_loader_first(tp_loader *dl, tp_batch *b);
TP_API void tp_loader_restart(tp_loader *dl);          /* drop the rest of this pass */
TP_API int64_t tp_loader_len(const tp_loader *dl);     /* batches in a pass */
TP_API int64_t tp_loader_samples(const tp_loader *dl); /* samples in a pass */
/* Where the loader stands in its pass, as named tensors; and back (the same dataset and
 * options). */
TP_API TP_OWNED tp_dict *tp_loader_state(const tp_loader *dl);
TP_API TP_MUST_CHECK tp_status tp_loader_set_state(tp_loader *dl, const tp_dict *state);

#ifdef __cplusplus
} /* extern "C" */
inline tp_loader *tp_loader_new(const tp_dataset *ds, tp_loader_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_loader_new(ds, &opts);
}
inline tp_images *tp_images_read(const char *dir, tp_images_opts opts = {}) {
    opts.size = sizeof opts;
    return tp_images_read(dir, &opts);
}
inline tp_status tp_images_dataset(tp_images *im, tp_part part, tp_dataset *out,
                                   tp_images_view view = {}) {
    view.size = sizeof view;
    return tp_images_dataset(im, part, out, &view);
}
#endif

#ifndef TAPER_PLAIN
#define tp_zip_dataset(...) TP__STATUS(tp_zip_dataset(__VA_ARGS__))
#define tp_images_tensors(...) TP__STATUS(tp_images_tensors(__VA_ARGS__))
#define tp_image_load(...) TP__STATUS(tp_image_load(__VA_ARGS__))
#define tp_loader_next(...) tp__site_next(tp_loader_next(__VA_ARGS__), __FILE__, __LINE__)
#define tp_loader_first(...) tp__site_next(tp_loader_first(__VA_ARGS__), __FILE__, __LINE__)
#define tp_loader_state(...) TP__OBJECT(tp_loader_state(__VA_ARGS__))
#define tp_loader_set_state(...) TP__STATUS(tp_loader_set_state(__VA_ARGS__))
#define tp_image_open(...) TP__SITE(tp_image_open(__VA_ARGS__))
#define tp_ls(...) TP__OBJECT(tp_ls(__VA_ARGS__))
#define tp_dataset_get(...) TP__STATUS(tp_dataset_get(__VA_ARGS__))
#ifdef __cplusplus
#define tp_loader_new(...) TP__OBJECT(tp_loader_new(__VA_ARGS__))
#define tp_images_read(...) TP__OBJECT(tp_images_read(__VA_ARGS__))
#define tp_images_dataset(...) TP__STATUS(tp_images_dataset(__VA_ARGS__))
#else
#define tp_loader_new(...) TP__LOADER(__VA_ARGS__, .size = sizeof(tp_loader_opts))
#define TP__LOADER(ds, ...) TP__OBJECT(tp_loader_new(ds, &(tp_loader_opts){__VA_ARGS__}))
#define tp_images_read(...) TP__IMAGES(__VA_ARGS__, .size = sizeof(tp_images_opts))
#define TP__IMAGES(dir, ...) TP__OBJECT(tp_images_read(dir, &(tp_images_opts){__VA_ARGS__}))
#define tp_images_dataset(...) TP__VIEW(__VA_ARGS__, .size = sizeof(tp_images_view))
#define TP__VIEW(im, part, out, ...)                                                            \
    TP__STATUS(tp_images_dataset(im, part, out, &(tp_images_view){__VA_ARGS__}))
#endif
#endif
#endif
