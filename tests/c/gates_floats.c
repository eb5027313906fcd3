/* The static functions of one kernel's floats, made visible to gates.c.  Compiled once for each kind of vectors, with
 * GATES_FLOATS the file, GATES_TABLE the name of the table to define, and that file's flags. */
#include GATES_FLOATS

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
    {over_sigmoid, over_tanh_gate, over_exponential, over_to_finite, NULL, NULL, NULL, NULL}};
