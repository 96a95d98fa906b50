/* tensor.h -- handles, storage, raw views and strided loops. Nothing here records on the tape. */
#ifndef TAPER_SRC_TENSOR_H
#define TAPER_SRC_TENSOR_H
#include "base/base.h"
#include "kernels/kernels.h"
#include "taper/tensor.h"

/* A loader may have the pool read samples in its spare time, before they are asked for. */
typedef enum tp__ahead { TP__NOT_AHEAD, TP__READ_AHEAD, TP__CHANGED_SINCE } tp__ahead;

/* Bytes that handles share. The count is atomic: a view may be freed on another thread. */
typedef struct tp__storage {
    _Atomic int64_t refs;
    _Atomic uint32_t version; /* in-place writes so far */
    bool borrowed;            /* data is not ours to free */
    _Atomic uint8_t ahead;    /* a tp__ahead */
    int64_t bytes;
    void *data;
} tp__storage;

/* Geometry never changes once a handle is made. */
struct tp_tensor {
    int32_t refs; /* scope entry, keeps, tape nodes, dictionaries; this thread only */
    int32_t kept; /* how many of them tp_free may give back */
    uint8_t dtype;
    bool weak;          /* a Python number: loses to every dtype of its kind */
    bool requires_grad; /* leaf that asks for .grad, or result of a recorded op */
    bool retain_grad;
    bool dense; /* row-major without gaps; axes of size 1 may have any stride */
    bool one;   /* all elements lie in one place: a number, expanded or not */
    bool lost;  /* its history went with the scope in which it was made */
    void *data; /* the first element */
    int64_t numel;
    tp__storage *st;
    struct tp__node *node; /* the tape entry that made it; NULL for leaves. autograd's */
    union { /* the same bytes: x->s.dim[d] is x->shape[d]; only the first ndim are set */
        tp_shape s;
        struct {
            int ndim;
            int64_t shape[TP_MAX_DIM];
        };
    };
    int64_t stride[TP_MAX_DIM]; /* in elements; 0 on a broadcast axis */
    int64_t offset;             /* in elements */
    const char *grad_fn;        /* its torch name, "MulBackward0", or NULL */
    tp_tensor *grad;            /* owned; leaves only */
    uint64_t mark;              /* scratch of autograd's walks */
};
_Static_assert(offsetof(tp_tensor, shape) == offsetof(tp_tensor, s.dim), "shape and s.dim are one");

static inline int64_t tp__size_of(tp_dtype d) { /* bytes of an element */
    return 0x11884 >> 4 * (int)d & 15;          /* a hexadecimal digit for each dtype */
}
static inline void *tp__ptr(const tp_tensor *x) {
    return x->data;
}
static inline bool tp__is_float(tp_dtype d) {
    return d == TP_FLOAT32 || d == TP_FLOAT64;
}
static inline bool tp__is_none(const tp_tensor *x) {
    return x == TP_NONE;
}

/* ---- tensor.c ---- */
/* Scoped, contiguous, uninitialised / zeroed; "what" names the op in errors (negative size,
 * rank). */
tp_tensor *tp__new(const char *what, const tp_shape *shape, tp_dtype dtype);
/* The same in the shape of x, which is known to be sound. */
tp_tensor *tp__new_like(const tp_tensor *x, tp_dtype dtype);
/* tp_scalar for the call `what`. */
tp_tensor *tp__scalar(const char *what, double value, tp_dtype dtype);
/* EVALUE unless an element of `dtype` can hold v, its fraction cut off. */
bool tp__number_fits(const char *what, double v, tp_dtype dtype);
tp_tensor *tp__new_zeros(const char *what, const tp_shape *shape, tp_dtype dtype);
/* Scoped handle on x's storage with other geometry. */
tp_tensor *tp__view(const tp_tensor *x, int ndim, const int64_t *shape, const int64_t *stride,
                    int64_t offset);
/* Scoped handle on memory that outlives it and that taper never frees (the loader's batches). */
tp_tensor *tp__wrap(void *data, const tp_shape *shape, tp_dtype dtype);
static inline tp_tensor *tp__ref(tp_tensor *x) {
    x->refs++;
    return x;
}
void tp__unref(tp_tensor *x);
void tp__tensor_release(void *x); /* tp__unref as a scope's release function */
static inline bool tp__contiguous_p(const tp_tensor *x) {
    return x->dense;
}
static inline tp_shape tp__shape(const tp_tensor *x) {
    return x->s;
}

/* ---- shape.c ---- */
enum { TP__SHAPE_TEXT = 200 };
const char *tp__shape_text(const tp_shape *s, char buf[TP__SHAPE_TEXT]); /* "[2, 3]" */
static inline bool tp__shape_equal(const tp_shape *a, const tp_shape *b) {
    bool same = a->ndim == b->ndim;
    for (int d = 0; d < a->ndim && same; d++) same = a->dim[d] == b->dim[d];
    return same;
}
bool tp__numel(const tp_shape *s, int64_t *n); /* false: overflow or a negative size */
/* out = a broadcast with b, NumPy's rule; EShape error naming both if they do not. out may be a
 * or b. */
bool tp__broadcast(const char *what, const tp_shape *a, const tp_shape *b, tp_shape *out);
/* Axis in [0, ndim); EINDEX "what: dim 3 is out of range for a 2-d tensor". 0-d takes -1 and 0. */
bool tp__axis(const char *what, int dim, int ndim, int *out);
/* Bit set of axes of `dims`; EVALUE for one named twice. n == 0 means all axes. */
bool tp__axes(const char *what, tp_dims dims, int ndim, uint32_t *set);
/* Strides of x seen in `shape` (which x broadcasts to): 0 where x repeats. */
void tp__broadcast_strides(const tp_tensor *x, const tp_shape *shape, int64_t *stride);
/* torch's computeStride: strides of `shape` over x's storage without a copy; false if there are
 * none. */
