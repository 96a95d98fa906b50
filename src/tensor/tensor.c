/* tensor.c -- handles and storage: making, asking, keeping.
 *
 * A handle is fixed-size and belongs to its thread; the bytes live in a storage that views share
 * and whose count is atomic. The first handle of a storage is allocated with it. */
#include "tensor/tensor.h"
#include <math.h>
#include <string.h>

static tp_tensor none_object;
tp_tensor *const tp__none = &none_object;

static const struct {
    const char *name, *type;
    int64_t size;
} dtype_info[] = {
    [TP_FLOAT32] = {"float32", "torch.FloatTensor", 4},
    [TP_FLOAT64] = {"float64", "torch.DoubleTensor", 8},
    [TP_INT64] = {"int64", "torch.LongTensor", 8},
    [TP_UINT8] = {"uint8", "torch.ByteTensor", 1},
    [TP_BOOL] = {"bool", "torch.BoolTensor", 1},
};

static bool is_dtype(tp_dtype d) {
    return d >= TP_FLOAT32 && d < TP__DTYPE_COUNT;
}
const char *tp_dtype_name(tp_dtype d) {
    return is_dtype(d) ? dtype_info[d].name : "no dtype";
}
int64_t tp_dtype_size(tp_dtype d) {
    return is_dtype(d) ? dtype_info[d].size : -1;
}

/* ---- storage and handles --------------------------------------------------------------------- */

/* A tensor with storage of its own is one block: this, then the bytes. A view is a handle alone. */
typedef struct whole {
    tp__storage st;
    tp_tensor x;
} whole;
enum { HEADER = (sizeof(whole) + 63) / 64 * 64 }; /* keeps the bytes behind it aligned */

static tp__storage *own_storage(tp_tensor *x) {
    return (tp__storage *)(void *)((char *)x - offsetof(whole, x));
}

/* Give back the count of st that x has; true if it was the last. Others may be other threads'. */
static bool was_last(tp__storage *st, tp_tensor *x) {
    if (TP__LIKELY(atomic_load_explicit(&st->refs, memory_order_acquire) == 1)) return true;
    if (st == own_storage(x)) memset(x, 0xA5, sizeof *x); /* who uses it still shall notice */
    return atomic_fetch_sub_explicit(&st->refs, 1, memory_order_acq_rel) == 1;
}

void tp__unref(tp_tensor *x) {
    if (--x->refs) return;
    if (x->grad) tp__unref(x->grad);
    tp__local *me = tp__here();
    tp__live_add(me, TP__LIVE_TENSORS, -1);
    tp__storage *st = x->st;
    const bool last = was_last(st, x);
    if (st != own_storage(x)) tp__free(x, sizeof *x);
    if (!last) return;
    tp__live_add(me, TP__LIVE_STORAGES, -1);
    tp__live_add(me, TP__LIVE_BYTES, -st->bytes);
    tp__free(st, HEADER + (size_t)st->bytes);
}

void tp__tensor_release(void *x) {
    tp__unref(x);
}

/* All of a handle but its geometry. */
static void begin_handle(tp_tensor *x, tp__storage *st, int dtype) {
    x->refs = 1;
    x->kept = 0;
    x->dtype = (uint8_t)dtype;
    x->weak = x->requires_grad = x->retain_grad = x->lost = false;
    x->st = st;
    x->node = NULL;
    x->grad_fn = NULL;
    x->grad = NULL;
    x->mark = 0;
}

static tp_tensor *scoped(tp__local *me, tp_tensor *x) {
    tp__live_add(me, TP__LIVE_TENSORS, 1);
    me->made++;
    return tp__scope_push(me, tp__tensor_release, x) ? x : NULL;
}

static void set_contiguous(tp_tensor *x, const tp_shape *shape, void *data) {
    int64_t n = 1, numel = 1;
    x->ndim = shape->ndim;
    for (int d = shape->ndim - 1; d >= 0; d--) {
        x->shape[d] = shape->dim[d];
        x->stride[d] = n;
        numel *= shape->dim[d];
        n *= shape->dim[d] > 1 ? shape->dim[d] : 1;
    }
    x->numel = numel;
    x->data = data;
    x->offset = 0;
    x->dense = true;
    x->one = numel == 1;
}

