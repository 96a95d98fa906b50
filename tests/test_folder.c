/* test_folder.c -- what is found in a folder, and what is said of it; the pixels of a whole data set. */
#define _XOPEN_SOURCE 700
#include "support.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/listing.h"

/* ---- making folders ----------------------------------------------------------------------------------- */

static uint8_t *picture; /* grey, 3 x 4 */
static size_t picture_bytes;

/* DIR of the test; `expect` below writes it as DIR. */
static const char *dir(void) {
    return tpt_tmpdir();
}

static void make_parents(char *path) {
    for (char *slash = path + strlen(dir()) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0755);
    }
}

static void put(const char *name, const void *data, size_t n) {
    char *path = tp__os_join(dir(), name);
    make_parents(path);
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("cannot write %s", path);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    tp__mfree(path);
}
static void put_text(const char *name, const char *text) {
    put(name, text, strlen(text));
}
/* A list of names that ends with NULL: the same grey picture for each. */
static void put_pictures(const char *const *names) {
    for (; *names; names++) put(*names, picture, picture_bytes);
}
#define PICTURES(...) put_pictures((const char *const[]){__VA_ARGS__, NULL})

static void put_golden(const char *name, const char *which) {
    char source[256];
    snprintf(source, sizeof source, "tests/golden/images/%s", which);
    size_t n;
    void *data = tp__os_read_file(tpt_source(source), 0, &n);
    assert_non_null(data);
    put(name, data, n);
    tp__mfree(data);
}
static void make_folder(const char *name) {
    char *path = tp__os_join(dir(), name);
    make_parents(path);
    assert_int_equal(mkdir(path, 0755), 0);
    tp__mfree(path);
}

static int load_picture(void **state) {
    (void)state;
    picture = tp__os_read_file(tpt_source("tests/golden/images/gamma.png"), 0, &picture_bytes);
    return picture ? 0 : -1;
}
static int free_picture(void **state) {
    (void)state;
    tp__mfree(picture);
    return 0;
}

/* ---- what is expected ----------------------------------------------------------------------------------- */

/* `text` with DIR for the test's folder. */
static char *with_dir(const char *text, char *room, size_t size) {
    size_t n = 0;
    while (*text && n + 1 < size) {
        if (strncmp(text, "DIR", 3) != 0) room[n++] = *text++;
        else {
            n += (size_t)snprintf(room + n, size - n, "%s", dir());
            text += 3;
        }
    }
    room[n] = '\0';
    return room;
}

static void expect_error(tp_status code, const char *text) {
    char want[1024];
    tpt_expect_error(code, with_dir(text, want, sizeof want));
}

static void find(tp__listing *l) {
    tpt_ok(tp__listing_find(dir(), NULL, 0, l));
}

static void refuses(tp_status code, const char *text) {
    tp__listing l;
    assert_int_equal(tp__listing_find(dir(), NULL, 0, &l), code);
    expect_error(code, text);
    tp__listing_free(&l);
}

/* The items in one line: "train 3 3/a.png, valid ...". */
static void expect_items(const tp__listing *l, const char *want) {
    static const char *const part[] = {"train", "valid", "test"};
    char got[4096] = "";
    size_t n = 0;
    for (int64_t i = 0; i < l->n && n < sizeof got; i++) {
        const tp__item *it = &l->item[i];
        assert_string_equal(it->label, l->classes[it->index]);
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s %d %s", i ? ", " : "", part[it->part], it->index,
                              tp__listing_relative(l, it->path));
    }
    assert_string_equal(got, want);
}

