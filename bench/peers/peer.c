/* peer.c -- the requests of taper-bench, for a program of another library. */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

enum { SLOTS = 32 };
static struct slot {
    peer_work work;
    float *x;
    int64_t *y;
    int64_t times; /* in one call */
} slots[SLOTS];

void peer_shuffle(int64_t *index, int64_t n) {
    static uint64_t state = 88172645463325252u; /* xorshift */
    for (int64_t i = 0; i < n; i++) index[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        const int64_t j = (int64_t)(state % (uint64_t)(i + 1)), kept = index[i];
        index[i] = index[j];
        index[j] = kept;
    }
}

/* ---- images ---------------------------------------------------------------------------------- */

/* What an .npy file of taper-bench's holds; NULL if it cannot be read. *size: its bytes. */
static void *read_npy(const char *path, int64_t *size) {
    unsigned char head[10]; /* magic and version, then the length of the rest of the header */
    struct stat st;
    void *data = NULL;
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    if (!fstat(fileno(f), &st) && fread(head, 1, 10, f) == 10) {
        const long start = 10 + head[8] + 256 * head[9];
        *size = st.st_size - start;
        data = *size > 0 && !fseek(f, start, SEEK_SET) ? malloc((size_t)*size) : NULL;
        if (data && fread(data, 1, (size_t)*size, f) != (size_t)*size) free(data), data = NULL;
    }
    fclose(f);
    return data;
}

static bool read_images(struct slot *s, const char *x, const char *y, int64_t *images) {
    int64_t pixels = 0, labels = 0;
    unsigned char *bytes = read_npy(x, &pixels);
    s->y = read_npy(y, &labels);
    s->x = bytes ? malloc((size_t)pixels * sizeof *s->x) : NULL;
    for (int64_t i = 0; s->x && i < pixels; i++) s->x[i] = (float)bytes[i] / 255;
    free(bytes);
    *images = pixels / PEER_PIXELS;
    return s->x && s->y && labels == *images * (int64_t)sizeof *s->y;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int64_t integer(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}
static const char *text(const json_t *o, const char *key) {
    return json_string_value(json_object_get(o, key));
}

static bool task_from(const json_t *o, struct slot *s, peer_task *t) {
    static const char *const kinds[] = {"add", "backward", "product", "train"};
    const char *kind = text(o, "kind"), *threads = getenv("OMP_NUM_THREADS");
    *t = (peer_task){.threads = threads ? atoi(threads) : 1};
    while (kind && t->kind <= PEER_TRAIN && strcmp(kind, kinds[t->kind])) t->kind++;
    if (!kind || t->kind > PEER_TRAIN) return false;
    t->M = integer(o, "M"), t->N = integer(o, "N"), t->K = integer(o, "K");
    t->hidden = integer(o, "hidden"), t->out = integer(o, "out"), t->batch = integer(o, "batch");
    t->adam = json_is_true(json_object_get(o, "adam"));
    if (t->kind != PEER_TRAIN) return true;
    const char *x = text(o, "x"), *y = text(o, "y");
    if (!x || !y || !read_images(s, x, y, &t->images)) return false;
    t->x = s->x, t->y = s->y;
    return true;
}

static void forget(struct slot *s) {
    if (s->work.end) s->work.end(s->work.ctx);
    free(s->x);
    free(s->y);
    *s = (struct slot){0};
}

/* setup: a JSON object of the task; step: how often it is done in one call. */
static const char *set_up(const json_t *request, struct slot *s) {
    const char *setup = text(request, "setup"), *step = text(request, "step");
    json_t *o = setup ? json_loads(setup, 0, NULL) : NULL;
    peer_task t;
    forget(s);
    s->times = step ? atoll(step) : 1;
    const bool ok = task_from(o, s, &t) && peer_begin(&t, &s->work);
    json_decref(o);
    return ok ? "ok" : "no such work";
}

static double seconds_per_call(const struct slot *s, int64_t calls, bool own) {
    const clockid_t clock = own ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    struct timespec start, end;
    clock_gettime(clock, &start);
    s->work.run(s->work.ctx, calls * s->times);
    clock_gettime(clock, &end);
    return ((double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec)) /
           (double)calls;
}

static void answer(const json_t *request, FILE *answers) {
    const char *what = text(request, "do");
    const int64_t slot = integer(request, "slot");
    struct slot *s = slot >= 0 && slot < SLOTS ? &slots[slot] : NULL;
    if (what && s && !strcmp(what, "setup"))
        fprintf(answers, "%s\n", set_up(request, s));
    else if (what && s && !strcmp(what, "run") && s->work.run)
        fprintf(answers, "%.9g\n",
                seconds_per_call(s, integer(request, "calls"),
                                 json_is_true(json_object_get(request, "own"))));
    else {
        for (int i = 0; i < SLOTS; i++) forget(&slots[i]);
        fprintf(answers, "ok\n");
    }
    fflush(answers);
}

int main(void) {
    char line[4096];
    FILE *answers = fdopen(dup(STDOUT_FILENO), "w");
    if (!answers || !freopen("/dev/null", "w", stdout)) return 1; /* what a library prints */
    fprintf(answers, "%s\n", peer_version());
    fflush(answers);
    while (fgets(line, sizeof line, stdin)) {
        json_t *request = json_loads(line, 0, NULL);
        answer(request, answers);
        json_decref(request);
    }
    return 0;
}
