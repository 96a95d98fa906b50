/* loader.c -- batches in PyTorch's order, filled ahead by worker threads.
 *
 * Batch b of a pass lives in slot (b - base) mod nslots of a small ring. Rows are claimed from
 * the oldest unfinished batch on, by workers and by a consumer that would otherwise wait, so a
 * pass without workers is the same code with nobody to help. What a batch holds depends on its
 * number only. A slot's tensors are written again only if nobody else has kept them; else the
 * slot gets new ones.
 *
 * Samples in memory need no workers: a batch is one pass over their bytes by the pool, which begins
 * with the next one when it has nothing else to do. Whoever changes a sample meanwhile waits until
 * nobody reads it, and the batch is filled again when it is asked for. But where several threads
 * train, they have copies of the last batch in their caches, and to write what another core has a
 * copy of takes many times as long as to write what no cache holds any more: so they take turns
 * with several slots too. */
#include "data/data.h"
#include <string.h>

enum { SLOTS = 4, MAX_WORKERS = 64, UNDECIDED = -2 };
/* Seconds. A batch that takes less is not worth the waking of other threads. */
static const double WORTH_WORKERS = 50e-6;
/* Bytes of a batch of which nothing is left in a core's own cache when the next one is filled. */
enum { OUTGROWS_CACHES = 4 << 20 };

typedef struct slot {
    tp_tensor *x, *y; /* kept */
    void *x_data, *y_data;
    int64_t n; /* rows */
    const int64_t *index;
    /* Under the lock: */
    int64_t claimed; /* rows given to somebody, from 0 */
    int running;     /* claims being filled */
    int64_t failed;  /* the lowest row that failed; -1: none */
    tp__error error; /* its error */
} slot;

struct tp_loader {
    tp_dataset ds;
    int64_t samples, batch_size, batches; /* of the dataset; rows; of a pass */
    bool shuffle, drop_last;
    tp_rng *rng;          /* NULL: the calling thread's default */
    tp_rng *shuffler;     /* seeded anew for each pass */
    int64_t x_row, y_row; /* bytes of a sample */
    int64_t *order;

    /* The pass, as the consumer sees it. */
    bool in_pass;
    int64_t seed;     /* of its order */
    int64_t position; /* next batch to hand out */

    slot ring[SLOTS];
    int nslots;
    int64_t base;      /* the batch that slot 0 had first */
    int64_t scheduled; /* batches before this one have a slot; changed under the lock */

    const slot *ahead;   /* the pool fills it in its spare time, or has filled it; NULL: none */
    tp__filling filling; /* it */

    int want;  /* workers to start; UNDECIDED: once a batch has been seen to take long */
    bool warm; /* a batch was filled already, so the next one does not pay for fresh memory */
    int nworkers;
    tp__thread *worker[MAX_WORKERS];
    tp__mutex *lock; /* NULL while there are no workers */
    int64_t oldest;  /* first batch that may have unclaimed rows */
    bool quit;
};

/* ---- claiming and filling -------------------------------------------------------------------- */

static void lock(tp_loader *dl) {
    if (dl->lock) tp__mutex_lock(dl->lock);
}
static void unlock(tp_loader *dl) {
    if (dl->lock) tp__mutex_unlock(dl->lock);
}

static slot *slot_of(tp_loader *dl, int64_t batch) {
    return &dl->ring[(batch - dl->base) % dl->nslots];
}

typedef struct claim {
    slot *s;
    int64_t from, to; /* rows */
} claim;

/* Rows of batch b that nobody has yet. A dataset that fills batches gets a whole one. */
static bool claim_rows(tp_loader *dl, int64_t b, claim *c) {
    slot *s = slot_of(dl, b);
    if (s->claimed == s->n) return false;
    int64_t rows = s->n;
    if (!dl->ds.get_batch && dl->nworkers) {
        rows = s->n / (4 * (dl->nworkers + 1));
        if (rows < 1) rows = 1;
    }
    c->s = s;
    c->from = s->claimed;
    c->to = c->from + rows < s->n ? c->from + rows : s->n;
    s->claimed = c->to;
    s->running++;
    return true;
}

/* A negative status without a message, or a number that is no status, gets a message. */
static tp_status checked(int r) {
    if (!r) return TP_OK;
    if (r > 0) return tp_error_set(TP_EUSER, "get returned %d, which is no status", r);
    if (!tp_error_code())
        tp_error_set((tp_status)r, "%s (get returned %d and set no message)",
                     tp_status_text((tp_status)r), r);
    return tp_error_code();
}

