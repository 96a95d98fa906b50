/* taper/base.h -- status codes, errors, scopes, threads, memory figures. Knows no tensors.
 *
 * The three rules of every call (docs/errors.md says more):
 *   1. What returns an object returns NULL on failure; what returns a number returns NaN or -1;
 *      everything else returns a tp_status, 0 or negative.
 *   2. A NULL argument means "an earlier step failed": the call does nothing and fails quietly, so
 *      tp_relu(tp_add(tp_matmul(x, w), b)) needs one check, at the end.
 *   3. The message is one line, belongs to the thread, and names the call and the sizes. */
#ifndef TAPER_BASE_H
#define TAPER_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TP_VERSION_MAJOR 0
#define TP_VERSION_MINOR 1
#define TP_VERSION_PATCH 0
#define TP_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

#define TP_API __attribute__((visibility("default")))
#define TP_MUST_CHECK __attribute__((warn_unused_result))
#define TP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Ownership, one word on every prototype that hands an object over. They expand to nothing. */
#define TP_SCOPED   /* result belongs to the innermost open scope of this thread */
#define TP_OWNED    /* result is yours: pass it to its _free */
#define TP_BORROWED /* result is valid while the object it came from lives */
#define TP_TAKES    /* argument: the callee owns it from now on, also when the call fails */

/* ---- status ---------------------------------------------------------------------------------- */

#define TP_STATUS_MAP(XX)                              \
    XX(OK, 0, "success")                               \
    XX(ENOMEM, -1, "out of memory")                    \
    XX(ENULL, -2, "an argument is NULL")               \
    XX(ESHAPE, -3, "shape mismatch")                   \
    XX(EDTYPE, -4, "dtype mismatch")                   \
    XX(EVALUE, -5, "invalid value")                    \
    XX(EINDEX, -6, "index out of range")               \
    XX(EGRAD, -7, "automatic differentiation refused") \
    XX(ESCOPE, -8, "scope already ended")              \
    XX(EIO, -9, "input or output failed")              \
    XX(EFORMAT, -10, "malformed data")                 \
    XX(ESTATE, -11, "wrong state for this call")       \
    XX(EUSER, -12, "a callback failed")                \
    XX(ESTOP, -13, "stopped on request")

typedef enum tp_status {
#define TP__XX(name, code, text) TP_##name = code,
    TP_STATUS_MAP(TP__XX)
#undef TP__XX
} tp_status;

/* The fixed text of a code, "shape mismatch". Never NULL. */
TP_API const char *tp_status_text(tp_status code);

/* The pending error of this thread: its code (TP_OK if none) and its one line ("" if none).
 * The text is valid until the next failing call on this thread. */
TP_API tp_status tp_error_code(void);
TP_API const char *tp_error_message(void);

/* Record an error of your own (in a dataset, module, function or callback); returns `code`, so
 * `return tp_error_set(TP_EUSER, "row %d is empty", i);` works. */
TP_API tp_status tp_error_set(tp_status code, const char *fmt, ...) TP_PRINTF(2, 3);

/* Put "what: " in front of the pending message, if there is one. Returns the pending code. */
TP_API tp_status tp_error_prefix(const char *fmt, ...) TP_PRINTF(1, 2);

/* Forget the pending error; returns its code. */
TP_API tp_status tp_error_clear(void);

/* Print "what: message" to stderr, clear the error, return 1 (so `return tp_perror("train");`). */
TP_API int tp_perror(const char *what);

