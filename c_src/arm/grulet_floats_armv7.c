/* Floats of ARMv7 go through the scalar unit, because its float vectors flush subnormals to zero; integer vectors help with f16
 * weights. */
#if defined(__aarch64__) || !defined(__ARM_NEON)
#error "this file needs -march=armv7-a -mfpu=neon"
#endif
#include "generic/grulet_scalar_lanes.h"
#include "generic/grulet_scalar_sums.h"

#include <arm_neon.h>

#define FLOATS_TABLE grulet_floats_armv7

/* f16 weights: integer operations make the floats' bits, because not all of these CPUs convert halves.  A subnormal
 * half is an integer times 2^-24, and is converted from that: the one float operation; its result is 0 or normal. */
KERNEL_INLINE void four_halves(float *to, const uint16_t *halves)
{
    const uint32x4_t half = vmovl_u16(vld1_u16(halves)), magnitude = vandq_u32(half, vdupq_n_u32(0x7FFF));
    const uint32x4_t normal = vaddq_u32(vshlq_n_u32(magnitude, 13), vdupq_n_u32(112u << 23));
    const uint32x4_t subnormal = vreinterpretq_u32_f32(vcvtq_n_f32_u32(magnitude, 24));
    const uint32x4_t bits = vbslq_u32(vcltq_u32(magnitude, vdupq_n_u32(0x400)), subnormal, normal);
    const uint32x4_t sign = vshlq_n_u32(veorq_u32(half, magnitude), 16);
    vst1q_f32(to, vreinterpretq_f32_u32(vorrq_u32(bits, sign)));
}

/* Weights lie [group][set][4 inputs][row], as in sum_f32. */
KERNEL_INLINE void sum_f16(float *const *sums, const unsigned char *panel, const void *const *operands,
                           const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows)
{
    (void)frames;
    for (uint32_t set = 0; set < (uint32_t)sets; set++) {
        const uint16_t *weights = (const uint16_t *)(const void *)panel + set * GRULET_GROUP * width;
        const float *x = (const float *)operands[0];
        float partial[GRULET_GROUP][GRULET_BLOCK_ROWS] = {{0}};
        for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += GRULET_GROUP * rows)
            for (uint32_t j = 0; j < GRULET_GROUP; j++) {
                float line[GRULET_BLOCK_ROWS];
                for (uint32_t row = 0; row < width; row += 4) four_halves(line + row, weights + j * width + row);
                ROLLED for (uint32_t row = 0; row < width; row++) partial[j][row] += line[row] * x[i + j];
            }
        for (uint32_t row = 0; row < width; row++)
            sums[0][set * GRULET_BLOCK_ROWS + row] =
                (partial[0][row] + partial[1][row]) + (partial[2][row] + partial[3][row]);
    }
}

#include "grulet_floats_body.h"
