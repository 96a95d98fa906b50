/* isa_base.c -- all kernels for any x86-64 (SSE2), or for whatever else this is compiled for. */
#define TABLE tp__kernels_base
#define LEVEL TP__ISA_BASE
#define TP_ISA_LEVEL 0
#include "kernels/isa.inc"
