# Bare metal on ARM Cortex-M: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> -DGRULET_CORTEX=m4 ...
# GRULET_CORTEX is m0plus (no FPU: floats in software), m4, m7, m33 or m55 (floats in the FPU, passed in its registers).
# What is linked with the library must be compiled with the same flags of the two tables' first lines.
# ctest then runs the tests on an emulated board; files and arguments go through semihosting.
# Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_CXX_COMPILER arm-none-eabi-g++)
set(CMAKE_EXECUTABLE_SUFFIX_C .elf)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # without a board there is nothing to link with
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GRULET_CORTEX)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

# The FPUs are those that every such chip with one has: single precision.
set(flags_m0plus "-mcpu=cortex-m0plus -mfloat-abi=soft")
set(flags_m4 "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard")
set(flags_m7 "-mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard")
set(flags_m33 "-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard")
set(flags_m55 "-mcpu=cortex-m55 -mfloat-abi=hard") # with Helium, its vectors

# What qemu has of each: its boards have megabytes.  It has none with an M0+: the M3, which knows all instructions of the
# M0+ and has no FPU either, stands in.
set(board_m0plus mps2-an385)
set(board_m4 mps2-an386)
set(board_m7 mps2-an500)
set(board_m33 mps2-an505)
set(board_m55 mps3-an547)

set(GRULET_CORTEX "" CACHE STRING "The CPU: m0plus, m4, m7, m33 or m55")
if(NOT DEFINED flags_${GRULET_CORTEX})
  message(FATAL_ERROR "GRULET_CORTEX is '${GRULET_CORTEX}': say -DGRULET_CORTEX=m0plus, m4, m7, m33 or m55")
endif()
set(CMAKE_SYSTEM_PROCESSOR cortex-${GRULET_CORTEX})
set(CMAKE_C_FLAGS_INIT "-mthumb ${flags_${GRULET_CORTEX}}")
set(CMAKE_CXX_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_CROSSCOMPILING_EMULATOR ${CMAKE_CURRENT_LIST_DIR}/../tools/run_cortex_m.sh ${board_${GRULET_CORTEX}})
