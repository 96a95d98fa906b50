/* get_say.c -- everything that taper-get prints, the reason of a failure, and Ctrl-C.
 *
 * Names from archives and servers reach the terminal only through clean(), so they cannot carry
 * escape sequences. A line that rewrites itself is wiped before any other line is printed. */
#define _POSIX_C_SOURCE 200809L
#include "get.h"
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char error_text[2048];
static bool json, terminal, line_open;
static volatile sig_atomic_t stop_signal;

/* ---- text ---- */

/* Bytes of the UTF-8 character at p; 0 if there is none in its shortest form. */
static int utf8_length(const unsigned char *p) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80) return 1;
    const int n = p[0] >= 0xF8 ? 0 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 0;
    uint32_t c = n ? p[0] & (0x7Fu >> n) : 0;
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

/* `text` into `out`, cut to its size; control characters and what is not UTF-8 become \xNN. */
static void clean(const char *text, char *out, size_t size) {
    const unsigned char *p = (const unsigned char *)text;
    out[0] = '\0';
    for (size_t used = 0; *p && used + 5 < size;) {
        const int n = utf8_length(p);
        const bool c1 = n == 2 && p[0] == 0xC2 && p[1] < 0xA0; /* U+0080 to U+009F */
        if (n == 0 || c1 || *p < 0x20 || *p == 0x7F) {
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", *p++);
        } else {
            used += (size_t)snprintf(out + used, size - used, "%.*s", n, (const char *)p);
            p += n;
        }
    }
}

bool get_fail(const char *fmt, ...) {
    char text[sizeof error_text]; /* the old text may be an argument */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    clean(text, error_text, sizeof error_text);
    return false;
}

bool get_fail_stopped(void) {
    return get_fail("stopped by a signal");
}

const char *get_error(void) {
    return error_text;
}

void get_say_setup(bool as_json) {
    json = as_json;
    terminal = !json && isatty(STDOUT_FILENO);
}

static void wipe_line(void) {
    if (line_open) fputs("\r\033[K", stdout);
    line_open = false;
}

void get_say(const char *fmt, ...) {
    char raw[2048], text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(raw, sizeof raw, fmt, args);
    va_end(args);
    clean(raw, text, sizeof text);
    if (json) {
        get_json_open("note");
        get_json_text("text", text);
        get_json_close();
        return;
    }
    wipe_line();
    puts(text);
    fflush(stdout);
}

const char *get_size(char buf[32], int64_t bytes) {
    static const char *const unit[] = {"bytes", "kB", "MB", "GB", "TB"};
    double x = (double)bytes;
    int u = 0;
    while (x >= 999.5 && u + 1 < GET_COUNT(unit)) {
        x /= 1000;
        u++;
    }
    if (bytes == 1) return "1 byte";
    snprintf(buf, 32, u && x < 9.95 ? "%.1f %s" : "%.0f %s", x, unit[u]);
    return buf;
}

const char *get_count(char buf[32], int64_t n) {
    char plain[32];
    const int len = snprintf(plain, sizeof plain, "%lld", (long long)n);
    char *out = buf;
    for (int i = 0; i < len; i++) {
        if (i && plain[i - 1] != '-' && (len - i) % 3 == 0) *out++ = ',';
        *out++ = plain[i];
    }
    *out = '\0';
    return buf;
}

const char *get_files(char buf[32], int64_t n) {
    get_count(buf, n);
    const size_t used = strlen(buf);
    snprintf(buf + used, 32 - used, n == 1 ? " file" : " files");
    return buf;
}

/* ---- JSON ---- */

static void json_string(const char *s) {
    putchar('"');
    const unsigned char *p = (const unsigned char *)s;
    while (*p) {
        const int n = utf8_length(p);
        if (n == 0) {
            fputs("\\ufffd", stdout);
        } else if (*p == '"' || *p == '\\') {
            printf("\\%c", *p);
        } else if (*p < 0x20) {
            printf("\\u%04x", *p);
        } else {
            fwrite(p, 1, (size_t)n, stdout);
        }
        p += n ? n : 1;
    }
    putchar('"');
}

void get_json_open(const char *event) {
    fputs("{\"event\":", stdout);
    json_string(event);
}
static void json_key(const char *key) {
    putchar(',');
    json_string(key);
    putchar(':');
}
void get_json_text(const char *key, const char *value) {
    json_key(key);
    json_string(value);
}
void get_json_number(const char *key, int64_t value) {
    json_key(key);
    printf("%lld", (long long)value);
}
void get_json_bool(const char *key, bool value) {
    json_key(key);
    fputs(value ? "true" : "false", stdout);
}
void get_json_close(void) {
    puts("}");
    fflush(stdout);
}

/* ---- time and signals ---- */

static void note_signal(int number) {
    stop_signal = number;
}

void get_catch_signals(void) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = note_signal}, old; /* no SA_RESTART: waits end at once */
    sigemptyset(&act.sa_mask);
    for (int i = 0; i < GET_COUNT(ends); i++)
        if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN) /* as nohup wants it */
            sigaction(ends[i], &act, NULL);
    act.sa_handler = SIG_IGN; /* these two become write errors */
    sigaction(SIGPIPE, &act, NULL);
    sigaction(SIGXFSZ, &act, NULL);
}

bool get_stopped(void) {
    return stop_signal != 0;
}

bool get_pause(double seconds) {
    const double end = get_now() + seconds;
    for (double left = seconds; left > 0 && !get_stopped(); left = end - get_now()) {
        struct timespec t = {.tv_sec = (time_t)left};
        t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
        nanosleep(&t, NULL);
    }
    return !get_stopped();
}

double get_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- progress ---- */

static void show_progress(const get_progress *p, double now) {
    char name[48], have[32], total[32] = "", rate[32], left[48] = "", percent[16] = "";
    const double seconds = now - p->start;
    const double speed = seconds > 0 ? (double)(p->have - p->first) / seconds : 0;
    if (p->total > 0) {
        snprintf(percent, sizeof percent, "%3.0f %%  ", 100.0 * (double)p->have / (double)p->total);
        get_size(total, p->total);
        if (speed > 0)
            snprintf(left, sizeof left, "  %.0f s left", (double)(p->total - p->have) / speed);
    }
    clean(p->what, name, sizeof name);
    get_size(have, p->have);
    get_size(rate, (int64_t)speed);
    if (line_open) fputs("\r\033[K", stdout);
    printf("%s  %s%s%s%s  %s/s%s", name, percent, have, *total ? " of " : "", total, rate, left);
    if (!terminal) putchar('\n');
    line_open = terminal;
    fflush(stdout);
}

void get_progress_start(get_progress *p, const char *what, int64_t have, int64_t total) {
    const double now = get_now();
    *p = (get_progress){
        .what = what, .total = total, .first = have, .have = have, .start = now, .last = now};
}

void get_progress_to(get_progress *p, int64_t have) {
    p->have = have;
    const double now = get_now();
    if (json || now - p->last < (terminal ? 0.1 : 10.0)) return;
    p->last = now;
    show_progress(p, now);
}

void get_progress_end(void) {
    wipe_line();
    fflush(stdout);
}
