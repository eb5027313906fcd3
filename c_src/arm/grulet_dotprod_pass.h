/* One pass over a span of int8 weights with SDOT, which adds four products of signed bytes to each of four int32: here a
 * register of weights (4 rows x 4 inputs) times one lane of the operand (4 inputs).
 *
 * A 16-bit level v is stored as two signed bytes, high = v >> 8 and low = (v & 255) - 128, in two planes: the sum of
 * w v is 256 (sum of w high) + (sum of w low) + 128 (sum of w), the last from the file's row sums. */
#ifndef GRULET_DOTPROD_PASS_H
#define GRULET_DOTPROD_PASS_H

#include "arm/grulet_neon_lanes.h"

KERNEL_INLINE void put_int16(void *operand, uint32_t stride, uint32_t i, vi level)
{
    put_planes(operand, stride, i, level);
}

/* The instruction names its lane, so each lane is a function of its own; `lane` is a constant at every call. */
KERNEL_INLINE int32x4_t dot(int32x4_t sum, int8x16_t w, int8x16_t x, const int lane)
{
    switch (lane) {
    case 0: return vdotq_laneq_s32(sum, w, x, 0);
    case 1: return vdotq_laneq_s32(sum, w, x, 1);
    case 2: return vdotq_laneq_s32(sum, w, x, 2);
    default: return vdotq_laneq_s32(sum, w, x, 3);
    }
}

/* What one pass over a span sums up: constants.  At most 24 vectors of sums: the 32 registers hold
 * them, the operands and the weights. */
typedef struct {
    int sets, quads;   /* sets of rows, and rows / 4 of each, that lie next to each other in a group */
    int frames, planes;
    int chains;        /* few sums are split, so that an addition need not wait for the one before */
} shape;

/* Weights that come from the second cache or further are asked for AHEAD bytes early, but not where each weight serves
 * one instruction only: there the loads are the limit, and what is read in order the CPU fetches ahead by itself. */
enum { MOST_SUMS = 24, AHEAD = 1024 };

/* Sums of one chain lie [frame][set][quad][plane]. */
KERNEL_INLINE int sum_count(const shape s) { return s.frames * s.sets * s.quads * s.planes; }

/* One group of inputs: `lane` of the operands' registers. */
KERNEL_INLINE void dot_group(int32x4_t *sums, const int8_t *weights, const int8x16_t *x, const int lane,
                             const shape s)
{
    sums += lane % s.chains * sum_count(s);
    UNROLL
    for (int line = 0; line < s.sets * s.quads; line++) {
        const int8x16_t w = vld1q_s8(weights + line * 16);
        if (line % 4 == 0 && s.frames * s.planes > 1) __builtin_prefetch(weights + line * 16 + AHEAD);
        UNROLL
        for (int i = 0; i < s.frames * s.planes; i++) {
            int32x4_t *sum = sums + (i / s.planes * s.sets * s.quads + line) * s.planes + i % s.planes;
            *sum = dot(*sum, w, x[i], lane);
            if (s.frames > 1 || s.planes == 1) KEEP_IN_REGISTER(*sum); /* else there are 24: too many */
        }
    }
}

/* exact, [frame][set][quad]: the sums of a span, still without the row sums' share. */
KERNEL_INLINE void dot_pass(int32x4_t *exact, const unsigned char *panel, uint32_t group_bytes,
                            const int8_t *const *operands, uint32_t groups, const shape s)
{
    const int8_t *weights = (const int8_t *)panel;
    int32x4_t sums[MOST_SUMS];
    int8x16_t x[FRAMES * 2]; /* [frame][plane] */
    uint32_t at = 0;
    UNROLL
    for (int i = 0; i < s.chains * sum_count(s); i++) sums[i] = vdupq_n_s32(0);
    for (; at + 4 <= groups; at += 4) {
        UNROLL
        for (int i = 0; i < s.frames * s.planes; i++) x[i] = vld1q_s8(operands[i] + at * GRULET_GROUP);
        dot_group(sums, weights, x, 0, s);
        dot_group(sums, weights + group_bytes, x, 1, s);
        dot_group(sums, weights + 2 * group_bytes, x, 2, s);
        dot_group(sums, weights + 3 * group_bytes, x, 3, s);
        weights += 4 * group_bytes;
    }
    for (; at < groups; at++, weights += group_bytes) {
        UNROLL
        for (int i = 0; i < s.frames * s.planes; i++) {
            const void *four = operands[i] + at * GRULET_GROUP;
            x[i] = vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)four));
        }
        dot_group(sums, weights, x, 0, s);
    }
    UNROLL
    for (int chain = 1; chain < s.chains; chain++)
        UNROLL
        for (int i = 0; i < sum_count(s); i++) sums[i] = vaddq_s32(sums[i], sums[chain * sum_count(s) + i]);
    UNROLL
    for (int i = 0; i < s.frames * s.sets * s.quads; i++)
        if (s.planes == 2) exact[i] = vaddq_s32(vshlq_n_s32(sums[2 * i], 8), sums[2 * i + 1]);
        else exact[i] = sums[i];
}

#endif