/* Samples of the next batch that are known to follow the slot's in the order. */
static int64_t samples_after(const tp_loader *dl, const slot *s) {
    const int64_t left = dl->samples - (s->index - dl->order) - s->n;
    return left < s->n ? left : s->n;
}

static tp__filling filling_of(const tp_loader *dl, const slot *s) {
    return (tp__filling){dl->ds.self, s->index, s->n, samples_after(dl, s), s->x_data, s->y_data};
}

/* The pool's threads wait while their caller does what is too small for all of them: meanwhile they
 * fill the next batch. */
static void read_ahead(tp_loader *dl) {
    if (!tp__dataset_in_memory(&dl->ds) || dl->nslots == 1) return;
    if (dl->position == dl->scheduled) return;
    const slot *s = slot_of(dl, dl->position);
    dl->filling = filling_of(dl, s);
    if (tp__fill_ahead(&dl->filling)) dl->ahead = s;
}

/* Returns the tiles that are left. */
static int64_t stop_reading_ahead(tp_loader *dl) {
    if (!dl->ahead) return 0;
    dl->ahead = NULL;
    return tp__fill_ahead_end(&dl->filling);
}

static void gather(tp_loader *dl, const slot *s) {
    tp__filling f = filling_of(dl, s);
    const int64_t tiles = dl->ahead == s ? stop_reading_ahead(dl) : tp__filling_tiles(&f);
    tp__parallel(tiles, tp__fill_tile, &f);
}

/* Fill the rows; on failure *failed is the row, and the pending error names its sample. */
static tp_status fill(tp_loader *dl, const claim *c, int64_t *failed) {
    const slot *s = c->s;
    char *x = (char *)s->x_data + c->from * dl->x_row, *y = (char *)s->y_data + c->from * dl->y_row;
    if (tp__dataset_in_memory(&dl->ds)) {
        gather(dl, s);
        return TP_OK;
    }
    if (dl->ds.get_batch) {
        *failed = c->from;
        if (!checked(dl->ds.get_batch(dl->ds.self, s->index, s->n, x, y))) return TP_OK;
        return tp_error_prefix("%lld samples from %lld on", (long long)s->n,
                               (long long)s->index[0]);
    }
    for (int64_t i = c->from; i < c->to; i++, x += dl->x_row, y += dl->y_row) {
        if (TP__LIKELY(!checked(dl->ds.get(dl->ds.self, s->index[i], &(tp_sample){x, y}))))
            continue;
        *failed = i;
        return tp_error_prefix("sample %lld", (long long)s->index[i]);
    }
    return TP_OK;
}

/* The first failing row of a batch decides: rows are claimed in order, so those before it are
 * either done or being filled, and what comes after it is not needed any more. */
static void note_failure(slot *s, int64_t row, const tp__error *e) {
    s->claimed = s->n;
    if (s->failed >= 0 && s->failed < row) return;
    s->failed = row;
    s->error = *e;
}

/* Called without the lock, with an error of the caller's perhaps pending: it is put back. */
static void run(tp_loader *dl, const claim *c) {
    tp__error before, failure;
    tp__error_take(&before);
    int64_t row = -1;
    const tp_status r = fill(dl, c, &row);
    tp__error_take(&failure);
    tp__error_put(&before);
    lock(dl);
    if (r) note_failure(c->s, row, &failure);
    c->s->running--;
    if (dl->lock && !c->s->running && c->s->claimed == c->s->n) tp__mutex_wake(dl->lock);
    unlock(dl);
}

/* ---- workers --------------------------------------------------------------------------------- */

static bool claim_any(tp_loader *dl, claim *c) {
    for (; dl->oldest < dl->scheduled; dl->oldest++)
        if (claim_rows(dl, dl->oldest, c)) return true;
    return false;
}

static void work(void *ctx) {
    tp_loader *dl = ctx;
    tp__mutex_lock(dl->lock);
    while (!dl->quit) {
        claim c;
        if (!claim_any(dl, &c)) {
            tp__mutex_wait(dl->lock);
            continue;
        }
        tp__mutex_unlock(dl->lock);
        run(dl, &c);
        tp__mutex_lock(dl->lock);
    }
    tp__mutex_unlock(dl->lock);
}

