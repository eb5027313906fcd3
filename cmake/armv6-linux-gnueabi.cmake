# 32-bit ARM Linux on ARMv6 with VFP (the first Raspberry Pi, Pi Zero), built elsewhere:
# cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> ...  ctest then runs the programs under qemu-user; QEMU_CPU in the
# environment chooses the CPU (arm1176: those boards').  Functions get floats in integer registers, as Debian's armel wants.
# The NEON kernel is built as well and chosen where the CPU has it (the same card in a later board).
# Debian: gcc-arm-linux-gnueabi libc6-dev-armel-cross qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv6)
set(CMAKE_C_COMPILER arm-linux-gnueabi-gcc)
set(CMAKE_C_FLAGS_INIT "-march=armv6 -mfpu=vfp -mfloat-abi=softfp")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm -L /usr/arm-linux-gnueabi)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
