/* Integer products in plain C99: for any CPU, and the oracle of all others. */
#include "generic/grulet_scalar_lanes.h"
#include "generic/grulet_plain_int4.h"

#define PRODUCTS_TABLE grulet_products_generic

/* Both integer kinds: `element` reads the operand.  Weights lie [group][set][row][4 inputs]. */
#define INTEGER_SUMS(name, element)                                                                                    \
    static void name(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,    \
                     uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums)          \
    {                                                                                                                  \
        const int8_t *weights = (const int8_t *)panel;                                                                 \
        const uint32_t taken = (uint32_t)sets * width;                                                                 \
        (void)frames, (void)row_sums;                                                                                  \
        for (uint32_t first = 0; first < inputs; first += GRULET_SPAN) {                                               \
            const uint32_t end = inputs - first > GRULET_SPAN ? first + GRULET_SPAN : inputs;                          \
            int32_t exact[3 * GRULET_BLOCK_ROWS] = {0};                                                                \
            for (uint32_t i = first; i < end; i += GRULET_GROUP, weights += GRULET_GROUP * (rows - taken)) {           \
                const element *x = (const element *)operands[0] + i;                                                   \
                for (uint32_t row = 0; row < taken; row++, weights += GRULET_GROUP)                                    \
                    exact[row] += x[0] * weights[0] + x[1] * weights[1] + x[2] * weights[2] + x[3] * weights[3];       \
            }                                                                                                          \
            for (uint32_t row = 0; row < taken; row++) {                                                               \
                float *sum = sums[0] + row / width * GRULET_BLOCK_ROWS + row % width;                                  \
                *sum = first ? *sum + (float)exact[row] : (float)exact[row];                                           \
            }                                                                                                          \
        }                                                                                                              \
    }

INTEGER_SUMS(sum_int8_int16, int16_t)
INTEGER_SUMS(sum_int8_int8, int8_t)

#include "grulet_products_body.h"
