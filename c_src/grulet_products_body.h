/* The integer half of a kernel: quantized operands and the sums of integer weights.  A file for one instruction set defines what
 * is listed below, includes this file, and gets `PRODUCTS_TABLE`.
 *
 * What the file defines before the include:
 *   PRODUCTS_TABLE       the grulet_products to define
 *   of the primitives of grulet_floats_body.h: LANES, FRAMES, vf, vi, vf_load, vf_load_part, vf_set, vf_mul, vf_min, vf_max,
 *                        vf_abs, vf_bits, vi_max, vi_largest
 *   vi_round(v)          the nearest integers of |v| <= 32767, ties to even
 *   put_int16(operand, stride, i, v), put_int8(operand, i, v)   store LANES integers as the operand's elements i..., for
 *                        int8 weights; `stride`: the number of elements, rounded up to 64
 *   put_int4(operand, stride, i, v, planes)       the same of `planes` bytes (2 or 1), for int4 weights
 *   finish_int4(operand, stride, n, planes)       once all n elements are stored: zero-pads them as the sums want it
 *     An operand has 4 bytes an element, so behind integers there is room for 2 `stride` bytes that are computed once a frame.
 *   sum_int8_int16, sum_int8_int8, sum_int4_int16, sum_int4_int8   a panel times the operands of 1 or FRAMES frames:
 *
 *   void sum_int8_*(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
 *                   uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums)
 *   void sum_int4_*(the same, const int8_t *multipliers)
 * as sum_f32 there: the exact sum of every span of GRULET_SPAN inputs, converted to float, spans added in order.  row_sums
 * [span][row] serve ISAs whose dot product wants an unsigned operand; multipliers lie [32 inputs][row].
 *
 * generic/grulet_plain_int4.h is what belongs to int4, for any vectors.
 *
 * What it may define:
 *   TWO_BLOCKS           if its products of int8 weights take two full blocks of a cell over one read of the operand, in
 *                        panels of three sets
 *   sum_blocks_int8_int16, sum_blocks_int8_int8:   then
 *
 *   void sum_blocks_*(float *sums, uint32_t next_sums, const unsigned char *panel, ptrdiff_t next, const void *operand,
 *                     uint32_t inputs, const int32_t *row_sums)
 * gives sums[block * next_sums + set * 16 + row]; panel and row sums of a block lie `next` bytes from those of the block
 * before.
 */
#include "grulet_config.h"
#include "grulet_kernel.h"
#include "grulet_lanes.h"
#include "grulet_sum_forms.h"

/* ---- operands: a float vector as the dot products want it ------------------------------------------------------ */

/* Magnitudes are in the order of the integers that their bits are, and those are compared faster. */
KERNEL_SHARED float largest_magnitude(const float *x, uint32_t n)
{
    vi top = vf_bits(vf_set(0.0f));
    for (uint32_t i = 0; i < n; i += LANES) top = vi_max(top, vf_bits(vf_abs(load_upto(x + i, n - i))));
    return float_of_bits((uint32_t)vi_largest(top));
}

/* Store LANES levels as the operand's elements i...; `stride`: the number of elements, rounded up to 64. */
KERNEL_INLINE void put_levels(void *operand, uint32_t stride, uint32_t i, vi level, const int int4, const int int16)
{
    if (int4) put_int4(operand, stride, i, level, int16 ? 2 : 1);
    else if (int16) put_int16(operand, stride, i, level);
    else put_int8(operand, i, level);
}

/* Quantize x to [-levels, levels] for the range [-peak, peak], of which less than 2^-100 counts as silence.  Zero-pads to whole
 * groups. */
