/* tests/folders.h -- making small data sets in the test's folder, and saying what is found there.
 *
 * For test_folder.c and test_image_block.c. Texts that are expected write the folder as DIR. */
#ifndef TAPER_TESTS_FOLDERS_H
#define TAPER_TESTS_FOLDERS_H
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/listing.h"

/* ---- making folders -------------------------------------------------------------------------- */

static uint8_t *picture; /* grey, 3 x 4 */
static size_t picture_bytes;

static inline const char *dir(void) {
    return tpt_tmpdir();
}

static inline void make_parents(char *path) {
    for (char *slash = path + strlen(dir()) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0755);
    }
}

static inline void put(const char *name, const void *data, size_t n) {
    char *path = tp__os_join(dir(), name);
    make_parents(path);
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("cannot write %s", path);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    tp__mfree(path);
}
static inline void put_text(const char *name, const char *text) {
    put(name, text, strlen(text));
}
/* A list of names that ends with NULL: the same grey picture for each. */
static inline void put_pictures(const char *const *names) {
    for (; *names; names++) put(*names, picture, picture_bytes);
}
#define PICTURES(...) put_pictures((const char *const[]){__VA_ARGS__, NULL})

static inline void put_golden(const char *name, const char *which) {
    char source[256];
    snprintf(source, sizeof source, "tests/golden/images/%s", which);
    size_t n;
    void *data = tp__os_read_file(tpt_source(source), 0, &n);
    assert_non_null(data);
    put(name, data, n);
    tp__mfree(data);
}
static inline void make_folder(const char *name) {
    char *path = tp__os_join(dir(), name);
    make_parents(path);
    assert_int_equal(mkdir(path, 0755), 0);
    tp__mfree(path);
}

static inline int load_picture(void **state) {
    (void)state;
    picture = tp__os_read_file(tpt_source("tests/golden/images/gamma.png"), 0, &picture_bytes);
    return picture ? 0 : -1;
}
static inline int free_picture(void **state) {
    (void)state;
    tp__mfree(picture);
    return 0;
}

/* IDX files of bytes. */
static inline void put_labels(const char *name, const uint8_t *labels, uint8_t n) {
    uint8_t file[256] = {0, 0, 8, 1, 0, 0, 0, n};
    memcpy(file + 8, labels, n);
    put(name, file, 8u + n);
}
/* n images of 2 x 3 pixels; pixel k of image i is 10 i + k. */
static inline void put_images(const char *name, uint8_t n) {
    uint8_t file[2000] = {0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 6; k++) file[16 + 6 * i + k] = (uint8_t)(10 * i + k);
    put(name, file, 16u + 6u * n);
}

/* ---- what is expected ------------------------------------------------------------------------ */

/* `text` with DIR for the test's folder. */
static inline char *with_dir(const char *text, char *room, size_t size) {
    size_t n = 0;
    while (*text && n + 1 < size) {
        if (strncmp(text, "DIR", 3) != 0)
            room[n++] = *text++;
        else {
            n += (size_t)snprintf(room + n, size - n, "%s", dir());
            text += 3;
        }
    }
    room[n] = '\0';
    return room;
}

static inline void expect_error(tp_status code, const char *text) {
    char want[1024];
    tpt_expect_error(code, with_dir(text, want, sizeof want));
}

static inline void find(tp__listing *l) {
    tpt_ok(tp__listing_find(dir(), NULL, 0, l));
}

static inline void refuses(tp_status code, const char *text) {
    tp__listing l;
    assert_int_equal(tp__listing_find(dir(), NULL, 0, &l), code);
    expect_error(code, text);
    tp__listing_free(&l);
}

/* The items in one line: "train 3 3/a.png, valid ...". */
static inline void expect_items(const tp__listing *l, const char *want) {
    static const char *const part[] = {"train", "valid", "test"};
    char got[4096] = "";
    size_t n = 0;
    for (int64_t i = 0; i < l->n && n < sizeof got; i++) {
        const tp__item *it = &l->item[i];
        assert_string_equal(it->label, l->classes[it->index]);
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s %d %s", i ? ", " : "", part[it->part],
                              it->index, tp__listing_relative(l, it->path));
    }
    assert_string_equal(got, want);
}

static inline void expect_classes(const tp__listing *l, const char *want) {
    char got[1024] = "";
    size_t n = 0;
    for (int i = 0; i < l->nclasses; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%s", i ? " " : "", l->classes[i]);
    assert_string_equal(got, want);
}

/* All notes, one a line. */
static inline void expect_notes(const tp__listing *l, const char *want) {
    char got[4096] = "", room[4096];
    size_t n = 0;
    for (int64_t i = 0; i < l->notes.n; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%s\n", l->notes.line[i]);
    assert_string_equal(got, with_dir(want, room, sizeof room));
}

#endif
