/* chapter4_python.h -- what chapter4.c needs of Python: how values are printed, and its `random`.
 *
 * Whatever fails ends the program with one line that says why, so the chapter reads like the
 * notebook. */
#ifndef CHAPTER4_PYTHON_H
#define CHAPTER4_PYTHON_H
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taper.h>

/* ---- printing as Python does ----------------------------------------------------------------- */

static void step(const char *code) {
    printf("\n>>> %s\n", code);
}

_Noreturn static void fail(const char *what) {
    tp_perror(what);
    exit(1);
}

static void must(tp_status r) {
    if (r) fail("chapter4");
}

/* repr(x), without a newline. */
static void put(tp_tensor *x) {
    const int64_t n = tp_repr(x, NULL, 0);
    char *text = n >= 0 ? malloc((size_t)n + 1) : NULL;
    if (!x || !text) fail("chapter4");
    tp_repr(x, text, (size_t)n + 1);
    fputs(text, stdout);
    free(text);
}

/* x.shape */
static void put_size(const tp_tensor *x) {
    if (!x) fail("chapter4");
    fputs("torch.Size([", stdout);
    for (int i = 0; i < tp_ndim(x); i++) printf("%s%" PRId64, i ? ", " : "", tp_size(x, i));
    fputs("])", stdout);
}

/* As NumPy writes the same array: indented one column less, and no "torch." in the dtype. */
static void show_array(tp_tensor *x) {
    char text[1024];
    if (tp_repr(x, text, sizeof text) >= (int64_t)sizeof text) fail("chapter4");
    fputs("array", stdout);
    for (const char *p = text + strlen("tensor"); *p; p++) {
        if (!strncmp(p, "torch.", 6)) p += 6;
        putchar(*p);
        if (*p == '\n') p++;
    }
    putchar('\n');
}

/* repr(v): the shortest decimals that read back as v. */
static void put_number(double v) {
    char text[32];
    int digits = 0;
    do snprintf(text, sizeof text, "%.*e", digits++, v);
    while (digits < 17 && strtod(text, NULL) != v);
    const char *e = strchr(text, 'e');
    const int exponent = e ? atoi(e + 1) : 0;
    if (!e || exponent < -4 || exponent >= 16)
        printf("%.*g", digits, v);
    else
        printf("%.*f", digits - 1 - exponent > 1 ? digits - 1 - exponent : 1, v);
}

/* A line of values: in `form`, T stands for a tensor, S for a tensor's shape, N for a double, I for
 * an int64_t, anything else for itself. */
static void vshow(const char *form, va_list value) {
    for (; *form; form++) {
        if (*form == 'T')
            put(va_arg(value, tp_tensor *));
        else if (*form == 'S')
            put_size(va_arg(value, tp_tensor *));
        else if (*form == 'N')
            put_number(va_arg(value, double));
        else if (*form == 'I')
            printf("%" PRId64, va_arg(value, int64_t));
        else
            putchar(*form);
    }
    putchar('\n');
    if (tp_error_code()) fail("chapter4");
}

static void show(const char *form, ...) {
    va_list value;
    va_start(value, form);
    vshow(form, value);
    va_end(value);
}

/* A cell of the notebook: its code and what it gives. */
static void cell(const char *code, const char *form, ...) {
    va_list value;
    va_start(value, form);
    step(code);
    vshow(form, value);
    va_end(value);
}

/* fastcore's L: the length, and at most ten items. `name(i)` writes item i. */
static void show_list(int64_t n, void (*name)(const void *self, int64_t i), const void *self) {
    printf("(#%" PRId64 ") [", n);
    for (int64_t i = 0; i < n && i < 10; i++) {
        if (i) putchar(',');
        name(self, i);
    }
    puts(n > 10 ? "...]" : "]");
}

/* ---- Python's random numbers ----------------------------------------------------------------- */

/* random.Random(seed): mt19937 again, begun by Matsumoto's init_by_array from the seed's words. */
static tp_rng *python_random(uint64_t seed) {
    enum { N = 624 };
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t len = key[1] ? 2 : 1;
    tp_rng *rng = tp_rng_new(19650218);
    tp_dict *state = rng ? tp_rng_state(rng) : NULL;
    if (!state) fail("random");
    int64_t *word = tp_data_i64(tp_dict_get(state, "mt19937"));
    for (uint32_t k = 0, i = 1; k < 2 * N - 1; k++) {
        const uint32_t before = (uint32_t)word[i - 1], old = (uint32_t)word[i];
        const uint32_t mixed = before ^ (before >> 30);
        word[i] = k < N ? (uint32_t)((old ^ (mixed * 1664525u)) + key[k % len] + k % len)
                        : (uint32_t)((old ^ (mixed * 1566083941u)) - i);
        if (++i == N) {
            word[0] = word[N - 1];
            i = 1;
        }
    }
    word[0] = 0x80000000u;
    must(tp_rng_set_state(rng, state));
    tp_dict_free(state);
    return rng;
}

/* randint(0, n - 1): as many bits as n has, again until they are below n. */
static uint64_t python_below(tp_rng *rng, uint64_t n) {
    int bits = 0;
    while (n >> bits) bits++;
    for (;;) {
        uint64_t r = tp_rng_u32(rng);
        if (bits > 32)
            r |= (uint64_t)(tp_rng_u32(rng) >> (64 - bits)) << 32;
        else
            r >>= 32 - bits;
        if (r < n) return r;
    }
}

/* sample(range(n), n) */
static void python_sample(tp_rng *rng, int64_t n, int64_t *out) {
    int64_t pool[32];
    for (int64_t i = 0; i < n; i++) pool[i] = i;
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = (int64_t)python_below(rng, (uint64_t)(n - i));
        out[i] = pool[j];
        pool[j] = pool[n - i - 1];
    }
}

#endif
