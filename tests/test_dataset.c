/* test_dataset.c -- a folder of images as a data set: parts, splits, limits, tensors, datasets. */
#define _XOPEN_SOURCE 700
#include "folders.h"

#include <math.h>
#include <png.h>
#include <time.h>

#include "taper/data.h"
#include "taper/ops.h"

/* ---- folders --------------------------------------------------------------------------------- */

enum { H = 3, W = 4, PIXELS = H * W };

/* A picture whose pixel k is (first + k) mod 256; of a colour picture, k counts its channels
 * too. */
static void put_png(const char *name, int first, int height, int width, int channels) {
    uint8_t pixels[1000], file[4000];
    for (int k = 0; k < height * width * channels; k++) pixels[k] = (uint8_t)(first + k);
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)width,
                     .height = (png_uint_32)height,
                     .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t size = sizeof file;
    assert_true(png_image_write_to_memory(&png, file, &size, 0, pixels, 0, NULL));
    put(name, file, size);
}

/* n grey pictures for each class of a folder; the first pixel numbers them. */
static void put_classes(const char *folder, const char *const *classes, int nclasses, int n) {
    for (int c = 0; c < nclasses; c++)
        for (int i = 0; i < n; i++) {
            char name[100];
            snprintf(name, sizeof name, "%s%s/%d%d.png", folder, classes[c], i / 10, i % 10);
            put_png(name, 100 * c + i, H, W, 1);
        }
}
static const char *const cat_dog[] = {"cat", "dog"};

static tp_images *read_with(tp_images_opts o) {
    o.size = sizeof o;
    tp_images *im = tp_images_read(dir(), &o);
    if (!im) fail_msg("%s", tp_error_message());
    return im;
}

static void expect_counts(const tp_images *im, int64_t train, int64_t valid, int64_t test) {
    assert_int_equal(tp_images_count(im, TP_TRAIN, -1), train);
    assert_int_equal(tp_images_count(im, TP_VALID, -1), valid);
    assert_int_equal(tp_images_count(im, TP_TEST, -1), test);
}

static void expect_note(const tp_images *im, int64_t i, const char *text) {
    char room[1000];
    assert_true(i < tp_images_notes(im));
    assert_string_equal(tp_images_note(im, i), with_dir(text, room, sizeof room));
}

/* Every image of a part is where its first pixel and its label say. */
static void check_part(tp_images *im, tp_part part) {
    tp_tensor *x, *y;
    tpt_ok(tp_images_tensors(im, part, &x, &y));
    const int64_t n = tp_images_count(im, part, -1);
    assert_int_equal(tp_size(x, 0), n);
    assert_int_equal(tp_dtype_of(x), TP_UINT8);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *pixels = (uint8_t *)tp_data_ptr(x) + i * PIXELS;
        const int64_t c = tp_data_i64(y)[i];
        const char *path = tp_images_path(im, part, i);
        char tail[40];
        snprintf(tail, sizeof tail, "%s/%02d.png", tp_images_class(im, (int)c),
                 (int)(pixels[0] - 100 * c));
        assert_string_equal(path + strlen(path) - strlen(tail), tail);
        assert_int_equal(pixels[PIXELS - 1], pixels[0] + PIXELS - 1);
        if (i) assert_true(strcmp(tp_images_path(im, part, i - 1), path) < 0);
    }
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void parts_as_they_are(void **state) {
    (void)state;
    put_classes("train/", cat_dog, 2, 5);
    put_classes("valid/", cat_dog, 2, 2);
    put_classes("test/", cat_dog, 2, 3);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    expect_counts(im, 10, 4, 6);
    assert_int_equal(tp_images_count(im, TP_TRAIN, 1), 5);
    assert_int_equal(tp_images_classes(im), 2);
    assert_string_equal(tp_images_class(im, 1), "dog");
    assert_string_equal(tp_images_layout(im), "train/, valid/ and test/ folders");
    assert_int_equal(tp_images_notes(im), 0);
    int C, height, width;
    tp_images_size(im, &C, &height, &width);
    assert_int_equal(C * 100 + height * 10 + width, 134);
    for (int p = 0; p < 3; p++) check_part(im, (tp_part)p);
    tp_images_free(im);
    im = read_with((tp_images_opts){.test_only = true});
    expect_counts(im, 0, 0, 6);
    check_part(im, TP_TEST);
    tp_images_free(im);
}

