/* test_folder.c -- what is found in a folder, of which layout, and what is said of it. */
#define _XOPEN_SOURCE 700
#include "folders.h"

#include <unistd.h>

static void become_nobody(void) {
    assert_int_equal(chmod(dir(), 0755), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0);
}
static void become_self_again(void) {
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
}

/* ---- folders --------------------------------------------------------------------------------- */

static void split_folders(void **state) {
    (void)state;
    PICTURES("train/7/2.png", "train/7/10.png", "train/3/b.PNG", "train/3/a.jpeg", "valid/3/x.jpg",
             "valid/7/y.Jpg");
    PICTURES("train/3/.hidden.png", ".git/a/b.png", "train/.cache/c.png");
    tp__listing l;
    find(&l);
    assert_string_equal(l.layout, "train/ and valid/ folders");
    assert_true(l.split);
    expect_classes(&l, "3 7");
    expect_items(&l, "train 0 train/3/a.jpeg, train 0 train/3/b.PNG, train 1 train/7/10.png, train "
                     "1 train/7/2.png, "
                     "valid 0 valid/3/x.jpg, valid 1 valid/7/y.Jpg");
    expect_notes(&l, "");
    assert_int_equal(tp__listing_count(&l, TP_TRAIN, -1), 4);
    assert_int_equal(tp__listing_count(&l, TP_VALID, 1), 1);
    tp__listing_free(&l);
}

static void other_words_for_parts(void **state) {
    (void)state;
    PICTURES("training/a/1.png", "training/b/1.png", "validation/a/1.png", "validation/b/1.png",
             "testing/a/1.png", "testing/b/1.png");
    tp__listing l;
    find(&l);
    assert_string_equal(l.layout, "training/, validation/ and testing/ folders");
    expect_items(&l,
                 "train 0 training/a/1.png, train 1 training/b/1.png, valid 0 validation/a/1.png, "
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
    expect_items(&l,
                 "train 0 Zebra/1.png, train 1 cat/1.png, train 1 cat/2.png, train 2 dog/1.png");
    expect_notes(&l, "models: no images, so not a class\n");
    tp__listing_free(&l);
}

/* The class is the folder's whole name: nothing of the path, no part of a word. */
static void class_is_the_folder(void **state) {
    (void)state;
    PICTURES("train/cat/dog.png", "train/cats/cat.png", "train/dog/cat.png", "valid/cats/cat.png");
    tp__listing l;
    find(&l);
    expect_items(
        &l, "train 0 train/cat/dog.png, train 1 train/cats/cat.png, train 2 train/dog/cat.png, "
            "valid 1 valid/cats/cat.png");
    expect_notes(&l, "the validation part has no image of class 'cat'\nthe validation part has no "
                     "image of class 'dog'\n");
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
    expect_notes(
        &l,
        "train/none: no images, so not a class\n"
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
    refuses(TP_EFORMAT,
            "DIR: no images (neither a folder per class, nor labels.csv, nor IDX files)");
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

/* A model knows its classes: their order counts, one class will do, others are refused. */
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

/* ---- labels.csv ------------------------------------------------------------------------------ */

static void labels_file(void **state) {
    (void)state;
    PICTURES("images/1.png", "images/2.png", "images/3.png");
    put_text("labels.csv", "\xef\xbb\xbfname,note,label\r\nimages/3.png,\"a, "
                           "b\",cat\r\n./images/1.png,,\"big \"\"dog\"\"\"\r\n"
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
    put_text("labels.csv",
             "name,label\nvalid/1.png,b\ntrain/2.png,a\ntrain/1.png,b\ntrain/2.png,a\n");
    tp__listing l;
    find(&l);
    assert_true(l.split);
    expect_items(&l, "train 0 train/2.png, train 1 train/1.png, valid 1 valid/1.png");
    expect_notes(
        &l,
        "labels.csv: 1 rows name an image again\nthe validation part has no image of class 'a'\n");
    tp__listing_free(&l);
    put_text("labels.csv", "name,label\nvalid/1.png,b\ntrain/2.png,a\nother/1.png,b\n");
    find(&l);
    assert_false(l.split);
    expect_items(&l, "train 0 train/2.png, train 1 other/1.png, train 1 valid/1.png");
    expect_notes(
        &l,
        "labels.csv: 1 of 3 names are not in train/, valid/ or test/, so the folders are not taken "
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

/* ---- IDX ------------------------------------------------------------------------------------- */

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
    };
    return cmocka_run_group_tests(tests, load_picture, free_picture);
}
