/* get_known.c -- the data sets that taper-get knows by name: where they live and what they hash to.
 *
 * An archive is known by the size and md5 of the file. An IDX set is known by its unpacked data,
 * so that every gzip of it is good: the publisher's, a mirror's, a distribution's. */
#include "get.h"
#include <string.h>

const get_known get_known_sets[] = {
    {.name = "mnist_sample",
     .title = "the 3s and 7s of MNIST: grey PNG, 28x28",
     .base = "https://s3.amazonaws.com/fast-ai-sample/",
     .nfiles = 1,
     .file = {{"mnist_sample.tgz", 3214948, 3214948, "2dbc7ec6f9259b583af0072c55816a88"}}},
    {.name = "mnist_tiny",
     .title = "a small part of these, for quick trials",
     .base = "https://s3.amazonaws.com/fast-ai-sample/",
     .nfiles = 1,
     .file = {{"mnist_tiny.tgz", 342207, 342207, "56143e8f24db90d925d82a5a74141875"}}},
    {.name = "mnist",
     .title = "all ten digits: IDX, 60,000 to train, 10,000 to test",
     .base = "https://ossci-datasets.s3.amazonaws.com/mnist/",
     .nfiles = 4,
     .file = {{"train-images-idx3-ubyte.gz", 9912422, 47040016, "6bbc9ace898e44ae57da46a324031adb"},
              {"train-labels-idx1-ubyte.gz", 28881, 60008, "a25bea736e30d166cdddb491f175f624"},
              {"t10k-images-idx3-ubyte.gz", 1648877, 7840016, "2646ac647ad5339dbf082846283269ea"},
              {"t10k-labels-idx1-ubyte.gz", 4542, 10008, "27ae3e4e09519cfbb04c329615203637"}}},
    {.name = "fashion_mnist",
     .title = "ten kinds of clothes, in the same form",
     .base = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
     .local = "fashion-mnist",
     .package = "dataset-fashion-mnist",
     .nfiles = 4,
     .file = {{"train-images-idx3-ubyte.gz", 26421880, 47040016,
               "f4a8712d7a061bf5bd6d2ca38dc4d50a"},
              {"train-labels-idx1-ubyte.gz", 29515, 60008, "9018921c3c673c538a1fc5bad174d6f9"},
              {"t10k-images-idx3-ubyte.gz", 4422102, 7840016, "8181f5470baa50b63fa0f6fddb340f0a"},
              {"t10k-labels-idx1-ubyte.gz", 5148, 10008, "15d484375f8d13e6eb1aabb0c3f46965"}}},
};
const int get_known_count = GET_COUNT(get_known_sets);

const get_known *get_known_find(const char *name) {
    for (int i = 0; i < get_known_count; i++)
        if (!strcmp(get_known_sets[i].name, name)) return &get_known_sets[i];
    return NULL;
}

/* Letters to change, add or drop to get from a to b (Levenshtein); names of up to 31 letters. */
static int distance(const char *a, const char *b) {
    const int n = (int)strlen(a), m = (int)strlen(b);
    int row[32];
    if (n > 31 || m > 31) return 99;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            const int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[m];
}

const get_known *get_known_guess(const char *name) {
    const get_known *found = NULL;
    int nearest = 3;
    for (int i = 0; i < get_known_count; i++) {
        const int d = distance(name, get_known_sets[i].name);
        if (d < nearest) {
            nearest = d;
            found = &get_known_sets[i];
        }
    }
    return found;
}

get_want get_known_want(const get_known *k, int i) {
    const get_known_file *f = &k->file[i];
    return (get_want){.bytes = f->bytes, .md5 = f->md5, .unpacked = k->nfiles > 1, .name = k->name};
}

int64_t get_known_bytes(const get_known *k) {
    int64_t sum = 0;
    for (int i = 0; i < k->nfiles; i++) sum += k->file[i].packed;
    return sum;
}
