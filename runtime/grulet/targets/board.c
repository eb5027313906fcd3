/* Counts instructions and measures stacks on one of qemu's boards: for each model and each kernel it prints
 *
 *     model KERNEL STATUS WRONG OPEN_STACK STEP_STACK TICKS FRAMES
 *
 * WRONG: frames whose answer has not the expected bits; stacks in bytes; TICKS of SysTick for FRAMES steps.  Under qemu's
 * `-icount shift=0` every instruction takes 1 ns, so a tick is a known number of instructions. */
#include "grulet.h"

#include <string.h>

/* Made by emulation.py. */
struct measured_model {
    const void *file;
    uint32_t bytes, frames, inputs, outputs;
    const float *x, *y;
};
extern const struct measured_model measured_models[];
extern const uint32_t measured_count;
extern unsigned char free_memory[], stack_top[];

enum { STACK = 65536, PAINTED = 32768, TICK_MASK = 0xFFFFFF };
#define REGISTER(address) (*(volatile uint32_t *)(address))
#define TICK_CONTROL REGISTER(0xE000E010u)
#define TICK_RELOAD REGISTER(0xE000E014u)
#define TICK REGISTER(0xE000E018u)
#define CONFIGURATION_CONTROL REGISTER(0xE000ED14u)
#define FPU_ACCESS REGISTER(0xE000ED88u)

/* ---- what an operating system would do ----------------------------------------------------------------------------- */

enum { SYS_WRITE0 = 4, SYS_EXIT = 0x18, APPLICATION_EXIT = 0x20026 };
static void semihosting(int operation, uint32_t argument)
{
    register int r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}
static void print(const char *text) { semihosting(SYS_WRITE0, (uint32_t)(uintptr_t)text); }
static void print_number(uint64_t number)
{
    char text[24], *at = text + sizeof text;
    *--at = 0;
    do *--at = (char)('0' + number % 10); while (number /= 10);
    print(" ");
    print(at);
}
static void stop(void)
{
    semihosting(SYS_EXIT, APPLICATION_EXIT);
    for (;;) {}
}
static void fault(void)
{
    print("FAULT\n");
    stop();
}

/* ---- measuring ----------------------------------------------------------------------------------------------------- */

static const uint32_t PAINT = 0xC5C5C5C5u;
#define STACK_POINTER(pointer) __asm__ volatile("mov %0, sp" : "=r"(pointer) : : "memory")
/* Nothing is called between painting and looking but what is measured: the paint begins where the stack ends. */
#define PAINT_BELOW(pointer) for (uint32_t *w = (pointer); w > (pointer) - PAINTED / 4;) *(volatile uint32_t *)--w = PAINT
static uint32_t used_below(const volatile uint32_t *pointer)
{
    const volatile uint32_t *word = pointer - PAINTED / 4;
    while (*word == PAINT) word++;
    return (uint32_t)((pointer - word) * sizeof *word);
}

static void measure(const struct measured_model *m)
{
    static grulet_model model;
    float *const y = (float *)(void *)free_memory;
    unsigned char *const memory = free_memory + (m->outputs * sizeof(float) + 63) / 64 * 64;
    grulet_stream *stream;
    grulet_status status;
    uint32_t *pointer, open_stack, step_stack = 0, wrong = 0, now, last;
    const size_t room = (size_t)(stack_top - STACK - memory);
    uint64_t ticks = 0;
    STACK_POINTER(pointer);
    PAINT_BELOW(pointer);
    status = grulet_model_open(&model, m->file, m->bytes);
    if (status == GRULET_OK) status = grulet_stream_init(&stream, memory, room, &model, 1);
    open_stack = used_below(pointer);
    for (uint32_t f = 0; status == GRULET_OK && f < m->frames; f++) {
        uint32_t used;
        PAINT_BELOW(pointer);
        status = grulet_step(stream, y, m->x + f * m->inputs);
        used = used_below(pointer);
        if (used > step_stack) step_stack = used;
        wrong += memcmp(y, m->y + f * m->outputs, m->outputs * sizeof(float)) != 0;
    }
    if (status == GRULET_OK) {
        grulet_stream_reset(stream);
        last = TICK;
        for (uint32_t f = 0; f < m->frames; f++, last = now) {
            (void)grulet_step(stream, y, m->x + f * m->inputs);
            now = TICK; /* counts down */
            ticks += (last - now) & TICK_MASK;
        }
    }
    print_number((uint64_t)status);
    print_number(wrong);
    print_number(open_stack);
    print_number(step_stack);
    print_number(ticks);
    print_number(m->frames);
    print("\n");
}

/* `reset` keeps this from being inlined there: the FPU must be on before anything of it. */
__attribute__((noinline, used)) static void measure_all(void)
{
    const char *kernel;
    TICK_RELOAD = TICK_MASK;
    TICK = 0;
    TICK_CONTROL = 5; /* on, by the CPU's clock, without interrupts */
    for (uint32_t m = 0; m < measured_count; m++)
        for (size_t k = 0; (kernel = grulet_isa_name(k)) != NULL; k++) {
            (void)grulet_isa_use(kernel);
            print_number(m);
            print(" ");
            print(kernel);
            measure(&measured_models[m]);
        }
    stop();
}

void reset(void);
void reset(void)
{
#ifndef __ARM_FEATURE_UNALIGNED
    CONFIGURATION_CONTROL |= 1u << 3; /* what this CPU does not know, a larger one that stands in must refuse */
#endif
#ifdef __ARM_FP
    FPU_ACCESS |= 0xFu << 20;
#endif
    __asm__ volatile("dsb\n isb\n bl measure_all" ::: "memory");
}

/* The initial stack pointer, then: reset, NMI, hard fault, memory, bus, usage, secure fault. */
__attribute__((section(".vectors"), used)) static const struct { void *stack; void (*handlers[7])(void); } VECTORS = {
    stack_top, {reset, fault, fault, fault, fault, fault, fault}};
