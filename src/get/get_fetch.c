/* get_fetch.c -- one file over HTTP, in as many requests as it takes.
 *
 * What arrives goes to FILE.part, with the server's validator (ETag or date) in FILE.part.tag. The
 * next request, of this run or of one next week, asks for the rest with Range and If-Range. Servers
 * are not believed: every reply is judged before its first byte is written, and the file gets its
 * name only after the caller's check. Requests that bring nothing are counted, so this ends. */
#define _POSIX_C_SOURCE 200809L
#define CURL_DISABLE_DEPRECATION /* CURLOPT_PROTOCOLS: its successor is too young */
#include "get.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    MAX_REDIRECTS = 10,
    MAX_FRESH = 2,       /* times that a file is begun again from its first byte */
    MAX_REQUESTS = 1000, /* whatever the server does */
    SLOWEST = 100,       /* bytes per second, below which a transfer counts as stalled */
    LONGEST_PAUSE = 60   /* seconds */
};
#define PROGRESS INT64_C(65536) /* a request that brought this many bytes was worth it */

/* What became of a request. */
typedef enum verdict { GOT_ALL, TRY_ON, TRY_FRESH, GIVE_UP } verdict;

typedef struct transfer {
    const get_job *job;
    char *part, *tag_path;
    CURL *curl;
    int fd;
    int64_t asked;  /* first byte that this request asks for */
    int64_t have;   /* bytes in the part file */
    int64_t total;  /* bytes of the whole file, by the last reply; -1: it did not say */
    int64_t before; /* the same, by the reply that began the part file in this run */
    char tag[256];  /* of the part file; "": none */
    /* the reply's head */
    char reply_tag[256];
    int64_t range_first, range_total; /* -1: not given */
    bool judged;
    bool swallow; /* the body is not the file's */
    verdict verdict;
    bool resumed; /* the part file comes from more than one reply */
    bool discard; /* do not keep the part file */
    char curl_text[CURL_ERROR_SIZE];
    get_progress progress;
    char *shown; /* the file's name in progress lines */
} transfer;

/* Note why the request ends, and what to do next. Returns false. */
static bool stop(transfer *t, verdict v, const char *fmt, ...) GET_PRINTF(3, 4);
static bool stop(transfer *t, verdict v, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    t->verdict = v;
    return get_fail("%s %s", t->job->url, text);
}

/* ---- the part file and its tag ---- */

static void read_tag(transfer *t) {
    FILE *f = fopen(t->tag_path, "r");
    t->tag[0] = '\0';
    if (!f) return;
    if (!fgets(t->tag, sizeof t->tag, f)) t->tag[0] = '\0';
    t->tag[strcspn(t->tag, "\r\n")] = '\0';
    fclose(f);
}

/* Losing the tag costs a download from the start at most, so failing to write it is no failure. */
static void write_tag(transfer *t) {
    memcpy(t->tag, t->reply_tag, sizeof t->tag);
    unlink(t->tag_path);
    FILE *f = t->tag[0] ? fopen(t->tag_path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%s\n", t->tag);
    fclose(f);
}

static bool empty_part(transfer *t) {
    t->have = 0;
    t->resumed = false;
    return !ftruncate(t->fd, 0) || stop(t, GIVE_UP, "cannot be kept: %s", strerror(errno));
}

static bool open_part(transfer *t) {
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->fd < 0) return get_fail("cannot make %s: %s", t->part, strerror(errno));
    t->have = (int64_t)lseek(t->fd, 0, SEEK_END);
    read_tag(t);
    const bool too_long = t->job->bytes && t->have > t->job->bytes;
    const bool unsure = !t->tag[0] && !t->job->hashed; /* old, and nothing to tell its version */
    if (t->have && (too_long || unsure)) return empty_part(t);
    t->resumed = t->have > 0;
    return true;
}

static void close_part(transfer *t, bool done) {
    if (t->fd >= 0) close(t->fd);
    if (done || t->discard || t->have == 0) {
        unlink(t->part);
        unlink(t->tag_path);
    }
}

/* ---- the reply's head ---- */

static bool has_name(const char *line, const char *name, const char **value) {
    const size_t n = strlen(name);
    if (strncasecmp(line, name, n)) return false;
    *value = line + n + strspn(line + n, " \t");
    return true;
}

