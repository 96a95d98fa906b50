# How C is compiled here. Results must have the same bits on every machine, so no contraction and
# never -ffast-math; a fused multiply-add stands only where the source says fmaf.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

if(TAPER_SANITIZE)
    add_compile_options(-fsanitize=${TAPER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
                        $<$<C_COMPILER_ID:GNU>:-fno-var-tracking>) # a quarter of the compiler's time
    add_link_options(-fsanitize=${TAPER_SANITIZE})
endif()

add_library(taper-flags INTERFACE)
target_compile_options(taper-flags INTERFACE
    -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow
    $<$<COMPILE_LANGUAGE:C>:-Wconversion -Wno-sign-conversion>
    $<$<BOOL:${TAPER_WERROR}>:-Werror>)

# The instruction sets that kernels are compiled for: x86-64-v3 and -v4, spelled out for compilers that
# do not know those names yet. Other processors have the base alone, under three names.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(avx2 -mavx -mavx2 -mfma -mbmi -mbmi2 -mf16c -mlzcnt -mmovbe)
    set(avx512 -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mprefer-vector-width=512)
    set(flags_v3 ${avx2} -DTP_ISA_LEVEL=3)
    set(flags_v4 ${avx2} ${avx512} -DTP_ISA_LEVEL=4)
endif()

# The kernels: -O3 unless this is a debugging build. Neither errno nor the floating-point exception
# flags are part of a kernel's result. Fuzzing is about files: what it adds to a kernel is minutes of
# the compiler's time.
set(kernel_flags $<$<BOOL:${TAPER_FUZZ}>:-fno-sanitize=all> -fwrapv -fno-math-errno -fno-trapping-math $<$<NOT:$<CONFIG:Debug>>:-O3>
                 $<$<C_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>) # a loop need not become vectors

# Words of the generator are made several at a time.
set_source_files_properties(src/base/rng.c PROPERTIES COMPILE_OPTIONS $<$<NOT:$<CONFIG:Debug>>:-O3>)