TP__APART static tp_tensor *no_room(const tp_shape *shape, int dtype, int64_t bytes) {
    char text[TP__SHAPE_TEXT];
    return tp__fail(TP_ENOMEM, "out of memory: %s %s needs %lld bytes",
                    tp_dtype_name((tp_dtype)dtype), tp__shape_text(shape, text), (long long)bytes);
}

/* On new storage of `bytes`, or on borrowed memory. */
static tp_tensor *fresh(const tp_shape *shape, int dtype, int64_t bytes, void *borrowed) {
    whole *w = tp__alloc(HEADER + (size_t)bytes);
    if (TP__UNLIKELY(!w)) return no_room(shape, dtype, bytes);
    tp__storage *st = &w->st;
    atomic_init(&st->refs, 1);
    atomic_init(&st->version, 0);
    atomic_init(&st->ahead, TP__NOT_AHEAD);
    st->borrowed = borrowed != NULL;
    st->bytes = bytes;
    st->data = borrowed ? borrowed : (char *)w + HEADER;
    begin_handle(&w->x, st, dtype);
    set_contiguous(&w->x, shape, st->data);
    tp__local *me = tp__here();
    tp__live_add(me, TP__LIVE_STORAGES, 1);
    tp__live_add(me, TP__LIVE_BYTES, bytes);
    return scoped(me, &w->x);
}

static bool check_new(const char *what, const tp_shape *shape, tp_dtype dtype, int64_t *n) {
    char text[TP__SHAPE_TEXT];
    if (!is_dtype(dtype))
        return tp_error_set(TP_EDTYPE, "%s: %d is no dtype", what, (int)dtype), false;
    if (shape->ndim < 0 || shape->ndim > TP_MAX_DIM)
        return tp_error_set(TP_ESHAPE, "%s: %d dims; the most is %d", what, shape->ndim,
                            TP_MAX_DIM),
               false;
    if (!tp__numel(shape, n))
        return tp_error_set(TP_ESHAPE, "%s: shape %s has a negative size or is too large", what,
                            tp__shape_text(shape, text)),
               false;
    return true;
}

tp_tensor *tp__new(const char *what, const tp_shape *shape, tp_dtype dtype) {
    int64_t n;
    if (TP__UNLIKELY(!check_new(what, shape, dtype, &n))) return NULL;
    return fresh(shape, dtype, n * tp__size_of(dtype), NULL);
}

tp_tensor *tp__new_like(const tp_tensor *x, tp_dtype dtype) {
    return fresh(&x->s, dtype, x->numel * tp__size_of(dtype), NULL);
}

tp_tensor *tp__new_zeros(const char *what, const tp_shape *shape, tp_dtype dtype) {
    tp_tensor *x = tp__new(what, shape, dtype);
    if (x) memset(tp__ptr(x), 0, (size_t)x->st->bytes);
    return x;
}

tp_tensor *tp__wrap(void *data, const tp_shape *shape, tp_dtype dtype) {
    int64_t n;
    return check_new("wrap", shape, dtype, &n) ? fresh(shape, dtype, 0, data) : NULL;
}

static void set_strided(tp_tensor *x, int ndim, const int64_t *shape, const int64_t *stride) {
    int64_t n = 1;
    bool dense = true, one = true;
    for (int d = ndim - 1; d >= 0; d--) {
        x->shape[d] = shape[d];
        x->stride[d] = stride[d];
        if (shape[d] == 1) continue;
        dense &= stride[d] == n;
        one &= stride[d] == 0;
        n *= shape[d];
    }
    x->ndim = ndim;
    x->numel = n;
    x->dense = dense || n == 0;
    x->one = one;
}

