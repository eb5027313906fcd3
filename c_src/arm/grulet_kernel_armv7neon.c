/* ARMv7 with NEON (Cortex-A7, A8, A9, A15): integer products in vectors, see grulet_neon_sums.h.  All float arithmetic
 * goes through the scalar unit, because ARMv7's float vectors flush subnormals to zero. */
#if defined(__aarch64__) || !defined(__ARM_NEON)
#error "this file needs -march=armv7-a -mfpu=neon"
#endif
#include "arm/grulet_arm.h"
#include "generic/grulet_scalar_lanes.h"
#include "generic/grulet_scalar_sums.h"

#include <arm_neon.h>

#define KERNEL_TABLE grulet_kernel_armv7neon
#define KERNEL_NAME "armv7neon"
#define KERNEL_USABLE grulet_arm_has_neon

/* The exact sums of four rows, converted; later spans are added to what stands in `sums`. */
KERNEL_INLINE void add_span(float *sums, int32x4_t exact, uint32_t first)
{
    int32_t rows[4];
    vst1q_s32(rows, exact);
    for (int row = 0; row < 4; row++) sums[row] = first ? sums[row] + (float)rows[row] : (float)rows[row];
}

#include "arm/grulet_neon_sums.h"
#include "grulet_kernel_body.h"
