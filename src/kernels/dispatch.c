/* dispatch.c -- which ISA level's table is in use: the processor's best, unless TAPER_ISA lowers
 * it.
 *
 * The choice is made on first use; two threads that make it at once make the same. */
#include "kernels/isa.h"

static _Atomic(const tp__kernels *) in_use;

static const tp__kernels *table_of(tp__isa isa) {
    static const tp__kernels *const table[TP__ISA_COUNT] = {[TP__ISA_BASE] = &tp__kernels_base,
                                                            [TP__ISA_V3] = &tp__kernels_v3,
                                                            [TP__ISA_V4] = &tp__kernels_v4};
    return table[isa];
}

const tp__kernels *tp__kernels_now(void) {
    const tp__kernels *k = atomic_load_explicit(&in_use, memory_order_acquire);
    if (TP__LIKELY(k)) return k;
    k = table_of(tp__cpu_isa());
    atomic_store_explicit(&in_use, k, memory_order_release);
    return k;
}

tp__isa tp__kernels_isa(void) {
    return tp__kernels_now()->isa;
}

bool tp__kernels_use(tp__isa isa) {
    if (isa > tp__cpu_isa()) return false;
    atomic_store_explicit(&in_use, table_of(isa), memory_order_release);
    return true;
}

tp__pw_fn tp__pw_forward(tp__pw_op op, tp_dtype dtype) {
    return tp__kernels_now()->forward[op][dtype];
}

tp__pw_fn tp__pw_backward(tp__pw_op op, int operand, tp_dtype dtype) {
    return dtype <= TP_FLOAT64 ? tp__kernels_now()->backward[op][operand][dtype] : NULL;
}
