/* taper/ops.h -- everything that computes: views, reductions, matmul, losses, indexing, random
 * numbers.
 *
 * torch's names and meaning; docs/differences.md lists where taper differs on purpose. Results are
 * scoped. Ops with a gradient are recorded. Every macro stands for a plain function of the same
 * name; define TAPER_PLAIN before the include to have the functions only (no call sites, no
 * numbers). */
#ifndef TAPER_OPS_H
#define TAPER_OPS_H
#include "pointwise.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- views: they share storage with x; a write to one is seen in the other ------------------- */

/* The same elements in another shape; one size may be -1. view: ESHAPE where it would need a copy
 * (a transposed tensor, say); reshape copies then. */
TP_API TP_SCOPED tp_tensor *tp_view(tp_tensor *x, tp_shape shape);
TP_API TP_SCOPED tp_tensor *tp_reshape(tp_tensor *x, tp_shape shape);
TP_API TP_SCOPED tp_tensor *tp_permute(tp_tensor *x, tp_dims dims); /* axis d is x's dims[d] */
TP_API TP_SCOPED tp_tensor *tp_transpose(tp_tensor *x, int dim0, int dim1);
TP_API TP_SCOPED tp_tensor *tp_T(tp_tensor *x);       /* axes reversed */
TP_API TP_SCOPED tp_tensor *tp_squeeze(tp_tensor *x); /* without axes of size 1 */
TP_API TP_SCOPED tp_tensor *tp_squeeze_dim(tp_tensor *x, int dim);
TP_API TP_SCOPED tp_tensor *tp_unsqueeze(tp_tensor *x, int dim);
TP_API TP_SCOPED tp_tensor *tp_expand(tp_tensor *x, tp_shape shape); /* -1 keeps a size */
/* Axes start_dim to end_dim become one: a view where it can be, as reshape. */
TP_API TP_SCOPED tp_tensor *tp_flatten(tp_tensor *x, int start_dim, int end_dim);
/* x[:, start:stop:step, :] along dim, clipped as Python clips; step >= 1. */
TP_API TP_SCOPED tp_tensor *tp_slice(tp_tensor *x, int dim, int64_t start, int64_t stop,
                                     int64_t step);
TP_API TP_SCOPED tp_tensor *tp_select(tp_tensor *x, int dim, int64_t index); /* the axis goes */
/* Python's indexing text: "-2:, -2:", "4:10, 4:10", "0, 0", "..., ::2", "None, 3". */
TP_API TP_SCOPED tp_tensor *tp_at(tp_tensor *x, const char *index);
/* All selects along dim into out[0..size(dim)); out has room for n. The count, or -1. */
TP_API int64_t tp_unbind(tp_tensor *x, int dim, tp_tensor **out, int64_t n);

/* ---- joining, copying, converting ------------------------------------------------------------ */

TP_API TP_SCOPED tp_tensor *tp_cat(tp_tensor *const *x, int64_t n, int dim);
TP_API TP_SCOPED tp_tensor *tp_stack(tp_tensor *const *x, int64_t n, int dim); /* a new axis */
TP_API TP_SCOPED tp_tensor *tp_flip(tp_tensor *x, tp_dims dims); /* those axes reversed: a copy */
TP_API TP_SCOPED tp_tensor *tp_clone(tp_tensor *x);              /* a contiguous, tracked copy */
TP_API TP_SCOPED tp_tensor *tp_contiguous(tp_tensor *x);         /* x itself if it is */
TP_API TP_SCOPED tp_tensor *tp_to(tp_tensor *x, tp_dtype dtype); /* x itself if it is */

/* ---- choosing -------------------------------------------------------------------------------- */

