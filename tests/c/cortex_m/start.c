/* From reset to main on one of qemu's boards, and back with main's answer.  Files, printf and malloc are newlib's, whose
 * librdimon asks the debugger, here qemu, to do what an operating system would ("semihosting").
 *
 * A program compiled for the M0+ must do without unaligned accesses: here they fault, although this CPU knows them. */
#include <stdint.h>
#include <stdlib.h>

int main(int count, char **arguments);
void initialise_monitor_handles(void); /* librdimon's: opens stdin, stdout and stderr */
void Reset_Handler(void);
void Fault_Handler(void);
void _fini(void);

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CONFIGURATION_CONTROL REGISTER(0xE000ED14u)
#define FAULT_STATUS REGISTER(0xE000ED28u)
#define FPU_ACCESS REGISTER(0xE000ED88u)

enum { SYS_WRITE0 = 4, SYS_GET_CMDLINE = 0x15, SYS_EXIT = 0x18, RUN_TIME_ERROR = 0x20023 };
static int semihosting(int operation, uint32_t argument)
{
    register int r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* qemu joins the arguments with blanks; here they are parted again. */
static int split(char *line, char **arguments, int most)
{
    int count = 0;
    while (*line && count < most) {
        arguments[count++] = line;
        while (*line && *line != ' ') line++;
        while (*line == ' ') *line++ = 0;
    }
    return count;
}

__attribute__((used, noreturn)) static void run_main(void)
{
    static char line[4096], *arguments[16];
    uint32_t block[2] = {(uint32_t)(uintptr_t)line, sizeof line};
    initialise_monitor_handles();
    if (semihosting(SYS_GET_CMDLINE, (uint32_t)(uintptr_t)block) != 0) {
        semihosting(SYS_WRITE0, (uint32_t)(uintptr_t)"the arguments are longer than start.c allows\n");
        exit(2);
    }
    exit(main(split(line, arguments, 16), arguments));
}

void _fini(void) {} /* exit calls it, the compiler's start files, which are left out, would bring it */

void Reset_Handler(void)
{
#ifndef __ARM_FEATURE_UNALIGNED
    CONFIGURATION_CONTROL |= 1u << 3;
#endif
#ifdef __ARM_FP
    FPU_ACCESS |= 0xFu << 20;
#endif
    __asm__ volatile("dsb\n isb\n bl run_main" ::: "memory"); /* nothing of main may move up to before the FPU is on */
}

/* The CPU has pushed r0-r3, r12, lr and pc. */
__attribute__((used)) static void report_fault(const uint32_t *pushed)
{
    char text[] = "FAULT at ........, status ........\n";
    const uint32_t numbers[2] = {pushed[6], FAULT_STATUS};
    const int places[2] = {9, 26};
    for (int n = 0; n < 2; n++)
        for (int digit = 0; digit < 8; digit++)
            text[places[n] + digit] = "0123456789abcdef"[numbers[n] >> (28 - 4 * digit) & 15];
    semihosting(SYS_WRITE0, (uint32_t)(uintptr_t)text);
    semihosting(SYS_EXIT, RUN_TIME_ERROR);
}

__attribute__((naked)) void Fault_Handler(void) { __asm__ volatile("mov r0, sp\n bl report_fault"); }

/* The initial stack pointer, then: reset, NMI, hard fault, memory, bus, usage, secure fault. */
extern char __stack[]; /* the linker script's */
__attribute__((section(".vectors"), used)) static const struct { void *stack; void (*handlers[7])(void); } VECTORS = {
    __stack, {Reset_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler}};