static void expect_classes(const tp__listing *l, const char *want) {
    char got[1024] = "";
    size_t n = 0;
    for (int i = 0; i < l->nclasses; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", i ? " " : "", l->classes[i]);
    assert_string_equal(got, want);
}

/* All notes, one a line. */
static void expect_notes(const tp__listing *l, const char *want) {
    char got[4096] = "", room[4096];
    size_t n = 0;
    for (int64_t i = 0; i < l->notes.n; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s\n", l->notes.line[i]);
    assert_string_equal(got, with_dir(want, room, sizeof room));
}

static void become_nobody(void) {
    assert_int_equal(chmod(dir(), 0755), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0);
}
static void become_self_again(void) {
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
}

/* ---- folders ------------------------------------------------------------------------------------------------ */

static void split_folders(void **state) {
    (void)state;
    PICTURES("train/7/2.png", "train/7/10.png", "train/3/b.PNG", "train/3/a.jpeg", "valid/3/x.jpg", "valid/7/y.Jpg");
    PICTURES("train/3/.hidden.png", ".git/a/b.png", "train/.cache/c.png");
    tp__listing l;
    find(&l);
    assert_string_equal(l.layout, "train/ and valid/ folders");
    assert_true(l.split);
    expect_classes(&l, "3 7");
    expect_items(&l, "train 0 train/3/a.jpeg, train 0 train/3/b.PNG, train 1 train/7/10.png, train 1 train/7/2.png, "
                     "valid 0 valid/3/x.jpg, valid 1 valid/7/y.Jpg");
    expect_notes(&l, "");
    assert_int_equal(tp__listing_count(&l, TP_TRAIN, -1), 4);
    assert_int_equal(tp__listing_count(&l, TP_VALID, 1), 1);
    tp__listing_free(&l);
}

static void other_words_for_parts(void **state) {
    (void)state;
    PICTURES("training/a/1.png", "training/b/1.png", "validation/a/1.png", "validation/b/1.png", "testing/a/1.png",
             "testing/b/1.png");
    tp__listing l;
    find(&l);
    assert_string_equal(l.layout, "training/, validation/ and testing/ folders");
    expect_items(&l, "train 0 training/a/1.png, train 1 training/b/1.png, valid 0 validation/a/1.png, "
                     "valid 1 validation/b/1.png, test 0 testing/a/1.png, test 1 testing/b/1.png");
    tp__listing_free(&l);
    PICTURES("val/a/1.png");
    refuses(TP_EVALUE, "DIR: both val/ and validation/ are there");
}

static void test_stands_in_for_validation(void **state) {
    (void)state;
    PICTURES("training/a/1.png", "training/b/1.png", "testing/a/1.png", "testing/b/1.png");
    tp__listing l;
    find(&l);
    expect_items(&l, "train 0 training/a/1.png, train 1 training/b/1.png, valid 0 testing/a/1.png, "
                     "valid 1 testing/b/1.png");
    expect_notes(&l, "there is no validation part: the test part is used for validation\n");
    tp__listing_free(&l);
}

static void train_alone_is_undivided(void **state) {
    (void)state;
    PICTURES("train/a/1.png", "train/b/1.png");
    tp__listing l;
    find(&l);
    assert_false(l.split);
    assert_string_equal(l.layout, "train/ folder");
    expect_items(&l, "train 0 train/a/1.png, train 1 train/b/1.png");
    expect_notes(&l, "the training part has no validation or test part beside it\n");
    tp__listing_free(&l);
}

static void nothing_but_a_test_part(void **state) {
    (void)state;
    PICTURES("test/a/1.png", "test/b/1.png");
    tp__listing l;
    find(&l);
    assert_true(l.split);
    assert_string_equal(l.layout, "test/ folder");
    expect_items(&l, "test 0 test/a/1.png, test 1 test/b/1.png");
    expect_notes(&l, "");
    tp__listing_free(&l);
}

static void a_folder_per_class(void **state) {
    (void)state;
    PICTURES("dog/1.png", "cat/2.png", "cat/1.png", "Zebra/1.png");
    make_folder("models");
    tp__listing l;
    find(&l);
    assert_false(l.split);
    assert_string_equal(l.layout, "a folder per class");
    expect_classes(&l, "Zebra cat dog"); /* as bytes */
    expect_items(&l, "train 0 Zebra/1.png, train 1 cat/1.png, train 1 cat/2.png, train 2 dog/1.png");
    expect_notes(&l, "models: no images, so not a class\n");
    tp__listing_free(&l);
}

/* The class is the folder's whole name: nothing of the path, no part of a word. */
static void class_is_the_folder(void **state) {
    (void)state;
    PICTURES("train/cat/dog.png", "train/cats/cat.png", "train/dog/cat.png", "valid/cats/cat.png");
    tp__listing l;
    find(&l);
    expect_items(&l, "train 0 train/cat/dog.png, train 1 train/cats/cat.png, train 2 train/dog/cat.png, "
                     "valid 1 valid/cats/cat.png");
    expect_notes(&l, "the validation part has no image of class 'cat'\nthe validation part has no image of class 'dog'\n");
    tp__listing_free(&l);
}

/* A railway's data set: train is a class when it holds images. */
static void train_may_be_a_class(void **state) {
    (void)state;
    PICTURES("train/1.png", "bus/1.png", "tram/1.png");
    tp__listing l;
    find(&l);
    expect_classes(&l, "bus train tram");
    expect_notes(&l, "train/ holds images, not class folders, so it counts as a class\n");
    tp__listing_free(&l);
}

static void what_is_passed_over(void **state) {
    (void)state;
    PICTURES("train/3/1.png", "train/7/1.png", "valid/3/1.png", "valid/7/1.png", "train/loose.png",
             "train/3/more/1.png", "other/1.png", "models/1.png");
    put_text("train/3/notes.txt", "x");
    put_text("train/7/readme", "x");
    put_text("labels.csv", "name,label\nx,y\n");
    put_text("test/unknown.txt", "x");
    make_folder("train/none");
    tp__listing l;
    find(&l);
    assert_int_equal(l.n, 4);
    expect_notes(&l, "train/none: no images, so not a class\n"
                     "ignored labels.csv: the folders name the classes\n"
                     "ignored 2 files that are not .png, .jpg or .jpeg, the first of them train/3/notes.txt\n"
                     "ignored a folder inside a class folder: train/3/more\n"
                     "ignored an image outside the class folders: train/loose.png\n"
                     "ignored a folder without class folders: test\n"
                     "ignored 2 folders, the first of them models\n");
    tp__listing_free(&l);
}

static void folders_that_are_refused(void **state) {
    (void)state;
    refuses(TP_EFORMAT, "DIR: an empty folder");
    put_text("readme.txt", "x");
    refuses(TP_EFORMAT, "DIR: no images (neither a folder per class, nor labels.csv, nor IDX files)");
    PICTURES("1.png", "2.png");
    refuses(TP_EFORMAT, "DIR: 2 images, but no folder per class and no labels.csv");
    make_folder("cat");
    refuses(TP_EFORMAT, "DIR: 2 images, but no folder per class and no labels.csv");
    PICTURES("cat/1.png");
    refuses(TP_EVALUE, "DIR: only one class, 'cat'; a classifier needs two or more");
}

static void parts_that_are_refused(void **state) {
    (void)state;
    PICTURES("train/1.png", "valid/1.png");
    refuses(TP_EFORMAT, "DIR: train/ holds images, but no folder per class");
    make_folder("train/cat");
    refuses(TP_EFORMAT, "DIR: no images in the class folders of its train/ folder");
    PICTURES("train/cat/1.png", "valid/cat/1.png");
    refuses(TP_EVALUE, "DIR: only one class, 'cat'; a classifier needs two or more");
    PICTURES("train/dog/1.png", "valid/fox/1.png");
    refuses(TP_EVALUE, "DIR/valid/fox/1.png: class 'fox' is not one of the training part's");
}

static void a_level_too_high(void **state) {
    (void)state;
    PICTURES("mnist_png/training/0/1.png");
    refuses(TP_EFORMAT, "DIR: no images; is DIR/mnist_png meant?");
}

static void a_level_too_high_with_labels(void **state) {
    (void)state;
    put_text("set/labels.csv", "name,label\n");
    refuses(TP_EFORMAT, "DIR: no images; is DIR/set meant?");
}

static void names_that_are_refused(void **state) {
    (void)state;
    PICTURES("train/ok/1.png", "train/\xff\xfe/1.png");
    refuses(TP_EVALUE, "DIR/train/\\xff\\xfe: the name of a class folder must be UTF-8 text");
    PICTURES("train/a\nb/1.png"); /* nor may it hold control characters */
    refuses(TP_EVALUE, "DIR/train/a\\x0ab: the name of a class folder must be UTF-8 text");
}

static void other_languages_are_fine(void **state) {
    (void)state;
    PICTURES("\xe7\x8c\xab/1.png", "\xd0\xba\xd0\xbe\xd1\x82/1.png", "chat noir/\xff.png");
    tp__listing l;
    find(&l);
    expect_classes(&l, "chat noir \xd0\xba\xd0\xbe\xd1\x82 \xe7\x8c\xab");
    tp__listing_free(&l);
}

static void unreadable_folders(void **state) {
    (void)state;
    PICTURES("train/3/1.png", "train/7/1.png");
    char path[512];
    snprintf(path, sizeof path, "%s/train/7", dir());
    assert_int_equal(chmod(path, 0), 0);
    tp__listing l;
    become_nobody();
    const tp_status r = tp__listing_find(dir(), NULL, 0, &l);
    become_self_again();
    tp__listing_free(&l);
    assert_int_equal(r, TP_EIO);
    expect_error(TP_EIO, "cannot read DIR/train/7: Permission denied");
    assert_int_equal(tp__listing_find("/nowhere/at all", NULL, 0, &l), TP_EIO);
    tp__listing_free(&l);
    expect_error(TP_EIO, "cannot read /nowhere/at all: No such file or directory");
    snprintf(path, sizeof path, "%s/train/3/1.png", dir());
    assert_int_equal(tp__listing_find(path, NULL, 0, &l), TP_EIO);
    tp__listing_free(&l);
    expect_error(TP_EIO, "cannot read DIR/train/3/1.png: Not a directory");
}

/* A model knows its classes: their order counts, a folder of one class will do, others are refused. */
static void given_classes(void **state) {
    (void)state;
    PICTURES("7/b.png", "7/a.png");
    const char *const classes[] = {"7", "3", "1"};
    tp__listing l;
    tpt_ok(tp__listing_find(dir(), classes, 3, &l));
    expect_classes(&l, "7 3 1");
    expect_items(&l, "train 0 7/a.png, train 0 7/b.png");
    tp__listing_free(&l);
    PICTURES("3/c.png");
    tpt_ok(tp__listing_find(dir(), classes, 3, &l));
    expect_items(&l, "train 0 7/a.png, train 0 7/b.png, train 1 3/c.png");
    tp__listing_free(&l);
    PICTURES("8/c.png");
    assert_int_equal(tp__listing_find(dir(), classes, 3, &l), TP_EVALUE);
    expect_error(TP_EVALUE, "DIR/8/c.png: class '8' is not one of the model's");
    tp__listing_free(&l);
}

/* ---- labels.csv ------------------------------------------------------------------------------------------------ */

static void labels_file(void **state) {
    (void)state;
    PICTURES("images/1.png", "images/2.png", "images/3.png");
    put_text("labels.csv", "\xef\xbb\xbfname,note,label\r\nimages/3.png,\"a, b\",cat\r\n./images/1.png,,\"big \"\"dog\"\"\"\r\n"
                           "\r\nimages/2.png,x,cat");
    tp__listing l;
    find(&l);
    assert_string_equal(l.layout, "labels.csv");
    assert_false(l.split);
    expect_classes(&l, "big \"dog\" cat");
    expect_items(&l, "train 0 images/1.png, train 1 images/2.png, train 1 images/3.png");
    expect_notes(&l, "");
    tp__listing_free(&l);
}

static void labels_file_with_parts(void **state) {
    (void)state;
    PICTURES("train/1.png", "train/2.png", "valid/1.png");
    put_text("labels.csv", "name,label\nvalid/1.png,b\ntrain/2.png,a\ntrain/1.png,b\ntrain/2.png,a\n");
    tp__listing l;
    find(&l);
    assert_true(l.split);
    expect_items(&l, "train 0 train/2.png, train 1 train/1.png, valid 1 valid/1.png");
    expect_notes(&l, "labels.csv: 1 rows name an image again\nthe validation part has no image of class 'a'\n");
    tp__listing_free(&l);
    put_text("labels.csv", "name,label\nvalid/1.png,b\ntrain/2.png,a\nother/1.png,b\n");
    find(&l);
    assert_false(l.split);
    expect_items(&l, "train 0 train/2.png, train 1 other/1.png, train 1 valid/1.png");
    expect_notes(&l, "labels.csv: 1 of 3 names are not in train/, valid/ or test/, so the folders are not taken "
                     "as a split\n");
    tp__listing_free(&l);
}

static void labels_that_are_refused(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"", "1: an empty file"},
        {"file,label\n", "1: the header must have the columns name and label"},
        {"name,label\n", "1: no rows behind the header"},
        {"name,label\na,b\nc\n", "3: 1 fields where the header has 2"},
        {"name,label\na,\n", "2: no label"},
        {"name,label\n,a\n", "2: no name"},
        {"name,label\n/etc/passwd,a\n", "2: the name leads out of the folder"},
        {"name,label\na/../../b,a\n", "2: the name leads out of the folder"},
        {"name,label\n..,a\n", "2: the name leads out of the folder"},
        {"name,label\na,\"b\nc\"\n", "2: a control character"},
        {"name,label\na,b\nc,d\na,c\n", "4: 'a' has the label 'c' here and 'b' in line 2"},
    };
    for (int i = 0; i < TP__COUNT(cases); i++) {
        char want[512];
        put_text("labels.csv", cases[i][0]);
        snprintf(want, sizeof want, "DIR/labels.csv:%s", cases[i][1]);
        refuses(TP_EFORMAT, want);
    }
    put_text("labels.csv", "name,label\na..b,..c\nd...,..c\n");
    refuses(TP_EVALUE, "DIR: only one class, '..c'; a classifier needs two or more");
}