static void a_part_is_split_off(void **state) {
    (void)state;
    put_classes("", cat_dog, 2, 20);
    tp_images *im = read_with((tp_images_opts){.seed = 0}),
              *same = read_with((tp_images_opts){.seed = 42});
    expect_counts(im, 32, 8, 0);
    expect_note(im, 0, "split off 8 of 40 images for validation (20 % of each class, seed 42)");
    assert_int_equal(tp_images_notes(im), 1);
    check_part(im, TP_TRAIN);
    check_part(im, TP_VALID);
    assert_string_equal(tp_images_sha256(im), tp_images_sha256(same));
    for (int c = 0; c < 2; c++) assert_int_equal(tp_images_count(im, TP_VALID, c), 4);
    tp_images_free(im);
    tp_images_free(same);
    im = read_with((tp_images_opts){.seed = 7, .valid_pct = 0.5});
    expect_counts(im, 20, 20, 0);
    expect_note(im, 0, "split off 20 of 40 images for validation (50 % of each class, seed 7)");
    tp_images_free(im);
    im = read_with(
        (tp_images_opts){.test_only = true}); /* as if for training, and then only that part */
    expect_counts(im, 0, 8, 0);
    check_part(im, TP_VALID);
    tp_images_free(im);
}

static void a_class_of_one_image_is_not_split(void **state) {
    (void)state;
    put_classes("", cat_dog, 1, 30);
    put_png("dog/00.png", 100, H, W, 1);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    assert_int_equal(tp_images_count(im, TP_TRAIN, 1), 1);
    assert_int_equal(tp_images_notes(im), 2);
    expect_note(im, 1, "class 'dog' has one image, so there is none of it in the validation part");
    tp_images_free(im);
    put_png("owl/00.png", 100, H, W, 1);
    im = read_with((tp_images_opts){.seed = 1});
    expect_note(im, 1,
                "2 classes have one image each ('dog', ...), so there is none of them in the "
                "validation part");
    tp_images_free(im);
}

static void limits(void **state) {
    (void)state;
    put_classes("train/", cat_dog, 2, 9);
    put_classes("valid/", cat_dog, 2, 3);
    tp_images *im = read_with((tp_images_opts){.limit = 5});
    expect_counts(im, 5, 5, 0);
    assert_int_equal(tp_images_count(im, TP_TRAIN, 0), 3);
    assert_int_equal(tp_images_count(im, TP_VALID, 1), 2);
    check_part(im, TP_TRAIN);
    tp_images_free(im);
    im = read_with((tp_images_opts){.limit = 1000});
    expect_counts(im, 18, 6, 0);
    tp_images_free(im);
}

static void classes_of_a_model(void **state) {
    (void)state;
    put_classes("test/", cat_dog, 2, 2);
    const char *const classes[] = {"dog", "bird", "cat"};
    tp_images *im =
        read_with((tp_images_opts){.classes = classes, .nclasses = 3, .test_only = true});
    assert_int_equal(tp_images_classes(im), 3);
    assert_int_equal(tp_images_count(im, TP_TEST, 0), 2);
    assert_int_equal(tp_images_count(im, TP_TEST, 1), 0);
    assert_int_equal(tp_images_count(im, TP_TEST, 2), 2);
    tp_images_free(im);
    const tp_images_opts few = {.size = sizeof few, .classes = classes, .nclasses = 2};
    assert_null(tp_images_read(dir(), &few));
    expect_error(TP_EVALUE, "DIR/test/cat/00.png: class 'cat' is not one of the model's");
}

/* ---- reading --------------------------------------------------------------------------------- */