tp_tensor *tp__view(const tp_tensor *x, int ndim, const int64_t *shape, const int64_t *stride,
                    int64_t offset) {
    tp_tensor *v = tp__alloc(sizeof *v);
    if (TP__UNLIKELY(!v)) return NULL;
    /* Counted atomically even if the count is 1: threads may share a module's handles. */
    atomic_fetch_add_explicit(&x->st->refs, 1, memory_order_relaxed);
    begin_handle(v, x->st, x->dtype);
    set_strided(v, ndim, shape, stride);
    v->offset = offset;
    v->data = (char *)x->st->data + offset * tp__size_of((tp_dtype)x->dtype);
    return scoped(tp__here(), v);
}

tp_tensor *tp_keep(tp_tensor *x) {
    if (!x) return tp__error_null("keep"), NULL;
    x->kept++;
    return tp__ref(x);
}

void tp_free(tp_tensor *x) {
    if (!x || tp__is_none(x)) return;
    if (!x->kept) {
        tp_error_set(
            TP_ESTATE,
            "free: this tensor belongs to a scope; only what tp_keep gave is yours to free");
        return;
    }
    x->kept--;
    tp__unref(x);
}

/* ---- making ---------------------------------------------------------------------------------- */

tp_tensor *tp_zeros(tp_shape shape, tp_dtype dtype) {
    return tp__new_zeros("zeros", &shape, dtype);
}

bool tp__number_fits(const char *what, double v, tp_dtype dtype) {
    const bool fits = dtype == TP_UINT8   ? v >= 0 && v <= 255
                      : dtype == TP_INT64 ? v >= -0x1p63 && v < 0x1p63
                                          : true;
    if (!fits) tp_error_set(TP_EVALUE, "%s: %s cannot hold %g", what, tp_dtype_name(dtype), v);
    return fits;
}
tp_tensor *tp_full(tp_shape shape, double value, tp_dtype dtype) {
    if (!tp__number_fits("full", value, dtype)) return NULL;
    tp_tensor *x = tp__new("full", &shape, dtype);
    if (x) tp__fill(x, value);
    return x;
}
tp_tensor *tp_ones(tp_shape shape, tp_dtype dtype) {
    return tp_full(shape, 1, dtype);
}
tp_tensor *tp_zeros_like(const tp_tensor *x) {
    if (!x) return tp__error_null("zeros_like"), NULL;
    return tp_zeros(tp__shape(x), (tp_dtype)x->dtype);
}
tp_tensor *tp_ones_like(const tp_tensor *x) {
    if (!x) return tp__error_null("ones_like"), NULL;
    return tp_ones(tp__shape(x), (tp_dtype)x->dtype);
}
tp_tensor *tp_full_like(const tp_tensor *x, double value) {
    if (!x) return tp__error_null("full_like"), NULL;
    return tp_full(tp__shape(x), value, (tp_dtype)x->dtype);
}

static void store(void *p, tp_dtype d, int64_t i, double v) {
    switch (d) {
    case TP_FLOAT32: ((float *)p)[i] = (float)v; break;
    case TP_FLOAT64: ((double *)p)[i] = v; break;
    case TP_INT64: ((int64_t *)p)[i] = (int64_t)v; break;
    case TP_UINT8: ((uint8_t *)p)[i] = (uint8_t)(int64_t)v; break;
    default: ((uint8_t *)p)[i] = v != 0; break;
    }
}

tp_tensor *tp_eye(int64_t n, tp_dtype dtype) {
    tp_tensor *x = tp__new_zeros("eye", &TP_SHAPE(n, n), dtype);
    for (int64_t i = 0; i < n && x; i++) store(x->st->data, dtype, i * (n + 1), 1);
    return x;
}

static bool is_fraction(double v) {
    return v != trunc(v);
}
tp_tensor *tp_arange(double start, double end, double step, tp_dtype dtype) {
    if (dtype == TP_BOOL) return tp__fail(TP_EDTYPE, "arange: not defined for bool");
    if (!tp__is_float(dtype) && (is_fraction(start) || is_fraction(end) || is_fraction(step)))
        return tp__fail(TP_EVALUE, "arange: %g, %g and %g are not all %s", start, end, step,
                        tp_dtype_name(dtype));
    const double count = ceil((end - start) / step);
    if (step == 0 || (end - start) / step < 0 || !(count >= 0) || count > 1e15)
        return tp__fail(TP_EVALUE, "arange: no way from %g to %g in steps of %g", start, end, step);
    tp_tensor *x = tp__new("arange", &TP_SHAPE((int64_t)count), dtype);
    if (!x) return NULL;
    for (int64_t i = 0; i < x->numel; i++) store(x->st->data, dtype, i, start + (double)i * step);
    return x;
}

