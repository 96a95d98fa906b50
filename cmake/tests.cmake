# Every tests/test_*.c (cmocka, with the library's internals), every tests/*.bats (the programs on
# PATH), every example and every C block of the docs is tested by ctest. All speak TAP, so that
# scripts/test can count cases. Tests of the shipped whole (label `package`) have no sanitized form.
enable_testing()
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
find_program(BATS bats)
if(NOT CMOCKA_FOUND OR NOT BATS)
    message(FATAL_ERROR "The tests need cmocka and bats: `scripts/bootstrap --test` installs them, "
                        "-DTAPER_TESTS=OFF builds without tests.")
endif()

set(test_environment TAPER_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR} TAPER_BUILD_DIR=${CMAKE_BINARY_DIR}
                     CMOCKA_MESSAGE_OUTPUT=TAP)
set(test_seconds 600)
if(TAPER_SANITIZE MATCHES thread) # kernels run ten times slower, or worse
    set(test_seconds 2400)
endif()
function(taper_test name label) # command...
    add_test(NAME ${name} COMMAND ${ARGN})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${test_seconds}
                         ENVIRONMENT "${test_environment}")
endfunction()

file(GLOB support CONFIGURE_DEPENDS tests/support.c)
file(GLOB sources CONFIGURE_DEPENDS tests/test_*.c)
foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source} ${support})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_compile_definitions(${name} PRIVATE TAPER_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
    target_compile_options(${name} PRIVATE -UNDEBUG)
    target_include_directories(${name} PRIVATE tests)
    target_link_libraries(${name} PRIVATE taper-flags taper-static PkgConfig::CMOCKA)
    taper_test(${name} unit ${name})
    file(STRINGS ${source} injects REGEX "tp__alloc_fail_at|tpt_fail_each_allocation")
    if(injects)
        set_tests_properties(${name} PROPERTIES LABELS "unit;oom")
    endif()
endforeach()

target_link_options(test_bits PRIVATE LINKER:--wrap=tp__parallel) # which counts tiles
target_link_options(test_threads PRIVATE LINKER:--wrap=tp__os_now) # a clock of its own
target_link_options(test_processors PRIVATE # which has workers on their caller's processor
                    LINKER:--wrap=sched_getcpu,--wrap=sched_setaffinity,--wrap=sched_yield)
foreach(name test_threads test_processors) # and which may have them awake late
    target_link_options(${name} PRIVATE LINKER:--wrap=pthread_cond_wait)
    taper_test(${name}_late unit ${name} 300)
endforeach()

# A fuzz target without a fuzzer, on its corpus (tests/corpus/NOUN) and on damaged copies of that.
file(GLOB sources CONFIGURE_DEPENDS tests/fuzz_*.c)
foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    string(REPLACE fuzz_ "" noun ${name})
    add_executable(replay_${noun} ${source} tests/replay.c)
    set_target_properties(replay_${noun} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_compile_options(replay_${noun} PRIVATE -UNDEBUG)
    target_link_libraries(replay_${noun} PRIVATE taper-flags taper-static)
    taper_test(replay_${noun} unit replay_${noun} ${CMAKE_CURRENT_SOURCE_DIR}/tests/corpus/${noun})
endforeach()

# The built programs come first on PATH.
function(taper_bats script label)
    get_filename_component(name ${script} NAME_WE)
    taper_test(${name} ${label} sh -c "PATH=\"$1:$PATH\" exec \"$2\" --tap \"$3\"" sh
               ${CMAKE_BINARY_DIR} ${BATS} ${script})
    set_tests_properties(${name} PROPERTIES COST 100) # the longest ones, so they begin first
endfunction()
file(GLOB scripts CONFIGURE_DEPENDS tests/*.bats)
foreach(script ${scripts})
    taper_bats(${script} cli)
endforeach()

# An example with an expected output beside it is run.
foreach(name ${examples})
    file(GLOB expected CONFIGURE_DEPENDS examples/${name}.txt)
    if(expected)
        taper_test(example-${name} example ${CMAKE_CURRENT_SOURCE_DIR}/tests/example
                   $<TARGET_FILE:example-${name}> ${expected})
    endif()
endforeach()

if(NOT TAPER_SANITIZE)
    file(GLOB scripts CONFIGURE_DEPENDS tests/package/*.bats)
    foreach(script ${scripts})
        taper_bats(${script} package)
    endforeach()
    taper_test(pages package ${CMAKE_CURRENT_SOURCE_DIR}/tests/docs.py ${CMAKE_BINARY_DIR})
    # Does every row of the benchmarks work, and a peer in another process where there is one?
    taper_test(bench package ${CMAKE_CURRENT_SOURCE_DIR}/tests/bench $<TARGET_FILE:taper-bench>)
endif()
