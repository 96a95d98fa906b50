# What `cmake --install` puts where: headers, both libraries, the programs, taper.pc, find_package(taper).
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/taper)
file(RELATIVE_PATH lib_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS taper EXPORT taper LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS taper-static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(programs)
    set_target_properties(${programs} PROPERTIES INSTALL_RPATH "\$ORIGIN/${lib_from_bin}")
    install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(EXPORT taper NAMESPACE taper:: FILE taperConfig.cmake DESTINATION ${package_dir})
write_basic_package_version_file(taperConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/taperConfigVersion.cmake DESTINATION ${package_dir})

# Relative paths, so that the installed tree can be moved, as the exported package can.
set(pc_dir ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc ${pc_dir} ${CMAKE_INSTALL_PREFIX})
file(RELATIVE_PATH include_from_prefix ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
string(REPLACE ";" " " needs_text "${needs}")
configure_file(cmake/taper.pc.in taper.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/taper.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