bool tp__view_strides(const tp_tensor *x, const tp_shape *shape, int64_t *stride);
/* Fill in one -1 of `want` so that it holds n elements; ESHAPE error in torch's words. */
bool tp__infer_shape(const char *what, tp_shape *want, int64_t n);
tp_shape tp__reduced_shape(const tp_tensor *x, uint32_t axes, bool keepdim);

/* ---- promote.c ---- */
/* torch.result_type of n operands: dimensioned tensors, then 0-d ones, then numbers. */
tp_dtype tp__promoted(tp_tensor *const *in, int n);
static inline tp_dtype tp__result_type(tp_tensor *const *in, int n) {
    bool alike = true; /* tensors of one dtype, nearly always */
    for (int i = 0; i < n; i++) alike &= in[i]->dtype == in[0]->dtype && !in[i]->weak;
    return TP__LIKELY(alike) ? (tp_dtype)in[0]->dtype : tp__promoted(in, n);
}

/* ---- iter.c: strided loops over kernels ---- */
/* Run fn over `shape`: args[0] (written) and the others, each broadcast to it. NULL args stay NULL
 * pointers. Axes are merged where strides allow, the result is cut into tiles by shape alone. */
void tp__iterate(tp__pw_fn fn, const tp_shape *shape, tp_tensor *const *args, int nargs, double p,
                 double q);
/* dst[...] = src broadcast and converted; any strides; no error possible once shapes fit. */
void tp__copy(tp_tensor *dst, const tp_tensor *src);
/* x itself if contiguous / of that dtype, else a scoped copy. NULL on ENOMEM, and for NULL. */
tp_tensor *tp__contiguous(tp_tensor *x);
tp_tensor *tp__converted(tp_tensor *x, tp_dtype dtype);
static inline tp_tensor *tp__to(tp_tensor *x, tp_dtype dtype) {
    return !x || x->dtype == dtype ? x : tp__converted(x, dtype);
}
tp_tensor *tp__clone(const tp_tensor *x); /* contiguous copy */
void tp__fill(tp_tensor *x, double v);
void tp__fill_int(tp_tensor *x, int64_t v);

/* ---- fold.c: reductions over any set of axes ---- */
tp_tensor *tp__fold(const char *what, tp__red_op op, tp_tensor *x, uint32_t axes, bool keepdim);
/* sum of (x - mean)^2 over the axes, with the means in float64; x is floating. */
tp_tensor *tp__fold_sqdev(const char *what, tp_tensor *x, uint32_t axes, bool keepdim);
/* The sum over all elements of of(a - b), which is never in memory; a and b are of one shape and of
 * one floating dtype. NULL for NULL. */
tp_tensor *tp__sum_of_difference(const char *what, tp__pw_op of, tp_tensor *a, tp_tensor *b);
int64_t tp__count_axes(const tp_tensor *x, uint32_t axes); /* elements that go into one result */
/* Sum x down to a shape that broadcasts to x's; x itself if it has that shape. */
tp_tensor *tp__sum_to(tp_tensor *x, const tp_shape *shape);

/* ---- print.c ---- */
/* A printed number's decimal point becomes '.', whatever the locale has written. */
void tp__plain_point(char *text);

/* ---- index.c: Python's slices ---- */
typedef enum { TP__IX_INT, TP__IX_SLICE, TP__IX_NEW, TP__IX_ELLIPSIS } tp__ix_kind;
typedef struct tp__ix {
    tp__ix_kind kind;
    int64_t start, stop, step;
    bool has_start, has_stop;
} tp__ix;
/* Parse "..., -2:, None, ::2, 3"; the count, or -1 and EVALUE with the text and the place. */
int tp__index_parse(const char *text, tp__ix out[], int max);
/* Resolve start:stop:step against a size as Python does; the number of elements; EVALUE for step
 * < 1. */
int64_t tp__slice_resolve(const tp__ix *ix, int64_t size, int64_t *start);

/* ---- sig.c: a signature is shape rule, documentation and error message ---- */
/* "x[..., M, K] w[..., K, N] -> [..., M, N]". Unifies with the shapes (NULL or TP_NONE: absent, for
 * an operand marked '?'); fills *out; a size only on the right is -1 in *out, for the op to fill
 * in. Compiled at first use; the text is used again only to word an error. */
typedef struct tp__sig {
    const char *text;
    struct tp__sig_code *_Atomic code;
} tp__sig;
#define TP__SIG(text) \
    { text, NULL }
bool tp__sig_infer(const char *what, tp__sig *sig, tp_tensor *const *in, int nin, tp_shape *out);

/* Release a temporary before its scope ends (no-op unless it is one of the newest entries). */
static inline void tp__drop(tp_tensor *x) {
    tp__scope_drop(x);
}

/* ---- tensor.c: in-place bookkeeping ---- */
void tp__stop_reading(tp__storage *st);
/* Before elements of x change, and before somebody gets a pointer through which they may. */
static inline void tp__will_change(const tp_tensor *x) {
    if (TP__UNLIKELY(atomic_load_explicit(&x->st->ahead, memory_order_relaxed) != TP__NOT_AHEAD))
        tp__stop_reading(x->st);
}
static inline uint32_t tp__version(const tp_tensor *x) {
    return atomic_load_explicit(&x->st->version, memory_order_relaxed);
}
/* After they have changed. No locked addition: two threads that write one storage at once race for
 * its bytes anyway. What has no elements has not changed. */
static inline void tp__touch(tp_tensor *x) {
    if (!x->numel) return;
    atomic_store_explicit(&x->st->version, tp__version(x) + 1, memory_order_relaxed);
}

#endif
