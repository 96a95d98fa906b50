/* isa_v3.c -- all kernels for x86-64-v3: AVX2 and FMA. */
#define TABLE tp__kernels_v3
#define LEVEL TP__ISA_V3
#if defined __AVX2__ && defined __FMA__
#define TP_ISA_LEVEL 3
#else
#define TP_ISA_LEVEL 0
#endif
#include "kernels/isa.inc"