/* "bytes 100-199/200" or "bytes * /200" (without the space) */
static void read_range(transfer *t, const char *value) {
    long long first, last, total;
    if (sscanf(value, "bytes %lld-%lld/%lld", &first, &last, &total) == 3) {
        t->range_first = first;
        t->range_total = total;
    } else if (sscanf(value, "bytes %lld-%lld/", &first, &last) == 2) {
        t->range_first = first;
    } else if (sscanf(value, "bytes */%lld", &total) == 1) {
        t->range_total = total;
    }
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    char line[512];
    const char *value;
    snprintf(line, sizeof line, "%.*s", (int)(size * n), data);
    line[strcspn(line, "\r\n")] = '\0';
    if (!strncmp(line, "HTTP/", 5)) { /* the head of the next reply, after a redirect */
        t->reply_tag[0] = '\0';
        t->range_first = t->range_total = -1;
    } else if (has_name(line, "ETag:", &value)) {
        if (*value == '"') snprintf(t->reply_tag, sizeof t->reply_tag, "%.250s", value);
    } else if (has_name(line, "Last-Modified:", &value)) {
        if (!t->reply_tag[0]) snprintf(t->reply_tag, sizeof t->reply_tag, "%.250s", value);
    } else if (has_name(line, "Content-Range:", &value)) {
        read_range(t, value);
    }
    return size * n;
}

static bool judge_code(transfer *t, long code) {
    if (code == 404 || code == 410)
        return stop(t, GIVE_UP, "is not there (the server says %ld)", code);
    if (code == 408 || code == 425 || code == 429 || code >= 500)
        return stop(t, TRY_ON, "cannot be had just now (the server says %ld)", code);
    return stop(t, GIVE_UP, "is refused (the server says %ld)", code);
}

/* 206: the rest of the file, if it is the rest of our file. */
static bool judge_rest(transfer *t, int64_t length) {
    if (t->range_first != t->asked)
        return stop(t, t->asked ? TRY_FRESH : GIVE_UP, "answers with another part of the file");
    t->total = t->range_total >= 0 ? t->range_total : length >= 0 ? t->asked + length : -1;
    if (t->before >= 0 && t->total != t->before)
        return stop(t, TRY_FRESH, "has another length than it had before");
    if (t->asked) t->resumed = true;
    return true;
}

static bool judge_whole(transfer *t, int64_t length) {
    if (t->asked) get_say("%s: the server begins again at the first byte", t->shown);
    t->total = t->before = length;
    write_tag(t);
    return empty_part(t);
}

static bool judge_size(transfer *t) {
    char have[32], want[32];
    const get_job *job = t->job;
    if (job->bytes && t->total >= 0 && t->total != job->bytes)
        return stop(t, GIVE_UP, "is not the file we want: it has %s bytes, not %s",
                    get_count(have, t->total), get_count(want, job->bytes));
    if (job->most && t->total > job->most)
        return stop(t, GIVE_UP, "is not the file we want: it has %s bytes, more than %s",
                    get_count(have, t->total), get_count(want, job->most));
    return true;
}

/* Called once per request, before the first byte of a body is written. */
static bool judge(transfer *t) {
    long code = 0;
    curl_off_t length = -1;
    const char *type = NULL;
    t->judged = true;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_TYPE, &type);
    if (code == 416 && t->asked) {
        t->swallow = t->range_total == t->have; /* nothing was left to ask for */
        if (t->swallow) return true;
        return stop(t, TRY_FRESH, "is shorter than what we have of it");
    }
    if (code != 200 && code != 206) return judge_code(t, code);
    if (type && !strncasecmp(type, "text/html", 9))
        return stop(t, GIVE_UP, "answers with a web page (%s), not with a file", type);
    if (!(code == 206 ? judge_rest(t, length) : judge_whole(t, length)) || !judge_size(t))
        return false;
    get_progress_start(&t->progress, t->shown, t->have, t->total);
    return true;
}

/* ---- the body ---- */

static bool write_part(transfer *t, const char *p, size_t n) {
    while (n) {
        const ssize_t done = pwrite(t->fd, p, n, (off_t)t->have);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            t->discard = true; /* a full disk should not stay full */
            return stop(t, GIVE_UP, "cannot be kept as %s: %s", t->job->path, strerror(errno));
        }
        p += done;
        n -= (size_t)done;
        t->have += done;
    }
    return true;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    char most[32];
    const int64_t bytes = (int64_t)(size * n);
    if (!t->judged && !judge(t)) return 0;
    if (t->swallow) return size * n;
    const int64_t limit = t->job->bytes ? t->job->bytes : t->job->most;
    if (limit && t->have + bytes > limit) {
        t->discard = true;
        stop(t, GIVE_UP, "is not the file we want: it goes on after %s bytes",
             get_count(most, limit));
        return 0;
    }
    if (!write_part(t, data, size * n)) return 0;
    get_progress_to(&t->progress, t->have);
    return size * n;
}

