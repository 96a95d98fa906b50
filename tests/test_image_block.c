/* test_image_block.c -- the pictures of a listing in one block: bad files, shapes, threads, memory,
 * and the pixels of real data sets. */
#define _XOPEN_SOURCE 700
#include "folders.h"

#include <nettle/sha2.h>

static void load_fails(tp_status code, const char *text) {
    tp__listing l;
    tp__image_block b;
    find(&l);
    assert_int_equal(tp__images_load(&l, 0, 0, 0, false, &b), code);
    assert_null(b.pixels);
    expect_error(code, text);
    tp__listing_free(&l);
}

static void idx_images_that_are_refused(void **state) {
    (void)state;
    put_labels("train-labels-idx1-ubyte", (uint8_t[]){0, 1}, 2);
    put_images("train-images-idx3-ubyte", 3);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: 3 images, but there are 2 labels");
    put("train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\2\0\0\0\0\0\0\0\1", 16);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: images without pixels");
    put("train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\2\0\0\x40\0\0\0\x40\0", 16);
    load_fails(
        TP_EFORMAT,
        "DIR/train-images-idx3-ubyte: truncated IDX (2 x 16384 x 16384 bytes announced, 0 there)");
    put_labels("train-images-idx3-ubyte", (uint8_t[]){0, 1}, 2);
    load_fails(TP_EFORMAT, "DIR/train-images-idx3-ubyte: IDX of 1 dimensions instead of 3");
}

/* ---- loading --------------------------------------------------------------------------------- */

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
    load_fails(
        TP_EFORMAT,
        "DIR: none of 2 images can be read; the first: DIR/a/1.png: not a PNG or JPEG image");
}

static void shapes_are_converted(void **state) {
    (void)state;
    PICTURES("a/1.png", "a/2.png", "a/3.png"); /* 3 x 4 grey */
    put_golden("b/1.png", "rgb8.png");
    put_golden("b/2.png", "one-pixel.png");
    tp__listing l;
    tp__image_block b;
    find(&l);
    tpt_ok(
        tp__images_load(&l, 0, 0, 0, false, &b)); /* the commonest size; colour, since one has it */
    assert_int_equal(b.height, 3);
    assert_int_equal(b.width, 4);
    assert_int_equal(b.channels, 3);
    expect_notes(&l, "resized to 4 x 3 pixels: 2 of 5 images, 1 of them stretched to that "
                     "shape\nconverted to colour: 4 of 5 images\n");
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
    expect_notes(&l, "resized to 2 x 5 pixels: 5 of 5 images, 5 of them stretched to that "
                     "shape\nconverted to grey: 1 of 5 images\n");
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
    expect_notes(
        &l, "skipped: DIR/b/301.png: not a PNG or JPEG image\n"
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
        if (i % 7 == 0)
            put(name, damaged, sizeof damaged);
        else
            put_golden(name, i % 5 ? "grey8.png" : "digit.png");
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
    for (int64_t i = 0; i < one.notes.n; i++)
        assert_string_equal(one.notes.line[i], many.notes.line[i]);
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

static tp_status find_and_load(void *path) {
    tp__listing l;
    tp_status r = tp__listing_find(path, NULL, 0, &l);
    tp__image_block b;
    if (!r) r = tp__images_load(&l, 0, 0, 0, false, &b);
    if (!r) tp__image_block_free(&b);
    tp__listing_free(&l);
    return r;
}

static void out_of_memory(void **state) {
    (void)state;
    PICTURES("folders/train/a/1.png", "folders/train/b/1.png", "folders/valid/a/1.png",
             "folders/train/b/inner/1.png");
    put_text("folders/train/a/2.png", "text");
    put_golden("folders/train/a/3.png", "rgb8.png");
    PICTURES("rows/1.png", "rows/2.png");
    put_text("rows/labels.csv", "name,label\n1.png,a\n2.png,b\n1.png,a\n");
    put_labels("idx/train-labels-idx1-ubyte", (uint8_t[]){0, 1}, 2);
    put_images("idx/train-images-idx3-ubyte", 2);
    const char *const sets[] = {"folders", "rows", "idx"};
    tpt_ok(tp_set_num_threads(1)); /* so that the n-th allocation is the same each time */
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir(), sets[i]);
        assert_true(tpt_fail_each_allocation(find_and_load, path) >= 15);
    }
    tpt_ok(tp_set_num_threads(0));
}

/* ---- real data sets -------------------------------------------------------------------------- */

static void expect_sha256(const tp__listing *l, const tp__image_block *b, tp_part part, int index,
                          const char *want) {
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
    expect_sha256(&l, &b, TP_TRAIN, 0,
                  "27827b5d0311478d77b7c8941be003d6f30b4a900c17e343c72534ac853c1ed5");
    expect_sha256(&l, &b, TP_TRAIN, 1,
                  "caeb194cda0262f4a16f302971a246ace03448704fade38b5d882a815830e66a");
    expect_sha256(&l, &b, TP_VALID, 0,
                  "02db1ddc2cb4157a1b621c8f9b51befcf890948ad060d5b0e35d9158963cdf7b");
    expect_sha256(&l, &b, TP_VALID, 1,
                  "9805bc09899883dda1913c99cdf3896dc246528558fe2c10bc36e4717a7589de");
    tp__image_block_free(&b);
    tp__listing_free(&l);
}

/* Full MNIST as it is downloaded. Its 3s and 7s are the sample's, in the order of the file. */
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
