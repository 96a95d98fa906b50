/* move.c -- casts by dtype, and rows gathered. */
#include "kernels/isa.h"

tp__cast_fn tp__cast(tp_dtype to, tp_dtype from) {
    return tp__kernels_now()->move->cast[to][from];
}

void tp__gather_rows(const tp__gather *g) {
    tp__kernels_now()->move->gather(g);
}
