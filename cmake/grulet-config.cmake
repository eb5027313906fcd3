# What find_package(grulet) reads: it defines the target grulet::grulet, which needs no other package.
include(${CMAKE_CURRENT_LIST_DIR}/grulet-targets.cmake)
