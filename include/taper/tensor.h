/* taper/tensor.h -- tensors: making them, asking them, keeping them; named tensors; printing.
 *
 * A tensor is a small handle (shape, strides, offset, dtype) on storage that views share. Sizes are
 * int64_t, axes int; negative axes and indices count from the end; rank is at most TP_MAX_DIM.
 * Handles belong to one thread. Every tensor returned here is scoped unless its prototype says
 * else. */
#ifndef TAPER_TENSOR_H
#define TAPER_TENSOR_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TP_MAX_DIM = 8 };

typedef struct tp_tensor tp_tensor;
typedef struct tp_shape {
    int ndim;
    int64_t dim[TP_MAX_DIM];
} tp_shape;
typedef struct tp_dims { /* a list of axes */
    int n;
    int dim[TP_MAX_DIM];
} tp_dims;

/* TP_SHAPE(2, 3) is [2, 3]; TP_0D is []. TP_DIMS(-1, -2) is a list of axes. */
#ifdef __cplusplus
} /* extern "C" */
template <typename... N> inline tp_shape TP_SHAPE(N... n) {
    return tp_shape{static_cast<int>(sizeof...(N)), {static_cast<int64_t>(n)...}};
}
template <typename... N> inline tp_dims TP_DIMS(N... n) {
    return tp_dims{static_cast<int>(sizeof...(N)), {static_cast<int>(n)...}};
}
#define TP_0D (tp_shape{0, {}})
extern "C" {
#else
#define TP_SHAPE(...) \
    ((tp_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define TP_DIMS(...) ((tp_dims){(int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), {__VA_ARGS__}})
#define TP_0D ((tp_shape){0, {0}})
#endif

/* An optional tensor that is left out (NULL always means an earlier failure). */
TP_API extern tp_tensor *const tp__none;
#define TP_NONE tp__none

/* ---- making ---------------------------------------------------------------------------------- */

TP_API TP_SCOPED tp_tensor *tp_zeros(tp_shape shape, tp_dtype dtype);
TP_API TP_SCOPED tp_tensor *tp_ones(tp_shape shape, tp_dtype dtype);
TP_API TP_SCOPED tp_tensor *tp_full(tp_shape shape, double value, tp_dtype dtype);
TP_API TP_SCOPED tp_tensor *tp_zeros_like(const tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_ones_like(const tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_full_like(const tp_tensor *x, double value);
TP_API TP_SCOPED tp_tensor *tp_eye(int64_t n, tp_dtype dtype); /* [n, n], ones on the diagonal */
/* start, start + step, ... before end: torch.arange. EVALUE if step is 0 or leads away from end. */
TP_API TP_SCOPED tp_tensor *tp_arange(double start, double end, double step, tp_dtype dtype);
/* steps numbers from start to end inclusive, float32: torch.linspace. */
TP_API TP_SCOPED tp_tensor *tp_linspace(double start, double end, int64_t steps);
/* A copy of shape's numel elements of `dtype` at data, row-major. */
TP_API TP_SCOPED tp_tensor *tp_from(const void *data, tp_shape shape, tp_dtype dtype);
/* A 0-d tensor. An integer dtype wants an integral value (EVALUE). */
TP_API TP_SCOPED tp_tensor *tp_scalar(double value, tp_dtype dtype);
/* Python's numbers: 0-d and weakly typed, they take the dtype of what they meet (float32 or int64
 * by themselves). The macros of ops.h make them from C's numbers, so tp_mul(t, 2) works. */
TP_API TP_SCOPED tp_tensor *tp_num(double value);
TP_API TP_SCOPED tp_tensor *tp_num_int(int64_t value);
/* tp_floats(TP_SHAPE(2, 2), 1, 2, 3, 4): float32 from a list of values, and tp_ints: int64. ESHAPE
 * if their number is another. */
TP_API TP_SCOPED tp_tensor *tp_from_floats(tp_shape shape, const float *v, int64_t n);
TP_API TP_SCOPED tp_tensor *tp_from_ints(tp_shape shape, const int64_t *v, int64_t n);
#ifdef __cplusplus
} /* extern "C" */
template <typename... V> inline tp_tensor *tp_floats(tp_shape shape, V... value) {
    const float v[] = {static_cast<float>(value)...};
    return tp_from_floats(shape, v, static_cast<int64_t>(sizeof...(V)));
}
template <typename... V> inline tp_tensor *tp_ints(tp_shape shape, V... value) {
    const int64_t v[] = {static_cast<int64_t>(value)...};
    return tp_from_ints(shape, v, static_cast<int64_t>(sizeof...(V)));
}
extern "C" {
#else
#define tp_floats(shape, ...)                           \
    tp_from_floats(shape, (const float[]){__VA_ARGS__}, \
                   (int64_t)(sizeof((float[]){__VA_ARGS__}) / sizeof(float)))
#define tp_ints(shape, ...)                             \
    tp_from_ints(shape, (const int64_t[]){__VA_ARGS__}, \
                 (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
#endif

/* ---- asking ---------------------------------------------------------------------------------- */

TP_API int tp_ndim(const tp_tensor *x);                /* -1 if x is NULL */
TP_API tp_shape tp_shape_of(const tp_tensor *x);       /* [] if x is NULL */
TP_API int64_t tp_size(const tp_tensor *x, int dim);   /* -1 and EINDEX if there is no such axis */
TP_API int64_t tp_stride(const tp_tensor *x, int dim); /* in elements */
TP_API int64_t tp_storage_offset(const tp_tensor *x);
TP_API int64_t tp_numel(const tp_tensor *x);     /* -1 if x is NULL */
TP_API tp_dtype tp_dtype_of(const tp_tensor *x); /* TP_FLOAT32 if x is NULL */
TP_API const char *tp_type(const tp_tensor *x);  /* torch's x.type(): "torch.LongTensor" */
TP_API bool tp_is_contiguous(const tp_tensor *x);
TP_API bool tp_shares_storage(const tp_tensor *a, const tp_tensor *b);
/* The first element; rows are tp_stride() apart. Writing through it is not seen by the tape, and by
 * a loader only until its next batch. */
TP_API TP_BORROWED void *tp_data_ptr(const tp_tensor *x);
/* The same with a type: EDTYPE unless float32, or int64, and contiguous. */
TP_API TP_BORROWED float *tp_data_f32(const tp_tensor *x);
TP_API TP_BORROWED int64_t *tp_data_i64(const tp_tensor *x);
/* The only element as a number; ESHAPE unless there is exactly one. NaN, -1 on failure. */
TP_API double tp_item(const tp_tensor *x);
TP_API int64_t tp_item_int(const tp_tensor *x);
/* All elements, row-major, converted to `dtype`, into dst, which holds n of them (ESHAPE if not
 * numel). */
TP_API TP_MUST_CHECK tp_status tp_copy_to(const tp_tensor *x, void *dst, int64_t n, tp_dtype dtype);
/* Same shape, dtype and values (NaN equals nothing): torch.equal. */
TP_API bool tp_equal(const tp_tensor *a, const tp_tensor *b);
/* |a - b| <= atol + rtol |b| everywhere, shapes broadcast: torch.allclose. */
TP_API bool tp_allclose(const tp_tensor *a, const tp_tensor *b, double rtol, double atol);

/* ---- keeping --------------------------------------------------------------------------------- */

/* Let x outlive its scope; its history does not. Returns x, which is now also yours: tp_free()
 * it. */
TP_API TP_OWNED tp_tensor *tp_keep(tp_tensor *x);
/* Give up what tp_keep or a TP_OWNED result gave you. NULL is fine. */
TP_API void tp_free(TP_TAKES tp_tensor *x);

/* ---- printing: torch's text ------------------------------------------------------------------ */

/* tensor([1., 2.], requires_grad=True) to stdout, with a newline. */
TP_API void tp_print(const tp_tensor *x);
/* The same text into buf, at most size bytes with its NUL; returns its full length (snprintf). */
TP_API int64_t tp_repr(const tp_tensor *x, char *buf, size_t size);
/* torch.Size([2, 3]): of x's shape, in the same two ways. */
TP_API void tp_print_shape(const tp_tensor *x);
TP_API int64_t tp_shape_repr(const tp_tensor *x, char *buf, size_t size);
/* torch.set_printoptions(linewidth=, precision=); per thread, 0 restores 80 and 4. */
TP_API void tp_set_printoptions(int linewidth, int precision);

/* ---- named tensors and strings --------------------------------------------------------------- */

/* An ordered list of named tensors and of named strings: a state_dict, and what files hold. It
 * keeps its tensors. Names are unique; setting one again replaces it. */
typedef struct tp_dict tp_dict;
TP_API TP_OWNED tp_dict *tp_dict_new(void);
TP_API void tp_dict_free(TP_TAKES tp_dict *d);
TP_API TP_MUST_CHECK tp_status tp_dict_set(tp_dict *d, const char *name, tp_tensor *x);
TP_API TP_MUST_CHECK tp_status tp_dict_set_str(tp_dict *d, const char *name, const char *text);
/* NULL without an error if there is none. */
TP_API TP_BORROWED tp_tensor *tp_dict_get(const tp_dict *d, const char *name);
TP_API TP_BORROWED const char *tp_dict_get_str(const tp_dict *d, const char *name);
TP_API int64_t tp_dict_len(const tp_dict *d);
TP_API TP_BORROWED const char *tp_dict_name(const tp_dict *d, int64_t i);
TP_API TP_BORROWED tp_tensor *tp_dict_at(const tp_dict *d, int64_t i);
TP_API int64_t tp_dict_str_len(const tp_dict *d);
TP_API TP_BORROWED const char *tp_dict_str_name(const tp_dict *d, int64_t i);
/* Every tensor and string of `from` into d under "prefix" + its name. */
TP_API TP_MUST_CHECK tp_status tp_dict_merge(tp_dict *d, const char *prefix, const tp_dict *from);
/* sha256 over `name\0dtype\0shape\0` and the little-endian bytes, names sorted, strings left out;
 * 64 hex digits and a NUL. */
TP_API TP_MUST_CHECK tp_status tp_dict_sha256(const tp_dict *d, char hex[65]);

/* Used by the macros: note the call site on an error or on the tape; returns t. */
TP_API tp_tensor *tp__site(tp_tensor *t, const char *file, int line);
#define TP__SITE(call) tp__site(call, __FILE__, __LINE__)

#ifdef __cplusplus
}
#endif

#ifndef TAPER_PLAIN
#define tp_zeros(...) TP__SITE(tp_zeros(__VA_ARGS__))
#define tp_ones(...) TP__SITE(tp_ones(__VA_ARGS__))
#define tp_full(...) TP__SITE(tp_full(__VA_ARGS__))
#define tp_full_like(...) TP__SITE(tp_full_like(__VA_ARGS__))
#define tp_eye(...) TP__SITE(tp_eye(__VA_ARGS__))
#define tp_arange(...) TP__SITE(tp_arange(__VA_ARGS__))
#define tp_linspace(...) TP__SITE(tp_linspace(__VA_ARGS__))
#define tp_from(...) TP__SITE(tp_from(__VA_ARGS__))
#define tp_from_floats(...) TP__SITE(tp_from_floats(__VA_ARGS__))
#define tp_from_ints(...) TP__SITE(tp_from_ints(__VA_ARGS__))
#ifdef __cplusplus
#define tp_floats(...) TP__SITE(tp_floats(__VA_ARGS__))
#define tp_ints(...) TP__SITE(tp_ints(__VA_ARGS__))
#endif
#define tp_scalar(...) TP__SITE(tp_scalar(__VA_ARGS__))
#define tp_item(...) tp__site_double(tp_item(__VA_ARGS__), __FILE__, __LINE__)
#define tp_item_int(...) TP__INT(tp_item_int(__VA_ARGS__))
#define tp_zeros_like(...) TP__SITE(tp_zeros_like(__VA_ARGS__))
#define tp_ones_like(...) TP__SITE(tp_ones_like(__VA_ARGS__))
#define tp_keep(...) TP__SITE(tp_keep(__VA_ARGS__))
#define tp_size(...) TP__INT(tp_size(__VA_ARGS__))
#define tp_stride(...) TP__INT(tp_stride(__VA_ARGS__))
#define tp_data_f32(...) ((float *)TP__OBJECT(tp_data_f32(__VA_ARGS__)))
#define tp_data_i64(...) ((int64_t *)TP__OBJECT(tp_data_i64(__VA_ARGS__)))
#define tp_copy_to(...) TP__STATUS(tp_copy_to(__VA_ARGS__))
#define tp_dict_set(...) TP__STATUS(tp_dict_set(__VA_ARGS__))
#define tp_dict_set_str(...) TP__STATUS(tp_dict_set_str(__VA_ARGS__))
#define tp_dict_merge(...) TP__STATUS(tp_dict_merge(__VA_ARGS__))
#define tp_dict_sha256(...) TP__STATUS(tp_dict_sha256(__VA_ARGS__))
#endif
#endif
