# 64-bit ARM Linux, built elsewhere: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> ...  ctest then runs the
# programs under qemu-user; QEMU_CPU in the environment chooses the CPU (cortex-a53: no dot product, max: everything).
# Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
