# What `cmake --install` puts where: the program, both libraries, the public headers, a pkg-config file and a CMake package.

install(TARGETS duet_shared duet_static
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET duet)
  install(TARGETS duet RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/duet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/duet FILES_MATCHING PATTERN "*.yaml")

# duet.pc finds the prefix from where it lies, so that an installed tree may be moved: one ".." per part of its folder.
string(REGEX REPLACE "[^/]+" ".." duet_pc_up "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
configure_file(cmake/duet.pc.in duet.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/duet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CMakePackageConfigHelpers)
set(duet_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/duet)
configure_package_config_file(cmake/duet-config.cmake.in duet-config.cmake INSTALL_DESTINATION ${duet_package_folder}
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(duet-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/duet-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/duet-config-version.cmake
        DESTINATION ${duet_package_folder})