/* cond ? a : b, elementwise. cond is bool (uint8 too); a and b promote and may be numbers. */
TP_API TP_SCOPED tp_tensor *tp_where(tp_tensor *cond, tp_tensor *a, tp_tensor *b);
/* mask ? value : x. mask is bool (uint8 too); shapes broadcast. */
TP_API TP_SCOPED tp_tensor *tp_masked_fill(tp_tensor *x, tp_tensor *mask, double value);
/* The elements where mask (which broadcasts with x) is true: 1-d, a copy. */
TP_API TP_SCOPED tp_tensor *tp_masked_select(tp_tensor *x, tp_tensor *mask);
/* x[index], a copy. index bool: the elements, or rows, where it is true; its shape is how x's
 * begins. index int64, any shape: rows of x. x[S, ...] index[I...] -> [I..., ...]. EINDEX. */
TP_API TP_SCOPED tp_tensor *tp_index(tp_tensor *x, tp_tensor *index);
/* x[:, index, :] along dim. x[..., S, ...] index[I] int64 -> [..., I, ...]. EINDEX. */
TP_API TP_SCOPED tp_tensor *tp_index_select(tp_tensor *x, int dim, tp_tensor *index);
/* out[i][j] = x[i][index[i][j]] for dim 1: torch.gather. */
TP_API TP_SCOPED tp_tensor *tp_gather(tp_tensor *x, int dim, tp_tensor *index);
/* Python's [f(v) for v in x] and [v for v in x if f(v)] with a C function: in x's dtype and shape;
 * those kept, 1-d. Not recorded: EGRAD on what requires a gradient. EVALUE where an integer dtype
 * cannot hold a result, or a double not an integer. masked_select is the way without a function. */
typedef double (*tp_map_fn)(double v, void *user);
typedef bool (*tp_filter_fn)(double v, void *user);
TP_API TP_SCOPED tp_tensor *tp_map(tp_tensor *x, tp_map_fn f, void *user);
TP_API TP_SCOPED tp_tensor *tp_filter(tp_tensor *x, tp_filter_fn f, void *user);
/* Indices of the elements that are not 0: [n, ndim] int64. */
TP_API TP_SCOPED tp_tensor *tp_nonzero(tp_tensor *x);

/* ---- reductions: over all elements, or over axes --------------------------------------------- */

typedef enum tp_flags {
    TP_KEEPDIM = 1,   /* a reduced axis stays with size 1 */
    TP_BIASED = 2,    /* std, var: divide by n, not n - 1 (torch's unbiased=False) */
    TP_DESCENDING = 4 /* sort, argsort: the largest first */
} tp_flags;

