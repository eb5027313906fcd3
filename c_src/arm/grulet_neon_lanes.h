/* Floats on 64-bit ARM: four lanes, IEEE arithmetic with subnormals, like the scalars.  What the kernels neon and
 * dotprod have in common.  Multiplication and addition stay two instructions: no vmla, no vfma. */
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
KERNEL_INLINE float vf_largest(vf v) { return vmaxvq_f32(v); }

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
    for (int s = 0; s < 2; s++)
        for (int q = 0; q < quads; q++) sums[s][q] = vf_set(0.0f);
    for (uint32_t i = 0; i < inputs; i += GRULET_GROUP, weights += group_weights * bytes)
        for (int s = 0; s < 2; s++) {
            const unsigned char *line = weights + (uint32_t)(j + s % count) * width * bytes;
            const float *x = (const float *)operands[s % frames] + i + j + s % count;
            if (s < count) __builtin_prefetch(line + FLOATS_AHEAD * GRULET_BLOCK_ROWS * bytes);
            for (uint32_t q = 0; q < (uint32_t)quads; q++)
                sums[s][q] = vf_add(sums[s][q], vf_mul(load_weights(line + 4 * q * bytes, bytes), vf_set(*x)));
        }
    for (int s = 0; s < 2; s++)
        for (int q = 0; q < quads; q++) partial[j + s % count][s % frames][q] = sums[s][q];
}

KERNEL_INLINE void float_rows(float *const *sums, const unsigned char *weights, const void *const *operands,
                              const int frames, uint32_t inputs, uint32_t width, const int sets, const int quads,
                              const uint32_t bytes)
{
    const int together = frames == 1 ? 1 : 2; /* frames */
    for (int f = 0; f < frames; f += together) {
        vf partial[GRULET_GROUP][2][4];
        for (int j = 0; j < GRULET_GROUP; j += 3 - together)
            float_partial_sums(partial, weights, GRULET_GROUP * width * (uint32_t)sets, width, operands + f, together,
                               inputs, j, quads, bytes);
        for (int k = 0; k < together; k++)
            for (int q = 0; q < quads; q++)
                vf_store(sums[f + k] + 4 * q, vf_add(vf_add(partial[0][k][q], partial[1][k][q]),
                                                     vf_add(partial[2][k][q], partial[3][k][q])));
    }
}

#define FLOAT_SUMS(name, bytes)                                                                                        \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets)                         \
    {                                                                                                                  \
        for (uint32_t set = 0; set < (uint32_t)sets; set++) {                                                          \
            const unsigned char *weights = panel + set * GRULET_GROUP * width * bytes;                                 \
            float *to[FRAMES];                                                                                         \
            for (int f = 0; f < frames; f++) to[f] = sums[f] + set * GRULET_BLOCK_ROWS;                                \
            if (width == GRULET_BLOCK_ROWS) float_rows(to, weights, operands, frames, inputs, width, sets, 4, bytes);  \
            else /* the last, narrow block goes by four rows */                                                        \
                for (uint32_t row = 0; row < width; row += 4, to[0] += 4)                                              \
                    float_rows(to, weights + row * bytes, operands, 1, inputs, width, sets, 1, bytes);                 \
        }                                                                                                              \
    }
FLOAT_SUMS(sum_f32, 4)
FLOAT_SUMS(sum_f16, 2)
#define HAS_F16_SUMS

#endif
