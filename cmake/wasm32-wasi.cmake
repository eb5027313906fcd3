# WebAssembly with WASI as its system: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/<this file> ...  ctest then runs the programs
# in node; -DGRULET_COMPILER_HAS_simd128=OFF leaves the vectors out, for engines without them.
# Debian: clang lld wasi-libc libclang-rt-<major version of clang>-dev-wasm32 nodejs
set(CMAKE_SYSTEM_NAME Generic) # older versions of CMake have no WASI
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_C_COMPILER clang)
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
set(CMAKE_SYSROOT /usr)
set(CMAKE_EXECUTABLE_SUFFIX_C .wasm)
# The stack is 64 KB if nothing is said, and grows into the data: at address 0 instead, too much of it is a trap.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,-z,stack-size=1048576,--stack-first)
set(CMAKE_CROSSCOMPILING_EMULATOR node --no-warnings ${CMAKE_CURRENT_LIST_DIR}/../tools/run_wasm.mjs)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
