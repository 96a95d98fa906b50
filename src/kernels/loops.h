/* loops.h -- what the files of loops, isa_*.c, have in common.
 *
 * Each is a family of kernels. It is compiled three times, with the compiler's flags for an ISA
 * level and its name as TP_ISA (cmake/flags.cmake), and leaves tables named after both:
 * EXPORT(reduce) may be tp__reduce_f32_v3. Within it the loops (*.inc) are included once per
 * dtype, each time after a dtype_*.h. Integers wrap (-fwrapv); floats are never contracted or
 * reordered. */
#ifndef TAPER_SRC_LOOPS_H
#define TAPER_SRC_LOOPS_H
#include "kernels/isa.h"
#include "kernels/simd.h"
#if defined __GNUC__ && !defined __clang__
#pragma GCC diagnostic ignored "-Wtype-limits" /* the rows of pointwise.def serve unsigned T too */
#define INDEPENDENT _Pragma("GCC ivdep") /* before a loop: its turns do not see others' stores */
#else
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#pragma clang diagnostic ignored "-Wtautological-compare"
#pragma clang diagnostic ignored "-Wtautological-overlap-compare"
#pragma clang diagnostic ignored "-Wtautological-type-limit-compare"
#endif

#define CAT_(a, b) a##_##b
#define CAT(a, b) CAT_(a, b)
#define FN(name) CAT(name, SUF)
#define EXPORT_AS(name) CAT(tp__##name, TP_ISA)
#define EXPORT(name) CAT(CAT(tp__##name, SUF), TP_ISA)
#define IS_NAN(x) ((x) != (x))

enum { SUM_LANES = 16, SUM_CHAINS = 4 }; /* lanes.inc */

#endif