/* As many as the system gives: a batch can always be filled by its consumer. */
static void start_workers(tp_loader *dl, int n) {
    tp__error before;
    tp__error_take(&before);
    dl->lock = tp__mutex_new();
    while (dl->lock && dl->nworkers < n) {
        tp__thread *t = tp__thread_start(work, dl);
        if (!t) break;
        tp__mutex_lock(dl->lock); /* claims look at the number */
        dl->worker[dl->nworkers++] = t;
        tp__mutex_unlock(dl->lock);
    }
    if (dl->nworkers < n)
        tp__log("loader: %d of %d workers started: %s", dl->nworkers, n, tp_error_message());
    tp__error_put(&before);
}

static void stop_workers(tp_loader *dl) {
    lock(dl);
    dl->quit = true;
    if (dl->lock) tp__mutex_wake(dl->lock);
    unlock(dl);
    for (int i = 0; i < dl->nworkers; i++) tp__thread_join(dl->worker[i]);
    tp__mutex_free(dl->lock);
}

/* ---- slots ----------------------------------------------------------------------------------- */

static tp_tensor *new_buffer(int64_t n, const tp_shape *row, tp_dtype dtype) {
    tp_shape shape = {.ndim = row->ndim + 1, .dim = {n}};
    memcpy(shape.dim + 1, row->dim, (size_t)row->ndim * sizeof *row->dim);
    const tp_scope scope = tp_scope_begin();
    if (!scope.depth) return NULL;
    tp_tensor *x = tp__new("loader", &shape, dtype);
    if (x) tp_keep(x);
    tp_scope_end(scope);
    return x;
}

/* A tensor of n rows that nobody else looks at: *x if it is one. */
static bool own_buffer(tp_tensor **x, int64_t n, const tp_shape *row, tp_dtype dtype) {
    tp_tensor *old = *x;
    if (old && old->refs == 1 && old->st->refs == 1 && old->shape[0] == n && !old->requires_grad)
        return true;
    tp_free(old);
    return (*x = new_buffer(n, row, dtype)) != NULL;
}

/* Give the next batch of the pass its slot, where its rows can be claimed. */
static tp_status schedule(tp_loader *dl) {
    const int64_t b = dl->scheduled, first = b * dl->batch_size;
    slot *s = slot_of(dl, b);
    const int64_t left = dl->samples - first, n = left < dl->batch_size ? left : dl->batch_size;
    if (!own_buffer(&s->x, n, &dl->ds.x_shape, dl->ds.x_dtype)) return tp_error_code();
    if (!own_buffer(&s->y, n, &dl->ds.y_shape, dl->ds.y_dtype)) return tp_error_code();
    s->x_data = tp__ptr(s->x);
    s->y_data = tp__ptr(s->y);
    s->n = n;
    s->index = dl->order + first;
    s->failed = -1;
    s->running = 0;
    lock(dl);
    s->claimed = 0;
    dl->scheduled = b + 1;
    if (dl->lock) tp__mutex_wake(dl->lock);
    unlock(dl);
    return TP_OK;
}

/* Every slot but the one that the consumer holds gets a batch. */
static tp_status schedule_ahead(tp_loader *dl) {
    lock(dl);
    if (dl->oldest < dl->position) dl->oldest = dl->position; /* the slots before it are ours now */
    unlock(dl);
    while (dl->scheduled < dl->batches && dl->scheduled < dl->position + dl->nslots) {
        const tp_status r = schedule(dl);
        if (r) return r;
    }
    return TP_OK;
}

/* Help until nothing of the batch is left to claim, then wait for those who are still at it. */
static void finish(tp_loader *dl, int64_t b) {
    slot *s = slot_of(dl, b);
    claim c;
    lock(dl);
    while (claim_rows(dl, b, &c)) {
        unlock(dl);
        run(dl, &c);
        lock(dl);
    }
    while (s->running) tp__mutex_wait(dl->lock);
    unlock(dl);
}

/* Nobody works on a batch any more, and none has a slot. */
static void cancel(tp_loader *dl) {
    stop_reading_ahead(dl);
    lock(dl);
    for (int i = 0; i < dl->nslots; i++) {
        slot *s = &dl->ring[i];
        s->claimed = s->n;
        while (s->running) tp__mutex_wait(dl->lock);
    }
    dl->base = dl->oldest = dl->scheduled = dl->position;
    unlock(dl);
}