/* sum and prod of bools and integers are int64; mean of them is EDTYPE. */
TP_API TP_SCOPED tp_tensor *tp_sum(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_sum_dim(tp_tensor *x, tp_dims dims, int flags);
TP_API TP_SCOPED tp_tensor *tp_mean(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_mean_dim(tp_tensor *x, tp_dims dims, int flags);
TP_API TP_SCOPED tp_tensor *tp_prod(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_prod_dim(tp_tensor *x, int dim, int flags);
TP_API TP_SCOPED tp_tensor *tp_var(tp_tensor *x, int flags);
TP_API TP_SCOPED tp_tensor *tp_var_dim(tp_tensor *x, tp_dims dims, int flags);
TP_API TP_SCOPED tp_tensor *tp_std(tp_tensor *x, int flags);
TP_API TP_SCOPED tp_tensor *tp_std_dim(tp_tensor *x, tp_dims dims, int flags);
/* max(): ties share the gradient evenly. max_dim: the first of equals has it; its indices (int64)
 * go to *index unless index is NULL. NaN wins. An empty axis is ESHAPE. */
TP_API TP_SCOPED tp_tensor *tp_max(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_min(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_max_dim(tp_tensor *x, int dim, int flags, tp_tensor **index);
TP_API TP_SCOPED tp_tensor *tp_min_dim(tp_tensor *x, int dim, int flags, tp_tensor **index);
TP_API TP_SCOPED tp_tensor *tp_argmax(tp_tensor *x); /* of the flattened x */
TP_API TP_SCOPED tp_tensor *tp_argmin(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_argmax_dim(tp_tensor *x, int dim, int flags);
TP_API TP_SCOPED tp_tensor *tp_argmin_dim(tp_tensor *x, int dim, int flags);
TP_API TP_SCOPED tp_tensor *tp_norm(tp_tensor *x); /* sqrt(sum of squares) */
TP_API TP_SCOPED tp_tensor *tp_any(tp_tensor *x);  /* bool */
TP_API TP_SCOPED tp_tensor *tp_all(tp_tensor *x);
TP_API TP_SCOPED tp_tensor *tp_any_dim(tp_tensor *x, int dim, int flags);
TP_API TP_SCOPED tp_tensor *tp_all_dim(tp_tensor *x, int dim, int flags);

/* ---- order and counting ---------------------------------------------------------------------- */

/* Along dim; NaN is the largest, equals keep their order. Where each came from (int64) goes to
 * *index unless index is NULL. topk: the k largest, in order. */
TP_API TP_SCOPED tp_tensor *tp_sort(tp_tensor *x, int dim, int flags, tp_tensor **index);
TP_API TP_SCOPED tp_tensor *tp_topk(tp_tensor *x, int64_t k, int dim, tp_tensor **index);
TP_API TP_SCOPED tp_tensor *tp_argsort(tp_tensor *x, int dim, int flags);
TP_API TP_SCOPED tp_tensor *tp_cumsum(tp_tensor *x, int dim); /* integers and bools: int64 */
/* The different values, sorted, and how often each occurs unless counts is NULL. */
TP_API TP_SCOPED tp_tensor *tp_unique(tp_tensor *x, tp_tensor **counts);
/* How often 0, 1, 2, ... occur in x[N] int64: at least minlength numbers. */
TP_API TP_SCOPED tp_tensor *tp_bincount(tp_tensor *x, int64_t minlength);
/* x[...] int64 in 0..C-1 -> [..., C] int64, a single 1 in each row; C -1: the largest + 1. */
TP_API TP_SCOPED tp_tensor *tp_one_hot(tp_tensor *x, int64_t C);

/* ---- linear algebra, softmax ----------------------------------------------------------------- */

/* x @ w. x[..., M, K] w[..., K, N] -> [..., M, N]; a 1-d operand is a row on the left, a column on
 * the right, and its axis goes. Batch axes broadcast. One dtype, no promotion, as in torch. */
TP_API TP_SCOPED tp_tensor *tp_matmul(tp_tensor *x, tp_tensor *w);
/* x @ w.T + b. x[..., I] w[O, I] b[O]? -> [..., O]. b may be TP_NONE. */
TP_API TP_SCOPED tp_tensor *tp_linear(tp_tensor *x, tp_tensor *w, tp_tensor *b);
/* e^x / sum of e^x along dim, and its logarithm; floats. */
TP_API TP_SCOPED tp_tensor *tp_softmax(tp_tensor *x, int dim);
TP_API TP_SCOPED tp_tensor *tp_log_softmax(tp_tensor *x, int dim);

/* ---- losses: means over the batch; 0-d ------------------------------------------------------- */

/* mean |a - b|, mean (a - b)^2: shapes must be equal (torch warns and broadcasts; that hides
 * mistakes). */
TP_API TP_SCOPED tp_tensor *tp_l1_loss(tp_tensor *a, tp_tensor *b);
TP_API TP_SCOPED tp_tensor *tp_mse_loss(tp_tensor *a, tp_tensor *b);
/* mean over N of -log softmax(logits)[target]. logits[N, C] target[N] int64 -> []. EINDEX if a
 * target is not in 0..C-1. A target of shape [N, 1] is taken too. */
TP_API TP_SCOPED tp_tensor *tp_cross_entropy(tp_tensor *logits, tp_tensor *target);
/* The same from log probabilities: mean over N of -log_probs[target]. */
TP_API TP_SCOPED tp_tensor *tp_nll_loss(tp_tensor *log_probs, tp_tensor *target);
/* mean of max(x, 0) - x t + log(1 + e^-|x|). Same shapes; target of any dtype, values in [0, 1]. */
TP_API TP_SCOPED tp_tensor *tp_binary_cross_entropy_with_logits(tp_tensor *x, tp_tensor *target);
/* mean of -(t log p + (1 - t) log(1 - p)), a logarithm at least -100. p in [0, 1] (EVALUE), target
 * as before. Of a sigmoid's result the one with logits is more exact. */
TP_API TP_SCOPED tp_tensor *tp_binary_cross_entropy(tp_tensor *p, tp_tensor *target);
/* The book's: p = sigmoid(x); mean of target == 1 ? 1 - p : p. Shapes broadcast as in the book. */
TP_API TP_SCOPED tp_tensor *tp_mnist_loss(tp_tensor *x, tp_tensor *target);

/* ---- random numbers: torch's, from rng (NULL: this thread's default) ------------------------- */

TP_API TP_SCOPED tp_tensor *tp_rand(tp_shape shape, tp_dtype dtype, tp_rng *rng);  /* [0, 1) */
TP_API TP_SCOPED tp_tensor *tp_randn(tp_shape shape, tp_dtype dtype, tp_rng *rng); /* N(0, 1) */
/* int64: from low to high - 1; 0 to n - 1 in random order. */
TP_API TP_SCOPED tp_tensor *tp_randint(int64_t low, int64_t high, tp_shape shape, tp_rng *rng);
TP_API TP_SCOPED tp_tensor *tp_randperm(int64_t n, tp_rng *rng);
TP_API TP_SCOPED tp_tensor *tp_bernoulli(tp_tensor *p, tp_rng *rng); /* 1 with probability p[i] */
/* Every element anew: from [a, b), from N(mean, std^2), 1 with probability p. In place. */
TP_API TP_BORROWED tp_tensor *tp_uniform_(tp_tensor *x, double a, double b, tp_rng *rng);
TP_API TP_BORROWED tp_tensor *tp_normal_(tp_tensor *x, double mean, double std, tp_rng *rng);
TP_API TP_BORROWED tp_tensor *tp_bernoulli_(tp_tensor *x, double p, tp_rng *rng);
/* The whole state of a generator as one named tensor, "mt19937"; it is yours. And back. */
TP_API TP_OWNED tp_dict *tp_rng_state(tp_rng *rng);
TP_API TP_MUST_CHECK tp_status tp_rng_set_state(tp_rng *rng, const tp_dict *state);

/* ---- in place: torch's trailing underscore; returns x ---------------------------------------- */

/* b broadcasts to x, and its dtype must not outrank x's (torch's rule). EGRAD on a tensor that the
 * tape follows; under tp_scope_no_grad() a leaf may be written. */
TP_API TP_BORROWED tp_tensor *tp_add_(tp_tensor *x, tp_tensor *b);
TP_API TP_BORROWED tp_tensor *tp_sub_(tp_tensor *x, tp_tensor *b);
TP_API TP_BORROWED tp_tensor *tp_mul_(tp_tensor *x, tp_tensor *b);
TP_API TP_BORROWED tp_tensor *tp_div_(tp_tensor *x, tp_tensor *b);
TP_API TP_BORROWED tp_tensor *tp_copy_(tp_tensor *x, tp_tensor *src);
TP_API TP_BORROWED tp_tensor *tp_fill_(tp_tensor *x, double value);
TP_API TP_BORROWED tp_tensor *tp_zero_(tp_tensor *x);
/* x[index] = value, which broadcasts to x[index] and may be a number; of equal positions the last
 * wins. x[mask] = value; x[:, index] = src along dim. */
TP_API TP_BORROWED tp_tensor *tp_index_put_(tp_tensor *x, tp_tensor *index, tp_tensor *value);
TP_API TP_BORROWED tp_tensor *tp_masked_fill_(tp_tensor *x, tp_tensor *mask, double value);
TP_API TP_BORROWED tp_tensor *tp_index_copy_(tp_tensor *x, int dim, tp_tensor *index,
                                             tp_tensor *src);

#ifdef __cplusplus
}
#endif

#ifndef TAPER_PLAIN
#define tp_view(...) TP__SITE(tp_view(__VA_ARGS__))
#define tp_reshape(...) TP__SITE(tp_reshape(__VA_ARGS__))
#define tp_permute(...) TP__SITE(tp_permute(__VA_ARGS__))
#define tp_transpose(...) TP__SITE(tp_transpose(__VA_ARGS__))
#define tp_T(...) TP__SITE(tp_T(__VA_ARGS__))
#define tp_squeeze(...) TP__SITE(tp_squeeze(__VA_ARGS__))
#define tp_squeeze_dim(...) TP__SITE(tp_squeeze_dim(__VA_ARGS__))
#define tp_unsqueeze(...) TP__SITE(tp_unsqueeze(__VA_ARGS__))
#define tp_expand(...) TP__SITE(tp_expand(__VA_ARGS__))
#define tp_flatten(...) TP__SITE(tp_flatten(__VA_ARGS__))
#define tp_slice(...) TP__SITE(tp_slice(__VA_ARGS__))
#define tp_select(...) TP__SITE(tp_select(__VA_ARGS__))
#define tp_at(...) TP__SITE(tp_at(__VA_ARGS__))
#define tp_cat(...) TP__SITE(tp_cat(__VA_ARGS__))
#define tp_stack(...) TP__SITE(tp_stack(__VA_ARGS__))
#define tp_flip(...) TP__SITE(tp_flip(__VA_ARGS__))
#define tp_clone(...) TP__SITE(tp_clone(__VA_ARGS__))
#define tp_contiguous(...) TP__SITE(tp_contiguous(__VA_ARGS__))
#define tp_to(...) TP__SITE(tp_to(__VA_ARGS__))
#define tp_where(cond, a, b) TP__SITE(tp_where(cond, TP__NUM(a), TP__NUM(b)))
#define tp_masked_fill(...) TP__SITE(tp_masked_fill(__VA_ARGS__))
#define tp_masked_select(...) TP__SITE(tp_masked_select(__VA_ARGS__))
#define tp_index(...) TP__SITE(tp_index(__VA_ARGS__))
#define tp_map(...) TP__SITE(tp_map(__VA_ARGS__))
#define tp_filter(...) TP__SITE(tp_filter(__VA_ARGS__))
#define tp_index_select(...) TP__SITE(tp_index_select(__VA_ARGS__))
#define tp_gather(...) TP__SITE(tp_gather(__VA_ARGS__))
#define tp_nonzero(...) TP__SITE(tp_nonzero(__VA_ARGS__))
#define tp_sum(...) TP__SITE(tp_sum(__VA_ARGS__))
#define tp_sum_dim(...) TP__SITE(tp_sum_dim(__VA_ARGS__))
#define tp_mean(...) TP__SITE(tp_mean(__VA_ARGS__))
#define tp_mean_dim(...) TP__SITE(tp_mean_dim(__VA_ARGS__))
#define tp_prod(...) TP__SITE(tp_prod(__VA_ARGS__))
#define tp_prod_dim(...) TP__SITE(tp_prod_dim(__VA_ARGS__))
#define tp_var(...) TP__SITE(tp_var(__VA_ARGS__))
#define tp_var_dim(...) TP__SITE(tp_var_dim(__VA_ARGS__))
#define tp_std(...) TP__SITE(tp_std(__VA_ARGS__))
#define tp_std_dim(...) TP__SITE(tp_std_dim(__VA_ARGS__))
#define tp_max(...) TP__SITE(tp_max(__VA_ARGS__))
#define tp_min(...) TP__SITE(tp_min(__VA_ARGS__))
#define tp_max_dim(...) TP__SITE(tp_max_dim(__VA_ARGS__))
#define tp_min_dim(...) TP__SITE(tp_min_dim(__VA_ARGS__))
#define tp_argmax(...) TP__SITE(tp_argmax(__VA_ARGS__))
#define tp_argmin(...) TP__SITE(tp_argmin(__VA_ARGS__))
#define tp_argmax_dim(...) TP__SITE(tp_argmax_dim(__VA_ARGS__))
#define tp_argmin_dim(...) TP__SITE(tp_argmin_dim(__VA_ARGS__))
#define tp_norm(...) TP__SITE(tp_norm(__VA_ARGS__))
#define tp_any(...) TP__SITE(tp_any(__VA_ARGS__))
#define tp_all(...) TP__SITE(tp_all(__VA_ARGS__))
#define tp_any_dim(...) TP__SITE(tp_any_dim(__VA_ARGS__))
#define tp_all_dim(...) TP__SITE(tp_all_dim(__VA_ARGS__))
#define tp_sort(...) TP__SITE(tp_sort(__VA_ARGS__))
#define tp_topk(...) TP__SITE(tp_topk(__VA_ARGS__))
#define tp_argsort(...) TP__SITE(tp_argsort(__VA_ARGS__))
#define tp_cumsum(...) TP__SITE(tp_cumsum(__VA_ARGS__))
#define tp_unique(...) TP__SITE(tp_unique(__VA_ARGS__))
#define tp_bincount(...) TP__SITE(tp_bincount(__VA_ARGS__))
#define tp_one_hot(...) TP__SITE(tp_one_hot(__VA_ARGS__))
#define tp_matmul(...) TP__SITE(tp_matmul(__VA_ARGS__))
#define tp_linear(...) TP__SITE(tp_linear(__VA_ARGS__))
#define tp_softmax(...) TP__SITE(tp_softmax(__VA_ARGS__))
#define tp_log_softmax(...) TP__SITE(tp_log_softmax(__VA_ARGS__))
#define tp_l1_loss(...) TP__SITE(tp_l1_loss(__VA_ARGS__))
#define tp_mse_loss(...) TP__SITE(tp_mse_loss(__VA_ARGS__))
#define tp_cross_entropy(...) TP__SITE(tp_cross_entropy(__VA_ARGS__))
#define tp_nll_loss(...) TP__SITE(tp_nll_loss(__VA_ARGS__))
#define tp_binary_cross_entropy_with_logits(...) \
    TP__SITE(tp_binary_cross_entropy_with_logits(__VA_ARGS__))
#define tp_binary_cross_entropy(...) TP__SITE(tp_binary_cross_entropy(__VA_ARGS__))
#define tp_mnist_loss(...) TP__SITE(tp_mnist_loss(__VA_ARGS__))
#define tp_rand(...) TP__SITE(tp_rand(__VA_ARGS__))
#define tp_randn(...) TP__SITE(tp_randn(__VA_ARGS__))
#define tp_randint(...) TP__SITE(tp_randint(__VA_ARGS__))
#define tp_randperm(...) TP__SITE(tp_randperm(__VA_ARGS__))
#define tp_bernoulli(...) TP__SITE(tp_bernoulli(__VA_ARGS__))
#define tp_uniform_(...) TP__SITE(tp_uniform_(__VA_ARGS__))
#define tp_normal_(...) TP__SITE(tp_normal_(__VA_ARGS__))
#define tp_bernoulli_(...) TP__SITE(tp_bernoulli_(__VA_ARGS__))
#define tp_add_(x, b) TP__SITE(tp_add_(x, TP__NUM(b)))
#define tp_sub_(x, b) TP__SITE(tp_sub_(x, TP__NUM(b)))
#define tp_mul_(x, b) TP__SITE(tp_mul_(x, TP__NUM(b)))
#define tp_div_(x, b) TP__SITE(tp_div_(x, TP__NUM(b)))
#define tp_copy_(...) TP__SITE(tp_copy_(__VA_ARGS__))
#define tp_fill_(...) TP__SITE(tp_fill_(__VA_ARGS__))
#define tp_zero_(...) TP__SITE(tp_zero_(__VA_ARGS__))
#define tp_masked_fill_(...) TP__SITE(tp_masked_fill_(__VA_ARGS__))
#define tp_index_put_(x, index, value) TP__SITE(tp_index_put_(x, index, TP__NUM(value)))
#define tp_index_copy_(...) TP__SITE(tp_index_copy_(__VA_ARGS__))
#define tp_unbind(...) TP__INT(tp_unbind(__VA_ARGS__))
#define tp_rng_state(...) TP__OBJECT(tp_rng_state(__VA_ARGS__))
#define tp_rng_set_state(...) TP__STATUS(tp_rng_set_state(__VA_ARGS__))
#endif
#endif
