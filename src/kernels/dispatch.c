/* dispatch.c -- which ISA level's table is in use: the processor's best, unless TAPER_ISA lowers
 * it.
 *
 * The choice is made on first use; two threads that make it at once make the same. */
#include "kernels/isa.h"

_Atomic(const tp__kernels *) tp__kernels_in_use;

/* By dtype: float32, float64, int64, uint8, bool. */
#define KERNELS(level, isa)                                                                   \
    [level] = {level,                                                                         \
               {&tp__pointwise_f32_##isa, &tp__pointwise_f64_##isa, &tp__pointwise_i64_##isa, \
                &tp__pointwise_u8_##isa, &tp__pointwise_bool_##isa},                          \
               {tp__reduce_f32_##isa, tp__reduce_f64_##isa, tp__reduce_i64_##isa,             \
                tp__reduce_u8_##isa, tp__reduce_u8_##isa},                                    \
               {&tp__rowwise_f32_##isa, &tp__rowwise_f64_##isa},                              \
               {&tp__step_f32_##isa, &tp__step_f64_##isa},                                    \
               {&tp__gemm_f32_##isa, &tp__gemm_f64_##isa},                                    \
               &tp__move_##isa}
static const tp__kernels tables[TP__ISA_COUNT] = {KERNELS(TP__ISA_BASE, base),
                                                  KERNELS(TP__ISA_V3, v3), KERNELS(TP__ISA_V4, v4)};

const tp__kernels *tp__kernels_now(void) {
    const tp__kernels *k = atomic_load_explicit(&tp__kernels_in_use, memory_order_acquire);
    if (TP__LIKELY(k)) return k;
    k = &tables[tp__cpu_isa()];
    atomic_store_explicit(&tp__kernels_in_use, k, memory_order_release);
    return k;
}

tp__isa tp__kernels_isa(void) {
    return tp__kernels_now()->isa;
}

bool tp__kernels_use(tp__isa isa) {
    if (isa > tp__cpu_isa()) return false;
    atomic_store_explicit(&tp__kernels_in_use, &tables[isa], memory_order_release);
    return true;
}

tp__pw_fn tp__pw_forward(tp__pw_op op, tp_dtype dtype) {
    return tp__kernels_now()->pointwise[dtype]->forward[op];
}

tp__pw_fn tp__pw_backward(tp__pw_op op, int operand, tp_dtype dtype) {
    return tp__kernels_now()->pointwise[dtype]->backward[op][operand];
}
