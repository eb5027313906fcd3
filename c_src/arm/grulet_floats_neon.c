/* Floats of 64-bit ARM: four lanes, for the kernels neon and dotprod. */
#ifndef __aarch64__
#error "this file is for 64-bit ARM; grulet_floats_armv7.c is for 32 bits"
#endif
#include "arm/grulet_neon_lanes.h"

#define FLOATS_TABLE grulet_floats_neon

enum { FLOATS_AHEAD = 8 }; /* lines of 16 weights: those from the second cache or further are asked for this early */

/* Four weights of `bytes` 4, or 2: halves.  FCVTL is exact, of subnormal halves too, whatever FPCR says: FZ16 exempts
 * conversions, FZ does not concern halves, and what comes out is 0 or normal. */
KERNEL_INLINE vf load_weights(const unsigned char *weights, const uint32_t bytes)
{
    if (bytes == sizeof(float)) return vf_load((const float *)(const void *)weights);
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)(const void *)weights)));
}

/* One set, `quads` x 4 rows: the partial sums j and j + 1 of one frame, or j of two.  A line of 16 weights belongs to
 * one input, so each is read by one pass (the other two frames of four find it in the first cache).  Eight sums a pass:
 * with sixteen, GCC computes all products before the first addition and runs out of registers. */
KERNEL_INLINE void float_partial_sums(vf partial[GRULET_GROUP][2][4], const unsigned char *weights,
                                      uint32_t group_weights, uint32_t width, const void *const *operands,
                                      const int frames, uint32_t inputs, const int j, const int quads,
                                      const uint32_t bytes)
{
    const int count = 3 - frames; /* of partial sums */
    vf sums[2][4];
    UNROLL
    for (int s = 0; s < 2; s++)
        UNROLL
        for (int q = 0; q < quads; q++) sums[s][q] = vf_set(0.0f);
    for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += group_weights * bytes)
        UNROLL
        for (int s = 0; s < 2; s++) {
            const unsigned char *line = weights + (uint32_t)(j + s % count) * width * bytes;
            const float *x = (const float *)operands[s % frames] + i + j + s % count;
            if (s < count) __builtin_prefetch(line + FLOATS_AHEAD * GRULET_BLOCK_ROWS * bytes);
            UNROLL
            for (uint32_t q = 0; q < (uint32_t)quads; q++)
                sums[s][q] = vf_add(sums[s][q], vf_mul(load_weights(line + 4 * q * bytes, bytes), vf_set(*x)));
        }
    UNROLL
    for (int s = 0; s < 2; s++)
        UNROLL
        for (int q = 0; q < quads; q++) partial[j + s % count][s % frames][q] = sums[s][q];
}

KERNEL_INLINE void float_rows(float *const *sums, const unsigned char *weights, const void *const *operands,
                              const int frames, uint32_t inputs, uint32_t width, uint32_t rows, const int quads,
                              const uint32_t bytes)
{
    const int together = frames == 1 ? 1 : 2; /* frames */
    for (int f = 0; f < frames; f += together) {
        vf partial[GRULET_GROUP][2][4];
        UNROLL
        for (int j = 0; j < GRULET_GROUP; j += 3 - together)
            float_partial_sums(partial, weights, GRULET_GROUP * rows, width, operands + f, together, inputs,
                               j, quads, bytes);
        UNROLL
        for (int k = 0; k < together; k++)
            UNROLL
            for (int q = 0; q < quads; q++)
                vf_store(sums[f + k] + 4 * q, vf_add(vf_add(partial[0][k][q], partial[1][k][q]),
                                                     vf_add(partial[2][k][q], partial[3][k][q])));
    }
}

#define FLOAT_SUMS(name, bytes)                                                                                        \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows)          \
    {                                                                                                                  \
        for (uint32_t set = 0; set < (uint32_t)sets; set++) {                                                          \
            const unsigned char *weights = panel + set * GRULET_GROUP * width * bytes;                                 \
            float *to[FRAMES];                                                                                         \
            for (int f = 0; f < frames; f++) to[f] = sums[f] + set * GRULET_BLOCK_ROWS;                                \
            if (width == GRULET_BLOCK_ROWS) float_rows(to, weights, operands, frames, inputs, width, rows, 4, bytes);  \
            else /* the last, narrow block goes by four rows */                                                        \
                for (uint32_t row = 0; row < width; row += 4, to[0] += 4)                                              \
                    float_rows(to, weights + row * bytes, operands, 1, inputs, width, rows, 1, bytes);                 \
        }                                                                                                              \
    }
FLOAT_SUMS(sum_f32, 4)
FLOAT_SUMS(sum_f16, 2)

#include "grulet_floats_body.h"