static void bad_files(void **state) {
    (void)state;
    put_classes("train/", cat_dog, 2, 3);
    put_classes("valid/", cat_dog, 2, 2);
    put_text("train/cat/01.png", "no picture");
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    expect_counts(im, 5, 4, 0);
    assert_int_equal(tp_images_skipped(im), 1);
    expect_note(im, 0, "skipped: DIR/train/cat/01.png: not a PNG or JPEG image");
    check_part(im, TP_TRAIN);
    check_part(im, TP_VALID);
    tp_images_free(im);
    const tp_images_opts strict = {.size = sizeof strict, .strict = true};
    assert_null(tp_images_read(dir(), &strict));
    expect_error(TP_EFORMAT, "DIR/train/cat/01.png: not a PNG or JPEG image");
}

/* One image by itself becomes what it becomes among the others, whatever has to be done. */
static void one_image_is_read_as_all_are(void **state) {
    (void)state;
    static const struct {
        const char *name, *did;
        int height, width, channels;
    } file[] = {{"a/0.png", "", 5, 7, 1},
                {"a/1.png", "converted to grey", 5, 7, 3},
                {"b/0.png", "resized from 4 x 9 to 7 x 5 pixels", 9, 4, 1},
                {"b/1.png", "converted to grey, resized from 3 x 2 to 7 x 5 pixels", 2, 3, 3}};
    for (int i = 0; i < 4; i++)
        put_png(file[i].name, 40 * i, file[i].height, file[i].width, file[i].channels);
    for (int channels = 1; channels <= 3; channels += 2) {
        tp_images *im = read_with(
            (tp_images_opts){.height = 5, .width = 7, .channels = channels, .valid_pct = 0.1});
        for (int p = 0; p < 2; p++) {
            tp_dataset ds;
            tpt_ok(tp_images_dataset(im, (tp_part)p, &ds, NULL));
            for (int64_t i = 0; i < tp_dataset_len(&ds); i++) {
                float want[105], got[105];
                int64_t label;
                char did[100];
                const char *path = tp_images_path(im, (tp_part)p, i);
                tpt_ok(ds.get(ds.self, i, &(tp_sample){want, &label}));
                tpt_ok(tp_image_load(path, channels, 5, 7, got, did, sizeof did));
                tpt_same_bits(got, want, (size_t)(35 * channels) * sizeof *got);
                for (int k = 0; k < 4; k++)
                    if (channels == 1 && strstr(path, file[k].name))
                        assert_string_equal(did, file[k].did);
            }
            tp_dataset_free(&ds);
        }
        tp_images_free(im);
    }
    float out[3];
    tpt_ok(tp_image_load(tpt_source("tests/golden/images/one-pixel.png"), 3, 1, 1, out, NULL, 0));
    assert_true(out[0] == out[1] && out[1] == out[2]);
}

static void one_image_that_is_none(void **state) {
    (void)state;
    put_text("a.png", "text");
    char path[5000], did[10] = "old";
    float out[4];
    snprintf(path, sizeof path, "%s/a.png", dir());
    assert_int_equal(tp_image_load(path, 1, 2, 2, out, did, sizeof did), TP_EFORMAT);
    expect_error(TP_EFORMAT, "DIR/a.png: not a PNG or JPEG image");
    assert_string_equal(did, "");
    snprintf(path, sizeof path, "%s/b.png", dir());
    assert_int_equal(tp_image_load(path, 1, 2, 2, out, did, sizeof did), TP_EIO);
    expect_error(TP_EIO, "cannot read DIR/b.png: No such file or directory");
}

static void the_hash_is_of_all_that_matters(void **state) {
    (void)state;
    char first[65], again[65];
    put_classes("train/", cat_dog, 2, 3);
    put_classes("valid/", cat_dog, 2, 2);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    snprintf(first, sizeof first, "%s", tp_images_sha256(im));
    assert_ptr_equal(tp_images_sha256(im), tp_images_sha256(im));
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    tp_images_free(im);
    im = read_with((tp_images_opts){.seed = 2}); /* nothing to split: the same data */
    assert_string_equal(tp_images_sha256(im), first);
    tp_images_free(im);
    put_png("valid/dog/01.png", 102, H, W, 1); /* was 101 */
    im = read_with((tp_images_opts){.seed = 1});
    snprintf(again, sizeof again, "%s", tp_images_sha256(im));
    assert_string_not_equal(again, first);
    tp_images_free(im);
}