/* torch's: the first half counts up from start, the second down from end, each step in float32. */
tp_tensor *tp_linspace(double start, double end, int64_t steps) {
    if (steps < 0) return tp__fail(TP_EVALUE, "linspace: %lld steps", (long long)steps);
    tp_tensor *x = tp__new("linspace", &TP_SHAPE(steps), TP_FLOAT32);
    if (!x) return NULL;
    float *p = x->st->data;
    const float a = (float)start, b = (float)end,
                step = steps > 1 ? (b - a) / (float)(steps - 1) : 0;
    for (int64_t i = 0; i < steps; i++)
        p[i] = i < steps / 2 ? a + step * (float)i : b - step * (float)(steps - i - 1);
    if (steps == 1) p[0] = a;
    return x;
}

tp_tensor *tp_from(const void *data, tp_shape shape, tp_dtype dtype) {
    if (!data) return tp__error_null("from"), NULL;
    tp_tensor *x = tp__new("from", &shape, dtype);
    if (x) memcpy(x->st->data, data, (size_t)x->st->bytes);
    return x;
}

static tp_tensor *from_list(const void *v, int64_t n, tp_shape shape, tp_dtype dtype) {
    char text[TP__SHAPE_TEXT];
    int64_t want;
    if (check_new("from", &shape, dtype, &want) && want != n)
        return tp__fail(TP_ESHAPE, "from: %lld values for the shape %s, which holds %lld",
                        (long long)n, tp__shape_text(&shape, text), (long long)want);
    return tp_from(v, shape, dtype);
}
tp_tensor *tp_from_floats(tp_shape shape, const float *v, int64_t n) {
    return from_list(v, n, shape, TP_FLOAT32);
}
tp_tensor *tp_from_ints(tp_shape shape, const int64_t *v, int64_t n) {
    return from_list(v, n, shape, TP_INT64);
}

tp_tensor *tp__scalar(const char *what, double value, tp_dtype dtype) {
    if (is_dtype(dtype) && !tp__is_float(dtype) && value != trunc(value))
        return tp__fail(TP_EVALUE, "%s: %g is no %s", what, value, tp_dtype_name(dtype));
    if (!tp__number_fits(what, value, dtype)) return NULL;
    tp_tensor *x = tp__new(what, &TP_0D, dtype);
    if (x) store(x->st->data, dtype, 0, value);
    return x;
}
tp_tensor *tp_scalar(double value, tp_dtype dtype) {
    return tp__scalar("scalar", value, dtype);
}

tp_tensor *tp_num(double value) {
    tp_tensor *x = tp__new("number", &TP_0D, TP_FLOAT64);
    if (!x) return NULL;
    *(double *)x->st->data = value;
    x->weak = true;
    return x;
}
tp_tensor *tp_num_int(int64_t value) {
    tp_tensor *x = tp__new("number", &TP_0D, TP_INT64);
    if (!x) return NULL;
    *(int64_t *)x->st->data = value;
    x->weak = true;
    return x;
}

/* ---- asking ---------------------------------------------------------------------------------- */