/* ---- IDX -------------------------------------------------------------------------------------------------------- */

static void put_labels(const char *name, const uint8_t *labels, uint8_t n) {
    uint8_t file[256] = {0, 0, 8, 1, 0, 0, 0, n};
    memcpy(file + 8, labels, n);
    put(name, file, 8u + n);
}
/* n images of 2 x 3 pixels; pixel k of image i is 10 i + k. */
static void put_images(const char *name, uint8_t n) {
    uint8_t file[2000] = {0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 6; k++) file[16 + 6 * i + k] = (uint8_t)(10 * i + k);
    put(name, file, 16u + 6u * n);
}

static void idx_files(void **state) {
    (void)state;
    put_labels("train-labels-idx1-ubyte", (uint8_t[]){11, 2, 11, 0, 2}, 5);
    put_images("train-images.idx3-ubyte", 5);
    put_labels("t10k-labels-idx1-ubyte", (uint8_t[]){0, 2}, 2);
    put_images("t10k-images-idx3-ubyte", 2);
    tp__listing l;
    find(&l);
    assert_string_equal(l.layout, "IDX files");
    expect_classes(&l, "0 2 11"); /* as numbers */
    assert_int_equal(l.n, 7);
    const int want[] = {2, 1, 2, 0, 1, 0, 1};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(l.item[i].index, want[i]); /* the files' own order */
        assert_int_equal(l.item[i].row, i < 5 ? i : i - 5);
        assert_int_equal(l.item[i].part, i < 5 ? TP_TRAIN : TP_VALID);
    }
    expect_notes(&l, "there is no validation part: the test part is used for validation\n"
                     "the validation part has no image of class '11'\n");
    tp__listing_keep(&l, (bool[]){true, false, false, true, false, false, true});
    tp__image_block b;
    tpt_ok(tp__images_load(&l, 0, 0, 0, false, &b));
    assert_int_equal(b.n, 3);
    assert_int_equal(b.height, 2);
    assert_int_equal(b.width, 3);
    assert_int_equal(b.channels, 1);
    const uint8_t pixels[] = {0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 34, 35, 10, 11, 12, 13, 14, 15};
    tpt_same_bits(b.pixels, pixels, sizeof pixels);
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

