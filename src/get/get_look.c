/* get_look.c -- what a folder holds, in the terms of training: images, classes, parts.
 *
 * An image's class is the folder it lies in; a part is a folder at the top that is called train,
 * valid or test or a variant of it. IDX files say the same in their headers. */
#define _XOPEN_SOURCE 700
#include "get.h"
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* nftw hands no pointer on, so the walk's state is here. */
static struct {
    size_t root; /* length of the folder's own path */
    int64_t files, bytes;
    int64_t images[GET_PARTS], loose; /* in class folders, elsewhere */
    char *class_path[2];              /* the last one met: in a part for training, at the top */
    int64_t classes[2];
    bool labels_csv;
} seen;

/* The walk meets a folder's files together, so a class is new when it is not the last one. */
static void note_class(bool top, const char *path, size_t n) {
    char **last = &seen.class_path[top];
    if (*last && strlen(*last) == n && !strncmp(*last, path, n)) return;
    free(*last);
    *last = get_strndup(path, n);
    seen.classes[top]++;
}

/* CLASS/FILE or PART/CLASS/FILE is an image of a class; any other depth is not. */
static void note_image(const char *path) {
    const size_t first = strcspn(path, "/");
    const get_part part = path[first] ? get_part_named(path, first) : GET_NO_PART;
    const size_t start = part ? first + 1 : 0, n = strcspn(path + start, "/");
    if (!path[start + n] || strchr(path + start + n + 1, '/')) {
        seen.loose++;
        return;
    }
    seen.images[part]++;
    if (part == GET_NO_PART || part == GET_TRAIN) note_class(!part, path, start + n);
}

static int note_file(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)at;
    if (type != FTW_F) return 0;
    const char *inside = path + seen.root + 1;
    seen.files++;
    seen.bytes += st->st_size;
    if (inside[0] == '.' || strstr(inside, "/.")) return 0; /* hidden */
    if (!strcmp(inside, "labels.csv")) seen.labels_csv = true;
    if (get_has_ending(path, ".png") || get_has_ending(path, ".jpg") ||
        get_has_ending(path, ".jpeg"))
        note_image(inside);
    return 0;
}

/* ---- IDX ---- */

/* Images in DIR/NAME-images-idx3-ubyte.gz; 0 where there are none. */
static int64_t idx_images(const char *dir, const char *name) {
    get_idx idx = {0};
    char *path = get_format("%s/%s-images-idx3-ubyte.gz", dir, name);
    const bool there = get_file_size(path) >= 0 && get_idx_header(path, &idx);
    free(path);
    return there ? idx.dim[0] : 0;
}

static int64_t idx_classes(const char *dir) {
    char *path = get_format("%s/train-labels-idx1-ubyte.gz", dir);
    const int n = get_file_size(path) < 0 ? 0 : get_idx_classes(path);
    free(path);
    return n > 0 ? n : 0;
}

static void look_at_idx(const char *dir, get_summary *s) {
    s->train = idx_images(dir, "train");
    s->test = idx_images(dir, "t10k");
    s->images = s->train + s->test;
    s->classes = idx_classes(dir);
    if (!s->train) s->lacks = "train-images-idx3-ubyte.gz";
    if (s->train && !s->classes) s->lacks = "train-labels-idx1-ubyte.gz";
}

/* ---- folders ---- */

static void look_at_images(get_summary *s) {
    const int64_t all = seen.images[GET_NO_PART] + seen.images[GET_TRAIN] + seen.images[GET_VALID] +
                        seen.images[GET_TEST] + seen.loose;
    if (seen.images[GET_TRAIN]) {
        s->train = seen.images[GET_TRAIN];
        s->valid = seen.images[GET_VALID];
        s->test = seen.images[GET_TEST];
        s->images = s->train + s->valid + s->test;
        s->classes = seen.classes[0];
    } else if (seen.classes[1] > 1) {
        s->images = seen.images[GET_NO_PART];
        s->classes = seen.classes[1];
    } else {
        s->images = all;
    }
    if (s->classes < 2 && !seen.labels_csv) s->lacks = "two folders of images, one for each class";
}

bool get_look(const char *dir, get_summary *s) {
    memset(&seen, 0, sizeof seen);
    *s = (get_summary){0};
    seen.root = strlen(dir);
    const bool ok = !nftw(dir, note_file, 16, FTW_PHYS) || get_fail("cannot read %s", dir);
    free(seen.class_path[0]);
    free(seen.class_path[1]);
    s->files = seen.files;
    s->bytes = seen.bytes;
    look_at_images(s);
    if (!s->images) {
        s->lacks = NULL;
        look_at_idx(dir, s);
    }
    if (!s->images) s->lacks = "images";
    return ok;
}

/* `text` with "train 12,396" behind it, in a list; frees the old text. */
static char *with_part(char *text, const char *name, int64_t n) {
    char count[32];
    if (!n) return text;
    const char *before = strchr(text, '(') ? ", " : " (";
    char *longer = get_format("%s%s%s %s", text, before, name, get_count(count, n));
    free(text);
    return longer;
}

static char *images_and_classes(const get_summary *s) {
    char images[32], classes[32];
    const char *many = s->images == 1 ? "" : "s";
    get_count(images, s->images);
    if (!s->classes) return get_format("%s image%s", images, many);
    return get_format("%s image%s in %s class%s", images, many, get_count(classes, s->classes),
                      s->classes == 1 ? "" : "es");
}

char *get_summary_text(const get_summary *s) {
    char files[32], size[32];
    if (!s->images)
        return get_format("%s, %s", get_files(files, s->files), get_size(size, s->bytes));
    char *text = images_and_classes(s);
    text = with_part(text, "train", s->train);
    text = with_part(text, "valid", s->valid);
    text = with_part(text, "test", s->test);
    if (!strchr(text, '(')) return text;
    char *closed = get_format("%s)", text);
    free(text);
    return closed;
}
