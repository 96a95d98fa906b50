/* error.c -- the pending error of each thread: a code and one line.
 *
 * A call that fails by itself replaces the line; a call that was handed NULL leaves it alone. The
 * call-site macros add "(file:line)" afterwards, once: the first macro around the failing call
 * wins, and a line that passed a NULL argument is sealed, so it never gets the site of a later
 * call. */
#include "base/base.h"
#include <stdarg.h>
#include <string.h>

static _Thread_local tp__error pending;

static const struct {
    tp_status code;
    const char *text;
} status_text[] = {
#define XX(name, code, text) {TP_##name, text},
    TP_STATUS_MAP(XX)
#undef XX
};

const char *tp_status_text(tp_status code) {
    for (int i = 0; i < TP__COUNT(status_text); i++)
        if (status_text[i].code == code) return status_text[i].text;
    return "unknown status";
}

tp_status tp_error_code(void) {
    return pending.code;
}

const char *tp_error_message(void) {
    return pending.code ? pending.text : "";
}

tp_status tp_error_clear(void) {
    const tp_status code = pending.code;
    pending.code = TP_OK;
    pending.sited = false;
    return code;
}

/* One line whatever the text held: user strings and file names may carry control characters. */
static void flatten(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = ' ';
}

static tp_status set(tp_status code, const char *fmt, va_list ap) TP_PRINTF(2, 0);
static tp_status set(tp_status code, const char *fmt, va_list ap) {
    char text[sizeof pending.text]; /* an argument may be the pending text itself */
    vsnprintf(text, sizeof text, fmt, ap);
    flatten(text);
    memcpy(pending.text, text, sizeof text);
    pending.code = code ? code : TP_EUSER;
    pending.sited = false;
    return pending.code;
}

tp_status tp_error_set(tp_status code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const tp_status r = set(code, fmt, ap);
    va_end(ap);
    return r;
}

void *tp__fail(tp_status code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    set(code, fmt, ap);
    va_end(ap);
    return NULL;
}

void *tp__fail_nomem(size_t bytes) {
    if (bytes) return tp__fail(TP_ENOMEM, "out of memory: %zu bytes were wanted", bytes);
    return tp__fail(TP_ENOMEM, "out of memory");
}

tp_status tp__error_null(const char *what) {
    if (!pending.code) return tp_error_set(TP_ENULL, "%s: an argument is NULL", what);
    pending.sited = true;
    return pending.code;
}

tp_status tp_error_prefix(const char *fmt, ...) {
    if (!pending.code) return TP_OK;
    char front[sizeof pending.text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(front, sizeof front, fmt, ap);
    va_end(ap);
    flatten(front);
    const size_t n = strlen(front), room = sizeof pending.text - 1;
    if (n + 2 >= room) return pending.code;
    size_t keep = strlen(pending.text);
    if (keep > room - n - 2) keep = room - n - 2;
    memmove(pending.text + n + 2, pending.text, keep);
    memcpy(pending.text, front, n);
    memcpy(pending.text + n, ": ", 2);
    pending.text[n + 2 + keep] = '\0';
    return pending.code;
}

int tp_perror(const char *what) {
    const char *text = pending.code ? pending.text : "no error";
    if (what)
        fprintf(stderr, "%s: %s\n", what, text);
    else
        fprintf(stderr, "%s\n", text);
    tp_error_clear();
    return 1;
}

void tp__error_site(const char *file, int line) {
    if (!pending.code || pending.sited) return;
    pending.sited = true;
    const char *slash = strrchr(file, '/');
    const size_t n = strlen(pending.text);
    snprintf(pending.text + n, sizeof pending.text - n, " (%s:%d)", slash ? slash + 1 : file, line);
}

tp_status tp__site_status(tp_status r, const char *file, int line) {
    if (TP__UNLIKELY(r < 0)) tp__error_site(file, line);
    return r;
}

double tp__site_double(double r, const char *file, int line) {
    if (TP__UNLIKELY(r != r)) tp__error_site(file, line);
    return r;
}

int64_t tp__site_int(int64_t r, const char *file, int line) {
    if (TP__UNLIKELY(r < 0)) tp__error_site(file, line);
    return r;
}

int tp__site_next(int r, const char *file, int line) {
    if (TP__UNLIKELY(r < 0)) tp__error_site(file, line);
    return r;
}

void *tp__site_object(void *r, const char *file, int line) {
    if (TP__UNLIKELY(!r)) tp__error_site(file, line);
    return r;
}

void tp__error_take(tp__error *e) {
    *e = pending;
    tp_error_clear();
}

void tp__error_put(const tp__error *e) {
    pending = *e;
}

const char *tp_version(void) {
    return TP_VERSION_STRING;
}
