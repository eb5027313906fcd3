/* 64-bit ARM without dot product (Cortex-A53, A57, A72, A73): widening multiplications, see grulet_neon_sums.h. */
#ifndef __aarch64__
#error "this file is for 64-bit ARM; grulet_products_armv7neon.c is for 32 bits"
#endif
#include "arm/grulet_neon_lanes.h"
#include "arm/grulet_neon_sums.h"

#include <string.h>

#define PRODUCTS_TABLE grulet_products_neon

KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    (void)stride;
    vst1_s16((int16_t *)operand + i, vmovn_s32(level));
}

#include "grulet_products_body.h"
