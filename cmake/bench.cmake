# taper-bench: bench/run builds and runs it. libxsmm is a peer where it is installed; the others are
# found at run time.
file(GLOB sources CONFIGURE_DEPENDS bench/*.c)
add_executable(taper-bench ${sources})
if(NOT TAPER_TESTS)
    set_target_properties(taper-bench PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
target_compile_definitions(taper-bench PRIVATE TAPER_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}"
                                               TAPER_BUILD_DIR="${CMAKE_BINARY_DIR}")
target_link_libraries(taper-bench PRIVATE taper-flags taper-static PkgConfig::JANSSON ${CMAKE_DL_LIBS})
pkg_check_modules(XSMM libxsmm libxsmmnoblas) # static libraries that need each other
if(XSMM_FOUND)
    target_compile_definitions(taper-bench PRIVATE BENCH_LIBXSMM)
    target_link_libraries(taper-bench PRIVATE -Wl,--start-group ${XSMM_LINK_LIBRARIES} -Wl,--end-group)
endif()
