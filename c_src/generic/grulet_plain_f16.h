/* The panel sums of f16 weights in plain C, for floats without sums of their own. */
#ifndef GRULET_PLAIN_F16_H
#define GRULET_PLAIN_F16_H

/* Weights lie [group][set][4 inputs][row]; rows are innermost and stay loops, which compilers vectorize. */
KERNEL_SHARED void plain_f16_set(float *sums, const uint16_t *weights, uint32_t group_weights, const float *x, uint32_t inputs,
                          uint32_t width)
{
    float partial[GRULET_GROUP][GRULET_BLOCK_ROWS] = {{0}};
    for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += group_weights)
        for (uint32_t j = 0; j < GRULET_GROUP; j++)
            ROLLED for (uint32_t row = 0; row < width; row++)
                partial[j][row] += grulet_half(weights[j * width + row]) * x[i + j];
    for (uint32_t row = 0; row < width; row++)
        sums[row] = (partial[0][row] + partial[1][row]) + (partial[2][row] + partial[3][row]);
}

KERNEL_INLINE void sum_f16(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                           uint32_t inputs, uint32_t width, const int sets, uint32_t rows)
{
    const uint16_t *weights = (const uint16_t *)(const void *)panel;
    const uint32_t set_weights = GRULET_GROUP * width;
    for (int frame = 0; frame < frames; frame++)
        for (uint32_t set = 0; set < (uint32_t)sets; set++)
            plain_f16_set(sums[frame] + set * GRULET_BLOCK_ROWS, weights + set * set_weights, GRULET_GROUP * rows,
                          (const float *)operands[frame], inputs, width);
}

#endif