/* Used by the call-site macros: give the pending error, if it has no site yet, this one. */
TP_API void tp__error_site(const char *file, int line);
TP_API TP_MUST_CHECK tp_status tp__site_status(tp_status r, const char *file, int line);
TP_API double tp__site_double(double r, const char *file, int line);
TP_API int64_t tp__site_int(int64_t r, const char *file, int line);
TP_API TP_MUST_CHECK int tp__site_next(int r, const char *file, int line);
TP_API void *tp__site_object(void *r, const char *file, int line);
#define TP__STATUS(call) tp__site_status(call, __FILE__, __LINE__)
#define TP__INT(call) tp__site_int(call, __FILE__, __LINE__)
#ifdef __cplusplus
} /* extern "C" */
template <typename T> inline T *tp__sited(T *r, const char *file, int line) {
    return static_cast<T *>(tp__site_object(r, file, line));
}
#define TP__OBJECT(call) tp__sited(call, __FILE__, __LINE__)
extern "C" {
#else
#define TP__OBJECT(call) tp__site_object(call, __FILE__, __LINE__)
#endif

/* ---- scopes ---------------------------------------------------------------------------------- */

/* A scope owns every tensor made on this thread while it is the innermost one. Ending it frees what
 * was not kept (tp_keep) or moved out (tp_scope_escape) and forgets the tape back to its beginning.
 * A root scope exists from the start; tp_thread_end() frees it, as does the end of the thread.
 * Ending an outer scope ends the inner ones; ending a scope twice is TP_ESCOPE and does nothing. */
typedef struct tp_scope {
    uint32_t depth, generation;
} tp_scope;

TP_API tp_scope tp_scope_begin(void);
TP_API tp_scope tp_scope_no_grad(void); /* the same, and nothing inside it is recorded */
TP_API tp_scope tp_scope_grad(void);    /* the same, and recording is on again inside it */
TP_API tp_status tp_scope_end(tp_scope s);
TP_API bool tp_grad_enabled(void); /* does the innermost scope record? */

/* Free this thread's root scope, its caches and its pending error. Optional; idempotent. */
TP_API void tp_thread_end(void);

/* ---- threads and processor ------------------------------------------------------------------- */

/* Threads that one operation may use, this one included. 0 restores the default: TAPER_THREADS if
 * set, else the processors this process may run on, its cgroup quota respected. Results do not
 * depend on it, but for the sign and payload of a NaN. EVALUE below 0 or above 1024. */
TP_API TP_MUST_CHECK tp_status tp_set_num_threads(int n);
TP_API int tp_get_num_threads(void);

/* torch.set_flush_denormal: what this thread computes from now on, with the threads of
 * tp_set_num_threads (not those of a loader), takes numbers nearer to zero than the smallest normal
 * one (1.2e-38 in float32) for zero, read or written. A trained network's gradients and their
 * averages come to be such numbers, for which some processors need a hundred times as long; a
 * learner's training steps are done so. Off at first. Returns what it was. Does nothing, and
 * returns false, on processors other than x86-64. */
TP_API bool tp_set_flush_denormal(bool on);

/* Instruction set in use: "base", "v3" (AVX2 and FMA) or "v4" (AVX-512). TAPER_ISA lowers it.
 * Results have the same bits at each, but for products of matrices at "base", which has no fused
 * multiply-add: a sum of K terms x[k] w[k] is there within 2 (K + 1) eps sum |x[k] w[k]| of what it
 * is at the others; eps is 2^-24 for float32, 2^-53 for float64. */
TP_API const char *tp_isa(void);

/* ---- element types --------------------------------------------------------------------------- */

/* float32 computes; float64 for gradient checks; int64 labels; uint8 images; bool masks. */
typedef enum tp_dtype {
    TP_FLOAT32,
    TP_FLOAT64,
    TP_INT64,
    TP_UINT8,
    TP_BOOL,
    TP__DTYPE_COUNT
} tp_dtype;
TP_API const char *tp_dtype_name(tp_dtype d); /* torch's: "float32", "int64", "bool" */
TP_API int64_t tp_dtype_size(tp_dtype d);     /* bytes: 4, 8, 8, 1, 1; -1 if d is none */

/* ---- random generators ----------------------------------------------------------------------- */

/* mt19937 with PyTorch's CPU recipes: the same seed gives the same numbers as torch. An object
 * belongs to one thread at a time. Where a call takes a generator, NULL means this thread's default
 * one. */
typedef struct tp_rng tp_rng;
TP_API TP_OWNED tp_rng *tp_rng_new(uint64_t seed);
TP_API void tp_rng_free(TP_TAKES tp_rng *rng);
TP_API TP_BORROWED tp_rng *tp_rng_default(void);
TP_API void tp_rng_seed(tp_rng *rng, uint64_t seed);
TP_API void tp_manual_seed(uint64_t seed); /* torch.manual_seed: seeds this thread's default */
/* One draw: 32 bits; 64 bits (first draw high); double in [0, 1) of 53 bits. */
TP_API uint32_t tp_rng_u32(tp_rng *rng);
TP_API uint64_t tp_rng_u64(tp_rng *rng);
TP_API double tp_rng_double(tp_rng *rng);
/* torch.randperm(n) into order[n], as for n < 2^32 / 20: for i < n - 1, swap i with i + u32 mod
 * (n - i). */
TP_API void tp_rng_permutation(tp_rng *rng, int64_t n, int64_t *order);

/* ---- log, version, memory -------------------------------------------------------------------- */

/* Where notes and warnings go (a file skipped, a fallback taken); NULL, the default, drops them.
 * One line without newline. May be called from any thread, one call at a time. */
typedef void (*tp_log_fn)(void *user, const char *line);
TP_API void tp_set_log(tp_log_fn fn, void *user);

/* "0.1.0" of the library that runs, to compare with TP_VERSION_STRING of the header. */
TP_API const char *tp_version(void);

/* What the library holds now, all threads: objects and bytes in use (not in its caches). */
typedef struct tp_memory {
    int64_t tensors, storages, nodes; /* handles, blocks they share, tape entries */
    int64_t bytes;                    /* in storages */
} tp_memory;
TP_API tp_memory tp_memory_now(void);

#ifdef __cplusplus
}
#endif

#ifndef TAPER_PLAIN
#define tp_set_num_threads(...) TP__STATUS(tp_set_num_threads(__VA_ARGS__))
#define tp_rng_new(...) TP__OBJECT(tp_rng_new(__VA_ARGS__))
#endif
#endif
