/* Integer products of ARMv7 with NEON (Cortex-A7, A8, A9, A15), see grulet_neon_sums.h. */
#if defined(__aarch64__) || !defined(__ARM_NEON)
#error "this file needs -march=armv7-a -mfpu=neon"
#endif
#include "generic/grulet_scalar_lanes.h"

#include <arm_neon.h>

#define PRODUCTS_TABLE grulet_products_armv7neon

/* A 16-bit level as two signed bytes, `stride` bytes apart: v >> 8 and (v & 255) - 128. */
KERNEL_INLINE void put_int4(void *operand, uint32_t stride, uint32_t i, vi level, const int planes)
{
    int8_t *plane = (int8_t *)operand + i;
    *plane = (int8_t)(planes == 2 ? level >> 8 : level);
    if (planes == 2) plane[stride] = (int8_t)((level & 255) - 128);
}

/* The exact sums of four rows, converted; later spans are added to what stands in `sums`. */
KERNEL_INLINE void add_span(float *sums, int32x4_t exact, uint32_t first)
{
    int32_t rows[4];
    vst1q_s32(rows, exact);
    for (int row = 0; row < 4; row++) sums[row] = first ? sums[row] + (float)rows[row] : (float)rows[row];
}

#include "arm/grulet_neon_sums.h"

#include "grulet_products_body.h"
