/* tests/replay.c -- runs a fuzz target without a fuzzer, so that every test run tries hostile
 * files: each file of the corpus as it is, cut short, and with bytes changed at random (always the
 * same). */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS = 200, CHANGES = 1000 };
static const size_t LARGEST = 1 << 20;

static uint32_t next_random(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* A copy of exactly `size` bytes, so that a sanitizer sees the first byte read behind the end. */
static void try_bytes(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) exit(1);
    if (size) memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void try_cuts(const uint8_t *data, size_t size) {
    const size_t step = size / CUTS + 1;
    for (size_t n = 0; n < size; n += step) try_bytes(data, n);
}

static void try_changes(uint8_t *data, size_t size) {
    for (int i = 0; i < CHANGES && size; i++) {
        const size_t head = size < 256 || i % 2 ? size : 256; /* headers deserve half of it */
        const size_t at = next_random() % head;
        const uint8_t old = data[at];
        data[at] = (uint8_t)next_random();
        try_bytes(data, size);
        if (i % 4) data[at] = old;
    }
}

static void try_file(const char *path) {
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(LARGEST);
    if (!f || !data) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        exit(1);
    }
    const size_t size = fread(data, 1, LARGEST, f);
    fclose(f);
    try_bytes(data, size);
    try_cuts(data, size);
    try_changes(data, size);
    free(data);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    DIR *dir = opendir(argv[1]);
    int files = 0;
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        try_file(path);
        files++;
    }
    if (dir) closedir(dir);
    printf("1..1\n%s 1 - %d files of %s\n", files ? "ok" : "not ok", files, argv[1]);
    return files ? 0 : 1;
}
