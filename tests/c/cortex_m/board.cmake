# The tests as programs for one of qemu's boards: where its memory lies, a start, and newlib's files through semihosting.
# Code lies where the CPU starts; data, heap and stack in 16 MB of another memory.
set(code_mps2-an385 0x00000000)
set(code_mps2-an386 0x00000000)
set(code_mps2-an500 0x00000000)
set(code_mps2-an505 0x10000000) # the CPU starts in secure state, here the secure view of the same memory
set(code_mps3-an547 0x00000000)
set(data_mps2-an385 0x21000000)
set(data_mps2-an386 0x21000000)
set(data_mps2-an500 0x60000000)
set(data_mps2-an505 0x80000000)
set(data_mps3-an547 0x60000000)

add_library(cortex_m OBJECT ${CMAKE_CURRENT_LIST_DIR}/start.c)
target_link_options(cortex_m INTERFACE -nostartfiles --specs=rdimon.specs -T ${CMAKE_CURRENT_LIST_DIR}/board.ld
  LINKER:--defsym=CODE=${code_${board_${GRULET_CORTEX}}} LINKER:--defsym=DATA=${data_${board_${GRULET_CORTEX}}})
