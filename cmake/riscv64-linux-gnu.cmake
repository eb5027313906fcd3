# 64-bit RISC-V Linux (RV64GC: scalar code), built elsewhere: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> ...  ctest
# then runs the programs under qemu-user.
# Debian: gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(CMAKE_C_COMPILER riscv64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-riscv64 -L /usr/riscv64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
