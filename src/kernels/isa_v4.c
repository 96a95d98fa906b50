/* isa_v4.c -- all kernels for x86-64-v4: AVX-512 (F, BW, CD, DQ, VL). */
#define TABLE tp__kernels_v4
#define LEVEL TP__ISA_V4
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512DQ__ && defined __AVX512VL__
#define TP_ISA_LEVEL 4
#else
#define TP_ISA_LEVEL 0
#endif
#include "kernels/isa.inc"