/* ---- tensors and datasets -------------------------------------------------------------------- */

static void tensors_share_the_block(void **state) {
    (void)state;
    put_classes("train/", cat_dog, 2, 3);
    put_classes("valid/", cat_dog, 2, 2);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    tp_tensor *x, *y, *again, *labels;
    tpt_ok(tp_images_tensors(im, TP_TRAIN, &x, &y));
    tpt_ok(tp_images_tensors(im, TP_TRAIN, &again, &labels));
    assert_ptr_equal(tp_data_ptr(x), tp_data_ptr(again));
    assert_int_equal(tp_ndim(x), 4);
    assert_int_equal(tp_size(x, 1) * 100 + tp_size(x, 2) * 10 + tp_size(x, 3), 134);
    tpt_ok(tp_images_tensors(im, TP_TEST, &x, &y));
    assert_int_equal(tp_numel(x) + tp_numel(y), 0);
    assert_int_equal(tp_images_tensors(im, (tp_part)3, &x, &y), TP_EVALUE);
    tpt_expect_error(TP_EVALUE, "images_tensors: 3 is no part");
    assert_null(x);
    tp_images_free(im);
}

static void views(void **state) {
    (void)state;
    put_classes("train/", cat_dog, 2, 3);
    put_classes("valid/", cat_dog, 2, 2);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    tp_dataset ds;
    float x[PIXELS];
    int64_t y;
    tpt_ok(tp_images_dataset(im, TP_TRAIN, &ds, NULL));
    assert_int_equal(ds.x_shape.ndim * 1000 + ds.x_shape.dim[0] * 100 + ds.x_shape.dim[1] * 10 +
                         ds.x_shape.dim[2],
                     3134);
    assert_int_equal(ds.y_shape.ndim, 0);
    assert_int_equal(tp_dataset_len(&ds), 6);
    tpt_ok(ds.get(ds.self, 4, &(tp_sample){x, &y}));
    assert_int_equal(y, 1);
    for (int k = 0; k < PIXELS; k++) assert_true(x[k] == (float)(101 + k) / 255.0f);
    tp_dataset_free(&ds);
    for (int positive = 0; positive < 2; positive++) {
        const tp_images_view view = {
            .size = sizeof view, .flat = true, .binary = true, .positive = positive};
        tpt_ok(tp_images_dataset(im, TP_TRAIN, &ds, &view));
        assert_int_equal(ds.x_shape.ndim * 100 + ds.x_shape.dim[0], 112);
        assert_int_equal(ds.y_shape.ndim * 10 + ds.y_shape.dim[0], 11);
        for (int64_t i = 0; i < 6; i++) {
            tpt_ok(ds.get(ds.self, i, &(tp_sample){x, &y}));
            assert_int_equal(y, (i >= 3) == positive);
        }
        tp_dataset_free(&ds);
    }
    const tp_images_view bad = {.size = sizeof bad, .binary = true, .positive = 2};
    assert_int_equal(tp_images_dataset(im, TP_TRAIN, &ds, &bad), TP_EINDEX);
    tpt_expect_error(TP_EINDEX, "images_dataset: there is no class 2 among 2");
    tp_images_free(im);
}

static void nothing(void *ctx, int64_t tile) {
    (void)ctx, (void)tile;
}

/* By way of any tensors of them, also between batches that are filled before they are asked for. */
static void images_may_change(void **state) {
    (void)state;
    put_classes("train/", cat_dog, 2, 20);
    put_classes("valid/", cat_dog, 2, 1);
    tpt_ok(tp_set_num_threads(2));
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    tp_dataset ds;
    tpt_ok(tp_images_dataset(im, TP_TRAIN, &ds, NULL));
    tp_loader *dl =
        tp_loader_new(&ds, &(tp_loader_opts){.size = sizeof(tp_loader_opts), .batch_size = 2});
    tp_batch b;
    for (int i = 0; tp_loader_next(dl, &b) > 0; i++) {
        if (i % 2) assert_true(tp_data_f32(b.x)[0] == (float)i / 255.0f);
        if (i && i % 2 == 0) assert_int_equal(tp_data_i64(b.y)[1], i);
        tp__parallel(8, nothing, NULL); /* wakes a worker, who has time now */
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        tp_tensor *x, *y;
        tpt_ok(tp_images_tensors(im, TP_TRAIN, &x, &y));
        assert_non_null(tp_fill_(i % 2 ? y : x, i + 1));
    }
    tp_loader_free(dl);
    tp_dataset_free(&ds);
    tp_images_free(im);
    tpt_ok(tp_set_num_threads(0));
}

