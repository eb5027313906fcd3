/* The panel sums of int4 weights, for all ARM kernels.
 *
 * Weights are multiplied as they are stored, u = q + 8 in 0..15; a group of 32 inputs has one multiplier m a row, and
 *     sum of q v = (sum of u v) - 8 (sum of v),
 * of which the last term is the same for all rows: `finish_int4` computes it once a frame, behind the operand.
 *
 * Levels are signed bytes.  A 16-bit one is two, in two planes, v >> 8 and (v & 255) - 128: the sum of q m v is
 * 256 (sum of q m high) + (sum of q m low) + 128 (sum of q m), the last from the file's row sums.
 *
 * What a kernel defines before: `put_int4`, `add_span`, and
 *   products            sums of four rows over one group of 32 inputs, in whatever lanes
 *   products_from(v)    v, one lane for each row
 *   add_products(sums, u, x, high)   plus 4 nibbles of each row times the first or (`high`) the next four levels at `x`
 *   row_products(sums)  the sums, one lane for each row
 *   INT4_QUADS          rows / 4 of a pass; INT4_FRAMES: how many frames share it */
#ifndef GRULET_NEON_INT4_H
#define GRULET_NEON_INT4_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <arm_neon.h>
#include <string.h>

enum {
    INT4_AHEAD = 8 /* pairs: weights that come from the second cache or further are asked for this early */
};

KERNEL_INLINE const int32_t *int4_offsets(const void *operand, uint32_t stride)
{
    return (const int32_t *)(const void *)((const int8_t *)operand + 2 * stride);
}

/* -8 (sum of v) of every group, without the 128 of the row sums.  The last group is padded with zeros in both planes,
 * because the panel may end before it does. */
KERNEL_INLINE void finish_int4(void *operand, uint32_t stride, uint32_t n, const int planes)
{
    int8_t *levels = (int8_t *)operand;
    int32_t *offsets = (int32_t *)(void *)(levels + 2 * stride);
    for (int plane = 0; plane < planes; plane++)
        memset(levels + (uint32_t)plane * stride + n, 0, grulet_round_up(n, GRULET_MULTIPLIER_INPUTS) - n);
    for (uint32_t i = 0; i < n; i += GRULET_MULTIPLIER_INPUTS) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int plane = 0; plane < planes; plane++) {
            const int8_t *x = levels + (uint32_t)plane * stride + i;
            sum = vpadalq_s16(vshlq_n_s32(sum, 8), vpadalq_s8(vpaddlq_s8(vld1q_s8(x)), vld1q_s8(x + 16)));
        }
        const int32x2_t two = vadd_s32(vget_low_s32(sum), vget_high_s32(sum));
        offsets[i / GRULET_MULTIPLIER_INPUTS] = -8 * (vget_lane_s32(two, 0) + vget_lane_s32(two, 1));
    }
}

/* The multipliers of the `q`-th of `quads` four rows. */
KERNEL_INLINE int32x4_t four_multipliers(const int8_t *m, const int q, const int quads)
{
    const void *of_two = m + q / 2 * 8;
    const int8x8_t bytes = quads == 1 ? vreinterpret_s8_s32(vld1_dup_s32((const int32_t *)of_two)) : vld1_s8(of_two);
    const int16x8_t words = vmovl_s8(bytes);
    return vmovl_s16(q % 2 ? vget_high_s16(words) : vget_low_s16(words));
}

/* What one pass over a span sums up: constants. */
typedef struct { int quads, frames, planes; } int4_shape;

/* exact, [frame][quad]: the sums of a span, still without the row sums' share.  `levels` [frame][plane]. */
KERNEL_INLINE void int4_pass(int32x4_t *exact, const unsigned char *weights, uint32_t pair_bytes,
                             const int8_t *const *levels, const int32_t *const *offsets, uint32_t pairs,
                             const int8_t *multipliers, uint32_t next_multipliers, const int4_shape s)
{
    enum { GROUP_PAIRS = GRULET_MULTIPLIER_INPUTS / GRULET_PAIR };
    const uint8x16_t nibble = vdupq_n_u8(15);
    uint32_t at = 0;
    UNROLL
    for (int i = 0; i < s.frames * s.quads; i++) exact[i] = vdupq_n_s32(0);
    for (uint32_t group = 0; pairs > 0; group++, multipliers += next_multipliers) {
        products sums[INT4_FRAMES * INT4_QUADS * 2]; /* [frame][plane][quad] */
        uint32_t now = pairs < GROUP_PAIRS ? pairs : GROUP_PAIRS;
        pairs -= now;
        UNROLL
        for (int i = 0; i < s.frames * s.planes; i++) {
            const int last = i % s.planes == s.planes - 1; /* of the planes: the one that counts once */
            const int32x4_t from = last ? vld1q_dup_s32(offsets[i / s.planes] + group) : vdupq_n_s32(0);
            UNROLL
            for (int q = 0; q < s.quads; q++) sums[i * s.quads + q] = products_from(from);
        }
        for (; now > 0; now--, weights += pair_bytes, at += GRULET_PAIR) {
            __asm__("" : "+r"(weights)); /* or GCC makes a copy of it all, for pairs that lie 1 byte apart */
            __builtin_prefetch(weights + INT4_AHEAD * pair_bytes);
            uint8x16_t w[INT4_QUADS];
            UNROLL
            for (int q = 0; q < s.quads; q++) w[q] = vld1q_u8(weights + 16 * q);
            UNROLL
            for (int k = 0; k < 2 * s.quads; k++) { /* all low nibbles first: no sum is needed again at once */
                const int q = k % s.quads, high = k / s.quads;
                const uint8x16_t u = high ? vshrq_n_u8(w[q], 4) : vandq_u8(w[q], nibble);
                UNROLL
                for (int i = 0; i < s.frames * s.planes; i++) {
                    products *sum = sums + i * s.quads + q;
                    *sum = add_products(*sum, vreinterpretq_s8_u8(u), levels[i] + at, high);
                }
            }
        }
        UNROLL
        for (int q = 0; q < s.quads; q++) {
            const int32x4_t m = four_multipliers(multipliers, q, s.quads);
            UNROLL
            for (int f = 0; f < s.frames; f++) {
                const products *of = sums + f * s.planes * s.quads + q;
                int32x4_t sum = row_products(of[0]);
                if (s.planes == 2) sum = vaddq_s32(vshlq_n_s32(sum, 8), row_products(of[s.quads]));
                exact[f * s.quads + q] = vmlaq_s32(exact[f * s.quads + q], sum, m);
            }
        }
    }
}

