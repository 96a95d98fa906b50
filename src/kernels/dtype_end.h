/* dtype_end.h -- forgets the dtype before, for the next dtype_*.h. */
#undef T
#undef SUF
#undef FLOATS
#undef T_MAX
#undef T_TINY
#undef T_ABS
#undef T_SQRT
#undef T_FLOOR
#undef T_CEIL
#undef T_TRUNC
#undef T_RINT
#undef T_FMA
#undef T_INDEX
