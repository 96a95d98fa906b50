/* bench_files.c -- pictures into memory; whole processes: how long they last, what they hold. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "taper.h"

static char folder[600]; /* MNIST_SAMPLE, unpacked; "" if it is absent */

const char *bench_mnist_sample(void) {
    const char *archive = folder[0] ? NULL : bench_data("mnist_sample.tgz");
    if (!archive) return folder[0] ? folder : NULL;
    char command[1300];
    snprintf(folder, sizeof folder, "%s/mnist_sample", bench_dir());
    if (!access(folder, R_OK)) return folder;
    snprintf(command, sizeof command, "tar -xzf '%s' -C '%s'", archive, bench_dir());
    if (system(command)) folder[0] = '\0';
    return folder[0] ? folder : NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_folder(void *unused) {
    (void)unused;
    tp_images *im = tp_images_read(folder);
    if (!im) exit(tp_perror("bench"));
    tp_images_free(im);
}

static void reading(void) {
    static const char setup[] = "import glob\npaths = sorted(glob.glob('%s/*/*/*.png'))";
    char text[800];
    bench_row row = {.group = "files",
                     .threads = bench_threads(),
                     .unit = "ms",
                     .per_call = true,
                     .work = 1e3,
                     .name = "14,434 PNGs of MNIST_SAMPLE read"};
    bench_add(&row, BENCH_OURS, "taper", read_folder, NULL);
    snprintf(text, sizeof text, setup, folder);
    bench_add_python(&row, " PIL", text, "read_pictures(paths)", 6);
    bench_run(&row);
}

/* ---- processes ------------------------------------------------------------------------------- */

static const char program[] = TAPER_BUILD_DIR "/taper";

/* Run it to its end, silently, and the peak of its resident set in KiB; -1 if it fails. */
static long run(char *const *argv) {
    const pid_t pid = fork();
    if (!pid) {
        const int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execv(argv[0], argv);
        _exit(127);
    }
    struct rusage use;
    int status;
    const bool ok = pid > 0 && wait4(pid, &status, 0, &use) == pid && !status;
    return ok ? use.ru_maxrss : -1;
}

/* taper-bench --peak PROGRAM...: a process counts the pages of the one that it was forked from as
 * its own, so whoever forks it has to be small. */
int bench_peak_memory(char *const *argv) {
    const long kib = run(argv);
    printf("%ld\n", kib);
    return kib < 0;
}

/* MiB that `command` (of the shell) has resident at its peak, or NAN. */
static double memory(const char *command) {
    char line[3000];
    long kib = -1;
    snprintf(line, sizeof line, "'%s/taper-bench' --peak %s", TAPER_BUILD_DIR, command);
    FILE *f = popen(line, "r");
    if (f && fscanf(f, "%ld", &kib) != 1) kib = -1;
    if (f) pclose(f);
    return kib < 0 ? (double)NAN : (double)kib / 1024;
}

static char model[600], image[700];

static void predict(void *unused) {
    (void)unused;
    char *const argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "predict", model, image,
                          NULL};
    if (run(argv) >= 0) return;
    fprintf(stderr, "bench: taper predict failed\n");
    exit(1);
}

static void processes(void) {
    bench_row row = {.group = "files",
                     .threads = 1,
                     .wall = true,
                     .unit = "ms",
                     .per_call = true,
                     .work = 1e3,
                     .name = "taper predict of one image"};
    char train[2000], ask[2000];
    snprintf(model, sizeof model, "%s/model.safetensors", bench_dir());
    snprintf(image, sizeof image, "%s/valid/3/1020.png", folder);
    snprintf(train, sizeof train, "'%s' train '%s' --epochs 2 -o '%s'", program, folder, model);
    snprintf(ask, sizeof ask, "'%s' predict '%s' '%s'", program, model, image);
    const double most = 2 * 14434 * 784 / 1048576.0 + 20, used = memory(train);
    bench_add(&row, BENCH_OURS, "taper", predict, NULL);
    bench_add_python(&row, " import", "", "import_torch()", 20);
    bench_run(&row);
    bench_note_goal("files", "its memory at the most", 1, memory(ask), "MiB", 25);
    bench_note_goal("files", "taper train on MNIST_SAMPLE: memory", bench_threads(), used, "MiB",
                    most);
}

void bench_files(void) {
    if (!bench_wants("files")) return;
    if (!bench_mnist_sample()) {
        bench_open("files", "MNIST_SAMPLE", "mnist_sample.tgz is not in TAPER_DATA");
        return;
    }
    reading();
    processes();
}
