#!/bin/sh
# Runs a bare-metal Cortex-M program as if it were a native one: tools/run_cortex_m.sh BOARD PROGRAM.elf ARGUMENT...
# It gets the arguments and all files through semihosting, and this process ends with its exit status (any but 0 is 1).
board=$1 program=$2
shift 2
line=$(basename "$program")
for argument; do # the program gets one line of them, with blanks between; qemu parts its own options with commas
  case $argument in
    *[\ ,]*) echo "run_cortex_m: arguments cannot hold blanks or commas: $argument" >&2; exit 2 ;;
  esac
  line=$line,arg=$argument
done
exec qemu-system-arm -machine "$board" -display none -monitor none -serial none \
  -semihosting-config "enable=on,target=native,arg=$line" -kernel "$program"
