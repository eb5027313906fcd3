/* Runs a bundle's main and measures its stack.  main.c is compiled with -Dmain=bundle_main -Dprintf=report: it prints once,
 * at its end, and there the stack is looked at, before anything is printed. */
#include "grulet.h"
#include "model.h"

#include <stdarg.h>
#include <stdio.h>

int bundle_main(void);
int report(const char *format, ...);

enum { WORDS = 4096 };
static const uint32_t PAINT = 0xC5C5C5C5u;
static volatile uint32_t *bottom, *top;

int report(const char *format, ...)
{
    const volatile uint32_t *used = bottom;
    va_list arguments;
    int printed;
    while (*used == PAINT) used++;
    va_start(arguments, format);
    printed = vprintf(format, arguments);
    va_end(arguments);
    printf("stack %u bytes\n", (unsigned)((top - used) * sizeof *used));
    return printed;
}

int main(void)
{
    grulet_model model;
    if (grulet_model_open(&model, grulet_file, sizeof grulet_file) != GRULET_OK) return 2;
    printf("stream %u bytes\n", (unsigned)grulet_stream_bytes(&model, GRULET_BLOCK));
    top = (volatile uint32_t *)__builtin_frame_address(0) - 16;
    bottom = top - WORDS;
    for (volatile uint32_t *word = bottom; word < top; word++) *word = PAINT;
    return bundle_main();
}
