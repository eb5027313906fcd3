# What makes grulet a package: the target grulet::grulet, cmake --install, find_package(grulet) and pkg-config.
file(STRINGS ${PROJECT_SOURCE_DIR}/c_src/grulet.h version REGEX "define GRULET_VERSION") # the one place that says it
string(REGEX MATCH "([0-9]+\\.[0-9]+)\\.[0-9]+" GRULET_VERSION "${version}")

# SOVERSION: before 1.0 every minor version may change the functions.  The shared library exports what grulet.h declares.
set_target_properties(grulet_core PROPERTIES
  OUTPUT_NAME grulet EXPORT_NAME grulet VERSION ${GRULET_VERSION} SOVERSION ${CMAKE_MATCH_1}
  DEFINE_SYMBOL GRULET_BUILDS_SHARED WINDOWS_EXPORT_ALL_SYMBOLS ON)
add_library(grulet::grulet ALIAS grulet_core)

# Code and constants in one segment: two page-aligned ones are up to 8 KB of nothing.
include(CheckLinkerFlag)
check_linker_flag(C -Wl,-z,noseparate-code GRULET_LINKER_HAS_NOSEPARATE_CODE)
if(BUILD_SHARED_LIBS AND GRULET_LINKER_HAS_NOSEPARATE_CODE)
  target_link_options(grulet_core PRIVATE -Wl,-z,noseparate-code)
endif()

if(BUILD_SHARED_LIBS AND GRULET_BUILD_TESTS)
  message(FATAL_ERROR "The C tests look inside the library, which a shared one hides: set BUILD_SHARED_LIBS to OFF for them")
endif()

set(install OFF)
if(CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR AND NOT SKBUILD) # neither a part of another project nor a wheel
  set(install ON)
endif()
option(GRULET_INSTALL "Install library, headers, CMake and pkg-config files" ${install})
if(GRULET_INSTALL)
  include(CMakePackageConfigHelpers)
  include(GNUInstallDirs)
  install(FILES c_src/grulet.h c_src/grulet.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(TARGETS grulet_core EXPORT grulet INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/grulet)
  install(EXPORT grulet NAMESPACE grulet:: FILE grulet-targets.cmake DESTINATION ${cmake_folder})
  write_basic_package_version_file(grulet-config-version.cmake VERSION ${GRULET_VERSION} COMPATIBILITY SameMinorVersion)
  install(FILES cmake/grulet-config.cmake ${PROJECT_BINARY_DIR}/grulet-config-version.cmake DESTINATION ${cmake_folder})

  # Paths start from where the .pc file lies, so that the installed folder may be moved.
  set(pkgconfig_folder ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
  file(RELATIVE_PATH GRULET_TO_INCLUDE ${pkgconfig_folder} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
  configure_file(cmake/grulet.pc.in grulet.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/grulet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
