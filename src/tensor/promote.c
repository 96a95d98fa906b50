/* promote.c -- torch.result_type: which dtype an op on several operands computes in.
 *
 * Operands are ranked: tensors with axes, 0-d tensors, Python's numbers. A lower rank counts only
 * where its kind (bool < integer < float) is above what the higher ranks gave. */
#include "tensor/tensor.h"

enum { UNDEFINED = -1 };

static int promote(int a, int b) {
    if (a == UNDEFINED || a == b) return b;
    if (b == UNDEFINED) return a;
    if (a == TP_FLOAT64 || b == TP_FLOAT64) return TP_FLOAT64;
    if (a == TP_FLOAT32 || b == TP_FLOAT32) return TP_FLOAT32;
    if (a == TP_INT64 || b == TP_INT64) return TP_INT64;
    return TP_UINT8; /* uint8 with bool */
}

static bool is_float(int d) {
    return d == TP_FLOAT32 || d == TP_FLOAT64;
}

static int combine(int higher, int lower) {
    if (is_float(higher)) return higher;
    if (higher == TP_BOOL || is_float(lower)) return promote(higher, lower);
    return higher == UNDEFINED ? lower : higher;
}

tp_dtype tp__promoted(tp_tensor *const *in, int n) {
    int with_axes = UNDEFINED, zero_d = UNDEFINED, number = UNDEFINED;
    for (int i = 0; i < n; i++) {
        const tp_tensor *x = in[i];
        if (x->weak)
            number = promote(number, is_float(x->dtype) ? TP_FLOAT32 : x->dtype);
        else if (x->ndim)
            with_axes = promote(with_axes, x->dtype);
        else
            zero_d = promote(zero_d, x->dtype);
    }
    return (tp_dtype)combine(with_axes, combine(zero_d, number));
}
