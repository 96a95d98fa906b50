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

# x86-64-v3 and -v4, spelled out for compilers that do not know those names yet.
set(v3 -mavx -mavx2 -mfma -mbmi -mbmi2 -mf16c -mlzcnt -mmovbe)
set(v4 ${v3} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mprefer-vector-width=512)

# The kernels: -O3 unless this is a debugging build, and one file per instruction set. Neither errno
# nor the floating-point exception flags are part of a kernel's result.
function(taper_kernel_flags room)
    file(GLOB kernels CONFIGURE_DEPENDS ${room}/*.c)
    set(common -fwrapv -fno-math-errno -fno-trapping-math $<$<NOT:$<CONFIG:Debug>>:-O3>
               $<$<C_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>) # a loop need not become vectors
    foreach(file ${kernels})
        set(flags ${common})
        if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
            if(file MATCHES "/isa_(v3|v4)\\.c$")
                list(APPEND flags ${${CMAKE_MATCH_1}})
            endif()
        endif()
        set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${flags}")
    endforeach()
endfunction()