static void load_fails(tp_status code, const char *text) {
    tp__listing l;
    tp__image_block b;
    find(&l);
    assert_int_equal(tp__images_load(&l, 0, 0, 0, false, &b), code);
    assert_null(b.pixels);
    expect_error(code, text);
    tp__listing_free(&l);
}

static void idx_that_is_refused(void **state) {
    (void)state;
    put_images("train-images-idx3-ubyte", 3);
    refuses(TP_EFORMAT, "DIR/train-images-idx3-ubyte: there is no file with its labels beside it");
    put_text("train-labels-idx1-ubyte", "hello, world");
    refuses(TP_EFORMAT, "DIR/train-labels-idx1-ubyte: not an IDX file");
    put_images("train-labels-idx1-ubyte", 3);
    refuses(TP_EFORMAT, "DIR/train-labels-idx1-ubyte: IDX of 3 dimensions instead of 1");
    put_labels("train-labels-idx1-ubyte", (uint8_t[]){0}, 0);
    refuses(TP_EFORMAT, "DIR/train-labels-idx1-ubyte: no labels");
    put_labels("train-labels-idx1-ubyte", (uint8_t[]){0, 0}, 2);
    refuses(TP_EVALUE, "DIR: only one class, '0'; a classifier needs two or more");
}

static void idx_images_that_are_refused(void **state) {
    (void)state;
    put_labels("train-labels-idx1-ubyte", (uint8_t[]){0, 1}, 2);
    put_images("train-images-idx3-ubyte", 3);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: 3 images, but there are 2 labels");
    put("train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\2\0\0\0\0\0\0\0\1", 16);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: images without pixels");
    put("train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\2\0\0\x40\0\0\0\x40\0", 16);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: truncated IDX (2 x 16384 x 16384 bytes announced, 0 there)");
    put_labels("train-images-idx3-ubyte", (uint8_t[]){0, 1}, 2);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: IDX of 1 dimensions instead of 3");
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

static void bad_files_are_skipped_and_named(void **state) {
    (void)state;
    put_golden("a/1.png", "grey8.png");
    put_text("a/2.png", "this is text");
    put("a/3.png", picture, picture_bytes / 2);
    put("a/4.png", "", 0);
    put_golden("b/1.png", "grey8.png");
    make_folder("b/2.png");
    put_golden("b/3.png", "grey4.png");
    tp__listing l;
    tp__image_block b;
    find(&l);
    assert_int_equal(l.n, 7);
    tpt_ok(tp__images_load(&l, 0, 0, 0, false, &b));
    expect_items(&l, "train 0 a/1.png, train 1 b/1.png, train 1 b/3.png");
    expect_notes(&l, "skipped: DIR/a/2.png: not a PNG or JPEG image\n"
                     "skipped: DIR/a/3.png: truncated PNG (tEXt)\n"
                     "skipped: DIR/a/4.png: an empty file\n"
                     "skipped: cannot read DIR/b/2.png: Is a directory\n");
    assert_int_equal(l.skipped, 4);
    assert_int_equal(b.n, 3);
    assert_int_equal(b.height, 6);
    assert_int_equal(b.width, 11);
    tpt_same_bits(b.pixels + 66, b.pixels, 66); /* a/1.png and b/1.png are the same */
    assert_int_equal(b.pixels[132], 0x44);
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

static void strict_loading_names_the_first(void **state) {
    (void)state;
    PICTURES("a/1.png", "b/1.png");
    put_text("a/2.png", "this is text");
    put_text("b/2.png", "this too");
    tp__listing l;
    tp__image_block b;
    find(&l);
    assert_int_equal(tp__images_load(&l, 0, 0, 0, true, &b), TP_EFORMAT);
    expect_error(TP_EFORMAT, "DIR/a/2.png: not a PNG or JPEG image");
    assert_null(b.pixels);
    tp__listing_free(&l);
}

static void nothing_that_can_be_read(void **state) {
    (void)state;
    put_text("a/1.png", "text");
    put_text("b/1.png", "text");
    load_fails(TP_EFORMAT, "DIR: none of 2 images can be read; the first: DIR/a/1.png: not a PNG or JPEG image");
}

static void shapes_are_converted(void **state) {
    (void)state;
    PICTURES("a/1.png", "a/2.png", "a/3.png"); /* 3 x 4 grey */
    put_golden("b/1.png", "rgb8.png");
    put_golden("b/2.png", "one-pixel.png");
    tp__listing l;
    tp__image_block b;
    find(&l);
    tpt_ok(tp__images_load(&l, 0, 0, 0, false, &b)); /* the commonest size; colour, since one has it */
    assert_int_equal(b.height, 3);
    assert_int_equal(b.width, 4);
    assert_int_equal(b.channels, 3);
    expect_notes(&l, "resized to 4 x 3 pixels: 2 of 5 images\nconverted to colour: 4 of 5 images\n");
    for (int i = 0; i < 12; i++) { /* planes: three equal ones for grey */
        assert_int_equal(b.pixels[i], b.pixels[12 + i]);
        assert_int_equal(b.pixels[i], b.pixels[24 + i]);
    }
    for (int i = 0; i < 36; i++) assert_int_equal(b.pixels[4 * 36 + i], 0x4f);
    tp__image_block_free(&b);
    tp__listing_free(&l);
    find(&l);
    tpt_ok(tp__images_load(&l, 5, 2, 1, false, &b));
    assert_int_equal(b.bytes, 5 * 10);
    expect_notes(&l, "resized to 2 x 5 pixels: 5 of 5 images\nconverted to grey: 1 of 5 images\n");
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

/* More items than are looked at to choose a shape, and the only colour among the others. */
static void colour_met_late(void **state) {
    (void)state;
    for (int i = 0; i < 600; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s/%03d.png", i < 300 ? "a" : "b", i);
        put(name, picture, picture_bytes);
    }
    put_golden("a/001.png", "rgb8.png");
    put_text("b/301.png", "text");
    tp__listing l;
    tp__image_block b;
    find(&l);
    tpt_ok(tp__images_load(&l, 0, 0, 0, false, &b));
    assert_int_equal(b.channels, 3);
    expect_notes(&l, "skipped: DIR/b/301.png: not a PNG or JPEG image\n"
                     "resized to 4 x 3 pixels: 1 of 599 images\nconverted to colour: 598 of 599 images\n");
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

/* Threads change nothing: neither pixels nor notes. */
static void threads_change_nothing(void **state) {
    (void)state;
    char name[32], damaged[64];
    memcpy(damaged, picture, sizeof damaged);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "%c/%03d.png", 'a' + i % 3, i);
        if (i % 7 == 0) put(name, damaged, sizeof damaged);
        else put_golden(name, i % 5 ? "grey8.png" : "digit.png");
    }
    tp__listing one, many;
    tp__image_block first, again;
    tpt_ok(tp_set_num_threads(1));
    find(&one);
    tpt_ok(tp__images_load(&one, 0, 0, 0, false, &first));
    tpt_ok(tp_set_num_threads(4));
    find(&many);
    tpt_ok(tp__images_load(&many, 0, 0, 0, false, &again));
    tpt_ok(tp_set_num_threads(0));
    assert_int_equal(first.n, again.n);
    assert_int_equal(one.notes.n, many.notes.n);
    assert_int_equal(one.skipped, 58);
    for (int64_t i = 0; i < one.notes.n; i++) assert_string_equal(one.notes.line[i], many.notes.line[i]);
    tpt_same_bits(again.pixels, first.pixels, (size_t)(first.n * first.height * first.width));
    tp__image_block_free(&first), tp__image_block_free(&again);
    tp__listing_free(&one), tp__listing_free(&many);
}

/* A pending error of the caller is neither lost nor taken for one of the files'. */
static void a_pending_error_stays(void **state) {
    (void)state;
    PICTURES("a/1.png", "b/1.png");
    put_text("b/2.png", "text");
    tp__listing l;
    tp__image_block b;
    find(&l);
    tp_error_set(TP_EINDEX, "from before");
    tpt_ok(tp__images_load(&l, 0, 0, 0, false, &b));
    tpt_expect_error(TP_EINDEX, "from before");
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

static tp_status find_and_load(const char *path) {
    tp__listing l;
    tp_status r = tp__listing_find(path, NULL, 0, &l);
    tp__image_block b;
    if (!r) r = tp__images_load(&l, 0, 0, 0, false, &b);
    if (!r) tp__image_block_free(&b);
    tp__listing_free(&l);
    return r;
}

static void any_allocation_may_fail(const char *path, int64_t least) {
    tpt_ok(tp_set_num_threads(1));
    int64_t n = 1;
    for (;; n++) {
        tp__alloc_fail_at(n);
        const tp_status r = find_and_load(path);
        const bool failed = tp__alloc_failed();
        tp__alloc_fail_at(0);
        if (!failed) {
            tpt_ok(r);
            break;
        }
        assert_int_equal(r, TP_ENOMEM);
        tpt_expect_error(TP_ENOMEM, "out of memory");
    }
    tpt_ok(tp_set_num_threads(0));
    assert_true(n > least);
}

static void out_of_memory(void **state) {
    (void)state;
    PICTURES("folders/train/a/1.png", "folders/train/b/1.png", "folders/valid/a/1.png", "folders/train/b/inner/1.png");
    put_text("folders/train/a/2.png", "text");
    put_golden("folders/train/a/3.png", "rgb8.png");
    PICTURES("rows/1.png", "rows/2.png");
    put_text("rows/labels.csv", "name,label\n1.png,a\n2.png,b\n1.png,a\n");
    put_labels("idx/train-labels-idx1-ubyte", (uint8_t[]){0, 1}, 2);
    put_images("idx/train-images-idx3-ubyte", 2);
    const char *const sets[] = {"folders", "rows", "idx"};
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir(), sets[i]);
        any_allocation_may_fail(path, 15);
    }
}

/* ---- real data sets ------------------------------------------------------------------------------------------------ */

static void expect_sha256(const tp__listing *l, const tp__image_block *b, tp_part part, int index, const char *want) {
    struct sha256_ctx sha;
    sha256_init(&sha);
    const size_t row = (size_t)(b->channels * b->height * b->width);
    for (int64_t i = 0; i < l->n; i++)
        if (l->item[i].part == part && l->item[i].index == index)
            sha256_update(&sha, row, b->pixels + (size_t)i * row);
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&sha, sizeof digest, digest);
    char hex[2 * SHA256_DIGEST_SIZE + 1];
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, want);
}