static int on_time(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t sent) {
    (void)ctx, (void)total, (void)now, (void)up, (void)sent;
    return get_stopped();
}

/* ---- one request ---- */

static struct curl_slist *setup(transfer *t) {
    CURL *c = t->curl;
    const long timeout = (long)t->job->opts->timeout;
    const long web = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    const bool safe = !strncasecmp(t->job->url, "https:", 6); /* then it stays safe */
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, t->job->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, web);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, safe ? (long)CURLPROTO_HTTPS : web);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, timeout);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, timeout);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "taper-get");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->curl_text);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_time);
    if (!t->asked) return NULL;
    char range[64], condition[300];
    snprintf(range, sizeof range, "%lld-", (long long)t->asked);
    curl_easy_setopt(c, CURLOPT_RANGE, range);
    if (!t->tag[0]) return NULL;
    snprintf(condition, sizeof condition, "If-Range: %s", t->tag);
    struct curl_slist *headers = curl_slist_append(NULL, condition);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    return headers;
}

/* The transport failed: is it worth another try? */
static verdict judge_transport(transfer *t, CURLcode code) {
    char have[32], total[32];
    const char *text = t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        stop(t, t->have ? TRY_ON : GIVE_UP, "cannot be reached (%s)", text);
        break;
    case CURLE_TOO_MANY_REDIRECTS:
        stop(t, GIVE_UP, "is redirected without an end (%d times)", MAX_REDIRECTS);
        break;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION: stop(t, GIVE_UP, "is refused (%s)", text); break;
    case CURLE_OPERATION_TIMEDOUT:
        stop(t, TRY_ON, "stalled at %s bytes (next to nothing came for %lld s)",
             get_count(have, t->have), (long long)t->job->opts->timeout);
        break;
    default:
        if (t->total < 0) stop(t, TRY_ON, "broke off (%s)", text);
        if (t->total >= 0)
            stop(t, TRY_ON, "broke off at %s of %s bytes", get_count(have, t->have),
                 get_count(total, t->total));
    }
    return t->verdict;
}

static verdict request(transfer *t) {
    char have[32], want[32];
    t->asked = t->have;
    t->judged = t->swallow = false;
    t->verdict = GOT_ALL;
    t->total = -1;
    t->curl_text[0] = '\0';
    if (t->asked) get_say("%s: going on at %s", t->shown, get_size(have, t->asked));
    struct curl_slist *headers = setup(t);
    const CURLcode code = curl_easy_perform(t->curl);
    if (code == CURLE_OK && !t->judged) judge(t); /* a reply without a body */
    curl_slist_free_all(headers);
    get_progress_end();
    if (get_stopped()) stop(t, GIVE_UP, "was stopped by a signal; what came is kept");
    if (t->verdict != GOT_ALL) return t->verdict;
    if (code != CURLE_OK) return judge_transport(t, code);
    if (t->job->bytes && t->have < t->job->bytes)
        stop(t, TRY_ON, "broke off at %s of %s bytes", get_count(have, t->have),
             get_count(want, t->job->bytes));
    return t->verdict;
}

/* ---- all requests ---- */

/* The part file is complete: does the caller agree? A resumed one may have become a mixture. */
static verdict check(transfer *t) {
    const get_job *job = t->job;
    const bool synced = !fsync(t->fd) || stop(t, GIVE_UP, "cannot be kept: %s", strerror(errno));
    if (synced && job->check(t->part, job->ctx)) return GOT_ALL;
    if (!synced || get_stopped()) return GIVE_UP;
    if (t->resumed) {
        stop(t, TRY_FRESH, "changed while it was fetched");
        return TRY_FRESH;
    }
    t->discard = true;
    const size_t n = strlen(t->part); /* the check spoke of the part file: say the URL */
    const char *text = get_error();
    if (!strncmp(text, t->part, n)) get_fail("%s%s; it was thrown away", job->url, text + n);
    return GIVE_UP;
}

/* Seconds until the next request: doubling, or what the server asks for. */
static double pause_length(const transfer *t, int failed) {
    curl_off_t asked = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &asked);
    double seconds = t->job->opts->wait;
    for (int i = 1; i < failed && seconds < LONGEST_PAUSE; i++) seconds *= 2;
    if ((double)asked > seconds) seconds = (double)asked;
    return seconds < LONGEST_PAUSE ? seconds : LONGEST_PAUSE;
}