/* ---- passes ---------------------------------------------------------------------------------- */

static void order_samples(tp_loader *dl) {
    if (!dl->shuffle) return;
    tp_rng_seed(dl->shuffler, (uint32_t)dl->seed);
    tp_rng_permutation(dl->shuffler, dl->samples, dl->order);
}

/* torch draws a base seed for each pass, used or not, and a shuffled pass the seed of its order. */
static void begin_pass(tp_loader *dl) {
    dl->position = 0;
    cancel(dl);
    (void)tp_rng_u64(dl->rng);
    dl->seed = dl->shuffle ? (int64_t)(tp_rng_u64(dl->rng) & INT64_MAX) : 0;
    order_samples(dl);
    dl->in_pass = true;
}

void tp_loader_restart(tp_loader *dl) {
    if (!dl) return;
    cancel(dl);
    dl->in_pass = false;
}

/* ---- the consumer ---------------------------------------------------------------------------- */

/* Nobody chose: would workers have helped with a batch that took `seconds` without? */
static int useful_workers(const tp_loader *dl, double seconds) {
    const int n = tp_get_num_threads(); /* whoever allows one thread gets no more */
    if (n < 2 || seconds < WORTH_WORKERS) return 0;
    if (dl->ds.get_batch) return 1;
    return n < 8 ? n : 8;
}

/* A ring of one slot becomes one of several: the batch in slot 0 is in slot 0 of either. */
static void widen(tp_loader *dl) {
    dl->base = dl->position;
    dl->nslots = SLOTS;
}

static void hire(tp_loader *dl, int n) {
    dl->want = 0;
    if (!n) return;
    widen(dl);
    start_workers(dl, n);
}

/* The samples are in memory. */
static void take_turns(tp_loader *dl) {
    dl->want = 0;
    if (tp_get_num_threads() > 1 && dl->x_row < OUTGROWS_CACHES / dl->batch_size) widen(dl);
}

static tp_status fill_next(tp_loader *dl) {
    if (dl->want && tp__dataset_in_memory(&dl->ds)) take_turns(dl);
    if (dl->want > 0) hire(dl, dl->want);
    tp_status r = schedule_ahead(dl);
    if (r) return r;
    const double start = dl->want ? tp__os_now() : 0;
    finish(dl, dl->position);
    const bool warm = dl->warm;
    dl->warm = true;
    if (!dl->want || !warm) return TP_OK;
    hire(dl, useful_workers(dl, tp__os_now() - start));
    return schedule_ahead(dl);
}

static tp_status hand_out(const slot *s, tp_batch *b) {
    if (s->failed >= 0) {
        tp__error_put(&s->error);
        return s->error.code;
    }
    *b = (tp_batch){s->x, s->y, s->n, s->index};
    return TP_OK;
}

int tp_loader_next(tp_loader *dl, tp_batch *b) {
    if (!dl || !b) return tp__error_null("loader_next");
    *b = (tp_batch){0};
    if (!dl->in_pass) begin_pass(dl);
    if (dl->position == dl->batches) {
        dl->in_pass = false;
        return 0;
    }
    tp_status r = fill_next(dl);
    if (r) return r;
    r = hand_out(slot_of(dl, dl->position), b);
    dl->position++;
    if (r) return r;
    read_ahead(dl);
    return 1;
}

int tp_loader_first(tp_loader *dl, tp_batch *b) {
    tp_loader_restart(dl);
    const int r = tp_loader_next(dl, b);
    tp_loader_restart(dl); /* b stays: slots are filled again by the next call */
    return r;
}

/* ---- making, asking -------------------------------------------------------------------------- */

static tp_status check_rows(const char *what, const tp_shape *shape, tp_dtype dtype,
                            int64_t *bytes) {
    char text[TP__SHAPE_TEXT];
    int64_t n;
    if (tp_dtype_size(dtype) < 0)
        return tp_error_set(TP_EDTYPE, "loader: the dataset's %s_dtype is %d, no dtype", what,
                            (int)dtype);
    if (shape->ndim < 0 || shape->ndim >= TP_MAX_DIM)
        return tp_error_set(TP_ESHAPE, "loader: the dataset's %s has %d dims, not 0..%d", what,
                            shape->ndim, TP_MAX_DIM - 1);
    if (!tp__numel(shape, &n) || __builtin_mul_overflow(n, tp_dtype_size(dtype), bytes))
        return tp_error_set(TP_ESHAPE, "loader: the dataset's %s_shape is %s", what,
                            tp__shape_text(shape, text));
    return TP_OK;
}

