/* split.c -- which samples are for validation, and which stay when there may only be so many.
 *
 * A split is stratified: every class gives its share, and of two images or more at least one to
 * each side. Which ones is a matter of one random order of all items, torch.randperm's. */
#include "data/data.h"
#include <string.h>

/* ---- a part for validation ------------------------------------------------------------------- */

/* The class that is furthest below its share and may still give an item; -1 if none may. */
static int most_behind(int classes, double pct, const int64_t *have, const int64_t *quota) {
    int best = -1;
    double most = 0;
    for (int c = 0; c < classes; c++) {
        const double behind = pct * (double)have[c] - (double)quota[c];
        if (quota[c] + 1 >= have[c] || (best >= 0 && behind <= most)) continue;
        best = c;
        most = behind;
    }
    return best;
}

/* How many of each class are for validation: its share rounded down, but one at least and not all;
 * what rounding left over goes to those that it took most from. */
static void shares(int64_t n, double pct, int classes, const int64_t *have, int64_t *quota) {
    int64_t left = (int64_t)(pct * (double)n);
    for (int c = 0; c < classes; c++) {
        quota[c] = (int64_t)(pct * (double)have[c]);
        if (!quota[c]) quota[c] = 1;
        if (quota[c] >= have[c]) quota[c] = have[c] ? have[c] - 1 : 0;
        left -= quota[c];
    }
    for (int c; left > 0 && (c = most_behind(classes, pct, have, quota)) >= 0; left--) quota[c]++;
}

tp_status tp__split(int64_t n, const int64_t *label, int classes, double pct, uint64_t seed,
                    bool *valid) {
    tp_rng *rng = tp_rng_new(seed);
    int64_t *order = tp__calloc((size_t)n, sizeof *order);
    int64_t *have = tp__calloc(2 * (size_t)classes, sizeof *have), *quota = have + classes;
    const bool ok = rng && order && have;
    if (ok) {
        tp_rng_permutation(rng, n, order);
        int64_t found = 0;
        for (int64_t i = 0; i < n; i++) have[label[i]]++;
        shares(n, pct, classes, have, quota);
        for (int64_t i = 0; i < n; i++) found += valid[order[i]] = quota[label[order[i]]]-- > 0;
        if (!found && n > 1) valid[order[0]] = true;
    }
    tp__mfree(have);
    tp__mfree(order);
    tp_rng_free(rng);
    return ok ? TP_OK : TP_ENOMEM;
}

/* ---- a limit --------------------------------------------------------------------------------- */

/* Hand out `limit` places one round at a time, a place to each class that still has items; the
 * rounds that all remaining classes can fill are taken at once. */
static void share(int64_t limit, int classes, const int64_t *have, int64_t *quota) {
    for (;;) {
        int64_t open = 0, least = INT64_MAX;
        for (int c = 0; c < classes; c++) {
            const int64_t left = have[c] - quota[c];
            if (left <= 0) continue;
            open++;
            if (left < least) least = left;
        }
        if (!open || !limit) return;
        int64_t each = limit / open;
        if (each > least) each = least;
        for (int c = 0; c < classes; c++) {
            if (have[c] == quota[c]) continue;
            const int64_t more =
                each ? each : limit > 0; /* the last round: the first classes get one */
            quota[c] += more;
            limit -= more;
        }
    }
}

tp_status tp__limit(int64_t n, const int64_t *label, int classes, int64_t limit, bool *stays) {
    int64_t *have = tp__calloc(2 * (size_t)classes, sizeof *have);
    if (!have) return TP_ENOMEM;
    int64_t *quota = have + classes;
    for (int64_t i = 0; i < n; i++) have[label[i]]++;
    share(limit < n ? limit : n, classes, have, quota);
    for (int64_t i = 0; i < n; i++) stays[i] = quota[label[i]]-- > 0;
    tp__mfree(have);
    return TP_OK;
}