static void colours_are_planes(void **state) {
    (void)state;
    put_png("train/a/0.png", 0, 1, 2, 3); /* two pixels: 0 1 2 and 3 4 5 */
    put_png("train/b/0.png", 60, 1, 2, 3);
    put_png("valid/a/0.png", 0, 1, 2, 3);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    tp_tensor *x, *y;
    tpt_ok(tp_images_tensors(im, TP_TRAIN, &x, &y));
    static const uint8_t want[] = {0, 3, 1, 4, 2, 5, 60, 63, 61, 64, 62, 65};
    tpt_same_bits(tp_data_ptr(x), want, sizeof want);
    tp_images_free(im);
}

static void idx_files_keep_their_order(void **state) {
    (void)state;
    put_labels("train-labels-idx1-ubyte", (uint8_t[]){1, 0, 1}, 3);
    put_images("train-images-idx3-ubyte", 3);
    put_labels("t10k-labels-idx1-ubyte", (uint8_t[]){0, 1}, 2);
    put_images("t10k-images-idx3-ubyte", 2);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    expect_counts(im, 3, 2, 0);
    assert_string_equal(tp_images_path(im, TP_TRAIN, 2), "");
    tp_tensor *x, *y;
    tpt_ok(tp_images_tensors(im, TP_TRAIN, &x, &y));
    tpt_same_bits(tp_data_i64(y), ((const int64_t[]){1, 0, 1}), 24);
    assert_int_equal(((uint8_t *)tp_data_ptr(x))[2 * 6 + 3], 23);
    tp_images_free(im);
}

/* ---- refused --------------------------------------------------------------------------------- */

static void refuse(tp_images_opts o, const char *text) {
    o.size = sizeof o;
    assert_null(tp_images_read(dir(), &o));
    expect_error(TP_EVALUE, text);
}

static void refused_options(void **state) {
    (void)state;
    refuse((tp_images_opts){.valid_pct = 1}, "images_read: valid_pct 1 is not in 0..1");
    refuse((tp_images_opts){.valid_pct = (double)NAN}, "images_read: valid_pct nan is not in 0..1");
    refuse((tp_images_opts){.channels = 2}, "images_read: channels 2 is neither 1 nor 3");
    refuse((tp_images_opts){.height = -1}, "images_read: 0 x -1 pixels is no size for images");
    refuse((tp_images_opts){.width = 20000}, "images_read: 20000 x 0 pixels is no size for images");
    refuse((tp_images_opts){.limit = -5}, "images_read: limit -5 is negative");
    refuse((tp_images_opts){.classes = cat_dog}, "images_read: 0 classes are given");
    assert_null(tp_images_read(NULL, NULL));
    tpt_expect_error(TP_ENULL, "images_read: an argument is NULL");
}

static void refused_questions(void **state) {
    (void)state;
    put_classes("", cat_dog, 2, 3);
    tp_images *im = read_with((tp_images_opts){.seed = 1});
    assert_null(tp_images_class(im, 2));
    tpt_expect_error(TP_EINDEX, "images_class: there is no class 2 among 2");
    assert_null(tp_images_path(im, TP_VALID, 2));
    tpt_expect_error(TP_EINDEX, "images_path: there is no image 2 among 2");
    assert_null(tp_images_note(im, 9));
    const tp_status code = tp_error_code();
    assert_int_equal(code, TP_EINDEX);
    tp_error_clear();
    assert_int_equal(tp_images_count(im, (tp_part)-1, 0), -1);
    tpt_expect_error(TP_EVALUE, "images_count: -1 is no part");
    assert_int_equal(tp_images_count(NULL, TP_TRAIN, 0), -1);
    tpt_expect_error(TP_ENULL, "images_count: an argument is NULL");
    tp_images_free(im);
    tp_images_free(NULL);
}

