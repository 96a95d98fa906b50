/* get_digest.c -- is this the file we want? Size and hashes, of a file or of what it unpacks to.
 *
 * One pass over the bytes feeds one hash. A message about a mismatch says what was found as well as
 * what was expected, since the next question is always "which file is it, then?". */
#define _POSIX_C_SOURCE 200809L
#include "get.h"
#include <errno.h>
#include <nettle/md5.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

typedef struct hasher {
    bool sha256;
    struct md5_ctx md5_state;
    struct sha256_ctx sha256_state;
} hasher;

static void hash_init(hasher *h, bool sha256) {
    h->sha256 = sha256;
    md5_init(&h->md5_state);
    sha256_init(&h->sha256_state);
}

static void hash_add(hasher *h, size_t n, const uint8_t *p) {
    if (h->sha256) {
        sha256_update(&h->sha256_state, n, p);
    } else {
        md5_update(&h->md5_state, n, p);
    }
}

static void hash_hex(hasher *h, char hex[65]) {
    uint8_t sum[SHA256_DIGEST_SIZE];
    const int n = h->sha256 ? SHA256_DIGEST_SIZE : MD5_DIGEST_SIZE;
    if (h->sha256) {
        sha256_digest(&h->sha256_state, SHA256_DIGEST_SIZE, sum);
    } else {
        md5_digest(&h->md5_state, MD5_DIGEST_SIZE, sum);
    }
    for (int i = 0; i < n; i++) snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

static bool hash_file(const char *path, bool sha256, char hex[65]) {
    static uint8_t buf[1 << 16];
    FILE *f = fopen(path, "rb");
    if (!f) return get_fail("cannot open %s: %s", path, strerror(errno));
    hasher h;
    hash_init(&h, sha256);
    size_t n;
    while ((n = fread(buf, 1, sizeof buf, f)) > 0 && !get_stopped()) hash_add(&h, n, buf);
    bool ok = !ferror(f) || get_fail("cannot read %s: %s", path, strerror(errno));
    if (get_stopped()) ok = get_fail_stopped();
    fclose(f);
    hash_hex(&h, hex);
    return ok;
}

bool get_sha256_file(const char *path, char hex[65]) {
    return hash_file(path, true, hex);
}

void get_sha256_text(const char *text, char hex[65]) {
    hasher h;
    hash_init(&h, true);
    hash_add(&h, strlen(text), (const uint8_t *)text);
    hash_hex(&h, hex);
}

/* md5 and length of the gunzipped data; stops soon after `most` bytes: more is wrong anyway. */
static bool hash_unpacked(const char *path, int64_t most, char hex[65], int64_t *bytes) {
    static uint8_t buf[1 << 16];
    gzFile f = gzopen(path, "rb");
    if (!f) return get_fail("cannot open %s: %s", path, strerror(errno));
    hasher h;
    hash_init(&h, false);
    int n;
    *bytes = 0;
    while (*bytes <= most && !get_stopped() && (n = gzread(f, buf, sizeof buf)) > 0) {
        hash_add(&h, (size_t)n, buf);
        *bytes += n;
    }
    int code;
    gzerror(f, &code);
    bool ok = !gzdirect(f) || get_fail("%s is not a gzip file", path);
    if (ok && code != Z_OK && code != Z_STREAM_END)
        ok = get_fail("%s is cut short or damaged: it does not gunzip", path);
    if (get_stopped()) ok = get_fail_stopped();
    gzclose(f);
    hash_hex(&h, hex);
    return ok;
}

bool get_gunzips(const char *path) {
    char hex[65];
    int64_t bytes = 0;
    return hash_unpacked(path, INT64_MAX, hex, &bytes);
}

static bool verify_unpacked(const char *path, const get_want *want) {
    char hex[65], found[32], expected[32];
    int64_t bytes = 0;
    if (!hash_unpacked(path, want->bytes, hex, &bytes)) return false;
    if (bytes > want->bytes)
        return get_fail("%s is not %s's: it unpacks to more than %s bytes", path, want->name,
                        get_count(expected, want->bytes));
    if (bytes == want->bytes && !strcmp(hex, want->md5)) return true;
    return get_fail("%s is not %s's: it unpacks to %s bytes with md5 %s, not %s with md5 %s", path,
                    want->name, get_count(found, bytes), hex, get_count(expected, want->bytes),
                    want->md5);
}

/* What a server sends that has an error to tell, or wants a login first. */
static bool is_web_page(const char *path) {
    char head[64] = "";
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    const size_t n = fread(head, 1, sizeof head - 1, f);
    fclose(f);
    head[n] = '\0';
    const char *p = head + (!strncmp(head, "\xEF\xBB\xBF", 3) ? 3 : 0);
    p += strspn(p, " \t\r\n");
    return !strncasecmp(p, "<!doctype", 9) || !strncasecmp(p, "<html", 5) ||
           !strncasecmp(p, "<?xml", 5) || !strncasecmp(p, "<head", 5);
}

bool get_verify(const char *path, const get_want *want) {
    char hex[65], found[32], expected[32];
    const int64_t bytes = get_file_size(path);
    if (bytes < 0) return get_fail("%s: there is no such file", path);
    if (bytes == 0) return get_fail("%s is empty", path);
    if (is_web_page(path)) return get_fail("%s is a web page, not a data set", path);
    if (want->unpacked) return verify_unpacked(path, want);
    if (want->sha256) {
        if (!hash_file(path, true, hex)) return false;
        if (strcmp(hex, want->sha256))
            return get_fail("%s (%s bytes) has the sha256 %s, not %s", path,
                            get_count(found, bytes), hex, want->sha256);
    }
    if (!want->md5) return true;
    if (!hash_file(path, false, hex)) return false;
    if (bytes == want->bytes && !strcmp(hex, want->md5)) return true;
    return get_fail("%s is not %s's: %s bytes with md5 %s, not %s with md5 %s", path, want->name,
                    get_count(found, bytes), hex, get_count(expected, want->bytes), want->md5);
}
