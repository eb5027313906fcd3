/* 64-bit ARM with int8 matrix products (FEAT_I8MM: Cortex-A510, A710, X2 and later, Neoverse N2 and V1, Apple M2): SMMLA adds
 * a 2x8 times an 8x2 matrix of signed bytes to a tile of 2x2 int32, twice the products of an SDOT.  Here that is 8 inputs of
 * two rows of weights times those of two frames.  One frame would leave half of a tile empty: it stays with SDOT. */
#if !defined(__aarch64__) || !defined(__ARM_FEATURE_DOTPROD) || !defined(__ARM_FEATURE_MATMUL_INT8)
#error "this file needs -march=armv8.2-a+dotprod+i8mm"
#endif
#include "arm/grulet_dotprod_pass.h"

/* The levels of two groups of inputs, or of one, twice. */
KERNEL_INLINE int8x8_t load_levels(const int8_t *x, const int groups)
{
    const void *four = x;
    return groups == 2 ? vld1_s8(x) : vreinterpret_s8_s32(vld1_dup_s32((const int32_t *)four));
}

/* 8 inputs of rows 0 and 1, and of rows 2 and 3: two neighbouring groups, or one and zeros. */
KERNEL_INLINE int32x4x2_t load_rows(const int8_t *weights, uint32_t group_bytes, const int groups)
{
    const int8x16_t next = groups == 2 ? vld1q_s8(weights + group_bytes) : vdupq_n_s8(0);
    return vzipq_s32(vreinterpretq_s32_s8(vld1q_s8(weights)), vreinterpretq_s32_s8(next));
}

/* Tiles lie [quad][two rows][two frames][plane], operands [frame][plane]. */
KERNEL_INLINE void multiply_groups(int32x4_t *tiles, const int8_t *weights, uint32_t group_bytes,
                                   const int8_t *const *operands, uint32_t at, const int groups, const shape s)
{
    const int columns = s.frames / 2 * s.planes;
    int8x16_t x[FRAMES];
    UNROLL
    for (int i = 0; i < columns; i++) {
        const int8_t *const *even = operands + i / s.planes * 2 * s.planes + i % s.planes, *const *odd = even + s.planes;
        x[i] = vcombine_s8(load_levels(*even + at * GRULET_GROUP, groups), load_levels(*odd + at * GRULET_GROUP, groups));
    }
    __builtin_prefetch(weights + AHEAD);
    if (groups == 2) __builtin_prefetch(weights + group_bytes + AHEAD);
    UNROLL
    for (int quad = 0; quad < s.quads; quad++) {
        const int32x4x2_t rows = load_rows(weights + quad * 16, group_bytes, groups);
        UNROLL
        for (int i = 0; i < columns; i++) {
            int32x4_t *upper = tiles + 2 * quad * columns + i, *lower = upper + columns;
            *upper = vmmlaq_s32(*upper, vreinterpretq_s8_s32(rows.val[0]), x[i]);
            *lower = vmmlaq_s32(*lower, vreinterpretq_s8_s32(rows.val[1]), x[i]);
            KEEP_IN_REGISTER(*upper);
            KEEP_IN_REGISTER(*lower);
        }
    }
}

/* What dot_pass gives, for an even number of frames. */
KERNEL_INLINE void matrix_pass(int32x4_t *exact, const unsigned char *panel, uint32_t group_bytes,
                               const int8_t *const *operands, uint32_t groups, const shape s)
{
    const int8_t *weights = (const int8_t *)panel;
    const int columns = s.frames / 2 * s.planes;
    int32x4_t tiles[MOST_SUMS];
    uint32_t at = 0;
    UNROLL
    for (int i = 0; i < 2 * s.quads * columns; i++) tiles[i] = vdupq_n_s32(0);
    for (; at + 2 <= groups; at += 2, weights += 2 * group_bytes)
        multiply_groups(tiles, weights, group_bytes, operands, at, 2, s);
    if (at < groups) multiply_groups(tiles, weights, group_bytes, operands, at, 1, s);
    UNROLL
    for (int i = 0; i < s.frames / 2 * s.quads; i++) {
        const int two = i / s.quads, quad = i % s.quads;
        const int32x4_t *upper = tiles + 2 * quad * columns + two * s.planes, *lower = upper + columns;
        int32x4x2_t sums = vuzpq_s32(upper[0], lower[0]); /* four rows of the even frame, of the odd one */
        if (s.planes == 2) {
            const int32x4x2_t low = vuzpq_s32(upper[1], lower[1]);
            sums.val[0] = vaddq_s32(vshlq_n_s32(sums.val[0], 8), low.val[0]);
            sums.val[1] = vaddq_s32(vshlq_n_s32(sums.val[1], 8), low.val[1]);
        }
        exact[2 * two * s.quads + quad] = sums.val[0];
        exact[(2 * two + 1) * s.quads + quad] = sums.val[1];
    }
}

#define PRODUCTS_TABLE grulet_products_i8mm
#define MANY_FRAMES_PASS matrix_pass
#include "arm/grulet_dotprod_sums.h"