static void no_memory(void **state) {
    (void)state;
    put_classes("", cat_dog, 2, 4);
    tpt_ok(tp_set_num_threads(1)); /* so that the n-th allocation is the same each time */
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        tp__alloc_fail_at(n);
        tp_dataset ds = {0};
        const tp_images_opts o = {.size = sizeof o, .limit = 3};
        const tp_images_view view = {.size = sizeof view, .binary = true};
        tp_images *im = tp_images_read(dir(), &o);
        const tp_status r = im ? tp_images_dataset(im, TP_TRAIN, &ds, &view) : tp_error_code();
        failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        assert_int_equal(r, failed ? TP_ENOMEM : TP_OK);
        assert_int_equal(tp_error_clear(), r);
        tp_dataset_free(&ds);
        tp_images_free(im);
    }
    tpt_ok(tp_set_num_threads(0));
}

/* ---- one file, one folder -------------------------------------------------------------------- */

static void opened_images(void **state) {
    (void)state;
    put_png("grey.png", 5, H, W, 1);
    put_png("colour.png", 7, H, W, 3);
    put("none.png", "no picture", 10);
    char room[1000];
    const tp_scope s = tp_scope_begin();
    tp_tensor *x = tp_image_open(with_dir("DIR/grey.png", room, sizeof room));
    tp_tensor *want = tp_to(tp_arange(5, 5 + PIXELS, 1, TP_INT64), TP_UINT8);
    assert_true(tp_equal(x, tp_view(want, TP_SHAPE(H, W))));
    x = tp_image_open(with_dir("DIR/colour.png", room, sizeof room));
    want = tp_to(tp_arange(7, 7 + 3 * PIXELS, 1, TP_INT64), TP_UINT8);
    assert_true(tp_equal(x, tp_view(want, TP_SHAPE(H, W, 3))));
    assert_null(tp_image_open(with_dir("DIR/none.png", room, sizeof room)));
    tpt_expect_error(TP_EFORMAT,
                     with_dir("DIR/none.png: not a PNG or JPEG image", room, sizeof room));
    assert_null(tp_image_open(with_dir("DIR/absent.png", room, sizeof room)));
    assert_int_equal(tp_error_clear(), TP_EIO);
    tp_scope_end(s);
}

static void listed_folders(void **state) {
    (void)state;
    char room[1000];
    put("3/10000.png", "", 0);
    put("3/10.png", "", 0);
    put("3/9.png", "", 0);
    tp_paths *p = tp_ls(with_dir("DIR/3", room, sizeof room));
    assert_non_null(p);
    assert_int_equal(tp_paths_len(p), 3);
    assert_string_equal(tp_paths_at(p, 0), with_dir("DIR/3/10.png", room, sizeof room));
    assert_string_equal(tp_paths_at(p, 1), with_dir("DIR/3/10000.png", room, sizeof room));
    assert_string_equal(tp_paths_at(p, -1), with_dir("DIR/3/9.png", room, sizeof room));
    assert_null(tp_paths_at(p, 3));
    tpt_expect_error(TP_EINDEX, "paths_at: there is no path 3 among 3");
    tp_paths_free(p);
    assert_null(tp_ls(with_dir("DIR/absent", room, sizeof room)));
    assert_int_equal(tp_error_clear(), TP_EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(parts_as_they_are),
        TPT(a_part_is_split_off),
        TPT(a_class_of_one_image_is_not_split),
        TPT(limits),
        TPT(classes_of_a_model),
        TPT(bad_files),
        TPT(one_image_is_read_as_all_are),
        TPT(one_image_that_is_none),
        TPT(the_hash_is_of_all_that_matters),
        TPT(tensors_share_the_block),
        TPT(views),
        TPT(images_may_change),
        TPT(colours_are_planes),
        TPT(idx_files_keep_their_order),
        TPT(refused_options),
        TPT(refused_questions),
        TPT(no_memory),
        TPT(opened_images),
        TPT(listed_folders),
    };
    return cmocka_run_group_tests(tests, load_picture, free_picture);
}
