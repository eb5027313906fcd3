/* int4 weights times levels of both widths with the DSP extension of 32-bit ARM; include the scalar lanes before.
 *
 * SMLAD multiplies two pairs of 16 bits and adds both products to a sum.  The nibbles of a word's bytes 0 and 2 make such a
 * pair with one mask, those of bytes 1 and 3 another: so the levels of a group lie as 0, 2, 1, 3, as int16.  A pass takes
 * four rows through a span, so that their sums stay in registers. */
#ifndef GRULET_DSP_INT4_H
#define GRULET_DSP_INT4_H

#include <arm_acle.h>

enum { PASS_ROWS = 4 }; /* of 13 registers */

KERNEL_INLINE void put_paired(void *operand, uint32_t stride, uint32_t i, vi level)
{
    (void)stride;
    ((int16_t *)operand)[(i & ~3u) | (i & 1) << 1 | (i >> 1 & 1)] = (int16_t)level;
}
#define put_int4(operand, stride, i, level, planes) put_paired(operand, stride, i, level)

/* Nibbles are q + 8: -8 times the sum of its levels is where the sum of each group of 32 inputs begins. */
static void finish_int4(void *operand, uint32_t stride, uint32_t n, const int planes)
{
    int16_t *levels = (int16_t *)operand;
    int32_t *begin = (int32_t *)(void *)(levels + stride);
    const uint32_t end = grulet_round_up(n, GRULET_PAIR);
    (void)planes;
    for (uint32_t i = n; i < end; i++) put_paired(operand, stride, i, 0);
    for (uint32_t first = 0; first < end; first += GRULET_MULTIPLIER_INPUTS) {
        int32_t sum = 0;
        for (uint32_t i = first; i < end && i < first + GRULET_MULTIPLIER_INPUTS; i++) sum += levels[i];
        *begin++ = -8 * sum;
    }
}

KERNEL_INLINE uint32_t word_at(const void *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}
KERNEL_INLINE int32_t pair_at(const int16_t *p) { return (int32_t)word_at(p); }

/* PASS_ROWS rows of a set through `pairs` pairs of groups; `begin` and the multipliers are those of the first 32 inputs.  A
 * word has input j of a pair's first group in the low nibble of byte j, of the second in the high one. */
KERNEL_INLINE void pass_int4(int32_t *exact, const unsigned char *weights, uint32_t pair_bytes, const int16_t *x,
                             uint32_t pairs, const int32_t *begin, const int8_t *multipliers, uint32_t rows)
{
    enum { PAIRS = GRULET_MULTIPLIER_INPUTS / GRULET_PAIR };
    uint32_t nibbles = 0x000F000Fu;
    __asm__("" : "+r"(nibbles)); /* in a register: then shift and mask are one instruction */
    for (int row = 0; row < PASS_ROWS; row++) exact[row] = 0;
    for (uint32_t first = 0; first < pairs; first += PAIRS, multipliers += rows) {
        uint32_t left = pairs - first;
        int32_t sums[PASS_ROWS];
        if (left > PAIRS) left = PAIRS;
        UNROLL
        for (int row = 0; row < PASS_ROWS; row++) sums[row] = *begin;
        for (begin++; left; left--, weights += pair_bytes, x += GRULET_PAIR) {
            const int32_t even = pair_at(x), odd = pair_at(x + 2), next_even = pair_at(x + 4), next_odd = pair_at(x + 6);
            UNROLL
            for (int row = 0; row < PASS_ROWS; row++) {
                const uint32_t w = word_at(weights + GRULET_GROUP * row);
                sums[row] = __smlad((int32_t)(w & nibbles), even, sums[row]);
                sums[row] = __smlad((int32_t)(w >> 8 & nibbles), odd, sums[row]);
                sums[row] = __smlad((int32_t)(w >> 4 & nibbles), next_even, sums[row]);
                sums[row] = __smlad((int32_t)(w >> 12 & nibbles), next_odd, sums[row]);
            }
        }
        UNROLL
        for (int row = 0; row < PASS_ROWS; row++) exact[row] += sums[row] * multipliers[row];
    }
}

KERNEL_INLINE void add_span(float *sums, const int32_t *exact, uint32_t first)
{
    for (int row = 0; row < PASS_ROWS; row++) sums[row] = first ? sums[row] + (float)exact[row] : (float)exact[row];
}

static void sum_int4_int16(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                           uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums,
                           const int8_t *multipliers)
{
    const int16_t *x = (const int16_t *)operands[0];
    const int32_t *begin = (const int32_t *)(const void *)(x + grulet_round_up(inputs, 64));
    (void)frames, (void)row_sums;
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN, panel += GRULET_SPAN / 2 * rows) {
        uint32_t span = inputs - first;
        if (span > GRULET_SPAN) span = GRULET_SPAN;
        const uint32_t group = first / GRULET_MULTIPLIER_INPUTS;
        for (uint32_t row = 0; row < (uint32_t)sets * width; row += PASS_ROWS) {
            int32_t exact[PASS_ROWS];
            pass_int4(exact, panel + GRULET_GROUP * row, GRULET_GROUP * rows, x + first,
                      (span + GRULET_PAIR - 1) / GRULET_PAIR, begin + group, multipliers + group * rows + row, rows);
            add_span(sums[0] + row / width * GRULET_BLOCK_ROWS + row % width, exact, first);
        }
    }
}
#define sum_int4_int8 sum_int4_int16

#endif
