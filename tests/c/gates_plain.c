/* The static functions of grulet_vector_ops.c, made visible to gates.c. */
#include "grulet_vector_ops.c"

#include "gates.h"

static float elu_of_1(float x) { return elu(x, 1.0f); }

#define OVER(function)                                                                                                 \
    static void over_##function(float *y, const float *x, uint32_t n)                                                  \
    {                                                                                                                  \
        for (uint32_t i = 0; i < n; i++) y[i] = function(x[i]);                                                        \
    }
OVER(sigmoid)
OVER(tanh_gate)
OVER(exponential)
OVER(to_finite)
OVER(logarithm)
OVER(square_root)
OVER(softplus)
OVER(elu_of_1)

const gates_table gates_plain = {
    {over_sigmoid, over_tanh_gate, over_exponential, over_to_finite, over_logarithm, over_square_root, over_softplus,
     over_elu_of_1}};
