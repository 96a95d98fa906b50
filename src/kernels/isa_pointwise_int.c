/* isa_pointwise_int.c -- elementwise loops of int64 and uint8, and those of uint8 that bool has. */
#include "kernels/loops.h"
#include "kernels/numbers.h"

#define INT_clamp(yes, no) yes /* rows of PARAM that integers have */
#define INT_leaky_relu(yes, no) no
#define INT_elu(yes, no) no

#include "kernels/dtype_i64.h"
#include "kernels/pointwise.inc"

#include "kernels/dtype_u8.h"
#include "kernels/pointwise.inc"

#define BOOL_add run_bitwise_or_u8 /* rows of BINARY_NUM that bool has: its values are 0 and 1 */
#define BOOL_sub NULL
#define BOOL_mul run_bitwise_and_u8
#define BOOL_pow NULL
#define BOOL_maximum run_bitwise_or_u8
#define BOOL_minimum run_bitwise_and_u8
#define BOOL_remainder NULL
#define BOOL_floor_divide NULL

#define ROW(name, ...) [TP__PW_##name] = run_##name##_u8,
#define NO_ROW(name, ...)
const tp__pw_table EXPORT_AS(pointwise_bool) = {
    .forward =
        {
#define UNARY NO_ROW
#define UNARY_NUM NO_ROW
#define TEST ROW
#define BINARY NO_ROW
#define BINARY_NUM(name, ...) [TP__PW_##name] = BOOL_##name,
#define COMPARE ROW
#define BITWISE ROW
#define PARAM NO_ROW
#include "kernels/pointwise.def"
            [TP__PW_sign] = run_sign_u8,
            [TP__PW_where] = run_where_u8,
        },
};
