/* Integer sums by widening multiplication: NEON without dot product, 32 and 64 bits.  Needs the kernel's `add_span`
 * and `put_int4`.
 *
 * A register of weights is 4 rows x 4 inputs.  A pass takes one set (or a part of its rows) of one frame through a span
 * of 512 inputs, so that its sums stay in registers; the next frame's pass finds the weights in the first cache.
 *
 * 8-bit levels: two products of at most 127 * 127 fit 16 bits, so two groups are multiplied into one register, which is
 * then added to int32 in pairs.  16-bit levels: sign-extended weights, products added to int32 at once.
 *
 * int4 weights: bytes times bytes, eight products in 16 bits, see grulet_neon_int4.h. */
#ifndef GRULET_NEON_SUMS_H
#define GRULET_NEON_SUMS_H

#include "grulet_impl.h"
#include "grulet_inline.h"

#include <arm_neon.h>

enum {
    SUMS_AHEAD = 8, /* groups: weights that come from the second cache or further are asked for this early */
#if defined(__aarch64__)
    INT16_QUADS = 4 /* rows / 4 of an int16 pass: 16 sums and what they are made of, in 32 registers */
#else
    INT16_QUADS = 2 /* in 16 registers */
#endif
};

/* Sums of neighbours: a0 + a1, a2 + a3, b0 + b1, b2 + b3. */
KERNEL_INLINE int32x4_t neighbours(int32x4_t a, int32x4_t b)
{
#if defined(__aarch64__)
    return vpaddq_s32(a, b);
#else
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}

KERNEL_INLINE int16x8_t neighbours_int16(int16x8_t a, int16x8_t b)
{
#if defined(__aarch64__)
    return vpaddq_s16(a, b);
#else
    return vcombine_s16(vpadd_s16(vget_low_s16(a), vget_high_s16(a)), vpadd_s16(vget_low_s16(b), vget_high_s16(b)));
#endif
}

/* The products of the upper eight weights; x is the same in both halves. */
KERNEL_INLINE int16x8_t multiply_high(int8x16_t w, int8x16_t x)
{
#if defined(__aarch64__)
    return vmull_high_s8(w, x);
#else
    return vmull_s8(vget_high_s8(w), vget_low_s8(x));
#endif
}

KERNEL_INLINE int16x8_t multiply_add_high(int16x8_t sum, int8x16_t w, int8x16_t x)
{
#if defined(__aarch64__)
    return vmlal_high_s8(sum, w, x);
#else
    return vmlal_s8(sum, vget_high_s8(w), vget_low_s8(x));
#endif
}

KERNEL_INLINE int32x4_t multiply_add_high_int16(int32x4_t sum, int16x8_t w, int16x8_t x)
{
#if defined(__aarch64__)
    return vmlal_high_s16(sum, w, x);
#else
    return vmlal_s16(sum, vget_high_s16(w), vget_low_s16(x));
#endif
}

KERNEL_INLINE int16x8_t widen_high(int8x16_t w)
{
#if defined(__aarch64__)
    return vmovl_high_s8(w);
#else
    return vmovl_s8(vget_high_s8(w));
#endif
}

/* Four levels, four times; four levels, twice. */
KERNEL_INLINE int8x16_t four_int8(const int8_t *x)
{
    return vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)(const void *)x));
}

KERNEL_INLINE int16x8_t four_int16(const int16_t *x)
{
    const int16x4_t four = vld1_s16(x);
    return vcombine_s16(four, four);
}

/* `quads` x 4 rows of one set through `groups` groups; exact[quad] gets four sums. */
KERNEL_INLINE void int8_pass(int32x4_t *exact, const unsigned char *panel, uint32_t group_bytes, const int8_t *x,
                             uint32_t groups, const int quads)
{
    const int8_t *weights = (const int8_t *)panel;
    int32x4_t low[4], high[4];
    UNROLL
    for (int q = 0; q < quads; q++) low[q] = high[q] = vdupq_n_s32(0);
    for (; groups >= 2; groups -= 2, weights += 2 * group_bytes, x += 2 * GRULET_GROUP) {
        const int8x16_t x0 = four_int8(x), x1 = four_int8(x + GRULET_GROUP);
        __builtin_prefetch(weights + SUMS_AHEAD * group_bytes);
        __builtin_prefetch(weights + (SUMS_AHEAD + 1) * group_bytes);
        UNROLL
        for (int q = 0; q < quads; q++) {
            const int8x16_t w0 = vld1q_s8(weights + 16 * q), w1 = vld1q_s8(weights + group_bytes + 16 * q);
            const int16x8_t a = vmull_s8(vget_low_s8(w0), vget_low_s8(x0)), b = multiply_high(w0, x0);
            low[q] = vpadalq_s16(low[q], vmlal_s8(a, vget_low_s8(w1), vget_low_s8(x1)));
            high[q] = vpadalq_s16(high[q], multiply_add_high(b, w1, x1));
        }
    }
    if (groups)
        UNROLL
        for (int q = 0; q < quads; q++) {
            const int8x16_t x0 = four_int8(x), w0 = vld1q_s8(weights + 16 * q);
            low[q] = vpadalq_s16(low[q], vmull_s8(vget_low_s8(w0), vget_low_s8(x0)));
            high[q] = vpadalq_s16(high[q], multiply_high(w0, x0));
        }
    UNROLL
    for (int q = 0; q < quads; q++) exact[q] = neighbours(low[q], high[q]);
}

