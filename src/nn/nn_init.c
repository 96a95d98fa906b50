/* nn_init.c -- first values of parameters, drawn as torch draws them.
 *
 * The bounds are computed step by step in double as torch's Python does, so that not even their
 * last bits differ; the draws are torch's own recipe (rng.c). */
#include "nn/nn.h"
#include "taper/ops.h"
#include <math.h>

/* init.kaiming_uniform_(w, a=sqrt(5)): U(-bound, bound). */
static double kaiming_bound(int64_t fan_in) {
    const double a = sqrt(5), gain = sqrt(2 / (1 + a * a)), std = gain / sqrt((double)fan_in);
    return sqrt(3) * std;
}

bool tp__init_linear(tp_tensor *w, tp_tensor *b, tp_rng *rng) {
    const int64_t fan_in = w->shape[1];
    const double wide = kaiming_bound(fan_in), narrow = 1 / sqrt((double)fan_in);
    if (!tp_uniform_(w, -wide, wide, rng)) return false;
    return tp__is_none(b) || tp_uniform_(b, -narrow, narrow, rng);
}