static tp_status check_dataset(tp_loader *dl) {
    const tp_dataset *ds = &dl->ds;
    if (!ds->len || (!ds->get && !ds->get_batch))
        return tp_error_set(TP_EVALUE, "loader: the dataset has no %s", ds->len ? "get" : "len");
    tp_status r = check_rows("x", &ds->x_shape, ds->x_dtype, &dl->x_row);
    if (!r) r = check_rows("y", &ds->y_shape, ds->y_dtype, &dl->y_row);
    if (r) return r;
    dl->samples = ds->len(ds->self);
    if (dl->samples > 0) return TP_OK;
    if (!dl->samples) return tp_error_set(TP_EVALUE, "loader: the dataset is empty");
    return tp_error_set(TP_EVALUE, "loader: the dataset's len is %lld", (long long)dl->samples);
}

static tp_status set_options(tp_loader *dl, const tp_loader_opts *opts) {
    if (opts->batch_size < 0)
        return tp_error_set(TP_EVALUE, "loader: batch_size %lld is negative",
                            (long long)opts->batch_size);
    if (opts->workers < -1 || opts->workers > MAX_WORKERS)
        return tp_error_set(TP_EVALUE, "loader: workers %d is not in -1..%d", opts->workers,
                            MAX_WORKERS);
    dl->batch_size = opts->batch_size ? opts->batch_size : 64;
    dl->batches = dl->samples / dl->batch_size;
    if (!opts->drop_last && dl->samples % dl->batch_size) dl->batches++;
    dl->shuffle = opts->shuffle;
    dl->drop_last = opts->drop_last;
    dl->rng = opts->rng;
    dl->want = opts->workers == 0 ? UNDECIDED : opts->workers > 0 ? opts->workers : 0;
    return TP_OK;
}

tp_loader *tp_loader_new(const tp_dataset *ds, const tp_loader_opts *given) {
    if (!ds) return tp__error_null("loader"), NULL;
    tp_loader_opts opts;
    if (!tp__opts("loader", &opts, sizeof opts, given)) return NULL;
    tp_loader *dl = tp__calloc(1, sizeof *dl);
    if (!dl) return NULL;
    dl->nslots = 1;
    if (!tp__opts("loader: the dataset", &dl->ds, sizeof dl->ds, ds) || check_dataset(dl) ||
        set_options(dl, &opts))
        return tp_loader_free(dl), NULL;
    dl->order = tp__calloc((size_t)dl->samples, sizeof *dl->order);
    dl->shuffler = tp_rng_new(0);
    if (!dl->order || !dl->shuffler) return tp_loader_free(dl), NULL;
    for (int64_t i = 0; i < dl->samples; i++) dl->order[i] = i;
    return dl;
}

void tp_loader_free(tp_loader *dl) {
    if (!dl) return;
    stop_reading_ahead(dl);
    stop_workers(dl);
    for (int i = 0; i < SLOTS; i++) {
        tp_free(dl->ring[i].x);
        tp_free(dl->ring[i].y);
    }
    tp_rng_free(dl->shuffler);
    tp__mfree(dl->order);
    tp__mfree(dl);
}

int64_t tp_loader_len(const tp_loader *dl) {
    if (!dl) return tp__error_null("loader_len"), -1;
    return dl->batches;
}
int64_t tp_loader_samples(const tp_loader *dl) {
    if (!dl) return tp__error_null("loader_samples"), -1;
    return dl->drop_last ? dl->batches * dl->batch_size : dl->samples;
}

int64_t tp__loader_position(const tp_loader *dl) {
    return dl->in_pass ? dl->position : 0;
}

/* ---- state ----------------------------------------------------------------------------------- */

/* "settings" and "pass" are int64 vectors; "mt19937" is the loader's own generator, if any. */
enum { SAMPLES, BATCH_SIZE, SHUFFLE, DROP_LAST, SETTINGS };
enum { IN_PASS, SEED, POSITION, PASS };

static void get_settings(const tp_loader *dl, int64_t v[SETTINGS]) {
    v[SAMPLES] = dl->samples;
    v[BATCH_SIZE] = dl->batch_size;
    v[SHUFFLE] = dl->shuffle;
    v[DROP_LAST] = dl->drop_last;
}