/* Spans, sets, rows, frames: `together` of them in a pass. */
KERNEL_INLINE void int4_sums(float *const *sums, const unsigned char *panel, const void *const *operands, int frames,
                             uint32_t inputs, uint32_t width, int sets, uint32_t rows, const int32_t *row_sums,
                             const int8_t *multipliers, const int planes, const int quads, const int together)
{
    const int4_shape s = {quads, together, planes};
    const uint32_t stride = grulet_round_up(inputs, 64); /* of the planes */
    const uint32_t taken = width * (uint32_t)sets, pair_bytes = GRULET_GROUP * rows;
    uint32_t first = 0;
    do {
        const uint32_t left = inputs - first, span = left > GRULET_SPAN ? GRULET_SPAN : left;
        for (uint32_t row = 0; row < taken; row += 4 * (uint32_t)quads)
            for (int f = 0; f < frames; f += together) {
                const int8_t *levels[INT4_FRAMES * 2];
                const int32_t *offsets[INT4_FRAMES];
                int32x4_t exact[INT4_FRAMES * INT4_QUADS];
                for (int i = 0; i < together * planes; i++)
                    levels[i] = (const int8_t *)operands[f + i / planes] + (uint32_t)(i % planes) * stride + first;
                for (int i = 0; i < together; i++)
                    offsets[i] = int4_offsets(operands[f + i], stride) + first / GRULET_MULTIPLIER_INPUTS;
                int4_pass(exact, panel + row * GRULET_GROUP, pair_bytes, levels, offsets,
                          (span + GRULET_PAIR - 1) / GRULET_PAIR, multipliers + row, rows, s);
                UNROLL
                for (int i = 0; i < together * quads; i++) {
                    const uint32_t at = row + 4 * (uint32_t)(i % quads);
                    if (planes == 2) exact[i] = vaddq_s32(exact[i], vshlq_n_s32(vld1q_s32(row_sums + at), 7));
                    add_span(sums[f + i / quads] + at / width * GRULET_BLOCK_ROWS + at % width, exact[i], first);
                }
            }
        panel += GRULET_SPAN / GRULET_PAIR * pair_bytes;
        row_sums += rows;
        multipliers += GRULET_SPAN / GRULET_MULTIPLIER_INPUTS * rows;
    } while ((first += GRULET_SPAN) < inputs);
}

/* Functions of their own, for panels of three sets and of one; a narrow block (the last) goes by four rows. */
#define INT4_FORM(name, planes, quads, together)                                                                       \
    KERNEL_SHARED void name(float *const *sums, const unsigned char *panel, const void *const *operands, int frames,   \
                            uint32_t inputs, uint32_t width, int sets, uint32_t rows, const int32_t *row_sums,         \
                            const int8_t *multipliers)                                                                 \
    {                                                                                                                  \
        int4_sums(sums, panel, operands, frames, inputs, width, sets, rows, row_sums, multipliers, planes, quads,      \
                  together);                                                                                           \
    }
#define INT4_SUMS(name, planes)                                                                                        \
    INT4_FORM(name##_alone, planes, INT4_QUADS, 1)                                                                     \
    INT4_FORM(name##_together, planes, INT4_QUADS, INT4_FRAMES)                                                        \
    INT4_FORM(name##_narrow, planes, 1, 1)                                                                             \
    KERNEL_INLINE void name(float *const *sums, const unsigned char *panel, const void *const *operands,               \
                            const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,          \
                            const int32_t *row_sums, const int8_t *multipliers)                                        \
    {                                                                                                                  \
        (width != GRULET_BLOCK_ROWS ? name##_narrow : frames % INT4_FRAMES ? name##_alone : name##_together)(          \
            sums, panel, operands, frames, inputs, width, sets, rows, row_sums, multipliers);                                \
    }
INT4_SUMS(sum_int4_int16, 2)
INT4_SUMS(sum_int4_int8, 1)

#endif
