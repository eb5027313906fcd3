# A big-endian Linux (IBM Z), built elsewhere: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> ...  grulet's files are
# little-endian and run in place, so here they are refused, and ctest sees to it under qemu-user.
# Debian: gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR s390x)
set(CMAKE_C_COMPILER s390x-linux-gnu-gcc)
set(CMAKE_C_FLAGS_INIT "-fexcess-precision=fast") # float sums in float, not in double as ISO C may there
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-s390x -L /usr/s390x-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
