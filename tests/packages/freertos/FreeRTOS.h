/* A stand-in: what docs/embedding.md uses of FreeRTOS, so that its task can be compiled. */
#include <stddef.h>
#include <stdint.h>

typedef long BaseType_t;
typedef uintptr_t StackType_t;
typedef struct { void *state[16]; } StaticTask_t;
#define pdFALSE 0
#define pdTRUE 1
#define portMAX_DELAY UINT32_MAX
#define portYIELD_FROM_ISR(woken) ((void)(woken))
