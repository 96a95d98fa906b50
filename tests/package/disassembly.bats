# What the compiler made of the kernels: vectors as wide as each level has, and fused multiply-adds.
load ../support

# Instructions of the largest micro-kernel of the objects of level $1.
micro_kernel() { # level rows
    need_command objdump
    object=$TAPER_BUILD_DIR/CMakeFiles/taper-kernels-$1.dir/src/kernels/isa_gemm.c.o
    objdump -d --no-show-raw-insn "$object" |
        awk -v name="<plain_PACKED_$2_2_f32>:" '$2 == name { on = 1; next } /^$/ { on = 0 } on' \
            >"$BATS_TEST_TMPDIR/$1"
    [ -s "$BATS_TEST_TMPDIR/$1" ]
}

# Lines of level $1 that match $2.
count() { # level pattern
    grep -cE "$2" "$BATS_TEST_TMPDIR/$1" || true
}

@test "at v4 the kernel of matrix products consists of multiply-adds of 512 bits" {
    micro_kernel v4 14
    [ "$(count v4 'vfmadd[0-9]+ps.*%zmm')" -ge 28 ]
    [ "$(count v4 'v(mul|add)ps.*%[xy]mm')" = 0 ]
}

@test "at v3 they are of 256 bits" {
    micro_kernel v3 6
    [ "$(count v3 'vfmadd[0-9]+ps.*%ymm')" -ge 12 ]
    [ "$(count v3 '%zmm')" = 0 ]
}

@test "at the base level there are none, and no register that it lacks" {
    micro_kernel base 6
    [ "$(count base 'vfmadd|%[yz]mm')" = 0 ]
    [ "$(count base 'mulps')" -ge 12 ]
}
