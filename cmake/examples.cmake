# Every examples/*.c and *.cpp, compiled as its reader would: against the public headers and library.
# They go to build/examples/; `examples` lists their names.
include(CheckLanguage)
check_language(CXX)
file(GLOB sources CONFIGURE_DEPENDS examples/*.c)
if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
    set(CMAKE_CXX_STANDARD 17)
    set(CMAKE_CXX_EXTENSIONS OFF)
    file(GLOB more CONFIGURE_DEPENDS examples/*.cpp)
    list(APPEND sources ${more})
endif()

pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
set(examples)
foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    list(APPEND examples ${name})
    add_executable(example-${name} ${source})
    set_target_properties(example-${name} PROPERTIES OUTPUT_NAME ${name}
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/examples)
    target_compile_options(example-${name} PRIVATE -Wall -Wextra -Wpedantic -UNDEBUG
                           $<$<BOOL:${TAPER_WERROR}>:-Werror>)
    target_link_libraries(example-${name} PRIVATE taper m)
    if(name STREQUAL pictures) # writes PNG files
        target_link_libraries(example-${name} PRIVATE PkgConfig::PNG)
    endif()
endforeach()
