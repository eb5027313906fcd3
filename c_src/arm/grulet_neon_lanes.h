/* Floats on 64-bit ARM: four lanes, IEEE arithmetic with subnormals, like the scalars.  For both halves of the
 * kernels neon, dotprod and i8mm.  Multiplication and addition stay two instructions: no vmla, no vfma. */
#ifndef GRULET_NEON_LANES_H
#define GRULET_NEON_LANES_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <arm_neon.h>

#define LANES 4
#define FRAMES 4

typedef float32x4_t vf;
typedef int32x4_t vi;

KERNEL_INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
KERNEL_INLINE void vf_store(float *p, vf v) { vst1q_f32(p, v); }
KERNEL_INLINE vf vf_load_part(const float *p, uint32_t n)
{
    vf v = vdupq_n_f32(0.0f);
    if (n > 0) v = vld1q_lane_f32(p, v, 0);
    if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}
KERNEL_INLINE void vf_store_part(float *p, vf v, uint32_t n)
{
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
}
KERNEL_INLINE vf vf_set(float v) { return vdupq_n_f32(v); }
KERNEL_INLINE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
KERNEL_INLINE vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
KERNEL_INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
KERNEL_INLINE vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
KERNEL_INLINE vf vf_less(vf a, vf b, vf t, vf e) { return vbslq_f32(vcltq_f32(a, b), t, e); }
KERNEL_INLINE vf vf_min(vf a, vf b) { return vf_less(a, b, a, b); } /* FMIN would give a NaN */
KERNEL_INLINE vf vf_max(vf a, vf b) { return vf_less(b, a, a, b); }
KERNEL_INLINE vi vf_bits(vf v) { return vreinterpretq_s32_f32(v); }
KERNEL_INLINE vf vi_float(vi v) { return vreinterpretq_f32_s32(v); }
KERNEL_INLINE vf vf_abs(vf v) { return vabsq_f32(v); }
KERNEL_INLINE vf vf_copysign(vf magnitude, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
KERNEL_INLINE vi vi_add(vi a, vi b) /* unsigned, because sums of bits wrap around */
{
    return vreinterpretq_s32_u32(vaddq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
}
KERNEL_INLINE vi vi_shift_left_23(vi v) { return vshlq_n_s32(v, 23); }
KERNEL_INLINE vi vi_round(vf v) { return vcvtnq_s32_f32(v); }
KERNEL_INLINE vi vi_max(vi a, vi b) { return vmaxq_s32(a, b); }
KERNEL_INLINE int32_t vi_largest(vi v) { return vmaxvq_s32(v); }

/* Levels fit int16 and int8, so dropping the high bits changes nothing. */
KERNEL_INLINE void put_int8(void *operand, uint32_t i, vi level)
{
    const int16x4_t words = vmovn_s32(level);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    vst1_lane_s32((int32_t *)(void *)((int8_t *)operand + i), vreinterpret_s32_s8(bytes), 0);
}

/* A 16-bit level as two signed bytes, `stride` bytes apart: v >> 8 and (v & 255) - 128. */
KERNEL_INLINE void put_planes(void *operand, uint32_t stride, uint32_t i, vi level)
{
    const int16x4_t four = vmovn_s32(level);
    const int16x8_t words = vcombine_s16(four, four);
    const int8x8_t low = veor_s8(vmovn_s16(words), vdup_n_s8(-128)); /* (v & 255) - 128 is v with bit 7 turned */
    int8_t *plane = (int8_t *)operand + i;
    vst1_lane_s32((int32_t *)(void *)plane, vreinterpret_s32_s8(vshrn_n_s16(words, 8)), 0);
    vst1_lane_s32((int32_t *)(void *)(plane + stride), vreinterpret_s32_s8(low), 0);
}
KERNEL_INLINE void put_int4(void *operand, uint32_t stride, uint32_t i, vi level, const int planes)
{
    if (planes == 2) put_planes(operand, stride, i, level);
    else put_int8(operand, i, level);
}

/* The exact sums of four rows, converted; later spans are added to what stands in `sums`. */
KERNEL_INLINE void add_span(float *sums, vi exact, uint32_t first)
{
    const vf sum = vcvtq_f32_s32(exact);
    vf_store(sums, first ? vf_add(vf_load(sums), sum) : sum);
}

#endif
