/* Integer products of ARM with Helium vectors (MVE: Cortex-M55, M85).
 *
 * VMLADAVA multiplies 16 bytes by 16 and adds all products to one sum, so a vector of weights is 16 inputs of one row: a word
 * from each of four groups, gathered.  16-bit levels lie as two signed bytes, `stride` apart, v >> 8 and (v & 255) - 128: two
 * products over one gathering, and 128 times the row's sum on top.  int4 weights go the way of the DSP extension. */
#if !defined(__ARM_FEATURE_MVE)
#error "this file needs a CPU with Helium, for example -mcpu=cortex-m55"
#endif
#include "generic/grulet_scalar_lanes.h"

#include "arm/grulet_dsp_int4.h"

#include <arm_mve.h>

#define PRODUCTS_TABLE grulet_products_helium

KERNEL_INLINE void put_planes(void *operand, uint32_t stride, uint32_t i, vi level)
{
    int8_t *plane = (int8_t *)operand + i;
    plane[0] = (int8_t)(level >> 8);
    plane[stride] = (int8_t)((level & 255) - 128);
}
#define put_int16 put_planes

enum { GATHERED = 4 }; /* groups of a vector */

/* VMLADAVA wants its sum in one of the even registers: there is room for two rows with two sums each. */
enum { HELIUM_ROWS = 2 };
typedef struct { int32_t low[HELIUM_ROWS], high[HELIUM_ROWS]; } sums_of_rows;

/* `groups` groups, at most GATHERED, of each row. */
KERNEL_INLINE void add_groups(sums_of_rows *sums, const unsigned char *weights, uint32x4_t offsets, const int8_t *x,
                              uint32_t stride, uint32_t groups, const int planes)
{
    const int8x16_t high = vldrbq_s8(x), low = planes == 2 ? vldrbq_s8(x + stride) : high;
    UNROLL
    for (int row = 0; row < HELIUM_ROWS; row++) {
        const int32_t *from = (const int32_t *)(const void *)(weights + GRULET_GROUP * row);
        const int32x4_t words = groups < GATHERED ? vldrwq_gather_offset_z_s32(from, offsets, vctp32q(groups))
                                                  : vldrwq_gather_offset_s32(from, offsets);
        const int8x16_t w = vreinterpretq_s8_s32(words);
        sums->high[row] = vmladavaq_s8(sums->high[row], w, high);
        if (planes == 2) sums->low[row] = vmladavaq_s8(sums->low[row], w, low);
    }
}

/* HELIUM_ROWS rows through a span; row_sums: of these rows in this span. */
KERNEL_INLINE void pass_bytes(float *to, const unsigned char *weights, uint32_t group_bytes, const int8_t *x, uint32_t stride,
                              uint32_t groups, const int planes, const int32_t *row_sums, uint32_t first)
{
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), group_bytes);
    sums_of_rows sums = {{0, 0}, {0, 0}};
    for (; groups >= GATHERED; groups -= GATHERED, weights += GATHERED * group_bytes, x += GATHERED * GRULET_GROUP)
        add_groups(&sums, weights, offsets, x, stride, GATHERED, planes);
    if (groups) add_groups(&sums, weights, offsets, x, stride, groups, planes);
    UNROLL
    for (int row = 0; row < HELIUM_ROWS; row++) {
        int32_t exact = sums.high[row];
        if (planes == 2) /* unsigned: what is on the way may pass 2^31, the sum does not */
            exact = (int32_t)((uint32_t)exact * 256u + (uint32_t)sums.low[row] + (uint32_t)row_sums[row] * 128u);
        to[row] = first ? to[row] + (float)exact : (float)exact;
    }
}

KERNEL_INLINE void sum_bytes(float *sums, const unsigned char *panel, const int8_t *x, uint32_t inputs, uint32_t width,
                             const int sets, uint32_t rows, const int32_t *row_sums, const int planes)
{
    const uint32_t stride = grulet_round_up(inputs, 64);
    for (uint32_t first = 0; first < inputs; first += GRULET_SPAN, panel += GRULET_SPAN * rows, row_sums += rows) {
        uint32_t span = inputs - first;
        if (span > GRULET_SPAN) span = GRULET_SPAN;
        for (uint32_t row = 0; row < (uint32_t)sets * width; row += HELIUM_ROWS)
            pass_bytes(sums + row / width * GRULET_BLOCK_ROWS + row % width, panel + GRULET_GROUP * row, GRULET_GROUP * rows,
                       x + first, stride, (span + GRULET_GROUP - 1) / GRULET_GROUP, planes, row_sums + row, first);
    }
}

static void sum_int8_int16(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                           uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums)
{
    (void)frames;
    sum_bytes(sums[0], panel, (const int8_t *)operands[0], inputs, width, sets, rows, row_sums, 2);
}

static void sum_int8_int8(float *const *sums, const unsigned char *panel, const void *const *operands, const int frames,
                          uint32_t inputs, uint32_t width, const int sets, uint32_t rows, const int32_t *row_sums)
{
    (void)frames;
    sum_bytes(sums[0], panel, (const int8_t *)operands[0], inputs, width, sets, rows, row_sums, 1);
}

#include "grulet_products_body.h"
