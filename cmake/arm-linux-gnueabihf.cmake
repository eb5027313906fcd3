# 32-bit ARM Linux (ARMv7, hardware floats), built elsewhere: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> ...  ctest
# then runs the programs under qemu-user; QEMU_CPU in the environment chooses the CPU (cortex-a7, max).
# Debian: gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm -L /usr/arm-linux-gnueabihf)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
