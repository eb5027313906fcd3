/* The static functions of one kernel, made visible to gates.c.  Compiled once for each instruction set with
 * GATES_KERNEL the kernel's file, GATES_TABLE the name of the table to define, and that file's flags. */
#include GATES_KERNEL

#include "gates.h"

#define OVER(function)                                                                                                 \
    static void over_##function(float *y, const float *x, uint32_t n)                                                  \
    {                                                                                                                  \
        for (uint32_t i = 0; i < n; i += LANES) store_upto(y + i, function(load_upto(x + i, n - i)), n - i);           \
    }
OVER(sigmoid)
OVER(tanh_gate)
OVER(exponential)
OVER(to_finite)

const gates_table GATES_TABLE = {
    KERNEL_NAME, KERNEL_USABLE, {over_sigmoid, over_tanh_gate, over_exponential, over_to_finite, NULL, NULL, NULL, NULL}};
