/* The panel sums of int4 weights in plain C, for kernels without sums of their own: levels of both widths are stored as
 * int16.  Include the kernel's lanes before. */
#ifndef GRULET_PLAIN_INT4_H
#define GRULET_PLAIN_INT4_H

KERNEL_INLINE void put_int4(void *operand, uint32_t stride, uint32_t i, vi level, const int planes)
{
    int32_t levels[LANES];
    memcpy(levels, &level, sizeof levels);
    (void)stride, (void)planes;
    for (int lane = 0; lane < LANES; lane++) ((int16_t *)operand)[i + (uint32_t)lane] = (int16_t)levels[lane];
}
KERNEL_INLINE void finish_int4(void *operand, uint32_t stride, uint32_t n, const int planes)
{
    (void)stride, (void)planes;
    memset((int16_t *)operand + n, 0, (grulet_round_up(n, GRULET_PAIR) - n) * sizeof(int16_t));
}

/* Weights lie [pair of groups][set][row][4 bytes]: input j of the pair's first group in the low nibble of byte j, of the second
 * in the high one, each as q + 8. */
KERNEL_SHARED void plain_int4_frame(float *sums, const unsigned char *weights, const int16_t *x, uint32_t inputs, uint32_t width,
                                    uint32_t taken, uint32_t rows, const int8_t *multipliers)
{
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN) {
        const uint32_t end = inputs - first > GRULET_SPAN ? first + GRULET_SPAN : inputs;
        int32_t exact[(int)GRULET_PANEL_SETS * GRULET_BLOCK_ROWS] = {0};
        for (uint32_t i = first; i < end; i += GRULET_PAIR, weights += GRULET_GROUP * (rows - taken)) {
            const int8_t *of_group = multipliers + i / GRULET_MULTIPLIER_INPUTS * rows;
            for (uint32_t row = 0; row < taken; row++, weights += GRULET_GROUP) {
                int32_t sum = 0;
                for (uint32_t j = 0; j < GRULET_GROUP; j++)
                    sum += x[i + j] * ((weights[j] & 15) - 8) + x[i + GRULET_GROUP + j] * ((weights[j] >> 4) - 8);
                exact[row] += sum * of_group[row];
            }
        }
        for (uint32_t row = 0; row < taken; row++) {
            float *sum = sums + row / width * GRULET_BLOCK_ROWS + row % width;
            *sum = first ? *sum + (float)exact[row] : (float)exact[row];
        }
    }
}

KERNEL_INLINE void sum_int4_int16(float *const *sums, const unsigned char *panel, const void *const *operands,
                                  const int frames, uint32_t inputs, uint32_t width, const int sets,
                                  uint32_t rows, const int32_t *row_sums, const int8_t *multipliers)
{
    (void)row_sums;
    for (int frame = 0; frame < frames; frame++)
        plain_int4_frame(sums[frame], panel, (const int16_t *)operands[frame], inputs, width, (uint32_t)sets * width, rows,
                         multipliers);
}
#define sum_int4_int8 sum_int4_int16

#endif
