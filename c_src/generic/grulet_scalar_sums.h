/* The panel sums of f32 weights, for kernels of one lane; include grulet_scalar_lanes.h before. */
#ifndef GRULET_SCALAR_SUMS_H
#define GRULET_SCALAR_SUMS_H

/* Weights lie [group][set][4 inputs][row]; rows are innermost and stay a loop, which compilers vectorize. */
static void sum_f32(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                    uint32_t inputs, uint32_t width, const int sets, uint32_t rows)
{
    (void)frames;
    for (int set = 0; set < sets; set++) {
        const float *weights = (const float *)(const void *)panel + (uint32_t)set * GRULET_GROUP * width;
        const float *x = (const float *)operands[0];
        float partial[GRULET_GROUP][GRULET_BLOCK_ROWS] = {{0}};
        for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += GRULET_GROUP * rows)
            for (uint32_t j = 0; j < GRULET_GROUP; j++)
                ROLLED for (uint32_t row = 0; row < width; row++) partial[j][row] += weights[j * width + row] * x[i + j];
        for (uint32_t row = 0; row < width; row++)
            sums[0][set * GRULET_BLOCK_ROWS + (int)row] =
                (partial[0][row] + partial[1][row]) + (partial[2][row] + partial[3][row]);
    }
}

#endif
