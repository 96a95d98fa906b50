/* split.c -- which samples are for validation, and which stay when there may only be so many.
 *
 * The split is fastai's RandomSplitter after torch.manual_seed(seed): a random order of all
 * items, whose beginning is for validation, at least one item. It is not stratified. */
#include "data/data.h"
#include <string.h>

tp_status tp__split(int64_t n, double pct, uint64_t seed, bool *valid) {
    tp_rng *rng = tp_rng_new(seed);
    int64_t *order = tp__calloc((size_t)n, sizeof *order);
    if (rng && order) {
        tp_rng_permutation(rng, n, order);
        memset(valid, 0, (size_t)n * sizeof *valid);
        int64_t cut = (int64_t)(pct * (double)n);
        if (!cut && n > 1) cut = 1;
        for (int64_t i = 0; i < cut; i++) valid[order[i]] = true;
    }
    const bool ok = rng && order;
    tp__mfree(order);
    tp_rng_free(rng);
    return ok ? TP_OK : TP_ENOMEM;
}

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