static void mnist_sample(void **state) {
    (void)state;
    char command[1024], path[512];
    snprintf(command, sizeof command, "tar -xzf '%s' -C '%s'", tpt_data("mnist_sample.tgz"), dir());
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/mnist_sample", dir());
    tp__listing l;
    tp__image_block b;
    tpt_ok(tp__listing_find(path, NULL, 0, &l));
    expect_classes(&l, "3 7");
    expect_notes(&l, "ignored labels.csv: the folders name the classes\n");
    assert_string_equal(tp__listing_relative(&l, l.item[1].path), "train/3/10000.png");
    tpt_ok(tp__images_load(&l, 0, 0, 0, true, &b));
    assert_int_equal(b.n, 14434);
    assert_int_equal(b.height * b.width * b.channels, 784);
    expect_sha256(&l, &b, TP_TRAIN, 0, "27827b5d0311478d77b7c8941be003d6f30b4a900c17e343c72534ac853c1ed5");
    expect_sha256(&l, &b, TP_TRAIN, 1, "caeb194cda0262f4a16f302971a246ace03448704fade38b5d882a815830e66a");
    expect_sha256(&l, &b, TP_VALID, 0, "02db1ddc2cb4157a1b621c8f9b51befcf890948ad060d5b0e35d9158963cdf7b");
    expect_sha256(&l, &b, TP_VALID, 1, "9805bc09899883dda1913c99cdf3896dc246528558fe2c10bc36e4717a7589de");
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

/* Full MNIST as it is downloaded. Its 3s and 7s are those of the sample, in the order of the file. */
static void mnist(void **state) {
    (void)state;
    tp__listing l;
    tp__image_block b;
    char path[512];
    snprintf(path, sizeof path, "%s", tpt_data("mnist"));
    tpt_ok(tp__listing_find(path, NULL, 0, &l));
    expect_classes(&l, "0 1 2 3 4 5 6 7 8 9");
    assert_int_equal(tp__listing_count(&l, TP_TRAIN, -1), 60000);
    assert_int_equal(tp__listing_count(&l, TP_VALID, -1), 10000);
    assert_int_equal(tp__listing_count(&l, TP_TRAIN, 3), 6131);
    assert_int_equal(tp__listing_count(&l, TP_VALID, 7), 1028);
    tpt_ok(tp__images_load(&l, 0, 0, 0, true, &b));
    assert_int_equal(b.bytes, 70000 * 784);
    assert_int_equal(b.pixels[(size_t)10000 * 784 + 5 * 28 + 9], 29); /* image 10000 of the book */
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TPT(split_folders),
        TPT(other_words_for_parts),
        TPT(test_stands_in_for_validation),
        TPT(train_alone_is_undivided),
        TPT(nothing_but_a_test_part),
        TPT(a_folder_per_class),
        TPT(class_is_the_folder),
        TPT(train_may_be_a_class),
        TPT(what_is_passed_over),
        TPT(folders_that_are_refused),
        TPT(parts_that_are_refused),
        TPT(a_level_too_high),
        TPT(a_level_too_high_with_labels),
        TPT(names_that_are_refused),
        TPT(other_languages_are_fine),
        TPT(unreadable_folders),
        TPT(given_classes),
        TPT(labels_file),
        TPT(labels_file_with_parts),
        TPT(labels_that_are_refused),
        TPT(idx_files),
        TPT(idx_that_is_refused),
        TPT(idx_images_that_are_refused),
        TPT(bad_files_are_skipped_and_named),
        TPT(strict_loading_names_the_first),
        TPT(nothing_that_can_be_read),
        TPT(shapes_are_converted),
        TPT(colour_met_late),
        TPT(threads_change_nothing),
        TPT(a_pending_error_stays),
        TPT(out_of_memory),
        TPT(mnist_sample),
        TPT(mnist),
    };
    return cmocka_run_group_tests(tests, load_picture, free_picture);
}