static tp_status put_numbers(tp_dict *d, const char *name, const int64_t *v, int64_t n) {
    return tp_dict_set(d, name, tp_from_ints(TP_SHAPE(n), v, n));
}

static tp_status put_state(const tp_loader *dl, tp_dict *d) {
    int64_t settings[SETTINGS], words[TP__RNG_WORDS];
    get_settings(dl, settings);
    const int64_t pass[PASS] = {
        [IN_PASS] = dl->in_pass, [SEED] = dl->seed, [POSITION] = dl->position};
    tp_status r = put_numbers(d, "settings", settings, SETTINGS);
    if (!r) r = put_numbers(d, "pass", pass, PASS);
    if (r || !dl->rng) return r;
    uint32_t w[TP__RNG_WORDS];
    tp__rng_get_words(dl->rng, w);
    for (int i = 0; i < TP__RNG_WORDS; i++) words[i] = w[i];
    return put_numbers(d, "mt19937", words, TP__RNG_WORDS);
}

tp_dict *tp_loader_state(const tp_loader *dl) {
    if (!dl) return tp__error_null("loader_state"), NULL;
    tp_dict *d = tp_dict_new();
    if (!d) return NULL;
    const tp_scope scope = tp_scope_begin();
    const tp_status r = scope.depth ? put_state(dl, d) : TP_ENOMEM;
    if (scope.depth) tp_scope_end(scope);
    if (!r) return d;
    tp_dict_free(d);
    return NULL;
}

static tp_status get_numbers(const tp_dict *d, const char *name, int64_t *v, int64_t n) {
    const tp_tensor *x = tp_dict_get(d, name);
    if (!x) return tp_error_set(TP_EFORMAT, "loader_set_state: there is no \"%s\"", name);
    if (x->dtype != TP_INT64 || x->ndim != 1 || x->numel != n)
        return tp_error_set(TP_EFORMAT, "loader_set_state: \"%s\" is not %lld integers", name,
                            (long long)n);
    return tp_copy_to(x, v, n, TP_INT64);
}

static tp_status check_settings(const tp_loader *dl, const tp_dict *state) {
    static const char *const name[] = {[SAMPLES] = "samples",
                                       [BATCH_SIZE] = "batch_size",
                                       [SHUFFLE] = "shuffle",
                                       [DROP_LAST] = "drop_last"};
    int64_t own[SETTINGS], saved[SETTINGS];
    get_settings(dl, own);
    const tp_status r = get_numbers(state, "settings", saved, SETTINGS);
    if (r) return r;
    for (int i = 0; i < SETTINGS; i++)
        if (saved[i] != own[i])
            return tp_error_set(TP_EVALUE,
                                "loader_set_state: it was saved with %s %lld, this loader has %lld",
                                name[i], (long long)saved[i], (long long)own[i]);
    return TP_OK;
}

static tp_status get_generator(const tp_loader *dl, const tp_dict *state,
                               uint32_t w[TP__RNG_WORDS]) {
    int64_t v[TP__RNG_WORDS];
    const tp_status r = get_numbers(state, "mt19937", v, TP__RNG_WORDS);
    if (r) return r;
    for (int i = 0; i < TP__RNG_WORDS; i++) w[i] = (uint32_t)v[i];
    if (tp__rng_set_words(dl->rng, w)) return TP_OK;
    return tp_error_set(TP_EFORMAT, "loader_set_state: \"mt19937\" is no state of a generator");
}

tp_status tp_loader_set_state(tp_loader *dl, const tp_dict *state) {
    if (!dl || !state) return tp__error_null("loader_set_state");
    int64_t pass[PASS];
    uint32_t words[TP__RNG_WORDS];
    tp_status r = check_settings(dl, state);
    if (!r) r = get_numbers(state, "pass", pass, PASS);
    if (r) return r;
    if (pass[POSITION] < 0 || pass[POSITION] > dl->batches || pass[SEED] < 0)
        return tp_error_set(TP_EFORMAT, "loader_set_state: \"pass\" names batch %lld of %lld",
                            (long long)pass[POSITION], (long long)dl->batches);
    if (dl->rng && (r = get_generator(dl, state, words))) return r;
    dl->position = pass[POSITION];
    cancel(dl);
    dl->in_pass = pass[IN_PASS] != 0;
    dl->seed = pass[SEED];
    if (dl->in_pass) order_samples(dl);
    return TP_OK;
}
