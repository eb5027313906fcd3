/* Integer products of 32-bit ARM with the DSP extension: Cortex-M4, M7, M33, and ARMv6.
 *
 * SXTB16 makes bytes 0 and 2 of a word of weights a pair of 16 bits, rotated by a byte 1 and 3; with the levels in that
 * order (grulet_dsp_int4.h), of both widths as int16, SMLAD does two products at a time. */
#ifndef __ARM_FEATURE_SIMD32
#error "this file needs a CPU with the DSP extension, for example -mcpu=cortex-m4"
#endif
#include "generic/grulet_scalar_lanes.h"

#include "arm/grulet_dsp_int4.h"

#define PRODUCTS_TABLE grulet_products_dsp

#define put_int16 put_paired
#define put_int8(operand, i, level) put_paired(operand, 0, i, level)

KERNEL_INLINE int32_t even_bytes(uint32_t word) { return __sxtb16((int32_t)word); }
KERNEL_INLINE int32_t odd_bytes(uint32_t word)
{
    int32_t pair; /* GCC does not see that the instruction rotates for nothing */
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

/* PASS_ROWS rows of a set of int8 weights through `groups` groups. */
KERNEL_INLINE void pass_int8(int32_t *exact, const unsigned char *weights, uint32_t group_bytes, const int16_t *x,
                             uint32_t groups)
{
    int32_t sums[PASS_ROWS] = {0, 0, 0, 0};
    for (; groups; groups--, weights += group_bytes, x += GRULET_GROUP) {
        const int32_t x_even = pair_at(x), x_odd = pair_at(x + 2);
        UNROLL
        for (int row = 0; row < PASS_ROWS; row++) {
            const uint32_t w = word_at(weights + GRULET_GROUP * row);
            sums[row] = __smlad(even_bytes(w), x_even, sums[row]);
            sums[row] = __smlad(odd_bytes(w), x_odd, sums[row]);
        }
    }
    UNROLL
    for (int row = 0; row < PASS_ROWS; row++) exact[row] = sums[row];
}

static void sum_int8_int16(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                           uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums)
{
    const int16_t *x = (const int16_t *)operands[0];
    (void)frames, (void)row_sums;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN, panel += GRULET_SPAN * rows) {
        uint32_t span = inputs - first;
        if (span > GRULET_SPAN) span = GRULET_SPAN;
        for (uint32_t row = 0; row < (uint32_t)sets * width; row += PASS_ROWS) {
            int32_t exact[PASS_ROWS];
            pass_int8(exact, panel + GRULET_GROUP * row, GRULET_GROUP * rows, x + first,
                      (span + GRULET_GROUP - 1) / GRULET_GROUP);
            add_span(sums[0] + row / width * GRULET_BLOCK_ROWS + row % width, exact, first);
        }
    }
}
#define sum_int8_int8 sum_int8_int16

#include "grulet_products_body.h"