KERNEL_INLINE void int16_pass(int32x4_t *exact, const unsigned char *panel, uint32_t group_bytes, const int16_t *x,
                              uint32_t groups, const int quads)
{
    const int8_t *weights = (const int8_t *)panel;
    int32x4_t sums[4][4]; /* [quad][row] */
    UNROLL
    for (int q = 0; q < quads; q++)
        for (int row = 0; row < 4; row++) sums[q][row] = vdupq_n_s32(0);
    for (; groups; groups--, weights += group_bytes, x += GRULET_GROUP) {
        const int16x8_t levels = four_int16(x);
        __builtin_prefetch(weights + SUMS_AHEAD * group_bytes);
        UNROLL
        for (int q = 0; q < quads; q++) {
            const int8x16_t w = vld1q_s8(weights + 16 * q);
            const int16x8_t first = vmovl_s8(vget_low_s8(w)), second = widen_high(w);
            sums[q][0] = vmlal_s16(sums[q][0], vget_low_s16(first), vget_low_s16(levels));
            sums[q][1] = multiply_add_high_int16(sums[q][1], first, levels);
            sums[q][2] = vmlal_s16(sums[q][2], vget_low_s16(second), vget_low_s16(levels));
            sums[q][3] = multiply_add_high_int16(sums[q][3], second, levels);
        }
    }
    UNROLL
    for (int q = 0; q < quads; q++)
        exact[q] = neighbours(neighbours(sums[q][0], sums[q][1]), neighbours(sums[q][2], sums[q][3]));
}

/* Spans, sets, rows, frames.  `quads` x 4 rows make a pass. */
#define NEON_SUMS(name, element, most_quads)                                                                           \
    KERNEL_INLINE void name##_sums(float *const *sums, const unsigned char *panel, const void *const *operands,        \
                                   const int frames, uint32_t inputs, uint32_t width, const int sets, uint32_t rows,   \
                                   const int quads)                                                                    \
    {                                                                                                                  \
        const uint32_t group_bytes = GRULET_GROUP * rows;                                                              \
        uint32_t first = 0;                                                                                            \
        do {                                                                                                           \
            const uint32_t left = inputs - first, span = left > GRULET_SPAN ? GRULET_SPAN : left;                      \
            for (int set = 0; set < sets; set++)                                                                       \
                for (uint32_t row = 0; row < width; row += 4 * (uint32_t)quads)                                        \
                    for (int f = 0; f < frames; f++) {                                                                 \
                        int32x4_t exact[4];                                                                            \
                        name##_pass(exact, panel + ((uint32_t)set * width + row) * GRULET_GROUP, group_bytes,          \
                                    (const element *)operands[f] + first, (span + GRULET_GROUP - 1) / GRULET_GROUP,    \
                                    quads);                                                                            \
                        for (int q = 0; q < quads; q++)                                                                \
                            add_span(sums[f] + (uint32_t)set * GRULET_BLOCK_ROWS + row + 4 * q, exact[q], first);      \
                    }                                                                                                  \
            panel += GRULET_SPAN / GRULET_GROUP * group_bytes;                                                         \
        } while ((first += GRULET_SPAN) < inputs);                                                                     \
    }                                                                                                                  \
    KERNEL_INLINE void sum_int8_##name(float *const *sums, const unsigned char *panel, const void *const *operands,    \
                                       const int frames, uint32_t inputs, uint32_t width, const int sets,              \
                                       uint32_t rows, const int32_t *row_sums)                                                        \
    {                                                                                                                  \
        (void)row_sums;                                                                                                \
        if (width == GRULET_BLOCK_ROWS) name##_sums(sums, panel, operands, frames, inputs, width, sets, rows,         \
                                                    most_quads);                                                       \
        else name##_sums(sums, panel, operands, frames, inputs, width, sets, rows, 1); /* the last, narrow block */    \
    }

NEON_SUMS(int8, int8_t, 4)
NEON_SUMS(int16, int16_t, INT16_QUADS)

/* int4 weights: eight products of at most 15 * 128 in each 16-bit lane, and then two lanes, fit. */
enum { INT4_QUADS = INT16_QUADS, INT4_FRAMES = 1 };
typedef struct {
    int16x8_t first, second; /* four inputs of each of two rows, and of the next two */
    int32x4_t from;
} products;
KERNEL_INLINE products products_from(int32x4_t v)
{
    const products none = {vdupq_n_s16(0), vdupq_n_s16(0), v};
    return none;
}
KERNEL_INLINE products add_products(products sums, int8x16_t u, const int8_t *x, const int high)
{
    const int8x16_t four = four_int8(x + high * GRULET_GROUP);
    sums.first = vmlal_s8(sums.first, vget_low_s8(u), vget_low_s8(four));
    sums.second = multiply_add_high(sums.second, u, four);
    return sums;
}
KERNEL_INLINE int32x4_t row_products(products sums)
{
    return vpadalq_s16(sums.from, neighbours_int16(sums.first, sums.second));
}

#include "arm/grulet_neon_int4.h"

#endif
