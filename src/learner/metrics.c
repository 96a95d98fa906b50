/* metrics.c -- accuracies, and means over batches of different sizes.
 *
 * A batch's value is float32 as torch computes it; the sum over batches is kept in double, so
 * that an epoch's value is right to the last digit of a float32 whatever the number of batches. */
#include "autograd/autograd.h"
#include "learner/learner.h"
#include "taper/ops.h"
#include <math.h>

static tp_status wrong_shapes(const char *what, const tp_tensor *pred, const tp_tensor *target) {
    char p[TP__SHAPE_TEXT], t[TP__SHAPE_TEXT];
    const tp_shape ps = tp__shape(pred), ts = tp__shape(target);
    return tp_error_set(TP_ESHAPE, "%s: pred is %s but target is %s", what, tp__shape_text(&ps, p),
                        tp__shape_text(&ts, t));
}

/* mean(same), a bool tensor, as float32. */
static tp_tensor *share_of_true(tp_tensor *same) {
    return tp_mean(tp_to(same, TP_FLOAT32));
}

tp_tensor *tp_accuracy(tp_tensor *pred, tp_tensor *target) {
    if (!pred || !target) return tp__error_null("accuracy"), NULL;
    if (pred->ndim != 2 || target->numel != pred->shape[0])
        return wrong_shapes("accuracy", pred, target), NULL;
    return share_of_true(tp_eq(tp_argmax_dim(pred, -1, 0), tp_reshape(target, TP_SHAPE(-1))));
}

tp_tensor *tp_batch_accuracy(tp_tensor *pred, tp_tensor *target) {
    if (!pred || !target) return tp__error_null("batch_accuracy"), NULL;
    const tp_shape ps = tp__shape(pred), ts = tp__shape(target);
    if (!tp__shape_equal(&ps, &ts)) return wrong_shapes("batch_accuracy", pred, target), NULL;
    return share_of_true(tp_eq(tp_gt(tp_sigmoid(pred), tp_num(0.5)), target));
}

tp_status tp__mean_add(tp__mean *m, const char *what, const tp_tensor *x, int64_t n) {
    if (!x) return tp__error_null(what);
    if (x->numel != 1) {
        char text[TP__SHAPE_TEXT];
        const tp_shape s = tp__shape(x);
        return tp_error_set(TP_ESHAPE, "%s: one number is wanted, not %s", what,
                            tp__shape_text(&s, text));
    }
    m->total += tp_item(x) * (double)n;
    m->count += n;
    m->wide |= x->dtype == TP_FLOAT64;
    return TP_OK;
}

double tp__mean_value(const tp__mean *m) {
    if (!m->count) return (double)NAN;
    const double mean = m->total / (double)m->count;
    return m->wide ? mean : (double)(float)mean;
}