tp_shape tp_shape_of(const tp_tensor *x) {
    tp_shape s = TP_0D; /* nothing uninitialised leaves the library */
    if (!x) return s;
    s.ndim = x->ndim;
    memcpy(s.dim, x->shape, (size_t)x->ndim * sizeof *s.dim);
    return s;
}
int tp_ndim(const tp_tensor *x) {
    return x ? x->ndim : -1;
}
int64_t tp_numel(const tp_tensor *x) {
    return x ? x->numel : -1;
}
tp_dtype tp_dtype_of(const tp_tensor *x) {
    return x ? (tp_dtype)x->dtype : TP_FLOAT32;
}
const char *tp_type(const tp_tensor *x) {
    return dtype_info[tp_dtype_of(x)].type;
}
int64_t tp_storage_offset(const tp_tensor *x) {
    return x ? x->offset : -1;
}
bool tp_shares_storage(const tp_tensor *a, const tp_tensor *b) {
    return a && b && a->st->data == b->st->data;
}
int64_t tp_size(const tp_tensor *x, int dim) {
    if (!x) return tp__error_null("size"), -1;
    int d;
    if (!x->ndim) return tp_error_set(TP_EINDEX, "size: a 0-d tensor has no dim %d", dim), -1;
    return tp__axis("size", dim, x->ndim, &d) ? x->shape[d] : -1;
}
int64_t tp_stride(const tp_tensor *x, int dim) {
    if (!x) return tp__error_null("stride"), -1;
    int d;
    if (!x->ndim) return tp_error_set(TP_EINDEX, "stride: a 0-d tensor has no dim %d", dim), -1;
    return tp__axis("stride", dim, x->ndim, &d) ? x->stride[d] : -1;
}

bool tp_is_contiguous(const tp_tensor *x) {
    return x && tp__contiguous_p(x);
}

/* Whoever reads ahead is waited for, and will see that it was in vain. */
TP__APART void tp__stop_reading(tp__storage *st) {
    tp__spare_stop();
    atomic_store_explicit(&st->ahead, TP__CHANGED_SINCE, memory_order_relaxed);
}

static void *exposed_ptr(const tp_tensor *x) {
    tp__will_change(x);
    return tp__ptr(x);
}
void *tp_data_ptr(const tp_tensor *x) {
    return x ? exposed_ptr(x) : NULL;
}
static void *typed_ptr(const char *what, const tp_tensor *x, tp_dtype d) {
    if (!x) return tp__error_null(what), NULL;
    if (x->dtype != d)
        return tp__fail(TP_EDTYPE, "%s: the tensor is %s", what, tp_dtype_name((tp_dtype)x->dtype));
    if (!tp__contiguous_p(x)) return tp__fail(TP_EDTYPE, "%s: the tensor is not contiguous", what);
    return exposed_ptr(x);
}
float *tp_data_f32(const tp_tensor *x) {
    return typed_ptr("data_f32", x, TP_FLOAT32);
}
int64_t *tp_data_i64(const tp_tensor *x) {
    return typed_ptr("data_i64", x, TP_INT64);
}

static bool one_element(const tp_tensor *x) {
    char text[TP__SHAPE_TEXT];
    if (!x) return tp__error_null("item"), false;
    if (x->numel == 1) return true;
    const tp_shape s = tp__shape(x);
    tp_error_set(TP_ESHAPE,
                 "item: only a tensor of one element is a number; this one is %s (take its tp_sum "
                 "or tp_mean, or pick one with tp_at)",
                 tp__shape_text(&s, text));
    return false;
}
double tp_item(const tp_tensor *x) {
    if (!one_element(x)) return NAN;
    const void *p = tp__ptr(x);
    switch ((tp_dtype)x->dtype) {
    case TP_FLOAT32: return (double)*(const float *)p;
    case TP_FLOAT64: return *(const double *)p;
    case TP_INT64: return (double)*(const int64_t *)p;
    default: return (double)*(const uint8_t *)p;
    }
}
int64_t tp_item_int(const tp_tensor *x) {
    if (!one_element(x)) return -1;
    if (x->dtype == TP_INT64) return *(const int64_t *)tp__ptr(x);
    return (int64_t)tp_item(x);
}

tp_status tp_copy_to(const tp_tensor *x, void *dst, int64_t n, tp_dtype dtype) {
    if (!x || !dst) return tp__error_null("copy_to");
    if (n != x->numel)
        return tp_error_set(TP_ESHAPE, "copy_to: room for %lld elements, but the tensor has %lld",
                            (long long)n, (long long)x->numel);
    tp_tensor to = {.dtype = (uint8_t)dtype};
    set_contiguous(&to, &x->s, dst);
    tp__copy(&to, x);
    return TP_OK;
}