KERNEL_INLINE float quantize(void *operand, const float *x, uint32_t n, float peak, const int int4, const int int16)
{
    const float levels = int16 ? 32767.0f : 127.0f;
    const uint32_t stride = grulet_round_up(n, 64);
    const int silent = peak < 7.888609052e-31f; /* 2^-100: levels / peak stays finite */
    const vf inverse = vf_set(silent ? 0.0f : levels / peak), top = vf_set(levels), bottom = vf_set(-levels);
    uint32_t i = 0;
    for (; i < n; i += LANES)
        put_levels(operand, stride, i, vi_round(vf_max(vf_min(vf_mul(load_upto(x + i, n - i), inverse), top), bottom)),
                   int4, int16);
    if (int4) finish_int4(operand, stride, n, int16 ? 2 : 1);
    else if (LANES < GRULET_GROUP)
        for (; i % GRULET_GROUP; i += LANES) put_levels(operand, stride, i, vf_bits(vf_set(0.0f)), int4, int16);
    return silent ? 0.0f : peak / levels;
}

/* The same for `peak` or, if that is 0, the frame's own largest magnitude. */
KERNEL_INLINE float quantize_frame(void *operand, const float *x, uint32_t n, float peak, const int int4, const int int16)
{
    return quantize(operand, x, n, peak == 0.0f ? largest_magnitude(x, n) : peak, int4, int16);
}

static float prepare_int8_int16(void *operand, const float *x, uint32_t n, float peak)
{
    return quantize_frame(operand, x, n, peak, 0, 1);
}
static float prepare_int8_int8(void *operand, const float *x, uint32_t n, float peak)
{
    return quantize_frame(operand, x, n, peak, 0, 0);
}
/* Not so short that its overhead is felt: one code for both, and small, which is no slower. */
KERNEL_SMALL float prepare_int4(void *operand, const float *x, uint32_t n, float peak, int int16)
{
    return quantize_frame(operand, x, n, peak, 1, int16);
}
static float prepare_int4_int16(void *operand, const float *x, uint32_t n, float peak)
{
    return prepare_int4(operand, x, n, peak, 1);
}
static float prepare_int4_int8(void *operand, const float *x, uint32_t n, float peak)
{
    return prepare_int4(operand, x, n, peak, 0);
}

/* ---- the table ----------------------------------------------------------------------------------------------------- */

#define ROW_SUMS (const int32_t *)(const void *)(block + at->row_sums) + first_row
#define MULTIPLIERS (const int8_t *)(block + at->multipliers) + first_row
#define BESIDE_int8_int16 , ROW_SUMS
#define BESIDE_int8_int8 , ROW_SUMS
#define BESIDE_int4_int16 , ROW_SUMS, MULTIPLIERS
#define BESIDE_int4_int8 , ROW_SUMS, MULTIPLIERS
SUM_FORMS(int8_int16, GRULET_GROUP, MANY_FORMS(int8_int16))
SUM_FORMS(int8_int8, GRULET_GROUP, MANY_FORMS(int8_int8))
SUM_FORMS(int4_int16, GRULET_GROUP, MANY_FORMS(int4_int16))
SUM_FORMS(int4_int8, GRULET_GROUP, MANY_FORMS(int4_int8))

#ifdef TWO_BLOCKS
BLOCK_FORM(int8_int16)
BLOCK_FORM(int8_int8)
#define INT8_BLOCKS(kind) kind##_blocks
#else
#define INT8_BLOCKS(kind) NULL
#endif

#define INTEGER_ENTRIES(kind, with, blocks) SUM_ENTRIES(kind, with, prepare_##kind, MANY_ENTRIES(kind, with), blocks)

const grulet_products PRODUCTS_TABLE = {
    {INTEGER_ENTRIES(int8_int16, GRULET_WITH_INT8_INT16, INT8_BLOCKS(int8_int16)),
     INTEGER_ENTRIES(int8_int8, GRULET_WITH_INT8_INT8, INT8_BLOCKS(int8_int8)),
     INTEGER_ENTRIES(int4_int16, GRULET_WITH_INT4_INT16, NULL), INTEGER_ENTRIES(int4_int8, GRULET_WITH_INT4_INT8, NULL)},
};