static bool wait_a_while(transfer *t, int failed) {
    const int64_t tries = t->job->opts->tries;
    if (failed >= tries) {
        const char *kept = "; what came is kept, the same command goes on from there";
        return get_fail("%s (%d %s%s)", get_error(), failed, failed == 1 ? "try" : "tries",
                        t->have ? kept : "");
    }
    const double seconds = pause_length(t, failed ? failed : 1);
    get_say("%s; trying again in %g s", get_error(), seconds);
    return get_pause(seconds) || stop(t, GIVE_UP, "was stopped by a signal");
}

static bool fetch_part(transfer *t) {
    int failed = 0, fresh = 0;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const int64_t before = t->have;
        const bool whole = t->job->bytes && t->have == t->job->bytes;
        verdict v = whole ? GOT_ALL : request(t);
        if (v == GOT_ALL) v = check(t);
        if (v == GOT_ALL) return true;
        if (v == GIVE_UP) return false;
        if (v == TRY_FRESH) {
            if (fresh++ == MAX_FRESH) return false;
            get_say("%s; beginning again", get_error());
            if (!empty_part(t)) return false;
            continue;
        }
        failed = t->have >= before + PROGRESS ? 0 : failed + 1;
        if (!wait_a_while(t, failed)) return false;
    }
    return get_fail("%s broke off %d times", t->job->url, MAX_REQUESTS);
}

static bool fetch(transfer *t) {
    char size[32];
    const get_job *job = t->job;
    const double start = get_now();
    bool ok = open_part(t) && fetch_part(t);
    if (ok)
        ok = !rename(t->part, job->path) ||
             get_fail("cannot rename %s to %s: %s", t->part, job->path, strerror(errno));
    if (ok) ok = get_sync_parent(job->path);
    if (ok)
        get_say("%s: %s in %.1f s, kept as %s", t->shown, get_size(size, t->have),
                get_now() - start, job->path);
    close_part(t, ok);
    return ok;
}

bool get_fetch(const get_job *job) {
    if (!get_make_parent(job->path)) return false;
    char *lock = get_format("%s.lock", job->path);
    const int lock_fd = get_lock(lock);
    bool ok = lock_fd >= 0;
    /* whoever held the lock before us may have brought the very file */
    const bool brought = ok && !job->opts->refresh && get_file_size(job->path) >= 0 &&
                         job->check(job->path, job->ctx);
    if (ok && !brought) {
        transfer t = {.job = job, .fd = -1, .before = -1, .curl = curl_easy_init()};
        t.part = get_format("%s.part", job->path);
        t.tag_path = get_format("%s.part.tag", job->path);
        t.shown = get_format("%s", get_basename(job->path));
        ok = t.curl ? fetch(&t) : get_fail("libcurl does not start");
        curl_easy_cleanup(t.curl);
        free(t.part);
        free(t.tag_path);
        free(t.shown);
    }
    if (lock_fd >= 0) get_unlock(lock, lock_fd);
    free(lock);
    return ok;
}

/* ---- URLs ---- */

bool get_is_url(const char *s) {
    const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    return n > 0 && !strncmp(s + n, "://", 3);
}

/* One decoded part of a URL; NULL: not a URL, or no such part. Yours to curl_free. */
static char *url_part(const char *url, CURLUPart what) {
    char *part = NULL;
    CURLU *u = curl_url();
    if (u && !curl_url_set(u, CURLUPART_URL, url, 0))
        curl_url_get(u, what, &part, what == CURLUPART_PATH ? CURLU_URLDECODE : 0);
    curl_url_cleanup(u);
    return part;
}

char *get_url_name(const char *url) {
    char *path = url_part(url, CURLUPART_PATH);
    const char *base = path ? get_basename(path) : "";
    bool good = *base && *base != '.' && strlen(base) < 200;
    for (const char *p = base; *p; p++) good = good && (unsigned char)*p >= 0x20 && *p != 0x7F;
    char *name = good ? get_strndup(base, strlen(base)) : NULL;
    curl_free(path);
    return name;
}

char *get_file_url(const char *url) {
    char *host = url_part(url, CURLUPART_HOST), *path = url_part(url, CURLUPART_PATH);
    const bool here = !host || !*host || !strcasecmp(host, "localhost");
    char *copy = path && here ? get_strndup(path, strlen(path)) : NULL;
    if (!copy) get_fail("%s does not name a file on this machine", url);
    curl_free(host);
    curl_free(path);
    return copy;
}
